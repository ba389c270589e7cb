/*
 * The configuration: one table says of each key where it lives, what kind of value it takes, what it is
 * without a file, and whether it may change while vnoded runs. Presets are texts that take the same way
 * as those of a file, so a preset cannot be something a file could not say.
 *
 * The surprising one is `socket`: unless it is set it lies in run_dir and follows that.
 */
#include "daemon/config_inner.h"

#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "proto/base/mem.h"

#define KEY(key, member, kind, flags, preset, ...) \
	{ key, kind, flags, offsetof(struct config, member), preset, __VA_ARGS__ }

#define MIB (1ull << 20)
#define GIB (1ull << 30)
#define MS  1000000ull
#define S   (1000 * MS)

/* name, member, kind, flags, preset, help, smallest and largest value */
static const struct config_key keys[] = {
	KEY("instance_name", instance_name, KIND_NAME, 0, "vnoded",
	    "Name of this installation, shown to people"),
	KEY("state_dir", state_dir, KIND_PATH, 0, "/var/lib/vnoded",
	    "Folder of the database, images and disks"),
	KEY("run_dir", run_dir, KIND_PATH, 0, "/run/vnoded",
	    "Folder of what ends with the machine's uptime"),
	KEY("socket", socket, KIND_PATH, OPTIONAL, "",
	    "Control socket; empty: vnoded.sock in run_dir"),
	KEY("libexec_dir", libexec_dir, KIND_PATH, 0, LIBEXEC_DIR,
	    "Folder of vnode-init and the helpers"),
	KEY("fabric", fabric, KIND_NAME, 0, "vnoded", "Name of the fabric's network namespace"),
	KEY("nft_table", nft_table, KIND_NAME, 0, "vnoded", "Name of vnoded's nftables table"),
	KEY("libvirt_uri", libvirt_uri, KIND_TEXT, 0, "lxc:///system",
	    "Where libvirt's container driver is reached"),
	KEY("import_dir", import_dir, KIND_PATH, OPTIONAL | RELOAD, "",
	    "Folder whose files image.add may name; empty: none"),
	KEY("control_network", control_network, KIND_NETWORK4, 0, "198.18.0.0/16",
	    "Control network of all vnodes"),
	KEY("control_network6", control_network6, KIND_NETWORK6, OPTIONAL, "",
	    "The same for IPv6; empty: a /64 below fd00::/8 made from the installation's uuid"),
	KEY("control_isolation", control_isolation, KIND_SWITCH, 0, "no",
	    "Whether vnodes are kept from each other on the control network"),
	KEY("control_nat_except", control_nat_except, KIND_NETWORKS, OPTIONAL, "",
	    "Networks that see the vnodes' own control addresses"),
	KEY("default_backend", default_backend, KIND_NAME, RELOAD, "lxc",
	    "Backend of vnodes that name none"),
	KEY("default_image", default_image, KIND_NAME, OPTIONAL | RELOAD, "",
	    "Image of vnodes that name none; empty: none"),
	KEY("disk", disk, KIND_DISK, RELOAD, "overlay", "Type of the disks of new vnodes that name none"),
	KEY("lvm_group", lvm_group, KIND_NAME, OPTIONAL, "",
	    "LVM's volume group with the disks of type lvm-thin; empty: there are none"),
	KEY("lvm_pool", lvm_pool, KIND_NAME, OPTIONAL, "", "Thin pool in lvm_group"),
	KEY("log_level", log_level, KIND_LEVEL, RELOAD, "info",
	    "Least important lines that are logged"),
	KEY("event_keep", event_keep, KIND_COUNT, RELOAD, "100000", "Events kept", 100, 100000000),
	KEY("job_keep", job_keep, KIND_COUNT, RELOAD, "10000", "Ended jobs kept", 10, 10000000),
	KEY("max_clients", max_clients, KIND_COUNT, RELOAD, "1024",
	    "Connections at a time", 1, 65536),
	KEY("max_clients_per_uid", max_clients_per_uid, KIND_COUNT, RELOAD, "256",
	    "Connections of one user at a time; root is not counted", 1, 65536),
	KEY("max_requests_per_client", max_requests_per_client, KIND_COUNT, RELOAD, "1024",
	    "Unanswered requests of one connection", 1, 65536),
	KEY("max_output", max_output_bytes, KIND_SIZE, RELOAD, "32MiB",
	    "Answers and events that one connection may leave unread", MIB, 16 * GIB),
	KEY("boot_width", boot_width, KIND_COUNT, 0, "8", "Most guests started at a time", 1, 64),
	KEY("grace", grace_ns, KIND_TIME, RELOAD, "10s",
	    "Time between asking a guest to halt and killing it, where a vnode does not say",
	    0, 3600 * S),
	KEY("step_timeout", step_timeout_ns, KIND_TIME, RELOAD, "120s",
	    "Longest time of one step of a job",
	    S, 86400 * S),
	KEY("pids_default", pids_default, KIND_COUNT, RELOAD, "4096",
	    "Processes of a vnode that does not say",
	    16, 4194304),
	KEY("console_size", console_bytes, KIND_SIZE, RELOAD, "256KiB",
	    "Console output kept of each vnode",
	    4096, GIB),
	KEY("image_limit", image_limit_bytes, KIND_SIZE, RELOAD, "16GiB",
	    "Largest archive of an image",
	    MIB, 1024 * GIB),
	KEY("image_unpacked_limit", image_unpacked_bytes, KIND_SIZE, RELOAD, "64GiB",
	    "Largest unpacked image", MIB, 16384 * GIB),
	KEY("image_entries", image_entries, KIND_COUNT, RELOAD, "2000000",
	    "Most files of an image", 1, 1000000000),
	KEY("image_stall", image_stall_ns, KIND_TIME, RELOAD, "30s",
	    "Longest time without a byte while an image is fetched", S, 3600 * S),
	KEY("image_slowest", image_slowest_bytes, KIND_SIZE, RELOAD, "1KiB",
	    "Fewest bytes a second over image_stall while an image is fetched; 0B: any",
	    0, GIB),
	KEY("image_retries", image_retries, KIND_COUNT, RELOAD, "5",
	    "Attempts after a failed one, where an image is fetched", 0, 1000),
	KEY("image_retry_wait", image_retry_wait_ns, KIND_TIME, RELOAD, "1s",
	    "Wait before the first of them; doubles up to 60 s", MS, 60 * S),
	KEY("image_part_keep", image_part_keep_ns, KIND_TIME, RELOAD, "604800s",
	    "How long a part of an image is kept that nobody goes on with", 60 * S, 31536000 * S),
	KEY("image_storage", image_storage_bytes, KIND_SIZE, RELOAD, "0B",
	    "What all images and extra disks may take together; 0B: no limit", 0, 16384 * GIB),
	KEY("restart_limit", restart_limit, KIND_COUNT, RELOAD, "10",
	    "Restarts of a vnode within restart_window before vnoded gives up", 0, 1000000),
	KEY("restart_window", restart_window_ns, KIND_TIME, RELOAD, "600s",
	    "See restart_limit", S, 86400 * S),
	KEY("restart_delay", restart_delay_ns, KIND_TIME, RELOAD, "250ms",
	    "Wait before the first restart; doubles up to 30 s", MS, 30 * S),
};

