"""What is logged, kept as text to look for what must be there, and for what must not."""

import logging
import re
import sys
import traceback
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from typing import Any

import pytest


class Lines(logging.Handler):
    """All that is logged, as text: Airflow's own loggers are structlog's, those of the libraries are logging's.

    :ivar arguments: what logging's lines were made of: a handler of somebody else may show more of it than the line.
    :ivar errors: those at level ERROR.
    :ivar warnings: those at level WARNING.
    """

    def __init__(self) -> None:
        super().__init__()
        self.lines: list[str] = []
        self.arguments: list[str] = []
        self.errors: list[str] = []
        self.warnings: list[str] = []
        self._listeners: list[Callable[[str, str], object]] = []

    @contextmanager
    def heard_by(self, listener: Callable[[str, str], object]) -> Iterator[None]:
        """While this is open, call ``listener`` with the level and the text of each line."""
        self._listeners.append(listener)
        try:
            yield
        finally:
            self._listeners.remove(listener)

    def emit(self, record: logging.LogRecord) -> None:
        self._keep(record.levelname.lower(), self.format(record))
        self.arguments.append(repr(record.args))

    def __call__(self, logger: Any, method: str, event: Any) -> Any:
        """As structlog's last processor."""
        from structlog import DropEvent
        from structlog.stdlib import PositionalArgumentsFormatter

        event = PositionalArgumentsFormatter()(logger, method, event)
        self._keep(method, str(event["event"]))
        self.lines.extend(repr(value) for name, value in event.items() if name != "event")
        if event.get("exc_info"):
            self.lines.append(traceback.format_exc())
        raise DropEvent

    def _keep(self, level: str, line: str) -> None:
        self.lines.append(line)
        for listener in self._listeners:
            listener(level, line)
        of_level = {"error": self.errors, "warning": self.warnings}.get(level)
        if of_level is not None:
            of_level.append(line)

    def of(self, text: str) -> list[str]:
        """The lines that hold a text."""
        return [line for line in self.lines if text in line]


@contextmanager
def kept_lines() -> Iterator[Lines]:
    """What goes through the loggers of logging, at every level that they are set to."""
    lines = Lines()
    logging.getLogger().addHandler(lines)
    try:
        yield lines
    finally:
        logging.getLogger().removeHandler(lines)


@pytest.fixture
def logged() -> Iterator[Lines]:
    """What is logged during the test, at every level that its loggers are set to."""
    with kept_lines() as lines:
        if find_spec("structlog") is None:  # before Airflow 3
            yield lines
            return
        import structlog

        processors = structlog.get_config()["processors"]  # changed in place: loggers hold on to the list
        before = list(processors)
        processors[:] = [lines]
        yield lines
        processors[:] = before


@pytest.fixture
def all_turned_up() -> Iterator[None]:
    """Every logger that there is at DEBUG, as a user would set it who looks for something else; new ones inherit it."""
    loggers = [logging.getLogger(), *map(logging.getLogger, list(logging.root.manager.loggerDict))]
    before = [logger.level for logger in loggers]
    for logger in loggers:
        logger.setLevel(logging.DEBUG)
    yield
    for logger, level in zip(loggers, before, strict=True):
        logger.setLevel(level)


def no_secret_in(texts: Iterable[str]) -> bool:
    """Whether texts hold neither the emulator's key, nor a result's URL, nor a signature."""
    return not [text for text in texts if re.search(r"emulator-key|/files/|sign=|Signature=", text)]


def forget_secrets() -> None:
    """Let Airflow forget the secrets that it masks for as long as a process lives, by one pattern over all of them.

    A test process sees thousands of connections: the pattern would take minutes and gigabytes.
    """
    if "airflow.sdk._shared.secrets_masker" in sys.modules:
        from airflow.sdk._shared.secrets_masker.secrets_masker import _secrets_masker

        _secrets_masker().reset_masker()


def told_by(error: BaseException | None) -> Iterator[str]:
    """All that an error says, and those that it came from."""
    while error is not None:
        yield from (str(error), repr(error), repr(error.args), *getattr(error, "__notes__", ()))
        if error.__cause__ is not None and error.__context__ is not error.__cause__:
            yield from told_by(error.__context__)
        error = error.__cause__ or error.__context__
