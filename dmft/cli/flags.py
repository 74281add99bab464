"""Flags made of parameters: those of the classes that are registered, and those of Python functions.

The flag of a parameter of a class has the dotted name ``table.parameter`` in the namespace (``model.p``,
``model.constraint.strength``), so that ``tables_of`` needs to know no class.
"""

import argparse
import inspect
import types
import typing

from .._plain import Kind
from .common import number, number_list

METAVARS = {number: "X", int: "N", number_list: "X1,X2,...", str: "WORD"}


def coupling(text):
    """'p=g' of --coupling."""
    order, separator, value = text.partition("=")
    try:
        if not separator:
            raise ValueError
        return str(int(order)), float(value)
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


class Entry(argparse.Action):
    """One (key, value) of a mapping; the flag may be repeated."""

    def __call__(self, parser, namespace, values, option_string=None):
        key, value = values
        setattr(namespace, self.dest, {**(getattr(namespace, self.dest) or {}), key: value})


SPECIAL = {  # parameters whose flags have a syntax, or a name, of their own
    "couplings": {
        "flag": "--coupling",
        "more": "; repeat for several orders",
        "type": coupling,
        "action": Entry,
        "metavar": "ORDER=STRENGTH",
    },
    "annealing": {
        "more": ": 3:2.0, 3:exponential:AMPLITUDE:TAU or 3:piecewise:0=10,5=1; repeat for several channels",
        "type": annealing,
        "action": Entry,
        "metavar": "ORDER:SCHEDULE",
    },
    "momentum": {"type": momentum, "metavar": "X"},
}


# --- what a parameter is -----------------------------------------------------------------------


def parameters_of(cls):
    """The parameters of a class by name; none where there is no class."""
    return {} if cls is None else {f.name: f for f in cls.parameters()}


def owners_of(classes):
    """{parameter: {kind: field}} of {kind: class}."""
    owners = {}
    for kind, cls in classes.items():
        for name, parameter in parameters_of(cls).items():
            owners.setdefault(name, {})[kind] = parameter
    return owners


def atoms(annotation):
    """The types that an annotation allows."""
    if isinstance(annotation, str):  # of a module with postponed annotations; of those the simple ones
        known = {"int": int, "float": float, "bool": bool, "str": str, "tuple": tuple}
        return {known[word.strip()] for word in annotation.split("|") if word.strip() in known}
    if isinstance(annotation, types.UnionType) or typing.get_origin(annotation) is typing.Union:
        return set().union(*map(atoms, typing.get_args(annotation)))
    return {typing.get_origin(annotation) or annotation}


def reader_of(annotation):
    """What makes a value of the text after a flag (bool: there is no text); None if nothing can."""
    allowed = atoms(annotation)
    readers = ((bool, bool), (float, number), (int, int), (tuple, number_list), (list, number_list), (str, str))
    return next((reader for kind, reader in readers if kind in allowed), None)


def family_of_value(parameter):
    """The family (constraints, losses) one of which is the value of a parameter; None where it is a number."""
    nested = parameter.metadata.get("nested")
    is_family = isinstance(nested, type) and issubclass(nested, Kind)
    return nested if is_family and float not in atoms(parameter.type) else None


def has_short_form(parameter):
    """Whether its kind stands for one of a family; parameters of the kind may then be beside it (a of a loss)."""
    return str in atoms(parameter.type)


def implied_kind(parameter, names):
    """The kind that is meant where only some parameters of a nested table are given: the default if it has them."""
    kinds = family_of_value(parameter).kinds
    default = getattr(parameter.default, "kind", parameter.default)
    if default in kinds and set(names) <= set(parameters_of(kinds[default])):
        return default
    able = [kind for kind, cls in kinds.items() if kind != default and set(names) & set(parameters_of(cls))]
    meant = parameter.metadata.get("implied")
    return meant if meant in able else next(iter(able), default)


def default_of(function, name):
    """The default value of a parameter of a Python function, or of a dataclass."""
    return inspect.signature(function).parameters[name].default


# --- what the help says of it ------------------------------------------------------------------


def with_default(text, default):
    """A help text with the default value, if there is one to speak of."""
    default = getattr(default, "kind", default)
    if isinstance(default, bool) or not isinstance(default, (int, float, str)):
        return text
    shown = f"{default:g}".replace("e-0", "e-") if isinstance(default, float) else default
    return f"{text}{', ' if text else ''}default {shown}"


