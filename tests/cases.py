"""Problems shared by tests and benchmarks: (model, dynamics, m0, t_max)."""

import dmft

CASES = {
    "langevin": (dmft.SpikedMatrixTensor(3, 0.5, 1.0), dmft.Langevin(1.0), 1e-2, 20.0),
    "gradient-flow": (dmft.SpikedMatrixTensor(4, 1 / 3, 4.0), dmft.GradientFlow(), 1e-2, 20.0),
    "annealed": (
        dmft.SpikedMatrixTensor(3, 0.5, 1.0),
        dmft.Langevin(1.0, dmft.Annealing.exponential(3, amplitude=10.0, tau=4.0)),
        1e-2,
        20.0,
    ),
    "glass": (dmft.MixedSpin({3: 0.5}), dmft.Langevin(0.5), 0.0, 20.0),
    "mixture": (dmft.MixedSpin({2: 0.1, 3: 0.25, 4: 0.2}), dmft.GradientFlow(), 0.0, 10.0),
    "escape": (dmft.SpikedMatrixTensor(3, 0.25, 1.0), dmft.GradientFlow(), 1e-8, 20.0),
}
