"""UDP ports: sessions between real clients and origins, through sockets of single ports and through steering."""
import os
import signal
import socket
import struct
import subprocess
import threading
import time

import pytest

from edge import free_port, until
from test_access import net, unpin  # noqa: F401

SPP = struct.Struct("!H16s16sHH")


class Origin:
    """A UDP server that answers each datagram by answer(bytes, peer); None: with silence. Keeps what it has seen."""

    def __init__(self, answer=lambda data, peer: b"re:" + data, address="127.0.0.1", port=0):
        self.answer, self.seen = answer, []
        self.socket = socket.socket(socket.AF_INET6 if ":" in address else socket.AF_INET, socket.SOCK_DGRAM)
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4 << 20)
        self.socket.bind((address, port))
        self.port = self.socket.getsockname()[1]
        self.url = f"udp://[{address}]:{self.port}" if ":" in address else f"udp://{address}:{self.port}"
        self.thread = threading.Thread(target=self.serve, daemon=True)
        self.thread.start()

    def serve(self):
        while True:
            try:
                data, peer = self.socket.recvfrom(65535)
            except OSError:
                return
            if data == b"stop" and peer[1] == self.port:
                return
            self.seen.append((data, peer))
            back = self.answer(data, peer)
            if back is not None:
                self.socket.sendto(back, peer)

    def stop(self):
        self.socket.sendto(b"stop", self.socket.getsockname()[:2])
        self.thread.join(5)
        self.socket.close()


class Device:
    """A client's socket, connected: what comes from anywhere else than where it sends is not seen."""

    def __init__(self, port, address="127.0.0.1", source=None):
        self.socket = socket.socket(socket.AF_INET6 if ":" in address else socket.AF_INET, socket.SOCK_DGRAM)
        if source:
            self.socket.bind((source, 0))
        self.socket.connect((address, port))
        self.socket.settimeout(2)
        self.port = self.socket.getsockname()[1]

    def ask(self, data, seconds=2):
        self.socket.settimeout(seconds)
        self.socket.send(data)
        try:
            return self.socket.recv(65535)
        except (TimeoutError, ConnectionRefusedError):
            return None

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.socket.close()


@pytest.fixture(scope="module")
def boot():
    return {"listeners": [], "ports": {"steer": False}}


@pytest.fixture(scope="module")
def edge(boot, tmp_path_factory):
    from edge import Edge
    e = Edge(ports=boot["ports"], shield={"pins": str(tmp_path_factory.mktemp("pins"))})
    e.boot["listeners"] += [{"name": "ports4", "address": "127.0.0.1:0", "protocol": "ports"},
                            {"name": "ports6", "address": "[::1]:0", "protocol": "ports"}]
    try:
        e.start()
        yield e
    finally:
        e.stop()


@pytest.fixture
def opened(edge):
    """Open UDP ports of the edge: opened(origin, port=, **members) gives the port; all are closed afterwards."""
    made = []
    path = f"/zones/{edge.zone()}/spectrum/apps"

    def open_port(origin, port=None, high=None, **more):
        port = port or free_port()
        url = origin if isinstance(origin, str) else origin.url
        app = edge.api("POST", path, {"protocol": f"udp/{port}-{high}" if high else f"udp/{port}", "dns": {"name": f"udp{port}.edge.test"},
                                      "origin_direct": [url], **more})
        made.append(app["id"])
        open_port.last = app["id"]
        until(lambda: listens(port))
        return port

    def close(app_id):
        made.remove(app_id)
        edge.api("DELETE", f"{path}/{app_id}")
    open_port.close = close
    open_port.edit = lambda **members: edge.api("PATCH", f"{path}/{open_port.last}", members)
    yield open_port
    for app_id in made:
        edge.api("DELETE", f"{path}/{app_id}")


def listens(port):
    """A socket is bound there: a datagram is not refused."""
    with open("/proc/net/udp") as f:
        return f":{port:04X} " in f.read()


@pytest.fixture
def echo():
    o = Origin()
    yield o
    o.stop()


