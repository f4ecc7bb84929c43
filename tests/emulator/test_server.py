"""Starting and stopping, by itself, from the command line and as a fixture; the control API; HTTPS."""

import json
import os
import signal
import ssl
import subprocess
import sys

import httpx
import pytest
import trustme

from airflow_provider_mps.emulator import EmulatedTask, MpsEmulator, RecordedRequest
from tests.doubles.seen import FILM, MUSIC


@pytest.fixture
def control(mps):
    """The control API of ``mps``, as another process sees it."""
    with httpx.Client(base_url=f"{mps.emulator.url}/emulator/", trust_env=False, timeout=60) as client:
        yield client


def test_the_state_can_be_read(mps, control):
    mps.emulator.fault("error", "CreateAigcAudioTask", code="InternalError")
    mps.code("CreateAigcAudioTask", MUSIC)
    task_id = mps.create()
    mps.code("MakeCoffee", {})
    state = control.get("state").json()
    assert state["requests"] == {"CreateAigcAudioTask": 2, "MakeCoffee": 1}
    assert state["answers"] == {"CreateAigcAudioTask": {"error": 1, "ok": 1}, "MakeCoffee": {"InvalidAction": 1}}
    [task] = state["tasks"]
    assert task.pop("done_at") == task.pop("created_at") < state["now"]
    assert (state["task_count"], state["faults"]) == (1, [])
    assert task == {
        "task_id": task_id,
        "kind": "aigc_audio",
        "action": "CreateAigcAudioTask",
        "state": "DONE",
        "params": MUSIC,
        "ended": True,
        "failure": None,
        "files": ["wav"],
    }


def test_faults_can_be_asked_for(mps, control):
    fault = {"kind": "error", "action": "CreateAigcAudioTask", "times": 2, "after": 1, "code": "InternalError"}
    assert control.post("faults", json=fault).status_code == 200
    codes = [mps.code("CreateAigcAudioTask", MUSIC) for _ in range(4)]
    assert codes == ["ok", "InternalError", "InternalError", "ok"]


def test_faults_can_be_cleared(mps, control):
    mps.emulator.fault("error", code="InternalError", times=None)
    assert control.delete("faults").status_code == 200
    assert mps.create()


@pytest.mark.parametrize(
    "headers",
    [
        {"Host": "attacker.example"},
        {"Host": "attacker.example:80"},
        {"Host": "127.0.0.1.attacker.example"},
        {"Host": "["},
        {"Origin": "https://attacker.example"},
        {"Origin": "null"},
        {"Origin": "http://127.0.0.1:9"},
    ],
)
def test_somebody_else_s_web_page_controls_nothing(mps, control, headers):
    for method, path in (
        ("GET", "/"),
        ("GET", "/emulator/gallery.js"),
        ("GET", "/emulator/files/24000145-AigcAudio-0/0"),
        ("GET", "/emulator/state"),
        ("POST", "/emulator/reset"),
        ("POST", "/emulator/faults"),
        ("DELETE", "/emulator/faults"),
        ("POST", "/emulator/tasks"),
    ):
        answer = control.request(method, f"{mps.emulator.url}{path}", headers=headers, content=b'{"kind": "hang"}')
        assert (answer.status_code, answer.json()) == (403, {"error": "Host or Origin is not this emulator."})
    assert mps.create()


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost"])
def test_its_own_page_does(mps, control, host):
    own = f"{host}:{mps.emulator.port}"
    assert control.post("reset", headers={"Host": own, "Origin": f"http://{own}"}).status_code == 200


def test_many_tasks_can_be_made_at_once(mps, control):
    wish = {"kind": "aigc_audio", "wait_seconds": [0, 1000, 0], "run_seconds": [0, 0, 1000]}
    task_ids = control.post("tasks", json=wish).json()["task_ids"]
    states = [mps.call("DescribeAigcAudioTask", {"TaskId": task_id})["Status"] for task_id in task_ids]
    assert states == ["DONE", "WAIT", "RUN"]
    assert len(control.post("tasks", json={"kind": "media", "count": 500}).json()["task_ids"]) == 500
    assert len(mps.emulator.tasks) == 503


