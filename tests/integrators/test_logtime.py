"""LogTime: its twin, exact solutions, the uniform grid, escapes, dense output, checkpoints, refusals."""

import copy

import numpy as np
import pytest
from scipy.special import ive
from twins import logtime as logtime_reference

import dmft
from dmft.equations import TwoTimeEquations
from dmft.errors import SolverError
from dmft.integrators import logtime
from dmft.integrators.logtime import LogTime, Pass

GLASS = dmft.MixedSpin({3: 0.5})
LANGEVIN, FLOW = dmft.Langevin(1.0), dmft.GradientFlow()


def planted(delta2, deltap=1.0):
    return dmft.SpikedMatrixTensor(3, delta2, deltap)


def started(model, dynamics, t_max, m0=0.0, **options):
    return LogTime(**options).start(TwoTimeEquations.of(model, dynamics, dmft.Overlap(m0)), t_max)


def finished(*args, **kwargs):
    run = started(*args, **kwargs)
    while not run.finished:
        run.advance()
    return run


def one_pass(model, dynamics, t_max, m0=0.0, kernels=None, **options):
    out = Pass(LogTime(**options), TwoTimeEquations.of(model, dynamics, dmft.Overlap(m0)), t_max, kernels)
    while not out.finished:
        out.advance()
    return out


def pairs(t_max, n=4000):
    """Random times t >= s, half of them near the diagonal."""
    rng = np.random.default_rng(0)
    t = t_max * rng.random(n)
    s = t * rng.random(n)
    s[::2] = np.maximum(0.0, t - rng.random(n))[::2]
    return t, s


# --- kernels ---------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def twins():
    """The same pass with the compiled kernels and with plain NumPy."""
    args = (planted(0.4, 0.5), LANGEVIN, 2.5, 1e-2)
    return [one_pass(*args, kernels=k, rtol=1e-4, degree=7) for k in (None, logtime_reference)]


def test_twin(twins):
    fast, slow = twins
    np.testing.assert_allclose(fast.t, slow.t, rtol=1e-10)
    for name in fast.values:
        np.testing.assert_allclose(fast.values[name], slow.values[name], rtol=1e-10, atol=1e-10)
    for name in "CR":
        np.testing.assert_allclose(fast.history.values(name, 12), slow.history.values(name, 12), atol=1e-10)


@pytest.mark.parametrize("event", [None, (1.0, 0.2)])
def test_twin_of_the_integrals_and_the_jacobian(event):
    passes = [
        one_pass(planted(0.4, 0.5), LANGEVIN, 2.0, 1e-2, kernels=k, rtol=1e-3, degree=7)
        for k in (None, logtime_reference)
    ]
    for p in passes:
        if event is not None:
            p.history.add_event(*event)
            p.events.append(event)
    a, b = (p.new_row(2.2) for p in passes)
    for name in ("upper", "lower", "d"):
        np.testing.assert_allclose(getattr(a.integrals, name), getattr(b.integrals, name), atol=1e-10)
    x = a.guess
    np.testing.assert_allclose(a.residual(x), b.residual(x), atol=1e-9)
    jacobian = a.jacobian(x)
    np.testing.assert_allclose(jacobian, b.jacobian(x), atol=1e-9)
    dx = 1e-5 * np.random.default_rng(1).standard_normal(len(x))
    difference = 0.5 * (a.residual(x + dx) - a.residual(x - dx))
    np.testing.assert_allclose(jacobian @ dx, difference, atol=1e-8 * np.abs(difference).max())


def test_instruction_sets_and_threads(monkeypatch):
    reference = one_pass(GLASS, FLOW, 4.0)
    threaded = one_pass(GLASS, FLOW, 4.0, threads=2)
    np.testing.assert_array_equal(reference.values["mu"], threaded.values["mu"])
    monkeypatch.setenv("DMFT_SIMD", "baseline")
    baseline = one_pass(GLASS, FLOW, 4.0)
    assert baseline.history.instruction_set == "baseline"
    np.testing.assert_allclose(reference.values["mu"], baseline.values["mu"], atol=1e-10)


def test_chebyshev_and_panels():
    z, _, D = logtime.chebyshev(9)
    np.testing.assert_allclose(D @ z**9, 9 * z**8, atol=1e-12)
    panels = logtime.Panels(1e3, logtime.base_pieces(1e3, 0.5, 3.0, [(100.0, 5.0)]), z)
    assert np.all(np.diff(panels.tp) > 0)
    np.testing.assert_allclose(panels.tp + panels.tau, 1e3, rtol=1e-14)
    assert np.abs(panels.tp - 100.0).min() < 1e-12  # a boundary at the event
    slope = panels.speed[:, :, None] * D
    for p, columns in enumerate(9 * np.arange(len(panels.kind))[:, None] + np.arange(10)):
        np.testing.assert_allclose(slope[p] @ panels.tp[columns], 1.0, rtol=1e-6)


