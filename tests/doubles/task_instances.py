"""A task instance, played as Airflow plays it: tries, deferrals, reschedules, clears, and workers that are killed."""

import asyncio
import datetime
import json
import time
from collections.abc import Callable, Iterator
from contextlib import nullcontext, suppress
from dataclasses import dataclass, field, replace
from enum import StrEnum
from functools import partial
from importlib import import_module
from typing import Any

from airflow.triggers.base import BaseTrigger

from airflow_provider_mps.compat import AirflowFailException, AirflowSensorTimeout, AirflowTaskTimeout, BaseOperator
from tests.doubles.airflows import AirflowRescheduleException, AirflowSkipException, TaskDeferred, alarm, let_execute
from tests.doubles.in_time import ends


class State(StrEnum):
    """How a task instance ends."""

    SUCCESS = "success"
    FAILED = "failed"
    SKIPPED = "skipped"


class Killed(SystemExit):
    """The worker is gone. Of what the code still does after this, nothing has an effect."""


class Worker:
    """The process of one try. Everything that outlives it goes through :meth:`reach`, so it can be killed anywhere.

    :param killed_at: which step it does not live to see, counted from 0; None: it lives.
    """

    def __init__(self, killed_at: int | None = None) -> None:
        self._steps_left = killed_at
        self.dead = False

    def reach(self) -> None:
        """Take one step.

        :raises Killed: this is the step at which the worker is killed, or it was before.
        """
        if self._steps_left == 0:
            self.dead = True
        if self.dead:
            raise Killed
        if self._steps_left is not None:
            self._steps_left -= 1


@dataclass
class Outcome:
    """How a task instance ended, and what it left.

    :ivar tries: how many tries it took.
    :ivar errors: what ended each try that did not succeed; Killed, whatever the code made of that.
    :ivar events: what the triggers fired.
    :ivar triggers: the arguments that they carried.
    """

    state: State
    tries: int
    value: Any = None
    errors: list[BaseException] = field(default_factory=list)
    events: list[dict[str, Any]] = field(default_factory=list)
    triggers: list[dict[str, Any]] = field(default_factory=list)
    xcoms: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class DagRun:
    """What Airflow tells of a DAG run beside its ids, as far as it is used."""

    start_date: datetime.datetime = field(default_factory=partial(datetime.datetime.now, datetime.UTC))
    clear_number: int = 0


