"""Keeps the files of a task before their URLs expire."""

from __future__ import annotations

import ast
import hashlib
import math
import os
import re
import time
import unicodedata
import uuid
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Any, Unpack, cast
from urllib.parse import unquote, urlsplit

from airflow_provider_mps.api.cos import CosObject, signed_url
from airflow_provider_mps.api.errors import (
    DownloadError,
    ExpiredUrlError,
    InvalidArgumentError,
    InvalidConnectionError,
)
from airflow_provider_mps.api.redaction import without_queries
from airflow_provider_mps.api.requests import seconds
from airflow_provider_mps.api.settings import is_loopback
from airflow_provider_mps.compat import AirflowNotFoundException, BaseOperator
from airflow_provider_mps.hooks.mps import MpsHook
from airflow_provider_mps.lineage import describe_outlets, operator_lineage
from airflow_provider_mps.links.mps import ListenLink, ViewLink, WatchLink
from airflow_provider_mps.telling import told_errors

if TYPE_CHECKING:
    from airflow.providers.common.compat.sdk import Context, ObjectStoragePath, XComArg

    from airflow_provider_mps.airflow_arguments import AirflowArguments
    from airflow_provider_mps.api.download import Downloaded
    from airflow_provider_mps.api.settings import ClientSettings

__all__ = ["DownloadError", "ExpiredUrlError", "MpsToObjectStorageOperator"]

_DEPTH_LIMIT = 10
_DESTINATION = re.compile(r"((?P<scheme>[a-zA-Z][\w+.-]*)://((?P<conn_id>[^/@]*)@)?)?(?P<path>.*)", re.DOTALL)
_RENDERED = "pass op.output[...] as it is, or set render_template_as_native_obj=True on the DAG"


