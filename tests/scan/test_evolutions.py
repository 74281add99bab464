"""Solutions of state evolutions, which are points of a scan, in files of their own."""

import json

import h5py
import numpy as np
import pytest

import dmft
from dmft.cli import main
from dmft.plot import KINDS

MODEL = dmft.SpikedMatrixTensor(3, 0.5, 1.0)
EVENT = dmft.Crossing("m", 0.3)


@pytest.fixture
def path(tmp_path):
    """The file of a point."""
    scan = dmft.Scan(MODEL, dmft.AMP(), over={"m0": [0.1]}, solutions=True, steps=50, events=EVENT)
    assert scan.run(tmp_path / "scan", workers=1).finished == 1
    (file,) = (tmp_path / "scan" / "solutions").iterdir()
    return file


def test_every_field_comes_back(path, tmp_path):
    sol = dmft.load(path)
    run = dmft.amp.state_evolution(MODEL, m0=0.1, steps=50)
    for name, y in sol.scalars.items():
        np.testing.assert_array_equal(y, getattr(run, name))
    assert (sol.model, sol.dynamics, sol.integrator) == (MODEL, dmft.AMP(), None)
    assert (sol.status, sol.message) == ("finished", "the fixed point was reached")
    assert sol.converged
    assert [o.event for o in sol.events] == [EVENT]
    assert sol.events[0].time == sol.escape_time("m", 0.3)
    assert sol.spec["run"] == {"steps": 50, "events": [EVENT.table()]}
    assert sol.spec["initial"] == {"m0": 0.1}
    assert sol.C is sol.R is sol.paths is None
    assert sol.stderr == {}
    assert {"seconds", "steps", "created", "versions"} <= set(sol.stats)
    again = dmft.load(sol.save(tmp_path / "again.h5"))
    for name in ("spec", "status", "message", "stats", "events", "model", "dynamics", "integrator"):
        assert getattr(again, name) == getattr(sol, name), name
    for name, y in sol.scalars.items():
        np.testing.assert_array_equal(again.scalars[name], y)
    with h5py.File(path) as f:
        assert f.attrs["created"] == sol.stats["created"]
        assert f.attrs["steps"] == len(sol.t) - 1
    assert set(sol.to_xarray()) == set(sol.scalars)


def test_the_command_line_reads_it(path, capsys):
    assert main(["info", str(path)]) == 0
    assert "AMP(estimator='bayes')" in capsys.readouterr().out
    assert main(["info", str(path), "--json"]) == 0
    answer = json.loads(capsys.readouterr().out)
    assert answer["final"]["m"] == dmft.load(path).m[-1]


def test_plots(path, capsys):
    """What is there is drawn, what is not is refused in words."""
    drawn = {"overview", "overlap", "energy"}
    for kind in KINDS:
        code = main(["plot", str(path), "--kind", kind, "--out", f"{kind}.png"])
        assert code == (0 if kind in drawn else 2), kind
        assert kind in drawn or capsys.readouterr().err.startswith("dmft plot: ")
