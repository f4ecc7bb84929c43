"""Keeps keys, tokens and result URLs out of messages, and out of other libraries' logs at every level."""

from __future__ import annotations

import json
import logging
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from datetime import timedelta
from typing import Any
from urllib.parse import urlsplit, urlunsplit

_withheld: ContextVar[bool] = ContextVar("mps_logs_withheld", default=False)

# httpx logs each request's URL, httpcore the headers of each response, as do their successors httpx2 and httpcore2;
# urllib3 logs the path; botocore the token of the keys and all that a presigned URL is made of; the SDK whole requests
# and answers, with tokens and, from STS, secret keys.
_OTHERS = frozenset({"httpx", "httpx2", "httpcore", "httpcore2", "urllib3", "botocore", "aiobotocore"})
_SDK = "tencentcloud_sdk_common"
_reached = 0
"""How many loggers there were when the filters were set."""

_READ_LIMIT = 4096
"""Characters of a text that are looked at: what the expressions below do with more could hold up an event loop."""
_TEXT_LIMIT = 500
# MPS has a Vector beside the Key of a DRM (SimpleAesDrm, SpekeDrm), and a Passphrase of a stream.
_SECRET_NAME = re.compile("secret|key|token|passw|passphrase|pwd|sign|credential|auth|^vector$", re.IGNORECASE)
_WEBHOOK_NAME = re.compile("(notify|callback)_?url$", re.IGNORECASE)

# A URL may be quoted as a part of JSON or of another URL.
_SLASHES = r"(?::|%3a)(?:\\?/|%2f){2}"
_URL = re.compile(_SLASHES, re.IGNORECASE)
_PATH = re.compile(rf"({_SLASHES}[^/?#\\]*)[/?#\\].*", re.IGNORECASE | re.DOTALL)
_USER = re.compile(rf"({_SLASHES})[^/?#\\]*@", re.IGNORECASE)
_QUERY = re.compile(r"""([?#;&]|%3f|%23|%3b|%26)\S*[^\s"']""", re.IGNORECASE)

# What is left of a URL may have no scheme, and may have been encoded more than once.
_SLASH = re.compile(r"[/\\]|%(?:25)*2f", re.IGNORECASE)
_QUESTION = re.compile(r"\?|%(?:25)*3f", re.IGNORECASE)
# The look-behind and the possessive ++ keep this linear: a long word is read once, not from each of its characters.
_PARAMETER = re.compile(r"""(?<![\w-])([\w-]++)(=|%(?:25)*3d)\S*[^\s"']""", re.IGNORECASE)


def printable(value: object) -> str:
    """A service's word or text for a log or a message: one printable line, not too long; empty if it is not text."""
    return _shortened(_one_line(value)) if isinstance(value, str) else ""


def without_queries(value: object, limit: int = _TEXT_LIMIT) -> str:
    """A service's text for a message, as :func:`printable` makes it; of URLs only what comes before their query.

    From the first URL on, what follows a ``?``, ``#``, ``;`` or ``&`` up to a space is left out, for it may be a
    signature; so is a user before an ``@``. Elsewhere, what follows a ``?`` in a path, and the value of each parameter
    that is named like a secret.

    :param limit: characters to keep.
    """
    text = _one_line(value) if isinstance(value, str) else ""
    if url := _URL.search(text):
        text = text[: url.start()] + _QUERY.sub(r"\1...", _USER.sub(r"\1", text[url.start() :]))
    text = " ".join(map(_without_query, text.split(" ")))
    return _shortened(text, limit) or "no message"


def _without_query(word: str) -> str:
    if (path := _SLASH.search(word)) and (query := _QUESTION.search(word[path.end() :])):
        end = path.end() + query.end()
        secret = word[end:].rstrip("\"'")
        word = word[:end] + word[end:].replace(secret, "...", 1) if secret else word
    return _PARAMETER.sub(_without_secret, word)


def _without_secret(parameter: re.Match[str]) -> str:
    return f"{parameter[1]}{parameter[2]}..." if _SECRET_NAME.search(parameter[1]) else parameter[0]


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
    """A request for a log: without what is named like a secret, at any depth, and without the queries of URLs.

    Of a webhook's URL only the host is left: with many, such as those of chats, who knows the path may call it.
    """
    if isinstance(value, Mapping):
        return {name: _masked_field(str(name), part) for name, part in value.items()}
    if isinstance(value, (list, tuple)):
        return [masked(part) for part in value]
    if not isinstance(value, str):
        return value
    if value.lstrip().startswith(("{", "[")):  # JSON as text, such as AdditionalParameters
        try:
            return json.dumps(masked(json.loads(value)), ensure_ascii=False)
        except ValueError:
            pass
    return without_queries(value, _READ_LIMIT) if value else value


def _masked_field(name: str, value: Any) -> Any:
    if _SECRET_NAME.search(name):
        return "***"
    shown = masked(value)
    return _PATH.sub(r"\1/...", shown) if _WEBHOOK_NAME.search(name) and isinstance(shown, str) else shown


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


_NOT_SHOWN = re.compile(r"//[^/]*@|[?#;@=\s]|:(?!//)")


def shown(value: object) -> str:
    """What was given, for a message: its type, and the beginning of a text; no query, password or value of a key."""
    kind = type(value).__name__
    if isinstance(value, str):
        beginning = _NOT_SHOWN.split(value[:200])[0][:40]
        return f"{kind} {beginning!r}{'' if beginning == value else '...'}"
    if value is None or isinstance(value, (bool, float, timedelta)):
        return repr(value)
    if isinstance(value, int) and abs(value) < 10**18:  # Python refuses to write very large ones
        return repr(value)
    return kind
