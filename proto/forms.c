/* How strings of the protocol must look; each form also says itself as a regular expression. */
#include "proto/schema.h"

#include <arpa/inet.h>
#include <string.h>

#include "proto/base/ident.h"

#define NAME_PATTERN  "[A-Za-z0-9][A-Za-z0-9_-]{0,62}"
#define LABEL_PATTERN "[A-Za-z0-9]([A-Za-z0-9-]{0,61}[A-Za-z0-9])?"

enum { SHOWN_MAX = 80, DOMAIN_MAX = 253, LABEL_MAX = 63, SHA256_LENGTH = 64 };

static int
check_reference(const char *text, struct vn_error *err)
{
	const char *slash = strchr(text, '/');
	char topology[VN_NAME_MAX + 2] = "";

	if (!slash)
		return vn_name_check(text, err);
	/* One character more than a name may have, so that the check sees it is too long. */
	strncat(topology, text, (size_t)(slash - text) <= VN_NAME_MAX ? (size_t)(slash - text)
								       : VN_NAME_MAX + 1);
	if (vn_name_check(topology, err) < 0 || vn_name_check(slash + 1, err) < 0) {
		vn_error_prefix(err, "expected NAME or TOPOLOGY/NAME");
		return -1;
	}
	return 0;
}

static int
check_cidr(const char *text, struct vn_error *err)
{
	struct vn_cidr ignored;

	return vn_cidr_parse(text, &ignored, err);
}

static int
check_address(const char *text, struct vn_error *err)
{
	unsigned char ignored[16];

	if (inet_pton(AF_INET, text, ignored) == 1 || inet_pton(AF_INET6, text, ignored) == 1)
		return 0;
	return vn_fail(err, VN_E_INVALID,
		       "expected an address such as \"10.0.0.1\" or \"fd00::1\", got \"%.*s\"",
		       SHOWN_MAX, text);
}

static int
check_mac(const char *text, struct vn_error *err)
{
	struct vn_mac ignored;

	return vn_mac_parse(text, &ignored, err);
}

static int
check_sha256(const char *text, struct vn_error *err)
{
	size_t length = strspn(text, "0123456789abcdef");

	if (length == SHA256_LENGTH && text[length] == '\0')
		return 0;
	return vn_fail(err, VN_E_INVALID,
		       "expected a SHA-256 of %d lower-case hexadecimal digits, got \"%.*s\"",
		       SHA256_LENGTH, SHOWN_MAX, text);
}

static int
check_domain(const char *text, struct vn_error *err)
{
	size_t label = 0;
	const char *at;

	for (at = text; at - text <= DOMAIN_MAX; at++) {
		bool is_end = *at == '\0' || *at == '.';

		if (is_end && (label == 0 || label > LABEL_MAX || at[-1] == '-'))
			break;
		if (*at == '\0')
			return 0;
		if (!is_end &&
		    !strchr("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-", *at))
			break;
		if (*at == '-' && label == 0)
			break;
		label = is_end ? 0 : label + 1;
	}
	return vn_fail(err, VN_E_INVALID,
		       "expected a domain name such as \"lab.example.org\", got \"%.*s\"",
		       SHOWN_MAX, text);
}

const struct form form_name = { "name", "^" NAME_PATTERN "$", vn_name_check };
const struct form form_reference = {
	"name or TOPOLOGY/NAME", "^(" NAME_PATTERN "/)?" NAME_PATTERN "$", check_reference
};
const struct form form_interface = {
	"interface name", "^(?!(lo|all|default|\\.|\\.\\.)$)[A-Za-z0-9_.-]{1,15}$", vn_ifname_check
};
const struct form form_cidr = {
	"address with prefix length", "^[0-9A-Fa-f:.]+/[1-9][0-9]{0,2}$", check_cidr
};
const struct form form_address = { "address", "^[0-9A-Fa-f:.]+$", check_address };
const struct form form_mac = { "MAC", "^([0-9A-Fa-f]{2}:){5}[0-9A-Fa-f]{2}$", check_mac };
const struct form form_sha256 = { "SHA-256", "^[0-9a-f]{64}$", check_sha256 };
const struct form form_domain = {
	"domain name", "^" LABEL_PATTERN "(\\." LABEL_PATTERN ")*$", check_domain
};
