"""Keeps the files of a task before their URLs expire."""

from __future__ import annotations

import threading
import time
from collections.abc import Mapping, Sequence
from datetime import timedelta
from typing import TYPE_CHECKING, Any, Unpack, cast
from urllib.parse import urlsplit

from airflow_provider_mps.api.codes import Failure
from airflow_provider_mps.api.errors import (
    ApiError,
    DownloadError,
    ExpiredUrlError,
    InvalidArgumentError,
    InvalidConnectionError,
    MissingConnectionError,
    MpsError,
)
from airflow_provider_mps.api.files.cos import CosObject, signed_url, unsigned_url
from airflow_provider_mps.api.redaction import without_queries
from airflow_provider_mps.api.request.convert import flag, seconds, whole_number
from airflow_provider_mps.api.tasks import TaskFamily, TaskState, families_of
from airflow_provider_mps.api.wire.settings import is_loopback
from airflow_provider_mps.compat import BaseOperator
from airflow_provider_mps.execution.identity import region_of
from airflow_provider_mps.execution.label import render_label_from
from airflow_provider_mps.execution.lineage import describe_outlets, operator_lineage
from airflow_provider_mps.execution.reporting import reported_errors
from airflow_provider_mps.hooks.connection import checked_id
from airflow_provider_mps.hooks.mps import MpsHook
from airflow_provider_mps.links.mps import ListenLink, ViewLink, WatchLink
from airflow_provider_mps.storage.folders import folder_named
from airflow_provider_mps.transfers.sources import (
    Source,
    names_of,
    shown,
    sources_of,
    task_ids_of,
)

if TYPE_CHECKING:
    from airflow.providers.common.compat.sdk import Context, ObjectStoragePath, XComArg

    from airflow_provider_mps.api.wire.credentials import Keys
    from airflow_provider_mps.api.wire.settings import ClientSettings
    from airflow_provider_mps.arguments import AirflowArguments
    from airflow_provider_mps.transfers.keeping import Keeping
    from airflow_provider_mps.transfers.targets import Folder

__all__ = ["DownloadError", "ExpiredUrlError", "MpsToObjectStorageOperator"]

KEPT_XCOM = "kept"

_IN_VAIN = 3
"""Calls that fail in a row, whatever task they ask for, after which no more are sent."""
_KEYS_SECONDS = 600.0
"""For how long a credential's keys sign one file after the other, before it is asked again."""


