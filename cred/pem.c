/* cred/pem.c - finds certificates and keys in whatever a file holds. */
#include "cred/int.h"

#include <ctype.h>
#include <stdlib.h>
#include <string.h>

#include "buf.h"
#include "mem.h"
#include "text.h"
#include "tls.h"

#define LABEL_MAX 40 /* of PEM; the longest known one has 25 */
#define DER_MIN 40   /* bytes of the smallest key; less is chance */

#define BLANKS " \t\r\n\v\f\"'" /* around Base64, and quotes */

struct reader {
	struct buf out;	    /* PEM */
	unsigned char *der; /* as long as the text */
	size_t der_len;
	unsigned holds;
	const char *key; /* tls_key_words() */
	bool is_p12;	 /* der is all there is to return */
};

/* By tls_der_kind(); NULL: not handed on. */
static const struct {
	unsigned holds;
	const char *label;
} kinds[] = {
	[TLS_DER_CERT] = { HOLDS_CERT, "CERTIFICATE" },
	[TLS_DER_REQUEST] = { HOLDS_REQUEST, NULL },
	[TLS_DER_CRL] = { HOLDS_CRL, NULL },
	[TLS_DER_KEY] = { HOLDS_KEY, "PRIVATE KEY" },
	[TLS_DER_ENCRYPTED_KEY] = { HOLDS_KEY, "ENCRYPTED PRIVATE KEY" },
	[TLS_DER_EC_KEY] = { HOLDS_KEY, "EC PRIVATE KEY" },
	[TLS_DER_RSA_KEY] = { HOLDS_KEY, "RSA PRIVATE KEY" },
	[TLS_DER_DSA_KEY] = { HOLDS_KEY, "DSA PRIVATE KEY" },
	[TLS_DER_PUBLIC_KEY] = { HOLDS_PUBLIC, NULL },
	[TLS_DER_P12] = { HOLDS_P12, NULL },
	[TLS_DER_PKCS7] = { HOLDS_PKCS7, NULL },
};

/* For what cannot be recognised: damaged, or encrypted in the old way.  The
 * first match wins. */
static const struct {
	char word[12]; /* of the label */
	unsigned short holds;
} labels[] = {
	{ "PGP", HOLDS_PGP },
	{ "SSH", HOLDS_SSH },
	{ "PUBLIC KEY", HOLDS_PUBLIC },
	{ "PRIVATE KEY", HOLDS_KEY },
	{ "REQUEST", HOLDS_REQUEST },
	{ "CRL", HOLDS_CRL },
	{ "CERTIFICATE", HOLDS_CERT },
	{ "PKCS7", HOLDS_PKCS7 },
	{ "CMS", HOLDS_PKCS7 },
};

/* --- characters --- */

/* UTF-16 with or without a mark, where every other byte of ASCII is 0, becomes
 * ASCII and '?'. */
static size_t from_utf16(char *s, size_t len)
{
	bool big, marked;
	size_t i, n = 0;

	if (len < 4)
		return len;
	marked = memcmp(s, "\xfe\xff", 2) == 0 || memcmp(s, "\xff\xfe", 2) == 0;
	i = marked ? 2 : 0;
	big = s[i] == '\0';
	if (!big && s[i + 1] != '\0')
		return len;
	for (; i + 1 < len; i += 2)
		s[n++] = s[i + !big] == '\0' ? s[i + big] : '?';
	s[n] = '\0';
	return n;
}

/* "\n" in two letters, as in JSON or a shell's variable. */
static void unescape(char *s)
{
	while ((s = strchr(s, '\\')) != NULL) {
		while (*s == '\\')
			*s++ = '\n';
		if (*s != '\0' && strchr("nrt", *s) != NULL)
			*s++ = '\n';
	}
}

/* Decodes the Base64 digits of s[0..n) and skips all else.  strict: false if
 * there is anything but blanks. */
static bool decode(struct reader *r, const char *s, size_t n, bool strict)
{
	unsigned bits = 0;
	size_t i, have = 0;
	int v;

	r->der_len = 0;
	for (i = 0; i < n && s[i] != '='; i++) {
		v = text_base64_digit(s[i]);
		if (v < 0) {
			if (strict && strchr(BLANKS, s[i]) == NULL)
				return false;
			continue;
		}
		bits = bits << 6 | (unsigned)v;
		have += 6;
		if (have >= 8) {
			have -= 8;
			r->der[r->der_len++] = (unsigned char)(bits >> have);
		}
	}
	return true;
}

/* --- output --- */

static void add_pem(struct reader *r, const char *label, const char *headers)
{
	char *b64 = xmalloc(TEXT_BASE64_SIZE(r->der_len));
	size_t n = text_base64_write(r->der, r->der_len, false, b64);

	buf_add_fmt(&r->out, "-----BEGIN %s-----\n%s", label, headers);
	buf_add(&r->out, b64, n);
	buf_add_fmt(&r->out, "\n-----END %s-----\n", label);
	mem_wipe_free(b64, n);
}

/* The form counts more than the label, which may be wrong or lost; label may be
 * "".  False if it is neither known. */
