"""What a trigger does whose Airflow task no worker begins or ends (docs/decisions/0012-tasks-without-a-worker.md)."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC
from typing import Any

from airflow.triggers.base import BaseTrigger, TaskSuccessEvent

from airflow_provider_mps.api.tasks import TaskFamily, TaskStatus
from airflow_provider_mps.api.tasks.usage import Usage
from airflow_provider_mps.api.wire.settings import ClientSettings
from airflow_provider_mps.xcoms import CONSOLE_XCOM, MPS_CONSOLE_XCOM, USAGE_XCOM, file_xcoms

CAN_BE_ALL = hasattr(BaseTrigger, "render_template_fields")
"""Whether an Airflow task can be a trigger and nothing else: from Airflow 3.3 on, triggers render templates."""


class WithoutWorkerTrigger(BaseTrigger):
    """A trigger that may be all that there is of its Airflow task.

    :ivar deadline: POSIX time after which to give up, as a worker said it; None: without one.
    :ivar seconds_before_timeout: a deadline too, so long before Airflow's own: where no worker could say when.
    :ivar xcoms: what to end the Airflow task with, beside the files, by XCom key: the ``task_id``, the ``result``, or
        the first of the files under a key; None: a worker ends it.
    :ivar store_cos_param: where MPS was to store the files: empty for its own store, None where that is not known.
    """

    deadline: float | None
    seconds_before_timeout: float | None
    xcoms: Mapping[str, str] | None
    store_cos_param: Mapping[str, Any] | None

    @property
    def begun_by_worker(self) -> bool:
        """Whether a worker deferred to it."""
        return self.seconds_before_timeout is None

    @property
    def ends_at(self) -> float | None:
        """The POSIX time after which to give up."""
        timeout = getattr(self, "timeout_after", None)  # a triggerer says
        if self.seconds_before_timeout is None or timeout is None:
            return self.deadline
        if timeout.tzinfo is None:
            timeout = timeout.replace(tzinfo=UTC)
        own: float = timeout.timestamp() - self.seconds_before_timeout
        return own if self.deadline is None else min(own, self.deadline)

    async def success(
        self, family: TaskFamily, status: TaskStatus, settings: ClientSettings, made: Usage
    ) -> TaskSuccessEvent | None:
        """What ends the Airflow task of a task that is done, its XComs pushed; None where a worker is to end it."""
        if self.xcoms is None or self.trigger_id is None:  # dag.test() gives none, and takes no such end
            return None
        files = file_xcoms(status, settings.site, self.store_cos_param)
        named = {
            "task_id": status.task_id,
            "result": family.result(status),
            MPS_CONSOLE_XCOM: family.console_url(settings),
        }
        if "cos_uris" not in files:  # a link to a file in a bucket has to be signed, by a worker
            named |= {key: urls[0] for key, urls in files.items() if urls}
        elif CONSOLE_XCOM in files:
            named[CONSOLE_XCOM] = files[CONSOLE_XCOM]
        pushed = files | {key: named[name] for key, name in self.xcoms.items() if name in named}
        try:
            await self._push(pushed | {USAGE_XCOM: made})
        except Exception as error:
            self.log.warning("The XComs could not be pushed (%s): a worker ends this task", type(error).__name__)
            return None
        return TaskSuccessEvent()

    async def _push(self, xcoms: Mapping[str, Any]) -> None:
        """Push as a worker does. What is in the event itself, Airflow 3.3.2 stores as JSON within JSON: a text, for
        whatever reads it on a worker, though its page shows the value.
        """
        from airflow.sdk.bases.xcom import BaseXCom

        ti: Any = self.task_instance
        for key, value in xcoms.items():
            await BaseXCom.aset(
                key, value, dag_id=ti.dag_id, task_id=ti.task_id, run_id=ti.run_id, map_index=ti.map_index
            )
