/* features.c - what to say of the features that `make FEATURES=...` left out.
 * features.mk lists them and defines XAPSD_FEATURES and XAPSD_WITHOUT_... */
#include "features.h"

#include <stdbool.h>
#include <stddef.h>
#include <string.h>

const char features_built[] = XAPSD_FEATURES;

/* One row for each feature, if it is missing. */
static const struct lack {
	const char *name;
	const char *keys; /* of the configuration, separated by blanks */
	const char *text;
} lacks[] = {
#define ROW(name, keys, cure)                                                  \
	{                                                                      \
		name, keys, "this xapsd was built without " name ": " cure     \
	}
#ifdef XAPSD_WITHOUT_P12
	ROW("p12", "certificateFileP12",
	    "it reads PEM without a password, as \"openssl pkcs12 -nodes -in "
	    "x.p12 -out x.pem\" or \"openssl pkey -in x.key -out y.key\" "
	    "write it"),
#endif
#ifdef XAPSD_WITHOUT_LINE
	ROW("line", "",
	    "install its own Dovecot plugin instead of the first-generation "
	    "one"),
#endif
#ifdef XAPSD_WITHOUT_GO_IMPORT
	ROW("go-import", "",
	    "take the Go daemon's registrations over with a build that has it, "
	    "or move its database away to begin without"),
#endif
#ifdef XAPSD_WITHOUT_TLS_LISTENER
	ROW("tls-listener", "tlsListenAddr tlsCertfile tlsKeyfile",
	    "let Dovecot use the Unix socket, or a tunnel or proxy with TLS in "
	    "front of listenAddr on loopback"),
#endif
#ifdef XAPSD_WITHOUT_PAGE
	ROW("page", "", "\"xapsd status\" and \"xapsd list\" show the same"),
#endif
#ifdef XAPSD_WITHOUT_SYSTEMD
	ROW("systemd", "",
	    "start it with Type=exec and without xapsd.socket, or use a build "
	    "with systemd"),
#endif
#ifdef XAPSD_WITHOUT_SHARED
	ROW("shared",
	    "sharedStore sharedPasswordFile sharedCaFile sharedPrefix "
	    "sharedSentinels sharedMaster",
	    "leave it out, or use a build with it on every node"),
#endif
#ifdef XAPSD_WITHOUT_WEBPUSH
	ROW("webpush", "vapidSubject pushAllow",
	    "use a build with it, or take the key out"),
#endif
#ifdef XAPSD_WITHOUT_DELTACHAT
	ROW("deltachat", "deltachatUrl",
	    "leave it out, or use a build with it"),
#endif
#ifdef XAPSD_WITHOUT_FCM
	ROW("fcm", "fcmServiceAccount fcmUrl",
	    "leave it out, or use a build with it"),
#endif
#ifdef XAPSD_WITHOUT_HOOKS
	ROW("hooks", "hooksDir", "leave it out, or use a build with it"),
#endif
#ifdef XAPSD_WITHOUT_BRANDS
	ROW("brands", "brandsDir",
	    "run a daemon for each credential, or use a build with it"),
#endif
#ifdef XAPSD_WITHOUT_TLS13
	ROW("tls13", "", "TLS 1.2 is spoken, which Apple and others take"),
#endif
#ifdef XAPSD_WITHOUT_DOCTOR
	ROW("doctor", "",
	    "\"xapsd list\", \"xapsd push\" and the log show more"),
#endif
#ifdef XAPSD_WITHOUT_CSR
	ROW("csr", "",
	    "\"openssl req -new -newkey rsa:2048 -nodes -subj /CN=push -keyout "
	    "push.key -out push.csr\" makes the same, on any machine"),
#endif
#ifdef XAPSD_WITHOUT_PROXY
	ROW("proxy", "apnsProxy",
	    "let this machine reach Apple directly, or use a build with it"),
#endif
#ifdef XAPSD_WITHOUT_PLUGIN_CHECK
	ROW("plugin-check", "",
	    "Dovecot's log says which module it cannot load"),
#endif
#undef ROW
	{ NULL, NULL, NULL },
};

const char *features_lack(const char *name)
{
	const struct lack *l = lacks;

	while (l->name != NULL && strcmp(l->name, name) != 0)
		l++;
	return l->text;
}

static bool has_word(const char *list, const char *word)
{
	size_t len = strlen(word), n;

	for (; *list != '\0'; list += n + (list[n] != '\0')) {
		n = strcspn(list, " ");
		if (n == len && memcmp(list, word, n) == 0)
			return true;
	}
	return false;
}

const char *features_lack_key(const char *key)
{
	const struct lack *l = lacks;

	while (l->name != NULL && !has_word(l->keys, key))
		l++;
	return l->text;
}
