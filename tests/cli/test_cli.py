"""The command line, run as processes where signals and exit codes matter."""

import contextlib
import json
import os
import signal
import subprocess
import sys

import numpy as np
import pytest
from scans import solving

import dmft
from dmft.cli import main

PROBLEM = ["--p", "3", "--delta2", "0.4", "--deltap", "1", "--m0", "0.05", "--t-max", "4"]


def test_solve_info_and_plot(capsys, tmp_path):
    assert main(["solve", *PROBLEM, "-o", "run.h5", "--plot", "run.png", "--json", "--event", "m=0.1"]) == 0
    captured = capsys.readouterr()
    answer = json.loads(captured.out)
    sol = dmft.load("run.h5")
    assert answer["final"]["m"] == sol.m[-1]
    assert answer["events"][0]["time"] == sol.escape_time("m", 0.1)
    assert "wrote run.h5" in captured.err
    assert (tmp_path / "run.png").read_bytes()[:4] == b"\x89PNG"
    assert main(["info", "run.h5"]) == 0
    assert "delta2=0.4" in capsys.readouterr().out
    assert main(["info", "run.h5", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["stats"]["order"] == 8
    for kind in ("overlap", "energy", "multiplier", "correlation", "response", "fdt"):
        assert main(["plot", "run.h5", "--kind", kind, "-o", f"{kind}.pdf"]) == 0
        assert (tmp_path / f"{kind}.pdf").stat().st_size > 1000


def test_spec_file_and_flags_that_override(tmp_path, capsys):
    (tmp_path / "run.toml").write_text(
        """
        [model]
        kind = "spiked-matrix-tensor"
        p = 3
        delta2 = inf
        deltap = 1.0
        [dynamics]
        kind = "langevin"
        temperature = 0.5
        [dynamics.annealing]
        3 = {kind = "exponential", amplitude = 2.0, tau = 1.0}
        [initial]
        m0 = 0.1
        [integrator]
        rtol = 1e-4
        [run]
        t_max = 1.0
        save_at = [0.5, 1.0]
        events = [{name = "mu", level = 1.0, terminal = false}]
        """
    )
    assert main(["solve", "--spec", "run.toml", "--delta2", "0.4", "--dt", "0.02", "--quiet"]) == 0
    sol = dmft.load("dmft-run.h5")
    assert sol.model == dmft.SpikedMatrixTensor(3, 0.4, 1.0)
    assert sol.dynamics == dmft.Langevin(0.5, dmft.Annealing.exponential(3, 2.0, 1.0))
    assert sol.integrator == dmft.UniformGrid(dt=0.02)
    np.testing.assert_array_equal(sol.C.t, [0.5, 1.0])
    assert capsys.readouterr() == ("", "")


def test_mixed_spin_gradient_flow_and_stop(capsys):
    argv = ["solve", "--coupling", "3=0.5", "--coupling", "4=0.1", "--dynamics", "gradient-flow", "--t-max", "50"]
    assert main([*argv, "--stop-at", "energy=-1.0", "-o", "g.h5"]) == 0
    sol = dmft.load("g.h5")
    assert sol.status == "event"
    assert sol.model == dmft.MixedSpin({3: 0.5, 4: 0.1})
    assert "energy crosses -1" in capsys.readouterr().err


SOFT = ["--p", "3", "--delta2", "1", "--deltap", "0.667", "--strength", "10", "--m0", "0.1"]


def test_discrete_and_massive_dynamics(capsys):
    argv = ["solve", *SOFT, "--dynamics", "nesterov", "--learning-rate", "0.01", "--momentum", "lambda"]
    assert main([*argv, "--steps", "50", "-o", "n.h5", "--plot", "n.png", "--event", "energy=-0.5"]) == 0
    sol = dmft.load("n.h5")
    assert sol.dynamics == dmft.Nesterov(0.01, "lambda") and sol.model.constraint == dmft.SoftSphere(10.0)
    assert "energy crosses -0.5" in capsys.readouterr().err
    for kind in set(dmft.plot.KINDS) - {"losses"}:
        assert main(["plot", "n.h5", "--kind", kind, "-o", f"{kind}.png"]) == 0
    argv = ["solve", *SOFT[:6], "--method", "lagrange", "--dynamics", "heavy-ball", "--learning-rate", "0.01"]
    assert main([*argv, "--momentum", "0.9", "--steps", "50", "-o", "b.h5"]) == 0
    assert dmft.load("b.h5").model.constraint == dmft.Sphere("lagrange")
    argv = ["solve", *SOFT, "--dynamics", "underdamped-langevin", "--mass", "0.9", "--temperature", "0"]
    assert main([*argv, "--initial-velocity", "0.5", "--t-max", "2", "-o", "m.h5", "--plot", "m.png"]) == 0
    assert dmft.load("m.h5").dynamics == dmft.UnderdampedLangevin(0.9, 1.0, 0.0, 0.5)
    argv = ["solve", *SOFT, "--dynamics", "gradient-descent", "--learning-rate", "0.1", "--steps", "300", "--dry-run"]
    capsys.readouterr()
    assert main([*argv, "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["steps"] == 300


def test_spec_file_of_a_discrete_dynamics(tmp_path):
    (tmp_path / "run.toml").write_text(
        """
        [model]
        kind = "mixed-spin"
        couplings = {3 = 0.5}
        constraint = {kind = "soft-sphere", strength = 5.0}
        [dynamics]
        kind = "heavy-ball"
        learning_rate = {kind = "piecewise", times = [0, 1], values = [0.05, 0.1]}
        momentum = 0.5
        [run]
        steps = 20
        """
    )
    assert main(["solve", "--spec", "run.toml", "-o", "a.h5", "--quiet"]) == 0
    sol = dmft.load("a.h5")
    assert sol.dynamics == dmft.HeavyBall(dmft.Piecewise((0, 1), (0.05, 0.1)), 0.5)
    assert sol.R(1, 0) == 0.05 and sol.R(3, 2) == 0.1 and sol.t[-1] == 20
    argv = [
        "--spec",
        "run.toml",
        "--constraint",
        "sphere",
        "--momentum",
        "0.6",
        "--learning-rate",
        "0.2",
        "--steps",
        "5",
    ]
    assert main(["solve", *argv, "-o", "b.h5", "--quiet"]) == 0
    sol = dmft.load("b.h5")
    assert sol.model == dmft.MixedSpin({3: 0.5}) and sol.dynamics == dmft.HeavyBall(0.2, 0.6) and sol.t[-1] == 5
    argv = ["--spec", "run.toml", "--dynamics", "gradient-flow", "--t-max", "1", "-o", "c.h5", "--quiet"]
    assert main(["solve", *argv]) == 0
    assert dmft.load("c.h5").model.constraint == dmft.SoftSphere(5.0)
    argv = ["--model", "spiked-matrix-tensor", "--p", "3", "--delta2", "1", "--deltap", "1", "--quiet"]
    assert main(["solve", "--spec", "run.toml", *argv, "-o", "d.h5"]) == 0  # the constraint stays
    assert dmft.load("d.h5").model.constraint == dmft.SoftSphere(5.0)
    (tmp_path / "flow.toml").write_text(
        """
        [model]
        kind = "mixed-spin"
        couplings = {3 = 0.5}
        [dynamics]
        kind = "gradient-flow"
        [integrator]
        rtol = 1e-4
        threads = 2
        [run]
        t_max = 1.0
        """
    )
    argv = ["--spec", "flow.toml", "--dynamics", "nesterov", "--learning-rate", "0.1", "--steps", "5", "--quiet"]
    assert main(["solve", *argv, "-o", "e.h5"]) == 0
    assert dmft.load("e.h5").integrator == dmft.ExactRecursion(threads=2)
    assert main(["solve", *argv, "--dry-run", "--stop-at", "foo=1"]) == 2


def test_simulate_discrete_dynamics():
    argv = ["simulate", *SOFT, "--dynamics", "heavy-ball", "--learning-rate", "0.05", "--momentum", "0.5"]
    assert main([*argv, "--steps", "12", "--N", "20", "--samples", "2", "--records", "5", "-o", "s.h5", "--quiet"]) == 0
    sim = dmft.load("s.h5")
    assert sim.t.tolist() == [0, 3, 6, 9, 12] and sim.dynamics == dmft.HeavyBall(0.05, 0.5)
    assert "gradient_norm" in sim.stderr
    argv = ["simulate", "--p", "3", "--delta2", "0.4", "--deltap", "1", "--m0", "0.2", "--dynamics", "amp", "--N", "30"]
    assert main([*argv, "--estimator", "ml", "--steps", "4", "--samples", "2", "-o", "a.h5", "--quiet"]) == 0
    assert dmft.load("a.h5").dynamics == dmft.AMP("ml")


def test_amp(capsys):
    argv = ["amp", "--p", "3", "--delta2", "1.05", "--deltap", "0.5"]
    assert main([*argv, "--plot", "amp.png"]) == 0
    assert "converges to m = 0" in capsys.readouterr().out
    assert main([*argv, "--m0", "0.9", "--json"]) == 0
    answer = json.loads(capsys.readouterr().out)
    model = dmft.SpikedMatrixTensor(3, 1.05, 0.5)
    assert answer["fixed_point"]["m"] == dmft.amp.state_evolution(model, m0=0.9).fixed_point.m
    assert [point["stability"] for point in answer["fixed_points"]] == ["stable", "unstable", "stable"]
    assert main(["amp", "--alpha", "1.2", "--m0", "0.001"]) == 0
    assert "converges to m = 1 " in capsys.readouterr().out
    for bad in (["--p", "3"], ["--alpha", "1.2", "--p", "3"], [*argv[1:], "--noise", "0.1"], [*argv[1:], "--m0", "2"]):
        assert main(["amp", *bad]) == 2
        assert len(capsys.readouterr().err.splitlines()) == 1


def test_threshold_lines(capsys):
    argv = ["threshold", "lines", "--p", "4", "--deltap", "0.1:10:7"]
    assert main([*argv, "--plot", "lines.png"]) == 0
    header, *rows = capsys.readouterr().out.splitlines()
    table = np.array([[float(x) for x in row.split(",")] for row in rows]).T
    assert header.split(",")[0] == "deltap" and table.shape == (len(header.split(",")), 7)
    lines = dmft.thresholds.lines(4, np.geomspace(0.1, 10, 7))
    for name, column in zip(header.split(",")[1:], table[1:], strict=True):
        np.testing.assert_array_equal(column, lines[name])
    assert main([*argv, "-o", "lines.h5"]) == main([*argv, "-o", "lines.csv"]) == main([*argv, "-o", "lines.json"]) == 0
    xarray = pytest.importorskip("xarray")
    with xarray.open_dataset("lines.h5", engine="h5netcdf") as data:
        np.testing.assert_array_equal(data["gradient_flow"], lines["gradient_flow"])
        assert data["gradient_flow"].dims == ("deltap",) and data.attrs["p"] == 4
    assert main([*argv, "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["deltap"][0] == pytest.approx(0.1)
    assert main([*argv, "-o", "lines.h5"]) == 2
    assert "exists and is kept" in capsys.readouterr().err
    for bad in (["--p", "2", "--deltap", "1"], ["--p", "3", "--deltap", "-1"]):
        assert main(["threshold", "lines", *bad]) == 2
    with pytest.raises(SystemExit):
        main(["threshold", "lines", "--p", "3", "--deltap", "1:2"])


def test_simulate(capsys):
    argv = ["simulate", "--p", "3", "--delta2", "0.4", "--deltap", "1", "--m0", "0.2", "--t-max", "0.5"]
    assert main([*argv, "--N", "20", "--samples", "3", "--records", "5", "-o", "sim.h5", "--plot", "sim.png"]) == 0
    assert dmft.load("sim.h5").stderr["m"].shape == (5,)


def test_dry_run_touches_nothing(capsys, tmp_path):
    assert main(["solve", *PROBLEM, "--dt", "0.01", "--dry-run"]) == 0
    out = capsys.readouterr().out
    assert "steps 402" in out
    assert "bytes" in out
    assert main(["solve", *PROBLEM, "--dt", "0.01", "--dry-run", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["bytes"] > 16 * 401 * 402 / 2
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("argv", "text"),
    [
        (["--p", "2", "--delta2", "1", "--deltap", "1", "--t-max", "1"], "p = 2 is not allowed"),
        (["--p", "3", "--delta2", "-1", "--deltap", "1", "--t-max", "1"], "delta2 = -1.0 is not allowed"),
        (["--p", "3", "--delta2", "nan", "--deltap", "1", "--t-max", "1"], "nan is not allowed"),
        (["--p", "3", "--delta2", "1", "--t-max", "1"], "deltap must be given"),
        (["--p", "3.5", "--delta2", "1", "--deltap", "1"], "invalid int value: '3.5'"),
        (["--p", "3", "--delta2", "1", "--deltap", "1"], "t_max must be given"),
        ([*PROBLEM[:-1], "-4"], "t_max = -4.0 is not allowed"),
        ([*PROBLEM[:-1], "inf"], "t_max = inf is not allowed"),
        ([*PROBLEM, "--m0", "1.5"], "m0 = 1.5 is not allowed"),
        ([*PROBLEM, "--dt", "5"], "dt = 5.0 is not allowed: it must be at most t_max"),
        ([*PROBLEM, "--dt", "0.1", "--rtol", "0.1"], "give only one"),
        ([*PROBLEM, "--rtol", "2"], "rtol = 2.0 is not allowed"),
        ([*PROBLEM, "--threads", "0"], "threads = 0 is not allowed"),
        ([*PROBLEM, "--temperature", "-1"], "temperature = -1.0 is not allowed"),
        ([*PROBLEM, "--dynamics", "gradient-flow", "--temperature", "1"], "unknown key 'temperature'"),
        ([*PROBLEM, "--coupling", "3:1"], "not of the form ORDER=STRENGTH"),
        ([*PROBLEM, "--annealing", "3:cosine:1"], "not of the form ORDER:TEMPERATURE"),
        ([*PROBLEM, "--annealing", "4:2.0"], "order 4 is not a channel"),
        ([*PROBLEM, "--annealing", "3:-1"], "temperatures[3] = -1.0 is not allowed"),
        ([*PROBLEM, "--stop-at", "x=1"], "name = 'x' is not allowed"),
        ([*PROBLEM, "--stop-at", "m"], "not of the form NAME=LEVEL"),
        ([*PROBLEM, "--save-at", "1,x"], "not a comma-separated list"),
        ([*PROBLEM, "--save-at", "1,9"], "save_at covers"),
        ([*PROBLEM, "--plot", "run.xyz"], "unknown figure format"),
        ([*PROBLEM, "-o", "none/run.h5"], "directory of none/run.h5 does not exist"),
        ([*PROBLEM, "--time-limit", "1"], "--checkpoint-every need --checkpoint"),
        ([*PROBLEM, "--checkpoint", "c", "--time-limit", "-1"], "time_limit = -1.0 is not allowed"),
        ([*PROBLEM, "--checkpoint-every", "5"], "--checkpoint-every need --checkpoint"),
        ([*PROBLEM, "--checkpoint", "none/c"], "directory of none/c does not exist"),
        ([*PROBLEM, "-o", "x.h5", "--checkpoint", "x.h5"], "x.h5 is given for two different outputs"),
        ([*PROBLEM, "-o", "x.png", "--plot", "./x.png"], "x.png is given for two different outputs"),
        ([*PROBLEM, "-o", "."], "is a directory"),
        ([*PROBLEM, "-o", "/proc/x.h5"], "/proc/x.h5 cannot be written"),
        ([*PROBLEM, "--dt", "1e-300"], "bytes for C and R"),
        ([*PROBLEM, "--temperature", "1e300"], "bytes"),
        ([*PROBLEM, "--spec", "none.toml"], "none.toml: No such file"),
        ([*PROBLEM, "--unknown"], "unrecognized arguments: --unknown"),
        (["--coupling", "3=1", "--t-max", "1", "--m0", "0.1"], "MixedSpin has no signal"),
        (["--coupling", "3=-1", "--t-max", "1"], "couplings[3] = -1.0 is not allowed"),
        (["--coupling", "1=1", "--t-max", "1"], "the order p = 1 is not allowed"),
        (["--p", "3", "--delta2", "1", "--deltap", "1", "--t-max", "1e9", "--dt", "0.01"], "bytes for C and R"),
    ],
)
def test_bad_usage_is_one_line_and_exit_2(argv, text, capsys, tmp_path):
    try:
        code = main(["solve", *argv])
    except SystemExit as stop:
        code = stop.code
    captured = capsys.readouterr()
    assert code == 2
    assert captured.out == ""
    assert text in captured.err
    assert captured.err.count("\n") == 1
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[model]\nq = 3", "unknown key 'q'"),
        ("[modle]\np = 3", "unknown key 'modle' (did you mean 'model'?)"),
        ("[run]\ntmax = 3", "unknown key 'tmax' (did you mean 't_max'?)"),
        ("[model]\np = 'three'", "p must be an integer"),
        ("[dynamics]\nkind = 'langevine'", "dynamics.kind = 'langevine' is not allowed"),
        ("[integrator]\nstep = 1", "unknown key 'step'"),
        ("model = 3", "model must be a table"),
        ("[run]\nsave_at = 'often'", "save_at"),
        ("[run]\nevents = 3", "run.events must be a list of tables"),
        ("[dynamics]\nkind = ['langevin']", "dynamics.kind = ['langevin'] is not allowed"),
        ("[dynamics.annealing]\n3 = {kind = 'linear'}", "kind = 'linear' is not allowed"),
        ("[run]\nevents = [{name = 'm'}]", "run.events"),
        ("[initial]\nm0 = true", "m0 must be a real number"),
        ("[model", "spec.toml"),
    ],
)
def test_bad_spec_is_one_line_and_exit_2(text, message, capsys, tmp_path):
    (tmp_path / "spec.toml").write_text(text)
    flags = [] if "model" in text or "m0" in text else PROBLEM
    tensor = [] if "p = '" in text else ["--p", "3"]
    flags = [*flags, "--delta2", "1", "--deltap", "1", "--t-max", "1", *tensor]
    assert main(["solve", *flags, "--spec", "spec.toml"]) == 2
    captured = capsys.readouterr()
    assert message in captured.err
    assert captured.err.count("\n") == 1
    assert [p.name for p in tmp_path.iterdir()] == ["spec.toml"]


def test_existing_output_is_kept(capsys, tmp_path):
    (tmp_path / "run.h5").write_text("precious")
    assert main(["solve", *PROBLEM, "-o", "run.h5"]) == 2
    assert "exists and is kept" in capsys.readouterr().err
    assert (tmp_path / "run.h5").read_text() == "precious"
    assert main(["plot", "run.h5", "-o", "x.png"]) == 2
    assert "not a readable HDF5 file" in capsys.readouterr().err


def test_solver_failure_keeps_the_partial_result(capsys):
    argv = ["solve", "--coupling", "3=5", "--t-max", "10", "--dt", "0.5", "-o", "part.h5"]
    with pytest.raises(SystemExit) as stop:
        main(argv)
    assert stop.value.code == 1
    assert "did not converge" in capsys.readouterr().err
    assert dmft.load("part.h5").status == "failed"


LONG = [sys.executable, "-m", "dmft.cli", "solve", *PROBLEM[:-1], "40", "--dt", "0.005", "-o", "run.h5"]


def start_and_signal(argv, number):
    process = subprocess.Popen(argv, stderr=subprocess.PIPE, text=True)
    solving(process, 2.0)
    process.send_signal(number)
    _, err = process.communicate(timeout=120)
    return process.returncode, err


def test_ctrl_c_leaves_a_usable_partial_file():
    code, err = start_and_signal(LONG, signal.SIGINT)
    assert code == 130, err
    sol = dmft.load("run.h5")
    assert sol.status == "interrupted"
    assert len(sol.t) > 1


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGUSR1])
def test_signals_write_a_checkpoint_and_exit_75(number, tmp_path):
    code, err = start_and_signal([*LONG, "--checkpoint", "c.ckpt"], number)
    assert code == 75, err
    assert "dmft resume c.ckpt -o run.h5 continues" in err
    assert not (tmp_path / "run.h5").exists()
    assert main(["resume", "c.ckpt", "-o", "run.h5", "--time-limit", "0.5", "--quiet"]) == 75


def test_time_limit_and_resume(tmp_path):
    argv = ["solve", *PROBLEM, "--dt", "0.01", "--checkpoint", "c.ckpt", "--quiet"]
    code = main([*argv, "--time-limit", "1e-6"])
    assert code == 75
    while code == 75:
        code = main(["resume", "c.ckpt", "--time-limit", "0.02", "--quiet", "-o", "run.h5"])
    assert code == 0
    assert [p.name for p in tmp_path.iterdir()] == ["run.h5"]
    whole = dmft.solve(
        dmft.SpikedMatrixTensor(3, 0.4, 1.0), dmft.Langevin(), t_max=4.0, m0=0.05, integrator=dmft.UniformGrid(dt=0.01)
    )
    np.testing.assert_array_equal(dmft.load("run.h5").m, whole.m)


def test_module_runs_without_a_terminal():
    run = subprocess.run(
        [sys.executable, "-m", "dmft.cli", "--version"], capture_output=True, text=True, env=os.environ, check=True
    )
    assert run.stdout.startswith("dmft ")


def test_negative_numbers_are_values():
    assert main(["solve", *PROBLEM, "--m0", "-1e-2", "--t-max", "1", "--quiet"]) == 0
    assert dmft.load("dmft-run.h5").m[0] == -0.01


def test_result_of_an_interrupted_run_may_be_replaced_by_its_continuation(capsys):
    kwargs = dict(t_max=4.0, m0=0.05, integrator=dmft.UniformGrid(dt=0.01))
    model = dmft.SpikedMatrixTensor(3, 0.4, 1.0)
    part = dmft.solve(model, dmft.Langevin(), checkpoint="c.ckpt", callback=lambda s: s.step > 50, **kwargs)
    part.save("run.h5")
    dmft.solve(model, dmft.GradientFlow(), callback=lambda s: s.step > 50, **kwargs).save("other.h5")
    assert main(["resume", "c.ckpt", "-o", "other.h5"]) == 2
    assert "other.h5 exists and is kept" in capsys.readouterr().err
    assert main(["resume", "c.ckpt", "-o", "run.h5", "--quiet"]) == 0
    assert dmft.load("run.h5").status == "finished"


def test_a_reader_that_goes_away_is_no_error():
    assert main(["solve", *PROBLEM, "--t-max", "1", "--quiet"]) == 0
    command = f"{sys.executable} -m dmft.cli info dmft-run.h5 | true; exit ${{PIPESTATUS[0]}}"
    run = subprocess.run(["bash", "-c", command], capture_output=True, text=True)
    assert (run.returncode, run.stderr) == (0, "")


def test_info_of_a_checkpoint_of_a_discrete_run(capsys):
    model = dmft.SpikedMatrixTensor(3, 1.0, 0.667, dmft.SoftSphere(10.0))
    dmft.solve(model, dmft.Nesterov(0.01), steps=300, checkpoint="n.ckpt", callback=lambda s: s.step == 70)
    assert main(["info", "n.ckpt", "--json"]) == 0
    answer = json.loads(capsys.readouterr().out)
    assert answer["steps"] == 300 and 70 <= answer["t"] < 300
    assert main(["resume", "n.ckpt", "-o", "n.h5"]) == 0
    assert dmft.load("n.h5").t[-1] == 300


def test_info_of_a_checkpoint(capsys):
    argv = ["solve", *PROBLEM, "--dt", "0.01", "--checkpoint", "c.ckpt", "--quiet", "--time-limit", "1e-6"]
    assert main(argv) == 75
    assert main(["info", "c.ckpt", "--json"]) == 0
    answer = json.loads(capsys.readouterr().out)
    assert answer["stage"] == "pilot run"
    assert 0 < answer["t"] < answer["t_max"] == 4.0
    assert main(["info", "c.ckpt"]) == 0
    assert "pilot run" in capsys.readouterr().out


PHASE = ["--alpha", "2", "--learning-rate", "0.01", "--m0", "0.2"]
FEW_PATHS = ["--paths", "512", "--scrambles", "2"]


def test_phase_retrieval(capsys):
    argv = ["solve", *PHASE, "--loss", "normalized", "--a", "0.5", "--noise", "0.1", "--strength", "0.2", *FEW_PATHS]
    argv += ["--dynamics", "stochastic-gradient-descent", "--batch-fraction", "0.5", "--momentum", "0.3", "--nesterov"]
    argv += [
        "--learning-rate",
        "0.003",
        "--persistence-time",
        "0.1",
        "--steps",
        "12",
        "--seed",
        "3",
        "--response-paths",
        "64",
        "--keep-paths",
    ]
    assert main([*argv, "--rank-tol", "1e-6", "--max-rank", "40", "-o", "p.h5", "--plot", "p.png", "--quiet"]) == 0
    sol = dmft.load("p.h5")
    assert sol.model == dmft.PhaseRetrieval(2.0, "normalized", a=0.5, noise=0.1, constraint=dmft.Ridge(0.2))
    assert sol.dynamics == dmft.StochasticGradientDescent(0.003, 0.5, 0.3, True, 0.1)
    assert sol.integrator == dmft.SampledPaths(512, 2, 3, 1, 1e-6, 40, response_paths=64, keep_paths=True)
    assert sol.R is not None and len(sol.laws(12)) == 2
    assert main(["info", "p.h5", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["final"]["train_loss"] == sol.scalars["train_loss"][-1]
    assert main(["plot", "p.h5", "--kind", "losses", "-o", "losses.png"]) == 0
    assert main(["solve", *PHASE, "--steps", "10", *FEW_PATHS, "--dry-run"]) == 0  # gradient descent, the default
    assert "memory" in capsys.readouterr().out
    argv = ["solve", "--alpha", "2", "--dynamics", "gradient-flow", "--t-max", "0.2", "--dt", "0.02", *FEW_PATHS]
    assert main([*argv, "-o", "flow.h5", "--quiet"]) == 0
    assert dmft.load("flow.h5").stats["error"]["m"] < 1


def test_phase_retrieval_is_simulated():
    argv = ["simulate", *PHASE, "--steps", "6", "--N", "40", "--samples", "3", "--records", "3"]
    assert main([*argv, "--eigenvalues", "2", "--success-overlap", "0.5", "-o", "s.h5"]) == 0
    assert {"success", "hessian_1", "hessian_2", "hessian_overlap"} <= set(dmft.load("s.h5").scalars)


def test_phase_retrieval_stops_and_resumes():
    argv = ["solve", *PHASE, "--steps", "40", *FEW_PATHS, "--quiet"]
    assert main([*argv, "-o", "whole.h5"]) == 0
    assert main([*argv, "-o", "part.h5", "--checkpoint", "c.ckpt", "--time-limit", "1e-9"]) == 75
    assert main(["resume", "c.ckpt", "-o", "part.h5", "--quiet"]) == 0
    np.testing.assert_array_equal(dmft.load("part.h5").m, dmft.load("whole.h5").m)


def test_phase_retrieval_from_a_file(tmp_path):
    spec = tmp_path / "run.toml"
    spec.write_text(
        '[model]\nkind = "phase-retrieval"\nalpha = 2.0\nconstraint = {kind = "ridge", strength = 0.1}\n'
        '[dynamics]\nkind = "heavy-ball"\nlearning_rate = 0.01\nmomentum = 0.5\n'
        "[initial]\nm0 = 0.2\n[integrator]\npaths = 512\nscrambles = 2\n[run]\nsteps = 8\n"
        'events = [{name = "train_loss", level = 0.6, terminal = false}]\n'
    )
    assert main(["solve", "--spec", str(spec), "--seed", "5", "-o", "f.h5", "--quiet"]) == 0
    sol = dmft.load("f.h5")
    assert sol.integrator.seed == 5 and sol.model.constraint == dmft.Ridge(0.1) and sol.events


@pytest.mark.parametrize(
    ("argv", "text"),
    [
        (["--loss", "cubic"], "invalid choice: 'cubic'"),
        (["--a", "1"], "a = 1.0 is not allowed: it belongs to loss = 'normalized'"),
        (["--p", "3"], "unknown key 'p'"),
        (["--dt", "0.1"], "--dt is not allowed"),
        (["--paths", "3"], "paths = 3 is not allowed"),
        (["--rtol", "1e-3"], "--rtol is not allowed"),
        (["--dynamics", "langevin", "--t-max", "1"], "learning_rate"),
        (["--integrator", "uniform-grid"], "unknown key"),
    ],
)
def test_phase_retrieval_misused(argv, text, capsys):
    with contextlib.suppress(SystemExit):
        assert main(["solve", *PHASE, *FEW_PATHS, "--steps", "4", *argv, "-o", "x.h5"]) == 2
    assert text in capsys.readouterr().err
