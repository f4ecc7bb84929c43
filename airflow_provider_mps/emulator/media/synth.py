"""Real, small media made from a seed: tunes, pictures and movies."""

from __future__ import annotations

import hashlib
import importlib.util
import io
import math
import random
import struct
import wave
import zlib
from array import array
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cache, lru_cache
from typing import TYPE_CHECKING

from airflow_provider_mps.emulator.media import h264
from airflow_provider_mps.emulator.media.mp4 import movie

if TYPE_CHECKING:
    import PIL.Image

SAMPLE_RATE = 44_100
WIDTH, HEIGHT = 320, 180
FRAMES_PER_SECOND = 10

_SCALES = {
    "major": (0, 2, 4, 7, 9, 12),
    "minor": (0, 3, 5, 7, 10, 12),
    "dorian": (0, 2, 3, 7, 9, 12),
}
_STEPS = 1024
_WAVE = [
    math.sin(2 * math.pi * step / _STEPS)
    + 0.35 * math.sin(4 * math.pi * step / _STEPS)
    + 0.15 * math.sin(6 * math.pi * step / _STEPS)
    for step in range(_STEPS)
]


@dataclass(frozen=True)
class MediaFile:
    """A file that a task makes; its bytes are made when they are first needed.

    :ivar key: its path in the bucket or below ``/files/``; the suffix says the format.
    :ivar seed: the same seed gives the same tune and the same picture.
    :ivar seconds: how long it plays.
    :ivar sounds: what is heard; None: the seed's own tune.
    :ivar seen: whether a film has a picture.
    """

    key: str
    seed: str
    seconds: float = 0
    sounds: tuple[Sound, ...] | None = None
    seen: bool = True

    @property
    def suffix(self) -> str:
        """One of FORMATS; anything else is not made."""
        return self.key.rpartition(".")[2]

    def data(self) -> bytes:
        """The file's bytes. Costs up to some seconds of CPU the first time."""
        return _data(self.suffix, self.seed, self.seconds, self.sounds, self.seen)

    def samples(self) -> array[int]:
        """What is heard: interleaved stereo samples of 16 bits at 44.1 kHz."""
        return _samples(self.seed, self.seconds, self.sounds)


@dataclass(frozen=True)
class Sound:
    """A part of a file that is heard in another one; all times in seconds.

    :ivar skip: where in the source it begins.
    :ivar at: where in the other file it is heard.
    :ivar volume: 0 is silent, 1 unchanged.
    """

    source: MediaFile
    skip: float
    at: float
    seconds: float
    volume: float = 1.0


@lru_cache(maxsize=64)
def _data(suffix: str, seed: str, seconds: float, sounds: tuple[Sound, ...] | None, seen: bool) -> bytes:
    match suffix:
        case "png":
            return _Scene(seed).png()
        case "jpg" | "jpeg":
            return _Scene(seed).jpeg()
        case "gif":
            return _Scene(seed).gif(seconds)
        case "wav":
            return wav(_samples(seed, seconds, sounds))
        case "glb":
            return _EMPTY_MODEL
        case "mp3":
            return mp3(_samples(seed, seconds, sounds))
    moments = (number / FRAMES_PER_SECOND for number in range(round(seconds * FRAMES_PER_SECOND)))
    scene = _Scene(seed)
    frames = list(h264.encode(scene.frame(moment) for moment in moments)) if seen else []
    samples = None if sounds == () else _samples(seed, seconds, sounds)
    size = (WIDTH, HEIGHT)
    return movie(frames, h264.configuration(*size), FRAMES_PER_SECOND, size, samples, SAMPLE_RATE)


@lru_cache(maxsize=16)
def _samples(seed: str, seconds: float, sounds: tuple[Sound, ...] | None) -> array[int]:
    return tune(seed, seconds) if sounds is None else mix(sounds, seconds)


_EMPTY_MODEL = struct.pack("<4sII I4s28s", b"glTF", 2, 48, 28, b"JSON", b'{"asset":{"version":"2.0"}}'.ljust(28))
"""A binary glTF without a mesh."""
FORMATS = {"mp4": "", "wav": "", "png": "", "glb": "", "mp3": "lameenc", "jpg": "PIL", "jpeg": "PIL", "gif": "PIL"}
"""What can be made, by the suffix of a file's name, and the module that it needs."""
PICTURES = ("png", "jpg", "jpeg", "gif")


