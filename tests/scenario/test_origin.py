"""Bad origins: down, hanging, answering nonsense, closing early. The client always gets an answer of the edge."""
import contextlib
import ssl
import time

import pytest

import pki
from client import Gone
from edge import free_port, until
from origin import Origin, message


@pytest.fixture(scope="module")
def boot():
    return {"timeouts": {"response": "1500ms", "connect": "1s"}}


def test_down(edge, origin, app, host, lamp):
    origin.stop()
    answer = edge.get(host, "/", lamp)
    assert answer.status in (502, 503) and answer.json["errors"]
    assert edge.wait_record(Host=host)["Reason"] in ("the origin refuses connections", "no origin is healthy")
    origin.start()
    until(lambda: edge.get(host, "/", lamp).status == 200)


def test_hangs(edge, app, host, lamp):
    start = time.monotonic()
    answer = edge.get(host, "/hang", lamp)
    assert answer.status == 504 and time.monotonic() - start < 5
    assert edge.wait_record(Host=host)["Reason"] == "the origin took too long to answer"


@pytest.mark.parametrize("kind", ["nonsense", "both", "head-only", "close"])
def test_broken_answers(edge, app, host, lamp, kind):
    with edge.client(host, lamp) as c:
        answer = c.request("POST", "/" + kind, body=b"x")
    assert answer.status == 502, answer


def test_short_body_is_not_passed_off_as_whole(edge, app, host, lamp):
    with pytest.raises((Gone, OSError)):
        edge.get(host, "/short", lamp)


def test_closes_between_requests(edge, origin, app, host, lamp):
    """A kept-alive connection that the origin has closed is not the client's problem."""
    with edge.client(host, lamp) as c:
        for _ in range(5):
            assert c.get().status == 200
            for sock in list(origin.live):
                with contextlib.suppress(OSError):  # it has ended by itself
                    sock.shutdown(2)


def test_early_answer_to_a_large_body(edge, origin, app, host, lamp):
    """An origin that answers and leaves before it has read all."""
    origin.answer = lambda request: message(413, b"too much")
    with edge.client(host, lamp) as c:
        c.send(f"POST / HTTP/1.1\r\nHost: {host}\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nx\r\n0\r\n\r\n".encode())
        assert c.read().status == 413


def test_unsafe_requests_are_sent_once(edge, origin, app, host, lamp):
    with edge.client(host, lamp) as c:
        assert c.request("POST", "/close", body=b"order").status == 502
    assert len(origin.requests) == 1


def test_safe_requests_are_tried_again(edge, host, lamp):
    bad, good = Origin(), Origin()
    bad.answer = lambda request: None
    app = edge.app(host, None, origins=[{"url": bad.url}, {"url": good.url}], retries=2)
    assert [edge.get(host, "/", lamp).status for _ in range(6)] == [200] * 6
    edge.delete_app(app)
    bad.stop()
    good.stop()


def test_backup_takes_over_and_hands_back(edge, host, lamp):
    first, backup = Origin(), Origin()
    app = edge.app(host, None, origins=[{"url": first.url}, {"url": backup.url, "backup": True}],
                   passive_fails=1, passive_hold_ms=200)
    assert edge.get(host, "/", lamp).status == 200 and len(first.requests) == 1
    first.stop()
    until(lambda: edge.get(host, "/", lamp).status == 200)
    assert backup.requests
    first.start()
    first.clear()
    until(lambda: edge.get(host, "/", lamp).status == 200 and first.requests)
    edge.delete_app(app)
    first.stop()
    backup.stop()


def test_active_checks(edge, host, lamp):
    sick, well = Origin(), Origin()
    sick.answer = lambda request: message(500)
    app = edge.app(host, None, origins=[{"url": sick.url}, {"url": well.url}],
                   health={"path": "/health", "interval_ms": 100, "timeout_ms": 500, "rise": 1, "fall": 1})
    until(lambda: sick.requests and well.requests)
    until(lambda: all(edge.get(host, "/", lamp).status == 200 for _ in range(8)))
    sick.answer = None
    until(lambda: edge.get(host, "/", lamp).status == 200 and any(r.path == "/" for r in sick.requests))
    edge.delete_app(app)
    sick.stop()
    well.stop()


def test_tls_to_the_origin_is_verified(edge, host, lamp):
    ca = pki.Ca(edge.dir, "backend")
    origin = Origin(tls=ca.server("backend", "backend.test"))
    app = edge.app(host, None, origins=[{"url": origin.url, "tls_name": "backend.test"}], origin_ca=ca.pem)
    assert edge.get(host, "/", lamp).status == 200
    edge.edit_app(app, origins=[{"url": origin.url, "tls_name": "other.test"}])
    answer = edge.get(host, "/", lamp)
    assert answer.status in (502, 503)
    edge.edit_app(app, origins=[{"url": origin.url, "tls_name": "backend.test"}], origin_ca=pki.Ca(edge.dir, "wrong").pem)
    assert edge.get(host, "/", lamp).status in (502, 503)
    assert len(origin.requests) == 1
    edge.delete_app(app)
    origin.stop()


def test_mutual_tls_to_the_origin(edge, host, lamp):
    ca = pki.Ca(edge.dir, "mutual")
    origin = Origin(tls=ca.server("mutual", "mutual.test"), client_ca=ca.path)
    ours = ca.issue("edge-itself")
    shown = edge.api("POST", f"/zones/{edge.zone()}/custom_certificates", {
        "certificate": open(ours.cert).read(), "private_key": open(ours.key).read()})
    app = edge.app(host, None, origins=[{"url": origin.url, "tls_name": "mutual.test"}], origin_ca=ca.pem)
    assert edge.get(host, "/", lamp).status in (502, 503)
    edge.edit_app(app, origin_certificate_id=shown["id"])
    until(lambda: edge.get(host, "/", lamp).status == 200)
    edge.delete_app(app)
    origin.stop()


def test_nothing_listens(edge, host, lamp):
    app = edge.app(host, f"http://127.0.0.1:{free_port()}")
    assert edge.get(host, "/", lamp).status in (502, 503)
    edge.delete_app(app)


def test_a_hanging_origin_does_not_stop_others(edge, origin, app, host, lamp):
    other = Origin()
    second = edge.app("b-" + host, other)
    waiting = [edge.client(host, lamp) for _ in range(50)]
    for c in waiting:
        c.write("GET", "/hang")
    assert [edge.get("b-" + host, "/", lamp).status for _ in range(10)] == [200] * 10
    for c in waiting:
        c.close()
    edge.delete_app(second)
    other.stop()
