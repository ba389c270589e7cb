/* See lab.h. */
#include "tests/unit/lab.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>

#include "backends/digest.h"
#include "daemon/log.h"

#define INSTANCE "0b5e55ed-0000-4000-8000-000000000001"

/* ---- lives ---------------------------------------------------------------------------------- */

static void
swallow(enum log_level level, const char *subject, const char *text)
{
	(void)level;
	if (getenv("LAB_LOG"))
		fprintf(stderr, "\t%s: %s\n", subject, text);
}

static void
set(struct config *config, const char *format, const char *value)
{
	struct vn_error err = { 0 };
	vn_autofree char *assignment = vn_format("%s%s", format, value);

	ck_assert_msg(config_set(config, assignment, &err) == 0, "%s", err.text);
}

static void
add_client(struct lab *lab, uid_t uid, enum role role)
{
	struct vn_error err = { 0 };
	int ends[2];

	ck_assert_int_eq(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends), 0);
	lab->fd = ends[0];
	ck_assert_msg(control_add(lab->daemon->control, ends[1], uid, role, &err) == 0, "%s",
		      err.text);
}

static void
drop_client(struct lab *lab)
{
	if (lab->fd >= 0)
		close(lab->fd);
	lab->fd = -1;
	lab->length = 0;
	json_array_clear(lab->heard);
	while (lab->n_fds)
		close(lab->fds[--lab->n_fds]);
}

void
lab_connect(struct lab *lab, uid_t uid, enum role role)
{
	drop_client(lab);
	add_client(lab, uid, role);
}

/* Runs in the middle of a call of the world: from here on nothing reaches the database. */
static void
on_freeze(void *arg)
{
	struct lab *lab = arg;

	if (lab->daemon)
		store_freeze(lab->daemon->store);
}

static void
note_seq(struct lab *lab)
{
	int64_t first = event_last(lab->daemon->events);

	if (first > lab->last_seq)
		lab->last_seq = first;
}

bool
lab_open(struct lab *lab)
{
	struct daemon_backends backends = { .computes = { &compute_fake }, .net = &net_fake,
		.disk = &disk_fake, .fetch = &fetch_fake, .boot_id = world_boot_id(lab->world) };
	struct config config = { 0 };
	struct vn_error err = { 0 };

	ck_assert(!lab->daemon);
	log_set_sink(swallow);
	config_init(&config);
	set(&config, "state_dir=", lab->folder);
	vn_autofree char *run = vn_format("%s/run", lab->folder);
	set(&config, "run_dir=", run);
	set(&config, "default_backend=", "fake");
	set(&config, "default_image=", "img");
	lab->loop = test_loop();
	loop_clock_hold(lab->loop);
	if (lab->wall_us)
		loop_wall_set(lab->loop, lab->wall_us);
	world_use(lab->world);
	lab->crashed = false;
	ck_assert_msg(daemon_open(&config, &backends, lab->loop, &lab->daemon, &err) == 0, "%s",
		      err.text);
	add_client(lab, 0, ROLE_ADMIN);
	while (!lab->daemon->ready && !lab->daemon->failed)
		if (!lab_turn(lab))
			return false;
	ck_assert_msg(lab->daemon->ready, "the daemon gave its start up");
	return lab_settle(lab);
}

static void
end_life(struct lab *lab, void (*end)(struct daemon *daemon))
{
	struct daemon *daemon = lab->daemon;

	ck_assert_ptr_nonnull(daemon);
	while (jobs_lost(daemon->jobs))		/* an end without them would be the test's as well */
		loop_run_once(lab->loop, true);
	drop_client(lab);
	end(daemon);
	lab->daemon = NULL;
	lab->wall_us = loop_wall_us(lab->loop);
	loop_close(lab->loop);
	lab->loop = NULL;
	lab->crash_at = 0;
}

void
lab_close(struct lab *lab)
{
	end_life(lab, daemon_close);
	world_thaw(lab->world);
}

/* Hanging calls have to come back before the pool can be closed. */
void
lab_kill(struct lab *lab)
{
	world_freeze(lab->world);
	end_life(lab, daemon_abandon);
	world_thaw(lab->world);
}

void
lab_reboot(struct lab *lab)
{
	world_freeze(lab->world);
	end_life(lab, daemon_abandon);
	world_reboot_machine(lab->world);
}

static void
write_instance(const struct lab *lab)
{
	vn_autofree char *path = vn_format("%s/instance", lab->folder);
	FILE *file = fopen(path, "w");

	ck_assert_ptr_nonnull(file);
	fputs(INSTANCE, file);
	fclose(file);
}

