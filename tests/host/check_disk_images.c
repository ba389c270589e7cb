/* The overlay backend: images, which are whole or count for nothing. */
#include "tests/host/check_disk.h"

#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <unistd.h>

#include "proto/base/mem.h"
#include "tests/host/disk_vnode.h"
#include "tests/host/disk_world.h"

static int
unpack_file(const char *archive, const char *sha256)
{
	return unpack(&(struct image_spec){ .path = archive, .sha256 = sha256 });
}

START_TEST(an_image_counts_only_when_it_is_finished)
{
	fails(disk->ops->image_check(disk, SHA, &err), VN_E_NOT_FOUND);
	fails(disk->ops->create(disk, &spec, &err), VN_E_NOT_FOUND);
	run("mkdir -p %s/images/" SHA "/root/etc %s/images/" SHA ".partial-1/root", state_dir, state_dir);
	fails(disk->ops->image_check(disk, SHA, &err), VN_E_NOT_FOUND);
	ck_assert_uint_eq(count_found(DISK_IMAGE_PARTIAL), 2);
	add_image(SHA);
	ok(disk->ops->image_check(disk, SHA, &err));
	add_image(SHA);
	ck_assert_uint_eq(count_found(DISK_IMAGE_PARTIAL), 1);
	ck_assert_uint_eq(count_found(DISK_IMAGE), 1);
	ok(disk->ops->empty_trash(disk, &err));
	ck_assert_uint_eq(count_found(DISK_IMAGE_PARTIAL), 0);
	ok(disk->ops->image_check(disk, SHA, &err));
}
END_TEST

START_TEST(an_image_in_the_making_is_not_trash)
{
	vn_autofree char *partial = vn_format("%s/images/" SHA ".partial-1", state_dir);
	int fd;

	run("mkdir -p %s/root", partial);
	fd = open(partial, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	ck_assert_int_eq(flock(fd, LOCK_EX), 0);
	ok(disk->ops->empty_trash(disk, &err));
	ck_assert_int_eq(access(partial, F_OK), 0);
	close(fd);
	ok(disk->ops->empty_trash(disk, &err));
	ck_assert_int_eq(access(partial, F_OK), -1);
}
END_TEST

START_TEST(a_bad_archive_leaves_nothing)
{
	static const struct tar_entry evil[] = { { "a", '0', .data = "x" }, { "../b", '0', .data = "x" } };
	vn_autofree char *archive = vn_format("%s/evil.tar", folder);

	tar_write(archive, evil, 2);
	fails(unpack_file(archive, SHA), VN_E_INVALID);
	run("test -z \"$(ls -A %s/images %s/trash | grep -v :)\"", state_dir, state_dir);
	fails(unpack_file(archive, "../../etc"), VN_E_INVALID);
	fails(unpack_file("/nonexistent", SHA), VN_E_NOT_FOUND);
	run("test -z \"$(ls -A %s/images %s/trash | grep -v :)\"", state_dir, state_dir);
}
END_TEST

/* A real full disk: a small file system in a file. */
START_TEST(a_full_disk_is_a_limit_and_leaves_nothing)
{
	struct tar_entry entries[40];
	char names[40][8], data[2][70000];
	vn_autofree char *archive = vn_format("%s/large.tar", folder);

	disk->ops->close(disk);
	memset(data, 'x', sizeof(data));
	data[0][sizeof(data[0]) - 1] = '\0';
	for (int i = 0; i < 40; i++) {
		snprintf(names[i], sizeof(names[i]), "f%d", i);
		entries[i] = (struct tar_entry){ names[i], '0', .data = data[0] };
	}
	tar_write(archive, entries, 14);
	run("mount -t tmpfs -o size=512k small %s", state_dir);
	open_disk();
	fails(unpack_file(archive, SHA), VN_E_LIMIT);
	run("test -z \"$(ls -A %s/images %s/trash | grep -v :)\"", state_dir, state_dir);
	run("umount %s", state_dir);
}
END_TEST

void
add_image_cases(TCase *tcase)
{
	tcase_add_test(tcase, an_image_counts_only_when_it_is_finished);
	tcase_add_test(tcase, an_image_in_the_making_is_not_trash);
	tcase_add_test(tcase, a_bad_archive_leaves_nothing);
	tcase_add_test(tcase, a_full_disk_is_a_limit_and_leaves_nothing);
}
