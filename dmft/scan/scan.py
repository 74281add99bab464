"""Scan: a plan that can be run."""

import math
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from .. import _check
from .._plain import plain, refuse_unknown
from ..dynamics import Dynamics
from ..integrators import INTEGRATORS, Integrator
from ..models import MODELS, Model
from ..solution import Crossing
from ..starts import Start, start_of
from .execution import ScanStatus, run
from .plan import TABLES, Plan, labelled, matching, parameters, plain_table, pure


class Scan(Plan):
    """A plan: one model and one or several dynamics over a grid of parameters.

    Every point is a call of ``solve``; of ``dmft.amp.state_evolution`` for ``AMP``; of ``simulate`` with
    ``simulation=``.

    Parameters
    ----------
    model
        Parameters on an axis are replaced.
    dynamics
        One, a list, or ``{label: dynamics}``; several make a dimension ``dynamics`` of the result.
    over : dict
        Axes: ``{"delta2": values}`` with a list, an array or ``{"start", "stop", "num", "scale"}``, scale
        "linear" (default) or "log".  Any parameter of model, constraint, dynamics, integrator, simulation, and
        m0, t_max, steps; ``"model.noise"`` or ``"integrator.rtol"`` where the name alone is ambiguous.
    zip : list of lists of str, optional
        Axes that advance together; otherwise axes form a product.
    t_max, steps, m0, start, integrator, save_at, events
        As in ``solve``.  With several dynamics both t_max and steps may be given; each takes its own.
    simulation : dict, optional
        Makes every point a finite-N simulation: ``N`` and further arguments of ``simulate``.
    curves : array_like or dict, optional
        Times (iterations) at which the scalars are kept as curves.
    observables : list of str, optional
        Which scalars are kept; all by default.
    solutions : bool
        Keep every full solution in a file of its own, with C and R on the rows of ``save_at``.

    Attributes
    ----------
    plan : dict
        The same as plain data, the tables of a plan file.
    axes : list of Axis
    shape : tuple of int
        Number of dynamics if there are several, then of each axis or group of zipped axes.
    size : int
        Number of points, at most a million.
    sha256 : str
        Hash of the plan; it does not depend on how the plan is written down.

    Raises
    ------
    TypeError, ValueError
        In one line, for what makes no sense; single points are checked by ``check``.

    Examples
    --------
    >>> import dmft, tempfile
    >>> model = dmft.SpikedMatrixTensor(p=3, delta2=0.5, deltap=1.0)
    >>> scan = dmft.Scan(model, dmft.GradientFlow(), over={"delta2": [0.1, 0.2], "m0": [1e-3, 1e-2]}, t_max=2.0)
    >>> scan.shape
    (2, 2)
    >>> directory = tempfile.mkdtemp()
    >>> scan.run(directory, workers=1)
    <ScanStatus of 4 points: 4 finished>
    >>> dmft.gather(directory).m_final.sel(m0=1e-2).round(4).values.tolist()
    [0.9531, 0.7776]
    """

    def __init__(
        self,
        model: Model,
        dynamics: Dynamics | Sequence[Dynamics] | Mapping[str, Dynamics],
        over: Mapping[str, Any],
        *,
        zip: Sequence[Sequence[str]] | None = None,
        t_max: float | None = None,
        steps: int | None = None,
        m0: float = 0.0,
        start: Start | None = None,
        integrator: Integrator | None = None,
        save_at: Any = None,
        events: Crossing | Sequence[Crossing] | None = None,
        simulation: Mapping[str, Any] | None = None,
        curves: Any = None,
        observables: Sequence[str] | None = None,
        solutions: bool = False,
    ) -> None:
        _check.instance("over", over, Mapping, "a mapping of parameters to their values")
        run = {"t_max": t_max, "steps": steps, "save_at": save_at, "events": events}
        run["save_at"] = None if save_at is None else np.asarray(save_at).tolist()
        run["events"] = None if events is None else list(events) if isinstance(events, (list, tuple)) else [events]
        plan = {
            "model": plain_table("model", model, MODELS),
            "dynamics": labelled(dynamics),
            "initial": {"m0": m0} if start is None else plain(start_of(m0, start)),
            "integrator": {} if integrator is None else plain_table("integrator", integrator, INTEGRATORS),
            "run": {key: plain(value) for key, value in run.items()},
        }
        if simulation is not None:
            plan["simulation"] = dict(_check.instance("simulation", simulation, Mapping, "a dict with N, ..."))
        scan = {self._path(plan, name): values for name, values in over.items()}
        scan |= {"curves": curves, "observables": observables, "solutions": solutions or None}
        if zip is not None:
            scan["zip"] = [[self._path(plan, name) for name in group] for group in zip]
        self._load(pure({**plan, "scan": scan}))

    @staticmethod
    def _path(plan, name):
        """The full name of a parameter."""
        _check.instance("over", name, str, "named by strings")
        if name.split(".")[0] in TABLES:
            return name
        found = matching(plan, name)
        if len(found) == 1:
            return found[0]
        if found:
            raise ValueError(f"over: {name!r} is not clear: write one of {', '.join(map(repr, found))}")
        every = [key for _, names in parameters(plan) for key in names]
        refuse_unknown("over", [name], every)

    def run(
        self,
        directory: str | Path,
        *,
        workers: int | None = None,
        executor: Any = None,
        tasks: int | None = None,
        task: int | None = None,
        of: int | None = None,
        time_limit: float = math.inf,
        every: float = 300.0,
        retry: bool = False,
        update: bool = False,
        progress: bool | Callable[[float, str], None] | None = None,
    ) -> ScanStatus:
        """Compute the points that are not finished, longest first.

        Ctrl-C, SIGTERM, SIGUSR1 and the time limit stop it (see ``ScanStatus.stopped``); points that are being
        solved write checkpoints, and the same call continues.  A point uses one thread of BLAS, and a process
        computes one point at a time.

        Parameters
        ----------
        directory : str or Path
            Made if it does not exist.
        workers : int, optional
            Worker processes; default: the cores this process may use, or 1 with ``task``.  1: no other process.
        executor : optional
            Anything with ``submit(f, *args).result()``, in place of workers; it must see the same directory.
        tasks : int, optional
            With ``executor``: this many submissions, a share of the points each, instead of one per point.
        task, of : int, optional
            Compute only share number ``task`` (from 0) of ``of``.
        time_limit : float
            Seconds after which it stops.
        every : float
            Seconds between checkpoints of a point.
        retry : bool
            Compute the failed points again.
        update : bool
            Accept a plan other than that of the directory; finished points that it shares are kept.
        progress : None, bool or callable
            As in ``solve``.

        Returns
        -------
        ScanStatus

        Raises
        ------
        TypeError, ValueError
            For a plan or arguments that make no sense, before anything is written.
        MemoryError
            If as many points as there are workers do not fit.
        OSError
            If files cannot be written; what is finished is safe.
        ScanError
            If worker processes do not start, or the plan is replaced meanwhile.
        """
        options: dict[str, Any] = {"tasks": tasks, "task": task, "of": of, "time_limit": time_limit, "every": every}
        options |= {"workers": workers, "executor": executor, "retry": retry, "update": update, "progress": progress}
        return run(self, directory, **options)
