"""Solution: what came out of a run."""

from dataclasses import dataclass, field

import numpy as np

from . import _check
from .events import find_crossings, local_polynomial, panel_weights


class TwoTime:
    """A two-time function on stored rows: f(t, t') for t in ``t`` and grid times t' <= t.

    Call it, ``C(t, s)`` with t >= s (broadcast), to interpolate.  When every time step is
    stored the interpolation is of order 8 (7 in the first panel) in both times, along rays
    t'/t = const so that it never leaves the triangle.  When only some
    rows were kept (``save_at``), t must be one of them.

    Attributes
    ----------
    t : (n,) float64
        Times of the stored rows.
    t_prime : (k,) float64
        Times of the columns.
    complete : bool
        Whether every grid time has its row.
    values : (n, k) float64
        Lower-triangular array: 0 where t' > t.
    """

    def __init__(self, t, t_prime, data, corner, block=6):
        self.t = t
        self.t_prime = t_prime
        self.block = block
        self.complete = np.array_equal(t, t_prime)
        self._lengths = np.searchsorted(t_prime, t, side="right")
        self._starts = np.concatenate([[0], np.cumsum(self._lengths)])
        self._data = data
        self._corner = corner

    @property
    def nbytes(self):
        """Memory of the stored values."""
        return self._data.nbytes

    def row(self, i):
        """Row i: (t' <= t[i], f(t[i], t'))."""
        n = self._lengths[i]
        return self.t_prime[:n], self._data[self._starts[i] : self._starts[i] + n]

    @property
    def values(self):
        out = np.zeros((len(self.t), len(self.t_prime)))
        for i in range(len(self.t)):
            n = self._lengths[i]
            out[i, :n] = self._data[self._starts[i] : self._starts[i] + n]
        return out

    def __call__(self, t, s):
        t, s = np.broadcast_arrays(np.asarray(t, dtype=float), np.asarray(s, dtype=float))
        shape = t.shape
        t, s = np.atleast_1d(t.ravel()), np.atleast_1d(s.ravel())
        end = self.t[-1]
        if not (np.all(np.isfinite(t)) and np.all(np.isfinite(s))):
            raise ValueError("t and s must be finite")
        slack = 1e-12 * max(1.0, end)
        if np.any(s > t) or np.any(s < 0) or np.any(t > end + slack):
            bad = np.flatnonzero((s > t) | (s < 0) | (t > end + slack))[0]
            raise ValueError(f"(t, s) = ({t[bad]}, {s[bad]}) is outside 0 <= s <= t <= {end}")
        t = np.minimum(t, end)
        out = np.empty(len(t))
        for lo in range(0, len(t), 65536):
            part = slice(lo, lo + 65536)
            evaluate = self._along_rays if self.complete else self._on_rows
            out[part] = evaluate(t[part], np.minimum(s[part], t[part]))
        return out.reshape(shape) if shape else float(out[0])

    def _along_rays(self, t, s):
        theta = np.divide(s, t, out=np.ones_like(t), where=t > 0)
        first, weights = panel_weights(self.t, t, self.block)
        total = np.zeros(len(t))
        for w in range(weights.shape[1]):
            k = first + w
            total += weights[:, w] * self._row_value(k, theta * self.t[k])
        return total

    def _on_rows(self, t, s):
        k = np.clip(np.searchsorted(self.t, t), 0, len(self.t) - 1)
        below = np.maximum(k - 1, 0)
        k = np.where(np.abs(self.t[below] - t) < np.abs(self.t[k] - t), below, k)
        off = np.abs(self.t[k] - t) > 1e-9 * np.maximum(1.0, t)
        if np.any(off):
            raise ValueError(
                f"t = {t[off][0]} is not one of the {len(self.t)} stored rows (save_at): "
                "use the times in .t, or solve again without save_at"
            )
        return self._row_value(k, s)

    def _row_value(self, k, s):
        """Local interpolation along the rows k at the columns s."""
        out = np.empty(len(s))
        corner = (k < len(self._corner)) & self.complete
        if np.any(corner):  # the short first rows, continued beyond the diagonal
            size = min(len(self._corner), len(self.t_prime))
            first, weights = panel_weights(self.t_prime, s[corner], self.block, size)
            column = first[:, None] + np.arange(weights.shape[1])
            out[corner] = np.einsum("ki,ki->k", weights, self._corner[k[corner][:, None], column])
        rest = ~corner
        if np.any(rest):
            k = k[rest]
            first, weights = panel_weights(self.t_prime, s[rest], self.block, self._lengths[k])
            index = (self._starts[k] + first)[:, None] + np.arange(weights.shape[1])
            out[rest] = np.einsum("ki,ki->k", weights, self._data[index])
        return out

    def keep(self, times):
        """The same function on the rows at ``times`` only, interpolated to them."""
        lengths = np.searchsorted(self.t_prime, times, side="right")
        data = [self(t, self.t_prime[:n]) for t, n in zip(times, lengths, strict=True)]
        return TwoTime(times, self.t_prime, np.concatenate(data), self._corner, self.block)


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
    C, R : TwoTime or None
        Correlation C(t, t') and response R(t, t') (to a force; equilibrium R = (1/T) dC/dt').
    stderr : dict of str to array
        Statistical standard errors, where samples are involved.
    stats : dict
        Steps, seconds, bytes, integrator, versions; ``stats["error"]`` holds the estimated
        errors: relative for m, absolute for C, R, mu and energy, largest over the run.
    status : str
        "finished", "event", "interrupted" or "failed".
    message : str
        The status in words.
    events : list of Occurrence
    model, dynamics, integrator
        What was solved; ``spec`` is the same as plain data.
    """

    t: np.ndarray
    scalars: dict
    C: TwoTime | None
    R: TwoTime | None
    model: object
    dynamics: object
    integrator: object
    spec: dict
    status: str = "finished"
    message: str = ""
    stats: dict = field(default_factory=dict)
    stderr: dict = field(default_factory=dict)
    events: list = field(default_factory=list)

    @property
    def m(self):
        """Overlap with the signal, (n,)."""
        return self.scalars["m"]

    @property
    def mu(self):
        """Lagrange multiplier, (n,)."""
        return self.scalars["mu"]

    @property
    def energy(self):
        """Energy per N, (n,)."""
        return self.scalars["energy"]

    @property
    def energies(self):
        """Energy per N of each channel, ``{order: (n,)}``."""
        return {
            int(name[7:]): values
            for name, values in self.scalars.items()
            if name.startswith("energy_") and name[7:].isdigit()
        }

    @property
    def converged(self):
        """Whether the run reached its end or a terminal event."""
        return self.status in ("finished", "event")

    def __repr__(self):
        end = f"t = {self.t[-1]:g}" if len(self.t) else "nothing"
        return f"<Solution {self.status} at {end}: {self.model!r}, {self.dynamics!r}, {len(self.t)} times>"

    def _scalar(self, name):
        if name not in self.scalars:
            raise ValueError(f"name = {name!r} is not allowed: choose one of {', '.join(self.scalars)}")
        return self.scalars[name]

    def interpolate(self, name, times):
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
        if flat.size and not (np.min(flat) >= 0 and np.max(flat) <= self.t[-1]):
            raise ValueError(f"times must lie within [0, {self.t[-1]}], got {times!r}")
        block = self.C.block if self.C is not None else 6
        out = local_polynomial(self.t, values, flat, block)
        return out.reshape(x.shape) if x.shape else float(out[0])

    def escape_time(self, name="m", level=0.5):
        """First time at which a scalar reaches ``level``; ``inf`` if it never does.

        Located on the interpolating polynomial, as events are; 0 if the scalar starts there.

        Raises
        ------
        ValueError
            For an unknown name or a level that is not a number.
        """
        values = self._scalar(name)
        level = _check.real("level", level)
        if values[0] == level:
            return 0.0
        crossings = find_crossings(self.t, values, level)
        return crossings[0][0] if crossings else float("inf")

    def save(self, path, overwrite=False):
        """Write the solution to an HDF5 file (schema in docs/files.md), atomically.

        Raises
        ------
        FileExistsError
            If the file exists and ``overwrite`` is false.
        """
        from .storage import save

        return save(self, path, overwrite=overwrite)

    def to_xarray(self):
        """The solution as an ``xarray.Dataset`` (needs the ``xarray`` extra).

        Two-time arrays have the dimensions (t, t_prime) and NaN where t' > t, so that
        reductions over either axis skip what is not defined.
        """
        from .storage import to_xarray

        return to_xarray(self)
