#pragma once
/*
 * Jobs: persistent, cancellable operations made of steps. A verb's step table says the order, what
 * undoes what, what the client sees as progress, and what the journal holds. Thread: loop.
 *
 * The rules (DESIGN section 5):
 * - A step happens completely or cleans up after itself; a failure undoes the steps before it, in
 *   reverse. A worker's step that failed or ran past its deadline may have had an effect: it is undone
 *   as well, so an undo finds anything from nothing to all of it.
 * - Steps are safe to repeat. Before a worker step runs, its row in `jobs` is on disk. After a crash a
 *   job goes on at that step (in the same direction); after a reboot of the machine, which takes all
 *   effects of earlier steps along, a forward job begins again.
 * - Worker steps see only `ctx`; loop steps may touch the model and must not block.
 * - Past a step marked STEP_COMMIT a job only goes forward.
 */

#include <jansson.h>

#include "daemon/daemon.h"

enum step_place { ON_LOOP, ON_WORKER };
/* STEP_WAIT: job_resume or the last child's end goes on. STEP_AGAIN: to be called again in the loop's next
 * turn, for a step on the loop with much to do. */
enum verdict { STEP_DONE, STEP_FAILED, STEP_WAIT, STEP_AGAIN };

struct job;
typedef enum verdict step_fn(struct job *job, void *ctx, struct vn_error *err);

#define STEP_COMMIT   1u	/* once this step is done, nothing is undone any more */
#define STEP_LONG     4u	/* no deadline: takes as long as its input is large, and can be aborted */
#define STEP_JOINED   8u	/* the next step happens under this one's journal entry: both are a worker's, and this
				   one may be repeated after the next has had its effect */
#define STEP_TOLERANT 2u	/* failed children do not fail the step; they are counted in the result */

struct step {			/* the end of a table has no name */
	const char *name;
	enum step_place place;
	enum pool_lane lane;
	step_fn *run, *undo;	/* undo: NULL where there is nothing to undo */
	unsigned flags;
	/* Asked on the loop before `run`: false, and the step is done without a commit and a worker. NULL: always. */
	bool (*is_needed)(const void *ctx);
};

struct verb {
	const char *method;	/* as in the method table, or an inner verb: "lan.create" */
	int version;		/* raised whenever the step table changes its meaning */
	const struct step *steps;
	/*
	 * Reads job->params, takes the locks and copies what the steps need. Called when the job is
	 * made, after a restart, and after a step was abandoned (the locks are held then already).
	 * NULL with err: the job is not made.
	 */
	void *(*load)(struct job *job, struct vn_error *err);
	void (*free)(void *ctx);
	/* Once, at the end, before the end is recorded: settles states. ctx may be NULL (load failed). */
	void (*ended)(struct job *job, void *ctx);
	/* Turns the path in a child's error into one of this verb's own parameters. NULL: it stays. */
	void (*lead_path)(const struct job *child, struct vn_error *err);
	bool of_a_life;		/* belongs to one life of the daemon: forgotten by the next */
	bool anew;		/* its steps hand each other what no row keeps: after a restart it begins
				   at its first step */
};

/* Ends with a NULL; verbs of all modules, found again by method after a restart. */
extern const struct verb *const verbs[];

enum job_state { JOB_QUEUED, JOB_RUNNING, JOB_UNDOING, JOB_DONE, JOB_FAILED, JOB_CANCELLED };
extern const char *const job_state_words[];

/* What a vnode, LAN, image or topology carries so that one job at a time may change it. */
struct job_lock {
	int64_t holder;		/* job id; 0: free */
	int64_t last;		/* the last that took it, in this life */
};

struct job_waiter;
struct job_locked;
struct step_work;

struct job_timing {
	int64_t ms;
	enum { TIMING_NONE, TIMING_RUNNING, TIMING_DONE, TIMING_FAILED, TIMING_UNDONE } state;
};

struct job {
	/* set at birth */
	struct daemon *daemon;
	const struct verb *verb;
	int64_t id, parent, uid;
	json_t *params;		/* persistent */
	size_t n_steps;

	/* persistent, written with the next journal entry */
	enum job_state state;
	size_t at;		/* step that runs or is to run; when undoing: that is being undone */
	json_t *data;		/* the steps' own notes; an object */
	json_t *about;		/* names of the vnodes it concerns; an array */
	int64_t created_us, ended_us;

	/* of this life */
	void *ctx;
	struct vn_error err;	/* why it failed; VN_OK */
	json_t *result;		/* of a done job; NULL: {} */
	struct job_timing *timing;
	bool cancelled, committed, finished;
	bool recovered;		/* waits for jobs_resume */
	bool resumed;		/* begun by an earlier life */
	size_t journalled;	/* steps before this one may have had their effect, by the journal */
	size_t journalled_before;	/* the same, of an earlier life */
	size_t failed_at;	/* index + 1 of the worker step whose failure is being undone */
	struct vn_error why;	/* of the cancelling; VN_OK: simply cancelled */
	uint64_t ticket;	/* of the wait it is in; 0: none */
	bool *abort_flag;	/* in ctx; set (atomically) by job_cancel for a long worker step to see */
	uint64_t bytes_done, bytes_total;	/* of a download; total 0: unknown */
	uint64_t part_done, part_total;	/* of the running step, where it tells; total 0: it does not */
	uint64_t began_ms;	/* of the current step */
	uint64_t patience_ms;	/* on top of step_timeout: what its steps may wait for a guest */
	struct step_work *work;	/* being run by a worker */
	struct watch *deadline, *timeout;
	unsigned children, children_done, children_failed;
	bool is_halfway;	/* its step has said STEP_AGAIN */
	size_t item;		/* at which the step goes on then */
	struct vn_error child_err;
	json_t *failures;	/* [{vnode|lan, code, text}] of failed children */
	struct job_waiter *waiters;
	struct job_locked *locked;
	struct vn_list link;
};

