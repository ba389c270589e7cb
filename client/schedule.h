#pragma once
/* Schedules of LANs for people. */

#include <jansson.h>

/* Prints the schedule of a LAN object as an inner table; nothing where there is none. */
void schedule_print(json_t *schedule);
