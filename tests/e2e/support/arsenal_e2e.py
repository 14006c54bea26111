"""What the Python tests share: the node that each starts for itself, checks with a name, and waiting with a deadline.

Nothing here knows a client library; a check fails by any exception, so that one that hangs must have a timeout.
"""

import contextlib
import os
import queue
import re
import signal
import subprocess
import sys
import threading
import time
import traceback

# How long anything may take before it counts as not happening. Generous: the machine may be busy with other things.
WAIT_SECONDS = 30


class Program:
    """The real program as a process of its own; what it prints tells that it is up, and where."""

    def __init__(self, *arguments, environment=None):
        self.process = subprocess.Popen(
            [os.environ["ARSENAL"], *arguments],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            env={**os.environ, **(environment or {})},
        )
        self._lines = queue.Queue()
        # Reads on as long as the program lives, so that a full pipe never stops it.
        threading.Thread(target=self._read, daemon=True).start()

    def _read(self):
        for line in self.process.stdout:
            self._lines.put(line)
        self._lines.put(None)

    def _address(self, pattern):
        printed = []
        deadline = time.monotonic() + WAIT_SECONDS
        while True:
            try:
                line = self._lines.get(timeout=max(0, deadline - time.monotonic()))
            except queue.Empty:
                line = None
            if line is None:
                self.end()
                raise RuntimeError(f"the program did not start:\n{''.join(printed)}")
            printed.append(line)
            if found := re.match(pattern, line):
                return found[1]

    def stop(self):
        """Asks it to stop, and answers its exit code."""
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(WAIT_SECONDS)

    def end(self):
        """Makes sure that nothing of it is left."""
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.end()


class Node(Program):
    """A node on free ports of the loopback interface."""

    def __init__(self, *options, environment=None):
        super().__init__("dev", "--grpc", "0", "--rest", "0", *options, environment=environment)
        self.grpc = self._address(r"^  gRPC  (\S+)")
        self.rest = self._address(r"^  REST  (http\S+)")


class Gateway(Program):
    """A gateway of its own before `upstream`, on a free port; settings are those of the section `gateway`."""

    def __init__(self, upstream, **settings):
        told = {f"ARSENAL_GATEWAY_{name.upper()}": value for name, value in settings.items()}
        super().__init__("gateway", "--upstream", upstream, "--listen", "127.0.0.1:0", environment=told)
        self.rest = self._address(r"^arsenal gateway: (http\S+)")


def eventually(ask, accept, what):
    """Asks until the answer is accepted; for what no event tells."""
    deadline = time.monotonic() + WAIT_SECONDS
    while True:
        answer = ask()
        if accept(answer):
            return answer
        if time.monotonic() > deadline:
            raise AssertionError(f"{what} did not come about; the last answer was {answer!r}")
        time.sleep(0.02)


def equal(got, wanted):
    """Fails with both values."""
    if got != wanted:
        raise AssertionError(f"got {got!r}, wanted {wanted!r}")


def holds(condition, told):
    """Fails with what is told where the condition does not hold."""
    if not condition:
        raise AssertionError(told)


@contextlib.contextmanager
def raises(kind):
    """The block must fail so; gives a holder whose `error` is what was raised."""

    class Raised:
        error = None

    raised = Raised()
    try:
        yield raised
    except kind as error:
        raised.error = error
    else:
        raise AssertionError(f"no {kind.__name__} was raised")


class Checks:
    """Named checks, run in the order in which they are written, each whatever became of the others."""

    def __init__(self):
        self._checks = []

    def __call__(self, check):
        self._checks.append(check)
        return check

    def run(self, *arguments):
        """Runs all, prints a line for each and the closing line, and ends the program."""
        # An interruption by the driver passes through every `with`, so that no node is left over.
        signal.signal(signal.SIGTERM, lambda *_: sys.exit("interrupted"))
        failed = 0
        for check in self._checks:
            name = check.__name__.replace("_", " ")
            try:
                check(*arguments)
                print(f"ok: {name}", flush=True)
            except Exception as error:
                failed += 1
                print(f"FAILED: {name}\n  {type(error).__name__}: {error}", flush=True)
                if not isinstance(error, AssertionError):
                    traceback.print_exc(limit=-3)
        print(f"{len(self._checks) - failed} passed, {failed} failed", flush=True)
        return failed == 0
