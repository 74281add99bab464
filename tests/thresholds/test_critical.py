"""Numerical thresholds: bisection against exact horizons, fits against known power laws and closed forms."""

import json
import math
from dataclasses import replace

import numpy as np
import pytest
from scipy.optimize import brentq

import dmft
from dmft import thresholds
from dmft.cli import main
from dmft.thresholds import divergence, search

INF = math.inf
MATRIX = dmft.SpikedMatrixTensor(3, 0.4, INF)
LOW = dmft.Crossing("m", 1e-2)  # below it the overlap leaves the rest alone
LONG = dmft.LogTime(rtol=1e-5, pilot=False)


def matrix_overlap(t, delta2, m0):
    """Overlap under gradient flow of the spiked matrix alone: x(t) is exp(tM) x(0), normalised.

    M has the semicircle of edge 2s, s = 1/sqrt(delta2), and the spike 1/delta2, whose spectral measure is known.
    """
    s, spike = delta2**-0.5, 1 / delta2
    angle = (np.arange(4000) + 0.5) * math.pi / 4000
    x, weight = 2 * s * np.cos(angle), math.pi / 4000
    bulk = 2 / math.pi * np.sin(angle) ** 2 * weight
    planted = (2 * s * np.sin(angle)) ** 2 / (2 * math.pi) / (s * s + spike**2 - spike * x) * weight
    top, atom = spike + s * s / spike, max(0.0, 1 - (s / spike) ** 2)
    largest = max(top, 2 * s)

    def mean(k, density, atom):
        return density @ np.exp(k * t * (x - largest)) + atom * math.exp(k * t * (top - largest))

    norm = m0**2 * mean(2, planted, atom) + (1 - m0**2) * mean(2, bulk, 0.0)
    return m0 * mean(1, planted, atom) / math.sqrt(norm)


def consistent(found):
    """The evaluations say what the result says."""
    for x, time in found.evaluations:
        assert math.isfinite(time) == ((x < found.value) == found.succeeds_below)
    values = [x for x, _ in found.evaluations]
    assert found.low in values and found.high in values and len(set(values)) == len(values)
    return True


# bisection


@pytest.mark.parametrize(("t_max", "m0"), [(5.0, 1e-2), (10.0, 1e-2), (10.0, 1e-3), (20.0, 1e-2)])
def test_matrix_alone_has_the_exact_horizon_threshold(t_max, m0):
    exact = brentq(lambda d: matrix_overlap(t_max, d, m0) - 0.5, 0.1, 1.0)
    found = search.threshold(MATRIX, dmft.GradientFlow(), "delta2", (1.0, 0.1), t_max=t_max, m0=m0)
    assert found.low - 1e-6 <= exact <= found.high + 1e-6
    assert found.high - found.low <= 0.9e-3 and found.succeeds_below
    assert consistent(found)


def test_horizon_threshold_of_the_matrix_tends_to_the_level():
    # the final overlap is sqrt(1 - delta2): with a lower level the threshold is nearer to 1
    found = [
        search.threshold(
            MATRIX, dmft.GradientFlow(), "delta2", (0.1, 1.0), t_max=t, m0=1e-2, width=0.01, event=dmft.Crossing("m", v)
        ).value
        for t, v in ((10.0, 0.5), (20.0, 0.5), (20.0, 0.2))
    ]
    assert found == sorted(found) and found[0] > 0.45 and found[-1] < 1.0


def test_smallest_start_succeeds_above():
    exact = brentq(lambda m0: matrix_overlap(5.0, 0.4, m0) - 0.5, 1e-4, 0.1)
    found = search.threshold(MATRIX, dmft.GradientFlow(), "m0", (1e-4, 0.1), t_max=5.0, width=1e-5)
    assert found.low - 1e-7 <= exact <= found.high + 1e-7
    assert not found.succeeds_below and consistent(found)


@pytest.mark.parametrize(
    ("dynamics", "over", "bracket", "time"),
    [
        (dmft.GradientDescent(0.1), "learning_rate", (0.005, 0.05), lambda x: 400 * x),
        (dmft.HeavyBall(0.1, 0.5), "dynamics.learning_rate", (0.002, 0.02), lambda x: 800 * x),
        (dmft.HeavyBall(0.007, 0.0), "momentum", (0.0, 0.9), lambda x: 2.8 / (1 - x)),
    ],
)
def test_small_learning_rates_reach_the_level_with_gradient_flow(dynamics, over, bracket, time):
    flow = brentq(lambda t: matrix_overlap(t, 0.4, 1e-2) - 0.5, 0.1, 20.0)
    found = search.threshold(MATRIX, dynamics, over, bracket, steps=400, m0=1e-2, width=1e-3 * bracket[1])
    assert abs(time(found.value) / flow - 1) < 0.08  # the learning rate is finite
    assert not found.succeeds_below and consistent(found)


def test_largest_noise_falls_with_the_horizon():
    found = [
        search.threshold(MATRIX, dmft.Langevin(), "temperature", (0.0, 3.0), t_max=t, m0=0.1, width=0.02)
        for t in (4.0, 8.0)
    ]
    assert found[0].value < found[1].value and all(f.succeeds_below for f in found)
    mass = search.threshold(
        MATRIX, dmft.UnderdampedLangevin(0.1, temperature=0.0), "mass", (0.05, 5.0), t_max=6.5, m0=1e-2, width=0.1
    )
    assert mass.succeeds_below and consistent(mass)


