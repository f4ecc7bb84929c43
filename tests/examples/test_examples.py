"""Every example parses without a warning, and runs once to its end: what it sends, what it leaves, what it links to."""

import importlib.util
import json
import subprocess
import sys
import wave
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any
from urllib.parse import urlsplit

import pytest

from airflow_provider_mps.emulator import EmulatedTask, MpsEmulator, RecordedRequest
from scripts.demo import WAIT_FOR_A_PERSON
from tests.compat.versions import AIRFLOW
from tests.doubles.airflows import DAG
from tests.doubles.movies import track_kinds
from tests.doubles.sdk_models import misfits

FOLDER = Path(__file__).parents[2] / "dags_examples"
EXAMPLES = sorted(path.stem for path in FOLDER.glob("*.py"))
LINKS_ARE_KEPT = pytest.mark.skipif(AIRFLOW < (3,), reason="Airflow 2 makes links on its web server, when asked")
# The others are answered in tests/e2e/test_web_page.py and tests/compat/test_whole_airflow.py.
RUN_ALONE = [name for name in EXAMPLES if name not in WAIT_FOR_A_PERSON]
SINCE = {"approve_soundtrack": (3, 1), "choose_a_take": (3, 1), "make_until_it_pleases": (3, 4)}
"""Before this Airflow, their files define no DAG."""
PRICES = {"currency": "USD", "MiniMaxMusic": {"song": 0.14}}


@dataclass
class Example:
    """An example whose main DAG has run, with Airflow's ``dag.test()``.

    :ivar folder: where it has left its files.
    :ivar requests: all that the emulator got.
    """

    module: ModuleType
    folder: Path
    run: Any
    requests: list[RecordedRequest]
    tasks: list[EmulatedTask]

    @property
    def files(self) -> list[Path]:
        return sorted(path for path in self.folder.rglob("*") if path.is_file())

    def xcom(self, task_id: str, key: str = "return_value") -> Any:
        """What a task has pushed."""
        return xcom(self.run, task_id, key)


def xcom(run: Any, task_id: str, key: str = "return_value") -> Any:
    return run.get_task_instance(task_id).xcom_pull(task_ids=task_id, key=key)


def load(name: str) -> ModuleType:
    spec = importlib.util.spec_from_file_location(name, FOLDER / f"{name}.py")
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def example(airflow_db: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[..., Example]]:
    """Run an example, once; and once with one of its creates refused by MPS's review.

    ``answer`` is what a person chooses, or what makes it of the context; then the run may end either way.
    """

    @cache
    def run_example(name: str, refused: bool = False, answer: str | Callable[[Any], str] = "") -> Example:
        folder = tmp_path_factory.mktemp(name)
        patch.setenv("SOUNDTRACKS_FOLDER", folder.as_uri())
        module = load(name)
        [dag] = [value for value in vars(module).values() if isinstance(value, DAG) and value.dag_id == name]
        if (3,) <= AIRFLOW < (3, 3):  # there a task's outlets must be known to Airflow before
            subprocess.run([sys.executable, "-m", "airflow", "dags", "reserialize"], check=True)
        emulator.reset()
        if refused:
            emulator.fault("content_refused")
        if answer:  # nobody answers dag.test()
            from airflow.providers.standard.operators.hitl import HITLOperator

            patch.setattr(
                HITLOperator,
                "execute",
                lambda self, context: {"chosen_options": [answer(context) if callable(answer) else answer]},
            )
        run = dag.test()
        assert answer or run.state == ("failed" if refused else "success")
        return Example(module, folder, run, emulator.requests, emulator.tasks)

    # The examples' own intervals are for tasks of minutes: here each task has ended when it is first polled.
    with (
        MpsEmulator(wait_seconds=0, run_seconds=0, requests_per_second=None) as emulator,
        pytest.MonkeyPatch.context() as patch,
    ):
        connection = emulator.connection
        connection["extra"]["prices"] = PRICES
        patch.setenv("AIRFLOW_CONN_TENCENT_MPS_DEFAULT", json.dumps(connection))
        yield run_example


