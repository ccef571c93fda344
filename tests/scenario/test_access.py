"""Access rules: sources that may never, or always, reach the edge; in the workers, and in the kernel filter."""
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import threading

import pytest

from client import Client, Gone
import flood
from origin import Origin
from edge import Refused, until

sys.path.insert(0, os.path.join(os.path.dirname(__file__), ".."))
import mmdb  # noqa: E402

RULES = "/user/firewall/access_rules/rules"


@pytest.fixture(scope="module")
def boot():
    return {"limits": {"connections_per_address": 0}}


@pytest.fixture(scope="module")
def plain(edge):
    """A listener that is told by its proxy who comes."""
    o = Origin()
    edge.boot["listeners"].append({"name": "proxied", "address": f"127.0.0.1:{edge.add_plain() + 1}", "protocol": "http",
                                   "proxy_protocol": True, "trusted_proxies": ["127.0.0.0/8"]})
    edge.write()
    edge.signal(signal.SIGHUP)
    edge.wait_log("boot file, certificates, roots, lists and rules are in force")
    edge.app("open.edge.test", o, client_auth="off")
    yield edge.plain_port + 1
    o.stop()


def proxied(port, source):
    return Client(port, "open.edge.test", tls=False, before=f"PROXY TCP4 {source} 127.0.0.1 4000 80\r\n".encode())


def answers(port, source):
    with proxied(port, source) as c:
        try:
            return c.request("GET", "/").status == 200
        except Gone:
            return False


def block(edge, value, target="ip", mode="block", **more):
    return edge.api("POST", RULES, {"mode": mode, "configuration": {"target": target, "value": value}, **more})


def test_the_published_call_works_as_it_stands(edge, plain):
    assert answers(plain, "192.0.2.1")
    made = block(edge, "192.0.2.1")
    assert made["mode"] == "block" and made["configuration"] == {"target": "ip", "value": "192.0.2.1"}
    assert made["scope"]["type"] == "user" and "whitelist" in made["allowed_modes"] and made["paused"] is False
    assert not answers(plain, "192.0.2.1")
    assert answers(plain, "192.0.2.2")
    record = edge.wait_record(SourceIP="192.0.2.1", Action="block")
    assert record["Reason"] == "an access rule blocks the client's address"
    assert edge.api("DELETE", f"{RULES}/{made['id']}") == {"id": made["id"]}
    assert answers(plain, "192.0.2.1")


def test_connections_that_stand_are_ended(edge, plain):
    with proxied(plain, "198.51.100.7") as c, proxied(plain, "198.51.100.8") as other:
        assert c.request("GET", "/").status == 200
        assert other.request("GET", "/").status == 200
        made = block(edge, "198.51.100.7")
        with pytest.raises(Gone):
            c.request("GET", "/")
        assert other.request("GET", "/").status == 200
    edge.api("DELETE", f"{RULES}/{made['id']}")


def test_the_longest_prefix_counts_and_modes_change(edge, plain):
    wide = block(edge, "203.0.113.0/24", "ip_range", notes="a whole net")
    narrow = block(edge, "203.0.113.9", mode="whitelist")
    assert not answers(plain, "203.0.113.8")
    assert answers(plain, "203.0.113.9")
    assert edge.api("PATCH", f"{RULES}/{narrow['id']}", {"mode": "challenge"})["mode"] == "challenge"
    assert not answers(plain, "203.0.113.9")
    found = edge.api("GET", f"{RULES}?configuration.target=ip_range")
    assert [r["id"] for r in found] == [wide["id"]] and found[0]["notes"] == "a whole net"
    assert edge.api("GET", f"/accounts/{{account}}/firewall/access_rules/rules/{wide['id']}")["scope"]["type"] == "organization"
    for made in (wide, narrow):
        edge.api("DELETE", f"{RULES}/{made['id']}")


@pytest.mark.parametrize("target,value,words", [
    ("ip", "192.0.2.300", "is not an address"), ("ip", "2001:db8::1", "target ip6"), ("ip6", "192.0.2.1", "target ip"),
    ("ip", "192.0.2.0/24", "is not one address"), ("ip_range", "192.0.2.1/24", "without bits beyond its length"),
    ("ip_range", "2001:db8::/33", "steps of 4"), ("ip_range", "10.0.0.0/7", "8 to 32 bits"),
    ("country", "Germany", "two capital letters"), ("asn", "AS0", "such as AS64496"), ("asn", "x", "such as AS64496"),
    ("country", "DE", "geo.place"), ("asn", "AS64496", "geo.asn"),
])
def test_bad_sources_are_refused_with_their_reason(edge, target, value, words):
    with pytest.raises(Refused) as refused:
        block(edge, value, target)
    error = refused.value.errors[0]
    assert words in error["message"] and error["source"]["pointer"].startswith("/configuration/")


