"""Network namespaces in a row with an edge in the middle, and sockets and a name server inside of them, for tests that run outside."""
import contextlib
import ctypes
import os
import socket
import struct
import subprocess
import threading

import pytest

from edge import Edge
from test_access import ip

EDGE6 = "fd77::1"
EDGE, CLIENT, INSIDE, ORIGIN = "10.77.0.1", "10.77.0.2", "10.79.0.1", "10.79.0.2"
SECONDS = 30
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


class Lab:
    """Three namespaces in a row: clients, the edge, origins with a name server."""

    def __init__(self):
        self.clients, self.edge, self.origins = (f"rfst{c}{os.getpid()}" for c in "ceo")
        for n in (self.clients, self.edge, self.origins):
            ip("netns", "add", n)
            ip("-n", n, "link", "set", "lo", "up")
            self.inside(n, "sysctl", "-qw", "net.ipv4.icmp_ratelimit=0")
        self.cable("dev0", self.clients, CLIENT, "edge0", EDGE)
        self.cable("dev1", self.origins, ORIGIN, "edge1", INSIDE)
        self.inside(self.edge, "sysctl", "-qw", "net.ipv4.tcp_retries2=2")
        for namespace, address, dev in ((self.edge, "10.77.0.9/24", "edge0"), (self.edge, f"{EDGE6}/64", "edge0"), (self.clients, "fd77::2/64", "dev0")):
            ip("-n", namespace, "addr", "add", address, "dev", dev, *(["nodad"] if ":" in address else []))
        self.names = Names(self.origins, ORIGIN)
        self.made = []

    def cable(self, far, namespace, address, near, edge_address):
        ip("link", "add", near, "netns", self.edge, "type", "veth", "peer", "name", far, "netns", namespace)
        ip("-n", namespace, "addr", "add", f"{address}/24", "dev", far)
        ip("-n", self.edge, "addr", "add", f"{edge_address}/24", "dev", near)
        ip("-n", namespace, "link", "set", far, "up")
        ip("-n", self.edge, "link", "set", near, "up")

    @staticmethod
    def inside(namespace, *words):
        subprocess.run(["nsenter", f"--net=/run/netns/{namespace}", *words], check=True, capture_output=True)

    def filter(self, namespace, verdict):
        """What comes for a TCP socket there is dropped, or rejected by ICMP; None: passes again."""
        self.inside(namespace, "nft", "flush ruleset")
        if verdict:
            self.inside(namespace, "nft", "table ip cut { chain in { type filter hook input priority 0; meta l4proto tcp " + verdict + "; }; }")

    def socket(self, namespace, family=socket.AF_INET, kind=socket.SOCK_STREAM):
        with within(namespace):
            s = socket.socket(family, kind)
        s.settimeout(SECONDS)
        self.made.append(s)
        return s

    def listen(self, backlog=16):
        s = self.socket(self.origins)
        s.bind((ORIGIN, 0))
        s.listen(backlog)
        return s

    def connect(self, port, host=EDGE, source=None):
        s = self.socket(self.clients, socket.AF_INET6 if ":" in host else socket.AF_INET)
        if source:
            s.bind((source, 0))
        s.connect((host, port))
        return s

    def forget(self):
        for s in self.made:
            s.close()
        self.made.clear()
        for n in (self.clients, self.origins):
            self.filter(n, None)

    def close(self):
        self.names.stop()
        for n in (self.clients, self.edge, self.origins):
            ip("netns", "del", n, check=False)


@pytest.fixture(scope="module")
def lab():
    if os.geteuid() != 0:
        pytest.skip("needs root")
    made = Lab()
    yield made
    made.close()


def start(lab, tmp, listeners=(EDGE,), **boot):
    """An edge in the lab, with ports at these addresses, whose name server is the lab's."""
    conf = os.path.join(tmp, "resolv.conf")
    with open(conf, "w") as f:
        f.write(f"nameserver {ORIGIN}\noptions timeout:1 attempts:1\n")
    pins = f"/sys/fs/bpf/rfst{os.getpid()}"
    e = Edge(**{"workers": 1, "shield": {"pins": pins}, "timeouts": {"connect": "1s"}, "limits": {"connections_per_address": 0}, **boot})
    e.pins, e.lab, e.count = pins, lab, 0
    e.boot["listeners"] = [{"name": f"ports{i}", "address": f"[{at}]:0" if ":" in at else f"{at}:0", "protocol": "ports"} for i, at in enumerate(listeners)]
    return e.start(wrapper=["nsenter", f"--net=/run/netns/{lab.edge}", "unshare", "-m", "sh", "-c",
                            f"mount --bind {conf} /etc/resolv.conf && exec \"$@\"", "sh"])
