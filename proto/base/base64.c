/* Base64, strictly: no line breaks, no other alphabet, padding required. */
#include "proto/base/base64.h"

#include <string.h>

#include "proto/base/mem.h"

static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

char *
vn_base64_encode(const void *data, size_t size)
{
	const uint8_t *in = data;
	char *text = vn_alloc((size + 2) / 3 * 4 + 1), *out = text;

	for (size_t i = 0; i < size; i += 3) {
		size_t n = size - i < 3 ? size - i : 3;
		uint32_t word = (uint32_t)in[i] << 16 | (n > 1 ? (uint32_t)in[i + 1] << 8 : 0) |
				(n > 2 ? in[i + 2] : 0);

		for (size_t k = 0; k < 4; k++)
			*out++ = k <= n ? digits[word >> (18 - 6 * k) & 63] : '=';
	}
	return text;
}

static int
value_of(char c)
{
	const char *at = c ? strchr(digits, c) : NULL;

	return at ? (int)(at - digits) : -1;
}

int
vn_base64_decode(const char *text, uint8_t **ret, size_t *ret_size, struct vn_error *err)
{
	size_t length = strlen(text), size = 0;
	vn_autofree uint8_t *bytes = vn_alloc(length / 4 * 3 + 3);

	if (length % 4)
		return vn_fail(err, VN_E_INVALID, "expected Base64, whose length is a multiple of 4");
	for (size_t i = 0; i < length; i += 4) {
		bool last = i + 4 == length;
		size_t pad = last ? (size_t)(text[i + 3] == '=') + (text[i + 2] == '=' &&
								    text[i + 3] == '=') : 0;
		uint32_t word = 0;

		for (size_t k = 0; k < 4; k++) {
			int value = k < 4 - pad ? value_of(text[i + k]) : 0;

			if (value < 0)
				return vn_fail(err, VN_E_INVALID, "expected Base64, got '%c'",
					       text[i + k]);
			word = word << 6 | (uint32_t)value;
		}
		for (size_t k = 0; k < 3 - pad; k++)
			bytes[size++] = (uint8_t)(word >> (16 - 8 * k));
	}
	*ret = vn_take_ptr(&bytes);
	*ret_size = size;
	return 0;
}
