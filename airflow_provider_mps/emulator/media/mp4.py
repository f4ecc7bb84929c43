"""An MP4 file from encoded frames and PCM samples (ISO/IEC 14496-12 and -15)."""

from __future__ import annotations

import struct
from array import array
from collections.abc import Sequence
from dataclasses import dataclass

_CLOCK = 1000  # units a second of the movie's clock
_MATRIX = struct.pack(">9I", 0x10000, 0, 0, 0, 0x10000, 0, 0, 0, 0x40000000)


def movie(
    frames: Sequence[bytes],
    configuration: bytes,
    frames_per_second: int,
    size: tuple[int, int],
    samples: array[int] | None,
    sample_rate: int,
) -> bytes:
    """Put frames and sound into one file.

    :param frames: H.264, each after its length; only the first needs no other. None: the movie has no picture.
    :param configuration: the decoder's, as in an ``avcC`` box.
    :param size: width and height in pixels.
    :param samples: interleaved stereo samples of 16 bits; None: the movie is silent.
    """
    heard = 0 if samples is None else len(samples) // 2 * _CLOCK // sample_rate
    duration = len(frames) * _CLOCK // frames_per_second or heard
    sound = b"" if samples is None else struct.pack(f"<{len(samples)}h", *samples)
    start = _box(b"ftyp", b"isom", struct.pack(">I", 0x200), b"isomiso2avc1mp41")
    media = _box(b"mdat", *frames, sound)
    frames_at = len(start) + 8
    sound_at = frames_at + sum(len(frame) for frame in frames)

    video = _Track(
        handler=b"vide",
        header=_full_box(b"vmhd", struct.pack(">4H", 0, 0, 0, 0), flags=1),
        entry=_box(
            b"avc1",
            struct.pack(">6xH16x2H2IIH32xHh", 1, *size, 72 << 16, 72 << 16, 0, 1, 24, -1),
            _box(b"avcC", configuration),
        ),
        scale=frames_per_second,
        length=len(frames),
        sizes=struct.pack(f">2I{len(frames)}I", 0, len(frames), *(len(frame) for frame in frames)),
        offset=frames_at,
        starts=_full_box(b"stss", struct.pack(">2I", 1, 1)),
    )
    tracks = [video.box(1, duration, size)] if frames else []
    if samples is not None:
        audio = _Track(
            handler=b"soun",
            header=_full_box(b"smhd", struct.pack(">2H", 0, 0)),
            entry=_box(
                b"sowt",
                struct.pack(">6xH8x2H4xI", 1, 2, 16, sample_rate << 16),
                _box(b"btrt", struct.pack(">3I", 0, *[sample_rate * 32] * 2)),  # readers look for a box in here
            ),
            scale=sample_rate,
            length=len(samples) // 2,
            sizes=struct.pack(">2I", 4, len(samples) // 2),
            offset=sound_at,
        )
        tracks.append(audio.box(len(tracks) + 1, duration, (0, 0)))
    header = _full_box(
        b"mvhd",
        struct.pack(">4IIH10x", 0, 0, _CLOCK, duration, 0x10000, 0x100),
        _MATRIX,
        struct.pack(">24xI", len(tracks) + 1),
    )
    return start + media + _box(b"moov", header, *tracks)


@dataclass(frozen=True)
class _Track:
    """A track whose samples lie side by side in the file.

    :ivar entry: what the samples are: the box in stsd.
    :ivar scale: samples a second.
    :ivar sizes: the content of stsz.
    :ivar offset: where in the file the first sample begins.
    :ivar starts: the box that says at which samples playing may start; empty: at any.
    """

    handler: bytes
    header: bytes
    entry: bytes
    scale: int
    length: int
    sizes: bytes
    offset: int
    starts: bytes = b""

    def box(self, number: int, duration: int, size: tuple[int, int]) -> bytes:
        table = _box(
            b"stbl",
            _full_box(b"stsd", struct.pack(">I", 1), self.entry),
            _full_box(b"stts", struct.pack(">3I", 1, self.length, 1)),
            _full_box(b"stsc", struct.pack(">4I", 1, 1, self.length, 1)),
            _full_box(b"stsz", self.sizes),
            _full_box(b"stco", struct.pack(">2I", 1, self.offset)),
            self.starts,
        )
        source = _box(b"dinf", _full_box(b"dref", struct.pack(">I", 1), _full_box(b"url ", flags=1)))
        width, height = size
        enabled_and_in_movie = 3
        return _box(
            b"trak",
            _full_box(
                b"tkhd",
                struct.pack(">3I4xI8x2HH2x", 0, 0, number, duration, 0, 0, 0x100),
                _MATRIX,
                struct.pack(">2I", width << 16, height << 16),
                flags=enabled_and_in_movie,
            ),
            _box(
                b"mdia",
                _full_box(b"mdhd", struct.pack(">4I4x", 0, 0, self.scale, self.length)),
                _full_box(b"hdlr", bytes(4), self.handler, bytes(13)),
                _box(b"minf", self.header, source, table),
            ),
        )


def _box(kind: bytes, *content: bytes) -> bytes:
    return struct.pack(">I", 8 + sum(len(part) for part in content)) + kind + b"".join(content)


def _full_box(kind: bytes, *content: bytes, flags: int = 0) -> bytes:
    return _box(kind, struct.pack(">I", flags), *content)