struct lab *
lab_new_bare(void)
{
	struct lab *lab = vn_alloc(sizeof(*lab));

	setenv("TMPDIR", "/dev/shm", 0);
	signal(SIGPIPE, SIG_IGN);		/* as main does */
	lab->folder = folder_new();
	lab->world = world_new();
	lab->fd = -1;
	lab->heard = json_array();
	write_instance(lab);
	world_on_freeze(lab->world, on_freeze, lab);
	ck_assert(lab_open(lab));
	return lab;
}

struct lab *
lab_new(void)
{
	struct lab *lab = lab_new_bare();

	world_url(lab->world, LAB_URL, "archive", 7);
	lab_do(lab, "image.add", "{ss ss sb sb}", "name", "img", "url", LAB_URL,
	       "insecure_no_digest", 1, "wait", 1);
	ck_assert(lab_settle(lab));
	return lab;
}

void
lab_free(struct lab *lab)
{
	if (lab->daemon)
		lab_kill(lab);
	world_use(NULL);
	world_free(lab->world);
	folder_remove(lab->folder);
	json_decref(lab->heard);
	free(lab->data);
	free(lab);
}

/* ---- running -------------------------------------------------------------------------------- */

static bool
has_crashed(struct lab *lab)
{
	if (lab->crash_at && store_commits(lab->daemon->store) >= lab->crash_at)
		world_freeze(lab->world);
	lab->crashed = world_is_frozen(lab->world);
	return lab->crashed;
}

bool
lab_turn(struct lab *lab)
{
	if (has_crashed(lab))
		return false;
	loop_run_once(lab->loop, true);
	if (has_crashed(lab))
		return false;
	note_seq(lab);
	return true;
}

bool
lab_settle(struct lab *lab)
{
	for (;;) {
		if (has_crashed(lab))
			return false;
		if (jobs_active(lab->daemon->jobs) || store_is_pending(lab->daemon->store)) {
			if (!lab_turn(lab))
				return false;
		} else if (!loop_run_once(lab->loop, false)) {
			note_seq(lab);
			return !has_crashed(lab);
		}
	}
}

static unsigned
works(const struct lab *lab)
{
	unsigned load = 0;

	for (unsigned lane = 0; lane < LANE_COUNT; lane++)
		load += pool_load(lab->daemon->pool, lane);
	return load;
}

/* What else goes on comes to its end: a clock set forward must not be the deadline of more than the one call. */
bool
lab_await_hang(struct lab *lab)
{
	while (!world_hanging(lab->world)) {
		bool is_active = jobs_active(lab->daemon->jobs) ||
				 store_is_pending(lab->daemon->store);

		ck_assert(!has_crashed(lab));
		/* The pool's threads tell the loop of their ends, but not that they hang. */
		if (!loop_run_once(lab->loop, false) && !is_active)
			return false;
	}
	while (loop_run_once(lab->loop, false) || store_is_pending(lab->daemon->store) ||
	       works(lab) > world_hanging(lab->world))
		;
	return true;
}

void
lab_release(struct lab *lab)
{
	world_fault_clear(lab->world);
	world_release(lab->world);
	while (jobs_lost(lab->daemon->jobs))
		loop_run_once(lab->loop, true);
	ck_assert(lab_settle(lab));
}

void
lab_advance(struct lab *lab, uint64_t ms)
{
	if (!lab->loop) {
		lab->wall_us += (int64_t)ms * 1000;
		return;
	}
	loop_clock_advance(lab->loop, ms);
	while (loop_run_once(lab->loop, false))
		;
}

/* ---- the client ----------------------------------------------------------------------------- */

int
lab_send_json(struct lab *lab, const char *method, VN_TAKES json_t *params)
{
	json_t *request = json_pack("{ss si ss so*}", "jsonrpc", "2.0", "id", ++lab->last_id, "method",
				    method, "params", params);
	vn_autofree char *line = json_dumps(request, JSON_COMPACT);
	size_t length = strlen(line), done = 0;

	json_decref(request);
	line[length++] = '\n';
	while (done < length) {
		ssize_t n = send(lab->fd, line + done, length - done, MSG_DONTWAIT | MSG_NOSIGNAL);

		if (n > 0)
			done += (size_t)n;
		else
			loop_run_once(lab->loop, false);
	}
	return lab->last_id;
}

static int
send_args(struct lab *lab, const char *method, const char *format, va_list args)
{
	json_error_t where = { 0 };
	json_t *params = format ? json_vpack_ex(&where, 0, format, args) : NULL;

	ck_assert_msg(!format || params, "%s: %s", method, where.text);
	return lab_send_json(lab, method, params);
}

int
lab_send(struct lab *lab, const char *method, const char *format, ...)
{
	va_list args;
	int id;

	va_start(args, format);
	id = send_args(lab, method, format, args);
	va_end(args);
	return id;
}

