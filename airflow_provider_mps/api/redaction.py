"""Keeps keys, tokens and result URLs out of other libraries' logs, at every level that a user may set."""

from __future__ import annotations

import logging
import re
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

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
    "botocore.auth",
)
_SDK = "tencentcloud_sdk_common"

_QUERY = re.compile(r"(https?://[^\s?\"']+)\?[^\s\"']*")
_TEXT_LIMIT = 500


def without_queries(text: object) -> str:
    """A service's text for a message: URLs without their queries, which may be signatures, and not too long."""
    told = _QUERY.sub(r"\1?...", str(text or "no message"))
    return told if len(told) <= _TEXT_LIMIT else told[:_TEXT_LIMIT] + "..."


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
