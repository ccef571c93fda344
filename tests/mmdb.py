#!/usr/bin/env python3
"""Writes small databases of addresses in the MaxMind DB format, version 2, for tests.

write(path, "GeoLite2-City", {"192.0.2.0/24": {...}, "2001:db8::/32": {...}}). Run alone, it makes the corpus of the fuzz
target `mmdb` anew, hostile files among them."""
import ipaddress
import os
import struct
import sys

MARKER = b"\xab\xcd\xefMaxMind.com"


def head(kind, size):
    extended = kind > 7
    low = size if size < 29 else 29 if size < 285 else 30 if size < 65821 else 31
    more = b"" if low < 29 else struct.pack(">I", size - (29, 285, 65821)[low - 29])[-(low - 28):]
    return bytes([(0 if extended else kind) << 5 | low]) + (bytes([kind - 7]) if extended else b"") + more


class Float(float):
    """Four bytes instead of eight."""


def encode(v):
    if isinstance(v, bool):
        return head(14, int(v))
    if isinstance(v, str):
        raw = v.encode()
        return head(2, len(raw)) + raw
    if isinstance(v, Float):
        return head(15, 4) + struct.pack(">f", v)
    if isinstance(v, float):
        return head(3, 8) + struct.pack(">d", v)
    if isinstance(v, int):
        raw = v.to_bytes(8, "big").lstrip(b"\0")
        return head(6 if len(raw) <= 4 else 9, len(raw)) + raw
    if isinstance(v, dict):
        return head(7, len(v)) + b"".join(encode(k) + encode(x) for k, x in v.items())
    if isinstance(v, list):
        return head(11, len(v)) + b"".join(encode(x) for x in v)
    raise TypeError(type(v))


def pointer(at):
    return bytes([1 << 5 | at >> 8 & 7, at & 255]) if at < 2048 else bytes([1 << 5 | 3 << 3]) + struct.pack(">I", at)


def build(kind, entries, version=6, record=28, **meta):
    """The bytes of a database; `meta` overrides what it says about itself."""
    nodes, data, places = [[None, None]], b"", {}
    for network, value in entries.items():
        net = ipaddress.ip_network(network)
        raw = encode(value)
        if raw not in places:
            places[raw] = len(data)
            data += raw
        bits = int(net.network_address)
        width, length = (32, net.prefixlen) if net.version == 4 else (128, net.prefixlen)
        if version == 6 and net.version == 4:
            width, length = 128, 96 + net.prefixlen
        node = 0
        for i in range(length):
            side = bits >> (width - 1 - i) & 1
            if i == length - 1:
                nodes[node][side] = ("data", places[raw])
            else:
                if not isinstance(nodes[node][side], int):
                    nodes.append([None, None])
                    nodes[node][side] = len(nodes) - 1
                node = nodes[node][side]
    count = len(nodes)

    def number(r):
        return count if r is None else r if isinstance(r, int) else count + 16 + r[1]
    tree = b""
    for left, right in ((number(a), number(b)) for a, b in nodes):
        if record == 24:
            tree += struct.pack(">I", left)[1:] + struct.pack(">I", right)[1:]
        elif record == 28:
            tree += struct.pack(">I", left)[1:] + bytes([left >> 24 << 4 | right >> 24]) + struct.pack(">I", right)[1:]
        else:
            tree += struct.pack(">II", left, right)
    about = {"node_count": count, "record_size": record, "ip_version": version, "database_type": kind, "languages": ["en"],
             "binary_format_major_version": 2, "binary_format_minor_version": 0, "build_epoch": 1700000000,
             "description": {"en": "test"}}
    about.update(meta)
    return tree + b"\0" * 16 + data + MARKER + encode(about)


def write(path, kind, entries, **more):
    new = f"{path}.new"
    with open(new, "wb") as f:
        f.write(build(kind, entries, **more))
    os.replace(new, path)


BERLIN = {"continent": {"code": "EU", "names": {"en": "Europe"}},
          "country": {"iso_code": "DE", "is_in_european_union": True, "names": {"en": "Germany"}},
          "city": {"names": {"en": "Berlin", "de": "Berlin"}}, "postal": {"code": "10115"},
          "location": {"latitude": 52.52, "longitude": 13.405, "time_zone": "Europe/Berlin", "metro_code": 635},
          "subdivisions": [{"iso_code": "BE", "names": {"en": "Land Berlin"}}, {"iso_code": "MI", "names": {"en": "Mitte"}}]}
BERN = {"continent": {"code": "EU"}, "country": {"iso_code": "CH"}, "location": {"latitude": Float(46.5), "longitude": -7.25}}
PLACES = {"192.0.2.0/24": BERLIN, "2001:db8::/32": BERN, "198.51.100.7/32": {"registered_country": {"iso_code": "FR"}}}
SYSTEMS = {"192.0.2.0/24": {"autonomous_system_number": 64500, "autonomous_system_organization": "Example"},
           "2001:db8::/32": {"autonomous_system_number": 4200000000}}


def corpus(to):
    os.makedirs(to, exist_ok=True)
    city = build("GeoLite2-City", PLACES)
    at = city.index(MARKER)
    files = {
        "city": city, "city_24": build("GeoLite2-City", PLACES, record=24), "city_32": build("DBIP-City", PLACES, record=32),
        "country": build("GeoLite2-Country", {"192.0.2.0/24": {"country": {"iso_code": "DE"}}}, version=4, record=24),
        "asn": build("GeoLite2-ASN", SYSTEMS), "empty": b"", "marker_alone": MARKER, "no_metadata": city[:at],
        "cut_tree": city[:100] + city[at:], "cut_metadata": city[:-20], "other_format": build("City", {}, binary_format_major_version=3),
        "record_size_7": build("City", {}, record=24, record_size=7), "many_nodes": build("City", PLACES, node_count=4000000000),
        "no_nodes": build("City", {}, node_count=0), "ip_version_9": build("City", {}, ip_version=9),
        "no_type": build("City", {}, database_type=5), "more_nodes_than_there_are": build("City", PLACES, node_count=20),
        "garbled_data": city[:at - 200] + bytes(range(200)) + city[at:], "pointer_to_itself": None, "deep": None, "wide": None,
        "long_text": build("City", {"192.0.2.0/24": {"country": {"iso_code": "x" * 70000}}}),
        "array_country": build("City", {"192.0.2.0/24": [1, 2, {"a": 3}]}), "scalar": build("City", {"192.0.2.0/24": 7}),
        "bool_text": build("City", {"192.0.2.0/24": {"country": {"is_in_european_union": "yes", "iso_code": True}}}),
    }

    def raw(data):
        b = build("City", {"192.0.2.0/24": "0123456789" * 4})
        return b.replace(encode("0123456789" * 4), data.ljust(42, b"\0"))
    files["pointer_to_itself"] = raw(pointer(0))
    files["pointer_past_the_end"] = raw(pointer(70000))
    files["pointer_in_key"] = raw(head(7, 1) + pointer(0) + b"\x41x")
    files["wide"] = raw(head(7, 16000000))
    files["wide_array"] = raw(head(11, 16000000) + b"\xa0" * 20)
    files["deep"] = raw(head(7, 1) + b"\x41a" + head(11, 1) * 12)
    files["extended_type_200"] = raw(b"\x00\xf0")
    for name, b in files.items():
        with open(os.path.join(to, name), "wb") as f:
            f.write(b)


if __name__ == "__main__":
    corpus(sys.argv[1] if len(sys.argv) > 1 else os.path.join(os.path.dirname(os.path.abspath(__file__)), "fuzz/corpus/mmdb"))
