/* Methods on images. */
#include "daemon/image_verbs.h"
#include "daemon/sources.h"

#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

/* The URL without user, password and query, for people and the database. */
static char *
public_url(const char *url)
{
	const char *host = strstr(url, "://"), *at, *slash;
	char *copy;

	if (!host)
		return vn_strdup(url);
	host += 3;
	slash = strchr(host, '/');
	at = memrchr(host, '@', slash ? (size_t)(slash - host) : strlen(host));
	copy = vn_format("%.*s%s", (int)(host - url), url, at ? at + 1 : host);
	copy[strcspn(copy, "?#")] = '\0';
	return copy;
}

/* Where an image is to come from, in one form whatever words it was asked for with. */
struct origin {
	const char *url;		/* http or https; NULL: from fd */
	const char *shown;		/* of a file; NULL: a passed one */
	int fd;
};

/*
 * The name below import_dir that a file: URL means: "file:NAME", or the whole path of such a file.
 * NULL with err for any other.
 */
static const char *
below_import(const struct daemon *daemon, const char *url, struct vn_error *err)
{
	const char *path = url + strlen("file:"), *dir = daemon->config.import_dir;
	size_t length = dir ? strlen(dir) : 0;

	if (strncmp(path, "//localhost/", 12) == 0)
		path += strlen("//localhost");
	else if (strncmp(path, "///", 3) == 0)
		path += 2;
	if (path[0] != '/' || !dir)
		return path;
	if (strncmp(path, dir, length) == 0 && path[length] == '/')
		return path + length + strspn(path + length, "/");
	vn_fail_at(err, "/url", VN_E_DENIED, "'%s' is not below import_dir (%s): pass the file's "
		   "descriptor (vnodectl does), or put it there", path, dir);
	return NULL;
}

static int
check_file(int fd, const struct daemon *daemon, const char *path, struct vn_error *err)
{
	uint64_t left = image_storage_left(daemon);
	struct stat st;

	if (fstat(fd, &st) < 0 || !S_ISREG(st.st_mode))
		return vn_fail_at(err, path, VN_E_INVALID, "not a regular file");
	if ((uint64_t)st.st_size > left)
		return vn_fail_at(err, path, VN_E_LIMIT, "the file has %lld bytes, and image_storage "
				  "leaves %llu: remove images (vnodectl image prune) or raise it",
				  (long long)st.st_size, (unsigned long long)left);
	return 0;
}

static int
open_file(struct call *call, const struct image_add_params *p, struct origin *ret,
	  struct vn_error *err)
{
	const char *name = p->source ? p->source : p->file;
	const char *path = p->source ? "/source" : p->file ? "/file" : p->url ? "/url" : "/fd";
	vn_autoclose int fd = -1;

	if (p->url && !(name = below_import(call_daemon(call), p->url, err)))
		return -1;
	fd = name ? import_open(call_daemon(call), name, path, err) : call_take_fd(call, p->fd);
	if (fd < 0)
		return name ? -1 : vn_fail_at(err, path, VN_E_INVALID, "no descriptor with that index "
					      "came with the request");
	if (check_file(fd, call_daemon(call), path, err) < 0)
		return -1;
	ret->shown = name;
	ret->fd = vn_take_fd(&fd);
	return 0;
}

static int
open_source(struct call *call, const struct image_add_params *p, struct origin *ret,
	    struct vn_error *err)
{
	*ret = (struct origin){ .fd = -1 };
	if (!!p->url + !!p->source + !!p->file + (p->fd >= 0) != 1)
		return vn_fail(err, VN_E_INVALID, "give exactly one of url, source and fd");
	if (!p->url || strncmp(p->url, "file:", 5) == 0)
		return open_file(call, p, ret, err);
	if (image_storage_left(call_daemon(call)) == 0)
		return vn_fail_at(err, "/url", VN_E_LIMIT, "image_storage is used up: remove images "
				  "(vnodectl image prune) or raise it");
	ret->url = p->url;
	return 0;
}

static bool
is_same_base(const struct image *image, const char *base)
{
	return strcmp(image->base ? image->base : "", base ? base : "") == 0;
}

/* Meets what is there already: 1 answered, 0 go on, -1 refused. */
static int
meet_existing(struct call *call, const struct image_add_params *p, const char *name,
	      struct vn_error *err)
{
	struct daemon *daemon = call_daemon(call);
	struct image *image = image_find(daemon, name);
	struct job *job = image ? job_find(daemon, image->lock.holder) : NULL;
	const char *wanted;

	if (!image)
		return 0;
	wanted = job ? json_string_value(json_object_get(job->params, "sha256")) : image->sha256;
	if (p->sha256 && wanted && strcmp(p->sha256, wanted) == 0 && is_same_base(image, p->base))
		return (job ? job_answer_same(call, &p->change, job, err)
			    : job_answer_nothing(call, &p->change, "image.add",
						 image_object(image, true), err)) < 0 ? -1 : 1;
	return vn_fail_at(err, p->image ? "/image" : "/name", VN_E_EXISTS, "image '%s' exists already "
			  "with %s; remove it first or choose another name", name,
			  !p->sha256 ? "a digest" : is_same_base(image, p->base) ? "another digest"
			  : "another base");
}

static int
check_base(struct daemon *daemon, const struct image_add_params *p, const char *name,
	   struct vn_error *err)
{
	const struct image *base = p->base ? image_find(daemon, p->base) : NULL;

