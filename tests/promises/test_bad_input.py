"""Whatever an argument or a field of the connection holds: it ends well, or in this package's error that names it.

Nothing is sent then, and Airflow does not try again. The values are generated: the same ones at each run, or new ones,
and more, where MPS_FUZZ_EXAMPLES says how many (`make fuzz`).
"""

import datetime
import decimal
import inspect
import json
import os
import re
import tempfile
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any
from unittest import mock

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from airflow_provider_mps.api.errors import (
    ApiError,
    DownloadError,
    InvalidArgumentError,
    InvalidConnectionError,
    MpsError,
    WaitTimeoutError,
)
from airflow_provider_mps.api.request.soundtrack import lay_soundtrack
from airflow_provider_mps.compat import AirflowFailException, AirflowSensorTimeout
from airflow_provider_mps.emulator import MpsEmulator
from airflow_provider_mps.get_provider_info import CONNECTION_FIELDS
from airflow_provider_mps.hooks.mps import MpsHook
from airflow_provider_mps.operators.mps import MpsApiOperator
from airflow_provider_mps.transfers.mps_to_object_storage import MpsToObjectStorageOperator
from tests.doubles.emulators import DESCRIBE, emulated
from tests.doubles.logs import forget_secrets
from tests.doubles.task_instances import State, TaskInstance
from tests.doubles.ways import ARGUMENTS, OPERATORS, SENSORS, own_arguments

CONN_ID = "bad_input"
CONN_IDS = r"[\w#!()\-.:/\\]+"
SECRET = "do-not-show-me"
AIRFLOWS = {"timeout", "poke_interval"}
NOT_RENDERED = AIRFLOWS | {"family"}
"""Looked at while the DAG is parsed."""
FLAGS = {"wait_for_completion", "deferrable", "durable", "retry_ambiguous_create"}
UNUSED = {"cos_region"}
"""Looked at only for a cos://."""
TIMES = {"wait_timeout", "timeout"}
NEW = int(os.environ.get("MPS_FUZZ_EXAMPLES", "0"))

generated = settings(
    max_examples=NEW or 150,
    derandomize=not NEW,
    database=None,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow, HealthCheck.data_too_large],
)


@dataclass(frozen=True)
class Given:
    """A value, and how it is shown where a test fails: Python cannot write all of them."""

    value: Any = field(repr=False)
    shown: str

    @classmethod
    def of(cls, value: Any) -> "Given":
        return cls(value, ascii(value)[:200])

    def _repr_pretty_(self, printer: Any, cycle: bool) -> None:
        """As Hypothesis shows it; by itself it writes all fields."""
        printer.text(self.shown)


def nested(levels: int, around: Callable[[Any], Any]) -> Any:
    value: Any = "x"
    for _ in range(levels):
        value = around(value)
    return value


def endless() -> list[Any]:
    value: list[Any] = []
    value.append(value)
    return value


