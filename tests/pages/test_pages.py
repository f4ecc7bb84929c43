"""What the reference pages say is what the code does: fields, errors and their messages, metrics, faults."""

import ast
import inspect
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from types import SimpleNamespace

import pytest
from airflow.models import Connection
from airflow.secrets.local_filesystem import load_connections_dict

from airflow_provider_mps.api.errors import InvalidArgumentError
from airflow_provider_mps.api.wire.settings import ClientSettings
from airflow_provider_mps.emulator import FaultKind, MpsEmulator
from airflow_provider_mps.get_provider_info import CONNECTION_FIELDS
from airflow_provider_mps.hooks.mps import MpsHook
from scripts import site
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
def test_each_line_that_is_no_error_is_in_the_code() -> None:
    text = page("errors.md").partition("### Lines that are no errors")[2].partition("\n### ")[0]
    fragments = [part.strip() for row in rows(text) for part in first_code(row[0]).split("…") if part.strip()]
    said = "\n".join(messages())
    assert fragments
    assert [fragment for fragment in fragments if fragment not in said] == []


def messages() -> Iterator[str]:
    """Each text in the package's code, with what is filled in later left out."""
    for path in PACKAGE.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.JoinedStr):
                yield "".join(str(part.value) if isinstance(part, ast.Constant) else "\0" for part in node.values)
            elif isinstance(node, ast.Constant) and isinstance(node.value, str):
                yield node.value


def keys_of(node: ast.AST, dicts: dict[str, ast.expr]) -> Iterator[str]:
    """The keys of the dicts that an expression is made of, also of those that it names."""
    for part in ast.walk(node):
        if isinstance(part, ast.Dict):
            yield from (str(ast.literal_eval(key)) for key in part.keys if key)
        elif isinstance(part, ast.Name) and isinstance(found := dicts.get(part.id), ast.Dict):
            yield from keys_of(found, dicts)


def test_each_metric_has_its_row_with_its_tags() -> None:
    sent: dict[str, set[str]] = {}
    for path in PACKAGE.rglob("*.py"):
        nodes = list(ast.walk(ast.parse(path.read_text())))
        dicts = {ast.unparse(node.targets[0]): node.value for node in nodes if isinstance(node, ast.Assign)}
        for call in (node for node in nodes if isinstance(node, ast.Call) and node.args):
            name = getattr(call.args[0], "value", None)
            if getattr(call.func, "attr", "") in ("incr", "gauge", "timing") and str(name).startswith("mps."):
                tags = [keyword.value for keyword in call.keywords if keyword.arg == "tags"]
                sent[str(name)] = {key for tag in tags for key in keys_of(tag, dicts)}
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


class TestSite:
    def test_the_page_of_examples_lists_each_and_shows_its_code(self) -> None:
        examples = {path.stem: path.read_text() for path in (ROOT / "dags_examples").glob("*.py")}
        text = page("examples.md")
        assert sorted(re.findall(r"^\| \[`(\w+)`\]", text, re.MULTILINE)) == sorted(examples)
        assert blocks(site.with_code(text), "python") == [
            examples[name] for name in dict.fromkeys(re.findall(r"/(\w+)\.py\)", text))
        ]

    def test_in_the_search_pages_for_users_come_before_decisions(self) -> None:
        boosts = []
        for path in ("docs/recipes.md", "docs/decisions/0006-session-id.md"):
            shown = SimpleNamespace(file=SimpleNamespace(src_uri=path), meta={})
            site.on_page_markdown("", shown)
            boosts.append(shown.meta["search"]["boost"])
        assert boosts[0] > boosts[1]


class TestVersions:
    def test_each_release_that_is_tried_has_a_row_in_each_table(self) -> None:
        """Without the connection's memory, and with it."""
        rows = re.findall(r"^\| (\d\S*) \|", page("versions.md"), re.MULTILINE)
        assert rows == 2 * [release.version for release in RELEASES]
