/*
 * The table of what is written, and its order: what the topology asks for by name comes last and takes
 * the place of what vnoded would write there. All is written together whenever the digest of what it
 * follows from has changed, and once on each fresh disk; a boot that finds all as it was mounts nothing.
 */
#include "daemon/guest_files.h"

#include <arpa/inet.h>
#include <stdio.h>
#include <string.h>

#include "backends/digest.h"
#include "daemon/guest_net.h"
#include "daemon/task.h"

#define KEYS_HEAD "# Written by vnoded; change \"authorized_keys\" of the topology instead.\n"
#define DIGEST_OFF "off"		/* nothing was ever to be written */
#define DIGEST_UNKNOWN "?"		/* something else may have been */

enum { OWN_FILES = 40 };		/* at most so many beside the interfaces' and the topology's */

/* Where somebody reads it. */
static const char *const sshd[] = { "/usr/sbin/sshd", "/etc/ssh/sshd_config", NULL };
static const char *const systemd[] = { "/etc/machine-id", "/lib/systemd/systemd", "/usr/lib/systemd/systemd",
				       NULL };
static const char *const dbus[] = { "/var/lib/dbus/machine-id", NULL };
static const char *const zones[] = { "/usr/share/zoneinfo", NULL };
static const char *const emulab[] = { "/etc/emulab", "/usr/local/etc/emulab", "/var/emulab", NULL };

static bool
is_own(const struct vnode *vnode, const char *path)
{
	const struct doc_file *files = vnode->spec.files.items;

	for (size_t i = 0; i < vnode->spec.files.count; i++)
		if (strcmp(files[i].path, path) == 0)
			return true;
	return false;
}

struct guest_file *
guest_files_add(struct guest_files *files, const struct vnode *vnode, const char *path, const char *text,
		unsigned mode)
{
	struct guest_file *file = &files->list[files->count];

	if (is_own(vnode, path))
		return NULL;
	*file = (struct guest_file){ .path = path, .text = text, .mode = mode };
	files->count++;
	return file;
}

static const char *
print(struct vn_arena *arena, VN_TAKES char *text)
{
	const char *copy = vn_arena_strdup(arena, text);

	free(text);
	return copy;
}

/* ---- names ---- */

static const char *
resolv_text(struct vn_arena *arena, const struct document *document)
{
	char text[2048] = "";
	size_t used = 0;

	if (document->domain)
		used += (size_t)snprintf(text, sizeof(text), "search %s\n", document->domain);
	for (size_t i = 0; i < document->dns.count && used < sizeof(text); i++)
		used += (size_t)snprintf(text + used, sizeof(text) - used, "nameserver %s\n",
					 ((const char **)document->dns.items)[i]);
	return vn_arena_strdup(arena, text);
}

static void
add_names(struct guest_files *files, struct task *task, const struct vnode *vnode)
{
	const struct document *document = &vnode->topology->document;

	files->hosts = guest_files_add(files, vnode, "/etc/hosts", NULL, 0644);
	guest_files_add(files, vnode, "/etc/hostname",
			print(&task->arena, vn_format("%s\n", task->guest.hostname)), 0644);
	if (document->dns.count)
		guest_files_add(files, vnode, "/etc/resolv.conf", resolv_text(&task->arena, document),
				0644);
}

/* ---- who may log in ---- */

static const char *
keys_text(struct vn_arena *arena, const struct field_array *keys)
{
	char *text = NULL;
	size_t size;
	FILE *out = open_memstream(&text, &size);

	if (!out)
		abort();
	fputs(KEYS_HEAD, out);
	for (size_t i = 0; i < keys->count; i++)
		fprintf(out, "%s\n", ((const char **)keys->items)[i]);
	fclose(out);
	return print(arena, text);
}

