#pragma once
/*
 * What vnoded and vnode-helper say to each other. vnode-helper has a SOCK_SEQPACKET socket as
 * descriptor 3. A request is one message: struct helper_request, then its strings, each with its
 * NUL; with it come the request's own channel (the other end of which vnoded keeps) and descriptors.
 * Answers come on that channel, so none needs a number, and closing the channel ends what was asked
 * for: that is how the end of vnoded ends the commands it started.
 */

#include <stdint.h>

#define HELPER_FD	   3
#define HELPER_MAX_FDS	   4		/* the channel first, then standard input, output, error */
#define HELPER_REQUEST_MAX (192 * 1024)

enum helper_kind {
	HELPER_NAMESPACES,		/* strings: netns, userns ("" when privileged) */
	HELPER_COMMAND,			/* strings: user, cwd ("" = default), argv, environment */
};

struct helper_request {
	uint32_t kind;
	uint32_t idmap_base;
	int32_t init, guest;		/* pids of vnode-init and of the guest's first process */
	uint64_t init_start, guest_start;
	uint32_t tty;			/* standard input is a terminal of the guest, to be the controlling one */
	uint32_t n_argv, n_env;
};

enum helper_outcome {
	HELPER_DONE,			/* HELPER_NAMESPACES: both are pinned */
	HELPER_FAILED,			/* could not even be tried: code and text say why */
	HELPER_ENDED,			/* the command has ended: code (-1: signalled) and signal */
};

struct helper_answer {
	uint32_t outcome;
	int32_t code;			/* enum vn_code of HELPER_FAILED, exit code of HELPER_ENDED */
	int32_t signal;
	char text[400];
};

/* vnoded -> the command's channel: a signal for its session. */
struct helper_signal {
	int32_t signal;
};
