"""cos:// is a place of Airflow's object storage, with an MPS connection's keys and COS's own rules."""

import json
import pickle
import subprocess
import sys
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from airflow_provider_mps.api.errors import InvalidConnectionError
from airflow_provider_mps.compat import ObjectStoragePath
from airflow_provider_mps.get_provider_info import get_provider_info
from airflow_provider_mps.storage import cos as module
from airflow_provider_mps.storage.folders import folder_named
from tests.doubles.cos import BUCKET, Cos, Refusal, forget_file_systems
from tests.doubles.logs import Lines
from tests.doubles.servers import LoopbackServer

FOLDER = f"cos://cos@{BUCKET}/soundtracks"


def test_airflow_finds_it() -> None:
    assert get_provider_info()["filesystems"] == [module.__name__]
    code = (
        f"import {module.__name__}, sys; print([name for name in ('s3fs', 'botocore', 'httpx') if name in sys.modules])"
    )
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True).stdout.strip() == "[]"


def test_files_are_written_read_listed_copied_moved_and_deleted(cos: Cos) -> None:
    folder = ObjectStoragePath(FOLDER)
    song = folder / "july" / "rain & sun 100%.mp3"
    assert not song.exists()
    song.write_bytes(b"la la la")
    with (folder / "notes.txt").open("w") as notes:
        notes.write("sunny")
    assert cos.objects() == {"soundtracks/july/rain & sun 100%.mp3": b"la la la", "soundtracks/notes.txt": b"sunny"}
    assert song.read_bytes() == b"la la la"
    assert (song.exists(), song.is_file(), song.parent.is_dir(), song.stat().st_size) == (True, True, True, 8)
    assert sorted(str(path) for path in folder.iterdir()) == [f"{FOLDER}/july", f"{FOLDER}/notes.txt"]
    song.copy(folder / "copy.mp3")
    song.move(folder / "moved.mp3")
    assert sorted(cos.objects()) == [f"soundtracks/{name}" for name in ("copy.mp3", "moved.mp3", "notes.txt")]
    (folder / "copy.mp3").unlink()
    folder.rmdir(recursive=True)
    assert cos.objects() == {}


def test_what_cos_refuses_is_never_asked_for(cos: Cos) -> None:
    folder = ObjectStoragePath(FOLDER)
    for number in range(3):
        (folder / f"{number}.mp3").write_bytes(b"la")
    folder.fs.rm(folder.path, recursive=True)
    assert cos.objects() == {}
    assert {request.bucket for request in cos.requests} == {BUCKET}
    assert {request.method for request in cos.requests} <= {"GET", "HEAD", "PUT", "DELETE"}
    assert not [request for request in cos.requests if "content-encoding" in request.headers or request.status == 411]


@pytest.mark.parametrize(
    ("name", "kind"),
    [("a.mp3", "audio/mpeg"), ("a.mp4", "video/mp4"), ("a.png", "image/png"), ("a.json", "application/json")],
)
def test_files_have_their_content_type(cos: Cos, tmp_path: Path, name: str, kind: str) -> None:
    (tmp_path / name).write_bytes(b"from disk")
    target = ObjectStoragePath(FOLDER) / name
    ways: dict[str, Callable[[], object]] = {
        "written": lambda: target.write_bytes(b"a"),
        "piped": lambda: target.fs.pipe_file(target.path, b"a"),
        "copied from disk": lambda: ObjectStoragePath(tmp_path.as_uri() + f"/{name}").copy(target),
    }
    found = {}
    for way, write in ways.items():
        write()
        found[way] = cos.content_type(f"soundtracks/{name}")
        target.unlink()
    assert found == dict.fromkeys(ways, kind)


