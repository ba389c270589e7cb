/*
 * Entries of a schedule stay JSON from the file to the database and back, so that an export shows what was
 * written; the table here says what they may hold and is what `rpc.discover` prints.
 */
#include "proto/schedule.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "proto/base/mem.h"
#include "proto/shape.h"

#define YEARS_NS (100ll * 365 * 24 * 3600 * 1000000000)
#define AT(type, member) .offset = offsetof(struct type, member)

/* ---- times ---- */

/* "2030-01-01T00:00:00Z", with a fraction of a second of up to six digits. */
static bool
read_time(const char *text, int64_t *ret_us)
{
	struct tm tm = { 0 };
	int64_t us = 0, scale = 100000;
	const char *end;
	time_t seconds;
	int day;

	/* strptime takes blanks and signs where RFC 3339 does not */
	for (const char *at = text; *at; at++)
		if (!strchr("0123456789-:TZ.", *at))
			return false;
	end = strlen(text) < 20 ? NULL : strptime(text, "%Y-%m-%dT%H:%M:%S", &tm);
	if (!end || end != text + 19 || tm.tm_sec > 59)
		return false;
	if (*end == '.') {
		if (end[1] < '0' || end[1] > '9')
			return false;
		for (end++; *end >= '0' && *end <= '9'; end++, scale /= 10)
			us += (*end - '0') * scale;
	}
	if (strcmp(end, "Z") != 0)
		return false;
	day = tm.tm_mday;
	seconds = timegm(&tm);
	if (tm.tm_mday != day)
		return false;		/* 30 February */
	*ret_us = (int64_t)seconds * 1000000 + us;
	return true;
}

static int
check_time(const char *text, struct vn_error *err)
{
	int64_t ignored;

	if (read_time(text, &ignored))
		return 0;
	return vn_fail(err, VN_E_INVALID, "expected a time in UTC such as \"2030-01-01T00:00:00Z\", "
		       "got \"%.40s\"", text);
}

static const struct form form_time = {
	"RFC 3339 time in UTC",
	"^[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}(\\.[0-9]+)?Z$", check_time
};

/* ---- tables ---- */

static const struct field entry_shape_fields[] = {
	{ "to", "fields of the shape of what it sends that change; null: the LAN's again", FIELD_JSON, 0,
	  AT(doc_entry_shape, to), .fields = doc_shape_fields },
	{ "from", "fields of the shape of what it is sent that change; null: not shaped", FIELD_JSON, 0,
	  AT(doc_entry_shape, from), .fields = doc_shape_fields },
	{ 0 }
};

static const struct field entry_member_fields[] = {
	{ "shape", "how its traffic is shaped from then on", FIELD_STRUCT, 0, AT(doc_entry_member, shape),
	  .fields = entry_shape_fields, .size = sizeof(struct doc_entry_shape) },
	{ "up", "whether it has its carrier from then on", FIELD_BOOL, 0, AT(doc_entry_member, up) },
	{ 0 }
};

const struct field doc_entry_fields[] = {
	{ "after", "how long after the schedule came into force", FIELD_TIME, 0, AT(doc_entry, after_ns),
	  0, YEARS_NS },
	{ "at", "or when, in UTC", FIELD_STRING, 0, AT(doc_entry, at), .form = &form_time },
	{ "shape", "fields of the LAN's shape that change; null takes one, or all, away", FIELD_JSON, 0,
	  AT(doc_entry, shape), .fields = doc_shape_fields },
	{ "members", "what changes of members, by vnode", FIELD_MAP, 0, AT(doc_entry, members),
	  .form = &form_name, .fields = entry_member_fields, .size = sizeof(struct doc_entry_member) },
	{ "up", "whether all members have their carrier from then on", FIELD_BOOL, 0, AT(doc_entry, up) },
	{ 0 }
};

/* ---- checks ---- */

