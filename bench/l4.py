"""bench/run l4: the edge as a relay of TCP, beside nginx's stream module and HAProxy's mode tcp: goal G5.

    G5/rr     us a small request and its answer, on 64 connections that stand
    G5/new    us a connection with one request
    G5/bulk   us a MiB from the origin, on 8 connections

Each without TLS, and (-tls) with TLS and client certificates ended at the relay. The lines are those of `bench/run edge`.
"""
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


def main(options):
    unknown = [goal for goal in options.only or [] if goal not in GOALS]
    if unknown:
        raise Failed(f"no such goal: {', '.join(unknown)} (there are {', '.join(GOALS)})")
    with harness.Lab(options.build) as lab:
        pki.make(lab.pki, edge.SEEN)
        lab.start_origin()
        for tls in (False, True):
            for goal in options.only or GOALS:
                GOALS[goal](Relays(lab, options, tls))
