"""The XComs that a task of this package pushes: their keys, and what the files' are."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from airflow_provider_mps.api.files.cos import CosObject

if TYPE_CHECKING:
    from airflow_provider_mps.api.tasks import TaskStatus
    from airflow_provider_mps.api.wire.settings import Site

USAGE_XCOM = "usage"
CONSOLE_XCOM = "cos_console_url"
MPS_CONSOLE_XCOM = "_link_MpsConsoleLink"
"""Where Airflow 3 keeps the link when a try ends, and looks for it at any time."""


def file_xcoms(status: TaskStatus, site: Site, store_cos_param: Mapping[str, Any] | None = None) -> dict[str, Any]:
    """Where a task's files are, by XCom key: ``audio_urls`` and the like; those in COS as ``cos_uris`` and, with the
    region, as ``cos_urls``.

    MPS's own store may be in COS as well (so in the samples of the API reference): what is known to be there is not
    among these, for the user's keys do not open it; and where it is not known, nothing leads to the bucket's console.

    :param site: whose console shows the bucket.
    :param store_cos_param: where MPS was to store them: empty for its own store, None where that is not known. A media
        task says itself where it has stored them.
    """
    files: dict[str, Any] = {
        "cos_uris" if kind == "cos" else f"{kind}_urls": each for kind, each in status.files.items()
    }
    in_cos = status.in_cos or [found for url in status.urls if (found := CosObject.from_url(url, store_cos_param))]
    says_itself = "cos" in status.files
    if store_cos_param is not None and not says_itself:
        in_cos = [file for file in in_cos if _is_named(file.bucket, store_cos_param)]
    if in_cos:
        files["cos_uris"] = [file.uri for file in in_cos]
        urls = [file.url for file in in_cos]
        # Bucket and region come from an answer: what does not make an address of COS names no file.
        if [CosObject.from_url(url) for url in urls] == list(in_cos):
            files["cos_urls"] = urls
        if says_itself or store_cos_param is not None:
            files[CONSOLE_XCOM] = in_cos[0].console_url(site)
    return files


def _is_named(bucket: str, store_cos_param: Mapping[str, Any]) -> bool:
    """Whether it is the bucket that a StoreCosParam names, with the account's APPID or without."""
    return store_cos_param.get("CosBucketName") in (bucket, bucket.rpartition("-")[0])