def test_a_session_there_and_back(edge, opened, echo):
    port = opened(echo, idle_timeout_ms=400)
    with Device(port) as a, Device(port) as b:
        for i in range(3):
            assert a.ask(b"a%d" % i) == b"re:a%d" % i
        assert b.ask(b"b") == b"re:b"
        assert b.ask(b"") == b"re:"
        first = edge.wait_record(SourcePort=a.port, DestinationPort=port, Event="disconnect")
        assert first["Status"] == 200 and first["BytesIn"] == 6 and first["BytesOut"] == 15 and first["Origin"] == echo.url
    assert len({peer for _, peer in echo.seen}) == 2, "each session has a socket of its own to the origin"
    assert edge.metric("ringfence_udp_datagrams_total", direction="in") >= 5


def test_large_and_many(edge, opened):
    o = Origin(lambda data, peer: data)
    port = opened(o)
    with Device(port) as d:
        d.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4 << 20)
        big = os.urandom(60000)
        assert d.ask(big) == big
        d.socket.setsockopt(17, 103, 1200)  # UDP_SEGMENT: bursts by one call
        sent = [struct.pack("!I", i) * 300 for i in range(2000)]
        back = []
        for at in range(0, 2000, 40):
            d.socket.send(b"".join(sent[at:at + 40]))
            back += [d.socket.recv(65535) for _ in range(40)]
        assert back == sent
    o.stop()


def test_six_and_four(opened):
    o = Origin(address="::1")
    port = opened(o)
    with Device(port, "::1") as six, Device(port) as four:
        assert six.ask(b"6") == b"re:6"
        assert four.ask(b"4") == b"re:4", "the origin's family is its own matter"
    o.stop()


def three_ports():
    """The first of three in a row."""
    while True:
        first = free_port()
        if [free_port(), free_port()] == [first + 1, first + 2]:
            return first


def test_a_range_is_mapped_port_by_port(opened):
    base, low = three_ports(), three_ports()
    origins = [Origin(lambda d, p, n=n: b"%d" % n, port=base + n) for n in range(3)]
    opened(f"udp://127.0.0.1:{base}-{base + 2}", low, low + 2)
    for n in range(3):
        until(lambda at=low + n: listens(at))
        with Device(low + n) as d:
            assert d.ask(b"who?") == b"%d" % n
    for o in origins:
        o.stop()


def test_the_simple_header(opened):
    carried = Origin(lambda data, peer: data[:38] + b"with")
    port = opened(carried, proxy_protocol="simple")
    with Device(port) as d:
        assert d.ask(b"hello") == b"with"
        magic, client, proxy, client_port, proxy_port = SPP.unpack(carried.seen[0][0][:38])
        assert magic == 0x56EC and carried.seen[0][0][38:] == b"hello"
        assert client == proxy == socket.inet_pton(socket.AF_INET6, "::ffff:127.0.0.1")
        assert (client_port, proxy_port) == (d.port, port)
    carried.answer = lambda data, peer: b"without"
    with Device(port, "::1") as d:
        assert d.ask(b"six") == b"without"
        assert SPP.unpack(carried.seen[-1][0][:38])[1:4] == (socket.inet_pton(socket.AF_INET6, "::1"),) * 2 + (d.port,)
    carried.stop()


