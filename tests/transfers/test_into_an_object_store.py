"""The transfer into COS, as into any object store: one write or one upload, nothing listed, made, or left."""

import json
import threading
import uuid
from collections.abc import Callable
from typing import Any

import pytest
from fsspec.implementations.memory import MemoryFileSystem

from airflow_provider_mps.compat import AirflowFailException
from airflow_provider_mps.transfers.mps_to_object_storage import DownloadError, MpsToObjectStorageOperator
from tests.doubles.airflows import attach
from tests.doubles.cos import BUCKET, Cos, CosRequest, Refusal
from tests.doubles.in_time import ends
from tests.doubles.logs import Lines
from tests.doubles.servers import Handler, LoopbackServer
from tests.doubles.task_instances import Outcome, TaskInstance

pytestmark = pytest.mark.usefixtures("mps_short_waits")

FOLDER = f"cos://cos@{BUCKET}/songs"
SMALL, LARGE = b"ID3" + bytes(5000), bytes(range(256)) * 36_000


@pytest.fixture(autouse=True)
def loopback_connection(monkeypatch: pytest.MonkeyPatch) -> None:
    connection = {"conn_type": "tencent_mps", "host": "127.0.0.1", "schema": "http", "login": "i", "password": "k"}
    monkeypatch.setenv("AIRFLOW_CONN_TENCENT_MPS_DEFAULT", json.dumps(connection))


def respond(handler: Handler) -> None:
    """A server of small files, large ones, and one that is gone."""
    if "gone" in handler.received.path:
        handler.answer(b"", status=410)
    else:
        handler.answer(LARGE if "large" in handler.received.path else SMALL)


def transfer(server: LoopbackServer, *names: str, folder: str = FOLDER, **arguments: Any) -> MpsToObjectStorageOperator:
    urls = [f"{server.url}/files/{name}?sign=secret" for name in names]
    return MpsToObjectStorageOperator(task_id="keep", urls=urls, destination=folder, **arguments)


def keep(*names: str, answer: Callable[[Handler], None] = respond, **arguments: Any) -> Outcome:
    with LoopbackServer(answer) as server:
        task = transfer(server, *names, **arguments)
        outcome: Outcome = ends(TaskInstance(lambda: task, retries=0).run)
    return outcome


def only_objects(request: CosRequest) -> Refusal | None:
    """Keys that may put, get and delete objects, and nothing else."""
    object_alone = bool(request.key) and request.method in ("PUT", "GET", "POST", "DELETE")
    return None if object_alone else Refusal(403, "AccessDenied", "Access Denied.")


def no_deletes(request: CosRequest) -> Refusal | None:
    """Keys that may delete nothing."""
    return Refusal(403, "AccessDenied", "Access Denied.") if request.method == "DELETE" else None


def no_puts(request: CosRequest) -> Refusal | None:
    """Keys that may write nothing."""
    return Refusal(403, "AccessDenied", "Access Denied.") if request.method == "PUT" else None


def test_files_are_kept_by_keys_that_may_only_put_get_and_delete_objects(cos: Cos) -> None:
    cos.rules.append(only_objects)
    outcome = keep("small.mp3", "large.mp4")
    assert outcome.errors == []
    assert outcome.value == [f"{FOLDER}/small.mp3", f"{FOLDER}/large.mp4"]
    assert cos.objects() == {"songs/small.mp3": SMALL, "songs/large.mp4": LARGE}
    assert [cos.content_type(f"songs/{name}") for name in ("small.mp3", "large.mp4")] == ["audio/mpeg", "video/mp4"]
    assert [request for request in cos.requests if request.status == 403] == []


def test_a_small_file_is_one_put(cos: Cos) -> None:
    assert keep("small.mp3").errors == []
    asked = [request.method for request in cos.requests if request.key == "songs/small.mp3"]
    assert asked == ["GET", "PUT"], "whether something is there, and the file"
    assert keep("small.mp3", overwrite=True).errors == []
    assert [request.method for request in cos.requests if request.key == "songs/small.mp3"] == [*asked, "PUT"]


@pytest.mark.parametrize("name", ["small.mp3", "large.mp3"])
def test_a_misspelt_bucket_is_named_and_not_made(cos: Cos, name: str) -> None:
    [error] = keep(name, folder="cos://cos@sogns-1250000000/july").errors
    assert isinstance(error, DownloadError)
    assert isinstance(error, AirflowFailException)
    assert str(error).startswith("destination: cos://cos@sogns-1250000000/july cannot be written to: ")
    assert cos.buckets == [BUCKET]