def test_smallest_alpha_of_a_linear_problem_falls_with_the_number_of_steps():
    model, paths = dmft.PhaseRetrieval(alpha=2.0, loss="square"), dmft.SampledPaths(paths=256, scrambles=1)
    found = [
        search.threshold(
            model,
            dmft.GradientDescent(0.05),
            "alpha",
            (0.5, 6.0),
            steps=steps,
            m0=0.1,
            integrator=paths,
            event=dmft.Crossing("m", 0.9),
            width=0.02,
        )
        for steps in (20, 40)
    ]
    assert found[0].value > found[1].value + 0.1 and not found[0].succeeds_below
    # linear: the overlap knows the second moments of the data only, the sampling is exact
    other = replace(paths, seed=7)
    again = search.threshold(
        model,
        dmft.GradientDescent(0.05),
        "alpha",
        (0.5, 6.0),
        steps=40,
        m0=0.1,
        integrator=other,
        event=dmft.Crossing("m", 0.9),
        width=0.02,
    )
    assert again.value == found[1].value


@pytest.mark.filterwarnings("ignore:.*heavy tails")
def test_seed_fixes_the_paths_of_phase_retrieval():
    model, dynamics = dmft.PhaseRetrieval(alpha=2.0), dmft.GradientDescent(0.01)

    def found(seed, width=0.5):
        paths = dmft.SampledPaths(paths=512, scrambles=2)
        kwargs = dict(steps=60, m0=0.3, integrator=paths, event=dmft.Crossing("m", 0.9), width=width, seed=seed)
        return search.threshold(model, dynamics, "alpha", (1.0, 17.0), **kwargs)

    first = found(3)
    assert first == found(3) and first.seed == 3  # the seconds do not count
    assert first.evaluations != found(4).evaluations
    assert not first.succeeds_below and 2.0 < first.value < 10.0


def test_result_says_what_was_held_fixed():
    told = []
    found = search.threshold(
        MATRIX,
        dmft.GradientFlow(),
        "model.delta2",
        (0.2, 1.0),
        t_max=5,
        m0=0.1,
        width=0.1,
        progress=lambda fraction, label: told.append((fraction, label)),
    )
    assert (found.model, found.dynamics, found.t_max, found.steps, found.m0) == (
        MATRIX,
        dmft.GradientFlow(),
        5,
        None,
        0.1,
    )
    assert found.event == dmft.Crossing("m", 0.5) and found.integrator is None and found.seconds > 0
    assert repr(found).startswith("Threshold(model.delta2=0.") and "crosses 0.5 below, t_max=5" in repr(found)
    assert [label for _, label in told] == ["bisection"] * len(found.evaluations)
    assert told[0][0] == 0 and told[-1][0] == (len(told) - 1) / len(told)
    with pytest.raises(AttributeError):
        found.value = 1.0


def test_event_that_is_not_terminal_ends_the_runs_all_the_same():
    watch = dmft.Crossing("m", 0.5, terminal=False)
    kwargs = dict(t_max=5.0, m0=0.1, width=0.1)
    a, b = (
        search.threshold(MATRIX, dmft.GradientFlow(), "delta2", (0.2, 1.0), event=e, **kwargs)
        for e in (watch, replace(watch, terminal=True))
    )
    assert a.evaluations == b.evaluations


def test_zero_overlap_is_allowed_where_the_event_can_occur():
    glass, flow = dmft.MixedSpin({3: 0.5}), dmft.Langevin(0.1)
    found = search.threshold(
        glass, flow, "temperature", (0.1, 3.0), t_max=2.0, width=1.0, event=dmft.Crossing("energy", -0.6)
    )
    assert found.m0 == 0.0 and found.succeeds_below
    runs = search.Runs(dmft.PhaseRetrieval(3.0, "square"), dmft.GradientDescent(0.1), "alpha", None, 9, None, LOW, 0)
    runs.refuse_start(0.0)  # the labels know the sign
    with pytest.raises(ValueError, match="m0 = 0 never finds"):
        replace(runs, model=dmft.PhaseRetrieval(3.0)).refuse_start(0.0)


@pytest.mark.parametrize(
    ("change", "error", "text"),
    [
        ({"bracket": (0.1, 0.2)}, ValueError, r"crosses 0.5 at both ends, at \d\.\d+ and \d\.\d+$"),
        ({"bracket": (0.8, 0.9)}, ValueError, "crosses 0.5 at neither end within t_max = 5$"),
        ({"m0": 0.0}, ValueError, "^m0 = 0 never finds the signal: give m0 > 0$"),
        ({"bracket": (0.5, 0.5)}, ValueError, r"bracket = \(0.5, 0.5\) is not allowed: its ends must differ"),
        ({"bracket": 0.5}, TypeError, "bracket must be two numbers, got 0.5"),
        ({"bracket": (0.5, "1")}, TypeError, r"bracket\[1\] must be a real number"),
        ({"bracket": (0.0, 1.0)}, ValueError, "delta2 = 0.0 is not allowed"),
        (
            {"over": "delta"},
            ValueError,
            r"over = 'delta' is not allowed \(did you mean 'delta.'\?\): choose one of delta2, deltap, m0",
        ),
        ({"over": "p"}, ValueError, "over = 'p' is not allowed"),
        ({"over": 3}, TypeError, "over must be the name of a parameter, got 3"),
        ({"width": 0.0}, ValueError, "width = 0.0 is not allowed"),
        ({"event": "m"}, TypeError, "event must be a Crossing"),
        ({"event": dmft.Crossing("q", 0.5)}, ValueError, "name = 'q' is not allowed"),
        ({"t_max": None}, ValueError, "t_max must be given"),
        ({"steps": 5}, ValueError, "steps = 5 is not allowed"),
        ({"seed": 1}, ValueError, "seed = 1 is not allowed"),
        ({"dynamics": "flow"}, TypeError, "dynamics must be a dynamics"),
        ({"progress": 3}, TypeError, "progress must be"),
    ],
)
def test_bad_bisections_are_refused(change, error, text):
    kwargs = dict(model=MATRIX, dynamics=dmft.GradientFlow(), over="delta2", bracket=(0.2, 1.0), t_max=5.0, m0=0.1)
    with pytest.raises(error, match=text):
        search.threshold(**{**kwargs, **change})


