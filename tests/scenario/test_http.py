"""The reverse proxy between real ends: bodies, expectations, trailers, upgrades, codings, slow and broken clients."""
import asyncio
import gzip
import subprocess
import zlib

import pytest

from client import Gone, context
from conftest import needs
from edge import until


@pytest.fixture(scope="module")
def boot():
    return {"timeouts": {"header": "700ms", "body": "700ms", "idle": "2s", "response": "1s", "connect": "1s"},
            "limits": {"header_bytes": "8KB"}}


def test_body_up_and_down(edge, origin, app, host, lamp):
    body = bytes(range(256)) * 8192
    with edge.client(host, lamp) as c:
        answer = c.request("PUT", "/up", body=body)
    assert answer.status == 200 and origin.requests[0].body == body


def test_large_answer(edge, app, host, lamp):
    answer = edge.get(host, "/big/9000000", lamp)
    assert len(answer.body) == 9000000


def test_chunked_up_streams(edge, origin, app, host, lamp):
    with edge.client(host, lamp) as c:
        c.send(f"POST /c HTTP/1.1\r\nHost: {host}\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n".encode())
        c.send(b"6;ext=1\r\n world\r\n0\r\n\r\n")
        assert c.read().status == 200
    assert origin.requests[0].body == b"hello world"


def test_chunked_down_with_trailers(edge, app, host, lamp):
    answer = edge.get(host, "/chunked", lamp, [("TE", "trailers")])
    assert answer.body == b"hello world"


def test_head(edge, app, host, lamp):
    with edge.client(host, lamp) as c:
        assert c.request("HEAD", "/").status == 200
        assert c.get("/again").status == 200


@pytest.mark.parametrize("status", [204, 304, 404, 500])
def test_statuses_pass(edge, app, host, lamp, status):
    with edge.client(host, lamp) as c:
        assert c.get(f"/status/{status}").status == status
        assert c.get("/next").status == 200


def test_pipelining(edge, origin, app, host, lamp):
    with edge.client(host, lamp) as c:
        c.send(b"".join(f"GET /{i} HTTP/1.1\r\nHost: {host}\r\n\r\n".encode() for i in range(20)))
        assert [c.read().json["target"] for _ in range(20)] == [f"/{i}" for i in range(20)]


def test_expect_continue(edge, origin, app, host, lamp):
    with edge.client(host, lamp) as c:
        c.send(f"POST / HTTP/1.1\r\nHost: {host}\r\nExpect: 100-continue\r\nContent-Length: 5\r\n\r\n".encode())
        assert c.until(b"\r\n\r\n").startswith(b"HTTP/1.1 100")
        c.send(b"hello")
        assert c.read().status == 200
    assert origin.requests[0].body == b"hello"


def test_keepalive_reaches_few_origin_connections(edge, origin, app, host, lamp):
    with edge.client(host, lamp) as c:
        for _ in range(30):
            assert c.get().status == 200
    assert origin.connections <= 2


def test_http10(edge, app, host, lamp):
    with edge.client(host, lamp) as c:
        c.send(f"GET / HTTP/1.0\r\nHost: {host}\r\n\r\n".encode())
        assert b" 200 " in c.rest().split(b"\r\n")[0]


def test_body_bound(edge, origin, host, lamp):
    app = edge.app(host, origin, max_body=1000)
    with edge.client(host, lamp) as c:
        assert c.request("POST", "/", body=bytes(1001)).status == 413
    with edge.client(host, lamp) as c:
        c.send(f"POST / HTTP/1.1\r\nHost: {host}\r\nTransfer-Encoding: chunked\r\n\r\n".encode())
        for _ in range(4):
            c.send(b"190\r\n" + bytes(0x190) + b"\r\n")
        c.send(b"0\r\n\r\n")
        assert c.read().status == 413
    with edge.client(host, lamp) as c:
        assert c.request("POST", "/", body=bytes(1000)).status == 200
    edge.delete_app(app)


def test_head_bound(edge, origin, app, host, lamp):
    with edge.client(host, lamp) as c:
        assert c.get("/", ("X-Long", "a" * 20000)).status == 431
    with edge.client(host, lamp) as c:
        assert c.get("/" + "a" * 20000).status in (414, 431)
    with edge.client(host, lamp) as c:
        assert c.get("/", *[(f"X-{i}", "a") for i in range(400)]).status == 431
    assert not origin.requests


@pytest.mark.parametrize("garbage", [b"\x00" * 300, b"\xff\xfe" * 200, b"GET\r\n\r\n", b"\r\n" * 50, b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
                                     b"GET / HTTP/9.9\r\nHost: a\r\n\r\n", b" GET / HTTP/1.1\r\n\r\n"],
                         ids=["zeros", "high", "word", "empty-lines", "h2", "version", "space"])
