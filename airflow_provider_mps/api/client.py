"""One signed call of the API, sync or async, and what to do when it fails."""

from __future__ import annotations

import asyncio
import json
import math
import ssl
import time
from collections.abc import Callable, Coroutine, Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from functools import lru_cache, partial
from typing import Any, Self, TypeVar

import anyio
import httpx
import tenacity

from airflow_provider_mps import __version__
from airflow_provider_mps.api.auth import Credentials, Keys, sign
from airflow_provider_mps.api.errors import (
    AmbiguousCreateError,
    ApiError,
    CallError,
    Failure,
    InvalidConnectionError,
    MissingTaskIdError,
    Repeat,
    TransportError,
    UnreadableAnswerError,
    classify,
)
from airflow_provider_mps.api.loop import PrivateLoop
from airflow_provider_mps.api.patience import patience
from airflow_provider_mps.api.redaction import withheld, without_queries
from airflow_provider_mps.api.requests import is_read
from airflow_provider_mps.api.settings import ClientSettings

API_VERSION = "2019-06-12"
ANSWER_LIMIT = 10 * 1024 * 1024
"""Bytes of an answer; the largest real ones, of DescribeTaskDetail, are some hundred kilobytes."""
MAX_CONNECTIONS = 8
"""httpx gets slower with the size of its pool: 0.8 ms of CPU a call with 4 connections, 2.1 ms with 16."""

_T = TypeVar("_T")
Response = dict[str, Any]


@dataclass
class Sending:
    """What is known of a create under way: after ``sent``, only a refusal proves that it did not run."""

    sent: bool = False
    at: float = 0.0

    async def trace(self, event: str, info: dict[str, Any]) -> None:
        """httpcore's "trace" extension: it tells each step of a request."""
        if event.endswith("send_request_headers.started"):
            self.sent = True
            self.at = time.time()


@dataclass(frozen=True)
class CreatedTask:
    """What an accepted create answered."""

    task_id: str
    request_id: str


