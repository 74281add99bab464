"""Scans under a real Slurm, started for these tests in a private directory (tests/scan/slurm/start.sh).

    python -m pytest -n 0 -m slow tests/scan/test_slurm.py

Every test submits the script of `dmft scan slurm` as it was written.
"""

import json
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

import pytest

import dmft

xarray = pytest.importorskip("xarray")

HERE = Path(__file__).parent / "slurm"
PATH = f"{os.environ.get('PATH', os.defpath)}:/usr/sbin:/sbin"
MISSING = [name for name in ("slurmctld", "slurmd", "munged", "sbatch") if not shutil.which(name, path=PATH)]

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(bool(MISSING), reason=f"not installed: {', '.join(MISSING)} (Debian: slurm-wlm, munge)"),
    pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() != 0, reason="slurmd needs root"),
]

ENDED = ("COMPLETED", "FAILED", "CANCELLED", "TIMEOUT", "NODE_FAIL", "OUT_OF_MEMORY")

MODEL = """
[model]
kind = "spiked-matrix-tensor"
p = 3
deltap = 1.0
"""
CHEAP = (
    MODEL
    + """
[[dynamics]]
kind = "langevin"
[[dynamics]]
kind = "gradient-flow"
[initial]
m0 = 1e-2
[run]
t_max = 2.0
events = [{name = "m", level = 0.02}]
[scan]
"model.delta2" = {start = 0.2, stop = 1.0, num = 20}
"model.deltap" = {start = 0.5, stop = 2.0, num = 5, scale = "log"}
curves = {start = 0.0, stop = 2.0, num = 11}
"""
)
LONG = (
    MODEL
    + """
[dynamics]
kind = "langevin"
[initial]
m0 = 1e-4
[integrator]
dt = 0.02
[run]
t_max = %r
[scan]
"model.delta2" = [0.5]
"""
)
FAILING = """
[model]
kind = "spiked-matrix-tensor"
p = 3
delta2 = 0.5
deltap = 1.0
constraint = {kind = "sphere", method = "lagrange"}
[dynamics]
kind = "heavy-ball"
momentum = 0.9
[initial]
m0 = 0.1
[run]
steps = 20
[scan]
"dynamics.learning_rate" = [0.01, 20.0]
"""


class Cluster:
    """The programs of a Slurm that is running."""

    def __init__(self, configuration):
        self.environment = {**os.environ, "PATH": PATH, "SLURM_CONF": str(configuration)}

    def __call__(self, *command, check=True):
        run = subprocess.run(command, capture_output=True, text=True, env=self.environment)
        assert not check or run.returncode == 0, (command, run.returncode, run.stdout, run.stderr)
        return run.stdout

    def submit(self, script):
        return self("sbatch", "--parsable", str(script)).strip()

    def tasks(self, job):
        """State, reason, restarts and exit code of every task of an array."""
        lines = self("scontrol", "--oneliner", "show", "job", job).splitlines()
        records = [dict(word.split("=", 1) for word in line.split() if "=" in word) for line in lines]
        return [(r["JobState"], r["Reason"], int(r["Restarts"]), r["ExitCode"]) for r in records]

    def wait(self, job, seconds):
        """The tasks once all of them have ended; requeued ones begin after five seconds instead of two minutes."""
        end, hurried = time.monotonic() + seconds, set()
        while time.monotonic() < end:
            tasks = self.tasks(job)
            if all(state in ENDED for state, *_ in tasks):
                return tasks
            if any(reason == "BeginTime" for _, reason, *_ in tasks) and str(tasks) not in hurried:
                # not at once: "Job credential revoked" is the end of a job that begins in the second of its requeue
                self("scontrol", "update", f"JobId={job}", "StartTime=now+5seconds", check=False)
                hurried.add(str(tasks))
            time.sleep(0.5)
        raise AssertionError(f"job {job} is not finished after {seconds} s: {self.tasks(job)}")


@pytest.fixture(scope="module")
def slurm(tmp_path_factory):
    directory = tmp_path_factory.mktemp("slurm")
    run = subprocess.run([HERE / "start.sh", directory], capture_output=True, text=True)
    assert run.returncode == 0, run.stderr
    yield Cluster(directory / "slurm.conf")
    subprocess.run([HERE / "stop.sh", directory], check=True)


def command_line(*argv):
    return [sys.executable, "-m", "dmft.cli", "scan", *map(str, argv)]


def scan(*argv):
    """Run `dmft scan`; its standard output."""
    run = subprocess.run(command_line(*argv), capture_output=True, text=True)
    assert run.returncode == 0, (argv, run.returncode, run.stdout, run.stderr)
    return run.stdout


