"""Speed of the history pass against what memory and BLAS of this machine can do in the same run.

Run: python benchmarks/kernel_roofline.py [steps ...]      (default 500 1000 2000 4000)

A pass reads C and R once (16 bytes per pair t >= t') and does 8 flops per pair for each of the
seven rows of a panel.  The roofline is the smaller of
  memory: streaming read bandwidth of an array as large as both triangles x flops per byte,
  arithmetic: double-precision matrix product of BLAS on one thread.
The bandwidth is that of the fastest of three read loops, best of several runs; everything is the
median of several runs unless said otherwise.  The last column is the speed-up of two threads.
"""

import os
import sys
import time

import numpy as np

from dmft import _uniform

ROWS = 7


def seconds(work, repeats):
    """Times of several calls."""
    out = []
    for _ in range(repeats):
        began = time.perf_counter()
        work()
        out.append(time.perf_counter() - began)
    return out


def blas_rate():
    """Flops per second of a matrix product on one thread."""
    a = np.random.default_rng(0).random((1200, 1200))
    return 2 * 1200**3 / np.median(seconds(lambda: a @ a, 9))


def bandwidth(nbytes):
    """Bytes per second of reading an array of that size once, fastest way found."""
    x = np.ones(nbytes // 8)
    square = x[: (int(np.sqrt(x.size)) ** 2)].reshape(int(np.sqrt(x.size)), -1)
    y = np.ones(square.shape[1])
    ways = [lambda: x.sum(), lambda: x @ x, lambda: square @ y]
    return max(nbytes / min(seconds(way, 9)) for way in ways)


def passes(steps, threads, repeats=15):
    """Seconds of one history pass over ``steps`` finished steps."""
    solver = _uniform.PanelSolver(
        np.linspace(0.0, 20.0, steps // 6 + 2),
        np.array([0.0, 0.0, 1.0, 1.0 / 3.0]),
        np.ones((4, 6 * (steps // 6 + 1) + 1)),
        1.0,
        0.01,
        threads,
    )
    work = solver.benchmark_pass()
    work()
    return np.median(seconds(work, repeats)), solver.instruction_set


def main():
    if "OPENBLAS_NUM_THREADS" not in os.environ:  # BLAS reads it when NumPy is loaded: start again
        os.environ["OPENBLAS_NUM_THREADS"] = "1"
        os.execv(sys.executable, [sys.executable, *sys.argv])
    sizes = [int(x) for x in sys.argv[1:]] or [500, 1000, 2000, 4000]
    print(
        f"{'steps':>6s}{'GB/s':>8s}{'GFlop/s':>9s}{'read GB/s':>11s}{'BLAS GF/s':>11s}{'roofline':>10s}"
        f"{'fraction':>10s}{'2 threads':>11s}"
    )
    for steps in sizes:
        one, name = passes(steps, 1)
        two, _ = passes(steps, 2)
        pairs = (steps + 1) * (steps + 2) / 2
        read, peak = bandwidth(int(16 * pairs)), blas_rate()
        rate, intensity = 8 * ROWS * pairs / one, 8 * ROWS / 16
        roofline = min(peak, read * intensity)
        print(
            f"{steps:6d}{16 * pairs / one / 1e9:8.1f}{rate / 1e9:9.1f}{read / 1e9:11.1f}{peak / 1e9:11.1f}"
            f"{roofline / 1e9:10.1f}{rate / roofline:10.0%}{one / two:10.2f}x"
        )
    print(f"instruction set: {name}")


if __name__ == "__main__":
    main()
