#pragma once
/* libnftables, with its conventions left behind: text in, JSON out, errors as sentences. */

#include <jansson.h>
#include <pthread.h>
#include <stdbool.h>

#include "backends/nft/nat.h"

struct nft_ctx;

struct nat {
	const struct backend_env *env;
	const char *uplink;
	struct nft_ctx *context;
	char *expected;			/* the table's listing as it is to be, once asked for */
};

/* One lock for all: whether two contexts may work at once is promised nowhere. */
extern pthread_mutex_t nat_lock;

/* A growing text of commands; zero it to begin, free(text.text) ends it. */
struct commands {
	char *text;
	size_t length, room;
};
void commands_add(struct commands *commands, const char *format, ...)
	__attribute__((format(printf, 2, 3)));

/* A context of the calling thread's network namespace; to be ended with nft_ctx_free(). */
int context_open(struct nft_ctx **ret, struct vn_error *err);
/* Runs commands as one transaction, with nat_lock held. what: names it in the error. */
int context_run(struct nat *nat, const char *commands, const char *what, struct vn_error *err);
/* Runs a list command; *ret is the array "nftables", to be released with json_decref(). */
int context_query(struct nat *nat, const char *command, bool with_elements, json_t **ret,
		  struct vn_error *err);
/* The same as text without elements; *ret to be freed. */
int context_list(struct nat *nat, const char *command, char **ret, struct vn_error *err);
/*
 * How nftables lists a table once these commands have made it: they are run in a network namespace of the
 * calling thread's own, which ends with the call. *ret to be freed.
 */
int context_rehearse(const struct nat *nat, const char *commands, const char *list, char **ret,
		     struct vn_error *err);
int vn_fail_nft(struct vn_error *err, struct nat *nat, const char *what);
