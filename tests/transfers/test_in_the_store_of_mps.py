"""A bare COS URL may lead into MPS's own store, which lets anybody in and the user's keys maybe not."""

import sys
from pathlib import Path
from typing import Any

import pytest

from airflow_provider_mps.api.errors import InvalidArgumentError
from airflow_provider_mps.transfers.mps_to_object_storage import MpsToObjectStorageOperator
from tests.doubles.cos import BUCKET, Cos, CosRequest, Refusal
from tests.doubles.task_instances import run_task

URL = f"https://{BUCKET}.cos.ap-singapore.myqcloud.com/251006278_xxx.mp4"
FILM = b"\0\0\0\x18ftypmp42" + bytes(500)


def keep(urls: Any, folder: Path) -> Any:
    return run_task(MpsToObjectStorageOperator(task_id="keep", urls=urls, destination=str(folder), mps_conn_id="cos"))[
        0
    ]


@pytest.fixture
def public(cos: Cos) -> Cos:
    """The store of MPS: it refuses keys that are not its own, and serves those who show none."""
    cos.put("251006278_xxx.mp4", FILM)
    cos.anonymous = True

    def of_a_stranger(request: CosRequest) -> Refusal | None:
        return Refusal(403, "AccessDenied") if "X-Amz-Signature" in request.query else None

    cos.rules.append(of_a_stranger)
    return cos


@pytest.mark.parametrize("installed", [True, False])
def test_it_is_fetched_without_a_signature(
    public: Cos, tmp_path: Path, installed: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    if not installed:
        monkeypatch.setitem(sys.modules, "botocore.auth", None)
    [uri] = keep([URL], tmp_path)
    assert Path(uri.removeprefix("file://")).read_bytes() == FILM


def test_in_a_private_bucket_it_is_signed_when_the_first_is_refused(cos: Cos, tmp_path: Path) -> None:
    cos.put("251006278_xxx.mp4", FILM)
    [uri] = keep([URL], tmp_path)
    assert Path(uri.removeprefix("file://")).read_bytes() == FILM
    assert [request.status for request in cos.requests] == [403, 200]


def test_without_the_extra_the_error_names_it_then(cos: Cos, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    cos.put("251006278_xxx.mp4", FILM)
    monkeypatch.setitem(sys.modules, "botocore.auth", None)
    with pytest.raises(InvalidArgumentError, match=r"pip install 'airflow-provider-mps\[cos\]'"):
        keep([URL], tmp_path)


def test_a_cos_uri_is_signed_at_once(cos: Cos, tmp_path: Path) -> None:
    cos.put("251006278_xxx.mp4", FILM)
    keep([f"cos://{BUCKET}/251006278_xxx.mp4", f"cos://cos@{BUCKET}/251006278_xxx.mp4"], tmp_path)
    assert [request.status for request in cos.requests] == [200, 200]


def test_a_destination_in_cos_is_reached_by_the_transfer_s_own_connection(cos: Cos, tmp_path: Path) -> None:
    cos.put("251006278_xxx.mp4", FILM)
    keep_it = MpsToObjectStorageOperator(
        task_id="keep", urls=[URL], destination=f"cos://{BUCKET}/kept", mps_conn_id="cos"
    )
    assert run_task(keep_it)[0] == [f"cos://cos@{BUCKET}/kept/251006278_xxx.mp4"]
    assert cos.objects()["kept/251006278_xxx.mp4"] == FILM
