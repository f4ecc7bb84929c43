"""What `make dist` has built: what is in it, and that README's DAG and test work with the wheel alone."""

import os
import re
import shlex
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

import pytest

from airflow_provider_mps import __version__

ROOT = Path(__file__).parents[2]
DIST = ROOT / "dist"
README = (ROOT / "README.md").read_text()
NAME = f"airflow_provider_mps-{__version__}"
WHEEL = DIST / f"{NAME}-py3-none-any.whl"

pytestmark = pytest.mark.dist


def sources(folder: str, *suffixes: str) -> set[str]:
    """The files of a folder of the repository, by their paths in it."""
    found = (path.relative_to(ROOT).as_posix() for path in (ROOT / folder).rglob("*"))
    return {path for path in found if path.endswith(suffixes)}


def test_the_changelog_tells_of_this_version() -> None:
    changes = (ROOT / "CHANGELOG.md").read_text()
    newest = re.findall(r"^## \[(.+?)\]", changes, re.MULTILINE)[0]
    assert newest == __version__ or (newest == "Unreleased" and f"To become {__version__}" in changes)


def test_the_wheel_holds_the_package_with_its_examples_and_its_licence_alone() -> None:
    with zipfile.ZipFile(WHEEL) as wheel:
        names = set(wheel.namelist())
    code = {name for name in names if not name.startswith(f"{NAME}.dist-info/")}
    examples = {f"airflow_provider_mps/example_dags/{Path(name).name}" for name in sources("dags_examples", ".py")}
    assert code == sources("airflow_provider_mps", ".py", "/py.typed") | examples
    assert {name.removeprefix(f"{NAME}.dist-info/") for name in names - code} == {
        "METADATA",
        "RECORD",
        "WHEEL",
        "entry_points.txt",
        "licenses/LICENSE",
    }


def test_the_sdist_holds_what_the_package_is_made_tested_and_explained_with() -> None:
    with tarfile.open(DIST / f"{NAME}.tar.gz") as sdist:
        names = {member.name.removeprefix(f"{NAME}/") for member in sdist if member.isfile()}
    wanted = sources(".", ".md", "pyproject.toml", "mkdocs.yml", "Makefile", "constraints.txt", "LICENSE")
    wanted = {name for name in wanted if not name.startswith((".", "build/"))}
    for folder in ("airflow_provider_mps", "tests", "dags_examples", "benchmarks", "scripts"):
        wanted |= sources(folder, ".py")
    assert wanted - names == set()
    assert [name for name in names if re.search(r"(^|/)(\.[^/]+|build|dist|__pycache__)/", name)] == []


def blocks(kind: str, after: str) -> list[str]:
    """README's code of one kind after a text."""
    return re.findall(rf"```{kind}\n(.*?)```", README.partition(after)[2], re.DOTALL)


def test_the_dag_of_the_readme_and_its_test_work_with_the_wheel_alone(tmp_path: Path) -> None:
    [install] = re.findall(r"^pip install '[^']*/(dist/[^']+)'$", README, re.MULTILINE)
    for file in ("dags/morning_music.py", "tests/test_morning_music.py"):
        path = tmp_path / "music" / file
        path.parent.mkdir(parents=True)
        path.write_text(blocks("python", f"**{file}**")[0])
    commands = blocks("", "`dag.test()` needs")[0]
    # As in a new terminal, in which nothing but the new environment is known.
    home = {"HOME": str(tmp_path), "PATH": f"{tmp_path / 'venv/bin'}{os.pathsep}{os.defpath}", "LANG": "C.UTF-8"}
    uv = [sys.executable, "-m", "uv"]
    requirements = ["--constraint", "constraints.txt", f"./{install}", *shlex.split(installed(commands))]
    venv = str(tmp_path / "venv")
    for setting_up in (["venv", "--quiet", venv], ["pip", "install", "--quiet", "--python", venv, *requirements]):
        subprocess.run([*uv, *setting_up], cwd=ROOT, check=True, timeout=300)
    ran = subprocess.run(
        ["bash", "-euc", commands.replace(f"pip install {installed(commands)}\n", "")],
        cwd=tmp_path / "music",
        env=home,
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert ran.returncode == 0, ran.stdout + ran.stderr
    assert "1 passed" in ran.stdout


def installed(commands: str) -> str:
    """What the commands install with pip; here uv does, which takes seconds."""
    [requirements] = re.findall(r"^pip install (.*)$", commands, re.MULTILINE)
    return str(requirements)
