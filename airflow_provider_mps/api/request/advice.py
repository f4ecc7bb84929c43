"""What is known of the service's models: advice before money is spent, and a comparison with what came.

The facts are data, ``api/facts/models.toml``, which explains the checks. They are dated, and lists of allowed values go
out of date: they are said in the log, and nothing is refused for them. What the API reference itself forbids is refused
by ``api/request/fields.py``.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qsl, urlsplit

from airflow_provider_mps.api.errors import InvalidArgumentError
from airflow_provider_mps.api.facts import facts
from airflow_provider_mps.api.files.cos import CosObject
from airflow_provider_mps.api.request.convert import object_in
from airflow_provider_mps.api.tasks.status import format_of

if TYPE_CHECKING:
    from collections.abc import Iterator

    from airflow_provider_mps.api.request.shape import RequestShape
    from airflow_provider_mps.api.tasks import TaskStatus

Params = Mapping[str, Any]


@dataclass(frozen=True)
class Check:
    """A kind of check: its name in the data, when a request breaks it, and what it asks for, after a model's name."""

    name: str
    broken: Callable[[Params, Any], bool]
    words: Callable[[Any], str]


@dataclass(frozen=True)
class Rule:
    """What is known of a model.

    :param action: the create action.
    :param models: the ModelNames that it is about; none: all but those in ``but_not``.
    :param versions: the ModelVersions that it is about; none: all.
    :param check: the kind of check; ``wants``: what it checks for.
    :param says: the rule, and what MPS does with another request.
    :param mark: ``doc`` or ``seen``; ``since``: the month of the source.
    """

    action: str
    models: tuple[str, ...]
    but_not: tuple[str, ...]
    versions: tuple[str, ...]
    check: Check
    wants: Any
    says: str
    mark: str
    since: str

    def broken_by(self, action: str, params: Params) -> bool:
        """Whether it is about this create, which is not as it asks."""
        model, version = _field(params, "ModelName"), str(params.get("ModelVersion") or "")
        about = action == self.action and (model in self.models or not self.models) and model not in self.but_not
        return about and (version in self.versions or not self.versions) and self.check.broken(params, self.wants)


@dataclass(frozen=True)
class Known:
    """All that ``api/facts/models.toml`` says.

    :param models: the ModelNames of each create action.
    :param since: the month of the newest fact.
    """

    models: Mapping[str, frozenset[str]]
    rules: tuple[Rule, ...]
    since: str


@cache
def known() -> Known:
    """What is known of the models; guesses are left out."""
    data = facts("models")
    rules = tuple(_rule(entry) for entry in data["rules"] if entry["mark"] != "guess")
    about: dict[str, set[str]] = {entry["action"]: set() for entry in data["models"]}
    for entry in data["models"]:
        about[entry["action"]].update(entry["names"])
    for rule in rules:
        about.get(rule.action, set()).update(rule.models)
    since = max(entry["since"] for entry in (*data["models"], *data["rules"]) if "since" in entry)
    return Known({action: frozenset(names) for action, names in about.items()}, rules, since)


def _rule(entry: Mapping[str, Any]) -> Rule:
    check = _check(entry)
    return Rule(
        entry["action"],
        tuple(entry.get("models", ())),
        tuple(entry.get("but_not", ())),
        tuple(entry.get("versions", ())),
        check,
        entry[check.name],
        sentence(entry),
        entry["mark"],
        entry["since"],
    )


def _check(entry: Mapping[str, Any]) -> Check:
    [check] = (check for check in _CHECKS if check.name in entry)
    return check


def sentence(entry: Mapping[str, Any]) -> str:
    """A rule of ``api/facts/models.toml`` in words."""
    check = _check(entry)
    others = f" but {_either(entry['but_not'])}" if "but_not" in entry else ""
    anything = f"Any model{others}" if "Aigc" in entry["action"] else "It"
    model = _either(entry.get("models", ())) or anything
    versions = "/".join(filter(None, entry.get("versions", ())))
    otherwise = _OTHERWISE[entry["otherwise"]].format(instead=_written(entry.get("instead", {})))
    return f"{model}{f' {versions}' if versions else ''} {check.words(entry[check.name])}; {otherwise}"


