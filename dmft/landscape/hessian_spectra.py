"""Spectrum of the Hessian of ``PhaseRetrieval``: bulk edge, isolated eigenvalues, BBP transitions.

At weights w the Hessian is M + shift, with

    M = (1/d) sum_mu D_mu x_mu x_mu^T,   D = l''(h, y),   shift = multiplier of the constraint,

and only the joint law of (h, h*, y), a ``Law``, enters as d grows.  Below the bulk write
(1/d) tr (z - M)^-1 = -s with 0 < s < s_edge; the average E is over the law:

    z(s) = -1/s + alpha E[D / (1 + s D)],    edge: alpha E[(s D / (1 + s D))^2] = 1,

or s_edge = -1 / inf D where that equation has no root below it.  The weights are linear in a few
orthonormal directions, the signal first, with values e_j = v_j.x on the measurements.  In these the
resolvent is the inverse of the symmetric matrix (Schur complement)

    A(s) = z(s) - alpha E[D e e^T / (1 + s D)] - s U S^-1 U^T - (rank one of a soft sphere),
    U = alpha E[D e f^T / (1 + s D)],   S = alpha E[f f^T / (1 + s D)],

and an isolated eigenvalue is a root of det A.  The measurements orthogonal to the directions are fresh
Gaussians except that X_perp^T f = 0 for the forces f used so far, since every gradient lies in
the open directions; that is the term with U.  Along every branch A grows with s at least as fast as
z(s), so the number of isolated eigenvalues is the number of positive eigenvalues of A(s_edge), and each
is a bracketed root.  Directions of M other than these have no eigenvalue outside the bulk.

On the hard sphere the Hessian acts on the tangent space: the direction of w is taken out of e, which at overlap
m != 0 moves or removes isolated eigenvalues by order one and leaves the bulk alone.

Sources: Sarao Mannelli et al., "Complex Dynamics in Simple Neural Networks: Understanding Gradient Flow
in Phase Retrieval" (arXiv:2006.06997); Mignacco, Urbani, Zdeborova (arXiv:2103.04902); the transition is
that of Baik, Ben Arous, Peche (BBP).
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from scipy.optimize import brentq, root

from .. import _check
from .._typing import Array
from ..errors import SolverError
from ..models import PhaseRetrieval
from ..solution.law import CONSISTENT, Law

FAR = 1e30  # stands for infinity where the range of the curvature is found
UNBOUNDED = -1e20  # a curvature below it, at FAR, has no lower bound
REACH = 10.0  # Gaussians are cut there: weight 1e-22
CORE = 1e-3  # quadrature nodes are spaced evenly below, geometrically above
ROUNDING = 1e-12  # of sums over the points
SINGULAR = 1e-12  # eigenvalues of S, relative to the largest, taken as zero
LABELS, STATES = 64, 250  # nodes of the threshold states per panel of the label, and in h
FARTHEST = 60.0  # logarithms of chi and y
SCAN = 64  # points of a scan for the transition


@dataclass(frozen=True, eq=False)
class Spectrum:
    """Lower end of the spectrum of a Hessian.

    Attributes
    ----------
    edge : float
        Lower edge of the bulk, the shift included.  Where M >= 0 has a kernel of a finite fraction of all
        dimensions, that is the shift.
    outliers : (k,) float64
        Isolated eigenvalues below the bulk, ascending; often empty.
    overlaps : (k,) float64
        Squared overlap of their unit eigenvectors with w*/sqrt(d).
    lowest : float
        The lowest eigenvalue: ``outliers[0]``, or ``edge`` where there is none.
    shift : float
        Multiplier of the constraint, added to M.
    s_edge : float
        -(1/d) tr (z - M)^-1 at the edge; inf where M has that kernel.
    errors : dict of str to float or ndarray
        Standard errors under the names above, for the mean over several laws; else empty.
    """

    edge: float
    outliers: Array
    overlaps: Array
    lowest: float
    shift: float
    s_edge: float
    errors: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, eq=False)
class ThresholdStates:
    """Threshold states of the landscape: see ``threshold_states``.

    Attributes
    ----------
    chi, y : float
        Response of h and parameter of the breaking (the number of states grows as exp(d y E)).
    energy : float
        Loss per unknown, alpha E[l].
    mu : float
        Multiplier of the sphere, -alpha E[h l'].
    law : Law
        Law of h, h* and the label.
    spectrum : Spectrum
        That of the Hessian; its edge is 0 where h depends continuously on the data.
    """

    chi: float
    y: float
    energy: float
    mu: float
    law: Law
    spectrum: Spectrum


@dataclass(frozen=True, eq=False)
class _Measure:
    """What the resolvent needs, on points of positive weight; products in the directions of the Hessian."""

    D: np.ndarray  # curvatures
    w: np.ndarray  # alpha times the weights
    limit: float  # s < limit = -1/inf D
    e: np.ndarray  # directions
    f: np.ndarray | None  # forces
    signal: np.ndarray  # components of the signal on the directions
    rank_one: np.ndarray  # part of the Hessian that is not a sum over measurements

    def z(self, s):
        """Where the resolvent is -s."""
        return -1 / s + float(self.w @ (self.D / (1 + s * self.D)))

    def spread(self, s):
        """alpha E[(s D/(1 + s D))^2], which is 1 at the edge."""
        with np.errstate(over="ignore"):
            return float(self.w @ (s * self.D / (1 + s * self.D)) ** 2)

    def matrix(self, s):
        """A(s) and P = S^-1 U^T in the basis of the forces."""
        r = self.w / (1 + s * self.D)
        weighted = self.e * (r * self.D)
        A = self.z(s) * np.eye(len(self.e)) - weighted @ self.e.T - self.rank_one
        if self.f is None:
            return A, None
        U = weighted @ self.f.T
        values, vectors = np.linalg.eigh((self.f * r) @ self.f.T)
        kept = values > SINGULAR * values[-1]
        P = (vectors[:, kept] / values[kept]) @ (vectors[:, kept].T @ U.T)
        return A - s * U @ P, P

    def branch(self, s, k):
        """k-th eigenvalue of s A(s) from the top, -1 at s = 0."""
        return s * np.linalg.eigvalsh(self.matrix(s)[0])[-1 - k]


def random_start(model: PhaseRetrieval, *, m0: float = 0.0, points: int = 200) -> Law:
    """Law of weights independent of the data, of overlap m0 with the signal, on the sphere |w|^2 = d.

    Deterministic quadrature in (h, y), spaced geometrically from 1e-3 up, so that averages of functions like
    1/(a + y^2) converge exponentially whatever their scale: to ten digits and more for the normalized
    loss from a = 0.01 to 100 with the default ``points`` if ``|m0| <= 0.9``; raise it closer to 1.

    Parameters
    ----------
    model : PhaseRetrieval
        Only its noise matters.
    m0 : float
        Overlap w.w*/d, between -1 and 1.
    points : int
        Nodes of each of the two variables, at least 8.

    Returns
    -------
    Law
        Two directions, h* and the unit part of h orthogonal to it.

    Examples
    --------
    >>> import dmft
    >>> from dmft.landscape.hessian_spectra import random_start
    >>> law = random_start(dmft.PhaseRetrieval(alpha=3.0), m0=0.25)
    >>> round(float(law.weights @ (law.h * law.h_star)), 12)
    0.25
    """
    _check.instance("model", model, PhaseRetrieval, "a PhaseRetrieval(...)")
    m0 = _check.real("m0", m0, above=-1, below=1)
    points = _check.integer("points", points, low=8)
    u = np.linspace(-1, 1, points) * math.asinh(REACH / CORE)
    node, jacobian = CORE * np.sinh(u), np.cosh(u)
    h, y = (grid.ravel() for grid in np.meshgrid(node, node * math.sqrt(1 + model.noise), indexing="ij"))
    determinant = 1 + model.noise - m0**2
    exponent = ((1 + model.noise) * h * h - 2 * m0 * h * y + y * y) / (2 * determinant)
    weights = np.outer(jacobian, jacobian).ravel() * np.exp(-exponent)
    # Only second moments of h* at given (h, y) enter: two points one standard deviation away are exact.
    mean = (m0 * model.noise * h + (1 - m0**2) * y) / determinant
    deviation = math.sqrt(model.noise * (1 - m0**2) / determinant)
    signs = (-1, 1) if deviation > 0 else (0,)
    h_star = np.concatenate([mean + sign * deviation for sign in signs])
    h, y, weights = (np.tile(array, len(signs)) for array in (h, y, weights))
    far = FAR * np.array([(i, j) for i in (-1, 0, 1) for j in (-1, 0, 1) if (i, j) != (0, 0)]).T
    h, y, h_star = np.append(h, far[0]), np.append(y, far[1]), np.append(h_star, far[1])
    perpendicular = (h - m0 * h_star) / math.sqrt(1 - m0**2)
    return Law(h, h_star, y, np.append(weights, 0 * far[0]), np.stack([h_star, perpendicular]))


def spectrum(model: PhaseRetrieval, law: Law | Sequence[Law], *, multiplier: float | None = None) -> Spectrum:
    """Lower end of the spectrum of the Hessian.

    Parameters
    ----------
    model : PhaseRetrieval
        Its noise is not used: it is in the labels of the law.
    law : Law or sequence of Law
        Several laws are independent samples of one: the result is their mean with its standard error.
        An outlier is listed if more than half of them have it; the others count with their edge and overlap 0.
    multiplier : float, optional
        Added to M.  Default: that of a gradient dynamics at this moment, -alpha E[h l'] on the
        sphere; strength (|w|^2/d - 1) for the soft sphere, whose penalty also adds
        2 strength w w^T/d; strength for ridge.

    Returns
    -------
    Spectrum
        On the sphere, of the Hessian on the tangent space.

    Raises
    ------
    ValueError
        If the law promises what it does not keep (h a combination of the directions, orthonormal
        forces), or its curvature has no lower bound: then neither has the bulk.

    Examples
    --------
    >>> import dmft
    >>> from dmft.landscape.hessian_spectra import random_start, spectrum
    >>> model = dmft.PhaseRetrieval(alpha=12.0, loss="normalized", a=1.0)
    >>> result = spectrum(model, random_start(model))
    >>> print(f"{result.edge:.6f} {result.lowest:.6f} {result.overlaps[0]:.6f}")
    -62.830062 -70.195788 0.762968
    """
    _check.instance("model", model, PhaseRetrieval, "a PhaseRetrieval(...)")
    if multiplier is not None:
        multiplier = _check.real("multiplier", multiplier)
    if isinstance(law, Law):
        return _spectrum(model, law, multiplier)
    if not isinstance(law, Sequence) or not law or not all(isinstance(one, Law) for one in law):
        raise TypeError(f"law must be a Law(...) or a non-empty sequence of them, got {law!r}")
    return _mean([_spectrum(model, one, multiplier) for one in law])


def _spectrum(model, law, multiplier):
    """Spectrum of one law."""
    measure, shift = _measure(model, law)
    shift = shift if multiplier is None else multiplier
    s_edge = _edge(measure)
    if s_edge == math.inf:
        return Spectrum(shift, np.empty(0), np.empty(0), shift, shift, s_edge)
    edge = shift + measure.z(s_edge)
    count = int(np.count_nonzero(np.linalg.eigvalsh(measure.matrix(s_edge)[0]) > 0))
    roots = [_outlier(measure, s_edge, k) for k in range(count)]
    outliers = np.array([shift + measure.z(s) for s in roots])
    overlaps = np.array([_overlap(measure, s, k) for k, s in enumerate(roots)])
    return Spectrum(edge, outliers, overlaps, float(outliers[0]) if count else edge, shift, s_edge)


def _mean(spectra):
    """Mean and standard error of independent samples."""
    common = sorted(len(one.outliers) for one in spectra)[(len(spectra) - 1) // 2]
    columns = {name: [getattr(one, name) for one in spectra] for name in ("edge", "lowest", "shift", "s_edge")}
    columns["outliers"] = [np.append(one.outliers, common * [one.edge])[:common] for one in spectra]
    columns["overlaps"] = [np.append(one.overlaps, common * [0.0])[:common] for one in spectra]
    means = {name: np.mean(values, axis=0)[()] for name, values in columns.items()}
    if len(spectra) == 1:
        return Spectrum(**means)
    scale = 1 / math.sqrt(len(spectra))
    errors = {name: scale * np.std(values, axis=0, ddof=1) for name, values in columns.items()}
    return Spectrum(**means, errors=errors)


def _measure(model, law):
    """The law as seen by the resolvent, and the multiplier of the constraint."""
    with np.errstate(over="ignore", invalid="ignore"):
        curvature = np.asarray(model.loss_function.second(law.h, law.y), dtype=float)
    present = law.weights > 0
    h, y, weights, D = law.h[present], law.y[present], law.weights[present], curvature[present]
    if not np.all(np.isfinite(D)):
        raise ValueError("loss: its second derivative is not finite on the points of the law")
    lowest = np.nanmin(curvature)
    if lowest < UNBOUNDED:
        raise ValueError(
            f"loss = {model.loss!r} is not allowed with this law: its curvature is not bounded from below, so "
            "the bulk of the Hessian has no lower edge and there is no transition; a Law of alpha d random points "
            "shows the edge of finite d"
        )
    e = _default_directions(law)[:, present] if law.directions is None else law.directions[:, present]
    f = None if law.forces is None or not len(law.forces) else law.forces[:, present]
    w = model.alpha * weights
    if f is not None and np.abs((f * f) @ w - 1).max() > CONSISTENT:
        raise ValueError("forces are not orthonormal: alpha E[f_i f_j] must be 1 for i = j and 0 otherwise")
    c = _coordinates(e, h, weights)
    if not model.constraint.soft:
        shift = -float(w @ (h * model.loss_function.first(h, y)))
        basis, rank_one = _orthogonal_to(c), np.zeros((len(c) - 1, len(c) - 1))
    else:
        shift = model.constraint.multiplier(float(c @ c))
        basis, rank_one = np.eye(len(c)), 2 * model.constraint.pull * np.outer(c, c)
    limit = -1 / lowest if lowest < 0 else math.inf
    return _Measure(D, w, limit, basis.T @ e, f, basis[0], rank_one), shift


def _default_directions(law):
    """The signal and the rest of h; the signal alone where nothing is left."""
    m = (law.weights @ (law.h * law.h_star)) / (law.weights @ law.h_star**2)
    rest = law.h - m * law.h_star
    norm = math.sqrt(law.weights @ rest**2)
    return np.stack([law.h_star, rest / norm] if norm > CONSISTENT * abs(m) else [law.h_star])


def _coordinates(e, h, weights):
    """Components c of the weights on the directions, h = c.e."""
    c = np.linalg.lstsq((e * weights) @ e.T, e @ (weights * h), rcond=None)[0]
    if weights @ (h - c @ e) ** 2 > CONSISTENT * (weights @ h**2):
        raise ValueError("directions do not contain the weights: h must be a combination of the directions")
    return c


def _orthogonal_to(c):
    """Orthonormal basis, by columns, of the vectors orthogonal to c."""
    return np.linalg.svd(c[None, :])[2][1:].T


def _edge(measure):
    """s at the lower edge of the bulk; inf where M >= 0 has a kernel of a finite fraction of dimensions."""
    s = measure.limit * (1 - 1e-15)
    if s == math.inf:
        curved = measure.D > 0
        if measure.w[curved].sum() <= 1 + ROUNDING:
            return math.inf
        s = 1 / measure.D.max()
        while measure.spread(s) < 1:
            s *= 2
    elif measure.spread(s) <= 1:
        return measure.limit
    low = s
    while measure.spread(low) >= 1:
        low /= 2
    return brentq(lambda s: math.log(measure.spread(s)), low, s, xtol=1e-15 * low, rtol=1e-15)


def _outlier(measure, s_edge, k):
    """s of the k-th isolated eigenvalue from below."""
    low = s_edge / 2
    while measure.branch(low, k) >= 0:
        low /= 2
    return brentq(measure.branch, low, s_edge, args=(k,), xtol=1e-15 * low, rtol=1e-14)


def _overlap(measure, s, k):
    """Squared overlap with the signal: (v.signal)^2 / v.(dA/dz) v for the null vector v of A.

    s^2 dA/ds = (1 - spread) + alpha E[q q^T] - s^2 P^T alpha E[f f^T] P with q = s D (e + s P^T f) / (1 + s D);
    dz/ds is its first term.  That it is at least dz/ds follows from alpha E[f q^T] = s P.
    """
    A, P = measure.matrix(s)
    v = np.linalg.eigh(A)[1][:, -1 - k]
    along, gained = v @ measure.e, 0.0
    if P is not None:
        along = along + s * (P @ v) @ measure.f
        gained = s**2 * float((P @ v) @ (P @ v))
    gap = 1 - measure.spread(s)
    norm = gap + float(measure.w @ (s * measure.D * along / (1 + s * measure.D)) ** 2) - gained
    return float((v @ measure.signal) ** 2 * gap / norm)


def alpha_bbp(model: PhaseRetrieval, state: str = "random") -> float:
    """Measurements per unknown above which the signal splits an eigenvalue off the bulk of the Hessian.

    The Hessian is that on the tangent space of the sphere at overlap 0.  (For a loss even in h the direction
    of w decouples, and the other constraints have the same transition.)

    Parameters
    ----------
    model : PhaseRetrieval
        Its alpha and its constraint are not used.
    state : str
        ``"random"``, weights independent of the data: any loss of bounded curvature;
        ``"threshold"``, ``threshold_states``: the quartic and the normalized loss.

    Returns
    -------
    float
        alpha; the outlier exists above it.

    Raises
    ------
    ValueError
        If there is no transition, as for the quartic loss at random weights.

    Examples
    --------
    >>> import dmft
    >>> from dmft.landscape.hessian_spectra import alpha_bbp
    >>> round(alpha_bbp(dmft.PhaseRetrieval(alpha=1.0), "threshold"), 4)
    13.8025
    """
    _check.instance("model", model, PhaseRetrieval, "a PhaseRetrieval(...)")
    _check.choice("state", state, ("random", "threshold"))
    return _bbp_random(model) if state == "random" else _bbp_threshold(model)


def _bbp_random(model):
    """Transition at weights independent of the data.

    Per measurement, an outlier needs pull = E[s D (1 - h*^2)/(1 + s D)] > 1/alpha at the edge, where
    E[(s D/(1 + s D))^2] = 1/alpha; large alpha is small s.  Where pull is the larger of the two up to
    s = -1/inf D, the edge stays there for every smaller alpha.
    """
    single = PhaseRetrieval(1.0, model.loss, a=model.a, noise=model.noise)
    measure, _ = _measure(single, random_start(single))

    def pull(s):
        return float(measure.w @ (s * measure.D * (1 - measure.e[0] ** 2) / (1 + s * measure.D)))

    def excess(s):
        return pull(s) - measure.spread(s)

    scale = float(np.abs(measure.D).max())
    grid = np.geomspace(1e-6 / scale, min(measure.limit, 1e6 / scale), SCAN)
    lost = [k for k, s in enumerate(grid) if excess(s) <= 0]
    if lost and lost[0] == 0:
        raise ValueError(f"loss = {model.loss!r} has no transition: the signal does not lower the curvature")
    if not lost:
        return 1 / pull(measure.limit)
    low, high = grid[lost[0] - 1], grid[lost[0]]
    return 1 / measure.spread(brentq(excess, low, high, xtol=1e-15 * low, rtol=1e-15))


def _bbp_threshold(model):
    """Transition at the threshold states: alpha eliminated between the three conditions."""
    found = _solve_threshold(model, 0.03, 0.04, lambda force, edge, pull: (np.log(force / edge), pull / edge - 1))
    return 1 / _conditions(model, *found)[1]


def threshold_states(model: PhaseRetrieval) -> ThresholdStates:
    """Threshold states at overlap 0: marginal minima of one-step replica symmetry breaking at zero temperature.

    Given the label, the field omega is Gaussian weighted by exp(-y V),

        V(omega) = min_h (h - omega)^2/(2 chi) + l(h, label),
        alpha E[l'^2] = 1/(chi (chi + y)),   alpha E[(l''/(1 + chi l''))^2] = 1/chi^2 (marginal);

    chi is s at the bulk edge, which is at 0.  Where 1 + chi l''(0) < 0 the minimum h jumps with the sign of
    omega; like the literature we leave the jump out of the second condition, and the edge is then near
    0, not at it.  These are not the states that gradient descent reaches.

    Parameters
    ----------
    model : PhaseRetrieval
        On the sphere, with the quartic or the normalized loss, whose minimum over h is known in closed form.

    Returns
    -------
    ThresholdStates

    Raises
    ------
    ValueError
        For another loss or constraint.
    SolverError
        Where the equations have no solution, such as at alpha near 1 and below.

    Examples
    --------
    >>> import dmft
    >>> from dmft.landscape.hessian_spectra import threshold_states
    >>> states = threshold_states(dmft.PhaseRetrieval(alpha=8.0, loss="normalized"))
    >>> print(f"{states.chi:.6f} {states.y:.6f} {states.energy:.6f} {states.mu:.6f}")
    0.137504 0.232749 3.197634 -2.796455
    >>> abs(states.spectrum.edge) < 1e-12
    True
    """
    _check.instance("model", model, PhaseRetrieval, "a PhaseRetrieval(...)")
    if model.constraint.soft:
        raise ValueError(f"constraint = {model.constraint!r} is not allowed: threshold states need the hard Sphere()")
    alpha = model.alpha
    chi, y = _solve_threshold(
        model, 0.4 / alpha, 0.5 / alpha, lambda force, edge, pull: (np.log(alpha * force), np.log(alpha * edge))
    )
    law = _threshold_law(model, chi, y)
    loss = model.loss_function
    energy = alpha * float(law.weights @ loss.value(law.h, law.y))
    mu = -alpha * float(law.weights @ (law.h * loss.first(law.h, law.y)))
    return ThresholdStates(chi, y, energy, mu, law, spectrum(model, law))


def _solve_threshold(model, chi, y, equations):
    """chi and y from a start in units of the inverse stiffness at label 1."""
    if model.loss not in ("quartic", "normalized"):
        raise ValueError(f"loss = {model.loss!r} is not allowed: threshold states need 'quartic' or 'normalized'")
    unit = 1 / _stiffness(model, 1.0)
    with np.errstate(all="ignore"):  # trial steps may go far
        found = root(
            lambda logs: equations(*_conditions(model, *np.exp(np.clip(logs, -FARTHEST, FARTHEST)))),
            np.log([chi * unit, y * unit]),
            tol=1e-13,
        )
    if not np.abs(found.fun).max() < 1e-9:
        raise SolverError(f"no threshold states found for {model!r}: they exist for alpha above 1 to 2 only")
    return tuple(float(value) for value in np.exp(found.x))


def _stiffness(model, y):
    """c in l = c (h^2 - y^2)^2."""
    return 0.25 if model.loss == "quartic" else 1 / (model.a + y * y)


def _conditions(model, chi, y):
    """Right-hand sides of the three conditions over alpha, times what makes them 1/alpha on the left."""
    law, loss = _threshold_law(model, chi, y), model.loss_function
    force, D = loss.first(law.h, law.y), loss.second(law.h, law.y)
    ratio = chi * D / (1 + chi * D)
    return (
        chi * (chi + y) * float(law.weights @ force**2),
        float(law.weights @ ratio**2),
        float(law.weights @ (ratio * (1 - law.h_star**2))),
    )


def _threshold_law(model, chi, y):
    """Law at given chi and y, by nodes in the label and in h.

    omega = h + chi l' runs over the half line as h runs over h >= h0, h0^2 = max(0, label^2 - 1/(4 c chi)); the
    other sign of h follows by symmetry.
    """
    label, label_weight = _label_nodes(model, chi)
    stiffness = _stiffness(model, label) + 0 * label
    gap = label**2 - 1 / (4 * stiffness * chi)
    # the scale on which functions of h vary near h0, and how far omega < 12 reaches
    scale, far = np.sqrt(np.abs(gap))[:, None], np.cbrt(12 / (4 * stiffness * chi))[:, None]
    low, high = -3.7, np.log1p(far / scale) + 1
    v = low + (high - low) * np.linspace(0, 1, STATES)
    t = scale * np.exp(v - np.exp(-v))
    h, label = np.sqrt(np.maximum(gap, 0))[:, None] + t, label[:, None] + 0 * t
    loss = model.loss_function
    value, force = loss.value(h, label), loss.first(h, label)
    exponent = -((h + chi * force) ** 2) / 2 - y * (chi * force**2 / 2 + value)
    exponent -= exponent.max(axis=1, keepdims=True)
    weights = t * (1 + np.exp(-v)) * (high - low) * (1 + chi * loss.second(h, label)) * np.exp(exponent)
    weights *= (label_weight / weights.sum(axis=1))[:, None]
    return _symmetric_law(model.noise, h.ravel(), label.ravel(), weights.ravel())


def _label_nodes(model, chi):
    """Positive labels and weights.

    Averages over h have an inverse square root singularity where the jump sets in, 4 c chi label^2 = 1; a quadratic
    change of variables on both sides makes them analytic.
    """
    spread = math.sqrt(1 + model.noise)
    reach = REACH * spread
    jump = 1 / math.sqrt(chi) if model.loss == "quartic" else math.sqrt(model.a / max(4 * chi - 1, 1e-300))
    if jump < reach:
        x, w = np.polynomial.legendre.leggauss(LABELS)
        x, w = (x + 1) / 2, w / 2
        above = reach / jump - 1
        y, dy = jump * np.append(1 - x**2, 1 + above * x**2), 2 * jump * np.append(x * w, above * x * w)
    else:
        u = np.linspace(0, math.asinh(reach / CORE), 2 * LABELS)
        y, dy = CORE * np.sinh(u), CORE * np.cosh(u) * u[1]
        dy[[0, -1]] /= 2
    return y, dy * np.exp(-((y / spread) ** 2) / 2)


def _symmetric_law(noise, h, y, weights):
    """Law with h of both signs; only second moments of h* at given label enter, two points give them."""
    mean, deviation = y / (1 + noise), math.sqrt(noise / (1 + noise))
    corners = [(i, j) for i in (-1, 1) for j in ((-1, 1) if noise else (0,))]
    return Law(
        np.concatenate([i * h for i, _ in corners]),
        np.concatenate([mean + j * deviation for _, j in corners]),
        np.tile(y, len(corners)),
        np.tile(weights, len(corners)),
    )
