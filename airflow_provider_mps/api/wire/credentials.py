"""Keys, from the SDK's credential classes, and TC3 signing with them."""

from __future__ import annotations

import asyncio
import hashlib
import logging
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from tencentcloud.common.sign import Sign

from airflow_provider_mps.api.codes import Failure, classify
from airflow_provider_mps.api.errors import CredentialError
from airflow_provider_mps.api.failure_log import in_words
from airflow_provider_mps.api.redaction import withheld
from airflow_provider_mps.api.wire.answers import identifier
from airflow_provider_mps.api.wire.loop import in_daemon_thread
from airflow_provider_mps.api.wire.settings import CredentialKind, CredentialSettings

if TYPE_CHECKING:
    import httpx

log = logging.getLogger(__name__)

_SERVICE = "mps"
_KEPT_SECONDS = 60.0
"""The SDK renews its temporary keys minutes before they end (300 s at the least); asking it once a minute is enough."""


@dataclass(frozen=True)
class Keys:
    """What signs one request."""

    secret_id: str = field(repr=False)
    secret_key: str = field(repr=False)
    token: str | None = field(repr=False)


class Credentials:
    """The keys of one account: got from the SDK's classes, kept for a minute, thrown away when refused.

    Where they cannot be renewed, those go on being used that have not expired: the SDK renews the keys of
    ``assume_role`` after a tenth of their time.

    Of one event loop, as a client is.

    :param settings: the source.
    :param timeout: seconds that :meth:`aresolve` waits for it.
    """

    def __init__(self, settings: CredentialSettings, timeout: float) -> None:
        self._settings = settings
        self._timeout = timeout
        self._source: Any = None
        self._keys: Keys | None = None
        self._kept_until = self._expire_at = 0.0
        self._trouble_said = False
        self._asking: asyncio.Future[Keys] | None = None
        self._abandon_after = self._abandon_at = 0.0

    def kept(self) -> Keys | None:
        """The keys, if they are at hand."""
        if self._settings.kind is CredentialKind.STATIC:
            return Keys(self._settings.secret_id, self._settings.secret_key, self._settings.token or None)
        return self._keys if time.monotonic() < self._kept_until else None

    async def aresolve(self, within: float | None = None) -> Keys:
        """The keys, looked up in a thread that nobody waits for longer than the caller's own deadline.

        :param within: seconds, where that is less than ``timeout``.
        :raises CredentialError: names the source that was tried, and what it said.
        """
        if keys := self.kept():
            return keys
        seconds = self._timeout if within is None else max(0.0, min(self._timeout, within))
        try:
            return await asyncio.wait_for(asyncio.shield(self._shared()), seconds)
        except TimeoutError:
            error = self._error(f"no answer within {seconds:.3g} s", Failure.NEVER_SENT)
        except CredentialError as failed:
            error = failed
        if keys := self._still_good(error):
            return keys
        raise error from None

    def _still_good(self, error: CredentialError) -> Keys | None:
        """The keys of before, if they have not expired: for a minute more, and then they are to be renewed again."""
        left = self._expire_at - time.time()
        if self._keys is None or left <= 0:
            return None
        self._kept_until = time.monotonic() + min(_KEPT_SECONDS, left)
        if not self._trouble_said:
            self._trouble_said = True
            log.warning("%s; those of before are good for %s, and go on being used", error.what, in_words(left))
        return self._keys

    def _shared(self) -> asyncio.Future[Keys]:
        """One look-up shared by all callers. Its thread cannot be ended, and the SDK's metadata reader has no timeout.

        So one that stays silent is given up and begun anew: rarely, each time after twice as long.
        """
        now = time.monotonic()
        silent = self._asking is not None and not self._asking.done()
        if self._asking is None or not silent or now >= self._abandon_at:
            self._abandon_after = 2 * (self._abandon_after if silent else self._timeout)
            self._abandon_at = now + self._abandon_after
            if silent:
                self._source = None  # it may hold a lock
            self._asking = in_daemon_thread(self._ask)
            self._asking.add_done_callback(lambda asked: asked.cancelled() or asked.exception())  # nobody may be left
        return self._asking

    def _ask(self) -> Keys:
        source = self._source
        try:
            with withheld():
                source = source or sdk_credential(self._settings)
                keys, expire_at = Keys(*source.get_credential_info()), _expiry(source)
        except Exception as error:
            self._source = None
            raise self._no_keys(error) from None
        if not keys.secret_id or not keys.secret_key:
            self._source = None
            raise self._error("it is not there, or has no role bound", Failure.NEVER_SENT)
        self._source, self._keys, self._expire_at = source, keys, expire_at
        self._kept_until = time.monotonic() + _KEPT_SECONDS
        self._trouble_said = False
        return keys

    def forget(self) -> None:
        """Throw the kept keys away: the service refused them."""
        self._source, self._keys, self._kept_until = None, None, 0.0

    def _error(self, said: str, failure: Failure) -> CredentialError:
        source = f"credential={self._settings.kind.value} ({self._source_named()})"
        return CredentialError(f"{source} gave no keys: {said}", failure=failure, action="Credential")

    def _no_keys(self, error: Exception) -> CredentialError:
        if type(error) is OSError or isinstance(error, (FileNotFoundError, PermissionError)):
            return self._error(str(error), Failure.FINAL)  # a TKE_* variable, or a file, that is not there
        # An error of the SDK may quote the whole answer of STS, keys included: only its code is quoted.
        code = identifier(getattr(error, "code", None)) or type(error).__name__
        refused = classify(code).failure is Failure.FINAL
        return self._error(code, Failure.FINAL if refused else Failure.NEVER_SENT)

    def _source_named(self) -> str:
        settings = self._settings
        return {
            CredentialKind.STATIC: "the connection",
            CredentialKind.ASSUME_ROLE: f"STS at {settings.sts_endpoint}, role {settings.role_arn}",
            CredentialKind.CVM_ROLE: f"the metadata service, role {settings.cvm_role_name or 'of the instance'}",
            CredentialKind.TKE_OIDC: f"the pod's TKE_* variables and STS at {settings.sts_endpoint}",
            CredentialKind.DEFAULT_CHAIN: (
                "TENCENTCLOUD_SECRET_ID and TENCENTCLOUD_SECRET_KEY, ~/.tencentcloud/credentials, "
                "the instance's role, the pod's TKE_* variables"
            ),
        }[settings.kind]


