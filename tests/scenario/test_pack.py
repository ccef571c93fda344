"""Packs of virtual patches: signed, installed, enabled, updated, refused; and the pack of this tree on the real edge."""
import http.server
import json
import os
import ssl
import subprocess
import sys
import threading

import pytest

import pki
from client import Client
from edge import BUILD, RELEASE, ROOT, Edge, until

sys.path.insert(0, os.path.join(ROOT, "tests", "traffic"))
import ordinary

PATCHES = os.path.join(ROOT, "patches")
MARKS = 'marks:\n  page: lower(url_decode(http.request.uri.path, "r")) contains "$1"\n'


def tool(*words, check=0, build=BUILD):
    done = subprocess.run([os.path.join(build, "ringfence"), *words], capture_output=True, text=True, timeout=300, check=False)
    assert check is None or done.returncode == check, f"{words}: {done.returncode}\n{done.stdout}\n{done.stderr}"
    return done


def patch(name, page, **more):
    return {"name": name, "title": f"title of {name}", "cve": [], "references": ["https://example.com/" + name], "devices": "Some", "kind": "camera",
            "category": "command-injection", "severity": "high", "expression": f'@page("{page}") and http.request.uri.query contains ";"',
            "tests": {"attacks": [{"path": f"{page}?a=;id"}, {"path": f"/x/%2e/{page}?a=;id"}], "harmless": [{"path": page}, {"path": page + "?a=1"}]}, **more}


class Maker:
    """A folder of sources and keys to sign it with."""

    def __init__(self, directory, name="small"):
        self.dir, self.name = str(directory), name
        tool("pack", "key", os.path.join(self.dir, "release"))
        self.key, self.pub = os.path.join(self.dir, "release.key"), os.path.join(self.dir, "release.pub")
        os.chmod(self.dir, 0o755)

    def source(self, version, *patches):
        where = os.path.join(self.dir, f"v{version}")
        os.makedirs(where, exist_ok=True)
        for name, text in (("pack.yaml", json.dumps({"name": self.name, "title": "A small pack", "version": version})), ("marks.yaml", MARKS),
                           ("all.yaml", json.dumps({"patches": patches}))):
            with open(os.path.join(where, name), "w") as f:
                f.write(text)
        return where

    def build(self, version, *patches, key=None):
        out = os.path.join(self.dir, f"v{version}.pack")
        tool("pack", "build", self.source(version, *patches), "--out", out, "--key", key or self.key)
        return out


@pytest.fixture
def maker(tmp_path):
    return Maker(tmp_path)


@pytest.fixture
def trusting(make_edge, maker):
    """An edge that trusts the maker's key."""
    edge = make_edge(patches={"keys": maker.pub})
    for folder in (os.path.dirname(maker.dir), os.path.dirname(os.path.dirname(maker.dir)), maker.dir):
        os.chmod(folder, 0o755)
    edge.start()
    edge.klass("cameras")
    return edge


def states(edge):
    return {p["name"]: p["state"] for p in edge.api("GET", "/accounts/{account}/patches?per_page=1000")}


def shown(edge, name):
    return json.loads(edge.cli("patch", "show", name, "--json", check=0).stdout)


def pack(edge, name="small"):
    return json.loads(edge.cli("pack", "show", name, "--json", check=0).stdout)


def test_same_bytes_every_time_and_any_change_is_seen(maker):
    path = maker.build(1, patch("one", "/one"), patch("two", "/two"))
    with open(path, "rb") as f:
        first = f.read()
    maker.build(1, patch("one", "/one"), patch("two", "/two"))
    with open(path, "rb") as f:
        assert f.read() == first
    assert "2 patches" in tool("pack", "verify", path, "--trust", maker.pub).stderr
    for cut in (first[:-1], first.replace(b'"high"', b'"low"'), first[:20]):
        with open(path, "wb") as f:
            f.write(cut)
        assert tool("pack", "verify", path, "--trust", maker.pub, check=None).returncode != 0


def test_a_patch_that_does_not_hold_is_not_built(maker):
    bad = patch("one", "/one")
    bad["tests"]["harmless"].append({"path": "/one?a=b;c"})
    out = tool("pack", "build", maker.source(1, bad), "--out", os.path.join(maker.dir, "x"), check=1)
    assert "patch one: harmless request 2" in out.stderr
    unknown = patch("two", "/two", expression='@nothing("/two")')
    assert "@nothing" in tool("pack", "build", maker.source(2, unknown), "--out", os.path.join(maker.dir, "x"), check=1).stderr


