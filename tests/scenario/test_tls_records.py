"""Established TLS 1.3 connections, which the edge keeps without libssl, against other people's TLS."""
import os
import socket
import ssl
import subprocess
import threading
import time

import pytest

from client import Client, Gone, context, pour
from conftest import needs

SUITES = ["TLS_AES_128_GCM_SHA256", "TLS_AES_256_GCM_SHA384", "TLS_CHACHA20_POLY1305_SHA256"]


class Talk:
    """A command-line client that is spoken to line by line."""

    def __init__(self, *command):
        self.child = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
        self.seen = b""
        self.reader = threading.Thread(target=self.read, daemon=True)
        self.reader.start()

    def read(self):
        while got := os.read(self.child.stdout.fileno(), 65536):
            self.seen += got

    def say(self, text):
        self.child.stdin.write(text.encode())
        self.child.stdin.flush()

    def until(self, words, count=1, seconds=30):
        end = time.monotonic() + seconds
        while self.seen.count(words.encode()) < count:
            assert time.monotonic() < end, f"no {words!r} x {count} in {self.seen[-3000:]!r}"
            time.sleep(0.02)

    def close(self):
        self.child.stdin.close()
        self.child.wait(20)
        self.reader.join(5)


def request(host, path="/"):
    return f"GET {path} HTTP/1.1\r\nHost: {host}\r\n\r\n"


@pytest.mark.parametrize("suite", SUITES)
def test_openssl_changes_keys(edge, app, host, lamp, suite):
    t = Talk("openssl", "s_client", "-connect", f"127.0.0.1:{edge.port}", "-servername", host, "-CAfile", edge.server_ca.path,
             "-cert", lamp.cert, "-key", lamp.key, "-ciphersuites", suite)
    t.until("Verify return code: 0")
    answers = 0
    for command in ("", "k", "K", "K", "k", "K"):
        if command:
            t.say(command + "\n")
            t.until("KEYUPDATE", answers)
        t.say(request(host, "/hello"))
        answers += 1
        t.until("HTTP/1.1 200", answers)
    t.close()
    assert f"Cipher is {suite}".encode() in t.seen


@needs("gnutls-cli")
@pytest.mark.parametrize("cipher", ["AES-128-GCM", "AES-256-GCM", "CHACHA20-POLY1305"])
def test_gnutls_changes_keys(edge, app, host, lamp, cipher):
    t = Talk("gnutls-cli", "--no-ca-verification", "--x509certfile", lamp.cert, "--x509keyfile", lamp.key, "--sni-hostname", host,
             "--priority", f"NORMAL:-VERS-ALL:+VERS-TLS1.3:-CIPHER-ALL:+{cipher}", "--inline-commands", "-p", str(edge.port), "127.0.0.1")
    t.until("Simple Client Mode")
    answers = rekeyed = 0
    for command in ("", "^rekey1^", "^rekey^", "^rekey^", "^rekey1^"):
        if command:
            t.say(command + "\n")
            rekeyed += 1
            t.until("Rekey was completed", rekeyed)
        t.say(request(host, "/hello"))
        answers += 1
        t.until("HTTP/1.1 200", answers)
    t.close()


def tls13(identity):
    return context(identity, low=ssl.TLSVersion.TLSv1_3)


def test_large_bodies_both_ways(edge, app, host, lamp):
    body = os.urandom(3_000_000)
    with edge.client(host, ctx=tls13(lamp)) as c:
        for _ in range(2):
            answer = c.request("POST", "/echo", body=body)
            assert answer.status == 200 and answer.json["body"].encode("latin-1") == body
        got = c.request("GET", "/big/5000000")
        assert len(got.body) == 5_000_000 and got.body[45:90] == got.body[:45]


def test_a_slow_reader(edge, app, host, lamp):
    with edge.client(host, ctx=tls13(lamp)) as c:
        c.write("GET", "/big/3000000")
        time.sleep(1)  # the edge's socket is full by now
        assert len(c.read().body) == 3_000_000
        assert c.request("GET", "/").status == 200


def test_curl(edge, app, host, lamp, tmp_path):
    upload = tmp_path / "upload"
    upload.write_bytes(os.urandom(700_000))
    for suite in SUITES:
        done = edge.curl(host, "/echo", lamp, "--tlsv1.3", "--tls13-ciphers", suite, "--data-binary", f"@{upload}", "-o", os.devnull,
                         "-w", "%{http_code} ", "--next", "-sS", "--resolve", f"{host}:{edge.port}:127.0.0.1", "--cacert", edge.server_ca.path,
                         "--cert", lamp.cert, "--key", lamp.key, "-o", os.devnull, "-w", "%{http_code} ", f"https://{host}:{edge.port}/big/100000")
        assert done.stdout.count("200") == 2, done.stderr


