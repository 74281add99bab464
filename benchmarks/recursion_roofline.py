"""Cost of the exact recursion of the discrete dynamics, and its pass against this machine.

Run: python benchmarks/recursion_roofline.py [steps ...]      (default 250 500 1000 2000 4000)

First table: seconds of ``solve`` on one thread, whole and in the kernel, for heavy ball and
Nesterov, the growth exponent between successive sizes, and the speed-up of two threads.  Second
table: one pass over C and R (16 bytes per pair t >= t', 8 flops per pair) against the roofline,
the smaller of the BLAS rate and the read bandwidth of an array as large as both triangles times
flops per byte (see kernel_roofline.py).  Medians of several runs in one process.
"""

import os
import sys

import numpy as np
from kernel_roofline import bandwidth, blas_rate, seconds

import dmft
from dmft import _recursion

MODEL = dmft.SpikedMatrixTensor(p=3, delta2=1.0, deltap=2 / 3, constraint=dmft.SoftSphere(10.0))
DYNAMICS = {"heavy ball": dmft.HeavyBall(0.01, 0.9), "nesterov": dmft.Nesterov(0.01)}


def solve(dynamics, steps, threads):
    """Seconds of a whole run and of its kernel."""
    integrator = dmft.ExactRecursion(threads=threads)
    stats = dmft.solve(MODEL, dynamics, steps=steps, integrator=integrator, progress=False).stats
    return stats["seconds"], stats["solver_seconds"]


def whole_runs(sizes):
    """First table."""
    print(f"{'':12s}{'steps':>6s}{'seconds':>10s}{'kernel':>10s}{'exponent':>10s}{'2 threads':>11s}")
    for name, dynamics in DYNAMICS.items():
        before = None
        for steps in sizes:
            one = np.median([solve(dynamics, steps, 1) for _ in range(5)], axis=0)
            two = np.median([solve(dynamics, steps, 2)[1] for _ in range(5)])
            exponent = "" if before is None else f"{np.log(one[1] / before[1]) / np.log(steps / before[0]):10.2f}"
            print(f"{name:12s}{steps:6d}{one[0]:10.3f}{one[1]:10.3f}{exponent:>10s}{one[1] / two:10.2f}x")
            before = steps, one[1]


def passes(sizes):
    """Second table."""
    print(
        f"\n{'steps':>6s}{'GB/s':>8s}{'GFlop/s':>9s}{'read GB/s':>11s}{'BLAS GF/s':>11s}{'roofline':>10s}"
        f"{'fraction':>10s}"
    )
    for steps in sizes:
        ones = np.ones(steps + 1)
        run = _recursion.Recursion(
            np.array([0.0, 0.0, 0.5, 0.5]), 0.0, 0 * ones, 0 * ones, ones, 0 * ones, 0.0, _recursion.SOFT, 1.0
        )
        work = run.benchmark_pass()
        work()
        time = np.median(seconds(work, 25))
        pairs = (steps + 1) * (steps + 2) / 2
        read, peak = bandwidth(int(16 * pairs)), blas_rate()
        roofline = min(peak, read * 8 / 16)
        print(
            f"{steps:6d}{16 * pairs / time / 1e9:8.1f}{8 * pairs / time / 1e9:9.1f}{read / 1e9:11.1f}"
            f"{peak / 1e9:11.1f}{roofline / 1e9:10.1f}{8 * pairs / time / roofline:10.0%}"
        )
    print(f"instruction set: {run.instruction_set}")


def main():
    if "OPENBLAS_NUM_THREADS" not in os.environ:  # BLAS reads it when NumPy is loaded: start again
        os.environ["OPENBLAS_NUM_THREADS"] = "1"
        os.execv(sys.executable, [sys.executable, *sys.argv])
    sizes = [int(x) for x in sys.argv[1:]] or [250, 500, 1000, 2000, 4000]
    whole_runs(sizes)
    passes(sizes)


if __name__ == "__main__":
    main()
