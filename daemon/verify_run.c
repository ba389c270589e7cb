/*
 * Looks in the background: each source is work of its own lane. Where jobs came between, everything is looked
 * at once more, a few times; then what they touch is left out. A source that hangs (libvirt may) is given up
 * after the time that a job's step has.
 */
#include "daemon/verify.h"

enum { TRIES = 4 };

struct run;

struct look {				/* one source of one try */
	struct work work;
	struct run *run;
	unsigned source;
	bool is_away;			/* the pool has it */
	int status;
	struct vn_error err;
};

struct run {
	struct verifier *verifier;
	char *topology;
	bool fabric_only, once, told;
	verify_end_fn *on_end;
	void *arg;
	struct verification *verification;
	struct look looks[VERIFY_SOURCES];
	unsigned pending, tries;	/* pending: works that the pool has */
	struct watch *deadline;
	struct vn_list link;
};

struct verifier {
	struct daemon *daemon;
	struct vn_list runs;
};

struct verifier *
verifier_open(struct daemon *daemon)
{
	struct verifier *verifier = vn_alloc(sizeof(*verifier));

	verifier->daemon = daemon;
	vn_list_init(&verifier->runs);
	return verifier;
}

static void
free_run(struct run *run)
{
	loop_remove(run->deadline);
	vn_list_remove(&run->link);
	verification_free(run->verification);
	free(run->topology);
	free(run);
}

/* Whoever asked is told once. */
static void
end(struct run *run, const struct vn_error *err)
{
	run->told = true;
	run->on_end(run->arg, err ? NULL : run->verification, err);
}

void
verifier_close(struct verifier *verifier)
{
	if (!verifier)
		return;
	vn_list_each_safe(struct run, run, &verifier->runs, link) {
		if (!run->told)
			run->on_end(run->arg, NULL, NULL);
		free_run(run);
	}
	free(verifier);
}

static void begin_try(struct run *run);

/* All sources of a try are back. */
static void
conclude(struct run *run)
{
	loop_remove(vn_take_ptr(&run->deadline));
	for (unsigned i = 0; i < VERIFY_SOURCES; i++)
		if (run->looks[i].status < 0) {
			end(run, &run->looks[i].err);
			free_run(run);
			return;
		}
	if (!verification_settle(run->verification) && !run->once && ++run->tries < TRIES) {
		verification_free(vn_take_ptr(&run->verification));
		begin_try(run);
		return;
	}
	end(run, NULL);
	free_run(run);
}

static void
on_look(struct work *work)
{
	struct look *look = vn_container_of(work, struct look, work);

	look->status = verify_sources[look->source].look(look->run->verification, &look->err);
}

static void
on_back(struct work *work)
{
	struct look *look = vn_container_of(work, struct look, work);
	struct run *run = look->run;

	look->is_away = false;
	if (--run->pending > 0)
		return;
	if (run->told)
		free_run(run);
	else
		conclude(run);
}

/* Who asked is told now; the memory goes when the last of the works is back. */
static void
on_deadline(void *arg)
{
	struct run *run = arg;
	struct vn_error err = { 0 };

	loop_remove(vn_take_ptr(&run->deadline));
	vn_fail(&err, VN_E_TIMEOUT, "a backend did not answer in time");
	end(run, &err);
	for (unsigned i = 0; i < VERIFY_SOURCES; i++)
		if (run->looks[i].is_away)
			pool_abandon(&run->looks[i].work);
}

static void
submit(struct run *run)
{
	struct daemon *daemon = run->verifier->daemon;

	run->deadline = loop_add_timer(daemon->loop, daemon->config.step_timeout_ns / 1000000, on_deadline,
				       run);
	for (unsigned i = 0; i < VERIFY_SOURCES; i++) {
		struct look *look = &run->looks[i];

		*look = (struct look){ .run = run, .source = i, .work = { .lane = verify_sources[i].lane,
			.run = on_look, .done = on_back, .lost = on_back } };
		if (run->fabric_only && !verify_sources[i].in_fabric_only)
			continue;
		run->pending++;
		look->is_away = true;
		pool_submit(daemon->pool, &look->work);
	}
}

static int
copy(struct run *run, struct vn_error *err)
{
	struct verify_scope scope = { .topology = run->topology, .fabric_only = run->fabric_only };

	return verification_new(run->verifier->daemon, &scope, &run->verification, err);
}

/* Another try, on the loop. */
static void
begin_try(struct run *run)
{
	struct vn_error err = { 0 };

	if (copy(run, &err) == 0) {
		submit(run);
		return;
	}
	end(run, &err);
	free_run(run);
}

int
verify_begin(struct daemon *daemon, const struct verify_scope *scope, verify_end_fn *on_end, void *arg,
	     struct vn_error *err)
{
	struct run *run = vn_alloc(sizeof(*run));

	run->verifier = daemon->verifier;
	run->topology = vn_strdup(scope->topology);
	run->fabric_only = scope->fabric_only;
	run->once = scope->once;
	run->on_end = on_end;
	run->arg = arg;
	vn_list_init(&run->link);
	if (copy(run, err) < 0) {
		free_run(run);
		return -1;
	}
	vn_list_append(&daemon->verifier->runs, &run->link);
	submit(run);
	return 0;
}
