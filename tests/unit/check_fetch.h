#pragma once
/* What the files of check_fetch share; see also fetch_server.h and fetch_client.h. */

#include <check.h>

void add_resume_cases(TCase *tcase);
