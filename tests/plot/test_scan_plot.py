"""Plots of gathered scans draw what they say."""

import json

import numpy as np
import pytest

import dmft
from dmft import thresholds
from dmft.cli import main
from dmft.plot import scans as scan_plot
from dmft.plot.scales import Scale, best_kind
from dmft.plot.scan_data import selected

pytest.importorskip("matplotlib")
xarray = pytest.importorskip("xarray")


MODEL = {"kind": "spiked-matrix-tensor", "p": 3}
LANGEVIN, FLOW = {"kind": "langevin", "label": "Langevin"}, {"kind": "gradient-flow"}
RUN = {"t_max": 100.0, "events": [{"name": "m", "level": 0.5}]}
DELTA2, DELTAP, M0 = [0.2, 0.4, 0.6, 0.8], [0.25, 0.5, 1.0, 2.0, 4.0], [1e-4, 1e-6]
T = np.linspace(0.0, 100.0, 11)
MISSING, FINISHED, EVENT, FAILED = 0, 1, 2, 3


def gathered(axes, variables, dynamics=(LANGEVIN,), model=MODEL, run=RUN, zipped=None, **tables):
    """A dataset as dmft.gather makes it: ``axes`` {path: values}, ``variables`` {name: (dims, values)}."""
    zipped = zipped or {}
    names = {path: path.rpartition(".")[2] for path in axes}
    coords = {names[path]: (names[zipped.get(path, path)], list(v)) for path, v in axes.items()}
    if len(dynamics) > 1:
        coords["dynamics"] = [d.get("label", d["kind"]) for d in dynamics]
    if any("t" in dims for dims, _ in variables.values()):
        coords["t"] = T
    plan = {"model": model, "dynamics": list(dynamics), "initial": {"m0": 1e-3}, "run": run, "scan": axes, **tables}
    plan["scan"] = {**axes, **({"zip": [list(pair) for pair in zipped.items()]} if zipped else {})}
    attrs = {"format": "dmft-scan", "dmft_schema": 1, "plan": json.dumps(plan)}
    return xarray.Dataset(variables, coords, attrs)


def plane(dynamics=(LANGEVIN, FLOW)):
    """Two dynamics in the plane (Delta_2, Delta_p) with two starts; escape beyond the line is never."""
    axes = {"model.delta2": DELTA2, "model.deltap": DELTAP, "initial.m0": M0}
    lines = [thresholds.langevin(3, np.array(DELTAP)), thresholds.gradient_flow(3, np.array(DELTAP))]
    gap = np.stack([line - np.array(DELTA2)[:, None] for line in lines])[..., None]
    times = -np.log(M0) / np.where(gap > 0, gap, 1.0)
    times = np.where(gap > 0, times, np.inf)
    status = np.where(np.isinf(times), FINISHED, EVENT).astype(np.int8)
    status[0, 0, 1, 0], status[0, 3, 0, 0] = FAILED, MISSING
    bad = (status == FAILED) | (status == MISSING)
    m = np.where(bad, np.nan, np.where(np.isinf(times), 0.01, 0.5))
    dims = ("dynamics", "delta2", "deltap", "m0")
    curves = np.where(bad[..., None], np.nan, m[..., None] * np.tanh(T / 10))
    variables = {
        "status": (dims, status),
        "message": (dims, np.full(status.shape, "")),
        "escape_time": (dims, np.where(bad, np.nan, times)),
        "m_final": (dims, m),
        "m_stderr_final": (dims, 0.1 * m),
        "m": ((*dims, "t"), curves),
    }
    scan = gathered(axes, variables, dynamics=dynamics)
    return scan


def strip(values=(5.0, 20.0, np.inf, np.nan), status=(EVENT, EVENT, FINISHED, FAILED), **more):
    """A scan of Delta_2 alone."""
    variables = {"status": ("delta2", np.array(status, dtype=np.int8)), "escape_time": ("delta2", list(values))}
    return gathered({"model.delta2": DELTA2}, variables, model={**MODEL, "deltap": 1.0}, **more)


def drawn(figure):
    """The figure after drawing: layout and rendering give no warnings."""
    figure.draw_without_rendering()
    return figure


def legend(figure):
    return [text.get_text() for one in figure.legends for text in one.get_texts()]


def entries(axes):
    return [text.get_text() for text in axes.get_legend().get_texts()]


def mesh(axes):
    return axes.collections[0].get_array()


# --- heat map ----------------------------------------------------------------------------------


def test_cells_are_the_data():
    scan = plane()
    figure = drawn(scan_plot.heat_map(scan, select={"m0": 1e-4}))
    langevin, flow, bar = figure.axes
    for axes, label in ((langevin, "Langevin"), (flow, "gradient-flow")):
        shown = mesh(axes)
        expected = scan["escape_time"].sel(dynamics=label, m0=1e-4).values
        np.testing.assert_array_equal(
            np.asarray(shown.filled(np.nan)), np.where(np.isfinite(expected), expected, np.nan)
        )
    finite = scan["escape_time"].sel(m0=1e-4).values
    finite = finite[np.isfinite(finite)]
    assert langevin.collections[0].get_clim() == flow.collections[0].get_clim() == (finite.min(), finite.max())
    assert type(langevin.collections[0].norm).__name__ == "LogNorm"
    assert bar.get_ylabel() == "escape time, m = 0.5"
    assert (langevin.get_title(), flow.get_title()) == ("Langevin", "gradient flow")
    assert figure._suptitle.get_text() == "spiked matrix-tensor model, $p$ = 3, $m_0$ = $10^{-4}$"
    assert langevin.get_xlabel() == r"$\Delta_p$" and langevin.get_ylabel() == r"$\Delta_2$"
    assert flow.get_ylabel() == ""


def test_cells_without_a_value():
    scan = plane()
    figure = scan_plot.heat_map(scan, select={"m0": 1e-4, "dynamics": "Langevin"})
    axes = figure.axes[0]
    states = axes.collections[1].get_array()
    status = scan["status"].sel(dynamics="Langevin", m0=1e-4).values
    np.testing.assert_array_equal(states.filled(-1), np.where(status == MISSING, 0, np.where(status == FAILED, 1, -1)))
    (cross,) = (line for line in axes.lines if line.get_marker() == "x")
    assert (list(cross.get_xdata()), list(cross.get_ydata())) == ([0.5], [0.2])
    assert axes.patch.get_hatch() == "////"  # seen where neither mesh covers it: never
    never = mesh(axes).mask & states.mask
    np.testing.assert_array_equal(never, np.isinf(scan["escape_time"].sel(dynamics="Langevin", m0=1e-4).values))
    assert legend(figure) == ["never up to t = 100", "missing", "failed", "closed form: Langevin, T = 1"]
    figure = scan_plot.heat_map(scan, select={"m0": 1e-6, "dynamics": "gradient-flow"})
    assert legend(figure) == ["never up to t = 100", "closed form: gradient flow"]
    finished = scan.copy()
    finished["m_final"] = scan["m_final"].where(scan["delta2"] < 0.7)
    figure = scan_plot.heat_map(finished, "m_final", select={"m0": 1e-6, "dynamics": "Langevin"}, lines=False)
    assert legend(figure) == ["no value"]
    assert type(figure.axes[0].collections[0].norm).__name__ == "Normalize"


