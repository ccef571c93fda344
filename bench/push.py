"""G13: from a rule's push to the rule in force, with LOADED rules loaded.

Ours: from the first byte of the API call to its answer; the request sent right after must already meet the
rule, otherwise the time runs until one does. nft: until the transaction is committed (the kernel then
applies it). nginx and HAProxy: from the reload signal, the file being written already, until a request
on a new connection meets the rule.
"""
import json
import os
import shutil
import subprocess
import time

import harness
from harness import Failed, Load
from servers import Haproxy, Nginx, Ringfence

LOADED = 100000
GIVE_UP = 60


def paths(first, count=LOADED):
    return [f"/rule/{i}" for i in range(first, first + count)]


def p99(values):
    return sorted(values)[int((len(values) - 1) * 0.99)]


def until_denied(load, path, pause):
    """Number of requests before the first that is denied."""
    end = time.monotonic() + GIVE_UP
    tries = 0
    while load.ask(f"get {path} 403", may_fail=True)["bad"]:
        tries += 1
        if time.monotonic() > end:
            raise Failed(f"{path} is still served {GIVE_UP} s after the push")
        time.sleep(pause)
    return tries


def timed_push(load, push, path, pause=0):
    """ms from the push to the rule in force."""
    start = time.perf_counter()
    push()
    answered = time.perf_counter()
    late = until_denied(load, path, pause)
    return ((time.perf_counter() if late else answered) - start) * 1e3


def reload_peer(run, kind, repeats):
    server = kind(True, paths(0))
    server.start(run.lab)
    load = Load(run.lab, "full", server.port, count=1, conns=1)
    load.ask("get /v1/readings 200")
    times = []
    for i in range(1, repeats + 1):
        server.denied = paths(i * LOADED)
        server.write_config()
        times.append(timed_signal(load, server, f"/rule/{(i + 1) * LOADED - 1}"))
    load.stop()
    server.stop()
    return times


def timed_signal(load, server, path):
    start = time.perf_counter()
    server.reload()
    until_denied(load, path, 0.002)
    return (time.perf_counter() - start) * 1e3


def haproxy_socket(run, samples, batches):
    """[p99 of each batch] of paths added to the ACL file in memory."""
    server = Haproxy(True, paths(0))
    server.start(run.lab)
    load = Load(run.lab, "keep", server.port, count=1, conns=1)
    times = p99_of_batches(load, server.add_path, samples, batches)
    load.stop()
    server.stop()
    return times


def p99_of_batches(load, push, samples, batches):
    names = [[f"/one/{batch}/{i}" for i in range(samples)] for batch in range(batches)]
    return [p99([timed_push(load, lambda name=name: push(name), name) for name in batch]) for batch in names]


def nft(run, samples, batches, replaces):
    """Lists of ms, or None where nft cannot run here."""
    if not shutil.which("nft") or subprocess.run(["unshare", "-n", "nft", "list", "ruleset"],
                                                 capture_output=True, check=False).returncode:
        return None
    child = run.lab.spawn(["unshare", "-n", "/usr/bin/python3", os.path.join(harness.HERE, "nft.py"), str(LOADED),
                           str(samples), str(batches), str(replaces)], cpu=harness.SERVER_CPU,
                          stdout=subprocess.PIPE, text=True)
    answer = child.stdout.read()
    run.lab.stop(child)
    if not answer:
        raise Failed("nft measured nothing")
    return json.loads(answer)


def ours(run, samples, batches, replaces):
    """([p99 of each batch], [ms of each replace])"""
    server = Ringfence()
    server.start(run.lab)
    load = Load(run.lab, "keep", server.port, count=1, conns=1)
    replaced = []
    for i in range(replaces):
        body = server.rules_body(paths(i * LOADED))
        replaced.append(timed_push(load, lambda: server.replace_rules(body), f"/rule/{(i + 1) * LOADED - 1}"))
    one = p99_of_batches(load, server.add_rule, samples, batches)
    load.stop()
    server.stop()
    return one, replaced


def goal(run, show):
    samples, batches, replaces = (40, 2, 2) if run.quick else (200, 5, 5)
    one, replace = {}, {}
    if Ringfence.available(run.lab):
        one[Ringfence.name], replace[Ringfence.name] = ours(run, samples, batches, replaces)
    by_nft = nft(run, samples, batches, replaces)
    if by_nft:
        one["nft-library"], one["nft-command"] = ([p99(batch) for batch in by_nft[how]]
                                                  for how in ("library", "command"))
        replace["nft-set"] = by_nft["replace"]
    one["haproxy-socket"] = haproxy_socket(run, samples, batches)
    for kind in (Nginx, Haproxy):
        replace[kind.kind + "-reload"] = reload_peer(run, kind, 1 if run.quick else replaces)
    show("G13/one", one, "ms", f"p99, {LOADED} rules loaded")
    show("G13/replace", replace, "ms", f"{LOADED} rules replaced")
