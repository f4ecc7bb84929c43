"""Only on Airflow 2: there a sensor that reschedules asks the database when its first poke was."""

import json
import re
import time
from datetime import timedelta
from typing import Any

import pendulum
import pytest

from airflow_provider_mps.compat import AirflowException
from airflow_provider_mps.emulator import MpsEmulator
from airflow_provider_mps.sensors.mps import AigcAudioTaskSensor
from tests.compat.versions import AIRFLOW
from tests.doubles.airflows import DAG

pytestmark = [
    pytest.mark.compat,
    pytest.mark.skipif(AIRFLOW >= (3,), reason="Airflow 3 tells a sensor itself: tests/sensors"),
]


def test_the_wait_began_at_the_first_poke(monkeypatch: pytest.MonkeyPatch) -> None:
    from airflow.utils.session import create_session
    from airflow.utils.state import DagRunState
    from airflow.utils.types import DagRunType

    with MpsEmulator(run_seconds=600) as emulator, DAG(dag_id="clock", schedule=None) as dag:
        monkeypatch.setenv("AIRFLOW_CONN_TENCENT_MPS_DEFAULT", json.dumps(emulator.connection))
        sensor = AigcAudioTaskSensor(
            task_id="wait",
            mps_task_id=emulator.add_task("aigc_audio"),
            mode="reschedule",
            poke_interval=timedelta(seconds=1),
            timeout=3,
            start_date=pendulum.datetime(2026, 1, 1),
        )
        made: Any = dag
        made.sync_to_db()
        now = pendulum.now("UTC")
        run = made.create_dagrun(
            run_id="run",
            run_type=DagRunType.MANUAL,
            state=DagRunState.RUNNING,
            execution_date=now,
            data_interval=(now, now),
            start_date=now,
        )
        instance = run.get_task_instance("wait")
        instance.refresh_from_task(sensor)
        instance.try_number = 1  # as the scheduler sets it
        with create_session() as session:
            session.merge(instance)
        ended = ""
        for _ in range(10):
            try:
                instance.run(ignore_ti_state=True)
            except AirflowException as error:
                ended = str(error)
                break
            assert instance.state == "up_for_reschedule"
            time.sleep(1)
    found = re.match(r"timeout: Not ended after (\d+) s of waiting", ended)
    assert found
    assert int(found[1]) >= 3
