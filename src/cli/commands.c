/* cli/commands: the table of all commands.
 *
 * One row a command: what it takes, the request it makes, the columns it shows, an example. Parsing, help,
 * completion and the manual page ringfence(1) are made from it. A row without a function of its own is one
 * request (cli/generic).
 */
#include "cli/cli.h"

#define OPTS(...) (const struct cli_option[]){ __VA_ARGS__, { .name = NULL } }
#define OPTION(n, v, u, t, d, ...) { .name = n, .value = v, .use = u, .to = t, .doc = d, __VA_ARGS__ }
#define ARG(n, u, t, d) OPTION(n, NULL, u, t, d, .required = true)
#define ARG_OPT(n, u, t, d) OPTION(n, NULL, u, t, d, .required = false)
#define ARGS(n, u, t, d) OPTION(n, NULL, u, t, d, .required = true, .many = true)
#define ARGS_OPT(n, u, t, d) OPTION(n, NULL, u, t, d, .many = true)
#define OPT(n, v, u, t, d) OPTION(n, v, u, t, d, .required = false)
#define OPT_REQ(n, v, u, t, d) OPTION(n, v, u, t, d, .required = true)
#define OPTS_MANY(n, v, u, t, d) OPTION(n, v, u, t, d, .many = true)
#define OPTS_REQ(n, v, u, t, d) OPTION(n, v, u, t, d, .required = true, .many = true)
#define SWITCH(n, u, t, d) OPTION(n, NULL, u, t, d, .required = false)
#define DRY SWITCH("dry-run", CLI_LOCAL, NULL, "check, and change nothing")
#define OF_ZONE OPT("zone", "ZONE", CLI_LOCAL, NULL, "of this zone's hosts and ports alone")
#define ZONE OPT("zone", "ZONE", CLI_LOCAL, NULL, "name or id, where there are several")
#define AC "/accounts/{account}"

const struct cli_noun cli_nouns[] = {
	{ "status", "what runs here: version, account, zones, counts" },
	{ "device", "identities: add, look at, revoke, quarantine" },
	{ "class", "what devices of a kind share: limits, binding" },
	{ "app", "hosts at the edge" },
	{ "origin", "the servers behind an app" },
	{ "port", "TCP and UDP ports of the edge, and ranges of them" },
	{ "zone", "domains whose hosts the edge serves" },
	{ "cert", "server certificates of a zone's hosts" },
	{ "rule", "expressions and what happens where they match" },
	{ "patch", "virtual patches: flaws stopped until firmware is fixed" },
	{ "pack", "virtual patches for public flaws, signed, as one file" },
	{ "list", "named lists of addresses, hosts, numbers or texts for rules" },
	{ "access", "sources that may never, or always, reach the edge" },
	{ "attack", "floods: what they are, what stops them, exceptions" },
	{ "shield", "the kernel filter: what it passed and dropped" },
	{ "ca", "our device CA and uploaded roots" },
	{ "token", "credentials of the API" },
	{ "record", "what the edge decided, one line a request" },
	{ "audit", "who changed what" },
	{ "reload", "read boot file, certificates, keys and lists again" },
	{ "apply", "bring the state in line with a file" },
	{ "export", "the state as a file for apply" },
	{ "explain", "every verdict on a device's request, in order" },
	{ "completion", "completion for bash, zsh or fish" },
};
const size_t cli_noun_count = sizeof cli_nouns / sizeof *cli_nouns;

#define DEVICE_TEXTS \
	OPT("model", "TEXT", CLI_TEXT, "model", "model"), OPT("firmware", "VERSION", CLI_TEXT, "firmware", "firmware version"), \
	OPT("owner", "TEXT", CLI_TEXT, "owner", "owner"), \
	OPTS_MANY("tag", "TAG", CLI_EACH, "tags", "word or key=value; may be repeated")
#define CLASS_BODY \
	OPT("description", "TEXT", CLI_TEXT, "description", "for people"), \
	OPT("bind", "HOW", CLI_TEXT, "bind", "ski, fingerprint or template: how a certificate becomes a device"), \
	OPT("template", "TEXT", CLI_TEXT, "bind_template", "of bind template: '${cert.subject.cn}'"), \
	OPTS_MANY("root", "ROOT", CLI_ROOTS, "roots", "an uploaded root, or device_ca; may be repeated"), \
	SWITCH("first-sight", CLI_TRUE, "first_sight", "create devices when they are first seen"), \
	OPT("max-connections", "N", CLI_INT, "max_connections", "of one device; 0: no bound"), \
	OPT("max-requests", "N", CLI_INT, "max_requests", "of one device at the same time"), \
	OPT("class-max-connections", "N", CLI_INT, "class_max_connections", "of all its devices together; 0: no bound"), \
	OPT("class-max-requests", "N", CLI_INT, "class_max_requests", "of all its devices together, at the same time"), \
	OPT("rate", "N", CLI_INT, "rate/requests", "requests of one device in each second"), \
	OPT("burst", "N", CLI_INT, "rate/burst", "and so many at once"), \
	SWITCH("flood-exempt", CLI_TRUE, "flood_exempt", "never throttle or quarantine them as attackers")
#define SET OPTS_MANY("set", "MEMBER=VALUE", CLI_SET, NULL, "any member of the object in ringfence-api(7), such as health/fall=2; VALUE is JSON, or a text")
#define APP_BODY \
	OPT("client-auth", "MODE", CLI_TEXT, "client_auth", "enforce (default), report or off"), \
	OPTS_MANY("root", "ROOT", CLI_ROOTS, "roots", "roots that its hosts accept; device_ca where none"), \
	OPT("balance", "HOW", CLI_TEXT, "balance", "round_robin, least_conn or device"), \
	OPT("health-path", "PATH", CLI_TEXT, "health/path", "check origins at this path"), \
	OPT("max-body", "BYTES", CLI_INT, "max_body", "largest body of a request"), \
	OPT("deny-json", "FILE", CLI_FILE, "deny_json", "body of a refusal"), \
	OPT("origin-ca", "FILE", CLI_FILE, "origin_ca", "roots to verify origins with"), \
	SWITCH("refuse-handshake", CLI_TRUE, "refuse_handshake", "of enforce: refuse in the TLS handshake"), \
	SWITCH("forward-certificate", CLI_TRUE, "forward_certificate", "send the client certificate to the origin"), SET
#define ORIGIN_BODY \
	OPT("weight", "N", CLI_INT, "weight", "share of the requests; 0: no new ones"), \
	OPT("pipeline", "N", CLI_INT, "pipeline", "requests that share a connection to it at once; 0: none"), \
	SWITCH("backup", CLI_TRUE, "backup", "only when no other is healthy"), \
	SWITCH("no-verify", CLI_FALSE, "verify", "do not verify its certificate"), \
	OPT("tls-name", "HOST", CLI_TEXT, "tls_name", "name to verify")
#define PORT_BODY \
	OPTS_MANY("origin", "URL", CLI_LOCAL, NULL, "tcp://host:port or udp://host:port; may be repeated"), \
	OPT("origin-name", "HOST", CLI_TEXT, "origin_dns/name", "instead: origins by this name"), \
	OPT("origin-type", "TYPE", CLI_TEXT, "origin_dns/type", "its records: A, AAAA or SRV; A and AAAA where absent"), \
	OPT("origin-port", "PORT", CLI_TEXT, "origin_port", "and their port, or range of ports"), \
	OPTS_MANY("address", "IP", CLI_LOCAL, NULL, "only at this address of the edge; may be repeated"), \
	OPT("tls", "MODE", CLI_TEXT, "tls", "off (default), flexible, full or strict"), \
	OPT("proxy-protocol", "V", CLI_TEXT, "proxy_protocol", "tell the origin who it is: v1, v2; of UDP simple"), \
	OPT("guard", "PROTOCOL", CLI_TEXT, "guard", "clients must speak ssh, mqtt, modbus, dns, ..."), \
	OPT("client-auth", "MODE", CLI_TEXT, "client_auth", "of TLS: enforce, report or off (default)"), \
	OPT("max-connections", "N", CLI_INT, "max_connections", "at once, or sessions of UDP"), SET
