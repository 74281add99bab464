"""kill -9 at random instants of a scan: what is in the directory afterwards, and what a later run makes of it.

Run: python benchmarks/scan_kills.py [--kills 200] [--seed 0] [--steps 2200]      (Linux)

A scan of 24 points (0.1 s each, the heavy balls 1.5 s; 16 points with --small) is started in one of five ways and
killed at a random instant:

    pool      `scan run --workers 2`, the driver is killed; its workers must leave by themselves
    worker    `scan run --workers 2`, one of the workers is killed, a little later the driver
    single    `scan run --workers 1`
    task      `scan run --task i --of 3`
    gather    `scan gather`

After every kill all files of points must open and no finished point may be lost.  A scan that is complete is gathered
and compared with one that was never disturbed; the next kills hit a fresh directory.  Exits 1 if anything was wrong.
"""

import argparse
import collections
import contextlib
import io
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import h5py
import numpy as np

from dmft.cli import main as dmft

PLAN = """
[model]
kind = "spiked-matrix-tensor"
p = 3
deltap = 1.0
[[dynamics]]
kind = "langevin"
[[dynamics]]
kind = "gradient-flow"
[[dynamics]]
kind = "heavy-ball"
learning_rate = 0.01
momentum = 0.9
[[dynamics]]
kind = "amp"
[run]
t_max = 20.0
steps = {steps}
[scan]
"model.delta2" = {{start = 0.4, stop = 0.7, num = {num}}}
"initial.m0" = [1e-2, 1e-1]
curves = [0, 1, 2, 5, 10, 20]
"""
MODES = ("pool", "worker", "single", "task", "gather")
IMPORTS = 0.6  # CPU seconds from which on a process computes
PATIENCE = 8.0  # seconds in which workers finish or checkpoint their point after the end of their driver
LINKS = ("CLASS", "NAME", "DIMENSION_LIST", "REFERENCE_LIST", "_Netcdf4Dimid", "_Netcdf4Coordinates")  # of netCDF


def start(*argv, log=subprocess.DEVNULL):
    """``dmft scan ...`` as a process, in a session of its own."""
    argv = [sys.executable, "-m", "dmft", "scan", *map(str, argv)]
    return subprocess.Popen(argv, stdout=log, stderr=log, start_new_session=True)


def processes():
    """{pid: (parent, start time, state, CPU seconds)} of everything that runs."""
    out = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            with contextlib.suppress(OSError, IndexError):
                words = (entry / "stat").read_text().rpartition(")")[2].split()
                cpu = (int(words[11]) + int(words[12])) / os.sysconf("SC_CLK_TCK")
                out[int(entry.name)] = int(words[1]), int(words[19]), words[0], cpu
    return out


def descendants(pid):
    """{pid: start time} of the children of a process and of theirs."""
    table, found, level = processes(), {}, {pid}
    while level:
        level = {child for child, (parent, *_) in table.items() if parent in level}
        found |= {child: table[child][1] for child in level}
    return found


def busiest(pid):
    """CPU seconds of a process or of that of its descendants which has the most."""
    table = processes()
    return max((table[p][3] for p in (pid, *descendants(pid)) if p in table), default=0.0)


def workers(pid):
    """Worker processes of a pool, as pids."""
    out = []
    for child in descendants(pid):
        with contextlib.suppress(OSError):
            if b"spawn_main" in Path(f"/proc/{child}/cmdline").read_bytes():
                out.append(child)
    return sorted(out)


def leave(family, seconds=PATIENCE):
    """Wait until the processes {pid: start time} are gone; (seconds it took, pids that are still there)."""
    began = time.monotonic()
    while True:
        now = processes()
        left = [pid for pid, born in family.items() if pid in now and now[pid][1] == born and now[pid][2] != "Z"]
        waited = time.monotonic() - began
        if not left or waited > seconds:
            return waited, left
        time.sleep(0.05)


def quietly(*argv):
    """(exit code, stderr) of a command that is run in this process."""
    err = io.StringIO()
    with contextlib.redirect_stderr(err), contextlib.redirect_stdout(io.StringIO()):
        try:
            code = dmft(["scan", *map(str, argv)])
        except SystemExit as error:
            code = error.code
    return code, err.getvalue()


