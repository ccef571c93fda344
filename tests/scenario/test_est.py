"""Enrolment over EST [RFC 7030] with a client that is not ours: curl(1) and openssl(1), as a device's firmware would use them.

Also what our CA says of its certificates: CRL and OCSP, read by openssl(1).
"""
import base64
import os
import re
import shutil
import subprocess

import pytest

from edge import until


class Enrolled:
    """A key and certificate that a test's device has made for itself."""

    def __init__(self, path):
        self.key, self.cert, self.csr = path + ".key", path + ".crt", path + ".csr"


def openssl(*words, stdin=None, check=True):
    done = subprocess.run(["openssl", *words], input=stdin, capture_output=True, check=False, timeout=30)
    assert not check or done.returncode == 0, done.stderr.decode()
    return done


class EstClient:
    """curl and openssl by hand."""

    def __init__(self, edge, host, directory):
        self.edge, self.host, self.dir = edge, host, str(directory)

    def curl(self, path, *words, body=None):
        """(status, headers, body)"""
        head = os.path.join(self.dir, "head")
        done = subprocess.run(["curl", "-sS", "--max-time", "20", "--resolve", f"{self.host}:{self.edge.port}:127.0.0.1",
                               "--cacert", self.edge.server_ca.path, "-D", head, *words, *(["--data-binary", "@-"] if body else []),
                               f"https://{self.host}:{self.edge.port}{path}"], input=body, capture_output=True, check=False, timeout=30)
        assert done.returncode == 0, done.stderr.decode()
        with open(head) as f:
            headers = f.read().lower()
        return int(headers.split("http/1.1 ")[-1].split()[0]), headers, done.stdout

    def make(self, name, subject, algorithm=("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256")):
        d = Enrolled(os.path.join(self.dir, name))
        openssl("req", "-new", *algorithm, "-nodes", "-keyout", d.key, "-subj", subject, "-outform", "DER", "-out", d.csr)
        return d

    def post(self, operation, d, *words):
        """Sends the CSR of d; keeps the certificate where one comes."""
        with open(d.csr, "rb") as f:
            body = base64.encodebytes(f.read())
        status, headers, answer = self.curl(f"/.well-known/est/{operation}", "-H", "Content-Type: application/pkcs10",
                                            "-H", "Content-Transfer-Encoding: base64", *words, body=body)
        if status == 200:
            assert "content-type: application/pkcs7-mime; smime-type=certs-only" in headers
            self.keep(answer, d.cert)
        return status, headers

    def keep(self, answer, path):
        der = base64.b64decode(answer)
        pem = openssl("pkcs7", "-inform", "DER", "-print_certs", stdin=der).stdout.decode()
        with open(path, "w") as f:
            f.write("".join(re.findall(r"-----BEGIN CERTIFICATE-----.*?-----END CERTIFICATE-----\n", pem, re.S)))

    def cacerts(self):
        status, _, answer = self.curl("/.well-known/est/cacerts")
        assert status == 200
        path = os.path.join(self.dir, "ca.pem")
        self.keep(answer, path)
        return path

    def enrol(self, name, token, subject="/CN=factory"):
        d = self.make(name, subject)
        status, _ = self.post("simpleenroll", d, "-u", f"device:{token}")
        assert status == 200
        return d


@pytest.fixture
def est(edge, app, host, tmp_path):
    return EstClient(edge, host, tmp_path)


def token(edge, name="", **more):
    edge.klass("lamps")
    return edge.api("POST", "/accounts/{account}/provisioning_tokens", {"class": "lamps", "device_name": name, **more})["value"]


def device_named(edge, name):
    return edge.api("GET", f"/accounts/{{account}}/devices?name={name}")[0]


