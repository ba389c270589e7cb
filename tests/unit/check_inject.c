/*
 * Files in roots that mean harm: links on the way, at the end and in what is read, fifos, folders, files
 * without end. Whatever a root holds, nothing outside it is read, written or removed.
 */
#include <check.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "backends/disk/inject.h"
#include "backends/disk/shadow.h"
#include "proto/base/mem.h"
#include "tests/shell.h"
#include "tests/unit/run.h"

static char folder[] = "/tmp/check-inject-XXXXXX";
static char root[64], outside[64];
static struct vn_error err;

static void
set_up(void)
{
	strcpy(folder + sizeof(folder) - 7, "XXXXXX");
	ck_assert_ptr_nonnull(mkdtemp(folder));
	snprintf(root, sizeof(root), "%s/root", folder);
	snprintf(outside, sizeof(outside), "%s/outside", folder);
	ck_assert_int_eq(mkdir(root, 0755) | mkdir(outside, 0755), 0);
	err = (struct vn_error){ 0 };
}

/* A shell's command in the root, with $OUT for the folder beside it. */
static void
in_root(const char *command)
{
	run("cd %s && OUT=%s && { %s; }", root, outside, command);
}

static void
tear_down(void)
{
	run("rm -rf %s", folder);
}

static int
inject(struct guest_file file)
{
	return inject_files(root, &file, 1, &err);
}

static void
ok(struct guest_file file)
{
	ck_assert_msg(inject(file) == 0, "%s: %s", file.path, err.text);
	in_root("test -z \"$(find . -name '.vnoded*')\"");
}

static void
refused(struct guest_file file, const char *words)
{
	ck_assert_int_eq(inject(file), -1);
	ck_assert_msg(err.code == VN_E_INVALID && strstr(err.text, words), "%s: %s", file.path, err.text);
	ck_assert_str_eq(err.path, file.field ? file.field : "");
}

/* ---- whole files ---------------------------------------------------------------------------- */

START_TEST(a_file_has_the_owner_and_mode_that_it_is_given)
{
	ok((struct guest_file){ .path = "/opt/app/run", .text = "x", .mode = 0750, .folder_mode = 0700 });
	in_root("test \"$(stat -c %a opt/app/run)\" = 750 && test \"$(stat -c %a opt/app)\" = 700 && "
		"test \"$(stat -c %a opt)\" = 755");
	if (geteuid() != 0)
		return;
	ok((struct guest_file){ .path = "/opt/app/run", .text = "x", .mode = 04755, .uid = 33, .gid = 4 });
	in_root("test \"$(stat -c %u:%g:%a opt/app/run)\" = 33:4:4755");
}
END_TEST

START_TEST(a_copy_is_a_copy_to_the_byte)
{
	vn_autofree char *source = vn_format("%s/bytes", outside);

	in_root("head -c 100000 /dev/urandom >$OUT/bytes");
	ok((struct guest_file){ .path = "/bytes", .source = source, .mode = 0644 });
	in_root("cmp bytes $OUT/bytes && stat -c %i bytes >$OUT/inode");
	ok((struct guest_file){ .path = "/bytes", .source = source, .mode = 0644 });
	in_root("test $(stat -c %i bytes) = $(cat $OUT/inode)");
	in_root("truncate -s 1048577 $OUT/bytes");
	refused((struct guest_file){ .path = "/bytes", .source = source, .mode = 0644 }, "at most 1048576");
}
END_TEST

START_TEST(a_file_for_a_tool_is_written_where_the_tool_is)
{
	static const char *const where[] = { "/usr/sbin/tool", "/etc/tool", NULL };
	struct guest_file file = { .path = "/etc/tool.conf", .text = "x", .mode = 0644, .where = where };

	ok(file);
	in_root("test ! -e etc");
	in_root("mkdir -p usr/sbin && ln -s $OUT usr/sbin/tool");	/* leads nowhere in there */
	ok(file);
	in_root("test ! -e etc");
	in_root("mkdir -p etc real && ln -s ../real/tool etc/tool && touch real/tool");
	ok(file);
	in_root("test -f etc/tool.conf");
}
END_TEST

/* ---- strict files --------------------------------------------------------------------------- */

