"""Floods: the two attacks of 2016 from many addresses beside ordinary traffic; attack reports, and signatures that are dropped."""
import http.client
import http.server
import itertools
import json
import os
import random
import re
import socket
import subprocess
import sys
import threading
import time

import pytest

from client import Client, Gone
from edge import RELEASE, ROOT, free_port, slowness, until
from test_access import Net, ip
from test_fleet_net import enter

sys.path.insert(0, os.path.join(os.path.dirname(__file__), ".."))
import mmdb  # noqa: E402

COOKIE, BODY, LOGIN, GUIDE = "cookie.edge.test", "body.edge.test", "login.edge.test", "guide.edge.test"
LEARN = 5
pytestmark = pytest.mark.alone  # 8000 requests a second and more


class Webhook(http.server.BaseHTTPRequestHandler):
    """Keeps what is posted; the first post is refused, and must come again."""

    posted, refused = [], []

    def do_POST(self):
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        into = Webhook.posted if Webhook.refused else Webhook.refused
        into.append((self.headers["cf-webhook-auth"], body))
        self.send_response(204 if into is Webhook.posted else 500)
        self.end_headers()

    def log_message(self, *_):
        pass


class Passwords(http.server.BaseHTTPRequestHandler):
    """An origin that lets nobody in, sends who goes astray elsewhere, and is well otherwise."""

    protocol_version = "HTTP/1.1"

    def answer(self):
        self.rfile.read(int(self.headers["Content-Length"] or 0))
        self.send_response({"/login": 401, "/astray": 302}.get(self.path, 200))
        self.send_header("Content-Length", "0")
        self.end_headers()

    do_GET = do_POST = answer

    def log_message(self, *_):
        pass


class Crowd(Net):
    """The edge's namespace, where the tests and ordinary clients are too, and one that has 131,072 addresses to attack from."""

    def plug(self):
        super().plug()
        ip("-n", self.clients, "route", "add", "local", "10.128.0.0/15", "dev", "dev0")
        ip("-n", self.edge, "route", "add", "10.128.0.0/15", "via", "10.77.0.2")


@pytest.fixture(scope="module")
def crowd():
    if os.geteuid() != 0:
        pytest.skip("needs root")
    c = Crowd()
    with enter(c.edge):
        yield c
    c.close()


def geo(directory):
    """Half of the crowd is of one network and country, half of another."""
    place, asn = str(directory / "place.mmdb"), str(directory / "asn.mmdb")
    mmdb.write(place, "GeoLite2-Country", {"10.128.0.0/16": {"country": {"iso_code": "DE"}}, "10.129.0.0/16": {"country": {"iso_code": "CH"}}})
    mmdb.write(asn, "GeoLite2-ASN", {"10.128.0.0/16": {"autonomous_system_number": 64500}, "10.129.0.0/16": {"autonomous_system_number": 64501}})
    return {"place": place, "asn": asn}


@pytest.fixture(scope="module")
def boot(tmp_path_factory, crowd):
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Webhook)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    directory = tmp_path_factory.mktemp("alerts")
    for d in (directory, directory.parent, directory.parent.parent):
        d.chmod(0o755)
    secret = directory / "secret"
    secret.write_text("open sesame\n")
    yield {"build": RELEASE, "limits": {"connections": 30000}, "floods": {"sensitivity": "high", "learn": f"{LEARN}s", "ttl": "3s", "floor": 60},
           "geo": geo(directory), "alerts": {"webhook": f"http://127.0.0.1:{server.server_port}/alerts", "secret": str(secret)}}
    server.shutdown()


class Ordinary(threading.Thread):
    """Gateways, thermostats and browsers of a host, a few dozen requests a second, until told to stop."""

    kinds = [lambda n: ("POST", f"/v1/devices/{n % 900}/readings", [("User-Agent", "gateway/2.1"), ("Content-Type", "application/json")],
                        json.dumps({"temp": n % 40}).encode()),
             lambda n: ("GET", f"/v1/settings?since={n}", [("User-Agent", "thermostat/1.0"), ("Accept", "*/*")], b""),
             lambda n: ("GET", "/", [("User-Agent", "Mozilla/5.0"), ("Cookie", f"session={n % 300}")], b"")]

    def __init__(self, edge, host, device):
        super().__init__(daemon=True)
        self.edge, self.host, self.device = edge, host, device
        self.statuses, self.over = {}, threading.Event()

    def run(self):
        clients = [None, None]
        for n in itertools.count(random.randrange(1000)):
            if self.over.wait(0.02):
                break
            known = n % 5 == 0
            try:
                if not clients[known]:
                    clients[known] = Client(self.edge.port, self.host, self.device) if known else \
                        Client(self.edge.plain_port, self.host, tls=False)
                method, path, headers, body = self.kinds[n % 3](n)
                status = clients[known].request(method, path, headers, body).status
            except (Gone, OSError) as error:
                status, clients[known] = repr(error), None
            self.statuses[status] = self.statuses.get(status, 0) + 1
        for c in clients:
            if c:
                c.close()


