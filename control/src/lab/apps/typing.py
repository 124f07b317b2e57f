"""Types into an interactive ssh session, one key at a time, each when the one before has been echoed.

typing.py SECONDS SSH ARGUMENTS...      prints a report in JSON; exit code 0 only when every echo and answer was right
"""
import json
import os
import pty
import select
import sys
import time

PROMPT = b"lab> "
# ssh's own patience with a lost segment is longer.
PATIENCE = 30


def fail(words):
    sys.exit(f"typing: {words}")


class Terminal:
    def __init__(self, command):
        pid, self.fd = pty.fork()
        if pid == 0:
            os.execvp(command[0], command)
        self.seen = b""

    def write(self, data):
        os.write(self.fd, data)

    def expect(self, wanted, started=None):
        """Waits until `wanted` comes next (or, without a start, at all) and gives the seconds since then."""
        deadline = time.monotonic() + PATIENCE
        while wanted not in self.seen:
            ready, _, _ = select.select([self.fd], [], [], max(0, deadline - time.monotonic()))
            if not ready:
                fail(f"{wanted!r} did not come within {PATIENCE} s; there is {self.seen[-200:]!r}")
            try:
                data = os.read(self.fd, 4096)
            except OSError:
                data = b""
            if not data:
                fail(f"the session ended; last words: {self.seen[-400:]!r}")
            self.seen += data
        before, self.seen = self.seen.split(wanted, 1)
        if started is not None and before:
            fail(f"{before!r} came before {wanted!r}")
        return time.monotonic() - (started or 0)


def main():
    seconds, command = float(sys.argv[1]), sys.argv[2:]
    terminal = Terminal(command)
    terminal.expect(PROMPT)
    begin, lines, times = time.monotonic(), 0, []
    while time.monotonic() < begin + seconds or not lines:
        word = f"word-{lines}-{lines * lines}"
        for key in f"echo {word}":
            started = time.monotonic()
            terminal.write(key.encode())
            times.append(terminal.expect(key.encode(), started))
        started = time.monotonic()
        terminal.write(b"\r")
        terminal.expect(b"\r\n" + word.encode() + b"\r\n" + PROMPT, started)
        times.append(time.monotonic() - started)
        lines += 1
    took = time.monotonic() - begin
    terminal.write(b"exit\r")
    times.sort()
    place = lambda share: 1000 * times[min(len(times) - 1, int(share * len(times)))]
    print(json.dumps({
        "echoes": len(times), "lines": lines, "per_second": len(times) / took,
        "median_ms": place(0.5), "p99_ms": place(0.99),
    }))


main()
