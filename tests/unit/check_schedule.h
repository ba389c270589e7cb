#pragma once
/* What the files of check_schedule share: the topology "t" with vnodes a, b, c in the LAN "l". */

#include "tests/unit/lab.h"

#define STEP "[{\"after\":\"10s\",\"shape\":{\"rate\":\"1Mbit\"}}]"
#define DOCUMENT(schedule) "{\"topology\":\"t\",\"vnodes\":{\"a\":{},\"b\":{},\"c\":{}},\"lans\":{\"l\":{\"shape\":" \
	"{\"rate\":\"10Mbit\",\"delay\":\"1ms\"},\"members\":{\"a\":{},\"b\":{},\"c\":{}}" schedule "}}}"

/* The text as JSON, or the test fails; to be released. */
json_t *parse(const char *text);
/* Applies the text of a document. */
void apply(struct lab *lab, const char *text);
/* The schedule of the LAN "l". */
void set_schedule(struct lab *lab, const char *text);
/* A lab with the document without a schedule. */
struct lab *star(void);
/* Lets time pass and everything that it brings. */
void pass(struct lab *lab, uint64_t ms);

/* What the world has of a vnode's experiment port. */
double rate_of(struct lab *lab, const char *vnode);
bool is_up(struct lab *lab, const char *vnode);

/* A field of the i-th entry in the order of time; a new reference. */
json_t *entry_field(struct lab *lab, size_t i, const char *field);
void check_state(struct lab *lab, size_t i, const char *state);
/* How many firings the event log tells of. */
unsigned count_fired(struct lab *lab);

void add_refusal_cases(TCase *tcase);
void add_end_cases(TCase *tcase);
