"""One signed call of the API, sync or async, and what to do when it fails."""

from __future__ import annotations

import asyncio
import json
import logging
import math
import os
import ssl
import time
from collections.abc import Callable, Coroutine, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import lru_cache, partial
from typing import Any, Protocol, Self, TypeVar, overload
from urllib.parse import urlsplit
from urllib.request import proxy_bypass_environment  # type: ignore[attr-defined]  # the standard library has it

import anyio
import httpx
import tenacity

from airflow_provider_mps import __version__
from airflow_provider_mps.api.codes import Failure, Repeat, is_read
from airflow_provider_mps.api.errors import (
    AmbiguousCreateError,
    CallError,
    InvalidConnectionError,
    MissingTaskIdError,
    NoRoomError,
    TransportError,
    UnreadableAnswerError,
)
from airflow_provider_mps.api.failure_log import GOES_ON, Trouble
from airflow_provider_mps.api.paid_once import Doubt, Forget, Request, after_failure
from airflow_provider_mps.api.patience import patience
from airflow_provider_mps.api.redaction import printable, withheld, without_queries
from airflow_provider_mps.api.wire.answers import Response, identifier, is_compressed, read_answer
from airflow_provider_mps.api.wire.credentials import Credentials, Keys, sign
from airflow_provider_mps.api.wire.loop import PrivateLoop
from airflow_provider_mps.api.wire.settings import ClientSettings

log = logging.getLogger(__name__)

API_VERSION = "2019-06-12"
ANSWER_LIMIT = 10 * 1024 * 1024
"""Bytes of an answer; the largest real ones, of DescribeTaskDetail, are some hundred kilobytes."""
MAX_CONNECTIONS = 8
"""httpx gets slower with the size of its pool: 0.8 ms of CPU a call with 4 connections, 2.1 ms with 16."""

_LARGE_ANSWER = 256 * 1024
"""Bytes; what takes longer than some milliseconds to read is read in a thread, so that the event loop goes on."""

_T = TypeVar("_T")
Prepare = Callable[[dict[str, Any], Keys], dict[str, Any]]


class Notes(Protocol):
    """What remembers a task that is paid for."""

    def sending(self, session_id: str) -> None:
        """The create is about to leave; what this raises keeps it here."""

    def refused(self) -> None:
        """It did not run."""

    def created(self, task_id: str) -> None:
        """It ran."""

    def answered(self, response: dict[str, Any]) -> None:
        """An action without a TaskId of ours ran."""


