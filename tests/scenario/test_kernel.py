"""Kernels that have not all: what is missing is said at the start, the next best thing is chosen, `status` shows it, and nothing fails open unsaid."""
import os
import subprocess

import pytest

from test_access import block, ip, native_peer, net, reloaded, serve, started, walled  # noqa: F401  pylint: disable=unused-import
from edge import until

STATUS = "/accounts/{account}/status"


def standing(e):
    """What `status` says of the filter; its shape is the described one."""
    shown = e.api("GET", STATUS)["shield"]
    described = e.raw("GET", "/client/v4/openapi.json").json["components"]["schemas"]
    assert set(shown) == set(described["ShieldStanding"]["properties"])
    return shown


def one(shown):
    assert len(shown["interfaces"]) == 1 and shown["interfaces"][0]["name"] == "edge0"
    return shown["interfaces"][0]


def blocks(net, e):
    """An access rule is in force, by whatever means are left."""
    made = block(e, "10.77.0.2")
    assert net.connects(e.port, "10.77.0.3") == ""
    code = ("import socket\ns = socket.create_connection(('10.77.0.1', %d), 1, ('10.77.0.2', 0))\ns.sendall(b'GET / HTTP/1.1\\r\\nHost: x\\r\\n\\r\\n')\n"
            "assert s.recv(1), 'closed'" % e.port)
    refused = subprocess.run(net.inside(net.clients, "/usr/bin/python3", "-c", code), capture_output=True, check=False).returncode != 0
    e.api("DELETE", f"/user/firewall/access_rules/rules/{made['id']}")
    return refused


def test_status_says_where_the_filter_stands_and_how(net, walled):
    e = started(walled, net, "generic")
    shown = standing(e)
    assert shown["filter"] == "filter" and shown["syn_cookies"] == "filter" and shown["missing"] == [] and not shown["reason"]
    assert one(shown)["mode"] == "generic" and "virtual cable" in one(shown)["reason"]
    lines = e.cli("status", check=0).stdout.splitlines()
    assert [line for line in lines if line.startswith("kernel filter") and "edge0 generic (the other end of a virtual cable" in line], lines
    net.unplug()
    until(lambda: one(standing(e))["mode"] == "absent")
    net.plug()
    until(lambda: one(standing(e))["mode"] == "generic")
    assert blocks(net, e)


def test_a_driver_with_xdp_has_the_filter_in_it(net, walled):
    walled.boot["shield"]["syn_cookies"] = "off"
    e = started(walled, net, "native")
    assert one(standing(e)) == {"name": "edge0", "mode": "native", "reason": ""} and standing(e)["syn_cookies"] == "off"


# What is withheld; then what filters, in which mode, by whom SYN cookies are, and words of the log that say why.
KERNELS = [
    ("btf", "filter", "native", "kernel", "SYN cookies only by the kernel's own means.*: shield.without withholds btf"),
    ("bpf_sk_assign_tcp_reqsk", "filter", "native", "kernel", "shield.without withholds bpf_sk_assign_tcp_reqsk"),
    ("tcp_raw_gen_syncookie_ipv4", "filter", "native", "kernel", "shield.without withholds tcp_raw_gen_syncookie_ipv4"),
    ("native", "filter", "generic", "filter", "stands on edge0, in generic mode: shield.without withholds native"),
    ("xdp", "nft", "nft", "nft", "nft takes the place of the kernel filter: shield.without withholds xdp"),
    ("ringbuf", "nft", "nft", "nft", "nft takes the place of the kernel filter: shield.without withholds ringbuf"),
    ("ktime_get_coarse_ns", "nft", "nft", "nft", "nft takes the place of the kernel filter: shield.without withholds ktime_get_coarse_ns"),
    ("mapped_arrays", "nft", "nft", "nft", "nft takes the place of the kernel filter: shield.without withholds mapped_arrays"),
    ("xdp:synproxy", "nft", "nft", "kernel", "SYN cookies only by the kernel's own means.*: shield.without withholds synproxy"),
    ("xdp:nft", "none", "none", "kernel", "NOTHING FILTERS FRAMES, on no interface: shield.without withholds xdp; and not by nft: shield.without withholds nft"),
]


@pytest.mark.parametrize("without, way, mode, cookies, words", KERNELS, ids=[k[0] for k in KERNELS])
def test_what_is_missing_is_said_and_the_next_best_is_chosen(net, walled, without, way, mode, cookies, words):
    e = walled
    e.boot["shield"]["without"] = without
    e.start(wrapper=net.inside(net.edge))
    e.wait_log(words)
    shown = standing(e)
    assert (shown["filter"], one(shown)["mode"], shown["syn_cookies"]) == (way, mode, cookies), shown
    assert sorted(m["what"] for m in shown["missing"]) == sorted(without.split(":")) and all(m["for"] and m["instead"] for m in shown["missing"])
    assert bool(shown["lacks"]) == (way == "nft") == ("nft lacks " in e.cli("status", check=0).stdout)
    if way != "filter":
        assert f"shield.without withholds {without.split(':')[0]}" in shown["reason"]
    if cookies == "kernel" and way == "filter":
        assert shown["syn_cookies_reason"] == f"shield.without withholds {without}"
    assert e.metric("ringfence_shield_interface", interface="edge0", mode=mode) == 1
    text = e.cli("status", check=0).stdout
    assert f"kernel lacks              {without.split(':')[0]}, for " in text and (way == "none") == ("NONE: " in text)
    assert blocks(net, e), "access rules hold all the same"


