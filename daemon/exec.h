#pragma once
/* Commands in running vnodes, and who waits for them. Thread: loop. */

#include "daemon/model.h"

struct exec_table *exec_table_open(struct daemon *daemon);
/* Hangs up what still runs. NULL is fine. */
void exec_table_close(struct exec_table *table);
