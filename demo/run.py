"""The demonstration: an edge, an origin, a fleet, and what happens between them, told line by line.

Starts everything in one directory and on free ports, plays the story (a fleet, two strangers, a compromised
device, the rules that stop it), then shows what the edge records until Ctrl-C. Every step is checked; the exit
status is 1 where something did not happen as told.
"""
import argparse
import os
import re
import shlex
import shutil
import signal
import socket
import ssl
import subprocess
import sys
import tempfile
import threading
import time
from urllib.parse import urlsplit

from exploits import EXPLOITS, LATEST
from fleet import Connection, Device

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
BUILD = os.path.join(ROOT, "build", "release")
FLEET = {"thermometers": ["thermometer-%d" % i for i in range(1, 6)], "cameras": ["camera-%d" % i for i in range(1, 5)],
         "locks": ["lock-%d" % i for i in range(1, 4)]}
COMPROMISED = "camera-3"
HOST = ZONE = "fleet.localhost"
BOOT = """user: "{user}"
data_dir: {dir}/data
run_dir: {dir}/run
workers: 2
api:
  listen: 127.0.0.1:{api}
ca:
  base_url: https://{host}:{port}/.well-known/pki
records:
  stdout: human
  samples: {dir}/data/samples.jsonl
  samples_rate: 600
log:
  file: {dir}/data/ringfenced.log
shutdown:
  drain: 1s
listeners:
  - name: edge
    address: 127.0.0.1:{port}
  - name: any
    address: 127.0.0.1:0
    protocol: ports
"""
COLOURS = {"allow": "32", "BLOCK": "1;31", "ERROR": "1;33", "log": "36", "title": "1", "dim": "2", "good": "32", "bad": "1;31"}


class Failed(Exception):
    """The demonstration cannot go on."""


class Stop(Exception):
    """Ctrl-C, or the time is over."""


class Screen:
    """Everything that is printed: the story, and the edge's records between its lines, never faster than one can read."""

    SUMMARY_SECONDS = 8
    REPEATS = 1                    # how often the same record is shown before it is only counted

    def __init__(self):
        self.lock = threading.Lock()
        self.tty = sys.stdout.isatty() and os.environ.get("TERM") != "dumb"
        self.colour = self.tty and not os.environ.get("NO_COLOR")
        self.shown, self.names = {}, set()
        self.quiet = {"allow": 0, "BLOCK": 0}
        self.since = time.monotonic()
        self.failed = 0
        self.blank = False

    def paint(self, what, text):
        return f"\033[{COLOURS[what]}m{text}\033[0m" if self.colour else text

    def line(self, text=""):
        with self.lock:
            if text or not self.blank:
                print(text, flush=True)
            self.blank = not text

    def title(self, text):
        self.line()
        self.line(self.paint("title", text))
        self.line()

    def say(self, text):
        self.line("  " + text)

    def command(self, words):
        self.line("  " + self.paint("dim", "$ ") + words)

    def expect(self, good, text):
        if not good:
            self.failed += 1
        self.line("  " + (self.paint("good", "ok") if good else self.paint("bad", "NOT AS TOLD")) + "  " + text)

    RECORD = re.compile(r"^(\d\d:\d\d:\d\d) (\w+) +(\S+)( \(no device\))?(.*)$")

    def record(self, text):
        """One of the edge's lines: the first of its kind is shown, the rest are counted."""
        found = self.RECORD.match(text)
        if not found:
            return
        at, action, who, _, what = found.groups()
        if action == "allow" and " connection" in what:
            return
        key = (action, who, what)
        self.shown[key] = self.shown.get(key, 0) + 1
        if self.shown[key] > self.REPEATS:
            self.quiet[action] = self.quiet.get(action, 0) + 1
            self.names.add(who)
            self.summary()
            return
        place = self.paint(action, f"{action:5}") if action in COLOURS else f"{action:5}"
        self.line(f"    {self.paint('dim', at)} {place} {text[len(at) + 1 + len(action):].strip()}")

    def summary(self):
        if time.monotonic() < self.since + self.SUMMARY_SECONDS:
            return
        parts = [f"{n} {word}" for n, word in ((self.quiet.get("allow", 0), "accepted"), (self.quiet.get("BLOCK", 0), "refused")) if n]
        if parts:
            self.line("    " + self.paint("dim", f"{time.strftime('%H:%M:%S', time.gmtime())} ... and since then {' and '.join(parts)}, "
                                                 f"all as before, of {len(self.names)} clients"))
        self.quiet, self.since = {}, time.monotonic()
        self.names.clear()


