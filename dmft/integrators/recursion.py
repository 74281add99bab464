"""ExactRecursion: the two-time equations of the discrete dynamics, without a time-step error.

The recursion is described at the top of ext/_recursion.pyx.  C and R take 16 bytes per pair; the
work is one pass over both triangles per step, 4/3 T^3 flops for T steps.
"""

import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from .. import _check
from .._plain import about
from .._typing import Array
from ..equations import RecursionEquations, taylor
from ..errors import SolverError
from ..machine import available_memory, instruction_set, usable_threads
from ..solution import TwoTime, linear_blocks
from .base import Integrator, Run


@dataclass(frozen=True)
class ExactRecursion(Integrator):
    """The exact recursion of gradient descent, heavy ball and Nesterov.

    Parameters
    ----------
    threads : int
        Threads of the kernel (one in a forked child process, where OpenMP cannot be used again).
        Results of different thread counts differ in the last digits.

    Raises
    ------
    TypeError, ValueError
        For wrong arguments; the message names the parameter.

    Examples
    --------
    >>> import dmft
    >>> model = dmft.SpikedMatrixTensor(p=3, delta2=1.0, deltap=2 / 3, constraint=dmft.SoftSphere(10.0))
    >>> sol = dmft.solve(model, dmft.HeavyBall(0.01, 0.9), steps=100, integrator=dmft.ExactRecursion(threads=2))
    >>> round(float(sol.energy[-1]), 6)
    -1.860648
    """

    threads: int = field(default=1, metadata=about("threads of the kernel"))

    kind = "exact-recursion"
    equations = (RecursionEquations,)
    automatic = True

    def __post_init__(self) -> None:
        object.__setattr__(self, "threads", _check.integer("threads", self.threads, low=1, high=64))

    def start(self, equations: RecursionEquations, duration: float) -> "RecursionRun":
        """Begin a run."""
        return RecursionRun(self, equations, int(duration))

    def estimate(self, equations: RecursionEquations, duration: float) -> dict[str, Any]:
        """Cost before the run: ``{"steps", "dt", "bytes", "seconds"}``."""
        steps = int(duration)
        return {
            "steps": steps,
            "dt": 1.0,
            "bytes": memory(steps),
            "seconds": 2e-6 * steps + 2e-10 * steps**3 / self.threads,
        }


def memory(steps):
    """Bytes of a run: 16 per pair (t >= t') for C and R, and about half a kB per step."""
    n = steps + 1
    return 8 * n * (n + 1) + n * (32 * 2 + 40 * 8 + 200)


