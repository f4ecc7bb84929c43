"""MpsHook: from an Airflow connection to calls of MPS."""

from __future__ import annotations

import asyncio
import time
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from datetime import timedelta
from functools import cached_property
from typing import TYPE_CHECKING, Any
from weakref import WeakKeyDictionary

from airflow.providers.common.compat.sdk import AirflowException, AirflowFailException, BaseHook

from airflow_provider_mps.api.errors import (
    ApiError,
    InvalidConnectionError,
    MpsError,
)
from airflow_provider_mps.api.tasks import TaskState

if TYPE_CHECKING:
    from airflow_provider_mps.api.auth import Keys
    from airflow_provider_mps.api.client import ClientSettings, CreatedTask, MpsClient
    from airflow_provider_mps.api.polling import OnChange, Report
    from airflow_provider_mps.api.requests import RequestShape
    from airflow_provider_mps.api.tasks import TaskFamily, TaskStatus

_HOSTS = {
    "intl": ("mps.intl.tencentcloudapi.com", "sts.intl.tencentcloudapi.com"),
    "cn": ("mps.tencentcloudapi.com", "sts.tencentcloudapi.com"),
}
# Codes that tell of the keys or the account rather than of the question asked: test_connection() says no to these.
_REFUSALS = ("AuthFailure", "UnauthorizedOperation", "IpNotInWhitelist", "InvalidAction", "NoSuchVersion")

_SHARED_SECONDS = 1.0
"""How long triggers that start together share one look-up; a change of the connection is seen after that."""


