"""Scans: many points, on a laptop or a cluster."""

from .execution import ScanStatus, status
from .fits import escape_fits
from .gather import gather
from .scan import Scan

__all__ = ["Scan", "ScanStatus", "escape_fits", "gather", "status"]


def __dir__() -> list[str]:
    return __all__
