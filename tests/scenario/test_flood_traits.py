"""Floods that differ from what is usual for their host by one attribute: each is found by it, and the ordinary requests beside go on."""
import itertools
import os
import random
import signal
import ssl
import threading
import time

import pytest

from client import Client, Gone, context
from edge import slowness, until
from origin import Origin

LEARN = 5
SOURCES = 40
pytestmark = pytest.mark.alone  # some hundred requests a second and more


@pytest.fixture(scope="module")
def boot():
    return {"floods": {"sensitivity": "high", "learn": f"{LEARN}s", "ttl": "3s", "floor": 60}, "limits": {"connections_per_address": 0}}


def old_tls():
    """A handshake that no ordinary client of these tests begins so."""
    made = context(high=ssl.TLSVersion.TLSv1_2)
    made.set_ciphers("ECDHE-RSA-AES128-GCM-SHA256:ECDHE-ECDSA-AES128-GCM-SHA256")
    return made


def reading(host, method="POST", agent="gateway/2.1", order=False, cookie="", body="", chunked=False):
    """A measurement, as gateways send it; in one write."""
    body = (body or f'{{"temp":{random.randrange(10, 40)},"hum":{random.randrange(10, 99)}}}').encode()
    framing = "Transfer-Encoding: chunked" if chunked else f"Content-Length: {len(body)}"
    lines = [f"Host: {host}", f"User-Agent: {agent}", "Content-Type: application/json", framing]
    if order:
        lines[1], lines[2] = lines[2], lines[1]
    if cookie:
        lines.append(f"Cookie: {cookie}")
    if chunked:
        body = b"%x\r\n%s\r\n0\r\n\r\n" % (len(body), body)
    return f"{method} /v1/readings HTTP/1.1\r\n".encode() + "\r\n".join(lines).encode() + b"\r\n\r\n" + body


# Name of the host: what the flood does otherwise, what all its requests are like, what its rule must say, how many terms it has.
ROWS = {
    "method": ({"method": "PUT"}, {}, 'http.request.method eq "PUT"', 2),
    "agent": ({"agent": "curl/7.88.1"}, {}, 'http.user_agent eq "curl/7.88.1"', 1),
    "order": ({"order": True}, {}, 'join(http.request.headers.names, ",") eq "host,content-type,user-agent,content-length"', 1),
    "cookie": ({"cookie": "id=77"}, {"cookie": "id=1"}, 'http.cookie eq "id=77"', 1),
    "shape": ({"body": "a[]=1&b[]=2222222222"}, {}, "http.request.body.raw matches ", 1),
    "size": ({"body": '{"temp":' + "7" * 4000 + "}"}, {}, 'http.request.headers["content-length"][0]', 1),
    "chunked": ({"body": "a[]=1&b[]=2222222222"}, {"chunked": True}, "http.request.body.raw matches ", 1),
    "ja4": ({}, {}, "cf.bot_management.ja4 eq ", 1),
}


class Ordinary(threading.Thread):
    """A gateway of a host, twelve measurements a second, until told to stop."""

    def __init__(self, edge, host, usual, tls):
        super().__init__(daemon=True)
        self.edge, self.host, self.usual, self.tls = edge, host, usual, tls
        self.statuses, self.over = {}, threading.Event()

    def run(self):
        client = None
        while not self.over.wait(0.08):
            try:
                client = client or Client(self.edge.port if self.tls else self.edge.plain_port, self.host, tls=self.tls)
                client.send(reading(self.host, **self.usual))
                status = client.read("POST").status
            except (Gone, OSError) as error:
                status, client = repr(error), None
            self.statuses[status] = self.statuses.get(status, 0) + 1


@pytest.fixture(scope="module")
def hosts(edge, fast_origin):
    """All hosts with ordinary traffic, from before anything is learned to the end."""
    edge.add_plain()
    edge.write()
    edge.signal(1)
    edge.wait_log("boot file, certificates, roots, lists and rules are in force")
    threads, reads_chunks = {}, Origin()
    for name, (_, usual, _, _) in ROWS.items():
        edge.app(f"{name}.edge.test", reads_chunks if "chunked" in usual else fast_origin, client_auth="off")
        threads[name] = Ordinary(edge, f"{name}.edge.test", usual, name == "ja4")
        threads[name].start()
    until(lambda: all(sum(t.statuses.values()) > 130 for t in threads.values()), 60)
    time.sleep(LEARN)
    yield threads
    for t in threads.values():
        t.over.set()
    for t in threads.values():
        t.join(10)
    reads_chunks.stop()