def test_without_nft_the_kernel_lacks_it_and_it_is_said_loudly(net, walled):
    """A machine where the program nft is not there, and XDP is not either."""
    e = walled
    e.boot["shield"]["without"] = "xdp"
    hide = "for p in /usr/sbin/nft /sbin/nft /usr/bin/nft; do [ -e $p ] && mount --bind /dev/null $(readlink -f $p); done; exec \"$@\""
    e.start(wrapper=net.inside(net.edge, "unshare", "--mount", "sh", "-c", hide, "sh"))
    e.wait_log("NOTHING FILTERS FRAMES, on no interface: .*; and not by nft: the program nft is not here")
    shown = standing(e)
    assert shown["filter"] == "none" and "the program nft is not here" in shown["reason"]
    assert {m["what"] for m in shown["missing"]} == {"xdp", "nft"}
    assert e.cli("status", check=0).stdout.count("NONE: shield.without withholds xdp; and not by nft: ") == 1
    assert blocks(net, e)


@pytest.mark.parametrize("without, way, words", [("", "steered", None), ("sk_lookup", "bound", "shield.without withholds sk_lookup; each port gets sockets of its own"),
                                                 ("sockmap", "bound", "shield.without withholds sockmap; each port gets sockets of its own")],
                         ids=["all", "sk_lookup", "sockmap"])
def test_ports_are_bound_one_by_one_where_the_kernel_does_not_steer(net, walled, serve, without, way, words):
    e = walled
    e.boot["shield"].update(interfaces="", without=without)
    e.boot["listeners"].append({"name": "ports", "address": "10.77.0.1:0", "protocol": "ports"})
    e.start(wrapper=net.inside(net.edge))
    if words:
        e.wait_log(words)
    e.api("POST", f"/zones/{e.zone()}/spectrum/apps", {"protocol": "tcp/9007", "dns": {"type": "ADDRESS", "name": "t.edge.test"},
                                                       "origin_direct": ["tcp://127.0.0.1:7"], "ip_firewall": True})
    until(lambda: net.reaches(9007, "10.77.0.3"))
    assert e.api("GET", STATUS)["ports"]["way"] == way
    assert [(m["what"], m["instead"]) for m in standing(e)["missing"]] == ([(without, "each port gets sockets of its own")] if without else [])


def late(net):
    """A cable whose frames are too long for native XDP."""
    ip("-n", net.edge, "link", "add", "late0", "mtu", "9000", "type", "veth", "peer", "name", "late1", "mtu", "9000")


def test_nft_takes_over_where_an_interface_refuses_the_filter_after_the_start(net, walled):
    """An interface comes later and cannot have native XDP, where that is asked for: nft for all, and no frame of a denied source passes."""
    e = walled
    e.boot["shield"].update(mode="native", syn_cookies="off", interfaces="edge0:late0")
    e.start(wrapper=net.inside(net.edge))
    e.wait_log("kernel filter follows the access rules: edge0 native, late0 absent")
    block(e, "10.77.0.2")
    assert not net.reaches(e.port, "10.77.0.2", 0.3) and net.reaches(e.port, "10.77.0.3")
    before, mark = e.engine(), len(e.logged())
    late(net)
    e.wait_log("no kernel filter on late0: the filter cannot be attached to late0", start=mark)
    e.wait_log("nft takes the place of the kernel filter: the filter cannot be attached to late0", start=mark)
    outcomes = []
    until(lambda: outcomes.append(net.connects(e.port, "10.77.0.2", 0.1)) or
          "xdp" not in ip("-n", net.edge, "link", "show", "edge0").stdout)
    assert set(outcomes) == {"TimeoutError"}, "the gate was never open"
    until(lambda: e.engine() not in (None, before))
    shown = until(lambda: (s := standing(e))["filter"] == "nft" and s)
    assert [(i["name"], i["mode"]) for i in shown["interfaces"]] == [("edge0", "nft"), ("late0", "nft")]
    assert not net.reaches(e.port, "10.77.0.2", 0.3) and net.reaches(e.port, "10.77.0.3")


def test_a_filter_that_nothing_can_replace_is_missed_loudly(net, walled):
    e = walled
    e.boot["shield"].update(mode="native", syn_cookies="off", interfaces="edge0:late0", without="nft")
    e.start(wrapper=net.inside(net.edge))
    e.wait_log("kernel filter follows the access rules: edge0 native, late0 absent")
    late(net)
    e.wait_log("nothing filters late0: .*; and not by nft: shield.without withholds nft")
    shown = standing(e)
    assert shown["filter"] == "filter" and [i["mode"] for i in shown["interfaces"]] == ["native", "failed"]
    assert "late0 failed (the filter cannot be attached to late0" in e.cli("status", check=0).stdout
    assert blocks(net, e), "where it stands it goes on"


def test_without_interfaces_it_is_said_that_nothing_filters(edge):
    shown = standing(edge)
    assert shown["filter"] == "none" and shown["reason"] == "shield.interfaces names no network interface" and shown["interfaces"] == []
    assert "NONE: shield.interfaces names no network interface" in edge.cli("status", check=0).stdout
