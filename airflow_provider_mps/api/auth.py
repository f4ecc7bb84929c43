"""Keys, from the SDK's credential classes, and TC3 signing with them."""

from __future__ import annotations

import asyncio
import hashlib
import threading
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from tencentcloud.common import credential as sdk
from tencentcloud.common.sign import Sign

from airflow_provider_mps.api.answers import identifier
from airflow_provider_mps.api.errors import CredentialError, Failure, classify
from airflow_provider_mps.api.loop import in_daemon_thread
from airflow_provider_mps.api.redaction import withheld
from airflow_provider_mps.api.settings import CredentialKind, CredentialSettings

if TYPE_CHECKING:
    import httpx

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
    """The keys of one account: asked of the SDK's classes, kept for a minute, thrown away when refused.

    Sources other than ``static`` do blocking HTTP: in an event loop use :meth:`aresolve`.

    :param settings: the source.
    :param timeout: seconds that :meth:`aresolve` waits for it.
    """

    def __init__(self, settings: CredentialSettings, timeout: float) -> None:
        self._settings = settings
        self._timeout = timeout
        self._source: Any = None
        self._keys: Keys | None = None
        self._kept_until = 0.0
        self._lock = threading.Lock()

    def kept(self) -> Keys | None:
        """The keys, if they need not be asked for."""
        if self._settings.kind is CredentialKind.STATIC:
            return Keys(self._settings.secret_id, self._settings.secret_key, self._settings.token or None)
        return self._keys if time.monotonic() < self._kept_until else None

    def resolve(self) -> Keys:
        """The keys; may do blocking HTTP without a time limit of its own.

        :raises CredentialError: names the source that was tried, and what it said.
        """
        with self._lock:
            if keys := self.kept():
                return keys
            try:
                with withheld():
                    self._source = self._source or sdk_credential(self._settings)
                    keys = Keys(*self._source.get_credential_info())
            except Exception as error:
                self._source = None
                raise self._no_keys(error) from None
            if not keys.secret_id or not keys.secret_key:
                self._source = None
                raise self._error("it is not there, or has no role bound", Failure.NEVER_SENT)
            self._keys, self._kept_until = keys, time.monotonic() + _KEPT_SECONDS
            return keys

    async def aresolve(self) -> Keys:
        """The keys, asked for in a thread that nobody waits for longer than the caller's own deadline."""
        if keys := self.kept():
            return keys
        try:
            # The metadata service's reader in the SDK has no timeout of its own.
            return await asyncio.wait_for(in_daemon_thread(self.resolve), self._timeout)
        except TimeoutError:
            raise self._error(f"no answer within {self._timeout:g} s", Failure.NEVER_SENT) from None

    def forget(self) -> None:
        """Throw the kept keys away: the service refused them."""
        self._source, self._keys, self._kept_until = None, None, 0.0

    def _error(self, said: str, failure: Failure) -> CredentialError:
        source = f"credential={self._settings.kind.value} ({self._told_source()})"
        return CredentialError(f"{source} gave no keys: {said}", failure=failure, action="Credential")

    def _no_keys(self, error: Exception) -> CredentialError:
        if type(error) is OSError or isinstance(error, (FileNotFoundError, PermissionError)):
            return self._error(str(error), Failure.FINAL)  # a TKE_* variable, or a file, that is not there
        # An error of the SDK may quote the whole answer of STS, keys included: its code alone is told.
        code = identifier(getattr(error, "code", None)) or type(error).__name__
        refused = classify(code).failure is Failure.FINAL
        return self._error(code, Failure.FINAL if refused else Failure.NEVER_SENT)

    def _told_source(self) -> str:
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
