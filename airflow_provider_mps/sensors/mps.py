"""Sensors that wait for a task that somebody else submitted."""

from __future__ import annotations

import math
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any, ClassVar, Unpack, cast

from airflow_provider_mps.api.codes import Failure
from airflow_provider_mps.api.errors import CallError, MpsError, TaskFailedError, WaitTimeoutError
from airflow_provider_mps.api.failure_log import GOES_ON, Trouble
from airflow_provider_mps.api.patience import patience
from airflow_provider_mps.api.request.convert import seconds, task_id
from airflow_provider_mps.api.tasks import (
    AIGC_AUDIO,
    AIGC_IMAGE,
    AIGC_VIDEO,
    DESIGN_VOICE,
    MEDIA,
    PICTURES,
    TEXT_TO_SPEECH,
    TaskFamily,
    check_family,
    in_seconds,
)
from airflow_provider_mps.compat import (
    AirflowSensorTimeout,
    AirflowTaskTimeout,
    BaseSensorOperator,
    PokeReturnValue,
    conf,
)
from airflow_provider_mps.errors import airflow_errors, airflows
from airflow_provider_mps.execution.label import render_label_from
from airflow_provider_mps.execution.reporting import reported_errors, tell
from airflow_provider_mps.execution.waiting import TRIGGERER_DOWN_SECONDS, WaitsForTask, own_family
from airflow_provider_mps.hooks.mps import MpsHook
from airflow_provider_mps.links.mps import ListenLink, MpsConsoleLink, StoredInCosLink, ViewLink, WatchLink

if TYPE_CHECKING:
    from airflow.providers.common.compat.sdk import Context, XComArg

    from airflow_provider_mps.api.tasks import TaskStatus
    from airflow_provider_mps.api.waiting.poller import Tolerance
    from airflow_provider_mps.arguments import SensorArguments, TaskSensorArguments

_SHORTEST_SECONDS = 0.1
_SHORTEST_POKE_SECONDS = 1.0
_TROUBLE_KEY, _TROUBLE_KEPT = "mps_trouble", timedelta(days=7)