def sdk_credential(settings: CredentialSettings) -> Any:
    """The SDK's own credential object for these settings; some kinds do blocking HTTP here already."""
    # Here: it brings requests, a fifth of the CPU of a worker's run, and keys that are given need neither.
    from tencentcloud.common import credential as sdk

    if settings.kind is CredentialKind.STATIC:
        return sdk.Credential(settings.secret_id, settings.secret_key, settings.token or None)
    if settings.kind is CredentialKind.ASSUME_ROLE:
        return sdk.STSAssumeRoleCredential(
            settings.secret_id,
            settings.secret_key,
            settings.role_arn,
            settings.role_session_name or "airflow-provider-mps",
            endpoint=settings.sts_endpoint,
        )
    if settings.kind is CredentialKind.CVM_ROLE:
        return sdk.CVMRoleCredential(settings.cvm_role_name or None)
    chain = (
        sdk.DefaultTkeOIDCRoleArnProvider()
        if settings.kind is CredentialKind.TKE_OIDC
        else sdk.DefaultCredentialProvider()
    )
    source = chain.get_credential()
    if isinstance(source, sdk.OIDCRoleArnCredential):
        source.endpoint = settings.sts_endpoint  # the SDK's own is the Chinese one
    return source


def _expiry(source: Any) -> float:
    """When the keys of one of the SDK's objects expire, as a POSIX time; 0 where it does not say."""
    from tencentcloud.common import credential as sdk

    if isinstance(source, sdk.CVMRoleCredential):
        return float(getattr(source, "_expired_ts", 0.0))
    # For STS, the SDK notes when it is to renew them: so much of their time before they expire.
    early = {sdk.STSAssumeRoleCredential: 0.9, sdk.OIDCRoleArnCredential: 0.1}.get(type(source), 0.0)
    renewed_at, good_for = getattr(source, "_expired_time", 0.0), getattr(source, "_duration_seconds", 0.0)
    return float(renewed_at + early * good_for)


def sign(request: httpx.Request, keys: Keys) -> None:
    """Sign a request with TC3-HMAC-SHA256 (API reference, "Signature v3"), at the time of this call."""
    timestamp = int(time.time())
    date = time.strftime("%Y-%m-%d", time.gmtime(timestamp))
    scope = f"{date}/{_SERVICE}/tc3_request"
    signed_headers = "content-type;host"
    canonical_request = "\n".join(
        (
            request.method,
            request.url.path,
            request.url.query.decode(),
            f"content-type:{request.headers['content-type']}\nhost:{request.headers['host']}\n",
            signed_headers,
            hashlib.sha256(request.content).hexdigest(),
        )
    )
    hashed = hashlib.sha256(canonical_request.encode()).hexdigest()
    signature = Sign.sign_tc3(keys.secret_key, date, _SERVICE, f"TC3-HMAC-SHA256\n{timestamp}\n{scope}\n{hashed}")
    request.headers["X-TC-Timestamp"] = str(timestamp)
    if keys.token:
        request.headers["X-TC-Token"] = keys.token
    request.headers["Authorization"] = (
        f"TC3-HMAC-SHA256 Credential={keys.secret_id}/{scope}, SignedHeaders={signed_headers}, Signature={signature}"
    )
