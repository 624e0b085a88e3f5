/* ctl/csr.c - `xapsd csr FILE`: a key, and a request for Apple's certificate. */
#include "ctl.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "cli.h"
#include "disk.h"
#include "log.h"
#include "mem.h"
#include "tls.h"

/* Apple's form takes any: the certificate's names are Apple's. */
#define COMMON_NAME "xapsd push"

static const char next_steps[] =
    "Next:\n"
    "  1. At https://developer.apple.com/account/resources/certificates/add "
    "choose\n"
    "     \"Apple Push Notification service SSL (Sandbox & Production)\" and "
    "your\n"
    "     identifier com.apple.mobilemail.push.…; upload %s and\n"
    "     download the certificate (aps.cer).\n"
    "  2. Put aps.cer and %s into /etc/xapsd, readable by the user\n"
    "     xapsd alone (chown xapsd, chmod 600), and into xapsd.yaml:\n"
    "       certificateFilePem: aps.cer\n"
    "       certificateFilePemKey: %s\n"
    "  3. xapsd check\n";

static int fail(const char *path, const char *why)
{
	fprintf(stderr, "xapsd: %s: %s\n", path, why);
	return -1;
}

/* FILE with its extension replaced, or followed, by ".key". */
static char *key_path(const char *path)
{
	const char *slash = strrchr(path, '/'), *dot = strrchr(path, '.');
	size_t n = strlen(path);
	char *key;

	if (dot != NULL && dot > (slash != NULL ? slash + 1 : path))
		n = (size_t)(dot - path);
	key = xmalloc(n + sizeof(".key"));
	memcpy(key, path, n);
	strcpy(key + n, ".key");
	return key;
}

static int refuse_existing(const char *path)
{
	struct stat st;

	if (lstat(path, &st) == 0)
		return fail(path,
		    "is there already and is not overwritten: move it away, or "
		    "use another name");
	return errno == ENOENT ? 0 : fail(path, err_words(errno));
}

/* Nothing is left of a file that cannot be written whole. */
static int write_new(const char *path, mode_t mode, const char *text)
{
	int fd, error;

	fd = open(
	    path, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, mode);
	if (fd == -1)
		return errno == EEXIST ? refuse_existing(path)
				       : fail(path, err_words(errno));
	error = disk_write(fd, text, strlen(text));
	if (error == 0 && fsync(fd) != 0)
		error = errno;
	if (close(fd) != 0 && error == 0)
		error = errno;
	if (error == 0)
		return 0;
	unlink(path);
	return fail(path, err_words(error));
}

static int write_both(
    const char *path, const char *key_file, const char *csr, const char *key)
{
	int error;

	if (write_new(key_file, 0600, key) != 0)
		return -1;
	if (write_new(path, 0644, csr) == 0) {
		error = disk_sync_dir(path);
		if (error == 0)
			return 0;
		fail(path, err_words(error));
		unlink(path);
	}
	unlink(key_file);
	return -1;
}

static const char *name_of(const char *path)
{
	const char *slash = strrchr(path, '/');

	return slash != NULL ? slash + 1 : path;
}

static int make(const char *path, const char *key_file)
{
	char *key, *csr, err[ERR_MAX];
	int rc;

	fputs("Making a key; this may take a minute on a small machine ...\n",
	    stderr);
	if (tls_csr_make(COMMON_NAME, &key, &csr, err) != 0)
		return fail(path, err);
	rc = write_both(path, key_file, csr, key);
	mem_wipe(key, strlen(key));
	free(key);
	free(csr);
	if (rc != 0)
		return -1;
	printf("%s: the request, for Apple\n"
	       "%s: the private key: keep it, and give it to nobody\n\n",
	    path, key_file);
	printf(next_steps, path, key_file, name_of(key_file));
	return fflush(stdout);
}

int ctl_csr(const struct conf *conf, const struct cli *cli)
{
	const char *path = cli->argv[cli->rest + 1];
	char *key_file, err[ERR_MAX];
	int rc;

	(void)conf;
	if (tls_init(err) != 0) {
		fail(path, err);
		return EXIT_FAILED;
	}
	key_file = key_path(path);
	if (strcmp(path, key_file) == 0)
		rc = fail(path, "is the name of the key: name the request, "
				"such as push.csr");
	else if (refuse_existing(path) != 0 || refuse_existing(key_file) != 0)
		rc = -1;
	else
		rc = make(path, key_file);
	free(key_file);
	tls_exit();
	return rc == 0 ? EXIT_DONE : EXIT_FAILED;
}
