"""What Airflow has in every version from 2.11 on, each time in another place."""

from __future__ import annotations

from contextlib import suppress
from functools import cache
from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from airflow.providers.common.compat.sdk import (  # isort: skip
        AirflowException as AirflowException,
        AirflowFailException as AirflowFailException,
        AirflowNotFoundException as AirflowNotFoundException,
        AirflowSensorTimeout as AirflowSensorTimeout,
        AirflowTaskTimeout as AirflowTaskTimeout,
        Asset as Asset,
        AssetAlias as AssetAlias,
        BaseHook as BaseHook,
        BaseOperator as BaseOperator,
        BaseOperatorLink as BaseOperatorLink,
        BaseSensorOperator as BaseSensorOperator,
        Connection as Connection,
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
    "Asset": ("airflow.sdk", "airflow.datasets:Dataset"),
    "AssetAlias": ("airflow.sdk", "airflow.datasets:DatasetAlias"),
    "BaseHook": ("airflow.sdk", "airflow.hooks.base"),
    "BaseOperator": ("airflow.sdk", "airflow.models.baseoperator"),
    "BaseOperatorLink": ("airflow.sdk", "airflow.models.baseoperatorlink"),
    "BaseSensorOperator": ("airflow.sdk", "airflow.sensors.base"),
    "Connection": ("airflow.sdk", "airflow.models.connection"),
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
            module, _, other_name = place.partition(":")
            found = globals()[name] = getattr(import_module(module), other_name or name)
            return found
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


async def connection_and_extra(conn_id: str) -> tuple[Any, dict[str, Any]]:
    """An Airflow connection and its Extra, read without blocking the event loop.

    Before Airflow 3.3.2 ``aget_connection``, where there is one, masks secrets by a call that stalls the triggerer's
    event loop. asgiref's threads, and no others: a look-up goes back from them to the event loop that called.

    Which class of connection comes back is up to the secrets backend: Airflow's own for a file and for the database
    hand back ``airflow.models.Connection``, which has no ``aextra_dejson``.
    """
    from asgiref.sync import sync_to_async

    from airflow_provider_mps.compat import BaseHook, Connection

    if hasattr(Connection, "aextra_dejson"):  # Airflow 3.3.2
        connection: Any = await BaseHook.aget_connection(conn_id)
        if hasattr(connection, "aextra_dejson"):
            return connection, await connection.aextra_dejson()
    else:
        connection = await sync_to_async(BaseHook.get_connection)(conn_id)
    return connection, await sync_to_async(lambda: connection.extra_dejson)()  # it masks, too


@cache
def clears_discard() -> bool:
    """Whether a clear in Airflow's page discards what the task state store keeps for the task, as it does from 3.4 on.

    Unless the box "keep task state" is ticked (apache/airflow#72100).
    """
    from airflow import __version__

    return tuple(int(part) for part in __version__.split(".")[:2]) >= (3, 4)
