"""dmft amp, threshold."""

import argparse
import json
from dataclasses import fields
from pathlib import Path

import numpy as np

from .. import plot
from .. import spec as specs
from ..dynamics import ESTIMATORS
from ..models import PhaseRetrieval, SpikedMatrixTensor
from ..storage import save_table
from .common import (
    OK,
    UsageError,
    axis,
    check_figure,
    check_new,
    number,
    save_figure,
)


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
    from .. import thresholds

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
