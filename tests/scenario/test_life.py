"""Starting, reloading, dying, draining and being upgraded, with clients at work all the time."""
import os
import re
import shutil
import signal
import socket
import ssl
import subprocess
import threading
import time

import pytest

from client import Client, Gone, context
from edge import ACCUSATIONS, Edge, free_port, slowness, until
from origin import Origin


class Traffic:
    """Keep-alive clients that never stop; each asks again on a new connection when its own has ended, or, where they are `fresh`,
    after each answer."""

    def __init__(self, edge, host, identity, clients=4, fresh=False):
        self.edge, self.host, self.identity, self.fresh = edge, host, identity, fresh
        self.good = self.reconnects = 0
        self.refused = []          # connections that the kernel refused
        self.bad = []              # answers that were none
        self.lost = []             # requests without an answer
        self.gaps = []             # seconds between two good answers of a client
        self.done = threading.Event()
        self.threads = [threading.Thread(target=self.work, daemon=True) for _ in range(clients)]

    def __enter__(self):
        for t in self.threads:
            t.start()
        until(lambda: self.good > 20)
        return self

    def __exit__(self, *_):
        self.done.set()
        for t in self.threads:
            t.join(20)

    def more(self, count=30):
        """Until so many more good answers."""
        goal = self.good + count
        until(lambda: self.good >= goal)

    def work(self):
        connection, last = None, time.monotonic()
        ctx = context(self.identity)
        while not self.done.is_set():
            try:
                if not connection:
                    connection = Client(self.edge.port, self.host, ctx=ctx, seconds=10)
                answer = connection.get("/work")
                if answer.status != 200:
                    self.bad.append(answer)
                    continue
                now = time.monotonic()
                self.gaps.append(now - last)
                last = now
                self.good += 1
                if self.fresh or (answer.get("connection") or "").lower() == "close":
                    raise Gone("told to close")
                time.sleep(0.002)
            except ConnectionRefusedError as error:
                self.refused.append(error)
                connection = None
                time.sleep(0.01)
            except (Gone, OSError) as error:
                if str(error) != "told to close":
                    self.lost.append(error)
                if connection:
                    connection.close()
                connection = None
                self.reconnects += 1
        if connection:
            connection.close()


@pytest.fixture
def busy(make_edge):
    """An edge with an app and traffic: busy(**boot) gives (edge, host, device)."""
    origins = []

    def make(**boot):
        origins.append(Origin())
        edge = make_edge(**boot)
        edge.start()
        edge.app("life.edge.test", origins[-1])
        return edge, "life.edge.test", edge.device("worker")
    yield make
    for o in origins:
        o.stop()


def test_starts_quickly(make_edge):
    edge = make_edge()
    start = time.monotonic()
    edge.start()
    assert time.monotonic() - start < 5


def test_check_and_version(make_edge):
    edge = make_edge()
    edge.write()
    done = subprocess.run([edge.program("ringfenced"), "--check", "--config", edge.config], capture_output=True, text=True, timeout=30, check=False)
    assert done.returncode == 0, done
    assert not os.path.exists(edge.data), "a check changes nothing"
    done = subprocess.run([edge.program("ringfenced"), "--version"], capture_output=True, text=True, timeout=30, check=False)
    assert done.returncode == 0 and done.stdout.startswith("ringfenced ")


@pytest.mark.parametrize("text, words", [
    ("workrs: 2\n", "workers"), ("workers: many\n", ":1:"), ("workers: [1\n", ":"), ("limits:\n  connections: 0\n", ":2:"),
    ("listeners:\n  - address: 127.0.0.1:99999\n", ":2:"), ("listeners:\n  - name: x\n", "address"),
    ("api:\n  certificate: /nonexistent.pem\n", "/nonexistent.pem"), ("workers: 1\nworkers: 2\n", ":2:"), ("\x00\n", ""),
], ids=["unknown-key", "bad-value", "bad-yaml", "out-of-range", "bad-port", "no-address", "missing-file", "twice", "zero-byte"])
def test_bad_boot_file_does_not_start(make_edge, text, words):
    edge = make_edge()
    edge.write(text)
    for extra in ([], ["--check"]):
        done = subprocess.run([edge.program("ringfenced"), *extra, "--config", edge.config], capture_output=True, text=True, timeout=30, check=False)
        assert done.returncode not in (0, -6, -11), done
        assert edge.config in done.stderr and words in done.stderr, done.stderr


