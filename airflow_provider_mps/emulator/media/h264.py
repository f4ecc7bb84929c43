"""H.264 video as browsers decode it, without a codec: changed blocks are sent as they are, the others are skipped.

ITU-T H.264, baseline profile: a macroblock of 16 x 16 pixels is either I_PCM, 384 plain bytes, or P_Skip, the same as
in the frame before. So the bytes are the same on every machine, and nothing has to be installed.
"""

from __future__ import annotations

import re
import struct
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

_SIDE = 16  # pixels of a macroblock
_LEVEL = 30


@dataclass(frozen=True)
class Frame:
    """A picture in 4:2:0: a byte of brightness for each pixel, two of colour for each square of four.

    :ivar luma: the rows of brightness, each as wide as the picture; ``blue``, ``red``: those of colour, half as many.
    """

    luma: list[bytes]
    blue: list[bytes]
    red: list[bytes]

    def blocks(self) -> Iterator[bytes]:
        """The samples of each macroblock, row by row; the last row repeats what is missing below the picture."""
        half = _SIDE // 2
        for y in range(0, len(self.luma), _SIDE):
            for x in range(0, len(self.luma[0]), _SIDE):
                parts = [_square(self.luma, y, x, _SIDE)]
                parts += [_square(rows, y // 2, x // 2, half) for rows in (self.blue, self.red)]
                yield b"".join(parts)


def _square(rows: list[bytes], top: int, left: int, side: int) -> bytes:
    return b"".join(rows[min(top + line, len(rows) - 1)][left : left + side] for line in range(side))


def configuration(width: int, height: int) -> bytes:
    """What a decoder must know first: the content of an MP4's ``avcC`` box.

    :param width: a multiple of 16.
    :param height: an even number.
    """
    across, down = width // _SIDE, -(-height // _SIDE)
    cropped = (down * _SIDE - height) // 2
    sequence = _Bits("01000010", "11000000", f"{_LEVEL:08b}")  # baseline, also decoded as main
    sequence.add(_ue(0), _ue(4), _ue(2), _ue(1), "0", _ue(across - 1), _ue(down - 1))
    sequence.add("11", "1", _ue(0), _ue(0), _ue(0), _ue(cropped), "0")
    picture = _Bits(_ue(0), _ue(0), "00", _ue(0), _ue(0), _ue(0), "000", _ue(0), _ue(0), _ue(0), "100")
    sets = [_nal(0x67, sequence.ended()), _nal(0x68, picture.ended())]
    counts = (b"\xe1", b"\x01")
    return bytes((1, 66, 0xC0, _LEVEL, 0xFF)) + b"".join(
        count + struct.pack(">H", len(each)) + each for count, each in zip(counts, sets, strict=True)
    )


def encode(frames: Iterable[Frame]) -> Iterator[bytes]:
    """Each frame as one sample of an MP4; the first needs no other, the others need those before."""
    before: list[bytes] = []
    for number, frame in enumerate(frames):
        blocks = list(frame.blocks())
        nal = _changes(before, blocks, number) if before else _whole(blocks)
        yield struct.pack(">I", len(nal)) + nal
        before = blocks


def _whole(blocks: list[bytes]) -> bytes:
    slice_ = _Bits(_ue(0), _ue(7), _ue(0), "00000000", _ue(0), "00", _ue(0), _ue(1))
    for block in blocks:
        slice_.add(_ue(25))  # I_PCM
        slice_.add_bytes(block)
    return _nal(0x65, slice_.ended())


def _changes(before: list[bytes], blocks: list[bytes], number: int) -> bytes:
    slice_ = _Bits(_ue(0), _ue(5), _ue(0), f"{number % 256:08b}", "000", _ue(0), _ue(1))
    skipped = 0
    for old, new in zip(before, blocks, strict=True):
        if old == new:
            skipped += 1
            continue
        slice_.add(_ue(skipped), _ue(5 + 25))  # I_PCM in a frame of changes
        slice_.add_bytes(new)
        skipped = 0
    if skipped:
        slice_.add(_ue(skipped))
    return _nal(0x41, slice_.ended())


class _Bits:
    """A string of bits under construction."""

    def __init__(self, *bits: str) -> None:
        self._whole = bytearray()
        self._rest = ""
        self.add(*bits)

    def add(self, *bits: str) -> None:
        self._rest += "".join(bits)

    def add_bytes(self, data: bytes) -> None:
        """Fill the last byte with zeros, and go on with whole ones."""
        padded = self._rest + "0" * (-len(self._rest) % 8)
        self._whole += int(f"1{padded}", 2).to_bytes(1 + len(padded) // 8)[1:] + data
        self._rest = ""

    def ended(self) -> bytes:
        """All of it, with the stop bit at its end."""
        self.add("1")
        self.add_bytes(b"")
        return bytes(self._whole)


def _ue(value: int) -> str:
    """An unsigned Exp-Golomb code."""
    code = f"{value + 1:b}"
    return "0" * (len(code) - 1) + code


def _nal(kind: int, content: bytes) -> bytes:
    """A unit of the stream; no start code may appear in it, so that a 3 breaks up what looks like one."""
    return bytes((kind,)) + re.sub(rb"\x00\x00(?=[\x00-\x03])", b"\x00\x00\x03", content)
