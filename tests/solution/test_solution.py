"""Solution: interpolation, events, save_at, callback, progress."""

import io

import numpy as np
import pytest
from cases import CASES

import dmft
from dmft.progress import Bar
from dmft.solution import TwoTime

MODEL = dmft.SpikedMatrixTensor(3, 0.4, 1.0)


@pytest.fixture(scope="module")
def sol():
    return dmft.solve(MODEL, dmft.Langevin(1.0), t_max=15.0, m0=0.05, integrator=dmft.UniformGrid(rtol=1e-8))


def test_interpolation_has_the_order_of_a_panel():
    # a smooth function with aging in both times, sampled on grids of decreasing step
    def f(t, s):
        return np.exp(-(t - s)) * np.cos(0.3 * s) + 0.3 * np.sin(s) * np.cos(0.7 * t)

    def scalar(t):
        return np.sin(2 * t) * np.exp(-0.2 * t)

    rng = np.random.default_rng(0)
    t = 6.0 * rng.random(400)
    s = t * rng.random(400)
    t[:50] *= 0.02  # the corner, where rows have few points
    s[:50] *= 0.02
    table = []
    for n in (36, 48, 72, 96):
        grid = np.linspace(0, 6.0, n + 1)
        i, j = np.tril_indices(n + 1)
        nodes = grid[6 * np.arange(n // 6)[:, None] + np.arange(7)]
        two_time = TwoTime(grid, grid, f(grid[i], grid[j]), f(nodes[:, :, None], nodes[:, None, :]))
        one = dmft.Solution(grid, {"m": scalar(grid)}, two_time, None, None, dmft.GradientFlow(), None, {})
        table.append((n, np.abs(two_time(t, s) - f(t, s)).max(), np.abs(one.interpolate("m", t) - scalar(t)).max()))
    n, two, one = np.log(np.array(table)).T
    assert -np.polyfit(n, two, 1)[0] > 6.3
    assert -np.polyfit(n, one, 1)[0] > 6.3


def test_interpolation_returns_grid_values_and_shapes(sol):
    values = sol.C.values
    assert sol.C(sol.t[7], sol.t[3]) == pytest.approx(values[7, 3], abs=1e-15)
    assert isinstance(sol.C(1.0, 0.5), float)
    assert sol.R(np.ones((2, 1)), np.array([[0.1, 0.5, 1.0]])).shape == (2, 3)
    assert sol.C(sol.t, sol.t) == pytest.approx(1.0, abs=1e-12)
    assert isinstance(sol.interpolate("m", 1.0), float)
    np.testing.assert_allclose(sol.interpolate("m", sol.t), sol.m, rtol=1e-13)


@pytest.mark.parametrize(("t", "s"), [(1.0, 2.0), (1.0, -0.1), (16.0, 1.0), (np.nan, 0.0)])
def test_two_time_outside_is_refused(sol, t, s):
    with pytest.raises(ValueError, match=r"outside 0 <= s <= t <= 15|must be finite"):
        sol.C(t, s)


def test_scalar_outside_is_refused(sol):
    with pytest.raises(ValueError, match=r"times must lie within \[0, 15"):
        sol.interpolate("m", 15.1)
    with pytest.raises(ValueError, match="choose one of m, mu, energy, energy_2, energy_3"):
        sol.interpolate("magnetization", 1.0)


def test_energies(sol):
    assert set(sol.energies) == {2, 3}
    np.testing.assert_allclose(sum(sol.energies.values()), sol.energy, atol=1e-15)


def test_escape_time(sol):
    t = sol.escape_time("m", 0.3)
    assert sol.interpolate("m", t) == pytest.approx(0.3, abs=1e-12)
    assert sol.escape_time("m", 0.9) == np.inf
    assert sol.escape_time("m", 0.05) == 0.0
    with pytest.raises(ValueError, match="level"):
        sol.escape_time("m", np.nan)


def test_terminal_event_is_located_inside_the_step(sol):
    event = dmft.Crossing("m", 0.3)
    short = dmft.solve(MODEL, dmft.Langevin(1.0), t_max=15.0, m0=0.05, events=event)
    assert short.status == "event"
    (occurrence,) = short.events
    assert occurrence.direction == 1
    assert occurrence.time == pytest.approx(sol.escape_time("m", 0.3), rel=1e-6)
    assert short.t[-2] < occurrence.time <= short.t[-1]
    assert "m" in short.message
    assert short.stats["error"]["m"] < 2e-6


def test_events_that_do_not_stop_and_directions():
    events = [
        dmft.Crossing("energy", -1.0, terminal=False),
        dmft.Crossing("energy", -1.2, direction=1, terminal=False),
        dmft.Crossing("mu", 100.0),
    ]
    sol = dmft.solve(MODEL, dmft.Langevin(1.0), t_max=3.0, m0=0.05, events=events)
    assert sol.status == "finished"
    (occurrence,) = sol.events
    assert occurrence.event is events[0]
    assert occurrence.direction == -1
    assert sol.interpolate("energy", occurrence.time) == pytest.approx(-1.0, abs=1e-12)


def test_save_at_keeps_rows(sol):
    times = [0.0, 0.01, 1.0, 7.77, 15.0]
    few = dmft.solve(
        MODEL, dmft.Langevin(1.0), t_max=15.0, m0=0.05, integrator=dmft.UniformGrid(rtol=1e-8), save_at=times
    )
    np.testing.assert_array_equal(few.C.t, times)
    assert few.C.values.shape == (5, len(few.t))
    s = np.linspace(0, 7.77, 50)
    np.testing.assert_allclose(few.C(7.77, s), sol.C(7.77, s), atol=1e-7)
    np.testing.assert_allclose(few.R(15.0, s), sol.R(15.0, s), atol=1e-7)
    # rows in the first panel, off the grid, and many rows in one call, up to the diagonal
    t = np.repeat(times, 40)
    s = t * np.tile(np.linspace(0, 1, 40), 5)
    for name in ("C", "R"):
        a, b = getattr(few, name)(t, s), getattr(sol, name)(t, s)
        np.testing.assert_allclose(a, b, atol=1e-9)
        np.testing.assert_allclose(getattr(few, name)(times, times), 1.0, atol=1e-12)
    with pytest.raises(ValueError, match="not one of the 5 stored rows"):
        few.C(2.0, 1.0)


def test_callback_sees_every_step_and_stops():
    seen = []

    def callback(step):
        seen.append(step)
        return np.bool_(step.m > 0.1)

    sol = dmft.solve(
        MODEL, dmft.Langevin(1.0), t_max=15.0, m0=0.05, callback=callback, integrator=dmft.UniformGrid(dt=0.05)
    )
    assert sol.status == "interrupted"
    assert "callback" in sol.message
    assert [s.step for s in seen] == list(range(1, len(seen) + 1))
    assert seen[-1].m > 0.1 >= seen[-2].m
    assert seen[-1].t == pytest.approx(sol.t[seen[-1].step])
    assert not sol.converged


def test_progress_callable_and_bar():
    fractions = []
    dmft.solve(MODEL, dmft.Langevin(1.0), t_max=2.0, progress=lambda f, label: fractions.append((label, f)))
    assert {label for label, _ in fractions} == {"pilot", "solve"}
    assert fractions[-1][1] == 1.0
    stream = io.StringIO()
    bar = Bar(stream)
    bar.began -= 2.0
    bar.update(0.5, "solve", "t = 3")
    bar.close()
    assert " 50%" in stream.getvalue()
    assert "t = 3" in stream.getvalue()


def test_progress_is_silent_when_not_a_terminal(capsys):
    dmft.solve(MODEL, dmft.Langevin(1.0), t_max=1.0)
    assert capsys.readouterr() == ("", "")


def test_xarray(sol):
    pytest.importorskip("xarray")
    data = sol.to_xarray()
    assert data.C.dims == ("t", "t_prime")
    np.testing.assert_allclose(data.C.mean("t_prime")[10], sol.C.row(10)[1].mean())
    np.testing.assert_allclose(data.m, sol.m)


def test_cases_cover_annealing():
    assert CASES["annealed"][1].annealing is not None


def test_early_terminal_event_leaves_an_accurate_solution():
    model = dmft.SpikedMatrixTensor(3, 0.3, 1.0)
    kwargs = dict(t_max=5.0, m0=0.01)
    short = dmft.solve(model, dmft.Langevin(), events=dmft.Crossing("m", 0.0103), **kwargs)
    whole = dmft.solve(model, dmft.Langevin(), **kwargs)
    assert short.events[0].time == pytest.approx(whole.escape_time("m", 0.0103), rel=1e-9)
    assert short.escape_time("m", 0.0103) == short.events[0].time
    t = short.events[0].time
    assert short.C(t, t / 2) == pytest.approx(whole.C(t, t / 2), abs=1e-9)


@pytest.mark.parametrize("n", [6, 7, 11, 12, 20, 23])
def test_interpolation_where_the_last_panel_is_cut(n):
    sol = dmft.solve(MODEL, dmft.Langevin(1.0), t_max=n * 0.02, m0=0.05, integrator=dmft.UniformGrid(dt=0.02))
    ref = dmft.solve(MODEL, dmft.Langevin(1.0), t_max=1.0, m0=0.05, integrator=dmft.UniformGrid(dt=0.01))
    assert len(sol.t) == n + 1
    assert sol.t[-1] == n * 0.02
    t, s = np.random.default_rng(n).random((2, 300))
    t, s = n * 0.02 * t, n * 0.02 * t * s
    np.testing.assert_allclose(sol.C(t, s), ref.C(t, s), atol=1e-8)
    np.testing.assert_allclose(sol.R(t, s), ref.R(t, s), atol=1e-8)


def test_interpolation_across_kinks_of_a_schedule():
    dynamics = dmft.Langevin(1.0, dmft.Annealing.piecewise(3, (0.0, 1.0, 2.0), (10.0, 4.0, 1.0)))
    coarse, fine = (
        dmft.solve(MODEL, dynamics, t_max=3.0, m0=0.1, integrator=dmft.UniformGrid(dt=dt)) for dt in (1 / 48, 1 / 96)
    )
    rng = np.random.default_rng(3)
    t = np.concatenate([3.0 * rng.random(500), 2.0 + 0.1 * rng.random(100)])
    s = t * rng.random(600)
    s[500:] = 2.0 - 0.1 * rng.random(100)
    for name in ("m", "mu", "energy"):
        np.testing.assert_allclose(coarse.interpolate(name, t), fine.interpolate(name, t), atol=3e-7)
    np.testing.assert_allclose(coarse.C(t, s), fine.C(t, s), atol=3e-8)
    np.testing.assert_allclose(coarse.R(t, s), fine.R(t, s), atol=3e-8)


@pytest.mark.parametrize("rtol", [1e-5, 1e-7])
def test_error_of_event_times(rtol):
    events = [dmft.Crossing("m", 0.3, terminal=False), dmft.Crossing("energy", -1.0, terminal=False)]
    kwargs = dict(t_max=15.0, m0=0.05, events=events)
    sol = dmft.solve(MODEL, dmft.Langevin(1.0), integrator=dmft.UniformGrid(rtol=rtol), **kwargs)
    ref = dmft.solve(MODEL, dmft.Langevin(1.0), integrator=dmft.UniformGrid(dt=sol.stats["dt"] / 2), **kwargs)
    for a, b in zip(sol.events, ref.events, strict=True):
        assert a.event == b.event
        assert abs(a.time - b.time) < 3 * a.error
    m = sol.events[-1]
    assert m.error < 100 * abs(m.time - ref.events[-1].time)


@pytest.mark.parametrize(
    ("make", "error", "text"),
    [
        (lambda: dmft.Crossing(3, 1.0), TypeError, "name must be"),
        (lambda: dmft.Crossing("m", np.nan), ValueError, "level = nan"),
        (lambda: dmft.Crossing("m", 0.5, direction=2), ValueError, "direction = 2"),
        (lambda: dmft.Crossing("m", 0.5, terminal=1), TypeError, "terminal"),
    ],
)
def test_bad_events(make, error, text):
    with pytest.raises(error, match=text):
        make()


def test_events_can_be_pasted_back():
    thing = dmft.Crossing("m", 0.5)
    assert eval(repr(thing), {name: getattr(dmft, name) for name in dmft.__all__}) == thing
    hash(thing)