def test_all_parse_without_a_warning() -> None:
    code = r"""
import inspect, json, re, sys, warnings
try:
    from airflow.dag_processing.dagbag import DagBag
except ImportError:  # before Airflow 3.2
    from airflow.models.dagbag import DagBag
bundle = {"bundle_path": sys.argv[1], "bundle_name": "examples"}
known = {name: value for name, value in bundle.items() if name in inspect.signature(DagBag).parameters}
with warnings.catch_warnings(record=True) as caught:
    warnings.simplefilter("always")
    bag = DagBag(sys.argv[1], **known)
ours = [str(w.message) for w in caught if sys.argv[1] in w.filename or "airflow_provider_mps" in w.filename]
# Airflow may import another provider meanwhile.
about = r"(?!.*/site-packages/(?!airflow/))"
captured = {path: [w for w in map(str, found) if re.match(about, w)] for path, found in bag.captured_warnings.items()}
warned = {path: found for path, found in captured.items() if found}
print(json.dumps([sorted(bag.dag_ids), bag.import_errors, ours, warned]))
"""
    parsed = subprocess.run([sys.executable, "-c", code, str(FOLDER)], capture_output=True, text=True, check=True)
    dag_ids, import_errors, ours, warned = json.loads(parsed.stdout.splitlines()[-1])
    expected = {name for name in EXAMPLES if SINCE.get(name, ()) <= AIRFLOW}
    assert set(dag_ids) & {*EXAMPLES} == expected, "each file's main DAG has its name"
    assert (import_errors, ours, warned) == ({}, [], {})


@pytest.mark.parametrize("name", RUN_ALONE)
def test_it_runs_to_files_that_open_and_each_task_is_paid_for_once(
    name: str, example: Callable[[str], Example]
) -> None:
    ran = example(name)
    creates = [request for request in ran.requests if not request.action.startswith(("Describe", "file"))]
    assert len(ran.tasks) == len(creates)
    assert ran.files
    for path in ran.files:
        opens(path)


@pytest.mark.parametrize("name", RUN_ALONE)
def test_where_one_create_is_refused_all_others_are_kept_and_the_run_is_red(
    name: str, example: Callable[..., Example]
) -> None:
    ran = example(name, refused=True)
    # What MPS has stored in a bucket stays there.
    in_no_bucket = [
        task for task in ran.tasks if task.files and not {"StoreCosParam", "OutputStorage"} & {*task.params}
    ]
    for task in in_no_bucket:
        assert [path for path in ran.files if task.task_id in path.name]
    if name in ("soundtracks_for_many_prompts", "nightly_shorts"):
        creates = [request for request in ran.requests if request.action.startswith("Create")]
        assert len(in_no_bucket) == len(ran.files) == len(creates) - 1 > 0


def opens(path: Path) -> None:
    """The file is what its name says."""
    if path.suffix == ".wav":
        with wave.open(str(path)) as sound:
            assert sound.getnframes() > sound.getframerate()
    else:
        assert path.read_bytes()[4:8] == b"ftyp", path


@pytest.mark.parametrize("name", RUN_ALONE)
def test_what_it_sends_fits_the_models(name: str, example: Callable[[str], Example]) -> None:
    ran = example(name)
    calls = [request for request in ran.requests if request.action != "file"]
    assert {call.action for call in calls} >= {task.action for task in ran.tasks} != set()
    assert [misfit for call in calls for misfit in misfits(call.action, call.params)] == []


class TestSoundtrackForAVideo:
    """AI video and AI music, one laid under the other."""

    @pytest.fixture
    def ran(self, example: Callable[[str], Example]) -> Example:
        return example("soundtrack_for_a_video")

    def test_the_film_has_the_pictures_of_the_video_and_a_soundtrack(self, ran: Example) -> None:
        [uri] = ran.xcom("keep_film")
        assert sorted(track_kinds(Path(uri.removeprefix("file://")).read_bytes())) == ["soun", "vide"]

    def test_what_mps_made_goes_on_as_cos_uris_alone(self, ran: Example) -> None:
        [edit] = [task for task in ran.tasks if task.action == "EditMedia"]
        inputs = [info["InputInfo"]["CosInputInfo"] for info in edit.params["FileInfos"]]
        expected = [ran.xcom(task_id, "cos_uris")[0] for task_id in ("make_video", "make_music")]
        assert [f"cos://{each['Bucket']}/{each['Object']}" for each in inputs] == expected

    @LINKS_ARE_KEPT
    def test_airflow_keeps_the_links_of_deferred_tasks(self, ran: Example) -> None:
        for task_id, name, key in (("make_video", "Watch", "video_urls"), ("make_music", "Listen", "audio_urls")):
            link = urlsplit(ran.xcom(task_id, f"_link_{name}Link"))
            assert link.path.endswith(urlsplit(ran.xcom(task_id, key)[0]).path)
            assert link.query, "it is signed"
        for task_id in ("make_video", "make_music", "lay_music_under_video"):
            link = ran.xcom(task_id, "_link_StoredInCosLink")
            assert link.startswith("https://console.tencentcloud.com/cos/bucket?bucket=films-1250000000")

    def test_the_result_is_the_task_s_own_object(self, ran: Example) -> None:
        result = ran.xcom("lay_music_under_video", "result")
        assert result["TaskId"] == ran.xcom("lay_music_under_video")
        assert result["Output"]["MetaData"]["Duration"] == ran.module.SECONDS


