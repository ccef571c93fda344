"""Fixtures: an edge for each module, an origin for each test, hosts of a test's own."""
import os
import shutil
import signal
import socket
import subprocess

import pytest

import pki
from edge import RELEASE, ROOT, Edge, free_port, until
from origin import Origin


def pytest_configure(config):
    config.addinivalue_line("markers", "alone: not beside other tests, because it loads the machine or measures time")


@pytest.fixture(scope="module")
def boot():
    """What a module wants otherwise in the boot file: override it."""
    return {}


@pytest.fixture(scope="module")
def edge(boot):
    """One edge for the tests of a module."""
    e = Edge(**boot)
    try:
        e.start()
        yield e
    finally:
        e.stop()


@pytest.fixture
def make_edge():
    """Edges of a test's own: make_edge(**boot), not started yet."""
    made = []

    def make(**boot):
        made.append(Edge(**boot))
        return made[-1]
    yield make
    problems = []
    for e in made:
        try:
            if e.child:
                e.stop()
            else:
                e.discard()
        except AssertionError as error:
            problems.append(str(error))
    assert not problems, "\n".join(problems)


@pytest.fixture
def origin():
    o = Origin()
    yield o
    o.stop()


@pytest.fixture
def host(request):
    """A host name of the test's own, below edge.test."""
    return request.node.name.lower().translate(str.maketrans("_[]", "---", "()'\" ,")).rstrip("-")[:50].rstrip("-") + ".edge.test"


@pytest.fixture
def app(edge, origin, host):
    """An app at `host` with `origin` behind it, deleted afterwards."""
    made = edge.app(host, origin)
    yield made
    edge.delete_app(made)


@pytest.fixture(scope="module")
def lamp(edge):
    """A device that nobody revokes."""
    return edge.device("lamp-" + os.urandom(4).hex())


@pytest.fixture(scope="module")
def plant(edge):
    """A CA of the operator's own, uploaded; plant.id is its root."""
    ca = pki.Ca(edge.dir, "plant-" + os.urandom(3).hex())
    ca.id = edge.root(ca)
    return ca


@pytest.fixture(scope="module")
def ports(edge):
    """Apps of ports, each on a free port of 127.0.0.1: ports(origin, transport="tcp", **more) gives the port, the app's path and its id."""
    edge.boot["listeners"].append({"name": "ports", "address": "127.0.0.1:0", "protocol": "ports"})
    edge.write()
    edge.signal(signal.SIGHUP)
    edge.wait_log("boot file, certificates, roots, lists and rules are in force")
    path = f"/zones/{edge.zone()}/spectrum/apps"

    def make(*origins, transport="tcp", **more):
        port = free_port()
        app = edge.api("POST", path, {"protocol": f"{transport}/{port}", "dns": {"type": "ADDRESS", "name": f"p{port}.edge.test"},
                                      "origin_direct": [f"{transport}://127.0.0.1:{o}" for o in origins], **more})
        return port, f"{path}/{app['id']}", app["id"]
    return make


@pytest.fixture(scope="module")
def broker():
    """The port of a mosquitto; it speaks plain MQTT."""
    program = shutil.which("mosquitto") or "/usr/sbin/mosquitto"
    if not os.path.exists(program):
        pytest.skip("mosquitto is not installed")
    port = free_port()
    child = subprocess.Popen([program, "-p", str(port)], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    until(lambda: listens(port))
    yield port
    child.terminate()
    child.wait(10)


@pytest.fixture(scope="module")
def fast_origin():
    """The URL of an origin that takes thousands of requests a second, with bodies."""
    port = free_port()
    child = subprocess.Popen([os.path.join(ROOT, RELEASE, "bench", "bench-origin"), str(port), "bodies"], stdout=subprocess.PIPE)
    assert child.stdout.readline().strip() == b"ready"
    yield f"http://127.0.0.1:{port}"
    child.kill()
    child.wait()


def listens(port):
    try:
        socket.create_connection(("127.0.0.1", port), 5).close()
        return True
    except OSError:
        return False


def needs(program):
    return pytest.mark.skipif(not shutil.which(program), reason=f"{program} is not installed")
