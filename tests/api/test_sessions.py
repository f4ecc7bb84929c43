"""A create that MPS knows already by its SessionId: the way back to the first task, and what is said without one."""

import asyncio
from collections.abc import Iterator
from typing import Any

import pytest

from airflow_provider_mps.api.errors import AmbiguousCreateError, ApiError, DuplicateSessionError, FirstTaskFailedError
from airflow_provider_mps.api.request.create_once import create_once
from airflow_provider_mps.api.request.fields import PROCESS_MEDIA_REQUEST
from airflow_provider_mps.api.wire.client import CreatedTask, MpsClient
from airflow_provider_mps.emulator import MpsEmulator
from tests.api.conftest import settings
from tests.doubles.servers import Handler, LoopbackServer, hang

JOB: dict[str, Any] = {
    "InputInfo": {"Type": "URL", "UrlInputInfo": {"Url": "https://example.com/film.mp4"}},
    "OutputStorage": {"Type": "COS", "CosOutputStorage": {"Bucket": "films-1250000000", "Region": "ap-singapore"}},
    "MediaProcessTask": {"TranscodeTaskSet": [{"Definition": 100010}]},
}
MINE = JOB | {"SessionId": "mine-1"}
CREATE = PROCESS_MEDIA_REQUEST.action
LISTED = "DescribeTasks"
DETAIL = "DescribeTaskDetail"
DUPLICATE = {"Error": {"Code": "InvalidParameterValue.SessionId", "Message": "used"}}


def create(port: int, params: dict[str, Any] = MINE, *, next_session: bool = False) -> CreatedTask:
    with MpsClient(settings(port)) as client:
        return client.run(create_once(client, PROCESS_MEDIA_REQUEST, params, next_session=next_session))


@pytest.fixture
def ended() -> Iterator[MpsEmulator]:
    """An emulator whose tasks have ended when they are made."""
    with MpsEmulator(wait_seconds=0, run_seconds=0, requests_per_second=None) as emulator:
        yield emulator


def add_others(emulator: MpsEmulator, count: int) -> None:
    """So many newer tasks, which are listed before the first one."""
    for _ in range(count):
        emulator.add_task("media")


def test_the_first_task_is_found_behind_many_others(ended: MpsEmulator) -> None:
    first = create(ended.port)
    add_others(ended, 230)
    assert create(ended.port).task_id == first.task_id
    assert ended.count(CREATE) == 2


def test_a_first_task_that_failed_is_found_there_too(ended: MpsEmulator) -> None:
    ended.fault("fail", CREATE, message="out of coffee")
    first = create(ended.port)
    add_others(ended, 110)
    with pytest.raises(FirstTaskFailedError, match=f"has failed: .*out of coffee.*{first.task_id}"):
        create(ended.port)
    second = create(ended.port, next_session=True)
    assert second.task_id == ended.tasks[-1].task_id != first.task_id
    assert create(ended.port, next_session=True).task_id == second.task_id, "all tries share the next one, too"


@pytest.mark.usefixtures("mps_short_waits")
@pytest.mark.parametrize(("code", "times"), [("InvalidParameterValue", 2), ("NewCode", 6), ("InternalError", 6)])
def test_a_listed_task_that_cannot_be_described_is_passed_over(ended: MpsEmulator, code: str, times: int) -> None:
    first = create(ended.port)
    add_others(ended, 2)
    ended.fault("error", DETAIL, code=code, times=times)
    assert create(ended.port).task_id == first.task_id


@pytest.mark.usefixtures("mps_short_waits")
@pytest.mark.parametrize("action", [LISTED, DETAIL])
@pytest.mark.parametrize(
    ("code", "retry_helps"),
    [
        ("UnauthorizedOperation.CamNoAuth", False),
        ("AuthFailure.SecretIdNotFound", False),
        ("InvalidParameterValue.Status", False),
        ("InternalError", True),
        ("SomethingNew", True),
    ],
)
def test_a_search_that_fails_says_that_the_task_exists(
    ended: MpsEmulator, action: str, code: str, retry_helps: bool
) -> None:
    create(ended.port)
    add_others(ended, 5)
    ended.fault("error", action, code=code, times=None)
    with pytest.raises(DuplicateSessionError, match=code) as unfound:
        create(ended.port)
    error = unfound.value
    assert error.retry_helps is retry_helps
    assert isinstance(error.__cause__, ApiError)
    check_says_what_is_known(error)
    assert ended.count(CREATE) == 2


def check_says_what_is_known(error: DuplicateSessionError) -> None:
    told = str(error)
    for part in ("runs once and is billed once", "mine-1", "console", "wait for it"):
        assert part in told
    for lie in ("nothing is billed", "did not run", "may have run"):
        assert lie not in told


@pytest.mark.parametrize("task_set", [None, "strange", {}, [None, 7, [], {}, {"TaskId": 7}, {"TaskId": ""}]])
def test_a_listing_without_usable_tasks_ends(task_set: object) -> None:
    """Also where each page leads on to the next one."""

    def respond(handler: Handler) -> None:
        listed = handler.received.headers["x-tc-action"] == LISTED
        handler.answer({"Response": {"TaskSet": task_set, "ScrollToken": "on"} if listed else DUPLICATE})

    with LoopbackServer(respond) as server, pytest.raises(DuplicateSessionError) as unfound:
        create(server.server_port)
    check_says_what_is_known(unfound.value)
    assert len(server.requests) < 100


def test_a_search_that_is_interrupted_says_so_too() -> None:
    async def interrupted() -> None:
        loop = asyncio.get_running_loop()

        def respond(handler: Handler) -> None:
            if handler.received.headers["x-tc-action"] == LISTED:
                loop.call_soon_threadsafe(creating.cancel)
                hang(handler)
            handler.answer({"Response": DUPLICATE})

        with LoopbackServer(respond) as server:
            async with MpsClient(settings(server.server_port)) as client:
                creating = asyncio.create_task(create_once(client, PROCESS_MEDIA_REQUEST, MINE))
                await creating

    with pytest.raises(DuplicateSessionError, match="CancelledError") as unfound:
        asyncio.run(interrupted())
    check_says_what_is_known(unfound.value)
    assert unfound.value.retry_helps


def test_without_a_session_a_create_in_doubt_is_not_sent_again(ended: MpsEmulator) -> None:
    ended.fault("cut_after", CREATE)
    with pytest.raises(AmbiguousCreateError):
        create(ended.port, JOB)
    assert len(ended.tasks) == ended.count(CREATE) == 1
