"""How connections to ports end, by the documented numbers: each provoked by real clients, origins, name servers and cables."""
import os
import re
import socket
import ssl
import struct
import threading
import time

import pytest

import pki
from edge import ROOT, until
from nets import CLIENT, EDGE, ORIGIN, SECONDS, lab, start  # noqa: F401
from test_access import unpin

# Numbers that no client or peer brings about, and why. The unit tests of svc/l4 and egress have them.
NOT_FROM_OUTSIDE = {
    540: "a port without a certificate gets one of the edge's own CA",
    999: "all that is known to end a connection has a number of its own",
}


@pytest.fixture(scope="module")
def edge(lab, tmp_path_factory):
    e = start(lab, str(tmp_path_factory.mktemp("names")), limits={"connections_per_address": 0, "origin_connections": 2})
    yield e
    e.stop()
    unpin(e.pins)


@pytest.fixture
def given(lab, edge):
    yield Given(lab, edge)
    lab.forget()


class Given:
    def __init__(self, lab, edge):
        self.lab, self.edge = lab, edge

    def app(self, *origins, **more):
        """A port with these origins (sockets, URLs); its number."""
        self.edge.count += 1
        port = 2000 + self.edge.count
        urls = [o if isinstance(o, str) else f"tcp://{ORIGIN}:{o.getsockname()[1]}" for o in origins]
        made = self.edge.api("POST", f"/zones/{self.edge.zone()}/spectrum/apps", {
            "protocol": f"tcp/{port}", "dns": {"type": "ADDRESS", "name": "p.edge.test"}, **({"origin_direct": urls} if urls else {}), **more})
        self.id = made["id"]
        return port

    def pair(self, **more):
        """A client and its origin, connected through the edge: both sockets. With TLS, as far as the edge."""
        listener = self.lab.listen()
        client = self.lab.connect(self.app(listener, **more))
        if more.get("tls"):
            client = wrap(client)
        client.sendall(b"hello")
        origin = listener.accept()[0]
        origin.settimeout(SECONDS)
        self.lab.made += [origin, client]
        assert more.get("tls", "flexible") != "flexible" or origin.recv(5) == b"hello"
        return client, origin

    def connect(self, *origins, **more):
        """A client of a port whose origin will not be opened."""
        s = self.lab.connect(self.app(*origins, **more))
        s.sendall(b"hello")


def wrap(s, name="p.edge.test"):
    c = ssl.create_default_context()
    c.check_hostname, c.verify_mode = False, ssl.CERT_NONE
    return c.wrap_socket(s, server_hostname=name)


def reset(s):
    s.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    s.close()


def keep_sending(s):
    """Until the other side has answered by a reset, at the latest."""
    try:
        for _ in range(20):
            s.sendall(b"more")
            time.sleep(0.05)
    except OSError:
        pass


# --- one for each number

def both_end(g):
    client, origin = g.pair()
    client.shutdown(socket.SHUT_WR)
    assert origin.recv(1) == b""
    origin.close()
    assert client.recv(1) == b""


def another_name(g):
    with pytest.raises(OSError):
        wrap(g.lab.connect(g.app("tcp://192.0.2.1:1", tls="flexible")), "elsewhere.test")


def barred(g):
    rule = g.edge.api("POST", "/user/firewall/access_rules/rules", {"mode": "block", "configuration": {"target": "ip", "value": CLIENT}})
    try:
        g.connect("tcp://192.0.2.1:1")
    except OSError:
        pass
    finally:
        until(lambda: g.edge.records(Application=g.id, Status=403))
        g.edge.api("DELETE", f"/user/firewall/access_rules/rules/{rule['id']}")


def no_handshake(g):
    g.lab.connect(g.app("tcp://192.0.2.1:1", tls="flexible")).sendall(b"GET / HTTP/1.1\r\n\r\n")


def cut_off(where, verdict):
    """The other side of that end goes on sending into a cable that is cut."""
    def provoke(g):
        client, origin = g.pair()
        g.lab.filter(g.lab.origins if where == "origin" else g.lab.clients, verdict)
        (client if where == "origin" else origin).sendall(b"is anybody there?")
    return provoke


def silent(where):
    def provoke(g):
        client, origin = g.pair(idle_timeout_ms=1000)
        if where == "client":
            origin.sendall(b"prompt")
            assert client.recv(6) == b"prompt"
    return provoke


def closed(where):
    """It has closed, and what still comes for it is answered by a reset."""
    def provoke(g):
        client, origin = g.pair()
        one, other = (client, origin) if where == "client" else (origin, client)
        one.close()
        assert other.recv(1) == b""
        keep_sending(other)
    return provoke


def resets(where):
    def provoke(g):
        client, origin = g.pair()
        reset(client if where == "client" else origin)
    return provoke


def nonsense_after_the_handshake(g):
    client, _ = g.pair(tls="flexible")
    os.write(client.fileno(), b"\x17\x03\x03\x00\x20" + bytes(32))


def origin_breaks_tls(g):
    listener, ca = g.lab.listen(), g.edge.server_ca
    inside = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    one = ca.server("breaks", "breaks.test")
    inside.load_cert_chain(one.cert, one.key)
    port, got = g.app(listener, tls="full"), []

    def serve():
        got.append(inside.wrap_socket(listener.accept()[0], server_side=True))
        os.write(got[0].fileno(), b"\x17\x03\x03\x00\x20" + bytes(32))
    thread = threading.Thread(target=serve)
    thread.start()
    client = wrap(g.lab.connect(port))
    thread.join(SECONDS)
    g.lab.made += [client, *got]


