"""What distinguishes one request from another: of an earlier try, or in a message."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from typing import Any


def _ordered(value: Any) -> Any:
    """A JSON object in a text, its keys sorted."""
    try:
        return json.dumps(json.loads(value), sort_keys=True, ensure_ascii=False)
    except (TypeError, ValueError):
        return value


def digest(action: str, params: Mapping[str, Any]) -> str:
    """A short text that is the same only for the same request, in whatever order its dicts were written.

    Tasks under way are found by it after an upgrade, so it stays as it is; fields that are not given do not count.
    """
    sent = json.loads(json.dumps(params))  # JSON's names are text; those of a dict that is sent may be numbers, too
    sent = {
        name: _ordered(value) if name in ("AdditionalParameters", "ExtParam") else value for name, value in sent.items()
    }
    text = json.dumps([action, sent], sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    return hashlib.sha256(text.encode(errors="surrogatepass")).hexdigest()[:32]