def test_keys_without_the_right_to_delete_keep_files_and_are_warned_of(cos: Cos, logged: Lines) -> None:
    cos.rules.append(no_deletes)
    for _ in range(2):
        outcome = keep("one.mp3", "two.mp3", concurrency=1)
        assert outcome.errors == []
    assert {key for key in cos.objects() if key.endswith(".mp3")} == {"songs/one.mp3", "songs/two.mp3"}
    assert not [key for key in cos.objects() if key.endswith(".part")]
    assert logged.of("The record of what is kept could not be removed")


def test_a_retry_counts_what_was_kept(cos: Cos) -> None:
    cos.rules.append(only_objects)
    gone = ["gone.mp3"]

    def answer(handler: Handler) -> None:
        name = handler.received.path.partition("?")[0].rpartition("/")[2]
        handler.answer(b"", status=410) if name in gone else handler.answer(SMALL)

    with LoopbackServer(answer) as server:
        instance = TaskInstance(lambda: transfer(server, "one.mp3", "gone.mp3", "three.mp3"), retries=0)
        outcome = ends(instance.run)
        assert [file["uri"] for file in outcome.xcoms["kept"]] == [f"{FOLDER}/one.mp3", f"{FOLDER}/three.mp3"]
        gone[:] = ["one.mp3", "three.mp3"]
        assert ends(instance.run).errors == []
    assert set(cos.objects()) == {f"songs/{name}.mp3" for name in ("one", "gone", "three")}, "and no record"


@pytest.mark.parametrize("content", [SMALL, LARGE])
def test_a_file_that_is_there_stays_and_the_same_content_counts_as_kept(cos: Cos, content: bytes) -> None:
    name = "large.mp3" if content is LARGE else "small.mp3"
    for held in (content[:-1], content + b"x", b""):
        cos.put(f"songs/{name}", held)
        [error] = keep(name).errors
        assert "holds other content already" in str(error)
        assert cos.objects() == {f"songs/{name}": held}
        assert cos.uploads() == []
    assert keep(name, overwrite=True).errors == []
    assert cos.objects() == {f"songs/{name}": content}
    assert keep(name).errors == []


def test_the_same_content_counts_as_kept_where_it_ends_with_a_piece_that_is_read_back(cos: Cos) -> None:
    """No range may begin at its end: the store answers HTTP 416 to that, as to one past the end of a shorter file."""
    piece = LARGE[: 8 * 1024**2]
    sent = [piece]
    cos.put("songs/song.mp3", piece)

    def answer(handler: Handler) -> None:
        handler.answer(sent[-1])

    assert keep("song.mp3", answer=answer).errors == []
    for content in (piece[:-1], piece + b"x", LARGE):
        sent.append(content)
        [error] = keep("song.mp3", answer=answer).errors
        assert "holds other content already" in str(error)
    assert cos.objects() == {"songs/song.mp3": piece}


@pytest.mark.parametrize("said", [{"code": 416}, {"code": "416"}, {"status_code": 416}])
@pytest.mark.parametrize("held", [0, 8 * 1024**2])
def test_a_file_that_ends_before_a_range_holds_other_content_whatever_the_library_raises(
    held: int, said: dict[str, Any]
) -> None:
    """As gcsfs does, and adlfs."""

    class RangeError(Exception):
        """HTTP 416 Range Not Satisfiable."""

        def __init__(self) -> None:
            vars(self).update(said)

    class Upload:
        """One that is never completed, for something is there."""

        write, discard = staticmethod(len), staticmethod(lambda: None)

    class Store(MemoryFileSystem):  # type: ignore[misc]
        protocol = ("memory", "gs")
        cachable = False

        def _open(self, path: str, mode: str = "rb", **kwargs: Any) -> Any:
            return Upload() if mode == "xb" else super()._open(path, mode, **kwargs)

        def cat_file(self, path: str, start: int = 0, end: int | None = None, **kwargs: Any) -> Any:
            asked.extend([start] if path.endswith(".mp3") else [])
            if start >= self.info(path)["size"]:
                raise RangeError
            return super().cat_file(path, start, end, **kwargs)

    asked: list[int] = []
    fs, alias = Store(), uuid.uuid4().hex  # Airflow keeps the file system of an alias
    attach("memory", alias, fs=fs)
    fs.pipe_file("/shorter/large.mp3", LARGE[:held])
    [error] = keep("large.mp3", folder=f"memory://{alias}@shorter").errors
    assert "holds other content already" in str(error)
    assert asked == ([0, 0, held] if held else [0, 0]), "and is not asked again"


