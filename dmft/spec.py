"""Runs as plain data: the tables of a TOML file, the JSON stored in every result file.

A spec has the tables ``model``, ``dynamics``, ``initial``, ``integrator`` and ``run``; every key
is the name of the Python argument, and ``kind`` names the class.
"""

import difflib
import math
from collections.abc import Mapping
from dataclasses import MISSING, dataclass, fields, is_dataclass, replace

from .dynamics import DYNAMICS, SCHEDULES, Annealing
from .events import Crossing
from .integrators import INTEGRATORS
from .models import CONSTRAINTS, MODELS, PhaseRetrieval

TABLES = ("model", "dynamics", "initial", "integrator", "run")
RUN_KEYS = ("t_max", "steps", "save_at", "events")


@dataclass(frozen=True)
class UnavailableSchedule:
    """Stands for a user's function that a file can name but not contain."""

    name: str

    def __call__(self, t):
        raise ValueError(
            f"the schedule {self.name} was a Python function and is not in the file: "
            "pass dynamics= with the same function"
        )


@dataclass(frozen=True)
class UnavailableLoss:
    """Stands for a user's loss that a file can name but not contain."""

    name: str

    def value(self, h, y):
        raise ValueError(
            f"the loss {self.name} was a Python object and is not in the file: pass model= with the same loss"
        )

    first = second = value


def plain(value):
    """A number, string, list or mapping that JSON and TOML can hold."""
    if isinstance(value, float) and not math.isfinite(value):
        return str(value)
    if isinstance(value, Annealing):
        return {str(k): plain(f) for k, f in value.temperatures.items()}
    if isinstance(value, PhaseRetrieval) and not isinstance(value.loss, str):
        return {**plain(replace(value, loss="square")), "loss": _named(value.loss)}
    if is_dataclass(value) and not isinstance(value, UnavailableSchedule):
        data = {f.name: plain(getattr(value, f.name)) for f in fields(value)}
        data = {k: v for k, v in data.items() if v is not None}
        return {"kind": value.kind, **data} if hasattr(value, "kind") else data
    if isinstance(value, Mapping):
        return {str(k): plain(v) for k, v in value.items()}
    if isinstance(value, (list, tuple)):
        return [plain(v) for v in value]
    if callable(value):
        return _named(value)
    return value


def _named(thing):
    """The name of a Python object that plain data cannot hold."""
    named = thing if hasattr(thing, "__qualname__") else type(thing)
    name = getattr(thing, "name", None) or f"{named.__module__}.{named.__qualname__}"
    return {"kind": "function", "name": name}


def describe(model, dynamics, m0, integrator, t_max, steps, save_at, events):
    """The spec of a run."""
    run = {"t_max": t_max} if steps is None else {"steps": steps}
    if save_at is not None:
        run["save_at"] = plain(list(map(float, save_at)))
    if events:
        run["events"] = [plain(e) for e in events]
    return {
        "model": plain(model),
        "dynamics": plain(dynamics),
        "initial": {"m0": m0},
        "integrator": plain(integrator),
        "run": run,
    }


def describe_simulation(model, dynamics, m0, **settings):
    """The spec of a finite-N simulation."""
    return {
        "model": plain(model),
        "dynamics": plain(dynamics),
        "initial": {"m0": m0},
        "simulation": {name: value for name, value in settings.items() if value is not None},
    }


def simulation_arguments(spec):
    """Keyword arguments of ``simulate`` from a spec."""
    refuse_unknown("spec", _table("spec", spec), ("model", "dynamics", "initial", "simulation"))
    return {
        "model": model_from(spec["model"]),
        "dynamics": dynamics_from(spec["dynamics"]),
        **spec.get("initial", {}),
        **spec["simulation"],
    }


def refuse_unknown(where, given, allowed):
    """Every key of ``given`` must be allowed."""
    for key in given:
        if key not in allowed:
            close = difflib.get_close_matches(str(key), list(allowed), 1)
            hint = f" (did you mean {close[0]!r}?)" if close else ""
            raise ValueError(f"{where}: unknown key {key!r}{hint}; allowed: {', '.join(allowed) or 'none'}")


def _table(where, value):
    if not isinstance(value, Mapping):
        raise TypeError(f"{where} must be a table (mapping), got {value!r}")
    return value


def number(value):
    """Strings 'inf', '-inf', 'nan' of JSON back to floats."""
    return float(value) if isinstance(value, str) and value in ("inf", "-inf", "nan") else value


