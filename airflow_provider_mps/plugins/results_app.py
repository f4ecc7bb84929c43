"""The results page on Airflow's API server: its static files, what a run's tasks made, and the way to each file.

All else the page asks of Airflow's public REST API, with the cookie of the user who looks: what that user may not see,
it does not show.
"""

from __future__ import annotations

import json
import logging
from collections import defaultdict
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any
from urllib.parse import unquote, urlsplit
from uuid import UUID

from airflow.api_fastapi.app import get_auth_manager
from airflow.api_fastapi.auth.managers.models.resource_details import DagAccessEntity, DagDetails
from airflow.api_fastapi.common.db.common import SessionDep
from airflow.api_fastapi.core_api.security import GetUserDep
from airflow.models import Connection
from airflow.models.dag import DagModel
from airflow.models.renderedtifields import RenderedTaskInstanceFields
from airflow.models.taskinstance import TaskInstance
from airflow.models.xcom import XComModel
from airflow.sdk.execution_time.xcom import XCom
from fastapi import Depends, FastAPI, HTTPException, Query
from fastapi.responses import FileResponse, JSONResponse, RedirectResponse
from sqlalchemy import select

from airflow_provider_mps.api.errors import MpsError
from airflow_provider_mps.api.files.cos import CosObject, reachable_url
from airflow_provider_mps.api.wire.settings import is_loopback
from airflow_provider_mps.hooks.mps import MpsHook
from airflow_provider_mps.links.mps import kind_of
from airflow_provider_mps.xcoms import MPS_CONSOLE_XCOM, USAGE_XCOM

log = logging.getLogger(__name__)

_STATIC = Path(__file__).with_name("static")
_FILE_LISTS = ("cos_urls", "audio_urls", "video_urls", "image_urls")
"""The XComs that may hold a result's files. Where there are ``cos_urls``, they are all files; else the other lists,
in this order."""
_SIGNED_SECONDS = 300
_LARGEST = 2**31 - 1  # of a database's integer
_NO_REGION = UUID(int=0)  # Airflow's SENTINEL_REGION_ID
_HEADERS = {
    # Players and pictures come from where MPS keeps results; plain http only from this machine, as of the emulator.
    "Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; "
    "media-src 'self' https: http://127.0.0.1:* http://localhost:*; "
    "img-src 'self' https: http://127.0.0.1:* http://localhost:*; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'self'",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
}
_NO_STORE = _HEADERS | {"Cache-Control": "no-store"}

Id = Annotated[str, Query(min_length=1, max_length=250, pattern=r"^[^\x00]+$")]
"""An id as Airflow's database holds them."""


def may_read_xcoms(user: GetUserDep, dag_id: Id) -> None:
    """Let a user pass who may read the XComs of this DAG.

    Airflow's own ``requires_access_dag`` does not serve here: that of 3.1.1 looks for the DAG's id in the path only,
    and asks about no DAG in particular where it stands in the query.
    """
    dag = DagDetails(id=dag_id, team_name=DagModel.get_team_name(dag_id))
    if not get_auth_manager().is_authorized_dag(
        method="GET", access_entity=DagAccessEntity.XCOM, details=dag, user=user
    ):
        raise HTTPException(403, "You may not read the XComs of this DAG.")


app = FastAPI(title="MPS results", docs_url=None, redoc_url=None, openapi_url=None)
for_readers = [Depends(may_read_xcoms)]


@app.get("/results")
def results() -> FileResponse:
    """The page itself; it holds no data."""
    return FileResponse(_STATIC / "results.html", headers=_HEADERS)


@app.get("/results.js")
def script() -> FileResponse:
    """Its script."""
    return FileResponse(_STATIC / "results.js", media_type="text/javascript", headers=_HEADERS)


@app.get("/results.css")
def style() -> FileResponse:
    """Its style."""
    return FileResponse(_STATIC / "results.css", media_type="text/css", headers=_HEADERS)


@app.get("/takes", dependencies=for_readers)
def takes(session: SessionDep, dag_id: Id, run_id: Id) -> JSONResponse:
    """What the tasks of a run have made: for each task instance its usage, its files without their URLs, its console.

    One query for a run of any size, where the REST API takes one for each value.
    """
    found = []
    for (task_id, map_index, region), pushed in _pushed(session, dag_id=dag_id, run_id=run_id).items():
        usage, console = pushed.get(USAGE_XCOM), pushed.get(MPS_CONSOLE_XCOM)
        found.append(
            {
                "task_id": task_id,
                "map_index": map_index,
                "region_id": region,
                "usage": usage if isinstance(usage, dict) else {},
                "files": [{"kind": kind, "name": _name(url)} for kind, url in _files(pushed)],
                "in_cos": bool(pushed.get("cos_urls")),
                "console": console if isinstance(console, str) and console.startswith(("https://", "http://")) else "",
            }
        )
    return JSONResponse({"takes": found}, headers=_NO_STORE)


