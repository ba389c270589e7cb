#pragma once
/* Shapes as people read and write them. */

#include <jansson.h>

#include "proto/base/error.h"

/* "10Mbit 5ms±1ms loss 1%", or "none" for one that shapes nothing; to be freed. */
char *shape_text(json_t *shape);
/*
 * Takes "FIELD=VALUE" where FIELD is one of a shape's; an empty value is null: the field goes.
 * Returns whether it was one.
 */
bool shape_assign(json_t *shape, const char *assignment);
