"""What Airflow reads of this package at start-up: its modules and the form of its connection."""

from typing import Any

from airflow_provider_mps.api.wire.settings import INTL, SITES, ClientSettings, CredentialKind

INTEGRATION = "Tencent Cloud Media Processing Service (MPS)"

# The fields of the connection's Extra, in the order of the form, as Airflow 3.2 and later read them ("conn-fields").
# get_connection_form_widgets() makes the widgets of earlier versions from the same.
CONNECTION_FIELDS: dict[str, dict[str, Any]] = {
    "site": {
        "label": "Site",
        "description": "Where the account is: intl (international) or cn (China)",
        "schema": {"type": ["string", "null"], "enum": list(SITES), "default": INTL.name},
    },
    "region": {
        "label": "Region",
        "description": "Of the calls, such as ap-singapore; most actions need none. Site intl takes none of China's",
        "schema": {"type": ["string", "null"]},
    },
    "credential": {
        "label": "Credential",
        "description": "Where the keys come from: static (the SecretId and SecretKey above), assume_role (those, "
        "exchanged for a role's), cvm_role, tke_oidc, or default_chain (the environment, a profile, then the machine)",
        "schema": {
            "type": ["string", "null"],
            "enum": [kind.value for kind in CredentialKind],
            "default": CredentialKind.STATIC.value,
        },
    },
    "endpoint": {
        "label": "Endpoint",
        "description": f"Another host of MPS than the site's own, such as {INTL.host}; the field Host of a connection "
        "that was not made in this form comes first",
        "schema": {"type": ["string", "null"]},
    },
    "token": {
        "label": "Token",
        "description": "Of a temporary SecretId and SecretKey",
        "schema": {"type": ["string", "null"], "format": "password"},
    },
    "role_arn": {
        "label": "Role ARN",
        "description": "For assume_role: the role, such as qcs::cam::uin/UIN:roleName/NAME",
        "schema": {"type": ["string", "null"]},
    },
    "role_session_name": {
        "label": "Role session name",
        "description": "For assume_role: the name that the account's audit log shows",
        "schema": {"type": ["string", "null"]},
    },
    "cvm_role_name": {
        "label": "CVM role name",
        "description": "For cvm_role: the role bound to the machine; empty means the one found there",
        "schema": {"type": ["string", "null"]},
    },
    "sts_endpoint": {
        "label": "STS endpoint",
        "description": "For roles: the host that gives out temporary keys; empty means the site's own",
        "schema": {"type": ["string", "null"]},
    },
    "cos_region": {
        "label": "COS region",
        "description": "Of the buckets in cos://bucket/key, such as ap-guangzhou; empty means the same as Region",
        "schema": {"type": ["string", "null"]},
    },
    "cos_endpoint": {
        "label": "COS endpoint",
        "description": "URL under which cos:// files are read, such as an internal one; empty means the region's own",
        "schema": {"type": ["string", "null"]},
    },
    "memory": {
        "label": "Memory",
        "description": "A folder in object storage where what was paid for is remembered, such as "
        "cos://tencent_mps_default@bucket-1250000000/mps; empty means in Airflow, from 3.3 on",
        "schema": {"type": ["string", "null"]},
    },
    "proxy": {
        "label": "Proxy",
        "description": "URL of an HTTP proxy, such as http://proxy.example:3128",
        "schema": {"type": ["string", "null"]},
    },
    "verify": {
        "label": "Verify TLS",
        "description": "true, false, or the path of a CA bundle",
        "schema": {"type": ["string", "null"], "default": "true"},
    },
    "timeout": {
        "label": "Timeout",
        "description": "Seconds for one attempt of a call as a whole",
        "schema": {"type": ["number", "null"], "default": ClientSettings.timeout},
    },
    "requests_per_second": {
        "label": "Requests per second",
        "description": "Your own limit for each action, such as a lower one where others share the account; "
        "empty: the documented one of each action. Polls keep a little below it",
        "schema": {"type": ["number", "null"]},
    },
    "prices": {
        "label": "Prices",
        "description": "Your own, for estimates: JSON by model, or model and version, such as "
        '{"currency": "USD", "MiniMaxMusic 2.6": {"song": 0.14}, "Kling": {"second": 0.05}, "Qwen": {"picture": 0.02}}',
        "schema": {"type": ["string", "null"]},
    },
}

