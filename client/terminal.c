/*
 * Raw mode and copying. The guest's side is non-blocking and what it does not take is kept, so that
 * a guest that does not read cannot keep its own output from being shown.
 */

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>

#include "client/interrupt.h"
#include "client/terminal.h"

#define SETTLE_MS 100			/* the kernel hands terminal output over asynchronously */

void
terminal_raw(struct terminal *terminal)
{
	struct termios raw;

	terminal->is_raw = tcgetattr(STDIN_FILENO, &terminal->before) == 0;
	if (!terminal->is_raw)
		return;
	raw = terminal->before;
	cfmakeraw(&raw);
	tcsetattr(STDIN_FILENO, TCSADRAIN, &raw);
}

void
terminal_restore(struct terminal *terminal)
{
	if (terminal->is_raw)
		tcsetattr(STDIN_FILENO, TCSADRAIN, &terminal->before);
	terminal->is_raw = false;
}

static void
copy_size(const struct relay *relay)
{
	struct winsize size;

	if (relay->is_tty && ioctl(STDIN_FILENO, TIOCGWINSZ, &size) == 0)
		ioctl(relay->fd, TIOCSWINSZ, &size);
}

static void
write_stdout(const char *data, size_t size)
{
	while (size > 0) {
		ssize_t written = write(STDOUT_FILENO, data, size);

		if (written < 0 && errno != EINTR)
			return;
		data += written > 0 ? written : 0;
		size -= written > 0 ? (size_t)written : 0;
	}
}

/* Copies what there is to stdout; false at the end. A terminal whose last process ended says EIO.
 */
static bool
take_output(struct relay *relay)
{
	char data[16384];
	ssize_t got = read(relay->fd, data, sizeof(data));

	if (got > 0)
		write_stdout(data, (size_t)got);
	return got > 0 || (got < 0 && (errno == EAGAIN || errno == EINTR));
}

/* Reads stdin into the buffer; false when the escape byte came. */
static bool
take_input(struct relay *relay)
{
	ssize_t got = read(STDIN_FILENO, relay->pending, sizeof(relay->pending));
	char *escape = NULL;

	if (got < 0)
		return errno == EINTR || errno == EAGAIN || (relay->stdin_ended = true);
	if (got == 0) {
		relay->stdin_ended = true;
		if (relay->is_tty)
			relay->pending[relay->n_pending++] = 0x04;
		else
			shutdown(relay->fd, SHUT_WR);
		return true;
	}
	if (relay->escape != TERMINAL_NO_ESCAPE)
		escape = memchr(relay->pending, relay->escape, (size_t)got);
	relay->n_pending = escape ? (size_t)(escape - relay->pending) : (size_t)got;
	return !escape;
}

static void
give_input(struct relay *relay)
{
	ssize_t written = write(relay->fd, relay->pending, relay->n_pending);

	if (written < 0 && (errno == EAGAIN || errno == EINTR))
		return;
	if (written < 0)
		written = (ssize_t)relay->n_pending;	/* its end will be seen */
	relay->n_pending -= (size_t)written;
	memmove(relay->pending, relay->pending + written, relay->n_pending);
}

enum relay_end
relay_run(struct relay *relay)
{
	fcntl(relay->fd, F_SETFL, fcntl(relay->fd, F_GETFL) | O_NONBLOCK);
	interrupt_catch();
	interrupt_catch_resize();
	copy_size(relay);
	while (!interrupt_signal()) {
		struct pollfd fds[] = {
			{ .fd = relay->fd, .events = POLLIN | (relay->n_pending ? POLLOUT : 0) },
			{ .fd = relay->stdin_ended || relay->n_pending ? -1 : STDIN_FILENO,
			  .events = POLLIN },
			{ .fd = relay->connection ? connection_fd(relay->connection) : -1,
			  .events = POLLIN },
		};
		int ready = interrupt_poll(fds, 3, -1);

		if (interrupt_resized())
			copy_size(relay);
		if (ready < 0)
			continue;
		if (fds[0].revents & (POLLIN | POLLHUP | POLLERR) && !take_output(relay))
			return RELAY_CLOSED;
		if (fds[0].revents & POLLOUT)
			give_input(relay);
		if (fds[1].revents && !take_input(relay))
			return RELAY_ESCAPED;
		if (fds[2].revents)
			return RELAY_LINE;
	}
	return RELAY_LOST;
}

void
relay_drain(struct relay *relay)
{
	struct pollfd wait = { .fd = relay->fd, .events = POLLIN };

	while (poll(&wait, 1, SETTLE_MS) > 0)
		if (!take_output(relay))
			return;
}