def test_edges_of_cells():
    axes = scan_plot.heat_map(plane(), select={"m0": 1e-4}).axes[0]
    x, y = np.unique(axes.collections[0].get_coordinates()[..., 0]), axes.collections[0].get_coordinates()[:, 0, 1]
    np.testing.assert_allclose(x, 0.25 * 2 ** np.arange(-0.5, 5.0))
    np.testing.assert_allclose(y, [0.1, 0.3, 0.5, 0.7, 0.9])
    assert (axes.get_xscale(), axes.get_yscale()) == ("log", "linear")
    np.testing.assert_allclose(axes.get_xlim(), x[[0, -1]])


@pytest.mark.parametrize(
    ("values", "scale", "edges"),
    [
        ([0.1, 0.2, 0.4], "log", 0.1 * 2 ** np.array([-0.5, 0.5, 1.5, 2.5])),
        ([0.1, 0.2, 0.3], "linear", [0.05, 0.15, 0.25, 0.35]),
        ([1.0, 2.0, 4.0, 5.0], "linear", [0.5, 1.5, 3.0, 4.5, 5.5]),
        ([1.0, 3.0, 12.0], "log", [3**-0.5, 3**0.5, 6.0, 24.0]),
        ([1e-6, 1e-4], "log", [1e-7, 1e-5, 1e-3]),
        ([0.4, 0.6], "linear", [0.3, 0.5, 0.7]),
        ([0.4], "linear", [0.2, 0.6]),
        ([0.0], "linear", [-0.5, 0.5]),
        ([-1.0, 1.0], "linear", [-2.0, 0.0, 2.0]),
        ([0.0, 1e-6, 1e-4], "ordinal", [-0.5, 0.5, 1.5, 2.5]),
        ([1.0, 2.0, np.inf], "ordinal", [-0.5, 0.5, 1.5, 2.5]),
        (["bayes", "ml"], "ordinal", [-0.5, 0.5, 1.5]),
    ],
)
def test_scales_and_edges(values, scale, edges):
    axis = Scale("x", np.array(values), best_kind(np.array(values)))
    assert axis.kind == scale
    np.testing.assert_allclose(axis.edges, edges)


def test_axes_in_any_order_and_with_a_single_value():
    scan = plane()
    reference = mesh(scan_plot.heat_map(scan, select={"m0": 1e-4}).axes[0])
    mixed = scan.isel(delta2=[2, 0, 3, 1], deltap=[4, 0, 1, 3, 2])
    np.testing.assert_array_equal(mesh(scan_plot.heat_map(mixed, select={"m0": 1e-4}).axes[0]), reference)
    figure = drawn(scan_plot.heat_map(scan.isel(m0=[0])))  # nothing to select
    np.testing.assert_array_equal(mesh(figure.axes[0]), reference)
    assert "$m_0$ = $10^{-4}$" in figure._suptitle.get_text()
    figure = drawn(scan_plot.heat_map(scan.isel(m0=0, deltap=[2])))
    assert mesh(figure.axes[0]).shape == (4, 1)
    assert figure.axes[0].get_xlim() == (0.5, 1.5) and list(figure.axes[0].get_xticks()) == [1.0]


def line_of(axes):
    return next(line for line in axes.lines if line.get_marker() in ("None", "", None))


def test_threshold_lines():
    langevin, flow = scan_plot.heat_map(plane(), select={"m0": 1e-4}).axes[:2]
    for axes, threshold in ((langevin, thresholds.langevin), (flow, thresholds.gradient_flow)):
        x, y = line_of(axes).get_data()
        np.testing.assert_allclose(y, threshold(3, x))
        np.testing.assert_allclose(x[[0, -1]], axes.get_xlim())
    figure = scan_plot.heat_map(plane(), select={"m0": 1e-4}, lines=False)
    assert not any("closed form" in text for text in legend(figure))


def test_threshold_beside_another_axis_is_straight():
    figure = drawn(scan_plot.heat_map(plane(), select={"deltap": 1.0, "dynamics": "gradient-flow"}))
    x, y = line_of(figure.axes[0]).get_data()
    np.testing.assert_allclose(x, thresholds.gradient_flow(3, 1.0))
    np.testing.assert_allclose(y[[0, -1]], figure.axes[0].get_ylim())
    assert figure.axes[0].get_xlabel() == r"$\Delta_2$" and figure.axes[0].get_ylabel() == "$m_0$"


def two_axes(axes, **more):
    """A scan of two axes in which everything is finished."""
    names = [path.rpartition(".")[2] for path in axes]
    shape = tuple(len(v) for v in axes.values())
    values = 0.1 + np.arange(np.prod(shape)).reshape(shape) / 100
    return gathered(axes, {"status": (names, np.ones(shape, np.int8)), "m_final": (names, values)}, **more)


SOFT = {"kind": "soft-sphere", "strength": 10.0}
BALL = {"kind": "heavy-ball", "learning_rate": 0.1, "momentum": 0.9}


@pytest.mark.parametrize(
    ("dynamics", "constraint", "label", "threshold"),
    [
        ({"kind": "langevin", "temperature": 0.5}, None, "Langevin, T = 0.5", lambda d: thresholds.langevin(3, d, 0.5)),
        ({"kind": "langevin", "temperature": 0}, None, "gradient flow", lambda d: thresholds.gradient_flow(3, d)),
        (FLOW, SOFT, "gradient flow", lambda d: thresholds.gradient_flow(3, d, 10.0)),
        (BALL, None, "gradient flow", lambda d: thresholds.gradient_flow(3, d)),
        ({"kind": "amp"}, None, "Bayes AMP leaves m = 0", lambda d: thresholds.amp(3, d)),
        ({"kind": "amp", "estimator": "ml"}, None, "maximum-likelihood AMP", lambda d: thresholds.ml_amp(3, d)),
        ({"kind": "langevin"}, SOFT, None, None),
        ({"kind": "underdamped-langevin", "mass": 1.0}, None, None, None),
        ({"kind": "langevin", "annealing": {"3": 2.0}}, None, None, None),
    ],
)
def test_threshold_of_each_dynamics(dynamics, constraint, label, threshold):
    model = MODEL if constraint is None else {**MODEL, "constraint": constraint}
    scan = two_axes({"model.delta2": [0.1, 0.6, 1.1], "model.deltap": DELTAP}, dynamics=(dynamics,), model=model)
    figure = drawn(scan_plot.heat_map(scan))
    assert legend(figure) == ([f"closed form: {label}"] if label else [])
    if label:
        x, y = line_of(figure.axes[0]).get_data()
        np.testing.assert_allclose(y, threshold(x))