def test_no_boot_file(make_edge):
    edge = make_edge()
    done = subprocess.run([edge.program("ringfenced"), "--config", edge.dir + "/none.yaml"], capture_output=True, text=True, timeout=30, check=False)
    assert done.returncode and "none.yaml" in done.stderr


def test_port_in_use(make_edge):
    edge = make_edge()
    with socket.create_server(("127.0.0.1", edge.port)):
        edge.write()
        done = subprocess.run([edge.program("ringfenced"), "--config", edge.config], capture_output=True, text=True, timeout=30, check=False)
    assert done.returncode and str(edge.port) in done.stderr, done


def test_engine_has_no_privileges(busy):
    edge, host, device = busy()
    pid = edge.engine()
    with open(f"/proc/{pid}/status") as f:
        status = f.read()
    assert re.search(r"^CapEff:\s+0+$", status, re.M) and re.search(r"^CapPrm:\s+0+$", status, re.M)
    assert re.search(r"^NoNewPrivs:\s+1$", status, re.M) and re.search(r"^Seccomp:\s+2$", status, re.M)
    if os.geteuid() == 0:
        assert re.search(r"^Uid:\s+(\d+)", status, re.M)[1] != "0"


def test_files_are_private(busy):
    edge, _, _ = busy()
    open_to_others = []
    for where, _, files in os.walk(edge.data):
        for f in files:
            mode = os.stat(os.path.join(where, f)).st_mode & 0o777
            if mode & 0o077 and ("key" in f or f.startswith("state.db")):
                open_to_others.append((f, oct(mode)))
    assert not open_to_others


def test_state_survives_a_restart(busy):
    edge, host, device = busy()
    edge.add_rule('http.request.uri.path eq "/no"')
    edge.signal(signal.SIGTERM)
    edge.child.wait(20)
    edge.close_api()
    edge.start()
    assert edge.get(host, "/", device).status == 200
    assert edge.get(host, "/no", device).status == 403


def test_reload_good(busy):
    edge, host, device = busy()
    with Traffic(edge, host, device) as traffic:
        edge.boot["listeners"].append({"name": "second", "address": f"127.0.0.1:{(port := free_port())}",
                                       "tls": {"certificate": edge.server.cert, "key": edge.server.key}})
        edge.boot["timeouts"] = {"idle": "9s"}
        edge.boot["workers"] = 3
        edge.write()
        before = edge.metric("ringfence_reloads_total", result="ok")
        edge.signal(signal.SIGHUP)
        until(lambda: edge.metric("ringfence_reloads_total", result="ok") == before + 1)
        until(lambda: Client(port, host, device).get().status == 200 if listening(port) else False)
        for _ in range(2):  # named each time until that restart
            told = edge.cli("reload", check=0)
            assert "after a restart only: workers" in told.stderr and "idle" not in told.stderr, told
        traffic.more()
    assert not traffic.lost and not traffic.bad and not traffic.refused and not traffic.reconnects


def listening(port):
    try:
        socket.create_connection(("127.0.0.1", port), 1).close()
        return True
    except OSError:
        return False


def shown_by(port):
    """The certificate that a port shows."""
    return ssl.get_server_certificate(("127.0.0.1", port))


