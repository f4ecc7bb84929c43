"""Requests of each family that the live service was seen to accept (2026-08): for tests of something else."""

from typing import Any

MUSIC: dict[str, Any] = {"ModelName": "MiniMaxMusic", "ModelVersion": "2.6", "SceneType": "music", "Prompt": "rain"}
FILM: dict[str, Any] = {"ModelName": "Kling", "ModelVersion": "2.1", "Prompt": "rain"}
PICTURE: dict[str, Any] = {"ModelName": "Qwen", "Prompt": "rain"}
