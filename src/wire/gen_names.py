#!/usr/bin/env python3
"""Make the perfect hash over the names of headers.def: gen_names.py HEADERS.DEF OUTPUT.C

The hash is (length * A + first * B + middle * C + last * D) mod SLOTS over lower-cased bytes; the search for
A..D is deterministic, so the same table gives the same file.
"""
import itertools
import re
import sys

SLOTS = 1024


def hashed(name, mul):
    b = name.encode()
    return (len(b) * mul[0] + b[0] * mul[1] + b[len(b) // 2] * mul[2] + b[-1] * mul[3] + b[len(b) * 3 // 4] * mul[4]) % SLOTS


def main():
    table = re.findall(r'^RF_HEADER\((\w+),\s*"([a-z0-9-]+)"', open(sys.argv[1]).read(), re.M)
    names = [name for _, name in table]
    assert len(set(names)) == len(names) < 255, "a name is there twice, or there are too many"
    primes = [1, 3, 5, 7, 11, 13, 17, 19, 23, 29, 31, 37, 41, 43, 47, 53]
    for mul in itertools.product(primes, repeat=5):
        if len({hashed(n, mul) for n in names}) == len(names):
            break
    else:
        sys.exit("no perfect hash found: raise SLOTS")
    with open(sys.argv[2], "w") as out:
        out.write('/* Made by src/wire/gen_names.py from tbl/headers.def. */\n#include "wire/http1_names_hash.h"\n\n')
        out.write("const uint16_t rf_http_names_mul[5] = { %s };\n" % ", ".join(map(str, mul)))
        out.write("const uint8_t rf_http_names_slot[%d] = {\n" % SLOTS)
        for slot, name, ident in sorted((hashed(n, mul), n, i) for i, n in table):
            out.write("\t[%d] = RF_HDR_%s,\n" % (slot, ident))
        out.write("};\n")


main()
