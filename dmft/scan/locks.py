"""Locks of a scan directory: bytes of one file, which the kernel frees when a process ends, however it ends.

POSIX locks belong to processes; what the threads of this one hold is kept in ``_held``.
"""

import contextlib
import errno
import fcntl
import os
import threading
from collections import Counter
from typing import Any

PRESENCE, PLAN, POINTS = 0, 1, 2  # bytes: shared by all runners; for whoever writes the plan; from here on, the points
UNSUPPORTED = (errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP)  # e.g. a network file system without locks

_files: dict[Any, Any] = {}  # open while the process holds a lock: closing one would drop them all
_held: Counter[Any] = Counter()  # {(path, byte): by how many threads}
_guard = threading.RLock()


def _forked():
    """A forked process holds none of the locks of its parent."""
    global _guard
    _guard = threading.RLock()
    _held.clear()
    for file in _files.values():
        os.close(file)
    _files.clear()


os.register_at_fork(after_in_child=_forked)


class Locks:
    """Locks on the file ``path``, whose directory exists."""

    def __init__(self, path):
        self.path = path.resolve()

    def _file(self):
        file = _files.get(self.path)
        if file is None or not self.path.exists() or not os.path.samestat(os.fstat(file), self.path.stat()):
            if file is not None:  # the directory was made again
                os.close(file)
            file = _files[self.path] = os.open(self.path, os.O_RDWR | os.O_CREAT, 0o666)
        return file

    def _lock(self, kind, byte):
        """Try to lock a byte: True, False if another process has it, None where the file system has no locks."""
        try:
            fcntl.lockf(self._file(), kind, 1, byte)
        except OSError as error:
            if error.errno in UNSUPPORTED:
                return None
            if error.errno in (errno.EACCES, errno.EAGAIN):
                return False
            raise
        return True

    def _release(self, byte):
        """One thread fewer holds a byte; the file is closed after the last one."""
        key = (self.path, byte)
        _held[key] -= 1
        if not _held[key]:
            del _held[key]
            if self.path in _files:
                with contextlib.suppress(OSError):  # there are no locks here
                    fcntl.lockf(_files[self.path], fcntl.LOCK_UN, 1, byte)
        if not any(path == self.path for path, _ in _held) and self.path in _files:
            os.close(_files.pop(self.path))

    def enter(self, clean):
        """Be present until the process ends or leaves; ``clean`` is called if nobody else is."""
        with _guard:
            _held[self.path, PRESENCE] += 1
            if _held[self.path, PRESENCE] > 1:
                return
            try:
                if self._lock(fcntl.LOCK_EX | fcntl.LOCK_NB, PRESENCE):
                    clean()
                self._lock(fcntl.LOCK_SH, PRESENCE)
            except BaseException:
                self._release(PRESENCE)
                raise

    def leave(self):
        """One thread fewer is present."""
        with _guard:
            self._release(PRESENCE)

    @contextlib.contextmanager
    def writing_plan(self):
        """Nobody else writes the plan meanwhile."""
        with _guard:
            self._lock(fcntl.LOCK_EX, PLAN)
            _held[self.path, PLAN] += 1
            try:
                yield
            finally:
                self._release(PLAN)

    @contextlib.contextmanager
    def claim(self, number):
        """Hold a point while it is computed; yields False if somebody else does."""
        key = (self.path, POINTS + number)
        with _guard:
            mine = not _held[key] and self._lock(fcntl.LOCK_EX | fcntl.LOCK_NB, key[1]) is not False
            if mine:
                _held[key] = 1
        try:
            yield mine
        finally:
            if mine:
                with _guard:
                    self._release(key[1])
