/*
 * libarchive writes the PAX format; the form that its archive always has comes from here: what is told of
 * an entry, and that nothing else is.
 *
 * Paths begin with "./" and those of folders end with a slash. The archive is for our own unpacking first,
 * so each entry passes its rules before it is written: what an image may not hold is refused with its
 * name now, and not when all of it has been packed.
 */
#include "backends/disk/pack.h"

#include <archive.h>
#include <archive_entry.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/openat2.h>
#include <locale.h>
#include <stdio.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "backends/disk/files.h"
#include "backends/disk/pack_facts.h"
#include "backends/disk/unpack_check.h"
#include "proto/base/mem.h"

#define PIECE	  (256u << 10)
#define ROOM_STEP (1u << 20)		/* free room is looked at after so many bytes */

struct link {				/* a file with more names than one */
	dev_t dev;
	ino_t ino;
	char *path;			/* its first; NULL: an empty slot */
};

struct pack {
	const struct pack_way *way;
	struct archive *archive;
	struct digest *digest;
	struct vn_error err;		/* why writing failed; VN_OK */
	uint64_t bytes, looked_at;
	char *piece;
	int fd;
	locale_t locale, before;
	struct link *links;		/* open addressing; a power of two, at most half full */
	size_t n_links, room;
};

bool
pack_takes(mode_t mode)
{
	return S_ISREG(mode) || S_ISDIR(mode) || S_ISLNK(mode) || S_ISFIFO(mode);
}

/* ---- writing --------------------------------------------------------------------------------- */

static int
write_all(struct pack *pack, const char *data, size_t size)
{
	while (size > 0) {
		ssize_t written = write(pack->fd, data, size);

		if (written < 0)
			return vn_fail_errno(&pack->err, errno, "write the archive");
		data += written;
		size -= (size_t)written;
	}
	return 0;
}

static la_ssize_t
on_write(struct archive *archive, void *arg, const void *data, size_t size)
{
	struct pack *pack = arg;

	if (pack->bytes - pack->looked_at >= ROOM_STEP) {
		pack->looked_at = pack->bytes;
		if (files_check_room(pack->fd, &pack->err) < 0)
			goto failed;
	}
	if (write_all(pack, data, size) < 0)
		goto failed;
	digest_update(pack->digest, data, size);
	pack->bytes += size;
	return (la_ssize_t)size;
failed:
	archive_set_error(archive, EIO, "%s", pack->err.text);
	return -1;
}

static int
fail(struct pack *pack, const char *name, struct vn_error *err)
{
	const char *reason = archive_error_string(pack->archive);

	if (archive_errno(pack->archive) == ENOMEM)
		abort();
	if (pack->err.code != VN_OK) {
		*err = pack->err;
		return -1;
	}
	return vn_fail(err, VN_E_INVALID, "pack '%.200s': %s", name, reason ? reason : "unknown failure");
}

static int
open_archive(struct pack *pack, const char *path, struct vn_error *err)
{
	pack->fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0600);
	if (pack->fd < 0)
		return vn_fail_errno(err, errno, "make the file %s", path);
	pack->archive = archive_write_new();
	if (!pack->archive)
		abort();
	if (archive_write_set_format_pax(pack->archive) != ARCHIVE_OK
	    || archive_write_set_format_option(pack->archive, "pax", "xattrheader", "SCHILY") != ARCHIVE_OK
	    || archive_write_set_bytes_per_block(pack->archive, PIECE) != ARCHIVE_OK
	    || archive_write_set_bytes_in_last_block(pack->archive, 1) != ARCHIVE_OK
	    || archive_write_open(pack->archive, pack, NULL, on_write, NULL) != ARCHIVE_OK)
		return fail(pack, path, err);
	return 0;
}

int
pack_open(const char *path, const struct pack_way *way, struct pack **ret, struct vn_error *err)
{
	struct pack *pack = vn_alloc(sizeof(*pack));

	*pack = (struct pack){ .way = way, .fd = -1, .room = 1024 };
	pack->links = vn_alloc_array(pack->room, sizeof(*pack->links));
	pack->digest = digest_new();
	pack->piece = vn_alloc(PIECE);
	pack->locale = newlocale(LC_CTYPE_MASK, "C.UTF-8", (locale_t)0);
	if (pack->locale == (locale_t)0) {
		pack_close(pack);
		return vn_fail(err, VN_E_UNSUPPORTED, "the C library has no locale C.UTF-8");
	}
	pack->before = uselocale(pack->locale);
	if (open_archive(pack, path, err) < 0) {
		pack_close(pack);
		return -1;
	}
	*ret = pack;
	return 0;
}

