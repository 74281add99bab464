"""What a scan costs beside its solves: time per point, a second worker, memory of plans with very many points.

Run: OMP_NUM_THREADS=1 python benchmarks/scan_overhead.py [--full] [--only overhead workers sizes driver]

    overhead   200 points of one step of gradient descent: seconds per point beside those of bare dmft.solve
    workers    200 points of about 0.3 s by one worker and by two
    sizes      `scan plan` and `scan status` of 1,000, 10,000 and 100,000 points: seconds and peak memory
    driver     a run of 10,000 points of one step (with --full also 100,000), then status and gather
"""

import argparse
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

import dmft

PLAN = """
[model]
kind = "spiked-matrix-tensor"
p = 3
deltap = 1.0
[dynamics]
kind = "gradient-descent"
learning_rate = 0.01
[run]
steps = 1
[scan]
"model.delta2" = {{start = 0.1, stop = 1.0, num = {rows}}}
"initial.m0" = {{start = 0.01, stop = 0.1, num = {columns}}}
"""
# a command, and what it took: the last line on stderr is its peak memory in kB
MEASURED = """
import sys
from dmft.cli import main
if __name__ == "__main__":
    code = main(sys.argv[1:])
    with open("/proc/self/status") as f:
        print(next(line.split()[1] for line in f if line.startswith("VmHWM")), file=sys.stderr)
    sys.exit(code)
"""


def measured(*argv):
    """(seconds, peak memory in MB) of ``dmft scan ...`` as a process of its own."""
    began = time.perf_counter()
    argv = [sys.executable, "-c", MEASURED, "scan", *map(str, argv)]
    run = subprocess.run(argv, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
    seconds = time.perf_counter() - began
    if run.returncode != 0:
        raise SystemExit(f"{' '.join(argv[3:])} exits with {run.returncode}: {run.stderr}")
    return seconds, int(run.stderr.split()[-1]) / 1024


def row(*columns):
    print(f"{columns[0]:34s}" + "".join(f"{column:>14s}" for column in columns[1:]), flush=True)


def timed(function):
    began = time.perf_counter()
    function()
    return time.perf_counter() - began


def model(delta2):
    return dmft.SpikedMatrixTensor(3, float(delta2), 1.0)


def overhead(folder):
    """Seconds per point of scans whose points cost nothing."""
    n, descent = 200, dmft.GradientDescent(0.01)
    delta2 = np.linspace(0.1, 1.0, n)
    dmft.solve(model(1.0), descent, steps=1, m0=0.1)  # imports
    bare = timed(lambda: [dmft.solve(model(x), descent, steps=1, m0=0.1) for x in delta2])
    row(f"{n} points of one step", "seconds", "ms/point", "ms overhead")
    row("dmft.solve", f"{bare:.3f}", f"{bare / n * 1e3:.2f}", "")
    for workers in (1, 2):
        scan = dmft.Scan(model(1.0), descent, over={"delta2": delta2}, steps=1, m0=0.1)
        seconds = timed(lambda scan=scan, workers=workers: scan.run(folder / f"overhead{workers}", workers=workers))
        per_point = seconds / n * 1e3
        row(f"scan, workers = {workers}", f"{seconds:.3f}", f"{per_point:.2f}", f"{per_point - bare / n * 1e3:.2f}")
    seconds = timed(lambda: dmft.gather(folder / "overhead1"))
    row("gather", f"{seconds:.3f}", f"{seconds / n * 1e3:.2f}", "")


def workers(folder):
    """One and two workers on points of medium cost."""
    n, seconds = 200, {}
    row(f"{n} points, t_max = 27", "seconds", "s/point", "speed-up")
    for number in (1, 2):
        scan = dmft.Scan(model(1.0), dmft.Langevin(), over={"delta2": np.linspace(0.4, 1.0, n)}, t_max=27.0, m0=1e-2)
        seconds[number] = timed(lambda scan=scan, k=number: scan.run(folder / f"workers{k}", workers=k))
        speed = seconds[1] / seconds[number]
        row(f"workers = {number}", f"{seconds[number]:.1f}", f"{seconds[number] / n:.3f}", f"{speed:.2f}")


def trivial_plan(folder, points):
    """A plan of so many points of one step."""
    path = folder / f"plan{points}.toml"
    path.write_text(PLAN.format(rows=points // 100, columns=100))
    return path


def sizes(folder):
    """Plan and status of many points, nothing computed."""
    row("command", "points", "seconds", "peak MB")
    for points in (1000, 10_000, 100_000):
        plan, scan = trivial_plan(folder, points), folder / f"sizes{points}"
        measured("slurm", plan, scan, "--tasks", 2, "--time", "1:00:00")
        for argv in (("plan", plan), ("status", scan)):
            seconds, memory = measured(*argv)
            row(f"scan {argv[0]}", f"{points:,}", f"{seconds:.2f}", f"{memory:.0f}")


def driver(folder, full=False):
    """A driver of many points, and what reads its directory."""
    row("command", "points", "seconds", "peak MB", "ms/point")
    for points in (10_000, 100_000) if full else (10_000,):
        plan, scan = trivial_plan(folder, points), folder / f"driver{points}"
        commands = {
            "run --workers 2": ("run", plan, scan, "--workers", 2, "--quiet"),
            "run, all finished": ("run", plan, scan, "--workers", 2, "--quiet"),
            "status": ("status", scan),
            "gather": ("gather", scan),
        }
        for name, argv in commands.items():
            seconds, memory = measured(*argv)
            row(f"scan {name}", f"{points:,}", f"{seconds:.2f}", f"{memory:.0f}", f"{seconds / points * 1e3:.2f}")
        held = [path.stat() for path in scan.rglob("*") if path.is_file()]
        row("directory", f"{points:,}", f"{len(held)} files", f"{sum(s.st_blocks for s in held) / 2048:.1f}")


def main():
    parts = {"overhead": overhead, "workers": workers, "sizes": sizes, "driver": driver}
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--full", action="store_true", help="also a run of 100,000 points")
    parser.add_argument("--only", nargs="+", choices=parts, default=list(parts))
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        for name in args.only:
            parts[name](Path(folder), **({"full": args.full} if name == "driver" else {}))
            print()


if __name__ == "__main__":
    main()
