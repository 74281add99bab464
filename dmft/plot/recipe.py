"""What the plan of a gathered scan says: its tables, and the classes and objects that they name.

A ``scan.Plan`` refuses what cannot be run.  Figures are drawn of everything that was gathered, by earlier versions
or with classes that are not imported here, so that each table is read for itself.
"""

import json
from collections.abc import Mapping
from dataclasses import MISSING
from functools import cached_property, lru_cache
from typing import Any

from .._plain import number as parsed
from .._plain import plain
from ..dynamics import DYNAMICS, Dynamics
from ..files import spec as specs
from ..models import MODELS, Model
from ..scan.plan import SETTINGS, assign
from ..starts import STARTS
from .words import number, symbol

NOT_PARAMETERS = ("kind", "label", "run", "integrator")
SIZES = ("N", "samples")  # of a simulation, for titles


class Recipe:
    """What was computed."""

    def __init__(self, tables: Mapping[str, Any]) -> None:
        self.tables = tables
        self.entries = {table.get("label", table["kind"]): table for table in tables["dynamics"]}

    @property
    def simulated(self) -> bool:
        """Whether it is a simulation of finite size."""
        return "simulation" in self.tables

    @cached_property
    def axes(self) -> Mapping[str, Any]:
        """{path: values} of the scanned parameters."""
        return {path: values for path, values in self.tables["scan"].items() if path not in SETTINGS}

    def discrete(self, label: str) -> bool:
        """Whether a dynamics has iterations in place of times."""
        cls = DYNAMICS.get(self.entries.get(label, {}).get("kind"))
        return cls is not None and cls.discrete

    def run(self, label: str) -> dict[str, Any]:
        """The table [run], in which the entries of the dynamics come first."""
        return {**self.tables.get("run", {}), **self.entries.get(label, {}).get("run", {})}

    def model_words(self) -> list[str]:
        """Name of the model, and its parameters."""
        return _words("model", self.tables["model"], MODELS, self.axes)

    def dynamics_words(self, label: str) -> list[str]:
        """Label of a dynamics, and its parameters."""
        _, *parameters = _words("dynamics", self.entries.get(label, {}), DYNAMICS, self.axes)
        return [dynamics_name(label), *parameters]

    def start_words(self) -> list[str]:
        """Name and parameters of the start."""
        name, *parameters = _words("initial", self.tables.get("initial", {}), STARTS, self.axes)
        return [name, *parameters] if name else parameters

    def size_words(self) -> list[str]:
        """Size and number of the samples of a simulation."""
        table = {k: v for k, v in self.tables.get("simulation", {}).items() if k in SIZES}
        return _values("simulation", table, self.axes)

    def objects(self, label: str, values: Mapping[str, Any]) -> tuple[Model, Dynamics]:
        """Model and dynamics at the given values of the scanned parameters, {path: value}.

        Raises
        ------
        TypeError, ValueError
            If a table does not say all that is needed, or names an unknown class.
        """
        entry = {k: v for k, v in self.entries.get(label, {}).items() if k not in NOT_PARAMETERS[1:]}
        tables = {"model": self.tables["model"], "dynamics": entry}
        for path, value in values.items():
            first, *keys = path.split(".")
            if first in tables:
                tables[first] = assign(tables[first], keys, value)
        return specs.model_from(tables["model"]), specs.dynamics_from(tables["dynamics"])


@lru_cache(maxsize=4)
def _recipe_of(text: str) -> Recipe:
    """Kept because it is needed often and holds every value of every axis."""
    return Recipe(json.loads(text))


def recipe_of(scan: Any) -> Recipe:
    """What the plan of a gathered scan says."""
    return _recipe_of(scan.attrs["plan"])


def dynamics_name(label: str) -> str:
    """A label for readers: that of the class, unless the plan gives another."""
    return DYNAMICS[label].label if label in DYNAMICS else label


def _words(where: str, table: Mapping[str, Any], classes: Mapping[str, Any], axes: Mapping[str, Any]) -> list[str]:
    """What a table names, and its parameters that are not scanned and not the default ones."""
    kind = table.get("kind", "")
    cls = classes.get(kind)
    name = kind.replace("-", " ") if cls is None else cls.label
    given = {k: v for k, v in table.items() if k not in NOT_PARAMETERS}
    return [name, *_values(where, given if cls is None else _own(given, cls), axes)]


def _own(table, cls):
    """Parameters of a class without those that have their default value; the temperature always."""
    known = {field.name: field for field in cls.parameters()}
    return {k: v for k, v in table.items() if k in known and (k == "temperature" or not _usual(v, known[k].default))}


def _usual(value, default):
    """Whether plain data are a default value; tables need not be complete."""
    if default is MISSING:
        return False
    usual = plain(default)
    if isinstance(value, Mapping) and isinstance(usual, Mapping):
        return {**usual, **value} == usual
    return value == usual


def _values(where, table, axes):
    """'name = value' of the parameters of a table that are not scanned."""
    return [f"{symbol(k)} = {_value(v)}" for k, v in _unscanned(where, table, axes).items()]


def _unscanned(where, table, axes):
    """A table, and those in it, without the parameters that are scanned."""
    left = {k: v for k, v in table.items() if f"{where}.{k}" not in axes}
    return {k: _unscanned(f"{where}.{k}", v, axes) if isinstance(v, Mapping) else v for k, v in left.items()}


def _value(value):
    """A number or word, or the entries of a table."""
    if not isinstance(value, Mapping):
        return number(parsed(value))
    sign = " =" if "kind" in value else ":"  # a table of parameters, or {order: strength}
    entries = ", ".join(f"{symbol(k)}{sign} {_value(v)}" for k, v in value.items() if k != "kind")
    kind = value.get("kind", "").replace("-", " ")
    return f"{kind} ({entries})" if kind and entries else kind or entries
