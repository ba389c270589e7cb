/* The schema engine on a table that has every kind of field. */
#include <check.h>
#include <string.h>

#include "proto/base/mem.h"
#include "proto/schema.h"
#include "tests/unit/run.h"

enum colour { RED, GREEN };
static const char *const colours[] = { "red", "green", NULL };

struct part {
	const char *key;
	int64_t number;
};

struct inner {
	bool flag;
	const char *note;
};

struct whole {
	const char *name;
	bool on;
	int64_t count;
	uint64_t size, time, rate;
	double loss;
	int colour;
	struct part part;
	struct inner inner;
	struct field_array words, parts, map;
	json_t *any;
};

#define AT(type, member) .offset = offsetof(struct type, member)

static const struct field part_fields[] = {
	{ "number", "a number", FIELD_INT, FIELD_REQUIRED, AT(part, number), 1, 9 },
	{ 0 }
};
static const struct field inner_fields[] = {
	{ "flag", "a flag", FIELD_BOOL, 0, AT(inner, flag) },
	{ "note", "a note", FIELD_STRING, 0, AT(inner, note), 1, 4 },
	{ 0 }
};
static const struct field whole_fields[] = {
	{ "name", "a name", FIELD_STRING, FIELD_REQUIRED, AT(whole, name), .form = &form_name },
	{ "on", "a switch", FIELD_BOOL, 0, AT(whole, on), .preset = true },
	{ "count", "a count", FIELD_INT, 0, AT(whole, count), -5, 5, 3 },
	{ "size", "a size", FIELD_SIZE, 0, AT(whole, size), 1024, 1 << 20, 2048 },
	{ "time", "a time", FIELD_TIME, 0, AT(whole, time) },
	{ "rate", "a rate", FIELD_RATE, 0, AT(whole, rate) },
	{ "loss", "a loss", FIELD_PROBABILITY, 0, AT(whole, loss) },
	{ "colour", "a colour", FIELD_WORD, 0, AT(whole, colour), .words = colours,
	  .preset = GREEN },
	{ "part", "a part", FIELD_STRUCT, 0, AT(whole, part), .fields = part_fields,
	  .size = sizeof(struct part) },
	{ "", "", FIELD_INLINE, 0, AT(whole, inner), .fields = inner_fields,
	  .size = sizeof(struct inner) },
	{ "words", "some words", FIELD_LIST, FIELD_OR_ONE, AT(whole, words), 1, 3,
	  .item = FIELD_STRING, .form = &form_name },
	{ "parts", "some parts", FIELD_LIST, 0, AT(whole, parts), .item = FIELD_STRUCT,
	  .fields = part_fields, .size = sizeof(struct part) },
	{ "map", "parts by name", FIELD_MAP, 0, AT(whole, map), 0, 2, .form = &form_name,
	  .fields = part_fields, .size = sizeof(struct part) },
	{ "any", "anything", FIELD_JSON, 0, AT(whole, any) },
	{ "later", "not yet", FIELD_JSON, FIELD_UNSUPPORTED },
	{ 0 }
};

static json_t *
load(const char *text)
{
	json_error_t error;
	json_t *value = json_loads(text, JSON_DECODE_ANY, &error);

	ck_assert_msg(value, "%s: %s", text, error.text);
	return value;
}

