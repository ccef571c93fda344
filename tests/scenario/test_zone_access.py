"""Access rules of a zone: for its hosts and ports alone, on connections that stand too."""
import signal
import socket

import pytest

from client import Client, Gone
from origin import Origin
from edge import Refused, free_port, until


@pytest.fixture(scope="module")
def boot():
    return {"limits": {"connections_per_address": 0}}


@pytest.fixture(scope="module")
def proxied(edge):
    """A listener without TLS that is told by its proxy who comes, and a second zone."""
    o = Origin()
    port = edge.add_plain() + 1
    edge.boot["listeners"].append({"name": "proxied", "address": f"127.0.0.1:{port}", "protocol": "http", "proxy_protocol": True,
                                   "trusted_proxies": ["127.0.0.0/8"]})
    edge.write()
    edge.signal(signal.SIGHUP)
    edge.wait_log("boot file, certificates, roots, lists and rules are in force")
    edge.app("a.edge.test", o, client_auth="off")
    edge.api("POST", f"/zones/{edge.zone('other.test')}/apps", {"name": "b", "hosts": ["b.other.test"], "origins": [{"url": o.url}],
                                                               "client_auth": "off"})
    yield port
    o.stop()


@pytest.fixture
def rules(edge, proxied):
    """Access rules of the first zone, gone afterwards."""
    where = f"/zones/{edge.zone()}/firewall/access_rules/rules"

    def make(value, target="ip", mode="block", **more):
        return edge.api("POST", where, {"mode": mode, "configuration": {"target": target, "value": value}, **more})
    make.where = where
    yield make
    for r in edge.api("GET", where + "?per_page=1000"):
        edge.api("DELETE", f"{where}/{r['id']}")


def come(port, source, host):
    return Client(port, host, tls=False, before=f"PROXY TCP4 {source} 127.0.0.1 4000 80\r\n".encode())


def status(port, source, host="a.edge.test", path="/"):
    with come(port, source, host) as c:
        return c.request("GET", path).status


def test_it_holds_for_the_hosts_of_its_zone(edge, proxied, rules):
    made = rules("192.0.2.1", notes="scans us")
    assert made["scope"] == {"id": edge.zone(), "type": "zone"} and made["mode"] == "block"
    assert status(proxied, "192.0.2.1") == 403 and status(proxied, "192.0.2.1", "b.other.test") == 200
    assert status(proxied, "192.0.2.2") == 200
    record = until(lambda: edge.records(PolicyID=made["id"]))[-1]
    assert record["Action"] == "block" and "192.0.2.1" in record["PolicyName"]
    edge.api("DELETE", f"{rules.where}/{made['id']}")
    assert status(proxied, "192.0.2.1") == 200


def test_a_connection_that_stands_meets_it_with_its_next_request(edge, proxied, rules):
    with come(proxied, "192.0.2.9", "a.edge.test") as c:
        assert c.request("GET", "/").status == 200
        made = rules("192.0.2.9")
        assert c.request("GET", "/").status == 403
        edge.api("DELETE", f"{rules.where}/{made['id']}")
    assert status(proxied, "192.0.2.9") == 200


def test_over_tls_it_is_known_from_the_name(edge, proxied, rules):
    """Shut out when the handshake has said which host; what stands is ended at once, that of another zone is not."""
    edge.server_other = edge.server_ca.server("other", "b.other.test")
    edge.api("POST", f"/zones/{edge.zone('other.test')}/custom_certificates",
             {"certificate": open(edge.server_other.cert).read(), "private_key": open(edge.server_other.key).read()})
    with edge.client("a.edge.test") as a, edge.client("b.other.test") as b:
        assert a.request("GET", "/").status == 200 and b.request("GET", "/").status == 200
        made = rules("127.0.0.1")
        with pytest.raises(Gone):
            a.request("GET", "/")
        assert b.request("GET", "/").status == 200
    with pytest.raises((Gone, OSError)):
        edge.get("a.edge.test", "/")
    until(lambda: edge.records(Reason="a rule of connections stands against it") or edge.records(PolicyID=made["id"]))
    edge.api("DELETE", f"{rules.where}/{made['id']}")
    assert edge.get("a.edge.test", "/").status == 200


