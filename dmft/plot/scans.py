"""Plots of gathered parameter scans (``dmft.gather``; needs the ``plot`` extra).

Every function takes the xarray.Dataset of a scan and returns a matplotlib Figure: `heat_map` a variable in the
plane of two axes, `along` a variable against one axis, `curves` the kept curves against time.  ``select`` chooses
one value, the nearest, of every axis that is not drawn; several dynamics have a panel each.
"""

import json
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields
from functools import lru_cache
from textwrap import wrap

import numpy as np

from .. import _check, thresholds
from .._plain import refuse_unknown
from ..dynamics import DYNAMICS, GradientFlow, Langevin
from ..errors import Argument, ArgumentValueError
from ..models import MODELS, Sphere, SpikedMatrixTensor
from .style import LINE_LABELS, new_figure

KINDS = ("heat-map", "along", "curves")
HEAT_MAP, ALONG, CURVES = (Argument("kind", kind, kind.replace("-", "_")) for kind in KINDS)  # in messages
IF_KEPT = " if they were kept"

MISSING, FAILED = 0, 3  # of the variable status
SYMBOLS = {
    "N": "$N$",
    "alpha": r"$\alpha$",
    "delta2": r"$\Delta_2$",
    "deltap": r"$\Delta_p$",
    "m": "overlap m",
    "m0": "$m_0$",
    "mu": r"$\mu$",
    "p": "$p$",
    "t_max": r"$t_\mathrm{max}$",
    "temperature": "$T$",
    "energy": "energy per N",
}
MODEL_NAMES = {"spiked-matrix-tensor": "spiked matrix-tensor model", "mixed-spin": "mixed p-spin model"}
DYNAMICS_NAMES = {"amp": "AMP", "langevin": "Langevin", "underdamped-langevin": "underdamped Langevin"}
HARD = (("constraint", "sphere"), ("constraint", "sphere (method = normalize)"))  # the default
# whose states at temperature 0 are marginal, whatever their inertia: the line of gradient flow
DESCENTS = ("langevin", "gradient-flow", "underdamped-langevin", "gradient-descent", "heavy-ball", "nesterov")

UNKNOWN = ("model.kind", "model.constraint.kind", "dynamics.kind", "dynamics.annealing")  # scans without a closed form

COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "black")  # for the colour-blind too
GREY = "0.3"
MARKERS = "osDPp*h"
LINE_STYLES = ("-", "--", "-.", ":")
STATES = {"missing": "0.72", "failed": "0.92", "no value": "white"}  # colours of cells without a value
ENDINGS = {
    "_stderr_final": "final {}, standard error",
    "_final": "final {}",
    "_stderr": "{}, standard error",
    "_error": "{}, estimated error",
}
COLUMNS = 3  # of panels
FEW = 5  # values of an axis up to which each has a tick
LABELLED = 10  # lines a legend can tell apart; from there on a colour bar


# --- the scan ----------------------------------------------------------------------------------


def _chosen(scan, name, select):
    """The scan at the selected values, its axes in ascending order, and the name of the variable to draw."""
    if not hasattr(scan, "data_vars"):
        raise TypeError(f"scan must be a gathered scan, the xarray.Dataset of dmft.gather, got {type(scan).__name__}")
    if scan.attrs.get("format") != "dmft-scan" or "status" not in scan:
        raise ValueError("scan is not a gathered scan: it needs the attribute format = 'dmft-scan' and a status")
    scan = _selected(scan, {} if select is None else select)
    for dim in scan.dims:
        if _numeric(scan[dim].values) and np.any(np.diff(scan[dim].values) < 0):
            scan = scan.sortby(dim)
    return scan, _variable(scan, name)


def _numeric(values):
    return values.dtype.kind in "iuf"


def _selected(scan, select):
    _check.instance("select", select, Mapping, "a mapping {axis: value}")
    refuse_unknown("select", select, [name for name, c in scan.coords.items() if c.ndim == 1])
    for name, value in select.items():
        if scan[name].ndim == 0:
            raise ArgumentValueError(
                Argument("select"), f": {name!r} advances together with another selected axis: give one of them"
            )
        (dim,) = scan[name].dims
        scan = scan.isel({dim: _nearest(name, scan[name].values, value)})
    return scan


def _nearest(name, values, wanted):
    """Index of the value nearest to the wanted one, by ratio on a logarithmic axis."""
    argument = Argument("select", name, f"select[{name!r}]")
    if not _numeric(values):
        texts = [str(v) for v in values]
        return texts.index(_check.choice(argument, str(wanted), texts))
    wanted = _check.real(argument, wanted, inf=True)
    if np.isinf(wanted):
        return int(np.argmax(values * np.sign(wanted)))
    if _scale(np.sort(values)) == "log" and wanted > 0:
        return int(np.argmin(np.abs(np.log(values / wanted))))
    return int(np.argmin(np.abs(values - wanted)))


def _variable(scan, name):
    """The name of a variable of numbers; by default the escape time, else the final overlap."""
    allowed = [k for k, v in scan.data_vars.items() if v.dtype.kind == "f"]
    if name is None:
        finals = [k for k in allowed if k.endswith("_final") and k != "t_final" and not k.endswith("_stderr_final")]
        name = next((k for k in ("escape_time", "m_final", *finals) if k in allowed), None)
    return _check.choice("name", name, allowed)


def _open_axes(scan, name, *drawn):
    """Axes of a variable that are neither drawn nor dynamics."""
    return [dim for dim in scan[name].dims if dim not in ("dynamics", *drawn)]


def _at_one_event(scan, name):
    """The scan at the first event, if the variable has several and none was selected."""
    if "event" not in scan[name].dims:
        return scan
    return scan.isel(event=0).assign_attrs(events=scan.sizes["event"])


