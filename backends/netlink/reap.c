/*
 * The first caller leads: it takes all that wait, marks their devices with a device group that no
 * one uses, and deletes the group with one message. Callers that came meanwhile wait for the next
 * round, which one of them leads.
 */
#include "backends/netlink/reap.h"

#include <errno.h>
#include <linux/if_link.h>
#include <linux/rtnetlink.h>
#include <stdlib.h>
#include <string.h>

#include "backends/netlink/fabric.h"
#include "backends/netlink/port.h"

#define FIRST_GROUP 0x766e6400u

struct reap_request {
	struct vn_list waiting;
	int64_t vmid;			/* -1: everything of ours */
	const char *uuid;
	const unsigned *indexes;	/* NULL = all */
	size_t n_indexes;
	bool done;
	int result;
	struct vn_error err;
};

void
reaper_init(struct reaper *reaper)
{
	pthread_mutex_init(&reaper->lock, NULL);
	pthread_cond_init(&reaper->done, NULL);
	vn_list_init(&reaper->waiting);
}

void
reaper_fini(struct reaper *reaper)
{
	pthread_cond_destroy(&reaper->done);
	pthread_mutex_destroy(&reaper->lock);
}

static bool
request_names(const struct fabric *fabric, const struct reap_request *request,
	      const struct link *link)
{
	int64_t vmid;
	unsigned index;

	if (request->vmid < 0)		/* loopback carries the tag too, see fabric.c */
		return *link->kind && fabric_owns(fabric, link, NULL);
	if (!port_name_parse(link->name, &vmid, &index) || vmid != request->vmid ||
	    !fabric_owns(fabric, link, request->uuid))
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

/* Serves all that wait; called and returns with the lock held. */
static void
lead(struct fabric *fabric)
{
	struct reaper *reaper = &fabric->reaper;
	struct vn_list round;
	struct vn_error err = { 0 };
	int result;

	vn_list_init(&round);
	vn_list_splice(&round, &reaper->waiting);
	reaper->busy = true;
	pthread_mutex_unlock(&reaper->lock);
	result = delete_named(fabric, &round, &err);
	pthread_mutex_lock(&reaper->lock);
	reaper->busy = false;
	vn_list_each_safe(struct reap_request, request, &round, waiting) {
		vn_list_remove(&request->waiting);
		request->result = result;
		request->err = err;
		request->done = true;
	}
	pthread_cond_broadcast(&reaper->done);
}

static int
submit(struct fabric *fabric, struct reap_request *request, struct vn_error *err)
{
	struct reaper *reaper = &fabric->reaper;

	pthread_mutex_lock(&reaper->lock);
	vn_list_append(&reaper->waiting, &request->waiting);
	while (!request->done) {
		if (reaper->busy)
			pthread_cond_wait(&reaper->done, &reaper->lock);
		else
			lead(fabric);
	}
	pthread_mutex_unlock(&reaper->lock);
	if (request->result < 0)
		*err = request->err;
	return request->result;
}

int
reap_ports(struct fabric *fabric, int64_t vmid, const char *uuid, const unsigned *indexes,
	   size_t n_indexes, struct vn_error *err)
{
	struct reap_request request = { .vmid = vmid, .uuid = uuid, .indexes = indexes,
					.n_indexes = n_indexes };

	vn_list_init(&request.waiting);
	return submit(fabric, &request, err);
}

int
reap_all(struct fabric *fabric, struct vn_error *err)
{
	struct reap_request request = { .vmid = -1 };

	vn_list_init(&request.waiting);
	return submit(fabric, &request, err);
}
