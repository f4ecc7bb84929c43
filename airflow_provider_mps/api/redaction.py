"""Keeps keys, tokens and result URLs out of messages, and out of other libraries' logs at every level."""

from __future__ import annotations

import hashlib
import json
import logging
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any
from urllib.parse import urlsplit, urlunsplit

_withheld: ContextVar[bool] = ContextVar("mps_logs_withheld", default=False)

# httpx logs each request's URL, httpcore the headers of each response, urllib3 the path; botocore the token of the keys
# and all that a presigned URL is made of; the SDK whole requests and answers, with tokens and, from STS, secret keys.
_OTHERS = frozenset({"httpx", "httpcore", "urllib3", "botocore"})
_SDK = "tencentcloud_sdk_common"
_reached = 0
"""How many loggers there were when the filters were set."""

_READ_LIMIT = 4096
"""Characters of a text that are looked at: what the expressions below do with more could hold up a triggerer."""
_TEXT_LIMIT = 500
_SECRET_NAME = re.compile("secret|key|token|password|sign", re.IGNORECASE)

# A URL may be quoted as a part of JSON or of another URL.
_SLASHES = r"(?::|%3a)(?:\\?/|%2f){2}"
_URL = re.compile(_SLASHES, re.IGNORECASE)
_USER = re.compile(rf"({_SLASHES})[^/?#\\]*@", re.IGNORECASE)
_QUERY = re.compile(r"""([?#;&]|%3f|%23|%3b|%26)\S*[^\s"']""", re.IGNORECASE)


def plain(value: object) -> str:
    """A service's word or text for a log or a message: one printable line, not too long; empty if it is not text."""
    return _shortened(_one_line(value)) if isinstance(value, str) else ""


def without_queries(value: object, limit: int = _TEXT_LIMIT) -> str:
    """A service's text for a message, as :func:`plain` makes it; of URLs only what comes before their query.

    From the first URL on, what follows a ``?``, ``#``, ``;`` or ``&`` up to a space is left out, for it may be a
    signature; so is a user before an ``@``.

    :param limit: characters to keep.
    """
    text = _one_line(value) if isinstance(value, str) else ""
    if url := _URL.search(text):
        text = text[: url.start()] + _QUERY.sub(r"\1...", _USER.sub(r"\1", text[url.start() :]))
    return _shortened(text, limit) or "no message"


def _one_line(text: str) -> str:
    if len(text) > _READ_LIMIT:  # its last word, which the cut may have made unrecognisable, goes as well
        text = text[:_READ_LIMIT].rpartition(" ")[0] + " ..."
    return "".join(character if character.isprintable() else " " for character in text)


def _shortened(text: str, limit: int = _TEXT_LIMIT) -> str:
    return text if len(text) <= limit else text[:limit] + "..."


def plain_url(url: str) -> str:
    """A URL without what may be secret in it: user, parameters, query and fragment.

    :raises ValueError: it cannot be parsed.
    """
    parts = urlsplit(url)
    path = parts.path.partition(";")[0] if parts.scheme in ("http", "https") else parts.path
    return urlunsplit((parts.scheme, parts.netloc.rpartition("@")[2], path, "", ""))


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
    return without_queries(value, _READ_LIMIT) if value else value


def _ordered(value: Any) -> Any:
    """A JSON object in a text, its keys sorted."""
    try:
        return json.dumps(json.loads(value), sort_keys=True, ensure_ascii=False)
    except (TypeError, ValueError):
        return value


def digest(action: str, params: Mapping[str, Any]) -> str:
    """A short text that is the same for the same request alone, in whatever order its dicts were written.

    Tasks under way are found by it after an upgrade, so it stays as it is; fields that are not given do not count.
    """
    sent = json.loads(json.dumps(params))  # JSON's names are text; those of a dict that is sent may be numbers, too
    sent = {name: _ordered(value) if name == "AdditionalParameters" else value for name, value in sent.items()}
    text = json.dumps([action, sent], sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    return hashlib.sha256(text.encode(errors="surrogatepass")).hexdigest()[:32]


@contextmanager
def withheld() -> Iterator[None]:
    """While this is open, the HTTP libraries log nothing of what is done in it; other users' calls go on logging."""
    _reach_loggers()
    token = _withheld.set(True)
    try:
        yield
    finally:
        _withheld.reset(token)


def _reach_loggers() -> None:
    """A filter works only on the very logger that a record is made by, so each of theirs gets one, also later ones."""
    global _reached
    names = logging.root.manager.loggerDict
    if len(names) != _reached:
        for name in list(names):
            if name.partition(".")[0] in _OTHERS:
                logging.getLogger(name).addFilter(_not_ours)
        _reached = len(names)


def _not_ours(record: logging.LogRecord) -> bool:
    return not _withheld.get()


def _not_debug(record: logging.LogRecord) -> bool:
    return record.levelno > logging.DEBUG


logging.getLogger(_SDK).addFilter(_not_debug)
