import os

if "PYTEST_XDIST_WORKER" in os.environ:  # one of several processes: none takes more than its share of the cores
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
    os.environ.setdefault("MKL_NUM_THREADS", "1")
    os.environ.setdefault("OMP_WAIT_POLICY", "passive")

import numpy as np
import pytest

collect_ignore = ["typing"]  # scripts for a type checker, not to be run


@pytest.fixture(autouse=True)
def _in_temporary_directory(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


@pytest.fixture(autouse=True)
def _quiet_numpy():
    with np.errstate(over="raise", invalid="raise"):
        yield
