"""The results page, as Airflow finds it: a tab of each DAG run, and an entry of the menu (Airflow 3.1.1 and later).

Workers and the scheduler load this module, too: it imports neither FastAPI nor the hook before a page is asked for.
"""

from __future__ import annotations

from typing import Any

from airflow import __version__ as airflow_version
from airflow.plugins_manager import AirflowPlugin
from packaging.version import Version

from airflow_provider_mps.compat import conf

URL_PREFIX = "/mps"


async def results_app(scope: Any, receive: Any, send: Any) -> None:
    """The page as an ASGI application, made when it is first asked for."""
    from airflow_provider_mps.plugins.results_app import app

    await app(scope, receive, send)


def _page() -> str:
    """Its address: as a whole where Airflow knows its own, for some frames of Airflow take no other."""
    return f"{conf.get('api', 'base_url', fallback='').rstrip('/')}{URL_PREFIX}/results"


# Airflow before 3.1 has no place for a page, and the session of 3.1.0 is not in a cookie: a player cannot send it.
_IS_ON = Version(airflow_version).release >= (3, 1, 1) and conf.getboolean("mps", "results_page", fallback=True)


class MpsResultsPlugin(AirflowPlugin):
    """Shows what MPS has made for a run: to see, to hear, and to approve. Off by ``[mps] results_page = False``."""

    name = "mps_results"
    fastapi_apps: list[Any] = [{"app": results_app, "url_prefix": URL_PREFIX, "name": "MPS results"}] if _IS_ON else []
    # The ids stand in the fragment, where a plus sign is one, and which no server sees.
    external_views: list[Any] = (
        [
            {
                "name": "MPS results",
                "href": f"{_page()}#dag_id={{DAG_ID}}&run_id={{RUN_ID}}",
                "destination": "dag_run",
                "url_route": "mps_results_of_run",
            },
            {
                "name": "MPS results",
                "href": _page(),
                "destination": "nav",
                "category": "browse",
                "url_route": "mps_results",
            },
        ]
        if _IS_ON
        else []
    )