class RecursionRun(Run):
    """A run of the recursion, as the driver of ``solve`` sees it."""

    block = 1  # the points between iterations are on straight lines
    final = True

    def __init__(self, integrator: Any, equations: Any, steps: int) -> None:
        from .. import _recursion as kernel  # type: ignore[attr-defined]  # compiled

        need, have = memory(steps), available_memory()
        if need > have:
            raise MemoryError(
                f"steps = {steps} needs {need} bytes for C and R, {have:.0f} are available: use fewer steps"
            )
        self.integrator, self.equations, self.steps = integrator, equations, steps
        self.seconds, self.stopped = 0.0, False
        constraint = equations.constraint
        methods = {"normalize": kernel.NORMALIZE, "lagrange": kernel.LAGRANGE}
        self._schedules = [equations.inertia, equations.lookahead, equations.learning_rate, equations.noise]
        self.solver = kernel.Recursion(
            taylor(equations.coefficients),
            equations.m0,
            *self._schedules,
            equations.initial_velocity,
            kernel.SOFT if constraint.soft else methods[constraint.method],
            constraint.strength if constraint.soft else 0.0,
            usable_threads(integrator.threads),
            instruction_set(),
        )
        self._t = np.arange(steps + 1, dtype=float)

    @property
    def finished(self) -> bool:  # type: ignore[override]  # follows from the solver
        """Whether the last iterate is known, with its mu, or the run was ended."""
        from .. import _recursion as kernel  # type: ignore[attr-defined]  # compiled

        return self.stopped or (self.solver.done == self.steps + 1 and self.solver.status == kernel.OK)

    def advance(self) -> None:
        """Take some steps, a few milliseconds of work.

        A failure is raised one call later if there were steps before it, so that the driver sees
        these first.
        """
        began, size = time.perf_counter(), self.size
        status = self.solver.advance(int(np.clip(2e7 / size**2, 1, 64)))
        self.seconds += time.perf_counter() - began
        if self.size == size:
            self._raise(status)

    def _raise(self, status):
        from .. import _recursion as kernel  # type: ignore[attr-defined]  # compiled

        t = self.size - 1
        if status == kernel.DIVERGED:
            raise SolverError(
                f"the dynamics diverges: |x|^2/N is not finite or above 1e12 at iteration {t + 1}", time=t
            )
        if status == kernel.NO_MULTIPLIER:
            raise SolverError(
                f"no Lagrange multiplier brings the step from t = {t} back to the sphere (mu is inf): use a smaller "
                "learning_rate or Sphere(method='normalize')",
                time=t,
            )

    def end_stage(self) -> None:
        """Stop here (terminal event)."""
        self.stopped = True

    @property
    def size(self) -> int:
        """Number of known iterates."""
        return self.solver.done

    @property
    def t(self) -> Array:
        """Known iterations."""
        return self._t[: self.size]

    def scalars(self) -> dict[str, Array]:
        """Observables per iteration, ``{name: (n,)}`` (docs/equations.md)."""
        n, s, eq = self.size, self.solver, self.equations
        out = {"m": s.m[:n], "mu": s.mu[:n], "energy": s.energy[:, :n].sum(axis=0)}
        out.update({f"energy_{k}": s.energy[k, :n] for k in sorted(eq.coefficients)})
        if eq.constraint.soft:
            out["squared_norm"] = s.C[np.arange(n) * np.arange(3, n + 3) // 2]
            out["energy_penalty"] = eq.constraint.energy(out["squared_norm"])
            out["energy"] += out["energy_penalty"]
        out["gradient_norm"] = s.gradient_norm[:n]
        if eq.looks_ahead:
            out["m_lookahead"], out["squared_norm_lookahead"] = s.m_z[:n], s.norm_z[:n]
            out["energy_lookahead"] = s.energy_z[:, :n].sum(axis=0)
            if eq.constraint.soft:
                out["energy_lookahead"] += eq.constraint.energy(s.norm_z[:n])
        if eq.time is not None:
            out["time"] = eq.time[:n]
        return out

    def functions(self, n: int) -> tuple[Any, Any]:
        """C and R on the first n iterates."""
        t, size = self.t[:n].copy(), n * (n + 1) // 2
        C, R = self.solver.C[:size], self.solver.R[:size]
        C = TwoTime(t, t, C, linear_blocks(C, n), self.block)
        return C, TwoTime(t, t, R, linear_blocks(R, n, symmetric=False), self.block)

    @property
    def progress(self) -> tuple[float, str]:
        """(fraction of the work, label)."""
        return ((self.size - 1) / self.steps) ** 3, "solve"

    def stats(self) -> dict[str, Any]:
        """Numbers about the run."""
        return {
            "integrator": repr(self.integrator),
            "steps": self.size - 1,
            "solver_seconds": self.seconds,
            "bytes": memory(self.steps),
            "threads": self.solver.threads,
            "instruction_set": self.solver.instruction_set,
            "error": None,
        }

    # --- checkpoint ----------------------------------------------------------------------

    def state(self) -> dict[str, Any]:
        """Plain data from which ``restore`` continues bit for bit."""
        return {
            "finished": int(self.finished),
            "final": 1,
            "seconds": self.seconds,
            "schedules": np.array(self._schedules),
            "solver": {**self.solver.state(), "t": float(self.t[-1])},
        }

    def restore(self, state: Mapping[str, Any]) -> None:
        """Take up the state of a run with the same arguments."""
        if not np.array_equal(self._schedules, state["schedules"]):
            raise ValueError("dynamics: the schedule is not that of the checkpoint, its values differ")
        self.seconds = float(state["seconds"])
        self.stopped = bool(state["finished"])
        self.solver.restore(state["solver"])
