#!/bin/sh
# Linux, TCP_NOTSENT_LOWAT: a socket is to take no more while so many bytes have not gone out.
# Expected: poll says "writable" for as long as send takes bytes, as for any socket, and that is until the limit.
# Seen (kernel 6.18.44, x86_64): with a limit of 100,000 bytes, poll says "not writable" from 50,000 on, half of it. send
# takes more all the same, and refuses from 100,000 on. Who writes until EAGAIN has twice what who asks poll first has.
# The bytes that have not gone out are counted by SIOCOUTQNSD.
set -eu
uname -r
exec python3 -c '
import fcntl, select, socket, struct

LIMIT, PIECE = 100_000, 1_000
there = socket.socket()
there.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 16_384)
there.bind(("127.0.0.1", 0))
there.listen()
here = socket.create_connection(there.getsockname())
silent, _ = there.accept()  # and reads nothing
here.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4_000_000)
here.setsockopt(socket.IPPROTO_TCP, socket.TCP_NOTSENT_LOWAT, LIMIT)
here.setblocking(False)

def unsent():
    return struct.unpack("i", fcntl.ioctl(here, 0x894B, bytes(4)))[0]

quiet = None
while True:
    if quiet is None and not select.select([], [here], [], 0)[1]:
        quiet = unsent()
    try:
        here.send(bytes(PIECE))
    except BlockingIOError:
        break
full = unsent()
print(f"limit {LIMIT}: poll says no from {quiet} unsent bytes on, send from {full} on")
raise SystemExit(0 if LIMIT / 2 <= quiet < LIMIT * 0.6 and LIMIT <= full < LIMIT * 1.2 else 1)
'
