/* ctl/samples: see samples.h. */
#include "ctl/samples.h"
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>
#include "records/counters.h"
#include "records/log.h"

struct line {
	struct line *next;
	size_t n;
	char text[];
};

struct rf_samples {
	struct rf_ctl *c;
	char path[512], old[520];
	int fd;
	off_t size, most;
	bool failing;
	struct rf_msg msg;
	pthread_mutex_t lock; /* guards what follows */
	struct line *first, **last;
	size_t waiting;
	bool posted;
};

void rf_samples_path(const struct rf_boot *b, char *to, size_t room)
{
	snprintf(to, room, "%s", b->records_samples);
}

static int open_file(struct rf_samples *s)
{
	struct stat st;
	s->fd = open(s->path, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC | O_NOCTTY, 0600);
	s->size = s->fd >= 0 && fstat(s->fd, &st) == 0 ? st.st_size : 0;
	return s->fd >= 0 ? RF_OK : RF_E_IO;
}

static void turn_over(struct rf_samples *s)
{
	close(s->fd);
	if (rename(s->path, s->old) != 0)
		unlink(s->path); /* rather none than without a bound */
	open_file(s);
}

static void append(struct rf_samples *s, const struct line *l)
{
	if (s->fd >= 0 && s->size && s->size + (off_t)l->n > s->most)
		turn_over(s);
	bool good = (s->fd >= 0 || open_file(s) == RF_OK) && write(s->fd, l->text, l->n) == (ssize_t)l->n;
	if (!good && !s->failing)
		rf_log(RF_LOG_ERROR, "records", "samples cannot be written to %s (%s); they are lost until they can", s->path, strerror(errno));
	s->failing = !good;
	s->size += (off_t)l->n;
	rf_count(good ? RF_C_SAMPLES : RF_C_SAMPLES_LOST);
}

static void take(struct rf_loop *loop, struct rf_msg *msg)
{
	(void)loop;
	struct rf_samples *s = RF_CONTAINER(msg, struct rf_samples, msg);
	pthread_mutex_lock(&s->lock);
	struct line *l = s->first;
	s->first = NULL;
	s->last = &s->first;
	s->waiting = 0;
	s->posted = false;
	pthread_mutex_unlock(&s->lock);
	for (struct line *next; l; l = next) {
		next = l->next;
		append(s, l);
		free(l);
	}
}

void rf_samples_put(struct rf_samples *s, struct rf_str text)
{
	struct line *l = malloc(sizeof *l + text.n + 1);
	bool post = false;
	if (l) {
		l->next = NULL;
		l->n = text.n + 1;
		memcpy(l->text, text.p, text.n);
		l->text[text.n] = '\n';
	}
	pthread_mutex_lock(&s->lock);
	if (l && s->waiting < RF_SAMPLES_WAITING) {
		*s->last = l;
		s->last = &l->next;
		s->waiting++;
		l = NULL;
		post = !s->posted;
		s->posted = true;
	} else {
		rf_count(RF_C_SAMPLES_LOST);
	}
	pthread_mutex_unlock(&s->lock);
	free(l);
	if (post)
		rf_loop_post(s->c->loop, &s->msg);
}

int rf_samples_new(struct rf_ctl *c, struct rf_samples **ret, struct rf_err *e)
{
	struct rf_samples *s = calloc(1, sizeof *s);
	if (!s)
		return rf_fail(e, RF_E_NOMEM, "no memory for samples");
	s->c = c;
	s->fd = -1;
	s->msg.run = take;
	s->most = (off_t)(c->boot->records_samples_size / 2);
	s->last = &s->first;
	pthread_mutex_init(&s->lock, NULL);
	rf_samples_path(c->boot, s->path, sizeof s->path);
	snprintf(s->old, sizeof s->old, "%s.1", s->path);
	if (open_file(s) != RF_OK) {
		rf_fail(e, RF_E_IO, "records.samples: %s cannot be opened for writing: %s", s->path, strerror(errno));
		rf_samples_free(s);
		return e->code;
	}
	*ret = s;
	return RF_OK;
}

void rf_samples_free(struct rf_samples *s)
{
	if (!s)
		return;
	take(NULL, &s->msg);
	if (s->fd >= 0)
		close(s->fd);
	pthread_mutex_destroy(&s->lock);
	free(s);
}
