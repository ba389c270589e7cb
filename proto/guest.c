/*
 * The forms of what is written into a guest. A key is decoded as far as sshd would: a line that only
 * looks like one would lock its owner out, and nobody would be told.
 */
#include "proto/guest.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "proto/base/base64.h"
#include "proto/base/mem.h"
#include "proto/document.h"

#define ALPHANUMERIC "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789"
#define PATH_PATTERN "^(/[^/\\x00-\\x1f]{1,255})+$"

enum { HASH_MIN = 22, PATH_LENGTH_MAX = 1024, ID_MAX = 65535, NAME_LENGTH_MAX = 255 };

/* ---- passwords ---- */

/* "$6$salt$hash", "$y$j9T$salt$hash", "$2b$12$salt-and-hash": a last part as long as the shortest hash. */
static int
check_password(const char *text, struct vn_error *err)
{
	const char *last = strrchr(text, '$');
	size_t dollars = 0;

	for (const char *at = text; *at; at++)
		dollars += *at == '$';
	if (text[0] == '$' && dollars >= 3 && strlen(last + 1) >= HASH_MIN &&
	    strspn(text, ALPHANUMERIC "$./=,+-") == strlen(text))
		return 0;
	return vn_fail(err, VN_E_INVALID, "expected a crypt(3) hash such as \"$6$...\", never the password "
		       "itself: make one with openssl passwd -6, or mkpasswd");
}

/* ---- public keys ---- */

/* type, number of strings in the key after its type, length of the last of them (0: any) */
static const struct key_type {
	const char *name;
	unsigned parts;
	uint32_t last;
} key_types[] = {
	{ "ssh-ed25519", 1, 32 },
	{ "ssh-rsa", 2, 0 },
	{ "ecdsa-sha2-nistp256", 2, 65 },
	{ "ecdsa-sha2-nistp384", 2, 97 },
	{ "ecdsa-sha2-nistp521", 2, 133 },
	{ "sk-ssh-ed25519@openssh.com", 2, 0 },
	{ "sk-ecdsa-sha2-nistp256@openssh.com", 3, 0 },
};

/* Takes a string off the front of the key; false when there is none. */
static bool
take_part(const uint8_t **at, size_t *left, const uint8_t **ret, uint32_t *ret_size)
{
	if (*left < 4)
		return false;
	*ret_size = (uint32_t)(*at)[0] << 24 | (uint32_t)(*at)[1] << 16 | (uint32_t)(*at)[2] << 8 | (*at)[3];
	if (*ret_size > *left - 4)
		return false;
	*ret = *at + 4;
	*at += 4 + *ret_size;
	*left -= 4 + *ret_size;
	return true;
}

static bool
is_key(const struct key_type *type, const uint8_t *bytes, size_t size)
{
	const uint8_t *part;
	uint32_t length;

	if (!take_part(&bytes, &size, &part, &length) || length != strlen(type->name) ||
	    memcmp(part, type->name, length) != 0)
		return false;
	for (unsigned i = 0; i < type->parts; i++)
		if (!take_part(&bytes, &size, &part, &length) || length == 0)
			return false;
	return size == 0 && (!type->last || length == type->last);
}

static const struct key_type *
find_type(const char *text, size_t length)
{
	for (size_t i = 0; i < VN_COUNT(key_types); i++)
		if (strlen(key_types[i].name) == length && memcmp(key_types[i].name, text, length) == 0)
			return &key_types[i];
	return NULL;
}

static bool
is_one_line(const char *text)
{
	for (const char *at = text; *at; at++)
		if ((unsigned char)*at < ' ' || *at == 0x7f)
			return false;
	return true;
}

