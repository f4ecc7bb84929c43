"""Tasks of ProcessMedia and EditMedia, both described by DescribeTaskDetail."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any, ClassVar, NamedTuple

from airflow_provider_mps.api.files.cos import CosObject
from airflow_provider_mps.api.redaction import printable, without_queries
from airflow_provider_mps.api.tasks import parts
from airflow_provider_mps.api.tasks.family import TaskFamily
from airflow_provider_mps.api.tasks.status import TaskState
from airflow_provider_mps.api.wire.answers import Response

_BUCKET_OR_REGION = r"[a-z0-9-]{1,100}"
_NAMED_PARTS = 10
_VALUES = 100_000
"""How many values of an answer are looked at: far more than real ones have, and no more than a moment's work for an
event loop that others wait on."""

_Way = tuple[()] | tuple["_Way", str | int]
"""The way to a part of an answer: the way to what it is in, and its key there. Many parts share it."""


class Media(TaskFamily):
    """FINISH does not mean success: the task's ErrCode, and each result in it, does."""

    kind = "media"
    title = "media processing"
    describe = "DescribeTaskDetail"
    # -EditMediaTask- was seen on the service (2026-08), and the sample of EditMedia has -EditMedia-.
    in_task_ids: tuple[str, ...] = ("-WorkflowTask-", "-EditMediaTask-", "-EditMedia-")
    console_page = "/mps/tasks/vod-list"  # the same guide, "VOD Task Management"
    words: ClassVar = {"WAITING": TaskState.WAIT, "PROCESSING": TaskState.RUN}
    can_abort = True

    def state(self, response: Response) -> tuple[TaskState, str]:
        word, kind = parts.text(response.get("Status")), printable(response.get("TaskType"))
        if word != "FINISH":
            return self.words.get(word, TaskState.UNKNOWN), ""
        return _end(self.own(response), kind)

    def own(self, response: Response) -> dict[str, Any]:
        """The part of the answer that says how the task ended, and what it made: ``WorkflowTask`` and the like."""
        own = response.get(parts.text(response.get("TaskType")))
        return own if isinstance(own, dict) else {}

    def files(self, response: Response) -> dict[str, list[str]]:
        return {"cos": [file.uri for file in _outputs(self.own(response))]}

    def in_cos(self, response: Response) -> list[CosObject]:
        return list(_outputs(self.own(response)))

    def durations(self, response: Response) -> Iterator[float]:
        for described in _outputs(self.own(response)).values():
            length = described.get("Duration")
            if parts.is_length(length):
                yield length

    def resolution(self, response: Response) -> str:
        sizes = [(each.get("Width"), each.get("Height")) for each in _outputs(self.own(response)).values()]
        of_all = {f"{x}x{y}" for x, y in sizes if type(x) is type(y) is int and x and y}
        return of_all.pop() if len(of_all) == 1 else ""

    def must_have_files(self, response: Response) -> bool:
        """What ProcessMedia makes is not always a file: a review or an analysis is not."""
        return response.get("TaskType") == "EditMediaTask"

    def result_fields(self, response: Response) -> dict[str, Any]:
        return self.own(response)


class Pictures(Media):
    """Tasks of ProcessImage: what stands in an own object of the others stands in the answer itself."""

    kind = "process_image"
    title = "picture processing"
    describe = "DescribeImageTaskDetail"
    in_task_ids = ("-WorkflowTask-",)  # as ProcessMedia's (SDK and samples, 2026-10)
    can_abort = False

    def own(self, response: Response) -> dict[str, Any]:
        names = ("Status", "ErrCode", "ErrMsg", "Message", "ImageProcessTaskResultSet")
        return {name: response[name] for name in names if name in response}

    def files(self, response: Response) -> dict[str, list[str]]:
        """Without a place in COS that can be read, the URLs that MPS has signed."""
        if in_cos := super().files(response)["cos"]:
            return {"cos": in_cos}
        outputs = (
            each.get("Output")
            for each in parts.items(response.get("ImageProcessTaskResultSet"))
            if isinstance(each, dict)
        )
        urls = [parts.url(each.get("SignedUrl")) for each in outputs if isinstance(each, dict)]
        return {"image": [url for url in urls if url]}

    def must_have_files(self, response: Response) -> bool:
        """A description of a picture, or a score, is text: ``Content``."""
        return False


MEDIA, PICTURES = Media(), Pictures()