	if (!p->base)
		return 0;
	if (strcmp(p->base, name) == 0)
		return vn_fail_at(err, "/base", VN_E_INVALID, "image '%s' cannot be its own base", name);
	if (p->format > IMAGE_TAR)
		return vn_fail_at(err, "/base", VN_E_INVALID, "a disk can be no layer on a base: only tar "
				  "archives can");
	if (!base || base->state == IMAGE_FAILED || base->state == IMAGE_ABSENT)
		return vn_fail_at(err, "/base", VN_E_NOT_FOUND, "no image '%s'; add the base first",
				  p->base);
	if (base->format > IMAGE_TAR)
		return vn_fail_at(err, "/base", VN_E_INVALID, "image '%s' is the disk of a virtual machine, "
				  "and only tar archives can be layers", p->base);
	return 0;
}

static int
check_params(struct daemon *daemon, const struct image_add_params *p, const char **ret_name,
	     struct vn_error *err)
{
	if (!p->image == !p->name)
		return vn_fail_at(err, "/image", VN_E_INVALID, "missing: give the image's name, once");
	*ret_name = p->image ? p->image : p->name;
	if (!p->sha256 && !p->insecure_no_digest)
		return vn_fail_at(err, "/sha256", VN_E_INVALID, "missing: give the archive's SHA-256, "
				  "or insecure_no_digest to trust whatever comes");
	return check_base(daemon, p, *ret_name, err);
}

/* Makes the row and the job; the descriptor is taken. */
static int
begin_add(struct call *call, const struct image_add_params *p, const char *name,
	  const struct origin *origin, struct vn_error *err)
{
	struct daemon *daemon = call_daemon(call);
	vn_autofree char *source = origin->url ? public_url(origin->url)
				   : vn_strdup(origin->shown ? origin->shown : "(passed file)");
	struct image *image = image_new(daemon, name, source);
	json_t *job;

	image->base = vn_strdup(p->base);
	image_set_state(image, IMAGE_FETCHING, NULL);
	if (origin->fd >= 0)
		image_give_fd(daemon, name, origin->fd);
	job = json_pack("{ss ss ss? si}", "image", name, "sha256", p->sha256 ? p->sha256 : "", "url",
			origin->url, "format", p->format);
	if (job_answer(call, &p->change, &verb_image_add, job, err) == 0 && image->lock.holder)
		return 0;
	if (!image->lock.holder)
		image_remove_object(image);
	return err->code == VN_OK ? 0 : -1;
}

int
handle_image_add(struct call *call, const void *params, struct vn_error *err)
{
	const struct image_add_params *p = params;
	struct origin origin;
	const char *name = NULL;
	int met;

	if (check_params(call_daemon(call), p, &name, err) < 0
	    || open_source(call, p, &origin, err) < 0)
		return -1;
	met = meet_existing(call, p, name, err);
	if (met == 0)
		return begin_add(call, p, name, &origin, err);
	if (origin.fd >= 0)
		close(origin.fd);
	return met < 0 ? -1 : 0;
}

int
handle_image_list(struct call *call, const void *params, struct vn_error *err)
{
	json_t *images = json_array();

	(void)params;
	(void)err;
	vn_list_each(struct image, image, &call_daemon(call)->model->images, link)
		json_array_append_new(images, image_object(image, false));
	call_reply(call, json_pack("{so}", "images", images));
	return 0;
}

static int
find(struct call *call, const char *name, struct image **ret, struct vn_error *err)
{
	*ret = image_find(call_daemon(call), name);
	return *ret ? 0 : vn_fail_at(err, "/image", VN_E_NOT_FOUND, "no image '%s'", name);
}

int
handle_image_get(struct call *call, const void *params, struct vn_error *err)
{
	const struct image_params *p = params;
	struct image *image;

	if (find(call, p->image, &image, err) < 0)
		return -1;
	call_reply(call, image_object(image, true));
	return 0;
}

/* Names the images that are layers on this one, as many as a sentence bears. */
static int
fail_dependants(const struct image *image, struct vn_error *err)
{
	char names[200] = "";
	size_t length = 0;

	vn_list_each(struct image, other, &image->daemon->model->images, link)
		if (other->base && strcmp(other->base, image->name) == 0 && length < sizeof(names) - 1)
			length += (size_t)snprintf(names + length, sizeof(names) - length, "%s'%s'",
						   length ? ", " : "", other->name);
	return vn_fail_at(err, "/image", VN_E_STATE, "image '%s' is the base of %s; remove %s first",
			  image->name, names, strchr(names, ',') ? "them" : "that one");
}

int
handle_image_remove(struct call *call, const void *params, struct vn_error *err)
{
	const struct image_change_params *p = params;
	struct image *image;
	unsigned users;

	if (find(call, p->image, &image, err) < 0)
		return -1;
	users = image_users(image);
	if (users)
		return vn_fail_at(err, "/image", VN_E_STATE, "%u vnodes use image '%s'; destroy them "
				  "first", users, p->image);
	if (image_dependant(image))
		return fail_dependants(image, err);
	return job_answer(call, &p->change, &verb_image_remove,
			  json_pack("{ss}", "image", p->image), err);
}

int
handle_image_prune(struct call *call, const void *params, struct vn_error *err)
{
	const struct image_prune_params *p = params;

	return job_answer(call, &p->change, &verb_image_prune,
			  json_pack("{sI sI sb}", "older_than_us",
				    (json_int_t)(p->older_than_ns / 1000), "keep_bytes",
				    (json_int_t)p->keep_bytes, "dry_run", p->dry_run), err);
}
