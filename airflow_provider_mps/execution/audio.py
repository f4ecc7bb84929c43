"""Sound that an action of MPS answers with as base64: kept as a file, for an XCom is no place for it."""

from __future__ import annotations

import base64
import binascii
from typing import TYPE_CHECKING, Any

from airflow_provider_mps.api.wire.answers import identifier

if TYPE_CHECKING:
    from airflow.providers.common.compat.sdk import ObjectStoragePath

_SIGNS = {b"RIFF": "wav", b"ID3": "mp3", b"\xff\xfb": "mp3", b"fLaC": "flac", b"OggS": "ogg"}
"""What files of each format begin with."""


def saved(folder: ObjectStoragePath, response: dict[str, Any]) -> dict[str, Any]:
    """An answer with its sound in a file: ``AudioFile`` is its URI, in place of ``AudioData``.

    The file is named by the RequestId, so that the same answer, kept again, is the same file.
    """
    try:
        data = base64.b64decode(response.get("AudioData") or "", validate=True)
    except (TypeError, ValueError, binascii.Error):
        return response
    if not data:
        return response
    suffix = next((suffix for sign, suffix in _SIGNS.items() if data.startswith(sign)), "audio")
    path = folder / f"{identifier(response.get('RequestId')) or 'audio'}.{suffix}"
    folder.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)
    return {name: value for name, value in response.items() if name != "AudioData"} | {"AudioFile": str(path)}
