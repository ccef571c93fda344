"""A sender of raw frames: flood.py INTERFACE MAC ADDRESS PORT [KIND [COUNT [SOURCE [BURST]]]]; from random sources where none is named, without a count
until it is ended. With a count each frame is sent once; else 5000 are sent over and over, with a rest of a millisecond after each BURST."""
import ipaddress
import os
import random
import socket
import struct
import sys
import time

TCP = {"syn": 2, "ack": 16}
REFLECTION = {"dns": (53, 512), "ntp": (123, 468)}  # source port, bytes


def folded(data):
    data += b"\0" * (len(data) % 2)
    total = sum(struct.unpack(f"!{len(data) // 2}H", data))
    while total >> 16:
        total = (total & 0xffff) + (total >> 16)
    return ~total & 0xffff


def segment(port, flags, rand):
    """A SYN with the options of a usual client, or an ACK of no connection."""
    options = b"\x02\x04\x05\xb4\x04\x02\x08\x0a" + struct.pack("!II", rand.getrandbits(32), 0) + b"\x01\x03\x03\x07" if flags == 2 else b""
    return struct.pack("!HHIIBBHHH", rand.randrange(1024, 65536), port, rand.getrandbits(32), 0 if flags == 2 else rand.getrandbits(32),
                       (20 + len(options)) // 4 << 4, flags, 64240, 0, 0) + options


def datagram(port, sport, size):
    return struct.pack("!HHHH", sport, port, 8 + size, 0) + b"a" * size


def transport(target, port, kind, rand):
    """Protocol, what follows the header of IP, and where in it the checksum is."""
    if kind in TCP:
        return 6, segment(port, TCP[kind], rand), 16
    if kind == "icmp":
        four = target.version == 4
        return 1 if four else 58, struct.pack("!BBHHH", 8 if four else 128, 0, 0, rand.getrandbits(16), 1) + b"a" * 56, 2
    sport, size = REFLECTION.get(kind, (rand.randrange(1024, 65536), 100))
    return 17, datagram(port, sport, size), 6


def address(version, rand):
    if version == 4:
        return struct.pack("!BBBB", 198, 18 + rand.getrandbits(1), rand.getrandbits(8), 1 + rand.randrange(254))
    return bytes.fromhex("20010db8") + rand.randbytes(12)


def frame(mac, target, port, kind, rand, source=None):
    proto, data, at = transport(target, port, kind, rand)
    source = ipaddress.ip_address(source).packed if source else address(target.version, rand)
    size = len(data)
    if target.version == 4:
        pseudo = source + target.packed + struct.pack("!HH", proto, size)
        head = struct.pack("!BBHHHBBH", 0x45, 0, 20 + size, rand.getrandbits(16), 0x4000, 64, proto, 0) + source + target.packed
        head = head[:10] + struct.pack("!H", folded(head)) + head[12:]
        ethernet = b"\x08\x00"
    else:
        pseudo = source + target.packed + struct.pack("!II", size, proto)
        head = struct.pack("!IHBB", 6 << 28, size, proto, 64) + source + target.packed
        ethernet = b"\x86\xdd"
    data = data[:at] + struct.pack("!H", folded((b"" if proto == 1 else pseudo) + data)) + data[at + 2:]
    return mac + b"\x02\x00\x00\x00\x00\x01" + ethernet + head + data


def main(interface, mac, target, port, kind="syn", count=0, source=None, burst=0):
    rand = random.Random(os.getpid())
    out = socket.socket(socket.AF_PACKET, socket.SOCK_RAW)
    out.bind((interface, 0))
    frames = [frame(bytes.fromhex(mac), ipaddress.ip_address(target), int(port), kind, rand, source) for _ in range(int(count) or 5000)]
    print("ready", flush=True)
    while True:
        for i, f in enumerate(frames):
            out.send(f)
            if int(burst) and i % int(burst) == 0:
                time.sleep(0.001)
        if int(count):
            return


if __name__ == "__main__":
    main(*sys.argv[1:])
