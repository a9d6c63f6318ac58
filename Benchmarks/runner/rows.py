"""What is measured of each subject. A row's `measure` takes one sample: figures by their names."""

import json
import re
import select
import subprocess
import time
from dataclasses import dataclass

from .ground import Loopback
from .processes import (
    BenchError, cpu_seconds, descendants, last_line, machine_cpu_seconds, memory, own_cpu_seconds, wait_for)
from .service import Service, open_connections
from .subjects import ALL, P2PRC, Direct, find

GIB = 1 << 30
WARM = 0.3


@dataclass
class Bench:
    """What a row needs to know."""

    scope: object
    load: object
    service: int
    spare: int
    seconds: float
    held: tuple
    # Where visitors are.
    ground: object = Loopback()
    # Of the rows with a distance; None: the system's.
    congestion: object = None


class Window:
    """The processor time of a subject, and of strangers, between two moments."""

    def __init__(self, subject):
        self.pids = descendants(child.pid for child in subject.processes)
        self.begin = (time.monotonic(), cpu_seconds(self.pids), own_cpu_seconds(), machine_cpu_seconds())

    def end(self):
        """CPU seconds of the subject, and how many processors strangers kept busy."""
        then, subject, own, machine = self.begin
        span = time.monotonic() - then
        others = (machine_cpu_seconds() - machine) - (own_cpu_seconds() - own)
        return cpu_seconds(self.pids) - subject, max(0.0, others / span)


def visit(bench, subject, tool, *options, **more):
    """Runs a load generator; its result, with the CPU seconds of its measured part."""
    words = bench.ground.inside(
        "visitor", [bench.load, tool, "--seconds", bench.seconds, "--warm", WARM, *options])
    log = open(bench.scope.folder / "visitors.log", "a+", encoding="utf8")
    with log, subprocess.Popen(
        [str(word) for word in words], stdout=subprocess.PIPE, stdin=subprocess.DEVNULL, stderr=log, text=True
    ) as child:
        try:
            window = result = None
            for line in child.stdout:
                if line == "begin\n":
                    window = Window(subject)
                elif line == "end\n":
                    cpu, others = window.end()
                else:
                    result = json.loads(line)
        finally:
            child.kill()
    if result is None:
        raise BenchError(last_line(log.name) or f"{tool} ended without a result")
    return result | {"cpu_s": cpu, "others": others}



def others_now(span=0.1):
    """How many processors strangers keep busy just now."""
    own, machine = own_cpu_seconds(), machine_cpu_seconds()
    time.sleep(span)
    return max(0.0, machine_cpu_seconds() - machine - (own_cpu_seconds() - own)) / span


def settle(bench):
    """What the last sample left under way is over: the service has no connection open."""
    wait_for("connections of the last sample stay open", lambda: open_connections(bench.service) == 0, limit=10)


class Bulk:
    """As many bytes as go through."""

    def __init__(self, streams, direction):
        self.streams, self.direction = streams, direction
        self.key = f"bulk-{direction}-{streams}"

    def measure(self, bench, subject):
        result = visit(
            bench, subject, "bulk", "--port", subject.port, "--service", bench.service, "--connections", self.streams,
            "--direction", self.direction)
        return {
            "gbit_s": result["bytes"] * 8 / result["seconds"] / 1e9,
            "cpu_s_per_gib": result["cpu_s"] * GIB / max(1, result["bytes"]), "others": result["others"]}


class Ping:
    """64 bytes there and back, the next when they are back."""

    def __init__(self, connections):
        self.connections = connections
        self.key = f"ping-{connections}"

    def measure(self, bench, subject):
        result = visit(bench, subject, "ping", "--port", subject.port, "--connections", self.connections)
        return {
            "per_s": result["operations"] / result["seconds"], "p50_us": result["p50_us"], "p99_us": result["p99_us"],
            "p999_us": result["p999_us"], "cpu_us": result["cpu_s"] * 1e6 / result["operations"],
            "others": result["others"]}


class Datagrams:
    """64 bytes there and back, so many on their way at a time."""

    is_for_datagrams = True

    def __init__(self, flows, in_flight):
        self.flows, self.in_flight = flows, in_flight
        self.key = f"datagrams-{flows}" if in_flight == 1 else f"datagrams-{flows}-{in_flight}"

    def measure(self, bench, subject):
        result = visit(
            bench, subject, "datagrams", "--port", subject.datagrams, "--connections", self.flows, "--count",
            self.in_flight, "--bytes", 64)
        if result["operations"] == 0:
            raise BenchError("no datagram came back")
        return {
            "per_s": result["operations"] / result["seconds"], "p50_us": result["p50_us"], "p99_us": result["p99_us"],
            "cpu_us": result["cpu_s"] * 1e6 / result["operations"],
            "lost_share": result["lost"] / (result["operations"] + result["lost"]), "others": result["others"]}