class MpsToObjectStorageOperator(BaseOperator):
    """Streams the files of finished tasks to a folder, wherever Airflow's object storage reaches.

    Each file gets the last part of its URL's path as its name, numbered where two are alike. It is in its place when
    all of it has come, and not before: an object by one PUT or a multipart upload; a local file is written beside its
    place and then linked or renamed. A file that is there already stays: with the same content it counts as kept (by an
    earlier try of the task), with any other content it is an error, unless ``overwrite`` is set; also where two
    transfers keep a file of one name at the same moment.

    What cannot be kept does not keep the others from it: all that come are kept, then an error names the rest. A
    403 or 404 in the first three minutes is asked again, for stores and CDNs may not have a new file at once.

    Returns the files' URIs as strings, in the order of the files, with a scheme and the destination's connection id.
    The XCom ``kept`` lists them with ``uri``, ``length`` in bytes, ``sha256``, and ``duration`` where it was given,
    also where the transfer fails. The assets that it is an outlet of get the same list as ``files`` in their extra; an
    alias among them gets an asset for each file.

    :param urls: one or a list of: https URLs, ``cos://bucket/key``, the API's results with ``Url`` and ``Duration``,
        the API's objects in COS with ``Bucket``, ``Region`` and ``Object``, and the XCom ``result`` of a task. The
        XComs ``audio_urls``, ``cos_uris`` and ``cos_objects`` are such lists. An http URL is read over https; plain
        http is for this machine, and only with a connection to it. What is in COS needs the extra ``cos``; so does the
        bare https URL of a file there, which is signed where it is not public, as MPS's own store is.
    :param mps_task_ids: instead of ``urls``, one or a list of TaskIds: their files, by URLs asked for at this moment.
        None, which mapped tasks leave that failed, is left out.
    :param destination: the folder: a URI such as ``s3://bucket/soundtracks/{{ ds }}``, an absolute path, or an
        ``ObjectStoragePath``. It is made where the storage has folders; a bucket never is.
    :param file_name: the files' name, without the suffix, which stays that of the URL; numbered where two are alike.
    :param storage_conn_id: the Airflow connection of the object storage; also ``s3://conn_id@bucket/...``.
    :param mps_conn_id: the Airflow connection whose keys sign what is in COS and ask for ``mps_task_ids``, and whose
        ``proxy`` and ``verify`` hold for all downloads. Where it does not exist, https URLs are downloaded without a
        proxy, TLS verified.
    :param cos_region: the region of the buckets of ``cos://`` URIs; the connection's ``cos_region`` where it is not
        given.
    :param timeout: seconds (a number or a timedelta) without a byte after which a download counts as cut off.
    :param download_timeout: seconds (likewise) for each file as a whole, repeats included: one hour.
    :param max_bytes: a larger file is refused: 10 GiB.
    :param overwrite: whether a file of the same name and other content is replaced.
    :param concurrency: how many files at a time, over shared connections.
    :raises InvalidArgumentError: an argument cannot be used; nothing was downloaded.
    :raises InvalidConnectionError: the connection cannot be used, or is needed and not there.
    :raises DownloadError: a file could not be downloaded whole, or not be stored; what could be kept is kept. A retry
        fetches the rest.
    :raises ExpiredUrlError: no missing file's URL works, or works any longer.
    """

    template_fields: Sequence[str] = (
        "urls",
        "mps_task_ids",
        "destination",
        "file_name",
        "storage_conn_id",
        "mps_conn_id",
        "cos_region",
    )
    ui_color = "#e2f5e5"
    # To what was read, while its URL is good: a browser opens neither file:// nor s3://.
    operator_extra_links = (ListenLink(), WatchLink(), ViewLink())

    def __init__(
        self,
        *,
        destination: str | ObjectStoragePath | XComArg,
        urls: str | Mapping[str, Any] | Sequence[str | Mapping[str, Any] | XComArg] | XComArg | None = None,
        mps_task_ids: str | Sequence[str | XComArg] | XComArg | None = None,
        file_name: str | XComArg | None = None,
        storage_conn_id: str | XComArg | None = None,
        mps_conn_id: str | XComArg = MpsHook.default_conn_name,
        cos_region: str | XComArg | None = None,
        timeout: float | timedelta = 60.0,
        download_timeout: float | timedelta = 3600.0,
        max_bytes: int = 10 * 1024**3,
        overwrite: bool = False,
        concurrency: int = 8,
        **kwargs: Unpack[AirflowArguments],
    ) -> None:
        super().__init__(**kwargs)
        self.urls = urls
        self.mps_task_ids = mps_task_ids
        # What follows is so once it is rendered.
        self.destination = cast("str | ObjectStoragePath", destination)
        self.file_name = cast("str | None", file_name)
        self.storage_conn_id = cast("str | None", storage_conn_id)
        self.mps_conn_id = cast("str", mps_conn_id)
        self.cos_region = cast("str | None", cos_region)
        self.timeout = timeout
        self.download_timeout = download_timeout
        self.max_bytes = max_bytes
        self.overwrite = overwrite
        self.concurrency = concurrency
        self.sources: Sequence[Source] = ()
        self.kept: Sequence[Mapping[str, Any]] = ()
        self.files: Mapping[str, Any] = {}
        self._keeping: Keeping | None = None

    def execute(self, context: Context) -> list[str]:
        """Fetch the files, and put each in its place once it is whole; their URIs."""
        render_label_from(self, context)
        with reported_errors(self):
            self._check_arguments()
            conn_id = checked_id(self.mps_conn_id)
            path = folder_named("destination", self.destination, conn_id, self.storage_conn_id)
            hook = MpsHook(conn_id)
            settings = self._settings(hook)
            sources, errors = self._sources(hook)
            if sources or not errors:
                names_of(sources, self.file_name)  # what cannot be a name is said first
                sources = [self._reachable(source, settings) for source in sources]
                self.sources = sources
                self.files = {"urls": [source.cos.url if source.cos else source.url for source in sources]}
                self._keep(context, path, sources, _Addresses(hook, settings), errors)
            if errors:
                from airflow_provider_mps.transfers.keeping import all_in_one

                raise all_in_one(errors, self.kept)
        describe_outlets(context, self.outlets or (), {"files": self.kept}, {file["uri"]: file for file in self.kept})
        return [file["uri"] for file in self.kept]

    def on_kill(self) -> None:
        """End what is under way, and remove what is not whole."""
        if self._keeping:
            self._keeping.end()

    def get_openlineage_facets_on_complete(self, task_instance: Any) -> Any:
        """The files that were read, and those that were kept."""
        return operator_lineage([source.url for source in self.sources], [file["uri"] for file in self.kept])

    def _check_arguments(self) -> None:
        if (self.urls is None) == (self.mps_task_ids is None):
            raise InvalidArgumentError("urls", "is needed, or mps_task_ids in its place, and not both")
        if self.file_name is not None and not isinstance(self.file_name, str):
            raise InvalidArgumentError("file_name", f"must be text, not {shown(self.file_name)}")
        seconds("timeout", self.timeout)
        seconds("download_timeout", self.download_timeout)
        whole_number("concurrency", self.concurrency)
        if isinstance(self.max_bytes, bool) or not isinstance(self.max_bytes, int) or self.max_bytes <= 0:
            raise InvalidArgumentError("max_bytes", "must be a whole number of bytes, more than 0")
        flag("overwrite", self.overwrite)

    def _sources(self, hook: MpsHook) -> tuple[list[Source], list[MpsError]]:
        """The files to keep; and of each TaskId that gives none, why."""
        if self.mps_task_ids is None:
            return sources_of(self.urls), []
        found: list[Source] = []
        errors: list[MpsError] = []
        task_ids = task_ids_of(self.mps_task_ids)
        if not task_ids:
            raise InvalidArgumentError("mps_task_ids", "is empty: did the task before return any?")
        in_vain = 0
        for number, task_id in enumerate(task_ids):
            try:
                found += self._files_of(hook, task_id)
                in_vain = 0
            except InvalidArgumentError:
                raise
            except MpsError as error:
                errors.append(error)
                of_this_task = isinstance(error, DownloadError) or getattr(error, "failure", None) is Failure.NOT_FOUND
                in_vain = 0 if of_this_task else in_vain + 1
            if in_vain == _IN_VAIN:  # each is repeated for a minute, and the URLs of the others expire
                errors += map(_not_asked, task_ids[number + 1 :])
                break
        return found, errors

    def _files_of(self, hook: MpsHook, task_id: str) -> list[Source]:
        *others, last = families_of("mps_task_ids", task_id)
        for family in others:
            try:
                return self._files_in(hook, family, task_id)
            except ApiError as error:
                if error.failure is not Failure.NOT_FOUND:
                    raise
        return self._files_in(hook, last, task_id)

    def _files_in(self, hook: MpsHook, family: TaskFamily, task_id: str) -> list[Source]:
        status = hook.describe(family, task_id)
        if status.state is TaskState.DONE and status.urls:
            return sources_of(family.result(status))
        ended = status.state is TaskState.FAIL
        raise DownloadError(
            f"{family.title} task {task_id} is {status.word}, and has no file"
            + (f": {without_queries(status.message)}" if ended else ""),
            retry_helps=not ended,
            advice="Make, and pay for, a new one" if ended else None,
        )

    def _settings(self, hook: MpsHook) -> ClientSettings | None:
        """The connection's; None where there is none of that id, for an https URL needs none."""
        try:
            return hook.settings
        except MissingConnectionError:
            if self.mps_task_ids is not None:
                raise
            self.log.info("There is no connection %s: downloading without a proxy, TLS verified.", self.mps_conn_id)
            return None

    def _reachable(self, source: Source, settings: ClientSettings | None) -> Source:
        """The source with all that it takes to reach it, or an error that says what is missing."""
        if source.url.startswith("http:") and not (settings and is_loopback(settings.host)):
            raise InvalidArgumentError(
                "urls", "plain http is taken only where the MPS connection itself leads to this machine"
            )
        if source.cos is None:
            return source
        if settings is None:
            if source.url.startswith("https:"):  # the bucket may be public
                return Source(source.url, None, source.extra)
            raise InvalidConnectionError("is not defined; cos:// needs its keys", conn_id=self.mps_conn_id)
        if source.cos.region:
            return source
        region = self.cos_region or settings.cos_region
        if not region:
            raise InvalidArgumentError("cos_region", "is needed for cos://, as the connection has no cos_region")
        cos = CosObject(source.cos.bucket, source.cos.key, region if isinstance(region, str) else "")
        cos.check("urls")
        return Source(source.url, cos, source.extra)

    def _keep(
        self,
        context: Context,
        path: ObjectStoragePath,
        sources: Sequence[Source],
        address: _Addresses,
        errors: list[MpsError],
    ) -> None:
        """Keep all that come; why the rest do not is added to the errors. What is kept is pushed in any case."""
        from airflow_provider_mps.api.files.connections import Connections
        from airflow_provider_mps.api.files.download import Limits
        from airflow_provider_mps.transfers.keeping import Keeping

        if in_cos := next((source for source in sources if source.cos and not address.unsigned(source)), None):
            address(in_cos)  # what hinders signing is said before anything is downloaded
        folder, earlier, named = self._prepared(context, path, sources)
        limits = Limits(
            seconds("timeout", self.timeout), seconds("download_timeout", self.download_timeout), self.max_bytes
        )
        settings = address.settings
        proxy, verify = (settings.proxy, settings.verify) if settings else ("", True)
        with Connections(proxy, verify, self.concurrency) as connections:
            self._keeping = keeping = Keeping(folder, connections, address, limits)
            try:
                files = [(source, *each) for source, each in zip(sources, named, strict=True)]
                keeping.run(files, self.concurrency, earlier, more_to_come=bool(errors))
            finally:
                self.kept = keeping.kept
                if ti := context.get("ti"):
                    ti.xcom_push(key=KEPT_XCOM, value=self.kept)
        for error in keeping.errors:
            if isinstance(error, ExpiredUrlError) and self.mps_task_ids is not None:
                error.retry_helps = True  # by a fresh URL
            errors.append(error)
        keeping.settle(complete=not errors)

    def _prepared(
        self, context: Context, path: ObjectStoragePath, sources: Sequence[Source]
    ) -> tuple[Folder, list[dict[str, Any]], list[tuple[str, Mapping[str, Any]]]]:
        """The folder, the record that an earlier try has left there, and the files' names, each with its entry."""
        from airflow_provider_mps.transfers.targets import Folder, storage_errors

        folder = Folder(path, _identity(context.get("ti")), _since(context), self.overwrite)
        with storage_errors(path):
            try:
                folder.prepare()
                earlier = folder.kept()
                named = names_of(sources, self.file_name, earlier)
                for name, _ in named:
                    folder.target(name)
            except IsADirectoryError as error:
                raise InvalidArgumentError("destination", f"has a folder where the file {error} would go") from None
            except (FileExistsError, NotADirectoryError):
                raise InvalidArgumentError("destination", f"{shown(str(path))} is a file, or below one") from None
        return folder, earlier, named