def test_countries_and_autonomous_systems_follow_their_databases(make_edge, tmp_path):
    place, asn = str(tmp_path / "place.mmdb"), str(tmp_path / "asn.mmdb")
    number = "autonomous_system_number"
    mmdb.write(place, "GeoLite2-Country", {"192.0.2.0/24": {"country": {"iso_code": "DE"}}, "198.51.100.0/24": {"country": {"iso_code": "CH"}},
                                           "2001:db8::/33": {"country": {"iso_code": "DE"}}})
    mmdb.write(asn, "GeoLite2-ASN", {"192.0.2.128/25": {number: 64500}, "203.0.113.0/24": {number: 64501}})
    e = make_edge(geo={"place": place, "asn": asn}, limits={"connections_per_address": 0})
    port = e.add_plain(proxy_protocol=True, trusted_proxies=["127.0.0.0/8"])
    e.start()
    o = Origin()
    e.app("open.edge.test", o, client_auth="off")
    with proxied(port, "192.0.2.7") as c:
        assert c.request("GET", "/").status == 200
        made = block(e, "DE", "country")
        with pytest.raises(Gone):
            c.request("GET", "/")
    assert made["configuration"] == {"target": "country", "value": "DE"}
    assert not answers(port, "192.0.2.200") and answers(port, "198.51.100.7")
    e.cli("access", "allow", "AS64500", check=0)
    assert answers(port, "192.0.2.200") and not answers(port, "192.0.2.7"), "an autonomous system is nearer than a country"
    single = block(e, "192.0.2.201")
    assert not answers(port, "192.0.2.201") and answers(port, "192.0.2.200")
    with pytest.raises(Refused) as refused:
        block(e, "FR", "country")
    assert "knows no network of FR" in refused.value.errors[0]["message"]
    mmdb.write(place, "GeoLite2-Country", {"192.0.2.0/24": {"country": {"iso_code": "CH"}}, "198.51.100.0/24": {"country": {"iso_code": "DE"}}})
    mark = len(e.logged())
    e.signal(signal.SIGHUP)
    e.wait_log("rules are in force", start=mark)
    assert answers(port, "192.0.2.7") and not answers(port, "198.51.100.7")
    e.boot["geo"] = {"asn": asn}
    e.write()
    e.signal(signal.SIGHUP)
    e.wait_log("needs? a database of addresses|no longer names")
    assert not answers(port, "198.51.100.7"), "what was read before stays"
    e.api("DELETE", f"{RULES}/{single['id']}")
    e.api("DELETE", f"{RULES}/{made['id']}")
    assert answers(port, "198.51.100.7") and answers(port, "192.0.2.201")
    e.cli("access", "remove", "AS64500", check=0)
    o.stop()


def test_one_prefix_has_one_rule(edge):
    made = block(edge, "192.0.2.200")
    with pytest.raises(Refused) as refused:
        block(edge, "192.0.2.200", mode="whitelist")
    assert refused.value.status == 409
    edge.api("DELETE", f"{RULES}/{made['id']}")


def test_the_command_line_blocks_allows_lists_and_removes(edge, plain):
    assert edge.cli("access", "block", "192.0.2.66", "2001:db8:66::/48", "--notes", "scans", check=0).stdout == \
        "192.0.2.66 blocked\n2001:db8:66::/48 blocked\n"
    listed = edge.cli("access", "list", check=0).stdout
    assert "192.0.2.66" in listed and "2001:db8:66::/48" in listed and "scans" in listed
    assert not answers(plain, "192.0.2.66")
    edge.cli("access", "remove", "192.0.2.66", "2001:db8:66::/48", check=0)
    assert answers(plain, "192.0.2.66")
    assert edge.cli("access", "remove", "192.0.2.66").returncode == 3
    assert "none" in edge.cli("shield", "status", check=0).stdout


def test_rules_are_in_force_after_a_kill(edge, plain):
    made = block(edge, "192.0.2.99")
    engine = edge.engine()
    os.kill(engine, signal.SIGKILL)
    until(lambda: edge.engine() not in (None, engine))
    edge.wait()
    assert not answers(plain, "192.0.2.99")
    edge.api("DELETE", f"{RULES}/{made['id']}")


# --- in the kernel ---

def ip(*words, check=True):
    return subprocess.run(["ip", *words], capture_output=True, text=True, check=check)


