"""Flags that say what is solved, and the spec they make."""

import argparse
import tomllib
from dataclasses import fields
from pathlib import Path

from ..dynamics import DYNAMICS
from ..equations import family_of
from ..files import spec as specs
from ..integrators import INTEGRATORS, solvers
from ..models import CONSTRAINTS, LOSSES, MODELS
from .common import UsageError, number

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


def momentum(text):
    """A number or 'lambda'."""
    return text if text == "lambda" else number(text)


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
    group.add_argument("--learning-rate", type=number, help="of every discrete dynamics except amp")
    group.add_argument(
        "--momentum", type=momentum, help="of heavy-ball and nesterov; nesterov also: lambda, default t/(t+3)"
    )
    group.add_argument(
        "--batch-fraction", type=number, help="of stochastic-gradient-descent: share of the measurements in a batch"
    )
    group.add_argument(
        "--persistence-time", type=number, help="of stochastic-gradient-descent: lifetime of a batch in physical time"
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


def add_integrator(parser):
    """Flags about how the equations are solved."""
    group = parser.add_argument_group("integrator")
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
    group.add_argument("--response-paths", type=int, help="sampled-paths: compute R from this many paths")
    group.add_argument(
        "--keep-paths", action="store_true", default=None, help="sampled-paths: write all paths to the file"
    )


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
    """Kind of a table: the flag, which makes a table of another kind void, or what the table says."""
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
    """Drop what a file says about the integrators of other models and dynamics."""
    family = None if model is None or dynamics is None else family_of(model, dynamics)
    mine = [] if family is None else solvers(family)
    if not mine:
        return
    if table.get("kind") in (cls.kind for cls in mine):
        return
    for other in INTEGRATORS.values():
        if other not in mine:
            for name in {f.name for f in fields(other)} - {f.name for f in fields(mine[0])}:
                table.pop(name, None)
    table.pop("kind", None)
