"""What a request tells of its task's cost."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from airflow_provider_mps.api.errors import InvalidArgumentError
from airflow_provider_mps.api.request.convert import object_in
from airflow_provider_mps.api.tasks.usage import Asked, word

if TYPE_CHECKING:
    from airflow_provider_mps.api.request.shape import RequestShape


def asked_for(shape: RequestShape, arguments: Callable[[], Mapping[str, Any]]) -> Asked:
    """What a request tells of its task's cost.

    :param arguments: gives those that it was created by. They may be rendered anew since, so an argument that cannot be
        sent any more is no error here.
    """
    found, params = Asked(), dict[str, Any]()
    with suppress(InvalidArgumentError):
        params = shape.build(arguments())
    if model := word(params.get("ModelName")):
        found["model"] = model
    if version := word(params.get("ModelVersion")):
        found["version"] = version
    length = params.get("Duration")  # which is unchecked where the fields are the user's own (MpsTaskOperator)
    if isinstance(length, int) and not isinstance(length, bool) and length > 0:
        found["requested_seconds"] = length
    if files := _files(params):
        found["requested_files"] = files
    extra = params.get("ExtraParameters")
    if resolution := word(extra.get("Resolution")) if isinstance(extra, Mapping) else "":
        found["requested_resolution"] = resolution
    return found


def _files(params: Mapping[str, Any]) -> int:
    """How many images or songs a request asks for; 0 where it does not say so."""
    count = params.get("OutputImageCount")
    if count is None:
        count = object_in(params.get("AdditionalParameters")).get("n")
    return count if isinstance(count, int) and not isinstance(count, bool) and 0 < count < 1000 else 0
