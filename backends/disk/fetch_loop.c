/*
 * curl's multi interface driven by the daemon's loop: curl says which sockets and which one timer it
 * waits for, the loop says when they are ready. Nothing happens on a caller's stack: adding a transfer
 * only sets the timer.
 */
#include "backends/disk/fetch_loop.h"

#include "proto/base/mem.h"

struct fetch_loop {
	const struct watch_ops *watch;
	fetch_done_fn *on_done;
	CURLM *multi;
	struct watch *timer;		/* curl's one timer */
};

/* One socket that curl waits for. */
struct socket_watch {
	struct fetch_loop *loop;
	struct watch *watch;
};

/* Ends every transfer that curl is done with. */
static void
finish_ready(struct fetch_loop *loop)
{
	CURLMsg *message;
	int left;

	while ((message = curl_multi_info_read(loop->multi, &left)))
		if (message->msg == CURLMSG_DONE)
			loop->on_done(message->easy_handle, message->data.result);
}

static void
on_ready(int fd, unsigned what, void *arg)
{
	struct socket_watch *socket_watch = arg;
	struct fetch_loop *loop = socket_watch->loop;
	int ready = (what & WATCH_READ ? CURL_CSELECT_IN : 0)
		    | (what & WATCH_WRITE ? CURL_CSELECT_OUT : 0), running;

	curl_multi_socket_action(loop->multi, fd, ready, &running);
	finish_ready(loop);
}

static void
on_timer(void *arg)
{
	struct fetch_loop *loop = arg;
	int running;

	loop->watch->remove(loop->watch->loop, loop->timer);
	loop->timer = NULL;
	curl_multi_socket_action(loop->multi, CURL_SOCKET_TIMEOUT, 0, &running);
	finish_ready(loop);
}

/* curl wants to wait for other things on a socket: its old watch goes, a new one comes. */
static int
on_socket(CURL *easy, curl_socket_t fd, int what, void *arg, void *socket_arg)
{
	struct fetch_loop *loop = arg;
	struct socket_watch *socket_watch = socket_arg;
	const struct watch_ops *watch = loop->watch;
	unsigned wanted = (what & CURL_POLL_IN ? WATCH_READ : 0)
			  | (what & CURL_POLL_OUT ? WATCH_WRITE : 0);

	(void)easy;
	if (socket_watch)
		watch->remove(watch->loop, socket_watch->watch);
	if (what == CURL_POLL_REMOVE) {
		free(socket_watch);
		curl_multi_assign(loop->multi, fd, NULL);
		return 0;
	}
	if (!socket_watch) {
		socket_watch = vn_alloc(sizeof(*socket_watch));
		socket_watch->loop = loop;
		curl_multi_assign(loop->multi, fd, socket_watch);
	}
	socket_watch->watch = watch->add_fd(watch->loop, fd, wanted, on_ready, socket_watch);
	return 0;
}

static int
on_timeout_change(CURLM *multi, long after_ms, void *arg)
{
	struct fetch_loop *loop = arg;
	const struct watch_ops *watch = loop->watch;

	(void)multi;
	watch->remove(watch->loop, loop->timer);
	loop->timer = after_ms < 0 ? NULL
			 : watch->add_timer(watch->loop, (unsigned)after_ms, on_timer, loop);
	return 0;
}

struct fetch_loop *
fetch_loop_new(const struct watch_ops *watch, fetch_done_fn *on_done)
{
	struct fetch_loop *loop = vn_alloc(sizeof(*loop));

	loop->watch = watch;
	loop->on_done = on_done;
	loop->multi = curl_multi_init();
	if (!loop->multi)
		abort();
	curl_multi_setopt(loop->multi, CURLMOPT_SOCKETFUNCTION, on_socket);
	curl_multi_setopt(loop->multi, CURLMOPT_SOCKETDATA, loop);
	curl_multi_setopt(loop->multi, CURLMOPT_TIMERFUNCTION, on_timeout_change);
	curl_multi_setopt(loop->multi, CURLMOPT_TIMERDATA, loop);
	return loop;
}

void
fetch_loop_free(struct fetch_loop *loop)
{
	curl_multi_cleanup(loop->multi);
	loop->watch->remove(loop->watch->loop, loop->timer);
	free(loop);
}

int
fetch_loop_add(struct fetch_loop *loop, CURL *easy, struct vn_error *err)
{
	if (curl_multi_add_handle(loop->multi, easy) != CURLM_OK)
		return vn_fail(err, VN_E_BACKEND, "libcurl takes no more transfers");
	return 0;
}

void
fetch_loop_remove(struct fetch_loop *loop, CURL *easy)
{
	curl_multi_remove_handle(loop->multi, easy);
}
