"""From an Airflow connection to the client's settings: every field, every mistake, and the Test button."""

import asyncio
import json
import re
import socket
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest

from airflow_provider_mps.api.errors import InvalidArgumentError, InvalidConnectionError, TransportError
from airflow_provider_mps.compat import AirflowFailException
from airflow_provider_mps.emulator import MpsEmulator
from airflow_provider_mps.get_provider_info import CONNECTION_FIELDS
from airflow_provider_mps.hooks.mps import MpsHook
from airflow_provider_mps.operators.mps import CreateAigcAudioTaskOperator
from tests.doubles.emulators import DESCRIBE
from tests.doubles.logs import Lines
from tests.doubles.seen import MUSIC_ARGUMENTS
from tests.doubles.servers import LoopbackServer, hang
from tests.doubles.task_instances import run_task
from tests.hooks.conftest import CALLS

Connect = Callable[..., None]

AS_JSON = {
    "site": "cn",
    "region": "ap-singapore",
    "credential": "assume_role",
    "token": "a-token",
    "role_arn": "qcs::cam::uin/1:roleName/r",
    "role_session_name": "airflow",
    "cvm_role_name": "machine",
    "sts_endpoint": "sts.example",
    "cos_region": "ap-guangzhou",
    "cos_endpoint": "https://cos.example",
    "memory": "cos://cos@songs-1250000000/mps",
    "endpoint": "https://mps.example",
    "proxy": "http://proxy.example:3128",
    "verify": False,
    "timeout": 5,
    "requests_per_second": 12.5,
    "prices": {"currency": "USD", "Kling": {"second": 0.05}},
}
AS_TEXT = {name: json.dumps(value) if isinstance(value, dict) else str(value) for name, value in AS_JSON.items()}


def load(way: str) -> MpsHook:
    hook = MpsHook()
    if way == "async":
        asyncio.run(hook.aload())
    return hook


@pytest.mark.parametrize("way", ["sync", "async"])
@pytest.mark.parametrize("extra", [AS_JSON, AS_TEXT])
def test_extra_fields_as_json_and_as_the_text_that_forms_store(
    connect: Connect, extra: dict[str, Any], way: str
) -> None:
    assert set(extra) == set(CONNECTION_FIELDS), "every field of the form"
    connect(schema="https", **extra)
    settings = load(way).settings
    assert (settings.cos_region, settings.cos_endpoint) == ("ap-guangzhou", "https://cos.example")
    assert settings.memory == "cos://cos@songs-1250000000/mps"
    assert (settings.region, settings.proxy, settings.verify) == ("ap-singapore", "http://proxy.example:3128", False)
    assert settings.prices.by_model.keys() == {"Kling"}
    assert (settings.timeout, settings.requests_per_second) == (5.0, 12.5)
    credential = settings.credential
    assert (credential.kind, credential.role_arn) == ("assume_role", "qcs::cam::uin/1:roleName/r")
    assert (credential.secret_id, credential.secret_key, credential.token) == ("emulator-id", "emulator-key", "a-token")
    assert (credential.role_session_name, credential.cvm_role_name) == ("airflow", "machine")
    assert credential.sts_endpoint == "sts.example"


@pytest.mark.parametrize("empty", [{}, dict.fromkeys(AS_JSON, ""), dict.fromkeys(AS_JSON)])
def test_what_is_left_empty_has_its_default(connect: Connect, empty: dict[str, Any]) -> None:
    connect(host="", port=None, schema="", **empty)
    settings = MpsHook().settings
    assert settings.url == "https://mps.intl.tencentcloudapi.com/"
    assert (settings.verify, settings.timeout, settings.requests_per_second) == (True, 30.0, None)
    assert (settings.region, settings.cos_region, settings.proxy, settings.credential.token) == ("", "", "", "")
    assert settings.credential.kind == "static"


def test_the_site_gives_the_host_and_a_host_overrides_it(connect: Connect) -> None:
    connect(host="", port=None, schema="https", site="cn")
    assert MpsHook().settings.url == "https://mps.tencentcloudapi.com/"
    connect(host="vpc.example", port=8443, schema="https", site="cn")
    assert MpsHook().settings.url == "https://vpc.example:8443/"


