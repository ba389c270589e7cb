/*
 * What a guest does to its disk is a shell script, and so is the look from outside: the judge must know
 * nothing of how the backend reads and writes trees.
 */
#include "tests/host/capture_vnode.h"

#include <stdio.h>

#include "proto/base/mem.h"
#include "tests/host/disk_world.h"

bool cancelled;

const char deeds[] =
	"rm etc/gone; chown 33:34 etc/passwd; mv old new; mkdir new/deep/inside; rm -r over; mkdir over;"
	"echo 1 >over/own; ln etc/owned etc/second; ln two three; echo more >>one;"
	"mkdir 'a' a-b; echo x >a/x; echo x >a.c; : >'name with \xc3\xa4 and blank';"
	"ln -s /nowhere/at/all link; ln -s ../etc/passwd a/up; mkfifo -m 640 fifo;"
	"dd if=/dev/zero of=zeros bs=64k count=20 status=none;"
	"dd if=/dev/urandom of=sparse bs=4k count=3 seek=700 status=none; truncate -s 9M sparse;"
	"truncate -s 5M hole; chmod 2751 bin/su; chmod 0 tmp; touch -d '1999-12-31 23:59:59.123456789' a/x;"
	"mkdir $(printf 'd%.0s' $(seq 200)); echo long >$(printf 'd%.0s' $(seq 200))/$(printf 'f%.0s' $(seq 200));"
	"python3 -c 'import os, struct, socket\n"
	"os.setxattr(\"one\", \"user.colour\", b\"red\\0blue\")\n"
	"os.setxattr(\"one\", \"user.about\", b\"\")\n"
	"os.setxattr(\"a\", \"user.overlay.opaque\", b\"y\")\n"
	"acl = struct.pack(\"<I\", 2) + b\"\".join(struct.pack(\"<HHI\", *row) for row in ((1, 7, 0xffffffff),"
	" (2, 5, 33), (4, 4, 0xffffffff), (8, 6, 34), (16, 7, 0xffffffff), (32, 1, 0xffffffff)))\n"
	"os.setxattr(\"a-b\", \"system.posix_acl_default\", acl)\n"
	"os.setxattr(\"a/x\", \"system.posix_acl_access\", acl)\n"
	"os.setxattr(\"bin/su\", \"security.capability\", struct.pack(\"<5I\", 0x02000001, 1 << 10, 0, 0, 0))\n"
	"socket.socket(socket.AF_UNIX).bind(\"socket\")'";

void
add_base_image(void)
{
	static const struct tar_entry entries[] = {
		{ "./", '5', .mode = 0755 },
		{ "./etc", '5' },
		{ "./etc/passwd", '0', .data = "root:x:0:0::/:/bin/sh\n" },
		{ "./etc/hosts", '0', .data = "127.0.0.1 of-the-image\n" },
		{ "./etc/machine-id", '0', .data = "uninitialized\n" },
		{ "./etc/owned", '0', .uid = 33, .gid = 34, .data = "by 33\n" },
		{ "./etc/gone", '0', .data = "x" },
		{ "./tmp", '5', .mode = 01777 },
		{ "./old", '5' },
		{ "./old/deep", '5' },
		{ "./old/deep/file", '0', .data = "moved\n" },
		{ "./over", '5' },
		{ "./over/hidden", '0', .data = "x" },
		{ "./one", '0', .data = "linked\n" },
		{ "./two", '1', .link = "./one" },
		{ "./bin/su", '0', .mode = 04755, .data = "setuid" },
	};

	add_entries(SHA, NULL, entries, VN_COUNT(entries));
}

void
vnode_init(struct vnode *vnode, int64_t vmid, const char *image)
{
	snprintf(vnode->uuid, sizeof(vnode->uuid), "22222222-2222-4222-8222-%012d", (int)vmid);
	snprintf(vnode->image, sizeof(vnode->image), "%s", image);
	vnode->spec = (struct disk_spec){ .vmid = vmid, .uuid = vnode->uuid, .image_sha256 = vnode->image,
					  .userns = userns, .idmap_base = BASE };
}

void
create(struct vnode *vnode, int64_t vmid, const char *image)
{
	vnode_init(vnode, vmid, image);
	ok(disk->ops->create(disk, &vnode->spec, &err));
}

