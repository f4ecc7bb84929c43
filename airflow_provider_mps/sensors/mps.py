"""Sensors that wait for a task that somebody else submitted."""

from __future__ import annotations

import math
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any, ClassVar, Unpack, cast

from airflow.triggers.base import StartTriggerArgs

from airflow_provider_mps.api.errors import CallError, Failure, TaskFailedError, WaitTimeoutError
from airflow_provider_mps.api.patience import patience
from airflow_provider_mps.api.requests import seconds, task_id
from airflow_provider_mps.api.tasks import AIGC_AUDIO, AIGC_IMAGE, AIGC_VIDEO, MEDIA, check_family, in_seconds
from airflow_provider_mps.api.trouble import GOES_ON, Trouble
from airflow_provider_mps.compat import (
    AirflowSensorTimeout,
    AirflowTaskTimeout,
    BaseSensorOperator,
    PokeReturnValue,
    conf,
)
from airflow_provider_mps.hooks.mps import MpsHook
from airflow_provider_mps.links.mps import ListenLink, MpsConsoleLink, StoredInCosLink, ViewLink, WatchLink
from airflow_provider_mps.telling import tell, told_errors
from airflow_provider_mps.triggers.mps import CAN_BE_ALL, MpsTaskTrigger
from airflow_provider_mps.waiting import TRIGGERER_DOWN_SECONDS, WaitsForTask

if TYPE_CHECKING:
    from airflow.providers.common.compat.sdk import Context, XComArg

    from airflow_provider_mps.airflow_arguments import SensorArguments
    from airflow_provider_mps.api.polling import Tolerance
    from airflow_provider_mps.api.tasks import TaskStatus

_SHORTEST_SECONDS = 0.1
_SHORTEST_POKE_SECONDS = 1.0
_TROUBLE_KEY, _TROUBLE_KEPT = "mps_trouble", timedelta(days=7)


def _as_template(sensor: TaskSensor, value: Any) -> str | None:
    """The text that a triggerer renders to what an argument stands for; None where it cannot."""
    upstream: Any = getattr(value, "operator", None)  # of an XComArg that was neither mapped nor zipped
    if upstream is not None and not upstream.is_mapped:
        group = upstream.get_closest_mapped_task_group()
        if group is not None and group is not sensor.get_closest_mapped_task_group():
            return None
        index = "-1" if group is None else "ti.map_index"
        return f"{{{{ ti.xcom_pull(task_ids={upstream.task_id!r}, key={value.key!r}, map_indexes={index}) }}}}"
    # In a triggerer, a pull of all indexes is never answered (3.3.2), and the wait would hang.
    if not isinstance(value, str) or ("xcom_pull" in value and "map_indexes" not in value):
        return None
    return value