def test_garbage_inside_tls(edge, origin, app, host, lamp, garbage):
    with edge.client(host, lamp) as c:
        c.send(garbage)
        answer = c.rest()
        assert not answer or answer.split(b" ")[1] in (b"400", b"505", b"431", b"408"), answer
    assert not origin.requests
    assert edge.get(host, "/", lamp).status == 200


@pytest.mark.parametrize("garbage", [b"GET / HTTP/1.1\r\nHost: a\r\n\r\n", bytes(600), b"\x16\x03\x01\xff\xff" + bytes(500),
                                     b"\x16\x03\x01\x00\x05\x01\x00\x00\x01\x00", b"\x80\x2e\x01\x03\x01" + bytes(60)],
                         ids=["plain-http", "zeros", "long-record", "short-hello", "sslv2"])
def test_garbage_instead_of_tls(edge, app, host, lamp, garbage):
    with edge.client(host, tls=False) as c:
        c.send(garbage)
        c.rest()
    assert edge.get(host, "/", lamp).status == 200


def test_slow_head(edge, origin, app, host, lamp):
    """A byte now and then does not keep a connection."""
    with edge.client(host, lamp) as c:
        c.send(b"GET / HTTP/1.1\r\n")
        answer = c.rest()
        assert not answer or b" 408 " in answer.split(b"\r\n")[0] + b" "
    assert not origin.requests
    record = edge.wait_record(Reason="the head of the request took too long")
    assert record["Action"] == "block" and record["Layer"] == "limit"


def test_slow_head_drip(edge, origin, app, host, lamp):
    """The bound is for the whole head, however diligently it drips."""
    with edge.client(host, lamp) as c:
        c.sock.settimeout(0.05)
        text = f"GET / HTTP/1.1\r\nHost: {host}\r\nX: ".encode() + b"a" * 500
        try:
            for i in range(len(text)):
                c.send(text[i:i + 1])
                try:
                    if not c.more():
                        break
                except (TimeoutError, OSError):
                    pass
            else:
                raise AssertionError("it was let drip")
        except (Gone, OSError):
            pass
    assert not origin.requests


def test_slow_body(edge, app, host, lamp):
    with edge.client(host, lamp) as c:
        c.send(f"POST / HTTP/1.1\r\nHost: {host}\r\nContent-Length: 100\r\n\r\nsome".encode())
        answer = c.rest()
        assert not answer or b" 408 " in answer.split(b"\r\n")[0] + b" "
    assert edge.get(host, "/", lamp).status == 200


def test_slow_reader_does_not_fill_memory(edge, origin, app, host, lamp):
    """Back-pressure: the origin can send only about what buffers hold."""
    with edge.client(host, lamp) as c:
        c.write("GET", "/endless")
        c.until(b"\r\n\r\n")
        until(lambda: origin.sent_bodies > 0)
        last = -1
        def stands():
            nonlocal last
            now, last = last, origin.sent_bodies
            return now == last
        until(stands, every=0.3)
        assert origin.sent_bodies < 64 << 20


def test_idle_connection_closes(edge, app, host, lamp):
    with edge.client(host, lamp) as c:
        assert c.get().status == 200
        assert c.rest() == b""


def websocket_echo(edge, host, lamp):
    import websockets

    async def talk():
        ctx = context(lamp)
        async with websockets.connect(f"wss://{host}:{edge.port}/socket", ssl=ctx, host="127.0.0.1", port=edge.port,
                                      server_hostname=host, compression=None) as ws:
            # the echo returns our masked frame, so talk to the raw transport
            return ws.response_headers.get("Upgrade"), ws.open
    return asyncio.run(asyncio.wait_for(talk(), 10))


def test_websocket(edge, app, host, lamp):
    """Upgraded, then every byte passes both ways."""
    with edge.client(host, lamp) as c:
        c.write("GET", "/socket", [("Connection", "Upgrade"), ("Upgrade", "websocket"), ("Sec-WebSocket-Version", "13"),
                                   ("Sec-WebSocket-Key", "dGhlIHNhbXBsZSBub25jZQ==")])
        answer = c.read()
        assert answer.status == 101 and answer.get("sec-websocket-accept") == "s3pPLMBiTxaQ9kYGzzhZRbK+xOo="
        for n in (1, 125, 65000, 300000):
            c.send(b"\x82" + bytes(n))
            assert c.exactly(n + 1) == b"\x82" + bytes(n)