class Net:
    """A namespace with the edge and one with its clients, and a cable between."""

    def __init__(self):
        self.edge, self.clients = f"rfe{os.getpid()}", f"rfc{os.getpid()}"
        for n in (self.edge, self.clients):
            ip("netns", "add", n)
            ip("-n", n, "link", "set", "lo", "up")
        self.plug()

    def plug(self):
        ip("link", "add", "edge0", "netns", self.edge, "type", "veth", "peer", "name", "dev0", "netns", self.clients)
        ip("-n", self.edge, "addr", "add", "10.77.0.1/24", "dev", "edge0")
        ip("-n", self.edge, "link", "set", "edge0", "up")
        ip("-n", self.edge, "addr", "add", "fd77::1/64", "dev", "edge0", "nodad")
        for last in (2, 3):
            ip("-n", self.clients, "addr", "add", f"10.77.0.{last}/24", "dev", "dev0")
        ip("-n", self.clients, "addr", "add", "fd77::2/64", "dev", "dev0", "nodad")
        ip("-n", self.clients, "link", "set", "dev0", "up")

    def unplug(self):
        ip("-n", self.clients, "link", "del", "dev0")

    def inside(self, which, *command):
        return ["nsenter", f"--net=/run/netns/{which}", *command]

    def connects(self, port, source, seconds=1):
        """What becomes of a TCP connection from this source: "" where it gets through, else the error's name."""
        code = f"import socket; socket.create_connection(('10.77.0.1', {port}), {seconds}, ('{source}', 0))"
        done = subprocess.run(self.inside(self.clients, "/usr/bin/python3", "-c", code), capture_output=True, text=True, check=False)
        return done.stderr.strip().splitlines()[-1].split(":")[0] if done.returncode else ""

    def reaches(self, port, source, seconds=1):
        return not self.connects(port, source, seconds)

    def close(self):
        for n in (self.edge, self.clients):
            ip("netns", "del", n, check=False)


def unpin(pins):
    """What a daemon leaves in the kernel goes."""
    if os.path.isdir(pins):
        for f in os.listdir(pins):
            os.unlink(os.path.join(pins, f))
        os.rmdir(pins)


@pytest.fixture
def net():
    if os.geteuid() != 0:
        pytest.skip("needs root")
    n = Net()
    yield n
    n.close()


@pytest.fixture
def walled(net, make_edge):
    """An edge in a namespace, with the kernel filter on its interface."""
    pins = f"/sys/fs/bpf/rfscen{os.getpid()}"
    e = make_edge(shield={"interfaces": "edge0", "pins": pins}, floods={"sensitivity": "high"})
    e.boot["listeners"][0]["address"] = f"10.77.0.1:{e.port}"
    e.boot["api"]["listen"] = f"10.77.0.1:{e.api_port}"
    yield e
    unpin(pins)


def started(e, net, mode="generic"):
    e.start(wrapper=net.inside(net.edge))
    assert f"edge0 {mode}" in e.wait_log("kernel filter follows the access rules: (.*)").group(1)
    return e


def test_the_kernel_drops_what_is_blocked_and_spares_the_operator(net, walled):
    e = started(walled, net)
    assert net.reaches(e.port, "10.77.0.2") and net.reaches(e.port, "10.77.0.3")
    made = block(e, "10.77.0.2")
    assert not net.reaches(e.port, "10.77.0.2")
    assert net.reaches(e.port, "10.77.0.3")
    assert net.reaches(e.api_port, "10.77.0.2"), "the way of the operator is never filtered"
    counted = e.api("GET", "/accounts/{account}/shield")
    assert counted["in_kernel"] and counted["frames"]["denied"] > 0
    assert e.metric("ringfence_shield_frames_total", reason="denied", action="drop") > 0
    assert "denied" in e.cli("shield", "status", check=0).stdout
    e.api("DELETE", f"{RULES}/{made['id']}")
    assert net.reaches(e.port, "10.77.0.2")


def test_the_gate_outlives_engine_and_monitor(net, walled):
    e = started(walled, net)
    block(e, "10.77.0.2")
    os.kill(e.engine(), signal.SIGKILL)
    assert not net.reaches(e.port, "10.77.0.2", 0.3)
    e.kill()
    assert net.connects(e.port, "10.77.0.3") == "ConnectionRefusedError", "nothing of the daemon lives"
    assert net.connects(e.port, "10.77.0.2", 0.3) == "TimeoutError", "and the filter stands"
    e.close_api()
    started(e, net)
    assert not net.reaches(e.port, "10.77.0.2")
    assert net.reaches(e.port, "10.77.0.3")


def test_pinned_tables_of_another_version_stay_until_the_new_are_filled(net, walled):
    """As after an upgrade with another layout of the tables: what stood goes on with its own, and no frame of a denied source passes
    meanwhile."""
    e = started(walled, net)
    block(e, "10.77.0.2")
    e.kill()
    conf = os.path.join(e.boot["shield"]["pins"], "rf_conf")
    os.unlink(conf)
    subprocess.run(["bpftool", "map", "create", conf, "type", "array", "key", "4", "value", "12", "entries", "1", "name", "rf_conf"],
                   env={**os.environ, "PATH": os.environ["PATH"] + ":/usr/sbin"}, check=True)
    passed, over = [], threading.Event()

    def probe():
        while not over.is_set():
            passed.append(net.connects(e.port, "10.77.0.2", 0.05))

    prober = threading.Thread(target=probe)
    prober.start()
    e.close_api()
    mark = len(e.logged())
    started(e, net)
    e.wait_log("the pinned filter is of another version", start=mark)
    e.wait_log("the kernel filter stands on edge0", start=mark)
    over.set()
    prober.join()
    assert set(passed) == {"TimeoutError"}
    assert not net.reaches(e.port, "10.77.0.2") and net.reaches(e.port, "10.77.0.3")