class MpsClient:
    """Signed calls to one endpoint with one credential.

    Use it as a context manager, sync or async, so that its connections are closed. :meth:`run` runs the async methods
    on a private event loop: one code path, and deadlines that hold while a name is looked up or a header drips in.

    :param settings: endpoint, credential and transport.
    :param until: POSIX time after which no request leaves; one that has left may be answered later.
    """

    def __init__(self, settings: ClientSettings, until: float | None = None) -> None:
        self.settings = settings
        self._until = math.inf if until is None else until
        self._url = httpx.URL(settings.url)
        self._headers = {
            "Content-Type": "application/json",
            "Accept-Encoding": "identity",
            "X-TC-Version": API_VERSION,
            "X-TC-Language": "en-US",
            "X-TC-RequestClient": f"airflow-provider-mps_{__version__}",
        }
        if settings.region:
            self._headers["X-TC-Region"] = settings.region
        self._credentials = Credentials(settings.credential, settings.timeout)
        self._http: httpx.AsyncHTTPTransport | None = None
        self._connecting = asyncio.Lock()
        self._loop = PrivateLoop()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc_info: object) -> None:
        with self._loop:
            if self._http is not None:
                self.run(self.aclose())

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *exc_info: object) -> None:
        await self.aclose()

    async def aclose(self) -> None:
        """Close the connections."""
        if self._http is not None:
            http, self._http = self._http, None
            await http.aclose()

    def run(self, coroutine: Coroutine[Any, Any, _T]) -> _T:
        """Run a coroutine of this client to its end, on the client's own event loop."""
        return self._loop.run(coroutine)

    def call(self, action: str, params: dict[str, Any], within: float | None = None) -> dict[str, Any]:
        """The sync twin of :meth:`acall`.

        :param within: seconds for the call with all its repeats.
        """
        return self.run(self._call_within(action, params, within))

    async def _call_within(self, action: str, params: dict[str, Any], within: float | None) -> dict[str, Any]:
        try:
            async with asyncio.timeout(within):
                return await self.acall(action, params)
        except TimeoutError:
            raise self._no_answer(action, f"no answer within {within:g} s", None) from None

    async def acall(self, action: str, params: dict[str, Any]) -> dict[str, Any]:
        """Call an action; the ``Response`` object.

        Reads (Describe..., List..., Get...) are repeated when that may help, anything else only where it surely
        did not run.

        :raises CallError: the last failure, which says what it means.
        """
        if is_read(action):
            return await self._repeated(action, params, True, Sending())
        sending = Sending()
        with _in_doubt(action, params, sending):
            return await self._repeated(action, params, False, sending)

    async def create(self, action: str, params: dict[str, Any], repeatable: bool = False) -> CreatedTask:
        """Create a task that is paid for. It is sent again only where it certainly did not run.

        :param repeatable: whether a repeat makes no second task: the request has a SessionId. It is repeated like a
            read.
        :raises AmbiguousCreateError: it was sent, and a paid task may exist.
        :raises CallError: it failed, and certainly did not run, or may be repeated.
        """
        sending = Sending()
        with nullcontext() if repeatable else _in_doubt(action, params, sending):
            response = await self._repeated(action, params, repeatable, sending)
            task_id = response.get("TaskId")
            request_id = str(response.get("RequestId") or "")
            if not isinstance(task_id, str) or not task_id.strip() or len(task_id) > 200:
                raise MissingTaskIdError(
                    "was accepted without a TaskId",
                    failure=Failure.SERVER_TROUBLE,
                    action=action,
                    request_id=request_id,
                )
            return CreatedTask(task_id, request_id)

    async def _repeated(self, action: str, params: dict[str, Any], repeatable: bool, sending: Sending) -> Response:
        """Attempts with full-jitter exponential backoff, as the failures' table allows."""
        refused_as_stale = 0

        def may_repeat(error: BaseException) -> bool:
            nonlocal refused_as_stale
            if not isinstance(error, CallError):
                return False
            rule = error.failure.value.read if repeatable else error.failure.value.create
            if rule is Repeat.ONCE:
                refused_as_stale += 1
                return refused_as_stale == 1
            return rule is Repeat.BACK_OFF

        bearing = patience()
        async for attempt in tenacity.AsyncRetrying(
            retry=tenacity.retry_if_exception(may_repeat),
            wait=tenacity.wait_random_exponential(multiplier=bearing.backoff, max=bearing.backoff_limit),
            stop=self._enough,
            reraise=True,
        ):
            with attempt:
                return await self.attempt(action, params, sending)
        raise AssertionError("tenacity ends with a result or an exception")

    def _enough(self, state: tenacity.RetryCallState) -> bool:
        """Whether to stop repeating."""
        error = state.outcome.exception() if state.outcome else None
        throttled = isinstance(error, CallError) and error.failure is Failure.THROTTLED
        tries, seconds = (100, patience().call_throttled) if throttled else (6, patience().call_trouble)
        return (
            state.attempt_number >= tries
            or (state.seconds_since_start or 0.0) >= seconds
            or time.time() + state.upcoming_sleep >= self._until
        )

    async def attempt(self, action: str, params: dict[str, Any], sending: Sending | None = None) -> dict[str, Any]:
        """Call an action once, within ``timeout`` seconds as a whole; the ``Response`` object.

        :param sending: is told when the request leaves this machine.
        :raises CallError: it failed; ``failure`` says what that means.
        """
        if sending:
            sending.sent = False
        now = asyncio.get_running_loop().time()
        deadline = now + self.settings.timeout
        left = self._until - time.time()
        limit = asyncio.timeout_at(min(deadline, now + left))
        try:
            with withheld():
                keys = await self._credentials.aresolve(left)
                async with limit:
                    status, body = await self._send(action, params, keys, sending, partial(limit.reschedule, deadline))
            return _read_answer(action, status, body)
        except CallError as error:
            if sending and not error.failure.may_have_run:
                sending.sent = False
            if error.failure is Failure.STALE:
                self._credentials.forget()
            raise
        except TimeoutError:
            seconds = max(0.0, min(self.settings.timeout, left))
            raise self._no_answer(action, f"no answer within {seconds:.3g} s", sending) from None
        except (httpx.ConnectError, httpx.ProxyError) as error:
            sending = sending or Sending()
            sending.sent = False  # a proxy may have been sent a CONNECT, and nothing else
            raise self._no_answer(action, f"{type(error).__name__}: {error}", sending) from None
        except (httpx.HTTPError, httpx.StreamError, OSError) as error:
            raise self._no_answer(action, f"{type(error).__name__}: {error}", sending) from None

    def _no_answer(self, action: str, what: str, sending: Sending | None) -> TransportError:
        failure = Failure.NEVER_SENT if sending and not sending.sent else Failure.SERVER_TROUBLE
        return TransportError(f"{what} ({self.settings.host})", failure=failure, action=action)

    async def _send(
        self, action: str, params: dict[str, Any], keys: Keys, sending: Sending | None, leaves: Callable[[], None]
    ) -> tuple[int, bytes]:
        async def trace(event: str, info: dict[str, Any]) -> None:
            if sending:
                await sending.trace(event, info)
            if event.endswith("send_request_headers.started"):
                leaves()

        http = self._http or await self._connect()
        # httpx's transport without its client, which would cost a fifth more CPU for what is not wanted here:
        # redirects, cookies, .netrc, proxies of the environment, and a line of log for each call.
        request = httpx.Request(
            "POST",
            self._url,
            content=json.dumps(params).encode(),
            headers={**self._headers, "X-TC-Action": action},
            extensions={"trace": trace} if sending else None,
        )
        sign(request, keys)
        response = await http.handle_async_request(request)
        try:
            encoding = response.headers.get("content-encoding", "identity")
            if encoding != "identity":
                raise UnreadableAnswerError(
                    f"the answer is compressed ({encoding[:20]}), which was not asked for",
                    failure=Failure.SERVER_TROUBLE,
                    action=action,
                )
            body = bytearray()
            async for chunk in response.aiter_raw():
                body += chunk
                if len(body) > ANSWER_LIMIT:
                    raise UnreadableAnswerError(
                        f"the answer is larger than {ANSWER_LIMIT // 1024**2} MiB",
                        failure=Failure.SERVER_TROUBLE,
                        action=action,
                    )
            return response.status_code, bytes(body)
        finally:
            await response.aclose()

    async def _connect(self) -> httpx.AsyncHTTPTransport:
        async with self._connecting:
            if self._http is None:
                # 80 ms of CPU the first time, for the TLS context and for imports: outside of the loop's thread.
                self._http = await asyncio.to_thread(_make_http, self.settings)
            return self._http


