"""Closed-form thresholds in the figures of scans."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from .._plain import number as parsed
from ..thresholds.pairing import Line, line_of
from .recipe import recipe_of
from .scales import Scale
from .scan_data import coordinate_of, fixed_values
from .words import number

STRONG = "delta2"  # the parameter of which the lines are critical values
POINTS = 201  # of a line in a plane


@dataclass(frozen=True)
class Threshold:
    """The line of a dynamics at one or several values of a coordinate."""

    lines: list[Line]

    @property
    def name(self) -> str:
        """In words."""
        return self.lines[0].label

    @property
    def full_name(self) -> str:
        """With the value of what it depends on, if that is the same everywhere."""
        first = self.lines[0].condition
        same = all(line.condition == first for line in self.lines)
        return ", ".join([self.name, *(f"{k} = {number(v)}" for k, v in first.items() if same)])

    @property
    def values(self) -> np.ndarray:
        """Critical values, NaN where there is none."""
        if all(line == self.lines[0] for line in self.lines):
            values = np.full(len(self.lines), self.lines[0].value)
        else:
            values = np.array([line.value for line in self.lines])
        return np.where(np.isfinite(values), values, np.nan)


def threshold(scan: Any, label: str, along: str | None = None, values: Any = (0.0,)) -> Threshold | None:
    """The threshold of a dynamics at the values of a coordinate; None if it depends on yet another one."""
    path = next((path for path in recipe_of(scan).axes if coordinate_of(scan, path) == along), None)
    lines = []
    for value in np.asarray(values).tolist():
        line = _line(scan, label, {} if path is None else {path: value})
        if line is None:
            return None
        lines.append(line)
    return Threshold(lines)


def _line(scan, label, given: Mapping[str, Any]) -> Line | None:
    """The line at given values; None if it is not the same over all others, or there is none."""
    recipe, given = recipe_of(scan), {**fixed_values(scan), **given}
    others = {path: [parsed(x) for x in values] for path, values in recipe.axes.items() if path not in given}
    lines = []
    for end in (min, max):
        try:
            objects = recipe.objects(label, given | {path: end(values) for path, values in others.items()})
        except (TypeError, ValueError):  # classes of somebody else, or an order p between two integers
            return None
        lines.append(line_of(*objects))
    return lines[0] if lines[0] == lines[1] else None


def in_plane(scan: Any, label: str, x: Scale, y: Scale) -> tuple[tuple[Any, Any], str] | None:
    """(x, y) of the threshold in a plane of which one axis is Delta_2, and its name; None without one."""
    strong, other = (x, y) if x.name == STRONG else (y, x)
    if strong.name != STRONG or strong.ordinal:
        return None
    dense = other.between_edges(POINTS)
    found = threshold(scan, label, None if other.ordinal else other.name, dense)
    if found is None:
        return None
    return ((found.values, dense) if strong is x else (dense, found.values)), f"{closed(scan)}: {found.full_name}"


def closed(scan: Any) -> str:
    """How closed forms are labelled: with N = infinity beside simulations, as they are no theory of finite N."""
    return r"closed form ($N = \infty$)" if recipe_of(scan).simulated else "closed form"