def help_of(owners, everyone, more=""):
    """Help of a parameter: what its classes say of it, and which they are unless it is everyone's."""
    said = {}
    for kind, parameter in owners.items():
        default = parameter.metadata.get("unset") if parameter.default is None else parameter.default
        text = "do not " if default is True else ""
        text = with_default(text + parameter.metadata.get("help", "") + more, default)
        said.setdefault(text, []).append(kind)
    if list(said.values()) != [list(everyone)]:
        said = {f"of {', '.join(kinds)}{': ' if text else ''}{text}": kinds for text, kinds in said.items()}
    return "; ".join(said)


def implications(owners, family, others):
    """Which kind of a family the flags of its parameters mean by themselves."""
    texts = []
    for name in owners_of(family.kinds):
        kinds = {model: implied_kind(parameter, {name}) for model, parameter in owners.items()}
        first, *_ = kinds.values()
        if name not in others and first != implied_kind(next(iter(owners.values())), ()):
            differing = "".join(f", of {model} {kind}" for model, kind in kinds.items() if kind != first)
            texts.append(f"; with {flag_of(name)} {first}{differing}")
    return "".join(texts)


# --- flags -------------------------------------------------------------------------------------


def flag_of(name):
    """The flag of a parameter."""
    return SPECIAL.get(name, {}).get("flag", f"--{name.replace('_', '-')}")


def add_flag(group, flag, dest, text, **options):
    """A flag; if the command has another one of this name, with that of its table: ``--model-plot``."""
    options |= {"dest": dest, "help": text.replace("%", "%%")}
    try:
        group.add_argument(flag, **options)
    except argparse.ArgumentError:
        group.add_argument(f"--{dest.partition('.')[0]}-{flag.removeprefix('--')}", **options)


def add_table(group, table, classes, others=()):
    """A flag for every parameter of {kind: class}, except those that ``others`` have too."""
    everything = owners_of(classes)
    for name, owners in everything.items():
        family = next(filter(None, map(family_of_value, owners.values())), None)
        if name in others:
            continue
        if family is None:
            add_parameter(group, f"{table}.{name}", name, owners, classes)
            continue
        of_family = {kind: parameter for kind, parameter in owners.items() if family_of_value(parameter) is family}
        beside = everything if any(map(has_short_form, of_family.values())) else ()
        text = help_of(of_family, classes) + implications(of_family, family, beside)
        add_flag(group, flag_of(name), f"{table}.{name}.kind", text, choices=list(family.kinds))
        add_table(group, f"{table}.{name}", family.kinds, beside)


def add_parameter(group, dest, name, owners, everyone):
    """The flag of a parameter, if the command line can write its values."""
    special = SPECIAL.get(name, {})
    reader = special.get("type") or next(filter(None, (reader_of(p.type) for p in owners.values())), None)
    text = help_of(owners, everyone, special.get("more", ""))
    if reader is bool:
        add_switch(group, flag_of(name), dest, text, next(iter(owners.values())).default is True)
    elif reader is not None:
        options = {k: v for k, v in special.items() if k in ("action", "metavar")}
        add_flag(group, flag_of(name), dest, text, **{"type": reader, "metavar": METAVARS.get(reader), **options})


def add_switch(group, flag, dest, text, default):
    """The flag that makes a parameter what it is not by default."""
    flag = f"--no-{flag.removeprefix('--')}" if default else flag
    add_flag(group, flag, dest, text, action="store_const", const=not default)


def add_argument_of(parser, function, name, text, flag=None, **options):
    """The flag of a parameter of a Python function: its default, and its type where it is annotated."""
    parameter = inspect.signature(function).parameters[name]
    reader = reader_of(parameter.annotation)
    text, flag = with_default(text, parameter.default), flag or flag_of(name)
    if reader is bool:
        add_switch(parser, flag, name, text, parameter.default)
        parser.set_defaults(**{name: parameter.default})
    elif reader is not None or options.keys() & {"type", "choices"}:
        typed = {} if reader is None else {"type": reader, "metavar": METAVARS[reader]}
        add_flag(parser, flag, name, text, **{**typed, "default": parameter.default, **options})


def tables_of(args, names):
    """What the flags say, as tables: flags that were not given are not in them."""
    tables = {name: {} for name in names}
    for dest, value in vars(args).items():
        *path, name = dest.split(".")
        if path and value is not None:
            table = tables
            for step in path:
                table = table.setdefault(step, {})
            table[name] = value
    return tables
