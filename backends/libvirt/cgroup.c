/*
 * /proc/PID/cgroup says which group, /proc/self/mountinfo where its hierarchy is mounted. A mount
 * may show only part of a hierarchy (its root field); a group outside of that cannot be reached.
 */
#include "backends/libvirt/cgroup.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "proto/base/mem.h"

#define PATH_SIZE 1024

/* Whether the comma-separated `list` has `word`. */
static bool
has_word(const char *list, const char *word)
{
	size_t length = strlen(word);

	for (const char *at = list; at && *at; at = strchr(at, ',') ? strchr(at, ',') + 1 : NULL)
		if (!strncmp(at, word, length) && (!at[length] || at[length] == ','))
			return true;
	return false;
}

/* The group's path in the hierarchy of `controller`; "" asks for version 2. */
static int
find_path(pid_t pid, const char *controller, char *ret, size_t size)
{
	char name[64], line[PATH_SIZE];
	FILE *file;
	int found = -1;

	snprintf(name, sizeof(name), "/proc/%d/cgroup", pid);
	file = fopen(name, "re");
	while (file && found < 0 && fgets(line, sizeof(line), file)) {
		char *list = strchr(line, ':'), *path = list ? strchr(list + 1, ':') : NULL;

		if (!path)
			continue;
		*path++ = '\0';
		path[strcspn(path, "\n")] = '\0';
		if (*controller ? !has_word(list + 1, controller) : list[1] != '\0')
			continue;
		snprintf(ret, size, "%s", path);
		found = 0;
	}
	if (file)
		fclose(file);
	return found;
}

/* ---- hierarchies ----------------------------------------------------------------------------- */

/* One mounted hierarchy of cgroups: where, which part of it, and its controllers ("": version 2). */
struct hierarchy {
	char point[PATH_SIZE];
	char root[PATH_SIZE];		/* "" the whole */
	char controllers[256];
};

#define HIERARCHIES_MAX 32
static struct hierarchy hierarchies[HIERARCHIES_MAX];
static size_t n_hierarchies;

static void
take_line(char *line)
{
	struct hierarchy *hierarchy = &hierarchies[n_hierarchies];
	const char *v1 = strstr(line, " - cgroup ");
	char *options = strrchr(line, ' ');

	if ((!v1 && !strstr(line, " - cgroup2 ")) || n_hierarchies == HIERARCHIES_MAX ||
	    sscanf(line, "%*s %*s %*s %1023s %1023s", hierarchy->root, hierarchy->point) != 2)
		return;
	options[1 + strcspn(options + 1, "\n")] = '\0';
	snprintf(hierarchy->controllers, sizeof(hierarchy->controllers), "%s", v1 ? options + 1 : "");
	if (strcmp(hierarchy->root, "/") == 0)
		hierarchy->root[0] = '\0';
	n_hierarchies++;
}

/*
 * Once: what boots a machine mounts them before any daemon, and with hundreds of vnodes this file has
 * hundreds of lines.
 */
static void
read_hierarchies(void)
{
	char line[4096];
	FILE *file = fopen("/proc/self/mountinfo", "re");

	while (file && fgets(line, sizeof(line), file))
		take_line(line);
	if (file)
		fclose(file);
}

/* NULL: it is not mounted. Of several mounts, the last, which may cover the others. */
static const struct hierarchy *
find_hierarchy(const char *controller)
{
	static pthread_once_t once = PTHREAD_ONCE_INIT;

	pthread_once(&once, read_hierarchies);
	for (size_t i = n_hierarchies; i-- > 0;) {
		const char *list = hierarchies[i].controllers;

		if (*controller ? has_word(list, controller) : !*list)
			return &hierarchies[i];
	}
	return NULL;
}

/* ---- groups ---------------------------------------------------------------------------------- */

