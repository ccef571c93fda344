"""JA3 and JA4 of a ClientHello, computed here from its bytes by the published algorithms, and a pipe that keeps what clients send."""
import hashlib
import socket
import threading

from client import pour


class Tap:
    """A port that passes all on to another, and keeps the first bytes of each client."""

    def __init__(self, port):
        self.to, self.first = port, []
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.port = self.listener.getsockname()[1]
        threading.Thread(target=self.accept, daemon=True).start()

    def accept(self):
        while True:
            try:
                client, _ = self.listener.accept()
            except OSError:
                return
            server = socket.create_connection(("127.0.0.1", self.to))
            record = bytearray()
            while len(record) < 5 or len(record) < 5 + int.from_bytes(record[3:5], "big"):
                piece = client.recv(65536)
                if not piece:
                    break
                record += piece
            self.first.append(bytes(record))
            server.sendall(record)
            threading.Thread(target=pour, args=(client, server), daemon=True).start()
            threading.Thread(target=pour, args=(server, client), daemon=True).start()

    def close(self):
        self.listener.close()


def u16s(raw):
    return [int.from_bytes(raw[i:i + 2], "big") for i in range(0, len(raw) - 1, 2)]


def real(values):
    """Without GREASE."""
    return [v for v in values if not (v & 0x0f0f == 0x0a0a and v >> 8 == v & 0xff)]


class Hello:
    def __init__(self, record):
        assert record[0] == 22 and record[5] == 1
        at = 5 + 4
        self.version = int.from_bytes(record[at:at + 2], "big")
        at += 2 + 32
        at += 1 + record[at]
        n = int.from_bytes(record[at:at + 2], "big")
        self.ciphers = real(u16s(record[at + 2:at + 2 + n]))
        at += 2 + n
        at += 1 + record[at]
        end = at + 2 + int.from_bytes(record[at:at + 2], "big")
        at += 2
        self.extensions = {}
        while at < end:
            kind, n = int.from_bytes(record[at:at + 2], "big"), int.from_bytes(record[at + 2:at + 4], "big")
            self.extensions[kind] = record[at + 4:at + 4 + n]
            at += 4 + n
        self.kinds = real(self.extensions)

    def ja3(self):
        groups = real(u16s(self.extensions.get(10, b"")[2:]))
        formats = list(self.extensions.get(11, b"")[1:])
        text = ",".join([str(self.version)] + ["-".join(map(str, v)) for v in (self.ciphers, self.kinds, groups, formats)])
        return hashlib.md5(text.encode()).hexdigest()

    def ja4(self):
        versions = real(u16s(self.extensions[43][1:])) if 43 in self.extensions else [self.version]
        version = {0x304: "13", 0x303: "12", 0x302: "11", 0x301: "10", 0x300: "s3"}.get(max(versions), "00")
        alpn = "00"
        if 16 in self.extensions:
            first = self.extensions[16][3:3 + self.extensions[16][2]]
            ends = first[:1] + first[-1:]
            alpn = ends.decode() if ends.isalnum() else first.hex()[0] + first.hex()[-1]
        a = f"t{version}{'d' if 0 in self.extensions else 'i'}{min(len(self.ciphers), 99):02}{min(len(self.kinds), 99):02}{alpn}"
        b = ",".join(sorted(f"{c:04x}" for c in self.ciphers))
        c = ",".join(sorted(f"{k:04x}" for k in self.kinds if k not in (0, 16)))
        if 13 in self.extensions:
            c += "_" + ",".join(f"{s:04x}" for s in real(u16s(self.extensions[13][2:])))

        def short(text):
            return hashlib.sha256(text.encode()).hexdigest()[:12] if text else "0" * 12
        return "_".join((a, short(b), short(c)))
