"""Plans of scans: axes, points and their identity."""

import difflib
import hashlib
import json
import math
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from .. import _check
from .._typing import Array
from ..dynamics import DYNAMICS
from ..equations import family_of
from ..files import spec as specs
from ..integrators import INTEGRATORS, solvers
from ..models import CONSTRAINTS, MODELS
from ..starts import STARTS, Overlap
from .points import Kept, canonical, make_point

MAX_POINTS = 1_000_000
TABLES = ("model", "dynamics", "initial", "integrator", "run", "simulation", "scan")
SETTINGS = ("zip", "curves", "observables", "solutions")
CACHED = 4096  # different tables of one kind, up to which each is built only once


@dataclass(frozen=True)
class Axis:
    """Values of one parameter.

    Attributes
    ----------
    path : str
        The parameter, ``"model.delta2"``.
    values : tuple
        Numbers or strings.
    """

    path: str
    values: tuple[Any, ...]

    @property
    def keys(self) -> list[str]:
        """Keys of the nested tables."""
        return self.path.split(".")


def spaced(path, table):
    """Values of a table {start, stop, num, scale}."""
    specs.refuse_unknown(path, table, ("start", "stop", "num", "scale"))
    for name in ("start", "stop", "num"):
        if name not in table:
            raise ValueError(f"{path}: {name} is missing: {{start, stop, num}} or a list of values is needed")
    start, stop = (_check.real(f"{path}: {name}", table[name]) for name in ("start", "stop"))
    num = _check.integer(f"{path}: num", table["num"], low=1, high=MAX_POINTS)
    if _check.choice(f"{path}: scale", table.get("scale", "linear"), ("linear", "log")) == "log":
        for name, end in (("start", start), ("stop", stop)):
            _check.real(f"{path}: {name}", end, above=0)
        values = np.geomspace(start, stop, num)
    else:
        values = np.linspace(start, stop, num)
    whole = all(isinstance(table[name], int) for name in ("start", "stop")) and not np.any(values % 1)
    return values.astype(int).tolist() if whole else values.tolist()


def axis_values(path, given):
    """Values of an axis: a list, an array, or a table {start, stop, num, scale}."""
    if isinstance(given, Mapping):
        values = spaced(path, given)
    elif isinstance(given, (list, tuple)):
        values = given
    else:
        raise TypeError(f"{path} must be a list of values or a table {{start, stop, num}}, got {given!r}")
    if not values:
        raise ValueError(f"{path}: the axis is empty: give at least one value")
    for value in values:
        if isinstance(value, (bool, Mapping, list)) or not isinstance(value, (int, float, str)):
            raise TypeError(f"{path}: {value!r} is not allowed on an axis: give numbers or strings")
        if isinstance(value, float) and math.isnan(value):
            raise ValueError(f"{path}: nan is not allowed on an axis")
    values = tuple(map(specs.number, values))
    if len({isinstance(v, str) for v in values}) > 1:
        raise TypeError(f"{path}: numbers and strings are mixed on one axis")
    return values


def refuse_repeated(group):
    """No two values of an axis, or pairs of zipped axes, may be equal."""
    rows = list(zip(*(axis.values for axis in group), strict=True))
    if len(set(rows)) < len(rows):
        twice = next(row for i, row in enumerate(rows) if row in rows[:i])
        names = ", ".join(axis.path for axis in group)
        raise ValueError(f"scan: {names}: {', '.join(map(repr, twice))} stands twice on the axis")


def flattened(table, prefix=""):
    """Axes of nested tables, ``model.delta2 = [...]`` without quotes: {path: values}."""
    out = {}
    for key, value in table.items():
        path = f"{prefix}{key}"
        if isinstance(value, Mapping) and not {"start", "stop", "num", "scale"} & set(value):
            out.update(flattened(value, f"{path}."))
        else:
            out[path] = value
    return out


def assign(table, keys, value):
    """Set an entry of nested tables, which are copied."""
    table = dict(table)
    if len(keys) == 1:
        table[keys[0]] = value
    else:
        inner = table.get(keys[0], {})
        if not isinstance(inner, Mapping):
            raise ValueError(f"{'.'.join(keys)} is not a parameter: {keys[0]} = {inner!r} has none")
        table[keys[0]] = assign(inner, keys[1:], value)
    return table


def pure(values):
    """Plain data without arrays and numbers of NumPy, and without None."""
    if isinstance(values, (np.ndarray, np.generic)):
        return values.tolist()
    if isinstance(values, Mapping):
        return {key: pure(value) for key, value in values.items() if value is not None}
    return [pure(value) for value in values] if isinstance(values, (list, tuple)) else values


