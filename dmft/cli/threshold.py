"""dmft threshold."""

import argparse
import json
from dataclasses import fields
from functools import partial
from pathlib import Path
from textwrap import fill

import numpy as np

from .. import plot
from ..dynamics import DYNAMICS
from ..files import spec as specs
from ..files.hdf5 import save_table, write_bytes
from ..models import MODELS
from ..thresholds.divergence import NoDivergenceError, escape_threshold
from ..thresholds.search import Interrupted, threshold
from .common import (
    FAILED,
    INTERRUPTED,
    OK,
    UsageError,
    axis,
    check_figure,
    check_new,
    crossing,
    number,
    number_list,
    read_scan,
    save_figure,
    say,
)
from .flags import add_argument_of, atoms, default_of, parameters_of
from .problem import (
    add_duration,
    add_dynamics,
    add_integrator,
    add_model,
    add_spec,
    file_tables,
    flag_tables,
    merged,
    solvable,
)

FIND = (
    "The critical value of a parameter: by bisection at a fixed horizon (--bracket), or where the escape times at some "
    "values diverge (--values; at least 5, or 4 with --exponent). The event must be possible: m0 > 0."
)
CTRL_C = "Ctrl-C prints the finished runs and exits 130."
MEANING = (
    "A fit gives the critical value with three numbers about its error. Interval: what the scatter of the points "
    "about the power law allows (95 %), not how far the law itself is off. Drift: how far the value moves without the "
    "farther half of the points. m0 drift (with three m0 or more): how far it has moved from the larger m0 to the two "
    "smallest; the change that smaller m0 would still bring usually has this sign and order. A drift larger than the "
    "half-width of the interval is reported as not converged: the true value is then probably outside the interval."
)


def add_threshold(commands):
    """The sub-command threshold with its own."""
    p = commands.add_parser(
        "threshold",
        help="threshold lines in closed form, and numerical thresholds",
        description="Thresholds: closed-form lines, bisection at a fixed horizon, divergence of escape times.",
    )
    actions = p.add_subparsers(dest="action", required=True, metavar="ACTION")
    for add in (add_lines, add_find, add_fit):
        add(actions)