class MpsToObjectStorageOperator(BaseOperator):
    """Streams the files of a finished task to a folder, wherever Airflow's object storage reaches.

    Each file gets the last part of its URL's path as its name, numbered where two are alike. It is written under
    another name first and renamed when its length is right, so that a half file never takes the place of a whole one.
    A file that is there already stays: with the same content it counts as kept (by an earlier try of the task),
    with any other content it is an error, unless ``overwrite`` is set.

    Returns the files' URIs as strings, with a scheme and the destination's connection id. The assets that it is an
    outlet of get ``files`` as extra, each with its ``uri``, ``length`` in bytes, and ``duration`` where it was given;
    an alias among them gets an asset for each file.

    :param urls: one or a list of: https URLs, ``cos://bucket/key``, the API's results with ``Url`` and ``Duration``,
        and the API's objects in COS with ``Bucket``, ``Region`` and ``Object``. The XComs ``audio_urls``, ``cos_uris``
        and ``cos_objects`` are such lists. Plain http is for this machine, and only with a connection to it.
        What is in COS needs the extra ``cos``; so does the bare https URL of a file there, which is signed first.
    :param destination: the folder: a URI such as ``s3://bucket/soundtracks/{{ ds }}``, an absolute path, or an
        ``ObjectStoragePath``.
    :param storage_conn_id: the Airflow connection of the object storage; also ``s3://conn_id@bucket/...``.
    :param mps_conn_id: the Airflow connection whose keys sign what is in COS, and whose ``proxy`` and ``verify`` hold
        for all downloads. Where it does not exist, https URLs are downloaded without a proxy, TLS verified.
    :param cos_region: the region of the buckets of ``cos://`` URIs; the connection's ``cos_region`` where it is not
        given.
    :param timeout: seconds (a number or a timedelta) without a byte after which a download counts as cut off.
    :param download_timeout: seconds (likewise) for each file as a whole, repeats included: one hour.
    :param max_bytes: a larger file is refused: 10 GiB.
    :param overwrite: whether a file of the same name and other content is replaced.
    """

    template_fields: Sequence[str] = ("urls", "destination", "storage_conn_id", "mps_conn_id", "cos_region")
    ui_color = "#e2f5e5"
    # To what was read, while its URL is good: a browser opens neither file:// nor s3://.
    operator_extra_links = (ListenLink(), WatchLink(), ViewLink())

    def __init__(
        self,
        *,
        urls: str | Mapping[str, Any] | Sequence[str | Mapping[str, Any] | XComArg] | XComArg,
        destination: str | ObjectStoragePath | XComArg,
        storage_conn_id: str | XComArg | None = None,
        mps_conn_id: str | XComArg = MpsHook.default_conn_name,
        cos_region: str | XComArg | None = None,
        timeout: float | timedelta = 60.0,
        download_timeout: float | timedelta = 3600.0,
        max_bytes: int = 10 * 1024**3,
        overwrite: bool = False,
        **kwargs: Unpack[AirflowArguments],
    ) -> None:
        super().__init__(**kwargs)
        self.urls = urls
        # What follows is so once it is rendered.
        self.destination = cast("str | ObjectStoragePath", destination)
        self.storage_conn_id = cast("str | None", storage_conn_id)
        self.mps_conn_id = cast("str", mps_conn_id)
        self.cos_region = cast("str | None", cos_region)
        self.timeout = timeout
        self.download_timeout = download_timeout
        self.max_bytes = max_bytes
        self.overwrite = overwrite
        self.sources: Sequence[_Source] = ()
        self.kept: Sequence[Mapping[str, Any]] = ()
        self.files: Mapping[str, Any] = {}

    def execute(self, context: Context) -> list[str]:
        """Fetch the files, and put each in its place once it is whole; their URIs."""
        with told_errors(self):
            self._check_numbers()
            sources = _sources(self.urls)
            names = _names(sources)
            folder = self._folder()
            settings = self._settings()
            sources = [self._reachable(source, settings) for source in sources]
            if in_cos := next((source for source in sources if source.cos), None):
                self._address(in_cos, settings)  # what hinders signing is said before anything is downloaded
            targets = self._targets(folder, names)
            self.sources = sources
            self.files = {"urls": [source.cos.url if source.cos else source.url for source in sources]}
            self.kept = [self._keep(source, target, settings) for source, target in zip(sources, targets, strict=True)]
        describe_outlets(context, self.outlets or (), {"files": self.kept}, {file["uri"]: file for file in self.kept})
        return [file["uri"] for file in self.kept]

    def get_openlineage_facets_on_complete(self, task_instance: Any) -> Any:
        """The files that were read, and those that were kept."""
        return operator_lineage([source.url for source in self.sources], [file["uri"] for file in self.kept])

    def _check_numbers(self) -> None:
        seconds("timeout", self.timeout)
        seconds("download_timeout", self.download_timeout)
        if isinstance(self.max_bytes, bool) or not isinstance(self.max_bytes, int) or self.max_bytes <= 0:
            raise InvalidArgumentError("max_bytes", "must be a whole number of bytes, more than 0")
        if not isinstance(self.overwrite, bool):
            raise InvalidArgumentError("overwrite", f"must be True or False, not {_shown(self.overwrite)}")

    def _folder(self) -> ObjectStoragePath:
        from airflow_provider_mps.compat import ObjectStoragePath

        given, conn_id = self.destination, self.storage_conn_id
        if conn_id is not None and not isinstance(conn_id, str):
            raise InvalidArgumentError("storage_conn_id", f"must be a connection's id, not {_shown(conn_id)}")
        if not isinstance(given, (str, ObjectStoragePath)):
            raise InvalidArgumentError("destination", f"must be text or an ObjectStoragePath, not {_shown(given)}")
        text = str(given)
        parts = _DESTINATION.fullmatch(text)
        if not parts or not text.strip() or _has_control_characters(text):
            raise InvalidArgumentError("destination", "is empty, or has characters that a path cannot have")
        scheme, path = parts["scheme"] or "file", parts["path"]
        if scheme.lower() in ("file", "local"):
            if not path.startswith("/"):
                raise InvalidArgumentError("destination", f"{_shown(text)} is relative: give the path from / on")
        elif not path.strip("/"):
            raise InvalidArgumentError("destination", f"{_shown(text)} names no bucket or folder")
        try:
            if isinstance(given, str) or conn_id:  # Airflow before 3.2 forgets the id in a URI where None is passed
                folder = ObjectStoragePath(text, conn_id=conn_id or parts["conn_id"] or None)
            else:
                folder = given
            folder.fs  # noqa: B018 - it is here that the storage's connection and library are looked up
        except AirflowNotFoundException as error:
            raise InvalidArgumentError("storage_conn_id" if conn_id else "destination", str(error)) from None
        except (ValueError, TypeError, ImportError) as error:
            raise InvalidArgumentError(
                "destination",
                f"there is no storage for {scheme}:// here ({without_queries(str(error))}): install the Airflow "
                "provider that serves it, such as apache-airflow-providers-amazon[s3fs]",
            ) from None
        return folder

    def _settings(self) -> ClientSettings | None:
        """The connection's; None where there is none of that id, for an https URL needs none."""
        if not self.mps_conn_id or not isinstance(self.mps_conn_id, str):
            raise InvalidArgumentError("mps_conn_id", f"must be a connection's id, not {_shown(self.mps_conn_id)}")
        try:
            return MpsHook(self.mps_conn_id).settings
        except AirflowNotFoundException:
            self.log.info("There is no connection %s: downloading without a proxy, TLS verified.", self.mps_conn_id)
            return None

    def _reachable(self, source: _Source, settings: ClientSettings | None) -> _Source:
        """The source with all that it takes to reach it, or an error that says what is missing."""
        if source.url.startswith("http:") and not (settings and is_loopback(settings.host)):
            raise InvalidArgumentError(
                "urls", "plain http is taken only where the MPS connection itself leads to this machine"
            )
        if source.cos is None:
            return source
        if settings is None:
            if source.url.startswith("https:"):  # the bucket may be public
                return _Source(source.url, None, source.extra)
            raise InvalidConnectionError(f"Connection {self.mps_conn_id}: is not defined; cos:// needs its keys")
        if source.cos.region:
            return source
        region = self.cos_region or settings.cos_region
        if not region:
            raise InvalidArgumentError("cos_region", "is needed for cos://, as the connection has no cos_region")
        cos = CosObject(source.cos.bucket, source.cos.key, region if isinstance(region, str) else "")
        cos.check("urls")
        return _Source(source.url, cos, source.extra)

    def _targets(self, folder: ObjectStoragePath, names: Sequence[str]) -> list[ObjectStoragePath]:
        try:
            folder.mkdir(parents=True, exist_ok=True)
            targets = [folder / name for name in names]
            for target in targets:
                if target.is_dir():
                    raise InvalidArgumentError("destination", f"has a folder where the file {target.name} would go")
        except (FileExistsError, NotADirectoryError):
            raise InvalidArgumentError("destination", f"{_shown(str(folder))} is a file, or below one") from None
        except OSError as error:
            raise DownloadError(f"destination: {folder} cannot be written to: {error.strerror or error}") from error
        return targets

    def _keep(self, source: _Source, target: ObjectStoragePath, settings: ClientSettings | None) -> dict[str, Any]:
        from airflow_provider_mps.api.download import Download

        part = target.parent / f".{target.name}.{uuid.uuid4().hex[:8]}.part"
        began = time.monotonic()
        try:
            file = Download(
                self._address(source, settings),
                target.name,
                timeout=seconds("timeout", self.timeout),
                download_timeout=seconds("download_timeout", self.download_timeout),
                max_bytes=self.max_bytes,
                proxy=settings.proxy if settings else "",
                verify=settings.verify if settings else True,
            ).to(part)
            if not self.overwrite and target.exists():
                if not _holds(target, file):
                    raise DownloadError(
                        f"{target.name}: {target} holds other content already ({target.stat().st_size:,} bytes; "
                        f"{file.length:,} came): not overwritten",
                        retry_helps=False,
                        advice="Delete it, choose another destination, or set overwrite=True",
                    )
                part.unlink()
            else:
                part.fs.mv(part.path, target.path)
        except BaseException:
            if part.exists():
                part.unlink()
            raise
        self.log.info("Kept %s: %s bytes in %.1f s", target, f"{file.length:,}", time.monotonic() - began)
        return {"uri": _uri(target), "length": file.length, **source.extra}

    def _address(self, source: _Source, settings: ClientSettings | None) -> str:
        """Where a file can be downloaded: itself, or for one in COS a URL that is good for an hour."""
        if source.cos is None or settings is None:
            return source.url
        return signed_url(source.cos, MpsHook(self.mps_conn_id).keys(), settings.cos_endpoint)