def test_threshold_along_other_parameters():
    temperatures = {"model.delta2": DELTA2, "dynamics.temperature": [0.5, 1.0, 1.5]}
    figure = scan_plot.heat_map(two_axes(temperatures, model={**MODEL, "deltap": 1.0}))
    x, y = line_of(figure.axes[0]).get_data()
    np.testing.assert_allclose(x, [thresholds.langevin(3, 1.0, T) for T in y])
    assert legend(figure) == ["closed form: Langevin"]
    soft = {**MODEL, "deltap": 2.0, "constraint": SOFT}
    strengths = {"model.delta2": DELTA2, "model.constraint.strength": [1.0, 4.0, 16.0]}
    figure = scan_plot.heat_map(two_axes(strengths, model=soft, dynamics=(FLOW,)))
    for x, y in zip(*line_of(figure.axes[0]).get_data(), strict=True):
        assert x == thresholds.gradient_flow(3, 2.0, y)
    weak = two_axes({"model.delta2": [0.6, 1.2], "initial.m0": M0}, model={**MODEL, "deltap": "inf"})
    assert set(line_of(scan_plot.heat_map(weak).axes[0]).get_xdata()) == {1.0}


@pytest.mark.parametrize(
    "scan",
    [
        two_axes({"model.delta2": DELTA2, "model.p": [3, 4]}, model={"kind": MODEL["kind"], "deltap": 1.0}),
        two_axes({"model.deltap": DELTAP, "initial.m0": M0}, model={**MODEL, "delta2": 0.5}),
        two_axes({"model.alpha": [1.0, 2.0], "initial.m0": M0}, model={"kind": "phase-retrieval"}, dynamics=(FLOW,)),
        two_axes({"model.delta2": [0.5, 0.9, np.inf], "initial.m0": M0}, model={**MODEL, "deltap": 1.0}),
    ],
    ids=["p varies", "no delta2", "another model", "delta2 in words"],
)
def test_no_threshold(scan):
    figure = drawn(scan_plot.heat_map(scan))
    assert not figure.legends and all(line.get_marker() == "x" for line in figure.axes[0].lines)


def test_ordinal_axis_has_the_values_as_ticks():
    scan = two_axes({"model.delta2": DELTA2, "model.deltap": [1.0, 2.0, np.inf]})
    axes = drawn(scan_plot.heat_map(scan)).axes[0]
    assert [tick.get_text() for tick in axes.get_xticklabels()] == ["1", "2", r"$\infty$"]
    words = two_axes({"dynamics.estimator": ["bayes", "ml"], "model.deltap": DELTAP}, dynamics=({"kind": "amp"},))
    axes = drawn(scan_plot.heat_map(words)).axes[0]
    assert [tick.get_text() for tick in axes.get_xticklabels()] == ["bayes", "ml"]
    np.testing.assert_array_equal(mesh(axes), words["m_final"].values.T)  # in the order of the scan


def test_map_of_a_curve_at_a_time():
    scan = plane()
    figure = scan_plot.heat_map(scan, "m", select={"t": 31.0, "m0": 1e-6, "dynamics": "Langevin"})
    np.testing.assert_array_equal(mesh(figure.axes[0]), scan["m"].sel(t=30.0, m0=1e-6, dynamics="Langevin").values)
    assert "t = 30" in figure._suptitle.get_text()
    assert figure.axes[1].get_ylabel() == "overlap m"


def test_nothing_finished_yet():
    scan = plane()
    scan["status"][:] = MISSING
    scan["escape_time"][:] = np.nan
    figure = drawn(scan_plot.heat_map(scan, select={"m0": 1e-4}))
    assert len(figure.axes) == 2  # no colour bar
    assert mesh(figure.axes[0]).mask.all() and "missing" in legend(figure)
    (axes,) = drawn(scan_plot.along(scan, select={"m0": 1e-4, "deltap": 1.0})).axes
    assert all(np.isnan(line.get_ydata()).all() for line in axes.lines if line.get_linestyle() == "-")


def test_one_colour_and_zero_escape_times():
    scan = two_axes({"model.delta2": DELTA2, "model.deltap": DELTAP})
    scan["m_final"][:] = 0.3
    assert drawn(scan_plot.heat_map(scan)).axes[0].collections[0].get_clim() == (-0.2, 0.8)
    scan["escape_time"] = scan["m_final"] * 10
    assert drawn(scan_plot.heat_map(scan)).axes[0].collections[0].get_clim() == (1.5, 6.0)
    scan["escape_time"][0, 0] = 0.0  # a logarithm would hide it
    figure = drawn(scan_plot.heat_map(scan))
    assert not mesh(figure.axes[0]).mask.any() and figure.axes[0].collections[0].get_clim() == (0.0, 3.0)


# --- choosing ----------------------------------------------------------------------------------


def test_nearest_value():
    scan = plane()
    for wanted, found in ((0.31, 0.4), (-3, 0.2), (9.0, 0.8), (np.inf, 0.8), (0.6, 0.6)):
        assert float(selected(scan, {"delta2": wanted})["delta2"]) == found
    assert float(selected(scan, {"m0": 3e-5})["m0"]) == 1e-4  # 1e-6 is 30 times less
    assert float(selected(scan, {"m0": 0.0})["m0"]) == 1e-6
    far = two_axes({"model.delta2": DELTA2, "model.deltap": [1.0, np.inf]})
    for wanted, found in ((100.0, 1.0), (np.inf, np.inf)):
        assert float(selected(far, {"deltap": wanted})["deltap"]) == found


@pytest.mark.parametrize(
    ("draw", "error", "message"),
    [
        (
            lambda s: scan_plot.heat_map(s),
            ValueError,
            r"delta2 \(4 values\), deltap \(5 values\), m0 \(2 values\).*'m0'",
        ),
        (
            lambda s: scan_plot.heat_map(s, select={"m0": 1e-4, "deltap": 1}),
            ValueError,
            "only one left is delta2: use al",
        ),
        (lambda s: scan_plot.heat_map(s, select={"delta": 1}), ValueError, "unknown key 'delta'.*mean 'deltap'.*m0"),
        (lambda s: scan_plot.heat_map(s, select={"m0": "x"}), TypeError, r"select\['m0'\] must be a real number"),
        (
            lambda s: scan_plot.heat_map(s, select={"dynamics": "AMP"}),
            ValueError,
            "'AMP' is not.*'Langevin', 'gradient-fl",
        ),
        (lambda s: scan_plot.heat_map(s, select=["m0=1"]), TypeError, "select must be a mapping"),
        (lambda s: scan_plot.heat_map(s, "message"), ValueError, "name = 'message' is not allowed.*'m_final'"),
        (lambda s: scan_plot.heat_map("DIR"), TypeError, "xarray.Dataset of dmft.gather, got str"),
        (lambda s: scan_plot.heat_map(s.drop_attrs()), ValueError, "not a gathered scan"),
        (lambda s: scan_plot.heat_map(s.drop_vars("status")), ValueError, "not a gathered scan"),
        (lambda s: scan_plot.along(s), ValueError, r"along draws.*m0 \(2 values\).*select=\{'m0': 1e-06\}"),
        (lambda s: scan_plot.along(s, axis="x"), ValueError, "axis = 'x' is not allowed.*'delta2'"),
        (lambda s: scan_plot.curves(s), ValueError, "coloured along one axis.*delta2.*deltap.*m0"),
        (
            lambda s: scan_plot.curves(s, axis="m0"),
            ValueError,
            r"m0 \(2 values\), delta2 .*, deltap .*select=\{'deltap'",
        ),
        (lambda s: scan_plot.curves(s, "energy"), ValueError, "no curves of name = 'energy': those kept are m"),
        (lambda s: scan_plot.curves(s.drop_vars("m")), ValueError, r"none were kept \(curves in the plan"),
        (lambda s: scan_plot.curves(s, select={"t": 1.0}), ValueError, "'t' is the horizontal axis"),
        (lambda s: scan_plot.curves("DIR"), TypeError, "xarray.Dataset of dmft.gather, got str"),
    ],
)
def test_errors(draw, error, message):
    with pytest.raises(error, match=message) as info:
        draw(plane())
    assert "\n" not in str(info.value)


