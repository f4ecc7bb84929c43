"""MpsHook: from an Airflow connection to calls of MPS."""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Awaitable, Callable, Coroutine, Iterator, Mapping
from contextlib import contextmanager, nullcontext
from dataclasses import replace
from datetime import timedelta
from functools import partial
from typing import TYPE_CHECKING, Any, ParamSpec, TypeVar, Unpack

from airflow_provider_mps.api.codes import About, Failure, is_read
from airflow_provider_mps.api.errors import (
    AmbiguousCreateError,
    ApiError,
    CallError,
    InvalidArgumentError,
    MpsError,
    RunningLoopError,
    sentences,
)
from airflow_provider_mps.api.failure_log import GOES_ON, Trouble, in_words
from airflow_provider_mps.api.paid_once import Doubt, Request
from airflow_provider_mps.api.patience import patience
from airflow_provider_mps.api.redaction import shown
from airflow_provider_mps.api.request.convert import checked_call, task_id
from airflow_provider_mps.api.tasks import FAMILIES, TaskState, check_family, in_seconds
from airflow_provider_mps.api.wire.loop import PrivateLoop, in_a_loop
from airflow_provider_mps.api.wire.settings import CredentialKind
from airflow_provider_mps.compat import BaseHook
from airflow_provider_mps.errors import airflow_errors
from airflow_provider_mps.hooks.connection import checked_id, fault_of, found, settings_of, shared_settings
from airflow_provider_mps.hooks.metrics import count_decision, report, stats

if TYPE_CHECKING:
    from airflow_provider_mps.api.request.shape import RequestShape
    from airflow_provider_mps.api.tasks import TaskFamily, TaskStatus
    from airflow_provider_mps.api.waiting.poller import OnChange
    from airflow_provider_mps.api.wire.client import CreatedTask, MpsClient, Notes
    from airflow_provider_mps.api.wire.credentials import Keys
    from airflow_provider_mps.api.wire.settings import ClientSettings
    from airflow_provider_mps.arguments import AudioFields

_P = ParamSpec("_P")
_T = TypeVar("_T")
_ABORT_SECONDS = 20
_CHILD = "PYTHON_OPERATORS_VIRTUAL_ENV_MODE"
"""Set by ``@task.virtualenv``, ``@task.external_python`` and their kind in the Python that they start (the standard
provider's ``python_virtualenv_script.jinja2``)."""
_UNSEEN = (
    "Airflow does not see the class of an error that leaves this other Python, and retries what it would not: set "
    "retries=0 on this Airflow task"
)
_SHORTEST_QUESTION_SECONDS = 1.0
_ANSWERS_TO_BELIEVE = 3
"""How often MPS has to say that it does not know a task that is paid for, for one answer may be wrong."""
LATE_SECONDS = 60.0
NOTHING_CANCELLED = "Nothing was cancelled at MPS, and it may be billed"
"""Comes first in what is said of a task whose Airflow task was ended: lists of log lines show no more of one."""


def _of_kind(kind: Any, known: Mapping[str, _T]) -> _T:
    if not isinstance(kind, str) or kind not in known:
        raise InvalidArgumentError("kind", f"must be one of {', '.join(known)}, not {shown(kind)}")
    return known[kind]


