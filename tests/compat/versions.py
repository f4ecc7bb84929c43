"""Which Airflow this is."""

from importlib.metadata import version

from packaging.version import Version

AIRFLOW = Version(version("apache-airflow")).release
"""Such as (3, 0, 6)."""

REMEMBERS = AIRFLOW >= (3, 3)
"""Whether it has a task state store: without one, a retry pays again."""
