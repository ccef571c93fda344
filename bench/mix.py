"""The rules and requests of `bench/run rules`: what a fleet's operator writes, in four dialects, from one seed.

Of each ten rules: three exact paths (one with its method), a host with a path, a header that contains something, a
wildcard over the path, a pattern with a literal over the query, an address list, and two on devices. The first RARE
patterns of a set have no literal. What the peers have no word for (devices) is a header there.
"""
import json
import random

RARE = 8
WORDS = ("setup config status upload reading firmware camera video stream login user admin network wifi time report "
         "event alarm export backup system device sensor power meter valve door light motor relay pump").split()
CLASSES = ("camera", "meter", "gateway", "lock", "thermostat")
AGENTS = ("lwIP/2.1.2 (http client; device {})", "ESP32HTTPClient/1.2 id={}", "okhttp/4.9.{} (Android 11; SmartHub)",
          "Mozilla/5.0 (X11; Linux armv7l) AppleWebKit/537.36 unit-{}", "curl/7.{}.1", "cpp-httplib/0.{} (meter)")


class Rule:
    """One rule: our expression, and what the peers make of it."""

    def __init__(self, expression, haproxy, modsecurity):
        self.expression = expression
        self.haproxy = haproxy           # conditions of an ACL, all of which must hold
        self.modsecurity = modsecurity   # (variable, operator) pairs, chained


def name(rng):
    return f"{rng.choice(WORDS)}{rng.randrange(1 << 20):x}"


def exact(rng, method):
    path = f"/{rng.choice(WORDS)}/{name(rng)}.cgi"
    if not method:
        return Rule(f'http.request.uri.path eq "{path}"', [f"path {path}"], [("REQUEST_FILENAME", f"@streq {path}")])
    return Rule(f'http.request.method eq "POST" and http.request.uri.path eq "{path}"', ["method POST", f"path {path}"],
                [("REQUEST_METHOD", "@streq POST"), ("REQUEST_FILENAME", f"@streq {path}")])


def host(rng):
    at, path = f"{name(rng)}.example.net", f"/api/{name(rng)}"
    return Rule(f'http.host eq "{at}" and http.request.uri.path eq "{path}"', [f"hdr(host) {at}", f"path {path}"],
                [("REQUEST_HEADERS:Host", f"@streq {at}"), ("REQUEST_FILENAME", f"@streq {path}")])


def header(rng):
    bot = f"Bot-{name(rng)}"
    return Rule(f'http.user_agent contains "{bot}"', [f"req.hdr(user-agent) -m sub {bot}"],
                [("REQUEST_HEADERS:User-Agent", f"@contains {bot}")])


def wildcard(rng):
    a, b = rng.choice(WORDS), name(rng)
    return Rule(f'http.request.uri.path wildcard "/{a}/*/{b}/*"', [f"path -i -m reg ^/{a}/.*/{b}/"],
                [("REQUEST_FILENAME", f"@rx (?i)^/{a}/.*/{b}/")])


def pattern(rng, rare):
    if rare:
        n, c = rng.randrange(3, 9), rng.choice("bcdfgh")
        text = f"^[{c}k-p]{{{n}}}=[0-9]+;"
    else:
        text = f"cmd={name(rng)}[a-z]*%3[bB]"
    return Rule(f'http.request.uri.query matches r"{text}"', [f"query -m reg {text}"], [("QUERY_STRING", f"@rx {text}")])


def addresses(rng):
    nets = " ".join(f"{rng.randrange(1, 224)}.{rng.randrange(256)}.{rng.randrange(256)}.0/24" for _ in range(4))
    return Rule(f"ip.src in {{{nets}}}", [f"src {nets}"], [("REMOTE_ADDR", f"@ipMatch {nets.replace(' ', ',')}")])


def patch(rng):
    kind, path, major = rng.choice(CLASSES), f"/{rng.choice(WORDS)}/{name(rng)}", rng.randrange(1, 5)
    return Rule(f'device.class eq "{kind}" and device.firmware lt "{major}.4" and http.request.uri.path eq "{path}"',
                [f"req.hdr(x-class) {kind}", f"path {path}"],
                [("REQUEST_HEADERS:X-Class", f"@streq {kind}"), ("REQUEST_FILENAME", f"@streq {path}")])


def model(rng):
    what = f"model-{name(rng)}"
    return Rule(f'device.model eq "{what}" and http.request.method in {{"PUT" "POST"}}',
                [f"req.hdr(x-model) {what}", "method PUT POST"],
                [("REQUEST_HEADERS:X-Model", f"@streq {what}"), ("REQUEST_METHOD", "@pm PUT POST")])


def rules(count, seed=1):
    rng = random.Random(seed)
    makers = (exact, exact, exact, host, header, wildcard, pattern, addresses, patch, model)
    made, rare = [], 0
    for i in range(count):
        make = makers[i % len(makers)]
        if make is exact:
            made.append(exact(rng, i % 10 == 0))
        elif make is pattern:
            made.append(pattern(rng, rare < RARE and i % 20 < 10))
            rare += rare < RARE and i % 20 < 10
        else:
            made.append(make(rng))
    return made


def document(made):
    return json.dumps({"rules": [{"expression": rule.expression, "action": "block"} for rule in made]})


def requests(count, seed=2):
    """Facts of requests that devices send; none is meant by a rule."""
    rng = random.Random(seed)
    made = []
    for i in range(count):
        path = "/" + "/".join([rng.choice(("api", "v1", "data")), *(rng.choice(WORDS) for _ in range(rng.randrange(1, 4)))])
        agent = rng.choice(AGENTS).format(rng.randrange(10000))
        made.append({
            "http.host": rng.choice(("devices.example.com", "api.example.com", f"{rng.choice(WORDS)}.example.net")),
            "http.request.method": rng.choice(("GET", "GET", "POST", "PUT")),
            "http.request.uri.path": f"{path}/{rng.randrange(1 << 16)}",
            "http.request.uri.query": rng.choice(("", f"id={i}&t={rng.randrange(1 << 30)}", f"unit=c&page={i % 50}&order=desc")),
            "http.user_agent": agent,
            "ip.src": f"10.{rng.randrange(256)}.{rng.randrange(256)}.{rng.randrange(256)}",
            "device.known": True, "device.class": rng.choice(CLASSES), "device.model": f"model-{rng.choice(WORDS)}",
            "device.firmware": f"{rng.randrange(1, 5)}.{rng.randrange(9)}.{rng.randrange(20)}",
            "http.request.headers": {"user-agent": agent, "accept": "*/*", "content-type": "application/json"},
        })
    return made
