"""Scans: plans, identity, running, gathering.  Kills and full disks are in test_scan_faults."""

import json
import math
import platform
import signal
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import xarray

import dmft
from dmft.cli import main
from dmft.scan import execution, points, slurm, store
from dmft.scan import plan as grid
from dmft.scan.points import Record
from dmft.scan.store import Store, Table

MODEL = dmft.SpikedMatrixTensor(p=3, delta2=0.5, deltap=1.0)
CROSSING = dmft.Crossing("m", 0.5)


def small(**more):
    """Four quick points."""
    options = {"t_max": 2.0, "events": CROSSING, **more}
    return dmft.Scan(MODEL, dmft.GradientFlow(), over={"delta2": [0.1, 0.2], "m0": [1e-3, 1e-2]}, **options)


def test_axes_linear_log_and_lists():
    assert grid.axis_values("x", {"start": 0.0, "stop": 1.0, "num": 5}) == (0.0, 0.25, 0.5, 0.75, 1.0)
    values = grid.axis_values("x", {"start": 0.1, "stop": 10.0, "num": 3, "scale": "log"})
    assert values == pytest.approx((0.1, 1.0, 10.0), rel=1e-14)
    assert grid.axis_values("x", {"start": 10, "stop": 30, "num": 3}) == (10, 20, 30)
    assert all(isinstance(v, int) for v in grid.axis_values("x", {"start": 10, "stop": 30, "num": 3}))
    assert grid.axis_values("x", [1.0, math.inf]) == (1.0, math.inf)
    assert grid.axis_values("x", ["quartic", "normalized"]) == ("quartic", "normalized")


def test_points_are_a_product_of_axes_and_zipped_groups():
    scan = dmft.Scan(
        MODEL,
        [dmft.GradientFlow(), dmft.Langevin()],
        over={"delta2": [0.1, 0.2, 0.3], "m0": [1e-3, 1e-2], "t_max": [1.0, 2.0, 3.0]},
        zip=[["delta2", "t_max"]],
    )
    assert scan.shape == (2, 3, 2)
    assert scan.parameters(11) == {
        "dynamics": "langevin",
        "model.delta2": 0.3,
        "run.t_max": 3.0,
        "initial.m0": 1e-2,
    }
    every = [tuple(scan.parameters(i).values()) for i in range(scan.size)]
    assert len(set(every)) == 12
    assert list(scan.coordinates()) == ["dynamics", "delta2", "m0"]
    assert scan.coordinates()["delta2"] == {"delta2": (0.1, 0.2, 0.3), "t_max": (1.0, 2.0, 3.0)}


def test_zipped_axes_may_repeat_values_but_not_points():
    over = {"delta2": [0.1, 0.2, 0.1, 0.2], "deltap": [1.0, 1.0, 2.0, 2.0]}
    scan = dmft.Scan(MODEL, dmft.GradientFlow(), over=over, zip=[["delta2", "deltap"]], t_max=1.0)
    assert len(set(scan.ids.tolist())) == 4
    over["deltap"][3] = 1.0
    with pytest.raises(ValueError, match=r"0\.2, 1\.0 stands twice"):
        dmft.Scan(MODEL, dmft.GradientFlow(), over=over, zip=[["delta2", "deltap"]], t_max=1.0)


def test_a_point_does_what_solve_does(tmp_path):
    scan = small(curves=[0.0, 0.7, 2.0])
    status = scan.run(tmp_path / "d", workers=1)
    assert (status.points, status.finished, status.failed, status.computed) == (4, 4, 0, 4)
    data = dmft.gather(tmp_path / "d")
    for delta2 in (0.1, 0.2):
        for m0 in (1e-3, 1e-2):
            model = dmft.SpikedMatrixTensor(p=3, delta2=delta2, deltap=1.0)
            sol = dmft.solve(model, dmft.GradientFlow(), t_max=2.0, m0=m0, events=CROSSING)
            point = data.sel(delta2=delta2, m0=m0)
            assert point.m_final == sol.m[-1]
            assert point.energy_final == sol.energy[-1]
            assert point.t_final == sol.t[-1]
            assert point.m_error == sol.stats["error"]["m"]
            expected = sol.events[0].time if sol.events else math.inf
            assert point.escape_time == expected
            assert int(point.status) == (2 if sol.events else 1)
            inside = [t for t in (0.0, 0.7, 2.0) if t <= sol.t[-1]]
            curve = point.m.values
            assert np.array_equal(curve[: len(inside)], sol.interpolate("m", inside))
            assert np.all(np.isnan(curve[len(inside) :]))


def test_workers_threads_and_shares_give_the_same_numbers(tmp_path):

    class Immediate:
        """The least an executor may be."""

        def submit(self, function, *args):
            value = function(*args)
            return type("Future", (), {"result": lambda self: value})()

    def numbers(name):
        return dmft.gather(tmp_path / name).drop_vars(["seconds"]).drop_attrs()

    scan = small()
    scan.run(tmp_path / "one", workers=1)
    scan.run(tmp_path / "two", workers=2)
    for task in range(3):
        share = scan.run(tmp_path / "shares", task=task, of=3)
        assert share.computed == share.points == share.finished == (2, 1, 1)[task]
    with ThreadPoolExecutor(2) as executor:
        scan.run(tmp_path / "threads", executor=executor)
        scan.run(tmp_path / "tasks", executor=executor, tasks=2)
    scan.run(tmp_path / "immediate", executor=Immediate())
    for name in ("two", "shares", "threads", "tasks", "immediate"):
        assert numbers(name).identical(numbers("one")), name


