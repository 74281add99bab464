"""Variables of gathered scans against an axis, and curves against time."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from .. import _check
from ..errors import Argument, ArgumentValueError
from .line_figure import common, line_figure
from .painters import Curves, Cut
from .register import ALONG, CURVES, HEAT_MAP, kind
from .scales import Scale
from .scan_data import at_one_event, chosen, computed, open_axes, refuse_many, squeezed
from .style import named
from .titles import variable_label
from .words import symbol

if TYPE_CHECKING:
    import xarray
    from matplotlib.figure import Figure


@kind("along", of="scan")
def along(
    scan: "xarray.Dataset | Mapping[str, xarray.Dataset]",
    name: str | None = None,
    *,
    axis: str | None = None,
    select: Mapping[str, Any] | None = None,
) -> "Figure":
    """A variable against one axis of a scan, one line per value of the other axis.

    Standard errors are bars, infinite values (nothing escaped) open triangles at the top edge, failed points
    crosses at the bottom edge.  Against Delta_2 of the spiked matrix-tensor model the closed-form thresholds
    (see `heat_map`) are vertical lines.  Of several events the first is shown if there is no room for lines of each.
    Where there are several scans, simulations are points and the others lines.

    Parameters
    ----------
    scan : xarray.Dataset or mapping
        From ``dmft.gather``; several with the same axes as ``{label: scan}``, theory and simulation.
    name : str, optional
        Variable; ``"escape_time"`` if there is one, else ``"m_final"``.
    axis : str, optional
        Horizontal axis, possibly one that was zipped with another; by default the first of the scan.
    select : mapping, optional
        ``{axis: value}``, the nearest value of every further axis; also ``"dynamics"``, ``"event"``, ``"t"``.

    Returns
    -------
    matplotlib Figure

    Raises
    ------
    TypeError, ValueError
        If it is not a gathered scan, or too many axes are left; the message names them.

    Examples
    --------
    >>> import dmft, json, numpy as np, xarray
    >>> delta2 = [0.3, 0.4, 0.5, 0.6]
    >>> plan = {"model": {"kind": "spiked-matrix-tensor", "p": 3, "deltap": 1.0}, "run": {"t_max": 50.0},
    ...         "dynamics": [{"kind": "gradient-flow"}], "scan": {"model.delta2": delta2}}
    >>> points = {"status": np.ones(4, dtype="int8"), "escape_time": [6.0, 20.0, np.inf, np.inf]}
    >>> scan = xarray.Dataset({k: ("delta2", v) for k, v in points.items()}, {"delta2": delta2},
    ...                       {"format": "dmft-scan", "plan": json.dumps(plan)})
    >>> figure = dmft.plot.along(scan)
    >>> [text.get_text() for text in figure.legends[0].get_texts()]
    ['never up to t = 50', 'closed form: gradient flow']
    """
    cuts = {label: _cut(one, name, axis, select) for label, one in _scans(scan).items()}
    name, x, other = common("axes and variable", {label: drawn for label, (_, *drawn) in cuts.items()})
    scans = {label: one for label, (one, *_) in cuts.items()}
    return line_figure(scans, other, Cut(name, x), variable_label(next(iter(scans.values())), name))


def _cut(scan, name, axis, select):
    """A scan as it is drawn against an axis: (scan, variable, this axis, axis of the colours)."""
    scan, name = chosen(scan, name, select)
    axis = _first_axis(scan, name, axis)
    if axis not in scan.dims:
        scan = scan.swap_dims({scan[axis].dims[0]: axis}).sortby(axis)
    if axis != "event" and any(scan.sizes[dim] > 1 for dim in open_axes(scan, name, axis, "event")):
        scan = at_one_event(scan, name)
    scan, other = _other_axis(scan, name, axis, "along draws one axis, and a line per value of another")
    return computed(scan, name), name, Scale.of(scan, axis), other


def _scans(scan):
    """{label: scan}, of one or several."""
    if not (found := named(scan)):
        raise ValueError("scan must be a gathered scan, or a mapping {label: scan} of at least one")
    return found


@kind("curves", of="scan")
def curves(
    scan: "xarray.Dataset | Mapping[str, xarray.Dataset]",
    name: str = "m",
    *,
    axis: str | None = None,
    select: Mapping[str, Any] | None = None,
    log_t: bool = False,
) -> "Figure":
    """Kept curves of a scan against time, coloured along one axis.

    Bands are two standard errors wide on either side.  Curves of failed points are dotted and may leave the frame.
    Where there are several scans, simulations are points with bars of one standard error.

    Parameters
    ----------
    scan : xarray.Dataset or mapping
        From ``dmft.gather``; its plan must ask for curves.  Several with the same axes as ``{label: scan}``, theory and
        simulation.
    name : str
        Scalar, e.g. ``"m"`` or ``"energy"``.
    axis : str, optional
        Axis of the colours; by default the one that is left after ``select``.
    select : mapping, optional
        ``{axis: value}``, the nearest value of every further axis; also ``"dynamics"``.
    log_t : bool
        Logarithmic time.

    Returns
    -------
    matplotlib Figure

    Raises
    ------
    TypeError, ValueError
        If it is not a gathered scan, has no such curves, or too many axes are left; the message names them.

    Examples
    --------
    >>> import dmft, json, numpy as np, xarray
    >>> axes = {"temperature": [0.5, 1.0], "t": np.linspace(0.0, 5.0, 6)}
    >>> plan = {"model": {"kind": "mixed-spin", "couplings": {"3": 0.5}}, "dynamics": [{"kind": "langevin"}],
    ...         "run": {"t_max": 5.0}, "scan": {"dynamics.temperature": [0.5, 1.0]}}
    >>> points = {"energy": (tuple(axes), -np.outer([1.0, 0.5], np.tanh(axes["t"]))),
    ...           "status": ("temperature", np.ones(2, dtype="int8"))}
    >>> scan = xarray.Dataset(points, axes, {"format": "dmft-scan", "plan": json.dumps(plan)})
    >>> figure = dmft.plot.curves(scan, "energy")
    >>> [text.get_text() for text in figure.axes[0].get_legend().get_texts()]
    ['0.5', '1']
    """
    found = {label: _kept(one, name, axis, select) for label, one in _scans(scan).items()}
    other = common("axes", {label: other for label, (_, other) in found.items()})
    return line_figure({label: one for label, (one, _) in found.items()}, other, Curves(name, log_t), symbol(name))


def _kept(scan, name, axis, select):
    """A scan of which curves are drawn, and the axis of their colours."""
    kept = [k for k, v in getattr(scan, "data_vars", {}).items() if "t" in v.dims and not k.endswith("_stderr")]
    if hasattr(scan, "data_vars") and name not in kept:
        have = f"those kept are {', '.join(kept)}" if kept else "none were kept (curves in the plan's [scan])"
        argument = Argument("name", repr(name), f"name = {name!r}")
        raise ArgumentValueError("there are no curves of ", argument, f": {have}")
    scan, name = chosen(scan, name, select)
    if "t" not in scan[name].dims:
        text = ": 't' is the horizontal axis of curves: use "
        raise ArgumentValueError(Argument("select"), text, ALONG, " or ", HEAT_MAP, " for one time")
    return _other_axis(scan, name, "t", "curves are coloured along one axis", axis)


def _first_axis(scan, name, axis):
    """The axis asked for, else the first one."""
    own = scan[name].dims
    allowed = [k for k, c in scan.coords.items() if c.ndim == 1 and c.dims[0] in own and k != "dynamics"]
    if axis is not None:
        return _check.choice("axis", axis, allowed)
    dims = open_axes(scan, name, "event")
    if not dims:
        text = "no axis is left to draw along: select fewer, or use "
        raise ArgumentValueError(text, CURVES, " if they were kept")
    return next((dim for dim in dims if scan.sizes[dim] > 1), dims[0])


def _other_axis(scan, name, drawn, what, wanted=None):
    """The scan and the axis of the lines' colours (None: a single line, or one per dynamics)."""
    if wanted is not None:
        dims = [k for k, c in scan.coords.items() if c.ndim == 1 and c.dims[0] in scan[name].dims and k != drawn]
        _check.choice("axis", wanted, dims)
        if wanted not in scan.dims:
            scan = scan.swap_dims({scan[wanted].dims[0]: wanted}).sortby(wanted)
    dims = open_axes(scan, name, drawn)
    scan = squeezed(scan, [dim for dim in dims if dim != wanted], 0)
    dims = sorted(open_axes(scan, name, drawn), key=lambda dim: dim != wanted)
    if len(dims) > 1 or (wanted == "dynamics" and dims):
        refuse_many(what, scan, dims if drawn == "t" else [drawn, *dims])
    if not dims and "dynamics" in scan.dims:
        return scan, Scale.of(scan, "dynamics")
    return scan, Scale.of(scan, dims[0]) if dims else None
