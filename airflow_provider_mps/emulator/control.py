"""The control API, for other processes on this machine, and the emulator's own page."""

from __future__ import annotations

import ipaddress
from collections import Counter, defaultdict
from http import HTTPStatus
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from aiohttp import web
from aiohttp.typedefs import Handler

from airflow_provider_mps.emulator import page

if TYPE_CHECKING:
    from airflow_provider_mps.emulator.server import MpsEmulator


def add_routes(app: web.Application, emulator: MpsEmulator) -> None:
    """Serve the control API of ``emulator``."""
    control = _Control(emulator)
    app.router.add_get("/", control.get_page)
    app.router.add_get("/emulator/state", control.get_state)
    app.router.add_post("/emulator/faults", control.post_fault)
    app.router.add_delete("/emulator/faults", control.delete_faults)
    app.router.add_post("/emulator/tasks", control.post_tasks)
    app.router.add_post("/emulator/reset", control.post_reset)


@web.middleware
async def guard(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Refuse what somebody else's web page sends, and answer 400 where a request cannot be read.

    A page in this machine's browser can send requests here. It names itself in Origin; where its name was made to
    lead here (DNS rebinding), that name is in Host.
    """
    unreadable: tuple[type[Exception], ...] = (ValueError, OverflowError, RecursionError)
    if (request.method, request.path) == ("GET", "/") or request.path.startswith("/emulator/"):
        unreadable += (AttributeError, TypeError)  # JSON of another shape
        own = f"{request.scheme}://{request.host}"
        if not _is_loopback(own) or request.headers.get("Origin", own) != own:
            return web.json_response({"error": "Host or Origin is not this emulator."}, status=HTTPStatus.FORBIDDEN)
    try:
        return await handler(request)
    except unreadable as error:
        return web.json_response({"error": f"{error}"[:500]}, status=HTTPStatus.BAD_REQUEST)


def _is_loopback(url: str) -> bool:
    try:
        host = urlsplit(url).hostname or ""
        return host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


class _Control:
    def __init__(self, emulator: MpsEmulator) -> None:
        self._emulator = emulator

    async def get_page(self, request: web.Request) -> web.Response:
        text = page.html(self._emulator.rules, self._emulator.tasks)
        return web.Response(text=text, content_type="text/html")

    async def get_state(self, request: web.Request) -> web.Response:
        answers: defaultdict[str, Counter[str]] = defaultdict(Counter)
        for recorded in self._emulator.requests:
            answers[recorded.action][recorded.answer] += 1
        return web.json_response(
            {
                "requests": {action: counter.total() for action, counter in answers.items()},
                "answers": answers,
                "refused_for_room": self._emulator.refused_for_room,
                "tasks": [
                    {
                        "task_id": task.task_id,
                        "kind": task.kind,
                        "action": task.action,
                        "state": task.state,
                        "params": task.params,
                        "created_at": task.created_at,
                        "done_at": task.done_at,
                    }
                    for task in self._emulator.tasks
                ],
            }
        )

    async def post_fault(self, request: web.Request) -> web.Response:
        self._emulator.fault(**await request.json())
        return web.json_response({})

    async def delete_faults(self, request: web.Request) -> web.Response:
        self._emulator.clear_faults()
        return web.json_response({})

    async def post_tasks(self, request: web.Request) -> web.Response:
        wish = await request.json()
        count = wish.get("count") or len(wish.get("run_seconds") or [None])
        waits = wish.get("wait_seconds") or [None] * count
        runs = wish.get("run_seconds") or [None] * count
        if not len(waits) == len(runs) == count:
            raise ValueError(f"wait_seconds and run_seconds must have {count} numbers each")
        kind = wish.get("kind", "aigc_audio")
        task_ids = [
            self._emulator.add_task(kind, wait_seconds=wait, run_seconds=run)
            for wait, run in zip(waits, runs, strict=True)
        ]
        return web.json_response({"task_ids": task_ids})

    async def post_reset(self, request: web.Request) -> web.Response:
        self._emulator.reset()
        return web.json_response({})
