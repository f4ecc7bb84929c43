"""An error is the same in another process, with all that it says: so Airflow retries it there, or not, as here."""

import copy
import multiprocessing
import pickle
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from typing import Any

import pytest

from airflow_provider_mps import errors as forms
from airflow_provider_mps.api import errors
from airflow_provider_mps.api.codes import Failure
from airflow_provider_mps.api.errors import MpsError
from airflow_provider_mps.compat import AirflowException, AirflowFailException, BaseOperator
from airflow_provider_mps.emulator import MpsEmulator
from airflow_provider_mps.hooks.mps import MpsHook
from tests.doubles.emulators import CREATE
from tests.doubles.error_classes import error_classes
from tests.doubles.logs import Lines
from tests.doubles.seen import MUSIC, MUSIC_ARGUMENTS
from tests.doubles.task_instances import State, TaskInstance

CALL: dict[str, Any] = {
    "failure": Failure.SERVER_TROUBLE,
    "action": CREATE,
    "code": "InternalError",
    "request_id": "r-1",
}
MADE: dict[str, Callable[[], MpsError]] = {
    "MpsError": lambda: MpsError("what", cost="cost", advice="advice", details="details", task_id="t-1"),
    "InvalidArgumentError": lambda: errors.InvalidArgumentError("prompt", "is empty"),
    "InvalidConnectionError": lambda: errors.InvalidConnectionError("must be a number", field="timeout", conn_id="mps"),
    "MissingConnectionError": lambda: errors.MissingConnectionError("mps", "is not there", "make it"),
    "RunningLoopError": lambda: errors.RunningLoopError("MpsHook.acall"),
    "CallError": lambda: errors.CallError("boom", **CALL),
    "ApiError": lambda: errors.ApiError("boom", **CALL),
    "NoRoomError": lambda: errors.NoRoomError("boom", **CALL),
    "TransportError": lambda: errors.TransportError("boom", **CALL),
    "UnreadableAnswerError": lambda: errors.UnreadableAnswerError("boom", **CALL),
    "MissingTaskIdError": lambda: errors.MissingTaskIdError("boom", **CALL),
    "CredentialError": lambda: errors.CredentialError("boom", **CALL),
    "AmbiguousCreateError": lambda: errors.AmbiguousCreateError(CREATE, MUSIC, 0.0, "cut", "r-1", "InternalError"),
    "OtherAccountError": lambda: errors.OtherAccountError("what", task_id="t-1"),
    "NotRememberedError": lambda: errors.NotRememberedError("what"),
    "DuplicateSessionError": lambda: errors.DuplicateSessionError(CREATE, "mine", "no answer", retry_helps=True),
    "FirstTaskFailedError": lambda: errors.FirstTaskFailedError(CREATE, "t-1", "out of tune"),
    "TaskFailedError": lambda: errors.TaskFailedError("what", task_id="t-1"),
    "NoResultError": lambda: errors.NoResultError("what", task_id="t-1"),
    "WaitTimeoutError": lambda: errors.WaitTimeoutError("what", task_id="t-1"),
    "InterruptedWaitError": lambda: errors.InterruptedWaitError("what", task_id="t-1"),
    "DownloadError": lambda: errors.DownloadError("what", retry_helps=False),
    "ExpiredUrlError": lambda: errors.ExpiredUrlError("what"),
}
FORMS = ("as it is", "retried", "not retried")


def made(name: str, form: str) -> MpsError:
    """An error as it is in `api/`, or as it leaves the package."""
    error = MADE[name]()
    if form == "as it is":
        return error
    error.retry_helps = form == "retried"
    return forms.airflows(error, "mps")


def fail_with(name: str, form: str) -> None:
    raise made(name, form)


def create(prompt: str) -> str:
    return MpsHook().create_aigc_audio_task(**(MUSIC_ARGUMENTS | {"prompt": prompt}))


@pytest.fixture(scope="module")
def pool() -> Iterator[ProcessPoolExecutor]:
    """A process that has imported nothing yet."""
    with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn")) as executor:
        yield executor


