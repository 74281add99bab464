"""Scales of figures: linear, logarithmic, or one value after the other; ticks, colour bars and grids of panels."""

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from .style import new_figure
from .words import number, symbol

if TYPE_CHECKING:
    from matplotlib.figure import Figure

COLUMNS = 3  # of panels
FEW = 5  # values of an axis up to which each has a tick


@dataclass(frozen=True, eq=False)
class Scale:
    """A scale of a figure: its values and their places, "linear", "log", or one after the other, "ordinal"."""

    name: str
    values: np.ndarray
    kind: str

    @classmethod
    def of(cls, scan: Any, name: str) -> "Scale":
        """That of a coordinate of a scan."""
        values = scan[name].values
        return cls(name, values, best_kind(values))

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Scale) or (self.name, len(self.values)) != (other.name, len(other.values)):
            return False
        close = numeric(self.values) and numeric(other.values)
        return bool((np.allclose if close else np.array_equal)(self.values, other.values))

    @property
    def ordinal(self) -> bool:
        return self.kind == "ordinal"

    @property
    def places(self) -> np.ndarray:
        """Where the values stand."""
        return np.arange(len(self.values)) if self.ordinal else self.values

    @property
    def texts(self) -> list[str]:
        """The values in words."""
        return [number(v) for v in self.values]

    @property
    def edges(self) -> np.ndarray:
        """Edges of the cells around the values: half-way between them."""
        places = np.log(self.values) if self.kind == "log" else np.asarray(self.places, dtype=float)
        if len(places) == 1:
            half = np.array([0.5 * abs(places[0]) or 0.5])
            edges = np.concatenate([places - half, places + half])
        else:
            middle = (places[1:] + places[:-1]) / 2
            edges = np.concatenate([[2 * places[0] - middle[0]], middle, [2 * places[-1] - middle[-1]]])
        return np.exp(edges) if self.kind == "log" else edges

    def between_edges(self, count: int) -> np.ndarray:
        """Evenly spaced values from edge to edge."""
        low, high = self.edges[[0, -1]]
        dense = np.geomspace(low, high, count) if self.kind == "log" else np.linspace(low, high, count)
        if self.kind == "linear" and self.values[0] > 0:  # the outer half of a cell may reach below zero
            dense = dense[dense > 0]
        return dense

    @property
    def norm(self) -> Any:
        """For colours along the scale."""
        from matplotlib.colors import LogNorm, Normalize

        low, high = self.places[[0, -1]]
        return LogNorm(low, high) if self.kind == "log" else Normalize(low, high if high > low else low + 1)

    def dress(self, axes: Any, which: str) -> None:
        """Scale, limits, label and ticks of the "x" or "y" axis of a panel."""
        target, low, high = getattr(axes, f"{which}axis"), *self.edges[[0, -1]]
        axes.set(**{f"{which}scale": "log" if self.kind == "log" else "linear", f"{which}lim": (low, high)})
        target.set_label_text(symbol(self.name), fontsize=11)
        if self.ordinal or len(self.values) <= FEW:
            target.set_ticks(self.places, labels=self.texts)
            target.set_ticks([], minor=True)
        elif self.kind == "log":
            plain_ticks(target, low, high)


def numeric(values: np.ndarray) -> bool:
    """Whether they are numbers, not words."""
    return values.dtype.kind in "iuf"


def best_kind(values: np.ndarray) -> str:
    """Scale on which ascending values are the most evenly spaced; "ordinal" for words and where neither does."""
    if not numeric(values) or not np.all(np.isfinite(values)):
        return "ordinal"
    if len(values) == 1:
        return "linear"
    if values[0] > 0:
        uneven, wide = _unevenness(np.log(values)), values[-1] >= 10 * values[0]
        geometric = len(values) > 2 and uneven < 1e-6
        if uneven <= _unevenness(values) and (wide or geometric):
            return "log"
    steps = np.diff(values)
    return "ordinal" if steps.min() < 0.05 * steps.mean() else "linear"


def _unevenness(values):
    steps = np.diff(values)
    return np.std(steps) / np.mean(steps)


def plain_ticks(axis: Any, low: float, high: float) -> None:
    """Plain numbers on a logarithmic axis where they are readable, powers of ten elsewhere."""
    from matplotlib.ticker import LogFormatter, LogLocator

    if low > 1e-3 and high < 1e4:
        axis.set_major_locator(LogLocator(subs=(1.0, 2.0, 5.0) if high < 100 * low else (1.0,)))
        axis.set_major_formatter("{x:g}")
        axis.set_minor_formatter(LogFormatter(labelOnlyBase=True))


def colour_bar(figure: Any, axes: Any, mappable: Any, label: str) -> None:
    """A colour bar beside the panels."""
    bar = figure.colorbar(mappable, ax=axes)
    bar.set_label(label, fontsize=11)
    if bar.ax.get_yscale() == "log":
        plain_ticks(bar.ax.yaxis, bar.vmin, bar.vmax)


def grid(panels: int, width: float, height: float) -> tuple["Figure", list[Any]]:
    """Figure and its panels, in rows."""
    columns = min(panels, COLUMNS)
    rows = math.ceil(panels / columns)
    figure, axes = new_figure(width * columns + 1.6, height * rows, columns, rows)
    for spare in axes.flat[panels:]:
        spare.remove()
    return figure, list(axes.flat[:panels])


def name_outer(axes: list[Any]) -> None:
    """The vertical axis is named beside the first panel of a row only."""
    for i, panel in enumerate(axes):
        if i % COLUMNS:
            panel.set_ylabel("")
            panel.tick_params(labelleft=False)