def test_pipelined_requests_in_single_bytes(edge, app, host, lamp):
    """A record a byte."""
    with edge.client(host, ctx=tls13(lamp)) as c:
        for byte in (request(host) + request(host)).encode():
            c.send(bytes([byte]))
        assert c.read().status == 200 and c.read().status == 200


class Between:
    """Somebody on the wire, who passes bytes on; `change(n, record)` may alter the n-th record of the client after the handshake."""

    def __init__(self, port, change):
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.port = self.listener.getsockname()[1]
        self.change, self.far = change, socket.create_connection(("127.0.0.1", port))
        self.thread = threading.Thread(target=self.run, daemon=True)
        self.armed = False
        self.thread.start()

    def run(self):
        near, _ = self.listener.accept()
        back = threading.Thread(target=pour, args=(self.far, near), daemon=True)
        back.start()
        buf, n = b"", 0
        while got := near.recv(65536):
            buf += got
            while len(buf) >= 5 and len(buf) >= (size := 5 + int.from_bytes(buf[3:5], "big")):
                record, buf = buf[:size], buf[size:]
                out = record
                if self.armed:
                    out = self.change(n, record)
                    n += 1
                if out is None:
                    self.far.shutdown(socket.SHUT_WR)
                    return
                self.far.sendall(out)

    def stop(self):
        self.listener.close()
        self.far.close()


def flipped(n, record):
    return record[:7] + bytes([record[7] ^ 1]) + record[8:] if n == 1 else record


def twice(_, record):
    return record * 2


def overlong(n, record):
    return b"\x17\x03\x03\x41\x01" + record if n == 1 else record


def in_the_clear(n, record):
    return b"\x14\x03\x03\x00\x01\x01" + record if n == 1 else record


@pytest.mark.parametrize("change, alert", [(flipped, "BAD_RECORD_MAC"), (twice, "BAD_RECORD_MAC"), (overlong, "RECORD_OVERFLOW"),
                                           (in_the_clear, "UNEXPECTED_MESSAGE")])
def test_records_that_somebody_changed(edge, app, host, lamp, change, alert):
    wire = Between(edge.port, change)
    try:
        with Client(wire.port, host, ctx=tls13(lamp)) as c:
            assert c.request("GET", "/").status == 200
            time.sleep(0.1)
            wire.armed = True
            with pytest.raises((Gone, ssl.SSLError, OSError)) as seen:
                for _ in range(3):
                    c.request("GET", "/changed")
            assert alert in str(seen.value).upper().replace(" ", "_"), seen.value
    finally:
        wire.stop()
    assert edge.get(host, identity=lamp).status == 200


def test_a_request_that_is_cut_off(edge, origin, app, host, lamp):
    """Between two records of a body the connection ends without a good-bye: the origin never gets a whole request."""
    wire = Between(edge.port, lambda n, record: record if n < 2 else None)
    try:
        with Client(wire.port, host, ctx=tls13(lamp)) as c:
            assert c.request("GET", "/").status == 200
            time.sleep(0.1)
            origin.clear()
            wire.armed = True
            try:
                c.send(f"POST /upload HTTP/1.1\r\nHost: {host}\r\nContent-Length: 100000\r\n\r\n".encode())
                for _ in range(4):
                    c.send(b"x" * 10000)
                assert c.read().status in (400, 408)
            except (Gone, OSError):
                pass
    finally:
        wire.stop()
    assert not [r for r in origin.requests if len(r.body) == 100000]
    assert edge.get(host, identity=lamp).status == 200


def test_good_byes(edge, app, host, lamp):
    with edge.client(host, ctx=tls13(lamp)) as c:
        c.write("GET", "/", headers=[("Connection", "close")])
        assert c.read().status == 200
        assert c.sock.recv(10) == b""  # close_notify: ssl raises where there is none
    with edge.client(host, ctx=tls13(lamp)) as c:
        assert c.request("GET", "/").status == 200
        try:
            c.sock.unwrap()
        except (ssl.SSLError, OSError):
            pass  # the edge may close at once
    assert edge.get(host, identity=lamp).status == 200


def test_a_smaller_fragment(edge, app, host, lamp):
    """A small device asks for records of 512 bytes [RFC 6066 4]."""
    done = subprocess.run(["openssl", "s_client", "-connect", f"127.0.0.1:{edge.port}", "-servername", host, "-maxfraglen", "512", "-cert", lamp.cert,
                           "-key", lamp.key, "-ign_eof"], input=request(host, "/big/5000").replace("\r\n\r\n", "\r\nConnection: close\r\n\r\n"),
                          capture_output=True, text=True, timeout=30, check=False)
    assert done.stdout.count("the quick brown fox") > 100, done.stdout[-500:]
