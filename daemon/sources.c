/*
 * A passed descriptor may be of a file system that never answers, so a worker reads. Until the job that
 * the document leads to is there, nothing names what was read: while a call is between its two halves,
 * nothing is swept.
 */
#include "daemon/sources.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "backends/digest.h"
#include "daemon/log.h"

struct source {
	const char *name;		/* borrowed from the document */
	char path[160];			/* of the first file that names it */
	int fd;
	char sha256[DIGEST_TEXT];
};

struct collection {
	struct work work;
	struct daemon *daemon;
	uint64_t ticket;
	json_t *document;		/* a copy, completed */
	sources_fn *then;
	const void *params;		/* of the call: there as long as it is */
	struct source *list;
	size_t count;
	char *folder;
	struct vn_error err;		/* code VN_OK: all are here */
};

static void
collection_free(struct collection *all)
{
	for (size_t i = 0; i < all->count; i++)
		vn_close_at(&all->list[i].fd);
	json_decref(all->document);
	free(all->list);
	free(all->folder);
	free(all);
}

static bool
is_here(const struct daemon *daemon, const char *sha256)
{
	vn_autofree char *path = vn_format("%s/files/%s", daemon->config.state_dir, sha256);

	return strlen(sha256) == DIGEST_TEXT - 1 && !strchr(sha256, '/') && access(path, F_OK) == 0;
}

/* ---- what a document names ---- */

typedef int file_fn(struct collection *all, json_t *file, const char *name, const char *path,
		    struct vn_error *err);

/* Each file with a source, until fn returns other than 0, which is returned. What is no document is left
 * to who decodes it. */
static int
each_source(struct collection *all, file_fn *fn, struct vn_error *err)
{
	const char *vnode;
	json_t *object, *file;
	char path[160];
	int result;
	size_t i;

	json_object_foreach(json_object_get(all->document, "vnodes"), vnode, object)
		json_array_foreach(json_object_get(object, "files"), i, file) {
			const char *name = json_string_value(json_object_get(file, "source"));

			snprintf(path, sizeof(path), "/document/vnodes/%.63s/files/%zu", vnode, i);
			if (name && name[0] && (result = fn(all, file, name, path, err)) != 0)
				return result;
		}
	return 0;
}

static struct source *
find(const struct collection *all, const char *name)
{
	for (size_t i = 0; i < all->count; i++)
		if (strcmp(all->list[i].name, name) == 0)
			return &all->list[i];
	return NULL;
}

/* The index of the descriptor of that name; -1: none came. */
static int
index_of(const struct field_array *passed, const char *name)
{
	for (size_t i = 0; i < passed->count; i++)
		if (strcmp(((const char **)passed->items)[i], name) == 0)
			return (int)i;
	return -1;
}

/* Opens what is not here already; a passed one is always read. */
static int
open_source(struct collection *all, json_t *file, const char *name, const struct field_array *passed,
	    struct call *call, const char *path, struct vn_error *err)
{
	const char *sha256 = json_string_value(json_object_get(file, "sha256"));
	int index = index_of(passed, name);
	struct source *source;
	char at[160];
	int fd;

	if (find(all, name) || (index < 0 && sha256 && is_here(all->daemon, sha256)))
		return 0;
	snprintf(at, sizeof(at), "%.150s/source", path);
	if (index < 0 && call_role(call) < ROLE_OPERATOR)
		return vn_fail_at(err, at, VN_E_DENIED, "what lies below import_dir is for operators: pass "
				  "the file's descriptor (vnodectl does)");
	fd = index < 0 ? import_open(all->daemon, name, at, err) : call_take_fd(call, index);
	if (fd < 0 && index >= 0)
		vn_fail_at(err, "/sources", VN_E_INVALID, "%d descriptors did not come with the request, "
			   "which \"%.80s\" would be the last of", index + 1, name);
	if (fd < 0)
		return -1;
	all->list = vn_realloc_array(all->list, all->count + 1, sizeof(*all->list));
	source = &all->list[all->count++];
	*source = (struct source){ .name = name, .fd = fd };
	snprintf(source->path, sizeof(source->path), "%s", at);
	return 0;
}