def refuse_functions(where, value):
    """A plan is plain data."""
    if isinstance(value, Mapping):
        if value.get("kind") == "function":
            raise ValueError(f"{where} is a Python object ({value.get('name')}), which a plan cannot hold")
        for key, item in value.items():
            refuse_functions(f"{where}.{key}", item)


def toml(data):
    """A value of plain data as TOML."""
    if isinstance(data, Mapping):
        return "{" + ", ".join(f"{toml_key(k)} = {toml(v)}" for k, v in data.items()) + "}"
    if isinstance(data, (list, tuple)):
        return "[" + ", ".join(map(toml, data)) + "]"
    if isinstance(data, float):
        return repr(data)  # inf is TOML as well
    return json.dumps(data, ensure_ascii=False).replace("\x7f", "\\u007f")


def toml_key(key):
    """A key, quoted where TOML requires it."""
    return key if key.replace("_", "").replace("-", "").isalnum() and key.isascii() else toml(str(key))


def toml_text(tables):
    """A TOML file of tables and lists of tables."""
    lines = []
    for name, table in tables.items():
        for entry in table if isinstance(table, list) else [table]:
            lines.append(f"[[{name}]]" if isinstance(table, list) else f"[{name}]")
            lines += [f"{toml_key(key)} = {toml(value)}" for key, value in entry.items()]
            lines.append("")
    return "\n".join(lines)


