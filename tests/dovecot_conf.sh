#!/bin/sh
# To be read by others: a Dovecot of their own, for IMAP, where everybody is
# let in.

# VERSION LINE ...: its configuration, with more lines.
configuration() {
	version=$1
	shift
	case $version in
	2.3.*) cat <<-END
		protocols = imap
		ssl = no
		disable_plaintext_auth = no
		mail_location = maildir:~/Maildir
		passdb {
		  driver = static
		  args = password=secret
		}
		userdb {
		  driver = static
		  args = uid=10000 gid=10000 home=/tmp/%u allow_all_users=yes
		}
		END
		;;
	*) cat <<-END
		dovecot_config_version = 2.4.0
		dovecot_storage_version = 2.4.0
		protocols {
		  imap = yes
		}
		ssl = no
		auth_allow_cleartext = yes
		mail_driver = maildir
		mail_path = ~/Maildir
		mail_home = /tmp/%{user}
		mail_uid = 10000
		mail_gid = 10000
		passdb static {
		  password = secret
		}
		userdb static {
		}
		END
		;;
	esac
	printf '%s\n' 'log_path = /tmp/log' 'listen = 127.0.0.1' "$@"
}