def test_axes_that_advance_together():
    axes = {"model.delta2": DELTA2, "run.t_max": [10.0, 20.0, 50.0, 100.0]}
    variables = {"status": ("delta2", np.ones(4, np.int8)), "m_final": ("delta2", [0.1, 0.2, 0.4, 0.3])}
    scan = gathered(axes, variables, zipped={"run.t_max": "model.delta2"}, model={**MODEL, "deltap": 1.0})
    line = drawn(scan_plot.along(scan, axis="t_max")).axes[0].lines[0]
    np.testing.assert_array_equal(line.get_data(), [[10.0, 20.0, 50.0, 100.0], [0.1, 0.2, 0.4, 0.3]])
    assert scan_plot.along(scan).axes[0].get_xlabel() == r"$\Delta_2$"
    assert float(selected(scan, {"t_max": 45.0})["delta2"]) == 0.6
    with pytest.raises(ValueError, match="'t_max' advances together"):
        scan_plot.along(scan, select={"delta2": 0.4, "t_max": 20.0})


def test_thresholds_along_zipped_axes():
    pairs = {"model.delta2": DELTA2, "model.deltap": [0.5, 1.0, 1.5, 2.0]}
    scan = gathered(
        {**pairs, "initial.m0": M0},
        {"status": (("delta2", "m0"), np.ones((4, 2), np.int8)), "m_final": (("delta2", "m0"), np.ones((4, 2)))},
        zipped={"model.deltap": "model.delta2"},
        model={**MODEL, "deltap": 7.0},  # replaced everywhere
        dynamics=(FLOW,),
    )
    for cut in (scan, scan.drop_vars("deltap")):
        assert not drawn(scan_plot.heat_map(cut)).legends
        figure = drawn(scan_plot.along(cut, select={"m0": 1e-4}))
        assert not figure.legends and "7" not in figure._suptitle.get_text()
    figure = scan_plot.along(scan.isel(m0=0), axis="deltap")
    assert figure.axes[0].get_xlabel() == r"$\Delta_p$" and not figure.legends


def test_unknown_parameters_have_no_line():
    scan = two_axes({"model.delta2": DELTA2, "model.deltap": DELTAP}, model={**MODEL, "deltap": 1.0})
    assert not scan_plot.along(scan.mean("deltap").assign(status=scan.status.isel(deltap=0, drop=True))).legends
    run = {"run.t_max": [10.0, 20.0, 30.0, 40.0]}
    never = strip(run={"t_max": 7.0, "events": RUN["events"]})
    plan = json.loads(never.attrs["plan"])
    never.attrs["plan"] = json.dumps({**plan, "scan": {**plan["scan"], **run}})
    assert legend(scan_plot.along(never))[0] == "never"
    annealed = two_axes({"model.delta2": DELTA2, "dynamics.annealing.3": [1.0, 2.0]}, model={**MODEL, "deltap": 1.0})
    assert not scan_plot.heat_map(annealed).legends


def test_strength_of_the_constraint_on_an_axis():
    soft = {**MODEL, "deltap": 2.0, "constraint": {"kind": "soft-sphere"}}
    strengths = {"model.delta2": DELTA2, "model.constraint.strength": [1.0, 4.0, 16.0]}
    scan = two_axes(strengths, model=soft, dynamics=(FLOW,))
    x, y = line_of(drawn(scan_plot.heat_map(scan)).axes[0]).get_data()
    np.testing.assert_allclose(x, [thresholds.gradient_flow(3, 2.0, k) for k in y])
    soft["constraint"]["strength"] = 99.0  # replaced everywhere
    title = scan_plot.heat_map(two_axes(strengths, model=soft))._suptitle.get_text()
    assert "constraint = soft sphere," in title and "99" not in title


# --- along -------------------------------------------------------------------------------------


def test_along_one_axis():
    figure = drawn(scan_plot.along(strip()))
    (axes,) = figure.axes
    np.testing.assert_array_equal(axes.lines[0].get_data(), [DELTA2, [5.0, 20.0, np.nan, np.nan]])
    assert axes.get_yscale() == "log" and axes.get_ylabel() == "escape time, m = 0.5"
    marks = {line.get_marker(): line for line in axes.lines}
    (x,), (y,) = marks["^"].get_data()
    assert x == 0.6 and 0.9 < y < 1 and marks["^"].get_markerfacecolor() == "none"
    assert marks["^"].get_transform() == axes.get_xaxis_transform()
    (x,), (y,) = marks["x"].get_data()
    assert x == 0.8 and 0 < y < 0.1
    assert legend(figure) == ["never up to t = 100", "failed", "closed form: Langevin, T = 1"]
    low, high = axes.transAxes.inverted().transform(axes.transData.transform([[0.2, 5.0], [0.4, 20.0]]))[:, 1]
    assert low > 0.08 and high < 0.92  # the data keep out of the strips of the marks
    vertical = next(line for line in axes.lines if line.get_linestyle() == "--")
    assert list(vertical.get_xdata()) == [thresholds.langevin(3, 1.0)] * 2


def test_along_a_line_per_value():
    scan = plane()
    figure = drawn(scan_plot.along(scan, select={"m0": 1e-4, "dynamics": "gradient-flow"}))
    (axes,) = figure.axes
    curves = [line for line in axes.lines if line.get_linestyle() == "-"]
    expected = scan["escape_time"].sel(m0=1e-4, dynamics="gradient-flow").values
    for line, values in zip(curves, expected.T, strict=True):
        np.testing.assert_array_equal(line.get_ydata(), np.where(np.isfinite(values), values, np.nan))
    assert entries(axes) == ["0.25", "0.5", "1", "2", "4"]
    assert axes.get_legend().get_title().get_text() == r"$\Delta_p$"
    assert (
        len({line.get_color() if isinstance(line.get_color(), str) else tuple(line.get_color()) for line in curves})
        == 5
    )
    vertical = {line.get_xdata()[0]: tuple(line.get_color()) for line in axes.lines if line.get_linestyle() == "--"}
    critical = thresholds.gradient_flow(3, np.array(DELTAP))
    assert sorted(vertical) == sorted(critical)
    assert [vertical[x] for x in critical] == [tuple(line.get_color()) for line in curves]
    assert legend(figure) == ["never up to t = 100", "closed form: gradient flow"]  # once
    heights = [line.get_ydata()[0] for line in axes.lines if line.get_marker() == "^"]
    assert len(set(heights)) == len(heights)  # triangles of different lines stay apart