# --- accuracy --------------------------------------------------------------------------------


def matrix_flow(t, s):
    """C and R of Q = x^2/2 at T = 0 from a random start (docs/equations.md, eq. 8), scaled Bessel functions."""

    def g(x):  # exp(-2 x) G(x), sigma = 2
        x = np.maximum(x, 1e-12)
        return ive(1, 2 * x) / x

    C = g(t + s) / np.sqrt(g(2 * t) * g(2 * s))
    return C, g(t - s) * np.sqrt(g(2 * s) / g(2 * t))


def test_exact_solution_over_five_decades():
    rtol = 1e-6
    run = finished(dmft.MixedSpin({2: 0.5}), FLOW, 1e4, rtol=rtol)
    C, R = run.functions(run.size)
    estimates = run.stats()["error"]
    t = np.geomspace(0.1, 1e4, 60)[:, None]
    theta = np.concatenate([np.linspace(0.0, 1.0, 50), 1 - np.geomspace(1e-5, 0.3, 30)])
    s = t * theta
    for function, exact, name in zip((C, R), matrix_flow(t, s), "CR", strict=True):
        error = np.abs(function(t + 0 * s, s) - exact).max()
        assert error < 10 * rtol
        assert 0.1 < estimates[name] / error < 10
    # energy -int R C: t -> infinity -1 + 3/(8 t) of the matrix
    assert run.scalars()["energy"][-1] == pytest.approx(-1 + 3 / 8e4, abs=1e-8)
    assert run.stats()["norm_error"] < 1e-6


CASES = {
    "glass": (GLASS, dmft.Langevin(0.5), 0.0),
    "glass T=0": (GLASS, FLOW, 0.0),
    "3+4": (dmft.MixedSpin({3: 0.5, 4: 0.5}), dmft.Langevin(0.3), 0.0),
    "2+4": (dmft.MixedSpin({2: 0.5, 4: 0.5}), dmft.Langevin(0.3), 0.0),
    "planted": (planted(0.55, 0.5), LANGEVIN, 1e-4),
    "planted T=0.5": (planted(0.5), dmft.Langevin(0.5), 1e-2),
    "planted T=0": (planted(0.5), FLOW, 1e-2),
}


def against_uniform_grid(name, t_max, rtol):
    model, dynamics, m0 = CASES[name]
    uniform = dmft.UniformGrid(rtol=min(1e-8, 0.1 * rtol))
    reference = dmft.solve(model, dynamics, t_max=t_max, m0=m0, integrator=uniform)
    run = finished(model, dynamics, t_max, m0, rtol=rtol)
    error, times = {}, np.linspace(0, t_max, 300)
    for scalar in ("mu", "energy", "m"):
        exact = reference.interpolate(scalar, times)
        error[scalar] = np.abs(run.interpolate(run.scalars()[scalar], times) - exact)
        if scalar == "m" and m0:
            error[scalar] /= np.abs(exact)
    t, s = pairs(t_max)
    for name_, function in zip("CR", run.functions(run.size), strict=True):
        error[name_] = np.abs(function(t, s) - getattr(reference, name_)(t, s))
    return {k: e.max() for k, e in error.items()}, run.stats()["error"]


@pytest.mark.parametrize("name", list(CASES))
def test_against_uniform_grid(name):
    rtol = 1e-6
    error, estimate = against_uniform_grid(name, 10.0, rtol)
    for quantity, e in error.items():
        assert e < 10 * rtol, quantity
        if e > 1e-9:
            assert 0.1 < estimate[quantity] / e < 10, quantity


@pytest.mark.slow
@pytest.mark.parametrize("rtol", [1e-5, 1e-6, 1e-7])
@pytest.mark.parametrize("name", list(CASES))
def test_against_uniform_grid_longer(name, rtol):
    error, estimate = against_uniform_grid(name, 40.0, rtol)
    for quantity, e in error.items():
        assert e < 10 * rtol, quantity
        if e > 1e-8:
            assert 0.1 < estimate[quantity] / e < 10, quantity