def test_installed_enabled_by_class_and_in_report(trusting, maker, origin):
    edge = trusting
    edge.app("small.edge.test", origin)
    edge.klass("lamps")
    camera, lamp = edge.device("camera-1", "cameras"), edge.device("lamp-1", "lamps")
    out = edge.cli("pack", "install", maker.build(1, patch("one", "/one"), patch("two", "/two", kind="router")), check=0)
    assert "2 added" in out.stdout and states(edge) == {"one": "draft", "two": "draft"}
    edge.cli("pack", "enable", "small", "--class", "cameras", "--kind", "camera", check=0)
    assert states(edge) == {"one": "report", "two": "draft"} and shown(edge, "one")["classes"] == ["cameras"]
    assert edge.get("small.edge.test", "/one?a=;id", camera).status == 200
    until(lambda: shown(edge, "one").get("report", {}).get("matched") == 1)
    edge.cli("patch", "canary", "one", "--percent", "100", check=0)
    edge.cli("patch", "enforce", "one", check=0)
    assert edge.get("small.edge.test", "/one?a=;id", camera).status == 403
    assert edge.get("small.edge.test", "//x/%4Fne?a=;id", camera).status == 403
    assert edge.get("small.edge.test", "/one?a=;id", lamp).status == 200
    assert edge.get("small.edge.test", "/one?a=1", camera).status == 200
    assert "no class" in edge.cli("pack", "enable", "small", "--class", "nobodies").stderr
    edge.cli("pack", "enable", "small", "--class", "cameras", check=0)
    edge.cli("pack", "disable", "small", "--class", "cameras", check=0)
    assert states(edge) == {"one": "enforce", "two": "draft"}
    assert pack(edge)["enabled"] == []


def test_an_update_keeps_what_the_operator_decided(trusting, maker, origin):
    edge = trusting
    edge.app("small.edge.test", origin)
    camera = edge.device("camera-1", "cameras")
    edge.cli("pack", "install", maker.build(1, patch("one", "/one"), patch("two", "/two"), patch("three", "/three")), check=0)
    edge.cli("pack", "enable", "small", "--class", "cameras", check=0)
    for move in (("canary", "--percent", "100"), ("enforce",)):
        edge.cli("patch", move[0], "one", *move[1:], check=0)
    newer = patch("one", "/one", expression='@page("/one") and http.request.uri.query contains "id"', title="better")
    out = edge.cli("pack", "install", maker.build(2, newer, patch("two", "/two", title="other words"), patch("four", "/four")), check=0)
    assert "1 added" in out.stdout and "1 changed" in out.stdout and "1 waiting" in out.stdout and "1 retired" in out.stdout
    assert states(edge) == {"one": "enforce", "two": "report", "three": "retired", "four": "report"}
    one = shown(edge, "one")
    assert "\";\"" in one["expression"] and one["waiting"]["version"] == 2 and one["title"] == "better" and one["pack"]["version"] == "1"
    assert shown(edge, "four")["classes"] == ["cameras"] and pack(edge)["waiting"] == 1
    assert edge.get("small.edge.test", "/one?a=id", camera).status == 200
    edge.cli("pack", "accept", "small", "--patch", "one", check=0)
    assert states(edge)["one"] == "enforce" and shown(edge, "one").get("waiting") is None
    assert edge.get("small.edge.test", "/one?a=id", camera).status == 403
    assert "4 unchanged" not in edge.cli("pack", "install", os.path.join(maker.dir, "v2.pack"), check=0).stdout and pack(edge)["version"] == 2
    edge.cli("pack", "delete", "small", check=0)
    assert set(states(edge).values()) == {"retired"}
    edge.cli("pack", "install", os.path.join(maker.dir, "v2.pack"), check=0)
    assert states(edge) == {"one": "draft", "two": "draft", "three": "retired", "four": "draft"}


