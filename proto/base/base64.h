#pragma once
/* Base64 (RFC 4648, section 4, with padding): bytes inside JSON strings. */

#include <stddef.h>
#include <stdint.h>

#include "proto/base/error.h"

/* The text of `size` bytes, to be freed. */
char *vn_base64_encode(const void *data, size_t size);
/* Bytes to be freed. Errors: VN_E_INVALID a character or a length that Base64 does not have. */
int vn_base64_decode(const char *text, uint8_t **ret, size_t *ret_size, struct vn_error *err);
