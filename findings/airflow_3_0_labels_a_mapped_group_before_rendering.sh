#!/usr/bin/env bash
# Airflow 3.0.6 renders map_index_template of a task in a mapped task group with the task as it was before its template
# fields were rendered: {{ task.words[:4] }} fails the task after execute() has returned, in each try ("'MappedArgument'
# object is not subscriptable"). What execute() did, it does again. A task that is mapped by expand() itself has its
# label, and so has the one of the group from Airflow 3.1 on. Seen by dag.test().
#
# Seen: 3.0.6: of_expand success "rain", of_group failed (its label is its map index) after execute() has run;
# 3.1.8: both success, "rain".
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
export AIRFLOW_HOME="$folder/home" AIRFLOW__CORE__LOAD_EXAMPLES=False AIRFLOW__CORE__DAGS_FOLDER="$folder/dags"
export AIRFLOW__LOGGING__LOGGING_LEVEL=CRITICAL AIRFLOW_CONFIG="$folder/home/airflow.cfg"
mkdir dags
cat >dags/labels.py <<'PY'
from airflow.sdk import DAG, BaseOperator, task_group


class Says(BaseOperator):
    template_fields = ("words",)

    def __init__(self, *, words, **kwargs):
        super().__init__(**kwargs)
        self.words = words

    def execute(self, context):
        print("executed", self.task_id, self.words, flush=True)


with DAG("labels", schedule=None) as dag:
    Says.partial(task_id="of_expand", map_index_template="{{ task.words[:4] }}").expand(words=["rainy"])

    @task_group
    def group(words):
        Says(task_id="of_group", words=words, map_index_template="{{ task.words[:4] }}")

    group.expand(words=["rainy"])
PY
cat >run.py <<'PY'
import sys

sys.path.insert(0, "dags")
from labels import dag

run = dag.test()
for ti in sorted(run.get_task_instances(), key=lambda ti: ti.task_id):
    print("SEEN", ti.task_id, ti.state, ti.rendered_map_index)
PY
seen() { # VERSION DAY: newer packages are not taken
    rm -rf venv home
    python3 -m venv venv
    venv/bin/pip install --quiet uv
    venv/bin/uv pip install --quiet --python venv/bin/python --exclude-newer "$2" "apache-airflow==$1"
    venv/bin/airflow db migrate >/dev/null 2>&1
    venv/bin/airflow dags reserialize >/dev/null 2>&1
    timeout 120 venv/bin/python run.py >out.txt 2>&1 || true
    grep -q "executed group.of_group rainy" out.txt
    grep "^SEEN" out.txt | tr '\n' ';'
}
old=$(seen 3.0.6 2025-08-30)
new=$(seen 3.1.8 2026-03-15)
echo "3.0.6: $old"
echo "3.1.8: $new"
test "$old" = "SEEN group.of_group failed 0;SEEN of_expand success rain;"
test "$new" = "SEEN group.of_group success rain;SEEN of_expand success rain;"
