"""G13: from a rule's push to the rule in force, with LOADED rules loaded.

One rule, ours: from the API's answer to the sending of the first request that meets the rule, which is tried right
after it; the time from the push to the answer, in which the rule is committed to the disk, stands on the line below.

All rules, ours: from the first byte of the call, whose body is made already, to the sending of the first request that meets the last
of the new rules. The call is made by a thread beside the one that asks, and is answered some time after the rules are in force: when
the disk has them, which stands on the line below. Before the call the rule must not be met, after the answer it must be. nginx and
HAProxy: from the reload signal, the file being written already, to the sending of the first request that meets the rule. All are asked
PAUSE after each answer: ours on a connection that stays, as the devices' do, nginx and HAProxy on new ones, since those that are there
stay with the process of before; they resume a session where they can, so that asking takes little of the server's processor. nft: until
the transaction is committed (the kernel then applies it). What is replaced is as many rules, for all, and was loaded at start or by a
call that is not counted. Of ours, the first WARM replacements of a process stand on a line of their own: the memory of two generations
of the rules is new to it then.

Ours ask for the short answer (Prefer: return=minimal).
"""
import json
import os
import shutil
import statistics
import subprocess
import threading
import time

import harness
from harness import Failed, Load
from servers import Haproxy, Nginx, Ringfence

LOADED = 100000
WARM = 2        # replacements of all before those that count
FEW = 10        # rules that are others in a replacement of few
GIVE_UP = 60
PACE = 0.25     # seconds from one to the next where they follow each other: who sends one needs a processor too
UNDER_WAY = 3   # seconds of requests while rules are replaced
PAUSE = 0.001   # seconds from an answer to the next try, while all rules are replaced
SETTLED = 2     # and before, so that what follows a replacement is over
LOAD = 0.3      # share of what the server can do, of requests while rules are replaced


def paths(first, count=LOADED):
    return [f"/rule/{i}" for i in range(first, first + count)]


def p99(values):
    return sorted(values)[int((len(values) - 1) * 0.99)]


def until_denied(load, path, pause):
    """(number of requests before the first that is denied, when that one was sent)"""
    end = time.monotonic() + GIVE_UP
    tries, sent = 0, time.perf_counter()
    while load.ask(f"get {path} 403", may_fail=True)["bad"]:
        tries += 1
        if time.monotonic() > end:
            raise Failed(f"{path} is still served {GIVE_UP} s after the push")
        time.sleep(pause)
        sent = time.perf_counter()
    return tries, sent


class Call(threading.Thread):
    """A push by a thread of its own: seconds from its first byte to its answer, as `began` and `answered`."""

    def __init__(self, push):
        super().__init__()
        self.push, self.began, self.answered, self.error = push, None, None, None

    def run(self):
        self.began = time.perf_counter()
        try:
            self.push()
        except (Failed, OSError) as e:
            self.error = e
        self.answered = time.perf_counter()


def until_refused(load, path):
    """When the first request was sent that was not served. The connection stays while they are."""
    end = time.monotonic() + GIVE_UP
    while time.monotonic() < end:
        sent = time.perf_counter()
        if load.ask(f"get {path} 200", may_fail=True)["bad"]:
            return sent
        time.sleep(PAUSE)
    raise Failed(f"{path} is still served {GIVE_UP} s after the push")


def replaced(load, push, path):
    """(ms from the first byte of `push` to the sending of the first request that meets the rule of `path`, ms to the answer)"""
    load.ask(f"get {path} 200")
    call = Call(push)
    call.start()
    sent = until_refused(load, path)
    load.ask(f"get {path} 403")  # it was the rule, and no accident
    call.join()
    if call.error:
        raise Failed(f"the replacement failed after its rules were met: {call.error}")
    load.ask(f"get {path} 403")
    return (sent - call.began) * 1e3, (call.answered - call.began) * 1e3


def timed_push(load, push, path, pause=0):
    """(ms from the push to its answer, ms from there until a request is sent that meets the rule, requests that did not)"""
    start = time.perf_counter()
    push()
    answered = time.perf_counter()
    late, sent = until_denied(load, path, pause)
    return (answered - start) * 1e3, (sent - answered) * 1e3, late


def pushed(load, push, path):
    """ms from the push to the rule in force: to the answer, where the next request meets the rule."""
    answer, met, late = timed_push(load, push, path)
    return answer + met if late else answer


