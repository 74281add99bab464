"""Command line.  Data and --json answers go to stdout, everything else to stderr.

Exit codes: 0 done, 1 solver failed (partial result kept), 2 bad usage or spec, 75 stopped by a
signal or time limit with a checkpoint written, 130 interrupted (partial result kept).
"""

import argparse
import json
import math
import os
import re
import sys
import tomllib
import warnings
from dataclasses import fields
from pathlib import Path

import numpy as np

from . import plot
from . import spec as specs
from .dynamics import DYNAMICS, ESTIMATORS
from .errors import FileFormatError, SolverError
from .integrators import INTEGRATORS
from .losses import LOSSES
from .models import CONSTRAINTS, MODELS, PhaseRetrieval, SpikedMatrixTensor
from .simulation import simulate
from .solve import Checkpoint, estimate, resume, solve
from .storage import (
    check_writable,
    checkpoint_summary,
    generations,
    is_checkpoint,
    load,
    previous,
    release,
    save_table,
)

OK, FAILED, USAGE, CHECKPOINTED, INTERRUPTED = 0, 1, 2, 75, 130

MODEL_FLAGS = ("p", "delta2", "deltap", "alpha", "loss", "a", "noise")
DYNAMICS_FLAGS = (
    "temperature",
    "learning_rate",
    "momentum",
    "batch_fraction",
    "persistence_time",
    "nesterov",
    "mass",
    "friction",
    "initial_velocity",
    "estimator",
)
PATHS_FLAGS = ("paths", "scrambles", "rank_tol", "max_rank", "response_paths", "keep_paths")


class UsageError(Exception):
    """A mistake of the user, reported in one line."""


class Parser(argparse.ArgumentParser):
    """Bad usage is one line on stderr; -1e-2 is a number and not a flag."""

    def __init__(self, *args, **kwargs):
        super().__init__(*args, **kwargs)
        self._negative_number_matcher = re.compile(r"^-(\d+\.?\d*|\.\d+)([eE][-+]?\d+)?$|^-inf$")

    def error(self, message):
        print(f"{self.prog}: {message} (see {self.prog} --help)", file=sys.stderr)
        raise SystemExit(USAGE)


def number(text):
    """A float; 'inf' is allowed, 'nan' is not."""
    try:
        value = float(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r} is not a number") from None
    if math.isnan(value):
        raise argparse.ArgumentTypeError("nan is not allowed")
    return value


def coupling(text):
    """'p=g' of --coupling."""
    order, separator, value = text.partition("=")
    try:
        if not separator:
            raise ValueError
        return int(order), float(value)
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r} is not of the form ORDER=STRENGTH, e.g. 3=0.5") from None


def annealing(text):
    """'order:T', 'order:exponential:amplitude:tau' or 'order:piecewise:t0=T0,t1=T1,...'."""
    parts = text.split(":")
    try:
        order = str(int(parts[0]))
        if len(parts) == 2:
            return order, float(parts[1])
        if parts[1] == "exponential" and len(parts) == 4:
            return order, {"kind": "exponential", "amplitude": float(parts[2]), "tau": float(parts[3])}
        if parts[1] == "piecewise" and len(parts) == 3:
            points = [tuple(map(float, point.split("="))) for point in parts[2].split(",")]
            times, values = zip(*points, strict=True)
            return order, {"kind": "piecewise", "times": list(times), "values": list(values)}
        raise ValueError
    except (ValueError, IndexError):
        raise argparse.ArgumentTypeError(
            f"{text!r} is not of the form ORDER:TEMPERATURE, ORDER:exponential:AMPLITUDE:TAU or "
            "ORDER:piecewise:T0=TEMPERATURE,T1=..."
        ) from None


def crossing(text):
    """'name=level' of --event and --stop-at."""
    name, separator, level = text.partition("=")
    try:
        if not separator:
            raise ValueError
        return {"name": name, "level": float(level)}
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r} is not of the form NAME=LEVEL, e.g. m=0.5") from None


def momentum(text):
    """A number or 'lambda'."""
    return text if text == "lambda" else number(text)


