"""Floods over a cable between two network namespaces: packet rates, good traffic beside a flood, and the time to stop one.

The attacked end's frames are taken by a kernel thread of their own on the servers' CPU, as a network card's queue would be; they wait
in the cable's ring of 256, and are lost where it is full. The flood is made on the other CPU.
"""
import json
import os
import statistics
import subprocess
import sys
import time

import harness
from harness import Failed

PORT, CLOSED = 7, 9
SOURCE_RATE, SYN_RATE = 10000, 2000  # of flood.c: frames a second of one source, SYNs to one port, and as many at once
ECHO = """
import socket
s = socket.create_server(("10.78.0.1", %d))
print("ready", flush=True)
while True:
    c = s.accept()[0]
    c.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    while d := c.recv(4096):
        c.sendall(d)
""" % PORT
# One request a millisecond as planned, on one connection; latency counts from the plan.
CLIENT = """
import json, socket, sys, time
s = socket.create_connection(("10.78.0.1", %d), 20)
s.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
print("ready", flush=True)
for line in sys.stdin:
    seconds, took, begin = float(line), [], time.monotonic()
    for i in range(int(seconds * 1000)):
        at = begin + i / 1000
        while time.monotonic() < at:
            time.sleep(max(0, at - time.monotonic()))
        s.sendall(b"x" * 64)
        got = 0
        while got < 64:
            n = len(s.recv(64))
            if not n:
                sys.exit("the connection ended")
            got += n
        took.append((time.monotonic() - at) * 1e6)
        if time.monotonic() > begin + 4 * seconds:
            break
    print(json.dumps(took), flush=True)
""" % PORT


def run(*words, **more):
    done = subprocess.run(words, capture_output=True, text=True, check=False, **more)
    if done.returncode:
        raise Failed(f"{' '.join(words)}: {done.stderr.strip()}")
    return done.stdout


class Part:
    """A process in a namespace that says `ready` and then answers lines."""

    def __init__(self, lab, namespace, command, cpu, **more):
        self.lab = lab
        self.child = lab.spawn(["nsenter", f"--net=/run/netns/{namespace}", *command], cpu=cpu, stdin=subprocess.PIPE,
                               stdout=subprocess.PIPE, text=True, **more)
        if self.child.stdout.readline() != "ready\n":
            raise Failed(f"{os.path.basename(command[0])} does not start")

    def begin(self, line):
        self.child.stdin.write(line + "\n")
        self.child.stdin.flush()

    def end(self):
        line = self.child.stdout.readline()
        if not line:
            raise Failed("a part of the flood died")
        return json.loads(line)

    def ask(self, line):
        self.begin(line)
        return self.end()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.child.stdin.close()
        try:  # it takes its program off the cable
            self.child.wait(5)
        except subprocess.TimeoutExpired:
            pass
        self.lab.stop(self.child)