START_TEST(every_kind_is_decoded)
{
	static const char text[] =
		"{\"name\":\"x\",\"on\":false,\"count\":-5,\"size\":\"4KiB\",\"time\":\"1ms\","
		"\"rate\":\"1kbit\",\"loss\":\"50%\",\"colour\":\"red\",\"part\":{\"number\":7},"
		"\"flag\":true,\"note\":\"n\",\"words\":[\"a\",\"b\"],\"parts\":[{\"number\":1}],"
		"\"map\":{\"z\":{\"number\":2},\"a\":{\"number\":3}},\"any\":[1]}";
	json_t *object = load(text), *again;
	vn_autoarena arena = { 0 };
	struct vn_error err = { 0 };
	struct whole whole = { 0 };
	const struct part *parts;

	ck_assert_msg(schema_decode(whole_fields, object, &arena, &whole, &err) == 0, "%s",
		      err.text);
	ck_assert_str_eq(whole.name, "x");
	ck_assert(!whole.on && whole.inner.flag);
	ck_assert_int_eq(whole.count, -5);
	ck_assert_uint_eq(whole.size, 4096);
	ck_assert_uint_eq(whole.time, 1000000);
	ck_assert_uint_eq(whole.rate, 1000);
	ck_assert_double_eq(whole.loss, 0.5);
	ck_assert_int_eq(whole.colour, RED);
	ck_assert_int_eq(whole.part.number, 7);
	ck_assert_str_eq(whole.inner.note, "n");
	ck_assert_uint_eq(whole.words.count, 2);
	ck_assert_str_eq(((const char **)whole.words.items)[1], "b");
	parts = whole.map.items;
	ck_assert_str_eq(parts[0].key, "z");
	ck_assert_int_eq(parts[1].number, 3);
	ck_assert_ptr_eq(whole.any, json_object_get(object, "any"));
	again = schema_encode(whole_fields, &whole);
	ck_assert_int_eq(json_equal(again, object), 1);
	json_decref(again);
	json_decref(object);
}
END_TEST

START_TEST(what_is_absent_or_null_has_its_preset)
{
	static const char *const texts[] = {
		"{\"name\":\"x\"}", "{\"name\":\"x\",\"on\":null,\"count\":null,\"size\":null,"
				    "\"colour\":null,\"words\":null,\"map\":null,\"part\":null,"
				    "\"later\":null,\"note\":null}"
	};
	json_t *object = load(texts[_i]), *least = load("{\"name\":\"x\"}"), *again;
	vn_autoarena arena = { 0 };
	struct vn_error err = { 0 };
	struct whole whole = { 0 };

	ck_assert_int_eq(schema_decode(whole_fields, object, &arena, &whole, &err), 0);
	ck_assert(whole.on);
	ck_assert_int_eq(whole.count, 3);
	ck_assert_uint_eq(whole.size, 2048);
	ck_assert_int_eq(whole.colour, GREEN);
	ck_assert_uint_eq(whole.words.count, 0);
	again = schema_encode(whole_fields, &whole);
	ck_assert_int_eq(json_equal(again, least), 1);
	json_decref(again);
	json_decref(least);
	json_decref(object);
}
END_TEST

START_TEST(one_item_may_stand_for_its_list)
{
	json_t *object = load("{\"name\":\"x\",\"words\":\"only\"}"), *again;
	vn_autoarena arena = { 0 };
	struct vn_error err = { 0 };
	struct whole whole = { 0 };

	ck_assert_int_eq(schema_decode(whole_fields, object, &arena, &whole, &err), 0);
	ck_assert_uint_eq(whole.words.count, 1);
	again = schema_encode(whole_fields, &whole);
	ck_assert_int_eq(json_equal(again, object), 1);
	json_decref(again);
	json_decref(object);
}
END_TEST

