/* api/check: the named checks of texts in tbl/resources.def.
 *
 * Each is a predicate with the words for what it wants; "a|b|c" is one of these words.
 *
 * Not here: what needs the state, such as whether an id names something.
 */
#include "api/schema.h"
#include "base/ip.h"
#include "api/names.h"
#include "wire/http1_names.h"
#include "wire/portspec.h"

static bool all_of(const char *s, const char *set)
{
	return strspn(s, set) == strlen(s);
}

#define LOWER_HEX "0123456789abcdef"
#define DIGITS "0123456789"
#define LETTERS "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"

static bool is_id(const char *s) { return strlen(s) == 32 && all_of(s, LOWER_HEX); }
static bool is_id_or_empty(const char *s) { return !*s || is_id(s); }
static bool is_root(const char *s) { return is_id(s) || strcmp(s, "device_ca") == 0; }
static bool is_hex(const char *s) { return all_of(s, LOWER_HEX "ABCDEF"); }

/* [RFC 1123 2.1], with the underscore that the field has. */
static bool is_hostname(const char *s)
{
	struct rf_str rest = rf_str_z(s), label;
	if (!*s || rest.n > 253)
		return false;
	while (rf_str_split(&rest, '.', &label)) {
		if (!label.n || label.n > 63 || label.p[0] == '-' || label.p[label.n - 1] == '-')
			return false;
		for (size_t i = 0; i < label.n; i++)
			if (!strchr(LETTERS DIGITS "-_", label.p[i]))
				return false;
	}
	return s[strlen(s) - 1] != '.';
}

static bool is_hostname_or_empty(const char *s) { return !*s || is_hostname(s); }
static bool is_hostpattern(const char *s) { return is_hostname(strncmp(s, "*.", 2) == 0 ? s + 2 : s); }

static bool is_prefix(const char *s)
{
	struct rf_prefix p;
	return rf_prefix_parse(rf_str_z(s), false, &p);
}

static bool is_listname(const char *s)
{
	return *s && strlen(s) <= 50 && all_of(s, "abcdefghijklmnopqrstuvwxyz_" DIGITS);
}

static bool is_slug(const char *s)
{
	return *s && *s != '-' && *s != '.' && all_of(s, LOWER_HEX "ghijklmnopqrstuvwxyz-._");
}

/* CVE-year-number, of four digits or more. */
static bool is_cve(const char *s)
{
	return strncmp(s, "CVE-", 4) == 0 && strspn(s + 4, DIGITS) == 4 && s[8] == '-' && strlen(s + 9) >= 4 &&
	       strlen(s + 9) <= 19 && all_of(s + 9, DIGITS);
}

static bool is_visible(const char *s)
{
	for (; *s; s++)
		if ((unsigned char)*s <= ' ' || *s == 0x7f)
			return false;
	return true;
}

static bool is_tag(const char *s) { return *s && strlen(s) <= 128 && is_visible(s); }
static bool is_path(const char *s) { return *s == '/' && is_visible(s); }

static bool is_url(const char *s)
{
	size_t skip = strncmp(s, "http://", 7) == 0 ? 7 : strncmp(s, "https://", 8) == 0 ? 8 : 0;
	return skip && s[skip] && s[skip] != '/' && strlen(s) <= 2048 && is_visible(s);
}

/* "http://host[:port]" with nothing after it; IPv6 in brackets. */
static bool is_origin(const char *s)
{
	if (!is_url(s))
		return false;
	struct rf_str rest = rf_str_z(strstr(s, "://") + 3), host = rest;
	if (rest.p[0] == '[') {
		size_t end = rf_str_find(rest, ']');
		struct rf_ip ip;
		if (end == rest.n || !rf_ip_parse((struct rf_str){ rest.p + 1, end - 1 }, &ip) || ip.family != 6)
			return false;
		rest = rf_str_skip(rest, end + 1);
	} else {
		host.n = rf_str_find(rest, ':');
		char name[256];
		if (host.n >= sizeof name)
			return false;
		memcpy(name, host.p, host.n);
		name[host.n] = '\0';
		if (!is_hostname(name))
			return false;
		rest = rf_str_skip(rest, host.n);
	}
	uint64_t port;
	return !rest.n || (rest.p[0] == ':' && rf_str_u64(rf_str_skip(rest, 1), &port) && port >= 1 && port <= 65535);
}

