/*
 * Every verb in every state, answered as the table verb_action says: run, done already, refused with
 * what to do first, or busy with the job that holds the vnode.
 */
#include "tests/unit/lab.h"

#include <string.h>

#include "daemon/lifecycle.h"

static const char *const methods_of[VNODE_VERB_COUNT] = {
	"vnode.boot", "vnode.halt", "vnode.reboot", "vnode.reload", "vnode.destroy", "vnode.set",
	"vnode.mount", "vnode.unmount", "image.capture", "vnode.exec", "vnode.console",
};

/* Where a verb that runs leaves the vnode; UNCHANGED: where it was. */
#define UNCHANGED (-1)
static const int ends[VNODE_VERB_COUNT] = {
	VNODE_RUNNING, VNODE_STOPPED, VNODE_RUNNING, UNCHANGED, VNODE_ABSENT, UNCHANGED,
	VNODE_MOUNTED, VNODE_STOPPED, UNCHANGED, UNCHANGED, UNCHANGED,
};

static json_t *
params_of(enum vnode_verb verb)
{
	if (verb == VERB_SET)
		return json_pack("{ss s{ss} sb}", "vnode", "a", "set", "memory", "128MiB", "wait", 1);
	if (verb == VERB_EXEC)
		return json_pack("{ss s[s] ss}", "vnode", "a", "argv", "true", "stdio", "capture");
	if (verb == VERB_CAPTURE)
		return json_pack("{ss ss sb}", "vnode", "a", "name", "captured", "wait", 1);
	if (verb == VERB_CONSOLE)
		return json_pack("{ss}", "vnode", "a");
	return json_pack("{ss sb}", "vnode", "a", "wait", 1);
}

static void
create(struct lab *lab)
{
	lab_do(lab, "vnode.create", "{ss ss sb}", "name", "a", "memory", "64MiB", "wait", 1);
}

static void
boot(struct lab *lab)
{
	create(lab);
	lab_do(lab, "vnode.boot", "{ss sb}", "vnode", "a", "wait", 1);
}

/* Sends a request whose job hangs in that call. */
static void
hang(struct lab *lab, const char *op, const char *method, const char *key)
{
	world_hang(lab->world, op, 1);
	lab_send(lab, method, "{ss}", key, "a");
	ck_assert(lab_await_hang(lab));
}

/* A state that no verb leads to is written; the daemon must answer it all the same. */
static void
force(struct lab *lab, enum vnode_state state)
{
	lab_vnode(lab, "a")->observed = state;
}

static struct lab *
lab_in(enum vnode_state state)
{
	struct lab *lab = lab_new();

	switch (state) {
	case VNODE_CREATING:
		hang(lab, "disk.create", "vnode.create", "name");
		break;
	case VNODE_ABSENT:
	case VNODE_STOPPED:
		create(lab);
		break;
	case VNODE_MOUNTED:
		create(lab);
		lab_do(lab, "vnode.mount", "{ss sb}", "vnode", "a", "wait", 1);
		break;
	case VNODE_BOOTING:
		create(lab);
		hang(lab, "compute.start", "vnode.boot", "vnode");
		break;
	case VNODE_RUNNING:
	case VNODE_PAUSED:
		boot(lab);
		break;
	case VNODE_STOPPING:
		boot(lab);
		hang(lab, "compute.stop", "vnode.halt", "vnode");
		break;
	case VNODE_DESTROYING:
		boot(lab);
		hang(lab, "compute.stop", "vnode.destroy", "vnode");
		break;
	case VNODE_FAILED:
		create(lab);
		world_fail(lab->world, "compute.start", 1, VN_E_BACKEND);
		lab_refuse(lab, "backend", "vnode.boot", "{ss sb}", "vnode", "a", "wait", 1);
		world_fault_clear(lab->world);
		break;
	}
	force(lab, state);
	return lab;
}

