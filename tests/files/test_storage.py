"""Files: round trip, atomicity, foreign readers, refusals."""

import json
import signal
import subprocess
import sys

import h5py
import numpy as np
import pytest

import dmft
from dmft.files import checkpoints, hdf5, runs

MODEL = dmft.SpikedMatrixTensor(3, 0.4, np.inf)
SPIKED = dmft.SpikedMatrixTensor(3, 0.4, 1.0)


def make(**kwargs):
    events = [dmft.Crossing("energy", -0.5, terminal=False)]
    annealing = dmft.Annealing.exponential(3, 2.0, 1.0)
    return dmft.solve(SPIKED, dmft.Langevin(1.0, annealing), t_max=2.0, m0=0.1, events=events, **kwargs)


def assert_equal(a, b):
    np.testing.assert_array_equal(a.t, b.t)
    assert list(a.scalars) == list(b.scalars)
    for name in a.scalars:
        np.testing.assert_array_equal(a.scalars[name], b.scalars[name])
    assert set(a.stderr) == set(b.stderr)
    for name in a.stderr:
        np.testing.assert_array_equal(a.stderr[name], b.stderr[name])
    for name in ("C", "R"):
        f, g = getattr(a, name), getattr(b, name)
        if f is None:
            assert g is None
            continue
        np.testing.assert_array_equal(f.t, g.t)
        np.testing.assert_array_equal(f.values, g.values)
        if f.complete:
            x = np.linspace(0, a.t[-1], 37)
            np.testing.assert_array_equal(f(x, 0.3 * x), g(x, 0.3 * x))
    for name in ("model", "dynamics", "integrator", "spec", "status", "message", "stats", "events"):
        assert getattr(a, name) == getattr(b, name), name


@pytest.mark.parametrize("save_at", [None, [0.5, 1.0, 2.0]])
def test_round_trip(save_at):
    sol = make(save_at=save_at)
    sol.save("run.h5")
    assert_equal(sol, dmft.load("run.h5"))


def test_round_trip_of_a_simulation():
    sim = dmft.simulate(SPIKED, dmft.Langevin(), t_max=0.5, N=12, samples=3, records=6, m0=0.2)
    sim.save("sim.h5")
    assert_equal(sim, dmft.load("sim.h5"))


def test_infinite_noise_survives():
    sol = dmft.solve(MODEL, dmft.GradientFlow(), t_max=1.0)
    sol.save("run.h5")
    assert dmft.load("run.h5").model == MODEL
    assert "Infinity" not in h5py.File("run.h5", "r").attrs["spec"]


def test_plain_h5py_and_provenance():
    make().save("run.h5")
    with h5py.File("run.h5", "r") as f:
        assert f.attrs["dmft_schema"] == 1
        assert f.attrs["converged"] == 1
        stats = json.loads(f.attrs["stats"])
        assert {"numpy", "scipy", "h5py", "python", "dmft"} <= set(stats["versions"])
        assert json.loads(f.attrs["spec"])["model"]["delta2"] == 0.4
        for name in ("t", "t_prime", "m", "mu", "energy", "energy_2", "energy_3", "C", "R"):
            assert f[name].attrs["long_name"]
            assert "units" in f[name].attrs
        assert f["C"].dims[0][0] == f["t"]
        assert f["C"].dims[1][0] == f["t_prime"]
        assert np.isnan(f["C"][0, 1])


@pytest.mark.parametrize("save_at", [None, [0.5, 1.0, 2.0]])
def test_xarray_opens_and_reduces(save_at):
    xarray = pytest.importorskip("xarray")
    pytest.importorskip("h5netcdf")
    sol = make(save_at=save_at)
    sol.save("run.h5")
    with xarray.open_dataset("run.h5", engine="h5netcdf") as data:
        rows = "t" if save_at is None else "t_row"
        np.testing.assert_allclose(data.C.mean("t_prime")[-1], sol.C.row(-1 % len(sol.C.t))[1].mean())
        assert data.R.max(rows).sizes == {"t_prime": len(sol.t)}
        np.testing.assert_allclose(data.m.sel(t=sol.t[5]), sol.m[5])


def test_the_saved_spec_runs_again():
    sol = make()
    from dmft.files import spec

    again = dmft.solve(**spec.arguments(sol.spec))
    np.testing.assert_array_equal(again.m, sol.m)


