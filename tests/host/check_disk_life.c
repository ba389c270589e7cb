/* The overlay backend: disks that are made, made anew and destroyed, whole or from what a kill has left. */
#include "tests/host/check_disk.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "tests/host/disk_vnode.h"
#include "tests/host/disk_world.h"

START_TEST(create_and_destroy_may_be_repeated)
{
	add_image(SHA);
	ok(disk->ops->create(disk, &spec, &err));
	ok(disk->ops->create(disk, &spec, &err));
	ok(disk->ops->destroy(disk, &spec, &err));
	ok(disk->ops->destroy(disk, &spec, &err));
	ck_assert_uint_eq(count_found(DISK_VNODE), 0);
	ck_assert_uint_eq(count_found(DISK_TRASH), 0);
	fails(disk->ops->mount(disk, &spec, path, &err), VN_E_NOT_FOUND);
}
END_TEST

START_TEST(a_disk_of_someone_else_is_left_alone)
{
	struct disk_spec other = spec;

	add_image(SHA);
	other.uuid = "33333333-3333-4333-8333-333333333333";
	ok(disk->ops->create(disk, &spec, &err));
	fails(disk->ops->create(disk, &other, &err), VN_E_EXISTS);
	fails(disk->ops->destroy(disk, &other, &err), VN_E_EXISTS);
	fails(disk->ops->mount(disk, &other, path, &err), VN_E_EXISTS);
	run("mkdir -p %s/disks/9/upper", state_dir);
	other.vmid = 9;
	fails(disk->ops->create(disk, &other, &err), VN_E_EXISTS);
	fails(disk->ops->destroy(disk, &other, &err), VN_E_EXISTS);
	run("test -d %s/disks/9/upper", state_dir);
}
END_TEST

START_TEST(a_disk_is_mounted_on_its_own_image_only)
{
	struct disk_spec other = spec;

	add_image(SHA);
	add_image(OTHER);
	other.image_sha256 = OTHER;
	ok(disk->ops->create(disk, &spec, &err));
	fails(disk->ops->mount(disk, &other, path, &err), VN_E_STATE);
	fails(disk->ops->create(disk, &other, &err), VN_E_STATE);
	fails(disk->ops->image_remove(disk, SHA, &err), VN_E_STATE);
	ok(disk->ops->image_remove(disk, OTHER, &err));
	ok(disk->ops->image_remove(disk, OTHER, &err));
	fails(disk->ops->image_check(disk, OTHER, &err), VN_E_NOT_FOUND);
}
END_TEST

START_TEST(a_renewed_disk_is_fresh_on_any_image_and_the_old_one_goes)
{
	struct disk_spec other = spec;

	add_image(SHA);
	add_image(OTHER);
	other.image_sha256 = OTHER;
	ok(disk->ops->create(disk, &spec, &err));
	run("touch %s/disks/7/upper/mine", state_dir);
	fails(disk->ops->renew(disk, &(struct disk_spec){ .vmid = 7, .uuid = "33333333-3333-4333-8333-333333333333",
				       .image_sha256 = SHA }, &err), VN_E_EXISTS);
	run("test -e %s/disks/7/upper/mine", state_dir);
	ok(disk->ops->renew(disk, &other, &err));
	run("test ! -e %s/disks/7/upper/mine && test ! -e %s/disks/.new-7", state_dir, state_dir);
	ok(disk->ops->mount(disk, &other, path, &err));
	fails(disk->ops->renew(disk, &other, &err), VN_E_STATE);
	ok(disk->ops->unmount(disk, &other, &err));
	/* As if killed between putting the fresh one in place and trashing the old one. */
	run("mkdir -p %s/disks/.new-7/upper && touch %s/disks/.new-7/upper/old", state_dir, state_dir);
	ok(disk->ops->renew(disk, &spec, &err));
	run("test ! -e %s/disks/.new-7", state_dir);
	ok(disk->ops->mount(disk, &spec, path, &err));
	ok(disk->ops->unmount(disk, &spec, &err));
}
END_TEST