_OTHERWISE = {
    "refused": "MPS refuses another request",
    "fails": "with another request the task ends in FAIL",
    "refused or fails": "MPS refuses another request, or lets its task FAIL",
    "replaced": "MPS makes {instead} of another request, without saying so",
    "unknown": "what MPS does with another request is not known",
}


def _lacks(params: Params, names: list[str]) -> bool:
    return any(not any(_field(params, name) for name in either.split(" or ")) for either in names)


def _references(params: Params) -> list[str]:
    found = [params.get(name) for name in ("ImageUrl", "LastImageUrl")]
    found += [each.get("ImageUrl") for each in params.get("ImageInfos", ())]
    return [str(url) for url in found if url]


def _has_pictures(params: Params, name: str) -> bool:
    """Whether a list of videos has a file whose name says that it is a picture."""
    paths = (urlsplit(each["VideoUrl"]).path for each in params.get(name, ()))
    return any(os.path.splitext(path)[1].lower() in _PICTURES for path in paths)


def _is_signed(url: str) -> bool:
    """Whether a reference is a signed URL, or will be one when it is sent."""
    names = {name.lower() for name, _ in parse_qsl(urlsplit(url).query)}
    return url.startswith("cos://") or CosObject.from_url(url) is not None or bool(names & _SIGNATURES)


def _written(values: Mapping[str, Any]) -> str:
    return " and ".join(f"{name} {value}" for name, value in values.items())


def _either(values: Any) -> str:
    return " or ".join(map(str, values))


_PICTURES = (".png", ".jpg", ".jpeg", ".webp", ".gif", ".bmp")
_SIGNATURES = {"q-signature", "x-amz-signature", "sign", "signature"}

_CHECKS = (
    Check("needs", _lacks, lambda names: f"needs {' and '.join(names)}"),
    Check(
        "takes_no",
        lambda params, names: any(_field(params, name) for name in names),
        lambda names: f"takes no {_either(names)}",
    ),
    Check(
        "not_both",
        lambda params, names: all(_field(params, name) for name in names),
        lambda names: f"takes {_either(names)}, not both",
    ),
    Check(
        "one_of",
        lambda params, fields: any(_field(params, name) not in (None, *values) for name, values in fields.items()),
        lambda fields: f"takes {_written({name: _either(values) for name, values in fields.items()})} only",
    ),
    Check(
        "none_of",
        lambda params, fields: any(_field(params, name) in values for name, values in fields.items()),
        lambda fields: f"takes no {_written({name: _either(values) for name, values in fields.items()})}",
    ),
    Check(
        "between",
        lambda params, fields: any(
            isinstance(value := _field(params, name), (int, float)) and not first <= value <= last
            for name, (first, last) in fields.items()
        ),
        lambda fields: f"takes {_written({name: f'{first} to {last}' for name, (first, last) in fields.items()})} only",
    ),
    Check(
        "keys_of",
        lambda params, fields: any(_keys(params, name) - set(keys) for name, keys in fields.items()),
        lambda fields: f"knows {_written({name: _either(keys) for name, keys in fields.items()})} only",
    ),
    Check(
        "most_references",
        lambda params, most: len(_references(params)) > most,
        lambda most: f"takes {most} reference pictures at most",
    ),
    Check(
        "longest",
        lambda params, fields: any(len(str(_field(params, name) or "")) > most for name, most in fields.items()),
        lambda fields: " and ".join(f"takes a {name} of {most:,} characters at most" for name, most in fields.items()),
    ),
    Check("no_pictures_in", _has_pictures, lambda name: f"takes videos in {name}, no pictures"),
    Check(
        "no_signed_references",
        lambda params, _: any(map(_is_signed, _references(params))),
        lambda _: "takes reference pictures by public links only, not by signed URLs",
    ),
    Check("works_not", lambda params, _: True, lambda _: "does not work"),
)


