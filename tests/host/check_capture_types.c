/* Captures of disks of all types: the same contents are the same archive wherever they lay. */
#include "tests/host/check_capture.h"

#include "proto/base/mem.h"
#include "tests/host/capture_vnode.h"
#include "tests/host/disk_world.h"
#include "tests/host/fake_lvm.h"

static const struct {
	int type;
	const char *file_system;	/* of state_dir */
} places[] = {
	{ DISK_REFLINK, "btrfs" }, { DISK_REFLINK, "xfs" }, { DISK_LVM_THIN, "ext4" },
};

/* The backend on a host that can have disks of that type, and a vnode that has lived on an overlay. */
static void
begin_place(size_t at, struct vnode *vnode, struct capture_facts *facts)
{
	close_disk();
	mount_state(places[at].file_system);
	if (places[at].type == DISK_LVM_THIN)
		fake_lvm_begin(folder, &env);
	open_disk();
	lived(vnode);
	capture(vnode, false, "overlay", facts);
	unpack_captured("overlay", facts, NULL);
}

static void
create_there(size_t at, struct vnode *vnode, int64_t vmid, const char *image)
{
	vnode_init(vnode, vmid, image);
	vnode->spec.type = places[at].type;
	ok(disk->ops->create(disk, &vnode->spec, &err));
}

START_TEST(disks_of_all_types_give_the_same_archive)
{
	struct vnode first, second, third;
	struct capture_facts facts, again;

	begin_place((size_t)_i, &first, &facts);
	create_there((size_t)_i, &second, 8, facts.sha256);
	inject(&second);
	capture(&second, false, "other", &again);
	run("cmp %s/archives/overlay %s/archives/other", folder, folder);
	ck_assert_str_eq(facts.sha256, again.sha256);
	/* And back: what lived there becomes an overlay. */
	create_there((size_t)_i, &third, 9, SHA);
	inject(&third);
	in_guest(&third, deeds);
	inject(&third);
	capture(&third, false, "lived", &facts);
	capture(&third, false, "again", &again);
	ck_assert_str_eq(facts.sha256, again.sha256);
	unpack_captured("lived", &facts, NULL);
	create(&first, 10, facts.sha256);
	inject(&first);
	capture(&first, false, "back", &again);
	run("cmp %s/archives/lived %s/archives/back", folder, folder);
	fails(try_capture(&third, true, "/nowhere/x", &facts), VN_E_UNSUPPORTED);
	ok(disk->ops->destroy(disk, &second.spec, &err));
	ok(disk->ops->destroy(disk, &third.spec, &err));
}
END_TEST

/* e2fsck makes the folder when a disk is made larger. */
START_TEST(what_ext4_has_for_itself_is_in_no_archive)
{
	struct vnode first, second;
	struct capture_facts facts;

	begin_place(2, &first, &facts);
	create_there(2, &second, 8, facts.sha256);
	in_guest(&second, "test ! -e lost+found");
	second.spec.size_bytes = 2ull << 30;
	ok(disk->ops->grow(disk, &second.spec, &err));
	in_guest(&second, "test -d lost+found");
	capture(&second, false, "grown", &facts);
	run("cmp %s/archives/overlay %s/archives/grown", folder, folder);
	/* What it has found is the guest's. */
	in_guest(&second, "echo found >lost+found/1");
	capture(&second, false, "found", &facts);
	run("tar -tf %s/archives/found | grep -qx ./lost+found/1", folder);
	ok(disk->ops->destroy(disk, &second.spec, &err));
}
END_TEST

START_TEST(a_lost_and_found_of_the_image_stays_in_it)
{
	struct vnode first, second, third;
	struct capture_facts facts, again;

	begin_place(2, &first, &facts);
	in_guest(&first, "mkdir lost+found && echo 1 >lost+found/1 && touch -d @1 .");
	capture(&first, false, "with", &facts);
	unpack_captured("with", &facts, NULL);
	create_there(2, &second, 8, facts.sha256);
	create(&third, 9, facts.sha256);
	in_guest(&second, "rm lost+found/1 && touch -d @2 lost+found");
	in_guest(&third, "rm lost+found/1 && touch -d @2 lost+found");
	capture(&second, false, "second", &facts);
	capture(&third, false, "third", &again);
	run("cmp %s/archives/second %s/archives/third && tar -tf %s/archives/second | grep -qx ./lost+found/", folder,
	    folder, folder);
	ok(disk->ops->destroy(disk, &second.spec, &err));
}
END_TEST

void
add_type_cases(TCase *tcase)
{
	tcase_add_loop_test(tcase, disks_of_all_types_give_the_same_archive, 0, VN_COUNT(places));
	tcase_add_test(tcase, what_ext4_has_for_itself_is_in_no_archive);
	tcase_add_test(tcase, a_lost_and_found_of_the_image_stays_in_it);
}