def _build(where, table, classes):
    table = dict(_table(where, table))
    if "kind" not in table:
        raise ValueError(f"{where}.kind is missing: choose one of {', '.join(classes)}")
    kind = table.pop("kind")
    if not isinstance(kind, str) or kind not in classes:
        close = difflib.get_close_matches(str(kind).lower(), list(classes), 1)
        hint = f" (did you mean {close[0]!r}?)" if close else ""
        raise ValueError(f"{where}.kind = {kind!r} is not allowed{hint}: choose one of {', '.join(classes)}")
    cls = classes[kind]
    names = [f.name for f in fields(cls)]
    refuse_unknown(where, table, names)
    table = {k: number(v) for k, v in table.items()}
    if "couplings" in table:
        table["couplings"] = {
            _order(f"{where}.couplings", k): number(v)
            for k, v in _table(f"{where}.couplings", table["couplings"]).items()
        }
    if "annealing" in table:
        table["annealing"] = _annealing(f"{where}.annealing", table["annealing"])
    if "constraint" in table:
        table["constraint"] = _build(f"{where}.constraint", table["constraint"], CONSTRAINTS)
    if isinstance(table.get("loss"), Mapping):
        table["loss"] = UnavailableLoss(str(table["loss"].get("name")))
    for name in ("learning_rate", "momentum"):
        if isinstance(table.get(name), Mapping):
            table[name] = _schedule(f"{where}.{name}", table[name])
    for name in ("times", "values"):
        if isinstance(table.get(name), list):
            table[name] = tuple(table[name])
    try:
        return cls(**table)
    except TypeError as error:
        if "missing" in str(error):
            missing = [f.name for f in fields(cls) if f.name not in table and f.default is MISSING]
            raise ValueError(f"{where}: {', '.join(missing)} must be given for kind {kind!r}") from None
        raise TypeError(f"{where}: {error}") from None
    except ValueError as error:
        raise ValueError(f"{where}: {error}") from None


def _order(where, key):
    try:
        return int(key)
    except (TypeError, ValueError):
        raise ValueError(f"{where}: key {key!r} must be the order of a channel, an integer") from None


def _annealing(where, table):
    out = {}
    for key, value in _table(where, table).items():
        out[_order(where, key)] = _schedule(f"{where}.{key}", value) if isinstance(value, Mapping) else value
    return Annealing(out)


def _schedule(where, table):
    """Schedule of a table; one that was a Python function is only named."""
    if table.get("kind") == "function":
        return UnavailableSchedule(str(table.get("name")))
    # the first files call the values of a piecewise schedule temperatures
    return _build(where, {"values" if k == "temperatures" else k: v for k, v in table.items()}, SCHEDULES)


def model_from(table):
    """Model of a ``model`` table."""
    return _build("model", table, MODELS)


def dynamics_from(table):
    """Dynamics of a ``dynamics`` table."""
    return _build("dynamics", table, DYNAMICS)


def integrator_from(table, model, dynamics):
    """Integrator of an ``integrator`` table (kind may be left out); None if the table is empty."""
    if not table:
        return None
    return _build("integrator", {"kind": integrator_kinds(model, dynamics)[0], **table}, INTEGRATORS)


def integrator_kinds(model, dynamics):
    """Kinds of the integrators of the equations of a model and a dynamics, the default first."""
    if model.kind == PhaseRetrieval.kind:
        return ("sampled-paths",)
    return ("exact-recursion",) if dynamics.discrete else ("uniform-grid", "log-time")


def initial_arguments(table):
    """Keyword arguments of an ``initial`` table."""
    refuse_unknown("initial", _table("initial", table), ("m0",))
    return {"m0": table.get("m0", 0.0)}


def run_arguments(table):
    """Keyword arguments of a ``run`` table."""
    refuse_unknown("run", _table("run", table), RUN_KEYS)
    events = None if "events" not in table else events_from(table["events"])
    return {"t_max": table.get("t_max"), "steps": table.get("steps"), "save_at": table.get("save_at"), "events": events}


def events_from(tables):
    """Events of a list of tables."""
    if not isinstance(tables, list):
        raise TypeError(f"run.events must be a list of tables, got {tables!r}")
    out = []
    for table in tables:
        refuse_unknown("run.events", _table("run.events", table), [f.name for f in fields(Crossing)])
        for name in ("name", "level"):
            if name not in table:
                raise ValueError(f"run.events: {name} must be given")
        out.append(Crossing(**table))
    return out


def arguments(spec):
    """Keyword arguments of ``solve`` from a spec."""
    refuse_unknown("spec", _table("spec", spec), TABLES)
    for name in ("model", "dynamics", "run"):
        if name not in spec:
            raise ValueError(f"spec: the table [{name}] is missing")
    initial, run = initial_arguments(spec.get("initial", {})), run_arguments(spec["run"])
    model, dynamics = model_from(spec["model"]), dynamics_from(spec["dynamics"])
    integrator = integrator_from(_table("integrator", spec.get("integrator", {})), model, dynamics)
    return {"model": model, "dynamics": dynamics, "integrator": integrator, **initial, **run}
