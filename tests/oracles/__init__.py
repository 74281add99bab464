"""Independent results: what the tests compare with, computed without the solvers."""
