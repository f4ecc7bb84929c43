"""How a file gets to its place: whole or not at all, and in nobody else's."""

from __future__ import annotations

import errno
import hashlib
import json
import logging
import mimetypes
import os
import uuid
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import IO, TYPE_CHECKING, Any, TypeVar

import tenacity
from fsspec import AbstractFileSystem
from fsspec.implementations.local import LocalFileSystem

from airflow_provider_mps.api.errors import DownloadError, MpsError
from airflow_provider_mps.api.files.download import Downloaded
from airflow_provider_mps.api.patience import patience
from airflow_provider_mps.api.redaction import without_queries

if TYPE_CHECKING:
    from airflow.providers.common.compat.sdk import ObjectStoragePath

log = logging.getLogger(__name__)

_T = TypeVar("_T")

_OBJECT_STORES = frozenset({"s3", "s3a", "cos", "gs", "gcs", "abfs", "abfss", "az", "adl"})
"""Those that have no folders, and where an object is there when its upload has ended well, and not before."""
_PIECE = 8 * 1024**2
"""Bytes of a multipart upload's part, and of what is read back at a time."""
_RECORD_BYTES = 16 * 1024**2
_TRIES = 4
_PART, _CLAIM = ".part", ".claim"
_UNIQUE = 8


class Target(ABC):
    """The place of one file.

    :param path: where it goes.
    :param task: what the names of this task's temporary files begin with.
    :param overwrite: whether a file that is there is replaced.
    """

    def __init__(self, path: ObjectStoragePath, task: str, overwrite: bool) -> None:
        self.path = path
        self.fs = path.fs
        self.place = path.path
        self.overwrite = overwrite
        self._part = f"{self.place.rpartition('/')[0]}/{task}{uuid.uuid4().hex[:_UNIQUE]}.{path.name}{_PART}"

    @abstractmethod
    def begin(self) -> None:
        """Begin to write, or begin anew."""

    @abstractmethod
    def write(self, data: bytes) -> object:
        """Write the next piece."""

    @abstractmethod
    def put(self, file: Downloaded) -> None:
        """Put what was written in its place.

        :raises FileExistsError: there is a file already, which stays.
        """

    @abstractmethod
    def discard(self) -> None:
        """Throw away what was written and is not in its place."""

    def keep(self, file: Downloaded) -> None:
        """Put what was written in its place, unless a file with the same content is there already.

        :raises DownloadError: a file with other content is there, and stays.
        """
        try:
            self.put(file)
        except FileExistsError:
            if not self.holds(file):
                raise DownloadError(
                    f"{self.path.name}: its place holds other content already than the {file.length:,} bytes that "
                    f"came, and is not overwritten: {self.path}",
                    retry_helps=False,
                    advice="Delete it, choose another destination, or set overwrite=True",
                ) from None
            self.drop()
        except Exception:
            # The answer to the last step may be lost, and its repeat be refused: what is there says what happened.
            if not self._surely_holds(file):
                raise
            self.drop()

    def drop(self) -> None:
        """:meth:`discard`, and say what cannot be removed."""
        try:
            self.discard()
        except Exception as error:
            log.warning("What had come of %s could not be removed: %s", self.path.name, type(error).__name__)

    def holds(self, file: Downloaded) -> bool:
        """Whether the content of the file that is there is this.

        A storage that does not answer is asked again: a file that is there is never taken for one that is not.
        """
        return asked_again(lambda: self._holds(file))

    def _surely_holds(self, file: Downloaded) -> bool:
        try:
            return self.holds(file)
        except Exception:  # what is raised is the trouble before
            return False

    def _holds(self, file: Downloaded) -> bool:
        # By reads of known ranges: keys may have rights to get, and not to list. The last one goes a byte further, to
        # see whether the other file is longer; none begins at the end, which is an error also where both are alike.
        digest = hashlib.sha256()
        for start in range(0, max(file.length, 1), _PIECE):
            last = start + _PIECE >= file.length
            end = file.length + 1 if last else start + _PIECE
            try:
                piece = self.fs.cat_file(self.place, start=start, end=end)
            except Exception as error:
                if _is_past_the_end(error):
                    return False
                raise
            digest.update(piece)
            if start + len(piece) < min(end, file.length):
                return False
        return digest.hexdigest() == file.sha256

    def _check_free(self) -> None:
        """Where the storage itself cannot create a file only if there is none.

        :raises FileExistsError: there is one.
        """
        try:
            asked_again(lambda: self.fs.info(self.place))  # exists() takes trouble for a no
        except FileNotFoundError:
            return
        raise FileExistsError

    def _check_won(self, file: Downloaded) -> None:
        """After a file was put where another task may have put its own at the same time.

        :raises FileExistsError: the other one is there.
        """
        if not self.holds(file):
            raise FileExistsError