@cache
def can_make(suffix: str) -> bool:
    """Whether files of this format can be made here."""
    needed = FORMATS.get(suffix)
    return needed is not None and (not needed or importlib.util.find_spec(needed) is not None)


def can_encode_mp3() -> bool:
    """Whether lameenc is installed."""
    return can_make("mp3")


def tune_seconds(seed: str) -> int:
    """How long the tune of a seed plays: 2 to 4 seconds."""
    return _random(seed).randint(2, 4)


def tune(seed: str, seconds: float) -> array[int]:
    """Play a melody over a bass line; both, and key, scale and tempo, follow from the seed."""
    choose = _random(seed)
    root = 220.0 * 2 ** (choose.randrange(12) / 12)
    scale = _SCALES[choose.choice(sorted(_SCALES))]
    beats_per_second = choose.uniform(1.5, 3.0)
    total = round(seconds * SAMPLE_RATE)
    left, right = [0.0] * total, [0.0] * total
    beat = round(SAMPLE_RATE / beats_per_second)
    for start in range(0, total, beat):
        melody = root * 2 ** (choose.choice(scale) / 12)
        bass = root / 2 * 2 ** (choose.choice(scale[:3]) / 12)
        length = min(beat, total - start)
        for frequency, loud_left, loud_right in ((melody, 0.30, 0.20), (bass, 0.15, 0.25)):
            note = _note(frequency, length)
            for side, loud in ((left, loud_left), (right, loud_right)):
                heard = side[start : start + length]
                side[start : start + length] = [a + loud * b for a, b in zip(heard, note, strict=True)]
    samples = array("h", bytes(4 * total))
    samples[0::2] = _pcm(20_000 * value for value in left)
    samples[1::2] = _pcm(20_000 * value for value in right)
    return samples


def _note(frequency: float, length: int) -> list[float]:
    """One plucked note: 10 ms to full loudness, then dying away, silent at its end."""
    step = frequency * _STEPS / SAMPLE_RATE
    attack = SAMPLE_RATE // 100
    return [
        _WAVE[int(index * step) % _STEPS] * min(1.0, index / attack) * (1 - index / length) ** 2
        for index in range(length)
    ]


def mix(sounds: Iterable[Sound], seconds: float) -> array[int]:
    """Play all sounds together, cut to ``seconds``."""
    heard = array("h", bytes(4 * round(seconds * SAMPLE_RATE)))
    for sound in sounds:
        begin, skip, length = (2 * round(time * SAMPLE_RATE) for time in (sound.at, sound.skip, sound.seconds))
        part = sound.source.samples()[skip : skip + length]
        before = heard[begin : begin + len(part)]
        heard[begin : begin + len(part)] = _pcm(a + sound.volume * b for a, b in zip(before, part, strict=False))
    return heard


def _pcm(values: Iterable[float]) -> array[int]:
    return array("h", [max(-32_768, min(32_767, round(value))) for value in values])


def wav(samples: array[int]) -> bytes:
    """A WAV file."""
    buffer = io.BytesIO()
    with wave.open(buffer, "wb") as file:
        file.setnchannels(2)
        file.setsampwidth(2)
        file.setframerate(SAMPLE_RATE)
        file.writeframes(samples.tobytes())
    return buffer.getvalue()


def mp3(samples: array[int]) -> bytes:
    """An MP3 file; needs lameenc."""
    import lameenc

    encoder = lameenc.Encoder()
    encoder.set_bit_rate(128)
    encoder.set_in_sample_rate(SAMPLE_RATE)
    encoder.set_channels(2)
    encoder.set_quality(7)
    encoder.silence()
    return bytes(encoder.encode(samples.tobytes()) + encoder.flush())


