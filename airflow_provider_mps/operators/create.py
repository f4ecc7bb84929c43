"""CreateTaskOperator: submit, remember, wait."""

from __future__ import annotations

import inspect
import threading
import time
from collections.abc import Iterable, Mapping, Sequence
from datetime import timedelta
from typing import TYPE_CHECKING, Any, ClassVar, cast

from airflow.providers.common.compat.sdk import AirflowTaskTimeout, conf

from airflow_provider_mps.api.errors import AmbiguousCreateError, CallError, Failure, MpsError
from airflow_provider_mps.api.loop import PrivateLoop
from airflow_provider_mps.api.patience import patience
from airflow_provider_mps.api.requests import seconds
from airflow_provider_mps.api.tasks import TaskState
from airflow_provider_mps.errors import airflow_errors
from airflow_provider_mps.hooks.mps import MpsHook
from airflow_provider_mps.operators.memory import Memory, Remembered, digest
from airflow_provider_mps.waiting import WaitsForTask

if TYPE_CHECKING:
    import jinja2
    from airflow.providers.common.compat.sdk import Context, XComArg

    from airflow_provider_mps.api.requests import RequestShape
    from airflow_provider_mps.api.tasks import TaskStatus

_ABORT_SECONDS = 20
_SHORTEST_POLL_SECONDS = 1.0


