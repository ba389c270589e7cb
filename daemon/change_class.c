/* How each field of a document changes, and which of them differ between two vnodes. */
#include "daemon/change.h"

#include <stdio.h>
#include <string.h>

#include "proto/base/mem.h"

const char *const change_class_words[] = { "none", "live", "restart", "recreate", NULL };

/* field of a vnode in a document, how it changes, remark */
static const struct {
	const char *field;
	enum change_class class;
	const char *remark;
} classes[] = {
	{ "memory",     CHANGE_LIVE,     "the limit of the running guest is set" },
	{ "pids",       CHANGE_LIVE,     "the limit of the running guest is set" },
	{ "restart",    CHANGE_LIVE,     "counts from the next end of the guest on" },
	{ "grace",      CHANGE_LIVE,     "counts from the next halt on" },
	{ "forwards",   CHANGE_LIVE,     "connections through unchanged forwards go on" },
	{ "routes",     CHANGE_LIVE,     "" },
	{ "default_route", CHANGE_LIVE,  "" },
	{ "vcpus",      CHANGE_RESTART,  "" },
	{ "init",       CHANGE_RESTART,  "" },
	{ "interfaces", CHANGE_RESTART,  "membership, name or MAC in a LAN" },
	{ "address",    CHANGE_LIVE,     "of an interface that is there; the first of a network is its source address" },
	{ "shape",      CHANGE_LIVE,     "of a LAN or a member: what is on its way goes on" },
	{ "schedule",   CHANGE_LIVE,     "of a LAN: replaces what has not happened yet" },
	{ "mtu",        CHANGE_LIVE,     "of a LAN" },
	{ "learning",   CHANGE_LIVE,     "of a LAN" },
	{ "uplink",     CHANGE_LIVE,     "of a LAN" },
	{ "tunnels",    CHANGE_LIVE,     "of a LAN: those that do not differ go on" },
	{ "password",   CHANGE_RESTART,  "written before the boot; of the topology: at each vnode's next boot" },
	{ "authorized_keys", CHANGE_RESTART, "likewise" },
	{ "timezone",   CHANGE_RESTART,  "likewise" },
	{ "files",      CHANGE_RESTART,  "written before the boot; one that is no longer named stays where it is" },
	{ "inject",     CHANGE_RESTART,  "what was written stays where it is" },
	{ "image",      CHANGE_RECREATE, "a fresh disk; refused without allow_recreate" },
	{ "disk",       CHANGE_RECREATE, "another type: a fresh disk; refused without allow_recreate" },
	{ "disk/type",  CHANGE_LIVE,     "said, or left out, without being another" },
	{ "disk/size",  CHANGE_RESTART,  "grows; it cannot shrink" },
	{ "disks",      CHANGE_RESTART,  "new ones, other mount points, larger ones" },
	{ "disks/NAME", CHANGE_RECREATE, "is no longer there: what it holds goes; refused without allow_recreate" },
	{ "backend",    CHANGE_RECREATE, "refused: destroy the vnode and create it anew" },
	{ "control",    CHANGE_RECREATE, "refused: destroy the vnode and create it anew" },
	{ "privileged", CHANGE_RECREATE, "refused: destroy the vnode and create it anew" },
};

enum change_class
change_class_of(const char *field)
{
	if (strncmp(field, "disks/", 6) == 0)
		field = "disks/NAME";
	for (size_t i = 0; i < VN_COUNT(classes); i++)
		if (strcmp(classes[i].field, field) == 0)
			return classes[i].class;
	return CHANGE_RESTART;
}

char *
change_document(void)
{
	char *text = NULL;
	size_t size;
	FILE *out = open_memstream(&text, &size);

	if (!out)
		abort();
	fputs("# How a change of a field takes effect\n\nMade from the table in `daemon/change_class.c` by "
	      "`vnoded --print fields`; a test compares them.\n\n"
	      "| field | change | |\n|---|---|---|\n", out);
	for (size_t i = 0; i < VN_COUNT(classes); i++)
		fprintf(out, "| %s | %s | %s |\n", classes[i].field,
			change_class_words[classes[i].class], classes[i].remark);
	fclose(out);
	return text;
}

static void
compare_key(json_t *a, json_t *b, const char *key, json_t *fields, enum change_class *strongest)
{
	json_t *x = json_object_get(a, key), *y = json_object_get(b, key);

	if ((!x && !y) || (x && y && json_equal(x, y)))
		return;
	if (fields)
		json_array_append_new(fields, json_string(key));
	if (change_class_of(key) > *strongest)
		*strongest = change_class_of(key);
}

/* A type that is not said is the one that the disk has. */
static const char *
type_word(const struct vnode *vnode, json_t *disk)
{
	const char *word = json_string_value(json_object_get(disk, "type"));

	if (word)
		return word;
	return vnode->disk_type < 0 ? "" : disk_type_words[vnode->disk_type];
}

/* What differs in a disk, as the field that the table has for it; NULL: nothing. */
static const char *
compare_disks(const struct vnode *vnode, json_t *old, json_t *new)
{
	json_t *size = json_object_get(old, "size"), *new_size = json_object_get(new, "size");

	if (strcmp(type_word(vnode, old), type_word(vnode, new)) != 0)
		return "disk";
	if (size != new_size && !(size && new_size && json_equal(size, new_size)))
		return "disk/size";
	return old != new && !(old && new && json_equal(old, new)) ? "disk/type" : NULL;
}

/* Those that are in `old` and not in `new`, each as a field of its own. */
static bool
compare_extras(json_t *old, json_t *new, json_t *fields)
{
	bool any = false;
	const char *name;
	json_t *extra;

	json_object_foreach(old, name, extra) {
		if (json_object_get(new, name))
			continue;
		any = true;
		if (fields)
			json_array_append_new(fields, json_sprintf("disks/%s", name));
	}
	return any;
}

enum change_class
change_compare(const struct vnode *vnode, json_t *old_spec, json_t *new_spec, json_t *fields)
{
	const char *disk = compare_disks(vnode, json_object_get(old_spec, "disk"),
					 json_object_get(new_spec, "disk"));
	enum change_class strongest = disk ? change_class_of(disk) : CHANGE_NONE;

	if (disk && fields)
		json_array_append_new(fields, json_string(disk));
	for (size_t i = 0; i < VN_COUNT(classes); i++)
		if (strcmp(classes[i].field, "disk") != 0)
			compare_key(old_spec, new_spec, classes[i].field, fields, &strongest);
	if (compare_extras(json_object_get(old_spec, "disks"), json_object_get(new_spec, "disks"), fields))
		strongest = CHANGE_RECREATE;
	return strongest;
}
