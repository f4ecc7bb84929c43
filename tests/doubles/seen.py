"""Requests of each family that the live service was seen to accept (2026-08): for tests of something else."""

import re
from typing import Any

MUSIC: dict[str, Any] = {"ModelName": "MiniMaxMusic", "ModelVersion": "2.6", "SceneType": "music", "Prompt": "rain"}
FILM: dict[str, Any] = {"ModelName": "Kling", "ModelVersion": "2.1", "Prompt": "rain"}
PICTURE: dict[str, Any] = {"ModelName": "Qwen", "Prompt": "rain"}

MUSIC_ARGUMENTS, FILM_ARGUMENTS, PICTURE_ARGUMENTS = (
    {re.sub(r"\B(?=[A-Z])", "_", name).lower(): value for name, value in request.items()}
    for request in (MUSIC, FILM, PICTURE)
)
"""The same as the arguments of an operator."""