def test_nft_is_chosen_where_the_filter_cannot_be_attached(net, walled):
    """Loopback has no native XDP: one interface that cannot have the filter brings nft for all."""
    e = walled
    e.boot["shield"].update(mode="native", interfaces="edge0:lo")
    started(e, net, "nft")
    shown = e.cli("shield", "status", check=0).stdout
    assert "edge0 nft" in shown and "lo nft" in shown and "the filter cannot be attached to lo: " in shown
    block(e, "10.77.0.2")
    assert not net.reaches(e.port, "10.77.0.2") and net.reaches(e.port, "10.77.0.3")


def test_an_interface_that_goes_and_comes_has_the_filter_again(net, walled):
    e = started(walled, net)
    block(e, "10.77.0.2")
    net.unplug()
    e.wait_log("no kernel filter on edge0: there is no network interface edge0")
    mark = len(e.logged())
    net.plug()
    e.wait_log("the kernel filter stands on edge0", start=mark)
    assert not net.reaches(e.port, "10.77.0.2")
    assert net.reaches(e.port, "10.77.0.3")


# --- rates and reflection ---

class Echo:
    """A UDP service in the edge's namespace that answers everything."""

    def __init__(self, net, port):
        code = ("import socket; s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM); s.bind(('10.77.0.1', %d)); print('up', flush=True)\n"
                "while True:\n d, a = s.recvfrom(2048)\n try: s.sendto(d, a)\n except OSError: pass" % port)
        self.net, self.port = net, port
        self.child = subprocess.Popen(net.inside(net.edge, "/usr/bin/python3", "-c", code), stdout=subprocess.PIPE)
        self.child.stdout.readline()

    def answers(self, source, count, sport=0):
        """How many of so many datagrams, sent at once, are answered."""
        code = ("import socket; s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM); s.bind(('%s', %d)); s.settimeout(0.5)\n"
                "for i in range(%d): s.sendto(b'x', ('10.77.0.1', %d))\n"
                "n = 0\ntry:\n  while n < %d: s.recv(10); n += 1\nexcept TimeoutError: pass\nprint(n)" % (source, sport, count, self.port, count))
        done = subprocess.run(self.net.inside(self.net.clients, "/usr/bin/python3", "-c", code), capture_output=True, text=True, check=True)
        return int(done.stdout)

    def close(self):
        self.child.kill()
        self.child.wait()


@pytest.fixture
def echo(net):
    e = Echo(net, 5683)
    yield e
    e.close()


def reloaded(e, **shield):
    e.boot["shield"].update(shield)
    e.write()
    mark = len(e.logged())
    e.signal(signal.SIGHUP)
    e.wait_log("rules are in force", start=mark)


def test_rates_and_reflection_hold_in_the_kernel_and_follow_a_reload(net, walled, echo):
    e = started(walled, net)
    assert echo.answers("10.77.0.2", 200) == 200 and echo.answers("10.77.0.2", 3, 1900) == 3
    reloaded(e, source_rate=50, reflection_ports="19:1900")
    assert 50 <= echo.answers("10.77.0.2", 200) <= 80, "one source has its rate"
    assert echo.answers("10.77.0.3", 40) == 40, "and another its own"
    assert echo.answers("10.77.0.3", 3, 1900) == 0, "answers that nobody asked for"
    assert net.reaches(e.api_port, "10.77.0.2"), "the way of the operator has no rate"
    frames = e.api("GET", "/accounts/{account}/shield")["frames"]
    assert frames["rate_source"] >= 120 and frames["reflection"] == 3
    allowed = block(e, "10.77.0.2", mode="whitelist")
    assert echo.answers("10.77.0.2", 200) == 200, "who is allowed has none"
    e.api("DELETE", f"{RULES}/{allowed['id']}")
    reloaded(e, source_rate=0, target_rate=60, reflection_ports="")
    assert echo.answers("10.77.0.3", 3, 1900) == 3
    assert 55 <= echo.answers("10.77.0.2", 100) + echo.answers("10.77.0.3", 100) <= 150, "all sources share the rate of a destination"
    assert e.api("GET", "/accounts/{account}/shield")["frames"]["rate_target"] > 0


# --- nft in the filter's place ---

TABLE = ["nft", "list", "table", "netdev", "ringfence"]

TRY = """
import socket, sys
def connects(to, port, source):
    try:
        socket.create_connection((to, port), 0.5, (source, 0)).close()
        return "yes"
    except OSError as e:
        return type(e).__name__
for line in sys.stdin:
    to, port, source = line.split()
    print(connects(to, int(port), source))
"""


def outcomes(net, *tries):
    """What becomes of connections, each to an address, a port, and from a source."""
    lines = "".join(f"{to} {port} {source}\n" for to, port, source in tries)
    return subprocess.run(net.inside(net.clients, "/usr/bin/python3", "-c", TRY), input=lines, capture_output=True, text=True, check=True).stdout.split()


