"""Rules of the phase packet: in the kernel, over real traffic; where there is no kernel filter, said so."""
import os
import signal
import subprocess
import time

import pytest

from edge import Refused, until
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


@pytest.fixture(params=["generic", "nft"])
def way(walled, request):
    """How the kernel filters: by the filter, or by nft in its place."""
    walled.boot["shield"]["mode"] = request.param
    return request.param


def test_rules_block_and_let_pass_real_traffic_and_change_live(net, walled, way, echo):
    e = started(walled, net, way)
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


def test_a_named_list_changes_live(net, walled, way, tmp_path):
    e = started(walled, net, way)
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


def test_what_the_kernel_cannot_do_is_refused_where_it_is_written(net, walled, way):
    e = started(walled, net, way)
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


def test_no_rule_shuts_the_operator_out(net, walled, way):
    e = started(walled, net, way)
    put(e, {"ref": "all", "expression": "true"})
    assert net.reaches(e.api_port, "10.77.0.2"), "the API's own address is never filtered away"
    assert not net.reaches(e.port, "10.77.0.2", 0.3) and not pings(net, "10.77.0.3")
    block(e, "10.77.0.3", mode="whitelist")
    assert net.reaches(e.port, "10.77.0.3") and pings(net, "10.77.0.3"), "who is allowed is asked nothing"


def test_rules_are_in_force_when_nothing_of_the_daemon_lives(net, walled, way):
    e = started(walled, net, way)
    put(e, {"ref": "ping", "expression": "icmp.type eq 8 and ip.src eq 10.77.0.2"})
    assert not pings(net, "10.77.0.2")
    os.kill(e.engine(), signal.SIGKILL)
    assert not pings(net, "10.77.0.2") and pings(net, "10.77.0.3")
    e.kill()
    assert not pings(net, "10.77.0.2") and pings(net, "10.77.0.3")
    e.close_api()
    started(e, net, way)
    assert not pings(net, "10.77.0.2") and pings(net, "10.77.0.3")
    assert counted(e)["ping"] == 4, "counts go on"
    put(e)
    assert pings(net, "10.77.0.2")


def test_what_nft_cannot_have_is_refused_or_left_out_and_said(net, walled):
    e = started(walled, net)
    put(e, {"ref": "ping", "expression": "icmp.type eq 8"}, {"ref": "long", "expression": "ip.hdr_len gt 40"})
    e.kill()
    e.close_api()
    e.boot["shield"]["mode"] = "nft"
    mark = len(e.logged())
    e.start(wrapper=net.inside(net.edge))
    e.wait_log("kernel filter follows the access rules: edge0 nft", start=mark)
    assert not pings(net, "10.77.0.2"), "the others are in force"
    left = next(r for r in e.api("GET", "/accounts/{account}/shield/rules") if r["ref"] == "long")
    status = e.api("GET", "/accounts/{account}/shield")["packet_rules"]
    described = e.raw("GET", "/client/v4/openapi.json").json["components"]["schemas"]
    assert set(status) == set(described["PacketRules"]["properties"]) and set(status["left_out"][0]) == set(described["PacketRuleLeft"]["properties"])
    assert not left["in_force"] and status["rules"] == 2 and [r["id"] for r in status["left_out"]] == [left["id"]]
    assert f"not in force: {left['id']}: rules of the phase packet run in nft here" in e.cli("shield", "status", check=0).stdout
    for expression, words in (("ip.hdr_len eq 20", "where the headers of IPv6 end"), (" xor ".join(f"ip.ttl eq {n}" for n in range(12)), "levels of chains")):
        with pytest.raises(Refused) as refused:
            put(e, {"expression": "icmp.code eq 9"}, {"expression": expression})
        error = refused.value.errors[0]
        assert words in error["message"] and error["source"]["pointer"] == "/rules/1/expression", error
    assert not pings(net, "10.77.0.2"), "what was in force is so still"


