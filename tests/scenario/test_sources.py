"""What the kernel holds sources to: rates of networks and destinations, also when sources are spoofed; access rules about countries and
autonomous systems; connections that stand; and how soon."""
import os
import socket
import statistics
import subprocess
import sys
import threading
import time

import pytest

import flood
from edge import Refused, slowness, until
from test_access import Echo, block, echo, ip, mac, native_peer, net, reloaded, serve, started, walled  # noqa: F401  pylint: disable=unused-import

sys.path.insert(0, os.path.join(os.path.dirname(__file__), ".."))
import mmdb  # noqa: E402

SHIELD = "/accounts/{account}/shield"
RULES = "/user/firewall/access_rules/rules"


@pytest.fixture(params=["generic", "nft"])
def way(walled, request):
    walled.boot["shield"].update(mode=request.param, syn_cookies="off")
    return request.param


def frames(e):
    return e.api("GET", SHIELD)["frames"]


def sent(net, source, count, target="fd77::1", port=5683):
    """So many datagrams from a source of one's choice, at once."""
    subprocess.run(net.inside(net.clients, "/usr/bin/python3", flood.__file__, "dev0", mac(net).hex(), target, str(port), "udp", str(count), source),
                   check=True, capture_output=True)


def second_network(net):
    """Clients of another /24."""
    ip("-n", net.edge, "addr", "add", "10.78.0.1/24", "dev", "edge0")
    ip("-n", net.clients, "addr", "add", "10.78.0.2/24", "dev", "dev0")


IN_TURN = """
import select, socket, sys
each, sources = int(sys.argv[1]), sys.argv[2:]
socks = [socket.socket(socket.AF_INET, socket.SOCK_DGRAM) for _ in sources]
for s, at in zip(socks, sources): s.bind((at, 0))
for i in range(each):
    for s in socks: s.sendto(b'x', ('10.77.0.1', 5683))
n = dict.fromkeys(socks, 0)
while ready := select.select(socks, [], [], 0.5)[0]:
    for s in ready: s.recv(10); n[s] += 1
print(*n.values())
"""


def in_turn(net, each, *sources):
    """How many are answered of so many datagrams that each source sends, in turn."""
    done = subprocess.run(net.inside(net.clients, "/usr/bin/python3", "-c", IN_TURN, str(each), *sources), capture_output=True, text=True, check=True)
    return [int(n) for n in done.stdout.split()]


# --- rates ---

def test_a_network_has_a_rate_that_its_sources_share(net, walled, way, echo):
    second_network(net)
    walled.boot["shield"]["prefix_rate"] = 60
    e = started(walled, net, way)
    answered = in_turn(net, 100, "10.77.0.2", "10.77.0.3")
    assert 60 <= sum(answered) <= 100 and min(answered) > 20, "a /24 has its rate, shared by its sources"
    assert in_turn(net, 40, "10.77.0.2", "10.78.0.2")[1] == 40, "another /24 has its own"
    v4 = until(lambda: (n := frames(e)["rate_prefix"]) >= 100 and n)
    sent(net, "fd77:0:0:1::9", 100)
    sent(net, "fd77:0:0:2::9", 100)
    v6 = until(lambda: (n := frames(e)["rate_prefix"] - v4) >= 80 and n)
    assert v6 <= 140, "a /48 has its rate, whatever the /64"
    passed = frames(e)["pass"]
    sent(net, "fd79::9", 50)
    until(lambda: frames(e)["pass"] >= passed + 50)
    assert frames(e)["rate_prefix"] == v4 + v6, "another /48 has its own"
    reloaded(e, prefix_rate=0)
    assert echo.answers("10.77.0.2", 150) == 150


def test_a_destination_has_a_rate_that_its_sources_share_and_others_do_not(net, walled, way, echo):
    other = Echo(net, 5684)
    walled.boot["shield"]["target_rate"] = 60
    e = started(walled, net, way)
    assert 60 <= echo.answers("10.77.0.2", 100) + echo.answers("10.77.0.3", 100) <= 200, "it fills again while they send"
    assert until(lambda: frames(e)["rate_target"])
    assert other.answers("10.77.0.2", 50) == 50, "another port has its own"
    other.close()


