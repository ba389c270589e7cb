#pragma once
/* What the files document*.c share. */

#include "proto/document.h"

/*
 * Checks a decoded document as a whole. object: what it was decoded from, for how a list was written.
 * Errors: as document_decode.
 */
int document_check(const struct document *document, json_t *object, struct vn_error *err);
