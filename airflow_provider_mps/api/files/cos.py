"""Files in COS, Tencent Cloud's object storage: how they are named, and where to look at them."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from urllib.parse import quote, unquote, urlencode, urlsplit

from airflow_provider_mps.api.errors import InvalidArgumentError
from airflow_provider_mps.api.redaction import withheld
from airflow_provider_mps.api.wire.settings import ClientSettings, Site, is_loopback

if TYPE_CHECKING:
    from airflow_provider_mps.api.wire.credentials import Keys

# BucketName-APPID.cos.REGION.myqcloud.com (COS reference, "Regions and access endpoints"); the hosts of its global
# acceleration have "accelerate" there, and name no region.
_HOST = r"(?P<bucket>[a-z0-9-]+)\.cos\.(?!accelerate\b)(?P<region>[a-z0-9-]+)\.(?:myqcloud\.com|tencentcos\.(?:com|cn))"
_HOST_PART = r"[a-z0-9-]{1,63}"


SIGNED_SECONDS = 3600


@dataclass(frozen=True)
class CosObject:
    """One file in COS. Its ``uri``, ``cos://bucket/key``, holds no signature: it may be logged and passed on."""

    bucket: str
    key: str
    region: str = ""

    @property
    def uri(self) -> str:
        return f"cos://{self.bucket}/{self.key}"

    @property
    def url(self) -> str:
        """Its URL without a signature, which names the region too, for what reads it with the account's keys."""
        return f"https://{self.bucket}.cos.{self.region}.myqcloud.com/{quote(self.key)}"

    def console_url(self, site: Site) -> str:
        """The page of the bucket's folder in the console of a site."""
        folder = self.key.rpartition("/")[0]
        query = {"bucket": self.bucket, "region": self.region, "path": f"/{folder}"}
        return f"{site.console}/cos/bucket?{urlencode({k: v for k, v in query.items() if v}, quote_via=quote)}"

    @property
    def input_info(self) -> dict[str, Any]:
        """The API's MediaInputInfo for it."""
        cos = {"Bucket": self.bucket, "Region": self.region, "Object": self.key}
        return {"Type": "COS", "CosInputInfo": cos}

    def check(self, argument: str) -> None:
        """Make sure that bucket and region can be parts of a host's name.

        :param argument: what the object was given by.
        :raises InvalidArgumentError: they cannot.
        """
        if not re.fullmatch(_HOST_PART, self.bucket):
            raise InvalidArgumentError(argument, "names a bucket that is not written in a-z, 0-9 and hyphens")
        if not isinstance(self.region, str) or not re.fullmatch(_HOST_PART, self.region):
            raise InvalidArgumentError("cos_region", "must be the bucket's region, such as ap-singapore")

    @classmethod
    def from_uri(cls, argument: str, value: str, region: str) -> CosObject:
        """The object that a ``cos://bucket/key`` names.

        :raises InvalidArgumentError: it names none.
        """
        try:
            parts = urlsplit(value)
        except ValueError:
            parts = urlsplit("")
        if parts.scheme != "cos" or not parts.netloc or not parts.path.strip("/"):
            raise InvalidArgumentError(argument, f"{value.split('?')[0]!r} is not a cos://bucket/key")
        # What some have before an "@", such as a connection's id, is no part of the bucket.
        return cls(parts.netloc.rpartition("@")[2], value.partition(f"{parts.netloc}/")[2], region)

    @classmethod
    def from_url(cls, url: str, store_cos_param: Mapping[str, Any] | None = None) -> CosObject | None:
        """The object that a result's URL leads to, if it is one.

        :param store_cos_param: where MPS was to store it; names the bucket where the URL's host does not.
        """
        try:
            parts = urlsplit(url)
            host = parts.hostname or ""
        except ValueError:
            return None
        path = unquote(parts.path).lstrip("/")
        if not path.isprintable():  # its uri is logged
            return None
        if found := re.fullmatch(_HOST, host):
            return cls(found["bucket"], path, found["region"])
        if not store_cos_param:
            return None
        folder = str(store_cos_param.get("CosBucketPath") or "").strip("/")
        key = "/".join(filter(None, (folder, path.rpartition("/")[2])))
        return cls(str(store_cos_param["CosBucketName"]), key, str(store_cos_param["CosBucketRegion"]))

    @classmethod
    def named_by(cls, argument: str, value: str, region: str) -> CosObject | None:
        """The object that a ``cos://bucket/key``, or a URL of COS without a signature, names; None for any other URL.

        :param argument: what the value was given by.
        :param region: the region of the bucket in a ``cos://bucket/key``.
        :raises InvalidArgumentError: it is a ``cos://`` that names no object, or its region is not known.
        """
        if value.startswith("cos://"):
            file = cls.from_uri(argument, value, region)
            if not region:
                raise InvalidArgumentError(
                    "cos_region", f"is needed for the cos:// in {argument}, as the connection has no cos_region"
                )
            file.check(argument)
            return file
        found = cls.from_url(value)
        # With a query it may be signed already; what has a port or a user's name is not COS's own address.
        if not found or not found.key or not re.match(r"https?://[^/?#:@]+/[^?#]*$", value, re.IGNORECASE):
            return None
        return found


