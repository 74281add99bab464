"""Files of version 0.1.0 still open, continue and mean the same: data/schema-1, made by data/schema-1/make.py.

What is stored must come back bit for bit.  What is computed from it, an interpolation or the rest of a run, was
recorded on one machine: another one, with other vector registers, may differ in the last digits (``CLOSE``).
"""

import importlib.util
import json
import shutil

import numpy as np
import pytest

import dmft

CLOSE = 1e-12  # relative, against the largest value
RUNS = ("uniform", "log-time", "nesterov", "paths", "simulation")
PLANS = ("flow", "annealed", "massive", "log", "momentum", "retrieval", "evolution", "simulated")


@pytest.fixture
def old(request):
    """The folder."""
    return request.config.rootpath / "data" / "schema-1"


def recorded(old, name):
    return json.loads((old / f"{name}.json").read_text())


def recipe(old):
    """The script that made the files, as a module."""
    spec = importlib.util.spec_from_file_location("make_schema_1", old / "make.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def assert_close(value, expected):
    expected = np.asarray(expected, dtype=float)
    scale = np.abs(expected[np.isfinite(expected)]).max(initial=1e-300)
    np.testing.assert_allclose(value, expected, rtol=CLOSE, atol=CLOSE * scale)


def assert_same(sol, expected, same=np.testing.assert_array_equal):
    """A solution has the recorded numbers; ``same`` compares what a file stores."""
    same(sol.t, expected["t"])
    assert set(sol.scalars) == set(expected["scalars"])
    for name, y in expected["scalars"].items():
        same(sol.scalars[name], y)
    stderr = {name: y for name, y in sol.stderr.items() if y.ndim == 1}
    assert set(stderr) == set(expected["stderr"])
    for name, y in expected["stderr"].items():
        same(stderr[name], y)
    assert_two_time(sol, expected, same)
    assert_close(sol.interpolate("m", np.linspace(0.0, sol.t[-1], 7)), expected["between_m"])
    assert sol.status == expected["status"]
    for name in ("model", "dynamics", "integrator"):
        assert repr(getattr(sol, name)) == expected[name]


def assert_two_time(sol, expected, same):
    for name in "CR":
        function = getattr(sol, name)
        assert (function is None) == (expected[name] is None)
        if function is not None:
            computed = isinstance(sol.integrator, dmft.LogTime)  # its values follow from the rows of the run
            (assert_close if computed else same)(function.values, expected[name])
    x = np.array(expected["at"])
    for name, values in expected["between"].items():
        assert_close(getattr(sol, name)(x, 0.4 * x), values)


def assert_same_events(sol, expected, same=np.testing.assert_array_equal):
    assert [(o.event.name, o.event.level, o.direction) for o in sol.events] == [
        (name, level, direction) for name, level, _, direction, _ in expected["events"]
    ]
    same([o.time for o in sol.events], [time for _, _, time, _, _ in expected["events"]])


@pytest.mark.parametrize("name", RUNS)
def test_an_old_file_has_its_numbers(old, name):
    sol, expected = dmft.load(old / f"{name}.h5"), recorded(old, name)
    assert_same(sol, expected)
    assert_same_events(sol, expected)
    assert [o.error for o in sol.events] == [error for *_, error in expected["events"]]


@pytest.mark.parametrize("name", RUNS)
def test_an_old_file_is_written_as_it_was(old, name):
    sol = dmft.load(old / f"{name}.h5")
    sol.save("again.h5")
    assert_same(dmft.load("again.h5"), recorded(old, name))


def test_kept_paths_of_an_old_file(old):
    sol = dmft.load(old / "paths.h5")
    loss = np.mean([sol.model.loss_function.value(law.h, law.y).mean() for law in sol.laws(6)])
    assert len(sol.laws(6)) == 2
    assert loss == pytest.approx(sol.scalars["train_loss"][6], rel=1e-12)


@pytest.mark.parametrize("name", ["uniform", "log-time"])
def test_an_old_checkpoint_continues(old, name, tmp_path):
    """As the run that was not interrupted, in the old version."""
    path = shutil.copy(old / f"{name}.ckpt.h5", tmp_path / "run.ckpt.h5")
    sol, expected = dmft.resume(path), recorded(old, f"{name}.ckpt")
    assert list(sol.scalars) == list(expected["scalars"])
    assert_same(sol, expected, assert_close)
    assert_same_events(sol, expected, assert_close)


def assert_gathered(dataset, expected):
    for name, values in expected.items():
        if name == "coordinates":
            assert sorted(dataset.coords) == values
        else:
            assert_close(dataset[name].values, values)


def test_an_old_scan_goes_on(old, tmp_path):
    """The finished and the failed points keep their names; only the missing one is computed, from its checkpoint."""
    folder, expected = tmp_path / "scan", recorded(old, "scan")
    shutil.copytree(old / "scan", folder)
    plan = recipe(old).scan()
    assert plan.sha256 == expected["sha256"]
    assert [plan.point(i).id for i in range(plan.size)] == expected["ids"]
    assert_gathered(dmft.gather(folder).load(), expected["part"])
    kept = {file.name: file.stat().st_mtime_ns for file in (folder / "points").iterdir()}
    answer = plan.run(folder, workers=1)
    assert (answer.computed, answer.finished, answer.failed, answer.missing) == (1, 3, 1, 0)
    assert kept.items() <= {file.name: file.stat().st_mtime_ns for file in (folder / "points").iterdir()}.items()
    assert not list((folder / "checkpoints").iterdir())
    whole = dmft.gather(folder).load()
    assert_gathered(whole, expected["whole"])
    assert whole.message.values.tolist() == expected["message"]


def test_the_missing_point_takes_up_its_old_checkpoint(old, tmp_path):
    folder, expected = tmp_path / "scan", recorded(old, "scan")
    shutil.copytree(old / "scan", folder)
    checkpoint = folder / "checkpoints" / f"{expected['ids'][3]}.ckpt"
    steps = []
    dmft.resume(checkpoint, callback=lambda step: steps.append(step.step))
    assert steps[0] > 60


def test_an_old_gathered_file_opens(old):
    xarray = pytest.importorskip("xarray")
    with xarray.open_dataset(old / "scan" / "gathered.h5", engine="h5netcdf") as dataset:
        assert_gathered(dataset, recorded(old, "scan")["part"])


@pytest.mark.parametrize("name", PLANS)
def test_points_keep_their_names(old, name):
    """The hashes of plans and points, made from Python and read from the old plan file."""
    expected = recorded(old, "identities")[name]
    model, dynamics, options = recipe(old).PLANS[name]
    (path := old.__class__("plan.toml")).write_text(expected["plan"])
    for plan in (dmft.Scan(model, dynamics, **options), dmft.Scan.read(path)):
        assert plan.sha256 == expected["sha256"]
        assert [plan.point(i).id for i in range(plan.size)] == expected["ids"]
