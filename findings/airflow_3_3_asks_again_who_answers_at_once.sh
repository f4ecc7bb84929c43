#!/usr/bin/env bash
# Airflow 3.3.2 with apache-airflow-providers-standard 1.21.0: an answer to ApprovalOperator that comes within the first
# seconds may be lost. The API takes it (200), the task is scheduled again, and then the executor's word that the
# process which asked has ended arrives while the task is queued or running: Airflow takes that for an end nobody knows
# of, fails the try, and the retry asks the person once more. Without retries the task fails. The supervisor may notice
# the end of a task's process only after [workers] min_heartbeat_interval, 5 seconds by default, so it is a race, which
# an answer after some 8 seconds does not run into. Airflow knows it of triggers that fire soon (its #72716).
#
# Seen: 12 questions, each answered as soon as it is there: some of them are asked again, each with its answer stored
# for the try before. Printed is how many.
set -euo pipefail
folder=$(mktemp -d)
airflow_pid=
end() {
    test -z "$airflow_pid" || pkill -KILL -s "$airflow_pid" || true # all that it started is in its session
    rm -rf "$folder"
}
trap end EXIT
cd "$folder"
python3 -m venv venv
venv/bin/pip install --quiet "apache-airflow==3.3.2" "apache-airflow-providers-standard==1.21.0"

mkdir dags
cat >dags/questions.py <<'PY'
from airflow.providers.standard.operators.hitl import ApprovalOperator
from airflow.sdk import DAG

with DAG("questions", schedule=None, default_args={"retries": 2, "retry_delay": 1}):
    ApprovalOperator.partial(task_id="ask").expand(subject=[f"Question {number}?" for number in range(12)])
PY
port=$(python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])')
export AIRFLOW_HOME=$folder/home AIRFLOW__CORE__DAGS_FOLDER=$folder/dags AIRFLOW__CORE__LOAD_EXAMPLES=False \
    AIRFLOW__CORE__PARALLELISM=4 AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_ALL_ADMINS=True \
    AIRFLOW__API__HOST=127.0.0.1 AIRFLOW__API__PORT="$port" AIRFLOW__API__WORKERS=1 \
    AIRFLOW__CORE__EXECUTION_API_SERVER_URL="http://127.0.0.1:$port/execution/" PATH="$folder/venv/bin:$PATH"
airflow version
setsid airflow standalone >standalone.log 2>&1 &
airflow_pid=$!

cat >answer.py <<'PY'
import json, sys, time, urllib.error, urllib.request

ROOT, DEADLINE = f"http://127.0.0.1:{sys.argv[1]}", time.monotonic() + 600
headers = {"Content-Type": "application/json"}


def call(path, method="GET", body=None):
    data = None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(ROOT + path, data, headers, method=method)
    with urllib.request.urlopen(request, timeout=60) as answer:
        return json.load(answer)


def patiently(wanted):
    while time.monotonic() < DEADLINE:
        try:
            if found := wanted():
                return found
        except OSError:  # not there yet, or SQLite is busy
            pass
        time.sleep(0.3)
    raise SystemExit("waited in vain")


headers["Authorization"] = "Bearer " + patiently(lambda: call("/auth/token"))["access_token"]
patiently(lambda: call("/api/v2/dags/questions", "PATCH", {"is_paused": False}))
run = "/api/v2/dags/questions/dagRuns"
run += "/" + call(run, "POST", {"logical_date": None, "dag_run_id": "run"})["dag_run_id"]
answered = {}


def ended():
    """Answer what is asked; the tasks, once all have ended."""
    tasks = call(f"{run}/taskInstances/ask/listMapped")["task_instances"]
    for task in tasks:
        if task["state"] == "awaiting_input" and answered.get(task["map_index"]) != task["try_number"]:
            answer = {"chosen_options": ["Approve"], "params_input": {}}
            call(f"{run}/taskInstances/ask/{task['map_index']}/hitlDetails", "PATCH", answer)
            answered[task["map_index"]] = task["try_number"]
    return tasks if tasks and all(task["state"] in ("success", "failed") for task in tasks) else None


tasks = patiently(ended)
again = sum(tries > 1 for tries in answered.values())
print(f"{len(tasks)} questions were answered at once; {again} of them were asked again")
raise SystemExit(again == 0)
PY
python3 answer.py "$port"
