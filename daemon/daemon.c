/* Opening and closing in order. */
#include "daemon/daemon.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/random.h>
#include <sys/stat.h>

#include "backends/digest.h"
#include "daemon/exec.h"
#include "daemon/job.h"
#include "daemon/lifecycle.h"
#include "daemon/log.h"
#include "daemon/model.h"
#include "daemon/monitor.h"
#include "daemon/notify.h"
#include "daemon/recovery.h"
#include "daemon/schedule.h"
#include "daemon/sources.h"
#include "daemon/verify.h"

static int
make_folder(const char *path, mode_t mode, struct vn_error *err)
{
	vn_autofree char *copy = vn_strdup(path);

	for (char *slash = strchr(copy + 1, '/'); slash; slash = strchr(slash + 1, '/')) {
		*slash = '\0';
		if (mkdir(copy, 0755) < 0 && errno != EEXIST)
			return vn_fail_errno(err, errno, "make '%s'", copy);
		*slash = '/';
	}
	if (mkdir(path, mode) < 0 && errno != EEXIST)
		return vn_fail_errno(err, errno, "make '%s'", path);
	return 0;
}

static int
make_folders(const struct config *config, struct vn_error *err)
{
	static const char *const below[] = { "images", "disks", "vnodes", "incoming", "trash",
						"files" };

	if (make_folder(config->state_dir, 0711, err) < 0 ||
	    make_folder(config->run_dir, 0755, err) < 0)
		return -1;
	for (size_t i = 0; i < VN_COUNT(below); i++) {
		vn_autofree char *path = vn_format("%s/%s", config->state_dir, below[i]);

		if (make_folder(path, 0700, err) < 0)
			return -1;
	}
	return 0;
}