class _Addresses:
    """Where a file can be downloaded: by its own URL, or for one in COS by one that is signed and good for an hour."""

    def __init__(self, hook: MpsHook, settings: ClientSettings | None) -> None:
        self._hook = hook
        self.settings = settings
        self._keys: Keys | None = None
        self._asked_at = 0.0
        self._asking = threading.Lock()

    def unsigned(self, source: Source) -> str:
        """The URL of a file that may be in MPS's own store, which lets anybody in, and the user's keys maybe not."""
        if source.cos is None or self.settings is None or source.url.startswith("cos:"):
            return ""
        endpoint = self.settings.cos_endpoint
        return unsigned_url(source.cos, endpoint) if is_loopback(urlsplit(endpoint).hostname) else source.url

    def __call__(self, source: Source) -> str:
        if source.cos is None or self.settings is None:
            return source.url
        with self._asking:
            if self._keys is None or time.monotonic() - self._asked_at > _KEYS_SECONDS:
                self._keys, self._asked_at = self._hook.keys(), time.monotonic()
            return signed_url(source.cos, self._keys, self.settings.cos_endpoint)


def _not_asked(task_id: str) -> DownloadError:
    return DownloadError(f"task {task_id}: its URLs were not asked for, as {_IN_VAIN} calls in a row had failed")


def _since(context: Context) -> str:
    """What a try and its retries share.

    A clear raises max_tries, or where ``retries`` was lowered before it, the run's clear_number alone; a run that is
    deleted and made again under its old run_id starts at another time.
    """
    run, ti = context.get("dag_run"), context.get("ti")
    found = (getattr(run, "start_date", None), getattr(run, "clear_number", None), getattr(ti, "max_tries", None))
    return "/".join(map(str, found))


def _identity(ti: Any) -> str:
    """What distinguishes a task instance from all others, over its tries; empty where there is none."""
    if ti is None:
        return ""
    own = [getattr(ti, name, "") for name in ("dag_id", "run_id", "task_id", "map_index")]
    return "/".join(str(part) for part in (*own, *region_of(ti)))
