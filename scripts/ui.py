"""A whole Airflow with its web page, the emulator and DAGs, to click around in until Ctrl-C."""

import argparse
import json
import signal
import threading
from contextlib import suppress
from pathlib import Path

import httpx

from airflow_provider_mps.emulator import MpsEmulator
from scripts.standalone import EXAMPLES, AirflowStandalone

HOME = Path(__file__).parents[1] / ".airflow" / "ui"
CONNECTION = "tencent_mps_default"


def main() -> None:
    parser = argparse.ArgumentParser(prog="make ui", description=__doc__)
    parser.add_argument("--dags", type=Path, default=EXAMPLES, help="the folder of the DAGs (make ui DAGS=...)")
    parser.add_argument(
        "--running-tasks", type=int, help="how many tasks of a model run at once at MPS (make ui RUNNING_TASKS=...)"
    )
    arguments = parser.parse_args()
    if not arguments.dags.is_dir():
        parser.error(f"{arguments.dags} is not a folder")
    try:
        emulator = MpsEmulator(wait_seconds=5, run_seconds=15, running_tasks=arguments.running_tasks)
    except ValueError as error:
        parser.error(str(error))
    env = {
        "AIRFLOW__CORE__TEST_CONNECTION": "Enabled",
        "SOUNDTRACKS_FOLDER": (HOME / "soundtracks").as_uri(),
    }
    print(f"Starting Airflow; its log is {HOME / 'standalone.log'}")
    with emulator, AirflowStandalone(HOME, arguments.dags.resolve(), env) as airflow:
        connect(airflow, emulator)
        print(
            f"\nAirflow:   {airflow.url} (no password)"
            f"\nDAGs:      {arguments.dags.resolve()}"
            f"\nEmulator:  {emulator.url}, behind the connection {CONNECTION} (Admin, Connections)"
            f"\nFiles:     {HOME / 'soundtracks'}"
            "\nCtrl-C ends all of it.",
            flush=True,
        )
        threading.Event().wait()


def connect(airflow: AirflowStandalone, emulator: MpsEmulator) -> None:
    """Store the connection where the web page shows it: the emulator's port is a new one each time."""
    try:
        airflow.api("DELETE", f"/connections/{CONNECTION}")
    except httpx.HTTPStatusError as error:
        if error.response.status_code != httpx.codes.NOT_FOUND:
            raise
    extra = json.dumps(emulator.connection["extra"])
    airflow.api("POST", "/connections", {**emulator.connection, "connection_id": CONNECTION, "extra": extra})


def end(*_: object) -> None:
    """Take the first signal; more of them must not cut the clean-up short."""
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_IGN)
    raise KeyboardInterrupt


if __name__ == "__main__":
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, end)
    with suppress(KeyboardInterrupt):
        main()