static int
find_in(pid_t pid, const char *controller, char *ret, size_t size)
{
	const struct hierarchy *hierarchy = find_hierarchy(controller);
	char path[PATH_SIZE];
	size_t length;

	if (!hierarchy || find_path(pid, controller, path, sizeof(path)) < 0)
		return -1;
	length = strlen(hierarchy->root);
	if (strncmp(path, hierarchy->root, length) != 0 || strstr(path, "/.."))
		return -1;
	snprintf(ret, size, "%s%s", hierarchy->point, strcmp(path + length, "/") ? path + length : "");
	return 0;
}

int
cgroup_find(pid_t pid, const char *controller, char *ret, size_t size, bool *ret_v2)
{
	*ret_v2 = false;
	if (find_in(pid, controller, ret, size) == 0)
		return 0;
	*ret_v2 = true;
	return find_in(pid, "", ret, size);
}

static void
strip(char *path, const char *last)
{
	char *slash = strrchr(path, '/');

	if (slash && !strcmp(slash + 1, last))
		*slash = '\0';
}

static bool
has_file(const char *folder, const char *name)
{
	vn_autofree char *path = vn_format("%s/%s", folder, name);

	return access(path, F_OK) == 0;
}

/*
 * Version 2: from vnode-init's group to the container's that has the file. vnode-init has moved to
 * its leaf "init", below the group "libvirt" in which libvirt_lxc stays; the controllers that libvirt
 * does not use itself end above that one.
 */
static void
climb_to(char *folder, const char *name)
{
	strip(folder, "init");
	if (!has_file(folder, name))
		strip(folder, "libvirt");
}

int
cgroup_open_oom(pid_t pid)
{
	char folder[PATH_SIZE], path[PATH_SIZE + 32];
	bool v2;

	if (cgroup_find(pid, "memory", folder, sizeof(folder), &v2) < 0)
		return -1;
	if (v2)
		climb_to(folder, "memory.events");
	snprintf(path, sizeof(path), "%s/%s", folder, v2 ? "memory.events" : "memory.oom_control");
	return open(path, O_RDONLY | O_CLOEXEC);
}

static int
write_file(const char *folder, const char *name, const char *text, struct vn_error *err)
{
	vn_autofree char *path = vn_format("%s/%s", folder, name);
	vn_autoclose int fd = open(path, O_WRONLY | O_CLOEXEC);

	if (fd < 0 || write(fd, text, strlen(text)) < 0)
		return vn_fail_errno(err, errno, "write %s to %s", text, path);
	return 0;
}

/* From the process's group up to the container's, named after the domain: any of them may be the frozen one. */
void
cgroup_thaw(pid_t pid)
{
	char folder[PATH_SIZE];
	struct vn_error ignored;

	if (find_in(pid, "freezer", folder, sizeof(folder)) < 0)
		return;
	while (strstr(folder, "vnoded")) {
		write_file(folder, "freezer.state", "THAWED", &ignored);
		*strrchr(folder, '/') = '\0';
	}
}

static void
print_limit(unsigned pids, char *ret, size_t size)
{
	if (pids)
		snprintf(ret, size, "%u", pids);
	else
		snprintf(ret, size, "max");
}

static int
limit_v2(char *folder, unsigned pids, struct vn_error *err)
{
	char text[16];

	climb_to(folder, "pids.max");
	print_limit(pids, text, sizeof(text));
	if (write_file(folder, "pids.max", text, err) == 0)
		return 0;
	if (!pids)
		return 0;		/* no controller, no limit: as asked */
	vn_error_prefix(err, "limit processes (the cgroup controller pids must be enabled for libvirt)");
	return -1;
}

/*
 * Controllers go down only from a group without processes of its own. libvirt_lxc is the last one in
 * the container's: it joins vnode-init in its leaf. libvirt itself does not bring the controller pids
 * into its group. What the machine does not offer stays out.
 */
