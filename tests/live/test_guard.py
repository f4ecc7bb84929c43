"""`make live` asks before it spends, keeps to its ceiling and writes down only facts. Its account is an emulator's."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from airflow_provider_mps.api.codes import is_read
from airflow_provider_mps.emulator import MpsEmulator
from airflow_provider_mps.hooks.mps import MpsHook
from airflow_provider_mps.operators.mps import CreateAigcAudioTaskOperator
from tests.doubles.emulators import CREATE
from tests.doubles.logs import no_secret_in
from tests.doubles.seen import MUSIC_ARGUMENTS
from tests.live.guard import CeilingError, Facts, ceiling
from tests.live.runs import run

ROOT = Path(__file__).parents[2]
BUCKET = "songs-1250000000"


def live(folder: Path, *options: str, answer: str = "", paths: str = "tests/live", **given: str) -> tuple[int, str]:
    """What `make live` runs, in another folder: its exit code, and what it says."""
    command = [sys.executable, "-m", "pytest", f"--config-file={ROOT}/pyproject.toml", f"--rootdir={ROOT}"]
    command += ["-p", "no:cacheprovider", "-p", "airflow_provider_mps.emulator.pytest_plugin", "-m", "live", "--live"]
    command += [*options, f"{ROOT}/{paths}"]
    given |= {"PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"}  # others' plugins take a second to import
    ours = {name: value for name, value in os.environ.items() if not name.startswith("PYTEST_XDIST")}
    done = subprocess.run(
        command, cwd=folder, input=answer, env=ours | given, capture_output=True, text=True, timeout=300
    )
    return done.returncode, done.stdout + done.stderr


def account(emulator: MpsEmulator) -> str:
    connection = emulator.connection
    return json.dumps(connection | {"extra": connection["extra"] | {"cos_region": "ap-singapore"}})


def creates(emulator: MpsEmulator) -> list[str]:
    return [request.action for request in emulator.requests if not is_read(request.action) and request.action != "file"]


def test_it_asks_first_and_at_half_a_yes_sends_nothing(emulator, tmp_path):
    code, said = live(tmp_path, answer="y\n", MPS_LIVE_CONNECTION=account(emulator), MPS_LIVE_BUCKET=BUCKET)
    assert "sends up to 10 creates to 127.0.0.1" in said
    assert code == 1
    assert emulator.requests == []
    assert list(tmp_path.iterdir()) == []


def test_after_a_yes_it_sends_no_more_than_it_said_and_writes_facts_without_secrets(emulator, tmp_path):
    code, said = live(tmp_path, answer="yes\n", MPS_LIVE_CONNECTION=account(emulator), MPS_LIVE_BUCKET=BUCKET)
    assert code == 0, said
    assert len(creates(emulator)) == 10
    (written,) = (tmp_path / "build").iterdir()
    facts = written.read_text()
    assert "| ProcessMedia answers InvalidParameterValue.SessionId to a SessionId that was used before. | seen" in facts
    assert facts.startswith("\n## 127.0.0.1\n")
    assert "answers UnsupportedRegion to a call for ap-guangzhou" in facts
    assert no_secret_in([facts, said])
    assert MUSIC_ARGUMENTS["prompt"] not in facts


def test_a_test_that_fails_shows_no_secret_and_what_was_learned_before_is_written(emulator, tmp_path):
    emulator.fault("file_expired", times=None)
    code, said = live(tmp_path, "--live-creates=10", MPS_LIVE_CONNECTION=account(emulator), MPS_LIVE_BUCKET=BUCKET)
    assert (code, "ExpiredUrlError" in said) == (1, True)
    (written,) = (tmp_path / "build").iterdir()
    assert "Results in the user's bucket come without a query" in written.read_text()
    assert no_secret_in([written.read_text(), said])
    assert "myqcloud.com" not in written.read_text() + said


def test_a_test_that_fails_shows_no_key(emulator, tmp_path):
    emulator.fault("error", "DescribeAigcAudioTask", times=None, code="AuthFailure.SignatureExpire")
    code, said = live(tmp_path, "--live-creates=0", MPS_LIVE_CONNECTION=account(emulator), MPS_LIVE_BUCKET="")
    assert code == 1
    assert "::test_what_the_service_itself_says_of_that_region" in said
    assert no_secret_in([said])


def test_without_a_bucket_only_what_needs_none_is_asked_for_and_run(emulator, tmp_path):
    code, said = live(tmp_path, answer="yes\n", MPS_LIVE_CONNECTION=account(emulator), MPS_LIVE_BUCKET="")
    assert code == 0, said
    assert "sends up to 3 creates" in said
    assert creates(emulator) == [CREATE] * 3


def test_an_answer_in_advance_is_a_ceiling(emulator, tmp_path):
    code, said = live(tmp_path, "--live-creates=1", MPS_LIVE_CONNECTION=account(emulator), MPS_LIVE_BUCKET="")
    assert (code, creates(emulator)) == (1, [CREATE])
    assert "CreateAigcAudioTask was not sent: the ceiling of 1 creates is reached" in said


def test_the_ceiling_holds_however_many_processes_run_the_tests(emulator, tmp_path):
    """Both run every test: they would send six creates."""
    spread = ("-p", "xdist.plugin", "--dist", "each", "-n")
    given = {"MPS_LIVE_CONNECTION": account(emulator), "MPS_LIVE_BUCKET": ""}
    code, said = live(tmp_path, *spread, "2", "--live-creates=2", **given)
    assert (code, creates(emulator)) == (1, [CREATE] * 2)
    assert "the ceiling of 2 creates is reached" in said
    emulator.reset()
    live(tmp_path, *spread, "1", answer="yes\n", **given)
    assert creates(emulator) == [], "a process that cannot ask sends nothing"


def test_without_a_connection_nothing_is_run(tmp_path):
    code, said = live(tmp_path, answer="yes\n", MPS_LIVE_CONNECTION="")
    assert code == 2
    assert "AIRFLOW_CONN_TENCENT_MPS_DEFAULT" in said


def test_the_whole_suite_cannot_be_turned_to_a_real_account(emulator, tmp_path):
    code, said = live(tmp_path, paths="tests", MPS_LIVE_CONNECTION=account(emulator))
    assert code == 4
    assert "unrecognized arguments: --live" in said


@pytest.mark.parametrize(
    "create",
    [
        lambda: MpsHook().create_aigc_audio_task(**MUSIC_ARGUMENTS),
        lambda: MpsHook().call("EditMedia", {}),
        lambda: MpsHook().call("NobodyKnowsWhatThisCosts", {}),
        lambda: run(CreateAigcAudioTaskOperator, **MUSIC_ARGUMENTS),
    ],
)
def test_a_create_past_the_ceiling_does_not_leave(emulator, create):
    with ceiling(0):
        assert MpsHook().test_connection()[0]
        with pytest.raises(CeilingError):
            create()
    assert creates(emulator) == []


@pytest.mark.usefixtures("mps_short_waits")
def test_a_repeat_counts_too(emulator):
    emulator.fault("error", CREATE, times=5, code="RequestLimitExceeded")
    with ceiling(2), pytest.raises(CeilingError):
        MpsHook().create_aigc_audio_task(**MUSIC_ARGUMENTS)
    assert creates(emulator) == [CREATE] * 2


@pytest.mark.parametrize("says", ["https://example.com", "a?sign=1", "it is made-up-key", "two | cells", "two\nlines"])
def test_what_is_no_fact_is_not_written(tmp_path, says):
    with pytest.raises(ValueError, match="neither URLs nor secrets") as refused:
        Facts("mps.example", tmp_path, ["made-up-key"]).seen(says)
    assert "made-up" not in str(refused.value)
    assert list(tmp_path.iterdir()) == []
