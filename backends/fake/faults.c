/* How tests plan faults, freezes and delays, and look at the calls that were made. */
#include "backends/fake/model.h"

#include <string.h>

void
world_fault_add(struct world *world, const struct world_fault *what)
{
	struct fault *fault = vn_alloc(sizeof(*fault));

	fault->what = *what;
	fault->op = vn_strdup(what->op);
	pthread_mutex_lock(&world->lock);
	vn_list_append(&world->faults, &fault->link);
	pthread_mutex_unlock(&world->lock);
}

void
world_fail(struct world *world, const char *op, unsigned nth, enum vn_code code)
{
	world_fault_add(world, &(struct world_fault){ op, 0, nth, WORLD_FAIL, code });
}

void
world_fail_after(struct world *world, const char *op, unsigned nth, enum vn_code code)
{
	world_fault_add(world, &(struct world_fault){ op, 0, nth, WORLD_FAIL_AFTER, code });
}

void
world_hang(struct world *world, const char *op, unsigned nth)
{
	world_fault_add(world, &(struct world_fault){ op, 0, nth, WORLD_HANG, VN_OK });
}

void
world_release(struct world *world)
{
	pthread_mutex_lock(&world->lock);
	world->releases++;
	pthread_cond_broadcast(&world->changed);
	pthread_mutex_unlock(&world->lock);
}

unsigned
world_hanging(struct world *world)
{
	unsigned count;

	pthread_mutex_lock(&world->lock);
	count = world->hanging;
	pthread_mutex_unlock(&world->lock);
	return count;
}

void
world_await_hang(struct world *world)
{
	pthread_mutex_lock(&world->lock);
	while (world->hanging == 0)
		pthread_cond_wait(&world->changed, &world->lock);
	pthread_mutex_unlock(&world->lock);
}

void
world_delay(struct world *world, const char *op, unsigned microseconds)
{
	struct delay *delay = vn_alloc(sizeof(*delay));

	delay->op = vn_strdup(op);
	delay->microseconds = microseconds;
	pthread_mutex_lock(&world->lock);
	vn_list_append(&world->delays, &delay->link);
	pthread_mutex_unlock(&world->lock);
}

void
world_freeze_at(struct world *world, unsigned k, enum world_point point)
{
	pthread_mutex_lock(&world->lock);
	world->freeze_in = k;
	world->freeze_point = point;
	pthread_mutex_unlock(&world->lock);
}

void
world_on_freeze(struct world *world, void (*fn)(void *arg), void *arg)
{
	pthread_mutex_lock(&world->lock);
	world->on_freeze = fn;
	world->on_freeze_arg = arg;
	pthread_mutex_unlock(&world->lock);
}

bool
world_is_frozen(struct world *world)
{
	bool is_frozen;

	pthread_mutex_lock(&world->lock);
	is_frozen = world->is_frozen;
	pthread_mutex_unlock(&world->lock);
	return is_frozen;
}

void
world_thaw(struct world *world)
{
	pthread_mutex_lock(&world->lock);
	life_end(world);
	pthread_mutex_unlock(&world->lock);
}

unsigned
world_calls(struct world *world)
{
	unsigned calls;

	pthread_mutex_lock(&world->lock);
	calls = world->calls;
	pthread_mutex_unlock(&world->lock);
	return calls;
}

unsigned
world_wrong_orders(struct world *world)
{
	unsigned count;

	pthread_mutex_lock(&world->lock);
	count = world->wrong_orders;
	pthread_mutex_unlock(&world->lock);
	return count;
}

char *
world_wrong_order(struct world *world)
{
	char *text = NULL;

	pthread_mutex_lock(&world->lock);
	if (world->first_wrong_order)
		text = vn_strdup(world->first_wrong_order);
	pthread_mutex_unlock(&world->lock);
	return text;
}

unsigned
world_count(struct world *world, const char *op)
{
	unsigned count = 0;

	pthread_mutex_lock(&world->lock);
	for (size_t i = 0; i < world->n_log; i++)
		count += strcmp(world->log[i].op, op) == 0;
	pthread_mutex_unlock(&world->lock);
	return count;
}

static char *
entry_text(const struct log_entry *entry)
{
	vn_autofree char *number = NULL;
	const char *colon = entry->code == VN_OK ? "" : ": ";
	const char *word = entry->code == VN_OK ? "" : vn_code_word(entry->code);

	number = entry->number ? vn_format(" %lld", (long long)entry->number) : vn_strdup("");
	return vn_format("%s%s%s%s", entry->op, number, colon, word);
}

json_t *
world_log(struct world *world)
{
	json_t *log = json_array();

	pthread_mutex_lock(&world->lock);
	for (size_t i = 0; i < world->n_log; i++) {
		vn_autofree char *text = entry_text(&world->log[i]);

		json_array_append_new(log, json_string(text));
	}
	pthread_mutex_unlock(&world->lock);
	return log;
}

void
world_log_clear(struct world *world)
{
	pthread_mutex_lock(&world->lock);
	world->n_log = 0;
	pthread_mutex_unlock(&world->lock);
}
