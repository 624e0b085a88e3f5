/* relro.c - write-protects data that is constant after relocation (RELRO).
 * musl's dynamic loader does that; in a static executable nothing does. */
#include <elf.h>
#include <link.h>
#include <stdint.h>
#include <sys/auxv.h>
#include <sys/mman.h>

extern const ElfW(Ehdr) __ehdr_start __attribute__((visibility("hidden")));

static void __attribute__((constructor)) protect(void)
{
	const uintptr_t file = (uintptr_t)&__ehdr_start;
	const ElfW(Phdr) *ph = (const void *)(file + __ehdr_start.e_phoff);
	const uintptr_t page = getauxval(AT_PAGESZ);
	uintptr_t moved = 0, start, end;
	int i;

	/* PT_LOAD comes before the others.  If the kernel refuses, the program
	 * runs all the same, only less safely. */
	for (i = 0; i < __ehdr_start.e_phnum; i++) {
		if (ph[i].p_type == PT_LOAD && ph[i].p_offset == 0)
			moved = file - ph[i].p_vaddr;
		if (ph[i].p_type != PT_GNU_RELRO)
			continue;
		start = (moved + ph[i].p_vaddr) & -page;
		end = (moved + ph[i].p_vaddr + ph[i].p_memsz) & -page;
		if (end > start)
			mprotect((void *)start, end - start, PROT_READ);
	}
}
