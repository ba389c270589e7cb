#pragma once
/*
 * Quantities as people write them. Text is decimal digits with an optional fraction and a unit
 * without a space between ("10Mbit", "1.5GiB", "250us", "0.1%"); values are exact integers, except
 * probabilities. A number without its unit, a sign, an exponent, or a value that is no whole number
 * of the base unit is refused.
 */

#include <stddef.h>
#include <stdint.h>

#include "proto/base/error.h"

enum vn_unit {
	VN_UNIT_SIZE,		/* B KiB MiB GiB TiB -> bytes */
	VN_UNIT_TIME,		/* ns us ms s -> ns */
	VN_UNIT_RATE,		/* bit kbit Mbit Gbit, powers of 1,000 -> bit/s */
};

#define VN_QUANTITY_TEXT 32	/* bytes that vn_quantity_print needs at most */

/* Reads `text` into *ret. Errors: VN_E_INVALID with a sentence that names the units. */
int vn_quantity_parse(enum vn_unit unit, const char *text, uint64_t *ret, struct vn_error *err);

/* Writes the canonical form: the largest unit that divides the value ("64MiB", "1500B"). */
void vn_quantity_print(enum vn_unit unit, uint64_t value, char text[static VN_QUANTITY_TEXT]);

/* Reads "0.1%" (0 to 100) as 0.001. Errors: VN_E_INVALID. */
int vn_probability_parse(const char *text, double *ret, struct vn_error *err);

/* Writes the shortest text that reads back as the same value: "0.1%". */
void vn_probability_print(double value, char text[static VN_QUANTITY_TEXT]);
