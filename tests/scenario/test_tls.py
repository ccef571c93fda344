"""TLS as others see it: versions, names, sessions, early data, PROXY headers, and what testssl.sh has to say."""
import json
import os
import shutil
import socket
import ssl
import struct
import subprocess

import pytest

from client import Client, Gone, context
from conftest import needs
from edge import free_port


def s_client(edge, host, *words, text="", identity=None):
    command = ["openssl", "s_client", "-connect", f"127.0.0.1:{edge.port}", "-servername", host, "-CAfile", edge.server_ca.path, *words]
    if identity:
        command += ["-cert", identity.cert, "-key", identity.key]
    return subprocess.run(command, input=text, capture_output=True, text=True, timeout=20, check=False)


def test_s_client(edge, app, host, lamp):
    done = s_client(edge, host, "-ign_eof", identity=lamp, text=f"GET /hello HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n")
    assert "Verify return code: 0" in done.stdout and "HTTP/1.1 200" in done.stdout, done.stdout[-2000:]
    assert "TLSv1.3" in done.stdout


@pytest.mark.parametrize("version", ["-tls1", "-tls1_1"])
def test_old_versions_are_refused(edge, app, host, lamp, version):
    done = s_client(edge, host, version, "-cipher", "ALL:@SECLEVEL=0", identity=lamp)
    assert "Cipher is (NONE)" in done.stdout or "no protocols" in done.stderr, done.stdout


def test_tls12(edge, app, host, lamp):
    with edge.client(host, ctx=context(lamp, high=ssl.TLSVersion.TLSv1_2)) as c:
        assert c.sock.version() == "TLSv1.2" and c.get().status == 200


def test_alpn(edge, app, host, lamp):
    ctx = context(lamp)
    ctx.set_alpn_protocols(["h2", "http/1.1"])
    with edge.client(host, ctx=ctx) as c:
        assert c.sock.selected_alpn_protocol() == "http/1.1" and c.get().status == 200


def test_certificates_by_name(edge, origin, host, lamp):
    own = edge.server_ca.server("own", host)
    made = edge.api("POST", f"/zones/{edge.zone()}/custom_certificates", {
        "certificate": open(own.cert).read(), "private_key": open(own.key).read()})
    app = edge.app(host, origin)
    from cryptography.hazmat.primitives.serialization import Encoding
    with edge.client(host, lamp) as c:
        assert c.sock.getpeercert(True) == own.leaf.public_bytes(Encoding.DER)
        assert c.get().status == 200
    edge.api("DELETE", f"/zones/{edge.zone()}/custom_certificates/{made['id']}")
    with edge.client(host, lamp) as c:
        assert c.sock.getpeercert(True) == edge.server.leaf.public_bytes(Encoding.DER)
    edge.delete_app(app)


def early(edge, host, lamp, path, session):
    """openssl s_client with early data, and one more request for where that is not taken; its output."""
    data = os.path.join(edge.dir, "early")
    with open(data, "w") as f:
        f.write(f"GET {path} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n")
    return s_client(edge, host, "-ign_eof", "-sess_in", session, "-early_data", data, identity=lamp,
                    text=f"GET /after-early-data HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n")


def session_of(edge, host, lamp):
    path = os.path.join(edge.dir, "session-" + os.urandom(4).hex())
    s_client(edge, host, "-ign_eof", "-sess_out", path, identity=lamp, text=f"GET / HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n")
    assert os.path.exists(path)
    return path


def test_no_early_data_by_default(edge, origin, app, host, lamp):
    session = session_of(edge, host, lamp)
    origin.clear()
    done = early(edge, host, lamp, "/first", session)
    assert "Early data was accepted" not in done.stdout
    assert [r.path for r in origin.requests] == ["/after-early-data"]


def test_early_data_where_idempotent(edge, origin, host, lamp):
    app = edge.app(host, origin, idempotent_paths=["/readings"])
    session = session_of(edge, host, lamp)
    origin.clear()
    done = early(edge, host, lamp, "/readings/1", session)
    assert "Early data was accepted" in done.stdout and "HTTP/1.1 200" in done.stdout, done.stdout[-1500:]
    assert origin.requests[0].get("early-data") in ("1", None)
    replay = early(edge, host, lamp, "/readings/1", session)
    assert "Early data was accepted" not in replay.stdout, "a ticket is taken once"
    assert len(origin.requests) <= 2
    edge.delete_app(app)


def test_early_data_elsewhere_waits(edge, origin, host, lamp):
    """A path that is not marked is not served from early data as it is."""
    app = edge.app(host, origin, idempotent_paths=["/readings"])
    session = session_of(edge, host, lamp)
    origin.clear()
    done = early(edge, host, lamp, "/orders", session)
    served = [r for r in origin.requests if r.path == "/orders"]
    assert not served or "HTTP/1.1 200" in done.stdout
    assert "425" in done.stdout or "HTTP/1.1 200" in done.stdout or "rejected" in done.stdout
    edge.delete_app(app)


