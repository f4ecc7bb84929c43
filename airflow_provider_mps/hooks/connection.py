"""From an Airflow connection to the client's settings, and one look-up for all that start together."""

from __future__ import annotations

import asyncio
import json
import re
import shlex
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, TypeVar
from weakref import WeakKeyDictionary

from airflow_provider_mps import compat
from airflow_provider_mps.api.codes import About, classify
from airflow_provider_mps.api.errors import (
    ApiError,
    CallError,
    CredentialError,
    InvalidArgumentError,
    InvalidConnectionError,
    MissingConnectionError,
    TransportError,
)
from airflow_provider_mps.api.prices import Prices
from airflow_provider_mps.api.redaction import shown
from airflow_provider_mps.api.wire.settings import INTL, SITES, ClientSettings, CredentialKind, CredentialSettings

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

    def checked(name: str, value: Any) -> str:
        if value is not None and not isinstance(value, str):
            raise InvalidConnectionError(f"must be a string, not {type(value).__name__}", field=name)
        return value or ""

    def text(name: str) -> str:
        return checked(name, extra.get(name)).strip()

    def number(name: str, default: _Default) -> float | _Default:
        value = extra.get(name)
        try:
            if not isinstance(value, bool):
                return default if value in (None, "") else float(value)
        except (TypeError, ValueError, OverflowError):
            pass
        raise InvalidConnectionError("must be a number", field=name)

    def choice(name: str, of: Iterable[str], default: str) -> str:
        value = text(name) or default
        if value not in of:
            raise InvalidConnectionError(f"must be one of {', '.join(of)}, not {value[:20]!r}", field=name)
        return value

    try:
        _check_extra(connection.extra)
        site = SITES[choice("site", SITES, INTL.name)]
        given = checked("host", connection.host).strip()
        endpoint = text("endpoint")
        host = given or endpoint or site.host
        if "/" in host or "@" in host:
            field = "host" if given else "endpoint"
            raise InvalidConnectionError("give only the host, without a scheme or a path", field=field)
        verify: bool | str | None = extra.get("verify")
        if not isinstance(verify, bool):
            verify = text("verify") or "true"
            verify = {"true": True, "false": False}.get(verify.lower(), verify)
        return ClientSettings(
            host=host[1:-1] if host.startswith("[") and host.endswith("]") else host,
            port=_port(connection.port),
            scheme=checked("schema", connection.schema) or ClientSettings.scheme,
            region=text("region"),
            proxy=text("proxy"),
            verify=verify,
            timeout=number("timeout", ClientSettings.timeout),
            requests_per_second=number("requests_per_second", None),
            site=site,
            cos_region=text("cos_region") or text("region"),
            cos_endpoint=text("cos_endpoint"),
            prices=Prices.read(extra.get("prices")),
            memory=text("memory"),
            credential=CredentialSettings(
                kind=CredentialKind(choice("credential", list(CredentialKind), CredentialKind.STATIC)),
                secret_id=checked("login (SecretId)", connection.login),
                secret_key=checked("password (SecretKey)", connection.password),
                token=text("token"),
                role_arn=text("role_arn"),
                role_session_name=text("role_session_name"),
                cvm_role_name=text("cvm_role_name"),
                sts_endpoint=text("sts_endpoint") or site.sts_host,
            ),
        )
    except InvalidConnectionError as error:
        raise InvalidConnectionError(error.problem, field=error.field, conn_id=conn_id) from None


def fault_of(error: Exception) -> str:
    """What an error of a test call says about the connection's fields; empty where they are good.

    :param error: what the call raised.
    """
    if isinstance(error, InvalidConnectionError):
        # The id of one that could be read is one that Airflow's page made up.
        return f"{error.field}: {error.problem}" if error.field else error.what
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
    raise InvalidConnectionError('must be a JSON object, such as {"site": "intl"}', field="extra")


def _port(port: Any) -> int | None:
    """The number, also where a file of connections has it as a text."""
    text = "" if port is None else str(port).strip()
    if text in ("", "0"):  # Airflow's page sends 0 where none was filled in
        return None
    if isinstance(port, bool) or not re.fullmatch(r"-?[0-9]{1,6}", text):
        raise InvalidConnectionError("must be a number from 1 to 65535, or empty", field="port")
    return int(text)


@contextmanager
def found(conn_id: str) -> Iterator[None]:
    """Say what to do where Airflow finds no connection of this id.

    A retry may help: Airflow says the same where its API server or a secrets backend does not answer.
    """
    try:
        yield
    except compat.AirflowNotFoundException as error:
        raise MissingConnectionError(
            conn_id,
            "Airflow has none of this id, or cannot read it",
            f"airflow connections add {shlex.quote(conn_id)} --conn-type tencent_mps "
            "--conn-login ID --conn-password KEY",
        ) from error


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
    with found(conn_id):
        read = await compat.connection_and_extra(conn_id)
    return settings_of(conn_id, *read)


def _import_api() -> None:
    """Import what a wait needs: half a second the first time, too long for an event loop's thread."""
    import airflow_provider_mps.api.waiting.poller  # noqa: F401
