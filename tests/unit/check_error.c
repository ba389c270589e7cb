/* The error value: its words and numbers, context before it, and that it is UTF-8 whatever is cut.
 */
#include <check.h>
#include <errno.h>
#include <string.h>

#include "proto/base/error.h"
#include "proto/base/mem.h"
#include "proto/base/utf8.h"
#include "tests/unit/run.h"

static const struct {
	const char *text, *mended;
} texts[] = {
	{ "", "" },
	{ "plain", "plain" },
	{ "caf\xc3\xa9", "caf\xc3\xa9" },
	{ "\xf0\x9f\x92\xa9", "\xf0\x9f\x92\xa9" },
	{ "caf\xc3", "caf?" },
	{ "\xf0\x9f\x92", "???" },
	{ "\xc0\x80", "??" },
	{ "\xe0\x80\x80", "???" },
	{ "\xed\xa0\x80", "???" },
	{ "\xf4\x90\x80\x80", "????" },
	{ "\xff\xfe", "??" },
	{ "\x80""a", "?a" },
	{ "\xc3\xc3\xa9", "?\xc3\xa9" },
};

START_TEST(text_is_mended_to_utf8)
{
	vn_autofree char *copy = vn_strdup(texts[_i].text);

	vn_utf8_mend(copy);
	ck_assert_str_eq(copy, texts[_i].mended);
}
END_TEST

START_TEST(a_text_cut_in_a_character_stays_utf8)
{
	struct vn_error err;
	char again[sizeof(err.text)];
	char accents[1002] = "";

	for (int i = 0; i < 500; i++)
		strcat(accents, "\xc3\xa9");
	ck_assert_int_eq(vn_fail_at(&err, accents, VN_E_INVALID, "%s", accents), -1);
	memcpy(again, err.text, sizeof(again));
	vn_utf8_mend(again);
	ck_assert_str_eq(again, err.text);
	ck_assert_uint_eq(strlen(err.text), sizeof(err.text) - 1);
	memcpy(again, err.path, sizeof(err.path));
	vn_utf8_mend(again);
	ck_assert_str_eq(again, err.path);
}
END_TEST

START_TEST(context_goes_before_text_and_path)
{
	struct vn_error err;

	ck_assert_int_eq(vn_fail_errno(&err, ENOENT, "open '%s'", "x"), -1);
	ck_assert_int_eq(err.code, VN_E_NOT_FOUND);
	ck_assert_int_eq(err.sys, ENOENT);
	vn_error_prefix(&err, "vnode '%s'", "a");
	ck_assert_str_eq(err.text, "vnode 'a': open 'x': No such file or directory");
	vn_fail_at(&err, "/b", VN_E_INVALID, "no");
	vn_error_prefix_path(&err, "/a");
	ck_assert_str_eq(err.path, "/a/b");
	vn_fail_at(&err, err.path, VN_E_INVALID, "again");
	ck_assert_str_eq(err.path, "/a/b");
}
END_TEST

START_TEST(each_code_has_its_word_and_number)
{
	enum vn_code code = (enum vn_code)_i;
	bool is_invalid = code == VN_E_PARSE || code == VN_E_REQUEST || code == VN_E_INVALID;

	ck_assert_str_ne(vn_code_word(code), "ok");
	if (is_invalid)
		ck_assert_int_eq(vn_code_from_word(vn_code_word(code)), VN_E_INVALID);
	else if (code != VN_E_NO_METHOD)
		ck_assert_int_eq(vn_code_from_word(vn_code_word(code)), code);
	ck_assert_int_eq(vn_code_number(code) == -32000, !is_invalid && code != VN_E_NO_METHOD);
}
END_TEST

START_TEST(an_unknown_word_is_internal)
{
	ck_assert_int_eq(vn_code_from_word("no such word"), VN_E_INTERNAL);
}
END_TEST

int
main(void)
{
	TCase *tcase = tcase_create("error");

	tcase_add_loop_test(tcase, text_is_mended_to_utf8, 0, VN_COUNT(texts));
	tcase_add_test(tcase, a_text_cut_in_a_character_stays_utf8);
	tcase_add_test(tcase, context_goes_before_text_and_path);
	tcase_add_loop_test(tcase, each_code_has_its_word_and_number, VN_E_PARSE,
			    VN_E_INTERNAL + 1);
	tcase_add_test(tcase, an_unknown_word_is_internal);
	return run_tcase("error", tcase);
}
