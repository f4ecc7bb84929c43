"""An account and how to reach it: sites, kinds of credentials, defaults, checks. Loads no HTTP library and no SDK."""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass, field
from enum import StrEnum
from ipaddress import IPv6Address, ip_address
from urllib.parse import SplitResult, urlsplit

from airflow_provider_mps.api.errors import InvalidConnectionError
from airflow_provider_mps.api.facts import facts
from airflow_provider_mps.api.prices import Prices


@dataclass(frozen=True)
class Site:
    """One of the two sites of Tencent Cloud. An account belongs to one of them.

    :param name: how the connection calls it.
    :param host: the endpoint of MPS (API reference, "Request structure").
    :param sts_host: the endpoint of STS, which gives out temporary keys.
    :param console: the URL of the web console.
    """

    name: str
    host: str
    sts_host: str
    console: str

    @property
    def refused_regions(self) -> list[str]:
        """Regions that its endpoint answers with UnsupportedRegion; a bucket may be there all the same."""
        entries = facts("limits")["refused_regions"]
        return [region for entry in entries if entry["site"] == self.name for region in entry["regions"]]


INTL = Site(
    "intl",
    "mps.intl.tencentcloudapi.com",
    "sts.intl.tencentcloudapi.com",
    "https://console.tencentcloud.com",
)
CN = Site("cn", "mps.tencentcloudapi.com", "sts.tencentcloudapi.com", "https://console.cloud.tencent.com")
SITES = {site.name: site for site in (INTL, CN)}


def documented_rate(action: str) -> float:
    """Calls a second that an account may make of an action; a careful guess where the reference gives none."""
    limits = facts("limits")
    found = (entry["per_second"] for entry in limits["rates"] if action in entry["actions"])
    return float(next(found, limits["unknown_rate"]))


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
                    raise InvalidConnectionError("is empty or has spaces around it", field=name)
                _check_printable(name, value)
        if self.kind is CredentialKind.ASSUME_ROLE and not self.role_arn:
            raise InvalidConnectionError("is needed for credential=assume_role", field="role_arn")