class MpsHook(BaseHook):
    """Calls Tencent Cloud MPS with the credential and the transport of an Airflow connection.

    :param mps_conn_id: the id of a connection of type ``tencent_mps``.
    """

    conn_name_attr = "mps_conn_id"
    default_conn_name = "tencent_mps_default"
    conn_type = "tencent_mps"
    hook_name = "Tencent Cloud MPS"

    def __init__(self, mps_conn_id: str = default_conn_name, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.mps_conn_id = mps_conn_id

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
        connection = self.get_connection(self.mps_conn_id)
        return settings_of(self.mps_conn_id, connection, connection.extra_dejson)

    async def aload(self) -> None:
        """Read the connection without blocking the event loop; :attr:`settings` is there afterwards."""
        if "settings" not in self.__dict__:
            look_ups = _look_ups.setdefault(asyncio.get_running_loop(), defaultdict(_LookUp))
            self.__dict__["settings"] = await look_ups[self.mps_conn_id].settings(self.mps_conn_id)

    def client(self) -> MpsClient:
        """A client for this connection, to be closed by a ``with`` statement."""
        from airflow_provider_mps.api.client import MpsClient

        return MpsClient(self.settings)

    def get_conn(self) -> Any:
        """The SDK's own typed client, for actions that this package does not wrap.

        It has the SDK's own transport: no repeats, and no promise against paying twice.
        """
        from tencentcloud.common.profile.client_profile import ClientProfile
        from tencentcloud.common.profile.http_profile import HttpProfile
        from tencentcloud.mps.v20190612.mps_client import MpsClient as SdkClient

        from airflow_provider_mps.api.auth import sdk_credential

        settings = self.settings
        http = HttpProfile(
            protocol=settings.scheme,
            endpoint=f"{settings.host}:{settings.port}" if settings.port else settings.host,
            reqTimeout=int(settings.timeout) or 1,
            proxy=settings.proxy or None,
            certification=None if settings.verify is True else settings.verify,
        )
        profile = ClientProfile(httpProfile=http, language="en-US")
        return SdkClient(sdk_credential(settings.credential), settings.region, profile)

    def keys(self) -> Keys:
        """The keys that the connection's credential gives now.

        :raises CredentialError: it gives none; the message names the source.
        """
        from airflow_provider_mps.api.auth import Credentials

        return asyncio.run(Credentials(self.settings.credential, self.settings.timeout).aresolve())

    def call(self, action: str, params: dict[str, Any]) -> dict[str, Any]:
        """Call any action of the API; the ``Response`` object. Names are as the API writes them.

        Reads (Describe..., List..., Get...) are repeated when that may help, anything else only where it surely
        did not run.

        :raises CallError: the call failed; ``failure`` says whether it may have run.
        """
        with self.client() as client:
            return client.call(action, params)

    async def acall(self, action: str, params: dict[str, Any]) -> dict[str, Any]:
        """The async twin of :meth:`call`."""
        from airflow_provider_mps.api.client import MpsClient

        await self.aload()
        async with MpsClient(self.settings) as client:
            return await client.acall(action, params)

    def create_aigc_audio_task(self, **fields: Any) -> str:
        """Ask for AI-generated audio; the TaskId. Every accepted call is billed.

        :param fields: the arguments of ``CreateAigcAudioTaskOperator`` that describe the request.
        :raises InvalidArgumentError: an argument cannot be sent; nothing was.
        :raises AmbiguousCreateError: it was sent, and a paid task may exist.
        """
        from airflow_provider_mps.api.requests import AUDIO_REQUEST

        return self.create(AUDIO_REQUEST, AUDIO_REQUEST.build(fields)).task_id

    def describe_aigc_audio_task(self, mps_task_id: str) -> TaskStatus:
        """The status of an AIGC audio task."""
        from airflow_provider_mps.api.tasks import AIGC_AUDIO

        return self.describe(AIGC_AUDIO, mps_task_id)

    def create(
        self, shape: RequestShape, params: dict[str, Any], on_created: Callable[[str], None] | None = None
    ) -> CreatedTask:
        """Create a task from a request that was built by its shape.

        :param on_created: is told the TaskId at once, before the connection is closed and anything else can fail.
        :raises AmbiguousCreateError: it was sent, and a paid task may exist.
        :raises DuplicateSessionError: MPS has the task already, and does not say which one it is.
        :raises FirstTaskFailedError: MPS has the task already, and it has failed.
        """
        from airflow_provider_mps.api.sessions import DUPLICATE_CODE, find_first

        with self.client() as client:
            try:
                created = client.create(shape.action, params, shape.repeatable)
            except ApiError as error:
                other = shape.other_spelling(params) if error.code.startswith("UnknownParameter") else None
                if other is not None:
                    created = client.create(shape.action, other, shape.repeatable)
                elif shape.repeatable and error.code == DUPLICATE_CODE:
                    created = client.run(find_first(client, shape.action, params["SessionId"]))
                else:
                    raise
            if on_created:
                on_created(created.task_id)
        _stats().incr("mps.submitted", tags={"action": shape.action})
        return created

    def describe(self, family: TaskFamily, mps_task_id: str, within: float | None = None) -> TaskStatus:
        """The status of a task of any family.

        :param within: seconds for the question with all its repeats.
        :raises CallError: there was no answer, or it was no.
        """
        with self.client() as client:
            response = client.call(family.describe, {"TaskId": mps_task_id}, within)
        return family.status(mps_task_id, response)

    async def abort(self, family: TaskFamily, mps_task_id: str) -> str:
        """Stop a task that still waits, where the API can (ManageTask); a sentence that says what became of it."""
        task = f"{family.title} task {mps_task_id}"
        if not family.can_abort:
            return f"{task} goes on at MPS and is billed there: such tasks cannot be cancelled."
        try:
            status = family.status(mps_task_id, await self.acall(family.describe, {"TaskId": mps_task_id}))
            if status.state is TaskState.WAIT:
                await self.acall("ManageTask", {"OperationType": "Abort", "TaskId": mps_task_id})
                return f"{task} was still waiting at MPS and is aborted."
            return f"{task} is {status.word} at MPS: it can be aborted only while it waits, and is billed."
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
    ) -> TaskStatus:
        """Wait until a task has ended, sharing this event loop's poller with all others of the same account.

        Where the service refuses the keys, the connection is read again: if it has new ones, the wait goes on.
        """
        began = time.monotonic()
        while True:
            await self.aload()
            try:
                from airflow_provider_mps.api.polling import poller

                status = await poller(self.settings, _report_to_stats).wait(
                    family,
                    mps_task_id,
                    poll_interval=poll_interval,
                    deadline=deadline,
                    max_failures=max_poll_failures,
                    on_change=on_change,
                )
            except ApiError as error:
                if not error.code.startswith("AuthFailure"):
                    raise
                refused = self.__dict__.pop("settings")
                await self.aload()
                if self.settings == refused:
                    raise
            else:
                waited = timedelta(seconds=time.monotonic() - began)
                tags = {"kind": family.kind, "state": status.state.value}
                _stats().timing("mps.wait_duration", waited, tags=tags)
                return status

    def test_connection(self) -> tuple[bool, str]:
        """Ask for the state of a task that does not exist; what the service's answer says of the connection."""
        question = "DescribeAigcAudioTask"
        try:
            with self.client() as client:
                client.run(client.attempt(question, {"TaskId": "airflow-test-connection"}))
        except ApiError as error:
            if error.code.startswith(_REFUSALS):
                return False, f"{self.settings.host} answered, and refused: {error}"
            return (
                True,
                f"{self.settings.host} accepted the keys (it answered {error.code} to a made-up TaskId).",
            )
        except Exception as error:
            return False, str(error)
        return True, f"{self.settings.host} accepted the keys."


