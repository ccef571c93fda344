"""A flood of CONNECTs to a broker behind a TCP port: found, bounded for each address, and over; a session that stands goes on."""
import socket
import subprocess
import threading

import pytest

from edge import until

LEARN = 5
SECONDS = 20
CONNECT = b"\x10\x10\0\x04MQTT\x04\x02\0\x3c\0\x04lamp"


@pytest.fixture(scope="module")
def boot():
    return {"ports": {"steer": False}, "floods": {"sensitivity": "high", "learn": f"{LEARN}s", "ttl": "3s", "floor": 40}}


@pytest.fixture(scope="module")
def port(ports, broker):
    port, _, _ = ports(broker, guard="mqtt")
    until(lambda: asks(port, "127.0.0.1"))
    return port


def asks(port, source):
    """A client that connects, and is let in by the broker."""
    try:
        with socket.create_connection(("127.0.0.1", port), SECONDS, source_address=(source, 0)) as s:
            s.settimeout(SECONDS)
            s.sendall(CONNECT)
            return s.recv(4) == b"\x20\x02\0\0"
    except OSError:
        return False


def test_connects(edge, port):
    """A hundred a second of eight addresses, beside a subscriber and one that publishes now and then."""
    where = f"port:{port}"
    attacks = lambda: edge.api("GET", f"/accounts/{{account}}/attacks?host={where}")
    hears = subprocess.Popen(["mosquitto_sub", "-h", "127.0.0.1", "-p", str(port), "-t", "lamps/1", "-C", "1", "-W", "60"],
                             stdout=subprocess.PIPE, text=True)
    calm = threading.Event()
    for _ in range(4 * LEARN):  # what is usual
        assert asks(port, "127.80.0.1")
        calm.wait(0.4)
    assert attacks() == []
    over, let_in = threading.Event(), []

    def flood(last):
        while not over.wait(0.05):
            let_in.append(asks(port, f"127.90.0.{last}"))
    threads = [threading.Thread(target=flood, args=(i,), daemon=True) for i in range(1, 9)]
    for t in threads:
        t.start()
    try:
        found = until(attacks, 10)[0]
        assert found["vector"] == "mqtt_connect_flood" and found["counter"]["name"] == "mqtt_connects_per_second"
        assert found["counter"]["value"] > found["counter"]["threshold"] and "MQTT" in found["measure"]
        until(lambda: let_in[-8:].count(False) > 4, 10)
        assert asks(port, "127.80.0.1")
        subprocess.run(["mosquitto_pub", "-h", "127.0.0.1", "-p", str(port), "-t", "lamps/1", "-m", "on"], check=True, timeout=SECONDS)
        assert hears.communicate(timeout=SECONDS)[0] == "on\n"
    finally:
        over.set()
        for t in threads:
            t.join()
    until(lambda: attacks()[0]["status"] == "ended", 20)
    last = attacks()[0]
    assert last["stopped"] > 0 and 8 <= last["addresses"]["estimate"] <= 11
    assert edge.metric("ringfence_attacks_total", vector="mqtt_connect_flood") == 1
    assert edge.metric("ringfence_l4_mqtt_crowded_total") == last["stopped"]
    assert asks(port, "127.90.0.1")