def test_what_is_refused_changes_nothing(trusting, maker, tmp_path):
    edge = trusting
    good = maker.build(2, patch("one", "/one"))
    edge.cli("pack", "install", good, check=0)
    before = (states(edge), pack(edge))
    with open(good, "rb") as f:
        text = f.read()
    cases = {"changed": text.replace(b'"high"', b'"low!"'), "cut": text[:-40], "head": text[:30], "format": text.replace(b"pack 1", b"pack 9", 1), "empty": b""}
    for name, data in cases.items():
        path = os.path.join(maker.dir, name + ".pack")
        with open(path, "wb") as f:
            f.write(data)
        out = edge.cli("pack", "install", path)
        assert out.returncode != 0 and out.stderr.startswith("ringfence: "), name
    (tmp_path / "other").mkdir()
    other = Maker(tmp_path / "other")
    out = edge.cli("pack", "install", other.build(3, patch("one", "/one")), check=1)
    assert "not trusted" in out.stderr
    out = edge.cli("pack", "install", maker.build(1, patch("one", "/one")), check=1)
    assert "older than 2" in out.stderr
    out = edge.cli("pack", "install", maker.build(2, patch("one", "/one", title="another")), check=1)
    assert "higher version" in out.stderr
    edge.api("POST", "/accounts/{account}/patches", {"name": "mine", "expression": 'http.host eq "a"'})
    out = edge.cli("pack", "install", maker.build(4, patch("one", "/one"), patch("mine", "/mine")), check=1)
    assert "not of this pack" in out.stderr
    now = (states(edge), pack(edge))
    del now[0]["mine"]
    assert now == before
    edge.cli("pack", "install", maker.build(1, patch("one", "/one")), "--downgrade", check=0)
    assert pack(edge)["version"] == 1


def test_unsigned_by_the_local_administrator_only(trusting, maker):
    edge = trusting
    source = maker.source(1, patch("one", "/one"))
    plain = os.path.join(maker.dir, "plain.pack")
    tool("pack", "build", source, "--out", plain)
    scope = {"effect": "allow", "permission_groups": [{"id": "*"}], "resources": {f"com.ringfence.api.account.{edge.account}": "*"}}
    token = edge.api("POST", "/user/tokens", {"name": "remote", "policies": [scope]})["value"]
    with open(plain) as f:
        body = json.dumps({"file": f.read()}).encode()
    with Client(edge.api_port, "localhost") as c:
        answer = c.request("POST", f"/client/v4/accounts/{edge.account}/packs", [("Authorization", "Bearer " + token), ("Content-Type", "application/json")], body)
    assert answer.status == 403 and "not signed" in answer.json["errors"][0]["message"] and states(edge) == {}
    with open(plain) as f:
        reply = edge.reply("POST", "/accounts/{account}/packs", {"file": f.read(), "source": "url"})
    assert reply.status == 403 and states(edge) == {}
    edge.cli("pack", "install", source, check=0)
    assert states(edge) == {"one": "draft"} and pack(edge)["source"] == "local"


class Server:
    """One file over HTTPS, with an ETag."""

    def __init__(self, identity):
        self.file, self.asked = b"", []
        server = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_GET(self):
                tag = '"%x"' % hash(server.file)
                server.asked.append(self.headers.get("If-None-Match"))
                same = self.headers.get("If-None-Match") == tag
                self.send_response(304 if same else 200)
                self.send_header("ETag", tag)
                self.send_header("Content-Length", "0" if same else str(len(server.file)))
                self.end_headers()
                if not same:
                    self.wfile.write(server.file)

            def log_message(self, *_):
                pass
        self.http = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(identity.cert, identity.key)
        self.http.socket = context.wrap_socket(self.http.socket, server_side=True)
        self.url = f"https://localhost:{self.http.server_address[1]}/small.pack"
        threading.Thread(target=self.http.serve_forever, daemon=True).start()

    def stop(self):
        self.http.shutdown()
        self.http.server_close()


