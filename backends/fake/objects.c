/* Finding, making and freeing what a world holds. Lists are short enough to be searched. */
#include "backends/fake/model.h"

#include <string.h>

/* The newest first: that is what is mostly at work. */
#define FIND(type, list, member, test)                                                             \
	do {                                                                                       \
		vn_list_each_back(type, it, list, member)                                          \
			if (test)                                                                  \
				return it;                                                         \
		return NULL;                                                                       \
	} while (0)

struct bridge *
bridge_find(struct world *world, int64_t id)
{
	FIND(struct bridge, &world->bridges, link, it->id == id);
}

struct netns *
netns_find(struct world *world, int64_t vmid)
{
	FIND(struct netns, &world->namespaces, link, it->vmid == vmid);
}

struct port *
port_find(struct world *world, int64_t vmid, unsigned index)
{
	FIND(struct port, &world->ports, link, it->vmid == vmid && it->index == index);
}

struct guest *
guest_find(struct world *world, const char *domain)
{
	FIND(struct guest, &world->guests, link, strcmp(it->domain, domain) == 0);
}

struct guest *
guest_by_uuid(struct world *world, const char *uuid)
{
	FIND(struct guest, &world->guests, link, strcmp(it->uuid, uuid) == 0);
}

struct guest *
guest_by_vmid(struct world *world, int64_t vmid)
{
	FIND(struct guest, &world->guests, link, it->vmid == vmid && it->is_running);
}

struct past *
past_find(struct world *world, const char *uuid)
{
	FIND(struct past, &world->pasts, link, strcmp(it->uuid, uuid) == 0);
}

struct image *
fake_image_find(struct world *world, const char *sha256)
{
	FIND(struct image, &world->images, link, strcmp(it->sha256, sha256) == 0);
}

struct vdisk *
disk_find(struct world *world, int64_t vmid)
{
	FIND(struct vdisk, &world->disks, link, it->vmid == vmid);
}

struct url *
url_find(struct world *world, const char *address)
{
	FIND(struct url, &world->urls, link, strcmp(it->address, address) == 0);
}

struct past *
past_get(struct world *world, const char *uuid)
{
	struct past *past = past_find(world, uuid);

	if (past)
		return past;
	past = vn_alloc(sizeof(*past));
	past->uuid = vn_strdup(uuid);
	vn_list_append(&world->pasts, &past->link);
	return past;
}

bool
word_has(const struct vn_list *words, const char *kind, const char *text)
{
	vn_list_each(struct word, word, words, link)
		if (strcmp(word->kind, kind) == 0 && strcmp(word->text, text) == 0)
			return true;
	return false;
}

void
word_add(struct vn_list *words, const char *kind, const char *text)
{
	struct word *word = vn_alloc(sizeof(*word));

	word->kind = vn_strdup(kind);
	word->text = vn_strdup(text);
	vn_list_append(words, &word->link);
}

char **
words_copy(const struct vn_list *words, const char *kind)
{
	size_t count = 0;
	char **copy;

	vn_list_each(struct word, word, words, link)
		count += strcmp(word->kind, kind) == 0;
	copy = vn_alloc_array(count + 1, sizeof(*copy));
	count = 0;
	vn_list_each(struct word, word, words, link)
		if (strcmp(word->kind, kind) == 0)
			copy[count++] = vn_strdup(word->text);
	return copy;
}

void
bridge_free(struct bridge *bridge)
{
	vn_list_remove(&bridge->link);
	ways_free(bridge);
	free(bridge->uuid);
	free(bridge);
}

void
netns_free(struct netns *netns)
{
	vn_list_remove(&netns->link);
	free(netns->uuid);
	free(netns->netns);
	free(netns->userns);
	free(netns->routes);
	free(netns);
}

void
port_free(struct port *port)
{
	vn_list_remove(&port->link);
	free(port->uuid);
	free(port->ifname);
	free(port->addresses);
	free(port);
}

void
ports_free(struct world *world, int64_t vmid)
{
	vn_list_each_safe(struct port, port, &world->ports, link)
		if (port->vmid == vmid)
			port_free(port);
}

void
guest_free(struct guest *guest)
{
	vn_list_remove(&guest->link);
	free(guest->domain);
	free(guest->uuid);
	free(guest->title);
	free(guest->hostname);
	free(guest->dir);
	free(guest->init);
	free(guest);
}

void
past_free(struct past *past)
{
	vn_list_remove(&past->link);
	free(past->uuid);
	free(past->dir);
	free(past->boot_text);
	free(past);
}

void
injected_free(struct injected *file)
{
	free(file->path);
	free(file->text);
	free(file);
}

void
extra_free(struct vextra *extra)
{
	vn_list_remove(&extra->link);
	free(extra->uuid);
	free(extra->name);
	free(extra);
}

void
disk_free(struct vdisk *disk)
{
	vn_list_each_safe(struct injected, file, &disk->files, link)
		injected_free(file);
	vn_list_remove(&disk->link);
	free(disk->uuid);
	free(disk->image);
	free(disk->mount);
	free(disk);
}

void
fake_image_free(struct image *image)
{
	vn_list_remove(&image->link);
	free(image->sha256);
	free(image);
}

void
word_free(struct word *word)
{
	vn_list_remove(&word->link);
	free(word->kind);
	free(word->text);
	free(word);
}

void
url_free(struct url *url)
{
	vn_list_remove(&url->link);
	free(url->address);
	free(url->data);
	free(url);
}