def proxy_v2(src, dst, sport, dport):
    body = socket.inet_aton(src) + socket.inet_aton(dst) + struct.pack("!HH", sport, dport)
    return b"\r\n\r\n\x00\r\nQUIT\n\x21\x11" + struct.pack("!H", len(body)) + body


@pytest.fixture(scope="module")
def behind_proxy(request):
    from edge import Edge
    from origin import Origin
    edge, origin = Edge(), Origin()
    port = free_port()
    edge.boot["listeners"].append({"name": "proxied", "address": f"127.0.0.1:{port}", "proxy_protocol": True,
                                   "trusted_proxies": ["127.0.0.1/32"],
                                   "tls": {"certificate": edge.server.cert, "key": edge.server.key}})
    edge.start()
    try:
        edge.app("proxied.edge.test", origin)
        yield edge, origin, port, edge.device("far-away")
    finally:
        origin.stop()
        edge.stop()


@pytest.mark.parametrize("header", [b"PROXY TCP4 203.0.113.7 192.0.2.1 5555 443\r\n", proxy_v2("203.0.113.7", "192.0.2.1", 5555, 443)],
                         ids=["v1", "v2"])
def test_proxy_protocol(behind_proxy, header):
    edge, origin, port, device = behind_proxy
    origin.clear()
    with Client(port, "proxied.edge.test", device, before=header) as c:
        assert c.get().status == 200
    assert origin.requests[0].get("x-forwarded-for") == "203.0.113.7"
    assert edge.wait_record(SourceIP="203.0.113.7")["SourcePort"] == 5555


@pytest.mark.parametrize("header", [b"", b"PROXY TCP4 nonsense\r\n", b"PROXY UNKNOWN" + b"x" * 200 + b"\r\n", b"\r\n\r\n\x00\r\nQUIT\n\xff\xff\xff\xff"],
                         ids=["none", "broken", "long", "broken-v2"])
def test_proxy_protocol_is_a_must(behind_proxy, header):
    edge, origin, port, device = behind_proxy
    origin.clear()
    with pytest.raises((Gone, OSError)):
        Client(port, "proxied.edge.test", device, before=header).get()
    assert not origin.requests


def test_proxy_protocol_of_strangers(behind_proxy):
    edge, _, port, device = behind_proxy
    with socket.create_connection(("127.0.0.1", port), 10, source_address=("127.0.0.2", 0)) as s, pytest.raises(OSError):
        s.sendall(b"PROXY TCP4 203.0.113.7 192.0.2.1 5555 443\r\n")
        with context(device).wrap_socket(s, server_hostname="proxied.edge.test") as t:
            t.sendall(b"GET / HTTP/1.1\r\nHost: proxied.edge.test\r\n\r\n")


@pytest.mark.skipif(not (shutil.which("testssl") or shutil.which("testssl.sh")), reason="testssl.sh is not installed")
def test_testssl(make_edge, origin, tmp_path):
    """No finding above low, of all that it looks at, for a host that shows a certificate of the edge's own CA. Left out is what the
    openssl of this machine cannot do for testssl."""
    from edge import RELEASE
    edge = make_edge(build=RELEASE)
    edge.boot["ca"] = {"base_url": f"https://edge.test:{edge.port}/.well-known/pki"}
    del edge.boot["listeners"][0]["tls"]
    edge.start()
    edge.app("edge.test", origin, client_auth="off")
    says = {"Content-Security-Policy": "default-src 'none'", "X-Frame-Options": "DENY", "Strict-Transport-Security": "max-age=31536000"}
    edge.ruleset([{"expression": "true", "action": "rewrite", "action_parameters": {
        "headers": {name: {"operation": "set", "value": value} for name, value in says.items()}}}], phase="http_response")
    root = tmp_path / "root.crt"
    root.write_text(edge.cli("ca", "show", check=0).stdout)

    def findings(attempt):
        report = tmp_path / f"testssl-{attempt}.json"
        subprocess.run([shutil.which("testssl") or "testssl.sh", "--quiet", "--color", "0", "--warnings", "batch", "--ip", "127.0.0.1",
                        "--add-ca", str(root), "--severity", "LOW", "--jsonfile", str(report), "--nodns", "none",
                        "--openssl", "/usr/bin/openssl", f"edge.test:{edge.port}"],
                       capture_output=True, text=True, timeout=900, check=False)
        return [f for f in json.loads(report.read_text()) if f["id"] != "engine_problem"]

    # WARN is a check that testssl could not finish, for which it gets another chance; a finding is final.
    for attempt in range(3):
        now = findings(attempt)
        assert not [f for f in now if f["severity"] in ("MEDIUM", "HIGH", "CRITICAL", "FATAL")], now
        if not [f for f in now if f["severity"] == "WARN"]:
            return
    assert False, now
