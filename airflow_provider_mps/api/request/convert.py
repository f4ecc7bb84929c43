"""From an argument's value to a field's, checked before anything is sent: one function for each kind of value.

Each takes the argument's name, which its error gives, and the value, which a template may have written as text.
"""

import json
import math
import re
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from datetime import timedelta
from typing import Any

from airflow_provider_mps.api.errors import InvalidArgumentError
from airflow_provider_mps.api.files.cos import CosObject
from airflow_provider_mps.api.redaction import shown
from airflow_provider_mps.api.wire.settings import url_parts

REQUEST_LIMIT = 10 * 1024**2
"""Bytes of a request; a sister product's gateway was seen to refuse more (2026-08)."""
PROMPT_LIMIT = 2000
"""Characters of a prompt (API reference, CreateAigcAudioTask; for video and images it gives none: ``models.py``)."""
LONGEST_SECONDS = 10 * 366 * 86400
"""Ten years: Python's dates cannot hold much longer times from now on."""
_DEEPEST = 64
"""Levels of nesting; no request of the API has half as many."""


def is_empty(value: Any) -> bool:
    """Whether an argument counts as not given: None, or an empty text, list or dict."""
    return value is None or (isinstance(value, (str, list, dict)) and not value)


def as_json(argument: str, value: Any, path: tuple[str, ...] = ()) -> Any:
    """A value as JSON has it: dicts with texts as keys, lists, texts, numbers, booleans, None.

    :param path: where in the argument it was found.
    :raises InvalidArgumentError: it cannot be written as JSON, or something in it cannot.
    """
    at = f" (at {'.'.join(path)[:200]})" if path else ""
    if len(path) > _DEEPEST:
        raise InvalidArgumentError(argument, f"is nested more than {_DEEPEST} levels deep")
    if isinstance(value, Mapping):
        for key in value:
            if not isinstance(key, str):
                raise InvalidArgumentError(argument, f"has a key that must be a string, not {shown(key)}{at}")
        return {as_json(argument, key, path): as_json(argument, value[key], (*path, key[:40])) for key in value}
    if isinstance(value, Sequence) and not isinstance(value, (str, bytes, bytearray, memoryview, range)):
        return [as_json(argument, item, (*path, str(number))) for number, item in enumerate(value)]
    if isinstance(value, str):
        try:
            value.encode()
        except UnicodeEncodeError:
            raise InvalidArgumentError(argument, f"holds half of a surrogate pair, which is not text{at}") from None
    elif isinstance(value, int):
        if not -(2**63) <= value < 2**64:
            raise InvalidArgumentError(argument, f"holds a whole number of more than 64 bits{at}")
    elif isinstance(value, float):
        if not math.isfinite(value):
            raise InvalidArgumentError(argument, f"holds {value!r}, which JSON cannot write{at}")
    elif value is not None:
        raise InvalidArgumentError(argument, f"holds {shown(value)}, which JSON cannot write{at}")
    return value


def checked_call(action: Any, params: Any, argument: str = "params") -> tuple[str, dict[str, Any]]:
    """An action of the API that has no shape here, and its fields, as they can be sent.

    :param argument: how the caller names the fields.
    :raises InvalidArgumentError: one of them cannot be sent.
    """
    if not isinstance(action, str) or not re.fullmatch("[A-Za-z][A-Za-z0-9]{0,99}", action):
        raise InvalidArgumentError(
            "action", f"must be the name of an action, in letters and digits, not {shown(action)}"
        )
    fields = api_object()(argument, as_json(argument, params))
    check_size({argument: fields})
    return action, fields


def check_size(fields: Mapping[str, Any]) -> None:
    """Make sure that MPS's gateway takes a body with these fields, given by argument.

    :raises InvalidArgumentError: it is too large; names the largest.
    """
    sizes = {argument: len(json.dumps(value)) for argument, value in fields.items()}
    if sum(sizes.values()) > REQUEST_LIMIT:
        largest = max(sizes, key=sizes.__getitem__)
        raise InvalidArgumentError(
            largest,
            f"has {sizes[largest] / 1024**2:.1f} MB of the request, and MPS takes one of {REQUEST_LIMIT // 1024**2} MB "
            "at most: give files by their URLs",
        )


