"""What Airflow asks for the file system of ``cos://`` URIs: named under ``filesystems`` in the provider's info."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from airflow_provider_mps.storage.filesystem import CosFileSystem

schemes = ["cos"]


def get_fs(conn_id: str | None, storage_options: dict[str, Any] | None = None) -> CosFileSystem:
    """The buckets of a connection of type ``tencent_mps``; of the default one where none is named.

    :raises ImportError: the extra ``cos`` is not installed.
    :raises InvalidConnectionError: the connection cannot be used, or has no ``cos_region``.
    """
    from airflow_provider_mps.storage.filesystem import CosFileSystem

    return CosFileSystem(**({"conn_id": conn_id} if conn_id else {}), **(storage_options or {}))