#define RULE_BODY \
	OPT("action", "ACTION", CLI_TEXT, "action", "block, log, allow, ...: ringfence-rules(5)"), \
	OPT("description", "TEXT", CLI_TEXT, "description", "shown in records"), \
	OPT("name", "NAME", CLI_TEXT, "ref", "a name of your own"), \
	OPT("priority", "N", CLI_INT, "priority", "smaller first"), \
	OPT("parameters", "JSON", CLI_LOCAL, NULL, "action_parameters"), \
	OPT("status", "N", CLI_LOCAL, NULL, "status of the answer"), \
	OPT("body", "TEXT", CLI_LOCAL, NULL, "its body; JSON where it begins with {"), \
	SWITCH("disabled", CLI_FALSE, "enabled", "do not put it in force"), \
	OPT("before", "RULE", CLI_LOCAL, NULL, "put it before this rule"), \
	OPT("after", "RULE", CLI_LOCAL, NULL, "put it after this rule"), \
	OPT("index", "N", CLI_INT, "position/index", "put it at this place, from 1")
#define PATCH_BODY \
	OPTS_MANY("cve", "CVE", CLI_EACH, "cve", "CVE-2014-6271; may be repeated"), \
	OPTS_MANY("class", "CLASS", CLI_EACH, "classes", "a class it is for; repeatable; none: all requests"), \
	OPT("until", "EXPRESSION", CLI_TEXT, "until", "over device.*: such a device is fixed"), \
	OPT("title", "TEXT", CLI_TEXT, "title", "shown in records"), \
	OPT("severity", "WORD", CLI_TEXT, "severity", "low, medium, high (default), critical"), \
	OPT("phase", "PHASE", CLI_TEXT, "phase", "http_request (default), connection, ..."), \
	OPT("action", "ACTION", CLI_TEXT, "action", "block (default)"), \
	OPT("parameters", "JSON", CLI_LOCAL, NULL, "action_parameters"), \
	OPT("devices", "TEXT", CLI_TEXT, "devices", "which devices have the flaw, for people"), \
	OPTS_MANY("reference", "URL", CLI_EACH, "references", "where the flaw is described"), \
	OPT("tests", "FILE", CLI_LOCAL, NULL, "attacks and harmless requests, YAML or JSON")
#define PATCH_ARG ARG("PATCH", CLI_OBJECT, "patch", "id or name")
#define PACK_ARG ARG("PACK", CLI_OBJECT, "pack", "id or name")
#define PACK_WHOM \
	OPTS_MANY("class", "CLASS", CLI_EACH, "classes", "for devices of this class; may be repeated"), \
	SWITCH("everywhere", CLI_TRUE, "everywhere", "for all requests"), \
	OPTS_MANY("kind", "KIND", CLI_EACH, "kinds", "only patches for camera, recorder, router, ..."), \
	OPTS_MANY("category", "NAME", CLI_EACH, "categories", "only patches of this category"), \
	OPTS_MANY("patch", "NAME", CLI_EACH, "patches", "only this patch; may be repeated"), DRY
#define PATCH_WHY OPT("reason", "TEXT", CLI_TEXT, "reason", "why; kept in its history")
#define RULE_PLACE \
	OPT("zone", "ZONE", CLI_LOCAL, NULL, "rules of this zone; without it, of the account"), \
	OPT("phase", "PHASE", CLI_LOCAL, NULL, "http_request (default), connection, ...")
#define RECORD_FILTERS \
	OPT("device", "DEVICE", CLI_LOCAL, "DeviceID", "id or name"), OPT("class", "CLASS", CLI_LOCAL, "Class", "class"), \
	OPT("action", "ACTION", CLI_LOCAL, "Action", "allow, block, log or error"), \
	OPT("host", "HOST", CLI_LOCAL, "Host", "host of the request"), \
	OPT("rule", "RULE", CLI_LOCAL, "PolicyID", "id of the rule that decided"), \
	OPT("kind", "KIND", CLI_LOCAL, "Type", "request, connection, event, attack, packet")

