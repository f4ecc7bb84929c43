"""Files in COS, Tencent Cloud's object storage: how they are named, and where to look at them."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from urllib.parse import quote, unquote, urlencode, urlsplit

from airflow_provider_mps.api.errors import InvalidArgumentError
from airflow_provider_mps.api.redaction import without_queries
from airflow_provider_mps.api.settings import Site, is_loopback

if TYPE_CHECKING:
    from airflow_provider_mps.api.auth import Keys

# BucketName-APPID.cos.REGION.myqcloud.com (COS reference, "Regions and access endpoints")
_HOST = re.compile(r"(?P<bucket>[a-z0-9-]+)\.cos\.(?P<region>[a-z0-9-]+)\.(?:myqcloud\.com|tencentcos\.(?:com|cn))")
_HOST_PART = re.compile(r"[a-z0-9-]{1,63}")


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

    def check(self, argument: str) -> None:
        """Make sure that bucket and region can be parts of a host's name.

        :param argument: what the object was given by.
        :raises InvalidArgumentError: they cannot.
        """
        if not _HOST_PART.fullmatch(self.bucket):
            raise InvalidArgumentError(argument, "names a bucket that is not written in a-z, 0-9 and hyphens")
        if not _HOST_PART.fullmatch(self.region):
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
            raise InvalidArgumentError(argument, f"{value.split('?')[0]!r} is no cos://bucket/key")
        return cls(parts.netloc, value.partition(f"{parts.netloc}/")[2], region)

    @classmethod
    def from_url(cls, url: str, store_cos_param: Mapping[str, Any] | None = None) -> CosObject | None:
        """The object that a result's URL leads to, if it is one.

        :param store_cos_param: where MPS was asked to store it; tells the bucket where the URL's host does not.
        """
        try:
            parts = urlsplit(url)
            host = parts.hostname or ""
        except ValueError:
            return None
        path = unquote(parts.path).lstrip("/")
        if found := _HOST.fullmatch(host):
            return cls(found["bucket"], path, found["region"])
        if not store_cos_param:
            return None
        folder = str(store_cos_param.get("CosBucketPath") or "").strip("/")
        key = "/".join(filter(None, (folder, path.rpartition("/")[2])))
        return cls(str(store_cos_param["CosBucketName"]), key, str(store_cos_param["CosBucketRegion"]))


def signed_url(file: CosObject, keys: Keys, endpoint: str) -> str:
    """A URL under which a file can be read for an hour, through COS's S3-compatible endpoint.

    :param endpoint: the endpoint's URL; empty means the region's public one.

    The signature is botocore's (the extra ``cos``). There is no well-kept fsspec filesystem for COS: cosfs has neither
    a description nor a repository on PyPI; and a plain URL lets the transfer resume a download that was cut off.

    :raises InvalidArgumentError: botocore is not installed, or cannot make the URL.
    """
    try:
        from botocore.config import Config
        from botocore.exceptions import BotoCoreError
        from botocore.session import Session
    except ImportError:
        raise InvalidArgumentError("urls", "cos:// needs botocore: pip install 'airflow-provider-mps[cos]'") from None
    file.check("urls")
    # A bucket is a name before a public endpoint's, and part of the path of one on this machine.
    addressing = "path" if is_loopback(urlsplit(endpoint).hostname) else "virtual"
    try:
        client = Session().create_client(
            "s3",
            region_name=file.region,
            endpoint_url=endpoint or f"https://cos.{file.region}.myqcloud.com",
            aws_access_key_id=keys.secret_id,
            aws_secret_access_key=keys.secret_key,
            aws_session_token=keys.token,
            config=Config(signature_version="s3v4", s3={"addressing_style": addressing}),
        )
        params = {"Bucket": file.bucket, "Key": file.key}
        return str(client.generate_presigned_url("get_object", Params=params, ExpiresIn=3600))
    except (BotoCoreError, ValueError) as error:  # botocore reads AWS's own files and variables, too
        raise InvalidArgumentError("urls", f"cannot be signed: {without_queries(error)}") from None
