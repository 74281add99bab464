"""What a checker sees of thresholds, the landscape and state evolution."""

from typing import assert_type

import numpy as np
from numpy.typing import NDArray

import dmft
from dmft import landscape, thresholds
from dmft.amp import FixedPoint, StateEvolution
from dmft.landscape import CriticalPoints, Hessian, Law, Spectrum, ThresholdStates

Array = NDArray[np.float64]

deltap = np.linspace(0.5, 2.0, 4)
assert_type(dmft.thresholds.langevin(3, 0.5), float)
assert_type(dmft.thresholds.langevin(3, 1), float)
assert_type(dmft.thresholds.langevin(3, np.float64(0.5), temperature=0.7), float)
assert_type(dmft.thresholds.langevin(3, deltap), Array)
assert_type(dmft.thresholds.langevin(3, [0.5, 1.0]), Array)
assert_type(thresholds.gradient_flow(3, deltap, strength=10.0), Array)
assert_type(thresholds.gradient_flow(3, 1.0, 10.0), float)
assert_type(thresholds.trivialization(3, 1.0, all_m=True), float)
assert_type(thresholds.amp(3, 1.0), float)
assert_type(thresholds.amp_high(4, deltap), Array)
assert_type(thresholds.upper_spinodal(4, deltap), Array)
assert_type(thresholds.information_theoretic(4, 0.2), float)
assert_type(thresholds.ml_amp(4, deltap), Array)
assert_type(thresholds.ml_replicon(4, 1.0), float)
assert_type(thresholds.ml_upper_spinodal(4, 1.0), float)
assert_type(thresholds.first_order_end(4), tuple[float, float, float])
assert_type(thresholds.langevin_reentrance(4), float)
assert_type(thresholds.pure_tensor_upper_spinodal(4), float)
assert_type(thresholds.pure_tensor_information_theoretic(4), float)
assert_type(thresholds.langevin_trapped(4, 0.42), list[tuple[float, float]])
assert_type(thresholds.lines(4, 0.2), dict[str, float])
assert_type(thresholds.lines(4, deltap), dict[str, Array])

model = dmft.SpikedMatrixTensor(p=3, delta2=0.25, deltap=1.0)
marginal = dmft.landscape.hessian(model)
assert_type(marginal, Hessian[float])
assert_type(marginal.outlier, float)
assert_type(landscape.hessian(model, y=[2.0, 2.5]), Hessian[Array])
assert_type(landscape.complexity(model, 0.1), float)
assert_type(landscape.complexity(model, [0.0, 0.3], kind="all"), Array)
assert_type(landscape.complexity(model, energy=np.linspace(-1.2, -1.0, 3)), Array)
assert_type(landscape.most_numerous(model), CriticalPoints[float])
assert_type(landscape.most_numerous(model, deltap / 4).energy, Array)
assert_type(landscape.typical_energy(model, 0.0, 2.0), float)
assert_type(landscape.typical_energy(model, 0.0, [2.0, 3.0]), Array)
assert_type(landscape.growth_rate(model), float)
assert_type(landscape.threshold_energy(model, "typical"), float)
assert_type(landscape.ground_state_energy(dmft.MixedSpin({3: 0.5})), float)

single = dmft.PhaseRetrieval(alpha=12.0, loss="normalized", a=1.0)
assert_type(landscape.alpha_bbp(single, "threshold"), float)
law = landscape.random_start(single, m0=0.1)
assert_type(law, Law)
assert_type(law.h, Array)
spectrum = landscape.spectrum(single, [law, law])
assert_type(spectrum, Spectrum)
assert_type(spectrum.outliers, Array)
assert_type(landscape.threshold_states(single), ThresholdStates)

run = dmft.amp.state_evolution(model, "ml", m0=0.3)
assert_type(run, StateEvolution)
assert_type(run.m, Array)
assert_type(run.C, Array)
assert_type(run.fixed_point.stable, bool)
assert_type(run.optimal, FixedPoint | None)
assert_type(dmft.amp.fixed_points(model), tuple[FixedPoint, ...])
assert_type(dmft.amp.free_entropy(model, 0.5), float)
assert_type(dmft.amp.phase_retrieval_alpha([0.0, 0.5]), Array)
assert_type(dmft.amp.phase_retrieval_weak_recovery(), float)
assert_type(dmft.amp.phase_retrieval_critical_noise().alpha, float)
assert_type([s.q for s in dmft.amp.phase_retrieval_spinodals()], list[float])

found = dmft.threshold(model, dmft.GradientFlow(), "delta2", (0.2, 1.0), t_max=10.0, m0=0.01, width=1e-3)
assert_type(found, dmft.Threshold)
assert_type(found.value, float)
assert_type(found.evaluations, tuple[tuple[float, float], ...])
x = np.linspace(0.3, 0.6, 7)
try:
    fit = dmft.escape_fit(x, 3.0 * (0.7 - x) ** -2.0)
    assert_type(fit, dmft.EscapeFit)
    assert_type(fit(0.5), float)
    assert_type(fit(x), Array)
    assert_type(fit.interval, tuple[float, float])
    assert_type(fit.caveats, tuple[str, ...])
except dmft.NoDivergenceError as error:
    assert_type(error.x, Array | None)
fit = dmft.escape_threshold(model, dmft.GradientFlow(), "delta2", x, m0=[1e-3, 1e-5], t_max=100.0, exponent=2.0)
