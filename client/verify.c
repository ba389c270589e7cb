/* Whether things are as they are wanted. */
#include "client/options.h"
#include "client/probe.h"

int
verb_verify(struct client *client, const struct arguments *args)
{
	if (!args->probe)
		return client_usage(client, "verify: say what to measure: --probe LAN");
	return probe_lan(client, args);
}
