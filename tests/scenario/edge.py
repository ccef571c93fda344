"""A running edge for the tests: started in a directory of its own, asked and changed as an operator would."""
import http.client
import json
import os
import random
import re
import shutil
import signal
import socket
import subprocess
import tempfile
import time

import pki
from client import Client
from openapi import Description

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
BUILD = os.environ.get("RF_BUILD", os.path.join(ROOT, "build", "asan"))
RELEASE = os.path.join(ROOT, "build", "release")
ACCUSATIONS = re.compile(r"ERROR: (Address|Leak|Undefined)\w*Sanitizer|runtime error:|Assertion .* failed|SUMMARY: \w+Sanitizer")
SANITIZERS = {"ASAN_OPTIONS": "detect_leaks=1:detect_stack_use_after_return=0",
              "UBSAN_OPTIONS": "print_stacktrace=1:halt_on_error=1"}
READY_SECONDS = 60
OPENAPI = "/client/v4/openapi.json"


class Ports:
    """Ports for servers, of blocks that one process of tests has at a time, below those that the kernel gives to who asks for any."""

    FIRST, BLOCK, BLOCKS = 10000, 250, 88

    def __init__(self):
        self.claims, self.left = [], iter(())

    def claim(self):
        """A block that no other process has: the name of a socket says so, in this network namespace and as long as we live."""
        for block in random.sample(range(self.BLOCKS), self.BLOCKS):
            claim = socket.socket(socket.AF_UNIX)
            try:
                claim.bind(f"\0ringfence-test-ports-{block}")
            except OSError:
                claim.close()
                continue
            self.claims.append(claim)
            first = self.FIRST + block * self.BLOCK
            return iter(range(first, first + self.BLOCK))
        raise AssertionError("every block of ports is taken")

    def next(self):
        """A port that nobody has, and that was not given before."""
        while True:
            port = next(self.left, None)
            if port is None:
                self.left = self.claim()
            elif self.free(port, socket.SOCK_STREAM) and self.free(port, socket.SOCK_DGRAM):
                return port

    @staticmethod
    def free(port, kind):
        with socket.socket(type=kind) as s:
            try:
                s.bind(("127.0.0.1", port))
            except OSError:
                return False
        return True


free_port = Ports().next


WORK_SECONDS = 0.1
PATIENCE = 30   # seconds: who waits so long for what takes a moment on a busy machine waits for what has failed


def until(what, seconds=PATIENCE, every=0.01):
    """The first true answer of `what()`, asked again and again for so long."""
    end = time.monotonic() + seconds
    while not (got := what()):
        if time.monotonic() > end:
            raise AssertionError(f"not within {seconds} s: {getattr(what, '__name__', what)}")
        time.sleep(every)
    return got


def slowness():
    """How many times longer this machine, as busy as it is, takes for some work than an idle one of the kind that the times in tests are
    for; at least 1."""
    start = time.monotonic()
    for _ in range(8_000_000):
        pass
    return max(1, (time.monotonic() - start) / WORK_SECONDS)


class Refused(AssertionError):
    """An answer of the API that is an error."""

    def __init__(self, reply):
        super().__init__(f"{reply.status} {reply.body.decode(errors='replace')[:2000]}")
        self.reply = reply
        self.status = reply.status

    @property
    def errors(self):
        return self.reply.json["errors"]


class Reply:
    def __init__(self, answer, body):
        self.status, self.body = answer.status, body
        self.headers = {n.lower(): v for n, v in answer.getheaders()}

    @property
    def json(self):
        return json.loads(self.body)

    @property
    def result(self):
        return self.json["result"]


class Unix(http.client.HTTPConnection):
    def __init__(self, path, timeout=30):
        super().__init__("localhost", timeout=timeout)
        self.path = path

    def connect(self):
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(self.timeout)
        self.sock.connect(self.path)


class Device:
    """A device of the edge with a certificate of its CA."""

    def __init__(self, directory, made):
        self.id, self.name = made["id"], made["name"]
        bundle = made.get("bundle") or {}
        self.cert = os.path.join(directory, self.name + ".crt")
        self.key = os.path.join(directory, self.name + ".key")
        self.bundle = bundle
        if bundle:
            with open(self.cert, "w") as f:
                f.write(bundle["certificate"])
            with open(self.key, "w") as f:
                f.write(bundle["private_key"])
        self.made = made


