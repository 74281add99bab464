"""Paths of one measurement and the directions of the weights that the gradients open (docs/equations.md, eq. 28-30)."""

import json
import math
from typing import NamedTuple

import numpy as np
from scipy.linalg.lapack import dposv

from ..errors import SolverError
from ..machine import instruction_set

SOBOL = 4  # directions whose normal numbers are quasi-random, with h*, the start and the noise
RANK_TOL = 1e-4
MINIMAL_TOL = 1e-12  # below it directions are made of rounding errors
DEPENDENT = 1e-3  # relative squared distance from the span of the eps at which a force counts as half inside
NEGLIGIBLE = 1e-4  # second corrections of a force that are left out, relative to rank_tol
LARGEST_FIELD = 1e4  # |h| of a path beyond which a run has diverged
RUNAWAY_SHARE = 0.5  # share of one path in |f|^2 above which it runs away, if the
UNSTABLE = 4.0  # step times l'/h (the limit of every method is at most 2 + 2 beta) is above this


class Gradient(NamedTuple):
    """What one sweep over the paths tells about a point.

    ``vector`` are the coefficients of the data gradient on the open directions; ``loss`` is the mean loss
    there and ``other_loss`` that at the other point (the same where there is none); ``curvature`` are the
    weighted l'' of the paths.
    """

    vector: np.ndarray
    loss: float
    other_loss: float
    curvature: np.ndarray


