"""Operators that create tasks at MPS: submit, remember, wait."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Iterable, Mapping, Sequence
from datetime import timedelta
from typing import TYPE_CHECKING, Any, ClassVar

from airflow.providers.common.compat.sdk import AirflowTaskTimeout, BaseOperator, conf

from airflow_provider_mps.api.cos import CosObject
from airflow_provider_mps.api.errors import AmbiguousCreateError, CallError, Failure, InvalidArgumentError, MpsError
from airflow_provider_mps.api.requests import (
    AUDIO_REQUEST,
    EDIT_MEDIA_REQUEST,
    IMAGE_REQUEST,
    PROCESS_MEDIA_REQUEST,
    VIDEO_REQUEST,
    RequestShape,
    api_object,
    api_objects,
    digest,
    is_read,
    session_id,
)
from airflow_provider_mps.api.tasks import AIGC_AUDIO, AIGC_IMAGE, AIGC_VIDEO, MEDIA, NOT_FOUND_GRACE_SECONDS, TaskState
from airflow_provider_mps.hooks.mps import MpsHook, airflow_errors
from airflow_provider_mps.links.mps import ListenLink, StoredInCosLink, ViewLink, WatchLink
from airflow_provider_mps.operators.memory import Memory, Remembered
from airflow_provider_mps.triggers.waiting import WaitsForTask, seconds

if TYPE_CHECKING:
    import jinja2
    from airflow.providers.common.compat.sdk import Context

    from airflow_provider_mps.api.tasks import TaskStatus


_ABORT_SECONDS = 20
_SHORTEST_QUESTION_SECONDS = 1.0
Objects = Sequence[str | Mapping[str, Any]]
"""Reference files: URLs, or the API's objects."""


def _session_id(ti: Any, request_digest: str) -> str:
    """A SessionId that all tries of a task instance share, and that a clear changes: a clear raises max_tries."""
    return session_id(request_digest, ti.dag_id, ti.run_id, ti.task_id, ti.map_index, ti.max_tries)


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
    store_cos_param: Mapping[str, Any] | None = None
    ui_color = "#d9ecff"
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
        self._hook: MpsHook | None = None
        self._mps_task_id = ""
        self._rendering_text = False

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
        texts = {name for name in fields & self.text_fields if parent is self and isinstance(getattr(self, name), str)}
        if dag and texts:
            fields -= texts
            plain = dag.get_template_env(force_sandboxed=True)
            self._rendering_text = True
            super()._do_render_template_fields(parent, texts, context, plain, seen_oids)
            self._rendering_text = False
        super()._do_render_template_fields(parent, fields, context, jinja_env, seen_oids)

    def _render(self, template: jinja2.Template, context: Context, dag: Any = None) -> Any:
        if not self._rendering_text:
            return super()._render(template, context, dag)
        # Airflow's own asks the DAG how to render, and not the template's environment.
        try:
            from airflow.sdk.definitions.context import render_template_to_string
        except ImportError:  # before Airflow 3
            from airflow.utils.helpers import render_template_to_string  # type: ignore[no-redef]
        return render_template_to_string(template, context)

    def execute(self, context: Context) -> str:
        began = time.time()
        with airflow_errors():
            params = self.request.build(self._arguments())
            poll_interval = seconds("poll_interval", self.poll_interval)
            deadline = self._deadline(began)
            hook = self._hook = self.hook
            request_digest = digest(self.request.action, params)
            memory = self._memory(context, request_digest)
            if self.durable and not memory.kept:
                self.log.info(
                    "There is no task state store here (it came with Airflow 3.3): "
                    "if this worker is lost, a retry creates, and pays for, a new task."
                )
            remembered = memory.recall()
            if self.request.repeatable:
                unanswered = remembered.session_id if remembered else ""
                params.setdefault("SessionId", unanswered or _session_id(context["ti"], request_digest))
            status = self._resume(hook, memory, remembered, params, deadline) if remembered else None
            self._mps_task_id = status.task_id if status else self._submit(hook, memory, params)
            failed_before = status is not None and status.state is TaskState.FAIL
            if not self.wait_for_completion and not failed_before:
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
        """Abort the task where the API can, and say what goes on. No action of the API cancels an AIGC task."""
        hook = self._hook
        if hook is None or not self._mps_task_id:
            return

        def abort() -> None:
            self.log.warning(asyncio.run(hook.abort(self.family, self._mps_task_id)))

        # In a thread of its own: Airflow calls this from a signal's handler, maybe inside of this thread's event loop.
        thread = threading.Thread(target=abort, daemon=True)
        thread.start()
        thread.join(_ABORT_SECONDS)

    def _arguments(self) -> dict[str, Any]:
        """The arguments that describe the request."""
        return {name: getattr(self, name) for name in self.request.fields}

    def _deadline(self, began: float) -> float | None:
        limits = [seconds("wait_timeout", self.wait_timeout)] if self.wait_timeout is not None else []
        if self.execution_timeout:  # Airflow itself does not keep it while a task is deferred
            limits.append(self.execution_timeout.total_seconds())
        return began + min(limits) if limits else None

    def _memory(self, context: Context, request_digest: str) -> Memory:
        return Memory(context.get("task_state_store") if self.durable else None, request_digest, self.log)

    def _resume(
        self, hook: MpsHook, memory: Memory, remembered: Remembered, params: dict[str, Any], deadline: float | None
    ) -> TaskStatus | None:
        """The status of the task that an earlier try left, or None where a new one is to be made."""
        if not remembered.task_id:
            if self.request.repeatable:
                return None  # the create is sent again, with the same SessionId
            memory.forget()
            error = remembered.in_doubt(self.request.action, params)
            if not self.retry_ambiguous_create:
                raise error
            self.log.warning("%s retry_ambiguous_create is set: creating anew.", error)
            return None
        within = None if deadline is None else max(_SHORTEST_QUESTION_SECONDS, deadline - time.time())
        try:
            status = hook.describe(self.family, remembered.task_id, within)
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
        def remember(task_id: str) -> None:
            self._mps_task_id = task_id
            memory.created(task_id)

        memory.about_to_create(params.get("SessionId", ""))
        try:
            created = hook.create(self.request, params, remember)
        except BaseException as error:
            # Once the TaskId is known, execution_timeout may still strike. A SessionId is kept for whoever tries again.
            if not self._mps_task_id and not self.request.repeatable:
                memory.forget()
            if isinstance(error, AmbiguousCreateError):
                error.retry_helps = self.retry_ambiguous_create
            raise
        self.log.info("Submitted %s task %s (RequestId %s)", self.family.title, created.task_id, created.request_id)
        return created.task_id

    def _wait_here(self, hook: MpsHook, poll_interval: float, deadline: float | None) -> TaskStatus:
        began = time.monotonic()
        try:
            waiting = hook.await_task(
                self.family,
                self._mps_task_id,
                poll_interval=poll_interval,
                deadline=deadline,
                max_poll_failures=self.max_poll_failures,
                on_change=self.log_change,
            )
            return asyncio.run(waiting)
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
        self.push_files(context, status, self.store_cos_param)
        context["ti"].xcom_push(key="result", value=self.family.result(status))
        memory.forget()
        return status.task_id


