"""Scalars of a solution: the one table of what files, figures and messages say of them.

A scalar is known by its name in ``Solution.scalars``; the families ``energy_k`` and ``hessian_k`` have a number.
"""

from collections.abc import Iterable
from dataclasses import dataclass


@dataclass(frozen=True)
class Scalar:
    """One quantity.

    Attributes
    ----------
    name : str
    long_name : str
        For files.
    symbol : str
        For figures: a label of an axis.
    unit : str
        Everything is dimensionless so far.
    logarithmic : bool
        Whether figures show it on a logarithmic axis.
    """

    name: str
    long_name: str
    symbol: str = ""
    unit: str = "1"
    logarithmic: bool = False

    @property
    def label(self) -> str:
        """What an axis says: the symbol, or the name in words."""
        return self.symbol or self.name.replace("_", " ")


TABLE = {
    scalar.name: scalar
    for scalar in (
        Scalar("t", "time, or number of the iteration"),
        Scalar("t_prime", "earlier time t' (same values as t)"),
        Scalar("t_row", "times of the stored rows of C and R"),
        Scalar("m", "overlap with the signal, x.x*/N", "overlap m"),
        Scalar("mu", "Lagrange multiplier of the spherical constraint |x|^2 = N, or strength (|x|^2/N - 1)", r"$\mu$"),
        Scalar("energy", "energy per N", "energy per N"),
        Scalar("energy_penalty", "penalty of the soft sphere per N"),
        Scalar("squared_norm", "|x|^2/N"),
        Scalar("gradient_norm", "squared norm of the gradient per N, at the point where the step takes it"),
        Scalar("m_lookahead", "overlap of the look-ahead point with the signal"),
        Scalar("energy_lookahead", "energy per N at the look-ahead point"),
        Scalar("squared_norm_lookahead", "|z|^2/N of the look-ahead point"),
        Scalar("time", "physical time"),
        Scalar("train_loss", "mean loss of the measurements", logarithmic=True),
        Scalar("population_loss", "expected loss of a new measurement", logarithmic=True),
        Scalar("error", "squared distance to the signal per N, up to its sign", r"$\min_\pm |w \mp w^*|^2/N$"),
        Scalar("success", "fraction of samples that found the signal"),
        Scalar("hessian_overlap", "squared overlap of the lowest eigenvector of the Hessian with the signal"),
        Scalar("K", "|dx/dt|^2/N"),
        Scalar("V", "x.dx/dt / N"),
        Scalar("C", "correlation C(t, t') = <x(t).x(t')>/N"),
        Scalar("R", "response R(t, t') of x to a force (to that of step t' for discrete dynamics)"),
    )
}


def scalar(name: str) -> Scalar:
    """What is known of a scalar; of an unknown one its name."""
    if name in TABLE:
        return TABLE[name]
    family, _, number = name.rpartition("_")
    if number.isdigit() and family == "energy":
        return Scalar(name, f"energy per N of channel {number}")
    if number.isdigit() and family == "hessian":
        return Scalar(name, f"lowest eigenvalue number {number} of the Hessian")
    return Scalar(name, name)


def long_name(name: str) -> str:
    """What files say of a variable."""
    if name.endswith("_stderr"):
        return f"standard error of {name[:-7]}"
    return scalar(name).long_name


def field_scalars(orders: Iterable[int], soft: bool) -> list[str]:
    """Names of the scalars of a Gaussian field."""
    penalty = ["squared_norm", "energy_penalty"] if soft else []
    return ["m", "mu", "energy", *(f"energy_{k}" for k in sorted(orders)), *penalty]


def measured_scalars(soft: bool) -> list[str]:
    """Names of the scalars of Gaussian measurements."""
    penalty = ["energy_penalty"] if soft else []
    losses = ["train_loss", "population_loss", "error", "gradient_norm"]
    return ["m", "mu", "energy", "squared_norm", *penalty, *losses]


def iterate_scalars(looks_ahead: bool, timed: bool) -> list[str]:
    """Names of the further scalars of a discrete dynamics."""
    ahead = ["m_lookahead", "squared_norm_lookahead", "energy_lookahead"] if looks_ahead else []
    return [*ahead, *(["time"] if timed else [])]


def motion_scalars(mass: float) -> list[str]:
    """Names of the further scalars of a continuous dynamics."""
    return ["K", "V"] if mass > 0 else []
