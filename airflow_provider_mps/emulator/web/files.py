"""Serve the files that tasks made, as COS does, whole or as a fault would have it."""

from __future__ import annotations

import asyncio
import hashlib
import mimetypes
from http import HTTPStatus

from aiohttp import web

from airflow_provider_mps.emulator.faults import Fault, FaultKind
from airflow_provider_mps.emulator.service.errors import ApiError
from airflow_provider_mps.emulator.web.wire import cut


async def send(request: web.Request, key: str, data: bytes, fault: Fault | None) -> web.StreamResponse:
    """The file ``data``, or the part of it that Range asks for."""
    kind = None if fault is None else fault.kind
    if kind is FaultKind.FILE_EXPIRED:
        return refused(ApiError("AccessDenied", "Request has expired."))
    if fault is not None and kind is FaultKind.FILE_SLOW:
        await asyncio.sleep(fault.seconds)
    if kind is FaultKind.FILE_SHORT:
        data = data[: len(data) // 2]

    etag = f'"{hashlib.md5(data, usedforsecurity=False).hexdigest()}"'
    headers = {
        "Accept-Ranges": "bytes",
        "Content-Type": mimetypes.guess_type(key)[0] or "application/octet-stream",
        "ETag": etag,
    }
    status, total = HTTPStatus.OK, len(data)
    if "Range" in request.headers and request.headers.get("If-Range", etag) == etag:
        begin, end, _ = request.http_range.indices(total)
        if begin >= end:
            headers["Content-Range"] = f"bytes */{total}"
            return web.Response(status=HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE, headers=headers)
        headers["Content-Range"] = f"bytes {begin}-{end - 1}/{total}"
        status, data = HTTPStatus.PARTIAL_CONTENT, data[begin:end]

    if kind is FaultKind.FILE_CUT:
        answer = web.StreamResponse(status=status, headers=headers | {"Content-Length": str(len(data))})
        await answer.prepare(request)
        await answer.write(data[: len(data) // 2])
        return cut(request, b"")
    return web.Response(body=data, status=status, headers=headers)


def refused(error: ApiError) -> web.Response:
    """What COS answers where it gives no file."""
    return web.Response(
        status=HTTPStatus.NOT_FOUND if error.code == "NoSuchKey" else HTTPStatus.FORBIDDEN,
        text="<?xml version='1.0' encoding='utf-8' ?>"
        f"<Error><Code>{error.code}</Code><Message>{error.message}</Message></Error>",
        content_type="application/xml",
    )