class Flood:
    """Two threads, each with connections from half of the addresses, in turn."""

    def __init__(self, edge, host, tls, **words):
        self.edge, self.host, self.tls, self.words = edge, host, tls, words
        self.statuses, self.over = [], threading.Event()
        self.threads = [threading.Thread(target=self.pour, args=(i,), daemon=True) for i in range(2)]

    def pour(self, half):
        clients = {}
        for n in itertools.count():
            if self.over.wait(0.002):
                return
            last = 1 + half + 2 * (n % (SOURCES // 2))
            try:
                if last not in clients:
                    clients[last] = Client(self.edge.port if self.tls else self.edge.plain_port, self.host, tls=self.tls, ctx=old_tls() if self.tls else None,
                                           source=f"127.91.0.{last}")
                clients[last].send(reading(self.host, **self.words))
                self.statuses.append(clients[last].read("POST").status)
            except (Gone, OSError):
                clients.pop(last, None)

    def __enter__(self):
        for t in self.threads:
            t.start()
        return self

    def __exit__(self, *_):
        self.over.set()
        for t in self.threads:
            t.join(10)


@pytest.mark.parametrize("name", ROWS)
def test_a_flood_that_differs_by(edge, hosts, name):
    other, usual, words, terms = ROWS[name]
    host = f"{name}.edge.test"
    with Flood(edge, host, name == "ja4", **{**usual, **other}) as flood:
        until(lambda: 403 in flood.statuses, 10)
        time.sleep(0.5)
        late = len(flood.statuses)
        time.sleep(0.5)
    attack, = edge.api("GET", f"/accounts/{{account}}/attacks?host={host}")
    signature, = attack["signatures"]
    assert words in signature["expression"] and len(signature["terms"]) == terms, signature
    assert "ip.src" not in signature["expression"] and signature["state"] == "blocks"
    assert set(flood.statuses[late:]) == {403} and set(flood.statuses) == {200, 403}
    assert attack["usual_statuses"] == {"2xx": 100.0}
    assert set(hosts[name].statuses) == {200}, hosts[name].statuses


def test_one_command_drops_a_rule_for_good_while_it_is_in_force(edge, hosts):
    host = "order.edge.test"
    until(lambda: edge.api("GET", f"/accounts/{{account}}/attacks?host={host}")[0]["status"] == "ended")
    with Flood(edge, host, False, agent="wget/1.21") as flood:
        until(lambda: 403 in flood.statuses, 10)
        attack = edge.api("GET", f"/accounts/{{account}}/attacks?host={host}&status=active")[0]
        edge.cli("attack", "drop", attack["id"], check=0)
        time.sleep(0.5)
        late = len(flood.statuses)
        time.sleep(3)
    assert set(flood.statuses[late:]) == {200}, "it goes at once, and does not come again"
    assert edge.api("GET", f"/accounts/{{account}}/attacks/{attack['id']}")["signatures"][0]["state"] == "dropped"
    assert "wget" in edge.cli("attack", "exceptions", check=0).stdout


def test_what_is_usual_outlives_a_restart(make_edge, fast_origin):
    """A flood that is on while the edge starts is met at once, and does not become what is usual."""
    e = make_edge(floods={"sensitivity": "high", "learn": f"{LEARN}s", "floor": 60}, limits={"connections_per_address": 0})
    e.add_plain()
    e.start()
    e.app("agent.edge.test", fast_origin, client_auth="off")
    calm = Ordinary(e, "agent.edge.test", {}, False)
    calm.start()
    until(lambda: sum(calm.statuses.values()) > 150, 60)
    calm.over.set()
    calm.join()
    e.signal(signal.SIGTERM)
    e.child.wait(30)
    e.close_api()
    assert os.stat(os.path.join(e.data, "flood-usual")).st_mode & 0o777 == 0o600
    with Flood(e, "agent.edge.test", False, agent="curl/7.88.1") as flood:
        e.start()
        until(lambda: flood.statuses)
        began = time.monotonic()
        until(lambda: 403 in flood.statuses, 10)
        assert time.monotonic() - began <= 3 * slowness(), "before anything could be learned anew"
        calm = Ordinary(e, "agent.edge.test", {}, False)
        calm.start()
        until(lambda: sum(calm.statuses.values()) > 20)
    calm.over.set()
    calm.join()
    assert set(calm.statuses) == {200}, calm.statuses
    attack, = e.api("GET", "/accounts/{account}/attacks?host=agent.edge.test")
    assert len(attack["signatures"]) == 1 and "curl" in attack["signatures"][0]["expression"]
