/*
 * Downloads without a network: each turn of the loop brings the next part of what world_url() said.
 * The file is real, because the daemon hands its path on; it is there half after the first turn.
 */
#include "backends/fake/model.h"
#include "backends/digest.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>

struct fake_fetcher {
	struct fetcher base;
	struct handle handle;
};

/* What a turn found out under the lock, for the callbacks that run without it. */
struct answer {
	void *data;
	size_t size;
	enum vn_code code;
	bool is_known, is_held, is_full;
};

static int
fake_open(const struct backend_env *env, struct fetcher **ret, struct vn_error *err)
{
	struct fake_fetcher *fake = vn_alloc(sizeof(*fake));

	(void)err;
	fake->base.ops = &fetch_fake;
	handle_open(&fake->handle, env);
	*ret = &fake->base;
	return 0;
}

static void
fake_close(struct fetcher *self)
{
	if (!self)
		return;
	handle_close(&vn_container_of(self, struct fake_fetcher, base)->handle);
	free(self);
}

void
fetch_free(struct fetch *fetch)
{
	vn_list_remove(&fetch->link);
	free(fetch->url);
	free(fetch->path);
	free(fetch);
}

static struct fetch *
find_fetch(struct world *world, uint64_t serial)
{
	vn_list_each(struct fetch, fetch, &world->fetches, link)
		if (fetch->serial == serial)
			return fetch;
	return NULL;
}

static void turn(struct handle *handle, void *arg);

/* With the lock. */
static void
post_turn(struct fetch *fetch)
{
	uint64_t *serial = vn_alloc(sizeof(*serial));

	*serial = fetch->serial;
	fetch->is_waiting = false;
	handle_post(fetch->handle, turn, serial);
}

static int
write_file(const char *path, const void *data, size_t size, struct vn_error *err)
{
	vn_autoclose int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);

	if (fd < 0)
		return vn_fail_errno(err, errno, "open '%s'", path);
	for (size_t done = 0; done < size;) {
		ssize_t n = write(fd, (const char *)data + done, size - done);

		if (n < 0)
			return vn_fail_errno(err, errno, "write '%s'", path);
		done += (size_t)n;
	}
	return 0;
}

static void
end(struct fetch *fetch, const struct fetch_result *result, const struct vn_error *err)
{
	struct world *world = fetch->handle->world;

	if (err)
		unlink(fetch->path);
	fetch->request.on_end(fetch->request.arg, result, err);
	pthread_mutex_lock(&world->lock);
	fetch_free(fetch);
	pthread_mutex_unlock(&world->lock);
}

static int
check_answer(const struct fetch *fetch, const struct answer *answer, struct vn_error *err)
{
	const struct fetch_request *request = &fetch->request;

	if (fetch->is_cancelled)
		return vn_fail(err, VN_E_CANCELLED, "cancelled");
	if (!answer->is_known)
		return vn_fail(err, VN_E_BACKEND, "'%s': the server answered 404", fetch->url);
	if (answer->size > request->limit_bytes && request->limit_bytes)
		return vn_fail(err, VN_E_LIMIT, "'%s' is larger than %llu bytes", fetch->url,
			       (unsigned long long)request->limit_bytes);
	if (answer->is_full)
		return vn_fail_errno(err, ENOSPC, "write '%s'", fetch->path);
	if (fetch->has_begun && answer->code != VN_OK)
		return vn_fail(err, answer->code, "'%s' broke off half way", fetch->url);
	return 0;
}

static int
advance(struct fetch *fetch, const struct answer *answer, size_t done, struct vn_error *err)
{
	const struct fetch_request *request = &fetch->request;

	if (check_answer(fetch, answer, err) < 0 ||
	    write_file(fetch->path, answer->data, done, err) < 0)
		return -1;
	fetch->has_begun = true;
	if (request->on_progress)
		request->on_progress(request->arg, done, answer->size);
	return 0;
}

static struct fetch *
look(struct world *world, uint64_t serial, struct answer *ret)
{
	struct fetch *fetch = find_fetch(world, serial);
	struct url *url = fetch ? url_find(world, fetch->url) : NULL;

	*ret = (struct answer){ .is_full = world->is_full };
	if (!url)
		return fetch;
	ret->is_known = true;
	ret->is_held = url->is_held && fetch->has_begun && !fetch->is_cancelled;
	ret->code = url->code;
	ret->size = url->size;
	ret->data = vn_alloc(url->size);
	if (url->size)
		memcpy(ret->data, url->data, url->size);
	fetch->is_waiting = ret->is_held;
	return fetch;
}

