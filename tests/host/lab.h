#pragma once
/*
 * A small world for tests of the container backend: a loop, the backend opened on it, guests with a
 * busybox root each. Run inside tests/host/env; everything is below /run, which is private there.
 */

#include <check.h>

#include "backends/backend.h"
#include "tests/mini_loop.h"

#define LAB_GUESTS 128
#define LAB_WAIT_MS 60000		/* a net for broken code, not a measure */

struct lab_guest {
	struct guest_spec spec;
	struct guest_id id;
	char domain[64], uuid[VN_UUID_TEXT], root[256], dir[256], netns[256], userns[256];
	const char *argv[8];
	int bare;			/* control socket of a start without the backend */
	unsigned exits;
	bool has_exited;
	struct guest_exit exit;
};

struct lab {
	struct mini_loop *loop;
	struct backend_env env;
	struct compute *compute;
	struct lab_guest guests[LAB_GUESTS];
	size_t n_guests;
	size_t n_exits;
	bool all_exited;		/* every guest of the lab */
	bool link_up, link_changed;
};

/* Opens a fresh world; lab_close checks that nothing is left of it. */
void lab_open(struct lab *lab);
void lab_close(struct lab *lab);
/* As a restart of vnoded: the backend is closed and opened, guests live on. */
void lab_reopen(struct lab *lab);

/* A guest whose init is `sh -c script`, or the root's /sbin/init when NULL; namespaces are made. */
struct lab_guest *lab_guest(struct lab *lab, const char *script, bool privileged);
void lab_start(struct lab *lab, struct lab_guest *guest);
void lab_watch(struct lab *lab, struct lab_guest *guest);
/* Runs the loop until the guest has ended. */
void lab_await_exit(struct lab *lab, struct lab_guest *guest);
void lab_stop(struct lab *lab, struct lab_guest *guest, unsigned grace_ms);

/* Runs `sh -c script` in the guest as `user` (NULL: root); output to be freed. */
char *lab_exec(struct lab *lab, struct lab_guest *guest, const char *user, const char *script,
	       struct exec_result *ret);
/* Connects to the console and reads until `text` has come. */
void lab_console_expect(struct lab *lab, struct lab_guest *guest, const char *text);

/* Runs a program of the test environment and returns its exit status. */
int lab_run(const char *command);
