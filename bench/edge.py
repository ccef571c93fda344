"""bench/run edge: the edge beside nginx and HAProxy, one line a goal.

    ID[/case] ratio MEDIAN LOW HIGH ours VALUE UNIT peer NAME VALUE UNIT

Ratio is peer / ours in the same pass, for the best peer (G15: our p99 loaded / unloaded); LOW and HIGH
are its first and last decile. Indented lines show every peer as it comes and at its best. Where no edge is
built, the peers' lines alone appear.

A pass runs every server once, and every second pass runs them backwards (A B B A). Passes during which
others used the servers' CPU, or time was stolen, are replaced by new ones while there is time.
"""
import os
import signal
import statistics
import time

import harness
import pki
import push
from harness import Failed, Load, timed_round
from servers import Haproxy, Nginx, Ringfence

DISTURBED = 0.10  # share of a round that others may take before its pass is dropped
PIPELINE = 32     # requests on one connection to the origin, of G3
SEEN = 64         # devices of the goals that need known ones; the others follow in devices.pem


class Plain(Ringfence):
    """The edge as it comes, beside one that is tuned."""
    name = "ringfence-plain"


class Run:
    """What all goals of one `bench/run edge` share."""

    def __init__(self, lab, quick):
        self.lab = lab
        self.quick = quick
        self.passes = 3 if quick else 10
        self.attempts = 4 if quick else 15

    def contenders(self, tuned_only=False, pipeline=0):
        """With `pipeline` the edge is there twice: with that, and as Plain."""
        peers = [Nginx(True), Haproxy(True)] + ([] if tuned_only else [Nginx(False), Haproxy(False)])
        ours = [Ringfence(pipeline)] + ([Plain()] if pipeline else [])
        return (ours if Ringfence.available(self.lab) else []) + peers


class Started:
    """Fresh servers for one goal, ended afterwards."""

    def __init__(self, run, **which):
        self.lab = run.lab
        self.servers = run.contenders(**which)

    def __enter__(self):
        for server in self.servers:
            server.start(self.lab)
        return self.servers

    def __exit__(self, *_):
        for server in self.servers:
            if server.child:
                server.stop()


def number(value):
    return f"{value:.0f}" if value >= 1000 else f"{value:.1f}" if value >= 10 else f"{value:.3f}"


def show(goal, figures, unit, note=""):
    """Print the lines of a goal. `figures`: name -> values, one a pass. The peer of the first line is the best."""
    middle = {name: statistics.median(values) for name, values in figures.items()}
    best = min((name for name in figures if name != Ringfence.name), key=middle.get)
    ours = figures.get(Ringfence.name)
    if ours:
        low_high = " ".join(f"{v:.2f}" for v in ratio(figures[best], ours))
        print(f"{goal} ratio {low_high} ours {number(middle[Ringfence.name])} {unit} "
              f"peer {best} {number(middle[best])} {unit}")
    else:
        print(f"{goal} peer {best} {number(middle[best])} {unit}")
    for name, values in figures.items():
        if name != Ringfence.name:
            times = f" ratio {' '.join(f'{v:.2f}' for v in ratio(values, ours))}" if ours else ""
            _, low, high = harness.spread(values)
            print(f"    {name} {number(middle[name])} {unit} ({number(low)} to {number(high)}){times}")
    if note:
        print(f"    {note}")


def ratio(peer, ours):
    return harness.spread([p / o for p, o in zip(peer, ours)])


def one_pass(order, work):
    """{name: CPU us a unit}, and the worst disturbance of its rounds."""
    figures, disturbed = {}, 0
    for server in order:
        answer, used, other = timed_round(server, lambda: work(server))
        figures[server.name] = used / answer["units"] * 1e6
        disturbed = max(disturbed, other)
    return figures, disturbed


def passes(run, servers, work):
    """The least disturbed passes, and a note on the dropped ones."""
    done = []
    while len(done) < run.attempts and sum(d <= DISTURBED for _, d in done) < run.passes:
        order = servers if len(done) % 2 == 0 else servers[::-1]
        done.append(one_pass(order, work))
    kept = sorted(done, key=lambda p: p[1])[:run.passes]
    noisy = sum(d > DISTURBED for _, d in kept)
    note = f"{len(kept)} passes kept of {len(done)}" + (f", {noisy} of them disturbed by other load" if noisy else "")
    return {s.name: [figures[s.name] for figures, _ in kept] for s in servers}, note


def cpu_goal(run, goal, mode, units, warm, check=None, pipeline=0, **load):
    """A goal in CPU us a unit: `warm` commands first, then rounds of `units`."""
    with Started(run, **({"pipeline": pipeline} if pipeline else {})) as servers:
        loads = {s: Load(run.lab, mode, s.port, **load) for s in servers}
        for generator in loads.values():
            generator.ask(warm)

        def work(server):
            answer = loads[server].ask(f"run {units}")
            if check and not check(answer):
                raise Failed(f"{goal}: {server.name}: {answer}")
            return answer

        figures, note = passes(run, servers, work)
        for generator in loads.values():
            generator.stop()
    plain = figures.pop(Plain.name, None)
    show(goal, figures, "us", note)
    if plain:
        show(goal + "/plain", figures | {Ringfence.name: plain}, "us")


def full_seen(run):
    cpu_goal(run, "G1", "full", 300, f"run {2 * SEEN}", lambda a: a["reused"] == 0, count=SEEN)


def full_new(run):
    cpu_goal(run, "G1b", "full", 250, "run 50", lambda a: a["reused"] == 0, first=SEEN,
             count=50 + 250 * run.attempts)


def resumed(run):
    cpu_goal(run, "G2", "resume", 500, f"run {2 * SEEN}", lambda a: a["reused"] == a["units"], count=SEEN)


