"""ProcessMedia and EditMedia take what is in COS as cos://bucket/key."""

from typing import Any

import pytest

from airflow_provider_mps.api.errors import InvalidArgumentError
from airflow_provider_mps.emulator import MpsEmulator
from airflow_provider_mps.operators.mps import EditMediaOperator, ProcessMediaOperator
from tests.doubles.task_instances import State, TaskInstance

BUCKET = {"Bucket": "films-1250000000", "Region": "ap-singapore"}
COS_INPUT = {"Type": "COS", "CosInputInfo": BUCKET | {"Object": "in/a film.mp4"}}
URI = "cos://films-1250000000/in/a film.mp4"


@pytest.mark.parametrize(
    ("operator", "arguments", "field"),
    [
        (ProcessMediaOperator, {"input_cos": URI}, "InputInfo"),
        (EditMediaOperator, {"input_cos": URI, "output_object_path": "/out/a.mp4"}, "FileInfos"),
        (
            EditMediaOperator,
            {
                "file_infos": [{"Id": "a", "InputInfo": {"Type": "URL", "UrlInputInfo": {"Url": URI}}}],
                "output_object_path": "/out/a.mp4",
            },
            "FileInfos",
        ),
    ],
)
class TestInput:
    """A cos:// input needs a region, and becomes the API's object."""

    def run(self, operator: Any, arguments: dict[str, Any], **more: Any) -> Any:
        work = {"media_process_task": {"TranscodeTaskSet": [{"Definition": 100}]}}
        told = arguments | {"output_cos": BUCKET} | (work if operator is ProcessMediaOperator else {}) | more
        return TaskInstance(lambda: operator(task_id="create", **told), retries=0).run()

    @pytest.mark.parametrize("given", [True, False], ids=["cos_region", "connection"])
    def test_the_region_is_the_argument_s_or_the_connection_s(
        self, operator: Any, arguments: Any, field: str, given: bool, emulator: MpsEmulator, connect: Any
    ) -> None:
        connect(region="ap-nowhere" if given else BUCKET["Region"])
        outcome = self.run(operator, arguments, **({"cos_region": BUCKET["Region"]} if given else {}))
        assert outcome.state is State.SUCCESS, outcome.errors
        [task] = emulator.tasks
        found = task.params[field]
        assert (found[0]["InputInfo"] if field == "FileInfos" else found) == COS_INPUT

    def test_no_region_is_an_error_that_names_the_argument(
        self, operator: Any, arguments: Any, field: str, emulator: MpsEmulator
    ) -> None:
        [error] = self.run(operator, arguments).errors
        assert isinstance(error, InvalidArgumentError)
        assert error.argument == "cos_region"
        assert emulator.requests == []
