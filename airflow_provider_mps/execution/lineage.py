"""What a task read and wrote, for OpenLineage and for the assets that it is an outlet of."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from contextlib import suppress
from typing import TYPE_CHECKING, Any
from urllib.parse import quote, urlsplit

from airflow_provider_mps.api.files.cos import CosObject
from airflow_provider_mps.api.redaction import plain_url

if TYPE_CHECKING:
    from airflow.providers.common.compat.sdk import Context

    from airflow_provider_mps.api.tasks.usage import Usage

_IN_URIS = "!$%&'()*+,/:;=@[]~"


def operator_lineage(inputs: Iterable[str], outputs: Iterable[str], made: Usage | None = None) -> Any:
    """OpenLineage's view of a task, from URLs and URIs, or None where the openlineage provider is not installed.

    What may be secret in a URL is left out; so is a value that cannot be parsed as one.

    :param made: what the task made, for the run facet ``mps_usage``.
    """
    try:
        import attrs
        from airflow.providers.common.compat.openlineage.facet import Dataset, RunFacet
        from airflow.providers.openlineage.extractors import OperatorLineage
    except ImportError:
        return None

    def datasets(uris: Iterable[str]) -> list[Any]:
        found = []
        for uri in uris:
            # A file in COS has one name, whether it is read by its URL or written as a cos:// URI.
            in_cos = CosObject.from_url(uri)
            with suppress(ValueError):
                part = urlsplit(in_cos.uri if in_cos else plain_url(uri))
                namespace, name = f"{part.scheme}://{part.netloc}", part.path.lstrip("/")
                if part.scheme == "file":  # as the spec, and Airflow's own provider, common-io, name it
                    namespace, name = namespace.removesuffix("://"), part.path
                found.append(Dataset(namespace=namespace, name=name))
        return found

    facets = {}
    if made is not None:
        facet = attrs.make_class("MpsUsageRunFacet", list(made), bases=(RunFacet,))
        facets["mps_usage"] = facet(**made)
    return OperatorLineage(inputs=datasets(inputs), outputs=datasets(outputs), run_facets=facets)


def describe_outlets(
    context: Context, outlets: Iterable[Any], extra: Mapping[str, Any], files: Mapping[str, Mapping[str, Any]]
) -> None:
    """Give the event of each asset that the task is an outlet of something to say: it is kept, so no signed URL.

    :param extra: what is said of all files.
    :param files: for each file's URI what is said of it: each becomes an asset of the aliases among the outlets.
    """
    events = context.get("outlet_events")
    if events is None:
        return
    from airflow_provider_mps.compat import Asset, AssetAlias

    for outlet in outlets:
        if not isinstance(outlet, AssetAlias):
            events[outlet].extra = dict(extra)
            continue
        for uri, said in files.items():
            # Airflow takes only ASCII (2.11, 3.0), or on MySQL (3.3). What is percent-encoded already stays so.
            events[outlet].add(Asset(uri=quote(uri, safe=_IN_URIS)), extra=dict(said))


def files_in(value: Any) -> list[str]:
    """Each URL and ``cos://`` URI in an operator's arguments, at any depth, and each COS object of the API."""
    if isinstance(value, str):
        return [value] if value.startswith(("http://", "https://", "cos://")) else []
    if isinstance(value, Mapping):
        if value.get("Bucket") and value.get("Object"):
            return [CosObject(str(value["Bucket"]), str(value["Object"]).lstrip("/")).uri]
        value = value.values()
    elif not isinstance(value, (list, tuple)):
        return []
    return [found for item in value for found in files_in(item)]
