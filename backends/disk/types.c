/*
 * The table of types, and which of them this host can have. That is probed on a worker (host_up) and read
 * on the loop, hence the lock: a host may be set up again while plans are made.
 */
#include "backends/disk/types.h"

#include <stddef.h>

#include "backends/disk/extra.h"
#include "proto/base/mem.h"

static const struct disk_type_ops *const types[DISK_TYPES] = {
	[DISK_OVERLAY] = &disk_type_overlay,
	[DISK_REFLINK] = &disk_type_reflink,
	[DISK_QCOW2] = &disk_type_qcow2,
	[DISK_LVM_THIN] = &disk_type_lvm_thin,
};

const struct disk_type_ops *
types_get(int type)
{
	return types[type];
}

int
types_open_root(const struct local *local, const char *folder, const struct disk_spec *spec, int *ret_fd,
		struct vn_error *err)
{
	const struct disk_type_ops *type = types[spec->type];

	if (!type->open_root)
		return vn_fail(err, VN_E_UNSUPPORTED, "a disk of type '%s' cannot be mounted on this host: only "
			       "its guest can look into it", disk_type_words[spec->type]);
	return type->open_root(local, folder, spec, ret_fd, err);
}

void
types_init(struct local *local)
{
	for (int i = 0; i < DISK_TYPES; i++)
		if (types[i]->probe)
			vn_fail(&local->lacks[i], VN_E_UNSUPPORTED, "the host has not been set up yet");
}

static void
probe_extras(struct local *local)
{
	struct vn_error why = { 0 };

	extra_probe(&why);
	pthread_mutex_lock(&local->lock);
	local->lacks_extras = why;
	pthread_mutex_unlock(&local->lock);
}

void
types_probe(struct local *local)
{
	probe_extras(local);
	for (int i = 0; i < DISK_TYPES; i++) {
		struct vn_error why = { 0 };

		if (types[i]->probe && types[i]->probe(local, &why) < 0 && why.code == VN_OK)
			why.code = VN_E_BACKEND;
		pthread_mutex_lock(&local->lock);
		local->lacks[i] = why;
		pthread_mutex_unlock(&local->lock);
	}
}

int
types_check(struct disk *disk, int type, struct vn_error *err)
{
	return types_check_local(vn_container_of(disk, struct local, base), type, err);
}

int
types_check_local(struct local *local, int type, struct vn_error *err)
{
	struct vn_error why;

	pthread_mutex_lock(&local->lock);
	why = local->lacks[type];
	pthread_mutex_unlock(&local->lock);
	if (why.code == VN_OK)
		return 0;
	return vn_fail(err, VN_E_UNSUPPORTED, "this host has no disks of type '%s': %s",
		       disk_type_words[type], why.text);
}
