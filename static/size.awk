# size.awk - size of an executable by object file: adds up the sections in a map
# of GNU ld.  Only without LTO, which leaves no object files to count by.
# Section lines: [name] address size file; long names have a line of their own.
function hex(s,   i, n) {
	s = tolower(s)
	for (i = 3; i <= length(s); i++)
		n = n * 16 + index("0123456789abcdef", substr(s, i, 1)) - 1
	return n
}

function add(size, file, name) {
	if (size == 0 || name ~ /^\.(bss|comment|debug|note|symtab|strtab)/)
		return
	if (file ~ /libc\.a\(/ || file ~ /\/musl\/lib\//)
		group = "musl"
	else if (file ~ /libgcc/)
		group = "libgcc"
	else {
		group = file
		sub(/\.o$/, "", group)
		if (file ~ /\/mbedtls\//) {
			sub(/.*\//, "", group)
			group = "mbedtls " group
		} else {
			sub(/^build\/static\/[^\/]*\//, "", group)
			group = "xapsd " group
		}
	}
	bytes[group] += size
}
/^Linker script and memory map/ { on = 1 }
/^OUTPUT\(/ { on = 0 }
!on { next }
/^ \.[^ ]+$/ { held = $1; next }
/^ \.[^ ]+ +0x/ { add(hex($3), $4, $1); held = ""; next }
/^ +0x[0-9a-f]+ +0x[0-9a-f]+ [^ ]/ && held != "" {
	add(hex($2), $3, held)
	held = ""
	next
}
{ held = "" }
END {
	for (group in bytes)
		printf "%8d  %s\n", bytes[group], group
}
