"""MpsHook: from an Airflow connection to calls of MPS."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Coroutine
from dataclasses import replace
from datetime import timedelta
from functools import cached_property
from typing import TYPE_CHECKING, Any, Never, ParamSpec, TypeVar, Unpack

from airflow_provider_mps.api.errors import About, ApiError, CallError, Failure, MpsError
from airflow_provider_mps.api.loop import PrivateLoop, RunningLoopError, in_a_loop
from airflow_provider_mps.api.requests import checked_call, task_id
from airflow_provider_mps.api.settings import CredentialKind
from airflow_provider_mps.api.tasks import AIGC_AUDIO, TaskState, in_seconds
from airflow_provider_mps.api.trouble import GOES_ON, Trouble, in_words
from airflow_provider_mps.compat import BaseHook
from airflow_provider_mps.errors import airflow_errors
from airflow_provider_mps.hooks.connection import checked_id, fault_of, settings_of, shared_settings
from airflow_provider_mps.hooks.metrics import report, stats

if TYPE_CHECKING:
    from airflow_provider_mps.api.auth import Keys
    from airflow_provider_mps.api.client import CreatedTask, MpsClient, Notes
    from airflow_provider_mps.api.polling import OnChange
    from airflow_provider_mps.api.requests import AudioFields, RequestShape
    from airflow_provider_mps.api.settings import ClientSettings
    from airflow_provider_mps.api.tasks import TaskFamily, TaskStatus

_P = ParamSpec("_P")
_T = TypeVar("_T")
_ABORT_SECONDS = 20


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

    @cached_property
    def settings(self) -> ClientSettings:
        """What the connection says, checked.

        :raises InvalidConnectionError: names the field that cannot be used.
        """
        connection = self.get_connection(checked_id(self.mps_conn_id))
        return self._with_region(settings_of(self.mps_conn_id, connection, connection.extra_dejson))

    async def aload(self) -> None:
        """Read the connection without blocking the event loop; :attr:`settings` is there afterwards."""
        if "settings" not in self.__dict__:
            self.__dict__["settings"] = self._with_region(await shared_settings(self.mps_conn_id))

    def _with_region(self, settings: ClientSettings) -> ClientSettings:
        return replace(settings, cos_region=self.cos_region) if self.cos_region else settings

    async def aload_patiently(self, poll_interval: float, max_failures: int, task: str = "") -> None:
        """Read the connection; where that fails, again, as for a poll that fails.

        :param task: the family and TaskId of the task that is waited for; empty: there is none yet.
        :raises InvalidConnectionError: it was read, and cannot be used.
        :raises CallError: it could not be read.
        """
        tolerance = trouble = None
        while True:
            try:
                await self.aload()
            except MpsError:
                raise
            except Exception as error:
                from airflow_provider_mps.api.polling import Tolerance

                tolerance = tolerance or Tolerance(max_failures)
                trouble = trouble or Trouble("look-up of the connection", "look-ups of the connection")
                # What came unexpectedly may quote anything, so only its type is named.
                kind = type(error).__name__
                problem = f"{self.mps_conn_id} could not be read ({kind})"
                failed = CallError(problem, failure=Failure.NEVER_SENT, action="Connection")
                try:
                    tolerance.failed(failed)
                except CallError:
                    if task:
                        failed.ends_wait(task, trouble=trouble.row_in_words(1))
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
        from airflow_provider_mps.api.client import MpsClient

        return MpsClient(self.settings, until, trouble)

    def get_conn(self) -> Any:
        """The SDK's own typed client, for actions that this package does not wrap.

        It has the SDK's own transport: no repeats, and no promise against paying twice. It takes neither a redirect nor
        a proxy or a password of the environment (``.netrc``).
        """
        from tencentcloud.common.profile.client_profile import ClientProfile
        from tencentcloud.common.profile.http_profile import HttpProfile
        from tencentcloud.mps.v20190612.mps_client import MpsClient as SdkClient

        from airflow_provider_mps.api.auth import sdk_credential

        with airflow_errors():
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
        from airflow_provider_mps.api.auth import Credentials

        with airflow_errors(), PrivateLoop() as loop:
            return loop.run(Credentials(self.settings.credential, self.settings.timeout).aresolve())

    def call(self, action: str, params: dict[str, Any]) -> dict[str, Any]:
        """Call any action of the API; the ``Response`` object. Names are as the API writes them.

        Reads (Describe..., List..., Get...) are repeated when that may help, anything else only where it certainly
        did not run.

        :raises CallError: the call failed; ``failure`` says whether it may have run.
        :raises AmbiguousCreateError: no read: it was sent, and may have run. Airflow does not retry it.
        :raises RunningLoopError: an event loop runs here: await :meth:`acall`.
        """
        with airflow_errors():
            return self._run(self.acall, action, params)

    async def acall(self, action: str, params: dict[str, Any]) -> dict[str, Any]:
        """The async twin of :meth:`call`."""
        with airflow_errors():
            return await self._acall(action, params)

    def call_once(self, action: str, params: dict[str, Any], notes: Notes) -> dict[str, Any]:
        """:meth:`call` for an operator, which remembers what it has sent.

        :param notes: what remembers the call.
        """
        return self._run(self._acall, action, params, notes)

    async def _acall(self, action: str, params: dict[str, Any], notes: Notes | None = None) -> dict[str, Any]:
        from airflow_provider_mps.api.client import Sending

        action, params = checked_call(action, params)
        await self.aload()
        async with self.client() as client:
            return await client.acall(action, params, sending=Sending(notes))

    def create_aigc_audio_task(self, **fields: Unpack[AudioFields[Never]]) -> str:
        """Ask for AI-generated audio; the TaskId. MPS bills music by the song, and nothing remembers the TaskId.

        :param fields: the arguments of ``CreateAigcAudioTaskOperator`` that describe the request.
        :raises InvalidArgumentError: an argument cannot be sent; nothing was.
        :raises AmbiguousCreateError: it was sent, and a paid task may exist. Airflow does not retry it.
        :raises RunningLoopError: an event loop runs here: await :meth:`acreate_aigc_audio_task`.
        """
        with airflow_errors():
            return self._run(self.acreate_aigc_audio_task, **fields)

    async def acreate_aigc_audio_task(self, **fields: Unpack[AudioFields[Never]]) -> str:
        """The async twin of :meth:`create_aigc_audio_task`."""
        from airflow_provider_mps.api.requests import AUDIO_REQUEST

        with airflow_errors():
            return (await self.acreate(AUDIO_REQUEST, AUDIO_REQUEST.build(fields))).task_id

    def describe_aigc_audio_task(self, mps_task_id: str) -> TaskStatus:
        """The status of an AIGC audio task.

        :raises CallError: there was no answer, or it was no.
        :raises RunningLoopError: an event loop runs here: await :meth:`adescribe_aigc_audio_task`.
        """
        with airflow_errors():
            return self._run(self.adescribe_aigc_audio_task, mps_task_id)

    async def adescribe_aigc_audio_task(self, mps_task_id: str) -> TaskStatus:
        """The async twin of :meth:`describe_aigc_audio_task`."""
        with airflow_errors():
            return await self.adescribe(AIGC_AUDIO, task_id("mps_task_id", mps_task_id))

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
        from airflow_provider_mps.api.sessions import create_once

        await self.aload()
        async with self.client(until) as client:
            created = await create_once(client, shape, params, next_session=next_session, notes=notes, in_line=in_line)
        stats().incr("mps.submitted", tags={"action": shape.action})
        return created

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
                error.ends_wait(
                    f"{family.title} task {mps_task_id}", known=trouble.known, trouble=trouble.row_in_words(1)
                )
                raise
        return family.status(mps_task_id, response)

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
            return f"{task} goes on at MPS and may be billed there: such tasks cannot be cancelled."
        try:
            async with asyncio.timeout(_ABORT_SECONDS):
                status = family.status(mps_task_id, await self.acall(family.describe, {"TaskId": mps_task_id}))
                if status.state.ended:
                    return f"{task} is {status.word} at MPS: there is nothing to abort."
                if status.state is not TaskState.WAIT:
                    # Where ``only_if`` is to be asked, a triggerer that came back from a stall may have ended the wait.
                    cost = "" if only_if else ", and may be billed"
                    return f"{task} is {status.word} at MPS: it can be aborted only while it waits{cost}."
                if only_if and not await only_if():
                    return (
                        f"{task} goes on at MPS, for the next try of this Airflow task or the triggerer that took over."
                    )
                await self.acall("ManageTask", {"OperationType": "Abort", "TaskId": mps_task_id})
                return f"{task} was still waiting at MPS and is aborted."
        except TimeoutError:
            return f"{task} may go on at MPS and be billed: it could not be aborted within {_ABORT_SECONDS} s."
        except MpsError as error:
            return f"{task} may go on at MPS and be billed: it could not be aborted: {error}"

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
        :param ticket: the place in line that the create had, if it waited for room.
        """
        began = time.monotonic()
        since = time.time() if accepted_at is None else accepted_at

        async def load() -> None:
            try:
                async with asyncio.timeout(None if deadline is None else max(0.0, deadline - time.time())):
                    task = f"{family.title} task {mps_task_id}"
                    await self.aload_patiently(poll_interval, max_poll_failures, task)
            except TimeoutError:
                waited = in_seconds(time.time() - since, accepted_at is not None)
                raise family.still_running(mps_task_id, waited, trouble=trouble) from None

        while True:
            await load()
            try:
                from airflow_provider_mps.api.polling import poller
                from airflow_provider_mps.api.room import takes_room

                with takes_room(self.settings, family, model, ticket):
                    status = await poller(self.settings, report).wait(
                        family,
                        mps_task_id,
                        poll_interval=poll_interval,
                        deadline=deadline,
                        max_failures=max_poll_failures,
                        on_change=on_change,
                        accepted_at=accepted_at,
                        trouble=trouble,
                    )
            except ApiError as error:
                if error.about is not About.KEYS:
                    raise
                refused = self.__dict__.pop("settings")
                await load()
                if self.settings == refused:
                    raise
            else:
                waited = timedelta(seconds=time.monotonic() - began)
                tags = {"kind": family.kind, "state": status.state.value}
                stats().timing("mps.wait_duration", waited, tags=tags)
                return status

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
