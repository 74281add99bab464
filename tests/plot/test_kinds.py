"""Kinds of figures are registered; models and dynamics speak for themselves."""

import ast
import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest

import dmft
from dmft.cli import main
from dmft.dynamics import DYNAMICS
from dmft.equations.scalars import scalar
from dmft.models import CONSTRAINTS, MODELS
from dmft.plot import scans as scan_plot
from dmft.plot.words import symbol
from dmft.thresholds.pairing import Line, line_of

figures = pytest.importorskip("matplotlib.figure")
ROOM = Path(dmft.__file__).parent / "plot"


@pytest.fixture(autouse=True)
def clean(monkeypatch):
    """Kinds of a test are forgotten, and those of other tests and examples are not seen."""
    room = dmft.plot.kinds.__globals__
    ours = {"run": dmft.plot.KINDS, "scan": scan_plot.KINDS}
    ours = {of: {name: room["_known"][of][name] for name in names} for of, names in ours.items()}
    monkeypatch.setitem(room, "_known", ours)


def figure_of(values):
    figure = figures.Figure()
    figure.subplots().plot(values)
    return figure


@pytest.fixture
def run(tmp_path):
    sol = dmft.solve(dmft.MixedSpin({3: 0.5}), dmft.Langevin(), t_max=0.5)
    sol.save(tmp_path / "run.h5")
    return sol


def test_a_user_s_kind_of_a_run(run, tmp_path, capsys):
    @dmft.plot.kind("twice", of="run")
    def twice(solution, *, factor=2.0):
        return figure_of(factor * solution.t)

    (line,) = dmft.plot.make(run, "twice", factor=3.0).axes[0].lines
    np.testing.assert_array_equal(line.get_ydata(), 3.0 * run.t)
    assert dmft.plot.kinds("run") == (*dmft.plot.KINDS, "twice")
    assert main(["plot", str(tmp_path / "run.h5"), "--kind", "twice"]) == 0
    assert capsys.readouterr().out.strip() == str(tmp_path / "run-twice.png")
    assert main(["plot", str(tmp_path / "run.h5"), "--kind", "thrice"]) == 2
    assert "fdt, twice" in capsys.readouterr().err
    with pytest.raises(ValueError, match="t_w is for the kind 'correlation' or 'response', not 'twice'"):
        dmft.plot.make(run, "twice", t_w=1.0)
    with pytest.raises(ValueError, match="colour is an option of no kind of figures, not 'twice'"):
        dmft.plot.make(run, "twice", colour="red")


def small(model=None, **tables):
    """A gathered scan of one axis."""
    xarray = pytest.importorskip("xarray")
    model = {"kind": "spiked-matrix-tensor", "p": 3, "deltap": 1.0} if model is None else model
    plan = {"model": model, "dynamics": [{"kind": "langevin"}], "scan": {"model.delta2": [0.4, 0.6]}, **tables}
    values = {"status": ("delta2", np.ones(2, np.int8)), "m_final": ("delta2", [0.9, 0.1])}
    return xarray.Dataset(values, {"delta2": [0.4, 0.6]}, {"format": "dmft-scan", "plan": json.dumps(plan)})


def test_a_user_s_kind_of_a_scan():
    @dmft.plot.kind("bare", of="scan")
    def bare(scan, *, select=None):
        return figure_of(scan["m_final"].sel(select or {}).values)

    assert list(scan_plot.make(small(), "bare").axes[0].lines[0].get_ydata()) == [0.9, 0.1]
    assert list(scan_plot.make(small(), "bare", select=["delta2=0.6"]).axes[0].lines[0].get_ydata()) == [0.1]
    with pytest.raises(ValueError, match="axis is for the kind 'heat-map' or 'along' or 'curves', not 'bare'"):
        scan_plot.make(small(), "bare", axis="delta2")


def test_names_are_taken_once():
    def again(solution):
        return figure_of(solution.t)

    with pytest.raises(ValueError, match=r"kind = 'energy' is taken by dmft\.plot\.runs\.energy"):
        dmft.plot.kind("energy", of="run")(again)
    dmft.plot.kind("energy", of="scan")(again)  # another register
    assert dmft.plot.kind("energy", of="scan")(again) is again
    with pytest.raises(ValueError, match="of = 'film' is not allowed"):
        dmft.plot.kind("x", of="film")


def half():
    return 0.5


def test_a_line_of_a_user_s_model():
    @dataclass(frozen=True)
    class Other(dmft.GaussianLandscape):
        delta2: float
        kind = "other-example"
        label = "another model"
        planted = True
        coefficients = {3: 0.5}

    scan = small({"kind": "other-example"})
    assert not dmft.plot.along(scan).legends

    @line_of.register
    def _(model: Other, dynamics):
        return Line("half", half, {})

    try:
        figure = dmft.plot.along(scan)
        assert [text.get_text() for text in figure.legends[0].get_texts()] == ["closed form: half"]
        assert figure._suptitle.get_text() == "another model, Langevin"
    finally:
        del MODELS["other-example"]
    title = dmft.plot.along(scan)._suptitle.get_text()  # its class is not imported
    assert title == "other example, Langevin"


def test_symbols():
    known = ("delta2", "deltap", "p", "alpha", "temperature", "m0", "N", "learning_rate", "mu", "m", "error")
    found = [symbol(name) for name in known]
    assert found[:8] == [r"$\Delta_2$", r"$\Delta_p$", "$p$", r"$\alpha$", "$T$", "$m_0$", "$N$", "learning rate"]
    assert found[8:] == [scalar(name).label for name in known[8:]]


def docstrings(tree):
    nodes = [n for n in ast.walk(tree) if isinstance(n, ast.Expr) and isinstance(n.value, ast.Constant)]
    return {id(n.value) for n in nodes}


def test_no_kind_of_a_model_or_dynamics_is_named():
    taken = {*MODELS, *DYNAMICS, *CONSTRAINTS}
    for path in ROOM.glob("*.py"):
        tree = ast.parse(path.read_text())
        skip = docstrings(tree)
        constants = [n for n in ast.walk(tree) if isinstance(n, ast.Constant) and id(n) not in skip]
        assert not {n.value for n in constants if isinstance(n.value, str)} & taken, path
