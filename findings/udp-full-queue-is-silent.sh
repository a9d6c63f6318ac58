#!/bin/sh
# Linux, a UDP socket whose datagrams find the queue of its own network card full (tc-tbf, 1,600 bytes).
# Expected: send fails with ENOBUFS ("the output queue for a network interface was full", send(2)), or never does.
# Seen (kernel 6.18.44, x86_64): it says nothing, and the datagrams are gone. The same socket is told ENOBUFS of each of
# them once it has IP_RECVERR, an option for errors that come from the network.
# Needs root, for a network of its own, and iproute2.
set -eu
exec unshare --net sh -c '
    ip link add d0 type veth peer d1
    ip addr add 192.0.2.1/24 dev d0
    ip link set d0 up; ip link set d1 up
    ip neigh add 192.0.2.9 lladdr 02:00:00:00:00:09 dev d0
    tc qdisc add dev d0 root tbf rate 8kbit burst 1600 limit 1600
    uname -r
    exec python3 -c "
import errno, json, socket, subprocess

def refused(is_told):
    s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    if is_told: s.setsockopt(socket.IPPROTO_IP, 11, 1)  # IP_RECVERR
    count = 0
    for _ in range(50):
        try:
            s.sendto(bytes(100), (\"192.0.2.9\", 9))
        except OSError as error:
            assert error.errno == errno.ENOBUFS, error
            count += 1
    return count

def dropped():
    shown = subprocess.check_output([\"tc\", \"-s\", \"-j\", \"qdisc\", \"show\", \"dev\", \"d0\"])
    return json.loads(shown)[0][\"drops\"]

silent = refused(False)
first = dropped()
told = refused(True)
second = dropped() - first
print(f\"without IP_RECVERR {first} of 50 were dropped and {silent} refused, with it {second} and {told}\")
raise SystemExit(0 if first >= 20 and silent == 0 and told == second > 0 else 1)
"
'
