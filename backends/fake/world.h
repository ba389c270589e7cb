#pragma once
/*
 * A machine in memory: what the fake backends make exists here and outlives the daemon that made it.
 * Tests throw a daemon's objects away, open new ones on the same world and see what recovery does;
 * they also make calls fail, hang or die half way, and play what guests and the hypervisor do.
 *
 * Ops are named "<contract>.<member>": "net.ports_up", "compute.start", "disk.image_unpack",
 * "fetch.start". A wrong order (ports without namespaces, a start without a mounted root or over a dead
 * domain, rules without their reservation, removing what is mounted, in use or running…) fails with
 * VN_E_INTERNAL and a sentence that begins "wrong order:"; world_wrong_orders() counts them.
 *
 * A *life* is what one daemon process can do: all backends opened between two ends of a life. It ends
 * with world_thaw() or world_reboot_machine(); from then on every call on those handles fails with
 * VN_E_INTERNAL, their events are silent, and what only a process holds (port reservations, watches,
 * downloads) is gone. Handles of the next life are opened after it.
 *
 * Threads: every function may be called from any thread. Events reach the daemon only by post.
 */

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "backends/backend.h"

struct world;

/* ---- the machine ----------------------------------------------------------------------------- */

struct world *world_new(void);
/* All handles must be closed before. NULL is fine. */
void world_free(struct world *world);

/*
 * The world that backends opened from now on live in; NULL: none. A backend opened with none shares
 * a private, empty one with the others that are open; there is no log in that one.
 */
void world_use(struct world *world);

/* The power goes and comes back: guests, namespaces, ports, bridges, mounts, rules and the host
 * set-up are gone, disks, images and trash stay. Ends the life; another boot id. */
void world_reboot_machine(struct world *world);
const char *world_boot_id(struct world *world);		/* uuid; valid until the next reboot */

/* libvirtd stops answering or is back: compute calls fail with VN_E_BACKEND, on_link tells. Guests
 * live on, and watch, is_alive and exec go on working. */
void world_link(struct world *world, bool up);
/* What pinned the namespaces of all vnodes is gone, and with it their ports; guests live on. */
void world_lose_namespaces(struct world *world);
/* Another program holds this host port: forward_reserve says VN_E_EXISTS. */
void world_foreign_port(struct world *world, uint16_t port);
/* A bridge "l<lan>" or a domain that is not ours stands in the way: VN_E_EXISTS. */
void world_foreign_lan(struct world *world, int64_t lan);
void world_foreign_guest(struct world *world, const char *domain);
/* The host has a route to this network: net.host_up says VN_E_EXISTS where it overlaps. */
void world_foreign_route(struct world *world, const struct vn_cidr *network);
/* net.probe finds rates and delays higher by this share (negative: lower) than the ports' shapes say. */
void world_probe_error(struct world *world, double share);
/* The host has a network device; its default route may lead through it. */
void world_device(struct world *world, const char *name, bool has_default_route);
void world_device_gone(struct world *world, const char *name);
/* The host has an address: a tunnel to it leads to another LAN of the host. */
void world_address(struct world *world, const char *address);
/* No space left: what writes to disk fails with VN_E_LIMIT, free_bytes is 0. */
void world_disk_full(struct world *world, bool full);
/* A sentence that `missing` of "compute", "net" or "disk" reports from now on. */
void world_lacks(struct world *world, const char *contract, const char *sentence);

/*
 * A foreign hand changes one thing: "<object> <deed> [word]", as "v1e1 mtu 900", "v1e1 del", "l2 del",
 * "n1 unroute", "f2201 guest 99", "u down"; all deeds are in meddle.c. Whoever watches the network is told.
 * False: there is no such thing, or no such deed.
 */
bool world_meddle(struct world *world, const char *text);

/* ---- guests ---------------------------------------------------------------------------------- */

/*
 * A running guest ends by itself. Its watch tells on_exit; without one (no daemon, or a frozen one)
 * it is remembered like vnode-init's status file and told to the next watch. The domain stays
 * GUEST_DEAD until compute.stop. False: no such guest runs.
 */
bool world_guest_exit(struct world *world, const char *uuid, const struct guest_exit *exit);
/* The hypervisor forgets a dead guest (libvirt does after 200 ms): from GUEST_DEAD to GUEST_ABSENT. */
void world_guest_forget(struct world *world, const char *uuid);
/* This vnode's guests do not react to a polite request: stop has to kill. */
void world_ignore_term(struct world *world, const char *uuid);
bool world_guest_runs(struct world *world, const char *uuid);
/* Who runs; false and a zeroed *ret: nobody. */
bool world_guest_id(struct world *world, const char *uuid, struct guest_id *ret);
/* How often guests of this vnode were really started; 0 for unknown ones. */
unsigned world_guest_starts(struct world *world, const char *uuid);
/* The text of a file injected into a vnode's disk, to be freed; NULL: none. */
char *world_file(struct world *world, int64_t vmid, const char *path);

