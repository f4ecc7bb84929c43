"""What the package promises, and what the service answers: `make live` asks a real one, `make test` the emulator.

Each test writes down what it learned before it judges it.
"""

import secrets
import time
from pathlib import Path

import pytest

from airflow_provider_mps.api.codes import About, Failure
from airflow_provider_mps.api.errors import ApiError, InvalidConnectionError
from airflow_provider_mps.api.tasks import (
    AIGC_AUDIO,
    AIGC_IMAGE,
    AIGC_VIDEO,
    DESIGN_VOICE,
    MEDIA,
    PICTURES,
    TEXT_TO_SPEECH,
)
from airflow_provider_mps.hooks.mps import MpsHook
from airflow_provider_mps.operators.mps import EditMediaOperator, ProcessMediaOperator
from airflow_provider_mps.sensors.mps import AigcAudioTaskSensor
from airflow_provider_mps.transfers.mps_to_object_storage import MpsToObjectStorageOperator
from tests.doubles.seen import MUSIC_ARGUMENTS
from tests.live.runs import PATIENCE, POLL_INTERVAL, code_of, run

UNKNOWN = [
    *((AIGC_AUDIO, "AigcAudio"), (AIGC_VIDEO, "AigcVideo"), (AIGC_IMAGE, "AigcImage"), (MEDIA, "WorkflowTask")),
    *((PICTURES, "WorkflowTask"), (TEXT_TO_SPEECH, "DubbingAsync"), (DESIGN_VOICE, "DesignVoiceAsync")),
]
MP3 = {"Container": "mp3", "RemoveVideo": 1, "AudioTemplate": {"Codec": "libmp3lame", "Bitrate": 64}}


@pytest.mark.live(creates=1)
def test_a_song_is_submitted_waited_for_and_fetched(facts, tmp_path):
    hook = MpsHook()
    began = time.monotonic()
    task_id = hook.create_aigc_audio_task(**MUSIC_ARGUMENTS)
    created = time.monotonic()
    unknown_for = 0.0
    while True:
        try:
            status = hook.describe_aigc_audio_task(task_id)
            break
        except ApiError as error:
            unknown_for = time.monotonic() - created
            if error.failure is not Failure.NOT_FOUND or unknown_for > 60:
                raise
            time.sleep(POLL_INTERVAL)
    known = f"unknown for {unknown_for:.1f} s" if unknown_for else "known at once"
    facts.seen(f"A new audio task is {known}, and its first status is {status.word}.")

    sensor = run(AigcAudioTaskSensor, mps_task_id=task_id, poke_interval=POLL_INTERVAL, timeout=PATIENCE)
    songs = sensor.value["AudioInfos"]
    model = f"{MUSIC_ARGUMENTS['model_name']} {MUSIC_ARGUMENTS['model_version']}"
    lengths = ", ".join(f"{song['Duration'] or 0:g}" for song in songs)
    facts.seen(f"{model} made songs of {lengths} s in {time.monotonic() - began:.0f} s.")
    signed = all("?" in url for url in sensor.xcoms["audio_urls"])
    facts.seen(f"Results in MPS's own store come {'with' if signed else 'without'} a query in their URLs.")

    kept = run(MpsToObjectStorageOperator, urls=sensor.xcoms["audio_urls"], destination=str(tmp_path)).value
    assert [Path(uri.removeprefix("file://")).stat().st_size > 0 for uri in kept] == [True] * len(songs)

    for family, _ in UNKNOWN[1:]:
        with pytest.raises(ApiError) as refused:
            hook.describe(family, task_id)
        facts.seen(f"{family.describe} answers {code_of(refused.value)} to the TaskId of an audio task.")
        assert refused.value.failure is Failure.NOT_FOUND


@pytest.mark.live(creates=1)
def test_a_refused_argument_is_final_and_makes_no_task(facts):
    with pytest.raises(ApiError) as refused:
        MpsHook().create_aigc_audio_task(**MUSIC_ARGUMENTS | {"scene_type": "airflow-live-no-such-scene"})
    facts.seen(f"CreateAigcAudioTask answers {code_of(refused.value)} to an unknown SceneType.")
    assert refused.value.failure is Failure.FINAL


