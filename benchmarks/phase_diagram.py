"""Seconds for a full phase diagram: every threshold line at 200 values of Delta_p.

Run: python benchmarks/phase_diagram.py [p ...]      (default 3 4 5)
"""

import sys
import time

import numpy as np

import dmft


def main():
    deltap = np.geomspace(0.05, 20.0, 200)
    for p in [int(x) for x in sys.argv[1:]] or [3, 4, 5]:
        seconds = []
        for _ in range(5):
            began = time.perf_counter()
            lines = dmft.thresholds.lines(p, deltap)
            seconds.append(time.perf_counter() - began)
        print(f"p = {p}: {len(lines)} lines, {deltap.size} values, {np.median(seconds):.3f} s (median of 5)")


if __name__ == "__main__":
    main()
