"""From Python arguments to the fields of a request, checked before anything is sent."""

import json
import math
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from functools import cached_property, partial
from typing import Annotated, Any, Generic, TypeAlias, TypedDict, TypeVar, get_type_hints

from airflow_provider_mps.api.cos import CosObject
from airflow_provider_mps.api.errors import InvalidArgumentError, shown
from airflow_provider_mps.api.settings import url_parts

PROMPT_LIMIT = 2000
"""Characters of a prompt (API reference, CreateAigcAudioTask; for video and images it gives none: ``models.py``)."""
LONGEST_SECONDS = 10 * 366 * 86400
"""Ten years: Python's dates, and so Airflow's, cannot hold much longer times from now on."""
_DEEPEST = 64
"""Levels of nesting; no request of the API has half as many."""
_REFERENCES = ("ImageUrl", "LastImageUrl", "VideoUrl", "AudioUrl", "ImageUrls", "VideoUrls")
"""The fields that hold files to start from, at any depth of a request (SDK, CreateAigc...TaskRequest)."""


@dataclass(frozen=True)
class Field:
    """One field of a request: its name as the API writes it, and how an argument becomes its value."""

    name: str
    convert: Callable[[str, Any], Any]


@dataclass(frozen=True)
class RequestShape:
    """The request of one create action.

    :param action: the API's action.
    :param arguments: a TypedDict whose annotations name each argument's field.
    :param needs_one_of: arguments of which at least one must be given: what to generate from.
    :param other_spelling: the same request as some servers want it, for one that answers UnknownParameter; else None.
    """

    action: str
    arguments: type
    needs_one_of: tuple[str, ...] = ()
    other_spelling: Callable[[dict[str, Any]], dict[str, Any] | None] = lambda params: None

    @cached_property
    def fields(self) -> Mapping[str, Field]:
        """From the argument's name to its field."""
        hints = get_type_hints(self.arguments, include_extras=True)
        return {name: hint.__metadata__[0] for name, hint in hints.items()}

    @property
    def repeatable(self) -> bool:
        """Whether the request may be sent again in doubt: its SessionId makes a repeat an error, not a second task."""
        return any(field.name == "SessionId" for field in self.fields.values())

    @property
    def texts(self) -> frozenset[str]:
        """The arguments that are text, whatever it looks like."""
        return frozenset(name for name, field in self.fields.items() if field.convert in (text, prompt, json_text))

    def model_of(self, params: Mapping[str, Any]) -> str:
        """Whose room a request takes: its model's name, which the reference spells in two ways; else the action's."""
        name = str(params.get("ModelName") or self.action)
        return "MiniMaxMusic" if name == "MinimaxMusic" else name

    def build(self, arguments: Mapping[str, Any]) -> dict[str, Any]:
        """The request's fields from an operator's arguments; None, empty ones and blank texts are left out.

        :raises InvalidArgumentError: names the argument that cannot be sent.
        """
        for argument in arguments:
            if argument not in self.fields:
                raise InvalidArgumentError(argument, f"is not an argument of {self.action}")
        plainly = {argument: plain(argument, value) for argument, value in arguments.items()}
        blank = {name for name in self.texts if isinstance(plainly.get(name), str) and not plainly[name].strip()}
        given = {name: value for name, value in plainly.items() if not is_empty(value) and name not in blank}
        params: dict[str, Any] = {}
        for argument, field in self.fields.items():
            if argument not in given:
                continue
            if field.name in params:
                others = (name for name in given if name != argument and self.fields[name].name == field.name)
                raise InvalidArgumentError(argument, f"cannot be given beside {next(others)}: both are {field.name}")
            params[field.name] = field.convert(argument, given[argument])
        if self.needs_one_of and given.keys().isdisjoint(self.needs_one_of):
            raise InvalidArgumentError(
                " / ".join(self.needs_one_of),
                f"{self.action} has nothing to generate from: give at least one",
            )
        return params

    def with_references(self, params: dict[str, Any], change: Callable[[str, str], str]) -> dict[str, Any]:
        """The same request with each reference, a file to start from, changed.

        :param change: makes of the name of its argument and of its URL another URL.
        """
        arguments = {field.name: argument for argument, field in self.fields.items()}
        return {
            name: _changed(name, value, partial(change, arguments.get(name, name))) for name, value in params.items()
        }


def _changed(key: str, value: Any, change: Callable[[str], str]) -> Any:
    if isinstance(value, Mapping):
        return {name: _changed(name, item, change) for name, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_changed(key, item, change) for item in value]
    return change(value) if key in _REFERENCES and isinstance(value, str) else value


