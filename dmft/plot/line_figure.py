"""Figures of lines: panels, colours, styles and names."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from .painters import Look, Painter
from .recipe import dynamics_name, recipe_of
from .scales import COLUMNS, Scale, colour_bar, grid, name_outer, numeric
from .scan_data import panels_of
from .style import COLOURS, GREY, LINE_STYLES
from .titles import fixed, legend, shared, title
from .words import symbol

if TYPE_CHECKING:
    from matplotlib.figure import Figure

LABELLED = 10  # lines a legend can tell apart; from there on a colour bar


def common(what: str, found: Mapping[Any, Any]) -> Any:
    """What is the same in all scans of a figure."""
    (first, one), *others = found.items()
    for label, another in others:
        if another != one:
            raise ValueError(f"scans in one figure need the same {what}: those of {first!r} and {label!r} differ")
    return one


def line_figure(scans: Mapping[Any, Any], other: Scale | None, painter: Painter, ylabel: str) -> "Figure":
    """One panel, or one per dynamics where the colours show another axis."""
    panels = {label: [("", scan)] if _by_dynamics(other) else panels_of(scan) for label, scan in scans.items()}
    titles = _panel_titles(panels)
    figure, axes = grid(len(titles), 4.8, 4.2)
    looks, colours = _looks(scans), _colours(other)
    handles = _scan_names(scans, looks)
    for i, (panel, text) in enumerate(zip(axes, titles, strict=True)):
        groups = [_split(some[i][1], other, some[i][0]) for some in panels.values()]
        for lines, look in zip(groups, looks, strict=True):
            painter.draw(panel, lines, colours, look, handles)
        painter.dress(panel, groups, colours, handles)
        panel.set_ylabel(ylabel, fontsize=11)
        if len(titles) > 1:
            panel.set_title(dynamics_name(text), fontsize=10)
    painter.finish(axes)
    name_outer(axes)
    title(figure, *scans.values())
    if other is not None:
        marks = painter.markers(colours) if len(scans) == 1 else [""] * len(colours)
        _name_colours(figure, axes, other, colours, marks)
    legend(figure, handles)
    return figure


def _by_dynamics(other):
    """Whether the colours show the dynamics."""
    return other is not None and other.name == "dynamics"


def _name_colours(figure, axes, other, colours, marks):
    """A legend beside the panels, or a colour bar."""
    from matplotlib.cm import ScalarMappable

    if len(other.values) > LABELLED and not other.ordinal:
        colour_bar(figure, axes, ScalarMappable(other.norm, _line_colours()), symbol(other.name))
        return
    names = _line_names(other, colours, marks)
    heading = None if _by_dynamics(other) else symbol(other.name)
    style = {"loc": "upper left", "bbox_to_anchor": (1.0, 1.02), "title": heading}
    axes[min(len(axes), COLUMNS) - 1].legend(names.values(), names.keys(), fontsize=9, frameon=False, **style)


def _panel_titles(panels):
    """Labels of the dynamics that have a panel each, the same in all scans if they are several."""
    found = {label: [text for text, _ in some] for label, some in panels.items()}
    several = max(map(len, found.values())) > 1
    return common("dynamics", found) if several else next(iter(found.values()))


def _looks(scans):
    """Simulations are points where there are several scans, the others lines of different styles."""
    if len(scans) == 1:
        return [Look()]
    looks, lines = [], 0
    for i, scan in enumerate(scans.values()):
        simulated = recipe_of(scan).simulated
        looks.append(Look("" if simulated else LINE_STYLES[lines % len(LINE_STYLES)], simulated, i, len(scans)))
        lines += not simulated
    return looks


def _scan_names(scans, looks):
    """Legend entries of several scans, with the parameters that not all of them share."""
    from matplotlib.lines import Line2D

    if len(scans) == 1:
        return {}
    common_parts, handles = shared(*scans.values()), {}
    for (label, scan), look in zip(scans.items(), looks, strict=True):
        own = ", ".join(part for part in fixed(scan) if part not in common_parts)
        style = {"ls": look.line, "marker": "o" if look.marks else "", "ms": 4}
        handles[f"{label} ({own})" if own else str(label)] = Line2D([], [], color=GREY, **style)
    return handles


def _split(scan, other, label):
    """(label of the dynamics, scan) of every line of a panel."""
    if other is None:
        return [(label, scan)]
    if other.name == "dynamics":
        return panels_of(scan)
    return [(label, scan.isel({other.name: i})) for i in range(len(other.values))]


def _line_colours():
    """Colour map without its bright end, which cannot be seen on white."""
    from matplotlib import colormaps
    from matplotlib.colors import ListedColormap

    return ListedColormap(colormaps["viridis"](np.linspace(0.0, 0.9, 256)))


def _colours(other):
    """A colour per line: along the axis, or as different as possible where there is no order."""
    if other is None:
        return [COLOURS[0]]
    if not numeric(other.values):
        return [COLOURS[i % len(COLOURS)] for i in range(len(other.values))]
    return list(_line_colours()(other.norm(other.places)))


def _line_names(other, colours, markers):
    """Legend entries of the lines, evenly chosen if there are many."""
    from matplotlib.lines import Line2D

    shown = np.unique(np.linspace(0, len(colours) - 1, min(len(colours), LABELLED)).round().astype(int))
    texts = [dynamics_name(t) for t in other.texts] if _by_dynamics(other) else other.texts
    return {texts[i]: Line2D([], [], color=colours[i], marker=markers[i], ms=4.5) for i in shown}