def test_along_with_standard_errors_and_panels():
    scan = plane()
    figure = drawn(scan_plot.along(scan, "m_final", axis="deltap", select={"delta2": 0.4}))
    assert [axes.get_title() for axes in figure.axes] == ["Langevin", "gradient flow"]
    assert figure.axes[0].get_ylim() == figure.axes[1].get_ylim()
    assert figure.axes[0].get_xscale() == "log" and figure.axes[0].get_ylabel() == "final overlap m"
    y = scan["m_final"].sel(delta2=0.4, dynamics="Langevin", m0=1e-6).values
    segments = np.array(figure.axes[0].containers[0].lines[2][0].get_segments())
    np.testing.assert_allclose(segments[:, :, 1], np.stack([0.9 * y, 1.1 * y], axis=1))
    assert entries(figure.axes[1]) == ["$10^{-6}$", "$10^{-4}$"]


def test_along_colours_dynamics():
    figure = drawn(scan_plot.along(plane(), select={"m0": 1e-4, "deltap": 1.0}))
    (axes,) = figure.axes
    assert entries(axes) == ["Langevin", "gradient flow"]
    found = {line.get_color(): line.get_xdata()[0] for line in axes.lines if line.get_linestyle() == "--"}
    colours = [line.get_color() for line in axes.lines if line.get_linestyle() == "-"]
    assert found == {colours[0]: thresholds.langevin(3, 1.0), colours[1]: thresholds.gradient_flow(3, 1.0)}
    (key,) = figure.legends
    texts = [text.get_text() for text in key.get_texts()]
    closed = {text: handle.get_color() for text, handle in zip(texts, key.legend_handles, strict=True)}
    assert closed["closed form: Langevin, T = 1"] == colours[0]
    assert closed["closed form: gradient flow"] == colours[1]


def test_many_lines_have_a_colour_bar():
    deltap = list(np.geomspace(0.1, 10.0, 17))
    scan = two_axes({"model.delta2": DELTA2, "model.deltap": deltap})
    axes, bar = drawn(scan_plot.along(scan)).axes
    assert axes.get_legend() is None and bar.get_ylabel() == r"$\Delta_p$"
    np.testing.assert_allclose(bar.get_ylim(), (0.1, 10.0))
    assert bar.get_yscale() == "log"
    seeds = {"model.delta2": DELTA2, "simulation.seed": [f"s{i}" for i in range(14)]}
    words = two_axes(seeds, model={**MODEL, "deltap": 1.0})
    (axes,) = drawn(scan_plot.along(words)).axes
    assert len(entries(axes)) == 10 and entries(axes)[0] == "s0" and entries(axes)[-1] == "s13"


@pytest.mark.parametrize("number", [3, 6])
def test_thresholds_at_many_temperatures_have_one_name(number):
    temperatures = [0.5, 0.6, 0.7, 0.8, 0.9, 1.0][:number]
    axes = {"model.delta2": DELTA2, "dynamics.temperature": temperatures}
    figure = drawn(scan_plot.along(two_axes(axes, model={**MODEL, "deltap": 1.0})))
    vertical = [line.get_xdata()[0] for line in figure.axes[0].lines if line.get_linestyle() == "--"]
    np.testing.assert_array_equal(vertical, [thresholds.langevin(3, 1.0, T) for T in temperatures])
    named = [f"closed form: Langevin, T = {T}" for T in temperatures]
    assert legend(figure) == (named if number == 3 else ["closed form: Langevin"])


def test_several_events():
    variables = {
        "status": ("delta2", np.ones(4, np.int8)),
        "escape_time": (("delta2", "event"), [[1.0, 2.0], [2.0, 5.0], [3.0, np.inf], [np.inf, np.inf]]),
    }
    events = [{"name": "m", "level": 0.1}, {"name": "m", "level": 0.5}]
    scan = gathered(
        {"model.delta2": DELTA2}, variables, run={"steps": 10, "events": events}, model={**MODEL, "deltap": 4.0}
    )
    scan = scan.assign_coords(event=["m=0.1", "m=0.5"])
    figure = drawn(scan_plot.along(scan))
    assert entries(figure.axes[0]) == ["m=0.1", "m=0.5"] and figure.axes[0].get_ylabel() == "escape time"
    figure = drawn(scan_plot.along(scan, select={"event": "m=0.5"}))
    assert figure.axes[0].get_ylabel() == "escape time, m = 0.5"
    np.testing.assert_array_equal(figure.axes[0].lines[0].get_ydata(), [2.0, 5.0, np.nan, np.nan])
    assert legend(figure)[0] == "never"  # the plan gives a number of iterations and no time


EVENTS = [{"name": "m", "level": 0.1}, {"name": "m", "level": 0.5}]


def with_events(axes):
    """A scan with two events, the second twice as late."""
    names = [path.rpartition(".")[2] for path in axes]
    shape = tuple(len(v) for v in axes.values())
    first = 1.0 + np.arange(np.prod(shape)).reshape(shape)
    variables = {
        "status": (names, np.full(shape, EVENT, np.int8)),
        "escape_time": ((*names, "event"), np.stack([first, 2 * first], axis=-1)),
    }
    model = {"kind": MODEL["kind"], "p": 3, "delta2": 0.5, "deltap": 1.0}
    scan = gathered(axes, variables, run={"t_max": 100.0, "events": EVENTS}, model=model)
    return scan.assign_coords(event=["m=0.1", "m=0.5"])


def test_default_kind_with_several_events():
    scan = with_events({"model.delta2": DELTA2})
    axes = drawn(scan_plot.make(scan)).axes[0]
    assert entries(axes) == ["m=0.1", "m=0.5"] and axes.get_xlabel() == r"$\Delta_2$"
    with pytest.raises(ValueError, match="needs two axes, but the only one left is delta2"):
        scan_plot.make(scan, "heat-map")
    scan = with_events({"model.delta2": DELTA2, "initial.m0": M0})
    shown, bar = drawn(scan_plot.make(scan)).axes
    expected = scan["escape_time"].sortby("m0")
    np.testing.assert_array_equal(mesh(shown), expected.isel(event=0).transpose("m0", "delta2"))
    assert bar.get_ylabel() == "escape time, m = 0.1 (first of 2 events)"
    shown, bar = drawn(scan_plot.make(scan, select=["event=m=0.5"])).axes
    np.testing.assert_array_equal(mesh(shown), expected.isel(event=1).transpose("m0", "delta2"))
    assert bar.get_ylabel() == "escape time, m = 0.5"
    (axes,) = drawn(scan_plot.along(scan)).axes
    assert entries(axes) == ["$10^{-6}$", "$10^{-4}$"]
    assert axes.get_ylabel() == "escape time, m = 0.1 (first of 2 events)"
    np.testing.assert_array_equal(axes.lines[0].get_ydata(), expected.isel(event=0, m0=0))
    (axes,) = drawn(scan_plot.along(scan, axis="event", select={"m0": 1e-4})).axes
    assert [tick.get_text() for tick in axes.get_xticklabels()] == ["m=0.1", "m=0.5"]
    with pytest.raises(ValueError, match=r"axes left are delta2 .*, m0 .*, seed \(2 values\)"):
        scan_plot.make(with_events({"model.delta2": DELTA2, "initial.m0": M0, "simulation.seed": [1, 2]}))