def _squeezed(scan, dims, room):
    """The scan without as many of its single-valued axes as are too many."""
    single = [dim for dim in dims if scan.sizes[dim] == 1]
    return scan.isel(dict.fromkeys(single[: max(len(dims) - room, 0)], 0))


def _refuse_many(what, scan, dims):
    """An error that names the axes left and shows how to choose."""
    axes = ", ".join(f"{dim} ({scan.sizes[dim]} values)" for dim in dims)
    value = scan[dims[-1]].values[0]
    value = value.item() if _numeric(scan[dims[-1]].values) else str(value)
    example = Argument("select", f"{dims[-1]}={value}", f"select={{{dims[-1]!r}: {value!r}}}")
    raise ArgumentValueError(f"{what}, but the axes left are {axes}: choose values of the others, e.g. ", example)


def _panels(scan):
    """(label, scan of one dynamics), one per panel."""
    if "dynamics" in scan.dims:
        return [(str(label), scan.isel(dynamics=i)) for i, label in enumerate(scan["dynamics"].values)]
    return [(_label(scan), scan)]


def _label(scan):
    """Label of the dynamics of a scan, of the first if there are several."""
    chosen = "dynamics" in scan.coords and scan["dynamics"].ndim == 0
    return str(scan["dynamics"].values) if chosen else next(iter(_dynamics(scan)))


def _plan(scan):
    return _parsed(scan.attrs["plan"])


@lru_cache(maxsize=4)
def _parsed(text):
    """The plan, kept because it is needed often and holds every value of every axis."""
    return json.loads(text)


def _dynamics(scan):
    """Tables of the dynamics by their labels."""
    return {table.get("label", table["kind"]): table for table in _plan(scan)["dynamics"]}


def _run(scan):
    """Whether the dynamics is discrete, and the table run, in which its own entries come first."""
    table = _dynamics(scan).get(_label(scan), {})
    discrete = "kind" in table and DYNAMICS[table["kind"]].discrete
    return discrete, {**_plan(scan).get("run", {}), **table.get("run", {})}


def _computed(scan, name):
    """The scan with NaN for the variable where a point is missing or failed, and a status for each of its values."""
    done = (scan["status"] != MISSING) & (scan["status"] != FAILED)
    return scan.assign({name: scan[name].where(done), "status": scan["status"].broadcast_like(scan[name])})


def _coordinate(scan, path):
    """Name of the coordinate of a scanned parameter: the last words of its path, or all of it without one."""
    words = path.split(".")
    names = ("_".join(words[i:]) for i in range(len(words) - 1, -1, -1))
    return next((name for name in names if name in scan.coords), path)


def _parameter(scan, path, fixed):
    """Value of a parameter; where it varies over the scan or is unknown, the name of its coordinate."""
    if path not in _plan(scan)["scan"]:
        return float(fixed) if fixed in ("inf", "-inf") else fixed
    name = _coordinate(scan, path)
    return name if name not in scan.coords or scan[name].ndim else scan[name].item()


# --- axes --------------------------------------------------------------------------------------


@dataclass(frozen=True, eq=False)
class _Axis:
    """An axis of a figure: its values and their places on a "linear" or "log" scale, or one after the other."""

    name: str
    values: np.ndarray
    scale: str

    def __eq__(self, other):
        if not isinstance(other, _Axis) or (self.name, len(self.values)) != (other.name, len(other.values)):
            return False
        close = _numeric(self.values) and _numeric(other.values)
        return bool((np.allclose if close else np.array_equal)(self.values, other.values))

    @property
    def places(self):
        return np.arange(len(self.values)) if self.scale == "ordinal" else self.values

    @property
    def texts(self):
        return [_text(v) for v in self.values]


def _axis(scan, name):
    values = scan[name].values
    return _Axis(name, values, _scale(values))


def _scale(values):
    """Scale on which ascending values are the most evenly spaced; "ordinal" for words and where neither does."""
    if not _numeric(values) or not np.all(np.isfinite(values)):
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


def _edges(axis):
    """Edges of the cells around the values: half-way between them on the scale of the axis."""
    places = np.log(axis.values) if axis.scale == "log" else np.asarray(axis.places, dtype=float)
    if len(places) == 1:
        half = np.array([0.5 * abs(places[0]) or 0.5])
        edges = np.concatenate([places - half, places + half])
    else:
        middle = (places[1:] + places[:-1]) / 2
        edges = np.concatenate([[2 * places[0] - middle[0]], middle, [2 * places[-1] - middle[-1]]])
    return np.exp(edges) if axis.scale == "log" else edges


def _symbol(name):
    return SYMBOLS.get(name, name.replace("_", " "))


def _text(value):
    """A value for labels: four digits, powers of ten as such."""
    if not isinstance(value, (int, float, np.number)) or isinstance(value, bool):
        return str(value)
    if np.isinf(value):
        return r"$\infty$" if value > 0 else r"$-\infty$"
    if value == 0 or 1e-3 <= abs(value) < 1e5:
        return f"{value:.4g}"
    digits, power = f"{value:.3e}".split("e")
    digits = f"{float(digits):g}"
    factor = digits[:-1] if digits in ("1", "-1") else rf"{digits}\times"
    return rf"${factor}10^{{{int(power)}}}$"


def _variable_label(scan, name):
    """What a variable is, for an axis or a colour bar."""
    if name.startswith("escape_time"):
        return f"escape time{', error' if name.endswith('_error') else ''}{_event(scan)}"
    for end, text in ENDINGS.items():
        if name.endswith(end):
            return text.format(_symbol(name.removesuffix(end)))
    return _symbol(name)


