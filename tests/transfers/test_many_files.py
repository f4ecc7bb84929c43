"""Many files in one transfer: at the same time, in order, all that come, nothing lost by a kill or a retry."""

import datetime
import hashlib
import json
import signal
import threading
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from fsspec.implementations.memory import MemoryFileSystem

from airflow_provider_mps.api.errors import InvalidArgumentError
from airflow_provider_mps.compat import AirflowFailException, ObjectStoragePath
from airflow_provider_mps.transfers.mps_to_object_storage import (
    DownloadError,
    ExpiredUrlError,
    MpsToObjectStorageOperator,
)
from tests.doubles.airflows import attach, let_execute
from tests.doubles.in_time import ends
from tests.doubles.logs import Lines
from tests.doubles.servers import Handler, LoopbackServer
from tests.doubles.task_instances import Outcome, TaskInstance

pytestmark = pytest.mark.usefixtures("mps_short_waits")

NAMES = ("one.png", "two.png", "three.png", "four.png")


@pytest.fixture(autouse=True)
def loopback_connection(monkeypatch: pytest.MonkeyPatch) -> None:
    connection = {"conn_type": "tencent_mps", "host": "127.0.0.1", "schema": "http", "login": "i", "password": "k"}
    monkeypatch.setenv("AIRFLOW_CONN_TENCENT_MPS_DEFAULT", json.dumps(connection))


def content(name: str) -> bytes:
    return name.encode() * 1000


def files(*gone: str) -> Callable[[Handler], None]:
    """A server of any file but these."""

    def respond(handler: Handler) -> None:
        name = handler.received.path.partition("?")[0].rpartition("/")[2]
        if name in gone:
            handler.answer(b"", status=410)
        else:
            handler.answer(content(name))

    return respond


def transfer(server: LoopbackServer, folder: Any, *names: str, **arguments: Any) -> MpsToObjectStorageOperator:
    urls = [f"{server.url}/files/{name}?sign=secret" for name in names or NAMES]
    return MpsToObjectStorageOperator(task_id="keep", urls=urls, destination=str(folder), **arguments)


def run(task: MpsToObjectStorageOperator, instance: TaskInstance | None = None) -> Outcome:
    instance = instance or TaskInstance(lambda: task, retries=0)
    outcome: Outcome = ends(instance.run)
    return outcome