/* What a kill in the middle leaves, made by hand: the next call goes on from there. */
START_TEST(half_made_disks_are_made_whole)
{
	add_image(SHA);
	run("mkdir -p %s/disks/.new-7/upper && echo '{}' >%s/disks/.new-7/owner.new", state_dir,
	    state_dir);
	ok(disk->ops->create(disk, &spec, &err));
	run("test ! -e %s/disks/.new-7", state_dir);
	run("mkdir %s/root/7", run_dir);
	ok(disk->ops->mount(disk, &spec, path, &err));
	ok(disk->ops->unmount(disk, &spec, &err));
	run("mkdir %s/trash/disk-7-0 && mv %s/disks/7 %s/trash/disk-7-0/0", state_dir, state_dir,
	    state_dir);
	ok(disk->ops->destroy(disk, &spec, &err));
	ck_assert_uint_eq(count_found(DISK_TRASH), 1);
	ok(disk->ops->empty_trash(disk, &err));
	ck_assert_uint_eq(count_found(DISK_TRASH), 0);
}
END_TEST

START_TEST(trees_of_any_depth_are_deleted)
{
	int at;

	add_image(SHA);
	ok(disk->ops->create(disk, &spec, &err));
	at = open(in_disk("upper"), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	for (int i = 0; i < 3000; i++) {
		int next;

		ck_assert_int_eq(mkdirat(at, "d", 0755), 0);
		next = openat(at, "d", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
		ck_assert_int_ge(next, 0);
		close(at);
		at = next;
	}
	close(at);
	ok(disk->ops->destroy(disk, &spec, &err));
	ck_assert_uint_eq(count_found(DISK_TRASH), 0);
}
END_TEST

START_TEST(links_out_of_a_deleted_disk_are_not_followed)
{
	add_image(SHA);
	ok(disk->ops->create(disk, &spec, &err));
	run("mkdir %s/keep && echo x >%s/keep/file && cd %s && mkdir -p a/b && ln -s %s/keep a/b/link && "
	    "ln -s %s/keep link && ln -s / root && ln %s/keep/file hard && mkfifo pipe && "
	    "for i in $(seq 300); do mkdir -p many/$i/x; touch many/$i/x/f; done",
	    folder, folder, in_disk("upper"), folder, folder, folder);
	ok(disk->ops->destroy(disk, &spec, &err));
	run("test -e %s/keep/file && test -z \"$(ls -A %s/trash)\"", folder, state_dir);
}
END_TEST

START_TEST(mounts_below_a_deleted_disk_are_not_entered)
{
	add_image(SHA);
	ok(disk->ops->create(disk, &spec, &err));
	run("mkdir -p %s/mnt && mount -t tmpfs other %s/mnt && echo x >%s/mnt/kept", in_disk("upper"),
	    in_disk("upper"), in_disk("upper"));
	fails(disk->ops->destroy(disk, &spec, &err), VN_E_BUSY);
	run("m=$(awk '/trash/ {print $5}' /proc/self/mountinfo) && test -e $m/kept && umount $m");
	ok(disk->ops->empty_trash(disk, &err));
	ck_assert_uint_eq(count_found(DISK_TRASH), 0);
}
END_TEST

void
add_life_cases(TCase *tcase)
{
	tcase_add_test(tcase, create_and_destroy_may_be_repeated);
	tcase_add_test(tcase, a_disk_of_someone_else_is_left_alone);
	tcase_add_test(tcase, a_disk_is_mounted_on_its_own_image_only);
	tcase_add_test(tcase, a_renewed_disk_is_fresh_on_any_image_and_the_old_one_goes);
	tcase_add_test(tcase, half_made_disks_are_made_whole);
	tcase_add_test(tcase, trees_of_any_depth_are_deleted);
	tcase_add_test(tcase, links_out_of_a_deleted_disk_are_not_followed);
	tcase_add_test(tcase, mounts_below_a_deleted_disk_are_not_entered);
}