class TaskSensor(WaitsForTask, BaseSensorOperator):
    """Waits for a task of one family. Base of the sensors below.

    Returns the result, and pushes the lists of URLs of its family, and what the task made as ``usage``.

    :param mps_task_id: the TaskId, such as the output of a create operator.
    :param mps_conn_id: the Airflow connection.
    :param deferrable: whether to wait in the triggerer; the interval is ``poke_interval`` there too.
    :param max_poll_failures: failed polls in a row, over at least five minutes, that end the wait. With
        ``mode="reschedule"`` each poke begins a new count, and ``timeout`` is what ends the wait; a task that MPS does
        not know ends it sooner.
    :param start_from_trigger: whether the wait begins in the triggerer, without a worker (Airflow 3.3 and later). A
        worker begins it all the same where the sensor is mapped, or waits for what a mapped task returned, or has a
        template with an ``xcom_pull`` without ``map_indexes``, which a triggerer cannot do. Its templates may use what
        Airflow itself offers, and no macros or filters of the DAG's own.
    :param end_from_trigger: whether the triggerer itself ends this Airflow task, with its XComs, where the wait there
        ends well: no worker resumes it (Airflow 3.3 and later). What Airflow does on a worker at a task's end is left
        out: listeners such as OpenLineage's, ``post_execute``, signing the link to a file in a bucket. A worker ends a
        task that has outlets, and any where Airflow has a backend for XComs.
    """

    template_fields: Sequence[str] = ("mps_task_id", "mps_conn_id")
    xcoms: ClassVar[Mapping[str, str]] = {"return_value": "result"}
    ui_color = "#e6f3ff"

    def __init__(
        self,
        *,
        mps_task_id: str | XComArg,
        mps_conn_id: str | XComArg = MpsHook.default_conn_name,
        deferrable: bool = conf.getboolean("operators", "default_deferrable", fallback=False),
        max_poll_failures: int = 10,
        start_from_trigger: bool = False,
        end_from_trigger: bool = False,
        **kwargs: Unpack[SensorArguments],
    ) -> None:
        super().__init__(**kwargs)
        self.mps_task_id = cast("str", mps_task_id)  # once it is rendered
        self.mps_conn_id = cast("str", mps_conn_id)
        self.deferrable = deferrable or start_from_trigger is True
        self.max_poll_failures = max_poll_failures
        self.start_from_trigger = start_from_trigger
        self.end_from_trigger = end_from_trigger
        self._began = 0.0
        self._word = ""
        self._done_at = 0.0
        self._tolerance: Tolerance | None = None
        self._trouble: Trouble | None = None
        if start_from_trigger is True:
            self.start_trigger_args = self._start() if CAN_BE_ALL else None
            self.start_from_trigger = self.start_trigger_args is not None  # Airflow 2 fails without them

    def _start(self) -> StartTriggerArgs | None:
        """What Airflow makes the trigger from, without a worker; its templates are rendered in the triggerer."""
        fields = {name: _as_template(self, getattr(self, name)) for name in self.template_fields}
        if None in fields.values():
            return None
        ends = min(self.timeout, self._execution_seconds)
        airflow_ends = min(self.timeout + TRIGGERER_DOWN_SECONDS, self._execution_seconds)
        return StartTriggerArgs(
            trigger_cls=f"{MpsTaskTrigger.__module__}.{MpsTaskTrigger.__qualname__}",
            trigger_kwargs={
                **fields,
                "kind": self.family.kind,
                "poll_interval": self._interval,
                "max_poll_failures": self.max_poll_failures,
                "abort_on_kill": self.abort_on_kill,
                "seconds_before_timeout": airflow_ends - ends,
                **self.ending,
            },
            next_method="execute_complete",
            timeout=timedelta(seconds=airflow_ends),
        )

    def execute(self, context: Context) -> Any:
        """Wait here, or in the triggerer."""
        self._began = self._begin(context)
        if not self.deferrable:
            try:
                return super().execute(context)
            except (AirflowSensorTimeout, AirflowTaskTimeout) as error:
                known = self._tolerance is None or not self._tolerance.unknown
                late = self.family.still_running(self.mps_task_id, self._waited, known=known, trouble=self._trouble)
                limit = "timeout" if isinstance(error, AirflowSensorTimeout) else "execution_timeout"
                _advise(late, type(error))
                tell(self, late)
                raise type(error)(f"{limit}: {late}") from error
        with self._errors():
            self._check()
        self.show_console(self.hook, context)
        deadline = self._began + min(self.timeout, self._execution_seconds)
        self.defer_until_ended(self.mps_task_id, self._interval, deadline)
        return None

    def poke(self, context: Context) -> PokeReturnValue:
        """Poll the task once; a failed poll is repeated, as long as the timeout allows."""
        from airflow_provider_mps.api.polling import Tolerance

        self._began = self._began or self._begin(context)
        with self._errors(), self._troubled(context) as trouble:
            self._check()
            self._tolerance = self._tolerance or Tolerance(self.max_poll_failures, time.time() - self._began)
            hook = self.hook
            if not self.files:
                self.show_console(hook, context)
            within = max(self._left, _SHORTEST_POKE_SECONDS)
            try:
                status = hook.describe(self.family, self.mps_task_id, within, trouble)
            except CallError as error:
                self._tolerance.failed(error)
                meanwhile = "" if error.failure is Failure.NOT_FOUND else GOES_ON
                trouble.call_failed(error, min(self.poke_interval, max(self._left, 0.0)), meanwhile)
                return self._not_yet()
            self._tolerance.answered()
            trouble.known = status.word
            if status.word != self._word:
                self._word = status.word
                self.log_change(False, status, time.time() - self._began)
            if not status.state.ended or self._may_get_files(status):
                return self._not_yet()
            return PokeReturnValue(True, self._finish(context, status))

    @contextmanager
    def _troubled(self, context: Context) -> Iterator[Trouble]:
        """The trouble of this wait. Of a sensor that reschedules each poke is a process of its own: it is kept."""
        store = context.get("task_state_store") if self.reschedule else None
        wait: list[Any] = [self.mps_task_id, context["ti"].max_tries]  # a clear is a new one
        if self._trouble is None:
            kept: Any = None
            with suppress(Exception):  # it is for the log alone
                kept = store.get(_TROUBLE_KEY) if store is not None else None
            of_this = isinstance(kept, dict) and kept.get("wait") == wait
            self._trouble = Trouble.restored(kept["trouble"] if of_this else None)
        before = self._trouble.kept()
        try:
            yield self._trouble
        finally:
            after = self._trouble.kept()
            if store is not None and _lasting(after) != _lasting(before):
                with suppress(Exception):
                    store.set(_TROUBLE_KEY, {"wait": wait, "trouble": after}, retention=_TROUBLE_KEPT)

    @property
    def _waited(self) -> str:
        return in_seconds(time.time() - self._began, False)

    @property
    def _interval(self) -> float:
        return max(self.poke_interval, _SHORTEST_SECONDS)

    @property
    def _left(self) -> float:
        """Seconds until this wait's timeout."""
        return self._began + self.timeout - time.time()

    def _not_yet(self) -> PokeReturnValue:
        """Have Airflow poke again, at the timeout at the latest: it would pause a whole interval whatever is left."""
        left = self._left
        if left <= 0:
            raise AirflowSensorTimeout(f"{self.timeout:g} s have passed")
        self.poke_interval = min(self.poke_interval, left)
        if self.exponential_backoff:
            self.max_wait = min(self.max_wait or timedelta.max, timedelta(seconds=left))
        return PokeReturnValue(False)

    def execute_complete(self, context: Context, event: Mapping[str, Any] | None = None) -> dict[str, Any]:
        """Go on after the triggerer's wait."""
        timeout = AirflowTaskTimeout if self._execution_seconds < self.timeout else AirflowSensorTimeout
        try:
            with self._errors():
                self._check()  # nobody has, where a trigger began
                try:
                    return self._finish(context, self.status_after(context, event))
                except WaitTimeoutError as error:
                    _advise(error, timeout)
                    raise
        except WaitTimeoutError as error:
            raise timeout(str(error)) from None

    @property
    def _execution_seconds(self) -> float:
        """``execution_timeout``, which Airflow itself does not keep while a task is deferred."""
        return self.execution_timeout.total_seconds() if self.execution_timeout else math.inf

    def _begin(self, context: Context) -> float:
        """When this wait began, as a POSIX time: with mode="reschedule", at the first poke."""
        first = self._first_poke(context) if self.reschedule and not self.deferrable else None
        return first.timestamp() if isinstance(first, datetime) else time.time()

    def _first_poke(self, context: Context) -> Any:
        ti: Any = context["ti"]
        if hasattr(ti, "get_first_reschedule_date"):
            return ti.get_first_reschedule_date(context)
        # Before Airflow 3 the worker reads the database, as Airflow's own sensor does there.
        import sqlalchemy
        from airflow.models.taskreschedule import TaskReschedule
        from airflow.utils.session import create_session

        poke: Any = TaskReschedule
        of_this = [getattr(poke, name) == getattr(ti, name) for name in ("dag_id", "run_id", "task_id", "map_index")]
        since_clear = poke.try_number > ti.max_tries - (self.retries or 0)
        with create_session() as session:
            first = sqlalchemy.select(poke.start_date).where(*of_this, since_clear).order_by(poke.id).limit(1)
            return session.scalar(first)

    def _check(self) -> None:
        check_family("mps_task_id", task_id("mps_task_id", self.mps_task_id), self.family)
        self.check_wait("start_from_trigger")
        for name in ("timeout", "poke_interval"):
            if value := getattr(self, name):  # 0 is Airflow's word for one poke, and for no pause
                seconds(name, value)

    def _may_get_files(self, status: TaskStatus) -> bool:
        if not self.family.lacks_files(status):
            return False
        # A rescheduled poke knows nothing of those before it but when the first one was.
        self._done_at = self._done_at or (self._began if self.reschedule else time.time())
        return time.time() - self._done_at < patience().result_grace

    @contextmanager
    def _errors(self) -> Iterator[None]:
        # What a retry may mend stays no AirflowException: soft_fail would skip those after a deferral, and those alone.
        with told_errors(self, retryable=None):
            try:
                yield
            except TaskFailedError as error:
                error.retry_helps = False  # asked again, it is the same task that failed
                error.advice = "Clear the Airflow task that created it to make, and maybe pay for, a new one"
                raise

    def _finish(self, context: Context, status: TaskStatus) -> dict[str, Any]:
        self.check(context, status, "" if self.deferrable else self._waited)
        self.log_files(status)
        self.push_files(context, status)
        return self.family.result(status)


