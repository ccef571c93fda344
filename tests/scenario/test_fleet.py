"""Devices of ours that attack: floods and requests of bots are throttled, then quarantined; calm devices and exempt classes are not."""
import datetime
import socket
import ssl
import threading
import time

import pytest

from client import Client, Gone
from edge import slowness, until
from test_udp import Origin as Datagrams

LEARN, FLOOR = 3, 30


@pytest.fixture(scope="module")
def boot():
    return {"workers": 2, "floods": {"sensitivity": "high", "learn": f"{LEARN}s", "floor": FLOOR}, "ports": {"steer": False},
            "limits": {"connections_per_address": 0}, "fleet": {"networks": "127.0.0.0/8", "datagram_rate": 300}}


@pytest.fixture(scope="module", autouse=True)
def learned(edge):
    time.sleep(LEARN + 1)


class Sender(threading.Thread):
    """One device on one connection, a request every so often, until it is over or let go."""

    def __init__(self, edge, host, device, every=0.0, headers=()):
        super().__init__(daemon=True)
        self.edge, self.host, self.device, self.every, self.headers = edge, host, device, every, headers
        self.statuses, self.over, self.ended_at = [], threading.Event(), None
        self.start()

    def run(self):
        try:
            with self.edge.client(self.host, self.device) as c:
                while not self.over.wait(self.every):
                    self.statuses.append(c.get("/", *self.headers).status)
        except (Gone, OSError):
            self.ended_at = time.monotonic()

    def stop(self):
        self.over.set()
        self.join(10)


def state(edge, device):
    return edge.api("GET", f"/accounts/{{account}}/devices/{device.id}")["state"]


def attacks(edge, device):
    return edge.api("GET", f"/accounts/{{account}}/attacks?host=device:{device.id}")


def is_quarantined_soon(edge, device, first):
    """By the clock of both, from just before the attacker's first packet (of time.time()) to the quarantine."""
    until(lambda: state(edge, device) == "quarantined")
    attack = until(lambda: [a for a in attacks(edge, device) if a["status"] == "ended"])[0]
    began, ended = (datetime.datetime.fromisoformat(attack[at].replace("Z", "+00:00")) for at in ("started_at", "ended_at"))
    assert ended.timestamp() - first <= 2 * slowness(), (attack, first)
    assert first <= began.timestamp() and ended - began <= datetime.timedelta(seconds=2), attack


def test_a_flood_of_a_device(edge, app, host):
    hacked, calm = edge.device("hacked"), edge.device("calm")
    beside = Sender(edge, host, calm, 0.1)
    first = time.time()
    sender = Sender(edge, host, hacked)
    is_quarantined_soon(edge, hacked, first)
    sender.join(5)
    assert sender.ended_at, "its connection ends"
    first = sender.statuses.index(429)
    assert set(sender.statuses[:first]) == {200} and set(sender.statuses[first:]) <= {200, 429, 403}
    assert sender.statuses[first:].count(200) <= 10, "five a second are let through"
    until(lambda: attacks(edge, hacked)[0]["status"] == "ended")
    attack, = attacks(edge, hacked)
    assert attack["vector"] == "device_flood" and attack["device_id"] == hacked.id
    assert attack["counter"]["value"] > attack["counter"]["threshold"] >= FLOOR
    assert attack["measure"] == "the device was throttled, then quarantined"
    assert attack["stopped"] > 0 and attack["requests"] >= attack["stopped"]
    edge.wait_record(AttackVector="device_flood", DeviceID=hacked.id)
    assert edge.metric("ringfence_attacks_total", vector="device_flood") == 1
    assert edge.metric("ringfence_refused_total", reason="throttled") > 0
    assert edge.api("GET", f"/accounts/{{account}}/devices/{hacked.id}")["reason"].startswith(f"attack {attack['id']}: ")
    beside.stop()
    assert set(beside.statuses) == {200} and state(edge, calm) == "active"

    assert edge.get(host, "/", hacked).status == 403
    edge.cli("device", "activate", "hacked", check=0)
    with edge.client(host, hacked) as c:
        assert [c.get("/").status for _ in range(12)] == [200] * 12, "neither quarantined nor throttled"


