"""A stand-in for COS, in front of moto: it refuses what COS is documented or reported to refuse on its S3 endpoint.

It plays any host under myqcloud.com behind an HTTP proxy, with certificates of an authority of its own, so that a
connection reaches it by its ``proxy`` and ``verify``: over https, as botocore sends other bodies over http.
"""

import hashlib
import hmac
import json
import re
import ssl
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext, suppress
from dataclasses import dataclass, field
from http.client import HTTPConnection
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from importlib import import_module
from pathlib import Path
from typing import Any, Self
from urllib.parse import parse_qsl, quote, unquote, urlsplit
from xml.sax.saxutils import escape

import pytest
import trustme

from airflow_provider_mps.emulator.presigned import verify_presigned
from airflow_provider_mps.emulator.service.errors import ApiError
from airflow_provider_mps.emulator.signature import Credential

REGION = "ap-singapore"
BUCKET = "songs-1250000000"
_HOST = re.compile(r"(?:(?P<bucket>[a-z0-9-]+)\.)?cos\.(?P<region>[a-z0-9-]+)\.myqcloud\.com")


@dataclass
class CosRequest:
    """A request as COS gets it, and how it was answered."""

    method: str
    bucket: str
    key: str
    query: dict[str, str]
    headers: dict[str, str]
    status: int = 0


@dataclass
class Refusal:
    """What is answered instead of what was asked for."""

    status: int
    code: str
    message: str = "refused by the stand-in"


Rule = Callable[[CosRequest], Refusal | None]


@dataclass
class Cos:
    """The stand-in.

    :param proxy: the URL of the proxy that leads to it.
    :param bundle: the path of its authority's certificate.
    :param endpoint: of moto behind it, which is S3.
    :param keys: the accepted SecretIds, each with its SecretKey and token.
    :param anonymous: whether its bucket lets in who shows no key.
    :param rules: what is refused beside what COS refuses; a test adds its own.
    :param lost: what is carried out, and answered like this all the same.
    :param versioned: whether its buckets keep versions, so that nothing forbids to overwrite.
    """

    proxy: str
    bundle: str
    endpoint: str
    moto: Any
    keys: dict[str, tuple[str, str]] = field(default_factory=dict)
    anonymous: bool = False
    rules: list[Rule] = field(default_factory=list)
    lost: list[Rule] = field(default_factory=list)
    versioned: bool = False
    requests: list[CosRequest] = field(default_factory=list)

    def connection(self, **extra: Any) -> str:
        """A connection that leads to it, as JSON."""
        secret_id, (secret_key, token) = next(iter(self.keys.items()))
        fields = {"proxy": self.proxy, "verify": self.bundle, "cos_region": REGION, "token": token}
        connection = {"conn_type": "tencent_mps", "login": secret_id, "password": secret_key}
        return json.dumps(connection | {"extra": fields | extra})

    def reset(self) -> None:
        """Be as new: one empty bucket, one pair of keys."""
        for bucket in self.buckets:
            for key in self.objects(bucket):
                self.moto.delete_object(Bucket=bucket, Key=key)
            for upload in self.uploads(bucket):
                self.moto.abort_multipart_upload(Bucket=bucket, Key=upload["Key"], UploadId=upload["UploadId"])
            self.moto.delete_bucket(Bucket=bucket)
        self.moto.create_bucket(Bucket=BUCKET)
        self.keys = {"cos-id": ("cos-key", "")}
        self.anonymous = self.versioned = False
        self.rules.clear()
        self.lost.clear()
        self.requests.clear()

    @property
    def buckets(self) -> list[str]:
        return [bucket["Name"] for bucket in self.moto.list_buckets()["Buckets"]]

    def put(self, key: str, content: bytes, bucket: str = BUCKET) -> None:
        self.moto.put_object(Bucket=bucket, Key=key, Body=content)

    def objects(self, bucket: str = BUCKET) -> dict[str, bytes]:
        """The content of each file."""
        listed = self.moto.list_objects_v2(Bucket=bucket).get("Contents", [])
        return {each["Key"]: self.moto.get_object(Bucket=bucket, Key=each["Key"])["Body"].read() for each in listed}

    def content_type(self, key: str, bucket: str = BUCKET) -> str:
        return str(self.moto.head_object(Bucket=bucket, Key=key)["ContentType"])

    def uploads(self, bucket: str = BUCKET) -> list[Any]:
        """The multipart uploads that nobody has ended."""
        return list(self.moto.list_multipart_uploads(Bucket=bucket).get("Uploads", []))


