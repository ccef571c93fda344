/* cli/http: requests to the API, over its Unix socket or TLS, and the envelopes that come back.
 *
 * One easy handle a run, so that a connection is kept. An answer that says no success becomes an error whose code follows
 * the HTTP status; all its findings stay in c->errors. Lists are read page by page, by number or by cursor.
 */
#include <curl/curl.h>
#include <stdlib.h>
#include "cli/cli.h"

struct cli_http {
	CURL *curl;
	struct curl_slist *headers;
	struct rf_buf body;
	char why[CURL_ERROR_SIZE];
};

static size_t take(char *p, size_t size, size_t n, void *arg)
{
	struct cli_http *h = arg;
	rf_buf_add(&h->body, (struct rf_str){ p, size * n });
	return h->body.bad ? 0 : size * n;
}

static bool add_header(struct cli_http *h, const char *line)
{
	struct curl_slist *more = curl_slist_append(h->headers, line);
	if (more)
		h->headers = more;
	return more != NULL;
}

static int open_http(struct cli *c)
{
	if (c->http)
		return RF_OK;
	struct cli_http *h = calloc(1, sizeof *h);
	if (!h || curl_global_init(CURL_GLOBAL_DEFAULT) != 0 || !(h->curl = curl_easy_init())) {
		free(h);
		return rf_fail(&c->e, RF_E_NOMEM, "memory is exhausted");
	}
	c->http = h;
	h->body.bound = CLI_ANSWER_MAX;
	bool good = add_header(h, "Content-Type: application/json") && add_header(h, "Expect:");
	if (c->url && c->token) {
		RF_BUF_AUTO line = { 0 };
		rf_buf_printf(&line, "Authorization: Bearer %s", c->token);
		good = good && !line.bad && add_header(h, rf_buf_z(&line));
		explicit_bzero(line.p, line.n);
	}
	curl_easy_setopt(h->curl, CURLOPT_HTTPHEADER, h->headers);
	curl_easy_setopt(h->curl, CURLOPT_USERAGENT, "ringfence/" RF_VERSION);
	curl_easy_setopt(h->curl, CURLOPT_WRITEFUNCTION, take);
	curl_easy_setopt(h->curl, CURLOPT_WRITEDATA, h);
	curl_easy_setopt(h->curl, CURLOPT_ERRORBUFFER, h->why);
	curl_easy_setopt(h->curl, CURLOPT_NOSIGNAL, 1L);
	curl_easy_setopt(h->curl, CURLOPT_CONNECTTIMEOUT_MS, 10000L);
	curl_easy_setopt(h->curl, CURLOPT_TIMEOUT_MS, 120000L);
	curl_easy_setopt(h->curl, CURLOPT_PROTOCOLS_STR, c->url ? "https" : "http");
	curl_easy_setopt(h->curl, CURLOPT_PROXY, "");
	if (c->url && c->ca)
		curl_easy_setopt(h->curl, CURLOPT_CAINFO, c->ca);
	if (!c->url)
		curl_easy_setopt(h->curl, CURLOPT_UNIX_SOCKET_PATH, c->socket);
	return good ? RF_OK : rf_fail(&c->e, RF_E_NOMEM, "memory is exhausted");
}

void cli_http_close(struct cli *c)
{
	struct cli_http *h = c->http;
	if (!h)
		return;
	curl_easy_cleanup(h->curl);
	curl_slist_free_all(h->headers);
	rf_buf_fini(&h->body);
	free(h);
	c->http = NULL;
	curl_global_cleanup();
}

static int unreachable(struct cli *c, CURLcode why)
{
	const char *words = c->http->why[0] ? c->http->why : curl_easy_strerror(why);
	if (why == CURLE_OPERATION_TIMEDOUT)
		return rf_fail(&c->e, RF_E_TIMEOUT, "the API did not answer in time: %s", words);
	if (c->url)
		return rf_fail(&c->e, RF_E_IO, "cannot reach the API at %s: %s", c->url, words);
	long number = 0;
	curl_easy_getinfo(c->http->curl, CURLINFO_OS_ERRNO, &number);
	return rf_fail(&c->e, RF_E_IO, "cannot reach the API at the socket %s%s%s; is ringfenced running, and may you use the "
		       "socket? Another place is named by --socket or RINGFENCE_SOCKET", c->socket, number ? ": " : "",
		       number ? strerror((int)number) : "");
}

/* The code that fits an HTTP status. */
static int code_of(long status)
{
	static const struct { long status; int code; } table[] = {
		{ 400, RF_E_INVALID }, { 401, RF_E_UNAUTH }, { 403, RF_E_DENIED }, { 404, RF_E_NOT_FOUND },
		{ 405, RF_E_METHOD }, { 409, RF_E_EXISTS }, { 412, RF_E_STALE }, { 413, RF_E_TOO_LARGE },
		{ 415, RF_E_MEDIA }, { 429, RF_E_RATE }, { 501, RF_E_UNSUPPORTED }, { 503, RF_E_AGAIN },
		{ 504, RF_E_TIMEOUT }, { 507, RF_E_DISK },
	};
	for (size_t i = 0; i < sizeof table / sizeof *table; i++)
		if (table[i].status == status)
			return table[i].code;
	return RF_E_INTERNAL;
}

