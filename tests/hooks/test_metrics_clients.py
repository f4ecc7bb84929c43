"""What a task made, as it reaches StatsD, InfluxDB, Datadog and OpenTelemetry: sent by Airflow's client for each."""

import logging
import socket
from collections.abc import Callable, Iterator
from types import SimpleNamespace
from typing import Any

import pytest

from airflow_provider_mps.api.tasks.usage import Usage
from airflow_provider_mps.hooks.metrics import count_usage
from tests.doubles.in_time import ends
from tests.doubles.logs import Lines
from tests.doubles.servers import LoopbackServer

stats = pytest.importorskip(
    "airflow.sdk.observability.stats", reason="Airflow before 3.3 sets its metrics up otherwise"
)

STRANGE: Usage = {
    "mps_task_id": "one",
    "kind": "aigc_video",
    "state": "DONE",
    "model": "K\u00f6nig of films, the 1st=2",
    "version": "2.1|c:x#",
    "resolution": "1280*720",
    "files": 2,
    "seconds": 7.6,
}
CLEAN = {
    "kind": "aigc_video",
    "state": "DONE",
    "model": "K_nig_of_films_the_1st_2",
    "version": "2.1_c_x_",
    "resolution": "1280x720",
}
SENT = {"tasks": 1, "files": 2, "seconds": 8}
TI = SimpleNamespace(dag_id="d" * 250, task_id="t\u00e4sk", stats_tags={"team_name": "radio"})
Configure = Callable[..., None]


@pytest.fixture
def configure(monkeypatch: pytest.MonkeyPatch) -> Iterator[Configure]:
    """Set Airflow's metrics up, as a task's process does."""
    from airflow.sdk._shared.observability.metrics.base_stats_logger import NoStatsLogger
    from airflow.sdk.observability.metrics.stats_utils import get_stats_factory

    def change(**settings: Any) -> None:
        for name, value in settings.items():
            monkeypatch.setenv(f"AIRFLOW__METRICS__{name.upper()}", str(value))
        stats.initialize(factory=get_stats_factory(), export_legacy_names=False)

    yield change
    stats.initialize(factory=NoStatsLogger, export_legacy_names=False)


@pytest.fixture
def ear() -> Iterator[socket.socket]:
    """Where datagrams come to."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as listening:
        listening.bind(("127.0.0.1", 0))
        listening.settimeout(30)
        yield listening


def at(ear: socket.socket) -> dict[str, Any]:
    return {"statsd_on": True, "statsd_host": "127.0.0.1", "statsd_port": ear.getsockname()[1]}


def heard(ear: socket.socket) -> list[str]:
    """The three counters, a datagram each."""
    return [ear.recv(2000).decode() for _ in SENT]


def test_plain_statsd_has_no_tags(ear: socket.socket, configure: Configure) -> None:
    configure(**at(ear))
    count_usage(STRANGE)
    assert heard(ear) == [f"airflow.mps.usage.{name}:{number}|c" for name, number in SENT.items()]


def test_influxdb_has_them_in_the_name(ear: socket.socket, configure: Configure, logged: Lines) -> None:
    configure(**at(ear), statsd_influxdb_enabled=True)
    count_usage(STRANGE)
    tags = ",".join(f"{name}={value}" for name, value in CLEAN.items())
    assert heard(ear) == [f"airflow.mps.usage.{name},{tags}:{number}|c" for name, number in SENT.items()]
    assert logged.errors == []


def test_datadog_has_them_at_the_end(ear: socket.socket, configure: Configure) -> None:
    configure(**at(ear), statsd_datadog_enabled=True)
    count_usage(STRANGE)
    for line in heard(ear):
        name, _, rest = line.strip().partition(":")
        assert name.startswith("airflow.mps.usage.")
        assert set(rest.rpartition("#")[2].split(",")) >= {f"{tag}:{value}" for tag, value in CLEAN.items()}


def test_opentelemetry_has_them_as_attributes(configure: Configure) -> None:
    from opentelemetry.metrics import get_meter_provider
    from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest

    with LoopbackServer(lambda handler: handler.answer(b"")) as server:
        configure(
            otel_on=True, otel_host="127.0.0.1", otel_port=server.server_port, otel_interval_milliseconds=3_600_000
        )
        count_usage(STRANGE)
        provider: Any = get_meter_provider()
        provider.shutdown()
        # When the process ends, Airflow flushes it once more, and this says that it cannot.
        logging.getLogger("opentelemetry.exporter.otlp.proto.http.metric_exporter").disabled = True
        request = ExportMetricsServiceRequest.FromString(server.requests[-1].body)
    came = {
        metric.name: {pair.key: pair.value.string_value for pair in point.attributes}
        for resource in request.resource_metrics
        for scope in resource.scope_metrics
        for metric in scope.metrics
        for point in metric.sum.data_points
    }
    assert came == {f"airflow.mps.usage.{name}": CLEAN for name in SENT}


@pytest.mark.parametrize(
    ("wanted", "told"),
    [
        ("", set()),
        ("dag_id", {"dag_id"}),
        ("dag_id, task_id,team_name", {"dag_id", "task_id", "team_name"}),
        ("nobody", set()),
    ],
)
def test_airflow_s_own_tags_are_sent_where_the_deployment_wants_them(
    wanted: str,
    told: set[str],
    ear: socket.socket,
    configure: Configure,
    monkeypatch: pytest.MonkeyPatch,
    logged: Lines,
) -> None:
    monkeypatch.setenv("AIRFLOW__MPS__USAGE_TAGS", wanted)
    configure(**at(ear), statsd_influxdb_enabled=True)
    count_usage(STRANGE, TI)
    for line in heard(ear):
        name = line.rpartition(":")[0].removeprefix("airflow.")
        assert len(name) <= 250
        tags = dict(tag.split("=") for tag in name.split(",")[1:])
        assert set(tags) == CLEAN.keys() | told
        assert tags.get("task_id", "t_sk") == "t_sk"
        assert tags.get("dag_id", "dd")[:2] == "dd"
    assert logged.errors == []


def test_tags_whose_names_alone_are_too_long_are_left_out(
    ear: socket.socket, configure: Configure, monkeypatch: pytest.MonkeyPatch, logged: Lines
) -> None:
    long = {letter * 100: "x" for letter in "ab"}
    monkeypatch.setenv("AIRFLOW__MPS__USAGE_TAGS", ",".join(["dag_id", *long]))
    configure(**at(ear), statsd_influxdb_enabled=True)
    ends(lambda: count_usage(STRANGE, SimpleNamespace(dag_id="daily", task_id="one", stats_tags=long)))
    for line in heard(ear):
        tags = dict(tag.split("=") for tag in line.rpartition(":")[0].split(",")[1:])
        assert set(tags) == {*CLEAN, "dag_id"} | {name for name in long if name in tags}
        assert not set(long) <= set(tags)
        assert all(tags.values())
    assert logged.errors == []