def reachable_url(
    argument: str, value: str, keys: Keys, settings: ClientSettings, seconds: int = SIGNED_SECONDS
) -> str:
    """A URL under which MPS, or somebody's browser, can read what a URL or a ``cos://bucket/key`` names.

    What is in COS and is not signed yet is signed; any other URL stays as it is.

    :param argument: what the value was given by.
    :param seconds: for how long the signature is good.
    :raises InvalidArgumentError: it names nothing in COS, its region is not known, or botocore is not installed.
    """
    file = CosObject.named_by(argument, value, settings.cos_region)
    if file is None:
        return value
    # Of the endpoints that a connection may name, only the emulator's is known to be reachable for them, too.
    endpoint = settings.cos_endpoint if is_loopback(urlsplit(settings.cos_endpoint).hostname) else ""
    return signed_url(file, keys, endpoint, argument, seconds)


def unsigned_url(file: CosObject, endpoint: str, argument: str = "urls") -> str:
    """The URL of a file in COS, for whom its bucket lets in.

    :param endpoint: the endpoint's URL; empty means the region's public one.
    :param argument: what the file was given by.
    :raises InvalidArgumentError: bucket or region cannot be parts of a host's name.
    """
    file.check(argument)
    server = urlsplit(endpoint or f"https://cos.{file.region}.myqcloud.com")
    # A bucket is a name before a public endpoint's, and part of the path of one on this machine.
    on_path = is_loopback(server.hostname)
    address = f"{server.netloc}/{file.bucket}" if on_path else f"{file.bucket}.{server.netloc}"
    return f"{server.scheme}://{address}/{quote(file.key)}"


def signed_url(
    file: CosObject, keys: Keys, endpoint: str, argument: str = "urls", seconds: int = SIGNED_SECONDS
) -> str:
    """A URL under which a file can be read for so many seconds, through COS's S3-compatible endpoint.

    :param endpoint: the endpoint's URL; empty means the region's public one.
    :param argument: what the file was given by.

    The signature is botocore's (the extra ``cos``). There is no well-kept fsspec filesystem for COS: cosfs has neither
    a description nor a repository on PyPI; and a plain URL lets the transfer resume a download that was cut off.

    :raises InvalidArgumentError: botocore is not installed, or bucket or region cannot be parts of a host's name.
    """
    try:
        from botocore.auth import S3SigV4QueryAuth
        from botocore.awsrequest import AWSRequest
        from botocore.credentials import Credentials
    except ImportError:
        raise InvalidArgumentError(
            argument, "a file in COS needs botocore: pip install 'airflow-provider-mps[cos]'"
        ) from None
    # Only its signer: its S3 client takes 0.1 s, and reads AWS's own files and variables, which know nothing of COS.
    request = AWSRequest("GET", unsigned_url(file, endpoint, argument))
    credentials = Credentials(keys.secret_id, keys.secret_key, keys.token)
    with withheld():
        S3SigV4QueryAuth(credentials, "s3", file.region, expires=seconds).add_auth(request)
    return str(request.url)
