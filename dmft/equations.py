"""The two-time equations as numbers: what an integrator sees of a model and a dynamics."""

from dataclasses import dataclass

import numpy as np

from .dynamics import Annealing


@dataclass(frozen=True)
class TwoTimeEquations:
    """Overdamped dynamics on the sphere (docs/equations.md, eq. 1-5).

    Attributes
    ----------
    coefficients : dict
        ``{k: g_k}`` of Q(x) = sum_k g_k x^k.
    temperature, m0 : float
    annealing : Annealing or None
    """

    coefficients: dict
    temperature: float
    m0: float
    annealing: Annealing | None = None

    def taylor(self):
        """g_k for k = 0..top as an array."""
        out = np.zeros(max(self.coefficients, default=2) + 1)
        for k, g in self.coefficients.items():
            out[k] = g
        return out

    def inverse_temperature(self, t, t_max=None):
        """1/T_k(t) as an array (top + 1, len(t)); ones without annealing.

        A schedule that is not defined beyond ``t_max`` keeps its last value there.
        """
        out = np.ones((len(self.taylor()), len(t)))
        if self.annealing is not None:
            inside = t if t_max is None else t[t <= t_max]
            for k in self.coefficients:
                out[k, : len(inside)] = self.annealing.inverse(k, inside)
                try:
                    out[k, len(inside) :] = self.annealing.inverse(k, t[len(inside) :])
                except (ValueError, TypeError, ArithmeticError):
                    out[k, len(inside) :] = self.annealing.inverse(k, np.array([t_max]))
        return out

    def kinks(self):
        """Times at which the equations are not smooth in t."""
        return self.annealing.kinks() if self.annealing is not None else []

    def rate(self, t_max):
        """Scale of the fastest relaxation rate: the larger of T + Q'(1) and 2 sqrt(Q''(1)).

        These are mu of the equilibrium at temperature T and of a marginal state at T = 0; with
        annealing the largest value over the run counts.
        """
        k = np.arange(len(self.taylor()))
        beta = self.inverse_temperature(np.linspace(0.0, t_max, 65)).max(axis=1)
        g = self.taylor() * beta**2
        return max(self.temperature + k @ g, 2.0 * np.sqrt((k * (k - 1)) @ g), 1e-3)
