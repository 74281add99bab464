"""Error at t = 20 against CPU seconds, beside a first-order Euler solver.

Run: python benchmarks/accuracy_vs_cost.py [--quick]

Errors are relative for m and absolute for C(t, t/2), mu and energy, at t = 20, against a solution
of rtol 1e-11; "estimate" is the solver's own largest error estimate.  CPU seconds are those of the
whole call of solve (pilot runs included), median of three.
"""

import argparse
import sys
import time
from functools import partial
from pathlib import Path

import numpy as np
from euler import euler

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))

from cases import CASES

import dmft
from dmft.equations import TwoTimeEquations


def timed(work, repeats=3):
    """(median CPU seconds, result)."""
    seconds = []
    for _ in range(repeats):
        began = time.process_time()
        result = work()
        seconds.append(time.process_time() - began)
    return float(np.median(seconds)), result


def row(label, seconds, steps, values, exact, estimate=""):
    """One line of the table."""
    errors = [abs(values[0] / exact[0] - 1), *(abs(a - b) for a, b in zip(values[1:], exact[1:], strict=True))]
    cells = "".join(f"{e:10.1e}" for e in errors)
    print(f"{label:18s}{seconds:9.3f}{steps:8d}{cells}{estimate:>12s}")


def values(sol):
    """m, mu, energy, C(t, t/2) at the final time."""
    t = sol.t[-1]
    return [sol.m[-1], sol.mu[-1], sol.energy[-1], sol.C(t, t / 2)]


HEADER = ("", "CPU s", "steps", "m", "mu", "energy", "C(t,t/2)", "estimate")
WIDTHS = (18, 9, 8, 10, 10, 10, 10, 12)


def compare(name, quick):
    """Table of one case."""
    model, dynamics, m0, t_max = CASES[name]

    def solve(grid):
        return dmft.solve(model, dynamics, integrator=grid, t_max=t_max, m0=m0)

    exact = values(solve(dmft.UniformGrid(rtol=1e-10 if quick else 1e-11)))
    print(f"\n{name}: {model!r}, {dynamics!r}, m0 = {m0}, t = {t_max}")
    print("".join(f"{text:>{width}s}" for text, width in zip(HEADER, WIDTHS, strict=True)))
    grids = [dmft.UniformGrid(dt=dt) for dt in (0.08, 0.05, 0.04, 0.03, 0.02, 0.015, 0.01)]
    grids += [dmft.UniformGrid(rtol=rtol) for rtol in (1e-4, 1e-6, 1e-8, 1e-9)]
    for grid in grids:
        seconds, sol = timed(partial(solve, grid))
        label = f"dt = {grid.dt}" if grid.dt else f"rtol = {grid.rtol:g}"
        estimate = f"{max(sol.stats['error'].values()):.1e}" if sol.stats["error"] else "-"
        row(label, seconds, sol.stats["steps"], values(sol), exact, estimate)
    equations = TwoTimeEquations(model.coefficients, dynamics.temperature, m0, dynamics.annealing)
    for steps in (250, 500, 1000) if quick else (250, 500, 1000, 2000):
        seconds, (_, m, mu, energy) = timed(partial(euler, equations, t_max, steps), repeats=1)
        row(f"Euler {steps}", seconds, steps, [m[-1], mu[-1], energy[-1]], exact[:3])


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--quick", action="store_true", help="leave out the slow rows")
    quick = parser.parse_args().quick
    for name in ("langevin", "gradient-flow", "annealed"):
        compare(name, quick)


if __name__ == "__main__":
    main()
