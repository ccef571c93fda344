"""Ports: TCP and UDP apps by one API call, while the edge runs; in network namespaces, by the kernel's steering and without it."""
import json
import os
import signal
import socket
import subprocess
import threading

import pytest

from edge import Refused, until
from test_access import Net, ip

ECHO = """
import asyncio, sys
host, first, last = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
async def serve(r, w):
    try:
        w.write(b'%d\\n' % w.get_extra_info('sockname')[1])
        while data := await r.read(4096):
            w.write(data)
            await w.drain()
    except OSError:
        pass
    w.close()
class Datagrams(asyncio.DatagramProtocol):
    def connection_made(self, t): self.t = t
    def datagram_received(self, data, who): self.t.sendto(b'%d ' % self.t.get_extra_info('sockname')[1] + data, who)
async def main():
    for port in range(first, last + 1):
        await asyncio.start_server(serve, host, port)
        await asyncio.get_running_loop().create_datagram_endpoint(Datagrams, (host, port))
    print('up', flush=True)
    await asyncio.Event().wait()
asyncio.run(main())
"""

# Commands on standard input, one a line; the answer is a line.
CLIENT = """
import socket, sys
kept = {}
def family(host): return socket.AF_INET6 if ':' in host else socket.AF_INET
def talk(s, text):
    first = s.recv(64).split(b'\\n')[0]
    s.sendall(text)
    got = b''
    while len(got) < len(text):
        if not (part := s.recv(4096)):
            break
        got += part
    return first.decode() if got == text else 'cut'
def connect(host, port): return socket.create_connection((host, port), 5)
for line in sys.stdin:
    word, host, *more = line.split()
    try:
        if word == 'tcp':
            with connect(host, int(more[0])) as s:
                print(talk(s, b'hello'), flush=True)
        elif word == 'many':
            low, high, offset = map(int, more)
            wrong = []
            for port in range(low, high + 1):
                with connect(host, port) as s:
                    if talk(s, b'x') != str(port + offset):
                        wrong.append(port)
            print(len(wrong), flush=True)
        elif word == 'open':
            s = kept[more[0]] = connect(host, int(more[0]))
            print(talk(s, b'hello'), flush=True)
        elif word == 'ended':
            kept[more[0]].settimeout(5)
            print('ended' if not kept[more[0]].recv(10) else 'alive', flush=True)
        elif word == 'churn':
            failed = done = 0
            port, count = map(int, more)
            for i in range(count):
                try:
                    with connect(host, port) as s:
                        s.settimeout(10)
                        try: done += talk(s, b'x') != 'cut'
                        except OSError: pass
                except OSError: failed += 1
            print(failed, done, flush=True)
        elif word == 'pings':
            lost, (port, count) = 0, map(int, more)
            with socket.socket(family(host), socket.SOCK_DGRAM) as s:
                s.settimeout(0.5)
                s.connect((host, port))
                for i in range(count):
                    try:
                        s.send(b'%d' % i)
                        while not s.recv(100).endswith(b' %d' % i): pass
                    except OSError: lost += 1
            print(lost, flush=True)
        elif word == 'udp':
            with socket.socket(family(host), socket.SOCK_DGRAM) as s:
                s.settimeout(3)
                s.connect((host, int(more[0])))
                s.send(b'hello')
                print(s.recv(100).decode(), flush=True)
    except Exception as e:
        print(type(e).__name__, flush=True)
"""


