"""Robustness of LogTime: random models and dynamics to t = 10^4, against UniformGrid to t = 50.

Run: python benchmarks/logtime_sweep.py [--cases 200] [--seed 1] [--t-max 1e4] [--out sweep.jsonl]

Every case is solved with LogTime() and, to t = 50 or as far as about ten seconds go, with UniformGrid(rtol=1e-7).
A line per case: what was solved, how it ended, rows and CPU seconds, the largest deviations of mu, energy,
C(t,0) and of m (relative to its largest value so far) from the uniform grid, and the stated errors of LogTime.  At the
end: the cases that did not finish, by reason, and those whose deviation is above ten times the stated error.
"""

import argparse
import json
import time
import warnings

import numpy as np

import dmft
from dmft import estimate

TOLERANCE = 1e-6  # of LogTime; smaller stated errors are not held against it


def random_case(rng):
    """Model, dynamics and m0."""
    temperature = 0.0 if rng.random() < 0.4 else float(rng.uniform(0.05, 1.2))
    if rng.random() < 0.35:
        orders = rng.choice([2, 3, 4, 5, 6], size=rng.integers(1, 4), replace=False)
        couplings = {int(p): float(np.exp(rng.uniform(-2, 0.3))) for p in orders}
        return dmft.MixedSpin(couplings), dmft.Langevin(temperature), 0.0
    p = int(rng.integers(3, 6))
    delta2, deltap = (float(np.exp(rng.uniform(np.log(0.25), np.log(1.5)))) for _ in range(2))
    m0 = 0.0 if rng.random() < 0.1 else float(10 ** rng.uniform(-10, -1))
    return dmft.SpikedMatrixTensor(p, delta2, deltap), dmft.Langevin(temperature), m0


def reference(model, dynamics, m0):
    """The uniform grid to t = 50, or as far as ten seconds go."""
    t_max = 50.0
    integrator = dmft.UniformGrid(rtol=1e-7)
    while estimate(model, dynamics, t_max=t_max, m0=m0, integrator=integrator)["seconds"] > 10.0:
        t_max *= 0.7
    return dmft.solve(model, dynamics, t_max=t_max, m0=m0, integrator=integrator, progress=False)


def deviations(sol, ref):
    """Largest deviations on the rows of LogTime after t = 0.1 within the reference."""
    t = sol.t[(sol.t > 0.1) & (sol.t <= ref.t[-1])]
    out = {k: float(np.abs(sol.interpolate(k, t) - ref.interpolate(k, t)).max()) for k in ("mu", "energy")}
    m = ref.interpolate("m", t)
    scale = np.maximum.accumulate(np.abs(m))
    gap = np.abs(sol.interpolate("m", t) - m)
    out["m"] = float(np.divide(gap, scale, out=np.zeros_like(gap), where=scale > 0).max())
    out["C"] = float(np.abs(sol.C(t, 0.0 * t) - ref.C(t, 0.0 * t)).max())
    return out


def run(index, seed, t_max):
    """One case as plain data."""
    model, dynamics, m0 = random_case(np.random.default_rng([seed, index]))
    row = {"case": index, "model": repr(model), "temperature": dynamics.temperature, "m0": m0}
    began = time.process_time()
    try:
        sol = dmft.solve(model, dynamics, t_max=t_max, m0=m0, integrator=dmft.LogTime(), progress=False)
        row["status"] = sol.status
    except dmft.SolverError as error:
        sol = error.partial
        row["status"], row["reason"] = "failed", str(error)
    row["cpu"] = time.process_time() - began
    if sol is None:
        return row
    finite = all(np.all(np.isfinite(x)) for x in sol.scalars.values())
    row |= {"t": float(sol.t[-1]), "rows": len(sol.t), "finite": finite, "stated": sol.stats["error"]}
    row["m"], row["events"] = float(sol.m[-1]), sol.stats["events"]
    began = time.process_time()
    ref = reference(model, dynamics, m0)
    row["reference_t"], row["reference_cpu"] = float(ref.t[-1]), time.process_time() - began
    row["deviation"] = deviations(sol, ref)
    return row


def understated(row):
    """Quantities that deviate by more than ten times the stated error."""
    if not row.get("deviation"):
        return {}
    stated = row["stated"] or {}
    limit = {k: 10 * max(stated.get(k, 0.0), TOLERANCE) for k in row["deviation"]}
    return {k: v / limit[k] for k, v in row["deviation"].items() if v > limit[k]}


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--cases", type=int, default=200)
    parser.add_argument("--first", type=int, default=0)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--t-max", type=float, default=1e4)
    parser.add_argument("--out", default="sweep.jsonl")
    args = parser.parse_args()
    warnings.simplefilter("ignore", RuntimeWarning)
    rows = []
    with open(args.out, "w") as out:
        for index in range(args.first, args.first + args.cases):
            row = run(index, args.seed, args.t_max)
            rows.append(row)
            out.write(json.dumps(row) + "\n")
            out.flush()
            worst = {k: f"{v:.0e}" for k, v in row.get("deviation", {}).items()}
            print(
                f"{index:4d} {row['status']:9s} t = {row.get('t', 0.0):8.3g} {row.get('rows', 0):5d} rows "
                f"{row['cpu']:6.1f} s "
                f"{row['model']}, T = {row['temperature']:.3g}, m0 = {row['m0']:.1e}: {worst}",
                flush=True,
            )
    failed = [row for row in rows if row["status"] != "finished"]
    print(f"\n{len(rows) - len(failed)} of {len(rows)} finished")
    for row in failed:
        print(f"  case {row['case']}: {row['reason']}")
    for row in rows:
        if understated(row):
            print(f"  case {row['case']} deviates by 10 x the stated error times {understated(row)}")
    print(f"not finite: {[row['case'] for row in rows if not row.get('finite', False)]}")


if __name__ == "__main__":
    main()