/* Keys that nobody asks for any more go; a file that is not ours stays. */
static void
add_keys(struct guest_files *files, struct task *task, const struct vnode *vnode,
	 const struct field_array *keys)
{
	struct guest_file *file = guest_files_add(files, vnode, "/root/.ssh/authorized_keys", KEYS_HEAD, 0600);

	if (!file)
		return;
	file->folder_mode = 0700;
	file->field = "/authorized_keys";
	file->how = keys->count ? GUEST_FILE_PUT : GUEST_FILE_REMOVE;
	if (keys->count)
		file->text = keys_text(&task->arena, keys);
}

static void
add_login(struct guest_files *files, struct task *task, const struct vnode *vnode)
{
	const struct doc_login *own = &vnode->spec.login, *common = &vnode->topology->document.login;
	const char *hash = own->password ? own->password : common->password;
	struct guest_file *file;

	if (hash) {
		file = guest_files_add(files, vnode, "/etc/shadow", vn_arena_strdup(&task->arena, hash), 0);
		if (file) {
			file->how = GUEST_FILE_PASSWORD;
			file->field = "/password";
		}
	}
	add_keys(files, task, vnode, own->authorized_keys.count ? &own->authorized_keys
								 : &common->authorized_keys);
}

/* ---- what each vnode must have for itself ---- */

static void
add_host_keys(struct guest_files *files, struct task *task, const struct vnode *vnode)
{
	for (int kind = 0; kind < HOST_KEY_KINDS; kind++)
		for (int public = 0; public < 2; public++) {
			const char *path = print(&task->arena, vn_format("/etc/ssh/ssh_host_%s_key%s",
				host_key_words[kind], public ? ".pub" : ""));
			struct guest_file *file = guest_files_add(files, vnode, path, NULL,
								  public ? 0644 : 0600);

			files->keys[kind][public] = file;
			if (file)
				file->where = sshd;
		}
}

/* The keys of the image are the same in every vnode. Those that the guest has made since are its own. */
static void
add_removals(struct guest_files *files, const struct vnode *vnode)
{
	static const char *const paths[] = {
		"/etc/ssh/ssh_host_rsa_key", "/etc/ssh/ssh_host_rsa_key.pub", "/etc/ssh/ssh_host_dsa_key",
		"/etc/ssh/ssh_host_dsa_key.pub", "/etc/ssh/ssh_host_key", "/etc/ssh/ssh_host_key.pub",
	};

	for (size_t i = 0; i < VN_COUNT(paths); i++) {
		struct guest_file *file = guest_files_add(files, vnode, paths[i], "", 0);

		if (file)
			file->how = GUEST_FILE_REMOVE;
	}
}

static void
add_machine_id(struct guest_files *files, struct task *task, const struct vnode *vnode)
{
	struct guest_file *file;
	char id[33];

	host_key_machine_id(files->secret, vnode->uuid, id);
	file = guest_files_add(files, vnode, "/etc/machine-id", print(&task->arena, vn_format("%s\n", id)),
			       0444);
	if (file)
		file->where = systemd;
	file = guest_files_add(files, vnode, "/var/lib/dbus/machine-id", "/etc/machine-id", 0);
	if (file) {
		file->where = dbus;
		file->how = GUEST_FILE_LINK;
	}
}

/* That of the topology is for images that know time zones: it must not keep the small ones from booting. */
static void
add_timezone(struct guest_files *files, struct task *task, const struct vnode *vnode)
{
	const char *own = vnode->spec.login.timezone;
	const char *zone = own ? own : vnode->topology->document.login.timezone;
	struct guest_file *file;

	if (!zone)
		return;
	file = guest_files_add(files, vnode, "/etc/localtime",
			       print(&task->arena, vn_format("/usr/share/zoneinfo/%s", zone)), 0);
	if (file) {
		file->how = GUEST_FILE_LINK;
		file->field = "/timezone";
		file->where = own ? NULL : zones;
	}
	file = guest_files_add(files, vnode, "/etc/timezone", print(&task->arena, vn_format("%s\n", zone)), 0644);
	if (file)
		file->where = own ? NULL : zones;
}

/* ---- what Emulab's images read ---- */

