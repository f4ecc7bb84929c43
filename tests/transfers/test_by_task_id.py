"""The transfer by TaskIds, whose URLs it asks for itself; and from the XCom ``result``."""

from pathlib import Path
from typing import Any

import pytest

from airflow_provider_mps.api.errors import InvalidArgumentError, InvalidConnectionError
from airflow_provider_mps.api.tasks import AIGC_AUDIO, TaskState
from airflow_provider_mps.compat import AirflowFailException
from airflow_provider_mps.emulator import MpsEmulator
from airflow_provider_mps.hooks.mps import MpsHook
from airflow_provider_mps.operators import mps as operators
from airflow_provider_mps.operators.mps import CreateAigcVideoTaskOperator, ProcessImageOperator
from airflow_provider_mps.transfers.mps_to_object_storage import DownloadError, MpsToObjectStorageOperator
from tests.doubles.seen import MUSIC_ARGUMENTS
from tests.doubles.task_instances import Outcome, TaskInstance, run_task
from tests.doubles.ways import ARGUMENTS

pytestmark = pytest.mark.usefixtures("mps_short_waits")

KINDS = ["aigc_audio", "aigc_video", "aigc_image", "text_to_speech", "aigc_scenario"]


def done(emulator: MpsEmulator, kind: str = "aigc_audio") -> str:
    """The TaskId of a task that has ended."""
    return emulator.add_task(kind, wait_seconds=0, run_seconds=0)


def keep(folder: Path, **arguments: Any) -> Outcome:
    task = MpsToObjectStorageOperator(task_id="keep", destination=str(folder), **arguments)
    return TaskInstance(lambda: task, retries=0).run()


@pytest.mark.parametrize("kind", KINDS)
def test_the_files_of_a_task_are_kept(emulator: MpsEmulator, tmp_path: Path, kind: str) -> None:
    outcome = keep(tmp_path, mps_task_ids=done(emulator, kind))
    assert outcome.errors == []
    assert [Path(uri.removeprefix("file://")) for uri in outcome.value] == sorted(tmp_path.iterdir())


def test_a_picture_whose_task_id_looks_like_that_of_a_film_is_asked_for_as_both(
    emulator: MpsEmulator, tmp_path: Path
) -> None:
    how: dict[str, Any] = {"wait_for_completion": True, "poll_interval": 0.05}
    task_id, _ = run_task(ProcessImageOperator(task_id="image", **ARGUMENTS["ProcessImageOperator"], **how))
    assert keep(tmp_path, mps_task_ids=task_id, cos_region="ap-singapore").errors == []
    [picture] = tmp_path.iterdir()
    assert picture.read_bytes().startswith(b"\x89PNG")


def test_those_of_many_are_kept_in_their_order_and_what_failed_tasks_left_is_passed_by(
    emulator: MpsEmulator, tmp_path: Path
) -> None:
    task_ids = [done(emulator, kind) for kind in KINDS[:3]]
    outcome = keep(tmp_path, mps_task_ids=[task_ids[0], None, [task_ids[1], [task_ids[2]]]])
    assert outcome.errors == []
    assert [next(task_id for task_id in task_ids if task_id in uri) for uri in outcome.value] == task_ids
    durations = [file.get("duration") for file in outcome.xcoms["kept"]]
    assert durations[0], "as MPS gives it"


def test_an_expired_url_is_asked_for_anew_by_a_retry(emulator: MpsEmulator, tmp_path: Path) -> None:
    emulator.fault("file_expired")
    task_id = done(emulator)
    [error] = keep(tmp_path, mps_task_ids=task_id).errors
    assert not isinstance(error, AirflowFailException)
    assert keep(tmp_path, mps_task_ids=task_id).errors == []


def test_a_task_that_failed_or_runs_keeps_no_other_from_being_kept(emulator: MpsEmulator, tmp_path: Path) -> None:
    emulator.fault("fail")
    failed = MpsHook().create_aigc_audio_task(**MUSIC_ARGUMENTS)
    while MpsHook().describe_aigc_audio_task(failed).state is not TaskState.FAIL:
        pass
    runs = emulator.add_task(run_seconds=1000)
    [error] = keep(tmp_path, mps_task_ids=[failed, runs, done(emulator)]).errors
    assert isinstance(error, DownloadError)
    assert error.what.startswith(f"2 of 3 files are missing: AIGC audio task {failed} is FAIL, and has no file")
    assert runs in error.details
    assert not isinstance(error, AirflowFailException), "the one that runs may end well"
    assert [path.suffix for path in sorted(tmp_path.iterdir())] == [".json", ".wav"], "and the record for a retry"
    [error] = keep(tmp_path, mps_task_ids=failed).errors
    assert isinstance(error, AirflowFailException)


def test_a_retry_finds_what_is_kept_under_its_name_though_another_task_comes_before_it(
    emulator: MpsEmulator, tmp_path: Path
) -> None:
    runs, ended = emulator.add_task(wait_seconds=0, run_seconds=0.5), done(emulator)
    asked_before: list[int] = []

    def make() -> MpsToObjectStorageOperator:
        asked_before.append(emulator.count("file"))
        while len(asked_before) == 2 and not MpsHook().describe_aigc_audio_task(runs).urls:
            pass
        return MpsToObjectStorageOperator(
            task_id="keep", destination=str(tmp_path), mps_task_ids=[runs, ended], file_name="song"
        )

    outcome = TaskInstance(make).run()
    assert outcome.tries == 2
    assert outcome.value == [f"file://{tmp_path}/song-2.wav", f"file://{tmp_path}/song.wav"]
    assert emulator.count("file") == asked_before[1] + 1, "the other one is not downloaded again"
    assert len(list(tmp_path.iterdir())) == 2


