/*
 * Each round takes all that wait, marks their devices with a device group that no one uses, and
 * deletes the group with one message.
 */
#include "backends/netlink/reap.h"

#include <errno.h>
#include <linux/if_link.h>
#include <linux/rtnetlink.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "backends/netlink/control.h"
#include "backends/netlink/fabric.h"
#include "backends/netlink/lan.h"
#include "backends/netlink/port.h"
#include "backends/netlink/shape.h"

#define FIRST_GROUP 0x766e6400u

struct reap_request {
	struct vn_list waiting;
	int64_t vmid;			/* -1: everything of ours */
	int64_t lan;			/* its bridge instead; 0: none */
	char uuid[VN_UUID_TEXT];
	const unsigned *indexes;	/* NULL = all */
	size_t n_indexes;
	bool nobody_waits;		/* freed when done */
	bool done;
	int result;
	struct vn_error err;
};

static bool
request_names(const struct fabric *fabric, const struct reap_request *request,
	      const struct link *link)
{
	int64_t vmid;
	unsigned index;

	if (request->lan)
		return lan_name_parse(link->name, &vmid) && vmid == request->lan &&
		       fabric_owns(fabric, link, NULL);
	if (request->vmid < 0)		/* loopback carries the tag too, see fabric.c */
		return *link->kind && fabric_owns(fabric, link, NULL);
	if ((!port_name_parse(link->name, &vmid, &index) &&
	     !ifb_name_parse(link->name, &vmid, &index)) ||
	    vmid != request->vmid || !fabric_owns(fabric, link, request->uuid))
		return false;
	if (!request->indexes)
		return true;
	for (size_t i = 0; i < request->n_indexes; i++)
		if (request->indexes[i] == index)
			return true;
	return false;
}

static bool
any_names(struct fabric *fabric, struct vn_list *requests, const struct link *link)
{
	vn_list_each(struct reap_request, request, requests, waiting)
		if (request_names(fabric, request, link))
			return true;
	return false;
}

static unsigned
unused_group(const struct link *links, size_t count)
{
	unsigned group = FIRST_GROUP;

	for (size_t i = 0; i < count; i++)
		if (links[i].group >= group)
			group = links[i].group + 1;
	return group ? group : FIRST_GROUP;
}

/* Only now: a port that is there passes nothing that is not its own. */
static int
forget_named(struct fabric *fabric, struct vn_list *requests, struct vn_error *err)
{
	char (*names)[16] = NULL;
	size_t count = 0;
	int result;

	vn_list_each(struct reap_request, request, requests, waiting) {
		size_t n = request->indexes ? request->n_indexes : 1;

		if (request->vmid < 0)
			continue;	/* the rules go with the fabric */
		names = vn_realloc_array(names, count + n, sizeof(*names));
		for (size_t i = 0; i < n; i++)
			port_name(request->vmid, request->indexes ? request->indexes[i] : 0,
				  names[count++]);
	}
	result = control_forget(fabric, (const char (*)[16])names, count, err);
	free(names);
	return result;
}

static int
delete_named(struct fabric *fabric, struct vn_list *requests, struct vn_error *err)
{
	struct ifinfomsg header = { .ifi_family = AF_UNSPEC };
	vn_autofree struct link *links = NULL;
	auto_batch batch = { 0 };
	size_t n_links = 0;
	unsigned group;

	if (fabric_links_read(fabric, &links, &n_links, err) < 0)
		return err->code == VN_E_NOT_FOUND ? 0 : -1;
	group = unused_group(links, n_links);
	for (size_t i = 0; i < n_links; i++) {
		if (!any_names(fabric, requests, &links[i]))
			continue;
		attr_put_u32(link_change(&batch, links[i].index, -1, "mark device '%s'",
					 links[i].name), IFLA_GROUP, group);
		batch_allow(&batch, ENODEV);
	}
	if (batch.n_items == 0)
		return 0;
	attr_put_u32(batch_add(&batch, RTM_DELLINK, 0, &header, sizeof(header),
			       "delete devices of the fabric"), IFLA_GROUP, group);
	batch_allow(&batch, ENODEV);
	return fabric_send(fabric, &batch, err);
}

/* ---- the thread ------------------------------------------------------------------------------ */

static void
finish_round(struct reaper *reaper, int result, const struct vn_error *err)
{
	vn_list_each_safe(struct reap_request, request, &reaper->running, waiting) {
		vn_list_remove(&request->waiting);
		request->result = result;
		request->err = *err;
		request->done = true;
		if (request->nobody_waits)
			free(request);
	}
	pthread_cond_broadcast(&reaper->done);
}

