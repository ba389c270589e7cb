/*
 * vnode.exec and vnode.console. With passed descriptors or a terminal no byte of the command goes
 * through the daemon; `capture` collects a bounded amount for callers that want one answer. A client
 * that goes away hangs its command up.
 */
#include "daemon/exec.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>

#include "daemon/lifecycle.h"
#include "proto/base/base64.h"
#include "proto/message.h"

#define CAPTURE_MAX (256u << 10)

struct stream {				/* our end of a pipe of a captured command */
	struct run *run;
	int fd;
	struct watch *watch;
	char *data;
	size_t size, done;		/* stdin: bytes to write and written; else: bytes kept */
	bool truncated;
};

struct run {
	struct exec_table *table;
	struct compute *compute;
	struct exec *exec;
	int64_t id;
	uint64_t ticket;		/* of the call; 0 once answered (tty) or void */
	struct session *session;	/* tty: who hears of the end; NULL once gone */
	uint64_t on_close;
	bool capture, ended;
	struct stream in, out, err;
	struct exec_result result;
	struct vn_error error;
	struct vn_list link;
};

struct exec_table {
	struct daemon *daemon;
	struct vn_list runs;
	int64_t last_id;
};

struct exec_table *
exec_table_open(struct daemon *daemon)
{
	struct exec_table *table = vn_alloc(sizeof(*table));

	table->daemon = daemon;
	vn_list_init(&table->runs);
	return table;
}

static void
close_stream(struct stream *stream)
{
	loop_remove(vn_take_ptr(&stream->watch));
	if (stream->fd >= 0)
		close(vn_take_fd(&stream->fd));
}

static void
free_run(struct run *run)
{
	if (run->session)
		session_forget_close(run->session, run->on_close);
	close_stream(&run->in);
	close_stream(&run->out);
	close_stream(&run->err);
	free(run->in.data);
	free(run->out.data);
	free(run->err.data);
	vn_list_remove(&run->link);
	free(run);
}

void
exec_table_close(struct exec_table *table)
{
	if (!table)
		return;
	vn_list_each_safe(struct run, run, &table->runs, link) {
		if (run->exec)
			run->compute->ops->exec_signal(run->compute, run->exec, SIGHUP);
		free_run(run);
	}
	free(table);
}

static json_t *
result_object(const struct run *run)
{
	json_t *object = json_pack("{si si}", "exit_code", run->result.exit_code, "signal",
				   run->result.signal);

	if (run->capture) {
		vn_autofree char *out = vn_base64_encode(run->out.data, run->out.size);
		vn_autofree char *err = vn_base64_encode(run->err.data, run->err.size);

		json_object_set_new(object, "stdout", json_string(out));
		json_object_set_new(object, "stderr", json_string(err));
		json_object_set_new(object, "truncated",
				    json_boolean(run->out.truncated || run->err.truncated));
	}
	return object;
}

static void
notify_end(struct run *run)
{
	json_t *params = result_object(run), *line;
	vn_autofree char *text = NULL;
	size_t length;

	json_object_set_new(params, "exec", json_integer(run->id));
	line = message_notification("exec", params);
	text = message_print(line, &length);
	json_decref(line);
	session_notify(run->session, text, length);
}

/* Over when the command has ended and, captured, its pipes are read to the end. */
static void
finish_if_over(struct run *run)
{
	struct daemon *daemon = run->table->daemon;

	if (!run->ended || run->out.fd >= 0 || run->err.fd >= 0)
		return;
	if (run->error.code != VN_OK)
		call_answer_error(daemon, run->ticket, &run->error, 0);
	else if (run->session)
		notify_end(run);
	else
		call_answer(daemon, run->ticket, result_object(run));
	free_run(run);
}

