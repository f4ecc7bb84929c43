"""`make compat`: the tests that tell what a version of Airflow can do, each version in an environment of its own.

An environment stays in .compat/ and is made anew when this file or pyproject.toml has changed. Airflow and what it
needs are as old as that release, as with Airflow's own constraints; what only the tests need is of today.
"""

import json
import os
import subprocess
import sys
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from subprocess import DEVNULL
from typing import Any
from xml.etree import ElementTree

ROOT = Path(__file__).parents[1]
HOME = ROOT / ".compat"
SUITE = (
    "tests/compat",
    "tests/examples",
    "tests/operators/test_on_kill.py",
    "tests/plugins",
    "tests/promises/test_paid_once.py",
    "tests/test_imports.py",
    "tests/test_provider_info.py",
    "tests/transfers/test_mps_to_object_storage.py",
)
ALIKE = ("CreateAigcVideoTask", "CreateAigcImageTask", "AigcVideoTaskSensor", "AigcImageTaskSensor", "EditMedia")
"""Classes whose cases of test_paid_once.py are left out: what is Airflow's in them is the same in the others."""
PAGE = ROOT / "docs" / "versions.md"
"""Has tables with a row for each release. What their heads say after "Airflow", their cells' names end with."""
WITH_AIRFLOW = (
    "aiohttp",
    "apache-airflow-providers-amazon[s3fs]",
    "apache-airflow-providers-fab",
    "flask-cors",
    "httpx",
    "moto[s3]",
    "pendulum",
    "tenacity",
)
FOR_TESTS = ("hypothesis", "jsonschema", "psutil", "pytest<9.2", "pytest-xdist", "trustme")


@dataclass(frozen=True)
class Release:
    """A release of Airflow.

    :param day: when it was out, as a date: newer packages are not taken.
    :param python: the newest that it runs on, up to what this package supports.
    :param may_fail: it is a pre-release, whose failures are only reported.
    """

    version: str
    day: str
    python: str
    may_fail: bool = False


RELEASES = (
    Release("2.11.2", "2026-03-15", "3.12"),
    Release("3.0.6", "2025-08-30", "3.12"),
    Release("3.1.8", "2026-03-15", "3.13"),
    Release("3.2.2", "2026-06-01", "3.13"),
    Release("3.3.2", "2026-10-01", "3.14"),
    Release("3.4.0b2", "2026-11-01", "3.14", may_fail=True),
)


def python_of(release: Release) -> Path:
    """The Python of a release's environment, which is made if it is not there."""
    folder = HOME / release.version
    python, ready = folder / "venv" / "bin" / "python", folder / "ready"
    made_from = [Path(__file__), ROOT / "pyproject.toml"]
    if ready.exists() and all(ready.stat().st_mtime > path.stat().st_mtime for path in made_from):
        return python
    folder.mkdir(parents=True, exist_ok=True)
    asked, pinned = folder / "in.txt", folder / "constraints.txt"
    asked.write_text("\n".join([f"apache-airflow=={release.version}", *WITH_AIRFLOW]))
    uv("venv", "--clear", "--python", newest_python(release), folder / "venv")
    old = ("--exclude-newer", release.day, "--prerelease", "if-necessary-or-explicit")
    uv("pip", "compile", asked, "--python", python, *old, "--no-header", "--no-annotate", "--output-file", pinned)
    uv("pip", "install", "--python", python, "--requirement", pinned)
    own = ("--constraint", pinned, "--editable", f"{ROOT}[cos,emulator]")
    uv("pip", "install", "--python", python, *own, *FOR_TESTS)
    ready.touch()
    return python


def newest_python(release: Release) -> str:
    """The newest Python on this machine that a release runs on."""
    for minor in range(int(release.python.removeprefix("3.")), 10, -1):
        with suppress(subprocess.CalledProcessError):
            uv("python", "find", "--no-python-downloads", "--system", f"3.{minor}", stdout=DEVNULL, stderr=DEVNULL)
            return f"3.{minor}"
    return sys.executable


def uv(*arguments: object, **options: Any) -> None:
    """Run uv, from the environment that this runs in or the machine's."""
    beside = Path(sys.executable).parent / "uv"
    command = [beside if beside.exists() else "uv", "--quiet", *map(str, arguments)]
    subprocess.run(command, check=True, cwd=ROOT, **options)


def run(release: Release) -> tuple[bool, dict[str, str]]:
    """Whether a release passes, and what its tests have recorded."""
    results = HOME / release.version / "results.xml"
    results.unlink(missing_ok=True)
    command = ["-m", "pytest", "--show-capture=no", "--tb=short", "-q", "-n", "3", "--dist", "loadgroup"]
    # -m: what is marked compat is left out elsewhere.
    which = ["-m", "not e2e", "-o", "junit_family=xunit1", f"--junitxml={results}", *SUITE]
    paid_once = "tests/promises/test_paid_once.py::test_a_fault_costs_no_second_task"
    which += [f"--deselect={paid_once}[{name}" for name in ALIKE]
    failed = subprocess.run(
        [python_of(release), *command, *which], cwd=ROOT, env=os.environ | {"PYTHONWARNINGS": "ignore"}, check=False
    ).returncode
    told: dict[str, str] = {}
    if results.exists():
        tree = ElementTree.parse(results)
        told = {each.attrib["name"]: each.attrib["value"] for each in tree.iter("property")}
    return not failed, told


def write_rows(release: Release, cells: dict[str, str]) -> None:
    """Put a release's row into each of the page's tables."""
    lines: list[str] = []
    head: list[str] = []
    for line in PAGE.read_text().splitlines():
        row = [cell.strip() for cell in line.strip("|").split("|")] if line.startswith("| ") else [""]
        if row[0].startswith("Airflow"):
            head = row
        if row[0] == release.version:
            suffix = head[0].removeprefix("Airflow")
            found = [row[0], *(cells.get(f"{name}{suffix}", "?") for name in head[1:])]
            line = f"| {' | '.join(found)} |"
        lines.append(line)
    PAGE.write_text("\n".join(lines) + "\n")


def main() -> int:
    """Run the releases that are named, or all. What each can do goes to standard output, as JSON, and to the page."""
    named = sys.argv[1:]
    if unknown := set(named) - {release.version for release in RELEASES}:
        sys.exit(f"There is no {', '.join(sorted(unknown))} among {', '.join(each.version for each in RELEASES)}.")
    ended = 0
    for release in RELEASES:
        if named and release.version not in named:
            continue
        try:
            passed, told = run(release)
        except subprocess.CalledProcessError:  # uv has said why
            passed, told = False, {}
        cells = {"Airflow": release.version, "Tests": "pass" if passed else "**fail**", **told}
        write_rows(release, cells)
        print(json.dumps(cells), flush=True)
        ended |= not passed and not release.may_fail
    return ended


if __name__ == "__main__":
    sys.exit(main())