def keepalive(run):
    cpu_goal(run, "G3", "keep", 8000, "open 64", pipeline=PIPELINE, conns=64)


def memory_of(run, server, count):
    """[bytes a connection over the first half, the second half, all of them]"""
    warm = Load(run.lab, "full", server.port)
    warm.ask(f"run {2 * SEEN}")
    warm.stop()
    load = Load(run.lab, "keep", server.port, conns=count)
    marks = []
    for opened in (0, count // 2, count):
        load.ask(f"open {opened}")
        time.sleep(0.2)
        marks.append(harness.pss_bytes(server.pids()))
    load.stop()
    half = count // 2
    return [(marks[1] - marks[0]) / half, (marks[2] - marks[1]) / half, (marks[2] - marks[0]) / count]


def memory(run):
    count = 1000 if run.quick else 5000
    with Started(run) as servers:
        figures = {s.name: memory_of(run, s, count) for s in servers}
    show("G11", figures, "B",
         f"PSS but for files, {count} connections: growth of the first half, the second half, all")


def pushes(run):
    push.goal(run, show)


class Flooded:
    """One server with paced keepalive requests at 30 % of its capacity, and a flood of twice its capacity."""

    def __init__(self, lab, server):
        self.server = server
        self.keep = Load(lab, "keep", server.port, conns=64, realtime=True)
        self.flood = Load(lab, "flood", server.port, conns=4096)
        self.keep.ask("open 64")
        self.request = self.cost(self.keep, 5000)
        self.hello = self.cost(self.flood, 400)

    def cost(self, load, units):
        answer, used, _ = timed_round(self.server, lambda: load.ask(f"run {units}"))
        return used / answer["units"]

    def measure(self, seconds):
        """(p99 unloaded, p99 loaded, hellos sent a second / capacity)"""
        paced = f"rate {0.3 / self.request:.0f} {seconds}"
        calm = self.keep.ask(paced)["p99"]
        self.flood.begin(f"rate {2 / self.hello:.0f} {seconds + 0.7}")
        time.sleep(0.5)
        loaded = self.keep.ask(paced)["p99"]
        sent = self.flood.end()["units"]
        time.sleep(0.3)
        return calm, loaded, sent / (seconds + 0.7) * self.hello

    def stop(self):
        self.keep.stop()
        self.flood.stop()


def flood(run):
    seconds, rounds = (0.5, 2) if run.quick else (1, 5)
    with Started(run, tuned_only=True) as servers:
        pairs = [Flooded(run.lab, s) for s in servers]
        seen = {s.name: [] for s in servers}
        for i in range(rounds):
            for pair in pairs[:: -1 if i % 2 else 1]:
                seen[pair.server.name].append(pair.measure(seconds))
        for pair in pairs:
            pair.stop()
    show_flood(seen)


def show_flood(seen):
    loaded = {name: statistics.median(m[1] for m in rounds) for name, rounds in seen.items()}
    best = min((name for name in seen if name != Ringfence.name), key=loaded.get)
    head = "G15"
    if Ringfence.name in seen:
        slowdown = harness.spread([m[1] / m[0] for m in seen[Ringfence.name]])
        head += f" ratio {' '.join(f'{v:.2f}' for v in slowdown)} ours {number(loaded[Ringfence.name])} us"
    print(f"{head} peer {best} {number(loaded[best])} us")
    for name, rounds in seen.items():
        calm, sent = (statistics.median(m[i] for m in rounds) for i in (0, 2))
        slowdown = statistics.median(m[1] / m[0] for m in rounds)
        print(f"    {name} p99 {number(calm)} us unloaded, {number(loaded[name])} us in a flood of "
              f"{sent:.1f} times its capacity: {slowdown:.1f} times")


def revived(run, kind):
    """ms from the SIGKILL of the process that serves, with requests under way, to the next request answered on a new connection."""
    server = kind(True) if kind is Nginx else kind()
    server.start(run.lab)
    busy, load = Load(run.lab, "keep", server.port, conns=64), Load(run.lab, "full", server.port, first=SEEN, count=1, conns=1)
    busy.ask("open 64")
    load.ask("get /v1/readings 200")
    busy.begin("run 1000000")
    time.sleep(0.3)
    begin = time.perf_counter()
    os.kill(server.pids()[-1], signal.SIGKILL)
    load.ask("get /v1/readings 200")
    took = (time.perf_counter() - begin) * 1e3
    busy.child.kill()
    for each in (busy, load):
        each.stop()
    server.stop()
    return took


def restart(run):
    rounds = 3 if run.quick else 10
    kinds = ([Ringfence] if Ringfence.available(run.lab) else []) + [Nginx]
    times = {kind.kind: [] for kind in kinds}
    for _ in range(rounds):
        for kind in kinds:
            times[kind.kind].append(revived(run, kind))
    show("restart", times, "ms", "SIGKILL of the process that serves, under load, to the first answer; no request was refused in between")


GOALS = {"G1": full_seen, "G1b": full_new, "G2": resumed, "G3": keepalive, "G11": memory, "G13": pushes,
         "G15": flood, "restart": restart}


def main(options):
    unknown = [goal for goal in options.only or [] if goal not in GOALS]
    if unknown:
        raise Failed(f"no such goal: {', '.join(unknown)} (there are {', '.join(GOALS)})")
    with harness.Lab(options.build) as lab:
        run = Run(lab, options.quick)
        pki.make(lab.pki, SEEN + 50 + 250 * run.attempts)
        lab.start_origin(realtime=True)
        if not Ringfence.available(lab):
            print(f"no edge in {options.build}: peers alone")
        for goal in options.only or GOALS:
            GOALS[goal](run)
