/* Names, uuids, MACs and addresses. Texts are read byte by byte: no locale, no lenient library. */
#include "proto/base/ident.h"

#include <arpa/inet.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

enum { INTERFACE_MAX = 15, SHOWN_MAX = 80 };

static bool
is_alphanumeric(char c)
{
	return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9');
}

static int
hex_value(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	if (c >= 'a' && c <= 'f')
		return c - 'a' + 10;
	if (c >= 'A' && c <= 'F')
		return c - 'A' + 10;
	return -1;
}

/* Says which character of a name is not allowed, printable or not. */
static int
refuse_character(const char *what, const char *text, char c, const char *allowed,
		 struct vn_error *err)
{
	if (c > ' ' && c < 0x7f)
		return vn_fail(err, VN_E_INVALID, "%s \"%.*s\" may not have \"%c\": use %s", what,
			       SHOWN_MAX, text, c, allowed);
	if (c == ' ')
		return vn_fail(err, VN_E_INVALID, "%s \"%.*s\" may not have a space: use %s", what,
			       SHOWN_MAX, text, allowed);
	return vn_fail(err, VN_E_INVALID, "%s may not have the byte 0x%02x: use %s", what,
		       (unsigned char)c, allowed);
}

int
vn_name_check(const char *name, struct vn_error *err)
{
	size_t length = strlen(name);

	if (length == 0)
		return vn_fail(err, VN_E_INVALID, "a name may not be empty");
	if (length > VN_NAME_MAX)
		return vn_fail(err, VN_E_INVALID,
			       "a name has at most %d characters, this one has %zu", VN_NAME_MAX,
			       length);
	if (name[0] == '-' || name[0] == '_')
		return vn_fail(err, VN_E_INVALID,
			       "the name \"%s\" must begin with a letter or digit", name);
	for (const char *at = name; *at; at++)
		if (!is_alphanumeric(*at) && *at != '-' && *at != '_')
			return refuse_character("the name", name, *at, "letters, digits, - and _",
						err);
	return 0;
}

int
vn_ifname_check(const char *name, struct vn_error *err)
{
	static const char *const reserved[] = { ".", "..", "lo", "all", "default" };
	size_t length = strlen(name);

	if (length == 0 || length > INTERFACE_MAX)
		return vn_fail(err, VN_E_INVALID,
			       "an interface name has 1 to %d characters, this one has %zu",
			       INTERFACE_MAX, length);
	/* The kernel keeps "all" and "default" for the sysctls of all interfaces. */
	for (size_t i = 0; i < sizeof(reserved) / sizeof(*reserved); i++)
		if (strcmp(name, reserved[i]) == 0)
			return vn_fail(err, VN_E_INVALID, "an interface may not be named \"%s\"", name);
	for (const char *at = name; *at; at++)
		if (!is_alphanumeric(*at) && !strchr("_.-", *at))
			return refuse_character("the interface name", name, *at,
						"letters, digits, _ . and -", err);
	return 0;
}

void
vn_uuid_new(char text[static VN_UUID_TEXT])
{
	unsigned char byte[16];
	char *at = text;

	if (getrandom(byte, sizeof(byte), 0) != sizeof(byte))
		abort();
	byte[6] = (byte[6] & 0x0f) | 0x40;
	byte[8] = (byte[8] & 0x3f) | 0x80;
	for (int i = 0; i < 16; i++) {
		if (i == 4 || i == 6 || i == 8 || i == 10)
			*at++ = '-';
		at += sprintf(at, "%02x", byte[i]);
	}
}

bool
vn_uuid_is(const char *text)
{
	for (int i = 0; i < VN_UUID_TEXT - 1; i++) {
		bool is_dash = i == 8 || i == 13 || i == 18 || i == 23;

		if (is_dash ? text[i] != '-' : hex_value(text[i]) < 0)
			return false;
	}
	return text[VN_UUID_TEXT - 1] == '\0';
}

void
vn_mac_print(const struct vn_mac *mac, char text[static VN_MAC_TEXT])
{
	snprintf(text, VN_MAC_TEXT, "%02x:%02x:%02x:%02x:%02x:%02x", mac->byte[0], mac->byte[1],
		 mac->byte[2], mac->byte[3], mac->byte[4], mac->byte[5]);
}

int
vn_mac_parse(const char *text, struct vn_mac *ret, struct vn_error *err)
{
	struct vn_mac mac;
	unsigned any = 0;
	const char *at = text;

	for (int i = 0; i < 6; i++, at += 3) {
		int high = hex_value(at[0]);
		int low = high < 0 ? -1 : hex_value(at[1]);

		if (low < 0 || at[2] != (i < 5 ? ':' : '\0'))
			return vn_fail(err, VN_E_INVALID,
				       "expected a MAC such as \"02:00:00:00:00:01\", got \"%.*s\"",
				       SHOWN_MAX, text);
		mac.byte[i] = (uint8_t)(high << 4 | low);
		any |= mac.byte[i];
	}
	if (any == 0)
		return vn_fail(err, VN_E_INVALID, "the MAC \"%s\" is all zero", text);
	if (mac.byte[0] & 1)
		return vn_fail(err, VN_E_INVALID,
			       "the MAC \"%s\" is a group address: its first byte must be even",
			       text);
	*ret = mac;
	return 0;
}

