/*
 * A disk's header is read by hand and with suspicion: whoever made the image wrote it, and a hypervisor
 * that follows a backing file named there opens any file of the host. So a disk that names another file
 * is refused, and so is all that is not understood.
 */
#include "backends/disk/image_disk.h"

#include <endian.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "backends/disk/files.h"
#include "proto/base/mem.h"

#define HEAD_SIZE   4096
#define SECTOR      512u
#define COPY_BYTES  (1u << 20)
#define L1_MAX      (32u << 20)		/* bytes of the first table: qemu's own bound */

/* qcow2 version 3, incompatible features. */
#define QCOW2_DIRTY    1u
#define QCOW2_CORRUPT  2u
#define QCOW2_DATA     4u		/* the data are in another file */
#define QCOW2_ZSTD     8u
#define QCOW2_EXTENDED 16u

struct head {
	uint8_t bytes[HEAD_SIZE];
	size_t size;
	uint64_t file_size;
};

static int
read_head(int fd, struct head *head)
{
	struct stat st;
	ssize_t size = pread(fd, head->bytes, sizeof(head->bytes), 0);

	if (size < 0 || fstat(fd, &st) < 0)
		return -1;
	head->size = (size_t)size;
	head->file_size = (uint64_t)st.st_size;
	return 0;
}

static uint32_t
get32(const struct head *head, size_t at)
{
	uint32_t value;

	memcpy(&value, head->bytes + at, sizeof(value));
	return be32toh(value);
}

static uint64_t
get64(const struct head *head, size_t at)
{
	uint64_t value;

	memcpy(&value, head->bytes + at, sizeof(value));
	return be64toh(value);
}

/* What begins a file: offset, bytes, what it is. A tar archive may hold a disk's bytes in its first file. */
static const struct {
	size_t at, size;
	const char *bytes;
	int format;
} marks[] = {
	{ 0,    4, "QFI\xfb",          IMAGE_QCOW2 },
	{ 257,  5, "ustar",            IMAGE_TAR },
	{ 0,    2, "\x1f\x8b",         IMAGE_TAR },	/* gzip */
	{ 0,    3, "BZh",              IMAGE_TAR },
	{ 0,    6, "\xfd" "7zXZ\0",    IMAGE_TAR },
	{ 0,    4, "\x28\xb5\x2f\xfd", IMAGE_TAR },	/* zstd */
	{ 510,  2, "\x55\xaa",         IMAGE_RAW },	/* boot sector, partition table */
	{ 512,  8, "EFI PART",         IMAGE_RAW },
	{ 1080, 2, "\x53\xef",         IMAGE_RAW },	/* ext2 to ext4 */
	{ 0,    4, "XFSB",             IMAGE_RAW },
};

int
image_disk_detect(int fd)
{
	struct head head;

	if (read_head(fd, &head) < 0)
		return IMAGE_TAR;
	for (size_t i = 0; i < VN_COUNT(marks); i++)
		if (marks[i].at + marks[i].size <= head.size
		    && !memcmp(head.bytes + marks[i].at, marks[i].bytes, marks[i].size))
			return marks[i].format;
	return IMAGE_TAR;
}

static int
check_raw(const struct head *head, uint64_t *ret_virtual, struct vn_error *err)
{
	if (head->file_size == 0 || head->file_size % SECTOR != 0)
		return vn_fail(err, VN_E_INVALID, "no raw disk: its size of %llu bytes is not a "
			       "multiple of %u", (unsigned long long)head->file_size, SECTOR);
	*ret_virtual = head->file_size;
	return 0;
}

/* Whether a table of the header lies within the file. */
static bool
is_inside(const struct head *head, uint64_t offset, uint64_t size, unsigned cluster_bits)
{
	return offset != 0 && offset % (1ull << cluster_bits) == 0 && offset <= head->file_size
	       && size <= head->file_size - offset;
}

