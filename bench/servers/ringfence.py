"""The edge itself: booted from a file, configured through its API on the Unix socket.

Its rules are on (BASE_RULES that match nothing here), so are its counters; revocation is on and fails closed.
Devices become known when they are first seen. Records go nowhere.
"""
import http.client
import json
import os
import socket
import subprocess
import time

import harness

HOST = "bench.test"
BASE_RULES = 10
BOOT = """user: root
workers: 1
data_dir: {dir}/data
run_dir: {dir}/run
api:
  listen: ""
records:
  stdout: "off"
  recent: 0
log:
  level: error
limits:
  connections: 9500
  api_body_bytes: 64MB
timeouts:
  idle: 1h
listeners:
  - address: 127.0.0.1:{port}
    tls:
      certificate: {pki}/server-chain.pem
      key: {pki}/server.key
"""


class Api(http.client.HTTPConnection):
    """The REST API over the Unix socket."""

    def __init__(self, path):
        super().__init__("localhost")
        self.path = path

    def connect(self):
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.connect(self.path)

    def send_text(self, method, path, text):
        """The body of the answer, as bytes. Raises where it is an error."""
        self.request(method, "/client/v4" + path, text, {"Content-Type": "application/json", "Prefer": "return=minimal"})
        answer = self.getresponse()
        body = answer.read()
        if answer.status >= 300:
            raise harness.Failed(f"{method} {path}: {answer.status} {body[:500].decode(errors='replace')}")
        return body

    def call(self, method, path, **members):
        return json.loads(self.send_text(method, path, json.dumps(members) if members else None))["result"]


def rule(path):
    return {"expression": f'http.request.uri.path eq "{path}"', "action": "block"}


class Ringfence:
    kind = name = "ringfence"
    tuned = True
    boot = BOOT

    def __init__(self, pipeline=0):
        """`pipeline`: requests that may share a connection to the origin; 0 as it comes."""
        self.pipeline = pipeline
        self.lab = self.child = self.port = self.dir = self.api = self.account = self.zone = self.ruleset = None

    @staticmethod
    def available(lab):
        """Whether the build has an edge that runs."""
        program = os.path.join(lab.build, "ringfenced")
        if not os.path.exists(program):
            return False
        answer = subprocess.run([program, "--version"], capture_output=True, text=True, check=False)
        return "ringfence" in answer.stdout

    def start(self, lab, wrapper=()):
        self.lab = lab
        self.port = lab.port()
        self.dir = os.path.join(lab.dir, f"ringfence-{self.port}")
        os.makedirs(self.dir)
        config = os.path.join(self.dir, "ringfence.yaml")
        with open(config, "w") as f:
            f.write(self.boot.format(dir=self.dir, pki=lab.pki, port=self.port))
            if wrapper:  # valgrind needs system calls that the sandbox refuses
                f.write("sandbox:\n  enforce: false\n")
        with open(os.path.join(self.dir, "log"), "w") as log:
            self.child = lab.spawn([*wrapper, os.path.join(lab.build, "ringfenced"), "--config", config],
                                   cpu=harness.SERVER_CPU, stdout=log, stderr=log)
        self.api = Api(os.path.join(self.dir, "run", "api.sock"))
        self.wait(60 if wrapper else 10)
        self.configure()

    def wait(self, seconds):
        """Until the API answers."""
        end = time.monotonic() + seconds
        while time.monotonic() < end and self.child.poll() is None:
            try:
                self.account = self.api.call("GET", "/accounts")[0]["id"]
                return
            except OSError:
                self.api.close()
                time.sleep(0.02)
        with open(os.path.join(self.dir, "log")) as f:
            raise harness.Failed(f"the edge does not start: {f.read()[-1000:]}")

    def configure(self):
        account, call = f"/accounts/{self.account}", self.api.call
        self.zone = call("POST", "/zones", name=HOST, account={"id": self.account})["id"]
        root = call("POST", account + "/mtls_certificates", ca=True, name="bench", crl_mode="closed",
                    certificates=self.read("device-ca.pem"))["id"]
        call("PUT", f"{account}/mtls_certificates/{root}/crl", crls=self.crls())
        call("POST", account + "/classes", name="bench", roots=[root], first_sight=True)
        call("POST", f"/zones/{self.zone}/apps", name="bench", hosts=[HOST], roots=[root], client_auth="enforce",
             origins=[{"url": f"http://127.0.0.1:{self.lab.origin_port}", "pipeline": self.pipeline}], origin_max_idle=256, forward_rfc9440=False)
        answer = self.replace_rules(self.rules_body([f"/base/{i}" for i in range(BASE_RULES)]))
        self.ruleset = json.loads(answer)["result"]["id"]

    def read(self, file):
        with open(os.path.join(self.lab.pki, file)) as f:
            return f.read()

    def crls(self):
        end = "-----END X509 CRL-----\n"
        return [part + end for part in self.read("crl.pem").split(end) if part]

    @staticmethod
    def rules_body(paths):
        """JSON text of a ruleset that refuses `paths`."""
        return json.dumps({"rules": [rule(path) for path in paths]})

    def replace_rules(self, body):
        return self.api.send_text("PUT", f"/zones/{self.zone}/rulesets/phases/http_request/entrypoint", body)

    def add_rule(self, path):
        return self.api.send_text("POST", f"/zones/{self.zone}/rulesets/{self.ruleset}/rules", json.dumps(rule(path)))

    def late_us(self):
        """us by which calls of the API were late in making way, of each the most, all together."""
        self.api.request("GET", "/metrics")
        name = b"ringfence_control_late_seconds_sum "
        return next(float(line[len(name):]) * 1e6 for line in self.api.getresponse().read().splitlines() if line.startswith(name))

    def pids(self):
        return harness.family(self.child.pid)

    def stop(self):
        self.api.close()
        self.lab.stop(self.child)
