"""Objects in COS: from their URIs, from the URLs of results, and to URLs that are signed."""

from urllib.parse import parse_qs, urlsplit

import pytest

from airflow_provider_mps.api.errors import InvalidArgumentError
from airflow_provider_mps.api.files.cos import CosObject, signed_url
from airflow_provider_mps.api.wire.credentials import Keys

STORE = {
    "CosBucketName": "films-1250000000",
    "CosBucketRegion": "ap-singapore",
    "CosBucketPath": "/parts/of it",
}


@pytest.mark.parametrize("uri", ["cos://", "cos://bucket", "cos://bucket/", "https://bucket/key", "bucket/key"])
def test_no_uri_of_an_object(uri: str) -> None:
    with pytest.raises(InvalidArgumentError, match="input_cos"):
        CosObject.from_uri("input_cos", uri, "ap-singapore")


@pytest.mark.parametrize(
    ("url", "store", "found"),
    [
        (
            "https://a-125.cos.ap-tokyo.myqcloud.com/x/y%20z.mp4?sign=s",
            None,
            CosObject("a-125", "x/y z.mp4", "ap-tokyo"),
        ),
        ("https://a-125.cos.ap-tokyo.tencentcos.cn/y.mp4", STORE, CosObject("a-125", "y.mp4", "ap-tokyo")),
        ("https://cdn.example/1/y.mp4", STORE, CosObject("films-1250000000", "parts/of it/y.mp4", "ap-singapore")),
        ("https://cdn.example/1/y.mp4", None, None),
        ("https://a-125.cos.ap-tokyo.myqcloud.com/y%0Az.mp4", STORE, None),
        ("https://a-125.cos.ap-tokyo.myqcloud.com.evil.example/y.mp4", None, None),
        ("https://a-125.cos.accelerate.myqcloud.com/y.mp4", None, None),
        ("https://a-125.cos.accelerate.tencentcos.cn/y.mp4", None, None),
        ("https://[a-125/y.mp4", None, None),
        ("https://[a-125/y.mp4", STORE, None),
    ],
)
def test_a_result_s_url_leads_to_its_object(url: str, store: dict[str, str] | None, found: CosObject | None) -> None:
    assert CosObject.from_url(url, store) == found


def test_a_real_endpoint_has_the_bucket_in_its_name_and_the_token_in_its_query() -> None:
    url = urlsplit(signed_url(CosObject("a-125", "x/y z.mp4", "ap-tokyo"), Keys("id", "key", "its-token"), ""))
    assert (url.scheme, url.netloc) == ("https", "a-125.cos.ap-tokyo.myqcloud.com")
    assert url.path == "/x/y%20z.mp4"
    query = parse_qs(url.query)
    assert query["X-Amz-Security-Token"] == ["its-token"]
    assert query["X-Amz-Credential"][0].startswith("id/")
    assert "key" not in url.query.replace("its-token", "")


def test_what_aws_itself_is_set_to_does_not_matter(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("AWS_PROFILE", "AWS_CA_BUNDLE", "AWS_ENDPOINT_URL", "AWS_SESSION_TOKEN", "AWS_USE_FIPS_ENDPOINT"):
        monkeypatch.setenv(name, "not-there")
    url = urlsplit(signed_url(CosObject("a-125", "y.mp4", "ap-tokyo"), Keys("id", "key", None), ""))
    assert url.netloc == "a-125.cos.ap-tokyo.myqcloud.com"
    assert "not-there" not in url.query


@pytest.mark.parametrize(
    "file", [CosObject("A", "k", "ap-x"), CosObject("a.b", "k", "ap-x"), CosObject("a", "k", "x/"), CosObject("a", "k")]
)
def test_nothing_is_signed_for_a_host_that_is_not_cos(file: CosObject) -> None:
    with pytest.raises(InvalidArgumentError):
        signed_url(file, Keys("id", "key", None), "")


def test_an_own_endpoint_is_used() -> None:
    keys, file = Keys("emulator-id", "emulator-key", None), CosObject("a-125", "y.mp4", "ap-tokyo")
    assert urlsplit(signed_url(file, keys, "https://cos.inside.example")).netloc == "a-125.cos.inside.example"
    for host in ("127.0.0.1", "localhost"):  # which has no names below it
        assert urlsplit(signed_url(file, keys, f"http://{host}:99")).path == "/a-125/y.mp4"
