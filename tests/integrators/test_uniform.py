"""The uniform-grid integrator: order, twin, error estimate, grids, refusals."""

import math
import os
import subprocess
import sys

import numpy as np
import pytest
from cases import CASES
from twins import uniform as reference

import dmft
from dmft import _uniform
from dmft.equations import TwoTimeEquations, taylor
from dmft.integrators import uniform
from dmft.integrators.uniform import Grid, UniformGrid


def equations(name):
    model, dynamics, m0, t_max = CASES[name]
    return TwoTimeEquations(model.coefficients, dynamics.temperature, m0, dynamics.annealing), t_max


def panel_solver(eq, edges, instruction_set="", threads=1):
    t = _uniform.panel_nodes(edges)
    return _uniform.PanelSolver(
        edges, taylor(eq.coefficients), eq.inverse_temperature(t), eq.temperature, eq.m0, threads, instruction_set
    )


def run(solver, tol=1e-13):
    while solver.done < solver.panels:
        assert solver.advance(tol) == _uniform.OK
    return solver


@pytest.mark.parametrize("name", ["langevin", "gradient-flow", "annealed", "mixture"])
@pytest.mark.parametrize("instruction_set", ["baseline", ""])
def test_kernel_equals_twin(name, instruction_set):
    eq, _ = equations(name)
    eq = TwoTimeEquations(eq.coefficients, eq.temperature, 0.2 if eq.m0 else 0.0, eq.annealing)
    edges = np.concatenate([np.linspace(0, 0.9, 6), np.linspace(1.05, 2.0, 7)])  # two step sizes
    twin = reference.solve(eq, edges)
    solver = run(panel_solver(eq, edges, instruction_set))
    lower = np.tril_indices(len(twin["t"]))
    assert np.abs(solver.C - twin["C"][lower]).max() < 2e-12
    assert np.abs(solver.R - twin["R"][lower]).max() < 2e-12
    assert np.abs(solver.m - twin["m"]).max() < 1e-12
    assert np.abs(solver.mu - twin["mu"]).max() < 1e-11
    assert np.abs(solver.energy[sorted(eq.coefficients)] - twin["energy"]).max() < 1e-11


def test_instruction_sets_and_threads_agree():
    eq, _ = equations("langevin")
    edges = np.linspace(0, 12.0, 71)
    results = {}
    for name in ("baseline", "avx2", "avx512"):
        for threads in (1, 2, 3):
            try:
                results[name, threads] = run(panel_solver(eq, edges, name, threads)).C
            except ValueError:
                assert name != "baseline"
    first = results["baseline", 1]
    for value in results.values():
        assert np.abs(value - first).max() < 1e-11
    again = run(panel_solver(eq, edges, "baseline", 2)).C
    np.testing.assert_array_equal(again, results["baseline", 2])


def test_unknown_instruction_set_is_refused():
    eq, _ = equations("langevin")
    with pytest.raises(ValueError, match="instruction set 'mmx' is not available"):
        panel_solver(eq, np.array([0.0, 0.1]), "mmx")


QUANTITIES = ("m", "mu", "energy", "C", "R")


def errors(sol, ref, t_max):
    """Largest errors of sol against a finer solution on a nested grid."""
    stride = round((len(ref.t) - 1) / (len(sol.t) - 1))
    out = {}
    for name in ("m", "mu", "energy"):
        delta = np.abs(sol.scalars[name] - ref.scalars[name][::stride])
        if name == "m":
            delta = delta / np.maximum(np.abs(sol.m), 1e-300) if sol.m.any() else delta
        out[name] = delta.max()
    for name in ("C", "R"):
        fine = getattr(ref, name).values[::stride, ::stride]
        out[name] = np.abs(getattr(sol, name).values - fine).max()
    return out


def solve_steps(name, steps, t_max=None):
    model, dynamics, m0, t = CASES[name]
    t_max = t_max or t
    integrator = UniformGrid(dt=t_max / steps)
    return dmft.solve(model, dynamics, t_max=t_max, m0=m0, integrator=integrator)


@pytest.mark.parametrize(
    ("name", "t_max"), [("langevin", 6.0), ("gradient-flow", 6.0), ("annealed", 6.0), ("glass", 10.0)]
)
def test_convergence_order(name, t_max):
    ref = solve_steps(name, 960, t_max)
    table = [(n, errors(solve_steps(name, n, t_max), ref, t_max)) for n in (96, 120, 160, 192, 240)]
    for quantity in QUANTITIES:
        if quantity == "m" and not ref.m.any():
            continue
        data = [(n, e[quantity]) for n, e in table if e[quantity] > 1e-11]
        assert len(data) >= 3, quantity
        slope = -np.polyfit(*np.log(np.array(data)).T, 1)[0]
        assert slope > UniformGrid.order - 0.7, (quantity, slope)


