"""From the bytes of an answer to its ``Response``: the one place where what the service sends is cleaned."""

from __future__ import annotations

import json
import math
import re
from typing import Any

from airflow_provider_mps.api.errors import ApiError, Failure, NoRoomError, UnreadableAnswerError, classify, is_read
from airflow_provider_mps.api.redaction import without_queries
from airflow_provider_mps.api.settings import url_parts

Response = dict[str, Any]

_DEPTH = 64
"""Of objects and lists in each other; real answers have about ten. What is deeper is cut off."""
_KEY_LENGTH = 100
_URL_LENGTH = 8192

_IDENTIFIER = re.compile(r"[\w.-]{1,200}", re.ASCII)
# Half characters, which cannot be encoded, and control characters: JSON of PostgreSQL has no NUL, a terminal obeys ESC.
_STRANGE = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\ud800-\udfff]")


def read_answer(action: str, status: int, body: bytes) -> Response:
    """The ``Response`` object of an answer, whatever its Content-Type says. Airflow can keep it as an XCom.

    A value that JSON, a database or a log cannot hold does not spoil its neighbours: numbers beyond 64 bits and NaN are
    null, strange characters are U+FFFD, and a strange RequestId is empty.

    :param status: the HTTP status.
    :raises ApiError: the service refused the call; NoRoomError: for now, and the call makes or changes something.
    :raises UnreadableAnswerError: it is not a JSON object with ``Response``.
    """
    response = _parsed(body)
    error = response.get("Error") if response is not None else None
    code = identifier(error.get("Code")) if isinstance(error, dict) else ""
    if response is not None and isinstance(error, dict) and code:
        failure = classify(code).failure
        kind = NoRoomError if failure is Failure.THROTTLED and not is_read(action) else ApiError
        raise kind(
            f"{code}: {without_queries(error.get('Message'))}",
            failure=failure,
            action=action,
            code=code,
            request_id=response.get("RequestId", ""),
        )
    if response is None or error is not None or status >= 300:
        raise UnreadableAnswerError(
            f"HTTP {status}, and the answer is not a JSON object with Response",
            failure=Failure.SERVER_TROUBLE,
            action=action,
        )
    return response


def identifier(value: Any) -> str:
    """A TaskId, a RequestId or an error code; empty where it is not text, too long, or has strange characters."""
    return value if isinstance(value, str) and _IDENTIFIER.fullmatch(value) else ""


def is_file_url(value: Any) -> bool:
    """Whether a value of an answer is an http or https URL that can be parsed and followed."""
    if not isinstance(value, str) or len(value) > _URL_LENGTH or not value.isprintable():
        return False
    parts = url_parts(value)
    return parts is not None and parts.scheme in ("http", "https")


def _parsed(body: bytes) -> Response | None:
    try:
        answer = json.loads(
            body.decode("utf-8-sig", "replace"),
            parse_int=_integer,
            parse_float=_float,
            parse_constant=lambda name: None,
            strict=False,
        )
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
    """Airflow's workers write values as msgpack, whose integers have 64 bits."""
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
    # Airflow takes keys such as __classname__ for its own and keeps no XCom that has them.
    return {
        _STRANGE.sub("\ufffd", key): _cleaned(item, depth - 1)
        for key, item in value.items()
        if len(key) <= _KEY_LENGTH and not key.startswith("__")
    }
