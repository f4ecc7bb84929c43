"""Slips in a user's DAG, each of which a type checker reports: `make lint` fails where it misses one of them.

mypy is set to report a ``type: ignore`` that ignores nothing.
"""

from airflow_provider_mps.hooks.mps import MpsHook
from airflow_provider_mps.operators.mps import (
    CreateAigcAudioTaskOperator,
    CreateAigcImageTaskOperator,
    CreateAigcVideoTaskOperator,
    EditMediaOperator,
    MpsApiOperator,
    ProcessMediaOperator,
)
from airflow_provider_mps.sensors.mps import AigcAudioTaskSensor
from airflow_provider_mps.transfers.mps_to_object_storage import MpsToObjectStorageOperator

CreateAigcAudioTaskOperator(task_id="a", promt="rain")  # type: ignore[call-arg]
CreateAigcAudioTaskOperator(task_id="a", model_name=5)  # type: ignore[arg-type]
CreateAigcAudioTaskOperator(task_id="a", prompt="rain", wait_timeout="10m")  # type: ignore[arg-type]
CreateAigcAudioTaskOperator(task_id="a", prompt="rain", wait_for_completed=True)  # type: ignore[call-arg]
CreateAigcAudioTaskOperator(task_id="a", prompt="rain", retrys=3)  # type: ignore[call-arg]
CreateAigcAudioTaskOperator(prompt="rain")  # type: ignore[call-arg]
CreateAigcVideoTaskOperator(task_id="a", prompt="rain", durations=5)  # type: ignore[call-arg]
CreateAigcVideoTaskOperator(task_id="a", prompt="rain", duration=5.5)  # type: ignore[arg-type]
CreateAigcImageTaskOperator(task_id="a", prompt="rain", store_cos_param=["bucket"])  # type: ignore[arg-type]
ProcessMediaOperator(task_id="a", input_url="https://example.com", cos_regoin="x")  # type: ignore[call-arg]
EditMediaOperator(task_id="a", file_infos=5)  # type: ignore[arg-type]
MpsApiOperator(task_id="a", action="DescribeTasks", parameters={})  # type: ignore[call-arg]
AigcAudioTaskSensor(task_id="a", mps_task_id=5)  # type: ignore[arg-type]
AigcAudioTaskSensor(task_id="a", mps_task_id="x", mode="sleep")  # type: ignore[arg-type]
AigcAudioTaskSensor(task_id="a", mps_task_id="x", poll_interval=5)  # type: ignore[call-arg]
MpsToObjectStorageOperator(task_id="a", urls=[], destination="s3://bucket", retrys=3)  # type: ignore[call-arg]
MpsToObjectStorageOperator(task_id="a", urls=5, destination="s3://bucket")  # type: ignore[arg-type]
MpsHook().create_aigc_audio_task(promt="rain")  # type: ignore[call-arg]
MpsHook().create_aigc_audio_task(prompt=5)  # type: ignore[arg-type]
