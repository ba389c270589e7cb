/*
 * What is posted holds a reference to the listener and finds `stopped` when it arrives too late: the
 * loop may run it after listener_stop. Reconnects back off from 100 ms to 5 s by libvirt's timers.
 */
#include "backends/libvirt/event.h"

#include <libvirt/libvirt.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>

#include "backends/libvirt/connection.h"
#include "backends/libvirt/error.h"
#include "proto/base/mem.h"

#define BACKOFF_MIN_MS 100
#define BACKOFF_MAX_MS 5000

struct listener {
	const struct backend_env *env;
	struct listener_calls calls;	/* loop */
	bool stopped;			/* loop */
	atomic_int references;
	pthread_t thread;
	atomic_bool quit;

	/* The thread's own. */
	virConnectPtr conn;
	int callback;			/* for lifecycle events; it keeps the connection open */
	int timer;			/* reconnects; -1 none */
	int backoff_ms;
	bool up;
};

struct note {				/* one thing posted to the loop */
	struct listener *listener;
	bool is_link, up;
	char text[256];			/* uuid, or why */
};

static void
unref(void *arg)
{
	struct listener *listener = arg;

	if (atomic_fetch_sub(&listener->references, 1) == 1)
		free(listener);
}

static void
deliver(void *arg)
{
	vn_autofree struct note *note = arg;
	struct listener *listener = note->listener;

	if (!listener->stopped && note->is_link)
		listener->calls.on_link(listener->calls.arg, note->up, note->text);
	else if (!listener->stopped)
		listener->calls.on_stopped(listener->calls.arg, note->text);
	unref(listener);
}

static void
post(struct listener *listener, bool is_link, bool up, const char *text)
{
	struct note *note = vn_alloc(sizeof(*note));

	*note = (struct note){ .listener = listener, .is_link = is_link, .up = up };
	snprintf(note->text, sizeof(note->text), "%s", text);
	atomic_fetch_add(&listener->references, 1);
	listener->env->watch->post(listener->env->watch->loop, deliver, note);
}

static void
set_link(struct listener *listener, bool up, const char *text)
{
	if (listener->up == up)
		return;
	listener->up = up;
	post(listener, true, up, text);
}

static int
on_lifecycle(virConnectPtr conn, virDomainPtr domain, int event, int detail, void *arg)
{
	struct listener *listener = arg;
	char uuid[VIR_UUID_STRING_BUFLEN];

	(void)conn;
	(void)detail;
	if (!atomic_load(&listener->quit) &&
	    (event == VIR_DOMAIN_EVENT_STOPPED || event == VIR_DOMAIN_EVENT_CRASHED) &&
	    virDomainGetUUIDString(domain, uuid) == 0)
		post(listener, false, false, uuid);
	return 0;
}

/* Only asks for a reconnect: the connection must not be closed from inside its own callback. */
static void
on_close(virConnectPtr conn, int reason, void *arg)
{
	static const char *const reasons[] = { "an error", "end of file", "no answer to keep-alive",
					       "our own close" };
	struct listener *listener = arg;
	char text[128];

	(void)conn;
	snprintf(text, sizeof(text), "libvirtd has gone away (%s)",
		 reason >= 0 && reason < (int)VN_COUNT(reasons) ? reasons[reason] : "unknown");
	set_link(listener, false, text);
	listener->backoff_ms = BACKOFF_MIN_MS;
	virEventUpdateTimeout(listener->timer, 0);
}

static void
drop(struct listener *listener)
{
	if (!listener->conn)
		return;
	virConnectDomainEventDeregisterAny(listener->conn, listener->callback);
	virConnectUnregisterCloseCallback(listener->conn, on_close);
	virConnectClose(listener->conn);
	listener->conn = NULL;
}

static int
connect_now(struct listener *listener, struct vn_error *err)
{
	virConnectPtr conn = virConnectOpen(listener->env->libvirt_uri);

	if (!conn)
		return vn_fail_virt(err, "connect to libvirt at %s", listener->env->libvirt_uri);
	listener->conn = conn;
	atomic_fetch_add(&listener->references, 1);
	listener->callback = virConnectDomainEventRegisterAny(
		conn, NULL, VIR_DOMAIN_EVENT_ID_LIFECYCLE, VIR_DOMAIN_EVENT_CALLBACK(on_lifecycle),
		listener, unref);
	if (listener->callback < 0)
		unref(listener);
	if (listener->callback < 0 ||
	    virConnectRegisterCloseCallback(conn, on_close, listener, NULL) < 0) {
		vn_fail_virt(err, "ask libvirt for events");
		drop(listener);
		return -1;
	}
	virConnectSetKeepAlive(conn, CONN_KEEPALIVE_S, CONN_KEEPALIVE_COUNT);
	return 0;
}

static void
on_timer(int timer, void *arg)
{
	struct listener *listener = arg;
	struct vn_error err;

	if (atomic_load(&listener->quit))
		return;
	drop(listener);
	if (connect_now(listener, &err) == 0) {
		virEventUpdateTimeout(timer, -1);
		listener->backoff_ms = BACKOFF_MIN_MS;
		set_link(listener, true, "libvirtd answers");
		return;
	}
	set_link(listener, false, err.text);
	virEventUpdateTimeout(timer, listener->backoff_ms);
	listener->backoff_ms *= 2;
	if (listener->backoff_ms > BACKOFF_MAX_MS)
		listener->backoff_ms = BACKOFF_MAX_MS;
}

static void *
run(void *arg)
{
	struct listener *listener = arg;

	while (!atomic_load(&listener->quit))
		virEventRunDefaultImpl();
	drop(listener);
	virEventRemoveTimeout(listener->timer);
	return NULL;
}

static void
register_loop(void)
{
	virEventRegisterDefaultImpl();
}

struct listener *
listener_start(const struct backend_env *env, const struct listener_calls *calls)
{
	static pthread_once_t once = PTHREAD_ONCE_INIT;
	struct listener *listener = vn_alloc(sizeof(*listener));

	pthread_once(&once, register_loop);
	virt_error_init();
	listener->env = env;
	listener->calls = *calls;
	listener->references = 1;
	listener->backoff_ms = BACKOFF_MIN_MS;
	listener->up = true;
	listener->timer = virEventAddTimeout(0, on_timer, listener, NULL);
	if (listener->timer < 0 || pthread_create(&listener->thread, NULL, run, listener) != 0)
		abort();
	return listener;
}

void
listener_stop(struct listener *listener)
{
	if (!listener)
		return;
	listener->stopped = true;
	atomic_store(&listener->quit, true);
	virEventUpdateTimeout(listener->timer, 0);	/* wakes the thread */
	pthread_join(listener->thread, NULL);
	unref(listener);
}
