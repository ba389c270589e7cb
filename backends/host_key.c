/*
 * A vnode's host keys are derived from the installation's secret and the vnode's uuid (HMAC-SHA-512)
 * instead of being kept: they are the same after a reboot, a reload and a crash at any point, and there
 * is nothing to write before and nothing to remove after.
 *
 * RSA is missing on purpose: such a key takes a third of a second of a processor, for each vnode.
 * The ECDSA key is written in the older of OpenSSH's two formats, so that guests from before 2014 can
 * read it; Ed25519 keys have only the newer one.
 */
#include "backends/host_key.h"

#include <openssl/bn.h>
#include <openssl/ec.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <openssl/obj_mac.h>
#include <stdio.h>
#include <string.h>

#include "proto/base/base64.h"
#include "proto/base/mem.h"

#define SEED  64
#define POINT 65			/* of P-256: 04, x, y */
#define PIECE 32

const char *const host_key_words[HOST_KEY_KINDS] = { "ed25519", "ecdsa" };

static void
derive(const uint8_t *secret, const char *what, const char *name, uint8_t ret[static SEED])
{
	vn_autofree char *text = vn_format("vnoded %s %s", what, name);
	unsigned size = SEED;

	if (!HMAC(EVP_sha512(), secret, HOST_KEY_SECRET, (const uint8_t *)text, strlen(text), ret, &size))
		abort();
}

/* ---- the wire format of keys ---- */

struct blob {
	uint8_t bytes[1024];		/* the largest is a private Ed25519 key with its comment */
	size_t size;
};

static void
put(struct blob *blob, const void *data, size_t size)
{
	if (size > sizeof(blob->bytes) - blob->size)
		abort();		/* comments are names, whose length has a limit */
	memcpy(blob->bytes + blob->size, data, size);
	blob->size += size;
}

static void
put_number(struct blob *blob, uint32_t number)
{
	const uint8_t bytes[] = { (uint8_t)(number >> 24), (uint8_t)(number >> 16), (uint8_t)(number >> 8),
				  (uint8_t)number };

	put(blob, bytes, sizeof(bytes));
}

static void
put_part(struct blob *blob, const void *data, size_t size)
{
	put_number(blob, (uint32_t)size);
	put(blob, data, size);
}

static void
put_text(struct blob *blob, const char *text)
{
	put_part(blob, text, strlen(text));
}

/* Base64 in lines, between the words that OpenSSH looks for. */
static char *
print_armour(const char *what, const void *data, size_t size)
{
	vn_autofree char *base64 = vn_base64_encode(data, size);
	char *text = NULL;
	size_t length;
	FILE *out = open_memstream(&text, &length);

	if (!out)
		abort();
	fprintf(out, "-----BEGIN %s-----\n", what);
	for (const char *at = base64; *at; at += strnlen(at, 64))
		fprintf(out, "%.64s\n", at);
	fprintf(out, "-----END %s-----\n", what);
	fclose(out);
	OPENSSL_cleanse(base64, strlen(base64));
	return text;
}

static char *
print_public(const char *type, const struct blob *blob, const char *comment)
{
	vn_autofree char *base64 = vn_base64_encode(blob->bytes, blob->size);

	return vn_format("%s %s %s\n", type, base64, comment);
}

/* ---- Ed25519 ---- */

static void
find_ed25519_public(const uint8_t seed[static PIECE], uint8_t ret[static PIECE])
{
	EVP_PKEY *key = EVP_PKEY_new_raw_private_key(EVP_PKEY_ED25519, NULL, seed, PIECE);
	size_t size = PIECE;

	if (!key || EVP_PKEY_get_raw_public_key(key, ret, &size) != 1)
		abort();
	EVP_PKEY_free(key);
}

static char *
print_ed25519(const uint8_t seed[static PIECE], const uint8_t public[static PIECE], const struct blob *known,
	      const char *comment)
{
	static const char type[] = "ssh-ed25519";
	struct blob inner = { .size = 0 }, blob = { .size = 0 };
	uint8_t both[2 * PIECE];
	char *text;

	memcpy(both, seed, PIECE);
	memcpy(both + PIECE, public, PIECE);
	put_number(&inner, 0);		/* twice the same number: how a wrong passphrase is told */
	put_number(&inner, 0);
	put_text(&inner, type);
	put_part(&inner, public, PIECE);
	put_part(&inner, both, sizeof(both));
	put_text(&inner, comment);
	for (uint8_t pad = 1; inner.size % 8; pad++)
		put(&inner, &pad, 1);
	put(&blob, "openssh-key-v1", sizeof("openssh-key-v1"));
	put_text(&blob, "none");	/* cipher, key derivation, its options */
	put_text(&blob, "none");
	put_text(&blob, "");
	put_number(&blob, 1);
	put_part(&blob, known->bytes, known->size);
	put_part(&blob, inner.bytes, inner.size);
	text = print_armour("OPENSSH PRIVATE KEY", blob.bytes, blob.size);
	OPENSSL_cleanse(&inner, sizeof(inner));
	OPENSSL_cleanse(&blob, sizeof(blob));
	OPENSSL_cleanse(both, sizeof(both));
	return text;
}