class TaskInstance:
    """One task of one DAG run, with the task state store that Airflow keeps for it.

    It is what the code under test gets as ``ti`` and as ``task_state_store``, too.

    :param make: makes the operator: each try has its own, as each worker parses the DAG anew.
    :param retries: Airflow's retries after the first try.
    :ivar kills: at which step the worker of each try is killed; None, or no entry: it lives.
    :ivar triggerer_dies: whether the triggerer is lost once during each deferral, and started again.
    :ivar fails_after_execute: how many tries fail when ``execute`` has returned, by what Airflow does then.
    :ivar when_fired: is called when a trigger has fired, before a worker goes on.
    :ivar dag_run: what Airflow tells of the run; to be replaced when a user deletes it and makes it again.
    :ivar try_number: how many tries there were, over all clears.
    :ivar clears_discard: whether a clear empties the task state store, as it does from Airflow 3.4 on.
    :ivar region_id: where it is in a loop (Airflow 3.4), the loop's region; with it ``region_index``, the iteration.
    :ivar has_store: whether Airflow has a task state store, as it does from 3.3 on.
    :ivar stored: what is in it: JSON, by key.
    :ivar failing_writes: for each write to it and each delete, whether it fails; past its end all go well.
    :ivar slow_writes: how many seconds each write takes.
    """

    def __init__(self, make: Callable[[], Any], retries: int = 1) -> None:
        self.make = make
        self.retries = retries
        self.dag_id, self.run_id, self.task_id, self.map_index = "dag", "run", "wait", -1
        self.region_id: object = None
        self.region_index: int | None = None
        self.max_tries = self.try_number = 0
        self.clears_discard = False
        self.kills: list[int | None] = []
        self.triggerer_dies = False
        self.fails_after_execute = 0
        self.when_fired: Callable[[], object] = lambda: None
        self.dag_run = DagRun()
        self.has_store = True
        self.stored: dict[str, str] = {}
        self.failing_writes: Iterator[bool] = iter(())
        self.slow_writes = 0.0
        self.worker = Worker()
        self._outcome = Outcome(State.FAILED, 0)
        self._first_reschedule: datetime.datetime | None = None

    def run(self) -> Outcome:
        """Play the task instance to its end; to be called again when a user clears it."""
        if self.try_number:  # it is cleared
            self.dag_run = replace(self.dag_run, clear_number=self.dag_run.clear_number + 1)
            if self.clears_discard:
                self.stored.clear()
        self.max_tries = self.try_number + self.retries  # as Airflow's clear_task_instances() does
        kills = iter(self.kills)
        self._outcome = outcome = Outcome(State.FAILED, 0)
        self._first_reschedule = None
        while outcome.tries <= self.retries:
            outcome.tries += 1
            self.try_number += 1
            outcome.xcoms.clear()
            self.worker = Worker(next(kills, None))
            try:
                outcome.value = self._one_try()
                if outcome.tries <= self.fails_after_execute:
                    raise RuntimeError("post_execute, an outlet or the XCom backend failed")
                outcome.state = State.SUCCESS
                return outcome
            except BaseException as error:
                if isinstance(error, KeyboardInterrupt):
                    raise
                outcome.errors.append(Killed() if self.worker.dead else error)
                if isinstance(outcome.errors[-1], AirflowSkipException):
                    outcome.state = State.SKIPPED
                    return outcome
                if isinstance(outcome.errors[-1], (AirflowFailException, AirflowSensorTimeout)):
                    return outcome
        return outcome

    @property
    def context(self) -> Any:
        """What Airflow hands to ``execute``, as far as it is used."""
        return {"ti": self, "dag_run": self.dag_run, "outlet_events": {}} | (
            {"task_state_store": self} if self.has_store else {}
        )

    def _one_try(self) -> Any:
        task = self.make()
        execute: Callable[..., Any] = task.execute
        while True:
            try:
                return _over_json(self._execute(task, execute))
            except TaskDeferred as deferral:
                self.worker.reach()
                event = self._in_the_triggerer(deferral)
                task = self.make()
                execute = partial(task.resume_execution, next_method=deferral.method_name, next_kwargs={"event": event})
            except AirflowRescheduleException as reschedule:
                self.worker.reach()
                now = datetime.datetime.now(datetime.UTC)
                self._first_reschedule = self._first_reschedule or now
                self._outcome.xcoms.clear()
                time.sleep(max(0.0, (reschedule.reschedule_date - now).total_seconds()))
                task = self.make()
                execute = task.execute

    def _execute(self, task: BaseOperator, execute: Callable[..., Any]) -> Any:
        """As Airflow's task runner does, whose function for this has another name in each version."""
        limit = task.execution_timeout
        let_execute()
        try:
            with alarm(limit.total_seconds()) if limit else nullcontext():
                return execute(context=self.context | {"task": task})
        except AirflowTaskTimeout:
            task.on_kill()
            raise

    def _in_the_triggerer(self, deferral: TaskDeferred) -> dict[str, Any]:
        self._outcome.triggers.append(deferral.trigger.serialize()[1])
        if self.triggerer_dies:
            asyncio.run(_payload(trigger_of(deferral), within=0.05))
        event = first_event(trigger_of(deferral))
        self._outcome.events.append(event)
        self.when_fired()
        return event

    # What the code under test sees as `ti`

    @property
    def xcoms(self) -> dict[str, Any]:
        """What was pushed in the last try."""
        return self._outcome.xcoms

    def xcom_push(self, key: str, value: Any) -> None:
        self.worker.reach()
        self._outcome.xcoms[key] = _over_json(value)

    def get_first_reschedule_date(self, context: Any) -> datetime.datetime | None:
        return self._first_reschedule

    # What it sees as `task_state_store`. A kill strikes before and after a write. It does not strike after a delete:
    # that is the last that a try does before it tells Airflow how it ended, and between these two nothing can help.

    def get(self, key: str, default: Any = None) -> Any:
        self.worker.reach()
        return json.loads(self.stored[key]) if key in self.stored else default

    def set(self, key: str, value: Any, *, retention: datetime.timedelta | None = None) -> None:
        self.worker.reach()
        self._write()
        self.stored[key] = json.dumps(value)
        self.worker.reach()

    @property
    def remembered(self) -> dict[str, Any]:
        """The package's entry in the store; empty where there is none."""
        return dict(json.loads(self.stored.get("mps_task", "{}")))

    def delete(self, key: str) -> None:
        self.worker.reach()
        self._write()
        self.stored.pop(key, None)

    def _write(self) -> None:
        time.sleep(self.slow_writes)
        if next(self.failing_writes, False):
            raise ConnectionError("the store is down")


def run_task(task: Any) -> tuple[Any, dict[str, Any]]:
    """One try of an operator or sensor, in time: what it returns, and its XComs; what ends it otherwise is raised.

    The XComs are without those that Airflow keeps the page's links in.
    """
    outcome = ends(TaskInstance(lambda: task, retries=0).run)
    for error in outcome.errors:
        raise error
    return outcome.value, {key: value for key, value in outcome.xcoms.items() if not key.startswith("_link_")}


def trigger_of(deferral: TaskDeferred) -> Any:
    """The trigger as the triggerer makes it: by its class path, and what JSON keeps of its arguments."""
    path, arguments = deferral.trigger.serialize()
    kept = _over_json(arguments)
    assert kept == arguments, "a trigger's arguments are JSON primitives"
    module, _, name = path.rpartition(".")
    return getattr(import_module(module), name)(**kept)


def first_event(trigger: BaseTrigger) -> dict[str, Any]:
    """What a trigger fires, as it comes back through JSON."""
    payload = ends(lambda: asyncio.run(_payload(trigger)))
    assert isinstance(payload, dict), "the trigger ended without an event"
    kept: dict[str, Any] = _over_json(payload)
    assert kept == payload, "an event is JSON primitives"
    return kept


async def _payload(trigger: BaseTrigger, within: float | None = None) -> Any:
    """What a trigger fires first; None where the triggerer is lost after ``within`` seconds."""
    with suppress(TimeoutError):
        async with asyncio.timeout(within):
            async for event in trigger.run():
                return event.payload
    return None


def _over_json(value: Any) -> Any:
    return json.loads(json.dumps(value))