static int
check_public_key(const char *text, struct vn_error *err)
{
	size_t length = strcspn(text, " "), size = 0;
	const struct key_type *type = find_type(text, length);
	vn_autofree char *base64 = NULL;
	vn_autofree uint8_t *bytes = NULL;
	struct vn_error why;

	if (strstr(text, "PRIVATE KEY"))
		return vn_fail(err, VN_E_INVALID, "this is a private key: give the public one, the line in "
			       "the file that ends with .pub");
	if (!is_one_line(text))
		return vn_fail(err, VN_E_INVALID, "a key is one line, without control characters");
	if (!type)
		return vn_fail(err, VN_E_INVALID, "expected a public key such as \"ssh-ed25519 AAAA... "
			       "comment\", got \"%.40s\"", text);
	if (text[length] == ' ')
		base64 = vn_format("%.*s", (int)strcspn(text + length + 1, " "), text + length + 1);
	if (!base64 || vn_base64_decode(base64, &bytes, &size, &why) < 0 || !is_key(type, bytes, size))
		return vn_fail(err, VN_E_INVALID, "the %s key is cut short or damaged: copy the whole line "
			       "of the file that ends with .pub", type->name);
	return 0;
}

/* ---- time zones ---- */

static int
check_timezone(const char *text, struct vn_error *err)
{
	size_t words = 0;

	for (const char *at = text;; at++) {
		size_t length = strspn(at, ALPHANUMERIC "_+-");

		if (length == 0 || at[0] == '-' || at[0] == '+' || ++words > 3)
			break;
		at += length;
		if (*at == '\0')
			return 0;
		if (*at != '/')
			break;
	}
	return vn_fail(err, VN_E_INVALID, "expected a time zone such as \"Europe/Berlin\" or \"UTC\", got "
		       "\"%.40s\"", text);
}

/* ---- files ---- */

static bool
is_below(const char *path, const char *folder)
{
	size_t length = strlen(folder);

	return strncmp(path, folder, length) == 0 && (path[length] == '/' || path[length] == '\0');
}

static int
check_path(const char *text, struct vn_error *err)
{
	static const char *const made[] = { "/proc", "/sys", "/dev", "/run" };
	const char *at = text;

	if (text[0] != '/')
		return vn_fail(err, VN_E_INVALID, "expected an absolute path such as \"/etc/motd\", got "
			       "\"%.80s\"", text);
	while (*at) {
		size_t length = strcspn(++at, "/");

		if (length == 0 || length > NAME_LENGTH_MAX || strncmp(at, ".", length) == 0 ||
		    strncmp(at, "..", length) == 0)
			return vn_fail(err, VN_E_INVALID, "\"%.80s\" has an empty, an overlong, a \".\" or "
				       "a \"..\" part: write where the file is to be", text);
		at += length;
	}
	if (strlen(text) > PATH_LENGTH_MAX || !is_one_line(text))
		return vn_fail(err, VN_E_INVALID, "a path has at most %d bytes and no control characters",
			       PATH_LENGTH_MAX);
	for (size_t i = 0; i < VN_COUNT(made); i++)
		if (is_below(text, made[i]))
			return vn_fail(err, VN_E_INVALID, "%s of a guest is no folder of its disk, it is "
				       "made anew at each boot: choose another path", made[i]);
	return 0;
}

static int
check_mode(const char *text, struct vn_error *err)
{
	if (strlen(text) == 4 && strspn(text, "01234567") == 4)
		return 0;
	return vn_fail(err, VN_E_INVALID, "expected four octal digits such as \"0644\", got \"%.20s\"", text);
}

static int
check_owner(const char *text, struct vn_error *err)
{
	unsigned long uid, gid;
	char *end;

	if (strspn(text, "0123456789:") == strlen(text) && text[0] != ':') {
		uid = strtoul(text, &end, 10);
		if (*end == ':' && end[1] && uid <= ID_MAX) {
			gid = strtoul(end + 1, &end, 10);
			if (*end == '\0' && gid <= ID_MAX)
				return 0;
		}
	}
	return vn_fail(err, VN_E_INVALID, "expected \"UID:GID\" in numbers up to %d, such as \"0:0\", got "
		       "\"%.20s\"", ID_MAX, text);
}

