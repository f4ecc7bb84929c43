"""What the reference pages say is what the code does: fields, errors and their messages, metrics, faults."""

import ast
import importlib
import inspect
import os
import pkgutil
import re
import subprocess
import sys
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest
from airflow.models import Connection
from airflow.secrets.local_filesystem import load_connections_dict

import airflow_provider_mps
from airflow_provider_mps.api.errors import DownloadError, InvalidArgumentError, MpsError
from airflow_provider_mps.api.settings import ClientSettings
from airflow_provider_mps.emulator import FaultKind, MpsEmulator
from airflow_provider_mps.get_provider_info import CONNECTION_FIELDS
from airflow_provider_mps.hooks.mps import MpsHook
from scripts.compat import RELEASES

ROOT = Path(__file__).parents[2]
PACKAGE = ROOT / "airflow_provider_mps"


def page(name: str) -> str:
    return (ROOT / "docs" / name).read_text()


def rows(text: str) -> Iterator[list[str]]:
    """The cells of each row of each table that begins with code."""
    for line in text.splitlines():
        if line.startswith("| `"):
            yield [cell.strip() for cell in line.strip("|").split(" | ")]


def blocks(text: str, kind: str = "") -> list[str]:
    fenced = re.findall(r"^```(\w*)\n(.*?)^```$", text, re.DOTALL | re.MULTILINE)
    return [code for its_kind, code in fenced if its_kind == kind]


def first_code(cell: str) -> str:
    found = re.match("`([^`]+)`", cell)
    assert found
    return found[1]


def settings_with(monkeypatch: pytest.MonkeyPatch, value: str) -> ClientSettings:
    monkeypatch.setenv("AIRFLOW_CONN_TENCENT_MPS_DEFAULT", value)
    return MpsHook().settings


class TestConnection:
    def test_each_field_has_its_row(self) -> None:
        table = page("connection.md").partition("## As JSON")[0]
        fields = [first_code(row[0]) for row in rows(table)]
        assert sorted(fields) == sorted(["login", "password", "host", "port", "schema", *CONNECTION_FIELDS])

    def test_the_json_and_the_uri_are_the_same_connection(self, monkeypatch: pytest.MonkeyPatch) -> None:
        [as_json, _] = blocks(page("connection.md"), "json")
        [as_uri] = [block for block in blocks(page("connection.md")) if block.startswith("tencent-mps://")]
        settings = settings_with(monkeypatch, as_json)
        assert settings == settings_with(monkeypatch, as_uri.strip())
        assert settings.credential.secret_key == "YOUR/SECRET+KEY="
        assert (settings.verify, settings.proxy) == ("/etc/ssl/company ca.pem", "http://proxy.example:3128")
        assert (settings.site.name, settings.cos_region) == ("cn", "ap-shanghai")
        assert settings.cos_region == settings_with(monkeypatch, as_uri.strip()).cos_region

    def test_the_file_of_connections_is_one_that_airflow_reads(
        self, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
    ) -> None:
        [_, of_file] = blocks(page("connection.md"), "json")
        path = tmp_path / "connections.json"
        path.write_text(of_file)
        connection: Connection = load_connections_dict(str(path))["tencent_mps_default"]
        settings = settings_with(monkeypatch, connection.get_uri())
        assert (settings.site.name, settings.credential.secret_key) == ("cn", "YOUR/SECRET+KEY=")


@cache
def errors() -> dict[str, type[MpsError]]:
    """Every error class of the package, but for the two bases."""
    for module in pkgutil.walk_packages(airflow_provider_mps.__path__, "airflow_provider_mps."):
        if not module.name.endswith("__main__"):
            importlib.import_module(module.name)

    def below(error: type[MpsError]) -> Iterator[type[MpsError]]:
        for sub in error.__subclasses__():
            yield sub
            yield from below(sub)

    own = [error for error in below(MpsError) if inspect.getmodule(error) and "Airflow" not in str(error.__mro__)]
    return {error.__name__: error for error in own if error.__name__ != "CallError"}


def retried(error: type[MpsError]) -> bool | None:
    """Whether Airflow retries it; None where that depends."""
    if error is DownloadError:
        return DownloadError("text").retry_helps
    return error.retry_helps if isinstance(error.retry_helps, bool) else None


