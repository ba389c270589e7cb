#pragma once
/* How libvirt says no. The only place that knows its error numbers. */

#include "proto/base/error.h"

/* Stops libvirt from printing errors itself; once, before the first connection. */
void virt_error_init(void);

/*
 * Sets *err from this thread's last libvirt error, whose text is appended: VN_E_NOT_FOUND no such
 * domain, VN_E_EXISTS the name or uuid is taken, VN_E_TIMEOUT, else VN_E_BACKEND. Returns -1.
 */
int vn_fail_virt(struct vn_error *err, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* Whether this thread's last libvirt error says that there is no such domain. */
int virt_error_is_absent(void);
