"""Named lists of many entries, pushed from a file: refused whole at a bad line, in force at once, kept over a kill."""
import os
import signal

import pytest

from edge import until

ENTRIES = 100_000


@pytest.fixture
def blocked(edge):
    made = edge.api("POST", "/accounts/{account}/rules/lists", {"name": "blocked", "kind": "ip"})
    yield made["id"]
    edge.ruleset([])
    edge.api("DELETE", f"/accounts/{{account}}/rules/lists/{made['id']}")


def address(i):
    return f"10.{i >> 16}.{i >> 8 & 255}.{i & 255}"


def num_items(edge, made):
    return edge.api("GET", f"/accounts/{{account}}/rules/lists/{made}")["num_items"]


def test_a_bad_line_is_named_and_nothing_is_sent(edge, blocked, tmp_path):
    file = tmp_path / "entries.csv"
    for bad, line in (("10.0.0.300,x", 3), ('"10.0.0.3', 3), ('{"ip": 5}', 3), ('{"asn": 5}', 3), ("10.0.0.1,a,b", 3)):
        file.write_text(f"# blocked\n192.0.2.1,first\n{bad}\n192.0.2.9\n")
        ran = edge.cli("list", "push", "blocked", str(file))
        assert ran.returncode != 0 and f"{file}:{line}" in ran.stderr, ran.stderr
        assert num_items(edge, blocked) == 0


def test_many_are_in_force_and_outlive_a_kill(edge, app, host, lamp, blocked, tmp_path):
    file = tmp_path / "entries.csv"
    file.write_text("".join(f"{address(i)},number {i}\n" for i in range(ENTRIES)) + "127.0.0.1\n" + '{"ip": "2001:db8::/32", "comment": "JSON"}\n')
    edge.add_rule("ip.src in $blocked")
    assert edge.get(host, "/", lamp).status == 200
    ran = edge.cli("list", "push", "blocked", str(file), "--replace")
    assert ran.returncode == 0 and "100002 entries are in force" in ran.stdout, ran.stderr
    assert num_items(edge, blocked) == ENTRIES + 2
    assert edge.get(host, "/", lamp).status == 403
    old = edge.engine()
    os.kill(old, signal.SIGKILL)
    until(lambda: edge.engine() not in (None, old))
    edge.close_api()

    def stopped():
        try:
            return edge.get(host, "/", lamp).status == 403
        except OSError:
            return False

    until(stopped)
    assert num_items(edge, blocked) == ENTRIES + 2
    file.write_text(f"{address(5)}\n")
    assert edge.cli("list", "push", "blocked", str(file), "--replace").returncode == 0
    assert num_items(edge, blocked) == 1
    assert edge.get(host, "/", lamp).status == 200


@pytest.mark.parametrize("entries", (1000, 1001))
def test_the_last_page_is_the_last(edge, blocked, tmp_path, entries):
    """Also where it is full: a list of a million entries has only full pages."""
    file = tmp_path / "entries.txt"
    file.write_text("".join(f"{address(i)}\n" for i in range(entries)))
    assert edge.cli("list", "push", "blocked", str(file), "--replace").returncode == 0
    until(lambda: num_items(edge, blocked) == entries)
    assert len(edge.cli("list", "items", "blocked", "--quiet", check=0).stdout.splitlines()) >= entries
    gone = edge.cli("list", "remove", "blocked", "192.0.2.1")
    assert gone.returncode == 3 and "none of these" in gone.stderr
    edge.cli("list", "remove", "blocked", address(7), address(1), check=0)
    edge.cli("list", "remove", "blocked", *[address(i) for i in range(20, 40)], check=0)   # a walk
    assert num_items(edge, blocked) == entries - 22
