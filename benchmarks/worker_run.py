"""What one run of a worker costs, for each kind of run that a create takes: CPU, and questions to the API server.

    PYTHONPATH=. python benchmarks/worker_run.py [--beside CHECKOUT] [--rounds N]

Each run is one as LocalExecutor starts it, by Airflow's own supervisor in a process that has imported what a scheduler
has; Airflow's API server is played in that process, and MPS is the emulator of this checkout. ``--beside`` takes
the folder of another checkout of this package: it runs in turn with this one, so that both meet the same machine. The
default of 15 rounds takes two minutes for each. Needs Airflow 3.3.

- refused: a create for which MPS has no room, and which waits for it in the triggerer.
- sent: a create that comes back from there, is accepted, and waits for its task in the triggerer.
- finished: a create whose task is done, from the triggerer's event to the XComs.
- an empty task: a mapped one that only returns a text. What is above that is this package's.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterable
from contextlib import ExitStack
from pathlib import Path

from scripts.worker_run import KINDS, ROOT, Checkout


def main() -> None:
    """Measure, and print a table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--beside", type=Path, help="the folder of another checkout")
    parser.add_argument("--rounds", type=int, default=15)
    arguments = parser.parse_args()
    with ExitStack() as stack:
        folders = {"this": ROOT} | ({"beside": arguments.beside.resolve()} if arguments.beside else {})
        checkouts = {name: stack.enter_context(Checkout(folder)) for name, folder in folders.items()}
        for checkout in checkouts.values():  # the first round writes byte code, and is not counted
            checkout.one_round()
            checkout.runs = {kind: [] for kind in KINDS}
        for _ in range(arguments.rounds):
            for checkout in checkouts.values():
                checkout.one_round()
    print(f"| run | {' | '.join(f'CPU ms, {name} | asked' for name in checkouts)} | CPU of this / beside |")
    print(f"|---|{'---|---|' * len(checkouts)}---|")
    for kind in KINDS:
        figures = [f"{each.cpu(kind):.0f} | {each.asked(kind).total()}" for each in checkouts.values()]
        print(f"| {kind} | {' | '.join(figures)} | {_ratio(checkouts, [kind])} |")
    print(f"\nThe three runs of a create together: {_ratio(checkouts, KINDS[:3])}")
    for name, checkout in checkouts.items():
        asked = {kind: checkout.asked(kind) for kind in KINDS}
        cpu = {kind: round(checkout.cpu(kind), 1) for kind in KINDS}
        print(json.dumps({"benchmark": "worker_run", "checkout": name, "cpu_ms": cpu, "asked": asked}))


def _ratio(checkouts: dict[str, Checkout], kinds: Iterable[str]) -> str:
    sums = [sum(map(checkout.cpu, kinds)) for checkout in checkouts.values()]
    return f"{sums[0] / sums[1]:.2f}" if len(sums) > 1 else "-"


if __name__ == "__main__":
    main()
