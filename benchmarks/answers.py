"""What it costs to digest a hostile answer: CPU by size, how it grows, and for how long it holds an event loop.

    PYTHONPATH=. python benchmarks/answers.py

One JSON line for each shape of answer: CPU to read it (large ones are read in a thread) and to judge it as the status
of a task, which an event loop waits for. ``growth`` is the time of the largest answer over that of one an eighth of its
size: 8 is linear, 64 quadratic. The largest is as large as the client takes. ``standstill_ms``: for how long at most an
event loop does nothing else while the poller asks and gets the largest answer for ten seconds; ``an empty task`` shows
what the machine itself adds to that.
"""

import asyncio
import json
import multiprocessing
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from http.server import BaseHTTPRequestHandler, HTTPServer
from multiprocessing.connection import Connection
from typing import Any

from airflow_provider_mps.api.errors import MpsError
from airflow_provider_mps.api.tasks import AIGC_AUDIO, MEDIA
from airflow_provider_mps.api.waiting.poller import Poller
from airflow_provider_mps.api.wire.answers import read_answer
from airflow_provider_mps.api.wire.client import ANSWER_LIMIT
from airflow_provider_mps.api.wire.settings import ClientSettings, CredentialSettings

LARGEST = ANSWER_LIMIT - 1024


def error(**fields: str) -> dict[str, Any]:
    """The ``Response`` of a call that was refused."""
    return {"Error": {"Code": "InvalidParameter", "Message": "no", **fields}}


def finished(own: Any) -> dict[str, Any]:
    """The ``Response`` of a ProcessMedia task that has ended."""
    return {"Status": "FINISH", "TaskType": "WorkflowTask", "WorkflowTask": own}


SHAPES: dict[str, Callable[[int], dict[str, Any]]] = {
    "many https:// in a message": lambda size: error(Message="https://" * (size // 8)),
    "many encoded URLs in a message": lambda size: error(Message="%3A%2F%2Fx@" * (size // 11)),
    "many ? after a URL in a message": lambda size: error(Message="https://a" + '?"' * (size // 4)),
    "a code of dots": lambda size: error(Code="." * size),
    "a long URL": lambda size: {"Status": "DONE", "AudioInfos": ["https://a/" + "b" * size]},
    "many URLs": lambda size: {"Status": "DONE", "AudioInfos": ["https://a/b?c=d"] * (size // 20)},
    "many empty lists": lambda size: finished({"Results": [[]] * (size // 4)}),
    "many failures": lambda size: finished({"Results": [{"ErrCode": 1}] * (size // 16)}),
    "many numbers": lambda size: finished({"Results": [1] * (size // 3)}),
    "long names in each other": lambda size: finished({"K" * 90: {"K" * 90: {"K" * 90: [{}] * (size // 4)}}}),
}


def seconds(body: bytes) -> tuple[float, float]:
    """CPU to read an answer, and to see what it says of a task of the media family."""
    response: dict[str, Any] = {}
    began = time.process_time()
    with suppress(MpsError):
        response = read_answer(MEDIA.describe, 200, body)
    read = time.process_time()
    with suppress(MpsError):
        MEDIA.check(MEDIA.status("task", response))
        AIGC_AUDIO.check(AIGC_AUDIO.status("task", response))
    return read - began, time.process_time() - read


def serve(ready: Connection, body: bytes) -> None:
    """Give every request this answer."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            self.rfile.read(int(self.headers["Content-Length"]))
            self.send_response(200)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *args: Any) -> None:
            """Nothing."""

    server = HTTPServer(("127.0.0.1", 0), Handler)
    ready.send(server.server_port)
    server.serve_forever()


@contextmanager
def served(body: bytes) -> Iterator[int]:
    """The port of a process that serves an answer."""
    ours, its = multiprocessing.Pipe()
    process = multiprocessing.Process(target=serve, args=(its, body))
    process.start()
    try:
        yield ours.recv()
    finally:
        process.kill()
        process.join()


async def standstill(port: int) -> float:
    """Seconds for which the loop that polls this port stands still at most."""
    settings = ClientSettings(
        host="127.0.0.1",
        scheme="http",
        port=port,
        credential=CredentialSettings(secret_id="id", secret_key="key"),
    )
    ends_at = time.time() + 10
    waiting = asyncio.ensure_future(Poller(settings).wait(MEDIA, "task", poll_interval=1, deadline=ends_at))
    longest, last = 0.0, time.perf_counter()
    while time.time() < ends_at and not waiting.done():
        await asyncio.sleep(0.002)
        now = time.perf_counter()
        longest, last = max(longest, now - last - 0.002), now
    waiting.cancel()
    await asyncio.gather(waiting, return_exceptions=True)
    return longest


def main() -> None:
    for name, shape in SHAPES.items():
        row: dict[str, str | float] = {"row": "answers", "shape": name}
        totals = []
        for size_name, size in (("48_KB", 48_000), ("eighth", LARGEST // 8), ("largest", LARGEST)):
            read, judged = seconds(json.dumps({"Response": shape(size)}).encode())
            row |= {f"{size_name}_read_ms": round(1000 * read, 1), f"{size_name}_judged_ms": round(1000 * judged, 1)}
            totals.append(read + judged)
        row["growth"] = round(totals[-1] / totals[-2], 1)
        print(json.dumps(row), flush=True)
    for name, shape in {"an empty task": lambda size: {"Status": "PROCESSING"}, **SHAPES}.items():
        with served(json.dumps({"Response": shape(LARGEST)}).encode()) as port:
            longest = asyncio.run(standstill(port))
        print(json.dumps({"row": "standstill", "shape": name, "standstill_ms": round(1000 * longest, 1)}), flush=True)


if __name__ == "__main__":
    main()
