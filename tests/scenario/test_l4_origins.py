"""Ports and what is behind them: origins whose certificates are verified, whose health is checked, whose names change; and who may connect, where."""
import os
import socket
import ssl
import sys
import threading

import pytest

import pki
from edge import until
from nets import CLIENT, EDGE, EDGE6, ORIGIN, SECONDS, lab, start  # noqa: F401
from test_access import unpin

sys.path.insert(0, os.path.join(os.path.dirname(__file__), ".."))
import mmdb  # noqa: E402

OTHER = "10.77.0.9"  # another address of the edge
STRANGER = "10.77.0.3"


class Server:
    """An origin that says its name to each connection, then what it hears. `first` bytes are read before TLS."""

    def __init__(self, lab, name, port=0, address=ORIGIN, identity=None, first=0, ca=None):
        self.lab, self.name, self.first, self.seen, self.count, self.address = lab, name.encode(), first, [], 0, address
        self.tls = None
        if identity:
            self.tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            self.tls.load_cert_chain(identity.cert, identity.key)
            if ca:
                self.tls.load_verify_locations(ca.path)
                self.tls.verify_mode = ssl.CERT_REQUIRED
        self.port, self.listener = port, None
        self.open()

    def open(self):
        self.listener = self.lab.socket(self.lab.origins, socket.AF_INET6 if ":" in self.address else socket.AF_INET)
        self.listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self.listener.settimeout(None)
        self.listener.bind((self.address, self.port))
        self.listener.listen(64)
        self.port = self.listener.getsockname()[1]
        threading.Thread(target=self.accept, args=(self.listener,), daemon=True).start()

    def shut(self):
        """Nobody is there any more; what is open goes on."""
        self.listener.shutdown(socket.SHUT_RDWR)
        self.listener.close()

    def accept(self, listener):
        while True:
            try:
                s = listener.accept()[0]
            except OSError:
                return
            threading.Thread(target=self.talk, args=(s,), daemon=True).start()

    def talk(self, s):
        s.settimeout(SECONDS)
        try:
            if self.first:
                self.seen.append(s.recv(self.first, socket.MSG_WAITALL))
            if self.tls:
                s = self.tls.wrap_socket(s, server_side=True)
            s.sendall(self.name + b"\n")
            self.count += 1
            while data := s.recv(4096):
                s.sendall(data)
            s.close()
        except OSError:
            pass

    @property
    def url(self):
        return f"tcp://[{self.address}]:{self.port}" if ":" in self.address else f"tcp://{self.address}:{self.port}"


@pytest.fixture(scope="module")
def edge(lab, tmp_path_factory):
    tmp = tmp_path_factory.mktemp("lab")
    place, asn = str(tmp / "place.mmdb"), str(tmp / "asn.mmdb")
    mmdb.write(place, "GeoLite2-Country", {f"{CLIENT}/32": {"country": {"iso_code": "DE"}}, f"{STRANGER}/32": {"country": {"iso_code": "FR"}}})
    mmdb.write(asn, "GeoLite2-ASN", {f"{CLIENT}/32": {"autonomous_system_number": 64500}, f"{STRANGER}/32": {"autonomous_system_number": 64501}})
    lab.inside(lab.clients, "ip", "addr", "add", f"{STRANGER}/24", "dev", "dev0")
    for namespace, address, dev in ((lab.origins, "fd79::2", "dev1"), (lab.edge, "fd79::1", "edge1")):
        lab.inside(namespace, "ip", "addr", "add", f"{address}/64", "dev", dev, "nodad")
    e = start(lab, str(tmp), (EDGE, OTHER, EDGE6), geo={"place": place, "asn": asn})
    yield e
    e.stop()
    unpin(e.pins)


@pytest.fixture
def opened(lab, edge):
    """Ports of the edge: opened(origin, ..., **members) gives the number; all are closed afterwards."""
    made, path = [], f"/zones/{edge.zone()}/spectrum/apps"

    def make(*origins, port=None, protocol="tcp", **more):
        if not port:
            edge.count += 1
            port = 2000 + edge.count
        if origins:
            more["origin_direct"] = [o if isinstance(o, str) else o.url for o in origins]
        app = edge.api("POST", path, {"protocol": f"{protocol}/{port}", "dns": {"type": "ADDRESS", "name": "p.edge.test"}, **more})
        made.append(app["id"])
        make.last = app["id"]
        return port
    make.edit = lambda **members: edge.api("PATCH", f"{path}/{make.last}", members)
    yield make
    for app in made:
        edge.api("DELETE", f"{path}/{app}")
    lab.forget()


