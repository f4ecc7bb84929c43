"""What is in an MP4 or QuickTime file, found by its boxes (ISO/IEC 14496-12)."""

import struct
from collections.abc import Iterator


def track_kinds(film: bytes) -> Iterator[str]:
    """The kind of each track, ``vide`` or ``soun``, of a file whose boxes fill it without a gap."""
    top = dict(_boxes(film))
    assert set(top) >= {b"ftyp", b"mdat", b"moov"}
    for name, track in _boxes(top[b"moov"]):
        if name == b"trak":
            media = dict(_boxes(dict(_boxes(track))[b"mdia"]))
            yield media[b"hdlr"][8:12].decode()


def _boxes(content: bytes) -> Iterator[tuple[bytes, bytes]]:
    while content:
        size, name = struct.unpack(">I4s", content[:8])
        assert 8 <= size <= len(content)
        yield name, content[8:size]
        content = content[size:]