@pytest.mark.live(creates=1)
def test_an_unknown_model_is_refused_for_good_or_accepted(facts):
    """The list of models is an open one, so the package refuses none; what the service does is not known."""
    failure = None
    try:
        MpsHook().create_aigc_audio_task(**MUSIC_ARGUMENTS | {"model_name": "airflow-live-no-such-model"})
    except ApiError as refused:
        failure = refused.failure
        facts.seen(f"CreateAigcAudioTask answers {code_of(refused)} to an unknown ModelName.")
    else:
        facts.seen("CreateAigcAudioTask accepts an unknown ModelName.")
    assert failure in (None, Failure.FINAL)


@pytest.mark.live(creates=0)
@pytest.mark.parametrize(("family", "word"), UNKNOWN, ids=[family.kind for family, _ in UNKNOWN])
def test_an_unknown_task_is_said_to_be_unknown(facts, family, word):
    with pytest.raises(ApiError) as refused:
        MpsHook().describe(family, f"24000145-{word}-{secrets.token_hex(16)}")
    facts.seen(f"{family.describe} answers {code_of(refused.value)} to a TaskId that never was.")
    assert refused.value.failure is Failure.NOT_FOUND


@pytest.mark.live(creates=0)
def test_a_region_of_mainland_china_is_refused_by_name_on_the_international_site(service, monkeypatch):
    service.connect("elsewhere", monkeypatch, site="intl", region="ap-guangzhou")
    with pytest.raises(InvalidConnectionError, match=r"region: .*ap-guangzhou"):
        MpsHook("elsewhere").call("DescribeAigcAudioTask", {"TaskId": "airflow-live"})


@pytest.mark.live(creates=0)
def test_what_the_service_itself_says_of_that_region(service, facts, monkeypatch):
    # The site in China has no such rule, so that the package sends the call; the host is still the account's own.
    host = MpsHook().settings.host
    service.connect("elsewhere", monkeypatch, host=host, site="cn", region="ap-guangzhou")
    with pytest.raises(ApiError) as refused:
        MpsHook("elsewhere").call("DescribeAigcAudioTask", {"TaskId": "airflow-live"})
    facts.seen(f"The host answers {code_of(refused.value)} to a call for ap-guangzhou.")
    assert refused.value.failure in (Failure.FINAL, Failure.NOT_FOUND)


@pytest.mark.live(creates=0)
def test_a_result_in_the_user_s_bucket_is_fetched(facts, stored_song, tmp_path):
    signed = "?" in stored_song
    facts.seen(f"Results in the user's bucket come {'with' if signed else 'without'} a query in their URLs.")
    (kept,) = run(MpsToObjectStorageOperator, urls=stored_song, destination=str(tmp_path)).value
    assert Path(kept.removeprefix("file://")).stat().st_size > 0


@pytest.mark.live(creates=3)
@pytest.mark.parametrize(
    ("operator", "arguments"),
    [
        (ProcessMediaOperator, {"media_process_task": {"TranscodeTaskSet": [{"Definition": 0, "RawParameter": MP3}]}}),
        (EditMediaOperator, {"output_config": {"Container": "mp3"}, "output_object_path": "/airflow-live/cut.mp3"}),
    ],
    ids=["ProcessMedia", "EditMedia"],
)
def test_a_repeated_session_id_leads_to_the_first_task(facts, stored_song, bucket, operator, arguments):
    fields = {
        "input_url": stored_song,
        "output_cos": {"Bucket": bucket["CosBucketName"], "Region": bucket["CosBucketRegion"]},
        "session_id": f"airflow-live-{secrets.token_hex(8)}",
    } | arguments
    request = operator.request
    first = run(operator, **fields).value
    with pytest.raises(ApiError) as refused:
        MpsHook().call(request.action, request.build(fields))
    facts.seen(f"{request.action} answers {code_of(refused.value)} to a SessionId that was used before.")
    assert refused.value.about is About.SESSION
    assert run(operator, **fields).value == first
