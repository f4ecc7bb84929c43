"""CreateTaskOperator: submit, remember, wait."""

from __future__ import annotations

import inspect
import json
import threading
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import timedelta
from functools import partial
from typing import TYPE_CHECKING, Any, ClassVar, Unpack, cast

from airflow_provider_mps.api.codes import SCENARIOS, Failure
from airflow_provider_mps.api.digest import digest
from airflow_provider_mps.api.errors import AmbiguousCreateError, CallError
from airflow_provider_mps.api.failure_log import Trouble
from airflow_provider_mps.api.paid_once import (
    AskAgain,
    Because,
    Create,
    Decision,
    Doubt,
    Elsewhere,
    Request,
    Seen,
    Stage,
)
from airflow_provider_mps.api.redaction import masked
from airflow_provider_mps.api.request.asked import asked_for
from airflow_provider_mps.api.request.convert import seconds
from airflow_provider_mps.api.tasks import TaskState
from airflow_provider_mps.api.tasks.usage import Asked, estimate, refused
from airflow_provider_mps.api.wire.loop import PrivateLoop
from airflow_provider_mps.compat import AirflowTaskTimeout, conf
from airflow_provider_mps.errors import airflow_errors, airflows
from airflow_provider_mps.execution.identity import ThisTry
from airflow_provider_mps.execution.label import check_label, render_label_from
from airflow_provider_mps.execution.memory import Memory, arrive, place_of, say_if_nowhere
from airflow_provider_mps.execution.places import Nowhere, Place
from airflow_provider_mps.execution.reporting import reported_errors, tell
from airflow_provider_mps.execution.room import RoomWait, WaitsForRoom
from airflow_provider_mps.hooks.mps import MpsHook
from airflow_provider_mps.operators.window import window

if TYPE_CHECKING:
    import jinja2
    from airflow.providers.common.compat.sdk import Context, XComArg
    from airflow.sdk.definitions.mappedoperator import OperatorPartial

    from airflow_provider_mps.api.request.shape import RequestShape
    from airflow_provider_mps.api.tasks import TaskStatus
    from airflow_provider_mps.arguments import AirflowArguments


