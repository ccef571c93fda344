"""Who gets in: devices of our CA and of uploaded roots; everything else is refused at the edge."""
import datetime
import ssl

import pytest

import pki
from client import Client, Gone, context
from edge import until
from pki import DAY


@pytest.fixture
def plant_app(edge, origin, host, plant):
    """An app that accepts the operator's own CA, whose devices are created when first seen."""
    edge.klass("plant-" + plant.id[:6], roots=[plant.id], first_sight=True)
    made = edge.app(host, origin, roots=[plant.id])
    yield made
    edge.delete_app(made)


def refused(edge, origin, host, identity, reason=None, headers=()):
    """The edge answers 403 itself; the origin hears nothing."""
    answer = edge.get(host, "/secret", identity, headers)
    assert answer.status == 403, answer
    assert not origin.requests
    if reason:
        assert edge.wait_record(Host=host, Status=403, Path="/secret")["Reason"] == reason
    return answer


def test_enrolled_device_calls(edge, origin, app, host, lamp):
    answer = edge.get(host, "/readings?n=1", lamp)
    assert answer.status == 200
    assert answer.json["target"] == "/readings?n=1"
    assert origin.requests[0].get("cf-client-cert-status") == "valid"
    record = edge.wait_record(Host=host)
    assert record["Action"] == "allow" and record["DeviceID"] == lamp.id and record["Class"] == "lamps"


def test_curl_with_the_bundle(edge, app, host, lamp):
    done = edge.curl(host, "/hello", lamp)
    assert done.returncode == 0 and '"target": "/hello"' in done.stdout, done


def test_curl_without_certificate(edge, origin, app, host):
    done = edge.curl(host, "/hello", None, "-w", "%{http_code} %{content_type}")
    assert done.stdout.endswith("403 application/json"), done
    assert not origin.requests


def test_csr_of_the_device(edge, origin, app, host):
    """The key never leaves the device: it is certified by a CSR."""
    key = pki.new_key()
    made = edge.api("POST", "/accounts/{account}/devices", {"name": host, "class": edge.klass() and "lamps",
                                                           "csr": pki.csr(key, host)})
    assert "private_key" not in made["bundle"]
    assert edge.get(host, "/", pki.Identity(edge.dir, host, pki.chain(made["bundle"]["certificate"]), key)).status == 200


def test_no_certificate_json(edge, origin, app, host):
    answer = refused(edge, origin, host, None, "no client certificate was shown")
    assert answer.get("content-type") == "application/json"
    assert answer.json["success"] is False
    assert answer.json["errors"][0]["message"]


def test_no_certificate_html(edge, origin, app, host):
    answer = refused(edge, origin, host, None, headers=[("Accept", "text/html,application/xhtml+xml,*/*;q=0.8")])
    assert answer.get("content-type").startswith("text/html")
    assert b"<html" in answer.body


def test_operators_own_bodies(edge, origin, app, host):
    edge.edit_app(app, deny_json='{"go":"away"}', deny_html="<p>go away</p>", deny_status=401)
    answer = edge.get(host)
    assert (answer.status, answer.json) == (401, {"go": "away"})
    answer = edge.get(host, "/", None, [("Accept", "text/html")])
    assert answer.body == b"<p>go away</p>"
    assert not origin.requests


def test_other_ca(edge, origin, app, host):
    refused(edge, origin, host, pki.Ca(edge.dir, "stranger").issue("dev"))


def test_self_signed(edge, origin, app, host):
    ca = pki.Ca(edge.dir, "selfmade")
    refused(edge, origin, host, pki.Identity(edge.dir, "selfsigned", [ca.cert], ca.key))


def test_same_issuer_name_other_key(edge, origin, plant_app, host, plant):
    """A CA that only calls itself the same."""
    twin = pki.Ca(edge.dir, plant.label)
    refused(edge, origin, host, twin.issue("dev"))


def test_uploaded_root_first_sight(edge, origin, plant_app, host, plant):
    sensor = plant.issue("sensor-1")
    assert edge.get(host, "/", sensor).status == 200
    assert origin.requests[0].get("cf-client-cert-ski") == sensor.ski
    found = until(lambda: edge.api("GET", f"/accounts/{{account}}/devices?ski={sensor.ski}"))
    assert found[0]["state"] == "active"
    assert edge.get(host, "/", sensor).status == 200
    assert len(edge.api("GET", f"/accounts/{{account}}/devices?ski={sensor.ski}")) == 1


