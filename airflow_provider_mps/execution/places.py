"""Where the entry of a task instance is kept: Airflow's task state store, or nowhere."""

from __future__ import annotations

from datetime import timedelta
from typing import Any, Protocol

from airflow_provider_mps.compat import clears_discard, conf

KEY = "mps_task"
TRY_KEY = "mps_try"
RETENTION = timedelta(days=7)


class Unreadable(str):
    """Why what is there cannot be read, for an error's text."""


class Place(Protocol):
    """Where a task instance's entry is kept.

    :ivar title: what it is called in logs and errors.
    """

    title: str

    def arrive(self) -> None:
        """A try begins, which may send something; it may leave here what a later one knows it by."""

    def read(self) -> object:
        """What is there, as it was written, or :class:`Unreadable`; None: nothing."""

    def begin(self, entry: object) -> None:
        """Put an entry there before a create is sent.

        :raises NotRememberedError: another process of the task instance has done so since :meth:`read`.
        """

    def write(self, entry: object) -> None:
        """Put an entry (JSON) there, in place of what was; None: leave nothing."""

    @property
    def discarded_by_clears(self) -> bool:
        """Whether a clear may throw away what is there."""


class Shared(Place, Protocol):
    """A place that every machine sees alike: it knows which try was the last to come to a folder on a disk.

    :ivar keeps_tries: whether it does.
    """

    keeps_tries: bool

    @property
    def last_try(self) -> int | None:
        """Its number; None: there was none, or it is not known."""

    def note_try(self, try_number: int) -> None:
        """It is this one."""


class StateStore:
    """Airflow's task state store (3.3 and later): kept over retries, over a SIGKILL of the worker, and over a clear.

    :param store: ``context["task_state_store"]``.
    """

    title = "Airflow's task state store"
    keeps_tries = True

    def __init__(self, store: Any) -> None:
        self._store = store

    def arrive(self) -> None:
        pass

    def read(self) -> object:
        found = self._store.get(KEY)
        return {} if isinstance(found, str) else found  # no entry: this package writes no text there

    def begin(self, entry: object) -> None:
        self.write(entry)

    def write(self, entry: object) -> None:
        if entry is None:
            self._store.delete(KEY)
        else:
            self._store.set(KEY, entry, retention=RETENTION)

    @property
    def discarded_by_clears(self) -> bool:
        # With this option it is discarded at a success, also where a user marks the task as one: a clear finds nothing.
        return clears_discard() or conf.getboolean("state_store", "clear_on_success", fallback=False)

    @property
    def last_try(self) -> int | None:
        found = self._store.get(TRY_KEY)
        return found if isinstance(found, int) else None

    def note_try(self, try_number: int) -> None:
        self._store.set(TRY_KEY, try_number, retention=RETENTION)


class Nowhere:
    """Nothing is kept: there is no place, or the user wants none."""

    title = "nowhere"
    keeps_tries = False
    last_try = None

    def arrive(self) -> None:
        pass

    def note_try(self, try_number: int) -> None:
        pass

    def read(self) -> object:
        return None

    def begin(self, entry: object) -> None:
        pass

    def write(self, entry: object) -> None:
        pass

    @property
    def discarded_by_clears(self) -> bool:
        return False