class LocalTarget(Target):
    """A file of this machine: a part beside it, which becomes it by link() or rename()."""

    _file: IO[bytes] | None = None

    def begin(self) -> None:
        self._close()
        self._file = open(self._part, "wb")  # noqa: SIM115

    def write(self, data: bytes) -> object:
        return self._file.write(data) if self._file else None

    def put(self, file: Downloaded) -> None:
        self._close()
        if self.overwrite:
            os.replace(self._part, self.place)
            return
        try:
            os.link(self._part, self.place)
        except (FileExistsError, FileNotFoundError):
            raise
        except OSError:
            self._put_without_links()
        else:
            os.unlink(self._part)

    def _put_without_links(self) -> None:
        """An empty file takes the name, which only one process can; then the part replaces it.

        Meanwhile the part is called otherwise: by that the next try of a task which was killed in between knows that
        the empty file is nobody's.
        """
        if os.path.lexists(self.place):
            raise FileExistsError
        claim = self._part.removesuffix(_PART) + _CLAIM
        os.rename(self._part, claim)
        self._part = claim
        os.close(os.open(self.place, os.O_CREAT | os.O_EXCL | os.O_WRONLY))
        os.replace(claim, self.place)

    def discard(self) -> None:
        try:
            self._close()  # on a full disk, what is buffered cannot be written
        finally:
            with suppress(FileNotFoundError):
                os.unlink(self._part)

    def _holds(self, file: Downloaded) -> bool:
        if os.stat(self.place).st_size != file.length:
            return False
        with open(self.place, "rb") as held:
            return hashlib.file_digest(held, "sha256").hexdigest() == file.sha256

    def _close(self) -> None:
        if self._file is not None:
            file, self._file = self._file, None
            file.close()


class ObjectTarget(Target):
    """An object: one PUT, or a multipart upload that is aborted on trouble. No folder is made, nothing is listed."""

    _file: Any = None
    _checked = False

    def begin(self) -> None:
        self.discard()
        try:
            self._file = self._open("wb" if self.overwrite else "xb")
        except (NotImplementedError, ValueError):  # a library from before there were conditional writes
            self._checked = True
            self._file = self._open("wb")

    def write(self, data: bytes) -> object:
        return self._file.write(data)

    def put(self, file: Downloaded) -> None:
        if not self.overwrite:
            self._check_free()
        # Completes the upload: until now nothing has this name. In mode xb the storage refuses it where something has.
        self._file.close()
        self._file = None
        if self._checked:
            self._check_won(file)

    def discard(self) -> None:
        if self._file is not None:
            file, self._file = self._file, None
            try:
                with suppress(FileNotFoundError):  # the upload, where its end was carried out and the answer lost
                    file.discard()
            finally:
                file.closed = True  # else its finalizer would write what has come so far

    def _check_free(self) -> None:
        """Not every storage that takes the condition keeps it: COS does not in a bucket that ever had versioning."""
        try:
            # By a read: to ask for the size takes another right, and a list where there is none.
            asked_again(lambda: self.fs.cat_file(self.place, start=0, end=1))
        except (FileNotFoundError, PermissionError):  # without the right to list, S3 refuses what is not there
            return
        except Exception as error:
            if not _is_past_the_end(error):  # as the first byte of an empty file is
                raise
        raise FileExistsError

    def _open(self, mode: str) -> Any:
        options = {}
        if "s3" in _protocols(self.fs) or "cos" in _protocols(self.fs):
            options["ContentType"] = mimetypes.guess_type(self.path.name)[0] or "application/octet-stream"
        return self.fs.open(self.place, mode, block_size=_PIECE, **options)


class OtherTarget(Target):
    """Any other storage: a part beside the file, which is moved."""

    _file: Any = None

    def begin(self) -> None:
        self._close()
        self._file = self.fs.open(self._part, "wb")

    def write(self, data: bytes) -> object:
        return self._file.write(data)

    def put(self, file: Downloaded) -> None:
        self._close()
        if not self.overwrite:
            self._check_free()
        self._move()
        if not self.overwrite:
            self._check_won(file)

    def _move(self) -> None:
        if type(self.fs).mv is not AbstractFileSystem.mv:
            self.fs.mv(self._part, self.place)
            return
        # fsspec's own copies and removes, too, but takes what it moves for a pattern: "[draft] song" for "d song".
        self.fs.cp_file(self._part, self.place)
        self.fs.rm_file(self._part)

    def discard(self) -> None:
        try:
            self._close()
        finally:
            with suppress(FileNotFoundError):
                self.fs.rm_file(self._part)

    def _close(self) -> None:
        if self._file is not None:
            file, self._file = self._file, None
            file.close()


