"""Fixtures of these tests."""

from tests.support import emulator  # noqa: F401
