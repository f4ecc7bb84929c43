"""COS as a file system: s3fs on COS's S3-compatible endpoint, with the keys of an MPS connection.

What COS does otherwise than S3, and where that is known from:

- Buckets are hosts (``bucket.cos.ap-singapore.myqcloud.com``); an address with the bucket in its path is refused (COS
  documentation, "Accessing COS with AWS S3 SDK").
- A body in ``aws-chunked`` is refused, so no checksum is sent where none is required (reported by several projects).
- DeleteObjects wants Content-MD5, which botocore no longer sends (COS API "DELETE Multiple Objects"): files are deleted
  one by one.
- ``x-cos-forbid-overwrite: true`` stands for ``If-None-Match: *``: 409 FileAlreadyExists (COS API "PUT Object"). It has
  no effect in a bucket that ever had versioning.
"""

from __future__ import annotations

import asyncio
import mimetypes
import os
from contextlib import suppress
from typing import Any
from urllib.parse import urlsplit

from fsspec import register_implementation
from fsspec.asyn import sync_wrapper
from upath.implementations.cloud import CloudPath

from airflow_provider_mps.api.errors import InvalidConnectionError
from airflow_provider_mps.api.redaction import withheld
from airflow_provider_mps.api.wire.credentials import Credentials
from airflow_provider_mps.api.wire.settings import ClientSettings, is_loopback
from airflow_provider_mps.hooks.mps import MpsHook

try:
    from aiobotocore.credentials import AioCredentials
    from aiobotocore.session import AioSession
    from botocore.credentials import ReadOnlyCredentials
    from s3fs import S3FileSystem
except ImportError as error:
    raise ImportError(f"cos:// needs s3fs: pip install 'airflow-provider-mps[cos]' ({error})") from None

# AWS's files and profiles say nothing of COS, and one that is not there would be an error.
_NOT_OF_AWS = {
    "profile": (None, None, None, None),
    "config_file": (None, None, os.devnull, None),
    "credentials_file": (None, None, os.devnull, None),
}


class CosFileSystem(S3FileSystem):  # type: ignore[misc]
    """The buckets that a connection's keys reach, in the region that its ``cos_region`` names.

    A file appears under its name when it is whole, and with a Content-Type guessed from its name. Mode ``xb`` (and
    ``pipe_file(mode="create")``) raises FileExistsError where there is a file of that name. There are no folders, so
    making one does nothing; buckets are neither made nor deleted.

    :param conn_id: of an Airflow connection of type ``tencent_mps``.
    :param kwargs: of s3fs's file system, such as ``max_concurrency``.
    :raises InvalidConnectionError: the connection cannot be used, or has no ``cos_region``.
    """

    protocol = "cos"

    def __init__(self, conn_id: str = MpsHook.default_conn_name, **kwargs: Any) -> None:
        settings = MpsHook(conn_id).settings
        if not settings.cos_region:
            raise InvalidConnectionError(
                f"Connection {conn_id}, cos_region: is needed for cos://, such as ap-singapore"
            )
        super().__init__(
            endpoint_url=settings.cos_endpoint or f"https://cos.{settings.cos_region}.myqcloud.com",
            client_kwargs={"region_name": settings.cos_region, "verify": settings.verify},
            config_kwargs=_config(settings),
            session=_session(settings),
            **kwargs,
        )

    async def _call_s3(self, method: str, *akwarglist: Any, **kwargs: Any) -> Any:
        try:
            with withheld():
                return await super()._call_s3(method, *akwarglist, **kwargs)
        except OSError as error:
            said = getattr(error.__cause__, "response", {}).get("Error", {})
            # s3fs knows AWS's codes only, and makes a plain OSError of this one of COS.
            if said.get("Code") == "FileAlreadyExists":
                raise FileExistsError(said.get("Message", "")) from error.__cause__
            raise

    def _open(self, path: str, mode: str = "rb", **kwargs: Any) -> Any:
        return super()._open(path, mode, **(_content_type(path) if "r" not in mode else {}) | kwargs)

    async def _pipe_file(self, path: str, data: bytes, **kwargs: Any) -> Any:
        return await super()._pipe_file(path, data, **_content_type(path) | kwargs)

    async def _mkdir(self, path: str, acl: Any = False, create_parents: bool = True, **kwargs: Any) -> None:
        """Make nothing: s3fs would make the bucket, also one that is misspelt."""

    async def _rmdir(self, path: str) -> None:
        if not self.split_path(path)[1]:
            raise PermissionError(f"{path} is a bucket, which is not deleted through cos://")
        await super()._rmdir(path)

    async def _rm(self, path: str | list[str], recursive: bool = False, **kwargs: Any) -> Any:
        for each in [path] if isinstance(path, str) else path:
            if not self.split_path(each)[1]:
                await self._rmdir(each)
        return await super()._rm(path, recursive=recursive, **kwargs)

    async def _bulk_delete(self, pathlist: list[str], **kwargs: Any) -> list[str]:
        at_once = asyncio.Semaphore(self.max_concurrency)

        async def delete(path: str) -> str:
            async with at_once:
                await self._rm_file(path)
            return path

        return await asyncio.gather(*map(delete, pathlist))

    # s3fs wraps its own of these by hand.
    call_s3 = sync_wrapper(_call_s3)
    mkdir = sync_wrapper(_mkdir)
    rmdir = sync_wrapper(_rmdir)