def test_intermediates(edge, plant_app, host, plant):
    middle = pki.Ca(edge.dir, "middle", plant)
    assert edge.get(host, "/", middle.issue("deep")).status == 200


def test_unknown_device_is_listed(edge, origin, host, plant):
    ca = pki.Ca(edge.dir, "quiet")
    app = edge.app(host, origin, roots=[edge.root(ca)])
    stranger = ca.issue("unlisted")
    refused(edge, origin, host, stranger, "the certificate belongs to no known device")
    seen = until(lambda: [u for u in edge.api("GET", "/accounts/{account}/devices/unknown") if u["ski"] == stranger.ski])
    edge.klass("quiet", roots=[app["roots"][0]])
    device = edge.device("named-" + host.split(".")[0], "quiet", issue=False)
    edge.api("POST", f"/accounts/{{account}}/devices/{device.id}/credentials", {"kind": "ski", "value": seen[0]["ski"]})
    assert edge.get(host, "/", stranger).status == 200
    edge.delete_app(app)


def test_expired(edge, origin, plant_app, host, plant):
    refused(edge, origin, host, plant.issue("old", start=pki.utcnow() - 20 * DAY, end=pki.utcnow() - DAY),
            "certificate has expired")


def test_not_yet_valid(edge, origin, plant_app, host, plant):
    refused(edge, origin, host, plant.issue("early", start=pki.utcnow() + DAY), "certificate is not yet valid")


def test_signature_broken(edge, origin, plant_app, host, plant):
    """A certificate of which one byte of the signature is wrong."""
    from cryptography import x509
    from cryptography.hazmat.primitives.serialization import Encoding
    good = plant.issue("spoiled")
    der = bytearray(good.leaf.public_bytes(Encoding.DER))
    der[-5] ^= 1
    for _ in range(8):
        refused(edge, origin, host, pki.Identity(edge.dir, "spoilt", [x509.load_der_x509_certificate(bytes(der))], good.private))


def test_server_certificate_as_client(edge, origin, plant_app, host, plant):
    """An extended key usage that is not for clients."""
    refused(edge, origin, host, plant.server("not-a-client", "edge.test"))


def test_ca_false_as_issuer(edge, origin, plant_app, host, plant):
    """A device signs for another: it is no CA."""
    device = plant.issue("signer")
    ca = pki.Ca.__new__(pki.Ca)
    ca.dir, ca.label, ca.issuer, ca.key, ca.cert = edge.dir, "pretender", plant, device.private, device.leaf
    refused(edge, origin, host, ca.issue("child"))


def test_huge_certificate(edge, origin, plant_app, host, plant):
    from cryptography import x509
    blob = x509.UnrecognizedExtension(x509.ObjectIdentifier("1.3.6.1.4.1.55555.1"), b"\x04\x82\x75\x30" + bytes(30000))
    huge = plant.issue("huge", extra=[blob])
    try:
        answer = edge.get(host, "/", huge)
        assert answer.status in (200, 403)
        if answer.status == 200:
            assert not origin.requests[0].get("client-cert")
    except (Gone, OSError):
        assert not origin.requests
    assert edge.get(host, "/", plant.issue("ordinary")).status == 200


def test_huge_chain(edge, origin, plant_app, host, plant):
    """A chain far longer than any depth that is looked at."""
    ca = plant
    for i in range(30):
        ca = pki.Ca(edge.dir, f"link{i}", ca)
    try:
        assert edge.get(host, "/", ca.issue("far")).status == 403
    except (Gone, OSError):
        pass
    assert not origin.requests


def test_colliding_skis(edge, origin, plant_app, host, plant):
    """The SKI of a certificate is what its issuer wrote; a second key under it is not the device."""
    first = plant.issue("genuine")
    assert edge.get(host, "/", first).status == 200
    until(lambda: edge.api("GET", f"/accounts/{{account}}/devices?ski={first.ski}"))
    origin.clear()
    second = plant.issue("impostor", ski=bytes.fromhex(first.ski))
    refused(edge, origin, host, second)
    assert edge.get(host, "/", first).status == 200