def test_existing_files_are_kept(tmp_path):
    sol = make()
    path = tmp_path / "run.h5"
    path.write_text("precious")
    with pytest.raises(FileExistsError, match="exists and is kept"):
        sol.save(path)
    assert path.read_text() == "precious"
    sol.save(path, overwrite=True)
    assert dmft.load(path).status == "finished"
    with pytest.raises(FileNotFoundError, match="directory of"):
        sol.save(tmp_path / "none" / "run.h5")
    with pytest.raises(IsADirectoryError):
        sol.save(tmp_path)


def test_failed_write_leaves_nothing(tmp_path, monkeypatch):
    sol = make()
    path = tmp_path / "run.h5"
    sol.save(path)
    before = path.read_bytes()

    def broken(*args):
        raise OSError("no space left on device")

    monkeypatch.setattr(runs, "_write_two_time", broken)
    with pytest.raises(OSError, match="no space"):
        sol.save(path, overwrite=True)
    assert path.read_bytes() == before
    assert [p.name for p in tmp_path.iterdir()] == ["run.h5"]


def test_foreign_damaged_and_newer_files_are_refused(tmp_path):
    with pytest.raises(FileNotFoundError, match="does not exist"):
        dmft.load("none.h5")
    (tmp_path / "text.h5").write_text("hello")
    with pytest.raises(dmft.FileFormatError, match="not a readable HDF5 file"):
        dmft.load("text.h5")
    with h5py.File("other.h5", "w") as f:
        f["x"] = 1
    with pytest.raises(dmft.FileFormatError, match="not a dmft-run file"):
        dmft.load("other.h5")
    make().save("run.h5")
    with h5py.File("run.h5", "r+") as f:
        f.attrs["dmft_schema"] = 2
        f.attrs["dmft_version"] = "9.9"
    with pytest.raises(dmft.FileFormatError, match=r"schema 2, this version reads up to 1: install dmft 9\.9"):
        dmft.load("run.h5")
    with h5py.File("run.h5", "r+") as f:
        f.attrs["dmft_schema"] = 1
        del f["t_prime"]
    with pytest.raises(dmft.FileFormatError, match="damaged"):
        dmft.load("run.h5")


def test_golden_file_of_schema_1_still_loads(request):
    sol = dmft.load(request.config.rootpath / "data" / "schema-1.h5")
    assert sol.model == dmft.SpikedMatrixTensor(3, 0.5, 1.0)
    again = dmft.solve(sol.model, sol.dynamics, t_max=2.0, m0=0.1, integrator=sol.integrator, save_at=[0.5, 1.0, 2.0])
    np.testing.assert_allclose(again.m, sol.m, rtol=1e-9)
    np.testing.assert_allclose(again.C.values, sol.C.values, atol=1e-9)


# --- checkpoints -----------------------------------------------------------------------------

CASE = dict(t_max=6.0, m0=0.05)


class Interrupt:
    """A callback that stops the run after some steps."""

    def __init__(self, steps):
        self.steps = steps

    def __call__(self, step):
        return step.step >= self.steps


@pytest.mark.parametrize("integrator", [dmft.UniformGrid(dt=0.03), dmft.UniformGrid(rtol=1e-7)])
@pytest.mark.parametrize("steps", [1, 100])
def test_resume_is_bit_equal(integrator, steps):
    events = [dmft.Crossing("m", 0.1, terminal=False)]
    kwargs = dict(integrator=integrator, events=events, **CASE)
    whole = dmft.solve(SPIKED, dmft.Langevin(), **kwargs)
    part = dmft.solve(SPIKED, dmft.Langevin(), checkpoint="c.ckpt", callback=Interrupt(steps), **kwargs)
    assert part.status == "interrupted"
    assert len(part.t) < len(whole.t)
    resumed = dmft.resume("c.ckpt")
    for name in whole.scalars:
        np.testing.assert_array_equal(resumed.scalars[name], whole.scalars[name])
    np.testing.assert_array_equal(resumed.C.values, whole.C.values)
    np.testing.assert_array_equal(resumed.R.values, whole.R.values)
    assert resumed.stats["error"] == whole.stats["error"]
    assert resumed.events == whole.events
    finished = dmft.resume("c.ckpt")  # a finished run comes back as it is
    np.testing.assert_array_equal(finished.m, whole.m)