def test_a_curve_in_the_plane_of_time_and_an_axis():
    scan = plane().isel(deltap=1)
    figure = drawn(scan_plot.heat_map(scan, "m", select={"m0": 1e-4, "dynamics": "Langevin"}))
    assert figure.axes[0].get_ylabel() == "t" and mesh(figure.axes[0]).shape == (11, 4)
    assert mesh(figure.axes[0]).mask[:, 0].all()  # failed there


def test_values_of_failed_points_are_not_drawn():
    scan = plane()
    scan["m_final"].loc[{"dynamics": "Langevin", "delta2": 0.2, "deltap": 0.5, "m0": 1e-4}] = 1e6  # failed there
    figure = scan_plot.heat_map(scan, "m_final", select={"m0": 1e-4})
    assert figure.axes[0].collections[0].get_clim() == (0.01, 0.5) and mesh(figure.axes[0]).mask[0, 1]
    figure = scan_plot.along(scan, "m_final", select={"m0": 1e-4, "deltap": 0.5})
    assert np.isnan(figure.axes[0].lines[0].get_ydata()[0])


def test_each_dynamics_has_its_own_run():
    ball = {"kind": "heavy-ball", "learning_rate": 0.1, "momentum": 0.0, "temperature": 0.0, "run": {"steps": 500}}
    scan = plane((LANGEVIN, ball))
    figure = drawn(scan_plot.heat_map(scan, select={"m0": 1e-6}, lines=False))
    assert legend(figure) == ["never up to t = 100", "failed", "never in 500 iterations"][::2]
    scan = strip(
        dynamics=({**LANGEVIN, "run": {"t_max": 7.0, "events": [{"name": "energy", "level": -1e-4}]}},), run={}
    )
    figure = scan_plot.along(scan)
    assert legend(figure)[0] == "never up to t = 7"
    assert figure.axes[0].get_ylabel() == r"escape time, energy = $-10^{-4}$"
    title = scan_plot.along(plane((LANGEVIN, ball)), select={"dynamics": "heavy-ball", "m0": 1e-4})._suptitle.get_text()
    assert title.replace("\n", " ").endswith(
        "heavy ball, learning rate = 0.1, momentum = 0, $T$ = 0, $m_0$ = $10^{-4}$"
    )


# --- curves ------------------------------------------------------------------------------------


def test_curves_along_an_axis():
    scan = plane()
    figure = drawn(scan_plot.curves(scan, axis="delta2", select={"m0": 1e-4, "deltap": 1.0}))
    assert [axes.get_title() for axes in figure.axes] == ["Langevin", "gradient flow"]
    for axes, label in zip(figure.axes, ("Langevin", "gradient-flow"), strict=True):
        expected = scan["m"].sel(dynamics=label, deltap=1.0, m0=1e-4).values
        for line, values in zip(axes.lines, expected, strict=True):
            np.testing.assert_array_equal(line.get_data(), [T, values])
        assert axes.get_xlim() == (0.0, 100.0) and axes.get_xlabel() == "t"
    assert entries(figure.axes[1]) == ["0.2", "0.4", "0.6", "0.8"]
    assert figure.axes[0].get_ylabel() == "overlap m"
    logarithmic = drawn(scan_plot.curves(scan, axis="delta2", select={"m0": 1e-4, "deltap": 1.0}, log_t=True)).axes[0]
    assert logarithmic.get_xscale() == "log" and logarithmic.get_xlim() == (10.0, 100.0)


def test_curves_of_the_dynamics():
    descent = {"kind": "gradient-descent", "learning_rate": 0.1}
    scan = plane((LANGEVIN, descent)).isel(delta2=0, deltap=0)
    (axes,) = drawn(scan_plot.curves(scan, select={"m0": 1e-4})).axes
    assert entries(axes) == ["Langevin", "gradient descent"] and axes.get_xlabel() == "t, or iteration"
    (axes,) = drawn(scan_plot.curves(scan, axis="dynamics", select={"m0": 1e-4})).axes
    assert len(axes.lines) == 2
    scan["status"].loc[{"dynamics": "Langevin", "m0": 1e-4}] = FAILED
    figure = scan_plot.curves(scan, select={"m0": 1e-4})  # up to where it failed
    assert [line.get_linestyle() for line in figure.axes[0].lines] == [":", "-"] and legend(figure) == ["failed"]
    with pytest.raises(ValueError, match=r"curves are coloured along one axis, but the axes left are m0"):
        scan_plot.curves(scan, axis="dynamics")
    (axes,) = drawn(scan_plot.curves(scan, select={"m0": 1e-4, "dynamics": "gradient-descent"})).axes
    assert axes.get_xlabel() == "iteration" and len(axes.lines) == 1 and axes.get_legend() is None


def noisy():
    """A strip with curves and their standard errors, of which the last failed and diverged."""
    m = np.outer([0.9, 0.6, 0.3, 1e5], np.tanh(T / 10))
    variables = {
        "status": ("delta2", np.array([EVENT, FINISHED, FINISHED, FAILED], dtype=np.int8)),
        "m": (("delta2", "t"), m),
        "m_stderr": (("delta2", "t"), 0.05 * m),
        "m_final": ("delta2", m[:, -1]),
        "m_stderr_final": ("delta2", 0.05 * m[:, -1]),
    }
    return gathered({"model.delta2": DELTA2}, variables, model={**MODEL, "deltap": 1.0}, simulation={"N": 500})


def test_bands_and_limits_of_curves():
    scan = noisy()
    (axes,) = drawn(scan_plot.curves(scan)).axes
    assert [line.get_linestyle() for line in axes.lines] == ["-", "-", "-", ":"]
    assert len(axes.collections) == 3  # bands
    vertices = axes.collections[0].get_paths()[0].vertices
    np.testing.assert_allclose(vertices[:, 1].max(), 1.1 * scan["m"].isel(delta2=0).max())
    low, high = axes.get_ylim()
    assert -0.1 < low < 0 and 0.99 < high < 1.1  # not 1e5
    np.testing.assert_array_equal(axes.lines[3].get_ydata(), scan["m"][3])
    (axes,) = drawn(scan_plot.curves(scan, select={"delta2": 0.8})).axes  # it alone
    assert axes.get_ylim()[1] > 9e4
    (axes,) = drawn(scan_plot.along(scan, "m", select={"t": 100.0})).axes  # errors at one time
    np.testing.assert_allclose(
        np.array(axes.containers[0].lines[2][0].get_segments()[0])[:, 1], 0.9 * np.tanh(10) * np.array([0.95, 1.05])
    )


