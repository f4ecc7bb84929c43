"""Check the TC3-HMAC-SHA256 signature of a request, written from only the published rules."""

from __future__ import annotations

import hashlib
import hmac
import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime

from airflow_provider_mps.emulator.service.errors import ApiError

ALGORITHM = "TC3-HMAC-SHA256"
MAX_CLOCK_SKEW = 300
"""Seconds by which a request's timestamp may be off."""

_MAX_DIGITS = 12

OWN_ACCOUNT = "own"
"""The account of the keys with which an emulator is started."""

_AUTHORIZATION = re.compile(
    rf"{ALGORITHM} Credential=(?P<secret_id>[^/,]+)/(?P<date>[^/,]+)/(?P<service>[^/,]+)/tc3_request, ?"
    r"SignedHeaders=(?P<signed_headers>[^,]+), ?Signature=(?P<signature>[0-9a-f]{64})"
)


@dataclass(frozen=True)
class Credential:
    """A key pair that the emulator accepts.

    :ivar token: empty for a permanent one.
    :ivar account: whose it is; tasks, limits and files belong to an account, not to a key.
    """

    secret_id: str
    secret_key: str
    token: str = ""
    account: str = OWN_ACCOUNT


def verify(
    headers: Mapping[str, str], query: str, body: bytes, credentials: Mapping[str, Credential], now: float
) -> Credential:
    """Check that a ``POST /`` was signed with a known credential, and return it.

    :param headers: the request's headers, names in lower case.
    :param query: the query string as it came.
    :param credentials: the accepted credentials by SecretId.
    :param now: POSIX time.
    :raises ApiError: ``AuthFailure.*`` or ``MissingParameter``, as MPS answers.
    """
    match = _AUTHORIZATION.fullmatch(headers.get("authorization", ""))
    if match is None:
        raise ApiError(
            "AuthFailure.InvalidAuthorization", f"The Authorization header is missing or is not {ALGORITHM}."
        )
    timestamp = headers.get("x-tc-timestamp", "")
    if not (timestamp.isascii() and timestamp.isdigit() and len(timestamp) <= _MAX_DIGITS):
        raise ApiError("MissingParameter", "The X-TC-Timestamp header must be given, in whole POSIX seconds.")
    credential = credentials.get(match["secret_id"])
    if credential is None:
        raise ApiError("AuthFailure.SecretIdNotFound", "The SecretId is not found.")
    if abs(now - int(timestamp)) > MAX_CLOCK_SKEW:
        raise ApiError("AuthFailure.SignatureExpire", "X-TC-Timestamp is over 300 s off the server's time.")
    if not hmac.compare_digest(credential.token.encode(), headers.get("x-tc-token", "").encode()):
        raise ApiError("AuthFailure.TokenFailure", "X-TC-Token does not belong to this SecretId.")

    date = datetime.fromtimestamp(int(timestamp), UTC).strftime("%Y-%m-%d")
    if match["date"] != date or match["service"] != "mps":
        raise _mismatch(f"The credential scope must be {date}/mps/tc3_request.")
    signed_headers = match["signed_headers"].split(";")
    if not {"content-type", "host"} <= set(signed_headers) or signed_headers != sorted(signed_headers):
        raise _mismatch("SignedHeaders must hold content-type and host, in alphabetical order.")
    expected = _signature(credential.secret_key, date, timestamp, signed_headers, headers, query, body)
    if not hmac.compare_digest(expected, match["signature"]):
        raise _mismatch("The signature does not match the request and the SecretKey.")
    return credential


def _signature(
    secret_key: str,
    date: str,
    timestamp: str,
    signed_headers: list[str],
    headers: Mapping[str, str],
    query: str,
    body: bytes,
) -> str:
    values = {name: headers.get(name, "").strip().lower() for name in signed_headers}
    canonical_headers = "".join(f"{name}:{value}\n" for name, value in values.items())
    canonical_request = "\n".join(
        ("POST", "/", query, canonical_headers, ";".join(signed_headers), hashlib.sha256(body).hexdigest())
    )
    digest = hashlib.sha256(canonical_request.encode()).hexdigest()
    key = f"TC3{secret_key}".encode()
    for part in (date, "mps", "tc3_request"):
        key = hmac.digest(key, part.encode(), "sha256")
    string_to_sign = "\n".join((ALGORITHM, timestamp, f"{date}/mps/tc3_request", digest))
    return hmac.digest(key, string_to_sign.encode(), "sha256").hex()


def _mismatch(message: str) -> ApiError:
    return ApiError("AuthFailure.SignatureFailure", message)
