"""Devices of ours behind an edge that is their router: who scans or floods is throttled, then quarantined, and telnet never leaves."""
import contextlib
import ctypes
import http.server
import json
import os
import signal
import subprocess
import threading
import time

import pytest

from client import Client, Gone
from edge import free_port, until
from test_access import ip, unpin
from test_fleet import attacks, is_quarantined_soon, state

HOST = "behind.edge.test"


def move(namespace):
    """This thread, and those that it starts, are in this network namespace from here on."""
    if ctypes.CDLL(None, use_errno=True).setns(namespace, 0x40000000) != 0:
        raise OSError(ctypes.get_errno(), "setns")


@contextlib.contextmanager
def enter(namespace):
    """In another network namespace, until it is left."""
    with open("/proc/thread-self/ns/net") as own, open(f"/run/netns/{namespace}") as other:
        move(other.fileno())
        try:
            yield
        finally:
            move(own.fileno())


def within(namespace, what):
    """What `what()` gives, called in another network namespace."""
    with enter(namespace):
        return what()


class Routed:
    """Devices, the edge as their router, and all the world, each a namespace; the world counts what arrives."""

    def __init__(self):
        self.devices, self.edge, self.world = (f"rf{kind}{os.getpid()}" for kind in "dew")
        for n in (self.devices, self.edge, self.world):
            ip("netns", "add", n)
            ip("-n", n, "link", "set", "lo", "up")
        self.cable(self.edge, "edge0", "10.78.0.1/24", self.devices, "dev0", ["10.78.0.%d/24" % n for n in range(2, 10)])
        self.cable(self.edge, "out0", "10.79.0.1/24", self.world, "far0", ["10.79.0.2/24"])
        for n, kind, address in ((self.edge, "edge0", "fd78::1"), (self.devices, "dev0", "fd78::2"), (self.edge, "out0", "fd79::1"),
                                 (self.world, "far0", "fd79::2")):
            ip("-n", n, "addr", "add", address + "/64", "dev", kind, "nodad")
        ip("-n", self.devices, "route", "add", "default", "via", "10.78.0.1")
        ip("-n", self.devices, "route", "add", "default", "via", "fd78::1")
        ip("-n", self.world, "route", "add", "default", "via", "10.79.0.1")
        ip("-n", self.edge, "route", "add", "10.80.0.0/16", "via", "10.79.0.2")
        ip("-n", self.world, "route", "add", "default", "via", "fd79::1")
        ip("-n", self.edge, "route", "add", "fd80::/64", "via", "fd79::2")
        for net in ("10.80.0.0/16", "fd80::/64"):
            ip("-n", self.world, "route", "add", "local", net, "dev", "lo")
        self.run(self.edge, "sysctl", "-qw", "net.ipv4.ip_forward=1", "net.ipv6.conf.all.forwarding=1")
        self.run(self.world, "nft", "add table inet seen; add counter inet seen telnet; add counter inet seen every;"
                 "add chain inet seen in { type filter hook input priority 0; };"
                 "add rule inet seen in tcp dport { 23, 2323 } counter name telnet; add rule inet seen in meta l4proto { tcp, udp } counter name every")

    @staticmethod
    def cable(one, name, address, other, its, addresses):
        ip("link", "add", name, "netns", one, "type", "veth", "peer", "name", its, "netns", other)
        ip("-n", one, "addr", "add", address, "dev", name)
        for a in addresses:
            ip("-n", other, "addr", "add", a, "dev", its)
        ip("-n", one, "link", "set", name, "up")
        ip("-n", other, "link", "set", its, "up")

    @staticmethod
    def inside(which, *command):
        return ["nsenter", f"--net=/run/netns/{which}", *command]

    def run(self, which, *command):
        return subprocess.run(self.inside(which, *command), check=True, capture_output=True, text=True).stdout

    def arrived(self, what="telnet"):
        listed = json.loads(self.run(self.world, "nft", "-j", "list", "counter", "inet", "seen", what))
        return next(c["counter"]["packets"] for c in listed["nftables"] if "counter" in c)

    def close(self):
        for n in (self.devices, self.edge, self.world):
            ip("netns", "del", n, check=False)