def test_the_nightly_shorts_lie_in_the_run_s_own_folder_of_the_asset(example: Callable[[str], Example]) -> None:
    ran = example("nightly_shorts")
    assert len(ran.files) == 2
    assert {path.parent.relative_to(ran.folder).parts for path in ran.files} == {
        ("shorts", ran.run.run_id.replace(":", "-"))
    }
    for short in ran.files:
        assert list(track_kinds(short.read_bytes())) == ["vide"]


@pytest.mark.parametrize("name", ["triggering_asset_events", "triggering_dataset_events"])
def test_the_dag_after_them_lists_the_films_of_all_the_events_that_started_it(
    name: str, example: Callable[[str], Example]
) -> None:
    module = example("nightly_shorts").module

    def event(*files: str) -> Any:
        return SimpleNamespace(extra={"files": [{"uri": file, "length": 1234} for file in files]})

    list_files = module.publish.get_task("list_files").python_callable
    assert list_files(**{name: {module.SHORTS.uri: [event("a", "b"), event("c")], "another": [event("d")]}}) == [
        f"{file}: 1,234 bytes" for file in "abcd"
    ]
    assert list_files() == []


@pytest.mark.parametrize("name", EXAMPLES)
def test_each_dag_s_page_says_what_it_does_and_when_not_to_use_it(name: str) -> None:
    module = load(name)
    for dag in [value for value in vars(module).values() if isinstance(value, DAG)]:
        assert dag.description
        assert dag.doc_md
    assert "**When not to use it:**" in (module.__doc__ or "")


@pytest.mark.parametrize("name", EXAMPLES)
def test_every_field_of_the_form_has_a_title_and_help_and_texts_have_a_limit(name: str) -> None:
    for dag in [value for value in vars(load(name)).values() if isinstance(value, DAG)]:
        for key in dag.params:
            param = dag.params.get_param(key)
            assert param.description or param.schema["description_md"], key
            assert not set("`*[") & set(param.description or ""), f"{key}: Markdown needs description_md"
            assert param.schema["title"], key
            if param.schema["type"] == "string" and key not in ("folder", "film"):
                assert "enum" in param.schema or param.schema["maxLength"], key
                assert "enum" in param.schema or param.schema["format"] == "multiline", key


@pytest.mark.parametrize("name", EXAMPLES)
def test_one_click_is_one_run(name: str) -> None:
    for dag in [value for value in vars(load(name)).values() if isinstance(value, DAG)]:
        unasked = dag.timetable.can_be_scheduled and dag.dag_id != "publish_shorts"
        assert not unasked, "a scheduled run would be paid for beside it"


@pytest.mark.parametrize("name", RUN_ALONE)
def test_each_run_writes_to_a_folder_of_its_own(name: str, example: Callable[[str], Example]) -> None:
    ran = example(name)
    assert {path.parent.name for path in ran.files} == {ran.run.run_id.replace(":", "-")}
    run_id = ran.run.run_id.replace(":", "-").replace("+", "-")
    for task in ran.tasks:
        for file in task.files:
            assert run_id in file.key or "StoreCosParam" not in task.params


@pytest.mark.parametrize("name", ["soundtracks_for_many_prompts", "nightly_shorts"])
def test_mapped_tasks_are_listed_by_their_prompts(name: str, example: Callable[[str], Example]) -> None:
    ran = example(name)
    prompts = [task.params["Prompt"] for task in ran.tasks]
    made = (".create", ".make")
    mapped = [instance for instance in ran.run.get_task_instances() if instance.task_id.endswith(made)]
    assert sorted(instance.rendered_map_index for instance in mapped) == sorted(prompts)


def refused_take(compared: str) -> str:
    """Its name: dag.test() runs mapped tasks in no order."""
    [refused] = [line for line in compared.splitlines() if line.endswith(": REFUSED, not billed")]
    return refused.removeprefix("- ").partition(":")[0]


