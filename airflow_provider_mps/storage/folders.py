"""The folder that an argument names, wherever Airflow's object storage reaches."""

from __future__ import annotations

import re
import unicodedata
from typing import TYPE_CHECKING, Any

from airflow_provider_mps.api.errors import InvalidArgumentError, InvalidConnectionError
from airflow_provider_mps.api.redaction import shown, without_queries
from airflow_provider_mps.compat import AirflowNotFoundException

if TYPE_CHECKING:
    from airflow.providers.common.compat.sdk import ObjectStoragePath

_FOLDER = re.compile(r"((?P<scheme>[a-zA-Z][\w+.-]*)://((?P<conn_id>[^/@]*)@)?)?(?P<path>.*)", re.DOTALL)


def folder_named(argument: str, value: Any, mps_conn_id: str, storage_conn_id: Any = None) -> ObjectStoragePath:
    """The folder that an argument of an operator names; it need not exist.

    :param mps_conn_id: whose keys serve for ``cos://`` where neither the URI nor ``storage_conn_id`` names one.
    :param storage_conn_id: the connection of the storage, in place of the one in the URI.
    :raises InvalidArgumentError: it names none, or there is no such storage or connection.
    :raises InvalidConnectionError: the connection cannot be used.
    """
    from airflow_provider_mps.compat import ObjectStoragePath

    if storage_conn_id is not None and not isinstance(storage_conn_id, str):
        raise InvalidArgumentError("storage_conn_id", f"must be a connection's id, not {shown(storage_conn_id)}")
    if not isinstance(value, (str, ObjectStoragePath)):
        raise InvalidArgumentError(argument, f"must be text or an ObjectStoragePath, not {shown(value)}")
    text = str(value)
    parts = _FOLDER.fullmatch(text)
    if not parts or not text.strip() or has_control_characters(text):
        raise InvalidArgumentError(argument, "is empty, or has characters that a path cannot have")
    scheme, path = parts["scheme"] or "file", parts["path"]
    if scheme.lower() in ("file", "local"):
        if not path.startswith("/"):
            raise InvalidArgumentError(argument, f"{shown(text)} is relative: give the path from / on")
    elif not path.strip("/"):
        raise InvalidArgumentError(argument, f"{shown(text)} names no bucket or folder")
    try:
        # Airflow before 3.2 forgets the id in a URI where None is passed.
        own = mps_conn_id if scheme.lower() == "cos" and not parts["conn_id"] else None
        if isinstance(value, str) or storage_conn_id or own:
            folder = ObjectStoragePath(text, conn_id=storage_conn_id or parts["conn_id"] or own)
        else:
            folder = value
        folder.fs  # noqa: B018 - it is here that the storage's connection and library are looked up
    except InvalidConnectionError:
        raise  # which says what is wrong with the connection
    except AirflowNotFoundException as error:
        raise InvalidArgumentError("storage_conn_id" if storage_conn_id else argument, str(error)) from None
    except (ValueError, TypeError, ImportError) as error:
        raise InvalidArgumentError(
            argument,
            f"there is no storage for {scheme}:// here ({without_queries(str(error))}): install the Airflow "
            "provider that serves it, such as apache-airflow-providers-amazon[s3fs]",
        ) from None
    return folder


def has_control_characters(text: str) -> bool:
    """Whether a text has control characters or lone surrogates."""
    return any(unicodedata.category(character) in ("Cc", "Cs") for character in text)
