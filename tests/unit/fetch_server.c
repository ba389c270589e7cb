/*
 * Each connection is served by a thread that does what its path says, and every wait ends by something the
 * other side does.
 */
#include "tests/unit/fetch_server.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "proto/base/mem.h"

char body[BODY_SIZE];
unsigned port;
struct asked asked;

static pthread_mutex_t asked_lock = PTHREAD_MUTEX_INITIALIZER;
static int listener;

static bool
send_all(int fd, const void *data, size_t size)
{
	return send(fd, data, size, MSG_NOSIGNAL) == (ssize_t)size;
}

static void
send_head(int fd, const char *status, const char *fields)
{
	char head[512];

	snprintf(head, sizeof(head), "HTTP/1.1 %s\r\nConnection: close\r\n%s\r\n", status, fields);
	send_all(fd, head, strlen(head));
}

static void
wait_for_client(int fd)
{
	char byte;

	while (recv(fd, &byte, 1, 0) > 0)
		;
}

/* ---- whole answers, and none ----------------------------------------------------------------- */

static void
serve_ok(int fd)
{
	char length[64];

	snprintf(length, sizeof(length), "Content-Length: %d\r\n", BODY_SIZE);
	send_head(fd, "200 OK", length);
	send_all(fd, body, BODY_SIZE);
}

static void
serve_empty(int fd)
{
	send_head(fd, "200 OK", "Content-Length: 0\r\n");
}

static void
serve_unknown_length(int fd)
{
	send_head(fd, "200 OK", "");
	send_all(fd, body, BODY_SIZE);
}

static void
serve_short(int fd)
{
	send_head(fd, "200 OK", "Content-Length: 1000000\r\n");
	send_all(fd, body, BODY_SIZE);
}

static void
serve_endless(int fd)
{
	send_head(fd, "200 OK", "");
	while (send_all(fd, body, BODY_SIZE))
		;
}

static void
serve_huge(int fd)
{
	send_head(fd, "200 OK", "Content-Length: 1000000000000\r\n");
	wait_for_client(fd);
}

static void
serve_stall(int fd)
{
	send_head(fd, "200 OK", "Content-Length: 1000000\r\n");
	send_all(fd, body, 1000);
	wait_for_client(fd);
}

static void
serve_silence(int fd)
{
	wait_for_client(fd);
}

static void
serve_nonsense(int fd)
{
	send_all(fd, "this is not HTTP\n", 17);
}

static void
serve_404(int fd)
{
	send_head(fd, "404 Not Found", "Content-Length: 4\r\n");
	send_all(fd, "gone", 4);
}

static void
serve_403(int fd)
{
	send_head(fd, "403 Forbidden", "Content-Length: 0\r\n");
}

static void
serve_500(int fd)
{
	send_head(fd, "500 Oops", "Content-Length: 0\r\n");
}

static void
serve_redirect(int fd)
{
	send_head(fd, "302 Found", "Location: /ok\r\nContent-Length: 0\r\n");
}

static void
serve_loop(int fd)
{
	send_head(fd, "302 Found", "Location: /loop\r\nContent-Length: 0\r\n");
}

static void
serve_to_file(int fd)
{
	send_head(fd, "302 Found", "Location: file:///etc/passwd\r\nContent-Length: 0\r\n");
}

/* ---- breaking off, and what is said to a request for the rest -------------------------------- */

#define ETAG "ETag: \"one\"\r\n"

/* The head of an answer with the bytes from `first` on. */
static void
send_rest(int fd, const char *status, const char *fields, unsigned first)
{
	char text[400];

	snprintf(text, sizeof(text), "%sContent-Length: %u\r\n", fields, BODY_SIZE - first);
	send_head(fd, status, text);
	send_all(fd, body + first, BODY_SIZE - first);
}

static void
send_cut(int fd, const char *fields)
{
	char text[400];

	snprintf(text, sizeof(text), "%sContent-Length: %u\r\n", fields, BODY_SIZE);
	send_head(fd, "200 OK", text);
	send_all(fd, body, CUT);
}

static bool
is_first(void)
{
	return asked.ranges == 0 && asked.requests == 1;
}

