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
	{ "image",      CHANGE_RECREATE, "a fresh disk; refused without allow_recreate" },
	{ "backend",    CHANGE_RECREATE, "refused: destroy the vnode and create it anew" },
	{ "control",    CHANGE_RECREATE, "refused: destroy the vnode and create it anew" },
	{ "privileged", CHANGE_RECREATE, "refused: destroy the vnode and create it anew" },
};

enum change_class
change_class_of(const char *field)
{
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

enum change_class
change_compare(json_t *old_spec, json_t *new_spec, json_t *fields)
{
	enum change_class strongest = CHANGE_NONE;

	for (size_t i = 0; i < VN_COUNT(classes); i++)
		compare_key(old_spec, new_spec, classes[i].field, fields, &strongest);
	return strongest;
}
