"""The buttons on a task's page: the result, and where it is stored."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any, ClassVar
from urllib.parse import urlsplit

from airflow_provider_mps.api.cos import CosObject, reachable_url
from airflow_provider_mps.api.tasks import CONSOLE_XCOM
from airflow_provider_mps.compat import BaseOperatorLink, XCom, mask_secret
from airflow_provider_mps.hooks.mps import MpsHook

if TYPE_CHECKING:
    from airflow.providers.common.compat.sdk import BaseOperator, TaskInstanceKey

log = logging.getLogger(__name__)


class XComLink(BaseOperatorLink):
    """Leads to what an XCom of the task holds: a URL, or the first of a list.

    A file in the user's own bucket has a URL without a signature, to which a private bucket answers 403: the link is
    signed for an hour. See docs/decisions/0005-presigned-urls-for-cos.md for what that means.
    """

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
        if not isinstance(value, str) or not value.startswith(("http://", "https://")):
            return ""  # what comes from the service may be anything, and this becomes a link on a page of Airflow's
        link = self._signed(value, getattr(operator, "mps_conn_id", ""))
        if here is not None and (query := urlsplit(link).query):
            mask_secret(query)  # at DEBUG, Airflow logs each link that it keeps
        return link

    def _signed(self, url: str, mps_conn_id: str) -> str:
        try:
            if CosObject.named_by(self.key, url, "") is None:
                return url
            hook = MpsHook(mps_conn_id)
            return reachable_url(self.key, url, hook.keys(), hook.settings)
        except Exception as error:  # whatever it is: the task is done, and paid for
            log.warning("The link %s is not signed, and a private bucket gives nothing to it: %s", self.label, error)
            return url


class ListenLink(XComLink):
    """The first audio file of the result; good for as long as its URL is."""

    label = "Listen"
    key = "audio_urls"


class WatchLink(XComLink):
    """The first video of the result; good for as long as its URL is."""

    label = "Watch"
    key = "video_urls"


class ViewLink(XComLink):
    """The first image of the result; good for as long as its URL is."""

    label = "View"
    key = "image_urls"


class StoredInCosLink(XComLink):
    """The bucket's folder in the COS console of the account's site."""

    label = "Stored in COS"
    key = CONSOLE_XCOM
