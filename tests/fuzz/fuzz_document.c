/*
 * Topology documents: a refused one has a reason and a place; an accepted one encodes to a document
 * that is accepted too and encodes to itself.
 */
#include <assert.h>

#include "proto/document.h"
#include "proto/message.h"
#include "tests/fuzz/target.h"

static void
check_encoding(const struct document *document)
{
	json_t *once = schema_encode(document_fields, document), *twice;
	vn_autoarena arena = { 0 };
	struct document again = { 0 };
	struct vn_error err = { 0 };
	int decoded = document_decode(once, &arena, &again, &err);

	assert(decoded == 0);
	twice = schema_encode(document_fields, &again);
	assert(json_equal(once, twice));
	json_decref(once);
	json_decref(twice);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	vn_autoarena arena = { 0 };
	struct document document = { 0 };
	struct vn_error err = { 0 };
	json_t *value = NULL;

	if (message_parse((const char *)data, size, &value, &err) < 0)
		return 0;
	if (document_decode(value, &arena, &document, &err) == 0) {
		check_encoding(&document);
	} else {
		assert(err.code == VN_E_INVALID || err.code == VN_E_UNSUPPORTED);
		assert(err.text[0] != '\0' && (err.path[0] == '\0' || err.path[0] == '/'));
	}
	json_decref(value);
	return 0;
}