def test_a_large_file_comes_in_parts_and_is_there_whole_or_not_at_all(cos: Cos) -> None:
    target = ObjectStoragePath(FOLDER) / "film.mp4"
    megabyte = bytes(range(256)) * 4096
    with target.fs.open(target.path, "wb", block_size=5 * 2**20, autocommit=False) as file:
        for _ in range(12):
            file.write(megabyte)
        assert cos.objects() == {}
    assert cos.objects() == {}
    file.commit()
    assert cos.objects() == {"soundtracks/film.mp4": megabyte * 12}
    assert cos.content_type("soundtracks/film.mp4") == "video/mp4"
    with target.fs.open(target.path, "wb", block_size=5 * 2**20, autocommit=False) as file:
        file.write(megabyte * 6)
    file.discard()
    assert cos.objects() == {"soundtracks/film.mp4": megabyte * 12}
    assert cos.uploads() == []


def test_a_name_is_taken_once(cos: Cos) -> None:
    target = ObjectStoragePath(FOLDER) / "song.mp3"

    def take(number: int) -> str:
        try:
            target.fs.pipe_file(target.path, b"%d" % number, mode="create")
        except FileExistsError:
            return "taken"
        return str(number)

    with ThreadPoolExecutor(8) as pool:
        outcomes = list(pool.map(take, range(8)))
    [winner] = [outcome for outcome in outcomes if outcome != "taken"]
    assert cos.objects() == {"soundtracks/song.mp3": winner.encode()}
    with pytest.raises(FileExistsError), target.fs.open(target.path, "xb") as file:
        file.write(b"late")
    assert cos.objects() == {"soundtracks/song.mp3": winner.encode()}


def test_a_bucket_is_neither_made_nor_deleted(cos: Cos) -> None:
    misspelt = ObjectStoragePath("cos://cos@sogns-1250000000/july")
    misspelt.mkdir(parents=True, exist_ok=True)
    with pytest.raises(FileNotFoundError):
        (misspelt / "song.mp3").write_bytes(b"la")
    cos.put("song.mp3", b"la")
    bucket = ObjectStoragePath(f"cos://cos@{BUCKET}")
    for delete in (
        lambda: bucket.rmdir(recursive=True),
        lambda: bucket.fs.rmdir(BUCKET),
        lambda: bucket.fs.rm(BUCKET, recursive=True),
    ):
        with pytest.raises(PermissionError, match="is a bucket"):
            delete()
    assert (cos.buckets, cos.objects()) == ([BUCKET], {"song.mp3": b"la"})


def test_a_refusal_is_an_error_that_says_what_cos_said(cos: Cos) -> None:
    cos.rules.append(
        lambda request: Refusal(403, "AccessDenied", "Access Denied.") if request.method == "PUT" else None
    )
    with pytest.raises(PermissionError, match=r"Access Denied\."):
        (ObjectStoragePath(FOLDER) / "song.mp3").write_bytes(b"la")