static const struct {
	const char *text, *path, *says;
} bad[] = {
	{ "[]", "", "expected an object, got an array" },
	{ "5", "", "expected an object, got the number 5" },
	{ "{}", "/name", "\"name\" is missing" },
	{ "{\"name\":null}", "/name", "missing" },
	{ "{\"name\":5}", "/name", "expected a string (name), got the number 5" },
	{ "{\"name\":\"a b\"}", "/name", "a space" },
	{ "{\"name\":\"x\",\"on\":1}", "/on", "expected true or false, got the number 1" },
	{ "{\"name\":\"x\",\"count\":1.5}", "/count",
	  "expected a whole number, got the number 1.5" },
	{ "{\"name\":\"x\",\"count\":\"1\"}", "/count", "expected a whole number, got \"1\"" },
	{ "{\"name\":\"x\",\"count\":6}", "/count", "at most 5, got 6" },
	{ "{\"name\":\"x\",\"count\":-6}", "/count", "at least -5, got -6" },
	{ "{\"name\":\"x\",\"size\":64}", "/size",
	  "expected a size such as \"64MiB\", got the number 64" },
	{ "{\"name\":\"x\",\"size\":\"64\"}", "/size", "lacks its unit" },
	{ "{\"name\":\"x\",\"size\":\"1B\"}", "/size", "at least 1KiB" },
	{ "{\"name\":\"x\",\"size\":\"1GiB\"}", "/size", "at most 1MiB" },
	{ "{\"name\":\"x\",\"time\":\"1MiB\"}", "/time", "expected a time" },
	{ "{\"name\":\"x\",\"time\":\"10000000000s\"}", "/time", "at most" },
	{ "{\"name\":\"x\",\"rate\":true}", "/rate",
	  "expected a rate such as \"10Mbit\", got true" },
	{ "{\"name\":\"x\",\"loss\":0.1}", "/loss", "expected a probability such as \"0.1%\"" },
	{ "{\"name\":\"x\",\"colour\":\"blue\"}", "/colour",
	  "one of \"red\", \"green\", got \"blue\"" },
	{ "{\"name\":\"x\",\"colour\":1}", "/colour", "one of \"red\"" },
	{ "{\"name\":\"x\",\"part\":[]}", "/part", "expected an object" },
	{ "{\"name\":\"x\",\"part\":{}}", "/part/number", "missing" },
	{ "{\"name\":\"x\",\"part\":{\"number\":0}}", "/part/number", "at least 1" },
	{ "{\"name\":\"x\",\"note\":\"\"}", "/note", "at least 1 bytes" },
	{ "{\"name\":\"x\",\"note\":\"12345\"}", "/note", "at most 4 bytes" },
	{ "{\"name\":\"x\",\"words\":[]}", "/words", "at least 1 items" },
	{ "{\"name\":\"x\",\"words\":[\"a\",\"b\",\"c\",\"d\"]}", "/words", "at most 3 items" },
	{ "{\"name\":\"x\",\"words\":[\"a\",\"/\"]}", "/words/1", "\"/\"" },
	{ "{\"name\":\"x\",\"words\":[\"a\",null]}", "/words/1", "got null" },
	{ "{\"name\":\"x\",\"words\":\"/\"}", "/words", "\"/\"" },
	{ "{\"name\":\"x\",\"parts\":{}}", "/parts", "expected an array" },
	{ "{\"name\":\"x\",\"parts\":[{\"number\":1},{}]}", "/parts/1/number", "missing" },
	{ "{\"name\":\"x\",\"map\":[]}", "/map", "expected an object" },
	{ "{\"name\":\"x\",\"map\":{\"a/b~c\":{}}}", "/map/a~1b~0c", "\"/\"" },
	{ "{\"name\":\"x\",\"map\":{\"a\":null}}", "/map/a", "got null" },
	{ "{\"name\":\"x\",\"map\":{\"a\":{\"number\":1,\"numbr\":1}}}", "/map/a/numbr",
	  "did you mean \"number\"?" },
	{ "{\"name\":\"x\",\"map\":{\"a\":{\"number\":1},\"b\":{\"number\":1},\"c\":{\"number\":1}}"
	  "}",
	  "/map", "at most 2 members" },
	{ "{\"name\":\"x\",\"later\":{}}", "/later", "not supported" },
	{ "{\"nam\":\"x\"}", "/nam", "did you mean \"name\"?" },
	{ "{\"name\":\"x\",\"notee\":\"x\"}", "/notee", "did you mean \"note\"?" },
	{ "{\"name\":\"x\",\"zzzzzzzz\":null}", "/zzzzzzzz",
	  "unknown field; known: name, on, count" },
	{ "{\"name\":\"x\",\"~/\":1}", "/~0~1", "unknown field" },
};

