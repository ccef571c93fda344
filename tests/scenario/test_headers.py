"""What the origin is told about the client, and that nobody but the edge can say it."""
import base64
import hashlib

import pytest

import pki
from pki import DAY

CLAIMS = ["Cf-Client-Cert-Status", "cf-client-cert-ski", "CF-CLIENT-CERT-REASON", "Cf-Client-Cert-Der-Base64",
          "Cf-Client-Cert-Sha256", "Cf-Connecting-IP", "Cf-Ray", "Client-Cert", "Client-Cert-Chain",
          "Ringfence-Client-Cert-Status"]


def test_status_ski_and_the_neutral_names(edge, origin, app, host, lamp):
    edge.get(host, "/", lamp)
    got = origin.requests[0]
    assert got.get("cf-client-cert-status") == "valid" == got.get("ringfence-client-cert-status")
    ski = got.get("cf-client-cert-ski")
    assert ski == ski.upper() and len(bytes.fromhex(ski)) == 20
    assert got.get("ringfence-client-cert-ski") == ski


def test_who_and_where_from(edge, origin, app, host, lamp):
    edge.get(host, "/", lamp)
    got = origin.requests[0]
    assert got.get("x-forwarded-for") == "127.0.0.1"
    assert got.get("x-forwarded-proto") == "https"
    assert got.get("x-forwarded-host") == host == got.get("host")
    assert "for=127.0.0.1" in got.get("forwarded").lower().replace('"', "")
    assert got.get("x-request-id") and got.get("via")


@pytest.mark.parametrize("claim", CLAIMS)
def test_copies_of_the_client_are_removed(edge, origin, app, host, lamp, claim):
    edge.get(host, "/", lamp, [(claim, "forged"), (claim.lower(), "forged too")])
    assert all("forged" not in v for v in origin.requests[0].all(claim))


@pytest.mark.parametrize("claim", CLAIMS)
def test_copies_under_other_spellings(edge, origin, app, host, lamp, claim):
    """What an origin that reads '_' as '-' would believe: refused, or removed."""
    answer = edge.get(host, "/", lamp, [(claim.replace("-", "_"), "forged")])
    assert answer.status == 400 or all("forged" not in v for _, v in origin.requests[0].headers)


def test_copies_in_report_mode_too(edge, origin, host):
    app = edge.app(host, origin, client_auth="report")
    edge.get(host, "/", None, [(claim, "forged") for claim in CLAIMS])
    assert all("forged" not in v for _, v in origin.requests[0].headers)
    assert origin.requests[0].get("cf-client-cert-status") == "none"
    edge.delete_app(app)


def test_copies_in_trailers(edge, origin, app, host, lamp):
    with edge.client(host, lamp) as c:
        c.send(f"POST / HTTP/1.1\r\nHost: {host}\r\nTransfer-Encoding: chunked\r\nTrailer: Cf-Client-Cert-Ski\r\n\r\n"
               "1\r\nx\r\n0\r\nCf-Client-Cert-Ski: forged\r\n\r\n".encode())
        c.read()
    assert all(b"forged" not in bytes(kept) for kept in origin.bytes)


def test_named_in_connection(edge, origin, app, host, lamp):
    """Connection cannot be used to cut out what the edge says."""
    answer = edge.get(host, "/", lamp, [("Connection", "close, Cf-Client-Cert-Status")])
    assert answer.status == 400 or origin.requests[0].get("cf-client-cert-status") == "valid"


def test_rfc9440(edge, origin, host):
    ca = pki.Ca(edge.dir, "rfc9440")
    root = edge.root(ca)
    edge.klass("rfc9440", roots=[root], first_sight=True)
    app = edge.app(host, origin, roots=[root])
    device = pki.Ca(edge.dir, "rfc9440mid", ca).issue("dev")
    edge.get(host, "/", device)
    from cryptography.hazmat.primitives.serialization import Encoding
    def field(cert):
        return ":" + base64.b64encode(cert.public_bytes(Encoding.DER)).decode() + ":"
    assert origin.requests[0].get("client-cert") == field(device.chain[0])
    assert origin.requests[0].get("client-cert-chain") == field(device.chain[1])
    edge.edit_app(app, forward_rfc9440=False)
    edge.get(host, "/", device)
    assert origin.requests[1].get("client-cert") is None
    edge.delete_app(app)


