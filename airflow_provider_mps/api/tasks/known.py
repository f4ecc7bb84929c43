"""The families that this package knows, by their kind; and those of others, by where they can be imported."""

from __future__ import annotations

import re
from importlib import import_module
from typing import Any

from airflow_provider_mps.api.errors import InvalidArgumentError
from airflow_provider_mps.api.redaction import shown
from airflow_provider_mps.api.tasks.aigc_audio import AIGC_AUDIO
from airflow_provider_mps.api.tasks.aigc_image import AIGC_IMAGE
from airflow_provider_mps.api.tasks.aigc_video import AIGC_VIDEO
from airflow_provider_mps.api.tasks.experimental import EXPERIMENTAL
from airflow_provider_mps.api.tasks.family import TaskFamily
from airflow_provider_mps.api.tasks.media import MEDIA, PICTURES
from airflow_provider_mps.api.tasks.voices import DESIGN_VOICE, TEXT_TO_SPEECH

FAMILIES: dict[str, TaskFamily] = {
    family.kind: family
    for family in (
        *(AIGC_AUDIO, AIGC_VIDEO, AIGC_IMAGE, MEDIA, PICTURES, TEXT_TO_SPEECH, DESIGN_VOICE),
        *EXPERIMENTAL,
    )
}


def families_of(argument: str, task_id: str) -> list[TaskFamily]:
    """The families that a TaskId may be of: ProcessMedia and ProcessImage mark theirs in the same way.

    :raises InvalidArgumentError: it names none.
    """
    if found := [family for family in FAMILIES.values() if any(part in task_id for part in family.in_task_ids)]:
        return found
    raise InvalidArgumentError(argument, f"{task_id} does not say of which kind its task is")


def family_named(argument: str, name: Any) -> TaskFamily:
    """A family by its ``kind``: a word of this package's, or ``module:NAME`` of a TaskFamily that can be imported.

    :raises InvalidArgumentError: there is none of that name, or its ``kind`` is another one.
    """
    if isinstance(name, TaskFamily):
        name = name.kind
    if isinstance(name, str) and name in FAMILIES:
        return FAMILIES[name]
    if not isinstance(name, str) or not re.fullmatch(r"[A-Za-z_][\w.]*:[A-Za-z_]\w*", name, re.ASCII):
        raise InvalidArgumentError(
            argument, f"must be one of {', '.join(FAMILIES)}, or module:NAME of a TaskFamily, not {shown(name)}"
        )
    module, _, attribute = name.partition(":")
    try:
        family = getattr(import_module(module), attribute)
    except Exception as error:
        raise InvalidArgumentError(
            argument,
            f"{name} cannot be imported ({type(error).__name__}), and whatever waits for its tasks has to import it",
        ) from error
    if not isinstance(family, TaskFamily) or family.kind != name:
        raise InvalidArgumentError(argument, f"{name} is no TaskFamily whose kind is {name!r}")
    return family


def check_family(argument: str, task_id: str, family: TaskFamily) -> None:
    """Make sure that a TaskId is not of another family: asked by the wrong action, MPS does not know the task.

    :raises InvalidArgumentError: it is.
    """
    if any(part in task_id for part in family.in_task_ids):
        return
    owners = [other for other in FAMILIES.values() if any(part in task_id for part in other.in_task_ids)]
    if owners and all(other.describe != family.describe for other in owners):
        raise InvalidArgumentError(
            argument, f"{task_id} is of the kind {owners[0].title}, and this waits for tasks of the kind {family.title}"
        )