def test_curves_of_single_values():
    scan = noisy()
    scan["m"][1, 1:] = np.nan
    (axes,) = drawn(scan_plot.curves(scan)).axes
    assert [line.get_marker() for line in axes.lines] == ["None", "o", "None", "None"]
    (axes,) = drawn(scan_plot.curves(scan.isel(t=[3]))).axes
    assert {line.get_marker() for line in axes.lines if np.isfinite(line.get_ydata()).any()} == {"o"}
    with pytest.raises(ValueError, match="log_t: curves were kept at t = 0 only"):
        scan_plot.curves(scan.isel(t=[0]), log_t=True)


def test_theory_over_simulation():
    simulation = noisy().isel(delta2=[0, 1, 2])
    theory = simulation.drop_vars(["m_stderr", "m_stderr_final"]).isel(t=slice(None, 6))
    theory["m"], theory["m_final"] = 1.02 * theory["m"], 1.02 * theory["m_final"]
    plan = json.loads(theory.attrs["plan"])
    theory.attrs["plan"] = json.dumps({k: v for k, v in plan.items() if k != "simulation"})
    both = {"theory": theory, "simulation": simulation}
    (axes,) = (figure := drawn(scan_plot.curves(both))).axes
    lines = [line for line in axes.lines if line.get_linestyle() == "-"]
    assert len(lines) == len(axes.containers) == 3 and not any(line.get_marker() == "o" for line in lines)
    assert lines[0].get_data()[1].tolist() == theory["m"][0].values.tolist()
    points = axes.containers[0].lines[0]
    assert (points.get_linestyle(), points.get_marker()) == ("None", "o")
    np.testing.assert_array_equal(points.get_ydata(), simulation["m"][0])
    assert axes.get_xlim() == (0.0, 100.0) and entries(axes) == ["0.2", "0.4", "0.6"]
    assert legend(figure) == ["theory", "simulation ($N$ = 500)"] and "$N$" not in figure._suptitle.get_text()
    (axes,) = (figure := drawn(scan_plot.along(both))).axes
    (line, _, _), (points, _, bars) = (one.lines for one in axes.containers)
    assert (line.get_linestyle(), line.get_marker()) == ("-", "") and points.get_linestyle() == "None"
    np.testing.assert_array_equal(line.get_ydata(), theory["m_final"])
    np.testing.assert_array_equal(points.get_ydata(), simulation["m_final"])
    assert len(bars) == 1
    assert legend(figure) == ["theory", "simulation ($N$ = 500)"]  # the closed form is beyond the axis
    other = theory.assign_coords(delta2=[0.2, 0.4, 0.7])
    for draw in (scan_plot.curves, scan_plot.along):
        with pytest.raises(ValueError, match=r"need the same axes.* those of 'a' and 'b' differ"):
            draw({"a": theory, "b": other})
    with pytest.raises(ValueError, match="at least one"):
        scan_plot.curves({})
    two = plane().isel(delta2=0, m0=0)
    two["m"].loc[{"dynamics": "Langevin", "deltap": 0.5}] = 1e3 * T  # failed there
    with pytest.raises(ValueError, match="need the same dynamics"):
        scan_plot.curves({"a": two, "b": two.isel(dynamics=0)}, axis="deltap")
    figure = drawn(scan_plot.curves({"a": two, "b": two}, axis="deltap"))
    assert len(figure.axes) == 2 and legend(figure) == ["a", "b", "failed"]
    assert figure.axes[0].get_ylim()[1] < 1


def test_closed_forms_beside_simulations():
    scan = two_axes({"model.delta2": DELTA2, "model.deltap": DELTAP}, simulation={"N": 500})
    named = r"closed form ($N = \infty$): Langevin, T = 1"
    assert legend(drawn(scan_plot.heat_map(scan))) == [named]
    assert legend(drawn(scan_plot.along(scan, select={"deltap": 1.0}))) == [named]


# --- titles and the command line ---------------------------------------------------------------


def test_title_has_the_fixed_parameters():
    model = {**MODEL, "deltap": "inf", "constraint": SOFT}
    scan = strip(simulation={"N": 500, "samples": 20, "seed": 3}, dynamics=({"kind": "langevin", "temperature": 2e-4},))
    plan = json.loads(scan.attrs["plan"])
    scan.attrs["plan"] = json.dumps({**plan, "model": model})
    text = scan_plot.along(scan)._suptitle.get_text().replace("\n", " ")
    assert text == (
        "spiked matrix-tensor model, $p$ = 3, $\\Delta_p$ = $\\infty$, constraint = soft sphere (strength = 10), "
        "Langevin, $T$ = $2\\times10^{-4}$, $m_0$ = 0.001, $N$ = 500, samples = 20"
    )
    scan.attrs["plan"] = json.dumps(
        {**plan, "model": {**model, "constraint": {"kind": "sphere", "method": "normalize"}}}
    )
    assert "constraint" not in scan_plot.along(scan)._suptitle.get_text()
    other = {"kind": "phase-retrieval", "alpha": 3.0, "loss": "square", "noise": 0.0, "constraint": {"kind": "sphere"}}
    scan.attrs["plan"] = json.dumps({**plan, "model": other})
    assert scan_plot.along(scan)._suptitle.get_text().startswith(r"phase retrieval, $\alpha$ = 3, loss = square, Lang")


def test_many_dynamics_are_in_rows():
    scan = plane((FLOW, {**FLOW, "label": "b"})).isel(delta2=[0], m0=0)
    several = xarray.concat(
        [scan, scan], "dynamics", data_vars="minimal", coords="minimal", join="override", compat="override"
    )
    several["dynamics"] = list("abcd")
    tables = {**json.loads(scan.attrs["plan"]), "dynamics": [{**FLOW, "label": label} for label in "abcd"]}
    several.attrs["plan"] = json.dumps(tables)
    figure = drawn(scan_plot.heat_map(several))
    panels = figure.axes[:4]
    assert [axes.get_title() for axes in panels] == list("abcd")
    assert [bool(axes.get_ylabel()) for axes in panels] == [True, False, False, True]
    rows = [round(axes.get_position().y0, 2) for axes in panels]
    assert rows[0] == rows[1] == rows[2] > rows[3]


def test_make():
    scan = plane()
    assert scan_plot.KINDS == ("heat-map", "along", "curves")
    figure = scan_plot.make(scan, select=["m0=1e-6", "dynamics=Langevin"])
    np.testing.assert_array_equal(
        mesh(figure.axes[0]).filled(np.inf), scan["escape_time"].sel(m0=1e-6, dynamics="Langevin").values
    )
    assert len(scan_plot.make(scan, select=["m0=1e-6", "deltap=1", "dynamics=Langevin"]).axes[0].containers) == 1
    assert len(scan_plot.make(scan, axis="deltap", select={"m0": 1e-6, "dynamics": "Langevin"}).axes[0].containers) == 4
    for options in ({"kind": "curves"}, {"name": "m"}):
        figure = scan_plot.make(scan, select=["m0=1e-6", "deltap=1"], log_t=True, **options)
        assert figure.axes[0].get_xscale() == "log" and len(figure.axes[0].lines) == 4
    for options, message in (
        ({"kind": "pie"}, "kind = 'pie' is not allowed"),
        ({"select": ["m0"]}, "select: 'm0' is not of the form AXIS=VALUE"),
        ({"select": ["m0=1e-4"], "log_t": True}, "log_t is for the kind 'curves'"),
        ({"select": ["m0=1e-4"], "kind": "heat-map", "axis": "delta2"}, "axis = 'delta2' is not allowed: a heat map"),
    ):
        with pytest.raises(ValueError, match=message):
            scan_plot.make(scan, **options)