def axis(text):
    """'start:stop:num', logarithmic, or a comma-separated list."""
    parts = text.split(":")
    if len(parts) == 1:
        return number_list(text)
    try:
        start, stop, num = float(parts[0]), float(parts[1]), int(parts[2])
        if len(parts) != 3 or not (0 < start < math.inf and 0 < stop < math.inf and num >= 1):
            raise ValueError
    except (ValueError, IndexError):
        raise argparse.ArgumentTypeError(
            f"{text!r} is not of the form START:STOP:NUM with positive ends, e.g. 0.1:10:50"
        ) from None
    return np.geomspace(start, stop, num).tolist()


def number_list(text):
    """Comma-separated numbers."""
    try:
        return [float(x) for x in text.split(",")]
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r} is not a comma-separated list of numbers") from None


def add_model(parser):
    """Flags about the landscape."""
    group = parser.add_argument_group("model")
    group.add_argument(
        "--model",
        choices=list(MODELS),
        help="default: spiked-matrix-tensor; mixed-spin with --coupling, phase-retrieval with --alpha",
    )
    group.add_argument("--p", type=int, help="order of the tensor, at least 3")
    group.add_argument("--delta2", type=number, help="noise of the matrix (inf: no matrix)")
    group.add_argument("--deltap", type=number, help="noise of the tensor (inf: no tensor)")
    group.add_argument(
        "--coupling",
        type=coupling,
        action="append",
        metavar="ORDER=STRENGTH",
        help="mixed-spin: g_p of Q(x) = sum g_p x^p; repeat for several orders",
    )
    group.add_argument("--alpha", type=number, help="phase-retrieval: measurements per unknown")
    group.add_argument("--loss", choices=list(LOSSES), help="of phase-retrieval, default quartic")
    group.add_argument("--a", type=number, help="of the normalized loss, default 1")
    group.add_argument("--noise", type=number, help="of the measurements of phase-retrieval: its variance, default 0")
    group.add_argument("--constraint", choices=list(CONSTRAINTS), help="default: sphere, the hard one")
    group.add_argument(
        "--strength", type=number, help="of soft-sphere or ridge (implies soft-sphere; ridge for phase-retrieval)"
    )
    group.add_argument("--method", help="of the hard sphere for discrete dynamics: normalize (default) or lagrange")


def add_dynamics(parser, dynamics):
    """Flags about what moves on it."""
    group = parser.add_argument_group("dynamics")
    group.add_argument("--dynamics", choices=dynamics, help="default: langevin; gradient-descent for phase-retrieval")
    group.add_argument("--temperature", type=number, help="bath temperature; default 1, of discrete dynamics 0")
    group.add_argument("--learning-rate", type=number, help="of every discrete dynamics but amp")
    group.add_argument(
        "--momentum", type=momentum, help="of heavy-ball and nesterov; nesterov also: lambda, default t/(t+3)"
    )
    group.add_argument(
        "--batch-fraction", type=number, help="of stochastic-gradient-descent: share of the measurements in a batch"
    )
    group.add_argument(
        "--persistence-time", type=number, help="of stochastic-gradient-descent: life of a batch in physical time"
    )
    group.add_argument(
        "--nesterov", action="store_true", default=None, help="look-ahead gradients of stochastic-gradient-descent"
    )
    group.add_argument("--mass", type=number, help="of underdamped-langevin")
    group.add_argument("--friction", type=number, help="of underdamped-langevin, default 1")
    group.add_argument(
        "--initial-velocity", type=number, help="root mean square of its components (with mass or momentum), default 0"
    )
    group.add_argument(
        "--annealing",
        type=annealing,
        action="append",
        metavar="ORDER:SCHEDULE",
        help="temperature of one channel: 3:2.0, 3:exponential:AMPLITUDE:TAU or "
        "3:piecewise:0=10,5=1; repeat for several channels",
    )


