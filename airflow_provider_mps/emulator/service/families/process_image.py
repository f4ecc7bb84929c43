"""ProcessImage: its fields, and the picture that it makes."""

from __future__ import annotations

from typing import Any, ClassVar
from urllib.parse import urlsplit

from airflow_provider_mps.emulator.media.synth import MediaFile
from airflow_provider_mps.emulator.service.families.media import (
    INPUT,
    STORAGE,
    Params,
    check_format,
    check_input,
    key_of,
)
from airflow_provider_mps.emulator.service.shapes import Shape
from airflow_provider_mps.emulator.service.tasks import EmulatedTask, Family, FindInput, Phase, UrlOf

_FAILED = {"ErrMsg": "InternalError"}
_SAMPLE: Params = {"Type": "COS", "CosInputInfo": {"Bucket": "sample", "Region": "", "Object": "/in.png"}}


class ProcessImage(Family):
    """A picture that is enhanced, converted, or described."""

    kind = "process_image"
    create = "ProcessImage"
    describe = "DescribeImageTaskDetail"
    word = "WorkflowTask"
    words = ("WAITING", "PROCESSING", "FINISH", "FINISH")
    needs_room = False
    shape: ClassVar[Shape] = {
        "InputInfo": INPUT,
        "OutputStorage": STORAGE,
        "OutputDir": str,
        "OutputPath": str,
        "Definition": int,
        "ResourceId": str,
        "ImageTask": dict,
        "ScheduleId": int,
        "AddOnParameter": dict,
        "StdExtInfo": str,
    }
    sample: ClassVar[Params] = {"InputInfo": _SAMPLE, "ImageTask": {"EncodeConfig": {"Format": "png"}}}

    def check(self, params: Params) -> None:
        if "InputInfo" in params:
            check_input(params["InputInfo"], "InputInfo")

    def output_files(self, task: EmulatedTask, find_input: FindInput) -> list[MediaFile]:
        """None where the picture is only described.

        :raises ApiError: ``UnsupportedOperation``: the file's name says that it is what cannot be made here.
        """
        if _is_described(task.params):
            return []
        path = _path(task)
        check_format(path, ("png", "jpg", "jpeg", "gif"))
        info = task.params.get("InputInfo")
        seed = find_input(info).seed if info else task.task_id
        return [MediaFile(key_of(_storage(task.params), path), seed)]

    def answer(self, task: EmulatedTask, phase: Phase, url_of: UrlOf, *, null_results: bool) -> Params:
        ended = phase is Phase.ENDED
        output: Params | None = None
        if ended and task.failure is None and not null_results:
            output = {"Content": "A picture."} if _is_described(task.params) else self._output(task, url_of)
        failed = _FAILED | {"Message": task.failure} if ended and task.failure is not None else {}
        word = "PROCESSING" if not ended else "FAIL" if failed else "SUCCESS"
        result = {"Status": word, "ErrMsg": "", "Message": "", "Output": output, "Progress": 100 if ended else 0}
        return {
            "TaskType": self.word,
            "Status": task.word(phase),
            "ErrCode": 0,
            "ErrMsg": "",
            "Message": "",
            "ImageProcessTaskResultSet": None if phase is Phase.WAITING else [result | failed],
            "ImageTask": task.params.get("ImageTask"),
            "InputInfo": task.params.get("InputInfo"),
        }

    def _output(self, task: EmulatedTask, url_of: UrlOf) -> Params:
        return {
            "Path": _path(task),
            "OutputStorage": _storage(task.params),
            "SignedUrl": url_of(task.files[0]),
            "Content": "",
        }


def _is_described(params: Params) -> bool:
    return "UnderstandImageConfig" in params.get("ImageTask", {})


def _storage(params: Params) -> Params:
    cos: dict[str, Any] = params.get("InputInfo", {}).get("CosInputInfo", {})
    own = {"Type": "COS", "CosOutputStorage": {name: cos.get(name, "") for name in ("Bucket", "Region")}}
    return params.get("OutputStorage") or own


def _path(task: EmulatedTask) -> str:
    """Where the picture goes; that its default name is the input's with ``_processed`` is made up."""
    params = task.params
    info = params.get("InputInfo", {})
    url = urlsplit(info.get("UrlInputInfo", {}).get("Url", ""))
    folder, _, name = str(info.get("CosInputInfo", {}).get("Object") or url.path).rpartition("/")
    suffix = params.get("ImageTask", {}).get("EncodeConfig", {}).get("Format") or name.rpartition(".")[2] or "png"
    path = str(params.get("OutputPath") or "{inputName}_processed.{format}")
    path = path.replace("{inputName}", name.partition(".")[0] or task.task_id).replace("{format}", suffix)
    return path if path.startswith("/") else f"{params.get('OutputDir', f'{folder}/')}{path}"
