"""Floods of frames, each of its kind, from spoofed sources and from one: found, named, stopped, and harmless to what is sent beside them."""
import subprocess
import threading
import time

import pytest

from edge import until
import flood
from test_access import Echo, echo, hook, ip, mac, net, reloaded, serve, started, walled  # noqa: F401  pylint: disable=unused-import

ATTACKS = "/accounts/{account}/attacks"
LIMIT = 5000  # floods.packets

# Asks every 20 ms until its input ends: datagrams from a socket, each with a number; a new TCP connection for every tenth. Prints a line of
# "at, 1 or 0" for each when it is done.
ORDINARY = """
import select, socket, sys, time
u = socket.socket(socket.AF_INET, socket.SOCK_DGRAM); u.bind(('10.77.0.2', 5000)); u.setblocking(False)
sent, got, connects = {}, set(), []
n = 0
print('up', flush=True)
while not select.select([sys.stdin], [], [], 0.02)[0]:
    n += 1
    sent[n] = time.monotonic()
    u.sendto(b'%d' % n, ('10.77.0.1', 5683))
    try:
        while True: got.add(int(u.recv(100)))
    except BlockingIOError: pass
    if n % 10 == 0:
        at = time.monotonic()
        try:
            with socket.create_connection(('10.77.0.1', 7), 3, ('10.77.0.3', 0)) as c:
                c.sendall(b'x'); connects.append((at, int(c.recv(1) == b'x')))
        except OSError: connects.append((at, 0))
time.sleep(0.5)
try:
    while True: got.add(int(u.recv(100)))
except BlockingIOError: pass
for k, at in sent.items(): print('udp', at, int(k in got))
for at, good in connects: print('tcp', at, good)
"""


class Ordinary:
    """What usual clients send, all the while."""

    def __init__(self, net):
        self.child = subprocess.Popen(net.inside(net.clients, "/usr/bin/python3", "-c", ORDINARY), stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        self.child.stdout.readline()

    def end(self):
        """{"udp": [(at, answered)], "tcp": ...}"""
        done = {"udp": [], "tcp": []}
        for line in self.child.communicate("\n")[0].splitlines():
            kind, at, good = line.split()
            done[kind].append((float(at), int(good)))
        return done


class Flood:
    def __init__(self, net, kind, port, source=None, target="10.77.0.1"):
        self.child = subprocess.Popen(net.inside(net.clients, "/usr/bin/python3", flood.__file__, "dev0", mac(net).hex(), target, str(port), kind, "0",
                                                 *([source] if source else [])), stdout=subprocess.PIPE)

    def __enter__(self):
        self.child.stdout.readline()
        return time.monotonic()

    def __exit__(self, *unused):
        self.child.kill()
        self.child.wait()


def attacks(e, vector, status="active"):
    return [a for a in e.api("GET", f"{ATTACKS}?status={status}") if a["vector"] == vector]


def passing(e, seconds=0.3):
    """Frames a second that the filter lets pass now."""
    def now():
        return time.monotonic(), e.api("GET", "/accounts/{account}/shield")["frames"]["pass"]
    (t, n), _, (u, m) = now(), time.sleep(seconds), now()
    return (m - n) / (u - t)


def stopped_after(e, begin):
    """Seconds until what passes is no flood any more."""
    while time.monotonic() < begin + 20:
        at = time.monotonic()
        if passing(e) < LIMIT * 0.8:
            return at - begin
    return None


KINDS = [  # kind, vector, port, protocol, what is stopped by
    ("syn", "syn_flood", 7, "TCP"), ("ack", "ack_flood", 7, "TCP"), ("udp", "udp_flood", 5683, "UDP"),
    ("icmp", "icmp_flood", 0, "ICMP"), ("dns", "dns_reflection", 5683, "UDP"), ("ntp", "ntp_reflection", 40000, "UDP"),
]


def held(e, net, kind, vector, port, protocol, source):
    with Flood(net, kind, port, source) as begin:
        took = stopped_after(e, begin)
        attack = until(lambda: attacks(e, vector), 5)[0]
        time.sleep(2)
        attack = [a for a in attacks(e, vector) if a["id"] == attack["id"]][0]
        last = time.monotonic()
    print(kind, source, took, {k: attack[k] for k in ("packets", "stopped", "passed", "addresses", "stopped_by", "signatures", "inaction", "measure")})
    assert took is not None and took <= 3, (kind, took)
    assert attack["target_ip"] == "10.77.0.1" and attack["target_port"] == port and attack["protocol"] == protocol
    assert attack["targets"][0]["ip"] == "10.77.0.1" and attack["targets"][0]["packets"] > 0
    assert attack["packets_per_second"] > LIMIT and attack["peak_megabits_per_second"] > 0
    assert attack["stopped"] > attack["passed"] and attack["stopped"] + attack["passed"] == attack["packets"]
    estimate = attack["addresses"]["estimate"]
    assert estimate <= 8 if source else 3500 <= estimate <= 6500, (kind, estimate)
    if source:
        assert attack["top_sources"][0]["ip"] == source and attack["top_sources"][0]["packets"] > attack["packets"] * 0.8
    else:
        assert not attack["top_sources"] or attack["top_sources"][0]["packets"] < attack["packets"] * 0.1
        assert {n["network"].split(".")[0] for n in attack["top_networks"]} <= {"198", "10"}
    return begin, last


@pytest.mark.parametrize("source", [None, "198.18.7.7"])
def test_floods_are_found_named_and_stopped(net, walled, serve, echo, source):  # noqa: F811
    e = started(walled, net)
    ordinary = Ordinary(net)
    time.sleep(13)  # until they are known
    spans = {kind: held(e, net, kind, vector, port, protocol, source) for kind, vector, port, protocol in KINDS}
    done = ordinary.end()
    for kind, (begin, last) in spans.items():
        for what, answers in done.items():
            during = [good for at, good in answers if begin <= at <= last]
            print(kind, what, sum(during), len(during))
            assert sum(during) >= 0.9 * len(during), (kind, what, sum(during), len(during))
    for _, vector, _, _ in KINDS:
        ended = until(lambda v=vector: attacks(e, v, "ended"), 20)[0]
        assert ended["ended_at"] > ended["started_at"] and ended["packets_per_second"] == 0
