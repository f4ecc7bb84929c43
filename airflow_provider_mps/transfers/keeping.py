"""Keeps the files of one transfer, many at a time: all that can be downloaded, and the truth about the rest."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Protocol

from airflow_provider_mps.api.errors import DownloadError, ExpiredUrlError, MpsError, sentences
from airflow_provider_mps.api.failure_log import in_words
from airflow_provider_mps.api.files.connections import Connections
from airflow_provider_mps.api.files.download import Download, Downloaded, Limits
from airflow_provider_mps.api.patience import patience
from airflow_provider_mps.api.redaction import plain_url
from airflow_provider_mps.transfers.at_once import AtOnce
from airflow_provider_mps.transfers.targets import Folder, storage_errors

if TYPE_CHECKING:
    from airflow_provider_mps.transfers.sources import Source
    from airflow_provider_mps.transfers.targets import Target

log = logging.getLogger(__name__)

_PROGRESS_SECONDS = 10.0
_NAMED = 20
"""Files that an error names; the XCom ``kept`` has all that are kept."""


class Address(Protocol):
    """Where a source can be downloaded, at the moment it is asked for."""

    def __call__(self, source: Source) -> str:
        """Its URL, signed where it is in COS."""

    def unsigned(self, source: Source) -> str:
        """The URL to try before, where it may be public; else empty."""


class Keeping:
    """Keeps files in a folder.

    :param folder: where to.
    :param connections: what they are downloaded over.
    :param address: where each can be downloaded.
    :param limits: of each file.
    """

    def __init__(self, folder: Folder, connections: Connections, address: Address, limits: Limits) -> None:
        self.folder = folder
        self.connections = connections
        self.address = address
        self.limits = limits
        self.not_there_until = time.monotonic() + patience().file_grace
        self._files: list[KeptFile] = []
        self._at_once: AtOnce | None = None
        self._began = self._said_at = time.monotonic()
        self.record = Record(folder, (), False)

    def run(
        self,
        files: Sequence[tuple[Source, str, Mapping[str, Any]]],
        concurrency: int,
        earlier: Sequence[Mapping[str, Any]],
        more_to_come: bool,
    ) -> None:
        """Keep files; :attr:`kept` and :attr:`errors` say what became of them.

        :param files: of each its source, its name, and its entry in the record of an earlier try, or an empty mapping.
        :param earlier: all of that record.
        :param more_to_come: whether a retry has more to keep than these.
        """
        with storage_errors(self.folder.path):
            self._files = [KeptFile(self, source, self.folder.target(name), entry) for source, name, entry in files]
        wanted = self.folder.has_retries and (more_to_come or len(files) > 1)
        self.record = Record(self.folder, earlier, wanted)
        self._at_once = AtOnce(self._files, concurrency, self._tick)
        self._at_once.run()
        for file in self._files:
            file.end_untold()

    def settle(self, complete: bool) -> None:
        """Remove the record, where nothing is left to a retry."""
        if complete:
            self.record.remove()

    def end(self) -> None:
        """From any thread: end what is under way, and remove what is not whole."""
        if self._at_once:
            self._at_once.end()

    @property
    def kept(self) -> list[dict[str, Any]]:
        """What is kept, in the order of the files: of each the URI, the length in bytes, the SHA-256, a duration."""
        return [file.kept for file in self._files if file.kept]

    @property
    def errors(self) -> list[MpsError]:
        """Why each of the others is not."""
        return [file.error for file in self._files if file.error]

    def _tick(self) -> None:
        now = time.monotonic()
        if now - self._said_at < _PROGRESS_SECONDS:
            return
        self._said_at = now
        received = sum(file.received for file in self._files)
        totals = [file.total for file in self._files if file.total]
        expected = sum(totals) / len(totals) * len(self._files) if totals else 0.0
        left = (now - self._began) * (expected - received) / received if received else None
        log.info(
            "%d of %d files are done, %.1f MB have come%s",
            sum(bool(file.kept or file.error) for file in self._files),
            len(self._files),
            received / 1e6,
            f"; about {in_words(max(left, 0.0))} left" if left is not None else "",
        )


class Record:
    """What a retry has to know to count files as kept whose URLs may be gone by then.

    :param folder: where it lies.
    :param earlier: that of an earlier try; what this one does not come to stays in it.
    :param wanted: whether a retry could have more to keep than one file.
    """

    def __init__(self, folder: Folder, earlier: Sequence[Mapping[str, Any]], wanted: bool) -> None:
        self._folder = folder
        self._wanted = wanted
        self._there = bool(earlier)
        self._entries = {_key(each): dict(each) for each in earlier}
        self._noting = threading.Lock()
        self._writing = threading.Lock()
        self._noted = self._written = 0

    def note(self, identity: Mapping[str, str], file: Downloaded) -> None:
        """Write down what a file is before it is in its place: the retry of a task that is killed then finds it.

        Of many that come at once, one writes for all.
        """
        if not self._wanted:
            return
        with self._noting:
            what = {"length": file.length, "sha256": file.sha256, "since": self._folder.since}
            self._entries[_key(identity)] = {**identity, **what}
            self._noted += 1
            own = self._noted
        with self._writing:
            if self._written >= own:
                return
            with self._noting:
                self._written, entries = self._noted, list(self._entries.values())
            self._there = True
            self._try("written", lambda: self._folder.remember(entries))

    def remove(self) -> None:
        """Remove it: nothing is left to a retry."""
        if self._there:
            self._try("removed", self._folder.forget)

    def _try(self, what: str, change: Callable[[], None]) -> None:
        try:
            change()
        except Exception as error:
            log.warning("The record of what is kept could not be %s: %s", what, type(error).__name__)


def _key(identity: Mapping[str, Any]) -> tuple[str, str]:
    return identity["name"], identity["source"]


class KeptFile:
    """One file of a transfer, a job of :class:`AtOnce`. It ends once, kept or not.

    :ivar kept: what is said of it, once it is kept.
    :ivar error: why it is not.
    """

    def __init__(self, keeping: Keeping, source: Source, target: Target, earlier: Mapping[str, Any]) -> None:
        self._keeping = keeping
        self._source = source
        self._target = target
        self._earlier = earlier
        self._ended = threading.Event()
        self._ending = threading.Lock()
        self._download: Download | None = None
        self.kept: dict[str, Any] | None = None
        self.error: MpsError | None = None

    def run(self) -> None:
        began = time.monotonic()
        try:
            with storage_errors(self._keeping.folder.path):
                file = self._in_its_place()
        except MpsError as error:
            self._end(None, error)
            self._target.drop()
            return
        kept = {"uri": uri_of(self._target.path), "length": file.length, "sha256": file.sha256, **self._source.extra}
        if self._end(kept, None):
            took = time.monotonic() - began
            log.info("Kept %s: %s bytes in %.1f s", self._target.path, f"{file.length:,}", took)
        else:
            log.warning("%s is in its place after all; a retry counts it as kept", self._target.path)

    def end(self) -> None:
        self._ended.set()
        self._keeping.connections.cut()  # all of them, for all are ended

    def end_untold(self) -> None:
        """Where neither is known, all was ended before it was whole, or before it began."""
        self._end(None, DownloadError(f"{self._target.path.name}: ended before it was whole"))

    def _end(self, kept: dict[str, Any] | None, error: MpsError | None) -> bool:
        """Say how it ended; False where that was said before."""
        with self._ending:
            if self.kept or self.error:
                return False
            self.kept, self.error = kept, error
            return True

    @property
    def overdue(self) -> bool:
        return self._download is not None and self._download.overdue

    def give_up(self) -> None:
        self._ended.set()
        if self._download:
            self._end(None, self._download.late())

    @property
    def received(self) -> int:
        return self._download.received if self._download else 0

    @property
    def total(self) -> int | None:
        return self._download.total if self._download else None

    @property
    def _identity(self) -> dict[str, str]:
        # Without its query: the next signature of the same file is another one, and nobody else may read this one.
        source = self._source
        return {"name": self._target.path.name, "source": plain_url(source.url), "url": source.digest}

    def _in_its_place(self) -> Downloaded:
        """The file, kept by an earlier try or by this one."""
        now = self._keeping.folder.since
        if self._earlier.get("since", now) == now:  # earlier versions did not write it
            return self._from_earlier() or self._fetched()
        # The URL may lead to another file by now, made and paid for since: what was kept before is the last resort.
        try:
            return self._fetched()
        except ExpiredUrlError:
            if not (file := self._from_earlier()):
                raise
        self._target.drop()
        log.warning("%s: its URL is gone: what was kept before the clear counts", self._target.path.name)
        return file

    def _from_earlier(self) -> Downloaded | None:
        """What an earlier try of this task has kept, where it is still there."""
        length, sha256 = self._earlier.get("length"), self._earlier.get("sha256")
        if isinstance(length, int) and isinstance(sha256, str):
            file = Downloaded(length, sha256)
            with suppress(FileNotFoundError):
                return file if self._target.holds(file) else None
        return None

    def _fetched(self) -> Downloaded:
        if unsigned := self._keeping.address.unsigned(self._source):
            # A refusal may only mean a private bucket: no grace for it, for the signed URL comes next.
            with suppress(ExpiredUrlError):
                return self._downloaded(unsigned, 0.0)
        return self._downloaded(self._keeping.address(self._source), self._keeping.not_there_until)

    def _downloaded(self, url: str, not_there_until: float) -> Downloaded:
        keeping = self._keeping
        self._download = Download(
            keeping.connections,
            url,
            self._target.path.name,
            keeping.limits,
            in_bucket=self._source.cos is not None,
            not_there_until=not_there_until,
            ended=self._ended,
        )
        file = self._download.to(self._target)
        # Ended, or given up and reported as missing, while the last bytes came: it must not appear in its place.
        if self._ended.is_set():
            raise self._download.late()
        keeping.record.note(self._identity, file)
        self._target.keep(file)
        return file


def all_in_one(errors: Sequence[MpsError], kept: Sequence[Mapping[str, Any]]) -> MpsError:
    """One error for all that is missing, which says what is kept, too."""
    first = errors[0]
    if len(errors) == 1 and not kept:
        return first
    total = len(errors) + len(kept)
    reasons = list(dict.fromkeys(error.what for error in errors))
    expired = all(isinstance(error, ExpiredUrlError) for error in errors)
    error = (ExpiredUrlError if expired else DownloadError)(f"{len(errors)} of {total} files are missing: {reasons[0]}")
    error.cost = f"{len(kept) or 'None'} of {total} are kept, and a download costs nothing at MPS"
    error.advice = first.advice
    error.details = sentences(
        f"Missing, too: {'; '.join(reasons[1:_NAMED])}" if reasons[1:] else "",
        f"Kept: {', '.join(file['uri'] for file in kept[:_NAMED])}" if kept else "",
        first.details,
    )
    error.retry_helps = any(each.retry_helps for each in errors)
    error.__cause__ = first.__cause__
    return error


def uri_of(path: Any) -> str:
    """The URI under which the next task finds a file: Airflow before 3.2 leaves ``file://`` out."""
    return str(path) if "://" in str(path) else f"file://{path}"
