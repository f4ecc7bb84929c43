"""Families that differ from others by what stands where in the answers: a description each."""

from __future__ import annotations

from typing import Any

from airflow_provider_mps.emulator.media.synth import MediaFile
from airflow_provider_mps.emulator.service.families.aigc import made_file
from airflow_provider_mps.emulator.service.tasks import EmulatedTask, Family, FindInput, Phase, UrlOf


class DescribedFamily(Family):
    """A task that makes one file.

    :cvar message_field: where the answer says why it failed.
    :cvar output: where it names the file.
    :cvar suffix: the file's format; ``seconds``: its length.
    """

    needs_room = False
    message_field: str = "Message"
    output: str
    suffix: str = "mp4"
    seconds: float = 2.0

    def output_files(self, task: EmulatedTask, find_input: FindInput) -> list[MediaFile]:
        return [made_file(task, 0, self.suffix, self.length(task))]

    def length(self, task: EmulatedTask) -> float:
        """Seconds of the file."""
        return self.seconds

    def answer(self, task: EmulatedTask, phase: Phase, url_of: UrlOf, *, null_results: bool) -> dict[str, Any]:
        ended = phase is Phase.ENDED
        good = ended and task.failure is None and not null_results
        answer: dict[str, Any] = {self.state_field: task.word(phase)}
        if ended and task.failure is not None:
            answer |= self.failed(task.failure)
        return answer | (self.results(task, [url_of(file) for file in task.files]) if good else {self.output: None})

    def failed(self, message: str) -> dict[str, Any]:
        """The fields that say why a task failed."""
        return {self.message_field: message}

    def results(self, task: EmulatedTask, urls: list[str]) -> dict[str, Any]:
        """The fields that name what was made."""
        return {self.output: urls[0] if urls else ""}
