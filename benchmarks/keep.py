"""How fast the transfer keeps files, beside curl and aria2c; and how much memory it takes.

    PYTHONPATH=. python benchmarks/keep.py [--runs 5] [--memory]

The server is a process of its own. Each run has all ways one after the other, on the same disk; the figures are
medians. The transfer is timed from execute() to its return, with its imports done, and has made a SHA-256 of each file.
``--memory`` keeps eight files of 3 GiB, of a sparse file, in a storage that throws them away.

curl 7.66 or newer is needed (it has ``--parallel``); aria2c is left out where it is not installed. On Debian:
``apt-get install curl aria2``.
"""

from __future__ import annotations

import argparse
import json
import logging
import multiprocessing
import os
import resource
import shutil
import socket
import statistics
import subprocess
import tempfile
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

FILES, FILE_BYTES = 40, 2_000_000
FIRST_BYTE_SECONDS, BYTES_A_SECOND = 0.06, 10_000_000
LARGE_BYTES = 1024**3
HUGE, HUGE_BYTES = 8, 3 * 1024**3
AT_ONCE = 8
MANY_AT_MOST = 1.3
"""Times the time of curl, which makes no SHA-256."""
MEMORY_BELOW = 200
LARGE_AT_LEAST, LARGE_ENOUGH = 0.6, 500.0
"""Of curl's throughput; or so many MB/s."""


def serve(to: Any) -> None:
    """Serve ``/slow/NAME`` as a store far away does, and ``/BYTES/NAME`` as fast as it can."""
    sparse = tempfile.TemporaryFile()  # noqa: SIM115
    os.ftruncate(sparse.fileno(), HUGE_BYTES)
    listening = socket.create_server(("127.0.0.1", 0), backlog=128)
    to.send(listening.getsockname()[1])

    def connection(client: socket.socket) -> None:
        with client:
            asked = b""
            while True:
                while b"\r\n\r\n" not in asked:
                    if not (came := client.recv(65536)):
                        return
                    asked += came
                head, _, asked = asked.partition(b"\r\n\r\n")
                try:
                    answer(client, head.split()[1].decode())
                except OSError:
                    return

    def answer(client: socket.socket, path: str) -> None:
        slow = path.startswith("/slow/")
        size = FILE_BYTES if slow else int(path.split("/")[1])
        if slow:
            time.sleep(FIRST_BYTE_SECONDS)
        client.sendall(
            b'HTTP/1.1 200 OK\r\nContent-Type: audio/mpeg\r\nETag: "one"\r\nContent-Length: %d\r\n\r\n' % size
        )
        began, sent = time.monotonic(), 0
        while sent < size:
            piece = min(size - sent, 100_000) if slow else size - sent
            sent += os.sendfile(client.fileno(), sparse.fileno(), sent, piece)
            if slow:
                time.sleep(max(0.0, began + sent / BYTES_A_SECOND - time.monotonic()))

    while True:
        client, _ = listening.accept()
        threading.Thread(target=connection, args=(client,), daemon=True).start()


def connect(port: int) -> None:
    """Airflow, with a connection to this machine."""
    os.environ["AIRFLOW_HOME"] = tempfile.mkdtemp(prefix="keep-airflow-")
    os.environ["AIRFLOW__CORE__LOAD_EXAMPLES"] = "False"
    connection = {"conn_type": "tencent_mps", "host": "127.0.0.1", "schema": "http", "login": "i", "password": "k"}
    os.environ["AIRFLOW_CONN_TENCENT_MPS_DEFAULT"] = json.dumps(connection)
    logging.disable(logging.WARNING)


def transfer(urls: list[str], folder: str, **arguments: Any) -> float:
    """Seconds."""
    from airflow_provider_mps.transfers.mps_to_object_storage import MpsToObjectStorageOperator

    keep = MpsToObjectStorageOperator(task_id="keep", urls=urls, destination=folder, **arguments)
    began = time.perf_counter()
    keep.execute({})
    return time.perf_counter() - began


def curl(urls: list[str], folder: str) -> float:
    command = ["curl", "--silent", "--no-progress-meter", "--fail", "--parallel", "--parallel-max", str(AT_ONCE)]
    return timed([*command, *(part for url in urls for part in ("--output", f"{folder}/{name(url)}", url))])


def aria2c(urls: list[str], folder: str) -> float:
    listed = Path(folder, "urls.txt")
    listed.write_text("".join(f"{url}\n out={name(url)}\n" for url in urls))
    command = ["aria2c", "--quiet", "--file-allocation=none", f"-j{AT_ONCE}", f"--dir={folder}"]
    return timed([*command, f"--input-file={listed}"])


def timed(command: list[str]) -> float:
    began = time.perf_counter()
    subprocess.run(command, check=True, stderr=subprocess.DEVNULL)
    return time.perf_counter() - began


