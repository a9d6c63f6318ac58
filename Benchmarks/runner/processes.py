"""Child processes that never outlive the benchmark, and what the system says of them."""

import ctypes
import os
import random
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from pathlib import Path

TICK = 1 / os.sysconf("SC_CLK_TCK")
_prctl = ctypes.CDLL(None, use_errno=True).prctl
_PR_SET_PDEATHSIG = 1


class BenchError(Exception):
    """Says what could not be measured, and why."""


def _begin_life():
    """In the child: it dies with the benchmark, and has a process group to be ended by. No session of its own: where
    the scheduler groups by sessions, shares would then depend on who is split how."""
    os.setpgid(0, 0)
    _prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)


def wait_for(what, condition, limit=20.0, alive=()):
    """Calls `condition` until it returns something true, and returns that; BenchError after `limit` seconds, or when
    one of the processes `alive` is not."""
    deadline = time.monotonic() + limit
    while True:
        value = condition()
        if value:
            return value
        for child in alive:
            if child.poll() is not None:
                raise BenchError(f"{what}: {child.args[0]} ended with {child.returncode}: {last_line(child.log)}")
        if time.monotonic() > deadline:
            raise BenchError(f"{what}: not within {limit:g} s")
        time.sleep(0.01)


class Scope:
    """Everything that is started and written; `close` ends and removes it, in reverse order."""

    def __init__(self):
        self.folder = Path(tempfile.mkdtemp(prefix="p2prc-bench-"))
        self._children = []
        self._ports = set()
        self._last = []

    def start(self, name, words, **more):
        """Starts a program with its output in a file; it dies with the benchmark, whatever ends that."""
        log = self.folder / f"{name}.log"
        with open(log, "ab") as output:
            more.setdefault("stdin", subprocess.DEVNULL)
            more.setdefault("stdout", output)
            child = subprocess.Popen(
                [str(word) for word in words], stderr=output, preexec_fn=_begin_life, **more)
        child.log = log
        self._children.append(child)
        return child

    def at_end(self, body):
        """Called by `close`, when no child is left."""
        self._last.append(body)

    def stop(self, child):
        """SIGTERM to its process group, SIGKILL after 3 s."""
        if child in self._children:
            self._children.remove(child)
        for number in (signal.SIGTERM, signal.SIGKILL):
            try:
                os.killpg(child.pid, number)
                child.wait(3)
            except ProcessLookupError:
                pass
            except subprocess.TimeoutExpired:
                continue
            break
        for pipe in (child.stdin, child.stdout):
            if pipe:
                pipe.close()

    def port(self, count=1, low=20000):
        """The first of `count` free neighbours on loopback, from `low` on and below the ephemeral ones. A relay gives
        out those from 20000 on."""
        for _ in range(1000):
            first = random.randrange(low, 32700 - count)
            wanted = range(first, first + count)
            if self._ports.isdisjoint(wanted) and all(_is_free(port) for port in wanted):
                self._ports.update(wanted)
                return first
        raise BenchError(f"{count} free ports side by side are not to be found between {low} and 32700")

    def close(self):
        while self._children:
            self.stop(self._children[-1])
        while self._last:
            self._last.pop()()
        shutil.rmtree(self.folder, ignore_errors=True)


def last_line(path):
    """What a program said last; empty when it said nothing."""
    with open(path, encoding="utf8", errors="replace") as file:
        return next((line.strip() for line in reversed(file.readlines()) if line.strip()), "")


def _is_free(port):
    with socket.socket() as probe:
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True


def become_urgent():
    """From now on what is measured goes before whatever else the machine does (sched(7), autogroup); needs root.
    In a session of its own, so that the shell that it was started from does not."""
    if os.getsid(0) != os.getpid():
        os.execvp("setsid", ["setsid", "--wait", sys.executable, *sys.argv])
    _prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)
    try:
        os.nice(-10)
        _level(os.getpid())
    except OSError as error:
        raise BenchError(f"--urgent: {error.strerror}: run it as root") from error


def stay_urgent():
    """Programs that make a session of their own (sshd) start again from the bottom: this lifts them."""
    for pid in descendants([os.getpid()]):
        try:
            _level(pid)
        except OSError:
            continue


def _level(pid):
    path = Path(f"/proc/{pid}/autogroup")
    if path.exists():
        path.write_text("-20")


def _stat(pid):
    """Fields of /proc/PID/stat from the third on (proc(5)); None when it is gone."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return None


def descendants(roots):
    """The processes with these ids and all below them."""
    children = {}
    for name in os.listdir("/proc"):
        if name.isdigit() and (fields := _stat(name)):
            children.setdefault(int(fields[1]), []).append(int(name))
    found, queue = [], list(roots)
    while queue:
        pid = queue.pop()
        found.append(pid)
        queue += children.get(pid, [])
    return found


def cpu_seconds(pids):
    """User plus system time of processes."""
    return sum((int(fields[11]) + int(fields[12])) * TICK for pid in pids if (fields := _stat(pid)))


def own_cpu_seconds():
    """User plus system time of this process and of all below it, those that ended included."""
    mine = _stat(os.getpid())
    ended = (int(mine[13]) + int(mine[14])) * TICK
    return cpu_seconds(descendants([os.getpid()])) + ended


def machine_cpu_seconds():
    """What all processors did for processes (user, nice, system), and what was stolen from this machine (proc(5)).
    Interrupts are left out: they are nobody's, or the load's own."""
    user, nice, system, _, _, _, _, steal = map(int, Path("/proc/stat").read_text().split("\n", 1)[0].split()[1:9])
    return (user + nice + system + steal) * TICK


def memory(pid):
    """PSS, anonymous and resident bytes (proc(5), smaps_rollup)."""
    kinds = {"Pss": "pss", "Anonymous": "anonymous", "Rss": "resident"}
    found = {}
    for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
        key, _, rest = line.partition(":")
        if key in kinds:
            found[kinds[key]] = int(rest.split()[0]) * 1024
    return found
