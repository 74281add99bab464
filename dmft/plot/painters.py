"""What is drawn in a panel of lines: a variable against an axis, or curves against time."""

from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np

from ..errors import Argument, ArgumentValueError
from .recipe import recipe_of
from .scales import FEW, Scale, plain_ticks
from .scan_data import FAILED
from .style import GREY
from .threshold_lines import STRONG, closed, threshold
from .titles import never
from .words import logarithmic

MARKERS = "osDPp*h"


@dataclass(frozen=True)
class Look:
    """How the lines of a scan are drawn; ``marks``: whether with markers, None as suits the figure."""

    line: str = "-"
    marks: bool | None = None
    place: int = 0  # among the scans of the figure
    count: int = 1


class Painter(Protocol):
    """What fills the panels of a figure of lines; ``lines`` are pairs (label of the dynamics, scan)."""

    def markers(self, colours: list[Any]) -> list[str]:
        """Markers of the lines."""

    def draw(self, axes: Any, lines: list[Any], colours: list[Any], look: Look, handles: dict[str, Any]) -> None:
        """The lines of one scan; what needs a name is entered into the legend."""

    def dress(self, axes: Any, groups: list[Any], colours: list[Any], handles: dict[str, Any]) -> None:
        """The horizontal axis of a panel, for the lines of every scan."""

    def finish(self, axes: list[Any]) -> None:
        """The vertical axis of all panels."""


@dataclass(frozen=True)
class Cut:
    """Painter of a variable against an axis."""

    name: str
    x: Scale

    def markers(self, colours: list[Any]) -> list[str]:
        """As different as there are markers for."""
        return [MARKERS[i % len(MARKERS)] if len(colours) <= len(MARKERS) else "o" for i in range(len(colours))]

    def draw(self, axes: Any, lines: list[Any], colours: list[Any], look: Look, handles: dict[str, Any]) -> None:
        """The lines of a panel with their marks."""
        step = min(0.035, 0.2 / (len(lines) * look.count))  # marks of different lines stay apart
        for i, ((_, scan), marker) in enumerate(zip(lines, self.markers(colours), strict=True)):
            row = i * look.count + look.place
            self._line(axes, scan, colours[i], "" if look.marks is False else marker, look.line)
            self._marks(axes, scan, colours[i], 0.96 - row * step, handles)

    def dress(self, axes: Any, groups: list[Any], colours: list[Any], handles: dict[str, Any]) -> None:
        """The horizontal axis, and the thresholds of the first scan."""
        self.x.dress(axes, "x")
        self._thresholds(axes, groups[0], colours, handles)

    def _line(self, axes, scan, colour, marker, line):
        values = scan[self.name].values
        values = np.where(np.isfinite(values), values, np.nan)
        if logarithmic(self.name) and np.nanmin(values, initial=np.inf) > 0:
            axes.set_yscale("log")
        error = self._error(scan)
        style = {"color": colour, "marker": marker, "ms": 4.5, "lw": 1.4, "ls": line}
        axes.errorbar(self.x.places, values, None if error is None else scan[error].values, capsize=2, **style)

    def _error(self, scan):
        """Variable with the standard errors, or the errors of escape times; None without."""
        end = "_stderr_final" if self.name.endswith("_final") else "_stderr"
        error = "escape_time_error" if self.name == "escape_time" else f"{self.name.removesuffix('_final')}{end}"
        return error if error in scan and scan[error].dims == scan[self.name].dims else None

    def _marks(self, axes, scan, colour, height, handles):
        """Triangles at the top edge where the value is infinite, crosses at the bottom where the point failed."""
        from matplotlib.lines import Line2D

        infinite, failed = np.isinf(scan[self.name].values), scan["status"].values == FAILED
        for here, text, marker, place, size in (
            (infinite, never(scan, self.name), "^", height, 6),
            (failed, "failed", "x", 0.04, 5.5),
        ):
            if here.any():
                style = {"ls": "", "marker": marker, "ms": size, "mfc": "none", "mew": 1.3}
                where = self.x.places[here], np.full(here.sum(), place)
                axes.plot(*where, color=colour, transform=axes.get_xaxis_transform(), **style)
                handles[text] = Line2D([], [], color=GREY, **style)

    def _thresholds(self, axes, lines, colours, handles):
        """Vertical lines, in the colour of their line where they differ."""
        from matplotlib.lines import Line2D

        if self.x.name != STRONG or self.x.ordinal:
            return
        found = self._crossing(axes, lines, colours)
        same = len({value for _, value, _ in found}) == 1
        names = {one.full_name for one, _, _ in found}
        few, named = len(names) <= FEW, len(names) == len(found)
        for one, value, colour in found:
            axes.axvline(value, color=GREY if same else colour, ls="--", lw=1.3, zorder=1)
            handle = Line2D([], [], color=GREY if same or not (named and few) else colour, ls="--", lw=1.3)
            handles[f"{closed(lines[0][1])}: {one.full_name if few else one.name}"] = handle

    def _crossing(self, axes, lines, colours):
        """(threshold, critical value, colour) of the lines whose threshold is in the panel."""
        low, high = axes.get_xlim()
        known = [(threshold(scan, label), colour) for (label, scan), colour in zip(lines, colours, strict=True)]
        found = [(one, one.values[0], colour) for one, colour in known if one is not None]
        return [(one, value, colour) for one, value, colour in found if low < value < high]

    def finish(self, axes: list[Any]) -> None:
        """The same vertical range in all panels, with strips for the marks at its edges."""
        heights = np.concatenate([_marked(panel) for panel in axes])
        strips = [max(heights[heights < 0.5] + 0.04, default=0.0), max(1.04 - heights[heights > 0.5], default=0.0)]
        if any(panel.get_yscale() == "log" for panel in axes):
            axes[0].set_yscale("log")
        for panel in axes[1:]:
            panel.sharey(axes[0])
        _make_room(axes[0], strips)
        for panel in axes:
            _shade(panel, strips)