class Cable:
    """Two namespaces and a cable between them; leaving it removes all."""

    def __init__(self, lab):
        self.lab = lab
        self.near, self.far = f"rfbe{os.getpid()}", f"rfba{os.getpid()}"
        self.device, self.peer = f"e{os.getpid()}", f"a{os.getpid()}"

    def __enter__(self):
        try:
            self.plug()
        except BaseException:
            self.__exit__()
            raise
        return self

    def plug(self):
        for namespace in (self.near, self.far):
            run("ip", "netns", "add", namespace)
            run("ip", "-n", namespace, "link", "set", "lo", "up")
        run("ip", "link", "add", self.device, "netns", self.near, "type", "veth", "peer", "name", self.peer, "netns", self.far)
        for namespace, device, address in ((self.near, self.device, "10.78.0.1/24"), (self.far, self.peer, "10.78.0.2/24")):
            run("ip", "-n", namespace, "addr", "add", address, "dev", device)
            run("ip", "-n", namespace, "link", "set", device, "up")
        self.mac = self.link()["address"]
        run("ip", "-n", self.far, "neigh", "replace", "10.78.0.1", "lladdr", self.mac, "dev", self.peer, "nud", "permanent")
        there = json.loads(run("ip", "-n", self.far, "-j", "link", "show", self.peer))[0]["address"]
        run("ip", "-n", self.near, "neigh", "replace", "10.78.0.2", "lladdr", there, "dev", self.device, "nud", "permanent")
        run("ip", "-n", self.near, "route", "add", "default", "via", "10.78.0.2")

    def __exit__(self, *_):
        for namespace in (self.near, self.far):
            subprocess.run(["ip", "netns", "del", namespace], stderr=subprocess.DEVNULL, check=False)

    def link(self):
        return json.loads(run("ip", "-n", self.near, "-s", "-j", "link", "show", self.device))[0]

    def taken(self):
        """Frames that the attacked end took from the ring."""
        return self.link()["stats64"]["rx"]["packets"]

    def gate(self, kind, *more):
        gate = Part(self.lab, self.near, [self.lab.program("bench-flood"), "gate", self.device, kind, *map(str, more)], harness.LOAD_CPU)
        run("ip", "netns", "exec", self.near, "sh", "-c", f"echo 1 > /sys/class/net/{self.device}/threaded")
        self.threads = []
        for pid in filter(str.isdigit, os.listdir("/proc")):
            try:
                with open(f"/proc/{pid}/comm") as f:
                    if f.read().startswith(f"napi/{self.device}-"):
                        os.sched_setaffinity(int(pid), {harness.SERVER_CPU})
                        os.sched_setscheduler(int(pid), os.SCHED_FIFO, os.sched_param(1))  # before other work, as interrupts are
                        self.threads.append(int(pid))
            except OSError:
                pass
        if not self.threads:
            raise Failed("the cable has no thread of its own: the kernel is too old")
        return gate

    def sender(self, protocol, sources, port):
        return Part(self.lab, self.far, [self.lab.program("bench-flood"), "send", self.peer, self.mac, protocol, sources, str(port)], harness.LOAD_CPU)

    def rate(self, sender, seconds, rate=0):
        """Frames a second that were taken, the same by the CPU time that it took, and those that were sent."""
        before, used = self.taken(), harness.cpu_ns(self.threads)
        sent = sender.ask(f"{seconds} {rate}")
        took, taken = (sent["end"] - sent["begin"]) / 1e9, self.taken() - before
        return taken / took, taken / (harness.cpu_ns(self.threads) - used) * 1e9, sent["frames"] / took

    def nft(self):
        """The denied prefixes of flood.c in nft's own early hook."""
        prefixes = sorted(i * 7919 & 0xfffff for i in range(100000))
        elements = ", ".join(f"{16 | n >> 16}.{n >> 8 & 255}.{n & 255}.0/24" for n in prefixes)
        text = (f"table netdev flood {{ set deny {{ type ipv4_addr; flags interval; elements = {{ {elements} }}; }}\n"
                f"chain in {{ type filter hook ingress device {self.device} priority 0; ip saddr @deny drop; }}\n}}\n")
        run("nsenter", f"--net=/run/netns/{self.near}", "nft", "-f", "-", input=text)

    def no_nft(self):
        run("nsenter", f"--net=/run/netns/{self.near}", "nft", "flush", "ruleset")


def share(cable, options):
    """Of a bare drop's packet rate, in the order A B B A."""
    seconds, rounds = (0.5, 1) if options.quick else (2, 4)
    for name, sources, target in (("denied sources", "denied", 0), ("all checks, sources at random", "any", 1000)):
        got = {"bare": [], "ours": []}
        with cable.sender("udp", sources, CLOSED) as sender:
            for kind in ["bare", "ours", "ours", "bare"] * rounds:
                with cable.gate(kind, *([target] if kind == "ours" else [])):
                    cable.rate(sender, 0.2)
                    got[kind].append(cable.rate(sender, seconds))
        took, cpu, sent = ({k: statistics.median(v[i] for v in got[k]) / 1e6 for k in got} for i in range(3))
        print(f"G6/rate {cpu['ours'] / cpu['bare']:.0%} of a bare drop's frames a second of CPU ({name}): ours {cpu['ours']:.2f} bare {cpu['bare']:.2f} million;"
              f" goal 80 %")
        print(f"  by the clock {took['ours'] / took['bare']:.0%}: ours {took['ours']:.2f} of {sent['ours']:.2f} million sent, bare {took['bare']:.2f} of {sent['bare']:.2f}")


def quantiles(took):
    cut = statistics.quantiles(took, n=100, method="inclusive")
    return f"p50 {cut[49]:.0f} p99 {cut[98]:.0f} us ({len(took)} requests)"


