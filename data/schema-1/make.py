"""The files of this folder, made with version 0.1.0 (commit 9532657): ``python make.py`` in that version.

They are kept as they are: newer versions must open and continue them (tests/files/test_old_files.py).
"""

import json
import shutil
from pathlib import Path

import numpy as np

import dmft

HERE = Path(__file__).parent
SPIKED = dmft.SpikedMatrixTensor(3, 0.5, 1.0)
SOFT = dmft.SpikedMatrixTensor(3, 1.0, 2 / 3, constraint=dmft.SoftSphere(10.0))
RETRIEVAL = dmft.PhaseRetrieval(3.0, loss="normalized", a=0.5, constraint=dmft.Ridge(0.1))
ANNEALED = dmft.Langevin(1.0, dmft.Annealing.exponential(3, 2.0, 1.0))
EVENTS = [dmft.Crossing("m", 0.2, terminal=False), dmft.Crossing("energy", -0.5, -1, terminal=False)]

RUNS = {
    "uniform": lambda **more: dmft.solve(
        SPIKED, ANNEALED, t_max=2.4, m0=0.1, integrator=dmft.UniformGrid(dt=0.1), events=EVENTS, **more
    ),
    "log-time": lambda **more: dmft.solve(
        SPIKED, dmft.Langevin(1.0), t_max=3.0, m0=0.1, integrator=dmft.LogTime(1e-3, degree=7), events=EVENTS, **more
    ),
    "nesterov": lambda: dmft.solve(SOFT, dmft.Nesterov(0.02), steps=24, m0=0.1, events=EVENTS),
    "paths": lambda: dmft.solve(
        RETRIEVAL,
        dmft.GradientDescent(0.02),
        steps=6,
        m0=0.2,
        integrator=dmft.SampledPaths(paths=64, scrambles=2, response_paths=64, keep_paths=True),
    ),
    "simulation": lambda: dmft.simulate(SPIKED, dmft.Langevin(), t_max=0.5, N=8, samples=3, records=6, m0=0.2),
}

PLANS = {
    "flow": (SPIKED, dmft.GradientFlow(), {"over": {"delta2": [0.1, 0.2], "m0": [1e-3, 0.1]}, "t_max": 2.0}),
    "annealed": (SPIKED, ANNEALED, {"over": {"deltap": [1, 2.5]}, "t_max": 2, "m0": 0.1, "events": EVENTS}),
    "massive": (
        SOFT,
        dmft.UnderdampedLangevin(0.1, 1.0, 0.5),
        {"over": {"mass": [0.1, 0.2]}, "t_max": 1.0, "integrator": dmft.UniformGrid(dt=0.05), "save_at": [0.5, 1]},
    ),
    "log": (
        dmft.MixedSpin({2: 0.1, 3: 0.5}),
        dmft.Langevin(0.5),
        {"over": {"temperature": [0.1, 0.5]}, "t_max": 1e3, "integrator": dmft.LogTime(1e-5)},
    ),
    "momentum": (
        SOFT,
        [dmft.GradientDescent(0.1), dmft.HeavyBall(0.1, 0.5), dmft.Nesterov(0.1)],
        {"over": {"constraint.strength": [1.0, 10.0]}, "steps": 10, "curves": [0, 5, 10], "observables": ["m"]},
    ),
    "retrieval": (
        RETRIEVAL,
        dmft.StochasticGradientDescent(0.01, batch_fraction=0.5),
        {"over": {"alpha": [2.0, 3.0]}, "steps": 5, "integrator": dmft.SampledPaths(paths=64), "solutions": True},
    ),
    "evolution": (SPIKED, dmft.AMP("bayes"), {"over": {"delta2": [0.5, 2.0]}, "m0": 0.1}),
    "simulated": (SPIKED, dmft.Langevin(), {"over": {"N": [8, 16]}, "t_max": 1, "simulation": {"samples": 2, "N": 8}}),
}

LEARNING_RATES = [0.01, 0.02, 1.5, 0.03]  # the third diverges, the last is missing


