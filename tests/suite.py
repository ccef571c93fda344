"""Runs every part of the tests to its end, whatever fails, and counts them.

    ./test [PART...]     all parts, or those named: checks unit scenario client counts clang

Files of scenarios run a few at a time, each a pytest of its own; then, by themselves, the tests that are marked `alone`. SCENARIO="-k NAME"
gives options to pytest. Each part builds what it needs and gives its numbers of passed and failed tests. The last line on standard
output is "N passed, N failed"; the exit status is 1 where any failed. Whole output of each tool is kept in
build/test-logs/.
"""
import glob
import json
import os
import re
import signal
import subprocess
import sys
import time
import xml.etree.ElementTree as xml

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
LOGS = os.path.join(ROOT, "build", "test-logs")
ASAN = os.path.join("build", "asan")
RELEASE = os.path.join("build", "release")
CLANG = os.path.join("build", "clang")
SANITIZERS = {
    "ASAN_OPTIONS": "detect_leaks=1:abort_on_error=0:detect_stack_use_after_return=0",
    "UBSAN_OPTIONS": "print_stacktrace=1:halt_on_error=1",
}
SETUP = {
    ASAN: ["-Db_sanitize=address,undefined", "-Db_lundef=false", "--buildtype=debugoptimized"],
    RELEASE: ["--buildtype=release", "-Dtests=false"],
    CLANG: ["--buildtype=plain", "-Doptimization=0"],
}
FAILURES_SHOWN = 40   # lines of output a failed step shows
LIMIT = 20 * 60       # seconds of one command
TOGETHER = min(3, 1 + (os.cpu_count() or 1))  # files of scenarios at a time: most of the time they wait
# Files of scenarios to begin with, or the last one would run by itself for long:
LONGEST = ("test_tls", "test_vectors", "test_access", "test_fleet_net", "test_ports", "test_packets", "test_run", "test_confirm", "test_life", "test_patch", "test_fleet",
           "test_lists", "test_pack", "test_mqtt_flood")
NO_TESTS = 5          # pytest's exit status where all tests of a file are run elsewhere


class Count:
    """What one part has shown."""

    def __init__(self):
        self.passed = self.failed = 0

    def add(self, good, name="", words=""):
        if good:
            self.passed += 1
        else:
            self.failed += 1
            say(f"  FAILED {name}")
            if words:
                say("    " + "\n    ".join(words.strip().splitlines()[-FAILURES_SHOWN:]))


def say(words):
    print(words, flush=True)


def run(command, log, seconds=LIMIT, **more):
    """Run to the end with output to a log; gives the exit status and the text."""
    env = {**os.environ, **SANITIZERS, **more.pop("env", {})}
    path = os.path.join(LOGS, log)
    with open(path, "w+", errors="replace") as out:
        try:
            status = subprocess.run(command, stdin=subprocess.DEVNULL, stdout=out, stderr=subprocess.STDOUT,
                                    cwd=more.pop("cwd", ROOT), env=env, timeout=seconds, check=False, **more).returncode
        except subprocess.TimeoutExpired:
            out.write(f"\nstopped after {seconds} s\n")
            status = 124
        except OSError as error:
            out.write(f"{command[0]}: {error.strerror}\n")
            status = 127
        out.flush()
        out.seek(0)
        return status, out.read()


def build(where, count, *targets, compiler="gcc"):
    """Configure and build, all or these targets; a build that fails counts as a failed test."""
    say(f"  building {where}")
    name = os.path.basename(where)
    if not os.path.exists(os.path.join(ROOT, where, "build.ninja")):
        status, words = run(["meson", "setup", where, *SETUP[where]], f"setup-{name}.log", env={"CC": compiler})
        if status:
            count.add(False, f"meson setup {where}", words)
            return False
    status, words = run(["ninja", "-C", where, *targets], f"build-{name}.log")
    count.add(status == 0, f"build of {where}", words)
    return status == 0


def checks(count):
    """The rules of the tree: who may include whom, paths in documents, words."""
    tools = os.path.join(ROOT, "tools")
    for name in sorted(os.listdir(tools)):
        if name.startswith("check-") and os.access(os.path.join(tools, name), os.X_OK):
            status, words = run([os.path.join("tools", name)], name + ".log", 120)
            count.add(status == 0, "tools/" + name, words)


