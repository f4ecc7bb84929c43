"""What a task is likely to cost, by the user's own prices: MPS publishes none that hold for every account."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from airflow_provider_mps.api.errors import InvalidConnectionError
from airflow_provider_mps.api.facts import facts

UNITS = ("song", "second", "picture")
_FORM = '{"currency": "USD", "MiniMaxMusic": {"song": 0.14}, "Kling 2.1": {"second": 0.05}}'


@dataclass(frozen=True)
class Price:
    """What one song, second or picture costs.

    :param amount: in the currency.
    :param unit: one of UNITS.
    :param currency: such as ``USD``.
    """

    amount: float
    unit: str
    currency: str

    def about(self, quantity: float | None) -> str:
        """What so many cost, in words; the price itself where the number is not known."""
        if quantity is None:
            return f"about {_written(self.amount)} {self.currency} a {self.unit}"
        return f"about {_written(self.amount * quantity)} {self.currency}"


@dataclass(frozen=True)
class Prices:
    """The prices of a connection.

    :param by_model: by ``model version`` or ``model``, in the models' first spellings.
    """

    by_model: Mapping[str, Price] = field(default_factory=dict)

    @classmethod
    def read(cls, value: Any) -> Prices:
        """From a connection's extra: a mapping, or one as JSON, which forms store.

        :raises InvalidConnectionError: names the entry that is none.
        """
        if value in (None, "", {}):
            return cls()
        if isinstance(value, str):
            try:
                value = json.loads(value)
            except (ValueError, RecursionError):
                value = None
        if not isinstance(value, Mapping) or not all(isinstance(name, str) for name in value):
            raise InvalidConnectionError(f"must be an object such as {_FORM}", field="prices")
        currency = value.get("currency")
        if not isinstance(currency, str) or not re.fullmatch(r"[A-Za-z]{3}", currency):
            raise InvalidConnectionError("must be a currency's code, such as USD", field="prices.currency")
        found = {
            _key(name): _price(name, entry, currency.upper()) for name, entry in value.items() if name != "currency"
        }
        return cls(found)

    def of(self, model: str, version: str) -> Price | None:
        """The price of a model's version, or of the model; None where the user gives none."""
        if not self.by_model:
            return None
        return self.by_model.get(_key(f"{model} {version}")) or self.by_model.get(_key(model))


def _price(name: str, entry: Any, currency: str) -> Price:
    if isinstance(entry, Mapping) and len(entry) == 1:
        [(unit, amount)] = entry.items()
        number = isinstance(amount, (int, float)) and not isinstance(amount, bool)
        if unit in UNITS and number and math.isfinite(amount) and 0 <= amount <= 10**9:
            return Price(float(amount), unit, currency)
    raise InvalidConnectionError(
        f'must be one price, 0 or more, for a song, a second or a picture, such as {{"{UNITS[0]}": 0.14}}',
        field=f"prices.{name[:40] if name.isprintable() else '?'}",
    )


def _key(name: str) -> str:
    """``model version`` with the first of the model's spellings."""
    model, _, version = name.strip().partition(" ")
    return f"{facts('spellings').get(model, model)} {version.strip()}".strip()


def _written(amount: float) -> str:
    return f"{amount:,.4f}".rstrip("0").rstrip(".")
