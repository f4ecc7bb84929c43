"""The results page's own addresses on Airflow's API server: who may have which file, and what else is answered.

In front of a whole API server of Airflow in this process, with a run that a real DAG has made.
"""

import json
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import httpx
import pytest

from airflow_provider_mps.emulator import MpsEmulator
from tests.compat.versions import AIRFLOW

if AIRFLOW < (3, 1, 1):
    pytest.skip("there is no page before", allow_module_level=True)

from airflow import settings
from airflow.models.dag import DagModel
from airflow.models.renderedtifields import RenderedTaskInstanceFields
from airflow.utils.session import create_session
from fastapi.testclient import TestClient

from tests.plugins.dags import takes

MANAGER = "tests.doubles.one_dag_each.OneDagEach"


@dataclass
class Api:
    """Airflow's API server, and a run of the DAG ``takes``."""

    http: TestClient
    run_id: str
    tokens: dict[str, str]

    def get(self, path: str, user: str = "reader of takes", **params: Any) -> Any:
        """What a user is answered; the ids are of the song 0, where the test gives no others."""
        given: dict[str, Any] = {"dag_id": "takes", "run_id": self.run_id}
        if path == "/mps/file":
            given |= {"task_id": "song", "map_index": 0}
        self.http.cookies.clear()
        if user:
            self.http.cookies.set("_token", self.tokens[user])
        return self.http.get(path, params=given | params, follow_redirects=False)


@pytest.fixture(scope="module")
def api(airflow_db: None) -> Iterator[Api]:
    with (
        MpsEmulator(wait_seconds=0, run_seconds=0, requests_per_second=None) as emulator,
        pytest.MonkeyPatch.context() as patch,
    ):
        patch.setenv("AIRFLOW_CONN_TENCENT_MPS_DEFAULT", json.dumps(emulator.connection))
        patch.setenv("AIRFLOW__CORE__AUTH_MANAGER", MANAGER)
        patch.setattr(settings, "DAGS_FOLDER", str(Path(takes.__file__).parent))
        run = takes.dag.test()
        assert run.state == "success"

        from airflow.api_fastapi.app import create_app

        app = create_app("core")
        manager = app.state.auth_manager
        users = {"reader of takes": "takes", "reader of others": "others"}
        tokens = {name: manager.generate_jwt(manager.reader(name, dag)) for name, dag in users.items()}
        tokens["expired"] = manager.generate_jwt(manager.reader("late", "takes"), expiration_time_in_seconds=-3600)
        yield Api(TestClient(app), run.run_id, tokens)


def test_a_file_of_mps_is_handed_on_as_it_is(api: Api) -> None:
    answer = api.get("/mps/file")
    assert answer.status_code == 302
    assert answer.headers["Cache-Control"] == "no-store"
    assert answer.headers["Referrer-Policy"] == "no-referrer"
    sound = httpx.get(answer.headers["Location"], timeout=60, trust_env=False)
    assert sound.headers["Content-Type"] == "audio/mpeg"
    assert answer.headers["Location"] != api.get("/mps/file", map_index=1).headers["Location"]


def test_a_file_in_cos_is_signed_for_five_minutes(api: Api) -> None:
    answer = api.get("/mps/file", task_id="stored", map_index=-1)
    assert answer.status_code == 302
    assert answer.headers["Cache-Control"] == "no-store"
    location = answer.headers["Location"]
    assert parse_qs(urlsplit(location).query)["X-Amz-Expires"] == ["300"]
    assert httpx.get(location, timeout=60, trust_env=False).content.startswith((b"ID3", b"\xff"))
    assert httpx.get(location.partition("?")[0], timeout=60, trust_env=False).status_code == 403, (
        "the bucket is private"
    )


def test_what_lies_in_a_store_of_mps_gets_no_signature_of_ours(api: Api) -> None:
    answer = api.get("/mps/file", task_id="voice", map_index=-1)
    assert (answer.status_code, answer.headers["Location"]) == (302, takes.IN_THE_STORE_OF_MPS)


def test_what_a_run_has_made_comes_in_one_answer_and_without_urls(api: Api) -> None:
    answer = api.get("/mps/takes")
    assert answer.status_code == 200
    assert answer.headers["Cache-Control"] == "no-store"
    of = {(each["task_id"], each["map_index"]): each for each in answer.json()["takes"]}
    songs = [("song", 0), ("song", 1), ("stored", -1)]
    assert sorted(of) == sorted([*songs, ("voice", -1), *((task_id, -1) for task_id in takes.PUSHED)])
    assert of["song", 0]["usage"]["model"] == "MiniMaxMusic"
    console = of["song", 0]["console"]
    assert urlsplit(console).path == "/", "the emulator's page"
    assert [each["kind"] for song in songs for each in of[song]["files"]] == ["audio"] * 3
    assert [of[song]["in_cos"] for song in songs] == [False, False, True]
    assert "http://" not in answer.text.replace(console, ""), "the files' URLs are signed: whoever has one has the file"
    assert takes.BUCKET not in answer.text
    assert len(of["no_https", -1]["files"]) == len(takes.NO_HTTPS), "numbered as the file's address counts them"