def test_report_mode_forwards_and_counts(edge, origin, host):
    app = edge.app(host, origin, client_auth="report")
    before = edge.metric("ringfence_would_refuse_total", reason="certificate_missing")
    answer = edge.get(host, "/open")
    assert answer.status == 200
    assert origin.requests[0].get("cf-client-cert-status") == "none"
    until(lambda: edge.metric("ringfence_would_refuse_total", reason="certificate_missing") == before + 1)
    bad = pki.Ca(edge.dir, "reported").issue("dev")
    before = edge.metric("ringfence_would_refuse_total")
    assert edge.get(host, "/open", bad).status == 200
    assert origin.requests[1].get("cf-client-cert-status") == "invalid"
    assert origin.requests[1].get("cf-client-cert-reason")
    assert origin.requests[1].get("client-cert") is None
    until(lambda: edge.metric("ringfence_would_refuse_total") == before + 1)
    edge.delete_app(app)


def test_off_asks_for_nothing(edge, origin, host):
    app = edge.app(host, origin, client_auth="off")
    assert edge.get(host).status == 200
    assert origin.requests[0].get("cf-client-cert-status") in (None, "none")
    edge.delete_app(app)


def test_refused_in_the_handshake(edge, origin, host, lamp):
    app = edge.app(host, origin, refuse_handshake=True)
    with pytest.raises((Gone, OSError)):
        edge.get(host)
    with pytest.raises((Gone, OSError)):
        edge.get(host, "/", pki.Ca(edge.dir, "handshaken").issue("dev"))
    with pytest.raises((Gone, OSError)):
        Client(edge.port, host, ctx=context(high=ssl.TLSVersion.TLSv1_2)).get()
    assert edge.get(host, "/", lamp).status == 200
    assert len(origin.requests) == 1
    revoked = edge.device("handshake-revoked")
    edge.revoke(revoked)
    with pytest.raises((Gone, OSError)):
        edge.get(host, "/", revoked)
    told = edge.wait_record(SNI=host, Reason="certificate revoked")
    assert told["ClientCertStatus"] == "revoked" and told["ClientCertSubject"], told
    assert edge.records(SNI=host, Reason="peer did not return a certificate")
    edge.delete_app(app)


def test_revoked_just_now(edge, origin, app, host):
    device = edge.device("gone-soon")
    assert edge.get(host, "/", device).status == 200
    origin.clear()
    edge.revoke(device)
    answer = refused(edge, origin, host, device)
    assert "revoked" in answer.json["errors"][0]["message"]
    edge.api("POST", f"/accounts/{{account}}/devices/{device.id}/activate", {})
    assert edge.get(host, "/", device).status == 200


def test_revoke_ends_what_is_live(edge, origin, app, host):
    device = edge.device("live-then-not")
    with edge.client(host, device) as c:
        assert c.get().status == 200
        edge.revoke(device)
        assert c.rest() == b""
    until(lambda: edge.metric("ringfence_connections_severed_total") >= 1)


def test_an_intermediate_uploaded_beside_its_root(edge, origin, host):
    """A CA below a root, uploaded for another host, does not take its devices from the hosts of the root."""
    top = pki.Ca(edge.dir, "top")
    middle = pki.Ca(edge.dir, "middle", top)
    root = edge.root(top)
    edge.klass("tree", roots=[root], first_sight=True)
    app, device = edge.app(host, origin, roots=[root]), middle.issue("leaf")
    assert edge.get(host, "/", device).status == 200
    below = edge.root(middle)
    assert edge.get(host, "/", device).status == 200
    origin.clear()
    refused(edge, origin, host, pki.Ca(edge.dir, "middle").issue("forged"))
    other = edge.app("x-" + host, origin, roots=[below])
    assert edge.get("x-" + host, "/", top.issue("not-below")).status == 403
    edge.api("PUT", f"/accounts/{{account}}/mtls_certificates/{root}/crl", {"crls": [top.crl([middle.cert])]})
    edge.api("PATCH", f"/accounts/{{account}}/mtls_certificates/{root}", {"crl_mode": "closed"})
    assert edge.get(host, "/", device).status == 403
    edge.delete_app(other)
    edge.delete_app(app)


def test_a_credential_taken_away_ends_what_is_live(edge, origin, app, host):
    device = edge.device("stripped")
    path = f"/accounts/{{account}}/devices/{device.id}/credentials"
    with edge.client(host, device) as c:
        assert c.get().status == 200
        for credential in edge.api("GET", path):
            edge.api("DELETE", f"{path}/{credential['id']}")
        assert c.rest() == b""
    origin.clear()
    refused(edge, origin, host, device)


