"""What a worker asks Airflow's API server in each run that a create takes: a batch pays for each question."""

from collections import Counter
from importlib.util import find_spec

import pytest

from scripts.worker_run import ROOT, Checkout

OF_EACH_RUN = {
    "PATCH task-instances run": 1,
    "PUT task-instances rtif": 1,
    "PATCH task-instances state": 1,
    "GET connections": 1,
    "GET store": 1,
}
CONSOLE = {"POST xcoms _link_MpsConsoleLink": 1}
FILES = ("usage", "audio_urls", "result", "return_value", "_link_ListenLink")


@pytest.mark.skipif(not find_spec("airflow.sdk.execution_time.coordinator"), reason="starts tasks as Airflow 3.3 does")
def test_a_run_asks_no_more_than_it_has_to() -> None:
    with Checkout(ROOT) as checkout:
        checkout.one_round()
    asked = {kind: checkout.asked(kind) for kind in checkout.runs}
    assert asked["refused"] == {**OF_EACH_RUN, **CONSOLE, "PUT store": 1, "DELETE store": 1}
    assert asked["sent"] == {**OF_EACH_RUN, **CONSOLE, "PUT store": 2}
    assert asked["finished"] == Counter(
        {**OF_EACH_RUN, **CONSOLE, "PUT store": 1, **{f"POST xcoms {key}": 1 for key in FILES}}
    )
