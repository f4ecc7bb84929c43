"""A download's signature is sent to no third party: not in OpenTelemetry's spans, not in crash reports with locals."""

import traceback
from collections.abc import Iterator
from pathlib import Path

import pytest
from opentelemetry.instrumentation.httpx import HTTPXClientInstrumentor
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from airflow_provider_mps.emulator import MpsEmulator
from airflow_provider_mps.hooks.mps import MpsHook
from airflow_provider_mps.transfers.mps_to_object_storage import MpsToObjectStorageOperator
from tests.doubles.seen import MUSIC_ARGUMENTS
from tests.doubles.servers import Handler, LoopbackServer
from tests.doubles.task_instances import run_task

SIGNATURE = "the-signature-in-a-url"


@pytest.fixture
def spans() -> Iterator[InMemorySpanExporter]:
    """What ``opentelemetry-instrument`` turns on."""
    exporter, provider = InMemorySpanExporter(), TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    instrumentor = HTTPXClientInstrumentor()
    instrumentor.instrument(tracer_provider=provider)
    yield exporter
    instrumentor.uninstrument()


def keep(url: str, folder: Path) -> MpsToObjectStorageOperator:
    return MpsToObjectStorageOperator(task_id="keep", urls=[url], destination=str(folder))


def test_no_span_holds_a_signature_and_calls_of_mps_have_theirs(
    emulator: MpsEmulator, spans: InMemorySpanExporter, tmp_path: Path
) -> None:
    task_id = MpsHook().create_aigc_audio_task(**MUSIC_ARGUMENTS)
    with LoopbackServer(lambda handler: handler.answer(b"ID3 la la", Content_Type="audio/mpeg")) as server:
        run_task(keep(f"{server.url}/song.mp3?q-signature={SIGNATURE}", tmp_path))
        assert server.requests[0].path.endswith(SIGNATURE)
    told = [str(span.to_json()) for span in spans.get_finished_spans()]
    assert task_id
    assert [text for text in told if emulator.url in text]
    assert [text for text in told if SIGNATURE in text or "song.mp3" in text] == []


@pytest.mark.parametrize("status", [403, 500, 302])
def test_no_crash_report_with_locals_holds_one(
    emulator: MpsEmulator, tmp_path: Path, mps_short_waits: None, status: int
) -> None:
    def fail(handler: Handler) -> None:
        handler.answer(b"", status=status)

    with LoopbackServer(fail) as server, pytest.raises(Exception, match="song") as failed:
        keep(f"{server.url}/song.mp3?q-signature={SIGNATURE}", tmp_path).execute({})
    report = "".join(traceback.TracebackException.from_exception(failed.value, capture_locals=True).format())
    of_the_package = report.partition("test_traces.py")[2].partition("mps_to_object_storage.py")
    assert "emulator" in report
    assert SIGNATURE not in of_the_package[2]