def names_in(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


class TestAtTheSameTime:
    """So many files at a time as ``concurrency`` says, over shared connections."""

    def test_eight_files_come_at_a_time_and_the_list_is_in_the_order_of_the_urls(self, tmp_path: Path) -> None:
        names = [f"{number}.png" for number in range(20)]
        together = threading.Barrier(8)

        def respond(handler: Handler) -> None:
            if len(handler.server.requests) <= 8:
                together.wait(20)  # none of the first is answered before all eight are asked for
            files()(handler)

        with LoopbackServer(respond) as server:
            outcome = run(transfer(server, tmp_path, *names))
        assert outcome.value == [f"file://{tmp_path}/{name}" for name in names]
        assert server.connections == 8
        assert {name: (tmp_path / name).read_bytes() for name in names} == {name: content(name) for name in names}

    @pytest.mark.parametrize("concurrency", [1, 3])
    def test_no_more_than_that(self, tmp_path: Path, concurrency: int) -> None:
        under_way = most = 0
        counting = threading.Lock()

        def respond(handler: Handler) -> None:
            nonlocal under_way, most
            with counting:
                under_way += 1
                most = max(most, under_way)
            files()(handler)
            with counting:
                under_way -= 1

        with LoopbackServer(respond) as server:
            run(transfer(server, tmp_path, *(f"{n}.png" for n in range(12)), concurrency=concurrency))
        assert most <= concurrency

    @pytest.mark.parametrize("concurrency", [0, -1, 1.5, None, "8", True])
    def test_a_number_that_is_none_is_named(self, tmp_path: Path, concurrency: Any) -> None:
        with LoopbackServer(files()) as server:
            [error] = run(transfer(server, tmp_path, concurrency=concurrency)).errors
        assert isinstance(error, AirflowFailException)
        assert str(error).startswith("concurrency: ")
        assert server.requests == []

    def test_the_deadline_is_that_of_each_file(self, tmp_path: Path) -> None:
        def respond(handler: Handler) -> None:
            if "slow" in handler.received.path:
                handler.server.stopping.wait()
            else:
                files()(handler)

        with LoopbackServer(respond) as server:
            [error] = run(transfer(server, tmp_path, "slow.png", *NAMES, download_timeout=2, concurrency=2)).errors
        assert "slow.png: not whole within 2 s (download_timeout)" in str(error)
        assert set(names_in(tmp_path)) >= set(NAMES)

    def test_a_file_that_is_given_up_while_its_storage_hangs_is_missing_and_not_kept_as_well(
        self, tmp_path: Path, logged: Lines, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr("airflow_provider_mps.api.files.download._ENDING_SECONDS", 0.0)
        given_up, in_place = threading.Event(), threading.Event()

        class Hangs(MemoryFileSystem):  # type: ignore[misc]
            """Moves a file when nobody waits for that any longer."""

            cachable = False

            def mv(self, path1: str, path2: str, **kwargs: Any) -> None:
                if path2.endswith("two.png"):
                    given_up.wait(20)
                super().mv(path1, path2, **kwargs)
                if path2.endswith("two.png"):
                    in_place.set()

        fs = Hangs()
        attach("memory", "hangs", fs=fs)
        folder = f"memory://hangs@{tmp_path.name}/x"
        gone: list[str] = []
        with LoopbackServer(lambda handler: files(*gone)(handler)) as server:
            instance = TaskInstance(lambda: transfer(server, folder, download_timeout=1), retries=0)
            outcome = run(transfer(server, folder), instance)
            given_up.set()
            [error] = outcome.errors
            assert isinstance(error, DownloadError)
            assert error.what.startswith("1 of 4 files are missing: two.png: not whole within 1 s")
            assert len(outcome.xcoms["kept"]) == 3
            assert in_place.wait(20)
            while not logged.of("two.png is in its place after all"):
                pass
            gone[:] = NAMES
            assert len(run(transfer(server, folder), instance).value) == 4


class TestAllThatCanBeHad:
    """What is gone keeps no other file from being kept."""

    @pytest.mark.parametrize("concurrency", [1, 8])
    def test_the_others_are_kept_and_the_error_says_what_is_missing_and_what_is_kept(
        self, tmp_path: Path, concurrency: int
    ) -> None:
        with LoopbackServer(files("two.png")) as server:
            outcome = run(transfer(server, tmp_path, concurrency=concurrency))
        kept = [name for name in NAMES if name != "two.png"]
        assert {path.name for path in tmp_path.iterdir() if path.suffix == ".png"} == set(kept)
        [error] = outcome.errors
        assert isinstance(error, ExpiredUrlError)
        assert error.what.startswith("1 of 4 files are missing: two.png: HTTP 410")
        assert error.cost == "3 of 4 are kept, and a download costs nothing at MPS"
        for name in kept:
            assert f"file://{tmp_path}/{name}" in error.details

    def test_what_is_kept_is_pushed_also_where_the_transfer_fails(self, tmp_path: Path) -> None:
        def described(*names: str) -> list[dict[str, Any]]:
            return [
                {
                    "uri": f"file://{tmp_path}/{name}",
                    "length": len(content(name)),
                    "sha256": hashlib.sha256(content(name)).hexdigest(),
                }
                for name in names
            ]

        with LoopbackServer(files("two.png")) as server:
            assert run(transfer(server, tmp_path)).xcoms["kept"] == described("one.png", "three.png", "four.png")
        with LoopbackServer(files()) as server:
            assert run(transfer(server, tmp_path)).xcoms["kept"] == described(*NAMES)

    @pytest.mark.parametrize("storage", ["local", "memory"])
    def test_a_retry_counts_what_an_earlier_try_has_kept_though_its_url_is_gone(
        self, tmp_path: Path, storage: str
    ) -> None:
        gone = ["two.png"]
        if storage == "memory":
            attach("memory", fs=MemoryFileSystem())
        folder = tmp_path if storage == "local" else f"memory://{tmp_path.name}/songs"
        with LoopbackServer(lambda handler: files(*gone)(handler)) as server:
            instance = TaskInstance(lambda: transfer(server, folder), retries=0)
            assert run(transfer(server, folder), instance).errors
            gone[:] = [name for name in NAMES if name != "two.png"]
            outcome = run(transfer(server, folder), instance)
        assert outcome.errors == []
        assert len(outcome.value) == 4
        if storage == "local":
            assert names_in(tmp_path) == sorted(NAMES), "the record is removed at the end"

    def test_what_is_no_longer_there_is_not_counted(self, tmp_path: Path) -> None:
        gone = ["two.png"]
        with LoopbackServer(lambda handler: files(*gone)(handler)) as server:
            instance = TaskInstance(lambda: transfer(server, tmp_path), retries=0)
            run(transfer(server, tmp_path), instance)
            (tmp_path / "one.png").write_bytes(b"other")
            (tmp_path / "three.png").unlink()
            gone[:] = NAMES
            [error] = run(transfer(server, tmp_path), instance).errors
        assert isinstance(error, ExpiredUrlError)
        assert error.what.startswith("3 of 4 files are missing")

    @pytest.mark.parametrize(
        "record", ["", "{", "7", "[7, null]", '[{"name": "one.png"}]', '[{"name": [], "source": {}}]', "\ud800"]
    )
    def test_a_record_that_says_nothing_is_passed_by(self, tmp_path: Path, record: str) -> None:
        with LoopbackServer(files("two.png")) as server:
            instance = TaskInstance(lambda: transfer(server, tmp_path), retries=0)
            run(transfer(server, tmp_path), instance)
        [path] = [path for path in tmp_path.iterdir() if path.suffix == ".json"]
        assert "secret" not in path.read_text()
        path.write_bytes(record.encode(errors="surrogatepass"))
        with LoopbackServer(files()) as server:
            assert run(transfer(server, tmp_path), instance).errors == []

    def test_outside_of_airflow_nothing_is_left_for_a_retry(self, tmp_path: Path) -> None:
        let_execute()
        with LoopbackServer(files("two.png")) as server, pytest.raises(ExpiredUrlError):
            transfer(server, tmp_path).execute({})
        assert names_in(tmp_path) == ["four.png", "one.png", "three.png"]

    def test_another_task_s_record_is_not_read(self, tmp_path: Path) -> None:
        with LoopbackServer(files("two.png")) as server:
            run(transfer(server, tmp_path))
            other = TaskInstance(lambda: transfer(server, tmp_path), retries=0)
            other.map_index = 7
            run(transfer(server, tmp_path), other)
            assert len([each for each in server.requests if "one.png" in each.path]) == 2


class TestCleared:
    """After a clear, the same URL may lead to another file, which was made and paid for since."""

    @staticmethod
    def films(made: dict[str, bytes]) -> Callable[[Handler], None]:
        """A server of these files; any other is gone."""

        def respond(handler: Handler) -> None:
            name = handler.received.path.partition("?")[0].rpartition("/")[2]
            handler.answer(made[name]) if name in made else handler.answer(b"", status=410)

        return respond

    @pytest.mark.parametrize("again", ["cleared", "cleared with fewer retries", "deleted and made again"])
    @pytest.mark.parametrize("overwrite", [False, True])
    def test_what_was_made_since_is_fetched(self, tmp_path: Path, overwrite: bool, again: str) -> None:
        made = {"film.mp4": b"the old film"}
        with LoopbackServer(self.films(made)) as server:
            task = partial(transfer, server, tmp_path, "film.mp4", "teaser.mp4", overwrite=overwrite)
            instance = TaskInstance(task)
            [error] = ends(instance.run).errors
            assert "1 of 2 files are missing" in str(error)
            made |= {"film.mp4": b"the new film", "teaser.mp4": b"the teaser"}
            if again == "cleared with fewer retries":
                instance.retries = 0
            outcome = ends((TaskInstance(task) if again == "deleted and made again" else instance).run)
        assert (tmp_path / "teaser.mp4").read_bytes() == b"the teaser"
        if overwrite:
            assert outcome.errors == []
            assert (tmp_path / "film.mp4").read_bytes() == b"the new film"
            assert names_in(tmp_path) == ["film.mp4", "teaser.mp4"]
        else:
            assert "film.mp4: its place holds other content already" in str(outcome.errors[-1])
            assert (tmp_path / "film.mp4").read_bytes() == b"the old film"

    def test_what_is_gone_is_counted_as_kept_and_no_half_of_it_is_left(self, tmp_path: Path, logged: Lines) -> None:
        made = {"film.mp4": b"the film"}

        def respond(handler: Handler) -> None:
            name = handler.received.path.partition("?")[0].rpartition("/")[2]
            if name == "film.mp4" and len(made) == 2 and not halves:
                halves.append(name)
                handler.answer(b"the f", Content_Length="8")
                handler.close_connection = True
                del made["film.mp4"]
            else:
                self.films(made)(handler)

        halves: list[str] = []
        with LoopbackServer(respond) as server:
            instance = TaskInstance(lambda: transfer(server, tmp_path, "film.mp4", "teaser.mp4"), retries=0)
            assert ends(instance.run).errors
            made["teaser.mp4"] = b"the teaser"
            outcome = ends(instance.run)
        assert halves
        assert outcome.errors == []
        assert [each["length"] for each in outcome.xcoms["kept"]] == [8, 10]
        assert names_in(tmp_path) == ["film.mp4", "teaser.mp4"]
        assert logged.of("film.mp4: its URL is gone")

    @pytest.mark.parametrize("version", ["this", "an earlier"])
    def test_a_retry_does_not_ask_for_what_is_kept(self, tmp_path: Path, version: str) -> None:
        def respond(handler: Handler) -> None:
            wanted = "film.mp4" in handler.received.path or len(tries) == 2
            handler.answer(b"the film" if wanted else b"", status=200 if wanted else 404)

        def make() -> MpsToObjectStorageOperator:
            tries.append(version)
            if len(tries) == 2 and version == "an earlier":  # which wrote less
                [record] = tmp_path.glob(".*.json")
                known = ("name", "source", "length", "sha256")
                entries = [{name: entry[name] for name in known} for entry in json.loads(record.read_text())]
                record.write_text(json.dumps(entries))
            return transfer(server, tmp_path, "film.mp4", "teaser.mp4")

        tries: list[str] = []
        with LoopbackServer(respond) as server:
            outcome = ends(TaskInstance(make).run)
            assert (outcome.tries, len(outcome.value)) == (2, 2)
            assert len([each for each in server.requests if "film.mp4" in each.path]) == 1


class TestAlike:
    """URLs that differ only in their query, which may tell one song from another, or be a signature."""

    @staticmethod
    def tries(
        folder: Path, *urls: list[str], late: str = "", between: Callable[[], object] = lambda: None
    ) -> tuple[Outcome, list[str]]:
        """What became of tries with these URLs, and what they asked for.

        :param late: what is there only from the second try on.
        :param between: is called before the second try.
        """
        of_tries = list(urls)

        def respond(handler: Handler) -> None:
            here = not of_tries or not (late and handler.received.path.endswith(late))
            song = handler.received.path.partition("&sign=")[0]
            handler.answer(f"of {song}".encode() if here else b"", status=200 if here else 404)

        def make() -> MpsToObjectStorageOperator:
            if len(of_tries) < len(urls):
                between()
            asked = [f"{server.url}/{url}" for url in of_tries.pop(0)]
            return MpsToObjectStorageOperator(task_id="keep", urls=asked, destination=str(folder), concurrency=1)

        with LoopbackServer(respond) as server:
            outcome = ends(TaskInstance(make, retries=len(urls) - 1).run)
        return outcome, [each.path.removeprefix("/") for each in server.requests]

    @staticmethod
    def read(outcome: Outcome) -> list[str]:
        """The URLs that the files came from, in the order of the transfer's."""
        return [ObjectStoragePath(uri).read_text().removeprefix("of /") for uri in outcome.value]

    @pytest.mark.parametrize("late", ["song.wav?id=1", "song.wav?id=2", "x.wav"])
    def test_a_retry_keeps_each(self, tmp_path: Path, late: str) -> None:
        urls = ["song.wav?id=1", "song.wav?id=2", "x.wav"]
        outcome, asked = self.tries(tmp_path, urls, urls, late=late)
        assert outcome.tries == 2
        assert self.read(outcome) == urls
        assert [asked.count(url) for url in urls if url != late] == [1, 1], "what is kept is not asked for"
        assert names_in(tmp_path) == ["song-2.wav", "song.wav", "x.wav"]

    def test_a_retry_that_reaches_one_more_keeps_each(self, tmp_path: Path) -> None:
        urls = ["song.wav?id=1", "song.wav?id=2", "x.wav"]
        outcome, asked = self.tries(tmp_path, urls[1:], urls, late="x.wav")
        assert self.read(outcome) == urls
        assert [uri.rpartition("/")[2] for uri in outcome.value] == ["song-2.wav", "song.wav", "x.wav"]
        assert asked.count("song.wav?id=2") == 1

    def test_a_retry_that_reaches_one_less_keeps_it(self, tmp_path: Path) -> None:
        urls = ["song.wav?id=1", "song.wav?id=2", "x.wav"]
        outcome, _ = self.tries(tmp_path, urls, urls[1:], late="x.wav")
        assert self.read(outcome) == urls[1:]

    def test_those_that_are_signed_anew_are_fetched_anew(self, tmp_path: Path) -> None:
        urls = ["song.wav?id=1", "song.wav?id=2", "x.wav?id=3"]
        first, then = ([f"{url}&sign={sign}" for url in urls] for sign in "ab")
        outcome, asked = self.tries(tmp_path, first, then, late=first[2])
        assert self.read(outcome) == urls
        assert asked[-3:] == then

    def test_one_that_is_signed_anew_counts_as_kept(self, tmp_path: Path) -> None:
        outcome, asked = self.tries(tmp_path, ["a.wav?sign=a", "x.wav"], ["a.wav?sign=b", "x.wav"], late="x.wav")
        assert self.read(outcome) == ["a.wav?sign=a", "x.wav"]
        assert "a.wav?sign=b" not in asked

    def test_the_record_does_not_tell_what_may_be_a_signature(self, tmp_path: Path) -> None:
        def look() -> None:
            records.extend(path.read_text() for path in tmp_path.glob(".*.json"))

        records: list[str] = []
        urls = ["a.wav?sign=secret", "x.wav"]
        self.tries(tmp_path, urls, urls, late="x.wav", between=look)
        [record] = records
        assert "a.wav" in record
        assert "secret" not in record

    def test_a_record_of_an_earlier_version_does_not_tell_them_apart(self, tmp_path: Path) -> None:
        def age() -> None:
            [record] = tmp_path.glob(".*.json")
            known = ("name", "source", "length", "sha256")
            entries = [{name: entry[name] for name in known} for entry in json.loads(record.read_text())]
            record.write_text(json.dumps(entries[::-1]))

        urls = ["song.wav?id=1", "song.wav?id=2", "x.wav"]
        outcome, _ = self.tries(tmp_path, urls, urls, late="x.wav", between=age)
        assert self.read(outcome) == urls


class TestOneName:
    """Two transfers of one name into one folder: the file that is there first stays."""

    @pytest.mark.parametrize("links", [True, False])
    def test_of_two_at_the_same_moment_one_is_told(
        self, tmp_path: Path, links: bool, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        if not links:  # as on file systems without hard links

            def link(*_: Any) -> None:
                raise PermissionError(1, "Operation not permitted")

            monkeypatch.setattr("os.link", link)
        together = threading.Barrier(2)

        def respond(handler: Handler) -> None:
            together.wait(20)
            handler.answer(handler.received.path.encode() * 100)

        with LoopbackServer(respond) as server:
            for number in range(10):
                folder = tmp_path / str(number)
                outcomes: list[Outcome] = []

                def keep(which: str, folder: Path = folder, outcomes: list[Outcome] = outcomes) -> None:
                    task = MpsToObjectStorageOperator(
                        task_id=which, urls=f"{server.url}/{which}/song.mp3", destination=str(folder)
                    )
                    outcomes.append(TaskInstance(lambda: task, retries=0).run())

                threads = [threading.Thread(target=keep, args=(which,)) for which in "ab"]
                for thread in threads:
                    thread.start()
                for thread in threads:
                    thread.join()
                assert len([outcome for outcome in outcomes if outcome.errors]) == 1
                [error] = [error for outcome in outcomes for error in outcome.errors]
                assert "holds other content already" in str(error)
                assert names_in(folder) == ["song.mp3"]

    @pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
    def test_a_kill_before_the_part_has_the_name_leaves_nothing_that_is_taken_for_a_file(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """On a file system without hard links: by an empty file, only one process can take the name."""

        def link(*_: Any) -> None:
            raise PermissionError(1, "Operation not permitted")

        def killed(*_: Any) -> None:
            sizes.append((tmp_path / "one.png").stat().st_size)
            raise SystemExit

        sizes: list[int] = []
        monkeypatch.setattr("os.link", link)
        (tmp_path / "empty.png").touch()
        with LoopbackServer(files()) as server:
            instance = TaskInstance(lambda: transfer(server, tmp_path, "one.png"), retries=0)
            with monkeypatch.context() as patched:
                patched.setattr("os.replace", killed)
                patched.setattr("airflow_provider_mps.transfers.targets.Target.drop", lambda target: None)
                run(transfer(server, tmp_path, "one.png"), instance)
            assert sizes == [0]
            assert len(names_in(tmp_path)) == 3
            assert run(transfer(server, tmp_path, "one.png"), instance).errors == []
        assert names_in(tmp_path) == ["empty.png", "one.png"]
        assert (tmp_path / "one.png").read_bytes() == content("one.png")

    def test_an_empty_file_of_somebody_else_is_not_taken_for_that(self, tmp_path: Path) -> None:
        (tmp_path / "one.png").touch()
        with LoopbackServer(files()) as server:
            [error] = run(transfer(server, tmp_path, "one.png")).errors
        assert "holds other content already" in str(error)

    def test_a_storage_that_does_not_answer_is_never_taken_for_one_without_the_file(self, tmp_path: Path) -> None:
        class Slow(MemoryFileSystem):  # type: ignore[misc]
            """Fails when it is asked whether a file is there, as one that is busy does."""

            cachable = False
            asked = 0

            def info(self, path: str, **kwargs: Any) -> Any:
                if path.endswith("one.png"):
                    Slow.asked += 1
                    if Slow.asked % 3:
                        raise TimeoutError("busy")
                return super().info(path, **kwargs)

            def exists(self, path: str, **kwargs: Any) -> bool:
                raise AssertionError("it says no where it should say that it does not know")

        fs = Slow()
        attach("memory", "slow", fs=fs)
        place = f"/{tmp_path.name}/one.png"
        fs.pipe_file(place, b"paid for before")
        with LoopbackServer(files()) as server:
            [error] = run(transfer(server, f"memory://slow@{place.rpartition('/')[0]}", "one.png")).errors
        assert "holds other content already" in str(error)
        assert fs.cat_file(place) == b"paid for before"
        assert Slow.asked > 2


class TestKilled:
    """What a killed transfer leaves."""

    @staticmethod
    def half(handler: Handler) -> None:
        """A server that sends half of its file, and waits."""
        handler.answer(b"half", Content_Length="100")
        handler.server.stopping.wait()

    def test_on_kill_removes_what_is_not_whole(self, tmp_path: Path) -> None:
        with LoopbackServer(self.half) as server:
            task = transfer(server, tmp_path)
            outcomes: list[Outcome] = []
            thread = threading.Thread(target=lambda: outcomes.append(TaskInstance(lambda: task, retries=0).run()))
            thread.start()
            while len(names_in(tmp_path)) < 4:
                pass
            task.on_kill()
            assert names_in(tmp_path) == []
            thread.join()
        assert outcomes[0].errors

    def test_execution_timeout_ends_it_in_time_and_leaves_nothing(self, tmp_path: Path) -> None:
        with LoopbackServer(self.half) as server:
            task = transfer(server, tmp_path, execution_timeout=datetime.timedelta(seconds=1))
            previous = signal.getsignal(signal.SIGALRM)
            outcome = TaskInstance(lambda: task, retries=0).run()
            assert signal.getsignal(signal.SIGALRM) is previous
        assert [type(error).__name__ for error in outcome.errors] == ["AirflowTaskTimeout"]
        assert names_in(tmp_path) == []

    def test_what_was_not_begun_is_missing(self, tmp_path: Path) -> None:
        """Airflow calls on_kill() within execute(), which then goes on and may return."""

        def respond(handler: Handler) -> None:
            task.on_kill()
            files()(handler)

        with LoopbackServer(respond) as server:
            task = transfer(server, tmp_path, concurrency=1)
            outcome = TaskInstance(lambda: task, retries=0).run()
        [error] = outcome.errors
        assert isinstance(error, DownloadError)
        assert error.what.startswith(f"{4 - len(outcome.xcoms['kept'])} of 4 files are missing")

    @pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
    def test_a_retry_finds_what_was_in_its_place_when_the_kill_came(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def killed(target: Any, file: Any) -> None:
            target.put(file)
            raise SystemExit

        gone: list[str] = []
        with LoopbackServer(lambda handler: files(*gone)(handler)) as server:
            instance = TaskInstance(lambda: transfer(server, tmp_path), retries=0)
            with monkeypatch.context() as patched:
                patched.setattr("airflow_provider_mps.transfers.targets.Target.keep", killed)
                assert run(transfer(server, tmp_path), instance).errors
            gone[:] = NAMES
            assert len(run(transfer(server, tmp_path), instance).value) == 4
        assert names_in(tmp_path) == sorted(NAMES)

    def test_the_next_try_removes_what_a_killed_one_has_left(self, tmp_path: Path) -> None:
        with LoopbackServer(self.half) as server:
            task = transfer(server, tmp_path)
            instance = TaskInstance(lambda: task, retries=0)
            thread = threading.Thread(target=instance.run)
            thread.start()
            while len(names_in(tmp_path)) < 4:
                pass
            left = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
            task.on_kill()
            thread.join()
        for name, data in left.items():  # as after a SIGKILL
            (tmp_path / name).write_bytes(data)
        (tmp_path / ".of-another.part").write_bytes(b"")
        with LoopbackServer(files()) as server:
            task = transfer(server, tmp_path)
            run(task, instance)
        assert names_in(tmp_path) == sorted([*NAMES, ".of-another.part"])


class TestNames:
    """``file_name`` names the files; the suffix stays."""

    def test_it_is_the_stem_and_alike_ones_are_numbered(self, tmp_path: Path) -> None:
        with LoopbackServer(files()) as server:
            run(transfer(server, tmp_path, "24000145-a.mp3", "24000145-b.mp3", "24000145-c.mp4", file_name="harbour"))
        assert names_in(tmp_path) == ["harbour-2.mp3", "harbour.mp3", "harbour.mp4"]

    @pytest.mark.parametrize("name", ["[draft] song", "what*", "[a-z]"])
    @pytest.mark.parametrize("storage", ["local", "memory"])
    def test_it_is_no_pattern(self, tmp_path: Path, storage: str, name: str) -> None:
        """As fsspec takes a name that it moves."""
        attach("memory", fs=MemoryFileSystem())
        folder = tmp_path / "[new]" if storage == "local" else f"memory://{tmp_path.name}/[new]"
        with LoopbackServer(files()) as server:
            for overwrite in (False, True):
                outcome = run(transfer(server, folder, "one.mp3", file_name=name, overwrite=overwrite))
                assert outcome.errors == []
        [uri] = outcome.value
        assert uri.endswith(f"/[new]/{name}.mp3")
        assert ObjectStoragePath(uri).read_bytes() == content("one.mp3")
        assert [path.name for path in ObjectStoragePath(uri).parent.iterdir()] == [f"{name}.mp3"]

    def test_it_is_a_template(self) -> None:
        assert "file_name" in MpsToObjectStorageOperator.template_fields

    @pytest.mark.parametrize("name", ["a/b", "..", "", "a\n", "x" * 300, 7, ["a"]])
    def test_what_cannot_be_one_is_named(self, tmp_path: Path, name: Any) -> None:
        with LoopbackServer(files()) as server:
            [error] = run(transfer(server, tmp_path, "a", file_name=name)).errors
        assert isinstance(error, InvalidArgumentError)
        assert error.field == "file_name"
        assert server.requests == []


def test_progress_is_said(tmp_path: Path, logged: Lines, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("airflow_provider_mps.transfers.keeping._PROGRESS_SECONDS", 0.0)
    go_on = threading.Event()

    def respond(handler: Handler) -> None:
        if "two" in handler.received.path:
            handler.answer(content("two.png")[:4000], Content_Length=str(len(content("two.png"))))
            go_on.wait(20)
            handler.wfile.write(content("two.png")[4000:])
        else:
            files()(handler)

    with LoopbackServer(respond) as server:
        thread = threading.Thread(target=lambda: run(transfer(server, tmp_path, "one.png", "two.png")))
        thread.start()
        while not logged.of("1 of 2 files are done, 0.0 MB have come; about "):
            pass
        go_on.set()
        thread.join()


def test_a_full_disk_is_not_left_full(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What is buffered cannot be written when the part is closed, either."""

    def opened(path: str, mode: str) -> Any:
        Path(path).write_bytes(b"what went onto the disk before it was full")
        return open("/dev/full", mode)

    monkeypatch.setattr("airflow_provider_mps.transfers.targets.open", opened, raising=False)
    with LoopbackServer(files()) as server:
        [error] = run(transfer(server, tmp_path, "one.png")).errors
    assert isinstance(error, DownloadError)
    assert not isinstance(error, AirflowFailException)
    assert "cannot be written to: OSError: No space left on device" in str(error)
    assert names_in(tmp_path) == []


def test_iterations_of_a_loop_have_records_of_their_own(tmp_path: Path) -> None:
    """Of one task, run and map_index (Airflow 3.4)."""
    with LoopbackServer(files("two.png")) as server:
        for number in range(2):
            instance = TaskInstance(lambda: transfer(server, tmp_path), retries=0)
            instance.region_id, instance.region_index = "region", number
            run(transfer(server, tmp_path), instance)
    assert len([name for name in names_in(tmp_path) if name.endswith(".json")]) == 2


def test_errors_of_a_storage_are_this_package_s(tmp_path: Path) -> None:
    class Refuses(MemoryFileSystem):  # type: ignore[misc]
        cachable = False

        def _open(self, path: str, mode: str = "rb", **kwargs: Any) -> Any:
            if mode != "rb":
                raise RuntimeError("no credits left: https://storage.example/x?sign=secret")
            return super()._open(path, mode, **kwargs)

    attach("memory", "refuses", fs=Refuses())
    with LoopbackServer(files()) as server:
        [error] = run(transfer(server, f"memory://refuses@{tmp_path.name}/x")).errors
    assert isinstance(error, DownloadError)
    assert error.what.startswith("4 of 4 files are missing: destination: memory://")
    assert "RuntimeError: no credits left" in error.what
    assert "secret" not in str(error)
