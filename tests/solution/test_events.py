"""Events: what a crossing is, for every scalar that there is, and that everything which looks for one agrees."""

import math

import numpy as np
import pytest

import dmft
from dmft.equations import PathEquations, RecursionEquations, TwoTimeEquations
from dmft.integrators import INTEGRATORS
from dmft.solution import find_crossings

SPIKED = dmft.SpikedMatrixTensor(3, 0.5, 1.0)
SOFT = dmft.SpikedMatrixTensor(3, 1.0, 2 / 3, constraint=dmft.SoftSphere(10.0))
RETRIEVAL = dmft.PhaseRetrieval(3.0, loss="normalized", constraint=dmft.Ridge(0.1))

# --- the definition


def crossings(y, level=0.0, **more):
    """On straight lines between the integers."""
    t = np.arange(len(y), dtype=float)
    return find_crossings(t, np.array(y, dtype=float), level, lambda x: np.interp(x, t, y), **more)


@pytest.mark.parametrize(
    "y, expected",
    [
        ([-1, 1], [(0.5, 1)]),
        ([-1, 0, 1], [(1, 1)]),
        ([-1, 0, 0, 0, 2], [(1, 1)]),  # several nodes on the level: the first of them
        ([-1, 0], [(1, 1)]),  # reached at the end
        ([-1, 0, 0], [(1, 1)]),
        ([-1, 0, -1], []),  # touched
        ([-1, 0, 0, -1], []),
        ([-1, 0, -1, 0], [(3, 1)]),
        ([0, 1], []),  # begins on it
        ([0, 0, 1, -1], [(2.5, -1)]),
        ([0, 1, 0], [(2, -1)]),
        ([0], []),
        ([0, 0, 0], []),
        ([1], []),
        ([-2, -1], []),
    ],
)
def test_what_a_crossing_is(y, expected):
    assert crossings(y) == expected
    assert crossings(np.negative(y)) == [(time, -sense) for time, sense in expected]
    for direction in (-1, 1):
        assert crossings(y, direction=direction) == [x for x in expected if x[1] == direction]


@pytest.mark.parametrize("y", [[-1, 0], [0], [-1, 0, 0], [0, 0]])
def test_what_is_still_on_the_level_may_turn_back(y):
    assert crossings(y, ended=False) == []
    assert crossings([*y, -1], ended=False) == []


def test_a_later_start_is_not_a_beginning():
    assert crossings([-1, 0, 1, 2], start=1) == []
    assert crossings([-1, 0, 1, 0], start=1) == [(3, -1)]


# --- whoever looks for one


@pytest.mark.parametrize("level, time", [(5.0, 10.0), (5.5, math.inf), (2.25, 4.5)])
def test_all_agree_on_the_ends(level, time, tmp_path):
    model, dynamics = SPIKED, dmft.GradientDescent(0.5)
    for terminal in (False, True):
        event = dmft.Crossing("time", level, terminal=terminal)
        sol = dmft.solve(model, dynamics, steps=10, m0=0.1, events=event)
        assert sol.escape_time("time", level) == time
        assert [o.time for o in sol.events] == ([] if math.isinf(time) else [time])
        assert sol.status == ("event" if terminal and math.isfinite(time) else "finished")
    for name, more in (("theory", {}), ("simulation", {"simulation": {"N": 8, "samples": 2}})):
        scan = dmft.Scan(model, dynamics, over={"m0": [0.1, 0.2]}, steps=10, events=event, **more)
        scan.run(tmp_path / name, workers=1)
        assert dmft.gather(tmp_path / name).escape_time.values.tolist() == [time, time]
    sim = dmft.simulate(model, dynamics, steps=10, N=8, samples=2)
    assert sim.escape_time("time", level) == time


def test_a_run_that_begins_on_the_level():
    """No event, which is a crossing; the first time there is 0."""
    glass = dmft.MixedSpin({3: 0.5})  # m stays 0
    for model, level in ((glass, 0.0), (SPIKED, 0.2)):
        events = [dmft.Crossing("m", level, direction=d) for d in (-1, 0, 1)]
        grid = dmft.UniformGrid(dt=0.05)
        sol = dmft.solve(model, dmft.GradientFlow(), t_max=1.0, m0=level, events=events, integrator=grid)
        assert sol.events == [] and sol.status == "finished"
        assert sol.escape_time("m", level) == 0.0


def test_a_solution_that_ends_at_its_event_knows_the_time():
    event = dmft.Crossing("time", 2.0)
    sol = dmft.solve(SPIKED, dmft.GradientDescent(0.5), steps=10, m0=0.1, events=event)
    assert sol.t[-1] == sol.events[0].time == sol.escape_time("time", 2.0) == 4.0


# --- every scalar of every kind of equations with every integrator

