"""Rows with a distance: the same delay and loss between visitor and relay, and between relay and home."""

import os
import shutil
from dataclasses import replace

from . import ground
from .processes import BenchError
from .rows import visit
from .service import Service
from .subjects import SSH, Direct, HAProxy, HAProxySplicing, P2PRC, SSHWithGCM

# Of each kind of fetch: bytes, how many at once, how many times at most, and how many seconds that may take.
PAGE, FILE, MESSAGE = 100_000, 10_000_000, 64
FETCHES = {
    "page": (PAGE, 1, 40, 8), "file": (FILE, 1, 4, 8), "burst": (PAGE, 16, 6, 5)}
# The 90th percentile of pages takes more of them.
LOSSY_PAGES, LOSSY_SECONDS = 100, 30


def missing(congestion=None):
    """Why there can be no distance here, or None."""
    if os.geteuid() != 0:
        return "network namespaces need root"
    if not shutil.which("ip"):
        return "ip (iproute2) is not there"
    if not os.access("/dev/net/tun", os.R_OK | os.W_OK):
        return "there is no TUN driver (/dev/net/tun)"
    return None if ground.delay_line() else "labtool is not there (swift build -c release --product labtool)"


class Distance:
    """Of new visitors the first byte, 100 KB, 10 MB, and the last of 16 at once; and 64 bytes on a connection that
    stays. Each sample has fresh processes: what they learn of one distance is wrong at the next."""

    only = (Direct, HAProxy, SSH, P2PRC)
    without = (HAProxySplicing, SSHWithGCM)
    most_rounds = 2
    grounds = {}

    def __init__(self, delay, loss):
        self.delay, self.loss = delay, loss
        self.key = f"distance-{delay}" + (f"-{loss}" if loss else "")

    def measure(self, bench, subject):
        place, service = self.place(bench)
        # What they learn of the way while they come up is to hold later, too.
        place.set(self.delay, 0)
        with subject.again(service.port, service.port + 1, place) as far:
            place.set(self.delay, self.loss / 100)
            return self.fetch_all(replace(bench, ground=place), far)

    def fetch_all(self, bench, far):
        figures = {"others": 0}
        for name, (size, at_once, count, seconds) in FETCHES.items():
            if name == "page" and self.loss:
                count, seconds = LOSSY_PAGES, LOSSY_SECONDS
            result = self.fetch(bench, far, size, count, seconds, "--connections", at_once)
            figures |= {f"{name}_ms": result["whole_p50_ms"], f"{name}_p90_ms": result["whole_p90_ms"]}
            if name == "page":
                figures["first_ms"] = result["first_p50_ms"]
            figures["others"] = max(figures["others"], result["others"])
        kept = self.fetch(bench, far, MESSAGE, 40, 6, "--keep", 1)
        return figures | {"exchange_ms": kept["whole_p50_ms"], "exchange_p90_ms": kept["whole_p90_ms"]}

    @staticmethod
    def fetch(bench, far, size, count, seconds, *more):
        return visit(
            bench, far, "fetch", "--host", far.address, "--port", far.port, "--bytes", size, "--count", count, *more,
            "--seconds", seconds)

    @classmethod
    def place(cls, bench):
        """The hosts, made once, with the service at home."""
        if bench.congestion not in cls.grounds:
            place = ground.Apart(bench.scope, bench.load, bench.congestion)
            cls.grounds[bench.congestion] = place, Service(bench.scope, bench.load, ports=2, ground=place)
        return cls.grounds[bench.congestion]


ROWS = [Distance(delay, loss) for loss in (0, 1, 3) for delay in (5, 20, 80)]
