"""What is solved: the tables of the flags and of the spec file, and the one spec they make together.

Flags come before the file, the file before the defaults.  Every function here makes its tables anew.
"""

import tomllib
from collections.abc import Mapping
from dataclasses import MISSING
from pathlib import Path

from ..dynamics import DYNAMICS, GradientDescent, Langevin
from ..equations import family_of
from ..files import spec as specs
from ..integrators import INTEGRATORS, solvers
from ..models import MODELS
from ..starts import STARTS, Overlap
from .common import UsageError, crossing, number, number_list
from .flags import (
    add_table,
    family_of_value,
    flag_of,
    has_short_form,
    implied_kind,
    owners_of,
    parameters_of,
    tables_of,
)

ALTERNATIVES = {"run": ("t_max", "steps"), "integrator": ("dt", "rtol")}  # to give one of them replaces the other
STEPS = ALTERNATIVES["integrator"]  # what chooses the steps of a continuous time


# --- flags -------------------------------------------------------------------------------------


def solvable():
    """The dynamics that have equations to solve."""
    return {kind: cls for kind, cls in DYNAMICS.items() if not cls.state_evolution}


def add_model(parser):
    """Flags about the landscape."""
    group = parser.add_argument_group("model")
    implied = "".join(f"{kind} with {flag_of(name)}, " for name, kind in telling_flags().items()).rstrip(", ")
    text = f"default {next(iter(MODELS))}" + (f"; {implied}" if implied else "")
    group.add_argument("--model", dest="model.kind", choices=list(MODELS), help=text)
    add_table(group, "model", MODELS)


def add_dynamics(parser, dynamics):
    """Flags about what moves on it, one of {kind: class}."""
    group = parser.add_argument_group("dynamics")
    others = [(kind, default_dynamics(kind)) for kind in MODELS if default_dynamics(kind) != Langevin.kind]
    text = f"default {Langevin.kind}" + "".join(f"; {default} for {kind}" for kind, default in others)
    group.add_argument("--dynamics", dest="dynamics.kind", choices=list(dynamics), help=text)
    add_table(group, "dynamics", dynamics)


def add_start(parser):
    """Flags about where it begins."""
    if len(STARTS) > 1:
        parser.add_argument("--start", dest="initial.kind", choices=list(STARTS), help=f"default {Overlap.kind}")
    add_table(parser, "initial", STARTS)


def add_duration(parser, continuous="final time of continuous dynamics", discrete="iterations of discrete dynamics"):
    """Flags about the length of a run."""
    parser.add_argument("--t-max", dest="run.t_max", type=number, metavar="X", help=continuous)
    parser.add_argument("--steps", dest="run.steps", type=int, metavar="N", help=discrete)


def add_spec(parser, tables=specs.TABLES):
    """The flag of the file that says the same as flags."""
    text = f"tables {', '.join(f'[{name}]' for name in tables)}; flags override"
    parser.add_argument("--spec", type=Path, metavar="FILE.toml", help=text)


def add_integrator(parser):
    """Flags about how the equations are solved."""
    group = parser.add_argument_group("integrator")
    automatic = sorted((cls for cls in INTEGRATORS.values() if cls.automatic), key=lambda cls: cls.for_long_runs)
    kinds = ", ".join(f"{cls.kind} (long runs)" if cls.for_long_runs else cls.kind for cls in automatic)
    text = f"default by model and dynamics: {kinds}"
    group.add_argument("--integrator", dest="integrator.kind", choices=list(INTEGRATORS), help=text)
    add_table(group, "integrator", INTEGRATORS)


def add_observed(parser):
    """Flags about what is kept and reported."""
    text = "keep only these rows of C and R"
    parser.add_argument("--save-at", dest="run.save_at", type=number_list, metavar="T1,T2,...", help=text)
    text = "report the times at which a scalar crosses a level"
    parser.add_argument("--event", type=crossing, action="append", metavar="NAME=LEVEL", help=text)
    text = "as --event, and stop there"
    parser.add_argument("--stop-at", type=crossing, action="append", metavar="NAME=LEVEL", help=text)


# --- tables ------------------------------------------------------------------------------------


def flag_tables(args):
    """The tables that the flags give."""
    tables = tables_of(args, specs.TABLES)
    passed = [{**event, "terminal": False} for event in getattr(args, "event", None) or ()]
    events = passed + (getattr(args, "stop_at", None) or [])
    return {**tables, "run": {**tables["run"], "events": events}} if events else tables


def file_tables(path):
    """The tables of a spec file; those it does not have are empty."""
    spec = {} if path is None else read_toml(path)
    tables = {name: spec.get(name, {}) for name in specs.TABLES}
    for name, table in tables.items():
        if not isinstance(table, dict):
            raise UsageError(f"--spec: {name} must be a table, got {table!r}")
    return {**spec, **tables}  # what else it has is refused with the spec


def read_toml(path):
    """The content of a spec file."""
    try:
        return tomllib.loads(path.read_text())
    except OSError as error:
        raise UsageError(f"--spec {path}: {error.strerror}") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise UsageError(f"--spec {path}: {error}") from None


def spec_of(args):
    """The spec of a command from its flags and the file of --spec."""
    return merged(file_tables(args.spec), flag_tables(args))


# --- one spec ----------------------------------------------------------------------------------


