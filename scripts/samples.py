"""The samples of MPS that Tencent's tccli ships, as data: ``python -m scripts.samples 3.1.189.1 3.1.90.1``.

It downloads these versions, and writes tests/doubles/tencent_samples.json: by action, each request and each response.
"""

from __future__ import annotations

import json
import re
import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl

ACTIONS = (
    *("CreateAigcAudioTask", "CreateAigcVideoTask", "CreateAigcImageTask", "ProcessMedia", "EditMedia", "ManageTask"),
    *("DescribeAigcAudioTask", "DescribeAigcVideoTask", "DescribeAigcImageTask", "DescribeTaskDetail"),
    *("DescribeTasks", "DescribeUsageData", "DescribeMediaMetaData"),
    *("TextToSpeechAsync", "DescribeTextToSpeechAsyncTask", "DesignVoiceAsync", "DescribeDesignTask"),
    *("CreateVideoRedrawTask", "CreateAiDramaTask", "CreateAiFissionTask", "CreateDocToVideoTask"),
    *("DescribeAigcTaskStatus", "DescribeAigcTaskList", "CloneViral", "DescribeCloneViralTask"),
    *("SubmitHunyuan3DTask", "QueryHunyuan3DTask", "ProcessImage", "DescribeImageTaskDetail"),
    *("BatchProcessMedia", "DescribeBatchTaskDetail", "TextToSpeech", "SyncDubbing", "CloneVoice", "ChangeVoice"),
)
"""What tasks are made and described by, and the synchronous voices."""
_SAMPLES = Path(__file__).parents[1] / "tests" / "doubles" / "tencent_samples.json"


def main(versions: list[str]) -> None:
    """Write the samples of these versions of tccli; what is alike stands once."""
    found: dict[str, dict[str, list[Any]]] = {action: {"requests": [], "responses": []} for action in ACTIONS}
    for version in versions:
        for action, examples in _examples(version).items():
            for example in examples if action in found else ():
                for kind, value in (("requests", _request(example["input"])), ("responses", _short(example["output"]))):
                    if value not in found[action][kind]:
                        found[action][kind].append(value)
    text = json.dumps({"tccli": versions, "actions": found}, ensure_ascii=False, indent=1)
    _SAMPLES.write_text(f"{text}\n", "utf-8")


def _examples(version: str) -> dict[str, list[dict[str, str]]]:
    with tempfile.TemporaryDirectory() as folder:
        download = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--dest", folder]
        subprocess.run([*download, f"tccli=={version}"], check=True)
        [wheel] = Path(folder).glob("*.whl")
        with zipfile.ZipFile(wheel) as files:
            examples: dict[str, Any] = json.loads(files.read("tccli/services/mps/v20190612/examples.json"))
    return examples["actions"]  # type: ignore[no-any-return]


def _request(text: str) -> Any:
    """The body of a request; an older sample is a URL, whose numbers are text."""
    if "{" in text and not text.startswith("https://"):
        return json.loads(text[text.index("{") :])
    request: Any = {}
    for path, value in parse_qsl(text.partition("?")[2].replace("\n", "")):
        place, steps = request, path.split(".")
        for step in steps[:-1]:
            place = place.setdefault(step, {})
        place[steps[-1]] = float(value) if re.fullmatch(r"\d+\.\d+", value) else value
    del request["Action"]
    return _lists(request)


def _lists(value: Any) -> Any:
    """Objects whose keys are numbers are lists."""
    if not isinstance(value, dict):
        return value
    values = {key: _lists(each) for key, each in value.items()}
    return list(values.values()) if all(map(str.isdecimal, values)) else values


def _short(text: str) -> Any:
    """A response, with its sounds cut short."""

    def cut(fields: dict[str, Any]) -> dict[str, Any]:
        return {name: value[:40] if name == "AudioData" else value for name, value in fields.items()}

    return json.loads(text, object_hook=cut)


if __name__ == "__main__":
    main(sys.argv[1:])
