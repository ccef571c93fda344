/* cli/pack_source: see pack_source.h.
 *
 *   files -> YAML -> patches, in order -> @mark("argument", ...) in each expression becomes the mark's text
 *
 * A mark is the text of marks.yaml with $1, $2 for its arguments; marks do not name marks. In an argument \" is a quotation mark, and
 * everything else is as it stands. What is in quotation marks in the expression itself is left alone.
 */
#include "cli/pack_source.h"
#include <dirent.h>
#include <stdlib.h>

enum { FILES_MAX = 200, ARGUMENTS = 2, EXPRESSION = 60000 };

/* --- marks --- */

struct expanding {
	struct cli *c;
	const json_t *marks;
	struct rf_str rest;
	struct rf_buf *to;
};

static void copy(struct expanding *x, size_t n)
{
	rf_buf_add(x->to, (struct rf_str){ x->rest.p, n });
	x->rest = rf_str_skip(x->rest, n);
}

/* The length of the quoted text at the front, with its quotation marks; RF: r#"..."#. 0 where there is none. */
static size_t quoted(struct rf_str s)
{
	size_t hashes = 0, at = 1;
	if (s.n && s.p[0] == '"') {
		while (at < s.n && s.p[at] != '"')
			at += s.p[at] == '\\' ? 2 : 1;
		return at < s.n ? at + 1 : s.n;
	}
	if (!s.n || s.p[0] != 'r')
		return 0;
	while (at < s.n && s.p[at] == '#')
		at++, hashes++;
	if (at >= s.n || s.p[at] != '"')
		return 0;
	for (at++; at < s.n; at++) {
		size_t k = 0;
		while (s.p[at] == '"' && k < hashes && at + 1 + k < s.n && s.p[at + 1 + k] == '#')
			k++;
		if (s.p[at] == '"' && k == hashes)
			return at + 1 + hashes;
	}
	return s.n;
}

static size_t word(struct rf_str s)
{
	size_t n = 0;
	while (n < s.n && ((s.p[n] >= 'a' && s.p[n] <= 'z') || s.p[n] == '_'))
		n++;
	return n;
}

static int argument(struct expanding *x, struct rf_buf *to)
{
	size_t n = quoted(x->rest);
	if (n < 2 || x->rest.p[0] != '"')
		return rf_fail(&x->c->e, RF_E_SYNTAX, "a mark wants its arguments in quotation marks");
	for (size_t i = 1; i + 1 < n; i++) {
		if (x->rest.p[i] == '\\' && x->rest.p[i + 1] == '"')
			i++;
		else if (x->rest.p[i] == '\\')
			rf_buf_addc(to, x->rest.p[i++]);
		rf_buf_addc(to, x->rest.p[i]);
	}
	x->rest = rf_str_skip(x->rest, n);
	return RF_OK;
}

static void blanks(struct expanding *x)
{
	while (x->rest.n && strchr(" ,\n", x->rest.p[0]))
		x->rest = rf_str_skip(x->rest, 1);
}

static void write_out(struct rf_str text, const struct rf_buf *arguments, struct rf_buf *to)
{
	for (size_t i = 0; i < text.n; i++) {
		size_t k = text.p[i] == '$' && i + 1 < text.n ? (size_t)(text.p[i + 1] - '1') : ARGUMENTS;
		if (k < ARGUMENTS) {
			rf_buf_add(to, rf_buf_str(&arguments[k]));
			i++;
		} else {
			rf_buf_addc(to, text.p[i]);
		}
	}
}

/* "@page("/x")" at the front. */
static int one_mark(struct expanding *x)
{
	char name[32];
	struct rf_buf arguments[ARGUMENTS] = { 0 };
	x->rest = rf_str_skip(x->rest, 1);
	size_t n = word(x->rest), k = 0;
	snprintf(name, sizeof name, "%.*s", n < sizeof name ? (int)n : 0, x->rest.p);
	const char *text = json_string_value(json_object_get(x->marks, name));
	if (!text || n >= x->rest.n || x->rest.p[n] != '(')
		return rf_fail(&x->c->e, RF_E_UNKNOWN, "there is no mark @%.*s(...) in marks.yaml", (int)n, x->rest.p);
	int rc = RF_OK;
	for (x->rest = rf_str_skip(x->rest, n + 1); rc == RF_OK && x->rest.n && x->rest.p[0] != ')'; blanks(x))
		rc = k < ARGUMENTS ? argument(x, &arguments[k++]) : rf_fail(&x->c->e, RF_E_SYNTAX, "@%s has too many arguments", name);
	if (rc == RF_OK && !x->rest.n)
		rc = rf_fail(&x->c->e, RF_E_SYNTAX, "@%s( has no end", name);
	if (rc == RF_OK) {
		x->rest = rf_str_skip(x->rest, 1);
		write_out(rf_str_z(text), arguments, x->to);
	}
	for (k = 0; k < ARGUMENTS; k++)
		rf_buf_fini(&arguments[k]);
	return rc;
}

