"""Tasks that nobody is known to have met: fields and answers as the SDK's models and samples have them (2026-10)."""

from __future__ import annotations

import json
from typing import Any, ClassVar

from airflow_provider_mps.emulator.service.families.described import DescribedFamily
from airflow_provider_mps.emulator.service.shapes import Shape
from airflow_provider_mps.emulator.service.tasks import EmulatedTask

_COS: Shape = {"CosBucketName": str, "CosBucketRegion": str, "CosBucketPath": str}


class AigcScenario(DescribedFamily):
    """A scenario film.

    :cvar task_type: its TaskType.
    """

    kind = "aigc_scenario"
    describe = "DescribeAigcTaskStatus"
    word = "AigcScenario"
    state_field = "TaskStatus"
    message_field = "TaskResultMsg"
    words = ("PENDING", "RUNNING", "FINISHED", "FAILED")
    output = "OutputUrl"
    required = ("Input",)
    task_type: str

    def bucket(self, params: dict[str, Any]) -> dict[str, str]:
        cos: dict[str, str] = params.get("CosInfo") or {}
        return cos if cos.get("CosBucketName") else {}

    def results(self, task: EmulatedTask, urls: list[str]) -> dict[str, Any]:
        return super().results(task, urls) | {"TaskType": self.task_type, "RequestBody": _request_body(task)}


def _request_body(task: EmulatedTask) -> str:
    """The request with who made it. In the sample of a list it is text of text."""
    body = {**task.params, "Action": task.action, "RequestClient": task.request_client}
    return json.dumps(body, ensure_ascii=False)


def scenario_list(tasks: list[EmulatedTask], params: dict[str, Any]) -> dict[str, Any]:
    """What DescribeAigcTaskList answers: only scenario films, the newest first (a guess)."""
    wanted = params.get("QueryTaskFilter", {})
    found = []
    for task in reversed(tasks):
        if isinstance(task.family, AigcScenario):
            about = {"TaskId": task.task_id, "TaskType": task.family.task_type, "TaskStatus": task.state}
            if all(about.get(name, value) == value for name, value in wanted.items()):
                found.append(about | {"RequestBody": json.dumps(_request_body(task))})
    number, size = int(params.get("PageNum", 1)), int(params.get("PageSize", 10))
    page = found[(number - 1) * size : number * size]
    return {"Total": len(found), "PageNum": number, "PageSize": size, "Tasks": page}


class VideoRedraw(AigcScenario):
    """A film in another style."""

    create = "CreateVideoRedrawTask"
    task_type = "RedrawVideo"
    shape: ClassVar[Shape] = {"Input": {"Url": str}, "CosInfo": _COS, "TaskInfo": {"Style": str}}


class AiDrama(AigcScenario):
    """A film from a script."""

    create = "CreateAiDramaTask"
    task_type = "AIDrama"
    shape: ClassVar[Shape] = {
        "Input": {"Script": str, "Style": str, "Ratio": str, "Resolution": str},
        "CosInfo": _COS,
    }


class AiFission(AigcScenario):
    """An advertisement from pictures."""

    create = "CreateAiFissionTask"
    task_type = "FissionVideo"
    shape: ClassVar[Shape] = {
        "Input": {"ImageUrls": [str], "Text": str},
        "CosInfo": _COS,
        "TaskInfo": {
            "Duration": int,
            "ModelTier": str,
            "Ratio": str,
            "Resolution": str,
            "Market": str,
            "Language": str,
            "VideoType": str,
            "SplitCount": int,
            "CustomModel": {"Gender": str, "Age": str, "Appearance": str, "BodyType": str},
        },
    }


class DocToVideo(AigcScenario):
    """A film from a document."""

    create = "CreateDocToVideoTask"
    task_type = "DocGenVideo"
    shape: ClassVar[Shape] = {
        "Input": {
            "FileUrl": [str],
            "Prompt": str,
            "ModelVersion": str,
            "ModelName": str,
            "Ratio": str,
            "Language": str,
            "ReferenceDuration": int,
            "EnableTTS": bool,
            "VoiceId": str,
            "PPTXFidelity": bool,
            "Mode": str,
            "Background": {"ImageUrl": str},
            "Watermark": {"ImageUrl": str, "Position": str},
            "EnableCaption": bool,
        },
        "CosInfo": _COS,
        "ResourceId": str,
    }


class CloneViral(DescribedFamily):
    """A film after another one."""

    kind = "clone_viral"
    create = "CloneViral"
    describe = "DescribeCloneViralTask"
    word = "ViralCloneAsync"
    output = "VideoUrls"
    required = ("VideoUrl",)
    shape: ClassVar[Shape] = {
        "VideoUrl": str,
        "Product": {"Images": [str], "Name": str, "Description": str},
        "AIGCParam": {"Duration": int, "AspectRatio": str, "Resolution": str, "ModelTier": str},
        "ContentParam": {"UserPrompt": str, "Language": str, "Market": str, "FissionLevel": str},
        "Persona": {"Gender": str, "Age": str, "Ethnicity": str, "BodyType": str},
        "Output": {"Type": str, "CosInfo": {"Region": str, "Bucket": str, "Dir": str}},
    }

    def bucket(self, params: dict[str, Any]) -> dict[str, str]:
        cos = params.get("Output", {}).get("CosInfo", {})
        names = {"CosBucketName": "Bucket", "CosBucketRegion": "Region", "CosBucketPath": "Dir"}
        return {name: cos.get(own, "") for name, own in names.items()} if cos.get("Bucket") else {}

    def results(self, task: EmulatedTask, urls: list[str]) -> dict[str, Any]:
        return {self.output: urls}


class Hunyuan3D(DescribedFamily):
    """A 3D model."""

    kind = "hunyuan_3d"
    create = "SubmitHunyuan3DTask"
    describe = "QueryHunyuan3DTask"
    word = "Hunyuan3D"
    message_field = "ErrorMessage"
    output = "ResultFile3Ds"
    suffix = "glb"
    shape: ClassVar[Shape] = {
        "Prompt": str,
        "ImageUrl": str,
        "MultiViewImages": [{"ViewType": str, "ViewImageUrl": str}],
        "GenerateType": str,
        "MeshUrl": str,
        "EnablePBR": bool,
        "FaceCount": int,
        "KeepUV": bool,
        "ResultFormat": str,
        "Seed": int,
        "Style": str,
        "StoreCosParam": _COS,
    }

    def failed(self, message: str) -> dict[str, Any]:
        return {"ErrorCode": "InternalError.ModelInference", "ErrorMessage": message}

    def results(self, task: EmulatedTask, urls: list[str]) -> dict[str, Any]:
        return {self.output: [{"Type": "GLB", "Url": url} for url in urls]}

    def not_found(self) -> dict[str, Any]:
        return {"ErrorCode": "ResourceNotFound.TaskId", "ErrorMessage": "task not found or expired"}
