/* Names, uuids, MACs and addresses: what passes, what is refused, with which words. */
#include <check.h>
#include <string.h>
#include <strings.h>
#include <sys/socket.h>

#include "proto/base/ident.h"
#include "proto/base/mem.h"
#include "tests/unit/run.h"

#define X63 "a23456789012345678901234567890123456789012345678901234567890123"

static const struct {
	const char *text;
	const char *says;	/* NULL: passes */
} names[] = {
	{ "a", NULL },         { "9", NULL },
	{ "Node-1_x", NULL },  { X63, NULL },
	{ "", "empty" },       { X63 "4", "at most 63" },
	{ "-a", "begin with" }, { "_a", "begin with" },
	{ "a b", "a space" },  { "a/b", "\"/\"" },
	{ "../x", "\".\"" },   { "a.b", "\".\"" },
	{ "a\n", "0x0a" },     { "\xc3\xa4", "0xc3" },
	{ "a:b", "\":\"" },
};

START_TEST(a_name_passes_or_its_fault_is_named)
{
	struct vn_error err = { 0 };
	int result = vn_name_check(names[_i].text, &err);

	ck_assert_int_eq(result, names[_i].says ? -1 : 0);
	if (names[_i].says) {
		ck_assert_int_eq(err.code, VN_E_INVALID);
		ck_assert_msg(strstr(err.text, names[_i].says), "%s", err.text);
	}
}
END_TEST

static const struct {
	const char *text;
	bool passes;
} interfaces[] = {
	{ "eth0", true },  { "eth1.100", true }, { "a23456789012345", true }, { "br-x_1", true },
	{ "", false },     { "lo", false },      { ".", false },              { "..", false },
	{ "a/b", false },  { "a b", false },     { "a234567890123456", false }, { "eth%d", false },
	{ "a:1", false },  { "all", false },     { "default", false },
};

START_TEST(an_interface_name_passes_or_not)
{
	struct vn_error err = { 0 };

	ck_assert_int_eq(vn_ifname_check(interfaces[_i].text, &err),
			 interfaces[_i].passes ? 0 : -1);
}
END_TEST

START_TEST(new_uuids_are_uuids_and_differ)
{
	char first[VN_UUID_TEXT], second[VN_UUID_TEXT];

	vn_uuid_new(first);
	vn_uuid_new(second);
	ck_assert(vn_uuid_is(first));
	ck_assert(vn_uuid_is(second));
	ck_assert_str_ne(first, second);
	ck_assert_int_eq(first[14], '4');
	ck_assert(strchr("89ab", first[19]));
}
END_TEST

static const char *const no_uuids[] = {
	"", "x", "00000000-0000-0000-0000-00000000000", "00000000-0000-0000-0000-0000000000000",
	"00000000+0000-0000-0000-000000000000", "g0000000-0000-0000-0000-000000000000",
	"000000000000-0000-0000-000000000000-",
};

START_TEST(other_texts_are_no_uuids)
{
	ck_assert(!vn_uuid_is(no_uuids[_i]));
}
END_TEST

static const struct {
	const char *text;
	const char *says;
} macs[] = {
	{ "02:00:00:00:00:01", NULL },
	{ "aa:bb:cc:dd:ee:0f", NULL },
	{ "AA:BB:CC:DD:EE:0F", NULL },
	{ "00:00:00:00:00:00", "all zero" },
	{ "01:00:5e:00:00:01", "group" },
	{ "ff:ff:ff:ff:ff:ff", "group" },
	{ "", "expected a MAC" },
	{ "02:00:00:00:00", "expected a MAC" },
	{ "02:00:00:00:00:", "expected a MAC" },
	{ "02:00:00:00:00:1", "expected a MAC" },
	{ "02:00:00:00:00:01:", "expected a MAC" },
	{ "02-00-00-00-00-01", "expected a MAC" },
	{ "0200.0000.0001", "expected a MAC" },
	{ "02:00:00:00:00:g1", "expected a MAC" },
};

START_TEST(a_mac_is_read_back_or_its_fault_is_named)
{
	struct vn_error err = { 0 };
	struct vn_mac mac = { { 0 } };
	char text[VN_MAC_TEXT];

	ck_assert_int_eq(vn_mac_parse(macs[_i].text, &mac, &err), macs[_i].says ? -1 : 0);
	if (macs[_i].says) {
		ck_assert_msg(strstr(err.text, macs[_i].says), "%s", err.text);
	} else {
		vn_mac_print(&mac, text);
		ck_assert(strcasecmp(text, macs[_i].text) == 0);
	}
}
END_TEST

