"""Figures."""

from matplotlib.figure import Figure

import dmft
from dmft.plot import scans

model = dmft.SpikedMatrixTensor(p=3, delta2=0.5, deltap=1.0)
sol = dmft.solve(model, dmft.Langevin(), t_max=1.0, m0=0.1)
sim = dmft.simulate(model, dmft.Langevin(), t_max=1.0, N=20, samples=2, m0=0.1)

figure: Figure = dmft.plot.overview(sol)
dmft.plot.overlap({"theory": sol, "N = 20": sim}, log_t=True, log_m=True).savefig("overlap.png")
dmft.plot.energy(sol)
dmft.plot.multiplier(sol, log_t=True)
dmft.plot.correlation(sol, [0.1, 0.2])
dmft.plot.response(sol, 0.1, log=False)
dmft.plot.fdt(sol, t=1.0)
dmft.plot.make(sol, "energy", log_t=True)
kinds: tuple[str, ...] = dmft.plot.KINDS + dmft.plot.kinds("scan")
longest: float = dmft.plot.waiting_times(sol).max()

dmft.plot.phase_diagram(3, [0.5, 1.0], names=["amp", "langevin"])
dmft.plot.complexity(model, energies=False)
dmft.plot.free_entropy({"model": model})
dmft.plot.state_evolution(dmft.amp.state_evolution(model, m0=0.3))


def figures_of_a_scan(path: str) -> list[Figure]:
    """Of a file of ``dmft.gather``."""
    with scans.read(path) as data:
        return [
            dmft.plot.heat_map(data, "m_final", select={"m0": 1e-4}, lines=False),
            dmft.plot.along({"theory": data}, axis="delta2"),
            dmft.plot.curves(data, "energy", log_t=True),
            scans.make(data, "along", select=["m0=1e-4"]),
        ]


@dmft.plot.kind("rate")
def rate(solution: dmft.Solution, *, log: bool = False) -> Figure:
    """A kind of one's own."""
    own = Figure()
    own.subplots().plot(solution.t, solution.m)
    return own


same: Figure = rate(sol, log=True)
