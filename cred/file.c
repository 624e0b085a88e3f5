/* cred/file.c - reads a file that a key of the configuration names, and says
 * what it is if it is the wrong one. */
#include "cred/int.h"

#include <errno.h>
#include <fcntl.h>
#include <pwd.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "conf.h"
#include "mem.h"

/* A bundle of all of Mozilla's roots has 220 KB; ours are a few KB. */
#define FILE_MAX (1024 * 1024)

/* What the keys want. */
static const struct {
	const char *key, *lacks;
	unsigned char wants;
	bool server;
} roles[] = {
	{ "keyFileP8", "holds no private key", HOLDS_KEY, false },
	{ "certificateFilePem", "holds no certificate", HOLDS_CERT, false },
	{ "certificateFilePemKey", "holds no private key", HOLDS_KEY, false },
	{ "certificateFileP12", "is not PKCS#12", HOLDS_P12, false },
	{ "tlsCertfile", "holds no certificate", HOLDS_CERT, true },
	{ "tlsKeyfile", "holds no private key", HOLDS_KEY, true },
	{ "apnsCaFile", "holds no CA certificate", HOLDS_CERT, false },
	{ "caFile", "holds no CA certificate", HOLDS_CERT, false },
	{ "sharedCaFile", "holds no CA certificate", HOLDS_CERT, false },
};

static void wipe_text(struct cred_file *f)
{
	mem_wipe_free(f->text, f->len);
	f->text = NULL;
}

void cred_file_free(struct cred_file *f)
{
	wipe_text(f);
	free(f->path);
	f->path = NULL;
}

static void blame_open(const struct conf *conf, const struct cred_file *f,
    int error, char err[ERR_MAX])
{
	const struct passwd *pw;
	char number[16];
	const char *who;

	if (error != EACCES) {
		conf_blame(
		    conf, f->key, err, "%s: %s", f->path, err_words(error));
		return;
	}
	snprintf(number, sizeof(number), "%u", (unsigned)geteuid());
	pw = getpwuid(geteuid());
	who = pw != NULL ? pw->pw_name : number;
	conf_blame(conf, f->key, err,
	    "user %s may not read %s: chown %s %s && chmod 600 %s, and its "
	    "folder must be open to it",
	    who, f->path, who, f->path, f->path);
}

static int read_all(struct cred_file *f, int fd, size_t size)
{
	ssize_t got;

	f->text = xmalloc(size + 1);
	do {
		got = read(fd, f->text + f->len, size - f->len);
		if (got > 0)
			f->len += (size_t)got;
	} while (got > 0 || (got == -1 && errno == EINTR));
	f->text[f->len] = '\0';
	return got == -1 ? -1 : 0;
}

/* What was found takes the place of the text. */
static void recognise(struct cred_file *f)
{
	size_t len;
	char *text;

	f->holds = cred_pem_read(f->text, f->len, &text, &len, &f->key_is);
	/* A provisioning profile is a property list, signed. */
	if (f->holds == 0 || (f->holds == HOLDS_PKCS7 &&
				 memmem(f->text, f->len, "<plist", 6) != NULL))
		f->is = cred_kind_guess(f->text, f->len);
	if (text == NULL)
		return;
	wipe_text(f);
	f->text = text;
	f->len = len;
}

int cred_file_read(const struct conf *conf, const char *key, const char *name,
    struct cred_file *f, char err[ERR_MAX])
{
	struct stat st;
	int fd, rc = -1;

	*f = (struct cred_file){ .key = key,
		.path = conf_file_path(conf, name) };
	fd = open(f->path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
	if (fd == -1) {
		blame_open(conf, f, errno, err);
		return -1;
	}
	if (fstat(fd, &st) != 0)
		blame_open(conf, f, errno, err);
	else if (!S_ISREG(st.st_mode))
		conf_blame(conf, key, err, "%s is not a file%s", f->path,
		    S_ISDIR(st.st_mode) ? " but a folder: name the file in it"
					: "");
	else if (st.st_size > FILE_MAX)
		conf_blame(conf, key, err,
		    "%s is larger than 1 MiB: is it "
		    "the right file?",
		    f->path);
	else if (read_all(f, fd, (size_t)st.st_size) != 0)
		blame_open(conf, f, errno, err);
	else
		rc = 0;
	close(fd);
	return rc;
}

int cred_file_check(
    const struct conf *conf, struct cred_file *f, char err[ERR_MAX])
{
	size_t i = 0;

	recognise(f);
	while (strcmp(roles[i].key, f->key) != 0)
		i++;
	if ((f->holds & roles[i].wants) != 0)
		return 0;
	conf_blame(conf, f->key, err, "%s %s: it is %s", f->path,
	    roles[i].lacks,
	    f->is != NULL ? f->is : cred_kind_words(f->holds, roles[i].server));
	return -1;
}