@pytest.mark.parametrize(
    ("verify", "read"), [("true", True), ("False", False), (True, True), ("/a/ca.pem", "/a/ca.pem")]
)
def test_verify_is_true_false_or_a_path(connect: Connect, verify: Any, read: bool | str) -> None:
    connect(verify=verify)
    assert MpsHook().settings.verify == read


def test_the_region_is_sent(emulator: MpsEmulator, connect: Connect) -> None:
    connect(region="ap-singapore")
    MpsHook().create_aigc_audio_task(**MUSIC_ARGUMENTS)
    assert emulator.requests[0].headers["x-tc-region"] == "ap-singapore"


def test_a_bucket_s_region_is_not_that_of_the_calls(emulator: MpsEmulator, connect: Connect) -> None:
    connect(site="intl", cos_region="ap-guangzhou")
    hook = MpsHook()
    assert hook.test_connection()[0]
    assert (hook.settings.region, hook.settings.cos_region) == ("", "ap-guangzhou")
    assert "x-tc-region" not in emulator.requests[0].headers


@pytest.mark.parametrize("way", ["sync", "async"])
@pytest.mark.parametrize(
    ("extra", "own", "bucket_s"),
    [
        ({"region": "ap-singapore"}, None, "ap-singapore"),
        ({"region": "ap-singapore", "cos_region": "ap-tokyo"}, None, "ap-tokyo"),
        ({"region": "ap-singapore", "cos_region": "ap-tokyo"}, "ap-guangzhou", "ap-guangzhou"),
    ],
)
def test_a_bucket_s_region_is_the_hook_s_the_connection_s_or_that_of_the_calls(
    connect: Connect, extra: dict[str, str], own: str | None, bucket_s: str, way: str
) -> None:
    connect(**extra)
    hook = MpsHook(cos_region=own)
    if way == "async":
        asyncio.run(hook.aload())
    assert (hook.settings.region, hook.settings.cos_region) == ("ap-singapore", bucket_s)


def test_who_differs_in_buckets_alone_is_the_same_account(connect: Connect) -> None:
    connect(cos_region="ap-tokyo")
    assert MpsHook().settings == MpsHook(cos_region="ap-guangzhou").settings
    assert len({MpsHook().settings, MpsHook(cos_region="ap-guangzhou").settings}) == 1


@CALLS
@pytest.mark.parametrize("region", ["ap-guangzhou", "ap-shanghai", "ap-beijing", "ap-chengdu", "ap-chongqing"])
def test_the_international_site_takes_no_region_of_china_s_mainland(
    emulator: MpsEmulator, connect: Connect, call: Any, region: str
) -> None:
    connect(region=region)
    with pytest.raises(
        InvalidConnectionError, match=rf"tencent_mps_default, region: .*{region}.*move it to cos_region"
    ):
        call(DESCRIBE, {"TaskId": "any"})
    assert emulator.requests == []


def test_the_site_in_china_takes_it(connect: Connect, monkeypatch: pytest.MonkeyPatch) -> None:
    with MpsEmulator(site="cn") as emulator:
        connection = emulator.connection
        connection["extra"] |= {"site": "cn", "region": "ap-guangzhou"}
        monkeypatch.setenv("AIRFLOW_CONN_TENCENT_MPS_DEFAULT", json.dumps(connection))
        assert MpsHook().test_connection()[0]
        assert emulator.requests[0].headers["x-tc-region"] == "ap-guangzhou"
    connect(region="ap-guangzhou", host="mps.tencentcloudapi.com", port=None, schema="https")
    assert MpsHook().settings.region == "ap-guangzhou", "whatever the site's default is"


@pytest.mark.parametrize("host", ["mps.internal.tencentcloudapi.com", "mps.ap-guangzhou.tencentcloudapi.com"])
def test_a_host_inside_of_the_service_s_network_takes_its_regions(connect: Connect, host: str) -> None:
    connect(region="ap-guangzhou", host=host, port=None, schema="https")
    assert (MpsHook().settings.url, MpsHook().settings.region) == (f"https://{host}/", "ap-guangzhou")


