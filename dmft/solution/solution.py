"""Solution: what came out of a run."""

from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, overload

import numpy as np
from numpy.typing import ArrayLike

from .. import _check
from .._typing import Array, Number
from ..files import runs
from .events import Occurrence, find_crossings
from .interpolation import PANEL, local_polynomial
from .law import KeptPaths, Law
from .two_time import TwoTime, TwoTimeFunction, linear

if TYPE_CHECKING:
    import xarray


@dataclass
class Solution:
    """Result of ``solve``, ``simulate`` or ``load``.

    Attributes
    ----------
    t : (n,) float64
        Time grid.
    scalars : dict of str to (n,) float64
        Every per-step observable by name; ``m``, ``mu``, ``energy`` and ``energies`` are
        short cuts.
    C, R : TwoTime or alike (``TwoTimeFunction``), or None
        Correlation C(t, t') and response R(t, t') to a force (equilibrium of continuous dynamics:
        R = (1/T) dC/dt').  For discrete dynamics R(t, t') is the response to the force of step t',
        learning rate included: sums replace integrals.
    stderr : dict of str to array
        Statistical standard errors, where samples or paths are involved; those of C and R as
        lower-triangular arrays on the stored rows.
    stats : dict
        Steps, seconds, bytes, integrator, versions; ``stats["error"]`` holds the estimated
        errors, relative for m, absolute for everything else, largest over the run (None where
        there is no estimate, and for discrete dynamics, which are exact up to rounding);
        ``stats["time_shift"]`` is the error of m as a shift of time where
        m changes fastest.
    status : str
        "finished", "event", "interrupted" or "failed".
    message : str
        The status in words.
    events : list of Occurrence
    paths : list of KeptPaths or None
        Of every scramble, with ``SampledPaths(keep_paths=True)``; see ``laws``.
    model, dynamics, integrator
        What was solved; ``spec`` is the same as plain data.
    """

    t: Array
    scalars: dict[str, Array]
    C: TwoTimeFunction | None
    R: TwoTimeFunction | None
    model: Any
    dynamics: Any
    integrator: Any
    spec: dict[str, Any]
    status: str = "finished"
    message: str = ""
    stats: dict[str, Any] = field(default_factory=dict)
    stderr: dict[str, Array] = field(default_factory=dict)
    events: list[Occurrence] = field(default_factory=list)
    paths: list[KeptPaths] | None = None

    @property
    def m(self) -> Array:
        """Overlap with the signal, (n,)."""
        return self.scalars["m"]

    @property
    def mu(self) -> Array:
        """Lagrange multiplier, (n,); strength (|x|^2/N - 1) on the soft sphere."""
        return self.scalars["mu"]

    @property
    def energy(self) -> Array:
        """Energy per N, (n,)."""
        return self.scalars["energy"]

    @property
    def energies(self) -> dict[int, Array]:
        """Energy per N of each channel, ``{order: (n,)}``."""
        return {
            int(name[7:]): values
            for name, values in self.scalars.items()
            if name.startswith("energy_") and name[7:].isdigit()
        }

    @property
    def converged(self) -> bool:
        """Whether the run reached its end or a terminal event."""
        return self.status in ("finished", "event")

    def __repr__(self) -> str:
        end = f"t = {self.t[-1]:g}" if len(self.t) else "nothing"
        return f"<Solution {self.status} at {end}: {self.model!r}, {self.dynamics!r}, {len(self.t)} times>"

    def _interpolated(self, values: Array, times: Array) -> Array:
        """A scalar at an array of times: on lines between iterations and records, else as the integrator does."""
        if self.integrator is None:  # records of a simulation, iterates, or the panels of a grid
            straight = self.dynamics.discrete or "N" in self.stats
            return local_polynomial(self.t, values, times, 1 if straight else PANEL)
        return self.integrator.interpolation(self.dynamics.discrete, self.stats)(self.t, values, times)

    def _scalar(self, name: str) -> Array:
        if name not in self.scalars:
            raise ValueError(f"name = {name!r} is not allowed: choose one of {', '.join(self.scalars)}")
        return self.scalars[name]

    @overload
    def interpolate(self, name: str, times: Number) -> float: ...
    @overload
    def interpolate(self, name: str, times: ArrayLike) -> Array: ...
    def interpolate(self, name: str, times: ArrayLike) -> float | Array:
        """A scalar at any times, to the integrator's accuracy.

        Parameters
        ----------
        name : str
            A key of ``scalars``.
        times : array_like
            Times within [0, t[-1]].

        Returns
        -------
        ndarray or float
            Same shape as ``times``.

        Raises
        ------
        ValueError
            For an unknown name or a time outside the run.
        """
        values = self._scalar(name)
        x = np.asarray(times, dtype=float)
        flat = np.atleast_1d(x.ravel())
        end = self.t[-1]
        if flat.size and not (np.min(flat) >= 0 and np.max(flat) <= end + 1e-12 * max(1.0, end)):
            raise ValueError(f"times must lie within [0, {self.t[-1]}], got {times!r}")
        out = self._interpolated(values, np.minimum(flat, end))
        return out.reshape(x.shape) if x.shape else float(out[0])

    def escape_time(self, name: str = "m", level: float = 0.5) -> float:
        """First time at which a scalar crosses ``level``; ``inf`` if it never does.

        Located on the interpolating polynomial, as events are (see ``Crossing``); 0 if the scalar starts there.

        Raises
        ------
        ValueError
            For an unknown name or a level that is not a number.
        """
        values = self._scalar(name)
        level = _check.real("level", level)
        if values[0] == level:
            return 0.0
        crossings = find_crossings(self.t, values, level, partial(self._interpolated, values))
        return crossings[0][0] if crossings else float("inf")

    def lookahead(self) -> tuple[TwoTime, TwoTime]:
        """Correlation and response of Nesterov's look-ahead point z_t, the parameter of PyTorch.

        Returns
        -------
        E, S : TwoTime
            E(t, s) = <z_t z_s> and S(t, s) = dz_t/dh_s, from all rows of C and R.  (For dynamics
            without look-ahead these are C and R.)

        Raises
        ------
        ValueError
            For continuous dynamics, and if not all rows were kept, x_{-1} differs from x_0, or the
            momentum was a Python function that a file could not hold.

        Examples
        --------
        >>> import dmft
        >>> model = dmft.SpikedMatrixTensor(p=3, delta2=1.0, deltap=2 / 3, constraint=dmft.SoftSphere(10.0))
        >>> sol = dmft.solve(model, dmft.Nesterov(0.01, 0.9), steps=50)
        >>> E, S = sol.lookahead()
        >>> bool(abs(E(50, 50) - sol.scalars["squared_norm_lookahead"][50]) < 1e-12)
        True
        """
        if not self.dynamics.discrete:
            raise ValueError(f"lookahead is not defined for {self.dynamics!r}")
        if self.R is None and "N" in self.stats:
            raise ValueError("a simulation has no response: use lookahead of the solution of solve")
        if self.C is None or self.R is None or not self.R.complete:
            raise ValueError("lookahead needs all rows of C and R: those of solve without save_at")
        n = len(self.t)
        b = self.dynamics.lookahead(n)
        if self.dynamics.initial_velocity:
            if b[0]:
                raise ValueError("lookahead is not available with an initial velocity and momentum at step 0")
        else:
            b[0] = 0.0
        C = self.C.values
        C += np.tril(C, -1).T
        last = np.vstack([C[:1], C[:-1]])
        D = (1 + b)[:, None] * C - b[:, None] * last  # <z_t x_s>
        E = (1 + b) * D - b * np.hstack([D[:, :1], D[:, :-1]])
        R = self.R.values
        S = (1 + b)[:, None] * R - b[:, None] * np.vstack([R[:1], R[:-1]])
        return linear(self.t, E), linear(self.t, np.tril(S, -1), symmetric=False)

    def laws(self, t: float) -> list[Law]:
        """Joint law of h and h* of one measurement at a time, sampled: for ``dmft.landscape.spectrum``.

        Parameters
        ----------
        t : float
            A time of ``Solution.t``.

        Returns
        -------
        list of Law
            One per scramble, with its directions and forces.

        Raises
        ------
        ValueError
            If no paths were kept (``SampledPaths(keep_paths=True)``), or t is not a time of the solution.

        Examples
        --------
        >>> import dmft
        >>> paths = dmft.SampledPaths(paths=2**11, scrambles=1, keep_paths=True)
        >>> model = dmft.PhaseRetrieval(alpha=3.0)
        >>> sol = dmft.solve(model, dmft.GradientDescent(0.01), steps=10, m0=0.2, integrator=paths)
        >>> law = sol.laws(10)[0]
        >>> bool(abs(((law.h**2 - law.h_star**2) ** 2 / 4).mean() - sol.scalars["train_loss"][10]) < 1e-12)
        True
        """
        if self.paths is None:
            raise ValueError("no paths were kept: solve with integrator=SampledPaths(keep_paths=True)")
        t = _check.real("t", t)
        i = int(np.argmin(np.abs(self.t - t)))
        if abs(self.t[i] - t) > 1e-9 * max(1.0, abs(t)):
            raise ValueError(f"t = {t} is not a time of the solution: use one of .t, e.g. {self.t[i]}")
        return [paths.law(i) for paths in self.paths]

    def save(self, path: str | Path, overwrite: bool = False) -> Path:
        """Write the solution to an HDF5 file (schema in docs/files.md), atomically.

        Raises
        ------
        FileExistsError
            If the file exists and ``overwrite`` is false.
        """
        return runs.save(self, path, overwrite=overwrite)

    def to_xarray(self) -> "xarray.Dataset":
        """The solution as an ``xarray.Dataset`` (needs the ``xarray`` extra).

        Two-time arrays have the dimensions (t, t_prime) and NaN where t' > t, so that
        reductions over either axis skip what is not defined.
        """
        return runs.to_xarray(self)
