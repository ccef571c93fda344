"""The REST API on bad days: bodies that are no JSON, too deep, too large, of wrong types; tokens; paging; audit."""
import json
import ssl
import subprocess
import http.client

import pytest

from edge import Refused, until

CLASSES = "/accounts/{account}/classes"


def errors(reply, status):
    assert reply.status == status, reply.body
    body = reply.json
    assert body["success"] is False and body["result"] is None and body["errors"] and body["messages"] == []
    assert isinstance(body["errors"][0]["code"], int) and body["errors"][0]["message"]
    return body["errors"]


@pytest.mark.parametrize("body", ["", "{", "[1,2", "nonsense", '{"name": "a"} trailing', '{"name": "\\ud800"}', '{"name": "a", "name": "b"}',
                                  "\x00", '{"name": "a\x01b"}', "null", "7", '"text"', "[]"], ids=lambda b: repr(b)[:20])
def test_not_json(edge, body):
    errors(edge.reply("POST", CLASSES, body), 400)


def test_bytes_that_are_not_utf8(edge):
    errors(edge.reply("POST", CLASSES, b'{"name": "\xff\xfe"}'), 400)


def test_too_deep(edge):
    errors(edge.reply("POST", CLASSES, '{"name": ' + "[" * 100000 + "]" * 100000 + "}"), 413)


def test_too_large(edge):
    connection = edge.new_api()
    connection.putrequest("POST", f"/client/v4/accounts/{edge.account}/classes")
    connection.putheader("Content-Length", str(1 << 32))
    connection.endheaders()
    assert connection.getresponse().status == 413
    connection.close()
    connection = edge.new_api()
    try:
        connection.request("POST", f"/client/v4/accounts/{edge.account}/classes", '{"name": "' + "a" * (17 << 20) + '"}')
        assert connection.getresponse().status == 413
    except OSError:
        pass
    connection.close()
    assert edge.reply("GET", CLASSES).status == 200


@pytest.mark.parametrize("members, pointer", [
    ({"name": 7}, "/name"), ({"name": ""}, "/name"), ({"name": "a" * 300}, "/name"), ({}, "/name"), ({"name": "a", "nmae": "b"}, "/nmae"),
    ({"name": "a", "max_connections": "many"}, "/max_connections"), ({"name": "a", "max_connections": -1}, "/max_connections"),
    ({"name": "a", "max_connections": 1.5}, "/max_connections"), ({"name": "a", "max_connections": 1e30}, "/max_connections"),
    ({"name": "a", "rate": {"requests": 0}}, "/rate/requests"), ({"name": "a", "rate": []}, "/rate"),
    ({"name": "a", "roots": ["zz"]}, "/roots/0"), ({"name": "a", "roots": "device_ca"}, "/roots"), ({"name": "a", "bind": "guess"}, "/bind"),
    ({"name": "a", "first_sight": "yes"}, "/first_sight"), ({"name": None}, "/name"),
], ids=lambda v: str(v)[:30])
def test_wrong_shapes(edge, members, pointer):
    found = errors(edge.reply("POST", CLASSES, members), 400)
    assert pointer in [e.get("source", {}).get("pointer") for e in found], found


def test_unknown_member_gets_a_suggestion(edge):
    assert "max_connections" in errors(edge.reply("POST", CLASSES, {"name": "a", "max_conections": 1}), 400)[0]["message"]


@pytest.mark.parametrize("method, path, status", [
    ("GET", "/nothing", 404), ("GET", "/accounts/" + "0" * 32 + "/classes", 404), ("GET", "/accounts/xyz/classes", 404),
    ("PATCH", "/accounts", 405), ("GET", "/accounts/{account}/classes/" + "f" * 32, 404), ("DELETE", "/zones/" + "a" * 32, 404),
    ("GET", "/accounts/{account}/classes?page=zero", 400), ("GET", "/accounts/{account}/classes?per_page=100000", 400),
    ("GET", "/%00", 404), ("GET", "/accounts/{account}/../../../etc/passwd", 404),
], ids=lambda v: str(v)[-28:])
def test_wrong_paths(edge, method, path, status):
    reply = edge.reply(method, path)
    assert reply.status in (status, 400) and reply.json["success"] is False