static bool is_header(const char *s) /* token [RFC 9110 5.6.2] */
{
	return *s && all_of(s, LETTERS DIGITS "!#$%&'*+-.^_`|~") && !rf_http_name_reserved(rf_str_z(s));
}

static bool is_ip(const char *s)
{
	struct rf_ip ip;
	return rf_ip_parse(rf_str_z(s), &ip);
}

static bool is_protocol(const char *s)
{
	struct rf_port_range r;
	bool udp;
	return rf_protocol_parse(rf_str_z(s), &udp, &r);
}

static bool is_endpoint(const char *s)
{
	struct rf_endpoint e;
	struct rf_ip ip;
	char host[256];
	if (!rf_endpoint_parse(rf_str_z(s), &e) || e.host.n >= sizeof host)
		return false;
	memcpy(host, e.host.p, e.host.n);
	host[e.host.n] = '\0';
	return rf_ip_parse(e.host, &ip) || is_hostname(host);
}

static const struct {
	const char *name;
	bool (*good)(const char *s);
	const char *want;
} checks[] = {
	{ "@id", is_id, "an id of 32 hexadecimal digits" },
	{ "@id_or_empty", is_id_or_empty, "an id of 32 hexadecimal digits, or empty" },
	{ "@root", is_root, "the id of an mtls_certificate, or device_ca" },
	{ "@hex", is_hex, "hexadecimal" },
	{ "@hostname", is_hostname, "a host name" },
	{ "@hostname_or_empty", is_hostname_or_empty, "a host name, or empty" },
	{ "@hostpattern", is_hostpattern, "a host name, or *. and a host name" },
	{ "@prefix", is_prefix, "an address, or a prefix such as 192.0.2.0/24" },
	{ "@listname", is_listname, "1 to 50 lower-case letters, digits and underscores" },
	{ "@slug", is_slug, "lower-case letters, digits and - . _, beginning with a letter or digit" },
	{ "@cve", is_cve, "a name such as CVE-2014-6271" },
	{ "@tag", is_tag, "a word of 1 to 128 bytes without spaces" },
	{ "@path", is_path, "a path that begins with / and has no spaces" },
	{ "@url", is_url, "an http: or https: URL" },
	{ "@origin", is_origin, "http://host:port or https://host:port, without a path" },
	{ "@ip", is_ip, "an address" },
	{ "@protocol", is_protocol, "tcp/ or udp/ with a port or an ascending range of ports from 1 to 65535, such as tcp/22 or udp/5000-5999" },
	{ "@endpoint", is_endpoint, "tcp://host:port or udp://host:port, where the port may be a range" },
	{ "@header", is_header, "the name of a header, and of none that the edge writes itself" },
	{ "@template", rf_name_is_template, "a template over fields of a certificate, such as ${cert.subject.cn}" },
	{ "@phase", rf_name_is_phase, "a phase of rules, such as http_request" },
	{ "@scope", rf_name_is_scope, "a scope: *, read, NOUN:read, NOUN:write, or its id" },
};

static bool one_of(const char *words, const char *value)
{
	struct rf_str rest = rf_str_z(words), word;
	while (rf_str_split(&rest, '|', &word))
		if (rf_str_eq(word, rf_str_z(value)))
			return true;
	return false;
}

const char *rf_check_text(const char *check, const char *value)
{
	if (!check[0])
		return NULL;
	if (check[0] != '@')
		return one_of(check, value) ? NULL : check;
	for (size_t i = 0; i < sizeof checks / sizeof *checks; i++)
		if (strcmp(checks[i].name, check) == 0)
			return checks[i].good(value) ? NULL : checks[i].want;
	return "something that this program does not know (a row of its table is wrong)";
}
