"""Plain data: objects that tables of numbers, strings, lists and mappings name by their ``kind``.

Models, constraints, losses, dynamics, schedules, starts and integrators are families of frozen dataclasses.  A class
with a ``kind`` is known to its family as soon as it is defined: a user's own class is then found by specs, files,
scans and the command line as the built-in ones are.

What a field of such a class says of itself beside type and default, in its ``metadata``:

help : str
    One line for the command line; of True or False what True does: "write all paths to the file".
symbol : str
    For figures, in TeX; without one they say the name.
unset : value
    What the default None stands for, if that is always the same.
nested : family
    Its value may be a table: of one of this family, or whatever ``nested.of_table(where, table)`` reads.  Where a
    field does not say, the mapping ``nested`` of its class does.
implied : str
    With ``nested``: the kind that is meant where only a parameter is given that several kinds have; by default the
    first of them.
keys : callable
    Makes the keys of a mapping of the strings in a file: ``int``.
later : bool
    The field came after the first files: plain data leave it out where it has its default, so that what was
    written before, and its hash, stay as they are.
"""

import difflib
import math
import numbers
from collections.abc import Mapping
from dataclasses import MISSING, Field, fields, is_dataclass
from typing import Any, ClassVar, Self

import numpy as np

from .errors import Argument, ArgumentValueError

OWN = " (a kind of your own must be defined or imported before)"
DATA = (str, numbers.Number, np.generic, np.ndarray, type(None))


def about(text: str, **more: Any) -> dict[str, Any]:
    """The metadata of a field."""
    return {"help": text, **more}


class Kind:
    """Common part of the families; a direct subclass is a family, with a register ``kinds`` of its own."""

    kinds: ClassVar[dict[str, type[Any]]]
    kind: ClassVar[str]
    label: ClassVar[str] = ""  # in words, for titles
    nested: ClassVar[Mapping[str, Any]] = {}  # parameters whose value may be a table, with the family that reads it

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        if Kind in cls.__bases__:
            cls.kinds = {}
        elif "kind" in vars(cls):
            known = cls.kinds.get(cls.kind)
            if known is not None and is_ours(known) and not is_ours(cls):
                raise TypeError(
                    f"kind = {cls.kind!r} of {cls.__name__} is taken by dmft.{known.__name__}: choose another"
                )
            cls.kinds[cls.kind] = cls
            if "label" not in vars(cls):
                cls.label = cls.kind.replace("-", " ")

    @classmethod
    def parameters(cls) -> tuple[Field[Any], ...]:
        """The fields, none where a class is no dataclass."""
        return fields(cls) if is_dataclass(cls) else ()

    @classmethod
    def of_table(cls, where: str, table: Any) -> Self:
        """One of the family, from a table."""
        return build(where, table, cls.kinds)

    def __repr__(self) -> str:
        """As pasted back; parameters that have their default value are not written."""
        shown = [f for f in self.parameters() if f.default is MISSING or getattr(self, f.name) != f.default]
        return f"{type(self).__name__}({', '.join(f'{f.name}={getattr(self, f.name)!r}' for f in shown)})"


def is_ours(cls: type) -> bool:
    """Whether a class belongs to the package."""
    return cls.__module__.split(".")[0] == __package__


class FixedDict(dict):
    """A dict that cannot be changed, so that it may be a parameter of a frozen object."""

    def _refuse(self, *args, **kwargs):
        raise TypeError("the parameters of a frozen object cannot be changed: make a new one")

    __setitem__ = __delitem__ = __ior__ = clear = pop = popitem = setdefault = update = _refuse

    def __hash__(self):  # type: ignore[override]  # a dict has none
        return hash(frozenset(self.items()))  # equal dicts may have their keys in another order

    def __reduce__(self):
        return type(self), (dict(self),)


