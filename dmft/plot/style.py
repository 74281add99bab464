"""What plots of solutions and of scans share."""

LINE_LABELS = {
    "amp": "Bayes AMP leaves m = 0",
    "amp_high": "Bayes AMP, high overlap",
    "information_theoretic": "information-theoretic",
    "upper_spinodal": "upper spinodal",
    "ml_amp": "maximum-likelihood AMP",
    "gradient_flow": "gradient flow",
    "langevin": "Langevin, T = 1",
    "trivialization": "landscape trivialises",
}


def new_figure(width=6.0, height=4.0, columns=1, rows=1):
    """A figure and its axes, (rows, columns)."""
    try:
        from matplotlib.figure import Figure
    except ImportError:
        raise ImportError("plots need matplotlib: pip install 'dmft[plot]'") from None
    figure = Figure(figsize=(width, height), layout="constrained")
    return figure, figure.subplots(rows, columns, squeeze=False)