def test_enrol_call_renew(edge, est, host):
    ca = est.cacerts()
    d = est.enrol("first", token(edge, "est-1"))
    openssl("verify", "-CAfile", ca, "-purpose", "sslclient", d.cert)
    assert "CN = est-1" in openssl("x509", "-in", d.cert, "-noout", "-subject").stdout.decode()
    answer = edge.get(host, "/hello", d)          # in force as soon as it is there
    assert answer.status == 200

    again = est.make("second", "/CN=est-1")       # a new key
    status, _ = est.post("simplereenroll", again, "--cert", d.cert, "--key", d.key)
    assert status == 200
    assert edge.get(host, "/hello", again).status == 200
    made = device_named(edge, "est-1")
    assert made["state"] == "active" and len(edge.api("GET", f"/accounts/{{account}}/devices/{made['id']}")["credentials"]) == 2


def test_a_token_is_good_once(edge, est):
    text = token(edge, "est-2")
    est.enrol("one", text)
    status, headers = est.post("simpleenroll", est.make("two", "/CN=x"), "-H", f"Authorization: Bearer {text}")
    assert status == 401 and "www-authenticate: basic" in headers
    assert len(edge.api("GET", "/accounts/{account}/devices?name=est-2")) == 1


def test_a_bad_request_spends_no_token(edge, est):
    text = token(edge, "est-3")
    weak = est.make("weak", "/CN=x", ("-newkey", "rsa:1024"))
    assert est.post("simpleenroll", weak, "-u", f"x:{text}")[0] == 400
    status, _, _ = est.curl("/.well-known/est/simpleenroll", "-u", f"x:{text}", "-H", "Content-Type: application/pkcs10", body=b"AAAA")
    assert status == 400
    est.enrol("good", text)


def test_who_may_not_renew(edge, est, plant, tmp_path):
    d = est.enrol("gone", token(edge, "est-4"))
    new = est.make("new", "/CN=est-4")
    assert est.post("simplereenroll", new)[0] == 403
    edge.revoke(type("D", (), {"id": device_named(edge, "est-4")["id"]}))
    assert est.post("simplereenroll", new, "--cert", d.cert, "--key", d.key)[0] == 403


def test_enrolment_is_over_tls_only(make_edge, origin, tmp_path):
    edge = make_edge()
    port = edge.add_plain()
    edge.start()
    edge.app("plain.edge.test", origin)
    with edge.client("plain.edge.test", port=port, tls=False) as c:
        assert c.request("GET", "/.well-known/est/cacerts").status == 403
        assert c.request("GET", "/.well-known/pki/crl").status == 200


def test_after_its_end_a_known_key_renews_into_quarantine(make_edge, origin, tmp_path):
    """The edge lives three days ahead: the certificate, of one day, is of the past for it."""
    edge = make_edge()
    edge.start()
    edge.app("late.edge.test", origin)
    est = EstClient(edge, "late.edge.test", tmp_path)
    d = est.enrol("late", token(edge, "est-5", validity_days=1))
    assert edge.get("late.edge.test", "/", d).status == 200
    edge.signal(15)
    edge.child.wait(30)
    edge.close_api()
    edge.start(env={"LD_PRELOAD": preload(), "FAKETIME": "+3d", "DONT_FAKE_MONOTONIC": "1"})
    assert edge.get("late.edge.test", "/", d).status == 403
    new = est.make("late-new", "/CN=est-5")
    status, _ = est.post("simplereenroll", new, "--cert", d.cert, "--key", d.key, "--insecure")
    assert status == 200
    made = device_named(edge, "est-5")
    assert made["state"] == "quarantined" and "expired" in made["reason"]
    assert edge.get("late.edge.test", "/", new).status == 403
    edge.api("POST", f"/accounts/{{account}}/devices/{made['id']}/activate", {})
    assert edge.get("late.edge.test", "/", new).status == 200


def preload():
    """libfaketime, with the sanitizer's runtime in front of it where the build has one."""
    libraries = [subprocess.run(["gcc", "-print-file-name=libasan.so"], capture_output=True, text=True, check=True).stdout.strip()]
    for where in ("/usr/lib/x86_64-linux-gnu/faketime/libfaketime.so.1", "/usr/lib/aarch64-linux-gnu/faketime/libfaketime.so.1"):
        if os.path.exists(where):
            return " ".join(libraries + [where])
    pytest.skip("faketime is not installed")


