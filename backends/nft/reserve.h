#pragma once
/*
 * Holds host ports of forwards, so that no other program takes them and a port in use is refused
 * early. Thread: loop; nothing here blocks.
 */

#include "backends/backend.h"

struct reserve;

struct reserve *reserve_new(void);
void reserve_free(struct reserve *reserve);

/* Errors: VN_E_EXISTS another program or another vnode of ours has the port. Repeats are fine. */
int reserve_take(struct reserve *reserve, const struct forward_spec *forward, struct vn_error *err);
void reserve_give_back(struct reserve *reserve, const struct forward_spec *forward);
