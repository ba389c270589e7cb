#pragma once
/* Text that goes into JSON must be UTF-8; what came from outside or was cut may not be. */

/* Puts a question mark in the place of every byte that belongs to no UTF-8 character. */
void vn_utf8_mend(char *text);
