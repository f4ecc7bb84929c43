"""ProcessMedia and EditMedia take what is in COS as cos://bucket/key, or by its URL without a signature."""

from typing import Any

import pytest

from airflow_provider_mps.api.errors import InvalidArgumentError
from airflow_provider_mps.emulator import MpsEmulator
from airflow_provider_mps.operators.mps import EditMediaOperator, ProcessMediaOperator
from tests.doubles.task_instances import State, TaskInstance

BUCKET = {"Bucket": "films-1250000000", "Region": "ap-singapore"}
COS_INPUT = {"Type": "COS", "CosInputInfo": BUCKET | {"Object": "in/a film.mp4"}}
URI = "cos://films-1250000000/in/a film.mp4"
URL = "https://films-1250000000.cos.ap-singapore.myqcloud.com/in/a%20film.mp4"
PROCESS: dict[str, Any] = {
    "output_cos": BUCKET,
    "media_process_task": {"TranscodeTaskSet": [{"Definition": 100}]},
}
EDIT: dict[str, Any] = {"output_cos": BUCKET, "output_object_path": "/out/a.mp4"}


WAYS: list[tuple[Any, str, dict[str, Any]]] = [
    (ProcessMediaOperator, "input_cos", PROCESS),
    (ProcessMediaOperator, "input_url", PROCESS),
    (EditMediaOperator, "input_cos", EDIT),
    (EditMediaOperator, "input_url", EDIT),
    (EditMediaOperator, "file_infos", EDIT),
]


@pytest.mark.parametrize(("operator", "argument", "others"), WAYS, ids=[f"{way[0].__name__}-{way[1]}" for way in WAYS])
class TestInput:
    """What names a file in COS becomes the API's object, with its region."""

    def run(self, operator: Any, argument: str, named: str, others: dict[str, Any]) -> Any:
        files = [{"Id": "a", "InputInfo": {"Type": "URL", "UrlInputInfo": {"Url": named}}}]
        arguments = {argument: files if argument == "file_infos" else named} | others
        return TaskInstance(lambda: operator(task_id="create", **arguments), retries=0).run()

    def sent(self, emulator: MpsEmulator) -> Any:
        """The MediaInputInfo of the only task."""
        [task] = emulator.tasks
        return task.params["FileInfos"][0]["InputInfo"] if "FileInfos" in task.params else task.params["InputInfo"]

    @pytest.mark.parametrize(
        ("extra", "given"),
        [
            ({"cos_region": "ap-nowhere", "region": "ap-nowhere"}, {"cos_region": BUCKET["Region"]}),
            ({"cos_region": BUCKET["Region"], "region": "ap-nowhere"}, {}),
            ({"region": BUCKET["Region"]}, {}),
        ],
        ids=["cos_region", "connection", "calls"],
    )
    def test_the_region_is_the_argument_s_the_connection_s_or_that_of_its_calls(
        self, operator: Any, argument: str, others: Any, extra: Any, given: Any, emulator: MpsEmulator, connect: Any
    ) -> None:
        connect(**extra)
        outcome = self.run(operator, argument, URI, others | given)
        assert outcome.state is State.SUCCESS, outcome.errors
        assert self.sent(emulator) == COS_INPUT

    def test_a_url_of_cos_names_its_region(
        self, operator: Any, argument: str, others: Any, emulator: MpsEmulator
    ) -> None:
        outcome = self.run(operator, argument, URL, others | {"cos_region": "ap-nowhere"})
        assert outcome.state is State.SUCCESS, outcome.errors
        assert self.sent(emulator) == COS_INPUT

    @pytest.mark.parametrize(
        "url",
        [
            f"{URL}?q-signature=1",
            "https://a.example/in/a%20film.mp4",
            "https://films-1250000000.cos.accelerate.myqcloud.com/in/a%20film.mp4",
        ],
    )
    def test_any_other_url_is_a_url(
        self, operator: Any, argument: str, others: Any, url: str, emulator: MpsEmulator
    ) -> None:
        outcome = self.run(operator, argument, url, others)
        if argument == "input_cos":
            [error] = outcome.errors
            assert isinstance(error, InvalidArgumentError)
            assert (error.field, emulator.requests) == ("input_cos", [])
        else:
            assert self.sent(emulator) == {"Type": "URL", "UrlInputInfo": {"Url": url}}

    @pytest.mark.parametrize(
        ("named", "region", "blamed"),
        [
            (URI, None, "cos_region"),
            (URI, "ap-singapore.evil.example", "cos_region"),
            ("cos://films-1250000000", "ap-singapore", ""),
            ("cos://Films/a.mp4", "ap-singapore", ""),
        ],
    )
    def test_what_names_no_file_is_an_error_that_names_the_argument(
        self, operator: Any, argument: str, others: Any, named: str, region: Any, blamed: str, emulator: MpsEmulator
    ) -> None:
        [error] = self.run(operator, argument, named, others | {"cos_region": region}).errors
        assert isinstance(error, InvalidArgumentError)
        assert error.field == (blamed or argument)
        assert emulator.requests == []


@pytest.mark.parametrize(
    ("operator", "others", "beside"),
    [
        (ProcessMediaOperator, PROCESS, {"input_info": COS_INPUT}),
        (ProcessMediaOperator, PROCESS, {"input_cos": URI}),
        (EditMediaOperator, EDIT, {"file_infos": [{"InputInfo": COS_INPUT}]}),
        (EditMediaOperator, EDIT, {"input_cos": URI}),
    ],
)
def test_nor_does_it_take_the_place_of_another_input(
    operator: Any, others: Any, beside: dict[str, Any], emulator: MpsEmulator
) -> None:
    arguments = {"input_url": URL.replace("1250000000", "1311402212"), "cos_region": "ap-singapore"} | others | beside
    [error] = TaskInstance(lambda: operator(task_id="create", **arguments), retries=0).run().errors
    assert isinstance(error, InvalidArgumentError)
    assert "cannot be given beside" in str(error)
    assert emulator.requests == []


@pytest.mark.parametrize(("operator", "argument", "others"), [way for way in WAYS if way[1] != "input_cos"])
def test_a_url_into_another_account_s_bucket_stays_one(
    operator: Any, argument: str, others: Any, emulator: MpsEmulator
) -> None:
    """Such as MPS's own store, which the service role cannot read."""
    url = URL.replace("1250000000", "1311402212")
    of_it = TestInput()
    outcome = of_it.run(operator, argument, url, others)
    assert outcome.state is State.SUCCESS, outcome.errors
    assert of_it.sent(emulator) == {"Type": "URL", "UrlInputInfo": {"Url": url}}