CASES = {
    "uniform": (SPIKED, dmft.Langevin(1.0), {"t_max": 1.0, "integrator": dmft.UniformGrid(dt=0.05)}),
    "uniform with rtol": (SPIKED, dmft.Langevin(1.0), {"t_max": 1.0, "integrator": dmft.UniformGrid(rtol=1e-4)}),
    "massive": (
        SOFT,
        dmft.UnderdampedLangevin(0.5, 1.0, 0.5),
        {"t_max": 1.0, "integrator": dmft.UniformGrid(dt=0.05)},
    ),
    "log": (SPIKED, dmft.Langevin(1.0), {"t_max": 3.0, "integrator": dmft.LogTime(1e-4)}),
    "descent": (SOFT, dmft.GradientDescent(0.02), {"steps": 9}),
    "nesterov": (SOFT, dmft.Nesterov(0.02), {"steps": 9}),
    "paths": (
        RETRIEVAL,
        dmft.Nesterov(0.01),
        {"steps": 9, "integrator": dmft.SampledPaths(paths=512, scrambles=2)},
    ),
    "one scramble": (
        RETRIEVAL,
        dmft.GradientDescent(0.01),
        {"steps": 9, "integrator": dmft.SampledPaths(paths=512, scrambles=1)},
    ),
    "batches": (
        dmft.PhaseRetrieval(3.0),
        dmft.StochasticGradientDescent(0.01, batch_fraction=0.5),
        {"steps": 9, "integrator": dmft.SampledPaths(paths=512, scrambles=2)},
    ),
    "path flow": (
        RETRIEVAL,
        dmft.GradientFlow(),
        {"t_max": 0.5, "integrator": dmft.SampledPaths(paths=512, scrambles=2)},
    ),
}


def test_the_cases_are_all_there_are():
    integrators = {type(o.get("integrator", dmft.ExactRecursion())) for _, _, o in CASES.values()}
    assert integrators >= {cls for cls in INTEGRATORS.values() if cls.__module__.startswith("dmft.")}
    assert {e for cls in integrators for e in cls.equations} == {PathEquations, RecursionEquations, TwoTimeEquations}


@pytest.mark.filterwarnings("ignore:.*one path of:RuntimeWarning")
@pytest.mark.parametrize("case", CASES)
def test_every_scalar_may_be_an_event(case):
    model, dynamics, options = CASES[case]
    plain = dmft.solve(model, dynamics, m0=0.2, **options)
    levels = {name: 0.3 * y[0] + 0.7 * y[-1] for name, y in plain.scalars.items()}
    events = [dmft.Crossing(name, level, terminal=False) for name, level in levels.items()]
    sol = dmft.solve(model, dynamics, m0=0.2, events=events, **options)
    for event in events:
        first = next((o.time for o in sol.events if o.event == event), math.inf)
        assert first == sol.escape_time(event.name, event.level), event
        assert first < math.inf or np.ptp(sol.scalars[event.name]) < 1e-12  # mu may be constant
    sol.save("run.h5")
    assert dmft.load("run.h5").events == sol.events


@pytest.mark.parametrize("case", CASES)
def test_a_scalar_that_is_not_there_is_refused_before_the_run(case):
    model, dynamics, options = CASES[case]
    with pytest.raises(ValueError, match=r"events: name = 'magnetisation' .* choose one of m, mu, energy"):
        dmft.solve(model, dynamics, events=dmft.Crossing("magnetisation", 1.0), **options)


@pytest.mark.parametrize(
    "model, dynamics, options",
    [
        (SPIKED, dmft.Langevin(1.0), {"t_max": 0.5}),
        (SOFT, dmft.UnderdampedLangevin(0.5, 1.0, 0.5), {"t_max": 0.5}),
        (SOFT, dmft.Nesterov(0.02), {"steps": 5}),
        (RETRIEVAL, dmft.GradientDescent(0.01), {"steps": 5}),
        (RETRIEVAL, dmft.GradientFlow(), {"t_max": 0.2}),
    ],
)
def test_every_scalar_of_a_simulation_may_be_an_event(model, dynamics, options, tmp_path):
    settings = {"N": 12, "samples": 2, "records": 6}
    sim = dmft.simulate(model, dynamics, m0=0.2, **settings, **options)
    levels = {name: 0.3 * y[0] + 0.7 * y[-1] for name, y in sim.scalars.items()}
    events = [dmft.Crossing(name, float(level)) for name, level in levels.items()]
    scan = dmft.Scan(model, dynamics, over={"m0": [0.2]}, events=events, simulation=settings, **options)
    assert scan.run(tmp_path / "scan", workers=1).finished == 1
    times = dmft.gather(tmp_path / "scan").escape_time.values[0]
    expected = np.array([sim.escape_time(e.name, e.level) for e in events])
    expected[expected == 0] = math.inf  # begins on the level (a scalar that is constant): no event
    np.testing.assert_allclose(times, expected, rtol=1e-9)


def test_every_scalar_of_a_state_evolution_may_be_an_event(tmp_path):
    names = dmft.amp.evolution_scalars(SPIKED, "bayes")
    events = [dmft.Crossing(name, 0.2) for name in names]
    scan = dmft.Scan(SPIKED, dmft.AMP(), over={"m0": [0.1]}, events=events)
    assert scan.run(tmp_path / "scan", workers=1).finished == 1