/* ---- images and downloads -------------------------------------------------------------------- */

/*
 * An archive is any file: its size is the unpacked size too. An empty one, or one that begins with
 * "broken", is refused by image_unpack with VN_E_INVALID.
 */

/* A finished image, as if unpacked earlier. */
void world_image(struct world *world, const char *sha256, uint64_t bytes);

/* What a URL answers: these bytes (copied; the file is really written), or a failure half way.
 * Unknown ones end with VN_E_BACKEND as a 404 does. */
void world_url(struct world *world, const char *url, const void *data, size_t size);
void world_url_fail(struct world *world, const char *url, enum vn_code code);
/* A held URL sends half of its bytes and then waits until it is let go (or cancelled). */
void world_url_hold(struct world *world, const char *url, bool hold);

/* ---- faults ---------------------------------------------------------------------------------- */

enum world_action {
	WORLD_FAIL,		/* fails with `code` and leaves nothing */
	WORLD_FAIL_AFTER,	/* takes effect and reports `code` all the same */
	WORLD_HANG,		/* waits for world_release and then takes effect: late success */
	WORLD_HANG_AFTER,	/* takes effect and then waits for world_release */
};

struct world_fault {
	const char *op;			/* or "*": every op that changes something */
	int64_t vmid;			/* 0 = any; for "net.lan_up" and "net.lan_down" the LAN id */
	unsigned nth;			/* of the matching calls from now on; 0 = every */
	enum world_action action;
	enum vn_code code;
};

void world_fault_add(struct world *world, const struct world_fault *fault);
/* Takes all faults away; calls that hang stay until world_release. */
void world_fault_clear(struct world *world);

/* The usual ones, for any vnode. */
void world_fail(struct world *world, const char *op, unsigned nth, enum vn_code code);
void world_fail_after(struct world *world, const char *op, unsigned nth, enum vn_code code);
/* Only ops that run on a worker can hang. Closing the backend ends a hanging call too, and so do
 * world_freeze and world_thaw; a pool that joins its workers first needs one of them before. */
void world_hang(struct world *world, const char *op, unsigned nth);
/* Lets every hanging call go on; calls that come later hang again if a fault says so. */
void world_release(struct world *world);
unsigned world_hanging(struct world *world);		/* calls that hang now */
void world_await_hang(struct world *world);		/* blocks until at least one does */

/* Every call of `op` (or "*") takes that long; on workers only. */
void world_delay(struct world *world, const char *op, unsigned microseconds);

enum world_point {
	WORLD_BEFORE,		/* the call has no effect */
	WORLD_AMID,		/* half of it: one port of several, partial image, disk in trash */
	WORLD_AFTER,		/* the whole effect, but the daemon never hears of it */
};

/*
 * kill -9 at the kth changing call (1 = the next one): it and all later calls of this life fail with
 * VN_E_INTERNAL and the text "frozen". Ops without an inside treat WORLD_AMID as WORLD_BEFORE.
 */
void world_freeze_at(struct world *world, unsigned k, enum world_point point);
void world_freeze(struct world *world);			/* at once */
/* Called when it happens, on the thread of that call, with the world locked: it may stop the store
 * from committing, but must not call into the world. */
void world_on_freeze(struct world *world, void (*fn)(void *arg), void *arg);
bool world_is_frozen(struct world *world);
/* Ends the life and the freezing (an untriggered world_freeze_at too). */
void world_thaw(struct world *world);

/* ---- looking --------------------------------------------------------------------------------- */

/* Whether nothing of any vnode or LAN is left. Finished images and the host set-up do not count.
 * If not, `text` lists what is there. */
bool world_is_empty(struct world *world, char *text, size_t size);
/* The same, with nothing left at all: after host.teardown and the removal of all images. */
bool world_is_bare(struct world *world, char *text, size_t size);
/*
 * Everything that exists, without what differs between two equal histories (pids, inodes): equal
 * worlds are json_equal(). Port reservations are in it only while their life lasts.
 */
json_t *world_describe(struct world *world);
/* The same as indented text with sorted keys, to be freed. */
char *world_text(struct world *world);

unsigned world_calls(struct world *world);		/* changing calls so far */
unsigned world_count(struct world *world, const char *op);	/* calls of one op */
/* All calls in order: "net.ports_up 7", "disk.host_up", failed ones as "net.ports_up 7: timeout". */
json_t *world_log(struct world *world);
void world_log_clear(struct world *world);
unsigned world_wrong_orders(struct world *world);
/* What the first of them was, to be freed; NULL: there was none. */
char *world_wrong_order(struct world *world);