def test_what_is_set_for_aws_does_not_count(cos: Cos, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in {
        "AWS_PROFILE": "nobody",
        "AWS_ACCESS_KEY_ID": "of-aws",
        "AWS_SECRET_ACCESS_KEY": "of-aws",
        "AWS_SESSION_TOKEN": "of-aws",
        "AWS_ENDPOINT_URL": "https://s3.example",
        "AWS_ENDPOINT_URL_S3": "https://s3.example",
        "AWS_DEFAULT_REGION": "us-east-1",
        "AWS_USE_FIPS_ENDPOINT": "true",
        "AWS_USE_DUALSTACK_ENDPOINT": "true",
        "AWS_REQUEST_CHECKSUM_CALCULATION": "when_supported",
        "AWS_CA_BUNDLE": "/nowhere.pem",
        "HTTPS_PROXY": "http://127.0.0.1:1",
        "https_proxy": "http://127.0.0.1:1",
    }.items():
        monkeypatch.setenv(name, value)
    (ObjectStoragePath(FOLDER) / "song.mp3").write_bytes(b"la")
    assert cos.objects() == {"soundtracks/song.mp3": b"la"}


def test_keys_come_from_the_connection_s_credential(cos: Cos, monkeypatch: pytest.MonkeyPatch) -> None:
    """Here from the metadata service of an instance with a role."""
    cos.keys = {"role-id": ("role-key", "role-token")}
    keys = {"TmpSecretId": "role-id", "TmpSecretKey": "role-key", "Token": "role-token", "Code": "Success"}
    with LoopbackServer(lambda handler: handler.answer(keys | {"ExpiredTime": int(time.time()) + 7200})) as metadata:
        monkeypatch.setattr("tencentcloud.common.credential.CVMRoleCredential._role_endpoint", f"{metadata.url}/")
        connection = json.loads(cos.connection(credential="cvm_role", cvm_role_name="machine", token=""))
        monkeypatch.setenv("AIRFLOW_CONN_COS", json.dumps(connection | {"login": "", "password": ""}))
        (ObjectStoragePath(FOLDER) / "song.mp3").write_bytes(b"la")
    assert cos.objects() == {"soundtracks/song.mp3": b"la"}


def test_a_token_goes_with_its_keys(cos: Cos, monkeypatch: pytest.MonkeyPatch) -> None:
    cos.keys = {"temporary-id": ("temporary-key", "its-token")}
    monkeypatch.setenv("AIRFLOW_CONN_COS", cos.connection())
    (ObjectStoragePath(FOLDER) / "song.mp3").write_bytes(b"la")
    assert cos.objects() == {"soundtracks/song.mp3": b"la"}


@pytest.mark.usefixtures("all_turned_up")
def test_nothing_secret_is_logged_shown_or_serialized(cos: Cos, monkeypatch: pytest.MonkeyPatch, logged: Lines) -> None:
    cos.keys = {"temporary-id": ("temporary-key", "its-token")}
    monkeypatch.setenv("AIRFLOW_CONN_COS", cos.connection())
    target = ObjectStoragePath(FOLDER) / "song.mp3"
    target.write_bytes(b"la")
    assert target.read_bytes() == b"la"
    told = [*logged.lines, *logged.arguments, repr(target.fs), target.fs.to_json(), str(target.serialize())]
    assert [text for text in told if any(each in text for each in ("temporary-key", "its-token", "Signature="))] == []


def test_the_default_connection_serves_where_none_is_named(cos: Cos, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AIRFLOW_CONN_TENCENT_MPS_DEFAULT", cos.connection())
    target = ObjectStoragePath(f"cos://{BUCKET}/song.mp3")
    target.write_bytes(b"la")
    assert target.exists()
    assert cos.objects() == {"song.mp3": b"la"}


@pytest.mark.parametrize("of_kind", [str, ObjectStoragePath])
def test_an_argument_without_a_connection_has_the_operators(
    of_kind: Any, cos: Cos, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AIRFLOW_CONN_MINE", cos.connection())
    folder = folder_named("destination", of_kind(f"cos://{BUCKET}/songs"), "mine")
    (folder / "song.mp3").write_bytes(b"la")
    assert cos.objects() == {"songs/song.mp3": b"la"}


def test_what_is_wrong_with_the_connection_is_said_as_such(cos: Cos, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AIRFLOW_CONN_MINE", cos.connection(site="mars"))
    with pytest.raises(InvalidConnectionError, match=r"^Connection mine, site: must be one of"):
        folder_named("destination", f"cos://{BUCKET}/songs", "mine")


def test_a_connection_without_a_region_is_named(cos: Cos, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AIRFLOW_CONN_COS", cos.connection(cos_region=""))
    with pytest.raises(InvalidConnectionError, match=r"^Connection cos, cos_region: is needed for cos://"):
        ObjectStoragePath(FOLDER).fs.ls(BUCKET)


def test_without_the_extra_it_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "s3fs", None)
    monkeypatch.delitem(sys.modules, "airflow_provider_mps.storage.filesystem", raising=False)
    with pytest.raises(ImportError, match=r"pip install 'airflow-provider-mps\[cos\]'"):
        module.get_fs("cos")


def test_it_survives_a_pickle_by_its_connection_s_id(cos: Cos) -> None:
    fs = ObjectStoragePath(FOLDER).fs
    stored = pickle.dumps(fs)
    forget_file_systems()
    pickle.loads(stored).pipe_file(f"{BUCKET}/song.mp3", b"la")
    assert cos.objects() == {"song.mp3": b"la"}