struct jobs;
int jobs_open(struct daemon *daemon, struct jobs **ret, struct vn_error *err);
void jobs_close(struct jobs *jobs);

/* Makes again the jobs that a crash interrupted; they wait for jobs_resume. rebooted: see above.
 * Errors: VN_E_UNSUPPORTED a journal of an unknown verb or version; the text says the cure. */
int jobs_load(struct daemon *daemon, bool rebooted, struct vn_error *err);
void jobs_resume(struct daemon *daemon);
/* The daemon ends: long steps are told to stop where they are, as a crash would; the journal has them. */
void jobs_abort(const struct jobs *jobs);
/* Steps given up on whose call has not come back yet. */
size_t jobs_lost(const struct jobs *jobs);
int64_t jobs_last(const struct jobs *jobs);	/* the highest id given out */
/* Number of jobs that have not ended. */
size_t jobs_active(const struct jobs *jobs);
struct vn_list *jobs_list(struct jobs *jobs);	/* of struct job by `link`, oldest first */

/*
 * Makes and starts a job. params is taken. parent NULL: none; a child counts for its parent, which is
 * resumed when all its children have ended. Errors: what verb->load says (VN_E_BUSY …).
 */
int job_begin(struct daemon *daemon, const struct verb *verb, struct job *parent, int64_t uid,
	      VN_TAKES json_t *params, struct job **ret, struct vn_error *err);

/* Begins a child for the item of that index, if it needs one. Returns -1 and err: it could not begin. */
typedef int job_item_fn(struct job *job, size_t item, void *arg, struct vn_error *err);
/*
 * What a step on the loop does that begins a child for each of many items: goes through them from
 * job->item on, as many a turn as LOOP_SLICE_NS allows, and waits for the children. It stops where one has
 * failed, unless the step is tolerant, or where the job is cancelled. After a restart, and only then, items
 * are seen again.
 *
 * n_items: the same in each turn.
 * Returns: what the step returns; STEP_FAILED with err only where no child is there to be waited for.
 */
enum verdict job_each(struct job *job, size_t n_items, job_item_fn *fn, void *arg, struct vn_error *err);

/*
 * Before any changing handler: a call that was made before under its request_id gets the job that it made
 * then. Returns 1 answered, 0 it is new, -1 refused with err (the same id, but another call).
 */
int job_answer_repeated(struct call *call, const struct change_params *change, struct vn_error *err);
/*
 * What every changing handler ends with: remembers the request_id, makes the job and answers the call
 * now or when the job ends. params is taken. Returns 0, or -1 with err.
 */
int job_answer(struct call *call, const struct change_params *change, const struct verb *verb,
	       VN_TAKES json_t *params, struct vn_error *err);
/* The same for a call that turns out to have nothing to do: a job that is done at once, so that clients
 * see one form of answer. */
int job_answer_nothing(struct call *call, const struct change_params *change, const char *method,
		       VN_TAKES json_t *result, struct vn_error *err);
/* Answers with a job that exists already (a second request for the same image). */
int job_answer_same(struct call *call, const struct change_params *change, struct job *job,
		    struct vn_error *err);

/* Takes a lock until the job ends. A job may take what an ancestor holds. VN_E_BUSY names `what` and
 * the holder; err carries no job number: see job_blocker. */
int job_lock(struct job *job, struct job_lock *lock, const char *what, struct vn_error *err);
/* Who holds a lock, seen from a job. */
enum lock_holder { LOCK_FREE, LOCK_OF_SELF, LOCK_OF_CHILD, LOCK_OF_OTHER };
enum lock_holder job_lock_holder(const struct job *job, const struct job_lock *lock);
/* The object of the lock is about to be freed: no job may look at it any more. */
void job_forget_lock(struct daemon *daemon, struct job_lock *lock);
/* The job whose lock was in the way of the last failed job_lock or job_begin; for data.job. */
int64_t job_blocker(const struct daemon *daemon);
/* Gives a lock back before the job ends, or because its object is about to be freed. */
void job_unlock(struct job *job, struct job_lock *lock);

/* A ticket for the wait that the running loop step is about to begin (STEP_WAIT). */
uint64_t job_ticket(const struct job *job);
/* Ends that wait: err NULL: the step is done. A void ticket is ignored. Takes effect from the loop. */
void job_resume(struct daemon *daemon, uint64_t ticket, const struct vn_error *err);

/* Asks a job to end: the step that runs is finished, then everything is undone. VN_E_STATE: ended
 * already, or past the point where only going on makes sense. */
int job_cancel(struct job *job, const struct vn_error *why, struct vn_error *err);

/* NULL when there is no such job that has not ended. */
struct job *job_find(const struct daemon *daemon, int64_t id);
/* Calls fn(arg, job) when the job ends (before it is freed), unless forgotten by job_unwatch; fn(arg, NULL),
 * to free what is its own, when the daemon ends before. */
uint64_t job_watch(struct job *job, void (*fn)(void *arg, struct job *job), void *arg);
void job_unwatch(struct job *job, uint64_t watch);

/* The wire object; a new reference. full: with steps, result and error. */
json_t *job_object(const struct job *job, bool full);
/* The wire object of any job, ended ones from the database; NULL when there is none. */
json_t *job_object_by_id(struct daemon *daemon, int64_t id);

/* Publishes a job.state event as the job is now; for progress within a step. */
void job_announce(struct job *job);

/* Steps' own notes become part of the next journal entry; value is taken. */
void job_note(struct job *job, const char *key, VN_TAKES json_t *value);
