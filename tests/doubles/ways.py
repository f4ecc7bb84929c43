"""All ways to wait for a task, for every operator and sensor that the package has: new ones join by being there."""

import inspect
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from airflow_provider_mps.emulator import MpsEmulator
from airflow_provider_mps.operators import mps as operators
from airflow_provider_mps.operators.create import CreateTaskOperator
from airflow_provider_mps.sensors import mps as sensors
from tests.doubles.own_family import POSTERS, PosterOperator, PosterSensor
from tests.doubles.seen import FILM_ARGUMENTS, MUSIC_ARGUMENTS, PICTURE, PICTURE_ARGUMENTS
from tests.doubles.task_instances import TaskInstance

OPERATORS = [
    found
    for found in vars(operators).values()
    if isinstance(found, type) and issubclass(found, CreateTaskOperator) and hasattr(found, "request")
]
SENSORS = [
    found
    for found in vars(sensors).values()
    if isinstance(found, type) and issubclass(found, sensors.TaskSensor) and hasattr(found, "family")
]


def own_arguments(cls: type) -> set[str]:
    """The names of the arguments that a class of the package has beside those of Airflow."""
    inits = [
        vars(base)["__init__"]
        for base in cls.__mro__
        if base.__module__.startswith("airflow_provider_mps.") and "__init__" in vars(base)
    ]
    return {name for init in inits for name in inspect.signature(init).parameters} - {"self", "kwargs"}


_BUCKET = {"Bucket": "films-1250000000", "Region": "ap-singapore"}
ARGUMENTS: dict[str, dict[str, Any]] = {
    "CreateAigcAudioTaskOperator": MUSIC_ARGUMENTS,
    "CreateAigcVideoTaskOperator": FILM_ARGUMENTS,
    "CreateAigcImageTaskOperator": PICTURE_ARGUMENTS,
    "ProcessMediaOperator": {
        "input_url": "https://example.com/film.mp4",
        "output_cos": _BUCKET,
        "media_process_task": {"TranscodeTaskSet": [{"Definition": 100010}]},
    },
    "EditMediaOperator": {
        "input_url": "https://example.com/film.mp4",
        "output_cos": _BUCKET,
        "output_object_path": "/films/cut.mp4",
        "output_config": {"Container": "mp4"},
    },
    "ProcessImageOperator": {
        "input_url": "https://example.com/fox.png",
        "output_cos": _BUCKET,
        "output_path": "/pictures/fox.png",
        "image_task": {"EnhanceConfig": {"SuperResolution": {"Switch": "ON"}}},
    },
    "TextToSpeechAsyncOperator": {"text": "It rains.", "voice_id": "v1_a+b/c="},
    "DesignVoiceAsyncOperator": {"prompt": "A low voice", "text": "It rains."},
    "PosterOperator": {"family": POSTERS, "action": "CreateAigcImageTask", "mps_params": PICTURE},
}
"""What an operator is to ask for, where a prompt is not enough."""

MADE_AS = {POSTERS.kind: "aigc_image"}
"""What the emulator makes for a family that is not its own."""

MAY_HAVE_NO_FILE = {"ProcessMediaOperator", "MpsTaskSensor", "ProcessImageOperator", "ImageTaskSensor"}
"""A review of a film or a picture, for example, makes no file."""


class Way(StrEnum):
    """How a task is waited for."""

    OPERATOR_SYNC = "operator-sync"
    OPERATOR_DEFERRABLE = "operator-deferrable"
    SENSOR_POKE = "sensor-poke"
    SENSOR_RESCHEDULE = "sensor-reschedule"
    SENSOR_DEFERRABLE = "sensor-deferrable"

    @property
    def creates(self) -> bool:
        return self.startswith("operator")

    @property
    def deferrable(self) -> bool:
        return self.endswith("deferrable")


@dataclass(frozen=True)
class Waiting:
    """A class of the package, waiting in one of its ways."""

    cls: type[Any]
    way: Way

    def __str__(self) -> str:
        return f"{self.cls.__name__}-{self.way}"

    @property
    def create(self) -> str:
        """The action that makes such a task; of operators only."""
        return str(self.cls.request.action)

    @property
    def describe(self) -> str:
        """The action that tells such a task's state."""
        return str(self.cls.family.describe)

    @property
    def repeatable(self) -> bool:
        """Whether the API itself keeps a repeated create from being a second task, by a SessionId."""
        return self.way.creates and bool(self.cls.request.repeatable)

    @property
    def may_have_no_file(self) -> bool:
        return self.cls.__name__ in MAY_HAVE_NO_FILE

    def task_instance(
        self, emulator: MpsEmulator, conn_id: str, *, timeout: float = 60, retries: int = 1, **arguments: Any
    ) -> TaskInstance:
        """A task instance that waits so, for a task of its own or, a sensor, for a new one of the emulator's.

        :param timeout: seconds: an operator's ``wait_timeout`` and ``room_timeout``, a sensor's ``timeout``.
        :param arguments: further ones of the class.
        """
        told = {"task_id": "wait", "mps_conn_id": conn_id, "deferrable": self.way.deferrable, "max_poll_failures": 2}
        if self.way.creates:
            told |= ARGUMENTS.get(self.cls.__name__, {"prompt": "rain"})
            told |= {"wait_for_completion": True, "poll_interval": 0.05}
            told |= {"wait_timeout": timeout, "room_timeout": timeout}
        else:
            task_id = emulator.add_task(MADE_AS.get(self.cls.family.kind, self.cls.family.kind))
            told |= {"mps_task_id": task_id, "poke_interval": 0.1, "timeout": timeout}
            told |= {"mode": "reschedule" if self.way is Way.SENSOR_RESCHEDULE else "poke"}
        return TaskInstance(lambda: self.cls(**told | arguments), retries)


_CREATES: list[type[Any]] = [*OPERATORS, PosterOperator]
_SENSORS: list[type[Any]] = [*SENSORS, PosterSensor]
WAITINGS = [Waiting(cls, way) for way in Way for cls in (_CREATES if way.creates else _SENSORS)]


def _in_turn(classes: list[type[Any]], creates: bool) -> list[Waiting]:
    ways = [way for way in Way if way.creates is creates]
    return [Waiting(cls, ways[turn % len(ways)]) for turn, cls in enumerate(classes)]


CREATES_IN_TURN, SENSORS_IN_TURN = _in_turn(_CREATES, True), _in_turn(_SENSORS, False)
WAITINGS_IN_TURN = [*CREATES_IN_TURN, *SENSORS_IN_TURN]
"""Each class in one of its ways, and each way by several classes: what proves that every family is wired to what all of
them share, without playing that once for each of them in each way."""
