"""What one poll costs the triggerer in CPU, beside a bare httpx client that sends the same request.

    PYTHONPATH=. python benchmarks/poll_cpu.py

Both back to back, and 20 a second as a poller does: a process that sleeps in between pays for cold caches and for
waking up, whatever it does then. CPU milliseconds of this process for each poll; the emulator is another one.
"""

import asyncio
import json
import time
from collections.abc import Awaitable, Callable

import httpx
from service import Service

from airflow_provider_mps.api.wire.client import MpsClient
from airflow_provider_mps.api.wire.credentials import Keys, sign
from airflow_provider_mps.api.wire.settings import ClientSettings, CredentialSettings

DESCRIBE = "DescribeAigcAudioTask"


async def cpu_ms(poll: Callable[[], Awaitable[object]], number: int, gap: float) -> float:
    """The CPU of so many polls, and of the sleep after each."""
    for _ in range(20):
        await poll()
    began = time.process_time()
    for _ in range(number):
        await poll()
        await asyncio.sleep(gap)
    return round(1000 * (time.process_time() - began) / number, 2)


async def main() -> None:
    """Print one JSON line."""
    with Service("--requests-per-second", "100000") as service:
        connection = service.connection
        keys = CredentialSettings(secret_id=connection["login"], secret_key=connection["password"])
        settings = ClientSettings(connection["host"], keys, port=connection["port"], scheme="http")
        [task_id] = service.make_tasks([3600.0])
        headers = {"X-TC-Action": DESCRIBE, "X-TC-Version": "2019-06-12", "X-TC-Language": "en-US"}
        async with MpsClient(settings) as client, httpx.AsyncClient(trust_env=False) as bare:

            async def ours() -> object:
                return await client.attempt(DESCRIBE, {"TaskId": task_id})

            async def by_httpx() -> object:
                request = bare.build_request("POST", settings.url, json={"TaskId": task_id}, headers=headers)
                sign(request, Keys(keys.secret_id, keys.secret_key, None))
                return (await bare.send(request)).json()["Response"]

            row: dict[str, str | float] = {"row": "poll_cpu"}
            for name, poll in (("ours", ours), ("bare_httpx", by_httpx)):
                row[f"{name}_back_to_back_ms"] = await cpu_ms(poll, 1000, 0.0)
                row[f"{name}_20_a_second_ms"] = await cpu_ms(poll, 200, 0.05)
            print(json.dumps(row))


asyncio.run(main())
