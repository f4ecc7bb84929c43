"""Which Airflow this is."""

from importlib.metadata import version

from packaging.version import Version

AIRFLOW = Version(version("apache-airflow")).release
"""Such as (3, 0, 6)."""
