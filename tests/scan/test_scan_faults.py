"""Scans under faults: kills, full and read-only disks, several runners, points that fail, signals, bad plans."""

import contextlib
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import h5py
import numpy as np
import pytest
from scans import computing, done, gathered, inside, kills, scan, status

import dmft
from dmft.cli import main

pytestmark = pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="processes are watched through /proc")

TABLES = {
    "model": 'kind = "spiked-matrix-tensor"\np = 3\ndelta2 = 0.5\ndeltap = 1.0',
    "dynamics": 'kind = "langevin"',
    "initial": "m0 = 0.1",
    "run": "t_max = 1.0",
    "scan": '"model.delta2" = [0.4, 0.5]',
}
DESCENT = {"dynamics": 'kind = "gradient-descent"\nlearning_rate = 0.01', "run": "steps = 20"}
SOFT = """kind = "spiked-matrix-tensor"
p = 3
delta2 = 1.0
deltap = 0.667
constraint = {kind = "soft-sphere", strength = 10.0}"""


def text(**tables):
    """A plan; tables given here replace those above, "" leaves one out."""
    tables = TABLES | tables
    return "".join(f"[{name}]\n{body}\n" for name, body in tables.items() if body and body[0] != "[") + "".join(
        f"{body}\n" for body in tables.values() if body.startswith("[")
    )


def write(name="plan.toml", **tables):
    """A plan file."""
    path = Path(name).absolute()
    path.write_text(text(**tables))
    return path


def undisturbed(plan, folder="undisturbed", code=0, workers=0):
    """The gathered file of the plan, run without any trouble; without workers in this process."""
    if workers == 0:
        inside("run", plan, folder, "--quiet", code=code)
    else:
        done("run", plan, folder, "--workers", workers, "--quiet", code=code)
    return gathered(folder)


def refused(run, *words):
    """Exit code 2 and one line that contains the words."""
    code, err = (run.returncode, run.stderr) if hasattr(run, "returncode") else run
    assert code == 2, err
    assert err.endswith("\n") and err.count("\n") == 1, err
    assert "Traceback" not in err
    for word in words:
        assert word in err


def here(capsys, *argv):
    """(exit code, stderr) of a command in this process: for refusals, which compute nothing."""
    try:
        code = main(["scan", *map(str, argv)])
    except SystemExit as stop:
        code = stop.code
    return code, capsys.readouterr().err


def files(folder):
    """{name: bytes} of everything in a directory."""
    return {str(p.relative_to(folder)): p.read_bytes() for p in sorted(Path(folder).rglob("*")) if p.is_file()}


# kills


def run_kills(number, **kwargs):
    rounds = kills.Rounds(Path.cwd(), kills.plan(**kwargs), seed=number)
    rounds.run(number)
    print(rounds.table())
    assert rounds.problems == []
    return rounds


def test_kills():
    run_kills(10, small=True)


@pytest.mark.slow
def test_many_kills():
    rounds = run_kills(150)
    assert all(rounds.count[mode] >= 20 for mode in kills.MODES)
    assert sum(rounds.solving.values()) > 50


LONG = {
    "model": 'kind = "spiked-matrix-tensor"\np = 3\ndeltap = 1.0',
    "integrator": "dt = 0.01",
    "run": "t_max = 20.0",
    "scan": '"model.delta2" = [0.4, 0.5]\ncurves = [0.0, 10.0, 20.0]',
}


@pytest.fixture(scope="module")
def long_scan(tmp_path_factory):
    """A plan with two points of several seconds, and what comes out of it."""
    folder = tmp_path_factory.mktemp("long")
    plan = folder / "plan.toml"
    plan.write_text(text(**LONG))
    return plan, undisturbed(plan, folder / "scan")


@pytest.mark.slow
def test_a_killed_worker_costs_at_most_its_point(long_scan):
    plan, reference = long_scan
    process = kills.start("run", plan, "scan", "--workers", 2, "--quiet", log=subprocess.PIPE)
    computing(process, "scan")
    os.kill(kills.workers(process.pid)[0], signal.SIGKILL)
    output, _ = process.communicate(timeout=120)
    assert process.returncode in (0, 2, 3), output
    assert b"Traceback" not in output
    done("run", plan, "scan", "--workers", 2, "--retry", "--quiet")
    assert kills.differences(gathered("scan"), reference) == []


# signals and limits

CASES = [
    # signal, to the whole group, arguments
    pytest.param("SIGTERM", False, ("--workers", 2), id="SIGTERM to a pool"),
    pytest.param("SIGTERM", False, ("--workers", 1), id="SIGTERM", marks=pytest.mark.slow),
    pytest.param("SIGTERM", True, ("--workers", 2), id="SIGTERM to all", marks=pytest.mark.slow),
    pytest.param("SIGUSR1", False, ("--workers", 1), id="SIGUSR1", marks=pytest.mark.slow),
    pytest.param("SIGUSR1", False, ("--workers", 2), id="SIGUSR1 to a pool", marks=pytest.mark.slow),
    pytest.param("SIGUSR1", True, ("--workers", 2), id="SIGUSR1 to all", marks=pytest.mark.slow),
    pytest.param("SIGUSR1", False, ("--task", 0, "--of", 1), id="SIGUSR1 to a task", marks=pytest.mark.slow),
    pytest.param("SIGINT", True, ("--workers", 1), id="Ctrl-C", marks=pytest.mark.slow),
    pytest.param("SIGINT", True, ("--workers", 2), id="Ctrl-C with a pool", marks=pytest.mark.slow),
]


