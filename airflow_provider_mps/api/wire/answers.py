"""From the bytes of an answer to its ``Response``: the one place where what the service sends is cleaned."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping
from json.decoder import JSONArray, JSONObject  # type: ignore[attr-defined]  # what JSONDecoder is made of
from json.scanner import py_make_scanner  # type: ignore[attr-defined]
from typing import Any

from airflow_provider_mps.api.codes import Failure, classify, is_read
from airflow_provider_mps.api.errors import ApiError, NoRoomError, UnreadableAnswerError
from airflow_provider_mps.api.redaction import without_queries
from airflow_provider_mps.api.wire.settings import url_parts

Response = dict[str, Any]

_DEPTH = 64
"""Of objects and lists in each other; real answers have about ten. What is deeper is cut off."""
_KEY_LENGTH = 100
_URL_LENGTH = 8192
_LARGE = 1024**2
"""Bytes: real answers are smaller."""
_VALUES = 500_000
"""In a large answer; what has more is not read. Ten megabytes of real ones have 400,000."""

_WORKING = 100
"""The ErrorCode of a task of voices that is still at work."""

_IDENTIFIER = re.compile(r"[\w.-]{1,200}", re.ASCII)
# Half characters, which cannot be encoded, and control characters: JSON of PostgreSQL has no NUL, a terminal obeys ESC.
_STRANGE = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\ud800-\udfff]")


def read_answer(action: str, status: int, body: bytes) -> Response:
    """The ``Response`` object of an answer, whatever its Content-Type says. It can be kept as JSON or msgpack.

    A value that JSON, a database or a log cannot hold does not spoil its neighbours: numbers beyond 64 bits and NaN are
    null, strange characters are U+FFFD, and a strange RequestId is empty.

    :param status: the HTTP status.
    :raises ApiError: the service refused the call, or its answer says in its own fields that it failed; NoRoomError: it
        refused it for now, and the call makes or changes something.
    :raises UnreadableAnswerError: it is not a JSON object with ``Response``.
    """
    response = _parsed(body)
    error = response.get("Error") if response is not None else None
    # An error whose code cannot be read is no refusal: it does not prove that a create did not run.
    code = identifier(error.get("Code")) if isinstance(error, dict) else ""
    if response is not None and isinstance(error, dict) and code:
        raise _refusal(action, response, code, classify(code).failure, error.get("Message"))
    if response is None or error is not None or status >= 300:
        raise UnreadableAnswerError(
            f"HTTP {status}, and the answer is not a JSON object with Response",
            failure=Failure.SERVER_TROUBLE,
            action=action,
        )
    if failed := _failed_inside(action, response):
        raise failed
    return response


def _failed_inside(action: str, response: Response) -> ApiError | None:
    """The failure of a call that is answered as a success (SDK and samples, 2026-10).

    Voices and 3D models have a top-level ``ErrorCode``, a number or a code as text. It may be what a task has failed
    with, which its ``Status`` says, and where there is a TaskId there is a task: neither is a failure of the call.
    CloneViral refuses with the Status FAIL and no TaskId.
    """
    if identifier(response.get("TaskId")):
        return None
    code = response.get("ErrorCode")
    if response.get("Status") == "FAIL" and not is_read(action):
        code, failure = "FAIL", Failure.FINAL
    elif code in (None, 0, "", _WORKING) or response.get("Status"):
        return None
    else:
        failure = classify(identifier(str(code))).failure
    texts = (response.get(name) for name in ("Msg", "ErrorMessage", "Message"))
    message = next((text for text in texts if isinstance(text, str) and text), "")
    return _refusal(action, response, identifier(str(code)) or "ErrorCode", failure, message)


def _refusal(action: str, response: Response, code: str, failure: Failure, message: Any) -> ApiError:
    kind = NoRoomError if failure is Failure.THROTTLED and not is_read(action) else ApiError
    return kind(
        f"{code}: {without_queries(message)}",
        failure=failure,
        action=action,
        code=code,
        request_id=response.get("RequestId", ""),
    )


def is_compressed(headers: Mapping[str, str]) -> bool:
    """Whether a Content-Encoding says that the bytes are not the content itself.

    Empty ones, ``identity``, and S3's ``aws-chunked``, which stores keep of the upload, change nothing.
    """
    encodings = headers.get("content-encoding", "").lower().split(",")
    return not {encoding.strip() for encoding in encodings} <= {"", "identity", "aws-chunked"}


def identifier(value: Any) -> str:
    """A TaskId, a RequestId or an error code; empty where it is not text, too long, or has strange characters."""
    return value if isinstance(value, str) and _IDENTIFIER.fullmatch(value) else ""


def is_file_url(value: Any) -> bool:
    """Whether a value of an answer is an http or https URL that can be parsed and followed."""
    if not isinstance(value, str) or len(value) > _URL_LENGTH or not value.isprintable():
        return False
    parts = url_parts(value)
    return parts is not None and parts.scheme in ("http", "https")


class _Decoder(json.JSONDecoder):
    """JSON whose values cannot spoil each other."""

    def __init__(self) -> None:
        # Not strict: a control character in one text would else spoil the whole answer. `_cleaned` replaces it.
        super().__init__(parse_int=_integer, parse_float=_float, parse_constant=lambda name: None, strict=False)


class _LargeDecoder(_Decoder):
    """The same in Python code, for large answers.

    The C code lets no other thread of the process run until it is done, which is a third of a second for an answer of
    ten megabytes of empty objects. So would, at once, the end of a million objects.
    """

    def __init__(self) -> None:
        super().__init__()
        self.parse_object: Any = lambda at, strict, scan, *others: JSONObject(at, strict, counted, *others)
        self.parse_array: Any = lambda at, scan: JSONArray(at, counted)
        scan, left = py_make_scanner(self), iter(range(_VALUES))

        def counted(text: str, index: int) -> Any:
            if next(left, None) is None:
                raise ValueError(f"more than {_VALUES:,} values")
            return scan(text, index)

        self.scan_once = counted


def _parsed(body: bytes) -> Response | None:
    decoder = _LargeDecoder() if len(body) > _LARGE else _Decoder()
    try:
        answer = decoder.decode(body.decode("utf-8-sig", "replace"))
    except (ValueError, RecursionError):
        return None
    response = answer.get("Response") if isinstance(answer, dict) else None
    if not isinstance(response, dict):
        return None
    cleaned: Response = _cleaned(response, _DEPTH)
    if "RequestId" in cleaned:
        cleaned["RequestId"] = identifier(cleaned["RequestId"])
    return cleaned


def _integer(digits: str) -> int | None:
    """msgpack, which a caller may keep an answer as, has integers of 64 bits."""
    # int() raises beyond 4,300 digits (sys.set_int_max_str_digits), which would spoil the whole answer.
    number = int(digits) if len(digits) <= 20 else 2**63
    return number if -(2**63) <= number < 2**63 else None


def _float(digits: str) -> float | None:
    number = float(digits)
    return number if math.isfinite(number) else None


def _cleaned(value: Any, depth: int) -> Any:
    if isinstance(value, str):
        return _STRANGE.sub("\ufffd", value)
    if not isinstance(value, (dict, list)):
        return value
    if not depth:
        return None
    if isinstance(value, list):
        return [_cleaned(item, depth - 1) for item in value]
    # A caller's serialisation may take keys such as __classname__ for its own.
    return {
        _STRANGE.sub("\ufffd", key): _cleaned(item, depth - 1)
        for key, item in value.items()
        if len(key) <= _KEY_LENGTH and not key.startswith("__")
    }
