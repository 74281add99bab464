"""Heat maps of gathered scans."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from ..errors import Argument, ArgumentValueError
from .recipe import dynamics_name
from .register import ALONG, CURVES, kind
from .scales import Scale, colour_bar, grid, name_outer
from .scan_data import FAILED, MISSING, at_one_event, chosen, computed, open_axes, panels_of, refuse_many, squeezed
from .style import LINE_STYLES
from .threshold_lines import in_plane
from .titles import legend, never, title, variable_label
from .words import logarithmic

if TYPE_CHECKING:
    import xarray
    from matplotlib.figure import Figure

STATES = {"missing": "0.72", "failed": "0.92", "no value": "white"}  # colours of cells without a value


def heat_map(
    scan: "xarray.Dataset", name: str | None = None, *, select: Mapping[str, Any] | None = None, lines: bool = True
) -> "Figure":
    """A variable in the plane of two axes of a scan.

    Cells are as wide as the spacing of the values; logarithmically spaced ones have a logarithmic axis.  Escape
    times have logarithmic colours; where nothing escaped the plane is hatched.  Missing points are grey, failed
    ones have a cross.  In a plane with Delta_2 of the spiked matrix-tensor model the closed-form threshold of
    the dynamics is drawn on top: that of ``dmft.thresholds`` for gradient flow (and momentum) at temperature 0,
    Langevin dynamics and AMP, each for N to infinity and then m0 to 0.  Of several events the first is shown.

    Parameters
    ----------
    scan : xarray.Dataset
        From ``dmft.gather``.
    name : str, optional
        Variable; ``"escape_time"`` if there is one, else ``"m_final"``.
    select : mapping, optional
        ``{axis: value}``, the nearest value of every further axis; also ``"dynamics"``, ``"event"``, ``"t"``.
    lines : bool
        Whether to draw the threshold.

    Returns
    -------
    matplotlib Figure

    Raises
    ------
    TypeError, ValueError
        If it is not a gathered scan, or the axes left are not two; the message names them.

    Examples
    --------
    >>> import dmft, json, numpy as np, xarray
    >>> axes = {"delta2": [0.3, 0.5, 0.7], "deltap": [0.5, 1.0, 2.0]}
    >>> plan = {"model": {"kind": "spiked-matrix-tensor", "p": 3}, "dynamics": [{"kind": "gradient-flow"}],
    ...         "run": {"t_max": 50.0}, "scan": {f"model.{k}": v for k, v in axes.items()}}
    >>> points = {"status": np.ones((3, 3), dtype="int8"), "m_final": np.full((3, 3), 0.9)}
    >>> scan = xarray.Dataset({k: (tuple(axes), v) for k, v in points.items()}, axes,
    ...                       {"format": "dmft-scan", "plan": json.dumps(plan)})
    >>> figure = dmft.plot.heat_map(scan)
    >>> [text.get_text() for text in figure.legends[0].get_texts()]
    ['closed form: gradient flow']
    """
    scan, name = chosen(scan, name, select)
    scan = at_one_event(scan, name)
    scan = computed(squeezed(scan, open_axes(scan, name), 2), name)
    cells, norm, panels = _Cells(name, *_plane(scan, name)), _norm(scan, name), panels_of(scan)
    figure, axes = grid(len(panels), 4.8, 4.9)
    mesh, handles = _draw_panels(axes, panels, cells, norm, lines)
    name_outer(axes)
    if norm is not None:
        colour_bar(figure, axes, mesh, variable_label(scan, name))
    title(figure, scan)
    legend(figure, handles)
    return figure


@kind("heat-map", of="scan")
def _heat_map(scan, name=None, *, select=None, axis=None):
    """As the command line asks for it."""
    if axis is not None:
        argument = Argument("axis", repr(axis), f"axis = {axis!r}")
        text = " is not allowed: a heat map has two, choose with "
        raise ArgumentValueError(argument, text, Argument("select"), " what it leaves out")
    return heat_map(scan, name, select=select)


def _draw_panels(axes, panels, cells, norm, lines):
    """A panel per dynamics; returns the last mesh and what needs a name."""
    handles: dict[str, Any] = {}
    for i, (panel, (label, one)) in enumerate(zip(axes, panels, strict=True)):
        mesh = cells.draw(panel, one, norm, handles)
        if lines:
            line = in_plane(one, label, cells.x, cells.y)
            _draw_line(panel, line, LINE_STYLES[i % len(LINE_STYLES)], handles)
        if len(panels) > 1:
            panel.set_title(dynamics_name(label), fontsize=10)
    return mesh, handles


def _plane(scan, name):
    """Horizontal and vertical axis: Delta_2 over Delta_p as in phase diagrams, else in the order of the scan."""
    dims = open_axes(scan, name)
    if len(dims) < 2:
        left = f"the only one left is {dims[0]}" if dims else "none is left"
        text = f"a heat map needs two axes, but {left}: use "
        raise ArgumentValueError(text, ALONG, ", or ", CURVES, " if they were kept")
    if len(dims) > 2:
        refuse_many("a heat map has two axes", scan, dims)
    if dims == ["delta2", "deltap"]:
        dims = dims[::-1]
    return Scale.of(scan, dims[0]), Scale.of(scan, dims[1])


def _norm(scan, name):
    """Colour scale of all finite values; None without any."""
    from matplotlib.colors import LogNorm, Normalize

    values = scan[name].values
    values = values[np.isfinite(values)]
    if not values.size:
        return None
    low, high = values.min(), values.max()
    if logarithmic(name) and low > 0:
        return LogNorm(low, high) if low < high else LogNorm(low / 2, 2 * low)
    return Normalize(low, high) if low < high else Normalize(low - 0.5, low + 0.5)


@dataclass(frozen=True)
class _Cells:
    """The cells of a heat map."""

    name: str
    x: Scale
    y: Scale

    def draw(self, axes, scan, norm, handles):
        """Draw one panel and enter what needs a name into the legend; returns the mesh."""
        values, states = self._states(scan)
        mesh = self._meshes(axes, values, np.ma.masked_less(states, 0), norm)
        rows, columns = np.nonzero(states == list(STATES).index("failed"))
        size = np.clip(120 / max(values.shape), 2.5, 8)
        axes.plot(self.x.places[columns], self.y.places[rows], "x", color="#B22222", ms=size, mew=1.3)
        axes.patch.set(facecolor="white", hatch="////", edgecolor="0.65")  # seen where nothing escaped
        self.x.dress(axes, "x")
        self.y.dress(axes, "y")
        self._name_states(scan, states, np.isinf(values).any(), handles)
        return mesh

    def _meshes(self, axes, values, states, norm):
        """The values, and over them the cells without one."""
        from matplotlib.colors import ListedColormap

        edges, colours = (self.x.edges, self.y.edges), ListedColormap(list(STATES.values()))
        style = {"rasterized": values.size > 10_000}  # a vector file with a polygon per cell would be huge
        mesh = axes.pcolormesh(*edges, np.ma.masked_invalid(values), cmap="viridis", norm=norm, **style)
        axes.pcolormesh(*edges, states, cmap=colours, vmin=-0.5, vmax=len(STATES) - 0.5, **style)
        return mesh

    def _states(self, scan):
        """Values, and -2 where there is one, -1 where it is infinite, else the index of the state."""
        order = (self.y.name, self.x.name)
        values, status = (scan[k].transpose(*order).values for k in (self.name, "status"))
        conditions = [status == MISSING, status == FAILED, np.isnan(values), np.isinf(values)]
        return values, np.select(conditions, [0, 1, 2, -1], -2)

    def _name_states(self, scan, states, infinite, handles):
        from matplotlib.lines import Line2D
        from matplotlib.patches import Patch

        if infinite:
            handles[never(scan, self.name)] = Patch(facecolor="white", hatch="////", edgecolor="0.65")
        for i, (text, colour) in enumerate(STATES.items()):
            if np.any(states == i):
                cross = Line2D([], [], ls="", marker="x", color="#B22222", mew=1.3)
                handles[text] = cross if text == "failed" else Patch(facecolor=colour, edgecolor="0.5")


def _draw_line(axes, line, style, handles):
    """A threshold that can be seen on dark and on bright cells, if it crosses the panel."""
    from matplotlib.patheffects import Normal, Stroke

    if line is None:
        return
    (x, y), label = line
    (left, right), (low, high) = axes.get_xlim(), axes.get_ylim()
    if np.any((x >= left) & (x <= right) & (y >= low) & (y <= high)):
        halo = [Stroke(linewidth=4, foreground="white"), Normal()]
        (handles[label],) = axes.plot(x, y, color="black", lw=2, ls=style, path_effects=halo)