class Plan:
    """What a scan computes: tables over a grid of parameters, their points and identities.  It runs nothing.

    Attributes
    ----------
    plan : dict
        The tables of a plan file.
    axes : list of Axis
    shape : tuple of int
        Number of dynamics if there are several, then of each axis or group of zipped axes.
    size : int
        Number of points, at most a million.
    sha256 : str
        Hash of the plan; it does not depend on how the plan is written down.
    """

    plan: dict[str, Any]
    axes: list[Axis]
    shape: tuple[int, ...]
    size: int

    @classmethod
    def read(cls, path: str | Path) -> Self:
        """Read a plan file.

        Raises
        ------
        FileNotFoundError
        TypeError, ValueError
            In one line that names the table and the key.
        """
        try:
            source = Path(path).read_text()
            tables = tomllib.loads(source)
        except FileNotFoundError:
            raise FileNotFoundError(f"plan {path} does not exist") from None
        except IsADirectoryError:
            raise IsADirectoryError(f"{path} is a directory: give the name of a plan file") from None
        except tomllib.TOMLDecodeError as error:
            raise ValueError(f"plan {path}: {error} (text needs quotes)") from None
        except UnicodeDecodeError as error:
            raise ValueError(f"plan {path}: {error}") from None
        scan = cls.of(tables)
        scan.source = source
        return scan

    @classmethod
    def of(cls, tables: Mapping[str, Any]) -> Self:
        """The scan of the tables of a plan file."""
        scan = cls.__new__(cls)
        scan._load(tables)
        return scan

    # --- reading the tables

    def _load(self, tables):
        specs.refuse_unknown("plan", tables, TABLES)
        for name in ("model", "dynamics", "scan"):
            if name not in tables:
                raise ValueError(f"plan: the table [{name}] is missing")
        entries = tables["dynamics"] if isinstance(tables["dynamics"], list) else [tables["dynamics"]]
        tables = {**tables, "dynamics": entries}
        if not entries:
            raise ValueError("plan: the list of dynamics is empty")
        for name in set(tables) - {"dynamics"}:
            _check.instance(name, tables[name], Mapping, "a table")
        for entry in entries:
            _check.instance("dynamics", entry, Mapping, "a table")
            for name in {"run", "integrator"} & set(entry):
                _check.instance(f"dynamics.{name}", entry[name], Mapping, "a table")
            if "events" in entry.get("run", {}):
                raise ValueError("dynamics.run: events are those of [run] for every dynamics")
        refuse_functions("plan", {**tables, "dynamics": dict(enumerate(entries))})
        self.plan = tables
        self.source = None
        self.simulated = "simulation" in tables
        settings = {k: v for k, v in tables["scan"].items() if k in SETTINGS}
        given = flattened({k: v for k, v in tables["scan"].items() if k not in SETTINGS})
        self._check_paths(given)
        self.axes = [Axis(path, axis_values(f"scan: {path}", values)) for path, values in given.items()]
        self._check_integrator()
        self.groups = self._grouped(settings.get("zip"))
        self.labels = self._labels()
        self.kept = self._kept(settings)
        dynamics = [len(self.labels)] if len(self.labels) > 1 else []
        self.shape = (*dynamics, *(len(group[0].values) for group in self.groups))
        self.size = math.prod(self.shape)
        if self.size > MAX_POINTS:
            raise ValueError(f"scan: {self.size} points are too many: at most {MAX_POINTS}")
        self._sections = {}
        self._places = [
            {name: [a for a in group if a.keys[0] == name] for name in TABLES[:-1]} for group in self.groups
        ]

    def _check_paths(self, paths):
        if not paths:
            raise ValueError('scan: there is no axis: write "model.delta2" = {start, stop, num} or the like')
        tables = [name for name in TABLES[:-1] if self.simulated or name != "simulation"]
        for path in paths:
            first, *rest = path.split(".")
            if first == "simulation" and not self.simulated:
                raise ValueError(f"scan: {path!r} needs a table [simulation]")
            if path in specs.RUN_KEYS:
                raise ValueError(f"scan: {path!r} belongs in the table [run]; as an axis it is 'run.{path}'")
            if first not in tables or not rest:
                known = [*SETTINGS, *(f"{t}.{key}" for t, names in parameters(self.plan) for key in names)]
                close = matching(self.plan, path) or difflib.get_close_matches(path, known, 1)
                hint = f" (did you mean {close[0]!r}?)" if close else ""
                raise ValueError(
                    f"scan: {path!r} is not an axis{hint}: write table.parameter with one of "
                    f"{', '.join(tables)}, or one of the settings {', '.join(SETTINGS)}"
                )
            if rest[-1] == "kind":
                raise ValueError(f"scan: {path!r} is not allowed: use several [[dynamics]], or several plans")

    def _check_integrator(self):
        """Something must use the table [integrator] and its axes."""
        table = self._integrator_table()
        users = [entry for entry in self.plan["dynamics"] if not self.simulated and entry.get("kind") != "amp"]
        for entry in self.plan["dynamics"]:
            if entry.get("integrator") and entry not in users:
                raise ValueError(f"dynamics: {entry.get('kind')!r} has no integrator here")
        if table and not users:
            what = "simulations" if self.simulated else "state evolutions"
            raise ValueError(f"integrator: {', '.join(table)} not allowed: {what} have no integrator")
        if len(self.plan["dynamics"]) > 1 and table and not any(self._takes(entry, table) for entry in users):
            raise ValueError(f"integrator: no dynamics of the plan takes {', '.join(table)}")

    def _integrator_table(self):
        """The table [integrator] with the keys of its axes."""
        table = dict.fromkeys(axis.keys[1] for axis in self.axes if axis.keys[0] == "integrator")
        return table | self.plan.get("integrator", {})

    def _takes(self, entry, table):
        """Whether the table [integrator] suits a dynamics."""
        model, dynamics = MODELS.get(self.plan["model"].get("kind")), DYNAMICS.get(entry.get("kind"))
        family = None if model is None or dynamics is None else family_of(model, dynamics)
        if family is None:
            return False
        kinds = [cls.kind for cls in solvers(family)]
        kind = table.get("kind", kinds[0])
        return kind in kinds and set(table) - {"kind"} <= {f.name for f in INTEGRATORS[kind].parameters()}

    def _grouped(self, zipped):
        """Axes by dimension: zipped ones together, at the place of the first."""
        paths = [axis.path for axis in self.axes]
        together = {}
        if not isinstance(zipped, (list, tuple, type(None))) or any(
            not isinstance(g, (list, tuple)) or len(g) < 2 for g in zipped or ()
        ):
            raise TypeError(f"scan: zip must be a list of lists of at least two axes, got {zipped!r}")
        for group in zipped or ():
            for path in group:
                if path not in paths:
                    raise ValueError(f"scan: zip names {path!r}, which is not an axis; axes are {', '.join(paths)}")
                if path in together or group.count(path) > 1:
                    raise ValueError(f"scan: zip names the axis {path!r} twice")
            members = [self.axes[paths.index(path)] for path in group]
            if len({len(axis.values) for axis in members}) > 1:
                lengths = ", ".join(f"{axis.path}: {len(axis.values)}" for axis in members)
                raise ValueError(f"scan: zipped axes must have the same number of values ({lengths})")
            together.update(dict.fromkeys(group, members))
        groups = []
        for axis in self.axes:
            group = together.get(axis.path, [axis])
            if group not in groups:
                refuse_repeated(group)
                groups.append(group)
        return groups

    def _labels(self):
        labels = [entry.get("label", entry.get("kind")) for entry in self.plan["dynamics"]]
        for label in labels:
            _check.instance("dynamics: label", label, str, "a string")
            if labels.count(label) > 1:
                raise ValueError(f"dynamics: {label!r} stands twice: give each a label of its own")
        return labels

    @staticmethod
    def _kept(settings):
        curves = settings.get("curves")
        if isinstance(curves, bool):
            raise TypeError(f"scan: curves must be a list of times or a table {{start, stop, num}}, got {curves}")
        if isinstance(curves, Mapping):
            curves = spaced("scan: curves", curves)
        if curves is not None:
            curves = tuple(_check.times("scan: curves", curves).tolist())
        names = settings.get("observables")
        if names is not None:
            if not isinstance(names, (list, tuple)) or not all(isinstance(name, str) for name in names) or not names:
                raise TypeError(f"scan: observables must be a list of names of scalars, got {names!r}")
            names = tuple(names)
        solutions = _check.instance("scan: solutions", settings.get("solutions", False), bool, "true or false")
        return Kept(curves, names, solutions)

    # --- points

    def _indices(self, i):
        """Number of the dynamics, and the place along each group of axes, of point i."""
        place = []
        for n in reversed([len(group[0].values) for group in self.groups]):
            i, k = divmod(i, n)
            place.append(k)
        return i, place[::-1]

    def parameters(self, i: int) -> dict[str, Any]:
        """Values on the axes at point i: {"dynamics": label, "model.delta2": value, ...}."""
        label, place = self._indices(i)
        values = {"dynamics": self.labels[label]} if len(self.labels) > 1 else {}
        for group, k in zip(self.groups, place, strict=True):
            values.update({axis.path: axis.values[k] for axis in group})
        return values

    def _table(self, name, label, place):
        """A table at a point, with the values of its axes."""
        entry = self.plan["dynamics"][label]
        table = self.plan.get(name, {}) if name != "dynamics" else entry
        if name == "dynamics":
            table = {key: value for key, value in table.items() if key not in ("label", "run", "integrator")}
        elif name == "integrator" and len(self.labels) > 1 and not self._takes(entry, self._integrator_table()):
            return entry.get("integrator", {})  # the table [integrator] is that of another dynamics
        elif name in ("run", "integrator"):
            table = {**table, **entry.get(name, {})}
        for places, k in zip(self._places, place, strict=True):
            for axis in places[name]:
                table = assign(table, axis.keys[1:], axis.values[k])
        if name == "run" and len(self.labels) > 1:
            cls = DYNAMICS.get(entry.get("kind"))
            other = "t_max" if cls is not None and cls.discrete else "steps"
            table = {key: value for key, value in table.items() if key != other}
        return table

    def _section(self, name, label, place, build):
        """What ``build`` makes of a table, kept if there are few different ones."""
        own = tuple(k for places, k in zip(self._places, place, strict=True) if places[name])
        key = (name, label if name in ("dynamics", "run", "integrator") else None, own)
        if key in self._sections:
            return self._sections[key]
        made = build(self._table(name, label, place))
        if len(self._sections) < CACHED:
            self._sections[key] = made
        return made

    def point(self, i: int) -> Any:
        """What is computed at point i, 0 <= i < size."""
        label, place = self._indices(i)
        return make_point(lambda name, build: self._section(name, label, place, build), self.simulated, self.kept)

    def check(self, meter: Any = None) -> tuple[Array, Array]:
        """Check every point.

        Returns
        -------
        seconds, bytes : (size,) float64
            Rough cost of the points, before they are computed.

        Raises
        ------
        TypeError, ValueError
            For the first point that makes no sense, with its parameters.
        """
        seconds, memory = np.empty(self.size), np.empty(self.size)
        known, longest = {}, 0.0
        for i in range(self.size):
            try:
                point = self.point(i)
                seconds[i], memory[i] = point.cost()
            except (TypeError, ValueError, OverflowError) as error:
                raise type(error)(f"point {self.describe(i)}: {error}") from None
            longest = max(longest, point.duration)
            if self.kept.observables is not None:
                known.update(dict.fromkeys(point.names))
            if meter is not None and i % 1000 == 0:
                meter.update(i / self.size, "plan", f"{i} of {self.size} points")
        if self.kept.observables is not None:
            specs.refuse_unknown("scan: observables", self.kept.observables, list(known))
        if self.kept.curves is not None and self.kept.curves[-1] > longest * (1 + 1e-9):
            raise ValueError(f"scan: curves go to {self.kept.curves[-1]:g}, the longest run to {longest:g}")
        return seconds, memory

    def describe(self, i: int) -> str:
        """The parameters of point i in words."""
        return ", ".join(
            f"{path.split('.')[-1]} = {value if isinstance(value, str) else f'{value:.6g}'}"
            for path, value in self.parameters(i).items()
        )

    @cached_property
    def ids(self) -> NDArray[np.bytes_]:
        """Identities of all points, (size,) array of 32 hexadecimal digits as bytes."""
        return np.array([self.point(i).id for i in range(self.size)], dtype="S32")

    # --- the plan as data

    @cached_property
    def described(self) -> dict[str, Any]:
        """The plan with every axis written out, as JSON can hold it."""
        scan = {axis.path: specs.plain(list(axis.values)) for axis in self.axes}
        groups = [[axis.path for axis in group] for group in self.groups if len(group) > 1]
        kept = {"curves": self.kept.curves, "observables": self.kept.observables, "solutions": self.kept.solutions}
        scan |= {"zip": groups} if groups else {}
        scan |= {name: specs.plain(value) for name, value in kept.items() if value}
        return {**{name: specs.plain(table) for name, table in self.plan.items()}, "scan": scan}

    @cached_property
    def sha256(self) -> str:
        """Hash of the first point of every dynamics, the axes and what is kept."""
        count = self.size // len(self.labels)
        first = [self.point(k * count).parameters for k in range(len(self.labels))]
        axes = [(a.path, [v if isinstance(v, str) else float(v) for v in a.values]) for a in self.axes]
        zipped = [[axis.path for axis in group] for group in self.groups]
        return hashlib.sha256(canonical([self.labels, first, axes, zipped]).encode()).hexdigest()

    def text(self) -> str:
        """The plan as a TOML file: the file that was read, or one that says the same."""
        return toml_text(self.plan) if self.source is None else self.source

    def coordinates(self) -> dict[str, dict[str, tuple[Any, ...]]]:
        """Dimensions of the result: {dimension: {name: values}}, the first of each names it."""
        paths = [axis.path for axis in self.axes]
        last = [axis.keys[-1] for axis in self.axes]
        taken = {"dynamics", "t", "event", "status", "message", "id", "seconds", "t_final"}
        short = {
            path: key if last.count(key) == 1 and key not in taken else path.replace(".", "_")
            for path, key in zip(paths, last, strict=True)
        }
        out = {"dynamics": {"dynamics": tuple(self.labels)}} if len(self.labels) > 1 else {}
        for group in self.groups:
            out[short[group[0].path]] = {short[axis.path]: axis.values for axis in group}
        return out

    def __repr__(self) -> str:
        axes = ", ".join(f"{axis.path}: {len(axis.values)}" for axis in self.axes)
        return f"<Scan of {self.size} points: {axes}; {', '.join(self.labels)}>"