def merged(file, flags):
    """One spec from the tables of a file and those of the flags."""
    implied = implied_model(flags["model"])
    model = merged_table("model", MODELS, file["model"], flags["model"], implied, kept=("constraint",))
    usual = default_dynamics(model["kind"])
    dynamics = merged_table("dynamics", DYNAMICS, file["dynamics"], flags["dynamics"], usual)
    classes = class_of(MODELS, model), class_of(DYNAMICS, dynamics)
    return {
        **file,
        "model": model,
        "dynamics": dynamics,
        "initial": merged_table("initial", STARTS, file["initial"], flags["initial"], Overlap.kind),
        "integrator": merged_integrator(file["integrator"], flags, *classes),
        "run": overridden("run", file["run"], flags["run"]),
    }


def class_of(classes, table):
    """The class of a table; None for a kind that is none, which is refused with the spec."""
    return classes.get(str(table.get("kind")))


def telling_flags():
    """{parameter: kind} of the models, after the first, that a flag tells: they alone have it, and need it."""
    owners = {name: fields for name, fields in owners_of(MODELS).items() if len(fields) == 1}
    first = next(iter(MODELS))
    known = {name: (kind, field) for name, fields in owners.items() for kind, field in fields.items()}
    return {
        name: kind
        for name, (kind, field) in known.items()
        if kind != first and field.default is MISSING and field.default_factory is MISSING
    }


def implied_model(flags):
    """The kind of model where neither --model nor the file say it."""
    told = {name: kind for name, kind in telling_flags().items() if name in flags}
    if len(set(told.values())) > 1:
        one, another, *_ = (f"{flag_of(name)} ({kind})" for name, kind in told.items())
        raise UsageError(f"{one} does not go with {another}")
    return next(iter(told.values()), next(iter(MODELS)))


def default_dynamics(kind):
    """The dynamics of a kind of models where none is given: Langevin, gradient descent, or the first with equations."""
    model = MODELS.get(str(kind))
    able = [] if model is None else [name for name, cls in DYNAMICS.items() if family_of(model, cls) is not None]
    usual = [name for name in (Langevin.kind, GradientDescent.kind, *able) if name in able]
    return usual[0] if usual else Langevin.kind


def merged_table(where, classes, file, flags, default, kept=()):
    """A table from that of the file, which a flag for another kind makes void but for ``kept``, and the flags."""
    kind = flags.get("kind", file.get("kind", default))
    valid = file if kind == file.get("kind", default) else {name: file[name] for name in kept if name in file}
    parameters = parameters_of(classes.get(str(kind)))
    chosen = {
        name: merged_choice(f"{where}.{name}", parameters[name], valid.get(name), table)
        for name, table in flags.items()
        if name in parameters and family_of_value(parameters[name]) is not None
    }
    void = void_parameters(parameters, flags)
    return {**{name: x for name, x in valid.items() if name not in void}, **flags, **chosen, "kind": kind}


def merged_choice(where, parameter, file, flags):
    """One of a family (a constraint, a loss) from what the file says of it, if anything, and the flags."""
    file = {} if file is None else {"kind": file} if isinstance(file, str) and has_short_form(parameter) else file
    if not isinstance(file, Mapping):
        raise UsageError(f"--spec: {where} must be a table, got {file!r}")
    default = implied_kind(parameter, set(flags) - {"kind"})
    table = merged_table(where, family_of_value(parameter).kinds, file, flags, default)
    return table["kind"] if has_short_form(parameter) and set(table) == {"kind"} else table


def void_parameters(parameters, flags):
    """What a file says beside one of a family that the flags replace: another loss has no a."""
    void = set()
    for name, parameter in parameters.items():
        family = family_of_value(parameter)
        if family is not None and has_short_form(parameter) and "kind" in flags.get(name, {}):
            own = parameters_of(family.kinds[flags[name]["kind"]])
            void |= set(owners_of(family.kinds)) - set(own)
    return void


def overridden(name, file, flags):
    """A table without kind; one of the alternatives of the flags replaces all of the file."""
    alternatives = ALTERNATIVES[name]
    replaced = alternatives if any(key in flags for key in alternatives) else ()
    return {**{key: value for key, value in file.items() if key not in replaced}, **flags}


def merged_integrator(file, flags, model, dynamics):
    """The table of the integrator for a class of models and one of dynamics (None: unknown, refused with the spec)."""
    if dynamics is not None and dynamics.discrete:
        for name in STEPS:
            if name in flags["integrator"]:
                raise UsageError(
                    f"--{name} is not allowed: {dynamics.kind} is discrete in time, there is no step to choose"
                )
    if "kind" in flags["model"] or "kind" in flags["dynamics"]:
        file = still_valid(file, model, dynamics)
    return overridden("integrator", file, flags["integrator"])


def still_valid(table, model, dynamics):
    """What a file says of the integrator, without that of other models and dynamics."""
    family = None if model is None or dynamics is None else family_of(model, dynamics)
    mine = [] if family is None else solvers(family)
    if not mine or table.get("kind") in (cls.kind for cls in mine):
        return table
    others = {name for cls in INTEGRATORS.values() if cls not in mine for name in parameters_of(cls)}
    void = {"kind"} | others - set(parameters_of(mine[0]))
    return {name: value for name, value in table.items() if name not in void}
