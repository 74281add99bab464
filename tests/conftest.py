import numpy as np
import pytest


@pytest.fixture(autouse=True)
def _in_temporary_directory(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


@pytest.fixture(autouse=True)
def _quiet_numpy():
    with np.errstate(over="raise", invalid="raise"):
        yield
