"""References to files in COS are sent as signed URLs, and are remembered, shown and logged without a signature."""

import sys
from collections.abc import Callable
from typing import Any

import httpx
import pytest

from airflow_provider_mps.api.errors import AmbiguousCreateError, InvalidArgumentError
from airflow_provider_mps.compat import AirflowFailException
from airflow_provider_mps.emulator import MpsEmulator
from airflow_provider_mps.hooks.mps import MpsHook
from airflow_provider_mps.operators.mps import (
    CreateAigcAudioTaskOperator,
    CreateAigcImageTaskOperator,
    CreateAigcVideoTaskOperator,
)
from tests.doubles.logs import Lines
from tests.doubles.task_instances import Outcome, State, TaskInstance, run_task

Connect = Callable[..., None]

BUCKET, REGION = "films-1250000000", "ap-guangzhou"
HOST = f"{BUCKET}.cos.{REGION}.myqcloud.com"
STORE = {"CosBucketName": BUCKET, "CosBucketRegion": REGION, "CosBucketPath": "parts/of it"}
URI = f"cos://{BUCKET}/parts/of it/NAME"
FORMS = [URI, f"https://{HOST}/parts/of%20it/NAME", f"http://{HOST}/parts/of it/NAME"]
CREATES = ("CreateAigcAudioTask", "CreateAigcVideoTask", "CreateAigcImageTask")

# An operator, its argument, what it is given for a reference, and where in the request that is.
WAYS: list[tuple[Any, str, Callable[[str], Any], Callable[[Any], Any]]] = [
    (CreateAigcAudioTaskOperator, "video_infos", lambda url: [url], lambda sent: sent["VideoInfos"][0]["VideoUrl"]),
    (CreateAigcAudioTaskOperator, "audio_infos", lambda url: url, lambda sent: sent["AudioInfos"][0]["AudioUrl"]),
    (CreateAigcVideoTaskOperator, "image_url", lambda url: url, lambda sent: sent["ImageUrl"]),
    (CreateAigcVideoTaskOperator, "last_image_url", lambda url: url, lambda sent: sent["LastImageUrl"]),
    (
        CreateAigcVideoTaskOperator,
        "image_infos",
        lambda url: ["https://a.example/1.png", {"ImageUrl": url, "ReferenceType": "style"}],
        lambda sent: sent["ImageInfos"][1]["ImageUrl"],
    ),
    (CreateAigcVideoTaskOperator, "video_infos", lambda url: [url], lambda sent: sent["VideoInfos"][0]["VideoUrl"]),
    (CreateAigcVideoTaskOperator, "audio_infos", lambda url: [url], lambda sent: sent["AudioInfos"][0]["AudioUrl"]),
    (
        CreateAigcVideoTaskOperator,
        "subject_infos",
        lambda url: [{"Id": "1", "ImageUrls": ["https://a.example/1.png", url]}],
        lambda sent: sent["SubjectInfos"][0]["ImageUrls"][1],
    ),
    (CreateAigcImageTaskOperator, "image_infos", lambda url: [url], lambda sent: sent["ImageInfos"][0]["ImageUrl"]),
]
ways = pytest.mark.parametrize(
    ("cls", "argument", "given", "found"), WAYS, ids=[f"{way[0].__name__}-{way[1]}" for way in WAYS]
)


@pytest.fixture
def emulator_rules() -> str:
    """The reference's: these requests are about fields, not about what a model takes."""
    return "reference"


@pytest.fixture
def name(emulator: MpsEmulator) -> str:
    """The name of a file that MPS has stored in the bucket."""
    create = CreateAigcAudioTaskOperator(
        task_id="create", prompt="rain", store_cos_param=STORE, wait_for_completion=True, poll_interval=0.1
    )
    return f"{run_task(create)[0]}-0.wav"


def creates(emulator: MpsEmulator) -> list[dict[str, Any]]:
    """The requests of the creates, but for that of the file itself."""
    return [
        request.params
        for request in emulator.requests
        if request.action in CREATES and "StoreCosParam" not in request.params
    ]


def run(cls: Any, **arguments: Any) -> Outcome:
    return TaskInstance(lambda: cls(task_id="create", **arguments)).run()


@pytest.mark.parametrize("form", FORMS)
@ways
def test_mps_gets_a_url_that_opens(
    emulator: MpsEmulator,
    connect: Connect,
    name: str,
    cls: Any,
    argument: str,
    given: Callable[[str], Any],
    found: Callable[[Any], Any],
    form: str,
) -> None:
    connect(cos_region=REGION)
    outcome = run(cls, prompt="rain", **{argument: given(form.replace("NAME", name))})
    assert outcome.state is State.SUCCESS, outcome.errors
    [sent] = creates(emulator)
    answer = httpx.get(found(sent), timeout=60)
    assert (answer.status_code, answer.content[:4]) == (200, b"RIFF")


def test_the_region_is_the_argument_s_the_connection_s_or_that_of_its_calls(
    emulator: MpsEmulator, connect: Connect
) -> None:
    for fields, arguments in (
        ({"cos_region": "ap-elsewhere", "region": "ap-singapore"}, {"cos_region": REGION}),
        ({"cos_region": REGION, "region": "ap-singapore"}, {}),
        ({"region": REGION, "site": "cn"}, {}),
    ):
        connect(**fields)
        run(CreateAigcVideoTaskOperator, image_url=URI, **arguments)
        assert f"%2F{REGION}%2Fs3%2F" in creates(emulator)[-1]["ImageUrl"]