class TaskSensor(WaitsForTask, BaseSensorOperator):
    """Waits for a task of one family. Base of the sensors below.

    Returns the result, and pushes the lists of URLs of its family, and what the task made as ``usage``.

    :param mps_task_id: the TaskId, such as the output of a create operator.
    :param mps_conn_id: the Airflow connection.
    :param deferrable: whether to wait in the triggerer; the interval is ``poke_interval`` there too. By default as
        ``[operators] default_deferrable`` of Airflow's configuration says; False where that is not set.
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
    :raises InvalidArgumentError: an argument cannot be used; nothing was sent.
    :raises InvalidConnectionError: the connection cannot be used; nothing was sent.
    :raises ApiError: MPS refused the poll, or does not know the task.
    :raises TaskFailedError: the task ended in FAIL; MPS's reason is in it.
    :raises NoResultError: the task is DONE, and MPS names no file.
    :raises AirflowSensorTimeout: ``timeout`` is over; the task goes on. AirflowTaskTimeout at ``execution_timeout``.
    :raises CallError: MPS could not be reached for longer than ``max_poll_failures`` allows.
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
        self._done_at = self._kept_done_at = 0.0
        self._tolerance: Tolerance | None = None
        self._trouble: Trouble | None = None
        self.begin_in_triggerer(
            timeout=min(self.timeout, self._execution_seconds),
            airflows_timeout=min(self.timeout + TRIGGERER_DOWN_SECONDS, self._execution_seconds),
            kind=self.family.kind,
            poll_interval=self._interval,
            max_poll_failures=self.max_poll_failures,
            abort_on_kill=self.abort_on_kill,
        )

    def execute(self, context: Context) -> Any:
        """Wait here, or in the triggerer."""
        render_label_from(self, context)
        self._began = self._begin(context)
        if not self.deferrable:
            try:
                return super().execute(context)
            except (AirflowSensorTimeout, AirflowTaskTimeout) as error:
                known = self._tolerance is None or not self._tolerance.unknown
                wait = self.family.still_running(self.mps_task_id, self._waited, known=known, trouble=self._trouble)
                late = airflows(wait)
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
        found = self._poke(context)
        if not found.is_done and self.reschedule and self._done_at != self._kept_done_at:
            # It is DONE without a URL, and the next poke would not know since when: this one waits, and asks once more.
            time.sleep(max(0.0, min(patience().result_grace, self._left)))
            found = self._poke(context)
        return found

    def _poke(self, context: Context) -> PokeReturnValue:
        from airflow_provider_mps.api.waiting.poller import Tolerance

        self._began = self._began or self._begin(context)
        with self._errors(), self._troubled(context) as trouble:
            self._check()
            self._tolerance = self._tolerance or Tolerance(self.max_poll_failures, time.time() - self._began)
            self._hook = None  # a wait may be longer than its keys are good for
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
        """The trouble of this wait. Of a sensor that reschedules each poke is a process of its own: it is kept.

        So is since when the task is DONE without a URL, where Airflow has a store that works.
        """
        store = context.get("task_state_store") if self.reschedule else None
        wait: list[Any] = [self.mps_task_id, context["ti"].max_tries]  # a clear is a new one
        if self._trouble is None:
            kept: Any = None
            with suppress(Exception):  # no wait ends because of it
                kept = store.get(_TROUBLE_KEY) if store is not None else None
            if not isinstance(kept, dict) or kept.get("wait") != wait:
                kept = {}
            self._trouble = Trouble.restored(kept.get("trouble"))
            self._done_at = self._kept_done_at = kept.get("done_at", 0.0)
        before = self._trouble.kept()
        try:
            yield self._trouble
        finally:
            after = self._trouble.kept()
            changed = _lasting(after) != _lasting(before) or self._done_at != self._kept_done_at
            if store is not None and changed:
                kept = {"wait": wait, "trouble": after, "done_at": self._done_at}
                with suppress(Exception):
                    store.set(_TROUBLE_KEY, kept, retention=_TROUBLE_KEPT)
                    self._kept_done_at = self._done_at

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

    def waited_for(self, context: Context) -> str:
        """The TaskId that the sensor was given."""
        return self.mps_task_id if isinstance(self.mps_task_id, str) else ""

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
        self.check_wait()
        for name in ("timeout", "poke_interval"):
            if value := getattr(self, name):  # 0 is Airflow's word for one poke, and for no pause
                seconds(name, value)

    def _may_get_files(self, status: TaskStatus) -> bool:
        if not self.family.lacks_files(status):
            return False
        self._done_at = self._done_at or time.time()
        return time.time() - self._done_at < patience().result_grace

    @contextmanager
    def _errors(self) -> Iterator[None]:
        # What a retry may fix stays no AirflowException: soft_fail would skip those after a deferral, and only those.
        with reported_errors(self, soft=True):
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
    """Of what was kept of a trouble, all but the count of calls: that is not worth a write by itself."""
    return {name: value for name, value in kept.items() if name != "calls"}


def _advise(error: MpsError, raised: type[BaseException]) -> None:
    """Say what to do about a sensor's end: Airflow retries only after execution_timeout."""
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


class TextToSpeechTaskSensor(TaskSensor):
    """Waits for a task of TextToSpeechAsync.

    Returns ``{"TaskId", "Status": "DONE", "AudioUrl", "VoiceId"}``, and pushes ``audio_urls``.
    """

    family = TEXT_TO_SPEECH
    operator_extra_links = (ListenLink(), StoredInCosLink(), MpsConsoleLink())


class DesignVoiceTaskSensor(TaskSensor):
    """Waits for a task of DesignVoiceAsync.

    Returns ``{"TaskId", "Status": "DONE", "VoiceId", "AudioUrl"}``, and pushes ``audio_urls``, an empty list where no
    text was to be heard.
    """

    family = DESIGN_VOICE
    operator_extra_links = (ListenLink(), StoredInCosLink(), MpsConsoleLink())


class ImageTaskSensor(TaskSensor):
    """Waits for a task of ProcessImage.

    Returns the TaskId and ``ImageProcessTaskResultSet``, and pushes ``cos_uris``, or ``image_urls`` where MPS gives
    signed URLs only.
    """

    family = PICTURES
    operator_extra_links = (ViewLink(), StoredInCosLink(), MpsConsoleLink())


class MpsTaskSensor(TaskSensor):
    """Waits for a task of ProcessMedia or EditMedia (DescribeTaskDetail), or of a family of your own.

    Returns the task's own object (``WorkflowTask`` or ``EditMediaTask``) with the TaskId, and pushes ``cos_uris``.
    A task that is FINISH has succeeded only if its ErrCode and each result in it say so.

    :param family: a family of your own, as for :class:`MpsTaskOperator`; without it ``media``.
    """

    family: TaskFamily = MEDIA
    operator_extra_links = (ListenLink(), WatchLink(), ViewLink(), StoredInCosLink(), MpsConsoleLink())

    def __init__(self, *, family: str | TaskFamily = MEDIA, **kwargs: Unpack[TaskSensorArguments]) -> None:
        with airflow_errors():
            self.family = own_family(family)
        super().__init__(**kwargs)
