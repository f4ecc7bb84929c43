"""DescribeTasks lists what ProcessMedia and EditMedia made, by state, and nothing else."""

import pytest

JOB = {
    "InputInfo": {"Type": "URL", "UrlInputInfo": {"Url": "https://example.com/a.mp4"}},
    "OutputStorage": {"Type": "COS", "CosOutputStorage": {"Bucket": "b-2", "Region": "ap-guangzhou"}},
    "MediaProcessTask": {"TranscodeTaskSet": [{"Definition": 100}]},
}


def listed(mps, status, **params):
    return mps.call("DescribeTasks", {"Status": status} | params)


def test_each_state_lists_its_own_tasks_and_no_session(start):
    mps = start(wait_seconds=60)
    mps.create()
    waiting = mps.call("ProcessMedia", JOB | {"SessionId": "s-1"})["TaskId"]
    running = mps.emulator.add_task("media", wait_seconds=0, run_seconds=60)
    ended = mps.emulator.add_task("media", wait_seconds=0, run_seconds=0)
    for status, task_id, begun, finished in (
        ("WAITING", waiting, False, False),
        ("PROCESSING", running, True, False),
        ("FINISH", ended, True, True),
    ):
        answer = listed(mps, status)
        [task] = answer["TaskSet"]
        assert (task["TaskId"], task["TaskType"], task["SubTaskTypes"]) == (task_id, "WorkflowTask", ["Transcode"])
        assert (answer["TotalCount"], answer["ScrollToken"]) == (1, "")
        assert task["BeginProcessTime"].startswith("0000") is not begun
        assert task["FinishTime"].startswith("0000") is not finished
        assert "SessionId" not in task


def test_the_newest_come_first_and_a_token_leads_on(start):
    mps = start()
    task_ids = [mps.emulator.add_task("media", wait_seconds=60) for _ in range(5)]
    found, token = [], ""
    for size in (2, 2, 1):
        answer = listed(mps, "WAITING", Limit=2, **({"ScrollToken": token} if token else {}))
        assert (len(answer["TaskSet"]), answer["TotalCount"]) == (size, 5)
        found += [task["TaskId"] for task in answer["TaskSet"]]
        token = answer["ScrollToken"]
    assert (found, token) == (task_ids[::-1], "")


def test_what_is_older_or_newer_or_ended_otherwise_is_left_out(start):
    mps = start(wait_seconds=0, run_seconds=0)
    mps.emulator.fault("fail", "ProcessMedia")
    mps.call("ProcessMedia", JOB)
    for params, count in (
        ({"StartTime": "2020-01-01T00:00:00Z", "EndTime": "2999-01-01T00:00:00Z"}, 1),
        ({"StartTime": "2999-01-01T00:00:00Z"}, 0),
        ({"EndTime": "2020-01-01T00:00:00Z"}, 0),
        ({"SubTaskHasFailed": True}, 1),
        ({"SubTaskHasFailed": False}, 0),
    ):
        assert listed(mps, "FINISH", **params)["TotalCount"] == count


@pytest.mark.parametrize(
    ("params", "code"),
    [
        ({}, "MissingParameter"),
        ({"Status": "DONE"}, "InvalidParameterValue.Status"),
        ({"Status": "FINISH", "Limit": 0}, "InvalidParameterValue.Limit"),
        ({"Status": "FINISH", "Limit": 101}, "InvalidParameterValue.Limit"),
    ],
)
def test_a_listing_that_does_not_fit_is_refused(mps, params, code):
    assert mps.code("DescribeTasks", params) == code


def test_a_token_that_was_never_given_out_leads_to_an_empty_page(mps):
    mps.call("ProcessMedia", JOB)
    answer = listed(mps, "FINISH", ScrollToken="taskId6")
    assert (answer["TaskSet"], answer["ScrollToken"]) == ([], "")
