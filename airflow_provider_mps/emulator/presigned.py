"""Check a presigned URL of COS's S3-compatible endpoint (AWS Signature Version 4), from only the published rules."""

from __future__ import annotations

import hashlib
import hmac
import re
import time
from calendar import timegm
from collections.abc import Mapping
from urllib.parse import quote

from airflow_provider_mps.emulator.service.errors import ApiError
from airflow_provider_mps.emulator.signature import Credential

ALGORITHM = "AWS4-HMAC-SHA256"

_SIGNATURE = "X-Amz-Signature"
_NAMES = ("X-Amz-Algorithm", "X-Amz-Credential", "X-Amz-Date", "X-Amz-Expires", "X-Amz-SignedHeaders", _SIGNATURE)
_UNRESERVED = "-_.~"


def verify_presigned(
    method: str,
    path: str,
    query: Mapping[str, str],
    headers: Mapping[str, str],
    credentials: Mapping[str, Credential],
    now: float,
) -> Credential:
    """Check that a request's URL was signed with a known credential and is still good, and return the credential.

    :param path: the path, decoded.
    :param query: the query, decoded.
    :param headers: the request's headers, names in lower case.
    :param credentials: the accepted credentials by SecretId.
    :param now: POSIX time.
    :raises ApiError: ``AccessDenied``, ``InvalidAccessKeyId`` or ``SignatureDoesNotMatch``, as COS answers.
    """
    algorithm, scope, date, expires, signed_headers, signature = (query.get(name, "") for name in _NAMES)
    secret_id, *key_parts = scope.split("/")
    if algorithm != ALGORITHM or len(key_parts) != 4 or not re.fullmatch(r"[0-9]{1,9}", expires):
        raise ApiError("AccessDenied", f"The URL is not signed with {ALGORITHM}.")
    credential = credentials.get(secret_id)
    if credential is None:
        raise ApiError("InvalidAccessKeyId", "The SecretId is not found.")
    if not hmac.compare_digest(credential.token.encode(), query.get("X-Amz-Security-Token", "").encode()):
        raise ApiError("AccessDenied", "X-Amz-Security-Token does not belong to this SecretId.")
    try:
        signed_at = timegm(time.strptime(date, "%Y%m%dT%H%M%SZ"))
    except ValueError:
        raise ApiError("AccessDenied", "X-Amz-Date is not a time.") from None
    if now > signed_at + int(expires):
        raise ApiError("AccessDenied", "Request has expired.")

    names = signed_headers.split(";")
    canonical_request = "\n".join(
        (
            method,
            quote(path, safe=f"/{_UNRESERVED}"),
            "&".join(f"{_quoted(name)}={_quoted(query[name])}" for name in sorted(query) if name != _SIGNATURE),
            *(f"{name}:{headers.get(name, '').strip()}" for name in names),
            "",
            signed_headers,
            "UNSIGNED-PAYLOAD",
        )
    )
    key = f"AWS4{credential.secret_key}".encode()
    for part in key_parts:
        key = hmac.digest(key, part.encode(), "sha256")
    digest = hashlib.sha256(canonical_request.encode()).hexdigest()
    expected = hmac.digest(key, "\n".join((ALGORITHM, date, "/".join(key_parts), digest)).encode(), "sha256").hex()
    # The day, the service and the last word are fixed; the region is the bucket's, which the emulator does not keep.
    fixed = key_parts[0] == date[:8] and key_parts[2:] == ["s3", "aws4_request"] and "host" in names
    if not fixed or not hmac.compare_digest(expected, signature):
        raise ApiError("SignatureDoesNotMatch", "The signature does not match the request and the SecretKey.")
    return credential


def _quoted(text: str) -> str:
    return quote(text, safe=_UNRESERVED)
