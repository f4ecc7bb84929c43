"""What each create action takes: from the operators' and the hook's argument to the API's field.

Types and meanings of the arguments stand in ``operators/mps.py``, in the ``__init__`` of the action's operator.
"""

from typing import Any

from airflow_provider_mps.api.request.convert import (
    api_object,
    api_objects,
    boolean,
    integer,
    json_text,
    media_files,
    media_from_cos,
    media_from_url,
    one_file,
    prompt,
    reference,
    reference_list,
    storage_in_cos,
    text,
)
from airflow_provider_mps.api.request.shape import Field, RequestShape
from airflow_provider_mps.api.tasks import AIGC_AUDIO, AIGC_IMAGE, AIGC_VIDEO

_AIGC = {
    "model_name": Field("ModelName", text),
    "model_version": Field("ModelVersion", text),
    "scene_type": Field("SceneType", text),
    "extra_parameters": Field("ExtraParameters", api_object()),
    "store_cos_param": Field("StoreCosParam", api_object("CosBucketName", "CosBucketRegion")),
    "additional_parameters": Field("AdditionalParameters", json_text),
    "mps_operator": Field("Operator", text),
}

_MEDIA = {
    "output_storage": Field("OutputStorage", api_object("Type")),
    "output_cos": Field("OutputStorage", storage_in_cos),
    "task_notify_config": Field("TaskNotifyConfig", api_object()),
    "tasks_priority": Field("TasksPriority", integer),
    "session_id": Field("SessionId", text),
    "session_context": Field("SessionContext", text),
    "resource_id": Field("ResourceId", text),
}


def _format_as_extra(params: dict[str, Any]) -> dict[str, Any] | None:
    """OutputAudioFormat is at the top level in the reference, and inside ExtraParameters in the SDK's model."""
    if "OutputAudioFormat" not in params:
        return None
    rest = {name: value for name, value in params.items() if name != "OutputAudioFormat"}
    extra = {"OutputAudioFormat": params["OutputAudioFormat"], **rest.get("ExtraParameters", {})}
    return rest | {"ExtraParameters": extra}


AUDIO_REQUEST = RequestShape(
    "CreateAigcAudioTask",
    {
        **_AIGC,
        "prompt": Field("Prompt", prompt),
        "video_infos": Field("VideoInfos", reference_list("VideoUrl")),
        "audio_infos": Field("AudioInfos", reference_list("AudioUrl")),
        "output_audio_format": Field("OutputAudioFormat", text),
    },
    needs_one_of=("prompt", "video_infos", "audio_infos", "additional_parameters"),
    other_spelling=_format_as_extra,
)

VIDEO_REQUEST = RequestShape(
    "CreateAigcVideoTask",
    {
        **_AIGC,
        "prompt": Field("Prompt", text),
        "negative_prompt": Field("NegativePrompt", text),
        "enhance_prompt": Field("EnhancePrompt", boolean),
        "image_url": Field("ImageUrl", reference),
        "last_image_url": Field("LastImageUrl", reference),
        "image_infos": Field("ImageInfos", reference_list("ImageUrl")),
        "video_infos": Field("VideoInfos", reference_list("VideoUrl")),
        "audio_infos": Field("AudioInfos", reference_list("AudioUrl")),
        "subject_infos": Field("SubjectInfos", api_objects),
        "duration": Field("Duration", integer),
    },
    needs_one_of=(
        "prompt",
        "image_url",
        "last_image_url",
        "image_infos",
        "video_infos",
        "audio_infos",
        "subject_infos",
        "additional_parameters",
    ),
)

IMAGE_REQUEST = RequestShape(
    "CreateAigcImageTask",
    {
        **_AIGC,
        "prompt": Field("Prompt", text),
        "negative_prompt": Field("NegativePrompt", text),
        "enhance_prompt": Field("EnhancePrompt", boolean),
        "image_infos": Field("ImageInfos", reference_list("ImageUrl")),
        "output_image_count": Field("OutputImageCount", integer),
    },
    needs_one_of=("prompt", "image_infos", "additional_parameters"),
)

