#pragma once
/* What the files of check_capture share; see also capture_vnode.h. */

#include <check.h>

/* Each in a world with the backend open and a folder "archives". */
void add_type_cases(TCase *tcase);
void add_refusal_cases(TCase *tcase);
