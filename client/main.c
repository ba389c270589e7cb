/* vnodectl: see verbs.c for what it can do. */

#include <stdio.h>

#include "client/verbs.h"

int
main(int argc, char **argv)
{
	struct client client;
	int status;

	client_init(&client, "vnodectl");
	status = verbs_main(&client, argc, argv);
	client_fini(&client);
	if (fflush(stdout) != 0 && status == STATUS_DONE) {
		perror("vnodectl: stdout");
		status = STATUS_FAILED;
	}
	return status;
}
