"""The models of tencentcloud-sdk-python-mps, whose fields are those of the API: what they have, and what they lack."""

import inspect
import re
from collections.abc import Iterator
from functools import cache
from typing import Any

from tencentcloud.mps.v20190612 import models

# In the API reference and its sample; the newest models have it only inside ExtraParameters.
ONLY_IN_THE_REFERENCE = {"CreateAigcAudioTaskRequest.OutputAudioFormat"}

_EXAMPLES: dict[str, Any] = {"str": "1s", "int": 1, "float": 1.5, "bool": True}
_TYPES: dict[str, tuple[type, ...]] = {"str": (str,), "int": (int,), "float": (int, float), "bool": (bool,)}


@cache
def fields(model: str) -> dict[str, tuple[bool, str]]:
    """The fields of a model: whether each is a list, and of what: a Python type, or another model."""
    told = inspect.getdoc(getattr(models, model).__init__) or ""
    found = re.findall(r":type (\w+): (list of )?(?::class:`[\w.]+\.)?(\w+)", told)
    return {name: (bool(is_list), kind) for name, is_list, kind in found}


def whole_request(action: str) -> dict[str, Any]:
    """A request with every field that the models have, at any depth."""
    return _whole(f"{action}Request")


def misfits(action: str, params: dict[str, Any]) -> list[str]:
    """Each field of a request, at any depth, that the model of its place lacks, or has with another type."""
    return [found for found in _misfits(f"{action}Request", params) if found not in ONLY_IN_THE_REFERENCE]


def _whole(model: str) -> dict[str, Any]:
    request = {}
    for name, (is_list, kind) in fields(model).items():
        value = _EXAMPLES[kind] if kind in _EXAMPLES else _whole(kind)
        request[name] = [value] if is_list else value
    return request


def _misfits(model: str, params: dict[str, Any]) -> Iterator[str]:
    for name, value in params.items():
        is_list, kind = fields(model).get(name, (False, ""))
        path = f"{model}.{name}"
        if not kind:
            yield path
        elif isinstance(value, list) is not is_list:
            yield f"{path}: {'a' if is_list else 'no'} list is needed"
        else:
            for item in value if is_list else [value]:
                if kind not in _TYPES and isinstance(item, dict):
                    yield from _misfits(kind, item)
                elif type(item) not in _TYPES.get(kind, ()):
                    yield f"{path}: {type(item).__name__} is no {kind}"
