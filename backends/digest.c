/* SHA-256 by libcrypto. No call here can fail but for want of memory, which ends the process. */
#include "backends/digest.h"

#include <openssl/evp.h>
#include <stdio.h>
#include <string.h>

#include "proto/base/mem.h"

struct digest {
	EVP_MD_CTX *context;
};

static void
begin(struct digest *digest)
{
	if (EVP_DigestInit_ex(digest->context, EVP_sha256(), NULL) != 1)
		abort();
}

struct digest *
digest_new(void)
{
	struct digest *digest = vn_alloc(sizeof(*digest));

	digest->context = EVP_MD_CTX_new();
	if (!digest->context)
		abort();
	begin(digest);
	return digest;
}

void
digest_free(struct digest *digest)
{
	if (!digest)
		return;
	EVP_MD_CTX_free(digest->context);
	free(digest);
}

void
digest_update(struct digest *digest, const void *data, size_t size)
{
	if (EVP_DigestUpdate(digest->context, data, size) != 1)
		abort();
}

void
digest_print(struct digest *digest, char text[static DIGEST_TEXT])
{
	uint8_t bytes[32];

	if (EVP_DigestFinal_ex(digest->context, bytes, NULL) != 1)
		abort();
	for (size_t i = 0; i < sizeof(bytes); i++)
		snprintf(text + 2 * i, 3, "%02x", bytes[i]);
	begin(digest);
}

void
digest_bytes(const void *data, size_t size, uint8_t ret[static 32])
{
	if (EVP_Digest(data, size, ret, NULL, EVP_sha256(), NULL) != 1)
		abort();
}

struct vn_mac
digest_mac(const char *uuid, unsigned n)
{
	struct vn_mac mac = { { 0x02 } };
	uint8_t bytes[32];
	char text[VN_UUID_TEXT + 16];

	snprintf(text, sizeof(text), "%s/%u", uuid, n);
	digest_bytes(text, strlen(text), bytes);
	memcpy(mac.byte + 1, bytes, sizeof(mac.byte) - 1);
	return mac;
}
