/*
 * What guests do by themselves. A guest's end is told to whoever watches it and remembered for those
 * who watch later, as vnode-init's status file does.
 */
#include "backends/fake/model.h"

#include <string.h>

struct exit_message {
	uint64_t serial;
	char uuid[VN_UUID_TEXT];
	struct guest_exit exit;
};

struct guest *
guest_by_id(struct world *world, const struct guest_id *id)
{
	vn_list_each_back(struct guest, guest, &world->guests, link)
		if (guest->is_running && guest->id.init == id->init &&
		    guest->id.init_start == id->init_start)
			return guest;
	return NULL;
}

void
watch_free(struct guest_watch *watch)
{
	vn_list_remove(&watch->link);
	free(watch->uuid);
	free(watch);
}

static bool
take_watch(struct world *world, uint64_t serial)
{
	bool is_there = false;

	pthread_mutex_lock(&world->lock);
	vn_list_each_safe(struct guest_watch, watch, &world->watches, link) {
		if (watch->serial != serial)
			continue;
		watch_free(watch);
		is_there = true;
	}
	pthread_mutex_unlock(&world->lock);
	return is_there;
}

/* Between the end and this call the daemon may have unwatched: then there is nobody to tell. */
static void
on_exit_posted(struct handle *handle, void *arg)
{
	struct exit_message *message = arg;

	if (take_watch(handle->world, message->serial))
		handle->events->on_exit(handle->events->arg, message->uuid, &message->exit);
}

void
watch_tell(struct guest_watch *watch, const struct guest_exit *exit)
{
	struct exit_message *message = vn_alloc(sizeof(*message));

	message->serial = watch->serial;
	message->exit = *exit;
	strncpy(message->uuid, watch->uuid, sizeof(message->uuid) - 1);
	handle_post(watch->handle, on_exit_posted, message);
}

void
guest_end(struct world *world, struct guest *guest, const struct guest_exit *exit)
{
	guest->is_running = false;
	past_get(world, guest->uuid)->exit = *exit;
	vn_list_each(struct guest_watch, watch, &world->watches, link)
		if (watch->id.init == guest->id.init && watch->id.init_start == guest->id.init_start)
			watch_tell(watch, exit);
	execs_kill(world, &guest->id);
}

bool
world_guest_exit(struct world *world, const char *uuid, const struct guest_exit *exit)
{
	struct guest *guest;
	bool has_run;

	pthread_mutex_lock(&world->lock);
	guest = guest_by_uuid(world, uuid);
	has_run = guest && guest->is_running;
	if (has_run)
		guest_end(world, guest, exit);
	pthread_mutex_unlock(&world->lock);
	return has_run;
}

void
world_guest_forget(struct world *world, const char *uuid)
{
	struct guest *guest;

	pthread_mutex_lock(&world->lock);
	guest = guest_by_uuid(world, uuid);
	if (guest && !guest->is_running)
		guest_free(guest);
	pthread_mutex_unlock(&world->lock);
}

void
world_lose_namespaces(struct world *world)
{
	pthread_mutex_lock(&world->lock);
	vn_list_each_safe(struct netns, netns, &world->namespaces, link) {
		ports_free(world, netns->vmid);
		netns_free(netns);
	}
	pthread_mutex_unlock(&world->lock);
}

void
world_ignore_term(struct world *world, const char *uuid)
{
	pthread_mutex_lock(&world->lock);
	past_get(world, uuid)->ignores_term = true;
	pthread_mutex_unlock(&world->lock);
}

bool
world_guest_id(struct world *world, const char *uuid, struct guest_id *ret)
{
	struct guest *guest;
	bool is_running;

	pthread_mutex_lock(&world->lock);
	guest = guest_by_uuid(world, uuid);
	is_running = guest && guest->is_running;
	*ret = is_running ? guest->id : (struct guest_id){ 0 };
	pthread_mutex_unlock(&world->lock);
	return is_running;
}

bool
world_guest_runs(struct world *world, const char *uuid)
{
	struct guest_id id;

	return world_guest_id(world, uuid, &id);
}

unsigned
world_guest_starts(struct world *world, const char *uuid)
{
	struct past *past;
	unsigned starts;

	pthread_mutex_lock(&world->lock);
	past = past_find(world, uuid);
	starts = past ? past->starts : 0;
	pthread_mutex_unlock(&world->lock);
	return starts;
}

struct link_message {
	bool up;
};

static void
on_link_posted(struct handle *handle, void *arg)
{
	struct link_message *message = arg;

	handle->events->on_link(handle->events->arg, message->up,
				message->up ? "libvirtd is back" : "libvirtd went away");
}

void
link_tell(struct handle *handle, bool up)
{
	struct link_message *message = vn_alloc(sizeof(*message));

	message->up = up;
	handle_post(handle, on_link_posted, message);
}

void
world_link(struct world *world, bool up)
{
	pthread_mutex_lock(&world->lock);
	if (world->link_is_up != up) {
		world->link_is_up = up;
		vn_list_each(struct handle, handle, &world->handles, link)
			if (handle->events)
				link_tell(handle, up);
	}
	pthread_mutex_unlock(&world->lock);
}
