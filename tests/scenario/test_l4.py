"""TCP ports with real clients: SSH, MQTT over TLS with a device's certificate, PROXY headers, half-closes, resets, bulk."""
import hashlib
import os
import shutil
import socket
import socketserver
import ssl
import struct
import subprocess
import threading
import time

import pytest

from conftest import listens
from edge import free_port, slowness, until

SECONDS = 20


@pytest.fixture(scope="module")
def boot():
    return {"ports": {"steer": False}, "limits": {"connections_per_address": 0}, "timeouts": {"connect": "2s"}}


class Server:
    """An origin: `talk(self, socket)` for each connection. Ends with the test."""

    def __init__(self, talk):
        outer = self

        class Handler(socketserver.BaseRequestHandler):
            def handle(self):
                self.request.settimeout(SECONDS)
                try:
                    talk(outer, self.request)
                except OSError as e:
                    outer.errors.append(e)

        class Listener(socketserver.ThreadingTCPServer):
            allow_reuse_address = daemon_threads = True
        self.errors, self.seen = [], []
        self.server = Listener(("127.0.0.1", 0), Handler)
        self.port = self.server.server_address[1]
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def stop(self):
        self.server.shutdown()
        self.server.server_close()


@pytest.fixture
def serve():
    made = []

    def start(talk):
        made.append(Server(talk))
        return made[-1]
    yield start
    for s in made:
        s.stop()


def connect(port, source=None):
    return socket.create_connection(("127.0.0.1", port), SECONDS, source and (source, 0))


def read_all(s):
    got = b""
    while part := s.recv(65536):
        got += part
    return got


def echo(server, s):
    while part := s.recv(65536):
        s.sendall(part)


def ended(s):
    """The edge has ended it, in whichever way."""
    try:
        return s.recv(1) == b""
    except ConnectionResetError:
        return True


def record(edge, app, event, **more):
    return edge.wait_record(Application=app, Event=event, **more)


# --- bytes and ends

def test_half_close_by_socat(edge, ports, serve):
    origin = serve(lambda o, s: s.sendall(read_all(s)[::-1]))
    port, _, app = ports(origin.port)
    done = subprocess.run(["socat", "-t", "10", "-", f"TCP:127.0.0.1:{port}"], input=b"question", capture_output=True, timeout=SECONDS, check=True)
    assert done.stdout == b"noitseuq"
    end = record(edge, app, "disconnect")
    assert end["Status"] == 200 and end["BytesIn"] == end["BytesOut"] == end["OriginBytesIn"] == end["OriginBytesOut"] == 8
    begun = record(edge, app, "connect")
    assert begun["SessionID"] == end["SessionID"] and begun["Origin"] == f"tcp://127.0.0.1:{origin.port}"


def test_bulk_both_ways_at_once(edge, ports, serve):
    port, _, app = ports(serve(echo).port)
    block, size = os.urandom(1 << 20), 48
    sent, got = hashlib.sha256(), hashlib.sha256()
    with connect(port) as s:
        def send():
            for _ in range(size):
                s.sendall(block)
                sent.update(block)
            s.shutdown(socket.SHUT_WR)
        sender = threading.Thread(target=send)
        sender.start()
        while part := s.recv(1 << 20):
            got.update(part)
        sender.join()
    assert got.digest() == sent.digest()
    end = record(edge, app, "disconnect")
    assert end["Status"] == 200 and end["BytesIn"] == end["BytesOut"] == size << 20
    assert edge.metric("ringfence_l4_spliced_bytes_total") > size << 19


def reset(s):
    s.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    s.close()


def test_resets_pass_to_the_other_side(edge, ports, serve):
    port, _, app = ports(serve(lambda o, s: (s.recv(5), reset(s))).port)
    with connect(port) as s:
        s.sendall(b"hello")
        with pytest.raises(ConnectionResetError):
            s.recv(1)
    assert record(edge, app, "originError")["Status"] == 444
    silent = serve(lambda o, s: s.recv(1))
    port, _, app = ports(silent.port)
    s = connect(port)
    record(edge, app, "connect")
    reset(s)
    assert record(edge, app, "disconnect")["Status"] == 499
    assert isinstance(until(lambda: silent.errors)[0], ConnectionResetError)


def test_the_next_origin_and_none(edge, ports, serve):
    closed = free_port()
    port, _, app = ports(closed, serve(echo).port)
    for _ in range(4):
        with connect(port) as s:
            s.sendall(b"x")
            assert s.recv(1) == b"x"
    port, _, app = ports(closed)
    with connect(port) as s:
        assert ended(s)
    assert record(edge, app, "originError")["Status"] == 521


# --- what is spoken

