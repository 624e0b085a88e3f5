# Home Assistant's options.json, one flat object, as lines of xapsd.yaml, whose
# "double" quotes take all that JSON's do.  Empty options are left out.
{ text = text $0 "\n" }

function fail(what) {
	print "options: " what >"/dev/stderr"
	bad = 1
	exit 1
}

END {
	if (bad)
		exit 1
	token = "\"([^\"\\\\]|\\\\.)*\"|[^][{}:, \t\r\n\"]+|[][{}:,]"
	for (n = 0; match(text, token); n++) {
		t = substr(text, RSTART, RLENGTH)
		text = substr(text, RSTART + RLENGTH)
		if (t == "[" || (t == "{" && n > 0))
			fail(key ": a list or an object is not taken")
		if (t == ":" || t ~ /^[{},]$/ || t == "]") {
			is_value = t == ":"
			continue
		}
		if (!is_value) {
			key = substr(t, 2, length(t) - 2)
			continue
		}
		if (t == "true" || t == "false")
			t = t == "true" ? "yes" : "no"
		if (t != "null" && t != "\"\"")
			print key ": " t
	}
}