def test_a_bucket_with_versions_forbids_nothing_and_its_file_stays_all_the_same(cos: Cos) -> None:
    cos.versioned = True
    for held in (b"paid for before", b""):
        cos.put("songs/small.mp3", held)
        [error] = keep("small.mp3").errors
        assert "holds other content already" in str(error)
        assert cos.objects() == {"songs/small.mp3": held}


@pytest.mark.parametrize("name", ["small.mp3", "large.mp3"])
def test_a_file_whose_last_answer_was_lost_is_kept(cos: Cos, name: str) -> None:
    def lost(request: CosRequest) -> Refusal | None:
        """The object is made, and the answer says something else; a repeat finds it, or no upload any more."""
        last = ("PUT", set()) if name == "small.mp3" else ("POST", {"uploadId"})
        return Refusal(500, "InternalError") if (request.method, set(request.query)) == last else None

    cos.lost.append(lost)
    assert keep(name).errors == []
    assert cos.objects() == {f"songs/{name}": LARGE if name == "large.mp3" else SMALL}
    assert cos.uploads() == []


def test_keys_that_may_abort_no_upload_keep_what_is_there_already(cos: Cos, logged: Lines) -> None:
    cos.put("songs/large.mp3", LARGE)
    cos.rules.append(no_deletes)
    assert keep("large.mp3").errors == []
    assert logged.of("What had come of large.mp3 could not be removed: PermissionError")


@pytest.mark.parametrize("name", ["small.mp3", "large.mp3"])
def test_of_two_transfers_of_one_name_one_is_told(cos: Cos, name: str) -> None:
    together = threading.Barrier(2)

    def answer(handler: Handler) -> None:
        together.wait(20)
        handler.answer(handler.received.path[:2].encode() + (LARGE if "large" in name else SMALL))

    outcomes: list[Outcome] = []
    with LoopbackServer(answer) as server:

        def run(which: str) -> None:
            task = MpsToObjectStorageOperator(task_id=which, urls=f"{server.url}/{which}/{name}", destination=FOLDER)
            outcomes.append(TaskInstance(lambda: task, retries=0).run())

        threads = [threading.Thread(target=run, args=(which,)) for which in "ab"]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    [error] = [error for outcome in outcomes for error in outcome.errors]
    assert "holds other content already" in str(error)
    assert list(cos.objects()) == [f"songs/{name}"]
    assert cos.uploads() == []


def test_a_download_that_begins_anew_leaves_no_upload(cos: Cos) -> None:
    def answer(handler: Handler) -> None:
        if len(handler.server.requests) == 1:
            handler.answer(LARGE[:-5], Content_Length=str(len(LARGE)))
            handler.close_connection = True
        else:
            handler.answer(LARGE)

    assert keep("large.mp3", answer=answer).errors == []
    assert cos.objects() == {"songs/large.mp3": LARGE}
    assert cos.uploads() == []


def test_a_file_that_does_not_come_whole_is_not_there(cos: Cos) -> None:
    def answer(handler: Handler) -> None:
        handler.answer(LARGE[:-5], Content_Length=str(len(LARGE)))
        handler.close_connection = True

    assert keep("large.mp3", answer=answer).errors
    assert (cos.objects(), cos.uploads()) == ({}, [])


def test_a_kill_leaves_no_upload(cos: Cos) -> None:
    def answer(handler: Handler) -> None:
        handler.answer(LARGE[:-5], Content_Length=str(len(LARGE)))
        handler.server.stopping.wait()

    with LoopbackServer(answer) as server:
        task = transfer(server, "large.mp3")
        thread = threading.Thread(target=TaskInstance(lambda: task, retries=0).run)
        thread.start()
        while not cos.uploads():
            pass
        task.on_kill()
        assert (cos.objects(), cos.uploads()) == ({}, [])
        thread.join()


def test_what_the_store_says_is_said_in_three_lines(cos: Cos, logged: Lines) -> None:
    cos.rules.append(
        lambda request: Refusal(403, "AccessDenied", "Access Denied.") if request.method == "PUT" else None
    )
    [error] = keep("small.mp3").errors
    assert isinstance(error, DownloadError)
    assert not isinstance(error, AirflowFailException), "a right may come"
    assert [line for line in logged.lines if "cannot be written to: PermissionError: Access Denied" in line]