static const struct {
	const char *text;
	const char *says;
} cidrs[] = {
	{ "10.1.0.1/24", NULL },
	{ "10.1.0.0/31", NULL },
	{ "10.1.0.1/31", NULL },
	{ "10.1.0.0/32", NULL },
	{ "fd01::2/64", NULL },
	{ "fd01::/127", NULL },
	{ "fe80::1/10", NULL },
	{ "fd01::2/128", NULL },
	{ "10.1.0.1", "write it as \"10.1.0.1/24\"" },
	{ "fd01::2", "write it as \"fd01::2/64\"" },
	{ "", "expected an address" },
	{ "/24", "expected an address" },
	{ "10.1.0/24", "expected an address" },
	{ "10.1.0.256/24", "expected an address" },
	{ "10.1.0.01/24", "expected an address" },
	{ "10.1.0.1 /24", "expected an address" },
	{ "fd01:::2/64", "expected an address" },
	{ "host/24", "expected an address" },
	{ "10.1.0.1/33", "not 1 to 32" },
	{ "10.1.0.1/0", "not 1 to 32" },
	{ "10.1.0.1/", "not 1 to 32" },
	{ "10.1.0.1/024", "not 1 to 32" },
	{ "10.1.0.1/-1", "not 1 to 32" },
	{ "10.1.0.1/24/24", "not 1 to 32" },
	{ "10.1.0.1/99999999999", "not 1 to 32" },
	{ "fd01::2/129", "not 1 to 128" },
	{ "10.1.0.0/24", "network itself" },
	{ "10.1.0.255/24", "broadcast" },
	{ "255.255.255.255/32", "broadcast" },
	{ "fd01::/64", "network itself" },
	{ "127.0.0.1/8", "loopback" },
	{ "::1/128", "loopback" },
	{ "224.0.0.1/4", "multicast" },
	{ "ff02::1/64", "multicast" },
	{ "0.0.0.0/8", "unspecified" },
	{ "::/64", "unspecified" },
};

START_TEST(an_address_is_read_back_or_its_fault_is_named)
{
	struct vn_error err = { 0 };
	struct vn_cidr cidr = { 0 };
	char text[VN_CIDR_TEXT];

	ck_assert_int_eq(vn_cidr_parse(cidrs[_i].text, &cidr, &err), cidrs[_i].says ? -1 : 0);
	if (cidrs[_i].says) {
		ck_assert_int_eq(err.code, VN_E_INVALID);
		ck_assert_msg(strstr(err.text, cidrs[_i].says), "%s", err.text);
	} else {
		vn_cidr_print(&cidr, text);
		ck_assert_str_eq(text, cidrs[_i].text);
	}
}
END_TEST

static const struct {
	const char *a, *b;
	bool overlap, same;
} pairs[] = {
	{ "10.1.0.1/24", "10.1.0.2/24", true, false },
	{ "10.1.0.1/24", "10.1.0.1/16", true, true },
	{ "10.1.0.1/24", "10.1.1.1/24", false, false },
	{ "10.1.0.1/23", "10.1.1.1/24", true, false },
	{ "10.1.0.1/17", "10.1.128.1/17", false, false },
	{ "10.1.0.1/24", "fd01::1/64", false, false },
	{ "fd01::1/64", "fd01::ffff:1/64", true, false },
	{ "fd01::1/128", "fd01::1/64", true, true },
};

START_TEST(networks_overlap_or_not_either_way_round)
{
	struct vn_error err = { 0 };
	struct vn_cidr a, b;

	ck_assert_int_eq(vn_cidr_parse(pairs[_i].a, &a, &err), 0);
	ck_assert_int_eq(vn_cidr_parse(pairs[_i].b, &b, &err), 0);
	ck_assert_int_eq(vn_cidr_overlap(&a, &b), pairs[_i].overlap);
	ck_assert_int_eq(vn_cidr_overlap(&b, &a), pairs[_i].overlap);
	ck_assert_int_eq(vn_cidr_same_address(&a, &b), pairs[_i].same);
}
END_TEST

int
main(void)
{
	TCase *tcase = tcase_create("ident");

	tcase_add_loop_test(tcase, a_name_passes_or_its_fault_is_named, 0, VN_COUNT(names));
	tcase_add_loop_test(tcase, an_interface_name_passes_or_not, 0, VN_COUNT(interfaces));
	tcase_add_test(tcase, new_uuids_are_uuids_and_differ);
	tcase_add_loop_test(tcase, other_texts_are_no_uuids, 0, VN_COUNT(no_uuids));
	tcase_add_loop_test(tcase, a_mac_is_read_back_or_its_fault_is_named, 0, VN_COUNT(macs));
	tcase_add_loop_test(tcase, an_address_is_read_back_or_its_fault_is_named, 0,
			    VN_COUNT(cidrs));
	tcase_add_loop_test(tcase, networks_overlap_or_not_either_way_round, 0, VN_COUNT(pairs));
	return run_tcase("ident", tcase);
}
