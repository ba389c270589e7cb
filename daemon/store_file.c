/*
 * From a folder to a checked, current database. The order matters: lock, look (application id,
 * schema number, integrity), and only then change anything. A migration starts with a copy, so
 * that an older vnoded can be put back; the copy is complete or absent, never half.
 *
 * The lock is a file of its own: SQLite's locks belong to the process and fall with the first close
 * of any descriptor of the database file, flock's do not.
 */
#include "daemon/store_file.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <sqlite3.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>

#include "daemon/store_sql.h"
#include "proto/base/mem.h"

#define APPLICATION_ID 0x766e6f64	/* "vnod" */

/* ---- lock and files -------------------------------------------------------------------------- */

static int
lock_folder(struct store_file *file, struct vn_error *err)
{
	vn_autofree char *path = vn_format("%s/lock", file->dir);
	char owner[24] = "";
	int failed;

	if (mkdir(file->dir, 0711) < 0 && errno != EEXIST)
		return vn_fail_errno(err, errno, "cannot make the state folder %s", file->dir);
	file->lock_fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
	if (file->lock_fd < 0)
		return vn_fail_errno(err, errno, "cannot open %s", path);
	failed = flock(file->lock_fd, LOCK_EX | LOCK_NB) < 0 ? errno : 0;
	if (failed == EWOULDBLOCK) {
		if (pread(file->lock_fd, owner, sizeof(owner) - 1, 0) < 0)
			owner[0] = '\0';
		return vn_fail(err, VN_E_BUSY, "another vnoded (process %.*s) has %s open; stop it "
			       "or configure another state_dir", (int)strcspn(owner, "\n"), owner,
			       path);
	}
	if (failed)
		return vn_fail_errno(err, failed, "cannot lock %s", path);
	if (ftruncate(file->lock_fd, 0) < 0 || dprintf(file->lock_fd, "%d\n", (int)getpid()) < 0)
		return 0;		/* a full disk: the lock holds without its owner's name */
	return 0;
}

static int
sync_path(const char *path, struct vn_error *err)
{
	vn_autoclose int fd = open(path, O_RDONLY | O_CLOEXEC);

	if (fd < 0 || fsync(fd) < 0)
		return vn_fail_errno(err, errno, "cannot write %s to disk", path);
	return 0;
}

static int
open_connection(const char *path, int flags, struct sqlite3 **ret, struct vn_error *err)
{
	sqlite3 *db = NULL;

	if (sqlite3_open_v2(path, &db, flags | SQLITE_OPEN_NOMUTEX, NULL) != SQLITE_OK) {
		vn_fail_sql(err, db, "cannot open %s", path);
		sqlite3_close(db);
		return -1;
	}
	sqlite3_extended_result_codes(db, 1);
	sqlite3_busy_timeout(db, 10000);	/* somebody looks at it with the sqlite3 program */
	*ret = db;
	return 0;
}

/* ---- looking --------------------------------------------------------------------------------- */

static int
fail_damaged(const struct store_file *file, const char *what, struct vn_error *err)
{
	char line[128];

	snprintf(line, sizeof(line), "%s", what);
	for (char *at = line; (at = strchr(at, '\n')) != NULL;)
		*at = ' ';
	return vn_fail(err, VN_E_BACKEND, "%s is damaged (%.120s); put a copy of it in its place, "
		       "or move it and the folder disks away to begin without vnodes", file->path,
		       line);
}

/* Says whether the file is new, else its schema; refuses what is not ours. */
static int
read_identity(const struct store_file *file, struct sqlite3 *db, int64_t *ret_schema,
	      bool *ret_is_new, struct vn_error *err)
{
	int64_t application = 0, schema = 0, tables = 0;

	if (sql_read_int(db, "PRAGMA application_id", &application, err) < 0
	    || sql_read_int(db, "PRAGMA user_version", &schema, err) < 0
	    || sql_read_int(db, "SELECT count(*) FROM sqlite_master", &tables, err) < 0) {
		char what[sizeof(err->text)];

		if (err->code != VN_E_BACKEND)
			return -1;
		snprintf(what, sizeof(what), "%s", err->text);
		return fail_damaged(file, what, err);
	}
	*ret_is_new = application == 0 && schema == 0 && tables == 0;
	*ret_schema = schema;
	if (!*ret_is_new && application != APPLICATION_ID)
		return vn_fail(err, VN_E_BACKEND, "%s is not vnoded's database; move it away or "
			       "configure another state_dir", file->path);
	return 0;
}