@pytest.mark.parametrize(
    ("model", "dynamics"),
    [
        (SPIKED, dmft.Langevin()),
        (SPIKED, dmft.UnderdampedLangevin(0.7, 0.9, 0.5, 0.3)),
        (dmft.SpikedMatrixTensor(3, 0.4, 1.0, dmft.SoftSphere(3.0)), dmft.UnderdampedLangevin(0.7, 0.9, 0.5)),
    ],
)
def test_resume_in_every_stage(model, dynamics):
    # stop by the time limit after each panel: pilots included
    integrator = dmft.UniformGrid(dt=0.05)
    kwargs = dict(integrator=integrator, t_max=2.0, m0=0.05)
    whole = dmft.solve(model, dynamics, **kwargs)
    sol = dmft.solve(model, dynamics, checkpoint=dmft.Checkpoint("c.ckpt", time_limit=1e-9), **kwargs)
    count = 1
    while sol.status == "interrupted":
        assert "time limit" in sol.message
        sol = dmft.resume("c.ckpt", time_limit=1e-9)
        count += 1
    assert count > 7
    for name in whole.scalars:
        np.testing.assert_array_equal(sol.scalars[name], whole.scalars[name])
    np.testing.assert_array_equal(sol.C.values, whole.C.values)
    assert sol.stats["error"] == whole.stats["error"]


def test_existing_checkpoint_is_not_overwritten():
    dmft.solve(SPIKED, dmft.Langevin(), checkpoint="c.ckpt", **CASE)
    with pytest.raises(FileExistsError, match=r"dmft\.resume\(.*\) continues it"):
        dmft.solve(SPIKED, dmft.Langevin(), checkpoint="c.ckpt", **CASE)


def test_old_generations_do_not_mix_with_a_new_run(tmp_path):
    (tmp_path / "c.ckpt.1").write_text("somebody's file")
    with pytest.raises(FileExistsError, match=r"c\.ckpt\.1 exists"):
        dmft.solve(SPIKED, dmft.Langevin(), checkpoint="c.ckpt", **CASE)
    assert (tmp_path / "c.ckpt.1").read_text() == "somebody's file"


def test_checkpoint_in_a_missing_directory_is_refused_before_the_work():
    seen = []
    with pytest.raises(FileNotFoundError, match=r"directory of none/c\.ckpt does not exist"):
        dmft.solve(SPIKED, dmft.Langevin(), checkpoint="none/c.ckpt", callback=seen.append, **CASE)
    assert seen == []


def test_a_checkpoint_that_cannot_be_written_does_not_cost_the_run(monkeypatch):
    from dmft import driver

    def full(*args):
        raise OSError("no space left on device")

    monkeypatch.setattr(driver, "write_checkpoint", full)
    with pytest.warns(RuntimeWarning, match="no space left"):
        sol = dmft.solve(SPIKED, dmft.Langevin(), checkpoint="c.ckpt", **CASE)
    assert sol.status == "finished"


