/* base/test_child: the process that a test has started. It ends with the test, also with one that fails or is killed.
 *
 * Put test_child_end among what a test's teardown does.
 */
#pragma once
#include <dirent.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/types.h>
#include <sys/wait.h>
#include <unistd.h>
#include <cmocka.h>

static pid_t test_child; /* 0: none */

static pid_t test_child_start(void)
{
	pid_t parent = getpid();
	fflush(NULL);
	assert_int_equal(test_child, 0);
	test_child = fork();
	assert_true(test_child >= 0);
	if (test_child)
		return test_child;
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	if (getppid() != parent)
		_exit(97);
	return 0;
}

/* fork(2) for a test of one thread: in the child of a process of several, what the others hold stays locked, and what they
 * do is never done. */
__attribute__((unused)) static pid_t test_fork(void)
{
	size_t threads = 0;
	DIR *d = opendir("/proc/self/task");
	assert_non_null(d);
	for (struct dirent *e; (e = readdir(d));)
		threads += e->d_name[0] != '.';
	closedir(d);
	assert_int_equal(threads, 1);
	return test_child_start();
}

/* This program again, with these arguments up to NULL: for a test that has threads. */
__attribute__((unused)) static pid_t test_again(const char *first, ...)
{
	char *args[8] = { "test" };
	size_t n = 1;
	va_list more;
	va_start(more, first);
	for (const char *a = first; a; a = va_arg(more, const char *)) {
		assert_true(n < sizeof args / sizeof *args - 1);
		args[n++] = (char *)(uintptr_t)a;
	}
	va_end(more);
	if (test_child_start() == 0) {
		execv("/proc/self/exe", args);
		_exit(98);
	}
	return test_child;
}

/* Waits until it ends; its status, or minus the signal that ended it. */
__attribute__((unused)) static int test_child_wait(void)
{
	int status;
	assert_int_equal(waitpid(test_child, &status, 0), test_child);
	test_child = 0;
	return WIFEXITED(status) ? WEXITSTATUS(status) : -WTERMSIG(status);
}

/* Kills it where it still is. */
static int test_child_end(void **state)
{
	(void)state;
	if (test_child > 0) {
		kill(test_child, SIGKILL);
		waitpid(test_child, NULL, 0);
	}
	test_child = 0;
	return 0;
}
