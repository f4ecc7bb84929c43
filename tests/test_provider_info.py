"""Airflow takes the provider's description: by its schemas, its discovery, and its command line."""

import json
import subprocess
import sys
from importlib import import_module
from importlib.metadata import entry_points
from importlib.resources import files
from importlib.util import find_spec
from types import SimpleNamespace
from typing import Any

import jsonschema
import pytest

from airflow_provider_mps import __version__
from airflow_provider_mps.emulator import MpsEmulator
from airflow_provider_mps.get_provider_info import CONNECTION_FIELDS, get_connection_form_widgets, get_provider_info
from airflow_provider_mps.hooks.mps import MpsHook
from tests.compat.versions import AIRFLOW

# What a community provider's provider.yaml has beside, which an installed package does not tell.
RELEASE_FIELDS = {"state": "ready", "source-date-epoch": 0, "versions": [__version__]}


def since(*release: int) -> pytest.MarkDecorator:
    return pytest.mark.skipif(release > AIRFLOW, reason=f"Airflow {AIRFLOW} has no such thing, or another one")


@pytest.mark.parametrize(
    ("schema", "beside"),
    [
        ("provider_info.schema.json", {}),
        pytest.param("provider.yaml.schema.json", RELEASE_FIELDS, marks=since(3, 3)),  # older ones want less
    ],
)
def test_it_meets_airflows_schema(schema: str, beside: dict[str, Any]) -> None:
    jsonschema.validate(get_provider_info() | beside, json.loads((files("airflow") / schema).read_text()))


def test_the_installed_package_leads_to_it() -> None:
    [entry_point] = [
        entry_point
        for entry_point in entry_points(group="apache_airflow_provider")
        if entry_point.dist and entry_point.dist.name == "airflow-provider-mps"
    ]
    assert entry_point.load() is get_provider_info


@since(3, 1)
def test_airflows_providers_page_links_to_documentation() -> None:
    from airflow.providers_manager import ProvidersManager

    data = ProvidersManager().providers["airflow-provider-mps"].data
    assert data["documentation-url"].strip().startswith("https://")  # Airflow 3.1 leaves a blank before it


def test_every_module_and_class_that_it_names_is_there() -> None:
    info = get_provider_info()
    modules = [
        module
        for kind in ("operators", "sensors", "hooks", "triggers")
        for group in info[kind]
        for module in group["python-modules"]
    ]
    for module in modules + [transfer["python-module"] for transfer in info["transfers"]]:
        import_module(module)
    classes = [kind["hook-class-name"] for kind in info["connection-types"]] + info.get("extra-links", [])
    for module, _, name in (path.rpartition(".") for path in classes):
        assert isinstance(getattr(import_module(module), name), type)


def test_the_form_opens_with_what_an_empty_connection_means(monkeypatch: pytest.MonkeyPatch) -> None:
    def settings(extra: dict[str, Any]) -> Any:
        connection = {"conn_type": "tencent_mps", "login": "id", "password": "key", "extra": extra}
        monkeypatch.setenv("AIRFLOW_CONN_FORM", json.dumps(connection))
        return MpsHook("form").settings

    untouched = {name: field["schema"].get("default") for name, field in CONNECTION_FIELDS.items()}
    assert settings(untouched) == settings({})


def test_every_choice_of_the_form_is_one_that_the_hook_takes(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, field in CONNECTION_FIELDS.items():
        for choice in field["schema"].get("enum", []):
            extra = {"role_arn": "qcs::cam::uin/1:roleName/r", "cvm_role_name": "r", name: choice}
            connection = {"conn_type": "tencent_mps", "login": "id", "password": "key", "extra": extra}
            monkeypatch.setenv("AIRFLOW_CONN_FORM", json.dumps(connection))
            assert MpsHook("form").settings


def test_widgets_for_airflow_before_3_2_have_the_same_fields(monkeypatch: pytest.MonkeyPatch) -> None:
    def field(kind: str) -> Any:
        return lambda label, **about: SimpleNamespace(kind=kind, label=label, **about)

    # Airflow 2.11 brings these two packages, 3.x does not.
    stand_ins = {
        "flask_appbuilder.fieldwidgets": SimpleNamespace(BS3PasswordFieldWidget=object, BS3TextFieldWidget=object),
        "wtforms": SimpleNamespace(PasswordField=field("password"), StringField=field("text")),
        "wtforms.validators": SimpleNamespace(Optional=object, any_of=lambda values: values),
    }
    for name, module in stand_ins.items():
        monkeypatch.setitem(sys.modules, name, module)

    widgets = get_connection_form_widgets()

    assert list(widgets) == list(CONNECTION_FIELDS)
    assert [name for name, widget in widgets.items() if widget.kind == "password"] == ["token"]
    assert widgets["site"].default == "intl"
    assert ["intl", "cn"] in widgets["site"].validators


def test_airflow_has_a_form_for_a_connection(record_property: Any) -> None:
    from airflow.providers_manager import ProvidersManager

    # Before Airflow 3.2, the form is made by what the FAB provider brings.
    whole = AIRFLOW >= (3, 2) or find_spec("flask_appbuilder")
    ours = [name for name in ProvidersManager().connection_form_widgets if name.startswith("extra__tencent_mps__")]
    assert [name.removeprefix("extra__tencent_mps__") for name in ours] == (list(CONNECTION_FIELDS) if whole else [])
    record_property("The connection's form", "whole" if whole else "empty without the FAB provider")


def test_airflow_knows_the_provider_and_its_hook() -> None:
    from airflow.providers_manager import ProvidersManager

    assert ProvidersManager().providers["airflow-provider-mps"].version == __version__
    hook = ProvidersManager().hooks["tencent_mps"]
    assert hook
    assert hook.hook_class_name == "airflow_provider_mps.hooks.mps.MpsHook"
    assert hook.connection_id_attribute_name == "mps_conn_id"


def test_airflow_tests_a_connection_of_this_type(mps_emulator: MpsEmulator, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AIRFLOW__CORE__TEST_CONNECTION", "Enabled")
    command = [sys.executable, "-m", "airflow", "connections", "test", "tencent_mps_default"]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=300)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "Connection success!" in done.stdout
    assert mps_emulator.requests
