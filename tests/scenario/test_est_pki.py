"""Enrolment over EST [RFC 7030] by a client that was made for it, with a TLS library of its own: pki(1) of strongSwan.

It takes names from the system alone, so that it runs in a mount namespace with an /etc/hosts that names the edge.
"""
import os
import shutil
import subprocess

import pytest

HERE = "127.0.0.1"

pytestmark = pytest.mark.skipif(not shutil.which("pki"), reason="strongswan-pki is not installed")


class Made:
    """A key, what is asked for it, and the certificate that was got."""

    def __init__(self, path):
        self.key, self.csr, self.cert = path + ".key", path + ".csr", path + ".crt"


class Pki:
    """pki(1) against one host of the edge."""

    def __init__(self, edge, host, directory):
        self.edge, self.host, self.dir = edge, host, str(directory)
        self.url = f"https://{host}:{edge.port}"
        self.hosts = self.path("hosts")
        with open(self.hosts, "w") as f:
            f.write(f"{HERE} localhost {host}\n")
        self.ca = []

    def path(self, name):
        return os.path.join(self.dir, name)

    def run(self, *words):
        """(exit status, standard output, what it says)"""
        own = ["unshare", "--mount", *(["--map-root-user"] if os.geteuid() else [])]
        done = subprocess.run([*own, "sh", "-c", 'mount --bind "$0" /etc/hosts && exec pki "$@"', self.hosts, *words],
                              capture_output=True, check=False, timeout=60)
        return done.returncode, done.stdout, done.stderr.decode(errors="replace")

    def cacerts(self):
        """The CA's certificates by cacerts; what later calls trust."""
        status, _, said = self.run("--estca", "--url", self.url, "--cacert", self.edge.server_ca.path, "--caout", self.path("ca.pem"),
                                   "--outform", "pem")
        assert status == 0, said
        self.ca = sorted(self.path(f) for f in os.listdir(self.dir) if f.startswith("ca") and f.endswith(".pem"))
        return self.ca

    def make(self, name, kind="ecdsa", bits="256", subject=None):
        d = Made(self.path(name))
        for to, words in ((d.key, ("--gen", "--type", kind, "--size", bits, "--outform", "pem")),
                          (d.csr, ("--req", "--in", d.key, "--type", "priv", "--dn", f"CN={subject or name}"))):
            status, out, said = self.run(*words)
            assert status == 0, said
            with open(to, "wb") as f:
                f.write(out)
        return d

    def est(self, d, *words):
        """(exit status, what it says); the certificate is kept where one comes."""
        trust = [w for path in (self.edge.server_ca.path, *self.ca) for w in ("--cacert", path)]
        status, out, said = self.run("--est", "--url", self.url, "--in", d.csr, *trust, *words, "--outform", "pem")
        if status == 0:
            with open(d.cert, "wb") as f:
                f.write(out)
        return status, said

    def enrol(self, name, token, **more):
        d = self.make(name, **more)
        status, said = self.est(d, "--userpass", f"device:{token}")
        assert status == 0, said
        return d


@pytest.fixture
def host():
    """The client takes no wildcard in a server's certificate: a name that stands in the edge's as it is."""
    return "edge.test"


@pytest.fixture
def client(edge, app, host, tmp_path):
    made = Pki(edge, host, tmp_path)
    made.cacerts()
    return made


def token(edge, name):
    edge.klass("lamps")
    return edge.api("POST", "/accounts/{account}/provisioning_tokens", {"class": "lamps", "device_name": name})["value"]


def device_named(edge, name):
    found = edge.api("GET", f"/accounts/{{account}}/devices?name={name}")
    return found[0] if found else None


def test_enrol_call_renew(edge, client, host):
    assert len(client.ca) == 2   # root and intermediate
    d = client.enrol("pki-1", token(edge, "pki-1"))
    assert edge.get(host, "/", d).status == 200     # in force as soon as it is there

    new = client.make("pki-1-new", subject="pki-1")   # a new key, the subject that it has
    status, said = client.est(new, "--cert", d.cert, "--key", d.key)
    assert status == 0, said
    assert edge.get(host, "/", new).status == 200
    made = edge.api("GET", f"/accounts/{{account}}/devices/{device_named(edge, 'pki-1')['id']}")
    assert made["state"] == "active" and len(made["credentials"]) == 2


def test_a_renewal_under_another_name_is_refused(edge, client):
    d = client.enrol("pki-6", token(edge, "pki-6"))
    status, said = client.est(client.make("pki-6-other"), "--cert", d.cert, "--key", d.key)   # [RFC 7030 4.2.2]
    assert status != 0 and "400" in said


def test_rsa_key(edge, client, host):
    d = client.enrol("pki-2", token(edge, "pki-2"), kind="rsa", bits="2048")
    assert edge.get(host, "/", d).status == 200
    new = client.make("pki-2-new", "rsa", "2048", "pki-2")
    assert client.est(new, "--cert", d.cert, "--key", d.key)[0] == 0
    assert edge.get(host, "/", new).status == 200


def test_tokens_that_are_none_or_spent(edge, client):
    text = token(edge, "pki-3")
    d = client.make("pki-3")
    status, said = client.est(d, "--userpass", "device:" + "A" * len(text))
    assert status != 0 and "401" in said and device_named(edge, "pki-3") is None
    status, said = client.est(d)
    assert status != 0 and "401" in said and device_named(edge, "pki-3") is None
    assert client.est(d, "--userpass", f"device:{text}")[0] == 0
    status, said = client.est(client.make("pki-3-again"), "--userpass", f"device:{text}")
    assert status != 0 and "401" in said
    assert len(edge.api("GET", "/accounts/{account}/devices?name=pki-3")) == 1


def test_a_revoked_device_may_not_renew(edge, client):
    d = client.enrol("pki-4", token(edge, "pki-4"))
    edge.revoke(type("D", (), {"id": device_named(edge, "pki-4")["id"]}))
    status, said = client.est(client.make("pki-4-new", subject="pki-4"), "--cert", d.cert, "--key", d.key)
    assert status != 0 and "403" in said


def test_the_server_must_be_the_one_it_says(edge, client, tmp_path):
    """The client trusts nothing but what it was told: another CA's edge gets no token."""
    text = token(edge, "pki-5")
    d = client.make("pki-5")
    status, _, said = client.run("--est", "--url", client.url, "--in", d.csr, "--cacert", client.ca[0], "--userpass", f"device:{text}")
    assert status != 0, said
    assert client.est(d, "--userpass", f"device:{text}")[0] == 0
