/* net/hosts: lines of "address name alias... # comment", searched where they stand.
 *
 * A search reads the whole text: it happens once for each watched name, not for each connection.
 */
#include "net/hosts.h"
#include <fcntl.h>
#include <stdlib.h>
#include <unistd.h>

void rf_hosts_read(struct rf_hosts *h, const char *path)
{
	*h = (struct rf_hosts){ 0 };
	int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
	if (fd < 0)
		return;
	h->text = malloc(RF_HOSTS_MAX);
	ssize_t r = 1;
	while (h->text && r > 0 && h->n < RF_HOSTS_MAX) {
		r = read(fd, h->text + h->n, RF_HOSTS_MAX - h->n);
		h->n += r > 0 ? (size_t)r : 0;
	}
	close(fd);
	char *fit = h->text ? realloc(h->text, h->n + 1) : NULL;
	if (fit)
		h->text = fit;
}

static bool word(struct rf_str *line, struct rf_str *ret)
{
	while (line->n && (*line->p == ' ' || *line->p == '\t' || *line->p == '\r'))
		*line = rf_str_skip(*line, 1);
	size_t n = 0;
	while (n < line->n && line->p[n] != ' ' && line->p[n] != '\t' && line->p[n] != '\r')
		n++;
	*ret = (struct rf_str){ line->p, n };
	*line = rf_str_skip(*line, n);
	return n > 0;
}

unsigned rf_hosts_find(const struct rf_hosts *h, struct rf_str name, struct rf_ip *ret, unsigned max)
{
	struct rf_str rest = { h->text, h->n }, line, w;
	unsigned found = 0;
	while (found < max && rf_str_split(&rest, '\n', &line)) {
		struct rf_ip ip;
		line.n = rf_str_find(line, '#');
		if (!word(&line, &w) || !rf_ip_parse(w, &ip))
			continue;
		while (word(&line, &w))
			if (rf_str_ieq(w, name)) {
				ret[found++] = ip;
				break;
			}
	}
	return found;
}

void rf_hosts_fini(struct rf_hosts *h)
{
	free(h->text);
	*h = (struct rf_hosts){ 0 };
}
