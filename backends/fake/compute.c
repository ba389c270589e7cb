/*
 * Guests as rows. Strict where libvirt is forgiving: a dead domain must be stopped before its next
 * start, and a start without a mounted root or namespaces is a wrong order.
 */
#include "backends/fake/model.h"

#include <string.h>

static struct handle *
handle_of(struct compute *self)
{
	return &vn_container_of(self, struct fake_compute, base)->handle;
}

/* "vnoded-<8 of instance>-<vmid>": the number that faults and the log go by. */
static int64_t
vmid_of(const char *domain)
{
	const char *dash = strrchr(domain, '-');

	return dash ? strtoll(dash + 1, NULL, 10) : 0;
}

static int
fake_open(const struct backend_env *env, const struct compute_events *events, struct compute **ret,
	  struct vn_error *err)
{
	struct fake_compute *fake = vn_alloc(sizeof(*fake));

	(void)err;
	fake->base.ops = &compute_fake;
	fake->events = *events;
	fake->handle.events = &fake->events;
	handle_open(&fake->handle, env);
	pthread_mutex_lock(&fake->handle.world->lock);
	if (!fake->handle.world->link_is_up)
		link_tell(&fake->handle, false);
	pthread_mutex_unlock(&fake->handle.world->lock);
	*ret = &fake->base;
	return 0;
}

static void
fake_close(struct compute *self)
{
	if (!self)
		return;
	handle_close(handle_of(self));
	free(self);
}

static int
check_link(struct call *call, struct vn_error *err)
{
	if (call->world->link_is_up)
		return 0;
	return vn_fail(err, VN_E_BACKEND, "libvirtd does not answer; is it running?");
}

/* The guest of that domain, if it is the vnode's; *ret NULL: none. */
static int
find_own(struct call *call, const char *domain, const char *uuid, struct guest **ret,
	 struct vn_error *err)
{
	struct guest *guest = guest_find(call->world, domain);

	if (word_has(&call->world->foreign, "guest", domain) ||
	    (guest && strcmp(guest->uuid, uuid) != 0))
		return vn_fail(err, VN_E_EXISTS,
			       "domain '%s' is not this vnode's; remove or rename it", domain);
	*ret = guest;
	return 0;
}

static int
check_ready(struct call *call, const struct guest_spec *spec, struct vn_error *err)
{
	struct vdisk *disk = disk_find(call->world, spec->ns.vmid);
	struct netns *netns = netns_find(call->world, spec->ns.vmid);

	if (!disk || !disk->mount || strcmp(disk->mount, spec->root) != 0)
		return wrong_order(call, err, "nothing is mounted on '%s'", spec->root);
	if (strcmp(disk->uuid, spec->uuid) != 0)
		return wrong_order(call, err, "the disk belongs to vnode %s", disk->uuid);
	if (!netns)
		return wrong_order(call, err, "vnode %lld has no namespaces",
				   (long long)spec->ns.vmid);
	if (strcmp(netns->netns, spec->ns.netns) != 0 || !netns->userns != !spec->ns.userns)
		return wrong_order(call, err, "the namespaces of vnode %lld are not the ones named",
				   (long long)spec->ns.vmid);
	return 0;
}

static void
copy_limits(struct guest *guest, const struct guest_spec *spec)
{
	guest->memory_bytes = spec->memory_bytes;
	guest->vcpus = spec->vcpus;
	guest->pids = spec->pids;
}

static char *
join(const char *const *words)
{
	char *line = vn_strdup(words ? words[0] : "/sbin/init");

	for (size_t i = 1; words && words[i]; i++) {
		char *longer = vn_format("%s %s", line, words[i]);

		free(line);
		line = longer;
	}
	return line;
}

static void
remember_start(struct world *world, const struct guest *guest)
{
	struct past *past = past_get(world, guest->uuid);

	free(past->dir);
	free(past->boot_text);
	past->dir = vn_strdup(guest->dir);
	past->boot_text = vn_format("%s has booted: %s\r\n", guest->hostname, guest->init);
	past->starts++;
	past->id = guest->id;
	past->exit = (struct guest_exit){ .cause = EXIT_UNKNOWN };
}