/* ---- keys ------------------------------------------------------------------------------------ */

static const struct config_key *
find_key(const char *name)
{
	for (size_t i = 0; i < VN_COUNT(keys); i++)
		if (strcmp(keys[i].name, name) == 0)
			return &keys[i];
	return NULL;
}

/* Letters to insert, remove or exchange to get from a to b (Levenshtein); names over 63 are far. */
static unsigned
distance(const char *a, const char *b)
{
	unsigned row[VN_NAME_MAX + 1], length = (unsigned)strlen(b);

	if (length > VN_NAME_MAX)
		return UINT32_MAX;
	for (unsigned i = 0; i <= length; i++)
		row[i] = i;
	for (; *a; a++) {
		unsigned corner = row[0]++;

		for (unsigned i = 1; i <= length; i++) {
			unsigned best = corner + (*a != b[i - 1]);

			corner = row[i];
			best = best < corner + 1 ? best : corner + 1;
			row[i] = best < row[i - 1] + 1 ? best : row[i - 1] + 1;
		}
	}
	return row[length];
}

static int
fail_unknown(const char *name, struct vn_error *err)
{
	const struct config_key *nearest = &keys[0];

	for (size_t i = 1; i < VN_COUNT(keys); i++)
		if (distance(keys[i].name, name) < distance(nearest->name, name))
			nearest = &keys[i];
	return vn_fail(err, VN_E_INVALID, "no key \"%.63s\"; the nearest is \"%s\"", name,
		       nearest->name);
}

/* The key's name goes before what is wrong with its value. */
static int
set_named(struct config *config, const struct config_key *key, const char *text, struct vn_error *err)
{
	if (config_value_read(config, key, text, err) < 0) {
		vn_error_prefix(err, "%s", key->name);
		return -1;
	}
	if (strcmp(key->name, "socket") == 0)
		config->has_socket = config->socket != NULL;
	if (!config->has_socket && config->run_dir) {
		vn_autofree char *path = vn_format("%s/vnoded.sock", config->run_dir);

		config->socket = vn_arena_strdup(&config->arena, path);
	}
	return 0;
}