PROCESS_MEDIA_REQUEST = RequestShape(
    "ProcessMedia",
    {
        **_MEDIA,
        "input_info": Field("InputInfo", api_object("Type")),
        "input_url": Field("InputInfo", media_from_url),
        "input_cos": Field("InputInfo", media_from_cos),
        "output_dir": Field("OutputDir", text),
        "schedule_id": Field("ScheduleId", integer),
        "media_process_task": Field("MediaProcessTask", api_object()),
        "ai_content_review_task": Field("AiContentReviewTask", api_object()),
        "ai_analysis_task": Field("AiAnalysisTask", api_object()),
        "ai_recognition_task": Field("AiRecognitionTask", api_object()),
        "ai_quality_control_task": Field("AiQualityControlTask", api_object()),
        "smart_subtitles_task": Field("SmartSubtitlesTask", api_object()),
        "smart_erase_task": Field("SmartEraseTask", api_object()),
        "ai_dubbing_task": Field("AIDubbingTask", api_object()),
        "mps_task_type": Field("TaskType", text),
        "activities": Field("Activities", api_objects),
        "skip_mate_data": Field("SkipMateData", integer),
    },
    needs_one_of=("input_info", "input_url", "input_cos"),
)

EDIT_MEDIA_REQUEST = RequestShape(
    "EditMedia",
    {
        **_MEDIA,
        "file_infos": Field("FileInfos", media_files),
        "input_url": Field("FileInfos", one_file(media_from_url)),
        "input_cos": Field("FileInfos", one_file(media_from_cos)),
        "output_object_path": Field("OutputObjectPath", text),
        "output_config": Field("OutputConfig", api_object()),
        "compose_config": Field("ComposeConfig", api_object()),
    },
    needs_one_of=("file_infos", "input_url", "input_cos"),
)

_EXT = {"ext_param": Field("ExtParam", json_text)}

TEXT_TO_SPEECH_REQUEST = RequestShape(
    "TextToSpeechAsync",
    {"text": Field("Text", text), "voice_id": Field("VoiceId", text), "text_lang": Field("TextLang", text), **_EXT},
    needs=("text", "voice_id"),
)

DESIGN_VOICE_REQUEST = RequestShape(
    "DesignVoiceAsync",
    {
        "prompt": Field("Prompt", text),
        "voice_profile": Field("VoiceProfile", api_object()),
        "text": Field("Text", text),
        **_EXT,
    },
    needs=("prompt",),
)

PROCESS_IMAGE_REQUEST = RequestShape(
    "ProcessImage",
    {
        "input_info": Field("InputInfo", api_object("Type")),
        "input_url": Field("InputInfo", media_from_url),
        "input_cos": Field("InputInfo", media_from_cos),
        "output_storage": Field("OutputStorage", api_object("Type")),
        "output_cos": Field("OutputStorage", storage_in_cos),
        "output_dir": Field("OutputDir", text),
        "output_path": Field("OutputPath", text),
        "definition": Field("Definition", integer),
        "image_task": Field("ImageTask", api_object()),
        "schedule_id": Field("ScheduleId", integer),
        "add_on_parameter": Field("AddOnParameter", api_object()),
        "std_ext_info": Field("StdExtInfo", json_text),
        "resource_id": Field("ResourceId", text),
    },
    needs_one_of=("input_info", "input_url", "input_cos", "image_task", "schedule_id"),
)

AIGC_REQUESTS = {AIGC_AUDIO.kind: AUDIO_REQUEST, AIGC_VIDEO.kind: VIDEO_REQUEST, AIGC_IMAGE.kind: IMAGE_REQUEST}
"""The create of each kind of AI task; media tasks have two."""