static int expand(struct cli *c, const json_t *marks, const char *text, struct rf_buf *to)
{
	struct expanding x = { c, marks, rf_str_z(text), to };
	while (x.rest.n) {
		size_t n = quoted(x.rest);
		int rc = n ? RF_OK : x.rest.p[0] == '@' ? one_mark(&x) : RF_OK;
		if (rc != RF_OK)
			return rc;
		if (n || (x.rest.n && x.rest.p[0] != '@'))
			copy(&x, n ? n : 1);
	}
	return to->bad || to->n > EXPRESSION ? rf_fail(&c->e, RF_E_TOO_LARGE, "the expression is larger than %d bytes", EXPRESSION) : RF_OK;
}

/* --- files --- */

static int read_file(struct cli *c, const char *dir, const char *name, json_t **ret)
{
	char path[1024];
	if ((size_t)snprintf(path, sizeof path, "%s/%s", dir, name) >= sizeof path)
		return rf_fail(&c->e, RF_E_TOO_LARGE, "the name of folder %s is too long", dir);
	return cli_file_json(c, path, ret);
}

static int add_patch(struct cli *c, const json_t *marks, json_t *patch, json_t *to)
{
	RF_BUF_AUTO x = { 0 };
	char why[sizeof c->e.text];
	const char *name = json_string_value(json_object_get(patch, "name")), *text = json_string_value(json_object_get(patch, "expression"));
	int rc = text ? expand(c, marks, text, &x) : rf_fail(&c->e, RF_E_MISSING, "has no expression");
	if (rc != RF_OK) {
		snprintf(why, sizeof why, "%s", c->e.text);
		return rf_fail(&c->e, rc, "patch %s: %.400s", name ? name : "without a name", why);
	}
	bool good = json_object_set_new(patch, "expression", json_string(rf_buf_z(&x))) == 0 && json_array_append(to, patch) == 0;
	return good ? RF_OK : rf_fail(&c->e, RF_E_NOMEM, "memory is exhausted");
}

static int add_file(struct cli *c, const char *dir, const char *name, const json_t *marks, json_t *to)
{
	json_t *doc = NULL, *patch;
	size_t i;
	int rc = read_file(c, dir, name, &doc);
	if (rc == RF_OK && !json_is_array(json_object_get(doc, "patches")))
		rc = rf_fail(&c->e, RF_E_MISSING, "there is no sequence `patches`");
	json_array_foreach(json_object_get(doc, "patches"), i, patch)
		if (rc == RF_OK)
			rc = add_patch(c, marks, patch, to);
	if (rc != RF_OK)
		snprintf(c->e.file, sizeof c->e.file, "%.127s", name);
	json_decref(doc);
	return rc;
}

static int wanted(const struct dirent *d)
{
	size_t n = strlen(d->d_name);
	return n > 5 && strcmp(d->d_name + n - 5, ".yaml") == 0 && strcmp(d->d_name, "pack.yaml") != 0 &&
	       strcmp(d->d_name, "marks.yaml") != 0;
}

static int add_files(struct cli *c, const char *dir, const json_t *marks, json_t *to)
{
	struct dirent **names = NULL;
	int n = scandir(dir, &names, wanted, alphasort);
	int rc = n < 0 ? rf_fail(&c->e, RF_E_NOT_FOUND, "folder %s cannot be read", dir) : RF_OK;
	if (n > FILES_MAX)
		rc = rf_fail(&c->e, RF_E_TOO_LARGE, "%s has more than %d files", dir, FILES_MAX);
	for (int i = 0; i < n; i++) {
		if (rc == RF_OK)
			rc = add_file(c, dir, names[i]->d_name, marks, to);
		free(names[i]);
	}
	free(names);
	return rc;
}

int cli_pack_source(struct cli *c, const char *dir, json_t **ret)
{
	json_t *head = NULL, *marks = NULL, *patches = json_array();
	int rc = patches ? read_file(c, dir, "pack.yaml", &head) : rf_fail(&c->e, RF_E_NOMEM, "memory is exhausted");
	if (rc == RF_OK)
		rc = read_file(c, dir, "marks.yaml", &marks);
	if (rc == RF_OK)
		rc = add_files(c, dir, json_object_get(marks, "marks"), patches);
	if (rc == RF_OK && (!json_is_object(head) || json_object_set(head, "patches", patches) != 0))
		rc = rf_fail(&c->e, RF_E_TYPE, "pack.yaml is a mapping of name, title, version");
	json_decref(marks);
	json_decref(patches);
	if (rc != RF_OK) {
		json_decref(head);
		return rc;
	}
	*ret = head;
	return RF_OK;
}
