"""Runs every part of the tests to its end, whatever fails, and counts them.

    ./test [PART...]     all parts, or those named: checks unit scenario client counts clang

A part is some jobs, each a tool that runs in a process of its own. Jobs that wait most of the time (files of scenarios) run a few at a
time, and beside them, one at a time and behind them where both want a processor, those that work (builds, unit tests, counts): see
`plan`. What is marked `alone` runs at the end, by itself. SCENARIO="-k NAME" gives options to pytest. The last line on standard
output is "N passed, N failed"; the exit status is 1 where any failed. Whole output of each tool is kept in build/test-logs/.
"""
import glob
import json
import os
import re
import signal
import subprocess
import sys
import threading
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
GRACE = 60            # and that it has to end what it has started
TOGETHER = min(3, 1 + (os.cpu_count() or 1))  # jobs at a time that wait most of the time
WAITS, WORKS, ALONE = "waits", "works", "alone"
ROOM = {WAITS: TOGETHER, WORKS: 1, ALONE: 1}
BESIDE, BEHIND = 5, 19  # niceness of work that something waits for, and that nothing does
# Files of scenarios to begin with, or the last one would run by itself for long:
LONGEST = ("test_tls", "test_vectors", "test_access", "test_fleet_net", "test_ports", "test_packets", "test_run", "test_confirm", "test_life", "test_patch", "test_fleet",
           "test_lists", "test_pack", "test_mqtt_flood")
USES_RELEASE = r'RELEASE|fast_origin|ROOT, "run"'  # in a file of scenarios; ./run makes it, if nobody has
NO_TESTS = 5          # pytest's exit status where all tests of a file are run elsewhere
PARTS = {
    "checks": "The rules of the tree: who may include whom, paths in documents, words.",
    "unit": "Unit tests, each of them counted, and the kept corpora of the fuzzers.",
    "scenario": "The whole edge with real clients.",
    "client": "The official client of the documented API, unmodified.",
    "counts": "Instructions, system calls and bytes a unit, against the kept figures.",
    "clang": "No warning of the other compiler.",
}

saying = threading.Lock()
children = set()
interrupted = threading.Event()


def say(words):
    """What ends because it was interrupted has nothing to say."""
    with saying:
        if not interrupted.is_set():
            print(words, flush=True)


class Count:
    """What one job has shown."""

    def __init__(self):
        self.passed = self.failed = 0

    def add(self, good, name="", words=""):
        if good:
            self.passed += 1
        else:
            self.failed += 1
            say("\n    ".join([f"  FAILED {name}", *words.strip().splitlines()[-FAILURES_SHOWN:]]))


class Job:
    """`work(count)` of a part, in a thread of its own, when all jobs that it needs have gone well and there is room in its lane."""

    def __init__(self, part, name, work, needs=(), lane=WORKS):
        self.part, self.name, self.work, self.needs, self.lane = part, name, work, needs, lane
        self.count, self.over, self.thread = Count(), False, threading.Thread(target=self.life, daemon=True)

    def life(self):
        start = time.monotonic()
        if any(need.count.failed for need in self.needs):
            say(f"  not run: {self.name}")
        else:
            try:
                self.work(self.count)
            except Exception as error:  # a job that breaks must not hide the others
                self.count.add(False, self.name, repr(error))
            say(f"  {self.part}: {self.name}: {self.count.passed} passed, {self.count.failed} failed in {time.monotonic() - start:.0f} s")
        self.over = True

    def running(self):
        return self.thread.is_alive() and not self.over

    def may_begin(self, jobs):
        if self.thread.ident or not all(need.over for need in self.needs):
            return False
        if self.lane == ALONE:
            return all(job.over for job in jobs if job is not self and job.lane != ALONE) and not any(job.running() for job in jobs)
        return sum(job.lane == self.lane for job in jobs if job.running()) < ROOM[self.lane]


def run(command, log, seconds=LIMIT, nice=0, env=(), **more):
    """Run to the end with output to a log; gives the exit status and the text."""
    with open(os.path.join(LOGS, log), "w+", errors="replace") as out:
        try:
            child = subprocess.Popen(["nice", "-n", str(nice), *command] if nice else command, stdin=subprocess.DEVNULL, stdout=out,
                                     stderr=subprocess.STDOUT, env={**os.environ, **SANITIZERS, **dict(env)}, **{"cwd": ROOT, **more})
            children.add(child)
            status = ended(child, 0 if interrupted.is_set() else seconds, out)
            children.discard(child)
        except OSError as error:
            out.write(f"{command[0]}: {error.strerror}\n")
            status = 127
        out.flush()
        out.seek(0)
        return status, out.read()


