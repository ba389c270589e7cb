/* A file's own time of change says how long ago it was of use: no row is kept of what broke off. */
#include "daemon/incoming.h"

#include <dirent.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "daemon/log.h"
#include "proto/base/mem.h"

void
incoming_init(struct incoming *incoming, const struct daemon *daemon)
{
	incoming->folder = vn_format("%s/incoming", daemon->config.state_dir);
	incoming->older_than_s = (int64_t)(daemon->config.image_part_keep_ns / 1000000000);
}

void
incoming_fini(struct incoming *incoming)
{
	free(incoming->folder);
}

static uint64_t
sweep_entry(const struct incoming *incoming, int folder, const char *name)
{
	struct stat st;

	if (name[0] == '.' || fstatat(folder, name, &st, AT_SYMLINK_NOFOLLOW) < 0
	    || st.st_mtime + incoming->older_than_s > time(NULL) || unlinkat(folder, name, 0) < 0)
		return 0;
	vn_log_info("image", "removed %s/%s: nobody has gone on with it for %lld s",
		    incoming->folder, name, (long long)incoming->older_than_s);
	return (uint64_t)st.st_size;
}

uint64_t
incoming_sweep(const struct incoming *incoming)
{
	DIR *dir = opendir(incoming->folder);
	struct dirent *entry;
	uint64_t bytes = 0;

	if (!dir)
		return 0;
	while ((entry = readdir(dir)))
		bytes += sweep_entry(incoming, dirfd(dir), entry->d_name);
	closedir(dir);
	return bytes;
}
