"""The exact recursion as a run: kernels, outcomes, checkpoints, events, files, refusals."""

import math

import numpy as np
import pytest

import dmft
from dmft import _recursion
from dmft.driver import Problem
from dmft.dynamics import Piecewise
from dmft.equations import taylor
from dmft.integrators import recursion

SOFT = dmft.SpikedMatrixTensor(3, 1.0, 2 / 3, dmft.SoftSphere(10.0))
HARD = dmft.SpikedMatrixTensor(3, 0.3, 2 / 3, dmft.Sphere("lagrange"))
MASSIVE = dmft.UnderdampedLangevin(1.0)
NESTEROV = dmft.Nesterov(0.02, 0.9, temperature=0.2, initial_velocity=0.1)


def solver(instruction_set="", threads=1, n=701):
    d = NESTEROV
    out = _recursion.Recursion(
        taylor(SOFT.coefficients),
        0.2,
        d.inertia(n),
        d.lookahead(n),
        d.learning_rates(n),
        d.noise(n),
        d.initial_velocity,
        _recursion.SOFT,
        10.0,
        threads,
        instruction_set,
    )
    assert out.advance(n) == _recursion.OK
    return out


def test_instruction_sets_and_threads_agree():
    first = solver("baseline")
    for name in ("baseline", "avx2", "avx512"):
        for threads in (1, 2, 3):
            try:
                other = solver(name, threads)
            except ValueError:
                assert name != "baseline"
                continue
            assert np.abs(other.C - first.C).max() < 1e-11
            assert np.abs(other.R - first.R).max() < 1e-12
    np.testing.assert_array_equal(solver("baseline", 2).C, solver("baseline", 2).C)
    with pytest.raises(ValueError, match="instruction set 'sse'"):
        solver("sse")


