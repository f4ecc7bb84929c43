"""Run an example DAG through Airflow against the emulator, and name the files that it left."""

import json
import os
import sys
import wave
from datetime import datetime
from pathlib import Path

ROOT = Path(__file__).parents[1]
EXAMPLES = ROOT / "dags_examples"
HOME = ROOT / ".airflow" / "demo"
WAIT_FOR_A_PERSON = {"approve_soundtrack", "choose_a_take", "make_until_it_pleases"}
"""The examples that dag.test() cannot run to their end: nobody can answer them."""


def main(dag_id: str) -> None:
    examples = sorted(path.stem for path in EXAMPLES.glob("*.py"))
    if dag_id not in examples:
        sys.exit(f"There is no example {dag_id}. Choose one: make demo DAG={'|'.join(examples)}")
    if dag_id in WAIT_FOR_A_PERSON:
        sys.exit(f"{dag_id} waits for a person, which takes Airflow's web page: make ui")
    files_folder = HOME / "soundtracks" / datetime.now().strftime("%Y-%m-%d_%H.%M.%S")
    # Airflow reads these when it is first imported.
    os.environ["AIRFLOW_HOME"] = str(HOME)
    os.environ["AIRFLOW__CORE__DAGS_FOLDER"] = str(EXAMPLES)
    os.environ["AIRFLOW__CORE__LOAD_EXAMPLES"] = "False"
    os.environ["AIRFLOW__LOGGING__LOGGING_LEVEL"] = "WARNING"
    os.environ["AIRFLOW__LOGGING__NAMESPACE_LEVELS"] = (
        "airflow.task=INFO airflow_provider_mps=INFO airflow.models.crypto=ERROR py.warnings=ERROR"
    )
    os.environ["SOUNDTRACKS_FOLDER"] = files_folder.as_uri()

    from airflow_provider_mps.emulator import MpsEmulator

    with MpsEmulator(wait_seconds=0.5, run_seconds=4) as emulator:
        os.environ["AIRFLOW_CONN_TENCENT_MPS_DEFAULT"] = json.dumps(emulator.connection)
        state = run(dag_id)
        mps_task_ids = [task.task_id for task in emulator.tasks]

    files = sorted(path for path in files_folder.rglob("*") if path.is_file())
    if state != "success" or not files:
        sys.exit(f"The run of {dag_id} ended as {state} and left {len(files)} files; its log is above.")
    print(f"\n{dag_id} ran through Airflow. MPS tasks: {', '.join(mps_task_ids)}")
    for path in files:
        print(f"{path} ({describe(path)})")
    print(
        "\nThe same DAG against the real service (what it makes is billed):\n"
        "  export AIRFLOW_CONN_TENCENT_MPS_DEFAULT="
        """'{"conn_type": "tencent_mps", "login": "YOUR_SECRET_ID", "password": "YOUR_SECRET_KEY"}'\n"""
        f"  AIRFLOW_HOME={HOME} AIRFLOW__CORE__DAGS_FOLDER={EXAMPLES} "
        f"{Path(sys.executable).parent / 'airflow'} dags test {dag_id}"
    )


def run(dag_id: str) -> str:
    """Run the DAG once, its tasks and triggers in this process; return the state that the run ended in."""
    from airflow.dag_processing.dagbag import DagBag
    from airflow.utils.db import initdb

    initdb()
    dags = DagBag()
    if dags.import_errors:
        sys.exit(f"The examples do not load: {dags.import_errors}")
    return str(dags.dags[dag_id].test().state)


def describe(path: Path) -> str:
    """Open a file and say what is in it; exit when it is not what its name says."""
    if path.suffix == ".wav":
        with wave.open(str(path)) as sound:
            return f"WAV, {sound.getnframes() / sound.getframerate():.1f} s, {sound.getframerate()} Hz"
    content = path.read_bytes()
    # An MP4 is a row of boxes, each led by its length and name: first the type, and one with the tracks.
    if path.suffix == ".mp4" and not (content[4:8] == b"ftyp" and b"moov" in content):
        sys.exit(f"{path} is not an MP4.")
    return f"{path.suffix[1:].upper()}, {len(content):,} bytes"


if __name__ == "__main__":
    main(sys.argv[1])