class Paths:
    """Paths of one scramble: gradients at any point, and the directions they open."""

    def __init__(self, settings, equations, seed, max_rank):
        from .. import _paths as kernel

        self.alpha, self.loss = equations.alpha, equations.model.loss_function
        self.n, self.max_rank = settings.paths, max_rank
        points, normals = seed.spawn(2)
        self._normals = np.random.Generator(np.random.PCG64DXSM(normals))
        noise = equations.model.noise
        first = 3 if noise > 0 else 2
        z = _orthonormal(_sobol(self.n, first + SOBOL, points), first)
        y = z[0] + math.sqrt(noise) * z[2] if noise > 0 else z[0]
        self._sobol = z[first:]
        self.kernel = kernel.Paths(z[:first], y, instruction_set())
        # without overlap, and where the loss cannot tell y from -y, the overlap stays zero
        self._symmetric = equations.m0 == 0 and np.array_equal(self.loss.first(z[1], y), self.loss.first(z[1], -y))
        self._code = self.loss.kernel_code  # 0: evaluated in Python
        self.tol = _rank_tol(settings, self.loss, z, y)
        self._candidate_is_new = False
        self.largest, self.share, self.shared_at = 0.0, 0.0, 0  # gradient norm, share of a path in it
        self.eps_products = np.zeros((first, 0))  # <eps_i fhat_k>, the first rows among the eps

    @property
    def rank(self):
        """Number of open directions."""
        return self.kernel.rank

    def gradient(self, point, other=None, weight=None, step=0.0, t=0):
        """The data gradient at a point (coefficients on the directions), which may open one.

        ``other`` is a second point where the loss is needed, ``weight`` that of the measurements in the
        gradient, ``step`` the one that will be taken (a path may be unstable at it), ``t`` the time for messages.
        """
        kernel, n = self.kernel, self.n
        if weight is not None:
            kernel.weight[:n] = weight
        rows, other_rows = self._on_rows(point), None if other is None else self._on_rows(other)
        products, square = kernel.evaluate(self._code, getattr(self.loss, "a", 0.0), rows, other_rows)
        self._check_field(kernel.h, t)
        if other is not None:
            self._check_field(kernel.h_other, t)
        if not self._code:
            products, square = self._user_loss(other is not None)
        products, square = self.alpha / n * products, self.alpha / n * square
        if not math.isfinite(square):
            raise SolverError(f"the dynamics diverges: l' is not finite at t = {t:g}", time=t)
        self._note_share(square, step, t)
        pairs = products[kernel.first :].reshape(-1, 2)
        vector = np.concatenate([products[:2], pairs.sum(axis=1)])
        if self._symmetric:
            vector[0] = 0.0
        on_forces = self._forces(products)
        outside = self._open(on_forces, square - on_forces @ on_forces, t)
        if outside:
            vector = np.append(vector, outside)
        loss = kernel.value[:n].sum() / n
        other_loss = loss if other is None else kernel.value_other[:n].sum() / n
        return Gradient(vector, loss, other_loss, kernel.curvature[:n])

    def noise_direction(self, t=0):
        """Open a direction that no gradient has; its index."""
        self._add(np.zeros(self.rank), 0.0, 0.0, t)
        return self.rank + 1

    def _on_rows(self, point):
        """Coefficients on the rows of the kernel, from those on the directions."""
        out = np.zeros(self.kernel.rows)
        out[:2] = point[:2]
        out[self.kernel.first :].reshape(-1, 2)[: len(point) - 2] = point[2:, None]
        return out

    def _eps(self, values):
        """Of numbers per row, those of the first rows and the eps."""
        first = self.kernel.first
        return np.concatenate([values[:first], values[first::2]])

    def _forces(self, values):
        """Of numbers per row, those of the forces."""
        return values[self.kernel.first + 1 :: 2]

    def _check_field(self, h, t):
        largest = max(h.max(), -h.min())
        if not largest < LARGEST_FIELD:
            raise SolverError(
                f"the dynamics diverges: |h| of a path is {largest:.3g} at t = {t:g}: use a smaller step",
                time=t,
            )

    def _user_loss(self, both):
        kernel, n = self.kernel, self.n
        h, y = kernel.h[:n], kernel.y[:n]
        for name, out in (("value", kernel.value), ("first", kernel.f), ("second", kernel.curvature)):
            out[:n] = getattr(self.loss, name)(h, y)
        if both:
            kernel.value_other[:n] = self.loss.value(kernel.h_other[:n], y)
        return kernel.project()

    def _note_share(self, square, step, t):
        """Keep the largest share of one path in |f|^2, unless the gradient has all but vanished; find a runaway."""
        self.largest = max(self.largest, math.sqrt(square))
        if square <= 1e-6 * self.largest**2:
            return
        f = self.kernel.f
        largest = int(np.argmax(f) if f.max() > -f.min() else np.argmin(f))
        share = float(f[largest] ** 2 * self.alpha / self.n / square)
        unstable = step * abs(f[largest] / self.kernel.h[largest])
        if share > RUNAWAY_SHARE and unstable > UNSTABLE:
            raise SolverError(
                f"the dynamics diverges: one path carries {share:.0%} of the mean square of l' at t = {t:g}, where the "
                f"step times l'/h is {unstable:.3g}: use a smaller step",
                time=t,
            )
        if share > self.share:
            self.share, self.shared_at = share, t

    def _open(self, on_forces, rest, t):
        """Open a direction if enough of the force lies outside the open ones; the norm of that part, or 0."""
        threshold = (self.tol * self.largest) ** 2
        rounding = 1e-13 * self.largest**2  # of ``rest``, a difference of squares
        if rest <= threshold - rounding or self.largest == 0:
            return 0.0
        return self._add(-on_forces, 1.0, threshold, t)

    def _add(self, coefficients, scale, threshold, t):
        """Open the direction of r = scale f + coefficients . forces, or a direction without force (scale 0).

        The part of r in the span of the forces is removed once more (twice is enough).  Returns the
        norm of what is left, 0 if that is below the threshold or rounding.
        """
        kernel, n = self.kernel, self.n
        kernel.settle()
        if self.rank >= self.max_rank:
            raise SolverError(
                f"the rank reaches max_rank = {self.max_rank} at t = {t:g}: use a larger max_rank, or fewer steps",
                time=t,
            )
        if 2 * self.rank + 8 > n:
            raise SolverError(f"{n} paths are too few for {self.rank} directions at t = {t:g}: use more paths", time=t)
        self._new_candidate()
        with_r, rr, with_x, rx, xx = kernel.residual(coefficients, scale)
        again = self.alpha / n * self._forces(with_r)
        square, size = self.alpha / n * rr - again @ again, 0.0
        correction = np.zeros(0)
        eps_products, x_product = np.zeros(kernel.first + self.rank), 0.0
        if scale:
            if square <= threshold or square < 0.5 * self.alpha / n * rr:
                return 0.0
            size = math.sqrt(square)
            if again @ again > (NEGLIGIBLE * self.tol * size) ** 2:
                correction = -again
            eps_products = (self._eps(with_r) / n - self.eps_products @ again) / size
            x_product = (rx - again @ self._forces(with_x)) / n / size
        weights, norm = self._orthogonal(with_x / n, x_product, xx / n, eps_products)
        kernel.finish(correction, 1 / size if size else 0.0, weights, 1 / norm)
        self._candidate_is_new = False
        return size

    def _orthogonal(self, with_x, x_product, square, eps_products):
        """What to add to the candidate to make it orthogonal to all rows and the new force, and its norm then.

        The eps are orthonormal and the forces orthogonal of norm 1/sqrt(alpha); P are their products.
        Orthogonality to the eps is exact, that to a force near their span is not asked for.
        """
        P = np.column_stack([self.eps_products, eps_products])
        on_eps, on_forces = self._eps(with_x), np.append(self._forces(with_x), x_product)
        schur = (1 + DEPENDENT) / self.alpha * np.eye(self.rank + 1) - P.T @ P
        forces = -dposv(schur, on_forces - P.T @ on_eps)[1]
        eps = -on_eps - P @ forces
        left = on_forces + P.T @ eps + forces / self.alpha  # products with the forces in the end
        norm = math.sqrt(square + on_eps @ eps + on_forces @ forces + left @ forces)
        self.eps_products = np.vstack([P, left / norm])
        first = self.kernel.first
        pairs = np.column_stack([eps[first:], forces[:-1]]).ravel()
        return np.concatenate([eps[:first], pairs, forces[-1:]]), norm

    def _new_candidate(self):
        if not self._candidate_is_new:
            k = self.rank
            x = self._sobol[k] if k < SOBOL else self._normals.standard_normal(self.n)
            self.kernel.candidate[: self.n] = x
            self._candidate_is_new = True

    def state(self):
        """Plain data from which ``restore`` continues bit for bit."""
        self.kernel.settle()
        return {
            "rank": self.rank,
            "segments": list(self.kernel.segments),
            "normals": json.dumps(self._normals.bit_generator.state),
            "candidate": np.array(self.kernel.candidate),
            "candidate_is_new": int(self._candidate_is_new),
            "eps_products": self.eps_products,
            "largest": self.largest,
            "share": self.share,
            "shared_at": self.shared_at,
        }

    def restore(self, state):
        """Take up the state of paths with the same arguments."""
        self.kernel.restore(state["segments"], int(state["rank"]))
        self._normals.bit_generator.state = json.loads(state["normals"])
        self.kernel.candidate[:] = state["candidate"]
        self._candidate_is_new = bool(state["candidate_is_new"])
        self.eps_products = state["eps_products"]
        self.largest, self.share = float(state["largest"]), float(state["share"])
        self.shared_at = state["shared_at"]