@pytest.mark.parametrize("n", [*range(1, 20), 1023, 1029, 2061])
@pytest.mark.parametrize("instruction_set", ["baseline", ""])
def test_memory_pass(n, instruction_set):
    # one row more than the history: the sums of the newest iterate, against dense linear algebra
    rng = np.random.default_rng(n)
    C, R = rng.standard_normal((2, n, n)) / n
    C, R = C + C.T, np.tril(R, -1)
    i = np.tril_indices(n)
    ones = np.ones(n + 1)
    run = _recursion.Recursion(
        np.array([0, 0, 0.5, 0.3]),
        0.0,
        0 * ones,
        0 * ones,
        ones,
        0 * ones,
        0.0,
        _recursion.SOFT,
        1.0,
        1,
        instruction_set,
    )
    C[0, 0] = 1.0
    zeros = {k: np.zeros(n) for k in ("m", "mu", "gradient_norm", "m_z", "norm_z")}
    energy = np.zeros((4, n))
    run.restore({**zeros, "before": C[0].copy(), "C": C[i], "R": R[i], "energy": energy, "energy_z": energy})
    assert run.advance(1) == _recursion.OK
    x, r = C[-1], R[-1]
    w, p = r * (1 + 1.8 * x), x + 0.9 * x**2
    mu = x[-1] - 1
    row = run.C[n * (n + 1) // 2 :][: n + 1]
    np.testing.assert_allclose(row[:n], C[-1] - mu * x + C @ w + R @ p, atol=1e-13)
    response = run.R[n * (n + 1) // 2 :][: n + 1]
    np.testing.assert_allclose(response[: n - 1], (r - mu * r + R.T @ w)[: n - 1], atol=1e-13)
    assert response[n - 1] == 1.0 and response[n] == 0.0


def test_checkpoint_and_resume_bit_for_bit():
    whole = dmft.solve(SOFT, NESTEROV, steps=300, m0=0.2)

    def stop(step):
        return step.step == 128

    part = dmft.solve(SOFT, NESTEROV, steps=300, m0=0.2, checkpoint="run.ckpt", callback=stop)
    assert part.status == "interrupted" and 128 <= part.t[-1] < 300
    resumed = dmft.resume("run.ckpt")
    assert resumed.status == "finished"
    for name in whole.scalars:
        np.testing.assert_array_equal(whole.scalars[name], resumed.scalars[name])
    np.testing.assert_array_equal(whole.C.values, resumed.C.values)
    np.testing.assert_array_equal(whole.R.values, resumed.R.values)
    again = dmft.resume("run.ckpt")  # of a finished run
    assert again.t[-1] == 300 and again.stats["cpu_seconds"] < 0.5


def test_resume_needs_the_same_schedule():
    dynamics = dmft.HeavyBall(lambda t: 0.02 / (1 + t), 0.9)
    dmft.solve(SOFT, dynamics, steps=40, m0=0.2, checkpoint="run.ckpt", callback=lambda s: True)
    with pytest.raises(ValueError, match="was a Python function and is not in the file"):
        dmft.resume("run.ckpt")
    sol = dmft.resume("run.ckpt", dynamics=dynamics)
    assert sol.t[-1] == 40


def test_event_stops_between_two_iterations():
    events = [dmft.Crossing("m", 0.3), dmft.Crossing("energy", -1.0, terminal=False)]
    sol = dmft.solve(HARD, dmft.HeavyBall(0.01, 0.9), steps=1000, m0=1e-2, events=events)
    assert sol.status == "event"
    first, last = sol.events
    assert last.time == sol.escape_time("m", 0.3)
    assert sol.t[-1] == math.ceil(last.time)
    before, after = sol.m[-2:]
    assert before < 0.3 <= after
    assert last.time - sol.t[-2] == pytest.approx((0.3 - before) / (after - before), rel=1e-9)
    assert first.event.name == "energy" and first.error is None
    whole = dmft.solve(HARD, dmft.HeavyBall(0.01, 0.9), steps=80, m0=1e-2)
    np.testing.assert_array_equal(whole.C.values[: len(sol.t), : len(sol.t)], sol.C.values)


@pytest.mark.parametrize("model", [SOFT, HARD])
def test_file_and_kept_rows(model):
    dynamics = dmft.Nesterov(Piecewise((0, 10), (0.005, 0.01)), "lambda")
    sol = dmft.solve(model, dynamics, steps=60, m0=0.1, save_at=[0, 7, 60])
    whole = dmft.solve(model, dynamics, steps=60, m0=0.1)
    loaded = dmft.load(sol.save("run.h5"))
    assert loaded.model == model and loaded.dynamics == dynamics and loaded.integrator == dmft.ExactRecursion()
    for name in whole.scalars:
        np.testing.assert_array_equal(loaded.scalars[name], whole.scalars[name])
    for t in (0, 7, 60):
        s = np.arange(t + 1.0)
        np.testing.assert_array_equal(loaded.C(t, s), whole.C.values[t, : t + 1])
        np.testing.assert_array_equal(loaded.R(t, s), whole.R.values[t, : t + 1])
    everything = dmft.load(whole.save("whole.h5"))
    np.testing.assert_array_equal(everything.R.values, whole.R.values)
    assert "squared norm of the gradient" in everything.to_xarray()["gradient_norm"].attrs["long_name"]
    E, _ = everything.lookahead()
    assert E(60, 60) == pytest.approx(whole.scalars["squared_norm_lookahead"][60], abs=1e-13)


def test_iterations_are_hit_exactly_and_lines_lie_between():
    sol = dmft.solve(SOFT, NESTEROV, steps=30, m0=0.2)
    C, R = sol.C.values, sol.R.values
    i, j = np.tril_indices(31)
    np.testing.assert_allclose(sol.C(i, j), C[i, j], atol=1e-15)
    np.testing.assert_allclose(sol.R(i, j), R[i, j], atol=1e-15)
    assert sol.C(20.5, 3) == pytest.approx((C[20, 3] + C[21, 3]) / 2)
    assert sol.interpolate("m", 3.25) == pytest.approx(0.75 * sol.m[3] + 0.25 * sol.m[4])


def test_divergence_keeps_what_was_computed():
    model = dmft.SpikedMatrixTensor(3, 1.0, 2 / 3, dmft.SoftSphere(10.0))
    with pytest.raises(dmft.SolverError, match=r"diverges.*at iteration") as info:
        dmft.solve(model, dmft.HeavyBall(0.3, 0.9), steps=400, m0=0.1)
    partial = info.value.partial
    assert partial.status == "failed" and partial.t[-1] == info.value.time >= 1
    assert np.all(np.isfinite(partial.C.values)) and partial.scalars["squared_norm"][-1] > 1


def test_events_and_callbacks_before_a_divergence_are_seen():
    ball = dmft.HeavyBall(0.3, 0.9)
    for level in (1.05, 1.2, 2.0, 10.0):
        sol = dmft.solve(SOFT, ball, steps=400, m0=0.1, events=dmft.Crossing("squared_norm", level))
        assert sol.status == "event" and sol.scalars["squared_norm"][-1] >= level
    seen = []
    with pytest.raises(dmft.SolverError):
        dmft.solve(SOFT, ball, steps=400, m0=0.1, callback=lambda step: seen.append(step.step))
    assert seen[:3] == [1, 2, 3]


def test_no_multiplier():
    with pytest.raises(dmft.SolverError, match="no Lagrange multiplier brings the step from t = 0") as info:
        dmft.solve(HARD, dmft.GradientDescent(5.0), steps=10)
    assert info.value.partial.t.tolist() == [0.0] and info.value.partial.mu.tolist() == [math.inf]
    with pytest.raises(dmft.SolverError, match="from t = 2") as info:  # at the last iterate too
        dmft.solve(HARD, dmft.GradientDescent(0.4), steps=2)
    assert info.value.partial.t.tolist() == [0.0, 1.0, 2.0]
    dmft.solve(dmft.SpikedMatrixTensor(3, 0.3, 2 / 3), dmft.GradientDescent(5.0), steps=10)


def test_too_large_is_refused_before_allocation(monkeypatch):
    monkeypatch.setattr(recursion, "available_memory", lambda: 1e5)
    with pytest.raises(MemoryError, match=r"steps = 1000 needs [0-9]+ bytes"):
        dmft.solve(SOFT, NESTEROV, steps=1000)


def test_memory_is_16_bytes_per_pair():
    run = solver(n=701)
    pairs = 701 * 702 // 2
    assert run.C.nbytes + run.R.nbytes == 16 * pairs
    assert 16 * pairs < recursion.memory(700) < 16 * pairs + 701 * 700


@pytest.mark.parametrize(
    ("make", "error", "text"),
    [
        (lambda: dmft.GradientDescent(0.0), ValueError, "learning_rate = 0.0"),
        (lambda: dmft.GradientDescent("0.1"), TypeError, "learning_rate must be a real number"),
        (lambda: dmft.GradientDescent(0.1, -1.0), ValueError, "temperature = -1.0"),
        (lambda: dmft.HeavyBall(0.1, 1.1), ValueError, "momentum = 1.1"),
        (lambda: dmft.HeavyBall(0.1, None), TypeError, "momentum must be a real number"),
        (lambda: dmft.Nesterov(0.1, "fista"), ValueError, "momentum = 'fista' is not allowed"),
        (lambda: dmft.Nesterov(0.1, initial_velocity=-1.0), ValueError, "initial_velocity = -1.0"),
        (lambda: dmft.UnderdampedLangevin(0.0), ValueError, "mass = 0.0"),
        (lambda: dmft.UnderdampedLangevin(1.0, -1.0), ValueError, "friction = -1.0"),
        (lambda: dmft.Sphere("project"), ValueError, "method = 'project'"),
        (lambda: dmft.SoftSphere(0.0), ValueError, "strength = 0.0"),
        (lambda: dmft.SoftSphere(math.inf), ValueError, "strength = inf"),
        (lambda: dmft.MixedSpin({3: 1.0}, constraint="soft"), TypeError, "constraint must be Sphere"),
        (lambda: dmft.ExactRecursion(threads=0), ValueError, "threads = 0"),
    ],
)
def test_constructors(make, error, text):
    with pytest.raises(error, match=text):
        make()


@pytest.mark.parametrize(
    ("change", "error", "text"),
    [
        ({"steps": None}, ValueError, "steps must be given for HeavyBall"),
        ({"steps": 0}, ValueError, "steps = 0"),
        ({"steps": 10.0}, TypeError, "steps must be an integer"),
        ({"t_max": 3.0}, ValueError, "t_max = 3.0 is not allowed: HeavyBall is discrete"),
        (
            {"integrator": dmft.UniformGrid(dt=0.1)},
            ValueError,
            "is not allowed for SpikedMatrixTensor with HeavyBall: use ExactRecursion",
        ),
        ({"save_at": [0.5]}, ValueError, "save_at contains 0.5: iterations are integers"),
        ({"save_at": [11]}, ValueError, "save_at covers"),
        ({"events": dmft.Crossing("K", 0.5)}, ValueError, "name = 'K' is not allowed"),
        ({"dynamics": dmft.HeavyBall(lambda t: -t, 0.9)}, ValueError, "learning_rate at step 0 = 0"),
        ({"dynamics": dmft.HeavyBall(lambda t: "x", 0.9)}, TypeError, "learning_rate at step 0 must be a real number"),
        ({"dynamics": dmft.HeavyBall(0.1, lambda t: 1 - t)}, ValueError, "momentum at step 2 = -1"),
        ({"dynamics": dmft.HeavyBall(0.1, lambda t: 1 + t, 0.5)}, ValueError, "not allowed with a temperature"),
        ({"dynamics": dmft.Langevin(), "steps": None}, ValueError, "t_max must be given for Langevin"),
        (
            {"dynamics": dmft.Langevin(), "steps": None, "t_max": 1.0, "integrator": dmft.ExactRecursion()},
            ValueError,
            "is not allowed for SpikedMatrixTensor with Langevin: use UniformGrid",
        ),
    ],
)
def test_bad_input(change, error, text):
    kwargs = {"dynamics": dmft.HeavyBall(0.1, 0.9), "steps": 10, **change}
    with pytest.raises(error, match=text):
        dmft.solve(SOFT, kwargs.pop("dynamics"), **kwargs)


def test_lookahead_is_refused_where_it_is_unknown():
    with pytest.raises(ValueError, match="not defined for GradientFlow"):
        dmft.solve(HARD, dmft.GradientFlow(), t_max=1.0).lookahead()
    with pytest.raises(ValueError, match="solve without save_at"):
        dmft.solve(SOFT, dmft.Nesterov(0.01), steps=5, save_at=[5]).lookahead()
    with pytest.raises(ValueError, match="initial velocity"):
        dmft.solve(SOFT, NESTEROV, steps=5).lookahead()


def test_constraint_of_a_model():
    assert repr(dmft.SpikedMatrixTensor(3, 0.5, 1.0)) == "SpikedMatrixTensor(p=3, delta2=0.5, deltap=1.0)"
    assert "constraint=SoftSphere(strength=10.0)" in repr(SOFT)
    assert dmft.SpikedMatrixTensor(3, 0.5, 1.0) == dmft.SpikedMatrixTensor(3, 0.5, 1.0, dmft.Sphere())
    glass = dmft.MixedSpin({3: 0.5}, dmft.SoftSphere(2.0))
    assert hash(glass) == hash(dmft.MixedSpin({3: 0.5}, dmft.SoftSphere(2.0))) and glass != dmft.MixedSpin({3: 0.5})


@pytest.mark.parametrize("model", [SOFT, HARD])
@pytest.mark.parametrize(
    "dynamics",
    [dmft.GradientDescent(0.01), dmft.Nesterov(0.01, 0.0), dmft.Nesterov(0.01, "lambda"), dmft.Langevin(), MASSIVE],
)
def test_names_of_the_scalars_depend_on_the_kinds_alone(model, dynamics):
    duration = {"steps": 1} if dynamics.discrete else {"t_max": 0.1}
    problem = Problem.checked(model, dynamics, **duration, m0=0.1)
    sol = dmft.solve(model, dynamics, m0=0.1, **duration)
    assert list(sol.scalars) == problem.equations.names
    if isinstance(dynamics, dmft.Nesterov):
        np.testing.assert_array_equal(sol.scalars["m_lookahead"], sol.m)


def test_physical_time():
    descent = dmft.solve(SOFT, dmft.GradientDescent(lambda t: 0.01 * (1 + t)), steps=4).scalars["time"]
    np.testing.assert_allclose(descent, [0, 0.01, 0.03, 0.06, 0.1])
    np.testing.assert_allclose(dmft.HeavyBall(0.01, 0.9).time(3), [0, 0.15, 0.25])
    massive = dmft.UnderdampedLangevin(0.95, 1.0, 0.0)
    np.testing.assert_allclose(massive.heavy_ball(0.1).time(4), [0, 0.1, 0.2, 0.3])
    np.testing.assert_allclose(dmft.Nesterov(0.04).time(3), [0, 0.2, 0.4])
    assert "time" not in dmft.solve(SOFT, dmft.HeavyBall(0.01, lambda t: 0.9), steps=2).scalars


def instability(sol):
    """Lambda_t, the force along the signal per overlap of the point where it is taken, from m alone:
    m_{t+1} = m_t + a_t (m_t - m_{t-1}) + alpha_t Lambda_t [m_t + b_t (m_t - m_{t-1})]."""
    n = len(sol.t) - 1
    alpha, a, b = (f(n)[1:] for f in (sol.dynamics.learning_rates, sol.dynamics.inertia, sol.dynamics.lookahead))
    before, now, after = sol.m[:-2], sol.m[1:-1], sol.m[2:]
    return (after - now - a * (now - before)) / (alpha * (now + b * (now - before)))


def late_instability(sol):
    """Its limit, from Lambda_t = limit + c t^(-nu) at a quarter, half and the whole of the run."""
    Lambda = instability(sol)
    early, middle, late = (Lambda[len(Lambda) // k - 1] for k in (4, 2, 1))
    return late - (late - middle) ** 2 / ((late - middle) - (middle - early))


@pytest.mark.parametrize(("dynamics", "resolution"), [(dmft.HeavyBall(0.03, 0.9), 0.015), (dmft.Nesterov(0.03), 0.01)])
@pytest.mark.parametrize("constraint", [dmft.SoftSphere(10.0), dmft.Sphere("lagrange")])
@pytest.mark.parametrize("p", [3, 4])
def test_overlap_grows_below_the_marginality_threshold(p, constraint, dynamics, resolution):
    # a marginal state has mu = 2 sqrt(Q''); m = 0 is then unstable with Lambda = (kappa - sqrt(Q''))^2 / kappa
    strength = constraint.strength if constraint.soft else math.inf
    threshold = dmft.thresholds.gradient_flow(p, 2 / p, strength)
    delta2 = threshold * np.array([0.7, 0.76, 0.82, 0.88])
    gaps = []
    for x in delta2:
        model = dmft.SpikedMatrixTensor(p, x, 2 / p, constraint)
        sol = dmft.solve(model, dynamics, steps=1000, m0=1e-250)  # m is linear in m0 and stays small
        gaps.append(np.sqrt(late_instability(sol) / x))
    found = dmft.SpikedMatrixTensor(p, delta2[0], 2 / p, constraint)
    assert dmft.solve(found, dynamics, steps=1000, m0=1e-8).m.max() > 0.3
    roots = np.roots(np.polyfit(1 / delta2, gaps, 2))
    measured = 1 / max(roots[roots < 1 / delta2[-1]])
    assert measured == pytest.approx(threshold, rel=resolution)
    stuck = dmft.SpikedMatrixTensor(p, 2 * threshold, 2 / p, constraint)
    assert dmft.solve(stuck, dynamics, steps=1000, m0=1e-8).m.max() < 1e-6