static int refused(struct cli *c, long status, const json_t *envelope)
{
	json_t *errors = json_object_get(envelope, "errors");
	const json_t *first = json_array_get(errors, 0);
	const char *text = json_string_value(json_object_get(first, "message"));
	const char *pointer = json_string_value(json_object_get(json_object_get(first, "source"), "pointer"));
	if (!text)
		return rf_fail(&c->e, code_of(status), "the API answered with status %ld and no reason", status);
	json_decref(c->errors);
	c->errors = json_incref(errors);
	return rf_fail_ptr(&c->e, code_of(status), pointer ? pointer : "", "%s%s", text,
			   status == 401 ? "; give a token in RINGFENCE_TOKEN or --token-file" : "");
}

/* The API's address as people have it: with or without a slash, or its path, behind the port. */
static struct rf_str base_of(const char *url)
{
	struct rf_str s = rf_str_z(url), path = RF_STR("/client/v4");
	while (s.n && s.p[s.n - 1] == '/')
		s.n--;
	if (rf_str_ends(s, path))
		s.n -= path.n;
	return s;
}

/* A body that is a file: its size, and where to tell of it. */
struct upload {
	struct cli *c;
	FILE *file;
	off_t size;
	void (*progress)(struct cli *c, const char *what, long long done, long long of);
};

static int tell(void *arg, curl_off_t down_of, curl_off_t down, curl_off_t up_of, curl_off_t up)
{
	struct upload *u = arg;
	(void)down_of, (void)down, (void)up_of;
	u->progress(u->c, "sent:", (long long)up, (long long)u->size);
	return 0;
}

static void set_upload(CURL *curl, struct upload *u)
{
	curl_easy_setopt(curl, CURLOPT_POST, 1L);
	curl_easy_setopt(curl, CURLOPT_POSTFIELDS, NULL);
	curl_easy_setopt(curl, CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t)u->size);
	curl_easy_setopt(curl, CURLOPT_READFUNCTION, (curl_read_callback)fread);
	curl_easy_setopt(curl, CURLOPT_READDATA, u->file);
	curl_easy_setopt(curl, CURLOPT_XFERINFOFUNCTION, tell);
	curl_easy_setopt(curl, CURLOPT_XFERINFODATA, u);
	curl_easy_setopt(curl, CURLOPT_NOPROGRESS, 0L);
}

static int send_request(struct cli *c, const char *method, const char *path, const char *text, struct upload *file, long *ret_status)
{
	struct cli_http *h = c->http;
	RF_BUF_AUTO url = { 0 };
	struct rf_str base = c->url ? base_of(c->url) : RF_STR("http://ringfence");
	rf_buf_printf(&url, "%.*s%s%s", RF_ARG(base), path[0] == '/' && path[1] == '/' ? "" : "/client/v4",
		      path[0] == '/' && path[1] == '/' ? path + 1 : path);
	if (url.bad)
		return rf_fail(&c->e, RF_E_NOMEM, "memory is exhausted");
	rf_buf_clear(&h->body);
	h->why[0] = '\0';
	curl_easy_setopt(h->curl, CURLOPT_URL, rf_buf_z(&url));
	curl_easy_setopt(h->curl, CURLOPT_HTTPGET, 1L);
	if (text) {
		curl_easy_setopt(h->curl, CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t)strlen(text));
		curl_easy_setopt(h->curl, CURLOPT_POSTFIELDS, text);
	}
	curl_easy_setopt(h->curl, CURLOPT_NOPROGRESS, 1L);
	if (file)
		set_upload(h->curl, file);
	curl_easy_setopt(h->curl, CURLOPT_CUSTOMREQUEST, method);
	CURLcode rc = curl_easy_perform(h->curl);
	if (rc == CURLE_WRITE_ERROR)
		return rf_fail(&c->e, RF_E_TOO_LARGE, "the answer of the API is larger than %d bytes", CLI_ANSWER_MAX);
	if (rc != CURLE_OK)
		return unreachable(c, rc);
	curl_easy_getinfo(h->curl, CURLINFO_RESPONSE_CODE, ret_status);
	return RF_OK;
}

static int read_answer(struct cli *c, long status, json_t **ret)
{
	int rc;
	json_error_t why;
	json_t *answer = json_loadb(c->http->body.p ? c->http->body.p : "", c->http->body.n, JSON_DECODE_ANY, &why);
	if (!answer && status < 400)
		answer = json_stringn(c->http->body.p ? c->http->body.p : "", c->http->body.n);
	if (status >= 400 || json_is_false(json_object_get(answer, "success"))) {
		rc = refused(c, status, answer);
		json_decref(answer);
		return rc;
	}
	if (!answer)
		return rf_fail(&c->e, RF_E_SYNTAX, "the answer of the API is not UTF-8 text");
	*ret = answer;
	return RF_OK;
}

