"""Operators that create tasks at MPS: submit, remember, wait."""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping, Sequence
from datetime import timedelta
from typing import TYPE_CHECKING, Any, ClassVar

from airflow.providers.common.compat.sdk import AirflowTaskTimeout, conf

from airflow_provider_mps.api.errors import AmbiguousCreateError, CallError, Failure, MpsError
from airflow_provider_mps.api.requests import AUDIO_REQUEST, RequestShape, digest
from airflow_provider_mps.api.tasks import AIGC_AUDIO, NOT_FOUND_GRACE_SECONDS
from airflow_provider_mps.hooks.mps import MpsHook, airflow_errors
from airflow_provider_mps.operators.memory import Memory, Remembered
from airflow_provider_mps.triggers.waiting import WaitsForTask, seconds

if TYPE_CHECKING:
    import jinja2
    from airflow.providers.common.compat.sdk import Context

    from airflow_provider_mps.api.tasks import TaskStatus


class CreateTaskOperator(WaitsForTask):
    """Creates a task of one family and, if wanted, waits for it. Base of the operators below.

    :param mps_conn_id: the Airflow connection.
    :param wait_for_completion: whether to wait until the task has ended.
    :param deferrable: how to wait: in the triggerer, or here.
    :param poll_interval: seconds between two questions; longer when the account's limit asks for that.
    :param wait_timeout: seconds to wait at most in one try. The task goes on, and a retry goes on waiting for it.
    :param durable: whether to remember the TaskId over retries (Airflow 3.3 and later).
    :param retry_ambiguous_create: whether Airflow may retry after a create that may have run: a second paid task.
    :param max_poll_failures: failed questions in a row, over at least five minutes, that end the wait.

    Returns the TaskId. Having waited, it also pushes the XComs ``result`` and the lists of URLs of its family.
    """

    request: ClassVar[RequestShape]
    text_fields: ClassVar[frozenset[str]] = frozenset({"mps_conn_id"})
    """Template fields that are text whatever they look like: native rendering would make a number of "2.10"."""

    def __init__(
        self,
        *,
        mps_conn_id: str = MpsHook.default_conn_name,
        wait_for_completion: bool = False,
        deferrable: bool = conf.getboolean("operators", "default_deferrable", fallback=False),
        poll_interval: float | timedelta = 5,
        wait_timeout: float | timedelta | None = None,
        durable: bool = True,
        retry_ambiguous_create: bool = False,
        max_poll_failures: int = 10,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.mps_conn_id = mps_conn_id
        self.wait_for_completion = wait_for_completion
        self.deferrable = deferrable
        self.poll_interval = poll_interval
        self.wait_timeout = wait_timeout
        self.durable = durable
        self.retry_ambiguous_create = retry_ambiguous_create
        self.max_poll_failures = max_poll_failures
        self._mps_task_id = ""

    def _do_render_template_fields(
        self,
        parent: Any,
        template_fields: Iterable[str],
        context: Context,
        jinja_env: jinja2.Environment,
        seen_oids: set[int],
    ) -> None:
        fields = set(template_fields)
        dag = self.get_dag()
        texts = fields & self.text_fields if parent is self and dag else set()
        if dag and texts:
            plain = dag.get_template_env(force_sandboxed=True)
            super()._do_render_template_fields(parent, texts, context, plain, seen_oids)
        super()._do_render_template_fields(parent, fields - texts, context, jinja_env, seen_oids)

    def execute(self, context: Context) -> str:
        began = time.time()
        with airflow_errors():
            params = self.request.build({name: getattr(self, name) for name in self.request.fields})
            poll_interval = seconds("poll_interval", self.poll_interval)
            deadline = self._deadline(began)
            hook = self.hook
            memory = self._memory(context, digest(self.request.action, params))
            remembered = memory.recall()
            status = self._resume(hook, memory, remembered, params) if remembered else None
            self._mps_task_id = status.task_id if status else self._submit(hook, memory, params)
            if not self.wait_for_completion:
                memory.forget()
                return self._mps_task_id
            if status is None or not status.state.ended:
                if self.deferrable:
                    self.defer_until_ended(self._mps_task_id, poll_interval, deadline)
                status = self._wait_here(hook, poll_interval, deadline)
            return self._finish(context, memory, status)

    def execute_complete(self, context: Context, event: Mapping[str, Any] | None = None) -> str:
        """Go on after the triggerer's wait."""
        with airflow_errors():
            memory = self._memory(context, "")
            return self._finish(context, memory, self.status_after(event))

    def on_kill(self) -> None:
        """Say what goes on. AIGC tasks cannot be cancelled (no action of the API does that)."""
        if self._mps_task_id:
            self.log.warning(
                "%s task %s goes on at MPS and is billed there: such tasks cannot be cancelled.%s",
                self.family.title,
                self._mps_task_id,
                " A retry goes on waiting for it." if self.durable else "",
            )

    def _deadline(self, began: float) -> float | None:
        limits = [seconds("wait_timeout", self.wait_timeout)] if self.wait_timeout is not None else []
        if self.execution_timeout:  # Airflow itself does not keep it while a task is deferred
            limits.append(self.execution_timeout.total_seconds())
        return began + min(limits) if limits else None

    def _memory(self, context: Context, request_digest: str) -> Memory:
        store = context.get("task_state_store") if self.durable else None
        if self.durable and store is None:
            self.log.info(
                "There is no task state store here (it came with Airflow 3.3): "
                "if this worker is lost, a retry creates, and pays for, a new task."
            )
        return Memory(store, request_digest, self.log)

    def _resume(
        self, hook: MpsHook, memory: Memory, remembered: Remembered, params: dict[str, Any]
    ) -> TaskStatus | None:
        """The status of the task that an earlier try left, or None where a new one is to be made."""
        if not remembered.task_id:
            memory.forget()
            at = time.strftime("%Y-%m-%d %H:%M:%S UTC", time.gmtime(remembered.at))
            error = AmbiguousCreateError(
                self.request.action,
                params,
                at,
                "the worker of an earlier try was lost before the answer came",
            )
            if not self.retry_ambiguous_create:
                raise error
            self.log.warning("%s retry_ambiguous_create is set: creating anew.", error)
            return None
        try:
            status = hook.describe(self.family, remembered.task_id)
        except CallError as error:
            fresh = time.time() - remembered.at < NOT_FOUND_GRACE_SECONDS
            if error.failure is not Failure.NOT_FOUND or fresh:
                raise
            memory.forget()
            self.log.warning(
                "Task %s of an earlier try is no longer known to MPS: creating a new one.", remembered.task_id
            )
            return None
        self.log.info(
            "Going on with %s task %s, which an earlier try created: %s.",
            self.family.title,
            status.task_id,
            status.word,
        )
        return status

    def _submit(self, hook: MpsHook, memory: Memory, params: dict[str, Any]) -> str:
        memory.about_to_create()
        try:
            created = hook.create(self.request, params)
        except BaseException as error:
            memory.forget()
            if isinstance(error, AmbiguousCreateError):
                error.retry_helps = self.retry_ambiguous_create
            raise
        memory.created(created.task_id)
        self.log.info("Submitted %s task %s (RequestId %s)", self.family.title, created.task_id, created.request_id)
        return created.task_id

    def _wait_here(self, hook: MpsHook, poll_interval: float, deadline: float | None) -> TaskStatus:
        began = time.monotonic()
        try:
            return hook.wait(
                self.family,
                self._mps_task_id,
                poll_interval=poll_interval,
                deadline=deadline,
                max_poll_failures=self.max_poll_failures,
                on_change=self.log_change,
            )
        except AirflowTaskTimeout as error:
            told = self.family.goes_on(self._mps_task_id, time.monotonic() - began)
            raise AirflowTaskTimeout(f"execution_timeout: {told}") from error

    def _finish(self, context: Context, memory: Memory, status: TaskStatus) -> str:
        try:
            self.family.check(status)
        except MpsError:
            memory.forget()
            raise
        self.log_files(status)
        self.push_urls(context, status)
        context["ti"].xcom_push(key="result", value=self.family.result(status))
        memory.forget()
        return status.task_id


class CreateAigcAudioTaskOperator(CreateTaskOperator):
    """Asks MPS for AI-generated audio (CreateAigcAudioTask). Every accepted request is billed.

    The fields are those of the API reference; all are templated. XComs, having waited: ``audio_urls``, and
    ``video_urls`` where there are any; ``result`` is
    ``{"TaskId", "Status", "AudioInfos": [{"Url", "Duration"}], "VideoInfos"}``.

    :param model_name: such as ``GL`` or ``MiniMaxMusic``; the service's list is an open one.
    :param model_version: such as ``"3.0-pro"``.
    :param scene_type: such as ``music``.
    :param prompt: what to make, 2,000 characters at most; needed where no reference file is given.
    :param video_infos: reference videos: URLs that MPS can reach, or the API's objects.
    :param audio_infos: reference audio, likewise.
    :param output_audio_format: ``mp3`` or ``wav``.
    :param store_cos_param: where in COS to store the files: ``CosBucketName``, ``CosBucketRegion``, ``CosBucketPath``.
    :param extra_parameters: the API's ``ExtraParameters``.
    :param additional_parameters: what the model itself takes, such as lyrics: a dict, or a JSON object as a string.
    :param mps_operator: who calls (the API's ``Operator``), free text.
    """

    family = AIGC_AUDIO
    request = AUDIO_REQUEST
    template_fields: Sequence[str] = ("mps_conn_id", *AUDIO_REQUEST.fields)
    text_fields = CreateTaskOperator.text_fields | AUDIO_REQUEST.texts
    ui_color = "#d9ecff"

    def __init__(
        self,
        *,
        model_name: str | None = None,
        model_version: str | None = None,
        scene_type: str | None = None,
        prompt: str | None = None,
        video_infos: str | Sequence[str | Mapping[str, Any]] | None = None,
        audio_infos: str | Sequence[str | Mapping[str, Any]] | None = None,
        output_audio_format: str | None = None,
        store_cos_param: Mapping[str, Any] | None = None,
        extra_parameters: Mapping[str, Any] | None = None,
        additional_parameters: Mapping[str, Any] | str | None = None,
        mps_operator: str | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.model_name = model_name
        self.model_version = model_version
        self.scene_type = scene_type
        self.prompt = prompt
        self.video_infos = video_infos
        self.audio_infos = audio_infos
        self.output_audio_format = output_audio_format
        self.store_cos_param = store_cos_param
        self.extra_parameters = extra_parameters
        self.additional_parameters = additional_parameters
        self.mps_operator = mps_operator