static const struct {
	const char *command, *words;	/* words of the refusal; NULL: it arrives */
} strict[] = {
	{ "true", NULL },
	{ "mkdir -p etc/app && echo old >etc/app/conf", NULL },
	{ "mkdir etc && ln -s $OUT etc/app", "over a link" },
	{ "mkdir -p etc real && ln -s ../real etc/app", "over a link" },
	{ "mkdir -p etc/app && ln -s $OUT/conf etc/app/conf", "is a link" },
	{ "mkdir -p etc/app && ln -s other etc/app/conf", "is a link" },
	{ "mkdir -p etc/app/conf", "a folder" },
	{ "mkdir -p etc/app && mkfifo etc/app/conf", "no ordinary file" },
	{ "mkdir etc && touch etc/app", "no folder" },
	{ "ln -s / etc", "over a link" },
	{ "ln -s /proc/self/root etc", "over a link" },
	{ "ln -s etc etc", "over a link" },
};

START_TEST(a_file_by_name_goes_over_no_link)
{
	struct guest_file file = { .path = "/etc/app/conf", .text = "new\n", .mode = 0644,
				   .how = GUEST_FILE_STRICT, .field = "/files/3" };

	in_root(strict[_i].command);
	errno = ENOENT;			/* what a thread had before is no answer */
	if (strict[_i].words) {
		refused(file, strict[_i].words);
	} else {
		ok(file);
		in_root("grep -q new etc/app/conf");
	}
	in_root("test -z \"$(ls -A $OUT)\"");
}
END_TEST

/* ---- links ---------------------------------------------------------------------------------- */

START_TEST(a_link_leads_to_what_is_there)
{
	struct guest_file file = { .path = "/etc/localtime", .text = "/usr/share/zoneinfo/Europe/Berlin",
				   .how = GUEST_FILE_LINK, .field = "/timezone" };

	in_root("mkdir etc && echo UTC >etc/localtime");
	refused(file, "has no file /usr/share/zoneinfo/Europe/Berlin");
	in_root("grep -q UTC etc/localtime && mkdir -p usr/share/zoneinfo/Europe/Berlin");
	refused(file, "has no file");
	in_root("rmdir usr/share/zoneinfo/Europe/Berlin && ln -s $OUT/zone usr/share/zoneinfo/Europe/Berlin && "
		"touch $OUT/zone");
	refused(file, "has no file");
	in_root("rm usr/share/zoneinfo/Europe/Berlin && touch usr/share/zoneinfo/Europe/Berlin");
	ok(file);
	in_root("test \"$(readlink etc/localtime)\" = /usr/share/zoneinfo/Europe/Berlin");
	ok(file);
	in_root("rm etc/localtime && ln -s $OUT/zone etc/localtime");
	ok(file);
	in_root("test \"$(readlink etc/localtime)\" = /usr/share/zoneinfo/Europe/Berlin && test ! -s $OUT/zone");
}
END_TEST

/* ---- passwords ------------------------------------------------------------------------------ */

#define LINE(hash) "root:" hash ":19000:0:99999:7:::\n"

START_TEST(a_hash_is_changed_and_nothing_else)
{
	static const struct {
		const char *before, *after;	/* after NULL: stays */
	} rows[] = {
		{ LINE("*") "daemon:*:1:\n", LINE("NEW") "daemon:*:1:\n" },
		{ "a:x:\n" LINE("") "b:y:\n", "a:x:\n" LINE("NEW") "b:y:\n" },
		{ LINE("NEW"), NULL },
		{ "", NULL },
		{ "rooty:*:\ntoor:root:\n", NULL },
		{ "root", NULL },
		{ "root:x", "root:NEW" },
		{ "root:NEWER:1\n", "root:NEW:1\n" },
		{ "x\n\nroot:a\nroot:b\n", "x\n\nroot:NEW\nroot:b\n" },
	};

	for (size_t i = 0; i < VN_COUNT(rows); i++) {
		vn_autofree char *text = shadow_set_hash(rows[i].before, "root", "NEW");

		ck_assert_msg(rows[i].after ? text && strcmp(text, rows[i].after) == 0 : !text, "row %zu: %s", i,
			      text ? text : "stays");
	}
}
END_TEST

static const struct guest_file password = { .path = "/etc/shadow", .text = "$6$salt$hash",
					    .how = GUEST_FILE_PASSWORD, .field = "/password" };

START_TEST(a_password_keeps_the_files_owner_and_mode)
{
	ok(password);
	in_root("test ! -e etc");		/* an image without passwords stays one */
	in_root("mkdir etc && printf '" LINE("*") "' >etc/shadow && chmod 640 etc/shadow");
	if (geteuid() == 0)
		in_root("chown 0:42 etc/shadow");
	ok(password);
	in_root("grep -q '^root:$6$salt$hash:19000:' etc/shadow && test $(stat -c %a etc/shadow) = 640");
	if (geteuid() == 0)
		in_root("test $(stat -c %u:%g etc/shadow) = 0:42");
}
END_TEST

