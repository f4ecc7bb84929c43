"""What keeps `make live` honest: creates are counted before they leave, and what was learned is written down."""

import fcntl
import os
import re
import time
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest

from airflow_provider_mps.api.codes import is_read


class CeilingError(Exception):
    """Raise when a create would be one too many; it was not sent."""


COUNT = "MPS_LIVE_COUNT"
"""The environment variable that names the file in which all processes of a run count their creates."""


def counts_together(folder: Path) -> None:
    """Have this process and all that it starts count in one file; one that finds such a file keeps to it."""
    if COUNT not in os.environ:
        os.environ[COUNT] = str(folder / "creates")


class _Count:
    """How many creates were sent, by all processes of a run together."""

    def __init__(self) -> None:
        self._path = os.environ.get(COUNT, "")
        self._own = 0

    def take(self, most: int) -> bool:
        """Count one more, if there were fewer than so many."""
        if not self._path:
            self._own += 1
            return self._own <= most
        with open(self._path, "a+") as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            file.seek(0)
            if len(file.read()) >= most:
                return False
            file.write(".")
            return True


@contextmanager
def ceiling(creates: int) -> Iterator[None]:
    """Let so many creates leave, repeats and refused ones included, and refuse any further one.

    All processes of a run count together (:func:`counts_together`): pytest-xdist has several.

    It stands where every call of MpsClient leaves. All that is not a read counts: an action that nobody thought of
    may cost something. The SDK's own client (``MpsHook.get_conn``) goes another way, and no test here uses it.
    """
    send = httpx.AsyncHTTPTransport.handle_async_request
    count = _Count()

    async def guarded(transport: httpx.AsyncHTTPTransport, request: httpx.Request) -> httpx.Response:
        action = request.headers.get("X-TC-Action")
        if action and not is_read(action) and not count.take(creates):
            raise CeilingError(f"{action} was not sent: the ceiling of {creates} creates is reached")
        return await send(transport, request)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(httpx.AsyncHTTPTransport, "handle_async_request", guarded)
        yield


class Facts:
    """What the service was seen to do, as rows for docs/service.md, to be reviewed.

    :param host: whose they are.
    :param folder: where the month's file is; None keeps them only here.
    :param secrets: what no fact may hold.
    """

    def __init__(self, host: str, folder: Path | None, secrets: Collection[str]) -> None:
        self.rows: list[str] = []
        self._host = host
        self._folder = folder
        self._secrets = secrets

    def seen(self, says: str) -> None:
        """Write a fact down at once: what comes after it may fail.

        :raises ValueError: it could hold a URL, a query or a key, or is not one cell of a table.
        """
        if re.search(r"://|[?=&|\n]", says) or any(secret in says for secret in self._secrets if secret):
            raise ValueError("a fact holds neither URLs nor secrets")
        month = time.strftime("%Y-%m", time.gmtime())
        self.rows.append(f"| {says} | seen | {month} |")
        if self._folder is None:
            return
        self._folder.mkdir(exist_ok=True)
        with (self._folder / f"seen-{month}.md").open("a") as file:
            if len(self.rows) == 1:
                file.write(f"\n## {self._host}\n\n| Fact | Source | Since |\n| --- | --- | --- |\n")
            file.write(f"{self.rows[-1]}\n")
