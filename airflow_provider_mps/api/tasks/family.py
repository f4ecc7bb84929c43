"""TaskFamily: what one kind of task needs to be waited for, and how its answers are read."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, ClassVar

from airflow_provider_mps.api.errors import NoResultError, TaskFailedError, WaitTimeoutError, sentences
from airflow_provider_mps.api.facts import facts
from airflow_provider_mps.api.failure_log import Trouble
from airflow_provider_mps.api.files.cos import CosObject
from airflow_provider_mps.api.redaction import without_queries
from airflow_provider_mps.api.tasks import parts
from airflow_provider_mps.api.tasks.status import TaskState, TaskStatus
from airflow_provider_mps.api.wire.answers import Response
from airflow_provider_mps.api.wire.settings import ClientSettings


def _of_another_try(message: str) -> str:
    """What is known of another try of a task that failed with this message."""
    entries = facts("failures")["failures"]
    found = (entry["advice"] for entry in entries if any(word in message.lower() for word in entry["words"]))
    return str(next(found, "Some requests fail each time"))


_NOT_KNOWN = "Whether a task that failed is billed is not known"
_COSTS_NOTHING = "A task that failed costs nothing"


class TaskFamily:
    """One kind of task. A subclass describes it by these attributes, and overrides a method where they do not suffice.

    :cvar kind: the word that triggers carry; of a family of your own ``module:NAME``, by which they import it.
    :cvar title: the name for logs and errors.
    :cvar describe: the action that describes a task, given its TaskId.
    :cvar in_task_ids: what the TaskIds of this family have in them, such as ``-AigcAudio-``.
    :cvar console_page: the path of the page that lists such tasks, in the console of the account's site.
    :cvar state_field: the field of the ``Response`` that holds the state; ``message_field``: why a task failed.
    :cvar words: the states, by the words of that field; any other word is ``UNKNOWN``, and waited on.
    :cvar outputs: the fields of the ``Response`` that hold files, by what they are, such as ``audio``: a list of URLs
        or of objects with ``Url`` and ``Duration``, or one URL. The first is one that a task should have.
    :cvar needs: a field that a task which is DONE has to have in place of files, such as an id that it made.
    :cvar details: further fields that belong to the result.
    :cvar can_abort: whether ManageTask can stop a task that still waits.
    :cvar failures_are_free: whether MPS says that a task which failed is not billed (its pricing pages).
    """

    kind: str
    title: str
    describe: str
    in_task_ids: tuple[str, ...] = ()
    # Guide to the console of the international site, "AIGC Task Management", which speaks of images and videos
    # (2025-12). That China's console has the same path is a guess.
    console_page: str = "/mps/aigc/tasks"
    state_field: str = "Status"
    message_field: str = "Message"
    words: ClassVar[Mapping[str, TaskState]] = {
        "WAIT": TaskState.WAIT,
        "RUN": TaskState.RUN,
        "FAIL": TaskState.FAIL,
        "DONE": TaskState.DONE,
    }
    outputs: ClassVar[Mapping[str, str]] = {}
    needs: str = ""
    details: tuple[str, ...] = ()
    can_abort: bool = False
    failures_are_free: bool = False

    def state(self, response: Response) -> tuple[TaskState, str]:
        """State, and message of a failure."""
        word, message = (parts.text(response.get(name)) for name in (self.state_field, self.message_field))
        return self.words.get(word, TaskState.UNKNOWN), message

    def files(self, response: Response) -> dict[str, list[str]]:
        """The files' URLs by what they are; ``cos`` are ``cos://`` URIs. The first kind is there without files, too."""
        found = {kind: [parts.url(each) for each in parts.files(response.get(name))] for kind, name in self._outputs}
        return {kind: urls for number, (kind, urls) in enumerate(found.items()) if urls or number == 0}

    def in_cos(self, response: Response) -> list[CosObject]:
        """The files in COS, with their bucket's region."""
        urls = [url for of_kind in self.files(response).values() for url in of_kind]
        return [found for url in urls if (found := CosObject.from_url(url))]

    def durations(self, response: Response) -> Iterable[float]:
        """Seconds of each file, as far as the answer gives them."""
        entries = [each for _, name in self._outputs for each in parts.files(response.get(name))]
        found = (each.get("Duration") for each in entries if isinstance(each, dict))
        return [seconds for seconds in found if seconds is not None]

    def made(self, response: Response) -> Response:
        """The answer with what the task made, and no file that only has it in it: that is no second one to pay for."""
        return response

    def resolution(self, response: Response) -> str:
        """The size of the files' pictures, where the answer gives one for all; else empty."""
        return parts.text(response.get("Resolution"))

    def must_have_files(self, response: Response) -> bool:
        """Whether a task that is DONE without files is an error."""
        return bool(self.outputs)

    def result_fields(self, response: Response) -> dict[str, Any]:
        """The fields of the result, beside the TaskId; its lists are never null."""
        files = {name: parts.field_of_files(name, response.get(name)) for _, name in self._outputs}
        return {"Status": "DONE", **files, **{name: response[name] for name in self.details if response.get(name)}}

    @property
    def _outputs(self) -> list[tuple[str, str]]:
        return list(self.outputs.items())

    def console_url(self, settings: ClientSettings) -> str:
        """The page of the console that lists such tasks."""
        return settings.console_url(self.console_page)

    def status(self, task_id: str, response: Response) -> TaskStatus:
        """The status that a ``Response`` of the describe action gives."""
        state, message = self.state(response)
        files, in_cos = self.files(response), tuple(self.in_cos(response))
        durations = tuple(self.durations(response))
        return TaskStatus(task_id, state, message, response, files, in_cos, durations, self.state_field)

    def lacks_files(self, status: TaskStatus) -> bool:
        """Whether a task is DONE, should have files, or what it made in their place, and has none: they may come a
        moment later."""
        if status.state is not TaskState.DONE:
            return False
        if self.needs:
            return not parts.text(status.response.get(self.needs))
        return not status.urls and self.must_have_files(status.response)

    def settled(self, status: TaskStatus) -> bool:
        """Whether there is nothing more to wait for."""
        return status.state.ended and not self.lacks_files(status)

    def check(self, status: TaskStatus, after: str = "") -> None:
        """Make sure that a task which has ended ended well.

        :param after: after how long it ended, as :func:`in_seconds` says it, if that is known.
        :raises TaskFailedError: it failed; the message is the service's own.
        :raises NoResultError: it is DONE, and there is no file.
        """
        task = f"{self.title} task {status.task_id}"
        if status.state is TaskState.FAIL:
            reason = without_queries(status.message)
            raise TaskFailedError(
                f"FAIL{f' after {after}' if after else ''}: {reason}",
                cost=_COSTS_NOTHING if self.failures_are_free else _NOT_KNOWN,
                details=f"{_of_another_try(status.message)}. It is {task}",
                task_id=status.task_id,
            )
        if self.lacks_files(status):
            raise NoResultError(
                f"{status.word}, and MPS gives no {self.needs or 'URL of a file'}: {task}",
                details="If none comes, ask Tencent Cloud support about this TaskId",
                task_id=status.task_id,
            )

    def still_running(
        self, task_id: str, waited: str, *, known: bool = True, trouble: Trouble | None = None
    ) -> WaitTimeoutError:
        """The error for a user whose wait ended before the task did.

        :param waited: for how long, as :func:`in_seconds` says it.
        :param known: False: MPS has said that it does not know the task, and nothing else of it.
        :param trouble: what went wrong with the polls, and the state that they last found.
        """
        task = f"{self.title} task {task_id}"
        if not known:
            return WaitTimeoutError(
                f"MPS does not know {task}, after {waited}",
                cost="If it does exist, it may be billed",
                advice="Check the TaskId, and that the connection leads to the account, host and region of its create",
                task_id=task_id,
            )
        error = WaitTimeoutError(f"Not ended{f' after {waited}' if waited else ''}: {task}", task_id=task_id)
        if trouble:
            error.details = sentences(
                f"It was last known as {trouble.known}" if trouble.known else "",
                f"The last {trouble.row_in_words()}" if trouble.row_in_words() else "",
            )
        return error

    def result(self, status: TaskStatus) -> dict[str, Any]:
        """The result of a task that is DONE; its lists are never null."""
        return {"TaskId": status.task_id, **self.result_fields(status.response)}
