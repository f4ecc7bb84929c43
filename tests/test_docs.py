"""What the docs say of the code is so: each folder has its line in the map, paths exist, imports run downwards."""

import ast
import re
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PACKAGE = ROOT / "airflow_provider_mps"
ARCHITECTURE = ROOT / "docs" / "architecture.md"
PAGES = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")])

# The floors of the package, from the lowest; a module imports from its own floor and those below it.
FLOORS = (
    ("__init__.py",),
    ("api/digest.py", "api/facts/", "api/redaction.py", "api/patience.py"),
    ("api/codes.py", "api/errors.py", "api/prices.py"),
    ("api/failure_log.py", "api/paid_once.py"),
    ("api/wire/",),
    ("api/files/",),
    ("api/tasks/",),
    ("api/request/",),
    ("api/waiting/",),
    ("api/",),
    ("arguments.py", "compat.py", "errors.py", "get_provider_info.py", "xcoms.py"),
    ("hooks/",),
    ("triggers/", "links/", "storage/"),
    ("execution/",),
    ("operators/", "sensors/", "transfers/", "plugins/"),
)


def modules() -> Iterator[str]:
    """The modules that hold anything, relative to the package."""
    return (str(path.relative_to(PACKAGE)) for path in sorted(PACKAGE.rglob("*.py")) if path.stat().st_size)


def floor(module: str) -> int:
    numbers = [number for number, parts in enumerate(FLOORS) if module.startswith(parts)]
    assert numbers, f"{module} is on none of the FLOORS"
    return numbers[0]


def imported(module: str) -> Iterator[str]:
    """What a module imports, anywhere in it: its own package's modules as files, others' by their first name."""
    for node in ast.walk(ast.parse((PACKAGE / module).read_text())):
        names = [alias.name for alias in node.names] if isinstance(node, ast.Import | ast.ImportFrom) else []
        if isinstance(node, ast.ImportFrom):
            names = [f"{node.module}.{name}" for name in names]
        for name in names:
            first, *rest = name.split(".")
            if first != PACKAGE.name:
                yield first
                continue
            paths = ("/".join(rest[:length]) for length in range(len(rest), 0, -1))
            found = (f"{path}{end}" for path in paths for end in (".py", "/__init__.py"))
            yield next((file for file in found if (PACKAGE / file).exists()), "__init__.py")


def test_the_map_has_one_line_for_each_folder() -> None:
    text = ARCHITECTURE.read_text().partition("## The map")[2].partition("\n## ")[0]
    lines = Counter(re.findall(r"^\| `([^`]+)` \|", text, re.MULTILINE))
    there = Counter({f"{Path(module).parent}/" for module in modules() if "/" in module})
    assert {"without a line": there - lines, "not there": lines - there} == {"without a line": {}, "not there": {}}


def test_each_module_says_what_it_is_for() -> None:
    silent = [module for module in modules() if not ast.get_docstring(ast.parse((PACKAGE / module).read_text()))]
    assert silent == []


@pytest.mark.parametrize("page", PAGES, ids=lambda path: str(path.relative_to(ROOT)))
def test_what_the_pages_lead_to_is_there(page: Path) -> None:
    text = re.sub(r"```.*?```", "", page.read_text(), flags=re.DOTALL)
    links = re.findall(r"\]\(([^)#]+?)(?:#[^)]*)?\)", text)
    missing = [link for link in links if ":" not in link and not (page.parent / link).exists()]
    # A path in the text ends in a slash or in the suffix of a file.
    paths = re.findall(r"`((?:\w[\w.-]*/)+(?:[\w-]+\.\w+)?|\w+\.(?:py|md|toml|txt))`", text)
    missing += [path for path in paths if not any((base / path).exists() for base in (ROOT, PACKAGE))]
    assert missing == []


def test_imports_run_downwards() -> None:
    upwards = [
        f"{module} imports {other}"
        for module in modules()
        for other in imported(module)
        if not module.startswith("emulator/") and other.endswith(".py")
        if other.startswith("emulator/") or floor(other) > floor(module)
    ]
    assert upwards == []


def test_no_imports_run_in_a_circle() -> None:
    """Type-only ones included: two modules that need each other are one."""
    left = {module: {other for other in imported(module) if other.endswith(".py")} - {module} for module in modules()}
    while done := {module for module, others in left.items() if not others & left.keys()}:
        left = {module: others for module, others in left.items() if module not in done}
    assert left == {}


def test_api_knows_no_airflow_and_the_emulator_neither() -> None:
    strangers = [
        f"{module} imports {other}"
        for module in modules()
        for other in imported(module)
        if module.startswith(("api/", "emulator/")) and module != "emulator/pytest_plugin.py"
        if other == "airflow" or (module.startswith("emulator/") and other.startswith(("api/", "hooks/")))
    ]
    assert strangers == []


def test_api_has_no_word_of_airflow_either() -> None:
    """But in this package's own name, and at the beginning of the SessionIds that it makes."""
    found = [
        f"{path.relative_to(PACKAGE)}: {line.strip()}"
        for path in sorted((PACKAGE / "api").rglob("*.py"))
        for line in path.read_text().splitlines()
        if re.search(r"airflow(?![-_])|xcom|triggerer|\bDAG", line, re.IGNORECASE)
    ]
    assert found == []
