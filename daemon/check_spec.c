/* What a vnode's spec asks of this host, checked before anything is made. */
#include "daemon/lifecycle.h"
#include "daemon/vnode_disk.h"
#include "daemon/sources.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static int
check_backend(struct daemon *daemon, const struct doc_vnode *spec, struct vn_error *err)
{
	const char *name = spec->backend ? spec->backend : daemon->config.default_backend;
	char known[128] = "";

	if (daemon_compute(daemon, name))
		return 0;
	for (size_t i = 0; i < DAEMON_COMPUTES && daemon->computes[i]; i++) {
		size_t used = strlen(known);

		snprintf(known + used, sizeof(known) - used, "%s%s", i ? ", " : "",
			 daemon->computes[i]->ops->name);
	}
	return vn_fail_at(err, "/backend", VN_E_UNSUPPORTED, "no backend '%s'; this host has: %s", name,
			  known);
}

static int
check_image(struct daemon *daemon, const struct doc_vnode *spec, const struct vnode *self,
	    struct vn_error *err)
{
	const char *name = spec->image ? spec->image : daemon->config.default_image;
	struct image *image;

	if (!name)
		return vn_fail_at(err, "/image", VN_E_INVALID, "missing, and default_image is not set in "
				  "vnoded.conf");
	/* A vnode that has its disk needs the image's name no more. */
	if (self && self->image_sha256[0] && self->spec.image && spec->image &&
	    strcmp(self->spec.image, spec->image) == 0 &&
	    vnode_disk_type(daemon, spec, self) == self->disk_type)
		return vnode_disk_check(daemon, spec, self, NULL, err);
	image = image_find(daemon, name);
	if (!image || image->state == IMAGE_FAILED || image->state == IMAGE_ABSENT)
		return vn_fail_at(err, "/image", VN_E_NOT_FOUND, "no image '%s'; add it with image.add",
				  name);
	if (image_check_kind(image, spec->backend ? spec->backend : daemon->config.default_backend,
			     err) < 0)
		return -1;
	return vnode_disk_check(daemon, spec, self, image, err);
}

static int
check_forwards(struct daemon *daemon, const struct doc_vnode *spec, const struct vnode *self,
	       struct vn_error *err)
{
	const struct doc_forward *mine = spec->forwards.items;
	char path[64];

	if (spec->forwards.count && !spec->control)
		return vn_fail_at(err, "/forwards", VN_E_INVALID, "forwards lead through the control "
				  "network, which \"control\": false leaves out");
	vn_list_each(struct vnode, other, &daemon->model->vnodes, link) {
		const struct doc_forward *theirs = other->spec.forwards.items;

		for (size_t i = 0; other != self && i < spec->forwards.count; i++)
			for (size_t j = 0; j < other->spec.forwards.count; j++) {
				if (mine[i].host != theirs[j].host ||
				    mine[i].protocol != theirs[j].protocol ||
				    (mine[i].address && theirs[j].address &&
				     strcmp(mine[i].address, theirs[j].address) != 0))
					continue;
				snprintf(path, sizeof(path), "/forwards/%zu/host", i);
				return vn_fail_at(err, path, VN_E_EXISTS, "host port %lld/%s is "
						  "forwarded to vnode '%s' already",
						  (long long)mine[i].host,
						  protocol_words[mine[i].protocol],
						  vnode_title(other));
			}
	}
	return 0;
}

static bool
is_same_text(const char *one, const char *other, const char *preset)
{
	one = one ? one : preset;
	other = other ? other : preset;
	return one && other ? strcmp(one, other) == 0 : one == other;
}

/* Who may log in, and what files there are. */
static bool
is_same_inside(const struct doc_vnode *one, const struct doc_vnode *other)
{
	static const char *const fields[] = { "password", "authorized_keys", "files", "inject" };
	json_t *a = schema_encode(doc_vnode_fields, one), *b = schema_encode(doc_vnode_fields, other);
	bool same = true;

	for (size_t i = 0; i < VN_COUNT(fields); i++) {
		json_t *x = json_object_get(a, fields[i]), *y = json_object_get(b, fields[i]);

		same &= x == y || (x && y && json_equal(x, y));
	}
	json_decref(a);
	json_decref(b);
	return same;
}

/* Root of a privileged vnode is the machine's: who may say what it executes is root. */
static bool
runs_the_same(const struct daemon *daemon, const struct doc_vnode *one, const struct doc_vnode *other)
{
	const char *const *init = one->init.items, *const *other_init = other->init.items;

	if (!is_same_text(one->backend, other->backend, daemon->config.default_backend) ||
	    !is_same_text(one->image, other->image, daemon->config.default_image) ||
	    one->init.count != other->init.count)
		return false;
	for (size_t i = 0; i < one->init.count; i++)
		if (strcmp(init[i], other_init[i]) != 0)
			return false;
	return is_same_inside(one, other);
}

