"""Keeps keys, tokens and result URLs out of other libraries' logs, at every level that a user may set."""

from __future__ import annotations

import hashlib
import json
import logging
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

_withheld: ContextVar[bool] = ContextVar("mps_logs_withheld", default=False)

# httpx logs each request's URL, httpcore the headers of each response, urllib3 the path; the SDK logs whole requests
# and answers, with tokens and, from STS, secret keys. A filter sits on the very logger that a record is made by.
_OTHERS = (
    "httpx",
    "httpcore.connection",
    "httpcore.http11",
    "httpcore.http2",
    "httpcore.proxy",
    "httpcore.socks",
    "urllib3.connectionpool",
)
_SDK = "tencentcloud_sdk_common"

_QUERY = re.compile(r"(https?://[^\s?\"']+)\?[^\s\"']*")
_TEXT_LIMIT = 500
_SECRET_NAME = re.compile("secret|key|token|password|sign", re.IGNORECASE)


def without_queries(text: object, limit: int = _TEXT_LIMIT) -> str:
    """A text for a message: URLs without their queries, which may be signatures, and not too long.

    :param limit: characters to keep.
    """
    told = _QUERY.sub(r"\1?...", str(text or "no message"))
    return told if len(told) <= limit else told[:limit] + "..."


def masked(value: Any) -> Any:
    """A request for a log: without what is named like a secret, at any depth, and without the queries of URLs."""
    if isinstance(value, Mapping):
        return {name: "***" if _SECRET_NAME.search(str(name)) else masked(part) for name, part in value.items()}
    if isinstance(value, (list, tuple)):
        return [masked(part) for part in value]
    if not isinstance(value, str):
        return value
    if value.startswith("{"):  # an object as text, such as AdditionalParameters
        try:
            return json.dumps(masked(json.loads(value)), ensure_ascii=False)
        except ValueError:
            pass
    return _QUERY.sub(r"\1?...", value)


def digest(action: str, params: Mapping[str, Any]) -> str:
    """A short text that is the same for the same request alone."""
    sent = json.loads(json.dumps(params))  # JSON's names are text; those of a dict that is sent may be numbers, too
    text = json.dumps([action, sent], sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    return hashlib.sha256(text.encode(errors="surrogatepass")).hexdigest()[:32]


@contextmanager
def withheld() -> Iterator[None]:
    """While this is open, the HTTP libraries log nothing of what is done in it; other users' calls go on logging."""
    token = _withheld.set(True)
    try:
        yield
    finally:
        _withheld.reset(token)


def _not_ours(record: logging.LogRecord) -> bool:
    return not _withheld.get()


def _not_debug(record: logging.LogRecord) -> bool:
    return record.levelno > logging.DEBUG


for _name in _OTHERS:
    logging.getLogger(_name).addFilter(_not_ours)
logging.getLogger(_SDK).addFilter(_not_debug)
