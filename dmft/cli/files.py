"""dmft info, plot."""

import json
from pathlib import Path

from .. import plot
from ..storage import checkpoint_summary, is_checkpoint, load
from .common import (
    OK,
    UsageError,
    check_figure,
    check_new,
    save_figure,
)
from .solve import summary


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