static void
turn(struct handle *handle, void *arg)
{
	struct world *world = handle->world;
	struct fetch_result result = { 0 };
	struct answer answer;
	struct vn_error err;
	struct fetch *fetch;
	bool was_begun;

	pthread_mutex_lock(&world->lock);
	fetch = look(world, *(uint64_t *)arg, &answer);
	pthread_mutex_unlock(&world->lock);
	if (!fetch || answer.is_held)
		goto out;
	was_begun = fetch->has_begun;
	if (advance(fetch, &answer, was_begun ? answer.size : answer.size / 2, &err) < 0) {
		end(fetch, &result, &err);
	} else if (was_begun) {
		struct digest *digest = digest_new();

		digest_update(digest, answer.data, answer.size);
		digest_print(digest, result.sha256);
		digest_free(digest);
		result.bytes = answer.size;
		end(fetch, &result, NULL);
	} else {
		pthread_mutex_lock(&world->lock);
		post_turn(fetch);
		pthread_mutex_unlock(&world->lock);
	}
out:
	free(answer.data);
}

static int
fake_start(struct fetcher *self, const struct fetch_request *request, struct fetch **ret,
	   struct vn_error *err)
{
	struct fake_fetcher *fake = vn_container_of(self, struct fake_fetcher, base);
	struct fetch *fetch;
	struct call call;

	if (call_begin(&call, &fake->handle, "fetch.start", 0, CALL_LOOP, err) < 0)
		return -1;
	if (strncmp(request->url, "http://", 7) != 0 && strncmp(request->url, "https://", 8) != 0)
		return call_end(&call, vn_fail(err, VN_E_INVALID, "'%s' is neither http:// nor "
					       "https://", request->url), err);
	fetch = vn_alloc(sizeof(*fetch));
	fetch->handle = &fake->handle;
	fetch->request = *request;
	fetch->url = vn_strdup(request->url);
	fetch->path = vn_strdup(request->path);
	fetch->serial = call.world->next_serial++;
	vn_list_append(&call.world->fetches, &fetch->link);
	post_turn(fetch);
	*ret = fetch;
	return call_end(&call, 0, err);
}

static void
fake_cancel(struct fetcher *self, struct fetch *fetch)
{
	struct fake_fetcher *fake = vn_container_of(self, struct fake_fetcher, base);
	struct vn_error unheard;
	struct call call;

	if (call_begin(&call, &fake->handle, "fetch.cancel", 0, CALL_LOOP | CALL_SURE,
		       &unheard) < 0)
		return;
	fetch->is_cancelled = true;
	if (fetch->is_waiting)
		post_turn(fetch);
	call_end(&call, 0, &unheard);
}

static struct url *
get_url(struct world *world, const char *address)
{
	struct url *url = url_find(world, address);

	if (url)
		return url;
	url = vn_alloc(sizeof(*url));
	url->address = vn_strdup(address);
	vn_list_append(&world->urls, &url->link);
	return url;
}

void
world_url(struct world *world, const char *address, const void *data, size_t size)
{
	struct url *url;

	pthread_mutex_lock(&world->lock);
	url = get_url(world, address);
	free(url->data);
	url->data = vn_alloc(size);
	url->size = size;
	url->code = VN_OK;
	if (size)
		memcpy(url->data, data, size);
	pthread_mutex_unlock(&world->lock);
}

void
world_url_fail(struct world *world, const char *address, enum vn_code code)
{
	pthread_mutex_lock(&world->lock);
	get_url(world, address)->code = code;
	pthread_mutex_unlock(&world->lock);
}

void
world_url_hold(struct world *world, const char *address, bool hold)
{
	pthread_mutex_lock(&world->lock);
	get_url(world, address)->is_held = hold;
	vn_list_each(struct fetch, fetch, &world->fetches, link)
		if (!hold && fetch->is_waiting && strcmp(fetch->url, address) == 0)
			post_turn(fetch);
	pthread_mutex_unlock(&world->lock);
}

const struct fetch_ops fetch_fake = {
	.open = fake_open,
	.close = fake_close,
	.start = fake_start,
	.cancel = fake_cancel,
};
