"""A proxy that is reached by https, under a company's own authority: ``verify`` holds for it, too."""

import json
import ssl
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from airflow_provider_mps.compat import ObjectStoragePath
from airflow_provider_mps.hooks.mps import MpsHook
from airflow_provider_mps.transfers.mps_to_object_storage import MpsToObjectStorageOperator
from tests.doubles.cos import BUCKET, Cos
from tests.doubles.servers import Handler, LoopbackServer, behind_tls, tunnels
from tests.doubles.task_instances import run_task


@pytest.fixture
def proxy(tls: ssl.SSLContext) -> Iterator[str]:
    with tunnels() as plain, behind_tls(plain, tls) as port:
        yield f"https://localhost:{port}"


@pytest.mark.parametrize("verify", [True, False])
def test_calls_and_downloads_go_through_it(
    tls: ssl.SSLContext, ca_bundle: str, proxy: str, verify: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def serve(handler: Handler) -> None:
        if handler.received.method == "POST":
            handler.answer({"Response": {"Error": {"Code": "ResourceNotFound", "Message": "no"}, "RequestId": "1"}})
        else:
            handler.answer(b"ID3 la la", Content_Type="audio/mpeg")

    with LoopbackServer(serve, ssl_context=tls) as server:
        extra = {"proxy": proxy, "verify": ca_bundle if verify else False}
        connection: dict[str, Any] = {
            "conn_type": "tencent_mps",
            "login": "an-id",
            "password": "a-key",
            "host": "localhost",
        }
        connection |= {"port": server.server_port, "extra": extra}
        monkeypatch.setenv("AIRFLOW_CONN_TENCENT_MPS_DEFAULT", json.dumps(connection))
        assert MpsHook().test_connection()[0]
        # The download's host is no loopback one, which would be reached without the proxy.
        url = f"https://files.example:{server.server_port}/song.mp3"
        keep = MpsToObjectStorageOperator(task_id="keep", urls=url, destination=str(tmp_path / "kept"))
        assert run_task(keep)[0] == [f"file://{tmp_path}/kept/song.mp3"]


@pytest.mark.parametrize("verify", [True, False])
def test_cos_is_reached_through_it(
    cos: Cos, tls: ssl.SSLContext, ca_bundle: str, verify: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    both = tmp_path / "both.pem"
    both.write_text(Path(ca_bundle).read_text() + Path(cos.bundle).read_text())
    with behind_tls(int(cos.proxy.rpartition(":")[2]), tls) as port:
        extra = {"proxy": f"https://localhost:{port}", "verify": str(both) if verify else False}
        monkeypatch.setenv("AIRFLOW_CONN_COS", cos.connection(**extra))
        (ObjectStoragePath(f"cos://cos@{BUCKET}") / "song.mp3").write_bytes(b"la")
    assert cos.objects() == {"song.mp3": b"la"}