def fails_from(x, monkeypatch):
    """Runs with delta2 of x or more fail."""
    original = search.solve

    def solve(model, *args, **kwargs):
        if model.delta2 >= x:
            raise dmft.SolverError("no step was accepted", 3.0, "partial")
        return original(model, *args, **kwargs)

    monkeypatch.setattr(search, "solve", solve)


def test_failed_run_names_the_value(monkeypatch):
    fails_from(0.9, monkeypatch)
    with pytest.raises(dmft.SolverError, match=r"delta2 = 1.0: no step was accepted") as caught:
        search.threshold(MATRIX, dmft.GradientFlow(), "delta2", (0.2, 1.0), t_max=5.0, m0=0.1)
    assert (caught.value.time, caught.value.partial) == (3.0, "partial")


def interrupt_after(runs, monkeypatch):
    """The run after so many ends with Ctrl-C."""
    original, left = search.solve, iter(range(runs))

    def solve(*args, **kwargs):
        sol = original(*args, **kwargs)
        return sol if next(left, None) is not None else replace(sol, status="interrupted")

    monkeypatch.setattr(search, "solve", solve)


@pytest.mark.parametrize("runs", [0, 3])
def test_interrupted_run_ends_the_search(runs, monkeypatch):
    interrupt_after(runs, monkeypatch)
    with pytest.raises(KeyboardInterrupt) as caught:
        search.threshold(MATRIX, dmft.GradientFlow(), "delta2", (0.2, 1.0), t_max=5.0, m0=0.1)
    assert caught.value.x.tolist() == [0.2, 1.0, 0.6][:runs] and caught.value.m0.tolist() == [0.1] * runs
    assert np.isfinite(caught.value.escape_time).tolist() == [True, False, True][:runs]


# fits of known laws

POINTS = np.array([0.30, 0.35, 0.40, 0.45, 0.50, 0.55, 0.60])


@pytest.mark.parametrize("nu", [0.3, 1.0, 2.0, 3.7, 8.0])
@pytest.mark.parametrize(("value", "points"), [(0.63, POINTS), (0.9, POINTS), (0.25, POINTS), (-0.6, -2.5 * POINTS)])
def test_exact_power_law_is_recovered(nu, value, points):
    t = 2.5 * abs(points - value) ** -nu
    if t.max() < 3.2 * t.min():
        with pytest.raises(divergence.NoDivergenceError, match="-fold over the data"):
            divergence.escape_fit(points, t)
        return
    fit = divergence.escape_fit(points, t)
    assert abs(fit.value - value) < 1e-6 and abs(fit.exponent - nu) < 1e-5 and abs(fit.amplitude / 2.5 - 1) < 1e-5
    assert fit.rms < 1e-8 and abs(fit.drift) < 1e-6 and fit.m0_drift is None and fit.points == 7
    assert fit.interval[0] <= fit.value <= fit.interval[1] and fit.interval[1] - fit.interval[0] < 1e-5
    np.testing.assert_allclose(fit(points), t, rtol=1e-6)
    beyond = value + (value - points[np.argmax(t)])
    assert fit(beyond) == INF and fit(value + 1e-3 * np.sign(beyond - value)) == INF


def test_order_units_and_missing_entries_do_not_matter():
    t = 2.5 * (0.7 - POINTS) ** -2 * np.exp(0.02 * np.sin(40 * POINTS))
    fit = divergence.escape_fit(POINTS, t)
    shuffled = np.random.default_rng(1).permutation(7)
    x = np.concatenate([POINTS[shuffled], [0.33, 0.8, 0.75]])
    other = divergence.escape_fit(10 * x - 3, 1e3 * np.concatenate([t[shuffled], [math.nan, INF, INF]]))
    np.testing.assert_allclose((other.value + 3) / 10, fit.value, rtol=1e-7)
    np.testing.assert_allclose((np.array(other.interval) + 3) / 10, fit.interval, rtol=1e-6)
    np.testing.assert_allclose(other.exponent, fit.exponent, rtol=1e-6)
    assert other.points == fit.points == 7 and len(other.x) == 10 and np.isnan(other.escape_time).sum() == 1
    assert "EscapeFit(value=0.7" in repr(fit) and "7 points" in repr(fit)


def test_known_exponent():
    t = 2.5 * (0.7 - POINTS) ** -2
    fit = divergence.escape_fit(POINTS[3:], t[3:] * [1, 1.01, 0.99, 1], exponent=2)
    assert fit.exponent == 2.0 and fit.exponent_interval == (2.0, 2.0)
    assert fit.interval[0] < 0.7 < fit.interval[1] and abs(fit.value - 0.7) < 0.05


@pytest.mark.parametrize("value", [0.7, 0.2])
def test_logarithmic_scale(value):
    t = 2.5 * abs(np.log(POINTS / value)) ** -2
    fit = divergence.escape_fit(POINTS, t, scale="log")
    np.testing.assert_allclose([fit.value, fit.exponent, fit.amplitude], [value, 2.0, 2.5], rtol=1e-5)
    np.testing.assert_allclose(fit(POINTS), t, rtol=1e-5)
    assert fit(0.5 * (value + (0.1 if value < 0.3 else 0.9))) == INF and abs(fit.drift) < 1e-5 and fit.scale == "log"
    assert 0 < fit.interval[0] <= fit.value <= fit.interval[1]