int
lifecycle_check_spec(struct daemon *daemon, const struct doc_vnode *spec, const struct vnode *self,
		     enum role role, uint64_t *extras, struct vn_error *err)
{
	if (spec->privileged && role < ROLE_ADMIN && self && self->spec.privileged &&
	    !runs_the_same(daemon, spec, &self->spec))
		return vn_fail_at(err, "/privileged", VN_E_DENIED, "what a privileged vnode runs and who "
				  "may log in (image, init, backend, password, authorized_keys, files, "
				  "inject) is for admins only to change");
	if (doc_vnode_check(spec, err) < 0 || check_backend(daemon, spec, err) < 0)
		return -1;
	if (spec->privileged && role < ROLE_ADMIN && !(self && self->spec.privileged))
		return vn_fail_at(err, "/privileged", VN_E_DENIED, "a privileged vnode has no user "
				  "namespace of its own and is for admins only");
	if (check_image(daemon, spec, self, err) < 0 || sources_check(daemon, spec, err) < 0 ||
	    vnode_extras_check(daemon, spec, self, err) < 0 ||
	    vnode_extras_room(daemon, spec, self, extras, err) < 0)
		return -1;
	return check_forwards(daemon, spec, self, err);
}

/* Root of a privileged vnode is the machine's, also when it has its keys from the topology. */
int
lifecycle_check_logins(const struct topology *topology, json_t *fields, json_t *before, enum role role,
		       struct vn_error *err)
{
	static const char *const paths[] = { "/password", "/authorized_keys" };

	if (role >= ROLE_ADMIN)
		return 0;
	vn_list_each(struct vnode, vnode, &topology->vnodes, in_topology)
		for (size_t i = 0; vnode->spec.privileged && i < VN_COUNT(paths); i++) {
			json_t *new = json_object_get(fields, paths[i] + 1);
			json_t *old = json_object_get(before, paths[i] + 1);

			if (new == old || (new && old && json_equal(new, old)))
				continue;
			return vn_fail_at(err, paths[i], VN_E_DENIED, "vnode '%s' is privileged, and who "
					  "may log in there is for admins only to change", vnode->name);
		}
	return 0;
}

/* Why a route among these networks of a vnode cannot be; NULL: it can. field: what is wrong. */
static const char *
find_fault(const struct vn_cidr *networks, size_t count, const struct doc_route *route,
	   const struct vn_cidr *to, const struct vn_cidr *via, const char **field)
{
	bool found = false;

	*field = "via";
	for (size_t i = 0; i < count; i++) {
		if (!vn_cidr_overlap(&networks[i], via))
			continue;
		found = true;
		if (vn_cidr_same_address(&networks[i], via))
			return "is the vnode's own address: the next hop is another's";
	}
	if (!found)
		return "is reached by none of the vnode's networks: give it an address in a LAN with the "
		       "next hop";
	*field = "to";
	for (size_t i = 0; i < count; i++)
		if (to->family == AF_INET && !route->metric && networks[i].prefix == to->prefix &&
		    vn_cidr_overlap(&networks[i], to))
			return "is a network that the vnode is in: it has that route already; another needs "
			       "a metric";
	return NULL;
}

int
lifecycle_check_routes(struct daemon *daemon, const struct doc_vnode *spec,
		       const struct vn_cidr *addresses, size_t count, struct vn_error *err)
{
	const struct doc_route *routes = spec->routes.items;
	vn_autofree struct vn_cidr *networks = vn_alloc_array(count + 2, sizeof(*networks));

	if (count)
		memcpy(networks, addresses, count * sizeof(*networks));
	if (spec->control) {
		networks[count++] = daemon->env.control4;
		networks[count++] = daemon->env.control6;
	}
	for (size_t i = 0; i < spec->routes.count; i++) {
		const char *fault, *field;
		struct vn_cidr to, via;
		char path[64];

		if (doc_route_read(&routes[i], &to, &via, err) < 0)
			return -1;
		fault = find_fault(networks, count, &routes[i], &to, &via, &field);
		if (!fault)
			continue;
		snprintf(path, sizeof(path), "/routes/%zu/%s", i, field);
		return vn_fail_at(err, path, VN_E_INVALID, "%s %s",
				  *field == 'v' ? routes[i].via : routes[i].to, fault);
	}
	return 0;
}

int
lifecycle_check_own_routes(const struct vnode *vnode, const struct doc_vnode *spec, struct vn_error *err)
{
	struct vn_cidr *addresses = NULL;
	size_t count = 0;
	int result;

	vn_list_each(struct member, member, &vnode->members, in_vnode)
		for (unsigned i = 0; i < member->n_addresses; i++) {
			addresses = vn_realloc_array(addresses, count + 1, sizeof(*addresses));
			addresses[count++] = member->addresses[i];
		}
	result = lifecycle_check_routes(vnode->daemon, spec, addresses, count, err);
	free(addresses);
	return result;
}
