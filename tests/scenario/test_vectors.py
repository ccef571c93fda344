"""Floods of frames, each of its kind, from spoofed sources and from one: found, named, stopped, and harmless to what is sent beside them."""
import os
import subprocess
import sys
import time

import pytest

from edge import until
import flood
from test_access import Echo, echo, hook, ip, mac, net, reloaded, serve, started, walled  # noqa: F401  pylint: disable=unused-import

sys.path.insert(0, os.path.join(os.path.dirname(__file__), ".."))
import mmdb  # noqa: E402

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


KINDS = [  # kind, vector, port, protocol
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


@pytest.mark.alone  # how much of what is sent beside a flood is answered
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
            assert sum(during) >= 0.9 * len(during), (kind, what, sum(during), len(during))
    for _, vector, _, _ in KINDS:
        ended = until(lambda v=vector: attacks(e, v, "ended"), 20)[0]
        assert ended["ended_at"] > ended["started_at"] and ended["packets_per_second"] == 0


def data(path, kind, networks):
    mmdb.write(str(path), kind, networks)
    return str(path)


def test_a_report_has_all_facts_and_goes_on_through_a_restart(net, walled, serve, hook, tmp_path):  # noqa: F811
    e = walled
    e.boot["alerts"] = {"webhook": "http://127.0.0.1:8099/"}
    e.boot["geo"] = {"asn": data(tmp_path / "asn.mmdb", "GeoLite2-ASN", {"198.18.0.0/16": {"autonomous_system_number": 64500},
                                                                          "198.19.0.0/16": {"autonomous_system_number": 64501}}),
                     "place": data(tmp_path / "place.mmdb", "GeoLite2-Country", {"198.18.0.0/15": {"country": {"iso_code": "DE"}}})}
    started(e, net)
    with Flood(net, "dns", 40000):
        first = until(lambda: attacks(e, "dns_reflection"), 5)[0]
        until(lambda: e.api("GET", f"{ATTACKS}/{first['id']}")["stopped_by"].get("flood", 0) > 10000, 5)
        e.kill()
        time.sleep(1)
        e.close_api()
        started(e, net)
        time.sleep(3)
        assert passing(e) < LIMIT, "what stopped it stands through a restart"
        now = e.api("GET", f"{ATTACKS}/{attacks(e, 'dns_reflection')[0]['id']}")
        assert now["id"] == first["id"] and now["started_at"] == first["started_at"]
        assert now["packets"] > first["packets"] and now["peak_packets_per_second"] >= first["peak_packets_per_second"]
    assert {row["asn"] for row in now["top_asns"]} == {64500, 64501} and now["top_countries"][0]["country"] == "DE"
    assert now["source_ports"][0]["port"] == 53 and now["samples"][0]["destination_port"] == 40000
    assert "udp.srcport eq 53" in now["signatures"][0]["expression"] and now["signatures"][0]["state"] == "blocks"
    ended = until(lambda: attacks(e, "dns_reflection", "ended"), 20)[0]
    assert ended["id"] == first["id"] and not ended["inaction"]
    until(lambda: len(hook) >= 2, 20)
    assert [h["alert_event"] for h in hook] == ["ALERT_STATE_EVENT_START", "ALERT_STATE_EVENT_END"]
    told = hook[1]["data"]
    assert told["attack_id"] == first["id"] and told["attack_vector"] == "dns_reflection" and told["protocol"] == "UDP"
    assert told["target_ip"] == "10.77.0.1" and told["target_port"] == 40000 and told["rule_id"] == "flood" and told["mitigation"] == "block"
    assert told["packets_per_second"] > LIMIT and told["megabits_per_second"] > 1 and told["source_addresses"] > 3000
    record = e.wait_record(AttackVector="dns_reflection", AttackEvent="end")
    assert record["DestinationIP"] == "10.77.0.1" and record["DestinationPort"] == 40000 and record["Protocol"] == "UDP"
    assert record["AttackStopped"] > record["AttackPassed"] and record["AttackAddresses"] > 3000 and record["AttackPeakBitsPerSecond"] > 1000000
    listed = e.cli("attack", "list", check=0).stdout
    assert "dns_reflection" in listed and "10.77.0.1" in listed
    shown = e.cli("attack", "show", first["id"], check=0).stdout
    assert "64500" in shown and "udp.srcport eq 53" in shown


def test_the_mode_says_whether_floods_of_frames_are_told_and_stopped(net, walled):
    e = walled
    e.boot["floods"].update(mode="off")
    started(e, net)
    with Flood(net, "ntp", 40000):
        time.sleep(4)
        assert not e.api("GET", ATTACKS) and passing(e) > LIMIT
        e.boot["floods"].update(mode="report")
        reloaded(e)
        # A second in which less than a flood arrives, for want of a processor, asks for no action.
        until(lambda: [a["inaction"] for a in attacks(e, "ntp_reflection")] == ["floods.mode does not say block"])
        assert attacks(e, "ntp_reflection")[0]["stopped"] == 0
        until(lambda: passing(e) > LIMIT)
        e.boot["floods"].update(mode="block")
        reloaded(e)
        until(lambda: passing(e) < LIMIT * 0.8, 5)
        assert not attacks(e, "ntp_reflection")[0]["inaction"]


def test_ipv6_floods_leave_neighbours_alone(net, walled, serve):  # noqa: F811
    e = started(walled, net)
    with Flood(net, "icmp", 0, target="fd77::1") as begin:
        took = stopped_after(e, begin)
        assert took is not None and took <= 3
        ip("-n", net.edge, "neigh", "flush", "dev", "edge0")
        ip("-n", net.clients, "neigh", "flush", "dev", "dev0")
        for _ in range(3):
            code = "import socket; s = socket.create_connection(('fd77::1', 7), 5); s.sendall(b'x'); print(s.recv(1))"
            done = subprocess.run(net.inside(net.clients, "/usr/bin/python3", "-c", code), capture_output=True, text=True, check=False)
            assert done.stdout == "b'x'\n", done.stderr
        attack = attacks(e, "icmp_flood")[0]
        assert attack["target_ip"] == "fd77::1" and "icmp.type eq 128" in attack["signatures"][0]["expression"]
        assert attack["addresses"]["estimate"] > 2000 and attack["protocol"] == "ICMP"
