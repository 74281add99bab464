"""dmft solve, resume, simulate."""

import argparse
import json
from pathlib import Path

from .. import plot
from ..driver import Checkpoint, estimate, resume, solve
from ..dynamics import DYNAMICS, ESTIMATORS
from ..errors import FileFormatError, SolverError
from ..files import spec as specs
from ..files.checkpoints import checkpoint_summary, generations, previous
from ..files.loading import load
from ..simulation.run import simulate
from .common import (
    CHECKPOINTED,
    FAILED,
    INTERRUPTED,
    OK,
    UsageError,
    add_limits,
    add_output,
    check_outputs,
    crossing,
    limits,
    number,
    number_list,
    save_figure,
    say,
)
from .problem import add_integrator, add_problem, solve_spec, spec_of


def add_solve(commands):
    """The sub-command solve."""
    p = commands.add_parser(
        "solve",
        help="solve the two-time equations",
        description="Solve the two-time equations and write an HDF5 file.",
        epilog="examples:\n"
        "  dmft solve --p 3 --delta2 0.5 --deltap 1 --m0 1e-2 --t-max 20 -o run.h5 --plot run.png\n"
        "  dmft solve --p 3 --delta2 1 --deltap 0.667 --constraint soft-sphere --strength 10 --dynamics nesterov \\\n"
        "      --learning-rate 0.01 --steps 1000 -o nesterov.h5\n"
        "  dmft solve --alpha 3 --loss normalized --dynamics heavy-ball --learning-rate 0.005 --momentum 0.9 \\\n"
        "      --m0 0.1 --steps 200 -o phase.h5",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add_problem(p, [kind for kind in DYNAMICS if kind != "amp"])
    add_integrator(p)
    p.add_argument("--save-at", type=number_list, metavar="T1,T2,...", help="keep only these rows of C and R")
    p.add_argument(
        "--event",
        type=crossing,
        action="append",
        metavar="NAME=LEVEL",
        help="report the times at which a scalar crosses a level",
    )
    p.add_argument("--stop-at", type=crossing, action="append", metavar="NAME=LEVEL", help="as --event, and stop there")
    add_output(p, "dmft-run.h5")
    p.add_argument("--checkpoint", type=Path, metavar="FILE", help="write checkpoints to this file")
    add_limits(p)
    p.add_argument("--dry-run", action="store_true", help="print steps, memory and a time estimate; do nothing")
    p.set_defaults(run=command_solve)


def add_resume(commands):
    """The sub-command resume."""
    p = commands.add_parser(
        "resume",
        help="continue a run from its checkpoint",
        description="Continue a run from its checkpoint, bit for bit on the same machine.",
        epilog="example: dmft resume run.ckpt -o run.h5",
    )
    p.add_argument("file", type=Path, help="checkpoint file")
    add_output(p, "dmft-run.h5")
    add_limits(p)
    p.set_defaults(run=command_resume)


def add_simulate(commands):
    """The sub-command simulate."""
    p = commands.add_parser(
        "simulate",
        help="finite-N simulation of the same problem",
        description="Simulate the dynamics at finite N: mean and standard error over samples.",
        epilog="example: dmft simulate --p 3 --delta2 0.5 --deltap 1 --m0 0.1 --t-max 5 --N 200 -o sim.h5",
    )
    add_problem(p, list(DYNAMICS))
    p.add_argument("--estimator", choices=ESTIMATORS, help="of amp, default bayes")
    p.add_argument("--N", type=int, required=True, help="number of variables")
    p.add_argument("--samples", type=int, default=8, help="independent samples, default 8")
    p.add_argument("--dt", type=number, help="time step of continuous dynamics, default 0.02")
    p.add_argument("--records", type=int, default=101, help="recorded times or iterations, default 101")
    p.add_argument("--seed", type=int, default=0, help="default 0")
    p.add_argument("--workers", type=int, default=1, help="samples at the same time, default 1")
    p.add_argument("--eigenvalues", type=int, default=0, help="phase-retrieval: how many of the Hessian, lowest first")
    p.add_argument(
        "--success-overlap", type=number, default=0.99, help="phase-retrieval: |m| that counts as found, default 0.99"
    )
    add_output(p, "dmft-simulation.h5")
    p.set_defaults(run=command_simulate)


def summary(solution):
    """Short description as plain data."""

    last = {name: float(values[-1]) for name, values in solution.scalars.items()}
    return {
        "status": solution.status,
        "message": solution.message,
        "t": float(solution.t[-1]),
        "final": last,
        "events": [
            {"name": o.event.name, "level": o.event.level, "time": o.time, "error": o.error, "direction": o.direction}
            for o in solution.events
        ],
        "stats": specs.plain(solution.stats),
        "spec": solution.spec,
    }


def deliver(args, solution, out):
    """Write file, plot and summary; returns the exit code by status."""
    solution.save(out, overwrite=args.overwrite)
    say(args, f"{solution.message}; wrote {out}")
    for o in solution.events:
        error = "" if o.error is None else f" (error about {o.error:.1e})"
        say(args, f"{o.event.name} crosses {o.event.level:g} at t = {o.time:.10g}{error}")
    error = solution.stats.get("error")
    if error:
        say(
            args,
            "estimated errors: "
            + ", ".join(f"{k} {v:.1e}" for k, v in error.items())
            + " (m relative, others absolute)",
        )
    if args.plot is not None:
        save_figure(plot.make(solution), args.plot)
        say(args, f"wrote {args.plot}")
    if args.json:
        print(json.dumps({**summary(solution), "file": str(out)}))
    return OK


def finish(args, solution, out, checkpoint):
    """Deliver a solution of solve or resume and choose the exit code."""

    interrupted = solution.status == "interrupted"
    if interrupted and checkpoint is not None and checkpoint.exists() and "SIGINT" not in solution.message:
        say(args, f"{solution.message}; dmft resume {checkpoint} -o {out} continues")
        if args.json:
            print(json.dumps({**summary(solution), "checkpoint": str(checkpoint)}))
        return CHECKPOINTED
    deliver(args, solution, out)
    if interrupted:
        if checkpoint is not None:
            say(args, f"dmft resume {checkpoint} -o {out} continues and replaces the partial result")
        return INTERRUPTED
    if checkpoint is not None:
        for path in (checkpoint, previous(checkpoint)):
            path.unlink(missing_ok=True)
    return OK


def guarded(args, out, work):
    """Run ``work``; on a solver failure keep the partial result."""

    try:
        return work()
    except SolverError as error:
        say(args, f"dmft {args.command}: {error}")
        if error.partial is not None:
            error.partial.save(out, overwrite=args.overwrite)
            say(args, f"wrote the partial result to {out}")
        raise SystemExit(FAILED) from None


def command_solve(args):
    """dmft solve"""

    kwargs = specs.arguments(solve_spec(args))
    if args.dry_run:
        return report_estimate(args, estimate(**kwargs))
    checkpoint = None
    files = [] if args.checkpoint is None else generations(args.checkpoint)
    out = check_outputs(args, "dmft-run.h5", *files)
    if args.checkpoint is not None:
        checkpoint = Checkpoint(args.checkpoint, **limits(args))
    elif limits(args):
        raise UsageError("--time-limit and --checkpoint-every need --checkpoint")
    progress = False if args.quiet else None
    solution = guarded(args, out, lambda: solve(**kwargs, checkpoint=checkpoint, progress=progress))
    return finish(args, solution, out, args.checkpoint)


def report_estimate(args, data):
    """Answer of --dry-run."""
    if args.json:
        print(json.dumps(data))
    else:
        step = "growing" if data["dt"] is None else f"{data['dt']:.4g}"
        print(
            f"steps {data['steps']}, dt {step}, memory {data['bytes'] / 1e6:.1f} MB "
            f"({data['bytes']} bytes), about {data['seconds']:.2g} s"
        )
        if data["available"] < data["bytes"]:
            print(f"does not fit: {data['available']:.0f} bytes are available")
    return OK


def is_partial(path, spec):
    """Whether a file is the unfinished result of the same run."""

    try:
        solution = load(path)
    except (FileFormatError, OSError):
        return False
    return not solution.converged and solution.spec == spec


def command_resume(args):
    """dmft resume"""

    spec = checkpoint_summary(args.file)["spec"]
    out = args.out or Path("dmft-run.h5")
    args.overwrite = args.overwrite or (out.is_file() and is_partial(out, spec))
    check_outputs(args, out, *generations(args.file))
    progress = False if args.quiet else None
    solution = guarded(args, out, lambda: resume(args.file, **limits(args), progress=progress))
    return finish(args, solution, out, args.file)


def command_simulate(args):
    """dmft simulate"""

    kwargs = specs.arguments(spec_of(args))
    for name in ("integrator", "save_at", "events"):
        kwargs.pop(name)
    out = check_outputs(args, "dmft-simulation.h5")
    solution = simulate(
        **kwargs,
        N=args.N,
        samples=args.samples,
        dt=args.dt,
        records=args.records,
        seed=args.seed,
        workers=args.workers,
        eigenvalues=args.eigenvalues,
        success_overlap=args.success_overlap,
        progress=False if args.quiet else None,
    )
    return deliver(args, solution, out)
