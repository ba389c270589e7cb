#pragma once
/* From a libvirt domain to the processes behind it. Thread: a worker. */

#include <libvirt/libvirt.h>
#include <stdbool.h>

#include "backends/backend.h"

/* The processes of a container whose guest runs; false when it does not, or not any more. */
bool inspect_processes(pid_t controller, struct guest_id *ret);

/* 0 and *ret, NULL when there is no such domain; -1 when libvirt cannot say. */
int inspect_find(virConnectPtr conn, const char *uuid, virDomainPtr *ret, struct vn_error *err);