const struct cli_command cli_commands[] = {
	{ "status", "", "What runs here", cli_run_status, "GET", AC "/status", NULL, NULL, NULL,
	  "ringfence status\nringfence status --json" },

	{ "device", "list", "List devices", cli_run_generic, "GET", AC "/devices",
	  "name class state live.connections=connections live.last_seen=last_seen id", NULL,
	  OPTS(OPT("class", "CLASS", CLI_QUERY, "class", "of this class"), OPT("state", "STATE", CLI_QUERY, "state", "active, quarantined or revoked"),
	       OPT("search", "TEXT", CLI_QUERY, "search", "whose name holds this")),
	  "ringfence device list --class lamps --state active" },
	{ "device", "show", "Show a device", cli_run_generic, "GET", AC "/devices/{device}", NULL, NULL,
	  OPTS(ARG("DEVICE", CLI_OBJECT, "device", "id or name")), "ringfence device show lamp-7" },
	{ "device", "add", "Add a device, with a key and certificate of our CA", cli_run_device_add, "POST", AC "/devices", NULL, NULL,
	  OPTS(ARG("NAME", CLI_TEXT, "name", "its name"), OPT_REQ("class", "CLASS", CLI_TEXT, "class", "its class"), DEVICE_TEXTS,
	       OPT("days", "N", CLI_INT, "validity_days", "validity of the certificate"),
	       OPT("csr", "FILE", CLI_FILE, "csr", "certify this request's key instead of making one"),
	       SWITCH("no-certificate", CLI_LOCAL, NULL, "only the device; bind a credential later"),
	       OPT("out", "DIR", CLI_LOCAL, NULL, "write NAME.key (0600), NAME.crt and ca.crt there"), DRY),
	  "ringfence device add lamp-7 --class lamps --out bundles/\nringfence device add lamp-8 --class lamps --csr lamp-8.csr" },
	{ "device", "edit", "Change a device", cli_run_generic, "PATCH", AC "/devices/{device}", NULL, "device %s changed",
	  OPTS(ARG("DEVICE", CLI_OBJECT, "device", "id or name"), OPT("name", "NAME", CLI_TEXT, "name", "a new name"),
	       OPT("class", "CLASS", CLI_TEXT, "class", "another class"), DEVICE_TEXTS, DRY),
	  "ringfence device edit lamp-7 --firmware 2.1.0" },
	{ "device", "delete", "Delete a device; it ends what is live", cli_run_generic, "DELETE", AC "/devices/{device}", NULL,
	  "device %s deleted", OPTS(ARG("DEVICE", CLI_OBJECT, "device", "id or name"), DRY), "ringfence device delete lamp-7" },
	{ "device", "revoke", "Revoke a device; it ends what is live", cli_run_generic, "POST", AC "/devices/{device}/revoke", NULL,
	  "device %s revoked", OPTS(ARG("DEVICE", CLI_OBJECT, "device", "id or name"), OPT("reason", "TEXT", CLI_TEXT, "reason", "why"), DRY),
	  "ringfence device revoke lamp-7 --reason 'stolen'" },
	{ "device", "quarantine", "Quarantine a device", cli_run_generic, "POST", AC "/devices/{device}/quarantine", NULL,
	  "device %s quarantined", OPTS(ARG("DEVICE", CLI_OBJECT, "device", "id or name"), OPT("reason", "TEXT", CLI_TEXT, "reason", "why"), DRY),
	  "ringfence device quarantine lamp-7 --reason 'odd traffic'" },
	{ "device", "activate", "Let a quarantined or revoked device in again", cli_run_generic, "POST", AC "/devices/{device}/activate", NULL,
	  "device %s active", OPTS(ARG("DEVICE", CLI_OBJECT, "device", "id or name"), OPT("reason", "TEXT", CLI_TEXT, "reason", "why"), DRY),
	  "ringfence device activate lamp-7" },
	{ "device", "unknown", "Verified certificates that no device has", cli_run_generic, "GET", AC "/devices/unknown",
	  "last_seen connections subject ski root_id=root serial_number=serial", NULL, NULL, "ringfence device unknown" },
	{ "device", "bind", "Bind a certificate, key or address to a device", cli_run_device_bind, "POST", AC "/devices/{device}/credentials", NULL, NULL,
	  OPTS(ARG("DEVICE", CLI_OBJECT, "device", "id or name"), OPT("ski", "HEX", CLI_LOCAL, NULL, "subject key identifier"),
	       OPT("fingerprint", "HEX", CLI_LOCAL, NULL, "SHA-256 of the certificate"),
	       OPT("cert-name", "NAME", CLI_LOCAL, NULL, "what the class's template makes of the certificate"),
	       OPT("serial", "HEX", CLI_LOCAL, NULL, "serial number, with --issuer-ski"),
	       OPT("address", "IP", CLI_LOCAL, NULL, "that is the device's own, behind the edge"),
	       OPT("issuer-ski", "HEX", CLI_TEXT, "issuer_ski", "of --serial"), OPT("root", "ROOT", CLI_OBJECT_ID, "root", "of --cert-name: who vouches"),
	       OPT("comment", "TEXT", CLI_TEXT, "comment", "for people"), DRY),
	  "ringfence device bind lamp-7 --ski 5D:0A:91..." },
	{ "device", "credentials", "What names a device", cli_run_generic, "GET", AC "/devices/{device}/credentials",
	  "kind value comment created_on id", NULL, OPTS(ARG("DEVICE", CLI_OBJECT, "device", "id or name")), "ringfence device credentials lamp-7" },

	{ "class", "list", "List classes", cli_run_generic, "GET", AC "/classes", "name bind first_sight max_connections rate.requests=rate description id",
	  NULL, NULL, "ringfence class list" },
	{ "class", "show", "Show a class", cli_run_generic, "GET", AC "/classes/{class}", NULL, NULL,
	  OPTS(ARG("CLASS", CLI_OBJECT, "class", "id or name")), "ringfence class show lamps" },
	{ "class", "add", "Make a class", cli_run_generic, "POST", AC "/classes", NULL, "class %s added",
	  OPTS(ARG("NAME", CLI_TEXT, "name", "its name"), CLASS_BODY, DRY), "ringfence class add lamps --rate 20 --burst 40" },
	{ "class", "edit", "Change a class", cli_run_generic, "PATCH", AC "/classes/{class}", NULL, "class %s changed",
	  OPTS(ARG("CLASS", CLI_OBJECT, "class", "id or name"), OPT("name", "NAME", CLI_TEXT, "name", "a new name"), CLASS_BODY,
	       SWITCH("no-first-sight", CLI_FALSE, "first_sight", "create no devices"),
	       SWITCH("no-flood-exempt", CLI_FALSE, "flood_exempt", "throttle and quarantine them again"), DRY),
	  "ringfence class edit lamps --max-connections 4" },
	{ "class", "delete", "Delete a class that no device has", cli_run_generic, "DELETE", AC "/classes/{class}", NULL, "class %s deleted",
	  OPTS(ARG("CLASS", CLI_OBJECT, "class", "id or name"), DRY), "ringfence class delete lamps" },

	{ "app", "list", "List apps of all zones, of hosts and of ports", cli_run_app_list, "GET", "/zones/{zone}/apps",
	  "name hosts protocol client_auth enabled origins origin_direct id", NULL, OPTS(ZONE), "ringfence app list" },
	{ "app", "show", "Show an app", cli_run_app, "GET", "/zones/{zone}/apps/{app}", NULL, NULL,
	  OPTS(ARG("APP", CLI_OBJECT, "app", "id or name"), ZONE), "ringfence app show api" },
	{ "app", "add", "Make an app; its zone too, where there is none", cli_run_app_add, "POST", "/zones/{zone}/apps", NULL, "app %s added",
	  OPTS(ARG("NAME", CLI_TEXT, "name", "its name"),
	       OPTS_MANY("host", "HOST", CLI_EACH, "hosts", "api.example.com or *.example.com; may be repeated"),
	       OPT("protocol", "PROTOCOL", CLI_LOCAL, NULL, "instead of hosts: tcp/22, ..., with options of port add"),
	       OPTS_MANY("origin", "URL", CLI_LOCAL, NULL, "http://host:port or https://host:port; repeatable"), ZONE, APP_BODY,
	       SWITCH("disabled", CLI_FALSE, "enabled", "serve nothing yet"), DRY),
	  "ringfence app add api --host api.example.com --origin http://127.0.0.1:9000", "port" },
	{ "app", "edit", "Change an app; of ports by the options of port edit", cli_run_app, "PATCH", "/zones/{zone}/apps/{app}", NULL, "app %s changed",
	  OPTS(ARG("APP", CLI_OBJECT, "app", "id or name"), OPT("name", "NAME", CLI_TEXT, "name", "a new name"),
	       OPTS_MANY("host", "HOST", CLI_EACH, "hosts", "all its hosts; may be repeated"), ZONE, APP_BODY,
	       SWITCH("enable", CLI_TRUE, "enabled", "serve it"), SWITCH("disable", CLI_FALSE, "enabled", "serve it no more"), DRY),
	  "ringfence app edit api --client-auth report", "port" },
	{ "app", "delete", "Delete an app", cli_run_app, "DELETE", "/zones/{zone}/apps/{app}", NULL, "app %s deleted",
	  OPTS(ARG("APP", CLI_OBJECT, "app", "id or name"), ZONE, DRY), "ringfence app delete api" },

	{ "port", "list", "List ports of all zones", cli_run_app_list, "GET", "/zones/{zone}/spectrum/apps",
	  "name protocol tls proxy_protocol=header origin_direct=origins origin_dns.name=origin_name enabled id", NULL, OPTS(ZONE), "ringfence port list" },
	{ "port", "show", "Show a port", cli_run_generic, "GET", "/zones/{zone}/spectrum/apps/{port}", NULL, NULL,
	  OPTS(ARG("PORT", CLI_OBJECT, "port", "id or name"), ZONE), "ringfence port show ssh.example.com/tcp/22" },
	{ "port", "add", "Open a port or a range; its zone too, where there is none", cli_run_port_put, "POST", "/zones/{zone}/spectrum/apps", NULL,
	  "port %s opened",
	  OPTS(ARG("NAME", CLI_LOCAL, NULL, "what it is published under: ssh.example.com"),
	       OPT_REQ("protocol", "PROTOCOL", CLI_LOCAL, NULL, "tcp/22, tcp/1000-2000, udp/5683"), ZONE, PORT_BODY,
	       SWITCH("disabled", CLI_FALSE, "enabled", "serve nothing yet"), DRY),
	  "ringfence port add ssh.example.com --protocol tcp/22 --origin tcp://10.0.0.5\n"
	  "ringfence port add c.example.com --protocol udp/5683 --origin udp://10.0.0.5" },
	{ "port", "edit", "Change a port", cli_run_port_put, "PATCH", "/zones/{zone}/spectrum/apps/{port}", NULL, "port %s changed",
	  OPTS(ARG("PORT", CLI_OBJECT, "port", "id or name"), OPT("protocol", "PROTOCOL", CLI_LOCAL, NULL, "another port or range"), ZONE, PORT_BODY, SWITCH("enable", CLI_TRUE, "enabled", "serve it"),
	       SWITCH("disable", CLI_FALSE, "enabled", "serve it no more"), DRY),
	  "ringfence port edit ssh.example.com/tcp/22 --guard ssh --max-connections 100" },
	{ "port", "delete", "Close a port; it ends what is live", cli_run_generic, "DELETE", "/zones/{zone}/spectrum/apps/{port}", NULL, "port %s closed",
	  OPTS(ARG("PORT", CLI_OBJECT, "port", "id or name"), ZONE, DRY), "ringfence port delete ssh.example.com/tcp/22" },

	{ "origin", "list", "List the origins of an app", cli_run_origin_list, "GET", "/zones/{zone}/apps/{app}", "url weight backup pipeline verify tls_name", NULL,
	  OPTS(ARG("APP", CLI_OBJECT, "app", "id or name"), ZONE), "ringfence origin list api" },
	{ "origin", "add", "Add an origin to an app", cli_run_origin_add, "PATCH", "/zones/{zone}/apps/{app}", NULL, "origin added to app %s",
	  OPTS(ARG("APP", CLI_OBJECT, "app", "id or name"), ARG("URL", CLI_LOCAL, NULL, "http://host:port or https://host:port"), ZONE, ORIGIN_BODY, DRY),
	  "ringfence origin add api https://10.0.0.5:8443 --weight 2" },
	{ "origin", "edit", "Change an origin of an app", cli_run_origin_edit, "PATCH", "/zones/{zone}/apps/{app}", NULL, "origin of app %s changed",
	  OPTS(ARG("APP", CLI_OBJECT, "app", "id or name"), ARG("URL", CLI_LOCAL, NULL, "as shown by origin list"), ZONE, ORIGIN_BODY, DRY),
	  "ringfence origin edit api https://10.0.0.5:8443 --pipeline 16" },
	{ "origin", "delete", "Remove an origin from an app", cli_run_origin_delete, "PATCH", "/zones/{zone}/apps/{app}", NULL, "origin removed from app %s",
	  OPTS(ARG("APP", CLI_OBJECT, "app", "id or name"), ARG("URL", CLI_LOCAL, NULL, "as shown by origin list"), ZONE, DRY),
	  "ringfence origin delete api https://10.0.0.5:8443" },

	{ "zone", "list", "List zones", cli_run_generic, "GET", "/zones", "name status paused created_on id", NULL, NULL, "ringfence zone list" },
	{ "zone", "show", "Show a zone", cli_run_generic, "GET", "/zones/{zone}", NULL, NULL, OPTS(ARG("ZONE", CLI_OBJECT, "zone", "id or name")),
	  "ringfence zone show example.com" },
	{ "zone", "add", "Make a zone", cli_run_generic, "POST", "/zones", NULL, "zone %s added", OPTS(ARG("NAME", CLI_TEXT, "name", "the domain"), DRY),
	  "ringfence zone add example.com" },
	{ "zone", "pause", "Serve nothing of a zone", cli_run_zone_pause, "PATCH", "/zones/{zone}", NULL, "zone %s paused",
	  OPTS(ARG("ZONE", CLI_OBJECT, "zone", "id or name"), DRY), "ringfence zone pause example.com" },
	{ "zone", "resume", "Serve a paused zone again", cli_run_zone_pause, "PATCH", "/zones/{zone}", NULL, "zone %s serves again",
	  OPTS(ARG("ZONE", CLI_OBJECT, "zone", "id or name"), DRY), "ringfence zone resume example.com" },
	{ "zone", "delete", "Delete a zone with its apps and rules", cli_run_generic, "DELETE", "/zones/{zone}", NULL, "zone %s deleted",
	  OPTS(ARG("ZONE", CLI_OBJECT, "zone", "id or name"), DRY), "ringfence zone delete example.com" },

	{ "cert", "list", "List server certificates of a zone", cli_run_generic, "GET", "/zones/{zone}/custom_certificates",
	  "hosts status expires_on issuer id", NULL, OPTS(ZONE), "ringfence cert list --zone example.com" },
	{ "cert", "add", "Upload a server certificate and its key", cli_run_generic, "POST", "/zones/{zone}/custom_certificates", NULL, "certificate %s added",
	  OPTS(OPT_REQ("certificate", "FILE", CLI_FILE, "certificate", "PEM: the leaf, then its chain"),
	       OPT_REQ("key", "FILE", CLI_FILE, "private_key", "PEM"), ZONE, DRY),
	  "ringfence cert add --zone example.com --certificate chain.pem --key key.pem" },
	{ "cert", "delete", "Delete a server certificate", cli_run_generic, "DELETE", "/zones/{zone}/custom_certificates/{certificate}", NULL,
	  "certificate %s deleted", OPTS(ARG("CERTIFICATE", CLI_OBJECT, "certificate", "id"), ZONE, DRY), "ringfence cert delete 0123...cdef" },

	{ "rule", "list", "List rules in the order of evaluation", cli_run_rule_list, "GET", NULL, "where phase ref=name action enabled expression description id", NULL,
	  OPTS(OPT("zone", "ZONE", CLI_LOCAL, NULL, "only rules of this zone"), OPT("phase", "PHASE", CLI_LOCAL, NULL, "only this phase")), "ringfence rule list" },
	{ "rule", "show", "Show a rule", cli_run_rule_show, "GET", NULL, NULL, NULL, OPTS(ARG("RULE", CLI_LOCAL, NULL, "id, name or description")),
	  "ringfence rule show stop-login-exploit" },
	{ "rule", "add", "Write a rule; it is in force when this returns", cli_run_rule_add, "POST", NULL, NULL, "rule %s in force",
	  OPTS(ARG("EXPRESSION", CLI_TEXT, "expression", "ringfence-rules(5)"), RULE_BODY, RULE_PLACE, DRY),
	  "ringfence rule add 'http.request.uri.path contains \"/cgi-bin/\"' --action block" },
	{ "rule", "limit", "Limit the rate of requests, of each device", cli_run_rule_add, "POST", NULL, NULL, "rule %s in force",
	  OPTS(ARG("EXPRESSION", CLI_TEXT, "expression", "which requests; ringfence-rules(5)"),
	       ARG("LIMIT", CLI_LOCAL, NULL, "100/60: so many in so many seconds"),
	       OPTS_MANY("by", "FIELD", CLI_LOCAL, NULL, "counted by this instead of device.id; repeatable"),
	       OPT("counting", "EXPRESSION", CLI_LOCAL, NULL, "what counts; may ask for the response"),
	       OPT("hold", "SECONDS", CLI_LOCAL, NULL, "refuse for so long who is over it"),
	       OPT("action", "ACTION", CLI_TEXT, "action", "rate_limit (default), log, quarantine"),
	       OPT("status", "N", CLI_LOCAL, NULL, "status of the answer; 429"),
	       OPT("body", "TEXT", CLI_LOCAL, NULL, "its body; JSON where it begins with {"),
	       OPT("description", "TEXT", CLI_TEXT, "description", "shown in records"),
	       OPT("name", "NAME", CLI_TEXT, "ref", "a name of your own"),
	       OPT("zone", "ZONE", CLI_LOCAL, NULL, "of this zone; without it, of the account"), DRY),
	  "ringfence rule limit 'http.request.uri.path eq \"/login\"' 5/60 --hold 600\n"
	  "ringfence rule limit ssl 1000/10 --by http.host" },
	{ "rule", "redirect", "Send requests elsewhere", cli_run_rule_add, "POST", NULL, NULL, "rule %s in force",
	  OPTS(ARG("EXPRESSION", CLI_TEXT, "expression", "which requests; ringfence-rules(5)"),
	       ARG("URL", CLI_LOCAL, NULL, "where to: a URL, or a path of the same host"),
	       OPT("status", "N", CLI_LOCAL, NULL, "301 (default), 302, 303, 307 or 308"),
	       SWITCH("keep-query", CLI_LOCAL, NULL, "keep the query of the request"),
	       OPT("description", "TEXT", CLI_TEXT, "description", "shown in records"),
	       OPT("name", "NAME", CLI_TEXT, "ref", "a name of your own"),
	       OPT("zone", "ZONE", CLI_LOCAL, NULL, "of this zone; without it, of the account"), DRY),
	  "ringfence rule redirect 'http.request.uri.path eq \"/old\"' /new --status 308" },
	{ "rule", "edit", "Change or move a rule", cli_run_rule_edit, "PATCH", NULL, NULL, "rule %s changed",
	  OPTS(ARG("RULE", CLI_LOCAL, NULL, "id, name or description"), OPT("expression", "EXPRESSION", CLI_TEXT, "expression", "ringfence-rules(5)"),
	       RULE_BODY, DRY), "ringfence rule edit stop-login-exploit --action log" },
	{ "rule", "enable", "Put a rule in force", cli_run_rule_edit, "PATCH", NULL, NULL, "rule %s enabled",
	  OPTS(ARG("RULE", CLI_LOCAL, NULL, "id, name or description"), DRY), "ringfence rule enable stop-login-exploit" },
	{ "rule", "disable", "Put a rule out of force", cli_run_rule_edit, "PATCH", NULL, NULL, "rule %s disabled",
	  OPTS(ARG("RULE", CLI_LOCAL, NULL, "id, name or description"), DRY), "ringfence rule disable stop-login-exploit" },
	{ "rule", "delete", "Delete a rule", cli_run_rule_delete, "DELETE", NULL, NULL, "rule %s deleted",
	  OPTS(ARG("RULE", CLI_LOCAL, NULL, "id, name or description"), DRY), "ringfence rule delete stop-login-exploit" },
	{ "rule", "test", "Hold a table of requests against rules", cli_run_rule_test, "POST", AC "/rules/test", NULL, NULL,
	  OPTS(ARG("FILE", CLI_LOCAL, NULL, "YAML or JSON with tests: [{name, request, expect}]"),
	       OPT("rules", "FILE", CLI_LOCAL, NULL, "rules of this file (as for apply) instead of those in force; asks no daemon"),
	       OPT("zone", "ZONE", CLI_LOCAL, NULL, "rules of this zone too")),
	  "ringfence rule test tests.yaml\nringfence rule test tests.yaml --rules fleet.yaml" },
	{ "rule", "lint", "Check an expression, or list rules without an index", cli_run_rule_lint, "GET", AC "/rules/lint",
	  "phase ref=name id action reason", NULL,
	  OPTS(ARG_OPT("EXPRESSION", CLI_LOCAL, NULL, "or @FILE, checked without a daemon; else the rules in force"), OPT("phase", "PHASE", CLI_LOCAL, NULL, "http_request (default), connection, ...")),
	  "ringfence rule lint\nringfence rule lint 'http.host eq \"api.example.com\" and not device.known'" },

	{ "patch", "list", "List patches", cli_run_generic, "GET", AC "/patches",
	  "name state state_since severity cve classes fleet.needed=needed report.matched=matched unneeded", NULL,
	  OPTS(OPT("state", "STATE", CLI_QUERY, "state", "in this state"), OPT("search", "TEXT", CLI_QUERY, "search", "whose name holds this")),
	  "ringfence patch list --state report" },
	{ "patch", "show", "Show a patch: state, history, what it matched", cli_run_generic, "GET", AC "/patches/{patch}", NULL, NULL, OPTS(PATCH_ARG),
	  "ringfence patch show cve-2014-6271" },
	{ "patch", "new", "Write a patch; it begins as a draft", cli_run_patch_new, "POST", AC "/patches", NULL, "patch %s is a draft",
	  OPTS(OPT_REQ("expr", "EXPRESSION", CLI_TEXT, "expression", "what an attack looks like"),
	       OPT("name", "NAME", CLI_TEXT, "name", "the CVE in lower case where absent"), PATCH_BODY, DRY),
	  "ringfence patch new --cve CVE-2014-6271 --expr 'http.cookie contains \"() {\"'" },
	{ "patch", "edit", "Change a patch", cli_run_patch_new, "PATCH", AC "/patches/{patch}", NULL, "patch %s changed",
	  OPTS(PATCH_ARG, OPT("expr", "EXPRESSION", CLI_TEXT, "expression", "what an attack looks like"),
	       OPT("name", "NAME", CLI_TEXT, "name", "a new name"), PATCH_BODY, DRY),
	  "ringfence patch edit cve-2014-6271 --class camera --class recorder" },
	{ "patch", "test", "Run a patch's own attacks and harmless requests", cli_run_patch_test, "POST", AC "/patches/{patch}/test", NULL, NULL, OPTS(PATCH_ARG),
	  "ringfence patch test cve-2014-6271" },
	{ "patch", "replay", "Run a patch over stored traffic", cli_run_patch_replay, "POST", AC "/patches/{patch}/replay", NULL, NULL,
	  OPTS(PATCH_ARG, OPT("since", "TIME", CLI_TEXT, "since", "only records from then on, RFC 3339"),
	       OPT("bytes", "N", CLI_INT, "bytes", "of each file at most, the newest; 1 GB by default"), PATCH_WHY,
	       SWITCH("no-wait", CLI_LOCAL, NULL, "only begin it"), SWITCH("status", CLI_LOCAL, NULL, "how far it is, or what it found"),
	       SWITCH("cancel", CLI_LOCAL, NULL, "end it")),
	  "ringfence patch replay cve-2014-6271" },
	{ "patch", "draft", "Take a patch from traffic", cli_run_generic, "POST", AC "/patches/{patch}/draft", NULL, "patch %s is a draft again",
	  OPTS(PATCH_ARG, PATCH_WHY, DRY), "ringfence patch draft cve-2014-6271" },
	{ "patch", "report", "Count what a patch matches, stop nothing", cli_run_generic, "POST", AC "/patches/{patch}/report", NULL, "patch %s reports",
	  OPTS(PATCH_ARG, PATCH_WHY, DRY), "ringfence patch report cve-2014-6271" },
	{ "patch", "canary", "Stop what it matches for a part of the fleet", cli_run_patch_canary, "POST", AC "/patches/{patch}/canary", NULL, "patch %s has its canaries",
	  OPTS(PATCH_ARG, OPT("percent", "N", CLI_LOCAL, NULL, "of the devices that need it, 0.01 to 100"),
	       OPT("group", "EXPRESSION", CLI_TEXT, "group", "over device.*: these devices"), PATCH_WHY, DRY),
	  "ringfence patch canary cve-2014-6271 --percent 5\nringfence patch canary cve-2014-6271 --group 'any(device.tags[*] eq \"lab\")'" },
	{ "patch", "enforce", "Stop what a patch matches", cli_run_generic, "POST", AC "/patches/{patch}/enforce", NULL, "patch %s is in force",
	  OPTS(PATCH_ARG, PATCH_WHY, DRY), "ringfence patch enforce cve-2014-6271 --reason 'canaries fine for a week'" },
	{ "patch", "retire", "End a patch; its history stays", cli_run_generic, "POST", AC "/patches/{patch}/retire", NULL, "patch %s is retired",
	  OPTS(PATCH_ARG, PATCH_WHY, DRY), "ringfence patch retire cve-2014-6271" },
	{ "patch", "delete", "Delete a patch", cli_run_generic, "DELETE", AC "/patches/{patch}", NULL, "patch %s deleted", OPTS(PATCH_ARG, DRY),
	  "ringfence patch delete cve-2014-6271" },
	{ "patch", "exposure", "For each CVE: devices exposed, protected, fixed", cli_run_patch_exposure, "GET", AC "/patches/exposure",
	  "cve severity exposed protected fixed unknown_firmware=unknown exposed_since protected_since", NULL,
	  OPTS(SWITCH("devices", CLI_LOCAL, NULL, "with the devices of each"), SWITCH("html", CLI_LOCAL, NULL, "as a page to print")),
	  "ringfence patch exposure\nringfence patch exposure --html > exposure.html" },

	{ "list", "list", "List lists", cli_run_generic, "GET", AC "/rules/lists", "name kind num_items=items description id", NULL, NULL, "ringfence list list" },
	{ "list", "show", "Show a list", cli_run_generic, "GET", AC "/rules/lists/{list}", NULL, NULL, OPTS(ARG("LIST", CLI_OBJECT, "list", "id or name")),
	  "ringfence list show office" },
	{ "list", "add", "Make a list, $NAME in rules", cli_run_generic, "POST", AC "/rules/lists", NULL, "list %s added",
	  OPTS(ARG("NAME", CLI_TEXT, "name", "lower-case letters, digits, underscores"), OPT_REQ("kind", "KIND", CLI_TEXT, "kind", "ip, hostname, asn, string or hash"),
	       OPT("description", "TEXT", CLI_TEXT, "description", "for people"), DRY), "ringfence list add office --kind ip" },
	{ "list", "delete", "Delete a list", cli_run_generic, "DELETE", AC "/rules/lists/{list}", NULL, "list %s deleted",
	  OPTS(ARG("LIST", CLI_OBJECT, "list", "id or name"), DRY), "ringfence list delete office" },
	{ "list", "items", "Entries of a list", cli_run_list_items, "GET", AC "/rules/lists/{list}/items", "value comment created_on id", NULL,
	  OPTS(ARG("LIST", CLI_OBJECT, "list", "id or name"), OPT("search", "TEXT", CLI_QUERY, "search", "that hold this")), "ringfence list items office" },
	{ "list", "put", "Add entries to a list", cli_run_list_put, "POST", AC "/rules/lists/{list}/items", NULL, NULL,
	  OPTS(ARG("LIST", CLI_OBJECT, "list", "id or name"), ARGS_OPT("VALUE", CLI_LOCAL, NULL, "entries"),
	       OPT("file", "FILE", CLI_LOCAL, NULL, "entries, one a line, # comments; \"-\" is the input"), SWITCH("replace", CLI_LOCAL, NULL, "and remove all others"),
	       OPT("comment", "TEXT", CLI_LOCAL, NULL, "of each entry")),
	  "ringfence list put office 192.0.2.0/24 2001:db8::/32\nringfence list put office --file addresses.txt --replace" },
	{ "list", "push", "Add up to 1,000,000 entries of a file, all or none", cli_run_list_push, "POST", AC "/rules/lists/{list}/items", NULL, NULL,
	  OPTS(ARG("LIST", CLI_OBJECT, "list", "id or name"), ARG("FILE", CLI_LOCAL, NULL, "a line each: VALUE[,COMMENT] or JSON; \"-\" is the input"),
	       SWITCH("replace", CLI_LOCAL, NULL, "and remove all others"), DRY),
	  "ringfence list push blocked addresses.csv --replace" },
	{ "list", "remove", "Remove entries from a list", cli_run_list_remove, "DELETE", AC "/rules/lists/{list}/items", NULL, NULL,
	  OPTS(ARG("LIST", CLI_OBJECT, "list", "id or name"), ARGS("VALUE", CLI_LOCAL, NULL, "entries or their ids")), "ringfence list remove office 192.0.2.0/24" },

	{ "pack", "key", "Make a pair of keys to sign packs with", cli_run_pack_key, NULL, NULL, NULL, NULL,
	  OPTS(ARG("NAME", CLI_LOCAL, NULL, "NAME.key and NAME.pub are made")), "ringfence pack key release" },
	{ "pack", "build", "Make one file of a folder of patches, and test it", cli_run_pack_build, NULL, NULL, NULL, NULL,
	  OPTS(ARG("DIR", CLI_LOCAL, NULL, "pack.yaml, marks.yaml and files of patches"), OPT_REQ("out", "FILE", CLI_LOCAL, NULL, "where to; \"-\" is the output"),
	       OPT("key", "FILE", CLI_LOCAL, NULL, "sign with this private key"), OPT("version", "N", CLI_LOCAL, NULL, "instead of that of pack.yaml")),
	  "ringfence pack build patches --out devices.pack --key release.key" },
	{ "pack", "verify", "Verify and test a pack", cli_run_pack_verify, NULL, NULL, NULL, NULL,
	  OPTS(ARG("PACK", CLI_LOCAL, NULL, "a file, or a folder of patches"), OPT("trust", "FILE", CLI_LOCAL, NULL, "public keys, PEM; of a file")),
	  "ringfence pack verify devices.pack --trust release.pub\nringfence pack verify patches" },
	{ "pack", "measure", "How many ordinary requests a pack would stop", cli_run_pack_measure, NULL, NULL, NULL, NULL,
	  OPTS(ARG("PACK", CLI_LOCAL, NULL, "a file, or a folder of patches"), ARG("TRAFFIC", CLI_LOCAL, NULL, "an array of requests, YAML or JSON"),
	       OPT("category", "NAME", CLI_LOCAL, NULL, "only patches of this category"), OPT("trust", "FILE", CLI_LOCAL, NULL, "public keys, PEM; of a file")),
	  "ringfence pack measure patches traffic.json --category generic-injection" },

	{ "access", "list", "List access rules", cli_run_access_list, "GET", AC "/firewall/access_rules/rules",
	  "mode configuration.value=source notes created_on", NULL,
	  OPTS(OPT("mode", "MODE", CLI_QUERY, "mode", "block or whitelist"), OPT("notes", "TEXT", CLI_QUERY, "notes", "whose notes hold this"), OF_ZONE),
	  "ringfence access list --mode block" },
	{ "access", "block", "Let nobody from there reach the edge, from the next frame on", cli_run_access_put, "POST", AC "/firewall/access_rules/rules",
	  NULL, NULL, OPTS(ARGS("SOURCE", CLI_LOCAL, NULL, "addresses and prefixes"), OPT("notes", "TEXT", CLI_LOCAL, NULL, "why"), OF_ZONE),
	  "ringfence access block 192.0.2.1 2001:db8::/48 --notes 'scans us'\nringfence access block --zone example.com DE" },
	{ "access", "allow", "Let these pass whatever wider rule blocks them", cli_run_access_put, "POST", AC "/firewall/access_rules/rules",
	  NULL, NULL, OPTS(ARGS("SOURCE", CLI_LOCAL, NULL, "addresses and prefixes"), OPT("notes", "TEXT", CLI_LOCAL, NULL, "why"), OF_ZONE),
	  "ringfence access allow 192.0.2.7" },
	{ "access", "remove", "Forget the rules about these", cli_run_access_remove, "DELETE", AC "/firewall/access_rules/rules", NULL, NULL,
	  OPTS(ARGS("SOURCE", CLI_LOCAL, NULL, "as they are listed"), OF_ZONE), "ringfence access remove 192.0.2.1" },
	{ "attack", "list", "List attacks, newest first", cli_run_generic, "GET", AC "/attacks",
	  "id status vector host target_ip=target started_at peak_requests_per_second=peak peak_packets_per_second=packets/s stopped passed addresses.estimate=addresses", NULL,
	  OPTS(OPT("status", "STATUS", CLI_QUERY, "status", "active or ended"), OPT("host", "HOST", CLI_QUERY, "host", "on this host")),
	  "ringfence attack list --status active" },
	{ "attack", "show", "What an attack was, and what was done about it", cli_run_generic, "GET", AC "/attacks/{attack}", NULL, NULL,
	  OPTS(ARG("ATTACK", CLI_OBJECT, "attack", "id, or host where it had one attack")), "ringfence attack show 0123456789abcdef0123456789abcdef" },
	{ "attack", "watch", "Follow attacks as they begin, change and end", cli_run_record_tail, "GET", AC "/records", NULL, NULL,
	  OPTS(OPT("host", "HOST", CLI_LOCAL, NULL, "on this host"), OPT("lines", "N", CLI_LOCAL, NULL, "so many earlier lines first; 10 by default")),
	  "ringfence attack watch" },
	{ "attack", "drop", "Take its rules away, and never raise its signatures again there", cli_run_generic, "POST", AC "/attacks/{attack}/drop",
	  NULL, "attack %s dropped", OPTS(ARG("ATTACK", CLI_OBJECT, "attack", "id, or host where it had one attack"), DRY), "ringfence attack drop 0123456789abcdef0123456789abcdef" },
	{ "attack", "exceptions", "List signatures that were dropped", cli_run_generic, "GET", AC "/attacks/exceptions", "id host expression created_on", NULL, NULL,
	  "ringfence attack exceptions" },
	{ "attack", "forget", "Let a dropped signature be raised again", cli_run_generic, "DELETE", AC "/attacks/exceptions/{exception}", NULL, "exception %s forgotten",
	  OPTS(ARG("EXCEPTION", CLI_OBJECT, "exception", "id, or host where it has one")), "ringfence attack forget 0123456789abcdef0123456789abcdef" },
	{ "shield", "status", "What the kernel filter passed and dropped", cli_run_shield_status, "GET", AC "/shield", "reason frames bytes", NULL, NULL,
	  "ringfence shield status" },
	{ "shield", "pcap", "Capture what a rule of packets, or a reason, hits", cli_run_shield_pcap, "POST", AC "/pcaps", NULL, NULL,
	  OPTS(OPT("rule", "RULE", CLI_LOCAL, NULL, "id or ref of a rule of packets"),
	       OPT("reason", "NAME", CLI_LOCAL, NULL, "as of shield status; without both: rule"),
	       OPT("count", "N", CLI_LOCAL, NULL, "end after so many frames; 100"), OPT("seconds", "N", CLI_LOCAL, NULL, "or so long; 60"),
	       OPT("write", "FILE", CLI_LOCAL, NULL, "pcapng; the output where not given")),
	  "ringfence shield pcap --reason denied --write denied.pcapng\nringfence shield pcap --rule no-telnet | tcpdump -n -r -" },
	{ "shield", "rules", "Rules of packets, with what each has matched", cli_run_generic, "GET", AC "/shield/rules",
	  "action in_force frames bytes ref=name expression id", NULL, NULL, "ringfence shield rules" },

	{ "pack", "install", "Install a pack, or bring it up to date", cli_run_pack_install, "POST", AC "/packs", NULL, NULL,
	  OPTS(ARG("PACK", CLI_LOCAL, NULL, "a signed file, or a folder of patches (local administrator)"),
	       SWITCH("downgrade", CLI_TRUE, "downgrade", "an older version, or another of the same number"), DRY),
	  "ringfence pack install devices.pack\nringfence pack install patches" },
	{ "pack", "list", "List packs", cli_run_generic, "GET", AC "/packs", "name version patches states waiting source key installed_on", NULL, NULL, "ringfence pack list" },
	{ "pack", "show", "Show a pack", cli_run_generic, "GET", AC "/packs/{pack}", NULL, NULL, OPTS(PACK_ARG), "ringfence pack show devices" },
	{ "pack", "enable", "Put a pack's drafts in report", cli_run_pack_change, "POST", AC "/packs/{pack}/enable", NULL, NULL, OPTS(PACK_ARG, PACK_WHOM),
	  "ringfence pack enable devices --class cameras --kind camera" },
	{ "pack", "disable", "Take what is in report from classes", cli_run_pack_change, "POST", AC "/packs/{pack}/disable", NULL, NULL, OPTS(PACK_ARG, PACK_WHOM),
	  "ringfence pack disable devices --class cameras" },
	{ "pack", "accept", "Put new texts of patches that act in force", cli_run_pack_change, "POST", AC "/packs/{pack}/accept", NULL, NULL,
	  OPTS(PACK_ARG, OPTS_MANY("patch", "NAME", CLI_EACH, "patches", "only this one; may be repeated"),
	       SWITCH("report", CLI_TRUE, "report", "back to report with the new text"), DRY), "ringfence pack accept devices --patch gpon-diag-form" },
	{ "pack", "update", "Fetch the pack of patches.url now", cli_run_generic, "POST", AC "/packs/update", NULL, "asked%s; pack show tells what came of it", NULL, "ringfence pack update" },
	{ "pack", "delete", "Remove a pack; its patches are retired", cli_run_generic, "DELETE", AC "/packs/{pack}", NULL, "pack %s removed", OPTS(PACK_ARG, DRY),
	  "ringfence pack delete devices" },

	{ "ca", "show", "Certificate of our device CA", cli_run_ca_show, "GET", NULL, NULL, NULL, NULL, "ringfence ca show > ca.crt" },
	{ "ca", "issue", "Certify a device's key", cli_run_ca_issue, "POST", "/zones/{zone}/client_certificates", NULL, NULL,
	  OPTS(OPT_REQ("csr", "FILE", CLI_FILE, "csr", "PKCS#10, PEM"), OPT("days", "N", CLI_INT, "validity_days", "validity; 365 by default"),
	       OPT("device", "DEVICE", CLI_OBJECT_ID, "device", "bind it to this device"), ZONE, DRY), "ringfence ca issue --csr lamp-7.csr --device lamp-7 > lamp-7.crt" },
	{ "ca", "list", "Certificates that our CA issued", cli_run_generic, "GET", AC "/client_certificates",
	  "common_name status expires_on serial_number id", NULL, OPTS(OPT("status", "STATUS", CLI_QUERY, "status", "active, revoked")), "ringfence ca list --status active" },
	{ "ca", "revoke", "Revoke a certificate; it ends what is live", cli_run_generic, "DELETE", AC "/client_certificates/{issued}", NULL,
	  "certificate of %s revoked", OPTS(ARG("CERTIFICATE", CLI_OBJECT, "issued", "id or serial number"), DRY), "ringfence ca revoke 6A01FF..." },
	{ "ca", "token", "One-use enrolment tokens: list them, or make one", cli_run_ca_token, "POST", AC "/provisioning_tokens",
	  "description class device_name expires_on used_on id", NULL,
	  OPTS(OPT("class", "CLASS", CLI_TEXT, "class", "make one for a device of this class"), OPT("name", "NAME", CLI_TEXT, "device_name", "name of the device"),
	       OPT("description", "TEXT", CLI_TEXT, "description", "for people"), OPTS_MANY("tag", "TAG", CLI_EACH, "tags", "tag of the device"),
	       OPT("days", "N", CLI_INT, "validity_days", "validity of the certificate"), OPT("expires", "TIME", CLI_TEXT, "expires_on", "RFC 3339; a day from now by default"),
	       OPT("delete", "TOKEN", CLI_LOCAL, NULL, "delete this one, by id or description"), DRY),
	  "ringfence ca token --class lamps --name lamp-9\nringfence ca token" },
	{ "ca", "upload", "Upload a root of your own", cli_run_ca_upload, "POST", AC "/mtls_certificates", NULL, "root %s uploaded",
	  OPTS(ARG("NAME", CLI_TEXT, "name", "for people"), ARG("FILE", CLI_FILE, "certificates", "PEM"),
	       OPTS_MANY("crl-url", "URL", CLI_EACH, "crl_urls", "where its CRL is fetched; may be repeated"),
	       OPT("crl-mode", "MODE", CLI_TEXT, "crl_mode", "none, open or closed: what a missing CRL means"), DRY),
	  "ringfence ca upload plant plant.pem --crl-url http://pki/plant.crl" },
	{ "ca", "roots", "List uploaded roots", cli_run_generic, "GET", AC "/mtls_certificates", "name ca expires_on crl_mode issuer ski id", NULL, NULL, "ringfence ca roots" },
	{ "ca", "crl", "Upload revocation lists of a root", cli_run_ca_crl, "PUT", AC "/mtls_certificates/{root}/crl", NULL, "revocation lists of %s replaced",
	  OPTS(ARG("ROOT", CLI_OBJECT, "root", "id or name"), ARGS("FILE", CLI_LOCAL, NULL, "PEM, full or delta"), DRY), "ringfence ca crl plant plant.crl" },
	{ "ca", "associate", "The hosts that ask for certificates of a root", cli_run_ca_associate, "PUT",
	  "/zones/{zone}/certificate_authorities/hostname_associations", NULL, NULL,
	  OPTS(ARGS_OPT("HOST", CLI_EACH, "hostnames", "all its hosts; none: show them"),
	       OPT("root", "ROOT", CLI_LOCAL, NULL, "id or name; without it, our own CA"), SWITCH("none", CLI_LOCAL, NULL, "no host any more"), ZONE, DRY),
	  "ringfence ca associate api.example.com --root plant" },
	{ "ca", "delete", "Delete an uploaded root", cli_run_generic, "DELETE", AC "/mtls_certificates/{root}", NULL, "root %s deleted",
	  OPTS(ARG("ROOT", CLI_OBJECT, "root", "id or name"), DRY), "ringfence ca delete plant" },

	{ "token", "list", "List tokens of the API", cli_run_generic, "GET", AC "/tokens", "name status expires_on last_used_on id", NULL, NULL, "ringfence token list" },
	{ "token", "add", "Make a token; its text is shown once", cli_run_token_add, "POST", AC "/tokens", NULL, NULL,
	  OPTS(ARG("NAME", CLI_TEXT, "name", "for people"), OPTS_MANY("scope", "SCOPE", CLI_LOCAL, NULL, "*, read, NOUN:read or NOUN:write; read by default; may be repeated"),
	       OPTS_MANY("zone", "ZONE", CLI_LOCAL, NULL, "only in this zone; may be repeated"), OPT("expires", "TIME", CLI_TEXT, "expires_on", "RFC 3339, UTC"),
	       OPTS_MANY("from", "PREFIX", CLI_LOCAL, NULL, "only from these addresses; may be repeated"), DRY),
	  "ringfence token add dashboards --scope read\nringfence token add deploy --scope rules:write --scope lists:write" },
	{ "token", "verify", "Is the token in use good?", cli_run_generic, "GET", AC "/tokens/verify", NULL, NULL, NULL, "RINGFENCE_URL=https://edge:8443 ringfence token verify" },
	{ "token", "revoke", "Delete a token", cli_run_generic, "DELETE", AC "/tokens/{token}", NULL, "token %s revoked",
	  OPTS(ARG("TOKEN", CLI_OBJECT, "token", "id or name"), DRY), "ringfence token revoke deploy" },

	{ "record", "tail", "Follow what happens", cli_run_record_tail, "GET", AC "/records", NULL, NULL,
	  OPTS(RECORD_FILTERS, OPT("lines", "N", CLI_LOCAL, NULL, "so many earlier ones first; 10 by default")),
	  "ringfence record tail --action block\nringfence record tail --device lamp-7 --json" },
	{ "record", "list", "Recent records", cli_run_record_list, "GET", AC "/records", NULL, NULL,
	  OPTS(RECORD_FILTERS, OPT("since", "TIME", CLI_LOCAL, NULL, "RFC 3339, or 90s, 15m, 2h, 1d ago"), OPT("limit", "N", CLI_LOCAL, NULL, "at most so many; 100 by default")),
	  "ringfence record list --action block --since 15m" },

	{ "audit", "list", "Writes, newest first", cli_run_generic, "GET", AC "/audit_logs", "when actor.id=actor action.type=action resource.type=what resource.id=id", NULL, NULL, "ringfence audit list" },

	{ "reload", "", "Read boot file, certificates, keys and lists again", cli_run_generic, "POST", "/reload", NULL, "reloaded%s", NULL, "ringfence reload" },
	{ "apply", "confirm", "Keep changes that wait to be confirmed", cli_run_apply_confirm, "POST", AC "/applies/{apply}/confirm", NULL, NULL,
	  OPTS(ARG_OPT("APPLY", CLI_LOCAL, NULL, "its id; what waits where there is none"), DRY), "ringfence apply confirm" },
	{ "apply", "rollback", "Take changes back that wait to be confirmed", cli_run_apply_rollback, "POST", AC "/applies/{apply}/rollback", NULL, NULL,
	  OPTS(ARG_OPT("APPLY", CLI_LOCAL, NULL, "its id; what waits where there is none"), DRY), "ringfence apply rollback" },
	{ "apply", "pending", "What waits to be confirmed, and how long", cli_run_apply_pending, "GET", AC "/applies", NULL, NULL, NULL,
	  "ringfence apply pending" },
	{ "apply", "list", "Changes that waited to be confirmed, newest first", cli_run_generic, "GET", AC "/applies", "id state made_by until ended_by ended_on", NULL, NULL,
	  "ringfence apply list" },
	{ "apply", "", "Bring the state in line with a file", cli_run_apply, NULL, NULL, NULL, NULL,
	  OPTS(ARG_OPT("FILE", CLI_LOCAL, NULL, "YAML or JSON; \"-\" is the input"), OPT("file", "FILE", CLI_LOCAL, NULL, "the same, -f in short"), SWITCH("prune", CLI_LOCAL, NULL, "delete what the file does not name"),
	       OPT("confirm", "SECONDS", CLI_LOCAL, NULL, "take all back then, unless it is confirmed"), DRY),
	  "ringfence apply -f fleet.yaml --dry-run\nringfence apply -f fleet.yaml --confirm 60\nringfence export | ringfence apply -f -" },
	{ "export", "", "The state as a file for apply", cli_run_export, NULL, NULL, NULL, NULL,
	  OPTS(SWITCH("no-devices", CLI_LOCAL, NULL, "leave devices out")), "ringfence export > fleet.yaml" },
	{ "explain", "", "Every verdict on a device's request, in order", cli_run_explain, "POST", AC "/explain", NULL, NULL,
	  OPTS(ARG_OPT("DEVICE", CLI_LOCAL, NULL, "id or name; \"-\": a client without identity"), ARG_OPT("REQUEST", CLI_LOCAL, NULL, "\"GET https://host/path\", or @FILE (YAML or JSON)"),
	       OPTS_MANY("header", "LINE", CLI_LOCAL, NULL, "\"name: value\", -H in short; may be repeated"), OPT("body", "TEXT", CLI_LOCAL, NULL, "body of the request"),
	       OPT("from", "ADDRESS", CLI_LOCAL, NULL, "the client's address"),
	       OPT("answer", "CODE", CLI_LOCAL, NULL, "status of the origin's answer, for rules of answers"),
	       OPTS_MANY("answer-header", "LINE", CLI_LOCAL, NULL, "header of that answer; may be repeated"),
	       OPT("record", "RAY", CLI_LOCAL, NULL, "instead: a stored record by its RayID, by the rules of its time")),
	  "ringfence explain lamp-7 'GET https://api.example.com/' -H 'User-Agent: x'\nringfence explain --record 5f2c1e9ab04d7733" },
	{ "completion", "", "Completion for a shell", cli_run_completion, NULL, NULL, NULL, NULL, OPTS(ARG("SHELL", CLI_LOCAL, NULL, "bash, zsh or fish")),
	  "ringfence completion bash > /etc/bash_completion.d/ringfence" },
};
const size_t cli_command_count = sizeof cli_commands / sizeof *cli_commands;