def test_several_m0_fit_the_growth_time_whatever_was_before():
    m0 = np.array([1e-3, 1e-6, 1e-12])
    growth = 3.0 * (0.7 - POINTS) ** -2
    before = 5.0 + 100 * POINTS  # of the early times: no part of the law
    t = growth[:, None] * np.log(1 / m0) + before[:, None]
    fit = divergence.escape_fit(POINTS[:, None], t, m0)
    np.testing.assert_allclose([fit.value, fit.exponent, fit.amplitude], [0.7, 2.0, 3.0], rtol=1e-6)
    np.testing.assert_allclose(fit.time_fitted, growth, rtol=1e-9)
    assert abs(fit.m0_drift) < 1e-7 and "m0_drift=" in repr(fit) and fit.m0.shape == fit.x.shape == (21,)
    single = divergence.escape_fit(POINTS, t[:, 2], np.full(7, 1e-12))
    assert abs(single.value - 0.7) > 1e-3 and single.m0_drift is None
    assert fit.caveats == () and "not converged" not in repr(fit)
    # without an escape from the smallest m0 a point counts as trapped
    t[-1, 2] = INF
    assert divergence.escape_fit(POINTS[:, None], t, m0).points == 6
    t[:4, 0] = math.nan
    fit = divergence.escape_fit(POINTS[:, None], t, m0)
    assert fit.points == 6 and fit.m0_drift is None


def test_drifts_show_where_the_law_fails():
    x = np.linspace(0.3, 0.65, 12)
    t = (0.7 - x) ** -2 * (1 + 4 * (0.7 - x) ** 2) ** -1  # steeper far away
    fit = divergence.escape_fit(x, t)
    assert fit.value > 0.7 and fit.drift < 0 and abs(fit.value + fit.drift - 0.7) < abs(fit.value - 0.7)
    # a rate that falls with age: x_c beyond 0.7, and nearer from smaller m0
    rate, gain = (0.72 - x[:, None]) ** 2, np.log([1e2, 1e5, 1e8])
    t = np.vectorize(lambda r, g: brentq(lambda t: r * t + math.log1p(t) - g, 0, 1e9))(rate, gain)
    fit = divergence.escape_fit(x[:, None], t, np.exp(-gain))
    assert fit.value > 0.72 and fit.m0_drift < 0
    assert "with smaller m0 (m0 drift), more than its interval" in fit.caveats[0]
    assert repr(fit).endswith("12 points, not converged: see caveats)")


def test_essential_singularity_passes_as_a_power_law_with_a_large_exponent():
    x = np.linspace(0.5, 0.95, 10)
    fit = divergence.escape_fit(x, np.exp(3 / (1.2 - x)))
    assert fit.exponent > 3 and fit.interval[1] < 1.1 and "without the farther points" in fit.caveats[0]


def coverage(kind, sets=300):
    """Share of noisy sets whose intervals contain x_c and nu."""
    rng, hits = np.random.default_rng(5), np.zeros(2)
    for _ in range(sets):
        if kind == "m0":
            m0 = np.array([1e-4, 1e-8])
            t = 2.0 * (0.7 - POINTS[:, None]) ** -2 * np.log(1 / m0)
            noise = 0.01
        else:
            m0, t, noise = None, 2.0 * (0.7 - POINTS) ** -2, 0.05
        t = t * np.exp(noise * rng.standard_normal(t.shape))
        fit = divergence.escape_fit(
            POINTS if m0 is None else POINTS[:, None], t, m0, exponent=2 if kind == "known" else None
        )
        inside = [fit.interval[0] < 0.7 < fit.interval[1], fit.exponent_interval[0] < 2 < fit.exponent_interval[1]]
        hits += inside
    return hits / sets


@pytest.mark.parametrize("kind", ["one", "m0", "known"])
def test_intervals_contain_the_truth_as_often_as_they_say(kind):
    shares = coverage(kind)
    bound = 3.3 * math.sqrt(0.95 * 0.05 / 300)
    assert abs(shares[0] - 0.95) < bound
    assert kind == "known" or abs(shares[1] - 0.95) < bound


# refusals

GOOD = 2.5 * (0.7 - POINTS) ** -2.0


@pytest.mark.parametrize(
    ("x", "t", "text"),
    [
        (POINTS[:4], GOOD[:4], "4 finite times at different x, at least 5 are needed"),
        (POINTS, np.where(POINTS < 0.5, INF, GOOD), "3 finite times"),
        (POINTS, np.where(POINTS < 0.5, math.nan, GOOD), "3 finite times"),
        (POINTS, np.full(7, INF), "0 finite times"),
        (POINTS, np.full(7, 3.0), r"do not grow towards one side \(rank correlation 0\)"),
        (POINTS, 1 + (POINTS - 0.45) ** 2, "do not grow towards one side"),
        (POINTS, (2.0 - POINTS) ** -1.0, "grow 1.21-fold over the data, at least 3-fold"),
        (POINTS, np.where(POINTS == 0.3, INF, GOOD), "no escape at x = 0.3, but escapes beyond it"),
        (POINTS, np.where(POINTS == 0.45, INF, GOOD), "no escape at x = 0.45, but escapes beyond it"),
        (POINTS, np.exp(10 * POINTS), "as far from the data as one likes: an exponential"),
        (POINTS, POINTS**8, "as far from the data"),  # a power law without a divergence
        (POINTS, np.exp(6 * np.tanh(8 * (POINTS - 0.45))), "as far from the data"),  # saturates
        (POINTS, GOOD * np.exp([0.6, -0.9, 0.6, -0.6, 0.9, -0.6, 0.3]), "as (far|close)"),  # noise
        (POINTS, np.exp([0, 0.1, 0.2, 0.3, 0.4, 0.5, 8]), "as close to the last point, 0.6, as one likes"),
        (POINTS, 1 + 8 * (POINTS == 0.6) + 0.01 * POINTS, "as close to the last point"),
        (0.7 - 10.0 ** -np.arange(8), (10.0 ** -np.arange(8)) ** -0.07, "exponent 0.07"),
        (POINTS, abs(3.0 - POINTS) ** -15.0, "exponent 15"),
    ],
)
def test_data_without_a_divergence_are_refused(x, t, text):
    with pytest.raises(divergence.NoDivergenceError, match=text) as caught:
        divergence.escape_fit(x, t)
    assert isinstance(caught.value, ValueError) and str(caught.value).startswith("no divergence can be fitted: ")
    np.testing.assert_array_equal(caught.value.escape_time, t)


