"""Secrets backends of a user's own, as Airflow loads them by their paths."""

import importlib
import json
from typing import Any

from airflow.secrets import BaseSecretsBackend


class OwnBackend(BaseSecretsBackend):
    """Hands back a connection of one of Airflow's two classes.

    :param connections: the fields of each connection by its id.
    :param module: where that class is: ``airflow.sdk`` or ``airflow.models``.
    """

    def __init__(self, connections: dict[str, dict[str, Any]], module: str) -> None:
        super().__init__()
        self._connections, self._module = connections, module

    def get_connection(self, conn_id: str, team_name: str | None = None) -> Any:
        """The connection; None where it is not known here."""
        fields = self._connections.get(conn_id)
        if fields is None:
            return None
        connection = importlib.import_module(self._module).Connection
        return connection(conn_id=conn_id, **fields | {"extra": json.dumps(fields["extra"])})


class OwnAsyncBackend(OwnBackend):
    """The same, with a look-up for event loops, as some have from Airflow 3.3 on."""

    async def aget_connection(self, conn_id: str) -> Any:
        """The connection; None where it is not known here."""
        return self.get_connection(conn_id)