@pytest.mark.parametrize("mode", ["generic", "nft"])
def test_the_same_traffic_has_the_same_end_by_each_filter(net, walled, serve, echo, mode):
    e = walled
    e.boot["shield"].update(mode=mode, syn_cookies="off", reflection_ports="1900", source_rate=80)
    for last in range(4, 8):
        ip("-n", net.clients, "addr", "add", f"10.77.0.{last}/24", "dev", "dev0")
        ip("-n", net.clients, "addr", "add", f"fd77::{last}/64", "dev", "dev0", "nodad")
    started(e, net, mode)
    tries = [("10.77.0.1", 7, f"10.77.0.{n}") for n in (2, 4, 5, 6)] + [("fd77::1", 7, f"fd77::{n}") for n in (2, 4, 5, 6)]
    assert outcomes(net, *tries) == ["yes"] * 8
    made = [block(e, "10.77.0.4/30", "ip_range"), block(e, "10.77.0.5", mode="whitelist"),
            block(e, "fd77::/64", "ip_range"), block(e, "fd77::5", "ip6", "whitelist")]
    assert outcomes(net, *tries) == ["yes", "TimeoutError", "yes", "TimeoutError", "TimeoutError", "TimeoutError", "yes", "TimeoutError"]
    assert outcomes(net, ("10.77.0.1", e.api_port, "10.77.0.4")) == ["yes"], "the way of the operator is never filtered"
    assert echo.answers("10.77.0.2", 3, 1900) == 0 and echo.answers("10.77.0.5", 3, 1900) == 3
    assert 80 <= echo.answers("10.77.0.2", 240) <= 130 and echo.answers("10.77.0.5", 200) == 200
    seen = until(lambda: (f := e.api("GET", "/accounts/{account}/shield"))["frames"]["allowed"] > 200 and f)
    assert seen["in_kernel"] and f"edge0 {mode}" in seen["gate"]
    assert seen["frames"]["denied"] >= 4 and seen["frames"]["reflection"] == 3 and seen["frames"]["rate_source"] >= 110
    for rule in made:
        e.api("DELETE", f"{RULES}/{rule['id']}")
    reloaded(e, source_rate=0, reflection_ports="")
    assert outcomes(net, *tries) == ["yes"] * 8
    assert echo.answers("10.77.0.2", 3, 1900) == 3 and echo.answers("10.77.0.2", 200) == 200


FRAGMENTS = """
import socket, struct, sys
s = socket.socket(socket.AF_PACKET, socket.SOCK_RAW)
s.bind(("dev0", 0))
eth, body = bytes.fromhex(sys.argv[1]) + bytes([2] * 6), struct.pack("!HHHH", 1, 777, 40, 0) + bytes(32)
def four(last, part, proto):
    h = struct.pack("!BBHHHBBH4B4B", 0x45, 0, 20 + len(body), 1, part, 64, proto, 0, 10, 77, 0, 2, 10, 77, 1, last)
    total = sum(struct.unpack("!10H", h))
    s.send(eth + bytes([8, 0]) + h[:10] + struct.pack("!H", ~((total & 0xffff) + (total >> 16)) & 0xffff) + h[12:] + body)
def six(last, part, proto):
    more = b"" if part is None else struct.pack("!BBHI", proto, 0, part, 7)
    at = [socket.inet_pton(socket.AF_INET6, ip) for ip in ("fd77::2", f"fd78::{last}")]
    s.send(eth + bytes([0x86, 0xdd]) + struct.pack("!IHBB", 6 << 28, len(more + body), 44 if more else proto, 64) + at[0] + at[1] + more + body)
for last, part, proto in (1, 0, 17), (2, 0x2000, 17), (3, 100, 17), (4, 100, 1):
    four(last, part, proto)
for last, part, proto in (1, None, 17), (2, 1, 17), (3, 800, 17), (4, 800, 58), (5, 800, 60):
    six(last, part, proto)
"""


def test_nft_counts_later_fragments_by_protocol_as_they_have_no_ports(net, walled):
    e = walled
    e.boot["shield"].update(mode="nft", syn_cookies="off", target_rate=100000)
    started(e, net, "nft")
    subprocess.run(net.inside(net.clients, "/usr/bin/python3", "-c", FRAGMENTS, mac(net).hex()), check=True)

    def elements(name):
        shown = subprocess.run(net.inside(net.edge, "nft", "list", "set", "netdev", "ringfence", name), capture_output=True, text=True, check=True).stdout
        return sorted(re.findall(r"((?:10[.]77[.]1[.]|fd78::)\S+ [.] [^,}]*?) limit", shown))

    until(lambda: "fd78::5 . ipv6-opts" in elements("other6"))
    assert elements("target4") == ["10.77.1.1 . udp . 777", "10.77.1.2 . udp . 777"]
    assert elements("other4") == ["10.77.1.3 . udp", "10.77.1.4 . icmp"]
    assert elements("target6") == ["fd78::1 . udp . 777", "fd78::2 . udp . 777"]
    assert elements("other6") == ["fd78::3 . udp", "fd78::4 . ipv6-icmp", "fd78::5 . ipv6-opts"]


