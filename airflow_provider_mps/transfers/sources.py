"""Which files a transfer keeps, and under which names: from what its arguments ``urls`` and ``file_name`` may be."""

from __future__ import annotations

import ast
import hashlib
import itertools
import math
import os
import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Any
from urllib.parse import unquote, urlsplit

from airflow_provider_mps.api.errors import InvalidArgumentError
from airflow_provider_mps.api.files.cos import CosObject
from airflow_provider_mps.api.redaction import plain_url
from airflow_provider_mps.api.request.convert import task_id
from airflow_provider_mps.api.tasks import MEDIA, PICTURES
from airflow_provider_mps.api.wire.settings import is_loopback
from airflow_provider_mps.storage.folders import has_control_characters

_DEPTH_LIMIT = 10
_RENDERED = "pass op.output[...] as it is, or set render_template_as_native_obj=True on the DAG"


class Source:
    """A file to keep.

    :param url: its URL, or its ``cos://`` URI.
    :param cos: the object in COS that must be signed for before it can be read.
    :param extra: what else the API says of it, for the assets' events.
    """

    # No dataclass, whose repr would show the URL: it may be signed, and a crash report shows the locals of its frames.
    def __init__(self, url: str, cos: CosObject | None, extra: Mapping[str, Any]) -> None:
        self.url = url
        self.cos = cos
        self.extra = extra

    @property
    def digest(self) -> str:
        """Tells its URL from others, also from those with another query, and does not tell the query."""
        return hashlib.sha256(self.url.encode()).hexdigest()


def sources_of(value: Any, depth: int = 0) -> list[Source]:
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
        return _from_object(value, depth)
    if value is None and depth == 0:
        return []
    if isinstance(value, (bytes, bytearray, memoryview)) or not isinstance(value, Iterable):
        raise InvalidArgumentError("urls", f"holds {shown(value)}, which is not a URL")
    try:
        items = list(value)
    except TypeError:  # what an XComArg raises, which only a template field resolves
        raise InvalidArgumentError("urls", f"holds {shown(value)}, which cannot be listed") from None
    return [source for item in items for source in sources_of(item, depth + 1)]


def _from_object(value: Mapping[str, Any], depth: int) -> list[Source]:
    duration = value.get("Duration")
    known = isinstance(duration, (int, float)) and not isinstance(duration, bool) and math.isfinite(duration)
    extra = {"duration": duration} if known else {}
    if isinstance(value.get("Url"), str):
        return [_from_url(value["Url"], extra)]
    if isinstance(value.get("TaskId"), str):
        return _from_result(value, depth)
    bucket, key, region = (value.get(name) for name in ("Bucket", "Object", "Region"))
    if not (isinstance(bucket, str) and isinstance(key, str) and isinstance(region, (str, type(None)))):
        raise InvalidArgumentError("urls", "holds a dict with neither a Url nor Bucket, Region and Object as text")
    cos = CosObject(bucket, key.lstrip("/"), region or "")
    return [_checked(Source(cos.uri, cos, extra))]


def _from_result(result: Mapping[str, Any], depth: int) -> list[Source]:
    """The files of the XCom ``result``: of a media task those in COS, of others what is in lists and fields of URLs."""
    if in_cos := MEDIA.in_cos({"TaskType": "Result", "Result": dict(result)}):
        return [_checked(Source(file.uri, file, {})) for file in in_cos]
    if signed := PICTURES.files(dict(result)).get("image"):
        return sources_of(signed, depth + 1)
    one = [url for name, url in result.items() if str(name).endswith("Url") and isinstance(url, str) and url]
    return sources_of([*one, *(part for part in result.values() if isinstance(part, (list, tuple)))], depth + 1)


def _from_url(url: str, extra: Mapping[str, Any]) -> Source:
    import httpx

    if url.startswith("cos://"):
        return _checked(Source(url, CosObject.from_uri("urls", url, ""), extra))
    url = _over_https(url)
    try:
        parts = httpx.URL(url)  # it is httpx that will fetch it
        urlsplit(url).port  # noqa: B018 - refuses what httpx lets pass; name and bucket are read by it
        usable = parts.scheme == "https" or (parts.scheme == "http" and is_loopback(parts.host))
    except (httpx.InvalidURL, ValueError):
        usable = False
    if not usable or not parts.host:
        raise InvalidArgumentError(
            "urls", f"holds {shown(url)}, which is not an https or cos URL (nor http to this machine)"
        )
    # A result in the user's own bucket comes without a signature, and a private bucket answers 403 to that.
    bare = parts.scheme == "https" and parts.port is None and not parts.query
    return _checked(Source(url, CosObject.from_url(url) if bare else None, extra))


