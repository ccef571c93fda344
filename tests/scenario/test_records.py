"""What the operator sees: one record a connection and a request, counters, and never a secret."""
import json
import os
import signal
import socket
import threading

import pytest

from edge import until


def test_a_request_tells_all(edge, origin, app, host, lamp):
    edge.get(host, "/path/to?token=verysecret", lamp, [("User-Agent", "sensor/1.0"), ("Authorization", "Bearer topsecret"),
                                                      ("Cookie", "sid=alsosecret")])
    r = edge.wait_record(Host=host, Type="request")
    assert r["Method"] == "GET" and r["Path"] == "/path/to" and r["Status"] == 200 == r["OriginStatus"]
    assert r["DeviceName"] == lamp.name and r["Class"] == "lamps" and r["SourceIP"] == "127.0.0.1"
    assert r["UserAgent"] == "sensor/1.0" and r["TLSVersion"] == "TLSv1.3" and r["ClientCertStatus"] == "valid"
    assert r["BytesIn"] > 0 and r["BytesOut"] > 0 and r["DurationUs"] > 0 and r["RayID"] and r["Datetime"].endswith("Z")
    c = until(lambda: [x for x in edge.records(Type="connection", SessionID=r["SessionID"])])[0]
    assert c["Requests"] == 1 and c["SNI"] == host
    with open(edge.records_file) as f:
        text = f.read() + edge.logged()
    for secret in ("verysecret", "topsecret", "alsosecret"):
        assert secret not in text


def test_hostile_bytes_cannot_forge_lines(edge, origin, app, host, lamp):
    edge.get(host, "/a%0a%22%7d", lamp, [("User-Agent", 'x\tevil"}')])
    assert edge.wait_record(Host=host)["UserAgent"] == 'x\tevil"}'
    with open(edge.records_file) as f:
        for line in f:
            json.loads(line)


def test_refusals_say_why(edge, origin, app, host):
    edge.get(host)
    r = edge.wait_record(Host=host)
    assert r["Action"] == "block" and r["Layer"] == "tls" and r["Reason"] and r["Status"] == 403 and not r.get("OriginStatus")


def test_failed_handshakes_leave_a_record(edge):
    with socket.create_connection(("127.0.0.1", edge.port)) as s:
        s.sendall(b"nonsense" * 10)
        s.settimeout(10)
        while s.recv(100):
            pass
    until(lambda: [r for r in edge.records(Type="connection") if r["Action"] == "block" and r.get("Layer") == "tls"])


def test_the_api_has_them_too(edge, app, host, lamp):
    edge.get(host, "/seen", lamp)
    until(lambda: [r for r in edge.api("GET", f"/accounts/{{account}}/records?limit=50&device={lamp.id}") if r.get("Path") == "/seen"])


def test_metrics(edge, origin, app, host, lamp):
    before = edge.metrics()
    with edge.client(host, lamp) as c:
        for _ in range(7):
            c.get()
        c.get("/status/404")
    edge.get(host)
    def more(name):
        return edge.metrics().get(name, 0) - before.get(name, 0)
    until(lambda: more('ringfence_http_requests_total{code="2xx"}') == 7)
    until(lambda: more('ringfence_http_requests_total{code="4xx"}') == 2)
    assert more('ringfence_tls_handshakes_total{kind="full"}') >= 2
    assert more("ringfence_connections_accepted_total") == 2


def test_metrics_are_well_formed(edge):
    text = edge.raw("GET", "/metrics").body.decode()
    typed = set()
    for line in text.splitlines():
        if line.startswith("# TYPE "):
            name, kind = line.split()[2:4]
            assert name not in typed and kind in ("counter", "gauge", "histogram")
            assert kind != "counter" or name.endswith("_total")
            typed.add(name)
        elif line and line[0] != "#":
            float(line.rsplit(" ", 1)[1])
    assert "ringfence_build_info" in typed


def test_rotation(edge, app, host, lamp):
    """mv and reload, as logrotate does it: no record is lost."""
    edge.get(host, "/before", lamp)
    edge.wait_record(Path="/before")
    os.rename(edge.records_file, edge.records_file + ".1")
    assert edge.cli("reload").returncode == 0
    edge.get(host, "/after", lamp)
    edge.wait_record(Path="/after")


def test_human_lines(make_edge, origin):
    edge = make_edge(records={"stdout": "human"})
    edge.start()
    edge.app("human.edge.test", origin)
    device = edge.device("porch")
    edge.get("human.edge.test", "/readings", device)
    edge.get("human.edge.test", "/readings")
    edge.wait_log("porch.*human.edge.test/readings")
    edge.wait_log("human.edge.test/readings.*no client certificate was shown")


def test_syslog(make_edge, origin):
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as log:
        log.bind(("127.0.0.1", 0))
        log.settimeout(10)
        edge = make_edge(records={"syslog": f"udp:127.0.0.1:{log.getsockname()[1]}"})
        edge.start()
        edge.app("syslog.edge.test", origin)
        edge.get("syslog.edge.test", "/to-syslog", edge.device("logger"))
        while b"/to-syslog" not in (line := log.recv(65536)):
            pass
        assert line.startswith(b"<") and b">1 " in line[:8]


def test_a_slow_reader_of_records_blocks_nobody(make_edge, origin):
    """Records go to a pipe that nobody reads: dropped and counted, requests go on."""
    edge = make_edge(records={"file": None, "stdout": "json", "ring": "64KB", "recent": 100}, log={"file": None})
    edge.boot["log"]["file"] = os.path.join(edge.data, "operation.log")
    r, w = os.pipe()
    import subprocess
    edge.write()
    from edge import SANITIZERS
    edge.child = subprocess.Popen([edge.program("ringfenced"), "--config", edge.config], stdout=w, stderr=w, start_new_session=True,
                                  stdin=subprocess.DEVNULL, env={**os.environ, **SANITIZERS})
    os.close(w)
    edge.log = os.path.join(edge.data, "operation.log")
    try:
        edge.wait()
        edge.app("pipe.edge.test", origin)
        with edge.client("pipe.edge.test", edge.device("chatty")) as c:
            for _ in range(600):
                assert c.get("/" + "x" * 200).status == 200
        until(lambda: edge.metric("ringfence_records_dropped_total") + edge.metric("ringfence_records_sink_failures_total") > 0)
    finally:
        drain = threading.Thread(target=lambda: [None for _ in iter(lambda: os.read(r, 65536), b"")], daemon=True)
        drain.start()