def test_large_and_systematic_residuals_are_refused():
    x = np.linspace(0.3, 0.69, 40)
    with pytest.raises(divergence.NoDivergenceError, match="the residuals are systematic"):
        divergence.escape_fit(x[:30], (0.7 - x[:30]) ** -3.7, exponent=2.0)
    rng = np.random.default_rng(2)
    noisy = (0.7 - x) ** -1.0 * np.exp(0.6 * rng.standard_normal(40))
    with pytest.raises(divergence.NoDivergenceError, match=r"residuals are 0\.\d+ of the variation"):
        divergence.escape_fit(x, noisy, exponent=1.0)


def test_times_that_do_not_grow_as_m0_falls_are_refused():
    with pytest.raises(divergence.NoDivergenceError, match="does not grow as m0 falls"):
        divergence.escape_fit(POINTS[:, None], GOOD[:, None] * [1.0, 0.9], [1e-4, 1e-8])


@pytest.mark.parametrize(
    ("args", "kwargs", "error", "text"),
    [
        ((POINTS, GOOD[:3]), {}, ValueError, r"must broadcast, got shapes \(7,\), \(3,\), \(\)"),
        ((POINTS, -GOOD), {}, ValueError, "escape_time contains -15.625"),
        ((POINTS * INF, GOOD), {}, ValueError, "x must be finite"),
        (("a", GOOD), {}, TypeError, "x must be an array of numbers, got 'a'"),
        ((POINTS, GOOD, 0.0), {}, ValueError, "m0 = 0 is not allowed: overlaps must be > 0 and <= 1"),
        (
            (POINTS, GOOD, [1e-3] * 6 + [1e-4]),
            {},
            ValueError,
            "at x = 0.3: give one with m0 = 0.0001 and one with 0.001",
        ),
        (
            (POINTS, GOOD),
            {"scale": "cubic"},
            ValueError,
            "scale = 'cubic' is not allowed: choose one of 'linear', 'log'",
        ),
        (
            (POINTS - 0.3, GOOD),
            {"scale": "log"},
            ValueError,
            "x contains 0: on a logarithmic scale it must be positive",
        ),
        ((POINTS, GOOD), {"exponent": 0}, ValueError, "exponent = 0.0 is not allowed"),
    ],
)
def test_bad_data_are_refused(args, kwargs, error, text):
    with pytest.raises(error, match=text) as caught:
        divergence.escape_fit(*args, **kwargs)
    assert not isinstance(caught.value, divergence.NoDivergenceError)


# fits of escape times


def matrix_fit(**change):
    """Escape times of the matrix alone: the level m = 0.1 is passed up to delta2 = 0.99."""
    kwargs = dict(
        model=MATRIX,
        dynamics=dmft.GradientFlow(),
        over="delta2",
        values=[0.3, 0.35, 0.4, 0.45, 0.5, 0.55],
        m0=[1e-4, 1e-6],
        t_max=60.0,
        event=LOW,
        integrator=dmft.UniformGrid(dt=0.1),
        exponent=2.0,
    )
    return divergence.escape_threshold(**{**kwargs, **change})


@pytest.fixture(scope="module")
def whole_fit():
    return matrix_fit()


def test_escape_times_of_the_matrix_are_exact_and_diverge_at_one(whole_fit):
    fit = whole_fit
    for x, t, m0 in zip(fit.x, fit.escape_time, fit.m0, strict=True):
        assert abs(matrix_overlap(t, x, m0) / 1e-2 - 1) < 1e-3
    # the rate is (1 - s)^2 / delta2, s = sqrt(delta2): exponent 2 at 1, but the points are far away
    assert abs(fit.value - 1) < 0.3
    assert fit.points == 6 and fit.m0.tolist() == [1e-4, 1e-6] * 6


def test_exact_times_of_the_matrix_diverge_at_one():
    x, m0 = np.array([0.7, 0.75, 0.8, 0.85, 0.9, 0.95]), np.array([1e-6, 1e-9, 1e-12])

    def time(x, m0):
        return brentq(lambda t: math.log(matrix_overlap(t, x, m0) / 1e-2), 1.0, 1e5)

    fit = divergence.escape_fit(x[:, None], np.vectorize(time)(x[:, None], m0), m0)
    assert 1 < fit.value < 1.03 and fit.drift < 0
    assert abs(fit.m0_drift) < 1e-4  # no aging: the growth time does not know m0
    known = divergence.escape_fit(fit.x, fit.escape_time, fit.m0, exponent=2.0)
    assert abs(known.value - 1) < 0.02


def test_escape_threshold_passes_on_refusals_with_the_data():
    values = [0.3, 0.4, 0.5, 1.5]
    with pytest.raises(divergence.NoDivergenceError, match="3 finite times") as caught:
        matrix_fit(values=values, m0=1e-4)
    assert caught.value.x.tolist() == values and np.isfinite(caught.value.escape_time).tolist() == [True] * 3 + [False]


def test_interrupt_keeps_the_escape_times(whole_fit, monkeypatch):
    times = whole_fit.escape_time
    interrupt_after(3, monkeypatch)
    with pytest.raises(KeyboardInterrupt) as caught:
        matrix_fit()
    assert caught.value.x.tolist() == [0.3, 0.3, 0.35] and caught.value.m0.tolist() == [1e-4, 1e-6, 1e-4]
    np.testing.assert_array_equal(caught.value.escape_time, times[:3])