def add_problem(parser, dynamics):
    """Flags that say what is solved; shared by solve and simulate."""
    add_model(parser)
    add_dynamics(parser, dynamics)
    parser.add_argument("--m0", type=number, help="overlap with the signal at t = 0, default 0")
    parser.add_argument("--t-max", type=number, help="final time of continuous dynamics")
    parser.add_argument("--steps", type=int, help="iterations of discrete dynamics")
    parser.add_argument(
        "--spec",
        type=Path,
        metavar="FILE.toml",
        help="tables [model], [dynamics], [initial], [integrator], [run]; flags override",
    )


def add_output(parser, default):
    """Flags about results."""
    parser.add_argument("-o", "--out", type=Path, metavar="FILE.h5", help=f"result file, default {default}")
    parser.add_argument("--overwrite", action="store_true", help="replace an existing result or plot")
    parser.add_argument("--plot", type=Path, metavar="FIGURE", help="also draw the overview (.png, .pdf, .svg)")
    parser.add_argument("--json", action="store_true", help="print a summary as JSON on stdout")
    parser.add_argument("--quiet", action="store_true", help="no progress bar and no messages")


def add_limits(parser):
    """Flags about checkpoints."""
    parser.add_argument(
        "--checkpoint-every",
        type=number,
        metavar="SECONDS",
        help="seconds between checkpoints, default 300",
    )
    parser.add_argument(
        "--time-limit",
        type=number,
        metavar="SECONDS",
        help="write a checkpoint and exit 75 after so many seconds",
    )


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
    group = p.add_argument_group("integrator")
    group.add_argument(
        "--integrator",
        choices=list(INTEGRATORS),
        help="default: uniform-grid for continuous dynamics (log-time goes to very long times), exact-recursion for "
        "discrete dynamics, sampled-paths for phase-retrieval",
    )
    group.add_argument("--dt", type=number, help="time step")
    group.add_argument("--rtol", type=number, help="tolerance instead of a step, default 1e-6")
    group.add_argument("--threads", type=int, help="threads of the kernel, default 1")
    group.add_argument("--paths", type=int, help="sampled-paths: paths per scramble, default 32768")
    group.add_argument("--scrambles", type=int, help="sampled-paths: independent runs, default 8")
    group.add_argument("--seed", type=int, help="sampled-paths: default 0")
    group.add_argument("--rank-tol", type=number, help="sampled-paths: part of a gradient that opens a direction")
    group.add_argument("--max-rank", type=int, help="sampled-paths: number of directions there is memory for")
    group.add_argument("--response-paths", type=int, help="sampled-paths: compute R from so many paths")
    group.add_argument(
        "--keep-paths", action="store_true", default=None, help="sampled-paths: write all paths to the file"
    )
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
    p.add_argument("--dry-run", action="store_true", help="print steps, memory and a time estimate, do nothing")
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
    p.add_argument("--eigenvalues", type=int, default=0, help="phase-retrieval: so many lowest of the Hessian")
    p.add_argument(
        "--success-overlap", type=number, default=0.99, help="phase-retrieval: |m| that counts as found, default 0.99"
    )
    add_output(p, "dmft-simulation.h5")
    p.set_defaults(run=command_simulate)


def add_info(commands):
    """The sub-command info."""
    p = commands.add_parser(
        "info",
        help="say what is in a file",
        description="Say what is in a result file or checkpoint.",
        epilog="example: dmft info run.h5",
    )
    p.add_argument("file", type=Path)
    p.add_argument("--json", action="store_true", help="as JSON")
    p.set_defaults(run=command_info)


def add_plot(commands):
    """The sub-command plot."""
    p = commands.add_parser(
        "plot",
        help="plot a result file",
        description="Plot a result file.",
        epilog="example: dmft plot run.h5 --kind fdt -o fdt.png",
    )
    p.add_argument("file", type=Path)
    p.add_argument("-o", "--out", type=Path, metavar="FIGURE", help="default: the file's name with .png")
    p.add_argument(
        "--kind",
        default="overview",
        metavar="KIND",
        help=f"one of {', '.join(plot.KINDS)}; default overview",
    )
    p.add_argument("--overwrite", action="store_true", help="replace an existing figure")
    p.set_defaults(run=command_plot)


