"""Runs as plain data: the tables of a TOML file, the JSON stored in every result file.

A spec has the tables ``model``, ``dynamics``, ``initial``, ``integrator`` and ``run``; every key
is the name of the Python argument, and ``kind`` names the class.
"""

from collections.abc import Mapping
from dataclasses import fields
from typing import Any

from .._plain import build, number, plain, refuse_unknown, table_of
from ..dynamics import DYNAMICS
from ..equations import family_of
from ..integrators import INTEGRATORS, solvers
from ..models import MODELS
from ..solution import Crossing
from ..starts import STARTS, Overlap, Start

TABLES = ("model", "dynamics", "initial", "integrator", "run")
RUN_KEYS = ("t_max", "steps", "save_at", "events")


def describe(model, dynamics, start, integrator, t_max, steps, save_at=None, events=()):
    """The spec of a run."""
    run = {"t_max": t_max} if steps is None else {"steps": steps}
    if save_at is not None:
        run["save_at"] = plain(list(map(float, save_at)))
    if events:
        run["events"] = [plain(e) for e in events]
    return {
        "model": plain(model),
        "dynamics": plain(dynamics),
        "initial": plain(start),
        "integrator": plain(integrator),
        "run": run,
    }


def describe_simulation(model, dynamics, start, **settings):
    """The spec of a finite-N simulation."""
    return {
        "model": plain(model),
        "dynamics": plain(dynamics),
        "initial": plain(start),
        "simulation": {name: value for name, value in settings.items() if value is not None},
    }


def simulation_arguments(spec):
    """Keyword arguments of ``simulate`` from a spec."""
    refuse_unknown("spec", table_of("spec", spec), ("model", "dynamics", "initial", "simulation"))
    return {
        "model": model_from(spec["model"]),
        "dynamics": dynamics_from(spec["dynamics"]),
        "start": start_from(spec.get("initial", {})),
        **spec["simulation"],
    }


def model_from(table):
    """Model of a ``model`` table."""
    return build("model", table, MODELS)


def dynamics_from(table):
    """Dynamics of a ``dynamics`` table."""
    return build("dynamics", table, DYNAMICS)


def start_from(table) -> Start:
    """Start of an ``initial`` table: an overlap m0, or another kind."""
    table = dict(table_of("initial", table))
    return build("initial", {"kind": Overlap.kind, **table}, STARTS)


def integrator_from(table, model, dynamics):
    """Integrator of an ``integrator`` table (kind may be left out); None if the table is empty."""
    if not table:
        return None
    family = family_of(type(model), type(dynamics))
    default = {} if family is None else {"kind": solvers(family)[0].kind}
    return build("integrator", {**default, **table}, INTEGRATORS)


def run_arguments(table):
    """Keyword arguments of a ``run`` table."""
    refuse_unknown("run", table_of("run", table), RUN_KEYS)
    events = None if "events" not in table else events_from(table["events"])
    return {"t_max": table.get("t_max"), "steps": table.get("steps"), "save_at": table.get("save_at"), "events": events}


def events_from(tables):
    """Events of a list of tables."""
    if not isinstance(tables, list):
        raise TypeError(f"run.events must be a list of tables, got {tables!r}")
    out = []
    for table in tables:
        refuse_unknown("run.events", table_of("run.events", table), [f.name for f in fields(Crossing)])
        for name in ("name", "level"):
            if name not in table:
                raise ValueError(f"run.events: {name} must be given")
        out.append(Crossing(**table))
    return out


def arguments(spec: Mapping[str, Any]) -> dict[str, Any]:
    """Keyword arguments of ``solve`` from a spec."""
    refuse_unknown("spec", table_of("spec", spec), TABLES)
    for name in ("model", "dynamics", "run"):
        if name not in spec:
            raise ValueError(f"spec: the table [{name}] is missing")
    start, run = start_from(spec.get("initial", {})), run_arguments(spec["run"])
    model, dynamics = model_from(spec["model"]), dynamics_from(spec["dynamics"])
    integrator = integrator_from(table_of("integrator", spec.get("integrator", {})), model, dynamics)
    return {"model": model, "dynamics": dynamics, "start": start, "integrator": integrator, **run}


__all__ = [
    "RUN_KEYS",
    "TABLES",
    "arguments",
    "describe",
    "describe_simulation",
    "dynamics_from",
    "events_from",
    "integrator_from",
    "model_from",
    "number",
    "plain",
    "refuse_unknown",
    "run_arguments",
    "simulation_arguments",
    "start_from",
]