def is_empty(value: Any) -> bool:
    """Whether an argument counts as not given: None, or an empty text, list or dict."""
    return value is None or (isinstance(value, (str, list, dict)) and not value)


def plain(argument: str, value: Any, path: tuple[str, ...] = ()) -> Any:
    """A value as JSON has it: dicts with texts as keys, lists, texts, numbers, booleans, None.

    :param path: where in the argument it was found.
    :raises InvalidArgumentError: it cannot be written as JSON, or something in it cannot.
    """
    at = f" (at {'.'.join(path)[:200]})" if path else ""
    if len(path) > _DEEPEST:
        raise InvalidArgumentError(argument, f"is nested more than {_DEEPEST} levels deep")
    if isinstance(value, Mapping):
        for key in value:
            if not isinstance(key, str):
                raise InvalidArgumentError(argument, f"has a key that must be a string, not {shown(key)}{at}")
        return {plain(argument, key, path): plain(argument, value[key], (*path, key[:40])) for key in value}
    if isinstance(value, Sequence) and not isinstance(value, (str, bytes, bytearray, memoryview, range)):
        return [plain(argument, item, (*path, str(number))) for number, item in enumerate(value)]
    if isinstance(value, str):
        try:
            value.encode()
        except UnicodeEncodeError:
            raise InvalidArgumentError(argument, f"holds half of a surrogate pair, which is not text{at}") from None
    elif isinstance(value, int):
        if not -(2**63) <= value < 2**64:
            raise InvalidArgumentError(argument, f"holds a whole number of more than 64 bits{at}")
    elif isinstance(value, float):
        if not math.isfinite(value):
            raise InvalidArgumentError(argument, f"holds {value!r}, which JSON cannot write{at}")
    elif value is not None:
        raise InvalidArgumentError(argument, f"holds {shown(value)}, which JSON cannot write{at}")
    return value


def checked_call(action: Any, params: Any, argument: str = "params") -> tuple[str, dict[str, Any]]:
    """An action of the API that has no shape here, and its fields, as they can be sent.

    :param argument: how the caller names the fields.
    :raises InvalidArgumentError: one of them cannot be sent.
    """
    if not isinstance(action, str) or not re.fullmatch("[A-Za-z][A-Za-z0-9]{0,99}", action):
        raise InvalidArgumentError(
            "action", f"must be the name of an action, in letters and digits, not {shown(action)}"
        )
    return action, api_object()(argument, plain(argument, params))


def task_id(argument: str, value: Any) -> str:
    """A TaskId, such as the output of a create operator.

    :raises InvalidArgumentError: it is none.
    """
    if not isinstance(value, str) or value == "None" or not re.fullmatch(r"[\w.-]{1,200}", value, re.ASCII):
        hint = _rendered_to_text(value) or ": did the task before return one?"
        raise InvalidArgumentError(argument, f"must be a TaskId, not {shown(value)}{hint}")
    return value


def seconds(argument: str, value: float | timedelta) -> float:
    """An argument in seconds, from a number or a timedelta.

    :raises InvalidArgumentError: it is neither, or not more than 0, or longer than ten years.
    """
    total = value.total_seconds() if isinstance(value, timedelta) else value
    if isinstance(total, bool) or not isinstance(total, (int, float)) or not 0 < total <= LONGEST_SECONDS:
        raise InvalidArgumentError(
            argument, f"must be seconds or a timedelta, more than 0 and at most ten years, not {shown(value)}"
        )
    return float(total)


def flag(argument: str, value: Any) -> bool:
    """True or False themselves: Python takes any text for true, "false" too.

    :raises InvalidArgumentError: it is something else.
    """
    if not isinstance(value, bool):
        raise InvalidArgumentError(argument, f"must be True or False, not {shown(value)}")
    return value


def count(argument: str, value: Any) -> int:
    """How many: 1 or more.

    :raises InvalidArgumentError: it is something else.
    """
    if isinstance(value, bool) or not isinstance(value, int) or not 1 <= value <= 10**9:
        raise InvalidArgumentError(argument, f"must be a whole number from 1 to 1,000,000,000, not {shown(value)}")
    return value


def text(argument: str, value: Any) -> str:
    """A string; a number, which templates make of "2.0", becomes the string again."""
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        return str(value)
    if not isinstance(value, str):
        raise InvalidArgumentError(argument, f"must be a string, not {shown(value)}")
    if value.strip() == "None":
        raise InvalidArgumentError(
            argument,
            "reads 'None', which templates make of a value that is None: with render_template_as_native_obj=True it "
            "counts as not given",
        )
    return value