def _lasting(kept: Mapping[str, Any]) -> dict[str, Any]:
    """Of what was kept of a trouble, all but the count of calls: it alone is not worth a write."""
    return {name: value for name, value in kept.items() if name != "calls"}


def _advise(error: WaitTimeoutError, raised: type[BaseException]) -> None:
    """Say what to do about a sensor's end: Airflow retries after execution_timeout alone."""
    if issubclass(raised, AirflowSensorTimeout):
        error.advice = "Airflow does not retry a sensor's timeout: clear this Airflow task to go on waiting"


class AigcAudioTaskSensor(TaskSensor):
    """Waits for an AIGC audio task.

    Returns ``{"TaskId", "Status": "DONE", "AudioInfos": [{"Url", "Duration"}], "VideoInfos"}``, and pushes
    ``audio_urls``, and ``video_urls`` where there are any.
    """

    family = AIGC_AUDIO
    operator_extra_links = (ListenLink(), WatchLink(), StoredInCosLink(), MpsConsoleLink())


class AigcVideoTaskSensor(TaskSensor):
    """Waits for an AIGC video task.

    Returns ``{"TaskId", "Status": "DONE", "VideoUrls": [...], "Resolution"}``, and pushes ``video_urls``.
    """

    family = AIGC_VIDEO
    operator_extra_links = (WatchLink(), StoredInCosLink(), MpsConsoleLink())


class AigcImageTaskSensor(TaskSensor):
    """Waits for an AIGC image task.

    Returns ``{"TaskId", "Status": "DONE", "ImageUrls": [...]}``, and pushes ``image_urls``.
    """

    family = AIGC_IMAGE
    operator_extra_links = (ViewLink(), StoredInCosLink(), MpsConsoleLink())


class MpsTaskSensor(TaskSensor):
    """Waits for a task of ProcessMedia or EditMedia (DescribeTaskDetail).

    Returns the task's own object (``WorkflowTask`` or ``EditMediaTask``) with the TaskId, and pushes ``cos_uris``.
    A task that is FINISH has succeeded only if its ErrCode and each result in it say so.
    """

    family = MEDIA
    operator_extra_links = (ListenLink(), WatchLink(), ViewLink(), StoredInCosLink(), MpsConsoleLink())
