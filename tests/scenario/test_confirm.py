"""Changes that wait to be confirmed: `ringfence apply --confirm`, as a person at a terminal, a script, and a machine that dies meet it."""
import json
import os
import pty
import re
import select
import subprocess
import time

import pytest

from edge import until

BLOCK = "rules:\n  http_request:\n  - {ref: shut, expression: 'http.request.uri.path eq \"/shut\"', action: block}\n"


@pytest.fixture
def shut(tmp_path):
    path = tmp_path / "shut.yaml"
    path.write_text(BLOCK)
    return str(path)


@pytest.fixture
def one(make_edge, origin):
    """An edge of its own, with an app and a device."""
    edge = make_edge()
    edge.start()
    edge.app("a.edge.test", origin)
    edge.lamp = edge.device("lamp")
    return edge


def status(edge, path="/shut"):
    return edge.get("a.edge.test", path, edge.lamp).status


def state(edge):
    """What export and the rows of the API say: everything that an apply can write."""
    return edge.cli("export", check=0).stdout


def pending(edge):
    return edge.api("GET", "/accounts/{account}/applies?state=pending")


class Terminal:
    """The tool on a terminal of its own."""

    def __init__(self, edge, *words):
        self.master, slave = pty.openpty()
        self.child = subprocess.Popen([edge.program("ringfence"), "--socket", os.path.join(edge.run, "api.sock"), *words], stdin=slave,
                                      stdout=slave, stderr=slave, start_new_session=True, env={**os.environ, "NO_COLOR": "1"})
        os.close(slave)
        self.text = ""

    def see(self, pattern, seconds=20):
        end = time.monotonic() + seconds
        while not re.search(pattern, self.text):
            left = end - time.monotonic()
            assert left > 0, self.text
            if select.select([self.master], [], [], left)[0]:
                try:
                    self.text += os.read(self.master, 4096).decode()
                except OSError:     # the other side is closed
                    assert re.search(pattern, self.text), self.text
        return self.text

    def type(self, text):
        os.write(self.master, text.encode())

    def end(self):
        got = self.child.wait(20)
        os.close(self.master)
        return got


def test_yes_keeps_and_no_takes_back(one, shut):
    before = state(one)
    for typed, after in (("n\n", 200), ("\n", 200), ("y\n", 403)):
        t = Terminal(one, "apply", "-f", shut, "--confirm", "60")
        t.see(r"Keep these changes\? \[y/N\] \((60|5\d) s left\)")
        assert status(one) == 403             # in force while it waits
        t.see(r"\(5[0-8] s left\)")           # the seconds go down
        t.type(typed)
        t.see("is kept" if after == 403 else "everything is as before")
        assert t.end() == 0
        assert status(one) == after and pending(one) == []
        assert (state(one) == before) == (after == 200)


def test_ctrl_c_takes_back(one, shut):
    t = Terminal(one, "apply", "-f", shut, "--confirm", "60")
    t.see("Keep these changes")
    os.kill(t.child.pid, 2)
    t.see("everything is as before")
    assert t.end() == 0 and status(one) == 200


def test_a_tool_that_is_gone_confirms_nothing(one, shut):
    t = Terminal(one, "apply", "-f", shut, "--confirm", "5")
    t.see("Keep these changes")
    t.child.kill()
    t.end()
    assert status(one) == 403
    until(lambda: status(one) == 200)
    over = one.api("GET", "/accounts/{account}/applies")[0]
    assert over["state"] == "rolled_back" and over["ended_by"] == "timeout"
    until(lambda: any("taken back by timeout" in r.get("Reason", "") for r in one.records()))
    assert one.metric("ringfence_applies_total", end="rolled_back") == 1
    writes = {(a["when"] is not None, a["actor"]["id"], a["resource"]["type"]) for a in one.api("GET", "/accounts/{account}/audit_logs?per_page=50")}
    assert (True, "timeout", "applies") in writes and (True, "timeout", "rulesets") in writes


def test_by_a_script(one, shut):
    said = one.cli("apply", "-f", shut, "--confirm", "60", check=0)
    made = re.search("ringfence apply confirm ([0-9a-f]{32})", said.stderr)[1]
    assert made in one.cli("apply", "pending", check=0).stdout
    assert json.loads(one.cli("apply", "pending", "--json", check=0).stdout)["seconds_left"] in range(50, 61)
    waits = next(line for line in one.cli("status", check=0).stdout.splitlines() if line.startswith("waits "))
    assert made in waits and "ringfence apply confirm" in waits
    refused = one.cli("rule", "add", 'http.request.uri.path eq "/x"', "--action", "block", check=1)
    assert made in refused.stderr and "waits to be confirmed" in refused.stderr
    one.cli("device", "quarantine", "lamp", check=0)           # what protects at once is not held up
    one.cli("device", "activate", "lamp", check=0)
    one.cli("apply", "rollback", check=0)
    assert status(one) == 200
    assert one.cli("apply", "confirm", made, check=1).stderr.count("taken back") and one.cli("apply", "confirm", check=3)
    one.cli("apply", "-f", shut, "--confirm", "60", check=0)
    one.cli("apply", "confirm", check=0)
    assert status(one) == 403


@pytest.mark.parametrize("down", [0, 8])
def test_a_machine_that_dies_meanwhile(one, shut, down):
    """SIGKILL to all of it: a start before the end goes on counting, a start after it serves what was before."""
    before = state(one)
    one.cli("apply", "-f", shut, "--confirm", "7", check=0)
    assert status(one) == 403
    one.kill()
    one.close_api()
    time.sleep(down)
    one.start()
    if not down:
        assert pending(one) and status(one) == 403
        until(lambda: not pending(one))
    assert pending(one) == [] and status(one) == 200
    assert state(one) == before


def test_what_shuts_the_operator_out_comes_back(make_edge, origin):
    """A batch that denies the operator's own address everything, by an access rule: the API answers still, and without a
    confirmation the rule goes."""
    edge = make_edge()
    edge.start()
    edge.app("a.edge.test", origin)
    edge.lamp = edge.device("lamp")
    made = edge.api("POST", "/accounts/{account}/batch", {"confirm": 5, "operations": [
        {"method": "POST", "path": f"/client/v4/accounts/{edge.account}/firewall/access_rules/rules",
         "body": {"mode": "block", "configuration": {"target": "ip", "value": "127.0.0.1"}}}]})["apply"]
    assert made["state"] == "pending"
    with pytest.raises(OSError):
        status(edge)
    assert pending(edge)[0]["id"] == made["id"]
    until(lambda: status_or_none(edge) == 200)


def status_or_none(edge):
    try:
        return status(edge)
    except OSError:
        return None