class Flood:
    """As many datagrams as a visitor can send, and how many of them come to the service."""

    is_for_datagrams = True

    def __init__(self, length):
        self.length = length
        self.key = f"flood-{length}"

    def measure(self, bench, subject):
        result = visit(
            bench, subject, "flood", "--port", subject.datagrams, "--service", bench.service, "--bytes", self.length)
        if result["operations"] == 0:
            raise BenchError("no datagram came through")
        return {
            "per_s": result["operations"] / result["seconds"],
            "gbit_s": result["operations"] * self.length * 8 / result["seconds"] / 1e9,
            "cpu_us": result["cpu_s"] * 1e6 / result["operations"],
            "lost_share": 1 - result["operations"] / max(1, result["sent"]), "others": result["others"]}


class Connect:
    """Connect, a byte each way, close."""

    def __init__(self, at_once):
        self.at_once = at_once
        self.key = f"connect-{at_once}"

    def measure(self, bench, subject):
        result = visit(bench, subject, "churn", "--port", subject.port, "--connections", self.at_once)
        if result["failures"] > result["operations"] / 100:
            raise BenchError(f"{result['failures']} of {result['operations'] + result['failures']} connections failed")
        return {
            "per_s": result["operations"] / result["seconds"], "p99_us": result["p99_us"],
            "cpu_us": result["cpu_s"] * 1e6 / max(1, result["operations"]), "failures": result["failures"],
            "others": result["others"]}


class HTTP:
    """Keep-alive requests on 64 connections, by wrk; a whole number of seconds, for wrk knows no other. wrk has no
    warm-up, so there is a run of a second before the one that counts; its p99 is noted, too: of a tunnel that was
    idle."""

    key = "http-64"

    def measure(self, bench, subject):
        cold = self.run(subject, 1)
        window = Window(subject)
        warm = self.run(subject, max(1, round(bench.seconds)))
        cpu, others = window.end()
        return {
            "per_s": warm["per_s"], "p99_us": warm["p99_us"], "cold_p99_us": cold["p99_us"],
            "cpu_us": cpu * 1e6 / warm["requests"], "others": others}

    @staticmethod
    def run(subject, seconds):
        try:
            done = subprocess.run(
                [find("wrk"), "-t", "1", "-c", "64", "-d", f"{seconds}s", "--latency",
                 f"http://127.0.0.1:{subject.web}/"],
                stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=seconds + 20, check=True)
        except subprocess.SubprocessError as error:
            raise BenchError(f"wrk: {error}") from error
        rate = re.search(r"Requests/sec:\s+([\d.]+)", done.stdout)
        p99 = re.search(r"99%\s+([\d.]+)(us|ms|s)", done.stdout)
        total = re.search(r"(\d+) requests in", done.stdout)
        if not rate or not p99 or not total or int(total[1]) == 0:
            raise BenchError("wrk tells no rate: " + (done.stdout.strip().splitlines() or ["nothing"])[-1])
        return {
            "per_s": float(rate[1]), "p99_us": float(p99[1]) * {"us": 1, "ms": 1e3, "s": 1e6}[p99[2]],
            "requests": int(total[1])}


class Fair:
    """A ping-pong beside downloads through the same tunnel."""

    def __init__(self, downloads=1):
        self.downloads = downloads
        self.key = "fair" if downloads == 1 else f"fair-{downloads}"

    def measure(self, bench, subject):
        beside = bench.scope.start(
            "beside", [bench.load, "bulk", "--port", subject.port, "--service", bench.service, "--direction", "down",
                       "--connections", self.downloads, "--seconds", bench.seconds, "--warm", 2 * WARM],
            stdout=subprocess.PIPE, text=True)
        try:
            if beside.stdout.readline() != "begin\n":
                raise BenchError("the download beside does not begin")
            result = visit(bench, subject, "ping", "--port", subject.port, "--connections", 1, "--seconds",
                           max(0.2, bench.seconds - 3 * WARM))
            download = json.loads(beside.communicate(timeout=bench.seconds + 10)[0].splitlines()[-1])
        except (subprocess.TimeoutExpired, IndexError, ValueError) as error:
            raise BenchError("the download beside does not end") from error
        finally:
            bench.scope.stop(beside)
        return {
            "p50_us": result["p50_us"], "p99_us": result["p99_us"],
            "gbit_s": download["bytes"] * 8 / download["seconds"] / 1e9, "others": result["others"]}