@dataclass(frozen=True)
class _Source:
    """A file to keep.

    :param url: its URL, or its ``cos://`` URI.
    :param cos: the object in COS that must be signed for before it can be read.
    :param extra: what else the API says of it, for the assets' events.
    """

    url: str
    cos: CosObject | None
    extra: Mapping[str, Any]


def _sources(value: Any, depth: int = 0) -> list[_Source]:
    """The files, from one, a list, a list of lists (of mapped tasks), or a list that a template wrote as text."""
    if depth > _DEPTH_LIMIT:
        raise InvalidArgumentError("urls", f"is nested more than {_DEPTH_LIMIT} deep")
    if isinstance(value, str) and value.lstrip()[:1] in ("[", "{"):
        try:
            value = ast.literal_eval(value.strip())
        except (ValueError, SyntaxError, RecursionError, MemoryError):
            raise InvalidArgumentError("urls", f"is a list or dict rendered to text: {_RENDERED}") from None
    if isinstance(value, str):
        return [_from_url(value, {})]
    if isinstance(value, Mapping):
        return [_from_object(value)]
    if value is None and depth == 0:
        return []
    if isinstance(value, (bytes, bytearray, memoryview)) or not isinstance(value, Iterable):
        raise InvalidArgumentError("urls", f"holds {_shown(value)}, which is not a URL")
    try:
        items = list(value)
    except TypeError:  # what an XComArg raises, which only a template field resolves
        raise InvalidArgumentError("urls", f"holds {_shown(value)}, which cannot be listed") from None
    return [source for item in items for source in _sources(item, depth + 1)]


