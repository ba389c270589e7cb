/*
 * Verbs that begin a child for each of many objects do so over several turns of the loop, so that others
 * are served in between. One large topology is taken through all of them, in an order in which each has
 * something to do with every vnode.
 *
 * A slice is real time. That all vnodes fit into one would need a child a few microseconds; one takes ten
 * times that.
 */
#include "tests/unit/lab.h"

#include <string.h>

#include "daemon/store.h"

enum { MANY = 300 };

static json_t *
many_vnodes(void)
{
	json_t *vnodes = json_object();

	for (int i = 0; i < MANY; i++) {
		vn_autofree char *name = vn_format("n%d", i);

		json_object_set_new(vnodes, name, json_object());
	}
	return json_pack("{ss so}", "topology", "many", "vnodes", vnodes);
}

/* The job that the call has made; NULL: not yet, or it has ended. */
static struct job *
job_of(struct lab *lab, const char *method)
{
	vn_list_each(struct job, job, jobs_list(lab->daemon->jobs), link)
		if (!job->parent && strcmp(job->verb->method, method) == 0)
			return job;
	return NULL;
}

/* Calls, and checks that no turn of the loop begins a child for every vnode. params is taken. */
static void
check_slices(struct lab *lab, const char *method, json_t *params)
{
	int64_t last = jobs_last(lab->daemon->jobs);
	int id = lab_send_json(lab, method, params);
	unsigned before = 0, most = 0;
	json_t *answer;

	while (jobs_last(lab->daemon->jobs) == last || job_of(lab, method)) {
		struct job *job;
		unsigned begun;

		ck_assert(lab_turn(lab));
		job = job_of(lab, method);
		begun = job ? job->children + job->children_done : before;
		most = begun - before > most ? begun - before : most;
		before = begun;
	}
	answer = lab_hear(lab, id);
	ck_assert_msg(strcmp(lab_word(answer), "ok") == 0, "%s: %s", method, lab_word(answer));
	ck_assert_msg(before >= MANY, "%s has begun %u children", method, before);
	ck_assert_msg(most < MANY, "%s has begun %u children in one turn", method, most);
	json_decref(answer);
	lab_check_quiet(lab, method);
}

static void
check_state(struct lab *lab, enum vnode_state state)
{
	vn_list_each(struct vnode, vnode, &lab->daemon->model->vnodes, link)
		ck_assert_int_eq(vnode->observed, state);
}

/* Somebody changes one port of each vnode. */
static void
meddle(struct lab *lab)
{
	vn_list_each(struct vnode, vnode, &lab->daemon->model->vnodes, link) {
		vn_autofree char *deed = vn_format("v%llde0 mtu 900", (long long)vnode->vmid);

		ck_assert(world_meddle(lab->world, deed));
	}
}

START_TEST(no_verb_begins_all_its_children_in_one_turn)
{
	struct lab *lab = lab_new();

	check_slices(lab, "topology.apply", json_pack("{so sb}", "document", many_vnodes(), "wait", 1));
	check_state(lab, VNODE_RUNNING);
	check_slices(lab, "host.halt", json_pack("{sb}", "wait", 1));
	check_state(lab, VNODE_STOPPED);
	check_slices(lab, "host.boot", json_pack("{sb}", "wait", 1));
	check_state(lab, VNODE_RUNNING);
	meddle(lab);
	check_slices(lab, "host.repair", json_pack("{sb}", "wait", 1));
	check_slices(lab, "topology.delete", json_pack("{ss sb}", "topology", "many", "wait", 1));
	lab_clean(lab, "slices");
	lab_free(lab);
}
END_TEST

/* A lab whose vnodes are all down, though they are wanted. */
static struct lab *
lab_of_halted(void)
{
	struct lab *lab = lab_new();

	lab_do(lab, "topology.apply", "{so sb}", "document", many_vnodes(), "wait", 1);
	lab_do(lab, "host.halt", "{sb}", "wait", 1);
	ck_assert(lab_settle(lab));
	return lab;
}

START_TEST(cancelled_between_two_slices_it_begins_no_more)
{
	struct lab *lab = lab_of_halted();
	unsigned running = 0;
	struct job *job;

	lab_send(lab, "host.boot", NULL);
	while (!(job = job_of(lab, "host.boot")) || !job->children)
		ck_assert(lab_turn(lab));
	ck_assert_uint_lt(job->children + job->children_done, MANY);
	lab_do(lab, "job.cancel", "{sI}", "job", (json_int_t)job->id);
	ck_assert(lab_settle(lab));
	lab_check_quiet(lab, "cancelled");
	vn_list_each(struct vnode, vnode, &lab->daemon->model->vnodes, link)
		running += vnode->observed == VNODE_RUNNING;
	ck_assert_uint_lt(running, MANY);
	lab_clean(lab, "cancelled");
	lab_free(lab);
}
END_TEST

/* The first commit has the job and the children of few slices. */
START_TEST(killed_after_the_first_commits_it_goes_on_with_the_rest)
{
	for (unsigned commits = 1; commits <= 3; commits++) {
		struct lab *lab = lab_of_halted();

		lab->crash_at = store_commits(lab->daemon->store) + commits;
		lab_send(lab, "host.boot", NULL);
		ck_assert(!lab_settle(lab));
		lab_kill(lab);
		ck_assert(lab_open(lab));
		lab_check_quiet(lab, "killed");
		check_state(lab, VNODE_RUNNING);
		lab_clean(lab, "killed");
		lab_free(lab);
	}
}
END_TEST

int
main(void)
{
	return run_suite("slices", (const TTest *const[]){
		no_verb_begins_all_its_children_in_one_turn,
		cancelled_between_two_slices_it_begins_no_more,
		killed_after_the_first_commits_it_goes_on_with_the_rest,
		NULL });
}