def prompt(argument: str, value: Any) -> str:
    written = text(argument, value)
    if len(written) > PROMPT_LIMIT:
        raise InvalidArgumentError(argument, f"has {len(written):,} characters, and MPS takes {PROMPT_LIMIT:,} at most")
    return written


def url(argument: str, value: Any) -> str:
    """A URL with a host; MPS itself fetches it, so it must be reachable from the internet."""
    if not is_url(value):
        raise InvalidArgumentError(argument, f"must hold http(s) URLs, not {shown(value)}{_rendered_to_text(value)}")
    return str(value)


def is_url(value: Any) -> bool:
    """Whether this is an http(s) URL that names a host."""
    parts = url_parts(value) if isinstance(value, str) and value.isprintable() else None
    return parts is not None and parts.scheme in ("http", "https")


def _rendered_to_text(value: Any) -> str:
    """What to do where a template seems to have made a text of a list or a dict."""
    if isinstance(value, str) and value.lstrip().startswith(("[", "{")):
        return ": it looks rendered to text; pass op.output[...] itself, or set render_template_as_native_obj=True"
    return ""


def reference(argument: str, value: Any) -> str:
    """A file to start from: a URL, or a ``cos://bucket/key``, which is sent as a signed URL."""
    if isinstance(value, str) and value.startswith("cos://"):
        CosObject.from_uri(argument, value, "")
        return value
    return url(argument, value)


def boolean(argument: str, value: Any) -> bool:
    """A truth value; a template's "true" counts."""
    if isinstance(value, str) and value.lower() in ("true", "false"):
        return value.lower() == "true"
    if isinstance(value, bool):
        return value
    raise InvalidArgumentError(argument, f"must be true or false, not {shown(value)}")


def integer(argument: str, value: Any) -> int:
    """A whole number; a template's "5" counts."""
    if isinstance(value, str) and re.fullmatch(r"\s*-?\d{1,19}\s*", value, re.ASCII):
        return int(value)
    if isinstance(value, (int, float)) and not isinstance(value, bool) and value == math.floor(value):
        return int(value)
    raise InvalidArgumentError(argument, f"must be a whole number, not {shown(value)}")


def references(key: str) -> Callable[[str, Any], list[dict[str, Any]]]:
    """A list of files to start from, as :func:`reference`, or the API's own objects with one under ``key``."""

    def convert(argument: str, value: Any) -> list[dict[str, Any]]:
        items = value if isinstance(value, (list, tuple)) else [value]
        objects = [dict(item) if isinstance(item, Mapping) else {key: item} for item in items]
        for item in objects:
            reference(argument, item.get(key))
        return objects

    return convert


def api_object(*required: str) -> Callable[[str, Any], dict[str, Any]]:
    """An object of the API as it is, with the keys that the reference requires."""

    def convert(argument: str, value: Any) -> dict[str, Any]:
        if not isinstance(value, Mapping):
            raise InvalidArgumentError(argument, f"must be a dict, not {shown(value)}{_rendered_to_text(value)}")
        for key in required:
            if is_empty(value.get(key)):
                raise InvalidArgumentError(argument, f"lacks {key}")
            if isinstance(value[key], str):
                text(f"{argument}.{key}", value[key])
        return dict(value)

    return convert


def api_objects(argument: str, value: Any) -> list[dict[str, Any]]:
    """A list of objects of the API as they are."""
    convert = api_object()
    return [convert(argument, item) for item in (value if isinstance(value, (list, tuple)) else [value])]


def media_files(argument: str, value: Any) -> list[dict[str, Any]]:
    """EditMediaFileInfos as they are, so far that their MediaInputInfos can be read."""
    files = api_objects(argument, value)
    for number, file in enumerate(files):
        info = api_object()(f"{argument}.{number}.InputInfo", file.get("InputInfo"))
        api_object()(f"{argument}.{number}.InputInfo.UrlInputInfo", info.get("UrlInputInfo") or {})
    return files


def media_from_url(argument: str, value: Any) -> dict[str, Any]:
    """A MediaInputInfo for a URL; one of COS without a signature names an object, which MPS reads by its own role."""
    checked = url(argument, value)
    found = CosObject.named_by(argument, checked, "")
    return found.input_info if found else {"Type": "URL", "UrlInputInfo": {"Url": checked}}