class CosPath(CloudPath):
    """``cos://`` for universal_pathlib, on which ObjectStoragePath is built from Airflow 3.2 on."""

    @classmethod
    def _fs_factory(cls, urlpath: str, protocol: str, storage_options: Any) -> CosFileSystem:
        return CosFileSystem(**storage_options)


class _ConnectionKeys(AioCredentials):  # type: ignore[misc]
    """The connection's keys, whatever its credential is, as botocore asks for them before each request."""

    def __init__(self, credentials: Credentials) -> None:
        super().__init__("", "", method="airflow-connection")
        self._credentials = credentials

    async def get_frozen_credentials(self) -> ReadOnlyCredentials:
        keys = await self._credentials.aresolve()
        return ReadOnlyCredentials(keys.secret_id, keys.secret_key, keys.token)


class _Resolver:
    """What a session of botocore gets its credentials from."""

    def __init__(self, keys: _ConnectionKeys) -> None:
        self._keys = keys

    async def load_credentials(self) -> _ConnectionKeys:
        return self._keys


def _session(settings: ClientSettings) -> AioSession:
    session = AioSession(session_vars=_NOT_OF_AWS)
    keys = _ConnectionKeys(Credentials(settings.credential, settings.timeout))
    session.register_component("credential_provider", _Resolver(keys))
    # Before botocore makes and signs the request, so that the signature is of the new header.
    session.register("before-call.s3", _forbid_overwrite)
    return session


def _config(settings: ClientSettings) -> dict[str, Any]:
    """botocore's configuration; what it would else take from AWS's environment variables is named."""
    # A bucket is a name before a public endpoint's, and part of the path of one on this machine.
    on_path = is_loopback(urlsplit(settings.cos_endpoint).hostname)
    return {
        "s3": {"addressing_style": "path" if on_path else "virtual"},
        "request_checksum_calculation": "when_required",
        "response_checksum_validation": "when_required",
        "proxies": {"http": settings.proxy, "https": settings.proxy} if settings.proxy else {},
        "use_fips_endpoint": False,
        "use_dualstack_endpoint": False,
    }


def _forbid_overwrite(params: dict[str, Any], **_: Any) -> None:
    if params["headers"].pop("If-None-Match", None):
        params["headers"]["x-cos-forbid-overwrite"] = "true"


def _content_type(path: str) -> dict[str, str]:
    kind, _ = mimetypes.guess_type(path)
    return {"ContentType": kind} if kind else {}


with suppress(ValueError):  # another package may have it; what is asked of the class here is how a path is read
    register_implementation("cos", CosFileSystem)
