#include "client/shape.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "client/output.h"
#include "proto/base/mem.h"
#include "proto/shape.h"

static void
print_quantity(FILE *out, json_t *shape, const char *key, enum vn_unit unit, const char *before)
{
	uint64_t value = (uint64_t)json_integer_value(json_object_get(shape, key));
	char text[VN_QUANTITY_TEXT];

	if (!value)
		return;
	vn_quantity_print(unit, value, text);
	fprintf(out, "%s%s", before, text);
}

static void
print_share(FILE *out, json_t *shape, const char *key)
{
	double value = json_number_value(json_object_get(shape, key));
	char text[VN_QUANTITY_TEXT];

	if (!(value > 0))
		return;
	vn_probability_print(value, text);
	fprintf(out, " %s %s", key, text);
}

char *
shape_text(json_t *shape)
{
	char *text = NULL;
	size_t size;
	FILE *out = open_memstream(&text, &size);
	json_int_t packets = json_integer_value(json_object_get(shape, "limit_packets"));

	if (!out)
		abort();
	print_quantity(out, shape, "rate_bps", VN_UNIT_RATE, " ");
	print_quantity(out, shape, "delay_ns", VN_UNIT_TIME, " ");
	print_quantity(out, shape, "jitter_ns", VN_UNIT_TIME, "±");
	if (json_integer_value(json_object_get(shape, "jitter_ns")))
		fprintf(out, " %s", output_text(shape, "distribution"));
	print_share(out, shape, "loss");
	print_share(out, shape, "duplicate");
	print_share(out, shape, "corrupt");
	print_share(out, shape, "reorder");
	print_quantity(out, shape, "limit_bytes", VN_UNIT_SIZE, " limit ");
	if (packets)
		fprintf(out, " limit %lld packets", (long long)packets);
	fclose(out);
	if (*text)
		memmove(text, text + 1, strlen(text));	/* the first blank */
	return text;
}

bool
shape_assign(json_t *shape, const char *assignment)
{
	const char *equals = strchr(assignment, '=');
	size_t length = equals ? (size_t)(equals - assignment) : 0;

	for (const struct field *field = doc_shape_fields; field->kind != FIELD_END; field++) {
		char *end;
		long long number;

		if (strlen(field->name) != length || strncmp(field->name, assignment, length) != 0)
			continue;
		number = strtoll(equals + 1, &end, 10);
		json_object_set_new(shape, field->name, !equals[1] ? json_null()
				    : field->kind == FIELD_INT && !*end ? json_integer(number)
				    : json_string(equals + 1));
		return true;
	}
	return false;
}
