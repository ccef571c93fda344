"""Virtual patches through their whole life, on the real edge, with the command-line tool and real devices."""
import json
import os
import re
import signal
import time

import pytest

from edge import until

CVE = "CVE-2014-6271"
ATTACK = ("User-Agent", "() { :;}; /bin/ping -c1 203.0.113.9")
EXPR = 'http.user_agent contains "() {"'
TESTS = {"attacks": [{"method": "GET", "path": "/cgi-bin/status", "headers": {"User-Agent": "() { :;}; id"}},
                     {"headers": {"User-Agent": "x() { y"}}],
         "harmless": [{"path": "/readings", "headers": {"User-Agent": "camera/2.1 (linux)"}}]}


@pytest.fixture
def name(edge):
    """The name of a test's own patch, deleted afterwards."""
    made = "patch-" + os.urandom(4).hex()
    yield made
    edge.cli("patch", "delete", made)


def camera(edge, **more):
    klass = more.pop("klass", "cameras")
    edge.klass(klass)
    device = edge.device("camera-" + os.urandom(4).hex(), klass)
    if more:
        edge.api("PATCH", f"/accounts/{edge.account}/devices/{device.id}", more)
    return device


def new(edge, name, *words, tests=TESTS, expr=EXPR):
    path = os.path.join(edge.dir, name + ".json")
    with open(path, "w") as f:
        json.dump(tests, f)
    edge.cli("patch", "new", "--cve", CVE, "--name", name, "--title", "Shellshock", "--expr", expr, "--tests", path, *words, check=0)


def move(edge, name, to, *words, check=0):
    return edge.cli("patch", to, name, *words, check=check)


def shown(edge, name):
    return json.loads(edge.cli("patch", "show", name, "--json", check=0).stdout)


def attack(edge, host, device):
    return edge.get(host, "/cgi-bin/status", device, [ATTACK]).status


def test_each_state_does_what_it_says(edge, app, host, name):
    device = camera(edge)
    new(edge, name, "--class", "cameras")
    assert shown(edge, name)["state"] == "draft" and attack(edge, host, device) == 200
    move(edge, name, "report", "--reason", "first look")
    assert attack(edge, host, device) == 200
    until(lambda: shown(edge, name)["report"]["matched"] == 1)
    move(edge, name, "canary", "--percent", "100")
    assert attack(edge, host, device) == 403
    record = edge.wait_record(Host=host, Action="block")
    assert record["PolicyID"] == shown(edge, name)["id"] and record["PolicyName"] == "Shellshock"
    move(edge, name, "enforce")
    assert attack(edge, host, device) == 403 and edge.get(host, "/readings", device).status == 200
    move(edge, name, "retire")
    assert attack(edge, host, device) == 200
    history = shown(edge, name)["history"]
    assert [h["to"] for h in history] == ["draft", "report", "canary", "enforce", "retired"]
    assert history[1]["why"] == "first look" and history[1]["who"].startswith("local:uid=")


def test_illegal_moves_say_what_is_allowed(edge, name):
    new(edge, name)
    done = move(edge, name, "enforce", check=1)
    assert "cannot go to enforce" in done.stderr and "report or replay" in done.stderr
    assert shown(edge, name)["state"] == "draft"


def test_own_tests_stand_before_canary(edge, name):
    camera(edge)
    new(edge, name, tests={"attacks": [{"headers": {"User-Agent": "curl/8"}}], "harmless": []})
    move(edge, name, "report")
    done = move(edge, name, "canary", "--percent", "100", check=1)
    assert "this attack is not stopped" in done.stderr and "/tests/attacks/0" in done.stderr
    assert shown(edge, name)["state"] == "report"
    assert edge.cli("patch", "test", name).returncode == 1


def test_a_canary_of_nobody_is_refused(edge, name):
    camera(edge)
    new(edge, name, "--class", "cameras")
    move(edge, name, "report")
    done = move(edge, name, "canary", "--group", 'device.owner eq "nobody at all"', check=1)
    assert "no device that needs the patch is in this group" in done.stderr
    done = move(edge, name, "canary", "--group", 'http.host eq "x"', check=1)
    assert "http.host" in done.stderr and "/group" in done.stderr
    assert shown(edge, name)["state"] == "report"


