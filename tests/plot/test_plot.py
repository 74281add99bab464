"""Plots draw what they say."""

import numpy as np
import pytest

import dmft

pytest.importorskip("matplotlib")
MODEL = dmft.SpikedMatrixTensor(3, 0.4, 1.0)


@pytest.fixture(scope="module")
def sol():
    return dmft.solve(MODEL, dmft.Langevin(1.0), t_max=10.0, m0=0.05)


GAUSSIAN = [kind for kind in dmft.plot.KINDS if kind != "losses"]  # those of models without measurements


def lines(figure, axes=0):
    return figure.axes[axes].get_lines()


def test_overlap_over_simulation(sol):
    sim = dmft.simulate(MODEL, dmft.Langevin(), t_max=1.0, N=20, samples=3, records=5, m0=0.05)
    figure = dmft.plot.overlap({"theory": sol, "N = 20": sim}, log_t=True, log_m=True)
    np.testing.assert_array_equal(lines(figure)[0].get_ydata(), sol.m)
    assert len(figure.axes[0].containers) == 1


def test_two_time_curves(sol):
    (line,) = lines(dmft.plot.correlation(sol, t_w=[2.0], log=False))
    tau, c = line.get_data()
    np.testing.assert_allclose(c, sol.C(np.minimum(2.0 + tau, 10.0), 2.0))
    (line,) = lines(dmft.plot.response(sol, t_w=[2.0]))
    assert line.get_ydata()[0] == pytest.approx(1.0, abs=0.05)


def test_fdt_integral_is_accurate(sol):
    # without quenched forces C = exp(-T tau) = 1 - T chi
    free = dmft.solve(dmft.SpikedMatrixTensor(3, np.inf, np.inf), dmft.Langevin(0.5), t_max=4.0)
    line = lines(dmft.plot.fdt(free, t=4.0))[0]
    c, chi = line.get_data()
    np.testing.assert_allclose(chi, (1 - c) / 0.5, atol=1e-6)


def test_every_kind(sol):
    for kind in GAUSSIAN:
        assert dmft.plot.make(sol, kind).axes
    with pytest.raises(ValueError, match="kind = 'pie' is not allowed"):
        dmft.plot.make(sol, "pie")
    with pytest.raises(ValueError, match="SpikedMatrixTensor has no losses"):
        dmft.plot.losses(sol)
    few = dmft.solve(MODEL, dmft.Langevin(1.0), t_max=1.0, save_at=[1.0])
    assert dmft.plot.overview(few).axes
    with pytest.raises(ValueError, match="needs all rows of C"):
        dmft.plot.correlation(few)


def test_discrete_dynamics():
    model = dmft.SpikedMatrixTensor(3, 1.0, 2 / 3, dmft.SoftSphere(10.0))
    sol = dmft.solve(model, dmft.Nesterov(0.01, temperature=0.1), steps=80, m0=0.1)
    for kind in GAUSSIAN:
        figure = dmft.plot.make(sol, kind)
    assert dmft.plot.overlap(sol).axes[0].get_xlabel() == "iteration"
    R = sol.R.values
    line = lines(dmft.plot.fdt(sol, t=40))[0]
    np.testing.assert_allclose(line.get_xdata(), sol.C.values[40, :41])
    np.testing.assert_allclose(line.get_ydata(), [R[40, s:].sum() for s in range(41)])
    (line,) = lines(dmft.plot.correlation(sol, t_w=[10]))
    tau = line.get_xdata()
    np.testing.assert_array_equal(tau, np.round(tau))
    np.testing.assert_allclose(line.get_ydata(), sol.C.values[(10 + tau).astype(int), 10])
    massive = dmft.UnderdampedLangevin(1.0, 1.0, 0.0)
    ball = dmft.solve(model, massive.heavy_ball(0.1), steps=20)
    figure = dmft.plot.energy({"ball": ball, "massive": dmft.solve(model, massive, t_max=2.0)})
    np.testing.assert_array_equal(lines(figure)[0].get_xdata(), ball.scalars["time"])
    assert figure.axes[0].get_xlabel() == "t"
    short = dmft.solve(model, dmft.Nesterov(0.01), steps=3)
    assert len(lines(dmft.plot.correlation(short))) == 2  # t_w = 1 and 2
    for t_w in (80.0, 90.0, -1.0):
        with pytest.raises(ValueError, match=r"t_w = .* is not allowed"):
            dmft.plot.correlation(sol, t_w=t_w)
    figure = dmft.plot.overview(dmft.solve(model, dmft.UnderdampedLangevin(1.0), t_max=2.0))
    assert "SoftSphere(strength=10.0)), UnderdampedLangevin(mass=1), m0 = 0" in figure._suptitle.get_text()


