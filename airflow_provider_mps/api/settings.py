"""An account and how to reach it: sites, kinds of credentials, defaults, checks. Loads no HTTP library and no SDK."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from enum import StrEnum
from urllib.parse import urlsplit

from airflow_provider_mps.api.errors import InvalidConnectionError


@dataclass(frozen=True)
class Site:
    """One of the two sites of Tencent Cloud. An account belongs to one of them.

    :param name: how the connection calls it.
    :param host: the endpoint of MPS (API reference, "Request structure").
    :param sts_host: the endpoint of STS, which gives out temporary keys.
    :param console: the URL of the web console.
    :param refused_regions: regions that its endpoint answers with UnsupportedRegion (measured on the service,
        2026-08); a bucket may be there all the same.
    """

    name: str
    host: str
    sts_host: str
    console: str
    refused_regions: tuple[str, ...] = ()


INTL = Site(
    "intl",
    "mps.intl.tencentcloudapi.com",
    "sts.intl.tencentcloudapi.com",
    "https://console.tencentcloud.com",
    ("ap-guangzhou", "ap-shanghai", "ap-beijing", "ap-chengdu", "ap-chongqing"),
)
CN = Site("cn", "mps.tencentcloudapi.com", "sts.tencentcloudapi.com", "https://console.cloud.tencent.com")
SITES = {site.name: site for site in (INTL, CN)}


# API reference, "request frequency limit" on the page of each action (2026-08).
RATES = {
    "CreateAigcAudioTask": 20.0,
    "DescribeAigcAudioTask": 20.0,
    "CreateAigcVideoTask": 10.0,
    "DescribeAigcVideoTask": 50.0,
    "CreateAigcImageTask": 20.0,
    "DescribeAigcImageTask": 20.0,
    "ProcessMedia": 100.0,
    "EditMedia": 20.0,
    "ManageTask": 20.0,
    "DescribeTaskDetail": 100.0,
    "DescribeTasks": 100.0,
    "DescribeUsageData": 100.0,
}
"""Calls a second that an account may make of each action."""


class CredentialKind(StrEnum):
    """Where the keys come from."""

    STATIC = "static"
    ASSUME_ROLE = "assume_role"
    CVM_ROLE = "cvm_role"
    TKE_OIDC = "tke_oidc"
    DEFAULT_CHAIN = "default_chain"


@dataclass(frozen=True)
class CredentialSettings:
    """Where keys come from, and what that source needs to know.

    :param kind: the source.
    :param secret_id: for ``static`` and ``assume_role``.
    :param secret_key: likewise.
    :param token: of temporary static keys.
    :param role_arn: the role to assume, for ``assume_role``.
    :param role_session_name: how that session is called in the audit logs.
    :param cvm_role_name: the role bound to the instance; empty asks the metadata service.
    :param sts_endpoint: the host of STS.
    """

    kind: CredentialKind = CredentialKind.STATIC
    secret_id: str = field(default="", repr=False)
    secret_key: str = field(default="", repr=False)
    token: str = field(default="", repr=False)
    role_arn: str = ""
    role_session_name: str = ""
    cvm_role_name: str = ""
    sts_endpoint: str = ""

    def __post_init__(self) -> None:
        if self.kind in (CredentialKind.STATIC, CredentialKind.ASSUME_ROLE):
            for name, value in (
                ("login (SecretId)", self.secret_id),
                ("password (SecretKey)", self.secret_key),
            ):
                if not value or value != value.strip():
                    raise InvalidConnectionError(f"{name}: is empty or has spaces around it; nothing was sent")
        if self.kind is CredentialKind.ASSUME_ROLE and not self.role_arn:
            raise InvalidConnectionError("role_arn: is needed for credential=assume_role; nothing was sent")


@dataclass(frozen=True)
class ClientSettings:
    """All that distinguishes one account's calls from another's; equal settings may share a client.

    :param host: the endpoint's host.
    :param credential: where the keys come from.
    :param port: the endpoint's port, or None for the scheme's own.
    :param scheme: ``https``, or ``http`` to a loopback host.
    :param region: of the calls: sent as X-TC-Region where it is set.
    :param proxy: the proxy's URL.
    :param verify: whether TLS certificates are checked, or the path of a CA bundle to check them by.
    :param timeout: seconds for one attempt of a call as a whole.
    :param requests_per_second: the user's own limit for each action; None: those of ``RATES``.
    :param site: whose account it is.
    :param cos_region: of the buckets in ``cos://bucket/key``, where nothing else tells it.
    :param cos_endpoint: the URL under which COS is read; empty means the region's public one.
    """

    host: str
    credential: CredentialSettings
    port: int | None = None
    scheme: str = "https"
    region: str = ""
    proxy: str = field(default="", repr=False)
    verify: bool | str = True
    timeout: float = 30.0
    requests_per_second: float | None = None
    site: Site = INTL
    # Calls do not depend on these two: who differs in them alone is the same account, under the same limits.
    cos_region: str = field(default="", compare=False)
    cos_endpoint: str = field(default="", compare=False)

    def __post_init__(self) -> None:
        if self.scheme not in ("http", "https"):
            raise InvalidConnectionError(f"schema: {self.scheme!r} is neither https nor http")
        if self.scheme == "http" and not is_loopback(self.host):
            raise InvalidConnectionError(f"schema: plain http is for loopback hosts alone, not for {self.host}")
        if self.region in self.site.refused_regions and self.host != CN.host:
            raise InvalidConnectionError(
                f"region: the international site takes no calls for {self.region}; nothing was sent. If it is a "
                "bucket's region, move it to cos_region, and leave region empty; if the account is of the site in "
                "China, set site to cn"
            )
        cos = urlsplit(self.cos_endpoint or "https://cos")
        if not cos.hostname or (cos.scheme != "https" and not (cos.scheme == "http" and is_loopback(cos.hostname))):
            raise InvalidConnectionError("cos_endpoint: must be an https URL, or http to a loopback host")
        for name in ("timeout", "requests_per_second"):
            number = getattr(self, name)
            if number is not None and not 0 < number < float("inf"):
                raise InvalidConnectionError(f"{name}: must be more than 0")

    def rate(self, action: str) -> float:
        """Calls a second that an action may be called."""
        return self.requests_per_second or RATES[action]

    @property
    def account(self) -> str:
        """Whose tasks these calls see, and where, without a secret: ``host, region, keys``."""
        keys = self.credential
        # The SecretId of a role's keys changes with each session, and the role does not.
        whose = keys.role_arn or keys.cvm_role_name or keys.secret_id
        fingerprint = hashlib.sha256(f"{keys.kind}\n{whose}".encode()).hexdigest()[:12]
        return f"{self.host}, region {self.region or 'not set'}, keys {fingerprint}"

    @property
    def url(self) -> str:
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{self.scheme}://{host}{f':{self.port}' if self.port else ''}/"


def is_loopback(host: str | None) -> bool:
    """Whether a host is this machine itself, the only one that plain http is for."""
    return host in ("127.0.0.1", "::1", "localhost")
