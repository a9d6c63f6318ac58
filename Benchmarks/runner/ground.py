"""Where the parts of a subject are: all on loopback, or apart, with a distance between them."""

import os
import re
import signal
import subprocess
from pathlib import Path

from .processes import BenchError, wait_for

ROOT = Path(__file__).resolve().parents[2]
# Seconds that a connection through a subject may take to answer for the first time.
FIRST_ANSWER = 10


class Loopback:
    """Visitor, relay and home are one host."""

    visitor = relay = home = "127.0.0.1"

    def inside(self, _place, words):
        """The command line that runs `words` there."""
        return words


class Apart:
    """Three hosts in a row, each a network namespace; between two of them a line that delays and loses packets.

        visitor ── delay line ── relay ── delay line ── home

    The relay is the router on the way from the visitor to the home, for whoever goes there without a tunnel. The delay
    lines are those of the laboratory (Tests/Support/labtool): not every kernel has netem. Nothing that the system
    learned of one connection (tcp_no_metrics_save) tells on the next one.
    """

    visitor, relay, home = "198.18.1.2", "198.18.1.1", "198.18.2.2"
    _gateway = "198.18.2.1"
    _number = 0

    def __init__(self, scope, load, congestion=None):
        self.load = load
        Apart._number += 1
        self.prefix = f"p2prc-bench-{os.getpid()}-{Apart._number}"
        _remove(left_over())
        scope.at_end(lambda: _remove(self._names()))
        self._rows = scope.folder / f"{self.prefix}-lines"
        self._batch([f"netns add {name}" for name in self._names()])
        self._write(0, 0)
        self._lines = scope.start(
            "delay-line", [delay_line(), "delay-line", "--lines", self._rows, "--seconds", 36000],
            stdin=subprocess.PIPE)
        wait_for("the delay lines do not start", lambda: '"lines":2' in self._lines.log.read_text(),
                 alive=[self._lines])
        self._host("visitor", [("wan", self.visitor, 1, self.relay, 2)], "198.18.0.0/15", self.relay)
        self._host("relay", [("wan", self.relay, 2, self.visitor, 1), ("lan", self._gateway, 3, self.home, 4)])
        self._host("home", [("wan", self.home, 4, self._gateway, 3)], "198.18.0.0/15", self._gateway)
        for place in ("visitor", "relay", "home"):
            self._tell(place, "ip_forward", "1")
            self._tell(place, "tcp_no_metrics_save", "1")
            if congestion:
                self._tell(place, "tcp_congestion_control", congestion)

    def set(self, delay, loss):
        """Milliseconds in each direction of each line, and the share of packets that are lost there."""
        self._write(delay, loss)
        self._lines.send_signal(signal.SIGUSR1)

    def inside(self, place, words):
        return ["ip", "netns", "exec", f"{self.prefix}-{place}", *words]

    def answers(self, port, host):
        """Whether a byte comes back to the visitor from there."""
        words = [self.load, "fetch", "--host", host, "--port", port, "--bytes", 1, "--seconds", 0]
        try:
            done = subprocess.run(
                [str(word) for word in self.inside("visitor", words)], stdin=subprocess.DEVNULL, capture_output=True,
                timeout=FIRST_ANSWER)
        except subprocess.TimeoutExpired:
            return False
        return done.returncode == 0

    def _names(self):
        return [f"{self.prefix}-{place}" for place in ("visitor", "relay", "home")]

    def _write(self, delay, loss):
        visitor, relay, home = self._names()
        figures = f"{round(delay * 1000)} 0 {round(loss * 1e6)}"
        text = f"{visitor} wan {relay} wan {figures}\n{home} wan {relay} lan {figures}\n"
        fresh = self._rows.with_suffix(".new")
        fresh.write_text(text)
        fresh.rename(self._rows)

    def _host(self, place, links, network=None, gateway=None):
        """Who is next to whom is told, not asked: a lost question would cost a second."""
        lines = ["link set lo up"]
        for device, own, number, other, its_number in links:
            lines += [
                f"link set {device} address {_hardware(number)}", f"addr add {own}/24 dev {device}",
                f"link set {device} up",
                f"neigh replace {other} lladdr {_hardware(its_number)} dev {device} nud permanent"]
        if gateway:
            lines.append(f"route add {network} via {gateway}")
        self._batch(lines, "-n", f"{self.prefix}-{place}")

    def _batch(self, lines, *options):
        done = subprocess.run(
            ["ip", *options, "-batch", "-"], input="\n".join(lines) + "\n", capture_output=True, text=True, timeout=20)
        if done.returncode != 0:
            raise BenchError(f"network namespaces: {done.stderr.strip().splitlines()[0]}")

    def _tell(self, place, name, value):
        words = self.inside(place, ["sh", "-c", f"echo {value} > /proc/sys/net/ipv4/{name}"])
        done = subprocess.run(words, capture_output=True, text=True, timeout=20)
        if done.returncode != 0:
            raise BenchError(f"{name} does not become {value}: {done.stderr.strip()}")


def _hardware(number):
    return f"02:00:00:00:00:{number:02x}"


def delay_line():
    """The program that makes distance, or None."""
    builds = (ROOT / ".build" / kind / "labtool" for kind in ("release", "debug"))
    return next((path for path in builds if path.exists()), None)


def left_over():
    """Namespaces of benchmarks that were killed."""
    found = []
    for name in os.listdir("/run/netns") if os.path.isdir("/run/netns") else []:
        parts = re.fullmatch(r"p2prc-bench-(\d+)-\d+-\w+", name)
        if parts and not os.path.exists(f"/proc/{parts[1]}"):
            found.append(name)
    return found


def _remove(names):
    for name in names:
        subprocess.run(["ip", "netns", "del", name], capture_output=True, timeout=20)