def task_id(argument: str, value: Any) -> str:
    """A TaskId, such as a create gives.

    :raises InvalidArgumentError: it is none.
    """
    if not isinstance(value, str) or value == "None" or not re.fullmatch(r"[\w.-]{1,200}", value, re.ASCII):
        hint = _rendered_to_text(value) or ": did the task before return one?"
        raise InvalidArgumentError(argument, f"must be a TaskId, not {shown(value)}{hint}")
    return value


def seconds(argument: str, value: float | timedelta) -> float:
    """An argument in seconds, from a number or a timedelta.

    :raises InvalidArgumentError: it is neither, or not more than 0, or longer than ten years.
    """
    total = value.total_seconds() if isinstance(value, timedelta) else value
    if isinstance(total, bool) or not isinstance(total, (int, float)) or not 0 < total <= LONGEST_SECONDS:
        raise InvalidArgumentError(
            argument, f"must be seconds or a timedelta, more than 0 and at most ten years, not {shown(value)}"
        )
    return float(total)


def flag(argument: str, value: Any) -> bool:
    """True or False themselves: Python takes any text for true, "false" too.

    :raises InvalidArgumentError: it is something else.
    """
    if not isinstance(value, bool):
        raise InvalidArgumentError(argument, f"must be True or False, not {shown(value)}")
    return value


def whole_number(argument: str, value: Any) -> int:
    """How many: 1 or more.

    :raises InvalidArgumentError: it is something else.
    """
    if isinstance(value, bool) or not isinstance(value, int) or not 1 <= value <= 10**9:
        raise InvalidArgumentError(argument, f"must be a whole number from 1 to 1,000,000,000, not {shown(value)}")
    return value


def text(argument: str, value: Any) -> str:
    """A string; a number, which templates make of "2.0", becomes the string again."""
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        return str(value)
    if not isinstance(value, str):
        raise InvalidArgumentError(argument, f"must be a string, not {shown(value)}")
    if value.strip() == "None":
        raise InvalidArgumentError(
            argument,
            "reads 'None', which templates make of a value that is None: with render_template_as_native_obj=True it "
            "counts as not given",
        )
    return value


def prompt(argument: str, value: Any) -> str:
    written = text(argument, value)
    if len(written) > PROMPT_LIMIT:
        raise InvalidArgumentError(argument, f"has {len(written):,} characters, and MPS takes {PROMPT_LIMIT:,} at most")
    return written


def url(argument: str, value: Any) -> str:
    """A URL with a host; MPS itself fetches it, so it must be reachable from the internet."""
    parts = url_parts(value) if isinstance(value, str) and value.isprintable() else None
    if parts is None or parts.scheme not in ("http", "https"):
        raise InvalidArgumentError(argument, f"must hold http(s) URLs, not {shown(value)}{_rendered_to_text(value)}")
    return str(value)


def _rendered_to_text(value: Any) -> str:
    """What to do where a template seems to have made a text of a list or a dict."""
    if isinstance(value, str) and value.lstrip().startswith(("[", "{")):
        return ": it looks rendered to text; pass op.output[...] itself, or set render_template_as_native_obj=True"
    return ""


def reference(argument: str, value: Any) -> str:
    """A file to start from: a URL, or a ``cos://bucket/key``, which is sent as a signed URL."""
    if isinstance(value, str) and value.startswith("cos://"):
        CosObject.from_uri(argument, value, "")
        return value
    return url(argument, value)


def boolean(argument: str, value: Any) -> bool:
    """A truth value; a template's "true" counts."""
    if isinstance(value, str) and value.lower() in ("true", "false"):
        return value.lower() == "true"
    if isinstance(value, bool):
        return value
    raise InvalidArgumentError(argument, f"must be true or false, not {shown(value)}")


def integer(argument: str, value: Any) -> int:
    """A whole number; a template's "5" counts."""
    if isinstance(value, str) and re.fullmatch(r"\s*-?\d{1,19}\s*", value, re.ASCII):
        return int(value)
    if isinstance(value, (int, float)) and not isinstance(value, bool) and value == math.floor(value):
        return int(value)
    raise InvalidArgumentError(argument, f"must be a whole number, not {shown(value)}")


