"""Phase diagrams, complexity and AMP: the figures of docs/gallery/landscape.md.

python docs/gallery/landscape.py [--out DIR]
"""

import argparse
from pathlib import Path

import dmft


def figures():
    """Figures by name."""
    model = dmft.SpikedMatrixTensor(p=3, delta2=0.7, deltap=1.0)
    hard = dmft.SpikedMatrixTensor(p=3, delta2=1.05, deltap=0.5)
    easy = dmft.SpikedMatrixTensor(p=3, delta2=0.3, deltap=1.0)
    theory = dmft.amp.state_evolution(easy, m0=0.1)
    sim = dmft.simulate(easy, dmft.AMP(), steps=len(theory.m) - 1, N=400, samples=16, m0=0.1, workers=2)
    return {
        "phase_diagram_p3": dmft.plot.phase_diagram(3),
        "phase_diagram_p4": dmft.plot.phase_diagram(4),
        "complexity": dmft.plot.complexity(model),
        "free_entropy": dmft.plot.free_entropy(hard),
        "state_evolution": dmft.plot.state_evolution({"state evolution": theory, "AMP, N = 400": sim}),
    }


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=Path(__file__).parent, help="directory of the figures")
    args = parser.parse_args()
    args.out.mkdir(parents=True, exist_ok=True)
    for name, figure in figures().items():
        figure.savefig(args.out / f"{name}.png", dpi=110)


if __name__ == "__main__":
    main()
