"""bench/run swap: what a replacement of all rules costs the worker that answers requests, in instructions, free of noise.

The edge runs under callgrind. Counted of the worker's thread: REQUESTS requests before; all from before a replacement of RULES rules
by others until their index is merged, in which no request comes; and REQUESTS requests after it. What the first of those pays is in their
difference, with whatever the new index costs each.
"""
import os
import re
import tempfile
import time

import counts
import pki
import push
from harness import Lab, Load
from servers import Ringfence

RULES = 60000   # what the API takes within its 30 s, under callgrind
REQUESTS = 500
IDLE = 5        # seconds of which the worker's own ticks are taken
MERGED = 30     # seconds after which the merge is over, under callgrind


def by_thread(callgrind, server, work):
    """{thread: its instructions while `work()` runs}"""
    callgrind.dump(server.pids()[-1])
    work()
    return {re.search(r"-(\d+)$", path).group(1): counts.total(path) for path in callgrind.dump(server.pids()[-1])}


def replace(server, base):
    server.api.close()  # the API ends connections that wait for long
    server.replace_rules(server.rules_body(push.paths(base, RULES)))
    time.sleep(MERGED)


def measure(lab):
    server = Ringfence()
    directory = tempfile.mkdtemp(prefix="callgrind-", dir=lab.dir)
    os.chmod(directory, 0o777)
    callgrind = counts.Callgrind(directory)
    server.start(lab, wrapper=callgrind.wrapper)
    load = Load(lab, "keep", server.port, count=16, conns=1)
    replace(server, 0)
    load.ask(f"run {REQUESTS}")
    before = by_thread(callgrind, server, lambda: load.ask(f"run {REQUESTS}"))
    worker = max(before, key=before.get)
    began = time.monotonic()
    swap = by_thread(callgrind, server, lambda: replace(server, RULES))[worker]
    took = time.monotonic() - began
    idle = by_thread(callgrind, server, lambda: time.sleep(IDLE))[worker] / IDLE * took
    after = by_thread(callgrind, server, lambda: load.ask(f"run {REQUESTS}"))[worker]
    load.stop()
    server.stop()
    print(f"swap {RULES} rules by others: the worker meanwhile {swap} instructions, idle for as long {idle:.0f}; "
          f"{REQUESTS} requests before {before[worker]}, after {after}: {after - before[worker]:+d}")


def main(options):
    with Lab(options.build) as lab:
        pki.make(lab.pki, 64)
        lab.start_origin()
        measure(lab)
    return 0