@pytest.mark.parametrize("path", ["/mps/file", "/mps/takes"])
class TestWhoMay:
    def test_a_reader_of_another_dag_may_not(self, api: Api, path: str) -> None:
        answer = api.get(path, "reader of others")
        assert (answer.status_code, answer.json()) == (403, {"detail": "You may not read the XComs of this DAG."})
        assert api.get(path, "reader of others", dag_id="~").status_code == 403
        assert api.get(path, "reader of others", dag_id=["others", "takes"]).status_code == 403
        answer = api.get(path, "reader of others", dag_id=["takes", "others"])
        assert answer.status_code == 404 or answer.json() == {"takes": []}, "of others, which has none"

    @pytest.mark.parametrize(("user", "why"), [("", "Not authenticated"), ("expired", "Token Expired")])
    def test_nobody_may_without_a_session(self, api: Api, path: str, user: str, why: str) -> None:
        answer = api.get(path, user)
        assert (answer.status_code, answer.json()) == (401, {"detail": why})

    @pytest.mark.parametrize("name", ["dag_id", "run_id"])
    @pytest.mark.parametrize("value", ["", "\0", "x" * 251])
    def test_an_id_that_cannot_be_is_refused(self, api: Api, path: str, name: str, value: str) -> None:
        answer = api.get(path, **{name: value})
        assert answer.status_code == 422
        assert answer.json()["detail"][0]["loc"] == ["query", name]


@pytest.mark.parametrize(
    ("name", "value"),
    [("n", -1), ("n", 2**31), ("n", 10**30), ("n", "x"), ("map_index", -2), ("map_index", 10**30), ("task_id", "")],
)
def test_a_number_that_cannot_be_is_refused(api: Api, name: str, value: Any) -> None:
    answer = api.get("/mps/file", **{name: value})
    assert answer.status_code == 422
    assert answer.json()["detail"][0]["loc"] == ["query", name]


@pytest.mark.parametrize(
    ("params", "pushed"),
    [
        ({"n": 1}, "pushed 1."),
        ({"n": 2**31 - 1}, "pushed 1."),
        ({"map_index": 2}, "pushed none."),
        ({"map_index": -1}, "pushed none."),
        ({"task_id": "nobody"}, "pushed none."),
        ({"run_id": "manual__2026-01-01T00:00:00+00:00"}, "pushed none."),
    ],
)
def test_what_is_not_there_is_said(api: Api, params: dict[str, Any], pushed: str) -> None:
    answer = api.get("/mps/file", **params)
    assert answer.status_code == 404
    assert answer.json()["detail"].endswith(pushed)


@pytest.mark.parametrize(("n", "url"), enumerate(takes.NO_HTTPS))
def test_what_is_no_https_url_is_no_file(api: Api, n: int, url: str) -> None:
    answer = api.get("/mps/file", task_id="no_https", map_index=-1, n=n)
    said = f"What this task has pushed as file {n + 1} is no https URL."
    assert (answer.status_code, answer.json()) == (404, {"detail": said})


def test_what_is_no_list_of_texts_holds_no_file(api: Api) -> None:
    answer = api.get("/mps/file", task_id="no_texts", map_index=-1)
    assert answer.json() == {"detail": "There is no file 1: this task has pushed none."}


def test_a_file_elsewhere_is_handed_on_without_a_signature(api: Api) -> None:
    """MPS may keep results anywhere; nothing of the account or the page goes there."""
    answer = api.get("/mps/file", task_id="elsewhere", map_index=-1)
    assert answer.status_code == 302
    assert answer.headers["Location"].startswith(takes.ELSEWHERE)
    assert "X-Amz" not in answer.headers["Location"]
    assert "Set-Cookie" not in answer.headers


def test_a_create_signs_for_no_bucket_but_its_own(api: Api) -> None:
    answer = api.get("/mps/file", task_id="elsewhere", map_index=-1, n=1)
    assert answer.headers["Location"] == takes.OF_ANOTHER_BUCKET


