"""Running the points of a scan: in this process, in worker processes, on any executor, or one share of them.

Every runner claims a point before it computes it, so any number of them may work on one directory.
"""

import math
import multiprocessing
import os
import signal
import sys
import threading
import time
from collections import Counter, deque
from concurrent.futures import FIRST_COMPLETED, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, field, replace
from functools import lru_cache
from multiprocessing import resource_tracker
from pathlib import Path
from typing import Any

import numpy as np

from .. import _check
from .. import progress as progress_meter
from .._signals import Signals
from ..errors import ScanError
from ..machine import available_memory, usable_cores
from .points import PointStoppedError, Record, UninterruptedPoint
from .store import PACK, STATUS, Store

CRASHES = 3  # deaths of a worker process after which the point it computed alone is given up
OUTSTANDING = 1000  # points that an executor has at a time
POLL = 0.2  # seconds
PATIENCE = 5.0  # between looks at points that other runners hold
LONGEST_TIMER = 1e8  # seconds, the most that the system accepts


@dataclass
class ScanStatus:
    """Where a scan, or the share of a task, stands.

    Attributes
    ----------
    points, finished, failed, missing : int
    computed : int
        Points that this call computed.
    stopped : str
        Why the call ended early ("stopped by SIGUSR1"); empty if it did not.
    failures : list of dict
        ``{"id", "parameters", "message"}`` of the failed points.
    seconds : float
        Of this call.
    """

    points: int
    finished: int
    failed: int
    missing: int
    computed: int = 0
    stopped: str = ""
    failures: list[dict[str, Any]] = field(default_factory=list)
    seconds: float = 0.0

    def __repr__(self) -> str:
        counts = {name: getattr(self, name) for name in ("finished", "failed", "missing")}
        text = ", ".join(f"{n} {name}" for name, n in counts.items() if n) or "none"
        return f"<ScanStatus of {self.points} points: {text}{'; ' if self.stopped else ''}{self.stopped}>"


@dataclass(frozen=True)
class Outcome:
    """What became of the attempt at a point: a status of a record, or "present", "busy" or "stopped"."""

    point: int
    status: str
    message: str = ""


# --- one point, in whatever process


class Watch(Signals):
    """Signals and the time limit are noted; a point that has no checkpoints is abandoned at once."""

    def __init__(self):
        super().__init__(stop=True)
        self.abandon = False

    def _catch(self, number, frame):
        super()._catch(number, frame)
        self.tell(self.caught)

    def tell(self, reason):
        """Note why to stop."""
        self.caught = self.caught or reason
        if self.abandon:
            self.abandon = False
            raise PointStoppedError(f"stopped by {reason}")

    @contextmanager
    def abandoning(self, point):
        """While such a point is computed."""
        self.abandon = isinstance(point, UninterruptedPoint)
        try:
            yield
        finally:
            self.abandon = False


class Alarm:
    """While active, a watch is told when the time is up; a timer that was set before continues afterwards."""

    def __init__(self, watch, seconds):
        self.watch, self.seconds = watch, seconds
        self.active = math.isfinite(seconds) and threading.current_thread() is threading.main_thread()

    def __enter__(self):
        if self.active:
            self.began = time.monotonic()
            self.handler = signal.signal(signal.SIGALRM, self._ring)
            self.before = signal.setitimer(signal.ITIMER_REAL, min(max(self.seconds, 1e-3), LONGEST_TIMER))

    def _ring(self, number, frame):
        self.watch.tell("the time limit")

    def __exit__(self, *exc):
        if self.active:
            left, interval = self.before
            left = max(left - (time.monotonic() - self.began), 1e-3) if left else 0.0
            signal.setitimer(signal.ITIMER_REAL, left, interval)
            signal.signal(signal.SIGALRM, self.handler if self.handler is not None else signal.SIG_DFL)


_watch = None  # that of this process, if it is a runner or one of its workers
_busy = False  # whether this worker process is computing a point