def test_nft_is_chosen_where_the_filter_cannot_be(net, walled, tmp_path):
    e = walled
    e.boot["shield"]["pins"] = str(tmp_path / "pins")
    started(e, net, "nft")
    assert "is not on a bpf file system" in e.cli("shield", "status", check=0).stdout
    made = block(e, "10.77.0.2")
    assert not net.reaches(e.port, "10.77.0.2") and net.reaches(e.port, "10.77.0.3")
    e.api("DELETE", f"{RULES}/{made['id']}")
    assert net.reaches(e.port, "10.77.0.2")


def test_nft_stands_through_the_death_of_engine_and_monitor(net, walled):
    e = walled
    e.boot["shield"]["mode"] = "nft"
    started(e, net, "nft")
    shown = e.cli("shield", "status", check=0).stdout
    assert "edge0 nft (shield.mode says so)" in shown
    block(e, "10.77.0.2")
    assert not net.reaches(e.port, "10.77.0.2") and net.reaches(e.port, "10.77.0.3")
    os.kill(e.engine(), signal.SIGKILL)
    assert not net.reaches(e.port, "10.77.0.2", 0.3)
    e.kill()
    assert net.connects(e.port, "10.77.0.3") == "ConnectionRefusedError", "nothing of the daemon lives"
    assert net.connects(e.port, "10.77.0.2", 0.3) == "TimeoutError", "and nft stands"
    e.close_api()
    started(e, net, "nft")
    assert not net.reaches(e.port, "10.77.0.2") and net.reaches(e.port, "10.77.0.3")
    net.unplug()
    e.wait_log("no nft filter on edge0: there is no such network interface")
    net.plug()
    until(lambda: not net.reaches(e.port, "10.77.0.2", 0.3))
    assert net.reaches(e.port, "10.77.0.3")
    mark = len(e.logged())
    e.boot["shield"]["interfaces"] = ""
    e.write()
    e.signal(signal.SIGHUP)
    e.wait_log("rules are in force", start=mark)
    until(lambda: net.connects(e.port, "10.77.0.2", 0.3) != "TimeoutError")
    assert "hook ingress" not in subprocess.run(net.inside(net.edge, *TABLE), capture_output=True, text=True, check=True).stdout