def name(url: str) -> str:
    return url.rpartition("/")[2]


def compare(title: str, urls: list[str], size: int, runs: int) -> tuple[float, float]:
    """Print a table: of each way the median time, and how many times that of curl it is.

    Returns that of the transfer, and its MB/s.
    """
    ways: dict[str, Callable[[list[str], str], float]] = {"curl": curl, "transfer": transfer}
    if shutil.which("aria2c"):
        ways["aria2c"] = aria2c
    took: dict[str, list[float]] = {way: [] for way in ways}
    for number in range(runs + 1):  # the first is for what is loaded once
        for way, keep in ways.items():
            with tempfile.TemporaryDirectory(prefix="keep-") as folder:
                seconds = keep(urls, folder)
                assert sum(path.stat().st_size == size for path in Path(folder).iterdir()) == len(urls), way
            if number:
                took[way].append(seconds)
    print(f"\n{title} (medians of {runs})")
    medians = {way: statistics.median(seconds) for way, seconds in took.items()}
    speeds = {way: len(urls) * size / seconds / 1e6 for way, seconds in medians.items()}
    for way, seconds in medians.items():
        times, share = seconds / medians["curl"], speeds[way] / speeds["curl"]
        print(
            f"{way:9} {seconds:6.2f} s  {speeds[way]:6.0f} MB/s  {times:.2f} of curl's time, {share:.2f} of its speed"
        )
    return medians["transfer"] / medians["curl"], speeds["transfer"]


def verdict(met: bool, target: str) -> None:
    print(f"{'met' if met else 'MISSED'}: {target}")


def memory(port: int) -> None:
    """Print the peak of this process's memory, before and after eight files of 3 GiB at the same time."""
    from fsspec.implementations.memory import MemoryFileSystem

    try:
        from airflow.sdk.io import attach
    except ImportError:
        from airflow.io.store import attach  # type: ignore[no-redef, import-not-found]

    class Discards(MemoryFileSystem):  # type: ignore[misc]
        """Throws away what is written."""

        cachable = False

        def _open(self, path: str, mode: str = "rb", **kwargs: Any) -> Any:
            return open(os.devnull, mode) if mode == "wb" else super()._open(path, mode, **kwargs)

        def mv(self, path1: str, path2: str, **kwargs: Any) -> None:
            """There is nothing to move."""

    attach("memory", "discards", fs=Discards())
    transfer([f"http://127.0.0.1:{port}/1000000/warm.mp3"], "memory://discards@bucket/warm", overwrite=True)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024
    urls = [f"http://127.0.0.1:{port}/{HUGE_BYTES}/{number}.mp3" for number in range(HUGE)]
    seconds = transfer(urls, "memory://discards@bucket/huge", overwrite=True, max_bytes=HUGE_BYTES)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024
    speed = HUGE * HUGE_BYTES / seconds / 1e6
    print(f"{HUGE} files of {HUGE_BYTES / 1024**3:.0f} GiB in {seconds:.0f} s, {speed:.0f} MB/s")
    print(f"peak of memory: {peak} MiB; {before} MiB of that with Airflow and one small file")
    verdict(peak < MEMORY_BELOW, f"less than {MEMORY_BELOW} MiB")


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("--runs", type=int, default=5)
    arguments.add_argument("--memory", action="store_true")
    given = arguments.parse_args()
    if not given.memory and not shutil.which("curl"):
        arguments.error("curl is not installed (apt-get install curl)")
    if not given.memory and not shutil.which("aria2c"):
        print("aria2c is not installed (apt-get install aria2), and left out")
    here, there = multiprocessing.Pipe()
    server = multiprocessing.get_context("spawn").Process(target=serve, args=(there,), daemon=True)
    server.start()
    port = here.recv()
    connect(port)
    try:
        if given.memory:
            memory(port)
            return
        slow = [f"http://127.0.0.1:{port}/slow/{number}.mp3" for number in range(FILES)]
        times, _ = compare(
            "40 files of 2 MB, 60 ms to the first byte, 10 MB/s a connection", slow, FILE_BYTES, given.runs
        )
        verdict(times <= MANY_AT_MOST, f"at most {MANY_AT_MOST} times the time of curl --parallel-max {AT_ONCE}")
        large = [f"http://127.0.0.1:{port}/{LARGE_BYTES}/large.mp3"]
        times, speed = compare("one file of 1 GiB from this machine", large, LARGE_BYTES, given.runs)
        met = 1 / times >= LARGE_AT_LEAST or speed >= LARGE_ENOUGH
        verdict(met, f"at least {LARGE_AT_LEAST} of curl's throughput, or {LARGE_ENOUGH:.0f} MB/s")
    finally:
        server.terminate()
        shutil.rmtree(os.environ["AIRFLOW_HOME"], ignore_errors=True)


if __name__ == "__main__":
    main()