class Spoofed:
    """Datagrams from random addresses of 198.18.0.0/15, 512 networks, until the end of the block; no more at once than the kernel queues."""

    def __init__(self, net, port):
        self.child = subprocess.Popen(net.inside(net.clients, "/usr/bin/python3", flood.__file__, "dev0", mac(net).hex(), "10.77.0.1", str(port), "udp",
                                                 "0", "", "64"), stdout=subprocess.PIPE)

    def __enter__(self):
        self.child.stdout.readline()
        return self

    def __exit__(self, *unused):
        self.child.kill()
        self.child.wait()


def calmly(echo, count):
    """Within the rate that a network has."""
    time.sleep(0.6)
    return echo.answers("10.77.0.2", count)


def gone_by(e, before):
    now = frames(e)
    return {k: n - before[k] for k, n in now.items() if n > before[k]}


@pytest.mark.alone  # all that one CPU can send
def test_rates_hold_under_spoofed_sources(net, walled, echo):
    """The bound of a network: its rate and as much at once; 5,000 sources of 512 networks send what they can. Who is in none of them loses
    nothing, though each source and network of the flood has places in the same tables."""
    rate, networks = 20, 512
    walled.boot["shield"].update(mode="generic", syn_cookies="off", source_rate=100, prefix_rate=rate)
    walled.boot["floods"]["mode"] = "off"  # rates alone
    e = started(walled, net, "generic")
    before, began = frames(e), time.monotonic()
    with Spoofed(net, 9):
        until(lambda: sum(gone_by(e, before).values()) > 4 * networks * rate, 60)
        answered = [calmly(echo, 10) for _ in range(8)]
        over, seconds = gone_by(e, before), time.monotonic() - began
    print(f"\nspoofed sources: {sum(over.values()) / seconds:.0f} frames/s of {networks} networks, "
          f"{over.get('pass', 0) / seconds:.0f}/s passed; innocent sources lost {80 - sum(answered)} of 80")
    assert over["pass"] <= networks * rate * (seconds + 1) + 1000, "the bound of the flood"
    assert over["rate_prefix"] + over.get("rate_source", 0) >= networks * rate
    assert sum(answered) >= 78, "an innocent source does not pay"


@pytest.mark.alone  # the same
def test_a_destination_holds_under_spoofed_sources_and_others_do_not_pay(net, walled, echo):
    other = Echo(net, 5684)
    walled.boot["shield"].update(mode="generic", syn_cookies="off", target_rate=1000)
    walled.boot["floods"]["mode"] = "off"
    e = started(walled, net, "generic")
    before, began = frames(e), time.monotonic()
    with Spoofed(net, 5683):
        until(lambda: gone_by(e, before).get("rate_target", 0) > 20000, 60)
        answered = [other.answers("10.77.0.2", 30) for _ in range(5)]
        over, seconds = gone_by(e, before), time.monotonic() - began
    assert over["pass"] <= 1000 * (seconds + 1) + 1000, "what reaches the destination, and what else there is"
    assert sum(answered) >= 147, "another destination is as it was"
    other.close()


# --- countries and autonomous systems ---

@pytest.mark.parametrize("mode", ["generic", "native", "nft"])
def test_frames_of_a_country_and_an_autonomous_system_are_dropped(net, walled, tmp_path, echo, mode):
    place, asn = str(tmp_path / "place.mmdb"), str(tmp_path / "asn.mmdb")
    second_network(net)
    mmdb.write(place, "GeoLite2-Country", {"10.77.0.2/31": {"country": {"iso_code": "DE"}}, "10.78.0.0/24": {"country": {"iso_code": "CH"}},
                                           "fd77::/64": {"country": {"iso_code": "DE"}}})
    mmdb.write(asn, "GeoLite2-ASN", {"10.77.0.3/32": {"autonomous_system_number": 64500}, "10.78.0.0/24": {"autonomous_system_number": 64501}})
    walled.boot["shield"].update(mode=mode, syn_cookies="off")
    walled.boot["geo"] = {"place": place, "asn": asn}
    e = started(walled, net, mode)
    sources = ("10.77.0.2", "10.77.0.3", "10.78.0.2")
    passes = lambda: [echo.answers(s, 3) for s in sources]  # noqa: E731
    assert passes() == [3, 3, 3] and frames(e)["denied"] == 0
    germany = block(e, "DE", "country")
    assert passes() == [0, 0, 3], "the frames of a country, of datagrams too that no worker sees"
    assert until(lambda: frames(e)["denied"] == 6)
    sent(net, "fd77::2", 5)
    until(lambda: frames(e)["denied"] == 11)
    allowed = block(e, "AS64500", "asn", "whitelist")
    assert passes() == [0, 3, 3], "an autonomous system is nearer than a country"
    blocked = block(e, "AS64501", "asn")
    assert passes() == [0, 3, 0]
    for rule in (germany, allowed, blocked):
        e.api("DELETE", f"{RULES}/{rule['id']}")
    assert passes() == [3, 3, 3]