def reference_list(key: str) -> Callable[[str, Any], list[dict[str, Any]]]:
    """A list of files to start from, as :func:`reference`, or the API's own objects with one under ``key``."""

    def convert(argument: str, value: Any) -> list[dict[str, Any]]:
        items = value if isinstance(value, (list, tuple)) else [value]
        objects = [dict(item) if isinstance(item, Mapping) else {key: item} for item in items]
        for item in objects:
            reference(argument, item.get(key))
        return objects

    return convert


def api_object(*required: str) -> Callable[[str, Any], dict[str, Any]]:
    """An object of the API as it is, with the keys that the reference requires."""

    def convert(argument: str, value: Any) -> dict[str, Any]:
        if not isinstance(value, Mapping):
            raise InvalidArgumentError(argument, f"must be a dict, not {shown(value)}{_rendered_to_text(value)}")
        for key in required:
            if is_empty(value.get(key)):
                raise InvalidArgumentError(argument, f"lacks {key}")
            if isinstance(value[key], str):
                text(f"{argument}.{key}", value[key])
        return dict(value)

    return convert


def api_objects(argument: str, value: Any) -> list[dict[str, Any]]:
    """A list of objects of the API as they are."""
    convert = api_object()
    return [convert(argument, item) for item in (value if isinstance(value, (list, tuple)) else [value])]


def media_files(argument: str, value: Any) -> list[dict[str, Any]]:
    """EditMediaFileInfos as they are, so far that their MediaInputInfos can be read."""
    files = api_objects(argument, value)
    for number, file in enumerate(files):
        info = api_object()(f"{argument}.{number}.InputInfo", file.get("InputInfo"))
        api_object()(f"{argument}.{number}.InputInfo.UrlInputInfo", info.get("UrlInputInfo") or {})
    return files


def media_from_url(argument: str, value: Any) -> dict[str, Any]:
    """A MediaInputInfo for a URL; one of COS without a signature names an object, which MPS reads by its own role."""
    checked = url(argument, value)
    found = CosObject.named_by(argument, checked, "")
    return found.input_info if found else {"Type": "URL", "UrlInputInfo": {"Url": checked}}


def media_from_cos(argument: str, value: Any) -> dict[str, Any]:
    """A MediaInputInfo for an object in COS: its URL without a signature, or ``{"Bucket", "Region", "Object"}``."""
    if isinstance(value, str):
        found = CosObject.named_by(argument, url(argument, value), "")
        if not found:
            raise InvalidArgumentError(argument, "is neither cos://bucket/key nor an unsigned URL of a file in COS")
        return found.input_info
    return {"Type": "COS", "CosInputInfo": api_object("Bucket", "Region", "Object")(argument, value)}


def storage_in_cos(argument: str, value: Any) -> dict[str, Any]:
    """A TaskOutputStorage for a bucket: ``{"Bucket", "Region"}``."""
    return {"Type": "COS", "CosOutputStorage": api_object("Bucket", "Region")(argument, value)}


def one_file(convert: Callable[[str, Any], dict[str, Any]]) -> Callable[[str, Any], list[dict[str, Any]]]:
    """The FileInfos of an EditMedia that has one input."""
    return lambda argument, value: [{"InputInfo": convert(argument, value)}]


def json_text(argument: str, value: Any) -> str:
    """A JSON object as text: as it was written, or serialised from a dict."""
    if isinstance(value, Mapping):
        return json.dumps(value, ensure_ascii=False)
    try:
        held = json.loads(value) if isinstance(value, str) else None
    except json.JSONDecodeError as error:
        if re.match(r"\s*\{\s*\"", error.doc):
            raise InvalidArgumentError(
                argument,
                f"is no JSON at line {error.lineno}, column {error.colno} ({error.msg}): a template that puts a line "
                'break or a quotation mark into it needs a dict, {"lyric": "{{ ... }}"}, or the filter tojson',
            ) from None
        held = None
    except (ValueError, RecursionError):  # a number of too many digits is a ValueError
        held = None
    if not isinstance(held, dict):
        hint = _rendered_to_text(value)
        raise InvalidArgumentError(argument, f"must be a dict, or a JSON object as a string, not {shown(value)}{hint}")
    as_json(argument, held)
    return str(value)


def object_in(value: Any) -> Mapping[str, Any]:
    """An object, also one as text, as AdditionalParameters and ExtParam are; empty for anything else."""
    if isinstance(value, str):
        with suppress(ValueError):
            value = json.loads(value)
    return value if isinstance(value, Mapping) else {}