def test_ssh_keyscan_passes_the_guard_and_a_browser_does_not(edge, ports, serve):
    def sshd(o, s):
        s.sendall(b"SSH-2.0-OpenSSH_9.2 edge-test\r\n")
        o.seen.append(s.recv(4096) + s.recv(4096))
    origin = serve(sshd)
    port, _, app = ports(origin.port, guard="ssh")
    scan = subprocess.run(["ssh-keyscan", "-T", "5", "-p", str(port), "127.0.0.1"], capture_output=True, text=True, timeout=SECONDS, check=False)
    assert "SSH-2.0-OpenSSH_9.2 edge-test" in scan.stdout + scan.stderr
    assert until(lambda: origin.seen)[0].startswith(b"SSH-2.0-")
    with connect(port) as s:
        assert s.recv(4) == b"SSH-"
        s.sendall(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
        read_all_or_reset(s)
    end = record(edge, app, "clientFiltered")
    assert end["Status"] == 403 and end["Layer"] == "guard" and "SSH" in end["Reason"]
    assert b"GET" not in b"".join(origin.seen)


def read_all_or_reset(s):
    try:
        return read_all(s)
    except ConnectionResetError:
        return b""


def test_a_silent_client_is_not_kept(edge, ports, serve):
    port, _, app = ports(serve(echo).port, guard="modbus", first_byte_timeout_ms=300)
    with connect(port) as s:
        assert ended(s)
    assert record(edge, app, "disconnect")["Status"] == 497
    with connect(port) as s:
        request = bytes.fromhex("000100000006010300000001")
        s.sendall(request)
        assert s.recv(64) == request
        s.sendall(bytes.fromhex("0002000000060183"))
        assert ended(s)
    assert record(edge, app, "clientFiltered")["Reason"] == "a Modbus function code that no request has"


# --- TLS and devices

def context(device=None):
    c = ssl.create_default_context()
    c.check_hostname, c.verify_mode = False, ssl.CERT_NONE
    if device:
        c.load_cert_chain(device.cert, device.key)
    return c


def test_mqtt_gets_tls_and_certificates(edge, ports, broker, tmp_path):
    lamp = edge.device("mqtt-lamp")
    roots = tmp_path / "roots.pem"
    roots.write_text(edge.server_ca.pem)
    port, _, app = ports(broker, tls="flexible", client_auth="enforce", guard="mqtt")
    common = ["-h", "127.0.0.1", "-p", str(port), "--cafile", str(roots), "--insecure", "-t", "lamps/1", "-V", "5"]
    who = ["--cert", lamp.cert, "--key", lamp.key]
    hears = subprocess.Popen(["mosquitto_sub", *common, *who, "-C", "1", "-W", "15"], stdout=subprocess.PIPE, text=True)
    record(edge, app, "connect", DeviceID=lamp.id)
    for _ in range(20): # until the subscription stands
        subprocess.run(["mosquitto_pub", *common, *who, "-m", "on"], check=True, timeout=SECONDS, capture_output=True)
        if hears.poll() is not None:
            break
        time.sleep(0.1)
    assert hears.communicate(timeout=SECONDS)[0] == "on\n"
    stranger = subprocess.run(["mosquitto_pub", *common, "-m", "off"], check=False, timeout=SECONDS, capture_output=True)
    assert stranger.returncode
    assert record(edge, app, "clientFiltered")["Status"] == 403


def parts(header):
    """Address and type-length-values of a PROXY header of version 2."""
    assert header[:12] == b"\r\n\r\n\0\r\nQUIT\n" and header[12:14] == b"\x21\x11"
    size = struct.unpack(">H", header[14:16])[0]
    body, tlvs = header[28:16 + size], {}
    while body:
        kind, n = struct.unpack(">BH", body[:3])
        tlvs[kind], body = body[3:3 + n], body[3 + n:]
    return socket.inet_ntoa(header[16:20]), struct.unpack(">HH", header[24:28]), tlvs, header[16 + size:]


def test_the_origin_is_told_the_device(edge, ports, serve):
    def take(o, s):
        o.seen.append(s.recv(4096))
        s.sendall(b"seen\n")
    lamp = edge.device("told-lamp")
    origin = serve(take)
    port, _, app = ports(origin.port, tls="flexible", client_auth="enforce", proxy_protocol="v2")
    done = subprocess.run(["openssl", "s_client", "-connect", f"127.0.0.1:{port}", "-servername", "told.edge.test", "-cert", lamp.cert, "-key", lamp.key,
                           "-cert_chain", lamp.cert, "-quiet", "-ign_eof"], input=b"", capture_output=True, timeout=SECONDS, check=False)
    assert b"seen" in done.stdout, done.stderr
    source, (_, dst_port), tlvs, rest = parts(origin.seen[0])
    assert source == "127.0.0.1" and dst_port == port and rest == b""
    tls = tlvs[0x20]
    inner, sub = tls[5:], {}
    while inner:
        kind, n = struct.unpack(">BH", inner[:3])
        sub[kind], inner = inner[3:3 + n], inner[3 + n:]
    assert tls[0] & 1 and tls[0] & 6 and tls[1:5] == b"\0\0\0\0", "TLS, with a certificate, verified"
    assert sub[0x21].startswith(b"TLSv1.") and sub[0x22] == b"told-lamp" and sub[0x23]
    assert tlvs[0xe1].decode() == lamp.id and len(tlvs[0xe0]) == 40
    end = record(edge, app, "disconnect")
    assert tlvs[5].decode() == end["SessionID"] and tlvs[0xe0].decode() == end["ClientCertSKI"] and end["DeviceName"] == "told-lamp"


def test_revoking_ends_what_is_live(edge, ports, serve):
    lamp = edge.device("lost-lamp")
    port, _, app = ports(serve(echo).port, tls="flexible", client_auth="enforce")
    with context(lamp).wrap_socket(connect(port), server_hostname="lost.edge.test") as s:
        s.sendall(b"still here")
        assert s.recv(64) == b"still here"
        began = time.monotonic()
        edge.revoke(lamp)
        assert ended_tls(s)
        assert time.monotonic() - began < slowness()
    end = record(edge, app, "clientFiltered")
    assert end["Status"] == 403 and end["DeviceID"] == lamp.id


def ended_tls(s):
    try:
        return s.recv(1) == b""
    except (ConnectionResetError, ssl.SSLError):
        return True


def test_tls_to_the_origin_with_the_header_before_it(edge, ports, serve):
    inside = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    inside.load_cert_chain(edge.server.cert, edge.server.key)

    def secret(o, s):
        line = b""
        while not line.endswith(b"\r\n"):
            line += s.recv(1)
        with inside.wrap_socket(s, server_side=True) as t:
            o.seen.append(line)
            t.sendall(t.recv(64).upper())
            t.recv(1)
    origin = serve(secret)
    port, _, app = ports(origin.port, tls="full", proxy_protocol="v1")
    with context().wrap_socket(connect(port), server_hostname="full.edge.test") as s:
        s.sendall(b"quiet")
        assert s.recv(64) == b"QUIET"
        mine = s.getsockname()[1]
    assert until(lambda: origin.seen)[0].decode() == f"PROXY TCP4 127.0.0.1 127.0.0.1 {mine} {port}\r\n"
    port, _, app = ports(origin.port, tls="strict", proxy_protocol="v1") # its certificate is of no CA that is trusted
    with context().wrap_socket(connect(port), server_hostname="strict.edge.test") as s:
        assert ended_tls(s)
    assert record(edge, app, "originError")["Status"] == 520


def test_haproxy_understands_the_header(edge, ports, serve, tmp_path):
    if not shutil.which("haproxy"):
        pytest.skip("haproxy is not installed")
    origin, port = serve(lambda o, s: (o.seen.append(s.recv(4096)), s.sendall(b"ok"))), free_port()
    conf = tmp_path / "haproxy.cfg"
    conf.write_text(f"defaults\n mode tcp\n timeout connect 5s\n timeout client 5s\n timeout server 5s\nfrontend f\n bind 127.0.0.1:{port} accept-proxy\n"
                    f" default_backend b\nbackend b\n server s 127.0.0.1:{origin.port} send-proxy\n")
    child = subprocess.Popen(["haproxy", "-db", "-q", "-f", str(conf)])
    try:
        until(lambda: listens(port))
        edge_port, _, _ = ports(port, proxy_protocol="v2")
        with connect(edge_port, "127.0.0.7") as s:
            s.sendall(b"hello")
            assert s.recv(2) == b"ok"
            mine = s.getsockname()[1]
        assert f"PROXY TCP4 127.0.0.7 127.0.0.1 {mine} {edge_port}\r\n".encode() in [seen[:seen.find(b"\n") + 1] for seen in origin.seen]
    finally:
        child.terminate()
        child.wait(10)


# --- what changes meanwhile

def test_access_rules_and_deletion_end_what_is_live(edge, ports, serve):
    port, path, app = ports(serve(echo).port)
    with connect(port, "127.0.0.9") as barred, connect(port) as other:
        for s in (barred, other):
            s.sendall(b"x")
            assert s.recv(1) == b"x"
        rule = edge.api("POST", "/user/firewall/access_rules/rules", {"mode": "block", "configuration": {"target": "ip", "value": "127.0.0.9"}})
        assert ended(barred)
        assert record(edge, app, "clientFiltered", SourceIP="127.0.0.9")["Status"] == 403
        edge.api("DELETE", f"/user/firewall/access_rules/rules/{rule['id']}")
        other.sendall(b"y")
        assert other.recv(1) == b"y"
        edge.api("PATCH", path, {"idle_timeout_ms": 60000})
        other.sendall(b"z")
        assert other.recv(1) == b"z", "a change of its port does not end it"
        edge.api("DELETE", path)
        assert ended(other)
    assert not listens(port)


def test_rules_of_connection_see_the_first_bytes(edge, ports, serve):
    origin = serve(lambda o, s: (o.seen.append(s.recv(64)), s.sendall(b"ok")))
    port, _, app = ports(origin.port, first_byte_timeout_ms=5000)
    edge.ruleset([{"expression": f'tcp.dstport eq {port} and starts_with(tcp.payload.first, "GET ")', "action": "block"}], phase="connection")
    with connect(port) as s:
        s.sendall(b"GET / HTTP/1.1\r\n")
        assert ended(s)
    assert record(edge, app, "clientFiltered")["Layer"] == "rule"
    assert not origin.seen
    with connect(port) as s:
        s.sendall(b"hello, world")
        assert s.recv(2) == b"ok"
