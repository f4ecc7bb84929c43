"""The entry of a task instance in a folder of object storage: the connection's ``memory``.

One folder for each task instance, under a digest of its identity, with a file for each create: number n+1 is made
exclusively, so that of two processes of one task instance (a lost worker that comes back, and the retry) only one
sends; the stages of a create overwrite its file. Entries count for 7 days and are removed later, so that none goes
while somebody looks at it.
"""

from __future__ import annotations

import hashlib
import json
import os
import random
import re
import socket
import time
import uuid
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

from airflow_provider_mps.api.errors import InvalidConnectionError, MpsError, NotRememberedError
from airflow_provider_mps.api.paid_once import Stage
from airflow_provider_mps.api.redaction import without_queries
from airflow_provider_mps.api.wire.answers import identifier
from airflow_provider_mps.api.wire.client import ANSWER_LIMIT
from airflow_provider_mps.execution.places import RETENTION, Shared, Unreadable

if TYPE_CHECKING:
    from airflow_provider_mps.execution.identity import ThisTry

_VERSION = 1
_KEPT = timedelta(days=30)
_SWEPT_AT_ONCE = 5
"""Folders of other task instances that are looked at when an entry is written: on average less than six stay."""
_READ_LIMIT = 4 * ANSWER_LIMIT
"""Bytes. An entry may hold a whole answer, of which JSON's escapes make three times as much at most."""
_NUMBERED = re.compile(r"(\d{6})\.json")
_TAKEN = ("PreconditionFailed", "FileAlreadyExists", "ConditionalRequestConflict")
_refuses: dict[str, bool] = {}
"""By title, whether its storage refuses a second create of a file."""