def finished(folder):
    """Ids of the points that are finished, as ``scan gather`` sees them."""
    if not (folder / "scan.json").exists():
        return set()
    with tempfile.TemporaryDirectory() as elsewhere:
        code, err = quietly("gather", folder, "-o", Path(elsewhere, "all.h5"))
        if code != 0:
            raise AssertionError(f"gather exits with {code}: {err}")
        with h5py.File(Path(elsewhere, "all.h5")) as f:
            return set(f["id"].asstr()[()][np.isin(f["status"][()], (1, 2))].tolist())


def unreadable(folder):
    """Result files that do not open."""
    bad = []
    for path in [*folder.glob("points/*.h5"), *folder.glob("solutions/*.h5"), *folder.glob("gathered.h5")]:
        if not path.name.startswith("."):
            try:
                with h5py.File(path) as f:
                    f.visititems(lambda name, item: item[()] if isinstance(item, h5py.Dataset) else None)
            except FileNotFoundError:  # a worker that is still there has just packed it
                continue
            except OSError as error:
                bad.append(f"{path.name}: {error}")
    return bad


def temporary(folder):
    """Files with temporary names, and checkpoints, which no complete scan has."""
    names = [path for path in folder.rglob("*") if path.name.startswith(".") or path.name.endswith((".tmp", ".new"))]
    return names + [path for path in folder.glob("checkpoints/**/*") if path.is_file()]


def content(path):
    """{name: (dtype, shape, bytes)} of the variables and {name: value} of the attributes of a gathered file."""
    variables, attributes = {}, {}

    def note(item, prefix):
        for name, value in item.attrs.items():
            if name not in LINKS:
                attributes[f"{prefix}@{name}"] = np.asarray(value).tolist()

    with h5py.File(path) as f:
        note(f, "")
        for name, item in f.items():
            note(item, name)
            values = item.asstr()[()] if h5py.check_string_dtype(item.dtype) else item[()]
            data = repr(values.tolist()) if values.dtype == object else values.tobytes()
            variables[name] = str(item.dtype), item.shape, data
    return variables, attributes


def differences(path, other, ignore=("seconds", "@created")):
    """Names of the variables and attributes in which two gathered files differ, bit for bit."""
    out = []
    for mine, theirs in zip(content(path), content(other), strict=True):
        names = mine.keys() | theirs.keys()
        out += sorted(name for name in names if name not in ignore and mine.get(name) != theirs.get(name))
    return out


