"""Tasks move as planned and end in what the request wants."""

import json
from datetime import datetime, timedelta, timezone
from itertools import product
from urllib.parse import urlsplit

import pytest

from airflow_provider_mps.emulator.service.limits import RollingLimit
from tests.doubles.seen import FILM, MUSIC, PICTURE

FAMILIES = [
    ("aigc_audio", "CreateAigcAudioTask", "DescribeAigcAudioTask", ["WAIT", "RUN", "DONE"]),
    ("aigc_video", "CreateAigcVideoTask", "DescribeAigcVideoTask", ["WAIT", "RUN", "DONE"]),
    ("aigc_image", "CreateAigcImageTask", "DescribeAigcImageTask", ["WAIT", "RUN", "DONE"]),
    ("media", "ProcessMedia", "DescribeTaskDetail", ["WAITING", "PROCESSING", "FINISH"]),
    ("process_image", "ProcessImage", "DescribeImageTaskDetail", ["WAITING", "PROCESSING", "FINISH"]),
    ("text_to_speech", "TextToSpeechAsync", "DescribeTextToSpeechAsyncTask", ["processing", "processing", "success"]),
    ("design_voice", "DesignVoiceAsync", "DescribeDesignTask", ["processing", "processing", "success"]),
    ("clone_viral", "CloneViral", "DescribeCloneViralTask", ["WAIT", "RUN", "DONE"]),
]
COS = {"Type": "COS", "CosInputInfo": {"Bucket": "in-1", "Region": "ap-guangzhou", "Object": "/films/sea.mov"}}
OUTPUT = {"Type": "COS", "CosOutputStorage": {"Bucket": "out-1", "Region": "ap-guangzhou"}}
PROCESS = {
    "InputInfo": COS,
    "OutputStorage": OUTPUT,
    "OutputDir": "/done/",
    "MediaProcessTask": {
        "TranscodeTaskSet": [{"Definition": 100}, {"Definition": 200, "OutputObjectPath": "/x/{inputName}.{format}"}],
        "SnapshotByTimeOffsetTaskSet": [{"Definition": 10}],
    },
}
EDIT = {
    "FileInfos": [{"InputInfo": COS, "StartTimeOffset": 1, "EndTimeOffset": 3}],
    "OutputStorage": OUTPUT,
    "OutputObjectPath": "/done/cut",
}


def detail(mps, task_id):
    return mps.call("DescribeTaskDetail", {"TaskId": task_id})


@pytest.mark.parametrize(("kind", "create", "describe", "words"), FAMILIES)
def test_a_task_waits_runs_and_ends(mps, kind, create, describe, words):
    for word, wait, run in zip(words, (1000, 0, 0), (0, 1000, 0), strict=True):
        task_id = mps.emulator.add_task(kind, wait_seconds=wait, run_seconds=run)
        assert mps.call(describe, {"TaskId": task_id})["Status"] == word
        task = mps.emulator.tasks[-1]
        assert (task.task_id, task.kind, task.action, task.state) == (task_id, kind, create, word)
        assert task.done_at - task.created_at == pytest.approx(wait + run)


@pytest.mark.parametrize(("kind", "create", "describe", "words"), FAMILIES)
def test_a_task_is_known_to_its_own_family_alone(mps, kind, create, describe, words):
    task_id = mps.emulator.add_task(kind)
    for _, _, other, _ in FAMILIES:
        assert mps.code(other, {"TaskId": task_id}) == ("ok" if other == describe else "ResourceNotFound")
    missing = "InvalidParameterValue.TaskId" if describe == "DescribeTaskDetail" else "ResourceNotFound.TaskNotFound"
    assert mps.code(describe, {"TaskId": "24000145-none"}) == missing


def test_a_task_that_still_waits_has_no_results(start):
    mps = start(wait_seconds=1000)
    answer = mps.call("DescribeAigcAudioTask", {"TaskId": mps.create()})
    assert {name: answer[name] for name in answer if name != "RequestId"} == {
        "Status": "WAIT",
        "Message": "",
        "AudioInfos": None,
        "VideoInfos": None,
    }