def add_lines(actions):
    """dmft threshold lines"""
    p = actions.add_parser(
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


def add_find(actions):
    """dmft threshold find"""
    actions.add_parser(
        "find",
        fill=fill_find,
        usage="dmft threshold find [-h] [--spec FILE.toml] [flags of model, dynamics, integrator] "
        "[--t-max X | --steps N]\n"
        "                           --over NAME (--bracket A B | --values START:STOP:NUM) [--m0 M1,...] [options]",
        help="where a dynamics begins to succeed",
        description="\n\n".join(fill(text, 100) for text in (FIND, MEANING, CTRL_C)),
        epilog="examples:\n"
        "  dmft threshold find --p 3 --deltap 1 --dynamics gradient-flow --over delta2 --bracket 0.3 0.9 \\\n"
        "      --t-max 100 --m0 1e-4 --integrator log-time\n"
        "  dmft threshold find --p 3 --deltap 1 --dynamics gradient-flow --over delta2 --values 0.26:0.40:6 \\\n"
        "      --m0 1e-3,1e-5,1e-7 --event m=0.1 --t-max 500 --scale log --integrator log-time\n"
        "  dmft threshold find --alpha 3 --learning-rate 0.02 --over alpha --bracket 2 8 --steps 100 \\\n"
        "      --m0 0.2 --event m=0.6",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )


def fill_find(p):
    """Flags of dmft threshold find."""
    add_spec(p)
    add_duration(p, "horizon of continuous dynamics", "horizon of discrete dynamics")
    add_report(p)
    add_search(p.add_argument_group("threshold"))
    add_model(p)
    add_dynamics(p, solvable())
    add_integrator(p)
    p.set_defaults(run=command_find)


def add_search(group):
    """Flags about what is searched, and how."""
    group.add_argument("--over", required=True, metavar="NAME", help="parameter: delta2, alpha, temperature, m0, ...")
    way = group.add_mutually_exclusive_group(required=True)
    way.add_argument("--bracket", type=number, nargs=2, metavar=("A", "B"), help="success at one end only")
    way.add_argument(
        "--values",
        type=partial(axis, log=False),
        metavar="START:STOP:NUM",
        help="escape times at NUM values; or a list V1,V2,...",
    )
    group.add_argument("--width", type=number, help="of the last bracket; default a thousandth of the first")
    group.add_argument("--m0", type=number_list, metavar="M1,...", help="overlap of the start; with --values several")
    usual = default_of(threshold, "event")
    text = f"what counts as success; default {usual.name}={usual.level:g}"
    group.add_argument("--event", dest="success", type=crossing, metavar="NAME=LEVEL", help=text)
    add_law(group, escape_threshold)


def add_fit(actions):
    """dmft threshold fit"""
    actions.add_parser(
        "fit",
        fill=fill_fit,
        help="where the escape times of a gathered scan diverge",
        description="Fit the divergence of the escape times of a gathered scan along one axis, for every value of the "
        "others; where there are several m0, of the growth times. What is zipped with the axis makes groups if "
        "each of its values occurs at two or more points. " + MEANING + " Exit code 1 if nothing can be fitted.",
        epilog="example: dmft threshold fit DIR/gathered.h5 --axis delta2 --scale log",
    )


def fill_fit(p):
    """Flags of dmft threshold fit."""
    from ..scan.fits import escape_fits

    p.add_argument("file", type=Path, metavar="GATHERED.h5")
    p.add_argument("--axis", required=True, help="the axis along which times diverge")
    add_law(p, escape_fits)
    p.add_argument("--json", action="store_true", help="as JSON, with the data")
    p.set_defaults(run=command_fit)


def add_law(parser, function):
    """Flags about the law that ``function`` fits."""
    parser.add_argument("--exponent", type=number, metavar="NU", help="a known exponent; fitted by default")
    text = "of the parameter in the law"
    add_argument_of(parser, function, "scale", text, choices=("linear", "log"))


def add_report(parser):
    """Flags about what is written."""
    parser.add_argument("--plot", type=Path, metavar="FIGURE", help="with --values: draw times and fit")
    parser.add_argument("--overwrite", action="store_true", help="replace an existing figure")
    parser.add_argument("--json", action="store_true", help="print the result as JSON, with every run")
    parser.add_argument("--quiet", action="store_true", help="no progress bar and no messages")


def command_find(args):
    """dmft threshold find"""
    check_find(args)
    problem = find_problem(args)
    try:
        if args.bracket is not None:
            return report_threshold(args, threshold(bracket=tuple(args.bracket), width=args.width, **problem))
        law = {"exponent": args.exponent, "scale": args.scale}
        return report_fit(args, escape_threshold(values=args.values, **law, **problem))
    except NoDivergenceError as error:
        report_runs(args, error)
        return FAILED
    except Interrupted as stop:
        report_runs(args, stop)
        return INTERRUPTED


def find_problem(args):
    """Arguments that both searches share."""
    spec = find_spec(args)
    for name, instead in (("events", "--event says what counts as success"), ("save_at", "only escape times are kept")):
        if name in spec["run"]:
            raise UsageError(f"--spec: run.{name} is not allowed: {instead}")
    problem = {k: v for k, v in specs.arguments(spec).items() if k not in ("save_at", "events")}
    start = problem.pop("start")
    problem["m0"] = start.m0 if args.m0 is None else args.m0[0] if args.bracket is not None else args.m0
    if args.success is not None:
        problem["event"] = specs.events_from([args.success])[0]
    return problem | {"over": args.over, "progress": False if args.quiet else None}


def find_spec(args):
    """The spec, in which the parameter has some value of the search: a model needs one."""
    file, flags = file_tables(args.spec), flag_tables(args)
    table = table_over(args.over, merged(file, flags))
    if table is None or table == "initial":
        return merged(file, flags)
    first = args.bracket[0] if args.bracket is not None else args.values[0]
    value = {args.over.rpartition(".")[2]: first}
    return merged(file, {**flags, table: value | flags[table]})


def table_over(over, spec):
    """The table of the parameter, which must be a number of the model or of the dynamics, or m0.

    None for a kind that is none: it is refused with the spec.
    """
    known = {"m0": "initial"}
    for table, classes in {"model": MODELS, "dynamics": DYNAMICS}.items():
        cls = classes.get(str(spec[table]["kind"]))
        if cls is None:
            return None
        numbers = [name for name, field in parameters_of(cls).items() if float in atoms(field.type)]
        known |= {name: table for name in numbers if name not in known}
    full = {f"{table}.{name}": table for name, table in known.items()}
    specs.refuse_unknown("--over", [over], full if "." in over else known)
    return (known | full)[over]


def check_find(args):
    """Flags that do not go together, before the work."""
    if args.bracket is not None:
        for flag in ("plot", "exponent"):
            if getattr(args, flag) is not None:
                raise UsageError(f"--{flag} needs --values")
        if args.m0 is not None and len(args.m0) > 1:
            raise UsageError("--m0 must be one number with --bracket")
    elif args.width is not None:
        raise UsageError("--width needs --bracket")
    if args.plot is not None:
        check_new(args, args.plot)
        check_figure(args.plot)


def report_threshold(args, found):
    """The answer of the bisection."""
    side = "below" if found.succeeds_below else "above"
    event = f"{found.event.name} crosses {found.event.level:g}"
    say(args, "  ".join((f"{found.over:>14s}", f"{'escape time':>14s}")))
    for x, t in found.evaluations:
        say(args, f"{x:14.8g}  {t:14.8g}")
    if args.json:
        names = ("over", "value", "low", "high", "succeeds_below", "evaluations", "seconds")
        print(json.dumps({name: specs.plain(getattr(found, name)) for name in names}))
        return OK
    horizon = f"t = {found.t_max:g}" if found.steps is None else f"{found.steps} steps"
    print(f"{found.over} = {found.value:.8g} +- {(found.high - found.low) / 2:.2g}: {event} within {horizon} {side} it")
    return OK


def fit_data(fit):
    """A fit as plain data."""
    arrays = {f.name: getattr(fit, f.name) for f in fields(fit)} | {"caveats": list(fit.caveats)}
    return specs.plain({k: v.tolist() if isinstance(v, np.ndarray) else v for k, v in arrays.items()})


def report_fit(args, fit):
    """The answer of the extrapolation."""
    if args.plot is not None:
        save_figure(plot.escape(fit, args.over), args.plot)
        say(args, f"wrote {args.plot}")
    if args.json:
        print(json.dumps(fit_data(fit)))
        return OK
    print(f"{args.over} = {describe_fit(fit)}")
    return OK


def describe_fit(fit):
    """A fit in one line, with what its interval does not say."""
    low, high = fit.interval
    age = "" if fit.m0_drift is None else f", m0 drift {fit.m0_drift:.2g}"
    doubt = f"; not converged: {'; '.join(fit.caveats)}" if fit.caveats else ""
    return (
        f"{fit.value:.6g}, 95 % interval of the scatter {low:.6g} to {high:.6g}, drift {fit.drift:.2g}{age}, "
        f"exponent {fit.exponent:.4g}, {fit.points} points{doubt}"
    )


def report_runs(args, error):
    """The runs are not lost if no divergence can be fitted, or if Ctrl-C ends the search."""
    columns = {"x": error.x, "escape_time": error.escape_time, "m0": error.m0}
    columns = {name: column.tolist() for name, column in columns.items() if column is not None}
    if args.json:
        print(json.dumps({"error": str(error), **specs.plain(columns)}))
    else:
        print("  ".join(f"{name:>14s}" for name in columns))
        for row in zip(*columns.values(), strict=True):
            print("  ".join(f"{value:14.8g}" for value in row))
    say(args, f"dmft threshold: {error}")


def command_fit(args):
    """dmft threshold fit"""
    from ..scan.fits import escape_fits

    with read_scan(args.file, "fits of scans need xarray: pip install 'dmft[xarray]'") as data:
        rows = escape_fits(data, args.axis, exponent=args.exponent, scale=args.scale)
    if args.json:
        table = [{**at, **(fit_data(fit) if fit else {"error": why})} for at, fit, why in rows]
        print(json.dumps(specs.plain(table)))
    else:
        for at, fit, why in rows:
            values = (
                f"{name} = {value:.6g}" if isinstance(value, float) else f"{name} = {value}"
                for name, value in at.items()
            )
            where = f"{', '.join(values)}: " if at else ""
            print(f"{where}{args.axis} = {describe_fit(fit)}" if fit else f"{where}{why}")
    return OK if any(fit for _, fit, _ in rows) else FAILED


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
            write_bytes(args.out, f"{text}\n".encode())
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
