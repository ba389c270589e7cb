/* The overlay backend: files of ours go into a guest's tree, whatever the guest has put in their way. */
#include "tests/host/check_disk.h"

#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "proto/base/mem.h"
#include "tests/host/disk_vnode.h"
#include "tests/host/disk_world.h"

static int
inject(const char *file, const char *text, unsigned mode)
{
	struct guest_file guest_file = { .path = file, .text = text, .mode = mode };

	return disk->ops->inject(disk, &spec, &guest_file, 1, &err);
}

START_TEST(injected_files_belong_to_the_guests_root)
{
	create_and_mount();
	ok(inject("/etc/hostname", "alice\n", 0644));
	ok(inject("/var/lib/vnoded/deep/secret", "s\n", 0600));
	in_guest("test \"$(stat -c %u:%g:%a etc/hostname)\" = 0:0:644 && grep -q alice etc/hostname");
	in_guest("test \"$(stat -c %u:%a var/lib/vnoded/deep)\" = 0:755");
	in_guest("test \"$(stat -c %u:%a var/lib/vnoded/deep/secret)\" = 0:600");
	in_guest("test -z \"$(find . -name '.vnoded*')\"");
}
END_TEST

START_TEST(unchanged_files_are_not_rewritten)
{
	struct stat before, after;
	vn_autofree char *file = NULL;

	create_and_mount();
	file = vn_format("%s/etc/hostname", path);
	ok(inject("/etc/hostname", "alice\n", 0644));
	stat(file, &before);
	ok(inject("/etc/hostname", "alice\n", 0644));
	stat(file, &after);
	ck_assert_uint_eq(before.st_ino, after.st_ino);
	ok(inject("/etc/hostname", "bob\n", 0644));
	stat(file, &after);
	ck_assert_uint_ne(before.st_ino, after.st_ino);
	in_guest("chmod 600 etc/hostname");
	ok(inject("/etc/hostname", "bob\n", 0644));
	in_guest("test \"$(stat -c %a etc/hostname)\" = 644");
}
END_TEST

/* What a guest may have put in the way, and whether the file arrives all the same. */
static const struct {
	const char *command, *file;
	bool arrives;
} evil[] = {
	{ "ln -s %s/outside etc/hostname", "/etc/hostname", true },
	{ "rm -r etc; ln -s ../../../..%s/outside etc", "/etc/hostname", false },
	{ "rm -r etc; ln -s %s/outside etc", "/etc/hostname", false },
	{ "mv etc real; ln -s /real etc", "/etc/hostname", true },
	{ "mv etc real; ln -s ../../real etc", "/etc/hostname", true },
	{ "rm -r etc; ln -s etc etc", "/etc/hostname", false },
	{ "rm -r etc; ln -s /proc/self/root/tmp etc", "/etc/hostname", false },
	{ "rm -r etc; touch etc", "/etc/hostname", false },
	{ "mkfifo etc/hostname", "/etc/hostname", true },
	{ "mkdir etc/hostname", "/etc/hostname", false },
	{ "ln -s %s/outside/x etc/.vnoded-new", "/etc/hostname", true },
	{ "chmod 0 etc; chown 5:5 etc", "/etc/hostname", true },
	{ "true", "/../../../../%s/outside/x", true },
};

START_TEST(links_of_a_guest_never_lead_outside)
{
	char command[512], file[512];

	create_and_mount();
	run("mkdir %s/outside", folder);
	snprintf(command, sizeof(command), "%s", evil[_i].command);
	if (strstr(command, "%s"))
		snprintf(command, sizeof(command), "%.*s%s%s",
			 (int)(strstr(evil[_i].command, "%s") - evil[_i].command), evil[_i].command,
			 folder, strstr(evil[_i].command, "%s") + 2);
	snprintf(file, sizeof(file), "%s", evil[_i].file);
	in_guest(command);
	if (evil[_i].arrives) {
		ok(inject(file, "alice\n", 0644));
		if (!strstr(file, "%s"))
			in_guest("grep -q alice \"$(find . -name hostname -type f)\"");
	} else {
		ck_assert_int_eq(inject(file, "alice\n", 0644), -1);
	}
	run("test -z \"$(ls -A %s/outside)\" && test ! -e /tmp/hostname", folder);
}
END_TEST

START_TEST(bad_paths_are_refused)
{
	static const char *const bad[] = { "etc/x", "", "/", "/etc/", "/etc/.", "/etc/.." };

	create_and_mount();
	for (size_t i = 0; i < VN_COUNT(bad); i++)
		fails(inject(bad[i], "x", 0644), VN_E_INVALID);
}
END_TEST

void
add_inject_cases(TCase *tcase)
{
	tcase_add_test(tcase, injected_files_belong_to_the_guests_root);
	tcase_add_test(tcase, unchanged_files_are_not_rewritten);
	tcase_add_loop_test(tcase, links_of_a_guest_never_lead_outside, 0, VN_COUNT(evil));
	tcase_add_test(tcase, bad_paths_are_refused);
}