/* The installation's uuid: a file, so that it outlives a database made anew. */
static int
read_instance(struct daemon *daemon, struct vn_error *err)
{
	vn_autofree char *path = vn_format("%s/instance", daemon->config.state_dir);
	vn_autofree char *temporary = vn_format("%s.new", path);
	vn_autoclose int fd = open(path, O_RDONLY | O_CLOEXEC);
	ssize_t n = fd < 0 ? 0 : read(fd, daemon->instance, VN_UUID_TEXT - 1);

	daemon->instance[n > 0 ? n : 0] = '\0';
	if (fd >= 0 && vn_uuid_is(daemon->instance))
		return 0;
	if (fd >= 0)
		return vn_fail(err, VN_E_BACKEND, "'%s' holds no uuid: restore it, or remove it together "
			       "with everything this installation made", path);
	vn_uuid_new(daemon->instance);
	fd = open(temporary, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
	if (fd < 0 || write(fd, daemon->instance, VN_UUID_TEXT - 1) != VN_UUID_TEXT - 1 ||
	    fsync(fd) < 0 || rename(temporary, path) < 0)
		return vn_fail_errno(err, errno, "write '%s'", path);
	return 0;
}

/* Made once and never shown. A new one gives every vnode new host keys and a new machine-id. */
static int
read_secret(struct daemon *daemon, struct vn_error *err)
{
	vn_autofree char *path = vn_format("%s/secret", daemon->config.state_dir);
	vn_autofree char *temporary = vn_format("%s.new", path);
	vn_autoclose int fd = open(path, O_RDONLY | O_CLOEXEC);
	const ssize_t size = sizeof(daemon->secret);

	if (fd >= 0 && read(fd, daemon->secret, sizeof(daemon->secret)) == size)
		return 0;
	if (fd >= 0)
		return vn_fail(err, VN_E_BACKEND, "'%s' is cut short: restore it, or remove it to give "
			       "every vnode new host keys", path);
	if (errno != ENOENT)
		return vn_fail_errno(err, errno, "open '%s'", path);
	unlink(temporary);
	fd = open(temporary, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
	if (fd < 0 || getrandom(daemon->secret, sizeof(daemon->secret), 0) != size ||
	    write(fd, daemon->secret, sizeof(daemon->secret)) != size || fsync(fd) < 0 ||
	    rename(temporary, path) < 0)
		return vn_fail_errno(err, errno, "write '%s'", path);
	return 0;
}

static int
read_boot_id(struct daemon *daemon, const char *given, struct vn_error *err)
{
	vn_autoclose int fd = -1;

	if (given) {
		snprintf(daemon->boot_id, sizeof(daemon->boot_id), "%s", given);
		return 0;
	}
	fd = open("/proc/sys/kernel/random/boot_id", O_RDONLY | O_CLOEXEC);
	if (fd < 0 || read(fd, daemon->boot_id, VN_UUID_TEXT - 1) != VN_UUID_TEXT - 1)
		return vn_fail_errno(err, errno, "read the machine's boot id");
	return 0;
}

static void
on_epoch(void *arg, struct store_row *row)
{
	snprintf(arg, VN_UUID_TEXT, "%s", store_text(row, 0));
}

/* The network of "198.18.0.0/16", whose own address vn_cidr_parse rightly refuses for an interface. */
static int
parse_network(const char *key, const char *text, struct vn_cidr *ret, struct vn_error *err)
{
	vn_autofree char *copy = vn_strdup(text);
	char *slash = strchr(copy, '/'), *end = NULL;
	bool six = strchr(text, ':');
	unsigned bits = six ? 128 : 32, low = six ? 48 : 8, high = six ? 64 : 29;
	unsigned long prefix = slash ? strtoul(slash + 1, &end, 10) : 0;

	if (slash)
		*slash = '\0';
	*ret = (struct vn_cidr){ .family = six ? AF_INET6 : AF_INET, .prefix = (uint8_t)prefix };
	if (!slash || !end || end == slash + 1 || *end || inet_pton(ret->family, copy, ret->byte) != 1)
		return vn_fail(err, VN_E_INVALID, "%s: expected a network such as \"%s\", got \"%s\"", key,
			       six ? "fd00:1:2:3::/64" : "198.18.0.0/16", text);
	if (prefix < low || prefix > high)
		return vn_fail(err, VN_E_INVALID, "%s: expected a prefix length of %u to %u", key, low,
			       high);
	for (unsigned bit = (unsigned)prefix; bit < bits; bit++)
		if (ret->byte[bit / 8] & 0x80 >> bit % 8)
			return vn_fail(err, VN_E_INVALID, "%s: \"%s\" has bits set below its prefix length",
				       key, text);
	return 0;
}

static int
choose_networks(struct daemon *daemon, struct vn_error *err)
{
	const struct config *config = &daemon->config;
	uint8_t hash[32];

	if (parse_network("control_network", config->control_network, &daemon->env.control4, err) < 0)
		return -1;
	if (config->control_network6)
		return parse_network("control_network6", config->control_network6,
				     &daemon->env.control6, err);
	/* RFC 4193: fd, 40 bits of our own, subnet 0. */
	digest_bytes(daemon->instance, strlen(daemon->instance), hash);
	daemon->env.control6 = (struct vn_cidr){ .family = AF_INET6, .byte = { 0xfd }, .prefix = 64 };
	memcpy(daemon->env.control6.byte + 1, hash, 5);
	return 0;
}

/* Networks that vnodes go to with their own address; the configuration has checked them. */
static void
choose_exceptions(struct daemon *daemon)
{
	const char *at = daemon->config.control_nat_except;
	size_t room = at ? strlen(at) / 2 + 1 : 0;
	struct vn_cidr *networks = vn_arena_alloc(&daemon->config.arena, (room + 1) * sizeof(*networks));
	char text[CONFIG_NETWORK_TEXT];

	daemon->env.nat_except = networks;
	while (at && config_next_network(&at, text)) {
		char *slash = strchr(text, '/');
		struct vn_cidr *network = &networks[daemon->env.n_nat_except++];

		*slash = '\0';
		network->family = strchr(text, ':') ? AF_INET6 : AF_INET;
		network->prefix = (uint8_t)atoi(slash + 1);
		inet_pton(network->family, text, network->byte);
	}
}

static int
fill_env(struct daemon *daemon, struct vn_error *err)
{
	const struct config *config = &daemon->config;

	daemon->env = (struct backend_env){ .watch = loop_watch_ops(daemon->loop),
		.instance = daemon->instance, .state_dir = config->state_dir,
		.run_dir = config->run_dir, .libexec_dir = config->libexec_dir,
		.libvirt_uri = config->libvirt_uri, .fabric = config->fabric,
		.nft_table = config->nft_table,
		.lvm_group = config->lvm_group, .lvm_pool = config->lvm_pool, .control_isolation = config->control_isolation };
	choose_exceptions(daemon);
	return choose_networks(daemon, err);
}

static void
on_exit_event(void *arg, const char *uuid, const struct guest_exit *exit)
{
	struct vnode *vnode = vnode_by_uuid(arg, uuid);

	if (vnode)
		lifecycle_on_exit(vnode, exit);
}

static void
on_link(void *arg, bool up, const char *text)
{
	recovery_on_link(arg, up, text);
}

static int
open_backends(struct daemon *daemon, const struct daemon_backends *backends, struct vn_error *err)
{
	struct compute_events events = { daemon, on_exit_event, on_link };

	for (size_t i = 0; i < DAEMON_COMPUTES && backends->computes[i]; i++)
		if (backends->computes[i]->open(&daemon->env, &events, &daemon->computes[i], err) < 0)
			return -1;
	if (backends->net->open(&daemon->env, &daemon->net, err) < 0 ||
	    backends->disk->open(&daemon->env, &daemon->disk, err) < 0 ||
	    backends->fetch->open(&daemon->env, &daemon->fetcher, err) < 0)
		return -1;
	return 0;
}

static struct pool *
open_pool(struct daemon *daemon)
{
	unsigned boot = (unsigned)daemon->config.boot_width;
	struct pool_widths widths[LANE_COUNT] = {
		[LANE_COMPUTE] = { boot < 2 ? boot : 2, boot },
		[LANE_HALT] = { 32, 32 },	/* they wait for guests, not for processors */
		[LANE_NET] = { 2, 2 },		/* the kernel's own lock serialises most of it */
		[LANE_DISK] = { 2, 4 },
		[LANE_BULK] = { 2, 2 },
	};

	return pool_open(daemon->loop, widths);
}

static int
open_state(struct daemon *daemon, const struct daemon_backends *backends, struct vn_error *err)
{
	if (make_folders(&daemon->config, err) < 0 || read_instance(daemon, err) < 0 ||
	    read_secret(daemon, err) < 0 ||
	    read_boot_id(daemon, backends->boot_id, err) < 0 || fill_env(daemon, err) < 0 ||
	    store_open(daemon->config.state_dir, daemon->loop, &daemon->store, err) < 0 ||
	    store_read(daemon->store, on_epoch, daemon->epoch, err,
		       "SELECT value FROM meta WHERE key = 'epoch'", "") < 0)
		return -1;
	daemon->pool = open_pool(daemon);
	return 0;
}

static int
open_model(struct daemon *daemon, struct vn_error *err)
{
	if (event_log_open(daemon, &daemon->events, err) < 0 ||
	    jobs_open(daemon, &daemon->jobs, err) < 0 ||
	    model_open(daemon, &daemon->model, err) < 0)
		return -1;
	daemon->execs = exec_table_open(daemon);
	daemon->verifier = verifier_open(daemon);
	daemon->monitor = monitor_open(daemon);
	daemon->answer_repeated = job_answer_repeated;
	daemon->rebooted = recovery_mark_reboot(daemon);
	return jobs_load(daemon, daemon->rebooted, err);
}

static void
on_recovery_end(void *arg, const struct vn_error *err)
{
	struct daemon *daemon = arg;

	if (err) {
		vn_log_error("host", "cannot start: %s", err->text);
		daemon->failed = true;
		loop_stop(daemon->loop);
		return;
	}
	daemon->ready = true;
	sources_sweep(daemon);
	schedules_start(daemon);
	monitor_watch(daemon->monitor);
	vn_log_info("host", "ready");
	notify_ready(daemon->notify);
}

int
daemon_open(VN_TAKES struct config *config, const struct daemon_backends *backends, struct loop *loop,
	    struct daemon **ret, struct vn_error *err)
{
	struct daemon *daemon = vn_alloc(sizeof(*daemon));

	daemon->config = *config;
	*config = (struct config){ 0 };
	daemon->loop = loop;
	daemon->notify = notify_open(loop);
	if (open_state(daemon, backends, err) < 0 || control_open(daemon, &daemon->control, err) < 0 ||
	    open_backends(daemon, backends, err) < 0 || open_model(daemon, err) < 0 ||
	    recovery_begin(daemon, on_recovery_end, daemon, err) < 0) {
		daemon_close(daemon);
		return -1;
	}
	control_start(daemon->control);
	*ret = daemon;
	return 0;
}

static void
close_backends(struct daemon *daemon)
{
	if (daemon->fetcher)
		daemon->fetcher->ops->close(daemon->fetcher);
	for (size_t i = 0; i < DAEMON_COMPUTES && daemon->computes[i]; i++)
		daemon->computes[i]->ops->close(daemon->computes[i]);
	if (daemon->net)
		daemon->net->ops->close(daemon->net);
	if (daemon->disk)
		daemon->disk->ops->close(daemon->disk);
}

/* Clients first, so that nobody is told of an end that is none; then the threads, then what they used. */
static void
close_all(struct daemon *daemon, void (*close_store)(struct store *store))
{
	unsigned stuck;

	if (!daemon)
		return;
	notify_stopping(daemon->notify);
	control_close(daemon->control);
	exec_table_close(daemon->execs);
	if (daemon->jobs)
		jobs_abort(daemon->jobs);
	stuck = pool_close(daemon->pool);
	close_store(daemon->store);
	if (stuck) {
		/* They are inside a library and would use what is freed below. Nothing is lost by going. */
		vn_log_warning("host", "%u calls never came back; ending without them", stuck);
		_exit(daemon->failed);
	}
	verifier_close(daemon->verifier);	/* tells the monitor */
	monitor_close(daemon->monitor);
	if (daemon->jobs)
		jobs_close(daemon->jobs);
	daemon->jobs = NULL;
	model_close(daemon->model);
	event_log_close(daemon->events);
	close_backends(daemon);
	notify_close(daemon->notify);
	json_decref(daemon->missing);
	config_fini(&daemon->config);
	free(daemon);
}

void
daemon_close(struct daemon *daemon)
{
	close_all(daemon, store_close);
}

void
daemon_abandon(struct daemon *daemon)
{
	close_all(daemon, store_abandon);
}

struct compute *
daemon_compute(struct daemon *daemon, const char *name)
{
	for (size_t i = 0; i < DAEMON_COMPUTES && daemon->computes[i]; i++)
		if (strcmp(daemon->computes[i]->ops->name, name) == 0)
			return daemon->computes[i];
	return NULL;
}