static int
check_integrity(const struct store_file *file, struct sqlite3 *db, struct vn_error *err)
{
	char what[sizeof(err->text)];

	if (sql_read_text(db, "PRAGMA quick_check(1)", what, sizeof(what), err) < 0) {
		if (err->code != VN_E_BACKEND)
			return -1;
		snprintf(what, sizeof(what), "%s", err->text);
	}
	return strcmp(what, "ok") == 0 ? 0 : fail_damaged(file, what, err);
}

/* ---- creation and migration ------------------------------------------------------------------ */

static int
create(const struct store_schema *schema, struct sqlite3 *db, struct vn_error *err)
{
	char uuid[VN_UUID_TEXT];
	vn_autofree char *sql = NULL;

	vn_uuid_new(uuid);
	sql = vn_format("BEGIN IMMEDIATE; PRAGMA application_id = %d; PRAGMA user_version = %d; %s"
			"INSERT INTO meta VALUES ('epoch', '%s'); COMMIT;",
			APPLICATION_ID, schema->version, schema->tables, uuid);
	return sql_run(db, err, sql);
}

/* Copies the database to vnoded.db.<old>, by way of a temporary name. */
static int
copy_before_migration(const struct store_file *file, struct sqlite3 *db, int64_t old,
		      struct vn_error *err)
{
	vn_autofree char *copy = vn_format("%s.%d", file->path, (int)old);
	vn_autofree char *part = vn_format("%s.part", copy);
	char *sql;
	int result;

	if (unlink(part) < 0 && errno != ENOENT)
		return vn_fail_errno(err, errno, "cannot remove %s", part);
	sql = sqlite3_mprintf("VACUUM INTO %Q", part);
	result = sql_run(db, err, sql);
	sqlite3_free(sql);
	if (result < 0) {
		vn_error_prefix(err, "cannot copy the database to %s before migrating it", copy);
		unlink(part);
		return -1;
	}
	if (sync_path(part, err) < 0)
		return -1;
	if (rename(part, copy) < 0)
		return vn_fail_errno(err, errno, "cannot rename %s", part);
	return sync_path(file->dir, err);
}

static const struct store_migration *
find_migration(const struct store_schema *schema, int64_t from)
{
	for (size_t i = 0; i < schema->n_migrations; i++)
		if (schema->migrations[i].from == from)
			return &schema->migrations[i];
	return NULL;
}

/* One step up; whole or not at all. */
static int
migrate_once(const struct store_migration *migration, struct sqlite3 *db, struct vn_error *err)
{
	vn_autofree char *sql = vn_format("BEGIN IMMEDIATE; %s; PRAGMA user_version = %d; COMMIT;",
					  migration->sql, migration->from + 1);

	if (sql_run(db, err, sql) == 0)
		return 0;
	if (!sqlite3_get_autocommit(db))
		sqlite3_exec(db, "ROLLBACK", NULL, NULL, NULL);
	vn_error_prefix(err, "migration from schema %d", migration->from);
	return -1;
}

static int
migrate(const struct store_file *file, const struct store_schema *schema, struct sqlite3 *db,
	int64_t from, struct vn_error *err)
{
	if (from > schema->version)
		return vn_fail(err, VN_E_UNSUPPORTED, "%s was made by a newer vnoded (schema %d, "
			       "this one knows %d); install that version, or put %s.%d in its place",
			       file->path, (int)from, schema->version, file->path, schema->version);
	if (from == schema->version)
		return 0;
	if (copy_before_migration(file, db, from, err) < 0)
		return -1;
	for (; from < schema->version; from++) {
		const struct store_migration *migration = find_migration(schema, from);

		if (!migration)
			return vn_fail(err, VN_E_UNSUPPORTED, "%s has schema %d, which this vnoded "
				       "no longer migrates; start an older vnoded once",
				       file->path, (int)from);
		if (migrate_once(migration, db, err) < 0)
			return -1;
	}
	return 0;
}

static int
prepare(struct store_file *file, const struct store_schema *schema, struct sqlite3 *db,
	struct vn_error *err)
{
	int64_t found = 0;
	bool is_new = false;

	if (read_identity(file, db, &found, &is_new, err) < 0)
		return -1;
	if (!is_new && found <= schema->version && check_integrity(file, db, err) < 0)
		return -1;
	if (!is_new && found > schema->version)
		return migrate(file, schema, db, found, err);
	if (sql_run(db, err, "PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL;"
			     "PRAGMA journal_size_limit = 16777216") < 0)
		return -1;
	return is_new ? create(schema, db, err) : migrate(file, schema, db, found, err);
}

/* ---- the reserve ----------------------------------------------------------------------------- */

bool
store_file_spend_reserve(struct store_file *file)
{
	if (!atomic_exchange(&file->has_reserve, false))
		return false;
	if (ftruncate(file->reserve_fd, 0) < 0 || fsync(file->reserve_fd) < 0)
		return false;
	return true;
}