@pytest.fixture(scope="module")
def passwords():
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Passwords)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()


@pytest.fixture(scope="module")
def traffic(edge, fast_origin, passwords):
    """All hosts with ordinary traffic, from before anything is learned to the end."""
    edge.boot["listeners"].append({"name": "plain", "address": f"0.0.0.0:{(port := free_port())}", "protocol": "http"})
    edge.plain_port = port
    edge.write()
    edge.signal(1)
    edge.wait_log("boot file, certificates, roots, lists and rules are in force")
    device = edge.device("lamp")
    origins = {COOKIE: fast_origin, BODY: fast_origin, LOGIN: passwords, GUIDE: passwords}
    for host, origin in origins.items():
        edge.app(host, origin, client_auth="report")
    threads = {host: [Ordinary(edge, host, device) for _ in range(2)] for host in origins}
    everyone = [t for of_host in threads.values() for t in of_host]
    for t in everyone:
        t.start()
    until(lambda: all(sum(t.statuses.values()) > 150 for t in everyone), 60)
    time.sleep(LEARN)
    yield threads
    for t in everyone:
        t.over.set()
    for t in everyone:
        t.join(10)


def flood(crowd, edge, host, shape, sources, rate=8000, first="10.128.0.0"):
    done = subprocess.run(crowd.inside(crowd.clients, os.path.join(ROOT, RELEASE, "tests", "flood-load"), "10.77.0.1", str(edge.plain_port), host,
                                       shape, first, str(sources), str(rate), "1500"), capture_output=True, text=True, timeout=300, check=True)
    return json.loads(done.stdout)


def attacks(edge, host):
    return edge.api("GET", f"/accounts/{{account}}/attacks?host={host}")


def closed(s):
    s.setblocking(False)
    try:
        return s.recv(1) == b""
    except BlockingIOError:
        return False
    except OSError:
        return True


def comes_in(edge, device):
    """A new connection of a device; where handshakes come faster than the edge can look at them, it may need another try."""
    try:
        with edge.client(COOKIE, device) as c:
            return c.request("GET", "/").status == 200
    except (Gone, OSError):
        return False


def only_welcome(threads):
    """Nobody of the ordinary traffic was stopped."""
    for t in threads:
        assert set(t.statuses) == {200}, t.statuses


def is_stopped(got, sources):
    """From three seconds after the first request of the attack on nothing passes but a few that the scheduler held up."""
    first = next(i for i, n in enumerate(got["passed"]) if n)
    assert next(i for i, n in enumerate(got["stopped"]) if n) <= first + 30, got
    late_passed, late_stopped = sum(got["passed"][first + 30:]), sum(got["stopped"][first + 30:])
    assert late_stopped > sources / 10, got
    assert late_passed <= late_stopped / 100, got
    assert got["failed"] + got["unanswered"] < sources / 10, got


@pytest.fixture(scope="module")
def watching(edge):
    """What `ringfence attack watch` says from now on, line by line."""
    child = subprocess.Popen([edge.program("ringfence"), "--socket", os.path.join(edge.run, "api.sock"), "attack", "watch"], stdout=subprocess.PIPE,
                             stdin=subprocess.DEVNULL, text=True)
    lines = []
    reader = threading.Thread(target=lambda: lines.extend(child.stdout), daemon=True)
    reader.start()
    yield lines
    child.terminate()
    reader.join(10)
    assert child.wait(10) == 0, "a watch ends well when it is told to"


def test_small_requests_with_one_cookie_from_50000_addresses(crowd, edge, traffic, watching):
    got = flood(crowd, edge, COOKIE, "cookie", 50000)
    is_stopped(got, 50000)
    only_welcome(traffic[COOKIE])
    attack = edge.api("GET", f"/accounts/{{account}}/attacks/{attacks(edge, COOKIE)[0]['id']}")
    assert attack["vector"] == "http_flood" and attack["status"] == "active" and attack["host"] == COOKIE
    assert len(attack["signatures"]) == 1 and attack["inaction"] is None
    signature = attack["signatures"][0]
    assert [t["trait"] for t in signature["terms"]] == ["cookie"], "the smallest combination"
    assert 'http.cookie eq "ccc' in signature["expression"] and "ip.src" not in signature["expression"]
    assert signature["state"] == "blocks" and signature["share_percent"] > 50 and signature["usual_percent"] <= 0.2
    assert sum(got["stopped"]) <= attack["stopped"] <= sum(got["stopped"]) + got["unanswered"] and attack["passed"] == attack["requests"] - attack["stopped"]
    assert attack["counter"]["value"] > attack["counter"]["threshold"] > attack["counter"]["usual"]
    assert 30000 < attack["addresses"]["estimate"] < 58000 and attack["addresses"]["error_percent"] == 3
    assert attack["samples"] and all(s["source"].startswith("10.128.") and s["path"] == "/" for s in attack["samples"])
    assert attack["peak_megabits_per_second"] > 0 and attack["statuses"]["4xx"] > 0
    assert [a["asn"] for a in attack["top_asns"]] == [64500] and [c["country"] for c in attack["top_countries"]] == ["DE"]
    assert all(s["requests"] < attack["requests"] / 50 for s in attack["top_sources"]), "nobody sent much"
    sampled = attack["top_asns"][0]["requests"]
    assert sampled == attack["top_countries"][0]["requests"] and sampled > attack["requests"] / 3