def plain_table(name, thing, classes):
    """Plain data of a model, a dynamics or an integrator."""
    _check.instance(name, thing, tuple(classes.values()), f"one of {', '.join(c.__name__ for c in classes.values())}")
    return specs.plain(thing)


def labelled(dynamics):
    """Tables of one dynamics, a list, or {label: dynamics}."""
    if isinstance(dynamics, Mapping):
        return [{**plain_table("dynamics", d, DYNAMICS), "label": str(label)} for label, d in dynamics.items()]
    several = dynamics if isinstance(dynamics, (list, tuple)) else [dynamics]
    return [plain_table("dynamics", d, DYNAMICS) for d in several]


def matching(plan, name):
    """Full names of the parameters of a plan that end in ``name``."""
    full = [f"{table}.{key}" for table, names in parameters(plan) for key in names]
    return [path for path in full if path.endswith(f".{name}")]


def parameters(plan):
    """Names of the parameters of the tables of a plan: list of (table, names)."""
    model = plan["model"]
    out = [("model", [f.name for f in MODELS[model["kind"]].parameters()])] if model.get("kind") in MODELS else []
    constraint = model.get("constraint", {})
    if isinstance(constraint, Mapping) and constraint.get("kind") in CONSTRAINTS:
        out.append(("model.constraint", [f.name for f in CONSTRAINTS[constraint["kind"]].parameters()]))
    kinds = [entry.get("kind") for entry in plan["dynamics"]]
    out.append(
        ("dynamics", sorted({f.name for kind in kinds if kind in DYNAMICS for f in DYNAMICS[kind].parameters()}))
    )
    out += [("initial", [f.name for f in _start_class(plan).parameters()]), ("run", ["t_max", "steps"])]
    kind = plan.get("integrator", {}).get("kind")
    if kind in INTEGRATORS:
        out.append(("integrator", [f.name for f in INTEGRATORS[kind].parameters()]))
    if "simulation" in plan:
        from .points import simulation_names

        out.append(("simulation", simulation_names()))
    return out


def _start_class(plan):
    """The class of the start of a plan."""
    return STARTS.get(plan.get("initial", {}).get("kind"), Overlap)
