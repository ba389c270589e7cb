/* The machine itself: its birth and end, and what tests do to it from outside. */
#include "backends/fake/model.h"

#include <string.h>

#define FAKE_PID_FIRST 5000000		/* above Linux's pid_max: no real process is ever meant */

static void
init_lists(struct world *world)
{
	struct vn_list *const lists[] = {
		&world->bridges, &world->namespaces, &world->ports, &world->rules,
		&world->reservations, &world->guests, &world->pasts, &world->watches,
		&world->execs, &world->consoles, &world->fetches, &world->images,
		&world->disks, &world->extras, &world->trash, &world->foreign,
		&world->lacks, &world->urls, &world->handles, &world->messages, &world->faults,
		&world->delays,
	};

	for (size_t i = 0; i < VN_COUNT(lists); i++)
		vn_list_init(lists[i]);
}

struct world *
world_new(void)
{
	struct world *world = vn_alloc(sizeof(*world));

	init_lists(world);
	pthread_mutex_init(&world->lock, NULL);
	pthread_cond_init(&world->changed, NULL);
	world->link_is_up = true;
	world->next_pid = FAKE_PID_FIRST;
	world->next_serial = 1;
	vn_uuid_new(world->boot_id);
	return world;
}

/* Everything that only lives in memory and in the kernel: what a power cut takes. */
static void
clear_running(struct world *world)
{
	vn_list_each_safe(struct guest, guest, &world->guests, link)
		guest_free(guest);
	vn_list_each_safe(struct bridge, bridge, &world->bridges, link)
		bridge_free(bridge);
	vn_list_each_safe(struct netns, netns, &world->namespaces, link)
		netns_free(netns);
	vn_list_each_safe(struct port, port, &world->ports, link)
		port_free(port);
	vn_list_each_safe(struct rule, rule, &world->rules, link) {
		vn_list_remove(&rule->link);
		free(rule);
	}
	vn_list_each(struct vdisk, disk, &world->disks, link) {
		free(disk->mount);
		disk->mount = NULL;
	}
	vn_list_each(struct vextra, extra, &world->extras, link)
		extra->is_mounted = false;
	world->net_is_up = world->disk_is_up = false;
}

static void
clear_lasting(struct world *world)
{
	vn_list_each_safe(struct past, past, &world->pasts, link)
		past_free(past);
	vn_list_each_safe(struct image, image, &world->images, link)
		fake_image_free(image);
	vn_list_each_safe(struct vdisk, disk, &world->disks, link)
		disk_free(disk);
	vn_list_each_safe(struct vextra, extra, &world->extras, link)
		extra_free(extra);
	vn_list_each_safe(struct word, trash, &world->trash, link)
		word_free(trash);
	vn_list_each_safe(struct word, foreign, &world->foreign, link)
		word_free(foreign);
	vn_list_each_safe(struct word, lack, &world->lacks, link)
		word_free(lack);
	vn_list_each_safe(struct url, url, &world->urls, link)
		url_free(url);
}

static void
clear_faults(struct world *world)
{
	vn_list_each_safe(struct fault, fault, &world->faults, link) {
		vn_list_remove(&fault->link);
		free(fault->op);
		free(fault);
	}
}

void
world_free(struct world *world)
{
	if (!world)
		return;
	messages_free(world);
	life_end(world);
	clear_running(world);
	clear_lasting(world);
	clear_faults(world);
	vn_list_each_safe(struct delay, delay, &world->delays, link) {
		free(delay->op);
		free(delay);
	}
	free(world->routes);
	free(world->first_wrong_order);
	free(world->log);
	pthread_cond_destroy(&world->changed);
	pthread_mutex_destroy(&world->lock);
	free(world);
}

void
world_reboot_machine(struct world *world)
{
	pthread_mutex_lock(&world->lock);
	life_end(world);
	clear_running(world);
	world->link_is_up = true;
	vn_uuid_new(world->boot_id);
	pthread_mutex_unlock(&world->lock);
}

const char *
world_boot_id(struct world *world)
{
	return world->boot_id;
}

static void
add_foreign(struct world *world, const char *kind, const char *text)
{
	pthread_mutex_lock(&world->lock);
	word_add(&world->foreign, kind, text);
	pthread_mutex_unlock(&world->lock);
}

static void
add_foreign_number(struct world *world, const char *kind, int64_t number)
{
	vn_autofree char *text = vn_format("%lld", (long long)number);

	add_foreign(world, kind, text);
}

void
world_foreign_port(struct world *world, uint16_t port)
{
	add_foreign_number(world, "port", port);
}

void
world_foreign_lan(struct world *world, int64_t lan)
{
	add_foreign_number(world, "lan", lan);
}

void
world_foreign_guest(struct world *world, const char *domain)
{
	add_foreign(world, "guest", domain);
}

void
world_foreign_route(struct world *world, const struct vn_cidr *network)
{
	pthread_mutex_lock(&world->lock);
	world->routes = vn_realloc_array(world->routes, world->n_routes + 1,
					 sizeof(*world->routes));
	world->routes[world->n_routes++] = *network;
	pthread_mutex_unlock(&world->lock);
}

void
world_lacks(struct world *world, const char *contract, const char *sentence)
{
	pthread_mutex_lock(&world->lock);
	word_add(&world->lacks, contract, sentence);
	pthread_mutex_unlock(&world->lock);
}

void
world_probe_error(struct world *world, double share)
{
	pthread_mutex_lock(&world->lock);
	world->probe_error = share;
	pthread_mutex_unlock(&world->lock);
}

void
world_disk_full(struct world *world, bool full)
{
	pthread_mutex_lock(&world->lock);
	world->is_full = full;
	pthread_mutex_unlock(&world->lock);
}

void
world_image(struct world *world, const char *sha256, uint64_t bytes)
{
	struct image *image = vn_alloc(sizeof(*image));

	image->sha256 = vn_strdup(sha256);
	image->facts = (struct image_facts){ .bytes = bytes, .format = IMAGE_TAR };
	pthread_mutex_lock(&world->lock);
	vn_list_append(&world->images, &image->link);
	pthread_mutex_unlock(&world->lock);
}

char *
world_file(struct world *world, int64_t vmid, const char *path)
{
	struct vdisk *disk;
	char *text = NULL;

	pthread_mutex_lock(&world->lock);
	disk = disk_find(world, vmid);
	if (disk)
		vn_list_each(struct injected, file, &disk->files, link)
			if (strcmp(file->path, path) == 0)
				text = vn_strdup(file->text);
	pthread_mutex_unlock(&world->lock);
	return text;
}

void
world_fault_clear(struct world *world)
{
	pthread_mutex_lock(&world->lock);
	clear_faults(world);
	pthread_mutex_unlock(&world->lock);
}
