"""Names of types that annotations share.

A function that returns a float for a number and an array for anything else array_like has two overloads, of which the
first that fits counts: ``Number`` to float, ``ArrayLike`` to ``Array``.
"""

from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

Array: TypeAlias = NDArray[np.float64]
Number: TypeAlias = float | np.floating[Any] | np.integer[Any]
