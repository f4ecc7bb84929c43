"""The classes of this package's errors."""

from airflow_provider_mps.api.errors import MpsError


def error_classes(base: type[MpsError] = MpsError) -> set[type[MpsError]]:
    """A class and all that are made of it, Airflow's forms of them as well."""
    return {base}.union(*map(error_classes, base.__subclasses__()))
