#pragma once
/* The database's file on disk: lock, creation, checks, migration, reserve. Only store*.c. */

#include <stdatomic.h>

#include "daemon/store_schema.h"

#define STORE_RESERVE_BYTES (4 << 20)

struct sqlite3;

struct store_file {
	char *dir, *path;		/* of the folder, of vnoded.db */
	int lock_fd, reserve_fd;
	_Atomic(bool) has_reserve;	/* the writer gives it up, the loop makes it again */
};

/*
 * Locks the folder, opens (creates, migrates) and checks the file, makes the reserve if there is
 * room. *ret_db is the connection that writes. Errors: as store_open; nothing stays open then.
 */
int store_file_open(struct store_file *ret, const struct store_schema *schema, const char *dir,
		    struct sqlite3 **ret_db, struct vn_error *err);
/* After the connections were closed. A zeroed one is fine. */
void store_file_close(struct store_file *file);

/* A connection that only reads. Errors: VN_E_BACKEND, VN_E_LIMIT. */
int store_file_open_reader(struct store_file *file, struct sqlite3 **ret, struct vn_error *err);

/* Gives the reserve's space back to the file system; false where there was none. Thread: writer. */
bool store_file_spend_reserve(struct store_file *file);
/* Makes it again. Errors: VN_E_LIMIT with a sentence for the operator. Thread: loop. */
int store_file_make_reserve(struct store_file *file, struct vn_error *err);