def untrusted(g):
    listener, ca = g.lab.listen(), pki.Ca(g.edge.dir, "nobody")
    inside = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    one = ca.server("untrusted", "untrusted.test")
    inside.load_cert_chain(one.cert, one.key)
    port = g.app(listener, tls="strict")
    client = wrap(g.lab.connect(port))
    with pytest.raises(OSError):
        inside.wrap_socket(listener.accept()[0], server_side=True).recv(1)
    client.close()


def no_answer(g):
    """A queue of connections that nobody accepts is full, and then SYNs are dropped."""
    listener = g.lab.listen(0)
    for _ in range(2):
        s = g.lab.socket(g.lab.origins)
        s.setblocking(False)
        s.connect_ex((ORIGIN, listener.getsockname()[1]))
    g.connect(listener)


def no_room(g):
    listener = g.lab.listen()
    port = g.app(listener, connect_timeout_ms=300)
    kept = []
    for _ in range(2):
        kept.append(g.lab.connect(port))
        kept.append(listener.accept()[0])
    g.lab.made += kept
    g.lab.connect(port)


def a_name(answer, name):
    def provoke(g):
        g.lab.names.names = {(name, kind): answer for kind in (("A", "AAAA") if isinstance(answer, str) else ("A",))} if answer else {}
        g.connect(f"tcp://{name}:22")
    return provoke


def a_service_at_no_host(g):
    g.lab.names.names = {("_ssh._tcp.test", "SRV"): [(1, 1, 22, "not a host.test")]}
    port = g.app(origin_dns={"name": "_ssh._tcp.test", "type": "SRV", "ttl": 600})

    def answered():
        """Before the answer there is no origin, which has its own number."""
        g.lab.connect(port).close()
        return [r for r in g.edge.records(Application=g.id) if r["Status"] not in (523, 499)]
    until(answered, every=0.2)


def itself(g):
    """The port's own origin, by a name that leads back to it."""
    g.lab.names.names = {("self.test", "A"): [EDGE]}
    port = g.app("tcp://self.test:2000")
    g.edge.api("PATCH", f"/zones/{g.edge.zone()}/spectrum/apps/{g.id}", {"origin_direct": [f"tcp://self.test:{port}"]})
    g.lab.connect(port).sendall(b"hello")


CASES = [
    (200, "disconnect", both_end), (400, "clientFiltered", another_name), (403, "clientFiltered", barred),
    (443, "clientFiltered", no_handshake), (444, "originError", resets("origin")), (445, "originError", cut_off("origin", "drop")),
    (445, "originError", silent("origin")), (446, "originError", cut_off("origin", "reject with icmp type host-unreachable")),
    (447, "originError", cut_off("origin", "reject with icmp type port-unreachable")), (447, "originError", origin_breaks_tls),
    (448, "originError", closed("origin")), (490, "disconnect", nonsense_after_the_handshake),
    (495, "disconnect", cut_off("client", "reject with icmp type port-unreachable")),
    (496, "disconnect", cut_off("client", "reject with icmp type host-unreachable")), (497, "disconnect", cut_off("client", "drop")),
    (497, "disconnect", silent("client")), (498, "disconnect", closed("client")), (499, "disconnect", resets("client")),
    (520, "originError", untrusted), (521, "originError", lambda g: g.connect(f"tcp://{ORIGIN}:9")), (522, "originError", no_answer),
    (523, "originError", lambda g: g.connect("tcp://198.51.100.1:22")), (524, "originError", no_room),
    (530, "originError", a_service_at_no_host), (531, "originError", a_name(None, "nobody.test")),
    (532, "originError", itself), (532, "originError", a_name(["224.0.0.1"], "group.test")),
    (533, "originError", a_name("servfail", "broken.test")), (533, "originError", a_name("silent", "silent.test")),
]


@pytest.mark.parametrize("status, event, provoke", CASES, ids=[f"{s}-{i}" for i, (s, _, _) in enumerate(CASES)])
def test_each_ending_has_its_number(given, status, event, provoke):
    provoke(given)
    end = until(lambda: [r for r in given.edge.records(Application=given.id) if r["Event"] not in ("connect", "progress")])[-1]
    assert (end["Status"], end["Event"]) == (status, event), end
    opened = given.edge.records(Application=given.id, Event="connect")
    assert [r["Status"] for r in opened] == [0] * len(opened)
    assert bool(opened) == (status in (200, 490) or 444 <= status <= 448 or 495 <= status <= 499) or status == 524


def test_the_edge_ends_what_is_left_when_it_stops(lab, tmp_path):
    e = start(lab, str(tmp_path), shutdown={"drain": "1s"})
    records = []
    try:
        client, _ = Given(lab, e).pair()
        e.child.terminate()
        assert client.recv(1) == b""
        e.child.wait(SECONDS)
        records = e.records(Event="disconnect")
    finally:
        e.stop()
        unpin(e.pins)
        lab.forget()
    assert [r["Status"] for r in records] == [500]


def test_no_number_is_without_its_test():
    with open(os.path.join(ROOT, "src/tbl/l4_status.def")) as f:
        documented = {int(n) for n in re.findall(r"^RF_L4_STATUS\(\w+, +(\d+),", f.read(), re.M)}
    assert documented == {s for s, _, _ in CASES} | {0, 500} | set(NOT_FROM_OUTSIDE)
