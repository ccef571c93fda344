"""Fixtures: an edge for each module, an origin for each test, hosts of a test's own."""
import os
import shutil

import pytest

import pki
from edge import Edge
from origin import Origin


def pytest_configure(config):
    config.addinivalue_line("markers", "release: with the release build, where load or time is measured")


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


def needs(program):
    return pytest.mark.skipif(not shutil.which(program), reason=f"{program} is not installed")
