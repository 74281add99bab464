"""SampledPaths: phase retrieval by one causal pass over sampled paths of a measurement.

The weights are coefficients on orthonormal directions: the signal, the start, and the directions that
the gradients open; any first-order method is that method run on the coefficients (docs/equations.md,
eq. 28-31; docs/method.md).  Averages over the paths carry a statistical error, which independent scrambles
of the paths measure.
"""

import json
import math
import time
import warnings
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from scipy.linalg.lapack import dposv

from .. import _check
from ..errors import SolverError
from ..losses import LOSSES
from ..solution import KeptPaths, linear_blocks
from ..steps import returning
from .machine import available_memory, instruction_set, usable_threads

SOBOL = 4  # directions whose normal numbers are quasi-random, with h*, the start and the noise
RANK_TOL = 1e-5
MINIMAL_TOL = 1e-12  # below it directions are made of rounding errors
DEPENDENT = 1e-3  # relative squared distance from the span of the eps at which a force counts as half inside
FULL_BATCH_RANK = 512
NEGLIGIBLE = 1e-4  # second corrections of a force that are left out, relative to rank_tol
LARGEST_FIELD = 1e4  # |h| of a path beyond which a run has diverged
LARGE_SHARE = 0.25
MINIMAL_PATHS = 64
EDGE_GRID = np.linspace(0.05, 0.95, 19)


