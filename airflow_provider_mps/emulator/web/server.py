"""The emulator as a web server in a thread of its own."""

from __future__ import annotations

import asyncio
import ipaddress
import ssl
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future
from types import TracebackType
from typing import Any, Self

from aiohttp import web

from airflow_provider_mps.emulator.faults import FILE, Scope
from airflow_provider_mps.emulator.media.synth import MediaFile
from airflow_provider_mps.emulator.presigned import verify_presigned
from airflow_provider_mps.emulator.service.errors import ApiError
from airflow_provider_mps.emulator.service.guarded import GuardedService
from airflow_provider_mps.emulator.service.limits import DOCUMENTED, Rate
from airflow_provider_mps.emulator.service.mps import OWN_BUCKET, Answer, Behaviour
from airflow_provider_mps.emulator.service.shapes import parse_object
from airflow_provider_mps.emulator.signature import Credential
from airflow_provider_mps.emulator.web import control, files, wire

_MAX_BODY = 10 * 1024 * 1024  # MPS takes no larger request


class MpsEmulator(GuardedService):
    """MPS on this machine, while the ``with`` block runs.

    :param host: a loopback address; any other is refused.
    :param port: 0 takes a free one.
    :param token: the token of a temporary credential, empty for a permanent one.
    :param rules: ``service``: refuse, fail and replace what the service was seen to; ``reference``: only what the
        API reference itself states, so that its own sample requests pass.
    :param site: ``intl`` or ``cn``: whose host this is. The international one takes no call for mainland China.
    :param wait_seconds: how long a new task is in WAIT.
    :param run_seconds: how long it is then in RUN.
    :param requests_per_second: an account's limit for each action in any second; ``documented``: the reference's
        of each action, from 10 to 100. None: no limit.
    :param running_tasks: how many AIGC tasks of one model an account may have at once; a further create is refused
        with RequestLimitExceeded. None: no cap, for the service publishes no number.
    :param room_late: for how many seconds a task that has ended still counts among ``running_tasks``.
    :param results_kept_seconds: how long a result in MPS's own store can be read: 12 hours, as documented.
    :param results_signed: False: MPS's own store gives its results by bare COS URLs, as the reference's samples show,
        to anybody; the connection's ``cos_endpoint`` leads to them.
    :param tasks_kept_seconds: how long an ended task can be described: 7 days, as documented.
    :param ssl_context: serve HTTPS with it.
    :param output_audio_format_at_top_level: False: know OutputAudioFormat only inside ExtraParameters.
    :raises ValueError: ``host`` is not a loopback address, or another argument is not as described.
    """

    def __init__(
        self,
        *,
        host: str = "127.0.0.1",
        port: int = 0,
        secret_id: str = "emulator-id",  # noqa: S107 - opens nothing but this emulator
        secret_key: str = "emulator-key",  # noqa: S107
        token: str = "",
        rules: str = "service",
        site: str = "intl",
        wait_seconds: float = 0.5,
        run_seconds: float = 1.0,
        requests_per_second: Rate = DOCUMENTED,
        running_tasks: int | None = None,
        room_late: float = 0.0,
        results_kept_seconds: float = 12 * 3600.0,
        results_signed: bool = True,
        tasks_kept_seconds: float = 7 * 86400.0,
        ssl_context: ssl.SSLContext | None = None,
        output_audio_format_at_top_level: bool = True,
    ) -> None:
        if host != "localhost" and not ipaddress.ip_address(host).is_loopback:
            raise ValueError(f"the emulator serves only this machine: {host} is not a loopback address")
        self.port = port
        self._host = host
        self._credential = Credential(secret_id, secret_key, token)
        self._ssl_context = ssl_context
        behaviour = Behaviour(
            rules=rules,
            site=site,
            wait_seconds=wait_seconds,
            run_seconds=run_seconds,
            requests_per_second=requests_per_second,
            running_tasks=running_tasks,
            room_late=room_late,
            results_kept_seconds=results_kept_seconds,
            results_signed=results_signed,
            tasks_kept_seconds=tasks_kept_seconds,
            output_audio_format_at_top_level=output_audio_format_at_top_level,
        )
        super().__init__(self._credential, behaviour)
        self._thread: threading.Thread | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._stopping = asyncio.Event()

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.stop()

    def start(self) -> None:
        """Serve until :meth:`stop`; returns when the server takes connections.

        :raises OSError: the port is taken.
        """
        ready: Future[int] = Future()
        self._stopping = asyncio.Event()
        thread = threading.Thread(target=lambda: asyncio.run(self._serve(ready)), name="mps-emulator", daemon=True)
        thread.start()
        self.port = ready.result()
        self._thread = thread
        self._service.url = self.url

    def stop(self) -> None:
        """End the server and every connection; what it recorded can still be read."""
        if self._thread is not None and self._loop is not None:
            self._loop.call_soon_threadsafe(self._stopping.set)
            self._thread.join()
            self._thread = None

    @property
    def url(self) -> str:
        """The endpoint, such as ``http://127.0.0.1:8080``."""
        scheme = "http" if self._ssl_context is None else "https"
        host = f"[{self._host}]" if ":" in self._host else self._host
        return f"{scheme}://{host}:{self.port}"

    @property
    def connection(self) -> dict[str, Any]:
        """An Airflow connection to the emulator, ready for ``json.dumps`` and AIRFLOW_CONN_...."""
        return {
            "conn_type": "tencent_mps",
            "login": self._credential.secret_id,
            "password": self._credential.secret_key,
            "host": self._host,
            "port": self.port,
            "schema": "http" if self._ssl_context is None else "https",
            "extra": {"cos_endpoint": self.url} | ({"token": self._credential.token} if self._credential.token else {}),
        }

    async def _serve(self, ready: Future[int]) -> None:
        self._loop = asyncio.get_running_loop()
        app = web.Application(client_max_size=_MAX_BODY, middlewares=[control.guard])
        app.router.add_post("/", self._call)
        app.router.add_get("/files/{key:.+}", self._file)
        control.add_routes(app, self)
        app.router.add_get("/{key:[^/]+/.+}", self._cos_object)
        # handler_cancellation ends a handler that hangs on purpose when its client leaves.
        runner = web.AppRunner(app, access_log=None, handler_cancellation=True, shutdown_timeout=0.1)
        try:
            await runner.setup()
            await web.TCPSite(runner, self._host, self.port, ssl_context=self._ssl_context).start()
            ready.set_result(runner.addresses[0][1])
            await self._stopping.wait()
        except Exception as error:  # for start() to raise
            ready.set_exception(error)
        finally:
            await runner.cleanup()

    async def _call(self, request: web.Request) -> web.StreamResponse:
        body = await request.read()
        headers = _headers(request)
        action = headers.get("x-tc-action", "")
        params = parse_object(body)
        answer: Answer | ApiError = {}
        with self._lock:
            record = self._service.record(action, params or {}, headers)
            fault = self._service.faults.take(action, Scope.CALL, Scope.CREATE, Scope.DESCRIBE)
            if fault is None or fault.kind.processed:
                kind = None if fault is None else fault.kind
                try:
                    answer = self._service.answer(headers, request.query_string, body, params, kind)
                except ApiError as error:
                    answer = error
            if fault is not None:
                record.answer = fault.kind
            else:
                record.answer = answer.code if isinstance(answer, ApiError) else "ok"
        return wire.respond(answer) if fault is None else await wire.faulty(request, fault, answer)

    async def _file(self, request: web.Request) -> web.StreamResponse:
        """The file at a URL that a Describe answer gave."""

        def find() -> MediaFile:
            return self._service.file(request.match_info["key"], request.query.get("sign", ""))

        return await self._download(request, find)

    async def _cos_object(self, request: web.Request) -> web.StreamResponse:
        """A file in a bucket, as COS's S3-compatible endpoint gives it to a presigned, path-style URL."""

        def find() -> MediaFile:
            bucket, _, name = request.match_info["key"].partition("/")
            if bucket == OWN_BUCKET:
                return self._service.public_object(name, signed="X-Amz-Signature" in request.query)
            known = self._service.credentials
            headers = _headers(request)
            key = verify_presigned(request.method, request.path, request.query, headers, known, time.time())
            return self._service.stored_object(request.match_info["key"], key.account)

        return await self._download(request, find)

    async def _download(self, request: web.Request, find: Callable[[], MediaFile]) -> web.StreamResponse:
        file: MediaFile | ApiError
        with self._lock:
            try:
                file = find()
            except ApiError as error:
                file = error
            record = self._service.record(FILE, {"key": request.match_info["key"]}, _headers(request))
            fault = self._service.faults.take(FILE, Scope.FILE) if request.method == "GET" else None
            outcome = file.code if isinstance(file, ApiError) else "ok"
            record.answer = outcome if fault is None else fault.kind
        if isinstance(file, ApiError):
            return files.refused(file)
        data = await asyncio.to_thread(file.data)
        return await files.send(request, file.key, data, fault)


def _headers(request: web.Request) -> dict[str, str]:
    return {name.lower(): value for name, value in request.headers.items()}
