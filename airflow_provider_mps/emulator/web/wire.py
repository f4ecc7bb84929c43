"""Put an answer of the API on the wire, whole or as a fault would have it."""

from __future__ import annotations

import asyncio
import gzip
import json
from http import HTTPStatus

from aiohttp import web

from airflow_provider_mps.emulator.faults import Fault, FaultKind
from airflow_provider_mps.emulator.service.errors import ApiError
from airflow_provider_mps.emulator.service.mps import Answer, response

_DRIP_SECONDS = 0.2
_DRIP_LENGTH = 1_000_000
_HUGE_LENGTH = 11 * 1024 * 1024
_BAD_GATEWAY = "<html><head><title>502 Bad Gateway</title></head><body><h1>502 Bad Gateway</h1></body></html>"


def respond(answer: Answer | ApiError) -> web.Response:
    """The answer as MPS sends it: HTTP 200, also for an error."""
    return _json(json.dumps(response(answer)).encode())


async def faulty(request: web.Request, fault: Fault, answer: Answer | ApiError) -> web.StreamResponse:
    """The answer as ``fault`` would have it; ``answer`` is what MPS would have said."""
    whole = json.dumps(response(answer)).encode()
    match fault.kind:
        case FaultKind.ERROR | FaultKind.ERROR_AFTER:
            return respond(ApiError(fault.code, fault.message or "Asked for by a fault."))
        case FaultKind.NOT_FOUND:
            return respond(ApiError("ResourceNotFound", fault.message or "The resource is not found."))
        case FaultKind.CONTENT_REFUSED:
            return respond(ApiError("InvalidParameter.ViolationContent", fault.message or "The content is refused."))
        case FaultKind.REFUSED_INSIDE:
            return respond({"Status": "FAIL", "Message": fault.message or "The request is refused."})
        case FaultKind.HTTP_502 | FaultKind.HTTP_502_AFTER:
            return web.Response(text=_BAD_GATEWAY, content_type="text/html", status=HTTPStatus.BAD_GATEWAY)
        case FaultKind.CUT_BEFORE | FaultKind.CUT_AFTER:
            return cut(request, b"")
        case FaultKind.CUT_MID:
            return cut(request, _head(len(whole)) + whole[: len(whole) // 2])
        case FaultKind.SLOW:
            await asyncio.sleep(fault.seconds)
        case FaultKind.HANG | FaultKind.HANG_AFTER:
            await asyncio.Event().wait()
        case FaultKind.DRIP:
            return await _drip(request, _head(_DRIP_LENGTH), b" ")
        case FaultKind.DRIP_HEADERS:
            return await _drip(request, b"HTTP/1.1 200 OK\r\nX-Drip: ", b"x")
        case FaultKind.NOT_JSON:
            return _json(b'{"Response": {"RequestId": ')
        case FaultKind.NOT_OBJECT:
            return _json(b'["Response"]')
        case FaultKind.WRONG_CONTENT_TYPE:
            return web.Response(body=whole, content_type="text/html")
        case FaultKind.GZIP:
            return _json(gzip.compress(whole), {"Content-Encoding": "gzip"})
        case FaultKind.HUGE:
            return _json(whole + b" " * _HUGE_LENGTH)
        case FaultKind.REDIRECT:
            # The query changes what is signed: a client that follows is refused, but counted.
            return web.Response(
                status=HTTPStatus.TEMPORARY_REDIRECT, headers={"Location": fault.message or "/?redirected"}
            )
    return _json(whole)


def cut(request: web.Request, sent: bytes) -> web.Response:
    """Send these bytes and close the connection."""
    transport = request.transport
    if transport is not None:
        transport.write(sent)
        transport.close()
    return web.Response()  # nobody is there to receive it


def _json(body: bytes, headers: dict[str, str] | None = None) -> web.Response:
    # Without a charset, as MPS does: the SDK takes an error for a success where there is one.
    return web.Response(body=body, content_type="application/json", headers=headers)


async def _drip(request: web.Request, head: bytes, drop: bytes) -> web.StreamResponse:
    transport = request.transport
    while transport is not None and not transport.is_closing():
        transport.write(head)
        head = drop
        await asyncio.sleep(_DRIP_SECONDS)
    return web.Response()


def _head(length: int) -> bytes:
    return f"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: {length}\r\n\r\n".encode()