void
cgroup_hand_down(pid_t init, pid_t controller)
{
	static const char *const controllers[] = { "+memory", "+pids", "+cpu", "+io" };
	char leaf[PATH_SIZE], parent[PATH_SIZE], above[PATH_SIZE], pid[16];
	struct vn_error ignored;

	if (find_in(init, "", leaf, sizeof(leaf)) < 0 || strlen(leaf) < 5 ||
	    strcmp(leaf + strlen(leaf) - 5, "/init") != 0)
		return;
	snprintf(parent, sizeof(parent), "%s", leaf);
	strip(parent, "init");
	snprintf(pid, sizeof(pid), "%d", controller);
	if (write_file(leaf, "cgroup.procs", pid, &ignored) < 0)
		return;
	memcpy(above, parent, sizeof(above));
	strip(above, "libvirt");
	if (strcmp(above, parent) != 0)
		write_file(above, "cgroup.subtree_control", "+pids", &ignored);
	for (size_t i = 0; i < VN_COUNT(controllers); i++)
		write_file(parent, "cgroup.subtree_control", controllers[i], &ignored);
}

static int
pids_folder(const char *domain, char *ret, size_t size)
{
	const struct hierarchy *pids = find_hierarchy("pids");

	if (!pids)
		return -1;
	snprintf(ret, size, "%s/vnoded/%s", pids->point, domain);
	return 0;
}

static int
limit_v1(pid_t guest, const char *domain, unsigned pids, struct vn_error *err)
{
	char folder[PATH_SIZE + 128], parent[PATH_SIZE + 128], text[16];

	if (pids_folder(domain, folder, sizeof(folder)) < 0)
		return pids ? vn_fail(err, VN_E_UNSUPPORTED,
				      "limit processes: the cgroup controller pids is not mounted") : 0;
	snprintf(parent, sizeof(parent), "%s", folder);
	*strrchr(parent, '/') = '\0';
	/* The parent goes with its last group, maybe that of another thread's guest, just now. */
	do
		if (mkdir(parent, 0755) < 0 && errno != EEXIST)
			return vn_fail_errno(err, errno, "make the cgroup %s", parent);
	while (mkdir(folder, 0755) < 0 && errno == ENOENT);
	if (access(folder, F_OK) < 0)
		return vn_fail_errno(err, errno, "make the cgroup %s", folder);
	print_limit(pids, text, sizeof(text));
	if (write_file(folder, "pids.max", text, err) < 0)
		return -1;
	snprintf(text, sizeof(text), "%d", guest);
	return write_file(folder, "cgroup.procs", text, err);
}

int
cgroup_limit_pids(pid_t init, pid_t guest, const char *domain, unsigned pids, struct vn_error *err)
{
	char folder[PATH_SIZE];
	bool v2;

	if (cgroup_find(init, "pids", folder, sizeof(folder), &v2) < 0)
		return pids ? vn_fail(err, VN_E_UNSUPPORTED,
				      "limit processes: no cgroup controller pids") : 0;
	return v2 ? limit_v2(folder, pids, err) : limit_v1(guest, domain, pids, err);
}

void
cgroup_remove(const char *domain)
{
	char folder[PATH_SIZE + 128];

	if (pids_folder(domain, folder, sizeof(folder)) < 0)
		return;
	rmdir(folder);
	*strrchr(folder, '/') = '\0';
	rmdir(folder);			/* stays as long as it holds others */
}

/* One line of /proc/PID/cgroup, "7:cpu,cpuacct:/path". A hierarchy that is not mounted cannot matter. */
static int
join_line(pid_t of, const char *line, struct vn_error *err)
{
	char folder[PATH_SIZE], controller[64];
	const char *list = strchr(line, ':');

	if (!list)
		return 0;
	snprintf(controller, sizeof(controller), "%.*s", (int)strcspn(list + 1, ",:"), list + 1);
	if (find_in(of, controller, folder, sizeof(folder)) < 0)
		return 0;
	return write_file(folder, "cgroup.procs", "0", err);
}

int
cgroup_join(pid_t of, struct vn_error *err)
{
	vn_autofree char *path = vn_format("/proc/%d/cgroup", of);
	char line[PATH_SIZE];
	FILE *file = fopen(path, "re");
	int result = 0;

	if (!file)
		return vn_fail_errno(err, errno, "open %s", path);
	while (result == 0 && fgets(line, sizeof(line), file))
		result = join_line(of, line, err);
	fclose(file);
	return result;
}
