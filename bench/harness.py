"""Processes, CPU time, memory and statistics for the benchmarks.

Server processes live on CPU 0, generator, origin and this script on CPU 1. Whatever is started here is
ended here, by its pid, also on Ctrl-C (see Lab).
"""
import json
import os
import shutil
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import time

HERE = os.path.dirname(os.path.abspath(__file__))
ROOT = os.path.dirname(HERE)
SERVER_CPU, LOAD_CPU = 0, 1
TICK = 1 / os.sysconf("SC_CLK_TCK")
PACKAGES = "nginx libnginx-mod-stream haproxy nftables valgrind strace"


class Failed(Exception):
    """A server, a generator or an answer that is not as it should be."""


class Lab:
    """A temporary directory and the processes of one run; leaving it ends and removes all."""

    def __init__(self, build):
        self.build = build
        self.children = []
        self.next_port = 20000 + os.getpid() % 200 * 60  # below the ephemeral ports
        self.dir = self.pki = None
        self.origin_port = None
        self.origin = None

    def __enter__(self):
        if os.geteuid() or not {SERVER_CPU, LOAD_CPU} <= os.sched_getaffinity(0):
            raise Failed("this needs root and two CPUs")
        signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
        os.sched_setaffinity(0, {LOAD_CPU})
        self.dir = tempfile.mkdtemp(prefix="ringfence-bench-")
        os.chmod(self.dir, 0o755)
        self.pki = os.path.join(self.dir, "pki")
        os.makedirs(self.pki)
        return self

    def __exit__(self, *_):
        for child in reversed(list(self.children)):
            self.stop(child)
        shutil.rmtree(self.dir, ignore_errors=True)

    def port(self):
        """A port that nobody has: the tests may run beside us."""
        while True:
            self.next_port += 1
            with socket.socket() as s:
                try:
                    s.bind(("127.0.0.1", self.next_port))
                    return self.next_port
                except OSError:
                    pass

    def program(self, name):
        path = os.path.join(self.build, "bench", name)
        if not os.path.exists(path):
            raise Failed(f"{path} is missing: meson setup --buildtype=release {self.build}; ninja -C {self.build}")
        return path

    def spawn(self, command, cpu=LOAD_CPU, realtime=False, **more):
        def prepare():
            os.sched_setaffinity(0, {cpu})
            if realtime:
                os.sched_setscheduler(0, os.SCHED_FIFO, os.sched_param(10))
        try:
            child = subprocess.Popen(command, preexec_fn=prepare, start_new_session=True, **more)
        except FileNotFoundError as missing:
            raise Failed(f"{command[0]} is missing: apt-get install {PACKAGES}") from missing
        self.children.append(child)
        return child

    def stop(self, child, grace=3):
        if child in self.children:
            self.children.remove(child)
        left = family(child.pid) if child.poll() is None else []
        if child.poll() is None:
            child.terminate()
        try:
            child.wait(grace)
        except subprocess.TimeoutExpired:
            child.kill()
            child.wait()
        for pid in left:
            if pid != child.pid and still_runs(pid):
                os.kill(pid, signal.SIGKILL)

    def start_origin(self, realtime=False):
        self.origin_port = self.port()
        self.origin = self.spawn([self.program("bench-origin"), str(self.origin_port)], realtime=realtime,
                                 stdout=subprocess.PIPE, text=True)
        if self.origin.stdout.readline() != "ready\n":
            raise Failed("the origin does not start")


def still_runs(pid):
    """Whether a process that outlived its stopped parent is still there."""
    try:
        with open(f"/proc/{pid}/stat") as f:
            return f.read().rsplit(")", 1)[1].split()[0] != "Z"
    except OSError:
        return False


