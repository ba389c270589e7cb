/*
 * The door every op of every fake goes through: here calls are counted, logged, delayed, made to
 * fail, to hang, or to be the last thing a daemon did. Behind it an effect runs under the world's
 * lock, in one piece.
 */
#include "backends/fake/model.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

static int
fail_frozen(struct vn_error *err)
{
	return vn_fail(err, VN_E_INTERNAL, "frozen");
}

static void
freeze(struct world *world)
{
	world->is_frozen = true;
	world->freeze_in = 0;
	pthread_cond_broadcast(&world->changed);
	if (world->on_freeze)
		world->on_freeze(world->on_freeze_arg);
}

static void
write_log(struct call *call)
{
	struct world *world = call->world;

	if (world->is_private)
		return;
	if (world->n_log == world->log_room) {
		world->log_room = world->log_room ? world->log_room * 2 : 64;
		world->log = vn_realloc_array(world->log, world->log_room, sizeof(*world->log));
	}
	call->entry = world->n_log++;
	world->log[call->entry] = (struct log_entry){ .op = call->op, .number = call->number };
}

static void
log_outcome(struct call *call, int result, const struct vn_error *err)
{
	struct world *world = call->world;

	struct log_entry *entry = world->log + call->entry;

	if (result == 0 || call->entry >= world->n_log)
		return;
	entry = world->log + call->entry;
	if (entry->op == call->op && entry->number == call->number)
		entry->code = err->code;	/* else the log was cleared meanwhile */
}

static void
wait_delay(struct call *call)
{
	struct world *world = call->world;
	uint64_t sum = 0;

	if (call->flags & CALL_LOOP)
		return;
	vn_list_each(struct delay, delay, &world->delays, link)
		if (strcmp(delay->op, "*") == 0 || strcmp(delay->op, call->op) == 0)
			sum += delay->microseconds;
	if (sum == 0)
		return;
	pthread_mutex_unlock(&world->lock);
	nanosleep(&(struct timespec){ (time_t)(sum / 1000000), (long)(sum % 1000000) * 1000 }, NULL);
	pthread_mutex_lock(&world->lock);
}

static bool
fault_matches(const struct fault *fault, const struct call *call)
{
	bool is_any = strcmp(fault->op, "*") == 0;

	if (fault->what.vmid != 0 && fault->what.vmid != call->number)
		return false;
	return is_any ? (call->flags & CALL_CHANGES) != 0 : strcmp(fault->op, call->op) == 0;
}

/* Every matching fault counts the call; the first that is due decides. */
static bool
pick_fault(struct call *call, struct world_fault *ret)
{
	bool is_due = false;

	vn_list_each(struct fault, fault, &call->world->faults, link) {
		if (!fault_matches(fault, call))
			continue;
		fault->seen++;
		if (is_due || (fault->what.nth != 0 && fault->what.nth != fault->seen))
			continue;
		*ret = fault->what;
		is_due = true;
	}
	return is_due;
}

static int
hang(struct call *call, struct vn_error *err)
{
	struct world *world = call->world;
	unsigned releases = world->releases;

	if (call->flags & CALL_LOOP)
		return 0;
	call->has_hung = true;
	world->hanging++;
	pthread_cond_broadcast(&world->changed);
	while (releases == world->releases && handle_lives(call->handle))
		pthread_cond_wait(&world->changed, &world->lock);
	world->hanging--;
	return handle_lives(call->handle) ? 0 : fail_frozen(err);
}

static int
apply_fault(struct call *call, struct vn_error *err)
{
	struct world_fault fault = { 0 };

	if ((call->flags & CALL_SURE) || !pick_fault(call, &fault))
		return 0;
	switch (fault.action) {
	case WORLD_FAIL:
		return vn_fail(err, fault.code, "%s was made to fail", call->op);
	case WORLD_FAIL_AFTER:
		call->code = fault.code;
		return 0;
	case WORLD_HANG:
		return hang(call, err);
	case WORLD_HANG_AFTER:
		call->hangs_after = true;
		return 0;
	}
	return 0;
}