def test_own_certificates_stay():
    """What the API and a host without a certificate of its own show outlives a reload, a crash and a restart."""
    edge = Edge()
    del edge.boot["listeners"][0]["tls"]
    edge.start()
    try:
        first = shown_by(edge.api_port), shown_by(edge.port)
        assert edge.cli("reload").returncode == 0
        assert (shown_by(edge.api_port), shown_by(edge.port)) == first
        edge.signal(signal.SIGTERM)
        edge.child.wait(30)
        edge.close_api()
        edge.start()
        assert (shown_by(edge.api_port), shown_by(edge.port)) == first
    finally:
        edge.stop()


def test_reload_bad_keeps_the_old(busy):
    edge, host, device = busy()
    with Traffic(edge, host, device) as traffic:
        edge.write("workers: 2\nlisteners: [\n")
        done = edge.cli("reload")
        assert done.returncode == 1 and "ringfence.yaml" in done.stdout + done.stderr, done
        mark = len(edge.logged())
        edge.signal(signal.SIGHUP)
        edge.wait_log("ringfence.yaml:", start=mark)
        edge.write()
        os.unlink(edge.server.key)
        done = edge.cli("reload")
        assert done.returncode and os.path.basename(edge.server.key) in done.stdout + done.stderr, done
        traffic.more()
    assert not traffic.lost and not traffic.bad and not traffic.refused and not traffic.reconnects
    assert edge.metric("ringfence_reloads_total", result="failed") >= 2
    with edge.client(host, device) as c:
        assert c.get().status == 200


def test_reload_is_all_or_nothing(busy):
    """What is wrong with one part keeps all others from being in force too, whichever is built last."""
    edge, host, device = busy()
    before = shown_by(edge.port), shown_by(edge.api_port)
    good, other = edge.server_ca.server("all", "edge.test", "*.edge.test"), edge.server_ca.server("other", "localhost")
    with Traffic(edge, host, device) as traffic:
        edge.boot["listeners"].append({"name": "second", "address": f"127.0.0.1:{(port := free_port())}"})
        edge.boot["api"].update(certificate=other.cert, key=good.key)  # a key of another
        edge.boot["ca"] = {"base_url": "http://ca.example/"}
        edge.set_server(good)
        edge.write()
        done = edge.cli("reload")
        assert done.returncode == 1 and "key" in done.stderr, done
        assert (shown_by(edge.port), shown_by(edge.api_port)) == before and not listening(port)
        assert "ca.example" not in certificate_text(edge.device("of-before").cert)
        edge.boot["api"]["key"] = other.key
        edge.write()
        assert edge.cli("reload").returncode == 0
        assert shown_by(edge.port) != before[0] and shown_by(edge.api_port) != before[1] and listening(port)
        text = certificate_text(edge.device("of-after").cert)
        assert "URI:http://ca.example/crl" in text and "OCSP - URI:http://ca.example/ocsp" in text, text
        traffic.more()
    assert not traffic.lost and not traffic.bad and not traffic.refused and not traffic.reconnects


def certificate_text(path):
    return subprocess.run(["openssl", "x509", "-in", path, "-noout", "-text"], capture_output=True, text=True, check=True).stdout


def test_the_api_moves_with_a_reload(busy):
    """Its new address serves, its old one is free again, and calls under way end well."""
    edge, _, _ = busy()
    old, new = edge.api_port, free_port()
    edge.boot["api"]["listen"] = f"127.0.0.1:{new}"
    edge.write()
    for _ in range(10):  # more often than it has listeners
        old, new = new, old
        edge.boot["api"]["listen"] = f"127.0.0.1:{old}"
        edge.write()
        told = edge.cli("reload", check=0)
        assert "restart" not in told.stderr, told
        until(lambda: not listening(new))
        with Client(old, "localhost") as c:
            assert c.get("/healthz").status == 200
    edge.api_port = old


