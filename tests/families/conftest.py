"""Fixtures of these tests."""

from tests.support import connect, emulator, logged  # noqa: F401