START_TEST(a_bad_value_is_refused_at_its_path_with_a_reason)
{
	json_t *object = load(bad[_i].text);
	vn_autoarena arena = { 0 };
	struct vn_error err = { 0 };
	struct whole whole = { 0 };

	ck_assert_int_eq(schema_decode(whole_fields, object, &arena, &whole, &err), -1);
	ck_assert_int_eq(err.code,
			 strstr(bad[_i].says, "not supported") ? VN_E_UNSUPPORTED : VN_E_INVALID);
	ck_assert_str_eq(err.path, bad[_i].path);
	ck_assert_msg(strstr(err.text, bad[_i].says), "%s: '%s'", bad[_i].text, err.text);
	json_decref(object);
}
END_TEST

START_TEST(an_unknown_key_without_likeness_is_no_suggestion)
{
	json_t *object = load("{\"name\":\"x\",\"zzzzzzzz\":1}");
	vn_autoarena arena = { 0 };
	struct vn_error err = { 0 };
	struct whole whole = { 0 };

	ck_assert_int_eq(schema_decode(whole_fields, object, &arena, &whole, &err), -1);
	ck_assert_ptr_null(strstr(err.text, "did you mean"));
	ck_assert_ptr_null(strstr(err.text, "later"));
	json_decref(object);
}
END_TEST

START_TEST(a_table_describes_itself_as_json_schema)
{
	json_t *schema = schema_describe(whole_fields);
	json_t *properties = json_object_get(schema, "properties");
	json_t *expected = load("[\"name\"]");

	ck_assert(json_is_false(json_object_get(schema, "additionalProperties")));
	ck_assert_int_eq(json_equal(json_object_get(schema, "required"), expected), 1);
	ck_assert(json_object_get(properties, "flag"));		/* inlined */
	ck_assert_ptr_null(json_object_get(properties, "later"));
	ck_assert_str_eq(json_string_value(json_object_get(json_object_get(properties, "size"),
							   "default")), "2KiB");
	ck_assert(json_object_get(json_object_get(properties, "words"), "oneOf"));
	json_decref(expected);
	json_decref(schema);
}
END_TEST

static const struct {
	const struct form *form;
	const char *text;
	bool passes;
} forms[] = {
	{ &form_reference, "a", true },
	{ &form_reference, "lab/a", true },
	{ &form_reference, "lab/a/b", false },
	{ &form_reference, "/a", false },
	{ &form_reference, "lab/", false },
	{ &form_reference, "a23456789012345678901234567890123456789012345678901234567890123/a",
	  true },
	{ &form_reference, "a234567890123456789012345678901234567890123456789012345678901234/a",
	  false },
	{ &form_address, "10.0.0.1", true },
	{ &form_address, "fd00::1", true },
	{ &form_address, "10.0.0.1/24", false },
	{ &form_address, "localhost", false },
	{ &form_sha256, "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855", true },
	{ &form_sha256, "E3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855", false },
	{ &form_sha256, "e3b0", false },
	{ &form_domain, "lab", true },
	{ &form_domain, "a-b.example.org", true },
	{ &form_domain, "", false },
	{ &form_domain, "a..b", false },
	{ &form_domain, ".a", false },
	{ &form_domain, "a.", false },
	{ &form_domain, "-a.b", false },
	{ &form_domain, "a-.b", false },
	{ &form_domain, "a b", false },
};

START_TEST(a_form_passes_or_not)
{
	struct vn_error err = { 0 };

	ck_assert_int_eq(forms[_i].form->check(forms[_i].text, &err), forms[_i].passes ? 0 : -1);
}
END_TEST

int
main(void)
{
	TCase *tcase = tcase_create("schema");

	tcase_add_test(tcase, every_kind_is_decoded);
	tcase_add_loop_test(tcase, what_is_absent_or_null_has_its_preset, 0, 2);
	tcase_add_test(tcase, one_item_may_stand_for_its_list);
	tcase_add_loop_test(tcase, a_bad_value_is_refused_at_its_path_with_a_reason, 0,
			    VN_COUNT(bad));
	tcase_add_test(tcase, an_unknown_key_without_likeness_is_no_suggestion);
	tcase_add_test(tcase, a_table_describes_itself_as_json_schema);
	tcase_add_loop_test(tcase, a_form_passes_or_not, 0, VN_COUNT(forms));
	return run_tcase("schema", tcase);
}
