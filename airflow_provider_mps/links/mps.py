"""The buttons on a task's page: the result, where it is stored, and the console."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, ClassVar
from urllib.parse import urlsplit

from airflow_provider_mps.api.files.cos import CosObject, reachable_url
from airflow_provider_mps.api.tasks.status import format_of
from airflow_provider_mps.compat import BaseOperatorLink, XCom, mask_secret
from airflow_provider_mps.hooks.mps import MpsHook
from airflow_provider_mps.xcoms import CONSOLE_XCOM, MPS_CONSOLE_XCOM

if TYPE_CHECKING:
    from airflow.providers.common.compat.sdk import BaseOperator, TaskInstanceKey

log = logging.getLogger(__name__)

FILES = ("cos_urls", "urls")
"""The keys of lists that hold files of any kind."""
_KINDS = {
    "audio": {"aac", "flac", "m4a", "mp3", "ogg", "opus", "wav"},
    "image": {"gif", "jpeg", "jpg", "png", "webp"},
    "video": {"m4v", "mov", "mp4", "webm"},
}
"""What a browser plays or shows. Not Python's ``mimetypes``: without a table of the machine, as in a slim container,
that of 3.11 knows neither flac nor m4a nor webp."""


class XComLink(BaseOperatorLink):
    """Leads to what an XCom of the task holds: a URL, or the first of a list.

    A file in the user's own bucket has a URL without a signature, to which a private bucket answers 403: the link is
    signed for an hour. See docs/decisions/0005-presigned-urls-for-cos.md for what that means.

    :cvar kind: of the files that it leads to; where the key has none, one of this kind in FILES is taken.
    """

    label: ClassVar[str]
    key: ClassVar[str]
    kind: ClassVar[str] = ""

    @property
    def name(self) -> str:
        """What the link is called on the task's page."""
        return self.label

    def get_link(self, operator: BaseOperator, *, ti_key: TaskInstanceKey) -> str:
        """Return where it leads now; an empty text while there is nothing to see."""
        # Airflow 3 asks on the worker, where the operator itself knows; Airflow 2 on the web server.
        here = getattr(operator, "files", None)

        def pushed(key: str) -> Any:
            return XCom.get_value(key=key, ti_key=ti_key)

        key, value = self._found(pushed if here is None else here.get)
        if not value.startswith(("http://", "https://")):
            return ""  # what comes from the service may be anything, and this becomes a link on a page of Airflow's
        in_own_store = getattr(operator, "stored_in", None) == {}  # MPS's: it is not the user's keys that open it
        link = value if in_own_store else self._signed(key, value, getattr(operator, "mps_conn_id", ""))
        if here is not None and (query := urlsplit(link).query):
            mask_secret(query)  # at DEBUG, Airflow logs each link that it keeps
        return link

    def leads(self, files: Mapping[str, Any]) -> bool:
        """Whether there is something to see in a task's files, by XCom key."""
        return bool(self._found(files.get)[1])

    def _found(self, get: Callable[[str], Any]) -> tuple[str, str]:
        """The key of the first value that this link may lead to, and the value; empty where there is none."""
        for key in (self.key, *FILES) if self.kind else (self.key,):
            value = get(key)
            values = value if isinstance(value, (list, tuple)) else [value]
            fit = (each for each in values if isinstance(each, str) and (key == self.key or kind_of(each) == self.kind))
            if found := next(fit, ""):
                return key, found
        return "", ""

    def _signed(self, key: str, url: str, mps_conn_id: str) -> str:
        try:
            if CosObject.named_by(key, url, "") is None:
                return url
            hook = MpsHook(mps_conn_id)
            return reachable_url(key, url, hook.keys(), hook.settings)
        except Exception as error:  # whatever it is: the task is done, and paid for
            log.warning("The link %s is not signed, and a private bucket gives nothing to it: %s", self.label, error)
            return url


def kind_of(url: str) -> str:
    """What a file is by its name: ``audio``, ``video``, ``image``, or empty for anything else."""
    try:
        suffix = format_of(url).lower()
    except ValueError:
        return ""
    return next((kind for kind, suffixes in _KINDS.items() if suffix in suffixes), "")


class ListenLink(XComLink):
    """The first audio file of the result, or of what a transfer has read; good for as long as its URL is."""

    label = "Listen"
    key = "audio_urls"
    kind = "audio"


class WatchLink(XComLink):
    """The first video, likewise."""

    label = "Watch"
    key = "video_urls"
    kind = "video"


class ViewLink(XComLink):
    """The first image, likewise."""

    label = "View"
    key = "image_urls"
    kind = "image"


class StoredInCosLink(XComLink):
    """The bucket's folder in the COS console of the account's site."""

    label = "Stored in COS"
    key = CONSOLE_XCOM


class MpsConsoleLink(XComLink):
    """The page of the MPS console that lists such tasks: there from the first second of a wait.

    The console documents no page of a single task. Of an emulator, it is the emulator's own page.
    """

    label = "MPS console"
    key = MPS_CONSOLE_XCOM