def test_a_listener_of_old_versions_says_so(busy):
    """TLS 1.1 where a listener says so, and loudly: at a check and in the log."""
    edge, host, device = busy()
    port = free_port()
    edge.boot["listeners"].append({"name": "legacy", "address": f"127.0.0.1:{port}",
                                   "tls": {"certificate": edge.server.cert, "key": edge.server.key, "min_version": "1.1"}})
    edge.write()
    done = subprocess.run([edge.program("ringfenced"), "--check", "--config", edge.config], capture_output=True, text=True, timeout=30, check=False)
    assert done.returncode == 0 and "legacy" in done.stderr and "TLS below 1.2, which is broken" in done.stderr, done
    mark = len(edge.logged())
    edge.cli("reload", check=0)
    edge.wait_log("accepts TLS below 1.2", start=mark)
    for at, version in ((port, "TLSv1.1"), (edge.port, None)):
        done = subprocess.run(["openssl", "s_client", "-connect", f"127.0.0.1:{at}", "-servername", host, "-tls1_1", "-cipher", "ALL:@SECLEVEL=0",
                               "-cert", device.cert, "-key", device.key], input="", capture_output=True, text=True, timeout=20, check=False)
        assert (f"Protocol  : {version}" in done.stdout) if version else ("Cipher is (NONE)" in done.stdout), done.stdout


class Manager:
    """The service manager's end of sd_notify(3)."""

    def __init__(self, directory):
        self.path = os.path.join(directory, "notify")
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.socket.bind(self.path)
        self.socket.settimeout(30)
        self.told = []

    def until(self, words):
        """Every datagram up to the first with these words."""
        start = len(self.told)
        while not any(words in lines for lines in self.told[start:]):
            self.told.append(self.socket.recv(4096).decode().split("\n"))
        return self.told[start:]


def test_the_service_manager_is_told(make_edge):
    """READY when it serves and not before, RELOADING and READY, the watchdog, a failed reload, an upgrade, STOPPING."""
    edge = make_edge(shutdown={"drain": "1s"})
    manager = Manager(edge.dir)
    edge.start(env={"NOTIFY_SOCKET": manager.path, "WATCHDOG_USEC": "400000"})
    manager.until("READY=1")
    with Client(edge.api_port, "localhost") as c:
        assert c.get("/readyz").status == 200
    edge.cli("reload", check=0)
    manager.until("RELOADING=1")
    manager.until("READY=1")
    manager.until("WATCHDOG=1")
    edge.signal(signal.SIGUSR2)
    manager.until("READY=1")
    manager.until("WATCHDOG=1")
    edge.signal(signal.SIGTERM)
    manager.until("STOPPING=1")
    assert edge.child.wait(20) == 0
    manager.socket.close()


