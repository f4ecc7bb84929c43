"""The emulator's own page: what it does not do, and the requests so far."""

from __future__ import annotations

import json
from collections.abc import Iterable
from html import escape

from airflow_provider_mps.emulator.faults import FaultKind
from airflow_provider_mps.emulator.tasks import EmulatedTask

NOT_DONE = (
    "No model runs here: a prompt only seeds a made-up tune, picture or film. Nothing can be learned of quality.",
    "Nothing is billed, and no price, quota or permission (CAM) of an account is known.",
    "Lengths and sizes are small, whatever was asked: tunes of 2 to 4 s, films of 320 x 180 pixels. "
    "`Resolution` in an answer is what the service would say.",
    "No file is fetched: the URLs of references and inputs are not opened, except those of the emulator's own files.",
    "Of ProcessMedia, the AI tasks end without results, and animated pictures and streams are named but not made. "
    "Schedules are refused.",
    "Nothing is sent: TaskNotifyConfig is taken, and nobody is notified.",
    "What no source says is a guess. docs/service.md marks each rule: documented, seen on the service, or guessed.",
    "It never met the live service: that a DAG works here does not prove that it works there.",
)
"""What the emulator does not do; docs/emulator.md opens with it, too."""


def html(rules: str, tasks: Iterable[EmulatedTask]) -> str:
    """The page."""
    rows = "".join(
        f"<tr><td>{escape(task.task_id)}<td>{escape(task.action)}<td>{task.state}"
        f"<td>{escape(str(task.params.get('Prompt', ''))[:200])}"
        for task in tasks
    )
    return (
        "<!doctype html><meta charset=utf-8><title>MPS emulator</title>"
        "<style>body{font:16px sans-serif;max-width:60em;margin:2em auto}td,th{text-align:left;padding:.2em .6em}"
        "</style><h1>MPS emulator</h1><h2>What it does not do</h2><ul>"
        + "".join(f"<li>{escape(line)}" for line in NOT_DONE)
        + f"</ul><h2>Tasks</h2><p>Rules: {escape(rules)}.</p><table><tr><th>TaskId<th>Action<th>State<th>Prompt{rows}"
        "</table><h2>Control</h2><p>GET /emulator/state, POST and DELETE /emulator/faults, POST /emulator/tasks, "
        f"POST /emulator/reset. Kinds of faults: {escape(', '.join(FaultKind))}.</p>"
        f"<p>A fault, for example: <code>{escape(json.dumps({'kind': 'slow', 'seconds': 3, 'times': 2}))}</code></p>"
    )