def test_duplicate_name(edge):
    edge.klass("twice")
    errors(edge.reply("POST", CLASSES, {"name": "twice"}), 409)


def test_paging(edge):
    made = [edge.klass(f"page-{i:02}") for i in range(23)]
    seen, page = [], 1
    while True:
        reply = edge.reply("GET", f"{CLASSES}?per_page=10&page={page}")
        info = reply.json["result_info"]
        assert info["page"] == page and info["per_page"] == 10 and info["count"] == len(reply.result)
        seen += [c["id"] for c in reply.result]
        if page >= info["total_pages"]:
            break
        page += 1
    assert set(made) <= set(seen) and len(seen) == len(set(seen)) == info["total_count"]


def test_etags(edge):
    path = f"/accounts/{{account}}/classes/{edge.klass('tagged')}"
    reply = edge.reply("GET", path)
    tag = reply.headers["etag"]
    assert edge.reply("PATCH", path, {"description": "one"}, {"If-Match": tag}).status == 200
    errors(edge.reply("PATCH", path, {"description": "two"}, {"If-Match": tag}), 412)
    assert edge.api("GET", path)["description"] == "one"
    assert edge.reply("GET", path, None, {"If-None-Match": edge.reply("GET", path).headers["etag"]}).status in (200, 304)


def test_referenced_objects_stay(edge):
    device = edge.device("holder", "held")
    errors(edge.reply("DELETE", f"/accounts/{{account}}/classes/{edge.klass('held')}"), 409)
    edge.api("DELETE", f"/accounts/{{account}}/devices/{device.id}")


def test_audit(edge):
    made = edge.klass("audited")
    entry = next(a for a in edge.api("GET", "/accounts/{account}/audit_logs") if made in json.dumps(a))
    assert entry["actor"] and entry["when"].endswith("Z")


def test_openapi(edge):
    reply = edge.raw("GET", "/client/v4/openapi.json")
    document = reply.json
    assert document["openapi"].startswith("3.")
    assert "/zones/{zone}/client_certificates" in " ".join(document["paths"]) or any("client_certificates" in p for p in document["paths"])


def test_health(edge):
    assert edge.raw("GET", "/healthz").status == 200
    assert edge.raw("GET", "/readyz").status == 200


class Tls:
    """The API over TLS with a token."""

    def __init__(self, edge, token=None):
        self.edge, self.token = edge, token

    def __call__(self, method, path, body=None, headers=None):
        ctx = ssl.create_default_context()
        ctx.check_hostname, ctx.verify_mode = False, ssl.CERT_NONE
        connection = http.client.HTTPSConnection("127.0.0.1", self.edge.api_port, context=ctx, timeout=20)
        headers = {"Content-Type": "application/json", **(headers or {})}
        if self.token:
            headers["Authorization"] = "Bearer " + self.token
        connection.request(method, "/client/v4" + path.replace("{account}", self.edge.account), json.dumps(body) if body else None, headers)
        answer = connection.getresponse()
        answer.text = answer.read()
        connection.close()
        return answer


def token(edge, *scopes, account=None, **more):
    return edge.api("POST", "/accounts/{account}/tokens", {"name": "t", "policies": [{
        "effect": "allow", "permission_groups": [{"id": s} for s in scopes],
        "resources": {f"com.ringfence.api.account.{account or edge.account}": "*"}}], **more})


def test_no_token_no_answer(edge):
    for given in (None, "nonsense", "A" * 40, ""):
        assert Tls(edge, given)("GET", "/accounts").status in (400, 401, 403)


