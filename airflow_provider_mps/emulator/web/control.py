"""The control API, for other processes on this machine, and the emulator's own page."""

from __future__ import annotations

import ipaddress
import time
from collections import Counter, defaultdict
from http import HTTPStatus
from typing import Any
from urllib.parse import urlsplit

from aiohttp import web
from aiohttp.typedefs import Handler

from airflow_provider_mps.emulator.service.guarded import GuardedService
from airflow_provider_mps.emulator.service.tasks import EmulatedTask, Phase
from airflow_provider_mps.emulator.web import page


def add_routes(app: web.Application, service: GuardedService) -> None:
    """Serve the control API of a service."""
    control = _Control(service)
    page.add_routes(app, service)
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
    def __init__(self, service: GuardedService) -> None:
        self._service = service

    async def get_state(self, request: web.Request) -> web.Response:
        limit, offset = (request.query.get(name) for name in ("limit", "offset"))
        return web.json_response(_state(self._service, None if limit is None else int(limit), int(offset or 0)))

    async def post_fault(self, request: web.Request) -> web.Response:
        self._service.fault(**await request.json())
        return web.json_response({})

    async def delete_faults(self, request: web.Request) -> web.Response:
        self._service.clear_faults()
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
            self._service.add_task(kind, wait_seconds=wait, run_seconds=run)
            for wait, run in zip(waits, runs, strict=True)
        ]
        return web.json_response({"task_ids": task_ids})

    async def post_reset(self, request: web.Request) -> web.Response:
        self._service.reset()
        return web.json_response({})


def _state(service: GuardedService, limit: int | None, offset: int) -> dict[str, Any]:
    """What happened so far, as JSON.

    :param limit: of tasks, the newest so many, after the ``offset`` newest; None: all. They are in the order of
        creation.
    """
    answers: defaultdict[str, Counter[str]] = defaultdict(Counter)
    for recorded in service.requests:
        answers[recorded.action][recorded.answer] += 1
    tasks = service.tasks
    end = len(tasks) - offset
    wanted = tasks if limit is None else tasks[max(0, end - limit) : max(0, end)]
    return {
        "rules": service.rules,
        "now": time.monotonic(),
        "requests": {action: counter.total() for action, counter in answers.items()},
        "answers": answers,
        "refused_for_room": service.refused_for_room,
        "faults": [fault.kind for fault in service.faults],
        "task_count": len(tasks),
        "tasks": [_task(task) for task in wanted],
    }


def _task(task: EmulatedTask) -> dict[str, Any]:
    ended = task.phase is Phase.ENDED
    return {
        "task_id": task.task_id,
        "kind": task.kind,
        "action": task.action,
        "state": task.state,
        "ended": ended,
        "failure": task.failure if ended else None,
        "files": [file.suffix for file in task.files] if task.succeeded else [],
        "params": task.params,
        "created_at": task.created_at,
        "done_at": task.done_at,
    }
