#!/bin/sh
# Installs xapsd's modules into the Dovecot that is here, or takes them away.
usage='usage: sh install.sh [--no-config] [FOLDER]
       sh install.sh --uninstall | --which | --help
FOLDER holds the dovecot-xaps-plugin-*.tar.gz to choose from; without it the
modules beside this file are taken, else a tarball beside it.
  --no-config	leave the configuration of Dovecot alone
  --uninstall	take modules and sample away, if nothing else names them
  --which	print the name of the tarball for the Dovecot that is here
MODULEDIR and DOCDIR in the environment replace what is found.'
set -eu
version=
here=$(cd "$(dirname "$0")" && pwd)
umask 022
PATH=$PATH:/usr/sbin:/usr/local/sbin:/sbin
# shellcheck source=plugin/guard.sh
. "$here/guard.sh"
ready_made=yes

imap=lib95_xaps_imap_plugin.so
push=lib95_xaps_push_notification_plugin.so
settings=settings/lib95_xaps_settings.so
modules=
work=$(mktemp -d)
trap 'rm -rf "$work"; [ -z "$modules" ] || rm -f "$modules/$imap.new" \
	"$modules/$push.new" "$modules/$settings.new"' EXIT
trap 'exit 130' INT TERM HUP

# --- what is here ---

# Debian; Arch, Alpine, OpenWrt; Fedora, RHEL, SUSE; FreeBSD.  Dovecot itself knows
# best, but says nothing while its configuration has a mistake.
find_modules() {
	[ -z "${MODULEDIR-}" ] || { echo "$MODULEDIR"; return; }
	for dir in "$(doveconf -h mail_plugin_dir 2>/dev/null || :)" \
		/usr/lib/dovecot/modules /usr/lib/dovecot \
		/usr/lib64/dovecot /usr/lib64/dovecot/modules \
		/usr/lib/*/dovecot/modules /usr/local/lib/dovecot; do
		[ -z "$dir" ] || [ ! -e "$dir/lib15_notify_plugin.so" ] ||
			{ echo "$dir"; return; }
	done
	stop "No Dovecot was found: there is no folder with its modules. \
Install Dovecot first, or set MODULEDIR if it keeps them elsewhere \
(doveconf -h mail_plugin_dir)."
}

look_around() {
	modules=$(find_modules)
	dovecot=$(dovecot --version 2>/dev/null | head -n 1) || :
	file=$(which_file "$modules")
	[ -n "$file" ] || stop \
		"$modules/lib20_push_notification_plugin.so says nothing of its \
ABI. It is Dovecot's own, and the modules need it: is all of Dovecot installed?"
	theirs=$(abi "$(stock "$modules")")
	case ${dovecot:-$theirs} in
	"${theirs%.ABIv*}".*) ;;
	*) stop "$(command -v dovecot) is $dovecot, and the modules in $modules \
are those of another Dovecot, $theirs. Set MODULEDIR to the folder of the one that is \
in use (doveconf -h mail_plugin_dir)." ;;
	esac
}

sum() {
	if command -v sha256sum; then sha256sum "$1"
	elif command -v shasum; then shasum -a 256 "$1"
	elif command -v openssl; then openssl dgst -sha256 -r "$1"
	fi | sed -n 's/^\([0-9a-f]\{64\}\) .*/\1/p'
}

compare() {
	should=$(tr -d '\r' <"$from/SHA256SUMS" |
		sed -n "s/^\([0-9a-f]\{64\}\) [ *]$file\$/\1/p")
	[ -n "$should" ] || stop "$from/SHA256SUMS says nothing of $file: it is \
not whole, or of another release. If you have built the file yourself, put it into a \
folder without SHA256SUMS."
	is=$(sum "$from/$file")
	[ -n "$is" ] || stop "None of sha256sum, shasum and openssl is here to \
compare $file with SHA256SUMS. Nothing was installed."
	[ "$is" = "$should" ] || stop \
		"$from/$file is not what SHA256SUMS says: get it again."
}

# The folder of the modules that fit; from the tarball, if that is all there is.
find_ours() {
	if [ -z "$1" ] && [ -e "$here/$imap" ]; then
		ours=$here
		return
	fi
	from=${1:-$here}
	[ -e "$from/$file" ] || stop \
		"$file is what this Dovecot ($dovecot) needs, and it is not in \
$from. Get it from the release of xapsd $version, or build the plugin here from \
source."
	[ ! -e "$from/SHA256SUMS" ] || compare
	gzip -dc "$from/$file" | tar -C "$work" -xf - || stop \
		"$from/$file is damaged: get it again."
	ours=$work/${file%.tar.gz}
}

# --- modules ---

# A Dovecot that runs sees the old file or the new one, never half of one; what
# does not end in .so it does not see at all.
put() {
	[ ! -e "$modules/$1" ] || cp -p "$modules/$1" "$work/kept.${1##*/}"
	if ! cp "$ours/$1" "$modules/$1.new" ||
		! chmod 644 "$modules/$1.new"; then
		rm -f "$modules/$1.new"
		return 1
	fi
}