def wrap(s, device=None):
    c = ssl.create_default_context()
    c.check_hostname, c.verify_mode = False, ssl.CERT_NONE
    if device:
        c.load_cert_chain(device.cert, device.key)
    return c.wrap_socket(s, server_hostname="p.edge.test")


def hears(s, text=b"hello"):
    """Who is it, if it also answers? None: nobody."""
    try:
        s.sendall(text)
        with s.makefile("rb") as f:
            name = f.readline().strip().decode()
            return name if name and f.read(len(text)) == text else None
    except OSError:
        return None


def who(lab, port, **more):
    try:
        with lab.connect(port, **more) as s:
            return hears(s)
    except OSError:
        return None


# --- TLS to the origin

@pytest.fixture(scope="module")
def ca(edge):
    return pki.Ca(edge.dir, "origins")


@pytest.mark.parametrize("case, against", [("good", ""), ("by address", ""), ("another name", "hostname mismatch"), ("another CA", "local issuer"),
                                           ("expired", "has expired"), ("not yet", "not yet valid"), ("a client's", "purpose")])
def test_strict_trusts_whom_it_should_and_full_everybody(lab, edge, opened, ca, case, against):
    start_of, end_of = {"expired": (-10, -2), "not yet": (2, 10)}.get(case, (-1, 10))
    signer = pki.Ca(edge.dir, "others") if case == "another CA" else ca
    names = {"another name": [pki.x509.DNSName("elsewhere.test")],
             "by address": [pki.x509.IPAddress(pki.ipaddress.ip_address(ORIGIN))]}.get(case, [pki.x509.DNSName("origin.test")])
    identity = signer.issue("o-" + case.replace(" ", ""), subject=pki.name("origin.test" if case != "another name" else "elsewhere.test"), san=names,
                            start=pki.utcnow() + start_of * pki.DAY, end=pki.utcnow() + end_of * pki.DAY,
                            usage=pki.ExtendedKeyUsageOID.CLIENT_AUTH if case == "a client's" else pki.ExtendedKeyUsageOID.SERVER_AUTH)
    server = Server(lab, "secret", identity=identity)
    origin = {"origins": [{"url": server.url, **({} if case == "by address" else {"tls_name": "origin.test"})}]}
    port = opened(tls="strict", origin_ca=ca.pem, **origin)
    assert hears(wrap(lab.connect(port))) == (None if against else "secret")
    if against:
        end = edge.wait_record(Application=opened.last, Event="originError")
        assert end["Status"] == 520 and end["Layer"] == "origin" and against in end["Reason"], end
    assert hears(wrap(lab.connect(opened(tls="full", **origin)))) == "secret"


def test_strict_by_a_name_that_is_looked_up_and_with_a_certificate_of_ones_own(lab, edge, opened, ca):
    server = Server(lab, "mutual", identity=ca.server("named", "origin.test"), ca=ca)
    mine = ca.issue("edge-itself")
    with open(mine.cert) as c, open(mine.key) as k:
        shown = edge.api("POST", f"/zones/{edge.zone()}/custom_certificates", {"certificate": c.read(), "private_key": k.read()})
    for kind in ("", "A"):
        lab.names.names = {("origin.test", "A"): [ORIGIN]}
        port = opened(tls="strict", origin_ca=ca.pem, origin_dns={"name": "origin.test", "type": kind}, origin_port=server.port, origin_certificate_id=shown["id"])
        assert until(lambda at=port: hears(wrap(lab.connect(at)))) == "mutual"
        opened.edit(origin_certificate_id="")
        until(lambda at=port: hears(wrap(lab.connect(at))) is None)


# --- health, weights, draining

def test_an_origin_dies_is_taken_out_and_comes_back(lab, edge, opened):
    one, two = Server(lab, "one"), Server(lab, "two")
    port = opened(one, two, passive_fails=0, health={"interval_ms": 100, "timeout_ms": 1000, "rise": 2, "fall": 2})
    until(lambda: {who(lab, port) for _ in range(4)} == {"one", "two"})
    one.shut()
    bad = edge.metric("ringfence_origin_checks_total", result="failed")
    until(lambda: edge.metric("ringfence_origin_checks_total", result="failed") >= bad + 2)
    tries = edge.metric("ringfence_origin_retries_total")
    assert [who(lab, port) for _ in range(10)] == ["two"] * 10
    assert edge.metric("ringfence_origin_retries_total") == tries, "nobody was sent to the dead one first"
    two.shut()
    end = until(lambda: (who(lab, port), edge.records(Application=opened.last, Status=523))[1])[-1]
    assert end["Event"] == "originError" and "healthy" in end["Reason"]
    one.open()
    until(lambda: who(lab, port) == "one")
    two.open()
    until(lambda: {who(lab, port) for _ in range(4)} == {"one", "two"})


