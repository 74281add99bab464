"""One step of a discrete dynamics and its return to the constraint, on vectors of any kind.

The same lines move the N weights of a simulation and the coefficients of the weights on the
directions of sampled paths; ``size`` is |x|^2 on the sphere, N or 1.
"""

import math

from ..errors import SolverError


def unconstrained(free, z, alpha, size):
    """Soft constraints: the penalty is part of the force."""
    return free, None


def normalize(free, z, alpha, size):
    """Back to the sphere along the radius: the next point, and mu."""
    scale = math.sqrt(free @ free / size)
    return free / scale, (scale - 1) / alpha


def along_gradient(free, z, alpha, size):
    """Back to the sphere along z, where the gradient was taken: the next point, and mu.

    Raises
    ------
    SolverError
        If no point of the sphere is on that line.
    """
    U, w, E = free @ free / size, free @ z / size, z @ z / size
    radicand = w**2 - E * (U - 1)
    if radicand < 0:
        raise SolverError(
            'Sphere("lagrange"): the step leaves the sphere too far to come back along z: '
            'use a smaller learning_rate or Sphere("normalize")'
        )
    theta = (w - math.sqrt(radicand)) / E
    return free - theta * z, theta / alpha


def returning(constraint):
    """The function of a constraint among the three above."""
    if constraint.soft:
        return unconstrained
    return {"normalize": normalize, "lagrange": along_gradient}[constraint.method]