def _event(scan):
    """', m = 0.5': the level that the escape time belongs to."""
    if "event" in scan.coords:
        if scan["event"].ndim:
            return ""
        several = scan.attrs.get("events", 1)
        note = f" (first of {several} events)" if several > 1 else ""
        return f", {str(scan['event'].values).replace('=', ' = ')}{note}"
    events = _run(scan)[1].get("events", [])
    return f", {events[0]['name']} = {_text(events[0]['level'])}" if events else ""


def _never(scan, name):
    """Name of an infinite value: how long the runs waited, if that is the same everywhere."""
    if name != "escape_time":
        return "infinite"
    discrete, run = _run(scan)
    end = _parameter(scan, "run.steps" if discrete else "run.t_max", run.get("steps" if discrete else "t_max"))
    if not isinstance(end, (int, float)):
        return "never"
    return f"never in {_text(end)} iterations" if discrete else f"never up to t = {_text(end)}"


def _logarithmic(name):
    return any(word in name for word in ("escape_time", "loss"))


def _dress(axes, which, axis):
    """Scale, limits, label and ticks of the x or y axis of a panel."""
    edges, target = _edges(axis), getattr(axes, f"{which}axis")
    axes.set(**{f"{which}scale": "log" if axis.scale == "log" else "linear", f"{which}lim": (edges[0], edges[-1])})
    target.set_label_text(_symbol(axis.name), fontsize=11)
    if axis.scale == "ordinal" or len(axis.values) <= FEW:
        target.set_ticks(axis.places, labels=axis.texts)
        target.set_ticks([], minor=True)
    elif axis.scale == "log":
        _plain_ticks(target, edges[0], edges[-1])


def _plain_ticks(axis, low, high):
    """Plain numbers on a logarithmic axis where they are readable, powers of ten elsewhere."""
    from matplotlib.ticker import LogFormatter, LogLocator

    if low > 1e-3 and high < 1e4:
        axis.set_major_locator(LogLocator(subs=(1.0, 2.0, 5.0) if high < 100 * low else (1.0,)))
        axis.set_major_formatter("{x:g}")
        axis.set_minor_formatter(LogFormatter(labelOnlyBase=True))


def _grid(panels, width, height):
    """Figure and its panels, in rows."""
    columns = min(panels, COLUMNS)
    rows = math.ceil(panels / columns)
    figure, axes = new_figure(width * columns + 1.6, height * rows, columns, rows)
    for spare in axes.flat[panels:]:
        spare.remove()
    return figure, list(axes.flat[:panels])


def _colour_bar(figure, axes, mappable, label):
    bar = figure.colorbar(mappable, ax=axes)
    bar.set_label(label, fontsize=11)
    if bar.ax.get_yscale() == "log":
        _plain_ticks(bar.ax.yaxis, bar.vmin, bar.vmax)


def _outer(axes):
    """The vertical axis is named beside the first panel of a row only."""
    for i, panel in enumerate(axes):
        if i % COLUMNS:
            panel.set_ylabel("")
            panel.tick_params(labelleft=False)


# --- titles ------------------------------------------------------------------------------------


def _title(figure, *scans):
    """Everything that is the same all over the figure."""
    parts = [part.replace(" ", "\N{NO-BREAK SPACE}") for part in _shared(*scans)]
    lines = wrap(", ".join(parts), int(13 * figure.get_figwidth()))
    figure.suptitle("\n".join(lines).replace("\N{NO-BREAK SPACE}", " "), fontsize=10)


def _shared(first, *others):
    """What is fixed, and the same, in all scans."""
    return [part for part in _fixed(first) if all(part in _fixed(scan) for scan in others)]


def _fixed(scan):
    """Names and values of everything that does not vary over a scan."""
    plan = _plan(scan)
    kind = plan["model"]["kind"]
    parts = [MODEL_NAMES.get(kind, kind.replace("-", " ")), *_values(scan, "model", _own(plan["model"], MODELS))]
    if "dynamics" not in scan.dims:
        label = _label(scan)
        parts += [_dynamics_name(label), *_values(scan, "dynamics", _own(_dynamics(scan).get(label, {}), DYNAMICS))]
    parts += _values(scan, "initial", plan.get("initial", {}))
    sizes = {k: v for k, v in plan.get("simulation", {}).items() if k in ("N", "samples")}
    parts += _values(scan, "simulation", sizes)
    chosen = [name for name, c in scan.coords.items() if c.ndim == 0 and name not in ("dynamics", "event")]
    return parts + [f"{_symbol(name)} = {_text(scan[name].item())}" for name in chosen]


def _own(table, classes):
    """Parameters of a model or dynamics without those that have their default value; the temperature always."""
    names = {f.name: f.default for f in fields(classes[table["kind"]])} if table else {}
    return {k: v for k, v in table.items() if k in names and (k == "temperature" or v != names[k])}


def _dynamics_name(label):
    return DYNAMICS_NAMES.get(label, label.replace("-", " ") if label in DYNAMICS else label)


def _values(scan, where, table):
    """'name = value' of the parameters of a table that are not scanned."""
    given = {k: _value(v) for k, v in _unscanned(scan, where, table).items()}
    return [f"{_symbol(k)} = {v}" for k, v in given.items() if (k, v) not in HARD]


def _unscanned(scan, where, table):
    """A table, and those in it, without the parameters that are scanned."""
    paths = {k: f"{where}.{k}" for k in table}
    left = {k: v for k, v in table.items() if paths[k] not in _plan(scan)["scan"]}
    return {k: _unscanned(scan, paths[k], v) if isinstance(v, Mapping) else v for k, v in left.items()}


