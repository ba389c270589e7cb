/*
 * The console: whatever the guest prints goes into the ring at once; clients are sent from the ring,
 * each from its own place, and one that has fallen a whole ring behind is dropped. So no reader ever
 * holds the guest up. What clients send is typed; what the terminal has no room for is lost.
 */
#include "backends/libvirt/vnode-init/init.h"
#include "backends/libvirt/vnode-init/ring.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#define CHUNK 16384

struct console {
	struct ring_header ring;
	int master;
	int slave;			/* kept open: a terminal that no one has open would hang up */
	int clients[CONSOLE_CLIENTS];
	uint64_t at[CONSOLE_CLIENTS];	/* next byte of the stream to send */
};

static void
open_slave(struct console *console)
{
	if (console->slave >= 0)
		close(console->slave);
	console->slave = ioctl(console->master, TIOCGPTPEER, O_RDWR | O_NOCTTY | O_CLOEXEC);
}

struct console *
console_new(int master)
{
	struct console *console = calloc(1, sizeof(*console));

	if (!console || pread(WIRE_FD_RING, &console->ring, sizeof(console->ring), 0) !=
				(ssize_t)sizeof(console->ring) || !console->ring.size)
		return NULL;
	console->master = master;
	console->slave = -1;
	open_slave(console);
	for (int i = 0; i < CONSOLE_CLIENTS; i++)
		console->clients[i] = -1;
	if (fcntl(master, F_SETFL, O_NONBLOCK) < 0 || fcntl(WIRE_FD_LISTEN, F_SETFL, O_NONBLOCK) < 0)
		return NULL;
	return console;
}

/* A full disk loses output, never the guest: the file's blocks were taken at the start. */
static void
keep(struct console *console, const char *data, size_t size)
{
	struct ring_header *ring = &console->ring;

	while (size > 0) {
		uint64_t place = ring->written % ring->size;
		size_t part = size < ring->size - place ? size : (size_t)(ring->size - place);

		if (pwrite(WIRE_FD_RING, data, part, (off_t)(RING_DATA + place)) < 0)
			return;
		ring->written += part;
		data += part;
		size -= part;
	}
	if (pwrite(WIRE_FD_RING, ring, sizeof(*ring), 0) < 0)
		return;
}

static void
drop(struct console *console, int i)
{
	close(console->clients[i]);
	console->clients[i] = -1;
}

/* Sends until the client takes no more. */
static void
feed(struct console *console, int i)
{
	struct ring_header *ring = &console->ring;
	char data[CHUNK];

	while (console->at[i] < ring->written) {
		uint64_t place = console->at[i] % ring->size;
		uint64_t part = ring->written - console->at[i];
		ssize_t got;

		if (part > ring->size) {
			drop(console, i);
			return;
		}
		part = part < sizeof(data) ? part : sizeof(data);
		part = part < ring->size - place ? part : ring->size - place;
		got = pread(WIRE_FD_RING, data, part, (off_t)(RING_DATA + place));
		if (got > 0)
			got = send(console->clients[i], data, (size_t)got, MSG_NOSIGNAL | MSG_DONTWAIT);
		if (got < 0 && errno == EAGAIN)
			return;
		if (got <= 0) {
			drop(console, i);
			return;
		}
		console->at[i] += (uint64_t)got;
	}
}

static void
admit(struct console *console)
{
	int client = accept4(WIRE_FD_LISTEN, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
	struct ring_header *ring = &console->ring;

	if (client < 0)
		return;
	for (int i = 0; i < CONSOLE_CLIENTS; i++) {
		if (console->clients[i] >= 0)
			continue;
		console->clients[i] = client;
		console->at[i] = ring->written > ring->size ? ring->written - ring->size : 0;
		feed(console, i);
		return;
	}
	close(client);
}

static void
type(struct console *console, int i)
{
	char data[4096];
	ssize_t got = recv(console->clients[i], data, sizeof(data), MSG_DONTWAIT);

	if (got == 0 || (got < 0 && errno != EAGAIN))
		drop(console, i);
	else if (got > 0 && write(console->master, data, (size_t)got) < 0)
		return;			/* the guest does not read: what was typed is lost */
}

/* Returns whether there was something. A guest that hangs its console up gets a fresh one. */
static int
copy(struct console *console)
{
	char data[CHUNK];
	ssize_t got = read(console->master, data, sizeof(data));

	if (got < 0 && errno == EIO)
		open_slave(console);
	if (got <= 0)
		return 0;
	keep(console, data, (size_t)got);
	for (int i = 0; i < CONSOLE_CLIENTS; i++)
		if (console->clients[i] >= 0)
			feed(console, i);
	return 1;
}

unsigned
console_poll(struct console *console, struct pollfd *polls)
{
	polls[0] = (struct pollfd){ .fd = console->master, .events = POLLIN };
	polls[1] = (struct pollfd){ .fd = WIRE_FD_LISTEN, .events = POLLIN };
	for (int i = 0; i < CONSOLE_CLIENTS; i++) {
		short more = console->at[i] < console->ring.written ? POLLOUT : 0;

		polls[2 + i] = (struct pollfd){ .fd = console->clients[i], .events = POLLIN | more };
	}
	return CONSOLE_POLLS;
}

void
console_work(struct console *console, const struct pollfd *polls)
{
	if (polls[0].revents)
		copy(console);
	for (int i = 0; i < CONSOLE_CLIENTS; i++) {
		if (console->clients[i] >= 0 && polls[2 + i].revents & (POLLIN | POLLHUP | POLLERR))
			type(console, i);
		if (console->clients[i] >= 0 && polls[2 + i].revents & POLLOUT)
			feed(console, i);
	}
	if (polls[1].revents)
		admit(console);
}

void
console_drain(struct console *console)
{
	close(console->slave);
	console->slave = -1;
	while (copy(console))
		continue;
}