@contextmanager
def cos_stand_in(folder: Path) -> Iterator[Cos]:
    """Serve COS until the end of a ``with`` statement, with one bucket.

    :param folder: for the authority's certificate.
    """
    import boto3  # each run of pytest reads this file
    from moto.server import ThreadedMotoServer

    authority = trustme.CA()
    bundle = folder / "cos-authority.pem"
    authority.cert_pem.write_to_path(str(bundle))
    moto = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    moto.start()
    host, port = moto.get_host_and_port()
    keys = {"aws_access_key_id": "moto", "aws_secret_access_key": "moto", "region_name": "us-east-1"}
    client = boto3.client("s3", endpoint_url=f"http://{host}:{port}", **keys)
    try:
        with _Server(authority, (host, port)) as server:
            server.cos = cos = Cos(
                f"http://127.0.0.1:{server.server_port}", str(bundle), f"http://{host}:{port}", client
            )
            cos.reset()
            yield cos
    finally:
        client.close()
        moto.stop()


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    block_on_close = False
    cos: Cos

    def __init__(self, authority: trustme.CA, moto: tuple[str, int]) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.moto = moto
        self._authority = authority
        self._contexts: dict[str, ssl.SSLContext] = {}
        self._lock = threading.Lock()
        self.one_by_one = threading.Lock()
        self._thread = threading.Thread(target=self.serve_forever, args=(0.01,))

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.shutdown()
        self.server_close()
        self._thread.join()

    def context(self, host: str) -> ssl.SSLContext:
        with self._lock:
            if host not in self._contexts:
                self._contexts[host] = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
                self._authority.issue_cert(host).configure_cert(self._contexts[host])
            return self._contexts[host]

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client may hang up."""


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: _Server
    host = ""

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - http.server's name
        """Keep the tests' output to the tests."""

    def do_CONNECT(self) -> None:
        self.host = self.path.rpartition(":")[0]
        self.send_response(200)
        self.end_headers()
        self.wfile.flush()
        self.connection = self.server.context(self.host).wrap_socket(self.connection, server_side=True)
        self.rfile = self.connection.makefile("rb")
        self.wfile = self.connection.makefile("wb", buffering=0)
        self.close_connection = False

    def _asked(self) -> None:
        body = self._body()
        parts = urlsplit(self.path)
        found = _HOST.fullmatch(self.host)
        assert found, self.host
        query = dict(parse_qsl(parts.query, keep_blank_values=True))
        headers = {name.lower(): value for name, value in self.headers.items()}
        request = CosRequest(self.command, found["bucket"] or "", unquote(parts.path[1:]), query, headers)
        cos = self.server.cos
        cos.requests.append(request)
        refusals = (rule(request) for rule in (self._unsigned, _as_cos, *cos.rules))
        refusal = next(filter(None, refusals), None)
        with self.server.one_by_one if "x-cos-forbid-overwrite" in headers else nullcontext():
            refusal = refusal or self._forbidden(request)
            if not refusal:
                request.status, answered, content = self._moto(request, parts.query, body)
                refusal = next(filter(None, (rule(request) for rule in cos.lost)), None)
        if refusal:
            content = f"<Error><Code>{refusal.code}</Code><Message>{escape(refusal.message)}</Message></Error>".encode()
            request.status, answered = refusal.status, {"Content-Type": "application/xml"}
        self._answer(request.status, answered, content)

    do_GET = do_PUT = do_POST = do_HEAD = do_DELETE = _asked  # noqa: N815 - http.server's names

    def _body(self) -> bytes:
        if "chunked" not in self.headers.get("Transfer-Encoding", ""):
            return self.rfile.read(int(self.headers.get("Content-Length") or 0))
        body = b""
        while size := int(self.rfile.readline().partition(b";")[0], 16):
            body += self.rfile.read(size)
            self.rfile.readline()
        while self.rfile.readline().strip():
            pass
        return body

    def _unsigned(self, request: CosRequest) -> Refusal | None:
        keys = self.server.cos.keys
        if "X-Amz-Signature" in request.query:
            credentials = {name: Credential(name, *key) for name, key in keys.items()}
            path = unquote(urlsplit(self.path).path)
            try:
                verify_presigned(request.method, path, request.query, request.headers, credentials, time.time())
            except ApiError as error:
                return Refusal(403, error.code)
            return None
        if self.server.cos.anonymous and "authorization" not in request.headers:
            return None
        return _signed(request, self.path, keys)

    def _forbidden(self, request: CosRequest) -> Refusal | None:
        """COS API "PUT Object" and "Complete Multipart Upload"."""
        cos = self.server.cos
        forbid = request.headers.get("x-cos-forbid-overwrite") == "true" and not cos.versioned
        if not forbid or "partNumber" in request.query:
            return None
        if request.bucket in cos.buckets and request.key in cos.objects(request.bucket):
            return Refusal(409, "FileAlreadyExists", "The object already exists.")
        return None

    def _moto(self, request: CosRequest, query: str, body: bytes) -> tuple[int, dict[str, str], bytes]:
        path = "/".join(("", *filter(None, (request.bucket, quote(request.key)))))
        scope = "Credential=moto/20260101/us-east-1/s3/aws4_request, SignedHeaders=host, Signature=0"
        # What COS does not know of: a condition that it does not keep must not be kept by moto.
        unknown = ("host", "authorization", "transfer-encoding", "if-none-match" if self.command == "PUT" else "")
        headers = {name: value for name, value in request.headers.items() if name not in unknown}
        headers |= {"authorization": f"AWS4-HMAC-SHA256 {scope}", "content-length": str(len(body))}
        link = HTTPConnection(*self.server.moto, timeout=30)
        try:
            asked = "&".join(part for part in query.split("&") if not part.startswith("X-Amz-"))
            link.request(self.command, f"{path or '/'}?{asked}", body, headers)
            answer = link.getresponse()
            content = answer.read()
            of_the_way = ("transfer-encoding", "connection", "server", "date")
            kept = {name: value for name, value in answer.getheaders() if name.lower() not in of_the_way}
            return answer.status, kept, content
        finally:
            link.close()

    def _answer(self, status: int, headers: dict[str, str], content: bytes) -> None:
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        if "content-length" not in {name.lower() for name in headers}:
            self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(content)


