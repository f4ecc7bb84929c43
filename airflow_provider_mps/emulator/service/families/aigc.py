"""What the tasks of AI models have in common: their fields, checks and files."""

from __future__ import annotations

import json
from typing import Any

from airflow_provider_mps.emulator.media import synth
from airflow_provider_mps.emulator.media.synth import MediaFile
from airflow_provider_mps.emulator.service.errors import ApiError
from airflow_provider_mps.emulator.service.shapes import Shape, parse_object, require
from airflow_provider_mps.emulator.service.tasks import EmulatedTask, Family, Phase, UrlOf

MAX_FILES = 10
AIGC: Shape = {
    "ModelName": str,
    "ModelVersion": str,
    "SceneType": str,
    "Prompt": str,
    "StoreCosParam": {"CosBucketName": str, "CosBucketRegion": str, "CosBucketPath": str},
    "AdditionalParameters": str,
    "Operator": str,
}


class AigcFamily(Family):
    """A task of an AI model.

    :cvar sources: what can be generated from; the reference requires a Prompt where none of the others is given.
    """

    sources: tuple[str, ...]

    def check(self, params: dict[str, Any]) -> None:
        if not any(params.get(name) for name in self.sources):
            raise ApiError("MissingParameter", f"One of {', '.join(self.sources)} must be given.")
        if "StoreCosParam" in params:
            for name in ("CosBucketName", "CosBucketRegion"):
                require(params["StoreCosParam"], name, "StoreCosParam.")
        if params.get("AdditionalParameters") and parse_object(params["AdditionalParameters"]) is None:
            raise ApiError("InvalidParameterValue", "`AdditionalParameters` is not a serialized JSON object.")

    def answer(self, task: EmulatedTask, phase: Phase, url_of: UrlOf, *, null_results: bool) -> dict[str, Any]:
        ended = phase is Phase.ENDED
        files = task.files if ended and task.failure is None and not null_results else []
        message = (task.failure or self.remark(task)) if ended else ""
        return {"Status": task.word(phase), "Message": message, **self.results(task, files, url_of)}

    def results(self, task: EmulatedTask, files: list[MediaFile], url_of: UrlOf) -> dict[str, Any]:
        """The fields that name the files."""
        raise NotImplementedError

    def remark(self, task: EmulatedTask) -> str:
        """The message of a task that has succeeded."""
        return ""


def made_file(
    task: EmulatedTask,
    index: int,
    suffix: str,
    seconds: float | None = None,
    sounds: tuple[synth.Sound, ...] | None = None,
) -> MediaFile:
    """A file that a task makes, named after it and the bucket of its request.

    :param seconds: its length; None: that of the seed's tune.
    :param sounds: what is heard; None: the seed's own tune.
    """
    store = task.family.bucket(task.params)
    folders = [store.get("CosBucketName", ""), *store.get("CosBucketPath", "").split("/")]
    key = "/".join([*filter(None, folders), f"{task.task_id}-{index}.{suffix}"])
    # Where a file is kept does not change how it sounds.
    seed = json.dumps([{**task.params, "StoreCosParam": None}, index], sort_keys=True)
    return MediaFile(key, seed, synth.tune_seconds(seed) if seconds is None else seconds, sounds)
