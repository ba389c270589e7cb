#pragma once
/* vnoded.conf(5): "key = value" lines, # comments. One table of keys in config.c. */

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>

#include "proto/base/arena.h"
#include "proto/base/error.h"
#include "proto/base/ident.h"

struct config {
	const char *instance_name;	/* "vnoded": shown to people */
	const char *state_dir;		/* /var/lib/vnoded */
	const char *run_dir;		/* /run/vnoded */
	const char *socket;		/* <run_dir>/vnoded.sock */
	const char *libexec_dir;
	const char *fabric;		/* "vnoded" */
	const char *nft_table;		/* "vnoded" */
	const char *libvirt_uri;	/* "lxc:///system" */
	const char *import_dir;		/* files that a client may name; NULL: none */
	const char *control_network;	/* "198.18.0.0/16" */
	const char *control_network6;	/* NULL: fd00::/8 prefix made from the instance's uuid */
	uint64_t control_isolation;	/* 0 or 1 */
	const char *control_nat_except;	/* see config_next_network(); NULL: none */
	const char *default_backend;	/* "lxc" */
	const char *default_image;	/* NULL: none */
	const char *disk;		/* a word of disk_type_words: "overlay" */
	const char *lvm_group, *lvm_pool;	/* of disks of type lvm-thin; NULL: none */
	const char *log_level;		/* error warning info debug */
	int64_t event_keep;		/* 100,000 */
	int64_t job_keep;		/* ended jobs kept: 10,000 */
	int64_t max_clients;		/* connections: 1,024 */
	int64_t max_clients_per_uid;	/* 256; uid 0 is not counted */
	int64_t max_requests_per_client;/* unanswered at a time: 1,024 */
	uint64_t max_output_bytes;	/* unread answers and events of one client: 32 MiB */
	int64_t boot_width;		/* most guests started at a time: 8 */
	uint64_t grace_ns;		/* asking before killing, where a vnode does not say: 10 s */
	uint64_t step_timeout_ns;	/* a worker step's deadline: 120 s */
	int64_t pids_default;		/* 4,096 */
	uint64_t console_bytes;		/* 256 KiB */
	uint64_t image_limit_bytes;	/* archive: 16 GiB */
	uint64_t image_unpacked_bytes;	/* 64 GiB */
	int64_t image_entries;		/* 2,000,000 */
	uint64_t image_stall_ns;	/* 30 s */
	uint64_t image_slowest_bytes;	/* a second; 1 KiB */
	int64_t image_retries;		/* 5 */
	uint64_t image_retry_wait_ns;	/* 1 s */
	uint64_t image_part_keep_ns;	/* a week */
	uint64_t image_storage_bytes;	/* 0: no limit */
	int64_t restart_limit;		/* restarts within the window before giving up: 10 */
	uint64_t restart_window_ns;	/* 10 min */
	uint64_t restart_delay_ns;	/* first back-off: 250 ms, doubles up to 30 s */
	bool has_socket;		/* `socket` was set, so it does not follow run_dir */
	struct vn_arena arena;		/* holds the strings */
};

/* Fills in every default. */
void config_init(struct config *config);
/*
 * Reads a file over what is there. Errors: VN_E_NOT_FOUND; VN_E_INVALID with "file:line: " before a
 * sentence that names the key (unknown: the nearest one) and what is expected.
 */
int config_read(struct config *config, const char *path, struct vn_error *err);
/* Sets one key from the command line ("key=value"). Errors: VN_E_INVALID. */
int config_set(struct config *config, const char *assignment, struct vn_error *err);
void config_fini(struct config *config);
#define CONFIG_NETWORK_TEXT 64
/* Cuts the next network out of a list, from *at on; false at its end. */
bool config_next_network(const char **at, char ret[static CONFIG_NETWORK_TEXT]);
/* The key table as JSON [{key, kind, preset, help, reload}], for the man page's test. */
json_t *config_describe(void);
/* Takes over from `fresh` the keys that may change while running (SIGHUP); names of changed keys that
 * need a restart are written to text. */
void config_reload(struct config *config, const struct config *fresh, char *text, size_t size);