def _sobol(n, dimensions, seed):
    """Normal numbers from scrambled Sobol points, (dimensions, n)."""
    from scipy.special import ndtri
    from scipy.stats import qmc

    points = qmc.Sobol(dimensions, seed=np.random.default_rng(seed)).random_base2(math.ceil(math.log2(n)))[:n]
    return ndtri(np.clip(points.T, 1e-16, 1 - 1e-16))


def _orthonormal(z, count):
    """The first rows orthonormalised under the mean over the paths."""
    z = np.ascontiguousarray(z)
    for i in range(count):
        for _ in range(2):
            for j in range(i):
                z[i] -= (z[i] * z[j]).mean() * z[j]
        z[i] /= math.sqrt((z[i] * z[i]).mean())
    return z


def _rank_tol(settings, loss, z, y):
    """The given tolerance, or the default of the loss."""
    if settings.rank_tol is not None:
        return settings.rank_tol
    curvature = [loss.second(h, y) for h in z[:2]]
    slope = float(curvature[0][0])
    rise = loss.first(z[1], y) - loss.first(z[0], y)
    linear = max(map(np.max, curvature)) == min(map(np.min, curvature))
    return MINIMAL_TOL if linear and np.allclose(rise, slope * (z[1] - z[0]), rtol=1e-9, atol=1e-12) else RANK_TOL