class _LookUp:
    """Shares one look-up of a connection among those that start together: all triggers, when a triggerer starts."""

    def __init__(self) -> None:
        self._lock = asyncio.Lock()
        self._settings: ClientSettings | None = None
        self._shared_until = 0.0

    async def settings(self, conn_id: str) -> ClientSettings:
        # The lock lets those that waited go on one by one, so that thousands of them do not stall the loop.
        async with self._lock:
            loop = asyncio.get_running_loop()
            if self._settings is None or loop.time() > self._shared_until:
                self._settings = await _look_up(conn_id)
                self._shared_until = loop.time() + _SHARED_SECONDS
            return self._settings


_look_ups: WeakKeyDictionary[asyncio.AbstractEventLoop, defaultdict[str, _LookUp]] = WeakKeyDictionary()


async def _look_up(conn_id: str) -> ClientSettings:
    await asyncio.to_thread(_import_api)
    from airflow.providers.common.compat.connection import get_async_connection, get_async_extra_dejson

    connection = await get_async_connection(conn_id)
    return settings_of(conn_id, connection, await get_async_extra_dejson(connection))


def _import_api() -> None:
    """Import what a wait needs: half a second the first time, too long for an event loop's thread."""
    import airflow.providers.common.compat.connection  # noqa: F401

    import airflow_provider_mps.api.polling  # noqa: F401


def settings_of(conn_id: str, connection: Any, extra: Mapping[str, Any]) -> ClientSettings:
    """A connection's fields as the client's settings.

    :raises InvalidConnectionError: names the field that cannot be used.
    """
    from airflow_provider_mps.api.auth import CredentialKind, CredentialSettings
    from airflow_provider_mps.api.client import ClientSettings

    def text(name: str) -> str:
        return str(extra.get(name) or "").strip()

    def number(name: str, default: float) -> float:
        value = extra.get(name)
        try:
            return default if value in (None, "") else float(value)
        except (TypeError, ValueError):
            raise InvalidConnectionError(f"{name}: is no number") from None

    def choice(name: str, of: Mapping[str, Any], default: str) -> str:
        value = text(name) or default
        if value not in of:
            raise InvalidConnectionError(f"{name}: {value!r} is none of {', '.join(of)}")
        return value

    try:
        site = choice("site", _HOSTS, "intl")
        host, sts_host = _HOSTS[site]
        host = (connection.host or host).strip()
        if "/" in host or "@" in host:
            raise InvalidConnectionError("host: give the host alone, without a scheme or a path")
        kinds = {kind.value: kind for kind in CredentialKind}
        verify = text("verify") or "true"
        if extra.get("verify") is False or verify.lower() == "false":
            verified: bool | str = False
        else:
            verified = True if verify.lower() == "true" else verify
        return ClientSettings(
            host=host,
            port=connection.port,
            scheme=connection.schema or "https",
            region=text("region"),
            proxy=text("proxy"),
            verify=verified,
            timeout=number("timeout", 30.0),
            requests_per_second=number("requests_per_second", 20.0),
            site=site,
            cos_endpoint=text("cos_endpoint"),
            credential=CredentialSettings(
                kind=kinds[choice("credential", kinds, "static")],
                secret_id=connection.login or "",
                secret_key=connection.password or "",
                token=text("token"),
                role_arn=text("role_arn"),
                role_session_name=text("role_session_name"),
                cvm_role_name=text("cvm_role_name"),
                sts_endpoint=text("sts_endpoint") or sts_host,
            ),
        )
    except InvalidConnectionError as error:
        raise InvalidConnectionError(f"Connection {conn_id}, {error}") from None


@contextmanager
def airflow_errors(retryable: type[AirflowException] | None = AirflowException) -> Iterator[None]:
    """Raise this package's errors as Airflow's too: one that no retry can mend makes the task fail at once.

    The error raised is both, the class that says what happened and AirflowFailException or ``retryable``.
    """
    try:
        yield
    except MpsError as error:
        base = retryable if error.retry_helps else AirflowFailException
        if base is None or isinstance(error, base):
            raise
        both = _both(type(error), base)
        raised = both.__new__(both)
        raised.__dict__.update(error.__dict__)
        raised.args = error.args
        raise raised from error.__cause__


def _both(error: type[MpsError], base: type[AirflowException]) -> type[MpsError]:
    return type(error.__name__, (error, base), {"__module__": error.__module__, "__doc__": error.__doc__})


def _stats() -> Any:
    from airflow.providers.common.compat.sdk import Stats

    return Stats


def _report_to_stats(report: Report) -> None:
    stats = _stats()
    stats.incr("mps.polls", report.polls)
    stats.incr("mps.throttled", report.throttled)
    stats.gauge("mps.waiting", report.waiting)
    stats.gauge("mps.rate", report.rate)