static int
check_features(const struct head *head, struct vn_error *err)
{
	uint64_t features = get32(head, 4) >= 3 ? get64(head, 72) : 0;

	if (features & QCOW2_DATA)
		return vn_fail(err, VN_E_UNSUPPORTED, "the qcow2 disk keeps its data in another file, "
			       "which an image may not: convert it (qemu-img convert)");
	if (features & (QCOW2_DIRTY | QCOW2_CORRUPT))
		return vn_fail(err, VN_E_INVALID, "the qcow2 disk was not closed well: repair it "
			       "(qemu-img check -r all)");
	if (features & ~(uint64_t)(QCOW2_ZSTD | QCOW2_EXTENDED))
		return vn_fail(err, VN_E_UNSUPPORTED, "the qcow2 disk has features that are not known "
			       "(%llx): convert it (qemu-img convert)", (unsigned long long)features);
	return 0;
}

/* Extensions behind the header: one of them names a file with the data. */
static int
check_extensions(const struct head *head, struct vn_error *err)
{
	size_t at = get32(head, 4) >= 3 ? get32(head, 100) : 72;

	if (at < 72 || at > head->size)
		return vn_fail(err, VN_E_INVALID, "the qcow2 disk's header has an impossible length");
	while (at + 8 <= head->size) {
		uint32_t type = get32(head, at), size = get32(head, at + 4);

		if (type == 0)
			return 0;
		if (type == 0x44415441)		/* "DATA" */
			return vn_fail(err, VN_E_UNSUPPORTED, "the qcow2 disk names another file for "
				       "its data, which an image may not");
		if (size > head->size - at - 8)
			break;
		at += 8 + (size + 7) / 8 * 8;
	}
	return 0;
}

static int
check_qcow2(const struct head *head, uint64_t *ret_virtual, struct vn_error *err)
{
	uint32_t version, cluster_bits, l1_entries;

	if (head->size < 104 || memcmp(head->bytes, "QFI\xfb", 4))
		return vn_fail(err, VN_E_INVALID, "no qcow2 disk");
	version = get32(head, 4);
	cluster_bits = get32(head, 20);
	l1_entries = get32(head, 36);
	if (version != 2 && version != 3)
		return vn_fail(err, VN_E_UNSUPPORTED, "qcow version %u is not known: convert the disk "
			       "(qemu-img convert)", version);
	if (get64(head, 8) || get32(head, 16))
		return vn_fail(err, VN_E_UNSUPPORTED, "the qcow2 disk has a backing file, which an image "
			       "may not: make it whole (qemu-img convert)");
	if (get32(head, 32))
		return vn_fail(err, VN_E_UNSUPPORTED, "the qcow2 disk is encrypted");
	if (check_features(head, err) < 0 || check_extensions(head, err) < 0)
		return -1;
	if (cluster_bits < 9 || cluster_bits > 21 || l1_entries > L1_MAX / 8
	    || (l1_entries && !is_inside(head, get64(head, 40), 8ull * l1_entries, cluster_bits))
	    || !is_inside(head, get64(head, 48), (uint64_t)get32(head, 56) << cluster_bits,
			  cluster_bits))
		return vn_fail(err, VN_E_INVALID, "the qcow2 disk is truncated or damaged: its tables "
			       "lie outside of the file");
	*ret_virtual = get64(head, 24);
	return 0;
}

int
image_disk_check(int fd, int format, uint64_t limit_bytes, uint64_t *ret_virtual,
		 struct vn_error *err)
{
	struct head head;
	uint64_t size;

	if (read_head(fd, &head) < 0)
		return vn_fail_errno(err, errno, "read the disk");
	if ((format == IMAGE_QCOW2 ? check_qcow2 : check_raw)(&head, &size, err) < 0)
		return -1;
	if (size == 0 || (limit_bytes && size > limit_bytes))
		return vn_fail(err, VN_E_INVALID, "the disk has %llu bytes, and 1 to %llu are allowed: "
			       "raise image_unpacked_limit if it is meant to be so large",
			       (unsigned long long)size, (unsigned long long)limit_bytes);
	*ret_virtual = size;
	return 0;
}

/* ---- storing --------------------------------------------------------------------------------- */

struct copy {
	const struct image_spec *spec;
	int from, to;
	off_t size;
	const bool *cancelled;
	uint64_t *progress_bytes;
	char *piece;			/* NULL: the file system copies */
};