def test_outside_of_this_machine_it_is_the_region_s_public_address(emulator: MpsEmulator, connect: Connect) -> None:
    connect(cos_endpoint="https://cos.inside.example")
    run(CreateAigcVideoTaskOperator, image_url=URI, cos_region=REGION)
    [sent] = creates(emulator)
    assert sent["ImageUrl"].startswith(f"https://{HOST}/parts/of%20it/NAME?X-Amz-")


@pytest.mark.parametrize(
    "url",
    [
        f"https://{HOST}/a.png?q-signature=1",
        f"https://{HOST}:444/a.png",
        f"https://{HOST}.example/a.png",
        f"https://somebody@{HOST}/a.png",
        f"https://{HOST}/",
        "https://a.example/cos://b/c",
    ],
)
def test_what_is_signed_or_somewhere_else_is_left_alone(emulator: MpsEmulator, url: str) -> None:
    assert run(CreateAigcVideoTaskOperator, image_url=url).state is State.SUCCESS
    assert creates(emulator) == [{"ImageUrl": url}]


def test_the_hook_signs_as_well(emulator: MpsEmulator, connect: Connect, name: str) -> None:
    connect(cos_region=REGION)
    MpsHook().create_aigc_audio_task(audio_infos=[URI.replace("NAME", name)])
    assert httpx.get(creates(emulator)[-1]["AudioInfos"][0]["AudioUrl"], timeout=60).status_code == 200


def test_a_retry_is_the_same_request_whoever_signs_it(emulator: MpsEmulator, connect: Connect) -> None:
    class FailsAtFirst(TaskInstance):
        """What comes after the create fails in the first try; the second has other keys."""

        failed = False

        def xcom_push(self, key: str, value: Any) -> None:
            if creates(emulator) and not self.failed:
                self.failed = True
                connect(cos_region=REGION, login="another-id", password="another-key")
                raise ConnectionError("Airflow's API is away")
            super().xcom_push(key, value)

    connect(cos_region=REGION)
    emulator.accept_credential("another-id", "another-key")
    arguments: dict[str, Any] = {"image_url": URI, "wait_for_completion": True, "poll_interval": 0.1}
    outcome = FailsAtFirst(lambda: CreateAigcVideoTaskOperator(task_id="create", **arguments)).run()
    assert (outcome.state, outcome.tries) == (State.SUCCESS, 2)
    assert len(creates(emulator)) == 1


@pytest.mark.usefixtures("all_turned_up")
def test_no_signature_in_errors_logs_and_memory(emulator: MpsEmulator, connect: Connect, logged: Lines) -> None:
    connect(cos_region=REGION)
    emulator.fault("cut_after", "CreateAigcVideoTask", times=None)
    instance = TaskInstance(lambda: CreateAigcVideoTaskOperator(task_id="create", image_url=URI))
    [error] = instance.run().errors
    assert isinstance(error, AmbiguousCreateError)
    assert "ImageUrl" in str(error)
    assert error.params == {"ImageUrl": URI}
    assert "X-Amz" in creates(emulator)[0]["ImageUrl"]
    emulator.fault("error", "CreateAigcVideoTask", code="InvalidParameterValue", times=None)
    refused = TaskInstance(lambda: CreateAigcVideoTaskOperator(task_id="create", image_url=URI)).run().errors
    told = [str(error), repr(error.args), str(instance.stored), *map(str, refused), *logged.lines, *logged.arguments]
    assert [text for text in told if "X-Amz" in text or "emulator-key" in text] == []


@ways
def test_without_botocore_the_argument_is_named(
    emulator: MpsEmulator,
    monkeypatch: pytest.MonkeyPatch,
    cls: Any,
    argument: str,
    given: Callable[[str], Any],
    found: Any,
) -> None:
    monkeypatch.setitem(sys.modules, "botocore.auth", None)
    [error] = run(cls, **{argument: given(URI)}, cos_region=REGION).errors
    assert isinstance(error, InvalidArgumentError)
    assert isinstance(error, AirflowFailException)
    assert (error.field, "airflow-provider-mps[cos]" in str(error)) == (argument, True)
    assert emulator.requests == []


@pytest.mark.parametrize(
    ("reference", "region", "named"),
    [
        (URI, None, "cos_region"),
        (URI, "x.evil.example/", "cos_region"),
        (URI, 7, "cos_region"),
        (f"cos://{BUCKET}", REGION, "image_url"),
        ("cos://[a/b", REGION, "image_url"),
        ("cos://a.evil.example/b", REGION, "image_url"),
    ],
)
def test_what_cannot_be_signed_is_named(emulator: MpsEmulator, reference: str, region: Any, named: str) -> None:
    [error] = run(CreateAigcVideoTaskOperator, image_url=reference, cos_region=region).errors
    assert isinstance(error, InvalidArgumentError)
    assert error.field == named
    assert emulator.requests == []