static struct guest *
make_guest(struct world *world, const struct guest_spec *spec)
{
	struct guest *guest = vn_alloc(sizeof(*guest));

	guest->domain = vn_strdup(spec->domain);
	guest->uuid = vn_strdup(spec->uuid);
	guest->title = vn_strdup(spec->title);
	guest->hostname = vn_strdup(spec->hostname);
	guest->dir = vn_strdup(spec->dir);
	guest->init = join(spec->init);
	guest->vmid = spec->ns.vmid;
	guest->privileged = !spec->ns.userns;
	guest->is_running = true;
	guest->netns_inode = netns_find(world, spec->ns.vmid)->inode;
	copy_limits(guest, spec);
	guest->id = (struct guest_id){
		.controller = world->next_pid, .init = world->next_pid + 1,
		.init_start = world->next_serial, .guest = world->next_pid + 2,
		.guest_start = world->next_serial + 1,
	};
	world->next_pid += 3;
	world->next_serial += 2;
	vn_list_append(&world->guests, &guest->link);
	remember_start(world, guest);
	return guest;
}

static int
start(struct call *call, const struct guest_spec *spec, struct guest_id *ret, struct vn_error *err)
{
	struct guest *guest;

	if (check_link(call, err) < 0 ||
	    find_own(call, spec->domain, spec->uuid, &guest, err) < 0)
		return -1;
	if (guest && !guest->is_running)
		return wrong_order(call, err, "the dead domain '%s' is still there: stop it first",
				   spec->domain);
	if (!guest && check_ready(call, spec, err) < 0)
		return -1;
	*ret = (guest ? guest : make_guest(call->world, spec))->id;
	return 0;
}

static int
fake_start(struct compute *self, const struct guest_spec *spec, struct guest_id *ret,
	   struct vn_error *err)
{
	struct guest_id id;
	struct call call;

	if (call_begin(&call, handle_of(self), "compute.start", spec->ns.vmid, CALL_CHANGES,
		       err) < 0)
		return -1;
	if (call_end(&call, start(&call, spec, &id, err), err) < 0)
		return -1;
	*ret = id;
	return 0;
}

static void
end_politely(struct world *world, struct guest *guest, unsigned grace_ms)
{
	struct past *past = past_get(world, guest->uuid);
	struct guest_exit exit = { .cause = EXIT_POWEROFF };

	if (grace_ms == 0 || past->ignores_term)
		exit = (struct guest_exit){ .cause = EXIT_KILLED, .signal = 9 };
	guest_end(world, guest, &exit);
}

static int
stop(struct call *call, const char *domain, const char *uuid, unsigned grace_ms,
     struct vn_error *err)
{
	struct guest *guest;

	if (find_own(call, domain, uuid, &guest, err) < 0)
		return -1;
	if (guest && guest->is_running)
		end_politely(call->world, guest, grace_ms);
	if (check_link(call, err) < 0) {
		vn_error_prefix(err, "domain '%s' could not be removed", domain);
		return -1;
	}
	if (guest)
		guest_free(guest);
	return 0;
}

/* Without libvirtd only the recorded process can be ended. */
static int
stop_blind(struct call *call, const char *domain, const char *uuid, const struct guest_id *id,
	   unsigned grace_ms, struct vn_error *err)
{
	bool is_known = id && guest_by_id(call->world, id);

	if (call->world->link_is_up || is_known)
		return stop(call, domain, uuid, grace_ms, err);
	return check_link(call, err);
}

static int
fake_stop(struct compute *self, const char *domain, const char *uuid, const struct guest_id *id,
	  unsigned grace_ms, struct vn_error *err)
{
	struct call call;

	if (call_begin(&call, handle_of(self), "compute.stop", vmid_of(domain), CALL_CHANGES,
		       err) < 0)
		return -1;
	return call_end(&call, stop_blind(&call, domain, uuid, id, grace_ms, err), err);
}

static int
probe(struct call *call, const char *domain, const char *uuid, struct guest_status *ret,
      struct vn_error *err)
{
	struct guest *guest;

	if (check_link(call, err) < 0 || find_own(call, domain, uuid, &guest, err) < 0)
		return -1;
	*ret = (struct guest_status){ .state = GUEST_ABSENT };
	if (!guest)
		return 0;
	ret->state = GUEST_DEAD;
	if (!guest->is_running)
		return 0;
	ret->state = GUEST_RUNNING;
	ret->id = guest->id;
	ret->netns_inode = guest->netns_inode;
	return 0;
}

static int
fake_probe(struct compute *self, const char *domain, const char *uuid, struct guest_status *ret,
	   struct vn_error *err)
{
	struct guest_status status;
	struct call call;

	if (call_begin(&call, handle_of(self), "compute.probe", vmid_of(domain), 0, err) < 0)
		return -1;
	if (call_end(&call, probe(&call, domain, uuid, &status, err), err) < 0)
		return -1;
	*ret = status;
	return 0;
}

