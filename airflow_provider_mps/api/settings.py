"""An account and how to reach it: sites, kinds of credentials, defaults, checks. Loads no HTTP library and no SDK."""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass, field
from enum import StrEnum
from ipaddress import IPv6Address
from urllib.parse import SplitResult, urlsplit

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
    :param cvm_role_name: the role bound to the instance; empty looks it up in the metadata service.
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
        for name, value in (
            ("token", self.token),
            ("role_arn", self.role_arn),
            ("role_session_name", self.role_session_name),
            ("cvm_role_name", self.cvm_role_name),
        ):
            _check_printable(name, value)
        if self.sts_endpoint:
            _check_host("sts_endpoint", re.sub(r":\d{1,5}$", "", self.sts_endpoint))
        if self.kind in (CredentialKind.STATIC, CredentialKind.ASSUME_ROLE):
            for name, value in (
                ("login (SecretId)", self.secret_id),
                ("password (SecretKey)", self.secret_key),
            ):
                if not value or value != value.strip():
                    raise InvalidConnectionError(f"{name}: is empty or has spaces around it")
                _check_printable(name, value)
        if self.kind is CredentialKind.ASSUME_ROLE and not self.role_arn:
            raise InvalidConnectionError("role_arn: is needed for credential=assume_role")


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
    :param cos_region: of the buckets in ``cos://bucket/key``, where nothing else names it.
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
            raise InvalidConnectionError(f"schema: {self.scheme[:20]!r} is neither https nor http")
        _check_host("host", self.host)
        if self.scheme == "http" and not is_loopback(self.host):
            raise InvalidConnectionError(f"schema: plain http is for loopback hosts alone, not for {self.host}")
        if self.region in self.site.refused_regions and self.host != CN.host:
            raise InvalidConnectionError(
                f"region: the international site takes no calls for {self.region}. If it is a "
                "bucket's region, move it to cos_region, and leave region empty; if the account is of the site in "
                "China, set site to cn"
            )
        if self.port is not None and not 0 < self.port < 2**16:
            raise InvalidConnectionError("port: must be from 1 to 65535, or empty")
        _check_printable("region", self.region)
        if self.proxy:
            self._check_proxy()
        if self.cos_endpoint:
            cos = _parts_of("cos_endpoint", self.cos_endpoint)
            if cos is None or (cos.scheme != "https" and not (cos.scheme == "http" and is_loopback(cos.hostname))):
                raise InvalidConnectionError("cos_endpoint: must be an https URL, or http to a loopback host")
        if isinstance(self.verify, str) and not self.verify.isprintable():
            raise InvalidConnectionError("verify: must be true, false, or the path of a CA bundle")
        for name, most in (("timeout", 3600), ("requests_per_second", 10_000)):
            number = getattr(self, name)
            if number is not None and not 0 < number <= most:
                raise InvalidConnectionError(f"{name}: must be more than 0, and at most {most:,}")

    def _check_proxy(self) -> None:
        parts = _parts_of("proxy", self.proxy)
        if parts is not None and parts.scheme.startswith("socks"):
            raise InvalidConnectionError("proxy: socks proxies are not supported; give the URL of an http or https one")
        if parts is None or parts.scheme not in ("http", "https"):
            raise InvalidConnectionError("proxy: must be the URL of an http or https proxy, such as http://proxy:3128")
        if self.scheme == "http":
            # Over https a proxy is asked for a tunnel, and sees the host's name alone.
            raise InvalidConnectionError(
                "proxy: would see token and prompt in the clear, as schema is http; empty it, or set schema to https"
            )

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


def _check_printable(name: str, value: str) -> None:
    """HTTP libraries quote a header that they cannot send, and with it the secret."""
    if not re.fullmatch("[!-~]*", value):
        raise InvalidConnectionError(
            f"{name}: must be printable ASCII without spaces; was a line break pasted with it?"
        )


def _check_host(name: str, host: str) -> None:
    if found := re.fullmatch(r"([\w.-]+|\[.+\]):(\d+)", host, re.ASCII):
        raise InvalidConnectionError(f"{name}: give the host alone, and put {found[2][:9]} into port")
    if re.fullmatch(r"[\w-][\w.-]{0,252}", host, re.ASCII) and ".." not in host:
        return
    try:
        usable = "%" not in host and bool(IPv6Address(host))
    except ValueError:
        usable = False
    if not usable:
        raise InvalidConnectionError(f"{name}: must be a host's name or address alone")


def _parts_of(name: str, url: str) -> SplitResult | None:
    """A URL's parts, or None where it names no host."""
    _check_printable(name, url)
    return url_parts(url)


def url_parts(url: str) -> SplitResult | None:
    """A URL's parts, or None where it names no host, or cannot be parsed."""
    try:
        parts = urlsplit(url)
        return parts if parts.hostname and parts.port != 0 else None
    except ValueError:  # half an IPv6 address, or a port that is not one
        return None


def is_loopback(host: str | None) -> bool:
    """Whether a host is this machine itself, the only one that plain http is for."""
    return host in ("127.0.0.1", "::1", "localhost")