def ended(child, seconds, out):
    """Its exit status. One that takes too long is interrupted, so that it ends what it has started, and in the end killed."""
    try:
        return child.wait(seconds)
    except subprocess.TimeoutExpired:
        out.write(f"\nstopped after {seconds} s\n")
        child.send_signal(signal.SIGINT)
    finish(child)
    return 124


def finish(child):
    try:
        child.wait(GRACE)
    except subprocess.TimeoutExpired:
        child.kill()
        child.wait()


def build(where, *targets, nice=0):
    """The work to configure and build, all or these targets; a build that fails counts as a failed test."""
    def work(count):
        if set_up(where, count, nice=nice):
            name = "-".join(["build", os.path.basename(where), *targets[:1]])
            status, words = run(["ninja", "-C", where, *targets], name + ".log", nice=nice)
            count.add(status == 0, f"build of {where}", words)
    return work


def set_up(where, count, compiler="gcc", nice=0):
    if os.path.exists(os.path.join(ROOT, where, "build.ninja")):
        return True
    status, words = run(["meson", "setup", where, *SETUP[where]], f"setup-{os.path.basename(where)}.log", nice=nice, env={"CC": compiler})
    if status:
        count.add(False, f"meson setup {where}", words)
    return status == 0


def checks(count):
    tools = os.path.join(ROOT, "tools")
    for name in sorted(os.listdir(tools)):
        if name.startswith("check-") and os.access(os.path.join(tools, name), os.X_OK):
            status, words = run([os.path.join("tools", name)], name + ".log", 120)
            count.add(status == 0, "tools/" + name, words)


def unit(count):
    path = os.path.join(ROOT, ASAN, "meson-logs", "testlog.json")
    if os.path.exists(path):
        os.unlink(path)
    status, words = run(["meson", "test", "-C", ASAN, "--no-rebuild", "--suite", "unit", "--suite", "fuzz"], "unit.log", nice=BESIDE)
    if not os.path.exists(path):
        count.add(False, "meson test", words)
        return
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
                say("\n    ".join([f"  FAILED {test['name']} ({test['result']})", *interesting(words)]))
    if status and not count.failed:
        count.add(False, "meson test", words)


def interesting(words):
    """Lines that tell what went wrong in a unit test."""
    lines = [line for line in words.splitlines() if not re.match(r"\[ +(OK|RUN) +\]", line)]
    return lines[-FAILURES_SHOWN:]


def scenario(name, marked, what):
    """The work to run a pytest of some tests."""
    def work(count):
        report, log = os.path.join(LOGS, name + ".xml"), name + ".log"
        status, words = run([sys.executable, "-B", "-m", "pytest", "-q", "-ra", "-p", "no:cacheprovider", "-m", marked, "--durations=10",
                             "--junitxml", report, what, *os.environ.get("SCENARIO", "").split()], log)
        if not os.path.exists(report):
            count.add(False, name, words)
            return
        for case in xml.parse(report).getroot().iter("testcase"):
            bad = [part for part in case if part.tag in ("failure", "error")]
            if any(part.tag == "skipped" for part in case):
                say(f"  skipped {case.get('name')}: {case.find('skipped').get('message')}")
                continue
            count.add(not bad, f"{case.get('classname')}.{case.get('name')}",
                      bad[0].text + "\n" + bad[0].get("message", "") if bad else "")
        if status not in (0, 1, NO_TESTS):
            count.add(False, f"{name} (exit status {status})", words)
    return work


def scenarios(programs, release):
    """The jobs of the whole edge with real clients. A file that never speaks of the release build does not wait for it."""
    for old in glob.glob(os.path.join(LOGS, "scenario*")):
        os.unlink(old)
    paths = glob.glob(os.path.join(ROOT, "tests", "scenario", "test_*.py"))
    for path in sorted(paths, key=lambda path: order(os.path.basename(path)[:-3])):
        name = os.path.basename(path)[:-3]
        with open(path) as f:
            needs = (programs, release) if re.search(USES_RELEASE, f.read()) else (programs,)
        yield Job("scenario", name, scenario(f"scenario-{name}", "not alone", f"tests/scenario/{name}.py"), needs, WAITS)
    yield Job("scenario", "those that want the machine for themselves", scenario("scenario-alone", "alone", "tests/scenario"),
              (programs, release), ALONE)


def order(name):
    return LONGEST.index(name) if name in LONGEST else len(LONGEST), name