def test_failed_runs_are_left_out(monkeypatch):
    fails_from(0.55, monkeypatch)
    with pytest.warns(RuntimeWarning, match="left out: delta2 = 0.55: no step was accepted"):
        fit = matrix_fit()
    assert fit.points == 5 and np.isnan(fit.escape_time).sum() == 2


@pytest.mark.parametrize(
    ("change", "error", "text"),
    [
        ({"over": "m0"}, ValueError, "there is no threshold in m0"),
        ({"over": "alpha"}, ValueError, "over = 'alpha' is not allowed"),
        ({"values": []}, ValueError, "values = .* is not allowed: give distinct numbers"),
        ({"values": [0.3, 0.3]}, ValueError, "values = .* is not allowed: give distinct numbers"),
        ({"values": [0.3, INF]}, ValueError, "values = inf is not allowed"),
        ({"m0": [1e-3, 1e-3]}, ValueError, "m0 = .* is not allowed: give distinct numbers"),
        ({"m0": 2.0}, ValueError, "m0 = 2.0 is not allowed"),
        ({"m0": -0.1}, ValueError, "m0 = -0.1 is not allowed: it must be >= 0"),
        ({"m0": 0.0}, ValueError, "^m0 = 0 never finds the signal: give m0 > 0$"),
        ({"m0": [0.0, 0.1], "event": dmft.Crossing("energy", -1.0)}, ValueError, "m0 = .* several must be > 0"),
        ({"values": [0.3, 0.4, 0.5]}, ValueError, r"values = \[0.3, 0.4, 0.5\] is not allowed: give at least 4 values"),
        ({"values": [0.3, 0.4, 0.5, 0.6], "exponent": None}, ValueError, "give at least 5 values"),
        ({"exponent": -1.0}, ValueError, "exponent = -1.0 is not allowed"),
        ({"scale": None}, ValueError, "scale = None is not allowed"),
        ({"values": [-0.3, 0.3, 0.4, 0.5]}, ValueError, "delta2 = -0.3 is not allowed"),
    ],
)
def test_bad_escape_thresholds_are_refused_before_anything_is_solved(change, error, text, monkeypatch):
    monkeypatch.setattr(search, "solve", lambda *args, **kwargs: pytest.fail("solved"))
    with pytest.raises(error, match=text):
        matrix_fit(**change)


# against the closed forms; what is off comes from the finite age and from the law, which is asymptotic

CLOSED = {dmft.GradientFlow(): thresholds.gradient_flow, dmft.Langevin(): thresholds.langevin}


@pytest.mark.slow
@pytest.mark.parametrize(
    ("dynamics", "deltap", "exponent", "free", "known"),
    [
        (dmft.GradientFlow(), 0.5, 2.0, 0.08, 0.03),
        (dmft.GradientFlow(), 1.0, 2.0, 0.08, 0.03),
        (dmft.GradientFlow(), 2.0, 2.0, 0.08, 0.03),
        (dmft.Langevin(), 0.5, 2.2, 0.11, 0.04),
        (dmft.Langevin(), 1.0, 2.3, 0.11, 0.04),
    ],
    ids=str,
)
def test_growth_times_diverge_at_the_closed_form(dynamics, deltap, exponent, free, known):
    closed = CLOSED[dynamics](3, deltap)
    fit = divergence.escape_threshold(
        dmft.SpikedMatrixTensor(3, 0.3, deltap),
        dynamics,
        "delta2",
        closed * np.array([0.75, 0.8, 0.85, 0.9, 0.95]),
        m0=[1e-6, 1e-10, 1e-14],
        t_max=1e5,
        event=LOW,
        integrator=LONG,
    )
    fixed = divergence.escape_fit(fit.x, fit.escape_time, fit.m0, exponent=exponent)
    logarithmic = divergence.escape_fit(fit.x, fit.escape_time, fit.m0, scale="log")
    assert 0 < fit.value / closed - 1 < free and fit.m0_drift < 0
    assert 0 < logarithmic.value / closed - 1 < 0.7 * (fit.value / closed - 1) + 0.01
    # what is left is the age: one more step towards smaller m0 like the last one leaves about a half of it
    assert abs((logarithmic.value + logarithmic.m0_drift) / closed - 1) < 0.65 * (logarithmic.value / closed - 1)
    assert abs(fixed.value / closed - 1) < known and fixed.m0_drift < 0
    one = fit.m0 == 1e-6
    single = divergence.escape_fit(fit.x[one], fit.escape_time[one])
    assert single.value > fit.value  # finite m0


@pytest.mark.slow
def test_bisection_at_a_fixed_horizon_passes_the_threshold():
    # gradient flow, p = 3: from m0 = 1e-4 the signal is found beyond the closed form once the horizon is long
    model, closed = dmft.SpikedMatrixTensor(3, 0.5, 1.0), thresholds.gradient_flow(3, 1.0)
    kwargs = dict(m0=1e-4, width=0.02, event=LOW, integrator=dmft.LogTime(rtol=1e-4, pilot=False))
    found = [
        search.threshold(model, dmft.GradientFlow(), "delta2", (0.2, 0.7), t_max=t, **kwargs)
        for t in (10.0, 40.0, 400.0)
    ]
    assert all(f.succeeds_below and consistent(f) for f in found)
    assert found[0].high < found[1].low and found[1].high < closed < found[2].low


@pytest.mark.slow
def test_momentum_moves_the_horizon_threshold_but_little_the_fit():
    # the same marginal states: heavy ball with half the momentum is twice as fast
    model, values = dmft.SpikedMatrixTensor(3, 0.3, 1.0), [0.26, 0.29, 0.32, 0.35, 0.38]
    fits = [
        divergence.escape_threshold(
            model, dynamics, "delta2", values, m0=[1e-4, 1e-8], steps=4000, event=LOW, scale="log"
        )
        for dynamics in (dmft.GradientDescent(0.03), dmft.HeavyBall(0.03, 0.5))
    ]
    closed = thresholds.gradient_flow(3, 1.0)
    assert abs(fits[0].value / fits[1].value - 1) < 0.03
    assert all(1 < fit.value / closed < 1.1 for fit in fits)  # points as far as 0.52 to 0.76 of it
    linear = divergence.escape_fit(fits[1].x, fits[1].escape_time, fits[1].m0)
    assert linear.value > 1.25 * closed and linear.drift < 0