STRANGE = [
    Given(nested(5000, lambda value: [value]), "5,000 lists"),
    Given(nested(5000, lambda value: {"a": value}), "5,000 dicts"),
    Given(json.dumps(nested(500, lambda value: {"a": value})).replace('"x"', "[" * 50_000), "deep JSON"),
    Given(endless(), "a list that holds itself"),
    Given(10**400, "10**400"),
    Given(10**5000, "10**5000"),
    Given("1" * 5000, "5,000 ones"),
    *map(
        Given.of,
        [
            *(None, True, False, 0, -1, 1, 2**63, 2**64, 5, "5", "5.0", "1e400", 0.5, -0.0, 1e18, 1e-300, 1e308),
            *(float("nan"), float("inf"), -float("inf"), "nan", "inf", "None", "none", "true", "", " ", "\n", "\0"),
            *("x" * 2001, "\ud800", "a\ud800b", "\U0001f3b5", "Ünicode", "{{ unrendered", "[1, 2]", "{'a': 1}", "{}"),
            *(f'{{"a": "{SECRET}"', '{"a": NaN}', '{"a": 1e400}', '{"a": "\\ud800"}', '{"a": 1, "a": 2}', "null"),
            *(f"['https://a.example/1?sign={SECRET}']", f"ftp://u:{SECRET}@a.example/1", f"x?sign={SECRET}"),
            *("https://[", "https://", "https://a.example:99999/", "https://a.example:0/", "https://a.example/\n1"),
            *("https://a.example/1.mp4", "cos://", "cos://b", "cos://b/k", "cos://[/k", "s3://b/k", "//a.example/1"),
            *(b"rain", bytearray(b"rain"), memoryview(b"rain"), b'{"a": 1}', b"https://a.example/1.mp4"),
            *({"rain"}, frozenset(), range(3), object(), print, Exception, iter([1]), 1j, ..., decimal.Decimal("NaN")),
            *(datetime.timedelta.max, datetime.timedelta(0), datetime.timedelta(-1), datetime.timedelta(seconds=1)),
            *(datetime.datetime.max, datetime.date.min, MappingProxyType({"a": 1}), [], {}, [[]], [{}], [None], (1,)),
            *({1: 2, "a": 3}, {None: 1}, {b"a": 1}, {"\ud800": 1}, {"a": float("nan")}, {"a": {1}}, {"a": b"x"}),
            *({"Type": 5}, {"Type": "URL", "UrlInputInfo": "x"}, {"Bucket": 1, "Region": [], "Object": {}}),
            *(
                [{"InputInfo": "x"}],
                [{"InputInfo": {"UrlInputInfo": ["x"]}}],
                [{"InputInfo": {"UrlInputInfo": {"Url": 5}}}],
            ),
            *([{"InputInfo": {"Type": "URL", "UrlInputInfo": {"Url": "https://["}}}], {"CosBucketName": "b"}),
            *({"CosBucketName": ["b"], "CosBucketRegion": 1, "CosBucketPath": 2}, {"Bucket": "None", "Region": "r"}),
        ],
    ),
]
TEXTS = st.text(st.characters(exclude_categories=()), max_size=30)


def json_of(texts: st.SearchStrategy[str]) -> st.SearchStrategy[Any]:
    return st.recursive(
        st.none() | st.booleans() | st.integers() | st.floats() | texts,
        lambda inner: st.lists(inner, max_size=3) | st.dictionaries(texts, inner, max_size=3),
        max_leaves=6,
    )


VALUES = st.sampled_from(STRANGE) | json_of(TEXTS).map(Given.of)


@dataclass(frozen=True)
class Subject:
    """An operator or a sensor.

    :param arguments: what it needs, so that it ends well, but for what is changed.
    :param unknown: arguments whose values, where they are well written, would name what does not exist.
    """

    cls: Any
    arguments: Callable[[MpsEmulator], Mapping[str, Any]]
    unknown: Mapping[str, str] = field(default_factory=lambda: {"mps_conn_id": CONN_IDS})

    def __str__(self) -> str:
        return str(self.cls.__name__)

    @property
    def names(self) -> list[str]:
        """Its own arguments, and those of Airflow's sensors that it uses."""
        return sorted(own_arguments(self.cls) | (AIRFLOWS if self.cls in SENSORS else set()))

    def changes(self) -> st.SearchStrategy[dict[str, Given]]:
        return st.dictionaries(st.sampled_from(self.names), VALUES, min_size=1, max_size=2).filter(self._known)

    def make(self, arguments: Mapping[str, Any], changed: Mapping[str, Given]) -> Any:
        """Make it, and change it as rendering does."""
        values = {name: given.value for name, given in changed.items()}
        made = self.cls(**dict(arguments) | {name: values.pop(name) for name in NOT_RENDERED & set(values)})
        vars(made).update(values)
        return made

    def _known(self, changed: dict[str, Given]) -> bool:
        return not any(
            isinstance(changed[name].value, str) and re.fullmatch(pattern, changed[name].value)
            for name, pattern in self.unknown.items()
            if name in changed
        )


def of_operator(cls: Any) -> Subject:
    waits: dict[str, Any] = {"wait_for_completion": True, "poll_interval": 0.05}
    return Subject(cls, lambda emulator: {**ARGUMENTS.get(cls.__name__, {"prompt": "rain"}), **waits})