@pytest.mark.parametrize("header, own", [("v1", b"PROXY UNKNOWN\r\n"), ("v2", b"\r\n\r\n\0\r\nQUIT\n\x20\0\0\0")])
def test_a_check_tells_an_origin_that_wants_a_header_that_it_is_the_edge_itself(lab, edge, opened, ca, header, own):
    """It comes before TLS, without which the origin would be taken out for good."""
    server = Server(lab, "told", identity=ca.server("told-" + header, "origin.test"), first=len(own))
    opened(server, tls="full", proxy_protocol=header, health={"interval_ms": 100, "timeout_ms": 5000, "fall": 1})
    until(lambda: server.count >= 3)
    assert set(server.seen) == {own}


def test_weights_backups_and_draining(lab, edge, opened):
    one, two, spare = Server(lab, "one"), Server(lab, "two"), Server(lab, "spare")
    origins = [{"url": one.url, "weight": 3}, {"url": two.url}, {"url": spare.url, "backup": True}]
    port = opened(origins=origins, passive_fails=1, passive_hold_ms=100)
    got = [who(lab, port) for _ in range(40)]
    assert (got.count("one"), got.count("two"), got.count("spare")) == (30, 10, 0)
    kept = until(lambda: (lambda s: s if hears(s) == "one" else s.close())(lab.connect(port)))
    origins[0]["weight"] = 0
    opened.edit(origins=origins)
    assert [who(lab, port) for _ in range(8)] == ["two"] * 8
    kept.sendall(b"still")
    assert kept.recv(5, socket.MSG_WAITALL) == b"still", "what is open at a drained origin goes on"
    two.shut()
    assert [who(lab, port) for _ in range(4)] == ["spare"] * 4
    origins[0]["weight"] = 1
    opened.edit(origins=origins)
    assert who(lab, port) == "one"


# --- names

def test_services_by_srv(lab, edge, opened):
    first, second, later = Server(lab, "first"), Server(lab, "second"), Server(lab, "later", address="fd79::2")
    service = "_mqtt._tcp.origin.test"
    lab.names.names = {
        (service, "SRV"): [(10, 30, first.port, "a.origin.test"), (10, 10, second.port, "a.origin.test"), (20, 0, later.port, "b.origin.test")],
        ("a.origin.test", "A"): [ORIGIN], ("b.origin.test", "AAAA"): ["fd79::2"]}
    port = opened(origin_dns={"name": service, "type": "SRV", "ttl": 1}, passive_fails=1, passive_hold_ms=200)
    until(lambda: who(lab, port))
    got = [who(lab, port) for _ in range(40)]
    assert (got.count("first"), got.count("second"), got.count("later")) == (30, 10, 0), "by weight, and of the first priority alone"
    first.shut()
    assert {who(lab, port) for _ in range(8)} == {"second"}
    second.shut()
    assert {who(lab, port) for _ in range(4)} == {"later"}, "the next priority stands in"
    third = Server(lab, "third")
    with lab.connect(port) as stays:
        assert hears(stays) == "later"
        lab.names.names[service, "SRV"] = [(10, 1, third.port, "a.origin.test")]
        until(lambda: who(lab, port) == "third")
        assert {who(lab, port) for _ in range(4)} == {"third"}, "another answer is followed"
        stays.sendall(b"still")
        assert stays.recv(5, socket.MSG_WAITALL) == b"still", "and what is open goes on"
    lab.names.names[service, "SRV"] = "servfail"
    asked = lab.names.asked.count((service, "SRV"))
    until(lambda: lab.names.asked.count((service, "SRV")) >= asked + 2)
    assert who(lab, port) == "third", "while asking fails the last answer stays"