def test_one_task_may_make_several_audios(mps):
    answer = mps.call("DescribeAigcAudioTask", {"TaskId": mps.create(AdditionalParameters='{"n": 3}')})
    assert len({audio["Url"] for audio in answer["AudioInfos"]}) == 3
    assert answer["VideoInfos"] is None


def test_dubbing_gives_a_video_too(mps):
    task_id = mps.create(VideoInfos=[{"VideoUrl": "https://example.com/v.mp4"}])
    answer = mps.call("DescribeAigcAudioTask", {"TaskId": task_id})
    assert (len(answer["AudioInfos"]), len(answer["VideoInfos"])) == (1, 1)


def test_results_of_the_sisters(mps):
    video = mps.call("CreateAigcVideoTask", FILM)["TaskId"]
    answer = mps.call("DescribeAigcVideoTask", {"TaskId": video})
    assert (len(answer["VideoUrls"]), answer["Resolution"]) == (1, "1280*720")
    image = mps.call("CreateAigcImageTask", PICTURE | {"OutputImageCount": 2})["TaskId"]
    assert len(mps.call("DescribeAigcImageTask", {"TaskId": image})["ImageUrls"]) == 2


def test_process_media_mirrors_what_was_asked(mps):
    answer = detail(mps, mps.call("ProcessMedia", PROCESS)["TaskId"])
    assert (answer["TaskType"], answer["Status"], answer["EditMediaTask"]) == ("WorkflowTask", "FINISH", None)
    task = answer["WorkflowTask"]
    assert (task["Status"], task["ErrCode"], task["InputInfo"]) == ("FINISH", 0, COS)
    first, second, third = task["MediaProcessResultSet"]
    assert [result["Type"] for result in (first, second, third)] == ["Transcode"] * 2 + ["SnapshotByTimeOffset"]
    assert first["TranscodeTask"]["Status"] == "SUCCESS"
    assert first["TranscodeTask"]["Input"] == {"Definition": 100}
    assert first["TranscodeTask"]["Output"]["OutputStorage"] == OUTPUT
    assert first["TranscodeTask"]["Output"]["Path"] == "/done/sea_Transcode_100.mp4"
    assert second["TranscodeTask"]["Output"]["Path"] == "/x/sea.mp4"
    assert third["TranscodeTask"] is None
    assert third["SnapshotByTimeOffsetTask"]["Output"]["PicInfoSet"][0]["Path"].endswith(".png")


def test_process_media_keeps_to_its_input_s_place_by_default(mps):
    params = {"InputInfo": COS, "MediaProcessTask": {"TranscodeTaskSet": [{"Definition": 1}]}}
    [result] = detail(mps, mps.call("ProcessMedia", params)["TaskId"])["WorkflowTask"]["MediaProcessResultSet"]
    output = result["TranscodeTask"]["Output"]
    assert output["Path"] == "/films/sea_Transcode_1.mp4"
    assert output["OutputStorage"]["CosOutputStorage"] == {"Bucket": "in-1", "Region": "ap-guangzhou"}


def test_edit_media_tells_where_the_result_is(mps):
    answer = detail(mps, mps.call("EditMedia", EDIT | {"SessionId": "s", "SessionContext": "c"})["TaskId"])
    assert (answer["TaskType"], answer["WorkflowTask"]) == ("EditMediaTask", None)
    assert (answer["SessionId"], answer["SessionContext"]) == ("s", "c")
    task = answer["EditMediaTask"]
    assert (task["Status"], task["ErrCode"]) == ("FINISH", 0)
    assert task["Output"]["OutputStorage"] == OUTPUT
    assert task["Output"]["Path"] == "/done/cut.mp4"
    assert task["Output"]["MetaData"]["Duration"] == 2


def test_the_service_role_cannot_read_the_store_of_mps(start):
    mps = start(wait_seconds=0, run_seconds=0, results_signed=False)
    song = mps.call("DescribeAigcAudioTask", {"TaskId": mps.call("CreateAigcAudioTask", MUSIC)["TaskId"]})
    bucket = urlsplit(song["AudioInfos"][0]["Url"]).netloc.partition(".")[0]
    theirs = json.loads(json.dumps(EDIT).replace('"in-1"', json.dumps(bucket)))
    told = [detail(mps, mps.call("EditMedia", given)["TaskId"])["EditMediaTask"] for given in (EDIT, theirs)]
    assert [bool(each["ErrCode"]) for each in told] == [False, True]


