/*
 * Quantities, by integers alone: text is read as a whole number over a power of ten and scaled in
 * 128 bits, so that nothing depends on the locale or on binary fractions.
 */
#include "proto/base/units.h"

#include <stdbool.h>
#include <stdio.h>
#include <string.h>

struct suffix {
	const char *text;
	uint64_t factor;
};

static const struct suffix sizes[] = {
	{ "TiB", 1ULL << 40 }, { "GiB", 1ULL << 30 }, { "MiB", 1ULL << 20 }, { "KiB", 1ULL << 10 },
	{ "B", 1 }, { 0 }
};
static const struct suffix times[] = {
	{ "s", 1000000000 }, { "ms", 1000000 }, { "us", 1000 }, { "ns", 1 }, { 0 }
};
static const struct suffix rates[] = {
	{ "Gbit", 1000000000 }, { "Mbit", 1000000 }, { "kbit", 1000 }, { "bit", 1 }, { 0 }
};

static const struct {
	const char *noun, *example, *units, *base;
	const struct suffix *suffixes;		/* largest first */
} kinds[] = {
	[VN_UNIT_SIZE] = { "a size", "64MiB",  "B KiB MiB GiB TiB",  "bytes",         sizes },
	[VN_UNIT_TIME] = { "a time", "250us",  "ns us ms s",         "nanoseconds",   times },
	[VN_UNIT_RATE] = { "a rate", "10Mbit", "bit kbit Mbit Gbit", "bits a second", rates },
};

enum {
	FRACTION_MAX = 18, /* digits after the point: 10^18 times the largest unit fits 128 bits */
	PERCENT_MAX = 12,  /* the same for percents: all digits fit a double's 53 bits */
	SHOWN_MAX = 40,    /* characters of the user's text in an error */
};

/* A decimal number: digits / 10^scale. */
struct decimal {
	unsigned __int128 whole, fraction;
	unsigned scale;
};

static uint64_t
power_of_ten(unsigned exponent)
{
	uint64_t power = 1;

	while (exponent-- > 0)
		power *= 10;
	return power;
}

static bool
is_digit(char c)
{
	return c >= '0' && c <= '9';
}

/* Reads "12" or "12.50" (as 12.5). Returns what follows, NULL when there is no such number. */
static const char *
read_decimal(const char *text, unsigned scale_max, struct decimal *ret)
{
	struct decimal number = { 0 };
	const char *end, *at = text;

	for (; is_digit(*at); at++)
		if (number.whole <= UINT64_MAX)		/* stays above it: refused as too large */
			number.whole = number.whole * 10 + (unsigned)(*at - '0');
	if (at == text)
		return NULL;
	if (*at == '.') {
		for (end = ++at; is_digit(*end); end++)
			;
		if (end == at)
			return NULL;
		text = end;
		while (end > at && end[-1] == '0')
			end--;
		if ((size_t)(end - at) > scale_max)
			return NULL;
		for (; at < end; at++, number.scale++)
			number.fraction = number.fraction * 10 + (unsigned)(*at - '0');
		at = text;
	}
	*ret = number;
	return at;
}

static const struct suffix *
find_suffix(const struct suffix *suffixes, const char *text)
{
	for (; suffixes->text; suffixes++)
		if (strcmp(suffixes->text, text) == 0)
			return suffixes;
	return NULL;
}

static int
refuse(enum vn_unit unit, const char *text, const char *rest, struct vn_error *err)
{
	if (rest && !*rest)
		return vn_fail(err, VN_E_INVALID,
			       "\"%.*s\" lacks its unit: write one of %s behind it", SHOWN_MAX,
			       text, kinds[unit].units);
	return vn_fail(err, VN_E_INVALID, "expected %s such as \"%s\" (units: %s), got \"%.*s\"",
		       kinds[unit].noun, kinds[unit].example, kinds[unit].units, SHOWN_MAX, text);
}

int
vn_quantity_parse(enum vn_unit unit, const char *text, uint64_t *ret, struct vn_error *err)
{
	struct decimal number;
	const char *rest = read_decimal(text, FRACTION_MAX, &number);
	const struct suffix *suffix = rest ? find_suffix(kinds[unit].suffixes, rest) : NULL;
	unsigned __int128 value, part;
	uint64_t power;

	if (!suffix)
		return refuse(unit, text, rest, err);
	power = power_of_ten(number.scale);
	part = number.fraction * suffix->factor;
	if (part % power != 0)
		return vn_fail(err, VN_E_INVALID, "\"%.*s\" is not a whole number of %s", SHOWN_MAX,
			       text, kinds[unit].base);
	value = number.whole * suffix->factor + part / power;
	if (number.whole > UINT64_MAX || value > UINT64_MAX)
		return vn_fail(err, VN_E_INVALID, "\"%.*s\" is too large", SHOWN_MAX, text);
	*ret = (uint64_t)value;
	return 0;
}

void
vn_quantity_print(enum vn_unit unit, uint64_t value, char text[static VN_QUANTITY_TEXT])
{
	const struct suffix *suffix = kinds[unit].suffixes;

	while (suffix->factor > 1 && (value == 0 || value % suffix->factor != 0))
		suffix++;
	snprintf(text, VN_QUANTITY_TEXT, "%llu%s", (unsigned long long)(value / suffix->factor),
		 suffix->text);
}

int
vn_probability_parse(const char *text, double *ret, struct vn_error *err)
{
	struct decimal number;
	const char *rest = read_decimal(text, PERCENT_MAX, &number);
	uint64_t power;

	if (rest && !*rest)
		return vn_fail(err, VN_E_INVALID, "\"%.*s\" lacks its unit: write %% behind it",
			       SHOWN_MAX, text);
	if (!rest || strcmp(rest, "%") != 0)
		return vn_fail(err, VN_E_INVALID,
			       "expected a probability such as \"0.1%%\", got \"%.*s\"", SHOWN_MAX,
			       text);
	if (number.whole > 100 || (number.whole == 100 && number.fraction > 0))
		return vn_fail(err, VN_E_INVALID, "\"%.*s\" is above 100%%", SHOWN_MAX, text);
	power = power_of_ten(number.scale);
	/* Both sides are whole and below 2^53, so the quotient is the nearest double there is. */
	*ret = (double)((uint64_t)number.whole * power + (uint64_t)number.fraction) /
	       (double)(power * 100);
	return 0;
}

void
vn_probability_print(double value, char text[static VN_QUANTITY_TEXT])
{
	uint64_t power = 1, digits;
	unsigned scale = 0;

	for (;; scale++, power *= 10) {
		digits = (uint64_t)(value * 100.0 * (double)power + 0.5);
		if (scale == PERCENT_MAX || (double)digits / (double)(power * 100) == value)
			break;
	}
	if (scale == 0)
		snprintf(text, VN_QUANTITY_TEXT, "%llu%%", (unsigned long long)digits);
	else
		snprintf(text, VN_QUANTITY_TEXT, "%llu.%0*llu%%",
			 (unsigned long long)(digits / power), (int)scale,
			 (unsigned long long)(digits % power));
}