@CALLS
@pytest.mark.parametrize(
    ("field", "fields"),
    [
        ("login (SecretId)", {"login": ""}),
        ("login (SecretId)", {"login": " emulator-id"}),
        ("password (SecretKey)", {"password": ""}),
        ("password (SecretKey)", {"password": "emulator-key\n"}),
        ("password (SecretKey)", {"credential": "assume_role", "password": "", "role_arn": "r"}),
        ("login (SecretId)", {"login": "emulator\n-id"}),
        ("password (SecretKey)", {"password": "emulator-key\u3000emulator-key"}),
        ("token", {"token": "emulator-key\nemulator-key"}),
        ("token", {"token": {"emulator-key": 1}}),
        ("region", {"region": "ap-\nsingapore"}),
        ("region", {"region": "ap-singapore\u00e9"}),
        ("role_session_name", {"role_session_name": "air flow"}),
        ("cvm_role_name", {"cvm_role_name": "a\tb"}),
        ("role_arn", {"role_arn": 7}),
        ("sts_endpoint", {"sts_endpoint": "https://sts.example/"}),
        ("sts_endpoint", {"sts_endpoint": "sts.example?x=1"}),
        ("role_arn", {"credential": "assume_role"}),
        ("site", {"site": "eu"}),
        ("credential", {"credential": "magic"}),
        ("schema", {"schema": "ftp"}),
        ("schema", {"schema": "http", "host": "mps.intl.tencentcloudapi.com"}),
        ("host", {"host": "https://127.0.0.1/"}),
        ("host", {"host": "somebody@127.0.0.1"}),
        ("host", {"host": "one host"}),
        ("host", {"host": "a..example"}),
        ("host", {"host": "[::1"}),
        ("host", {"host": "h\u00f6st.example"}),
        ("port", {"port": -1}),
        ("port", {"port": 65536}),
        ("port", {"port": 10**400}),
        ("timeout", {"timeout": "soon"}),
        ("timeout", {"timeout": 0}),
        ("timeout", {"timeout": "0"}),
        ("timeout", {"timeout": -1}),
        ("timeout", {"timeout": "nan"}),
        ("timeout", {"timeout": "inf"}),
        ("timeout", {"timeout": 10**400}),
        ("timeout", {"timeout": 1e18}),
        ("timeout", {"timeout": True}),
        ("timeout", {"timeout": [5]}),
        ("requests_per_second", {"requests_per_second": "many"}),
        ("requests_per_second", {"requests_per_second": 10**9}),
        ("requests_per_second", {"requests_per_second": 0}),
        ("proxy", {"proxy": "not a url"}),
        ("proxy", {"proxy": "http://[::1"}),
        ("proxy", {"proxy": "http://:3128"}),
        ("proxy", {"proxy": "http://127.0.0.1:0"}),
        ("proxy", {"proxy": "http://127.0.0.1:99999"}),
        ("proxy", {"proxy": "http://user:emulator-key@127.0.0.1:1"}),
        ("proxy", {"schema": "https", "proxy": "socks5://127.0.0.1:1080"}),
        ("proxy", {"schema": "https", "proxy": "ftp://127.0.0.1:1"}),
        ("cos_endpoint", {"cos_endpoint": "https://["}),
        ("cos_endpoint", {"cos_endpoint": "http://cos.example"}),
        ("cos_endpoint", {"cos_endpoint": "cos.example"}),
        ("cos_endpoint", {"cos_endpoint": "https://cos.example:0"}),
        ("cos_endpoint", {"cos_endpoint": "https://gateway.example/cos"}),
        ("cos_endpoint", {"cos_endpoint": "https://songs-1250000000.cos.ap-singapore.myqcloud.com"}),
        ("cos_endpoint", {"cos_endpoint": "https://songs-1250000000.cos-internal.ap-singapore.tencentcos.cn/"}),
        ("verify", {"verify": 0}),
        ("verify", {"verify": "/a\0b"}),
        ("verify", {"schema": "https", "verify": "/nowhere/ca.pem"}),
    ],
)
def test_a_field_that_cannot_be_used_is_named_before_anything_is_sent(
    emulator: MpsEmulator, connect: Connect, call: Any, field: str, fields: dict[str, Any]
) -> None:
    connect(**fields)
    with pytest.raises(InvalidConnectionError) as wrong:
        call(DESCRIBE, {"TaskId": "any"})
    assert f"{field}:" in str(wrong.value)
    assert "emulator-key" not in str(wrong.value)
    assert emulator.requests == []