def same(error: BaseException, other: BaseException) -> bool:
    parts = [{name: part for name, part in vars(each).items() if name != "__notes__"} for each in (error, other)]
    return type(error) is type(other) and str(error) == str(other) and error.args == other.args and parts[0] == parts[1]


def test_each_class_is_here() -> None:
    ours = [kind for kind in error_classes() if kind.__module__.startswith("airflow_provider_mps")]
    assert {kind.__name__ for kind in ours} == set(MADE)
    assert {kind.__name__ for kind in ours if kind.__module__ == errors.__name__} == set(MADE)


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("name", MADE)
def test_a_copy_is_the_same(name: str, form: str) -> None:
    error = made(name, form)
    for again in (copy.copy(error), copy.deepcopy(error), pickle.loads(pickle.dumps(error))):
        assert same(error, again)


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("name", MADE)
def test_it_is_the_same_out_of_another_process(name: str, form: str, pool: ProcessPoolExecutor) -> None:
    error = made(name, form)
    with pytest.raises(type(MADE[name]())) as raised:
        pool.submit(fail_with, name, form).result(timeout=60)
    assert same(error, raised.value)
    assert isinstance(raised.value, AirflowException) is (form != "as it is")
    assert isinstance(raised.value, AirflowFailException) is (form == "not retried")


def test_a_create_in_doubt_in_another_process_is_not_paid_for_twice(emulator: MpsEmulator) -> None:
    """As a @task does it that creates several songs at a time."""

    class Songs(BaseOperator):
        def execute(self, context: Any) -> list[str]:
            with ProcessPoolExecutor(1) as executor:
                return list(executor.map(create, ["rain"]))

    emulator.fault("cut_after", CREATE)
    outcome = TaskInstance(lambda: Songs(task_id="songs"), retries=2).run()
    assert (outcome.state, outcome.tries, len(emulator.tasks)) == (State.FAILED, 1, 1)
    [error] = outcome.errors
    assert isinstance(error, errors.AmbiguousCreateError)
    assert (error.action, error.conn_id, error.params["Prompt"]) == (CREATE, "tencent_mps_default", "rain")


def create_after_a_call(prompts: list[str]) -> list[str]:
    hook = MpsHook()
    hook.call("DescribeTasks", {"Status": "FINISH"})
    with ProcessPoolExecutor(2, mp_context=multiprocessing.get_context("fork")) as executor:
        return list(executor.map(partial(create_with, hook), prompts))


def create_with(hook: MpsHook, prompt: str) -> str:
    return hook.create_aigc_audio_task(**(MUSIC_ARGUMENTS | {"prompt": prompt}))


@pytest.mark.filterwarnings("ignore:.*use of fork:DeprecationWarning")
def test_a_fork_after_the_hook_has_called_pays_once_for_each(emulator: MpsEmulator) -> None:
    made = create_after_a_call(["rain", "snow"])
    assert sorted(made) == sorted(task.task_id for task in emulator.tasks)
    emulator.fault("cut_after", CREATE)
    with pytest.raises(AirflowFailException) as raised:
        create_after_a_call(["hail"])
    assert isinstance(raised.value, errors.AmbiguousCreateError)
    assert len(emulator.tasks) == 3


def test_in_a_python_that_airflow_started_the_hook_says_before_it_sends_how_not_to_pay_twice(
    emulator: MpsEmulator, logged: Lines, monkeypatch: pytest.MonkeyPatch
) -> None:
    """@task.external_python and its kind set this variable there; of an error, they hand on only the text."""
    monkeypatch.setenv("PYTHON_OPERATORS_VIRTUAL_ENV_MODE", "1")
    emulator.fault("cut_after", CREATE)
    with pytest.raises(errors.AmbiguousCreateError, match="retries=0"):
        create("rain")
    assert len(logged.of("retries=0")) == 1
    MpsHook().call("DescribeTasks", {"Status": "FINISH"})
    assert len(logged.of("retries=0")) == 1, "a read costs nothing"