def _value(value):
    """A number or word, or the entries of a table."""
    if not isinstance(value, Mapping):
        return _text(float(value) if value in ("inf", "-inf") else value)
    sign = " =" if "kind" in value else ":"  # a table of parameters, or {order: strength}
    entries = ", ".join(f"{_symbol(k)}{sign} {_value(v)}" for k, v in value.items() if k != "kind")
    kind = value.get("kind", "").replace("-", " ")
    return f"{kind} ({entries})" if kind and entries else kind or entries


# --- closed forms ------------------------------------------------------------------------------


@dataclass(frozen=True)
class _ClosedForm:
    """Critical Delta_2; an argument is a number or, where it varies, the name of its coordinate."""

    family: str
    function: Callable
    arguments: Mapping

    @property
    def label(self):
        """The name, with the temperature of Langevin dynamics."""
        temperature = self.arguments.get("temperature", "")
        return self.family if isinstance(temperature, str) else f"{self.family}, T = {_text(temperature)}"

    def over(self, name=None, values=(0.0,)):
        """Delta_2 along values of a coordinate, or None if it depends on yet another one."""
        varying = {v for v in self.arguments.values() if isinstance(v, str)}
        if not varying:
            return np.full(len(values), self.function(**self.arguments))
        if varying != {name}:
            return None
        points = [{k: x if isinstance(v, str) else v for k, v in self.arguments.items()} for x in values]
        return np.array([self.function(**point) for point in points])


def _closed_form(scan, label):
    """The threshold line of one of the dynamics, None if there is none."""
    plan, table = _plan(scan), _dynamics(scan).get(label, {"kind": None})
    model, kind = plan["model"], table["kind"]
    p = _parameter(scan, "model.p", model.get("p"))
    if model["kind"] != SpikedMatrixTensor.kind or isinstance(p, str):
        return None
    noise = {"p": p, "deltap": _parameter(scan, "model.deltap", model.get("deltap"))}
    if kind == "amp":
        estimator = _parameter(scan, "dynamics.estimator", table.get("estimator", "bayes"))
        line = {"bayes": "amp", "ml": "ml_amp"}.get(estimator)
        return line and _ClosedForm(LINE_LABELS[line], getattr(thresholds, line), noise)
    if kind not in DESCENTS or "annealing" in table or any(path.startswith(UNKNOWN) for path in plan["scan"]):
        return None
    return _descent(scan, table, model.get("constraint", {"kind": Sphere.kind}), noise)


def _descent(scan, table, constraint, noise):
    """The line of gradient flow at temperature 0, else that of Langevin dynamics on the sphere."""
    temperature = 0.0
    if table["kind"] != GradientFlow.kind:
        default = DYNAMICS[table["kind"]].temperature
        temperature = _parameter(scan, "dynamics.temperature", table.get("temperature", default))
    hard = constraint["kind"] == Sphere.kind
    if temperature == 0:
        strength = _parameter(scan, "model.constraint.strength", "inf" if hard else constraint.get("strength"))
        return _ClosedForm("gradient flow", thresholds.gradient_flow, {**noise, "strength": strength})
    if not hard or table["kind"] != Langevin.kind:
        return None
    return _ClosedForm("Langevin", thresholds.langevin, {**noise, "temperature": temperature})


def _critical_line(scan, label, x, y):
    """(x, y) of the threshold in a plane of which one axis is Delta_2, and its name; None without one."""
    form = _closed_form(scan, label)
    strong, other = (x, y) if x.name == "delta2" else (y, x)
    if form is None or strong.name != "delta2" or strong.scale == "ordinal":
        return None
    low, high = _edges(other)[[0, -1]]
    dense = np.geomspace(low, high, 201) if other.scale == "log" else np.linspace(low, high, 201)
    if other.scale == "linear" and other.values[0] > 0:  # the outer half of a cell may reach below zero
        dense = dense[dense > 0]
    critical = form.over(None if other.scale == "ordinal" else other.name, dense)
    if critical is None:
        return None
    critical = np.where(np.isfinite(critical), critical, np.nan)
    return ((critical, dense) if strong is x else (dense, critical)), f"{_closed(scan)}: {form.label}"


def _closed(scan):
    """How closed forms are labelled: with N = infinity beside simulations, as they are no theory of finite N."""
    return r"closed form ($N = \infty$)" if "simulation" in _plan(scan) else "closed form"


# --- heat map ----------------------------------------------------------------------------------