def test_bodies_of_800000_bytes_from_100000_addresses(crowd, edge, traffic):
    got = flood(crowd, edge, BODY, "body", 100000, 12000)
    assert got["whole"] > 100 and got["body_bytes"] > 100 * 800000, got
    is_stopped(got, 100000)
    only_welcome(traffic[BODY])
    attack = attacks(edge, BODY)[0]
    signature, = attack["signatures"]
    assert len(signature["terms"]) == 1 and signature["terms"][0]["trait"] in ("length", "size", "query", "body", "headers", "content_type"), signature
    assert attack["bytes_in"] > 100 * 800000
    by_asn = {a["asn"]: a["requests"] for a in edge.api("GET", f"/accounts/{{account}}/attacks/{attack['id']}")["top_asns"]}
    assert set(by_asn) == {64500, 64501} and {c["country"] for c in attack["top_countries"]} == {"DE", "CH"}, "half of the addresses and more are in each"
    assert 60000 < attack["addresses"]["estimate"] < 115000
    assert edge.metric("ringfence_attacks_total", vector="http_flood") == 2
    assert edge.metric("ringfence_flood_samples_total", result="taken") > 1000


@pytest.mark.parametrize("host,path,status,counter", [(LOGIN, "/login", 401, "refused_answers_per_second"),
                                                      (GUIDE, "/astray", 302, "redirecting_answers_per_second")])
def test_a_mix_of_statuses_that_is_not_usual(edge, traffic, host, path, status, counter):
    """A hundred a second in all: less than three times what is usual, but answers of a kind that is not usual there, as when passwords are
    guessed."""
    over, statuses = threading.Event(), []

    def guess(first):
        form = {"Host": host, "User-Agent": "Mozilla/5.0", "Content-Type": "application/x-www-form-urlencoded"}
        while not over.is_set():
            for last in range(1, 40):
                c = http.client.HTTPConnection("127.0.0.1", edge.plain_port, 10, source_address=(f"127.70.{first}.{last}", 0))
                c.request("POST", path, f"user=admin&pass={random.randrange(10 ** 6)}", form)
                statuses.append(c.getresponse().status)
                c.close()
                if over.wait(0.04):
                    break
    threads = [threading.Thread(target=guess, args=(i,), daemon=True) for i in range(5)]
    for t in threads:
        t.start()
    try:
        attack = until(lambda: attacks(edge, host), 10)[0]
        assert attack["counter"]["value"] > attack["counter"]["threshold"]
        # On a machine so busy that what is usual was slow, a hundred a second are many.
        assert attack["counter"]["name"] == counter or (slowness() > 1.5 and attack["counter"]["name"] == "requests_per_second")
        assert "ip.src" not in attack["signatures"][0]["expression"]
        assert attack["usual_statuses"]["2xx"] > 95, "a second in which it began may have been learned"
        until(lambda: statuses[-1] == 403, 5)
    finally:
        over.set()
        for t in threads:
            t.join()
    assert status in statuses and attack["statuses"].get(f"{status // 100}xx"), attack["statuses"]
    only_welcome(traffic[host])


def test_rules_expire_and_the_attack_ends(edge, traffic):
    until(lambda: all(attacks(edge, host)[0]["status"] == "ended" for host in (COOKIE, BODY)), 30)
    attack = attacks(edge, COOKIE)[0]
    assert attack["signatures"][0]["state"] == "expired" and attack["signatures"][0]["hits"] == attack["stopped"]
    assert attack["ended_at"] > attack["started_at"]
    events = [r["AttackEvent"] for r in edge.records(Type="attack", AttackID=attack["id"])]
    assert events[:2] == ["start", "signature"] and "expired" in events and events[-1] == "end"
    until(lambda: edge.metrics()["ringfence_attacks_active"] == 0)  # those of other hosts too
    listed = edge.cli("attack", "list", "--host", COOKIE, check=0).stdout
    assert attack["id"] in listed and "ended" in listed
    assert COOKIE in edge.cli("attack", "show", attack["id"], check=0).stdout