def test_websocket_of_a_library(edge, host, lamp):
    """python3-websockets at both ends."""
    import websockets

    async def talk():
        async def echo(ws, *_):
            async for message in ws:
                await ws.send(message)
        async with websockets.serve(echo, "127.0.0.1", 0) as server:
            port = server.sockets[0].getsockname()[1]
            app = await asyncio.to_thread(edge.app, host, f"http://127.0.0.1:{port}")
            async with websockets.connect(f"wss://{host}:{edge.port}/", ssl=context(lamp), host="127.0.0.1", port=edge.port,
                                          server_hostname=host) as ws:
                for message in ("hello", b"\x00\x01" * 40000, "once more"):
                    await ws.send(message)
                    assert await ws.recv() == message
            await asyncio.to_thread(edge.delete_app, app)
    asyncio.run(asyncio.wait_for(talk(), 20))


def test_websocket_switched_off(edge, origin, host, lamp):
    app = edge.app(host, origin, websocket=False)
    with edge.client(host, lamp) as c:
        c.write("GET", "/socket", [("Connection", "Upgrade"), ("Upgrade", "websocket"), ("Sec-WebSocket-Version", "13"),
                                   ("Sec-WebSocket-Key", "dGhlIHNhbXBsZSBub25jZQ==")])
        assert c.read().status != 101
    edge.delete_app(app)


def test_revoke_ends_a_websocket(edge, app, host):
    device = edge.device("talker")
    with edge.client(host, device) as c:
        c.write("GET", "/socket", [("Connection", "Upgrade"), ("Upgrade", "websocket"), ("Sec-WebSocket-Version", "13"),
                                   ("Sec-WebSocket-Key", "dGhlIHNhbXBsZSBub25jZQ==")])
        assert c.read().status == 101
        edge.revoke(device)
        assert c.rest() == b""


def decoded(coding, body):
    if coding == "gzip":
        return gzip.decompress(body)
    if coding == "deflate":
        return zlib.decompress(body)
    if coding == "br":
        import brotli
        return brotli.decompress(body)
    return subprocess.run(["zstd", "-dc"], input=body, stdout=subprocess.PIPE, check=True).stdout


@pytest.mark.parametrize("coding", ["gzip", "br", "zstd"])
def test_answers_are_compressed(edge, app, host, lamp, coding):
    plain = edge.get(host, "/big/60000", lamp).body
    answer = edge.get(host, "/big/60000", lamp, [("Accept-Encoding", coding)])
    assert answer.get("content-encoding") == coding
    assert len(answer.body) < 6000 and decoded(coding, answer.body) == plain
    assert "accept-encoding" in (answer.get("vary") or "").lower()


def test_not_asked_for_not_compressed(edge, app, host, lamp):
    assert edge.get(host, "/big/60000", lamp).get("content-encoding") is None
    assert edge.get(host, "/big/60000", lamp, [("Accept-Encoding", "gzip;q=0, identity")]).get("content-encoding") is None


def test_not_compressed_for_other_sites(edge, app, host, lamp):
    """The length of what another site's page made a browser ask for must tell it nothing."""
    def coding(referer):
        return edge.get(host, "/big/60000", lamp, [("Accept-Encoding", "gzip"), ("Referer", referer)]).get("content-encoding")
    assert coding(f"https://{host}/page") == "gzip" == coding(f"https://{host}:8443/")
    assert coding("https://elsewhere.test/") is None is coding(f"https://{host}.elsewhere.test/") is coding("nonsense")


@pytest.mark.parametrize("coding", ["gzip", "br", "zstd"])
def test_request_bodies_are_decompressed(edge, origin, host, lamp, coding):
    app = edge.app(host, origin, decompress_requests=True)
    text = b'{"t": 21.5}' * 2000
    if coding == "gzip":
        body = gzip.compress(text)
    elif coding == "br":
        import brotli
        body = brotli.compress(text)
    else:
        body = subprocess.run(["zstd", "-c"], input=text, stdout=subprocess.PIPE, check=True).stdout
    with edge.client(host, lamp) as c:
        assert c.request("POST", "/", [("Content-Encoding", coding)], body).status == 200
    assert origin.requests[0].body == text and origin.requests[0].get("content-encoding") is None
    edge.delete_app(app)


def test_bomb(edge, origin, host, lamp):
    """A small body that becomes huge stops at the body's bound."""
    app = edge.app(host, origin, decompress_requests=True, max_body=1 << 20)
    with edge.client(host, lamp) as c:
        try:
            assert c.request("POST", "/", [("Content-Encoding", "gzip")], gzip.compress(bytes(100 << 20))).status in (400, 413, 502)
        except (Gone, OSError):
            pass
    assert not any(len(r.body) > 1 << 20 for r in origin.requests)
    edge.delete_app(app)


