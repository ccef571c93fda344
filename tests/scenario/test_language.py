"""The whole language of rules through a running edge: bodies, forms, place of an address, tokens, packets."""
import base64
import gzip
import hashlib
import hmac
import json
import os
import signal
import sys
import time

import pytest

from edge import Refused, until

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), ".."))
import mmdb  # noqa: E402


@pytest.fixture(autouse=True)
def no_rules(request):
    yield
    if "edge" in request.fixturenames:
        request.getfixturevalue("edge").ruleset([])


FORM = ("content-type", "application/x-www-form-urlencoded")
BODIES = {
    "json": ('lookup_json_string(http.request.body.raw, "cmd", 0) contains ";"', (), b'{"cmd": ["ls; id"]}', b'{"cmd": ["ls"]}'),
    "form": ('any(url_decode(http.request.body.form["host"][*])[*] contains ";")', (FORM,), b"a=1&host=1.1.1.1%3Bid", b"a=1&host=1.1.1.1"),
    "multipart": ('any(http.request.body.multipart.filenames[*][*] contains "..")',
                  (("content-type", "multipart/form-data; boundary=X"),),
                  b'--X\r\ncontent-disposition: form-data; name=f; filename="../../x"\r\n\r\ny\r\n--X--\r\n',
                  b'--X\r\ncontent-disposition: form-data; name=f; filename="x"\r\n\r\ny\r\n--X--\r\n'),
    "elf": ('http.request.body.mime eq "application/x-executable"', (), b"\x7fELF\x01", b"MELF\x01"),
    "gzip": ('http.request.body.raw contains "jndi:"', (("content-encoding", "gzip"),), gzip.compress(b"${jndi:x}"), gzip.compress(b"fine")),
    "size": ("http.request.body.size gt 1000", (), b"x" * 1001, b"x" * 1000),
}


@pytest.mark.parametrize("name", BODIES)
def test_bodies(edge, origin, app, host, lamp, name):
    expression, headers, bad, good = BODIES[name]
    edge.add_rule(expression)
    with edge.client(host, lamp) as c:
        assert c.request("POST", "/", headers, body=bad).status == 403
    with edge.client(host, lamp) as c:
        assert c.request("POST", "/", headers, body=good).status == 200
    assert [r.body for r in origin.requests] == [good]


def test_a_large_body_streams_behind_its_front(edge, origin, app, host, lamp):
    edge.add_rule('http.request.body.raw contains "evil" or not http.request.body.truncated')
    body = os.urandom(1) + b"0123456789abcdef" * 65536
    with edge.client(host, lamp) as c:
        assert c.request("POST", "/", body=body).status == 200
    assert origin.requests[-1].body == body
    edge.ruleset([{"expression": 'http.request.body.raw contains "evil"', "action": "block"}])
    with edge.client(host, lamp) as c:
        assert c.request("POST", "/", body=b"evil" + body[:20000]).status == 403


def geo_edge(make_edge, tmp_path, **more):
    place, asn = str(tmp_path / "place.mmdb"), str(tmp_path / "asn.mmdb")
    mmdb.write(place, "GeoLite2-City", {"127.0.0.0/8": mmdb.BERLIN})
    mmdb.write(asn, "GeoLite2-ASN", {"127.0.0.0/8": {"autonomous_system_number": 64500}})
    return make_edge(geo={"place": place, "asn": asn}, **more).start(), place, asn


def test_a_rule_without_its_database_is_refused(edge):
    with pytest.raises(Refused) as refused:
        edge.add_rule('ip.src.country eq "DE"')
    assert "geo.place" in refused.value.reply.body.decode()
    with pytest.raises(Refused) as refused:
        edge.add_rule("ip.src.asnum eq 64500")
    assert "geo.asn" in refused.value.reply.body.decode()
    with pytest.raises(Refused) as refused:
        edge.add_rule('any(http.request.jwt.claims.sub.values[*] eq "x")')
    assert "tokens.file" in refused.value.reply.body.decode()


