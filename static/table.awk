# table.awk - what the features cost, as a table of Markdown.  Input: lines
#   BUILD TEXT DATA BSS ... FILE
# of size(1) and the bytes of the file, for "all", "none" and each "all,-FEATURE";
# lines: "FEATURE=LINES ..." in the order of the table.
function group(n) {	# 12,345
	n = sprintf("%d", n)
	if (n + 0 < 1000)
		return n
	return group(int(n / 1000)) "," sprintf("%03d", n % 1000)
}

function row(name, n, memory, lines) {
	if (memory < 0)		# less than sections are aligned to
		memory = 0
	printf "| %s | %s | %s | %s |\n", name, group(n), group(memory), lines
}

{
	bytes[$1] = $2 + $3
	memory[$1] = $3 + $4
	file[$1] = $NF
}

END {
	printf "\nAll: a file of %s bytes; none: %s.  A file grows by pages of " \
		"4 KB; this table counts what is in it.\n\n", \
		group(file["all"]), group(file["none"])
	print "| feature | bytes | static memory | lines |"
	print "|---|---|---|---|"
	n = split(lines, of)
	for (i = 1; i <= n; i++) {
		split(of[i], part, "=")
		without = "all,-" part[1]
		row("`" part[1] "`", bytes["all"] - bytes[without], \
			memory["all"] - memory[without], group(part[2]))
	}
	row("all the rest", bytes["none"], memory["none"], "")
	print ""
}