@lru_cache(maxsize=4)  # a process that lives long opens many
def opened(directory, sha256):
    """The plan and the store of a directory, which are kept while its points are computed."""
    store = Store(directory)
    scan = store.plan()
    if scan.sha256 != sha256:
        raise ScanError(f"the plan of {directory} was changed while its points were computed")
    return scan, store


@dataclass(frozen=True)
class Work:
    """A function of the number of a point that computes it and writes its file.

    ``token`` keeps executors that remember results of equal calls from doing so.
    """

    directory: str
    sha256: str
    retry: bool
    every: float
    deadline: float = math.inf
    token: float = 0.0

    def __call__(self, i):
        scan, store = opened(self.directory, self.sha256)
        point = scan.point(i)
        with store.present(), store.claim(point.id) as mine:
            if not mine:
                return Outcome(i, "busy")
            if store.has(point.id, failed=not self.retry):
                return Outcome(i, "present")
            watch = _watch if threading.current_thread() is threading.main_thread() else None
            if watch is not None and watch.caught:
                return Outcome(i, "stopped")
            try:
                with watch.abandoning(point) if watch is not None else nullcontext():
                    record = point.compute(store, self.every, self.deadline)
            except PointStoppedError as stop:
                return Outcome(i, "stopped", str(stop))
            store.write(record)
        return Outcome(i, record.status, record.message)


# --- worker processes


def _forked():
    """The signals of the parent are not those of a worker that an executor has forked."""
    global _watch
    if _watch is not None:
        _watch.__exit__()
        _watch = None


os.register_at_fork(after_in_child=_forked)


def start_worker(stop):
    """First call in a worker process, which stops when the other end of the pipe ``stop`` asks it to or closes."""
    global _watch
    _watch = Watch()
    _watch.__enter__()
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches the whole group: the driver decides
    threading.Thread(target=_follow, args=(stop,), daemon=True).start()


def _follow(stop):
    """Stop when the driver asks for it or is gone."""
    stop.poll(None)
    while True:
        os.kill(os.getpid(), signal.SIGUSR1)  # again and again: a point may just be starting
        time.sleep(POLL)
        if not multiprocessing.parent_process().is_alive() and not _busy:  # type: ignore[union-attr]  # there is one
            os._exit(1)


def in_worker(work, i):
    """A point in a worker process."""
    global _busy
    _busy = True
    try:
        return work(i)
    finally:
        _busy = False
        if not multiprocessing.parent_process().is_alive():  # type: ignore[union-attr]  # there is one; nobody to tell
            os._exit(1)


class Pool:
    """Worker processes; one that dies costs only the attempt at its point."""

    def __init__(self, workers):
        if getattr(multiprocessing.current_process(), "_inheriting", False):
            raise ScanError("a worker process runs the script again: put Scan.run under if __name__ == '__main__':")
        script = getattr(sys.modules["__main__"], "__file__", None)
        if script is not None and not os.path.exists(script):
            raise ScanError(f"a program read from {script} cannot start worker processes: save it, or workers=1")
        self.workers = workers
        self.context = multiprocessing.get_context("spawn")  # forked processes cannot use OpenMP and hold open files
        self.receiver, self.sender = self.context.Pipe(duplex=False)
        self.executor: Any = None
        # the helper process of multiprocessing does not know what to do with the signals of a Slurm step
        old = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGUSR1})
        resource_tracker.ensure_running()
        signal.pthread_sigmask(signal.SIG_SETMASK, old)

    def start(self):
        """Start the processes, again after one has died."""
        for last in (False, True):
            self.close()
            self.executor = ProcessPoolExecutor(self.workers, self.context, start_worker, (self.receiver,))
            try:
                return self.executor.submit(os.getpid).result()
            except BrokenProcessPool:
                if last:
                    raise ScanError(
                        "the worker processes do not start: in a script, put Scan.run under if __name__ == '__main__':"
                    ) from None

    def stop(self):
        """Ask every process to write its checkpoint."""
        self.sender.close()

    def close(self):
        """End the processes."""
        if self.executor is not None:
            self.executor.shutdown(wait=True, cancel_futures=True)

    def outcomes(self, work, points, stopping):
        """Compute points; yields outcomes as they come and None while waiting."""
        self.start()
        queue, suspects = deque(points), deque[Any]()
        crashes, running = Counter[Any](), dict[Any, Any]()
        stopped = False
        while running or ((queue or suspects) and not stopped):
            if stopping() and not stopped:
                stopped = True
                self.stop()
            source, most = (suspects, 1) if suspects else (queue, self.workers + 1)
            try:
                while source and len(running) < most and not stopped:
                    running[self.executor.submit(in_worker, work, source[0])] = source[0]
                    source.popleft()
            except BrokenProcessPool:
                if not running:  # otherwise the futures report it
                    self.start()
            done, _ = wait(running, timeout=POLL, return_when=FIRST_COMPLETED)
            broken = [running[f] for f in done if isinstance(f.exception(), BrokenProcessPool)]
            for future in done:
                i = running.pop(future)
                if i not in broken:
                    yield future.result()
            if broken:
                yield from self._after_crash(work, broken + list(running.values()), suspects, crashes)
                running.clear()
            yield None

    def _after_crash(self, work, points, suspects, crashes):
        """One of the points may have killed its process: each is tried alone."""
        if len(points) == 1:
            crashes[points[0]] += 1
        for i in points:
            if crashes[i] < CRASHES:
                suspects.append(i)
            else:
                yield give_up(work, i)
        self.start()


