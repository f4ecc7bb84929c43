"""A bucket gives its files to presigned URLs, as COS's S3-compatible endpoint does; botocore signs them."""

import io
import wave
from datetime import UTC, datetime, timedelta

import httpx
import pytest
from botocore.config import Config
from botocore.session import Session

from tests.doubles.seen import MUSIC

STORE = {"CosBucketName": "songs-1", "CosBucketRegion": "ap-guangzhou", "CosBucketPath": "/a day's/räin & c+d"}


def presigned(
    mps, bucket, key, *, secret_id="emulator-id", secret_key="emulator-key", token=None, method="get_object", expires=60
):
    client = Session().create_client(
        "s3",
        region_name="ap-guangzhou",
        endpoint_url=mps.emulator.url,
        aws_access_key_id=secret_id,
        aws_secret_access_key=secret_key,
        aws_session_token=token,
        config=Config(signature_version="s3v4", s3={"addressing_style": "path"}),
    )
    return client.generate_presigned_url(method, Params={"Bucket": bucket, "Key": key}, ExpiresIn=expires)


@pytest.fixture
def key(mps):
    """The key of a song in the bucket."""
    mps.call("CreateAigcAudioTask", MUSIC | {"StoreCosParam": STORE})
    return f"a day's/räin & c+d/{mps.emulator.tasks[0].task_id}-0.wav"


def refusal(answer):
    """The status and the code of an answer that is COS's XML."""
    assert answer.headers["content-type"].startswith("application/xml")
    return answer.status_code, answer.text.partition("<Code>")[2].partition("</Code>")[0]


def test_a_signed_url_gives_the_file_whole_or_in_part(mps, key):
    url = presigned(mps, "songs-1", key)
    answer = mps.client.get(url)
    assert answer.headers["content-length"] == str(len(answer.content))
    with wave.open(io.BytesIO(answer.content)) as song:
        assert song.getnframes()
    part = mps.client.get(url, headers={"Range": "bytes=100-"})
    assert (part.status_code, part.content) == (206, answer.content[100:])
    head = mps.client.head(presigned(mps, "songs-1", key, method="head_object"))
    assert (head.status_code, head.headers["content-length"]) == (200, str(len(answer.content)))


def test_faults_of_files_strike_here_too(mps, key):
    mps.emulator.fault("file_expired")
    assert refusal(mps.client.get(presigned(mps, "songs-1", key))) == (403, "AccessDenied")
    assert mps.emulator.count("file") == 1
    assert mps.emulator.requests[-1].params == {"key": f"songs-1/{key}"}


def test_a_key_that_is_not_there(start):
    mps = start(wait_seconds=60)
    store = STORE | {"CosBucketPath": ""}
    task_id = mps.create(StoreCosParam=store)
    for missing in ("nothing.wav", f"{task_id}-0.wav"):  # the second is not made yet
        assert refusal(mps.client.get(presigned(mps, "songs-1", missing))) == (404, "NoSuchKey")


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"secret_id": "nobody"}, "InvalidAccessKeyId"),
        ({"secret_key": "wrong"}, "SignatureDoesNotMatch"),
        ({"method": "head_object"}, "SignatureDoesNotMatch"),
        ({"token": "a-token-that-belongs-to-nobody"}, "AccessDenied"),
    ],
)
def test_a_url_signed_otherwise_is_refused(mps, key, changes, code):
    assert refusal(mps.client.get(presigned(mps, "songs-1", key, **changes))) == (403, code)


def test_a_url_is_good_until_its_time_is_over(mps, key, monkeypatch):
    now = datetime.now(UTC)
    for age, status in (50, 200), (70, 403):
        monkeypatch.setattr("botocore.auth.get_current_datetime", lambda age=age: now - timedelta(seconds=age))
        assert mps.client.get(presigned(mps, "songs-1", key, expires=60)).status_code == status


@pytest.mark.parametrize(
    "change",
    [
        lambda url: url.copy_with(query=None),
        lambda url: url.copy_remove_param("X-Amz-Signature"),
        lambda url: url.copy_set_param("X-Amz-Expires", "99"),
        lambda url: url.copy_set_param("X-Amz-Expires", "soon"),
        lambda url: url.copy_set_param("X-Amz-Date", "yesterday"),
        lambda url: url.copy_set_param("X-Amz-Algorithm", "AWS4-HMAC-SHA1"),
        lambda url: url.copy_set_param("X-Amz-SignedHeaders", "range"),
        lambda url: url.copy_set_param("X-Amz-Credential", "emulator-id"),
        lambda url: url.copy_add_param("response-content-type", "text/html"),
        lambda url: url.copy_with(path=f"{url.path}.old"),
    ],
)
def test_a_url_changed_after_signing_is_refused(mps, key, change):
    url = httpx.URL(presigned(mps, "songs-1", key))
    assert mps.client.get(change(url)).status_code == 403


def test_a_temporary_credential_signs_with_its_token(start):
    mps = start(wait_seconds=0, run_seconds=0)
    mps.emulator.accept_credential("temporary-id", "temporary-key", "its-token")
    task_id = mps.create(StoreCosParam=STORE | {"CosBucketPath": "x"})
    signed = {"secret_id": "temporary-id", "secret_key": "temporary-key"}
    assert mps.client.get(presigned(mps, "songs-1", f"x/{task_id}-0.wav", token="its-token", **signed)).is_success
    answer = mps.client.get(presigned(mps, "songs-1", f"x/{task_id}-0.wav", **signed))
    assert refusal(answer) == (403, "AccessDenied")


def test_a_bucket_is_its_account_s_own(mps, key):
    mps.emulator.accept_credential("other-id", "other-key", account="other")
    url = presigned(mps, "songs-1", key, secret_id="other-id", secret_key="other-key")
    assert refusal(mps.client.get(url)) == (403, "AccessDenied")


def test_the_connection_leads_to_the_buckets(mps):
    assert mps.emulator.connection["extra"]["cos_endpoint"] == mps.emulator.url


def test_mps_s_own_store_gives_its_results_by_bare_urls_to_anybody_and_to_no_other_keys(start):
    mps = start(wait_seconds=0, run_seconds=0, results_signed=False)
    task_id = mps.create()
    [info] = mps.call("DescribeAigcAudioTask", {"TaskId": task_id})["AudioInfos"]
    url = httpx.URL(info["Url"])
    assert (url.scheme, url.query) == ("https", b"")
    assert url.host.endswith(".cos.ap-guangzhou.myqcloud.com")
    bucket, key = url.host.partition(".")[0], url.path.lstrip("/")
    answer = mps.client.get(f"{mps.emulator.url}/{bucket}/{key}")
    with wave.open(io.BytesIO(answer.content)) as song:
        assert song.getnframes()
    assert refusal(mps.client.get(presigned(mps, bucket, key))) == (403, "AccessDenied")
    assert refusal(mps.client.get(f"{mps.emulator.url}/{bucket}/other.wav")) == (404, "NoSuchKey")


def test_mps_s_own_store_keeps_its_results_for_a_time_only(start):
    mps = start(wait_seconds=0, run_seconds=0, results_signed=False, results_kept_seconds=-1)
    [info] = mps.call("DescribeAigcAudioTask", {"TaskId": mps.create()})["AudioInfos"]
    url = httpx.URL(info["Url"])
    answer = mps.client.get(f"{mps.emulator.url}/{url.host.partition('.')[0]}{url.path}")
    assert refusal(answer) == (403, "AccessDenied")
