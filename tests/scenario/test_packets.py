"""Rules of the phase packet: in the kernel, over real traffic; where there is no kernel filter, said so."""
import os
import signal
import subprocess

import pytest

from edge import Refused
from test_access import Echo, block, echo, net, started, walled  # noqa: F401 (fixtures)

ENTRY = "/accounts/{account}/rulesets/phases/packet/entrypoint"


def put(e, *rules, query=""):
    return e.api("PUT", ENTRY + query, {"rules": [{"action": "block", **r} for r in rules]})


PING = """
import socket, struct, sys
s = socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_ICMP)
s.bind((sys.argv[1], 0))
s.settimeout(1)
body = struct.pack("!BBHHH", 8, 0, 0, 77, 1)
total = sum(struct.unpack("!4H", body))
total = (total & 0xffff) + (total >> 16)
s.sendto(body[:2] + struct.pack("!H", ~total & 0xffff) + body[4:], ("10.77.0.1", 0))
while s.recv(100)[20] != 0:
    pass
"""


def pings(net, source):
    return subprocess.run(net.inside(net.clients, "/usr/bin/python3", "-c", PING, source), capture_output=True, check=False).returncode == 0


def counted(e):
    return {r["ref"]: r["frames"] for r in e.api("GET", "/accounts/{account}/shield/rules")}


def test_rules_block_and_let_pass_real_traffic_and_change_live(net, walled, echo):
    e = started(walled, net)
    assert pings(net, "10.77.0.2") and echo.answers("10.77.0.2", 3) == 3 and net.reaches(e.port, "10.77.0.2")
    put(e, {"ref": "ping", "expression": "icmp.type eq 8 and ip.src eq 10.77.0.2"},
        {"ref": "seen", "expression": "udp.dstport eq 5683", "action": "log"},
        {"ref": "spare", "expression": "ip.src in {10.77.0.3 2001:db8::/32}", "action": "allow"},
        {"ref": "udp", "expression": "udp.dstport in {5683 6000..6100}"},
        {"ref": "web", "expression": f"tcp.dstport eq {e.port} and tcp.flags.syn and not tcp.flags.ack"})
    assert not pings(net, "10.77.0.2") and pings(net, "10.77.0.3")
    assert echo.answers("10.77.0.2", 3) == 0 and echo.answers("10.77.0.3", 3) == 3
    assert not net.reaches(e.port, "10.77.0.2") and net.reaches(e.port, "10.77.0.3")
    hits = counted(e)
    assert hits["ping"] == 1 and hits["udp"] == 3 and hits["seen"] == 6 and hits["web"] >= 1 and hits["spare"] >= 5
    shield = e.api("GET", "/accounts/{account}/shield")
    assert shield["packet_rules"] == {"rules": 5, "in_force": True, "reason": ""} and shield["frames"]["rule"] >= 5
    put(e, {"ref": "udp", "expression": "udp.dstport eq 5683"})
    assert pings(net, "10.77.0.2") and net.reaches(e.port, "10.77.0.2") and echo.answers("10.77.0.3", 3) == 0
    e.api("PUT", ENTRY, {"rules": []})
    assert echo.answers("10.77.0.2", 3) == 3


def test_a_named_list_changes_live(net, walled, tmp_path):
    e = started(walled, net)
    made = e.api("POST", "/accounts/{account}/rules/lists", {"name": "bad", "kind": "ip"})
    put(e, {"ref": "list", "expression": "ip.src in $bad and icmp.type eq 8"})
    assert pings(net, "10.77.0.2")
    e.cli("list", "put", "bad", "10.77.0.2/31", check=0)
    assert not pings(net, "10.77.0.2") and not pings(net, "10.77.0.3")
    e.cli("list", "remove", "bad", "10.77.0.2/31", check=0)
    assert pings(net, "10.77.0.2")
    prefixes = [f"10.{n >> 8}.{n & 255}.0/25\n" for n in range(4200)]
    (tmp_path / "many").write_text("".join(prefixes[:4096]))
    e.cli("list", "put", "bad", "--file", str(tmp_path / "many"), check=0)
    (tmp_path / "more").write_text("".join(prefixes[4096:]))
    more = e.cli("list", "put", "bad", "--file", str(tmp_path / "more"))
    assert more.returncode != 0 and "at most 4096 prefixes" in more.stderr + more.stdout, "what would not be in force is not stored"
    assert e.api("GET", f"/accounts/{{account}}/rules/lists/{made['id']}")["num_items"] == 4096


