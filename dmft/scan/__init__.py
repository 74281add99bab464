"""Scans: many points, on a laptop or a cluster."""

from .execution import ScanStatus, status
from .gather import gather
from .grid import Scan

__all__ = ["Scan", "ScanStatus", "gather", "status"]