def test_place_of_an_address(make_edge, tmp_path):
    edge, place, _ = geo_edge(make_edge, tmp_path)
    rule = 'ip.src.country eq "DE" and ip.src.asnum eq 64500 and ip.src.city eq "Berlin" and ip.src.is_in_european_union'
    edge.ruleset([{"expression": rule, "action": "block"}], zone=False)
    said = edge.api("POST", "/accounts/{account}/explain", {"request": {"host": "x", "src": "127.0.0.1"}})
    assert said["address"]["ip.src.country"] == "DE" and said["address"]["ip.src.asnum"] == 64500
    assert said["verdict"]["outcome"] == "block", said
    said = edge.api("POST", "/accounts/{account}/explain", {"request": {"host": "x", "src": "192.0.2.1"}})
    assert said["verdict"]["outcome"] == "pass" and "ip.src.country" not in said["address"]
    # another file is in force after a reload
    mmdb.write(place, "GeoLite2-City", {"127.0.0.0/8": mmdb.BERN})
    edge.signal(signal.SIGHUP)

    def country():
        o = edge.api("POST", "/accounts/{account}/explain", {"request": {"host": "x", "src": "127.0.0.1"}})
        return o["address"].get("ip.src.country")
    until(lambda: country() == "CH")
    # a broken one is not
    with open(place, "wb") as f:
        f.write(b"\xab\xcd\xefMaxMind.com")
    edge.signal(signal.SIGHUP)
    edge.wait_log("databases of addresses read before stay in force")
    assert country() == "CH"


def token(claims, secret):
    def b64(raw):
        return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()
    text = b64(b'{"alg":"HS256"}') + "." + b64(json.dumps(claims).encode())
    return text + "." + b64(hmac.new(secret, text.encode(), hashlib.sha256).digest())


def test_packets_are_tested(edge):
    syn = "4500002c0001000040060000c0000207c63364019c401a0b00000000000000005002ffff00000000deadbeef"
    rules = {"rulesets": [{"id": "p", "name": "p", "phase": "packet", "rules": [
        {"action": "block", "expression": "ip.dst in {198.51.100.0/24} and tcp.dstport eq 6667 and bit_slice(tcp, 160, 192) eq 0xdeadbeef"}]}],
        "tests": [{"name": "d-bus", "request": {"packet": syn}, "expect": {"action": "block"}},
                  {"name": "other", "request": {"packet": syn.replace("1a0b", "1a0c")}, "expect": {"action": "pass"}}]}
    said = edge.api("POST", "/accounts/{account}/rules/test", rules)
    assert said["passed"] == 2 and said["failed"] == 0, said


def test_tokens(make_edge, tmp_path, origin):
    secret = os.urandom(32)
    path = str(tmp_path / "tokens.json")
    with open(path, "w") as f:
        json.dump([{"id": "main", "token_sources": ['http.request.headers["authorization"][0]'], "credentials": {"keys": [
            {"kty": "oct", "k": base64.urlsafe_b64encode(secret).rstrip(b"=").decode()}]}}], f)
    edge = make_edge(tokens={"file": path}).start()
    host = "tokens.edge.test"
    edge.app(host, origin)
    lamp = edge.device("lamp")
    edge.add_rule('not any(http.request.jwt.claims.sub["main"][*] eq "lamp")')
    now = int(time.time())
    good = token({"sub": "lamp", "exp": now + 100}, secret)
    for bearer, status in ((good, 200), (good[:-2] + "AA", 403), (token({"sub": "other"}, secret), 403),
                           (token({"sub": "lamp", "exp": now - 1000}, secret), 403), (token({"sub": "lamp"}, b"x" * 32), 403)):
        with edge.client(host, lamp) as c:
            assert c.get("/", ("authorization", "Bearer " + bearer)).status == status, bearer