class Memory:
    """Of fresh processes, so once only: idle, then with idle connections."""

    key = "memory"
    once = True
    only = tuple(kind for kind in ALL if kind is not Direct)

    def measure(self, bench, subject):
        pids = descendants(child.pid for child in subject.processes)
        idle = [memory(pid) for pid in pids]
        figures = {
            "pss_mib": sum(each["pss"] for each in idle) / (1 << 20),
            "anonymous_mib": max(each["anonymous"] for each in idle) / (1 << 20),
            "resident_mib": max(each["resident"] for each in idle) / (1 << 20)}
        for count in bench.held:
            try:
                visitor = hold(bench, subject, count)
            except BenchError:
                # ssh takes minutes for so many; what it holds of fewer is known by now.
                break
            try:
                now = sum(memory(pid)["pss"] for pid in descendants(child.pid for child in subject.processes))
            finally:
                bench.scope.stop(visitor)
                settle(bench)
            figures[f"bytes_at_{count}"] = (now - sum(each["pss"] for each in idle)) / count
        return figures


def hold(bench, subject, count):
    """A visitor that holds idle connections until it is stopped."""
    visitor = bench.scope.start(
        "hold", [bench.load, "hold", "--port", subject.port, "--connections", count], stdin=subprocess.PIPE,
        stdout=subprocess.PIPE, text=True)
    readable, _, _ = select.select([visitor.stdout], [], [], 60)
    if not readable or visitor.stdout.readline() != "begin\n":
        bench.scope.stop(visitor)
        raise BenchError(f"{count} connections: " + (last_line(visitor.log) or "not within 60 s"))
    return visitor


class Stalled:
    """What both ends hold of a download whose visitor stops reading in the middle: what their memory grew by (PSS), a
    visitor; and all that the service got rid of and the visitor did not read, the system's buffers included."""

    key = "stalled"
    only = Memory.only
    visitors, read = 32, 1 << 18

    def measure(self, bench, subject):
        # Fresh processes: what an allocator keeps of the last sample would hide what this one takes.
        with subject.again() as fresh:
            return self.hold(bench, fresh)

    def hold(self, bench, fresh):
        # The code that a download needs is there, and counts for nobody.
        visit(bench, fresh, "bulk", "--port", fresh.port, "--service", bench.service, "--direction", "down",
              "--seconds", 0.3)
        settle(bench)
        window = Window(fresh)
        before = sum(memory(pid)["pss"] for pid in window.pids)
        visitor = bench.scope.start(
            "stall", [bench.load, "stall", "--port", fresh.port, "--service", bench.service, "--connections",
                      self.visitors, "--bytes", self.read], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        try:
            readable, _, _ = select.select([visitor.stdout], [], [], 60)
            line = visitor.stdout.readline() if readable else ""
            if not line:
                raise BenchError("downloads that stall: " + (last_line(visitor.log) or "not within 60 s"))
            result = json.loads(line)
            now = sum(memory(pid)["pss"] for pid in descendants(child.pid for child in fresh.processes))
            _, others = window.end()
        finally:
            bench.scope.stop(visitor)
            settle(bench)
        return {
            "own_bytes": (now - before) / self.visitors,
            "all_bytes": (result["sent"] - result["read"]) / self.visitors, "others": others}


class Map:
    """From the command `--mp` to its return, which is when the mapping is verified."""

    key = "map"
    only = P2PRC

    def measure(self, bench, subject):
        begin = time.monotonic()
        subject.map(bench.spare)
        span = time.monotonic() - begin
        subject.unmap(bench.spare)
        return {"ms": span * 1e3}


class Grown:
    """The p50 of one mapping among 1,000, beside 4,000 open connections, by that of a lonely one just before."""

    key = "grown"
    only = P2PRC
    mappings, connections = 1000, 4000

    def __init__(self):
        self.grown = {}
        self.service = None

    def measure(self, bench, subject):
        if subject.key not in self.grown:
            self.grown[subject.key] = self.grow(bench, subject)
        among = self.grown[subject.key]
        alone, crowded = ([], [])
        for _ in range(5):
            for port, p50s in ((subject.port, alone), (among.port, crowded)):
                result = visit(
                    bench, subject, "ping", "--port", port, "--connections", 1, "--seconds", bench.seconds / 4)
                p50s.append(result["p50_us"])
        # Where the system puts the four processes on the processors makes a third; the best of five compares like
        # with like.
        return {"alone_us": min(alone), "p50_us": min(crowded), "ratio": min(crowded) / min(alone),
                "others": result["others"]}

    def grow(self, bench, subject):
        service = self.service = self.service or Service(bench.scope, bench.load, ports=self.mappings - 1)
        more = range(service.port + 1, service.port + self.mappings - 1)
        kind = type("Grown", (type(subject),), {"key": f"{subject.key}-grown"})
        among = kind(bench.scope, service.port, subject.web_behind, subject.web_says, more=more)
        among.start()
        hold(bench, among, self.connections)
        return among


ROWS = [
    Memory(), Map(), Bulk(1, "up"), Bulk(1, "down"), Bulk(8, "up"), Bulk(8, "down"), Ping(1), Ping(64), Connect(1),
    Connect(64), HTTP(), Fair(), Fair(4), Stalled(), Grown(), Datagrams(1, 1), Datagrams(1, 32), Datagrams(256, 1),
    Flood(64), Flood(1200)]