class Edge:
    """Start with Edge(...).start(); stop() checks that it ended well and that no sanitizer has spoken."""

    descriptions = {}   # of the API, by build

    def __init__(self, build=None, **boot):
        self.dir = tempfile.mkdtemp(prefix="rf-scen-")
        os.chmod(self.dir, 0o755)
        self.build = build or BUILD
        self.data = os.path.join(self.dir, "data")
        self.run = os.path.join(self.dir, "run")
        self.log = os.path.join(self.dir, "log")
        self.config = os.path.join(self.dir, "ringfence.yaml")
        self.records_file = os.path.join(self.data, "records.jsonl")
        self.port, self.plain_port, self.api_port = free_port(), None, free_port()
        self.server_ca = pki.Ca(self.dir, "server")
        self.server = self.server_ca.server("listener", "edge.test", "*.edge.test")
        self.boot = {
            "user": "nobody" if os.geteuid() == 0 else "",
            "workers": 2,
            "data_dir": self.data,
            "run_dir": self.run,
            "api": {"listen": f"127.0.0.1:{self.api_port}"},
            "records": {"file": self.records_file, "stdout": "off"},
            "log": {"level": "debug"},
            "shutdown": {"drain": "5s"},
            "floods": {"sensitivity": "off"},  # tests send as no device does
            "listeners": [{"name": "tls", "address": f"127.0.0.1:{self.port}",
                           "tls": {"certificate": self.server.cert, "key": self.server.key}}],
        }
        self.merge(self.boot, boot)
        self.child = None
        self.api_connection = None
        self.known = {}

    @classmethod
    def merge(cls, into, more):
        for k, v in more.items():
            if isinstance(v, dict) and isinstance(into.get(k), dict):
                cls.merge(into[k], v)
            elif v is None:
                into.pop(k, None)
            else:
                into[k] = v

    def add_plain(self, **more):
        """A listener without TLS too; its port."""
        self.plain_port = free_port()
        self.boot["listeners"].append({"name": "plain", "address": f"127.0.0.1:{self.plain_port}", "protocol": "http", **more})
        return self.plain_port

    def write(self, text=None):
        """The boot file; JSON is YAML."""
        for f in os.listdir(self.dir):
            if f.endswith(".key"):
                os.chmod(os.path.join(self.dir, f), 0o644)
        with open(self.config, "w") as f:
            f.write(text if text is not None else json.dumps({k: v for k, v in self.boot.items() if v != ""}, indent=1))

    def program(self, name):
        return os.path.join(self.build, name)

    def start(self, wrapper=(), wait=True, env=None):
        self.write()
        with open(self.log, "ab") as log:
            self.child = subprocess.Popen([*wrapper, self.program("ringfenced"), "--config", self.config], stdout=log, stderr=log,
                                          stdin=subprocess.DEVNULL, start_new_session=True, env={**os.environ, **SANITIZERS, **(env or {})})
        if wait:
            self.wait()
        return self

    def wait(self, seconds=READY_SECONDS):
        def ready():
            if self.child.poll() is not None:
                raise AssertionError(f"the edge ended with {self.child.returncode}: {self.logged()[-3000:]}")
            try:
                return self.raw("GET", "/readyz").status == 200
            except OSError:
                return False
        until(ready, seconds)

    def logged(self):
        with open(self.log, errors="replace") as f:
            return f.read()

    # -- ending

    def stop(self, expect=0):
        """Ends it by SIGTERM and says what was wrong with it."""
        wrong = []
        if self.child and self.child.poll() is None:
            self.child.send_signal(signal.SIGTERM)
            try:
                self.child.wait(30)
            except subprocess.TimeoutExpired:
                self.kill()
                wrong.append("it did not end within 30 s of SIGTERM")
        if self.child and self.child.returncode != expect and not wrong:
            wrong.append(f"it ended with status {self.child.returncode}")
        log = self.logged() if os.path.exists(self.log) else ""
        if found := ACCUSATIONS.search(log):
            wrong.append(log[max(0, found.start() - 300):found.start() + 6000])
        self.close_api()
        shutil.rmtree(self.dir, ignore_errors=True)
        if wrong:
            raise AssertionError("\n".join(wrong) + "\n" + log[-2000:])

    def kill(self):
        """Everything of it, at once; its sockets are gone when this returns."""
        engine = self.engine()
        try:
            os.killpg(self.child.pid, signal.SIGKILL)
        except ProcessLookupError:
            pass
        self.child.wait()
        until(lambda: not engine or not os.path.exists(f"/proc/{engine}"))

    def discard(self):
        """For edges that are meant to die: no questions asked."""
        if self.child and self.child.poll() is None:
            self.kill()
        self.close_api()
        shutil.rmtree(self.dir, ignore_errors=True)

    def close_api(self):
        if self.api_connection:
            self.api_connection.close()
            self.api_connection = None

    # -- its processes

    def engine(self):
        """The pid of the engine: the monitor's child."""
        with open(f"/proc/{self.child.pid}/task/{self.child.pid}/children") as f:
            pids = [int(p) for p in f.read().split()]
        return pids[-1] if pids else None

    def signal(self, number):
        self.child.send_signal(number)

    def wait_log(self, pattern, seconds=PATIENCE, start=0):
        return until(lambda: re.search(pattern, self.logged()[start:]), seconds)

    def set_server(self, identity):
        """Another certificate for the listener, put in place of the files of the old one."""
        for kind in ("cert", "key"):
            shutil.copyfile(getattr(identity, kind), getattr(self.server, kind) + ".new")
            os.replace(getattr(self.server, kind) + ".new", getattr(self.server, kind))

    # -- its API

    def raw(self, method, path, body=None, headers=None):
        """One call on the Unix socket. `body`: bytes, str, or what becomes JSON. The answer is held against the description of
        the API."""
        reply = self.exchange(method, path, body, headers)
        if path.startswith("/client/v4/") and path != OPENAPI:
            if self.build not in Edge.descriptions:
                Edge.descriptions[self.build] = Description(self.exchange("GET", OPENAPI).json)
            Edge.descriptions[self.build].check(method, path, reply)
        return reply

    def exchange(self, method, path, body=None, headers=None):
        if body is not None and not isinstance(body, (bytes, str)):
            body = json.dumps(body)
        headers = {"Content-Type": "application/json", **(headers or {})}
        for again in (True, False):
            if not self.api_connection:
                self.api_connection = Unix(os.path.join(self.run, "api.sock"))
            try:
                self.api_connection.request(method, path, body, headers)
                answer = self.api_connection.getresponse()
                return Reply(answer, answer.read())
            except (http.client.RemoteDisconnected, http.client.CannotSendRequest, BrokenPipeError, ConnectionResetError):
                self.close_api()
                if not again:
                    raise
            except BaseException:
                self.close_api()
                raise
        raise AssertionError("unreachable")

    def reply(self, method, path, body=None, headers=None):
        path = path.replace("{account}", self.account) if "{account}" in path else path
        return self.raw(method, "/client/v4" + path, body, headers)

    def api(self, method, path, body=None, headers=None):
        """The result of a call that succeeds."""
        reply = self.reply(method, path, body, headers)
        if reply.status >= 300:
            raise Refused(reply)
        return reply.result

    def new_api(self):
        """A connection to the API of one's own (for threads)."""
        return Unix(os.path.join(self.run, "api.sock"))

    def cli(self, *words, check=None, **more):
        done = subprocess.run([self.program("ringfence"), "--socket", os.path.join(self.run, "api.sock"), *words],
                              capture_output=True, text=True, timeout=60, check=False,
                              env={**os.environ, **SANITIZERS, "NO_COLOR": "1"}, **more)
        assert not ACCUSATIONS.search(done.stderr), done.stderr
        if check is not None:
            assert done.returncode == check, f"{words}: {done.returncode}\n{done.stdout}\n{done.stderr}"
        return done

    @property
    def account(self):
        if "account" not in self.known:
            self.known["account"] = self.raw("GET", "/client/v4/accounts").result[0]["id"]
        return self.known["account"]

    def zone(self, name="edge.test"):
        if ("zone", name) not in self.known:
            found = self.api("GET", f"/zones?name={name}")
            made = found[0] if found else self.api("POST", "/zones", {"name": name})
            self.known["zone", name] = made["id"]
        return self.known["zone", name]

    def klass(self, name="lamps", **more):
        if ("class", name) not in self.known:
            self.known["class", name] = self.api("POST", "/accounts/{account}/classes", {"name": name, **more})["id"]
        return self.known["class", name]

    def app(self, host, origin, **more):
        """An app of its own for a host of the zone."""
        origins = more.pop("origins", None) or [{"url": origin.url if hasattr(origin, "url") else origin}]
        return self.api("POST", f"/zones/{self.zone()}/apps",
                        {"name": more.pop("name", host), "hosts": [host], "origins": origins, **more})

    def edit_app(self, app, **members):
        return self.api("PATCH", f"/zones/{self.zone()}/apps/{app['id']}", members)

    def delete_app(self, app):
        return self.api("DELETE", f"/zones/{self.zone()}/apps/{app['id']}")

    def root(self, ca, **more):
        return self.api("POST", "/accounts/{account}/mtls_certificates",
                        {"ca": True, "certificates": ca.pem, "name": ca.label, **more})["id"]

    def device(self, name, klass="lamps", **more):
        self.klass(klass)
        return Device(self.dir, self.api("POST", "/accounts/{account}/devices",
                                         {"name": name, "class": klass, "issue": True, **more}))

    def revoke(self, device):
        return self.api("POST", f"/accounts/{{account}}/devices/{device.id}/revoke", {})

    def ruleset(self, rules, phase="http_request", zone=True):
        """All rules of a phase."""
        where = f"/zones/{self.zone()}" if zone else "/accounts/{account}"
        return self.api("PUT", f"{where}/rulesets/phases/{phase}/entrypoint", {"rules": rules})

    def add_rule(self, expression, action="block", **more):
        """One rule more at the end of http_request of the zone; its id."""
        path = f"/zones/{self.zone()}/rulesets/phases/http_request/entrypoint"
        reply = self.reply("GET", path)
        if reply.status == 404:
            ruleset = self.ruleset([{"expression": expression, "action": action, **more}])
        else:
            ruleset = self.api("POST", f"/zones/{self.zone()}/rulesets/{reply.result['id']}/rules",
                               {"expression": expression, "action": action, **more})
        return ruleset["rules"][-1]["id"]

    # -- what it tells

    def metrics(self):
        """{'name{labels}': value}."""
        text = self.raw("GET", "/metrics").body.decode()
        return {k: float(v) for k, v in (line.rsplit(" ", 1) for line in text.splitlines() if line and line[0] != "#")}

    def metric(self, name, **labels):
        want = [f'{k}="{v}"' for k, v in labels.items()]
        return sum(v for k, v in self.metrics().items()
                   if k.split("{")[0] == name and all(w in k for w in want))

    def records(self, **filters):
        """Lines of the record file whose fields are these."""
        if not os.path.exists(self.records_file):
            return []
        with open(self.records_file, errors="replace") as f:
            lines = [json.loads(line) for line in f if line.endswith("\n")]
        return [r for r in lines if all(r.get(k) == v for k, v in filters.items())]

    def wait_record(self, seconds=PATIENCE, **filters):
        return until(lambda: self.records(**filters), seconds)[-1]

    # -- its clients

    def client(self, host, identity=None, **more):
        return Client(more.pop("port", self.port), host, identity, **more)

    def get(self, host, path="/", identity=None, headers=(), **more):
        with self.client(host, identity, **more) as c:
            return c.request("GET", path, headers)

    def curl(self, host, path="/", identity=None, *words):
        """curl(1) with our listener's CA; the completed process."""
        command = ["curl", "-sS", "--max-time", "20", "--resolve", f"{host}:{self.port}:127.0.0.1",
                   "--cacert", self.server_ca.path]
        if identity:
            command += ["--cert", identity.cert, "--key", identity.key]
        return subprocess.run([*command, *words, f"https://{host}:{self.port}{path}"], capture_output=True, text=True,
                              timeout=30, check=False)