class CreateTaskOperator(WaitsForTask):
    """Creates a task of one family and, if wanted, waits for it. Base of the operators below.

    :param mps_conn_id: the Airflow connection.
    :param wait_for_completion: whether to wait until the task has ended.
    :param deferrable: how to wait: in the triggerer, or here.
    :param poll_interval: seconds between two polls; longer when the account's limit asks for that.
    :param wait_timeout: seconds to wait at most in one try. The task goes on, and a retry goes on waiting for it.
    :param durable: whether to remember the TaskId over retries (Airflow 3.3 and later).
    :param retry_ambiguous_create: whether Airflow may retry after a create that may have run: a second paid task.
    :param max_poll_failures: failed polls in a row, over at least five minutes, that end the wait.

    Returns the TaskId. Having waited, it also pushes the XComs ``result`` and the lists of URLs of its family.
    """

    request: ClassVar[RequestShape]
    template_fields: Sequence[str] = ("mps_conn_id",)
    store_cos_param: Mapping[str, Any] | None = None
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
        wait_for_completion: bool = False,
        deferrable: bool = conf.getboolean("operators", "default_deferrable", fallback=False),
        poll_interval: float | timedelta = 5,
        wait_timeout: float | timedelta | None = None,
        durable: bool = True,
        retry_ambiguous_create: bool = False,
        max_poll_failures: int = 10,
        **kwargs: Any,
    ) -> None:
        for name in self.request.fields:
            setattr(self, name, kwargs.pop(name, None))
        super().__init__(**kwargs)
        self.mps_conn_id = cast("str", mps_conn_id)  # once it is rendered
        self.wait_for_completion = wait_for_completion
        self.deferrable = deferrable
        self.poll_interval = poll_interval
        self.wait_timeout = wait_timeout
        self.durable = durable
        self.retry_ambiguous_create = retry_ambiguous_create
        self.max_poll_failures = max_poll_failures
        self._hook: MpsHook | None = None
        self._mps_task_id = ""
        self._rendering_text = False

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
        # Airflow's own asks the DAG how to render, and not the template's environment.
        try:
            from airflow.sdk.definitions.context import render_template_to_string
        except ImportError:  # before Airflow 3
            from airflow.utils.helpers import render_template_to_string  # type: ignore[no-redef]
        rendered = render_template_to_string(template, context)
        return None if rendered == "None" else rendered  # as native rendering does

    def execute(self, context: Context) -> str:
        began = time.time()
        with airflow_errors():
            self.check_wait("wait_for_completion", "durable", "retry_ambiguous_create")
            params = self.request.build(self._arguments())
            poll_interval = seconds("poll_interval", self.poll_interval)
            deadline = self._deadline(began)
            hook = self._hook = self.hook
            request_digest = digest(self.request.action, params)
            memory = self._memory(context, request_digest)
            if self.durable and not memory.kept:
                self.log.info(
                    "There is no task state store here (it came with Airflow 3.3): "
                    "if this worker is lost, a retry creates, and pays for, a new task."
                )
            remembered = memory.recall()
            if self.request.repeatable:
                unanswered = remembered.session_id if remembered else ""
                params.setdefault("SessionId", unanswered or self._session_id(context["ti"], request_digest))
            status = self._resume(hook, memory, remembered, params, deadline) if remembered else None
            self._mps_task_id = status.task_id if status else self._submit(hook, memory, params)
            failed_before = status is not None and status.state is TaskState.FAIL
            if not self.wait_for_completion and not failed_before:
                memory.forget()
                return self._mps_task_id
            if status is None or not status.state.ended:
                if self.deferrable:
                    self.defer_until_ended(self._mps_task_id, poll_interval, deadline)
                status = self._wait_here(hook, poll_interval, deadline)
            return self._finish(context, memory, status)

    def execute_complete(self, context: Context, event: Mapping[str, Any] | None = None) -> str:
        """Go on after the triggerer's wait."""
        with airflow_errors():
            memory = self._memory(context, "")
            return self._finish(context, memory, self.status_after(event))

    def on_kill(self) -> None:
        """Abort the task where the API can, and say what goes on. No action of the API cancels an AIGC task."""
        hook = self._hook
        if hook is None or not self._mps_task_id:
            return

        def abort() -> None:
            with PrivateLoop() as loop:
                self.log.warning(loop.run(hook.abort(self.family, self._mps_task_id)))

        # In a thread of its own: Airflow calls this from a signal's handler, maybe inside of this thread's event loop.
        thread = threading.Thread(target=abort, daemon=True)
        thread.start()
        thread.join(_ABORT_SECONDS)

    def _session_id(self, ti: Any, request_digest: str) -> str:
        """A SessionId that all tries of a task instance share, and that a clear changes: a clear raises max_tries."""
        from airflow_provider_mps.api.sessions import session_id

        return session_id(request_digest, ti.dag_id, ti.run_id, ti.task_id, ti.map_index, ti.max_tries)

    def _arguments(self) -> dict[str, Any]:
        """The arguments that describe the request."""
        return {name: getattr(self, name) for name in self.request.fields}

    def _deadline(self, began: float) -> float | None:
        limits = [seconds("wait_timeout", self.wait_timeout)] if self.wait_timeout is not None else []
        if self.execution_timeout:  # Airflow itself does not keep it while a task is deferred
            limits.append(seconds("execution_timeout", self.execution_timeout))
        return began + min(limits) if limits else None

    def _memory(self, context: Context, request_digest: str) -> Memory:
        return Memory(context.get("task_state_store") if self.durable else None, request_digest, self.log)

    def _resume(
        self, hook: MpsHook, memory: Memory, remembered: Remembered, params: dict[str, Any], deadline: float | None
    ) -> TaskStatus | None:
        """The status of the task that an earlier try left, or None where a new one is to be made."""
        if not remembered.task_id:
            if self.request.repeatable:
                return None  # the create is sent again, with the same SessionId
            memory.forget()
            error = remembered.in_doubt(self.request.action, params)
            if not self.retry_ambiguous_create:
                raise error
            self.log.warning("%s retry_ambiguous_create is set: creating anew.", error)
            return None
        within = None if deadline is None else max(_SHORTEST_POLL_SECONDS, deadline - time.time())
        try:
            status = hook.describe(self.family, remembered.task_id, within)
        except CallError as error:
            fresh = time.time() - remembered.at < patience().not_found_grace
            if error.failure is not Failure.NOT_FOUND or fresh:
                raise
            memory.forget()
            self.log.warning(
                "Task %s of an earlier try is no longer known to MPS: creating a new one.", remembered.task_id
            )
            return None
        self.log.info(
            "Going on with %s task %s, which an earlier try created: %s.",
            self.family.title,
            status.task_id,
            status.word,
        )
        return status

    def _submit(self, hook: MpsHook, memory: Memory, params: dict[str, Any]) -> str:
        def remember(task_id: str) -> None:
            self._mps_task_id = task_id
            memory.created(task_id)

        memory.about_to_create(params.get("SessionId", ""))
        try:
            created = hook.create(
                self.request, params, next_session=getattr(self, "session_id", None) is None, on_created=remember
            )
        except BaseException as error:
            # Once the TaskId is known, execution_timeout may still strike. A SessionId is kept for whoever tries again.
            if not self._mps_task_id and not self.request.repeatable:
                memory.forget()
            if isinstance(error, AmbiguousCreateError):
                error.retry_helps = self.retry_ambiguous_create
            raise
        self.log.info("Submitted %s task %s (RequestId %s)", self.family.title, created.task_id, created.request_id)
        return created.task_id

    def _wait_here(self, hook: MpsHook, poll_interval: float, deadline: float | None) -> TaskStatus:
        began = time.monotonic()
        try:
            waiting = hook.await_task(
                self.family,
                self._mps_task_id,
                poll_interval=poll_interval,
                deadline=deadline,
                max_poll_failures=self.max_poll_failures,
                on_change=self.log_change,
            )
            with PrivateLoop() as loop:
                return loop.run(waiting)
        except AirflowTaskTimeout as error:
            told = self.family.goes_on(self._mps_task_id, time.monotonic() - began)
            raise AirflowTaskTimeout(f"execution_timeout: {told}") from error

    def _finish(self, context: Context, memory: Memory, status: TaskStatus) -> str:
        try:
            self.family.check(status)
        except MpsError:
            memory.forget()
            raise
        self.log_files(status)
        self.push_files(context, status, self.store_cos_param)
        context["ti"].xcom_push(key="result", value=self.family.result(status))
        memory.forget()
        return status.task_id
