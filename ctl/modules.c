/* ctl/modules.c - what `xapsd check` sees of Dovecot's modules on this machine:
 * whatever would let nobody log in after Dovecot's next reload.
 *
 * Dovecot is not run, nor are modules loaded: both say in their text what they were
 * built for.  A file may be damaged, or anybody's: nothing in it is trusted. */
#include "ctl/int.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <link.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "log.h"

/* Where Dovecot is built to look for modules; the first is Debian's. */
static const char *const places[] = {
	"/usr/lib/dovecot/modules",
	"/usr/lib/dovecot",
	"/usr/lib64/dovecot",
	"/usr/lib64/dovecot/modules",
	"/usr/local/lib/dovecot",
};

/* Dovecot's own, which ours needs. */
#define STOCK "lib20_push_notification_plugin.so"

/* Ours. */
static const char *const modules[] = {
	"lib95_xaps_imap_plugin.so", "lib95_xaps_push_notification_plugin.so",
	"settings/lib95_xaps_settings.so", /* since 2.4 */
};

#define N(a) (sizeof(a) / sizeof(a[0]))
#define SETTINGS 2
#define PATH_SIZE 384
#define ABI_SIZE 24		    /* "2.3.ABIv19" */
#define FILE_MAX (4u * 1024 * 1024) /* ours have 50 KB, with symbols 300 */

/* What a module was built for. */
struct build {
	char abi[ABI_SIZE];
	unsigned char kind[4]; /* class and byte order, machine */
	bool glibc, damaged;
	mode_t mode;
	int error; /* it cannot be read */
};

static struct {
	bool offline, bad;
	const char *place;
	struct build stock;
} at;

enum fault {
	FAULT_MISSING,
	FAULT_DAMAGED,
	FAULT_ABI,
	FAULT_KIND,
	FAULT_OTHER,
	FAULT_UNREADABLE,
	FAULT_WRITABLE,
	FAULT_MISPLACED,
};

/* Without a command the plugin must be installed again. */
static const struct {
	const char *what, *command;
	bool locks_out;
} faults[] = {
	[FAULT_MISSING] = { "is missing", NULL, true },
	[FAULT_DAMAGED] = { "is damaged", NULL, true },
	[FAULT_ABI] = { "is for another Dovecot, ", NULL, true },
	[FAULT_KIND] = { "is for another machine or C library", NULL, true },
	[FAULT_OTHER] = { "is another xaps plugin (\"Multiple files for "
			  "module\")",
	    "rm", true },
	[FAULT_UNREADABLE] = { "is not readable by everybody", "chmod 644",
	    true },
	[FAULT_WRITABLE] = { "can be changed by others than its owner",
	    "chmod 644", false },
	[FAULT_MISPLACED] = { "is in the wrong folder", "rm", false },
};

/* Says what is wrong with a file and what to do.  A start does not mind. */
static void tell(const char *file, enum fault f, const char *more)
{
	char fix[PATH_SIZE + 16], line[ERR_MAX];

	if (faults[f].command != NULL)
		snprintf(fix, sizeof(fix), "%s %s/%s", faults[f].command,
		    at.place, file);
	else
		snprintf(fix, sizeof(fix), "install the plugin for %s",
		    at.stock.abi);
	err_set(line, "%s%s/%s %s%s%s: %s", at.offline ? "Dovecot: " : "",
	    at.place, file, faults[f].what, more,
	    faults[f].locks_out
		? ", so nobody can log in after Dovecot's next reload"
		: "",
	    fix);
	ctl_step(at.offline ? NULL : "Dovecot",
	    at.offline ? STEP_WARNING : STEP_FAILED, line);
	at.bad = true;
}

/* --- what a file was built for --- */

/* "2.3.ABIv19" of the text "2.3.ABIv19(2.3.19.1)". */
static void take_abi(const char *p, size_t len, char abi_r[ABI_SIZE])
{
	static const char mark[] = ".ABIv";
	const char *from = memmem(p, len, mark, sizeof(mark) - 1);
	const char *to = from;

	if (from == NULL)
		return;
	for (to += sizeof(mark) - 1; to < p + len && *to >= '0' && *to <= '9';)
		to++;
	while (
	    from > p && from[-1] >= '.' && from[-1] <= '9' && from[-1] != '/')
		from--;
	if (to - from < ABI_SIZE)
		snprintf(abi_r, ABI_SIZE, "%.*s", (int)(to - from), from);
}

static void take_file(const char *p, size_t len, struct build *b)
{
	ElfW(Ehdr) h;

	if (len < sizeof(h) || memcmp(p, ELFMAG, SELFMAG) != 0)
		return;
	memcpy(&h, p, sizeof(h));
	memcpy(b->kind, p + EI_CLASS, 2);
	memcpy(b->kind + 2, &h.e_machine, 2);
	b->glibc = memmem(p, len, "libc.so.6", 10) != NULL;
	take_abi(p, len, b->abi);
	/* The table of sections is the end of the file. */
	b->damaged = b->abi[0] == '\0' ||
		     (b->kind[0] == (sizeof(h.e_shoff) == 8 ? 2 : 1) &&
			 (h.e_shoff > len || (size_t)h.e_shnum * h.e_shentsize >
						 len - h.e_shoff));
}