@pytest.mark.parametrize("name", list(CASES))
@pytest.mark.parametrize("rtol", [1e-4, 1e-6])
def test_error_estimate_and_tolerance(name, rtol):
    model, dynamics, m0, t_max = CASES[name]
    sol = dmft.solve(model, dynamics, t_max=t_max, m0=m0, integrator=UniformGrid(rtol=rtol))
    ref = solve_steps(name, 2 * (len(sol.t) - 1), t_max)
    true, estimate = errors(sol, ref, t_max), sol.stats["error"]
    for quantity in QUANTITIES:
        if quantity == "m" and not m0:
            continue
        assert true[quantity] < 10 * rtol, quantity
        assert 0.1 < estimate[quantity] / true[quantity] < 10, quantity


@pytest.mark.parametrize("rate_dt", [0.05, 0.12, 0.25, 0.32])
def test_error_estimate_for_given_steps(rate_dt):
    t_max = 6.0
    n = round(t_max * 4 / rate_dt)
    sol = solve_steps("langevin", n, t_max)
    ref = solve_steps("langevin", 4 * n, t_max)
    true = errors(sol, ref, t_max)
    for quantity in QUANTITIES:
        if true[quantity] > 1e-11:
            assert 0.1 < sol.stats["error"][quantity] / true[quantity] < 10, quantity


def test_estimate_is_honest_for_a_schedule_with_a_kink():
    # a user's function with a kink the grid knows nothing about: low order, and said so
    model = dmft.SpikedMatrixTensor(3, 0.5, 1.0)

    def kinked(t):
        return 1.0 + 2.0 * max(0.0, 1.0 - t / 1.2345)

    dynamics = dmft.Langevin(1.0, dmft.Annealing({3: kinked}))
    kwargs = {"t_max": 4.0, "m0": 0.1}
    sol = dmft.solve(model, dynamics, integrator=UniformGrid(dt=0.04), **kwargs)
    exact = dmft.Langevin(1.0, dmft.Annealing.piecewise(3, (0.0, 1.2345), (3.0, 1.0)))
    ref = dmft.solve(model, exact, integrator=UniformGrid(rtol=1e-9), **kwargs)
    true = np.abs(sol.mu - ref.interpolate("mu", sol.t)).max()
    assert true > 1e-6
    assert 0.1 < sol.stats["error"]["mu"] / true < 10


def test_kinks_of_piecewise_schedules_cost_no_accuracy():
    model = dmft.SpikedMatrixTensor(3, 0.5, 1.0)
    dynamics = dmft.Langevin(1.0, dmft.Annealing.piecewise(3, (0.0, 1.2345, 2.0), (3.0, 1.5, 1.0)))
    coarse, fine = (
        dmft.solve(model, dynamics, t_max=4.0, m0=0.1, integrator=UniformGrid(dt=dt)) for dt in (0.04, 0.01)
    )
    assert 1.2345 in coarse.t
    assert 2.0 in coarse.t
    error = np.abs(coarse.mu - fine.interpolate("mu", coarse.t)).max()
    assert error < 1e-6
    assert coarse.stats["error"]["mu"] < 1e-6


def test_unreachable_tolerance_is_reported(monkeypatch):
    monkeypatch.setattr(uniform, "MAX_REFINEMENTS", 1)
    noise = np.random.default_rng(0)
    dynamics = dmft.Langevin(1.0, dmft.Annealing({3: lambda t: 1 + 0.5 * noise.random()}))
    with pytest.raises(dmft.SolverError, match=r"rtol = 1e-06 was not reached.*larger rtol") as info:
        dmft.solve(dmft.SpikedMatrixTensor(3, 0.5, 1.0), dynamics, t_max=1.0)
    assert info.value.partial is not None


def test_too_coarse_step_fails_with_the_time_and_a_partial_solution():
    with pytest.raises(dmft.SolverError, match=r"after t = .* with dt = 0.5: use a smaller dt") as info:
        dmft.solve(dmft.MixedSpin({3: 5.0}), dmft.Langevin(1.0), t_max=10.0, integrator=UniformGrid(dt=0.5))
    assert info.value.partial.status == "failed"
    assert info.value.time == info.value.partial.t[-1]


def test_grid_ends_at_the_final_time():
    sol = dmft.solve(dmft.MixedSpin({3: 0.5}), dmft.Langevin(1.0), t_max=1.0, integrator=UniformGrid(dt=0.03))
    assert sol.t[-1] == pytest.approx(1.0, abs=1e-14)
    np.testing.assert_allclose(np.diff(sol.t), 1 / 34)
    assert sol.stats["steps"] == 34