/* Cuts white space at both ends. */
static char *
trim(char *text)
{
	size_t length;

	text += strspn(text, " \t\r\n");
	length = strlen(text);
	while (length > 0 && strchr(" \t\r\n", text[length - 1]))
		text[--length] = '\0';
	return text;
}

/* Splits "key = value" in place. */
static int
split(char *line, char **ret_value, const struct config_key **ret, struct vn_error *err)
{
	char *equals = strchr(line, '=');
	char *name = line;

	if (!equals)
		return vn_fail(err, VN_E_INVALID, "expected \"key = value\", got \"%.60s\"", line);
	*equals = '\0';
	name = trim(line);
	*ret = find_key(name);
	*ret_value = trim(equals + 1);
	return *ret ? 0 : fail_unknown(name, err);
}

/* ---- files ----------------------------------------------------------------------------------- */

/* A comment begins with # at the start of a line or after white space. */
static void
cut_comment(char *line)
{
	for (char *at = line; (at = strchr(at, '#')); at++) {
		if (at != line && at[-1] != ' ' && at[-1] != '\t')
			continue;
		*at = '\0';
		return;
	}
}

static int
read_line(struct config *config, char *line, unsigned number, unsigned seen[static VN_COUNT(keys)],
	  struct vn_error *err)
{
	const struct config_key *key = NULL;
	char *value = NULL;

	cut_comment(line);
	line = trim(line);
	if (!*line)
		return 0;
	if (split(line, &value, &key, err) < 0)
		return -1;
	if (seen[key - keys])
		return vn_fail(err, VN_E_INVALID, "%s is already in line %u; remove one of them",
			       key->name, seen[key - keys]);
	seen[key - keys] = number;
	return set_named(config, key, value, err);
}

int
config_read(struct config *config, const char *path, struct vn_error *err)
{
	FILE *file = fopen(path, "re");
	vn_autofree char *line = NULL;
	unsigned seen[VN_COUNT(keys)] = { 0 };
	size_t room = 0;
	ssize_t length;
	int result = 0;

	if (!file)
		return vn_fail_errno(err, errno, "cannot read %s", path);
	for (unsigned at = 1; result == 0 && (length = getline(&line, &room, file)) >= 0; at++) {
		if (strlen(line) != (size_t)length)
			result = vn_fail(err, VN_E_INVALID, "a byte is 0; this is no text file");
		else
			result = read_line(config, line, at, seen, err);
		if (result < 0)
			vn_error_prefix(err, "%s:%u", path, at);
	}
	if (result == 0 && ferror(file))
		result = vn_fail_errno(err, errno, "cannot read %s", path);
	fclose(file);
	return result;
}

int
config_set(struct config *config, const char *assignment, struct vn_error *err)
{
	vn_autofree char *line = vn_strdup(assignment);
	const struct config_key *key = NULL;
	char *value = NULL;

	if (split(line, &value, &key, err) < 0)
		return -1;
	return set_named(config, key, value, err);
}

/* ---- life ------------------------------------------------------------------------------------ */

void
config_init(struct config *config)
{
	struct vn_error err;

	*config = (struct config){ 0 };
	for (size_t i = 0; i < VN_COUNT(keys); i++)
		if (set_named(config, &keys[i], keys[i].preset, &err) < 0)
			assert(!"a preset is refused by its own key");
}

void
config_fini(struct config *config)
{
	vn_arena_fini(&config->arena);
	*config = (struct config){ 0 };
}

json_t *
config_describe(void)
{
	json_t *list = json_array();

	for (size_t i = 0; i < VN_COUNT(keys); i++)
		json_array_append_new(list, json_pack("{ss ss ss ss sb}", "key", keys[i].name,
			"kind", config_kind_words[keys[i].kind], "preset", keys[i].preset,
			"help", keys[i].help, "reload", (keys[i].flags & RELOAD) != 0));
	return list;
}

void
config_reload(struct config *config, const struct config *fresh, char *text, size_t size)
{
	size_t at = 0;

	text[0] = '\0';
	for (size_t i = 0; i < VN_COUNT(keys); i++) {
		const struct config_key *key = &keys[i];

		if (config_value_is_same(key, config, fresh))
			continue;
		if (!(key->flags & RELOAD))
			at += (size_t)snprintf(text + at, size - at, "%s%s", at ? ", " : "",
					       key->name);
		else
			config_value_copy(config, key, fresh);
		at = at < size ? at : size - 1;
	}
}
