/* The store's files: newer, lost, damaged, foreign ones, and the way from an older schema. */
#include "tests/unit/check_store.h"

#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "daemon/store_schema.h"
#include "proto/base/mem.h"

/* Opens expecting a refusal. */
static void
refuse(struct bench *b, enum vn_code code, const char *text)
{
	b->store = NULL;
	ck_assert_int_eq(store_open(b->dir, b->loop, &b->store, &b->err), -1);
	ck_assert_msg(b->err.code == code && strstr(b->err.text, text), "%d %s", b->err.code,
		      b->err.text);
	ck_assert_ptr_null(b->store);
}

START_TEST(a_newer_database_is_refused_and_left_alone)
{
	struct bench b;
	char seen[8];

	bench_open(&b);
	store_close(b.store);
	look(b.dir, "PRAGMA user_version = 99", seen, sizeof(seen));
	refuse(&b, VN_E_UNSUPPORTED, "made by a newer vnoded (schema 99, this one knows 5)");
	ck_assert_seen(b.dir, "PRAGMA user_version", "99");
	bench_close(&b);
}
END_TEST

START_TEST(a_lost_database_is_not_begun_anew_over_disks_that_are_there)
{
	struct bench b;
	char seen[64];

	bench_open(&b);
	store_close(b.store);
	vn_autofree char *db = vn_format("%s/vnoded.db", b.dir), *kept = vn_format("%s/kept", b.dir);
	vn_autofree char *disks = vn_format("%s/disks", b.dir), *disk = vn_format("%s/7", disks);

	look(b.dir, "PRAGMA wal_checkpoint(TRUNCATE)", seen, sizeof(seen));
	ck_assert_int_eq(mkdir(disks, 0700) | mkdir(disk, 0700), 0);
	ck_assert_int_eq(rename(db, kept), 0);
	refuse(&b, VN_E_BACKEND, "holds the disks of 1 vnodes: put a copy of the database in its place");
	ck_assert_int_eq(access(db, F_OK), -1);
	ck_assert_int_eq(rename(kept, db), 0);
	reopen(&b);
	store_close(b.store);
	ck_assert_int_eq(unlink(db) | rmdir(disk), 0);
	reopen(&b);
	rmdir(disks);
	bench_close(&b);
}
END_TEST

static void
scribble(const char *dir, off_t at, const char *text, unsigned times)
{
	vn_autofree char *path = vn_format("%s/vnoded.db", dir);
	vn_autoclose int fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);

	for (unsigned i = 0; i < times; i++)
		ck_assert_int_gt(pwrite(fd, text, strlen(text), at + (off_t)(i * strlen(text))), 0);
}

START_TEST(damaged_and_foreign_files_are_refused_with_the_cure)
{
	struct bench b;
	char seen[8];

	bench_open(&b);
	for (int64_t i = 0; i < 3000; i++)
		store_put(b.store, PUT_META, "is", i, "a row that takes some room in the file");
	store_close(b.store);
	scribble(b.dir, 40000, "damage", 4000);
	refuse(&b, VN_E_BACKEND, "move it and the folder disks away to begin without vnodes");
	scribble(b.dir, 0, "this is not a database at all", 100);
	refuse(&b, VN_E_BACKEND, "is damaged");
	folder_remove(b.dir);
	b.dir = folder_new();
	look(b.dir, "CREATE TABLE mine (x)", seen, sizeof(seen));
	refuse(&b, VN_E_BACKEND, "is not vnoded's database");
	bench_close(&b);
}
END_TEST

START_TEST(a_folder_that_cannot_be_made_is_named)
{
	struct bench b;

	bench_open(&b);
	store_close(b.store);
	folder_remove(b.dir);
	b.dir = vn_strdup("/proc/no-such-folder/state");
	refuse(&b, VN_E_NOT_FOUND, "/proc/no-such-folder/state");
	b.store = NULL;
	bench_close(&b);
}
END_TEST

static const struct store_migration steps[] = {
	{ 1, "ALTER TABLE things ADD COLUMN size INTEGER NOT NULL DEFAULT 5" },
	{ 2, "UPDATE things SET size = size + 1" },
};
static const struct store_migration broken_steps[] = {
	{ 1, "ALTER TABLE things ADD COLUMN size INTEGER NOT NULL DEFAULT 5" },
	{ 2, "UPDATE things SET size = 0; UPDATE nothing SET size = 0" },
};
static const char things[] = "CREATE TABLE meta (key, value); CREATE TABLE things (name TEXT);"
	"INSERT INTO things VALUES ('one');";
static const struct store_schema schema_1 = { 1, things, NULL, 0 };
static const struct store_schema schema_3 = { 3, things, steps, 2 };
static const struct store_schema schema_broken = { 3, things, broken_steps, 2 };
static const struct store_schema schema_gap = { 3, things, steps, 1 };

static int
open_as(struct bench *b, const struct store_schema *schema)
{
	b->store = NULL;
	return store_open_schema(schema, b->dir, b->loop, &b->store, &b->err);
}

START_TEST(a_migration_leaves_a_copy_of_the_old_database)
{
	struct bench b = { .loop = test_loop(), .dir = folder_new() };
	vn_autofree char *copy = vn_format("%s/vnoded.db.1", b.dir);
	vn_autofree char *path = vn_format("%s/vnoded.db", b.dir);

	ck_assert_int_eq(open_as(&b, &schema_1), 0);
	store_close(b.store);
	ck_assert_int_eq(open_as(&b, &schema_3), 0);
	store_close(b.store);
	ck_assert_seen(b.dir, "SELECT size FROM things", "6");
	ck_assert_seen(b.dir, "PRAGMA user_version", "3");
	ck_assert_int_eq(rename(copy, path), 0);
	ck_assert_seen(b.dir, "PRAGMA user_version", "1");
	ck_assert_int_eq(open_as(&b, &schema_1), 0);	/* the older program goes on with it */
	bench_close(&b);
}
END_TEST

START_TEST(a_migration_that_fails_changes_nothing_of_its_step)
{
	struct bench b = { .loop = test_loop(), .dir = folder_new() };

	ck_assert_int_eq(open_as(&b, &schema_1), 0);
	store_close(b.store);
	ck_assert_int_eq(open_as(&b, &schema_broken), -1);
	ck_assert_ptr_nonnull(strstr(b.err.text, "migration from schema 2"));
	ck_assert_seen(b.dir, "PRAGMA user_version", "2");
	ck_assert_seen(b.dir, "SELECT size FROM things", "5");
	ck_assert_int_eq(open_as(&b, &schema_gap), -1);
	ck_assert_ptr_nonnull(strstr(b.err.text, "no longer migrates"));
	ck_assert_int_eq(open_as(&b, &schema_3), 0);
	ck_assert_seen(b.dir, "SELECT size FROM things", "6");
	bench_close(&b);
}
END_TEST

void
add_file_cases(TCase *tcase)
{
	add_tests(tcase, (const TTest *const[]){
		a_newer_database_is_refused_and_left_alone,
		a_lost_database_is_not_begun_anew_over_disks_that_are_there,
		damaged_and_foreign_files_are_refused_with_the_cure,
		a_folder_that_cannot_be_made_is_named,
		a_migration_leaves_a_copy_of_the_old_database,
		a_migration_that_fails_changes_nothing_of_its_step,
		NULL });
}
