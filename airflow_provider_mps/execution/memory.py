"""What a task instance remembers of the MPS task that it pays for, over retries, clears and lost workers."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Any, NamedTuple

from airflow_provider_mps.api.codes import trace_of
from airflow_provider_mps.api.errors import (
    AmbiguousCreateError,
    InvalidArgumentError,
    InvalidConnectionError,
    MpsError,
    NotRememberedError,
    OtherAccountError,
    TaskFailedError,
)
from airflow_provider_mps.api.paid_once import (
    SESSION_SECONDS,
    Again,
    Because,
    Create,
    Decision,
    Doubt,
    Earlier,
    Request,
    Return,
    Seen,
    Stage,
    decide,
)
from airflow_provider_mps.api.patience import patience
from airflow_provider_mps.api.tasks import in_seconds
from airflow_provider_mps.api.wire.answers import identifier
from airflow_provider_mps.compat import AirflowTaskTimeout
from airflow_provider_mps.execution.identity import ThisTry
from airflow_provider_mps.execution.places import Nowhere, Place, StateStore, Unreadable
from airflow_provider_mps.hooks.metrics import count_decision

if TYPE_CHECKING:
    from airflow.providers.common.compat.sdk import Context

_SESSION_SPARE = 3600
"""Seconds by which a SessionId is taken to be over too soon: clocks differ, and a repeat takes a while."""
_NOTHING_SENT = "Nothing was sent, and nothing is billed"
_WRITES = 5
"""How often an entry is written at most: the TaskId in it is paid for, and stands nowhere else but in the log."""


def place_of(context: Context, this: ThisTry, folder: str, log: Any) -> Place:
    """Where the entry of a task instance is kept.

    :param folder: the connection's ``memory``; empty: in Airflow's task state store, where there is one.
    :param log: the task's log.
    """
    store = context.get("task_state_store")
    beside = Nowhere() if store is None else StateStore(store)
    if not folder:
        return beside
    from airflow_provider_mps.execution.folder import Folder  # few connections name one

    return Folder(folder, this, beside, log)


def arrive(place: Callable[[], Place]) -> None:
    """Before all that may fail: of a try that has not come so far, a later one may not know that it sent nothing.

    What is wrong with the connection is said in its turn, after what is wrong with the arguments.
    """
    with suppress(InvalidArgumentError, InvalidConnectionError):
        try:
            place().arrive()
        except AirflowTaskTimeout:  # of a secrets backend that does not answer, say
            place().arrive()
            raise


def say_if_nowhere(place: Place, this: ThisTry, log: Any) -> None:
    """Say it where nothing can be kept: a retry knows nothing of what was paid for."""
    if isinstance(place, Nowhere):
        again = this.try_number > 1
        log.log(
            logging.WARNING if again else logging.INFO,
            "There is no task state store here (it came with Airflow 3.3): %s The connection's field memory names "
            "a folder that is used instead.",
            "this try sends, and may pay for, its request anew, whatever an earlier one has sent."
            if again
            else "if this try fails after its request has run, a retry sends, and may pay for, it anew.",
        )


class Remembered(NamedTuple):
    """One entry.

    :param digest: of the request.
    :param max_tries: ``ti.max_tries`` of the try: a clear by the user changes it, a retry does not.
    :param at: POSIX time of the entry.
    :param stage: how far the task has got.
    :param task_id: the TaskId, once it is known.
    :param session_id: the SessionId that the create was sent with, where it has one: a repeat must have the same.
    :param account: whose task it is, and where.
    :param response: what an action without a TaskId of ours answered.
    :param clear_number: ``dag_run.clear_number`` of the try; None: not known.
    """

    digest: str
    max_tries: int
    at: float
    stage: Stage
    task_id: str = ""
    session_id: str = ""
    account: str = ""
    response: dict[str, Any] | None = None
    clear_number: int | None = None

    @classmethod
    def read(cls, stored: object) -> Remembered | None:
        """The entry that a place gave; None: there is none. One that makes no sense is one, too: it is not nothing."""
        if stored is None:
            return None
        try:
            return cls._of(stored)
        except (TypeError, ValueError, KeyError, AttributeError):
            named = identifier(stored.get("task_id")) if isinstance(stored, dict) else ""
            return cls("", 0, 0.0, Stage.UNREADABLE, named)

    @classmethod
    def _of(cls, stored: Any) -> Remembered:
        response, clear_number = stored.get("response"), stored.get("clear_number")
        entry = cls(
            digest=stored["digest"],
            max_tries=int(stored["max_tries"]),
            at=float(stored["at"]),
            stage=Stage(stored["stage"]),
            task_id=stored.get("task_id") or "",
            session_id=stored.get("session_id") or "",
            account=stored.get("account") or "",
            response=response if isinstance(response, dict) else None,
            clear_number=clear_number if isinstance(clear_number, int) else None,
        )
        texts = (entry.digest, entry.task_id, entry.session_id, entry.account)
        if not entry.digest or not all(isinstance(text, str) for text in texts):
            raise ValueError("not an entry of this package")
        return entry


class Memory:
    """The entry of a task instance, and what follows from it.

    It is never just deleted, for Airflow may fail the try after ``execute()`` has returned, and run it again.

    :param place: where it is kept.
    :param request_digest: of the request that this try is about.
    :param this: the try.
    :param account: whose task it is, and where.
    :param log: the task's log.
    """

    def __init__(self, place: Place, request_digest: str, this: ThisTry, account: str, log: Any) -> None:
        self._place = place
        self._digest = request_digest
        self._this = this
        self._account = account
        self._log = log
        self._stored: object = None
        self._sent: object = None  # the entry of a create of this try that was not refused
        self.entry: Remembered | None = None
        """What was remembered when this try began."""
        self.task_id = ""
        """The TaskId that this try has created, or goes on with."""
        self.accepted_at: float | None = None
        """When MPS accepted it, as a POSIX time, if that is known."""
        self.in_doubt = False
        """Whether a create was sent, in this try or an earlier one, and no answer says whether it ran."""
        self.ended = False
        """Whether the Airflow task was ended. Airflow 3 lets its process go on for seconds: nothing leaves then."""
        self._was_in_doubt = self._refused = self._decided_before = False

    @property
    def lasts(self) -> bool:
        """Whether a retry finds what is written."""
        return not isinstance(self._place, Nowhere)

    @property
    def age(self) -> str:
        """How long ago MPS accepted the task, for people; empty if that is not known."""
        return "" if self.accepted_at is None else in_seconds(time.time() - self.accepted_at, True)

    @contextmanager
    def of_failure(self) -> Iterator[None]:
        """Note that the task has failed, where that is raised inside."""
        try:
            yield
        except TaskFailedError as error:
            self.reached(Stage.FAILED, error.task_id)
            raise

    def recall(self, refused: tuple[float, float] | None = None) -> None:
        """Read what an earlier try left. A place that cannot be read raises, so that nothing is created.

        :param refused: where this try has decided before to create, and MPS has refused that: the POSIX times at which
            the try began, and at which it was refused first. What was sent later may be in doubt: Airflow before 3.1
            repeats a resumption whose worker was lost (SchedulerJobRunner.adopt_or_reset_orphaned_tasks).
        """
        self._stored = self._place.read()
        entry = self.entry = Remembered.read(self._stored)
        # Else another resumption of this try has sent it since.
        self._decided_before = refused is not None and (entry is None or entry.at <= refused[1])
        sent = entry is not None and entry.digest == self._digest and entry.stage in (Stage.SENDING, Stage.REPORTED)
        # `refused` takes such an entry back. Where that write failed, it still says that a create was sent, although
        # this try was deferred because MPS refused it. An entry from before this try is of another sending, which stays
        # in doubt. Under a SessionId it may have been a repeat that was refused, of a sending that is in doubt.
        first = entry is not None and refused is not None and refused[0] <= entry.at <= refused[1]
        self._refused = entry is not None and sent and first and not entry.session_id
        if self._refused:
            self._stored, sent = None, False
        self.in_doubt = self._was_in_doubt = sent or (entry is not None and entry.stage is Stage.UNREADABLE)

    def decide(self, request: Request, seen: Seen | None = None) -> Decision:
        """What this try has to do; said in the log where that is not just what was to be expected.

        :param seen: what MPS answered when it was asked about the earlier task.
        """
        decision = decide(self._earlier, request, seen)
        if not self._decided_before:
            count_decision(decision)
            self._say(self.entry or self._new(Stage.DISCARDED), decision)
        return decision

    @property
    def _earlier(self) -> Earlier | None:
        entry = self.entry
        if entry is None:
            discarded = self._place.discarded_by_clears and self._this.was_cleared
            return Earlier(Stage.DISCARDED, Again.CLEAR) if discarded else None
        return Earlier(
            stage=entry.stage,
            again=self._again(entry),
            task_id=entry.task_id,
            session_id=entry.session_id,
            response=entry.response,
            same_request=entry.digest == self._digest,
            same_account=not entry.account or entry.account == self._account,
            refused=self._refused,
            session_holds=time.time() - entry.at < SESSION_SECONDS - _SESSION_SPARE,
        )

    @property
    def mark(self) -> str:
        """What the create in doubt was sent with, to be found by, under the same account; empty where there is none."""
        entry = self.entry
        return entry.session_id if entry is not None and entry.account == self._account else ""

    @property
    def cleared(self) -> bool:
        """Whether a user has cleared the Airflow task since the entry was written."""
        return self.entry is not None and self._again(self.entry) is Again.CLEAR

    def _again(self, entry: Remembered) -> Again:
        """What has happened to the Airflow task since an entry was written.

        A clear raises max_tries, unless ``retries`` was lowered before it by just as much; it raises the run's
        clear_number, as do clears of other tasks.
        """
        if entry.max_tries != self._this.max_tries:
            return Again.CLEAR
        numbers = entry.clear_number, self._this.clear_number
        return Again.RETRY if None in numbers or numbers[0] == numbers[1] else Again.UNTOLD

    def _say(self, entry: Remembered, decision: Decision) -> None:
        task_id = entry.task_id or identifier((entry.response or {}).get("TaskId"))
        task = f"Task {task_id}" if task_id else "A task that may exist"
        match decision:
            case Create(Because.OTHER_REQUEST) if entry.stage is not Stage.FAILED:
                self._log.warning(
                    "%s belongs to another request of an earlier try (the arguments have changed since): not waited "
                    "for. It may be paid for.",
                    task,
                )
            case Create(Because.DISCARDED):
                self._log.warning(
                    "Tasks of this run were cleared, this one maybe among them, and Airflow may have discarded what "
                    "it remembered: an earlier task may be under way and paid for. A new one is created, and paid "
                    "for, now. To go on with the earlier one next time, set the connection's memory; or tick the box "
                    "that keeps the task state when you clear (3.4), with [state_store] clear_on_success off."
                )
            case Create(Because.DELIVERED):
                self._log.warning(
                    "%s, which an earlier try paid for, ended well; this was cleared since: creating, and paying for, "
                    "a new one. To have the earlier one's files at no cost, give its TaskId to a sensor, or to "
                    "mps_task_ids of MpsToObjectStorageOperator.",
                    task,
                )
            case Create(Because.FAILED) if entry.stage is not Stage.FAILED:
                self._log.warning("%s of an earlier try has failed: creating a new one.", task)
            case Return(untold=True) | Doubt(untold=True):
                self._log.warning(
                    "Whether this is a retry or a clear is not known: tasks of this run were cleared, and max_tries "
                    "is what it was, as after a clear with fewer retries. It is taken for a retry, and nothing new is "
                    "created. To create, and pay for, a new task, clear this Airflow task once more."
                )
            case Create(Because.NOT_KNOWN):
                self._log.warning("MPS no longer knows task %s of an earlier try: creating a new one.", entry.task_id)
            case Return(response=dict()):
                self._log.info("It ran in an earlier try: its answer is returned, and nothing is sent.")
            case _:
                pass

    def doubt(self, action: str, params: dict[str, Any]) -> AmbiguousCreateError:
        """The error for a create of an earlier try whose answer is not known."""
        entry = self.entry
        if entry is not None and entry.stage is not Stage.UNREADABLE:
            cause = "the answer did not reach the earlier try of this task"
            if entry.account and entry.account != self._account:
                cause += f", which was made under {entry.account}; the connection leads to {self._account}"
            return AmbiguousCreateError(action, params, entry.at, cause)
        named = f"; it names task {entry.task_id}" if entry and entry.task_id else ""
        cause = f"what an earlier try has left cannot be read: it is broken, or a later version wrote it{named}"
        return AmbiguousCreateError(
            action, params, 0.0, self._stored if isinstance(self._stored, Unreadable) else cause
        )

    def elsewhere(self) -> OtherAccountError:
        """The error for a task that belongs to another account."""
        entry = self.entry
        if entry is None:
            raise AssertionError("a task that is remembered")
        kept = ", keeping its task state," if self._place.discarded_by_clears else ""
        return OtherAccountError(
            "MPS does not know the earlier try's task: it was created under another connection",
            cost="No new task was created, for the earlier one may be paid for already",
            advice=f"Set the connection back, and clear this Airflow task{kept} to go on with it",
            details=f"It is task {entry.task_id}, created under {entry.account}; the connection leads to "
            f"{self._account}. A clear with the connection as it is creates, and pays for, a new task",
            task_id=entry.task_id,
        )

    def say_if_in_doubt(self, action: str) -> None:
        """The Airflow task is killed, and may say nothing more: say it now if a paid task may exist."""
        if self.in_doubt:
            self._log.warning(
                "%s was sent, and it is not known whether it ran: a paid task may exist. Look for it in %s.",
                action,
                trace_of(action).look,
            )

    def sending(self, session_id: str = "") -> None:
        """A create is about to leave.

        :raises NotRememberedError: this cannot be written, or the Airflow task was ended: nothing is to be sent.
        """
        if self._sent is not None:  # that one is in doubt, and a refusal of this one says nothing about it
            self._was_in_doubt, self._stored = True, self._sent
        if self.ended:
            raise NotRememberedError(
                "the Airflow task was ended before its request left",
                cost="An earlier sending may have run and be billed" if self.in_doubt else _NOTHING_SENT,
                advice="A retry of this Airflow task sends it",
            )
        new = self._new(Stage.SENDING, session_id=session_id)
        if self.entry is not None and session_id and self.entry.session_id == session_id:
            new = new._replace(at=self.entry.at)  # from which MPS counts its three days
        entry = new._asdict()
        try:
            self._repeatedly(self._place.begin, entry)
        except Exception as error:
            self.refused()  # it may have been written, with its answer lost
            if isinstance(error, MpsError):
                raise
            raise NotRememberedError(
                f"{self._place.title} could not be written ({type(error).__name__})",
                cost=f"{_NOTHING_SENT}: without what is written there a retry could pay twice",
                advice="See why it cannot be written; a retry of this Airflow task tries again",
            ) from error
        # Before the request leaves: a kill from now on says that a paid task may exist.
        self.in_doubt, self._sent = True, entry

    def refused(self) -> None:
        """It did not run: all is as it was before."""
        self.in_doubt, self._sent = self._was_in_doubt, None
        try:
            self._repeatedly(self._place.write, self._stored)
        except Exception:
            # Not raised: MPS's refusal is what the user needs to see, and a doubt too many costs nothing.
            self._log.exception("%s could not be changed: a retry takes the create to be in doubt.", self._place.title)

    def created(self, task_id: str) -> None:
        """A task exists. It does so whether or not this can be written."""
        # First here, then in the place, which may take long or fail: `on_kill` looks for the TaskId here.
        self.task_id, self.accepted_at = task_id, time.time()
        self.in_doubt = False
        self._write_or_log(self._new(Stage.CREATED, task_id=task_id))

    def answered(self, response: dict[str, Any]) -> None:
        """An action without a TaskId of ours has run."""
        self.in_doubt = False
        self._write_or_log(self._new(Stage.DONE, response=response))

    def adopted(self) -> None:
        """This try goes on with the task of the entry."""
        entry = self.entry
        if entry is None:
            return
        self.task_id, self.accepted_at = entry.task_id, entry.at or None
        # Else the next retry of this try would look like another clear.
        if entry.max_tries != self._this.max_tries:
            self._write_or_log(self._of_this_try(entry, Stage.CREATED))

    def reported(self, error: MpsError) -> None:
        """The log says an error. Of one that only a clear gets past, it is noted that a clear from now on does."""
        if not isinstance(error, (AmbiguousCreateError, OtherAccountError)):
            return
        try:
            entry = Remembered.read(self._place.read())
        except Exception:
            self._log.exception("%s could not be read: the next try raises this error once more.", self._place.title)
            return
        # A lost worker may come back, and find what its retry has left since: of that it has said nothing.
        if isinstance(error, OtherAccountError):
            if entry is not None and entry.task_id == error.task_id:
                self._write_or_log(self._of_this_try(entry, Stage.UNFOUND))
        elif entry is not None and entry.stage in (Stage.SENDING, Stage.REPORTED, Stage.UNREADABLE):
            entry = self._new(Stage.REPORTED) if entry.stage is Stage.UNREADABLE else entry
            self._write_or_log(self._of_this_try(entry, Stage.REPORTED))

    def reached(self, stage: Stage, task_id: str) -> None:
        """A task has got so far. A lost worker may come back, and find the entry of another one, which stays."""
        try:
            stored = self._place.read()
        except Exception:
            self._log.exception("%s could not be read: a clear may find the old task.", self._place.title)
            return
        entry = Remembered.read(stored)
        if entry is None or entry.stage is Stage.UNREADABLE:
            return
        if entry.task_id == task_id or stored == self._sent:  # the latter where the TaskId could not be written
            self._write_or_log(entry._replace(stage=stage, task_id=task_id))

    def _new(self, stage: Stage, **fields: Any) -> Remembered:
        return Remembered(
            self._digest,
            self._this.max_tries,
            time.time(),
            stage,
            account=self._account,
            clear_number=self._this.clear_number,
            **fields,
        )

    def _of_this_try(self, entry: Remembered, stage: Stage) -> Remembered:
        """An entry as one that this try has written: a clear from now on is another one."""
        return entry._replace(max_tries=self._this.max_tries, clear_number=self._this.clear_number, stage=stage)

    def _repeatedly(self, write: Callable[[object], None], entry: object) -> None:
        import tenacity

        waits = patience()
        # It blocks, also where a coroutine calls it (Sending.note): a cancellation cannot end it halfway.
        writing = tenacity.Retrying(
            # An MpsError is a decision, such as that another process is sending, and no trouble of the storage.
            retry=tenacity.retry_if_not_exception_type(MpsError),
            stop=tenacity.stop_after_attempt(_WRITES),
            wait=tenacity.wait_exponential(multiplier=waits.backoff, max=waits.backoff_limit),
            reraise=True,
        )
        writing(write, entry)

    def _write_or_log(self, entry: Remembered) -> None:
        try:
            self._repeatedly(self._place.write, entry._asdict())
        except Exception:
            self._log.exception("Task %s could not be remembered; this try goes on all the same.", entry.task_id)
