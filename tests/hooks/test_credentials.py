"""Each source of keys, over a real socket: stand-ins for STS and the metadata service give out keys that work."""

import asyncio
import json
import ssl
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from airflow_provider_mps.api.errors import ApiError, CredentialError
from airflow_provider_mps.api.wire.client import MpsClient
from airflow_provider_mps.emulator import MpsEmulator
from airflow_provider_mps.hooks.mps import MpsHook
from airflow_provider_mps.triggers.mps import MpsTaskTrigger
from tests.doubles.emulators import CREATE
from tests.doubles.in_time import ends
from tests.doubles.logs import Lines
from tests.doubles.seen import MUSIC
from tests.doubles.servers import Handler, LoopbackServer, hang
from tests.hooks.conftest import CALLS

Connect = Callable[..., None]
ROLE = "qcs::cam::uin/1:roleName/soundtracks"
TEMPORARY = {"TmpSecretId": "tmp-id", "TmpSecretKey": "tmp-key", "Token": "tmp-token"}
SECRETS = ("emulator-key", "tmp-key", "tmp-token", "pod-token", "a-token")


@pytest.fixture(autouse=True)
def nothing_of_this_machine(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """No keys, no profile, no metadata service but the test's own."""
    for name in ("TENCENTCLOUD_SECRET_ID", "TENCENTCLOUD_SECRET_KEY", *POD):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setattr("tencentcloud.common.credential.CVMRoleCredential._role_endpoint", "http://127.0.0.1:1/")


@pytest.fixture
def accepted(emulator: MpsEmulator) -> MpsEmulator:
    """The emulator, which takes the keys that the stand-ins give out."""
    emulator.accept_credential(*TEMPORARY.values())
    return emulator


@pytest.fixture
def sts(tls: ssl.SSLContext, ca_bundle: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[LoopbackServer]:
    """A stand-in for STS that the SDK trusts; ``respond`` may be replaced."""
    monkeypatch.setattr("certifi.where", lambda: ca_bundle)

    def issue(handler: Handler) -> None:
        credentials = {"Credentials": TEMPORARY, "ExpiredTime": int(time.time()) + 7200, "RequestId": "1"}
        handler.answer({"Response": credentials}, Content_Type="application/json")

    with LoopbackServer(issue, ssl_context=tls) as server:
        yield server


@pytest.fixture
def metadata(monkeypatch: pytest.MonkeyPatch) -> Iterator[LoopbackServer]:
    """A stand-in for the metadata service of an instance with the role ``machine``."""

    def serve(handler: Handler) -> None:
        if handler.received.path == "/roles/":
            handler.answer(b"machine")
        elif handler.received.path == "/roles/machine":
            handler.answer(TEMPORARY | {"Code": "Success", "ExpiredTime": int(time.time()) + 7200})
        else:
            handler.answer(b"", status=404)

    with LoopbackServer(serve) as server:
        monkeypatch.setattr("tencentcloud.common.credential.CVMRoleCredential._role_endpoint", f"{server.url}/roles/")
        yield server


POD = {
    "TKE_REGION": "ap-singapore",
    "TKE_PROVIDER_ID": "a-provider",
    "TKE_WEB_IDENTITY_TOKEN_FILE": "",
    "TKE_ROLE_ARN": ROLE,
}


@pytest.fixture
def pod(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """The environment of a pod with an OIDC role."""
    token_file = tmp_path / "identity-file"
    token_file.write_text("pod-token")
    for name, value in POD.items():
        monkeypatch.setenv(name, value or str(token_file))


def failure() -> CredentialError:
    """How one attempt of a call fails, without its repeats."""
    with MpsHook().client() as client, pytest.raises(CredentialError) as failed:
        ends(lambda: client.run(client.attempt(CREATE, MUSIC)))
    told = f"{failed.value} {failed.value!r} {failed.value.__cause__!r}"
    assert not [secret for secret in SECRETS if secret in told]
    assert not failed.value.failure.may_have_run
    return failed.value


def signed_with(emulator: MpsEmulator) -> list[tuple[str, str]]:
    """SecretId and token of each request."""
    headers = [request.headers for request in emulator.requests]
    return [
        (each["authorization"].split("Credential=")[1].split("/")[0], each.get("x-tc-token", "")) for each in headers
    ]


@CALLS
def test_static_keys_with_and_without_a_token(emulator: MpsEmulator, connect: Connect, call: Any) -> None:
    assert call(CREATE, MUSIC)["TaskId"]
    emulator.accept_credential("a-temporary-id", "its-key", "a-token")
    connect(login="a-temporary-id", password="its-key", token="a-token")
    assert call(CREATE, MUSIC)["TaskId"]
    assert signed_with(emulator) == [("emulator-id", ""), ("a-temporary-id", "a-token")]


@CALLS
def test_assume_role(accepted: MpsEmulator, connect: Connect, sts: LoopbackServer, call: Any) -> None:
    connect(credential="assume_role", role_arn=ROLE, role_session_name="nightly", sts_endpoint=sts.host)
    assert call(CREATE, MUSIC)["TaskId"]
    assert signed_with(accepted) == [("tmp-id", "tmp-token")]
    [asked] = sts.requests
    assert asked.headers["x-tc-action"] == "AssumeRole"
    assert "Credential=emulator-id/" in asked.headers["authorization"]
    body = json.loads(asked.body)
    assert (body["RoleArn"], body["RoleSessionName"]) == (ROLE, "nightly")


def test_keys_are_kept_until_they_are_refused(accepted: MpsEmulator, connect: Connect, sts: LoopbackServer) -> None:
    connect(credential="assume_role", role_arn=ROLE, sts_endpoint=sts.host)
    with MpsHook().client() as client:
        client.call(CREATE, MUSIC)
        client.call(CREATE, MUSIC)
        assert len(sts.requests) == 1
        accepted.fault("error", code="AuthFailure.TokenFailure")
        client.call(CREATE, MUSIC)
    assert len(sts.requests) == 2
    assert len(accepted.tasks) == 3


def issues(good_for: float) -> Callable[[Handler], None]:
    """STS, with keys that the SDK renews whenever it is asked, for they are good for less than ten minutes more."""

    def respond(handler: Handler) -> None:
        credentials = {"Credentials": TEMPORARY, "ExpiredTime": int(time.time() + good_for), "RequestId": "1"}
        handler.answer({"Response": credentials}, Content_Type="application/json")

    return respond


def down(handler: Handler) -> None:
    """STS in trouble, with an answer that nobody may quote."""
    handler.answer(json.dumps(TEMPORARY).encode(), status=502)


@pytest.fixture
def a_minute_later(monkeypatch: pytest.MonkeyPatch) -> Callable[[], None]:
    """Has a minute pass for keys that are kept."""
    passed = 0.0

    def pass_by() -> None:
        nonlocal passed
        passed += 61.0

    clock = SimpleNamespace(**vars(time) | {"monotonic": lambda: time.monotonic() + passed})
    monkeypatch.setattr("airflow_provider_mps.api.wire.credentials.time", clock)
    return pass_by


STS = pytest.mark.parametrize("credential", ["assume_role", "tke_oidc"])


@STS
def test_keys_that_are_good_are_used_while_sts_is_down(
    accepted: MpsEmulator,
    connect: Connect,
    sts: LoopbackServer,
    pod: None,
    a_minute_later: Callable[[], None],
    logged: Lines,
    credential: str,
) -> None:
    connect(credential=credential, role_arn=ROLE, sts_endpoint=sts.host)
    with MpsHook().client() as client:
        for outages in (1, 2):
            sts.respond = issues(good_for=600)
            client.run(client.attempt(CREATE, MUSIC))
            sts.respond = down
            before = len(sts.requests)
            for asked in (1, 2):
                a_minute_later()
                client.run(client.attempt(CREATE, MUSIC))
                client.run(client.attempt(CREATE, MUSIC))
                assert len(sts.requests) == before + asked
            said = logged.of(f"credential={credential}")
            assert len(said) == outages
            a_minute_later()
    assert "gave no keys" in said[0]
    assert "go on being used" in said[0]
    assert not [secret for secret in SECRETS for line in logged.lines if secret in line]


def test_keys_that_are_good_are_used_while_sts_hangs(
    accepted: MpsEmulator,
    connect: Connect,
    sts: LoopbackServer,
    a_minute_later: Callable[[], None],
    logged: Lines,
) -> None:
    sts.respond = issues(good_for=600)
    connect(credential="assume_role", role_arn=ROLE, sts_endpoint=sts.host, timeout=3)
    with MpsHook().client() as client:
        client.run(client.attempt(CREATE, MUSIC))
        sts.respond = hang
        a_minute_later()
        ends(lambda: client.run(client.attempt(CREATE, MUSIC)))
        ends(lambda: client.run(client.attempt(CREATE, MUSIC)))
    assert len(sts.requests) == 2
    assert len(logged.of("no answer within 3 s")) == 1


@STS
def test_keys_that_have_expired_are_not_used_while_sts_is_down(
    accepted: MpsEmulator,
    connect: Connect,
    sts: LoopbackServer,
    pod: None,
    a_minute_later: Callable[[], None],
    credential: str,
) -> None:
    sts.respond = issues(good_for=-1)
    connect(credential=credential, role_arn=ROLE, sts_endpoint=sts.host)
    with MpsHook().client() as client:
        client.run(client.attempt(CREATE, MUSIC))
        sts.respond = down
        a_minute_later()
        with pytest.raises(CredentialError, match="gave no keys"):
            client.run(client.attempt(CREATE, MUSIC))


def test_keys_that_are_refused_are_not_used_while_sts_is_down(
    accepted: MpsEmulator, connect: Connect, sts: LoopbackServer
) -> None:
    sts.respond = issues(good_for=600)
    connect(credential="assume_role", role_arn=ROLE, sts_endpoint=sts.host)
    with MpsHook().client() as client:
        client.run(client.attempt(CREATE, MUSIC))
        sts.respond = down
        accepted.fault("error", code="AuthFailure.TokenFailure")
        with pytest.raises(ApiError, match="TokenFailure"):
            client.run(client.attempt(CREATE, MUSIC))
        with pytest.raises(CredentialError, match="gave no keys"):
            client.run(client.attempt(CREATE, MUSIC))


@CALLS
@pytest.mark.parametrize("name", ["", "machine"])
def test_cvm_role(accepted: MpsEmulator, connect: Connect, metadata: LoopbackServer, call: Any, name: str) -> None:
    connect(credential="cvm_role", login="", password="", cvm_role_name=name)
    assert call(CREATE, MUSIC)["TaskId"]
    assert signed_with(accepted) == [("tmp-id", "tmp-token")]
    assert [each.path for each in metadata.requests] == ["/roles/"] * (not name) + ["/roles/machine"]


@CALLS
def test_tke_oidc(accepted: MpsEmulator, connect: Connect, sts: LoopbackServer, pod: None, call: Any) -> None:
    connect(credential="tke_oidc", login="", password="", sts_endpoint=sts.host)
    assert call(CREATE, MUSIC)["TaskId"]
    assert signed_with(accepted) == [("tmp-id", "tmp-token")]
    [asked] = sts.requests
    assert asked.headers["x-tc-action"] == "AssumeRoleWithWebIdentity"
    body = json.loads(asked.body)
    assert (body["ProviderId"], body["WebIdentityToken"], body["RoleArn"]) == ("a-provider", "pod-token", ROLE)


@CALLS
def test_default_chain_takes_the_environment_first(
    emulator: MpsEmulator, connect: Connect, monkeypatch: pytest.MonkeyPatch, metadata: LoopbackServer, call: Any
) -> None:
    emulator.accept_credential("id-of-the-environment", "its-key")
    monkeypatch.setenv("TENCENTCLOUD_SECRET_ID", "id-of-the-environment")
    monkeypatch.setenv("TENCENTCLOUD_SECRET_KEY", "its-key")
    connect(credential="default_chain", login="", password="")
    assert call(CREATE, MUSIC)["TaskId"]
    assert signed_with(emulator) == [("id-of-the-environment", "")]
    assert metadata.requests == []


def test_default_chain_goes_on_to_the_profile_the_machine_and_the_pod(
    accepted: MpsEmulator,
    connect: Connect,
    tmp_path: Path,
    metadata: LoopbackServer,
    sts: LoopbackServer,
    pod: None,
) -> None:
    connect(credential="default_chain", login="", password="", sts_endpoint=sts.host)
    profile = tmp_path / ".tencentcloud" / "credentials"
    profile.parent.mkdir()
    profile.write_text("[default]\nsecret_id = id-of-the-profile\nsecret_key = its-key\n")
    accepted.accept_credential("id-of-the-profile", "its-key")
    MpsHook().call(CREATE, MUSIC)
    profile.unlink()
    MpsHook().call(CREATE, MUSIC)
    metadata.respond = lambda handler: handler.answer(b"", status=404)
    MpsHook().call(CREATE, MUSIC)
    temporary = ("tmp-id", "tmp-token")
    assert signed_with(accepted) == [("id-of-the-profile", ""), temporary, temporary]
    assert len(sts.requests) == 1


@pytest.mark.parametrize(
    ("site", "host"), [("intl", "sts.intl.tencentcloudapi.com"), ("cn", "sts.tencentcloudapi.com")]
)
@pytest.mark.parametrize("credential", ["assume_role", "tke_oidc"])
def test_sts_is_that_of_the_site(
    connect: Connect, pod: None, monkeypatch: pytest.MonkeyPatch, site: str, host: str, credential: str
) -> None:
    with LoopbackServer(lambda handler: handler.answer(b"", status=403)) as proxy:
        monkeypatch.setenv("HTTPS_PROXY", proxy.url)  # the SDK's own way to a proxy, and where the test looks
        connect(site=site, credential=credential, role_arn=ROLE)
        assert host in str(failure())
    assert [each.path for each in proxy.requests] == [f"{host}:443"]


def test_a_refusal_by_sts_is_named_and_final(emulator: MpsEmulator, connect: Connect, sts: LoopbackServer) -> None:
    error = {"Code": "AuthFailure.UnauthorizedOperation", "Message": "key emulator-key, token tmp-token"}
    sts.respond = lambda handler: handler.answer(
        {"Response": {"Error": error, "RequestId": "1"}}, Content_Type="application/json"
    )
    connect(credential="assume_role", role_arn=ROLE, sts_endpoint=sts.host)
    told = failure()
    assert f"credential=assume_role (STS at {sts.host}, role {ROLE}) gave no keys" in str(told)
    assert "AuthFailure.UnauthorizedOperation" in str(told)
    assert not told.retry_helps
    assert emulator.requests == []


@pytest.mark.parametrize("answer", [b"<html>", b'{"Response": {"RequestId": "tmp-token"}}', b""])
def test_an_answer_of_sts_without_keys(connect: Connect, sts: LoopbackServer, answer: bytes) -> None:
    sts.respond = lambda handler: handler.answer(answer, Content_Type="application/json")
    connect(credential="assume_role", role_arn=ROLE, sts_endpoint=sts.host)
    assert "credential=assume_role" in str(failure())


def test_sts_is_not_trusted_without_a_certificate(connect: Connect, tls: ssl.SSLContext) -> None:
    with LoopbackServer(hang, ssl_context=tls) as sts:
        connect(credential="assume_role", role_arn=ROLE, sts_endpoint=sts.host)
        assert "credential=assume_role" in str(failure())
    assert sts.requests == []


@pytest.mark.parametrize("missing", POD)
def test_a_pod_without_a_variable(
    emulator: MpsEmulator, connect: Connect, pod: None, monkeypatch: pytest.MonkeyPatch, missing: str
) -> None:
    monkeypatch.delenv(missing)
    connect(credential="tke_oidc")
    told = failure()
    assert "credential=tke_oidc" in str(told)
    assert missing in str(told)
    assert not told.retry_helps
    assert emulator.requests == []


def test_a_pod_without_its_token_file(connect: Connect, pod: None, tmp_path: Path) -> None:
    (tmp_path / "identity-file").unlink()
    connect(credential="tke_oidc")
    assert "identity-file" in str(failure())


def test_an_instance_without_a_role(emulator: MpsEmulator, connect: Connect, metadata: LoopbackServer) -> None:
    connect(credential="cvm_role", cvm_role_name="another")
    assert "credential=cvm_role (the metadata service, role another) gave no keys" in str(failure())
    assert emulator.requests == []


def test_a_default_chain_that_finds_nothing(emulator: MpsEmulator, connect: Connect) -> None:
    connect(credential="default_chain")
    told = str(failure())
    for tried in ("TENCENTCLOUD_SECRET_ID", "~/.tencentcloud/credentials", "instance's role", "TKE_*"):
        assert tried in told
    assert emulator.requests == []


def test_a_source_that_hangs_ends_with_the_timeout_and_blocks_no_loop(
    emulator: MpsEmulator, connect: Connect, metadata: LoopbackServer
) -> None:
    metadata.respond = hang
    connect(credential="cvm_role", timeout=0.5)
    assert (
        "credential=cvm_role (the metadata service, role of the instance) gave no keys: no answer within 0.5 s"
        in str(failure())
    )

    async def beside_others() -> int:
        turns = 0

        async def others() -> None:
            nonlocal turns
            while True:
                await asyncio.sleep(0.01)
                turns += 1

        busy = asyncio.create_task(others())
        async with MpsClient(MpsHook().settings) as client:
            with pytest.raises(CredentialError, match=r"no answer within 0\.5 s"):
                await client.attempt(CREATE, MUSIC)
        busy.cancel()
        return turns

    assert asyncio.run(beside_others()) >= 5
    assert emulator.requests == []


def test_a_source_that_hangs_once_is_asked_anew_and_the_wait_goes_on(
    accepted: MpsEmulator, connect: Connect, metadata: LoopbackServer
) -> None:
    answers = metadata.respond

    def hang_once(handler: Any) -> None:
        metadata.respond = answers
        hang(handler)

    metadata.respond = hang_once
    connect(credential="cvm_role", timeout=0.5)
    task_id = accepted.add_task()

    async def wait() -> str:
        async for event in MpsTaskTrigger("aigc_audio", task_id, poll_interval=0.1, deadline=time.time() + 20).run():
            return str(event.payload["status"])
        raise AssertionError("no event")

    assert ends(lambda: asyncio.run(wait())) == "done"


def test_all_that_ask_a_silent_source_share_one_look_up(
    emulator: MpsEmulator, connect: Connect, metadata: LoopbackServer
) -> None:
    metadata.respond = hang
    connect(credential="cvm_role", timeout=0.5)

    async def ask() -> list[str]:
        before = set(threading.enumerate())
        async with MpsClient(MpsHook().settings) as client:
            asked = [client.attempt(CREATE, MUSIC) for _ in range(20)]
            failures = await asyncio.gather(*asked, return_exceptions=True)
        assert {type(failure) for failure in failures} == {CredentialError}
        return [thread.name for thread in set(threading.enumerate()) - before if thread.name == "mps-blocking"]

    assert ends(lambda: asyncio.run(ask())) == ["mps-blocking"]
    assert len(metadata.requests) == 1


def test_a_wrong_token_is_refused_and_not_quoted(emulator: MpsEmulator, connect: Connect) -> None:
    connect(token="a-token")
    with pytest.raises(ApiError, match=r"AuthFailure.TokenFailure") as refused:
        MpsHook().call(CREATE, MUSIC)
    assert not [secret for secret in SECRETS if secret in str(refused.value)]
