"""nft as the peer of rule pushes: run as `nft.py LOADED SAMPLES BATCHES REPLACES` in a network namespace of its own.

The rules are what suits nft best: addresses in one hash set that one rule drops. Prints JSON: lists of ms
for one element through libnftables, through the nft command, and for the set replaced in one transaction.
"""
import ctypes
import json
import subprocess
import sys
import time

RULESET = """table inet bench {
set deny { type ipv4_addr; }
chain input { type filter hook input priority 0; ip saddr @deny drop; }
}
"""


class Nft:
    def __init__(self):
        self.lib = ctypes.CDLL("libnftables.so.1")
        self.lib.nft_ctx_new.restype = ctypes.c_void_p
        self.lib.nft_run_cmd_from_buffer.argtypes = [ctypes.c_void_p, ctypes.c_char_p]
        self.context = self.lib.nft_ctx_new(0)

    def run(self, text):
        if self.lib.nft_run_cmd_from_buffer(self.context, text.encode()):
            raise SystemExit("nft refuses the rules")


def address(i):
    return f"10.{i >> 16 & 255}.{i >> 8 & 255}.{i & 255}"


def elements(first, count):
    return ", ".join(address(i) for i in range(first, first + count))


def timed(work, argument):
    start = time.perf_counter()
    work(argument)
    return (time.perf_counter() - start) * 1e3


def by_command(text):
    subprocess.run(["nft", text], check=True)


def main(loaded, samples, batches, replaces):
    nft = Nft()
    nft.run(RULESET + f"add element inet bench deny {{ {elements(0, loaded)} }}\n")
    fresh = iter(range(1 << 23, 1 << 24))
    result = {name: [[timed(work, f"add element inet bench deny {{ {address(next(fresh))} }}")
                      for _ in range(samples)] for _ in range(batches)]
              for name, work in (("library", nft.run), ("command", by_command))}
    full = "flush set inet bench deny\nadd element inet bench deny {{ {} }}\n"
    result["replace"] = [timed(nft.run, full.format(elements(i + 1 << 18, loaded))) for i in range(replaces)]
    print(json.dumps(result))


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