/* So much is done, be it holes. */
static int
advance(struct copy *copy, off_t at, off_t end, struct vn_error *err)
{
	__atomic_fetch_add(copy->progress_bytes, (uint64_t)(end - at), __ATOMIC_RELAXED);
	if (copy->spec->on_progress)
		copy->spec->on_progress(copy->spec->arg, (uint64_t)end, (uint64_t)copy->size);
	if (__atomic_load_n(copy->cancelled, __ATOMIC_RELAXED))
		return vn_fail(err, VN_E_CANCELLED, "storing the disk was cancelled");
	return files_check_room(copy->to, err);
}

/* Between file systems, or on one that has nothing of the kind. */
static bool
is_beyond_file_system(int sys)
{
	return sys == EXDEV || sys == EOPNOTSUPP || sys == ENOSYS || sys == EINVAL || sys == EPERM;
}

/* Copies at most `size` bytes at `at`; how many, or -1 with errno. */
static ssize_t
copy_piece(struct copy *copy, off_t at, size_t size)
{
	off_t to = at, from = at;
	ssize_t done = copy->piece ? -1 : copy_file_range(copy->from, &from, copy->to, &to, size, 0);

	if (done >= 0 || (!copy->piece && !is_beyond_file_system(errno)))
		return done;
	if (!copy->piece)
		copy->piece = vn_alloc(COPY_BYTES);
	done = pread(copy->from, copy->piece, size, at);
	return done > 0 ? pwrite(copy->to, copy->piece, (size_t)done, at) : done;
}

static int
copy_data(struct copy *copy, off_t at, off_t end, struct vn_error *err)
{
	while (at < end) {
		size_t wanted = end - at < (off_t)COPY_BYTES ? (size_t)(end - at) : COPY_BYTES;
		ssize_t done = copy_piece(copy, at, wanted);

		if (done <= 0)
			return vn_fail_errno(err, done ? errno : EIO, "copy the disk");
		if (advance(copy, at, at + done, err) < 0)
			return -1;
		at += done;
	}
	return 0;
}

static int
copy_file(struct copy *copy, struct vn_error *err)
{
	off_t at = 0, data, end;

	if (ftruncate(copy->to, copy->size) < 0)
		return vn_fail_errno(err, errno, "copy the disk");
	while (at < copy->size) {
		data = lseek(copy->from, at, SEEK_DATA);
		if (data < 0 && errno == ENXIO)
			data = copy->size;
		end = data < copy->size ? lseek(copy->from, data, SEEK_HOLE) : data;
		if (data < 0 || end < 0)
			return vn_fail_errno(err, errno, "read the disk");
		if (data > at && advance(copy, at, data, err) < 0)
			return -1;
		if (copy_data(copy, data, end, err) < 0)
			return -1;
		at = end;
	}
	return 0;
}

static int
store_copy(struct copy *copy, const char *to, struct vn_error *err)
{
	int result;

	copy->to = open(to, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
	if (copy->to < 0)
		return vn_fail_errno(err, errno, "store the disk as %s", to);
	result = copy_file(copy, err);
	free(copy->piece);
	if (result == 0 && fsync(copy->to) < 0)
		result = vn_fail_errno(err, errno, "store the disk as %s", to);
	close(copy->to);
	return result;
}

int
image_disk_store(const struct image_spec *spec, const char *to, const bool *cancelled,
		 uint64_t *progress_bytes, struct vn_error *err)
{
	vn_autoclose int from = open(spec->path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW), fd = -1;
	struct copy copy = { .spec = spec, .from = from, .cancelled = cancelled,
			     .progress_bytes = progress_bytes };
	struct stat st;

	if (from < 0 || fstat(from, &st) < 0)
		return vn_fail_errno(err, errno, "open the disk %s", spec->path);
	copy.size = st.st_size;
	if (link(spec->path, to) < 0)
		return store_copy(&copy, to, err);
	fd = open(to, O_RDWR | O_CLOEXEC | O_NOFOLLOW);
	if (fd < 0 || fchmod(fd, 0600) < 0 || fsync(fd) < 0)
		return vn_fail_errno(err, errno, "store the disk as %s", to);
	__atomic_fetch_add(progress_bytes, (uint64_t)st.st_size, __ATOMIC_RELAXED);
	return 0;
}