def test_a_rule_ends_a_connection_that_stands_and_one_way_follows_the_other(net, walled, serve):
    e = walled
    e.boot["shield"]["mode"] = "nft"
    started(e, net, "nft")
    code = ("import socket, sys; s = socket.create_connection(('10.77.0.1', 7), 3); s.sendall(b'a'); print(s.recv(1), flush=True); sys.stdin.readline()\n"
            "s.settimeout(1); s.sendall(b'b')\ntry: print(s.recv(1))\nexcept TimeoutError: print('nothing')")
    with subprocess.Popen(net.inside(net.clients, "/usr/bin/python3", "-c", code), stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as c:
        assert c.stdout.readline() == "b'a'\n"
        block(e, "10.77.0.0/24", "ip_range")
        assert c.communicate("\n")[0] == "nothing\n"
    for mode in ("generic", "nft"):
        e.kill()
        e.close_api()
        e.boot["shield"]["mode"] = mode
        mark = len(e.logged())
        e.start(wrapper=net.inside(net.edge))
        e.wait_log(f"kernel filter follows the access rules: edge0 {mode}", start=mark)
        assert outcomes(net, ("10.77.0.1", 7, "10.77.0.2")) == ["TimeoutError"]
        until(lambda: (subprocess.run(net.inside(net.edge, *TABLE), capture_output=True, check=False).returncode == 0) == (mode == "nft"))
        until(lambda: ("xdp" in ip("-n", net.edge, "link", "show", "edge0").stdout) == (mode == "generic"))


# --- SYN cookies ---

def mac(net):
    shown = ip("-n", net.edge, "-o", "link", "show", "edge0").stdout
    return bytes.fromhex(shown.split("link/ether ")[1].split()[0].replace(":", ""))


class Flood:
    """SYNs from random sources to one address and port, until the end of the block."""

    def __init__(self, net, target, port):
        self.child = subprocess.Popen(net.inside(net.clients, "/usr/bin/python3", flood.__file__, "dev0", mac(net).hex(), target, str(port)))

    def __enter__(self):
        return self

    def __exit__(self, *unused):
        self.child.kill()
        self.child.wait()


def native_peer(net, directory):
    """A program at the other end of the cable, without which a native one sends nothing back."""
    source, program = os.path.join(directory, "pass.c"), os.path.join(directory, "pass.o")
    with open(source, "w") as f:
        f.write('__attribute__((section("xdp"), used)) int pass(void *c) { return 2; }\n')
    subprocess.run(["clang", "-O2", "-g", "-target", "bpf", "-c", source, "-o", program], check=True)
    ip("-n", net.clients, "link", "set", "dev0", "xdp", "object", program, "section", "xdp")


SERVE = """
import socket, threading
s = socket.create_server(('', 7), family=socket.AF_INET6, dualstack_ipv6=True)
print('up', flush=True)
def back(c):
    try:
        while d := c.recv(65536):
            c.sendall(d)
    except OSError:
        pass
    c.close()
while True:
    threading.Thread(target=back, args=(s.accept()[0],), daemon=True).start()
"""

TALK = """
import socket, sys, threading
s = socket.create_connection((sys.argv[1], 7), 20)
i = s.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 104)
data = bytes(range(256)) * 12000
threading.Thread(target=lambda: (s.sendall(data), s.shutdown(socket.SHUT_WR))).start()
got = b''
while d := s.recv(65536):
    got += d
print(i[5] & 7, i[6] & 15, i[6] >> 4, got == data)
"""


@pytest.fixture
def serve(net):
    """A TCP service in the edge's namespace that gives back what it gets."""
    child = subprocess.Popen(net.inside(net.edge, "/usr/bin/python3", "-c", SERVE), stdout=subprocess.PIPE)
    child.stdout.readline()
    yield child
    child.kill()
    child.wait()


def talk(net, address):
    """Three megabytes there and back: the connection's options (SACK 2, timestamps 1, scales 4), both scales, and whether all came."""
    done = subprocess.run(net.inside(net.clients, "/usr/bin/python3", "-c", TALK, address), capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout.split()


HOOK = """
import http.server, sys
class Hook(http.server.BaseHTTPRequestHandler):
    def do_POST(self):
        sys.stdout.write(self.rfile.read(int(self.headers['Content-Length'])).decode().replace('\\n', ' ') + '\\n')
        sys.stdout.flush()
        self.send_response(204)
        self.end_headers()
    def log_message(self, *_):
        pass
server = http.server.HTTPServer(('127.0.0.1', 8099), Hook)
print('ready', flush=True)
server.serve_forever()
"""


@pytest.fixture
def hook(net):
    """A webhook in the edge's namespace: a function that gives all that it was told."""
    told = []
    child = subprocess.Popen(net.inside(net.edge, "/usr/bin/python3", "-c", HOOK), stdout=subprocess.PIPE, text=True)
    child.stdout.readline()
    reader = threading.Thread(target=lambda: told.extend(json.loads(line) for line in iter(child.stdout.readline, "")), daemon=True)
    reader.start()
    yield told
    child.kill()
    child.wait()
    reader.join()


def counted(e, why):
    return e.api("GET", "/accounts/{account}/shield")["frames"][why]


NO_SYNPROXY = """#!/bin/sh
text=$(cat)
case $text in
*synproxy*) echo 'Error: Could not process rule: No such file or directory' >&2; exit 1;;
esac
printf '%s\\n' "$text" | {real} "$@"
"""


def test_where_the_kernel_has_no_synproxy_nft_filters_without_cookies_and_says_so(net, walled):
    e, nft = walled, os.path.realpath(shutil.which("nft", path="/usr/sbin:/sbin:/usr/bin"))
    real, fake = os.path.join(e.dir, "nft"), os.path.join(e.dir, "no-synproxy")
    e.boot["shield"].update(mode="nft", syn_rate=50)
    shutil.copy(nft, real)
    with open(fake, "w") as f:
        f.write(NO_SYNPROXY.format(real=real))
    os.chmod(fake, 0o755)
    e.start(wrapper=net.inside(net.edge, "unshare", "--mount", "sh", "-c", 'mount --bind "$0" "$1" && shift && exec "$@"', fake, nft))
    e.wait_log("kernel filter follows the access rules: edge0 nft")
    e.wait_log("SYN cookies only by the kernel's own means, when a listener's queue is full: nft refuses the policy: .*No such file or directory")
    assert e.api("GET", "/accounts/{account}/shield")["gate"].endswith("; SYN cookies: kernel")
    assert "SYN cookies: kernel" in e.cli("shield", "status", check=0).stdout
    block(e, "10.77.0.2")
    assert not net.reaches(e.port, "10.77.0.2") and net.reaches(e.port, "10.77.0.3"), "all else is in force"
    tables = subprocess.run(net.inside(net.edge, "nft", "list", "tables"), capture_output=True, text=True, check=True).stdout
    assert "table netdev ringfence" in tables and "table inet ringfence" not in tables


@pytest.mark.parametrize("mode, address", [(mode, address) for mode in ("generic", "native") for address in ("10.77.0.1", "fd77::1")] + [("nft", "10.77.0.1")])
def test_syn_cookies_let_clients_in_during_a_flood(net, walled, serve, mode, address):
    e = walled
    e.boot["shield"].update(mode=mode, syn_rate=50)
    if mode == "native":
        native_peer(net, e.dir)
    started(e, net, mode)
    assert f"SYN cookies: {'nft' if mode == 'nft' else 'filter'}" in e.cli("shield", "status", check=0).stdout
    plain = talk(net, address)
    assert plain[3] == "True" and counted(e, "cookie") == 0
    with Flood(net, address, 7):
        until(lambda: counted(e, "cookie") > 2000)
        cookie, said = ["7", plain[1] if mode == "nft" else "7", plain[2], "True"], []
        while said.count(cookie) < 3 and len(said) < 20:  # one that comes when the flood rests, for want of a processor, needs no cookie
            said.append(talk(net, address))
        assert said.count(cookie) == 3 and all(one in (cookie, plain) for one in said), "all options of a usual client"
        attack = until(lambda: [a for a in e.api("GET", "/accounts/{account}/attacks") if a["vector"] == "syn_flood"])[0]
        assert attack["status"] == "active" and attack["counter"]["name"] == "cookie" and attack["started_at"]
    assert counted(e, "cookie_good") >= 3
    attack = until(lambda: [a for a in e.api("GET", "/accounts/{account}/attacks?status=ended") if a["vector"] == "syn_flood"], 20)[0]
    assert attack["packets"] > 2000 and attack["peak_packets_per_second"] >= 1000 and attack["ended_at"]
    assert e.wait_record(AttackVector="syn_flood", AttackEvent="end")["AttackID"] == attack["id"]


def test_nft_lets_clients_in_during_a_flood_over_ipv6_and_leaves_no_trace_when_it_is_off(net, walled, serve):
    e = walled
    e.boot["shield"].update(mode="nft", syn_rate=50)
    started(e, net, "nft")
    table = ["nft", "list", "table", "inet", "ringfence"]
    plain = talk(net, "fd77::1")
    with Flood(net, "fd77::1", 7):
        until(lambda: "fd77::1 . 7 expires" in subprocess.run(net.inside(net.edge, *table), capture_output=True, text=True, check=True).stdout)
        for _ in range(3):
            assert talk(net, "fd77::1") == ["7", plain[1], plain[2], "True"], "all options of a usual client"
    assert counted(e, "cookie_good") >= 3
    reloaded(e, syn_cookies="off")
    until(lambda: subprocess.run(net.inside(net.edge, *table), capture_output=True, check=False).returncode != 0)
    assert talk(net, "fd77::1")[3] == "True"


def test_a_flood_of_frames_is_reported_as_it_is_and_told_to_the_webhook(net, walled, serve, hook):
    e = walled
    e.boot["shield"].update(syn_rate=50)
    e.boot["alerts"] = {"webhook": "http://127.0.0.1:8099/"}
    started(e, net, "generic")

    def attack():
        return [a for a in e.api("GET", "/accounts/{account}/attacks") if a["vector"] == "syn_flood"][0]
    with Flood(net, "10.77.0.1", 7):
        until(lambda: counted(e, "cookie") > 2000)
        first = until(lambda: [a for a in e.api("GET", "/accounts/{account}/attacks") if a["vector"] == "syn_flood"])[0]
        until(lambda: attack()["packets"] > first["packets"] + 2000)
        now = attack()
        assert now["status"] == "active" and now["packets_per_second"] > 0 and now["megabits_per_second"] > 0
        assert now["counter"]["threshold"] == 1000 and now["counter"]["usual"] == 0
        until(lambda: hook)
    until(lambda: len(hook) == 2, 30)
    assert [h["alert_event"] for h in hook] == ["ALERT_STATE_EVENT_START", "ALERT_STATE_EVENT_END"]
    for h in hook:
        assert h["alert_type"] == "advanced_ddos_attack_l4_alert" and h["alert_correlation_id"] == first["id"]
        d = h["data"]
        assert d["attack_id"] == first["id"] and d["attack_vector"] == "syn_flood" and d["protocol"] == "TCP" and d["rule_id"] == "cookie"
        assert d["packets_per_second"] >= 1000 and d["megabits_per_second"] > 0 and d["start_time"] and d["mitigation"] == "block"
    assert not hook[0]["data"]["end_time"] and hook[1]["data"]["end_time"]
    assert hook[1]["data"]["packets_per_second"] == attack()["peak_packets_per_second"]


def test_syn_cookies_take_clients_without_options_and_no_forged_numbers(net, walled, serve):
    e = walled
    e.boot["shield"].update(syn_cookies="always")
    started(e, net)
    for option, left in (("timestamps", "0"), ("sack", "5"), ("window_scaling", "3")):
        subprocess.run(net.inside(net.clients, "sysctl", "-qw", f"net.ipv4.tcp_{option}=0"), check=True)
        assert talk(net, "10.77.0.1")[::3] == [left, "True"], option
        subprocess.run(net.inside(net.clients, "sysctl", "-qw", f"net.ipv4.tcp_{option}=1"), check=True)
    assert counted(e, "cookie_good") >= 3
    assert net.connects(9, "10.77.0.2") == "ConnectionRefusedError", "closed ports stay closed"
    before = counted(e, "cookie_bad")
    subprocess.run(net.inside(net.clients, "/usr/bin/python3", flood.__file__, "dev0", mac(net).hex(), "10.77.0.1", "7", "ack", "500"), check=True)
    assert counted(e, "cookie_bad") >= before + 500
    reloaded(e, syn_cookies="off")
    before = counted(e, "cookie")
    assert talk(net, "10.77.0.1")[3] == "True" and counted(e, "cookie") == before