/* Fields of a shape that change; null, inside or instead, is fine. */
static int
check_shape(json_t *object, const char *key, struct vn_error *err)
{
	json_t *change = json_object_get(object, key);
	vn_autoarena arena = { 0 };
	struct doc_shape ignored = { 0 };
	vn_autofree char *path = vn_format("/%s", key);

	if (schema_decode(doc_shape_fields, change, &arena, &ignored, err) == 0)
		return 0;
	vn_error_prefix_path(err, path);
	return -1;
}

static int
check_member(json_t *change, const char *name, json_t *members, bool is_link, struct vn_error *err)
{
	json_t *shape = json_object_get(change, "shape"), *from = json_object_get(shape, "from");

	if (!json_object_get(members, name))
		return vn_fail(err, VN_E_INVALID, "vnode \"%s\" is no member of the LAN", name);
	if (!json_is_boolean(json_object_get(change, "up")) && !json_object_size(shape))
		return vn_fail(err, VN_E_INVALID, "an entry without a change: give \"shape\" or \"up\"");
	if (is_link && from && !json_is_null(from))
		return vn_fail_at(err, "/shape/from", VN_E_INVALID,
				  "a link has two members: use the other member's \"to\"");
	if (check_shape(shape, "to", err) == 0 && check_shape(shape, "from", err) == 0)
		return 0;
	vn_error_prefix_path(err, "/shape");
	return -1;
}

static int
check_members(json_t *changes, json_t *members, bool is_link, struct vn_error *err)
{
	const char *name;
	json_t *change;

	json_object_foreach(changes, name, change)
		if (check_member(change, name, members, is_link, err) < 0) {
			vn_autofree char *path = vn_format("/members/%s", name);

			vn_error_prefix_path(err, path);
			return -1;
		}
	return 0;
}

static bool
is_given(json_t *entry, const char *key)
{
	json_t *value = json_object_get(entry, key);

	return value && !json_is_null(value);
}

static int
check_entry(json_t *entry, json_t *members, bool is_link, struct vn_error *err)
{
	vn_autoarena arena = { 0 };
	struct doc_entry ignored = { 0 };

	if (!json_is_object(entry))
		return vn_fail(err, VN_E_INVALID, "expected an object");
	if (schema_decode(doc_entry_fields, entry, &arena, &ignored, err) < 0)
		return -1;
	if (is_given(entry, "after") == is_given(entry, "at"))
		return vn_fail_at(err, is_given(entry, "at") ? "/at" : "", VN_E_INVALID,
				  "give either \"after\" or \"at\"");
	if (!json_object_get(entry, "shape") && !is_given(entry, "up") &&
	    !json_object_size(json_object_get(entry, "members")))
		return vn_fail(err, VN_E_INVALID, "an entry without a change: give \"shape\", "
			       "\"members\" or \"up\"");
	if (check_shape(entry, "shape", err) < 0)
		return -1;
	return check_members(json_object_get(entry, "members"), members, is_link, err);
}

int
doc_schedule_check(json_t *list, json_t *members, bool is_link, struct vn_error *err)
{
	json_t *entry;
	size_t i;

	if (list && !json_is_null(list) && !json_is_array(list))
		return vn_fail(err, VN_E_INVALID, "expected an array");
	if (json_array_size(list) > SCHEDULE_MAX)
		return vn_fail(err, VN_E_INVALID, "expected at most %d entries, got %zu", SCHEDULE_MAX,
			       json_array_size(list));
	json_array_foreach(list, i, entry)
		if (check_entry(entry, members, is_link, err) < 0) {
			vn_autofree char *path = vn_format("/%zu", i);

			vn_error_prefix_path(err, path);
			return -1;
		}
	return 0;
}

int64_t
doc_entry_due(json_t *entry, int64_t now_us)
{
	const char *at = json_string_value(json_object_get(entry, "at"));
	const char *after = json_string_value(json_object_get(entry, "after"));
	struct vn_error err;
	uint64_t ns = 0;
	int64_t us = now_us;

	if (at && !read_time(at, &us))
		abort();		/* checked when it came in */
	if (after && vn_quantity_parse(VN_UNIT_TIME, after, &ns, &err) < 0)
		abort();
	return us + (int64_t)(ns / 1000);
}
