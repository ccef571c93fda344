"""The whole language of rules through a running edge: bodies, forms, place of an address, tokens, packets."""
import base64
import gzip
import hashlib
import hmac
import json
import os
import signal
import subprocess
import sys
import time
import urllib.parse

import pytest

from edge import Refused, until
from hello import Hello, Tap

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
    # with a broken one, or without the one that rules need, the reload is refused
    with open(place, "wb") as f:
        f.write(b"\xab\xcd\xefMaxMind.com")
    done = edge.cli("reload")
    assert done.returncode == 1 and place in done.stderr and country() == "CH", done
    del edge.boot["geo"]["place"]
    edge.write()
    done = edge.cli("reload")
    assert done.returncode == 1 and "rules in force need a database of addresses" in done.stderr and country() == "CH", done


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


HELLOS = {
    "curl": ["curl", "-sS", "-k", "--cert", "{cert}", "--key", "{key}", "https://{host}:{port}/", "--resolve", "{host}:{port}:127.0.0.1"],
    "curl-without-alpn": ["curl", "-sS", "-k", "--no-alpn", "--cert", "{cert}", "--key", "{key}", "https://{host}:{port}/", "--resolve", "{host}:{port}:127.0.0.1"],
    "curl-tls-1.2": ["curl", "-sS", "-k", "--tls-max", "1.2", "--cert", "{cert}", "--key", "{key}", "https://{host}:{port}/", "--resolve", "{host}:{port}:127.0.0.1"],
    "openssl-odd-alpn": ["openssl", "s_client", "-connect", "127.0.0.1:{port}", "-servername", "{host}", "-quiet", "-alpn", "x-,http/1.1", "-cert", "{cert}", "-key", "{key}"],
    "openssl-few-ciphers": ["openssl", "s_client", "-connect", "127.0.0.1:{port}", "-servername", "{host}", "-quiet", "-ciphersuites", "TLS_AES_128_GCM_SHA256",
                            "-cipher", "ECDHE-ECDSA-AES128-GCM-SHA256", "-groups", "P-256", "-cert", "{cert}", "-key", "{key}"],
    "gnutls": ["gnutls-cli", "--no-ca-verification", "-p", "{port}", "--sni-hostname", "{host}", "--x509certfile", "{cert}", "--x509keyfile", "{key}", "127.0.0.1"],
}


@pytest.mark.parametrize("name", HELLOS)
def test_fingerprints_of_hellos(edge, origin, app, host, lamp, name):
    """What rules see as JA3 and JA4 is what the bytes on the wire give, by a computation of our own."""
    tap = Tap(edge.port)
    try:
        words = [w.format(cert=lamp.cert, key=lamp.key, host=host, port=tap.port) for w in HELLOS[name]]
        request = f"GET / HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n"

        def ask():
            subprocess.run(words, input=request, timeout=20, capture_output=True, text=True, check=False)
            return Hello(tap.first[-1])
        first = ask()
        assert len(origin.requests) == 1
        edge.add_rule(f'cf.bot_management.ja4 eq "{first.ja4()}" and tls.ja4 eq "{first.ja4()}" and cf.bot_management.ja3_hash eq "{first.ja3()}"')
        second = ask()
        assert (first.ja4(), first.ja3()) == (second.ja4(), second.ja3())
        assert len(origin.requests) == 1, (first.ja4(), first.ja3())
    finally:
        tap.close()


TIMED = 'is_timed_hmac_valid_v0("mysecrettoken", http.request.uri, 100, http.request.timestamp.sec, 8)'
TIMED_SAFE = 'is_timed_hmac_valid_v0("mysecrettoken", http.request.uri, 100, http.request.timestamp.sec, 8, "s")'


def mac(message, stamp):
    return hmac.new(b"mysecrettoken", (message + str(stamp)).encode(), hashlib.sha256).digest()


def test_a_message_with_a_time_and_a_mac(edge, origin, app, host, lamp):
    """Made here with another HMAC, in base64 percent-encoded, plain, and of the URL alphabet without padding."""
    now = int(time.time())
    edge.add_rule(f'http.request.uri.path ne "/safe" and not {TIMED}')
    edge.add_rule(f'http.request.uri.path eq "/safe" and not {TIMED_SAFE}')
    cases = []
    for i in range(16):   # many, so that the MACs have each of - _ + / =
        stamp = now - i
        plain, safe = base64.b64encode(mac(f"/{i}.jpg", stamp)).decode(), base64.urlsafe_b64encode(mac("/safe", stamp)).decode().rstrip("=")
        for path, status in ((f"/{i}.jpg?verify={stamp}-{urllib.parse.quote(plain, safe='')}", 200), (f"/{i}.jpg?verify={stamp}-{plain}", 200),
                             (f"/x{i}.jpg?verify={stamp}-{urllib.parse.quote(plain, safe='')}", 403), (f"/{i}.jpg?verify={stamp + 1}-{plain}", 403),
                             (f"/safe?verify={stamp}-{safe}", 200), (f"/safe?verify={stamp}-{safe[:-1]}", 403), (f"/safe?verify={stamp}{safe}", 403)):
            cases.append((path, status))
    late, early = now - 101, now + 60
    cases += [(f"/a?verify={t}-{base64.b64encode(mac('/a', t)).decode()}", 403) for t in (late, early)]
    cases += [("/a", 403), ("/a?verify=", 403), (f"/a?verify={now}-", 403), (f"/a?verify={now}", 403), ("/a?verify=-", 403)]
    with edge.client(host, lamp) as c:
        wrong = [(path, got) for path, status in cases if (got := c.get(path).status) != status]
    assert not wrong, wrong


def test_rules_over_bodies_larger_than_what_they_make_of_them(make_edge, origin):
    """What functions make of a body may be as large as what rules see of it, and what only logs stops nothing, whatever the body."""
    edge = make_edge(limits={"rule_body": "1MB"}).start()
    host = "bodies.edge.test"
    edge.app(host, origin)
    lamp = edge.device("lamp")
    body = "http.request.body.raw"
    decoded = [f'url_decode({body}) contains "<e"', f'lower({body}) contains "<e"', f'url_decode(lower({body}), "r") contains "<e"', f'upper({body}) contains "<E"']
    edge.api("POST", "/accounts/{account}/patches", {"name": "reports", "expression": f'lookup_json_integer({body}, 0) eq 7'})
    edge.cli("patch", "report", "reports", check=0)
    edge.ruleset([{"expression": " or ".join(decoded), "action": "block"}])
    text = b"0123456789" * 90000
    with edge.client(host, lamp) as c:
        assert c.request("POST", "/", body=text).status == 200
        assert c.request("POST", "/", body=text + b"%3cE").status == 403
    edge.ruleset([{"expression": f'lookup_json_integer({body}, 0) eq 7', "action": "block", "description": "deep"}])
    with edge.client(host, lamp) as c:
        assert c.request("POST", "/", body=b"[1]").status == 200
        assert c.request("POST", "/", body=b"[7]").status == 403
    with edge.client(host, lamp) as c:
        assert c.request("POST", "/", body=b"[" * 300 + b"]" * 300).status == 403   # nobody can tell
    edge.ruleset([])
    with edge.client(host, lamp) as c:
        assert c.request("POST", "/", body=b"[" * 300 + b"]" * 300).status == 200   # the patch in report cannot either
    assert edge.metric("ringfence_rule_errors_total") >= 2
