#pragma once
/* SSH host keys that follow from a secret, in the formats of OpenSSH. Thread: any. */

#include <stddef.h>
#include <stdint.h>

#define HOST_KEY_SECRET 32		/* bytes */

enum host_key_kind { HOST_KEY_ED25519, HOST_KEY_ECDSA };
#define HOST_KEY_KINDS 2
extern const char *const host_key_words[HOST_KEY_KINDS];	/* ed25519 ecdsa */

/*
 * The key of `name` (a vnode's uuid): always the same for the same secret, and nothing about it or the
 * secret can be told from other keys.
 *
 * comment: stands at the end of the public line.
 * ret_private, ret_public: files as sshd reads them (NULL: not wanted); to be freed.
 */
void host_key_make(const uint8_t secret[static HOST_KEY_SECRET], enum host_key_kind kind, const char *name,
		   const char *comment, char **ret_private, char **ret_public);

/* 128 bits that follow from the secret in the same way, as 32 hexadecimal digits. */
void host_key_machine_id(const uint8_t secret[static HOST_KEY_SECRET], const char *name, char ret[static 33]);