SCAN = """
import socket, sys, time
source, ports, count, seconds = sys.argv[1], [int(p) for p in sys.argv[2].split(",")], int(sys.argv[3]), float(sys.argv[4])
end = time.monotonic() + seconds
print(time.time(), flush=True)
while time.monotonic() < end:
    tried = []
    for i in range(count):
        for port in ports:
            s = socket.socket(socket.AF_INET6 if ":" in source else socket.AF_INET)
            s.setblocking(False)
            s.bind((source, 0))
            s.connect_ex((f"fd80::{i + 1:x}" if ":" in source else f"10.80.{i // 200}.{i % 200 + 1}", port))
            tried.append(s)
    time.sleep(0.3)
    for s in tried:
        s.close()
"""


class Scan:
    """A device that asks so many addresses, again and again for some seconds."""

    def __init__(self, net, source, ports, count, seconds=4):
        self.child = subprocess.Popen(net.inside(net.devices, "/usr/bin/python3", "-c", SCAN, source, ports, str(count), str(seconds)),
                                      stdout=subprocess.PIPE, text=True)
        self.first = float(self.child.stdout.readline())  # when its first packet was about to be sent

    def end(self):
        self.child.kill()
        self.child.wait()


@pytest.fixture
def net():
    if os.geteuid() != 0:
        pytest.skip("needs root")
    n = Routed()
    yield n
    n.close()


