"""Parts of an answer, read with care: any of them may be missing, or of another type than the reference says."""

from __future__ import annotations

from typing import Any, TypeGuard

from airflow_provider_mps.api.wire.answers import is_file_url

_ENTRIES = 10_000
"""How many entries of one list are looked at: far more than real ones have, and no more than a moment's work for an
event loop that others wait on."""
_LONGEST_SECONDS = 10**9
"""Thirty years."""


def text(value: Any) -> str:
    """A text, or an empty one."""
    return value if isinstance(value, str) else ""


def items(value: Any) -> list[Any]:
    """A list, or an empty one."""
    return value[:_ENTRIES] if isinstance(value, list) else []


def is_length(value: Any) -> TypeGuard[float]:
    """Whether a value can be a file's length in seconds: a number whose sums neither overflow nor are infinite."""
    return type(value) in (int, float) and 0 <= value < _LONGEST_SECONDS


def files(value: Any) -> list[Any]:
    """The entries of a list of files that have a URL, without a Duration that can be none; or the one URL."""
    return [
        {name: part for name, part in item.items() if name != "Duration" or is_length(part)}
        if isinstance(item, dict)
        else item
        for item in ([value] if isinstance(value, str) else items(value))
        if url(item)
    ]


def field_of_files(name: str, value: Any) -> Any:
    """The same; of a field that holds one URL, as its name says, that URL, or an empty text."""
    found = files(value)
    return next(iter(found), "") if name.endswith("Url") else found


def url(item: Any) -> str:
    """The URL in an entry, a string or a ``{"Url"}`` object; empty for null and for strange entries."""
    found = item.get("Url") if isinstance(item, dict) else item
    return str(found) if is_file_url(found) else ""
