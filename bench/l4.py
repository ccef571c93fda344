"""bench/run l4: the edge as a relay of TCP, beside nginx's stream module and HAProxy's mode tcp: goal G5.

    G5/rr     us a small request and its answer, on 64 connections that stand
    G5/new    us a connection with one request
    G5/bulk   us a MiB from the origin, on 8 connections

Each without TLS, and (-tls) with TLS and client certificates ended at the relay. The lines are those of `bench/run edge`.

`--only move` compares nobody: it repeats the measurement by which the relay was built, of moving bytes by copying, by splicing and by a map
of sockets in the kernel (bench/move.c), above what clients and origins cost without a relay.
"""
import json
import statistics
import subprocess

import edge
import harness
import pki
from harness import Failed
from servers import HaproxyTcp, NginxStream, Ringfence, RingfencePort


class Relays(edge.Run):
    """A run whose contenders relay, with or without TLS."""

    def __init__(self, lab, options, tls):
        super().__init__(lab, options.quick)
        self.tls = tls
        self.alone = options.peers

    def contenders(self, tuned_only=False):
        peers = [kind(tuned, self.tls) for tuned in (True, False) for kind in (NginxStream, HaproxyTcp)]
        ours = [] if self.alone or not Ringfence.available(self.lab) else [RingfencePort(self.tls)]
        return ours + peers


def name(run, what):
    return f"G5/{what}" + ("-tls" if run.tls else "")


def load(run, **more):
    return {**more, "tls": "on" if run.tls else "off"}


def small(run):
    edge.cpu_goal(run, name(run, "rr"), "keep", 8000, "open 64", **load(run, conns=64))


def new(run):
    units = 300 if run.tls else 1500
    edge.cpu_goal(run, name(run, "new"), "full", units, f"run {2 * edge.SEEN}", **load(run, count=edge.SEEN))


def bulk(run):
    edge.cpu_goal(run, name(run, "bulk"), "bulk", 300, "open 8", **load(run, conns=8))


GOALS = {"rr": small, "new": new, "bulk": bulk}
WAYS = ("copy", "splice", "sockmap", "direct")


def moved(lab, way, *what):
    """us a message and its answer, or a MiB: as it is waited for, and of all processors."""
    done = subprocess.run([lab.program("bench-move"), way, *map(str, what)], capture_output=True, text=True, timeout=300, check=False)
    if done.returncode:
        raise Failed(done.stderr.strip())
    got = json.loads(done.stdout)
    return got["seconds"] * 1e6, got["cpu"] * 1e6


def move(lab, quick):
    passes = 3 if quick else 9
    for name, *what in (("a message and its answer, one at a time", "small", 1, 20000), ("the same, on 64 connections", "small", 64, 600),
                        ("a MiB", "bulk", 1, 400)):
        runs = [{way: moved(lab, way, *what) for way in WAYS} for _ in range(passes)]  # side by side, so that what disturbs one disturbs all
        took, cpu = ({way: statistics.median(run[way][i] for run in runs) for way in WAYS} for i in (0, 1))
        for way in WAYS[:-1]:
            print(f"move {name}: {way} {took[way]:.1f} us, CPU {cpu[way] - cpu['direct']:.1f} us above {cpu['direct']:.1f} of its ends")


def main(options):
    unknown = [goal for goal in options.only or [] if goal not in GOALS and goal != "move"]
    if unknown:
        raise Failed(f"no such goal: {', '.join(unknown)} (there are {', '.join(GOALS)}, move)")
    with harness.Lab(options.build) as lab:
        if options.only and "move" in options.only:
            move(lab, options.quick)
            options.only.remove("move")
            if not options.only:
                return
        pki.make(lab.pki, edge.SEEN)
        lab.start_origin()
        for tls in (False, True):
            for goal in options.only or GOALS:
                GOALS[goal](Relays(lab, options, tls))