@pytest.fixture
def resolver(tmp_path):
    """dnsmasq that knows one name, and a long one."""
    def started():
        """It wants the same port of TCP, which somebody may have."""
        port = free_port()
        child = subprocess.Popen(["dnsmasq", "--no-daemon", "--no-resolv", "--no-hosts", f"--port={port}", "--listen-address=127.0.0.1",
                                  "--bind-interfaces", "--address=/lamp.test/192.0.2.7", "--txt-record=long.test," + "x" * 200,
                                  f"--pid-file={tmp_path}/pid"], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        until(lambda: listens(port) or child.poll() is not None)
        return child.poll() is None and (port, child)
    port, child = until(started)
    yield port
    child.terminate()
    child.wait()


def dig(port, *words):
    done = subprocess.run(["dig", "@127.0.0.1", "-p", str(port), "+short", "+tries=3", "+time=2", *words], capture_output=True, text=True, check=False)
    return done.stdout.strip()


def test_dns_with_its_guard(edge, opened, resolver):
    port = opened(f"udp://127.0.0.1:{resolver}", guard="dns")
    assert dig(port, "lamp.test") == "192.0.2.7"
    assert dig(port, "+dnssec", "long.test", "TXT") == '"' + "x" * 200 + '"'
    before = edge.metric("ringfence_udp_dropped_total", reason="guard") or 0
    with Device(port) as d:
        assert d.ask(b"GET / HTTP/1.1\r\n\r\n", 0.3) is None
        assert d.ask(bytes.fromhex("123481800001000000000000") + b"\x04lamp\x04test\0\0\1\0\1", 0.3) is None, "an answer that nobody asked for"
    assert edge.metric("ringfence_udp_dropped_total", reason="guard") == before + 2


def test_coap_with_its_guard(opened, tmp_path):
    at = free_port()
    server = subprocess.Popen(["coap-server-notls", "-A", "127.0.0.1", "-p", str(at)], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        until(lambda: listens(at))
        port = opened(f"udp://127.0.0.1:{at}", guard="coap")

        def coap(*words):
            return subprocess.run(["coap-client-notls", "-B", "10", *words], capture_output=True, text=True, check=False).stdout
        assert "libcoap" in coap("-m", "get", f"coap://127.0.0.1:{port}/")
        assert "rt=\"ticks\"" in coap("-m", "get", f"coap://127.0.0.1:{port}/.well-known/core"), "by blocks, over the same session"
        with Device(port) as d:
            until(lambda: d.ask(b"\x40\x00\x00\x01", 0.5) == b"\x70\x00\x00\x01")  # a ping, which the server answers now and then only, by a reset
            assert d.ask(b"\x00", 0.3) is None
    finally:
        server.terminate()
        server.wait()


def test_amplification_is_bounded_where_the_app_says(opened):
    o = Origin(lambda data, peer: b"x" * 100)
    port = opened(o, amplification=3)
    with Device(port) as d:
        assert d.ask(b"a" * 10, 0.3) is None
        assert d.ask(b"a" * 30) == b"x" * 100
        assert d.ask(b"a") == b"x" * 100, "it has answered an answer"
    o.stop()


def test_an_origin_that_is_gone_and_one_that_is_there(edge, opened, echo):
    dead = free_port()
    port = opened(f"udp://127.0.0.1:{dead}", passive_fails=1)
    with Device(port) as d:
        assert d.ask(b"x", 0.3) is None
        record = edge.wait_record(SourcePort=d.port, Action="error")
        assert record["Status"] == 521 and record["Event"] == "originError" and record["Layer"] == "origin"
    opened.edit(origin_direct=[f"udp://127.0.0.1:{dead}", echo.url])
    with Device(port) as d:
        assert until(lambda: d.ask(b"again", 0.3)) == b"re:again"


def test_names_of_origins(opened):
    o = Origin(address="127.0.0.1")
    port = opened(f"udp://localhost:{o.port}")
    with Device(port) as d:
        assert until(lambda: d.ask(b"by name", 0.5)) == b"re:by name"
    o.stop()


def test_apps_rules_and_bars_reach_live_sessions(edge, opened, echo):
    port = opened(echo)
    other = opened(echo)
    app = opened.last
    with Device(port) as a, Device(other) as b:
        assert a.ask(b"1") == b"re:1" and b.ask(b"1") == b"re:1"
        opened.close(app)
        edge.wait_record(SourcePort=b.port, Reason="its app is no longer there")
        assert a.ask(b"2") == b"re:2"
        assert len({peer for data, peer in echo.seen if data in (b"1", b"2")}) == 2, "the other session went on as it was"
        rule = edge.api("POST", "/user/firewall/access_rules/rules", {"mode": "block", "configuration": {"target": "ip", "value": "127.0.0.1"}})
        assert a.ask(b"3", 0.3) is None
        edge.wait_record(SourcePort=a.port, Status=403, Action="block")
        edge.api("DELETE", f"/user/firewall/access_rules/rules/{rule['id']}")
        assert a.ask(b"4") == b"re:4"


def test_rules_of_the_connection(edge, opened, echo):
    port = opened(echo)
    with Device(port) as good, Device(port) as bad:
        assert bad.ask(b"1") == b"re:1"
        edge.ruleset([{"expression": f"udp.srcport eq {bad.port} and udp.dstport eq {port}", "action": "block"}], phase="connection")
        until(lambda: bad.ask(b"2", 0.2) is None)
        record = edge.wait_record(SourcePort=bad.port, Action="block")
        assert record["Status"] == 403 and record["Layer"] == "rule"
        assert good.ask(b"1") == b"re:1"
        edge.ruleset([], phase="connection")


@pytest.mark.parametrize("how", ["upgrade", "kill"])
def test_devices_are_served_over_a_new_engine(edge, opened, echo, how):
    port = opened(echo)
    with Device(port) as d:
        assert d.ask(b"before") == b"re:before"
        old = edge.engine()
        if how == "upgrade":
            edge.signal(signal.SIGUSR2)
            end = time.monotonic() + 20
            while edge.engine() in (None, old) and time.monotonic() < end:
                assert d.ask(b"meanwhile") or d.ask(b"meanwhile"), "there is no gap"
        else:
            os.kill(old, signal.SIGKILL)
        until(lambda: edge.engine() not in (None, old))
        assert until(lambda: d.ask(b"after", 0.5)) is not None
        edge.wait()


# --- steered, in namespaces ---

ANSWER = """
import socket
s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
s.bind(('10.77.0.9', 7000))
print('up', flush=True)
while True:
    d, a = s.recvfrom(2048)
    s.sendto(b're:' + d, a)
"""

FLOOD = """
import socket, sys
ask = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
ask.bind(('10.77.0.2', 0))
ask.connect(('10.77.0.1', 7000))
ask.settimeout(0.5)
def there():
    for i in range(10): # a datagram may be lost among so many
        ask.send(b'still')
        try:
            return ask.recv(100) == b're:still'
        except TimeoutError:
            pass
there() and there()
good = 0
raw = socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_RAW)
udp = (40000).to_bytes(2, 'big') + (7000).to_bytes(2, 'big') + (13).to_bytes(2, 'big') + bytes(2) + b'flood'
for i in range(20000):
    src = bytes([10, 78, i >> 8 & 255, i & 255])
    raw.sendto(b'\\x45\\0\\0\\x21\\0\\0\\0\\0\\x40\\x11\\0\\0' + src + bytes([10, 77, 0, 1]) + udp, ('10.77.0.1', 0))
    if i % 1000 == 999:
        good += there()
print(good, ask.getsockname()[1])
"""


@pytest.fixture
def steered(net, make_edge):
    pins = f"/sys/fs/bpf/rfudp{os.getpid()}"
    e = make_edge(shield={"pins": pins}, limits={"udp_sessions": 1000, "udp_session_rate": 0, "udp_sessions_per_address": 0}, workers=1)
    e.boot["listeners"].append({"name": "ports", "address": "10.77.0.1:0", "protocol": "ports"})
    subprocess.run(["ip", "-n", net.edge, "addr", "add", "10.77.0.9/32", "dev", "lo"], check=True)
    subprocess.run(["ip", "-n", net.edge, "route", "add", "10.78.0.0/16", "via", "10.77.0.2"], check=True)
    e.start(wrapper=net.inside(net.edge))
    yield e
    unpin(pins)


def test_a_flood_of_false_sources_leaves_the_established_alone(net, steered):
    answers = subprocess.Popen(net.inside(net.edge, "/usr/bin/python3", "-c", ANSWER), stdout=subprocess.PIPE)
    answers.stdout.readline()
    try:
        steered.api("POST", f"/zones/{steered.zone()}/spectrum/apps", {"protocol": "udp/7000-7100", "dns": {"name": "flood.edge.test"},
                                                                     "origin_direct": ["udp://10.77.0.9:7000-7100"]})
        time.sleep(0.5)
        done = subprocess.run(net.inside(net.clients, "/usr/bin/python3", "-c", FLOOD), capture_output=True, text=True, check=False)
        assert not done.returncode, done.stderr
        good, port = map(int, done.stdout.split())
        assert good == 20, "the one that answers is served all the while"
        assert steered.metric("ringfence_udp_sessions_total", event="made_room") > 10000
        ended = [r for r in steered.records(SourcePort=port, SourceIP="10.77.0.2") if r.get("Status")]
        assert not ended, "its session never ended"
    finally:
        answers.kill()
        answers.wait()