static const struct {
	const char *command;
	bool refused;
} shadows[] = {
	{ "ln -s $OUT/shadow etc/shadow", false },
	{ "ln -s ../../outside/shadow etc/shadow", false },
	{ "mkfifo etc/shadow", true },
	{ "mkdir etc/shadow", true },
	{ "truncate -s 1T etc/shadow", true },
	{ "printf 'root:\\0:' >etc/shadow", true },
	{ "rmdir etc && ln -s $OUT etc", false },
	{ "rmdir etc && touch etc", false },
};

START_TEST(a_hostile_shadow_is_neither_followed_nor_waited_for)
{
	in_root("mkdir etc && printf '" LINE("*") "' >$OUT/shadow");
	in_root(shadows[_i].command);
	if (shadows[_i].refused)
		refused(password, "/etc/shadow");
	else
		ok(password);
	in_root("test \"$(cat $OUT/shadow)\" = 'root:*:19000:0:99999:7:::' && test $(ls $OUT | wc -l) = 1");
}
END_TEST

/* ---- what goes ------------------------------------------------------------------------------ */

START_TEST(only_what_is_ours_goes)
{
	struct guest_file ours = { .path = "/root/.ssh/authorized_keys", .text = "# ours\n",
				   .how = GUEST_FILE_REMOVE };
	struct guest_file any = { .path = "/etc/key", .text = "", .how = GUEST_FILE_REMOVE };

	ok(ours);
	in_root("test ! -e root && mkdir -p root/.ssh && echo '# theirs' >root/.ssh/authorized_keys");
	ok(ours);
	in_root("test -e root/.ssh/authorized_keys && printf '# ours\\nkey\\n' >root/.ssh/authorized_keys");
	ok(ours);
	in_root("test ! -e root/.ssh/authorized_keys && mkfifo root/.ssh/authorized_keys");
	ok(ours);
	in_root("rm -r root && mkdir root && ln -s $OUT root/.ssh && echo '# ours' >$OUT/authorized_keys");
	ok(ours);
	in_root("mkdir etc && ln -s $OUT/authorized_keys etc/key");
	ok(any);
	in_root("test ! -L etc/key && mkdir etc/key && test -s $OUT/authorized_keys");
	ok(any);
	in_root("test -d etc/key");
}
END_TEST

START_TEST(what_this_call_does_not_write_is_pruned)
{
	struct guest_file files[] = {
		{ .path = "/etc/net/05-our-", .text = "# ours\n", .how = GUEST_FILE_PRUNE },
		{ .path = "/etc/net/05-our-eth1", .text = "# ours\nnew\n", .mode = 0644 },
	};

	ck_assert_int_eq(inject_files(root, files, 1, &err), 0);
	in_root("test ! -e etc && mkdir -p etc/net && cd etc/net && for f in 05-our-eth1 05-our-eth2 05-other; do "
		"echo '# ours' >$f; done && echo theirs >05-our-3 && ln -s $OUT/x 05-our-4 && mkdir 05-our-5");
	ck_assert_int_eq(inject_files(root, files, 2, &err), 0);
	in_root("cd etc/net && test \"$(echo *)\" = '05-other 05-our-3 05-our-4 05-our-5 05-our-eth1'");
	in_root("grep -q new etc/net/05-our-eth1 && test -z \"$(ls -A $OUT)\"");
}
END_TEST

int
main(void)
{
	TCase *tcase = tcase_create("inject");

	tcase_set_timeout(tcase, 60);
	tcase_add_checked_fixture(tcase, set_up, tear_down);
	tcase_add_test(tcase, a_file_has_the_owner_and_mode_that_it_is_given);
	tcase_add_test(tcase, a_copy_is_a_copy_to_the_byte);
	tcase_add_test(tcase, a_file_for_a_tool_is_written_where_the_tool_is);
	tcase_add_loop_test(tcase, a_file_by_name_goes_over_no_link, 0, VN_COUNT(strict));
	tcase_add_test(tcase, a_link_leads_to_what_is_there);
	tcase_add_test(tcase, a_hash_is_changed_and_nothing_else);
	tcase_add_test(tcase, a_password_keeps_the_files_owner_and_mode);
	tcase_add_loop_test(tcase, a_hostile_shadow_is_neither_followed_nor_waited_for, 0, VN_COUNT(shadows));
	tcase_add_test(tcase, only_what_is_ours_goes);
	tcase_add_test(tcase, what_this_call_does_not_write_is_pruned);
	return run_tcase("inject", tcase);
}