@app.get("/file", dependencies=for_readers)
def file(
    session: SessionDep,
    dag_id: Id,
    run_id: Id,
    task_id: Id,
    map_index: Annotated[int, Query(ge=-1, le=_LARGEST)] = -1,
    region_id: UUID | None = None,
    n: Annotated[int, Query(ge=0, le=_LARGEST)] = 0,
) -> RedirectResponse:
    """Lead to the n-th file of a task instance: one in COS by a URL that is signed for five minutes.

    ``region_id`` where the task is mapped or in a loop on Airflow 3.4, and ``map_index`` is its place there.
    The URL comes from the task's own XComs, and the connection from its own rendered fields: neither from the caller.
    """
    of_task: dict[str, Any] = {"dag_id": dag_id, "run_id": run_id, "task_id": task_id, "map_index": map_index}
    if region_id and hasattr(XComModel, "region_id"):
        of_task["region_id"] = region_id
    [pushed, *others] = [*_pushed(session, **of_task).values()] or [{}]
    files = [] if others else _files(pushed)  # of which region is not said
    if n >= len(files):
        raise HTTPException(404, f"There is no file {n + 1}: this task has pushed {len(files) or 'none'}.")
    _, url = files[n]
    if not _opens_in_a_browser(url):
        raise HTTPException(404, f"What this task has pushed as file {n + 1} is no https URL.")
    # What else is a bare URL of COS lies in a store of MPS, which takes no signature of ours.
    leads_to = _signed(session, of_task, url) if pushed.get("cos_urls") else url
    return RedirectResponse(leads_to, 302, headers=_NO_STORE)


def _pushed(session: Any, **of: Any) -> dict[tuple[str, int, str], dict[str, Any]]:
    """What tasks have pushed that says something of their results, by way of the XCom backend.

    By task, map index and, on Airflow 3.4, the region that this is the place in: the iterations of a loop are one.
    """
    wanted = (*_FILE_LISTS, USAGE_XCOM, MPS_CONSOLE_XCOM)
    columns = [XComModel.task_id, XComModel.map_index, XComModel.key, XComModel.value]
    if hasattr(XComModel, "region_id"):
        columns.append(XComModel.region_id)
    query = select(*columns).where(
        XComModel.key.in_(wanted), *(getattr(XComModel, key) == id_ for key, id_ in of.items())
    )
    found: defaultdict[tuple[str, int, str], dict[str, Any]] = defaultdict(dict)
    for row in session.execute(query.order_by(XComModel.task_id, XComModel.map_index)):
        try:
            region = getattr(row, "region_id", _NO_REGION)
            place = (row.task_id, row.map_index, "" if region == _NO_REGION else str(region))
            found[place][row.key] = XCom.deserialize_value(row)
        except Exception as error:  # a backend may read it from elsewhere, and anybody may have written it
            log.warning("The XCom %s of task %s cannot be read: %s", row.key, row.task_id, type(error).__name__)
    return dict(found)


def _files(pushed: Mapping[str, Any]) -> list[tuple[str, str]]:
    """The kind and the URL of each file, in an order that stays."""
    keys = _FILE_LISTS[:1] if pushed.get("cos_urls") else _FILE_LISTS[1:]
    lists = {key: value for key in keys if isinstance(value := pushed.get(key), list)}
    return [
        (kind_of(url) if key == "cos_urls" else key.removesuffix("_urls"), url)
        for key, urls in lists.items()
        for url in urls
        if isinstance(url, str)
    ]


def _name(url: str) -> str:
    """What the page shows of a file. Not its URL, by which anybody may have it."""
    try:
        return unquote(urlsplit(url).path.rpartition("/")[2])[:200]
    except ValueError:
        return ""


def _opens_in_a_browser(url: str) -> bool:
    try:
        parts = urlsplit(url)
        return bool(parts.hostname) and (
            parts.scheme == "https" or (parts.scheme == "http" and is_loopback(parts.hostname))
        )
    except ValueError:
        return False


def _signed(session: Any, of_task: dict[str, Any], url: str) -> str:
    """A URL that a browser can open: what is in COS without a signature is signed by the task's connection."""
    stored = CosObject.named_by("n", url, "")
    if stored is None:
        return url
    # By way of the task instance: what else identifies these fields is another thing in each version of Airflow.
    query = select(RenderedTaskInstanceFields.rendered_fields).select_from(TaskInstance)
    query = query.join(TaskInstance.rendered_task_instance_fields)
    fields = session.scalars(query.where(*(getattr(TaskInstance, key) == id_ for key, id_ in of_task.items()))).first()
    if not isinstance(fields, dict) or not fields.get("mps_conn_id"):
        raise HTTPException(
            424,
            "The file cannot be signed: Airflow no longer has this task's rendered fields, which name its connection "
            "([core] num_dag_runs_to_retain_rendered_fields).",
        )
    # A create knows the bucket that it asked for, with its APPID or without; whoever writes XComs may name another.
    if "model_name" in fields and stored.bucket.rpartition("-")[0] not in json.dumps(fields):
        return url
    hook = _hook(str(fields["mps_conn_id"]), DagModel.get_team_name(of_task["dag_id"]))
    try:
        return reachable_url("n", url, hook.keys(), hook.settings, seconds=_SIGNED_SECONDS)
    except MpsError as error:
        raise HTTPException(424, f"The file cannot be signed on the API server: {error.what}") from None
    except Exception as error:  # of a secrets backend; it may quote anything
        log.warning("The connection %s cannot be read here: %s", hook.mps_conn_id, type(error).__name__)
        raise HTTPException(
            424,
            f"The API server cannot read the connection {hook.mps_conn_id} ({type(error).__name__}), "
            "which would sign the file's URL.",
        ) from None


def _hook(mps_conn_id: str, team: str | None) -> MpsHook:
    """A hook that reads its connection as the API server does for a task: one of the DAG's team, or of none."""
    of_team: dict[str, Any] = {"team_name": team} if team else {}

    class OfTeam(MpsHook):
        @classmethod
        def get_connection(cls, conn_id: str) -> Any:
            return Connection.get_connection_from_secrets(conn_id, **of_team)

    return OfTeam(mps_conn_id)