def test_a_group_is_stopped_and_the_rest_counted(edge, app, host, name):
    lab, field = camera(edge, tags=["lab"]), camera(edge)
    new(edge, name, "--class", "cameras")
    move(edge, name, "report")
    move(edge, name, "canary", "--group", 'any(device.tags[*] eq "lab")')
    assert attack(edge, host, lab) == 403 and attack(edge, host, field) == 200
    until(lambda: shown(edge, name)["report"]["matched"] == 2)
    report = shown(edge, name)["report"]
    assert report["stopped"] == 1 and report["devices"] == 2


def test_firmware_that_is_fixed_is_left_alone(edge, app, host, name):
    klass = "klass-" + name
    old, unknown = camera(edge, klass=klass, firmware="2.4.0"), camera(edge, klass=klass)
    new(edge, name, "--class", klass, "--until", 'device.firmware ge "2.4.1"')
    move(edge, name, "report")
    move(edge, name, "canary", "--percent", "100")
    move(edge, name, "enforce")
    assert attack(edge, host, old) == 403 and attack(edge, host, unknown) == 403
    exposure = [e for e in json.loads(edge.cli("patch", "exposure", "--json", check=0).stdout) if name in str(e["patches"])]
    assert exposure[0]["cve"] == CVE and exposure[0]["protected"] == 2 and exposure[0]["unknown_firmware"] == 1
    edge.cli("device", "edit", old.id, "--firmware", "2.10", check=0)
    assert attack(edge, host, old) == 200 and attack(edge, host, unknown) == 403
    assert not shown(edge, name)["unneeded"]
    edge.cli("device", "edit", unknown.id, "--firmware", "2.4.1", check=0)
    assert attack(edge, host, unknown) == 200
    assert shown(edge, name)["unneeded"] and shown(edge, name)["fleet"]["fixed"] == 2
    page = edge.cli("patch", "exposure", "--html", check=0).stdout
    assert page.startswith("<!doctype html>") and CVE in page and "@media print" in page and "<script" not in page


def test_exposure_tells_alike_from_different(make_edge):
    """Flaws whose patches say the same of every device are counted once; one that differs is not among them."""
    edge = make_edge()
    edge.start()
    for i, number in enumerate((10, 1, 0, 4, 3)):
        edge.device(f"camera-{number}", "cameras", firmware=f"1.{i}")
    edge.device("lamp-1", "lamps")
    wanted = {"a": ("report", "cameras", None), "b": ("report", "cameras", None), "c": ("enforce", "cameras", None), "d": ("report", "lamps", None),
              "e": ("report", "cameras", 'device.firmware ge "1.3"')}
    for name, (state, klass, until_) in wanted.items():
        words = ["--class", klass] + (["--until", until_] if until_ else [])
        new(edge, name, "--cve", f"CVE-2020-000{ord(name) - 96}", *words, expr=f'http.request.uri.path eq "/{name}"', tests={"attacks": [{"path": f"/{name}"}]})
        move(edge, name, "report")
    move(edge, "c", "canary", "--percent", "100")
    move(edge, "c", "enforce")
    said = {e["patches"][0]["name"]: e for e in json.loads(edge.cli("patch", "exposure", "--devices", "--json", check=0).stdout)}
    counts = {n: (e["exposed"], e["protected"], e["fixed"], len(e["devices"])) for n, e in said.items()}
    assert counts == {"a": (5, 0, 0, 5), "b": (5, 0, 0, 5), "c": (0, 5, 0, 5), "d": (1, 0, 0, 1), "e": (3, 0, 2, 5)}
    assert [d["name"] for d in said["e"]["devices"]] == ["camera-0", "camera-1", "camera-10", "camera-3", "camera-4"], "by status, then by name"
    assert {d["name"] for d in said["d"]["devices"]} == {"lamp-1"} and said["c"]["protected_since"] and not said["b"]["truncated"]