def _make_room(axes, strips):
    """Limits of the vertical axis that leave strips free, parts of the height of the panel."""
    axes.autoscale(axis="y")
    transform = axes.yaxis.get_transform()
    low, high = transform.transform(axes.get_ylim())
    span = (high - low) / (1 - sum(strips))
    axes.set_ylim(transform.inverted().transform([low - strips[0] * span, high + strips[1] * span]))
    if axes.get_yscale() == "log":
        plain_ticks(axes.yaxis, *axes.get_ylim())


def _shade(axes, strips):
    """The strips at the lower and the upper edge."""
    from matplotlib.patches import Rectangle

    for low, height in zip((0.0, 1.0 - strips[1]), strips, strict=True):
        style = {"color": "0.94", "zorder": 0, "lw": 0, "transform": axes.transAxes}
        axes.add_patch(Rectangle((0.0, low), 1.0, height, **style))


def _marked(axes):
    """Heights of the marks of a panel, as parts of its own."""
    edge = axes.get_xaxis_transform()
    marks = [line for line in axes.lines if line.get_marker() in "^x" and line.get_transform() == edge]
    return np.concatenate([line.get_ydata() for line in marks] or [[]])


@dataclass(frozen=True)
class Curves:
    """Painter of curves against time."""

    name: str
    log_t: bool

    def markers(self, colours: list[Any]) -> list[str]:
        """None."""
        return [""] * len(colours)

    def draw(self, axes: Any, lines: list[Any], colours: list[Any], look: Look, handles: dict[str, Any]) -> None:
        """The curves of a panel, dotted where the point failed in the end."""
        for (_, scan), colour in zip(lines, colours, strict=True):
            if scan["status"].item() == FAILED:
                self._failed(axes, scan, colour, handles)
            else:
                self._finished(axes, scan, colour, look)

    def _finished(self, axes, scan, colour, look):
        """A curve with a band of two standard errors, or points with bars."""
        t, values, error = scan["t"].values, scan[self.name].values, scan.get(f"{self.name}_stderr")
        if look.marks:
            bars = None if error is None else error.values
            axes.errorbar(t, values, bars, fmt="o", ms=3, lw=0.8, color=colour)
            return
        axes.plot(t, values, color=colour, lw=1.6, ls=look.line, **_dot(values))
        if error is not None:
            low, high = values - 2 * error.values, values + 2 * error.values
            axes.fill_between(t, low, high, color=colour, alpha=0.25, lw=0)

    def _failed(self, axes, scan, colour, handles):
        """A curve that may leave the frame: it does not count for the limits."""
        from matplotlib.lines import Line2D

        values = scan[self.name].values
        axes.add_artist(Line2D(scan["t"].values, values, color=colour, lw=1.6, ls=":", **_dot(values)))
        if np.any(np.isfinite(values)):
            handles["failed"] = Line2D([], [], color=GREY, lw=1.6, ls=":")

    def dress(self, axes: Any, groups: list[Any], colours: list[Any], handles: dict[str, Any]) -> None:
        """The axis of time, as long as the longest curve."""
        lines = [line for lines in groups for line in lines]
        t = np.unique(np.concatenate([scan["t"].values for _, scan in lines]))
        if self.log_t:
            t = t[t > 0]
            if not t.size:
                raise ArgumentValueError(Argument("log_t"), ": curves were kept at t = 0 only")
            axes.set_xscale("log")
        if len(t) > 1:
            axes.set_xlim(t[0], t[-1])
        discrete = {recipe_of(scan).discrete(label) for label, scan in lines}
        text = "iteration" if discrete == {True} else "t"
        axes.set_xlabel("t, or iteration" if len(discrete) == 2 else text, fontsize=11)

    def finish(self, axes: list[Any]) -> None:
        """The same vertical range in all panels, that of finished points if there are any."""
        if not any(map(_limited, axes)):
            for panel in axes:
                points = np.concatenate([line.get_xydata() for line in panel.lines])
                panel.update_datalim(points[np.isfinite(points[:, 1])])
                panel.autoscale_view(scalex=False)
        if logarithmic(self.name):
            for panel in axes:
                panel.set_yscale("log")
        limits = np.array([panel.get_ylim() for panel in axes if _limited(panel)])
        for panel in axes if len(limits) else ():
            panel.set_ylim(limits[:, 0].min(), limits[:, 1].max())


def _dot(values):
    """Style of a curve: a single value has no line and needs a marker."""
    return {"marker": "o", "ms": 4.5} if np.isfinite(values).sum() == 1 else {}


def _limited(axes):
    """Whether anything counts for the vertical range."""
    return bool(np.all(np.isfinite(axes.dataLim.intervaly)))