static int
apply_freeze(struct call *call, struct vn_error *err)
{
	struct world *world = call->world;
	enum world_point point = world->freeze_point;

	if (!(call->flags & CALL_CHANGES))
		return 0;
	world->calls++;
	if (world->freeze_in == 0 || --world->freeze_in > 0)
		return 0;
	if (point == WORLD_BEFORE || (point == WORLD_AMID && !(call->flags & CALL_INSIDE))) {
		freeze(world);
		return fail_frozen(err);
	}
	call->is_amid = point == WORLD_AMID;
	call->freezes_after = true;
	return 0;
}

static int
leave(struct call *call, int result, const struct vn_error *err)
{
	struct world *world = call->world;

	log_outcome(call, result, err);
	call->handle->inside--;
	pthread_cond_broadcast(&world->changed);
	pthread_mutex_unlock(&world->lock);
	return result;
}

static int
admit(struct call *call, struct vn_error *err)
{
	if (handle_lives(call->handle))
		wait_delay(call);
	if (!handle_lives(call->handle))
		return fail_frozen(err);
	if (apply_freeze(call, err) < 0)
		return -1;
	return apply_fault(call, err);
}

int
call_begin(struct call *call, struct handle *handle, const char *op, int64_t number,
	   unsigned flags, struct vn_error *err)
{
	*call = (struct call){ .world = handle->world, .handle = handle, .op = op,
			       .number = number, .flags = flags };
	pthread_mutex_lock(&call->world->lock);
	handle->inside++;
	write_log(call);
	if (admit(call, err) == 0)
		return 0;
	if (call->freezes_after) {
		freeze(call->world);
		fail_frozen(err);
	}
	return leave(call, -1, err);
}

int
call_end(struct call *call, int result, struct vn_error *err)
{
	if (call->flags & CALL_CHANGES && strncmp(call->op, "net.", 4) == 0)
		net_tell_change(call->world);
	if (call->freezes_after) {
		freeze(call->world);
		return leave(call, fail_frozen(err), err);
	}
	if (call->hangs_after && hang(call, err) < 0)
		return leave(call, -1, err);
	if (result == 0 && call->code != VN_OK)
		result = vn_fail(err, call->code, "%s was made to fail after its effect", call->op);
	return leave(call, result, err);
}

int
call_missing(struct handle *handle, const char *op, const char *contract, char ***ret,
	     struct vn_error *err)
{
	struct call call;
	char **sentences;

	if (call_begin(&call, handle, op, 0, 0, err) < 0)
		return -1;
	sentences = words_copy(&call.world->lacks, contract);
	if (call_end(&call, 0, err) < 0) {
		backend_free_strings(sentences);
		return -1;
	}
	*ret = sentences;
	return 0;
}

int
wrong_order(struct call *call, struct vn_error *err, const char *format, ...)
{
	char text[sizeof(err->text)];
	va_list args;

	va_start(args, format);
	vsnprintf(text, sizeof(text), format, args);
	va_end(args);
	if (call->has_hung)
		return vn_fail(err, VN_E_BACKEND, "%s came too late: %s", call->op, text);
	if (!call->world->wrong_orders++)
		call->world->first_wrong_order = vn_format("%s: %s", call->op, text);
	return vn_fail(err, VN_E_INTERNAL, "wrong order: %s: %s", call->op, text);
}

void
life_end(struct world *world)
{
	world->life++;
	world->is_frozen = false;
	world->freeze_in = 0;
	vn_list_each_safe(struct rule, rule, &world->reservations, link) {
		vn_list_remove(&rule->link);
		free(rule);
	}
	vn_list_each_safe(struct guest_watch, watch, &world->watches, link)
		watch_free(watch);
	vn_list_each_safe(struct fetch, fetch, &world->fetches, link)
		fetch_free(fetch);
	execs_drop(world, NULL);
	pthread_cond_broadcast(&world->changed);
}

void
world_freeze(struct world *world)
{
	pthread_mutex_lock(&world->lock);
	if (!world->is_frozen)
		freeze(world);
	pthread_mutex_unlock(&world->lock);
}
