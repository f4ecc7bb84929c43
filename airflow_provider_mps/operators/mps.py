"""Operators that create tasks at MPS, one for each action."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar, Unpack, cast

from airflow_provider_mps.api.codes import is_read
from airflow_provider_mps.api.digest import digest
from airflow_provider_mps.api.errors import DownloadError
from airflow_provider_mps.api.files.cos import CosObject
from airflow_provider_mps.api.paid_once import Create, Request, Return
from airflow_provider_mps.api.request.convert import as_json, checked_call, media_files
from airflow_provider_mps.api.request.fields import (
    AUDIO_REQUEST,
    DESIGN_VOICE_REQUEST,
    EDIT_MEDIA_REQUEST,
    IMAGE_REQUEST,
    PROCESS_IMAGE_REQUEST,
    PROCESS_MEDIA_REQUEST,
    TEXT_TO_SPEECH_REQUEST,
    VIDEO_REQUEST,
)
from airflow_provider_mps.api.request.shape import AnyRequest
from airflow_provider_mps.api.tasks import (
    AIGC_AUDIO,
    AIGC_IMAGE,
    AIGC_VIDEO,
    DESIGN_VOICE,
    MEDIA,
    PICTURES,
    TEXT_TO_SPEECH,
    TaskFamily,
)
from airflow_provider_mps.compat import AirflowTaskTimeout, BaseOperator
from airflow_provider_mps.errors import airflow_errors
from airflow_provider_mps.execution.audio import made_ready, saved
from airflow_provider_mps.execution.identity import ThisTry
from airflow_provider_mps.execution.label import check_label, render_label_from
from airflow_provider_mps.execution.memory import Memory, arrive, place_of, say_if_nowhere
from airflow_provider_mps.execution.reporting import reported_errors
from airflow_provider_mps.execution.waiting import own_family
from airflow_provider_mps.hooks.connection import checked_id
from airflow_provider_mps.hooks.mps import MpsHook
from airflow_provider_mps.links.mps import ListenLink, MpsConsoleLink, StoredInCosLink, ViewLink, WatchLink
from airflow_provider_mps.operators.create import CreateTaskOperator
from airflow_provider_mps.storage.folders import folder_named

if TYPE_CHECKING:
    from airflow.providers.common.compat.sdk import Context, ObjectStoragePath, XComArg

    from airflow_provider_mps.arguments import AirflowArguments, CreateArguments


class CreateAigcAudioTaskOperator(CreateTaskOperator):
    """Asks MPS for AI-generated audio (CreateAigcAudioTask). MPS bills music by the song.

    The fields are those of <https://www.tencentcloud.com/document/api/1041/81006>; all are templated.
    XComs, having waited: ``audio_urls``, and ``video_urls`` where there are any; ``result`` is
    ``{"TaskId", "Status", "AudioInfos": [{"Url", "Duration"}], "VideoInfos"}``.
    Raises what ``CreateTaskOperator`` raises.

    :param model_name: such as ``MiniMaxMusic``, ``GL`` or ``Kling``; the service's list is an open one.
    :param model_version: such as ``"2.6"``, in quotes: it is text. Some models need one, others take none.
    :param scene_type: ``music``, ``sfx`` or ``tts``; the service asks for it, while the reference calls it optional.
    :param prompt: what to make, in 2,000 characters at most; needed where no reference file is given.
    :param video_infos: reference videos: URLs that MPS can reach, files of the account in COS (``cos://bucket/key`` or
        their URLs without a signature, sent signed for an hour: needs the extra ``cos``), or the API's objects.
    :param audio_infos: reference audio, likewise.
    :param output_audio_format: ``mp3`` or ``wav``.
    :param store_cos_param: where in a bucket of yours MPS stores the files; without it, MPS's own store keeps them for
        12 hours. ``CosBucketName`` and ``CosBucketRegion`` are required, ``CosBucketPath`` is not: ``{"CosBucketName":
        "results-1250000000", "CosBucketRegion": "ap-singapore", "CosBucketPath": "/new/"}``. The account needs the role
        ``MPS_QcsRole``.
    :param extra_parameters: the API's ``ExtraParameters``: ``ResourceId``, such as that of a licensed song.
    :param additional_parameters: what the model itself takes: a dict, or a JSON object as a string, such as
        ``{"lyric": "..."}`` or ``{"is_instrumental": True}``.
    :param mps_operator: who calls (the API's ``Operator``), free text.
    """

    family = AIGC_AUDIO
    request = AUDIO_REQUEST
    template_fields: Sequence[str] = (*CreateTaskOperator.template_fields, *AUDIO_REQUEST.fields)
    operator_extra_links = (ListenLink(), WatchLink(), StoredInCosLink(), MpsConsoleLink())

    def __init__(
        self,
        *,
        model_name: str | XComArg | None = None,
        model_version: str | XComArg | None = None,
        scene_type: str | XComArg | None = None,
        prompt: str | XComArg | None = None,
        video_infos: Sequence[str | Mapping[str, Any] | XComArg] | str | XComArg | None = None,
        audio_infos: Sequence[str | Mapping[str, Any] | XComArg] | str | XComArg | None = None,
        output_audio_format: str | XComArg | None = None,
        store_cos_param: Mapping[str, Any] | str | XComArg | None = None,
        extra_parameters: Mapping[str, Any] | str | XComArg | None = None,
        additional_parameters: Mapping[str, Any] | str | XComArg | None = None,
        mps_operator: str | XComArg | None = None,
        **kwargs: Unpack[CreateArguments],
    ) -> None:
        super().__init__(**kwargs)
        self.model_name = model_name
        self.model_version = model_version
        self.scene_type = scene_type
        self.prompt = prompt
        self.video_infos = video_infos
        self.audio_infos = audio_infos
        self.output_audio_format = output_audio_format
        self.store_cos_param = cast("Mapping[str, Any] | None", store_cos_param)  # once it is rendered
        self.extra_parameters = extra_parameters
        self.additional_parameters = additional_parameters
        self.mps_operator = mps_operator


class CreateAigcVideoTaskOperator(CreateTaskOperator):
    """Asks MPS for AI-generated video (CreateAigcVideoTask). MPS bills the seconds that it made successfully.

    The fields are those of <https://www.tencentcloud.com/document/api/1041/76487>; all are templated.
    XComs, having waited: ``video_urls`` and ``result``, ``{"TaskId", "Status", "VideoUrls": [...], "Resolution"}``.
    Raises what ``CreateTaskOperator`` raises.

    :param model_name: such as ``Kling``, ``Hailuo`` or ``Vidu``; the service's list is an open one.
    :param model_version: such as ``"2.6"``, in quotes: it is text.
    :param scene_type: such as ``motion_control`` of Kling; few models have any.
    :param prompt: what to make, in 2,000 characters; needed where no reference file is given.
    :param negative_prompt: what to leave out; not all models heed it.
    :param enhance_prompt: whether the service may improve the prompt; False by default.
    :param image_url: the first frame: a URL that MPS can reach, or a file of the account in COS (``cos://bucket/key``
        or its URL without a signature, sent signed for an hour: needs the extra ``cos``).
    :param last_image_url: the last frame, likewise.
    :param image_infos: reference images, likewise, or the API's objects.
    :param video_infos: reference videos, likewise.
    :param audio_infos: reference audio, likewise.
    :param subject_infos: subjects that are to look and sound alike throughout, with the keys ``Id``, ``Name``,
        ``VoiceId``, ``ImageUrls`` and ``VideoUrls``, none of which the reference requires: ``[{"Id": "1", "Name":
        "fox", "ImageUrls": ["https://example.com/fox.png"]}]``.
    :param duration: seconds; the API reference lists those of each model.
    :param store_cos_param: where in a bucket of yours MPS stores the files; without it, MPS's own store keeps them for
        12 hours. ``CosBucketName`` and ``CosBucketRegion`` are required, ``CosBucketPath`` is not: ``{"CosBucketName":
        "results-1250000000", "CosBucketRegion": "ap-singapore", "CosBucketPath": "/new/"}``. The account needs the role
        ``MPS_QcsRole``.
    :param extra_parameters: the API's ``ExtraParameters``, such as ``{"AspectRatio": "9:16", "Resolution": "1080P"}``.
    :param additional_parameters: what the model itself takes: a dict, or a JSON object as a string, such as
        ``{"camera_control": {"type": "simple"}}``.
    :param mps_operator: who calls (the API's ``Operator``), free text.
    """

    family = AIGC_VIDEO
    request = VIDEO_REQUEST
    template_fields: Sequence[str] = (*CreateTaskOperator.template_fields, *VIDEO_REQUEST.fields)
    operator_extra_links = (WatchLink(), StoredInCosLink(), MpsConsoleLink())

    def __init__(
        self,
        *,
        model_name: str | XComArg | None = None,
        model_version: str | XComArg | None = None,
        scene_type: str | XComArg | None = None,
        prompt: str | XComArg | None = None,
        negative_prompt: str | XComArg | None = None,
        enhance_prompt: bool | str | XComArg | None = None,
        image_url: str | XComArg | None = None,
        last_image_url: str | XComArg | None = None,
        image_infos: Sequence[str | Mapping[str, Any] | XComArg] | str | XComArg | None = None,
        video_infos: Sequence[str | Mapping[str, Any] | XComArg] | str | XComArg | None = None,
        audio_infos: Sequence[str | Mapping[str, Any] | XComArg] | str | XComArg | None = None,
        subject_infos: Sequence[Mapping[str, Any] | XComArg] | str | XComArg | None = None,
        duration: int | str | XComArg | None = None,
        store_cos_param: Mapping[str, Any] | str | XComArg | None = None,
        extra_parameters: Mapping[str, Any] | str | XComArg | None = None,
        additional_parameters: Mapping[str, Any] | str | XComArg | None = None,
        mps_operator: str | XComArg | None = None,
        **kwargs: Unpack[CreateArguments],
    ) -> None:
        super().__init__(**kwargs)
        self.model_name = model_name
        self.model_version = model_version
        self.scene_type = scene_type
        self.prompt = prompt
        self.negative_prompt = negative_prompt
        self.enhance_prompt = enhance_prompt
        self.image_url = image_url
        self.last_image_url = last_image_url
        self.image_infos = image_infos
        self.video_infos = video_infos
        self.audio_infos = audio_infos
        self.subject_infos = subject_infos
        self.duration = duration
        self.store_cos_param = cast("Mapping[str, Any] | None", store_cos_param)  # once it is rendered
        self.extra_parameters = extra_parameters
        self.additional_parameters = additional_parameters
        self.mps_operator = mps_operator


class CreateAigcImageTaskOperator(CreateTaskOperator):
    """Asks MPS for AI-generated images (CreateAigcImageTask). MPS bills the images that it made successfully.

    The fields are those of <https://www.tencentcloud.com/document/api/1041/76488>; all are templated.
    XComs, having waited: ``image_urls`` and ``result``, ``{"TaskId", "Status", "ImageUrls": [...]}``.
    Raises what ``CreateTaskOperator`` raises.

    :param model_name: such as ``Hunyuan``, ``Qwen`` or ``Kling``; the service's list is an open one.
    :param model_version: such as ``"3.0"``, in quotes: it is text.
    :param scene_type: such as ``3d_panorama`` of Hunyuan; few models have any.
    :param prompt: what to make, in 1,000 characters; needed where no reference image is given.
    :param negative_prompt: what to leave out; not all models heed it.
    :param enhance_prompt: whether the service may improve the prompt; False by default.
    :param image_infos: reference images: URLs that MPS can reach, files of the account in COS (``cos://bucket/key`` or
        their URLs without a signature, sent signed for an hour: needs the extra ``cos``), or the API's objects.
    :param output_image_count: how many images; some models make the same number whatever it says.
    :param store_cos_param: where in a bucket of yours MPS stores the files; without it, MPS's own store keeps them for
        12 hours. ``CosBucketName`` and ``CosBucketRegion`` are required, ``CosBucketPath`` is not: ``{"CosBucketName":
        "results-1250000000", "CosBucketRegion": "ap-singapore", "CosBucketPath": "/new/"}``. The account needs the role
        ``MPS_QcsRole``.
    :param extra_parameters: the API's ``ExtraParameters``, such as ``{"AspectRatio": "9:16", "Resolution": "2K"}``.
    :param additional_parameters: what the model itself takes: a dict, or a JSON object as a string, such as
        ``{"size": "1024x1024"}``.
    :param mps_operator: who calls (the API's ``Operator``), free text.
    """

    family = AIGC_IMAGE
    request = IMAGE_REQUEST
    template_fields: Sequence[str] = (*CreateTaskOperator.template_fields, *IMAGE_REQUEST.fields)
    operator_extra_links = (ViewLink(), StoredInCosLink(), MpsConsoleLink())

    def __init__(
        self,
        *,
        model_name: str | XComArg | None = None,
        model_version: str | XComArg | None = None,
        scene_type: str | XComArg | None = None,
        prompt: str | XComArg | None = None,
        negative_prompt: str | XComArg | None = None,
        enhance_prompt: bool | str | XComArg | None = None,
        image_infos: Sequence[str | Mapping[str, Any] | XComArg] | str | XComArg | None = None,
        output_image_count: int | str | XComArg | None = None,
        store_cos_param: Mapping[str, Any] | str | XComArg | None = None,
        extra_parameters: Mapping[str, Any] | str | XComArg | None = None,
        additional_parameters: Mapping[str, Any] | str | XComArg | None = None,
        mps_operator: str | XComArg | None = None,
        **kwargs: Unpack[CreateArguments],
    ) -> None:
        super().__init__(**kwargs)
        self.model_name = model_name
        self.model_version = model_version
        self.scene_type = scene_type
        self.prompt = prompt
        self.negative_prompt = negative_prompt
        self.enhance_prompt = enhance_prompt
        self.image_infos = image_infos
        self.output_image_count = output_image_count
        self.store_cos_param = cast("Mapping[str, Any] | None", store_cos_param)  # once it is rendered
        self.extra_parameters = extra_parameters
        self.additional_parameters = additional_parameters
        self.mps_operator = mps_operator


class MediaInputOperator(CreateTaskOperator):
    """Creates a task that reads a file of the account in COS by MPS's own role. Base of the operators below."""

    operator_extra_links = (ListenLink(), WatchLink(), ViewLink(), StoredInCosLink(), MpsConsoleLink())
    input_url: Any
    output_cos: Any

    def _arguments(self) -> dict[str, Any]:
        arguments = super()._arguments()
        for name in ("input_url", "input_cos"):
            arguments[name] = self._with_region(name, arguments[name])
        # Beside another input it is an error, which the request's shape names.
        alone = not any(arguments.get(name) for name in ("input_info", "input_cos", "file_infos"))
        if alone and self._is_of_others(url := self.input_url):
            arguments |= {"input_url": None, "input_info": {"Type": "URL", "UrlInputInfo": {"Url": url}}}
        return arguments

    def _is_of_others(self, url: Any) -> bool:
        """Whether a URL leads into a bucket of another account than the output's, such as MPS's own store.

        The service role cannot read there, so it stays a URL. A bucket's name ends in its account's APPID.
        """
        output = self.output_cos.get("Bucket") if isinstance(self.output_cos, Mapping) else None
        found = CosObject.from_url(url) if isinstance(url, str) else None
        if found is None or not isinstance(output, str):
            return False
        return found.bucket.rpartition("-")[2] != output.rpartition("-")[2]

    def _with_region(self, argument: str, value: Any) -> Any:
        """For a ``cos://bucket/key`` the object's URL, which names the region too; anything else as it is."""
        if not isinstance(value, str) or not value.startswith("cos://"):
            return value
        file = CosObject.named_by(argument, value, self.hook.settings.cos_region)
        return file and file.url


class MediaTaskOperator(MediaInputOperator):
    """Creates a task that DescribeTaskDetail describes. Base of the two operators below.

    Their requests have a SessionId, made from the request and the task instance where none is given: after a lost
    answer they are sent again, and MPS makes no second task of that. A clear of the Airflow task makes a new one.
    Beside what ``CreateTaskOperator`` raises:

    :raises DuplicateSessionError: MPS has the task already, and which one it is could not be found out.
    :raises FirstTaskFailedError: MPS has the task of your own ``session_id`` already, and it has failed.
    """

    family = MEDIA


class ProcessMediaOperator(MediaTaskOperator):
    """Transcodes, enhances, reviews or analyses a file (ProcessMedia).

    The fields are those of <https://www.tencentcloud.com/document/product/1041/33640>, as the API's own
    objects; all are templated. XComs, having waited: ``cos_uris`` and ``result``, the ``WorkflowTask`` with its TaskId.
    Raises what ``MediaTaskOperator`` raises.

    :param input_info: the API's MediaInputInfo; or, instead of it, ``input_url`` or ``input_cos``.
    :param input_url: a URL that MPS can reach; or, as for ``input_cos``, what names a file of the account in COS.
    :param input_cos: ``cos://bucket/key``, the file's URL in COS without a signature, or
        ``{"Bucket", "Region", "Object"}``.
    :param output_storage: the API's TaskOutputStorage; or, instead of it, ``output_cos``. Needed where the input is a
        URL.
    :param output_cos: ``{"Bucket", "Region"}``.
    :param output_dir: the folder in it, such as ``/movies/``; the input's own folder by default.
    :param schedule_id: an orchestration made in the console.
    :param media_process_task: transcoding, snapshots and the like: lists under ``TranscodeTaskSet``,
        ``AnimatedGraphicTaskSet``, ``SnapshotByTimeOffsetTaskSet``, ``SampleSnapshotTaskSet``, ``ImageSpriteTaskSet``
        and ``AdaptiveDynamicStreamingTaskSet``, none of them required. Each entry needs the ``Definition`` of a
        template: ``{"TranscodeTaskSet": [{"Definition": 100010}]}``.
    :param ai_content_review_task: content review; needs the ``Definition`` of a template, as the next six do.
    :param ai_analysis_task: content analysis.
    :param ai_recognition_task: content recognition.
    :param ai_quality_control_task: quality control.
    :param smart_subtitles_task: subtitles.
    :param smart_erase_task: erasing of logos and subtitles.
    :param ai_dubbing_task: dubbing.
    :param activities: an orchestration given here; it counts before ``schedule_id``.
    :param mps_task_type: the API's ``TaskType``: ``Online`` (the default), or ``Offline``, done within three days.
    :param skip_mate_data: 1 to skip reading the file's metadata.
    :param task_notify_config: whom MPS notifies; none is required. ``NotifyType``: ``URL`` with ``NotifyUrl``, or
        ``TDMQ-CMQ`` (which no type means, too) with ``CmqModel``, ``CmqRegion`` and ``QueueName`` or ``TopicName``.
        ``NotifyMode``: ``Finish``, or ``Change`` for each change. ``NotifyKey`` signs what is sent. Such as
        ``{"NotifyType": "URL", "NotifyUrl": "https://hooks.example.com/mps"}``.
    :param tasks_priority: -10 to 10: of tasks that wait at MPS, the one with the higher number goes first; 0 by
        default.
    :param session_id: your own SessionId, 50 characters at most. MPS refuses a second request with the same one for
        three days, so neither a clear nor a new run makes a second task.
    :param session_context: what MPS passes through to the notification, 1,000 characters at most.
    :param resource_id: the resource to bill; the account's main one by default.
    """

    request = PROCESS_MEDIA_REQUEST
    template_fields: Sequence[str] = (*CreateTaskOperator.template_fields, *PROCESS_MEDIA_REQUEST.fields)

    def __init__(
        self,
        *,
        input_info: Mapping[str, Any] | str | XComArg | None = None,
        input_url: str | XComArg | None = None,
        input_cos: Mapping[str, Any] | str | XComArg | None = None,
        output_storage: Mapping[str, Any] | str | XComArg | None = None,
        output_cos: Mapping[str, Any] | str | XComArg | None = None,
        output_dir: str | XComArg | None = None,
        schedule_id: int | str | XComArg | None = None,
        media_process_task: Mapping[str, Any] | str | XComArg | None = None,
        ai_content_review_task: Mapping[str, Any] | str | XComArg | None = None,
        ai_analysis_task: Mapping[str, Any] | str | XComArg | None = None,
        ai_recognition_task: Mapping[str, Any] | str | XComArg | None = None,
        ai_quality_control_task: Mapping[str, Any] | str | XComArg | None = None,
        smart_subtitles_task: Mapping[str, Any] | str | XComArg | None = None,
        smart_erase_task: Mapping[str, Any] | str | XComArg | None = None,
        ai_dubbing_task: Mapping[str, Any] | str | XComArg | None = None,
        activities: Sequence[Mapping[str, Any] | XComArg] | str | XComArg | None = None,
        mps_task_type: str | XComArg | None = None,
        skip_mate_data: int | str | XComArg | None = None,
        task_notify_config: Mapping[str, Any] | str | XComArg | None = None,
        tasks_priority: int | str | XComArg | None = None,
        session_id: str | XComArg | None = None,
        session_context: str | XComArg | None = None,
        resource_id: str | XComArg | None = None,
        **kwargs: Unpack[CreateArguments],
    ) -> None:
        super().__init__(**kwargs)
        self.input_info = input_info
        self.input_url = input_url
        self.input_cos = input_cos
        self.output_storage = output_storage
        self.output_cos = output_cos
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
        self.activities = activities
        self.mps_task_type = mps_task_type
        self.skip_mate_data = skip_mate_data
        self.task_notify_config = task_notify_config
        self.tasks_priority = tasks_priority
        self.session_id = session_id
        self.session_context = session_context
        self.resource_id = resource_id


class EditMediaOperator(MediaTaskOperator):
    """Cuts, joins or composes files (EditMedia), such as a soundtrack under a video.

    The fields are those of <https://www.tencentcloud.com/document/api/1041/37460>, as the API's own objects;
    all are templated. XComs, having waited: ``cos_uris`` and ``result``, the ``EditMediaTask`` with its TaskId.
    ``api.compose.lay_soundtrack`` makes the arguments for a soundtrack under a video.
    Raises what ``MediaTaskOperator`` raises.

    :param file_infos: the inputs as the API's EditMediaFileInfo: ``InputInfo``, of a cut ``StartTimeOffset`` and
        ``EndTimeOffset`` in seconds, of a composition ``Id``; or, instead of them, ``input_url`` or ``input_cos``.
    :param input_url: a URL that MPS can reach; or, as for ``input_cos``, what names a file of the account in COS.
    :param input_cos: ``cos://bucket/key``, the file's URL in COS without a signature, or
        ``{"Bucket", "Region", "Object"}``.
    :param output_storage: the API's TaskOutputStorage; or, instead of it, ``output_cos``.
    :param output_cos: ``{"Bucket", "Region"}``.
    :param output_object_path: the path of the result in it, such as ``/films/cut.mp4``.
    :param output_config: how the result of a cut is packed: ``{"Container": "mp4"}``.
    :param compose_config: tracks, canvas and target of a composition; with it, the task is one.
    :param task_notify_config: whom MPS notifies; none is required. ``NotifyType``: ``URL`` with ``NotifyUrl``, or
        ``TDMQ-CMQ`` (which no type means, too) with ``CmqModel``, ``CmqRegion`` and ``QueueName`` or ``TopicName``.
        ``NotifyMode``: ``Finish``, or ``Change`` for each change. ``NotifyKey`` signs what is sent. Such as
        ``{"NotifyType": "URL", "NotifyUrl": "https://hooks.example.com/mps"}``.
    :param tasks_priority: -10 to 10: of tasks that wait at MPS, the one with the higher number goes first; 0 by
        default.
    :param session_id: your own SessionId, 50 characters at most. MPS refuses a second request with the same one for
        three days, so neither a clear nor a new run makes a second task.
    :param session_context: what MPS passes through to the notification, 1,000 characters at most.
    :param resource_id: the resource to bill; the account's main one by default.
    """

    request = EDIT_MEDIA_REQUEST
    template_fields: Sequence[str] = (*CreateTaskOperator.template_fields, *EDIT_MEDIA_REQUEST.fields)

    def __init__(
        self,
        *,
        file_infos: Sequence[Mapping[str, Any] | XComArg] | str | XComArg | None = None,
        input_url: str | XComArg | None = None,
        input_cos: Mapping[str, Any] | str | XComArg | None = None,
        output_storage: Mapping[str, Any] | str | XComArg | None = None,
        output_cos: Mapping[str, Any] | str | XComArg | None = None,
        output_object_path: str | XComArg | None = None,
        output_config: Mapping[str, Any] | str | XComArg | None = None,
        compose_config: Mapping[str, Any] | str | XComArg | None = None,
        task_notify_config: Mapping[str, Any] | str | XComArg | None = None,
        tasks_priority: int | str | XComArg | None = None,
        session_id: str | XComArg | None = None,
        session_context: str | XComArg | None = None,
        resource_id: str | XComArg | None = None,
        **kwargs: Unpack[CreateArguments],
    ) -> None:
        super().__init__(**kwargs)
        self.file_infos = file_infos
        self.input_url = input_url
        self.input_cos = input_cos
        self.output_storage = output_storage
        self.output_cos = output_cos
        self.output_object_path = output_object_path
        self.output_config = output_config
        self.compose_config = compose_config
        self.task_notify_config = task_notify_config
        self.tasks_priority = tasks_priority
        self.session_id = session_id
        self.session_context = session_context
        self.resource_id = resource_id

    def _arguments(self) -> dict[str, Any]:
        arguments = super()._arguments()
        if input_info := arguments.pop("input_info", None):
            arguments["file_infos"] = [{"InputInfo": input_info}]
        if self.file_infos:
            files = media_files("file_infos", as_json("file_infos", self.file_infos))
            arguments["file_infos"] = [self._with_cos_input(file) for file in files]
        return arguments

    def _with_cos_input(self, file: dict[str, Any]) -> dict[str, Any]:
        """An EditMediaFileInfo whose URL, if it leads to COS, is named as MPS wants it."""
        url = str(((file.get("InputInfo") or {}).get("UrlInputInfo") or {}).get("Url") or "")
        found = CosObject.named_by("file_infos", self._with_region("file_infos", url), "")
        return file | {"InputInfo": found.input_info} if found and not self._is_of_others(url) else file


class ProcessImageOperator(MediaInputOperator):
    """Enhances, erases, converts, composes or describes a picture (ProcessImage).

    The fields are those of the API, as its own objects; all are templated. XComs, having waited: ``cos_uris``, or
    ``image_urls`` where MPS gives signed URLs only, and ``result``: the TaskId, and ``ImageProcessTaskResultSet``,
    whose ``Output`` has a ``Content`` where a picture was described. It has no SessionId, so that nothing is sent
    again in doubt. Raises what ``CreateTaskOperator`` raises.

    :param input_info: the API's MediaInputInfo; or, instead of it, ``input_url`` or ``input_cos``.
    :param input_url: a URL that MPS can reach; or, as for ``input_cos``, what names a file of the account in COS.
    :param input_cos: ``cos://bucket/key``, the file's URL in COS without a signature, or
        ``{"Bucket", "Region", "Object"}``.
    :param output_storage: the API's TaskOutputStorage; or, instead of it, ``output_cos``. The input's own by default.
    :param output_cos: ``{"Bucket", "Region"}``.
    :param output_dir: the folder in it, such as ``/pictures/``.
    :param output_path: the path of the result in it, such as ``/pictures/{inputName}.{format}``.
    :param definition: a template for pictures; or, instead of it, ``image_task``.
    :param image_task: what to do, none of it required: ``EncodeConfig``, ``EnhanceConfig``, ``EraseConfig``,
        ``TransformConfig`` and the like: ``{"EncodeConfig": {"Format": "jpeg", "Quality": 75}}``.
    :param schedule_id: an orchestration made in the console.
    :param add_on_parameter: further pictures and prompts: ``ImageSet``, ``ExtPrompt`` and ``OutputConfig``.
    :param std_ext_info: a dict, or a JSON object as a string.
    :param resource_id: the resource to bill; the account's main one by default.
    """

    family = PICTURES
    request = PROCESS_IMAGE_REQUEST
    template_fields: Sequence[str] = (*CreateTaskOperator.template_fields, *PROCESS_IMAGE_REQUEST.fields)

    def __init__(
        self,
        *,
        input_info: Mapping[str, Any] | str | XComArg | None = None,
        input_url: str | XComArg | None = None,
        input_cos: Mapping[str, Any] | str | XComArg | None = None,
        output_storage: Mapping[str, Any] | str | XComArg | None = None,
        output_cos: Mapping[str, Any] | str | XComArg | None = None,
        output_dir: str | XComArg | None = None,
        output_path: str | XComArg | None = None,
        definition: int | str | XComArg | None = None,
        image_task: Mapping[str, Any] | str | XComArg | None = None,
        schedule_id: int | str | XComArg | None = None,
        add_on_parameter: Mapping[str, Any] | str | XComArg | None = None,
        std_ext_info: Mapping[str, Any] | str | XComArg | None = None,
        resource_id: str | XComArg | None = None,
        **kwargs: Unpack[CreateArguments],
    ) -> None:
        super().__init__(**kwargs)
        self.input_info = input_info
        self.input_url = input_url
        self.input_cos = input_cos
        self.output_storage = output_storage
        self.output_cos = output_cos
        self.output_dir = output_dir
        self.output_path = output_path
        self.definition = definition
        self.image_task = image_task
        self.schedule_id = schedule_id
        self.add_on_parameter = add_on_parameter
        self.std_ext_info = std_ext_info
        self.resource_id = resource_id


class TextToSpeechAsyncOperator(CreateTaskOperator):
    """Has a text spoken (TextToSpeechAsync), such as a voice-over.

    The fields are those of the API; all are templated. XComs, having waited: ``audio_urls`` and ``result``,
    ``{"TaskId", "Status", "AudioUrl", "VoiceId"}``. Raises what ``CreateTaskOperator`` raises.

    :param text: what is to be said.
    :param voice_id: whose voice: one of MPS's, or the ``VoiceId`` that DesignVoiceAsync or CloneVoice has made.
    :param text_lang: the text's language, such as ``zh``; MPS finds out by itself where it is not given.
    :param ext_param: a dict, or a JSON object as a string: ``synExt`` has ``duration`` (seconds), ``sampleRate`` and
        ``pitch`` (-12 to 12); ``transExt`` has the text translated first: ``{"synExt": {"duration": 5.2}}``.
    """

    family = TEXT_TO_SPEECH
    request = TEXT_TO_SPEECH_REQUEST
    template_fields: Sequence[str] = (*CreateTaskOperator.template_fields, *TEXT_TO_SPEECH_REQUEST.fields)
    operator_extra_links = (ListenLink(), StoredInCosLink(), MpsConsoleLink())

    def __init__(
        self,
        *,
        text: str | XComArg | None = None,
        voice_id: str | XComArg | None = None,
        text_lang: str | XComArg | None = None,
        ext_param: Mapping[str, Any] | str | XComArg | None = None,
        **kwargs: Unpack[CreateArguments],
    ) -> None:
        super().__init__(**kwargs)
        self.text = text
        self.voice_id = voice_id
        self.text_lang = text_lang
        self.ext_param = ext_param


class DesignVoiceAsyncOperator(CreateTaskOperator):
    """Makes a voice from a description (DesignVoiceAsync).

    The fields are those of the API; all are templated. XComs, having waited: ``result``, ``{"TaskId", "Status",
    "VoiceId", "AudioUrl"}``, and ``audio_urls`` where ``text`` was given. Raises what ``CreateTaskOperator`` raises.

    :param prompt: what the voice is like.
    :param voice_profile: its ``Name``, ``Description``, ``Gender``, ``Age``, ``Languages``, ``Labels`` and ``Scenes``,
        none of them required: ``{"Name": "narrator", "Gender": "female"}``.
    :param text: what the voice says in a file to hear it by, in 500 characters at most.
    :param ext_param: a dict, or a JSON object as a string.
    """

    family = DESIGN_VOICE
    request = DESIGN_VOICE_REQUEST
    template_fields: Sequence[str] = (*CreateTaskOperator.template_fields, *DESIGN_VOICE_REQUEST.fields)
    operator_extra_links = (ListenLink(), StoredInCosLink(), MpsConsoleLink())

    def __init__(
        self,
        *,
        prompt: str | XComArg | None = None,
        voice_profile: Mapping[str, Any] | str | XComArg | None = None,
        text: str | XComArg | None = None,
        ext_param: Mapping[str, Any] | str | XComArg | None = None,
        **kwargs: Unpack[CreateArguments],
    ) -> None:
        super().__init__(**kwargs)
        self.prompt = prompt
        self.voice_profile = voice_profile
        self.text = text
        self.ext_param = ext_param


class MpsTaskOperator(CreateTaskOperator):
    """Creates a task by any action of MPS and, if wanted, waits for it, by a family of your own: for whatever has no
    operator here yet (docs/operators.md has one in fifteen lines).

    Paying once, the line for room, waiting, XComs and links are those of the other operators. XComs, having waited:
    ``result``, and the URLs of each kind in the family's ``outputs``, such as ``poster_urls``. Raises what
    ``CreateTaskOperator`` raises.

    :param family: whose task it is: ``module:NAME`` of a TaskFamily that workers and triggerers can import (from an
        installed package or Airflow's plugins folder, not from the DAG file), that TaskFamily itself, or a kind of this
        package's.
    :param action: the action that creates it, as the API writes it.
    :param mps_params: its fields as the API writes them; templated. ``cos://bucket/key`` as a reference is signed.
    """

    template_fields = (*CreateTaskOperator.template_fields, "mps_params")
    template_fields_renderers: ClassVar[dict[str, str]] = {"mps_params": "json"}
    operator_extra_links = (ListenLink(), WatchLink(), ViewLink(), StoredInCosLink(), MpsConsoleLink())

    def __init__(
        self,
        *,
        family: str | TaskFamily,
        action: str,
        mps_params: Mapping[str, Any] | XComArg,
        **kwargs: Unpack[CreateArguments],
    ) -> None:
        super().__init__(**kwargs)
        self.mps_params = mps_params
        with airflow_errors():
            self.family = own_family(family)
            checked_call(action, {})
        self.request = AnyRequest(action)


class MpsApiOperator(BaseOperator):
    """Calls any action of MPS that has no operator of its own.

    What changes something (all but Describe..., List..., Get..., Query...) is never sent again in doubt: not after a
    lost answer, and, on Airflow 3.3 and later or with the connection's ``memory``, not after a lost worker either.

    Returns the ``Response`` object: a dict with the fields of the action's answer, ``RequestId`` among them. Of voices
    that MPS makes at once (TextToSpeech, SyncDubbing, CloneVoice, ChangeVoice) it holds the sound, as base64 in
    ``AudioData``: ``save_audio`` keeps that out of the XCom. An ``ErrorCode`` in the answer is an error.

    :param action: the action as the API writes it, such as ``DescribeTranscodeTemplates``; the reference lists them,
        <https://www.tencentcloud.com/document/product/1041>.
    :param mps_params: its fields as the API writes them (``params`` are Airflow's own). They are sent as they are, and
        MPS refuses the text ``"5"`` where it wants a number: where a template is to give one, set
        ``render_template_as_native_obj=True`` on the DAG, or write ``op.output`` instead of the template.
    :param save_audio: a folder, where Airflow's object storage reaches, for the sound of an answer: the answer then has
        the file's URI as ``AudioFile``, and no ``AudioData``; templated. Where the file cannot be written, a retry
        writes it; without a memory of any kind (before Airflow 3.3) the answer keeps its ``AudioData``.
    :param mps_conn_id: the Airflow connection.
    :raises InvalidArgumentError: an argument cannot be sent; nothing was.
    :raises InvalidConnectionError: the connection cannot be used; nothing was sent.
    :raises ApiError: MPS refused the call. Airflow does not retry what would be refused again.
    :raises AmbiguousCreateError: no read: it was sent, in this try or an earlier one, and may have run and be billed.
        Airflow does not retry it.
    :raises CallError: a read had no answer, or what changes something certainly did not run.
    """

    template_fields: Sequence[str] = ("action", "mps_params", "mps_conn_id", "save_audio")
    template_fields_renderers: ClassVar[dict[str, str]] = {"mps_params": "json"}
    ui_color = "#d9ecff"

    def __init__(
        self,
        *,
        action: str | XComArg,
        mps_params: Mapping[str, Any] | XComArg | None = None,
        mps_conn_id: str | XComArg = MpsHook.default_conn_name,
        save_audio: str | ObjectStoragePath | XComArg | None = None,
        **kwargs: Unpack[AirflowArguments],
    ) -> None:
        super().__init__(**kwargs)
        self.action = action
        self.mps_params = mps_params
        self.mps_conn_id = cast("str", mps_conn_id)  # once it is rendered
        self.save_audio = save_audio
        self._memory: Memory | None = None
        self._killed = False

    def execute(self, context: Context) -> dict[str, Any]:
        """Call the action, or return what an earlier try was answered."""
        render_label_from(self, context)
        with reported_errors(self):
            hook, this = MpsHook(self.mps_conn_id), ThisTry.of(context, self)
            if isinstance(self.action, str) and not is_read(self.action):
                arrive(lambda: place_of(context, this, hook.settings.memory, self.log))
            action, params = checked_call(self.action, self.mps_params or {}, "mps_params")
            conn_id, folder = checked_id(self.mps_conn_id), None
            if self.save_audio is not None:
                folder = folder_named("save_audio", self.save_audio, conn_id)
                made_ready(folder)
            if is_read(action):
                return hook.call(action, params)
            place = place_of(context, this, hook.settings.memory, self.log)
            say_if_nowhere(place, this, self.log)
            memory = self._memory = Memory(place, digest(action, params), this, hook.settings.account, self.log)
            if self._killed:
                memory.ended = True
            memory.recall()
            match memory.decide(Request()):
                case Return(response=dict() as response):
                    return self._kept(folder, response, memory)
                case Create():
                    check_label(self, context)
                    return self._kept(folder, hook.call_once(action, params, memory), memory)
                case _:
                    raise memory.doubt(action, params)

    def _kept(self, folder: ObjectStoragePath | None, response: dict[str, Any], memory: Memory) -> dict[str, Any]:
        """The answer, which is remembered; its sound in a file, if that is wanted, and then no longer remembered."""
        try:
            kept = saved(folder, response) if folder else response
        except DownloadError as error:
            if memory.lasts:
                raise
            self.log.error("%s. Nothing remembers the answer here, so the sound is in this task's XCom.", error.what)
            return response
        if kept is not response:
            memory.answered(kept)
        return kept

    def on_kill(self) -> None:
        """Send nothing any more, and say it where the call may have run."""
        self._killed = not isinstance(sys.exception(), AirflowTaskTimeout)  # at which Airflow calls this, too
        if self._memory:
            self._memory.ended = self._killed
            self._memory.say_if_in_doubt(str(self.action))