class Load:
    """One bench-load process; every command is answered by a dict."""

    def __init__(self, lab, mode, port, first=0, count=64, conns=8, realtime=False, **more):
        command = [lab.program("bench-load"), mode, "--port", port, "--first", first, "--count", count,
                   "--conns", conns, "--devices", os.path.join(lab.pki, "devices.pem"),
                   "--chain", os.path.join(lab.pki, "device-int.pem")]
        for key, value in more.items():
            command += ["--" + key, value]
        self.lab = lab
        self.child = lab.spawn([str(part) for part in command], realtime=realtime, stdin=subprocess.PIPE,
                               stdout=subprocess.PIPE, text=True)
        self.ask("echo")

    def begin(self, command):
        self.child.stdin.write(command + "\n")
        self.child.stdin.flush()

    def end(self):
        line = self.child.stdout.readline()
        if not line:
            raise Failed("the generator died")
        return json.loads(line)

    def ask(self, command, may_fail=False):
        self.begin(command)
        answer = self.end()
        if answer["bad"] and not may_fail:
            raise Failed(f"{command}: {answer['bad']} of {answer['units']} units bad: {answer['error']}")
        return answer

    def stop(self):
        self.child.stdin.close()
        self.lab.stop(self.child)


def family(pid):
    """`pid` and all its descendants."""
    parents = {}
    for entry in os.listdir("/proc"):
        if entry.isdigit():
            try:
                with open(f"/proc/{entry}/stat") as f:
                    parents[int(entry)] = int(f.read().rsplit(")", 1)[1].split()[1])
            except OSError:
                pass
    found = [pid]
    for candidate in found:
        found += [child for child, parent in parents.items() if parent == candidate]
    return found


def thread_ns(pids):
    """{thread: its CPU time so far} of all threads of `pids`."""
    used = {}
    for pid in pids:
        try:
            for task in os.listdir(f"/proc/{pid}/task"):
                with open(f"/proc/{pid}/task/{task}/schedstat") as f:
                    used[int(task)] = int(f.read().split()[0])
        except OSError:
            pass
    return used


def cpu_ns(pids):
    """CPU time of all threads of `pids` so far."""
    return sum(thread_ns(pids).values())


def pss_bytes(pids):
    """Memory of `pids`, shared or their own. Not pages of files, of which each has a share that depends on what else runs."""
    total = 0
    for pid in pids:
        with open(f"/proc/{pid}/smaps_rollup") as f:
            total += sum(int(line.split()[1]) * 1024 for line in f if line.startswith(("Pss_Anon:", "Pss_Shmem:")))
    return total


def machine():
    """(seconds busy on the servers' CPU, seconds stolen from both)."""
    busy = stolen = 0
    with open("/proc/stat") as f:
        for line in f:
            part = line.split()
            if part[0] in (f"cpu{SERVER_CPU}", f"cpu{LOAD_CPU}"):
                stolen += int(part[8]) * TICK
            if part[0] == f"cpu{SERVER_CPU}":
                busy = sum(int(part[i]) for i in (1, 2, 3, 6, 7)) * TICK
    return busy, stolen


def timed_round(server, work):
    """Run `work()`; give (its answer, CPU seconds of the server, share of the time that others disturbed)."""
    pids = server.pids()
    busy, stolen = machine()
    start, used = time.monotonic(), cpu_ns(pids)
    answer = work()
    time.sleep(0.005)  # the server sees the last closes
    used = (cpu_ns(pids) - used) / 1e9
    busy_after, stolen_after = machine()
    other = max(0, busy_after - busy - used - 2 * TICK) + stolen_after - stolen
    return answer, used, other / (time.monotonic() - start)


def spread(values):
    """(median, low, high): low and high are the first and last decile."""
    if len(values) < 3:
        return statistics.median(values), min(values), max(values)
    deciles = statistics.quantiles(values, n=10, method="inclusive")
    return statistics.median(values), deciles[0], deciles[-1]


def wait_port(port, child, seconds=10):
    """Until something listens on `port`."""
    needle = f"0100007F:{port:04X} 00000000:0000 0A"
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        with open("/proc/net/tcp") as f:
            if needle in f.read():
                return
        if child.poll() is not None:
            break
        time.sleep(0.01)
    raise Failed(f"nothing listens on port {port}")
