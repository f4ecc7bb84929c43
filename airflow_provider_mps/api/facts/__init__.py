"""Dated facts about the service, as data: models and their rules, rates, regions.

The emulator reads the same files with code of its own (docs/decisions/0003-emulator-shares-no-code.md).
Each fact has a ``mark``: ``doc`` (the API reference, or the SDKs' models and error lists), ``seen`` (measured on the
live service by somebody who published it) or ``guess`` (neither); and a month, ``since``, unless it is a guess.
"""

from __future__ import annotations

import tomllib
from functools import cache
from importlib.resources import files
from typing import Any


@cache
def facts(name: str) -> dict[str, Any]:
    """What ``name.toml`` in this folder holds; read once, and shared: not to be changed."""
    return tomllib.loads(files(__name__).joinpath(f"{name}.toml").read_text("utf-8"))