def test_watching_tells_each_as_it_happens(edge, watching):
    attack = attacks(edge, COOKIE)[0]
    signature = attack["signatures"][0]["expression"]

    def told(event):
        return [line for line in watching if re.search(rf" http_flood on {COOKIE} {event}\b", line)]
    until(lambda: told("end"))
    assert len(told("start")) == len(told("signature")) == len(told("end")) == 1
    assert " BLOCK " in told("signature")[0] and " a second: " in told("signature")[0] and signature[:60] in told("signature")[0] and told("expired")
    assert watching.index(told("start")[0]) < watching.index(told("signature")[0]) < watching.index(told("expired")[0]) < watching.index(told("end")[0])
    assert any(f"http_flood on {BODY} start, " in line for line in watching)


def test_the_webhook_is_told_of_beginning_and_end(edge, traffic):
    attack = attacks(edge, COOKIE)[0]

    def told():
        return [body for _, body in Webhook.posted if body["alert_correlation_id"] == attack["id"]]
    until(lambda: {b["alert_event"] for b in told()} == {"ALERT_STATE_EVENT_START", "ALERT_STATE_EVENT_END"}, 20)
    assert {auth for auth, _ in Webhook.posted + Webhook.refused} == {"open sesame"}
    start = next(b for b in told() if b["alert_event"] == "ALERT_STATE_EVENT_START")
    assert start["alert_type"] == "advanced_ddos_attack_l7_alert" and start["account_id"] == edge.account and start["ts"] > 0
    assert start["data"]["attack_id"] == attack["id"] and start["data"]["target_hostname"] == COOKIE
    assert start["data"]["mitigation"] == "block" and start["data"]["rule_id"] == attack["signatures"][0]["id"]
    assert edge.metric("ringfence_alerts_total", result="ok") >= 4 and edge.metric("ringfence_alerts_total", result="failed") == 1


def test_handshakes_that_are_never_completed(edge, traffic):
    """Nonsense from a thousand addresses: an attack on the port, and few handshakes of one address at once; devices go on.

    It comes slower than the edge looks at it: what is queued for long makes room for newer ones, whoever sent it.
    """
    over = threading.Event()

    def nonsense(first):
        for n in itertools.count():
            if over.wait(0.002):
                break
            with socket.socket() as s:
                s.bind((f"127.{first}.{n // 200 % 5}.{1 + n % 200}", 0))
                try:
                    s.connect(("127.0.0.1", edge.port))
                    s.sendall(b"GET / HTTP/1.1\r\n\r\n")
                except OSError:
                    pass
    threads = [threading.Thread(target=nonsense, args=(40 + i,), daemon=True) for i in range(2)]
    for t in threads:
        t.start()
    try:
        found = until(lambda: attacks(edge, f"port:{edge.port}"), 5)[0]
        assert found["vector"] == "tls_handshake_flood" and found["status"] == "active" and found["measure"]
        assert found["counter"]["name"] == "incomplete_handshakes_per_second"
        assert found["counter"]["value"] > found["counter"]["threshold"]
        time.sleep(0.6)
        held = [socket.create_connection(("127.0.0.1", edge.port), 5, source_address=("127.60.0.1", 0)) for _ in range(7)]
        until(lambda: sum(map(closed, held)) == 3, 5)
        for s in held:
            s.close()
        until(lambda: comes_in(edge, traffic[COOKIE][0].device), 5)
    finally:
        over.set()
        for t in threads:
            t.join()
    only_welcome(traffic[COOKIE] + traffic[BODY])
    until(lambda: attacks(edge, f"port:{edge.port}")[0]["status"] == "ended", 20)
    last = attacks(edge, f"port:{edge.port}")[0]
    assert last["addresses"]["estimate"] > 100 and last["stopped"] >= 3
    assert edge.metric("ringfence_attacks_total", vector="tls_handshake_flood") == 1


def test_a_dropped_signature_is_never_raised_again(crowd, edge, traffic):
    attack = attacks(edge, COOKIE)[0]
    edge.cli("attack", "drop", attack["id"], check=0)
    kept = edge.api("GET", "/accounts/{account}/attacks/exceptions")
    assert [(k["host"], k["expression"]) for k in kept] == [(COOKIE, attack["signatures"][0]["expression"])]
    got = flood(crowd, edge, COOKIE, "cookie", 12000, 3000)
    assert sum(got["stopped"]) == 0 and len(attacks(edge, COOKIE)) == 1
    only_welcome(traffic[COOKIE])
    edge.cli("attack", "forget", kept[0]["id"], check=0)
    assert edge.api("GET", "/accounts/{account}/attacks/exceptions") == []