def _make_http(settings: ClientSettings) -> httpx.AsyncHTTPTransport:
    anyio.run(anyio.sleep, 0)  # anyio, which httpx works with, imports its asyncio half when it is first used
    verify: ssl.SSLContext | bool = False
    if settings.scheme == "https":
        try:
            verify = _tls_context(settings.verify)
        except OSError as error:
            raise InvalidConnectionError(f"verify: no CA bundle at {settings.verify!r}: {error}") from None
    try:
        return httpx.AsyncHTTPTransport(
            verify=verify,
            proxy=settings.proxy or None,
            trust_env=False,
            limits=httpx.Limits(max_connections=MAX_CONNECTIONS, max_keepalive_connections=MAX_CONNECTIONS),
        )
    except (ValueError, ImportError, httpx.InvalidURL):
        raise InvalidConnectionError("proxy: is no URL of an http or https proxy") from None


@lru_cache(maxsize=8)
def _tls_context(verify: bool | str) -> ssl.SSLContext:
    if isinstance(verify, str):
        return ssl.create_default_context(cafile=verify)
    return httpx.create_ssl_context(verify=verify, trust_env=False)


def _read_answer(action: str, status: int, body: bytes) -> dict[str, Any]:
    """The ``Response`` object of an answer, whatever its Content-Type says."""
    try:
        answer = json.loads(body)
    except ValueError:
        answer = None
    response = answer.get("Response") if isinstance(answer, dict) else None
    error = response.get("Error") if isinstance(response, dict) else None
    if isinstance(response, dict) and isinstance(error, dict) and isinstance(error.get("Code"), str):
        code = error["Code"]
        raise ApiError(
            f"{code}: {without_queries(error.get('Message'))}",
            failure=classify(code).failure,
            action=action,
            code=code,
            request_id=str(response.get("RequestId") or ""),
        )
    if not isinstance(response, dict) or error is not None or status >= 300:
        raise UnreadableAnswerError(
            f"HTTP {status}, and the answer is no JSON object with Response",
            failure=Failure.SERVER_TROUBLE,
            action=action,
        )
    return response


@contextmanager
def _in_doubt(action: str, params: dict[str, Any], sending: Sending) -> Iterator[None]:
    """Turn what went wrong into AmbiguousCreateError, unless the create surely did not run."""
    try:
        yield
    except BaseException as error:
        known = isinstance(error, CallError)
        if error.failure.may_have_run if isinstance(error, CallError) else sending.sent:
            raise AmbiguousCreateError(
                action,
                params,
                sending.at,
                str(error) if known else f"{type(error).__name__} came while the answer was awaited",
                error.request_id if isinstance(error, CallError) else "",
            ) from error
        raise
