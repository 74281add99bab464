"""Starts: m0= is the short form of start=Overlap(m0)."""

import numpy as np
import pytest

import dmft

MODEL = dmft.SpikedMatrixTensor(3, 0.5, 1.0)


def test_the_short_form_is_the_same(tmp_path):
    start = dmft.Overlap(0.1)
    for dynamics, duration in ((dmft.Langevin(), {"t_max": 1.0}), (dmft.GradientDescent(0.1), {"steps": 10})):
        one, two = (dmft.solve(MODEL, dynamics, **duration, **how) for how in ({"m0": 0.1}, {"start": start}))
        np.testing.assert_array_equal(one.m, two.m)
        assert one.spec == two.spec and one.spec["initial"] == {"m0": 0.1}
        sims = [
            dmft.simulate(MODEL, dynamics, **duration, N=20, samples=2, **how)
            for how in ({"m0": 0.1}, {"start": start})
        ]
        np.testing.assert_array_equal(sims[0].m, sims[1].m)
        assert sims[0].spec == sims[1].spec
    assert dmft.estimate(MODEL, dmft.Langevin(), t_max=1.0, start=start)["steps"] > 0
    scans = [
        dmft.Scan(MODEL, dmft.Langevin(), {"delta2": [0.3]}, t_max=1.0, **how)
        for how in ({"m0": 0.1}, {"start": start})
    ]
    assert scans[0].sha256 == scans[1].sha256 and list(scans[0].ids) == list(scans[1].ids)


def test_refusals():
    langevin = dmft.Langevin()
    with pytest.raises(ValueError, match=r"m0 = 0.1 and start = Overlap\(m0=0.2\): give only one of them"):
        dmft.solve(MODEL, langevin, t_max=1.0, m0=0.1, start=dmft.Overlap(0.2))
    with pytest.raises(TypeError, match=r"start must be a start, e.g. Overlap\(...\), got 0.2"):
        dmft.solve(MODEL, langevin, t_max=1.0, start=0.2)
    with pytest.raises(ValueError, match=r"m0 = 1\.5 is not allowed"):
        dmft.Overlap(1.5)
    with pytest.raises(ValueError, match="MixedSpin has no signal, m0 must be 0"):
        dmft.simulate(dmft.MixedSpin({3: 0.5}), langevin, t_max=1.0, N=10, start=dmft.Overlap(0.2))


def test_planted_mixtures():
    # the spiked matrix-tensor model is one of them, and a third channel changes it
    couplings = MODEL.coefficients
    spiked = dmft.solve(MODEL, dmft.Langevin(), t_max=5.0, m0=0.1)
    mixed = dmft.solve(dmft.MixedSpin(couplings, planted=True), dmft.Langevin(), t_max=5.0, m0=0.1)
    np.testing.assert_array_equal(spiked.m, mixed.m)
    three = dmft.MixedSpin({**couplings, 4: 0.3}, planted=True)
    theory = dmft.solve(three, dmft.GradientFlow(), t_max=2.0, m0=0.4)
    sim = dmft.simulate(three, dmft.GradientFlow(), t_max=2.0, N=40, samples=24, m0=0.4, records=9)
    for name in ("m", "energy", "energy_4"):
        gap = np.abs(sim.scalars[name] - theory.interpolate(name, sim.t))
        assert np.all(gap < 5 * sim.stderr[name] + 0.05)  # 1/N corrections