void
pack_close(struct pack *pack)
{
	if (!pack)
		return;
	if (pack->archive)
		archive_write_fail(pack->archive);	/* nothing more is written by freeing it */
	archive_write_free(pack->archive);
	vn_close_at(&pack->fd);
	for (size_t i = 0; i < pack->room; i++)
		free(pack->links[i].path);
	free(pack->links);
	free(pack->piece);
	digest_free(pack->digest);
	if (pack->locale != (locale_t)0) {
		uselocale(pack->before);
		freelocale(pack->locale);
	}
	free(pack);
}

int
pack_finish(struct pack *pack, char ret_sha256[static DIGEST_TEXT], uint64_t *ret_bytes,
	    struct vn_error *err)
{
	if (archive_write_close(pack->archive) != ARCHIVE_OK)
		return fail(pack, "the end", err);
	digest_print(pack->digest, ret_sha256);
	*ret_bytes = pack->bytes;
	return 0;
}

/* ---- hard links ------------------------------------------------------------------------------ */

static struct link *
find_slot(struct link *links, size_t room, dev_t dev, ino_t ino)
{
	size_t at = (size_t)((ino ^ (dev << 20)) * 0x9e3779b97f4a7c15ull >> 20) & (room - 1);

	while (links[at].path && (links[at].ino != ino || links[at].dev != dev))
		at = (at + 1) & (room - 1);
	return &links[at];
}

static void
double_room(struct pack *pack)
{
	struct link *links = vn_alloc_array(2 * pack->room, sizeof(*links));

	for (size_t i = 0; i < pack->room; i++)
		if (pack->links[i].path)
			*find_slot(links, 2 * pack->room, pack->links[i].dev, pack->links[i].ino) =
				pack->links[i];
	free(pack->links);
	pack->links = links;
	pack->room *= 2;
}

/* The first name that this file was packed with; NULL: this is it. */
static const char *
first_name(struct pack *pack, const struct stat *st, const char *name)
{
	struct link *link;

	if (!S_ISREG(st->st_mode) || st->st_nlink < 2)
		return NULL;
	link = find_slot(pack->links, pack->room, st->st_dev, st->st_ino);
	if (link->path)
		return link->path;
	*link = (struct link){ st->st_dev, st->st_ino, vn_strdup(name) };
	if (2 * ++pack->n_links > pack->room)
		double_room(pack);
	return NULL;
}

/* ---- entries --------------------------------------------------------------------------------- */

static int
check_text(const char *text, const char *what, struct vn_error *err)
{
	return mbstowcs(NULL, text, 0) != (size_t)-1 ? 0
	       : vn_fail(err, VN_E_INVALID, "%s '%.200s' is no valid UTF-8, which an image cannot hold: "
			 "rename or remove it", what, text);
}

static int
open_below(int root, const char *path, int flags)
{
	struct open_how how = {
		.flags = (uint64_t)flags | O_NOFOLLOW | O_CLOEXEC,
		.resolve = RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS | RESOLVE_NO_MAGICLINKS,
	};

	return (int)syscall(SYS_openat2, root, path, &how, sizeof(how));
}

static int
set_link(struct archive_entry *entry, int fd, const char *name, struct vn_error *err)
{
	char target[PATH_MAX];
	ssize_t size = readlinkat(fd, "", target, sizeof(target) - 1);

	if (size < 0)
		return vn_fail_errno(err, errno, "read the link '%.200s'", name);
	target[size] = '\0';
	if (check_text(target, "the target of a link,", err) < 0)
		return -1;
	archive_entry_set_symlink(entry, target);
	return 0;
}

static int
copy_data(struct pack *pack, int fd, uint64_t size, const char *name, struct vn_error *err)
{
	for (uint64_t at = 0; at < size;) {
		ssize_t got = pread(fd, pack->piece, PIECE, (off_t)at);

		if (got <= 0)
			return vn_fail_errno(err, got < 0 ? errno : EIO, "read '%.200s'", name);
		if (__atomic_load_n(pack->way->cancelled, __ATOMIC_RELAXED))
			return vn_fail(err, VN_E_CANCELLED, "cancelled");
		if (archive_write_data(pack->archive, pack->piece, (size_t)got) < 0)
			return fail(pack, name, err);
		at += (uint64_t)got;
		pack->way->on_bytes(pack->way->arg, (uint64_t)got);
	}
	return 0;
}

