"""What `make dist` has built: what is in it, and that the first DAG and its test work with nothing but the wheel."""

import os
import re
import shlex
import shutil
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
FIRST_DAG = (ROOT / "docs" / "first-dag.md").read_text()
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
    assert code == sources("airflow_provider_mps", ".py", "/py.typed", ".toml", ".html", ".js", ".css") | examples
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
    """The first DAG's code of one kind after a text."""
    return re.findall(rf"```{kind}\n(.*?)```", FIRST_DAG.partition(after)[2], re.DOTALL)


def passes_with_the_wheel(tmp_path: Path, files: dict[str, str], requirements: list[str], before: str) -> None:
    """The first DAG's commands, which end in pytest, pass with nothing but README's wheel and ``requirements``."""
    [install] = re.findall(r"^pip install '[^']*/(dist/[^']+)'$", README, re.MULTILINE)
    for name, text in files.items():
        path = tmp_path / "music" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    all_commands = blocks("", "`dag.test()` needs")[0]
    commands = all_commands.replace(f"pip install {installed(all_commands)}\n", "")
    # As in a new terminal, in which nothing but the new environment is known.
    home = {"HOME": str(tmp_path), "PATH": f"{tmp_path / 'venv/bin'}{os.pathsep}{os.defpath}", "LANG": "C.UTF-8"}
    uv = [sys.executable, "-m", "uv"]
    wanted = ["--constraint", "constraints.txt", f"./{install}", *requirements]
    venv = str(tmp_path / "venv")
    for setting_up in (["venv", "--quiet", venv], ["pip", "install", "--quiet", "--python", venv, *wanted]):
        subprocess.run([*uv, *setting_up], cwd=ROOT, check=True, timeout=300)
    ran = subprocess.run(
        ["bash", "-euc", before + commands],
        cwd=tmp_path / "music",
        env=home,
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert ran.returncode == 0, ran.stdout + ran.stderr
    assert "1 passed" in ran.stdout


def test_the_first_dag_and_its_test_work_with_the_wheel_alone(tmp_path: Path) -> None:
    files = {
        name: blocks("python", f"**{name}**")[0] for name in ("dags/morning_music.py", "tests/test_morning_music.py")
    }
    passes_with_the_wheel(tmp_path, files, shlex.split(installed(blocks("", "`dag.test()` needs")[0])), "")


def test_dags_in_yaml_work_with_dag_factory(tmp_path: Path) -> None:
    """Not among the tests' own packages: its plugin would run in each of their Airflows."""
    page = (ROOT / "docs/yaml.md").read_text()
    [in_yaml], [in_python] = (re.findall(rf"```{kind}\n(.*?)```", page, re.DOTALL) for kind in ("yaml", "python"))
    [version] = re.findall(r"tried with ([\d.]+\d)", page)
    [setting] = re.findall(r"`(AIRFLOW__DAG_FACTORY__\w+=False)`", page)
    test = """\
import json
from songs import morning_song

def test_songs(mps_emulator, tmp_path):
    assert morning_song.test(run_conf={"folder": tmp_path.as_uri()}).state == "success"
    [song] = mps_emulator.tasks
    assert song.params["ModelVersion"] == "2.6"
    assert json.loads(song.params["AdditionalParameters"]) == {"is_instrumental": True}
    assert [path.stem for path in tmp_path.rglob("*") if path.is_file()] == ["morning"]
"""
    files = {"dags/songs.yml": in_yaml, "dags/songs.py": in_python, "tests/test_songs.py": test}
    passes_with_the_wheel(tmp_path, files, [f"dag-factory=={version}", "pytest"], f"export {setting}\n")


def test_the_commands_of_readme_run_in_its_own_order_in_an_empty_folder(tmp_path: Path) -> None:
    fenced = re.findall(r"^```(\w*)\n(.*?)^```$", README, re.DOTALL | re.MULTILINE)
    try_it, _, *install = [block for kind, block in fenced if not kind]  # the second one is what is said
    uv, venv, tools = f"{sys.executable} -m uv", tmp_path / "venv", tmp_path / "tools"
    subprocess.run([*uv.split(), "venv", "--quiet", str(venv)], check=True, timeout=300)
    tools.mkdir()
    pip = tools / "pip"  # uv installs the same in seconds
    pip.write_text(f'#!/bin/sh\ncommand=$1; shift\nexec {uv} pip "$command" --quiet --python {venv} "$@"\n')
    pip.chmod(0o755)
    path = os.pathsep.join([str(tools), str(Path(sys.base_prefix) / "bin"), os.defpath])
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("AIRFLOW", "VIRTUAL_ENV"))}
    (tmp_path / "empty").mkdir()
    commands = [try_it.replace("<this repository>", str(ROOT)), f"cp -r {DIST} .", *install]
    ran = subprocess.run(
        ["bash", "-euc", "\n".join(commands)],
        cwd=tmp_path / "empty",
        env=environment | {"PATH": path},
        capture_output=True,
        text=True,
        timeout=1200,
    )
    assert ran.returncode == 0, ran.stdout + ran.stderr
    assert "generate_soundtrack ran through Airflow." in ran.stdout
    script = "import airflow_provider_mps.operators.mps, airflow_provider_mps.emulator as one; print(one.__file__)"
    python = [str(venv / "bin/python"), "-W", "ignore", "-c", script]
    said = subprocess.run(python, cwd=tmp_path, capture_output=True, text=True, check=True, timeout=300)
    assert said.stdout.startswith(str(venv))


