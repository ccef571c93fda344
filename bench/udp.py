"""bench/run udp: datagrams of a UDP port through the edge, beside nginx stream, one line a case.

    UDP/ask    64 sessions, one datagram of 64 bytes under way on each, and back
    UDP/new    the same, each datagram from a client that nobody has seen
    UDP/bulk   bursts of 32 datagrams of 1200 bytes, as one call sends them, and back

Every datagram is compared when it is back; one that is not fails the round. A pass runs both, as bench/run edge does.
"""
import json
import subprocess
import time

import harness
import pki
from edge import Run, passes, show
from harness import Failed
from servers import Ringfence
from servers.peer import Peer
from servers.ringfence import BOOT


def wait_udp(port, child, seconds=10):
    end = time.monotonic() + seconds
    while time.monotonic() < end and child.poll() is None:
        with open("/proc/net/udp") as f:
            if f":{port:04X} " in f.read():
                return
        time.sleep(0.01)
    raise Failed(f"nothing is bound to UDP port {port}")


class Nginx(Peer):
    kind = "nginx"
    suffix = ".conf"

    def __init__(self):
        super().__init__(True)
        self.name = "nginx-stream-udp"

    def rules(self):
        return {}

    def command(self):
        return ["nginx", "-g", "daemon off;", "-c", self.config]

    def wait(self):
        wait_udp(self.port, self.child)


class Edge(Ringfence):
    boot = BOOT.replace("limits:\n", "ports:\n  steer: false\nlimits:\n  udp_sessions: 9000\n  udp_session_rate: 0\n  udp_sessions_per_address: 0\n") + \
        "  - address: 127.0.0.1:0\n    protocol: ports\n"

    def configure(self):
        super().configure()
        self.port = self.lab.port()
        self.api.call("POST", f"/zones/{self.zone}/spectrum/apps", protocol=f"udp/{self.port}", dns={"name": "udp.bench.test"},
                      origin_direct=[f"udp://127.0.0.1:{self.lab.origin_port}"])
        wait_udp(self.port, self.child)


class Devices:
    """bench-udp with so many sessions to a server."""

    def __init__(self, lab, server, sessions):
        self.lab = lab
        self.child = lab.spawn([lab.program("bench-udp"), "load", str(server.port), str(sessions)], stdin=subprocess.PIPE,
                               stdout=subprocess.PIPE, text=True)

    def ask(self, command):
        self.child.stdin.write(command + "\n")
        self.child.stdin.flush()
        answer = json.loads(self.child.stdout.readline() or "{}")
        if not answer or answer["bad"]:
            raise Failed(f"{command}: {answer.get('bad', 'all')} of {answer.get('units', 0)} units bad: {answer.get('error', 'it died')}")
        return answer

    def stop(self):
        self.child.stdin.close()
        self.lab.stop(self.child)


CASES = [("UDP/ask", 64, "ask 20000 64"), ("UDP/new", 1, "churn 1500 64"), ("UDP/bulk", 1, "bulk 32000 1200")]


def main(options):
    with harness.Lab(options.build) as lab:
        run = Run(lab, options.quick)
        pki.make(lab.pki, 2)
        lab.origin_port = lab.port()
        echo = lab.spawn([lab.program("bench-udp"), "echo", str(lab.origin_port)], stdout=subprocess.PIPE, text=True)
        if echo.stdout.readline() != "ready\n":
            raise Failed("the origin does not start")
        servers = [Edge(), Nginx()] if Edge.available(lab) else [Nginx()]
        for server in servers:
            server.start(lab)
        for goal, sessions, command in CASES:
            devices = {s: Devices(lab, s, sessions) for s in servers}
            for each in devices.values():
                each.ask("ask 200 64")
            figures, note = passes(run, servers, lambda s, d=devices, c=command: d[s].ask(c))
            for each in devices.values():
                each.stop()
            show(goal, figures, "us", note)
    return 0