class AigcTaskOperator(CreateTaskOperator):
    """Asks MPS to make something with an AI model. Every accepted request is billed. Base of the next three operators.

    The fields are those of the API reference; all are templated.

    :param model_name: such as ``MiniMaxMusic`` or ``Kling``; the service's lists are open ones.
    :param model_version: such as ``"2.6"``.
    :param scene_type: such as ``music``; which ones a model knows, the API reference tells.
    :param prompt: what to make, 2,000 characters at most; needed where there is no reference file.
    :param extra_parameters: the API's ``ExtraParameters``, such as ``{"AspectRatio": "9:16"}`` of a video.
    :param store_cos_param: where in COS to store the files: ``CosBucketName``, ``CosBucketRegion``, ``CosBucketPath``.
    :param additional_parameters: what the model itself takes, such as lyrics: a dict, or a JSON object as a string.
    :param mps_operator: who calls (the API's ``Operator``), free text.
    """

    def __init__(
        self,
        *,
        model_name: str | None = None,
        model_version: str | None = None,
        scene_type: str | None = None,
        prompt: str | None = None,
        extra_parameters: Mapping[str, Any] | None = None,
        store_cos_param: Mapping[str, Any] | None = None,
        additional_parameters: Mapping[str, Any] | str | None = None,
        mps_operator: str | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.model_name = model_name
        self.model_version = model_version
        self.scene_type = scene_type
        self.prompt = prompt
        self.extra_parameters = extra_parameters
        self.store_cos_param = store_cos_param
        self.additional_parameters = additional_parameters
        self.mps_operator = mps_operator


class CreateAigcAudioTaskOperator(AigcTaskOperator):
    """Asks MPS for AI-generated audio (CreateAigcAudioTask). Every accepted request is billed.

    The fields are those of the API reference; all are templated. XComs, having waited: ``audio_urls``, and
    ``video_urls`` where there are any; ``result`` is
    ``{"TaskId", "Status", "AudioInfos": [{"Url", "Duration"}], "VideoInfos"}``.

    :param video_infos: reference videos: URLs that MPS can reach, or the API's objects.
    :param audio_infos: reference audio, likewise.
    :param output_audio_format: ``mp3`` or ``wav``.
    """

    family = AIGC_AUDIO
    request = AUDIO_REQUEST
    template_fields: Sequence[str] = ("mps_conn_id", *AUDIO_REQUEST.fields)
    text_fields = CreateTaskOperator.text_fields | AUDIO_REQUEST.texts
    operator_extra_links = (ListenLink(), StoredInCosLink())

    def __init__(
        self,
        *,
        video_infos: str | Objects | None = None,
        audio_infos: str | Objects | None = None,
        output_audio_format: str | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.video_infos = video_infos
        self.audio_infos = audio_infos
        self.output_audio_format = output_audio_format


class CreateAigcVideoTaskOperator(AigcTaskOperator):
    """Asks MPS for AI-generated video (CreateAigcVideoTask). Every accepted request is billed.

    The fields are those of the API reference; all are templated. XComs, having waited: ``video_urls`` and ``result``,
    ``{"TaskId", "Status", "VideoUrls": [...], "Resolution"}``.

    :param negative_prompt: what to leave out.
    :param enhance_prompt: whether the service may improve the prompt.
    :param image_url: the first frame.
    :param last_image_url: the last frame.
    :param image_infos: reference images: URLs that MPS can reach, or the API's objects.
    :param video_infos: reference videos, likewise.
    :param audio_infos: reference audio, likewise.
    :param subject_infos: subjects to keep alike, as the API's objects.
    :param duration: seconds; which ones a model can make, the API reference tells.
    """

    family = AIGC_VIDEO
    request = VIDEO_REQUEST
    template_fields: Sequence[str] = ("mps_conn_id", *VIDEO_REQUEST.fields)
    text_fields = CreateTaskOperator.text_fields | VIDEO_REQUEST.texts
    operator_extra_links = (WatchLink(), StoredInCosLink())

    def __init__(
        self,
        *,
        negative_prompt: str | None = None,
        enhance_prompt: bool | None = None,
        image_url: str | None = None,
        last_image_url: str | None = None,
        image_infos: str | Objects | None = None,
        video_infos: str | Objects | None = None,
        audio_infos: str | Objects | None = None,
        subject_infos: Sequence[Mapping[str, Any]] | None = None,
        duration: int | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.negative_prompt = negative_prompt
        self.enhance_prompt = enhance_prompt
        self.image_url = image_url
        self.last_image_url = last_image_url
        self.image_infos = image_infos
        self.video_infos = video_infos
        self.audio_infos = audio_infos
        self.subject_infos = subject_infos
        self.duration = duration


class CreateAigcImageTaskOperator(AigcTaskOperator):
    """Asks MPS for AI-generated images (CreateAigcImageTask). Every accepted request is billed.

    The fields are those of the API reference; all are templated. XComs, having waited: ``image_urls`` and ``result``,
    ``{"TaskId", "Status", "ImageUrls": [...]}``.

    :param negative_prompt: what to leave out.
    :param enhance_prompt: whether the service may improve the prompt.
    :param image_infos: reference images: URLs that MPS can reach, or the API's objects.
    :param output_image_count: how many images.
    """

    family = AIGC_IMAGE
    request = IMAGE_REQUEST
    template_fields: Sequence[str] = ("mps_conn_id", *IMAGE_REQUEST.fields)
    text_fields = CreateTaskOperator.text_fields | IMAGE_REQUEST.texts
    operator_extra_links = (ViewLink(), StoredInCosLink())

    def __init__(
        self,
        *,
        negative_prompt: str | None = None,
        enhance_prompt: bool | None = None,
        image_infos: str | Objects | None = None,
        output_image_count: int | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.negative_prompt = negative_prompt
        self.enhance_prompt = enhance_prompt
        self.image_infos = image_infos
        self.output_image_count = output_image_count


class MediaTaskOperator(CreateTaskOperator):
    """Creates a task that DescribeTaskDetail tells about. Base of the two operators below.

    Their requests have a SessionId, made from the request and the task instance where none is given: after a lost
    answer they are sent again, and MPS makes no second task of that. A clear of the Airflow task makes a new one.

    :param cos_region: the region of the buckets in ``cos://bucket/key``; the connection's ``region`` where it is not
        given.
    :param input_url: a URL that MPS can reach.
    :param input_cos: ``cos://bucket/key``, or ``{"Bucket", "Region", "Object"}``.
    :param output_storage: the API's TaskOutputStorage; or, instead of it, the next one.
    :param output_cos: ``{"Bucket", "Region"}``.
    :param task_notify_config: whom MPS notifies.
    :param tasks_priority: -10 to 10.
    :param session_id: your own SessionId, 50 characters at most.
    :param session_context: what MPS passes through, 1,000 characters at most.
    :param resource_id: the resource to bill.
    """

    family = MEDIA
    operator_extra_links = (StoredInCosLink(),)
    file_infos: Sequence[Mapping[str, Any]] | None = None

    def __init__(
        self,
        *,
        cos_region: str | None = None,
        input_url: str | None = None,
        input_cos: str | Mapping[str, Any] | None = None,
        output_storage: Mapping[str, Any] | None = None,
        output_cos: Mapping[str, Any] | None = None,
        task_notify_config: Mapping[str, Any] | None = None,
        tasks_priority: int | None = None,
        session_id: str | None = None,
        session_context: str | None = None,
        resource_id: str | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.cos_region = cos_region
        self.input_url = input_url
        self.input_cos = input_cos
        self.output_storage = output_storage
        self.output_cos = output_cos
        self.task_notify_config = task_notify_config
        self.tasks_priority = tasks_priority
        self.session_id = session_id
        self.session_context = session_context
        self.resource_id = resource_id

    def _arguments(self) -> dict[str, Any]:
        arguments = super()._arguments()
        if isinstance(self.input_cos, str) and self.input_cos:
            arguments["input_cos"] = self._cos_input("input_cos", self.input_cos)
        if arguments.get("file_infos"):
            arguments["file_infos"] = [
                self._with_cos_input(file) for file in api_objects("file_infos", self.file_infos)
            ]
        return arguments

    def _submit(self, hook: MpsHook, memory: Memory, params: dict[str, Any]) -> str:
        from airflow_provider_mps.api.sessions import FirstTaskFailedError

        try:
            return super()._submit(hook, memory, params)
        except FirstTaskFailedError as error:
            if self.session_id:
                raise
            self.log.warning("Task %s of an earlier try has failed: creating a new one.", error.task_id)
            # Made from the failed task, so that all tries from now on share this one, too.
            return self._submit(hook, memory, params | {"SessionId": session_id(params["SessionId"], error.task_id)})

    def _with_cos_input(self, file: dict[str, Any]) -> dict[str, Any]:
        """An EditMediaFileInfo whose URL, if it is ``cos://bucket/key``, is named as MPS wants it."""
        uri = str(((file.get("InputInfo") or {}).get("UrlInputInfo") or {}).get("Url") or "")
        if not uri.startswith("cos://"):
            return file
        return file | {"InputInfo": {"Type": "COS", "CosInputInfo": self._cos_input("file_infos", uri)}}

    def _cos_input(self, argument: str, uri: str) -> dict[str, str]:
        region = self.cos_region or self.hook.settings.region
        if not region:
            raise InvalidArgumentError("cos_region", f"is needed for {argument}, as the connection has no region")
        file = CosObject.from_uri(argument, uri, region)
        return {"Bucket": file.bucket, "Region": file.region, "Object": file.key}


class ProcessMediaOperator(MediaTaskOperator):
    """Transcodes, enhances, reviews or analyses a file (ProcessMedia).

    The fields are those of the API reference, as the API's own objects; all are templated. XComs, having waited:
    ``cos_uris`` and ``result``, the ``WorkflowTask`` with its TaskId.

    :param input_info: the API's MediaInputInfo; or, instead of it, ``input_url`` or ``input_cos``.
    :param output_dir: the folder in it, such as ``/movies/``.
    :param schedule_id: an orchestration made in the console.
    :param media_process_task: transcoding, snapshots and the like.
    :param ai_content_review_task: content review.
    :param ai_analysis_task: content analysis.
    :param ai_recognition_task: content recognition.
    :param ai_quality_control_task: quality control.
    :param smart_subtitles_task: subtitles.
    :param smart_erase_task: erasing of logos and subtitles.
    :param ai_dubbing_task: dubbing.
    :param mps_task_type: the API's ``TaskType``: ``Online`` or ``Offline``.
    :param activities: an orchestration given here.
    :param skip_mate_data: 1 to skip reading the file's metadata.
    """

    request = PROCESS_MEDIA_REQUEST
    template_fields: Sequence[str] = ("mps_conn_id", "cos_region", *PROCESS_MEDIA_REQUEST.fields)
    text_fields = CreateTaskOperator.text_fields | PROCESS_MEDIA_REQUEST.texts

    def __init__(
        self,
        *,
        input_info: Mapping[str, Any] | None = None,
        output_dir: str | None = None,
        schedule_id: int | None = None,
        media_process_task: Mapping[str, Any] | None = None,
        ai_content_review_task: Mapping[str, Any] | None = None,
        ai_analysis_task: Mapping[str, Any] | None = None,
        ai_recognition_task: Mapping[str, Any] | None = None,
        ai_quality_control_task: Mapping[str, Any] | None = None,
        smart_subtitles_task: Mapping[str, Any] | None = None,
        smart_erase_task: Mapping[str, Any] | None = None,
        ai_dubbing_task: Mapping[str, Any] | None = None,
        mps_task_type: str | None = None,
        activities: Sequence[Mapping[str, Any]] | None = None,
        skip_mate_data: int | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.input_info = input_info
        self.output_dir = output_dir
        self.schedule_id = schedule_id
        self.media_process_task = media_process_task
        self.ai_content_review_task = ai_content_review_task
        self.ai_analysis_task = ai_analysis_task
        self.ai_recognition_task = ai_recognition_task
        self.ai_quality_control_task = ai_quality_control_task
        self.smart_subtitles_task = smart_subtitles_task
        self.smart_erase_task = smart_erase_task
        self.ai_dubbing_task = ai_dubbing_task
        self.mps_task_type = mps_task_type
        self.activities = activities
        self.skip_mate_data = skip_mate_data


class EditMediaOperator(MediaTaskOperator):
    """Cuts, joins or composes files (EditMedia), such as a soundtrack under a video.

    The fields are those of the API reference, as the API's own objects; all are templated. XComs, having waited:
    ``cos_uris`` and ``result``, the ``EditMediaTask`` with its TaskId. See :func:`api.compose.lay_soundtrack`.

    :param file_infos: the inputs as the API's EditMediaFileInfo; or, instead of them, ``input_url`` or ``input_cos``.
    :param output_object_path: the path of the result in it.
    :param output_config: how the result of a cut is packed.
    :param compose_config: tracks, canvas and target of a composition.
    """

    request = EDIT_MEDIA_REQUEST
    template_fields: Sequence[str] = ("mps_conn_id", "cos_region", *EDIT_MEDIA_REQUEST.fields)
    text_fields = CreateTaskOperator.text_fields | EDIT_MEDIA_REQUEST.texts

    def __init__(
        self,
        *,
        file_infos: Sequence[Mapping[str, Any]] | None = None,
        output_object_path: str | None = None,
        output_config: Mapping[str, Any] | None = None,
        compose_config: Mapping[str, Any] | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.file_infos = file_infos
        self.output_object_path = output_object_path
        self.output_config = output_config
        self.compose_config = compose_config


class MpsApiOperator(BaseOperator):
    """Calls any action of MPS that has no operator of its own.

    What is no read (Describe..., List..., Get...) is never sent again in doubt: not after a lost answer, and, on
    Airflow 3.3 and later, not after a lost worker either.

    :param action: the action as the API writes it, such as ``DescribeTranscodeTemplates``.
    :param mps_params: its fields as the API writes them (``params`` are Airflow's own).
    :param mps_conn_id: the Airflow connection.

    Returns the ``Response`` object.
    """

    template_fields: Sequence[str] = ("action", "mps_params", "mps_conn_id")
    template_fields_renderers: ClassVar[dict[str, str]] = {"mps_params": "json"}
    ui_color = "#d9ecff"

    def __init__(
        self,
        *,
        action: str,
        mps_params: Mapping[str, Any] | None = None,
        mps_conn_id: str = MpsHook.default_conn_name,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.action = action
        self.mps_params = mps_params
        self.mps_conn_id = mps_conn_id

    def execute(self, context: Context) -> dict[str, Any]:
        with airflow_errors():
            if not isinstance(self.action, str) or not self.action.isalnum():
                raise InvalidArgumentError("action", f"is no name of an action: {self.action!r}")
            params = api_object()("mps_params", self.mps_params or {})
            hook = MpsHook(self.mps_conn_id)
            if is_read(self.action):
                return hook.call(self.action, params)
            memory = Memory(context.get("task_state_store"), digest(self.action, params), self.log)
            if remembered := memory.recall():
                memory.forget()
                raise remembered.in_doubt(self.action, params)
            memory.about_to_create()
            try:
                response = hook.call(self.action, params)
            except MpsError:  # not what a signal raises, such as execution_timeout: it may have been sent by then
                memory.forget()
                raise
            memory.forget()
            return response
