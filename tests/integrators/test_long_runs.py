"""LogTime through solve: the default for long runs, events, files, checkpoints, command line, plots."""

import json

import numpy as np
import pytest

import dmft
from dmft import estimate
from dmft.cli import main

GLASS = dmft.MixedSpin({3: 0.5})
PLANTED = dmft.SpikedMatrixTensor(3, 0.4, 0.5)
QUICK = dmft.LogTime(rtol=1e-4, pilot=False)


@pytest.fixture(scope="module")
def glass():
    return dmft.solve(GLASS, dmft.Langevin(0.5), t_max=300.0, integrator=QUICK)


@pytest.fixture(scope="module")
def escape():
    event = dmft.Crossing("m", 0.5, terminal=False)
    return dmft.solve(PLANTED, dmft.Langevin(1.0), t_max=400.0, m0=1e-3, integrator=QUICK, events=event)


def test_default_by_cost():
    assert estimate(GLASS, dmft.GradientFlow(), t_max=20.0)["dt"] is not None
    assert estimate(GLASS, dmft.GradientFlow(), t_max=1e4)["dt"] is None  # steps that grow
    short = dmft.solve(GLASS, dmft.GradientFlow(), t_max=1.0)
    assert short.integrator == dmft.UniformGrid() and "UniformGrid" in short.stats["integrator"]
    soft = dmft.MixedSpin({3: 0.5}, dmft.SoftSphere(1.0))
    for model, dynamics in (
        (soft, dmft.GradientFlow()),
        (GLASS, dmft.UnderdampedLangevin(1.0)),
        (GLASS, dmft.Langevin(1.0, dmft.Annealing.exponential(3, 1.0, 2.0))),
    ):
        assert estimate(model, dynamics, t_max=2e3)["dt"] is not None
        with pytest.raises(ValueError, match=r"integrator = LogTime\(\.\.\.\) is not allowed with"):
            dmft.solve(model, dynamics, t_max=10.0, integrator=dmft.LogTime())
    with pytest.raises(ValueError, match=r"use ExactRecursion\(\.\.\.\)"):
        dmft.solve(GLASS, dmft.GradientDescent(0.1), steps=5, integrator=dmft.LogTime())


def test_agrees_with_the_uniform_grid(glass):
    reference = dmft.solve(GLASS, dmft.Langevin(0.5), t_max=10.0)
    t = np.array([0.3, 1.0, 3.3, 7.7, 10.0])
    np.testing.assert_allclose(glass.interpolate("energy", t), reference.interpolate("energy", t), atol=1e-4)
    np.testing.assert_allclose(glass.C(t, 0.4 * t), reference.C(t, 0.4 * t), atol=1e-4)
    np.testing.assert_allclose(glass.R(t, 0.4 * t), reference.R(t, 0.4 * t), atol=1e-4)


def test_escape_is_found_and_located(escape):
    (crossing,) = escape.events
    assert crossing.time == escape.escape_time("m", 0.5)
    assert abs(escape.interpolate("m", crossing.time) - 0.5) < 1e-9
    stopped = dmft.solve(
        PLANTED, dmft.Langevin(1.0), t_max=400.0, m0=1e-3, integrator=QUICK, events=dmft.Crossing("m", 0.5)
    )
    assert stopped.status == "event" and stopped.t[-1] < escape.t[-1]
    assert stopped.events[0].time == pytest.approx(crossing.time, rel=1e-4)
    assert stopped.C(stopped.t[-1], 1.0) == pytest.approx(escape.C(stopped.t[-1], 1.0), abs=1e-3)


@pytest.mark.parametrize("name", ["glass", "escape"])
def test_file(name, request, tmp_path):
    sol = request.getfixturevalue(name)
    path = sol.save(tmp_path / "long.h5")
    back = dmft.load(path)
    t = np.linspace(0.1, sol.t[-1], 40)
    for f, g in ((sol.C, back.C), (sol.R, back.R)):
        np.testing.assert_array_equal(f(t, 0.3 * t), g(t, 0.3 * t))
        np.testing.assert_array_equal(f.values, g.values)
    np.testing.assert_array_equal(sol.interpolate("energy", t), back.interpolate("energy", t))
    assert back.escape_time("m", 0.4) == sol.escape_time("m", 0.4)
    assert back.integrator == QUICK and back.spec == sol.spec
    xarray = pytest.importorskip("xarray")
    with xarray.open_dataset(path, engine="h5netcdf") as data:
        np.testing.assert_allclose(data.C.sel(t=sol.t[-1]).values, sol.C(sol.t[-1], sol.t))
    assert sol.to_xarray().R.shape == (len(sol.t), len(sol.t))


def test_kept_rows(tmp_path):
    kept = dmft.solve(GLASS, dmft.GradientFlow(), t_max=50.0, integrator=QUICK, save_at=[1.0, 20.0, 50.0])
    assert kept.C.t.tolist() == [1.0, 20.0, 50.0]
    back = dmft.load(kept.save(tmp_path / "kept.h5"))
    for sol in (kept, back):
        assert sol.C(20.0, 3.0) == kept.C(20.0, 3.0)
        with pytest.raises(ValueError, match="not one of the 3 stored rows"):
            sol.C(21.0, 3.0)


@pytest.mark.parametrize("pilot", [False, True])
def test_checkpoint_and_resume_bit_for_bit(pilot, tmp_path):
    integrator = dmft.LogTime(rtol=1e-4, pilot=pilot)
    arguments = dict(t_max=20.0, m0=1e-3, integrator=integrator)
    whole = dmft.solve(PLANTED, dmft.Langevin(1.0), **arguments)
    for seconds in (1e-9, 0.1):
        path = tmp_path / f"{seconds}.ckpt"
        checkpoint = dmft.Checkpoint(path, time_limit=seconds)
        part = dmft.solve(PLANTED, dmft.Langevin(1.0), **arguments, checkpoint=checkpoint)
        assert part.status == "interrupted"
        assert main(["info", str(path)]) == 0
        resumed = dmft.resume(path)
        np.testing.assert_array_equal(resumed.t, whole.t)
        np.testing.assert_array_equal(resumed.m, whole.m)
        np.testing.assert_array_equal(resumed.C.values, whole.C.values)
        assert resumed.stats["error"] == whole.stats["error"]


def test_command_line(capsys):
    argv = ["solve", "--p", "3", "--delta2", "0.4", "--deltap", "0.5", "--m0", "1e-3", "--t-max", "120"]
    argv += ["--integrator", "log-time", "--rtol", "1e-4", "--event", "m=0.5", "-o", "long.h5", "--plot", "long.png"]
    assert main(argv) == 0
    assert "m crosses 0.5 at t = " in capsys.readouterr().err
    for kind in ("overlap", "energy", "correlation", "response", "fdt"):
        assert main(["plot", "long.h5", "--kind", kind, "-o", f"{kind}.png"]) == 0
    assert main(["info", "long.h5", "--json"]) == 0
    assert json.loads(capsys.readouterr().out.splitlines()[-1])["stats"]["events"]
    assert main([*argv[:9], "--t-max", "1e6", "--dry-run"]) == 0
    assert "dt growing" in capsys.readouterr().out
