/* Loading kernel modules without modprobe. A container or a kernel without modules loads none. */
#include "backends/modules.h"

#include <libkmod.h>
#include <stddef.h>

static void
load(struct kmod_ctx *context, const char *name)
{
	struct kmod_list *list = NULL, *item;

	if (kmod_module_new_from_lookup(context, name, &list) < 0)
		return;
	kmod_list_foreach(item, list) {
		struct kmod_module *module = kmod_module_get_module(item);

		kmod_module_probe_insert_module(module, KMOD_PROBE_APPLY_BLACKLIST, NULL, NULL, NULL,
						NULL);
		kmod_module_unref(module);
	}
	kmod_module_unref_list(list);
}

void
modules_load(const char *const *names)
{
	struct kmod_ctx *context = kmod_new(NULL, NULL);

	if (!context)
		return;
	for (; *names; names++)
		load(context, *names);
	kmod_unref(context);
}
