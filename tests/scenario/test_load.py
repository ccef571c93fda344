"""Many at once: live connections that a revocation ends, half-open handshakes, descriptors that run out."""
import os
import resource
import socket
import ssl
import threading
import time

import pytest

from client import Client, Gone, context
from edge import Edge, RELEASE, slowness, until
from origin import Origin

LIVE = 5000
HALF_OPEN = 10000
pytestmark = pytest.mark.alone  # thousands of connections, and how soon they end


@pytest.fixture(scope="module")
def boot():
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = 2 * HALF_OPEN + 1000
    try:
        resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, min(wanted, hard)) if hard != resource.RLIM_INFINITY else wanted, max(hard, wanted)))
    except (ValueError, OSError):
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    return {"build": RELEASE, "timeouts": {"handshake": "30s", "idle": "10m"}, "limits": {"connections": 30000}}


def enough(count):
    if resource.getrlimit(resource.RLIMIT_NOFILE)[0] < count + 200:
        pytest.skip(f"only {resource.getrlimit(resource.RLIMIT_NOFILE)[0]} descriptors here")


def test_revoking_devices_ends_5000_live_connections(edge, origin, app, host):
    """The last one is closed within a second of the API's answer."""
    enough(LIVE)
    device = edge.device("flock")
    ctx = context(device)
    sessions, clients = [None], []
    for i in range(LIVE):
        address = f"127.0.{1 + i // 2000}.{1 + i % 200}"
        s = socket.socket()
        s.bind((address, 0))
        s.connect(("127.0.0.1", edge.port))
        s.settimeout(20)
        t = ctx.wrap_socket(s, server_hostname=host, session=sessions[-1])
        if i % 50 == 0:
            t.sendall(f"GET / HTTP/1.1\r\nHost: {host}\r\n\r\n".encode())
            assert b" 200 " in t.recv(65536)
            sessions.append(t.session)
        clients.append(t)
    import select
    poll = select.epoll()
    open_ones = {}
    for t in clients:
        t.setblocking(False)
        open_ones[t.fileno()] = t
        poll.register(t.fileno(), select.EPOLLIN | select.EPOLLRDHUP)
    edge.revoke(device)
    answered = time.monotonic()
    while open_ones and time.monotonic() < answered + 20:
        for fd, what in poll.poll(0.2):
            t = open_ones.get(fd)
            try:
                while t.recv(65536):
                    pass
                gone = True
            except (ssl.SSLWantReadError, BlockingIOError):
                gone = False
            except (OSError, ssl.SSLError):
                gone = True
            if gone:
                poll.unregister(fd)
                open_ones.pop(fd)
    took = time.monotonic() - answered
    for t in clients:
        t.close()
    assert not open_ones, f"{len(open_ones)} are still open"
    assert took < slowness(), f"{took:.2f} s"


def test_10000_half_open_handshakes(edge, origin, app, host, lamp):
    """They hold nothing up: keep-alive traffic goes on, and a new device gets in."""
    enough(HALF_OPEN)
    worst, stop = [0.0], threading.Event()
    asked = [0]

    def traffic():
        with edge.client(host, lamp) as c:
            while not stop.is_set():
                start = time.monotonic()
                assert c.get().status == 200
                worst[0] = max(worst[0], time.monotonic() - start)
                asked[0] += 1
    worker = threading.Thread(target=traffic)
    worker.start()
    until(lambda: asked[0] > 5)
    half = []
    hello = b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + bytes(40)
    try:
        for i in range(HALF_OPEN):
            s = socket.socket()
            s.bind((f"127.0.{10 + i // 2000}.{1 + i % 200}", 0))
            s.connect(("127.0.0.1", edge.port))
            if i % 2:
                s.sendall(hello)
            half.append(s)
        before = asked[0]
        assert edge.get(host, "/", lamp).status == 200
        until(lambda: asked[0] > before + 50)
    finally:
        stop.set()
        worker.join(30)
        for s in half:
            s.close()
    assert worst[0] < 2 * slowness(), f"a request took {worst[0]:.2f} s"
    assert edge.metric("ringfence_limit_hits_total", limit="handshakes") > 0
    assert edge.get(host, "/", lamp).status == 200


def test_descriptors_run_out(make_edge, origin):
    """No spinning, no crash; those who are in go on, and new ones get in when there is room."""
    edge = make_edge(timeouts={"handshake": "60s", "idle": "60s"})
    edge.start(wrapper=["prlimit", "--nofile=300:300"])
    edge.app("full.edge.test", origin)
    device = edge.device("insider")
    with edge.client("full.edge.test", device) as inside:
        assert inside.get().status == 200
        crowd = []
        for _ in range(400):
            crowd.append(socket.create_connection(("127.0.0.1", edge.port), 5))
        assert inside.get().status == 200
        cpu, start = engine_cpu(edge), time.monotonic()
        until(lambda: inside.get().status == 200 and time.monotonic() > start + 1, every=0.05)
        assert engine_cpu(edge) - cpu < 0.8, "it spins"
        for s in crowd:
            s.close()
        assert inside.get().status == 200
    def gets_in():
        try:
            return edge.get("full.edge.test", "/", device).status == 200
        except (Gone, OSError):
            return False
    until(gets_in)
    assert edge.metric("ringfence_accept_pauses_total") > 0
    assert edge.metric("ringfence_limit_hits_total", limit="descriptors") > 0


def engine_cpu(edge):
    with open(f"/proc/{edge.engine()}/stat") as f:
        fields = f.read().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def test_connection_limit(make_edge, origin):
    edge = make_edge(limits={"connections": 20}, timeouts={"handshake": "60s"})
    edge.start()
    edge.app("limit.edge.test", origin)
    device = edge.device("first")
    with edge.client("limit.edge.test", device) as inside:
        assert inside.get().status == 200
        crowd = [socket.create_connection(("127.0.0.1", edge.port), 5) for _ in range(60)]
        assert inside.get().status == 200
        for s in crowd:
            s.close()
    until(lambda: edge.metric("ringfence_limit_hits_total", limit="connections") > 0)
    until(lambda: quiet_get(edge, "limit.edge.test", device) == 200)


def quiet_get(edge, host, device):
    try:
        return edge.get(host, "/", device).status
    except (Gone, OSError):
        return 0
