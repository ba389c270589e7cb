/* Methods on images. */
#include "daemon/image_verbs.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>

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

/* Opens a file below import_dir, whatever links lie there. */
static int
open_import(struct daemon *daemon, const char *name, struct vn_error *err)
{
	struct open_how how = { .flags = O_RDONLY | O_CLOEXEC | O_NONBLOCK,
				.resolve = RESOLVE_BENEATH | RESOLVE_NO_MAGICLINKS };
	vn_autoclose int dir = -1;
	int fd;

	if (!daemon->config.import_dir)
		return vn_fail_at(err, "/file", VN_E_DENIED, "no import_dir is set in vnoded.conf: pass "
				  "the file's descriptor (vnodectl does), or set it");
	dir = open(daemon->config.import_dir, O_PATH | O_DIRECTORY | O_CLOEXEC);
	if (dir < 0)
		return vn_fail_errno(err, errno, "open import_dir '%s'", daemon->config.import_dir);
	fd = (int)syscall(SYS_openat2, dir, name, &how, sizeof(how));
	if (fd < 0 && errno == EXDEV)
		return vn_fail_at(err, "/file", VN_E_INVALID, "'%s' leads out of import_dir: name a file "
				  "below it", name);
	if (fd < 0) {
		vn_fail_errno(err, errno, "open '%s' below import_dir", name);
		strcpy(err->path, "/file");
		return -1;
	}
	return fd;
}

static int
open_source(struct call *call, const struct image_add_params *p, int *ret_fd, struct vn_error *err)
{
	struct stat st;
	int fd;

	*ret_fd = -1;
	if (!!p->url + !!p->file + (p->fd >= 0) != 1)
		return vn_fail(err, VN_E_INVALID, "give exactly one of url, file and fd");
	if (p->url && strncmp(p->url, "http://", 7) != 0 && strncmp(p->url, "https://", 8) != 0)
		return vn_fail_at(err, "/url", VN_E_INVALID, "expected an http or https URL");
	if (p->url)
		return 0;
	fd = p->file ? open_import(call_daemon(call), p->file, err) : call_take_fd(call, p->fd);
	if (fd < 0 && p->file)
		return -1;
	if (fd < 0)
		return vn_fail_at(err, "/fd", VN_E_INVALID, "no descriptor with that index came with "
				  "the request");
	if (fstat(fd, &st) < 0 || !S_ISREG(st.st_mode)) {
		close(fd);
		return vn_fail_at(err, p->file ? "/file" : "/fd", VN_E_INVALID, "not a regular file");
	}
	*ret_fd = fd;
	return 0;
}

/* Meets what is there already: 1 answered, 0 go on, -1 refused. */
static int
meet_existing(struct call *call, const struct image_add_params *p, struct vn_error *err)
{
	struct daemon *daemon = call_daemon(call);
	struct image *image = image_find(daemon, p->name);
	struct job *job = image ? job_find(daemon, image->lock.holder) : NULL;
	const char *wanted;

	if (!image)
		return 0;
	wanted = job ? json_string_value(json_object_get(job->params, "sha256")) : image->sha256;
	if (p->sha256 && wanted && strcmp(p->sha256, wanted) == 0)
		return (job ? job_answer_same(call, &p->change, job, err)
			    : job_answer_nothing(call, &p->change, "image.add", image_object(image),
						 err)) < 0 ? -1 : 1;
	return vn_fail_at(err, "/name", VN_E_EXISTS, "image '%s' exists already with %s digest; remove "
			  "it first or choose another name", p->name, p->sha256 ? "another" : "a");
}

int
handle_image_add(struct call *call, const void *params, struct vn_error *err)
{
	const struct image_add_params *p = params;
	struct daemon *daemon = call_daemon(call);
	vn_autofree char *source = NULL;
	vn_autoclose int fd = -1;
	struct image *image;
	json_t *job;
	int met;

	if (!p->sha256 && !p->insecure_no_digest)
		return vn_fail_at(err, "/sha256", VN_E_INVALID, "missing: give the archive's SHA-256, "
				  "or insecure_no_digest to trust whatever comes");
	if (open_source(call, p, &fd, err) < 0)
		return -1;
	met = meet_existing(call, p, err);
	if (met)
		return met < 0 ? -1 : 0;
	source = p->url ? public_url(p->url) : vn_strdup(p->file ? p->file : "(passed file)");
	image = image_new(daemon, p->name, source);
	image_set_state(image, IMAGE_FETCHING, NULL);
	if (fd >= 0)
		image_give_fd(daemon, p->name, vn_take_fd(&fd));
	job = json_pack("{ss ss ss?}", "image", p->name, "sha256", p->sha256 ? p->sha256 : "", "url",
			p->url);
	if (job_answer(call, &p->change, &verb_image_add, job, err) == 0 && image->lock.holder)
		return 0;
	if (!image->lock.holder)
		image_remove_object(image);
	return err->code == VN_OK ? 0 : -1;
}

int
handle_image_list(struct call *call, const void *params, struct vn_error *err)
{
	json_t *images = json_array();

	(void)params;
	(void)err;
	vn_list_each(struct image, image, &call_daemon(call)->model->images, link)
		json_array_append_new(images, image_object(image));
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
	call_reply(call, image_object(image));
	return 0;
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
	return job_answer(call, &p->change, &verb_image_remove,
			  json_pack("{ss}", "image", p->image), err);
}
