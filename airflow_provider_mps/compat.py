"""What Airflow has in every version from 2.11 on, each time in another place."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from airflow.providers.common.compat.sdk import (  # isort: skip
        AirflowException as AirflowException,
        AirflowFailException as AirflowFailException,
        AirflowNotFoundException as AirflowNotFoundException,
        AirflowSensorTimeout as AirflowSensorTimeout,
        AirflowTaskTimeout as AirflowTaskTimeout,
        BaseHook as BaseHook,
        BaseOperator as BaseOperator,
        BaseOperatorLink as BaseOperatorLink,
        BaseSensorOperator as BaseSensorOperator,
        ObjectStoragePath as ObjectStoragePath,
        PokeReturnValue as PokeReturnValue,
        Stats as Stats,
        XCom as XCom,
        conf as conf,
        mask_secret as mask_secret,
    )

_EXCEPTIONS = ("airflow.sdk.exceptions", "airflow.exceptions")
_PLACES = {
    "AirflowException": _EXCEPTIONS,
    "AirflowFailException": _EXCEPTIONS,
    "AirflowNotFoundException": _EXCEPTIONS,
    "AirflowSensorTimeout": _EXCEPTIONS,
    "AirflowTaskTimeout": _EXCEPTIONS,
    "BaseHook": ("airflow.sdk", "airflow.hooks.base"),
    "BaseOperator": ("airflow.sdk", "airflow.models.baseoperator"),
    "BaseOperatorLink": ("airflow.sdk", "airflow.models.baseoperatorlink"),
    "BaseSensorOperator": ("airflow.sdk", "airflow.sensors.base"),
    "ObjectStoragePath": ("airflow.sdk", "airflow.io.path"),
    "PokeReturnValue": ("airflow.sdk", "airflow.sensors.base"),
    "Stats": ("airflow.sdk.observability.stats", "airflow.observability.stats", "airflow.stats"),
    "XCom": ("airflow.sdk.execution_time.xcom", "airflow.models.xcom"),
    "conf": ("airflow.sdk.configuration", "airflow.configuration"),
    "mask_secret": ("airflow.sdk.log", "airflow.sdk.execution_time.secrets_masker", "airflow.utils.log.secrets_masker"),
}
"""From the newest version to 2.11. ``airflow.providers.common.compat.sdk`` has these too, but the constraints of
Airflow 2.11.0 and 3.0 hold its 1.7, where there is none, and those of 3.3.2 its 1.19, without ``mask_secret``."""


def __getattr__(name: str) -> Any:
    for place in _PLACES.get(name, ()):
        with suppress(ImportError, AttributeError):
            found = globals()[name] = getattr(import_module(place), name)
            return found
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


async def connection_and_extra(conn_id: str) -> tuple[Any, dict[str, Any]]:
    """An Airflow connection and its Extra, read without blocking the event loop."""
    base: Any = __getattr__("BaseHook")
    if hasattr(base, "aget_connection"):
        connection = await base.aget_connection(conn_id)
    else:  # before Airflow 3.1
        connection = await asyncio.to_thread(base.get_connection, conn_id)
    if hasattr(connection, "aextra_dejson"):
        return connection, await connection.aextra_dejson()
    return connection, await asyncio.to_thread(lambda: connection.extra_dejson)  # it masks, which may ask Airflow