def reload_peer(run, kind, repeats):
    server = kind(True, paths(0))
    server.start(run.lab)
    load = Load(run.lab, "resume", server.port, count=1, conns=1)
    load.ask("get /v1/readings 200")
    times = []
    for i in range(1, repeats + 1):
        server.denied = paths(i * LOADED)
        server.write_config()
        try:
            times.append(timed_signal(load, server, f"/rule/{(i + 1) * LOADED - 1}"))
        except Failed as e:
            raise Failed(f"{server.name}, reloaded: {e}") from e
    load.stop()
    server.stop()
    return times


def timed_signal(load, server, path):
    start = time.perf_counter()
    server.reload()
    return (until_denied(load, path, PAUSE)[1] - start) * 1e3


def haproxy_socket(run, samples, batches):
    """[p99 of each batch] of paths added to the ACL file in memory."""
    server = Haproxy(True, paths(0))
    server.start(run.lab)
    load = Load(run.lab, "keep", server.port, count=1, conns=1)
    times = [p99([pushed(load, lambda name=name: server.add_path(name), name) for name in batch])
             for batch in names_of(samples, batches)]
    load.stop()
    server.stop()
    return times


def names_of(samples, batches):
    return [[f"/one/{batch}/{i}" for i in range(samples)] for batch in range(batches)]


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


def few_changed(first, i):
    """The paths from `first` on, but for FEW of them."""
    kept = paths(first)
    step = LOADED // FEW
    for k in range(FEW):
        kept[k * step] = f"/few/{i}/{k}"
    return kept


def ours(run, samples, batches, replaces):
    """([p99 of each batch from the answer], [the same to the answer], requests that came too early, [(ms to the first request that
    met it, ms to the answer) of each replace], [the same of each replace by what is the same but for a few], [us by which each
    replace was late in making way])"""
    server = Ringfence()
    server.start(run.lab)
    load = Load(run.lab, "keep", server.port, count=1, conns=1)
    every, late = [], []
    server.replace_rules(server.rules_body(paths(0)))
    for i in range(1, WARM + replaces + 1):
        body = server.rules_body(paths(i * LOADED)).encode()
        asking = server.late_us()
        before = server.late_us()
        every.append(replaced(load, lambda: server.replace_rules(body), f"/rule/{(i + 1) * LOADED - 1}"))
        late.append(max(server.late_us() - before - (before - asking), 0))  # without that of asking
    few, base = [], body
    for i in range(replaces):
        body = server.rules_body(few_changed((WARM + replaces) * LOADED, i)).encode()
        few.append(replaced(load, lambda: server.replace_rules(body), f"/few/{i}/{FEW - 1}"))
        server.replace_rules(base)
    batches = [[timed_push(load, lambda name=name: server.add_rule(name), name) for name in batch]
               for batch in names_of(samples, batches)]
    load.stop()
    server.stop()
    answers, met = ([p99([push[i] for push in batch]) for batch in batches] for i in (0, 1))
    return met, answers, sum(push[2] for batch in batches for push in batch), every, few, late


def goal(run, show):
    samples, batches, replaces = (40, 2, 5) if run.quick else (200, 5, 5)
    one, replace, few, note = {}, {}, {}, f"p99, {LOADED} rules loaded"
    if Ringfence.available(run.lab):
        one[Ringfence.name], answers, early, every, some, late = ours(run, samples, batches, replaces)
        first, every = every[:WARM], every[WARM:]
        replace[Ringfence.name], few[Ringfence.name] = ([met for met, _ in times] for times in (every, some))
        note += (f"; ringfence from its answer to the request that meets the rule; the answer came {statistics.median(answers):.2f} ms after the push "
                 f"({min(answers):.2f} to {max(answers):.2f}); {early} requests sent after it did not meet the rule; "
                 "peers from the push")
    by_nft = nft(run, samples, batches, replaces)
    if by_nft:
        one["nft-library"], one["nft-command"] = ([p99(batch) for batch in by_nft[how]]
                                                  for how in ("library", "command"))
        replace["nft-set"] = by_nft["replace"]
    one["haproxy-socket"] = haproxy_socket(run, samples, batches)
    for kind in (Nginx, Haproxy):
        replace[kind.kind + "-reload"] = reload_peer(run, kind, 1 if run.quick else replaces)
    show("G13/one", one, "ms", note)
    show("G13/replace", replace, "ms", f"{LOADED} rules replaced")
    if few:
        show_answered("G13/replace-answered", every)
        print("G13/replace-first " + ", ".join(f"{met:.1f} ms ({answer:.1f} ms to the answer)" for met, answer in first) +
              " took the first of the process")
    show("G13/replace-few", {**replace, **few}, "ms", f"{LOADED} rules replaced by {LOADED - FEW} of them and {FEW} others; of the peers, by others")
    if few:
        show_answered("G13/replace-few-answered", some)
        print(f"G13/late the longest stretch of a replacement of all: {statistics.median(late):.0f} us (up to {max(late):.0f}) above the 50 us after which it yields")
        slowed(run)


