/* cli/double: for tests: an API of canned answers behind a Unix socket, and a run of the tool against it. */
#pragma once
#include "cli/cli.h"

enum { DOUBLE_ASKED_MAX = 64 };

struct canned {
	const char *method;
	const char *target;  /* path and query as asked for; a trailing "*" fits any rest */
	int status;
	const char *body;    /* JSON */
};

struct asked { char method[8], target[512]; char *body; };

struct api_double {
	const struct canned *answers; /* the first that fits is given, each any number of times; ends with a NULL method */
	const char *typed;            /* by somebody who is there; NULL: nobody is */
	char dir[64], socket[80];
	int fd;
	unsigned long thread;
	struct asked asked[DOUBLE_ASKED_MAX]; /* in order; read after the run */
	size_t count;
};

void double_start(struct api_double *d, const struct canned *answers);
void double_stop(struct api_double *d);

struct ran { int status; char *out, *err; };
/* Run "ringfence ARGS..." (NULL-terminated) against the double; ARGS without the program's name. */
struct ran double_run(struct api_double *d, const char *const *args);
void ran_free(struct ran *r);
#define RUN(d, ...) double_run((d), (const char *const[]){ __VA_ARGS__, NULL })