class CreateTaskOperator(WaitsForRoom):
    """Creates a task of one family and, if wanted, waits for it. Base of the operators below.

    Returns the TaskId. Having waited, it also pushes the XComs ``result``, ``usage`` and its family's lists of URLs.

    :param mps_conn_id: the Airflow connection.
    :param cos_region: the region of the buckets in ``cos://bucket/key``; the connection's ``cos_region`` where it is
        not given. A URL of COS, such as those of the XCom ``cos_urls``, names it itself.
    :param wait_for_completion: whether to wait until the task has ended.
    :param deferrable: how to wait: in the triggerer, or here. By default as ``[operators] default_deferrable`` of
        Airflow's configuration says; False where that is not set.
    :param poll_interval: seconds between two polls; longer when the account's limit requires that.
    :param wait_timeout: seconds to wait at most in one try for the task's end, from its creation, or from the beginning
        of a retry. The task goes on, and a retry goes on waiting for it.
    :param room_timeout: seconds to wait at most in one try for room, from the first time that MPS refuses the create
        because too many tasks of the model run. None: without a limit.
    :param durable: whether to remember the TaskId over retries (Airflow 3.3 and later, or with the connection's
        ``memory``).
    :param retry_ambiguous_create: whether Airflow may retry after a create that may have run, and so may pay twice.
    :param max_poll_failures: failed polls in a row, over at least five minutes, that end the wait.
    :param end_from_trigger: whether the triggerer itself ends this Airflow task, with its XComs, where the wait there
        ends well: no worker resumes it (Airflow 3.3 and later). What a worker does at a task's end is left out, and a
        clear delivers the same file once more (docs/decisions/0012-tasks-without-a-worker.md).
    :raises InvalidArgumentError: an argument cannot be used, or sent; nothing was sent.
    :raises InvalidConnectionError: the connection cannot be used; nothing was sent.
    :raises CredentialError: the connection's credential gives no keys; nothing was sent.
    :raises ApiError: MPS refused the create; nothing is billed.
    :raises NoRoomError: MPS had no room for the task within ``room_timeout``; nothing was created.
    :raises AmbiguousCreateError: the create was sent, in this try or an earlier one, and a paid task may exist. Airflow
        retries it only with ``retry_ambiguous_create``.
    :raises OtherAccountError: the earlier try's task was created under another account; no new one was.
    :raises TaskFailedError: the task ended in FAIL; MPS's reason is in it.
    :raises NoResultError: the task is DONE, and MPS names no file.
    :raises WaitTimeoutError: ``wait_timeout`` is over; the task goes on, and a retry waits for it. At
        ``execution_timeout`` it is Airflow's AirflowTaskTimeout.
    :raises InterruptedWaitError: the triggerer could not go on waiting; the task goes on, and a retry waits for it.
    :raises CallError: MPS could not be reached, or not understood, for longer than ``max_poll_failures`` allows.
    """

    request: RequestShape
    abort_on_kill = True
    xcoms: ClassVar[Mapping[str, str]] = {"return_value": "task_id", "result": "result"}
    template_fields: Sequence[str] = ("mps_conn_id", "cos_region")
    ui_color = "#d9ecff"

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
        **kwargs: Unpack[AirflowArguments],
    ) -> None:
        # Airflow's metaclass hands on one `default_args`, merged of the DAG's, the task group's and the task's own.
        named = {**(kwargs.get("default_args") or {}), **kwargs}
        super().__init__(**{**kwargs, **window({"deferrable": deferrable}, named)})
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
        with airflow_errors():
            self._check_times()  # no templates: what is wrong with them is known while the DAG is parsed
        self._rendering_text = False

    def _check_times(self) -> None:
        for name in ("poll_interval", "wait_timeout", "room_timeout"):
            if (value := getattr(self, name)) is not None:
                seconds(name, value)

    @classmethod
    def partial(cls, **kwargs: Any) -> OperatorPartial:
        """As of any operator; it never calls ``__init__``, so what that adds for BaseOperator is added here, too."""
        partial: OperatorPartial = super().partial(**kwargs)
        dag, group = partial.kwargs.get("dag"), partial.kwargs.get("task_group")
        named = {
            **(dag.default_args if dag else {}),
            **((group.default_args or {}) if group else {}),
            **(kwargs.get("default_args") or {}),
            **kwargs,
        }
        defaults = {"deferrable": inspect.signature(CreateTaskOperator.__init__).parameters["deferrable"].default}
        partial.kwargs.update(window({**defaults, **named}, named))
        return partial

    def _do_render_template_fields(
        self,
        parent: Any,
        template_fields: Iterable[str],
        context: Context,
        jinja_env: jinja2.Environment,
        seen_oids: set[int],
    ) -> None:
        from jinja2.nativetypes import NativeEnvironment

        # Of text such as "2.10" or "[1, 2]" native rendering would make a number or a list.
        fields = set(template_fields)
        texts = fields & {"mps_conn_id", *self.request.texts} if parent is self else set()
        texts = {name for name in texts if isinstance(getattr(self, name), str)}
        if texts and isinstance(jinja_env, NativeEnvironment) and (dag := self.get_dag()):
            fields -= texts
            to_text = dag.get_template_env(force_sandboxed=True)
            self._rendering_text = True
            super()._do_render_template_fields(parent, texts, context, to_text, seen_oids)
            self._rendering_text = False
        super()._do_render_template_fields(parent, fields, context, jinja_env, seen_oids)
        if parent is self:
            # Airflow checks and stores each field in every run: those that say nothing are a twentieth of its CPU.
            self.template_fields = [name for name in self.template_fields if getattr(self, name) is not None]

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
        render_label_from(self, context)
        return self._execute(context, RoomWait(began=time.time()))

    def execute_in_turn(self, context: Context, event: Mapping[str, Any] | None = None) -> str:
        """Go on after the triggerer's wait for room: the create is made anew of what the arguments are now."""
        with reported_errors(self):
            wait = self.room_wait_after(event)
        return self._execute(context, wait)

    def _execute(self, context: Context, wait: RoomWait) -> str:
        with reported_errors(self):
            hook = self.hook
            arrive(lambda: self._place(context, hook))
            self.check_wait("wait_for_completion", "durable", "retry_ambiguous_create")
            params = self.request.build(self._arguments())
            poll_interval = seconds("poll_interval", self.poll_interval)
            deadline = self._deadline(wait, wait.began)
            self.show_console(hook, context if self.wait_for_completion else None)
            # The digest is taken before a SessionId is added below: that one changes with each clear, which would so
            # become another request.
            memory = self._memory = self._remember(context, hook, digest(self.request.action, params))
            if self._killed:
                memory.ended = True
            decision, status = self._decided(hook, memory, wait, deadline)
            match decision:
                case Create():
                    check_label(self, context)
                    if self.request.repeatable:
                        params.setdefault("SessionId", self._session_id(context, params, decision))
                    if decision.because is Because.ALLOWED:
                        self.log.warning(
                            "%s retry_ambiguous_create is set: creating anew.",
                            memory.doubt(self.request.action, params),
                        )
                    # Once a try: a create that comes back from the line was advised on before.
                    if wait.ticket is None:
                        self._advise(params)
                    with self._usage_of_a_refusal(context, memory):
                        self._submit(hook, memory, params, wait)
                    # From the accept on: the wait for room does not count.
                    deadline = self._deadline(wait, time.time())
                case Doubt():
                    if not self._found(hook, memory):
                        raise memory.doubt(self.request.action, params)
                case Elsewhere():
                    raise memory.elsewhere()
                case _:
                    memory.adopted()
                    if memory.cleared and status and status.state is TaskState.DONE:
                        self.say_it_may_be_delivered_again()
            failed = status is not None and status.state is TaskState.FAIL
            # Handing over the TaskId is all that was wanted: a clear after it means a new task.
            if not self.wait_for_completion and not failed:
                memory.reached(Stage.DONE, memory.task_id)
                return memory.task_id
            if status is None or not self.family.settled(status):
                if self.deferrable:
                    of_room = self.request.model_of(params), wait.ticket
                    # Raises TaskDeferred: what follows is the wait on a worker.
                    self.defer_until_ended(memory.task_id, poll_interval, deadline, memory.accepted_at, *of_room)
                status = self._wait_here(hook, memory, poll_interval, deadline)
            return self._finish(context, memory, status)

    def _submit(self, hook: MpsHook, memory: Memory, params: dict[str, Any], wait: RoomWait) -> None:
        """Create the task; while MPS refuses it for want of room, wait."""
        while True:
            self.check_room_wait(wait)
            try:
                hook.create(
                    self.request,
                    params,
                    # A SessionId that the user gave is never replaced by another one.
                    next_session=not getattr(self, "session_id", None),
                    notes=memory,
                    until=self.execution_ends_at(wait),
                    in_line=True,
                )
            except AmbiguousCreateError as error:
                error.retry_helps = self.retry_ambiguous_create
                raise
            except CallError as error:
                failure = error
            else:
                return self.had_room(wait)
            self.wait_for_room(failure, wait, self.request.model_of(params))

    @contextmanager
    def _usage_of_a_refusal(self, context: Context, memory: Memory) -> Iterator[None]:
        try:
            yield
        except CallError as error:
            if not error.failure.may_have_run and not memory.in_doubt:
                self.tell_usage(context, refused(self.family, self.asked))
            raise

    def execute_complete(self, context: Context, event: Mapping[str, Any] | None = None) -> str:
        """Go on after the triggerer's wait."""
        with reported_errors(self):
            # Without a digest: from here on only the entry's stage changes, and nothing is decided by it.
            memory = self._remember(context, self.hook)
            with memory.of_failure():
                status = self.status_after(context, event)
            return self._finish(context, memory, status)

    def waited_for(self, context: Context) -> str:
        """The TaskId that is remembered as created by this request."""
        with reported_errors(self):
            request_digest = digest(self.request.action, self.request.build(self._arguments()))
            memory = self._remember(context, self.hook)
            memory.recall()
        entry = memory.entry
        same = entry is not None and entry.stage is Stage.CREATED and entry.digest == request_digest
        return entry.task_id if entry and same else ""

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
        """Warn of what is known to go wrong with a request, and of a wait that will not be."""
        from airflow_provider_mps.api.request.advice import advice  # here: parsing a DAG needs none of its rules

        for sentence in advice(self.request.action, params):
            self.log.warning("%s", sentence)
        if cost := estimate(self.asked, self.prices):
            self.log.info("It will cost %s.", cost)
        # Where Airflow's configuration makes every operator deferrable, nobody has asked this one to wait.
        asked_to_wait = self.deferrable and not conf.getboolean("operators", "default_deferrable", fallback=False)
        if asked_to_wait and not self.wait_for_completion:
            self.log.warning(
                "deferrable says how to wait, and wait_for_completion=False that this Airflow task does not wait: it "
                "ends with the TaskId, before there are files, and without the XComs that name them. Set "
                "wait_for_completion=True, or have a sensor wait for its output."
            )

    def on_kill(self) -> None:
        """Abort the task where the API can, and say what goes on. No action of the API cancels an AIGC task."""
        self.end_waiting_for_room()
        if self._memory:
            self._memory.ended = self._killed
            if not self.request.repeatable:
                self._memory.say_if_in_doubt(self.request.action)
        hook, mps_task_id = self._hook, self._memory.task_id if self._memory else ""
        if hook is None or not mps_task_id or not self._killed:
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
        return {name: getattr(self, name, None) for name in self.request.fields}

    @property
    def asked(self) -> Asked:
        """What the request says of the task's cost."""
        return asked_for(self.request, self._arguments)

    def _deadline(self, wait: RoomWait, waits_from: float) -> float | None:
        """The POSIX time at which the wait for the task's end is over."""
        ends = [waits_from + seconds("wait_timeout", self.wait_timeout)] if self.wait_timeout is not None else []
        if (execution_ends := self.execution_ends_at(wait)) is not None:
            ends.append(execution_ends)
        return min(ends, default=None)

    def _place(self, context: Context, hook: MpsHook) -> Place:
        if not self.durable:
            return Nowhere()
        return place_of(context, ThisTry.of(context, self), hook.settings.memory, self.log)

    def _remember(self, context: Context, hook: MpsHook, request_digest: str = "") -> Memory:
        this, place = ThisTry.of(context, self), self._place(context, hook)
        if self.durable and request_digest:
            say_if_nowhere(place, this, self.log)
        return Memory(place, request_digest, this, hook.settings.account, self.log)

    def _decided(
        self, hook: MpsHook, memory: Memory, wait: RoomWait, deadline: float | None
    ) -> tuple[Decision, TaskStatus | None]:
        """What this try has to do, and the status of the task that it goes on with, if it does."""
        # A try that has waited in line did so because MPS refused its create.
        memory.recall(refused=None if wait.ticket is None else (wait.began, wait.ticket))
        request = Request(self.request.repeatable, self.retry_ambiguous_create)
        decision, status = memory.decide(request), None
        if isinstance(decision, AskAgain):
            status = self._ask(hook, memory, decision.task_id, deadline)
            seen = Seen.NOT_KNOWN
            if status is not None:
                seen = Seen.FAILED if status.state is TaskState.FAIL else Seen.KNOWN
            decision = memory.decide(request, seen)
        # The FAIL of a task that a new one replaces must not pass for the new one's.
        return decision, None if isinstance(decision, Create) else status

    def _found(self, hook: MpsHook, memory: Memory) -> bool:
        """Whether MPS lists the task of a create in doubt, where it can: then this try goes on with it."""
        mark = memory.mark if self.request.action in SCENARIOS else ""
        if not mark or not (task_id := hook.find_marked(mark)):
            return False
        self.log.info("Found the task of an earlier try, which was in doubt: %s.", task_id)
        memory.created(task_id)
        return True

    def _ask(self, hook: MpsHook, memory: Memory, task_id: str, deadline: float | None) -> TaskStatus | None:
        """The status of a remembered task, or None where MPS does not know it."""
        try:
            status = hook.describe_patiently(
                self.family,
                task_id,
                max_poll_failures=self.max_poll_failures,
                accepted_at=memory.entry.at if memory.entry else None,
                deadline=deadline,
            )
        except CallError as error:
            if error.failure is Failure.NOT_FOUND:
                return None
            raise
        self.log.info(
            "Going on with %s task %s, which an earlier try created: %s.",
            self.family.title,
            status.task_id,
            status.word,
        )
        return status

    def _session_id(self, context: Context, params: dict[str, Any], decision: Create) -> str:
        """A SessionId that all tries of a task instance share until a clear.

        One that was sent without an answer is kept over a clear, too: MPS itself knows whether it ran.
        """
        from airflow_provider_mps.api.request.create_once import session_id

        if decision.session_id:
            return decision.session_id
        of_this_task = session_id(digest(self.request.action, params), *ThisTry.of(context, self).parts)
        return session_id(of_this_task, decision.after) if decision.after else of_this_task

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
            late = airflows(self.family.still_running(memory.task_id, memory.age, trouble=trouble))
            tell(self, late)
            raise AirflowTaskTimeout(f"execution_timeout: {late}") from error

    def _finish(self, context: Context, memory: Memory, status: TaskStatus) -> str:
        from airflow_provider_mps.api.request.advice import differences

        with memory.of_failure():
            self.check(context, status, memory.age)
        self.log_files(status)
        for sentence in differences(self.request, self._arguments(), status):
            self.log.warning("%s", sentence)
        self.push_files(context, status)
        context["ti"].xcom_push(key="result", value=self.family.result(status))
        # Last, when all is delivered: a clear after a failure of the above goes on with this task, at no cost.
        memory.reached(Stage.DONE, status.task_id)
        return status.task_id