@CALLS
@pytest.mark.parametrize("extra", ["{site: cn}", "[1]", "5", '"intl"', "null"])
def test_an_extra_that_airflow_takes_for_an_empty_one_is_named(
    emulator: MpsEmulator, connect: Connect, call: Any, extra: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AIRFLOW_CONN_TENCENT_MPS_DEFAULT", json.dumps(emulator.connection | {"extra": extra}))
    with pytest.raises(InvalidConnectionError, match=r"tencent_mps_default, extra: must be a JSON object"):
        call(DESCRIBE, {"TaskId": "any"})
    assert emulator.requests == []


@pytest.mark.parametrize("host", ["127.0.0.1:443", "mps.example:443", "[::1]:443"])
def test_a_port_in_the_host_is_refused_with_where_to_put_it(connect: Connect, host: str) -> None:
    connect(host=host)
    with pytest.raises(InvalidConnectionError, match="host: give only the host, and put 443 into port"):
        MpsHook().settings  # noqa: B018


@pytest.mark.parametrize("host", ["[::1]", "::1"])
def test_an_ipv6_host_in_brackets_and_without(connect: Connect, host: str) -> None:
    connect(host=host, port=8080)
    assert MpsHook().settings.url == "http://[::1]:8080/"


def test_a_proxy_never_sees_token_and_prompt(emulator: MpsEmulator, connect: Connect) -> None:
    with LoopbackServer(lambda handler: handler.answer({"Response": {"TaskId": "by-proxy"}})) as proxy:
        connect(proxy=proxy.url)
        with pytest.raises(InvalidConnectionError, match="proxy: would see token and prompt in the clear"):
            MpsHook().create_aigc_audio_task(prompt="rain")
    assert (proxy.requests, emulator.requests) == ([], [])


@CALLS
@pytest.mark.parametrize(
    ("environment", "told"),
    [
        ({"HTTPS_PROXY": "http://proxy.example:3128"}, "HTTPS_PROXY"),
        ({"https_proxy": "http://proxy.example:3128"}, "https_proxy"),
        ({"ALL_PROXY": "http://proxy.example:3128"}, "ALL_PROXY"),
        ({"HTTPS_PROXY": "http://proxy.example:3128", "NO_PROXY": "127.0.0.1"}, ""),
        ({"HTTP_PROXY": "http://proxy.example:3128"}, ""),
        ({}, ""),
    ],
)
@pytest.mark.usefixtures("mps_short_waits")
def test_where_nothing_is_reached_a_proxy_of_the_environment_that_is_not_used_is_named(
    environment: dict[str, str], told: str, call: Any, connect: Connect, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("https_proxy", "all_proxy", "no_proxy", "http_proxy"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        connect(schema="https", port=taken.getsockname()[1])
        with pytest.raises(TransportError) as failed:
            call("EditMedia", {})
    said = f"{told} is set here and is not used: put a proxy's URL into the connection's field proxy"
    assert (said in failed.value.advice) is bool(told)
    assert (" is set here" in failed.value.advice) is bool(told)


@pytest.mark.parametrize(
    "conn_id", [None, "", "None", 7, b"tencent_mps_default", ["tencent_mps_default"], "a b", "\ud800"]
)
@pytest.mark.parametrize("load", [lambda hook: hook.settings, lambda hook: asyncio.run(hook.aload())])
def test_what_is_not_the_id_of_a_connection_is_named(load: Any, conn_id: Any) -> None:
    with pytest.raises(InvalidArgumentError) as wrong:
        load(MpsHook(conn_id))
    assert wrong.value.field == "mps_conn_id"


def test_another_address_of_this_machine_is_this_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    with MpsEmulator(host="127.0.0.2") as emulator:
        monkeypatch.setenv("AIRFLOW_CONN_TENCENT_MPS_DEFAULT", json.dumps(emulator.connection))
        assert MpsHook().test_connection()[0]


@pytest.mark.parametrize("host", ["127.0.0.1.example", "128.0.0.1", "0.0.0.0", "localhost.example"])
def test_no_other_machine_is(connect: Connect, host: str) -> None:
    connect(host=host)
    with pytest.raises(InvalidConnectionError, match="schema: plain http is only for loopback hosts"):
        MpsHook().settings  # noqa: B018


def test_a_connection_as_a_uri(emulator: MpsEmulator, monkeypatch: pytest.MonkeyPatch) -> None:
    emulator.accept_credential("an-id", "a/key+with:signs@")
    uri = f"tencent-mps://an-id:{quote('a/key+with:signs@', safe='')}@127.0.0.1:{emulator.port}/http?timeout=5"
    monkeypatch.setenv("AIRFLOW_CONN_BY_URI", uri)
    hook = MpsHook("by_uri")
    assert hook.create_aigc_audio_task(**MUSIC_ARGUMENTS) == emulator.tasks[0].task_id
    assert hook.settings.timeout == 5.0


def test_settings_do_not_show_secrets(connect: Connect) -> None:
    connect(schema="https", token="a-token", proxy="http://user:proxy-password@127.0.0.1:1")
    hook = MpsHook()
    with hook.client() as client:
        shown = f"{hook.settings!r} {hook!r} {client!r} {vars(hook)!r}"
    assert not [secret for secret in ("emulator-key", "a-token", "proxy-password") if secret in shown]


def test_the_test_button_says_that_the_keys_are_good(emulator: MpsEmulator) -> None:
    assert MpsHook().test_connection() == (
        True,
        "127.0.0.1 accepted SecretId and SecretKey.",
    )
    assert (emulator.count(DESCRIBE), len(emulator.tasks)) == (1, 0)


@pytest.mark.parametrize(
    ("fields", "told"),
    [
        ({"password": "wrong-key"}, "MPS refused: AuthFailure.SignatureFailure"),
        ({"login": "unknown-id"}, r"MPS refused: AuthFailure.SecretIdNotFound.*login \(SecretId\).* and its site"),
        ({"schema": "https", "verify": "/nowhere/ca.pem"}, "^verify: no CA bundle at '/nowhere/ca.pem'"),
        ({"region": ["ap-singapore"]}, "^region: must be a string, not list$"),
        ({"token": "wrong-token"}, "MPS refused: AuthFailure.TokenFailure"),
        ({"password": ""}, r"^password \(SecretKey\): is empty or has spaces around it$"),
        ({"site": "eu"}, "^site: must be one of intl, cn, not 'eu'$"),
        (
            {"schema": "https"},
            "MPS cannot be reached: ConnectError: .*SSL.* Check endpoint .or host., port, proxy and verify",
        ),
    ],
)
def test_the_test_button_says_what_is_wrong(
    emulator: MpsEmulator, connect: Connect, fields: dict[str, Any], told: str
) -> None:
    connect(**fields)
    good, message = MpsHook().test_connection()
    assert not good
    assert re.search(told, message), message
    assert not [secret for secret in ("emulator-key", "wrong-key", "wrong-token") if secret in message]
    for said_elsewhere in (DESCRIBE, "tencent_mps_default", "billed", "was sent", "repeat", "RequestId"):
        assert said_elsewhere not in message


def test_the_test_button_says_that_nobody_listens_or_answers(connect: Connect) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        connect(port=taken.getsockname()[1])
        good, message = MpsHook().test_connection()
        assert (good, "refused" in message or "connection attempts failed" in message) == (False, True), message
    with LoopbackServer(hang) as server:
        connect(port=server.server_port, timeout=0.3)
        good, message = MpsHook().test_connection()
        assert (good, "no answer within 0.3 s (127.0.0.1)" in message) == (False, True), message
    with LoopbackServer(lambda handler: handler.answer(b"<html>a login page</html>")) as server:
        connect(port=server.server_port)
        good, message = MpsHook().test_connection()
        assert (good, "not a JSON object with Response" in message) == (False, True), message


FILE_BACKEND = "airflow.secrets.local_filesystem.LocalFilesystemBackend"


@pytest.fixture
def in_a_file(
    emulator: MpsEmulator, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Callable[..., MpsHook]]:
    """A hook whose connection is in a file, as YAML and Terraform write one: Airflow checks no field of it."""
    configuration = pytest.importorskip("airflow.sdk.configuration", reason="other versions do not cache backends")
    path = tmp_path / "connections.json"
    monkeypatch.setenv("AIRFLOW__SECRETS__BACKEND", FILE_BACKEND)
    monkeypatch.setenv("AIRFLOW__SECRETS__BACKEND_KWARGS", json.dumps({"connections_file_path": str(path)}))

    def written(**fields: Any) -> MpsHook:
        path.write_text(json.dumps({"in_a_file": emulator.connection | fields}))
        configuration.clear_secrets_backends_cache()
        return MpsHook("in_a_file")

    yield written
    configuration.clear_secrets_backends_cache()


@pytest.mark.parametrize("port", [str, int, float, lambda port: f" {port} "])
def test_a_port_may_be_a_text(in_a_file: Callable[..., MpsHook], emulator: MpsEmulator, port: Any) -> None:
    if port is float:
        with pytest.raises(InvalidConnectionError, match="in_a_file, port: must be a number from 1 to 65535"):
            in_a_file(port=443.5).settings  # noqa: B018
        return
    assert in_a_file(port=port(emulator.port)).test_connection()[0]


@CALLS
@pytest.mark.parametrize(
    ("field", "fields"),
    [
        ("port", {"port": "https"}),
        ("port", {"port": "4_4_3"}),
        ("port", {"port": True}),
        ("port", {"port": ["443"]}),
        ("port", {"port": {"number": 443}}),
        ("host", {"host": 127}),
        ("host", {"host": ["127.0.0.1"]}),
        ("schema", {"schema": True}),
        ("login (SecretId)", {"login": 12345}),
        ("login (SecretId)", {"login": {"id": "x"}}),
        ("password (SecretKey)", {"password": 12345}),
        *((name, {name: value}) for name in CONNECTION_FIELDS for value in ([1], {"a": 1})),
    ],
)
def test_a_field_of_a_wrong_type_is_named_or_the_connection_is(
    in_a_file: Callable[..., MpsHook], emulator: MpsEmulator, call: Any, field: str, fields: dict[str, Any]
) -> None:
    own = {"extra": emulator.connection["extra"] | fields} if field in CONNECTION_FIELDS else fields
    with pytest.raises(InvalidConnectionError) as wrong:
        call(DESCRIBE, {"TaskId": "any"}, hook=in_a_file(**own))
    # Of some of them Airflow itself cannot make a connection: it says that there is none, and so does the error.
    assert re.search(
        rf"in_a_file, {re.escape(field)}(\.\w+)?: |in_a_file: Airflow has none .*cannot read it", str(wrong.value)
    )
    assert emulator.requests == []


@CALLS
def test_no_connection_at_all_is_three_lines_with_one_to_copy(logged: Lines, call: Any) -> None:
    with pytest.raises(InvalidConnectionError) as wrong:
        call(DESCRIBE, {"TaskId": "any"}, hook=MpsHook("nowhere"))
    assert str(wrong.value) == "Connection nowhere: Airflow has none of this id, or cannot read it"
    with pytest.raises(InvalidConnectionError) as ended:
        run_task(CreateAigcAudioTaskOperator(task_id="create", mps_conn_id="nowhere", **MUSIC_ARGUMENTS))
    assert not isinstance(ended.value, AirflowFailException), "Airflow says the same of a server that is away"
    assert logged.errors[-3:] == [
        "Connection nowhere: Airflow has none of this id, or cannot read it",
        "Nothing was sent to MPS, and nothing is billed",
        "airflow connections add nowhere --conn-type tencent_mps --conn-login ID --conn-password KEY",
    ]


def test_the_test_button_when_there_is_no_such_connection(airflow_db: None) -> None:
    good, message = MpsHook("nowhere").test_connection()
    assert (good, "nowhere" in message) == (False, True), message