static void
add_boot(struct guest_files *files, struct task *task, const struct vnode *vnode, const char *name,
	 VN_TAKES char *text)
{
	const char *path = print(&task->arena, vn_format("/var/emulab/boot/%s", name));
	struct guest_file *file = guest_files_add(files, vnode, path, print(&task->arena, text), 0644);

	if (file)
		file->where = emulab;
}

static char *
netmask(const struct vn_cidr *cidr)
{
	struct in_addr mask = { htonl(cidr->prefix ? ~0u << (32 - cidr->prefix) : 0) };
	char text[INET_ADDRSTRLEN];

	inet_ntop(AF_INET, &mask, text, sizeof(text));
	return vn_format("%s\n", text);
}

static void
add_emulab(struct guest_files *files, struct task *task, const struct vnode *vnode)
{
	const char *domain = vnode->topology->document.domain;
	char own[INET6_ADDRSTRLEN], gateway[INET6_ADDRSTRLEN];
	struct vn_cidr gateways[2];

	add_boot(files, task, vnode, "vmname", vn_format("%s\n", vnode->name));
	add_boot(files, task, vnode, "realname", vn_format("%s%s%s\n", task->guest.hostname,
		 domain ? "." : "", domain ? domain : ""));
	add_boot(files, task, vnode, "extrafs", vn_strdup("FS=/\n"));
	if (!task->control)
		return;
	vnode_control_gateways(vnode, &gateways[0], &gateways[1]);
	vn_cidr_print_address(&task->control->addresses[0], own);
	vn_cidr_print_address(&gateways[0], gateway);
	add_boot(files, task, vnode, "myip", vn_format("%s\n", own));
	add_boot(files, task, vnode, "mynetmask", netmask(&task->control->addresses[0]));
	add_boot(files, task, vnode, "routerip", vn_format("%s\n", gateway));
	add_boot(files, task, vnode, "localevserver", vn_format("%s\n", gateway));
	add_boot(files, task, vnode, "controlif", vn_format("%s\n", task->control->ifname));
}

/* ---- the topology's own ---- */

static void
add_own(struct guest_files *files, struct task *task, const struct vnode *vnode)
{
	const struct doc_file *own = vnode->spec.files.items;
	struct vn_arena *arena = &task->arena;

	for (size_t i = 0; i < vnode->spec.files.count; i++) {
		struct guest_file *file = &files->list[files->count++];

		*file = (struct guest_file){ .path = vn_arena_strdup(arena, own[i].path),
			.text = vn_arena_strdup(arena, own[i].content), .mode = doc_file_mode(&own[i]),
			.how = GUEST_FILE_STRICT, .field = print(arena, vn_format("/files/%zu", i)) };
		doc_file_owner(&own[i], &file->uid, &file->gid);
		if (own[i].source)
			file->source = print(arena, vn_format("%s/files/%s", vnode->daemon->env.state_dir,
							      own[i].sha256 ? own[i].sha256 : "?"));
	}
}

/* ---- all of it ---- */

static void
put_digest(struct digest *sha, const char *text)
{
	digest_update(sha, text ? text : "-", text ? strlen(text) + 1 : 1);
}

static void
find_digest(struct guest_files *files)
{
	struct digest *sha = digest_new();

	digest_update(sha, files->block->digest, sizeof(files->block->digest));
	put_digest(sha, files->near);
	for (size_t i = 0; i < files->count; i++) {
		const struct guest_file *file = &files->list[i];
		char numbers[64];

		snprintf(numbers, sizeof(numbers), "%d %o %u %u", (int)file->how, file->mode, file->uid,
			 file->gid);
		put_digest(sha, file->path);
		put_digest(sha, numbers);
		put_digest(sha, file->text);
		put_digest(sha, file->source);
	}
	digest_print(sha, files->digest);
	digest_free(sha);
}

static bool
is_fresh(const struct vnode *vnode)
{
	return !vnode->runtime.injected[0] || strcmp(vnode->runtime.injected, DIGEST_OFF) == 0;
}

