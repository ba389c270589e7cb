/*
 * Port forwards: the translation rules belong to the machine, the reservation of a host port to the
 * process that holds its socket.
 */
#include "backends/fake/model.h"

#include <string.h>

static struct handle *
handle_of(struct net *self)
{
	return &vn_container_of(self, struct fake_net, base)->handle;
}

static bool
is_same_address(const struct vn_cidr *a, const struct vn_cidr *b)
{
	return a->family == b->family && (a->family == 0 || vn_cidr_same_address(a, b));
}

static bool
is_same(const struct forward_spec *a, const struct forward_spec *b)
{
	return a->vmid == b->vmid && a->protocol == b->protocol && a->host == b->host &&
	       is_same_address(&a->address, &b->address);
}

/* Whether both would listen on one address; no address means all of them. */
static bool
collides(const struct forward_spec *a, const struct forward_spec *b)
{
	return a->protocol == b->protocol && a->host == b->host &&
	       (a->address.family == 0 || b->address.family == 0 ||
		is_same_address(&a->address, &b->address));
}

static struct rule *
find_same(struct vn_list *rules, const struct forward_spec *forward)
{
	vn_list_each(struct rule, rule, rules, link)
		if (is_same(&rule->forward, forward))
			return rule;
	return NULL;
}

static bool
is_taken(struct vn_list *rules, const struct forward_spec *forward)
{
	vn_list_each(struct rule, rule, rules, link)
		if (!is_same(&rule->forward, forward) && collides(&rule->forward, forward))
			return true;
	return false;
}

static void
put(struct vn_list *rules, const struct forward_spec *forward, struct handle *holder)
{
	struct rule *rule = find_same(rules, forward);

	if (!rule) {
		rule = vn_alloc(sizeof(*rule));
		vn_list_append(rules, &rule->link);
	}
	rule->forward = *forward;
	rule->holder = holder;
}

static void
take(struct vn_list *rules, const struct forward_spec *forward)
{
	struct rule *rule = find_same(rules, forward);

	if (!rule)
		return;
	vn_list_remove(&rule->link);
	free(rule);
}

static int
reserve(struct call *call, const struct forward_spec *forward, struct vn_error *err)
{
	vn_autofree char *port = vn_format("%u", forward->host);

	if (word_has(&call->world->foreign, "port", port) ||
	    is_taken(&call->world->reservations, forward))
		return vn_fail(err, VN_E_EXISTS, "another program has host port %s; stop it or choose "
			       "another port", port);
	put(&call->world->reservations, forward, call->handle);
	return 0;
}

int
fake_forward_reserve(struct net *self, const struct forward_spec *forward, struct vn_error *err)
{
	struct call call;

	if (call_begin(&call, handle_of(self), "net.forward_reserve", forward->vmid,
		       CALL_CHANGES | CALL_LOOP, err) < 0)
		return -1;
	return call_end(&call, reserve(&call, forward, err), err);
}

void
fake_forward_release(struct net *self, const struct forward_spec *forward)
{
	struct vn_error unheard;
	struct call call;

	if (call_begin(&call, handle_of(self), "net.forward_release", forward->vmid,
		       CALL_CHANGES | CALL_LOOP | CALL_SURE, &unheard) < 0)
		return;
	take(&call.world->reservations, forward);
	call_end(&call, 0, &unheard);
}

static int
forwards_up(struct call *call, const struct forward_spec *forwards, size_t count,
	    struct vn_error *err)
{
	if (net_check_up(call, err) < 0)
		return -1;
	for (size_t i = 0; i < count; i++) {
		if (!find_same(&call->world->reservations, &forwards[i]))
			return wrong_order(call, err, "host port %u is not reserved for vnode %lld",
					   forwards[i].host, (long long)forwards[i].vmid);
		if (is_taken(&call->world->rules, &forwards[i]))
			return vn_fail(err, VN_E_EXISTS, "host port %u is forwarded already",
				       forwards[i].host);
	}
	for (size_t i = 0; i < count; i++)
		put(&call->world->rules, &forwards[i], NULL);
	return 0;
}

int
fake_forwards_up(struct net *self, const struct forward_spec *forwards, size_t count,
		 struct vn_error *err)
{
	struct call call;

	if (call_begin(&call, handle_of(self), "net.forwards_up", count ? forwards->vmid : 0,
		       CALL_CHANGES, err) < 0)
		return -1;
	return call_end(&call, forwards_up(&call, forwards, count, err), err);
}

int
fake_forwards_down(struct net *self, const struct forward_spec *forwards, size_t count,
		   struct vn_error *err)
{
	struct call call;

	if (call_begin(&call, handle_of(self), "net.forwards_down", count ? forwards->vmid : 0,
		       CALL_CHANGES, err) < 0)
		return -1;
	for (size_t i = 0; i < count; i++)
		take(&call.world->rules, &forwards[i]);
	return call_end(&call, 0, err);
}

static int
forwards_sync(struct call *call, const struct forward_spec *forwards, size_t count,
	      struct vn_error *err)
{
	if (net_check_up(call, err) < 0)
		return -1;
	vn_list_each_safe(struct rule, rule, &call->world->rules, link) {
		vn_list_remove(&rule->link);
		free(rule);
	}
	for (size_t i = 0; i < count; i++)
		put(&call->world->rules, &forwards[i], NULL);
	return 0;
}

int
fake_forwards_sync(struct net *self, const struct forward_spec *forwards, size_t count,
		   struct vn_error *err)
{
	struct call call;

	if (call_begin(&call, handle_of(self), "net.forwards_sync", 0, CALL_CHANGES, err) < 0)
		return -1;
	return call_end(&call, forwards_sync(&call, forwards, count, err), err);
}