def client(count):
    where = os.path.join(ROOT, "tests", "client")
    if not os.path.isdir(os.path.join(where, "node_modules", "cloudflare")):
        status, words = run(["npm", "ci", "--no-audit", "--no-fund"], "npm.log", 300, cwd=where)
        if status:
            count.add(False, "npm ci in tests/client", words)
            return
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
    if not os.path.exists(os.path.join(ROOT, "bench", "figures.json")):
        say("  no figures are kept yet")
        return
    if os.geteuid() or (os.cpu_count() or 1) < 2:
        say("  skipped: needs root and two CPUs")
        return
    status, words = run([sys.executable, "-B", "bench/run", "counts", "--check"], "counts.log", nice=BESIDE)
    count.add(status == 0, "bench/run counts --check", words)


def clang(count):
    """All sources are read, and no code is made of them."""
    if not set_up(CLANG, count, "clang", BEHIND):
        return
    status, words = run(["ninja", "-C", CLANG, "-t", "targets", "rule", "CUSTOM_COMMAND"], "clang-made.log")
    made = re.findall(r"^\S+\.[ch]$", words, re.M)
    if not status:
        status, words = run(["ninja", "-C", CLANG, *made], "build-clang.log", nice=BEHIND)
    if not status:
        write_looks(os.path.join(ROOT, CLANG))
        status, words = run(["ninja", "-C", CLANG, "-f", "looks.ninja", "-k", "0"], "clang.log", nice=BEHIND)
    count.add(status == 0, "reading of all with clang", words)


def write_looks(where):
    """A ninja file by which each source that meson would compile there is looked at again when it, or what it includes, has changed."""
    with open(os.path.join(where, "compile_commands.json")) as f:
        rows = json.load(f)
    with open(os.path.join(where, "looks.ninja"), "w") as f:
        f.write("builddir = looks\nrule look\n  command = $words -fsyntax-only -MD -MQ $out -MF $out.d && touch $out\n"
                "  depfile = $out.d\n  deps = gcc\n")
        for row in rows:
            words = re.sub(r" -(MD|(o|MQ|MF) \S+)", "", row["command"]).replace("$", "$$")
            f.write(f"build looks/{row['output']}: look {row['file']}\n  words = {words}\n")


def plan(names):
    """The jobs of these parts, in the order in which they begin where they may. First what scenarios need, then what works while they
    wait: compiled before it is run."""
    programs = Job("build", ASAN, build(ASAN, "ringfenced", "ringfence"))
    release = Job("build", RELEASE, build(RELEASE, nice=BESIDE), (programs,))
    tests = Job("build", f"{ASAN}, its tests", build(ASAN, nice=BEHIND), (programs,))
    jobs = {
        "checks": [Job("checks", "tools/check-*", checks, lane=WAITS)],
        "scenario": [programs, release, *scenarios(programs, release)],
        "client": [programs, Job("client", "tests/client with node", client, (programs,), WAITS)],
        "unit": [programs, tests, Job("unit", "meson test", unit, (tests,))],
        "counts": [programs, release, Job("counts", "bench/run counts", counts, (release,))],
        "clang": [Job("clang", "reading all", clang)],
    }
    return list(dict.fromkeys(job for name in jobs if name in names for job in jobs[name]))


def run_all(jobs):
    """Who interrupts us interrupts what runs too, and it ends what it has started."""
    try:
        while not all(job.over for job in jobs):
            for job in jobs:
                if job.may_begin(jobs):
                    job.thread.start()
            time.sleep(0.05)
    except KeyboardInterrupt:
        interrupted.set()
        for child in list(children):
            finish(child)
        raise


def main(names):
    unknown = [name for name in names if name not in PARTS]
    if unknown:
        print(f"./test: no part \"{unknown[0]}\": {' '.join(PARTS)}", file=sys.stderr)
        return 2
    os.makedirs(LOGS, exist_ok=True)
    start, names = time.monotonic(), names or list(PARTS)
    for name in names:
        say(f"{name}: {PARTS[name]}")
    jobs = plan(names)
    try:
        run_all(jobs)
    except KeyboardInterrupt:
        print("interrupted")
        return 130
    for part in dict.fromkeys(job.part for job in jobs):
        passed, failed = (sum(getattr(job.count, what) for job in jobs if job.part == part) for what in ("passed", "failed"))
        say(f"{part}: {passed} passed, {failed} failed")
    passed, failed = (sum(getattr(job.count, what) for job in jobs) for what in ("passed", "failed"))
    say(f"in {time.monotonic() - start:.0f} s")
    say(f"{passed} passed, {failed} failed")
    return 1 if failed or not passed else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
