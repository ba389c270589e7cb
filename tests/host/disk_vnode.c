/* Its specification is plain data: cases change it as they like, and the next one starts afresh. */
#include "tests/host/disk_vnode.h"

#include "tests/host/disk_world.h"

struct disk_spec spec, privileged;
char path[PATH_MAX];

void
describe_vnode(enum disk_type type)
{
	spec = (struct disk_spec){ .vmid = 7, .uuid = "22222222-2222-4222-8222-222222222222",
				   .image_sha256 = SHA, .type = type, .userns = userns,
				   .idmap_base = BASE };
	privileged = spec;
	privileged.userns = NULL;
}

void
in_guest(const char *command)
{
	run_in(path, command);
}
