"""Fixtures of these tests."""

from tests.support import authority, ca_bundle, connect, emulator, logged, tls  # noqa: F401
