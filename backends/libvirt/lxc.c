/* The LXC backend: opening, closing, and what a machine must have for it. */
#include "backends/libvirt/lxc.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "backends/libvirt/domain_xml.h"
#include "backends/libvirt/error.h"
#include "proto/base/mem.h"

const char *
lxc_vmid(const char *domain)
{
	const char *dash = strrchr(domain, '-');

	return dash ? dash + 1 : domain;
}

/* libvirt gives the metadata of running domains only; a transient one that is shut off has its XML. */
enum lxc_owner
lxc_owner(struct lxc *lxc, virDomainPtr domain, char uuid[static VN_UUID_TEXT])
{
	vn_autofree char *text = virDomainGetMetadata(domain, VIR_DOMAIN_METADATA_ELEMENT,
						      DOMAIN_XML_NAMESPACE, 0);
	vn_autofree char *tag = vn_format("vnoded:%s:", lxc->env->instance);
	const char *at;

	if (!text)
		text = virDomainGetXMLDesc(domain, 0);
	if (!text)
		return LXC_OWNER_GONE;
	at = strstr(text, tag);
	if (!at || strlen(at) < strlen(tag) + VN_UUID_TEXT - 1)
		return LXC_OWNER_OTHER;
	snprintf(uuid, VN_UUID_TEXT, "%s", at + strlen(tag));
	return vn_uuid_is(uuid) ? LXC_OWNER_US : LXC_OWNER_OTHER;
}

static void
on_link(void *arg, bool up, const char *text)
{
	struct lxc *lxc = arg;

	lxc->events.on_link(lxc->events.arg, up, text);
}

/* Folders in which the containers' own mounts find their places; one set for all guests. */
static int
make_folders(struct lxc *lxc, struct vn_error *err)
{
	/* lxc/work is WIRE_WORK. */
	static const char *const folders[] = { "lxc", "lxc/dev", "lxc/proc", "lxc/sys", "lxc/work",
					       "console" };
	vn_autofree char *run = vn_strdup(lxc->env->run_dir);

	for (char *at = strchr(run + 1, '/'); at; at = strchr(at + 1, '/')) {
		*at = '\0';
		mkdir(run, 0755);
		*at = '/';
	}
	if (mkdir(run, 0755) < 0 && errno != EEXIST)
		return vn_fail_errno(err, errno, "make the folder %s", run);
	for (size_t i = 0; i < VN_COUNT(folders); i++) {
		vn_autofree char *path = vn_format("%s/%s", run, folders[i]);

		if (mkdir(path, 0755) < 0 && errno != EEXIST)
			return vn_fail_errno(err, errno, "make the folder %s", path);
	}
	return 0;
}

static void
lxc_close(struct compute *self)
{
	struct lxc *lxc = (struct lxc *)self;

	if (!lxc)
		return;
	lxc_exec_close(lxc);
	lxc_watch_close(lxc);
	conn_pool_free(lxc->pool);
	listener_stop(lxc->listener);
	free(lxc->skeleton);
	free(lxc);
}

static int
lxc_open(const struct backend_env *env, const struct compute_events *events, struct compute **ret,
	 struct vn_error *err)
{
	struct lxc *lxc = vn_alloc(sizeof(*lxc));

	lxc->base.ops = &compute_lxc;
	lxc->env = env;
	lxc->events = *events;
	vn_list_init(&lxc->execs);
	lxc->skeleton = vn_format("%s/lxc", env->run_dir);
	if (make_folders(lxc, err) < 0 || lxc_watch_open(lxc, err) < 0) {
		free(lxc->skeleton);
		free(lxc);
		return -1;
	}
	lxc->listener = listener_start(env, &(struct listener_calls){
		.arg = lxc, .on_link = on_link, .on_stopped = lxc_watch_on_stopped });
	lxc->pool = conn_pool_new(env->libvirt_uri);
	*ret = &lxc->base;
	return 0;
}

static void
add(char ***list, size_t *count, char *VN_TAKES text)
{
	*list = vn_realloc_array(*list, *count + 2, sizeof(**list));
	(*list)[(*count)++] = text;
	(*list)[*count] = NULL;
}

int
lxc_missing(struct compute *self, char ***ret, struct vn_error *err)
{
	static const char *const programs[] = { "vnode-init", "vnode-helper" };
	struct lxc *lxc = (struct lxc *)self;
	vn_auto(conn_lease) lease = { 0 };
	struct vn_error why;
	size_t count = 0;
	char **list = vn_alloc(sizeof(*list));

	(void)err;
	for (size_t i = 0; i < VN_COUNT(programs); i++) {
		vn_autofree char *path = vn_format("%s/%s", lxc->env->libexec_dir, programs[i]);

		if (access(path, X_OK) < 0)
			add(&list, &count, vn_format("containers need the program %s (%s)", path,
						     strerror(errno)));
	}
	if (access("/proc/self/ns/user", F_OK) < 0)
		add(&list, &count, vn_strdup("containers need a kernel with user namespaces"));
	if (access("/proc/self/ns/cgroup", F_OK) < 0)
		add(&list, &count, vn_strdup("containers need a kernel with cgroup namespaces"));
	if (lease_open(lxc->pool, &lease, &why) < 0)
		add(&list, &count, vn_format("containers need libvirtd: %s", why.text));
	*ret = list;
	return 0;
}

const struct compute_ops compute_lxc = {
	.name = "lxc",
	.open = lxc_open,
	.close = lxc_close,
	.start = lxc_start,
	.stop = lxc_stop,
	.probe = lxc_probe,
	.list = lxc_list,
	.set_limits = lxc_set_limits,
	.missing = lxc_missing,
	.watch = lxc_watch,
	.unwatch = lxc_unwatch,
	.is_alive = lxc_is_alive,
	.exec = lxc_exec,
	.exec_signal = lxc_exec_signal,
	.console = lxc_console,
};