/* Takes what is there; false at the end of the stream or when nothing is there now. */
static bool
take_output(struct stream *stream, bool *ret_end)
{
	char buffer[16384];
	ssize_t n = read(stream->fd, buffer, sizeof(buffer));
	size_t room = CAPTURE_MAX - stream->size;

	*ret_end = n == 0 || (n < 0 && errno != EAGAIN && errno != EINTR);
	if (n <= 0)
		return false;
	stream->truncated |= (size_t)n > room;
	if ((size_t)n > room)
		n = (ssize_t)room;	/* the rest is read and dropped, so that the command can end */
	if (n > 0) {
		stream->data = vn_realloc_array(stream->data, stream->size + (size_t)n, 1);
		memcpy(stream->data + stream->size, buffer, (size_t)n);
		stream->size += (size_t)n;
	}
	return true;
}

static void
drain(struct stream *stream)
{
	bool end;

	if (stream->fd < 0)
		return;
	while (take_output(stream, &end))
		;
	close_stream(stream);
}

static void
on_output(int fd, unsigned what, void *arg)
{
	struct stream *stream = arg;
	bool end;

	(void)fd;
	(void)what;
	take_output(stream, &end);
	if (!end)
		return;
	close_stream(stream);
	finish_if_over(stream->run);
}

static void
on_exec_end(void *arg, const struct exec_result *result, const struct vn_error *err)
{
	struct run *run = arg;

	run->exec = NULL;
	run->ended = true;
	if (result)
		run->result = *result;
	else
		run->error = *err;
	/* What the command wrote is in the pipes now; what a child of it still holds open is not waited
	 * for. */
	drain(&run->out);
	drain(&run->err);
	finish_if_over(run);
}

static void
hang_up(void *arg)
{
	struct run *run = arg;

	run->ticket = 0;
	run->session = NULL;
	if (run->exec)
		run->compute->ops->exec_signal(run->compute, run->exec, SIGHUP);
}

static void
on_input(int fd, unsigned what, void *arg)
{
	struct stream *stream = arg;
	ssize_t n = write(fd, stream->data + stream->done, stream->size - stream->done);

	(void)what;
	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return;
	if (n > 0)
		stream->done += (size_t)n;
	if (n < 0 || stream->done == stream->size)
		close_stream(stream);
}

/* Makes the three pipes; theirs[] are the command's ends, to be closed by the caller. */
static int
open_capture(struct run *run, const char *input, int theirs[3], struct vn_error *err)
{
	struct stream *streams[3] = { &run->in, &run->out, &run->err };
	struct loop *loop = run->table->daemon->loop;

	if (input && vn_base64_decode(input, (uint8_t **)&run->in.data, &run->in.size, err) < 0) {
		strcpy(err->path, "/input");
		return -1;
	}
	for (int i = 0; i < 3; i++) {
		int ends[2];

		if (pipe2(ends, O_CLOEXEC) < 0)
			return vn_fail_errno(err, errno, "make a pipe");
		streams[i]->fd = ends[i == 0];
		theirs[i] = ends[i != 0];
		fcntl(streams[i]->fd, F_SETFL, O_NONBLOCK);
		streams[i]->watch = loop_add_fd(loop, streams[i]->fd,
						i == 0 ? WATCH_WRITE : WATCH_READ,
						i == 0 ? on_input : on_output, streams[i]);
	}
	if (!run->in.size)
		close_stream(&run->in);
	return 0;
}

static const char **
strings_of(const struct field_array *array)
{
	const char **list = vn_alloc_array(array->count + 1, sizeof(*list));

	for (size_t i = 0; i < array->count; i++)
		list[i] = ((const char **)array->items)[i];
	return list;
}

static int
take_fds(struct call *call, int fds[3], struct vn_error *err)
{
	for (int i = 0; i < 3; i++) {
		fds[i] = call_take_fd(call, i);
		if (fds[i] < 0)
			return vn_fail_at(err, "/stdio", VN_E_INVALID, "\"fds\" needs three descriptors "
					  "with the first byte of the request's line, which is sent "
					  "alone");
	}
	return 0;
}