class TestTheConnection:
    """Of a file in COS, which it signs."""

    def said(self, api: Api) -> str:
        answer = api.get("/mps/file", task_id="stored", map_index=-1)
        assert answer.status_code == 424
        return str(answer.json()["detail"])

    def test_the_api_server_has_none(self, api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.delenv("AIRFLOW_CONN_TENCENT_MPS_DEFAULT")
        assert "tencent_mps_default" in self.said(api)

    def test_its_backend_fails(self, api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("AIRFLOW_CONN_TENCENT_MPS_DEFAULT", '{"extra": "a secret"')
        said = self.said(api)
        assert "tencent_mps_default" in said
        assert "a secret" not in said

    def test_its_fields_are_wrong(self, api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
        connection = json.loads(os.environ["AIRFLOW_CONN_TENCENT_MPS_DEFAULT"]) | {"password": ""}
        monkeypatch.setenv("AIRFLOW_CONN_TENCENT_MPS_DEFAULT", json.dumps(connection))
        assert "SecretKey" in self.said(api)

    @pytest.mark.skipif(AIRFLOW < (3, 3), reason="which have no connections of teams")
    def test_it_is_that_of_the_dags_team(self, api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
        connection = json.loads(os.environ["AIRFLOW_CONN_TENCENT_MPS_DEFAULT"]) | {"login": "of-the-team"}
        monkeypatch.setenv("AIRFLOW__CORE__MULTI_TEAM", "True")
        monkeypatch.setenv("AIRFLOW_CONN__RED___TENCENT_MPS_DEFAULT", json.dumps(connection))
        monkeypatch.setattr(DagModel, "get_team_name", staticmethod(lambda dag_id: "red"))
        location = api.get("/mps/file", task_id="stored", map_index=-1).headers["Location"]
        assert parse_qs(urlsplit(location).query)["X-Amz-Credential"][0].startswith("of-the-team/")

    def test_airflow_no_longer_knows_which_it_was(self, api: Api) -> None:
        table: Any = RenderedTaskInstanceFields.__table__
        with create_session() as session:
            kept = [dict(row) for row in session.execute(table.select()).mappings()]
            session.execute(table.delete())
        try:
            assert "num_dag_runs_to_retain_rendered_fields" in self.said(api)
            assert api.get("/mps/file").status_code == 302, "what MPS keeps needs no connection"
        finally:
            with create_session() as session:
                session.execute(table.insert(), kept)


def test_a_value_that_a_backend_cannot_read_is_left_out(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    from airflow_provider_mps.plugins import results_app

    class Backend:
        @staticmethod
        def deserialize_value(row: Any) -> Any:
            raise PermissionError("of a secret place")

    monkeypatch.setattr(results_app, "XCom", Backend)
    assert api.get("/mps/takes").json() == {"takes": []}
    assert api.get("/mps/file").status_code == 404


@pytest.mark.parametrize("path", ["/mps/results", "/mps/results.js", "/mps/results.css"])
def test_the_page_is_of_its_own_and_holds_no_data(api: Api, path: str) -> None:
    answer = api.get(path, user="")
    assert answer.status_code == 200
    policy = answer.headers["Content-Security-Policy"]
    assert "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'" in policy
    assert "frame-ancestors 'self'" in policy
    assert "unsafe" not in policy
    assert answer.headers["X-Content-Type-Options"] == "nosniff"
    assert "http://" not in answer.text
    assert "<script>" not in answer.text


def test_airflow_answers_the_page_as_it_asks(api: Api) -> None:
    """The fields of Airflow's REST API that its script reads."""
    api.http.cookies.set("_token", api.tokens["reader of takes"])
    path = f"/api/v2/dags/takes/dagRuns/{api.run_id}"
    answer = api.http.get(f"{path}/taskInstances", params={"order_by": "map_index", "limit": 100, "offset": 0}).json()
    assert answer["total_entries"] == len(answer["task_instances"]) == 4 + len(takes.PUSHED)
    rendered = []
    for each in answer["task_instances"]:
        assert {"dag_run_id", "task_id", "map_index", "state", "start_date", "try_number"} <= set(each)
        one = api.http.get(f"{path}/taskInstances/{each['task_id']}/{each['map_index']}").json()
        assert each["rendered_fields"] == (one["rendered_fields"] if AIRFLOW >= (3, 3) else {})
        rendered.append(one["rendered_fields"])
    assert {fields.get("prompt", fields.get("text")) for fields in rendered} == {"rain", "wind", "sun", "nothing"}
    assert {fields["mps_conn_id"] for fields in rendered} == {"tencent_mps_default"}
    decisions = api.http.get(f"{path}/hitlDetails", params={"response_received": False})
    assert (decisions.status_code, decisions.json()["hitl_details"]) == (200, [])


def test_the_page_is_a_tab_of_each_run_and_in_the_menu(api: Api) -> None:
    from airflow import plugins_manager

    [plugin] = [each for each in plugins_manager.get_plugin_info() if each["name"] == "mps_results"]
    views = {each["destination"]: each["href"] for each in plugin["external_views"]}
    assert views == {
        "dag_run": "/mps/results#dag_id={DAG_ID}&run_id={RUN_ID}",
        "nav": "/mps/results",
    }