static void
check_answer(struct lab *lab, enum vnode_verb verb, enum verb_action action, const char *what)
{
	int64_t holder = lab_vnode(lab, "a")->lock.holder;
	json_t *before = lab_picture(lab), *answer, *data, *after;
	const char *word;

	answer = lab_hear(lab, lab_send_json(lab, methods_of[verb], params_of(verb)));
	word = lab_word(answer);
	data = json_object_get(json_object_get(answer, "error"), "data");
	if (action == VERB_REFUSE)
		ck_assert_msg(strcmp(word, "state") == 0, "%s: %s", what, word);
	else if (action == VERB_HELD)
		ck_assert_msg(strcmp(word, "busy") == 0 && json_integer_value(
			json_object_get(data, "job")) == holder, "%s: %s", what, word);
	else
		ck_assert_msg(strcmp(word, "ok") == 0, "%s: %s: %s", what, word,
			      json_dumps(answer, 0));
	after = lab_picture(lab);
	if (action == VERB_REFUSE || action == VERB_HELD)
		lab_same(before, after, what);
	json_decref(before);
	json_decref(after);
	json_decref(answer);
}

static void
check_end(struct lab *lab, enum vnode_verb verb, enum vnode_state state, const char *what)
{
	int expected = ends[verb] == UNCHANGED ? (int)state : ends[verb];
	struct vnode *vnode;

	ck_assert(lab_settle(lab));
	vnode = lab_vnode(lab, "a");
	if (verb == VERB_RELOAD)	/* what is not to run is stopped by it */
		expected = vnode->wanted == VNODE_RUNNING ? VNODE_RUNNING : VNODE_STOPPED;
	if (expected == VNODE_ABSENT)
		ck_assert_msg(!vnode, "%s: still there", what);
	else
		ck_assert_msg(vnode && (int)vnode->observed == expected, "%s: %s", what,
			      lab_observed(lab, "a"));
	lab_check_quiet(lab, what);
	lab_clean(lab, what);
}

static void
check_pair(enum vnode_verb verb, enum vnode_state state)
{
	enum verb_action action = verb_action(verb, state);
	struct lab *lab = lab_in(state);
	vn_autofree char *what = vn_format("%s while %s", vnode_verb_words[verb],
					   vnode_state_words[state]);

	check_answer(lab, verb, action, what);
	if (action == VERB_RUN || action == VERB_NOTHING)
		check_end(lab, verb, state, what);
	lab_free(lab);
}

/* A passing state that no job holds: the verb cleans up after whoever left it. */
static void
check_left_alone(enum vnode_verb verb, enum vnode_state state)
{
	struct lab *lab = lab_new();
	vn_autofree char *what = vn_format("%s while left %s", vnode_verb_words[verb],
					   vnode_state_words[state]);

	create(lab);
	force(lab, state);
	check_answer(lab, verb, VERB_RUN, what);
	ck_assert(lab_settle(lab));
	if (ends[verb] != UNCHANGED || verb == VERB_RELOAD)
		lab_check_quiet(lab, what);
	lab_free(lab);
}

START_TEST(every_verb_in_every_state)
{
	for (enum vnode_state state = VNODE_ABSENT; state <= VNODE_FAILED; state++)
		for (enum vnode_verb verb = VERB_BOOT; verb <= VERB_CONSOLE; verb++)
			check_pair(verb, state);
}
END_TEST

START_TEST(a_state_that_nobody_holds_is_no_prison)
{
	for (enum vnode_state state = VNODE_ABSENT; state <= VNODE_FAILED; state++)
		for (enum vnode_verb verb = VERB_BOOT; verb <= VERB_CONSOLE; verb++)
			if (verb_action(verb, state) == VERB_HELD)
				check_left_alone(verb, state);
}
END_TEST

START_TEST(a_refusal_says_what_to_do_first)
{
	struct lab *lab = lab_in(VNODE_FAILED);
	json_t *error = lab_error(lab, "state", "vnode.mount", "{ss}", "vnode", "a");

	ck_assert_ptr_nonnull(strstr(json_string_value(json_object_get(error, "message")),
				     "halt it to clean it up, or destroy it"));
	json_decref(error);
	lab_free(lab);
}
END_TEST

int
main(void)
{
	return run_suite("states", (const TTest *const[]){
		every_verb_in_every_state,
		a_state_that_nobody_holds_is_no_prison,
		a_refusal_says_what_to_do_first,
		NULL });
}