def _over_https(url: str) -> str:
    """Some of Tencent's stores give http URLs, and serve them over https, too; nothing is read over http from afar."""
    try:
        parts = urlsplit(url)
        if parts.scheme == "http" and parts.port in (None, 80) and not is_loopback(parts.hostname):
            return parts._replace(scheme="https", netloc=parts.netloc.removesuffix(":80")).geturl()
    except ValueError:
        pass  # it is refused with all others that are none
    return url


def _checked(source: Source) -> Source:
    if has_control_characters(source.url):
        raise InvalidArgumentError("urls", f"holds {shown(source.url)}, with characters that a URL cannot have")
    if source.cos and source.cos.region:
        source.cos.check("urls")
    return source


def task_ids_of(value: Any, depth: int = 0) -> list[str]:
    """TaskIds, from one, a list, or lists of them; mapped tasks that failed have left None in their place."""
    if value is None:
        return []
    if isinstance(value, str):
        if value.lstrip().startswith("["):
            raise InvalidArgumentError("mps_task_ids", f"is a list rendered to text: {_RENDERED}")
        return [task_id("mps_task_ids", value)]
    if depth > _DEPTH_LIMIT or isinstance(value, (Mapping, bytes)) or not isinstance(value, Iterable):
        raise InvalidArgumentError("mps_task_ids", f"holds {shown(value)}, which is not a TaskId")
    try:
        items = list(value)
    except TypeError:  # what an XComArg raises, which only a template field resolves
        raise InvalidArgumentError("mps_task_ids", f"holds {shown(value)}, which cannot be listed") from None
    return [found for item in items for found in task_ids_of(item, depth + 1)]


def names_of(
    sources: Sequence[Source], file_name: str | None, earlier: Sequence[Mapping[str, Any]] = ()
) -> list[tuple[str, Mapping[str, Any]]]:
    """Of each source a file name, and what an earlier try has written down of it; an empty mapping: nothing.

    The name is the last part of its path, numbered where two are alike.

    :param file_name: stands in the place of what is before the suffix.
    :param earlier: all that an earlier try has written down. The names stay, also where another source, which that try
        could not reach, would come before.
    """
    if not sources:
        raise InvalidArgumentError("urls", "is empty: did the task before give any file?")
    parts = [_stem_and_suffix(source, file_name) for source in sources]
    written: dict[str, list[Mapping[str, Any]]] = {}
    for entry in earlier:
        written.setdefault(entry["source"], []).append(entry)
    alike = Counter(plain_url(source.url) for source in sources)
    named: dict[int, tuple[str, Mapping[str, Any]]] = {}
    taken: set[str] = set()
    for number, (source, (stem, suffix)) in enumerate(zip(sources, parts, strict=True)):
        plain = plain_url(source.url)
        form = re.compile(rf"{re.escape(stem)}(-[0-9]{{1,9}})?{re.escape(suffix)}")
        fitting = [entry for entry in written.get(plain, []) if form.fullmatch(entry["name"])]
        own = [entry for entry in fitting if entry.get("url") == source.digest]
        if not own and len(fitting) == alike[plain] == 1:
            own = fitting  # it is signed anew; of more, the query may tell one song from another
        if free := [entry for entry in own if entry["name"] not in taken]:
            named[number] = free[0]["name"], free[0]
            taken.add(free[0]["name"])
    for number, (stem, suffix) in enumerate(parts):
        if number not in named:
            numbered = (f"{stem}{f'-{count}' if count > 1 else ''}{suffix}" for count in itertools.count(1))
            named[number] = next(name for name in numbered if name not in taken), {}
            taken.add(named[number][0])
    return [named[number] for number in range(len(sources))]


def _stem_and_suffix(source: Source, file_name: str | None) -> tuple[str, str]:
    path = source.cos.key if source.cos else urlsplit(source.url).path
    name = path.rpartition("/")[2]
    stem, suffix = os.path.splitext(_checked_name("urls", name if source.cos else unquote(name)))
    if file_name is not None:
        stem = file_name
        _checked_name("file_name", f"{stem}{suffix}")
    return stem, suffix


def _checked_name(argument: str, name: str) -> str:
    if not name.strip(". ") or len(name.encode()) > 200 or any(c in "/\\" or not c.isprintable() for c in name):
        what = (
            "cannot be a file name" if argument == "file_name" else "has a path whose last part cannot be a file name"
        )
        raise InvalidArgumentError(argument, what)
    return name


def shown(value: object) -> str:
    """What was given, as far as an error may show it: its type; of text the beginning, of a URL only the host."""
    if not isinstance(value, str) or "@" in value:
        return "None" if value is None else type(value).__name__
    url = re.match(r"[\w+.-]+://[^/?#;=%]*", value)
    return f"str {(url[0][:80] if url else re.split('[?#;=]', value[:20])[0])!r}..."