def unit(count):
    """Unit tests, each of them counted, and the kept corpora of the fuzzers."""
    if not build(ASAN, count):
        return
    path = os.path.join(ROOT, ASAN, "meson-logs", "testlog.json")
    if os.path.exists(path):
        os.unlink(path)
    status, words = run(["meson", "test", "-C", ASAN, "--no-rebuild", "--suite", "unit", "--suite", "fuzz"], "unit.log")
    if not os.path.exists(path):
        count.add(False, "meson test", words)
        return
    shown = count.failed
    with open(path, errors="replace") as log:
        for line in log:
            test = json.loads(line)
            words = (test.get("stdout") or "") + (test.get("stderr") or "")
            passed = sum(int(n) for n in re.findall(r"^\[  PASSED  \] (\d+) test", words, re.M))
            failed = sum(int(n) for n in re.findall(r"^ *(\d+) FAILED TEST", words, re.M))
            good = test["result"] == "OK"
            count.passed += passed if passed or failed else good
            count.failed += max(failed, 1) if not good else 0
            if not good:
                say(f"  FAILED {test['name']} ({test['result']})")
                say("    " + "\n    ".join(interesting(words)))
    if status and count.failed == shown:
        count.add(False, "meson test", words)


def interesting(words):
    """Lines that tell what went wrong in a unit test."""
    lines = [line for line in words.splitlines() if not re.match(r"\[ +(OK|RUN) +\]", line)]
    return lines[-FAILURES_SHOWN:]


def scenario(count):
    """The whole edge with real clients."""
    if not build(ASAN, count, "ringfenced", "ringfence") or not build(RELEASE, count):
        return
    for old in glob.glob(os.path.join(LOGS, "scenario*")):
        os.unlink(old)
    names = sorted((os.path.basename(path)[:-3] for path in glob.glob(os.path.join(ROOT, "tests", "scenario", "test_*.py"))),
                   key=lambda name: (LONGEST.index(name) if name in LONGEST else len(LONGEST), name))
    say(f"  tests/scenario with build/asan, {TOGETHER} files at a time")
    in_turn([Scenario(f"scenario-{name}", "not alone", f"tests/scenario/{name}.py") for name in names], count)
    say("  those that want the machine for themselves")
    in_turn([Scenario("scenario-alone", "alone", "tests/scenario")], count)


class Scenario:
    """A pytest of some tests, as a process of its own."""

    def __init__(self, name, marked, what):
        self.name = name
        self.report = os.path.join(LOGS, name + ".xml")
        self.log = os.path.join(LOGS, name + ".log")
        self.command = [sys.executable, "-B", "-m", "pytest", "-q", "-ra", "-p", "no:cacheprovider", "-m", marked,
                        "--durations=10", "--junitxml", self.report, what, *os.environ.get("SCENARIO", "").split()]

    def start(self):
        with open(self.log, "w") as out:
            self.child = subprocess.Popen(self.command, stdin=subprocess.DEVNULL, stdout=out, stderr=subprocess.STDOUT, cwd=ROOT,
                                          env={**os.environ, **SANITIZERS})
        self.end, self.asked = time.monotonic() + LIMIT, False
        return self

    def over(self):
        """Whether it has ended. One that takes too long is interrupted, so that it ends what it has started, and in the end killed."""
        if self.child.poll() is not None:
            return True
        late = time.monotonic() - self.end
        if late > 60:
            self.child.kill()
        elif late > 0 and not self.asked:
            self.asked = True
            self.child.send_signal(signal.SIGINT)
        return False

    def finish(self):
        """Wait until it has ended what it has started; not for ever."""
        try:
            self.child.wait(60)
        except subprocess.TimeoutExpired:
            self.child.kill()
            self.child.wait()

    def tell(self, count):
        with open(self.log, errors="replace") as log:
            words = log.read()
        if not os.path.exists(self.report):
            count.add(False, self.name, words)
            return
        for case in xml.parse(self.report).getroot().iter("testcase"):
            bad = [part for part in case if part.tag in ("failure", "error")]
            if any(part.tag == "skipped" for part in case):
                say(f"  skipped {case.get('name')}: {case.find('skipped').get('message')}")
                continue
            count.add(not bad, f"{case.get('classname')}.{case.get('name')}",
                      bad[0].text + "\n" + bad[0].get("message", "") if bad else "")
        if self.child.returncode not in (0, 1, NO_TESTS):
            count.add(False, f"{self.name} (exit status {self.child.returncode})", words)


