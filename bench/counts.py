"""bench/run counts: what a unit of work costs, free of noise, against the figures kept in figures.json.

    KIND.instructions   of the worker's thread under callgrind
    KIND.syscalls       of all processes under strace
    idle.bytes          PSS of an idle connection, without that of files
    evaluation-N.instructions  of the evaluation of N rules for a request, alone

The first two are the cost of N2 units less that of N1 units, divided by N2 - N1, over one connection at a
time; "replace" is a rule of a ruleset whose rules are all replaced by others, of the thread that does it; "rules" is a keepalive request with RULES rules loaded, "relay" a small request and its answer through an app of a TCP port
without TLS, "relay-new" a connection with one. `--check` fails where a figure rose by more than
RISE, `--update` writes the file.
"""
import json
import os
import re
import signal
import statistics
import subprocess
import tempfile
import time

import harness
import pki
import push
import rules
from harness import Failed, Lab, Load
from servers import Ringfence, RingfencePort

FIGURES = os.path.join(harness.HERE, "figures.json")
RISE = 1.05
RULES = 1000
EVALUATED = (10, 1000)
DEVICES = 16
IDLE = (1000, 9000)  # connections at which memory is looked at
IDLE_SERVERS = 3
WARM = "rate 1000 12"  # fills what the detection of floods keeps of requests
# Calls whose number is the work's, not the scheduler's: a wait more or less says nothing.
IO_CALLS = {"accept4", "recvfrom", "sendto", "sendmsg", "connect", "socket", "setsockopt", "close", "epoll_ctl"}
KINDS = {"full": ("full", 20, 60), "resumed": ("resume", 20, 60), "keepalive": ("keep", 200, 1000)}
REPLACED = (25000, 50000)
RELAYED = {"relay": ("keep", 200, 1000), "relay-new": ("full", 50, 250)}


class Callgrind:
    """The instructions that a thread of a process under callgrind has executed, by the dumps it writes when asked."""

    def __init__(self, directory):
        self.dir = directory
        self.prefix = f"--vgdb-prefix={directory}/vgdb"
        self.wrapper = ["valgrind", "--tool=callgrind", "--quiet", "--trace-children=yes", "--separate-threads=yes", self.prefix,
                        f"--callgrind-out-file={directory}/out.%p"]

    def count(self, pid, work):
        """Instructions while `work()` runs, of the thread of `pid` that executes most: the only worker. What the others do at
        their times is not the work's."""
        self.dump(pid)
        work()
        return max(total(dump) for dump in self.dump(pid))

    def dump(self, pid):
        """The dumps of all threads."""
        before = set(os.listdir(self.dir))
        subprocess.run(["callgrind_control", self.prefix, "--dump", str(pid)], check=True, capture_output=True)
        new = [f for f in set(os.listdir(self.dir)) - before if re.match(rf"out\.{pid}\.\d+-\d+$", f)]
        if not new:
            raise Failed(f"callgrind wrote no dumps of process {pid}")
        return [os.path.join(self.dir, name) for name in new]


def total(dump):
    """The instructions in a dump."""
    with open(dump) as f:
        found = re.search(r"^totals: (\d+)", f.read(), re.MULTILINE)
    return int(found.group(1)) if found else 0


class Strace:
    """The system calls of running processes."""

    def __init__(self, lab):
        self.lab = lab
        self.out = os.path.join(lab.dir, "strace")

    def count(self, pids, work):
        """System calls on sockets of `pids` that succeed while `work()` runs."""
        command = ["strace", "-f", "-c", "-o", self.out] + [word for pid in pids for word in ("-p", str(pid))]
        tracer = self.lab.spawn(command, stderr=subprocess.DEVNULL)
        while not all(traced(pid) for pid in pids):
            if tracer.poll() is not None:
                raise Failed("strace does not run")
            time.sleep(0.05)
        work()
        time.sleep(0.1)
        tracer.send_signal(signal.SIGINT)
        tracer.wait(20)
        self.lab.stop(tracer)
        with open(self.out) as f:
            return sum(io_calls(line.split()) for line in f)


def io_calls(row):
    """Of a line of strace -c: % time, seconds, usecs/call, calls, [errors,] name: the calls that did something."""
    if not row or row[-1] not in IO_CALLS:
        return 0
    return int(row[3]) - (int(row[4]) if len(row) == 6 else 0)


def traced(pid):
    """Whether every thread of `pid` has a tracer."""
    for task in os.listdir(f"/proc/{pid}/task"):
        with open(f"/proc/{pid}/task/{task}/status") as f:
            if "TracerPid:\t0\n" in f.read():
                return False
    return True


