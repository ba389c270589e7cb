/* The daemon's door and its clients; see door.h. */
#include "tests/unit/door.h"

#include <dirent.h>
#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>

#include "daemon/call.h"
#include "daemon/log.h"
#include "daemon/model.h"

struct door door;
static unsigned n_fds_before;

/* ---- handlers ------------------------------------------------------------------------------- */

static void
on_gone(void *arg)
{
	(void)arg;
	door.n_gone++;
}

static int
reply_file_size(struct call *call, const struct image_add_params *params, struct vn_error *err)
{
	int fd = call_take_fd(call, params->fd);
	struct stat stat;

	if (fd < 0)
		return vn_fail_at(err, "/fd", VN_E_INVALID, "no such descriptor");
	ck_assert_int_eq(fstat(fd, &stat), 0);
	close(fd);
	call_reply(call, json_pack("{sI}", "size", (json_int_t)stat.st_size));
	return 0;
}

static int
reply_pipe(struct call *call)
{
	int ends[2];

	ck_assert_int_eq(pipe(ends), 0);
	ck_assert_int_eq(write(ends[1], "console", 7), 7);
	close(ends[1]);
	call_attach_fd(call, ends[0]);
	call_reply(call, json_object());
	return 0;
}

static int
fail_at_once(struct call *call)
{
	struct vn_error late = { 0 };

	vn_fail(&late, VN_E_STATE, "too late");
	call_answer_error(&door.daemon, call_defer(call, NULL, NULL), &late, 5);
	return 0;
}

static int
handle(enum method_id id, struct call *call, const void *params, struct vn_error *err)
{
	json_t *asked = call_params(call);

	if (id == METHOD_host_info)
		call_reply(call, json_pack("{sI}", "n", (json_int_t)++door.n_info));
	else if (id == METHOD_vnode_get)
		call_reply(call, json_incref(asked));
	else if (id == METHOD_vnode_list)
		call_reply(call, json_pack("{so}", "text", json_sprintf("%0*d", (int)json_integer_value(
			json_object_get(asked, "limit")), 0)));
	else if (id == METHOD_job_wait)
		door.tickets[door.n_tickets++ % DOOR_TICKETS] = call_defer(call, on_gone, NULL);
	else if (id == METHOD_job_get)
		call_answer(&door.daemon, call_defer(call, on_gone, NULL), json_object());
	else if (id == METHOD_job_cancel)
		return fail_at_once(call);
	else if (id == METHOD_image_add)
		return reply_file_size(call, params, err);
	else if (id == METHOD_vnode_console)
		return reply_pipe(call);
	else if (id == METHOD_lan_get) {
		call_error_job(call, 7);
		return vn_fail_at(err, "/lan", VN_E_NOT_FOUND, "no LAN");
	} else
		call_reply(call, call_method(call)->flags & METHOD_CHANGES
			   ? json_pack("{si}", "job", 1) : json_object());
	return 0;
}

/* The real ones of these names are tested: the table below makes others that nobody calls. */
#define handle_rpc_discover      unused_rpc_discover
#define handle_event_list        unused_event_list
#define handle_event_subscribe   unused_event_subscribe
#define handle_event_unsubscribe unused_event_unsubscribe
#define X(id, ...) \
	handler_fn handle_##id; \
	int handle_##id(struct call *call, const void *params, struct vn_error *err) \
	{ \
		return handle(METHOD_##id, call, params, err); \
	}
METHODS(X)
#undef X

json_t *
model_snapshot(struct daemon *daemon)
{
	return json_pack("{sI}", "valid_at", (json_int_t)event_last(daemon->events));
}

/* ---- the door ------------------------------------------------------------------------------- */

unsigned
count_fds(void)
{
	DIR *folder = opendir("/proc/self/fd");
	unsigned n = 0;

	while (readdir(folder))
		n++;
	closedir(folder);
	return n;
}

static void
swallow(enum log_level level, const char *subject, const char *text)
{
	(void)level, (void)subject, (void)text;
}

static void
open_inside(void)
{
	struct daemon *daemon = &door.daemon;
	struct vn_error err = { 0 };

	ck_assert_msg(store_open(door.folder, daemon->loop, &daemon->store, &err) == 0, "%s", err.text);
	ck_assert_msg(event_log_open(daemon, &daemon->events, &err) == 0, "%s", err.text);
	ck_assert_msg(control_open(daemon, &daemon->control, &err) == 0, "%s", err.text);
	control_start(daemon->control);
}

void
door_open(void)
{
	struct daemon *daemon = &door.daemon;

	log_set_sink(swallow);
	n_fds_before = count_fds();
	door = (struct door){ .folder = folder_new() };
	config_init(&daemon->config);
	daemon->config.state_dir = door.folder;
	snprintf(daemon->epoch, sizeof(daemon->epoch), "test");
	daemon->loop = test_loop();
	daemon->ready = true;
	{
		vn_autofree char *path = vn_format("%s/run/vnoded.sock", door.folder);

		daemon->config.socket = vn_arena_strdup(&daemon->config.arena, path);
	}
	open_inside();
}

void
door_close(void)
{
	struct daemon *daemon = &door.daemon;

	control_close(daemon->control);
	event_log_close(daemon->events);
	store_close(daemon->store);
	loop_close(daemon->loop);
	config_fini(&daemon->config);
	folder_remove(door.folder);
	ck_assert_uint_eq(count_fds(), n_fds_before);
}

void
door_crash(void)
{
	control_close(door.daemon.control);
	event_log_close(door.daemon.events);
	store_abandon(door.daemon.store);
	open_inside();
}

void
door_restart(void)
{
	control_close(door.daemon.control);
	event_log_close(door.daemon.events);
	store_close(door.daemon.store);
	open_inside();
}

void
door_answer(unsigned n)
{
	call_answer(&door.daemon, door.tickets[n % DOOR_TICKETS],
		    json_pack("{sI}", "n", (json_int_t)n));
}

void
door_settle(void)
{
	bool done = false;

	store_after(door.daemon.store, set_true, &done);
	run_until(door.daemon.loop, &done);
	while (loop_run_once(door.daemon.loop, false))
		;
}

/* ---- clients -------------------------------------------------------------------------------- */

struct client *
client_new(uid_t uid, enum role role)
{
	struct client *client = vn_alloc(sizeof(*client));
	struct vn_error err = { 0 };
	int ends[2];

	ck_assert_int_eq(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends), 0);
	client->fd = ends[0];
	ck_assert_msg(control_add(door.daemon.control, ends[1], uid, role, &err) == 0, "%s", err.text);
	return client;
}

