"""From Python arguments to the fields of a request, checked before anything is sent."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

from airflow_provider_mps.api.errors import InvalidArgumentError

PROMPT_LIMIT = 2000
"""Characters of a prompt (API reference, CreateAigcAudioTask)."""


@dataclass(frozen=True)
class Field:
    """One field of a request: its name as the API writes it, and how an argument becomes its value."""

    name: str
    convert: Callable[[str, Any], Any]


@dataclass(frozen=True)
class RequestShape:
    """The request of one create action.

    :param action: the API's action.
    :param fields: from the argument's name to its field.
    :param needs_one_of: arguments of which at least one must be given: what to generate from.
    :param other_spelling: the same request as some servers want it, for one that answers UnknownParameter; else None.
    """

    action: str
    fields: Mapping[str, Field]
    needs_one_of: tuple[str, ...] = ()
    other_spelling: Callable[[dict[str, Any]], dict[str, Any] | None] = lambda params: None

    @property
    def texts(self) -> frozenset[str]:
        """The arguments that are text, whatever it looks like."""
        return frozenset(name for name, field in self.fields.items() if field.convert in (text, prompt, json_text))

    def build(self, arguments: Mapping[str, Any]) -> dict[str, Any]:
        """The request's fields from an operator's arguments; None and empty ones are left out.

        :raises InvalidArgumentError: names the argument that cannot be sent.
        """
        for argument in arguments:
            if argument not in self.fields:
                raise InvalidArgumentError(argument, f"is no argument of {self.action}")
        params = {
            field.name: field.convert(argument, arguments[argument])
            for argument, field in self.fields.items()
            if not is_empty(arguments.get(argument))
        }
        if self.needs_one_of and not any(not is_empty(arguments.get(name)) for name in self.needs_one_of):
            raise InvalidArgumentError(
                " / ".join(self.needs_one_of),
                f"{self.action} has nothing to generate from: give at least one",
            )
        return params


def is_empty(value: Any) -> bool:
    """Whether an argument counts as not given: None, or an empty text, list or dict."""
    return value is None or (isinstance(value, (str, list, tuple, dict)) and not value)


def is_loopback(host: str | None) -> bool:
    """Whether a host is this machine itself, the only one that plain http is for."""
    return host in ("127.0.0.1", "::1", "localhost")


def digest(action: str, params: Mapping[str, Any]) -> str:
    """A short text that is the same for the same request alone."""
    text = json.dumps([action, params], sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    return hashlib.sha256(text.encode()).hexdigest()[:32]


def text(argument: str, value: Any) -> str:
    """A string; a number, which templates make of "2.0", becomes the string again."""
    if isinstance(value, str):
        return value
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        return str(value)
    raise InvalidArgumentError(argument, f"must be a string, not {type(value).__name__}")


def prompt(argument: str, value: Any) -> str:
    written = text(argument, value)
    if len(written) > PROMPT_LIMIT:
        raise InvalidArgumentError(argument, f"has {len(written):,} characters, and MPS takes {PROMPT_LIMIT:,} at most")
    return written


def url(argument: str, value: Any) -> str:
    """A URL with a host; MPS itself fetches it, so it must be reachable from the internet."""
    try:
        parts = urlsplit(value) if isinstance(value, str) else None
        usable = bool(parts and parts.scheme in ("http", "https") and parts.hostname)
    except ValueError:
        usable = False
    if not usable:
        raise InvalidArgumentError(argument, "holds something that is no http(s) URL")
    return str(value)


def references(key: str) -> Callable[[str, Any], list[dict[str, Any]]]:
    """A list of reference files: URLs, or the API's own objects with the URL under ``key``."""

    def convert(argument: str, value: Any) -> list[dict[str, Any]]:
        items = value if isinstance(value, (list, tuple)) else [value]
        objects = [dict(item) if isinstance(item, Mapping) else {key: item} for item in items]
        for item in objects:
            url(argument, item.get(key))
        return objects

    return convert


def api_object(*required: str) -> Callable[[str, Any], dict[str, Any]]:
    """An object of the API as it is, with the keys that the reference requires."""

    def convert(argument: str, value: Any) -> dict[str, Any]:
        if not isinstance(value, Mapping):
            raise InvalidArgumentError(argument, f"must be a dict, not {type(value).__name__}")
        for key in required:
            if not value.get(key):
                raise InvalidArgumentError(argument, f"lacks {key}")
        return dict(value)

    return convert


def json_text(argument: str, value: Any) -> str:
    """A JSON object as text: as it was written, or serialised from a dict."""
    if isinstance(value, Mapping):
        try:
            return json.dumps(value, ensure_ascii=False)
        except (TypeError, ValueError) as error:
            raise InvalidArgumentError(argument, f"cannot be written as JSON: {error}") from None
    try:
        if isinstance(json.loads(value), dict):
            return str(value)
    except (TypeError, ValueError):
        pass
    raise InvalidArgumentError(argument, "must be a dict or a string that holds a JSON object")


def _format_as_extra(params: dict[str, Any]) -> dict[str, Any] | None:
    """OutputAudioFormat is at the top level in the reference, and inside ExtraParameters in the SDK's model."""
    if "OutputAudioFormat" not in params:
        return None
    rest = {name: value for name, value in params.items() if name != "OutputAudioFormat"}
    extra = {"OutputAudioFormat": params["OutputAudioFormat"], **rest.get("ExtraParameters", {})}
    return rest | {"ExtraParameters": extra}


_STORE_COS = Field("StoreCosParam", api_object("CosBucketName", "CosBucketRegion"))

AUDIO_REQUEST = RequestShape(
    action="CreateAigcAudioTask",
    fields={
        "model_name": Field("ModelName", text),
        "model_version": Field("ModelVersion", text),
        "scene_type": Field("SceneType", text),
        "prompt": Field("Prompt", prompt),
        "video_infos": Field("VideoInfos", references("VideoUrl")),
        "audio_infos": Field("AudioInfos", references("AudioUrl")),
        "output_audio_format": Field("OutputAudioFormat", text),
        "store_cos_param": _STORE_COS,
        "extra_parameters": Field("ExtraParameters", api_object()),
        "additional_parameters": Field("AdditionalParameters", json_text),
        "mps_operator": Field("Operator", text),
    },
    needs_one_of=("prompt", "video_infos", "audio_infos", "additional_parameters"),
    other_spelling=_format_as_extra,
)
