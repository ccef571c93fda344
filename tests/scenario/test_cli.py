"""The command-line tool against a running edge: what an operator types."""
import json
import os
import re
import signal
import subprocess

import pytest

import pki
from edge import until


def test_status(edge):
    done = edge.cli("status", check=0)
    assert edge.account in done.stdout
    told = json.loads(edge.cli("status", "--json", check=0).stdout)
    assert edge.account in json.dumps(told)


def test_status_tells_of_revocation_lists(edge):
    """Whose list, how it stands and until when it is good, where lists are expected."""
    ca, other = pki.Ca(edge.dir, "told"), pki.Ca(edge.dir, "told-missing")
    edge.root(ca, crl_mode="open", name="told")
    edge.root(other, crl_mode="closed", name="told-missing")
    root = edge.api("GET", "/accounts/{account}/mtls_certificates?per_page=1000")
    root = next(r["id"] for r in root if r["name"] == "told")
    edge.api("PUT", f"/accounts/{{account}}/mtls_certificates/{root}/crl", {"crls": [ca.crl([ca.issue("gone").leaf])]})
    until(lambda: "told: fresh" in edge.cli("status", check=0).stdout)
    lines = [line.split(None, 2)[2] for line in edge.cli("status", check=0).stdout.splitlines() if line.startswith("revocation list")]
    assert any(re.fullmatch(r"told: fresh, good until \d{4}-\d\d-\d\dT\S+Z, 1 entries", line) for line in lines), lines
    assert "told-missing: missing" in lines


def test_unknown_filter_word(edge):
    done = edge.cli("record", "tail", "--action", "blok")
    assert done.returncode == 1 and "allow, block, log or error" in done.stderr, done


def test_url_as_people_have_it(edge):
    """The API's address with its path or a slash behind it; a wrong token is called that."""
    roots, token = os.path.join(edge.dir, "url-ca.crt"), os.path.join(edge.dir, "url-token")
    with open(roots, "w") as f:
        f.write(edge.cli("ca", "show", check=0).stdout)
    with open(token, "w") as f:
        f.write(edge.cli("token", "add", "by-url", check=0).stdout.split()[-1])
    for behind in ("", "/", "/client/v4", "/client/v4/"):
        done = edge.cli("--url", f"https://127.0.0.1:{edge.api_port}{behind}", "--ca", roots, "--token-file", token, "status")
        assert done.returncode == 0, done
    with open(token, "w") as f:
        f.write("rft_" + "A" * 43)
    done = edge.cli("--url", f"https://127.0.0.1:{edge.api_port}", "--ca", roots, "--token-file", token, "status")
    assert done.returncode == 1 and "token is not known" in done.stderr, done


def test_first_steps(edge, origin, host, tmp_path):
    """From nothing to a device that calls, by the tool alone."""
    edge.zone()
    edge.cli("app", "add", "first", "--host", host, "--origin", origin.url, check=0)
    edge.cli("class", "add", "pumps", check=0)
    done = edge.cli("device", "add", "pump-1", "--class", "pumps", "--out", str(tmp_path), check=0)
    assert "curl" in done.stdout
    key = tmp_path / "pump-1.key"
    assert key.stat().st_mode & 0o077 == 0
    class Pump:
        cert, key = str(tmp_path / "pump-1.crt"), str(tmp_path / "pump-1.key")
    assert edge.get(host, "/", Pump).status == 200
    edge.cli("rule", "add", 'http.request.uri.path contains "/cgi-bin/"', "--action", "block", "--description", "no CGI here", check=0)
    assert edge.get(host, "/cgi-bin/x", Pump).status == 403
    assert "no CGI here" in edge.cli("rule", "list", check=0).stdout
    edge.cli("device", "revoke", "pump-1", "--reason", "stolen", check=0)
    assert edge.get(host, "/", Pump).status == 403
    assert "revoked" in edge.cli("device", "show", "pump-1", check=0).stdout
    edge.cli("rule", "delete", "no CGI here", check=0)
    edge.cli("app", "delete", "first", check=0)


def test_exit_codes(edge):
    assert edge.cli("device", "show", "nobody").returncode == 3
    assert edge.cli("device", "shwo", "nobody").returncode == 2
    assert edge.cli("nonsense").returncode == 2
    assert edge.cli("device", "add", "x", "--class", "no-such-class").returncode in (1, 3)
    assert edge.cli("rule", "add", "http.hots eq 1", "--action", "block").returncode == 1
    assert edge.cli("--help").returncode == 0
    away = subprocess.run([edge.program("ringfence"), "--socket", edge.dir + "/none.sock", "status"], capture_output=True, text=True, timeout=20, check=False)
    assert away.returncode == 1 and "none.sock" in away.stderr


def test_help_fits_a_screen(edge):
    for words in ([], ["device"], ["rule", "add"], ["app", "add"]):
        done = edge.cli(*words, "--help", check=0)
        lines = done.stdout.splitlines()
        assert len(lines) <= 48 and max(map(len, lines)) <= 110, words
    assert "ringfence device add" in edge.cli("device", "--help").stdout


def test_formats(edge, lamp):
    table = edge.cli("device", "list", check=0).stdout
    assert lamp.name in table and lamp.id in json.dumps(json.loads(edge.cli("device", "list", "--json", check=0).stdout))
    import yaml
    assert lamp.name in json.dumps(yaml.safe_load(edge.cli("device", "list", "-o", "yaml", check=0).stdout), default=str)
    assert edge.cli("device", "list", "-q", check=0).stdout.split() and lamp.id in edge.cli("device", "list", "-q").stdout.split()