static int
start(struct run *run, struct call *call, const struct vnode_exec_params *p, const struct guest_id *id,
      int fds[3], struct vn_error *err)
{
	vn_autofree const char **argv = strings_of(&p->argv);
	vn_autofree const char **env = strings_of(&p->env);
	struct exec_spec spec = { .argv = argv, .env = env, .cwd = p->cwd, .user = p->user,
				  .tty = p->tty, .fds = { fds[0], fds[1], fds[2] } };
	int master = -1;

	if (run->compute->ops->exec(run->compute, id, &spec, on_exec_end, run, &run->exec, &master,
				    err) < 0)
		return -1;
	if (p->tty) {
		call_attach_fd(call, master);
		call_reply(call, json_pack("{sI}", "exec", (json_int_t)run->id));
		run->session = call_session(call);
		run->on_close = session_on_close(run->session, hang_up, run);
	} else {
		run->ticket = call_defer(call, hang_up, run);
	}
	return 0;
}

static int
prepare(struct run *run, struct call *call, const struct vnode_exec_params *p, int fds[3],
	struct vn_error *err)
{
	if (p->tty)
		return 0;
	run->capture = p->stdio == STDIO_CAPTURE;
	return run->capture ? open_capture(run, p->input, fds, err) : take_fds(call, fds, err);
}

static int
find_running(struct call *call, const char *reference, enum vnode_verb verb, struct vnode **ret,
	     struct compute **ret_compute, struct vn_error *err)
{
	struct daemon *daemon = call_daemon(call);

	if (vnode_find(daemon, reference, ret, err) < 0)
		return -1;
	if ((*ret)->spec.privileged && call_role(call) < ROLE_ADMIN)
		return vn_fail_at(err, "/vnode", VN_E_DENIED, "vnode '%s' is privileged, its root is the "
				  "machine's: to get inside is for admins only", vnode_title(*ret));
	if (vnode_may(*ret, verb, err) != VERB_RUN)
		return -1;
	*ret_compute = daemon_compute(daemon, (*ret)->spec.backend ? (*ret)->spec.backend
				      : daemon->config.default_backend);
	return *ret_compute ? 0 : vn_fail(err, VN_E_UNSUPPORTED, "its backend is not here");
}

int
handle_vnode_exec(struct call *call, const void *params, struct vn_error *err)
{
	const struct vnode_exec_params *p = params;
	struct exec_table *table = call_daemon(call)->execs;
	int fds[3] = { -1, -1, -1 }, status;
	struct compute *compute;
	struct vnode *vnode;
	struct run *run;

	if (find_running(call, p->vnode, VERB_EXEC, &vnode, &compute, err) < 0)
		return -1;
	run = vn_alloc(sizeof(*run));
	*run = (struct run){ .table = table, .compute = compute, .id = ++table->last_id,
			     .in = { .run = run, .fd = -1 }, .out = { .run = run, .fd = -1 },
			     .err = { .run = run, .fd = -1 } };
	vn_list_init(&run->link);
	vn_list_append(&table->runs, &run->link);
	status = prepare(run, call, p, fds, err);
	if (status == 0)
		status = start(run, call, p, &vnode->runtime.id, fds, err);
	for (int i = 0; i < 3; i++)
		if (fds[i] >= 0)
			close(fds[i]);
	if (status < 0)
		free_run(run);
	return status;
}

int
handle_vnode_console(struct call *call, const void *params, struct vn_error *err)
{
	const struct vnode_params *p = params;
	vn_autofree char *dir = NULL;
	struct compute *compute;
	struct vnode *vnode;
	int fd;

	if (find_running(call, p->vnode, VERB_CONSOLE, &vnode, &compute, err) < 0)
		return -1;
	dir = vn_format("%s/vnodes/%" PRId64, call_daemon(call)->env.state_dir, vnode->vmid);
	if (compute->ops->console(compute, dir, &fd, err) < 0)
		return -1;
	call_attach_fd(call, fd);
	call_reply(call, json_object());
	return 0;
}