# --- command line

FIND = ["threshold", "find", "--p", "3", "--deltap", "inf", "--dynamics", "gradient-flow", "--over", "delta2"]
FIND += ["--t-max", "10", "--dt", "0.05", "--quiet"]


@pytest.fixture
def remembered(monkeypatch):
    """Runs with the same arguments are solved once."""
    original, known = search.solve, {}

    def solve(*args, **kwargs):
        key = repr((args, kwargs))
        if key not in known:
            known[key] = original(*args, **kwargs)
        return known[key]

    monkeypatch.setattr(search, "solve", solve)


@pytest.mark.usefixtures("remembered")
def test_bisection_on_the_command_line(capsys):
    assert main([*FIND, "--bracket", "1.0", "0.3", "--m0", "0.01", "--width", "1e-3", "--json"]) == 0
    answer = json.loads(capsys.readouterr().out)
    model = dmft.SpikedMatrixTensor(p=3, delta2=1.0, deltap=math.inf)
    integrator = dmft.UniformGrid(dt=0.05)
    bracket = (0.3, 1.0)
    options = {"t_max": 10.0, "m0": 0.01, "integrator": integrator, "width": 1e-3}
    found = dmft.threshold(model, dmft.GradientFlow(), "delta2", bracket, **options)
    assert (answer["low"], answer["high"]) == (found.low, found.high)
    assert main([*FIND, "--bracket", "1.0", "0.3", "--m0", "0.01", "--width", "1e-3"]) == 0
    assert capsys.readouterr().out.startswith(f"delta2 = {found.value:.8g} +- ")


@pytest.mark.usefixtures("remembered")
def test_divergence_on_the_command_line(capsys, tmp_path):
    values = ["--values", "0.4:0.8:6", "--m0", "1e-2,1e-3", "--event", "m=0.1", "--t-max", "300"]
    find = [*FIND[:-3], *values, "--integrator", "log-time", "--rtol", "1e-4", "--quiet"]
    figure = tmp_path / "fit.png"
    assert main([*find, "--plot", str(figure)]) == 0
    assert capsys.readouterr().out.startswith("delta2 = ")
    assert figure.stat().st_size > 5000
    assert main([*find, "--json"]) == 0
    answer = json.loads(capsys.readouterr().out)
    assert len(answer["escape_time"]) == 12
    assert answer["interval"][0] < answer["value"] < answer["interval"][1]


def test_a_refused_fit_keeps_the_times(capsys):
    assert main([*FIND, "--values", "0.2,0.3,0.4,0.6,0.8", "--m0", "1e-2", "--json"]) == 1
    answer = json.loads(capsys.readouterr().out)
    assert "at least 5 are needed" in answer["error"]
    assert len(answer["escape_time"]) == 5


@pytest.mark.parametrize("flags", [["--values", "0.2:0.4:5"], ["--bracket", "0.2", "0.9"]])
def test_interrupt_prints_the_finished_runs(flags, capsys, monkeypatch):
    interrupt_after(2, monkeypatch)
    assert main([*FIND, *flags, "--m0", "1e-2", "--json"]) == 130
    answer = json.loads(capsys.readouterr().out)
    assert answer["error"] == "interrupted after 2 runs" and len(answer["escape_time"]) == 2
    monkeypatch.undo()
    interrupt_after(2, monkeypatch)
    assert main([*FIND, *flags, "--m0", "1e-2"]) == 130
    assert len(capsys.readouterr().out.splitlines()) == 3


@pytest.mark.parametrize(
    ("flags", "words"),
    [
        (["--bracket", "0.3", "0.4", "--m0", "0.01"], "does not enclose"),
        (["--bracket", "0.2", "0.9", "--m0", "0.01,0.02"], "--m0 must be one number"),
        (["--bracket", "0.2", "0.9", "--m0", "0.01", "--exponent", "2"], "--exponent needs --values"),
        (["--values", "0.2,0.3", "--m0", "0.01", "--width", "2"], "--width needs --bracket"),
        (["--values", "0.2:0.3", "--m0", "0.01"], "START:STOP:NUM"),
        (["--values", "0.2:inf:5", "--m0", "0.01"], "START:STOP:NUM"),
        (["--values", "0.2,0.3", "--m0", "0.01"], "give at least 5 values"),
        (["--bracket", "0.2", "0.9"], "m0 = 0 never finds the signal: give m0 > 0"),
        (["--values", "0.2:0.6:5"], "m0 = 0 never finds the signal: give m0 > 0"),
        (["--over", "delta", "--bracket", "0.2", "0.9"], "--over: unknown key 'delta' (did you mean 'delta"),
        (["--over", "model.deltap2", "--bracket", "0.2", "0.9"], "did you mean 'model.deltap'?"),
        (["--over", "temperature", "--bracket", "0.2", "0.9"], "--over: unknown key 'temperature'"),
    ],
)
def test_bad_flags(capsys, flags, words):
    try:
        code = main([*FIND, *flags])
    except SystemExit as stop:
        code = stop.code
    assert code == 2
    err = capsys.readouterr().err
    assert words in err
    assert err.count("\n") == 1