def give_up(work, i):
    """Record a point whose worker process died every time."""
    scan, store = opened(work.directory, work.sha256)
    point = scan.point(i)
    message = f"its worker process died {CRASHES} times (killed, perhaps for lack of memory)"
    store.write(Record(point.id, point.parameters, "failed", message, {}, {}, "{}"))
    return Outcome(i, "failed", message)


# --- the ways to run points; every one yields outcomes, and None while waiting


def here(work, points, stopping):
    """In this process."""
    for i in points:
        if stopping():
            return
        yield work(i)


def on_executor(executor):
    """On anything that has submit(f, *args).result()."""

    def outcomes(work, points, stopping):
        queue, outstanding = deque(points), list[Any]()
        try:
            while queue or outstanding:
                while queue and len(outstanding) < OUTSTANDING and not stopping():
                    outstanding.append(executor.submit(work, queue.popleft()))
                if not any_ready(outstanding, stopping):
                    return
                for future in list(filter(is_done, outstanding)):
                    if stopping():
                        return
                    outstanding.remove(future)
                    yield future.result()
        finally:
            cancel(outstanding)

    return outcomes


def is_done(future):
    """Whether a result is there; a future that cannot tell is waited for."""
    return getattr(future, "done", lambda: True)()


def any_ready(futures, stopping):
    """Wait until a future is done or it is time to stop; whether one is done."""
    pause = 1e-3
    while not any(map(is_done, futures)):
        if stopping():
            return False
        time.sleep(pause)
        pause = min(2 * pause, POLL)
    return bool(futures)


def cancel(futures):
    """Cancel what has not begun."""
    for future in futures:
        getattr(future, "cancel", bool)()


def in_pool(workers):
    """In worker processes."""

    def outcomes(work, points, stopping):
        pool = Pool(workers)
        try:
            yield from pool.outcomes(work, points, stopping)
        finally:
            pool.stop()
            pool.close()

    return outcomes


# --- the driver


