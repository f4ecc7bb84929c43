"""A soundtrack under a video, as a request of EditMedia."""

from datetime import timedelta
from typing import Any

import pytest

from airflow_provider_mps.api.errors import InvalidArgumentError
from airflow_provider_mps.api.request.soundtrack import lay_soundtrack
from airflow_provider_mps.emulator import MpsEmulator
from airflow_provider_mps.operators.mps import EditMediaOperator, MpsApiOperator
from tests.doubles.airflows import DAG
from tests.doubles.task_instances import TaskInstance

VIDEO, AUDIO = "https://example.com/film.mp4", "https://example.com/tune.wav"
HOUR = timedelta(hours=1)
BUCKET = {"Bucket": "films-1250000000", "Region": "ap-singapore"}


def tracks(**arguments: Any) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """The items of the video's track and of the audio's."""
    video, audio = lay_soundtrack(VIDEO, AUDIO, **arguments)["compose_config"]["Tracks"]
    assert (video["Type"], audio["Type"]) == ("Video", "Audio")
    return video["Items"], audio["Items"]


def test_both_files_whole_and_the_soundtrack_alone_is_heard() -> None:
    [video], [audio] = tracks()
    assert video["Video"] == {
        "SourceMedia": {"FileId": "video"},
        "AudioOperations": [{"Type": "Volume", "Volume": 0}],
    }
    assert audio["Audio"] == {
        "SourceMedia": {"FileId": "audio"},
        "AudioOperations": [{"Type": "Volume", "Volume": 1.0}],
    }


def test_the_original_sound_can_stay_under_a_softer_soundtrack() -> None:
    [video], [audio] = tracks(keep_original_sound=True, gain=0.25)
    assert "AudioOperations" not in video["Video"]
    assert audio["Audio"]["AudioOperations"] == [{"Type": "Volume", "Volume": 0.25}]


@pytest.mark.parametrize("audio_length", [None, 8, 30])
def test_a_soundtrack_that_is_long_enough_is_cut_to_length(audio_length: float | None) -> None:
    [video], [audio] = tracks(length=7.5, audio_length=audio_length)
    assert video["Video"]["TrackTime"] == {"Start": "0s", "Duration": "7.5s"}
    assert audio["Audio"]["SourceMedia"] == {"FileId": "audio", "StartTime": "0s", "EndTime": "7.5s"}


def test_a_short_one_is_repeated_and_fades_from_one_repeat_to_the_next() -> None:
    _, items = tracks(length=20, audio_length=7, fade=1)
    assert [item["Type"] for item in items] == ["Audio", *["Transition", "Audio"] * 3]
    assert items[1]["Transition"] == {"Duration": "1s", "Transitions": [{"Type": "AudioFadeInFadeOut"}]}
    ends = [item["Audio"]["SourceMedia"]["EndTime"] for item in items if item["Type"] == "Audio"]
    assert ends == ["7s", "7s", "7s", "2s"], "three times 7 s and 2 s, less three fades: 20 s"


@pytest.mark.parametrize(
    ("arguments", "seconds"),
    [({"length": 3}, 3), ({"length": 20, "audio_length": 7, "fade": 1}, 20), ({"length": 9, "audio_length": 4.5}, 9)],
)
def test_the_film_is_as_long_as_it_was_wanted(arguments: dict[str, Any], seconds: float, emulator: MpsEmulator) -> None:
    edit = EditMediaOperator(
        task_id="edit",
        **lay_soundtrack(VIDEO, AUDIO, **arguments),
        output_cos=BUCKET,
        output_object_path="/films/one.mp4",
        wait_for_completion=True,
        poll_interval=0.1,
    )
    outcome = TaskInstance(lambda: edit).run()
    assert outcome.xcoms["result"]["Output"]["MetaData"]["Duration"] == seconds
    assert outcome.xcoms["cos_uris"] == ["cos://films-1250000000/films/one.mp4"]


@pytest.mark.parametrize(
    ("length", "written"), [(1234567, "1234567s"), (1234.5678, "1234.568s"), (0.1 + 0.2, "0.3s"), (HOUR, "3600s")]
)
def test_seconds_are_written_as_the_api_reads_them(length: Any, written: str) -> None:
    [video], _ = tracks(length=length)
    assert video["Video"]["TrackTime"]["Duration"] == written


@pytest.mark.parametrize("named", ["video", "audio"])
@pytest.mark.parametrize("media", [None, "", 7, b"https://example.com/film.mp4", ["https://example.com/film.mp4"]])
def test_an_input_is_a_text_or_an_object(media: Any, named: str) -> None:
    with pytest.raises(InvalidArgumentError) as raised:
        lay_soundtrack(**{"video": VIDEO, "audio": AUDIO} | {named: media})
    assert raised.value.field == named


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        ({"gain": -0.1}, "gain"),
        ({"gain": 5.1}, "gain"),
        ({"gain": "1"}, "gain"),
        ({"gain": float("nan")}, "gain"),
        ({"gain": True}, "gain"),
        ({"fade": -1}, "fade"),
        ({"fade": 0.5}, "fade"),
        ({"fade": "1"}, "fade"),
        ({"keep_original_sound": "false"}, "keep_original_sound"),
        ({"length": 0}, "length"),
        ({"length": 0.0001}, "length"),
        ({"length": "10"}, "length"),
        ({"length": float("nan")}, "length"),
        ({"length": 1e300}, "length"),
        ({"length": 10, "audio_length": "5"}, "audio_length"),
        ({"length": 86400, "audio_length": 0.24}, "audio_length"),
        ({"length": 86400, "audio_length": 1.0000001, "fade": 1}, "audio_length"),
        ({"audio_length": 5}, "audio_length"),
        ({"length": 10, "audio_length": 2, "fade": 2}, "audio_length"),
    ],
)
def test_what_cannot_be_laid_is_named(arguments: dict[str, Any], named: str) -> None:
    with pytest.raises(InvalidArgumentError) as raised:
        lay_soundtrack(VIDEO, AUDIO, **arguments)
    assert raised.value.field == named


@pytest.mark.parametrize("named", ["video", "audio", "gain", "length", "audio_length", "fade"])
def test_what_another_task_is_to_return_is_for_a_task(named: str) -> None:
    with DAG("dag", schedule=None):
        before: Any = MpsApiOperator(task_id="before", action="DescribeTasks")
    for value in (before.output, before.output["Duration"], before.output.map(len)):
        arguments: dict[str, Any] = {"video": VIDEO, "audio": AUDIO, "length": 10} | {named: value}
        with pytest.raises(InvalidArgumentError, match=rf"^{named}: .* call it in an @task"):
            lay_soundtrack(**arguments)


@pytest.mark.parametrize("named", ["gain", "length", "audio_length", "fade"])
@pytest.mark.parametrize("template", ["{{ params.seconds }}", "{% if true %}5{% endif %}"])
def test_so_is_a_template_of_a_number(named: str, template: str) -> None:
    arguments: dict[str, Any] = {"length": 10, named: template}
    with pytest.raises(InvalidArgumentError, match=rf"^{named}: .* call it in an @task"):
        lay_soundtrack(VIDEO, AUDIO, **arguments)