def test_revoked_at_once_in_crl_and_ocsp(edge, est, tmp_path):
    ca = est.cacerts()
    d = est.enrol("ocsp", token(edge, "est-6"))
    issuer = str(tmp_path / "issuer.pem")
    with open(issuer, "wb") as f:
        f.write(openssl("x509", "-inform", "DER", stdin=est.curl("/.well-known/pki/ca.crt")[2]).stdout)

    def ocsp():
        request = str(tmp_path / "ocsp.req")
        openssl("ocsp", "-issuer", issuer, "-cert", d.cert, "-reqout", request, "-no_nonce")
        with open(request, "rb") as f:
            status, _, answer = est.curl("/.well-known/pki/ocsp", "-H", "Content-Type: application/ocsp-request", body=f.read())
        assert status == 200
        reply = str(tmp_path / "ocsp.resp")
        with open(reply, "wb") as f:
            f.write(answer)
        done = openssl("ocsp", "-respin", reply, "-issuer", issuer, "-cert", d.cert, "-CAfile", ca)
        assert b"Response verify OK" in done.stderr
        return done.stdout.decode()

    def crl():
        der = est.curl("/.well-known/pki/crl")[2]
        return openssl("crl", "-inform", "DER", "-CAfile", issuer, "-noout", "-text", stdin=der).stdout.decode()

    serial = openssl("x509", "-in", d.cert, "-noout", "-serial").stdout.decode().strip().split("=")[1]
    assert ": good" in ocsp() and serial not in crl()
    edge.revoke(type("D", (), {"id": device_named(edge, "est-6")["id"]}))
    assert ": revoked" in ocsp() and serial in crl()
    until(lambda: edge.metric("ringfence_ocsp_responses_total") >= 2)


SOFTHSM = "/usr/lib/softhsm/libsofthsm2.so"


@pytest.mark.skipif(not os.path.exists(SOFTHSM), reason="SoftHSM is not installed")
def test_the_ca_key_in_a_token(make_edge, origin):
    """The intermediate's key never leaves the token, with the engine confined."""
    edge = make_edge(sandbox={})
    tokens = os.path.join(edge.dir, "tokens")
    conf = os.path.join(edge.dir, "softhsm.conf")
    os.mkdir(tokens)
    with open(conf, "w") as f:
        f.write(f"directories.tokendir = {tokens}\nobjectstore.backend = file\nlog.level = ERROR\n")
    env = {"SOFTHSM2_CONF": conf}
    key = os.path.join(edge.dir, "token.pem")
    for command in (["openssl", "genpkey", "-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-256", "-out", key],
                    ["softhsm2-util", "--init-token", "--free", "--label", "edge", "--pin", "1234", "--so-pin", "5678"],
                    ["softhsm2-util", "--import", key, "--token", "edge", "--label", "ca", "--id", "01", "--pin", "1234"]):
        subprocess.run(command, check=True, capture_output=True, env={**os.environ, **env})
    if os.geteuid() == 0:
        for at, _, files in os.walk(tokens):
            for path in [at, *(os.path.join(at, f) for f in files)]:
                shutil.chown(path, "nobody")
    edge.boot["ca"] = {"intermediate_key": "pkcs11:token=edge;object=ca;type=private?pin-value=1234&module-path=" + SOFTHSM}
    edge.boot["sandbox"] = {"read": f"{conf}:/usr/lib/softhsm", "write": tokens}
    edge.start(env=env)
    edge.app("edge.test", origin)
    for i in range(3):
        assert edge.get("edge.test", "/", edge.device(f"tokened-{i}")).status == 200
    assert not [f for _, _, files in os.walk(edge.data) for f in files if "intermediate" in f and f.endswith(".key")]
    assert "1234" not in edge.logged()