def media_from_cos(argument: str, value: Any) -> dict[str, Any]:
    """A MediaInputInfo for an object in COS: its URL without a signature, or ``{"Bucket", "Region", "Object"}``."""
    if isinstance(value, str):
        found = CosObject.named_by(argument, url(argument, value), "")
        if not found:
            raise InvalidArgumentError(argument, "is neither cos://bucket/key nor an unsigned URL of a file in COS")
        return found.input_info
    return {"Type": "COS", "CosInputInfo": api_object("Bucket", "Region", "Object")(argument, value)}


def storage_in_cos(argument: str, value: Any) -> dict[str, Any]:
    """A TaskOutputStorage for a bucket: ``{"Bucket", "Region"}``."""
    return {"Type": "COS", "CosOutputStorage": api_object("Bucket", "Region")(argument, value)}


def one_file(convert: Callable[[str, Any], dict[str, Any]]) -> Callable[[str, Any], list[dict[str, Any]]]:
    """The FileInfos of an EditMedia that has one input."""
    return lambda argument, value: [{"InputInfo": convert(argument, value)}]


def json_text(argument: str, value: Any) -> str:
    """A JSON object as text: as it was written, or serialised from a dict."""
    if isinstance(value, Mapping):
        return json.dumps(value, ensure_ascii=False)
    try:
        held = json.loads(value) if isinstance(value, str) else None
    except (ValueError, RecursionError):
        held = None
    if not isinstance(held, dict):
        hint = _rendered_to_text(value)
        raise InvalidArgumentError(argument, f"must be a dict, or a JSON object as a string, not {shown(value)}{hint}")
    plain(argument, held)
    return str(value)


def _format_as_extra(params: dict[str, Any]) -> dict[str, Any] | None:
    """OutputAudioFormat is at the top level in the reference, and inside ExtraParameters in the SDK's model."""
    if "OutputAudioFormat" not in params:
        return None
    rest = {name: value for name, value in params.items() if name != "OutputAudioFormat"}
    extra = {"OutputAudioFormat": params["OutputAudioFormat"], **rest.get("ExtraParameters", {})}
    return rest | {"ExtraParameters": extra}


Late = TypeVar("Late")
"""What may stand for a value that is only known later, such as Airflow's XComArg; Never where nothing may."""
# A template is a string, whatever it renders to.
Text: TypeAlias = str | Late | None
Number: TypeAlias = int | str | Late | None
Flag: TypeAlias = bool | str | Late | None
Object: TypeAlias = Mapping[str, Any] | str | Late | None
Objects: TypeAlias = Sequence[Mapping[str, Any] | Late] | str | Late | None
References: TypeAlias = Sequence[str | Mapping[str, Any] | Late] | str | Late | None
"""Files to start from: URLs, ``cos://bucket/key``, or the API's objects."""


class _AigcFields(TypedDict, Generic[Late], total=False):
    model_name: Annotated[Text[Late], Field("ModelName", text)]
    model_version: Annotated[Text[Late], Field("ModelVersion", text)]
    scene_type: Annotated[Text[Late], Field("SceneType", text)]
    extra_parameters: Annotated[Object[Late], Field("ExtraParameters", api_object())]
    store_cos_param: Annotated[Object[Late], Field("StoreCosParam", api_object("CosBucketName", "CosBucketRegion"))]
    additional_parameters: Annotated[Object[Late], Field("AdditionalParameters", json_text)]
    mps_operator: Annotated[Text[Late], Field("Operator", text)]


class AudioFields(_AigcFields[Late], Generic[Late], total=False):
    """Arguments of a CreateAigcAudioTask."""

    prompt: Annotated[Text[Late], Field("Prompt", prompt)]
    video_infos: Annotated[References[Late], Field("VideoInfos", references("VideoUrl"))]
    audio_infos: Annotated[References[Late], Field("AudioInfos", references("AudioUrl"))]
    output_audio_format: Annotated[Text[Late], Field("OutputAudioFormat", text)]


class VideoFields(_AigcFields[Late], Generic[Late], total=False):
    """Arguments of a CreateAigcVideoTask."""

    prompt: Annotated[Text[Late], Field("Prompt", text)]
    negative_prompt: Annotated[Text[Late], Field("NegativePrompt", text)]
    enhance_prompt: Annotated[Flag[Late], Field("EnhancePrompt", boolean)]
    image_url: Annotated[Text[Late], Field("ImageUrl", reference)]
    last_image_url: Annotated[Text[Late], Field("LastImageUrl", reference)]
    image_infos: Annotated[References[Late], Field("ImageInfos", references("ImageUrl"))]
    video_infos: Annotated[References[Late], Field("VideoInfos", references("VideoUrl"))]
    audio_infos: Annotated[References[Late], Field("AudioInfos", references("AudioUrl"))]
    subject_infos: Annotated[Objects[Late], Field("SubjectInfos", api_objects)]
    duration: Annotated[Number[Late], Field("Duration", integer)]


