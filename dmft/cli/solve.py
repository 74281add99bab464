"""dmft solve, resume, simulate."""

import argparse
import inspect
import json
from pathlib import Path

from .. import plot
from ..driver import Checkpoint, estimate, resume, solve
from ..dynamics import DYNAMICS
from ..errors import FileFormatError, SolverError
from ..files import spec as specs
from ..files.checkpoints import checkpoint_summary, generations, previous
from ..files.loading import load
from ..simulation.run import DEFAULT_DT, simulate
from .common import (
    CHECKPOINTED,
    FAILED,
    INTERRUPTED,
    OK,
    UsageError,
    add_limits,
    add_output,
    check_outputs,
    limits,
    save_figure,
    say,
)
from .flags import add_argument_of
from .problem import (
    add_duration,
    add_dynamics,
    add_integrator,
    add_model,
    add_observed,
    add_spec,
    add_start,
    file_tables,
    flag_tables,
    merged,
    solvable,
    spec_of,
)


def add_solve(commands):
    """The sub-command solve."""
    commands.add_parser(
        "solve",
        fill=fill_solve,
        usage="dmft solve [-h] [--spec FILE.toml] [flags of model, dynamics, integrator] [--t-max X | --steps N] "
        "[options]",
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


def fill_solve(p):
    """Flags of dmft solve."""
    add_spec(p)
    add_duration(p)
    add_observed(p)
    add_output(p, "dmft-run.h5")
    p.add_argument("--checkpoint", type=Path, metavar="FILE", help="write checkpoints to this file")
    add_limits(p, Checkpoint)
    p.add_argument("--dry-run", action="store_true", help="print steps, memory and a time estimate; do nothing")
    add_start(p)
    add_model(p)
    add_dynamics(p, solvable())
    add_integrator(p)
    p.set_defaults(run=command_solve)


def add_resume(commands):
    """The sub-command resume."""
    commands.add_parser(
        "resume",
        fill=fill_resume,
        help="continue a run from its checkpoint",
        description="Continue a run from its checkpoint, bit for bit on the same machine.",
        epilog="example: dmft resume run.ckpt -o run.h5",
    )


def fill_resume(p):
    """Flags of dmft resume."""
    p.add_argument("file", type=Path, help="checkpoint file")
    add_output(p, "dmft-run.h5")
    add_limits(p, resume)
    p.set_defaults(run=command_resume)


SIMULATION = {  # help of the arguments of ``simulate`` that are not those of ``solve``
    "N": "number of variables",
    "samples": "independent samples",
    "dt": f"time step of continuous dynamics, default {DEFAULT_DT:g} or what the model needs",
    "records": "recorded times or iterations",
    "seed": "of the random numbers",
    "workers": "samples at the same time",
    "success_overlap": "phase-retrieval: |m| that counts as found",
    "eigenvalues": "phase-retrieval: how many of the Hessian, lowest first",
}
SHARED = ("model", "dynamics", "t_max", "steps", "m0", "start", "progress")


def own_arguments():
    """The arguments of ``simulate`` that are flags of dmft simulate alone."""
    return [name for name in inspect.signature(simulate).parameters if name not in SHARED]


def add_simulate(commands):
    """The sub-command simulate."""
    commands.add_parser(
        "simulate",
        fill=fill_simulate,
        usage="dmft simulate [-h] --N N [--spec FILE.toml] [flags of model, dynamics] [--t-max X | --steps N] "
        "[options]",
        help="finite-N simulation of the same problem",
        description="Simulate the dynamics at finite N: mean and standard error over samples.",
        epilog="example: dmft simulate --p 3 --delta2 0.5 --deltap 1 --m0 0.1 --t-max 5 --N 200 -o sim.h5",
    )


def fill_simulate(p):
    """Flags of dmft simulate."""
    add_spec(p, [table for table in specs.TABLES if table != "integrator"])
    add_duration(p)
    for name in own_arguments():
        add_argument_of(p, simulate, name, SIMULATION.get(name, ""), required=name == "N")
    add_output(p, "dmft-simulation.h5")
    add_start(p)
    add_model(p)
    add_dynamics(p, DYNAMICS)
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

    kwargs = specs.arguments(spec_of(args))
    if args.dry_run:
        return report_estimate(args, estimate(**kwargs))
    checkpoint = None
    files = [] if args.checkpoint is None else generations(args.checkpoint)
    out = check_outputs(args, *files)
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
    args.overwrite = args.overwrite or (args.out.is_file() and is_partial(args.out, spec))
    out = check_outputs(args, *generations(args.file))
    progress = False if args.quiet else None
    solution = guarded(args, out, lambda: resume(args.file, **limits(args), progress=progress))
    return finish(args, solution, out, args.file)


def command_simulate(args):
    """dmft simulate"""
    file = file_tables(args.spec)
    refuse_solving(file)
    problem = specs.arguments(merged(file, flag_tables(args)))
    shared = {name: problem[name] for name in SHARED if name in problem}
    own = {name: getattr(args, name) for name in own_arguments()}
    out = check_outputs(args)
    return deliver(args, simulate(**shared, **own, progress=False if args.quiet else None), out)


def refuse_solving(file):
    """What only ``solve`` can do must not be ignored."""
    keys = ["[integrator]"] if file["integrator"] else []
    keys += [f"run.{name}" for name in ("save_at", "events") if name in file["run"]]
    if keys:
        raise UsageError(f"--spec: {', '.join(keys)} is not allowed: a simulation has none, only dmft solve")