@pytest.mark.parametrize(
    ("action", "params"),
    [
        ("TextToSpeechAsync", {"Text": "rain", "VoiceId": "v", "ExtParam": '{"synExt": "x"}'}),
        ("ProcessImage", {"InputInfo": COS, "OutputStorage": OUTPUT, "ImageTask": {"EncodeConfig": "png"}}),
    ],
)
def test_what_is_of_another_type_is_judged_and_not_a_crash(mps, action, params):
    assert mps.code(action, params) == "InvalidParameter"


def test_media_tasks_that_run_have_no_outputs(start):
    mps = start(wait_seconds=0, run_seconds=1000)
    answer = detail(mps, mps.call("ProcessMedia", PROCESS)["TaskId"])
    assert (answer["FinishTime"], answer["WorkflowTask"]["Status"]) == ("", "PROCESSING")
    for result in answer["WorkflowTask"]["MediaProcessResultSet"]:
        told = result["TranscodeTask"] or result["SnapshotByTimeOffsetTask"]
        assert (told["Status"], told["Output"]) == ("PROCESSING", None)
    assert detail(mps, mps.call("EditMedia", EDIT)["TaskId"])["EditMediaTask"]["Output"] is None


def test_a_media_task_finishes_also_when_it_fails(mps):
    mps.emulator.fault("fail", "ProcessMedia", message="the source is broken")
    answer = detail(mps, mps.call("ProcessMedia", PROCESS)["TaskId"])
    assert (answer["Status"], answer["WorkflowTask"]["ErrCode"]) == ("FINISH", 0)
    failed, fine, _ = (result["TranscodeTask"] for result in answer["WorkflowTask"]["MediaProcessResultSet"])
    assert (failed["Status"], failed["Message"], failed["Output"]) == ("FAIL", "the source is broken", None)
    assert failed["ErrCode"] != 0
    assert fine["Status"] == "SUCCESS"
    mps.emulator.fault("fail", message="the source is broken")
    answer = detail(mps, mps.call("EditMedia", EDIT)["TaskId"])
    assert (answer["Status"], answer["EditMediaTask"]["Output"]) == ("FINISH", None)
    assert answer["EditMediaTask"]["ErrCode"] != 0
    assert answer["EditMediaTask"]["Message"] == "the source is broken"


def test_a_lost_result_is_a_success_without_outputs(mps):
    task_id = mps.call("EditMedia", EDIT)["TaskId"]
    mps.emulator.fault("done_without_url", "DescribeTaskDetail")
    task = detail(mps, task_id)["EditMediaTask"]
    assert (task["ErrCode"], task["Output"]) == (0, None)


@pytest.mark.parametrize(("action", "params"), [("ProcessMedia", PROCESS), ("EditMedia", EDIT)])
def test_a_session_id_makes_one_task(mps, action, params):
    assert mps.code(action, params | {"SessionId": "once"}) == "ok"
    assert mps.code(action, params | {"SessionId": "once"}) == "InvalidParameterValue.SessionId"
    assert mps.code(action, params | {"SessionId": "twice"}) == "ok"
    assert [mps.code(action, params | {"SessionId": ""}) for _ in range(2)] == ["ok", "ok"]
    assert [task.session_id for task in mps.emulator.tasks] == ["once", "twice", "", ""]


def test_only_a_waiting_media_task_can_be_aborted(mps):
    def abort(task_id):
        return mps.code("ManageTask", {"OperationType": "Abort", "TaskId": task_id})

    waiting = mps.emulator.add_task("media", wait_seconds=1000)
    assert abort(waiting) == "ok"
    answer = detail(mps, waiting)
    assert answer["Status"] == "FINISH"
    assert answer["WorkflowTask"]["ErrCode"] != 0
    assert abort(waiting) == "FailedOperation"
    assert abort(mps.emulator.add_task("media", wait_seconds=0, run_seconds=1000)) == "FailedOperation"
    assert abort(mps.emulator.add_task("aigc_audio", wait_seconds=1000)) == "ResourceNotFound"
    assert abort("24000145-none") == "InvalidParameterValue.TaskId"