def prepare(directory, plan, tasks, limit, *options):
    """What a user does before `sbatch`: the script."""
    Path("plan.toml").write_text(plan)
    scan("slurm", "plan.toml", directory, "--tasks", tasks, "--time", limit, *options)
    return Path(directory).absolute() / "submit.sh"


def counts(directory):
    status = json.loads(scan("status", directory, "--json"))
    return [status[name] for name in ("points", "finished", "failed", "missing")]


def logs(directory):
    return "".join(path.read_text() for path in sorted(Path(directory).glob("logs/*.log")))


def assert_same_results(one, other):
    """Gathered files, which are equal in everything but the time they took."""
    datasets = []
    for directory in (one, other):
        scan("gather", directory)
        with xarray.open_dataset(Path(directory) / "gathered.h5", engine="h5netcdf") as data:
            datasets.append(data.load().drop_vars("seconds"))
        del datasets[-1].attrs["created"]
    xarray.testing.assert_identical(*datasets)


def test_an_array_gives_what_one_process_gives(slurm):
    script = prepare("array", CHEAP, 8, "00:05:00")
    tasks = slurm.wait(slurm.submit(script), 120)
    assert tasks == [("COMPLETED", "None", 0, "0:0")] * 8, logs("array")
    assert counts("array") == [200, 200, 0, 0]
    assert len(list(Path("array/logs").iterdir())) == 8
    scan("run", "plan.toml", "local", "--workers", 2, "--quiet")
    assert_same_results("array", "local")


def test_two_arrays_share_a_directory_with_a_difficult_name(slurm):
    directory = "two arrays, 50%a of \"each\" 'and' $more"
    script = prepare(directory, CHEAP, 4, "00:05:00", "--setup", 'echo "here: $NOT_SET_ANYWHERE"')
    jobs = [slurm.submit(script) for _ in range(2)]
    for job in jobs:
        assert [task[0] for task in slurm.wait(job, 120)] == ["COMPLETED"] * 4, logs(directory)
    assert counts(directory) == [200, 200, 0, 0]
    assert logs(directory).count("here: ") == 8
    scan("run", "plan.toml", "local", "--workers", 2, "--quiet")
    assert_same_results(directory, "local")


def test_failed_points_end_the_task_but_do_not_repeat_it(slurm):
    script = prepare("failing", FAILING, 1, "00:05:00")
    assert slurm.wait(slurm.submit(script), 60) == [("FAILED", "NonZeroExitCode", 0, "3:0")], logs("failing")
    assert counts("failing") == [2, 1, 1, 0]
    assert "learning_rate" in scan("status", "failing")


def seconds_of(t_max):
    """CPU seconds of the point of LONG."""
    model = dmft.SpikedMatrixTensor(p=3, delta2=0.5, deltap=1.0)
    start = time.process_time()
    dmft.solve(model, dmft.Langevin(), t_max=t_max, m0=1e-4, integrator=dmft.UniformGrid(dt=0.02))
    return time.process_time() - start


def long_plan(seconds):
    """A plan of one point that takes so long on this machine: the cost grows like the third power of t_max."""
    return LONG % round(40.0 * (seconds / seconds_of(40.0)) ** (1 / 3), 1)


def test_a_task_at_its_time_limit_is_requeued_and_continues(slurm):
    # Slurm looks every 30 seconds: the signal comes between 5 and 35 seconds after the start
    script = prepare("limited", long_plan(45.0), 1, "00:01:00", "--signal-before", 25)
    with subprocess.Popen(command_line("run", "plan.toml", "local", "--workers", 1, "--quiet")) as uninterrupted:
        ((state, _, restarts, code),) = slurm.wait(slurm.submit(script), 240)
        assert (state, code) == ("COMPLETED", "0:0"), logs("limited")
        assert restarts >= 1
        assert uninterrupted.wait(120) == 0
    assert "exit code 75" in logs("limited")
    assert not list(Path("limited/checkpoints").iterdir())
    assert_same_results("limited", "local")


def test_a_cancelled_task_keeps_its_checkpoint_for_the_next_submission(slurm):
    script = prepare("cancelled", long_plan(15.0), 1, "00:05:00")
    job = slurm.submit(script)
    time.sleep(7.0)
    slurm("scancel", job)
    ((state, _, restarts, _),) = slurm.wait(job, 30)
    assert (state, restarts) == ("CANCELLED", 0), logs("cancelled")
    assert counts("cancelled") == [1, 0, 0, 1]
    assert list(Path("cancelled/checkpoints").iterdir())
    assert slurm.wait(slurm.submit(script), 60) == [("COMPLETED", "None", 0, "0:0")], logs("cancelled")
    scan("run", "plan.toml", "local", "--workers", 1, "--quiet")
    assert_same_results("cancelled", "local")
