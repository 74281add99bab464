"""Scans on other executors: threads, an object with nothing but submit, processes of dask, jobs of submitit."""

import importlib.util
import os
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from scans import gathered, kills

import dmft

SCRIPT = Path(__file__).parents[2] / "docs" / "dask_scan.py"
MODEL = dmft.SpikedMatrixTensor(3, 0.5, 1.0)


def small_scan():
    dynamics = {"flow": dmft.GradientFlow(), "ball": dmft.HeavyBall(0.01, 0.9)}
    over = {"delta2": [0.3, 0.4, 0.5, 0.6], "m0": [0.01, 0.1]}
    return dmft.Scan(MODEL, dynamics, over=over, t_max=5.0, steps=60, curves=[0, 1, 5])


@pytest.fixture(scope="module")
def local(tmp_path_factory):
    """The gathered file of the scan, computed in this process."""
    folder = tmp_path_factory.mktemp("local") / "scan"
    small_scan().run(folder, workers=1)
    return gathered(folder)


class Result:
    def __init__(self, value):
        self.value = value

    def result(self):
        return self.value


class Immediate:
    """All that an executor must have."""

    def __init__(self):
        self.number = 0

    def submit(self, function, *args):
        self.number += 1
        return Result(function(*args))


def check(answer, folder, local):
    assert (answer.points, answer.finished, answer.failed, answer.missing) == (16, 16, 0, 0)
    assert kills.differences(gathered(folder), local) == []
    assert kills.temporary(Path(folder)) == []


def test_an_object_with_submit(local):
    executor = Immediate()
    check(small_scan().run("scan", executor=executor), "scan", local)
    asked = executor.number
    assert asked >= 1
    check(small_scan().run("scan", executor=executor), "scan", local)


def test_threads(local):
    with ThreadPoolExecutor(3) as executor:
        check(small_scan().run("scan", executor=executor), "scan", local)


def test_two_threads_share_a_directory(local):
    answers = []
    with ThreadPoolExecutor(2) as executor:
        runs = [threading.Thread(target=lambda: answers.append(small_scan().run("scan", executor=executor)))]
        runs[0].start()
        answers.append(small_scan().run("scan", executor=executor))
        runs[0].join()
    assert len(answers) == 2
    check(small_scan().run("scan", workers=1), "scan", local)


def test_failed_points_do_not_stop_the_others():
    model = dmft.SpikedMatrixTensor(3, 1.0, 0.667, dmft.SoftSphere(10.0))
    scan = dmft.Scan(model, dmft.HeavyBall(0.01, 0.9), over={"learning_rate": [0.3, 0.01]}, steps=400, m0=0.1)
    with ThreadPoolExecutor(2) as executor:
        answer = scan.run("scan", executor=executor)
    assert (answer.finished, answer.failed) == (1, 1)


def test_what_is_no_executor_is_refused():
    for executor in (3, object(), "dask", ThreadPoolExecutor):
        with pytest.raises((TypeError, ValueError), match="executor"):
            small_scan().run("scan", executor=executor)
    with ThreadPoolExecutor(1) as executor, pytest.raises((TypeError, ValueError), match="workers"):
        small_scan().run("scan", executor=executor, workers=2)
    assert not Path("scan").exists()


def needs_dask():
    return pytest.importorskip("distributed", reason="dask.distributed is not installed: pip install distributed")


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")  # of dask about itself
@pytest.mark.parametrize("kind", ["client", "executor"])
def test_dask(kind, local):
    distributed = needs_dask()
    options = dict(n_workers=2, threads_per_worker=1, processes=True, dashboard_address=None)
    with distributed.LocalCluster(**options) as cluster, distributed.Client(cluster) as client:
        executor = client if kind == "client" else client.get_executor()
        check(small_scan().run("scan", executor=executor), "scan", local)


@pytest.mark.slow
def test_script():
    needs_dask()
    run = subprocess.run(
        [sys.executable, str(SCRIPT), "--out", "scan"], capture_output=True, text=True, timeout=300, env=os.environ
    )
    assert run.returncode == 0, run.stderr
    assert "m_final" in run.stdout
    spec = importlib.util.spec_from_file_location("dask_scan", SCRIPT)
    script = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(script)
    script.make_scan().run("local", workers=1)
    assert kills.differences(gathered("scan"), gathered("local")) == []
    again = subprocess.run([sys.executable, str(SCRIPT), "--out", "scan"], capture_output=True, text=True, timeout=300)
    assert again.returncode == 0, again.stderr


@pytest.mark.slow
def test_submitit(local):
    """Shares of the points as jobs, here without Slurm."""
    submitit = pytest.importorskip("submitit", reason="submitit is not installed: pip install 'dmft[slurm]'")
    executor = submitit.AutoExecutor("logs", cluster="local")
    executor.update_parameters(timeout_min=5)
    answer = small_scan().run("jobs", executor=executor, tasks=2)
    assert answer.computed == 16
    check(answer, "jobs", local)
