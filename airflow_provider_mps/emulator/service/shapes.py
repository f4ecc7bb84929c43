"""What a request's fields look like, as data, and what MPS answers to a field that does not fit.

Field names and types are those of the API reference (2026-07) and of tencentcloud-sdk-python-mps 3.1.194.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any, TypeAlias

from airflow_provider_mps.emulator.service.errors import ApiError

# A field is a Python type, a list of one field (an array of those), or a dict (an object with these fields).
# ``dict`` itself is an object that the emulator does not look into.
Field: TypeAlias = "type | list[Field] | dict[str, Field]"
Shape: TypeAlias = dict[str, Field]

_NUMBER = re.compile(r"-?\d{1,18}(\.\d{1,18})?", re.ASCII)
_MAX_NUMBER = 2**63 - 1
_TYPE_WORDS: dict[type, str] = {
    str: "String",
    int: "Integer",
    float: "Float",
    bool: "Boolean",
    dict: "Object",
}


def parse_object(text: str | bytes) -> dict[str, Any] | None:
    """The JSON object in ``text``; None where it holds something else.

    :raises RecursionError: it is nested too deeply.
    """
    try:
        params = json.loads(text)
    except ValueError:
        return None
    return params if isinstance(params, dict) else None


def check_shape(value: Any, field: Field, path: str, numbers_as_text: bool) -> None:
    if isinstance(field, dict):
        _check_type(value, dict, path)
        for name, item in value.items():
            item_path = f"{path}.{name}" if path else name
            if name not in field:
                raise ApiError("UnknownParameter", f"The parameter `{item_path}` is not recognized.")
            check_shape(item, field[name], item_path, numbers_as_text)
    elif isinstance(field, list):
        if not isinstance(value, list):
            raise ApiError("InvalidParameter", f"The value type of parameter `{path}` must be Array.")
        for index, item in enumerate(value):
            check_shape(item, field[0], f"{path}.{index}", numbers_as_text)
    elif not (numbers_as_text and field in (int, float) and isinstance(value, str) and _NUMBER.fullmatch(value)):
        _check_type(value, field, path)


def _check_type(value: Any, expected: type, path: str) -> None:
    # A whole number is a Float too; True is an int in Python, but not in JSON.
    fits = type(value) is expected or (expected is float and type(value) is int)
    if fits and isinstance(value, int | float) and not -_MAX_NUMBER <= value <= _MAX_NUMBER:
        raise ApiError("InvalidParameter", f"The value of parameter `{path}` is out of range.")
    if not fits:
        raise ApiError("InvalidParameter", f"The type of parameter `{path}` must be {_TYPE_WORDS[expected]}.")


def require(params: dict[str, Any], name: str, path: str = "") -> None:
    if not params.get(name):
        raise ApiError("MissingParameter", f"The request is missing a required parameter `{path}{name}`.")


def leaves(value: Any, name: str = "") -> Iterator[tuple[str, Any]]:
    """All fields of an object, at any depth, that are neither objects nor arrays."""
    if isinstance(value, dict):
        for key, item in value.items():
            yield from leaves(item, key)
    elif isinstance(value, list):
        for item in value:
            yield from leaves(item, name)
    else:
        yield name, value