def test_what_the_kernel_cannot_do_is_refused_where_it_is_written(net, walled):
    e = started(walled, net)
    put(e, {"ref": "good", "expression": "icmp.type eq 8"})
    for expression, words in (("ip.ttl gt 3 and sip", "cannot answer `sip`"), ("ip.src in $none", "there is no list `none`"),
                              ("http.host eq \"x\"", "not known in the phase `packet`")):
        with pytest.raises(Refused) as refused:
            put(e, {"expression": "icmp.code eq 9"}, {"expression": expression})
        error = refused.value.errors[0]
        assert words in error["message"] and error["source"]["pointer"] == "/rules/1/expression"
    many = [{"expression": f"ip.len eq {n + 2000}"} for n in range(1025)]
    with pytest.raises(Refused) as refused:
        put(e, *many)
    assert "at most 1024 rules" in refused.value.errors[0]["message"]
    with pytest.raises(Refused) as refused:
        e.api("PUT", f"/zones/{e.zone()}/rulesets/phases/packet/entrypoint", {"rules": []})
    assert "of no zone" in refused.value.errors[0]["message"]
    put(e, {"expression": "true"}, query="?dry_run=true")
    assert not pings(net, "10.77.0.2") and list(counted(e)) == ["good"], "what was in force is so still"
    put(e, *many[:1024])
    assert pings(net, "10.77.0.2")


def test_no_rule_shuts_the_operator_out(net, walled):
    e = started(walled, net)
    put(e, {"ref": "all", "expression": "true"})
    assert net.reaches(e.api_port, "10.77.0.2"), "the API's own address is never filtered away"
    assert not net.reaches(e.port, "10.77.0.2", 0.3) and not pings(net, "10.77.0.3")
    block(e, "10.77.0.3", mode="whitelist")
    assert net.reaches(e.port, "10.77.0.3") and pings(net, "10.77.0.3"), "who is allowed is asked nothing"


def test_rules_are_in_force_when_nothing_of_the_daemon_lives(net, walled):
    e = started(walled, net)
    put(e, {"ref": "ping", "expression": "icmp.type eq 8 and ip.src eq 10.77.0.2"})
    assert not pings(net, "10.77.0.2")
    os.kill(e.engine(), signal.SIGKILL)
    assert not pings(net, "10.77.0.2") and pings(net, "10.77.0.3")
    e.kill()
    assert not pings(net, "10.77.0.2") and pings(net, "10.77.0.3")
    e.close_api()
    started(e, net)
    assert not pings(net, "10.77.0.2") and pings(net, "10.77.0.3")
    assert counted(e)["ping"] == 4, "counts go on"
    put(e)
    assert pings(net, "10.77.0.2")


def test_without_a_kernel_filter_it_is_said_that_rules_are_not_in_force(edge):
    put(edge, {"ref": "nowhere", "expression": "udp.dstport eq 5683"})
    said = "there is no kernel filter here (shield.interfaces)"
    status = edge.api("GET", "/accounts/{account}/shield")["packet_rules"]
    assert status["rules"] == 1 and not status["in_force"] and said in status["reason"]
    assert "not in force: " + said in edge.cli("shield", "status", check=0).stdout
    lint = [r for r in edge.api("GET", "/accounts/{account}/rules/lint") if r["phase"] == "packet"]
    assert len(lint) == 1 and said in lint[0]["reason"]
    assert edge.api("GET", "/accounts/{account}/shield/rules")[0]["in_force"] is False
    edge.api("PUT", ENTRY, {"rules": []})