def heat_map(scan, name=None, *, select=None, lines=True):
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
    >>> import json, numpy as np, xarray
    >>> from dmft.plot import scans as scan_plot
    >>> axes = {"delta2": [0.3, 0.5, 0.7], "deltap": [0.5, 1.0, 2.0]}
    >>> plan = {"model": {"kind": "spiked-matrix-tensor", "p": 3}, "dynamics": [{"kind": "gradient-flow"}],
    ...         "run": {"t_max": 50.0}, "scan": {f"model.{k}": v for k, v in axes.items()}}
    >>> points = {"status": np.ones((3, 3), dtype="int8"), "m_final": np.full((3, 3), 0.9)}
    >>> scan = xarray.Dataset({k: (tuple(axes), v) for k, v in points.items()}, axes,
    ...                       {"format": "dmft-scan", "plan": json.dumps(plan)})
    >>> figure = scan_plot.heat_map(scan)
    >>> [text.get_text() for text in figure.legends[0].get_texts()]
    ['closed form: gradient flow']
    """
    scan, name = _chosen(scan, name, select)
    scan = _at_one_event(scan, name)
    scan = _computed(_squeezed(scan, _open_axes(scan, name), 2), name)
    x, y = _plane(scan, name)
    panels = _panels(scan)
    figure, axes = _grid(len(panels), 4.8, 4.9)
    norm, cells = _norm(scan, name), _Cells(name, x, y)
    handles = {}
    for i, (panel, (label, one)) in enumerate(zip(axes, panels, strict=True)):
        mesh = cells.draw(panel, one, norm, handles)
        if lines:
            _draw_line(panel, _critical_line(one, label, x, y), LINE_STYLES[i % len(LINE_STYLES)], handles)
        if len(panels) > 1:
            panel.set_title(_dynamics_name(label), fontsize=10)
    _outer(axes)
    if norm is not None:
        _colour_bar(figure, axes, mesh, _variable_label(scan, name))
    _title(figure, scan)
    _legend(figure, handles)
    return figure


def _plane(scan, name):
    """Horizontal and vertical axis: Delta_2 over Delta_p as in phase diagrams, else in the order of the scan."""
    dims = _open_axes(scan, name)
    if len(dims) < 2:
        left = f"the only one left is {dims[0]}" if dims else "none is left"
        raise ArgumentValueError(f"a heat map needs two axes, but {left}: use ", ALONG, ", or ", CURVES, IF_KEPT)
    if len(dims) > 2:
        _refuse_many("a heat map has two axes", scan, dims)
    if dims == ["delta2", "deltap"]:
        dims = dims[::-1]
    return _axis(scan, dims[0]), _axis(scan, dims[1])


def _norm(scan, name):
    """Colour scale of all finite values; None without any."""
    from matplotlib.colors import LogNorm, Normalize

    values = scan[name].values
    values = values[np.isfinite(values)]
    if not values.size:
        return None
    low, high = values.min(), values.max()
    if _logarithmic(name) and low > 0:
        return LogNorm(low, high) if low < high else LogNorm(low / 2, 2 * low)
    return Normalize(low, high) if low < high else Normalize(low - 0.5, low + 0.5)


@dataclass(frozen=True)
class _Cells:
    """The cells of a heat map."""

    name: str
    x: _Axis
    y: _Axis

    def draw(self, axes, scan, norm, handles):
        """Draw one panel and enter what needs a name into the legend; returns the mesh."""
        from matplotlib.colors import ListedColormap

        values, states = self._states(scan)
        edges = _edges(self.x), _edges(self.y)
        style = {"rasterized": values.size > 10_000}  # a vector file with a polygon per cell would be huge
        mesh = axes.pcolormesh(*edges, np.ma.masked_invalid(values), cmap="viridis", norm=norm, **style)
        states = np.ma.masked_less(states, 0)
        colours = ListedColormap(list(STATES.values()))
        axes.pcolormesh(*edges, states, cmap=colours, vmin=-0.5, vmax=len(STATES) - 0.5, **style)
        rows, columns = np.nonzero(states.filled(-1) == list(STATES).index("failed"))
        size = np.clip(120 / max(values.shape), 2.5, 8)
        axes.plot(self.x.places[columns], self.y.places[rows], "x", color="#B22222", ms=size, mew=1.3)
        axes.patch.set(facecolor="white", hatch="////", edgecolor="0.65")  # seen where nothing escaped
        _dress(axes, "x", self.x)
        _dress(axes, "y", self.y)
        self._name_states(scan, states.filled(-2), np.isinf(values).any(), handles)
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
            handles[_never(scan, self.name)] = Patch(facecolor="white", hatch="////", edgecolor="0.65")
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


def _legend(figure, handles):
    """The marks and lines common to all panels, below them; in one row if they fit."""
    if handles:
        widths = [0.75 + 0.075 * len(text) for text in handles]  # inches
        columns = int(max(figure.get_figwidth() // max(widths), 1))
        columns = len(widths) if sum(widths) < figure.get_figwidth() else columns
        style = {"loc": "outside lower center", "ncols": columns}
        figure.legend(handles.values(), handles.keys(), fontsize=9, frameon=False, **style)


# --- lines against an axis or time -------------------------------------------------------------


def along(scan, name=None, *, axis=None, select=None):
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
    >>> import json, numpy as np, xarray
    >>> from dmft.plot import scans as scan_plot
    >>> delta2 = [0.3, 0.4, 0.5, 0.6]
    >>> plan = {"model": {"kind": "spiked-matrix-tensor", "p": 3, "deltap": 1.0}, "run": {"t_max": 50.0},
    ...         "dynamics": [{"kind": "gradient-flow"}], "scan": {"model.delta2": delta2}}
    >>> points = {"status": np.ones(4, dtype="int8"), "escape_time": [6.0, 20.0, np.inf, np.inf]}
    >>> scan = xarray.Dataset({k: ("delta2", v) for k, v in points.items()}, {"delta2": delta2},
    ...                       {"format": "dmft-scan", "plan": json.dumps(plan)})
    >>> figure = scan_plot.along(scan)
    >>> [text.get_text() for text in figure.legends[0].get_texts()]
    ['never up to t = 50', 'closed form: gradient flow']
    """
    cuts = {label: _cut(one, name, axis, select) for label, one in _named(scan).items()}
    name, x, other = _common("axes and variable", {label: drawn for label, (_, *drawn) in cuts.items()})
    scans = {label: one for label, (one, *_) in cuts.items()}
    return _line_figure(scans, other, _Cut(name, x), _variable_label(next(iter(scans.values())), name))


