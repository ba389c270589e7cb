/*
 * <state_dir>/sysctl.json is written and synced before the first change, so that a crash cannot lose
 * the former values. It names the boot it belongs to: after a reboot the kernel has its own values
 * again and the file means nothing.
 *
 * net.ipv6.conf.all.forwarding overwrites every interface's own value and makes the host ignore
 * router advertisements, by which it may have its own address: accept_ra=2 is set before.
 */
#include "backends/netlink/sysctl.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "backends/netlink/fabric.h"

#define FORWARD4 "net/ipv4/ip_forward"
#define FORWARD6 "net/ipv6/conf/all/forwarding"
#define VALUE_SIZE 64

/* Raised to these values where they are lower. */
static const struct {
	const char *path;
	long least;
} thresholds[] = {
	/* Bounds of the neighbour tables: one entry per vnode and family, and each LAN's own. */
	{ "net/ipv4/neigh/default/gc_thresh3", 16384 },
	{ "net/ipv4/neigh/default/gc_thresh2", 8192 },
	{ "net/ipv4/neigh/default/gc_thresh1", 4096 },
	{ "net/ipv6/neigh/default/gc_thresh3", 16384 },
	{ "net/ipv6/neigh/default/gc_thresh2", 8192 },
	{ "net/ipv6/neigh/default/gc_thresh1", 4096 },
	/* Else the modules of tunnels put gre0 and its like into the namespace of every vnode. */
	{ "net/core/fb_tunnels_only_for_init_net", 1 },
};

bool
sysctl_read(const char *path, char *value, size_t size)
{
	vn_autofree char *full = vn_format("/proc/sys/%s", path);
	vn_autoclose int fd = open(full, O_RDONLY | O_CLOEXEC);
	ssize_t got = fd < 0 ? -1 : read(fd, value, size - 1);

	if (got < 0)
		return false;
	value[got] = '\0';
	value[strcspn(value, "\n")] = '\0';
	return true;
}

int
sysctl_write(const char *path, const char *value, struct vn_error *err)
{
	vn_autofree char *full = vn_format("/proc/sys/%s", path);
	vn_autoclose int fd = open(full, O_WRONLY | O_CLOEXEC);

	if (fd < 0 && errno == ENOENT)
		return 0;
	if (fd < 0 || write(fd, value, strlen(value)) < 0)
		return vn_fail_errno(err, errno, "set %s to %s", full, value);
	return 0;
}

/* ---- the memory ------------------------------------------------------------------------------ */

static char *
record_path(const struct fabric *fabric)
{
	return vn_format("%s/sysctl.json", fabric->env->state_dir);
}

/* The changes of this boot: an array of {path, former, ours}; empty when there are none. */
static json_t *
load_record(const struct fabric *fabric)
{
	vn_autofree char *path = record_path(fabric);
	json_t *record = json_load_file(path, JSON_REJECT_DUPLICATES, NULL), *changes = NULL;
	const char *boot = json_string_value(json_object_get(record, "boot_id"));
	char now[VALUE_SIZE] = "";

	sysctl_read("kernel/random/boot_id", now, sizeof(now));
	if (boot && strcmp(boot, now) == 0)
		changes = json_incref(json_object_get(record, "changes"));
	json_decref(record);
	if (json_is_array(changes))
		return changes;
	json_decref(changes);
	return json_array();
}

static int
write_synced(const char *path, const char *text, struct vn_error *err)
{
	vn_autofree char *fresh = vn_format("%s.new", path);
	vn_autoclose int fd = open(fresh, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);

	if (fd < 0 || write(fd, text, strlen(text)) != (ssize_t)strlen(text) || fsync(fd) < 0 ||
	    rename(fresh, path) < 0)
		return vn_fail_errno(err, errno, "write '%s'", path);
	return 0;
}

static int
sync_folder(const char *path, struct vn_error *err)
{
	vn_autoclose int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	if (fd < 0 || fsync(fd) < 0)
		return vn_fail_errno(err, errno, "sync the folder '%s'", path);
	return 0;
}

static int
save_record(const struct fabric *fabric, json_t *changes, struct vn_error *err)
{
	vn_autofree char *path = record_path(fabric);
	vn_autofree char *text = NULL;
	char boot[VALUE_SIZE] = "";
	json_t *record;

	sysctl_read("kernel/random/boot_id", boot, sizeof(boot));
	record = json_pack("{s:s, s:O}", "boot_id", boot, "changes", changes);
	text = json_dumps(record, JSON_INDENT(1));
	json_decref(record);
	if (!text)
		abort();
	if (write_synced(path, text, err) < 0)
		return -1;
	return sync_folder(fabric->env->state_dir, err);
}

static bool
is_recorded(json_t *changes, const char *path)
{
	json_t *change;
	size_t i;

	json_array_foreach(changes, i, change) {
		const char *known = json_string_value(json_object_get(change, "path"));

		if (known && strcmp(known, path) == 0)
			return true;
	}
	return false;
}

