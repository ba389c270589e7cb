#pragma once
/* SHA-256, the one place that includes libcrypto. Thread: any. */

#include <stddef.h>
#include <stdint.h>

#include "proto/base/ident.h"

#define DIGEST_TEXT 65			/* 64 hexadecimal digits and a NUL */

struct digest;

struct digest *digest_new(void);
void digest_free(struct digest *digest);
void digest_update(struct digest *digest, const void *data, size_t size);
/* Writes the hexadecimal digest of all that was given; the digest starts anew. */
void digest_print(struct digest *digest, char text[static DIGEST_TEXT]);

/* The digest of one piece of memory, 32 bytes. */
void digest_bytes(const void *data, size_t size, uint8_t ret[static 32]);

/* 02 followed by the first 40 bits of SHA-256 of "<uuid>/<n>": an interface's stable MAC. */
struct vn_mac digest_mac(const char *uuid, unsigned n);