@dataclass(frozen=True)
class SampledPaths:
    """The equations of phase retrieval by sampled paths.

    Every scramble is an independent run over ``paths`` paths, randomised quasi-Monte Carlo in the first
    dimensions and moment matched in all of them; the solution is the mean of the scrambles, and their scatter its
    standard error (``Solution.stderr``).  For a loss with a linear derivative the scheme is exact.

    Memory: 16 bytes per path, direction and scramble; twice that for gradient flow.  The number of
    directions is at most that of the gradients; for smooth full-batch dynamics it saturates.

    Parameters
    ----------
    paths : int
        Paths per scramble, at least 64; best a power of 2.
    scrambles : int
        Independent runs; 1 gives no standard errors, and fewer than 8 uncertain ones.
    seed : int
    threads : int
        Scrambles that run at the same time.  The result does not depend on it.
    rank_tol : float, optional
        A gradient opens a direction where the part of it that lies outside the open ones is larger than
        this, relative to the largest gradient so far.  Default 1e-5, far below the statistical error, and 1e-12
        (the smallest allowed) where the derivative of the loss is linear in h.
    max_rank : int, optional
        Number of directions for which there is memory.  Default: one for each gradient with batches or
        force noise, at most 512 without.
    dt : float, optional
        Time step of gradient flow; default: 1 over the largest eigenvalue of the Hessian at the start.
    response_paths : int
        Paths per scramble from which the response R is computed; 0 for none.  Work: (number of steps)^3 / 3
        flops per path; a few thousand paths in total do.
    keep_paths : bool
        Keep all paths for ``Solution.laws``, in the solution and its file.

    Raises
    ------
    TypeError, ValueError
        For wrong arguments; the message names the parameter.

    Examples
    --------
    >>> import dmft
    >>> model = dmft.PhaseRetrieval(alpha=3.0, constraint=dmft.Ridge(0.1))
    >>> paths = dmft.SampledPaths(paths=2**12, seed=1)
    >>> sol = dmft.solve(model, dmft.GradientDescent(0.02), steps=40, m0=0.2, integrator=paths)
    >>> bool(abs(sol.m[-1] - 0.512) < 4 * sol.stderr["m"][-1] < 0.05)
    True
    """

    paths: int = 2**15
    scrambles: int = 8
    seed: int = 0
    threads: int = 1
    rank_tol: float | None = None
    max_rank: int | None = None
    dt: float | None = None
    response_paths: int = 0
    keep_paths: bool = False

    kind = "sampled-paths"

    def __post_init__(self):
        for name, low, high in (
            ("paths", MINIMAL_PATHS, 2**30),
            ("scrambles", 1, None),
            ("seed", 0, None),
            ("threads", 1, 64),
            ("response_paths", 0, self.paths),
        ):
            object.__setattr__(self, name, _check.integer(name, getattr(self, name), low=low, high=high))
        if self.rank_tol is not None:
            object.__setattr__(self, "rank_tol", _check.real("rank_tol", self.rank_tol, low=MINIMAL_TOL, below=1))
        if self.max_rank is not None:
            object.__setattr__(self, "max_rank", _check.integer("max_rank", self.max_rank, low=1))
        if self.dt is not None:
            object.__setattr__(self, "dt", _check.real("dt", self.dt, above=0))
        _check.instance("keep_paths", self.keep_paths, bool, "True or False")

    def start(self, equations, duration):
        """Begin a run (used by ``solve``)."""
        return PathsRun(self, equations, duration)

    def estimate(self, equations, duration):
        """Cost before the run: ``{"steps", "dt", "bytes", "seconds", "available"}``."""
        dt, steps = self.grid(equations, duration)
        gradients = steps * equations.gradients_per_step
        rank = min(self.rank(equations, steps), 40 + gradients // 2)
        passes = 2 * rank + max(gradients - rank, 0)
        return {
            "steps": steps,
            "dt": dt,
            "bytes": self.memory(equations, steps),
            "seconds": 3e-9 * self.scrambles * self.paths * passes * rank / self.threads,
            "available": available_memory(),
        }

    def grid(self, equations, duration):
        """(time step, number of steps) of the solution."""
        if equations.discrete:
            return 1.0, duration
        steps = math.ceil(duration / (self.dt or self._default_dt(equations)) * (1 - 1e-12))
        return duration / steps, steps

    def _default_dt(self, equations):
        start = Paths(self, equations, np.random.SeedSequence(self.seed), 1)
        curvature = np.abs(start.gradient(equations.start).curvature)
        largest = max(curvature.max(), 1e-3)
        # upper edge of the Hessian's bulk, the smallest z(s) (docs/equations.md, eq. 35 with -s)
        edge = min(
            largest / x + equations.alpha * np.mean(curvature / (1 - x * curvature / largest)) for x in EDGE_GRID
        )
        return 1.0 / edge

    def rank(self, equations, steps):
        """Largest number of directions of a run."""
        bound = (steps + 1) * equations.directions_per_step + 1
        if self.max_rank is not None:
            return min(bound, self.max_rank)
        return bound if equations.fresh_directions else min(bound, FULL_BATCH_RANK)

    def memory(self, equations, steps):
        """Bytes of a run: rows of the paths, C with its error, and what is kept on request."""
        from .._paths import segment_bytes

        n, rank = steps + 1, self.rank(equations, steps)
        copies = (1 if equations.discrete else 2) + self.keep_paths
        rows = copies * (segment_bytes(self.paths, rank) + 12 * 8 * self.paths) + 8 * self.response_paths * n
        two_time = 8 * n * n * (3 if self.response_paths == 0 else 6)
        return self.scrambles * (rows + 8 * n * (rank + 16)) + two_time


class Gradient(NamedTuple):
    """What one sweep over the paths tells of a point.

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
        self._builtin = kernel.losses[self.loss.kind] if type(self.loss) in LOSSES.values() else 0
        self.tol = _rank_tol(settings, self.loss, z, y)
        self._candidate_is_new = False
        self.largest, self.share, self.shared_at = 0.0, 0.0, 0  # gradient norm, share of a path in it
        self.eps_products = np.zeros((first, 0))  # <eps_i fhat_k>, the first rows among the eps

    @property
    def rank(self):
        """Number of open directions."""
        return self.kernel.rank

    def gradient(self, point, other=None, weight=None, t=0):
        """The data gradient at a point (coefficients on the directions), which may open one.

        ``other`` is a second point where the loss is wanted, ``weight`` that of the measurements in the
        gradient, ``t`` the time for messages.
        """
        kernel, n = self.kernel, self.n
        if weight is not None:
            kernel.weight[:n] = weight
        rows, other_rows = self._on_rows(point), None if other is None else self._on_rows(other)
        products, square = kernel.evaluate(self._builtin, getattr(self.loss, "a", 0.0), rows, other_rows)
        self._check_field(kernel.h, t)
        if other is not None:
            self._check_field(kernel.h_other, t)
        if not self._builtin:
            products, square = self._user_loss(other is not None)
        products, square = self.alpha / n * products, self.alpha / n * square
        if not math.isfinite(square):
            raise SolverError(f"the dynamics diverges: l' is not finite at t = {t:g}", time=t)
        self._note_share(square, t)
        pairs = products[kernel.first :].reshape(-1, 2)
        vector = np.concatenate([products[:2], pairs.sum(axis=1)])
        on_forces = self._forces(products)
        outside = self._open(on_forces, square - on_forces @ on_forces, t)
        if outside:
            vector = np.append(vector, outside)
        loss = kernel.value[:n].sum() / n
        other_loss = loss if other is None else kernel.value_other[:n].sum() / n
        return Gradient(vector, loss, other_loss, kernel.curvature[:n])

    def noise_direction(self, t=0):
        """Open a direction that no gradient knows; its index."""
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
                f"the dynamics diverges: |h| of a path is {largest:.3g} at t = {t:g} (learning rate times l'' above 2 "
                "is unstable): use a smaller step",
                time=t,
            )

    def _user_loss(self, both):
        kernel, n = self.kernel, self.n
        h, y = kernel.h[:n].copy(), kernel.y[:n].copy()  # a user's function may write into its arguments
        for name, out in (("value", kernel.value), ("first", kernel.f), ("second", kernel.curvature)):
            out[:n] = getattr(self.loss, name)(h, y)
        if both:
            kernel.value_other[:n] = self.loss.value(kernel.h_other[:n], y)
        return kernel.project()

    def _note_share(self, square, t):
        """Keep the largest share of one path in |f|^2, unless the gradient has all but vanished."""
        self.largest = max(self.largest, math.sqrt(square))
        if square > 1e-6 * self.largest**2:
            f = self.kernel.f
            share = float(max(f.max(), -f.min()) ** 2 * self.alpha / self.n / square)
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
    linear = max(map(np.max, curvature)) == min(map(np.min, curvature))
    return MINIMAL_TOL if linear else RANK_TOL


class Iterations:
    """One scramble of a discrete dynamics; the next iterate is always at hand."""

    def __init__(self, settings, equations, steps, seed, max_rank):
        path_seed, batch_seed = seed.spawn(2)
        self.equations, self.kept = equations, settings.response_paths
        self.paths = Paths(settings, equations, path_seed, max_rank)
        self._return = returning(equations.constraint)
        rng = np.random.Generator(np.random.PCG64DXSM(batch_seed))
        self._batches = equations.batches(steps + 1, settings.paths, rng)
        self.points, self.ranks, self.records, self.curvatures = [], [], [], []
        self.point = self.before = equations.start
        if equations.initial_velocity:
            self.before = _padded(self.point, self.paths.noise_direction() + 1)
            self.before[-1] = -equations.initial_velocity
        self._visit()

    def step(self):
        """Go to the next iterate."""
        if self._following is None:
            raise self._end
        self.before, self.point = self.point, self._following
        self._visit()

    def _visit(self):
        """Gradient and observables at the present iterate, and the step from it."""
        eq, paths, t = self.equations, self.paths, len(self.points)
        alpha, a, b, variance = (values[t] for values in (eq.learning_rate, eq.inertia, eq.lookahead, eq.noise_force))
        rank = paths.rank
        x, before = _padded(self.point, 2 + rank), _padded(self.before, 2 + rank)
        z = x + b * (x - before)
        weight = next(self._batches) if self._batches is not None else None
        gradient = paths.gradient(z, x if eq.looks_ahead else None, weight, t)
        force = -gradient.vector
        if variance > 0:
            noise = paths.noise_direction(t)
            force = _padded(force, noise + 1)
        x, before, z = (_padded(c, len(force)) for c in (x, before, z))
        if eq.constraint.soft:
            force -= eq.constraint.multiplier(z @ z) * z
        free = x + a * (x - before) + alpha * force
        if variance > 0:
            free[noise] += alpha * math.sqrt(variance)
        try:
            self._following, mu = self._return(free, z, alpha, 1.0)
        except SolverError as error:  # raised in the next step: this iterate is still good
            self._following, mu, self._end = None, math.inf, SolverError(f"iteration {t}: {error}", time=t)
        if eq.constraint.soft:
            mu = eq.constraint.multiplier(z @ z)
        self._record(x, z, mu, force, gradient)
        self.points.append(x)
        self.ranks.append(rank)
        if self.kept:
            self.curvatures.append(gradient.curvature[: self.kept].copy())

    def _record(self, x, z, mu, force, gradient):
        eq = self.equations
        row = eq.observables(x, gradient.other_loss) | {"mu": mu}
        slope = force if eq.constraint.soft else force - (force @ z) / (z @ z) * z
        row["gradient_norm"] = slope @ slope
        if eq.looks_ahead:
            ahead = eq.observables(z, gradient.loss)
            row |= {f"{name}_lookahead": ahead[name] for name in ("m", "energy", "squared_norm")}
        self.records.append(row)

    def value(self, name, n):
        """A scalar at the first n times."""
        return np.array([row[name] for row in self.records[:n]])

    def correlation(self, n):
        """C on the first n times, square."""
        c = _stacked(self.points[:n])
        return c @ c.T

    def response(self, n):
        """R on the first n times, square, from the tangents of the first paths."""
        from .. import _paths as kernel

        eq = self.equations
        tiles = -(-self.kept // kernel.tile)
        curvature = np.zeros((n, tiles * kernel.tile))
        curvature[:, : self.kept] = self.curvatures[:n]
        curvature = np.ascontiguousarray(curvature.reshape(n, tiles, kernel.tile).swapaxes(0, 1))
        mu, rate, zero = self.value("mu", n), eq.learning_rate[:n], np.zeros(n)
        scale, shift, penalty = np.ones(n), zero, zero
        if eq.constraint.soft:
            penalty = mu
        elif eq.constraint.method == "normalize":
            scale = 1 / (1 + rate * mu)
        else:
            shift = rate * mu
        alpha = eq.alpha * tiles * kernel.tile / self.kept  # the padding counts in the mean of the kernel
        schedules = (np.ascontiguousarray(x[:n], dtype=float) for x in (eq.inertia, eq.lookahead))
        return kernel.response(curvature, alpha, scale, shift, rate.copy(), *schedules, penalty, instruction_set())

    def keep(self, n):
        """The paths, for joint laws at the first n times."""
        kernel, rank = self.paths.kernel, self.paths.rank
        kernel.settle()
        rows = [kernel.row(i) for i in range(kernel.first, kernel.rows)]
        eps, forces = rows[::2], np.array(rows[1::2]).reshape(rank, self.paths.n)
        directions = np.array([kernel.row(0), kernel.row(1), *(e + f for e, f in zip(eps, forces, strict=True))])
        points = np.zeros((n, 2 + rank))
        points[:, : max(map(len, self.points[:n]))] = _stacked(self.points[:n])
        return KeptPaths(kernel.y[: self.paths.n].copy(), directions, forces, points, np.array(self.ranks[:n]))

    def state(self):
        """Plain data from which ``restore`` continues bit for bit."""
        names = sorted(self.records[0])
        return {
            "points": _stacked(self.points),
            "lengths": np.array([len(x) for x in self.points]),
            "ranks": np.array(self.ranks),
            "records": np.array([[row[name] for name in names] for row in self.records]),
            "curvatures": np.array(self.curvatures),
            "before": self.before,
            "following": self._following,
            "paths": self.paths.state(),
        }

    def restore(self, state):
        """Take up the state of a scramble with the same arguments."""
        names = sorted(self.records[0])
        self.points = [row[:n].copy() for row, n in zip(state["points"], state["lengths"], strict=True)]
        self.ranks = state["ranks"].tolist()
        self.records = [dict(zip(names, row, strict=True)) for row in state["records"].tolist()]
        self.curvatures = list(state["curvatures"])
        self.point, self.before, self._following = self.points[-1], state["before"], state["following"]
        self.paths.restore(state["paths"])
        if self._batches is not None:
            for _ in self.points[1:]:
                next(self._batches)


class Flow(Iterations):
    """One scramble of gradient flow: the midpoint rule of step ``dt``, on the sphere brought back to it.

    Errors are of order dt^2, with an expansion in powers of dt.
    """

    def __init__(self, settings, equations, dt, seed, max_rank):
        self.equations, self.kept, self.dt = equations, 0, dt
        self.paths = Paths(settings, equations, seed, max_rank)
        self.points, self.ranks, self.records, self.curvatures = [], [], [], []
        self._batches, self.before = None, equations.start
        self.point = equations.start
        self._visit()

    def _visit(self):
        x, rank, t = self.point, self.paths.rank, self.dt * len(self.points)
        slope, gradient, mu = self._slope(x, t)
        row = self.equations.observables(x, gradient.loss) | {"mu": mu, "gradient_norm": slope @ slope}
        self.records.append(row)
        self.points.append(x)
        self.ranks.append(rank)
        middle = self._project(_padded(x, len(slope)) + self.dt / 2 * slope)
        slope, _, _ = self._slope(middle, t + self.dt / 2)
        self._following = self._project(_padded(x, len(slope)) + self.dt * slope)

    def _slope(self, x, t):
        """dx/dt, the gradient and mu."""
        gradient = self.paths.gradient(x, t=t)
        x, constraint = _padded(x, len(gradient.vector)), self.equations.constraint
        mu = constraint.multiplier(x @ x) if constraint.soft else -(gradient.vector @ x) / (x @ x)
        return -gradient.vector - mu * x, gradient, mu

    def _project(self, x):
        return x if self.equations.constraint.soft else x / math.sqrt(x @ x)


class Extrapolated:
    """One scramble of gradient flow at the step dt and, on the same points, at dt/2.

    What it returns is extrapolated to dt = 0, (4 fine - coarse)/3; the error of ``fine`` is |fine - coarse|/3.
    """

    def __init__(self, settings, equations, dt, seed, max_rank):
        # two children of equal content: both start from the same points and normal numbers
        again = np.random.SeedSequence(entropy=seed.entropy, spawn_key=seed.spawn_key)
        self.coarse = Flow(settings, equations, dt, seed, max_rank)
        self.fine = Flow(settings, equations, dt / 2, again, max_rank)
        self.paths = self.fine.paths

    @property
    def records(self):
        """Its length is the number of times."""
        return self.coarse.records

    def step(self):
        """Go on by dt."""
        self.fine.step()
        self.fine.step()
        self.coarse.step()

    def value(self, name, n):
        """A scalar at the first n times."""
        return _extrapolated(self.fine.value(name, 2 * n - 1)[::2], self.coarse.value(name, n))

    def difference(self, name, n):
        """Fine minus coarse."""
        return self.fine.value(name, 2 * n - 1)[::2] - self.coarse.value(name, n)

    def correlation(self, n):
        """C on the first n times, square."""
        c = _stacked(self.fine.points[: 2 * n - 1 : 2])
        return _extrapolated(c @ c.T, self.coarse.correlation(n))

    def keep(self, n):
        """The paths of the fine step."""
        kept = self.fine.keep(2 * n - 1)
        return KeptPaths(kept.y, kept.directions, kept.forces, kept.points[::2], kept.ranks[::2])

    def state(self):
        """Plain data from which ``restore`` continues bit for bit."""
        return {"coarse": self.coarse.state(), "fine": self.fine.state()}

    def restore(self, state):
        """Take up the state of a scramble with the same arguments."""
        self.coarse.restore(state["coarse"])
        self.fine.restore(state["fine"])


def _extrapolated(fine, coarse):
    return (4 * fine - coarse) / 3


def _padded(vector, length):
    """The vector with zeros on directions opened since."""
    return np.concatenate([vector, np.zeros(length - len(vector))])


def _stacked(vectors):
    """Vectors of growing length as rows, filled with zeros."""
    out = np.zeros((len(vectors), max(map(len, vectors))))
    for row, vector in zip(out, vectors, strict=True):
        row[: len(vector)] = vector
    return out


class PathsRun:
    """A run of all scrambles, as the driver of ``solve`` sees it."""

    block = 1  # the points between the times are on straight lines
    final = True

    def __init__(self, settings, equations, duration):
        self.integrator, self.equations = settings, equations
        self._check_options()
        self.dt, self.steps = settings.grid(equations, duration)
        need, have = settings.memory(equations, self.steps), available_memory()
        if need > have:
            raise MemoryError(
                f"{settings.scrambles} scrambles of {settings.paths} paths with {settings.rank(equations, self.steps)} "
                f"directions and {self.steps} steps need up to {need} bytes, {have:.0f} are available: use fewer paths "
                "or scrambles, or a smaller max_rank"
            )
        self.seconds, self.stopped, self._error = 0.0, False, None
        seeds = np.random.SeedSequence(settings.seed).spawn(settings.scrambles)
        rank = settings.rank(equations, self.steps)
        kind, step = (Iterations, self.steps) if equations.discrete else (Extrapolated, self.dt)
        self.solver = [kind(settings, equations, step, seed, rank) for seed in seeds]
        self._t = self.dt * np.arange(self.steps + 1)

    def _check_options(self):
        s = self.integrator
        if s.dt is not None and self.equations.discrete:
            raise ValueError(f"dt = {s.dt!r} is not allowed: the dynamics is discrete in time")
        if s.response_paths and not self.equations.discrete:
            raise ValueError(
                f"response_paths = {s.response_paths} is not allowed for gradient flow: use GradientDescent with a "
                "small learning rate"
            )

    @property
    def finished(self):
        """Whether the last iterate is known, or the run was ended."""
        return self.stopped or self.size == self.steps + 1

    @property
    def size(self):
        """Number of known times."""
        return min(len(scramble.records) for scramble in self.solver)

    @property
    def t(self):
        """Known times."""
        return self._t[: self.size]

    def advance(self):
        """Take some steps, about a tenth of a second of work.

        A failure is raised one call later if there were steps before it, so that the driver sees
        these first.
        """
        if self._error is not None:
            raise SolverError(str(self._error), time=float(self.t[-1]))
        began, size = time.perf_counter(), self.size
        pace = self.seconds / size if self.seconds else 0.1
        target = min(self.steps + 1, size + max(1, int(0.1 / pace)))
        threads = usable_threads(self.integrator.threads)
        with ThreadPoolExecutor(threads) as pool:
            errors = list(pool.map(lambda scramble: _run_to(scramble, target), self.solver))
        self._error = next((error for error in errors if error is not None), None)
        self.seconds += time.perf_counter() - began
        if self._error is not None and self.size == size:
            raise SolverError(str(self._error), time=float(self.t[-1]))
        if self.finished:
            self._warn()

    def _warn(self):
        """Warn of a path that carried much of a gradient."""
        share, t = self._largest_share()
        if share > LARGE_SHARE:
            warnings.warn(
                f"one path of {self.integrator.paths} carries {share:.0%} of the mean square of l' at t = {t:g}: the "
                "averages there have heavy tails and their standard errors are uncertain; use more paths",
                RuntimeWarning,
                stacklevel=5,  # the caller of solve
            )

    def _largest_share(self):
        return max((scramble.paths.share, scramble.paths.shared_at) for scramble in self.solver)

    def end_stage(self):
        """Stop here (terminal event)."""
        self.stopped = True
        self._warn()

    def _of_scrambles(self, name, n):
        return np.array([scramble.value(name, n) for scramble in self.solver])

    def scalars(self):
        """Means over the scrambles, ``{name: (n,)}`` (docs/equations.md)."""
        n, eq = self.size, self.equations
        out = {name: self._of_scrambles(name, n).mean(axis=0) for name in eq.names if name != "time"}
        if eq.time is not None:
            out["time"] = eq.time[:n]
        return out

    def two_time(self, n):
        """(C, R) on the first n times: packed triangles and the blocks on the diagonal."""
        self._two_time_errors = {}
        C = self._two_time("C", [scramble.correlation(n) for scramble in self.solver], True)
        if not self.integrator.response_paths:
            return C, None
        return C, self._two_time("R", [scramble.response(n) for scramble in self.solver], False)

    def _two_time(self, name, squares, symmetric):
        n = len(squares[0])
        mean = sum(squares) / len(squares)
        if len(squares) > 1:
            scatter = sum((square - mean) ** 2 for square in squares)
            self._two_time_errors[name] = np.tril(np.sqrt(scatter / (len(squares) * (len(squares) - 1))))
        packed = mean[np.tril_indices(n)]
        return packed, linear_blocks(packed, n, symmetric)

    def stderr(self, n):
        """Standard errors at the first n times, those of C and R as lower-triangular arrays."""
        count = len(self.solver)
        if count == 1:
            return {}
        names = [name for name in self.equations.names if name != "time"]
        with np.errstate(invalid="ignore"):  # of an infinite multiplier there is no error
            out = {k: self._of_scrambles(k, n).std(axis=0, ddof=1) / math.sqrt(count) for k in names}
        return out | self._two_time_errors

    def kept_paths(self, n):
        """The paths of every scramble, or None."""
        return [scramble.keep(n) for scramble in self.solver] if self.integrator.keep_paths else None

    @property
    def progress(self):
        """(fraction of the work, label)."""
        return (self.size - 1) / self.steps, "solve"

    def stats(self):
        """Numbers about the run."""
        share, at = self._largest_share()
        first = self.solver[0].paths.kernel
        return {
            "integrator": repr(self.integrator),
            "steps": self.size - 1,
            **({} if self.equations.discrete else {"dt": self.dt}),
            "solver_seconds": self.seconds,
            "bytes": self.integrator.memory(self.equations, self.steps),
            "threads": usable_threads(self.integrator.threads),
            "instruction_set": first.instruction_set,
            "paths": self.integrator.paths,
            "scrambles": self.integrator.scrambles,
            "rank": max(scramble.paths.rank for scramble in self.solver),
            "rank_tol": self.solver[0].paths.tol,
            "largest_share": share,
            "largest_share_time": float(at),
            "error": None if self.equations.discrete else self._step_errors(),
        }

    def _step_errors(self):
        """Estimated error of the step, before extrapolation: of m relative, of the others absolute."""
        n, out = self.size, {}
        for name in self.equations.names:
            error = np.abs(np.mean([s.difference(name, n) for s in self.solver], axis=0)) / 3
            if name == "m":
                error = error / np.maximum(np.abs(self._of_scrambles("m", n).mean(axis=0)), 1e-300)
            out[name] = float(error.max())
        return out

    # --- checkpoint ----------------------------------------------------------------------

    def state(self):
        """Plain data from which ``restore`` continues bit for bit."""
        return {
            "finished": int(self.finished),
            "final": 1,
            "seconds": self.seconds,
            "solver": {"t": float(self.t[-1]), "scrambles": [scramble.state() for scramble in self.solver]},
        }

    def restore(self, state):
        """Take up the state of a run with the same arguments."""
        self.seconds, self.stopped = float(state["seconds"]), bool(state["finished"])
        for scramble, data in zip(self.solver, state["solver"]["scrambles"], strict=True):
            scramble.restore(data)


def _run_to(scramble, target):
    """Step until ``target`` times are known; the failure if there was one."""
    try:
        while len(scramble.records) < target:
            scramble.step()
    except SolverError as error:
        return error
    return None