def test_finished_points_are_not_computed_again(tmp_path):
    assert small().run(tmp_path, workers=1).computed == 4
    again = small().run(tmp_path, workers=1)
    assert (again.computed, again.finished) == (0, 4)
    one = next((tmp_path / "points").iterdir())
    one.unlink()
    assert small().run(tmp_path, workers=1).computed == 1


def test_longest_points_first(tmp_path):
    scan = dmft.Scan(MODEL, dmft.GradientFlow(), over={"t_max": [1.0, 8.0, 2.0, 4.0]})
    share = scan.run(tmp_path, task=0, of=2)
    assert share.finished == 2
    done = dmft.gather(tmp_path).status
    assert done.sel(t_max=[8.0, 2.0]).values.tolist() == [1, 1]
    assert done.sel(t_max=[4.0, 1.0]).values.tolist() == [0, 0]


def test_identity_is_that_of_the_parameters():
    ids = small().ids
    assert len(set(ids.tolist())) == 4
    # written another way: an axis instead of a fixed value, 1 instead of 1.0, another order of axes
    other = dmft.Scan(
        dmft.SpikedMatrixTensor(p=3, delta2=0.1, deltap=7.0),
        dmft.GradientFlow(),
        over={"m0": [1e-2, 1e-3], "deltap": [1], "delta2": [0.2, 0.1]},
        t_max=2,
        events=[CROSSING],
    )
    assert set(other.ids.tolist()) == set(ids.tolist())
    # what is kept, and the integrator, belong to it
    assert not set(small(curves=[0.0, 1.0]).ids.tolist()) & set(ids.tolist())
    assert not set(small(integrator=dmft.UniformGrid(rtol=1e-7)).ids.tolist()) & set(ids.tolist())


def test_plan_file_is_the_plan(tmp_path):
    scan = dmft.Scan(
        dmft.SpikedMatrixTensor(p=3, delta2=math.inf, deltap=1.0, constraint=dmft.SoftSphere(10.0)),
        {"plain": dmft.GradientDescent(0.01), "heavy ball": dmft.HeavyBall(0.01, 0.9)},
        over={"constraint.strength": [5.0, 10.0], "delta2": [0.5, math.inf]},
        steps=10,
        events=[CROSSING, dmft.Crossing("energy", -1.0, terminal=False)],
        curves={"start": 0, "stop": 10, "num": 3},
        observables=["m", "energy"],
    )
    (tmp_path / "plan.toml").write_text(scan.text())
    again = dmft.Scan.read(tmp_path / "plan.toml")
    assert again.sha256 == scan.sha256
    assert again.ids.tolist() == scan.ids.tolist()
    assert again.labels == ["plain", "heavy ball"]
    assert again.parameters(7) == {
        "dynamics": "heavy ball",
        "model.constraint.strength": 10.0,
        "model.delta2": math.inf,
    }


def test_dotted_axes_need_no_quotes(tmp_path):
    text = """
    model = {kind = "spiked-matrix-tensor", p = 3, deltap = 1.0}
    dynamics = {kind = "gradient-flow"}
    run = {t_max = 1.0}
    [scan]
    model.delta2 = {start = 0.1, stop = 0.3, num = 3}
    "initial.m0" = [0.1]
    """
    (tmp_path / "plan.toml").write_text(text)
    scan = dmft.Scan.read(tmp_path / "plan.toml")
    assert [axis.path for axis in scan.axes] == ["model.delta2", "initial.m0"]


def test_several_dynamics_take_what_is_theirs(tmp_path):
    scan = dmft.Scan(
        MODEL,
        [dmft.GradientFlow(), dmft.GradientDescent(0.1), dmft.AMP()],
        over={"delta2": [0.1, 0.2]},
        t_max=2.0,
        steps=20,
        m0=0.01,
        events=CROSSING,
    )
    assert scan.run(tmp_path, workers=1).finished == 6
    data = dmft.gather(tmp_path)
    assert data.dynamics.values.tolist() == ["gradient-flow", "gradient-descent", "amp"]
    descent = dmft.solve(
        dmft.SpikedMatrixTensor(p=3, delta2=0.1, deltap=1.0),
        dmft.GradientDescent(0.1),
        steps=20,
        m0=0.01,
        events=CROSSING,
    )
    assert data.m_final.sel(dynamics="gradient-descent", delta2=0.1) == descent.m[-1]
    evolution = dmft.amp.state_evolution(dmft.SpikedMatrixTensor(p=3, delta2=0.2, deltap=1.0), m0=0.01, steps=20)
    assert data.m_final.sel(dynamics="amp", delta2=0.2) == evolution.m[-1]
    assert np.isnan(data.mse_final.sel(dynamics="gradient-flow")).all()


def test_simulations_are_points_too(tmp_path):
    scan = dmft.Scan(
        MODEL,
        dmft.GradientDescent(0.1),
        over={"N": [20, 30], "m0": [0.1, 0.3]},
        steps=10,
        events=dmft.Crossing("m", 0.4),
        simulation={"samples": 3, "records": 11, "seed": 5},
        curves=[0, 5, 10],
    )
    assert scan.run(tmp_path, workers=1).finished == 4
    data = dmft.gather(tmp_path).sel(N=30, m0=0.3)
    sim = dmft.simulate(MODEL, dmft.GradientDescent(0.1), steps=10, m0=0.3, N=30, samples=3, records=11, seed=5)
    assert data.m_final == sim.m[-1]
    assert data.m_stderr_final == sim.stderr["m"][-1]
    assert np.array_equal(data.m, sim.m[[0, 5, 10]])
    assert data.escape_time == sim.escape_time("m", 0.4)


