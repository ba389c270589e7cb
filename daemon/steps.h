#pragma once
/* The steps that vnode verbs are made of; each with libvnode's name in the tables of lifecycle.c. */

#include "daemon/task.h"

/* worker steps; ctx begins with a struct task */
step_fn step_create, undo_create, step_extras, step_pre_config, undo_pre_config, step_control_network, undo_network,
	step_exp_network, step_devices, undo_devices, step_forward_ports, undo_forward_ports, step_boot,
	undo_boot, step_halt, step_unforward, step_unmount, step_reload, step_destroy, step_mount, undo_mount,
	step_set_limits;

/* Whether a job has anything to do in a step. Undoing does not ask: more may stand than the job has made. */
bool needs_extras(const void *ctx), needs_pre_config(const void *ctx), needs_control_network(const void *ctx),
	needs_exp_network(const void *ctx), needs_forwards(const void *ctx), needs_boot(const void *ctx),
	needs_halt(const void *ctx), needs_unforward(const void *ctx);

/* loop steps */
step_fn step_image, step_resolve, undo_resolve, step_respec, undo_respec, step_network_done, step_resources, step_post_config, undo_post_config,
	step_begin_halt, step_begin_boot;

/* To be asked between two calls of one step: false, with err, when the job has given the step up. */
bool step_goes_on(const struct task *task, struct vn_error *err);
/* The vnode of a job; NULL when it is gone. */
struct vnode *job_vnode(const struct job *job);
