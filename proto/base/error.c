/*
 * The error value and the one table of its codes. Nothing here allocates, so reporting a failure
 * cannot fail; texts and paths that do not fit are cut. Both are always UTF-8: they end up in JSON.
 */
#include "proto/base/error.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "proto/base/utf8.h"

/* code, protocol word, JSON-RPC number, retryable */
static const struct {
	enum vn_code code;
	const char *word;
	int number;
	bool retryable;
} codes[] = {
	{ VN_E_INVALID,     "invalid",     -32602, false },	/* first: what "invalid" reads back as */
	{ VN_E_PARSE,       "invalid",     -32700, false },
	{ VN_E_REQUEST,     "invalid",     -32600, false },
	{ VN_E_NO_METHOD,   "unsupported", -32601, false },
	{ VN_E_NOT_FOUND,   "not_found",   -32000, false },
	{ VN_E_EXISTS,      "exists",      -32000, false },
	{ VN_E_STATE,       "state",       -32000, false },
	{ VN_E_BUSY,        "busy",        -32000, true  },
	{ VN_E_DENIED,      "denied",      -32000, false },
	{ VN_E_LIMIT,       "limit",       -32000, true  },
	{ VN_E_UNSUPPORTED, "unsupported", -32000, false },
	{ VN_E_BACKEND,     "backend",     -32000, true  },
	{ VN_E_TIMEOUT,     "timeout",     -32000, true  },
	{ VN_E_CANCELLED,   "cancelled",   -32000, false },
	{ VN_E_INTERNAL,    "internal",    -32000, false },
};

static const size_t n_codes = sizeof(codes) / sizeof(*codes);

__attribute__((format(printf, 4, 0))) static void
set(struct vn_error *err, enum vn_code code, int sys, const char *format, va_list args)
{
	*err = (struct vn_error){ .code = code, .sys = sys };
	vsnprintf(err->text, sizeof(err->text), format, args);
	vn_utf8_mend(err->text);
}

int
vn_fail(struct vn_error *err, enum vn_code code, const char *format, ...)
{
	va_list args;

	va_start(args, format);
	set(err, code, 0, format, args);
	va_end(args);
	return -1;
}

int
vn_fail_at(struct vn_error *err, const char *path, enum vn_code code, const char *format, ...)
{
	char copy[sizeof(err->path)];
	va_list args;

	snprintf(copy, sizeof(copy), "%s", path);	/* path may lie in *err */
	va_start(args, format);
	set(err, code, 0, format, args);
	va_end(args);
	vn_utf8_mend(copy);
	memcpy(err->path, copy, sizeof(copy));
	return -1;
}

static enum vn_code
code_of_errno(int sys)
{
	switch (sys) {
	case EACCES: case EPERM: case EROFS:
		return VN_E_DENIED;
	case EEXIST:
		return VN_E_EXISTS;
	case ENOENT: case ENODEV: case ESRCH: case ENXIO:
		return VN_E_NOT_FOUND;
	case EBUSY:
		return VN_E_BUSY;
	case ENOSPC: case EDQUOT: case EMFILE: case ENFILE: case ENOMEM: case EFBIG:
		return VN_E_LIMIT;
	case ETIMEDOUT:
		return VN_E_TIMEOUT;
	case ENOSYS: case EOPNOTSUPP:
		return VN_E_UNSUPPORTED;
	default:
		return VN_E_BACKEND;
	}
}

int
vn_fail_errno(struct vn_error *err, int sys, const char *format, ...)
{
	size_t used;
	va_list args;

	va_start(args, format);
	set(err, code_of_errno(sys), sys, format, args);
	va_end(args);
	used = strlen(err->text);
	snprintf(err->text + used, sizeof(err->text) - used, ": %s", strerror(sys));
	vn_utf8_mend(err->text);
	return -1;
}

void
vn_error_prefix(struct vn_error *err, const char *format, ...)
{
	char was[sizeof(err->text)];
	size_t used;
	va_list args;

	memcpy(was, err->text, sizeof(was));
	va_start(args, format);
	vsnprintf(err->text, sizeof(err->text), format, args);
	va_end(args);
	used = strlen(err->text);
	snprintf(err->text + used, sizeof(err->text) - used, ": %s", was);
	vn_utf8_mend(err->text);
}

void
vn_error_prefix_path(struct vn_error *err, const char *prefix)
{
	char was[sizeof(err->path)];

	memcpy(was, err->path, sizeof(was));
	snprintf(err->path, sizeof(err->path), "%s%s", prefix, was);
	vn_utf8_mend(err->path);
}

const char *
vn_code_word(enum vn_code code)
{
	for (size_t i = 0; i < n_codes; i++)
		if (codes[i].code == code)
			return codes[i].word;
	return "ok";
}

enum vn_code
vn_code_from_word(const char *word)
{
	for (size_t i = 0; i < n_codes; i++)
		if (codes[i].code != VN_E_NO_METHOD && strcmp(codes[i].word, word) == 0)
			return codes[i].code;
	return VN_E_INTERNAL;
}

int
vn_code_number(enum vn_code code)
{
	for (size_t i = 0; i < n_codes; i++)
		if (codes[i].code == code)
			return codes[i].number;
	return -32000;
}

bool
vn_code_is_retryable(enum vn_code code)
{
	for (size_t i = 0; i < n_codes; i++)
		if (codes[i].code == code)
			return codes[i].retryable;
	return false;
}