def test_another_ca_cannot_take_a_devices_identifier(edge, origin, host, plant):
    """A CA that is trusted too signs for an SKI that no key has shown yet."""
    edge.klass("owned")
    genuine = pki.Ca(edge.dir, "owner").issue("owned-1")
    app = edge.app(host, origin, roots=["device_ca", plant.id])
    device = edge.device("owned-1", "owned", issue=False)
    edge.api("POST", f"/accounts/{{account}}/devices/{device.id}/credentials", {"kind": "ski", "value": genuine.ski})
    refused(edge, origin, host, plant.issue("thief", ski=bytes.fromhex(genuine.ski)), "the certificate's CA does not stand for devices of this class")
    made = edge.api("POST", f"/zones/{edge.zone()}/client_certificates",
                    {"csr": pki.csr(genuine.private, "owned-1"), "validity_days": 30})
    assert made["ski"] == genuine.ski
    assert edge.get(host, "/", pki.Identity(edge.dir, "owned-real", pki.chain(made["certificate"]), genuine.private)).status == 200
    edge.delete_app(app)


def test_certificate_revoked_by_its_id(edge, origin, app, host):
    key = pki.new_key()
    made = edge.api("POST", f"/zones/{edge.zone()}/client_certificates", {"csr": pki.csr(key, "by-id"), "validity_days": 30})
    device = edge.device("by-id", issue=False)
    edge.api("POST", f"/accounts/{{account}}/devices/{device.id}/credentials", {"kind": "ski", "value": made["ski"]})
    identity = pki.Identity(edge.dir, "by-id-cert", pki.chain(made["certificate"]), key)
    with edge.client(host, identity) as c:
        assert c.get().status == 200
        origin.clear()
        edge.api("DELETE", f"/zones/{edge.zone()}/client_certificates/{made['id']}")
        assert c.rest() == b""
    refused(edge, origin, host, identity, "certificate revoked")
    edge.api("PATCH", f"/zones/{edge.zone()}/client_certificates/{made['id']}", {"reactivate": True})
    assert edge.get(host, "/", identity).status == 200


def test_quarantine(edge, origin, app, host):
    device = edge.device("coughing")
    edge.api("POST", f"/accounts/{{account}}/devices/{device.id}/quarantine", {"reason": "odd"})
    refused(edge, origin, host, device, "the device is in quarantine")


def test_deleted_device_is_unknown(edge, origin, app, host):
    device = edge.device("short-lived")
    edge.api("DELETE", f"/accounts/{{account}}/devices/{device.id}")
    refused(edge, origin, host, device)


def test_crl_of_an_uploaded_root(edge, origin, host):
    ca = pki.Ca(edge.dir, "listed")
    root = edge.root(ca, crl_mode="closed")
    edge.klass("listed", roots=[root], first_sight=True)
    app = edge.app(host, origin, roots=[root])
    good, bad = ca.issue("good"), ca.issue("bad")
    refused(edge, origin, host, good, "revocation list missing")
    put = f"/accounts/{{account}}/mtls_certificates/{root}/crl"
    edge.api("PUT", put, {"crls": [ca.crl([bad.leaf])]})
    assert edge.get(host, "/", good).status == 200
    origin.clear()
    refused(edge, origin, host, bad)
    edge.api("PUT", put, {"crls": [ca.crl([bad.leaf], number=2), ca.crl([good.leaf], number=3, delta_of=2)]})
    refused(edge, origin, host, good)
    edge.api("PUT", put, {"crls": [ca.crl(number=4, start=pki.utcnow() - 9 * DAY, end=pki.utcnow() - DAY)]})
    refused(edge, origin, host, good)
    edge.api("PATCH", f"/accounts/{{account}}/mtls_certificates/{root}", {"crl_mode": "open"})
    assert edge.get(host, "/", good).status == 200
    edge.delete_app(app)


def test_each_root_has_its_own_fail_mode(edge, origin, host):
    """The same CA uploaded alone and behind its root: what one's missing lists close, the other leaves open."""
    top = pki.Ca(edge.dir, "twofold-top")
    ca = pki.Ca(edge.dir, "twofold", issuer=top)
    strict, lax = edge.root(top, certificates=top.pem + ca.pem, crl_mode="closed"), edge.root(ca)
    edge.klass("twofold", roots=[strict, lax], first_sight=True)
    device = ca.issue("dev")
    app = edge.app(host, origin, roots=[lax])
    assert edge.get(host, "/", device).status == 200
    edge.edit_app(app, roots=[strict])
    origin.clear()
    refused(edge, origin, host, device, "the revocation list of the certificate's CA is missing or has expired")
    edge.api("PUT", f"/accounts/{{account}}/mtls_certificates/{strict}/crl", {"crls": [top.crl(), ca.crl()]})
    assert edge.get(host, "/", device).status == 200
    edge.delete_app(app)