def test_a_reset_forgets_everything(mps, control):
    task_id = mps.create()
    mps.emulator.fault("error", code="InternalError", times=None)
    assert control.post("reset").status_code == 200
    state = control.get("state").json()
    assert {state.pop("rules"), state.pop("now") > 0} == {"service", True}
    assert state == {
        "requests": {}, "answers": {}, "refused_for_room": 0, "faults": [], "task_count": 0, "tasks": []
    }  # fmt: skip
    assert mps.code("DescribeAigcAudioTask", {"TaskId": task_id}) == "ResourceNotFound.TaskNotFound"


@pytest.mark.parametrize(
    ("path", "wish"),
    [
        ("faults", {"kind": "explode"}),
        ("faults", {"kind": "error", "cod": "InternalError"}),
        ("faults", [1]),
        ("tasks", {"kind": "coffee"}),
        ("tasks", {"count": 3, "run_seconds": [1]}),
        ("tasks", [1]),
        ("tasks", {"count": 10**4000}),
        ("tasks", {"run_seconds": [10**4000]}),
        ("tasks", {"run_seconds": ["1"]}),
        ("faults", {"kind": "slow", "seconds": 10**4000}),
    ],
)
def test_a_wish_that_makes_no_sense_is_refused(mps, control, path, wish):
    answer = control.post(path, json=wish)
    assert answer.status_code == 400
    assert answer.json()["error"]
    assert mps.emulator.tasks == []


DIGITS, DEEP = b"9" * 5_000, b"[" * 100_000 + b"]" * 100_000


@pytest.mark.parametrize("body", [b'{"run_seconds": [%s]}' % DIGITS, b'{"seconds": %s}' % DEEP, DEEP, b"\xff"])
@pytest.mark.parametrize("path", ["faults", "tasks"])
def test_a_wish_that_cannot_be_read_is_refused(control, path, body):
    assert control.post(path, content=body, headers={"content-type": "application/json"}).status_code == 400


def test_a_request_that_cannot_be_read_is_never_the_emulator_s_own_trouble(mps):
    assert mps.send("CreateAigcAudioTask", {}, body=b'{"Prompt": %s}' % DEEP).status_code == 400
    deep = {"AdditionalParameters": f'{{"n": {DEEP.decode()}}}'}
    assert mps.send("CreateAigcAudioTask", MUSIC | deep).status_code == 400
    digits = DIGITS.decode()
    assert mps.code("CreateAigcAudioTask", MUSIC, x_tc_timestamp=digits) == "MissingParameter"
    assert mps.code("CreateAigcVideoTask", FILM | {"Duration": 10**4000}) == "InvalidParameter"
    assert mps.code("CreateAigcVideoTask", FILM | {"Duration": 10**19}) == "InvalidParameter"
    listing = {"Status": "FINISH", "ScrollToken": digits}
    assert mps.code("DescribeTasks", listing) == "ok"
    signed = f"X-Amz-Algorithm=AWS4-HMAC-SHA256&X-Amz-Credential=emulator-id/a/b/s3/c&X-Amz-Expires={digits}"
    assert mps.client.get(f"{mps.emulator.url}/bucket/key?{signed}").status_code == 403
    assert mps.emulator.tasks == []
    assert mps.client.get(f"{mps.emulator.url}/emulator/state").status_code == 200


def test_what_can_be_read_is_a_copy(mps):
    mps.create()
    requests, tasks = mps.emulator.requests, mps.emulator.tasks
    mps.create()
    assert ([type(each) for each in requests], len(tasks)) == ([RecordedRequest], 1)
    assert isinstance(tasks[0], EmulatedTask)