class Sending:
    """What is known of a request under way: after ``sent``, only a refusal proves that it did not run.

    :param request: whether it may be sent again in doubt.
    :param notes: what remembers it.
    :param session_id: the request's SessionId, where it has one.
    :param prepare: makes of the request what is sent, by the keys of the moment. Errors show the request itself.
    :param in_line: whether somebody waits in line for room, so that a refusal for now is raised at once.
    :param mark: what is added to X-TC-RequestClient, where MPS shows that of a task.
    """

    def __init__(
        self,
        request: Request,
        notes: Notes | None = None,
        session_id: str = "",
        prepare: Prepare = lambda params, keys: params,
        in_line: bool = False,
        mark: str = "",
    ) -> None:
        self.sent = False
        self.mark = mark
        self.at = 0.0
        self.request = request
        self.prepare = prepare
        self.in_line = in_line
        self._doubted = False
        self._noted = False
        self._notes = notes
        self._session_id = session_id

    def begin(self) -> None:
        """Another attempt begins. A refusal of this one says nothing about an earlier one that is in doubt."""
        self._doubted = self._doubted or self.sent
        self.sent = False

    def note(self) -> None:
        """It is about to leave. Not awaited: a cancellation cannot leave it open whether this was written."""
        if self._notes:
            self._notes.sending(self._session_id)
            self._noted = True

    def leaves(self) -> None:
        """It leaves now: an error from here on may be that of a create that ran."""
        self.sent = True
        self.at = time.time()

    def failed(self, failure: Failure | None) -> None:
        """The attempt has failed: take the note back if it certainly did not run.

        :param failure: what that means; None: what came is no answer and no lack of one.
        """
        decision = after_failure(failure, self.request, sent=self.sent, doubted=self._doubted)
        if isinstance(decision, Forget):
            self.sent = False
            if self._noted and self._notes:
                self._noted = False
                self._notes.refused()


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
    :param trouble: says what fails and is repeated; of those whose calls belong to something longer, such as a wait.
    """

    def __init__(self, settings: ClientSettings, until: float | None = None, trouble: Trouble | None = None) -> None:
        self.settings = settings
        self._trouble = trouble or Trouble()
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
        self._tls: ssl.SSLContext | None = None
        self._connecting = asyncio.Lock()
        self._loop = PrivateLoop()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc_info: object) -> None:
        with self._loop:
            if self._http is not None:
                # On the loop that opened them: the connections belong to it, and it ends with this block.
                self.run(self.aclose())

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *exc_info: object) -> None:
        await self.aclose()

    async def aclose(self) -> None:
        """Close the connections."""
        if self._http is not None:
            # Let go of before it is closed: a call that begins meanwhile makes connections of its own.
            http, self._http = self._http, None
            await http.aclose()

    def run(self, coroutine: Coroutine[Any, Any, _T]) -> _T:
        """Run a coroutine of this client to its end, on the client's own event loop."""
        return self._loop.run(coroutine)

    def call(self, action: str, params: dict[str, Any], within: float | None = None) -> dict[str, Any]:
        """The sync twin of :meth:`acall`."""
        return self.run(self.acall(action, params, within))

    async def acall(
        self,
        action: str,
        params: dict[str, Any],
        within: float | None = None,
        sending: Sending | None = None,
    ) -> dict[str, Any]:
        """Call an action; the ``Response`` object.

        Reads (Describe..., List..., Get..., Query...) are repeated when that may help, anything else only where it
        certainly did not run.

        :param within: seconds for the call with all its repeats.
        :param sending: learns when the request leaves and when it is refused.
        :raises CallError: the last failure, which says what it means.
        :raises AmbiguousCreateError: no read: it was sent, and may have run.
        """
        sending = sending or Sending(Request(repeatable=is_read(action)))
        try:
            async with asyncio.timeout(within):
                # Inside of the timeout: what is cut off after it was sent is in doubt, and no mere TimeoutError.
                with _in_doubt(action, params, sending):
                    return await self._repeated(action, params, sending)
        except TimeoutError:
            raise self._no_answer(action, f"no answer within {within:g} s", never_sent=False) from None

    async def create(self, action: str, params: dict[str, Any], sending: Sending | None = None) -> CreatedTask:
        """Create a task that is paid for. It is sent again only where it certainly did not run, or has a SessionId.

        :param sending: learns when the request leaves and when it is refused.
        :raises AmbiguousCreateError: it was sent, and a paid task may exist.
        :raises CallError: it failed, and certainly did not run, or may be repeated.
        """
        sending = sending or Sending(Request(repeatable="SessionId" in params))
        with _in_doubt(action, params, sending):
            response = await self._repeated(action, params, sending)
            task_id = identifier(response.get("TaskId"))
            request_id = response.get("RequestId", "")
            if not task_id:
                raise MissingTaskIdError(
                    "was accepted without a TaskId",
                    failure=Failure.SERVER_TROUBLE,
                    action=action,
                    request_id=request_id,
                )
            return CreatedTask(task_id, request_id)

    async def _repeated(self, action: str, params: dict[str, Any], sending: Sending) -> Response:
        """Attempts with full-jitter exponential backoff, as the failures' table allows."""
        refused_as_stale = 0

        def may_repeat(error: BaseException) -> bool:
            nonlocal refused_as_stale
            if not isinstance(error, CallError) or (sending.in_line and isinstance(error, NoRoomError)):
                return False
            repeat = error.failure.read if sending.request.repeatable else error.failure.create
            if repeat is Repeat.ONCE:
                refused_as_stale += 1
                return refused_as_stale == 1
            return repeat is Repeat.BACK_OFF

        def say(state: tenacity.RetryCallState) -> None:
            error = state.outcome.exception() if state.outcome else None
            if isinstance(error, CallError):
                self._trouble.call_failed(error, state.upcoming_sleep, _meanwhile(error, params))

        waits = patience()
        async for attempt in tenacity.AsyncRetrying(
            retry=tenacity.retry_if_exception(may_repeat),
            wait=tenacity.wait_random_exponential(multiplier=waits.backoff, max=waits.backoff_limit),
            stop=self._enough,
            before_sleep=say,
            reraise=True,
        ):
            with attempt:
                response = await self.attempt(action, params, sending)
                self._trouble.answered()
                return response
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

    @overload
    async def attempt(self, action: str, params: dict[str, Any], sending: Sending | None = None) -> Response: ...

    @overload
    async def attempt(
        self, action: str, params: dict[str, Any], sending: Sending | None = None, *, read: Callable[[Response], _T]
    ) -> _T: ...

    async def attempt(
        self,
        action: str,
        params: dict[str, Any],
        sending: Sending | None = None,
        *,
        read: Callable[[Response], Any] = lambda response: response,
    ) -> Any:
        """Call an action once, within ``timeout`` seconds as a whole; the ``Response`` object, or what is read from it.

        :param sending: learns when the request leaves this machine.
        :param read: what to make of the ``Response``; of a large one not on the event loop.
        :raises CallError: it failed; ``failure`` says what that means.
        """
        if sending:
            sending.begin()
        try:
            return await self._attempt(action, params, sending, read)
        except BaseException as error:
            # A cancellation, too: the note is taken back only if nothing has left.
            if sending:
                sending.failed(error.failure if isinstance(error, CallError) else None)
            raise

    async def _attempt(
        self, action: str, params: dict[str, Any], sending: Sending | None, read: Callable[[Response], Any]
    ) -> Any:
        # Before the note: where there are no keys, there is nothing to take back.
        with withheld():
            keys = await self._credentials.aresolve(self._until - time.time())
        if sending:
            # Outside of the limit below: nothing has left yet, so a slow memory puts nothing in doubt.
            sending.note()
        now, left = asyncio.get_running_loop().time(), self._until - time.time()
        if left <= 0:
            raise self._no_answer(action, "the time was over before it was sent", never_sent=True)
        deadline = now + self.settings.timeout
        # `until` is about leaving. A create that has left is given its whole `timeout` (the reschedule below):
        # giving up on its answer early would only put it in doubt.
        limit = asyncio.timeout_at(min(deadline, now + left))
        try:
            with withheld():
                async with limit:
                    status, body = await self._send(action, params, keys, sending, partial(limit.reschedule, deadline))
            if len(body) > _LARGE_ANSWER:
                return await asyncio.to_thread(lambda: read(read_answer(action, status, body)))
            return read(read_answer(action, status, body))
        except CallError as error:
            if error.failure is Failure.STALE:
                # So that the one repeat that the codes' table allows is signed with new keys.
                self._credentials.forget()
            raise
        except TimeoutError:
            what = f"no answer within {min(self.settings.timeout, left):.3g} s"
            raise self._no_answer(action, what, never_sent=sending is not None and not sending.sent) from None
        except (httpx.HTTPError, httpx.StreamError, OSError) as error:
            never_sent = sending is not None and not sending.sent
            if isinstance(error, (httpx.ConnectError, httpx.ProxyError)):
                never_sent = True  # a proxy may have got a CONNECT, and nothing else
                self._read_bundle_again()
            what = f"{type(error).__name__}: {without_queries(str(error))}"
            raise self._no_answer(action, what, never_sent) from None

    def _no_answer(self, action: str, what: str, never_sent: bool) -> TransportError:
        failure = Failure.NEVER_SENT if never_sent else Failure.SERVER_TROUBLE
        error = TransportError(f"{what} ({self.settings.host})", failure=failure, action=action)
        if never_sent and (unused := _unused_proxy(self.settings)):
            error.advice = f"{unused} is set here and is not used: put a proxy's URL into the connection's field proxy"
        return error

    async def _send(
        self, action: str, params: dict[str, Any], keys: Keys, sending: Sending | None, leaves: Callable[[], None]
    ) -> tuple[int, bytes]:
        async def trace(event: str, info: dict[str, Any]) -> None:
            # httpcore's last event before a byte leaves. It has one for a proxy's CONNECT, too, which holds nothing of
            # the request.
            if event.endswith("send_request_headers.started") and info["request"].method != b"CONNECT":
                if sending:
                    sending.leaves()
                leaves()

        http = self._http or await self._connect()
        # httpx's transport without its client, which would cost a fifth more CPU for what is not wanted here:
        # redirects, cookies, .netrc, proxies of the environment, and a line of log for each call.
        response = None
        # httpx and h11 refuse a character that no header can hold, quoting the header: that error is kept nowhere.
        with suppress(httpx.LocalProtocolError, UnicodeEncodeError):
            mark = sending.mark if sending else ""
            request = self._signed(action, sending.prepare(params, keys) if sending else params, keys, mark)
            if sending:
                request.extensions["trace"] = trace
            response = await http.handle_async_request(request)
        if response is None:
            raise TransportError(
                "the login (SecretId), token, region or action has a character, such as a line break, that no HTTP "
                "header can hold",
                failure=Failure.FINAL,
                action=action,
            )
        try:
            if is_compressed(response.headers):
                encoding = response.headers["content-encoding"]
                raise UnreadableAnswerError(
                    f"the answer is compressed ({printable(encoding[:20])}), although that was not requested",
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

    def _signed(self, action: str, params: dict[str, Any], keys: Keys, mark: str) -> httpx.Request:
        headers = {**self._headers, "X-TC-Action": action}
        if mark:
            headers["X-TC-RequestClient"] += f";{mark}"
        request = httpx.Request(
            "POST",
            self._url,
            content=json.dumps(params).encode(),
            headers=headers,
        )
        sign(request, keys)
        return request

    async def _connect(self) -> httpx.AsyncHTTPTransport:
        async with self._connecting:
            if self._http is None:
                # 80 ms of CPU the first time, for the TLS context and for imports: outside of the loop's thread.
                self._tls = await asyncio.to_thread(make_tls, self.settings.verify, self.settings.url)
                self._http = await asyncio.to_thread(_make_http, self.settings, self._tls)
            return self._http

    def _read_bundle_again(self) -> None:
        """A CA bundle may have been changed since the connection was made; a poller may live for weeks."""
        if self._tls and isinstance(self.settings.verify, str):
            with suppress(OSError):
                self._tls.load_verify_locations(self.settings.verify)


def _unused_proxy(settings: ClientSettings) -> str:
    """The environment's variable that names a proxy for this host, which no call uses; empty: there is none."""
    if settings.proxy or settings.scheme != "https" or proxy_bypass_environment(settings.host):
        return ""
    return next((name for name in ("https_proxy", "HTTPS_PROXY", "all_proxy", "ALL_PROXY") if os.environ.get(name)), "")


def make_tls(verify: bool | str, url: str) -> ssl.SSLContext | None:
    """What the certificate of a URL's host is checked by; None for plain http.

    :raises InvalidConnectionError: there is no such CA bundle.
    """
    parts = urlsplit(url)
    if parts.scheme != "https":
        return None
    if verify is False:
        _warn_unverified(parts.netloc)
    try:
        changed = os.stat(verify) if isinstance(verify, str) else None
        return _tls_context(verify, changed and (changed.st_mtime_ns, changed.st_ino, changed.st_size))
    except (OSError, ValueError) as error:
        raise InvalidConnectionError(f"no CA bundle at {verify!r}: {error}", field="verify") from None


def _make_http(settings: ClientSettings, tls: ssl.SSLContext | None) -> httpx.AsyncHTTPTransport:
    anyio.run(anyio.sleep, 0)  # anyio, which httpx works with, imports its asyncio half when it is first used
    return make_transport(settings.proxy, tls)


def make_transport(proxy: str, tls: ssl.SSLContext | None) -> httpx.AsyncHTTPTransport:
    """The connections to a host, by a connection's settings only, not the environment's.

    :param tls: what the host's certificate is checked by, and that of an https proxy.
    :raises InvalidConnectionError: the proxy cannot be used.
    """
    try:
        return httpx.AsyncHTTPTransport(
            verify=tls or False,
            proxy=httpx.Proxy(proxy, ssl_context=tls if proxy.startswith("https:") else None) if proxy else None,
            trust_env=False,
            limits=httpx.Limits(max_connections=MAX_CONNECTIONS, max_keepalive_connections=MAX_CONNECTIONS),
        )
    except (ValueError, ImportError, httpx.InvalidURL):
        raise InvalidConnectionError(
            "must be the URL of an http or https proxy (not of a socks one)", field="proxy"
        ) from None


@lru_cache(maxsize=8)
def _tls_context(verify: bool | str, version: tuple[int, ...] | None) -> ssl.SSLContext:
    """A context for ``verify``; another one when the bundle has another version."""
    if isinstance(verify, str):
        return ssl.create_default_context(cafile=verify)
    return httpx.create_ssl_context(verify=verify, trust_env=False)


@lru_cache(maxsize=64)
def _warn_unverified(host: str) -> None:
    """Once for each endpoint: a task makes many clients."""
    log.warning(
        "verify=false: the certificate of %s is not checked. Whoever is on the way can read the keys' token and the "
        "answers, and answer in its place. Give the path of a CA bundle instead.",
        host,
    )


@contextmanager
def _in_doubt(action: str, params: dict[str, Any], sending: Sending) -> Iterator[None]:
    """Turn what went wrong into AmbiguousCreateError, unless the create certainly did not run."""
    try:
        yield
    except BaseException as error:
        # A cancellation or a time limit in the midst of a create must not pass as one: a paid task may exist.
        call = error if isinstance(error, CallError) else None
        if isinstance(after_failure(call.failure if call else None, sending.request, sent=sending.sent), Doubt):
            cause = f"{type(error).__name__} came while the answer was awaited"
            raise AmbiguousCreateError(
                action,
                params,
                sending.at,
                call.reason if call else cause,
                call.request_id if call else "",
                call.code if call else "",
            ) from error
        raise


def _meanwhile(error: CallError, params: dict[str, Any]) -> str:
    """What a call that failed, and is made again, means for the user's task or money."""
    if is_read(error.action):
        return GOES_ON if "TaskId" in params and error.failure is not Failure.NOT_FOUND else ""
    return "one SessionId makes one task" if error.failure.may_have_run else "it did not run, and nothing is billed"
