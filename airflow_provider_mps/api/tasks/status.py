"""The states of a task, and what MPS says of it."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from urllib.parse import urlsplit

from airflow_provider_mps.api.files.cos import CosObject
from airflow_provider_mps.api.redaction import printable
from airflow_provider_mps.api.wire.answers import Response

_FORMAT = r"\.([A-Za-z0-9_]{1,5})(?:;.*)?$"


class TaskState(StrEnum):
    """A task's state, in the words of the AIGC actions; ``UNKNOWN`` is any other word."""

    WAIT = "WAIT"
    RUN = "RUN"
    FAIL = "FAIL"
    DONE = "DONE"
    UNKNOWN = "UNKNOWN"

    @property
    def ended(self) -> bool:
        """Whether the task will not change any more."""
        return self in (TaskState.FAIL, TaskState.DONE)


@dataclass(frozen=True)
class TaskStatus:
    """What MPS says of a task.

    :param task_id: the TaskId.
    :param state: the state.
    :param message: why, where the task failed.
    :param response: the ``Response`` object as it came. Holds result URLs: not for logs.
    :param files: the files' URLs by what they are, such as ``audio``; ``cos`` are ``cos://`` URIs. A kind without files
        is one that the task should have. Whoever has a URL may have the file: not for logs.
    :param in_cos: those of the files that are in COS, with their bucket's region.
    :param durations: seconds of each file, as far as the service gives them.
    :param state_field: the field of the response that holds the state.
    """

    task_id: str
    state: TaskState
    message: str
    response: Response = field(repr=False)
    files: Mapping[str, list[str]] = field(default_factory=dict, repr=False)
    in_cos: tuple[CosObject, ...] = ()
    durations: tuple[float, ...] = ()
    state_field: str = "Status"

    @property
    def urls(self) -> tuple[str, ...]:
        """Where all of the files are: not for logs."""
        return tuple(url for urls in self.files.values() for url in urls)

    @property
    def word(self) -> str:
        """The service's own word for the state, for logs."""
        return printable(self.response.get(self.state_field))[:40] or f"without a {self.state_field}"

    @property
    def formats(self) -> list[str]:
        """The suffix of each file's name, such as ``mp3``; ``file`` where it has none."""
        return [format_of(url) for url in self.urls]


def format_of(url: str) -> str:
    """The suffix of a file's name, such as ``mp3``; ``file`` where it has none."""
    suffix = re.search(_FORMAT, urlsplit(url).path.rpartition("/")[2])
    return suffix[1] if suffix else "file"


def in_seconds(seconds: float, accepted: bool) -> str:
    """How long a task took so far: since MPS accepted it, or, where nobody knows when that was, since a wait began."""
    return f"{max(0.0, seconds):.0f} s" if accepted else f"{max(0.0, seconds):.0f} s of waiting"
