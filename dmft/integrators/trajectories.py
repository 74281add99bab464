"""The weights of one scramble in time: any first-order method on their coefficients (docs/equations.md, eq. 31-33)."""

import math

import numpy as np

from ..dynamics.steps import returning
from ..errors import SolverError
from ..machine import instruction_set
from ..solution import KeptPaths
from .directions import Paths


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
        self._end = None  # why there is no step from the present iterate
        if equations.initial_velocity:
            self.before = _padded(self.point, self.paths.noise_direction() + 1)
            self.before[-1] = -equations.initial_velocity
        self._visit()

    def step(self):
        """Go to the next iterate."""
        if self._end is not None:
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
        gradient = paths.gradient(z, x if eq.looks_ahead else None, weight, alpha, t)
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
            self._following, mu, self._end = x, math.inf, SolverError(f"iteration {t}: {error}", time=t)
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
        directions, forces = np.empty((2 + rank, self.paths.n)), np.empty((rank, self.paths.n))
        directions[0], directions[1] = kernel.row(0), kernel.row(1)
        for k in range(rank):
            forces[k] = kernel.row(kernel.first + 2 * k + 1)
            np.add(kernel.row(kernel.first + 2 * k), forces[k], out=directions[2 + k])
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
            "end": "" if self._end is None else str(self._end),
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
        self._end = SolverError(state["end"], time=len(self.points) - 1) if state["end"] else None
        self.paths.restore(state["paths"])
        if self._batches is not None:
            for _ in self.points[1:]:
                next(self._batches)


class Flow(Iterations):
    """One scramble of gradient flow: the midpoint rule of step ``dt``, returned to the sphere if there is one.

    Errors are of order dt^2, with an expansion in powers of dt.
    """

    def __init__(self, settings, equations, dt, seed, max_rank):
        self.equations, self.kept, self.dt = equations, 0, dt
        self.paths = Paths(settings, equations, seed, max_rank)
        self.points, self.ranks, self.records, self.curvatures = [], [], [], []
        self._batches, self._end = None, None
        self.point = self.before = equations.start
        self._visit()

    def step(self):
        """Go on by dt."""
        x, slope, t = self.point, self._following, self.dt * (len(self.points) - 1)
        middle = self._project(_padded(x, len(slope)) + self.dt / 2 * slope)
        slope, _, _ = self._slope(middle, t + self.dt / 2)
        self.before, self.point = x, self._project(_padded(x, len(slope)) + self.dt * slope)
        self._visit()

    def _visit(self):
        """Observables and slope at the present time."""
        x, rank = self.point, self.paths.rank
        self._following, gradient, mu = self._slope(x, self.dt * len(self.points))
        row = self.equations.observables(x, gradient.loss) | {"mu": mu}
        self.records.append(row | {"gradient_norm": self._following @ self._following})
        self.points.append(x)
        self.ranks.append(rank)

    def _slope(self, x, t):
        """dx/dt, the gradient and mu."""
        gradient = self.paths.gradient(x, step=self.dt, t=t)
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