/* fd: for reading, of a file or folder; else as O_PATH. */
static int
describe(struct pack *pack, struct archive_entry *entry, int fd, const struct stat *st,
	 const char *name, struct vn_error *err)
{
	const char *first = first_name(pack, st, name);

	archive_entry_set_pathname(entry, name);
	archive_entry_set_mode(entry, st->st_mode);
	archive_entry_set_uid(entry, st->st_uid);
	archive_entry_set_gid(entry, st->st_gid);
	archive_entry_set_mtime(entry, st->st_mtim.tv_sec, st->st_mtim.tv_nsec);
	archive_entry_set_size(entry, 0);
	if (check_text(name, "the name", err) < 0)
		return -1;
	if (first) {
		archive_entry_set_hardlink(entry, first);
		return 0;
	}
	if (S_ISLNK(st->st_mode))
		return set_link(entry, fd, name, err);
	if (S_ISFIFO(st->st_mode))
		return 0;
	if (S_ISREG(st->st_mode)) {
		archive_entry_set_size(entry, st->st_size);
		if (pack_holes(entry, fd, (uint64_t)st->st_size, name, err) < 0)
			return -1;
	}
	return pack_attributes(entry, fd, name, err);
}

static int
put_entry(struct pack *pack, struct archive_entry *entry, int fd, const char *name, struct vn_error *err)
{
	if (unpack_check(entry, err) < 0)
		return -1;
	if (__atomic_load_n(pack->way->cancelled, __ATOMIC_RELAXED))
		return vn_fail(err, VN_E_CANCELLED, "cancelled");
	if (archive_write_header(pack->archive, entry) != ARCHIVE_OK)
		return fail(pack, name, err);
	if (archive_entry_size(entry) > 0
	    && copy_data(pack, fd, (uint64_t)archive_entry_size(entry), name, err) < 0)
		return -1;
	return archive_write_finish_entry(pack->archive) == ARCHIVE_OK ? 0 : fail(pack, name, err);
}

static char *
name_of(const char *path, mode_t mode)
{
	return strcmp(path, ".") == 0 ? vn_strdup("./") : vn_format("./%s%s", path,
								  S_ISDIR(mode) ? "/" : "");
}

int
pack_entry(struct pack *pack, int root, const char *path, struct vn_error *err)
{
	vn_autoclose int fd = open_below(root, path, O_PATH);
	vn_autofree char *name = NULL;
	struct archive_entry *entry;
	struct stat st;
	int result;

	if (fd < 0 || fstat(fd, &st) < 0)
		return vn_fail_errno(err, errno, "look at '%.200s'", path);
	if (S_ISREG(st.st_mode) || S_ISDIR(st.st_mode)) {
		vn_close_at(&fd);
		fd = open_below(root, path, O_RDONLY | O_NONBLOCK);
		if (fd < 0)
			return vn_fail_errno(err, errno, "open '%.200s'", path);
	}
	name = name_of(path, st.st_mode);
	entry = archive_entry_new2(pack->archive);
	if (!entry)
		abort();
	result = describe(pack, entry, fd, &st, name, err);
	if (result == 0)
		result = put_entry(pack, entry, fd, name, err);
	archive_entry_free(entry);
	return result;
}

int
pack_mark(struct pack *pack, const char *path, struct vn_error *err)
{
	vn_autofree char *name = name_of(path, S_IFREG);
	struct archive_entry *entry = archive_entry_new2(pack->archive);
	int result;

	if (!entry)
		abort();
	archive_entry_set_pathname(entry, name);
	archive_entry_set_mode(entry, S_IFREG | 0600);
	archive_entry_set_uid(entry, 0);
	archive_entry_set_gid(entry, 0);
	archive_entry_set_mtime(entry, 0, 0);
	archive_entry_set_size(entry, 0);
	result = check_text(name, "the name", err);
	if (result == 0)
		result = put_entry(pack, entry, -1, name, err);
	archive_entry_free(entry);
	return result;
}