def test_past_the_limit_requests_are_refused_for_their_action_alone(start):
    mps = start(requests_per_second=0.001, wait_seconds=0, run_seconds=0)
    task_id = mps.create()
    assert mps.code("CreateAigcAudioTask", MUSIC) == "RequestLimitExceeded"
    assert mps.code("DescribeAigcAudioTask", {"TaskId": task_id}) == "ok"
    assert mps.code("DescribeAigcAudioTask", {"TaskId": task_id}) == "RequestLimitExceeded"
    assert [request.answer for request in mps.emulator.requests] == ["ok", "RequestLimitExceeded"] * 2
    assert len(mps.emulator.tasks) == 1


@pytest.mark.parametrize(
    ("action", "limit"),
    [
        ("CreateAigcAudioTask", 20),
        ("DescribeAigcAudioTask", 20),
        ("CreateAigcVideoTask", 10),
        ("DescribeAigcVideoTask", 50),
        ("CreateAigcImageTask", 20),
        ("DescribeAigcImageTask", 20),
        ("ProcessMedia", 100),
        ("EditMedia", 20),
        ("ManageTask", 20),
        ("DescribeTaskDetail", 100),
        ("DescribeTasks", 100),
        ("DescribeUsageData", 100),
    ],
)
def test_each_rolling_second_has_its_documented_limit(action, limit):
    rolling = RollingLimit("documented")
    passed = [at / 200 for at in range(1000) if rolling.allows("own", action, at / 200)]
    assert len(passed) == 5 * limit
    for first, last in zip(passed, passed[limit:], strict=False):
        assert last - first >= 0.999, "one more than the limit within a second"


def test_one_number_is_the_limit_of_every_action_for_each_account():
    rolling = RollingLimit(2)
    for account, action in product(("own", "other"), ("CreateAigcVideoTask", "DescribeTaskDetail")):
        assert [rolling.allows(account, action, 0.0) for _ in range(3)] == [True, True, False]


@pytest.mark.parametrize("wrong", [0, -1, "many", float("nan")])
def test_a_limit_that_makes_no_sense(wrong):
    with pytest.raises(ValueError, match="requests_per_second must be"):
        RollingLimit(wrong)


def test_so_many_tasks_of_a_model_run_at_once(start):
    mps = start(running_tasks=2, wait_seconds=0, run_seconds=1000)
    codes = [mps.code("CreateAigcAudioTask", MUSIC) for _ in range(4)]
    assert codes == ["ok", "ok", "RequestLimitExceeded", "RequestLimitExceeded"]
    other_spelling = MUSIC | {"ModelName": "MinimaxMusic"}
    assert mps.code("CreateAigcAudioTask", other_spelling) == "RequestLimitExceeded"
    other_model = {"ModelName": "GL", "ModelVersion": "3.0-clip"}
    assert mps.create(**other_model), "each model has its own room"
    assert mps.code("CreateAigcVideoTask", FILM) == "ok"
    assert [mps.code("ProcessMedia", PROCESS) for _ in range(3)] == ["ok"] * 3
    mps.emulator.accept_credential("other-id", "other-key", account="other")
    assert mps.code("CreateAigcAudioTask", MUSIC, secret_id="other-id", secret_key="other-key") == "ok"
    assert mps.emulator.refused_for_room == 3
    assert len(mps.emulator.tasks) == 8


def test_room_comes_when_a_task_ends(start):
    mps = start(running_tasks=1, wait_seconds=0, run_seconds=0)
    assert [mps.code("CreateAigcAudioTask", MUSIC) for _ in range(3)] == ["ok"] * 3
    mps.emulator.fault("never_done")
    assert [mps.code("CreateAigcAudioTask", MUSIC) for _ in range(2)] == ["ok", "RequestLimitExceeded"]
    assert mps.emulator.refused_for_room == 1
    mps.emulator.reset()
    assert mps.emulator.refused_for_room == 0


