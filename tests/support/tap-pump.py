"""Frames between a TAP device of this network namespace and our standard streams, each with its length in two bytes before it.

Node cannot do the ioctl that makes a TAP device (TUNSETIFF); nothing else is done here. The device goes when this ends.
"""
import fcntl
import os
import select
import struct
import sys

TUNSETIFF = 0x400454CA
IFF_TAP, IFF_NO_PI = 0x0002, 0x1000

tap = os.open("/dev/net/tun", os.O_RDWR | os.O_NONBLOCK)
fcntl.ioctl(tap, TUNSETIFF, struct.pack("16sH22x", sys.argv[1].encode(), IFF_TAP | IFF_NO_PI))
os.write(2, b"ready\n")

held = b""
while True:
    readable, _, _ = select.select([tap, 0], [], [])
    if tap in readable:
        batch = []
        for _ in range(64):
            try:
                frame = os.read(tap, 65535)
            except BlockingIOError:
                break
            batch.append(struct.pack("!H", len(frame)) + frame)
        out = memoryview(b"".join(batch))
        while out:
            out = out[os.write(1, out):]
    if 0 in readable:
        more = os.read(0, 1 << 18)
        if not more:
            break
        held += more
        at = 0
        while at + 2 <= len(held):
            length = (held[at] << 8) | held[at + 1]
            if at + 2 + length > len(held):
                break
            try:
                os.write(tap, held[at + 2:at + 2 + length])
            except (BlockingIOError, OSError):
                pass
            at += 2 + length
        held = held[at:]