class Rounds:
    """Kills, counted by how the scan was started."""

    def __init__(self, folder, plan, seed):
        self.folder, self.plan = Path(folder), Path(folder, "plan.toml")
        self.plan.write_text(plan)
        self.rng = random.Random(seed)
        self.number, self.before = 0, set()
        self.count = collections.Counter()
        self.solving = collections.Counter()  # kills of a process that had been computing
        self.slowest = collections.Counter()
        self.problems, self.completed = [], 0
        self.reference = self.folder / "undisturbed"
        self.complete(self.reference)
        self.points = len(finished(self.reference))

    @property
    def directory(self):
        """That of the scan which is being killed."""
        return self.folder / f"scan{self.number}"

    def problem(self, mode, text):
        self.problems.append(f"{mode}, kill {sum(self.count.values())}, {self.directory.name}: {text}")

    def complete(self, folder):
        """Run to the end and gather."""
        process = start("run", self.plan, folder, "--workers", 2, log=subprocess.PIPE)
        text, _ = process.communicate(timeout=600)
        for name, code, err in (("run", process.returncode, text.decode()), ("gather", *quietly("gather", folder))):
            if code != 0:
                self.problem("complete", f"{name} exits with {code}: {err[-300:]}")

    def argv(self, mode):
        if mode == "gather":
            return "gather", self.directory
        extra = {"single": ("--workers", 1), "task": ("--workers", 1, "--task", self.rng.randrange(3), "--of", 3)}
        return "run", self.plan, self.directory, "--quiet", *extra.get(mode, ("--workers", 2))

    def kill(self, mode):
        """One kill and what must hold after it; False if the process had ended before."""
        process = start(*self.argv(mode))
        if not self.reached(process, self.instant(mode)):
            return False
        family = descendants(process.pid)
        if mode == "worker" and not self.kill_worker(process):
            mode = "pool"
        family |= descendants(process.pid)
        self.count[mode] += 1
        self.solving[mode] += busiest(process.pid) > IMPORTS
        process.kill()
        process.wait()
        self.check(mode)  # with the workers still there
        waited, left = leave(family)
        self.slowest[mode] = max(self.slowest[mode], waited)
        for pid in left:
            self.problem(mode, f"process {pid} is still there {waited:.1f} s after its driver was killed")
            os.kill(pid, signal.SIGKILL)
        self.check(mode)
        return True

    def instant(self, mode):
        """When to kill, in CPU seconds of the busiest process, which mean the same on a busy machine.

        Most kills come soon after the start, some late enough for the long points; a gather takes no time.
        """
        if mode == "gather":
            return self.rng.uniform(0.5, 1.1) * IMPORTS
        return self.rng.uniform(0.1, 1.2) if self.rng.random() < 0.7 else self.rng.uniform(1.2, 3.0)

    def reached(self, process, instant):
        """Wait for the instant; False if the process has ended before."""
        while process.poll() is None:
            if busiest(process.pid) >= instant:
                return True
            time.sleep(0.01)
        return False

    def kill_worker(self, process):
        """Kill one worker of a pool and let the others go on for a while; False if there is none yet."""
        found = workers(process.pid)
        if found:
            with contextlib.suppress(ProcessLookupError):
                os.kill(self.rng.choice(found), signal.SIGKILL)
            time.sleep(self.rng.uniform(0, 1.0))
        return bool(found)

    def check(self, mode):
        """All files open, and no finished point is lost."""
        for text in unreadable(self.directory):
            self.problem(mode, f"unreadable file {text}")
        now = finished(self.directory)
        if not self.before <= now:
            self.problem(mode, f"{len(self.before - now)} finished points are lost")
        self.before = now

    def next_directory(self):
        """Complete the scan, compare it with the undisturbed one, and take a fresh directory."""
        self.complete(self.directory)
        self.check("complete")
        for name in differences(self.directory / "gathered.h5", self.reference / "gathered.h5"):
            self.problem("complete", f"{name} differs from that of the undisturbed scan")
        for path in temporary(self.directory):
            self.problem("complete", f"{path.relative_to(self.directory)} is left over")
        shutil.rmtree(self.directory)
        self.completed += 1
        self.number += 1
        self.before = set()

    def run(self, kills):
        """As many kills, in turn of all modes; afterwards the last scan is completed too."""
        idle = 0
        while sum(self.count.values()) < kills:
            modes = MODES if (self.directory / "scan.json").exists() else MODES[:-1]
            fewest = min(modes, key=lambda mode: (self.count[mode], self.rng.random()))
            idle = 0 if self.kill(fewest) else idle + 1
            if idle > 20:
                raise AssertionError(f"{fewest}: the processes end before they can be killed")
            if len(self.before) == self.points and self.rng.random() < 0.8:  # some kills hit complete scans
                self.next_directory()
        self.next_directory()

    def table(self):
        """What happened, as text."""
        lines = [f"{'started as':12s}{'kills':>8s}{'while computing':>18s}{'last process left after':>26s}"]
        for mode in MODES:
            lines.append(f"{mode:12s}{self.count[mode]:8d}{self.solving[mode]:18d}{self.slowest[mode]:24.1f} s")
        lines.append(f"{self.completed} scans of {self.points} points completed and compared with the undisturbed one")
        return "\n".join([*lines, *self.problems, f"{len(self.problems)} problems"])


def plan(small=False, steps=None):
    """Text of the plan."""
    return PLAN.format(steps=steps or (1000 if small else 2400), num=2 if small else 3)


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--kills", type=int, default=200)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--steps", type=int, help="of the heavy balls")
    parser.add_argument("--small", action="store_true", help="16 points")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        rounds = Rounds(folder, plan(args.small, args.steps), args.seed)
        rounds.run(args.kills)
        print(rounds.table())
    return 1 if rounds.problems else 0


if __name__ == "__main__":
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    sys.exit(main())
