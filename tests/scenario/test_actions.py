"""Actions of rules on the real edge: limits, redirections, settings, quarantine, rules over answers."""
import gzip
import json
import threading

import pytest

from client import Gone
from edge import until

RESPONSE_PHASES = ("http_response", "http_custom_errors", "http_response_compression", "http_response_firewall_managed")


@pytest.fixture(scope="module")
def boot():
    return {"workers": 2}


@pytest.fixture
def rules(edge):
    """rules(phase, ...): the rules of a phase until the test is over; gives their ids."""
    used = set()

    def put(phase, *rules):
        used.add(phase)
        return [r["id"] for r in edge.ruleset(list(rules), phase)["rules"]]
    yield put
    for phase in used:
        edge.ruleset([], phase)


def limit(expression="true", action="rate_limit", **ratelimit):
    return {"expression": expression, "action": action, "description": "no more", "ratelimit": ratelimit}


def statuses(edge, host, device, count, path="/"):
    with edge.client(host, device) as c:
        return [c.get(path).status for _ in range(count)]


def answers(kind, body=b"x" * 2000, status="200 OK", **headers):
    lines = "".join(f"{n.replace('_', '-')}: {v}\r\n" for n, v in headers.items())
    return lambda _: (f"HTTP/1.1 {status}\r\nContent-Type: {kind}\r\nContent-Length: {len(body)}\r\n{lines}\r\n").encode() + body


# -- rate limits

def test_a_device_is_held_to_its_limit(edge, origin, app, host, rules):
    busy, calm = edge.device("busy"), edge.device("calm")
    rule, = rules("http_ratelimit", limit(f'http.host eq "{host}"', period=60, requests_per_period=5))
    assert statuses(edge, host, busy, 8) == [200] * 5 + [429] * 3
    with edge.client(host, busy) as c:
        answer = c.get()
    assert answer.status == 429 and 50 <= int(answer.get("retry-after")) <= 68
    assert statuses(edge, host, calm, 5) == [200] * 5
    record = edge.wait_record(DeviceID=busy.id, Action="block")
    assert record["PolicyID"] == rule and record["PolicyName"] == "no more" and record["Status"] == 429
    assert record["Reason"] == "more requests than a rule allows"
    assert edge.metric("ringfence_rule_matches_total", action="rate_limit") >= 4
    assert edge.metric("ringfence_refused_total", reason="rule_limit") >= 4
    assert len(origin.requests) == 10