void
client_close(struct client *client)
{
	for (unsigned i = 0; i < client->n_fds; i++)
		close(client->fds[i]);
	close(client->fd);
	free(client->data);
	free(client);
	while (loop_run_once(door.daemon.loop, false))
		;
}

/* Reads what is there. Returns whether anything was. */
static bool
listen_once(struct client *client)
{
	union {
		struct cmsghdr header;
		char bytes[CMSG_SPACE(16 * sizeof(int))];
	} control;
	char data[65536];
	struct iovec piece = { data, sizeof(data) };
	struct msghdr message = { .msg_iov = &piece, .msg_iovlen = 1, .msg_control = &control,
				  .msg_controllen = sizeof(control) };
	ssize_t n = recvmsg(client->fd, &message, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
	struct cmsghdr *header = n >= 0 ? CMSG_FIRSTHDR(&message) : NULL;

	if (n < 0 && errno == EAGAIN)
		return false;
	if (n <= 0) {
		client->closed = true;
		return true;
	}
	if (header) {
		size_t count = (header->cmsg_len - CMSG_LEN(0)) / sizeof(int);

		memcpy(client->fds + client->n_fds, CMSG_DATA(header), count * sizeof(int));
		client->n_fds += (unsigned)count;
	}
	if (client->size - client->length < (size_t)n) {
		client->size = 2 * client->size + (size_t)n;
		client->data = vn_realloc_array(client->data, client->size, 1);
	}
	memcpy(client->data + client->length, data, (size_t)n);
	client->length += (size_t)n;
	return true;
}

void
client_send(struct client *client, const char *data, size_t length)
{
	while (length) {
		ssize_t n = send(client->fd, data, length, MSG_DONTWAIT | MSG_NOSIGNAL);

		if (n < 0 && errno != EAGAIN)
			return;		/* the daemon has closed it; what it said is to be heard */
		if (n > 0) {
			data += n;
			length -= (size_t)n;
		} else if (!loop_run_once(door.daemon.loop, false) && !listen_once(client)) {
			ck_abort_msg("the daemon reads no more");
		}
	}
}

void
client_say(struct client *client, const char *format, ...)
{
	char line[4096];
	va_list list;
	int n;

	va_start(list, format);
	n = vsnprintf(line, sizeof(line) - 1, format, list);
	va_end(list);
	line[n] = '\n';
	client_send(client, line, (size_t)n + 1);
}

static json_t *
take_line(struct client *client)
{
	char *line = client->data + client->start;
	size_t length = client->length - client->start;
	char *end = length ? memchr(line, '\n', length) : NULL;
	json_error_t where;
	json_t *value;

	if (!end)
		return NULL;
	length = (size_t)(end - line);
	value = json_loadb(line, length, JSON_REJECT_DUPLICATES, &where);
	ck_assert_msg(value != NULL, "%s in: %.*s", where.text, (int)length, line);
	client->start += length + 1;
	if (client->start == client->length)
		client->start = client->length = 0;
	return value;
}

json_t *
client_hear(struct client *client)
{
	for (;;) {
		json_t *value = take_line(client);

		if (value)
			return value;
		if (client->closed)
			return NULL;
		if (!listen_once(client))
			loop_run_once(door.daemon.loop, true);
	}
}

void
client_hears_nothing(struct client *client)
{
	door_settle();
	while (!client->closed && listen_once(client))
		;
	ck_assert_msg(client->length == client->start, "heard: %.*s",
		      (int)(client->length - client->start), client->data + client->start);
}

void
client_hears_error(struct client *client, int number, const char *word, int id)
{
	json_t *answer = client_hear(client);
	json_t *error = json_object_get(answer, "error");
	const char *code = json_string_value(json_object_get(json_object_get(error, "data"), "code"));

	ck_assert_ptr_nonnull(answer);
	ck_assert_int_eq(json_integer_value(json_object_get(error, "code")), number);
	ck_assert_str_eq(code, word);
	ck_assert(json_is_string(json_object_get(error, "message")));
	ck_assert_int_eq(json_integer_value(json_object_get(answer, "id")), id);
	ck_assert(id || json_is_null(json_object_get(answer, "id")));
	json_decref(answer);
}

json_t *
client_hears_result(struct client *client, int id)
{
	json_t *answer = client_hear(client);
	json_t *result = json_object_get(answer, "result");

	ck_assert_ptr_nonnull(answer);
	if (!result)
		ck_abort_msg("not a result: %s", json_dumps(answer, 0));
	ck_assert_int_eq(json_integer_value(json_object_get(answer, "id")), id);
	json_incref(result);
	json_decref(answer);
	return result;
}

void
client_hears_end(struct client *client)
{
	while (!client->closed)
		if (!listen_once(client))
			loop_run_once(door.daemon.loop, true);
}