def test_phase_retrieval_with_standard_errors(tmp_path):
    scan = dmft.Scan(
        dmft.PhaseRetrieval(alpha=3.0),
        dmft.GradientDescent(0.01),
        over={"alpha": [2.0, 4.0], "loss": ["quartic", "normalized"]},
        steps=10,
        m0=0.2,
        integrator=dmft.SampledPaths(paths=2**10, scrambles=3),
    )
    scan.run(tmp_path, workers=1)
    data = dmft.gather(tmp_path)
    assert data.loss.values.tolist() == ["quartic", "normalized"]
    sol = dmft.solve(
        dmft.PhaseRetrieval(alpha=4.0, loss="normalized"),
        dmft.GradientDescent(0.01),
        steps=10,
        m0=0.2,
        integrator=dmft.SampledPaths(paths=2**10, scrambles=3),
    )
    point = data.sel(alpha=4.0, loss="normalized")
    assert point.train_loss_final == sol.scalars["train_loss"][-1]
    assert point.train_loss_stderr_final == sol.stderr["train_loss"][-1] > 0


def test_several_events_make_a_dimension(tmp_path):
    events = [dmft.Crossing("m", 0.3, terminal=False), CROSSING]
    scan = small(events=events)
    scan.run(tmp_path, workers=1)
    data = dmft.gather(tmp_path)
    assert data.escape_time.dims == ("delta2", "m0", "event")
    assert data.event.values.tolist() == ["m=0.3", "m=0.5"]
    assert (data.escape_time.sel(event="m=0.3") <= data.escape_time.sel(event="m=0.5")).all()


def test_a_crossing_that_another_event_made_unknown_is_nan(tmp_path):
    scan = small(events=[dmft.Crossing("m", 0.3), dmft.Crossing("m", 0.5, terminal=False)])
    scan.run(tmp_path, workers=1)
    time = dmft.gather(tmp_path).escape_time.sel(delta2=0.1, m0=1e-2)
    assert np.isfinite(time.sel(event="m=0.3"))
    assert np.isnan(time.sel(event="m=0.5"))


def test_observables_choose_and_solutions_are_kept(tmp_path):
    small(observables=["m"], solutions=True, save_at=[0.0, 0.5]).run(tmp_path, workers=1)
    data = dmft.gather(tmp_path)
    assert "m_final" in data
    assert "energy_final" not in data
    name = str(data.id.sel(delta2=0.2, m0=1e-3).values)
    sol = dmft.load(tmp_path / "solutions" / f"{name}.h5")
    assert sol.model.delta2 == 0.2
    assert sol.C.t.tolist() == pytest.approx([0.0, 0.5], abs=0.05)
    assert len(list((tmp_path / "solutions").iterdir())) == 4


def test_failed_points_are_recorded_and_retried(tmp_path):
    soft = dmft.SpikedMatrixTensor(p=3, delta2=1.0, deltap=1.0, constraint=dmft.SoftSphere(10.0))
    scan = dmft.Scan(soft, dmft.GradientDescent(0.01), over={"learning_rate": [0.01, 5.0]}, steps=200, m0=0.1)
    status = scan.run(tmp_path, workers=1)
    assert (status.finished, status.failed, status.missing) == (1, 1, 0)
    assert status.failures[0]["parameters"] == "learning_rate = 5"
    data = dmft.gather(tmp_path)
    assert data.status.values.tolist() == [1, 3]
    assert str(data.message.values[1]) == status.failures[0]["message"]
    assert scan.run(tmp_path, workers=1).computed == 0
    assert scan.run(tmp_path, workers=1, retry=True).computed == 1


def test_a_success_replaces_a_failure(tmp_path):
    scan = small()
    scan.run(tmp_path, workers=1)
    place = Store(tmp_path)
    record = next(place.points.iterdir())
    name = record.name.removesuffix(".h5")
    record.unlink()
    work = execution.Work(str(tmp_path), scan.sha256, True, 300.0)
    point = scan.ids.tolist().index(name.encode())
    assert execution.give_up(work, point).status == "failed"
    assert execution.status(tmp_path).failed == 1
    assert execution.status(tmp_path).failures[0]["id"] == name
    assert scan.run(tmp_path, workers=1, retry=True).finished == 4
    assert not list(place.points.glob("*.failed.h5"))


def test_missing_points_are_visible(tmp_path):
    small().run(tmp_path, task=0, of=2)
    data = dmft.gather(tmp_path)
    assert sorted(data.status.values.ravel()) == [0, 0, 1, 2] or (data.status == 0).sum() == 2
    missing = data.status == 0
    assert np.isnan(data.m_final.values[missing.values]).all()
    assert (data.attrs["points"], data.attrs["missing"]) == (4, 2)


def test_the_gathered_file_opens_everywhere(tmp_path):
    import h5py

    small(curves=[0.0, 1.0]).run(tmp_path, workers=1)
    data = dmft.gather(tmp_path)
    with xarray.open_dataset(tmp_path / "gathered.h5", engine="h5netcdf") as opened:
        assert opened.identical(data)
    with h5py.File(tmp_path / "gathered.h5") as f:
        assert [d[0].name for d in f["m"].dims] == ["/delta2", "/m0", "/t"]
        assert f["status"].attrs["flag_meanings"] == "missing finished event failed"
        plan = json.loads(f.attrs["plan"])
    assert dmft.Scan.of(plan).ids.tolist() == small(curves=[0.0, 1.0]).ids.tolist()