def scan():
    """Four points of gradient descent."""
    crossing = dmft.Crossing("energy", -1.0, terminal=False)
    over, curves = {"learning_rate": LEARNING_RATES}, [0, 10, 80]
    return dmft.Scan(SOFT, dmft.GradientDescent(0.1), over, steps=80, m0=0.1, curves=curves, events=crossing)


def numbers(sol):
    """What a solution says, as JSON."""
    x = np.linspace(0.0, sol.t[-1], 7) if sol.C is None or sol.C.complete else sol.C.t
    two_time = {} if sol.R is None else {"C": sol.C(x, 0.4 * x).tolist(), "R": sol.R(x, 0.4 * x).tolist()}
    return {
        "t": sol.t.tolist(),
        "scalars": {name: y.tolist() for name, y in sol.scalars.items()},
        "stderr": {name: y.tolist() for name, y in sol.stderr.items() if y.ndim == 1},
        "C": None if sol.C is None else sol.C.values.tolist(),
        "R": None if sol.R is None else sol.R.values.tolist(),
        "at": x.tolist(),
        "between": two_time,
        "between_m": sol.interpolate("m", np.linspace(0.0, sol.t[-1], 7)).tolist(),
        "events": [[o.event.name, o.event.level, o.time, o.direction, o.error] for o in sol.events],
        "status": sol.status,
        "model": repr(sol.model),
        "dynamics": repr(sol.dynamics),
        "integrator": repr(sol.integrator),
    }


def write(name, content):
    """A JSON file, which keeps every bit of the numbers."""
    (HERE / f"{name}.json").write_text(json.dumps(content) + "\n")


def make_runs():
    """A file and its numbers of every run."""
    for name, run in RUNS.items():
        more = {"save_at": [0.6, 1.5, 2.4]} if name == "uniform" else {}
        sol = run(**more)
        sol.save(HERE / f"{name}.h5", overwrite=True)
        write(name, numbers(sol))


def make_checkpoints():
    """Checkpoints in the middle of runs, with the numbers at their end."""
    for name, until in (("uniform", 1.2), ("log-time", 0.8)):
        path = HERE / f"{name}.ckpt.h5"
        path.unlink(missing_ok=True)
        stopped = RUNS[name](checkpoint=dmft.Checkpoint(path), callback=lambda step, until=until: step.t > until)
        assert stopped.status == "interrupted" and stopped.t[-1] < 2
        write(f"{name}.ckpt", numbers(RUNS[name]()))


def make_scan():
    """A scan with two finished points, a failed one and a missing one, which has a checkpoint."""
    folder, plan = HERE / "scan", scan()
    shutil.rmtree(folder, ignore_errors=True)
    plan.run(folder, workers=1)
    whole = dmft.gather(folder).load()
    ids = [plan.point(i).id for i in range(plan.size)]
    (folder / "points" / f"{ids[3]}.h5").unlink()
    path = folder / "checkpoints" / f"{ids[3]}.ckpt"
    arguments = {**plan.point(3).arguments, "save_at": [0.0]}
    checkpoint = dmft.Checkpoint(path)
    dmft.solve(**arguments, checkpoint=checkpoint, callback=lambda step: step.t >= 60)  # 64 are taken at once
    part = dmft.gather(folder).load()
    (folder / "lock").unlink(missing_ok=True)
    data = {"ids": ids, "sha256": plan.sha256, "message": [str(x) for x in whole.message.values]}
    for name, dataset in (("whole", whole), ("part", part)):
        kept = {k: v.values.tolist() for k, v in dataset.data_vars.items() if v.dtype.kind in "if" and k != "seconds"}
        data[name] = kept | {"coordinates": sorted(dataset.coords)}
    write("scan", data)


def make_identities():
    """Hashes of plans and of their points."""
    out = {}
    for name, (model, dynamics, options) in PLANS.items():
        plan = dmft.Scan(model, dynamics, **options)
        out[name] = {"sha256": plan.sha256, "ids": [plan.point(i).id for i in range(plan.size)], "plan": plan.text()}
    write("identities", out)


if __name__ == "__main__":
    make_runs()
    make_checkpoints()
    make_scan()
    make_identities()