def test_a_and_aaaa_alone_and_both(lab, edge, opened):
    six = Server(lab, "six", address="fd79::2")
    four = Server(lab, "four", port=six.port)
    lab.names.names = {("both.test", "A"): [ORIGIN], ("both.test", "AAAA"): ["fd79::2"]}
    for kind, expected in (("A", {"four"}), ("AAAA", {"six"}), ("", {"four", "six"})):
        port = opened(origin_dns={"name": "both.test", "type": kind, "ttl": 1}, origin_port=four.port)
        until(lambda at=port: who(lab, at))
        assert {who(lab, port) for _ in range(8)} == expected
        opened.edit(enabled=False)


def test_a_name_that_moves(lab, edge, opened):
    lab.inside(lab.origins, "ip", "addr", "add", "10.79.0.3/24", "dev", "dev1")
    old = Server(lab, "old")
    new = Server(lab, "new", port=old.port, address="10.79.0.3")
    for kind in ("A", ""):
        lab.names.names = {("moves.test", "A"): [ORIGIN]}
        port = opened(origin_dns={"name": "moves.test", "type": kind, "ttl": 1}, origin_port=old.port)
        assert until(lambda at=port: who(lab, at)) == "old"
        lab.names.names = {("moves.test", "A"): ["10.79.0.3"]}
        until(lambda at=port: who(lab, at) == "new")
        assert {who(lab, port) for _ in range(4)} == {"new"}
        opened.edit(enabled=False)
    assert new.count


def test_udp_by_srv(lab, edge, opened):
    origins = []
    for name in (b"first", b"second"):
        s = lab.socket(lab.origins, kind=socket.SOCK_DGRAM)
        s.bind((ORIGIN, 0))
        s.settimeout(None)

        def serve(s=s, name=name):
            while True:
                try:
                    data, peer = s.recvfrom(2048)
                    s.sendto(name + b":" + data, peer)
                except OSError:
                    return
        threading.Thread(target=serve, daemon=True).start()
        origins.append(s)
    service = "_coap._udp.origin.test"
    lab.names.names = {(service, "SRV"): [(1, 1, origins[0].getsockname()[1], "a.origin.test")], ("a.origin.test", "A"): [ORIGIN]}
    port = opened(protocol="udp", origin_dns={"name": service, "type": "SRV", "ttl": 1})

    def ask():
        s = lab.socket(lab.clients, kind=socket.SOCK_DGRAM)
        s.settimeout(0.5)
        s.connect((EDGE, port))
        s.send(b"who")
        try:
            return s.recv(100)
        except OSError:
            return None
    until(lambda: ask() == b"first:who")
    lab.names.names[service, "SRV"] = [(1, 1, origins[1].getsockname()[1], "a.origin.test")]
    until(lambda: ask() == b"second:who")
    lab.names.names = {("nobody.test", "A"): [], ("broken.test", "A"): "servfail", ("broken.test", "AAAA"): "servfail", ("group.test", "A"): ["239.1.2.3"],
                       ("self.test", "A"): [EDGE]}
    for name, status in (("nobody.test", 531), ("broken.test", 533), ("group.test", 532), ("self.test", 532)):
        port = opened(f"udp://{name}:9", protocol="udp")
        if name == "self.test":
            opened.edit(origin_direct=[f"udp://{name}:{port}"])
        until(lambda: (ask(), edge.records(Application=opened.last, Event="originError"))[1])
        assert {r["Status"] for r in edge.records(Application=opened.last, Event="originError")} == {status}


# --- which addresses of the edge

@pytest.mark.parametrize("edge_ips, answers", [
    ({"type": "dynamic"}, {EDGE, OTHER, EDGE6}), ({"type": "dynamic", "connectivity": "all"}, {EDGE, OTHER, EDGE6}),
    ({"type": "dynamic", "connectivity": "ipv4"}, {EDGE, OTHER}), ({"type": "dynamic", "connectivity": "ipv6"}, {EDGE6}),
    ({"type": "static", "ips": [OTHER]}, {OTHER}), ({"type": "static", "ips": [EDGE6, EDGE]}, {EDGE, EDGE6}),
])
def test_only_the_addresses_of_edge_ips_answer(lab, edge, opened, edge_ips, answers):
    server = Server(lab, "here")
    port = opened(server, edge_ips=edge_ips)
    assert {at for at in (EDGE, OTHER, EDGE6) if who(lab, port, host=at) == "here"} == answers
    if edge_ips["type"] == "static":
        opened.edit(edge_ips={"type": "static", "ips": [EDGE, OTHER]})
        assert {at for at in (EDGE, OTHER, EDGE6) if who(lab, port, host=at) == "here"} == {EDGE, OTHER}, "and another list at once"


