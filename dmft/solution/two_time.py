"""Two-time functions on stored rows."""

from typing import Any, Protocol, overload

import numpy as np
from numpy.typing import ArrayLike

from .._typing import Array, Number
from .interpolation import PANEL, lagrange_weights


class TwoTimeFunction(Protocol):
    """Correlation or response of a run: f(t, t') for t >= t' >= 0.  What users, files and plots use of one.

    An integrator returns its own kind (``TwoTime``, or one that knows better how its rows are interpolated); it need
    not derive from this class.

    Attributes
    ----------
    t : (n,) float64
        Times of the stored rows.
    t_prime : (k,) float64
        Times of the columns.
    complete : bool
        Whether every time of the run has its row, so that t may lie between rows.  Otherwise (``save_at``) t must be
        one of ``t``.
    values : (n, k) float64
        Lower-triangular array: 0 where t' > t.
    block : int or None
        Steps of a panel, as a file notes them for ``TwoTime``; None for a function of another kind, which its
        integrator makes again of what is ``stored``.
    """

    t: Array
    t_prime: Array
    complete: bool

    @property
    def block(self) -> int | None: ...

    @property
    def values(self) -> Array: ...

    @overload
    def __call__(self, t: Number, s: Number) -> float: ...
    @overload
    def __call__(self, t: ArrayLike, s: ArrayLike) -> Array: ...
    def __call__(self, t: ArrayLike, s: ArrayLike) -> float | Array:
        """Interpolated at (t, s), which broadcast; a ValueError where not 0 <= s <= t <= the end of the run."""
        ...

    def row(self, i: int) -> tuple[Array, Array]:
        """Row i: (t' <= t[i], f(t[i], t'))."""
        ...

    def keep(self, times: Array) -> "TwoTimeFunction":
        """The same function on the rows at ``times`` only, interpolated to them."""
        ...

    def stored(self, name: str) -> dict[str, Any]:
        """What a file needs beside the values, as plain data under names of its own.

        ``name`` is "C" or "R"; what both share has one name.  ``Integrator.stored_functions`` gets it back.
        """
        ...


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

    def __init__(self, t: Array, t_prime: Array, data: Array, blocks: Array, block: int = PANEL) -> None:
        self.t = t
        self.t_prime = t_prime
        self.block = block
        self.complete = bool(np.array_equal(t, t_prime))
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

    def row(self, i: int) -> tuple[Array, Array]:
        """Row i: (t' <= t[i], f(t[i], t'))."""
        n = self._lengths[i]
        return self.t_prime[:n], self._data[self._starts[i] : self._starts[i] + n]

    @property
    def values(self) -> Array:
        out = np.zeros((len(self.t), len(self.t_prime)))
        for i in range(len(self.t)):
            n = self._lengths[i]
            out[i, :n] = self._data[self._starts[i] : self._starts[i] + n]
        return out

    @overload
    def __call__(self, t: Number, s: Number) -> float: ...
    @overload
    def __call__(self, t: ArrayLike, s: ArrayLike) -> Array: ...
    def __call__(self, t: ArrayLike, s: ArrayLike) -> float | Array:
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
            left, right = lagrange_weights(nodes, t[diagonal]), lagrange_weights(nodes, s[diagonal])
            out[diagonal] = np.einsum("ki,kij,kj->k", left, self.blocks[q], right)
        rest = ~diagonal
        if np.any(rest):
            t, s, p = t[rest], s[rest], p[rest]
            # the rows of the panel; at a cut last panel the last rows there are
            first = np.minimum(self.block * p, len(self.t) - self.block - 1)
            weights = lagrange_weights(self.t[first[:, None] + np.arange(self.block + 1)], t)
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
        return np.einsum("ki,ki->k", lagrange_weights(nodes, s), values)

    def stored(self, name: str) -> dict[str, Any]:
        """What a file needs beside the values, as plain data under names of its own."""
        return {name: self.blocks}

    def keep(self, times: Array) -> "TwoTime":
        """The same function on the rows at ``times`` only, interpolated to them."""
        lengths = np.searchsorted(self.t_prime, times, side="right")
        data = [self(np.full(n, t), self.t_prime[:n]) for t, n in zip(times, lengths, strict=True)]
        p = self._panel(times)
        near = np.einsum("ki,kij->kj", lagrange_weights(self._panel_nodes[p], times), self.blocks[p])
        return TwoTime(times, self.t_prime, np.concatenate(data), near, self.block)


def triangle_points(t: ArrayLike, s: ArrayLike, rows: Array, complete: bool) -> tuple[Array, Array, tuple[int, ...]]:
    """Points (t, s) of a two-time function, flat, and their shape; refuses what lies outside it.

    ``rows`` are its stored times; t must be one of them unless it is ``complete``.
    """
    given = np.broadcast_arrays(np.asarray(t, dtype=float), np.asarray(s, dtype=float))
    shape, end = given[0].shape, rows[-1]
    t, s = given[0].ravel(), given[1].ravel()
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
    inside: Array = np.minimum(t, end)
    return inside, np.minimum(s, inside), shape


def _nearest(rows, t):
    """Index of the row nearest to each time."""
    k = np.clip(np.searchsorted(rows, t), 0, len(rows) - 1)
    below = np.maximum(k - 1, 0)
    return np.where(np.abs(rows[below] - t) < np.abs(rows[k] - t), below, k)


def linear_blocks(packed: Array, n: int, symmetric: bool = True) -> Array:
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


def linear(t: Array, square: Array, symmetric: bool = True) -> TwoTime:
    """TwoTime of a lower-triangular array on the times ``t``, linear in between."""
    packed = square[np.tril_indices(len(t))]
    return TwoTime(t, t, packed, linear_blocks(packed, len(t), symmetric), 1)