def add_amp(commands):
    """The sub-command amp."""
    p = commands.add_parser(
        "amp",
        help="state evolution of AMP and its fixed points",
        description="State evolution of approximate message passing: fixed points and where the iteration ends.",
        epilog="examples:\n  dmft amp --p 3 --delta2 0.5 --deltap 1\n  dmft amp --alpha 1.12 --m0 1e-3",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    p.add_argument("--p", type=int, help="order of the tensor, at least 3")
    p.add_argument("--delta2", type=number, help="noise of the matrix (inf: no matrix)")
    p.add_argument("--deltap", type=number, help="noise of the tensor (inf: no tensor)")
    p.add_argument("--alpha", type=number, help="phase retrieval with alpha d measurements instead")
    p.add_argument("--noise", type=number, help="variance of the noise of phase retrieval, default 0")
    p.add_argument("--estimator", choices=ESTIMATORS, default="bayes", help="default bayes")
    p.add_argument("--m0", type=number, default=1e-6, help="overlap of the start, default 1e-6")
    p.add_argument("--plot", type=Path, metavar="FIGURE", help="draw the trajectory (.png, .pdf, .svg)")
    p.add_argument("--overwrite", action="store_true", help="replace an existing figure")
    p.add_argument("--json", action="store_true", help="as JSON, with the trajectory")
    p.set_defaults(run=command_amp)


def add_threshold(commands):
    """The sub-command threshold, with lines."""
    p = commands.add_parser("threshold", help="closed-form threshold lines", description="Threshold lines.")
    kinds = p.add_subparsers(dest="kind", required=True, metavar="KIND")
    p = kinds.add_parser(
        "lines",
        help="every line of the spiked matrix-tensor model",
        description="Critical delta2 of every threshold line at the given values of deltap (CSV on stdout; inf: at "
        "every delta2).",
        epilog="example: dmft threshold lines --p 3 --deltap 0.1:10:50 -o lines.csv --plot lines.png",
    )
    p.add_argument("--p", type=int, required=True, help="order of the tensor, at least 3")
    p.add_argument(
        "--deltap",
        type=axis,
        required=True,
        metavar="START:STOP:NUM",
        help="NUM values from START to STOP, logarithmically spaced; or a list D1,D2,...",
    )
    p.add_argument("-o", "--out", type=Path, metavar="FILE", help="table as .csv, .json or .h5 instead of stdout")
    p.add_argument("--plot", type=Path, metavar="FIGURE", help="draw the phase diagram (.png, .pdf, .svg)")
    p.add_argument("--overwrite", action="store_true", help="replace existing files")
    p.add_argument("--json", action="store_true", help="JSON on stdout instead of CSV")
    p.set_defaults(run=command_lines)


def build_parser():
    """The parser of the whole command line."""
    parser = Parser(
        prog="dmft",
        description="Exact dynamical mean-field theory curves of high-dimensional optimisation.",
        epilog="exit codes: 0 done, 1 solver failed (partial result kept), 2 bad usage, "
        "75 stopped with a checkpoint, 130 interrupted (partial result kept)",
    )
    parser.add_argument("--version", action="version", version=f"dmft {release('dmft')}")
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    for add in (add_solve, add_resume, add_simulate, add_amp, add_threshold, add_info, add_plot):
        add(commands)
    return parser


def spec_of(args):
    """The spec from --spec and the flags, flags first."""
    spec = {}
    if args.spec is not None:
        try:
            spec = tomllib.loads(args.spec.read_text())
        except OSError as error:
            raise UsageError(f"--spec {args.spec}: {error.strerror}") from None
        except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
            raise UsageError(f"--spec {args.spec}: {error}") from None
    tables = {name: spec.get(name, {}) for name in specs.TABLES}
    for name, table in tables.items():
        if not isinstance(table, dict):
            raise UsageError(f"--spec: {name} must be a table, got {table!r}")
    spec = {**spec, **tables}
    if args.coupling and args.alpha is not None:
        raise UsageError("--coupling (mixed-spin) does not go with --alpha (phase-retrieval)")
    default = "mixed-spin" if args.coupling else "phase-retrieval" if args.alpha is not None else "spiked-matrix-tensor"
    constraint = tables["model"].get("constraint")  # belongs to every kind of model
    choose_kind(tables["model"], args.model, default)
    if constraint is not None:
        tables["model"]["constraint"] = constraint
    retrieval = tables["model"]["kind"] == "phase-retrieval"
    choose_kind(tables["dynamics"], args.dynamics, "gradient-descent" if retrieval else "langevin")
    if args.loss is not None and args.loss != "normalized":  # another loss has no a
        tables["model"].pop("a", None)
    set_flags(tables["model"], args, MODEL_FLAGS)
    if args.coupling:
        tables["model"]["couplings"] = {str(p): g for p, g in args.coupling}
    set_constraint(tables["model"], args)
    set_flags(tables["dynamics"], args, DYNAMICS_FLAGS)
    if args.annealing:
        tables["dynamics"]["annealing"] = dict(args.annealing)
    set_flags(tables["initial"], args, ("m0",))
    if args.t_max is not None or args.steps is not None:  # another duration replaces that of the file
        tables["run"].pop("t_max", None)
        tables["run"].pop("steps", None)
    set_flags(tables["run"], args, ("t_max", "steps"))
    return spec


def set_constraint(model, args):
    """Table of the constraint from its flags, which override that of the file."""
    if args.constraint is None and args.strength is None and args.method is None:
        return
    table = model.setdefault("constraint", {})
    if not isinstance(table, dict):
        raise UsageError(f"--spec: model.constraint must be a table, got {table!r}")
    soft = "ridge" if model["kind"] == "phase-retrieval" else "soft-sphere"
    choose_kind(table, args.constraint, soft if args.strength is not None else "sphere")
    set_flags(table, args, ("strength", "method"))


def choose_kind(table, flag, default):
    """Kind of a table: the flag, which makes a table of another kind void, or what it says."""
    if flag is not None and flag != table.get("kind", default):
        table.clear()
    if flag is not None:
        table["kind"] = flag
    table.setdefault("kind", default)


def set_flags(table, args, names):
    """Flags that were given override the table."""
    for name in names:
        value = getattr(args, name, None)  # not every command has every flag
        if value is not None:
            table[name] = value


def solve_spec(args):
    """Spec of ``dmft solve``: that of the problem, integrator and run flags."""
    spec = spec_of(args)
    integrator, run = spec["integrator"], spec["run"]
    model, dynamics = (
        classes.get(str(spec[name].get("kind"))) for name, classes in (("model", MODELS), ("dynamics", DYNAMICS))
    )
    if args.dynamics is not None or args.model is not None:
        keep_integrator_of(integrator, model, dynamics)
    for name in ("dt", "rtol"):
        if dynamics is not None and dynamics.discrete and getattr(args, name) is not None:
            raise UsageError(
                f"--{name} is not allowed: {dynamics.kind} is discrete in time, there is no step to choose"
            )
    if args.dt is not None or args.rtol is not None:
        integrator.pop("dt", None)
        integrator.pop("rtol", None)
    set_flags(integrator, args, ("dt", "rtol", "threads", "seed", *PATHS_FLAGS))
    if args.integrator is not None:
        integrator["kind"] = args.integrator
    if args.save_at is not None:
        run["save_at"] = args.save_at
    if args.event or args.stop_at:
        run["events"] = [{**e, "terminal": False} for e in args.event or []] + (args.stop_at or [])
    return spec


def keep_integrator_of(table, model, dynamics):
    """Drop what a file says of the integrators of other models and dynamics."""
    mine = [INTEGRATORS[kind] for kind in specs.integrator_kinds(model, dynamics)]
    if table.get("kind") in (cls.kind for cls in mine):
        return
    for other in INTEGRATORS.values():
        if other not in mine:
            for name in {f.name for f in fields(other)} - {f.name for f in fields(mine[0])}:
                table.pop(name, None)
    table.pop("kind", None)


def check_outputs(args, default, *checkpoints):
    """Refuse before any work what could not be written after it; returns the result's path."""

    out = args.out or Path(default)
    paths = [out] + ([args.plot] if args.plot is not None else [])
    check_new(args, *paths)
    everything = [path.resolve() for path in (*paths, *checkpoints)]
    for path in everything:
        if everything.count(path) > 1:
            raise UsageError(f"{path.name} is given for two different outputs: choose different names")
    if args.plot is not None:
        check_figure(args.plot)
    return out


def check_figure(path):
    """The plotting library and the format must be known before the work."""
    try:
        from matplotlib.figure import Figure
    except ImportError:
        raise UsageError("plots need matplotlib: pip install 'dmft[plot]'") from None
    allowed = Figure().canvas.get_supported_filetypes()
    if path.suffix.lstrip(".").lower() not in allowed:
        raise UsageError(f"{path}: unknown figure format {path.suffix!r}; allowed: {', '.join(sorted(allowed))}")


def save_figure(figure, path):
    """Write a figure under a temporary name, then rename."""
    fresh = path.with_name(f".{path.name}.new{path.suffix}")
    figure.savefig(fresh, dpi=150)
    fresh.replace(path)


def say(args, text):
    """A message to the person at the terminal."""
    if not getattr(args, "quiet", False):
        print(text, file=sys.stderr)


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


def limits(args):
    """Those of the checkpoint flags that were given, as arguments of Checkpoint."""
    given = {"every": args.checkpoint_every, "time_limit": args.time_limit}
    return {name: value for name, value in given.items() if value is not None}


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


def command_info(args):
    """dmft info"""

    if is_checkpoint(args.file):
        data = {"checkpoint": str(args.file), **checkpoint_summary(args.file)}
        data.update({k: v for k, v in data["spec"]["run"].items() if k in ("t_max", "steps")})
        print(json.dumps(data) if args.json else "\n".join(f"{k:16s} {v}" for k, v in data.items()))
        return OK
    solution = load(args.file)
    data = summary(solution)
    if args.json:
        print(json.dumps(data))
        return OK
    rows = [
        ("model", solution.model),
        ("dynamics", solution.dynamics),
        ("integrator", solution.integrator),
        ("status", f"{solution.status}: {solution.message}"),
        ("times", f"{len(solution.t)} in [0, {solution.t[-1]:g}]"),
        ("final", ", ".join(f"{k} = {v:.8g}" for k, v in data["final"].items())),
        (
            "events",
            ", ".join(f"{o.event.name} = {o.event.level:g} at {o.time:.10g}" for o in solution.events) or "none",
        ),
        ("rows of C", "none" if solution.C is None else len(solution.C.t)),
    ]
    rows += [(k, json.dumps(v)) for k, v in data["stats"].items()]
    for name, value in rows:
        print(f"{name:16s} {value}")
    return OK


def command_plot(args):
    """dmft plot"""

    if args.kind not in plot.KINDS:
        raise UsageError(f"--kind {args.kind!r} is not allowed: choose one of {', '.join(plot.KINDS)}")
    out = args.out or args.file.with_suffix(".png")
    check_new(args, out)
    check_figure(out)
    save_figure(plot.make(load(args.file), args.kind), out)
    print(out)
    return OK


def check_new(args, *paths):
    """Refuse before the work what exists or cannot be written."""
    for path in paths:
        if path is not None:
            check_writable(path)
            if path.exists() and not args.overwrite:
                raise UsageError(f"{path} exists and is kept: choose another name or add --overwrite")


def amp_model(args):
    """The model that the flags of ``dmft amp`` name."""
    spiked = {"p": args.p, "delta2": args.delta2, "deltap": args.deltap}
    if args.alpha is not None:
        for name, value in spiked.items():
            if value is not None:
                raise UsageError(f"--{name} does not go with --alpha (phase retrieval)")
        return PhaseRetrieval(args.alpha, noise=args.noise or 0.0)
    if args.noise is not None:
        raise UsageError("--noise needs --alpha (phase retrieval)")
    missing = [f"--{name}" for name, value in spiked.items() if value is None]
    if missing:
        raise UsageError(f"{', '.join(missing)} must be given, or --alpha for phase retrieval")
    return SpikedMatrixTensor(**spiked)


def command_amp(args):
    """dmft amp"""
    from . import amp

    model = amp_model(args)
    check_new(args, args.plot)
    if args.plot is not None:
        check_figure(args.plot)
    run = amp.state_evolution(model, args.estimator, m0=args.m0)
    columns = [f.name for f in fields(amp.FixedPoint) if getattr(run.fixed_points[0], f.name) is not None]
    rows = [{name: getattr(point, name) for name in columns} for point in run.fixed_points]
    if args.json:
        end = {name: getattr(run.fixed_point, name) for name in columns}
        data = {
            "model": specs.plain(model),
            "estimator": run.estimator,
            "m": run.m.tolist(),
            "iterations": run.iterations,
        }
        print(json.dumps({**data, "fixed_point": end, "fixed_points": rows}))
    else:
        print(f"{model!r}, {run.estimator}, from m = {args.m0:g}:")
        steps = "not within 1000 iterations" if run.iterations is None else f"after {run.iterations} iterations"
        print(f"converges to m = {run.fixed_point.m:.10g} ({steps}), mean squared error {run.fixed_point.mse:.10g}")
        print("  ".join(f"{name:>14s}" for name in columns) + "   (all fixed points)")
        for row in rows:
            print("  ".join(f"{x:>14s}" if isinstance(x, str) else f"{x:14.8g}" for x in row.values()))
    if args.plot is not None:
        save_figure(plot.state_evolution(run), args.plot)
    return OK


def command_lines(args):
    """dmft threshold lines"""
    from . import thresholds

    formats = (".csv", ".json", ".h5")
    if args.out is not None and args.out.suffix not in formats:
        raise UsageError(f"{args.out}: unknown format {args.out.suffix!r}; allowed: {', '.join(formats)}")
    check_new(args, args.out, args.plot)
    if args.plot is not None:
        check_figure(args.plot)
        plot.plotted_axis(args.deltap)
    table = {"deltap": np.array(args.deltap), **thresholds.lines(args.p, np.array(args.deltap))}
    suffix = ".json" if args.json and args.out is None else ".csv" if args.out is None else args.out.suffix
    if suffix == ".h5":
        save_table(args.out, table, "deltap", {"p": args.p, "content": "critical delta2"}, args.overwrite)
    else:
        text = table_json(args.p, table) if suffix == ".json" else table_csv(table)
        if args.out is None:
            print(text)
        else:
            fresh = args.out.with_name(f".{args.out.name}.new")
            fresh.write_text(text + "\n")
            fresh.replace(args.out)
    if args.plot is not None:
        save_figure(plot.phase_diagram(args.p, table["deltap"]), args.plot)
    return OK


def table_csv(table):
    """A table of columns, in full precision."""
    rows = [",".join(table), *(",".join(map(repr, map(float, row))) for row in zip(*table.values(), strict=True))]
    return "\n".join(rows)


def table_json(p, table):
    """The same as JSON; infinite numbers are the strings "inf"."""
    return json.dumps({"p": p, **{name: [specs.plain(float(x)) for x in column] for name, column in table.items()}})


def main(argv=None):
    """Entry point; returns the exit code."""
    args = build_parser().parse_args(argv)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("always", RuntimeWarning)
            warnings.showwarning = lambda message, *_: print(
                f"dmft {args.command}: warning: {message}", file=sys.stderr
            )
            code = args.run(args)
        sys.stdout.flush()
        return code
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # the reader went away
        return OK
    except (UsageError, ValueError, TypeError, MemoryError, OverflowError, OSError) as error:
        text = " ".join(str(error).split()) or type(error).__name__
        print(f"dmft {args.command}: {text}", file=sys.stderr)
        return USAGE
    except KeyboardInterrupt:
        return INTERRUPTED


if __name__ == "__main__":
    sys.exit(main())