def beside(sender, client, seconds, rate):
    """What the client saw in a flood of `rate` asked for, and what the sender says of it."""
    sender.begin(f"{seconds + 0.5} {rate}")
    time.sleep(0.2)
    return client.ask(str(seconds)), sender.end()


def asked_for(sender, client, wanted):
    """The rate to ask for, so that as many frames a second leave beside what the client takes of the sender's CPU."""
    sent = beside(sender, client, 0.3, wanted)[1]
    return wanted * min(3, max(1, wanted / (sent["frames"] / (sent["end"] - sent["begin"]) * 1e9)))


def latency(cable, options):
    """Good traffic beside a flood of twice what nft alone takes."""
    seconds = 2 if options.quick else 10
    lab = cable.lab
    with Part(lab, cable.near, [sys.executable, "-c", ECHO], harness.SERVER_CPU), cable.sender("udp", "denied", CLOSED) as sender:
        with cable.gate("pass"):
            cable.nft()
            cable.rate(sender, 0.2)
            capacity = cable.rate(sender, seconds / 2)[1]
            cable.no_nft()
        print(f"G15/flood: nft alone takes {capacity / 1e6:.2f} million frames a second on one CPU; the flood is twice that")
        for name, kind in (("nothing", "pass"), ("nft alone", "pass"), ("ours", "ours")):
            with cable.gate(kind):
                if name == "nft alone":
                    cable.nft()
                with Part(lab, cable.far, [sys.executable, "-c", CLIENT], harness.LOAD_CPU, realtime=True) as client:
                    alone = client.ask(str(seconds))
                    ask = asked_for(sender, client, capacity * 2)
                    before = cable.taken()
                    flooded, sent = beside(sender, client, seconds, ask)
                    took = (cable.taken() - before) / (sent["end"] - sent["begin"]) * 1e9
                rate = sent["frames"] / (sent["end"] - sent["begin"]) * 1e9
                print(f"  {name}: unloaded {quantiles(alone)}; in the flood {quantiles(flooded)}, {took / 1e6:.2f} of {rate / 1e6:.2f} million frames a second taken")
                cable.no_nft()


def stopped_after(seen, begin, burst, rate):
    """(ms from the flood's begin to its stop, frames that passed until then, and in all). It is stopped at the first frame that is, if from then on no more
    pass than what is let through: `burst` at once and `rate` a second, with a tenth for frames that are under way; else at the last moment when more had."""
    before, stopped = seen[0][1:]
    over = [at for at, passed, _ in seen if passed - before > 1.1 * (burst + rate * max(0, at - begin) / 1e9) + 64]
    first = next((at for at, _, now in seen if now > stopped), seen[-1][0])
    last = max([first, *over[-1:]])
    return (last - begin) / 1e6, next(passed for at, passed, _ in seen if at >= last) - before, seen[-1][1] - before


def stop_time(cable, options):
    """From a flood's first frame to the moment from which on no more passes than is let through, by the counters of each millisecond."""
    for name, protocol, sources, port, burst, rate in (("SYN flood, sources at random, cookies", "syn", "any", PORT, SYN_RATE, 0),
                                                       ("UDP flood of one source, its rate", "udp", "one", CLOSED, SOURCE_RATE, SOURCE_RATE)):
        times = []
        for _ in range(2 if options.quick else 10):
            with Part(cable.lab, cable.near, [sys.executable, "-c", ECHO], harness.SERVER_CPU), cable.gate("ours") as gate, \
                    cable.sender(protocol, sources, port) as sender:
                gate.begin("1500")
                time.sleep(0.1)
                sent = sender.ask("1 400000")
                times.append(stopped_after(gate.end(), sent["begin"], burst, rate) + (sent["frames"],))
        ms, until, passed, frames = sorted(times)[len(times) // 2]
        print(f"stopped/{protocol} {ms:.1f} ms ({name}); {until} frames had passed by then, {passed} of {frames} in all, of {burst} at once and {rate} a second"
              f" that are let through; worst of {len(times)} {max(times)[0]:.1f} ms")


def main(lab, options):
    with Cable(lab) as cable:
        for part in (share, latency, stop_time):
            part(cable, options)