def per_unit(lab, server, how, count, tls="on"):
    """The cost of one unit by `count(work)`, which gives the cost of what work() does."""
    mode, few, many = how
    load = Load(lab, mode, server.port, count=DEVICES, conns=1, tls=tls)
    load.ask(f"run {2 * DEVICES}")
    costs = [count(lambda: load.ask(f"run {units}")) for units in (few, many)]
    load.stop()
    return (costs[1] - costs[0]) / (many - few)


def replaced(server, count):
    """The cost of a rule where all rules are replaced by as many others."""
    costs = []
    for rules in REPLACED:
        server.api.close()  # the API ends connections that wait for long
        server.replace_rules(server.rules_body(push.paths(0, rules)))
        body = server.rules_body(push.paths(rules, rules))
        costs.append(count(lambda body=body: server.replace_rules(body)))
    return (costs[1] - costs[0]) / (REPLACED[1] - REPLACED[0])


def started_under_callgrind(lab, server):
    """The function that counts the instructions of `server`, which it starts."""
    directory = tempfile.mkdtemp(prefix="callgrind-", dir=lab.dir)
    os.chmod(directory, 0o777)
    callgrind = Callgrind(directory)
    server.start(lab, wrapper=callgrind.wrapper)
    return lambda work: callgrind.count(server.pids()[-1], work)  # the youngest is the one that serves


def instructions(lab):
    """The figures under callgrind."""
    server, relay = Ringfence(), RingfencePort(tls=False)
    count = started_under_callgrind(lab, server)
    figures = {f"{kind}.instructions": per_unit(lab, server, how, count) for kind, how in KINDS.items()}
    server.replace_rules(server.rules_body(push.paths(0, RULES)))
    figures["rules.instructions"] = per_unit(lab, server, KINDS["keepalive"], count)
    figures["replace.instructions"] = replaced(server, count)
    server.stop()
    count = started_under_callgrind(lab, relay)
    figures.update({f"{kind}.instructions": per_unit(lab, relay, how, count, "off") for kind, how in RELAYED.items()})
    relay.stop()
    return figures


def evaluations(lab):
    return {f"evaluation-{count}.instructions": rules.instructions(lab, count) for count in EVALUATED}


def calls_of(lab, server, kinds, tls):
    """The system calls of the kinds of units that `server` does."""
    strace = Strace(lab)
    server.start(lab)
    figures = {f"{kind}.syscalls": per_unit(lab, server, how, lambda work: strace.count(server.pids(), work), tls)
               for kind, how in kinds.items()}
    server.stop()
    return figures


def system_calls(lab):
    return calls_of(lab, Ringfence(), KINDS, "on") | calls_of(lab, RingfencePort(tls=False), RELAYED, "off")


def idle_bytes_of(lab, server):
    server.start(lab)
    warm = Load(lab, "keep", server.port, conns=16)
    warm.ask(WARM)
    warm.stop()
    load = Load(lab, "keep", server.port, conns=max(IDLE))
    marks = []
    for opened in IDLE:
        load.ask(f"open {opened}")
        time.sleep(0.2)
        marks.append(harness.pss_bytes(server.pids()))
    load.stop()
    server.stop()
    return (marks[1] - marks[0]) / (IDLE[1] - IDLE[0])


def idle_bytes(lab):
    """The heap grows and shrinks by the page for reasons of its own: much of it, over many connections and several servers."""
    return {"idle.bytes": statistics.median(idle_bytes_of(lab, Ringfence()) for _ in range(IDLE_SERVERS))}


def measure(lab):
    pki.make(lab.pki, 64)
    lab.start_origin()
    figures = {}
    for part in (instructions, evaluations, system_calls, idle_bytes):
        figures.update(part(lab))
    return {name: round(value, 1) for name, value in figures.items()}


def compare(kept, now):
    """Print every figure beside the kept one; give the number of those that rose too much."""
    risen = 0
    for name, value in now.items():
        old = kept.get(name)
        change = f"{value / old - 1:+.1%} of {old}" if old else "not kept yet"
        bad = old is not None and value > old * RISE
        risen += bad
        print(f"{name} {value} ({change}){'  RISEN' if bad else ''}")
    return risen


def main(options):
    with Lab(options.build) as lab:
        if not Ringfence.available(lab):
            raise Failed(f"no edge in {options.build}")
        now = measure(lab)
    kept = {}
    if os.path.exists(FIGURES):
        with open(FIGURES) as f:
            kept = json.load(f)
    risen = compare(kept, now)
    if options.update:
        with open(FIGURES, "w") as f:
            json.dump(now, f, indent="\t")
            f.write("\n")
    missing = options.check and set(now) - set(kept)
    if missing:
        raise Failed(f"figures.json has no {', '.join(sorted(missing))}: run `bench/run counts --update`")
    return 1 if options.check and risen else 0