int cli_call(struct cli *c, const char *method, const char *path, const json_t *body, json_t **ret)
{
	long status = 0;
	char *text = NULL;
	int rc = open_http(c);
	if (rc == RF_OK && body && !(text = json_dumps(body, JSON_COMPACT | JSON_ENCODE_ANY)))
		rc = rf_fail(&c->e, RF_E_NOMEM, "memory is exhausted");
	if (rc == RF_OK)
		rc = send_request(c, method, path, text, NULL, &status);
	free(text);
	return rc == RF_OK ? read_answer(c, status, ret) : rc;
}

/* What the API says beside a result is for the person, not for the pipe. */
static void show_messages(struct cli *c, const json_t *envelope)
{
	size_t i;
	json_t *m;
	json_array_foreach(json_object_get(envelope, "messages"), i, m) {
		const char *text = json_string_value(json_object_get(m, "message"));
		if (text)
			cli_note(c, "%s", text);
	}
}

int cli_result(struct cli *c, const char *method, const char *path, const json_t *body, json_t **ret)
{
	json_t *envelope = NULL;
	int rc = cli_call(c, method, path, body, &envelope);
	if (rc != RF_OK)
		return rc;
	show_messages(c, envelope);
	json_t *result = json_object_get(envelope, "result");
	*ret = result ? json_incref(result) : json_null();
	json_decref(envelope);
	return RF_OK;
}

int cli_upload(struct cli *c, const char *method, const char *path, FILE *body,
	       void (*progress)(struct cli *c, const char *what, long long done, long long of), json_t **ret)
{
	struct upload u = { c, body, ftello(body), progress };
	json_t *envelope = NULL;
	long status = 0;
	int rc = open_http(c);
	rewind(body);
	if (rc == RF_OK)
		rc = send_request(c, method, path, NULL, &u, &status);
	if (rc == RF_OK)
		rc = read_answer(c, status, &envelope);
	if (rc != RF_OK)
		return rc;
	*ret = json_incref(json_object_get(envelope, "result"));
	json_decref(envelope);
	return RF_OK;
}

static bool last_page(const json_t *envelope, size_t got, const char **ret_cursor, long long page)
{
	const json_t *info = json_object_get(envelope, "result_info"), *cursors = json_object_get(info, "cursors");
	*ret_cursor = json_string_value(json_object_get(cursors, "after"));
	if (cursors) /* a page that was searched may be empty and not the last */
		return !*ret_cursor || !(*ret_cursor)[0];
	json_t *total = json_object_get(info, "total_pages");
	if (total)
		return page >= json_integer_value(total);
	return got == 0 || got < (size_t)json_integer_value(json_object_get(info, "per_page")) || !info;
}

static int each_of(struct cli *c, const json_t *array, int (*each)(struct cli *c, json_t *object, void *arg), void *arg)
{
	size_t i;
	json_t *v;
	int rc = RF_OK;
	json_array_foreach(array, i, v)
		if ((rc = each(c, v, arg)) != RF_OK)
			break;
	return rc;
}

int cli_each(struct cli *c, const char *path, int (*each)(struct cli *c, json_t *object, void *arg), void *arg)
{
	RF_BUF_AUTO at = { 0 };
	const char *cursor = NULL;
	bool more = true;
	int rc = RF_OK;
	json_t *envelope = NULL;
	for (long long page = 1; more && rc == RF_OK; page++) {
		rf_buf_clear(&at);
		rf_buf_printf(&at, "%s%cper_page=%d", path, strchr(path, '?') ? '&' : '?', CLI_PAGE);
		if (cursor) {
			rf_buf_printf(&at, "&cursor=");
			cli_escape(&at, cursor);
		} else {
			rf_buf_printf(&at, "&page=%lld", page);
		}
		json_decref(envelope);
		envelope = NULL;
		rc = at.bad ? rf_fail(&c->e, RF_E_NOMEM, "memory is exhausted") : cli_call(c, "GET", rf_buf_z(&at), NULL, &envelope);
		if (rc != RF_OK)
			break;
		const json_t *array = json_object_get(envelope, "result");
		more = json_is_array(array) && !last_page(envelope, json_array_size(array), &cursor, page);
		rc = each_of(c, array, each, arg);
	}
	json_decref(envelope);
	return rc;
}

static int append(struct cli *c, json_t *object, void *arg)
{
	return json_array_append(arg, object) == 0 ? RF_OK : rf_fail(&c->e, RF_E_NOMEM, "memory is exhausted");
}

int cli_all(struct cli *c, const char *path, json_t **ret)
{
	json_t *array = json_array();
	int rc = array ? cli_each(c, path, append, array) : rf_fail(&c->e, RF_E_NOMEM, "memory is exhausted");
	if (rc != RF_OK) {
		json_decref(array);
		return rc;
	}
	*ret = array;
	return RF_OK;
}

void cli_escape(struct rf_buf *to, const char *text)
{
	for (const unsigned char *p = (const unsigned char *)text; *p; p++) {
		bool plain = (*p >= 'a' && *p <= 'z') || (*p >= 'A' && *p <= 'Z') || (*p >= '0' && *p <= '9') ||
			     strchr("-._~", *p);
		if (plain)
			rf_buf_addc(to, (char)*p);
		else
			rf_buf_printf(to, "%%%02X", *p);
	}
}