def test_from_a_file(tmp_path):
    pytest.importorskip("h5netcdf")
    plane().to_netcdf(tmp_path / "gathered.h5", engine="h5netcdf")
    with scan_plot.read(tmp_path / "gathered.h5") as scan:
        figure = drawn(scan_plot.make(scan, select=["m0=1e-4"]))
    np.testing.assert_array_equal(mesh(figure.axes[1]), mesh(scan_plot.heat_map(plane(), select={"m0": 1e-4}).axes[1]))


def test_models_without_overlap():
    scan = two_axes(
        {"dynamics.temperature": [0.1, 0.2], "model.g": [1.0, 2.0, 3.0]},
        model={"kind": "mixed-spin", "couplings": {"2": 0.5}},
    )
    scan = scan.rename(m_final="energy_final").assign(t_final=("temperature", [1.0, 1.0]))
    figure = drawn(scan_plot.heat_map(scan))
    assert figure.axes[1].get_ylabel() == "final energy per N"
    assert figure._suptitle.get_text().startswith("mixed p-spin model, couplings = 2: 0.5, Langevin")
    assert isinstance(scan_plot.heat_map(scan), type(dmft.plot.phase_diagram(3)))


def test_standard_errors_are_variables_like_others():
    scan = noisy().drop_vars("m_final").assign(energy_stderr_final=("delta2", [0.1] * 4))
    with pytest.raises(ValueError, match="name = None is not allowed"):
        scan_plot.along(scan.drop_vars(["m", "m_stderr"]))
    (axes,) = drawn(scan_plot.along(scan, "energy_stderr_final")).axes
    assert axes.get_ylabel() == "final energy per N, standard error"


# --- the command line --------------------------------------------------------------------------


@pytest.fixture(scope="module")
def directory(tmp_path_factory):
    """A gathered scan of zipped axes and another one, with two events and curves."""
    pytest.importorskip("h5netcdf")
    directory = tmp_path_factory.mktemp("scan") / "d"
    scan = dmft.Scan(
        dmft.SpikedMatrixTensor(p=3, delta2=0.2, deltap=1.0),
        dmft.GradientFlow(),
        over={"delta2": [0.2, 0.3], "t_max": [1.0, 2.0], "m0": {"start": 0.1, "stop": 0.9, "num": 9}},
        zip=[["delta2", "t_max"]],
        events=[dmft.Crossing("m", 0.2, terminal=False), dmft.Crossing("m", 0.3, terminal=False)],
        curves=[0.0, 1.0],
    )
    scan.run(directory, workers=1, progress=False)
    dmft.gather(directory)
    return directory


def test_names_of_figures(directory, capsys):
    file = str(directory / "gathered.h5")
    assert main(["plot", file]) == 0
    assert main(["plot", file, "--kind", "along", "--axis", "delta2"]) == 0
    assert main(["plot", file, "--kind", "curves", "--select", "m0=0.1"]) == 0
    names = [f"gathered{end}.png" for end in ("", "-along", "-curves")]
    assert capsys.readouterr().out.split() == [str(directory / name) for name in names]
    assert main(["plot", file]) == 2
    assert "gathered.png exists and is kept" in capsys.readouterr().err
    run = directory / "run.h5"
    dmft.solve(dmft.SpikedMatrixTensor(p=3, delta2=0.5, deltap=1.0), dmft.GradientFlow(), t_max=0.5).save(run)
    assert main(["plot", str(run)]) == main(["plot", str(run), "--kind", "overlap"]) == 0
    assert capsys.readouterr().out.split() == [str(directory / "run.png"), str(directory / "run-overlap.png")]


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (["--variable", "mm"], "--variable 'mm' is not allowed"),
        (["--kind", "curves", "--variable", "x"], "there are no curves of --variable 'x': those kept are"),
        (["--select", "x=1"], "--select: unknown key 'x'"),
        (["--select", "m0=x"], "--select m0 must be a real number"),
        (["--kind", "along", "--axis", "x"], "--axis 'x' is not allowed"),
        (["--log-t"], "--log-t is for the kind 'curves'"),
        (["--kind", "heat-map", "--select", "m0=0.1"], "use --kind along, or --kind curves if they were kept"),
        (["--kind", "curves", "--select", "t=1"], "use --kind along or --kind heat-map for one time"),
        (["--variable", "m_final", "--kind", "curves"], "there are no curves of --variable 'm_final'"),
        (["--kind", "curves", "--axis", "t_max"], "e.g. --select m0=0.1"),
        (["--kind", "../x"], "--kind '../x' is not allowed: choose one of heat-map, along, curves"),
    ],
)
def test_messages_speak_of_flags(directory, tmp_path, capsys, flags, message):
    assert main(["plot", str(directory / "gathered.h5"), "-o", str(tmp_path / "x.png"), *flags]) == 2
    error = capsys.readouterr().err
    assert message in error and error.count("\n") == 1
    assert "select={" not in error and "name =" not in error


def test_a_directory_is_no_file(directory, capsys):
    file = directory / "gathered.h5"
    for command in ("plot", "info"):
        assert main([command, str(directory)]) == 2
        expected = f"{directory} is a directory: give {file} (dmft scan gather {directory} writes it)"
        assert capsys.readouterr().err == f"dmft {command}: {expected}\n"


def test_info_of_a_scan(directory, capsys):
    file = str(directory / "gathered.h5")
    assert main(["info", file, "--json"]) == 0
    data = json.loads(capsys.readouterr().out)
    assert (data["points"], data["finished"], data["failed"], data["missing"]) == (18, 18, 0, 0)
    axes = {name: (axis["dimension"], axis["values"]) for name, axis in data["axes"].items()}
    assert axes["delta2"] == ("delta2", [0.2, 0.3]) and axes["t_max"] == ("delta2", [1.0, 2.0])
    assert axes["event"] == ("event", ["m=0.2", "m=0.3"]) and axes["t"][1] == [0.0, 1.0]
    assert len(axes["m0"][1]) == 9 and list(axes)[:2] == ["delta2", "m0"]
    assert {"status", "escape_time", "m_final", "m"} <= set(data["variables"])
    assert not set(axes) & set(data["variables"]) and {"dmft_version", "created"} <= set(data)
    assert main(["info", file]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert "points           18: 18 finished, 0 failed, 0 missing" in lines
    assert "axis             delta2: 0.2, 0.3" in lines and "axis             m0: 9 values, 0.1 ... 0.9" in lines
    assert "axis             t_max (along delta2): 1, 2" in lines
