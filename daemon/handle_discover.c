/* rpc.discover: the method table, printed by those who know it. */
#include "daemon/daemon.h"

int
handle_rpc_discover(struct call *call, const void *params, struct vn_error *err)
{
	static char *text;		/* the same for the whole life of the process */

	(void)params, (void)err;
	if (!text) {
		json_t *document = openrpc_document(DAEMON_VERSION);

		text = json_dumps(document, JSON_COMPACT);
		json_decref(document);
	}
	call_reply_text(call, vn_strdup(text));
	return 0;
}