def advice(action: str, params: Params) -> list[str]:
    """What is known to go wrong with a create, a sentence each.

    :param params: a request that was built by its shape. Fields that a user of MpsTaskOperator wrote may be of any
        type: of a request in which one is not what the API reference gives, nothing is said.
    """
    try:
        said = [
            f"{rule.says} ({rule.mark}, {rule.since}). It is sent as it is."
            for rule in known().rules
            if rule.broken_by(action, params)
        ]
    except (AttributeError, TypeError, ValueError):
        return []
    model = _field(params, "ModelName")
    if action in known().models and model and isinstance(model, str) and model not in known().models[action]:
        said.append(
            f"ModelName {str(model)[:40]} is not known to this package, whose newest fact is of {known().since}: check "
            "its spelling. It is sent as it is."
        )
    return said


def differences(shape: RequestShape, arguments: Mapping[str, Any], status: TaskStatus) -> list[str]:
    """Where the result of a finished task differs from its request, as far as the answer shows it; a sentence each.

    :param shape: of the request that it was created by.
    :param arguments: those of that request. They may be rendered anew since, so nothing is raised for them.
    """
    params: Params = {}
    with suppress(InvalidArgumentError):
        params = shape.build(arguments)
    return list(_differences(params, status))


def _differences(params: Params, status: TaskStatus) -> Iterator[str]:
    task = f"Task {status.task_id}:"
    count = params.get("OutputImageCount", len(status.urls))
    if count != len(status.urls):
        yield f"{task} asked for {count} images, got {len(status.urls)}"
    formats = (_field(params, name) for name in _FORMATS)
    if wanted := next(filter(None, formats), None):
        urls = next(iter(status.files.values()), [])  # the first list is what was asked for, others come beside it
        others = {format_of(url) for url in urls if _same_format(format_of(url)) not in (_same_format(wanted), "file")}
        if others:
            yield f"{task} asked for {str(wanted)[:20]}, got {' and '.join(sorted(others))}"
    asked, came = _field(params, "ExtraParameters.Resolution"), status.response.get("Resolution")
    short, sides = _short_side(asked), re.findall(r"\d+", str(came)[:40])
    if short and len(sides) == 2 and abs(min(map(int, sides)) - short) > short * _ROUNDING:
        yield f"{task} asked for Resolution {asked}, got {'x'.join(sides)}"


_FORMATS = ("OutputAudioFormat", "ExtraParameters.OutputAudioFormat", "ExtraParameters.OutputFormat")


def _same_format(name: Any) -> str:
    """A format in its first spelling."""
    word = str(name).lower()
    return "jpeg" if word == "jpg" else word


_ROUNDING = 0.1
"""Models round the sides of a picture to what they can compute with, such as 1088 for 1080."""


def _short_side(resolution: Any) -> int:
    """Pixels of the shorter side of such as ``1080P`` or ``4K``; 0 where that is not known."""
    named = {"2K": 1440, "4K": 2160}
    lines = re.fullmatch(r"(\d{3,4})P", str(resolution).upper())
    return int(lines[1]) if lines else named.get(str(resolution).upper(), 0)


def _field(params: Params, name: str) -> Any:
    """A field of a request, also one inside of objects: ``ExtraParameters.Resolution``; None where there is none.

    A field or a model that has two spellings is found by either.
    """
    spellings = facts("spellings")
    for spelling in (name, *(other for other, same in spellings.items() if same == name)):
        value: Any = params
        for key in spelling.split("."):
            value = object_in(value).get(key)
        if value is not None:
            return spellings.get(value, value) if name == "ModelName" else value
    return None


def _keys(params: Params, name: str) -> set[str]:
    """The keys of an object in a request, in the first of their spellings."""
    spellings = facts("spellings")
    names = (f"{name}.{key}" for key in object_in(params.get(name)))
    return {str(spellings.get(each, each)).partition(".")[2] for each in names}
