"""Requests of many clients that share connections to an origin (`pipeline`): each gets the answer to its own, whatever the origin does."""
import os
import shutil
import subprocess
import tempfile
import time

import pytest

from edge import free_port, until
from origin import message

CLIENTS, ROUNDS = 32, 12
NGINX = """daemon off; worker_processes 1; pid {dir}/pid; error_log stderr crit; user root;
events {{ worker_connections 500; }}
http {{ access_log off; keepalive_requests {most};
 client_body_temp_path {dir}/b; proxy_temp_path {dir}/p; fastcgi_temp_path {dir}/f; uwsgi_temp_path {dir}/u; scgi_temp_path {dir}/s;
 server {{ listen 127.0.0.1:{port};
  location / {{ return 200 "$uri$args"; }}
  location /none/ {{ return 204; }}
  location /same/ {{ return 304; }} }} }}
"""
HAPROXY = """defaults
 mode http
 timeout client 10s
 timeout server 10s
 timeout connect 10s
frontend f
 bind 127.0.0.1:{port}
 http-request return status 204 if {{ path_beg /none/ }}
 http-request return status 200 content-type text/plain lf-string "%[path]%[query]"
"""


@pytest.fixture(params=["nginx", "nginx-that-closes", "haproxy"])
def real(request):
    """The URL of an origin that says the path of each request."""
    kind = request.param.split("-")[0]
    program = shutil.which(kind, path=os.environ["PATH"] + ":/usr/sbin:/usr/local/sbin")
    if not program:
        pytest.skip(f"{kind} is not installed")
    with tempfile.TemporaryDirectory() as directory:
        port, config = free_port(), os.path.join(directory, "config")
        with open(config, "w") as f:
            f.write((NGINX if kind == "nginx" else HAPROXY).format(dir=directory, port=port, most=7 if "closes" in request.param else 1000))
        words = ["-c", config] if kind == "nginx" else ["-q", "-f", config]
        child = subprocess.Popen([program, *words], stderr=subprocess.DEVNULL)
        until(lambda: listens(port))
        yield f"http://127.0.0.1:{port}"
        child.terminate()
        child.wait(10)


def listens(port):
    with open("/proc/net/tcp") as f:
        return f"0100007F:{port:04X} 00000000:0000 0A" in f.read()


def shared(edge):
    return edge.metric("ringfence_origin_connections_total", kind="shared")


def ask(client, host, method, path):
    client.send(f"{method} {path} HTTP/1.1\r\nHost: {host}\r\n\r\n".encode())


def test_everybody_gets_his_own(edge, host, lamp, real):
    app = edge.app(host, None, origins=[{"url": real, "pipeline": 16}])
    before = shared(edge)
    clients = [edge.client(host, lamp) for _ in range(CLIENTS)]
    for turn in range(ROUNDS):
        for n, c in enumerate(clients):
            ask(c, host, "HEAD" if (n + turn) % 7 == 0 else "GET", f"/{'none' if (n + turn) % 5 == 0 else 'c'}/{n}-{turn}")
        for n, c in enumerate(clients):
            if (n + turn) % 11 == 0:  # goes without its answer
                c.close()
                clients[n] = edge.client(host, lamp)
                continue
            head = (n + turn) % 7 == 0
            answer = c.read("HEAD" if head else "GET")
            if (n + turn) % 5 == 0:
                assert answer.status == 204
            else:
                assert answer.status == 200 and (head or answer.body == f"/c/{n}-{turn}".encode()), (n, turn, answer)
    for c in clients:
        c.close()
    assert shared(edge) > before
    edge.delete_app(app)


def test_curl_in_parallel(edge, host, lamp, real, tmp_path):
    app = edge.app(host, None, origins=[{"url": real, "pipeline": 8}])
    done = edge.curl(host, "/[1-200]", lamp, "--parallel", "--parallel-max", "24", "-o", str(tmp_path / "#1"))
    assert done.returncode == 0, done
    for n in range(1, 201):
        assert (tmp_path / str(n)).read_text() == f"/{n}"
    edge.delete_app(app)


def test_nobody_waits_for_a_slow_answer(edge, origin, host, lamp):
    def answer(request):
        time.sleep(1 if request.path == "/slow" else 0)
        return message(200, request.path.encode())
    origin.answer = answer
    app = edge.app(host, None, origins=[{"url": origin.url, "pipeline": 16}])
    clients = [edge.client(host, lamp) for _ in range(8)]
    start = time.monotonic()
    for n, c in enumerate(clients):
        ask(c, host, "GET", f"/{n}" if n else "/slow")
    for n, c in enumerate(clients[1:], 1):
        assert c.read().body == f"/{n}".encode()
    assert time.monotonic() - start < 0.9
    assert clients[0].read().body == b"/slow"
    for c in clients:
        c.close()
    edge.delete_app(app)


def test_the_tool_switches_it(edge, origin, host, lamp):
    app = edge.app(host, origin)
    edge.cli("origin", "edit", app["id"], origin.url, "--pipeline", "8", check=0)
    assert edge.api("GET", f"/zones/{edge.zone()}/apps/{app['id']}")["origins"][0]["pipeline"] == 8
    refused = edge.cli("origin", "edit", app["id"], origin.url, "--pipeline", "65")
    assert refused.returncode != 0 and "pipeline" in refused.stderr
    assert edge.get(host, "/", lamp).status == 200
    edge.delete_app(app)