# Airflow's page has an order of its own: description, host, login, password, port, schema. With host and schema hidden,
# the keys come first. Both still count where a connection is given in another way; "endpoint" stands for the host.
HIDDEN_FIELDS = ["extra", "host", "schema"]
RELABELING = {"login": "SecretId", "password": "SecretKey", "port": "Port"}
PLACEHOLDERS = {
    "login": "from the console: Cloud Access Management, API keys",
    # docs/decisions/0013-test-button.md
    "port": "443: fill it in, Airflow's Test button needs it",
}


def get_provider_info() -> dict[str, Any]:
    """Describe this package in the words of Airflow's provider_info.schema.json."""
    return {
        "package-name": "airflow-provider-mps",
        "name": "Tencent Cloud MPS",
        "description": "Soundtracks, video, images and transcoding by Tencent Cloud Media Processing Service (MPS).",
        "integrations": [
            {
                "integration-name": INTEGRATION,
                "external-doc-url": "https://www.tencentcloud.com/document/product/1041",
                "tags": ["service", "generative-ai"],
            }
        ],
        "operators": [_modules("operators.mps")],
        "sensors": [_modules("sensors.mps")],
        "hooks": [_modules("hooks.mps")],
        "triggers": [_modules("triggers.mps", "triggers.room")],
        "transfers": [
            {
                "source-integration-name": INTEGRATION,
                "target-integration-name": "Object Storage",
                "python-module": "airflow_provider_mps.transfers.mps_to_object_storage",
            }
        ],
        "filesystems": ["airflow_provider_mps.storage.cos"],
        "extra-links": [
            f"airflow_provider_mps.links.mps.{name}"
            for name in ("ListenLink", "WatchLink", "ViewLink", "StoredInCosLink", "MpsConsoleLink")
        ],
        "config": {
            "mps": {
                "description": f"Settings of {INTEGRATION}.",
                "options": {
                    "results_page": {
                        "description": "Whether Airflow 3.1.1 and later show the results page: a tab of each DAG run, "
                        "and an entry of the menu.",
                        "version_added": "1.0.0",
                        "type": "boolean",
                        "example": "False",
                        "default": "True",
                    },
                    "usage_tags": {
                        "description": "Tags of the metrics mps.usage.* beside their own, of dag_id, task_id and "
                        "team_name: each has as many values as the deployment has DAGs, tasks or teams.",
                        "version_added": "1.0.0",
                        "type": "string",
                        "example": "dag_id,task_id",
                        "default": "",
                    },
                },
            }
        },
        "connection-types": [
            {
                "connection-type": "tencent_mps",
                "hook-class-name": "airflow_provider_mps.hooks.mps.MpsHook",
                "hook-name": "Tencent Cloud MPS",
                "ui-field-behaviour": {
                    "hidden-fields": HIDDEN_FIELDS,
                    "relabeling": RELABELING,
                    "placeholders": PLACEHOLDERS,
                },
                "conn-fields": CONNECTION_FIELDS,
            }
        ],
    }


def get_connection_form_widgets() -> dict[str, Any]:
    """Make the widgets of CONNECTION_FIELDS for the form of Airflow before 3.2, with its FAB and WTForms."""
    from flask_appbuilder.fieldwidgets import BS3PasswordFieldWidget, BS3TextFieldWidget
    from wtforms import PasswordField, StringField
    from wtforms.validators import Optional, any_of

    widgets = {}
    for name, field in CONNECTION_FIELDS.items():
        schema = field["schema"]
        secret = schema.get("format") == "password"
        widgets[name] = (PasswordField if secret else StringField)(
            field["label"],
            validators=[Optional(), *([any_of(schema["enum"])] if "enum" in schema else [])],
            description=field["description"],
            default=schema.get("default"),
            widget=BS3PasswordFieldWidget() if secret else BS3TextFieldWidget(),
        )
    return widgets


def _modules(*names: str) -> dict[str, Any]:
    return {"integration-name": INTEGRATION, "python-modules": [f"airflow_provider_mps.{name}" for name in names]}
