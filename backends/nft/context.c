/*
 * Commands are text, answers JSON: a map with concatenated data that is made from JSON becomes a set
 * and crashes the library (1.0.6). Protocols and ports are numbers both ways, so that nothing
 * depends on /etc/protocols or /etc/services.
 */
#include "backends/nft/context.h"

#include <errno.h>
#include <fcntl.h>
#include <nftables/libnftables.h>
#include <sched.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "proto/base/mem.h"

pthread_mutex_t nat_lock = PTHREAD_MUTEX_INITIALIZER;

void
commands_add(struct commands *commands, const char *format, ...)
{
	va_list args, again;
	int length;

	va_start(args, format);
	va_copy(again, args);
	length = vsnprintf(NULL, 0, format, args);
	if (commands->length + (size_t)length + 1 > commands->room) {
		commands->room = 2 * (commands->length + (size_t)length + 512);
		commands->text = vn_realloc_array(commands->text, commands->room, 1);
	}
	vsnprintf(commands->text + commands->length, (size_t)length + 1, format, again);
	commands->length += (size_t)length;
	va_end(again);
	va_end(args);
}

/* The library prints "Error: sentence" and then the command with a marker below it. */
int
vn_fail_nft(struct vn_error *err, struct nat *nat, const char *what)
{
	const char *text = nft_ctx_get_error_buffer(nat->context);
	const char *error = text ? strstr(text, "Error: ") : NULL;
	int length;

	text = error ? error + strlen("Error: ") : text;
	length = text ? (int)strcspn(text, "\n") : 0;
	return vn_fail(err, VN_E_BACKEND, "%s: nftables says: %.*s", what, length,
		       length ? text : "nothing");
}

int
context_run(struct nat *nat, const char *commands, const char *what, struct vn_error *err)
{
	nft_ctx_output_set_flags(nat->context, 0);
	if (nft_run_cmd_from_buffer(nat->context, commands) != 0)
		return vn_fail_nft(err, nat, what);
	return 0;
}

int
context_query(struct nat *nat, const char *command, bool with_elements, json_t **ret,
	      struct vn_error *err)
{
	unsigned flags = NFT_CTX_OUTPUT_JSON | NFT_CTX_OUTPUT_NUMERIC_PROTO;
	json_t *answer, *list;

	nft_ctx_output_set_flags(nat->context,
				 with_elements ? flags : flags | NFT_CTX_OUTPUT_TERSE);
	if (nft_run_cmd_from_buffer(nat->context, command) != 0)
		return vn_fail_nft(err, nat, command);
	answer = json_loads(nft_ctx_get_output_buffer(nat->context), 0, NULL);
	list = json_incref(json_object_get(answer, "nftables"));
	json_decref(answer);
	if (!json_is_array(list)) {
		json_decref(list);
		return vn_fail(err, VN_E_BACKEND, "%s: nftables gave no list", command);
	}
	*ret = list;
	return 0;
}

int
context_open(struct nft_ctx **ret, struct vn_error *err)
{
	struct nft_ctx *context = nft_ctx_new(NFT_CTX_DEFAULT);

	if (context && nft_ctx_buffer_output(context) == 0 && nft_ctx_buffer_error(context) == 0) {
		*ret = context;
		return 0;
	}
	if (context)
		nft_ctx_free(context);
	return vn_fail(err, VN_E_BACKEND, "nftables cannot be used on this host");
}

int
context_list(struct nat *nat, const char *command, char **ret, struct vn_error *err)
{
	nft_ctx_output_set_flags(nat->context, NFT_CTX_OUTPUT_NUMERIC_PROTO | NFT_CTX_OUTPUT_TERSE |
					       NFT_CTX_OUTPUT_STATELESS);
	if (nft_run_cmd_from_buffer(nat->context, command) != 0)
		return vn_fail_nft(err, nat, command);
	*ret = vn_strdup(nft_ctx_get_output_buffer(nat->context));
	return 0;
}

/* In the scratch namespace. */
static int
rehearse(struct nat *scratch, const char *commands, const char *list, char **ret, struct vn_error *err)
{
	int result = context_open(&scratch->context, err);

	if (result == 0)
		result = context_run(scratch, commands, "rehearse nftables rules", err);
	if (result == 0)
		result = context_list(scratch, list, ret, err);
	if (scratch->context)
		nft_ctx_free(scratch->context);
	return result;
}

int
context_rehearse(const struct nat *nat, const char *commands, const char *list, char **ret,
		 struct vn_error *err)
{
	vn_autoclose int home = open("/proc/thread-self/ns/net", O_RDONLY | O_CLOEXEC);
	struct nat scratch = { .env = nat->env, .uplink = nat->uplink };
	int result;

	if (home < 0 || unshare(CLONE_NEWNET) < 0)
		return vn_fail_errno(err, errno, "make a network namespace");
	result = rehearse(&scratch, commands, list, ret, err);
	if (setns(home, CLONE_NEWNET) < 0) {
		perror("cannot return to the network namespace of the host");
		abort();
	}
	return result;
}

int
nat_open(const struct backend_env *env, const char *uplink, struct nat **ret, struct vn_error *err)
{
	struct nat *nat = vn_alloc(sizeof(*nat));

	nat->env = env;
	nat->uplink = uplink;
	if (context_open(&nat->context, err) < 0) {
		nat_close(nat);
		return -1;
	}
	*ret = nat;
	return 0;
}

void
nat_close(struct nat *nat)
{
	if (!nat)
		return;
	if (nat->context)
		nft_ctx_free(nat->context);
	free(nat->expected);
	free(nat);
}