def of_sensor(cls: Any) -> Subject:
    return Subject(
        cls,
        lambda emulator: {"mps_task_id": emulator.add_task(cls.family.kind)},
        {"mps_conn_id": CONN_IDS, "mps_task_id": r"[\w.-]+"},
    )


def a_file_to_keep(emulator: MpsEmulator) -> dict[str, Any]:
    [url] = MpsHook(CONN_ID).describe_aigc_audio_task(emulator.add_task(wait_seconds=0, run_seconds=0)).urls
    return {"urls": [url], "destination": f"file://{tempfile.mkdtemp(prefix='fuzz-', dir=os.environ['AIRFLOW_HOME'])}"}


# What would lead elsewhere on the network or on the disk.
NOT_FOR_A_FUZZ = {
    "mps_conn_id": CONN_IDS,
    "storage_conn_id": r"(?s).*",
    "urls": r"(?s).*://.*",
    "destination": r"(?s).*",
}

SUBJECTS = [
    *map(of_operator, OPERATORS),
    *map(of_sensor, (SENSORS[0], SENSORS[-1])),  # all are one class with another family
    Subject(MpsApiOperator, lambda emulator: {"action": "DescribeTasks", "mps_params": {"Status": "FINISH"}}),
    Subject(MpsToObjectStorageOperator, a_file_to_keep, NOT_FOR_A_FUZZ),
]


@pytest.fixture(scope="module")
def emulator() -> Iterator[MpsEmulator]:
    with emulated(CONN_ID, wait_seconds=0, run_seconds=0) as running:
        yield running


def check_good(changed: Mapping[str, Given]) -> None:
    """Whether nothing was taken that cannot be meant, even if it did no harm this time."""
    for name, taken in changed.items():
        if name in FLAGS:
            assert isinstance(taken.value, bool)
        elif name == "max_poll_failures":
            assert type(taken.value) is int
        elif name not in UNUSED and not isinstance(taken.value, datetime.timedelta):
            json.dumps(taken.value, allow_nan=False, ensure_ascii=False, default=dict).encode()


def check_named(error: MpsError, changed: Iterable[str], secret: bool = True) -> None:
    """Whether an error names what is wrong, in words that can be logged, and shows no secret if there is one."""
    assert not (secret and SECRET in str(error))
    assert any(name in str(error) for name in changed), error
    assert str(error).encode()
    assert len(str(error)) < 1000


@pytest.mark.parametrize("subject", SUBJECTS, ids=str)
def test_arguments(emulator: MpsEmulator, subject: Subject) -> None:
    needed = {"task_id": "wait", "mps_conn_id": CONN_ID, **subject.arguments(emulator)}

    @generated
    @given(changed=subject.changes(), deferrable=st.booleans())
    def play(changed: dict[str, Given], deferrable: bool) -> None:
        arguments = needed | ({"deferrable": deferrable} if "deferrable" in subject.names else {})
        try:
            subject.make(arguments, changed)
        except InvalidArgumentError as refused:
            check_named(refused, changed)
            return
        except Exception:
            assert AIRFLOWS & set(changed), "Airflow checks these by itself, when the DAG is parsed"
            return
        sent = len(emulator.requests)
        outcome = TaskInstance(lambda: subject.make(arguments, changed), retries=1).run()
        if outcome.state is State.SUCCESS:
            check_good(changed)
            return
        for error in outcome.errors:
            if isinstance(error, InvalidArgumentError):
                check_named(error, changed)
                assert len(emulator.requests) == sent
            elif isinstance(error, (WaitTimeoutError, AirflowSensorTimeout)):
                assert TIMES & set(changed)
                return
            else:
                # What is well written and makes no sense, the service refuses; a file may be larger than max_bytes.
                assert isinstance(error, (ApiError, DownloadError)), repr(error)
            assert isinstance(error, AirflowFailException)
        assert outcome.tries == 1

    play()