def test_scopes(edge):
    reader = Tls(edge, token(edge, "classes:read")["value"])
    assert reader("GET", CLASSES).status == 200
    assert reader("POST", CLASSES, {"name": "by-reader"}).status == 403
    assert reader("GET", "/accounts/{account}/devices").status == 403
    writer = Tls(edge, token(edge, "classes:write")["value"])
    assert writer("POST", CLASSES, {"name": "by-writer"}).status in (200, 201)
    assert writer("POST", "/accounts/{account}/devices", {"name": "x", "class": "by-writer"}).status == 403
    assert Tls(edge, token(edge, "*")["value"])("GET", "/accounts/{account}/devices").status == 200
    wall = Tls(edge, token(edge, "firewall:read")["value"])
    assert wall("GET", "/accounts/{account}/shield").status == 200
    assert wall("GET", "/accounts/{account}/pcaps").status == 403, "who sees counters does not see what is in frames"
    frames = Tls(edge, token(edge, "pcaps:read")["value"])
    assert frames("GET", "/accounts/{account}/pcaps").status == 200
    assert frames("POST", "/accounts/{account}/pcaps", {"reason": "denied"}).status == 403


def test_no_escalation(edge):
    """A token cannot make a token that may more."""
    limited = Tls(edge, token(edge, "tokens:write", "classes:read")["value"])
    answer = limited("POST", "/accounts/{account}/tokens", {"name": "more", "policies": [{"effect": "allow",
        "permission_groups": [{"id": "*"}], "resources": {f"com.ringfence.api.account.{edge.account}": "*"}}]})
    assert answer.status == 403, answer.text


def test_tokens_end(edge):
    made = token(edge, "classes:read")
    use = Tls(edge, made["value"])
    assert use("GET", CLASSES).status == 200
    assert made["value"] not in json.dumps(edge.api("GET", f"/accounts/{{account}}/tokens/{made['id']}"))
    edge.api("DELETE", f"/accounts/{{account}}/tokens/{made['id']}")
    assert use("GET", CLASSES).status in (401, 403)
    assert Tls(edge, token(edge, "*", expires_on="2020-01-01T00:00:00Z")["value"])("GET", CLASSES).status in (401, 403)


def test_tls_of_the_api(edge):
    """With `ringfence ca show` as CA, curl is content."""
    ca = edge.dir + "/api-ca.crt"
    done = edge.cli("ca", "show", check=0)
    with open(ca, "w") as f:
        f.write(done.stdout)
    done = subprocess.run(["curl", "-sS", "--cacert", ca, "-H", "Authorization: Bearer " + token(edge, "*")["value"],
                           f"https://127.0.0.1:{edge.api_port}/client/v4/accounts"], capture_output=True, text=True, timeout=20, check=False)
    assert done.returncode == 0 and edge.account in done.stdout, done


def test_strangers_on_the_socket(edge):
    """Only root, the engine's user and the group may use the Unix socket."""
    import os
    mode = os.stat(edge.run + "/api.sock").st_mode & 0o777
    assert not mode & 0o007


def test_dry_run_of_objects(edge):
    """Writes of rules are checked and not kept."""
    reply = edge.reply("POST", CLASSES + "?dry_run=true", {"name": "phantom"})
    assert reply.status == 200
    assert "phantom" not in [c["name"] for c in edge.api("GET", CLASSES + "?per_page=100")]


def test_zones_and_hosts_do_not_collide(edge, origin):
    app = edge.app("taken.edge.test", origin)
    with pytest.raises(Refused) as refused:
        edge.app("taken.edge.test", origin, name="second")
    assert refused.value.status in (400, 409)
    with pytest.raises(Refused):
        edge.app("outside.example.org", origin)
    edge.delete_app(app)


def test_secrets_are_never_shown_nor_logged(edge):
    made = token(edge, "*")
    device = edge.device("secretive")
    Tls(edge, made["value"])("GET", CLASSES)
    text = edge.logged() + edge.raw("GET", "/metrics").body.decode()
    text += json.dumps(edge.api("GET", f"/accounts/{{account}}/devices/{device.id}")) + json.dumps(edge.api("GET", "/accounts/{account}/audit_logs"))
    assert made["value"] not in text and "PRIVATE KEY" not in text
    with open(edge.data + "/state.db", "rb") as f:
        assert made["value"].encode() not in f.read()