def test_room_may_come_some_time_after_the_end(start):
    mps = start(running_tasks=1, room_late=1000, wait_seconds=0, run_seconds=0)
    assert [mps.code("CreateAigcAudioTask", MUSIC) for _ in range(2)] == ["ok", "RequestLimitExceeded"]
    [task] = mps.emulator.tasks
    assert task.state == "DONE"
    task.created_at -= 1001
    assert mps.code("CreateAigcAudioTask", MUSIC) == "ok"


def test_a_task_that_ended_long_ago_is_forgotten(start):
    mps = start(wait_seconds=0, run_seconds=0, tasks_kept_seconds=0)
    assert mps.code("DescribeAigcAudioTask", {"TaskId": mps.create()}) == "ResourceNotFound.TaskNotFound"
    once = PROCESS | {"SessionId": "once"}
    assert mps.code("DescribeTaskDetail", {"TaskId": mps.call("ProcessMedia", once)["TaskId"]}) != "ok"
    running = mps.emulator.add_task(run_seconds=1000)
    assert mps.code("DescribeAigcAudioTask", {"TaskId": running}) == "ok"


def test_a_task_belongs_to_its_account(mps):
    mps.emulator.accept_credential("other-id", "other-key", account="other")
    mps.emulator.accept_credential("same-id", "same-key")
    task_id = mps.call("ProcessMedia", PROCESS | {"SessionId": "s"})["TaskId"]
    keys = {"secret_id": "other-id", "secret_key": "other-key"}
    assert mps.code("DescribeTaskDetail", {"TaskId": task_id}, **keys) == "ResourceNotFound"
    assert mps.code("ManageTask", {"TaskId": task_id, "OperationType": "Abort"}, **keys) == "ResourceNotFound"
    assert mps.call("DescribeTasks", {"Status": "FINISH"}, **keys)["TaskSet"] == []
    assert mps.code("ProcessMedia", PROCESS | {"SessionId": "s"}, **keys) == "ok", "a SessionId is an account's own"
    same = {"secret_id": "same-id", "secret_key": "same-key"}
    assert mps.code("DescribeTaskDetail", {"TaskId": task_id}, **same) == "ok"


def test_usage_is_counted_by_day(mps):
    mps.call("CreateAigcVideoTask", FILM | {"Duration": 10})
    mps.call("CreateAigcVideoTask", FILM)
    mps.emulator.fault("fail")
    mps.call("CreateAigcVideoTask", FILM)
    mps.call("CreateAigcImageTask", PICTURE | {"ModelName": "MJ"})
    mps.call("EditMedia", EDIT)
    mps.create()
    day = datetime.now(timezone(timedelta(hours=8))).strftime("%Y-%m-%d")
    days = {"StartTime": f"{day}T00:00:00+08:00", "EndTime": f"{day}T23:59:59+08:00"}
    kinds = ["AIGCVideo", "AIGCImage", "Transcode", "Enhance"]
    data = mps.call("DescribeUsageData", days | {"Types": kinds})["Data"]
    assert [each["TaskType"] for each in data] == kinds
    counted = [[(line["Count"], line["Usage"]) for line in each["Summary"]] for each in data]
    assert counted == [[(2, 15)], [(1, 4)], [(1, 2)], []]
    [transcode] = mps.call("DescribeUsageData", days)["Data"]
    assert transcode["TaskType"] == "Transcode", "what the reference says to be the default"
    past = {"StartTime": "2020-01-01T00:00:00+08:00", "EndTime": "2020-01-02T00:00:00+08:00"}
    assert mps.call("DescribeUsageData", past)["Data"][0]["Summary"] == []
    mps.emulator.accept_credential("other-id", "other-key", account="other")
    keys = {"secret_id": "other-id", "secret_key": "other-key"}
    assert mps.call("DescribeUsageData", days, **keys)["Data"][0]["Summary"] == []
    assert mps.code("DescribeUsageData", {"StartTime": "2020-01-01T00:00:00Z"}) == "MissingParameter"


def test_without_a_limit_all_pass():
    assert all(RollingLimit(None).allows("own", "CreateAigcAudioTask", 0.0) for _ in range(1000))