def test_where_mps_does_not_answer_not_every_task_is_asked_for(emulator: MpsEmulator, tmp_path: Path) -> None:
    task_ids = [done(emulator) for _ in range(6)]
    instance = TaskInstance(
        lambda: MpsToObjectStorageOperator(task_id="keep", destination=str(tmp_path), mps_task_ids=task_ids), retries=0
    )
    emulator.fault("error", "DescribeAigcAudioTask", code="UnauthorizedOperation", times=3)
    [error] = instance.run().errors
    assert isinstance(error, DownloadError)
    assert error.what.startswith("6 of 6 files are missing")
    assert emulator.count("DescribeAigcAudioTask") == 3
    assert len(instance.run().value) == 6


@pytest.mark.parametrize("value", ["", [], [None], "[1]", "a task", 7, {"a": 1}, b"x", ["24000145-Nothing-1"]])
def test_what_is_no_task_id_is_named(emulator: MpsEmulator, tmp_path: Path, value: Any) -> None:
    [error] = keep(tmp_path, mps_task_ids=value).errors
    assert isinstance(error, InvalidArgumentError)
    assert error.field == "mps_task_ids"
    assert emulator.requests == []


@pytest.mark.parametrize("arguments", [{}, {"urls": "https://h/a.wav", "mps_task_ids": "24000145-AigcAudio-1"}])
def test_it_is_either_urls_or_task_ids(tmp_path: Path, arguments: dict[str, str]) -> None:
    [error] = keep(tmp_path, **arguments).errors
    assert isinstance(error, InvalidArgumentError)
    assert error.field == "urls"


def test_they_need_a_connection(tmp_path: Path) -> None:
    [error] = keep(tmp_path, mps_task_ids="24000145-AigcAudio-1", mps_conn_id="not_there").errors
    assert isinstance(error, InvalidConnectionError)


class TestResult:
    """``urls`` takes the XCom ``result`` of any family."""

    def test_of_aigc_tasks_with_the_durations(self, emulator: MpsEmulator, tmp_path: Path) -> None:
        hook = MpsHook()
        task_id = hook.create_aigc_audio_task(**MUSIC_ARGUMENTS, additional_parameters={"n": 2})
        while not (status := hook.describe_aigc_audio_task(task_id)).urls:
            pass
        outcome = keep(tmp_path, urls=AIGC_AUDIO.result(status))
        assert len(outcome.value) == 2
        assert [file["duration"] for file in outcome.xcoms["kept"]] == list(status.durations)

    def test_of_a_video(self, emulator: MpsEmulator, tmp_path: Path) -> None:
        create = CreateAigcVideoTaskOperator(
            task_id="film", model_name="Kling", model_version="2.1", prompt="rain", duration=5, poll_interval=0.1,
            wait_for_completion=True,
        )  # fmt: skip
        result = TaskInstance(lambda: create, retries=0).run().xcoms["result"]
        assert len(keep(tmp_path, urls=result).value) == 1

    @pytest.mark.parametrize("way", ["urls", "mps_task_ids"])
    @pytest.mark.parametrize("name", ["ProcessMediaOperator", "EditMediaOperator"])
    def test_of_media_tasks_which_are_in_a_bucket(
        self, emulator: MpsEmulator, tmp_path: Path, name: str, way: str
    ) -> None:
        create = getattr(operators, name)(
            task_id="film", wait_for_completion=True, poll_interval=0.1, **ARGUMENTS[name]
        )
        outcome = TaskInstance(lambda: create, retries=0).run()
        kept = keep(tmp_path, **{way: outcome.xcoms["result"] if way == "urls" else outcome.value})
        assert kept.errors == []
        made = [uri.rpartition("/")[2] for uri in outcome.xcoms["cos_uris"]]
        assert [uri.rpartition("/")[2] for uri in kept.value] == made
        assert made
        assert [path.read_bytes()[4:8] for path in tmp_path.iterdir()] == [b"ftyp"] * len(made)

    def test_of_mapped_tasks_and_rendered_to_text(self, emulator: MpsEmulator, tmp_path: Path) -> None:
        create = operators.EditMediaOperator(
            task_id="film", wait_for_completion=True, poll_interval=0.1, **ARGUMENTS["EditMediaOperator"]
        )
        result = TaskInstance(lambda: create, retries=0).run().xcoms["result"]
        for number, urls in enumerate(([result], str(result), [[result]])):
            assert len(keep(tmp_path / str(number), urls=urls).value) == 1

    @pytest.mark.parametrize("result", [{"TaskId": "t"}, {"TaskId": "t", "AudioInfos": [], "VideoInfos": []}])
    def test_one_without_files_is_empty(self, emulator: MpsEmulator, tmp_path: Path, result: Any) -> None:
        [error] = keep(tmp_path, urls=result).errors
        assert str(error).startswith("urls: is empty")
