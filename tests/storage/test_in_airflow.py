"""What Airflow builds on its object storage works with cos://: FileTransferOperator, the XCom backend."""

import json
from pathlib import Path
from typing import Any

import pytest

from airflow_provider_mps.compat import ObjectStoragePath
from airflow_provider_mps.emulator import MpsEmulator
from airflow_provider_mps.operators.mps import CreateAigcAudioTaskOperator
from tests.doubles.cos import BUCKET, Cos
from tests.doubles.task_instances import run_task

FILM = b"\0\0\0\x18ftypmp42" + bytes(5000)


def transfer(src: str, dst: str) -> None:
    from airflow.providers.common.io.operators.file_transfer import FileTransferOperator

    FileTransferOperator(task_id="transfer", src=src, dst=dst).execute({})


def test_a_film_from_disk_goes_into_cos_and_is_a_reference(cos: Cos, emulator: MpsEmulator, tmp_path: Path) -> None:
    (tmp_path / "film.mp4").write_bytes(FILM)
    film = f"cos://cos@{BUCKET}/in/film.mp4"
    transfer(f"file://{tmp_path}/film.mp4", film)
    assert cos.objects() == {"in/film.mp4": FILM}
    assert cos.content_type("in/film.mp4") == "video/mp4"
    request: dict[str, Any] = {"model_name": "Kling", "scene_type": "sfx", "video_infos": [film]}
    run_task(CreateAigcAudioTaskOperator(task_id="create", cos_region="ap-singapore", **request))
    [create] = [each for each in emulator.requests if each.action == "CreateAigcAudioTask"]
    assert f"/{BUCKET}/in/film.mp4?X-Amz-" in create.params["VideoInfos"][0]["VideoUrl"]


def test_a_file_goes_from_s3_into_cos_and_from_cos_to_disk(
    cos: Cos, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    of_aws = {"conn_type": "aws", "login": "moto", "password": "moto"}
    extra = {"endpoint_url": cos.endpoint, "region_name": "us-east-1"}
    monkeypatch.setenv("AIRFLOW_CONN_S3", json.dumps(of_aws | {"extra": extra}))
    cos.put("from-s3.mp4", FILM)
    transfer(f"s3://s3@{BUCKET}/from-s3.mp4", f"cos://cos@{BUCKET}/in/film.mp4")
    assert cos.objects()["in/film.mp4"] == FILM
    transfer(f"cos://cos@{BUCKET}/in/film.mp4", f"file://{tmp_path}/film.mp4")
    assert (tmp_path / "film.mp4").read_bytes() == FILM


def test_xcoms_are_kept_in_cos(cos: Cos, monkeypatch: pytest.MonkeyPatch) -> None:
    from airflow.providers.common.io.xcom import backend

    monkeypatch.setattr(backend, "_get_base_path", lambda: ObjectStoragePath(f"cos://cos@{BUCKET}/xcoms"))
    monkeypatch.setattr(backend, "_get_threshold", lambda: 0)
    value = {"urls": ["https://a.example/b.mp3"] * 100}
    stored = backend.XComObjectStorageBackend.serialize_value(value, dag_id="d", run_id="r", task_id="t")
    assert len(cos.objects()) == 1

    class Row:
        pass

    row: Any = Row()
    row.value = stored
    assert backend.XComObjectStorageBackend.deserialize_value(row) == value
