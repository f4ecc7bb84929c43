"""The emulator's own page: what it was asked for and has made, to see and to hear."""

from __future__ import annotations

import asyncio
from http import HTTPStatus
from importlib.resources import files

from aiohttp import web

from airflow_provider_mps.emulator.service.guarded import GuardedService
from airflow_provider_mps.emulator.web.files import send

_HERE = ("emulator", "web", "static")
_STATIC = {
    "/": (*_HERE, "gallery.html"),
    "/emulator/gallery.js": (*_HERE, "gallery.js"),
    "/emulator/cards.css": ("plugins", "static", "results.css"),  # looks like the results page inside Airflow
}
_TYPES = {"html": "text/html", "js": "text/javascript", "css": "text/css"}
_HEADERS = {
    "Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; "
    "media-src 'self'; img-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
}


def add_routes(app: web.Application, service: GuardedService) -> None:
    """Serve the page of a service."""

    async def static(request: web.Request) -> web.Response:
        path = _STATIC[request.path]
        text = files("airflow_provider_mps").joinpath(*path).read_text("utf-8")
        return web.Response(text=text, content_type=_TYPES[path[-1].rpartition(".")[2]], headers=_HEADERS)

    async def file(request: web.Request) -> web.StreamResponse:
        """The n-th file of a task, wherever the task has stored it; no request of the service's."""
        made = {task.task_id: task for task in service.tasks}.get(request.match_info["task_id"])
        n = int(request.match_info["n"])
        if made is None or not made.succeeded or n >= len(made.files):
            return web.Response(status=HTTPStatus.NOT_FOUND)
        data = await asyncio.to_thread(made.files[n].data)
        return await send(request, made.files[n].key, data, None)

    for path in _STATIC:
        app.router.add_get(path, static)
    app.router.add_get(r"/emulator/files/{task_id}/{n:\d{1,3}}", file)