def test_a_patch_that_hurts_falls_back_by_itself(edge, app, host, name):
    """Healthy cameras whose readings it stops: it goes back to report and says why."""
    cameras = [camera(edge, klass="klass-" + name) for _ in range(3)]
    clients = [edge.client(host, c) for c in cameras]
    for _ in range(30):
        assert {c.get("/readings").status for c in clients} == {200}
        time.sleep(0.05)
    new(edge, name, "--class", "klass-" + name, expr='http.request.uri.path eq "/readings"', tests={"attacks": [{"path": "/readings"}]})
    id = shown(edge, name)["id"]
    edge.api("PATCH", f"/accounts/{edge.account}/patches/{id}", {"halt": {"window_s": 2, "devices": 2}})
    move(edge, name, "report")
    move(edge, name, "canary", "--percent", "100")
    assert {c.get("/readings").status for c in clients} == {403}

    def back():
        for c in clients:
            c.get("/readings")
        return shown(edge, name)["state"] == "report"
    until(back, every=0.2)
    assert {c.get("/readings").status for c in clients} == {200}
    last = shown(edge, name)["history"][-1]
    assert last["who"] == "auto-halt" and "healthy devices that it stopped suffer" in last["why"]
    assert edge.metric("ringfence_patch_halts_total") >= 1
    until(lambda: any("fell back to report" in r.get("Reason", "") for r in edge.records(Type="event")))
    for c in clients:
        c.close()


def test_how_devices_fare_outlives_a_restart(make_edge, origin):
    """What was learnt before a restart lets a patch fall back after it, though no device succeeded since; counts stay too."""
    edge = make_edge()
    edge.start()
    host, name = "known.edge.test", "known"
    edge.app(host, origin)
    cameras = [edge.device(f"camera-{i}", "cameras") for i in range(3)]
    new(edge, name, "--class", "cameras", expr='http.request.uri.path eq "/readings"', tests={"attacks": [{"path": "/readings"}]})
    move(edge, name, "report")
    for c in cameras:
        with edge.client(host, c) as client:
            for _ in range(20):
                assert client.get("/other").status == 200
            assert client.get("/readings").status == 200
    until(lambda: shown(edge, name)["report"]["matched"] == 3)
    edge.signal(signal.SIGTERM)
    edge.child.wait(20)
    edge.close_api()
    edge.start()
    assert shown(edge, name)["report"]["matched"] == 3
    edge.api("PATCH", f"/accounts/{edge.account}/patches/{shown(edge, name)['id']}", {"halt": {"window_s": 2, "devices": 2}})
    move(edge, name, "canary", "--percent", "100")

    def back():
        for c in cameras:
            assert edge.get(host, "/readings", c).status in (403, 200)
        return shown(edge, name)["state"] == "report"
    until(back, every=0.2)
    assert "healthy devices that it stopped suffer" in shown(edge, name)["history"][-1]["why"]
    # what cannot be read is said, and learnt anew
    edge.kill()
    edge.close_api()
    with open(os.path.join(edge.data, "patch-watch"), "r+b") as f:
        f.seek(50)
        f.write(b"damage")
    edge.start()
    edge.wait_log("how devices usually fare is learnt anew")
    assert shown(edge, name)["state"] == "report"


def test_a_class_of_a_patch_stays(edge, name):
    camera(edge, klass="klass-" + name)
    new(edge, name, "--class", "klass-" + name)
    done = edge.cli("class", "edit", "klass-" + name, "--name", "other")
    assert done.returncode == 1 and name in done.stderr
    done = edge.cli("patch", "edit", name, "--class", "no-such-class")
    assert done.returncode and "no class" in done.stderr


def test_errors_point_into_the_expression(edge, name):
    done = edge.cli("patch", "new", "--name", name, "--expr", 'http.hots eq "x"')
    assert done.returncode and "http.host" in done.stderr and re.search(r"/expression|column 1", done.stderr), done.stderr
    done = edge.cli("patch", "new", "--name", name, "--expr", 'ssl', "--until", 'ip.src eq 1.2.3.4')
    assert done.returncode and "device.*" in done.stderr


def replay(edge, name, *words):
    return json.loads(edge.cli("patch", "replay", name, "--json", *words, check=0).stdout)


def test_replay_tells_what_it_would_have_stopped(edge, app, host, name):
    klass = "klass-" + name
    good, bad = camera(edge, klass=klass), camera(edge, klass=klass)
    with edge.client(host, good) as c:
        for _ in range(12):
            assert c.get("/readings").status == 200
        assert c.get("/cgi-bin/status", ATTACK).status == 200
    with edge.client(host, bad) as c:
        assert c.get("/cgi-bin/status", ATTACK).status == 200
    until(lambda: len(edge.records(Host=host, Type="request")) == 14)
    new(edge, name, "--class", klass)
    found = replay(edge, name)
    assert shown(edge, name)["state"] == "replay" and found["status"] == "done"
    assert found["would_stop"] == 2 and found["healthy_devices"] == 1 and found["cannot_know"] == 0
    assert {d["id"]: d["healthy"] for d in found["devices"]} == {good.id: True, bad.id: False}
    assert found["hosts"] == [{"host": host, "requests": 2}] and found["paths"] == [{"path": "/cgi-bin/status", "requests": 2}]
    assert shown(edge, name)["replay"]["would_stop"] == 2
    table = edge.cli("patch", "replay", name, check=0).stdout
    assert "would have stopped 2 of" in table and "devices that look healthy among those: 1" in table


