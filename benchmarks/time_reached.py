"""Time reached against CPU seconds of LogTime, beside UniformGrid and its cost extrapolated as t^3.

Run: python benchmarks/time_reached.py [--quick] [--rtol 1e-6]

Per decade: CPU seconds from t = 0 (the pilot run, which gives the errors, included as its own column), rows,
nodes of the last row, memory, and the largest estimated error of mu and of m up to there.  UniformGrid is
timed where it takes seconds.
"""

import argparse
import time

import dmft
from dmft.equations import TwoTimeEquations
from dmft.integrators.logtime import LogTime

GLASS = dmft.MixedSpin({3: 0.5})
CASES = {
    "p = 3, T = 0.5": (GLASS, dmft.Langevin(0.5), 0.0, 1e7),
    "p = 3, T = 0": (GLASS, dmft.GradientFlow(), 0.0, 1e7),
    "planted, delta2 = 0.5, T = 1": (dmft.SpikedMatrixTensor(3, 0.5, 1.0), dmft.Langevin(1.0), 1e-4, 1e5),
    "planted, delta2 = 0.4, T = 0": (dmft.SpikedMatrixTensor(3, 0.4, 1.0), dmft.GradientFlow(), 1e-10, 1e5),
}
UNIFORM = (10.0, 30.0, 100.0)


def decades(t_max):
    """1e2, 1e3, ... up to t_max."""
    t = 1e2
    while t <= t_max * 1.0001:
        yield t
        t *= 10


def timeline(run):
    """CPU seconds of the pilot, and [(t, CPU seconds, rows)] of every row of the run."""
    began, pilot, out = time.process_time(), 0.0, []
    while not run.finished:
        final = run.final
        run.advance()
        now = time.process_time()
        if final != run.final:
            pilot, began = now - began, now
        elif run.final:
            out.append((float(run.t[-1]), now - began, run.size))
    return pilot, out


def log_time(model, dynamics, m0, t_max, rtol):
    """Table of one case."""
    run = LogTime(rtol=rtol).start(TwoTimeEquations.of(model, dynamics, dmft.Overlap(m0)), t_max)
    pilot, rows = timeline(run)
    errors = run.errors()
    print(f"  LogTime(rtol={rtol:g}), pilot {pilot:.2f} s")
    print(f"  {'t':>8s}{'CPU s':>9s}{'rows':>7s}{'nodes':>7s}{'MB':>7s}{'error mu':>10s}{'error m':>10s}")
    for t in decades(t_max):
        _, seconds, size = next((x for x in rows if x[0] >= 0.999 * t), rows[-1])
        past = errors["t"] <= t
        nodes = len(run.solver.rows[size - 1].tp)
        megabytes = 16e-6 * sum(len(row.tp) for row in run.solver.rows[:size])
        worst = [errors[name][past].max() for name in ("mu", "m")]
        print(f"  {t:8.0e}{seconds:9.2f}{size:7d}{nodes:7d}{megabytes:7.1f}{worst[0]:10.1e}{worst[1]:10.1e}")


def uniform_grid(model, dynamics, m0, rtol, quick):
    """CPU seconds of UniformGrid where that is short, and t^3 beyond."""
    measured = []
    for t in UNIFORM[: 2 if quick else 3]:
        began = time.process_time()
        dmft.solve(model, dynamics, t_max=t, m0=m0, integrator=dmft.UniformGrid(rtol=rtol))
        measured.append((t, time.process_time() - began))
    print("  UniformGrid: " + ", ".join(f"t = {t:g}: {s:.2f} s" for t, s in measured))
    t, s = measured[-1]
    text = ", ".join(f"t = {T:.0e}: {s * (T / t) ** 3:.1e} s" for T in (1e3, 1e4, 1e5))
    print(f"  extrapolated as t^3: {text}")


def main():
    """Tables of all cases."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="stop at t = 1e3")
    parser.add_argument("--rtol", type=float, default=1e-6)
    args = parser.parse_args()
    for name, (model, dynamics, m0, t_max) in CASES.items():
        print(name)
        log_time(model, dynamics, m0, 1e3 if args.quick else t_max, args.rtol)
        uniform_grid(model, dynamics, m0, args.rtol, args.quick)


if __name__ == "__main__":
    main()
