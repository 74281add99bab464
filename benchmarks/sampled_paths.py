"""Cost of sampled paths: seconds of one pass on one core, and the sweep against the memory.

Run: python benchmarks/sampled_paths.py

First table: ``solve`` with one scramble, whole and in the solver (median of several runs in one process), its
rank, and seconds of a plain NumPy loop over the same equations (no orthogonalisation against the forces).
Second table: one sweep over the rows against the read bandwidth of an array of the same size.
"""

import os
import sys
import time

import numpy as np
from kernel_roofline import bandwidth, seconds
from scipy.special import ndtri
from scipy.stats import qmc

import dmft
from dmft import _paths

RIDGE = dmft.Ridge(0.1)
RUNS = {
    "GD, alpha 3, ridge": (dmft.PhaseRetrieval(3.0, constraint=RIDGE), dmft.GradientDescent(0.02), 80, 2**15),
    "GD, alpha 3, normalized, sphere": (
        dmft.PhaseRetrieval(3.0, loss="normalized"),
        dmft.GradientDescent(0.01),
        80,
        2**15,
    ),
    "SGD, alpha 3, ridge": (
        dmft.PhaseRetrieval(3.0, constraint=RIDGE),
        dmft.StochasticGradientDescent(0.02, 0.5),
        80,
        2**15,
    ),
    "heavy ball, alpha 6, ridge": (dmft.PhaseRetrieval(6.0, constraint=RIDGE), dmft.HeavyBall(0.005, 0.9), 200, 2**16),
}


def plain(model, dynamics, steps, paths):
    """The equations in plain NumPy, for full batches and soft constraints or the normalised sphere: m of the end."""
    rng = np.random.default_rng(0)
    z = ndtri(qmc.Sobol(6, seed=rng).random(paths)).T
    loss, alpha = model.loss_function, model.alpha
    rate, inertia = dynamics.learning_rates(1)[0], dynamics.inertia(1)[0]
    rows, forces = [z[0], z[1]], []
    point = before = np.array([0.2, np.sqrt(1 - 0.04)])
    largest = 0.0
    for _ in range(steps + 1):
        f = loss.first(point @ np.array(rows), z[0])
        outside = f.copy()
        for _ in range(2):
            for force in forces:
                outside -= (alpha * (outside @ force) / paths) * force
        norm = np.sqrt(alpha * (outside @ outside) / paths)
        largest = max(largest, np.sqrt(alpha * (f @ f) / paths))
        if norm > 1e-4 * largest:
            k = len(forces)
            fresh = z[2 + k] if k < 4 else rng.standard_normal(paths)
            forces.append(outside / norm)
            for row, force in zip(rows[2:], forces, strict=False):
                eps = row - force
                fresh = fresh - (fresh @ eps / paths) * eps
            rows.append(fresh / np.sqrt(fresh @ fresh / paths) + forces[-1])
            point, before = np.append(point, 0), np.append(before, 0)
        gradient = alpha / paths * (np.array(rows) @ f)
        if model.constraint.soft:
            gradient += model.constraint.multiplier(point @ point) * point
        following = point + inertia * (point - before) - rate * gradient
        if not model.constraint.soft:
            following /= np.sqrt(following @ following)
        before, point = point, following
    return before[0]


def passes():
    """First table."""
    print(f"{'':34s}{'paths':>7s}{'steps':>6s}{'rank':>6s}{'seconds':>9s}{'solver':>9s}{'NumPy':>9s}")
    for name, (model, dynamics, steps, paths) in RUNS.items():
        integrator = dmft.SampledPaths(paths=paths, scrambles=1)
        stats = [
            dmft.solve(model, dynamics, steps=steps, m0=0.2, integrator=integrator, progress=False).stats
            for _ in range(5)
        ]
        whole, solver = (np.median([s[key] for s in stats]) for key in ("seconds", "solver_seconds"))
        loop = ""
        if "SGD" not in name:
            began = time.perf_counter()
            plain(model, dynamics, steps, paths)
            loop = f"{time.perf_counter() - began:9.2f}"
        print(f"{name:34s}{paths:7d}{steps:6d}{stats[0]['rank']:6d}{whole:9.3f}{solver:9.3f}{loop}")


def sweeps():
    """Second table."""
    print(f"\n{'':20s}{'MB':>6s}{'ms':>9s}{'GB/s':>8s}{'read bandwidth':>16s}")
    rng = np.random.default_rng(0)
    for paths, rank in ((2**15, 50), (2**16, 110)):
        rows = _paths.Paths(rng.standard_normal((2, paths)), rng.standard_normal(paths), "")
        for _ in range(rank):
            rows.candidate[:paths] = rng.standard_normal(paths)
            rows.residual(np.zeros(rows.rank), 0.0)
            rows.finish(np.zeros(0), 1.0, np.zeros(rows.rows + 1), 1.0)
            rows.settle()
        point, size = np.full(rows.rows, 1e-3), 8 * paths * rows.rows
        cost = np.median(seconds(lambda rows=rows, point=point: rows.evaluate(_paths.QUARTIC, 0.0, point), 15))
        print(
            f"2^{int(np.log2(paths))} paths, rank {rank:4d}{size / 1e6:6.0f}{1e3 * cost:9.2f}{size / cost / 1e9:8.1f}"
            f"{bandwidth(size) / 1e9:16.1f}"
        )


if __name__ == "__main__":
    if "OPENBLAS_NUM_THREADS" not in os.environ:  # BLAS reads it when NumPy is loaded: start again
        os.environ["OPENBLAS_NUM_THREADS"] = "1"
        os.execv(sys.executable, [sys.executable, *sys.argv])
    passes()
    sweeps()