def in_turn(waiting, count):
    """Run them all, so many at a time. Who interrupts us interrupts them too, and they end what they have started."""
    running = []
    try:
        while waiting or running:
            while waiting and len(running) < TOGETHER:
                running.append(waiting.pop(0).start())
            for one in [one for one in running if one.over()]:
                running.remove(one)
                one.tell(count)
            time.sleep(0.05)
    except KeyboardInterrupt:
        for one in running:
            one.finish()
        raise


def client(count):
    """The official client of the documented API, unmodified."""
    where = os.path.join(ROOT, "tests", "client")
    if not build(ASAN, count):
        return
    if not os.path.isdir(os.path.join(where, "node_modules", "cloudflare")):
        status, words = run(["npm", "ci", "--no-audit", "--no-fund"], "npm.log", 300, cwd=where)
        if status:
            count.add(False, "npm ci in tests/client", words)
            return
    say("  tests/client with node, against build/asan/ringfenced")
    sys.path.insert(0, os.path.join(ROOT, "tests", "scenario"))
    from edge import Edge
    edge = Edge()
    try:
        edge.start()
        scope = {"effect": "allow", "permission_groups": [{"id": "*"}],
                 "resources": {f"com.ringfence.api.account.{edge.account}": "*"}}
        token = edge.api("POST", "/user/tokens", {"name": "client", "policies": [scope]})["value"]
        roots = os.path.join(edge.dir, "api-ca.crt")
        with open(roots, "w") as f:
            f.write(edge.cli("ca", "show", check=0).stdout)
        status, words = run(["node", "--test", "--test-reporter=tap"], "client.log", 300, cwd=where, env={
            "BASE_URL": f"https://127.0.0.1:{edge.api_port}/client/v4", "TOKEN": token, "NODE_EXTRA_CA_CERTS": roots})
    finally:
        edge.stop()
    passed = [int(n) for n in re.findall(r"^# pass (\d+)", words, re.M)]
    failed = [int(n) for n in re.findall(r"^# (?:fail|cancelled) (\d+)", words, re.M)]
    count.passed += sum(passed)
    if status or not passed or any(failed):
        count.add(False, "node --test", words)
        count.failed += max(sum(failed) - 1, 0)


def counts(count):
    """Instructions, system calls and bytes a unit, against the kept figures."""
    if not os.path.exists(os.path.join(ROOT, "bench", "figures.json")):
        say("  no figures are kept yet")
        return
    if os.geteuid() or (os.cpu_count() or 1) < 2:
        say("  skipped: needs root and two CPUs")
        return
    if not build(RELEASE, count):
        return
    status, words = run([sys.executable, "-B", "bench/run", "counts", "--check"], "counts.log")
    count.add(status == 0, "bench/run counts --check", words)


def clang(count):
    """No warning of the other compiler."""
    build(CLANG, count, compiler="clang")


PARTS = {"checks": checks, "unit": unit, "scenario": scenario, "client": client, "counts": counts, "clang": clang}


def main(names):
    unknown = [name for name in names if name not in PARTS]
    if unknown:
        print(f"./test: no part \"{unknown[0]}\": {' '.join(PARTS)}", file=sys.stderr)
        return 2
    os.makedirs(LOGS, exist_ok=True)
    whole = Count()
    for name in names or PARTS:
        part, start = Count(), time.monotonic()
        say(f"{name}: {PARTS[name].__doc__}")
        try:
            PARTS[name](part)
        except KeyboardInterrupt:
            say("interrupted")
            return 130
        except Exception as error:  # a part that breaks must not hide the others
            part.add(False, name, repr(error))
        say(f"  {part.passed} passed, {part.failed} failed in {time.monotonic() - start:.0f} s")
        whole.passed += part.passed
        whole.failed += part.failed
    say(f"{whole.passed} passed, {whole.failed} failed")
    return 1 if whole.failed or not whole.passed else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