class TestErrors:
    def test_each_class_has_its_row_and_the_row_says_whether_airflow_retries(self) -> None:
        table = page("errors.md").partition("## Classes")[2].partition("\n## ")[0]
        said = {first_code(row[0]): row[2] for row in rows(table)}
        assert sorted(said) == sorted(errors())
        wrong = {
            name: text
            for name, text in said.items()
            if (known := retried(errors()[name])) is not None and not text.startswith("yes" if known else "no")
        }
        assert wrong == {}

    def test_each_message_on_the_page_is_in_the_code(self) -> None:
        text = page("errors-by-message.md").partition("## Airflow's own")[0]
        fragments = [part.strip() for row in rows(text) for part in first_code(row[0]).split("…") if part.strip()]
        assert len(fragments) > 40
        said = "\n".join(messages())
        assert [fragment for fragment in fragments if fragment not in said] == []


def messages() -> Iterator[str]:
    """Each text in the package's code, with what is filled in later left out."""
    for path in PACKAGE.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.JoinedStr):
                yield "".join(str(part.value) if isinstance(part, ast.Constant) else "\0" for part in node.values)
            elif isinstance(node, ast.Constant) and isinstance(node.value, str):
                yield node.value


def test_each_metric_has_its_row_with_its_tags() -> None:
    sent: dict[str, set[str]] = {}
    for path in PACKAGE.rglob("*.py"):
        nodes = list(ast.walk(ast.parse(path.read_text())))
        dicts = {ast.unparse(node.targets[0]): node.value for node in nodes if isinstance(node, ast.Assign)}
        for call in (node for node in nodes if isinstance(node, ast.Call) and node.args):
            name = getattr(call.args[0], "value", None)
            if getattr(call.func, "attr", "") in ("incr", "gauge", "timing") and str(name).startswith("mps."):
                tags = [keyword.value for keyword in call.keywords if keyword.arg == "tags"]
                given = [dicts.get(ast.unparse(tag), tag) for tag in tags]
                sent[str(name)] = {
                    str(ast.literal_eval(key))
                    for each in given
                    if isinstance(each, ast.Dict)
                    for key in each.keys
                    if key
                }
    assert sent["mps.submitted"] == {"action"}
    assert {first_code(row[0]): set(re.findall("`(\\w+)`", row[2])) for row in rows(page("metrics.md"))} == sent


class TestEmulator:
    def test_each_kind_of_fault_has_its_row(self) -> None:
        table = page("emulator.md").partition("## Make it fail")[2].partition("\n## ")[0]
        assert [first_code(row[0]) for row in rows(table)] == list(FaultKind)

    def test_each_argument_has_its_row(self) -> None:
        table = page("emulator.md").partition("## What it can be asked to be")[2].partition("\n## ")[0]
        named = {name for row in rows(table) for name in re.findall("`(\\w+)`", row[0])}
        assert named == set(inspect.signature(MpsEmulator).parameters)

    def test_its_tests_pass(self, tmp_path: Path) -> None:
        snippets = blocks(page("emulator.md"), "python")
        for number, snippet in enumerate(snippets):
            (tmp_path / f"test_{number}.py").write_text(snippet)
        env = os.environ | {"AIRFLOW_HOME": str(tmp_path / "airflow")}
        command = [sys.executable, "-m", "pytest", "-q", str(tmp_path), f"--rootdir={tmp_path}"]
        ran = subprocess.run(command, cwd=tmp_path, env=env, capture_output=True, text=True)
        assert ran.returncode == 0, ran.stdout + ran.stderr
        assert f"{len([code for code in snippets if 'def test_' in code])} passed" in ran.stdout


def test_what_cannot_be_sent_says_so() -> None:
    assert str(InvalidArgumentError("prompt", "is empty")).endswith("(nothing was sent to MPS)")


class TestVersions:
    def test_each_release_that_is_tried_has_a_row(self) -> None:
        table = re.findall(r"^\| (\d\S*) \|", page("versions.md"), re.MULTILINE)
        assert table == [release.version for release in RELEASES]
