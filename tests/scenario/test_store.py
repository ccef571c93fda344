"""What the API acknowledged is there afterwards; what it did not is absent. Disks fill, processes die, writers race."""
import http.client
import json
import os
import signal
import subprocess
import tempfile
import threading

import pytest

from edge import Refused, until

needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="needs root")


class Writer(threading.Thread):
    """Makes classes one after another; keeps what was acknowledged and what was under way."""

    def __init__(self, edge, prefix):
        super().__init__(daemon=True)
        self.edge, self.prefix = edge, prefix
        self.acknowledged, self.refused, self.unsure = [], [], []
        self.done = threading.Event()
        self.path = f"/client/v4/accounts/{edge.account}/classes"

    def run(self):
        connection = self.edge.new_api()
        for i in range(100000):
            if self.done.is_set():
                return
            name = f"{self.prefix}-{i}"
            try:
                connection.request("POST", self.path, json.dumps({"name": name, "description": "x" * 500}), {"Content-Type": "application/json"})
                answer = connection.getresponse()
                answer.read()
                (self.acknowledged if answer.status < 300 else self.refused).append(name)
            except (OSError, http.client.HTTPException):
                self.unsure.append(name)
                connection.close()
                connection = self.edge.new_api()


def names(edge):
    out, page = set(), 1
    while True:
        reply = edge.reply("GET", f"/accounts/{{account}}/classes?per_page=100&page={page}")
        got = reply.result
        out |= {c["name"] for c in got}
        if len(out) >= reply.json["result_info"]["total_count"] or not got:
            return out
        page += 1


def test_sigkill_during_writes(make_edge):
    edge = make_edge()
    edge.start()
    writers = [Writer(edge, f"w{i}") for i in range(3)]
    for w in writers:
        w.start()
    for _ in range(3):
        count = sum(len(w.acknowledged) for w in writers)
        until(lambda: sum(len(w.acknowledged) for w in writers) > count + 20, 30)
        old = edge.engine()
        os.kill(old, signal.SIGKILL)
        until(lambda: edge.engine() not in (None, old))
    for w in writers:
        w.done.set()
        w.join(30)
    edge.close_api()
    edge.wait()
    there = names(edge)
    for w in writers:
        assert not set(w.acknowledged) - there
        assert not set(w.refused) & there
        assert len(there & set(w.unsure)) <= 3
    db = subprocess.run(["/usr/bin/python3", "-c", "import sqlite3,sys; print(sqlite3.connect(sys.argv[1]).execute('pragma integrity_check').fetchone()[0])",
                         os.path.join(edge.data, "state.db")], capture_output=True, text=True, check=False)
    assert db.stdout.strip() == "ok", db


@needs_root
def test_disk_full(make_edge, origin):
    """Writes are refused with a reason, devices are served all the while, and room helps at once."""
    disk = tempfile.mkdtemp(prefix="rf-disk-")
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=3m,mode=0755", "tmpfs", disk], check=True)
    try:
        edge = make_edge(data_dir=disk + "/data", records={"file": None}, log={"level": "warn"})
        edge.start()
        edge.app("disk.edge.test", origin)
        device = edge.device("resident")
        filler = os.path.join(disk, "filler")
        writer = Writer(edge, "f")
        full = os.open(filler, os.O_WRONLY | os.O_CREAT)
        try:
            while os.write(full, bytes(4096)):
                pass
        except OSError:
            pass
        os.close(full)
        writer.start()
        until(lambda: writer.refused or writer.unsure, 30)
        assert edge.get("disk.edge.test", "/", device).status == 200
        writer.done.set()
        writer.join(30)
        assert not writer.unsure, "refused, not silent"
        for _ in range(3):  # a rule is in force before the disk has it, and what the disk refuses is taken back
            with pytest.raises(Refused):
                edge.ruleset([{"expression": f'http.request.uri.path ne "/{i}"', "action": "block", "description": "x" * 500} for i in range(2000)])
            assert edge.get("disk.edge.test", "/", device).status == 200
        there = names(edge)
        assert set(writer.acknowledged) <= there and not set(writer.refused) & there
        os.unlink(filler)
        edge.klass("with-room")
        assert edge.get("disk.edge.test", "/", device).status == 200
        edge.ruleset([{"expression": "true", "action": "block"}])
        assert edge.get("disk.edge.test", "/", device).status == 403
        edge.stop()
        edge.child = None
    finally:
        subprocess.run(["umount", "-l", disk], check=False)
        os.rmdir(disk)


def test_racing_writers(edge):
    """If-Match: of many who changed the same version, one wins, the others are told."""
    made = edge.api("POST", "/accounts/{account}/classes", {"name": "contested"})
    path = f"/client/v4/accounts/{edge.account}/classes/{made['id']}"
    rounds, wins, losses = 10, [], []
    for n in range(rounds):
        etag = edge.raw("GET", path).headers["etag"]
        barrier = threading.Barrier(6)

        def write(i):
            connection = edge.new_api()
            barrier.wait()
            connection.request("PATCH", path, json.dumps({"description": f"{n}-{i}"}), {"Content-Type": "application/json", "If-Match": etag})
            answer = connection.getresponse()
            answer.read()
            (wins if answer.status == 200 else losses).append(answer.status)
            connection.close()
        threads = [threading.Thread(target=write, args=(i,)) for i in range(6)]
        for t in threads:
            t.start()
        for t in threads:
            t.join()
    assert len(wins) == rounds and set(losses) == {412}


def test_racing_creators(edge):
    """One name, many who want it."""
    statuses = []
    barrier = threading.Barrier(8)

    def create():
        connection = edge.new_api()
        barrier.wait()
        connection.request("POST", f"/client/v4/accounts/{edge.account}/classes", '{"name": "only-one"}', {"Content-Type": "application/json"})
        answer = connection.getresponse()
        answer.read()
        statuses.append(answer.status)
        connection.close()
    edge.account
    threads = [threading.Thread(target=create) for _ in range(8)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    assert sorted(statuses)[0] in (200, 201) and sorted(statuses)[1:] == [409] * 7, statuses


def test_rules_and_traffic_while_writers_race(edge, origin, app, host, lamp):
    """Snapshots change all the time; every answer is of one of them."""
    stop = threading.Event()
    bad = []

    def flip():
        connection = edge.new_api()
        path = f"/client/v4/zones/{edge.zone()}/rulesets/phases/http_request/entrypoint"
        while not stop.is_set():
            for rules in ([], [{"expression": 'http.request.uri.path eq "/flip"', "action": "block"}]):
                connection.request("PUT", path, json.dumps({"rules": rules}), {"Content-Type": "application/json"})
                answer = connection.getresponse()
                answer.read()
                if answer.status != 200:
                    bad.append(answer.status)
    edge.zone()
    thread = threading.Thread(target=flip)
    thread.start()
    with edge.client(host, lamp) as c:
        got = [c.get("/flip").status for _ in range(300)]
    stop.set()
    thread.join()
    edge.ruleset([])
    assert not bad and set(got) <= {200, 403}
