#pragma once
/* One error value for the whole project: a code for programs, a sentence for people. */

#include <stdarg.h>
#include <stdbool.h>

/* What a program branches on. The words are part of the protocol (vnoded-protocol(7)). */
enum vn_code {
	VN_OK,
	VN_E_PARSE,		/* not JSON, or JSON we refuse (duplicate keys, bad UTF-8, NUL, too deep) */
	VN_E_REQUEST,		/* JSON, but no JSON-RPC 2.0 request */
	VN_E_NO_METHOD,
	VN_E_INVALID,		/* a parameter is missing, unknown, malformed or contradicts another */
	VN_E_NOT_FOUND,
	VN_E_EXISTS,
	VN_E_STATE,		/* not possible in the state the object is in */
	VN_E_BUSY,		/* a job holds the object */
	VN_E_DENIED,
	VN_E_LIMIT,		/* a quota, a configured bound, or the machine is full */
	VN_E_UNSUPPORTED,	/* the kernel, the backend or this version cannot */
	VN_E_BACKEND,		/* libvirt, the kernel or a server said no */
	VN_E_TIMEOUT,
	VN_E_CANCELLED,
	VN_E_INTERNAL,
};

struct vn_error {
	enum vn_code code;
	int sys;		/* errno or the library's own number; for the log */
	char path[160];		/* RFC 6901 pointer into params; "" where none applies */
	char text[400];		/* what a person reads; no trailing period or newline */
};

/* Sets *err and returns -1, so that a failure is one statement. */
int vn_fail(struct vn_error *err, enum vn_code code, const char *format, ...)
	__attribute__((format(printf, 3, 4)));

/* The same for a bad parameter: `path` is its RFC 6901 pointer. */
int vn_fail_at(struct vn_error *err, const char *path, enum vn_code code, const char *format, ...)
	__attribute__((format(printf, 4, 5)));

/*
 * The same for a failed system call: the text gets ": <strerror>" appended, the code follows from
 * `sys` (EACCES, EPERM: DENIED; EEXIST: EXISTS; ENOENT, ENODEV, ESRCH: NOT_FOUND; EBUSY: BUSY;
 * ENOSPC, EDQUOT, EMFILE, ENFILE, ENOMEM: LIMIT; ETIMEDOUT: TIMEOUT; ENOSYS, EOPNOTSUPP:
 * UNSUPPORTED; all else BACKEND).
 */
int vn_fail_errno(struct vn_error *err, int sys, const char *format, ...)
	__attribute__((format(printf, 3, 4)));

/* Puts "<formatted>: " before the text; for context that the callee could not know. */
void vn_error_prefix(struct vn_error *err, const char *format, ...)
	__attribute__((format(printf, 2, 3)));

/* Puts `prefix` (a pointer such as "/vnodes/a") before err->path. */
void vn_error_prefix_path(struct vn_error *err, const char *prefix);

/* The protocol's word for a code ("not_found"); static storage. */
const char *vn_code_word(enum vn_code code);

/* The code for a protocol word; VN_E_INTERNAL for an unknown one. */
enum vn_code vn_code_from_word(const char *word);

/* The JSON-RPC 2.0 error number for a code (-32700, -32600, -32601, -32602, else -32000). */
int vn_code_number(enum vn_code code);

/* Whether the same call may succeed later without anything being changed. */
bool vn_code_is_retryable(enum vn_code code);