static void
send_range(int fd, const char *fields)
{
	char text[400];

	snprintf(text, sizeof(text), "%sContent-Range: bytes %llu-%u/%u\r\n", fields, asked.first,
		 BODY_SIZE - 1, BODY_SIZE);
	send_rest(fd, "206 Partial Content", text, (unsigned)asked.first);
}

/* A server that knows ranges, once it has broken off. */
static void
serve_with(int fd, const char *fields)
{
	if (is_first())
		send_cut(fd, fields);
	else if (asked.ranges)
		send_range(fd, fields);
	else
		send_rest(fd, "200 OK", fields, 0);
}

static void
serve_cut(int fd)
{
	serve_with(fd, ETAG);
}

static void
serve_cut_dated(int fd)
{
	serve_with(fd, "Last-Modified: Sun, 06 Nov 1994 08:49:37 GMT\r\n"
		       "Date: Mon, 07 Nov 1994 08:49:37 GMT\r\n");
}

static void
serve_cut_young(int fd)
{
	serve_with(fd, "Last-Modified: Sun, 06 Nov 1994 08:49:37 GMT\r\n"
		       "Date: Sun, 06 Nov 1994 08:49:57 GMT\r\n");
}

static void
serve_cut_weak(int fd)
{
	serve_with(fd, "ETag: W/\"one\"\r\n");
}

static void
serve_cut_plain(int fd)
{
	serve_with(fd, "");
}

const struct liar liars[LIARS] = {
	{ "/ignores-range", "200 OK", ETAG },
	{ "/wrong-start", "206 Partial Content", ETAG "Content-Range: bytes 5-299999/300000\r\n" },
	{ "/wrong-total", "206 Partial Content", ETAG "Content-Range: bytes 100000-299999/300001\r\n" },
	{ "/wrong-tag", "206 Partial Content", "ETag: \"two\"\r\n"
	  "Content-Range: bytes 100000-299999/300000\r\n" },
	{ "/no-range", "206 Partial Content", ETAG },
	{ "/bad-range", "206 Partial Content", ETAG "Content-Range: bytes 100000-5/300000\r\n" },
	{ "/odd-range", "206 Partial Content", ETAG "Content-Range: lines 100000-299999/300000\r\n" },
	{ "/multipart", "206 Partial Content", ETAG
	  "Content-Type: multipart/byteranges; boundary=x\r\n" },
	{ "/too-short", "416 Range Not Satisfiable", ETAG "Content-Range: bytes */5000\r\n" },
};

static void
serve_liar(int fd, size_t which)
{
	bool whole = !strncmp(liars[which].status, "200", 3);

	if (is_first())
		send_cut(fd, ETAG);
	else if (asked.ranges == 1 && asked.first)
		send_rest(fd, liars[which].status, liars[which].fields, whole ? 0 : CUT);
	else
		send_rest(fd, "200 OK", ETAG, 0);
}

/* The file is another one by the time the rest is asked for. */
static void
serve_changed(int fd)
{
	if (is_first()) {
		send_head(fd, "200 OK", "ETag: \"old\"\r\nContent-Length: 250000\r\n");
		send_all(fd, body + 7, CUT);
	} else {
		send_rest(fd, "200 OK", ETAG, 0);
	}
}

static void
serve_more(int fd)
{
	if (is_first()) {
		send_cut(fd, ETAG);
	} else if (asked.ranges == 1 && asked.first) {
		send_head(fd, "206 Partial Content", ETAG
			  "Content-Range: bytes 100000-299999/300000\r\n");
		send_all(fd, body, BODY_SIZE);
	} else {
		send_rest(fd, "200 OK", ETAG, 0);
	}
}

static void
serve_unasked(int fd)
{
	send_head(fd, "206 Partial Content", "Content-Range: bytes 0-9/10\r\nContent-Length: 10\r\n");
	send_all(fd, body, 10);
}

static void
serve_flaky(int fd)
{
	if (asked.requests < 3)
		send_head(fd, "503 Busy", "Retry-After: 0\r\nContent-Length: 0\r\n");
	else
		serve_ok(fd);
}