def test_more_networks_than_nft_takes_are_refused_and_nothing_changes(net, walled, tmp_path, echo):
    place = str(tmp_path / "place.mmdb")
    nets = {f"11.{n >> 14}.{n >> 6 & 255}.{(n & 63) << 2}/30": {"country": {"iso_code": "DE"}} for n in range(200001)}
    mmdb.write(place, "GeoLite2-Country", {**nets, "10.77.0.3/32": {"country": {"iso_code": "CH"}}})
    walled.boot["shield"].update(mode="nft", syn_cookies="off")
    walled.boot["geo"] = {"place": place}
    e = started(walled, net, "nft")
    block(e, "10.77.0.2")
    for _ in range(2):
        with pytest.raises(Refused) as refused:
            block(e, "DE", "country")
        assert refused.value.status == 503 and "nft takes at most 200000 prefixes" in refused.value.errors[0]["message"]
        assert [r["configuration"]["value"] for r in e.api("GET", RULES)] == ["10.77.0.2"]
        assert [echo.answers(s, 3) for s in ("10.77.0.2", "10.77.0.3")] == [0, 3]
    block(e, "CH", "country")
    assert [echo.answers(s, 3) for s in ("10.77.0.2", "10.77.0.3")] == [0, 0], "others are taken"


# --- connections that stand ---

TALKER = """
import socket, sys
s = socket.create_connection((sys.argv[1], 7), 3, (sys.argv[2], 0))
s.settimeout(10)
for line in sys.stdin:
    if line != "wait\\n":
        s.sendall(line.encode())
        s.settimeout(1)
    try:
        print(s.recv(100).decode().strip() or "closed", flush=True)
    except TimeoutError:
        print("nothing", flush=True)
    s.settimeout(10)
"""


class Talker:
    """A connection to a service of the edge's machine that the edge knows nothing of."""

    def __init__(self, net, target, source):
        self.child = subprocess.Popen(net.inside(net.clients, "/usr/bin/python3", "-c", TALKER, target, source), stdin=subprocess.PIPE,
                                      stdout=subprocess.PIPE, text=True)

    def says(self, word):
        self.child.stdin.write(word + "\n")
        self.child.stdin.flush()
        return self.child.stdout.readline().strip()

    def close(self):
        self.child.kill()
        self.child.communicate()


@pytest.mark.parametrize("mode", ["generic", "native", "nft"])
@pytest.mark.parametrize("what, target", [("10.77.0.2", "ip"), ("10.77.0.0/31", "ip_range"), ("10.77.0.2/31", "ip_range"), ("fd77::2", "ip6")])
def test_the_kernel_cuts_connections_that_stand(net, walled, serve, mode, what, target):
    """Also those of services behind the edge that no worker has: by an address, a wider prefix or one of another /31."""
    walled.boot["shield"].update(mode=mode, syn_cookies="off")
    e = started(walled, net, mode)
    six = target == "ip6"
    live = Talker(net, "fd77::1" if six else "10.77.0.1", "fd77::2" if six else "10.77.0.2")
    other = Talker(net, "10.77.0.1", "10.77.0.3")
    assert live.says("one") == "one" and other.says("one") == "one"
    cut, spared = what != "10.77.0.0/31", what != "10.77.0.2/31"
    made = block(e, what, target)
    assert live.says("two") == ("nothing" if cut else "two"), "the next frame of the connection is dropped"
    assert other.says("two") == ("two" if spared else "nothing")
    e.api("DELETE", f"{RULES}/{made['id']}")
    if cut:
        assert live.says("wait") == "two", "what was kept back comes when the rule has gone"
    live.close()
    other.close()