def test_packs(tmp_path, monkeypatch):
    monkeypatch.setattr(store, "PACK", 3)
    monkeypatch.setattr(execution, "PACK", 3)
    scan = dmft.Scan(MODEL, dmft.AMP(), over={"delta2": np.linspace(0.1, 1.0, 10)}, m0=0.01, steps=5)
    plain = tmp_path / "plain"
    monkeypatch.setattr(execution, "PACK", 10**9)
    scan.run(plain, workers=1)
    monkeypatch.setattr(execution, "PACK", 3)
    scan.run(tmp_path / "packed", workers=1)
    names = [f.name for f in (tmp_path / "packed" / "points").iterdir()]
    assert sorted(name.endswith(".pack.h5") for name in names) == [False, True, True, True]
    assert execution.status(tmp_path / "packed").finished == 10
    assert scan.run(tmp_path / "packed", workers=1).computed == 0
    assert all(Store(tmp_path / "packed").has(name.decode()) for name in scan.ids)
    packed = dmft.gather(tmp_path / "packed").drop_vars("seconds").drop_attrs()
    assert packed.identical(dmft.gather(plain).drop_vars("seconds").drop_attrs())


def test_tables_join_columns_that_differ():
    one = Record("a" * 32, "{}", "finished", "ä", {"x": 1.0}, {"m": np.array([1.0, 2.0])}, "{}")
    two = Record("b" * 32, "{}", "failed", "b", {"y": 2.0}, {}, "{}")
    table = Table.joined([Table.of([one]), Table.of([two])])
    assert table.names == ["x", "y"]
    assert np.array_equal(table.values, [[1.0, np.nan], [np.nan, 2.0]], equal_nan=True)
    assert np.array_equal(table.curves, [[[1.0, 2.0]], [[np.nan, np.nan]]], equal_nan=True)
    assert [text.decode() for text in table.texts["message"]] == ["ä", "b"]


def test_many_points_are_planned_lazily():
    scan = dmft.Scan(
        MODEL,
        dmft.Langevin(),
        over={"delta2": np.linspace(0.1, 1, 1000), "m0": np.linspace(0.01, 0.5, 1000)},
        t_max=1.0,
    )
    assert scan.size == 1_000_000
    assert scan.parameters(999_999) == {"model.delta2": 1.0, "initial.m0": 0.5}
    assert scan.point(123_456).id == scan.point(123_456).id


@pytest.mark.parametrize(
    ("text", "seconds"), [("30", 1800), ("10:30", 630), ("04:00:00", 14400), ("2-3", 183600), ("1-0:0:7", 86407)]
)
def test_times_of_slurm(text, seconds):
    assert slurm.seconds_of(text) == seconds


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"over": {"delta3": [1.0]}}, ["delta3", "delta2"]),
        ({"over": {"delta2": []}}, ["delta2", "empty"]),
        ({"over": {"delta2": [0.1, 0.1]}}, ["0.1", "twice"]),
        ({"over": {"delta2": [True]}}, ["delta2", "True"]),
        ({"over": {"delta2": 0.1}}, ["delta2", "list"]),
        ({"over": {"delta2": [0.1]}, "zip": [["delta2", "m0"]]}, ["initial.m0", "not an axis"]),
        ({"over": {"delta2": [0.1, 0.2], "m0": [0.1]}, "zip": [["delta2", "m0"]]}, ["same number"]),
        ({"over": {"delta2": [0.1]}, "curves": [2.0, 1.0]}, ["curves", "increasing"]),
        ({"over": {"delta2": [0.1]}, "observables": "m"}, ["observables", "list"]),
        ({"over": {}}, ["no axis"]),
        ({"over": {"delta2": np.linspace(1, 2, 1001), "m0": np.linspace(0, 0.5, 1000)}}, ["1001000", "at most"]),
    ],
)
def test_bad_scans(options, words):
    with pytest.raises((TypeError, ValueError)) as error:
        dmft.Scan(MODEL, dmft.GradientFlow(), t_max=1.0, **options)
    assert "\n" not in str(error.value)
    for word in words:
        assert word in str(error.value)


@pytest.mark.parametrize(
    ("entry", "words"),
    [
        ({"run": {"events": []}}, "events are those of"),
        ({"run": 3}, "dynamics.run must be a table"),
        ({"label": 3}, "label must be a string"),
    ],
)
def test_bad_entries_of_dynamics(entry, words):
    plan = {"model": {"kind": "spiked-matrix-tensor", "p": 3, "deltap": 1.0}, "run": {"t_max": 1.0}}
    plan |= {"dynamics": [{"kind": "gradient-flow", **entry}], "scan": {"model.delta2": [0.1]}}
    with pytest.raises((TypeError, ValueError), match=words):
        dmft.Scan.of(plan)


def test_dynamics_may_have_runs_and_integrators_of_their_own():
    plan = {"model": {"kind": "spiked-matrix-tensor", "p": 3, "deltap": 1.0}, "run": {"t_max": 1.0}}
    flow = {"kind": "gradient-flow", "run": {"t_max": 5.0}, "integrator": {"rtol": 1e-4}}
    scan = dmft.Scan.of({**plan, "dynamics": [flow, {"kind": "langevin"}], "scan": {"model.delta2": [0.1, 0.2]}})
    assert scan.point(0).arguments["t_max"] == 5.0
    assert scan.point(0).settings.rtol == 1e-4
    assert scan.point(2).arguments["t_max"] == 1.0
    assert scan.point(2).settings is None