def test_it_starts_and_stops_and_starts_again():
    emulator = MpsEmulator()
    for _ in range(2):
        with emulator:
            assert httpx.get(f"{emulator.url}/emulator/state", trust_env=False, timeout=60).status_code == 200
        with pytest.raises(httpx.ConnectError):
            httpx.get(f"{emulator.url}/emulator/state", trust_env=False, timeout=60)
    emulator.stop()


def test_a_port_that_is_taken_is_said(mps):
    with pytest.raises(OSError, match="address already in use"):
        MpsEmulator(port=mps.emulator.port).start()


@pytest.mark.parametrize("host", ["0.0.0.0", "192.0.2.1", "::"])
def test_it_serves_this_machine_alone(host):
    with pytest.raises(ValueError, match="not a loopback address"):
        MpsEmulator(host=host)


def test_https(start):
    authority = trustme.CA()
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    authority.issue_cert("127.0.0.1").configure_cert(context)
    mps = start(ssl_context=context, wait_seconds=0, run_seconds=0)
    trusted = ssl.create_default_context()
    authority.configure_trust(trusted)
    assert mps.emulator.connection["schema"] == "https"
    with httpx.Client(verify=trusted, trust_env=False, timeout=60) as client:
        mps.client.close()
        mps.client = client
        answer = mps.call("DescribeAigcAudioTask", {"TaskId": mps.create()})
        assert client.get(answer["AudioInfos"][0]["Url"]).status_code == 200


def test_the_connection_names_all_that_airflow_needs(start):
    mps = start(secret_id="id", secret_key="key", token="temporary")
    assert json.loads(json.dumps(mps.emulator.connection)) == {
        "conn_type": "tencent_mps",
        "login": "id",
        "password": "key",
        "host": "127.0.0.1",
        "port": mps.emulator.port,
        "schema": "http",
        "extra": {"token": "temporary", "cos_endpoint": mps.emulator.url},
    }


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_the_command_line(number):
    options = ["--port", "0", "--run-seconds", "0", "--rules", "reference", "--running-tasks", "3"]
    command = [sys.executable, "-m", "airflow_provider_mps.emulator", *options]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        assert process.stdout
        assert process.stderr
        try:
            ready = json.loads(process.stdout.readline())
            assert ready["url"] == f"http://127.0.0.1:{ready['port']}"
            assert ready["connection"]["port"] == ready["port"]
            assert httpx.get(f"{ready['url']}/emulator/state", trust_env=False, timeout=60).json()["tasks"] == []
            process.send_signal(number)
            assert process.wait(timeout=30) == 0
            assert process.stderr.read() == ""
        finally:
            process.kill()


def test_the_command_line_says_what_is_wrong():
    command = [sys.executable, "-m", "airflow_provider_mps.emulator", "--host", "0.0.0.0"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert "0.0.0.0 is not a loopback address" in done.stderr


def test_the_fixture_sets_airflow_s_connection(mps_emulator):
    connection = json.loads(os.environ["AIRFLOW_CONN_TENCENT_MPS_DEFAULT"])
    assert connection == mps_emulator.connection
    assert httpx.get(f"{mps_emulator.url}/emulator/state", trust_env=False, timeout=60).status_code == 200


def test_loading_the_fixture_s_module_loads_neither_aiohttp_nor_airflow():
    script = (
        "import sys, airflow_provider_mps.emulator.pytest_plugin\n"
        "print([name for name in ('aiohttp', 'airflow', 'tencentcloud', 'httpx') if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_the_fixture_without_aiohttp_says_what_to_install(tmp_path):
    (tmp_path / "aiohttp.py").write_text("raise ModuleNotFoundError('No module named aiohttp')")
    (tmp_path / "test_it.py").write_text("def test_it(mps_emulator): pass")
    plugin = "airflow_provider_mps.emulator.pytest_plugin"
    command = [sys.executable, "-m", "pytest", "-p", plugin, "--rootdir", tmp_path, tmp_path]
    environment = os.environ | {"PYTHONPATH": str(tmp_path), "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"}
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=environment)
    assert done.returncode == 1
    assert "pip install 'airflow-provider-mps[emulator]'" in done.stdout