def test_the_edge_ends_connections_that_it_holds_and_the_kernel_drops_their_frames(net, walled):
    e = walled
    e.add_plain()
    e.boot["listeners"][-1]["address"] = f"10.77.0.1:{e.plain_port}"
    e.boot["shield"]["mode"] = "generic"
    started(e, net)
    code = ("import socket, sys; s = socket.create_connection(('10.77.0.1', %d), 3, ('10.77.0.2', 0)); s.sendall(b'GET / HTTP/1.1\\r\\nHost: x\\r\\n\\r\\n')\n"
            "print(s.recv(9), flush=True); sys.stdin.readline(); s.sendall(b'GET'); sys.stdin.readline()" % e.plain_port)
    with subprocess.Popen(net.inside(net.clients, "/usr/bin/python3", "-c", code), stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as child:
        assert child.stdout.readline().startswith("b'HTTP/1.1")
        held = e.api("GET", "/accounts/{account}/status")["live"]["connections"]
        block(e, "10.77.0.2")
        until(lambda: e.api("GET", "/accounts/{account}/status")["live"]["connections"] < held)
        denied = frames(e)["denied"]
        child.stdin.write("\n")
        child.stdin.flush()
        until(lambda: frames(e)["denied"] > denied)
        child.communicate("\n")


# --- how soon ---

STREAM = """
import socket, sys, time
u = socket.socket(socket.AF_INET, socket.SOCK_DGRAM); u.bind(('10.77.0.2', 0)); u.setblocking(False)
print('ready', flush=True)
for line in sys.stdin:
    end, last = float(line), 0.0
    while (now := time.monotonic()) < end:
        u.sendto(b'%.6f' % now, ('10.77.0.1', 5683))
        try:
            while True: last = max(last, float(u.recv(100)))
        except BlockingIOError: pass
    time.sleep(0.05)
    try:
        while True: last = max(last, float(u.recv(100)))
    except BlockingIOError: pass
    print(last, flush=True)
"""


def spread(values):
    ms = sorted(1000 * v for v in values)
    return f"median {statistics.median(ms):.2f} ms, {ms[0]:.2f} to {ms[-1]:.2f}"


@pytest.mark.alone  # times
def test_how_soon_an_access_rule_holds_in_the_kernel(net, walled, echo):
    """From the call, and from its answer, until the last datagram that got through was sent; one every few hundredths of a millisecond."""
    e = started(walled, net, "generic")
    since_call, since_answer = [], []
    with subprocess.Popen(net.inside(net.clients, "/usr/bin/python3", "-c", STREAM), stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as child:
        child.stdout.readline()
        for _ in range(15):
            child.stdin.write(f"{time.monotonic() + 0.3}\n")
            child.stdin.flush()
            time.sleep(0.1)
            call = time.monotonic()
            made = block(e, "10.77.0.2")
            answer = time.monotonic()
            last = float(child.stdout.readline())
            since_call.append(max(0, last - call))
            since_answer.append(max(0, last - answer))
            e.api("DELETE", f"{RULES}/{made['id']}")
        child.stdin.close()
    print(f"\nan access rule holds for frames: from the call {spread(since_call)}; from the answer {spread(since_answer)}")
    assert max(since_answer) == 0, "when the answer comes, it holds"
    assert statistics.median(since_call) < 0.05 * slowness()


@pytest.mark.alone  # times
def test_how_soon_a_connection_that_the_edge_holds_ends(make_edge):
    """From the call until its client sees the end, without a filter: the worker's own check. It does not wait for the disk."""
    edge = make_edge(limits={"connections_per_address": 0})
    port = edge.add_plain()
    edge.start()
    since_call, since_answer = [], []
    for _ in range(15):
        with socket.create_connection(("127.0.0.1", port), 3, ("127.0.0.2", 0)) as s:
            s.sendall(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
            assert s.recv(4096).startswith(b"HTTP/1.1")
            ended = []
            waiter = threading.Thread(target=lambda s=s, ended=ended: (drain(s), ended.append(time.monotonic())))
            waiter.start()
            time.sleep(0.02)
            call = time.monotonic()
            made = block(edge, "127.0.0.2")
            answer = time.monotonic()
            waiter.join()
        since_call.append(ended[0] - call)
        since_answer.append(ended[0] - answer)
        edge.api("DELETE", f"{RULES}/{made['id']}")
    print(f"\nan access rule ends connections that stand: from the call {spread(since_call)}; from the answer {spread(since_answer)}")
    assert statistics.median(since_call) < 0.05 * slowness()


def drain(s):
    try:
        while s.recv(65536):
            pass
    except OSError:
        pass
