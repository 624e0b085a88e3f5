/* pki.h - keys and certificates for unit tests, made by openssl(1) when needed.
 * Everything is in one temporary directory, pki_dir. */
#ifndef PKI_H
#define PKI_H

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "../../tls.h"

static char pki_dir[] = "/tmp/xapsd-pki-XXXXXX";

/* Runs a shell command in pki_dir; ends the test if it fails. */
static void __attribute__((format(printf, 1, 2))) sh(const char *fmt, ...)
{
	char cmd[4096], all[4400];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(cmd, sizeof(cmd), fmt, ap);
	va_end(ap);
	snprintf(
	    all, sizeof(all), "cd %s && { %s; } 2>log >>out", pki_dir, cmd);
	if (system(all) == 0)
		return;
	fprintf(stderr, "failed: %s\n", cmd);
	snprintf(all, sizeof(all), "cat %s/log >&2", pki_dir);
	if (system(all) != 0)
		fprintf(stderr, "(and its log is lost)\n");
	abort();
}

/* Reads a file, with a NUL after it; the caller frees it. */
static char *slurp(const char *name, size_t *len_r)
{
	char path[256], *text;
	FILE *f;
	size_t n;

	snprintf(path, sizeof(path), "%s/%s", pki_dir, name);
	f = fopen(path, "rb");
	if (f == NULL) {
		perror(path);
		abort();
	}
	text = malloc(1 << 20);
	n = fread(text, 1, (1 << 20) - 1, f);
	text[n] = '\0';
	fclose(f);
	if (len_r != NULL)
		*len_r = n;
	return text;
}

static const char pki_conf[] = "[ca]\n"
			       "default_ca=d\n"
			       "[d]\n"
			       "database=index.txt\n"
			       "new_certs_dir=.\n"
			       "rand_serial=yes\n"
			       "unique_subject=no\n"
			       "policy=p\n"
			       "default_md=sha256\n"
			       "[p]\n"
			       "commonName=optional\n";

static void pki_open(void)
{
	char path[64];
	FILE *f;

	if (mkdtemp(pki_dir) == NULL)
		abort();
	snprintf(path, sizeof(path), "%s/ca.cnf", pki_dir);
	f = fopen(path, "w");
	fputs(pki_conf, f);
	fclose(f);
	sh(": >index.txt");
}

static void pki_close(void)
{
	char cmd[64];

	snprintf(cmd, sizeof(cmd), "rm -rf %s", pki_dir);
	if (system(cmd) != 0)
		abort();
}

/* Of a group of tests that called pki_open() and tls_init(). */
static int pki_teardown(void **state)
{
	(void)state;
	pki_close();
	tls_exit();
	return 0;
}

/* NAME.key; kind: "rsa:2048", "P-256" … */
static void pki_key(const char *name, const char *kind)
{
	if (strncmp(kind, "rsa:", 4) == 0)
		sh("openssl genpkey -algorithm RSA -pkeyopt "
		   "rsa_keygen_bits:%s -out %s.key",
		    kind + 4, name);
	else
		sh("openssl genpkey -algorithm EC -pkeyopt "
		   "ec_paramgen_curve:%s -out %s.key",
		    kind, name);
}

/* NAME.pem for NAME.key, signed by ISSUER.key (itself: self-signed).  ext:
 * lines of an extension section; days "YYYYMMDD". */
static void __attribute__((unused)) pki_cert(const char *name, const char *subj,
    const char *issuer, const char *ext, const char *from, const char *to)
{
	sh("printf '%s\\n' >%s.ext", ext, name);
	sh("openssl req -new -key %s.key -subj '%s' -out %s.csr", name, subj,
	    name);
	sh("openssl ca -batch -notext -preserveDN -config ca.cnf -in %s.csr "
	   "-out %s.pem "
	   "-keyfile %s.key %s%s%s -extfile %s.ext -startdate %s000000Z "
	   "-enddate %s000000Z",
	    name, name, issuer, strcmp(name, issuer) ? "-cert " : "-selfsign",
	    strcmp(name, issuer) ? issuer : "",
	    strcmp(name, issuer) ? ".pem" : "", name, from, to);
}

#define PKI_FROM "20200101"
#define PKI_TO "20490101"
#define PKI_CA_EXT                                                             \
	"basicConstraints=critical,CA:TRUE\\nkeyUsage=critical,keyCertSign"

#endif
