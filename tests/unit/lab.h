#pragma once
/*
 * A whole daemon on the fake world: state folder, held clock, one admin client over a socketpair. The
 * daemon can be killed as by -9, also at a chosen changing call of the world or a chosen commit, and
 * opened again on what it left; the machine can be rebooted under it. Nothing sleeps: the loop runs
 * until what is waited for has come.
 */

#include "backends/fake/world.h"
#include "daemon/model.h"
#include "tests/unit/support.h"

#define LAB_URL "http://images/img"

struct lab {
	struct world *world;
	struct loop *loop;
	struct daemon *daemon;		/* NULL: none runs */
	char *folder;
	uint64_t crash_at;		/* dies when the store has made so many commits; 0: never */
	bool crashed;			/* lab_kill or lab_reboot is to follow */
	int64_t wall_us;		/* the wall clock, between lives; 0: none was there */
	int64_t last_seq;		/* the highest event number that was ever committed */
	/* the client */
	int fd, last_id;
	int fds[8];			/* that came with answers */
	unsigned n_fds;
	char *data;
	size_t length;
	json_t *heard;			/* array of lines not asked for yet */
};

/* A world with a daemon that is ready and has the image "img". */
struct lab *lab_new(void);
/* The same without the image. */
struct lab *lab_new_bare(void);
void lab_free(struct lab *lab);

/* Opens a daemon and runs it until it is ready (false: it crashed before) and has nothing to do. */
bool lab_open(struct lab *lab);
void lab_close(struct lab *lab);
/* kill -9. */
void lab_kill(struct lab *lab);
/* kill -9 and the machine's power off and on. */
void lab_reboot(struct lab *lab);

/* One turn of the loop, waiting; false once the daemon has crashed. */
bool lab_turn(struct lab *lab);
/* Until no job is active, all is committed and nothing is left to run; false: crashed. */
bool lab_settle(struct lab *lab);
/* Until a call hangs, or (false) all is quiet without one. */
bool lab_await_hang(struct lab *lab);
/* Lets hanging calls go on, also those that were given up on, and settles. */
void lab_release(struct lab *lab);
/* Another client in place of the one there was. */
void lab_connect(struct lab *lab, uid_t uid, enum role role);
/* Moves the clocks and runs what fell due; between two lives the wall clock, as time that passes. */
void lab_advance(struct lab *lab, uint64_t ms);

/* Sends a request; params: NULL, or what json_pack makes of the format. Returns its id. */
int lab_send(struct lab *lab, const char *method, const char *format, ...);
int lab_send_json(struct lab *lab, const char *method, VN_TAKES json_t *params);
/* The whole answer with that id; NULL: crashed before it came. */
json_t *lab_hear(struct lab *lab, int id);
/* Sends and hears; the result, or the test fails. To be released. */
json_t *lab_result(struct lab *lab, const char *method, const char *format, ...);
/* Sends and hears an error with that word; returns its data ("path", "job" …), to be released. */
json_t *lab_error(struct lab *lab, const char *word, const char *method, const char *format, ...);
/* The same, with released answers. */
void lab_do(struct lab *lab, const char *method, const char *format, ...);
void lab_refuse(struct lab *lab, const char *word, const char *method, const char *format, ...);

/* The error word of an answer, "ok" for a result, "crash" for NULL. */
const char *lab_word(json_t *answer);

struct vnode *lab_vnode(struct lab *lab, const char *reference);
const char *lab_observed(struct lab *lab, const char *reference);

/*
 * All that people and guests can see: the world, and the daemon's vnodes, LANs, images and topologies
 * without times, jobs and uuids. Equal labs have equal pictures.
 */
json_t *lab_picture(struct lab *lab);
/* Fails with both texts where they differ. what: for the message. */
void lab_same(json_t *expected, json_t *got, const char *what);
/* The same where ids may differ, because an attempt before has used some up. */
void lab_same_but_ids(json_t *expected, json_t *got, const char *what);

/* No job, no lock, no state that only a job may leave, no wrong order of calls. */
void lab_check_quiet(struct lab *lab, const char *what);
/* Destroys everything and checks that nothing is left. */
void lab_clean(struct lab *lab, const char *what);
