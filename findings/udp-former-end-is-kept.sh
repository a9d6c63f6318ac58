#!/bin/sh
# Linux, a UDP socket for both families that is connected and then dissolved from its peer again (connect to AF_UNSPEC).
# Expected: it hears datagrams of everybody, as before it was connected.
# Seen (kernel 6.18.44, x86_64): those of IPv4 from everybody, and those of IPv6 from the former peer's address alone
# (`ss` goes on showing that address), and of nobody else. A new socket is what helps.
# Needs root, for a network of its own.
set -eu
exec unshare --net sh -c '
    ip link set lo up
    ip addr add 2001:db8::1/128 dev lo nodad
    uname -r
    exec python3 -c "
import socket

def dissolved():
    s = socket.socket(socket.AF_INET6, socket.SOCK_DGRAM)
    s.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
    s.bind((\"::\", 5300))
    s.connect((\"::1\", 9))
    # Python cannot name AF_UNSPEC.
    import ctypes
    assert ctypes.CDLL(None).connect(s.fileno(), bytes(16), 16) == 0
    s.settimeout(0.5)
    return s

def hears(s, family, source, end):
    visitor = socket.socket(family, socket.SOCK_DGRAM)
    visitor.bind((source, 0))
    visitor.sendto(b\"x\", (end, 5300))
    try:
        return s.recvfrom(10)[0] == b\"x\"
    except TimeoutError:
        return False

s = dissolved()
seen = [hears(s, socket.AF_INET, \"127.0.0.1\", \"127.0.0.1\"), hears(s, socket.AF_INET6, \"::1\", \"::1\"),
        hears(s, socket.AF_INET6, \"2001:db8::1\", \"2001:db8::1\")]
for name, heard in zip([\"IPv4\", \"IPv6, the former peer\", \"IPv6, somebody else\"], seen):
    print(name + \":\", \"heard\" if heard else \"not heard\")
raise SystemExit(0 if seen == [True, True, False] else 1)
"
'
