"""Keeps the files of a task before their URLs expire."""

from __future__ import annotations

import ast
import os
import time
import uuid
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote, urlsplit

from airflow.providers.common.compat.sdk import BaseOperator

from airflow_provider_mps.api.cos import CosObject, signed_url
from airflow_provider_mps.api.errors import DownloadError, ExpiredUrlError, InvalidArgumentError
from airflow_provider_mps.api.settings import is_loopback
from airflow_provider_mps.errors import airflow_errors
from airflow_provider_mps.hooks.mps import MpsHook
from airflow_provider_mps.lineage import describe_outlets, operator_lineage

if TYPE_CHECKING:
    from airflow.providers.common.compat.sdk import Context, ObjectStoragePath

__all__ = ["DownloadError", "ExpiredUrlError", "MpsToObjectStorageOperator"]


class MpsToObjectStorageOperator(BaseOperator):
    """Streams the files of a finished task to a folder, wherever Airflow's object storage reaches.

    Each file gets the last part of its URL's path as its name, numbered where two are alike. It is written under
    another name first and renamed when its length is right, so that a half file never takes the place of a whole one.

    :param urls: one URL, or a list, such as the XCom ``audio_urls``, or the API's objects with ``Url`` and
        ``Duration``. Only https, http to this machine, or ``cos://bucket/key`` (which needs the extra ``cos``).
    :param destination: the folder: a URI such as ``s3://bucket/soundtracks/{{ ds }}``, a path, or an
        ``ObjectStoragePath``.
    :param storage_conn_id: the Airflow connection of the object storage.
    :param mps_conn_id: the Airflow connection whose keys read ``cos://``.
    :param cos_region: the region of those buckets; the connection's ``region`` where it is not given.
    :param timeout: seconds without a byte after which a download counts as cut off.

    Returns the files' URIs as strings. The assets that it is an outlet of get ``files`` as extra, each with its
    ``uri``, ``length`` in bytes, and ``duration`` where it was given.
    """

    template_fields: Sequence[str] = ("urls", "destination", "storage_conn_id", "mps_conn_id", "cos_region")
    ui_color = "#e2f5e5"

    def __init__(
        self,
        *,
        urls: str | Sequence[str | Mapping[str, Any]],
        destination: str | ObjectStoragePath,
        storage_conn_id: str | None = None,
        mps_conn_id: str = MpsHook.default_conn_name,
        cos_region: str | None = None,
        timeout: float = 60.0,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.urls = urls
        self.destination = destination
        self.storage_conn_id = storage_conn_id
        self.mps_conn_id = mps_conn_id
        self.cos_region = cos_region
        self.kept: Sequence[Mapping[str, Any]] = ()
        self.timeout = timeout

    def execute(self, context: Context) -> list[str]:
        from airflow.providers.common.compat.sdk import ObjectStoragePath

        with airflow_errors():
            sources = _sources(self.urls)
            names = _names([source.url for source in sources])
            if not self.destination:
                raise InvalidArgumentError("destination", "is empty")
        folder = self.destination
        if isinstance(folder, str):
            folder = ObjectStoragePath(folder, conn_id=self.storage_conn_id)
        folder.mkdir(parents=True, exist_ok=True)
        with airflow_errors():
            self.kept = [self._keep(source, folder / name) for source, name in zip(sources, names, strict=True)]
        describe_outlets(context, self.outlets or (), {"files": self.kept})
        return [file["uri"] for file in self.kept]

    def get_openlineage_facets_on_complete(self, task_instance: Any) -> Any:
        """The files that were read, and those that were kept."""
        sources = [source.url for source in _sources(self.urls)]
        return operator_lineage(sources, [file["uri"] for file in self.kept])

    def _keep(self, source: _Source, target: ObjectStoragePath) -> dict[str, Any]:
        from airflow_provider_mps.api.download import Download

        part = target.parent / f".{target.name}.{uuid.uuid4().hex[:8]}.part"
        began = time.monotonic()
        try:
            size = Download(self._address(source.url), target.name, self.timeout).to(part)
            held = target.stat().st_size if target.exists() else 0
            if held > size:
                raise DownloadError(
                    f"{target.name}: {target} holds {held:,} bytes already, and {size:,} came: not overwritten. "
                    "Delete it, or choose another destination."
                )
            part.fs.mv(part.path, target.path)
        except BaseException:
            if part.exists():
                part.unlink()
            raise
        self.log.info("Kept %s: %s bytes in %.1f s", target, f"{size:,}", time.monotonic() - began)
        return {"uri": target.as_uri(), "length": size, **source.told}

    def _address(self, url: str) -> str:
        """Where a file can be downloaded: itself, or for a ``cos://`` a URL that is good for an hour."""
        if not url.startswith("cos://"):
            return url
        hook = MpsHook(self.mps_conn_id)
        region = self.cos_region or hook.settings.region
        if not region:
            raise InvalidArgumentError("cos_region", "is needed for cos://, as the connection has no region")
        return signed_url(CosObject.from_uri("urls", url, region), hook.keys(), hook.settings.cos_endpoint)


@dataclass(frozen=True)
class _Source:
    """A file to keep, and what the API told of it."""

    url: str
    told: Mapping[str, Any]


def _sources(value: Any) -> list[_Source]:
    """The files, from one, a list, a list of lists (of mapped tasks), or a list that a template wrote as text."""
    if isinstance(value, str) and value.lstrip().startswith("["):
        try:
            value = ast.literal_eval(value)
        except (ValueError, SyntaxError):
            raise InvalidArgumentError("urls", "is text that looks like a list and is none") from None
    if isinstance(value, Mapping):
        duration = value.get("Duration")
        return [_Source(_checked(value.get("Url")), {} if duration is None else {"duration": duration})]
    if isinstance(value, str):
        return [_Source(_checked(value), {})]
    if value is not None and not isinstance(value, Iterable):
        raise InvalidArgumentError("urls", f"must hold URLs, not {type(value).__name__}")
    return [source for item in value or () for source in _sources(item)]


def _checked(url: Any) -> str:
    try:
        parts = urlsplit(url) if isinstance(url, str) else urlsplit("")
        usable = parts.scheme in ("https", "cos") or (parts.scheme == "http" and is_loopback(parts.hostname))
        usable = usable and bool(parts.hostname)
    except ValueError:
        usable = False
    if not usable:
        raise InvalidArgumentError("urls", "holds something that is no https or cos URL (nor http to this machine)")
    return str(url)


def _names(urls: list[str]) -> list[str]:
    """A file name for each URL: the last part of its path, numbered where two are alike."""
    if not urls:
        raise InvalidArgumentError("urls", "is empty: did the task before give any file?")
    names: list[str] = []
    for url in urls:
        name = unquote(urlsplit(url).path.rpartition("/")[2])
        if not name.strip(". ") or len(name.encode()) > 200 or any(c in "/\\" or not c.isprintable() for c in name):
            raise InvalidArgumentError("urls", "has a path whose last part is no file name")
        stem, suffix = os.path.splitext(name)
        number = 1
        while name in names:
            number += 1
            name = f"{stem}-{number}{suffix}"
        names.append(name)
    return names
