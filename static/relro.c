/* relro.c - write-protects what is constant once it is relocated (RELRO).  musl
 * does that for what its dynamic loader loads, not for a static executable. */
#include <elf.h>
#include <link.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/auxv.h>
#include <sys/mman.h>

extern const ElfW(Ehdr) __ehdr_start __attribute__((visibility("hidden")));

static void __attribute__((constructor)) protect(void)
{
	const uintptr_t base = (uintptr_t)&__ehdr_start;
	const ElfW(Phdr) *ph = (const void *)(base + __ehdr_start.e_phoff);
	const uintptr_t page = getauxval(AT_PAGESZ);
	uintptr_t start, end;
	int i;

	for (i = 0; i < __ehdr_start.e_phnum; i++) {
		if (ph[i].p_type != PT_GNU_RELRO)
			continue;
		start = (base + ph[i].p_vaddr) & -page;
		end = (base + ph[i].p_vaddr + ph[i].p_memsz) & -page;
		if (end > start &&
		    mprotect((void *)start, end - start, PROT_READ) != 0)
			abort();
	}
}