def test_fits_of_a_gathered_scan(tmp_path, capsys):
    """The same as the fit of the times by hand."""
    scan = dmft.Scan(
        dmft.SpikedMatrixTensor(p=3, delta2=0.5, deltap=math.inf),
        dmft.GradientFlow(),
        over={"delta2": [0.4, 0.48, 0.56, 0.64, 0.72, 0.8], "m0": [1e-2, 1e-3], "rtol": [1e-4, 1e-3]},
        t_max=300.0,
        integrator=dmft.LogTime(rtol=1e-4),
        events=dmft.Crossing("m", 0.1),
    )
    scan.run(tmp_path, workers=1)
    data = dmft.gather(tmp_path)
    rows = dmft.scan.escape_fits(data, "delta2")
    assert [at for at, _, _ in rows] == [{"rtol": 1e-4}, {"rtol": 1e-3}]
    times = data.escape_time.sel(rtol=1e-3)
    by_hand = dmft.escape_fit(data.delta2.values[:, None], times.values, data.m0.values)
    assert rows[1][1].value == by_hand.value
    assert main(["threshold", "fit", str(tmp_path / "gathered.h5"), "--axis", "delta2"]) == 0
    assert capsys.readouterr().out.splitlines()[1].startswith(f"rtol = 0.001: delta2 = {by_hand.value:.6g}")


NEAR = np.array([0.3, 0.4, 0.5, 0.55, 0.6])


def gathered(dims, times, **coords):
    """A dataset like that of ``dmft.gather``."""
    xarray = pytest.importorskip("xarray")
    return xarray.Dataset({"escape_time": (dims, times)}, coords)


def test_fits_ignore_what_is_zipped_with_the_axis_once():
    t_max = ("delta2", [10.0, 20.0, 30.0, 40.0, 50.0])
    m0 = ("m0", [1e-2, 1e-4])
    times = (0.7 - NEAR[:, None]) ** -2.0 * np.log(1 / np.array(m0[1]))
    rows = dmft.scan.escape_fits(gathered(("delta2", "m0"), times, delta2=NEAR, t_max=t_max, m0=m0), "delta2")
    assert [at for at, _, _ in rows] == [{}] and abs(rows[0][1].value - 0.7) < 1e-6
    rows = dmft.scan.escape_fits(
        gathered(("delta2", "m0"), times, delta2=NEAR, m0=m0, t_max=("m0", [9.0, 99.0])), "delta2"
    )
    assert [at for at, _, _ in rows] == [{}] and rows[0][1].points == 5


@pytest.mark.parametrize("dim", ["delta2", "deltap"])  # of zipped axes the first one names the dimension
def test_fits_group_by_what_repeats_along_the_axis(dim):
    x, deltap = np.concatenate([NEAR, NEAR + 0.1]), np.repeat([1.0, 2.0], 5)
    times = (np.repeat([0.7, 0.8], 5) - x) ** -2.0
    coords = {"delta2": (dim, x), "deltap": (dim, deltap), "t_max": (dim, np.arange(1.0, 11.0))}
    rows = dmft.scan.escape_fits(gathered((dim,), times, **coords), "delta2")
    assert [at for at, _, _ in rows] == [{"deltap": 1.0}, {"deltap": 2.0}]
    assert [round(fit.value, 6) for _, fit, _ in rows] == [0.7, 0.8]


def test_fits_of_several_events_and_of_other_zipped_axes():
    events = ("event", ["m=0.1", "m=0.5"])
    times = np.stack([(0.7 - NEAR) ** -2.0, 2 * (0.7 - NEAR) ** -2.0], axis=-1)
    data = gathered(
        ("temperature", "delta2", "event"),
        np.stack([times, 3 * times]),
        delta2=NEAR,
        event=events,
        temperature=[0.5, 1.0],
        t_max=("temperature", [10.0, 20.0]),
    )
    rows = dmft.scan.escape_fits(data, "delta2")
    assert [(at["temperature"], at["t_max"], at["event"]) for at, _, _ in rows] == [
        (T, t, event) for T, t in ((0.5, 10.0), (1.0, 20.0)) for event in events[1]
    ]
    assert [round(fit.amplitude, 4) for _, fit, _ in rows] == [1, 2, 3, 6]


def test_fits_give_a_reason_for_every_group_that_is_refused(tmp_path, capsys):
    times = np.stack([np.full(5, math.inf), np.full(5, 1.0), (0.7 - NEAR) ** -2.0])
    data = gathered(("deltap", "delta2"), times, delta2=NEAR, deltap=[1.0, 2.0, 3.0])
    rows = dmft.scan.escape_fits(data, "delta2")
    assert [fit is not None for _, fit, _ in rows] == [False, False, True]
    assert "0 finite times" in rows[0][2] and "grow towards one side" in rows[1][2] and rows[2][2] == ""
    for wrong in ({"exponent": -1.0}, {"scale": "cubic"}, {"axis": "delta"}):
        with pytest.raises(ValueError, match="is not allowed"):
            dmft.scan.escape_fits(**{"scan": data, "axis": "delta2", **wrong})
    with pytest.raises(ValueError, match=r"no escape times: the plan needs run\.events"):
        dmft.scan.escape_fits(data.drop_vars("escape_time"), "delta2")
    zero = gathered(("delta2", "m0"), np.full((5, 2), math.inf), delta2=NEAR, m0=[0.0, 1e-2])
    reason = "m0 = 0 is not allowed: overlaps must be > 0 and <= 1"
    assert dmft.scan.escape_fits(zero, "delta2") == [({}, None, reason)]
    for one, code, line in ((data, 0, "deltap = 3: delta2 = 0.7"), (zero, 1, reason)):
        path = tmp_path / f"{code}.h5"
        one.to_netcdf(path, engine="h5netcdf")
        assert main(["threshold", "fit", str(path), "--axis", "delta2"]) == code
        out = capsys.readouterr().out
        assert out.splitlines()[-1].startswith(line)
        assert main(["threshold", "fit", str(path), "--axis", "delta2", "--json"]) == code
        assert len(json.loads(capsys.readouterr().out)) == len(out.splitlines())