static void
serve_hold(int fd)
{
	if (is_first()) {
		send_cut(fd, ETAG);
		wait_for_client(fd);
	} else {
		serve_with(fd, ETAG);
	}
}

/* ---- connections ----------------------------------------------------------------------------- */

static const struct {
	const char *path;
	void (*serve)(int fd);
} routes[] = {
	{ "/cut", serve_cut },
	{ "/cut-dated", serve_cut_dated },
	{ "/cut-young", serve_cut_young },
	{ "/cut-weak", serve_cut_weak },
	{ "/cut-plain", serve_cut_plain },
	{ "/changed", serve_changed },
	{ "/more", serve_more },
	{ "/unasked", serve_unasked },
	{ "/flaky", serve_flaky },
	{ "/hold", serve_hold },
	{ "/ok", serve_ok },
	{ "/empty", serve_empty },
	{ "/unknown-length", serve_unknown_length },
	{ "/short", serve_short },
	{ "/endless", serve_endless },
	{ "/huge", serve_huge },
	{ "/stall", serve_stall },
	{ "/silence", serve_silence },
	{ "/nonsense", serve_nonsense },
	{ "/404", serve_404 },
	{ "/403", serve_403 },
	{ "/500", serve_500 },
	{ "/redirect", serve_redirect },
	{ "/loop", serve_loop },
	{ "/to-file", serve_to_file },
};

static void
note_request(const char *head)
{
	const char *range = strstr(head, "\nRange: bytes="), *condition = strstr(head, "\nIf-Range: ");

	pthread_mutex_lock(&asked_lock);
	asked.requests++;
	asked.ranges += range != NULL;
	asked.first = range ? strtoull(range + 14, NULL, 10) : 0;
	asked.condition[0] = '\0';
	if (condition)
		sscanf(condition, "\nIf-Range: %63[^\r]", asked.condition);
	pthread_mutex_unlock(&asked_lock);
}

/* One request: its head is read to the empty line, so that closing sends no reset. */
static void *
serve(void *arg)
{
	int fd = (int)(intptr_t)arg;
	char head[4096] = "", path[128] = "";
	size_t size = 0;
	ssize_t got;

	while (!strstr(head, "\r\n\r\n") && size < sizeof(head) - 1) {
		got = recv(fd, head + size, sizeof(head) - 1 - size, 0);
		if (got <= 0)
			break;
		size += (size_t)got;
		head[size] = '\0';
	}
	sscanf(head, "GET %127[^ ?]", path);
	note_request(head);
	if (strstr(head, "Accept-Encoding"))
		path[0] = '\0';
	for (size_t i = 0; i < VN_COUNT(routes); i++)
		if (!strcmp(routes[i].path, path))
			routes[i].serve(fd);
	for (size_t i = 0; i < LIARS; i++)
		if (!strcmp(liars[i].path, path))
			serve_liar(fd, i);
	close(fd);
	return NULL;
}

static void *
accept_all(void *arg)
{
	pthread_t thread;
	int fd;

	(void)arg;
	while ((fd = accept(listener, NULL, NULL)) >= 0) {
		pthread_create(&thread, NULL, serve, (void *)(intptr_t)fd);
		pthread_detach(thread);
	}
	return NULL;
}

int
bind_loopback(unsigned *ret_port)
{
	struct sockaddr_in address = { .sin_family = AF_INET,
				       .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	socklen_t size = sizeof(address);
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	if (bind(fd, (struct sockaddr *)&address, sizeof(address)) < 0
	    || getsockname(fd, (struct sockaddr *)&address, &size) < 0)
		abort();
	*ret_port = ntohs(address.sin_port);
	return fd;
}

void
server_forget(void)
{
	pthread_mutex_lock(&asked_lock);	/* a connection's thread may be at an earlier request */
	asked = (struct asked){ 0 };
	pthread_mutex_unlock(&asked_lock);
}

void
server_start(void)
{
	pthread_t server;

	for (size_t i = 0; i < BODY_SIZE; i++)
		body[i] = (char)(i * 7 + i / 251);
	listener = bind_loopback(&port);
	if (listen(listener, 64) < 0)
		abort();
	pthread_create(&server, NULL, accept_all, NULL);
	pthread_detach(server);
}
