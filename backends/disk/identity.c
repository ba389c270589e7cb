/*
 * Whoever wrote them: a guest that was not given keys by vnoded makes its own at its first boot, and so does
 * one made from its image, if they are not there.
 */
#include "backends/disk/identity.h"

#include <fnmatch.h>
#include <stddef.h>

#include "proto/base/mem.h"

static const char *const patterns[] = {
	"etc/machine-id",
	"var/lib/dbus/machine-id",
	"etc/ssh/ssh_host_*_key",
	"etc/ssh/ssh_host_*_key.pub",
	"var/lib/systemd/random-seed",
	"var/lib/systemd/credential.secret",
	/* Its addresses, by vnoded's own names: also those of an interface that it has no more. */
	"etc/network/interfaces.d/vnoded",
	"etc/systemd/network/05-vnoded-*.network",
	"etc/netplan/99-vnoded.yaml",
};

bool
identity_is(const char *path)
{
	for (size_t i = 0; i < VN_COUNT(patterns); i++)
		if (fnmatch(patterns[i], path, FNM_PATHNAME) == 0)
			return true;
	return false;
}
