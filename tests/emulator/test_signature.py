"""The emulator accepts what is signed right, and only that."""

import json
import re
from typing import Any

import pytest
from tencentcloud.common.common_client import CommonClient
from tencentcloud.common.credential import Credential
from tencentcloud.common.exception.tencent_cloud_sdk_exception import TencentCloudSDKException
from tencentcloud.common.profile.client_profile import ClientProfile
from tencentcloud.common.profile.http_profile import HttpProfile

from tests.doubles.seen import MUSIC


def sdk_client(emulator: Any, key: str = "emulator-key", token: str | None = None, **profile: Any) -> CommonClient:
    http = HttpProfile(endpoint=f"127.0.0.1:{emulator.port}", protocol="http")
    return CommonClient(
        "mps",
        "2019-06-12",
        Credential("emulator-id", key, token),
        "",
        ClientProfile(httpProfile=http, **profile),
    )


def test_the_sdk_s_own_client_is_understood(mps):
    client = sdk_client(mps.emulator, language="en-US", request_client="airflow-provider-mps")
    task_id = client.call_json("CreateAigcAudioTask", MUSIC | {"Prompt": "Regen, 雨"})["Response"]["TaskId"]
    assert client.call_json("DescribeAigcAudioTask", {"TaskId": task_id})["Response"]["Status"] == "DONE"
    assert [task.params for task in mps.emulator.tasks] == [MUSIC | {"Prompt": "Regen, 雨"}]


def test_the_sdk_s_own_client_with_a_wrong_key_or_token_is_refused(mps):
    with pytest.raises(TencentCloudSDKException) as refused:
        sdk_client(mps.emulator, key="another").call_json("CreateAigcAudioTask", MUSIC)
    assert refused.value.code == "AuthFailure.SignatureFailure"
    with pytest.raises(TencentCloudSDKException) as refused:
        sdk_client(mps.emulator, token="stale").call_json("CreateAigcAudioTask", MUSIC)
    assert refused.value.code == "AuthFailure.TokenFailure"
    assert mps.emulator.tasks == []


@pytest.mark.parametrize(
    ("change", "code"),
    [
        ({}, "ok"),
        ({"secret_key": "wrong"}, "AuthFailure.SignatureFailure"),
        ({"secret_id": "nobody"}, "AuthFailure.SecretIdNotFound"),
        ({"body": b'{"Prompt": "snow"}'}, "AuthFailure.SignatureFailure"),
        ({"clock_off_by": -290}, "ok"),
        ({"clock_off_by": -310}, "AuthFailure.SignatureExpire"),
        ({"clock_off_by": 310}, "AuthFailure.SignatureExpire"),
        ({"signed_headers": ("content-type", "host", "x-tc-action")}, "ok"),
        ({"signed_headers": ("content-type",)}, "AuthFailure.SignatureFailure"),
        ({"signed_headers": ("host",)}, "AuthFailure.SignatureFailure"),
        ({"signed_headers": ("host", "content-type")}, "AuthFailure.SignatureFailure"),
        ({"x_tc_token": "unasked"}, "AuthFailure.TokenFailure"),
        ({"authorization": "SKIP"}, "AuthFailure.InvalidAuthorization"),
        ({"x_tc_timestamp": "soon"}, "MissingParameter"),
        ({"content_type": "text/plain"}, "AuthFailure.SignatureFailure"),
        ({"host": "mps.example.com"}, "AuthFailure.SignatureFailure"),
    ],
)
def test_each_part_of_the_signature_counts(mps, change, code):
    assert mps.code("CreateAigcAudioTask", MUSIC, **change) == code
    assert len(mps.emulator.tasks) == (code == "ok")


def test_the_scope_s_date_must_be_that_of_the_timestamp(mps):
    right = mps.request("CreateAigcAudioTask", MUSIC).headers["authorization"]
    other_day = re.sub(r"/\d{4}-\d\d-\d\d/", "/2020-01-01/", right)
    code = mps.code("CreateAigcAudioTask", MUSIC, authorization=other_day)
    assert code == "AuthFailure.SignatureFailure"


def test_a_temporary_credential_is_accepted_with_its_token(mps):
    mps.emulator.accept_credential("temporary-id", "temporary-key", "temporary-token")
    temporary = {"secret_id": "temporary-id", "secret_key": "temporary-key"}
    assert mps.code("CreateAigcAudioTask", MUSIC, **temporary, x_tc_token="temporary-token") == "ok"
    assert mps.code("CreateAigcAudioTask", MUSIC, **temporary) == "AuthFailure.TokenFailure"


@pytest.mark.parametrize(
    ("headers", "code"),
    [
        ({"x_tc_version": "2018-01-01"}, "NoSuchVersion"),
        ({"x_tc_action": "MakeCoffee"}, "InvalidAction"),
        ({"x_tc_requestclient": "airflow-provider-mps_1.0.0;x,y"}, "ok"),
        ({"x_tc_requestclient": "x" * 129}, "InvalidParameter"),
        ({"x_tc_requestclient": "<script>"}, "InvalidParameter"),
        ({"x_tc_language": "en-US"}, "ok"),
        ({"x_tc_language": "de-DE"}, "InvalidParameter"),
    ],
)
def test_the_other_headers_are_checked(mps, headers, code):
    assert mps.code("CreateAigcAudioTask", MUSIC, **headers) == code


def test_only_post_to_the_root_is_the_api(mps):
    request = mps.request("CreateAigcAudioTask", MUSIC)
    url = mps.emulator.url
    assert mps.client.put(url + "/", headers=request.headers, content=request.content).status_code == 405
    assert mps.client.post(url + "/v1", headers=request.headers, content=request.content).status_code == 404


def test_what_is_recorded_of_a_request_lacks_its_signature(mps):
    mps.create()
    [recorded] = mps.emulator.requests
    assert (recorded.action, recorded.answer) == ("CreateAigcAudioTask", "ok")
    assert recorded.params == MUSIC
    assert recorded.headers["authorization"].endswith("Signature=...")
    assert recorded.headers["x-tc-version"] == "2019-06-12"
    assert json.dumps(recorded.headers)
