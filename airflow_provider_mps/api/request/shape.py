"""The shape of a request: which arguments it takes, and what they become."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any, NamedTuple

from airflow_provider_mps.api.codes import is_read
from airflow_provider_mps.api.errors import InvalidArgumentError
from airflow_provider_mps.api.facts import facts
from airflow_provider_mps.api.request.convert import (
    api_object,
    as_json,
    check_size,
    checked_call,
    is_empty,
    json_text,
    prompt,
    text,
)

_REFERENCES = ("ImageUrl", "LastImageUrl", "VideoUrl", "AudioUrl", "ImageUrls", "VideoUrls")
"""The fields that hold files to start from, at any depth of a request (SDK, CreateAigc...TaskRequest)."""


class Field(NamedTuple):
    """One field of a request: its name as the API writes it, and how an argument becomes its value."""

    name: str
    convert: Callable[[str, Any], Any]


@dataclass(frozen=True, eq=False)
class RequestShape:
    """The request of one create action.

    :param action: the API's action.
    :param fields: by the argument's name.
    :param needs_one_of: arguments of which at least one must be given: what to generate from.
    :param needs: arguments that must be given.
    :param other_spelling: the same request as some servers want it, for one that answers UnknownParameter; else None.
    """

    action: str
    fields: Mapping[str, Field]
    needs_one_of: tuple[str, ...] = ()
    needs: tuple[str, ...] = ()
    other_spelling: Callable[[dict[str, Any]], dict[str, Any] | None] = lambda params: None

    @property
    def repeatable(self) -> bool:
        """Whether the request may be sent again in doubt: its SessionId makes a repeat an error, not a second task."""
        return any(field.name == "SessionId" for field in self.fields.values())

    @property
    def texts(self) -> frozenset[str]:
        """The arguments that are text, whatever it looks like."""
        return frozenset(name for name, field in self.fields.items() if field.convert in (text, prompt, json_text))

    def model_of(self, params: Mapping[str, Any]) -> str:
        """Whose room a request takes: its model's name, which the reference spells in two ways; else the action's."""
        name = str(params.get("ModelName") or self.action)
        return "MiniMaxMusic" if name == "MinimaxMusic" else name

    def build(self, arguments: Mapping[str, Any]) -> dict[str, Any]:
        """The request's fields from Python arguments; None, empty ones and blank texts are left out.

        :raises InvalidArgumentError: names the argument that cannot be sent.
        """
        for argument in arguments:
            if argument not in self.fields:
                raise InvalidArgumentError(argument, f"is not an argument of {self.action}")
        values = {argument: as_json(argument, value) for argument, value in arguments.items()}
        blank = {name for name in self.texts if isinstance(values.get(name), str) and not values[name].strip()}
        given = {name: value for name, value in values.items() if not is_empty(value) and name not in blank}
        version = given.get("model_version")
        if isinstance(version, (int, float)) and not isinstance(version, bool):
            given["model_version"] = self._version(version, str(given.get("model_name")))
        params: dict[str, Any] = {}
        for argument, field in self.fields.items():
            if argument not in given:
                continue
            if field.name in params:
                others = (name for name in given if name != argument and self.fields[name].name == field.name)
                raise InvalidArgumentError(argument, f"cannot be given beside {next(others)}: both are {field.name}")
            params[field.name] = field.convert(argument, given[argument])
        if self.needs_one_of and given.keys().isdisjoint(self.needs_one_of):
            raise InvalidArgumentError(
                " / ".join(self.needs_one_of),
                f"{self.action} has nothing to generate from: give at least one",
            )
        for argument in self.needs:
            if argument not in given:
                raise InvalidArgumentError(argument, f"is missing: {self.action} needs it")
        check_size({argument: params[self.fields[argument].name] for argument in given})
        return params

    def _version(self, number: float, model: str) -> str:
        """The text of a version that was given as a number, if it is that of one version of the model only."""
        if [version for version in self._versions_of(model) if _number(version) == number] != [str(number)]:
            raise InvalidArgumentError(
                "model_version",
                f"must be text, not the number {number}: write it in quotes, for 2.10 and 2.1 are the same number",
            )
        return str(number)

    def _versions_of(self, model: str) -> list[str]:
        """The versions that a model is known to have had."""
        data = facts("models")
        model = facts("spellings").get(model, model)
        lists = [entry.get(model, []) for entry in data["versions"] if entry["action"] == self.action]
        lists += [
            rule["one_of"].get("ModelVersion", [])
            for rule in data["rules"]
            if rule["action"] == self.action and "one_of" in rule and model in rule.get("models", ())
        ]
        return [version for each in lists for version in each]

    def with_references(self, params: dict[str, Any], change: Callable[[str, str], str]) -> dict[str, Any]:
        """The same request with each reference, a file to start from, changed.

        :param change: makes of the name of its argument and of its URL another URL.
        """
        arguments = {field.name: argument for argument, field in self.fields.items()}
        return {
            name: _changed(name, value, partial(change, arguments.get(name, name))) for name, value in params.items()
        }


class AnyRequest(RequestShape):
    """The request of an action that has no shape here: its fields as the API writes them, in one argument."""

    def __init__(self, action: str) -> None:
        super().__init__(action, {"mps_params": Field("", api_object())})

    def build(self, arguments: Mapping[str, Any]) -> dict[str, Any]:
        """The fields as they were given.

        :raises InvalidArgumentError: they cannot be sent, or the action only reads.
        """
        action, params = checked_call(self.action, arguments.get("mps_params") or {}, "mps_params")
        if is_read(action):
            raise InvalidArgumentError("action", f"{action} makes no task: it only reads")
        return params


def _number(version: str) -> float | None:
    try:
        return float(version)
    except ValueError:
        return None


def _changed(key: str, value: Any, change: Callable[[str], str]) -> Any:
    if isinstance(value, Mapping):
        return {name: _changed(name, item, change) for name, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_changed(key, item, change) for item in value]
    return change(value) if key in _REFERENCES and isinstance(value, str) else value