class Folder:
    """Where a transfer keeps its files: their targets, and the record of those that are kept.

    The record lies beside the files while there are more to come. A retry of the task reads it: it has lost its XComs,
    and the URLs of files that are kept may have expired.

    :param path: the folder.
    :param task: distinguishes this task instance from any other; empty: it is none.
    :param since: the same for a try and its retries, and another one after a clear.
    :param overwrite: whether files that are there are replaced.
    :ivar has_retries: whether a retry would find what this try leaves.
    """

    def __init__(self, path: ObjectStoragePath, task: str, since: str, overwrite: bool) -> None:
        self.path = path
        self.since = since
        self._prefix = f".{hashlib.sha256(task.encode()).hexdigest()[:12] if task else uuid.uuid4().hex[:12]}-"
        self.has_retries = bool(task)
        self._overwrite = overwrite
        self._record = path / f"{self._prefix}kept.json"
        self._target: type[Target] = OtherTarget
        if isinstance(path.fs, LocalFileSystem):
            self._target = LocalTarget
        elif _protocols(path.fs) & _OBJECT_STORES:
            self._target = ObjectTarget

    def prepare(self) -> None:
        """Make the folder, where the storage has folders, and remove what a killed try of this task has left."""
        if self._target is ObjectTarget:
            return
        fs, place = self.path.fs, self.path.path
        fs.makedirs(place, exist_ok=True)
        for found in fs.ls(place, detail=False):
            folder, _, name = str(found).rstrip("/").rpartition("/")
            if not name.startswith(self._prefix) or not name.endswith((_PART, _CLAIM)):
                continue
            if name.endswith(_CLAIM):
                self._remove_empty(f"{folder}/{name[len(self._prefix) + _UNIQUE + 1 : -len(_CLAIM)]}")
            with suppress(FileNotFoundError):
                fs.rm_file(found)

    def _remove_empty(self, place: str) -> None:
        """Remove the empty file by which a killed try took a name, and not the file of somebody else."""
        with suppress(FileNotFoundError):
            if self.path.fs.info(place)["size"] == 0:
                self.path.fs.rm_file(place)

    def target(self, name: str) -> Target:
        """The place of a file.

        :raises IsADirectoryError: there is a folder.
        """
        path = self.path / name
        if self._target is not ObjectTarget and path.fs.isdir(path.path):
            raise IsADirectoryError(name)
        return self._target(path, self._prefix, self._overwrite)

    def kept(self) -> list[dict[str, Any]]:
        """What an earlier try of this task has kept: of each file its name, its source, and what came."""
        try:
            # With a range, for without one s3fs asks for the size first, which takes the right to list.
            written = asked_again(lambda: self.path.fs.cat_file(self._record.path, start=0, end=_RECORD_BYTES))
            found = json.loads(written)
        except (FileNotFoundError, PermissionError, ValueError):  # without that right, S3 refuses what is not there
            return []
        entries = [each for each in found if isinstance(each, dict)] if isinstance(found, list) else []
        return [each for each in entries if all(isinstance(each.get(name), str) for name in ("name", "source"))]

    def remember(self, kept: list[dict[str, Any]]) -> None:
        """Write down what is kept so far, over what was written before."""
        written = json.dumps(kept).encode()
        record = self._target(self._record, self._prefix, True)
        try:
            record.begin()
            record.write(written)
            record.put(Downloaded(len(written), ""))
        except Exception:
            record.drop()
            raise

    def forget(self) -> None:
        """Remove the record."""
        with suppress(FileNotFoundError):
            self.path.fs.rm_file(self._record.path)


def asked_again(ask: Callable[[], _T]) -> _T:
    """The answer of a storage, which is asked a few times where it gives none."""
    return tenacity.Retrying(
        retry=tenacity.retry_if_exception(_may_pass),
        stop=tenacity.stop_after_attempt(_TRIES),
        wait=tenacity.wait_random_exponential(multiplier=patience().backoff, max=patience().backoff_limit),
        reraise=True,
    )(ask)


def _is_past_the_end(error: BaseException) -> bool:
    """Whether a storage says that a file ends before the range that was asked for: HTTP 416.

    s3fs makes an EINVAL of it, gcsfs an error with a code, which may be text, and adlfs one with a status_code.
    """
    codes = getattr(error, "code", None), getattr(error, "status_code", None)
    return (isinstance(error, OSError) and error.errno == errno.EINVAL) or "416" in map(str, codes)


def _may_pass(error: BaseException) -> bool:
    if _is_past_the_end(error):
        return False
    final = (FileNotFoundError, FileExistsError, PermissionError, NotADirectoryError, IsADirectoryError, MpsError)
    return isinstance(error, Exception) and not isinstance(error, final)


@contextmanager
def storage_errors(folder: ObjectStoragePath) -> Iterator[None]:
    """Raise what a storage raises, whatever its library's class, as an error of this package."""
    try:
        yield
    except MpsError:
        raise
    except Exception as error:
        said = getattr(error, "strerror", None) or without_queries(str(error))
        final = isinstance(error, (FileNotFoundError, NotADirectoryError))
        raise DownloadError(
            f"destination: {folder} cannot be written to: {type(error).__name__}: {said}",
            retry_helps=not final,
            advice="Check the destination and its connection" if final else None,
        ) from error


def _protocols(fs: Any) -> set[str]:
    return {fs.protocol} if isinstance(fs.protocol, str) else set(fs.protocol)
