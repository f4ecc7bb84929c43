"""`make demo` of every example ends in files that Chromium plays."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from scripts.demo import EXAMPLES, ROOT, WAIT_FOR_A_PERSON
from tests.doubles.chromium import assert_plays

pytestmark = pytest.mark.e2e


@pytest.mark.parametrize("example", sorted({path.stem for path in EXAMPLES.glob("*.py")} - WAIT_FOR_A_PERSON))
def test_what_the_demo_of_an_example_leaves_plays(example: str) -> None:
    environment = {name: value for name, value in os.environ.items() if not name.startswith("AIRFLOW_")}
    done = subprocess.run(
        [sys.executable, "-m", "scripts.demo", example],
        cwd=ROOT,
        env=environment,
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    files = [Path(name) for name in re.findall(r"^(/.+) \((?:WAV|MP3|MP4), .+\)$", done.stdout, re.MULTILINE)]
    assert files, done.stdout
    if example == "generate_soundtrack":
        [said] = re.findall(r"ends with\n\n```\n(.*?)```", (ROOT / "README.md").read_text(), re.DOTALL)
        assert re.search(re.escape(said).replace(r"\.\.\.", ".+"), done.stdout), "as README shows it"
    for file in files:
        seen = assert_plays(file)
        if example == "soundtrack_for_a_video":
            assert seen["sound"] > 0
