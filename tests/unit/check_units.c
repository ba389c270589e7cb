/* Quantities: what is read, what is refused, and that writing and reading are inverse. */
#include <check.h>
#include <string.h>

#include "proto/base/mem.h"
#include "proto/base/units.h"
#include "tests/unit/run.h"

static const struct {
	enum vn_unit unit;
	const char *text;
	uint64_t value;
	const char *canonical;
} good[] = {
	{ VN_UNIT_SIZE, "0B", 0, "0B" },
	{ VN_UNIT_SIZE, "64MiB", 64ULL << 20, "64MiB" },
	{ VN_UNIT_SIZE, "064MiB", 64ULL << 20, "64MiB" },
	{ VN_UNIT_SIZE, "1.5GiB", 3ULL << 29, "1536MiB" },
	{ VN_UNIT_SIZE, "1.50GiB", 3ULL << 29, "1536MiB" },
	{ VN_UNIT_SIZE, "1500B", 1500, "1500B" },
	{ VN_UNIT_SIZE, "2.0B", 2, "2B" },
	{ VN_UNIT_SIZE, "1024KiB", 1 << 20, "1MiB" },
	{ VN_UNIT_SIZE, "18446744073709551615B", UINT64_MAX, "18446744073709551615B" },
	{ VN_UNIT_SIZE, "16777215TiB", 16777215ULL << 40, "16777215TiB" },
	{ VN_UNIT_SIZE, "0.000000000931322574615478515625TiB", 1024,
	  NULL }, /* 30 digits: refused */
	{ VN_UNIT_TIME, "250us", 250000, "250us" },
	{ VN_UNIT_TIME, "0.25ms", 250000, "250us" },
	{ VN_UNIT_TIME, "10s", 10000000000, "10s" },
	{ VN_UNIT_TIME, "0.000000001s", 1, "1ns" },
	{ VN_UNIT_RATE, "10Mbit", 10000000, "10Mbit" },
	{ VN_UNIT_RATE, "1.5kbit", 1500, "1500bit" },
	{ VN_UNIT_RATE, "100Gbit", 100000000000, "100Gbit" },
};

START_TEST(a_quantity_is_read_exactly_and_written_canonically)
{
	char text[VN_QUANTITY_TEXT];
	struct vn_error err = { 0 };
	uint64_t value = 0;

	if (!good[_i].canonical) {
		ck_assert_int_eq(vn_quantity_parse(good[_i].unit, good[_i].text, &value, &err), -1);
		return;
	}
	ck_assert_int_eq(vn_quantity_parse(good[_i].unit, good[_i].text, &value, &err), 0);
	ck_assert_uint_eq(value, good[_i].value);
	vn_quantity_print(good[_i].unit, value, text);
	ck_assert_str_eq(text, good[_i].canonical);
	ck_assert_int_eq(vn_quantity_parse(good[_i].unit, text, &value, &err), 0);
	ck_assert_uint_eq(value, good[_i].value);
}
END_TEST

static const struct {
	enum vn_unit unit;
	const char *text;
	const char *says;
} bad[] = {
	{ VN_UNIT_SIZE, "64", "lacks its unit" },
	{ VN_UNIT_SIZE, "", "expected a size" },
	{ VN_UNIT_SIZE, "MiB", "expected a size" },
	{ VN_UNIT_SIZE, "64 MiB", "B KiB MiB GiB TiB" },
	{ VN_UNIT_SIZE, "64MB", "B KiB MiB GiB TiB" },
	{ VN_UNIT_SIZE, "64mib", "B KiB MiB GiB TiB" },
	{ VN_UNIT_SIZE, "64MiBx", "expected a size" },
	{ VN_UNIT_SIZE, "-1MiB", "expected a size" },
	{ VN_UNIT_SIZE, "+1MiB", "expected a size" },
	{ VN_UNIT_SIZE, "1e3B", "expected a size" },
	{ VN_UNIT_SIZE, ".5MiB", "expected a size" },
	{ VN_UNIT_SIZE, "1.MiB", "expected a size" },
	{ VN_UNIT_SIZE, "1.2.3MiB", "expected a size" },
	{ VN_UNIT_SIZE, "0x10MiB", "expected a size" },
	{ VN_UNIT_SIZE, "1,5GiB", "expected a size" },
	{ VN_UNIT_SIZE, "0.5B", "not a whole number of bytes" },
	{ VN_UNIT_SIZE, "1.0001KiB", "not a whole number of bytes" },
	{ VN_UNIT_SIZE, "18446744073709551616B", "too large" },
	{ VN_UNIT_SIZE, "16777216TiB", "too large" },
	{ VN_UNIT_SIZE, "99999999999999999999999999999999999999999999999999B", "too large" },
	{ VN_UNIT_TIME, "0.1ns", "not a whole number of nanoseconds" },
	{ VN_UNIT_TIME, "5", "lacks its unit" },
	{ VN_UNIT_TIME, "5m", "ns us ms s" },
	{ VN_UNIT_RATE, "10mbit", "bit kbit Mbit Gbit" },
	{ VN_UNIT_RATE, "10Mbps", "bit kbit Mbit Gbit" },
	{ VN_UNIT_RATE, "1MiB", "bit kbit Mbit Gbit" },
};

