#compdef xapsd
# zsh completion for xapsd(8).  tests/e2e/test_completion.py compares it with
# `xapsd --help`.

# What the daemon's registrations have in a field: _xapsd_field FIELD [USER
# [ACCOUNT]].
_xapsd_field() {
	local -a found
	conf=${(Q)opt_args[-c]:-${opt_args[--config]:-$conf}}
	found=(${(fu)"$($program ${conf:+-c} $conf list --json -- ${@:2:1} \
		2>/dev/null </dev/null | LC_ALL=C grep -iF "\"account\":\"$3" |
		LC_ALL=C sed -n \
		'/^{/{s/.*"'$1'":"//;s/","[a-z]*":.*//;s/\\\(.\)/\1/g;p;}')"})
	_wanted names expl $1 compadd -a found
}

_xapsd_commands() {
	local -a commands
	commands=(
		'check:can pushes be sent? step by step'
		'status:the running daemon at a glance'
		'healthcheck:is it well? exit 0 or 1, for containers'
		'list:the registered devices'
		"doctor:why a user's phone is woken, or not"
		"push:send a test push, show Apple's answer"
		'register:browsers, apps'
		'forget:remove registrations'
		"export:print all, in the Go daemon's format"
		"import:take over a Go daemon's, or another xapsd's"
		"csr:make a key and Apple's certificate request"
		"pass:the Go daemon's password hash"
		'help:this, or about a command'
		'version:version and build'
	)
	_describe command commands
}

_xapsd() {
	local curcontext=$curcontext state line program=${(Q)words[1]} conf expl
	local -A opt_args
	local -a options json
	options=(
		'(-c --config)'{-c,--config=}'[configuration]:file:_files'
		'*'{-v,--verbose}'[log level debug; twice: trace]'
		'--syslog[log to syslog instead of stderr]'
		'(- *)'{-V,--version}'[version and build]'
		'(- *)'{-h,--help}'[help]'
	)
	json='--json[for programs]'

	_arguments -S -C $options '1:command:_xapsd_commands' \
		'*::argument:->rest' && return
	[[ $state == rest ]] || return 1
	conf=${opt_args[-c]:-$opt_args[--config]}
	# It is left out if an option comes between.
	[[ $words[1] == $line[1] ]] ||
		{ words=($line[1] "$words[@]"); (( CURRENT++ )) }
	case $words[1] in
	check) _arguments -S $options $json '--offline[without the network]' ;;
	status) _arguments -S $options $json ;;
	list) _arguments -S $options $json '1:user: _xapsd_field user' ;;
	doctor) _arguments -S $options $json '1:user: _xapsd_field user' ;;
	push) _arguments -S $options '1:user: _xapsd_field user' \
		'2:mailbox: ' ;;
	forget) _arguments -S $options '1:user: _xapsd_field user' \
		'2:account: _xapsd_field account ${(Q)line[1]}' \
		'3:token: _xapsd_field token ${(Q)line[1]} ${(Q)line[2]}' ;;
	register) _arguments -S $options \
		'--user=[whose]:user: _xapsd_field user' \
		'--id=[the app'"'"'s name for it]:id: ' \
		'*--mailbox=[instead of INBOX]:mailbox: ' \
		'1:kind:(webpush fcm deltachat)' '2:file:_files' ;;
	import|csr) _arguments -S $options '1:file:_files' ;;
	help) _arguments -S $options '1:command:_xapsd_commands' ;;
	*) _arguments -S $options ;;
	esac
}

_xapsd "$@"