put_all() {
	all="$imap $push"
	if [ -e "$ours/$settings" ]; then
		all="$settings $all"
		mkdir -p "$modules/settings"
	fi
	for f in $all; do
		put "$f" || stop "Cannot write to $modules: nothing was \
installed. Run this as root; if the file system is read-only, where its image is \
made."
	done
	sync
	for f in $all; do
		mv -f "$modules/$f.new" "$modules/$f"
	done
}

put_back() {
	for f in $all; do
		rm -f "$modules/$f"
		[ ! -e "$work/kept.${f##*/}" ] || {
			cp -p "$work/kept.${f##*/}" "$modules/$f.new"
			mv -f "$modules/$f.new" "$modules/$f"
		}
	done
}

# --- configuration ---

has_group() {
	getent group "$1" >/dev/null 2>&1 || grep -q "^$1:" /etc/group
}

# With the line for the socket, if nobody else has set it.
sample() {
	if has_group xapsd-mail &&
		[ -z "$(doveconf -h mail_access_groups 2>/dev/null)" ]; then
		sed 's/^#\(mail_access_groups = \)/\1/' "$ours/90-xaps.conf"
	else
		cat "$ours/90-xaps.conf"
	fi
}

put_sample() {
	main=$(main_file)
	snippet=${main%/*}/conf.d/90-xaps.conf
	if is_named || [ -e "$snippet" ] || [ -L "$snippet" ]; then
		echo "Dovecot's configuration is left as it is."
	elif [ ! -d "${snippet%/*}" ]; then
		echo "There is no ${snippet%/*}: put what you need of" \
			"$doc/90-xaps.conf into $main"
		return
	else
		sample >"$snippet.new"
		chmod 644 "$snippet.new"
		mv -f "$snippet.new" "$snippet"
		if ! doveconf -n >/dev/null 2>"$work/said"; then
			rm -f "$snippet"
			cat "$work/said" >&2
			stop "Dovecot does not take $snippet, so it was removed \
again. The modules are installed. The sample is $doc/90-xaps.conf"
		fi
		is_named || echo "$main does not include conf.d/*.conf: include" \
			"$snippet"
		echo "$snippet is new: look at it."
		grep -q '^mail_access_groups' "$snippet" || echo \
			"For xapsd's socket put xapsd-mail into Dovecot's" \
			"mail_access_groups, once there is such a group: that of" \
			"the mail processes."
	fi
	! is_running || echo "Then:  doveadm reload"
}

install_all() {
	look_around
	find_ours "$1"
	may_install "$modules" "$ours/$imap"
	well=
	! doveconf -n >/dev/null 2>&1 || well=yes
	put_all
	if [ -n "$well" ] && ! doveconf -n >/dev/null 2>"$work/said"; then
		put_back
		cat "$work/said" >&2
		stop "Dovecot does not take the new modules, so they were \
removed again."
	fi
	mkdir -p "$doc" && cp "$ours/90-xaps.conf" "$doc/90-xaps.conf.new" &&
		mv -f "$doc/90-xaps.conf.new" "$doc/90-xaps.conf"
	echo "The modules of xapsd $version are in $modules, for Dovecot $dovecot"
	if [ -z "$well" ]; then
		echo "Dovecot's configuration has a mistake (doveconf -n shows" \
			"it) and is left as it is. The sample is" \
			"$doc/90-xaps.conf"
	elif [ -n "$config" ]; then
		put_sample
	fi
}

# --- away with it ---

# The sample as it was installed is ours to take away.
is_sample() {
	[ -f "$1" ] && [ ! -L "$1" ] && [ -e "$doc/90-xaps.conf" ] &&
		sed 's/^#\(mail_access_groups = xapsd-mail\)$/\1/' "$1" \
			>"$work/plain" &&
		sed 's/^#\(mail_access_groups = xapsd-mail\)$/\1/' \
			"$doc/90-xaps.conf" | cmp -s - "$work/plain"
}

uninstall() {
	modules=$(find_modules)
	main=$(main_file)
	snippet=${main%/*}/conf.d/90-xaps.conf
	aside=
	if is_sample "$snippet"; then
		aside=$snippet.removed
		mv -f "$snippet" "$aside"
	fi
	if ! (may_uninstall && reload); then
		[ -z "$aside" ] || mv -f "$aside" "$snippet"
		exit 1
	fi
	rm -f ${aside:+"$aside"} "$modules/$imap" "$modules/$push" \
		"$modules/$settings" "$doc/90-xaps.conf"
	rmdir "$doc" 2>/dev/null || :
	echo "The modules are gone from $modules"
}

main() {
	config=yes
	what=install
	folder=
	for word; do
		case $word in
		--no-config) config= ;;
		--uninstall | --which) what=${word#--} ;;
		--help | -h) echo "$usage"; exit 0 ;;
		-*) echo "$usage" >&2; exit 64 ;;
		*) folder=$word ;;
		esac
	done
	doc=${DOCDIR-/usr/share/doc/dovecot-xaps}
	case $what in
	install) install_all "$folder" ;;
	uninstall) uninstall ;;
	which) look_around && echo "$file" ;;
	esac
}

main "$@"