void
guest_files_begin(struct vnode *vnode)
{
	snprintf(vnode->runtime.injected, sizeof(vnode->runtime.injected), "%s",
		 is_fresh(vnode) ? "" : DIGEST_UNKNOWN);
	vnode_record(vnode);
}

void
guest_files_choose(struct task *task, const struct vnode *vnode)
{
	struct guest_files *files = &task->files;

	files->block = hosts_block_get(vnode->topology);
	files->near = hosts_near(&task->arena, vnode);
	files->secret = vnode->daemon->secret;
	snprintf(files->digest, sizeof(files->digest), "%s", DIGEST_OFF);
	if (!vnode->spec.inject)
		return;
	files->list = vn_arena_alloc(&task->arena, sizeof(*files->list) *
				     (OWN_FILES + guest_net_count(task) + vnode->spec.files.count));
	add_names(files, task, vnode);
	guest_net_add(files, task, vnode);
	add_login(files, task, vnode);
	add_host_keys(files, task, vnode);
	add_machine_id(files, task, vnode);
	add_timezone(files, task, vnode);
	add_emulab(files, task, vnode);
	add_own(files, task, vnode);
	find_digest(files);
	if (is_fresh(vnode))
		add_removals(files, vnode);
}

void
guest_files_fini(struct guest_files *files)
{
	hosts_block_unref(vn_take_ptr(&files->block));
}

/* ---- with the step ---- */

static void
make_texts(struct task *task, char *texts[HOST_KEY_KINDS][2], char **ret_hosts)
{
	struct guest_files *files = &task->files;
	vn_autofree char *comment = vn_format("root@%s", task->guest.hostname);

	*ret_hosts = hosts_file(files->near, files->block);
	if (files->hosts)
		files->hosts->text = *ret_hosts;
	for (int kind = 0; kind < HOST_KEY_KINDS; kind++) {
		host_key_make(files->secret, (enum host_key_kind)kind, task->guest.uuid, comment,
			      &texts[kind][0], &texts[kind][1]);
		for (int public = 0; public < 2; public++)
			if (files->keys[kind][public])
				files->keys[kind][public]->text = texts[kind][public];
	}
}

int
guest_files_write(struct task *task, const struct disk_spec *spec, struct vn_error *err)
{
	struct guest_files *files = &task->files;
	char *keys[HOST_KEY_KINDS][2], *hosts;
	int status;

	make_texts(task, keys, &hosts);
	status = task->disk->ops->inject(task->disk, spec, files->list, files->count, err);
	for (int kind = 0; kind < HOST_KEY_KINDS; kind++)
		for (int public = 0; public < 2; public++) {
			if (files->keys[kind][public])
				files->keys[kind][public]->text = NULL;
			explicit_bzero(keys[kind][public], strlen(keys[kind][public]));
			free(keys[kind][public]);
		}
	if (files->hosts)
		files->hosts->text = NULL;
	free(hosts);
	return status;
}

static json_t *
make_host_keys(const struct vnode *vnode)
{
	char name[VN_NAME_MAX + 1];
	vn_autofree char *comment = NULL;
	json_t *list = json_array();

	hosts_name(vnode, name);
	comment = vn_format("root@%s", name);
	for (int kind = 0; kind < HOST_KEY_KINDS; kind++) {
		vn_autofree char *line = NULL;

		host_key_make(vnode->daemon->secret, (enum host_key_kind)kind, vnode->uuid, comment, NULL,
			      &line);
		json_array_append_new(list, json_stringn(line, strcspn(line, "\n")));
	}
	return list;
}

/* Kept, for they take longer than all else that vnode.get does, and never change. */
json_t *
guest_files_host_keys(struct vnode *vnode)
{
	if (!vnode->spec.inject)
		return json_null();
	if (!vnode->host_keys)
		vnode->host_keys = make_host_keys(vnode);
	return json_incref(vnode->host_keys);
}