class _Scene:
    """A gradient, and a disc that goes to and fro, of 320 x 180 pixels; colours and sizes follow from the seed."""

    def __init__(self, seed: str) -> None:
        choose = _random(seed)
        top = [choose.randrange(40, 256) for _ in range(3)]
        bottom = [choose.randrange(0, 200) for _ in range(3)]
        self._disc = tuple(choose.randrange(256) for _ in range(3))
        self._radius = choose.randrange(20, 50)
        self._center = choose.randrange(60, 120)
        shares = (y / HEIGHT for y in range(HEIGHT))
        self._gradient = [
            tuple(round(a + (b - a) * share) for a, b in zip(top, bottom, strict=True)) for share in shares
        ]

    def rows(self, moment: float) -> Iterator[tuple[tuple[int, ...], slice]]:
        """The colour of each row, and which of its pixels the disc covers; ``moment`` is in seconds."""
        center = round(WIDTH * (0.5 - 0.3 * math.cos(moment)))
        for y, colour in enumerate(self._gradient):
            half = math.isqrt(max(0, self._radius**2 - (y - self._center) ** 2))
            yield colour, slice(center - half, center + half)

    def png(self) -> bytes:
        """The scene at its beginning."""
        data = bytearray()
        for colour, covered in self.rows(0):
            row = bytearray(bytes(colour) * WIDTH)
            row[3 * covered.start : 3 * covered.stop] = bytes(self._disc) * (covered.stop - covered.start)
            data += b"\x00" + row
        return (
            b"\x89PNG\r\n\x1a\n"
            + _chunk(b"IHDR", struct.pack(">IIBBBBB", WIDTH, HEIGHT, 8, 2, 0, 0, 0))
            + _chunk(b"IDAT", zlib.compress(bytes(data)))
            + _chunk(b"IEND", b"")
        )

    def jpeg(self) -> bytes:
        """The same as a JPEG file; needs Pillow."""
        buffer = io.BytesIO()
        self._image(0).save(buffer, "JPEG", quality=90)
        return buffer.getvalue()

    def gif(self, seconds: float) -> bytes:
        """The scene, moving, as an animated GIF of two pictures a second; needs Pillow."""
        first, *others = (self._image(number / 2) for number in range(max(1, round(2 * seconds))))
        buffer = io.BytesIO()
        first.save(buffer, "GIF", save_all=True, append_images=others, duration=500, loop=0)
        return buffer.getvalue()

    def _image(self, moment: float) -> PIL.Image.Image:
        import PIL.Image

        data = bytearray()
        for colour, covered in self.rows(moment):
            row = bytearray(bytes(colour) * WIDTH)
            row[3 * covered.start : 3 * covered.stop] = bytes(self._disc) * (covered.stop - covered.start)
            data += row
        return PIL.Image.frombytes("RGB", (WIDTH, HEIGHT), bytes(data))

    def frame(self, moment: float) -> h264.Frame:
        """The scene as a frame of a film."""
        planes: tuple[list[bytes], list[bytes], list[bytes]] = ([], [], [])
        disc = _yuv(self._disc)
        for y, (colour, covered) in enumerate(self.rows(moment)):
            for plane, value, of_disc in zip(planes, _yuv(colour), disc, strict=True):
                step = 1 if plane is planes[0] else 2  # of colour, every second row and column
                if y % step == 0:
                    row = bytearray((value,)) * (WIDTH // step)
                    begin, end = covered.start // step, covered.stop // step
                    row[begin:end] = bytes((of_disc,)) * (end - begin)
                    plane.append(bytes(row))
        return h264.Frame(*planes)


def _yuv(colour: tuple[int, ...]) -> tuple[int, int, int]:
    """Brightness and two differences of colour (ITU-R BT.601, 16 to 240)."""
    red, green, blue = colour
    return (
        round(16 + (65.738 * red + 129.057 * green + 25.064 * blue) / 256),
        round(128 + (-37.945 * red - 74.494 * green + 112.439 * blue) / 256),
        round(128 + (112.439 * red - 94.154 * green - 18.285 * blue) / 256),
    )


def _chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def _random(seed: str) -> random.Random:
    # Not Random(seed): what that gives for a string may change between versions of Python.
    return random.Random(int.from_bytes(hashlib.sha256(seed.encode()).digest()[:8]))  # noqa: S311 - music, not keys
