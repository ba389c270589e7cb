#pragma once
/* Parameters of each method, as the schema decodes them; one struct a shape, shared where equal. */

#include "proto/document.h"

/* What every method that changes things takes. */
struct change_params {
	bool wait;			/* answer when the job has ended */
	int64_t timeout_ms;		/* 0 = none */
	const char *request_id;		/* 1 to 64 bytes; NULL: none */
};

struct no_params {
	char unused;
};

struct host_change_params {
	struct change_params change;
	int64_t budget_ms;		/* host.halt: for all guests together; 0 = each its own grace time */
};

struct host_verify_params {
	const char *topology;		/* NULL: all of the host */
};

struct host_repair_params {
	struct change_params change;
	const char *topology;
};

struct vnode_params {			/* .get */
	const char *vnode;
};

struct vnode_change_params {		/* .boot .reboot .reload .mount .unmount */
	struct change_params change;
	const char *vnode;
};

struct vnode_halt_params {		/* .halt .destroy */
	struct change_params change;
	const char *vnode;
	bool force;			/* kill at once instead of asking first */
};

struct vnode_create_params {
	struct change_params change;
	const char *name;
	const char *topology;		/* NULL: "default" */
	struct doc_vnode spec;
};

struct vnode_set_params {
	struct change_params change;
	const char *vnode;
	json_t *set;			/* object of doc_vnode fields to change; null = back to the default */
	bool restart;			/* allow a restart where a field needs one */
};

struct vnode_list_params {
	const char *topology;
	struct field_array fields;	/* const char *: more fields of the vnode object */
	int64_t limit;			/* 0 = 1000 */
	int64_t after;			/* only VMIDs above this one */
};

/*
 * Without tty the answer {exit_code, signal} comes when the command has ended. With tty it comes at
 * once, as {"exec": N} with the terminal's master as its descriptor, and when the command has ended the
 * notification "exec" {"exec": N, "exit_code": …, "signal": …} follows on the same connection.
 */
struct vnode_exec_params {
	const char *vnode;
	struct field_array argv, env;	/* const char * */
	const char *cwd, *user;
	bool tty;
	int stdio;			/* enum exec_stdio */
	const char *input;		/* capture: base64 for stdin */
};
enum exec_stdio { STDIO_FDS, STDIO_CAPTURE };
extern const char *const stdio_words[];	/* fds capture */

struct vnode_wait_params {
	const char *vnode;
	struct field_array observed;	/* const char *: states, any of which ends the wait */
	int64_t timeout_ms;
};

struct lan_params {			/* .get */
	const char *lan;
};

struct lan_list_params {
	const char *topology;
};

struct lan_change_params {		/* .up .down; member: only this vnode's port */
	struct change_params change;
	const char *lan;
	const char *member;
};

struct lan_set_member {
	const char *key;			/* name of a vnode */
	json_t *to, *from;			/* as lan_set_params.shape */
};

struct lan_set_params {
	struct change_params change;
	const char *lan;
	int64_t mtu;				/* 0: stays */
	json_t *shape;				/* fields of doc_shape that change; null takes one away */
	struct field_array members;		/* struct lan_set_member */
};

struct lan_probe_params {
	struct change_params change;
	const char *lan;
	struct field_array members;		/* const char *: two vnodes; none: round the whole LAN */
	int64_t seconds;			/* for each of delay, loss and rate; 0 = 3 */
};

struct lan_schedule_params {
	struct change_params change;
	const char *lan;
	json_t *schedule;			/* array of doc_entry; empty: none */
};

struct topology_params {		/* .get .export */
	const char *topology;
};

struct topology_change_params {		/* .delete */
	struct change_params change;
	const char *topology;
};

struct topology_apply_params {
	struct change_params change;
	json_t *document;
	struct field_array sources;	/* const char *: of the files, in the order of their descriptors */
	bool prune;			/* destroy vnodes and LANs that the document no longer names */
	bool allow_recreate;		/* permit changes that need a fresh disk */
};

struct topology_plan_params {
	json_t *document;
	struct field_array sources;
	bool prune;
	bool allow_recreate;
};

struct image_params {			/* .get */
	const char *image;
};

struct image_change_params {		/* .remove */
	struct change_params change;
	const char *image;
};

struct image_add_params {
	struct change_params change;
	const char *image, *name;	/* exactly one: `name` is an older word for `image` */
	const char *url;		/* http, https or file; or NULL with fd or source */
	const char *source, *file;	/* below import_dir; `file` is an older word for `source` */
	int64_t fd;			/* index of the passed descriptor; -1: none */
	const char *sha256;		/* required unless insecure_no_digest */
	bool insecure_no_digest;
	int format;			/* index into image_format_words; 0: detected */
	const char *base;		/* image that it is a layer on; NULL: none */
};

struct image_capture_params {
	struct change_params change;
	const char *vnode, *name;
	bool delta;			/* a layer on the vnode's image */
};

struct image_prune_params {
	struct change_params change;
	uint64_t older_than_ns;		/* 0: any */
	uint64_t keep_bytes;		/* 0: none */
	bool dry_run;
};

struct job_params {			/* .get */
	int64_t job;
};

struct job_wait_params {
	int64_t job;
	int64_t timeout_ms;
};

struct job_list_params {
	bool all;			/* ended ones too */
	int64_t limit;			/* 0 = 100 */
	int64_t before;			/* only ids below this one; 0 = newest first from the end */
};

struct event_list_params {
	int64_t since;			/* events with a seq above this one */
	int64_t limit;			/* 0 = 1000 */
	struct field_array types;	/* const char * */
	const char *topology;
};

struct event_subscribe_params {
	int64_t since;			/* -1: only what comes */
	struct field_array types;
	const char *topology;
	bool snapshot;			/* answer with the vnode list valid at `seq` */
};

struct event_unsubscribe_params {
	int64_t subscription;
};

/* The table of each: <struct>_fields. */
extern const struct field change_params_fields[];
extern const struct field no_params_fields[];
extern const struct field host_change_params_fields[];
extern const struct field host_verify_params_fields[];
extern const struct field host_repair_params_fields[];
extern const struct field vnode_params_fields[];
extern const struct field vnode_change_params_fields[];
extern const struct field vnode_halt_params_fields[];
extern const struct field vnode_create_params_fields[];
extern const struct field vnode_set_params_fields[];
extern const struct field vnode_list_params_fields[];
extern const struct field vnode_exec_params_fields[];
extern const struct field vnode_wait_params_fields[];
extern const struct field lan_params_fields[];
extern const struct field lan_list_params_fields[];
extern const struct field lan_change_params_fields[];
extern const struct field lan_set_params_fields[];
extern const struct field lan_probe_params_fields[];
extern const struct field lan_schedule_params_fields[];
extern const struct field topology_params_fields[];
extern const struct field topology_change_params_fields[];
extern const struct field topology_apply_params_fields[];
extern const struct field topology_plan_params_fields[];
extern const struct field image_params_fields[];
extern const struct field image_change_params_fields[];
extern const struct field image_add_params_fields[];
extern const struct field image_capture_params_fields[];
extern const struct field image_prune_params_fields[];
/* What an image may be, as in the backends' enum image_format; the first: it is found out. */
extern const char *const image_format_words[];
extern const struct field job_params_fields[];
extern const struct field job_wait_params_fields[];
extern const struct field job_list_params_fields[];
extern const struct field event_list_params_fields[];
extern const struct field event_subscribe_params_fields[];
extern const struct field event_unsubscribe_params_fields[];
