#pragma once
/* What the files of check_apply share. */

#include "tests/unit/lab.h"

/* A document of n vnodes, n0 and on, in a ring of links, link0 and on; to be released. */
json_t *ring(const char *name, int n);
/* The member of a document's "vnodes" or "lans" with that name; borrowed. */
json_t *at(json_t *document, const char *kind, const char *name);

/* Applies and waits; nothing is left to do. */
void apply(struct lab *lab, json_t *document);
/* Whether the plan is empty. action, how: of its first action, unless they are NULL. */
bool plans(struct lab *lab, json_t *document, const char *action, const char *how);

void add_disk_cases(TCase *tcase);
void add_refusal_cases(TCase *tcase);
void add_request_cases(TCase *tcase);
