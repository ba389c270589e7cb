#pragma once
/*
 * What is written into a guest's files on a document's behalf: who may log in, the time zone, and files
 * of any other kind.
 */

#include "proto/schema.h"

struct doc_vnode;

#define DOC_FILE_MAX (1 << 20)		/* bytes of one file, whichever way it comes */

struct doc_login {			/* at the document's top: for the vnodes that say nothing */
	const char *password;		/* root's crypt(3) hash; NULL: as in the image */
	struct field_array authorized_keys;	/* const char *: root's; none: as in the image */
	const char *timezone;		/* NULL: as in the image */
};

struct doc_file {
	const char *path;
	const char *content;		/* one of the two */
	const char *source;		/* name of a file that comes along, or lies below import_dir */
	const char *sha256;		/* of the source; NULL: not known yet */
	const char *mode;		/* "0644"; NULL: that */
	const char *owner;		/* "UID:GID" inside; NULL: "0:0" */
};

#define DOC_LOGIN_FIELDS(type, member) \
	{ "password", "root's password as a crypt(3) hash; the image's unless given", FIELD_STRING, 0, \
	  .offset = offsetof(struct type, member.password), 1, 384, .form = &form_password }, \
	{ "authorized_keys", "public keys that root may log in with", FIELD_LIST, 0, \
	  .offset = offsetof(struct type, member.authorized_keys), 0, 256, .item = FIELD_STRING, \
	  .form = &form_public_key }, \
	{ "timezone", "its time zone, such as Europe/Berlin; the image's unless given", FIELD_STRING, 0, \
	  .offset = offsetof(struct type, member.timezone), 1, 64, .form = &form_timezone }

extern const struct field doc_file_fields[];
extern const struct form form_password;		/* a crypt(3) hash */
extern const struct form form_public_key;	/* "TYPE BASE64 COMMENT", as in authorized_keys */
extern const struct form form_timezone;		/* the name of a file below /usr/share/zoneinfo */

/*
 * What must hold among the fields of one vnode: content or source, no path twice, none below another,
 * nothing asked for that `inject` turns off. Paths of errors begin at the vnode ("/files/0/path").
 */
int doc_vnode_check_guest(const struct doc_vnode *vnode, struct vn_error *err);

unsigned doc_file_mode(const struct doc_file *file);
void doc_file_owner(const struct doc_file *file, uint32_t *ret_uid, uint32_t *ret_gid);
