"""What figures say: symbols of scalars and parameters, numbers."""

from typing import Any

import numpy as np

from .._plain import Kind
from ..dynamics import Dynamics
from ..equations.scalars import TABLE, scalar
from ..models import Constraint, Model
from ..starts import Start

ARGUMENTS = {"N": "$N$", "t_max": r"$t_\mathrm{max}$"}  # of simulate and solve, which are fields of no class
ENDINGS = {
    "_stderr_final": "final {}, standard error",
    "_final": "final {}",
    "_stderr": "{}, standard error",
    "_error": "{}, estimated error",
}


def parameter_symbols() -> dict[str, str]:
    """Symbols of the parameters of all models, constraints, dynamics and starts, by name."""
    families: tuple[type[Kind], ...] = (Model, Constraint, Dynamics, Start)
    fields = [field for family in families for cls in family.kinds.values() for field in cls.parameters()]
    return ARGUMENTS | {field.name: field.metadata["symbol"] for field in fields if "symbol" in field.metadata}


def symbol(name: str) -> str:
    """Symbol of a scalar or a parameter, or its name."""
    if name in TABLE:
        return scalar(name).label
    return parameter_symbols().get(name, name.replace("_", " "))


def variable(name: str) -> tuple[str, str]:
    """The scalar that a variable of a scan belongs to, and how its label goes on."""
    for end, words in ENDINGS.items():
        if name.endswith(end):
            return name.removesuffix(end), words
    return name, "{}"


def logarithmic(name: str) -> bool:
    """Whether a variable of a scan is shown on a logarithmic axis."""
    return name.startswith("escape_time") or scalar(variable(name)[0]).logarithmic


def number(value: Any) -> str:
    """A value for labels: four digits, powers of ten as such."""
    if not isinstance(value, (int, float, np.number)) or isinstance(value, bool):
        return str(value)
    if np.isinf(value):
        return r"$\infty$" if value > 0 else r"$-\infty$"
    if value == 0 or 1e-3 <= abs(float(value)) < 1e5:
        return f"{value:.4g}"
    digits, power = f"{value:.3e}".split("e")
    digits = f"{float(digits):g}"
    factor = digits[:-1] if digits in ("1", "-1") else rf"{digits}\times"
    return rf"${factor}10^{{{int(power)}}}$"