/* Whether bits [from, to) of the address are all zero, or all one. */
static bool
bits_are(const uint8_t *byte, unsigned from, unsigned to, bool one)
{
	for (unsigned i = from; i < to; i++)
		if (((byte[i / 8] >> (7 - i % 8)) & 1) != one)
			return false;
	return true;
}

/* What no interface can have as its address; NULL for a good one. */
static const char *
name_fault(const struct vn_cidr *cidr)
{
	unsigned width = cidr->family == AF_INET ? 32 : 128;
	const uint8_t *byte = cidr->byte;

	if (bits_are(byte, 0, width, false))
		return "the unspecified address";
	if (cidr->family == AF_INET ? byte[0] == 127 : bits_are(byte, 0, 127, false))
		return "a loopback address";
	if (cidr->family == AF_INET ? (byte[0] & 0xf0) == 0xe0 : byte[0] == 0xff)
		return "a multicast address";
	if (cidr->family == AF_INET && bits_are(byte, 0, 32, true))
		return "the broadcast address";
	if (width - cidr->prefix < 2)
		return NULL;
	if (bits_are(byte, cidr->prefix, width, false))
		return "the address of the network itself";
	if (cidr->family == AF_INET && bits_are(byte, cidr->prefix, width, true))
		return "the broadcast address of its network";
	return NULL;
}

/* Reads a prefix length of 1 to `width` without leading zeros; 0 when it is none. */
static unsigned
read_prefix(const char *text, unsigned width)
{
	unsigned value = 0;

	if (*text == '0')
		return 0;
	for (; *text >= '0' && *text <= '9' && value <= width; text++)
		value = value * 10 + (unsigned)(*text - '0');
	return *text == '\0' && value <= width ? value : 0;
}

int
vn_cidr_parse(const char *text, struct vn_cidr *ret, struct vn_error *err)
{
	struct vn_cidr cidr = { .family = strchr(text, ':') ? AF_INET6 : AF_INET };
	unsigned width = cidr.family == AF_INET ? 32 : 128;
	const char *slash = strchr(text, '/');
	char address[INET6_ADDRSTRLEN] = "";
	const char *fault;

	if (slash && (size_t)(slash - text) < sizeof(address))
		memcpy(address, text, (size_t)(slash - text));
	if (!slash && strlen(text) < sizeof(address) &&
	    inet_pton(cidr.family, text, cidr.byte) == 1)
		return vn_fail(err, VN_E_INVALID,
			       "\"%s\" lacks its prefix length: write it as \"%s/%d\"", text, text,
			       cidr.family == AF_INET ? 24 : 64);
	if (inet_pton(cidr.family, address, cidr.byte) != 1)
		return vn_fail(
			err, VN_E_INVALID,
			"expected an address with prefix such as \"10.1.0.1/24\", got \"%.*s\"",
			SHOWN_MAX, text);
	cidr.prefix = (uint8_t)read_prefix(slash + 1, width);
	if (cidr.prefix == 0)
		return vn_fail(err, VN_E_INVALID, "the prefix length of \"%.*s\" is not 1 to %u",
			       SHOWN_MAX, text, width);
	fault = name_fault(&cidr);
	if (fault)
		return vn_fail(err, VN_E_INVALID, "\"%s\" is %s: no interface can have it", text,
			       fault);
	*ret = cidr;
	return 0;
}

void
vn_cidr_print_address(const struct vn_cidr *cidr, char text[static INET6_ADDRSTRLEN])
{
	if (!inet_ntop(cidr->family, cidr->byte, text, INET6_ADDRSTRLEN))
		text[0] = '\0';
}

void
vn_cidr_print(const struct vn_cidr *cidr, char text[static VN_CIDR_TEXT])
{
	size_t used;

	vn_cidr_print_address(cidr, text);
	used = strlen(text);
	snprintf(text + used, VN_CIDR_TEXT - used, "/%u", cidr->prefix);
}

bool
vn_cidr_overlap(const struct vn_cidr *a, const struct vn_cidr *b)
{
	unsigned shared = a->prefix < b->prefix ? a->prefix : b->prefix;

	if (a->family != b->family)
		return false;
	if (memcmp(a->byte, b->byte, shared / 8) != 0)
		return false;
	return shared % 8 == 0 ||
	       (a->byte[shared / 8] ^ b->byte[shared / 8]) >> (8 - shared % 8) == 0;
}

bool
vn_cidr_same_address(const struct vn_cidr *a, const struct vn_cidr *b)
{
	return a->family == b->family &&
	       memcmp(a->byte, b->byte, a->family == AF_INET ? 4 : 16) == 0;
}