def test_replay_over_records_in_memory(make_edge, origin):
    """Where there is no file: all that memory holds, once, over several steps of the replay."""
    edge = make_edge(records={"file": None, "recent": 1000})
    edge.start()
    host = "memory.edge.test"
    edge.app(host, origin)
    device = camera(edge)
    with edge.client(host, device) as c:
        for i in range(300):
            assert c.get("/seventh" if i % 7 == 0 else "/other").status == 200
    new(edge, "memory", "--class", "cameras", expr='http.request.uri.path eq "/seventh"')
    until(lambda: len(edge.api("GET", "/accounts/{account}/records?limit=1000")) >= 300)
    said = json.loads(edge.cli("patch", "replay", "memory", "--json", check=0).stdout)
    assert said["status"] == "done" and said["requests"] == 300 and said["would_stop"] == 43 and said["files"] == ["records in memory"]


def test_replay_does_not_guess(edge, app, host, name):
    klass = "klass-" + name
    device = camera(edge, klass=klass)
    for path in ("/a?x=1", "/b?x=1"):
        assert edge.get(host, path, device).status == 200
    until(lambda: len(edge.records(Host=host, Type="request")) == 2)
    new(edge, name, "--class", klass, expr=f'http.request.uri.path eq "/a" and http.request.uri.query contains "x=1"', tests={})
    found = replay(edge, name)
    assert found["would_stop"] == 0 and found["cannot_know"] == 1
    assert found["unknown_fields"] == [{"field": "http.request.uri.query", "requests": 1}]


def test_replay_over_broken_records(edge, app, host, name):
    klass = "klass-" + name
    device = camera(edge, klass=klass)
    assert attack(edge, host, device) == 200
    until(lambda: edge.records(Host=host, Type="request"))
    with open(edge.records_file, "rb+") as f:
        whole = f.read()
        lines = whole.count(b"\n")
        f.write(b'{"Datetime":"2026-01-01T00:00:00Z","Ty\n\xff\xfe garbage\n[1,2]\n' + b"x" * 300000 + b"\n" + b'{"cut')
    new(edge, name, "--class", klass)
    found = replay(edge, name)
    assert found["status"] == "done" and found["would_stop"] == 1 and found["bad_lines"] == 5, found
    assert f"{edge.records_file}:{lines + 1}: " in found["bad_at"][0]
    with open(edge.records_file, "rb+") as f:
        f.truncate(len(whole))


def test_samples_answer_what_records_cannot(make_edge, origin):
    """Headers and bodies, secrets masked; the files bounded."""
    edge = make_edge(records={"samples": "data/samples.jsonl", "samples_rate": 1000, "samples_size": "64KB"})
    edge.start()
    host, made = "samples.edge.test", "sampled"
    edge.app(host, origin)
    device = camera(edge)
    with edge.client(host, device) as c:
        c.request("POST", "/setup?next=1", [("X-Cmd", "wget x"), ("Authorization", "Bearer s3cret"), ("Content-Type", "text/plain")],
                  body=b"cmd=reboot")
        c.get("/readings")
    path = os.path.join(edge.dir, "data", "samples.jsonl")
    until(lambda: open(path).read().count("\n") == 2)
    text = open(path).read()
    assert "s3cret" not in text and "cmd=reboot" in text and (os.stat(path).st_mode & 0o777) == 0o600
    new(edge, made, expr='http.request.body.raw contains "reboot" and http.request.uri.query contains "next" and '
        'any(http.request.headers["x-cmd"][*] contains "wget")', tests={})
    found = replay(edge, made)
    assert found["would_stop"] == 1 and found["cannot_know"] == 0 and found["requests"] == 2, found
    edge.cli("patch", "edit", made, "--expr", 'any(http.request.headers["authorization"][*] contains "s3cret")', check=0)
    found = replay(edge, made)
    assert found["would_stop"] == 0 and found["cannot_know"] == 1, found
    with edge.client(host, device) as c:
        for _ in range(200):
            c.request("POST", "/x", body=b"y" * 600)
    until(lambda: os.path.exists(path + ".1") and os.path.exists(path))
    assert os.stat(path).st_size <= 33000 and os.stat(path + ".1").st_size <= 33000