def test_kept_up_to_date_by_url(make_edge, maker):
    for folder in (os.path.dirname(maker.dir), os.path.dirname(os.path.dirname(maker.dir)), maker.dir):
        os.chmod(folder, 0o755)
    ca = pki.Ca(maker.dir, "web")
    server = Server(ca.server("web", "localhost"))
    try:
        def serve(path):
            with open(path, "rb") as f:
                server.file = f.read()
        serve(maker.build(1, patch("one", "/one")))
        os.chmod(ca.path, 0o644)
        edge = make_edge(patches={"keys": maker.pub, "url": server.url}, origin_ca=ca.path)
        edge.start()
        until(lambda: states(edge) == {"one": "draft"})
        assert until(lambda: pack(edge)["update"]["last_success"]) and pack(edge)["source"] == "url" and pack(edge)["update"]["last_error"] == ""
        n = len(server.asked)
        edge.cli("pack", "update", check=0)
        until(lambda: len(server.asked) > n)
        assert server.asked[-1]
        server.file = server.file.replace(b'"high"', b'"low"')
        edge.cli("pack", "update", check=0)
        assert "signature" in until(lambda: pack(edge)["update"]["last_error"])
        assert states(edge) == {"one": "draft"} and pack(edge)["version"] == 1
        serve(maker.build(2, patch("one", "/one"), patch("two", "/two")))
        edge.cli("pack", "update", check=0)
        until(lambda: states(edge) == {"one": "draft", "two": "draft"})
        assert until(lambda: pack(edge)["update"]["last_error"] == "") and pack(edge)["version"] == 2
        assert edge.metric("ringfence_pack_fetches_total", result="failed") == 1
    finally:
        server.stop()


# -- the pack of this tree

SAMPLE = ["shellshock-headers", "mvpower-jaws-shell", "tbk-uid-cookie", "dahua-netkeyboard-bypass", "dahua-current-config", "hikvision-auth-parameter",
          "hikvision-weblanguage", "goahead-system-ini", "goahead-ld-preload", "dlink-hnap-soapaction", "dlink-nas-sharing-backdoor",
          "dlink-getcfg-accounts", "netgear-setup-syscmd", "netgear-prosafe-debugcmd", "zyxel-viewlog-remote-host", "zyxel-ztp-handler",
          "realtek-miniigd-soap", "realtek-formsyscmd", "huawei-hg532-deviceupgrade", "tr064-newntpserver", "gpon-diag-form",
          "gpon-images-bypass", "tplink-archer-country", "fourfaith-adj-time", "edimax-ic7100-ntp", "citrix-vpns-traversal", "phpunit-eval-stdin",
          "default-basic-credentials", "generic-traversal"]


def send(edge, host, device, request):
    with edge.client(host, device) as c:
        body = request.get("body")
        return c.request(request.get("method", "GET"), request["path"], list(request.get("headers", {}).items()),
                         body.encode() if body is not None else None).status


@pytest.fixture
def release():
    """An edge of the release build: all patches of the tree are compiled several times."""
    edge = Edge(build=RELEASE).start()
    try:
        yield edge
    finally:
        edge.stop()


def test_the_pack_of_this_tree_over_the_edge(release, origin, host):
    edge = release
    edge.app(host, origin)
    device = edge.device("target", "targets")
    edge.cli("pack", "install", PATCHES, check=0)
    installed = edge.api("GET", "/accounts/{account}/patches?per_page=1000")
    assert len(installed) >= 120 and {p["state"] for p in installed} == {"draft"}
    edge.cli("pack", "enable", "devices", "--class", "targets", *[w for name in SAMPLE for w in ("--patch", name)], check=0)
    for name in SAMPLE:
        edge.cli("patch", "canary", name, "--percent", "100", check=0)
    by_name = {p["name"]: p for p in installed}
    wrong = []
    for name in SAMPLE:
        tests = by_name[name]["tests"]
        attacks = [send(edge, host, device, q) for q in tests["attacks"]]
        if 403 not in attacks or not set(attacks) <= {403, 400}:   # 400: what the parser refuses before any rule
            wrong.append((name, "attacks", attacks))
        harmless = [send(edge, host, device, q) for q in tests["harmless"]]
        if set(harmless) != {200}:
            wrong.append((name, "harmless", harmless))
    assert not wrong, wrong
    assert edge.metric("ringfence_patch_halts_total") == 0


def test_ordinary_traffic_passes(tmp_path):
    """What doc/virtual-patch-pack.md states."""
    requests = ordinary.requests(6000)
    assert len(ordinary.TEMPLATES) >= 40 and len({json.dumps(r, sort_keys=True) for r in requests}) == 6000
    path = str(tmp_path / "traffic.json")
    with open(path, "w") as f:
        json.dump(requests, f)
    measured = json.loads(tool("pack", "measure", PATCHES, path, "--json", build=RELEASE).stdout)
    assert measured["requests"] == 6000
    assert measured["stopped"] == 0, measured
