"""Sockets and a name server inside network namespaces, for tests that run outside of them."""
import contextlib
import ctypes
import os
import socket
import struct
import threading

CLONE_NEWNET = 0x40000000
libc = ctypes.CDLL(None, use_errno=True)


@contextlib.contextmanager
def within(namespace):
    """This thread, in a namespace; sockets that are made here stay there."""
    home = os.open("/proc/thread-self/ns/net", os.O_RDONLY)
    there = os.open(f"/run/netns/{namespace}", os.O_RDONLY)
    try:
        assert libc.setns(there, CLONE_NEWNET) == 0, os.strerror(ctypes.get_errno())
        yield
    finally:
        assert libc.setns(home, CLONE_NEWNET) == 0, "the thread is lost in another namespace"
        os.close(home)
        os.close(there)


TYPES = {1: "A", 28: "AAAA", 33: "SRV"}


def name_bytes(name):
    return b"".join(bytes([len(part)]) + part.encode() for part in name.split(".") if part) + b"\0"


def data_of(kind, value):
    if kind == "SRV":
        priority, weight, port, target = value
        return struct.pack(">HHH", priority, weight, port) + name_bytes(target)
    return socket.inet_pton(socket.AF_INET if kind == "A" else socket.AF_INET6, value)


class Names:
    """A name server: `names[name, type]` is a list of values, "servfail" or "silent"; what is not there does not exist."""

    def __init__(self, namespace, address):
        self.names, self.asked = {}, []
        with within(namespace):
            self.socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.socket.bind((address, 53))
        threading.Thread(target=self.serve, daemon=True).start()

    def answer(self, question):
        at, parts = 12, []
        while question[at]:
            parts.append(question[at + 1:at + 1 + question[at]].decode())
            at += 1 + question[at]
        kind = TYPES.get(struct.unpack(">H", question[at + 1:at + 3])[0], "other")
        name = ".".join(parts)
        self.asked.append((name, kind))
        known = self.names.get((name, kind), [] if any(n == name for n, _ in self.names) else None)
        if known == "silent":
            return None
        values = known if isinstance(known, list) else []
        code = 2 if known == "servfail" else 3 if known is None else 0
        head = question[:2] + struct.pack(">HHHHH", 0x8180 | code, 1, len(values), 0, 0)
        records = b"".join(b"\xc0\x0c" + question[at + 1:at + 5] + struct.pack(">IH", 1, len(data_of(kind, v))) + data_of(kind, v) for v in values)
        return head + question[12:at + 5] + records

    def serve(self):
        while True:
            try:
                question, who = self.socket.recvfrom(4096)
            except OSError:
                return
            back = self.answer(question)
            if back:
                self.socket.sendto(back, who)

    def stop(self):
        self.socket.close()
