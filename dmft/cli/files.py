"""dmft info, plot."""

import json
from pathlib import Path

from .. import plot, scan_plot
from ..storage import checkpoint_summary, is_checkpoint, load, open_file
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
        help="plot a result file or a gathered scan",
        description="Plot a result file, or what dmft scan gather wrote.",
        epilog="examples: dmft plot run.h5 --kind fdt -o fdt.png; "
        "dmft plot DIR/gathered.h5 --variable m_final --select m0=1e-4",
    )
    p.add_argument("file", type=Path)
    p.add_argument("-o", "--out", type=Path, metavar="FIGURE", help="default: the file's name with .png")
    p.add_argument(
        "--kind",
        metavar="KIND",
        help=f"one of {', '.join(plot.KINDS)}; default overview; of a scan: one of {', '.join(scan_plot.KINDS)}; "
        "default heat-map, or along if one axis is left",
    )
    add_scan_flags(p.add_argument_group("scans"))
    p.add_argument("--overwrite", action="store_true", help="replace an existing figure")
    p.set_defaults(run=command_plot)


def add_scan_flags(group):
    """What a plot of a scan shows."""
    group.add_argument("--variable", metavar="NAME", help="default escape_time, else m_final; of curves m")
    group.add_argument(
        "--select",
        action="append",
        metavar="AXIS=VALUE",
        help="nearest value of an axis that is not drawn; also dynamics=LABEL, event=NAME=LEVEL, t=TIME; repeatable",
    )
    group.add_argument("--axis", metavar="AXIS", help="horizontal axis of along, colours of curves")
    group.add_argument("--log-t", action="store_true", default=None, help="logarithmic time of curves")


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

    out = args.out or args.file.with_suffix(".png")
    check_new(args, out)
    check_figure(out)
    draw = draw_scan if is_scan(args.file) else draw_solution
    save_figure(draw(args), out)
    print(out)
    return OK


def is_scan(path):
    """Whether a file of ours is a gathered scan."""
    with open_file(path, ("dmft-run", "dmft-checkpoint", "dmft-scan")) as f:
        return f.attrs["format"] == "dmft-scan"


def draw_solution(args):
    """Figure of a result file."""
    for name in ("variable", "select", "axis", "log_t"):
        if getattr(args, name) is not None:
            raise UsageError(f"--{name.replace('_', '-')} is for gathered scans, and {args.file} is none")
    kind = args.kind or "overview"
    if kind not in plot.KINDS:
        raise UsageError(f"--kind {kind!r} is not allowed: choose one of {', '.join(plot.KINDS)}")
    return plot.make(load(args.file), kind)


def draw_scan(args):
    """Figure of a gathered scan."""
    if args.kind not in (None, *scan_plot.KINDS):
        raise UsageError(f"--kind {args.kind!r} is not allowed: choose one of {', '.join(scan_plot.KINDS)}")
    options = {"name": args.variable, "select": args.select or (), "axis": args.axis, "log_t": bool(args.log_t)}
    try:
        with scan_plot.read(args.file) as scan:
            return scan_plot.make(scan, args.kind, **options)
    except ImportError as error:
        raise UsageError(str(error)) from None
