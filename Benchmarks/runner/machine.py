"""Where it was measured, and with what."""

import os
import platform
import re
import subprocess
from pathlib import Path

from .subjects import find

# A line of what each prints when asked for its version.
ASK = {
    "haproxy": ("-v",), "nginx": ("-v",), "ssh": ("-V",), "wrk": ("-v",), "frps": ("-v",), "rathole": ("--version",),
    "chisel": ("--version",), "openssl": ("version",)}


def machine():
    cpu = re.search(r"^model name\s*:\s*(.+)$", Path("/proc/cpuinfo").read_text(), re.M)
    memory = re.search(r"^MemTotal:\s+(\d+)", Path("/proc/meminfo").read_text(), re.M)
    return {
        "cpu": cpu[1] if cpu else platform.machine(), "cpus": len(os.sched_getaffinity(0)),
        "memory_mib": int(memory[1]) // 1024 if memory else 0, "kernel": platform.release()}


def congestion():
    """TCP's congestion control, of this host and of new network namespaces."""
    return Path("/proc/sys/net/ipv4/tcp_congestion_control").read_text().strip()


def versions(binary):
    found = {name: _first_line([program, *ASK[name]]) for name in ASK if (program := find(name))}
    found["p2prc"] = _first_line([binary, "--version"])
    root = Path(__file__).resolve().parents[2]
    found["commit"] = _first_line(["git", "-C", root, "describe", "--always", "--dirty", "--abbrev=12"])
    return found


def _first_line(words):
    try:
        done = subprocess.run(
            [str(word) for word in words], stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=10)
    except (OSError, subprocess.SubprocessError):
        return "unknown"
    return next((line.strip() for line in (done.stdout + done.stderr).splitlines() if line.strip()), "unknown")