static int
note_any(struct collection *all, json_t *file, const char *name, const char *path, struct vn_error *err)
{
	(void)all;
	(void)file;
	(void)name;
	(void)path;
	(void)err;
	return 1;
}

struct opening {
	struct collection all;
	const struct field_array *passed;
	struct call *call;
};

static int
open_one(struct collection *all, json_t *file, const char *name, const char *path, struct vn_error *err)
{
	struct opening *opening = vn_container_of(all, struct opening, all);

	return open_source(all, file, name, opening->passed, opening->call, path, err);
}

/* Puts the digest in; one that was given must be that. */
static int
complete(struct collection *all, json_t *file, const char *name, const char *path, struct vn_error *err)
{
	const char *given = json_string_value(json_object_get(file, "sha256"));
	const struct source *source = find(all, name);
	char at[160];

	if (!source)
		return 0;
	if (given && strcmp(given, source->sha256) != 0) {
		snprintf(at, sizeof(at), "%.150s/sha256", path);
		return vn_fail_at(err, at, VN_E_INVALID, "the source \"%.80s\" has another digest, %s",
				  name, source->sha256);
	}
	json_object_set_new(file, "sha256", json_string(source->sha256));
	return 0;
}

/* ---- on the worker ---- */

static int
read_source(struct source *source, char *data, size_t *ret_size, struct vn_error *err)
{
	struct stat st;
	ssize_t got = 1;
	size_t size = 0;

	if (fstat(source->fd, &st) < 0 || !S_ISREG(st.st_mode))
		return vn_fail_at(err, source->path, VN_E_INVALID, "\"%.80s\" is no ordinary file",
				  source->name);
	while (got > 0 && size <= DOC_FILE_MAX) {
		got = pread(source->fd, data + size, DOC_FILE_MAX + 1 - size, (off_t)size);
		size += got > 0 ? (size_t)got : 0;
	}
	if (got < 0)
		return vn_fail_errno(err, errno, "read the source \"%.80s\"", source->name);
	if (size > DOC_FILE_MAX)
		return vn_fail_at(err, source->path, VN_E_INVALID, "\"%.80s\" has more than %d bytes: put "
				  "large files into the image", source->name, DOC_FILE_MAX);
	*ret_size = size;
	return 0;
}

static int
write_all(int fd, const char *data, size_t size)
{
	for (size_t done = 0; done < size;) {
		ssize_t written = write(fd, data + done, size - done);

		if (written < 0)
			return -1;
		done += (size_t)written;
	}
	return fsync(fd);
}

/* Workers may write the same one at once: each beside its place under a name of its own. */
static int
keep(const struct collection *all, struct source *source, const char *data, size_t size,
     struct vn_error *err)
{
	vn_autofree char *path = vn_format("%s/%s", all->folder, source->sha256);
	vn_autofree char *temporary = vn_format("%s/new-XXXXXX", all->folder);
	vn_autoclose int fd = -1;
	struct stat st;

	if (stat(path, &st) == 0 && (size_t)st.st_size == size)
		return 0;
	fd = mkostemp(temporary, O_CLOEXEC);
	if (fd < 0)
		return vn_fail_errno(err, errno, "make a file in %s", all->folder);
	if (write_all(fd, data, size) == 0 && rename(temporary, path) == 0)
		return 0;
	vn_fail_errno(err, errno, "write %s", path);
	unlink(temporary);
	return -1;
}

static int
take(const struct collection *all, struct source *source, char *data, struct vn_error *err)
{
	struct digest *sha;
	size_t size = 0;

	if (read_source(source, data, &size, err) < 0)
		return -1;
	sha = digest_new();
	digest_update(sha, data, size);
	digest_print(sha, source->sha256);
	digest_free(sha);
	return keep(all, source, data, size, err);
}