def run(
    scan: Any,
    directory: str | Path,
    *,
    workers: int | None = None,
    executor: Any = None,
    tasks: int | None = None,
    task: int | None = None,
    of: int | None = None,
    time_limit: float = math.inf,
    every: float = 300.0,
    retry: bool = False,
    update: bool = False,
    progress: Any = None,
) -> ScanStatus:
    """``Scan.run``, which explains the arguments."""
    began = time.monotonic()
    share = _check_share(workers, executor, tasks, task, of)
    limits = {"time_limit": time_limit, "every": every}
    limits = {name: _check.real(name, value, above=0, inf=True) for name, value in limits.items()}
    meter = progress_meter.make(progress)
    store = Store(directory)
    seconds, memory = scan.check(meter)
    store.check_plan(scan, update)
    # tasks on different machines must agree on the shares: the last digits of the costs may differ
    own = np.argsort(-np.round(np.log2(np.maximum(seconds, 1e-12))), kind="stable")[slice(*share)]
    own = own[np.argsort(-seconds[own], kind="stable")]
    workers = usable_cores() if workers is None and task is None else workers or 1
    if executor is None:
        _check_memory(memory[own], workers)
    now = time.time()
    deadline = now + limits["time_limit"]
    work = Work(str(store.directory.absolute()), scan.sha256, retry, limits["every"], deadline, now)
    store.create()
    with store.present(), Runner(scan, store, own, seconds, work, meter) as runner:
        store.write_plan(scan, update)
        if tasks is not None:
            runner.computed, stopped = share_out(executor, work, tasks, runner.stopping)
            runner.stopped = runner.stopped or stopped
        else:
            way = on_executor(executor) if executor is not None else in_pool(workers) if workers > 1 else here
            runner.run(way)
    status = status_of(scan, store, own)
    status.computed, status.seconds = runner.computed, time.monotonic() - began
    status.stopped = runner.stopped if runner.left or status.missing else ""
    return status


def _check_share(workers, executor, tasks, task, of):
    """The points of a task among all, in their order, as arguments of ``slice``."""
    if workers is not None:
        _check.integer("workers", workers, low=1)
        if executor is not None:
            raise ValueError(f"workers = {workers} is not allowed with an executor, which has its own")
    if executor is not None and (isinstance(executor, type) or not callable(getattr(executor, "submit", None))):
        raise TypeError(f"executor must have a method submit(f, *args), got {executor!r}")
    if tasks is not None:
        if executor is None:
            raise ValueError(f"tasks = {tasks} needs an executor")
        _check.integer("tasks", tasks, low=1)
    if (task is None) != (of is None):
        raise ValueError("task and of must be given together: share number task, from 0, of so many")
    if task is None:
        return None, None, None
    of = _check.integer("of", of, low=1)
    return _check.integer("task", task, low=0, high=of - 1), None, of


def _check_memory(memory, workers):
    """As many of the largest points as there are workers must fit."""
    need, have = np.sort(memory)[-workers:].sum(), available_memory()
    if need > have:
        raise MemoryError(
            f"workers = {workers}: so many points at a time need up to {need:.0f} bytes, {have:.0f} are available: "
            "use fewer workers"
        )