class Wire(Net):
    """A net with a second address of the edge, IPv6, and origins behind it."""

    def plug(self):
        super().plug()
        ip("-n", self.edge, "addr", "add", "10.77.0.9/24", "dev", "edge0")
        for ns, dev, last in ((self.edge, "edge0", 1), (self.clients, "dev0", 2)):
            ip("-n", ns, "addr", "replace", f"fd77::{last}/64", "dev", dev, "nodad")
        ip("-n", self.clients, "route", "add", "default", "via", "10.77.0.1")
        self.children = []
        self.talker = None

    def origin(self, host, first, last=None):
        child = subprocess.Popen(self.inside(self.edge, "/usr/bin/python3", "-c", ECHO, host, str(first), str(last or first)), stdout=subprocess.PIPE)
        self.children.append(child)
        assert child.stdout.readline() == b"up\n"

    def client(self):
        child = subprocess.Popen(self.inside(self.clients, "/usr/bin/python3", "-uc", CLIENT), stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        self.children.append(child)
        return child

    def ask(self, *words, child=None):
        if not child:
            child = self.talker = self.talker or self.client()
        child.stdin.write(" ".join(map(str, words)) + "\n")
        child.stdin.flush()
        return child.stdout.readline().strip()

    def close(self):
        for child in self.children:
            child.kill()
            child.wait()
        super().close()


@pytest.fixture
def wire():
    if os.geteuid() != 0:
        pytest.skip("needs root")
    w = Wire()
    yield w
    w.close()


@pytest.fixture
def edge_of(wire, make_edge):
    """Edges in the namespace, with listeners of ports at two addresses."""
    pins = mine = f"/sys/fs/bpf/rfports{os.getpid()}"

    def make(*listeners, pins=mine, **boot):
        e = make_edge(shield={"pins": pins or mine}, timeouts={"connect": "2s"}, **boot)
        e.boot["listeners"][0]["address"] = f"10.77.0.1:{e.port}"
        e.boot["api"]["listen"] = f"10.77.0.1:{e.api_port}"
        e.boot["listeners"] += list(listeners) or [{"name": "ports", "address": "10.77.0.1:0", "protocol": "ports"},
                                                   {"name": "ports6", "address": "[fd77::1]:0", "protocol": "ports"}]
        e.start(wrapper=wire.inside(wire.edge))
        e.apps = f"/zones/{e.zone()}/spectrum/apps"
        return e
    yield make
    for f in os.listdir(pins) if os.path.isdir(pins) else []:
        os.unlink(os.path.join(pins, f))
    if os.path.isdir(pins):
        os.rmdir(pins)


def app(e, protocol, *origins, name="p.edge.test", **more):
    return e.api("POST", e.apps, {"protocol": protocol, "dns": {"type": "ADDRESS", "name": name}, "origin_direct": list(origins), **more})


def refused(answer):
    return answer in ("ConnectionRefusedError", "ConnectionResetError")


def ports_of(e):
    return e.api("GET", "/accounts/{account}/status")["ports"]


def test_an_app_is_there_by_one_call_of_curl_and_gone_by_another(wire, edge_of):
    wire.origin("127.0.0.1", 2222)
    e = edge_of()
    assert refused(wire.ask("tcp", "10.77.0.1", 22))
    url = f"https://10.77.0.1:{e.api_port}/client/v4{e.apps}"
    token = e.api("POST", "/user/tokens", {"name": "ports", "policies": [{"effect": "allow", "permission_groups": [{"id": "apps:write"}],
                                                                       "resources": {"com.cloudflare.api.account.*": "*"}}]})["value"]
    curl = wire.inside(wire.clients, "curl", "-sk", "-H", f"Authorization: Bearer {token}", "-H", "Content-Type: application/json")
    made = json.loads(subprocess.run([*curl, url, "-d", json.dumps({
        "protocol": "tcp/22", "dns": {"type": "CNAME", "name": "ssh.edge.test"}, "origin_direct": ["tcp://127.0.0.1:2222"],
        "tls": "off", "ip_firewall": True, "proxy_protocol": "off", "traffic_type": "direct"})], capture_output=True, check=True).stdout)
    assert made["success"], made
    assert wire.ask("tcp", "10.77.0.1", 22) == "2222", "no reload, no wait"
    assert refused(wire.ask("tcp", "10.77.0.1", 23))
    assert ports_of(e)["way"] == "steered"
    assert wire.ask("open", "10.77.0.1", 22) == "2222"
    subprocess.run([*curl, "-X", "DELETE", f"{url}/{made['result']['id']}"], capture_output=True, check=True)
    assert refused(wire.ask("tcp", "10.77.0.1", 22))
    assert wire.ask("ended", "x", 22) in ("ended", "ConnectionResetError"), "what was live there ends"


def test_a_range_is_mapped_at_the_same_offset(wire, edge_of):
    wire.origin("127.0.0.1", 21000, 21400)
    e = edge_of()
    app(e, "tcp/1000-1400", "tcp://127.0.0.1:21000-21400")
    assert wire.ask("many", "10.77.0.1", 1000, 1400, 20000) == "0"
    assert refused(wire.ask("tcp", "10.77.0.1", 999)) and refused(wire.ask("tcp", "10.77.0.1", 1401))


def test_all_ports_of_an_address_have_one_socket(wire, edge_of):
    e = edge_of({"name": "whole", "address": "10.77.0.9:0", "protocol": "ports"})
    wire.origin("127.0.0.9", 1, 20)
    wire.origin("127.0.0.9", 40000, 40020)
    wire.origin("127.0.0.9", 65530, 65535)
    before = int(subprocess.run(["sh", "-c", f"ls /proc/{e.engine()}/fd | wc -l"], capture_output=True, text=True, check=True).stdout)
    app(e, "tcp/1-65535", "tcp://127.0.0.9")
    app(e, "udp/1-65535", "udp://127.0.0.9")
    after = int(subprocess.run(["sh", "-c", f"ls /proc/{e.engine()}/fd | wc -l"], capture_output=True, text=True, check=True).stdout)
    assert after - before < 4, "no port costs a descriptor"
    for low, high in ((1, 20), (40000, 40020), (65530, 65535)):
        assert wire.ask("many", "10.77.0.9", low, high, 0) == "0"
    assert wire.ask("udp", "10.77.0.9", 40003) == "40003 hello"
    assert wire.reaches(e.api_port, "10.77.0.2"), "and the address beside it is as it was"
    assert ports_of(e)["ports"] == 2 * 65535


def test_datagrams_are_answered_from_where_they_were_sent_to(wire, edge_of):
    wire.origin("127.0.0.1", 5683)
    e = edge_of()
    app(e, "udp/1005", "udp://127.0.0.1:5683")
    for host in ("10.77.0.1", "fd77::1"):
        assert wire.ask("udp", host, 1005) == "5683 hello", "a connected socket hears nobody else"
    assert wire.ask("udp", "10.77.0.1", 1006) != "5683 hello"


def test_ipv6_and_one_family_alone(wire, edge_of):
    wire.origin("127.0.0.1", 2222, 2223)
    e = edge_of()
    app(e, "tcp/22", "tcp://127.0.0.1:2222")
    six = app(e, "tcp/22", "tcp://127.0.0.1:2223", name="six.edge.test", edge_ips={"type": "dynamic", "connectivity": "ipv6"})
    assert wire.ask("tcp", "fd77::1", 22) == "2223"
    assert wire.ask("tcp", "10.77.0.1", 22) == "2222"
    e.api("DELETE", f"{e.apps}/{six['id']}")
    assert wire.ask("tcp", "fd77::1", 22) == "2222"


def test_a_killed_engine_refuses_no_connection(wire, edge_of):
    wire.origin("127.0.0.1", 2222)
    e = edge_of()
    app(e, "tcp/22", "tcp://127.0.0.1:2222")
    talkers = [wire.client() for _ in range(2)]
    answers = []
    threads = [threading.Thread(target=lambda t=t: answers.append(wire.ask("churn", "10.77.0.1", 22, 400, child=t))) for t in talkers]
    for t in threads:
        t.start()
    engine = e.engine()
    for _ in range(2):
        os.kill(engine, signal.SIGKILL)
        engine = until(lambda old=engine: e.engine() not in (None, old) and e.engine())
    for t in threads:
        t.join()
    for answer in answers:
        failed, done = map(int, answer.split())
        assert failed == 0, "every attempt was taken"
        assert done >= 390, "and all but those that were under way at a kill had their answer"


@pytest.mark.parametrize("why", ["the operator", "no bpf file system"])
def test_sockets_of_single_ports_where_the_kernel_does_not_steer(wire, edge_of, why):
    wire.origin("127.0.0.1", 2222)
    e = edge_of(ports={"steer": why != "the operator", "allowed": "20-30:1005"}, pins="/tmp/rf-no-bpf/pins" if why != "the operator" else None)
    if why != "the operator":
        e.wait_log("not on a bpf file system.*each port gets sockets of its own")
    made = app(e, "tcp/22", "tcp://127.0.0.1:2222")
    app(e, "udp/1005", "udp://127.0.0.1:2222")
    app(e, "tcp/99", "tcp://127.0.0.1:2222", name="forbidden.edge.test")
    until(lambda: wire.ask("tcp", "10.77.0.1", 22) == "2222")
    assert wire.ask("tcp", "fd77::1", 22) == "2222"
    assert wire.ask("udp", "10.77.0.1", 1005) == "2222 hello"
    assert refused(wire.ask("tcp", "10.77.0.1", 99)), "the boot file does not allow it"
    status = ports_of(e)
    assert status["way"] == "bound" and "tcp/99" in status["failed"]
    engine = e.engine()
    os.kill(engine, signal.SIGKILL)
    assert wire.ask("churn", "10.77.0.1", 22, 20) == "0 20", "the monitor keeps them"
    e.wait()
    e.api("DELETE", f"{e.apps}/{made['id']}")
    until(lambda: refused(wire.ask("tcp", "10.77.0.1", 22)))


def test_a_reload_brings_and_takes_addresses(wire, edge_of):
    wire.origin("127.0.0.1", 2222)
    e = edge_of()
    app(e, "tcp/22", "tcp://127.0.0.1:2222")
    assert refused(wire.ask("tcp", "10.77.0.9", 22))
    for steer, way in ((False, "bound"), (True, "steered")):
        e.boot["ports"] = {"steer": steer}
        reload_of(e)
        until(lambda: wire.ask("tcp", "10.77.0.1", 22) == "2222")
        assert ports_of(e)["way"] == way
    e.boot["listeners"].insert(0, {"name": "more", "address": "10.77.0.9:0", "protocol": "ports"})
    reload_of(e)
    assert wire.ask("tcp", "10.77.0.9", 22) == "2222" and wire.ask("tcp", "10.77.0.1", 22) == "2222"
    e.boot["listeners"] = [one for one in e.boot["listeners"] if one["name"] != "ports"]
    reload_of(e)
    assert refused(wire.ask("tcp", "10.77.0.1", 22))
    assert wire.ask("tcp", "10.77.0.9", 22) == "2222"


def reload_of(e):
    e.write()
    mark = len(e.logged())
    e.signal(signal.SIGHUP)
    e.wait_log("rules are in force", start=mark)


TPROXY = ("table {table} rf {{ chain pre {{ type filter hook prerouting priority mangle; "
          "meta l4proto tcp socket transparent 1 meta mark set 1 accept; "
          "iifname edge0 {table} daddr {net} meta l4proto {{ tcp, udp }} tproxy to :9000 meta mark set 1 accept; }}; }}")


@pytest.mark.parametrize("port, way", [(9000, "nftables"), (0, "steering")])
@pytest.mark.parametrize("table, net, everything, any_address, elsewhere", [
    ("ip", "203.0.113.0/24", "0.0.0.0/0", "0.0.0.0", ["203.0.113.7", "203.0.113.8"]),
    ("ip6", "2001:db8:77::/48", "::/0", "[::]", ["2001:db8:77::7", "2001:db8:77::8"])])
def test_what_is_routed_through_comes_to_a_transparent_listener(wire, edge_of, port, way, table, net, everything, any_address, elsewhere):
    wire.origin("127.0.0.1", 2222)
    run = lambda *words: subprocess.run(wire.inside(wire.edge, *words), check=True, capture_output=True)
    rules = lambda *words: run("ip", *(["-6"] if table == "ip6" else []), *words)
    ip("-n", wire.clients, "-6", "route", "add", "default", "via", "fd77::1")
    if way == "nftables":
        run("nft", TPROXY.format(table=table, net=net))
        rules("rule", "add", "fwmark", "1", "lookup", "100")
    else:
        rules("rule", "add", "iif", "edge0", "lookup", "100")
    rules("route", "add", "local", everything, "dev", "lo", "table", "100")
    e = edge_of({"name": "through", "address": f"{any_address}:{port}", "protocol": "ports", "transparent": True})
    app(e, "tcp/22", "tcp://127.0.0.1:2222")
    app(e, "udp/1005", "udp://127.0.0.1:2222")
    assert wire.ask("tcp", elsewhere[0], 22) == "2222", "a server elsewhere, as the client thinks"
    assert wire.ask("udp", elsewhere[1], 1005) == "2222 hello", "and the answer comes from there"
    assert wire.ask("tcp", elsewhere[0], 23) != "2222"


WEB = """
import http.server, sys
class H(http.server.BaseHTTPRequestHandler):
    protocol_version = 'HTTP/1.1'
    def do_GET(self):
        body = ('%s %s' % (self.headers['Host'], self.headers.get('Client-Cert', '-')[:1])).encode()
        self.send_response(200); self.send_header('Content-Length', str(len(body))); self.end_headers(); self.wfile.write(body)
    def log_message(self, *a): pass
s = http.server.ThreadingHTTPServer(('127.0.0.1', 8000), H); print('up', flush=True); s.serve_forever()
"""


def test_http_at_a_port_of_its_own_is_an_app_of_the_host(wire, edge_of):
    child = subprocess.Popen(wire.inside(wire.edge, "/usr/bin/python3", "-c", WEB), stdout=subprocess.PIPE)
    wire.children.append(child)
    assert child.stdout.readline() == b"up\n"
    e = edge_of()
    app(e, "tcp/8080", "tcp://127.0.0.1:8000", name="web.edge.test", traffic_type="http")
    app(e, "tcp/8443", "tcp://127.0.0.1:8000", name="tls.edge.test", traffic_type="https", client_auth="enforce")
    e.klass()
    device = e.device("lamp")
    curl = lambda *words: subprocess.run(wire.inside(wire.clients, "curl", "-sk", "--max-time", "5", "-w", " %{http_code}", *words), capture_output=True, text=True).stdout
    assert curl("http://web.edge.test:8080/", "--resolve", "web.edge.test:8080:10.77.0.1") == "web.edge.test:8080 - 200"
    there = ("https://tls.edge.test:8443/", "--resolve", "tls.edge.test:8443:10.77.0.1")
    assert curl(*there).endswith(" 403")
    assert curl(*there, "--cert", device.cert, "--key", device.key) == "tls.edge.test:8443 : 200"
    e.add_rule('http.host eq "web.edge.test"')
    assert curl("http://web.edge.test:8080/", "--resolve", "web.edge.test:8080:10.77.0.1").endswith(" 403")


def test_the_edges_own_listener_is_not_taken_away(wire, edge_of):
    e = edge_of()
    with pytest.raises(Refused) as answer:
        app(e, f"tcp/{e.port}", "tcp://127.0.0.1:2222")
    assert answer.value.status == 409 and answer.value.errors[0]["source"]["pointer"] == "/protocol"
    assert "tls" in answer.value.errors[0]["message"]


def test_another_programs_port_is_not_taken_unasked(wire, edge_of):
    """The operator's SSH, for one, which would be out of reach."""
    wire.origin("10.77.0.1", 2022)
    wire.origin("0.0.0.0", 2023)
    wire.origin("127.0.0.1", 2222)
    e = edge_of()
    for protocol, port in (("tcp", 2022), ("tcp", 2023), ("udp", 2022), ("udp", 2023), ("tcp", "2000-2030")):
        with pytest.raises(Refused) as answer:
            app(e, f"{protocol}/{port}", f"{protocol}://127.0.0.1:{'3000-3030' if '-' in str(port) else 2222}")
        error = answer.value.errors[0]
        assert answer.value.status == 409 and error["source"]["pointer"] == "/protocol"
        assert "another program" in error["message"] and "take_over" in error["message"] and protocol.upper() in error["message"]
    assert [wire.ask("tcp", "10.77.0.1", port) for port in (2022, 2023)] == ["2022", "2023"], "and they go on"
    six = app(e, "tcp/2022", "tcp://127.0.0.1:2222", edge_ips={"type": "static", "ips": ["fd77::1"]})
    assert wire.ask("tcp", "fd77::1", 2022) == "2222", "at another address nobody has it"
    e.api("PATCH", f"{e.apps}/{six['id']}", {"idle_timeout_ms": 5000})
    with pytest.raises(Refused):
        e.api("PATCH", f"{e.apps}/{six['id']}", {"edge_ips": {"type": "dynamic"}})
    assert e.cli("app", "add", "new.edge.test", "--protocol", "tcp/2023", "--origin", "tcp://127.0.0.1:2222").returncode
    e.cli("app", "add", "new.edge.test", "--protocol", "tcp/2023", "--origin", "tcp://127.0.0.1:2222", "--set", "take_over=true", check=0)
    assert wire.ask("tcp", "10.77.0.1", 2023) == "2222", "said so, it takes the place"
    for _ in range(2):  # the edge's own sockets, by which it answers, are nobody else's
        made = app(e, "udp/1005", "udp://127.0.0.1:2222")
        assert wire.ask("udp", "10.77.0.1", 1005) == "2222 hello"
        e.api("DELETE", f"{e.apps}/{made['id']}")


def test_the_command_line_opens_lists_changes_and_closes(wire, edge_of):
    wire.origin("127.0.0.1", 2222)
    e = edge_of()
    done = e.cli("app", "add", "ssh.edge.test", "--protocol", "tcp/22", "--origin", "tcp://127.0.0.1:2222", check=0)
    assert "ssh.edge.test/tcp/22" in done.stdout
    assert wire.ask("tcp", "10.77.0.1", 22) == "2222"
    assert "tcp://127.0.0.1:2222" in e.cli("port", "list", check=0).stdout
    e.cli("port", "edit", "ssh.edge.test/tcp/22", "--protocol", "tcp/2022", check=0)
    assert wire.ask("tcp", "10.77.0.1", 2022) == "2222" and refused(wire.ask("tcp", "10.77.0.1", 22))
    assert "1 apps with 1 ports, steered by the kernel at ports, ports6" in e.cli("status", check=0).stdout
    exported = e.cli("export", check=0).stdout
    assert "tcp/2022" in exported
    path = os.path.join(e.dir, "state.yaml")
    with open(path, "w") as f:
        f.write(exported)
    assert "0 changes" in e.cli("apply", "-f", path, check=0).stdout
    e.cli("port", "delete", "ssh.edge.test/tcp/2022", check=0)
    assert refused(wire.ask("tcp", "10.77.0.1", 2022))
    assert "1 changes\nmade" in e.cli("apply", "-f", path, check=0).stdout.replace("1 change made", "1 changes\nmade")
    assert wire.ask("tcp", "10.77.0.1", 2022) == "2222"


def test_the_verbs_of_app_do_all_that_the_api_does(wire, edge_of):
    """For ports of TCP and UDP: each member by an option, and what is told is what the API has."""
    wire.origin("127.0.0.1", 2222, 2224)
    e = edge_of()
    cli = lambda *words: e.cli(*words, check=0).stdout
    shown = lambda name: json.loads(cli("--output", "json", "app", "show", name))
    cli("app", "add", "ssh.edge.test", "--protocol", "tcp/22", "--origin", "tcp://127.0.0.1:2222", "--guard", "ssh", "--proxy-protocol", "v1", "--tls", "flexible",
        "--client-auth", "report", "--max-connections", "9", "--set", "first_byte_timeout_ms=700", "--set", "idle_timeout_ms=9000", "--set", "connect_timeout_ms=800",
        "--set", "health/interval_ms=1000", "--set", "balance=least_conn", "--set", "edge_ips/connectivity=ipv4", "--set", "ip_firewall=false")
    given = {"tls": "flexible", "guard": "ssh", "proxy_protocol": "v1", "client_auth": "report", "max_connections": 9, "first_byte_timeout_ms": 700,
             "idle_timeout_ms": 9000, "connect_timeout_ms": 800, "balance": "least_conn", "ip_firewall": False}
    app_of = shown("ssh.edge.test/tcp/22")
    assert {k: app_of[k] for k in given} == given
    assert app_of["health"]["interval_ms"] == 1000 and app_of["edge_ips"]["connectivity"] == "ipv4"
    cli("app", "add", "coap.edge.test", "--protocol", "udp/1005-1007", "--origin", "udp://127.0.0.1:2222-2224", "--set", "amplification=3", "--address", "10.77.0.1")
    assert wire.ask("udp", "10.77.0.1", 1006) == "2223 hello" and wire.ask("udp", "fd77::1", 1006) != "2223 hello"
    listed = cli("app", "list")
    assert "tcp/22" in listed and "udp/1005-1007" in listed and "udp://127.0.0.1:2222-2224" in listed
    cli("app", "edit", "ssh.edge.test/tcp/22", "--tls", "off", "--client-auth", "off", "--guard", "none", "--proxy-protocol", "off")
    assert wire.ask("tcp", "10.77.0.1", 22) == "2222" and refused(wire.ask("tcp", "fd77::1", 22))
    cli("origin", "add", "ssh.edge.test/tcp/22", "tcp://127.0.0.1:2223", "--weight", "5")
    cli("origin", "edit", "ssh.edge.test/tcp/22", "tcp://127.0.0.1:2222", "--weight", "0")
    assert "tcp://127.0.0.1:2223" in cli("origin", "list", "ssh.edge.test/tcp/22")
    assert {wire.ask("tcp", "10.77.0.1", 22) for _ in range(4)} == {"2223"}
    cli("origin", "delete", "ssh.edge.test/tcp/22", "tcp://127.0.0.1:2222")
    cli("app", "edit", "ssh.edge.test/tcp/22", "--protocol", "tcp/2022", "--origin", "tcp://127.0.0.1:2224")
    assert wire.ask("tcp", "10.77.0.1", 2022) == "2224"
    assert e.cli("app", "edit", "ssh.edge.test/tcp/2022", "--max-body", "5").returncode == 2
    for name in ("ssh.edge.test/tcp/2022", "coap.edge.test/udp/1005-1007"):
        cli("app", "delete", name)
    assert refused(wire.ask("tcp", "10.77.0.1", 2022)) and wire.ask("udp", "10.77.0.1", 1006) != "2223 hello"
    assert not e.api("GET", e.apps)


def test_an_upgrade_refuses_no_connection_and_keeps_what_is_open(wire, edge_of):
    wire.origin("127.0.0.1", 2222)
    for steer in (True, False):
        e = edge_of(ports={"steer": steer})
        app(e, "tcp/22", "tcp://127.0.0.1:2222")
        app(e, "udp/1005", "udp://127.0.0.1:2222")
        until(lambda: wire.ask("tcp", "10.77.0.1", 22) == "2222")
        talker, answers = wire.client(), []
        thread = threading.Thread(target=lambda t=talker: answers.append(wire.ask("churn", "10.77.0.1", 22, 600, child=t)))
        pinger, lost = wire.client(), []
        pings = threading.Thread(target=lambda t=pinger: lost.append(int(wire.ask("pings", "10.77.0.1", 1005, 2000, child=t))))
        thread.start()
        pings.start()
        engine = e.engine()
        e.signal(signal.SIGUSR2)
        until(lambda old=engine: e.engine() not in (None, old))
        thread.join()
        pings.join()
        failed, done = map(int, answers[0].split())
        assert lost[0] <= 3, "a client that goes on has another session"
        assert failed == 0 and done == 600, answers
        assert wire.ask("udp", "10.77.0.1", 1005) == "2222 hello"
        assert ports_of(e)["way"] == ("steered" if steer else "bound")
        e.stop()


def test_after_a_stop_ports_go_their_usual_way(wire, edge_of):
    e = edge_of()
    app(e, "tcp/22", "tcp://127.0.0.1:2222")
    pins = e.boot["shield"]["pins"]
    assert os.path.exists(f"{pins}/steer_link")
    e.kill()
    assert refused(wire.ask("tcp", "10.77.0.1", 22)), "the program stands, its sockets are gone"
    e.close_api()
    wire.origin("127.0.0.1", 2222)
    e.start(wrapper=wire.inside(wire.edge))
    assert wire.ask("tcp", "10.77.0.1", 22) == "2222", "what is pinned was taken over"
    e.stop()
    assert not os.path.exists(f"{pins}/steer_link")
    wire.origin("10.77.0.1", 22)
    assert wire.ask("tcp", "10.77.0.1", 22) == "22", "another program's socket"