@pytest.fixture
def routing(net, make_edge, tmp_path):
    """An edge that routes for its devices, with the kernel filter towards them, and an origin beside it."""
    pins, port = f"/sys/fs/bpf/rffleet{os.getpid()}", free_port()
    (tmp_path / "index.html").write_text("fine")
    origin = subprocess.Popen(net.inside(net.edge, "/usr/bin/python3", "-m", "http.server", "--bind", "127.0.0.1", "-d", str(tmp_path), str(port)),
                              stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    e = make_edge(shield={"interfaces": "edge0", "pins": pins}, floods={"sensitivity": "high", "learn": "1s"})
    e.boot["listeners"][0]["address"] = f"10.78.0.1:{e.port}"
    e.boot["api"]["listen"] = f"10.78.0.1:{e.api_port}"
    e.origin_port = port
    yield e
    origin.kill()
    origin.wait()
    unpin(pins)


def started(e, net, mode="generic"):
    e.start(wrapper=net.inside(net.edge))
    assert f"edge0 {mode}" in e.wait_log("kernel filter follows the access rules: (.*)").group(1)
    e.app(HOST, f"http://127.0.0.1:{e.origin_port}")
    return e


def live(e, net, device, source):
    """A connection of a device from this address, as it has one all day."""
    c = within(net.devices, lambda: Client(e.port, HOST, device, address="10.78.0.1", source=source))
    assert c.get("/").status == 200
    return c


def reaches(net, source, port=80):
    """Does something of this source reach the world?"""
    before = net.arrived("every")
    within(net.devices, lambda: subprocess.run(["/usr/bin/python3", "-c", SCAN, source, str(port), "1", "0.1"], check=True, stdout=subprocess.DEVNULL))
    return net.arrived("every") > before


def test_telnet_never_leaves_and_who_tries_is_quarantined(net, routing):
    e = started(routing, net)
    hacked, calm, meter = e.device("hacked"), e.device("calm"), e.device("meter", "meters")
    e.cli("class", "edit", "meters", "--flood-exempt", check=0)
    with live(e, net, hacked, "10.78.0.2") as h, live(e, net, calm, "10.78.0.3") as c, live(e, net, meter, "10.78.0.4"):
        assert reaches(net, "10.78.0.2") and reaches(net, "10.78.0.3")
        at, = e.api("GET", f"/accounts/{{account}}/devices/{hacked.id}")["live"]["addresses"]
        assert at == {"address": "10.78.0.2", "connections": 1, "bound": False, "own": True}
        scan = Scan(net, "10.78.0.2", "23,2323", 200)
        is_quarantined_soon(e, hacked, scan.first)
        scan.end()
        assert net.arrived() == 0, "not one of them has left"
        assert e.api("GET", "/accounts/{account}/shield")["frames"]["fleet_port"] >= 200
        with pytest.raises(Gone):
            h.get("/")
        until(lambda: attacks(e, hacked)[0]["status"] == "ended")
        attack, = attacks(e, hacked)
        assert attack["vector"] == "device_scan" and attack["counter"]["name"] == "scanned_targets" and attack["device_id"] == hacked.id
        assert attack["measure"] == "the device was throttled, then quarantined"
        assert e.api("GET", f"/accounts/{{account}}/devices/{hacked.id}")["reason"].startswith(f"attack {attack['id']}: ")
        assert attack["reason"].endswith("destinations at ports that bots scan, usually 0")
        record = e.wait_record(AttackVector="device_scan", DeviceID=hacked.id)
        assert record["Reason"].startswith(attack["reason"])
        assert e.metric("ringfence_attacks_total", vector="device_scan") == 1
        assert not reaches(net, "10.78.0.2"), "nothing of it leaves any more"
        assert c.get("/").status == 200 and reaches(net, "10.78.0.3") and state(e, calm) == "active"

        Scan(net, "10.78.0.4", "23", 100, 1).child.wait()
        time.sleep(1)
        assert state(e, meter) == "active" and attacks(e, meter) == [] and net.arrived() >= 100, "an exempt class is left alone"

    e.cli("device", "activate", "hacked", check=0)
    with live(e, net, hacked, "10.78.0.2"):
        until(lambda: reaches(net, "10.78.0.2"), 3)
        assert state(e, hacked) == "active"


def test_a_scan_of_many_addresses_at_other_ports(net, routing):
    e = started(routing, net)
    hacked = e.device("hacked")
    with live(e, net, hacked, "10.78.0.2"):
        scan = Scan(net, "10.78.0.2", "80,8080", 100)
        is_quarantined_soon(e, hacked, scan.first)
        scan.end()
    attack, = attacks(e, hacked)
    assert attack["vector"] == "device_scan" and attack["counter"]["name"] == "targets"


def test_telnet_by_ipv6(net, routing):
    e = started(routing, net)
    hacked = e.device("hacked")
    e.cli("device", "bind", "hacked", "--address", "fd78::2", check=0)
    assert until(lambda: reaches(net, "fd78::2")), "once neighbours have found each other"
    scan = Scan(net, "fd78::2", "23,2323", 100)
    until(lambda: state(e, hacked) == "quarantined")
    scan.end()
    assert net.arrived() == 0
    time.sleep(0.3)
    assert not reaches(net, "fd78::2")


MIRAI = """
import random, socket, struct, time
def folded(b):
    total = sum(struct.unpack(f"!{len(b) // 2}H", b))
    while total >> 16:
        total = (total & 0xffff) + (total >> 16)
    return ~total & 0xffff
s = socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_TCP)
s.bind(("10.78.0.2", 0))
for i in range(20):
    to = socket.inet_aton(f"10.80.0.{i % 4 + 1}")
    tcp = struct.pack("!HH4sIBBHHH", random.randrange(1024, 65536), 8081, to, 0, 5 << 4, 2, 5840, 0, 0)
    tcp = tcp[:16] + struct.pack("!H", folded(socket.inet_aton("10.78.0.2") + to + struct.pack("!HH", 6, 20) + tcp)) + tcp[18:]
    s.sendto(tcp, (socket.inet_ntoa(to), 0))
    time.sleep(0.1)
"""


class Webhook(http.server.BaseHTTPRequestHandler):
    posted = []

    def do_POST(self):
        Webhook.posted.append(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
        self.send_response(204)
        self.end_headers()

    def log_message(self, *_):
        pass


def test_the_scanner_of_a_known_bot_is_told_by_its_frames(net, routing):
    server = within(net.edge, lambda: http.server.HTTPServer(("127.0.0.1", 0), Webhook))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    routing.boot["alerts"] = {"webhook": f"http://127.0.0.1:{server.server_port}/"}
    e = started(routing, net)
    hacked = e.device("hacked")
    with live(e, net, hacked, "10.78.0.2"):
        before = net.arrived("every")
        first = time.time()
        bot = subprocess.Popen(net.inside(net.devices, "/usr/bin/python3", "-c", MIRAI))
        is_quarantined_soon(e, hacked, first)
        bot.wait()
        assert net.arrived("every") == before, "not one of them has left"
    attack, = attacks(e, hacked)
    assert attack["vector"] == "device_bot" and attack["reason"] == "frames of the bot mirai"
    assert e.api("GET", "/accounts/{account}/shield")["frames"]["fleet_bot"] >= 2
    until(lambda: len(Webhook.posted) == 2)
    server.shutdown()
    first, last = Webhook.posted
    assert first["alert_type"] == "advanced_ddos_attack_l4_alert" and first["alert_event"] == "ALERT_STATE_EVENT_START"
    assert first["text"] == f"device_bot by device:{hacked.id} has begun: frames of the bot mirai" and last["alert_event"].endswith("_END")
    assert first["data"]["device_id"] == hacked.id and first["data"]["reason"] == "frames of the bot mirai"


def test_settings_follow_a_reload(net, routing):
    e = started(routing, net)
    e.device("lamp")
    e.cli("device", "bind", "lamp", "--address", "10.78.0.7", check=0)
    assert not reaches(net, "10.78.0.7", 23)
    e.boot["fleet"] = {"ports": "8081", "scan_ports": ""}
    e.write()
    mark = len(e.logged())
    e.signal(signal.SIGHUP)
    e.wait_log("rules are in force", start=mark)
    assert reaches(net, "10.78.0.7", 23) and not reaches(net, "10.78.0.7", 8081)


def test_an_address_of_several_devices_is_throttled_at_most(net, routing):
    e = started(routing, net)
    one, two = e.device("one"), e.device("two")
    with live(e, net, one, "10.78.0.5") as a, live(e, net, two, "10.78.0.5") as b:
        scan = Scan(net, "10.78.0.5", "23,80", 200, 6)
        found = until(lambda: e.api("GET", "/accounts/{account}/attacks?host=address:10.78.0.5"))
        assert found[0]["vector"] == "device_scan" and "throttled" in found[0]["measure"] and not found[0].get("device_id")
        time.sleep(2)
        before = net.arrived("every")
        time.sleep(2)
        assert net.arrived("every") - before <= 40, "five a second for each of the two"
        assert a.get("/").status == 200 and b.get("/").status == 200
        assert state(e, one) == state(e, two) == "active" and net.arrived() == 0
        scan.end()


def test_what_is_not_known_yet_but_of_the_fleet(net, routing):
    routing.boot["fleet"] = {"networks": "10.78.0.0/24", "ports": "23:2323"}
    e = started(routing, net)
    scan = Scan(net, "10.78.0.6", "23,2323", 50, 6)
    until(lambda: e.api("GET", "/accounts/{account}/attacks?host=address:10.78.0.6"))
    scan.end()
    assert net.arrived() == 0


def test_who_is_held_stays_so_when_nothing_of_the_daemon_lives(net, routing):
    e = started(routing, net)
    hacked = e.device("hacked")
    with live(e, net, hacked, "10.78.0.2"):
        scan = Scan(net, "10.78.0.2", "23", 100)
        until(lambda: state(e, hacked) == "quarantined")
        scan.end()
    until(lambda: not reaches(net, "10.78.0.2"), 3)
    e.kill()
    assert not reaches(net, "10.78.0.2") and reaches(net, "10.78.0.3")
    e.close_api()
    e.start(wrapper=net.inside(net.edge))
    time.sleep(1)
    assert not reaches(net, "10.78.0.2") and state(e, hacked) == "quarantined"
    e.cli("device", "activate", "hacked", check=0)
    until(lambda: reaches(net, "10.78.0.2"), 3)


def test_an_address_that_is_bound_to_a_device(net, routing):
    e = started(routing, net)
    hacked = e.device("hacked")
    e.cli("device", "bind", "hacked", "--address", "10.78.0.7", check=0)
    assert "address" in e.cli("device", "credentials", "hacked", check=0).stdout
    other = e.device("other")
    assert "names the device" in e.cli("device", "bind", "other", "--address", "10.78.0.7").stderr
    assert "is no address" in e.cli("device", "bind", "other", "--address", "10.78.0").stderr
    assert "1 addresses, 0 of several" in e.cli("shield", "status", check=0).stdout
    scan = Scan(net, "10.78.0.7", "23", 100)
    until(lambda: state(e, hacked) == "quarantined")
    scan.end()
    assert net.arrived() == 0 and not reaches(net, "10.78.0.7") and state(e, other) == "active"
    e.kill()
    e.close_api()
    e.start(wrapper=net.inside(net.edge))
    assert not reaches(net, "10.78.0.7"), "it is state, and so there again"
    bound = e.api("GET", f"/accounts/{{account}}/devices/{hacked.id}/credentials")
    address, = [c for c in bound if c["kind"] == "address"]
    assert address["value"] == "10.78.0.7"
    e.api("POST", f"/accounts/{{account}}/devices/{hacked.id}/activate", {})
    until(lambda: reaches(net, "10.78.0.7"), 3)
    e.api("DELETE", f"/accounts/{{account}}/devices/{hacked.id}/credentials/{address['id']}")


FLOOD = """
import socket, time
s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
s.bind(("10.78.0.8", 0))
end = time.monotonic() + 6
while time.monotonic() < end:
    for _ in range(500):
        s.sendto(b"x" * 64, ("10.80.0.1", 7777))
    time.sleep(0.02)
"""


def test_a_flood_outward(net, routing):
    routing.boot["fleet"] = {"datagram_rate": 200}  # so that it is one on a busy machine too
    e = started(routing, net)
    hacked = e.device("hacked")
    with live(e, net, hacked, "10.78.0.8"):
        time.sleep(1.5)
        first = time.time()
        flood = subprocess.Popen(net.inside(net.devices, "/usr/bin/python3", "-c", FLOOD))
        is_quarantined_soon(e, hacked, first)
        time.sleep(0.3)
        before = net.arrived("every")
        time.sleep(1)
        assert net.arrived("every") - before < 5, "nothing of it leaves any more"
        flood.kill()
        flood.wait()
    attack, = attacks(e, hacked)
    assert attack["vector"] == "device_flood" and attack["counter"]["name"] == "datagrams_per_second"


def test_nft_holds_the_networks_of_the_fleet_and_says_what_it_does_not_see(net, routing):
    routing.boot["fleet"] = {"networks": "10.78.0.0/24"}
    routing.boot["shield"]["mode"] = "nft"
    e = started(routing, net, "nft")
    hacked = e.device("hacked")
    with live(e, net, hacked, "10.78.0.2"):
        Scan(net, "10.78.0.2", "23,2323", 100, 1).child.wait()
        assert net.arrived() == 0 and reaches(net, "10.78.0.2")
    assert until(lambda: e.api("GET", "/accounts/{account}/shield")["frames"]["fleet_port"] >= 200)
    assert "scans, floods" in e.cli("shield", "status", check=0).stdout


BURST = """
import socket, sys, time
s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
s.bind((sys.argv[1], 0))
for _ in range(20):
    for _ in range(20):
        s.sendto(b"x" * 64, ("10.80.0.1", 7777))
    time.sleep(0.1)
"""


def left_of_burst(net, source):
    """How many of 400 datagrams, sent in two seconds, leave."""
    before = net.arrived("every")
    subprocess.run(net.inside(net.devices, "/usr/bin/python3", "-c", BURST, source), check=True)
    return net.arrived("every") - before


def test_nft_lets_exempt_devices_alone_slows_throttled_ones_and_holds_those_in_quarantine(net, routing):
    routing.boot["fleet"] = {"networks": "10.78.0.0/24"}
    routing.boot["shield"]["mode"] = "nft"
    e = started(routing, net, "nft")
    hacked, calm, meter = e.device("hacked"), e.device("calm"), e.device("meter", "meters")
    e.cli("class", "edit", "meters", "--flood-exempt", check=0)
    with live(e, net, hacked, "10.78.0.2") as h, live(e, net, calm, "10.78.0.3") as c, live(e, net, meter, "10.78.0.4"):
        def telnet_of_an_exempt_class_leaves():
            before = net.arrived()
            Scan(net, "10.78.0.4", "23", 5, 0.1).child.wait()
            return net.arrived() > before
        until(telnet_of_an_exempt_class_leaves)
        before = net.arrived()
        Scan(net, "10.78.0.3", "23", 5, 0.1).child.wait()
        assert net.arrived() == before, "of another it does not"
        assert left_of_burst(net, "10.78.0.2") == 400
        assert h.request("GET", "/", [("User-Agent", "Hello, World")]).status == 200, "what only a bot sends: it is throttled"
        until(lambda: "10.78.0.2 : goto slow4x1" in homes(net))
        assert left_of_burst(net, "10.78.0.2") <= 5 + 5 * 4 + 5, "five a second of them leave"
        assert left_of_burst(net, "10.78.0.3") == 400 and c.get("/").status == 200, "a neighbour has all that it had"
        e.cli("device", "quarantine", "hacked", check=0)
        until(lambda: "10.78.0.2 : goto held" in homes(net), 3)
        assert left_of_burst(net, "10.78.0.2") == 0 and not reaches(net, "10.78.0.2"), "nothing of it leaves"
        assert until(lambda: e.api("GET", "/accounts/{account}/shield")["frames"]["fleet"] >= 700)
        os.kill(e.engine(), signal.SIGKILL)
        assert left_of_burst(net, "10.78.0.2") == 0, "also while nothing of the engine lives"
        e.wait()
        e.api("POST", f"/accounts/{{account}}/devices/{hacked.id}/activate", {})
    with live(e, net, hacked, "10.78.0.2"):
        until(lambda: "10.78.0.2" not in homes(net))
        assert left_of_burst(net, "10.78.0.2") == 400


def homes(net):
    return net.run(net.edge, "nft", "list", "map", "netdev", "ringfence", "home4")
