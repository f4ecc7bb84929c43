"""What a task is likely to cost, by the prices of the user's own connection: said before a create and afterwards."""

import json
from collections.abc import Callable
from typing import Any

import pytest

from airflow_provider_mps.api.errors import InvalidConnectionError
from airflow_provider_mps.emulator import MpsEmulator
from airflow_provider_mps.hooks.mps import MpsHook
from airflow_provider_mps.operators.mps import (
    CreateAigcAudioTaskOperator,
    CreateAigcImageTaskOperator,
    CreateAigcVideoTaskOperator,
)
from tests.doubles.in_time import ends
from tests.doubles.logs import Lines
from tests.doubles.recorded_stats import RecordedStats
from tests.doubles.seen import FILM_ARGUMENTS, MUSIC_ARGUMENTS, PICTURE_ARGUMENTS
from tests.doubles.task_instances import Outcome, TaskInstance

PRICES = {
    "currency": "usd",
    "MiniMaxMusic": {"song": 9},
    "MinimaxMusic 2.6": {"song": 0.14},
    "Kling": {"second": 0.05},
    "Qwen": {"picture": 0.02},
}
DUBBING: dict[str, Any] = {
    "model_name": "Kling",
    "scene_type": "sfx",
    "prompt": "rain",
    "video_infos": ["https://example.com/film.mp4"],
}
SONG = (CreateAigcAudioTaskOperator, MUSIC_ARGUMENTS)
FILM = (CreateAigcVideoTaskOperator, FILM_ARGUMENTS)
PICTURE = (CreateAigcImageTaskOperator, PICTURE_ARGUMENTS)


def run(operator: Any, arguments: dict[str, Any], **more: Any) -> Outcome:
    told = {"task_id": "create", "wait_for_completion": True, "poll_interval": 0.05} | arguments | more
    return ends(TaskInstance(lambda: operator(**told), 0).run)


@pytest.mark.parametrize("as_text", [False, True], ids=["object", "as forms store it"])
@pytest.mark.parametrize("deferrable", [False, True])
@pytest.mark.parametrize(
    ("create", "more", "before", "cost"),
    [
        (SONG, {}, "about 0.14 USD, by the connection's prices for MiniMaxMusic 2.6", 0.14),
        (SONG, {"model_version": "2.5"}, "about 9 USD", 9.0),
        (FILM, {"duration": 10}, "about 0.5 USD", 0.5),
        (FILM, {}, "about 0.05 USD a second", None),  # neither the request nor the answer gives a length
        (PICTURE, {}, "about 0.02 USD", 0.02),
        (PICTURE, {"output_image_count": 3}, "about 0.06 USD", 0.06),
    ],
)
def test_it_is_said_before_the_create_and_is_in_usage(
    emulator: MpsEmulator,
    connect: Callable[..., None],
    logged: Lines,
    create: Any,
    more: dict[str, Any],
    before: str,
    cost: float | None,
    deferrable: bool,
    as_text: bool,
) -> None:
    connect(prices=json.dumps(PRICES) if as_text else PRICES)
    outcome = run(*create, **more, deferrable=deferrable)
    [said] = [number for number, line in enumerate(logged.lines) if "an estimate, not a bill" in line]
    assert before in logged.lines[said]
    assert any("Submitted" in line for line in logged.lines[said:])
    assert outcome.xcoms["usage"].get("estimated_cost") == cost
    assert outcome.xcoms["usage"].get("currency") == ("USD" if cost else None)


@pytest.mark.parametrize(("price", "cost"), [({"second": 0.05}, 0.05), ({"song": 0.14}, 0.14)])
def test_a_video_with_its_new_sound_is_paid_for_once(
    emulator: MpsEmulator, connect: Callable[..., None], price: dict[str, float], cost: float
) -> None:
    connect(prices={"currency": "USD", "Kling": price})
    xcoms = run(CreateAigcAudioTaskOperator, DUBBING).xcoms
    [sound] = xcoms["result"]["AudioInfos"]
    assert len(xcoms["result"]["VideoInfos"]) == 1
    assert xcoms["usage"]["files"] == 2
    assert xcoms["usage"]["seconds"] == sound["Duration"]
    assert xcoms["usage"]["estimated_cost"] == (cost if "song" in price else cost * sound["Duration"])


def test_it_is_counted(emulator: MpsEmulator, connect: Callable[..., None], stats: RecordedStats) -> None:
    connect(prices=PRICES)
    run(*SONG)
    assert stats.counted["mps.usage.cost"] == pytest.approx(0.14)
    assert stats.tags["mps.usage.cost"]["currency"] == "USD"


def test_a_dry_run_says_it(emulator: MpsEmulator, connect: Callable[..., None], logged: Lines) -> None:
    connect(prices=PRICES)
    operator, arguments = SONG
    operator(task_id="create", **arguments).dry_run()
    assert logged.of("about 0.14 USD")
    assert emulator.requests == []


@pytest.mark.parametrize("prices", [None, {}, "", {"currency": "USD"}, {"currency": "USD", "Kling": {"second": 1}}])
def test_without_a_price_for_the_model_nothing_is_said(
    emulator: MpsEmulator, connect: Callable[..., None], logged: Lines, stats: RecordedStats, prices: Any
) -> None:
    connect(prices=prices)
    assert not {"estimated_cost", "currency"} & run(*SONG).xcoms["usage"].keys()
    assert "mps.usage.cost" not in stats.counted
    assert logged.of("estimate") == []


@pytest.mark.parametrize(("create", "cost"), [(FILM, 0.0), (PICTURE, 0.0), (SONG, None)])
def test_of_a_task_that_failed_only_what_is_known_to_cost_nothing_has_a_cost(
    emulator: MpsEmulator, connect: Callable[..., None], create: Any, cost: float | None
) -> None:
    connect(prices=PRICES)
    emulator.fault("fail", create[0].request.action)
    assert run(*create).xcoms["usage"].get("estimated_cost") == cost


@pytest.mark.parametrize(
    ("prices", "named"),
    [
        ("0.14", "prices"),
        ("{", "prices"),
        ([1], "prices"),
        (7, "prices"),
        ({"Kling": {"second": 1}}, "prices.currency"),
        ({"currency": "dollars"}, "prices.currency"),
        ({"currency": "USD", "Kling": 1}, "prices.Kling"),
        ({"currency": "USD", "Kling 2.1": {"minute": 1}}, "prices.Kling 2.1"),
        ({"currency": "USD", "Kling": {"second": -1}}, "prices.Kling"),
        ({"currency": "USD", "Kling": {"second": "1"}}, "prices.Kling"),
        ({"currency": "USD", "Kling": {"second": True}}, "prices.Kling"),
        ({"currency": "USD", "Kling": {"second": 1, "song": 1}}, "prices.Kling"),
        ({"currency": "USD", "Kling": {}}, "prices.Kling"),
    ],
)
def test_a_price_that_is_none_is_named_before_anything_is_sent(
    emulator: MpsEmulator, connect: Callable[..., None], prices: Any, named: str
) -> None:
    connect(prices=prices)
    with pytest.raises(InvalidConnectionError) as failed:
        _ = MpsHook().settings
    assert failed.value.field == named
    [error] = run(*SONG).errors
    assert named in str(error)
    assert emulator.requests == []
