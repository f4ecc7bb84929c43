"""A family of a user's own, as docs/operators.md shows one; the emulator knows the actions for images."""

from typing import Any, ClassVar

from airflow_provider_mps.api import TaskFamily
from airflow_provider_mps.api.request.shape import AnyRequest
from airflow_provider_mps.operators.mps import MpsTaskOperator
from airflow_provider_mps.sensors.mps import MpsTaskSensor


class Posters(TaskFamily):
    kind = "tests.doubles.own_family:POSTERS"
    title = "poster"
    describe = "DescribeAigcImageTask"
    outputs: ClassVar = {"poster": "ImageUrls"}


POSTERS = Posters()


class PosterOperator(MpsTaskOperator):
    """MpsTaskOperator with what its arguments say of it on the class, too, for the tests that ask a class."""

    family = POSTERS
    request = AnyRequest("CreateAigcImageTask")


class PosterSensor(MpsTaskSensor):
    """MpsTaskSensor, likewise."""

    family = POSTERS

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(family=POSTERS, **kwargs)
