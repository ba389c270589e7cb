/* Who is called what, for the guests of a topology. */
#include "daemon/hosts.h"

#include <stdio.h>
#include <string.h>

#include "backends/digest.h"

void
hosts_name(const struct vnode *vnode, char text[static VN_NAME_MAX + 1])
{
	snprintf(text, VN_NAME_MAX + 1, "%s", vnode->name);
	for (char *at = text; *at; at++)
		if (*at == '_')
			*at = '-';
}

static void
put_line(FILE *out, const struct vnode *vnode, const struct vn_cidr *cidr)
{
	const char *domain = vnode->topology->document.domain;
	char name[VN_NAME_MAX + 1], address[INET6_ADDRSTRLEN];

	hosts_name(vnode, name);
	vn_cidr_print_address(cidr, address);
	if (domain)
		fprintf(out, "%s\t%s.%s %s\n", address, name, domain, name);
	else
		fprintf(out, "%s\t%s\n", address, name);
}

static void
put_member(FILE *out, const struct member *member)
{
	for (unsigned i = 0; i < member->n_addresses; i++)
		put_line(out, member->vnode, &member->addresses[i]);
}

/* The control network reaches everyone; other LANs come last, since only routers lead to them. */
static char *
build(const struct topology *topology)
{
	char *text = NULL;
	size_t size;
	FILE *out = open_memstream(&text, &size);

	if (!out)
		abort();
	vn_list_each(struct vnode, vnode, &topology->vnodes, in_topology) {
		struct vn_cidr control[2];

		vnode_control_addresses(vnode, &control[0], &control[1]);
		for (int i = 0; i < 2; i++)
			if (control[i].family)
				put_line(out, vnode, &control[i]);
	}
	vn_list_each(struct vnode, vnode, &topology->vnodes, in_topology)
		vn_list_each(struct member, member, &vnode->members, in_vnode)
			put_member(out, member);
	fclose(out);
	return text;
}

struct hosts_block *
hosts_block_get(struct topology *topology)
{
	struct hosts_block *block = topology->hosts;
	struct digest *sha;

	if (!block) {
		block = topology->hosts = vn_alloc(sizeof(*block));
		block->refs = 1;	/* the topology's own */
		block->text = build(topology);
		sha = digest_new();
		digest_update(sha, block->text, strlen(block->text));
		digest_print(sha, block->digest);
		digest_free(sha);
	}
	__atomic_add_fetch(&block->refs, 1, __ATOMIC_RELAXED);
	return block;
}

void
hosts_block_unref(struct hosts_block *block)
{
	if (!block || __atomic_sub_fetch(&block->refs, 1, __ATOMIC_ACQ_REL))
		return;
	free(block->text);
	free(block);
}

void
hosts_touch(struct topology *topology)
{
	hosts_block_unref(vn_take_ptr(&topology->hosts));
}

const char *
hosts_near(struct vn_arena *arena, const struct vnode *vnode)
{
	char *text = NULL;
	const char *copy;
	size_t size;
	FILE *out = open_memstream(&text, &size);

	if (!out)
		abort();
	vn_list_each(struct member, mine, &vnode->members, in_vnode)
		vn_list_each(struct member, member, &mine->lan->members, in_lan)
			put_member(out, member);
	fclose(out);
	copy = vn_arena_strdup(arena, text);
	free(text);
	return copy;
}

char *
hosts_file(const char *near, const struct hosts_block *block)
{
	return vn_format("127.0.0.1\tlocalhost\n::1\tlocalhost ip6-localhost ip6-loopback\n%s%s", near,
			 block->text);
}
