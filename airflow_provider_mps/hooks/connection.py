"""From an Airflow connection to the client's settings, and one look-up for all that start together."""

from __future__ import annotations

import asyncio
import json
import re
from collections import defaultdict
from collections.abc import Iterable, Mapping
from typing import Any, TypeVar
from weakref import WeakKeyDictionary

from airflow_provider_mps import compat
from airflow_provider_mps.api.errors import (
    About,
    ApiError,
    CallError,
    CredentialError,
    InvalidArgumentError,
    InvalidConnectionError,
    TransportError,
    classify,
    shown,
)
from airflow_provider_mps.api.settings import INTL, SITES, ClientSettings, CredentialKind, CredentialSettings

_Default = TypeVar("_Default", float, None)
_SHARED_SECONDS = 1.0
"""How long triggers that start together share one look-up; a change of the connection is seen after that."""


def checked_id(conn_id: Any) -> str:
    """The id of a connection, as Airflow allows them.

    :raises InvalidArgumentError: there can be no such connection.
    """
    if not isinstance(conn_id, str) or conn_id == "None" or not re.fullmatch(r"[\w#!()\-.:/\\]{1,250}", conn_id):
        raise InvalidArgumentError("mps_conn_id", f"must be the id of a connection, not {shown(conn_id)}")
    return conn_id


def settings_of(conn_id: str, connection: Any, extra: Mapping[str, Any]) -> ClientSettings:
    """A connection's fields as the client's settings.

    :raises InvalidConnectionError: names the field that cannot be used.
    """

    def text(name: str) -> str:
        value = extra.get(name)
        if value is not None and not isinstance(value, str):
            raise InvalidConnectionError(f"{name}: must be a string, not {type(value).__name__}")
        return (value or "").strip()

    def number(name: str, default: _Default) -> float | _Default:
        value = extra.get(name)
        try:
            if not isinstance(value, bool):
                return default if value in (None, "") else float(value)
        except (TypeError, ValueError, OverflowError):
            pass
        raise InvalidConnectionError(f"{name}: must be a number")

    def choice(name: str, of: Iterable[str], default: str) -> str:
        value = text(name) or default
        if value not in of:
            raise InvalidConnectionError(f"{name}: must be one of {', '.join(of)}, not {value[:20]!r}")
        return value

    try:
        _check_extra(connection.extra)
        site = SITES[choice("site", SITES, INTL.name)]
        given = (connection.host or "").strip()
        host = given or text("endpoint") or site.host
        if "/" in host or "@" in host:
            field = "host" if given else "endpoint"
            raise InvalidConnectionError(f"{field}: give the host alone, without a scheme or a path")
        verify: bool | str | None = extra.get("verify")
        if not isinstance(verify, bool):
            verify = text("verify") or "true"
            verify = {"true": True, "false": False}.get(verify.lower(), verify)
        return ClientSettings(
            host=host[1:-1] if host.startswith("[") and host.endswith("]") else host,
            port=connection.port or None,
            scheme=connection.schema or ClientSettings.scheme,
            region=text("region"),
            proxy=text("proxy"),
            verify=verify,
            timeout=number("timeout", ClientSettings.timeout),
            requests_per_second=number("requests_per_second", None),
            site=site,
            cos_region=text("cos_region") or text("region"),
            cos_endpoint=text("cos_endpoint"),
            credential=CredentialSettings(
                kind=CredentialKind(choice("credential", list(CredentialKind), CredentialKind.STATIC)),
                secret_id=connection.login or "",
                secret_key=connection.password or "",
                token=text("token"),
                role_arn=text("role_arn"),
                role_session_name=text("role_session_name"),
                cvm_role_name=text("cvm_role_name"),
                sts_endpoint=text("sts_endpoint") or site.sts_host,
            ),
        )
    except InvalidConnectionError as error:
        raise InvalidConnectionError(f"Connection {conn_id}, {error.what}") from None


def fault_of(error: Exception) -> str:
    """What an error of a test call says about the connection's fields; empty where they are good.

    :param error: what the call raised.
    """
    if isinstance(error, InvalidConnectionError):
        return str(error.__context__ or error)  # the id that settings_of names is one that Airflow's page made up
    if isinstance(error, ApiError):
        if error.about not in (About.KEYS, About.ACCOUNT):
            return ""
        return " ".join(filter(None, (f"MPS refused: {error.reason}", classify(error.code).hint.format(action="it"))))
    if isinstance(error, CredentialError):
        return error.reason
    if isinstance(error, CallError):
        said = "MPS cannot be reached" if isinstance(error, TransportError) else "what answers is not MPS"
        return f"{said}: {error.reason}. Check endpoint (or host), port, proxy and verify"
    return str(error)


def _check_extra(extra: Any) -> None:
    """Airflow takes an Extra that it cannot read for an empty one: the wrong account may be used then."""
    try:
        if not extra or isinstance(json.loads(extra), dict):
            return
    except (TypeError, ValueError, RecursionError):
        pass
    raise InvalidConnectionError('extra: must be a JSON object, such as {"site": "intl"}')


class _LookUp:
    """Shares one look-up of a connection among those that start together: all triggers, when a triggerer starts."""

    def __init__(self) -> None:
        self._lock = asyncio.Lock()
        self._settings: ClientSettings | None = None
        self._shared_until = 0.0

    async def settings(self, conn_id: str) -> ClientSettings:
        # The lock lets those that waited go on one by one, so that thousands of them do not stall the loop.
        async with self._lock:
            loop = asyncio.get_running_loop()
            if self._settings is None or loop.time() > self._shared_until:
                self._settings = await _look_up(conn_id)
                self._shared_until = loop.time() + _SHARED_SECONDS
            return self._settings


_look_ups: WeakKeyDictionary[asyncio.AbstractEventLoop, defaultdict[str, _LookUp]] = WeakKeyDictionary()


async def shared_settings(conn_id: str) -> ClientSettings:
    """A connection's settings, read without blocking the event loop."""
    checked_id(conn_id)
    look_ups = _look_ups.setdefault(asyncio.get_running_loop(), defaultdict(_LookUp))
    return await look_ups[conn_id].settings(conn_id)


async def _look_up(conn_id: str) -> ClientSettings:
    await asyncio.to_thread(_import_api)
    return settings_of(conn_id, *await compat.connection_and_extra(conn_id))


def _import_api() -> None:
    """Import what a wait needs: half a second the first time, too long for an event loop's thread."""
    import airflow_provider_mps.api.polling  # noqa: F401
