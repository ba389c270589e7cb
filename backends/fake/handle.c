/*
 * Open backends and what they post to the loop. A message belongs to the world until it is
 * delivered, so that closing a backend, or the end of its life, only has to cut the tie: whatever
 * arrives later finds no handle and is dropped.
 */
#include "backends/fake/model.h"

#include <assert.h>

struct message {
	struct vn_list link;
	struct world *world;
	struct handle *handle;		/* NULL: closed meanwhile */
	message_fn *fn;
	void *arg;
};

/* The only globals: backends are opened by an ops table that has no room for a world. */
static pthread_mutex_t current_lock = PTHREAD_MUTEX_INITIALIZER;
static struct world *current, *private_world;

void
world_use(struct world *world)
{
	pthread_mutex_lock(&current_lock);
	current = world;
	pthread_mutex_unlock(&current_lock);
}

/* The private world is made anew when the last backend that shared it has been closed. */
static struct world *
private_get(void)
{
	if (private_world && vn_list_is_empty(&private_world->handles)) {
		world_free(private_world);
		private_world = NULL;
	}
	if (!private_world) {
		private_world = world_new();
		private_world->is_private = true;
	}
	return private_world;
}

void
handle_open(struct handle *handle, const struct backend_env *env)
{
	struct world *world;

	pthread_mutex_lock(&current_lock);
	world = current ? current : private_get();
	pthread_mutex_lock(&world->lock);
	handle->world = world;
	handle->watch = env->watch;
	handle->life = world->life;
	vn_list_append(&world->handles, &handle->link);
	pthread_mutex_unlock(&world->lock);
	pthread_mutex_unlock(&current_lock);
}

static void
drop_holdings(struct handle *handle)
{
	struct world *world = handle->world;

	vn_list_each_safe(struct rule, rule, &world->reservations, link) {
		if (rule->holder != handle)
			continue;
		vn_list_remove(&rule->link);
		free(rule);
	}
	vn_list_each_safe(struct guest_watch, watch, &world->watches, link)
		if (watch->handle == handle)
			watch_free(watch);
	vn_list_each_safe(struct fetch, fetch, &world->fetches, link)
		if (fetch->handle == handle)
			fetch_free(fetch);
	execs_drop(world, handle);
	vn_list_each(struct message, message, &world->messages, link)
		if (message->handle == handle)
			message->handle = NULL;
}

void
handle_close(struct handle *handle)
{
	struct world *world = handle->world;

	pthread_mutex_lock(&world->lock);
	handle->is_closed = true;
	pthread_cond_broadcast(&world->changed);
	while (handle->inside > 0)
		pthread_cond_wait(&world->changed, &world->lock);
	drop_holdings(handle);
	vn_list_remove(&handle->link);
	pthread_mutex_unlock(&world->lock);
}

bool
handle_lives(const struct handle *handle)
{
	return !handle->is_closed && !handle->world->is_frozen &&
	       handle->life == handle->world->life;
}

/* Runs on the loop thread, which is also the only one that closes handles. */
static void
on_posted(void *arg)
{
	struct message *message = arg;
	struct world *world = message->world;
	struct handle *handle;
	bool is_wanted;

	pthread_mutex_lock(&world->lock);
	vn_list_remove(&message->link);
	handle = message->handle;
	is_wanted = handle && handle_lives(handle);
	pthread_mutex_unlock(&world->lock);
	if (is_wanted)
		message->fn(handle, message->arg);
	free(message->arg);
	free(message);
}

void
handle_post(struct handle *handle, message_fn *fn, void *arg)
{
	struct message *message = vn_alloc(sizeof(*message));

	message->world = handle->world;
	message->handle = handle;
	message->fn = fn;
	message->arg = arg;
	vn_list_append(&handle->world->messages, &message->link);
	handle->watch->post(handle->watch->loop, on_posted, message);
}

void
messages_free(struct world *world)
{
	assert(vn_list_is_empty(&world->handles));
	vn_list_each_safe(struct message, message, &world->messages, link) {
		vn_list_remove(&message->link);
		free(message->arg);
		free(message);
	}
}
