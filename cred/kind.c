/* cred/kind.c - what a file is, in words, and which key of the configuration
 * takes it. */
#include "cred/int.h"

#include <string.h>
#include <strings.h>

#define PEEK_MAX 1024 /* bytes that show what a file is */

/* The first match wins: all of these bits. */
static const struct {
	unsigned holds;
	const char *apple, *server;
} kinds[] = {
	{ HOLDS_P12,
	    "a PKCS#12 file (.p12, .pfx), which certificateFileP12 takes",
	    "a PKCS#12 file (.p12, .pfx): make PEM of it with \"openssl "
	    "pkcs12 -in … -nodes -out …\"" },
	{ HOLDS_CERT | HOLDS_KEY,
	    "a certificate with its key, which certificateFilePem takes",
	    "a certificate with its key, which tlsCertfile and tlsKeyfile "
	    "take both" },
	{ HOLDS_CERT, "a certificate, which certificateFilePem takes",
	    "a certificate, which tlsCertfile takes" },
	{ HOLDS_KEY,
	    "a private key: keyFileP8 takes a token key of Apple's, "
	    "certificateFilePemKey the key of a certificate",
	    "a private key, which tlsKeyfile takes" },
	{ HOLDS_REQUEST,
	    "a certificate signing request: upload it at Apple's developer "
	    "site, and set certificateFilePem to the certificate (.cer) that "
	    "it gives you",
	    "a certificate signing request: take the certificate that the CA "
	    "makes of it" },
	{ HOLDS_PUBLIC,
	    "a public key: take the private one that it was made with",
	    "a public key: take the private one that it was made with" },
	{ HOLDS_PKCS7,
	    "PKCS#7, certificates without a key (.p7b): make PEM of it with "
	    "\"openssl pkcs7 -print_certs -in … -out …\"",
	    "PKCS#7, certificates without a key (.p7b): make PEM of it with "
	    "\"openssl pkcs7 -print_certs -in … -out …\"" },
	{ HOLDS_CRL,
	    "a revocation list (.crl): take the certificate that Apple gave "
	    "you",
	    "a revocation list (.crl): take the certificate" },
	{ HOLDS_PGP, "a key of PGP (GnuPG): take the one that Apple gave you",
	    "a key of PGP (GnuPG): take the one of the certificate" },
	{ HOLDS_SSH, "a key for SSH: take the one that Apple gave you",
	    "a key for SSH: take the one of the certificate" },
};

const char *cred_kind_words(unsigned holds, bool server)
{
	size_t i;

	for (i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++)
		if ((holds & kinds[i].holds) == kinds[i].holds)
			return server ? kinds[i].server : kinds[i].apple;
	return "of another kind";
}

/* --- neither PEM nor DER that we know --- */

#define ARCHIVE "an archive: unpack it and take the file in it"
#define JAVA                                                                   \
	"a key store of Java: make a .p12 of it with \"keytool "               \
	"-importkeystore -deststoretype PKCS12 …\""
#define DOCUMENT "a document or a picture: take the file as Apple gave it"

/* At the beginning of the file, or in any case near it; the first match wins. */
static const struct {
	const char *mark; /* the beginning, and after its NUL the other */
	const char *words;
} marks[] = {
#define ROW(begins, has, words)                                                \
	{                                                                      \
		begins "\0" has, words                                         \
	}
	ROW("\x30", "<plist",
	    "a provisioning profile, which is for apps: take the push "
	    "certificate (.cer), or the token key (.p8)"),
	ROW("", "<plist", "a property list: take the file as Apple gave it"),
	ROW("bplist", "", "a property list: take the file as Apple gave it"),
	ROW("", "<html",
	    "a web page, perhaps of an error or a log-in: download the file "
	    "again"),
	ROW("", "<!doctype",
	    "a web page, perhaps of an error or a log-in: download the file "
	    "again"),
	ROW("<?xml", "", "XML, perhaps of an error: download the file again"),
	ROW("PK\x03\x04", "",
	    "a ZIP archive: unpack it and take the file in it"),
	ROW("\x1f\x8b", "", ARCHIVE),
	ROW("\xfd\x37zXZ", "", ARCHIVE),
	ROW("7z\xbc\xaf", "", ARCHIVE),
	ROW("BZh", "", ARCHIVE),
	ROW("Rar!", "", ARCHIVE),
	ROW("", "ustar", ARCHIVE),
	ROW("\xfe\xed\xfe\xed", "", JAVA),
	ROW("\xce\xce\xce\xce", "", JAVA),
	ROW("kych", "",
	    "a keychain of macOS: export certificate and key in Keychain "
	    "Access as .p12"),
	ROW("%PDF-", "", DOCUMENT),
	ROW("\x89PNG", "", DOCUMENT),
	ROW("\xff\xd8\xff", "", DOCUMENT),
	ROW("ssh-", "",
	    "a public key for SSH: take the one that Apple gave you"),
	ROW("ecdsa-", "",
	    "a public key for SSH: take the one that Apple gave you"),
	ROW("PuTTY-", "", "a key for SSH: take the one that Apple gave you"),
	ROW("{", "", "JSON: take the file as Apple gave it"),
	ROW("\x30", "",
	    "damaged, cut off or of another kind: take a fresh copy"),
	ROW("", "-----BEGIN ",
	    "PEM of another kind than a certificate or a key: take the file "
	    "as Apple gave it"),
#undef ROW
};

static bool has_word(const char *text, size_t len, const char *word)
{
	size_t n = strlen(word), i;

	for (i = 0; i + n <= len; i++)
		if (strncasecmp(text + i, word, n) == 0)
			return true;
	return false;
}

const char *cred_kind_guess(const char *text, size_t len)
{
	const char *begins;
	size_t i, n;

	if (strspn(text, " \t\r\n") == len)
		return "empty: take a fresh copy";
	for (i = 0; i < sizeof(marks) / sizeof(marks[0]); i++) {
		begins = marks[i].mark;
		n = strlen(begins);
		if (strncmp(text, begins, n) == 0 &&
		    has_word(
			text, len < PEEK_MAX ? len : PEEK_MAX, begins + n + 1))
			return marks[i].words;
	}
	if (memchr(text, '\0', len) != NULL)
		return "binary data of another kind: take the file as Apple "
		       "gave "
		       "it";
	return "text without a PEM part (\"-----BEGIN …\"): take the file as "
	       "Apple gave it";
}