class ImageFields(_AigcFields[Late], Generic[Late], total=False):
    """Arguments of a CreateAigcImageTask."""

    prompt: Annotated[Text[Late], Field("Prompt", text)]
    negative_prompt: Annotated[Text[Late], Field("NegativePrompt", text)]
    enhance_prompt: Annotated[Flag[Late], Field("EnhancePrompt", boolean)]
    image_infos: Annotated[References[Late], Field("ImageInfos", references("ImageUrl"))]
    output_image_count: Annotated[Number[Late], Field("OutputImageCount", integer)]


class _MediaFields(TypedDict, Generic[Late], total=False):
    output_storage: Annotated[Object[Late], Field("OutputStorage", api_object("Type"))]
    output_cos: Annotated[Object[Late], Field("OutputStorage", storage_in_cos)]
    task_notify_config: Annotated[Object[Late], Field("TaskNotifyConfig", api_object())]
    tasks_priority: Annotated[Number[Late], Field("TasksPriority", integer)]
    session_id: Annotated[Text[Late], Field("SessionId", text)]
    session_context: Annotated[Text[Late], Field("SessionContext", text)]
    resource_id: Annotated[Text[Late], Field("ResourceId", text)]


class ProcessMediaFields(_MediaFields[Late], Generic[Late], total=False):
    """Arguments of a ProcessMedia."""

    input_info: Annotated[Object[Late], Field("InputInfo", api_object("Type"))]
    input_url: Annotated[Text[Late], Field("InputInfo", media_from_url)]
    input_cos: Annotated[Object[Late], Field("InputInfo", media_from_cos)]
    output_dir: Annotated[Text[Late], Field("OutputDir", text)]
    schedule_id: Annotated[Number[Late], Field("ScheduleId", integer)]
    media_process_task: Annotated[Object[Late], Field("MediaProcessTask", api_object())]
    ai_content_review_task: Annotated[Object[Late], Field("AiContentReviewTask", api_object())]
    ai_analysis_task: Annotated[Object[Late], Field("AiAnalysisTask", api_object())]
    ai_recognition_task: Annotated[Object[Late], Field("AiRecognitionTask", api_object())]
    ai_quality_control_task: Annotated[Object[Late], Field("AiQualityControlTask", api_object())]
    smart_subtitles_task: Annotated[Object[Late], Field("SmartSubtitlesTask", api_object())]
    smart_erase_task: Annotated[Object[Late], Field("SmartEraseTask", api_object())]
    ai_dubbing_task: Annotated[Object[Late], Field("AIDubbingTask", api_object())]
    mps_task_type: Annotated[Text[Late], Field("TaskType", text)]
    activities: Annotated[Objects[Late], Field("Activities", api_objects)]
    skip_mate_data: Annotated[Number[Late], Field("SkipMateData", integer)]


class EditMediaFields(_MediaFields[Late], Generic[Late], total=False):
    """Arguments of an EditMedia."""

    file_infos: Annotated[Objects[Late], Field("FileInfos", media_files)]
    input_url: Annotated[Text[Late], Field("FileInfos", one_file(media_from_url))]
    input_cos: Annotated[Object[Late], Field("FileInfos", one_file(media_from_cos))]
    output_object_path: Annotated[Text[Late], Field("OutputObjectPath", text)]
    output_config: Annotated[Object[Late], Field("OutputConfig", api_object())]
    compose_config: Annotated[Object[Late], Field("ComposeConfig", api_object())]


AUDIO_REQUEST = RequestShape(
    "CreateAigcAudioTask",
    AudioFields,
    needs_one_of=("prompt", "video_infos", "audio_infos", "additional_parameters"),
    other_spelling=_format_as_extra,
)
VIDEO_REQUEST = RequestShape(
    "CreateAigcVideoTask",
    VideoFields,
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
    "CreateAigcImageTask", ImageFields, needs_one_of=("prompt", "image_infos", "additional_parameters")
)
PROCESS_MEDIA_REQUEST = RequestShape(
    "ProcessMedia", ProcessMediaFields, needs_one_of=("input_info", "input_url", "input_cos")
)
EDIT_MEDIA_REQUEST = RequestShape("EditMedia", EditMediaFields, needs_one_of=("file_infos", "input_url", "input_cos"))