def _from_object(value: Mapping[str, Any]) -> _Source:
    duration = value.get("Duration")
    known = isinstance(duration, (int, float)) and not isinstance(duration, bool) and math.isfinite(duration)
    extra = {"duration": duration} if known else {}
    if isinstance(value.get("Url"), str):
        return _from_url(value["Url"], extra)
    bucket, key, region = (value.get(name) for name in ("Bucket", "Object", "Region"))
    if not (isinstance(bucket, str) and isinstance(key, str) and isinstance(region, (str, type(None)))):
        raise InvalidArgumentError("urls", "holds a dict with neither a Url nor Bucket, Region and Object as text")
    cos = CosObject(bucket, key.lstrip("/"), region or "")
    return _checked(_Source(cos.uri, cos, extra))


def _from_url(url: str, extra: Mapping[str, Any]) -> _Source:
    import httpx

    if url.startswith("cos://"):
        return _checked(_Source(url, CosObject.from_uri("urls", url, ""), extra))
    try:
        parts = httpx.URL(url)  # it is httpx that will fetch it
        urlsplit(url).port  # noqa: B018 - refuses what httpx lets pass; name and bucket are read by it
        usable = parts.scheme == "https" or (parts.scheme == "http" and is_loopback(parts.host))
    except (httpx.InvalidURL, ValueError):
        usable = False
    if not usable or not parts.host:
        raise InvalidArgumentError(
            "urls", f"holds {_shown(url)}, which is not an https or cos URL (nor http to this machine)"
        )
    # A result in the user's own bucket comes without a signature, and a private bucket answers 403 to that.
    bare = parts.scheme == "https" and parts.port is None and not parts.query
    return _checked(_Source(url, CosObject.from_url(url) if bare else None, extra))


def _checked(source: _Source) -> _Source:
    if _has_control_characters(source.url):
        raise InvalidArgumentError("urls", f"holds {_shown(source.url)}, with characters that a URL cannot have")
    if source.cos and source.cos.region:
        source.cos.check("urls")
    return source


def _names(sources: Sequence[_Source]) -> list[str]:
    """A file name for each source: the last part of its path, numbered where two are alike."""
    if not sources:
        raise InvalidArgumentError("urls", "is empty: did the task before give any file?")
    names: dict[str, None] = {}
    for source in sources:
        path = source.cos.key if source.cos else urlsplit(source.url).path
        name = path.rpartition("/")[2]
        name = name if source.cos else unquote(name)
        if not name.strip(". ") or len(name.encode()) > 200 or any(c in "/\\" or not c.isprintable() for c in name):
            raise InvalidArgumentError("urls", "has a path whose last part cannot be a file name")
        stem, suffix = os.path.splitext(name)
        number = 1
        while name in names:
            number += 1
            name = f"{stem}-{number}{suffix}"
        names[name] = None
    return list(names)


def _holds(target: ObjectStoragePath, file: Downloaded) -> bool:
    """Whether the content of a file is what came."""
    if target.stat().st_size != file.length:
        return False
    with target.open("rb") as held:
        return hashlib.file_digest(held, "sha256").hexdigest() == file.sha256


def _uri(path: ObjectStoragePath) -> str:
    """The URI under which the next task finds a file: Airflow before 3.2 leaves ``file://`` out."""
    return str(path) if "://" in str(path) else f"file://{path}"


def _has_control_characters(text: str) -> bool:
    """Whether a text has control characters or lone surrogates."""
    return any(unicodedata.category(character) in ("Cc", "Cs") for character in text)


def _shown(value: object) -> str:
    """What was given, as far as an error may show it: its type; of text the beginning, of a URL only the host."""
    if not isinstance(value, str) or "@" in value:
        return "None" if value is None else type(value).__name__
    url = re.match(r"[\w+.-]+://[^/?#;=%]*", value)
    return f"str {(url[0][:80] if url else re.split('[?#;=]', value[:20])[0])!r}..."
