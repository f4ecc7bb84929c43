"""The DAG files that the pages show, by their DAG's id."""

import re
from pathlib import Path

from tests.compat.versions import AIRFLOW

PAGES = Path(__file__).parents[2] / "docs"
BLOCK = re.compile(r"^```python\n(.*?)^```", re.DOTALL | re.MULTILINE)
RECIPES = {
    re.findall(r'dag_id="(\w+)"', code)[0]: code
    for page in ("recipes.md", "results.md", "notices.md", "operators.md", "lineage.md", "first-run.md", "hook.md")
    for code in BLOCK.findall((PAGES / page).read_text())
    if "dag_id=" in code
}
LATE = RECIPES.pop("tells_when_it_is_late")
"""Airflow 3.3.2's dag.test() does not run a DAG with a deadline alert."""
BY_A_POLICY = "later_by_a_retry_policy"
if AIRFLOW < (3, 4):  # as its page says
    for written, before in (
        ("RetryAction.RESCHEDULE", "RetryAction.RETRY"),
        ("            reschedule_timeout=timedelta(hours=6),\n", ""),
        ('"retries": 1', '"retries": 100'),
    ):
        assert written in RECIPES[BY_A_POLICY]
        RECIPES[BY_A_POLICY] = RECIPES[BY_A_POLICY].replace(written, before)