@pytest.mark.skipif(AIRFLOW < (3, 1), reason="before, nobody can be asked")
class TestChooseATake:
    """Three takes, of which a person chooses."""

    def test_the_chosen_one_is_kept_and_what_the_others_cost_is_said(self, example: Callable[..., Example]) -> None:
        ran = example("choose_a_take", answer="Take 2")
        assert ran.run.state == "success"
        assert len({json.dumps(task.params) for task in ran.tasks}) == 1, "three takes of one request"
        second = ran.run.get_task_instance("take", map_index=1).xcom_pull(task_ids="take", map_indexes=1)
        assert [path.name for path in ran.files] == [f"{second}-0.wav"]
        assert ran.xcom("decide", "others") == {"Take 1": "about 0.14 USD", "Take 3": "about 0.14 USD"}
        takes = [each for each in ran.run.get_task_instances() if each.task_id == "take"]
        assert sorted(each.rendered_map_index for each in takes) == ["Take 1", "Take 2", "Take 3"]

    def test_one_that_is_refused_takes_no_other_with_it_and_costs_nothing(
        self, example: Callable[..., Example]
    ) -> None:
        ran = example("choose_a_take", refused=True, answer="All of them")
        assert ran.run.state == "success"
        refused = refused_take(ran.xcom("compare"))
        assert {path.name for path in ran.files} == {f"{task.task_id}-0.wav" for task in ran.tasks}
        assert len(ran.files) == 2
        assert ran.xcom("decide", "others") == {refused: "not billed"}

    def test_one_that_was_not_made_cannot_be_kept(self, example: Callable[..., Example]) -> None:
        ran = example(
            "choose_a_take", refused=True, answer=lambda context: refused_take(context["ti"].xcom_pull("compare"))
        )
        assert (ran.run.state, ran.files) == ("failed", [])


class TestFilmFromAPicture:
    """Five tasks of MPS, each of which takes what the one before has made."""

    @pytest.fixture
    def ran(self, example: Callable[[str], Example]) -> Example:
        return example("film_from_a_picture")

    def test_the_film_and_its_copy_have_pictures_and_sound(self, ran: Example) -> None:
        assert sorted(path.name for path in ran.files) == ["film.mp4", "small.mp4"]
        for path in ran.files:
            assert sorted(track_kinds(path.read_bytes())) == ["soun", "vide"]

    def test_it_takes_five_tasks_of_mps(self, ran: Example) -> None:
        assert sorted(task.action for task in ran.tasks) == [
            "CreateAigcAudioTask", "CreateAigcImageTask", "CreateAigcVideoTask", "EditMedia", "ProcessMedia"
        ]  # fmt: skip

    def test_what_one_made_is_what_the_next_takes(self, ran: Example) -> None:
        by_action = {task.action: task for task in ran.tasks}
        picture = ran.xcom("make_picture", "cos_uris")[0].removeprefix("cos://")
        first_frame = urlsplit(by_action["CreateAigcVideoTask"].params["ImageUrl"])
        assert first_frame.path.endswith(picture)
        assert "X-Amz-Signature" in first_frame.query, "MPS cannot read a private bucket by a bare URL"
        film = by_action["ProcessMedia"].params["InputInfo"]["CosInputInfo"]
        assert f"cos://{film['Bucket']}/{film['Object']}" == ran.xcom("lay_music_under_film", "cos_uris")[0]

    @LINKS_ARE_KEPT
    def test_each_task_has_the_button_for_what_it_made(self, ran: Example) -> None:
        for task_id, name in (
            ("make_picture", "View"),
            ("make_film", "Watch"),
            ("make_music", "Listen"),
            ("lay_music_under_film", "Watch"),
            ("make_small_copy", "Watch"),
            ("keep_films", "Watch"),
        ):
            link = urlsplit(ran.xcom(task_id, f"_link_{name}Link"))
            assert "X-Amz-Signature" in link.query, task_id


class TestVoiceAndMusic:
    """A designed voice and music, both under a film."""

    @pytest.fixture
    def ran(self, example: Callable[[str], Example]) -> Example:
        return example("voice_and_music")

    def test_it_takes_four_tasks_of_mps(self, ran: Example) -> None:
        assert sorted(task.action for task in ran.tasks) == [
            "CreateAigcAudioTask", "DesignVoiceAsync", "EditMedia", "TextToSpeechAsync"
        ]  # fmt: skip

    def test_the_designed_voice_says_the_text(self, ran: Example) -> None:
        [spoken] = [task for task in ran.tasks if task.action == "TextToSpeechAsync"]
        assert spoken.params["VoiceId"] == ran.xcom("design_voice", "result")["VoiceId"]
        assert ran.xcom("speak", "usage")["seconds"] == ran.module.SPOKEN_SECONDS

    def test_both_are_heard_under_the_film(self, ran: Example) -> None:
        made = {task.action: task.files for task in ran.tasks}
        [film] = made["EditMedia"]
        heard = [sound.source.key for sound in film.sounds or () if sound.volume]
        assert heard == [made["CreateAigcAudioTask"][0].key, made["TextToSpeechAsync"][0].key]
        [uri] = ran.xcom("keep_film")
        assert sorted(track_kinds(Path(uri.removeprefix("file://")).read_bytes())) == ["soun", "vide"]
