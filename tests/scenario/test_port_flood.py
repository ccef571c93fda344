"""Floods of connections to a TCP port and of sessions of a UDP port, from one address each and from few: found against what is usual, and held; who was here before goes on."""
import json
import os
import signal
import socket
import subprocess
import threading
import time

import pytest

from edge import RELEASE, ROOT, free_port, until
from test_flood import crowd  # noqa: F401
from test_udp import Origin as Datagrams

LEARN, FLOOR = 5, 60
ASK = b"GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"
pytestmark = pytest.mark.alone  # thousands of connections a second


@pytest.fixture(scope="module")
def boot(crowd):
    return {"build": RELEASE, "limits": {"connections": 30000}, "ports": {"steer": False},
            "floods": {"sensitivity": "high", "learn": f"{LEARN}s", "ttl": "3s", "floor": FLOOR}}


class Regular(threading.Thread):
    """Asks ten times a second, on a connection each, from an address of its own."""

    def __init__(self, port, source):
        super().__init__(daemon=True)
        self.port, self.source, self.good, self.bad, self.over = port, source, 0, [], threading.Event()

    def run(self):
        while not self.over.wait(0.1):
            try:
                with socket.create_connection(("127.0.0.1", self.port), 10, source_address=(self.source, 0)) as s:
                    s.sendall(ASK)
                    s.recv(12)
                    self.good += 1
            except OSError as e:
                self.bad.append(e)


@pytest.fixture(scope="module")
def served(edge, fast_origin):
    """A port with two that come all day, since it has learned what is usual, and who they are."""
    edge.boot["listeners"].append({"name": "ports", "address": "0.0.0.0:0", "protocol": "ports"})
    edge.write()
    edge.signal(signal.SIGHUP)
    edge.wait_log("boot file, certificates, roots, lists and rules are in force")
    port = free_port()
    edge.api("POST", f"/zones/{edge.zone()}/spectrum/apps", {
        "protocol": f"tcp/{port}", "dns": {"type": "ADDRESS", "name": "port.edge.test"}, "origin_direct": [fast_origin.replace("http:", "tcp:")]})
    until(lambda: socket.create_connection(("127.0.0.1", port), 1).close() is None)
    regulars = [Regular(port, f"127.80.0.{i}") for i in (1, 2)]
    for r in regulars:
        r.start()
    time.sleep(16)  # regulars are those that came ten seconds apart and more
    yield port, regulars
    for r in regulars:
        r.over.set()
    for r in regulars:
        r.join(10)
        assert not r.bad, r.bad


def flood(crowd, port, sources, rate):
    done = subprocess.run(crowd.inside(crowd.clients, os.path.join(ROOT, RELEASE, "tests", "flood-load"), "10.77.0.1", str(port), "x", "cookie", "10.128.0.0",
                                       str(sources), str(rate), "1500"), capture_output=True, text=True, timeout=120, check=True)
    return json.loads(done.stdout)


SPRAY = """
import socket, sys, time
port, end = int(sys.argv[1]), time.monotonic() + float(sys.argv[2])
n = 0
while time.monotonic() < end:
    for _ in range(20):
        n += 1
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as s:
            s.bind((f"10.128.{n >> 8}.{n & 255}", 0))
            s.sendto(b"y", ("10.77.0.1", port))
    time.sleep(0.02)
print(n)
"""


def attacks(edge, port):
    return edge.api("GET", f"/accounts/{{account}}/attacks?host=port:{port}")


def test_a_connection_each_of_20000_addresses(crowd, edge, served):
    port, regulars = served
    assert attacks(edge, port) == []
    got = flood(crowd, port, 20000, 2500)
    attack, = attacks(edge, port)
    assert attack["vector"] == "tcp_connection_flood" and attack["status"] == "active" and attack["counter"]["name"] == "connections_per_second"
    assert attack["counter"]["value"] > attack["counter"]["threshold"] > attack["counter"]["usual"] > 10 and "new there" in attack["measure"]
    assert 14000 < attack["addresses"]["estimate"] < 23000
    first = next(i for i, n in enumerate(got["passed"]) if n)
    late = got["passed"][first + 30:]
    assert sum(late) <= attack["counter"]["threshold"] * (len(late) / 10 + 2), got
    assert got["failed"] > 20000 / 2, got
    assert not any(r.bad for r in regulars) and all(r.good > 100 for r in regulars)
    assert edge.metric("ringfence_attacks_total", vector="tcp_connection_flood") == 1
    until(lambda: attacks(edge, port)[0]["status"] == "ended", 20)
    assert {r["Layer"] for r in edge.records(Type="attack", AttackID=attack["id"])} == {"l4"}
    assert edge.metric("ringfence_l4_crowded_total") == attacks(edge, port)[0]["stopped"] >= got["failed"] * 0.98
    with socket.create_connection(("127.0.0.1", port), 10, source_address=("127.99.0.1", 0)) as s:
        s.sendall(ASK)
        assert s.recv(12) == b"HTTP/1.1 200", "newcomers are welcome again"


class Drips(Regular):
    """The same in datagrams, from a new port each time."""

    def run(self):
        while not self.over.wait(0.1):
            with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as s:
                s.bind((self.source, 0))
                s.settimeout(5)
                s.sendto(b"x", ("127.0.0.1", self.port))
                try:
                    assert s.recv(10) == b"re:x"
                    self.good += 1
                except OSError as e:
                    self.bad.append(e)


def test_a_datagram_each_of_thousands_of_addresses(crowd, edge, served):
    answers = Datagrams()
    port = free_port()
    edge.api("POST", f"/zones/{edge.zone()}/spectrum/apps", {
        "protocol": f"udp/{port}", "dns": {"type": "ADDRESS", "name": "udp.edge.test"}, "origin_direct": [f"udp://127.0.0.1:{answers.port}"]})
    regulars = [Drips(port, f"127.81.0.{i}") for i in (1, 2)]
    time.sleep(1)
    for r in regulars:
        r.start()
    time.sleep(16)
    assert attacks(edge, port) == []
    done = subprocess.run(crowd.inside(crowd.clients, "/usr/bin/python3", "-c", SPRAY, str(port), "8"), capture_output=True, text=True, timeout=60, check=True)
    sent = int(done.stdout)
    attack, = attacks(edge, port)
    assert attack["vector"] == "udp_session_flood" and attack["counter"]["name"] == "sessions_per_second" and sent > 1500
    assert attack["counter"]["value"] > attack["counter"]["threshold"] > attack["counter"]["usual"] > 10
    until(lambda: attacks(edge, port)[0]["status"] == "ended", 20)
    attack, = attacks(edge, port)
    assert attack["stopped"] == edge.metric("ringfence_udp_crowded_total") > 0
    passed = sent - attack["stopped"]
    assert passed <= attack["counter"]["threshold"] * (8 + 2) + 3 * attack["counter"]["value"], "three seconds of it, and then as many as are no flood"
    for r in regulars:
        r.over.set()
        r.join(10)
        assert not r.bad and r.good > 100, r.bad
    answers.stop()
