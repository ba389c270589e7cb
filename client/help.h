#pragma once
/* Help texts, made from the verb and option tables. */

#include <stdio.h>

#include "client/verbs.h"

void help_all(FILE *to);
void help_verb(FILE *to, const struct verb *verb);