@pytest.mark.skipif(not shutil.which("systemd-analyze"), reason="systemd is not installed")
def test_the_unit_is_sound_and_strict(tmp_path):
    """What systemd itself says of the unit: no mistake, and little that the service could do to the machine."""
    from edge import ROOT, RELEASE
    with open(os.path.join(ROOT, "packaging", "systemd", "ringfenced.service")) as f:
        text = f.read()
    unit = tmp_path / "ringfenced.service"
    unit.write_text(text.replace("/usr/sbin/ringfenced", os.path.join(RELEASE, "ringfenced")))
    done = subprocess.run(["systemd-analyze", "verify", "--man=no", str(unit)], capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0 and "ringfenced.service" not in done.stderr, done
    done = subprocess.run(["systemd-analyze", "security", "--offline=true", "--threshold=35", "--no-pager", str(unit)],
                          capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stdout[-3000:]


def test_certificate_swap(busy):
    """A new certificate is served to the next handshake; nobody is dropped."""
    edge, host, device = busy()
    def served():
        with edge.client(host) as c:
            return c.sock.getpeercert(True)
    before = served()
    with Traffic(edge, host, device) as traffic:
        for i in range(3):
            edge.set_server(edge.server_ca.server(f"again{i}", "edge.test", "*.edge.test"))
            assert edge.cli("reload").returncode == 0
            now = served()
            assert now != before
            before = now
        traffic.more()
    assert not traffic.lost and not traffic.bad and not traffic.refused and not traffic.reconnects


@pytest.mark.parametrize("kind", ["asan", pytest.param("release", marks=pytest.mark.alone)])
def test_engine_killed_under_load(busy, kind):
    """SIGKILL: serves again within 100 ms (release; sanitizers are slower), and nobody is refused. The best of some counts."""
    from edge import RELEASE
    edge, host, device = busy(**({} if kind == "asan" else {"build": RELEASE}))
    bound, worst = (0.1 if kind == "release" else 3) * slowness(), []
    with Traffic(edge, host, device) as traffic:
        while len(worst) < 2 or (min(worst) >= bound and len(worst) < 5):
            old = edge.engine()
            del traffic.gaps[:]
            os.kill(old, signal.SIGKILL)
            traffic.more(60)
            until(lambda: edge.engine() not in (None, old))
            worst.append(max(traffic.gaps))
            if len(worst) > 1:
                time.sleep(2.1)  # one that dies young again is started later
        assert edge.raw("GET", "/readyz").status == 200
    assert not traffic.refused and not traffic.bad
    assert min(worst) < bound, f"{min(worst) * 1000:.0f} ms without an answer, not {bound * 1000:.0f}"


def test_monitor_killed_takes_the_engine_along(busy):
    edge, host, device = busy()
    engine = edge.engine()
    os.kill(edge.child.pid, signal.SIGKILL)
    edge.child.wait()
    until(lambda: not os.path.exists(f"/proc/{engine}") or "Z" in open(f"/proc/{engine}/stat").read().split()[2])
    edge.close_api()
    edge.start()
    assert edge.get(host, "/", device).status == 200


def test_sigterm_drains(busy):
    """What is under way ends well; idle connections close; the exit status is 0."""
    edge, host, device = busy()
    slow = edge.client(host, device)
    slow.send(f"POST / HTTP/1.1\r\nHost: {host}\r\nContent-Length: 10\r\n\r\n12345".encode())
    idle = edge.client(host, device)
    assert idle.get().status == 200
    edge.signal(signal.SIGTERM)
    assert idle.rest() == b""
    until(lambda: not listening(edge.port))
    slow.send(b"67890")
    answer = slow.read()
    assert answer.status == 200 and answer.json["body"] == "1234567890"
    assert edge.child.wait(10) == 0


def test_drain_has_a_bound(busy):
    edge, host, device = busy(shutdown={"drain": "300ms"})
    with edge.client(host, device) as c:
        c.write("GET", "/hang")
        until(lambda: edge.metric("ringfence_connections_accepted_total") >= 1)
        edge.signal(signal.SIGTERM)
        start = time.monotonic()
        edge.child.wait(15)
        assert time.monotonic() - start < 5


def test_second_sigterm_ends_at_once(busy):
    edge, host, device = busy(shutdown={"drain": "60s"})
    with edge.client(host, device) as c:
        c.write("GET", "/hang")
        edge.signal(signal.SIGTERM)
        until(lambda: not listening(edge.port))
        edge.signal(signal.SIGTERM)
        edge.child.wait(10)


def test_upgrade(busy):
    """SIGUSR2: the program on disk takes over the sockets and nobody is refused. Idle connections are closed, as they may
    be at any time."""
    edge, host, device = busy(shutdown={"drain": "10s"})
    old = edge.engine()
    with Traffic(edge, host, device) as traffic:
        edge.signal(signal.SIGUSR2)
        until(lambda: not os.path.exists(f"/proc/{old}"))
        traffic.more(60)
        edge.close_api()
        assert edge.raw("GET", "/readyz").status == 200
    assert edge.engine() not in (None, old) and edge.child.poll() is None
    assert not traffic.refused and not traffic.bad and len(traffic.lost) <= len(traffic.threads)


def test_upgrade_loses_no_handshake(busy):
    """Who has connected, and has not asked yet, is still answered."""
    edge, host, device = busy(shutdown={"drain": "10s"}, workers=1)
    idle, early = (Client(edge.port, host, ctx=context(device)) for _ in range(2))
    assert idle.get("/work").status == 200
    with Traffic(edge, host, device, fresh=True) as traffic:
        for upgrade in range(2):
            old = edge.engine()
            edge.signal(signal.SIGUSR2)
            if upgrade == 0:
                assert idle.rest() == b""  # the old one drains
                answer = early.get("/work")
                assert answer.status == 200 and answer.get("connection").lower() == "close"
            until(lambda: not os.path.exists(f"/proc/{old}"), 20)
            traffic.more(20)
    assert not traffic.refused and not traffic.bad and not traffic.lost


def test_upgrade_to_a_bad_boot_file(busy):
    """The old one stays."""
    edge, host, device = busy()
    with Traffic(edge, host, device) as traffic:
        edge.write("nonsense: 1\n")
        mark = len(edge.logged())
        edge.signal(signal.SIGUSR2)
        edge.wait_log("nonsense", start=mark)
        traffic.more()
    assert edge.child.poll() is None
    assert not traffic.lost and not traffic.bad and not traffic.refused


@pytest.mark.skipif(not shutil.which("faketime"), reason="faketime is not installed")
def test_clock_steps_back(make_edge, origin):
    """Days back while running: rules, records and the API go on; certificates are judged by the new time, and rates by none."""
    from edge import RELEASE
    edge = make_edge(build=RELEASE)
    stamp = os.path.join(edge.dir, "faketime")
    with open(stamp, "w") as f:
        f.write("+0")
    os.chmod(stamp, 0o644)
    lib = next((os.path.join(w, "libfaketime.so.1") for w, _, fs in os.walk("/usr/lib") if "libfaketime.so.1" in fs), None)
    if not lib:
        pytest.skip("no libfaketime")
    edge.boot["sandbox"] = {"read": stamp}
    edge.start(env={"LD_PRELOAD": lib, "FAKETIME_TIMESTAMP_FILE": stamp, "FAKETIME_NO_CACHE": "1", "FAKETIME_DONT_FAKE_MONOTONIC": "1"})
    app = edge.app("clock.edge.test", origin)
    device = edge.device("clockwork")
    assert edge.get("clock.edge.test", "/", device).status == 200
    with edge.client("clock.edge.test", device) as standing:
        assert standing.get().status == 200
        with open(stamp, "w") as f:
            f.write("-172800")
        for _ in range(3):
            assert edge.get("clock.edge.test", "/", device).status == 403, "of before its certificate began"
            edge.edit_app(app, name="clock-" + os.urandom(2).hex())
        edge.wait_record(Host="clock.edge.test", Status=403, Reason="certificate is not yet valid")
        edge.add_rule('http.request.uri.path eq "/stopped"')
        assert standing.rest() == b"", "what stands is judged again when anything changes"
        with open(stamp, "w") as f:
            f.write("+0")
        assert edge.get("clock.edge.test", "/stopped", device).status == 403
    edge.klass("paced", rate={"requests": 1, "period_ms": 60000, "burst": 2})
    paced = edge.device("paced", "paced")
    assert [edge.get("clock.edge.test", "/", paced).status for _ in range(3)] == [200, 200, 429]
    for step in ("-1800", "+0", "+1800"):
        with open(stamp, "w") as f:
            f.write(step)
        assert edge.get("clock.edge.test", "/", paced).status == 429, "rates do not know the time of day"
    with open(stamp, "w") as f:
        f.write("+0")
    assert edge.get("clock.edge.test", "/", device).status == 200
    assert not ACCUSATIONS.search(edge.logged())
