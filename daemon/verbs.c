/* All verbs, so that an interrupted job finds its steps again. */
#include "daemon/apply.h"
#include "daemon/change.h"
#include "daemon/host_verbs.h"
#include "daemon/host_vnodes.h"
#include "daemon/image_verbs.h"
#include "daemon/lan_verbs.h"
#include "daemon/lifecycle.h"
#include "daemon/recovery.h"
#include "daemon/schedule.h"
#include "daemon/verify.h"

const struct verb *const verbs[] = {
	&verb_host_setup, &verb_host_probe, &verb_host_boot, &verb_host_halt, &verb_host_teardown,
	&verb_host_recover, &verb_host_repair, &verb_vnode_mend, &verb_lan_mend,
	&verb_vnode_create, &verb_vnode_boot, &verb_vnode_halt, &verb_vnode_reboot,
	&verb_vnode_reload, &verb_vnode_destroy, &verb_vnode_set, &verb_vnode_mount,
	&verb_vnode_unmount, &verb_vnode_cleanup,
	&verb_lan_create, &verb_lan_destroy, &verb_lan_set, &verb_lan_up, &verb_lan_down,
	&verb_lan_probe,
	&verb_lan_schedule,
	&verb_topology_apply, &verb_topology_delete,
	&verb_image_add, &verb_image_capture, &verb_image_remove, &verb_image_prune,
	NULL
};