def test_python_objects_are_refused():
    with pytest.raises(ValueError, match=r"learning_rate.*Python object"):
        dmft.Scan(MODEL, dmft.GradientDescent(lambda t: 0.1), over={"delta2": [0.1]}, steps=3)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"workers": 0}, "workers = 0"),
        ({"task": 1}, "together"),
        ({"task": 2, "of": 2}, "task = 2"),
        ({"executor": 3}, "submit"),
        ({"tasks": 3}, "needs an executor"),
        ({"time_limit": 0.0}, "time_limit"),
    ],
)
def test_bad_runs(tmp_path, options, words):
    with pytest.raises((TypeError, ValueError), match=words):
        small().run(tmp_path / "d", **options)
    assert not (tmp_path / "d").exists()


def test_foreign_directories_are_left_alone(tmp_path):
    (tmp_path / "thesis.tex").write_text("...")
    with pytest.raises(ValueError, match=r"not empty.*thesis.tex"):
        small().run(tmp_path, workers=1)
    assert [f.name for f in tmp_path.iterdir()] == ["thesis.tex"]


def test_a_plan_changed_by_hand_is_noticed(tmp_path):
    small().run(tmp_path, workers=1)
    plan = tmp_path / "plan.toml"
    plan.write_text(plan.read_text().replace("0.2]", "0.3]"))
    with pytest.raises(dmft.FileFormatError, match="not the plan that was started"):
        dmft.gather(tmp_path)
    assert small().run(tmp_path, workers=1, update=True).computed == 0


@pytest.mark.parametrize(
    ("dynamics", "options", "expected"),
    [
        ([dmft.GradientFlow(), dmft.GradientDescent(0.1)], {"over": {"steps": [5, 10]}, "t_max": 1.0}, 4),
        ([dmft.GradientFlow(), dmft.GradientDescent(0.1)], {"over": {"t_max": [1.0, 2.0]}, "steps": 5}, 4),
        ({"a": dmft.GradientFlow(), "b": dmft.GradientFlow()}, {"over": {"delta2": [0.1, 0.2]}, "t_max": 1.0}, 4),
        (
            [dmft.GradientFlow(), dmft.GradientDescent(0.1)],
            {"over": {"integrator.rtol": [1e-4, 1e-6]}, "t_max": 1.0, "steps": 5},
            4,
        ),
    ],
)
def test_equal_points_of_a_plan_are_computed_once_and_shown_everywhere(tmp_path, dynamics, options, expected):
    scan = dmft.Scan(MODEL, dynamics, **options)
    assert scan.size == expected > len(set(scan.ids.tolist()))
    assert scan.run(tmp_path, workers=1).finished == expected
    data = dmft.gather(tmp_path)
    assert (data.status == 1).all()
    assert data.attrs["missing"] == 0
    assert np.isfinite(data.m_final).all()


def test_zipped_coordinates_are_coordinates_in_the_file(tmp_path):
    scan = dmft.Scan(
        MODEL,
        dmft.GradientFlow(),
        over={"delta2": [0.1, 0.2], "deltap": [1.0, 2.0], "t_max": [1, 2], "m0": [0.1]},
        zip=[["delta2", "deltap", "t_max"]],
    )
    scan.run(tmp_path, workers=1)
    data = dmft.gather(tmp_path)
    assert set(data.coords) == {"delta2", "deltap", "t_max", "m0"}
    with xarray.open_dataset(tmp_path / "gathered.h5", engine="h5netcdf") as opened:
        assert opened.identical(data)


@pytest.mark.parametrize(
    "options",
    [
        {"m0": np.float64(1e-2)},
        {"t_max": np.float64(1.0)},
        {"t_max": np.int64(1)},
        {"curves": {"start": np.float64(0), "stop": np.float32(1), "num": np.int64(2)}},
        {"dynamics": {"𝛽 = 1, \x7f": dmft.GradientFlow()}},
        {
            "dynamics": dmft.GradientDescent(0.1),
            "t_max": None,
            "steps": 3,
            "simulation": {"N": np.int64(8), "samples": 2, "dt": None},
        },
    ],
)
def test_what_python_gives_can_be_written(tmp_path, options):
    options = {"t_max": 1.0, **options}
    dynamics = options.pop("dynamics", dmft.GradientFlow())
    scan = dmft.Scan(MODEL, dynamics, over={"delta2": [np.float64(0.3), 0.5]}, **options)
    assert scan.run(tmp_path, workers=1).finished == 2
    again = dmft.Scan.read(tmp_path / "plan.toml")
    assert (again.sha256, again.ids.tolist()) == (scan.sha256, scan.ids.tolist())