/* Notes that `path`, now `former`, becomes `ours`; ours "" = only to be put back afterwards. */
static void
note(json_t *changes, const char *path, const char *former, const char *ours)
{
	if (!is_recorded(changes, path))
		json_array_append_new(changes, json_pack("{s:s, s:s, s:s}", "path", path, "former",
							 former, "ours", ours));
}

/* ---- what to change -------------------------------------------------------------------------- */

static void
note_interface(json_t *changes, int family, const char *name)
{
	vn_autofree char *forwarding = vn_format("net/ipv%d/conf/%s/forwarding", family, name);
	vn_autofree char *advertised = vn_format("net/ipv6/conf/%s/accept_ra", name);
	const char *global = family == 4 ? FORWARD4 : FORWARD6;
	char all[VALUE_SIZE], value[VALUE_SIZE];

	if (!sysctl_read(global, all, sizeof(all)))
		return;
	if (strcmp(all, "0") == 0 && sysctl_read(forwarding, value, sizeof(value)) &&
	    strcmp(value, "1") == 0)
		note(changes, forwarding, value, "");
	if (family == 6 && (strcmp(all, "0") == 0 || is_recorded(changes, FORWARD6)) &&
	    sysctl_read(advertised, value, sizeof(value)) && strcmp(value, "1") == 0)
		note(changes, advertised, value, "2");
}

static void
note_interfaces(const struct fabric *fabric, json_t *changes, int family)
{
	vn_autofree char *folder = vn_format("/proc/sys/net/ipv%d/conf", family);
	DIR *dir = opendir(folder);
	struct dirent *entry;

	while (dir && (entry = readdir(dir)) != NULL)
		if (entry->d_name[0] != '.' && strcmp(entry->d_name, "all") != 0 &&
		    strcmp(entry->d_name, "default") != 0 &&
		    strcmp(entry->d_name, fabric->uplink) != 0)
			note_interface(changes, family, entry->d_name);
	if (dir)
		closedir(dir);
}

static void
note_value(json_t *changes, const char *path, long least)
{
	char value[VALUE_SIZE], wanted[VALUE_SIZE];

	snprintf(wanted, sizeof(wanted), "%ld", least);
	if (sysctl_read(path, value, sizeof(value)) && strtol(value, NULL, 10) < least)
		note(changes, path, value, wanted);
}

static int
apply(json_t *changes, struct vn_error *err)
{
	json_t *change;
	size_t i;

	/* Last first: the interfaces' own settings are noted after the one that overwrites them. */
	for (i = json_array_size(changes); i-- > 0;) {
		const char *path, *former, *ours;
		char now[VALUE_SIZE];

		change = json_array_get(changes, i);
		if (json_unpack(change, "{s:s, s:s, s:s}", "path", &path, "former", &former, "ours",
				&ours) < 0 || !*ours)
			continue;
		if (sysctl_read(path, now, sizeof(now)) && strcmp(now, ours) != 0 &&
		    sysctl_write(path, ours, err) < 0)
			return -1;
	}
	return 0;
}

int
sysctl_up(struct fabric *fabric, struct vn_error *err)
{
	json_t *changes = load_record(fabric);
	size_t known = json_array_size(changes);
	int result = 0;

	note_value(changes, FORWARD4, 1);
	note_interfaces(fabric, changes, 4);
	note_value(changes, FORWARD6, 1);
	note_interfaces(fabric, changes, 6);
	for (size_t i = VN_COUNT(thresholds); i-- > 0;)
		note_value(changes, thresholds[i].path, thresholds[i].least);
	if (json_array_size(changes) > known)
		result = save_record(fabric, changes, err);
	if (result == 0)
		result = apply(changes, err);
	json_decref(changes);
	return result;
}

/* ---- putting back ---------------------------------------------------------------------------- */

static int
put_back(json_t *changes, struct vn_error *err)
{
	json_t *change;
	size_t i;

	json_array_foreach(changes, i, change) {
		const char *path, *former, *ours;
		char now[VALUE_SIZE];

		if (json_unpack(change, "{s:s, s:s, s:s}", "path", &path, "former", &former, "ours",
				&ours) < 0 || !sysctl_read(path, now, sizeof(now)))
			continue;
		if ((!*ours || strcmp(now, ours) == 0) && sysctl_write(path, former, err) < 0)
			return -1;
	}
	return 0;
}

int
sysctl_down(struct fabric *fabric, struct vn_error *err)
{
	vn_autofree char *path = record_path(fabric);
	json_t *changes = load_record(fabric);
	int result = put_back(changes, err);

	json_decref(changes);
	if (result == 0 && unlink(path) < 0 && errno != ENOENT)
		return vn_fail_errno(err, errno, "remove '%s'", path);
	return result;
}