def test_crl_upload_severs(edge, origin, host):
    ca = pki.Ca(edge.dir, "severed")
    root = edge.root(ca, crl_mode="open")
    edge.klass("severed", roots=[root], first_sight=True)
    app = edge.app(host, origin, roots=[root])
    device = ca.issue("dev")
    with edge.client(host, device) as c:
        assert c.get().status == 200
        origin.clear()
        edge.api("PUT", f"/accounts/{{account}}/mtls_certificates/{root}/crl", {"crls": [ca.crl([device.leaf])]})
        try:
            assert c.get().status == 403
        except (Gone, OSError):
            pass
    assert not origin.requests
    edge.delete_app(app)


def test_class_by_template(edge, origin, host):
    ca = pki.Ca(edge.dir, "tmpl")
    root = edge.root(ca)
    edge.klass("meters", roots=[root], bind="template", bind_template="meter-${cert.subject.cn}", first_sight=True)
    app = edge.app(host, origin, roots=[root])
    assert edge.get(host, "/", ca.issue("77")).status == 200
    assert edge.get(host, "/", ca.issue("77", start=pki.utcnow() - 2 * DAY)).status == 200, "a renewed certificate, another key"
    found = until(lambda: edge.api("GET", "/accounts/{account}/devices?class=meters"))
    assert len(found) == 1
    edge.delete_app(app)


def test_hosts_do_not_share_roots(edge, origin, plant_app, host, plant, lamp):
    """A device of our CA at a host that accepts only the plant's."""
    refused(edge, origin, host, lamp)


def test_connection_cannot_change_host(edge, origin, app, host, lamp):
    """Host that is not that of the handshake, with other roots: the identity does not carry over."""
    other = edge.app("x-" + host, origin, client_auth="off")
    with edge.client("x-" + host) as c:
        answer = c.request("GET", "/", host=host)
        assert answer.status in (403, 421), answer
    assert not origin.requests
    edge.delete_app(other)


def test_unknown_host(edge, origin, app, lamp):
    with pytest.raises((Gone, OSError, AssertionError)):
        answer = edge.get("nobody.edge.test", "/", lamp)
        assert answer.status < 400
    assert not origin.requests


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3], ids=["tls12", "tls13"])
def test_resumption_keeps_identity(edge, origin, app, host, lamp, version):
    ctx = context(lamp, low=version, high=version)
    with edge.client(host, ctx=ctx) as c:
        assert c.get().status == 200
        session = c.sock.session
    resumed = 0
    for _ in range(6):
        with edge.client(host, ctx=ctx, session=session) as c:
            resumed += c.sock.session_reused
            assert c.get().status == 200
            session = c.sock.session
    assert resumed
    assert all(r.get("cf-client-cert-status") == "valid" for r in origin.requests)
    assert until(lambda: edge.records(Host=host, TLSResumed=1, DeviceID=lamp.id))


def test_session_of_a_revoked_device(edge, origin, app, host):
    """Its session is worth nothing any more."""
    device = edge.device("resuming")
    ctx = context(device)
    with edge.client(host, ctx=ctx) as c:
        assert c.get().status == 200
        session = c.sock.session
    origin.clear()
    edge.revoke(device)
    for _ in range(4):
        with edge.client(host, ctx=ctx, session=session) as c:
            assert c.get().status == 403
    assert not origin.requests


def test_session_with_another_certificate(edge, origin, app, host, lamp):
    """A session is of the certificate that made it, whatever the client holds now."""
    with edge.client(host, ctx=context(lamp)) as c:
        assert c.get().status == 200
        session = c.sock.session
    thief = context()  # without any certificate, but with the stolen session's secret it would be the lamp itself
    try:
        with edge.client(host, ctx=thief, session=session) as c:
            assert c.get().status == 403
    except ValueError:
        pass           # python refuses a session of another context
    assert edge.get(host).status == 403


def test_expiring_certificate_ends_in_a_resumed_session(edge, origin, plant_app, host, plant):
    """A certificate that expires during the life of its session."""
    short = plant.issue("brief", end=pki.utcnow() + datetime.timedelta(seconds=3))
    ctx = context(short)
    with edge.client(host, ctx=ctx) as c:
        assert c.get().status == 200
        session = c.sock.session

    def expired():
        with edge.client(host, ctx=ctx, session=session) as c:
            return c.get().status == 403
    until(expired, every=0.25)