class Folder:
    """A task instance's folder in a storage that ObjectStoragePath reaches.

    :param uri: the connection's ``memory``.
    :param this: the try.
    :param beside: where an entry may stand from before ``memory`` was set; no entry is written there.
    :param log: the task's log.
    :raises InvalidConnectionError: there is no such storage.
    """

    def __init__(self, uri: str, this: ThisTry, beside: Shared, log: Any) -> None:
        self.title = f"The memory folder {uri}"
        self._this, self._beside, self._log = this, beside, log
        self._fs, self._root = _opened(uri)
        self._local = "file" in (self._fs.protocol if isinstance(self._fs.protocol, tuple) else (self._fs.protocol,))
        whose = [this.dag_id, this.run_id, this.task_id, this.map_index, *this.region]
        name = hashlib.sha256(json.dumps(whose, default=str).encode()).hexdigest()[:32]
        self._shard = f"{self._root}/{name[:2]}"
        self._own = f"{self._shard}/{name}"
        self._newest = 0  # the number of the newest file
        self._number = 0  # of the one that counts
        self._replaced = ""  # a digest of what is beside: what is written here takes its place
        self._begun = ""  # what a create is known by that may have arrived
        self._to_sweep = False

    def arrive(self) -> None:
        if not self._local:
            return
        with self._said("read", "Nothing was sent"):
            if not self._is_elsewhere():
                self._note_try()

    def read(self) -> object:
        with self._said("read", "No new task is created"):
            # fsspec shares one file system in a process, with the listings that it has cached.
            self._fs.invalidate_cache()
            names, earlier = self._names(), self._beside.read()
            self._replaced = "" if earlier is None else _digest(earlier)
            self._newest = max((int(found[1]) for name in names if (found := _NUMBERED.fullmatch(name))), default=0)
            self._number = 0
            if self._local and not _came(self._this.try_number, names):
                return Unreadable(
                    f"{self.title[4:]} on {socket.gethostname()} has no trace of the try before this one, which may "
                    "have run on another machine: file:// is for one machine, or for a folder that all workers share"
                )
            content = self._content(self._newest) if self._newest else None
            while (newer := self._content(self._newest + 1)) is not None:  # a listing may be refused, or be late
                self._newest, content = self._newest + 1, newer
            ours, replaced = self._that_counts(content)
        return ours if replaced and replaced == self._replaced else _further(ours, earlier)

    def begin(self, entry: object) -> None:
        self._sure_of_exclusive_creates()
        # Kept over repeats of this call: where a write's answer was lost, the file that is there may be this one's.
        self._begun = self._begun or uuid.uuid4().hex
        try:
            self._put(self._newest + 1, entry, exclusive=True)
        except FileExistsError:
            if not self._has_arrived():
                raise NotRememberedError(
                    "another process of this Airflow task is sending at this moment, or has sent",
                    cost="Nothing was sent by this one, and nothing is billed for it",
                    advice="A retry goes on with the other's task",
                ) from None
        self._newest += 1
        self._number, self._begun, self._to_sweep = self._newest, "", True

    def write(self, entry: object) -> None:
        if self._begun:
            # A file n+1 without this process's mark is another one's, which may be sending: it is not overwritten.
            if self._has_arrived():
                self._newest += 1
                self._number = self._newest
            self._begun = ""
        if self._number:
            self._put(self._number, entry)
        elif entry is not None:
            self._put(self._newest + 1, entry, exclusive=True)
            self._newest += 1
            self._number = self._newest
        if self._to_sweep:
            self._to_sweep = False
            self._sweep()

    @property
    def discarded_by_clears(self) -> bool:
        return not self._newest and self._beside.discarded_by_clears  # what is here is out of reach of a clear

    @contextmanager
    def _said(self, what: str, cost: str) -> Iterator[None]:
        """The storage's errors as this package's."""
        try:
            yield
        except MpsError:
            raise
        except Exception as error:
            raise NotRememberedError(
                f"{self.title} could not be {what} ({type(error).__name__}: {without_queries(str(error))})",
                cost=f"{cost}, for an earlier one may be paid for",
                advice="See why; a retry of this Airflow task tries again",
            ) from error

    def _names(self) -> Sequence[str]:
        """The names in the folder; none where a listing is refused."""
        try:
            return [path.rpartition("/")[2] for path in self._fs.ls(self._own, detail=False)]
        except (FileNotFoundError, PermissionError):
            return []

    def _path(self, number: int) -> str:
        return f"{self._own}/{number:06}.json"

    def _content(self, number: int) -> bytes | None:
        try:
            # With a span, s3fs does not ask for the size first, and with that for a listing.
            content: bytes = self._fs.cat_file(self._path(number), start=0, end=_READ_LIMIT)
            return content
        except FileNotFoundError:
            return None
        except OSError as error:
            if _code(error) in ("InvalidRange", "416"):  # there is no such span in an empty file
                return b""
            raise

    def _that_counts(self, content: bytes | None) -> tuple[object, str]:
        """The newest entry that is not over, and what of ``beside`` it has taken the place of.

        :param content: of the newest file.
        """
        for number in range(self._newest, 0, -1):
            content = self._content(number) if number < self._newest else content
            self._number = number
            path = f"{self._path(number).removeprefix(self._root)} in {self.title[4:]}"
            try:
                found = json.loads(content or b"")
                version, entry = found["version"], found["entry"]
                if version != _VERSION:
                    named = identifier(entry.get("task_id")) if isinstance(entry, dict) else ""
                    named = f"; it names task {named}" if named else ""
                    self._number = 0  # it is not overwritten
                    return Unreadable(f"a later version of this package wrote {path}{named}"), ""
                if entry is None or not self._is_over(found):
                    return entry, found.get("replaced", "")
            except (ValueError, TypeError, KeyError, AttributeError):
                self._number = 0
                return Unreadable(f"{path} is broken, or was not written by this package"), ""
        self._number = 0
        return None, ""

    def _is_over(self, found: dict[str, Any]) -> bool:
        """Whether an entry is too old, or of a run that was deleted and made again under its run_id."""
        entry, this = found["entry"], self._this
        if entry["at"] < time.time() - RETENTION.total_seconds():
            return True
        if found["started"] == _moment(this.started):
            return False
        # A run that was made anew starts again at try 1, and without clears. A clear of an ended run changes its start,
        # too, and counts on.
        numbers = entry.get("clear_number"), this.clear_number
        cleared = None in numbers or numbers[0] < numbers[1]
        return bool(found["try"] >= this.try_number or not cleared)

    def _put(self, number: int, entry: object, *, exclusive: bool = False) -> None:
        this = self._this
        about = {"dag_id": this.dag_id, "run_id": this.run_id, "task_id": this.task_id, "map_index": this.map_index}
        tried = {"try": this.try_number, "started": _moment(this.started), "begun": self._begun}
        content = {"version": _VERSION, **about, **tried, "replaced": self._replaced, "entry": entry}
        self._write(self._path(number), json.dumps(content, default=str).encode(), exclusive=exclusive)

    def _has_arrived(self) -> bool:
        """Whether the file of a create whose answer was lost is there, and is this one's."""
        content = self._content(self._newest + 1)
        return content is not None and self._begun.encode() in content

    def _write(self, path: str, content: bytes, *, exclusive: bool) -> None:
        """Write a file in one piece.

        :raises FileExistsError: it is to be made, and is there.
        """
        if not self._local:
            try:
                self._fs.pipe_file(path, content, mode="create" if exclusive else "overwrite")
            except OSError as error:  # s3fs has had several errors for this
                if _code(error) in _TAKEN:
                    raise FileExistsError(path) from error
                raise
            return
        self._note_try()  # here is where the next try has to look
        part = f"{path}.{uuid.uuid4().hex}.part"
        try:
            with open(part, "wb") as file:
                file.write(content)
                file.flush()
                # On the disk before the create leaves: a crash must not leave an empty file for a create that was sent.
                os.fsync(file.fileno())
            # link() fails where the file is there; rename() would replace it.
            (os.link if exclusive else os.replace)(part, path)
        finally:
            with suppress(FileNotFoundError):
                os.unlink(part)

    def _sure_of_exclusive_creates(self) -> None:
        """Try once a process whether the storage refuses a second create; say it where it does not."""
        if self._local or self.title in _refuses:
            return
        refused = False
        with suppress(FileExistsError):
            for _ in range(2):
                refused = True
                self._write(f"{self._root}/exclusive-create", b"Whether a second create is refused.\n", exclusive=True)
            refused = False
        _refuses[self.title] = refused
        if not refused:
            self._log.warning(
                "%s: its storage does not refuse to create a file that is there, such as COS in a bucket with "
                "versioning. A lost worker that comes back while its retry creates is not kept out.",
                self.title,
            )

    def _is_elsewhere(self) -> bool:
        """Whether the last try that came to a folder on a disk came to another one than this."""
        names, this, last = self._names(), self._this, self._beside.last_try
        if last is not None:
            return not _came(last, names)
        if self._beside.keeps_tries and not (self._beside.discarded_by_clears and this.was_cleared):
            return False  # no try got so far as to send anything
        return this.try_number > 1 and not (_came(this.try_number, names) or _came(this.try_number - 1, names))

    def _note_try(self) -> None:
        marker = f"{self._own}/try-{self._this.try_number}.{socket.gethostname()}"
        if not os.path.exists(marker):
            os.makedirs(self._own, exist_ok=True)
            with open(marker, "wb"):
                pass
            self._beside.note_try(self._this.try_number)

    def _sweep(self) -> None:
        """Remove what is old of a few others; what a storage refuses ends only this sweep."""
        try:
            others = [path for path in self._fs.ls(self._shard, detail=False) if path.rstrip("/") != self._own]
            for folder in random.sample(others, min(_SWEPT_AT_ONCE, len(others))):
                files = self._fs.ls(folder, detail=True)
                if all(_age(file) > _KEPT.total_seconds() for file in files):
                    for file in files:
                        self._fs.rm_file(file["name"])
                    if self._local:
                        os.rmdir(folder)
        except Exception as error:
            self._log.debug("%s was not swept: %s", self.title, error)