static void
run(struct work *work)
{
	struct collection *all = vn_container_of(work, struct collection, work);
	vn_autofree char *data = vn_alloc(DOC_FILE_MAX + 1);
	vn_autoclose int folder = open(all->folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	for (size_t i = 0; i < all->count; i++)
		if (take(all, &all->list[i], data, &all->err) < 0)
			return;
	if (folder < 0 || fsync(folder) < 0)
		vn_fail_errno(&all->err, errno, "sync %s", all->folder);
}

/* ---- back on the loop ---- */

static int
go_on(struct call *call, const void *arg, struct vn_error *err)
{
	struct collection *all = (struct collection *)(uintptr_t)arg;

	if (all->err.code == VN_OK && each_source(all, complete, &all->err) == 0)
		return all->then(call, all->params, all->document, err);
	*err = all->err;
	return -1;
}

static void
done(struct work *work)
{
	struct collection *all = vn_container_of(work, struct collection, work);

	call_continue(all->daemon, all->ticket, go_on, all);
	all->daemon->collecting--;
	collection_free(all);
}

int
sources_collect(struct call *call, json_t *document, const struct field_array *passed, sources_fn *then,
		const void *params, struct vn_error *err)
{
	struct opening opening = { .passed = passed, .call = call };
	struct collection *all = &opening.all;

	all->daemon = call_daemon(call);
	all->document = json_deep_copy(document);
	all->then = then;
	all->params = params;
	if (each_source(all, note_any, err))
		sources_sweep(all->daemon);	/* before anything here relies on what nothing names */
	if (each_source(all, open_one, err) < 0 || !all->count) {
		int result = all->count || err->code != VN_OK ? -1 : then(call, params, all->document, err);

		for (size_t i = 0; i < all->count; i++)
			vn_close_at(&all->list[i].fd);
		json_decref(all->document);
		free(all->list);
		return result;
	}
	all = vn_alloc(sizeof(*all));
	*all = opening.all;
	all->folder = vn_format("%s/files", all->daemon->config.state_dir);
	all->work = (struct work){ .lane = LANE_BULK, .run = run, .done = done, .lost = done };
	all->daemon->collecting++;
	all->ticket = call_defer(call, NULL, NULL);
	pool_submit(all->daemon->pool, &all->work);
	return 0;
}

/* ---- what is here ---- */

int
sources_check(const struct daemon *daemon, const struct doc_vnode *spec, struct vn_error *err)
{
	const struct doc_file *files = spec->files.items;
	char path[48];

	for (size_t i = 0; i < spec->files.count; i++) {
		if (!files[i].source || (files[i].sha256 && is_here(daemon, files[i].sha256)))
			continue;
		snprintf(path, sizeof(path), "/files/%zu/source", i);
		return vn_fail_at(err, path, VN_E_NOT_FOUND, "\"%.80s\" is not here: apply a topology with "
				  "it, or give its content instead", files[i].source);
	}
	return 0;
}

static bool
mentions(json_t *json, const char *text)
{
	const char *key;
	json_t *value;
	size_t i;

	if (json_is_string(json))
		return strcmp(json_string_value(json), text) == 0;
	json_object_foreach(json, key, value)
		if (mentions(value, text))
			return true;
	json_array_foreach(json, i, value)
		if (mentions(value, text))
			return true;
	return false;
}

static bool
is_named(struct daemon *daemon, const char *sha256)
{
	vn_list_each(struct vnode, vnode, &daemon->model->vnodes, link) {
		const struct doc_file *files = vnode->spec.files.items;

		for (size_t i = 0; i < vnode->spec.files.count; i++)
			if (files[i].sha256 && strcmp(files[i].sha256, sha256) == 0)
				return true;
	}
	vn_list_each(struct job, job, jobs_list(daemon->jobs), link)
		if (mentions(job->params, sha256) || mentions(job->data, sha256))
			return true;
	return false;
}

void
sources_sweep(struct daemon *daemon)
{
	vn_autofree char *folder = vn_format("%s/files", daemon->config.state_dir);
	struct dirent *entry;
	DIR *dir;

	if (daemon->collecting || !(dir = opendir(folder)))
		return;
	while ((entry = readdir(dir)))
		if (entry->d_name[0] != '.' && !is_named(daemon, entry->d_name) &&
		    unlinkat(dirfd(dir), entry->d_name, 0) == 0)
			vn_log_debug("vnode", "removed %s/%s: no vnode has that file any more", folder,
				     entry->d_name);
	closedir(dir);
}
