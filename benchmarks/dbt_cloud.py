"""Triggers of apache-airflow-providers-dbt-cloud against a fake of its API, for ``benchmarks/polling.py``.

    python dbt_cloud.py NUMBER MEDIAN_SECONDS

Runs in an environment that has that provider, aiohttp and trustme. The fake answers 429 past 20 status calls in any
second; nothing of the provider is changed.
"""

from __future__ import annotations

import asyncio
import json
import logging
import math
import multiprocessing
import os
import random
import ssl
import statistics
import sys
import tempfile
import time
from collections import Counter, deque
from typing import Any

LIMIT = 20
INTERVAL = 5.0
RUNNING, SUCCESS = 3, 10  # dbt Cloud's words for a run's state


def serve(authority: Any, seconds: list[float], to: Any) -> None:
    """The fake, until its counts are read."""
    from aiohttp import web

    accepted: deque[float] = deque()
    answers: Counter[str] = Counter()
    began = time.monotonic()

    async def status(request: web.Request) -> web.Response:
        now = time.monotonic()
        while accepted and accepted[0] <= now - 1.0:
            accepted.popleft()
        if len(accepted) >= LIMIT:
            answers["throttled"] += 1
            return web.Response(status=429)
        accepted.append(now)
        answers["ok"] += 1
        over = now - began >= seconds[int(request.match_info["run"])]
        return web.json_response({"data": {"status": SUCCESS if over else RUNNING}})

    async def run() -> None:
        app = web.Application()
        app.router.add_get("/api/v2/accounts/1/runs/{run}/", status)
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        authority.issue_cert("localhost").configure_cert(context)
        runner = web.AppRunner(app, access_log=None)
        await runner.setup()
        await web.TCPSite(runner, "localhost", 0, ssl_context=context).start()
        to.send((runner.addresses[0][1], began))
        await asyncio.to_thread(to.recv)
        await runner.cleanup()

    asyncio.run(run())
    to.send(answers)


async def wait(trigger_class: Any, runs: int) -> list[tuple[str, float]]:
    """Run a trigger for each run; the status of its event, and when it came."""
    import greenback

    async def one(run: int) -> tuple[str, float]:
        await greenback.ensure_portal()
        trigger = trigger_class(
            conn_id="dbt_cloud_default",
            run_id=run,
            end_time=time.time() + 3600.0,
            poll_interval=INTERVAL,
            account_id=1,
        )
        async for event in trigger.run():
            return event.payload["status"], time.monotonic()
        raise AssertionError("a trigger fires an event")

    return await asyncio.gather(*(one(run) for run in range(runs)))


def main() -> None:
    """Print the row."""
    import trustme

    number, median = int(sys.argv[1]), float(sys.argv[2])
    draw = random.Random(number)
    seconds = [median * math.exp(draw.gauss(0.0, 0.4)) for _ in range(number)]
    authority = trustme.CA()
    stdout, sys.stdout = sys.stdout, open(os.devnull, "w")  # noqa: SIM115 - Airflow's log
    with tempfile.TemporaryDirectory() as home:
        os.environ["AIRFLOW_HOME"] = home
        os.environ["SSL_CERT_FILE"] = f"{home}/ca.pem"
        authority.cert_pem.write_to_path(os.environ["SSL_CERT_FILE"])
        from airflow.providers.dbt.cloud.triggers import dbt  # takes seconds, and the runs' clock starts with the fake

        logging.disable(logging.CRITICAL)
        fork = multiprocessing.get_context("fork")
        ours, theirs = fork.Pipe()
        fake = fork.Process(target=serve, args=(authority, seconds, theirs))
        fake.start()
        port, began = ours.recv()
        os.environ["AIRFLOW_CONN_DBT_CLOUD_DEFAULT"] = json.dumps(
            {"conn_type": "dbt_cloud", "login": "1", "password": "made-up", "host": f"localhost:{port}"}
        )
        ends = asyncio.run(wait(dbt.DbtCloudRunJobTrigger, number))
    sys.stdout = stdout
    ours.send("tell")
    answers = ours.recv()
    fake.join()
    delays = sorted(at - began - late for late, (status, at) in zip(seconds, ends, strict=True) if status == "success")
    row = {
        "failed": sum(status != "success" for status, _ in ends),
        "asked": answers.total(),
        "throttled_share": round(answers["throttled"] / answers.total(), 4),
        "delay_mean_s": round(statistics.fmean(delays), 2) if delays else None,
        "delay_p99_s": round(delays[int(0.99 * len(delays))], 2) if delays else None,
    }
    print(json.dumps(row))


if __name__ == "__main__":
    main()