def test_the_plan_file_is_copied_as_it_is(tmp_path):
    text = "# mine\n" + PLAN
    (tmp_path / "plan.toml").write_text(text)
    dmft.Scan.read(tmp_path / "plan.toml").run(tmp_path / "d", workers=1)
    assert (tmp_path / "d" / "plan.toml").read_text() == text


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ({"save_at": [0, 1]}, {"save_at": [0.0, 1.0]}),
        ({"events": None}, {"events": []}),
        ({"dynamics": dmft.AMP(), "t_max": None}, {"dynamics": dmft.AMP(), "t_max": None, "steps": 1000}),
        ({"simulation": {"N": 8}}, {"simulation": {"N": 8, "seed": 0, "workers": 2}}),
        ({"integrator": None}, {"integrator": None, "m0": 0}),
    ],
)
def test_the_same_point_has_one_id(one, other):
    ids = []
    for options in ({"t_max": 1.0, **one}, {"t_max": 1.0, **other}):
        dynamics = options.pop("dynamics", dmft.GradientFlow())
        ids.append(dmft.Scan(MODEL, dynamics, over={"delta2": [0.3]}, **options).ids.tolist())
    assert ids[0] == ids[1]


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"dynamics": dmft.AMP(), "integrator": dmft.UniformGrid()}, "state evolutions have no integrator"),
        ({"dynamics": dmft.AMP(), "save_at": [0.0]}, "save_at is not allowed"),
        ({"simulation": {"N": 8}, "t_max": 1.0, "integrator": dmft.UniformGrid()}, "simulations have no integrator"),
        ({"t_max": 1.0, "curves": [0.0, 100.0]}, "curves go to 100"),
        ({"t_max": 1.0, "curves": True}, "curves must be"),
        ({"t_max": 1.0, "observables": ["m", "enregy"]}, "did you mean 'energy'"),
    ],
)
def test_nothing_in_a_plan_is_ignored(options, words):
    dynamics = options.pop("dynamics", dmft.GradientFlow())
    with pytest.raises((TypeError, ValueError), match=words):
        dmft.Scan(MODEL, dynamics, over={"delta2": [0.3]}, **options).check()


def test_an_integrator_is_that_of_the_dynamics_that_takes_it():
    options = {"over": {"delta2": [0.3]}, "t_max": 1.0, "steps": 5}
    scan = dmft.Scan(MODEL, [dmft.Langevin(), dmft.HeavyBall(0.1, 0.5)], integrator=dmft.UniformGrid(dt=0.1), **options)
    assert [scan.point(i).settings for i in range(2)] == [dmft.UniformGrid(dt=0.1), None]
    with pytest.raises(ValueError, match="no dynamics of the plan takes"):
        dmft.Scan(MODEL, [dmft.Langevin(), dmft.HeavyBall(0.1, 0.5)], integrator=dmft.SampledPaths(), **options)


def test_observables_of_some_points_only():
    dmft.Scan(MODEL, dmft.GradientFlow(), over={"p": [3, 4]}, t_max=1.0, observables=["m", "energy_4"]).check()


def test_the_newest_message_counts(tmp_path, monkeypatch):
    monkeypatch.setattr(store, "PACK", 2)
    scan = small()
    place = Store(tmp_path)
    place.create()
    place.write_plan(scan, False)
    for message in ("old", "new"):
        for i in (0, 1):
            point = scan.point(i)
            place.write(Record(point.id, point.parameters, "failed", message, {}, {}, "{}"))
        if message == "old":
            place.pack()
            assert not place._names(store.FAILED)
    assert [f["message"] for f in execution.status(tmp_path).failures] == ["new", "new"]
    assert dmft.gather(tmp_path).message.values.ravel().tolist() == ["new", "new", "", ""]


def test_runners_are_present_while_they_compute(tmp_path, monkeypatch):
    """Another runner that starts does not remove what is being written."""
    seen = []
    scan = small()
    Store(tmp_path).create()
    Store(tmp_path).write_plan(scan, False)
    write = Store.write

    def watched(self, record):
        code = "from dmft.scan.store import Store; import sys; Store(sys.argv[1]).present().__enter__()"
        (self.points / f".{platform.node()}.x.{platform.node()}.1-1.tmp").touch()
        subprocess.run([sys.executable, "-c", code, str(tmp_path)], check=True)
        seen.append(len(list(self.points.glob(".*.tmp"))))
        write(self, record)

    monkeypatch.setattr(Store, "write", watched)
    execution.Work(str(tmp_path), scan.sha256, False, 300.0)(0)
    assert seen == [1]


def test_a_time_limit_stops_simulations(tmp_path):
    settings = {"N": 60, "samples": 50, "records": 2}
    scan = dmft.Scan(MODEL, dmft.GradientDescent(0.01), over={"m0": [0.1, 0.2]}, steps=20000, simulation=settings)
    status = scan.run(tmp_path, workers=1, time_limit=1.0)
    assert status.stopped == "stopped by the time limit"
    assert (status.missing, status.seconds < 20) == (2, True)


def test_a_complete_scan_is_not_stopped(tmp_path):
    small().run(tmp_path, workers=1)
    assert small().run(tmp_path, workers=1, time_limit=1e-9).stopped == ""


def test_points_of_another_executor_are_taken_back_after_a_failure(tmp_path):
    cancelled = []

    class Future:
        def __init__(self, number):
            self.number = number

        def done(self):
            return self.number == 0

        def result(self):
            raise OSError("the network is gone")

        def cancel(self):
            cancelled.append(self.number)

    class Executor:
        number = -1

        def submit(self, *args):
            self.number += 1
            return Future(self.number)

    with pytest.raises(OSError, match="the network is gone"):
        small().run(tmp_path, executor=Executor())
    assert cancelled == [1, 2, 3]


def test_a_damaged_file_is_named(tmp_path):
    small().run(tmp_path, workers=1)
    damaged = next((tmp_path / "points").glob("*.h5"))
    damaged.write_bytes(damaged.read_bytes()[:100])
    with pytest.raises(dmft.FileFormatError, match=f"{damaged.name}.*remove it and run the scan again"):
        dmft.gather(tmp_path)
    damaged.unlink()
    assert small().run(tmp_path, workers=1).computed == 1


def test_an_unreadable_checkpoint_is_put_aside(tmp_path):
    scan = small()
    Store(tmp_path).create()
    checkpoint = Store(tmp_path).checkpoint_path(scan.point(0).id)
    checkpoint.write_text("not a checkpoint")
    assert scan.run(tmp_path, workers=1).finished == 4
    assert checkpoint.with_name(f"{checkpoint.name}.unreadable").read_text() == "not a checkpoint"


