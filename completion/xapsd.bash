# bash completion for xapsd(8).  tests/e2e/test_completion.py compares it with
# `xapsd --help`.
# shellcheck disable=SC2162	# backslashes are to go
# shellcheck disable=SC2086	# lists of words
# shellcheck disable=SC2001	# in ${//} bash 5.2 takes & for more

# _xapsd_field FIELD [USER [ACCOUNT]]: what the daemon's registrations have there.
_xapsd_field()
{
	"${words[0]}" ${conf:+-c "$conf"} list --json -- "${@:2:1}" \
		2>/dev/null </dev/null |
		LC_ALL=C grep -iF "\"account\":\"${3-}" |
		LC_ALL=C sed -n '/^{/{s/.*"'"$1"'":"//;s/","[a-z]*":.*//;s/\\\(.\)/\1/g;p;}' |
		sort -u
}

# A word as the shell would read it, without running what is in it.
_xapsd_plain()
{
	case $1 in
	\'*) plain=${1:1} plain=${plain%\'} ;;
	\"*) plain=${1:1} && IFS= read plain <<<"${plain%\"}" ;;
	*) IFS= read plain <<<"$1" ;;
	esac
}

# Those of the lines on stdin that begin as the word does.
_xapsd_offer()
{
	local line
	while IFS= read -r line; do
		[[ $line == "$plain"* ]] || continue
		case $cur in
		\'*) line=${line//\'/\'\\\'\'} ;;
		\"*) line=$(sed 's/[\\"$`]/\\&/g' <<<"$line") ;;
		*) printf -v line %q "$line" ;;
		esac
		COMPREPLY+=("${line#"$begun"}")
	done
}

_xapsd_words()
{
	_xapsd_offer < <(printf '%s\n' "$@")
}

_xapsd_files()
{
	mapfile -t COMPREPLY < <(compgen -f -- "$1")
	compopt -o filenames -o default 2>/dev/null
}

_xapsd()
{
	local commands='check status healthcheck list doctor push register forget export import csr pass
		help version'
	local options='-c --config -v --verbose --syslog -V --version -h --help'
	local words=() args=() word joins='' cur begun last plain
	local command='' conf='' value='' ended=''

	COMPREPLY=()
	# bash separates words at these, too.
	for word in "${COMP_WORDS[@]:0:COMP_CWORD+1}"; do
		if [[ ${#words[@]} -gt 1 && ( $joins || $word =~ ^[@:=]+$ ) ]]; then
			words[-1]+=$word
		else
			words+=("$word")
		fi
		[[ $word =~ ^[@:=]+$ ]] && joins=yes || joins=
	done
	cur=${words[-1]}
	last=${COMP_WORDS[COMP_CWORD]}
	[[ ! $joins ]] || last=
	begun=${cur%"$last"}	# what readline leaves as it is: an @ it replaces
	begun=${begun%@}

	for word in "${words[@]:1:${#words[@]}-2}"; do
		_xapsd_plain "$word"
		if [[ $value ]]; then
			[[ $value != config ]] || conf=$plain
			value=
			continue
		fi
		[[ ! $ended ]] || word=x$word
		case $word in
		--) ended=yes ;;
		-c=*|-config=*|--config=*) conf=${plain#*=} ;;
		-c|-config|--config) value=config ;;
		-v|-vv|-V|-h|*-verbose|*-syslog|*-json|*-offline|*-version|*-help) ;;
		-*=*) ;;
		-?*) value=other ;;
		*) [[ $command ]] && args+=("$plain") || command=$plain ;;
		esac
	done
	_xapsd_plain "$cur"

	case $command in
	check) options+=' --json --offline' ;;
	status|list|doctor) options+=' --json' ;;
	register) options+=' --user --id --mailbox' ;;
	esac
	if [[ $value ]]; then
		[[ $command == register ]] || _xapsd_files "$cur"
		return
	fi
	case $ended$cur in
	-c=*|-config=*|--config=*) _xapsd_files "$last"; return ;;
	-*) _xapsd_words $options; return ;;
	esac
	case $command:${#args[@]} in
	:*|help:0) _xapsd_words $commands ;;
	list:0|push:0|forget:0|doctor:0) _xapsd_offer < <(_xapsd_field user) ;;
	forget:1) _xapsd_offer < <(_xapsd_field account "${args[0]}") ;;
	forget:2) _xapsd_offer < <(_xapsd_field token "${args[@]}") ;;
	register:0) _xapsd_words webpush fcm deltachat ;;
	import:0|csr:0|register:1) _xapsd_files "$cur" ;;
	esac
}
complete -F _xapsd xapsd