def plain(value):
    """A number, string, list or mapping that JSON and TOML can hold."""
    if isinstance(value, float) and not math.isfinite(value):
        return str(value)
    if callable(getattr(value, "table", None)):
        return plain(value.table())
    if isinstance(value, Kind) and hasattr(value, "kind"):
        given = [f for f in value.parameters() if not _left_out(f, getattr(value, f.name))]
        data = {f.name: plain(getattr(value, f.name)) for f in given}
        return {"kind": value.kind, **{k: v for k, v in data.items() if v is not None}}
    if isinstance(value, Mapping):
        return {str(k): plain(v) for k, v in value.items()}
    if isinstance(value, (list, tuple)):
        return [plain(v) for v in value]
    if callable(value) or not isinstance(value, DATA):
        return named(value)
    return value


def _left_out(parameter, value):
    return parameter.metadata.get("later", False) and value == parameter.default


def named(thing):
    """The name of a Python object that plain data cannot hold."""
    known = thing if hasattr(thing, "__qualname__") else type(thing)
    name = getattr(thing, "name", None) or f"{known.__module__}.{known.__qualname__}"
    return {"kind": "function", "name": name}


def number(value):
    """Strings 'inf', '-inf', 'nan' of JSON back to floats."""
    return float(value) if isinstance(value, str) and value in ("inf", "-inf", "nan") else value


def refuse_unknown(where, given, allowed):
    """Every key of ``given`` must be allowed."""
    for key in given:
        if key not in allowed:
            raise ArgumentValueError(
                Argument(where), f": unknown key {key!r}{meant(key, allowed)}; allowed: {', '.join(allowed) or 'none'}"
            )


def meant(word, allowed):
    """What a misspelt word may have been."""
    close = difflib.get_close_matches(str(word), list(allowed), 1)
    return f" (did you mean {close[0]!r}?)" if close else ""


def table_of(where, value):
    """A table, refused if it is none."""
    if not isinstance(value, Mapping):
        raise TypeError(f"{where} must be a table (mapping), got {value!r}")
    return value


def build(where, table, classes):
    """The object of a table whose ``kind`` names one of the classes."""
    table = dict(table_of(where, table))
    if "kind" not in table:
        raise ValueError(f"{where}.kind is missing: choose one of {', '.join(classes)}")
    kind = table.pop("kind")
    if kind == "function":
        name = table.get("name")
        raise ValueError(f"{where} is a Python object ({name}) that plain data only name: give its class a kind")
    if not isinstance(kind, str) or kind not in classes:
        hint = meant(str(kind).lower(), classes)
        raise ValueError(f"{where}.kind = {kind!r} is not allowed{hint}: choose one of {', '.join(classes)}{OWN}")
    cls = classes[kind]
    parameters = {f.name: f for f in cls.parameters()}
    refuse_unknown(where, table, parameters)
    arguments = {name: _argument(f"{where}.{name}", value, cls, parameters[name]) for name, value in table.items()}
    try:
        return cls(**arguments)
    except TypeError as error:
        if "missing" in str(error):
            required = [name for name, f in parameters.items() if f.default is MISSING and f.default_factory is MISSING]
            missing = ", ".join(name for name in required if name not in table)
            raise ValueError(f"{where}: {missing} must be given for kind {kind!r}") from None
        raise TypeError(f"{where}: {error}") from None
    except ValueError as error:
        raise ValueError(f"{where}: {error}") from None


def _argument(where, value, cls, parameter):
    """The value of a parameter, from plain data."""
    nested = parameter.metadata.get("nested", cls.nested.get(parameter.name))
    keys = parameter.metadata.get("keys")
    if keys is not None:
        return {_key(where, key, keys): number(x) for key, x in table_of(where, value).items()}
    if nested is not None and isinstance(value, Mapping):
        return nested.of_table(where, value)
    return tuple(value) if isinstance(value, list) else number(value)


def _key(where, key, convert):
    try:
        return convert(key)
    except (TypeError, ValueError):
        raise ValueError(f"{where}: key {key!r} must be the order of a channel, an integer") from None