def _as_cos(request: CosRequest) -> Refusal | None:
    """What COS refuses, and S3 does not."""
    if not request.bucket and request.key:  # COS documentation, "Accessing COS with AWS S3 SDK"
        return Refusal(403, "PathStyleDomainForbidden", "The bucket must be addressed using COS virtual-styled domain.")
    if "aws-chunked" in request.headers.get("content-encoding", ""):  # infiniflow/ragflow, pull request 15930
        return Refusal(411, "MissingContentLength", "You must provide the Content-Length HTTP header.")
    # COS API "DELETE Multiple Objects"; Aiven-Open/tiered-storage-for-apache-kafka, issue 694
    if request.method == "POST" and "delete" in request.query and "content-md5" not in request.headers:
        return Refusal(400, "InvalidDigest", "Missing required header for this request: Content-MD5")
    return None


def _signed(request: CosRequest, raw: str, keys: dict[str, tuple[str, str]]) -> Refusal | None:
    """Whether the header Authorization is of one of the keys (AWS Signature Version 4, from the published rules)."""
    said = re.fullmatch(
        r"AWS4-HMAC-SHA256 Credential=([^/]+)/(\d{8})/([^/]+)/s3/aws4_request, SignedHeaders=([^,]+), Signature=(\w+)",
        request.headers.get("authorization", ""),
    )
    if not said:
        return Refusal(403, "AccessDenied", "The request is not signed.")
    secret_id, day, region, names, signature = said.groups()
    if secret_id not in keys:
        return Refusal(403, "InvalidAccessKeyId", "The SecretId is not found.")
    secret_key, token = keys[secret_id]
    if request.headers.get("x-amz-security-token", "") != token:
        return Refusal(403, "InvalidToken", "The token does not belong to the SecretId.")
    path, _, query = raw.partition("?")
    pairs = (pair if "=" in pair else f"{pair}=" for pair in query.split("&") if pair)
    signed = (f"{name}:{' '.join(request.headers.get(name, '').split())}\n" for name in names.split(";"))
    canonical = "\n".join(
        (request.method, path, "&".join(sorted(pairs)), "".join(signed), names, request.headers["x-amz-content-sha256"])
    )
    digest = hashlib.sha256(canonical.encode()).hexdigest()
    text = "\n".join(("AWS4-HMAC-SHA256", request.headers["x-amz-date"], f"{day}/{region}/s3/aws4_request", digest))
    key = f"AWS4{secret_key}".encode()
    for part in (day, region, "s3", "aws4_request"):
        key = hmac.digest(key, part.encode(), "sha256")
    if region != REGION or hmac.digest(key, text.encode(), "sha256").hex() != signature:
        return Refusal(403, "SignatureDoesNotMatch", "The signature does not match.")
    return None


def forget_file_systems() -> None:
    """Airflow and fsspec keep file systems for as long as a process lives, whatever becomes of their connections."""
    from airflow_provider_mps.storage.filesystem import CosFileSystem

    with suppress(ImportError):  # before Airflow 3.0
        stores = import_module("airflow.io.store")
    with suppress(ImportError):
        stores = import_module("airflow.sdk.io.store")
    stores._STORE_CACHE.clear()
    CosFileSystem.clear_instance_cache()


@pytest.fixture(scope="session")
def cos_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cos]:
    """One for all tests of a process, for moto takes a second to start."""
    with cos_stand_in(tmp_path_factory.mktemp("cos")) as stand_in:
        yield stand_in


@pytest.fixture
def cos(cos_server: Cos, monkeypatch: pytest.MonkeyPatch) -> Iterator[Cos]:
    """The stand-in, with one bucket that is empty, and the connection ``cos`` to it."""
    cos_server.reset()
    monkeypatch.setenv("AIRFLOW_CONN_COS", cos_server.connection())
    forget_file_systems()
    yield cos_server
    forget_file_systems()