@pytest.mark.parametrize(("name", "group", "argv"), CASES)
def test_a_signal_stops_with_checkpoints(name, group, argv, long_scan):
    plan, reference = long_scan
    argv = ("run", plan, "scan", *argv, "--quiet")
    process = kills.start(*argv, log=subprocess.PIPE)
    computing(process, "scan")
    family = kills.descendants(process.pid)
    send = os.killpg if group else os.kill
    send(process.pid, getattr(signal, name))
    output, _ = process.communicate(timeout=120)  # ends with the last process
    assert process.returncode == (130 if name == "SIGINT" else 75), output
    assert b"Traceback" not in output
    assert kills.leave(family, 10.0)[1] == []
    assert [path for path in Path("scan/checkpoints").iterdir() if not path.name.startswith(".")]
    answer = status("scan")
    assert (answer["points"], answer["failed"]) == (2, 0) and answer["missing"] == 2 - answer["finished"] > 0
    done(*argv)
    assert kills.differences(gathered("scan"), reference) == []
    assert kills.temporary(Path("scan")) == []


def test_time_limits_shorter_than_a_point(long_scan, capsys):
    plan, reference = long_scan
    argv = ("run", plan, "scan", "--workers", "1", "--quiet")
    codes = []
    while codes[-1:] != [0] and len(codes) < 100:  # only the checkpoints make progress
        limited = (*argv, "--task", "0", "--of", "2", "--time-limit", "1.2")
        codes.append(scan(*limited).returncode if len(codes) < 2 else here(capsys, *limited)[0])
    assert 75 in codes and set(codes) == {75, 0}
    answer = inside(*argv, "--json")
    assert answer["computed"] == 1
    assert kills.differences(gathered("scan"), reference) == []
    assert kills.temporary(Path("scan")) == []


def test_a_limit_that_is_not_reached():
    plan = write(**DESCENT)
    inside("run", plan, "scan", "--time-limit", "1000", "--quiet")
    assert status("scan")["finished"] == 2


# disks


class Disk:
    """A small file system in memory."""

    def __init__(self, path):
        self.path = path

    def mount(self, *options):
        command = ["mount", "-t", "tmpfs", "-o", ",".join(options), "tmpfs", str(self.path)]
        return subprocess.run(command, capture_output=True, text=True)

    def change(self, *options):
        subprocess.run(["mount", "-o", ",".join(("remount", *options)), str(self.path)], check=True)

    def fill(self):
        """Write until nothing more fits; the file that takes the place."""
        path = self.path / "filler"
        with contextlib.suppress(OSError), open(path, "wb", buffering=0) as f:
            while True:
                f.write(bytes(4096))
        return path


@pytest.fixture
def disk(tmp_path):
    path = tmp_path / "disk"
    path.mkdir()
    disk = Disk(path)
    run = disk.mount("size=64m")
    if run.returncode != 0:
        pytest.skip(f"mounting a small file system needs root: {run.stderr.strip()}")
    yield disk
    subprocess.run(["umount", "-l", str(path)], check=True)


