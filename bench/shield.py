"""G6: what the kernel filter costs a frame, beside a bare drop, and an LPM trie with rates in an LRU hash.

By BPF_PROG_TEST_RUN with a random source for each frame: what drivers and interrupts cost is not in it.
"""
import json
import subprocess

import flood
import harness
from harness import Failed


def measured(lab, frames):
    done = subprocess.run([lab.program("bench-shield"), str(frames)], capture_output=True, text=True, check=False)
    if done.returncode:
        raise Failed(done.stderr.strip())
    return json.loads(done.stdout)


def show(runs):
    best = {key: min(run[key] for run in runs) for key in runs[0]}
    ours, peer = best["ours"] - best["bare"], best["peer"] - best["bare"]
    print(f"G6 ratio {peer / ours:.2f} ours {ours:.0f} ns peer lpm-trie {peer:.0f} ns, above a bare drop; goal 55 ns")
    print(f"  prefixes alone {best['prefixes'] - best['bare']:.0f} ns; bare drop with the source made and the tail call {best['bare']:.0f} ns")
    print(f"  without glimpses for the detection of floods {best['blind'] - best['bare']:.0f} ns")
    spread = [run["ours"] - run["bare"] for run in runs]
    print(f"  of {len(runs)} runs: ours {min(spread):.0f} to {max(spread):.0f} ns")


def main(options):
    with harness.Lab(options.build) as lab:
        runs = [measured(lab, 300000 if options.quick else 3000000) for _ in range(2 if options.quick else 5)]
        show(runs)
        flood.main(lab, options)
    return 0
