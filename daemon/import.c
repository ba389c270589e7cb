/*
 * Files of the host that clients may name: those below import_dir and no others. A name is resolved by
 * the kernel with RESOLVE_BENEATH, so that neither ".." nor a link leads out.
 */
#include "daemon/sources.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <stdio.h>
#include <sys/syscall.h>

int
import_open(const struct daemon *daemon, const char *name, const char *path, struct vn_error *err)
{
	struct open_how how = { .flags = O_RDONLY | O_CLOEXEC | O_NONBLOCK,
				.resolve = RESOLVE_BENEATH | RESOLVE_NO_MAGICLINKS };
	vn_autoclose int dir = -1;
	int fd;

	if (!daemon->config.import_dir)
		return vn_fail_at(err, path, VN_E_DENIED, "no import_dir is set in vnoded.conf: pass "
				  "the file's descriptor (vnodectl does), or set it");
	dir = open(daemon->config.import_dir, O_PATH | O_DIRECTORY | O_CLOEXEC);
	if (dir < 0)
		return vn_fail_errno(err, errno, "open import_dir '%s'", daemon->config.import_dir);
	fd = (int)syscall(SYS_openat2, dir, name, &how, sizeof(how));
	if (fd < 0 && errno == EXDEV)
		return vn_fail_at(err, path, VN_E_INVALID, "'%s' leads out of import_dir: name a file "
				  "below it", name);
	if (fd < 0) {
		vn_fail_errno(err, errno, "open '%s' below import_dir", name);
		snprintf(err->path, sizeof(err->path), "%s", path);
		return -1;
	}
	return fd;
}