NOT_SECRET = ("host", "schema", "site", "credential")
OWN_FIELDS = ("login", "password", "host", "schema")
URLS = (
    "http://127.0.0.1:1",
    "https://127.0.0.1",
    f"http://u:{SECRET}@127.0.0.1:1",
    "socks5://127.0.0.1:1",
    "https://[",
)
# Airflow itself cannot read a connection with half a surrogate pair in it, or with numbers for its own fields.
WHOLE_TEXTS = st.text(max_size=30)
FIELD_TEXTS = WHOLE_TEXTS | st.sampled_from(
    [
        *(given.value for given in STRANGE if isinstance(given.value, str) and "\ud800" not in given.value),
        *("127.0.0.1:443", "[::1]", "::1", "[::1]:443", "localhost", "a b", "/nowhere", "https", "http", "cn"),
        *CONNECTION_FIELDS,
    ]
)
FIELD_VALUES = (
    FIELD_TEXTS
    | st.sampled_from([*URLS, "assume_role", "0", "-1", "1e-9", f"{SECRET}\n{SECRET}"])
    | json_of(WHOLE_TEXTS)
)


def connections() -> st.SearchStrategy[dict[str, Any]]:
    """Fields of a connection, as far as Airflow takes them."""
    values = dict.fromkeys(OWN_FIELDS, FIELD_TEXTS) | dict.fromkeys(CONNECTION_FIELDS, FIELD_VALUES)
    values["port"] = st.integers() | st.just(10**400) | st.integers(-2, 2**16 + 2)
    each = [st.tuples(st.just(name), value) for name, value in values.items()]
    return st.lists(st.one_of(each), min_size=1, max_size=3).map(dict)


@generated
@given(changed=connections())
def test_the_connections_fields(emulator: MpsEmulator, changed: dict[str, Any]) -> None:
    own = {name: value for name, value in changed.items() if name in (*OWN_FIELDS, "port")}
    extra = {name: value for name, value in changed.items() if name not in own}
    connection = emulator.connection | own
    connection["extra"] = emulator.connection["extra"] | extra
    sent = len(emulator.requests)
    forget_secrets()
    with mock.patch.dict(os.environ, {"AIRFLOW_CONN_FUZZED": json.dumps(connection)}):
        hook = MpsHook("fuzzed")
        try:
            found = hook.settings
        except InvalidConnectionError as error:
            check_named(error, changed, secret=not any(SECRET in str(changed.get(name)) for name in NOT_SECRET))
            assert len(emulator.requests) == sent
            return
        if (found.host, found.port, found.proxy, found.credential.kind) == ("127.0.0.1", emulator.port, "", "static"):
            # What MPS or the wire says to the rest of it is another matter: an error of this package, or an answer.
            with hook.client() as client, suppress(MpsError):
                client.run(client.attempt(DESCRIBE, {"TaskId": "nobody"}))


@generated
@given(action=VALUES, params=VALUES, field=st.sampled_from(sorted(OPERATORS[0].request.fields)), value=VALUES)
def test_the_hooks_arguments(emulator: MpsEmulator, action: Given, params: Given, field: str, value: Given) -> None:
    hook = MpsHook(CONN_ID)
    calls: list[tuple[dict[str, Given], Callable[[], Any]]] = [
        ({"action": action}, lambda: hook.call(action.value, {})),
        ({"params": params}, lambda: hook.call(DESCRIBE, params.value)),
        ({field: value}, lambda: hook.create_aigc_audio_task(**{"prompt": "rain"} | {field: value.value})),
        ({"mps_task_id": value}, lambda: hook.describe_aigc_audio_task(value.value)),
    ]
    for changed, call in calls:
        sent = len(emulator.requests)
        try:
            call()
        except InvalidArgumentError as error:
            check_named(error, changed)
            assert len(emulator.requests) == sent
        except ApiError:
            assert len(emulator.requests) > sent


@generated
@given(
    changed=st.dictionaries(st.sampled_from(sorted(inspect.signature(lay_soundtrack).parameters)), VALUES, min_size=1)
)
def test_a_soundtracks_arguments(changed: dict[str, Given]) -> None:
    needed: dict[str, Any] = {"video": "https://a.example/1.mp4", "audio": "https://a.example/1.mp3"}
    try:
        made = lay_soundtrack(**needed | {name: given.value for name, given in changed.items()})
    except InvalidArgumentError as error:
        check_named(error, changed)
    else:
        assert len(made["compose_config"]["Tracks"][1]["Items"]) < 2500