def size(folder):
    """Bytes in blocks of 4096."""
    return sum(-(-path.stat().st_size // 4096) * 4096 for path in Path(folder).rglob("*") if path.is_file())


HEAVY = {
    **DESCENT,
    "run": "steps = 150",
    "scan": '"model.delta2" = {start = 0.4, stop = 0.8, num = 12}\ncurves = {start = 0, stop = 150, num = 151}',
}
SOLUTIONS = HEAVY | {"scan": HEAVY["scan"] + "\nsolutions = true"}
NO_SPACE = "No space left on device"


@pytest.mark.parametrize(
    ("plan", "workers", "share"),
    [
        (SOLUTIONS, 2, 0.5),
        pytest.param(HEAVY, 1, 0.5, marks=pytest.mark.slow),
        *(
            pytest.param(plan, workers, share, marks=pytest.mark.slow)
            for plan in (HEAVY, SOLUTIONS)
            for workers in (1, 2)
            for share in (0.05, 0.3, 0.7, 0.9)
        ),
    ],
)
def test_full_disk(plan, workers, share, disk):
    plan = write(**plan)
    reference = undisturbed(plan)
    reference.rename("reference.h5")
    disk.change(f"size={int(share * size('undisturbed')) // 4096 * 4096}")
    folder = disk.path / "scan"
    argv = ("run", plan, folder, "--workers", workers, "--quiet")
    refused(scan(*argv), NO_SPACE)
    assert kills.unreadable(folder) == []
    kept = set(folder.glob("points/[!.]*"))
    refused(scan(*argv), NO_SPACE)  # not any worse
    assert kept <= set(folder.glob("points/[!.]*"))
    disk.change("size=64m")
    done(*argv)
    assert kills.differences(gathered(folder), "reference.h5") == []
    assert kills.temporary(folder) == []
    assert {p.name for p in folder.glob("solutions/*")} == {p.name for p in Path("undisturbed/solutions").glob("*")}


def test_gather_on_a_full_disk_keeps_the_old_file(disk):
    plan = write(**HEAVY)
    folder = disk.path / "scan"
    path = undisturbed(plan, folder)
    before = path.read_bytes()
    filler = disk.fill()
    refused(scan("gather", folder), NO_SPACE)
    assert path.read_bytes() == before
    filler.unlink()
    assert kills.temporary(folder) == []
    assert kills.differences(gathered(folder), path) == []


def test_nothing_fits_from_the_start(disk):
    disk.change("size=64k")
    disk.fill()
    refused(scan("run", write(**HEAVY), disk.path / "scan", "--quiet"), NO_SPACE)


@pytest.fixture
def lockable(tmp_path):
    """(directory, function that makes it read-only for this user too)."""
    path = tmp_path / "disk"
    path.mkdir()
    if os.geteuid() != 0:
        yield path, lambda: path.chmod(0o555)
        path.chmod(0o755)
        return
    disk = Disk(path)
    if disk.mount("size=64m").returncode != 0:
        pytest.skip("root ignores permissions and may not mount a read-only file system here")
    yield path, lambda: disk.change("ro")
    subprocess.run(["umount", "-l", str(path)], check=True)


def test_read_only_directory(lockable, capsys):
    path, lock = lockable
    plan, folder = write(**DESCENT), path / "scan"
    reference = undisturbed(plan, folder, workers=1)  # an open file would keep the disk writable
    for name in [folder, *folder.rglob("*")] if os.geteuid() else []:
        name.chmod(0o555 if name.is_dir() else 0o444)
    lock()
    for argv in (("run", plan, path / "new"), ("gather", folder), ("slurm", plan, path / "new", "--tasks", 2)):
        argv += ("--time", "1:00:00") if argv[0] == "slurm" else ()
        code, err = here(capsys, *argv)
        refused((code, err))
        assert "Read-only file system" in err or "ermission" in err
    assert status(folder)["finished"] == 2  # reading needs no right to write
    inside("gather", folder, "-o", "elsewhere.h5")
    assert kills.differences("elsewhere.h5", reference) == []
    more = write("more.toml", **DESCENT | {"scan": '"model.delta2" = [0.4, 0.5, 0.6]'})
    refused(here(capsys, "run", more, folder, "--update"))
    for name in [folder, *folder.rglob("*")] if os.geteuid() else []:
        name.chmod(0o755)


# several runners

MANY = {
    "run": "t_max = 12.0",
    "scan": '"model.delta2" = {start = 0.3, stop = 0.9, num = 12}\n"initial.m0" = [0.01, 0.1]',
}


@pytest.fixture(scope="module")
def many(tmp_path_factory):
    """The plan of many points, and what comes out of it."""
    folder = tmp_path_factory.mktemp("many")
    plan = folder / "plan.toml"
    plan.write_text(text(**MANY))
    return plan, undisturbed(plan, folder / "scan")


def together(commands):
    """Run commands at the same moment; their answers."""
    argv = [sys.executable, "-m", "dmft", "scan"]
    running = [
        subprocess.Popen([*argv, *map(str, command)], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        for command in commands
    ]
    ends = [process.communicate(timeout=300) for process in running]
    for process, (_, err) in zip(running, ends, strict=True):
        assert process.returncode == 0, err
        assert "Traceback" not in err
    return [json.loads(out) for out, _ in ends]


def partition(*sizes):
    """Arguments of the tasks of all partitions."""
    return [("--task", i, "--of", n) for n in sizes for i in range(n)]


@pytest.mark.parametrize(
    "arguments",
    [
        pytest.param([()] * 2, id="two runners"),
        pytest.param(partition(2, 3), id="two partitions"),
        pytest.param([()] * 4, id="four runners", marks=pytest.mark.slow),
        pytest.param([("--workers", 2)] * 2, id="two pools", marks=pytest.mark.slow),
        pytest.param([(), *partition(2)], id="runner and tasks", marks=pytest.mark.slow),
    ],
)
def test_runners_share_the_points(arguments, many):
    plan, reference = many
    extra = ("--workers", 1, "--quiet", "--json")
    answers = together([("run", plan, "scan", *extra, *more) for more in arguments])
    assert sum(answer["computed"] for answer in answers) == 24
    answer = inside("run", plan, "scan", "--quiet", "--json")
    assert (answer["computed"], answer["finished"]) == (0, 24)
    assert kills.differences(gathered("scan"), reference) == []
    assert kills.temporary(Path("scan")) == []


@pytest.mark.slow
@pytest.mark.parametrize("attempt", range(5))
def test_runners_that_create_the_directory_at_once(attempt):
    plan = write(**DESCENT | {"scan": '"model.delta2" = {start = 0.3, stop = 0.9, num = 60}'})
    answers = together([("run", plan, "scan", "--workers", 1, "--quiet", "--json")] * 4)
    assert sum(answer["computed"] for answer in answers) == 60


def test_gather_beside_runners_that_start():
    plan = write(**DESCENT)
    undisturbed(plan, "scan")
    code = "import sys; from dmft.cli import main; [main(sys.argv[1:]) for _ in range(150)]"
    argv = [sys.executable, "-c", code, "scan", "run", str(plan), "scan", "--workers", "1", "--quiet"]
    with subprocess.Popen(argv, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True) as process:
        while process.poll() is None:
            gathered("scan")
        assert process.stdout.read() == ""


def test_tasks_are_a_partition():
    plan = write(**DESCENT | {"scan": '"model.delta2" = {start = 0.3, stop = 0.9, num = 7}'})
    computed = [inside("run", plan, "scan", "--quiet", "--json", *argv)["computed"] for argv in partition(3)]
    assert sum(computed) == 7 and min(computed) >= 2
    assert status("scan")["finished"] == 7


@pytest.mark.slow
def test_survivor_of_two_runners(long_scan):
    plan, reference = long_scan
    first, second = (kills.start("run", plan, "scan", "--workers", 1, "--quiet", log=subprocess.PIPE) for _ in range(2))
    computing(first, "scan")
    first.kill()
    output, _ = second.communicate(timeout=120)
    first.communicate()
    assert second.returncode == 0, output
    done("run", plan, "scan", "--workers", 1, "--quiet")
    assert kills.differences(gathered("scan"), reference) == []


# points that fail

FAILING = {
    "model": SOFT,
    "dynamics": 'kind = "heavy-ball"\nmomentum = 0.9',
    "run": "steps = 400",
    "scan": '"dynamics.learning_rate" = [0.01, 0.3]\n"initial.m0" = [0.1, 0.2]\ncurves = [0, 200, 400]',
}


@pytest.mark.parametrize("workers", [1, pytest.param(2, marks=pytest.mark.slow)])
def test_failed_points(workers):
    plan = write(**FAILING)
    argv, ask = ("--workers", workers, "--quiet"), inside if workers == 1 else done
    ask("run", plan, "scan", *argv, code=3)
    answer = status("scan")
    assert [answer[name] for name in ("points", "finished", "failed", "missing")] == [4, 2, 2, 0]
    assert "diverges" in done("status", "scan").stdout
    assert "diverges" in json.dumps(answer)
    with h5py.File(gathered("scan")) as f:
        assert f["status"][()].tolist() == [[1, 1], [3, 3]]
        message = f["message"].asstr()[()]
        assert all("diverges" in text for text in message[1])
        assert np.isfinite(f["m_final"][0]).all() and np.isfinite(f["m"][0]).all()
        assert (f.attrs["points"], f.attrs["finished"], f.attrs["failed"], f.attrs["missing"]) == (4, 2, 2, 0)
    before = {path.name: path.stat().st_mtime_ns for path in Path("scan/points").iterdir()}
    assert sum(name.endswith(".failed.h5") for name in before) == 2
    assert ask("run", plan, "scan", *argv, "--json", code=3)["computed"] == 0
    time.sleep(0.02)
    ask("retry", "scan", *argv, code=3)
    after = {path.name: path.stat().st_mtime_ns for path in Path("scan/points").iterdir()}
    assert after.keys() == before.keys()
    assert {name for name in after if after[name] != before[name]} == {n for n in after if n.endswith(".failed.h5")}
    assert ask("run", plan, "scan", *argv, "--retry", "--json", code=3)["computed"] == 2


def test_a_failed_point_is_the_same_as_without_the_others():
    inside("run", write("both.toml", **FAILING), "both", "--quiet", code=3)
    alone = FAILING | {"scan": FAILING["scan"].replace("0.01, 0.3", "0.3")}
    inside("run", write("alone.toml", **alone), "alone", "--quiet", code=3)
    with h5py.File(gathered("both")) as both, h5py.File(gathered("alone")) as alone:
        for name in ("id", "message"):
            assert both[name].asstr()[1].tolist() == alone[name].asstr()[0].tolist()


# bad plans

PLANS = {
    "not TOML": ("[scan\n", ["plan.toml"]),
    "unknown table": ({"modle": "p = 3"}, ["modle", "did you mean 'model'?"]),
    "another unknown table": ({"scna": '"model.delta2" = [1.0]'}, ["scna", "did you mean 'scan'?"]),
    "table is no table": ("model = 3\n" + text(model=""), ["model", "3"]),
    "no model": ({"model": ""}, ["model"]),
    "no dynamics": ({"dynamics": ""}, ["dynamics"]),
    "no run": ({"run": ""}, ["t_max"]),
    "no scan": ({"scan": ""}, ["scan"]),
    "no axis": ({"scan": "curves = [0.0, 1.0]"}, ["scan"]),
    "unknown kind of model": ({"model": 'kind = "spiked"'}, ["model.kind", "'spiked'"]),
    "unknown key of the model": ({"model": TABLES["model"] + "\ndelta3 = 1.0"}, ["delta3", "did you mean"]),
    "unknown key of the dynamics": (
        {"dynamics": 'kind = "langevin"\ntemprature = 1.0'},
        ["temprature", "did you mean 'temperature'?"],
    ),
    "unknown key of initial": ({"initial": "m = 0.1"}, ["initial", "'m'"]),
    "unknown key of run": ({"run": "t_max = 1.0\nsave = [1.0]"}, ["save", "did you mean 'save_at'?"]),
    "unknown key of the integrator": ({"integrator": "rtoll = 1e-4"}, ["rtoll", "did you mean 'rtol'?"]),
    "unknown key of simulation": (
        {"simulation": "N = 20\nsample = 4"},
        ["sample", "did you mean 'samples'?"],
    ),
    "simulation without N": ({"simulation": "samples = 4"}, ["N"]),
    "simulation with N = 1": ({"simulation": "N = 1"}, ["N = 1"]),
    "wrong base value": ({"model": TABLES["model"].replace("p = 3", "p = 2")}, ["p = 2"]),
    "wrong m0": ({"initial": "m0 = 1.5"}, ["m0 = 1.5"]),
    "m0 without signal": (
        {
            "model": 'kind = "mixed-spin"\ncouplings = {3 = 0.5}',
            "dynamics": 'kind = "langevin"',
            "scan": '"dynamics.temperature" = [0.5, 1.0]',
        },
        ["m0 = 0.1", "no signal"],
    ),
    "t_max for a discrete dynamics": ({**DESCENT, "run": "t_max = 5.0"}, ["steps", "GradientDescent"]),
    "steps for a continuous dynamics": ({"run": "steps = 5"}, ["t_max", "Langevin"]),
    "no steps for one of two": (
        {"dynamics": '[[dynamics]]\nkind = "langevin"\n[[dynamics]]\nkind = "gradient-descent"\nlearning_rate = 0.1'},
        ["steps", "GradientDescent"],
    ),
    "steps = 0": ({**DESCENT, "run": "steps = 0"}, ["steps = 0"]),
    "steps = 10.5": ({**DESCENT, "run": "steps = 10.5"}, ["steps", "10.5"]),
    "negative t_max": ({"run": "t_max = -1.0"}, ["t_max = -1.0"]),
    "dt above t_max": ({"integrator": "dt = 2.0"}, ["dt = 2.0"]),
    "wrong rtol": ({"integrator": "rtol = 1e-15"}, ["rtol = 1e-15"]),
    "wrong integrator": ({"integrator": 'kind = "exact-recursion"'}, ["ExactRecursion"]),
    "log-time on the soft sphere": ({"model": SOFT, "integrator": 'kind = "log-time"'}, ["LogTime"]),
    "log-time annealed": (
        {"dynamics": 'kind = "langevin"\nannealing = {3 = 2.0}', "integrator": 'kind = "log-time"'},
        ["LogTime", "annealing"],
    ),
    "log-time with a mass": (
        {"dynamics": 'kind = "underdamped-langevin"\nmass = 1.0', "integrator": 'kind = "log-time"'},
        ["LogTime"],
    ),
    "annealing of no channel": ({"dynamics": 'kind = "langevin"\nannealing = {5 = 2.0}'}, ["order 5"]),
    "save_at after the end": ({"run": "t_max = 1.0\nsave_at = [0.5, 2.0]"}, ["save_at", "2.0"]),
    "event on no scalar": ({"run": 't_max = 1.0\nevents = [{name = "K", level = 0.5}]'}, ["'K'"]),
    "event without level": ({"run": 't_max = 1.0\nevents = [{name = "m"}]'}, ["level"]),
    "event with an unknown key": (
        {"run": 't_max = 1.0\nevents = [{name = "m", level = 0.5, terminl = true}]'},
        ["terminl"],
    ),
    "no measurements": (
        {
            "dynamics": 'kind = "stochastic-gradient-descent"\nlearning_rate = 0.1\nbatch_fraction = 0.5',
            "run": "steps = 3",
        },
        ["StochasticGradientDescent"],
    ),
    "langevin of phase retrieval": (
        {"model": 'kind = "phase-retrieval"\nalpha = 2.0', "scan": '"model.alpha" = [1.0, 2.0]'},
        ["Langevin"],
    ),
    "amp on the soft sphere": ({"model": SOFT, "dynamics": 'kind = "amp"', "run": "steps = 5"}, ["AMP"]),
    "amp of a glass": (
        {
            "model": 'kind = "mixed-spin"\ncouplings = {3 = 0.5}',
            "dynamics": 'kind = "amp"',
            "initial": "m0 = 0.0",
            "run": "steps = 5",
            "scan": '"dynamics.estimator" = ["bayes", "ml"]',
        },
        ["MixedSpin"],
    ),
    "two labels alike": (
        {"dynamics": '[[dynamics]]\nkind = "langevin"\n[[dynamics]]\nkind = "langevin"\ntemperature = 0.5'},
        ["langevin", "label"],
    ),
}
SCANS = {
    "unknown key": ('"model.delta2" = [0.4]\ncurve = [0.0]', ["curve", "did you mean 'curves'?"]),
    "parameter without its table": ("delta2 = [0.4, 0.5]", ["delta2"]),
    "unknown table of an axis": ('"modle.delta2" = [0.4]', ["modle"]),
    "unknown parameter of an axis": ('"model.delta3" = [0.4]', ["delta3"]),
    "unknown parameter of initial": ('"initial.q0" = [0.4]', ["q0"]),
    "parameter of another dynamics": ('"dynamics.mass" = [1.0, 2.0]', ["mass"]),
    "empty axis": ('"model.delta2" = []', ["delta2"]),
    "axis is a number": ('"model.delta2" = 0.4', ["delta2", "0.4"]),
    "axis of texts": ('"model.delta2" = ["a", "b"]', ["delta2", "'a'"]),
    "axis of truth values": ('"model.delta2" = [true, false]', ["delta2", "True"]),
    "axis of lists": ('"model.delta2" = [[0.4], [0.5]]', ["delta2"]),
    "num = 0": ('"model.delta2" = {start = 0.1, stop = 1.0, num = 0}', ["delta2", "num = 0"]),
    "num < 0": ('"model.delta2" = {start = 0.1, stop = 1.0, num = -3}', ["delta2", "num = -3"]),
    "num = 2.5": ('"model.delta2" = {start = 0.1, stop = 1.0, num = 2.5}', ["delta2", "num", "2.5"]),
    "no start": ('"model.delta2" = {stop = 1.0, num = 3}', ["delta2", "start"]),
    "no stop": ('"model.delta2" = {start = 0.1, num = 3}', ["delta2", "stop"]),
    "no num": ('"model.delta2" = {start = 0.1, stop = 1.0}', ["delta2", "num"]),
    "unknown key of an axis": (
        '"model.delta2" = {start = 0.1, stop = 1.0, num = 3, scal = "log"}',
        ["delta2", "scal", "did you mean 'scale'?"],
    ),
    "unknown scale": ('"model.delta2" = {start = 0.1, stop = 1.0, num = 3, scale = "cubic"}', ["delta2", "'cubic'"]),
    "log from 0": ('"model.delta2" = {start = 0.0, stop = 1.0, num = 3, scale = "log"}', ["delta2", "start", "0.0"]),
    "log to < 0": ('"model.delta2" = {start = 0.1, stop = -1.0, num = 3, scale = "log"}', ["delta2", "stop", "-1.0"]),
    "start = nan": ('"model.delta2" = {start = nan, stop = 1.0, num = 3}', ["delta2", "start", "nan"]),
    "stop = inf": ('"model.delta2" = {start = 0.1, stop = inf, num = 3}', ["delta2", "stop", "inf"]),
    "start is a text": ('"model.delta2" = {start = "0.1", stop = 1.0, num = 3}', ["delta2", "start", "'0.1'"]),
    "nan in a list": ('"model.delta2" = [0.4, nan]', ["delta2", "nan"]),
    "the same value twice": ('"model.delta2" = [0.4, 0.5, 0.4]', ["delta2", "0.4"]),
    "1 and 1.0": ('"model.delta2" = [1, 1.0]', ["delta2", "1"]),
    "start = stop": ('"model.delta2" = {start = 0.4, stop = 0.4, num = 3}', ["delta2", "0.4"]),
    "value that is not allowed": ('"model.delta2" = [0.4, -0.5]', ["delta2 = -0.5"]),
    "value of another type": ('"model.p" = [3, 3.5]', ["p", "3.5"]),
    "second axis not allowed": ('"model.delta2" = [0.4, 0.5]\n"initial.m0" = [0.1, 2.0]', ["m0 = 2.0"]),
    "too many points": (
        '"model.delta2" = {start = 0.1, stop = 1.0, num = 1000}\n'
        '"model.deltap" = {start = 0.1, stop = 1.0, num = 1000}\n'
        '"initial.m0" = {start = 0.1, stop = 0.9, num = 1000}',
        ["1000000000", "1000000"],
    ),
    "an axis that is too long": ('"model.delta2" = {start = 0.1, stop = 1.0, num = 1000000000000}', ["1000000"]),
    "zip of unequal lengths": (
        'zip = [["model.delta2", "initial.m0"]]\n"model.delta2" = [0.4, 0.5]\n"initial.m0" = [0.1, 0.2, 0.3]',
        ["zip", "delta2", "m0", "2", "3"],
    ),
    "zip with an unknown axis": (
        'zip = [["model.delta2", "model.deltap"]]\n"model.delta2" = [0.4, 0.5]',
        ["zip", "deltap"],
    ),
    "an axis in two zips": (
        'zip = [["model.delta2", "initial.m0"], ["model.delta2", "model.deltap"]]\n"model.delta2" = [0.4, 0.5]\n'
        '"initial.m0" = [0.1, 0.2]\n"model.deltap" = [1.0, 2.0]',
        ["zip", "delta2"],
    ),
    "an axis twice in a zip": (
        'zip = [["model.delta2", "model.delta2"]]\n"model.delta2" = [0.4, 0.5]',
        ["zip", "delta2"],
    ),
    "zip is a text": ('zip = "model.delta2"\n"model.delta2" = [0.4, 0.5]', ["zip"]),
    "zip without groups": (
        'zip = ["model.delta2", "initial.m0"]\n"model.delta2" = [0.4]\n"initial.m0" = [0.1]',
        ["zip"],
    ),
    "curves not increasing": ('"model.delta2" = [0.4]\ncurves = [0.0, 1.0, 0.5]', ["curves"]),
    "curves with a time twice": ('"model.delta2" = [0.4]\ncurves = [0.0, 0.5, 0.5]', ["curves"]),
    "curves before 0": ('"model.delta2" = [0.4]\ncurves = [-1.0, 1.0]', ["curves", "-1.0"]),
    "curves with nan": ('"model.delta2" = [0.4]\ncurves = [0.0, nan]', ["curves", "nan"]),
    "no curves": ('"model.delta2" = [0.4]\ncurves = []', ["curves"]),
    "curves without num": ('"model.delta2" = [0.4]\ncurves = {start = 0.0, stop = 1.0}', ["curves", "num"]),
    "unknown observable": ('"model.delta2" = [0.4]\nobservables = ["m", "energi"]', ["observables", "energi"]),
    "observables is a text": ('"model.delta2" = [0.4]\nobservables = "m"', ["observables", "'m'"]),
    "solutions is a text": ('"model.delta2" = [0.4]\nsolutions = "yes"', ["solutions", "'yes'"]),
}


@pytest.mark.parametrize(("plan", "words"), PLANS.values(), ids=PLANS)
def test_bad_plans(plan, words, capsys):
    check_refusal(plan if isinstance(plan, str) else text(**plan), words, capsys)


@pytest.mark.parametrize(("body", "words"), SCANS.values(), ids=SCANS)
def test_bad_scans(body, words, capsys):
    check_refusal(text(scan=body), words, capsys)


def check_refusal(plan, words, capsys):
    """By plan, run and slurm alike, before anything is written."""
    Path("plan.toml").write_text(plan)
    for argv in (["plan"], ["run"], ["slurm"]):
        argv += ["plan.toml"] if argv == ["plan"] else ["plan.toml", "scan"]
        argv += ["--tasks", "1", "--time", "1:00:00"] if argv[0] == "slurm" else []
        began = time.process_time()
        code, err = here(capsys, *argv)
        refused((code, err.replace(",000", "000")), *words)
        assert time.process_time() - began < 5
    assert [path.name for path in Path().iterdir()] == ["plan.toml"]


def test_a_parameter_that_one_of_two_dynamics_lacks(capsys):
    dynamics = '[[dynamics]]\nkind = "langevin"\n[[dynamics]]\nkind = "gradient-flow"'
    check_refusal(text(dynamics=dynamics, scan='"dynamics.temperature" = [0.5, 1.0]'), ["temperature"], capsys)


def test_missing_plan(capsys):
    for argv in (["plan", "no.toml"], ["run", "no.toml", "scan"]):
        refused(here(capsys, *argv), "no.toml")
    Path("folder").mkdir()
    refused(here(capsys, "plan", "folder"), "folder")
    assert [path.name for path in Path().iterdir()] == ["folder"]


@pytest.mark.parametrize(
    ("argv", "words"),
    [
        (["--task", "3", "--of", "3"], ["task", "3"]),
        (["--task", "-1", "--of", "3"], ["task", "-1"]),
        (["--task", "0", "--of", "0"], ["of", "0"]),
        (["--task", "1"], ["task", "of"]),
        (["--of", "2"], ["task", "of"]),
        (["--workers", "0"], ["workers", "0"]),
        (["--workers", "x"], ["--workers", "'x'"]),
        (["--time-limit", "0"], ["time-limit", "0"]),
        (["--time-limit", "-1"], ["time-limit", "-1"]),
        (["--time-limit", "nan"], ["time-limit", "nan"]),
        (["--wrokers", "2"], ["--wrokers"]),
    ],
)
def test_bad_usage(argv, words, capsys):
    code, err = here(capsys, "run", write(**DESCENT), "scan", *argv)
    refused((code, err.replace("time_limit", "time-limit")), *words)
    assert not Path("scan").exists()


def test_directories_that_are_no_scans(capsys):
    plan = write(**DESCENT)
    Path("file").write_text("precious")
    refused(here(capsys, "run", plan, "file"), "file")
    assert Path("file").read_text() == "precious"
    Path("full").mkdir()
    Path("full/data").write_text("precious")
    for folder in ("nothing", "file", "full"):
        for command in ("status", "gather", "retry"):
            refused(here(capsys, command, folder), folder)
    assert not Path("nothing").exists()
    assert files("full") == {"data": b"precious"}


def test_gather_keeps_other_files(capsys):
    undisturbed(write(**DESCENT), "scan")
    Path("other.h5").write_text("precious")
    refused(here(capsys, "gather", "scan", "-o", "other.h5"), "other.h5")
    assert Path("other.h5").read_text() == "precious"
    assert here(capsys, "gather", "scan", "-o", "other.h5", "--overwrite")[0] == 0
    assert kills.differences("other.h5", "scan/gathered.h5") == []


def test_plan_writes_nothing(capsys):
    write(**HEAVY)
    assert main(["scan", "plan", "plan.toml", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["points"] == 12
    assert main(["scan", "plan", "plan.toml"]) == 0
    assert "12" in capsys.readouterr().out
    assert [path.name for path in Path().iterdir()] == ["plan.toml"]


# another plan on the same directory


def test_another_plan(capsys):
    plan = write("first.toml", **DESCENT)
    larger = write("second.toml", **DESCENT | {"scan": '"model.delta2" = [0.3, 0.4, 0.5, 0.6]'})
    inside("run", plan, "scan", "--quiet")
    gathered("scan")
    before = files("scan")
    refused(here(capsys, "run", larger, "scan"), "another plan")
    assert files("scan") == before
    answer = inside("run", larger, "scan", "--quiet", "--json", "--update")
    assert (answer["points"], answer["computed"], answer["finished"]) == (4, 2, 4)
    assert kills.differences(gathered("scan"), undisturbed(larger)) == []
    refused(here(capsys, "run", plan, "scan"), "another plan")
    answer = inside("run", plan, "scan", "--quiet", "--json", "--update")
    assert (answer["points"], answer["computed"], answer["finished"]) == (2, 0, 2)


def test_update_of_another_model_computes_everything():
    plan = write("first.toml", **DESCENT)
    other = write("second.toml", **DESCENT | {"initial": "m0 = 0.2"})
    inside("run", plan, "scan", "--quiet")
    assert inside("run", other, "scan", "--quiet", "--json", "--update")["computed"] == 2
    assert kills.differences(gathered("scan"), undisturbed(other)) == []


def test_the_same_plan_in_other_words():
    plan = write("first.toml", **DESCENT)
    Path("second.toml").write_text("# a comment\n" + plan.read_text().replace("[0.4, 0.5]", "[ 0.4, 0.5, ]"))
    inside("run", plan, "scan", "--quiet")
    assert inside("run", "second.toml", "scan", "--quiet", "--json")["computed"] == 0


# identity of points


def ids(name, **tables):
    """Ids of the points of a plan, in the order of the points."""
    inside("run", write(f"{name}.toml", **tables), name, "--quiet")
    with h5py.File(gathered(name)) as f:
        out = f["id"].asstr()[()].ravel().tolist()
    assert all(len(i) == 32 and set(i) <= set("0123456789abcdef") for i in out)
    assert len(set(out)) == len(out)
    return out


def test_identity_of_points():
    first = ids("first", **DESCENT, scan='"model.delta2" = [1, 2]')
    assert ids("floats", **DESCENT, scan='"model.delta2" = [1.0, 2.0]') == first
    assert ids("range", **DESCENT, scan='"model.delta2" = {start = 1, stop = 2, num = 2}') == first
    assert ids("backwards", **DESCENT, scan='"model.delta2" = [2, 1]') == first[::-1]
    base = DESCENT | {"model": TABLES["model"].replace("0.5", "1")}
    assert ids("base", **base, scan='"initial.m0" = [0.1, 0.2]')[0] == first[0]
    assert ids("both", **base, scan='"model.delta2" = [1, 3]\n"initial.m0" = [0.1, 0.2]')[0] == first[0]
    assert first[0] not in ids("other", **DESCENT, scan='"model.delta2" = [1.0000000000000002, 2.5]')


def test_identity_does_not_depend_on_what_is_kept_or_on_defaults():
    first = ids("first", **DESCENT)
    explicit = DESCENT["dynamics"] + "\ntemperature = 0"
    assert ids("default", **DESCENT | {"dynamics": explicit}) == first
    label = DESCENT["dynamics"] + '\nlabel = "descent"'
    assert ids("label", **DESCENT | {"dynamics": label}) == first
    assert ids("steps", **DESCENT | {"run": "steps = 21"})[0] not in first


def test_identity_from_python():
    model, descent = dmft.SpikedMatrixTensor(3, 0.5, 1.0), dmft.GradientDescent(0.01)
    plan = dmft.Scan(model, descent, over={"delta2": [0.4, 0.5]}, steps=20, m0=0.1)
    answer = plan.run("python", workers=1)
    assert (answer.points, answer.finished, answer.failed, answer.missing) == (2, 2, 0, 0)
    with h5py.File(gathered("python")) as f:
        assert f["id"].asstr()[()].tolist() == ids("file", **DESCENT)
    assert inside("run", "file.toml", "python", "--quiet", "--json", "--update")["computed"] == 0
