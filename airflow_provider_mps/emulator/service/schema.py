"""Which fields each action takes, and what MPS answers to a request that does not fit."""

from __future__ import annotations

from typing import Any

from airflow_provider_mps.emulator.service.errors import ApiError
from airflow_provider_mps.emulator.service.facts import doc, guess
from airflow_provider_mps.emulator.service.families import FAMILIES
from airflow_provider_mps.emulator.service.families.media import INPUT, check_input
from airflow_provider_mps.emulator.service.shapes import Shape, check_shape, require

_SCENARIO_FILTER = (
    *("TaskId", "TaskType", "TaskStatus", "Resolution"),
    *("Ratio", "ExecuteMode", "VideoType", "ModelTier"),
)
SHAPES: dict[str, Shape] = {
    **{family.create: family.shape for family in FAMILIES.values()},
    **{family.describe: {"TaskId": str} for family in FAMILIES.values()},
    "DescribeTasks": {
        "Status": str,
        "SubTaskHasFailed": bool,
        "Limit": int,
        "ScrollToken": str,
        "StartTime": str,
        "EndTime": str,
    },
    "DescribeAigcTaskList": {
        "PageNum": int,
        "PageSize": int,
        "QueryTaskFilter": dict.fromkeys(_SCENARIO_FILTER, str),
    },
    "DescribeUsageData": {"StartTime": str, "EndTime": str, "Types": [str], "ProcessRegions": [str]},
    "ManageTask": {"OperationType": str, "TaskId": str},
    "DescribeMediaMetaData": {"InputInfo": INPUT, "Mode": str},
}

_REQUIRED = {
    "DescribeTasks": ("Status",),
    "DescribeUsageData": ("StartTime", "EndTime"),
    "ManageTask": ("OperationType", "TaskId"),
    "DescribeMediaMetaData": ("InputInfo",),
    "DescribeAigcTaskList": (),
}

FACTS = (
    doc("Field names and types; a field that is not known is UnknownParameter, one of another type InvalidParameter."),
    doc("A prompt is needed where nothing else is given to make something from."),
    doc("StoreCosParam needs CosBucketName and CosBucketRegion; AdditionalParameters is a serialised JSON object."),
    doc("OutputAudioFormat is at the top level in the reference; the newest SDK has it only in ExtraParameters."),
    doc("SessionId has 50 characters at most, SessionContext 1,000."),
    doc('Of a number the reference\'s samples have text, too; under rules="service" it is InvalidParameter (a guess).'),
    guess("Numbers beyond 64 bits are InvalidParameter."),
)


def check_request(
    action: str, params: dict[str, Any], *, output_audio_format_at_top_level: bool, numbers_as_text: bool
) -> None:
    """Check the body of a request.

    :param output_audio_format_at_top_level: whether OutputAudioFormat is known outside ExtraParameters: the
        reference has it there, the SDK's newest model has not.
    :param numbers_as_text: whether a number may be written as text, as in the reference's samples of DescribeTasks.
    :raises ApiError: ``UnknownParameter``, ``InvalidParameter``, ``InvalidParameterValue`` or
        ``MissingParameter``.
    """
    if "OutputAudioFormat" in params and not output_audio_format_at_top_level:
        raise ApiError("UnknownParameter", "The parameter `OutputAudioFormat` is not recognized.")
    check_shape(params, SHAPES[action], "", numbers_as_text)
    family = FAMILIES.get(action)
    for name in family.required if family else _REQUIRED.get(action, ("TaskId",)):
        require(params, name)
    if family:
        family.check(params)
    if action == "DescribeTasks":
        _check_listing(params)
    if action == "DescribeMediaMetaData":
        check_input(params["InputInfo"], "InputInfo")


def _check_listing(params: dict[str, Any]) -> None:
    if params["Status"] not in ("WAITING", "PROCESSING", "FINISH"):
        raise ApiError("InvalidParameterValue.Status", "`Status` must be WAITING, PROCESSING or FINISH.")
    if not 1 <= int(params.get("Limit", 10)) <= 100:
        raise ApiError("InvalidParameterValue.Limit", "`Limit` must be from 1 to 100.")