def test_hostile_names_do_not_reach_the_terminal(edge):
    made = edge.api("POST", "/accounts/{account}/devices", {"name": "a\u001b[2Jb", "class": edge.klass() and "lamps"}) \
        if edge.reply("POST", "/accounts/{account}/devices?dry_run=true", {"name": "a\u001b[2Jb", "class": "lamps"}).status == 200 else None
    assert "\x1b" not in edge.cli("device", "list", check=0).stdout
    if made:
        edge.api("DELETE", f"/accounts/{{account}}/devices/{made['id']}")


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_completion(edge, shell):
    done = edge.cli("completion", shell, check=0)
    assert "device" in done.stdout
    if shell == "bash":
        assert subprocess.run(["bash", "-n"], input=done.stdout, text=True, check=False).returncode == 0


def test_export_apply(edge, origin, host, tmp_path):
    app = edge.app(host, origin)
    edge.add_rule('http.request.uri.path eq "/exported"', description="kept in Git")
    text = edge.cli("export", check=0).stdout
    assert host in text and "/exported" in text
    file = tmp_path / "fleet.yaml"
    file.write_text(text)
    done = edge.cli("apply", str(file), check=0)
    assert "kept in Git" in edge.cli("export", check=0).stdout
    assert edge.cli("export", check=0).stdout == text, "applied again, it is the same"
    edge.ruleset([])
    edge.cli("apply", str(file), "--dry-run", check=0)
    assert "kept in Git" not in edge.cli("export", check=0).stdout
    edge.cli("apply", str(file), check=0)
    assert "kept in Git" in edge.cli("export", check=0).stdout, done
    file.write_text(text.replace("/exported", '/exp" or nonsense eq "'))
    assert edge.cli("apply", str(file)).returncode == 1
    edge.ruleset([])
    edge.delete_app(app)


def test_access_rules_of_a_file(make_edge, origin, tmp_path):
    """Of the account and of a zone: made, changed, and, where the file has the section, pruned; one that is in the way is taken back."""
    edge = make_edge()
    edge.start()
    edge.app("a.edge.test", origin)
    lamp, file = edge.device("lamp"), tmp_path / "access.yaml"

    def listed(*where):
        rules = json.loads(edge.cli("access", "list", *where, "--json", check=0).stdout)
        return sorted((r["configuration"]["value"], r["mode"], r["notes"]) for r in rules)

    def apply(text, *flags, check=0):
        file.write_text(text)
        return edge.cli("apply", str(file), *flags, check=check)

    rule = "- {{mode: {}, configuration: {{target: {}, value: {}}}, notes: {}}}\n".format
    both = ("access_rules:\n" + rule("block", "ip_range", "192.0.2.0/24", "scans") + rule("allow", "ip", "192.0.2.7", "ours") +
            "zones:\n- name: edge.test\n  access_rules:\n  " + rule("block", "ip6", "2001:db8::1", "zone"))
    assert "3 changes made" in apply(both).stdout
    assert listed() == [("192.0.2.0/24", "block", "scans"), ("192.0.2.7", "whitelist", "ours")]
    assert listed("--zone", "edge.test") == [("2001:db8::1", "block", "zone")]
    assert "0 changes made" in apply(both).stdout
    exported = edge.cli("export", check=0).stdout
    assert "0 changes made" in apply(exported).stdout and exported.count("access_rules:") == 2
    assert "~ access rule 192.0.2.7: mode" in apply("access_rules:\n" + rule("block", "ip", "192.0.2.7", "ours")).stdout
    apply("zones:\n- name: edge.test\n", "--prune", "--dry-run")
    assert len(listed()) == 2, "a file that says nothing about access rules leaves them"
    assert "- access rule 192.0.2.7" in apply("access_rules:\n" + rule("block", "ip_range", "192.0.2.0/24", "scans"), "--prune",
                                              "--dry-run").stdout
    wrong = apply("access_rules:\n- {mode: block, notes: whom}\n", check=1)
    assert "/access_rules/0" in wrong.stderr and "configuration" in wrong.stderr
    done = apply("access_rules:\n" + rule("block", "ip", "127.0.0.1", "a slip"), "--confirm", "5")
    assert "confirm" in done.stdout + done.stderr
    until(lambda: len(listed()) == 2, 20)
    assert edge.get("a.edge.test", "/", lamp).status == 200



def test_record_tail(edge, app, host, lamp):
    output = os.path.join(edge.dir, "tail")
    with open(output, "w") as out:
        tail = subprocess.Popen([edge.program("ringfence"), "--socket", edge.run + "/api.sock", "record", "tail", "--host", host],
                                stdout=out, stderr=out)
    def shown():
        edge.get(host, "/tailed", lamp)
        with open(output) as f:
            return f"{lamp.name} GET {host}/tailed -> 200" in f.read()
    try:
        until(shown, every=0.2)
    finally:
        tail.send_signal(signal.SIGINT)
        assert tail.wait(10) in (0, 130, -2)


def test_explain(edge, app, host, lamp):
    done = edge.cli("explain", lamp.name, f"GET https://{host}/a?b=1", check=0)
    assert lamp.name in done.stdout or host in done.stdout


def test_lint(edge):
    done = edge.cli("rule", "lint", 'http.hots eq "a"')
    assert done.returncode == 1 and "http.host" in done.stdout + done.stderr and "1:1" in done.stdout + done.stderr
    edge.cli("rule", "lint", 'http.host eq "a" and not device.known', check=None)


def test_tokens(edge):
    done = edge.cli("token", "--help", check=0)
    assert "token" in done.stdout
