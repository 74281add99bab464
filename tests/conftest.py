import os

if "PYTEST_XDIST_WORKER" in os.environ:  # one of several processes: linear algebra has one thread in each
    for _name in ("OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
        os.environ.setdefault(_name, "1")

import numpy as np
import pytest


@pytest.fixture(autouse=True)
def _in_temporary_directory(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


@pytest.fixture(autouse=True)
def _quiet_numpy():
    with np.errstate(over="raise", invalid="raise"):
        yield
