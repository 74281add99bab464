"""Finite N."""

from .run import simulate

__all__ = ["simulate"]