@pytest.mark.parametrize("p", [3, 4])
def test_phase_diagram(p):
    deltap = np.geomspace(0.1, 5.0, 9)
    figure = dmft.plot.phase_diagram(p, deltap)
    drawn = {line.get_label(): line.get_ydata() for line in lines(figure)}
    np.testing.assert_array_equal(drawn["gradient flow"], 1 / dmft.thresholds.gradient_flow(p, deltap))
    with pytest.raises(ValueError, match="names = 'pie'"):
        dmft.plot.phase_diagram(p, deltap, names=["pie"])
    for bad in (1.0, [], [1.0, np.inf]):
        with pytest.raises(ValueError, match=r"deltap = .* is not allowed for a plot"):
            dmft.plot.phase_diagram(p, bad)
    assert dmft.plot.phase_diagram(p, [5.0, 0.1, np.inf]).axes[0].get_xlim() == (0.1, 5.0)


def test_complexity_curves():
    model = dmft.SpikedMatrixTensor(3, 0.7, 1.0)
    figure = dmft.plot.complexity(model)
    minima = {line.get_label(): line for line in lines(figure)}["minima"]
    m, sigma = minima.get_data()
    np.testing.assert_array_equal(sigma, dmft.landscape.complexity(model, m))
    assert len(dmft.plot.complexity(model, energies=False).axes) == 1
    for strong in (dmft.SpikedMatrixTensor(3, 1e-6, 1e-6), dmft.SpikedMatrixTensor(3, 0.01, np.inf)):
        low, high = dmft.plot.complexity(strong).axes[0].get_ylim()
        assert low < 0 < high
    figure = dmft.plot.complexity(dmft.MixedSpin({3: 0.5}))
    e, sigma = lines(figure)[0].get_data()
    np.testing.assert_array_equal(sigma, dmft.landscape.complexity(dmft.MixedSpin({3: 0.5}), kind="all", energy=e))


def test_state_evolution_and_free_entropy():
    model = dmft.SpikedMatrixTensor(3, 1.05, 0.5)
    run = dmft.amp.state_evolution(model, m0=0.3)
    figure = dmft.plot.state_evolution(run)
    np.testing.assert_array_equal(lines(figure)[0].get_ydata(), run.m)
    assert len(lines(figure)) == 1 + len(run.fixed_points)
    sim = dmft.simulate(model, dmft.AMP(), steps=5, N=30, samples=3, m0=0.3)
    assert len(dmft.plot.state_evolution({"theory": run, "N = 30": sim}).axes[0].containers) == 1
    curve, *points = lines(dmft.plot.free_entropy(model))
    np.testing.assert_array_equal(curve.get_ydata(), dmft.amp.free_entropy(model, curve.get_xdata()))
    assert len(points) == 3
    for draw in (dmft.plot.free_entropy, dmft.plot.state_evolution):
        with pytest.raises(TypeError, match="must be a"):
            draw(3)


def test_a_failed_run_can_be_plotted():
    with pytest.raises(dmft.SolverError) as info:
        dmft.solve(dmft.MixedSpin({3: 5.0}), dmft.Langevin(), t_max=10.0, integrator=dmft.UniformGrid(dt=0.5))
    assert dmft.plot.overview(info.value.partial).axes