def show_answered(name, times):
    answers = [answer for _, answer in times]
    print(f"{name} the answer came {statistics.median(answers):.1f} ms after the first byte ({min(answers):.1f} to {max(answers):.1f})")


def slowed(run):
    """Prints what requests see while rules are replaced each PACE, beside what they see without: where the worker has a CPU of
    its own, and what is done for the push runs beside the generator and the origin, which go first there; and where all threads of
    the edge share one."""
    for apart in (True, False):
        slowed_where(run, apart)


def slowed_where(run, apart):
    server = Ringfence()
    server.start(run.lab)
    load = Load(run.lab, "keep", server.port, conns=64, realtime=True)
    load.ask("open 64")
    before = harness.thread_ns(server.pids())
    answer, used, _ = harness.timed_round(server, lambda: load.ask("run 5000"))
    after = harness.thread_ns(server.pids())
    worker = max(after, key=lambda task: after[task] - before.get(task, 0))
    if apart:
        for task in after:
            os.sched_setaffinity(task, {harness.SERVER_CPU if task == worker else harness.LOAD_CPU})
    bodies = [server.rules_body(paths(i * LOADED)).encode() for i in range(2)]
    some = server.rules_body(few_changed(0, 0)).encode()
    server.replace_rules(bodies[0])
    time.sleep(SETTLED)
    rate = LOAD / used * answer["units"]
    for what, pushes in (("all", bodies), ("few", (bodies[0], some))):
        rounds = [one_slowed(load, server, worker, rate, pushes) for _ in range(2 if run.quick else 5)]
        print(f"G13/slowed-{what}{'' if apart else '/shared'} " + "; ".join(
            f"{word} {statistics.median(r[0][word] for r in rounds):.0f} us without, {statistics.median(r[1][word] for r in rounds):.0f} us while "
            "rules are replaced" for word in ("p50", "p99", "p999", "max", "wait")) + f" (medians of {len(rounds)}; {rate:.0f} requests a second)")
    load.stop()
    server.stop()


def waited(server, worker):
    """(us that a thread was ready to run and did not, times that it ran)"""
    for pid in server.pids():
        try:
            with open(f"/proc/{pid}/task/{worker}/schedstat") as f:
                _, wait, runs = map(int, f.read().split())
                return wait / 1e3, runs
        except OSError:
            pass
    raise Failed("the worker is gone")


def watched(server, worker, work):
    """The answer of `work`, with the time that the worker waited for its processor before it ran, us each time."""
    before = waited(server, worker)
    answer = work()
    wait, runs = (b - a for a, b in zip(before, waited(server, worker)))
    return {**answer, "wait": wait / max(runs, 1)}


def one_slowed(load, server, worker, rate, pushes):
    """(answer of the generator without, and with a replacement each PACE)"""
    calm = watched(server, worker, lambda: load.ask(f"rate {rate:.0f} {UNDER_WAY}"))
    busy = watched(server, worker, lambda: replaced_again(load, server, rate, pushes))
    time.sleep(SETTLED)
    return calm, busy


def replaced_again(load, server, rate, pushes):
    end = time.monotonic() + UNDER_WAY
    load.begin(f"rate {rate:.0f} {UNDER_WAY}")
    turn = 1
    while (begun := time.monotonic()) < end - 0.5:
        server.replace_rules(pushes[turn % 2])
        turn += 1
        time.sleep(max(begun + PACE - time.monotonic(), 0))
    busy = load.end()
    if turn % 2 == 0:
        server.replace_rules(pushes[0])
    return busy