def test_the_nearest_counts_and_who_is_let_in_is_asked_no_more(edge, proxied, rules):
    made = rules("192.0.2.0/24", "ip_range")
    rules("192.0.2.7", mode="whitelist")
    edge.ruleset([{"action": "block", "expression": 'http.request.uri.path eq "/shut"'}])
    assert status(proxied, "192.0.2.8") == 403 and status(proxied, "192.0.2.7") == 200
    assert status(proxied, "192.0.2.7", path="/shut") == 200 and status(proxied, "198.51.100.1", path="/shut") == 403
    edge.api("PATCH", f"{rules.where}/{made['id']}", {"mode": "whitelist"})
    assert status(proxied, "192.0.2.8") == 200
    edge.api("PATCH", f"{rules.where}/{made['id']}", {"mode": "managed_challenge"})     # means nothing to a device
    assert status(proxied, "192.0.2.8") == 403
    edge.ruleset([])


def test_lists_filters_and_what_is_refused(edge, proxied, rules):
    rules("192.0.2.1", notes="one")
    rules("2001:db8::/32", "ip_range", "whitelist")
    listed = edge.api("GET", rules.where)
    assert [r["configuration"]["value"] for r in listed] == ["192.0.2.1", "2001:db8::/32"]
    assert len(edge.api("GET", rules.where + "?mode=whitelist")) == 1 and len(edge.api("GET", rules.where + "?notes=one")) == 1
    other = f"/zones/{edge.zone('other.test')}/firewall/access_rules/rules"
    assert edge.api("GET", other) == [] and edge.reply("GET", f"{other}/{listed[0]['id']}").status == 404
    account = edge.api("GET", "/accounts/{account}/firewall/access_rules/rules")
    assert listed[0]["id"] not in [r["id"] for r in account]
    with pytest.raises(Refused):
        rules("192.0.2.1")
    with pytest.raises(Refused):
        rules("DE", "country")      # no database of places here


def test_a_zone_that_goes_takes_its_rules_along(edge, proxied):
    zone = edge.api("POST", "/zones", {"name": "short.test"})["id"]
    edge.api("POST", f"/zones/{zone}/firewall/access_rules/rules", {"mode": "block", "configuration": {"target": "ip", "value": "192.0.2.1"}})
    edge.api("DELETE", f"/zones/{zone}")
    zone = edge.api("POST", "/zones", {"name": "short.test"})["id"]
    assert edge.api("GET", f"/zones/{zone}/firewall/access_rules/rules") == []
    edge.api("DELETE", f"/zones/{zone}")


def test_at_a_port_and_not_without_its_firewall(make_edge):
    with socket.create_server(("127.0.0.1", 0)) as listener:
        edge = make_edge(limits={"connections_per_address": 0})
        port = free_port()
        edge.boot["listeners"].append({"name": "ports", "address": "127.0.0.1:0", "protocol": "ports"})
        edge.start()
        made = edge.api("POST", f"/zones/{edge.zone()}/spectrum/apps", {
            "protocol": f"tcp/{port}", "dns": {"type": "ADDRESS", "name": "p.edge.test"},
            "origin_direct": [f"tcp://127.0.0.1:{listener.getsockname()[1]}"]})

        def talk():
            with socket.create_connection(("127.0.0.1", port), 5) as s:
                s.sendall(b"x")
                listener.settimeout(1)
                try:
                    up, _ = listener.accept()
                except OSError:
                    return False
                with up:
                    return up.recv(1) == b"x"
        assert until(talk)
        with socket.create_connection(("127.0.0.1", port), 5) as stands:
            stands.sendall(b"x")
            listener.settimeout(5)
            up, _ = listener.accept()
            with up:
                assert up.recv(1) == b"x"
                where = f"/zones/{edge.zone()}/firewall/access_rules/rules"
                edge.api("POST", where, {"mode": "block", "configuration": {"target": "ip", "value": "127.0.0.1"}})
                stands.settimeout(5)
                try:
                    assert stands.recv(1) == b""
                except ConnectionResetError:
                    pass
        assert not talk()
        edge.api("PATCH", f"/zones/{edge.zone()}/spectrum/apps/{made['id']}", {"ip_firewall": False})
        assert talk()


def test_the_command_line_and_a_restart(make_edge, origin):
    edge = make_edge()
    edge.start()
    edge.app("a.edge.test", origin, client_auth="off")
    edge.cli("access", "block", "--zone", "edge.test", "127.0.0.1", check=0)
    assert "127.0.0.1" in edge.cli("access", "list", "--zone", "edge.test", check=0).stdout
    assert "127.0.0.1" not in edge.cli("access", "list", check=0).stdout
    edge.kill()
    edge.close_api()
    edge.start()
    with pytest.raises((Gone, OSError)):
        edge.get("a.edge.test", "/")
    edge.cli("access", "remove", "--zone", "edge.test", "127.0.0.1", check=0)
    assert edge.get("a.edge.test", "/").status == 200