static int
list(struct call *call, struct guest_found **ret, size_t *ret_count, struct vn_error *err)
{
	struct guest_found *found = NULL;
	size_t count = 0;

	if (check_link(call, err) < 0)
		return -1;
	vn_list_each(struct guest, guest, &call->world->guests, link) {
		if (guest->is_hidden)
			continue;
		found = vn_realloc_array(found, count + 1, sizeof(*found));
		found[count] = (struct guest_found){
			.state = guest->is_running ? GUEST_RUNNING : GUEST_DEAD,
		};
		strncpy(found[count].domain, guest->domain, sizeof(found->domain) - 1);
		strncpy(found[count].uuid, guest->uuid, sizeof(found->uuid) - 1);
		count++;
	}
	*ret = found;
	*ret_count = count;
	return 0;
}

static int
fake_list(struct compute *self, struct guest_found **ret, size_t *ret_count, struct vn_error *err)
{
	struct guest_found *found = NULL;
	size_t count = 0;
	struct call call;

	if (call_begin(&call, handle_of(self), "compute.list", 0, 0, err) < 0)
		return -1;
	if (call_end(&call, list(&call, &found, &count, err), err) < 0) {
		free(found);
		return -1;
	}
	*ret = found;
	*ret_count = count;
	return 0;
}

static int
set_limits(struct call *call, const struct guest_spec *spec, struct vn_error *err)
{
	struct guest *guest;

	if (check_link(call, err) < 0 ||
	    find_own(call, spec->domain, spec->uuid, &guest, err) < 0)
		return -1;
	if (!guest || !guest->is_running)
		return vn_fail(err, VN_E_NOT_FOUND, "domain '%s' is not running", spec->domain);
	copy_limits(guest, spec);
	return 0;
}

static int
fake_set_limits(struct compute *self, const struct guest_spec *spec, const struct guest_id *id,
		struct vn_error *err)
{
	struct call call;

	(void)id;
	if (call_begin(&call, handle_of(self), "compute.set_limits", spec->ns.vmid, CALL_CHANGES,
		       err) < 0)
		return -1;
	return call_end(&call, set_limits(&call, spec, err), err);
}

static int
fake_missing(struct compute *self, char ***ret, struct vn_error *err)
{
	return call_missing(handle_of(self), "compute.missing", "compute", ret, err);
}

static void
remove_watch(struct handle *handle, const char *uuid)
{
	vn_list_each_safe(struct guest_watch, watch, &handle->world->watches, link)
		if (watch->handle == handle && strcmp(watch->uuid, uuid) == 0)
			watch_free(watch);
}

static void
add_watch(struct call *call, const char *uuid, const struct guest_id *id)
{
	struct guest_watch *watch = vn_alloc(sizeof(*watch));
	struct past *past = past_find(call->world, uuid);
	struct guest_exit exit = { .cause = EXIT_UNKNOWN };

	remove_watch(call->handle, uuid);
	watch->handle = call->handle;
	watch->uuid = vn_strdup(uuid);
	watch->id = *id;
	watch->serial = call->world->next_serial++;
	vn_list_append(&call->world->watches, &watch->link);
	if (guest_by_id(call->world, id))
		return;
	if (past && past->id.init == id->init && past->id.init_start == id->init_start)
		exit = past->exit;
	watch_tell(watch, &exit);
}

static int
fake_watch(struct compute *self, const char *domain, const char *uuid, const char *dir,
	   const struct guest_id *id, struct vn_error *err)
{
	struct call call;

	(void)dir;
	if (call_begin(&call, handle_of(self), "compute.watch", vmid_of(domain), CALL_LOOP,
		       err) < 0)
		return -1;
	add_watch(&call, uuid, id);
	return call_end(&call, 0, err);
}

static void
fake_unwatch(struct compute *self, const char *uuid)
{
	struct handle *handle = handle_of(self);

	pthread_mutex_lock(&handle->world->lock);
	remove_watch(handle, uuid);
	pthread_mutex_unlock(&handle->world->lock);
}

static bool
fake_is_alive(struct compute *self, const struct guest_id *id)
{
	struct world *world = handle_of(self)->world;
	bool is_alive;

	pthread_mutex_lock(&world->lock);
	is_alive = guest_by_id(world, id) != NULL;
	pthread_mutex_unlock(&world->lock);
	return is_alive;
}

const struct compute_ops compute_fake = {
	.name = "fake",
	.open = fake_open,
	.close = fake_close,
	.start = fake_start,
	.stop = fake_stop,
	.probe = fake_probe,
	.list = fake_list,
	.set_limits = fake_set_limits,
	.missing = fake_missing,
	.watch = fake_watch,
	.unwatch = fake_unwatch,
	.is_alive = fake_is_alive,
	.exec = fake_exec,
	.exec_signal = fake_exec_signal,
	.console = fake_console,
};
