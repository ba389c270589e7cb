/* Lists of differences. A pair of values that are the same leaves no trace. */
#include "backends/difference.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

const char *const checked_words[] = {
	"ports", "qdiscs", "addresses", "routes", "forwards", "mounts", "domains", NULL
};

void
differences_fini(struct differences *list)
{
	for (size_t i = 0; i < list->count; i++) {
		json_decref(list->items[i].wanted);
		json_decref(list->items[i].found);
	}
	free(list->items);
	*list = (struct differences){ 0 };
}

static struct difference *
append(struct differences *list)
{
	if (list->count == list->room) {
		list->room = list->room ? 2 * list->room : 16;
		list->items = vn_realloc_array(list->items, list->room, sizeof(*list->items));
	}
	return &list->items[list->count++];
}

void
differences_move(struct differences *to, struct differences *from)
{
	for (size_t i = 0; i < from->count; i++)
		*append(to) = from->items[i];
	for (unsigned i = 0; i < CHECKED_COUNT; i++)
		to->checked[i] += from->checked[i];
	free(from->items);
	*from = (struct differences){ 0 };
}

struct difference_about
difference_about(const char *kind, int64_t vmid, unsigned index, int64_t lan, const char *format, ...)
{
	struct difference_about about = { .kind = kind, .vmid = vmid, .index = index, .lan = lan };
	va_list args;

	va_start(args, format);
	vsnprintf(about.object, sizeof(about.object), format, args);
	va_end(args);
	return about;
}

struct difference *
difference_add(struct differences *list, const struct difference_about *about, const char *field,
	       VN_TAKES json_t *wanted, VN_TAKES json_t *found)
{
	struct difference *difference = append(list);

	*difference = (struct difference){ .about = *about, .field = field, .wanted = wanted,
					   .found = found };
	return difference;
}

struct difference *
difference_surplus(struct differences *list, const struct difference_about *about)
{
	struct difference *difference = difference_add(list, about, "exists", json_false(), json_true());

	difference->surplus = true;
	return difference;
}

bool
difference_number(struct differences *list, const struct difference_about *about, const char *field,
		  uint64_t wanted, uint64_t found)
{
	if (wanted != found)
		difference_add(list, about, field, json_integer((json_int_t)wanted),
			       json_integer((json_int_t)found));
	return wanted == found;
}

bool
difference_flag(struct differences *list, const struct difference_about *about, const char *field,
		bool wanted, bool found)
{
	if (wanted != found)
		difference_add(list, about, field, json_boolean(wanted), json_boolean(found));
	return wanted == found;
}

static json_t *
text_json(const char *text)
{
	return text ? json_string(text) : NULL;
}

bool
difference_text(struct differences *list, const struct difference_about *about, const char *field,
		const char *wanted, const char *found)
{
	if (wanted == found || (wanted && found && strcmp(wanted, found) == 0))
		return true;
	difference_add(list, about, field, text_json(wanted), text_json(found));
	return false;
}

bool
difference_mac(struct differences *list, const struct difference_about *about, const char *field,
	       const struct vn_mac *wanted, const struct vn_mac *found)
{
	char one[VN_MAC_TEXT], other[VN_MAC_TEXT];

	vn_mac_print(wanted, one);
	vn_mac_print(found, other);
	return difference_text(list, about, field, one, other);
}

static bool
has_address(const struct vn_cidr *list, size_t count, const struct vn_cidr *one)
{
	for (size_t i = 0; i < count; i++)
		if (list[i].prefix == one->prefix && vn_cidr_same_address(&list[i], one))
			return true;
	return false;
}

void
difference_addresses(struct differences *list, const struct difference_about *about,
		     const struct vn_cidr *wanted, size_t n_wanted, const struct vn_cidr *found,
		     size_t n_found)
{
	char text[VN_CIDR_TEXT];

	list->checked[CHECKED_ADDRESSES] += (unsigned)n_wanted;
	for (size_t i = 0; i < n_wanted; i++)
		if (!has_address(found, n_found, &wanted[i])) {
			vn_cidr_print(&wanted[i], text);
			difference_text(list, about, "address", text, NULL);
		}
	for (size_t i = 0; i < n_found; i++)
		if (!has_address(wanted, n_wanted, &found[i])) {
			vn_cidr_print(&found[i], text);
			difference_text(list, about, "address", NULL, text);
		}
}