def test_update_keeps_the_old_plan_only_if_it_is_another(tmp_path):
    small().run(tmp_path, workers=1)
    small().run(tmp_path, workers=1, update=True)
    assert not list(tmp_path.glob("plan-*.toml"))
    other = dmft.Scan(MODEL, dmft.GradientFlow(), over={"delta2": [0.1, 0.3], "m0": [1e-3]}, t_max=2.0, events=CROSSING)
    assert other.run(tmp_path, workers=1, update=True).computed == 1
    (old,) = tmp_path.glob("plan-*.toml")
    assert dmft.Scan.read(old).sha256 == small().sha256


def test_curves_have_standard_errors(tmp_path):
    settings = {"N": 20, "samples": 3, "records": 6}
    scan = dmft.Scan(
        MODEL, dmft.GradientDescent(0.1), over={"m0": [0.3]}, steps=10, simulation=settings, curves=[0, 10]
    )
    scan.run(tmp_path, workers=1)
    sim = dmft.simulate(MODEL, dmft.GradientDescent(0.1), steps=10, m0=0.3, **settings)
    assert np.array_equal(dmft.gather(tmp_path).m_stderr.values[0], sim.stderr["m"][[0, -1]])


PLAN = """
model = {kind = "spiked-matrix-tensor", p = 3}
dynamics = {kind = "amp"}
initial = {m0 = 0.01}
run = {steps = 20, events = [{name = "m", level = 0.1}]}
[scan]
model.delta2 = {start = 0.2, stop = 1.0, num = 3}
model.deltap = [0.5, 1.0]
curves = [0, 10, 20]
"""


@pytest.fixture
def plan(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "plan.toml").write_text(PLAN)
    return tmp_path