def test_exact_over_workers(edge, origin, app, host, lamp, rules):
    """Forty connections of many devices at once, to both workers, one counter."""
    devices = [edge.device(f"swarm-{i}") for i in range(8)]
    rules("http_ratelimit", limit(f'http.host eq "{host}"', period=600, requests_per_period=333, characteristics=["http.host"]))
    got = []

    def run(device):
        got.extend(statuses(edge, host, device, 20))
    threads = [threading.Thread(target=run, args=(devices[i % 8],)) for i in range(24)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    assert len(got) == 480 and got.count(200) == 333 and got.count(429) == 147
    assert len(origin.requests) == 333


def test_edits_keep_the_counters(edge, app, host, lamp, rules):
    rule, = rules("http_ratelimit", limit(f'http.host eq "{host}"', period=600, requests_per_period=4))
    path = f"/zones/{edge.zone()}/rulesets/phases/http_ratelimit/entrypoint"
    assert statuses(edge, host, lamp, 3) == [200] * 3
    ruleset = edge.api("GET", path)
    edge.api("PATCH", f"/zones/{edge.zone()}/rulesets/{ruleset['id']}/rules/{rule}", {
        "description": "other words", "action": "block", "action_parameters": {"response": {
            "status_code": 420, "content": "calm down", "content_type": "text/plain"}}})
    edge.add_rule('http.request.uri.path eq "/unrelated"')
    assert statuses(edge, host, lamp, 3) == [200, 420, 420]
    with edge.client(host, lamp) as c:
        assert c.get().body == b"calm down"
    edge.ruleset([])


def test_failed_logins(edge, origin, app, host, rules):
    """Counted by what the origin answers; held longer than the period."""
    guess = edge.device("guesser")
    origin.answer = answers("text/plain", b"no", "401 Unauthorized")
    rules("http_ratelimit", limit('http.request.uri.path eq "/login"', "block", period=10, requests_per_period=3, mitigation_timeout=600,
                                  counting_expression='http.response.code eq 401'))
    with edge.client(host, guess) as c:
        assert [c.get("/login").status for _ in range(6)] == [401] * 3 + [429] * 3
        assert int(c.get("/login").get("retry-after")) > 590
        origin.answer = None
        assert c.get("/").status == 200
    told = edge.api("POST", "/accounts/{account}/explain", {"device": guess.id, "request": {"host": host, "path": "/login"}})
    asked = [r for r in told["rules"] if r["phase"] == "http_ratelimit"]
    assert "3 of 3 in 10 s, over its limit for " in edge.cli("explain", guess.name, f"GET https://{host}/login", check=0).stdout
    assert asked[0]["limit"]["over"] and asked[0]["limit"]["wait_seconds"] > 590 and told["outcome"]["status"] == 429


def test_score_of_the_origin(edge, origin, app, host, rules):
    query = edge.device("costly")
    rules("http_ratelimit", limit(f'http.host eq "{host}"', period=60, score_per_period=100, score_response_header_name="X-Cost"))
    origin.answer = answers("text/plain", b"ok", X_Cost="45")
    assert statuses(edge, host, query, 5) == [200, 200, 200, 429, 429]


def test_only_what_reached_the_origin(edge, origin, app, host, rules):
    some = edge.device("some")
    rules("http_ratelimit", limit(f'http.host eq "{host}"', period=60, requests_per_period=2, requests_to_origin=True))
    rules("http_request_dynamic_redirect", {"expression": 'http.request.uri.path eq "/old"', "action": "redirect",
          "action_parameters": {"from_value": {"target_url": {"value": "/new"}}}})
    assert statuses(edge, host, some, 5, "/old") == [301] * 5
    assert statuses(edge, host, some, 4) == [200, 200, 429, 429]


def test_a_header_as_key(edge, app, host, lamp, rules):
    rules("http_ratelimit", limit(f'http.host eq "{host}"', period=60, requests_per_period=2,
                                  characteristics=["cf.colo.id", 'http.request.headers["x-api-key"]']))
    with edge.client(host, lamp) as c:
        assert [c.get("/", ("X-Api-Key", k)).status for k in "aababb"] == [200, 200, 200, 429, 200, 429]


def test_a_limit_that_only_logs(edge, app, host, lamp, rules):
    rule, = rules("http_ratelimit", limit(f'http.host eq "{host}"', "log", period=60, requests_per_period=1))
    assert statuses(edge, host, lamp, 3) == [200] * 3
    until(lambda: len([r for r in edge.records(Host=host) if r.get("LoggedPolicyIDs") == rule]) == 2)


def test_limits_from_the_command_line(edge, app, host, lamp, rules, tmp_path):
    """Written by the tool, exported, applied again without a change, refused with its place where it is wrong."""
    done = edge.cli("rule", "limit", f'http.host eq "{host}"', "2/60", "--name", "by-hand", "--zone", "edge.test", check=0)
    assert "rule by-hand in force" in done.stdout
    assert statuses(edge, host, lamp, 3) == [200, 200, 429]
    edge.cli("rule", "redirect", f'http.host eq "{host}" and http.request.uri.path eq "/o"', "/n", "--zone", "edge.test", check=0)
    file = tmp_path / "state.yaml"
    file.write_text(edge.cli("export", check=0).stdout)
    assert "0 changes" in edge.cli("apply", str(file), "--dry-run", check=0).stdout
    file.write_text(file.read_text().replace("period: 60", "period: 61"))
    done = edge.cli("apply", str(file))
    assert done.returncode == 1 and "/ratelimit/period" in done.stderr, done
    rules("http_ratelimit")
    rules("http_request_dynamic_redirect")


# -- redirections

def test_redirect(edge, origin, app, host, lamp, rules):
    rule, = rules("http_request_dynamic_redirect", {"expression": 'starts_with(http.request.uri.path, "/v1/")', "action": "redirect",
                  "action_parameters": {"from_value": {"status_code": 308, "preserve_query_string": True, "target_url": {
                      "expression": 'concat("https://", http.host, "/v2/", substring(http.request.uri.path, 4))'}}}})
    done = edge.curl(host, "/v1/a%0d%0aSet-Cookie:x?y=1&z=%20", lamp, "-i")
    assert done.stdout.startswith("HTTP/1.1 308 ") and f"location: https://{host}/v2/a%0d%0aset-cookie:x?y=1&z=%20\n" in done.stdout.lower()
    assert "\nset-cookie" not in done.stdout.lower()
    done = edge.curl(host, "/v1/follow", lamp, "-L", "--connect-to", f"{host}:443:127.0.0.1:{edge.port}", "-o", "/dev/null",
                     "-w", "%{http_code} %{num_redirects}")
    assert done.stdout == "200 1", done
    assert [r.target for r in origin.requests] == ["/v2/follow"]
    record = edge.wait_record(Host=host, Path="/v1/follow")
    assert record["Action"] == "redirect" and record["PolicyID"] == rule and record["Status"] == 308
    assert edge.metric("ringfence_rule_matches_total", action="redirect") >= 2


def test_redirect_keeps_the_connection(edge, app, host, lamp, rules):
    rules("http_request_dynamic_redirect", {"expression": 'http.request.uri.path eq "/a"', "action": "redirect",
          "action_parameters": {"from_value": {"target_url": {"value": "/b"}}}})
    with edge.client(host, lamp) as c:
        answer = c.request("POST", "/a", body=b"some bytes")
        assert answer.status == 301 and answer.get("location") == "/b" and answer.body == b""
        assert c.get("/b").status == 200


# -- answers of the origin

def test_headers_of_answers(edge, origin, app, host, lamp, rules):
    origin.answer = answers("text/plain", b"ok", Server="leaky/1.0", X_Powered_By="php")
    rules("http_response_headers_transform", {"expression": "true", "action": "rewrite", "action_parameters": {"headers": {
        "Server": {"operation": "remove"}, "X-Powered-By": {"operation": "set", "value": "edge"},
        "X-Agent": {"operation": "set", "expression": "http.user_agent"}, "Via": {"operation": "add", "value": "1.1 test"}}}})
    with edge.client(host, lamp) as c:
        answer = c.get("/", ("User-Agent", "lamp 1"))
        assert answer.get("server") is None and answer.get("x-powered-by") == "edge"
        assert answer.get("x-agent") == "lamp 1" and answer.get("via") == "1.1 test"
        assert c.get("/").get("x-agent") is None


def test_an_answer_is_blocked(edge, origin, app, host, lamp, rules):
    rule, = rules("http_response_firewall_managed", {"expression": 'http.response.headers["x-leak"][0] contains "key"', "action": "block",
                  "description": "leak", "action_parameters": {"response": {"status_code": 502, "content": "{}",
                                                                            "content_type": "application/json"}}})
    with edge.client(host, lamp) as c:
        assert c.get().status == 200
        origin.answer = answers("text/plain", b"the secret", X_Leak="a key")
        answer = c.get("/leak")
        assert answer.status == 502 and answer.json == {} and answer.get("x-leak") is None
        origin.answer = None
        assert c.get().status == 200
    record = edge.wait_record(Host=host, Path="/leak")
    assert (record["Action"], record["PolicyID"], record["OriginStatus"]) == ("block", rule, 200)
    assert record["Reason"] == "a rule blocked the answer of the origin"


def test_another_page_for_errors(edge, origin, app, host, lamp, rules):
    rules("http_custom_errors", {"expression": "http.response.code ge 500", "action": "serve_error", "action_parameters": {
        "content": '{"retry": true}', "content_type": "application/json"}})
    origin.answer = answers("text/html", b"stack trace", "503 Down")
    answer = edge.get(host, "/", lamp)
    assert answer.status == 503 and answer.json == {"retry": True} and answer.get("content-type") == "application/json"
    assert edge.wait_record(Host=host)["Action"] == "serve_error"


@pytest.mark.parametrize("names, accepts, coding", [
    (["gzip"], "gzip, br, zstd", "gzip"), (["zstd", "gzip"], "gzip, br", "gzip"), (["brotli"], "gzip", None),
    (["brotli", "auto"], "gzip", "gzip"), (["none"], "gzip", None), (["zstd"], "zstd", "zstd"), (["default"], "gzip", None),
], ids=str)
def test_coding_of_answers(edge, origin, app, host, lamp, rules, names, accepts, coding):
    origin.answer = answers("application/octet-stream")
    rules("http_response_compression", {"expression": f'http.host eq "{host}"', "action": "compress_response",
          "action_parameters": {"algorithms": [{"name": n} for n in names]}})
    with edge.client(host, lamp) as c:
        answer = c.get("/", ("Accept-Encoding", accepts))
        assert answer.get("content-encoding") == coding
        if coding == "gzip":
            assert gzip.decompress(answer.body) == b"x" * 2000 and "Accept-Encoding" in answer.get("vary")


# -- settings

def test_settings(edge, origin, app, host, lamp, rules):
    edge.edit_app(app, compress=True)
    origin.answer = answers("application/json")
    rules("http_config_settings", {"expression": 'http.request.uri.path eq "/plain"', "action": "set_config",
                                   "action_parameters": {"compress": False, "record_sample": 1000000}})
    with edge.client(host, lamp) as c:
        assert c.get("/", ("Accept-Encoding", "gzip")).get("content-encoding") == "gzip"
        for _ in range(5):
            assert c.get("/plain", ("Accept-Encoding", "gzip")).get("content-encoding") is None
        assert c.get("/last").status == 200
    edge.wait_record(Host=host, Path="/last")
    assert len(edge.records(Host=host, Path="/plain")) <= 1
    assert not edge.records(Host=host, Path="/last")[0].get("SampleInterval")


def test_what_rules_see_of_a_body(edge, app, host, lamp, rules):
    rules("http_request", {"expression": 'http.request.body.raw contains "evil"', "action": "block"})
    rules("http_config_settings",
          {"expression": 'http.request.uri.path eq "/none"', "action": "set_config", "action_parameters": {"request_body_buffering": "none"}},
          {"expression": 'http.request.uri.path eq "/few"', "action": "set_config", "action_parameters": {"inspect_body_bytes": 10}})
    with edge.client(host, lamp) as c:
        assert [c.request("POST", p, body=b"0123456789evil").status for p in ("/", "/none", "/few")] == [403, 200, 200]
        assert c.request("POST", "/few", body=b"01234 evil").status == 403


# -- quarantine

def test_quarantine(edge, origin, app, host, lamp, rules):
    taken = edge.device("taken-over")
    rule, = rules("http_request", {"expression": 'http.request.uri.path eq "/scan"', "action": "quarantine", "description": "scans"})
    idle = edge.client(host, taken)
    assert idle.get().status == 200
    with edge.client(host, taken) as c:
        answer = c.get("/scan")
        assert answer.status == 403
    assert edge.get(host, "/", lamp).status == 200
    assert edge.get(host, "/", taken).status == 403
    try:
        assert idle.get().status == 403
    except (Gone, OSError):
        pass
    until(lambda: edge.api("GET", f"/accounts/{{account}}/devices/{taken.id}")["state"] == "quarantined")
    shown = edge.api("GET", f"/accounts/{{account}}/devices/{taken.id}")
    assert shown["reason"] == f"rule {rule}: scans"
    assert f"rule {rule}" in edge.cli("device", "show", taken.name, check=0).stdout
    until(lambda: ended(idle))
    record = edge.wait_record(DeviceID=taken.id, Path="/scan")
    assert record["PolicyID"] == rule and record["Reason"] == "a rule moved the device to quarantine"
    assert f"rule:{rule}" in json.dumps(edge.api("GET", "/accounts/{account}/audit_logs"))
    assert edge.metric("ringfence_devices_quarantined_total") == 1
    assert edge.metric("ringfence_rule_matches_total", action="quarantine") == 1
    edge.cli("device", "activate", taken.name, check=0)
    assert edge.get(host, "/", taken).status == 200
    assert len([r for r in origin.requests if r.path == "/scan"]) == 0


def ended(c):
    try:
        c.sock.settimeout(0.2)
        return c.sock.recv(10) == b""
    except TimeoutError:
        return False
    except OSError:
        return True


def test_quarantine_outlives_a_restart(make_edge, origin):
    edge = make_edge()
    edge.start()
    host = "kept.edge.test"
    edge.app(host, origin)
    device = edge.device("kept")
    edge.ruleset([{"expression": 'http.request.uri.path eq "/scan"', "action": "quarantine"}])
    assert edge.get(host, "/scan", device).status == 403
    until(lambda: edge.api("GET", f"/accounts/{{account}}/devices/{device.id}")["state"] == "quarantined")
    edge.kill()
    edge.start()
    assert edge.get(host, "/", device).status == 403


def test_quarantine_of_a_connection(edge, app, host, rules):
    loud = edge.device("loud")
    rules("connection", {"expression": f'device.id eq "{loud.id}"', "action": "quarantine"})
    try:
        assert edge.get(host, "/", loud).status == 403
    except (Gone, OSError):
        pass
    until(lambda: edge.api("GET", f"/accounts/{{account}}/devices/{loud.id}")["state"] == "quarantined")


# -- bad input

@pytest.mark.parametrize("phase, rule, pointer", [
    ("http_ratelimit", {"action": "block"}, "/rules/0/ratelimit"),
    ("http_ratelimit", limit(period=7, requests_per_period=1), "/rules/0/ratelimit/period"),
    ("http_request_dynamic_redirect", {"action": "redirect", "action_parameters": {"from_value": {"target_url": {"value": "x"}}}},
     "/rules/0/action_parameters/from_value/target_url/value"),
    ("http_config_settings", {"action": "set_config", "action_parameters": {"rocket_loader": True}}, "/rules/0/action_parameters/rocket_loader"),
    ("http_response_compression", {"action": "compress_response", "action_parameters": {"algorithms": [{"name": "lz4"}]}},
     "/rules/0/action_parameters/algorithms/0/name"),
    ("http_request", {"action": "execute", "action_parameters": {"id": "0" * 32}}, "/rules/0/action"),
], ids=lambda v: v if isinstance(v, str) and not v.startswith("/") else "")
def test_bad_rules_say_where(edge, phase, rule, pointer):
    reply = edge.reply("PUT", f"/zones/{edge.zone()}/rulesets/phases/{phase}/entrypoint", {"rules": [{"expression": "true", **rule}]})
    assert reply.status in (400, 501) and reply.json["errors"][0]["source"]["pointer"] == pointer, json.dumps(reply.json)


def test_rules_change_under_load(edge, origin, app, host, lamp, rules):
    """Limits come, go and change while requests run: every answer is one of either rule set, and nothing breaks."""
    stop, got = threading.Event(), []

    def run():
        with edge.client(host, lamp) as c:
            while not stop.is_set():
                got.append(c.get().status)
    threads = [threading.Thread(target=run) for _ in range(4)]
    for t in threads:
        t.start()
    for i in range(30):
        rules("http_ratelimit", *[limit(f'http.host eq "{host}"', period=60, requests_per_period=1 + i % 3) for _ in range(i % 4)])
        rules("http_response", *[{"expression": "true", "action": "rewrite", "action_parameters": {
            "headers": {"X-N": {"operation": "set", "value": str(i)}}}} for _ in range(i % 2)])
    stop.set()
    for t in threads:
        t.join()
    assert set(got) <= {200, 429} and 200 in got and 429 in got