def _cut(scan, name, axis, select):
    """A scan as it is drawn against an axis: (scan, variable, this axis, axis of the colours)."""
    scan, name = _chosen(scan, name, select)
    axis = _first_axis(scan, name, axis)
    if axis not in scan.dims:
        scan = scan.swap_dims({scan[axis].dims[0]: axis}).sortby(axis)
    if axis != "event" and any(scan.sizes[dim] > 1 for dim in _open_axes(scan, name, axis, "event")):
        scan = _at_one_event(scan, name)
    scan, other = _other_axis(scan, name, axis, "along draws one axis, and a line per value of another")
    return _computed(scan, name), name, _axis(scan, axis), other


def _named(scan):
    """{label: scan}, of one or several."""
    if not isinstance(scan, Mapping) or hasattr(scan, "data_vars"):  # a Dataset is a mapping, too
        return {"": scan}
    if not scan:
        raise ValueError("scan must be a gathered scan, or a mapping {label: scan} of at least one")
    return scan


def _common(what, found):
    """What is the same in all scans of a figure."""
    (first, one), *others = found.items()
    for label, another in others:
        if another != one:
            raise ValueError(f"scans in one figure need the same {what}: those of {first!r} and {label!r} differ")
    return one


def curves(scan, name="m", *, axis=None, select=None, log_t=False):
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
    >>> import json, numpy as np, xarray
    >>> from dmft.plot import scans as scan_plot
    >>> axes = {"temperature": [0.5, 1.0], "t": np.linspace(0.0, 5.0, 6)}
    >>> plan = {"model": {"kind": "mixed-spin", "couplings": {"3": 0.5}}, "dynamics": [{"kind": "langevin"}],
    ...         "run": {"t_max": 5.0}, "scan": {"dynamics.temperature": [0.5, 1.0]}}
    >>> points = {"energy": (tuple(axes), -np.outer([1.0, 0.5], np.tanh(axes["t"]))),
    ...           "status": ("temperature", np.ones(2, dtype="int8"))}
    >>> scan = xarray.Dataset(points, axes, {"format": "dmft-scan", "plan": json.dumps(plan)})
    >>> figure = scan_plot.curves(scan, "energy")
    >>> [text.get_text() for text in figure.axes[0].get_legend().get_texts()]
    ['0.5', '1']
    """
    found = {label: _kept(one, name, axis, select) for label, one in _named(scan).items()}
    other = _common("axes", {label: other for label, (_, other) in found.items()})
    return _line_figure({label: one for label, (one, _) in found.items()}, other, _Curves(name, log_t), _symbol(name))


def _kept(scan, name, axis, select):
    """A scan of which curves are drawn, and the axis of their colours."""
    kept = [k for k, v in getattr(scan, "data_vars", {}).items() if "t" in v.dims and not k.endswith("_stderr")]
    if hasattr(scan, "data_vars") and name not in kept:
        have = f"those kept are {', '.join(kept)}" if kept else "none were kept (curves in the plan's [scan])"
        argument = Argument("name", repr(name), f"name = {name!r}")
        raise ArgumentValueError("there are no curves of ", argument, f": {have}")
    scan, name = _chosen(scan, name, select)
    if "t" not in scan[name].dims:
        text = ": 't' is the horizontal axis of curves: use "
        raise ArgumentValueError(Argument("select"), text, ALONG, " or ", HEAT_MAP, " for one time")
    return _other_axis(scan, name, "t", "curves are coloured along one axis", axis)


def _first_axis(scan, name, axis):
    """The axis asked for, else the first one."""
    dims = scan[name].dims
    allowed = [k for k, c in scan.coords.items() if c.ndim == 1 and c.dims[0] in dims and k != "dynamics"]
    if axis is not None:
        return _check.choice("axis", axis, allowed)
    open_axes = _open_axes(scan, name, "event")
    if not open_axes:
        raise ArgumentValueError("no axis is left to draw along: select fewer, or use ", CURVES, IF_KEPT)
    return next((dim for dim in open_axes if scan.sizes[dim] > 1), open_axes[0])


def _other_axis(scan, name, drawn, what, wanted=None):
    """The scan and the axis of the lines' colours (None: a single line, or one per dynamics)."""
    if wanted is not None:
        dims = [k for k, c in scan.coords.items() if c.ndim == 1 and c.dims[0] in scan[name].dims and k != drawn]
        _check.choice("axis", wanted, dims)
        if wanted not in scan.dims:
            scan = scan.swap_dims({scan[wanted].dims[0]: wanted}).sortby(wanted)
    dims = _open_axes(scan, name, drawn)
    scan = _squeezed(scan, [dim for dim in dims if dim != wanted], 0)
    dims = sorted(_open_axes(scan, name, drawn), key=lambda dim: dim != wanted)
    if len(dims) > 1 or (wanted == "dynamics" and dims):
        _refuse_many(what, scan, dims if drawn == "t" else [drawn, *dims])
    if not dims and "dynamics" in scan.dims:
        return scan, _axis(scan, "dynamics")
    return scan, _axis(scan, dims[0]) if dims else None


def _line_figure(scans, other, painter, ylabel):
    """One panel, or one per dynamics where the colours show another axis."""
    from matplotlib.cm import ScalarMappable

    by_dynamics = other is not None and other.name == "dynamics"
    panels = {label: [("", scan)] if by_dynamics else _panels(scan) for label, scan in scans.items()}
    titles = _panel_titles(panels)
    figure, axes = _grid(len(titles), 4.8, 4.2)
    looks, colours = _looks(scans), _colours(other)
    handles = _scan_names(scans, looks)
    for i, (panel, title) in enumerate(zip(axes, titles, strict=True)):
        groups = [_split(some[i][1], other, some[i][0]) for some in panels.values()]
        for lines, look in zip(groups, looks, strict=True):
            painter.draw(panel, lines, colours, look, handles)
        painter.dress(panel, groups, colours, handles)
        panel.set_ylabel(ylabel, fontsize=11)
        if len(titles) > 1:
            panel.set_title(_dynamics_name(title), fontsize=10)
    painter.finish(axes)
    _outer(axes)
    _title(figure, *scans.values())
    if other is not None and _crowded(other):
        _colour_bar(figure, axes, ScalarMappable(_axis_norm(other), _line_colours()), _symbol(other.name))
    elif other is not None:
        names = _line_names(other, colours, painter.markers(colours) if len(scans) == 1 else [""] * len(colours))
        title = None if by_dynamics else _symbol(other.name)
        style = {"loc": "upper left", "bbox_to_anchor": (1.0, 1.02), "title": title}
        axes[min(len(axes), COLUMNS) - 1].legend(names.values(), names.keys(), fontsize=9, frameon=False, **style)
    _legend(figure, handles)
    return figure