/* Asks for twice the reserve first: a disk that is full again at once would only flicker. */
int
store_file_make_reserve(struct store_file *file, struct vn_error *err)
{
	bool has_room;

	if (atomic_load(&file->has_reserve))
		return 0;
	has_room = posix_fallocate(file->reserve_fd, 0, 2 * STORE_RESERVE_BYTES) == 0;
	if (ftruncate(file->reserve_fd, has_room ? STORE_RESERVE_BYTES : 0) < 0)
		return vn_fail_errno(err, errno, "cannot truncate %s/reserve", file->dir);
	if (!has_room)
		return vn_fail(err, VN_E_LIMIT, "no space left in %s; free some (%d MiB at least), such as by "
			       "destroying vnodes or removing images, and try again", file->dir, 2 * STORE_RESERVE_BYTES >> 20);
	atomic_store(&file->has_reserve, true);
	return 0;
}

/* A reserve that cannot be made now is no error: store_check refuses new work until it can. */
static int
open_reserve(struct store_file *file, struct vn_error *err)
{
	vn_autofree char *path = vn_format("%s/reserve", file->dir);
	struct vn_error ignored;
	struct stat stat;

	file->reserve_fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
	if (file->reserve_fd < 0 || fstat(file->reserve_fd, &stat) < 0)
		return vn_fail_errno(err, errno, "cannot open %s", path);
	if (stat.st_blocks * 512 >= STORE_RESERVE_BYTES && stat.st_size == STORE_RESERVE_BYTES)
		atomic_store(&file->has_reserve, true);
	else
		store_file_make_reserve(file, &ignored);
	return 0;
}

/* ---- life ------------------------------------------------------------------------------------ */

static unsigned
count_disks(const char *folder)
{
	DIR *dir = opendir(folder);
	const struct dirent *entry;
	unsigned count = 0;

	while (dir && (entry = readdir(dir)))
		count += entry->d_name[0] != '.';
	if (dir)
		closedir(dir);
	return count;
}

/* To a new database all disks would be without an owner, and be deleted as such. */
static int
check_not_lost(const struct store_file *file, struct vn_error *err)
{
	vn_autofree char *disks = vn_format("%s/disks", file->dir);
	struct stat status;
	unsigned count;

	if (stat(file->path, &status) == 0 && status.st_size > 0)
		return 0;
	count = count_disks(disks);
	return count ? vn_fail(err, VN_E_BACKEND, "%s is missing, but %s holds the disks of %u vnodes: "
			       "put a copy of the database in its place, or move that folder away to "
			       "begin without vnodes", file->path, disks, count) : 0;
}

/* The mode of the database is that of its -wal and -shm too. */
static int
touch(const char *path, struct vn_error *err)
{
	vn_autoclose int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);

	if (fd < 0)
		return vn_fail_errno(err, errno, "cannot open %s", path);
	return 0;
}

static int
open_locked(struct store_file *file, const struct store_schema *schema, struct sqlite3 **ret_db,
	    struct vn_error *err)
{
	sqlite3 *db = NULL;

	if (check_not_lost(file, err) < 0 || open_reserve(file, err) < 0
	    || touch(file->path, err) < 0 || open_connection(file->path, SQLITE_OPEN_READWRITE, &db, err) < 0)
		return -1;
	if (prepare(file, schema, db, err) < 0 || sync_path(file->dir, err) < 0) {
		if (err->code == VN_E_LIMIT)
			vn_error_prefix(err, "free some space in %s", file->dir);
		sqlite3_close(db);
		return -1;
	}
	*ret_db = db;
	return 0;
}

int
store_file_open(struct store_file *ret, const struct store_schema *schema, const char *dir,
		struct sqlite3 **ret_db, struct vn_error *err)
{
	ret->dir = vn_strdup(dir);
	ret->path = vn_format("%s/vnoded.db", dir);
	ret->lock_fd = ret->reserve_fd = -1;
	atomic_init(&ret->has_reserve, false);
	if (lock_folder(ret, err) == 0 && open_locked(ret, schema, ret_db, err) == 0)
		return 0;
	store_file_close(ret);
	return -1;
}

int
store_file_open_reader(struct store_file *file, struct sqlite3 **ret, struct vn_error *err)
{
	return open_connection(file->path, SQLITE_OPEN_READONLY, ret, err);
}

void
store_file_close(struct store_file *file)
{
	if (!file->dir)
		return;
	vn_close_at(&file->reserve_fd);
	vn_close_at(&file->lock_fd);
	free(file->path);
	free(file->dir);
	file->dir = file->path = NULL;
}
