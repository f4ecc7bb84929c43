#!/usr/bin/env bash
# pytest-xdist 3.8.0 with pytest 9.2.0: --dist loadgroup groups nothing, and nothing says so. Tests of one xdist_group
# run in any process, and a fixture of theirs that starts a server or a database starts one in each. The group's name
# goes to the controller as a suffix that xdist puts into Item._nodeid; with 9.2 item.nodeid no longer has it.
#
# Seen: of six tests of one group with -n 2, all in one process with pytest 9.1.1, and in two with 9.2.0.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
cat >test_group.py <<'PY'
import time

import pytest


@pytest.mark.xdist_group("one")
@pytest.mark.parametrize("number", range(6))
def test_of_a_group(number, worker_id):
    time.sleep(0.3)
    with open(f"ran-in-{worker_id}", "a") as file:
        file.write("x")
PY
processes() {
    rm -rf venv ran-in-*
    python3 -m venv venv
    venv/bin/pip install --quiet "pytest==$1" "pytest-xdist==3.8.0"
    venv/bin/python -m pytest -q -n 2 --dist loadgroup >/dev/null
    ls ran-in-* | wc -l
}
before=$(processes 9.1.1)
since=$(processes 9.2.0)
echo "processes that ran one group: $before with pytest 9.1.1, $since with pytest 9.2.0"
test "$before" -eq 1 && test "$since" -eq 2