def test_documented_forwarding(edge, origin, app, host, lamp):
    """access/certificates/settings: the certificate with every request, not only a connection's first."""
    edge.api("PUT", f"/zones/{edge.zone()}/access/certificates/settings",
             {"settings": [{"hostname": host, "china_network": False, "client_certificate_forwarding": True}]})
    with edge.client(host, lamp) as c:
        for _ in range(3):
            c.get()
    for got in origin.requests:
        der = base64.b64decode(got.get("cf-client-cert-der-base64"))
        assert got.get("cf-client-cert-sha256") == hashlib.sha256(der).hexdigest()


def test_templates(edge, origin, host):
    ca = pki.Ca(edge.dir, "templated")
    root = edge.root(ca)
    edge.klass("templated", roots=[root], first_sight=True)
    app = edge.app(host, origin, roots=[root], headers=[
        {"name": "X-Device-Cn", "value": "dev-${cert.subject.cn}"},
        {"name": "X-Device-Serial", "value": "${cert.serial}"},
        {"name": "X-Missing", "value": "${cert.san.uri[3]}"}])
    device = ca.issue("seven")
    edge.get(host, "/", device, [("X-Device-Cn", "forged"), ("x-missing", "forged")])
    got = origin.requests[0]
    assert got.all("x-device-cn") == ["dev-seven"]
    assert int(got.get("x-device-serial"), 16) == device.leaf.serial_number
    assert got.all("x-missing") == []
    edge.delete_app(app)


def test_template_value_with_a_line_end(edge, origin, host):
    """A certificate field cannot end a header line."""
    ca = pki.Ca(edge.dir, "split")
    root = edge.root(ca)
    edge.klass("split", roots=[root], first_sight=True)
    app = edge.app(host, origin, roots=[root], headers=[{"name": "X-Cn", "value": "${cert.subject.cn}"}])
    edge.get(host, "/", ca.issue("evil", subject=pki.name("a\r\nX-Admin: yes")))
    assert all(r.get("x-admin") is None for r in origin.requests)
    edge.delete_app(app)


def test_bad_template_is_refused(edge, origin, host):
    reply = edge.reply("POST", f"/zones/{edge.zone()}/apps", {"name": host, "hosts": [host], "origins": [{"url": origin.url}],
                       "headers": [{"name": "X-A", "value": "${cert.subjet.cn}"}]})
    assert reply.status == 400
    error = reply.json["errors"][0]
    assert error["source"]["pointer"] == "/headers/0/value" and "cert.subject" in error["message"]


@pytest.mark.parametrize("name", ["Content-Length", "transfer_encoding", "Host", "Connection", "Client-Cert", "Cf-Client-Cert-Status"])
def test_templates_cannot_write_what_the_edge_says(edge, origin, host, name):
    """A second Content-Length or status would be another message, or another truth, to the origin."""
    reply = edge.reply("POST", f"/zones/{edge.zone()}/apps", {"name": host, "hosts": [host], "origins": [{"url": origin.url}],
                       "headers": [{"name": name, "value": "${cert.ski}"}]})
    assert reply.status == 400 and reply.json["errors"][0]["source"]["pointer"] == "/headers/0/name"


def test_expired_certificate_is_not_vouched_for(edge, origin, host, plant):
    """Client-Cert only where the certificate is good: an origin that reads it believes it."""
    app = edge.app(host, origin, roots=[plant.id], client_auth="report")
    edge.get(host, "/", plant.issue("old9440", start=pki.utcnow() - 20 * DAY, end=pki.utcnow() - DAY))
    got = origin.requests[0]
    assert got.get("cf-client-cert-status") == "invalid" and got.get("client-cert") is None
    edge.delete_app(app)
