"""dmft amp."""

import argparse
import json
from dataclasses import fields
from pathlib import Path

from .. import plot
from ..dynamics import ESTIMATORS
from ..files import spec as specs
from ..models import MODELS, PhaseRetrieval, SpikedMatrixTensor
from .common import (
    OK,
    UsageError,
    check_figure,
    check_new,
    number,
    save_figure,
)
from .flags import add_argument_of, add_parameter, default_of, parameters_of


def add_amp(commands):
    """The sub-command amp."""
    commands.add_parser(
        "amp",
        fill=fill_amp,
        help="state evolution of AMP and its fixed points",
        description="State evolution of approximate message passing: fixed points and where the iteration ends.",
        epilog="examples:\n  dmft amp --p 3 --delta2 0.5 --deltap 1\n  dmft amp --alpha 1.12 --m0 1e-3",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )


def fill_amp(p):
    """Flags of dmft amp."""
    from ..amp import state_evolution

    for cls, names in ((SpikedMatrixTensor, ("p", "delta2", "deltap")), (PhaseRetrieval, ("alpha", "noise"))):
        for name in names:
            add_parameter(p, name, name, {cls.kind: parameters_of(cls)[name]}, MODELS)
    add_argument_of(p, state_evolution, "estimator", "", choices=ESTIMATORS)
    add_argument_of(p, state_evolution, "m0", "overlap of the start", type=number, metavar="X")
    p.add_argument("--plot", type=Path, metavar="FIGURE", help="draw the trajectory (.png, .pdf, .svg)")
    p.add_argument("--overwrite", action="store_true", help="replace an existing figure")
    p.add_argument("--json", action="store_true", help="as JSON, with the trajectory")
    p.set_defaults(run=command_amp)


def amp_model(args):
    """The model that the flags of ``dmft amp`` name."""
    spiked = {"p": args.p, "delta2": args.delta2, "deltap": args.deltap}
    if args.alpha is not None:
        for name, value in spiked.items():
            if value is not None:
                raise UsageError(f"--{name} does not go with --alpha (phase retrieval)")
        return PhaseRetrieval(args.alpha, **({} if args.noise is None else {"noise": args.noise}))
    if args.noise is not None:
        raise UsageError("--noise needs --alpha (phase retrieval)")
    missing = [f"--{name}" for name, value in spiked.items() if value is None]
    if missing:
        raise UsageError(f"{', '.join(missing)} must be given, or --alpha for phase retrieval")
    return SpikedMatrixTensor(**spiked)


def command_amp(args):
    """dmft amp"""
    from .. import amp

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
        most = default_of(amp.state_evolution, "steps")
        steps = f"not within {most} iterations" if run.iterations is None else f"after {run.iterations} iterations"
        print(f"converges to m = {run.fixed_point.m:.10g} ({steps}), mean squared error {run.fixed_point.mse:.10g}")
        print("  ".join(f"{name:>14s}" for name in columns) + "   (all fixed points)")
        for row in rows:
            print("  ".join(f"{x:>14s}" if isinstance(x, str) else f"{x:14.8g}" for x in row.values()))
    if args.plot is not None:
        save_figure(plot.state_evolution(run), args.plot)
    return OK
