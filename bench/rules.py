"""bench/run rules: what rules cost, beside HAProxy's ACLs and nginx with ModSecurity 3 (Debian has no Coraza).

    G12/N   evaluation of N rules for one request, in ns. Ours: bench-rules, alone, over random requests of devices whose
            facts are asked for anew. Peers: CPU of a proxied keepalive request with N rules, less that of one without.
    G4      the same at 1,000 rules in the whole edge, all measured as the peers above; where ours is below what the
            machine can tell, the evaluation alone stands for it.
    G12/N/instructions   of ours under callgrind, free of noise.

The rules are those of mix.py: the same meaning in each dialect.
"""
import json
import os
import re
import statistics
import subprocess

import edge
import harness
import mix
import pki
from harness import Failed, Lab, Load, timed_round
from servers import Haproxy, Nginx, Ringfence

COUNTS = (10, 1000, 100000)
REQUESTS = 4000
ROUNDS = 20
MODSECURITY_MOST = 1000  # it takes minutes and gigabytes to load 100,000
UNITS = {0: 4000, 10: 4000, 1000: 1500, 100000: 10}
MODULE = "/usr/lib/nginx/modules/ngx_http_modsecurity_module.so"


class RuledHaproxy(Haproxy):
    def __init__(self, rules):
        super().__init__(True)
        self.mix = rules
        self.name = "haproxy-acl"

    def write_config(self):
        self.name, kept = "haproxy-tuned", self.name
        super().write_config()
        self.name = kept

    def rules(self):
        lines = ["http-request deny deny_status 403 if " + " ".join(f"{{ {one} }}" for one in rule.haproxy)
                 for rule in self.mix]
        return {"rules": "\n\t".join(lines)}


class RuledNginx(Nginx):
    """nginx with ModSecurity 3; with its engine on, and no rule, where there are none."""

    def __init__(self, rules):
        super().__init__(True)
        self.mix = rules
        self.name = "nginx-modsecurity"

    def write_config(self):
        self.name, kept = "nginx-tuned", self.name
        super().write_config()
        self.name = kept
        with open(self.config) as f:
            text = f.read()
        with open(self.config, "w") as f:
            f.write(f"load_module {MODULE};\n" + text)
        with open(os.path.join(self.dir, "modsecurity.conf"), "w") as f:
            f.write("SecRuleEngine On\nSecRequestBodyAccess Off\nSecResponseBodyAccess Off\nSecAuditEngine Off\n")
            for i, rule in enumerate(self.mix):
                f.write(self.rule(i + 1, rule))

    @staticmethod
    def rule(number, rule):
        lines = []
        for i, (variable, operator) in enumerate(rule.modsecurity):
            chain = ",chain" if i + 1 < len(rule.modsecurity) else ""
            what = f"id:{number},phase:1,deny,status:403,nolog,t:none" if i == 0 else "t:none"
            lines.append(f'SecRule {variable} "{operator}" "{what}{chain}"\n')
        return "".join(lines)

    def rules(self):
        return {"map": "", "rules": f"modsecurity on; modsecurity_rules_file {self.dir}/modsecurity.conf;"}


class RuledRingfence(Ringfence):
    def __init__(self, rules):
        super().__init__()
        self.mix = rules

    def configure(self):
        super().configure()
        if self.mix:
            self.replace_rules(mix.document(self.mix))


def request_cost(run, make, count):
    """[CPU ns of a proxied request], one a pass, with `count` rules of the mix."""
    server = make(mix.rules(count))
    server.start(run.lab)
    conns = 16 if count <= 1000 else 1  # a request past 100,000 rules in turn takes tens of ms
    load = Load(run.lab, "keep", server.port, conns=conns)
    load.ask(f"open {conns}")
    load.ask(f"run {UNITS[count]}")
    costs = []
    for _ in range(run.passes):
        answer, used, _ = timed_round(server, lambda: load.ask(f"run {UNITS[count]}"))
        costs.append(used / answer["units"] * 1e9)
    load.stop()
    server.stop()
    return costs


def peer_costs(run):
    """{count: {name: [ns that the rules add]}}"""
    costs = {count: {} for count in COUNTS}
    peers = [(RuledHaproxy, max(COUNTS))] + ([(RuledNginx, MODSECURITY_MOST)] if os.path.exists(MODULE) else [])
    for make, most in peers:
        bare = statistics.median(request_cost(run, make, 0))
        for count in COUNTS:
            if count <= most:
                costs[count][make([]).name] = [max(1.0, cost - bare) for cost in request_cost(run, make, count)]
    if len(peers) == 1:
        print(f"    no {MODULE}: apt-get install libnginx-mod-http-modsecurity")
    return costs


def files(directory, count):
    rules = os.path.join(directory, f"rules-{count}.json")
    requests = os.path.join(directory, "requests.json")
    with open(rules, "w") as f:
        f.write(mix.document(mix.rules(count)))
    if not os.path.exists(requests):
        with open(requests, "w") as f:
            json.dump(mix.requests(REQUESTS), f)
    return rules, requests


def alone(lab, count, runs, seconds=0.5):
    """[median ns of an evaluation], one a run of bench-rules, and the notes of the last."""
    medians = []
    for _ in range(runs):
        done = subprocess.run(["chrt", "-f", "10", lab.program("bench-rules"), *files(lab.dir, count), "--seconds", str(seconds)],
                              capture_output=True, text=True, check=False)  # what else runs here would be measured too
        if done.returncode:
            raise Failed(done.stderr)
        medians.append(json.loads(done.stdout)["median"])
    return medians, done.stderr.strip()


def instructions(lab, count):
    """Of one evaluation, by callgrind: the difference of one round and many over all requests, as what comes before them differs
    from run to run."""
    totals = []
    for rounds in (1, 1 + ROUNDS):
        done = subprocess.run(["valgrind", "--tool=callgrind", "--callgrind-out-file=/dev/null", lab.program("bench-rules"),
                               *files(lab.dir, count), "--rounds", str(rounds)], capture_output=True, text=True, check=False)
        found = re.search(r"Collected : (\d+)", done.stderr)
        if not found:
            raise Failed(f"callgrind: {done.stderr[-500:]}")
        totals.append(int(found.group(1)))
    return (totals[1] - totals[0]) / (ROUNDS * REQUESTS)


def in_the_edge(run):
    """[ns that 1,000 rules add to a request of ours]"""
    bare = statistics.median(request_cost(run, RuledRingfence, 0))
    return [cost - bare for cost in request_cost(run, RuledRingfence, 1000)]


def main(options):
    with Lab(options.build) as lab:
        run = edge.Run(lab, options.quick)
        pki.make(lab.pki, 64)
        lab.start_origin(realtime=True)
        peers = {count: {} for count in COUNTS} if options.alone else peer_costs(run)
        ours = {}
        for count in COUNTS:
            ours[count], note = alone(lab, count, 1 if options.quick else 5)
            if peers[count]:
                edge.show(f"G12/{count}", {Ringfence.name: ours[count], **peers[count]}, "ns", note)
            else:
                print(f"G12/{count} ours {edge.number(statistics.median(ours[count]))} ns\n    {note}")
        if not options.alone:
            added = in_the_edge(run)
            edge.show("G4", {Ringfence.name: ours[1000], **peers[1000]}, "ns",
                      f"1,000 rules; in the whole edge ours added {statistics.median(added):.0f} ns a request "
                      f"({min(added):.0f} to {max(added):.0f})")
        for count in COUNTS[:2]:
            print(f"G12/{count}/instructions ours {instructions(lab, count):.0f}")
    return 0