def _end(own: dict[str, Any], kind: str) -> tuple[TaskState, str]:
    """How a task that is FINISH ended, and why, by its own object."""
    if not own:
        return TaskState.FAIL, f"it is FINISH without a {kind or 'TaskType'} that would say how it ended"
    failures: list[str] = []
    done: list[str] = []
    for part in _parts_of(own):
        fields, code = part.fields, _code(part.fields.get("ErrCode"))
        if not code and fields.get("Status") != "SUCCESS":
            code = printable(fields.get("ErrMsg"))  # the error code of ProcessImage; its text is the Message, too
        if (code or fields.get("Status") == "FAIL") and len(failures) < _NAMED_PARTS:
            code = printable(fields.get("ErrCodeExt")) or code or "none"
            failures.append(f"{kind}{_written(part.way)}: {without_queries(fields.get('Message'))} (ErrCode {code})")
        elif not code and fields.get("Status") == "SUCCESS" and len(done) < _NAMED_PARTS:
            done.append(f"{kind}{_written(part.way)}")
    if not failures:
        return TaskState.DONE, ""
    if done:
        failures.append(f"these parts are done, and a new task would make, and bill, them again: {', '.join(done)}")
    return TaskState.FAIL, "; ".join(failures)


class _Part(NamedTuple):
    """An object in a task's own object: the way to it, and where in COS what it names is stored, as far as that is said
    there or further up: bucket and region."""

    way: _Way
    fields: dict[str, Any]
    stored: tuple[str, str]


def _parts_of(own: dict[str, Any]) -> Iterator[_Part]:
    """A task's own object and each one in it, at any depth; not the request that it repeats."""
    root = _Part((), own, _storage(own))
    yield root
    # A stack of iterators: nothing is made of what is not reached.
    stack: list[tuple[_Way, tuple[str, str], Iterator[tuple[str | int, Any]]]] = [((), root.stored, iter(own.items()))]
    for _ in range(_VALUES):
        while (found := next(stack[-1][2], None)) is None:
            stack.pop()
            if not stack:
                return
        key, value = found
        if key in ("Input", "InputInfo") or not isinstance(value, (dict, list)):
            continue
        way, stored = (stack[-1][0], key), stack[-1][1]
        if isinstance(value, dict):
            part = _Part(way, value, _storage(value, stored))
            yield part
            stored = part.stored
        stack.append((way, stored, iter(value.items() if isinstance(value, dict) else enumerate(value))))


def _storage(fields: dict[str, Any], inherited: tuple[str, str] = ("", "")) -> tuple[str, str]:
    """Bucket and region of an object's TaskOutputStorage; what it inherits where it has none in COS."""
    storage = fields.get("OutputStorage") or fields.get("Storage")
    cos = storage.get("CosOutputStorage") if isinstance(storage, dict) else None
    bucket = _name(cos.get("Bucket")) if isinstance(cos, dict) else ""
    return (bucket, _name(cos.get("Region"))) if isinstance(cos, dict) and bucket else inherited


def _written(way: _Way) -> str:
    steps: list[str] = []
    while way:
        way, key = way
        steps.append(f"[{key}]" if isinstance(key, int) else f".{key}")
    return printable("".join(reversed(steps)))


def _code(value: Any) -> str:
    """An ErrCode as text; empty where it says that nothing is wrong, or is of another type than a code."""
    return str(value) if value and isinstance(value, int) else printable(value)


def _outputs(own: dict[str, Any]) -> dict[CosObject, dict[str, Any]]:
    """Each output file in COS, wherever in a task's own object it is named, and what is said of it.

    A field that holds files has a name that ends in Path, Paths or PathSet (so in all output models of the SDK), and
    the storage stands beside it or further up. What is said of the first file of an object stands there, or in a
    ``MetaData`` there (MediaTranscodeItem, EditMediaTaskOutput).
    """
    found: dict[CosObject, dict[str, Any]] = {}
    for part in _parts_of(own):
        bucket, region = part.stored
        described = part.fields["MetaData"] if isinstance(part.fields.get("MetaData"), dict) else part.fields
        for path in _paths(part.fields) if bucket else ():
            file = CosObject(bucket, path.lstrip("/"), region)
            if file not in found:
                found[file], described = described, {}
    return found


def _paths(fields: dict[str, Any]) -> Iterator[str]:
    for name, value in fields.items():
        values = [value] if name.endswith("Path") else parts.items(value) if name.endswith(("Paths", "PathSet")) else []
        for path in values:
            if isinstance(path, str) and path.strip("/") and path.isprintable() and "://" not in path:
                yield path


def _name(value: Any) -> str:
    """A bucket's or a region's name, which becomes a part of a host's; empty where it cannot be one."""
    return value if isinstance(value, str) and re.fullmatch(_BUCKET_OR_REGION, value) else ""