class Runner:
    """The driver's loop: which points are left, progress, and what stops it."""

    def __init__(self, scan, store, own, seconds, work, meter):
        self.scan, self.store, self.own, self.seconds, self.work, self.meter = scan, store, own, seconds, work, meter
        self.watch = Watch()
        self.alarm = Alarm(self.watch, work.deadline - time.time())
        self.computed, self.failed, self.stopped = 0, 0, ""
        self.left: set[int] = set()

    def __enter__(self):
        global _watch
        self.watch.__enter__()
        self.alarm.__enter__()
        _watch = self.watch
        return self

    def __exit__(self, *exc):
        global _watch
        _watch = None
        self.alarm.__exit__(*exc)
        self.watch.__exit__(*exc)
        self.meter.close()

    def pending(self):
        """Own points that are not finished, in their order."""
        finished, failed = self.store.outcomes()
        done = finished if self.work.retry else np.union1d(finished, failed)
        return self.own[~np.isin(self.scan.ids[self.own], done)].tolist()

    def run(self, way):
        """Compute the points; those that other runners hold are waited for."""
        pending, work = self.pending(), self.work
        self.total = max(self.seconds[pending].sum(), 1e-300)
        self.done, self.begun = 0.0, len(pending)
        self.left = set(pending)
        while pending and not self.stopping():
            pending = [o.point for o in way(work, pending, self.stopping) if self.note(o)]
            work = replace(work, retry=False)  # what failed just now is not tried again
            pending = self._wait(pending)
        self.store.pack()

    def _wait(self, held):
        """Wait until one of the points that other runners hold is free; those that are."""
        pause = POLL
        while held and not self.stopping():
            finished, failed = self.store.outcomes()
            done = np.isin(self.scan.ids[held], np.union1d(finished, failed))
            self.left -= set(np.array(held)[done].tolist())
            held = np.array(held)[~done].tolist()
            free = [i for i in held if self._is_free(i)]
            if free:
                return free
            self.note(None)
            time.sleep(pause)
            pause = min(1.5 * pause, PATIENCE)
        return []

    def _is_free(self, i):
        with self.store.claim(self.scan.ids[i].decode()) as mine:
            return mine

    def stopping(self):
        """Whether to stop; the reason is kept."""
        if not self.stopped and self.watch.caught:
            self.stopped = f"stopped by {self.watch.caught}"
        if not self.stopped and time.time() > self.work.deadline:
            self.stopped = "stopped by the time limit"
        return bool(self.stopped)

    def note(self, outcome):
        """Count an outcome and show it; whether the point is in the hands of another runner."""
        if outcome is not None:
            self._count(outcome)
        if self.begun:
            text = f"{self.computed} of {self.begun} points" + (f", {self.failed} failed" if self.failed else "")
            self.meter.update(min(self.done / self.total, 1.0), "scan", text)
        return outcome is not None and outcome.status == "busy"

    def _count(self, outcome):
        if outcome.status == "stopped":
            self.stopped = self.stopped or outcome.message or "stopped"
        if outcome.status in STATUS:
            self.computed += 1
            self.failed += outcome.status == "failed"
            if self.computed % PACK == 0:
                self.store.pack()
        if outcome.status != "busy":
            self.done += self.seconds[outcome.point]
        if outcome.status not in ("busy", "stopped"):
            self.left.discard(outcome.point)


def status_of(scan: Any, store: Store, own: Any = None) -> ScanStatus:
    """Where a scan stands, from its files."""
    ids = scan.ids if own is None else scan.ids[own]
    outcomes = store.outcomes()
    finished, failed = (int(np.isin(ids, done).sum()) for done in outcomes)
    failures = list(_failures(scan, store, np.intersect1d(ids, outcomes[1]))) if failed else []
    return ScanStatus(len(ids), finished, failed, len(ids) - finished - failed, failures=failures)


def _failures(scan, store, ids):
    """What is known of the failed points ``ids``."""
    numbers = {name: i for i, name in reversed(list(enumerate(scan.ids)))}
    for name, message in store.messages(ids).items():
        yield {"id": name.decode(), "parameters": scan.describe(numbers[name]), "message": message}


def status(directory: str | Path) -> ScanStatus:
    """Where the scan of a directory stands.

    Parameters
    ----------
    directory : str or Path

    Returns
    -------
    ScanStatus

    Raises
    ------
    FileNotFoundError
        If it is not the directory of a scan.
    """
    store = Store(directory)
    return status_of(store.plan(), store)


# --- shares as submissions of their own


class Share:
    """A function that computes one share of the points."""

    def __call__(self, work, task, of):
        scan, store = opened(work.directory, work.sha256)
        left = max(work.deadline - time.time(), POLL)
        options = {"time_limit": left, "every": work.every, "retry": work.retry, "progress": False}
        return run(scan, store.directory, task=task, of=of, **options)

    def checkpoint(self, *args):
        """Called by submitit before a job ends too early: the share is submitted again and continues."""
        from submitit.helpers import DelayedSubmission

        return DelayedSubmission(self, *args)


def share_out(executor, work, tasks, stopping):
    """Submit every share and wait; how many points were computed, and why a share stopped early."""
    futures = [executor.submit(Share(), work, task, tasks) for task in range(tasks)]
    shares = []
    try:
        for future in futures:
            if any_ready([future], stopping):
                shares.append(future.result())
    finally:
        cancel(futures)
    return sum(share.computed for share in shares), next((s.stopped for s in shares if s.stopped), "")
