/* rpc.discover: the method table, printed by those who know it. */
#include "daemon/daemon.h"

int
handle_rpc_discover(struct call *call, const void *params, struct vn_error *err)
{
	(void)params, (void)err;
	call_reply(call, openrpc_document(DAEMON_VERSION));
	return 0;
}