def test_energy_relaxes_to_the_threshold_with_a_power_law():
    run = one_pass(GLASS, FLOW, 1e4)
    t = np.array([1e3, 3e3, 1e4])
    amplitude = (run.at("energy", t) + 2 / np.sqrt(3)) * t ** (2 / 3)
    np.testing.assert_allclose(amplitude, [0.32269, 0.3225, 0.32253], rtol=5e-4)


@pytest.mark.slow
@pytest.mark.parametrize(("rtol", "ratio"), [(1e-6, 3.0), (1e-7, 2.0)])
def test_seven_decades(rtol, ratio):
    run = one_pass(GLASS, FLOW, 1e7, rtol=rtol, ratio=ratio)
    t = np.geomspace(1e3, 1e7, 30)
    amplitude = (run.at("energy", t) + 2 / np.sqrt(3)) * t ** (2 / 3)
    assert np.ptp(amplitude) < 0.002 * amplitude.mean()
    assert amplitude[-1] == pytest.approx(0.32292, rel=3e-4)


# --- escapes ---------------------------------------------------------------------------------


def crossing(run, level):
    """Time at which m reaches the level."""
    from scipy.optimize import brentq

    m = np.array(run.values["m"])
    i = int(np.argmax(m >= level))
    return brentq(lambda t: float(run.at("m", t)) - level, run.t[i - 1], run.t[i], xtol=1e-10)


def test_escape_and_plateau():
    run = finished(planted(0.5), LANGEVIN, 1e3, 1e-2)
    stats = run.stats()
    ((te, _),) = stats["events"]
    assert te == pytest.approx(19.6, abs=0.2)
    late = run.t > 15 * te
    s = run.scalars()
    assert np.abs(s["m"][late] - 0.6180339887498949).max() < 1e-8
    assert np.abs(s["mu"][late] - 4.0).max() < 1e-8
    assert len(run.t) < 200
    t_max = 24.0
    grid = dmft.UniformGrid(rtol=1e-8)
    reference = dmft.solve(planted(0.5), LANGEVIN, t_max=t_max, m0=1e-2, integrator=grid).escape_time("m", 0.4)
    error = abs(crossing(run.solver, 0.4) - reference)
    assert error < 2e-5 * reference
    assert stats["time_shift"] < 2e-5 * reference


@pytest.mark.slow
@pytest.mark.parametrize(
    ("temperature", "m0", "delta2", "time"),
    [
        (1.0, 1e-4, 0.4, 27.83002),
        (1.0, 1e-4, 0.5, 74.76878),
        (1.0, 1e-4, 0.6, 251.3841),
        (1.0, 1e-4, 0.7, 1442.564),
        (0.0, 1e-10, 0.35, 91.10455),
        (0.0, 1e-10, 0.4, 198.2599),
    ],
)
def test_escape_times(temperature, m0, delta2, time):
    dynamics = dmft.Langevin(temperature) if temperature else FLOW
    model = planted(delta2)
    run = one_pass(model, dynamics, 1e5, m0)
    assert crossing(run, 0.3) == pytest.approx(time, rel=2e-5)
    if temperature:
        late = run.t > 10 * run.events[0][0]
        m = 1 - 1 / (1 + model.Q(run.values["m"][-1], 1))  # fixed point of m = Q'(m)/(1 + Q'(m))
        assert np.abs(np.array(run.values["m"])[late] - m).max() < 1e-8
        assert np.abs(np.array(run.values["mu"])[late] - 1 - model.Q(1.0, 1)).max() < 1e-8


def test_no_false_events():
    assert one_pass(planted(1.2), LANGEVIN, 100.0, 1e-2).events == []
    assert one_pass(planted(0.5), LANGEVIN, 100.0, 1.0).events == []


# --- the run ---------------------------------------------------------------------------------


def test_dense_output_on_rows_and_refusals():
    run = finished(GLASS, dmft.Langevin(0.5), 20.0, pilot=False)
    C, R = run.functions(run.size)
    k = 30
    panels = run.solver.rows[k]
    tp = np.minimum(panels.tp, run.t[k])
    np.testing.assert_allclose(C(run.t[k], tp), run.solver.history.values("C", k), atol=1e-12)
    np.testing.assert_allclose(R(run.t[k], tp), run.solver.history.values("R", k), atol=1e-12)
    assert C(0.0, 0.0) == 1.0
    assert C(20.0, 20.0) == pytest.approx(1.0, abs=1e-6)
    assert C.values.shape == (run.size, run.size)
    columns, row = C.row(5)
    np.testing.assert_allclose(C.values[5, :6], row)
    assert len(columns) == 6
    with pytest.raises(ValueError, match="outside 0 <= s <= t <= 20"):
        C(21.0, 1.0)
    kept = C.keep([5.0, 20.0])
    assert kept(5.0, 2.0) == C(5.0, 2.0)
    with pytest.raises(ValueError, match="not one of the 2 stored rows"):
        kept(6.0, 2.0)