static void
take_fds(struct lab *lab, struct msghdr *message)
{
	struct cmsghdr *header = CMSG_FIRSTHDR(message);
	size_t count = header ? (header->cmsg_len - CMSG_LEN(0)) / sizeof(int) : 0;

	ck_assert_uint_le(lab->n_fds + count, VN_COUNT(lab->fds));
	if (count)
		memcpy(lab->fds + lab->n_fds, CMSG_DATA(header), count * sizeof(int));
	lab->n_fds += (unsigned)count;
}

static void
take_lines(struct lab *lab)
{
	char *end;

	while (lab->length && (end = memchr(lab->data, '\n', lab->length))) {
		size_t size = (size_t)(end - lab->data);

		json_array_append_new(lab->heard, json_loadb(lab->data, size, 0, NULL));
		lab->length -= size + 1;
		memmove(lab->data, end + 1, lab->length);
	}
}

/* Takes what has come; false when nothing has. */
static bool
listen_once(struct lab *lab)
{
	union {
		struct cmsghdr header;
		char bytes[CMSG_SPACE(16 * sizeof(int))];
	} control;
	char bytes[65536];
	struct iovec piece = { bytes, sizeof(bytes) };
	struct msghdr message = { .msg_iov = &piece, .msg_iovlen = 1, .msg_control = &control,
				  .msg_controllen = sizeof(control) };
	ssize_t n = recvmsg(lab->fd, &message, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);

	if (n <= 0)
		return false;
	take_fds(lab, &message);
	lab->data = vn_realloc_array(lab->data, lab->length + (size_t)n, 1);
	memcpy(lab->data + lab->length, bytes, (size_t)n);
	lab->length += (size_t)n;
	take_lines(lab);
	return true;
}

static json_t *
take_answer(struct lab *lab, int id)
{
	json_t *line;
	size_t i;

	json_array_foreach(lab->heard, i, line)
		if (json_integer_value(json_object_get(line, "id")) == id) {
			json_incref(line);
			json_array_remove(lab->heard, i);
			return line;
		}
	return NULL;
}

json_t *
lab_hear(struct lab *lab, int id)
{
	for (;;) {
		json_t *answer = take_answer(lab, id);

		if (answer)
			return answer;
		if (has_crashed(lab))
			return NULL;
		if (!listen_once(lab) && !lab_turn(lab))
			return NULL;
	}
}

const char *
lab_word(json_t *answer)
{
	json_t *error = json_object_get(answer, "error");

	if (!answer)
		return "crash";
	if (!error)
		return "ok";
	error = json_object_get(json_object_get(error, "data"), "code");
	return vn_code_word(vn_code_from_word(json_string_value(error)));	/* outlives the answer */
}

static void
fail_on(const char *method, json_t *answer)
{
	vn_autofree char *text = json_dumps(answer, JSON_ENCODE_ANY);

	ck_abort_msg("%s: %s", method, text);
}

static json_t *
result_of(struct lab *lab, const char *method, int id)
{
	json_t *answer = lab_hear(lab, id), *result = json_object_get(answer, "result");

	if (!result)
		fail_on(method, answer);
	json_incref(result);
	json_decref(answer);
	return result;
}

json_t *
lab_result(struct lab *lab, const char *method, const char *format, ...)
{
	va_list args;
	int id;

	va_start(args, format);
	id = send_args(lab, method, format, args);
	va_end(args);
	return result_of(lab, method, id);
}

void
lab_do(struct lab *lab, const char *method, const char *format, ...)
{
	va_list args;
	int id;

	va_start(args, format);
	id = send_args(lab, method, format, args);
	va_end(args);
	json_decref(result_of(lab, method, id));
}

static json_t *
error_of(struct lab *lab, const char *word, const char *method, int id)
{
	json_t *answer = lab_hear(lab, id), *data;

	if (strcmp(lab_word(answer), word) != 0) {
		fprintf(stderr, "expected %s\n", word);
		fail_on(method, answer);
	}
	data = json_incref(json_object_get(json_object_get(answer, "error"), "data"));
	json_object_set(data, "message", json_object_get(json_object_get(answer, "error"), "message"));
	json_decref(answer);
	return data;
}

json_t *
lab_error(struct lab *lab, const char *word, const char *method, const char *format, ...)
{
	va_list args;
	int id;

	va_start(args, format);
	id = send_args(lab, method, format, args);
	va_end(args);
	return error_of(lab, word, method, id);
}

void
lab_refuse(struct lab *lab, const char *word, const char *method, const char *format, ...)
{
	va_list args;
	int id;

	va_start(args, format);
	id = send_args(lab, method, format, args);
	va_end(args);
	json_decref(error_of(lab, word, method, id));
}