def test_every_extra_installs_beside_airflow_s_own_s3_under_the_constraints(tmp_path: Path) -> None:
    """The Amazon provider with s3fs, which ``s3://`` wants, pins botocore: nothing here may rule it out."""
    [wheel] = re.findall(r"^pip install '[^']*/(dist/[^'\[]+)\[.*'$", README, re.MULTILINE)
    wanted = [f"./{wheel}[cos,emulator]", "apache-airflow-providers-amazon[s3fs]"]
    uv, venv = [sys.executable, "-m", "uv"], str(tmp_path / "venv")
    subprocess.run([*uv, "venv", "--quiet", venv], check=True, timeout=300)
    install = ["pip", "install", "--quiet", "--python", venv, "--constraint", "constraints.txt", *wanted]
    subprocess.run([*uv, *install], cwd=ROOT, check=True, timeout=300)
    listed = [*uv, "pip", "freeze", "--python", venv]
    versions = subprocess.run(listed, capture_output=True, text=True, check=True, timeout=300).stdout.splitlines()
    pinned = (ROOT / "constraints.txt").read_text()
    for name in ("apache-airflow-providers-amazon", "s3fs", "aiobotocore", "botocore"):
        [version] = [line for line in versions if line.startswith(f"{name}==")]
        assert re.search(rf"^{re.escape(version)}( ;.*)?$", pinned, re.MULTILINE), "uv took another one"
    script = "import s3fs, airflow.providers.amazon.aws.fs.s3, airflow_provider_mps.hooks.mps"
    subprocess.run([f"{venv}/bin/python", "-W", "ignore", "-c", script], check=True, timeout=300)


def test_the_commands_of_the_page_on_deployments_make_an_image_s_environment(tmp_path: Path) -> None:
    """Without Docker: what its COPY and RUN lines do, in an environment with the image's Airflow."""
    page = (ROOT / "docs/deployments.md").read_text()
    [file] = re.findall(r"```dockerfile\n(.*?)```", page, re.DOTALL)
    [version] = re.findall(r"^FROM apache/airflow:(\S+)$", file, re.MULTILINE)
    [names] = re.findall(r"^COPY (.*) /tmp/$", file, re.MULTILINE)
    [command] = re.findall(r"^RUN (.*)$", file, re.MULTILINE)
    for name in names.split():
        shutil.copy(DIST / name if name.endswith(".whl") else ROOT / name, tmp_path)
    uv, venv = f"{sys.executable} -m uv", tmp_path / "venv"
    environment = os.environ | {"AIRFLOW_VERSION": version, "AIRFLOW_HOME": str(tmp_path)}
    constraints = ["--constraint", str(tmp_path / "constraints.txt")]
    base = ["pip", "install", "--quiet", "--python", str(venv), *constraints, f"apache-airflow=={version}"]
    subprocess.run([*uv.split(), "venv", "--quiet", str(venv)], check=True, timeout=300)
    subprocess.run([*uv.split(), *base], check=True, timeout=300)
    command = command.replace("/tmp/", f"{tmp_path}/")
    command = command.replace("pip install --no-cache-dir", f"{uv} pip install --quiet --python {venv}")
    subprocess.run(command, shell=True, env=environment, check=True, timeout=300)
    airflow = [str(venv / "bin/python"), "-W", "ignore", "-m", "airflow"]
    for told, wanted in (("version", version), ("providers list", "airflow-provider-mps")):
        said = subprocess.run([*airflow, *told.split()], env=environment, capture_output=True, text=True, timeout=300)
        assert wanted in said.stdout, said.stderr[-2000:]


def installed(commands: str) -> str:
    """What the commands install with pip; here uv does, which takes seconds."""
    [requirements] = re.findall(r"^pip install (.*)$", commands, re.MULTILINE)
    return str(requirements)