def free_port(*wanted):
    for port in (*wanted, 0):
        with socket.socket() as s:
            s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                s.bind(("127.0.0.1", port))
                return s.getsockname()[1]
            except OSError:
                continue
    raise Failed("no port of 127.0.0.1 is free")


class Demo:
    def __init__(self, options):
        self.options, self.screen = options, Screen()
        self.children, self.fleet = [], {}
        self.dir = self.make_directory()
        self.port, self.api = free_port(8443), free_port(8444)
        self.host = options.host or HOST
        self.end = time.monotonic() + options.seconds if options.seconds else None
        self.pause = 1.5 if not options.seconds else max(0.1, min(1.5, options.seconds / 30))
        self.over = threading.Event()

    @staticmethod
    def make_directory():
        path = os.path.join(tempfile.gettempdir(), "ringfence-demo")
        try:
            os.mkdir(path, 0o755)
        except FileExistsError:
            path = tempfile.mkdtemp(prefix="ringfence-demo-")
        os.chmod(path, 0o755)
        return path

    # -- processes

    def spawn(self, command, **more):
        child = subprocess.Popen(command, stdin=subprocess.DEVNULL, start_new_session=True, text=True, **more)
        self.children.append(child)
        return child

    def start_edge(self):
        config = os.path.join(self.dir, "ringfence.yaml")
        user = "nobody" if os.geteuid() == 0 else ""
        with open(config, "w") as f:
            f.write("\n".join(line for line in BOOT.format(dir=self.dir, host=self.host, port=self.port, api=self.api, user=user).splitlines()
                              if line != 'user: ""') + "\n")
        self.tool = os.path.join(self.dir, "ringfence")
        with open(self.tool, "w") as f:
            f.write(f'#!/bin/sh\nRINGFENCE_SOCKET={self.dir}/run/api.sock exec {shlex.quote(BUILD + "/ringfence")} "$@"\n')
        os.chmod(self.tool, 0o755)
        self.errors = open(os.path.join(self.dir, "errors"), "w+")
        self.daemon = self.spawn([os.path.join(BUILD, "ringfenced"), "--config", config], stdout=subprocess.PIPE, stderr=self.errors)
        threading.Thread(target=self.follow, daemon=True).start()
        end = time.monotonic() + 20
        while subprocess.run([self.tool, "status"], capture_output=True, check=False).returncode:
            if self.daemon.poll() is not None or time.monotonic() > end:
                self.errors.seek(0)
                raise Failed("the edge does not start: " + self.errors.read()[-2000:])
            self.wait(0.05)

    def follow(self):
        for line in self.daemon.stdout:
            self.screen.record(line.rstrip("\n"))

    def stop(self):
        for device in self.fleet.values():
            device.done.set()
        for child in reversed(self.children):
            if child.poll() is None:
                child.terminate()
        for child in self.children:
            try:
                child.wait(10)
            except subprocess.TimeoutExpired:
                os.killpg(child.pid, signal.SIGKILL)
                child.wait()
        shutil.rmtree(self.dir, ignore_errors=True)

    def wait(self, seconds):
        """Waits, unless it is time to stop."""
        if self.end:
            seconds = min(seconds, max(0, self.end - time.monotonic()))
        if self.over.wait(seconds) or (self.end and time.monotonic() >= self.end):
            raise Stop
        if self.daemon.poll() is not None:
            raise Failed("the edge has ended by itself: see " + self.dir)

    def until(self, what, seconds=10):
        end = time.monotonic() + seconds
        while not what():
            if time.monotonic() > end:
                return False
            self.wait(0.02)
        return True

    # -- the operator

    def ringfence(self, *words, show=False, check=True):
        if show:
            self.screen.command("ringfence " + " ".join(map(shlex.quote, words)))
        done = subprocess.run([self.tool, *words], capture_output=True, text=True, check=False)
        if done.returncode and check:
            raise Failed(f"ringfence {' '.join(words)}: {done.stderr.strip() or done.stdout.strip()}")
        if show:
            for line in (done.stdout + done.stderr).strip().splitlines():
                self.screen.say(self.screen.paint("dim", "  " + line))
        return done.stdout

    def enrol(self, name, klass):
        self.ringfence("device", "add", name, "--class", klass, "--out", self.dir)
        return self.connection(name)

    def connection(self, name=None, cert=None, key=None):
        if name:
            cert, key = os.path.join(self.dir, name + ".crt"), os.path.join(self.dir, name + ".key")
        return Connection(self.port, self.host, os.path.join(self.dir, "ca.crt"), cert, key)

    # -- the story

    def places(self, origin):
        s = self.screen
        s.line()
        s.line(s.paint("title", "Ringfence") + "  a private network for devices")
        s.line()
        s.say(f"edge     https://{self.host}:{self.port}   only devices with a certificate get in")
        s.say(f"origin   {origin}   sees good traffic only")
        s.say(f"API      https://127.0.0.1:{self.api}/client/v4 and {self.dir}/run/api.sock")
        s.say(f"files    {self.dir}   gone when this ends")

    def play(self):
        origin = self.spawn([sys.executable, "-B", os.path.join(ROOT, "demo", "origin.py")], stdout=subprocess.PIPE)
        url = f"http://127.0.0.1:{int(origin.stdout.readline())}"
        self.start_edge()
        self.places(url)
        self.ringfence("app", "add", "fleet", "--host", self.host, "--origin", url, "--zone", ZONE)
        self.meet_the_fleet()
        self.wait(self.pause)
        self.strangers()
        self.wait(self.pause)
        self.exploit_and_rule()
        self.wait(self.pause)
        self.more_exploits()
        self.wait(self.pause)
        self.careful_patch()
        self.wait(self.pause)
        self.old_protocol()
        self.try_it()
        self.watch()

    def meet_the_fleet(self):
        count = sum(map(len, FLEET.values()))
        self.screen.title(f"1  {count} devices connect, each with a certificate of its own, and send readings.")
        for klass, names in FLEET.items():
            # the edge would quarantine the broken camera by itself, at its second exploit
            self.ringfence("class", "add", klass, *(["--flood-exempt"] if COMPROMISED in names else []))
            for name in names:
                self.fleet[name] = Device(name, self.enrol(name, klass))
                self.fleet[name].start()
        all_in = self.until(lambda: all(d.accepted for d in self.fleet.values()), 15)
        self.wait(0.1)
        self.screen.expect(all_in, f"{count} devices, accepted by the edge and heard by the origin")

    def strangers(self):
        self.screen.title("2  Two strangers knock: one without a certificate, one with a certificate of another CA.")
        status, _ = self.connection().ask("GET", "/readings")
        self.wait(0.3)
        self.screen.expect(status == 403, f"no certificate: refused at the edge with {status}")
        cert, key = self.foreign_certificate("lock-1")
        status, _ = self.connection(cert=cert, key=key).ask("GET", "/readings")
        self.wait(0.3)
        self.screen.expect(status == 403, f"a certificate that only calls itself lock-1: refused with {status}")

    def foreign_certificate(self, name):
        """A certificate and key of a CA that the edge has never heard of."""
        files = {f: os.path.join(self.dir, "foreign-" + f) for f in ("ca.crt", "ca.key", "device.csr", "device.crt", "device.key")}
        new_key = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes"]
        for command in (["req", "-x509", *new_key, "-days", "2", "-subj", "/CN=Foreign CA", "-keyout", files["ca.key"], "-out", files["ca.crt"]],
                        ["req", "-new", *new_key, "-subj", f"/CN={name}", "-keyout", files["device.key"], "-out", files["device.csr"]],
                        ["x509", "-req", "-in", files["device.csr"], "-CA", files["ca.crt"], "-CAkey", files["ca.key"], "-CAcreateserial",
                         "-days", "2", "-out", files["device.crt"]]):
            subprocess.run(["openssl", *command], check=True, capture_output=True)
        return files["device.crt"], files["device.key"]

    def attack(self, exploit):
        status, _ = self.fleet[COMPROMISED].ask(exploit.method, exploit.path, exploit.headers, exploit.body)
        self.wait(0.3)
        return status

    def patch(self, exploit):
        start = time.monotonic()
        self.ringfence("rule", "add", exploit.rule, "--action", "block", "--description", exploit.name, "--zone", ZONE, show=True)
        return time.monotonic() - start

    def exploit_and_rule(self):
        exploit = EXPLOITS[0]
        self.screen.title(f"3  {COMPROMISED} has been broken into. It sends {exploit.name}: {exploit.story}.")
        status = self.attack(exploit)
        self.screen.expect(status == 200, f"no rule stops it yet: it passes, like anything else of a known device ({status})")
        self.wait(self.pause)
        self.screen.title("4  The operator writes one rule. It is in force, for every device, when the command returns.")
        self.patch(exploit)
        status = self.attack(exploit)
        self.screen.expect(status == 403, f"the same request again: it bites ({status}), and the origin never hears of it")
        good, _ = self.fleet[COMPROMISED].ask("POST", "/readings", {"Content-Type": "application/json"}, '{"celsius": 20.0}')
        self.screen.expect(good == 200, f"its good readings still pass ({good})")

    def more_exploits(self):
        self.screen.title("5  Three more of the kind, each seen once and then stopped.")
        for exploit in EXPLOITS[1:]:
            before = self.attack(exploit)
            self.patch(exploit)
            after = self.attack(exploit)
            self.screen.expect((before, after) == (200, 403), f"{exploit.name}: {before} before its rule, {after} after")
            self.wait(self.pause / 2)
        good = sum(1 for d in self.fleet.values() if d.last == 200)
        self.screen.expect(good == len(self.fleet), f"{good} of {len(self.fleet)} devices go on as if nothing had been")

    def careful_patch(self):
        name = LATEST.cve.lower()
        self.screen.title(f"6  A flaw becomes known: {LATEST.name}. Its patch is tried on the past, counts, then stops.")
        self.attack(LATEST)
        self.ringfence("patch", "new", "--cve", LATEST.cve, "--title", LATEST.name, "--class", "cameras", "--expr", LATEST.rule, show=True)
        self.wait(1)
        past = self.ringfence("patch", "replay", name, show=True)
        self.screen.expect("would have stopped 1 of" in past, "over the samples that were kept: it would have stopped the attack, and nothing else")
        self.ringfence("patch", "report", name, show=True)
        counted = self.attack(LATEST)
        self.ringfence("patch", "canary", name, "--group", 'device.name eq "camera-1"', show=True)
        self.ringfence("patch", "enforce", name, show=True)
        stopped = self.attack(LATEST)
        self.screen.expect((counted, stopped) == (200, 403), f"in report it counts ({counted}), in force it bites ({stopped})")
        self.ringfence("patch", "exposure", show=True)

    def old_protocol(self):
        self.screen.title("7  A meter speaks an old protocol over plain TCP. One command puts its port behind TLS and certificates.")
        meter = self.spawn([sys.executable, "-B", os.path.join(ROOT, "demo", "meter.py")], stdout=subprocess.PIPE)
        self.meter = free_port(5555)
        self.ringfence("port", "add", f"meters.{HOST}", "--protocol", f"tcp/{self.meter}", "--origin",
                       f"tcp://127.0.0.1:{int(meter.stdout.readline())}", "--tls", "flexible", "--client-auth", "enforce",
                       "--proxy-protocol", "v2", "--zone", ZONE, show=True)
        told = self.line_of("lock-1")
        self.screen.expect(told.endswith("of lock-1"), f"lock-1 sends a line over TLS; the service answers: {told or 'nothing'}")
        told = self.line_of(None)
        self.screen.expect(not told, f"somebody without a certificate: {told or 'refused, and the service never hears of it'}")

    def line_of(self, name):
        """What the old service answers to a line of this device; '' where it is refused."""
        context = ssl.create_default_context(cafile=os.path.join(self.dir, "ca.crt"))
        if name:
            context.load_cert_chain(os.path.join(self.dir, name + ".crt"), os.path.join(self.dir, name + ".key"))
        try:
            with socket.create_connection(("127.0.0.1", self.meter), 5) as plain, \
                    context.wrap_socket(plain, server_hostname=f"meters.{HOST}") as sock:
                sock.sendall(b"celsius 21.5\n")
                return sock.makefile().readline().strip()
        except OSError:
            return ""

    def try_it(self):
        tool, curl = self.tool, f"curl --cacert {self.dir}/ca.crt"
        mine = f"{curl} --cert {self.dir}/lock-9.crt --key {self.dir}/lock-9.key"
        at = f"https://{self.host}:{self.port}"
        self.steps([
            ("enrol a device of your own", f"{tool} device add lock-9 --class locks --out {self.dir}"),
            ("call the edge with it", f"{mine} {at}/readings"),
            ("and without it", f"{curl} {at}/readings"),
            ("write a rule", f"{tool} rule add 'http.request.uri.path contains \"/admin\"' --action block --description 'no admin pages' --zone {ZONE}"),
            ("see it bite", f"{mine} {at}/admin"),
            ("ask why", f"{tool} explain lock-9 'GET {at}/admin'"),
            ("send a line to the old service", f"(echo celsius 20; sleep 1) | openssl s_client -quiet -no_ign_eof -verify_quiet -connect 127.0.0.1:{self.meter} "
             f"-servername meters.{HOST} -CAfile {self.dir}/ca.crt -cert {self.dir}/lock-9.crt -key {self.dir}/lock-9.key"),
            ("let the edge quarantine by itself who sends what bots send", f"{tool} class edit cameras --no-flood-exempt"),
            (f"revoke the broken {COMPROMISED}; its connection ends at once", f"{tool} device revoke {COMPROMISED} --reason 'broken into'"),
            ("see who is there, and what is refused", f"{tool} device list"),
            ("", f"{tool} record list --action block"),
        ])

    def steps(self, steps):
        self.screen.title("Try it: paste these into another terminal.")
        for words, command in steps:
            if words:
                self.screen.say(self.screen.paint("dim", "# " + words))
            self.screen.say(command)
        self.screen.line()
        self.screen.say(self.screen.paint("dim", "Below: what the edge decides, as it happens. Ctrl-C ends it all."))
        self.screen.line()

    def watch(self):
        """Go on until told to stop; the broken device keeps trying."""
        n = 0
        while True:
            self.wait(6)
            if self.fleet and self.fleet[COMPROMISED].last == 200:
                exploit = EXPLOITS[n % len(EXPLOITS)]
                status, _ = self.fleet[COMPROMISED].ask(exploit.method, exploit.path, exploit.headers, exploit.body)
                if status == 200:
                    self.screen.expect(False, f"{exploit.name} passed the edge")
                n += 1
            self.screen.summary()

    def serve_own(self):
        """The user's own origin behind the edge, and one device that may call it."""
        self.start_edge()
        self.places(self.options.origin)
        self.ringfence("app", "add", "mine", "--host", self.host, "--origin", self.options.origin)
        self.ringfence("class", "add", "devices")
        connection = self.enrol("device-1", "devices")
        self.screen.title("1  A device is enrolled and calls your origin through the edge.")
        status, text = connection.ask("GET", "/")
        self.wait(0.3)
        self.screen.expect(status not in (0, 502, 503, 504), f"GET / through the edge: {status or text}")
        status, _ = self.connection().ask("GET", "/")
        self.wait(0.3)
        self.screen.expect(status == 403, f"the same without a certificate: refused at the edge with {status}")
        resolve = "" if self.host.endswith("localhost") else f" --resolve {self.host}:{self.port}:127.0.0.1"
        curl, at = f"curl --cacert {self.dir}/ca.crt{resolve}", f"https://{self.host}:{self.port}"
        mine = f"{curl} --cert {self.dir}/device-1.crt --key {self.dir}/device-1.key"
        self.steps([
            ("call your origin as device-1", f"{mine} {at}/"),
            ("and as nobody", f"{curl} {at}/"),
            ("enrol another device", f"{self.tool} device add device-2 --class devices --out {self.dir}"),
            ("write a rule", f"{self.tool} rule add 'http.request.uri.path contains \"/admin\"' --action block --description 'no admin pages'"),
            ("see it bite", f"{mine} {at}/admin"),
            ("revoke device-1", f"{self.tool} device revoke device-1 --reason 'a test'"),
        ])
        self.watch()

    def main(self):
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            signal.signal(number, lambda *_: self.over.set())
        told = False
        try:
            self.serve_own() if self.options.origin else self.play()
        except Stop:
            told = True
        except Failed as error:
            self.screen.line()
            self.screen.expect(False, str(error))
        finally:
            accepted = sum(d.accepted for d in self.fleet.values())
            self.stop()
        self.screen.line()
        words = f"{accepted} readings of {len(self.fleet)} devices reached the origin. " if self.fleet else ""
        self.screen.say(words + ("All as told. " if told and not self.screen.failed else "Not all as told. ") + "Everything is stopped.")
        return 1 if self.screen.failed or not told else 0


def options():
    parser = argparse.ArgumentParser(prog="./run", description="An edge with a fleet in front of it and an origin behind it.")
    parser.add_argument("--origin", metavar="URL", help="your own origin instead of the demonstration")
    parser.add_argument("--host", metavar="NAME", help="the host that the edge serves it under")
    parser.add_argument("--for", dest="seconds", type=float, metavar="SECONDS", help="stop by itself")
    given = parser.parse_args()
    if bool(given.origin) != bool(given.host):
        parser.error("--origin and --host belong together")
    if given.origin and (urlsplit(given.origin).scheme not in ("http", "https") or not urlsplit(given.origin).hostname):
        parser.error("--origin is http://host:port or https://host:port")
    return given


if __name__ == "__main__":
    sys.stdout.reconfigure(errors="replace", line_buffering=True)
    sys.exit(Demo(options()).main())