/* Whatever is there in its place; damaged if that cannot be read. */
static void read_build(const char *file, struct build *b_r)
{
	char path[PATH_SIZE], *data = NULL;
	struct stat st = { 0 };
	ssize_t n = -1;
	int fd;

	*b_r = (struct build){ .damaged = true };
	snprintf(path, sizeof(path), "%s/%s", at.place, file);
	if (stat(path, &st) < 0)
		b_r->error = errno;
	b_r->mode = st.st_mode;
	fd = open(path, O_RDONLY | O_NONBLOCK | O_CLOEXEC);
	if (fd < 0)
		return;
	if (S_ISREG(st.st_mode) && st.st_size > 0 && st.st_size <= FILE_MAX)
		data = malloc((size_t)st.st_size);
	if (data != NULL)
		n = read(fd, data, (size_t)st.st_size);
	if (n > 0)
		take_file(data, (size_t)n, b_r);
	free(data);
	close(fd);
}

/* --- ours --- */

static void check_module(const char *file)
{
	/* There is no call to a C library in it. */
	const bool is_settings = strchr(file, '/') != NULL;
	struct build b;

	read_build(file, &b);
	if (b.error == ENOENT)
		tell(file, FAULT_MISSING, "");
	else if (b.error == EACCES || (b.error == 0 && (b.mode & 0444) != 0444))
		tell(file, FAULT_UNREADABLE, "");
	else if (b.damaged) /* or a link that leads nowhere */
		tell(file, FAULT_DAMAGED, "");
	else if (strcmp(b.abi, at.stock.abi) != 0)
		tell(file, FAULT_ABI, b.abi);
	else if (memcmp(b.kind, at.stock.kind, sizeof(b.kind)) != 0 ||
		 (b.glibc != at.stock.glibc && (b.glibc || !is_settings)))
		tell(file, FAULT_KIND, "");
	else if ((b.mode & 022) != 0)
		tell(file, FAULT_WRITABLE, "");
}

/* --- all that is there --- */

/* Dovecot compares names without "lib" and a number. */
static bool is_xaps(const char *file)
{
	const char *end = strstr(file, ".so");
	size_t digits;

	if (end == NULL || end[3] != '\0')
		return false;
	if (strncmp(file, "lib", 3) == 0)
		file += 3;
	digits = strspn(file, "0123456789");
	if (file[digits] == '_')
		file += digits + 1;
	return strncmp(file, "xaps_", 5) == 0;
}

/* Returns how many of ours are in a folder below the place, "" for itself.  tells:
 * of all others.  A link may lead back to the place: nothing is told of that. */
static int scan(const char *sub, bool tells)
{
	char path[PATH_SIZE], file[PATH_SIZE];
	const struct dirent *e;
	struct stat st;
	int ours = 0;
	size_t k;
	DIR *d;

	snprintf(path, sizeof(path), "%s/%s", at.place, sub);
	if (*sub != '\0' && (lstat(path, &st) < 0 || !S_ISDIR(st.st_mode)))
		return 0;
	d = opendir(path);
	while (d != NULL && (e = readdir(d)) != NULL) {
		if (e->d_name[0] == '.')
			continue;
		if (*sub == '\0' && tells)
			scan(e->d_name, true);
		if (!is_xaps(e->d_name))
			continue;
		snprintf(file, sizeof(file), "%s%s%s", sub,
		    *sub != '\0' ? "/" : "", e->d_name);
		for (k = 0; k < N(modules) && strcmp(file, modules[k]) != 0;)
			k++;
		if (k < N(modules))
			ours++;
		else if (tells)
			tell(file,
			    *sub == '\0' || strcmp(sub, "settings") == 0
				? FAULT_OTHER
				: FAULT_MISPLACED,
			    "");
	}
	if (d != NULL)
		closedir(d);
	return ours;
}

static void check_place(void)
{
	char line[ERR_MAX];
	size_t k;

	read_build(STOCK, &at.stock);
	if (at.stock.damaged || scan("", false) == 0)
		return;
	for (k = 0; k < N(modules); k++)
		if (k != SETTINGS || strncmp(at.stock.abi, "2.3.", 4) != 0)
			check_module(modules[k]);
	scan("", true);
	if (at.bad)
		return;
	err_set(line, "%s, the plugin in %s fits", at.stock.abi, at.place);
	ctl_step("Dovecot", STEP_OK, line);
}

/* Is it one of those before, by another name?  Where /usr/lib64 is /usr/lib. */
static bool is_again(size_t i)
{
	struct stat st, before;
	size_t k;

	for (k = 0; k < i; k++)
		if (stat(places[i], &st) == 0 &&
		    stat(places[k], &before) == 0 &&
		    st.st_dev == before.st_dev && st.st_ino == before.st_ino)
			return true;
	return false;
}

int modules_check(bool offline)
{
	size_t i;

	at.offline = offline;
	for (i = 0; i < N(places); i++) {
		at.place = places[i];
		if (!is_again(i))
			check_place();
	}
	return at.bad && !offline ? -1 : 0;
}