def test_one_port_has_an_app_at_each_address(lab, edge, opened):
    one, two = Server(lab, "one"), Server(lab, "two")
    port = opened(one, edge_ips={"type": "static", "ips": [OTHER]})
    opened(two, port=port)
    assert [who(lab, port, host=at) for at in (EDGE, OTHER, EDGE6)] == ["two", "one", "two"]


# --- who may connect

@pytest.fixture
def rule(edge):
    """Rules of the connection in the zone, one at a time."""
    yield lambda expression: edge.ruleset([{"expression": expression, "action": "block"}], phase="connection")
    edge.ruleset([], phase="connection")


def blocked(edge, opened, s):
    """It was refused by a rule, and its record says so."""
    assert hears(s) is None
    end = edge.wait_record(Application=opened.last, Event="clientFiltered", SourcePort=s.getsockname()[1])
    return (end["Status"], end["Layer"]) == (403, "rule")


@pytest.mark.parametrize("expression", ['device.name eq "{a}"', 'device.id eq "{id}"', 'device.class eq "kettles"', 'any(device.tags[*] eq "old")',
                                        'device.model eq "k1"', 'device.firmware lt "2.0"', 'cf.tls_client_auth.cert_ski eq "{ski}"'])
def test_rules_on_the_device_at_a_raw_port(lab, edge, opened, rule, expression):
    """Of two devices with certificates, the one that the rule is about."""
    edge.klass("pots")
    suffix = os.urandom(3).hex()
    a = edge.device("kettle-" + suffix, klass="kettles", tags=["old"], model="k1", firmware="1.9")
    b = edge.device("pot-" + suffix, klass="pots", tags=["new"], model="p1", firmware="2.1")
    leaf = pki.chain(a.bundle["certificate"])[0]
    ski = leaf.extensions.get_extension_for_class(pki.x509.SubjectKeyIdentifier).value.digest.hex().upper()
    port = opened(Server(lab, "in"), tls="flexible", client_auth="enforce")
    assert hears(wrap(lab.connect(port), a)) == "in"
    rule(expression.format(a=a.name, id=a.id, ski=ski))
    assert blocked(edge, opened, wrap(lab.connect(port), a))
    assert hears(wrap(lab.connect(port), b)) == "in"


@pytest.mark.parametrize("expression", ['ip.src.country eq "FR"', 'ip.geoip.country eq "FR"', "ip.src.asnum eq 64501", f"ip.src eq {STRANGER}",
                                        'starts_with(tcp.payload.first, "GET ") and ip.src.country eq "FR"', "tcp.dstport eq {port} and ip.src.asnum in {{64501}}",
                                        'not ssl and ip.src.country ne "DE"'])
def test_rules_on_where_a_client_is_and_what_it_says_at_a_raw_port(lab, edge, opened, rule, expression):
    port = opened(Server(lab, "in"), first_byte_timeout_ms=5000)
    text = b"GET / HTTP/1.1\r\n"
    assert hears(lab.connect(port, source=STRANGER), text) == "in"
    rule(expression.format(port=port))
    s = lab.connect(port, source=STRANGER)
    s.sendall(text)
    assert blocked(edge, opened, s)
    assert hears(lab.connect(port), text) == "in"
    if "payload" in expression:
        assert hears(lab.connect(port, source=STRANGER), b"EHLO here, not HTTP") == "in"


@pytest.mark.parametrize("target, value", [("country", "FR"), ("asn", "AS64501"), ("ip_range", "10.77.0.3/32"), ("ip", STRANGER)])
def test_access_rules_at_a_raw_port(lab, edge, opened, target, value):
    port = opened(Server(lab, "in"))
    free = opened(Server(lab, "in"), ip_firewall=False)
    with lab.connect(port, source=STRANGER) as live:
        assert hears(live) == "in"
        made = edge.api("POST", "/user/firewall/access_rules/rules", {"mode": "block", "configuration": {"target": target, "value": value}})
        live.settimeout(SECONDS)
        assert live.recv(1) == b"", "what is live ends"
    assert who(lab, port, source=STRANGER) is None
    assert who(lab, port) == "in" and who(lab, free, source=STRANGER) == "in"
    edge.api("DELETE", f"/user/firewall/access_rules/rules/{made['id']}")
    assert who(lab, port, source=STRANGER) == "in"