def test_requests_of_a_bot(edge, app, host):
    infected = edge.device("infected")
    sender = Sender(edge, host, infected, 0.4, [("User-Agent", "Hello, World")])
    until(lambda: state(edge, infected) == "quarantined")
    sender.stop()
    until(lambda: attacks(edge, infected)[0]["status"] == "ended")
    attack, = attacks(edge, infected)
    assert attack["vector"] == "device_bot" and attack["measure"] == "the device was throttled, then quarantined"
    reason = edge.api("GET", f"/accounts/{{account}}/devices/{infected.id}")["reason"]
    assert reason == f"attack {attack['id']}: requests of the bot mirai"


def test_one_that_stops_is_let_go(edge, app, host):
    hasty = edge.device("hasty")
    with edge.client(host, hasty) as c:
        until(lambda: c.get("/").status == 429, every=0)
    until(lambda: attacks(edge, hasty)[0]["status"] == "ended")
    assert state(edge, hasty) == "active" and attacks(edge, hasty)[0]["measure"] == "the device is throttled"
    with edge.client(host, hasty) as c:
        assert [c.get("/").status for _ in range(12)] == [200] * 12


def test_an_exempt_class(edge, app, host):
    edge.klass("meters")
    edge.cli("class", "edit", "meters", "--flood-exempt", check=0)
    meter = edge.device("meter", "meters")
    sender = Sender(edge, host, meter, 0, [("User-Agent", "Hello, World")])
    time.sleep(3)
    until(lambda: len(sender.statuses) > 200)
    sender.stop()
    assert set(sender.statuses) == {200}
    assert state(edge, meter) == "active" and attacks(edge, meter) == []


# --- ports ---

def test_connections_of_a_device_to_a_port(edge, ports, origin):
    port, _, _ = ports(origin.port, tls="flexible", client_auth="enforce")
    hacked, calm = edge.device("knocks"), edge.device("waits")
    until(lambda: socket.create_connection(("127.0.0.1", port), 1).close() is None)
    ended, over = [], threading.Event()

    def knock():
        while not over.is_set():
            try:
                with Client(port, f"p{port}.edge.test", hacked, seconds=5) as c:
                    c.sock.settimeout(5)
                    c.send(b"GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
                    ended.append(bool(c.sock.recv(1)))
            except (Gone, OSError, ssl.SSLError):
                ended.append(False)

    first = time.time()
    threads = [threading.Thread(target=knock) for _ in range(6)]
    for t in threads:
        t.start()
    try:
        is_quarantined_soon(edge, hacked, first)
    finally:
        over.set()
    for t in threads:
        t.join()
    assert True in ended and False in ended
    attack, = attacks(edge, hacked)
    assert attack["vector"] == "device_flood" and attack["counter"]["name"] == "requests_per_second"
    assert edge.metric("ringfence_refused_total", reason="throttled") > 0
    with Client(port, f"p{port}.edge.test", calm) as c:
        assert c.get("/").status == 200 and state(edge, calm) == "active"


def test_datagrams_of_a_device_to_a_port(edge, ports, host, app):
    answers = Datagrams()
    port, _, _ = ports(answers.port, transport="udp")
    hacked, calm = edge.device("pours"), edge.device("drips")

    def asks(s):
        s.send(b"x")
        try:
            return s.recv(10) == b"re:x"
        except TimeoutError:
            return False

    def from_there(source):
        s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        s.bind((source, 0))
        s.connect(("127.0.0.1", port))
        s.settimeout(0.5)
        return s

    with edge.client(host, hacked, source="127.0.0.77") as h, edge.client(host, calm, source="127.0.0.78") as c, \
            from_there("127.0.0.77") as pours, from_there("127.0.0.78") as drips:
        assert h.get("/").status == c.get("/").status == 200
        assert until(lambda: asks(pours)) and asks(drips)
        began, first = time.monotonic(), time.time()
        while state(edge, hacked) == "active" and time.monotonic() < began + 20:
            for _ in range(200):
                pours.send(b"y")
            time.sleep(0.05)
        is_quarantined_soon(edge, hacked, first)
        assert not asks(pours) and asks(drips) and c.get("/").status == 200, "who is in quarantine is not heard"
        with pytest.raises(Gone):
            h.get("/")
    attack, = attacks(edge, hacked)
    assert attack["vector"] == "device_flood" and attack["counter"]["name"] == "datagrams_per_second" and attack["stopped"] > 0
    assert edge.metric("ringfence_udp_dropped_total", reason="fleet") > 0 and state(edge, calm) == "active"
    edge.cli("device", "activate", "pours", check=0)
    with from_there("127.0.0.77") as again:
        until(lambda: asks(again))
    answers.stop()
