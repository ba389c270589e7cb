#pragma once
/* What the files of the model share; no one else includes it. `_make` builds an object without a row,
 * `_free` forgets one without touching its row. */

#include "daemon/model.h"

struct topology *topology_make(struct daemon *daemon, int64_t id, const char *name);
void topology_free(struct topology *topology);
void topology_adopt_fields(struct topology *topology, const struct document *document);

struct vnode *vnode_make(struct topology *topology, int64_t vmid, const char *name,
			 const char *uuid);
void vnode_free(struct vnode *vnode);
void vnode_adopt_spec(struct vnode *vnode, const struct doc_vnode *spec);
int vnodes_load(struct daemon *daemon, struct vn_error *err);

struct lan *lan_make(struct topology *topology, int64_t id, const char *name, const char *uuid);
void lan_free(struct lan *lan);
void member_free(struct member *member);
int lans_load(struct daemon *daemon, struct vn_error *err);

struct image *image_make(struct daemon *daemon, const char *name);
void image_free(struct image *image);
int images_load(struct daemon *daemon, struct vn_error *err);