def _panel_titles(panels):
    """Labels of the dynamics that have a panel each, the same in all scans if they are several."""
    found = {label: [title for title, _ in some] for label, some in panels.items()}
    several = max(map(len, found.values())) > 1
    return _common("dynamics", found) if several else next(iter(found.values()))


@dataclass(frozen=True)
class _Look:
    """How the lines of a scan are drawn; ``marks``: whether with markers, None as suits the figure."""

    line: str = "-"
    marks: bool | None = None
    place: int = 0  # among the scans of the figure
    count: int = 1


def _looks(scans):
    """Simulations are points where there are several scans, the others lines of different styles."""
    if len(scans) == 1:
        return [_Look()]
    looks, lines = [], 0
    for i, scan in enumerate(scans.values()):
        simulated = "simulation" in _plan(scan)
        looks.append(_Look("" if simulated else LINE_STYLES[lines % len(LINE_STYLES)], simulated, i, len(scans)))
        lines += not simulated
    return looks


def _scan_names(scans, looks):
    """Legend entries of several scans, with the parameters that not all of them share."""
    from matplotlib.lines import Line2D

    if len(scans) == 1:
        return {}
    shared, handles = _shared(*scans.values()), {}
    for (label, scan), look in zip(scans.items(), looks, strict=True):
        own = ", ".join(part for part in _fixed(scan) if part not in shared)
        style = {"ls": look.line, "marker": "o" if look.marks else "", "ms": 4}
        handles[f"{label} ({own})" if own else str(label)] = Line2D([], [], color=GREY, **style)
    return handles


def _split(scan, other, label):
    """(label of the dynamics, scan) of every line of a panel."""
    if other is None:
        return [(label, scan)]
    if other.name == "dynamics":
        return _panels(scan)
    return [(label, scan.isel({other.name: i})) for i in range(len(other.values))]


def _crowded(axis):
    """Whether the lines along an axis need a colour bar."""
    return len(axis.values) > LABELLED and axis.scale != "ordinal"


def _line_colours():
    """Colour map without its bright end, which cannot be seen on white."""
    from matplotlib import colormaps
    from matplotlib.colors import ListedColormap

    return ListedColormap(colormaps["viridis"](np.linspace(0.0, 0.9, 256)))


def _axis_norm(axis):
    from matplotlib.colors import LogNorm, Normalize

    low, high = axis.places[[0, -1]]
    return LogNorm(low, high) if axis.scale == "log" else Normalize(low, high if high > low else low + 1)


def _colours(other):
    """A colour per line: along the axis, or as different as possible where there is no order."""
    if other is None:
        return [COLOURS[0]]
    if not _numeric(other.values):
        return [COLOURS[i % len(COLOURS)] for i in range(len(other.values))]
    return list(_line_colours()(_axis_norm(other)(other.places)))


def _line_names(other, colours, markers):
    """Legend entries of the lines, evenly chosen if there are many."""
    from matplotlib.lines import Line2D

    shown = np.unique(np.linspace(0, len(colours) - 1, min(len(colours), LABELLED)).round().astype(int))
    texts = [_dynamics_name(t) for t in other.texts] if other.name == "dynamics" else other.texts
    return {texts[i]: Line2D([], [], color=colours[i], marker=markers[i], ms=4.5) for i in shown}


