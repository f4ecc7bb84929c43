"""CreateTaskOperator: submit, remember, wait."""

from __future__ import annotations

import inspect
import json
import logging
import sys
import threading
import time
from collections.abc import Iterable, Mapping, Sequence
from datetime import timedelta
from functools import partial
from typing import TYPE_CHECKING, Any, ClassVar, cast

from airflow_provider_mps.api.errors import CallError, Failure
from airflow_provider_mps.api.loop import PrivateLoop
from airflow_provider_mps.api.patience import patience
from airflow_provider_mps.api.redaction import digest, masked
from airflow_provider_mps.api.requests import seconds
from airflow_provider_mps.api.tasks import TaskState
from airflow_provider_mps.api.trouble import Trouble
from airflow_provider_mps.api.usage import Asked, asked_for
from airflow_provider_mps.compat import AirflowTaskTimeout, conf
from airflow_provider_mps.errors import airflow_errors
from airflow_provider_mps.hooks.mps import MpsHook
from airflow_provider_mps.operators.memory import Memory, OtherAccountError, Remembered, Stage
from airflow_provider_mps.operators.room import Turn, WaitsForRoom
from airflow_provider_mps.telling import tell, told_errors

if TYPE_CHECKING:
    import jinja2
    from airflow.providers.common.compat.sdk import Context, XComArg

    from airflow_provider_mps.api.requests import RequestShape
    from airflow_provider_mps.api.tasks import TaskStatus

_SHORTEST_POLL_SECONDS = 1.0
_ANSWERS_TO_BELIEVE = 3
"""How often MPS has to say that it does not know a task that is paid for, before another one is paid for."""


