"""Run the emulator: ``python -m airflow_provider_mps.emulator --port 0``.

It prints one line of JSON when it is ready: ``{"url", "port", "connection"}``, and ends on SIGINT or SIGTERM.
"""

from __future__ import annotations

import argparse
import json
import signal
import sys
import threading

from airflow_provider_mps.emulator import MpsEmulator


def main() -> None:
    """Read the command line and serve."""
    parser = argparse.ArgumentParser(prog="python -m airflow_provider_mps.emulator", description=__doc__)
    parser.add_argument("--host", default="127.0.0.1", help="a loopback address")
    parser.add_argument("--port", type=int, default=0, help="0 takes a free one")
    parser.add_argument("--secret-id", default="emulator-id")
    parser.add_argument("--secret-key", default="emulator-key")
    parser.add_argument("--wait-seconds", type=float, default=0.5, help="how long a new task is in WAIT")
    parser.add_argument("--run-seconds", type=float, default=1.0, help="how long it is then in RUN")
    parser.add_argument(
        "--rules",
        choices=("service", "reference"),
        default="service",
        help="refuse what the service was seen to refuse, or only what the API reference states",
    )
    parser.add_argument("--site", choices=("intl", "cn"), default="intl", help="whose host this is")
    parser.add_argument(
        "--requests-per-second",
        type=float,
        default=argparse.SUPPRESS,
        help="one limit for every action; without it, each has the documented one",
    )
    parser.add_argument("--running-tasks", type=int, help="how many AIGC tasks of one model run at once")
    parser.add_argument("--room-late", type=float, default=0.0, help="for how long an ended task counts among these")
    parser.add_argument("--results-kept-seconds", type=float, default=12 * 3600.0, help="of results in MPS's own store")
    parser.add_argument("--tasks-kept-seconds", type=float, default=7 * 86400.0, help="of tasks that have ended")
    arguments = parser.parse_args()
    stopped = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: stopped.set())
    try:
        emulator = MpsEmulator(**vars(arguments))
        emulator.start()
    except (OSError, OverflowError, ValueError) as error:
        sys.exit(f"The emulator cannot start: {error}")
    ready = {"url": emulator.url, "port": emulator.port, "connection": emulator.connection}
    sys.stdout.write(json.dumps(ready) + "\n")
    sys.stdout.flush()
    stopped.wait()
    emulator.stop()


if __name__ == "__main__":
    main()
