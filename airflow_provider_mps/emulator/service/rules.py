"""What the service does with a create whose fields are well-formed: refuse it, let it fail, or make something else.

Which values each model takes is data, ``api/facts/models.toml``, and judged here by code of the emulator's own. A rule
is in force by its mark: under ``rules="service"`` all are, under ``rules="reference"`` only those that the reference
itself states. Models that are not in the data take every well-formed value.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from typing import Any

from airflow_provider_mps.emulator.service.errors import ApiError
from airflow_provider_mps.emulator.service.facts import Mark, data, guess, seen
from airflow_provider_mps.emulator.service.shapes import leaves, parse_object

Params = dict[str, Any]
SERVICE, REFERENCE = "service", "reference"

FACTS = (
    seen("A private bucket gives nothing to a bare COS URL (that the task then FAILs is a guess)."),
    seen("Video: PixVerse takes ExtraParameters.Quality and ImageInfos.Text beside the documented fields."),
    guess("Models and versions of which nothing is written here take every well-formed value."),
)


class Rules:
    """The rules in force.

    :param name: ``service`` or ``reference``.
    :raises ValueError: it is neither.
    """

    def __init__(self, name: str) -> None:
        if name not in (SERVICE, REFERENCE):
            raise ValueError(f"rules must be {SERVICE!r} or {REFERENCE!r}, not {name!r}")
        self.as_seen = name == SERVICE
        self._rules = [rule for rule in RULES if self.as_seen or rule["mark"] == Mark.DOC]

    def check(self, action: str, params: Params) -> None:
        """Raise the :class:`ApiError` of the first rule that refuses this create."""
        for rule in self._broken(action, params):
            if "code" in rule:
                raise ApiError(rule["code"], rule["message"])

    def failure(self, action: str, params: Params) -> str | None:
        """Why a task that was accepted ends in FAIL; None: it does not."""
        if self.as_seen and any(_is_bare_cos_url(name, value) for name, value in leaves(params)):
            return "download file error: 403"
        fails = (rule for rule in self._broken(action, params) if "message" in rule and "code" not in rule)
        return next((rule["message"] for rule in fails), None)

    def made(self, action: str, params: Params) -> Params:
        """The request that the service carries out in place of ``params``, without saying so."""
        made = dict(params)
        for rule in self._rules:
            # What the service does where nothing was asked for is what it does instead of a wrong value.
            missing = any(value_of(params, name) is None for name in rule.get("instead", ()))
            if _is_about(rule, action, params) and (missing or _is_broken(rule, params)):
                for name, value in rule.get("instead", {}).items():
                    outer, _, inner = name.partition(".")
                    made[outer] = {**made.get(outer, {}), inner: value} if inner else value
        return made

    def _broken(self, action: str, params: Params) -> Iterator[Params]:
        return (rule for rule in self._rules if breaks(action, params, rule))


def model_of(params: Params) -> str:
    """The model that a create names; the reference spells MiniMaxMusic in two ways."""
    name = str(params.get("ModelName", ""))
    return str(_SPELLINGS.get(name, name))


def value_of(params: Params, path: str) -> Any:
    """A field, such as ``ExtraParameters.Resolution``; an empty value is as good as none."""
    for name in [path, *(other for other, same in _SPELLINGS.items() if same == path)]:
        found: Any = params
        for key in name.split("."):
            found = _object(found).get(key)
        if found:
            return found
    return None


def breaks(action: str, params: Params, rule: Params) -> bool:
    """Whether a rule is about this create, which is not as it asks."""
    return _is_about(rule, action, params) and _is_broken(rule, params)


def _is_broken(rule: Params, params: Params) -> bool:
    [name] = rule.keys() & _BREAKS.keys()
    return _BREAKS[name](params, rule[name])


def _is_about(rule: Params, action: str, params: Params) -> bool:
    model, version = model_of(params), str(params.get("ModelVersion", ""))
    of_model = model in rule.get("models", [model]) and model not in rule.get("but_not", [])
    return rule["action"] == action and of_model and version in rule.get("versions", [version])


def _object(value: Any) -> Params:
    found = parse_object(value) if isinstance(value, str) else value
    return found if isinstance(found, dict) else {}


def _references(params: Params) -> list[str]:
    urls = [params.get("ImageUrl"), params.get("LastImageUrl")]
    return [url for url in [*urls, *(info.get("ImageUrl") for info in params.get("ImageInfos", []))] if url]


def _lacks(params: Params, wanted: list[str]) -> bool:
    return not all(any(value_of(params, name) for name in names.split(" or ")) for names in wanted)


def _has_other_keys(params: Params, wanted: Params) -> bool:
    for name, known in wanted.items():
        for key in _object(params.get(name)):
            if _SPELLINGS.get(f"{name}.{key}", f"{name}.{key}") not in [f"{name}.{each}" for each in known]:
                return True
    return False


def _has_pictures(params: Params, name: str) -> bool:
    names = [re.split("[?#]", info.get("VideoUrl", ""))[0].lower() for info in params.get(name, [])]
    return any(name.endswith((".png", ".jpg", ".jpeg", ".webp", ".gif", ".bmp")) for name in names)


_SIGNED = re.compile(r"[?&](q-signature|x-amz-signature|sign|signature)=", re.IGNORECASE)

_BREAKS: dict[str, Callable[[Params, Any], bool]] = {
    "needs": _lacks,
    "takes_no": lambda params, names: any(value_of(params, name) for name in names),
    "not_both": lambda params, names: all(value_of(params, name) for name in names),
    "one_of": lambda params, wanted: any(
        (value := value_of(params, name)) is not None and value not in values for name, values in wanted.items()
    ),
    "none_of": lambda params, wanted: any(value_of(params, name) in values for name, values in wanted.items()),
    "between": lambda params, wanted: any(
        isinstance(value := value_of(params, name), int | float) and not first <= value <= last
        for name, (first, last) in wanted.items()
    ),
    "keys_of": _has_other_keys,
    "most_references": lambda params, most: len(_references(params)) > most,
    "longest": lambda params, wanted: any(len(params.get(name, "")) > most for name, most in wanted.items()),
    "no_pictures_in": _has_pictures,
    "no_signed_references": lambda params, _: any(_SIGNED.search(url) for url in _references(params)),
    "works_not": lambda params, _: True,
}

_DATA = data("models")
_SPELLINGS: dict[str, str] = data("spellings")
RULES: list[Params] = _DATA["rules"]

# BucketName-APPID.cos.REGION.myqcloud.com (COS reference, "Regions and access endpoints"), and no signature
_BARE_COS_URL = re.compile(r"https?://[a-z0-9-]+\.cos\.[a-z0-9-]+\.myqcloud\.com/[^?]*")


def _is_bare_cos_url(name: str, value: Any) -> bool:
    return name.endswith(("Url", "Urls")) and bool(_BARE_COS_URL.fullmatch(value))
