"""An old service of the demonstration: readings as lines over plain TCP, without TLS and without passwords. It believes the
PROXY header of the edge in front of it [PROXY protocol 2.2], which says whose certificate was shown.

    python3 demo/meter.py        listens on a free port of 127.0.0.1 and prints it
"""
import signal
import socketserver
import struct
import sys

SIGNATURE = b"\r\n\r\n\0\r\nQUIT\n"
SSL, CN = 0x20, 0x22
ADDRESSES = {0x11: 12, 0x21: 36}  # TCP over IPv4, IPv6: their bytes


def values(part):
    """Pairs of type and value."""
    while len(part) >= 3:
        kind, size = struct.unpack("!BH", part[:3])
        yield kind, part[3:3 + size]
        part = part[3 + size:]


def whose(stream):
    """The common name of the client's certificate; None where the header says none."""
    if stream.read(12) != SIGNATURE:
        return None
    _, family, size = struct.unpack("!BBH", stream.read(4))
    said = dict(values(stream.read(size)[ADDRESSES.get(family, 0):]))
    name = dict(values(said.get(SSL, b"")[5:])).get(CN)
    return name.decode(errors="replace") if name else None


class Meter(socketserver.StreamRequestHandler):
    def handle(self):
        name = whose(self.rfile) or "nobody"
        for line in self.rfile:
            self.wfile.write(b"kept %d bytes of %s\n" % (len(line.strip()), name.encode()))


class Server(socketserver.ThreadingTCPServer):
    allow_reuse_address = daemon_threads = True


def main():
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    server = Server(("127.0.0.1", 0), Meter)
    print(server.server_address[1], flush=True)
    server.serve_forever()


if __name__ == "__main__":
    main()
