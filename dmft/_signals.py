"""Signals that ask a run to stop."""

import signal
import threading


class Signals:
    """While active, the first Ctrl-C sets ``caught`` instead of raising; with ``stop`` set so do
    SIGTERM and SIGUSR1.  Only in the main thread; elsewhere signals are left alone."""

    def __init__(self, stop):
        self.caught = ""
        self.names = ["SIGINT"] + (["SIGTERM", "SIGUSR1"] if stop else [])
        self.old = {}

    def __enter__(self):
        if threading.current_thread() is threading.main_thread():
            for name in self.names:
                number = getattr(signal, name, None)
                if number is not None:
                    self.old[number] = signal.signal(number, self._catch)
        return self

    def _catch(self, number, frame):
        if self.caught and number == signal.SIGINT:
            raise KeyboardInterrupt
        self.caught = signal.Signals(number).name

    def __exit__(self, *exc):
        for number, handler in self.old.items():
            signal.signal(number, handler if handler is not None else signal.SIG_DFL)