static void
make_ed25519(const uint8_t seed[static SEED], const char *comment, char **ret_private, char **ret_public)
{
	struct blob known = { .size = 0 };
	uint8_t public[PIECE];

	find_ed25519_public(seed, public);
	put_text(&known, "ssh-ed25519");
	put_part(&known, public, sizeof(public));
	if (ret_public)
		*ret_public = print_public("ssh-ed25519", &known, comment);
	if (ret_private)
		*ret_private = print_ed25519(seed, public, &known, comment);
}

/* ---- ECDSA on P-256 ---- */

/* The private number lies in 1 … n - 1; of 512 bits its remainder is as good as even. */
static void
find_p256(const uint8_t seed[static SEED], uint8_t ret_private[static PIECE], uint8_t ret_point[static POINT])
{
	EC_GROUP *group = EC_GROUP_new_by_curve_name(NID_X9_62_prime256v1);
	BIGNUM *order = group ? BN_dup(EC_GROUP_get0_order(group)) : NULL;
	BIGNUM *number = BN_bin2bn(seed, SEED, NULL);
	EC_POINT *point = group ? EC_POINT_new(group) : NULL;
	BN_CTX *context = BN_CTX_new();

	if (!order || !number || !point || !context || BN_sub_word(order, 1) != 1 ||
	    BN_mod(number, number, order, context) != 1 || BN_add_word(number, 1) != 1 ||
	    BN_bn2binpad(number, ret_private, PIECE) != PIECE ||
	    EC_POINT_mul(group, point, number, NULL, NULL, context) != 1 ||
	    EC_POINT_point2oct(group, point, POINT_CONVERSION_UNCOMPRESSED, ret_point, POINT, context) !=
		    POINT)
		abort();
	BN_CTX_free(context);
	EC_POINT_free(point);
	BN_clear_free(number);
	BN_free(order);
	EC_GROUP_free(group);
}

/* RFC 5915: a SEQUENCE of the version, the number, the curve and the point, all of fixed length. */
static char *
print_p256(const uint8_t private[static PIECE], const uint8_t point[static POINT])
{
	static const uint8_t head[] = { 0x30, 0x77, 0x02, 0x01, 0x01, 0x04, 0x20 };
	static const uint8_t curve[] = { 0xa0, 0x0a, 0x06, 0x08, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x03, 0x01, 0x07,
					 0xa1, 0x44, 0x03, 0x42, 0x00 };
	struct blob blob = { .size = 0 };
	char *text;

	put(&blob, head, sizeof(head));
	put(&blob, private, PIECE);
	put(&blob, curve, sizeof(curve));
	put(&blob, point, POINT);
	text = print_armour("EC PRIVATE KEY", blob.bytes, blob.size);
	OPENSSL_cleanse(&blob, sizeof(blob));
	return text;
}

static void
make_ecdsa(const uint8_t seed[static SEED], const char *comment, char **ret_private, char **ret_public)
{
	struct blob known = { .size = 0 };
	uint8_t private[PIECE], point[POINT];

	find_p256(seed, private, point);
	put_text(&known, "ecdsa-sha2-nistp256");
	put_text(&known, "nistp256");
	put_part(&known, point, sizeof(point));
	if (ret_public)
		*ret_public = print_public("ecdsa-sha2-nistp256", &known, comment);
	if (ret_private)
		*ret_private = print_p256(private, point);
	OPENSSL_cleanse(private, sizeof(private));
}

void
host_key_make(const uint8_t secret[static HOST_KEY_SECRET], enum host_key_kind kind, const char *name,
	      const char *comment, char **ret_private, char **ret_public)
{
	uint8_t seed[SEED];

	derive(secret, host_key_words[kind], name, seed);
	if (kind == HOST_KEY_ED25519)
		make_ed25519(seed, comment, ret_private, ret_public);
	else
		make_ecdsa(seed, comment, ret_private, ret_public);
	OPENSSL_cleanse(seed, sizeof(seed));
}

void
host_key_machine_id(const uint8_t secret[static HOST_KEY_SECRET], const char *name, char ret[static 33])
{
	uint8_t bytes[SEED];

	derive(secret, "machine-id", name, bytes);
	bytes[6] = (uint8_t)((bytes[6] & 0x0f) | 0x40);	/* a uuid of version 4, as systemd has it */
	bytes[8] = (uint8_t)((bytes[8] & 0x3f) | 0x80);
	for (size_t i = 0; i < 16; i++)
		snprintf(ret + 2 * i, 3, "%02x", bytes[i]);
}
