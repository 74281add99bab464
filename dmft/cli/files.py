"""dmft info, plot."""

import json
from pathlib import Path

from .. import plot
from ..errors import ArgumentTypeError, ArgumentValueError
from ..files import spec
from ..files.checkpoints import checkpoint_summary
from ..files.hdf5 import open_file
from ..files.loading import load
from ..plot import scans as scan_plot
from .common import (
    OK,
    UsageError,
    check_figure,
    check_new,
    read_scan,
    save_figure,
)
from .flags import default_of, flag_of
from .solve import summary

FORMATS = ("dmft-run", "dmft-checkpoint", "dmft-scan")
FEW = 8  # values of an axis that are printed
OF_A_SCAN = {"name": "variable", "select": "select", "axis": "axis", "log_t": "log_t"}  # arguments and their flags


def add_info(commands):
    """The sub-command info."""
    p = commands.add_parser(
        "info",
        help="say what is in a file",
        description="Show what is in a result file, a checkpoint or a gathered scan.",
        epilog="examples: dmft info run.h5; dmft info DIR/gathered.h5 --json",
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
    p.add_argument(
        "-o", "--out", type=Path, metavar="FIGURE", help="default: of run.h5 run.png; with --kind run-KIND.png"
    )
    usual = default_of(plot.make, "kind")
    text = f"one of {', '.join(plot.KINDS)}; default {usual}; of a scan: one of {', '.join(scan_plot.KINDS)}; "
    text += "default heat-map, or along if one axis is left"
    p.add_argument("--kind", metavar="KIND", help=text)
    add_scan_flags(p.add_argument_group("scans"))
    p.add_argument("--overwrite", action="store_true", help="replace an existing figure")
    p.set_defaults(run=command_plot)


def add_scan_flags(group):
    """What a plot of a scan shows."""
    of_curves = default_of(scan_plot.curves, "name")
    text = f"default escape_time, else m_final; of curves {of_curves}"
    group.add_argument("--variable", metavar="NAME", help=text)
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
    kind = format_of(args.file)
    if kind == "dmft-scan":
        return info_of_scan(args)
    if kind == "dmft-checkpoint":
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


def format_of(path):
    """Format of one of our files."""
    if path.is_dir():
        gathered = path / "gathered.h5"
        raise UsageError(f"{path} is a directory: give {gathered} (dmft scan gather {path} writes it)")
    with open_file(path, FORMATS) as f:
        return f.attrs["format"]


def info_of_scan(args):
    """Show what is in a gathered scan."""
    data = scan_summary(args.file)
    if args.json:
        print(json.dumps(data))
        return OK
    counts = ", ".join(f"{data[k]} {k}" for k in ("finished", "failed", "missing"))
    rows = [("scan", str(args.file)), ("points", f"{data['points']}: {counts}")]
    along = {name: axis["dimension"] for name, axis in data["axes"].items()}
    names = {name: name if name == dim else f"{name} (along {dim})" for name, dim in along.items()}
    rows += [("axis", f"{names[name]}: {values_text(axis)}") for name, axis in data["axes"].items()]
    rows += [("variables", ", ".join(data["variables"]))]
    rows += [(k, data[k]) for k in ("dmft_version", "created")]
    for name, value in rows:
        print(f"{name:16s} {value}")
    return OK


def scan_summary(path):
    """Counts, axes and variables of a gathered scan."""
    with open_file(path, FORMATS) as f:
        texts = {k: str(f.attrs[k]) for k in ("dmft_version", "created")}
        counts = {k: int(f.attrs[k]) for k in ("points", "finished", "failed", "missing")}
        axes = {name: f[name] for name in [*scales(f), *str(f.attrs.get("coordinates", "")).split()]}
        shown = {name: {"dimension": scale_of(d), "values": values_of(d)} for name, d in axes.items()}
        return {"scan": str(path), **counts, "axes": shown, "variables": [k for k in f if k not in axes], **texts}


def scales(f):
    """Names of the dimensions of a gathered scan: the axes, then those of some variables only."""
    found = [*f["status"].dims, *(dim for dataset in f.values() for dim in dataset.dims)]
    return list(dict.fromkeys(dim[0].name.lstrip("/") for dim in found if len(dim)))


def scale_of(dataset):
    """Name of the dimension of a coordinate."""
    scale = dataset if dataset.is_scale else dataset.dims[0][0]
    return scale.name.lstrip("/")


def values_of(dataset):
    """Values of a coordinate as JSON can hold them."""
    text = dataset.dtype.kind not in "iuf"
    return spec.plain((dataset.asstr()[:] if text else dataset[:]).tolist())


def values_text(axis):
    """Values of an axis; of many, their number and range."""
    texts = [v if isinstance(v, str) else f"{v:.6g}" for v in axis["values"]]
    return f"{len(texts)} values, {texts[0]} ... {texts[-1]}" if len(texts) > FEW else ", ".join(texts)


def command_plot(args):
    """dmft plot"""

    is_scan = format_of(args.file) == "dmft-scan"
    check_kind(args, scan_plot.KINDS if is_scan else plot.KINDS)
    out = args.out or args.file.with_name(f"{args.file.stem}{f'-{args.kind}' if args.kind else ''}.png")
    check_new(args, out)
    check_figure(out)
    draw = draw_scan if is_scan else draw_solution
    save_figure(draw(args), out)
    print(out)
    return OK


def check_kind(args, kinds):
    """The kinds of a scan differ from those of a result."""
    if args.kind not in (None, *kinds):
        raise UsageError(f"--kind {args.kind!r} is not allowed: choose one of {', '.join(kinds)}")


def draw_solution(args):
    """Figure of a result file."""
    for name in OF_A_SCAN.values():
        if getattr(args, name) is not None:
            raise UsageError(f"{flag_of(name)} is for gathered scans, and {args.file} is none")
    return plot.make(load(args.file), args.kind or default_of(plot.make, "kind"))


def draw_scan(args):
    """Figure of a gathered scan."""
    given = {name: getattr(args, flag) for name, flag in OF_A_SCAN.items()}
    try:
        with read_scan(args.file) as scan:
            return scan_plot.make(scan, args.kind, **{name: x for name, x in given.items() if x is not None})
    except (ArgumentValueError, ArgumentTypeError) as error:
        raise UsageError(error.spelled(as_flag)) from None


def as_flag(argument):
    """An argument of ``dmft.plot.scans`` in a message, as the command line writes it."""
    return f"{flag_of(OF_A_SCAN.get(argument.name, argument.name))} {argument.value}".rstrip()