@pytest.fixture
def pcap(walled):
    """The tool that captures, in the background; `until it runs` has been waited for."""
    running = []

    def begin(*words):
        p = subprocess.Popen([walled.program("ringfence"), "--socket", os.path.join(walled.run, "api.sock"), "shield", "pcap", *words],
                             stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        running.append(p)
        until(lambda: p.poll() is not None or any(k["status"] == "running" for k in walled.api("GET", PCAPS)))
        return p

    yield begin
    for p in running:
        if p.poll() is None:
            p.kill()
        p.communicate()


PCAPS = "/accounts/{account}/pcaps"


def frames_of(capture, *words):
    """What tcpdump reads in a capture, a line for each frame."""
    done = subprocess.run(["tcpdump", "-n", *words, "-r", "-"], input=capture, capture_output=True, check=False, timeout=20)
    assert done.returncode == 0, done.stderr
    return done.stdout.decode().splitlines()


def test_a_capture_shows_what_a_rule_hits_and_records_say_so(net, walled, way, echo, pcap):
    e = started(walled, net, way)
    put(e, {"ref": "udp", "description": "no coap", "expression": "udp.dstport eq 5683 and ip.src eq 10.77.0.2"},
        {"ref": "ping", "expression": "icmp.type eq 8 and ip.src eq 10.77.0.2"},
        {"ref": "seen", "expression": "icmp.type eq 8", "action": "log"})
    p = pcap("--rule", "udp", "--count", "3")
    assert not pings(net, "10.77.0.2") and echo.answers("10.77.0.2", 3) == 0 and echo.answers("10.77.0.3", 3) == 3
    out, err = p.communicate(timeout=20)
    assert p.returncode == 0, err
    lines = frames_of(out)
    assert len(lines) == 3 and all("10.77.0.2." in f and "10.77.0.1.5683: UDP" in f for f in lines), lines
    made = e.api("GET", PCAPS)[0]
    assert made["status"] == "success" and made["packets"] == 3 and made["packet_limit"] == 3
    whole = e.raw("GET", f"/client/v4/accounts/{e.account}/pcaps/{made['id']}/download")
    assert frames_of(whole.body) == lines
    blocked = e.wait_record(Type="packet", Action="block", DestinationPort=5683)
    rule = next(r["id"] for r in e.api("GET", "/accounts/{account}/shield/rules") if r["ref"] == "udp")
    assert blocked["SourceIP"] == "10.77.0.2" and blocked["Protocol"] == "udp" and blocked["PolicyID"] == rule
    assert blocked["Layer"] == "packet" and blocked["Reason"] == "a rule of the phase packet blocks it" and blocked["PolicyName"] == "no coap"
    assert pings(net, "10.77.0.3")
    assert e.wait_record(Type="packet", Action="log")["SourceIP"] == "10.77.0.3"
    put(e, {"ref": "seen", "expression": "udp.dstport ge 5000", "action": "log"}, {"ref": "udp", "expression": "udp.dstport eq 5683"})
    p = pcap("--rule", "seen", "--count", "2")
    assert echo.answers("10.77.0.2", 2) == 0
    out, err = p.communicate(timeout=20)
    assert p.returncode == 0 and len(frames_of(out)) == 2, "also where another rule decides after it"


def test_a_capture_by_reason_ends_by_itself_or_when_it_is_stopped(net, walled, way, echo, pcap, tmp_path):
    e = started(walled, net, way)
    block(e, "10.77.0.3")
    p = pcap("--reason", "denied", "--seconds", "2", "--write", str(tmp_path / "denied"))
    assert echo.answers("10.77.0.3", 2) == 0 and echo.answers("10.77.0.2", 2) == 2
    with pytest.raises(Refused) as refused:
        e.api("POST", PCAPS, {"reason": "denied"})
    assert refused.value.status == 409 and "is running" in refused.value.errors[0]["message"]
    out, err = p.communicate(timeout=20)
    assert p.returncode == 0 and b"2 frames in" in out, (out, err)
    assert len(frames_of((tmp_path / "denied").read_bytes(), "src", "10.77.0.3")) == 2
    p = pcap("--reason", "denied")
    p.send_signal(signal.SIGINT)
    out, err = p.communicate(timeout=20)
    assert frames_of(out) == [] and e.api("GET", PCAPS)[0]["status"] == "success", "an interrupt ends the capture, too"
    for body, words in (({"reason": "tuesday"}, "is no reason"), ({"rule": "none"}, "there is no rule none"), ({}, "a rule or a reason"),
                        ({"rule": "a", "reason": "denied"}, "a rule or a reason"), ({"reason": "denied", "packet_limit": 10001}, "10000")):
        with pytest.raises(Refused) as refused:
            e.api("POST", PCAPS, body)
        assert words in refused.value.errors[0]["message"], refused.value.errors


def test_samples_are_bounded_and_can_be_off(net, walled, way, echo):
    walled.boot["shield"]["samples"] = 1
    walled.write()
    e = started(walled, net, way)
    put(e, {"ref": "udp", "expression": "udp.dstport eq 5683"})
    assert echo.answers("10.77.0.2", 60) == 0
    e.wait_record(Type="packet", DestinationPort=5683)
    assert len(e.records(Type="packet", DestinationPort=5683)) < 30
    e.boot["shield"]["samples"] = 0
    e.write()
    mark = len(e.logged())
    e.signal(signal.SIGHUP)
    e.wait_log("rules are in force", start=mark)
    before = len(e.records(Type="packet"))
    assert echo.answers("10.77.0.2", 3) == 0
    time.sleep(0.5)
    assert len(e.records(Type="packet")) == before


def test_without_a_kernel_filter_nothing_can_be_captured(edge):
    done = edge.cli("shield", "pcap", "--reason", "denied")
    assert done.returncode != 0 and "there is no kernel filter here that could capture" in done.stderr
    assert edge.api("GET", PCAPS) == []


def test_without_a_kernel_filter_it_is_said_that_rules_are_not_in_force(edge):
    put(edge, {"ref": "nowhere", "expression": "udp.dstport eq 5683"})
    said = "there is no kernel filter here (shield.interfaces)"
    status = edge.api("GET", "/accounts/{account}/shield")["packet_rules"]
    assert status["rules"] == 1 and not status["in_force"] and said in status["reason"]
    assert "not in force: " + said in edge.cli("shield", "status", check=0).stdout
    lint = [r for r in edge.api("GET", "/accounts/{account}/rules/lint") if r["phase"] == "packet"]
    assert len(lint) == 1 and said in lint[0]["reason"]
    assert edge.api("GET", "/accounts/{account}/shield/rules")[0]["in_force"] is False
    added = edge.cli("rule", "add", "udp.dstport eq 1900", "--phase", "packet", "--action", "block")
    assert added.returncode == 0 and said in added.stderr
    edge.api("PUT", ENTRY, {"rules": []})