def test_rate_of_a_device(edge, origin, app, host):
    edge.klass("slowpokes", rate={"requests": 1, "period_ms": 60000, "burst": 5})
    device = edge.device("slowpoke", "slowpokes")
    assert "request rate: passed" in edge.cli("explain", device.name, f"GET https://{host}/", check=0).stdout
    with edge.client(host, device) as c:
        got = [c.get().status for _ in range(9)]
    assert got == [200] * 5 + [429] * 4
    assert len(origin.requests) == 5
    assert "request rate: refused" in edge.cli("explain", device.name, f"GET https://{host}/", check=0).stdout


def test_rate_of_a_device_that_comes_from_everywhere(edge, origin, app, host):
    """One device, many addresses, all workers: one rate."""
    edge.klass("movers", rate={"requests": 1, "period_ms": 60000, "burst": 5})
    device = edge.device("mover", "movers")
    got = []
    for i in range(24):
        with edge.client(host, device, source=f"127.0.{i}.{7 * i + 1}") as c:
            got.append(c.get().status)
    assert sorted(got) == [200] * 5 + [429] * 19
    assert len(origin.requests) == 5


def test_requests_of_a_class(edge, app, host):
    edge.klass("queuers")
    edge.cli("class", "edit", "queuers", "--class-max-requests", "1", check=0)
    a, b = edge.device("queuer-a", "queuers"), edge.device("queuer-b", "queuers")
    with edge.client(host, a) as one, edge.client(host, b) as two:
        one.send(f"POST /echo HTTP/1.1\r\nHost: {host}\r\nContent-Length: 2\r\n\r\nx".encode())
        until(lambda: two.get().status == 429)
        assert "requests of its class at once: refused" in edge.cli("explain", b.name, f"GET https://{host}/", check=0).stdout
        one.send(b"y")
        assert one.read().status == 200
        until(lambda: two.get().status == 200)


def test_connections_of_a_class(edge, app, host):
    edge.klass("few")
    edge.cli("class", "edit", "few", "--class-max-connections", "1", check=0)
    a, b = edge.device("few-a", "few"), edge.device("few-b", "few")
    with edge.client(host, a) as one, edge.client(host, b) as two:
        assert one.get().status == 200 and two.get().status == 429
        assert "connections of its class: refused" in edge.cli("explain", b.name, f"GET https://{host}/", check=0).stdout
    until(lambda: "connections of its class: passed" in edge.cli("explain", b.name, f"GET https://{host}/", check=0).stdout)
    with edge.client(host, b) as two:
        assert two.get().status == 200


def test_rate_of_an_address(make_edge, origin):
    edge = make_edge(workers=1, limits={"requests_per_address": 3})
    edge.start()
    edge.app("edge.test", origin, client_auth="off")
    with edge.client("edge.test") as c:
        answers = [c.get() for _ in range(8)]
    assert [r.status for r in answers[:3]] == [200] * 3
    assert answers[-1].status == 429 and answers[-1].get("retry-after") == "1"
    assert edge.metric("ringfence_limit_hits_total", limit="requests_per_address") >= 4


def test_connections_of_a_device(edge, app, host):
    edge.klass("loners", max_connections=2)
    device = edge.device("loner", "loners")
    with edge.client(host, device) as a, edge.client(host, device) as b:
        assert a.get().status == b.get().status == 200
        try:
            with edge.client(host, device) as c:
                assert c.get().status in (403, 429, 503)
        except (Gone, OSError):
            pass
    def again():
        with edge.client(host, device) as c:
            return c.get().status == 200
    until(again)


@needs("h2load")
def test_h2load(edge, app, host, lamp):
    done = subprocess.run(["h2load", "--h1", "-n", "400", "-c", "8", "-t", "1", f"--connect-to=127.0.0.1:{edge.port}",
                           f"https://{host}:{edge.port}/"], capture_output=True, text=True, timeout=60, check=False)
    assert "400 done" in done.stdout and " 400 4xx" in done.stdout, done.stdout  # no certificate: each refused


@needs("ab")
def test_ab(edge, origin, app, host, lamp):
    both = f"{edge.dir}/{lamp.name}.both"
    with open(both, "w") as f:
        f.write(open(lamp.cert).read() + open(lamp.key).read())
    done = subprocess.run(["ab", "-k", "-n", "500", "-c", "10", "-E", both, "-H", f"Host: {host}",
                           f"https://localhost:{edge.port}/"], capture_output=True, text=True, timeout=60, check=False)
    assert "Complete requests:      500" in done.stdout, done.stdout + done.stderr