static const struct form form_path = { "path in the guest", PATH_PATTERN, check_path };
static const struct form form_mode = { "mode", "^[0-7]{4}$", check_mode };
static const struct form form_owner = { "UID:GID", "^[0-9]{1,5}:[0-9]{1,5}$", check_owner };

const struct form form_password = { "crypt(3) hash", "^\\$[A-Za-z0-9./=,+$-]+$", check_password };
const struct form form_public_key = {
	"public key", "^(ssh|ecdsa|sk)-[a-z0-9@.-]+ [A-Za-z0-9+/]+=*( .*)?$", check_public_key
};
const struct form form_timezone = {
	"time zone", "^[A-Za-z0-9_][A-Za-z0-9_+-]*(/[A-Za-z0-9_][A-Za-z0-9_+-]*){0,2}$", check_timezone
};

#define AT(member) .offset = offsetof(struct doc_file, member)

const struct field doc_file_fields[] = {
	{ "path", "where it is in the guest", FIELD_STRING, FIELD_REQUIRED, AT(path), .form = &form_path },
	{ "content", "its text", FIELD_STRING, 0, AT(content), 0, DOC_FILE_MAX },
	{ "source", "name of the file that it is a copy of", FIELD_STRING, 0, AT(source), 1, 1024 },
	{ "sha256", "digest of the source; the host need not be given again what it has", FIELD_STRING, 0,
	  AT(sha256), .form = &form_sha256 },
	{ "mode", "0644 unless given", FIELD_STRING, 0, AT(mode), .form = &form_mode },
	{ "owner", "numbers inside; 0:0 unless given", FIELD_STRING, 0, AT(owner), .form = &form_owner },
	{ 0 }
};

static int
check_file(const struct doc_file *file, size_t at, struct vn_error *err)
{
	char path[40];

	snprintf(path, sizeof(path), "/files/%zu", at);
	if (!file->content == !file->source)
		return vn_fail_at(err, path, VN_E_INVALID, "give either \"content\" or \"source\"");
	if (file->content && file->sha256) {
		snprintf(path, sizeof(path), "/files/%zu/sha256", at);
		return vn_fail_at(err, path, VN_E_INVALID, "is of a \"source\", and this file has "
				  "\"content\"");
	}
	return 0;
}

static int
check_files(const struct field_array *array, struct vn_error *err)
{
	const struct doc_file *files = array->items;
	char path[40];

	for (size_t i = 0; i < array->count; i++) {
		if (check_file(&files[i], i, err) < 0)
			return -1;
		for (size_t k = 0; k < i; k++) {
			if (!is_below(files[i].path, files[k].path) && !is_below(files[k].path, files[i].path))
				continue;
			snprintf(path, sizeof(path), "/files/%zu/path", i);
			return vn_fail_at(err, path, VN_E_INVALID, "%s: %s is a file already",
					  files[i].path, files[k].path);
		}
	}
	return 0;
}

int
doc_vnode_check_guest(const struct doc_vnode *vnode, struct vn_error *err)
{
	if (!vnode->inject && (vnode->files.count || vnode->login.password ||
			       vnode->login.authorized_keys.count || vnode->login.timezone))
		return vn_fail_at(err, "/inject", VN_E_INVALID, "nothing is written into a vnode with "
				  "\"inject\": false: leave that out, or what it is to have written");
	return check_files(&vnode->files, err);
}

unsigned
doc_file_mode(const struct doc_file *file)
{
	return file->mode ? (unsigned)strtoul(file->mode, NULL, 8) : 0644;
}

void
doc_file_owner(const struct doc_file *file, uint32_t *ret_uid, uint32_t *ret_gid)
{
	const char *owner = file->owner ? file->owner : "0:0";

	*ret_uid = (uint32_t)strtoul(owner, NULL, 10);
	*ret_gid = (uint32_t)strtoul(strchr(owner, ':') + 1, NULL, 10);
}
