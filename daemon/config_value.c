/*
 * The values of vnoded.conf: what a text must look like for each kind of key, and where it goes. Texts
 * are kept as they were written and only checked; whoever uses one parses it.
 *
 * The surprising one is a member's type: counts are int64_t, all other numbers uint64_t, and each is
 * reached by its offset as an uint64_t, which is as wide, since no value is too large for either.
 */
#include "daemon/config_inner.h"

#include <arpa/inet.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "daemon/log.h"
#include "proto/base/disk_type.h"
#include "proto/base/mem.h"
#include "proto/base/units.h"

const char *const config_kind_words[] = {
	"text", "name", "path", "IPv4 network", "IPv6 network", "networks", "level", "disk type",
	"count", "size", "time", "yes or no",
};

static const char **
text_at(const struct config_key *key, const struct config *config)
{
	return (const char **)(void *)((char *)(uintptr_t)config + key->offset);
}

/* Counts are int64_t, the rest uint64_t; all values fit both. */
static uint64_t *
number_at(const struct config_key *key, const struct config *config)
{
	return (uint64_t *)(void *)((char *)(uintptr_t)config + key->offset);
}

static bool
is_text(const struct config_key *key)
{
	return key->kind <= KIND_DISK;
}

/* spare: bits that the prefix must leave to hosts. */
static int
check_network(const char *text, int family, unsigned spare, struct vn_error *err)
{
	unsigned bits = family == AF_INET ? 32 : 128, prefix;
	unsigned char byte[16];
	char address[INET6_ADDRSTRLEN], rest;
	bool has_host_bits = false;

	if (sscanf(text, "%45[^/]/%3u%c", address, &prefix, &rest) != 2
	    || inet_pton(family, address, byte) != 1 || prefix == 0 || prefix > bits - spare)
		return vn_fail(err, VN_E_INVALID, "expected a network such as \"%s\", "
			       "got \"%.60s\"",
			       family == AF_INET ? "198.18.0.0/16" : "fd12:3456:789a::/64", text);
	for (unsigned bit = prefix; bit < bits; bit++)
		has_host_bits |= byte[bit / 8] >> (7 - bit % 8) & 1;
	if (has_host_bits)
		return vn_fail(err, VN_E_INVALID, "\"%.60s\" is no network: bits behind the "
			       "prefix are set", text);
	return 0;
}

bool
config_next_network(const char **at, char ret[static CONFIG_NETWORK_TEXT])
{
	size_t length;

	*at += strspn(*at, ", \t");
	length = strcspn(*at, ", \t");
	snprintf(ret, CONFIG_NETWORK_TEXT, "%.*s", (int)length, *at);
	*at += length;
	return length > 0;
}

static int
check_networks(const char *text, struct vn_error *err)
{
	char network[CONFIG_NETWORK_TEXT];

	while (config_next_network(&text, network))
		if (check_network(network, strchr(network, ':') ? AF_INET6 : AF_INET, 0, err) < 0)
			return -1;
	return 0;
}

static int
check_text(const struct config_key *key, const char *text, struct vn_error *err)
{
	enum log_level level;

	switch (key->kind) {
	case KIND_NAME:
		return vn_name_check(text, err);
	case KIND_PATH:
		if (*text == '/')
			return 0;
		return vn_fail(err, VN_E_INVALID, "expected a path that begins with \"/\", "
			       "got \"%.60s\"", text);
	case KIND_NETWORK4:
		return check_network(text, AF_INET, 2, err);
	case KIND_NETWORK6:
		return check_network(text, AF_INET6, 2, err);
	case KIND_NETWORKS:
		return check_networks(text, err);
	case KIND_LEVEL:
		if (log_level_find(text, &level))
			return 0;
		return vn_fail(err, VN_E_INVALID, "expected error, warning, info or debug, "
			       "got \"%.60s\"", text);
	case KIND_DISK:
		if (disk_type_find(text) >= 0)
			return 0;
		return vn_fail(err, VN_E_INVALID, "expected a type of disks such as overlay, got "
			       "\"%.60s\"", text);
	case KIND_TEXT: case KIND_COUNT: case KIND_SIZE: case KIND_TIME: case KIND_SWITCH:
		break;
	}
	return *text ? 0 : vn_fail(err, VN_E_INVALID, "expected a text");
}

static int
read_count(const char *text, uint64_t *ret, struct vn_error *err)
{
	char *end;

	if (*text < '0' || *text > '9')
		return vn_fail(err, VN_E_INVALID, "expected a whole number, got \"%.60s\"", text);
	errno = 0;
	*ret = strtoull(text, &end, 10);
	if (*end || errno)
		return vn_fail(err, VN_E_INVALID, "expected a whole number, got \"%.60s\"", text);
	return 0;
}

/* Of SIZE and TIME. */
static enum vn_unit
unit_of(const struct config_key *key)
{
	return key->kind == KIND_SIZE ? VN_UNIT_SIZE : VN_UNIT_TIME;
}

static void
print_number(const struct config_key *key, uint64_t number, char text[static VN_QUANTITY_TEXT])
{
	if (key->kind == KIND_COUNT)
		snprintf(text, VN_QUANTITY_TEXT, "%ju", (uintmax_t)number);
	else
		vn_quantity_print(unit_of(key), number, text);
}

static int
read_switch(const char *text, uint64_t *ret, struct vn_error *err)
{
	if (strcmp(text, "yes") != 0 && strcmp(text, "no") != 0)
		return vn_fail(err, VN_E_INVALID, "expected yes or no, got \"%.60s\"", text);
	*ret = *text == 'y';
	return 0;
}

static int
read_number(const struct config_key *key, const char *text, uint64_t *ret, struct vn_error *err)
{
	char least[VN_QUANTITY_TEXT], most[VN_QUANTITY_TEXT];
	uint64_t number = 0;
	int result = key->kind == KIND_COUNT ? read_count(text, &number, err)
		: vn_quantity_parse(unit_of(key), text, &number, err);

	if (result < 0)
		return -1;
	if (number < key->min || number > key->max) {
		print_number(key, key->min, least);
		print_number(key, key->max, most);
		return vn_fail(err, VN_E_INVALID, "\"%.60s\" lies outside of %s to %s", text,
			       least, most);
	}
	*ret = number;
	return 0;
}

int
config_value_read(struct config *config, const struct config_key *key, const char *text,
		  struct vn_error *err)
{
	if (key->kind == KIND_SWITCH)
		return read_switch(text, number_at(key, config), err);
	if (!is_text(key))
		return read_number(key, text, number_at(key, config), err);
	if (!*text && key->flags & OPTIONAL) {
		*text_at(key, config) = NULL;
		return 0;
	}
	if (check_text(key, text, err) < 0)
		return -1;
	*text_at(key, config) = vn_arena_strdup(&config->arena, text);
	return 0;
}

bool
config_value_is_same(const struct config_key *key, const struct config *a, const struct config *b)
{
	const char *was, *is;

	if (!is_text(key))
		return *number_at(key, a) == *number_at(key, b);
	was = *text_at(key, a);
	is = *text_at(key, b);
	return was && is ? strcmp(was, is) == 0 : was == is;
}

void
config_value_copy(struct config *config, const struct config_key *key, const struct config *from)
{
	if (is_text(key))
		*text_at(key, config) = vn_arena_strdup(&config->arena, *text_at(key, from));
	else
		*number_at(key, config) = *number_at(key, from);
}