def apply(edge, name, doc, check):
    path = os.path.join(edge.dir, name + "-apply.json")
    with open(path, "w") as f:
        json.dump(doc, f)
    return edge.cli("apply", path, check=check)


def test_tests_gate_what_is_applied(edge, name):
    patch = {"name": name, "cve": [CVE], "expression": EXPR, "tests": TESTS}
    apply(edge, name, {"patches": [patch]}, 0)
    assert shown(edge, name)["state"] == "draft"
    assert "0 changes" in apply(edge, name, {"patches": [patch]}, 0).stdout
    bad = {**patch, "expression": 'http.user_agent contains "nothing like it"'}
    done = apply(edge, name, {"patches": [bad]}, 1)
    assert f"patch {name}, attacks 0: this attack is not stopped" in done.stderr and "nothing was changed" in done.stderr
    assert shown(edge, name)["expression"] == EXPR
    move(edge, name, "report")
    move(edge, name, "canary", "--percent", "100", check=None)
    stops = {"name": "curl still works", "request": {"headers": {"User-Agent": "() { x"}}, "expect": {"action": "pass"}}
    apply(edge, name, {"tests": [{**stops, "expect": {"action": "log"}}]}, 0)
    done = apply(edge, name, {"tests": [{**stops, "expect": {"action": "block"}}]}, 1)
    assert "curl still works" in done.stderr


def test_flows_gate_too(edge):
    rule = {"ref": "no-telnet", "expression": "tcp.dstport eq 23", "action": "block"}
    flows = [{"name": "telnet stops", "flow": {"src": "192.0.2.1", "dst": "198.51.100.1", "port": 23}, "expect": {"action": "block"}},
             {"name": "https passes", "flow": {"src": "192.0.2.1", "port": 443}, "expect": {"action": "pass"}}]
    apply(edge, "flows", {"rules": {"connection": [rule]}, "tests": flows}, 0)
    done = apply(edge, "flows", {"rules": {"connection": [{**rule, "expression": "tcp.dstport eq 443"}]}, "tests": flows}, 1)
    assert "telnet stops" in done.stderr and "https passes" in done.stderr
    edge.ruleset([], phase="connection", zone=False)


def test_a_past_record_is_explained_by_what_was_in_force(edge, app, host, name):
    """Patch and rule change after the record; the explanation is of then, and says what nobody can know."""
    device = camera(edge)
    rules = [{"expression": 'http.request.uri.query contains "z"', "action": "log", "description": "asks the query"},
             {"expression": 'http.request.uri.path eq "/cgi-bin/none"', "action": "block", "description": "of then"}]
    edge.ruleset(rules)
    new(edge, name, "--class", "cameras")
    move(edge, name, "report")
    time.sleep(1.1)  # times of changes are whole seconds
    assert attack(edge, host, device) == 200
    ray = edge.wait_record(Host=host, Type="request")["RayID"]
    time.sleep(1.1)
    move(edge, name, "canary", "--percent", "100")
    edge.ruleset([{"expression": "true", "action": "block", "description": "of now"}])
    told = edge.api("POST", "/accounts/{account}/explain", {"record": ray})
    said = {r["description"]: r for r in told["rules"]}
    assert "of now" not in said and all(r["basis"] == "rules of then" for r in told["rules"]), told
    patch = said["Shellshock"]
    assert patch["state"] == "report" and patch["result"] == "matched" and patch["action"] == "log", patch
    assert said["asks the query"]["result"] == "cannot_know", said
    assert said["asks the query"]["because"] == [{"expression": "http.request.uri.query is not stored"}]
    assert said["of then"]["result"] == "not_matched" and told["outcome"]["outcome"] == "forwarded"
    assert told["outcome"]["recorded"] == "allow" or told["outcome"]["recorded"] == "log"
    table = edge.cli("explain", "--record", ray, check=0).stdout
    assert "log: matched  [report]  [rules of then]" in table and "block: not_matched  [rules of then]" in table, table
    edge.ruleset([])
    assert "[canary]" in edge.cli("explain", device.name, f"GET https://{host}/", check=0).stdout
    assert edge.reply("POST", "/accounts/{account}/explain", {"record": "0" * 16}).status == 400