_BUCKET_HOST = re.compile(r"[a-z0-9-]+\.(cos[a-z-]*\.[a-z0-9-]+\.(?:myqcloud|tencentcos)\.\w+)")


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
    :param requests_per_second: the user's own limit for each action; None: the documented ones.
    :param site: whose account it is.
    :param cos_region: of the buckets in ``cos://bucket/key``, where nothing else names it.
    :param cos_endpoint: the URL under which COS is read; empty means the region's public one.
    :param prices: the user's own, for estimates.
    :param memory: the URI of a folder where what was paid for is remembered; empty: none of one's own.
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
    # Calls do not depend on these: who differs in them only is the same account, under the same limits.
    cos_region: str = field(default="", compare=False)
    cos_endpoint: str = field(default="", compare=False)
    prices: Prices = field(default_factory=Prices, compare=False)
    memory: str = field(default="", compare=False)

    def __post_init__(self) -> None:
        if self.scheme not in ("http", "https"):
            raise InvalidConnectionError(f"{self.scheme[:20]!r} is neither https nor http", field="schema")
        _check_host("host", self.host)
        if self.scheme == "http" and not is_loopback(self.host):
            raise InvalidConnectionError(f"plain http is only for loopback hosts, not for {self.host}", field="schema")
        # Its other hosts (regional ones, those inside of its network) may be of either site.
        of_china = self.host.endswith(".tencentcloudapi.com") and ".intl." not in self.host
        if self.region in self.site.refused_regions and not of_china:
            raise InvalidConnectionError(
                f"the international site takes no calls for {self.region}. If it is a bucket's region, move it to "
                "cos_region, and leave region empty; if the account is of the site in China, set site to cn",
                field="region",
            )
        if self.port is not None and not 0 < self.port < 2**16:
            raise InvalidConnectionError("must be from 1 to 65535, or empty", field="port")
        _check_printable("region", self.region)
        if self.proxy:
            self._check_proxy()
        if self.cos_endpoint:
            self._check_cos_endpoint()
        if self.memory:
            self._check_memory()
        if isinstance(self.verify, str) and not self.verify.isprintable():
            raise InvalidConnectionError("must be true, false, or the path of a CA bundle", field="verify")
        for name, most in (("timeout", 3600), ("requests_per_second", 10_000)):
            number = getattr(self, name)
            if number is not None and not 0 < number <= most:
                raise InvalidConnectionError(f"must be more than 0, and at most {most:,}", field=name)

    def _check_memory(self) -> None:
        _check_printable("memory", self.memory)
        scheme, _, path = self.memory.rpartition("://")
        if not (path if scheme not in ("", "file", "local") else path.startswith("/") and path.strip("/")):
            raise InvalidConnectionError(
                "must be a folder's URI, such as cos://tencent_mps_default@bucket-1250000000/mps, s3://aws_default@"
                "bucket/mps, or file:///shared/mps",
                field="memory",
            )

    def _check_cos_endpoint(self) -> None:
        parts = _parts_of("cos_endpoint", self.cos_endpoint)
        if parts is None or (parts.scheme != "https" and not (parts.scheme == "http" and is_loopback(parts.hostname))):
            raise InvalidConnectionError("must be an https URL, or http to a loopback host", field="cos_endpoint")
        if parts.path.strip("/") or parts.query or parts.fragment:
            raise InvalidConnectionError(
                "give it without a path: a bucket is put before its host", field="cos_endpoint"
            )
        if found := _BUCKET_HOST.fullmatch(parts.hostname or ""):
            raise InvalidConnectionError(f"give it without the bucket: https://{found[1]}", field="cos_endpoint")

    def _check_proxy(self) -> None:
        parts = _parts_of("proxy", self.proxy)
        if parts is not None and parts.scheme.startswith("socks"):
            raise InvalidConnectionError(
                "socks proxies are not supported; give the URL of an http or https one", field="proxy"
            )
        if parts is None or parts.scheme not in ("http", "https"):
            raise InvalidConnectionError(
                "must be the URL of an http or https proxy, such as http://proxy:3128", field="proxy"
            )
        if self.scheme == "http":
            # Over https a proxy is asked for a tunnel, and sees only the host's name.
            raise InvalidConnectionError(
                "would see token and prompt in the clear, as schema is http; empty it, or set schema to https",
                field="proxy",
            )

    def rate(self, action: str) -> float:
        """Calls a second that an action may be called."""
        return self.requests_per_second or documented_rate(action)

    @property
    def account(self) -> str:
        """Whose tasks these calls see, and where, without a secret: ``host, region, keys``."""
        keys = self.credential
        # The SecretId of a role's keys changes with each session, and the role does not.
        whose = keys.role_arn or keys.cvm_role_name or keys.secret_id
        fingerprint = hashlib.sha256(f"{keys.kind}\n{whose}".encode()).hexdigest()[:12]
        return f"{self.host}, region {self.region or 'not set'}, keys {fingerprint}"

    def console_url(self, page: str) -> str:
        """A page of the console of MPS. Plain http leads to an emulator, whose own page shows its tasks."""
        return self.url if self.scheme == "http" else f"{self.site.console}{page}"

    @property
    def url(self) -> str:
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{self.scheme}://{host}{f':{self.port}' if self.port else ''}/"


def _check_printable(name: str, value: str) -> None:
    """HTTP libraries quote a header that they cannot send, and with it the secret."""
    if not re.fullmatch("[!-~]*", value):
        raise InvalidConnectionError(
            "must be printable ASCII without spaces; was a line break pasted with it?", field=name
        )


def _check_host(name: str, host: str) -> None:
    if found := re.fullmatch(r"([\w.-]+|\[.+\]):(\d+)", host, re.ASCII):
        raise InvalidConnectionError(f"give only the host, and put {found[2][:9]} into port", field=name)
    if re.fullmatch(r"[\w-][\w.-]{0,252}", host, re.ASCII) and ".." not in host:
        return
    try:
        usable = "%" not in host and bool(IPv6Address(host))
    except ValueError:
        usable = False
    if not usable:
        raise InvalidConnectionError("must be only a host's name or address", field=name)


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
    try:
        return host == "localhost" or ip_address(host or "").is_loopback
    except ValueError:  # another name
        return False