def test_command_line(plan, capsys):
    assert main(["scan", "plan", "plan.toml", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["points"] == 6
    assert main(["scan", "plan", "plan.toml"]) == 0
    assert "6 points: model.delta2 (3), model.deltap (2)" in capsys.readouterr().out
    assert not (plan / "d").exists()
    assert main(["scan", "run", "plan.toml", "d", "--workers", "1", "--json"]) == 0
    summary = json.loads(capsys.readouterr().out)
    assert (summary["computed"], summary["finished"], summary["stopped"]) == (6, 6, "")
    assert main(["scan", "status", "d"]) == 0
    assert capsys.readouterr().out == "6 points: 6 finished, 0 failed, 0 missing\n"
    assert main(["scan", "gather", "d"]) == 0
    assert main(["scan", "gather", "d"]) == 0  # made anew at will
    assert main(["scan", "gather", "d", "-o", "all.h5"]) == 0
    assert main(["scan", "gather", "d", "-o", "all.h5"]) == 2
    assert "all.h5 exists" in capsys.readouterr().err
    assert main(["scan", "retry", "d", "--quiet"]) == 0
    with xarray.open_dataset("all.h5", engine="h5netcdf") as data:
        assert data.sizes == {"delta2": 3, "deltap": 2, "t": 3}


def test_plots_of_scans_on_the_command_line(plan, capsys):
    main(["scan", "run", "plan.toml", "d", "--workers", "1", "--quiet"])
    main(["scan", "gather", "d", "--quiet"])
    assert main(["plot", "d/gathered.h5"]) == 0
    assert main(["plot", "d/gathered.h5", "--kind", "along", "--variable", "m_final", "-o", "along.pdf"]) == 0
    assert main(["plot", "d/gathered.h5", "--kind", "curves", "--select", "deltap=1.0", "-o", "curves.svg"]) == 0
    assert all((plan / name).stat().st_size > 5000 for name in ("d/gathered.png", "along.pdf", "curves.svg"))
    capsys.readouterr()
    assert main(["plot", "d/gathered.h5", "--kind", "fdt", "-o", "x.png"]) == 2
    assert capsys.readouterr().err == "dmft plot: --kind 'fdt' is not allowed: choose one of heat-map, along, curves\n"
    dmft.solve(MODEL, dmft.GradientFlow(), t_max=1.0).save("run.h5")
    assert main(["plot", "run.h5", "--select", "deltap=1.0"]) == 2
    assert "for gathered scans" in capsys.readouterr().err


def test_script_for_slurm(plan, capsys):
    assert main(["scan", "slurm", "plan.toml", "a dir", "--tasks", "3", "--time", "01:00:00", "--memory", "4G"]) == 0
    text = (plan / "a dir" / "submit.sh").read_text()
    directory = f"'{plan / 'a dir'}'"
    assert text.startswith("#!/bin/bash\n")
    for line in (
        "#SBATCH --array=0-2",
        "#SBATCH --signal=USR1@120",
        "#SBATCH --mem=4G",
        f"#SBATCH --chdir={directory}",
        f"#SBATCH --output='{plan / 'a dir'}/logs/%A_%a.log'",
    ):
        assert line in text.splitlines()
    assert f'{directory} --task "$SLURM_ARRAY_TASK_ID" --of 3' in text
    assert subprocess.run(["bash", "-n", plan / "a dir" / "submit.sh"], check=False).returncode == 0
    assert (plan / "a dir" / "logs").is_dir()
    assert "sbatch" in capsys.readouterr().err
    assert main(["scan", "run", "a dir/plan.toml", "a dir", "--task", "2", "--of", "3", "--quiet"]) == 0
    assert dmft.scan.status("a dir").finished == 2


@pytest.mark.parametrize(
    ("flags", "words"),
    [
        (["--tasks", "7", "--time", "10"], "--tasks 7"),
        (["--tasks", "2", "--time", "soon"], "time = 'soon'"),
        (["--tasks", "2", "--time", "1", "--signal-before", "60"], "signal_before = 60"),
        (["--tasks", "2", "--time", "10", "--partition", "a\nb"], "partition"),
    ],
)
def test_bad_scripts_for_slurm(plan, capsys, flags, words):
    assert main(["scan", "slurm", "plan.toml", "d", *flags]) == 2
    err = capsys.readouterr().err
    assert words in err
    assert err.count("\n") == 1
    assert not (plan / "d").exists()


def test_failed_points_are_exit_code_3(plan, capsys):
    (plan / "fail.toml").write_text("""
    [model]
    kind = "spiked-matrix-tensor"
    p = 3
    delta2 = 1.0
    deltap = 1.0
    constraint = {kind = "soft-sphere", strength = 10.0}
    [dynamics]
    kind = "gradient-descent"
    [initial]
    m0 = 0.1
    [run]
    steps = 200
    [scan]
    dynamics.learning_rate = [0.01, 5.0]
    """)
    assert main(["scan", "run", "fail.toml", "d", "--workers", "1"]) == 3
    assert "failed: learning_rate = 5: " in capsys.readouterr().err
    assert main(["scan", "status", "d"]) == 0
    assert "1 finished, 1 failed" in capsys.readouterr().out
    assert main(["scan", "retry", "d", "--quiet"]) == 3


def test_a_timer_of_the_user_goes_on(tmp_path):
    rung = []
    before = signal.signal(signal.SIGALRM, lambda *_: rung.append(1))
    try:
        signal.setitimer(signal.ITIMER_REAL, 100.0)
        for limit in (math.inf, 1e300, 50.0):
            assert small().run(tmp_path, workers=1, time_limit=limit).finished == 4
            assert 90.0 < signal.getitimer(signal.ITIMER_REAL)[0] <= 100.0
        signal.setitimer(signal.ITIMER_REAL, 0.01)
        time.sleep(0.1)
        assert rung
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0.0)
        signal.signal(signal.SIGALRM, before)


def test_threads_do_not_go_on_after_the_time_limit(tmp_path, monkeypatch):
    settings = {"N": 60, "samples": 2, "records": 2}
    over = {"m0": [0.1, 0.2, 0.3, 0.4]}
    scan = dmft.Scan(MODEL, dmft.GradientDescent(0.01), over=over, steps=10, simulation=settings)
    compute = points.SimulationPoint.solution

    def until_after_the_limit(self, path, every, time_limit):
        time.sleep(time_limit + 0.05)
        return compute(self, path, every, time_limit)

    monkeypatch.setattr(points.SimulationPoint, "solution", until_after_the_limit)
    with ThreadPoolExecutor(4) as executor:
        status = scan.run(tmp_path, executor=executor, time_limit=1.0)
        assert status.stopped == "stopped by the time limit"
    assert execution.status(tmp_path).missing == 3  # the pool has waited for the one that ran


def test_a_retry_that_is_stopped_says_so(tmp_path):
    scan = small()
    scan.run(tmp_path, workers=1)
    place = Store(tmp_path)
    for file in place.points.glob("*.h5"):
        file.unlink()
    work = execution.Work(str(tmp_path), scan.sha256, True, 300.0)
    for i in range(4):
        execution.give_up(work, i)
    status = scan.run(tmp_path, workers=1, retry=True, time_limit=1e-9)
    assert (status.failed, status.missing, status.stopped) == (4, 0, "stopped by the time limit")


def test_runners_that_pack_at_the_same_time(tmp_path, monkeypatch):
    monkeypatch.setattr(store, "PACK", 50)
    scan = dmft.Scan(MODEL, dmft.AMP(), over={"delta2": np.linspace(0.1, 1.0, 200)}, m0=0.01, steps=2)
    Store(tmp_path).create()
    Store(tmp_path).write_plan(scan, False)
    for i in range(200):
        point = scan.point(i)
        Store(tmp_path).write(Record(point.id, point.parameters, "finished", "", {"x": float(i)}, {}, "{}"))
    with ThreadPoolExecutor(4) as executor:
        packing = [executor.submit(Store(tmp_path).pack) for _ in range(3)]
        counts = [sum(len(table.ids) for table in Store(tmp_path).tables()) for _ in range(3)]
        for future in packing:
            future.result()
    assert min(counts) >= 200
    assert execution.status(tmp_path).finished == 200
    assert dmft.gather(tmp_path).x.values.tolist() == list(range(200))


def test_waiting_for_another_runner_costs_nothing(tmp_path):
    """A point in other hands is looked at now and then, not submitted again."""
    scan = small()
    Store(tmp_path).create()
    code = (
        "import sys; from dmft.scan.store import Store; s = Store(sys.argv[1]); c = s.claim(sys.argv[2])\n"
        "assert c.__enter__(); print('held', flush=True); sys.stdin.read()"
    )
    argv = [sys.executable, "-c", code, str(tmp_path), scan.point(2).id]
    submitted = []

    class Executor:
        def submit(self, function, i):
            if i == 2 and i not in submitted:
                threading.Timer(1.0, other.stdin.close).start()
            submitted.append(i)
            value = function(i)
            return type("Future", (), {"result": lambda self: value})()

    with subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as other:
        assert other.stdout.readline() == "held\n"
        assert scan.run(tmp_path, executor=Executor()).finished == 4
    assert submitted.count(2) == 2
