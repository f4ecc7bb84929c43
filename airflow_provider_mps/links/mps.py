"""The buttons on a task's page: the result, and where it is stored."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

from airflow.providers.common.compat.sdk import BaseOperatorLink, XCom

if TYPE_CHECKING:
    from airflow.providers.common.compat.sdk import BaseOperator, TaskInstanceKey

CONSOLE_XCOM = "cos_console_url"


class _XComLink(BaseOperatorLink):
    """Leads to what an XCom of the task holds: a URL, or the first of a list."""

    label: ClassVar[str]
    key: ClassVar[str]

    @property
    def name(self) -> str:
        return self.label

    def get_link(self, operator: BaseOperator, *, ti_key: TaskInstanceKey) -> str:
        # Airflow 3 asks on the worker, where the operator itself knows; Airflow 2 on the web server.
        here = getattr(operator, "files", None)
        value: Any = XCom.get_value(key=self.key, ti_key=ti_key) if here is None else here.get(self.key)
        if isinstance(value, (list, tuple)):
            value = value[0] if value else None
        return str(value or "")


class ListenLink(_XComLink):
    """The first audio file of the result; good for as long as its URL is."""

    label = "Listen"
    key = "audio_urls"


class WatchLink(_XComLink):
    """The first video of the result; good for as long as its URL is."""

    label = "Watch"
    key = "video_urls"


class ViewLink(_XComLink):
    """The first image of the result; good for as long as its URL is."""

    label = "View"
    key = "image_urls"


class StoredInCosLink(_XComLink):
    """The bucket's folder in the COS console of the account's site."""

    label = "Stored in COS"
    key = CONSOLE_XCOM