ESCAPE = (planted(0.5), LANGEVIN, 60.0, 1e-2)


@pytest.fixture(scope="module")
def watched():
    """(a finished run, {steps: its state after so many})."""
    run, states = started(*ESCAPE), {}
    for steps in range(1, 171):
        run.advance()
        if steps in (40, 100, 170):
            assert not run.finished
            states[steps] = copy.deepcopy(run.state())
    while not run.finished:
        run.advance()
    return run, states


@pytest.mark.parametrize("steps", [40, 100, 170])
def test_restore_is_bit_equal(steps, watched):
    run, states = watched
    other = started(*ESCAPE)
    other.restore(states[steps])
    while not other.finished:
        other.advance()
    np.testing.assert_array_equal(run.t, other.t)
    for name, values in run.scalars().items():
        np.testing.assert_array_equal(values, other.scalars()[name])
    a, b = run.stats(), other.stats()
    assert a["error"] == b["error"]
    assert a["events"] == b["events"]


def test_last_time_is_exact_and_steps_are_not_truncated():
    for t_max in (1e-3, 0.7, 33.3):
        run = finished(GLASS, FLOW, t_max, pilot=False)
        assert run.t[-1] == t_max
        dt = np.diff(run.t)
        assert dt[-1] > 0.45 * dt[-2]


def test_failures_are_reported(monkeypatch):
    monkeypatch.setattr(LogTime, "most_rows", 30)
    run = started(GLASS, FLOW, 100.0)
    with pytest.raises(SolverError, match=r"more than 30 rows were needed.*good to t = ") as info:
        while not run.finished:
            run.advance()
    assert info.value.time == run.t[-1]
    assert "more than 30 rows" in run.stats()["pilot"]


def test_refusals():
    soft = dmft.SpikedMatrixTensor(3, 0.5, 1.0, dmft.SoftSphere(10.0))
    with pytest.raises(ValueError, match="SoftSphere"):
        started(soft, LANGEVIN, 1.0)
    with pytest.raises(ValueError, match="UnderdampedLangevin"):
        started(GLASS, dmft.UnderdampedLangevin(1.0), 1.0)
    annealed = dmft.Langevin(1.0, dmft.Annealing.exponential(3, 1.0, 1.0))
    with pytest.raises(ValueError, match="annealing"):
        started(planted(0.5), annealed, 1.0)
    for name, value in {"rtol": 0.0, "threads": 0, "order": 3, "degree": 40, "ratio": 1.0, "max_step": 1.0}.items():
        with pytest.raises(ValueError, match=name):
            LogTime(**{name: value})
    estimate = LogTime().estimate(TwoTimeEquations.of(GLASS, FLOW, dmft.Overlap()), 1e4)
    assert 50 < estimate["steps"] < 400


def test_request_that_does_not_fit_is_refused(monkeypatch):
    monkeypatch.setattr(logtime, "available_memory", lambda: 1e6)
    with pytest.raises(MemoryError, match="needs"):
        started(GLASS, FLOW, 1e4)


def test_events_and_escape_times_agree_where_the_order_was_lowered(tmp_path):
    """Scalars are interpolated with the order of the settings, which is the more accurate one."""
    model, dynamics = dmft.MixedSpin({12: 0.5}), dmft.Langevin(1.0)
    events = [dmft.Crossing("energy", level, terminal=False) for level in np.linspace(-0.05, -0.45, 9)]
    sol = dmft.solve(model, dynamics, t_max=20.0, integrator=LogTime(1e-5), events=events)
    assert sol.stats["order"] == 4
    exact = dmft.solve(model, dynamics, t_max=4.0, integrator=dmft.UniformGrid(dt=0.01))
    times = np.linspace(0.0, 4.0, 2001)
    between = np.abs(sol.interpolate("energy", times) - exact.interpolate("energy", times)).max()
    nodes = np.abs(sol.energy - exact.interpolate("energy", sol.t.clip(max=4.0)))[sol.t < 4.0].max()
    assert between < 1.5 * nodes  # 4 times as large with the lowered order
    sol.save(tmp_path / "run.h5")
    for one in (sol, dmft.load(tmp_path / "run.h5")):
        assert [o.time for o in one.events] == [one.escape_time("energy", e.level) for e in events]