class CreateTaskOperator(WaitsForRoom):
    """Creates a task of one family and, if wanted, waits for it. Base of the operators below.

    Returns the TaskId. Having waited, it also pushes the XComs ``result``, ``usage`` and its family's lists of URLs.

    :param mps_conn_id: the Airflow connection.
    :param cos_region: the region of the buckets in ``cos://bucket/key``; the connection's ``cos_region`` where it is
        not given. A URL of COS, such as those of the XCom ``cos_urls``, names it itself.
    :param wait_for_completion: whether to wait until the task has ended.
    :param deferrable: how to wait: in the triggerer, or here.
    :param poll_interval: seconds between two polls; longer when the account's limit requires that.
    :param wait_timeout: seconds to wait at most in one try for the task's end, from its creation, or from the beginning
        of a retry. The task goes on, and a retry goes on waiting for it.
    :param room_timeout: seconds to wait at most in one try for room, from the first time that MPS refuses the create
        because too many tasks of the model run. None: without a limit.
    :param durable: whether to remember the TaskId over retries (Airflow 3.3 and later).
    :param retry_ambiguous_create: whether Airflow may retry after a create that may have run, and so may pay twice.
    :param max_poll_failures: failed polls in a row, over at least five minutes, that end the wait.
    :param end_from_trigger: whether the triggerer itself ends this Airflow task, with its XComs, where the wait there
        ends well: no worker resumes it (Airflow 3.3 and later). What a worker does at a task's end is left out, and a
        clear delivers the same file once more (docs/decisions/0012-tasks-without-a-worker.md).
    """

    request: ClassVar[RequestShape]
    abort_on_kill = True
    xcoms: ClassVar[Mapping[str, str]] = {"return_value": "task_id", "result": "result"}
    template_fields: Sequence[str] = ("mps_conn_id", "cos_region")
    ui_color = "#d9ecff"
    text_fields: ClassVar[frozenset[str]] = frozenset({"mps_conn_id"})
    """Template fields that are text whatever they look like: native rendering would make a number of "2.10"."""

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        if "request" not in vars(cls):
            return
        cls.template_fields = (*cls.template_fields, *cls.request.fields)
        cls.text_fields = cls.text_fields | cls.request.texts
        # Airflow reads the names in __init__'s signature for default_args and partial(), and help() shows them.
        parameters: dict[str, inspect.Parameter] = {}
        for base in reversed(cls.__mro__):
            if issubclass(base, CreateTaskOperator) and "__init__" in vars(base):
                parameters |= inspect.signature(vars(base)["__init__"]).parameters
        others = parameters.pop("kwargs")
        named = {
            name: others.replace(name=name, kind=inspect.Parameter.KEYWORD_ONLY, default=None)
            for name in cls.request.fields
        }
        everything = [*(parameters | named).values(), others]
        vars(cls)["__init__"].__signature__ = inspect.Signature(everything)

    def __init__(
        self,
        *,
        mps_conn_id: str | XComArg = MpsHook.default_conn_name,
        cos_region: str | XComArg | None = None,
        wait_for_completion: bool = False,
        deferrable: bool = conf.getboolean("operators", "default_deferrable", fallback=False),
        poll_interval: float | timedelta = 5,
        wait_timeout: float | timedelta | None = None,
        room_timeout: float | timedelta | None = None,
        durable: bool = True,
        retry_ambiguous_create: bool = False,
        max_poll_failures: int = 10,
        end_from_trigger: bool = False,
        **kwargs: Any,
    ) -> None:
        for name in self.request.fields:
            setattr(self, name, kwargs.pop(name, None))
        super().__init__(**kwargs)
        self.mps_conn_id = cast("str", mps_conn_id)  # once it is rendered
        self.cos_region = cast("str | None", cos_region)
        self.wait_for_completion = wait_for_completion
        self.deferrable = deferrable
        self.poll_interval = poll_interval
        self.wait_timeout = wait_timeout
        self.room_timeout = room_timeout
        self.durable = durable
        self.retry_ambiguous_create = retry_ambiguous_create
        self.max_poll_failures = max_poll_failures
        self.end_from_trigger = end_from_trigger
        self._hook: MpsHook | None = None
        self._memory: Memory | None = None
        self._rendering_text = False

    @property
    def hook(self) -> MpsHook:
        """The hook of the operator's connection and bucket region."""
        return MpsHook(self.mps_conn_id, self.cos_region)

    def _do_render_template_fields(
        self,
        parent: Any,
        template_fields: Iterable[str],
        context: Context,
        jinja_env: jinja2.Environment,
        seen_oids: set[int],
    ) -> None:
        from jinja2.nativetypes import NativeEnvironment

        fields = set(template_fields)
        dag = self.get_dag()
        texts = {name for name in fields & self.text_fields if parent is self and isinstance(getattr(self, name), str)}
        if dag and texts and isinstance(jinja_env, NativeEnvironment):
            fields -= texts
            plain = dag.get_template_env(force_sandboxed=True)
            self._rendering_text = True
            super()._do_render_template_fields(parent, texts, context, plain, seen_oids)
            self._rendering_text = False
        super()._do_render_template_fields(parent, fields, context, jinja_env, seen_oids)

    def _render(self, template: jinja2.Template, context: Context, dag: Any = None) -> Any:
        if not self._rendering_text:
            return super()._render(template, context, dag)
        # Airflow's own method lets the DAG decide how to render, and not the template's environment.
        try:
            from airflow.sdk.definitions.context import render_template_to_string
        except ImportError:  # before Airflow 3
            from airflow.utils.helpers import render_template_to_string  # type: ignore[no-redef]
        rendered = render_template_to_string(template, context)
        return None if rendered == "None" else rendered  # as native rendering does

    def execute(self, context: Context) -> str:
        """Create the task, or go on with that of an earlier try, and wait if that is wanted."""
        return self._execute(context, Turn(began=time.time()))

    def execute_in_turn(self, context: Context, event: Mapping[str, Any] | None = None) -> str:
        """Go on after the triggerer's wait for room: the create is made anew of what the arguments are now."""
        with told_errors(self):
            turn = self.turn_after(event)
        return self._execute(context, turn)

    def _execute(self, context: Context, turn: Turn) -> str:
        with told_errors(self):
            self.check_wait("wait_for_completion", "durable", "retry_ambiguous_create")
            params = self.request.build(self._arguments())
            poll_interval = seconds("poll_interval", self.poll_interval)
            deadline = self._deadline(turn, turn.began)
            hook = self._hook = self.hook
            self.show_console(hook, context if self.wait_for_completion else None)
            memory = self._memory = self._remember(context, hook, digest(self.request.action, params))
            status = self._earlier_task(hook, memory, params, context, deadline)
            if status is None:
                if turn.ticket is None:
                    self._advise(params)
                self.submit(hook, memory, params, turn)
                deadline = self._deadline(turn, time.time())
            failed = status is not None and status.state is TaskState.FAIL
            if not self.wait_for_completion and not failed:
                memory.reached(Stage.DONE)
                return memory.task_id
            if status is None or not self.family.settled(status):
                if self.deferrable:
                    of_room = self.request.model_of(params), turn.ticket
                    self.defer_until_ended(memory.task_id, poll_interval, deadline, memory.accepted_at, *of_room)
                status = self._wait_here(hook, memory, poll_interval, deadline)
            return self._finish(context, memory, status)

    def execute_complete(self, context: Context, event: Mapping[str, Any] | None = None) -> str:
        """Go on after the triggerer's wait."""
        with told_errors(self):
            memory = self._remember(context, self.hook, "")
            with memory.of_failure():
                status = self.status_after(context, event)
            return self._finish(context, memory, status)

    def dry_run(self) -> None:
        """Log the request as it would be sent (secrets masked), its digest, and what is known to go wrong with it.

        Nothing is sent. ``airflow tasks test --dry-run`` of Airflow 2 calls this, and whoever has rendered the
        templates may. A SessionId that is made from the task instance is not shown.

        :raises InvalidArgumentError: an argument cannot be sent.
        """
        with airflow_errors():
            params = self.request.build(self._arguments())
        action, request = self.request.action, json.dumps(masked(params), ensure_ascii=False, indent=2)
        self.log.info("%s would be sent with %s\nDigest: %s", action, request, digest(action, params))
        self._advise(params)

    def _advise(self, params: dict[str, Any]) -> None:
        """Warn of what is known to go wrong with a request."""
        from airflow_provider_mps.api.models import advice  # here: parsing a DAG needs none of its rules

        for sentence in advice(self.request.action, params):
            self.log.warning("%s", sentence)

    def on_kill(self) -> None:
        """Abort the task where the API can, and say what goes on. No action of the API cancels an AIGC task."""
        self.end_waiting_for_room()
        hook, mps_task_id = self._hook, self._memory.task_id if self._memory else ""
        if hook is None or not mps_task_id:
            return
        # Airflow calls this at execution_timeout too, while it handles that error. Then a retry goes on with the task.
        if isinstance(sys.exception(), AirflowTaskTimeout):
            return

        def abort() -> None:
            with PrivateLoop() as loop:
                self.log.warning(loop.run(hook.abort(self.family, mps_task_id)))

        # In a thread of its own: Airflow calls this from a signal's handler, maybe inside of this thread's event loop.
        thread = threading.Thread(target=abort, daemon=True)
        thread.start()
        thread.join()

    def _arguments(self) -> dict[str, Any]:
        """The arguments that describe the request."""
        return {name: getattr(self, name) for name in self.request.fields}

    @property
    def asked(self) -> Asked:
        """What the request tells of the task's cost."""
        return asked_for(self.request, self._arguments)

    def _deadline(self, turn: Turn, waits_from: float) -> float | None:
        """The POSIX time at which the wait for the task's end is over."""
        ends = [waits_from + seconds("wait_timeout", self.wait_timeout)] if self.wait_timeout is not None else []
        if (execution_ends := self.execution_ends_at(turn)) is not None:
            ends.append(execution_ends)
        return min(ends, default=None)

    def _remember(self, context: Context, hook: MpsHook, request_digest: str) -> Memory:
        store = context.get("task_state_store") if self.durable else None
        ti = context["ti"]
        if self.durable and store is None and request_digest:
            again = getattr(ti, "try_number", 1) > 1
            self.log.log(
                logging.WARNING if again else logging.INFO,
                "There is no task state store here (it came with Airflow 3.3): %s",
                "this try creates, and pays for, a new task, whatever an earlier one has created."
                if again
                else "if this try fails after the create, a retry creates, and pays for, a new task.",
            )
        return Memory(store, request_digest, ti.max_tries, hook.settings.account, self.log)

    def _earlier_task(
        self, hook: MpsHook, memory: Memory, params: dict[str, Any], context: Context, deadline: float | None
    ) -> TaskStatus | None:
        """The status of the task that an earlier try made, or None where a new one is to be made.

        A retry goes on with it, whatever its state, but for one that has failed. A clear by the user goes on with one
        that is under way, and makes a new one where the last was delivered, or in doubt: the user has looked.
        """
        entry = memory.recall()
        cleared = entry is not None and memory.cleared_since(entry)
        if self.request.repeatable:
            params.setdefault("SessionId", self._session_id(context, params, entry, cleared))
        if entry is None or entry.stage is Stage.FAILED or (cleared and entry.stage is Stage.DONE):
            return None
        if entry.task_id:
            if status := self._found(hook, memory, entry, deadline):
                memory.adopted(entry)
                if cleared and self.end_from_trigger and status.state is TaskState.DONE:
                    self.log.warning(
                        "A triggerer cannot note that it delivered a task: this may be a file that you have. "
                        "To create, and pay for, a new one, clear this Airflow task once more after it has ended."
                    )
            return status
        if cleared or self.request.repeatable:
            return None  # a request with a SessionId is sent again, and does not make a second task
        error = entry.in_doubt(self.request.action, params)
        if not self.retry_ambiguous_create:
            raise error
        self.log.warning("%s retry_ambiguous_create is set: creating anew.", error)
        return None

    def _found(self, hook: MpsHook, memory: Memory, entry: Remembered, deadline: float | None) -> TaskStatus | None:
        """The status of a remembered task, or None where MPS no longer has it.

        :raises OtherAccountError: it is not known under what the connection has now, and was made under something else.
        """
        refusals = 0
        while True:
            within = None if deadline is None else max(_SHORTEST_POLL_SECONDS, deadline - time.time())
            try:
                status = hook.describe(self.family, entry.task_id, within)
            except CallError as error:
                fresh = time.time() - entry.at < patience().not_found_grace
                if error.failure is not Failure.NOT_FOUND or fresh:
                    raise
                if elsewhere := memory.elsewhere(entry):
                    if entry.stage is not Stage.UNFOUND or not memory.cleared_since(entry):
                        memory.unfound(entry)
                        raise OtherAccountError(
                            "MPS does not know the earlier try's task: it was created under another connection",
                            cost="No new task was created, for the earlier one may be paid for already",
                            advice="Set the connection back, and clear this Airflow task to go on with it",
                            details=f"It is task {entry.task_id}, created under {elsewhere}; the connection leads to "
                            f"{hook.settings.account}. A clear with the connection as it is creates, and pays for, "
                            "a new task",
                        ) from error
                    break
                refusals += 1
                if refusals == _ANSWERS_TO_BELIEVE:
                    break
                time.sleep(patience().backoff_limit)  # one answer may be wrong, and a new task costs money
            else:
                self.log.info(
                    "Going on with %s task %s, which an earlier try created: %s.",
                    self.family.title,
                    status.task_id,
                    status.word,
                )
                return status
        self.log.warning("MPS no longer knows task %s of an earlier try: creating a new one.", entry.task_id)
        return None

    def _session_id(self, context: Context, params: dict[str, Any], entry: Remembered | None, cleared: bool) -> str:
        """A SessionId that all tries of a task instance share.

        A clear changes it, for it raises max_tries. So does a run that is deleted and made again under its old run_id,
        for it starts at another time; Airflow changes a run's start_date only when tasks of an ended one are cleared.
        One that was sent without an answer is kept over a clear, too: MPS itself knows whether it ran.
        """
        from airflow_provider_mps.api.sessions import session_id

        if entry and entry.stage is Stage.SENDING and entry.session_id:
            return entry.session_id
        request_digest = digest(self.request.action, params)
        ti, started = context["ti"], getattr(context.get("dag_run"), "start_date", None)
        of_this_task = session_id(request_digest, ti.dag_id, ti.run_id, started, ti.task_id, ti.map_index, ti.max_tries)
        failed = entry is not None and entry.stage is Stage.FAILED and not cleared
        return session_id(of_this_task, entry.task_id) if entry and failed else of_this_task

    def _wait_here(self, hook: MpsHook, memory: Memory, poll_interval: float, deadline: float | None) -> TaskStatus:
        trouble = Trouble.of_polls()
        try:
            waiting = hook.await_task(
                self.family,
                memory.task_id,
                poll_interval=poll_interval,
                deadline=deadline,
                max_poll_failures=self.max_poll_failures,
                on_change=partial(self.log_change, memory.accepted_at is not None),
                accepted_at=memory.accepted_at,
                trouble=trouble,
            )
            with PrivateLoop() as loop:
                return loop.run(waiting)
        except AirflowTaskTimeout as error:
            late = self.family.still_running(memory.task_id, memory.age, trouble=trouble)
            tell(self, late)
            raise AirflowTaskTimeout(f"execution_timeout: {late}") from error

    def _finish(self, context: Context, memory: Memory, status: TaskStatus) -> str:
        from airflow_provider_mps.api.models import differences

        with memory.of_failure():
            self.check(context, status, memory.age)
        self.log_files(status)
        for sentence in differences(self.request, self._arguments(), status):
            self.log.warning("%s", sentence)
        self.push_files(context, status)
        context["ti"].xcom_push(key="result", value=self.family.result(status))
        memory.reached(Stage.DONE)
        return status.task_id