@pytest.mark.parametrize("exact", [True, False])
def test_grids_are_nested(exact):
    eq, _ = equations("langevin")
    grid = Grid(eq, 7.3, 0.013, exact)
    for level in (2, 1, 0):
        coarse, fine = grid.edges(level), grid.edges(level - 1)
        n = min(len(coarse), (len(fine) + 1) // 2)
        np.testing.assert_allclose(fine[::2][:n], coarse[:n], rtol=1e-13)
        assert len(coarse) == grid.panels(level) + 1
        assert grid.dt(level - 1) == pytest.approx(grid.dt(level) / 2)


def test_memory_is_16_bytes_per_pair():
    n = 4001
    solver_bytes = uniform.memory(n - 1)
    pairs = n * (n + 1) // 2
    assert 16 * pairs < solver_bytes < 16 * pairs + 1500 * n
    eq, _ = equations("langevin")
    solver = panel_solver(eq, np.linspace(0, 20, 101))
    pairs = solver.nodes * (solver.nodes + 1) // 2
    assert solver.C.nbytes + solver.R.nbytes == 16 * pairs


def test_request_that_does_not_fit_is_refused(monkeypatch):
    with pytest.raises(MemoryError, match=r"needs \d+ bytes for C and R.*smaller t_max, a larger dt"):
        dmft.solve(dmft.MixedSpin({3: 0.5}), dmft.Langevin(), t_max=1e6, integrator=UniformGrid(dt=0.01))
    monkeypatch.setattr(uniform, "available_memory", lambda: 1e5)
    with pytest.raises(MemoryError, match="larger rtol"):
        dmft.solve(dmft.MixedSpin({3: 0.5}), dmft.Langevin(), t_max=100.0, integrator=UniformGrid())


@pytest.mark.slow
def test_long_run_plateau():
    model = dmft.SpikedMatrixTensor(3, 0.5, 1.0)
    sol = dmft.solve(model, dmft.Langevin(1.0), t_max=120.0, m0=1e-3, integrator=UniformGrid())
    assert abs(sol.m[-1] - 0.6180339887498949) < 1e-6
    assert abs(sol.mu[-1] - 4.0) < 1e-5


MODEL = dmft.SpikedMatrixTensor(3, 0.5, 1.0)


@pytest.mark.parametrize("width", [0.25, 0.15, 0.05, 1e-3, 1e-6])
def test_steep_ramps_of_a_schedule(width):
    # neighbouring panels of very different length
    dynamics = dmft.Langevin(1.0, dmft.Annealing.piecewise(3, (0.0, 1.0, 1.0 + width), (10.0, 10.0, 1.0)))
    kwargs = dict(t_max=3.0, m0=0.1)
    coarse = dmft.solve(MODEL, dynamics, integrator=UniformGrid(dt=0.02), **kwargs)
    fine = dmft.solve(MODEL, dynamics, integrator=UniformGrid(dt=0.01), **kwargs)
    error = np.abs(coarse.mu - fine.interpolate("mu", coarse.t)).max()
    assert error < 1e-5
    assert error < 10 * coarse.stats["error"]["mu"]
    assert coarse.stats["steps"] < 400


def test_kinks_that_coincide_or_lie_at_the_ends():
    annealing = dmft.Annealing({2: dmft.Piecewise((0.0, 0.3), (2.0, 1.0)), 3: dmft.Piecewise((0, 0.1 + 0.2), (2, 1))})
    sol = dmft.solve(MODEL, dmft.Langevin(1.0, annealing), t_max=1.0)
    assert sol.status == "finished"
    for times in ((0.0, 1.0), (0.5, 2.0), (0.0, 1e-3)):
        annealing = dmft.Annealing.piecewise(3, times, (2.0, 1.0))
        assert dmft.solve(MODEL, dmft.Langevin(1.0, annealing), t_max=1.0).status == "finished"


def test_a_dense_table_is_a_schedule_without_resolved_kinks():
    t = np.linspace(0, 5, 501)
    annealing = dmft.Annealing.piecewise(3, t, 1 + np.exp(-t))
    sol = dmft.solve(MODEL, dmft.Langevin(1.0, annealing), t_max=5.0, m0=0.1, integrator=UniformGrid(dt=0.02))
    exact = dmft.solve(MODEL, dmft.Langevin(1.0, dmft.Annealing.exponential(3, 1.0, 1.0)), t_max=5.0, m0=0.1)
    assert sol.stats["steps"] == 250
    assert np.abs(sol.mu - exact.interpolate("mu", sol.t)).max() < 1e-4


@pytest.mark.parametrize("steps", [1, 2, 3, 5, 6, 7, 13])
def test_few_steps(steps):
    t_max = 0.01 * steps
    sol = dmft.solve(MODEL, dmft.Langevin(1.0), t_max=t_max, m0=0.1, integrator=UniformGrid(dt=0.01), save_at=[t_max])
    assert sol.t[-1] == t_max
    assert sol.stats["steps"] == max(steps, 6)
    assert sol.stats["error"]["mu"] < 1e-9
    assert sol.C(t_max, t_max) == pytest.approx(1.0, abs=1e-13)
    assert sol.interpolate("m", t_max) == sol.m[-1]


def test_the_last_time_is_exact():
    for t_max in (0.07, 0.7, 1.1, 3.3, 7.0, 12.345):
        for dt in (0.01, 0.013, 0.03):
            run_ = UniformGrid(dt=dt).start(TwoTimeEquations(MODEL.coefficients, 1.0, 0.1), t_max)
            run_.levels = [0]
            run_._start()
            assert t_max in run_.solver.t


def test_a_smooth_function_as_schedule_is_not_much_dearer_than_a_known_one():
    known = dmft.Annealing.exponential(3, 10.0, 4.0)
    function = dmft.Annealing({3: lambda t: 1 + 10 * math.exp(-t / 4)})
    a, b = (dmft.solve(MODEL, dmft.Langevin(1.0, x), t_max=15.0, m0=0.01) for x in (known, function))
    assert b.stats["steps"] < 3 * a.stats["steps"]
    assert b.m[-1] == pytest.approx(a.m[-1], rel=2e-6)


def test_schedules_that_end_at_the_final_time():
    for f in (lambda t: 2 - t if t <= 1 else -1.0, lambda t: 1 + math.sqrt(1 - t)):
        dynamics = dmft.Langevin(1.0, dmft.Annealing({3: f}))
        sol = dmft.solve(MODEL, dynamics, t_max=1.0, integrator=UniformGrid(dt=0.03))
        assert sol.status == "finished"


def test_memory_of_the_stage_before_counts_as_free(monkeypatch):
    eq = TwoTimeEquations(MODEL.coefficients, 1.0, 0.1)
    run_ = UniformGrid(rtol=1e-6).start(eq, 5.0)
    held = run_.solver.C.nbytes + run_.solver.R.nbytes
    need = uniform.memory(6 * run_.grid.panels(0))
    monkeypatch.setattr(uniform, "available_memory", lambda: need - held + 1)
    run_._check_memory(6 * run_.grid.panels(0))
    monkeypatch.setattr(uniform, "available_memory", lambda: need - held - 1)
    with pytest.raises(MemoryError):
        run_._check_memory(6 * run_.grid.panels(0))


FORK = """
import multiprocessing
import dmft

def solve(_):
    model = dmft.SpikedMatrixTensor(3, 0.5, 1.0)
    integrator = dmft.UniformGrid(dt=0.04, threads=2)
    sol = dmft.solve(model, dmft.Langevin(), t_max=20.0, m0=0.1, integrator=integrator)
    return sol.stats["threads"], sol.m[-1]

if __name__ == "__main__":
    threads, m = solve(0)
    with multiprocessing.get_context("fork").Pool(1) as pool:
        child_threads, child_m = pool.map(solve, [0])[0]
    assert (threads, child_threads) == (2, 1)
    assert abs(child_m / m - 1) < 1e-12
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this platform cannot fork")
def test_threads_after_a_fork():
    subprocess.run([sys.executable, "-c", FORK], check=True, timeout=300)


@pytest.mark.parametrize(
    ("make", "error", "text"),
    [
        (lambda: dmft.UniformGrid(dt=0.1, rtol=0.1), ValueError, "give only one"),
        (lambda: dmft.UniformGrid(dt=-0.1), ValueError, "dt = -0.1"),
        (lambda: dmft.UniformGrid(rtol=1e-15), ValueError, "rtol = 1e-15"),
        (lambda: dmft.UniformGrid(threads=0), ValueError, "threads = 0"),
        (lambda: dmft.UniformGrid(threads=1.5), TypeError, "threads"),
    ],
)
def test_bad_configuration(make, error, text):
    with pytest.raises(error, match=text):
        make()


def test_repr_can_be_pasted_back():
    thing = dmft.UniformGrid(dt=0.1, threads=2)
    assert eval(repr(thing), {name: getattr(dmft, name) for name in dmft.__all__}) == thing
    hash(thing)
