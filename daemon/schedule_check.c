/*
 * What a schedule may not ask of a host. The changes are tried in the order in which they are due, each upon
 * what those before it leave, so that a contradiction is refused when it is written and not when it is due.
 */
#include "daemon/schedule.h"

#include <stdlib.h>

#include "daemon/shaping.h"

struct moment {
	size_t index;
	int64_t at_us;
};

static int
compare(const void *a, const void *b)
{
	const struct moment *x = a, *y = b;

	if (x->at_us != y->at_us)
		return x->at_us < y->at_us ? -1 : 1;
	return x->index < y->index ? -1 : x->index > y->index;
}

/* Whether the LAN has this very entry already: then its date may be over. */
static bool
is_known(const struct lan *lan, json_t *given)
{
	for (size_t i = 0; lan && lan->schedule && i < lan->schedule->count; i++)
		if (json_equal(lan->schedule->entries[i].given, given))
			return true;
	return false;
}

static int
try_entry(struct daemon *daemon, const struct lan *lan, const char *name, json_t *shaping, json_t *entry,
	  const struct moment *moment, struct vn_error *err)
{
	vn_autofree char *path = vn_format("/%zu", moment->index);
	int status = 0;

	if (json_object_get(entry, "at") && moment->at_us <= loop_wall_us(daemon->loop) &&
	    !is_known(lan, entry))
		status = vn_fail_at(err, "/at", VN_E_INVALID, "%s is over", json_string_value(
				    json_object_get(entry, "at")));
	if (status == 0)
		status = shaping_change(daemon, name, shaping, entry, "shape", err);
	if (status < 0)
		vn_error_prefix_path(err, path);
	return status;
}

int
schedule_check(struct daemon *daemon, const struct lan *lan, const char *name, json_t *shaping,
	       json_t *list, struct vn_error *err)
{
	size_t count = json_array_size(list);
	struct moment *moments = vn_alloc_array(count + 1, sizeof(*moments));
	json_t *tried = json_deep_copy(shaping);
	int64_t now_us = loop_wall_us(daemon->loop);
	int status = 0;

	for (size_t i = 0; i < count; i++)
		moments[i] = (struct moment){ i, doc_entry_due(json_array_get(list, i), now_us) };
	qsort(moments, count, sizeof(*moments), compare);
	for (size_t i = 0; i < count && status == 0; i++)
		status = try_entry(daemon, lan, name, tried, json_array_get(list, moments[i].index),
				   &moments[i], err);
	json_decref(tried);
	free(moments);
	return status;
}
