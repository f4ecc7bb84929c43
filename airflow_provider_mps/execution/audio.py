"""Sound that an action of MPS answers with as base64: kept as a file, for an XCom is no place for it."""

from __future__ import annotations

import base64
import binascii
from typing import TYPE_CHECKING, Any

from airflow_provider_mps.api.errors import DownloadError, InvalidArgumentError
from airflow_provider_mps.api.redaction import shown
from airflow_provider_mps.api.wire.answers import identifier

if TYPE_CHECKING:
    from airflow.providers.common.compat.sdk import ObjectStoragePath

_SIGNS = {b"RIFF": "wav", b"ID3": "mp3", b"fLaC": "flac", b"OggS": "ogg"}
"""What files of each format begin with."""


def made_ready(folder: ObjectStoragePath) -> None:
    """Make a folder on a disk before anything is paid for. Of an object store none is made: that may make a bucket.

    :raises InvalidArgumentError: there can be none.
    """
    if folder.protocol not in ("file", "local"):
        return
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InvalidArgumentError("save_audio", f"that folder cannot be made ({error.strerror})") from None


def saved(folder: ObjectStoragePath, response: dict[str, Any]) -> dict[str, Any]:
    """An answer with its sound in a file: ``AudioFile`` is its URI, in place of ``AudioData``.

    The file is named by the RequestId, so that the same answer, kept again, is the same file.

    :raises DownloadError: it could not be written.
    """
    try:
        data = base64.b64decode(response.get("AudioData") or "", validate=True)
    except (TypeError, ValueError, binascii.Error):
        return response
    if not data:
        return response
    suffix = next((suffix for sign, suffix in _SIGNS.items() if data.startswith(sign)), "audio")
    if data[0] == 0xFF and data[1:2] and data[1] & 0xE6 == 0xE2:  # a frame of layer III, of any MPEG version
        suffix = "mp3"
    path = folder / f"{identifier(response.get('RequestId')) or 'audio'}.{suffix}"
    try:
        path.write_bytes(data)
    except Exception as error:  # each storage has its own
        kept = DownloadError(
            f"the sound could not be written to {shown(str(folder))}: {type(error).__name__}",
            advice="A retry writes it, and calls nothing",
        )
        kept.cost = "The call ran, and may be billed; its answer is remembered"
        raise kept from error
    return {name: value for name, value in response.items() if name != "AudioData"} | {"AudioFile": str(path)}