START_TEST(a_malformed_quantity_is_refused_with_a_reason)
{
	struct vn_error err = { 0 };
	uint64_t value = 77;

	ck_assert_int_eq(vn_quantity_parse(bad[_i].unit, bad[_i].text, &value, &err), -1);
	ck_assert_int_eq(err.code, VN_E_INVALID);
	ck_assert_msg(strstr(err.text, bad[_i].says), "'%s' lacks '%s'", err.text, bad[_i].says);
	ck_assert_uint_eq(value, 77);
}
END_TEST

START_TEST(random_values_survive_being_written_and_read)
{
	uint64_t value = 1;

	for (int i = 0; i < 20000; i++) {
		enum vn_unit unit = (enum vn_unit)(i % 3);
		char text[VN_QUANTITY_TEXT];
		struct vn_error err = { 0 };
		uint64_t again = 0;

		value = value * 6364136223846793005ULL + 1442695040888963407ULL;
		vn_quantity_print(unit, value >> (i % 64), text);
		ck_assert_int_eq(vn_quantity_parse(unit, text, &again, &err), 0);
		ck_assert_uint_eq(again, value >> (i % 64));
	}
}
END_TEST

static const struct {
	const char *text;
	double value;
	const char *canonical;
} probabilities[] = {
	{ "0%", 0, "0%" },           { "100%", 1, "100%" },       { "0.1%", 0.001, "0.1%" },
	{ "0.10%", 0.001, "0.1%" },  { "1%", 0.01, "1%" },        { "12.5%", 0.125, "12.5%" },
	{ "33.3%", 0.333, "33.3%" }, { "0.000001%", 1e-8, "0.000001%" },
};

START_TEST(a_probability_is_read_and_written)
{
	char text[VN_QUANTITY_TEXT];
	struct vn_error err = { 0 };
	double value = -1;

	ck_assert_int_eq(vn_probability_parse(probabilities[_i].text, &value, &err), 0);
	ck_assert_double_eq(value, probabilities[_i].value);
	vn_probability_print(value, text);
	ck_assert_str_eq(text, probabilities[_i].canonical);
}
END_TEST

static const char *const bad_probabilities[] = {
	"", "%", "0.1", "101%", "100.1%", "-1%", "1e1%", "0.1 %", "nan%", "0.0000000000001%", "1%%",
};

START_TEST(a_malformed_probability_is_refused)
{
	struct vn_error err = { 0 };
	double value = 0;

	ck_assert_int_eq(vn_probability_parse(bad_probabilities[_i], &value, &err), -1);
	ck_assert_int_eq(err.code, VN_E_INVALID);
	ck_assert(err.text[0] != '\0');
}
END_TEST

START_TEST(each_probability_with_four_digits_reads_back)
{
	for (int i = 0; i <= 10000; i++) {
		char text[VN_QUANTITY_TEXT];
		struct vn_error err = { 0 };
		double value = -1;

		vn_probability_print(i / 10000.0, text);
		ck_assert_int_eq(vn_probability_parse(text, &value, &err), 0);
		ck_assert_double_eq(value, i / 10000.0);
	}
}
END_TEST

int
main(void)
{
	TCase *tcase = tcase_create("units");

	tcase_add_loop_test(tcase, a_quantity_is_read_exactly_and_written_canonically, 0,
			    VN_COUNT(good));
	tcase_add_loop_test(tcase, a_malformed_quantity_is_refused_with_a_reason, 0, VN_COUNT(bad));
	tcase_add_test(tcase, random_values_survive_being_written_and_read);
	tcase_add_loop_test(tcase, a_probability_is_read_and_written, 0, VN_COUNT(probabilities));
	tcase_add_loop_test(tcase, a_malformed_probability_is_refused, 0,
			    VN_COUNT(bad_probabilities));
	tcase_add_test(tcase, each_probability_with_four_digits_reads_back);
	return run_tcase("units", tcase);
}
