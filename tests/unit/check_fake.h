#pragma once
/* What the files of check_fake share: a machine of fakes in a world, and vnode 7, which lives on it. */

#include <check.h>

#include "backends/fake/world.h"
#include "tests/conform.h"

#define OK(call) ck_assert_msg((call) == 0, #call ": %s", err.text)
#define REFUSED(call, wanted)                                                                      \
	do {                                                                                       \
		err = (struct vn_error){ .code = VN_OK };                                          \
		ck_assert_msg((call) == -1, #call " succeeded");                                   \
		ck_assert_msg(err.code == (wanted), #call ": %s", err.text);                       \
	} while (0)

/* Each test has them afresh. */
extern struct world *world;
extern struct machine m;
extern struct subject s;
extern struct vn_error err;
extern const struct guest_file files[2];	/* what is injected */

int unpack(void);
int start(void);
/* From nothing to a running guest; stops at the first failure, as a job does. */
int bring_up(void);
int bring_down(void);
/* Nothing of ours is left in the world. */
void assert_empty(void);

void add_world_cases(TCase *tcase);
void add_thread_cases(TCase *tcase);