void
inject(struct vnode *vnode)
{
	vn_autofree char *hosts = vn_format("127.0.0.1 vnode-%d\n", (int)vnode->spec.vmid);
	vn_autofree char *key = vn_format("key of %d\n", (int)vnode->spec.vmid);
	const struct guest_file files[] = { { .path = "/etc/hosts", .text = hosts, .mode = 0644 },
		{ .path = "/etc/hostname", .text = key, .mode = 0644 },
		{ .path = "/etc/ssh/ssh_host_ed25519_key", .text = key, .mode = 0600 },
		{ .path = "/etc/machine-id", .text = key, .mode = 0444 },
		{ .path = "/root/.ssh/authorized_keys", .text = key, .mode = 0600, .folder_mode = 0700 } };
	struct disk_spec plain = vnode->spec;

	plain.userns = NULL;
	ok(disk->ops->mount(disk, &plain, vnode->root, &err));
	ok(disk->ops->inject(disk, &plain, files, VN_COUNT(files), &err));
	ok(disk->ops->unmount(disk, &plain, &err));
}

void
in_guest(struct vnode *vnode, const char *command)
{
	ok(disk->ops->mount(disk, &vnode->spec, vnode->root, &err));
	run_in(vnode->root, command);
	ok(disk->ops->unmount(disk, &vnode->spec, &err));
}

void
lived(struct vnode *vnode)
{
	add_base_image();
	create(vnode, 7, SHA);
	inject(vnode);
	in_guest(vnode, deeds);
	inject(vnode);
}

static const char *const own[] = { "/etc/hosts", "/etc/hostname", "/root/.ssh/authorized_keys", NULL };

int
try_capture(const struct vnode *vnode, bool delta, const char *path, struct capture_facts *ret)
{
	const struct capture_spec spec = { .path = path, .delta = delta, .own = own,
					   .limit_bytes = 64 << 20, .limit_entries = 1000 };

	return disk->ops->capture(disk, &vnode->spec, &spec, &cancelled, ret, &err);
}

void
capture(const struct vnode *vnode, bool delta, const char *name, struct capture_facts *ret)
{
	vn_autofree char *path = vn_format("%s/archives/%s", folder, name);

	ok(try_capture(vnode, delta, path, ret));
	run("test $(stat -c %%s %s) = %llu && test $(sha256sum <%s | cut -c-64) = %s", path,
	    (unsigned long long)ret->bytes, path, ret->sha256);
}

void
unpack_captured(const char *name, const struct capture_facts *facts, const char *base)
{
	vn_autofree char *path = vn_format("%s/archives/%s", folder, name);

	ok(unpack(&(struct image_spec){ .path = path, .sha256 = facts->sha256, .format = IMAGE_TAR, .base = base }));
}

static const char looker[] =
	"import hashlib, os, stat\n"
	"own = ('./etc/hosts', './etc/hostname', './etc/machine-id', './root/.ssh/authorized_keys', './etc/ssh/ssh_host_ed25519_key')\n"
	"def facts(path):\n"
	"    st = os.lstat(path)\n"
	"    names = [n for n in sorted(os.listxattr(path, follow_symlinks=False)) if not n.startswith('user.overlay')]\n"
	"    is_file = stat.S_ISREG(st.st_mode)\n"
	"    return (path, oct(st.st_mode), st.st_uid, st.st_gid, st.st_mtime_ns, stat.S_ISLNK(st.st_mode) and os.readlink(path),\n"
	"            is_file and (st.st_nlink, st.st_size, hashlib.sha256(open(path, 'rb').read()).hexdigest()),\n"
	"            [(n, os.getxattr(path, n, follow_symlinks=False)) for n in names])\n"
	"for folder, folders, files in os.walk('.'):\n"
	"    for path in [folder] + [os.path.join(folder, n) for n in files + [n for n in folders if os.path.islink(os.path.join(folder, n))]]:\n"
	"        if path not in own and not stat.S_ISSOCK(os.lstat(path).st_mode):\n"
	"            print(*facts(path))\n";

void
look(struct vnode *vnode, const char *name)
{
	struct disk_spec plain = vnode->spec;
	vn_autofree char *program = vn_format("%s/look.py", folder);
	FILE *file = fopen(program, "we");

	plain.userns = NULL;
	ck_assert_ptr_nonnull(file);
	fputs(looker, file);
	fclose(file);
	ok(disk->ops->mount(disk, &plain, vnode->root, &err));
	run("cd %s && python3 %s | sort >%s/%s", vnode->root, program, folder, name);
	ok(disk->ops->unmount(disk, &plain, &err));
}
