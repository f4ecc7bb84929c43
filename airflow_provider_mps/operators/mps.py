"""Operators that create tasks at MPS, one for each action."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar, Unpack, cast

from airflow_provider_mps.api.cos import CosObject
from airflow_provider_mps.api.errors import is_read
from airflow_provider_mps.api.redaction import digest
from airflow_provider_mps.api.requests import (
    AUDIO_REQUEST,
    EDIT_MEDIA_REQUEST,
    IMAGE_REQUEST,
    PROCESS_MEDIA_REQUEST,
    VIDEO_REQUEST,
    checked_call,
    media_files,
    plain,
)
from airflow_provider_mps.api.sdk_types import with_numbers
from airflow_provider_mps.api.tasks import AIGC_AUDIO, AIGC_IMAGE, AIGC_VIDEO, MEDIA
from airflow_provider_mps.compat import BaseOperator
from airflow_provider_mps.hooks.connection import checked_id
from airflow_provider_mps.hooks.mps import MpsHook
from airflow_provider_mps.links.mps import ListenLink, MpsConsoleLink, StoredInCosLink, ViewLink, WatchLink
from airflow_provider_mps.operators.create import CreateTaskOperator
from airflow_provider_mps.operators.memory import Memory
from airflow_provider_mps.telling import told_errors

if TYPE_CHECKING:
    from airflow.providers.common.compat.sdk import Context, XComArg

    from airflow_provider_mps.airflow_arguments import AirflowArguments
    from airflow_provider_mps.operators.arguments import (
        AudioArguments,
        EditMediaArguments,
        ImageArguments,
        ProcessMediaArguments,
        VideoArguments,
    )


class AigcTaskOperator(CreateTaskOperator):
    """Asks MPS to make something with an AI model. Base of the next three operators.

    The fields are those of the API reference; all are templated.

    :param model_name: such as ``MiniMaxMusic`` or ``Kling``; the service's lists are open ones.
    :param model_version: such as ``"2.6"``.
    :param scene_type: such as ``music``; the API reference lists those of each model.
    :param prompt: what to make: of audio and video in 2,000 characters at most, of images in 1,000; needed where no
        reference file is given.
    :param extra_parameters: the API's ``ExtraParameters``, such as ``{"AspectRatio": "9:16"}`` of a video.
    :param store_cos_param: where in COS to store the files: ``CosBucketName``, ``CosBucketRegion``, ``CosBucketPath``.
    :param additional_parameters: what the model itself takes, such as lyrics: a dict, or a JSON object as a string.
    :param mps_operator: who calls (the API's ``Operator``), free text.
    """

    store_cos_param: Mapping[str, Any] | None


class CreateAigcAudioTaskOperator(AigcTaskOperator):
    """Asks MPS for AI-generated audio (CreateAigcAudioTask). MPS bills music by the song.

    The fields are those of the API reference; all are templated. XComs, having waited: ``audio_urls``, and
    ``video_urls`` where there are any; ``result`` is
    ``{"TaskId", "Status", "AudioInfos": [{"Url", "Duration"}], "VideoInfos"}``.

    :param video_infos: reference videos: URLs that MPS can reach, files of the account in COS (``cos://bucket/key`` or
        their URLs without a signature, sent signed for an hour: needs the extra ``cos``), or the API's objects.
    :param audio_infos: reference audio, likewise.
    :param output_audio_format: ``mp3`` or ``wav``.
    """

    family = AIGC_AUDIO
    request = AUDIO_REQUEST
    operator_extra_links = (ListenLink(), WatchLink(), StoredInCosLink(), MpsConsoleLink())

    def __init__(self, **kwargs: Unpack[AudioArguments]) -> None:
        super().__init__(**kwargs)


class CreateAigcVideoTaskOperator(AigcTaskOperator):
    """Asks MPS for AI-generated video (CreateAigcVideoTask). MPS bills the seconds that it made successfully.

    The fields are those of the API reference; all are templated. XComs, having waited: ``video_urls`` and ``result``,
    ``{"TaskId", "Status", "VideoUrls": [...], "Resolution"}``.

    :param negative_prompt: what to leave out.
    :param enhance_prompt: whether the service may improve the prompt.
    :param image_url: the first frame: a URL that MPS can reach, or a file of the account in COS (``cos://bucket/key``
        or its URL without a signature, sent signed for an hour: needs the extra ``cos``).
    :param last_image_url: the last frame, likewise.
    :param image_infos: reference images, likewise, or the API's objects.
    :param video_infos: reference videos, likewise.
    :param audio_infos: reference audio, likewise.
    :param subject_infos: subjects to keep alike, as the API's objects.
    :param duration: seconds; the API reference lists those of each model.
    """

    family = AIGC_VIDEO
    request = VIDEO_REQUEST
    operator_extra_links = (WatchLink(), StoredInCosLink(), MpsConsoleLink())

    def __init__(self, **kwargs: Unpack[VideoArguments]) -> None:
        super().__init__(**kwargs)


class CreateAigcImageTaskOperator(AigcTaskOperator):
    """Asks MPS for AI-generated images (CreateAigcImageTask). MPS bills the images that it made successfully.

    The fields are those of the API reference; all are templated. XComs, having waited: ``image_urls`` and ``result``,
    ``{"TaskId", "Status", "ImageUrls": [...]}``.

    :param negative_prompt: what to leave out.
    :param enhance_prompt: whether the service may improve the prompt.
    :param image_infos: reference images: URLs that MPS can reach, files of the account in COS (``cos://bucket/key`` or
        their URLs without a signature, sent signed for an hour: needs the extra ``cos``), or the API's objects.
    :param output_image_count: how many images.
    """

    family = AIGC_IMAGE
    request = IMAGE_REQUEST
    operator_extra_links = (ViewLink(), StoredInCosLink(), MpsConsoleLink())

    def __init__(self, **kwargs: Unpack[ImageArguments]) -> None:
        super().__init__(**kwargs)


class MediaTaskOperator(CreateTaskOperator):
    """Creates a task that DescribeTaskDetail describes. Base of the two operators below.

    Their requests have a SessionId, made from the request and the task instance where none is given: after a lost
    answer they are sent again, and MPS makes no second task of that. A clear of the Airflow task makes a new one.

    :param input_url: a URL that MPS can reach; or, as for ``input_cos``, what names a file of the account in COS.
    :param input_cos: ``cos://bucket/key``, the file's URL in COS without a signature, or
        ``{"Bucket", "Region", "Object"}``.
    :param output_storage: the API's TaskOutputStorage; or, instead of it, the next one.
    :param output_cos: ``{"Bucket", "Region"}``.
    :param task_notify_config: whom MPS notifies.
    :param tasks_priority: -10 to 10.
    :param session_id: your own SessionId, 50 characters at most.
    :param session_context: what MPS passes through, 1,000 characters at most.
    :param resource_id: the resource to bill.
    """

    family = MEDIA
    operator_extra_links = (ListenLink(), WatchLink(), ViewLink(), StoredInCosLink(), MpsConsoleLink())

    def _arguments(self) -> dict[str, Any]:
        arguments = super()._arguments()
        for name in ("input_url", "input_cos"):
            arguments[name] = self._with_region(name, arguments[name])
        return arguments

    def _with_region(self, argument: str, value: Any) -> Any:
        """For a ``cos://bucket/key`` the object's URL, which names the region too; anything else as it is."""
        if not isinstance(value, str) or not value.startswith("cos://"):
            return value
        file = CosObject.named_by(argument, value, self.hook.settings.cos_region)
        return file and file.url


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

    def __init__(self, **kwargs: Unpack[ProcessMediaArguments]) -> None:
        super().__init__(**kwargs)


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
    file_infos: Sequence[Mapping[str, Any]] | None

    def __init__(self, **kwargs: Unpack[EditMediaArguments]) -> None:
        super().__init__(**kwargs)

    def _arguments(self) -> dict[str, Any]:
        arguments = super()._arguments()
        if self.file_infos:
            files = media_files("file_infos", plain("file_infos", self.file_infos))
            arguments["file_infos"] = [self._with_cos_input(file) for file in files]
        return arguments

    def _with_cos_input(self, file: dict[str, Any]) -> dict[str, Any]:
        """An EditMediaFileInfo whose URL, if it leads to COS, is named as MPS wants it."""
        url = str(((file.get("InputInfo") or {}).get("UrlInputInfo") or {}).get("Url") or "")
        found = CosObject.named_by("file_infos", self._with_region("file_infos", url), "")
        return file | {"InputInfo": found.input_info} if found else file


class MpsApiOperator(BaseOperator):
    """Calls any action of MPS that has no operator of its own.

    What changes something (all but Describe..., List..., Get...) is never sent again in doubt: not after a lost
    answer, and, on Airflow 3.3 and later, not after a lost worker either.

    Returns the ``Response`` object.

    :param action: the action as the API writes it, such as ``DescribeTranscodeTemplates``.
    :param mps_params: its fields as the API writes them (``params`` are Airflow's own). A text such as ``"5"``, which
        templates make of numbers, is sent as a number where the SDK's model of the action has one.
    :param mps_conn_id: the Airflow connection.
    """

    template_fields: Sequence[str] = ("action", "mps_params", "mps_conn_id")
    template_fields_renderers: ClassVar[dict[str, str]] = {"mps_params": "json"}
    ui_color = "#d9ecff"

    def __init__(
        self,
        *,
        action: str | XComArg,
        mps_params: Mapping[str, Any] | XComArg | None = None,
        mps_conn_id: str | XComArg = MpsHook.default_conn_name,
        **kwargs: Unpack[AirflowArguments],
    ) -> None:
        super().__init__(**kwargs)
        self.action = action
        self.mps_params = mps_params
        self.mps_conn_id = cast("str", mps_conn_id)  # once it is rendered

    def execute(self, context: Context) -> dict[str, Any]:
        """Call the action, or return what an earlier try was answered."""
        with told_errors(self):
            action, params = checked_call(self.action, self.mps_params or {}, "mps_params")
            params = with_numbers(action, params)
            hook = MpsHook(checked_id(self.mps_conn_id))
            if is_read(action):
                return hook.call(action, params)
            memory = Memory(
                context.get("task_state_store"),
                digest(action, params),
                context["ti"].max_tries,
                hook.settings.account,
                self.log,
            )
            entry = memory.recall()
            if entry and not memory.cleared_since(entry):
                if entry.response is None:
                    raise entry.in_doubt(action, params)
                self.log.info("%s ran in an earlier try: its answer is returned, and nothing is sent.", action)
                return entry.response
            response = hook.call_once(action, params, memory)
            memory.answered(response)
            return response
