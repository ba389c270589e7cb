#pragma once
/* Kernel modules by libkmod; the one place that includes it. */

/* Loads each (NULL-terminated) that is neither built in nor loaded; failures are not errors: what is
 * really missing is found by the probes, which name it. Thread: worker. */
void modules_load(const char *const *names);