static bool take_der(struct reader *r, const char *label, const char *headers)
{
	/* what is encrypted in the old way may look like anything */
	enum tls_der_kind what =
	    *headers != '\0' ? TLS_DER_UNKNOWN
			     : tls_der_kind(r->der, r->der_len, &r->der_len);
	unsigned holds = kinds[what].holds;
	size_t i;

	if (holds != 0)
		label = kinds[what].label;
	for (i = 0; holds == 0 && i < sizeof(labels) / sizeof(labels[0]); i++)
		if (strstr(label, labels[i].word) != NULL)
			holds = labels[i].holds;
	r->is_p12 = what == TLS_DER_P12;
	if ((holds & ~r->holds & HOLDS_KEY) != 0)
		r->key = tls_key_words(r->der, r->der_len);
	r->holds |= holds;
	if (label != NULL && (holds & (HOLDS_CERT | HOLDS_KEY)) != 0)
		add_pem(r, label, headers);
	return holds != 0;
}

/* --- PEM --- */

/* Copies the label that s begins with; 0 if it is none. */
static size_t read_label(const char *s, char label[LABEL_MAX])
{
	size_t n = 0;

	while (n < LABEL_MAX - 1 &&
	       (isupper((unsigned char)s[n]) || isdigit((unsigned char)s[n]) ||
		   (s[n] == ' ' && n > 0))) {
		label[n] = s[n];
		n++;
	}
	while (n > 0 && label[n - 1] == ' ')
		n--;
	label[n] = '\0';
	return n;
}

/* Where the body ends: at "--", at "END " with the label, or with the text. */
static const char *find_end(const char *body, const char *label)
{
	const char *end = strstr(body, "--"), *p = body;

	if (end == NULL)
		end = body + strlen(body);
	while ((p = strstr(p, "END ")) != NULL && p < end) {
		if (strncmp(p + 4, label, strlen(label)) == 0)
			return p;
		p += 4;
	}
	return end;
}

/* The headers of a key that is encrypted in the old way (RFC 1421 4.6), each in
 * its line, with the empty line after them.  Returns where they end. */
static const char *read_headers(
    const char *body, const char *end, struct buf *out)
{
	const char *line, *p = body;
	size_t n;

	for (;;) {
		line = p + strspn(p, " \t\r\n-");
		n = strcspn(line, "\r\n");
		if (line + n > end || memchr(line, ':', n) == NULL)
			break;
		p = line + n;
		while (n > 0 && isspace((unsigned char)line[n - 1]))
			n--;
		buf_add(out, line, n);
		buf_add_byte(out, '\n');
	}
	if (out->len > 0)
		buf_add_byte(out, '\n');
	buf_add_byte(out, '\0');
	return p;
}

static void take_block(
    struct reader *r, const char *label, const char *body, const char *end)
{
	struct buf headers = BUF_INIT((size_t)(end - body) + 8);

	body = read_headers(body, end, &headers);
	decode(r, body, (size_t)(end - body), false);
	take_der(r, label, headers.failed ? "" : (char *)buf_head(&headers));
	buf_free(&headers);
}

static bool read_blocks(struct reader *r, const char *s)
{
	char label[LABEL_MAX];
	const char *end;
	bool any = false;
	size_t n;

	while ((s = strstr(s, "BEGIN ")) != NULL) {
		s += strlen("BEGIN ");
		n = read_label(s, label);
		if (n == 0)
			continue;
		any = true;
		s += n + strspn(s + n, " -");
		end = find_end(s, label);
		take_block(r, label, s, end);
		s = end;
	}
	return any;
}

/* Nothing but Base64, perhaps with the line after it. */
static void read_bare(struct reader *r, const char *s)
{
	const char *end = strstr(s, "--");

	if (end == NULL)
		end = s + strlen(s);
	if (decode(r, s, (size_t)(end - s), true) && r->der_len >= DER_MIN)
		take_der(r, "", "");
}

static void read_text(struct reader *r, const char *text, size_t len)
{
	char *copy = xmalloc(len + 1);
	const char *s = copy;

	memcpy(copy, text, len);
	copy[len] = '\0';
	if (len > 3 && memcmp(copy, "\xef\xbb\xbf", 3) == 0)
		s += 3;
	else
		from_utf16(copy, len);
	unescape(copy);
	if (!read_blocks(r, s))
		read_bare(r, s);
	mem_wipe_free(copy, len);
}

unsigned cred_pem_read(const char *text, size_t len, char **text_r,
    size_t *len_r, const char **key_r)
{
	/* A small part of DER takes several times as much as PEM. */
	struct reader r = { .out = BUF_INIT(8 * len + 1024) };

	*text_r = NULL;
	*len_r = 0;
	r.key = "";
	r.der = xmalloc(len + 1);
	memcpy(r.der, text, len);
	r.der_len = len;
	/* In one piece: growing leaves copies of keys behind. */
	buf_reserve(&r.out, 2 * len + 256);
	if (len < DER_MIN || !take_der(&r, "", ""))
		read_text(&r, text, len);
	else if (!r.is_p12 && r.der_len < len) /* cat aps.cer push.key */
		read_text(&r, text + r.der_len, len - r.der_len);
	if (r.is_p12) {
		*len_r = r.der_len;
		*text_r = xmalloc(r.der_len + 1);
		memcpy(*text_r, r.der, r.der_len);
	} else if (r.out.len > 0) {
		*len_r = r.out.len;
		*text_r = xmalloc(r.out.len + 1);
		memcpy(*text_r, buf_head(&r.out), r.out.len);
	}
	if (*text_r != NULL)
		(*text_r)[*len_r] = '\0';
	*key_r = r.key;
	mem_wipe_free(r.der, len);
	mem_wipe_free(r.out.mem, r.out.cap);
	return r.holds;
}
