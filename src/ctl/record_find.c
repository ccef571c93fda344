/* ctl/record_find: a stored line by its RayID: samples first, which say the most, then records in memory, then their file.
 *
 * Of each file the newest RF_FIND_BYTES are searched, and of its older part (FILE.1) as many: the text of the member is looked
 * for, and only a line that has it is read as JSON. That member decides, so nothing that a client sent is taken for it.
 */
#include "ctl/record_find.h"
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>
#include "ctl/doc.h"
#include "ctl/samples.h"
#include "records/format.h"

enum { CHUNK = 1 << 20, LINE_BYTES = 256 << 10 };

/* Reads up to n bytes; what there is. */
static size_t read_at(int fd, char *to, size_t n, off_t at)
{
	size_t got = 0;
	for (ssize_t r = 1; r > 0 && got < n; got += r > 0 ? (size_t)r : 0)
		r = pread(fd, to + got, n - got, at + (off_t)got);
	return got;
}

/* The line around `at` where it is the one with this RayID. */
static json_t *line_at(struct rf_str in, size_t at, const char *ray)
{
	size_t begin = at;
	while (begin > 0 && in.p[begin - 1] != '\n')
		begin--;
	struct rf_str line = rf_str_skip(in, begin);
	line.n = rf_str_find(line, '\n');
	json_t *j = json_loadb(line.p, line.n, 0, NULL);
	if (j && doc_is(j, "RayID", ray) && doc_is(j, "Type", "request"))
		return j;
	json_decref(j);
	return NULL;
}

static json_t *in_chunk(struct rf_str in, const char *ray)
{
	char needle[RF_FIND_RAY_MAX + 16];
	int n = snprintf(needle, sizeof needle, "\"RayID\":\"%s\"", ray);
	json_t *found = NULL;
	for (const char *at = in.p; !found && (at = memmem(at, in.n - (size_t)(at - in.p), needle, (size_t)n)); at++)
		found = line_at(in, (size_t)(at - in.p), ray);
	return found;
}

/* Chunks overlap by the longest line, so that each line is whole in one of them. */
static json_t *in_fd(int fd, off_t size, const char *ray)
{
	char *chunk = malloc(CHUNK);
	json_t *found = NULL;
	off_t at = size > RF_FIND_BYTES ? size - RF_FIND_BYTES : 0;
	for (size_t n = CHUNK; chunk && !found && n == CHUNK; at += CHUNK - LINE_BYTES) {
		n = read_at(fd, chunk, CHUNK, at);
		found = in_chunk((struct rf_str){ chunk, n }, ray);
	}
	free(chunk);
	return found;
}

static json_t *in_file(const char *path, const char *ray)
{
	struct stat st;
	int fd = path[0] ? open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY) : -1;
	if (fd < 0)
		return NULL;
	json_t *found = fstat(fd, &st) == 0 && S_ISREG(st.st_mode) ? in_fd(fd, st.st_size, ray) : NULL;
	close(fd);
	return found;
}

static json_t *in_files(const char *path, const char *ray)
{
	char old[520];
	json_t *found = in_file(path, ray);
	snprintf(old, sizeof old, "%s.1", path);
	return found || !path[0] ? found : in_file(old, ray);
}

struct looking {
	const char *ray;
	json_t *found;
};

static void one_recent(void *arg, uint64_t id, const struct rf_record *rec)
{
	struct looking *l = arg;
	RF_BUF_AUTO b = { 0 };
	if (l->found || !rf_str_eq(rec->ray, rf_str_z(l->ray)))
		return;
	rf_record_json(&b, rec, id);
	l->found = b.bad ? NULL : json_loadb(b.p, b.n, 0, NULL);
}

static json_t *in_memory(struct rf_recent *recent, const char *ray)
{
	struct rf_recent_filter requests = { .kind = RF_REC_REQUEST };
	struct looking l = { .ray = ray };
	if (recent)
		rf_recent_read(recent, &requests, one_recent, &l);
	return l.found;
}

static bool is_ray(const char *s)
{
	size_t n = strspn(s, "0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ-");
	return n > 0 && n <= RF_FIND_RAY_MAX && !s[n];
}

int rf_record_find(const struct rf_boot *boot, struct rf_recent *recent, const char *ray, json_t **ret, struct rf_err *e)
{
	char samples[512] = "";
	if (!is_ray(ray))
		return rf_fail_ptr(e, RF_E_INVALID, "/record", "this is no RayID; one is in every record of a request, and in the error body");
	rf_samples_path(boot, samples, sizeof samples);
	json_t *found = in_files(samples, ray);
	if (!found)
		found = in_memory(recent, ray);
	if (!found)
		found = in_files(boot->records_file, ray);
	if (!found)
		return rf_fail_ptr(e, RF_E_INVALID, "/record", "no request %s is among the records in memory, nor in the newest %d MB of their file",
				   ray, RF_FIND_BYTES >> 20);
	*ret = found;
	return RF_OK;
}