static void *
run(void *arg)
{
	struct fabric *fabric = arg;
	struct reaper *reaper = &fabric->reaper;
	struct vn_error err = { 0 };
	int result;

	pthread_mutex_lock(&reaper->lock);
	for (;;) {
		while (vn_list_is_empty(&reaper->waiting) && !reaper->stopping)
			pthread_cond_wait(&reaper->asked, &reaper->lock);
		if (vn_list_is_empty(&reaper->waiting))
			break;
		vn_list_splice(&reaper->running, &reaper->waiting);
		pthread_mutex_unlock(&reaper->lock);
		result = delete_named(fabric, &reaper->running, &err);
		if (result == 0)
			result = forget_named(fabric, &reaper->running, &err);
		pthread_mutex_lock(&reaper->lock);
		finish_round(reaper, result, &err);
	}
	pthread_mutex_unlock(&reaper->lock);
	return NULL;
}

int
reaper_start(struct fabric *fabric, struct vn_error *err)
{
	struct reaper *reaper = &fabric->reaper;
	sigset_t all, before;
	int sys;

	pthread_mutex_init(&reaper->lock, NULL);
	pthread_cond_init(&reaper->asked, NULL);
	pthread_cond_init(&reaper->done, NULL);
	vn_list_init(&reaper->waiting);
	vn_list_init(&reaper->running);
	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &before);	/* signals are the loop's */
	sys = pthread_create(&reaper->thread, NULL, run, fabric);
	pthread_sigmask(SIG_SETMASK, &before, NULL);
	return sys ? vn_fail_errno(err, sys, "start a thread") : 0;
}

void
reaper_stop(struct fabric *fabric)
{
	struct reaper *reaper = &fabric->reaper;

	pthread_mutex_lock(&reaper->lock);
	reaper->stopping = true;
	pthread_cond_signal(&reaper->asked);
	pthread_mutex_unlock(&reaper->lock);
	pthread_join(reaper->thread, NULL);
	pthread_cond_destroy(&reaper->done);
	pthread_cond_destroy(&reaper->asked);
	pthread_mutex_destroy(&reaper->lock);
}

/* ---- asking ---------------------------------------------------------------------------------- */

/* Called with the lock held. */
static void
ask(struct reaper *reaper, struct reap_request *request)
{
	vn_list_append(&reaper->waiting, &request->waiting);
	pthread_cond_signal(&reaper->asked);
}

static int
ask_and_wait(struct fabric *fabric, struct reap_request *request, struct vn_error *err)
{
	struct reaper *reaper = &fabric->reaper;

	pthread_mutex_lock(&reaper->lock);
	ask(reaper, request);
	while (!request->done)
		pthread_cond_wait(&reaper->done, &reaper->lock);
	pthread_mutex_unlock(&reaper->lock);
	if (request->result < 0)
		*err = request->err;
	return request->result;
}

int
reap_ports(struct fabric *fabric, int64_t vmid, const char *uuid, const unsigned *indexes,
	   size_t n_indexes, struct vn_error *err)
{
	struct reap_request request = { .vmid = vmid, .indexes = indexes, .n_indexes = n_indexes };

	snprintf(request.uuid, sizeof(request.uuid), "%s", uuid);
	return ask_and_wait(fabric, &request, err);
}

int
reap_all(struct fabric *fabric, struct vn_error *err)
{
	struct reap_request request = { .vmid = -1 };

	return ask_and_wait(fabric, &request, err);
}

static void
ask_soon(struct fabric *fabric, const struct reap_request *wish)
{
	struct reap_request *request = vn_alloc(sizeof(*request));

	*request = *wish;
	request->nobody_waits = true;
	pthread_mutex_lock(&fabric->reaper.lock);
	ask(&fabric->reaper, request);
	pthread_mutex_unlock(&fabric->reaper.lock);
}

void
reap_soon(struct fabric *fabric, int64_t vmid, const char *uuid)
{
	struct reap_request wish = { .vmid = vmid };

	snprintf(wish.uuid, sizeof(wish.uuid), "%s", uuid);
	ask_soon(fabric, &wish);
}

void
reap_bridge_soon(struct fabric *fabric, int64_t lan)
{
	ask_soon(fabric, &(struct reap_request){ .lan = lan });
}

static bool
is_asked(const struct vn_list *requests, int64_t vmid, int64_t lan)
{
	vn_list_each(struct reap_request, request, requests, waiting)
		if (request->nobody_waits && (vmid < 0 || (lan ? request->lan == lan : !request->lan &&
							   request->vmid == vmid)))
			return true;
	return false;
}

static void
settle(struct fabric *fabric, int64_t vmid, int64_t lan)
{
	struct reaper *reaper = &fabric->reaper;

	pthread_mutex_lock(&reaper->lock);
	while (is_asked(&reaper->waiting, vmid, lan) || is_asked(&reaper->running, vmid, lan))
		pthread_cond_wait(&reaper->done, &reaper->lock);
	pthread_mutex_unlock(&reaper->lock);
}

void
reap_settle(struct fabric *fabric, int64_t vmid)
{
	settle(fabric, vmid, 0);
}

void
reap_settle_bridge(struct fabric *fabric, int64_t lan)
{
	settle(fabric, 0, lan);
}
