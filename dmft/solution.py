"""Solution: what came out of a run."""

from dataclasses import dataclass, field
from functools import partial

import numpy as np

from . import _check
from .events import find_crossings
from .interpolation import PANEL, lagrange, local_polynomial


class TwoTime:
    """A two-time function on stored rows: f(t, t') for t in ``t`` and grid times t' <= t.

    Call it, ``C(t, s)`` with t >= s (broadcast), to interpolate on the integrator's own panel
    polynomials (order 7 in both times for the uniform grid).  When only some rows were kept
    (``save_at``), t must be one of them.

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

    def __init__(self, t, t_prime, data, blocks, block=PANEL):
        self.t = t
        self.t_prime = t_prime
        self.block = block
        self.complete = np.array_equal(t, t_prime)
        # Near the diagonal the function is a polynomial on whole panels, continued to t' > t:
        # its values on the panel nodes, (panels, block+1, block+1), or for kept rows at the
        # row's time, (rows, block+1).
        self.blocks = blocks
        self._lengths = np.searchsorted(t_prime, t, side="right")
        self._starts = np.concatenate([[0], np.cumsum(self._lengths)])
        self._data = data
        self._panel_nodes = self._nodes_of_panels()

    def _nodes_of_panels(self):
        """(panels, block+1) node times; the last panel is completed beyond the end."""
        n, b = len(self.t_prime), self.block
        panels = max(1, -(-(n - 1) // b))
        missing = panels * b + 1 - n
        step = self.t_prime[-1] - self.t_prime[-2] if n > 1 else 1.0
        t = np.append(self.t_prime, self.t_prime[-1] + step * np.arange(1, missing + 1))
        return t[b * np.arange(panels)[:, None] + np.arange(b + 1)]

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
        t, s, shape = triangle_points(t, s, self.t, self.complete)
        evaluate = self._between_rows if self.complete else self._on_rows
        out = np.empty(len(t))
        for lo in range(0, len(t), 65536):
            part = slice(lo, lo + 65536)
            out[part] = evaluate(t[part], s[part])
        return out.reshape(shape) if shape else float(out[0])

    def _panel(self, x):
        """Index of the panel that contains x."""
        inner = self._panel_nodes[1:, 0]
        return np.searchsorted(inner, x, side="right")

    def _between_rows(self, t, s):
        p = self._panel(t)
        out = np.empty(len(t))
        diagonal = s >= self._panel_nodes[p, 0]
        q = p[diagonal]
        if q.size:
            nodes = self._panel_nodes[q]
            left, right = lagrange(nodes, t[diagonal]), lagrange(nodes, s[diagonal])
            out[diagonal] = np.einsum("ki,kij,kj->k", left, self.blocks[q], right)
        rest = ~diagonal
        if np.any(rest):
            t, s, p = t[rest], s[rest], p[rest]
            # the rows of the panel; at a cut last panel the last rows there are
            first = np.minimum(self.block * p, len(self.t) - self.block - 1)
            weights = lagrange(self.t[first[:, None] + np.arange(self.block + 1)], t)
            total = np.zeros(len(t))
            for w in range(self.block + 1):
                k = first + w
                panel = np.maximum(k - 1, 0) // self.block
                total += weights[:, w] * self._in_row(k, panel, self.blocks[panel, k - self.block * panel], s)
            out[rest] = total
        return out

    def _on_rows(self, t, s):
        k = _nearest(self.t, t)
        return self._in_row(k, self._panel(self.t[k]), self.blocks[k], s)

    def _in_row(self, k, panel, near, s):
        """Row k at the columns s; ``near`` are its values on the nodes of its own panel."""
        column = self._panel(s)
        own = column >= panel
        nodes = self._panel_nodes[np.minimum(column, panel)]
        flat = (self._starts[k] + self.block * column)[:, None] + np.arange(self.block + 1)
        values = np.where(own[:, None], near, self._data[np.minimum(flat, len(self._data) - 1)])
        return np.einsum("ki,ki->k", lagrange(nodes, s), values)

    def keep(self, times):
        """The same function on the rows at ``times`` only, interpolated to them."""
        lengths = np.searchsorted(self.t_prime, times, side="right")
        data = [self(np.full(n, t), self.t_prime[:n]) for t, n in zip(times, lengths, strict=True)]
        p = self._panel(times)
        near = np.einsum("ki,kij->kj", lagrange(self._panel_nodes[p], times), self.blocks[p])
        return TwoTime(times, self.t_prime, np.concatenate(data), near, self.block)


def triangle_points(t, s, rows, complete):
    """Points (t, s) of a two-time function, flat, and their shape; refuses what lies outside it.

    ``rows`` are its stored times; t must be one of them unless it is ``complete``.
    """
    t, s = np.broadcast_arrays(np.asarray(t, dtype=float), np.asarray(s, dtype=float))
    shape, end = t.shape, rows[-1]
    t, s = t.ravel(), s.ravel()
    if not (np.all(np.isfinite(t)) and np.all(np.isfinite(s))):
        raise ValueError("t and s must be finite")
    off = np.abs(rows[_nearest(rows, t)] - t) > 1e-9 * np.maximum(1.0, t)
    if not complete and np.any(off):
        raise ValueError(
            f"t = {t[off][0]} is not one of the {len(rows)} stored rows (save_at): "
            "use the times in .t, or solve again without save_at"
        )
    bad = (s > t) | (s < 0) | (t > end + 1e-12 * max(1.0, end))
    if np.any(bad):
        i = np.flatnonzero(bad)[0]
        raise ValueError(f"(t, s) = ({t[i]}, {s[i]}) is outside 0 <= s <= t <= {end}")
    t = np.minimum(t, end)
    return t, np.minimum(s, t), shape


def _nearest(rows, t):
    """Index of the row nearest to each time."""
    k = np.clip(np.searchsorted(rows, t), 0, len(rows) - 1)
    below = np.maximum(k - 1, 0)
    return np.where(np.abs(rows[below] - t) < np.abs(rows[k] - t), below, k)


def linear_blocks(packed, n, symmetric=True):
    """Diagonal blocks, (n - 1, 2, 2), of a packed triangle on n times that is linear in between.

    Above the diagonal the function is continued symmetrically or, not ``symmetric``, by 0.
    """
    if n == 1:
        return np.full((1, 2, 2), packed[0])
    i = np.arange(n - 1)
    diagonal = i * (i + 3) // 2
    below = packed[diagonal + i + 1]
    above = below if symmetric else np.zeros_like(below)
    return np.stack([packed[diagonal], above, below, packed[diagonal + i + 2]], axis=1).reshape(-1, 2, 2)


def linear(t, square, symmetric=True):
    """TwoTime of a lower-triangular array on the times ``t``, linear in between."""
    packed = square[np.tril_indices(len(t))]
    return TwoTime(t, t, packed, linear_blocks(packed, len(t), symmetric), 1)


@dataclass
class KeptPaths:
    """Paths of one scramble of ``SampledPaths``, of which joint laws are made.

    Attributes
    ----------
    y : (n,) float64
        Labels.
    directions : (k, n) float64
        Values e_j of the measurements on the directions of the weights; ``directions[0]`` is h*.
    forces : (k - 2, n) float64
        Orthonormalised forces fhat_j; 0 for directions that no gradient opened.
    points : (times, k) float64
        Coefficients of the weights on the directions.
    ranks : (times,) int
        Number of forces that the gradients before each time had opened.
    """

    y: np.ndarray
    directions: np.ndarray
    forces: np.ndarray
    points: np.ndarray
    ranks: np.ndarray

    def law(self, i):
        """Joint law of a measurement at time number i."""
        from .spectra import Law

        rank = int(self.ranks[i])
        forces = self.forces[:rank]
        h = self.points[i, : 2 + rank] @ self.directions[: 2 + rank]
        return Law(
            h,
            self.directions[0],
            self.y,
            directions=self.directions[: 2 + rank],
            forces=forces[np.any(forces != 0, axis=1)],
        )


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
    paths: list | None = None

    @property
    def m(self):
        """Overlap with the signal, (n,)."""
        return self.scalars["m"]

    @property
    def mu(self):
        """Lagrange multiplier, (n,); strength (|x|^2/N - 1) on the soft sphere."""
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

    def _interpolated(self, values, times):
        """A scalar at an array of times: on lines between iterations and records, else as the integrator does."""
        if self.integrator is not None and self.integrator.kind == "log-time":
            from .integrators.logtime import Clock

            clock = Clock(self.stats["order"], tuple(map(tuple, self.stats["events"])))
            return clock.interpolate(self.t, values, times)
        block = 1 if self.dynamics.discrete or "N" in self.stats else PANEL
        return local_polynomial(self.t, values, times, block)

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
        end = self.t[-1]
        if flat.size and not (np.min(flat) >= 0 and np.max(flat) <= end + 1e-12 * max(1.0, end)):
            raise ValueError(f"times must lie within [0, {self.t[-1]}], got {times!r}")
        out = self._interpolated(values, np.minimum(flat, end))
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
        crossings = find_crossings(self.t, values, level, partial(self._interpolated, values))
        return crossings[0][0] if crossings else float("inf")

    def lookahead(self):
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
        if self.R is None or not self.R.complete:
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

    def laws(self, t):
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