class MpsHook(BaseHook):
    """Calls Tencent Cloud MPS with the credential and the transport of an Airflow connection.

    The methods for DAG authors raise this package's errors as Airflow's: where a retry of the Airflow task could pay
    again, or cannot help, it is an AirflowFailException too. :meth:`create`, :meth:`describe` and their twins are for
    operators and sensors, which do that themselves, once they know what their user wants.

    :param mps_conn_id: the id of a connection of type ``tencent_mps``.
    :param cos_region: the region of the buckets in ``cos://bucket/key``; the connection's ``cos_region`` where it is
        not given.
    """

    conn_name_attr = "mps_conn_id"
    default_conn_name = "tencent_mps_default"
    conn_type = "tencent_mps"
    hook_name = "Tencent Cloud MPS"

    def __init__(self, mps_conn_id: str = default_conn_name, cos_region: str | None = None, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.mps_conn_id = mps_conn_id
        self.cos_region = cos_region
        self._settings: ClientSettings | None = None

    @classmethod
    def get_connection_form_widgets(cls) -> dict[str, Any]:
        """The form's fields for Airflow before 3.2; later ones read them from the provider's info."""
        from airflow_provider_mps.get_provider_info import get_connection_form_widgets

        return get_connection_form_widgets()

    @classmethod
    def get_ui_field_behaviour(cls) -> dict[str, Any]:
        """The form's labels for Airflow before 3.2."""
        from airflow_provider_mps.get_provider_info import HIDDEN_FIELDS, PLACEHOLDERS, RELABELING

        return {"hidden_fields": HIDDEN_FIELDS, "relabeling": RELABELING, "placeholders": PLACEHOLDERS}

    @property
    def settings(self) -> ClientSettings:
        """What the connection says, checked; it is read once.

        :raises InvalidConnectionError: names the field that cannot be used.
        """
        if self._settings is None:
            with found(checked_id(self.mps_conn_id)):
                connection = self.get_connection(self.mps_conn_id)
            self._settings = self._with_region(settings_of(self.mps_conn_id, connection, connection.extra_dejson))
        return self._settings

    async def aload(self) -> None:
        """Read the connection without blocking the event loop; :attr:`settings` is there afterwards."""
        if self._settings is None:
            self._settings = self._with_region(await shared_settings(self.mps_conn_id))

    def _with_region(self, settings: ClientSettings) -> ClientSettings:
        return replace(settings, cos_region=self.cos_region) if self.cos_region else settings

    async def aload_patiently(
        self, poll_interval: float, max_failures: int, task: tuple[str, str] | None = None
    ) -> None:
        """Read the connection; where that fails, again, as for a poll that fails.

        :param task: the family and TaskId of the task that is waited for; None: there is none yet.
        :raises InvalidConnectionError: it was read, and cannot be used.
        :raises CallError: it could not be read.
        """
        tolerance = trouble = None
        while True:
            try:
                await self.aload()
            except Exception as error:
                if isinstance(error, MpsError) and not error.retry_helps:
                    raise
                from airflow_provider_mps.api.waiting.poller import Tolerance

                tolerance = tolerance or Tolerance(max_failures)
                trouble = trouble or Trouble("look-up of the connection", "look-ups of the connection")
                # What came unexpectedly may quote anything, so only its type is named.
                kind = type(error.__cause__ or error).__name__
                problem = f"{self.mps_conn_id} could not be read ({kind})"
                failed = CallError(problem, failure=Failure.NEVER_SENT, action="Connection")
                try:
                    tolerance.failed(failed)
                except CallError:
                    if task:
                        failed.ends_wait(*task, trouble=trouble.row_in_words(1))
                    raise
                pause = tolerance.pause(poll_interval)
                trouble.failed(kind, f"read again in about {in_words(pause)}", GOES_ON if task else "", failed.what)
                await asyncio.sleep(pause)
            else:
                if trouble:
                    trouble.answered()
                return

    def client(self, until: float | None = None, trouble: Trouble | None = None) -> MpsClient:
        """A client for this connection, to be closed by a ``with`` statement.

        :param until: POSIX time after which it sends nothing.
        :param trouble: says what fails and is repeated, where that is a part of something longer.
        """
        from airflow_provider_mps.api.wire.client import MpsClient

        return MpsClient(self.settings, until, trouble)

    def get_conn(self) -> Any:
        """The SDK's own typed client, for actions that this package does not wrap.

        It has the SDK's own transport: no repeats, and no promise against paying twice. It takes neither a redirect nor
        a proxy or a password of the environment (``.netrc``).
        """
        from tencentcloud.common.profile.client_profile import ClientProfile
        from tencentcloud.common.profile.http_profile import HttpProfile
        from tencentcloud.mps.v20190612.mps_client import MpsClient as SdkClient

        from airflow_provider_mps.api.wire.credentials import sdk_credential

        with airflow_errors(self.mps_conn_id):
            settings = self.settings
            credential = sdk_credential(settings.credential)
        http = HttpProfile(
            protocol=settings.scheme,
            endpoint=f"{settings.host}:{settings.port}" if settings.port else settings.host,
            reqTimeout=int(settings.timeout) or 1,
            proxy=settings.proxy or None,
            certification=None if settings.verify is True else settings.verify,
        )
        profile = ClientProfile(httpProfile=http, language="en-US")
        client = SdkClient(credential, settings.region, profile)
        # The SDK has no option for these. requests would hand the token on to wherever a redirect leads.
        connection = client.request.conn
        connection.proxy = {"http": settings.proxy, "https": settings.proxy} if settings.proxy else None
        connection._session.trust_env = False
        connection._session.max_redirects = 0
        return client

    def keys(self) -> Keys:
        """The keys that the connection's credential gives now.

        :raises CredentialError: it gives none; the message names the source.
        """
        from airflow_provider_mps.api.wire.credentials import Credentials

        with airflow_errors(self.mps_conn_id), PrivateLoop() as loop:
            return loop.run(Credentials(self.settings.credential, self.settings.timeout).aresolve())

    def call(self, action: str, params: dict[str, Any]) -> dict[str, Any]:
        """Call any action of the API; the ``Response`` object.

        Reads (Describe..., List..., Get..., Query...) are repeated when that may help, anything else only where it
        certainly did not run.

        :param action: as the API writes it, such as ``DescribeTaskDetail``.
        :param params: its fields as the API writes them, such as ``{"TaskId": "..."}``: what JSON can hold.
        :return: the answer's fields as they came, with ``RequestId``, such as ``{"Status": "FINISH", "WorkflowTask":
            {...}, "RequestId": "..."}``. Lists may be None. It may hold signed URLs: not for logs.
        :raises InvalidArgumentError: an argument cannot be sent; nothing was.
        :raises InvalidConnectionError: the connection cannot be used; nothing was sent.
        :raises ApiError: MPS answered with an error; ``code`` is its own. It is a CallError.
        :raises CallError: the call failed; ``failure`` says whether it may have run.
        :raises AmbiguousCreateError: no read: it was sent, and may have run. Airflow does not retry it.
        :raises RunningLoopError: an event loop runs here: await :meth:`acall`.
        """
        with airflow_errors(self.mps_conn_id):
            return self._run(self.acall, action, params)

    async def acall(self, action: str, params: dict[str, Any]) -> dict[str, Any]:
        """The async twin of :meth:`call`."""
        with airflow_errors(self.mps_conn_id):
            return await self._acall(action, params)

    def call_once(self, action: str, params: dict[str, Any], notes: Notes) -> dict[str, Any]:
        """:meth:`call` for an operator, which remembers what it has sent.

        :param notes: what remembers the call.
        """
        return self._run(self._acall, action, params, notes)

    async def _acall(self, action: str, params: dict[str, Any], notes: Notes | None = None) -> dict[str, Any]:
        from airflow_provider_mps.api.wire.client import Sending

        action, params = checked_call(action, params)
        await self.aload()
        with nullcontext() if is_read(action) else self._sending(notes):
            async with self.client() as client:
                answer = await client.acall(action, params, sending=Sending(Request(repeatable=is_read(action)), notes))
                if notes:
                    notes.answered(answer)
                return answer

    def create_task(self, kind: str, **fields: Any) -> str:
        """Ask for an AI task; the TaskId. Nothing remembers it.

        :param kind: ``aigc_audio``, ``aigc_video`` or ``aigc_image``.
        :param fields: the arguments of the kind's operator that describe the request, such as ``prompt``.
        :raises InvalidArgumentError: an argument cannot be sent; nothing was.
        :raises ApiError: MPS refused it; nothing is billed.
        :raises AmbiguousCreateError: it was sent, and a paid task may exist. Airflow does not retry it.
        :raises RunningLoopError: an event loop runs here: await :meth:`acreate_task`.
        """
        with airflow_errors(self.mps_conn_id):
            return self._run(self.acreate_task, kind, **fields)

    async def acreate_task(self, kind: str, **fields: Any) -> str:
        """The async twin of :meth:`create_task`."""
        from airflow_provider_mps.api.request.fields import AIGC_REQUESTS

        with airflow_errors(self.mps_conn_id):
            shape = _of_kind(kind, AIGC_REQUESTS)
            return (await self.acreate(shape, shape.build(fields))).task_id

    def create_aigc_audio_task(self, **fields: Unpack[AudioFields]) -> str:
        """:meth:`create_task` of the kind ``aigc_audio``. MPS bills music by the song."""
        return self.create_task("aigc_audio", **fields)

    def describe_task(self, kind: str, mps_task_id: str) -> TaskStatus:
        """The status of a task.

        :param kind: such as ``aigc_audio`` or ``media``.
        :raises InvalidArgumentError: there is no such kind, or this is no TaskId of it.
        :raises CallError: there was no answer, or it was no.
        :raises RunningLoopError: an event loop runs here: await :meth:`adescribe_task`.
        """
        with airflow_errors(self.mps_conn_id):
            return self._run(self.adescribe_task, kind, mps_task_id)

    async def adescribe_task(self, kind: str, mps_task_id: str) -> TaskStatus:
        """The async twin of :meth:`describe_task`."""
        with airflow_errors(self.mps_conn_id):
            family = _of_kind(kind, FAMILIES)
            check_family("mps_task_id", task_id("mps_task_id", mps_task_id), family)
            return await self.adescribe(family, mps_task_id)

    def describe_aigc_audio_task(self, mps_task_id: str) -> TaskStatus:
        """:meth:`describe_task` of the kind ``aigc_audio``."""
        return self.describe_task("aigc_audio", mps_task_id)

    def create(
        self,
        shape: RequestShape,
        params: dict[str, Any],
        *,
        next_session: bool = False,
        notes: Notes | None = None,
        until: float | None = None,
        in_line: bool = False,
    ) -> CreatedTask:
        """Create a task from a request that was built by its shape.

        :param until: POSIX time after which nothing is sent.
        :param next_session: whether to make another task under another SessionId, where the first one has failed.
        :param notes: what remembers the task.
        :param in_line: whether somebody waits in line for room, so that a refusal for now is raised at once; else it is
            sent again for five minutes.
        :raises NoRoomError: MPS refused it for now.
        :raises AmbiguousCreateError: it was sent, and a paid task may exist.
        :raises DuplicateSessionError: MPS has the task already, and which one it is could not be found out.
        :raises FirstTaskFailedError: MPS has the task already, and it has failed.
        """
        return self._run(
            self.acreate, shape, params, next_session=next_session, notes=notes, until=until, in_line=in_line
        )

    async def acreate(
        self,
        shape: RequestShape,
        params: dict[str, Any],
        *,
        next_session: bool = False,
        notes: Notes | None = None,
        until: float | None = None,
        in_line: bool = False,
    ) -> CreatedTask:
        """The async twin of :meth:`create`."""
        from airflow_provider_mps.api.request.create_once import create_once

        await self.aload()
        with self._sending(notes):
            async with self.client(until) as client:
                created = await create_once(
                    client, shape, params, next_session=next_session, notes=notes, in_line=in_line
                )
        stats().incr("mps.submitted", tags={"action": shape.action})
        return created

    def find_marked(self, mark: str) -> str:
        """The TaskId of a create in doubt by what it was marked with; empty: it is not found, which says nothing."""
        return self._run(self._afind_marked, mark)

    async def _afind_marked(self, mark: str) -> str:
        from airflow_provider_mps.api.request.create_once import find_marked

        await self.aload()
        async with self.client() as client:
            return await find_marked(client, mark)

    def describe(
        self, family: TaskFamily, mps_task_id: str, within: float | None = None, trouble: Trouble | None = None
    ) -> TaskStatus:
        """The status of a task of any family.

        :param within: seconds for the question with all its repeats.
        :param trouble: says what fails and is repeated, where the question is one of many.
        :raises CallError: there was no answer, or it was no.
        """
        return self._run(self.adescribe, family, mps_task_id, within, trouble)

    async def adescribe(
        self, family: TaskFamily, mps_task_id: str, within: float | None = None, trouble: Trouble | None = None
    ) -> TaskStatus:
        """The async twin of :meth:`describe`."""
        await self.aload()
        trouble = trouble or Trouble.of_polls()
        async with self.client(trouble=trouble) as client:
            try:
                response = await client.acall(family.describe, {"TaskId": mps_task_id}, within)
            except CallError as error:
                error.ends_wait(family.title, mps_task_id, known=trouble.known, trouble=trouble.row_in_words(1))
                raise
        return family.status(mps_task_id, response)

    @contextmanager
    def _sending(self, notes: Notes | None) -> Iterator[None]:
        """What is sent inside may be paid for: a doubt is counted, and what nothing remembers is warned of."""
        unseen = notes is None and _CHILD in os.environ
        if unseen:
            self.log.warning("%s: else a retry may pay twice.", _UNSEEN)
        try:
            yield
        except AmbiguousCreateError as error:
            count_decision(Doubt())
            if unseen:
                error.details = sentences(_UNSEEN, error.details)
            raise

    def describe_patiently(
        self,
        family: TaskFamily,
        mps_task_id: str,
        *,
        max_poll_failures: int,
        accepted_at: float | None = None,
        deadline: float | None = None,
    ) -> TaskStatus:
        """The status of a task that is paid for: asked again where that fails, as a wait does.

        :param max_poll_failures: failed questions in a row, over at least five minutes, that are too many.
        :param accepted_at: when MPS accepted the task, as a POSIX time, if that is known: it may not know it at once.
        :param deadline: POSIX time after which to give up; one question is asked in any case.
        :raises CallError: there was no answer for too long, or MPS says three times in a row that it does not know it.
        :raises WaitTimeoutError: the deadline passed.
        """
        return self._run(self._adescribe_patiently, family, mps_task_id, max_poll_failures, accepted_at, deadline)

    async def _adescribe_patiently(
        self,
        family: TaskFamily,
        mps_task_id: str,
        max_poll_failures: int,
        accepted_at: float | None,
        deadline: float | None,
    ) -> TaskStatus:
        from airflow_provider_mps.api.waiting.poller import Tolerance

        await self.aload()
        tolerance, trouble, refusals = Tolerance(max_poll_failures), Trouble.of_polls(), 0
        within = None if deadline is None else max(_SHORTEST_QUESTION_SECONDS, deadline - time.time())
        try:
            async with asyncio.timeout(within), self.client() as client:
                while True:
                    try:
                        response = await client.attempt(family.describe, {"TaskId": mps_task_id})
                    except CallError as error:
                        if error.failure is Failure.NOT_FOUND:
                            fresh = accepted_at is not None and time.time() - accepted_at < patience().not_found_grace
                            # These lead to a new task, and a second payment: none counts while MPS may not
                            # know this one yet.
                            refusals, pause = refusals + (not fresh), patience().backoff_limit
                            enough = refusals == _ANSWERS_TO_BELIEVE
                        else:
                            # Any other failure says nothing about the task: the count begins anew.
                            refusals, enough = 0, tolerance.is_exhausted_by(error)
                            pause = tolerance.pause(patience().backoff)
                        if enough:
                            error.ends_wait(family.title, mps_task_id, trouble=trouble.row_in_words(1))
                            raise
                        trouble.call_failed(error, pause, GOES_ON)
                    else:
                        trouble.answered()
                        return family.status(mps_task_id, response)
                    await asyncio.sleep(pause)
        except TimeoutError:
            waited = "" if accepted_at is None else in_seconds(time.time() - accepted_at, True)
            raise family.still_running(mps_task_id, waited, trouble=trouble) from None

    def _run(self, twin: Callable[_P, Coroutine[Any, Any, _T]], *args: _P.args, **kwargs: _P.kwargs) -> _T:
        """Run a method's async twin to its end. The connection is read before, in the caller's own thread."""
        if in_a_loop():
            raise RunningLoopError(twin.__qualname__)
        _ = self.settings
        with PrivateLoop() as loop:
            return loop.run(twin(*args, **kwargs))

    async def abort(
        self, family: TaskFamily, mps_task_id: str, only_if: Callable[[], Awaitable[bool]] | None = None
    ) -> str:
        """Stop a task that still waits, where the API can (ManageTask), within 20 seconds.

        :param only_if: is awaited last, and only where there is something to stop; False keeps the task running.
        :return: a sentence that says what became of the task.
        """
        task = f"{family.title} task {mps_task_id}"
        if not family.can_abort:
            return f"{NOTHING_CANCELLED}: {task} goes on, for such tasks cannot be cancelled."
        try:
            async with asyncio.timeout(_ABORT_SECONDS):
                status = family.status(mps_task_id, await self.acall(family.describe, {"TaskId": mps_task_id}))
                if status.state.ended:
                    return f"{task} is {status.word} at MPS: there is nothing to abort."
                if status.state is not TaskState.WAIT:
                    return f"{NOTHING_CANCELLED}: {task} is {status.word}, and can be aborted only while it waits."
                if only_if and not await only_if():
                    return (
                        f"{task} goes on at MPS, for the next try of this Airflow task or the triggerer that took over."
                    )
                await self.acall("ManageTask", {"OperationType": "Abort", "TaskId": mps_task_id})
                return f"{task} was still waiting at MPS and is aborted."
        except TimeoutError:
            return f"It may go on at MPS and be billed: {task} could not be aborted within {_ABORT_SECONDS} s."
        except MpsError as error:
            return f"It may go on at MPS and be billed: {task} could not be aborted: {error}"

    async def await_task(
        self,
        family: TaskFamily,
        mps_task_id: str,
        *,
        poll_interval: float,
        deadline: float | None,
        max_poll_failures: int,
        on_change: OnChange,
        accepted_at: float | None = None,
        trouble: Trouble | None = None,
        model: str = "",
        ticket: float | None = None,
    ) -> TaskStatus:
        """Wait until a task has ended, sharing this event loop's poller with all others of the same account.

        Where the service refuses the keys, the connection is read again: if it has new ones, the wait goes on.

        :param accepted_at: when MPS accepted the task, as a POSIX time, if that is known.
        :param trouble: says what fails, where somebody asks for it afterwards.
        :param model: whose room the task takes (``RequestShape.model_of``); empty: not known.
        :param ticket: the name that its create had in line, if it waited for room.
        """
        began = time.monotonic()
        since = time.time() if accepted_at is None else accepted_at

        async def load() -> None:
            left = None if deadline is None else deadline - time.time()
            try:
                async with asyncio.timeout(patience().at_last if left is not None and left <= 0 else left):
                    await self.aload_patiently(poll_interval, max_poll_failures, (family.title, mps_task_id))
            except TimeoutError:
                waited = in_seconds(time.time() - since, accepted_at is not None)
                raise family.still_running(mps_task_id, waited, trouble=trouble) from None

        while True:
            await load()
            try:
                from airflow_provider_mps.api.waiting.lines import takes_room
                from airflow_provider_mps.api.waiting.poller import poller

                # Around the poller's wait only: when that returns, a task has ended, and a create may leave the line.
                with takes_room(self.settings, family, model, ticket):
                    status = await poller(self.settings, report).wait(
                        family,
                        mps_task_id,
                        poll_interval=poll_interval,
                        deadline=deadline,
                        max_failures=max_poll_failures,
                        on_change=on_change,
                        on_end=partial(self._say_when_seen, family),
                        accepted_at=accepted_at,
                        trouble=trouble,
                    )
            except ApiError as error:
                if error.about is not About.KEYS:
                    raise
                refused, self._settings = self.settings, None
                await load()
                if self.settings == refused:
                    raise
            else:
                waited = timedelta(seconds=time.monotonic() - began)
                tags = {"kind": family.kind, "state": status.state.value}
                stats().timing("mps.wait_duration", waited, tags=tags)
                return status

    def _say_when_seen(self, family: TaskFamily, late: float) -> None:
        """Say that an end was seen late; ``late``: by so many seconds at most."""
        stats().timing("mps.detection_delay", timedelta(seconds=late), tags={"kind": family.kind})
        if late > LATE_SECONDS:
            self.log.warning(
                "The task may have ended up to %s ago, and was not polled since: see whether the triggerer is full "
                "([triggerer] capacity), or MPS throttles (the metric mps.throttled).",
                in_words(late),
            )

    def test_connection(self) -> tuple[bool, str]:
        """Poll a task that does not exist; what the answer says about the connection's fields.

        Airflow tests a connection under an id that it makes up, so no message names it.
        """
        question = "DescribeAigcAudioTask"
        try:
            with self.client() as client:
                client.run(client.attempt(question, {"TaskId": "airflow-test-connection"}))
        except Exception as error:
            if fault := fault_of(error):
                return False, fault
        kind = self.settings.credential.kind
        keys = "SecretId and SecretKey" if kind is CredentialKind.STATIC else f"the keys of credential={kind.value}"
        return True, f"{self.settings.host} accepted {keys}."
