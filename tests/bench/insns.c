/* insns.c - a plugin for qemu-user 7.2 that counts executed instructions:
 *   qemu-mipsel -plugin file=insns.so,out=FILE PROGRAM
 * writes the count to FILE when the program ends.  The declarations are those of
 * QEMU's plugin interface, version 1, whose header Debian does not package. */
#include <inttypes.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#define ADD_U64 0

struct qemu_plugin_tb;

void qemu_plugin_register_vcpu_tb_trans_cb(
    uint64_t id, void (*cb)(uint64_t id, struct qemu_plugin_tb *tb));
size_t qemu_plugin_tb_n_insns(const struct qemu_plugin_tb *tb);
void qemu_plugin_register_vcpu_tb_exec_inline(
    struct qemu_plugin_tb *tb, int op, void *to, uint64_t n);
void qemu_plugin_register_atexit_cb(
    uint64_t id, void (*cb)(uint64_t id, void *arg), void *arg);
int qemu_plugin_install(uint64_t id, const void *info, int argc, char **argv);

int qemu_plugin_version = 1;

/* Several threads would lose some; the daemon has one but for DNS. */
static uint64_t count;
static char path[4096];

static void on_translated(uint64_t id, struct qemu_plugin_tb *tb)
{
	(void)id;
	qemu_plugin_register_vcpu_tb_exec_inline(
	    tb, ADD_U64, &count, qemu_plugin_tb_n_insns(tb));
}

static void on_exit_of(uint64_t id, void *arg)
{
	FILE *f = fopen(path, "w");

	(void)id;
	(void)arg;
	if (f == NULL)
		return;
	fprintf(f, "%" PRIu64 "\n", count);
	fclose(f);
}

int qemu_plugin_install(uint64_t id, const void *info, int argc, char **argv)
{
	(void)info;
	if (argc != 1 || strncmp(argv[0], "out=", 4) != 0 ||
	    strlen(argv[0] + 4) >= sizeof(path))
		return -1;
	strcpy(path, argv[0] + 4);
	qemu_plugin_register_vcpu_tb_trans_cb(id, on_translated);
	qemu_plugin_register_atexit_cb(id, on_exit_of, NULL);
	return 0;
}
