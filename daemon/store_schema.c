/*
 * The tables. A change here raises STORE_SCHEMA and adds a row to a table of migrations; the text
 * of a released version never changes. Enumerations are stored as the numbers of their C enum,
 * whose members keep their places for that reason. Times are microseconds since 1970.
 */
#include "daemon/store_schema.h"

#define SCHEDULE_TABLE \
	"CREATE TABLE schedule (" \
	" lan INTEGER NOT NULL, idx INTEGER NOT NULL, at INTEGER NOT NULL, entry TEXT NOT NULL," \
	" state INTEGER NOT NULL, job INTEGER NOT NULL, fired INTEGER NOT NULL, late INTEGER NOT NULL," \
	" error TEXT, PRIMARY KEY (lan, idx)) WITHOUT ROWID;"

static const char tables[] =
	/* epoch: uuid of this database; boot_id: of the machine when vnoded last ran */
	"CREATE TABLE meta ("
	" key TEXT PRIMARY KEY, value TEXT) WITHOUT ROWID;"

	"CREATE TABLE topologies ("
	" id INTEGER PRIMARY KEY AUTOINCREMENT, name TEXT UNIQUE NOT NULL, document TEXT NOT NULL,"
	" digest TEXT);"

	/* AUTOINCREMENT: a VMID is never given out twice */
	"CREATE TABLE vnodes ("
	" vmid INTEGER PRIMARY KEY AUTOINCREMENT, uuid TEXT UNIQUE NOT NULL,"
	" topology INTEGER NOT NULL,"
	" name TEXT NOT NULL, spec TEXT NOT NULL, wanted INTEGER NOT NULL,"
	" observed INTEGER NOT NULL,"
	" since INTEGER NOT NULL, idmap_base INTEGER NOT NULL, control_index INTEGER NOT NULL,"
	" image TEXT, runtime TEXT, error TEXT, last_exit TEXT, disk TEXT,"
	" UNIQUE (topology, name));"

	"CREATE TABLE lans ("
	" id INTEGER PRIMARY KEY AUTOINCREMENT, uuid TEXT UNIQUE NOT NULL,"
	" topology INTEGER NOT NULL,"
	" name TEXT NOT NULL, mtu INTEGER NOT NULL, up INTEGER NOT NULL, spec TEXT,"
	" UNIQUE (topology, name));"

	"CREATE TABLE members ("
	" lan INTEGER NOT NULL, vmid INTEGER NOT NULL, idx INTEGER NOT NULL, ifname TEXT NOT NULL,"
	" mac TEXT NOT NULL, spec TEXT NOT NULL, up INTEGER NOT NULL,"
	" PRIMARY KEY (lan, vmid)) WITHOUT ROWID;"

	SCHEDULE_TABLE

	"CREATE TABLE images ("
	" name TEXT PRIMARY KEY, sha256 TEXT, source TEXT, state INTEGER NOT NULL,"
	" bytes INTEGER NOT NULL, added INTEGER NOT NULL, error TEXT,"
	" format INTEGER NOT NULL DEFAULT 1, base TEXT, archive_bytes INTEGER NOT NULL DEFAULT 0,"
	" virtual_bytes INTEGER NOT NULL DEFAULT 0, used INTEGER NOT NULL DEFAULT 0) WITHOUT ROWID;"

	"CREATE TABLE jobs ("
	" id INTEGER PRIMARY KEY, parent INTEGER NOT NULL, method TEXT NOT NULL,"
	" version INTEGER NOT NULL, uid INTEGER NOT NULL, state INTEGER NOT NULL,"
	" at INTEGER NOT NULL,"
	" step TEXT, params TEXT NOT NULL, data TEXT, about TEXT, object TEXT,"
	" created INTEGER NOT NULL, ended INTEGER);"
	"CREATE INDEX jobs_ended ON jobs (ended);"

	"CREATE TABLE requests ("
	" uid INTEGER NOT NULL, request_id TEXT NOT NULL, digest TEXT NOT NULL,"
	" job INTEGER NOT NULL,"
	" at INTEGER NOT NULL,"
	" PRIMARY KEY (uid, request_id)) WITHOUT ROWID;"

	"CREATE TABLE events ("
	" seq INTEGER PRIMARY KEY, time INTEGER NOT NULL, type INTEGER NOT NULL, topology TEXT,"
	" vnode TEXT, vmid INTEGER, lan TEXT, job INTEGER, data TEXT);";

static const struct store_migration migrations[] = {
	{ 1, "ALTER TABLE lans ADD COLUMN spec TEXT" },
	{ 2, SCHEDULE_TABLE },
	/* Every image of that time was a tar archive. */
	{ 3, "ALTER TABLE images ADD COLUMN format INTEGER NOT NULL DEFAULT 1;"
	     "ALTER TABLE images ADD COLUMN base TEXT;"
	     "ALTER TABLE images ADD COLUMN archive_bytes INTEGER NOT NULL DEFAULT 0;"
	     "ALTER TABLE images ADD COLUMN virtual_bytes INTEGER NOT NULL DEFAULT 0;"
	     "ALTER TABLE images ADD COLUMN used INTEGER NOT NULL DEFAULT 0" },
	/* Every disk of that time was an overlay. */
	{ 4, "ALTER TABLE vnodes ADD COLUMN disk TEXT;"
	     "UPDATE vnodes SET disk = 'overlay' WHERE image <> ''" },
};

const struct store_schema store_schema = {
	.version = STORE_SCHEMA, .tables = tables,
	.migrations = migrations, .n_migrations = sizeof(migrations) / sizeof(*migrations),
};