def _opened(uri: str) -> tuple[Any, str]:
    """The file system of a URI, and the path in it."""
    from airflow_provider_mps.compat import AirflowNotFoundException, ObjectStoragePath

    try:
        path = ObjectStoragePath(uri)
        return path.fs, path.path.rstrip("/")
    except (ValueError, TypeError, ImportError, AirflowNotFoundException) as error:
        said = without_queries(str(error))
        raise InvalidConnectionError(f"there is no such storage here ({said})", field="memory") from None


def _came(try_number: int, names: Sequence[str]) -> bool:
    """Whether a try has left its marker."""
    return any(name.startswith(f"try-{try_number}.") for name in names)


def _moment(at: object) -> str:
    """A time in one spelling, whichever class each version of Airflow gives it in."""
    return at.astimezone(UTC).isoformat("T") if isinstance(at, datetime) else str(at)


def _digest(entry: object) -> str:
    return hashlib.sha256(json.dumps(entry, default=str, sort_keys=True).encode()).hexdigest()


def _further(ours: object, others: object) -> object:
    """Which of two entries counts: what cannot be read, else the newer one, and of one task the one that is further."""
    for one, other in ((ours, others), (others, ours)):
        if one is None:
            return other
        if not isinstance(one, dict):
            return one
    try:
        return max((ours, others), key=_progress)
    except (KeyError, TypeError, ValueError):
        return Unreadable(
            "two entries of an earlier try cannot be compared: one is broken, or a later version wrote it"
        )


def _progress(entry: Any) -> tuple[float, int]:
    return float(entry["at"]), list(Stage).index(Stage(entry["stage"]))


def _age(file: dict[str, Any]) -> float:
    """Seconds since a file was written; 0 where its storage does not say that."""
    written = file.get("LastModified") or file.get("mtime")
    written = written.timestamp() if isinstance(written, datetime) else written
    return time.time() - written if isinstance(written, (int, float)) else 0.0


def _code(error: BaseException) -> str:
    """The error code of S3 that an error of s3fs comes from."""
    response = getattr(error.__cause__, "response", None) or {}
    return str(response.get("Error", {}).get("Code", ""))
