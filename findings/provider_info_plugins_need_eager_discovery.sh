#!/usr/bin/env bash
# Airflow 3.3.2: the key "plugins" of a provider's get_provider_info(), which provider_info.schema.json documents, has no
# effect with Airflow's default settings. Plugins of providers are read only where [core] lazy_discover_providers is
# False, and it is True by default; no line of log says so. What works in both cases is the entry point group
# airflow.plugins, as apache-airflow-providers-openlineage has it.
#
# Seen: "airflow plugins" lists the plugin of the small provider below only in the second of the two runs.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
python3 -m venv venv
venv/bin/pip install --quiet "apache-airflow==3.3.2"

mkdir small_provider
cat >small_provider/__init__.py <<'PY'
def info():
    plugin = {"name": "small_plugin", "plugin-class": "small_provider.plugin.SmallPlugin"}
    return {"package-name": "small-provider", "name": "Small", "description": "A provider.", "plugins": [plugin]}
PY
cat >small_provider/plugin.py <<'PY'
from airflow.plugins_manager import AirflowPlugin


class SmallPlugin(AirflowPlugin):
    name = "small_plugin"
PY
cat >pyproject.toml <<'TOML'
[build-system]
requires = ["setuptools"]
build-backend = "setuptools.build_meta"
[project]
name = "small-provider"
version = "1.0.0"
[project.entry-points.apache_airflow_provider]
provider_info = "small_provider:info"
[tool.setuptools]
packages = ["small_provider"]
TOML
venv/bin/pip install --quiet .

export AIRFLOW_HOME=$folder/home AIRFLOW__CORE__LOAD_EXAMPLES=False
listed() { venv/bin/airflow plugins --output json 2>/dev/null | grep -c small_plugin || true; }
venv/bin/airflow version
lazy=$(listed)
eager=$(AIRFLOW__CORE__LAZY_DISCOVER_PROVIDERS=False listed)
echo "lines that name the plugin: $lazy by default, $eager with lazy_discover_providers=False"
test "$lazy" -eq 0 && test "$eager" -gt 0
