"""Families that nobody is known to have met on the service: as the SDK's models and the samples of 2026-10 have them.

They have no operators of their own: create their tasks by MpsTaskOperator, such as
``MpsTaskOperator(family="aigc_scenario", action="CreateAiDramaTask", mps_params={...})``.
"""

from __future__ import annotations

from typing import ClassVar

from airflow_provider_mps.api.tasks.family import TaskFamily
from airflow_provider_mps.api.tasks.status import TaskState


class AigcScenario(TaskFamily):
    """Scenario films: CreateVideoRedrawTask, CreateAiDramaTask, CreateAiFissionTask and CreateDocToVideoTask.

    A CreateDocToVideoTask in mode ``stage`` waits for a person (ModifyDocToVideoTaskStatus), and each step has a TaskId
    of its own.
    """

    kind = "aigc_scenario"
    title = "scenario film"
    describe = "DescribeAigcTaskStatus"
    in_task_ids = ("-AigcScenario-",)  # of CreateAiFissionTask; those of the others are bare UUIDs
    state_field = "TaskStatus"
    message_field = "TaskResultMsg"
    words: ClassVar = {
        "PENDING": TaskState.WAIT,
        "RUNNING": TaskState.RUN,
        "FINISHED": TaskState.DONE,
        "STOP": TaskState.FAIL,
        "FAILED": TaskState.FAIL,
        "TIMEOUT": TaskState.FAIL,
    }
    outputs: ClassVar = {"video": "OutputUrl"}
    details = ("TaskType", "Stage")


class CloneViral(TaskFamily):
    """Films made after one that went viral: CloneViral."""

    kind = "clone_viral"
    title = "viral clone"
    describe = "DescribeCloneViralTask"
    in_task_ids = ("-ViralClone-", "-ViralCloneAsync-")
    outputs: ClassVar = {"video": "VideoUrls"}


class Hunyuan3D(TaskFamily):
    """3D models: SubmitHunyuan3DTask."""

    kind = "hunyuan_3d"
    title = "3D model"
    describe = "QueryHunyuan3DTask"
    message_field = "ErrorMessage"
    outputs: ClassVar = {"model": "ResultFile3Ds"}


AIGC_SCENARIO, CLONE_VIRAL, HUNYUAN_3D = AigcScenario(), CloneViral(), Hunyuan3D()
EXPERIMENTAL = (AIGC_SCENARIO, CLONE_VIRAL, HUNYUAN_3D)