@dataclass(frozen=True)
class _Cut:
    """Painter of a variable against an axis."""

    name: str
    x: _Axis

    def markers(self, colours):
        return [MARKERS[i % len(MARKERS)] if len(colours) <= len(MARKERS) else "o" for i in range(len(colours))]

    def draw(self, axes, lines, colours, look, handles):
        """The lines of a panel with their marks."""
        step = min(0.035, 0.2 / (len(lines) * look.count))  # marks of different lines stay apart
        for i, ((_, scan), marker) in enumerate(zip(lines, self.markers(colours), strict=True)):
            row = i * look.count + look.place
            self._line(axes, scan, colours[i], "" if look.marks is False else marker, look.line)
            self._marks(axes, scan, colours[i], 0.96 - row * step, handles)

    def dress(self, axes, groups, colours, handles):
        """The horizontal axis, and the thresholds of the first scan."""
        _dress(axes, "x", self.x)
        self._thresholds(axes, groups[0], colours, handles)

    def _line(self, axes, scan, colour, marker, line):
        values = scan[self.name].values
        values = np.where(np.isfinite(values), values, np.nan)
        if _logarithmic(self.name) and np.nanmin(values, initial=np.inf) > 0:
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

        never, failed = np.isinf(scan[self.name].values), scan["status"].values == FAILED
        for here, text, marker, place, size in (
            (never, _never(scan, self.name), "^", height, 6),
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

        if self.x.name != "delta2" or self.x.scale == "ordinal":
            return
        forms = [_closed_form(scan, label) for label, scan in lines]
        values = [None if form is None else form.over() for form in forms]
        found = [(form, v[0], c) for form, v, c in zip(forms, values, colours, strict=True) if v is not None]
        low, high = axes.get_xlim()
        found = [(form, value, colour) for form, value, colour in found if low < value < high]
        same = len({value for _, value, _ in found}) == 1
        few = len({form.label for form, _, _ in found}) <= FEW
        named = len({form.label for form, _, _ in found}) == len(found)
        for form, value, colour in found:
            axes.axvline(value, color=GREY if same else colour, ls="--", lw=1.3, zorder=1)
            handle = Line2D([], [], color=GREY if same or not (named and few) else colour, ls="--", lw=1.3)
            handles[f"{_closed(lines[0][1])}: {form.label if few else form.family}"] = handle

    def finish(self, axes):
        """The same vertical range in all panels, with strips for the marks at its edges."""
        from matplotlib.patches import Rectangle

        heights = np.concatenate([_marked(panel) for panel in axes])
        strips = [max(heights[heights < 0.5] + 0.04, default=0.0), max(1.04 - heights[heights > 0.5], default=0.0)]
        if any(panel.get_yscale() == "log" for panel in axes):
            axes[0].set_yscale("log")
        for panel in axes[1:]:
            panel.sharey(axes[0])
        axes[0].autoscale(axis="y")
        transform = axes[0].yaxis.get_transform()
        low, high = transform.transform(axes[0].get_ylim())
        span = (high - low) / (1 - sum(strips))
        axes[0].set_ylim(transform.inverted().transform([low - strips[0] * span, high + strips[1] * span]))
        if axes[0].get_yscale() == "log":
            _plain_ticks(axes[0].yaxis, *axes[0].get_ylim())
        for panel in axes:
            for low, height in zip((0.0, 1.0 - strips[1]), strips, strict=True):
                style = {"color": "0.94", "zorder": 0, "lw": 0, "transform": panel.transAxes}
                panel.add_patch(Rectangle((0.0, low), 1.0, height, **style))


def _marked(axes):
    """Heights of the marks of a panel, as parts of its own."""
    edge = axes.get_xaxis_transform()
    marks = [line for line in axes.lines if line.get_marker() in "^x" and line.get_transform() == edge]
    return np.concatenate([line.get_ydata() for line in marks] or [[]])


@dataclass(frozen=True)
class _Curves:
    """Painter of curves against time."""

    name: str
    log_t: bool

    def markers(self, colours):
        return [""] * len(colours)

    def draw(self, axes, lines, colours, look, handles):
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

    def dress(self, axes, groups, colours, handles):
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
        kinds = {_dynamics(scan)[label]["kind"] for label, scan in lines}
        discrete = {DYNAMICS[kind].discrete for kind in kinds}
        text = "iteration" if discrete == {True} else "t"
        axes.set_xlabel("t, or iteration" if len(discrete) == 2 else text, fontsize=11)

    def finish(self, axes):
        """The same vertical range in all panels, that of finished points if there are any."""
        if not any(map(_limited, axes)):
            for panel in axes:
                points = np.concatenate([line.get_xydata() for line in panel.lines])
                panel.update_datalim(points[np.isfinite(points[:, 1])])
                panel.autoscale_view(scalex=False)
        if _logarithmic(self.name):
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


# --- command line ------------------------------------------------------------------------------


def read(path):
    """The xarray.Dataset of a gathered scan, still on disk: to be closed, or used in a ``with`` block."""
    try:
        import h5netcdf  # noqa: F401
        import xarray
    except ImportError:
        raise ImportError("plots of scans need xarray: pip install 'dmft[plot,xarray]'") from None
    return xarray.open_dataset(path, engine="h5netcdf")


def make(scan, kind=None, *, name=None, select=(), axis=None, log_t=False):
    """Figure of the given kind, one of ``KINDS``.

    Parameters
    ----------
    scan : xarray.Dataset
        From ``dmft.gather``.
    kind : str, optional
        By the number of axes left after ``select``: a heat map for two or more, else along the only one.
    name : str, optional
        Variable.
    select : sequence of str, or mapping
        ``"m0=1e-4"``, ...
    axis : str, optional
        Of along and curves.
    log_t : bool
        Of curves.

    Returns
    -------
    matplotlib Figure
    """
    select = select if isinstance(select, Mapping) else dict(map(_choice, select))
    if kind is None:
        kind = _default_kind(scan, name, select, axis)
    _check.choice("kind", kind, KINDS)
    if kind == "curves":
        return curves(scan, name or "m", axis=axis, select=select, log_t=log_t)
    if log_t:
        raise ArgumentValueError(Argument("log_t"), f" is for the kind 'curves', not {kind!r}")
    if kind == "along":
        return along(scan, name, axis=axis, select=select)
    if axis is not None:
        argument = Argument("axis", repr(axis), f"axis = {axis!r}")
        text = " is not allowed: a heat map has two, choose with "
        raise ArgumentValueError(argument, text, Argument("select"), " what it leaves out")
    return heat_map(scan, name, select=select)


def _choice(text):
    """(axis, value) of 'axis=value'; a value that is not a number is a word."""
    name, separator, value = text.partition("=")
    if not (name and separator and value):
        raise ArgumentValueError(Argument("select"), f": {text!r} is not of the form AXIS=VALUE, e.g. m0=1e-4")
    try:
        return name, float(value)
    except ValueError:
        return name, value


def _default_kind(scan, name, select, axis):
    chosen, name = _chosen(scan, name, select)
    if "t" in chosen[name].dims:
        return "curves"
    return "heat-map" if axis is None and len(_open_axes(chosen, name, "event")) > 1 else "along"