def test_damaged_checkpoint_falls_back_to_the_one_before(tmp_path):
    kwargs = dict(integrator=dmft.UniformGrid(dt=0.03), **CASE)
    every = dmft.Checkpoint("c.ckpt", every=1e-6)
    sol = dmft.solve(SPIKED, dmft.Langevin(), checkpoint=every, callback=Interrupt(60), **kwargs)
    assert sol.status == "interrupted"
    assert checkpoints.previous("c.ckpt").exists()
    raw = (tmp_path / "c.ckpt").read_bytes()
    (tmp_path / "c.ckpt").write_bytes(raw[: len(raw) // 2])
    whole = dmft.solve(SPIKED, dmft.Langevin(), **kwargs)
    np.testing.assert_array_equal(dmft.resume("c.ckpt").m, whole.m)
    (tmp_path / "c.ckpt").write_bytes(b"")
    checkpoints.previous("c.ckpt").unlink()
    with pytest.raises(dmft.FileFormatError, match="not a readable HDF5 file"):
        dmft.resume("c.ckpt")
    with pytest.raises(FileNotFoundError, match="does not exist"):
        dmft.resume("none.ckpt")


def test_a_function_as_schedule_must_be_passed_again():
    def schedule(t):
        return 1.0 + 1.0 / (1.0 + t)

    dynamics = dmft.Langevin(1.0, dmft.Annealing({3: schedule}))
    kwargs = dict(integrator=dmft.UniformGrid(dt=0.05), **CASE)
    whole = dmft.solve(SPIKED, dynamics, **kwargs)
    whole.save("run.h5")
    assert "schedule" in repr(dmft.load("run.h5").dynamics)
    dmft.solve(SPIKED, dynamics, checkpoint="c.ckpt", callback=Interrupt(20), **kwargs)
    with pytest.raises(ValueError, match="pass dynamics= with the same function"):
        dmft.resume("c.ckpt")
    with pytest.raises(ValueError, match="is not that of the checkpoint"):
        dmft.resume("c.ckpt", dynamics=dmft.Langevin(2.0))
    other = dmft.Langevin(1.0, dmft.Annealing({3: change_name(lambda t: 2.0, schedule)}))
    with pytest.raises(ValueError, match="its values differ"):
        dmft.resume("c.ckpt", dynamics=other)
    np.testing.assert_array_equal(dmft.resume("c.ckpt", dynamics=dynamics).m, whole.m)


def change_name(function, like):
    function.__module__, function.__qualname__ = like.__module__, like.__qualname__
    return function


class Schedule:
    def __call__(self, t):
        return 1.5


def test_a_callable_object_as_schedule():
    kwargs = dict(integrator=dmft.UniformGrid(dt=0.05), **CASE)
    make_dynamics = lambda: dmft.Langevin(1.0, dmft.Annealing({3: Schedule()}))  # noqa: E731
    dmft.solve(SPIKED, make_dynamics(), checkpoint="c.ckpt", callback=Interrupt(20), **kwargs)
    assert dmft.resume("c.ckpt", dynamics=make_dynamics()).status == "finished"


def test_damaged_contents_are_reported(tmp_path):
    make().save("run.h5")
    with h5py.File("run.h5", "r+") as f:
        del f.attrs["dmft_schema"]
    with pytest.raises(dmft.FileFormatError, match="no dmft_schema"):
        dmft.load("run.h5")
    dmft.solve(SPIKED, dmft.Langevin(), checkpoint="c.ckpt", **CASE)
    with h5py.File("c.ckpt", "r+") as f:
        f.attrs["spec"] = "{"
    with pytest.raises(dmft.FileFormatError):
        dmft.resume("c.ckpt")
    with h5py.File("c.ckpt", "r+") as f:
        f.attrs["spec"] = "{}"
        del f["solver"]
    with pytest.raises(dmft.FileFormatError, match="incomplete"):
        dmft.resume("c.ckpt")


SCRIPT = """
import sys, dmft
model = dmft.SpikedMatrixTensor(3, 0.4, 1.0)
dmft.solve(model, dmft.Langevin(), t_max=12.0, m0=0.05, integrator=dmft.UniformGrid(dt=0.01),
           checkpoint=dmft.Checkpoint("c.ckpt", every=0.01))
"""


def test_killed_process_is_recovered(tmp_path):
    import time

    whole = dmft.solve(SPIKED, dmft.Langevin(), t_max=12.0, m0=0.05, integrator=dmft.UniformGrid(dt=0.01))
    rng, kills, attempts = np.random.default_rng(0), 0, 0
    while kills < 6:
        attempts += 1
        assert attempts < 30, "the processes end before they can be killed"
        for old in tmp_path.glob("c.ckpt*"):
            old.unlink()
        process = subprocess.Popen([sys.executable, "-c", SCRIPT])
        while not (tmp_path / "c.ckpt").exists():
            assert process.poll() is None
            time.sleep(0.005)
        time.sleep(0.3 * rng.random())
        process.kill()
        if process.wait() == 0:  # it was faster
            continue
        kills += 1
        assert process.returncode == -signal.SIGKILL
        np.testing.assert_array_equal(dmft.resume("c.ckpt").m, whole.m)


@pytest.mark.parametrize("memory", [0.0, 1e12])
def test_files_are_the_same_made_in_memory_or_on_disk(tmp_path, monkeypatch, memory):
    monkeypatch.setattr(hdf5, "available_memory", lambda: memory)
    sol = dmft.solve(dmft.SpikedMatrixTensor(3, 0.5, 1.0), dmft.GradientFlow(), t_max=1.0)
    sol.save(tmp_path / "run.h5")
    loaded = dmft.load(tmp_path / "run.h5")
    assert np.array_equal(loaded.C.values, sol.C.values)
    assert np.array_equal(loaded.energy, sol.energy)
    with pytest.raises(ZeroDivisionError), hdf5.atomic(tmp_path / "run.h5", overwrite=True, size=1) as f:
        f["x"] = 1 / 0
    assert np.array_equal(dmft.load(tmp_path / "run.h5").energy, sol.energy)
    assert [file.name for file in tmp_path.iterdir()] == ["run.h5"]
