"""The smuggling corpus through the whole edge: the origin sees the requests that a case allows, and no others.

All cases run at once. Each comes from an address of its own (by a PROXY header), which the edge tells the
origin with each request; a request at the origin that the edge did not make has no such address.
"""
import concurrent.futures
import glob
import os
import re

import pytest

from edge import Edge, ROOT
from origin import Origin

CASES = sorted(glob.glob(os.path.join(ROOT, "tests", "smuggling", "cases", "*.case")))
ESCAPE = re.compile(rb"\\(?:([rnt\\])|x([0-9a-fA-F]{2})|\{(.)\*(\d+)\})", re.S)
HOST = "a.example"


def unescape(text):
    def one(m):
        if m[1]:
            return {b"r": b"\r", b"n": b"\n", b"t": b"\t", b"\\": b"\\"}[m[1]]
        return bytes([int(m[2], 16)]) if m[2] else m[3] * int(m[4])
    return ESCAPE.sub(one, text.replace(b"\n", b""))


def load(path):
    with open(path, "rb") as f:
        head, _, body = f.read().partition(b"---\n")
    return re.search(rb"^expect: (.*)$", head, re.M)[1].decode().strip(), unescape(body)


def allowed(expect):
    """How many requests may reach the origin: those that the parser accepts."""
    if expect.startswith("refuse"):
        return 0
    found = re.match(r"accept (\d+)", expect)
    declined = expect.endswith("tunnel")  # this origin declines upgrades, and then what follows is a request again
    return (int(found[1]) if found else 1) + declined


def address(index):
    return f"10.9.{index // 250}.{index % 250 + 1}"


@pytest.fixture(scope="module")
def seen():
    """{address: (requests at the origin, bytes of the answers)}, and all requests."""
    assert len(CASES) >= 150
    edge, origin = Edge(timeouts={"header": "1s", "body": "1s", "idle": "1s", "response": "3s", "tunnel": "1s"}), Origin()
    port = edge.add_plain(proxy_protocol=True, trusted_proxies=["127.0.0.0/8"])
    edge.start()
    try:
        zone = edge.zone(HOST)
        edge.api("POST", f"/zones/{zone}/apps", {"name": "smuggling", "hosts": [HOST], "client_auth": "off",
                                                 "origins": [{"url": origin.url}]})

        def play(index):
            _, data = load(CASES[index])
            with edge.client(None, tls=False, port=port,
                             before=f"PROXY TCP4 {address(index)} 127.0.0.1 999 80\r\n".encode()) as c:
                try:
                    c.send(data)
                except OSError:
                    pass
                return c.rest()
        with concurrent.futures.ThreadPoolExecutor(24) as pool:
            answers = list(pool.map(play, range(len(CASES))))
        yield answers, list(origin.requests)
    finally:
        origin.stop()
        edge.stop()


@pytest.mark.parametrize("index", range(len(CASES)), ids=[os.path.basename(p)[:-5] for p in CASES])
def test_case(seen, index):
    expect, data = load(CASES[index])
    answers, requests = seen
    mine = [r for r in requests if r.all("x-forwarded-for") == [address(index)]]
    assert len(mine) <= allowed(expect), [r.raw for r in mine]
    statuses = [int(s) for s in re.findall(rb"HTTP/1\.[01] (\d{3}) ", answers[index])]
    if expect.startswith("refuse"):
        assert not statuses or statuses[0] >= 400, statuses
    elif allowed(expect) and re.search(rb"\nHost: a.example\r", data) and not data.startswith((b"CONNECT", b"OPTIONS", b"TRACE")):
        assert len(mine) >= 1, answers[index][:500]


def test_each_request_was_made_by_the_edge(seen):
    _, requests = seen
    known = {address(i) for i in range(len(CASES))}
    assert requests
    for r in requests:
        assert len(r.all("x-forwarded-for")) == 1 and r.get("x-forwarded-for") in known, r.raw
        assert len(r.all("content-length")) + len(r.all("transfer-encoding")) <= 1, r.raw
