/* apns/reason.c - what an error answer of Apple's says. */
#include "apns.h"

#include <string.h>

#include "json.h"

/* Apple's error bodies have two members; a few more may come one day. */
#define BODY_TOKENS 32

static void read_body(struct send_answer *an)
{
	struct json_tok toks[BODY_TOKENS];
	struct json_err jerr;
	struct json j = { (const char *)an->body, an->body_len, toks };
	const struct json_tok *t;
	int n = json_parse(j.text, j.len, toks, BODY_TOKENS, &jerr);

	if (n < 1 || toks[0].type != JSON_OBJECT)
		return;
	t = json_get(&j, toks, "reason");
	if (t == NULL || json_string(&j, t, an->reason, sizeof(an->reason)) < 0)
		an->reason[0] = '\0';
	t = json_get(&j, toks, "timestamp");
	if (t != NULL)
		json_int(&j, t, &an->timestamp_ms);
}

void apns_read_answer(struct send_answer *an)
{
	if (an->body_len > 0)
		read_body(an);
	if (an->outcome == SEND_ANSWERED && an->status != 200 &&
	    an->reason[0] == '\0')
		strcpy(an->reason, APNS_NO_REASON);
}

/* Apple's reasons that somebody can do something about. */
static const struct {
	const char *reason, *words;
} reasons[] = {
	{ APNS_NO_REASON,
	    "Apple gives one: is it another server that answers (apnsHost, or "
	    "something in between)?" },
	{ "BadCertificate", "the certificate is not one for APNs" },
	{ "BadCertificateEnvironment",
	    "the certificate is for the other environment: set "
	    "apnsEnvironment" },
	{ "BadDeviceToken",
	    "the device token is unknown here: it is of the other "
	    "environment, or of a phone that is gone" },
	{ "BadEnvironmentKeyIdInToken",
	    "the key is for the other environment: set apnsEnvironment" },
	{ "BadTopic", "the topic is malformed: check keyFileTopic or topic" },
	{ "DeviceTokenNotForTopic",
	    "the device registered under another topic, as with an earlier "
	    "certificate" },
	{ "ExpiredProviderToken",
	    "the token is too old: this machine's clock is probably wrong" },
	{ "ExpiredToken", "the device token has expired" },
	{ "Forbidden", "Apple forbids it for this certificate or key" },
	{ "InvalidProviderToken",
	    "key, key id and team id do not belong together: check "
	    "keyFileP8, keyFileKeyId and keyFileTeamId (are the two ids "
	    "exchanged?)" },
	{ "MissingProviderToken",
	    "Apple wants a certificate or a token key for this topic" },
	{ "MissingTopic", "set topic, or keyFileTopic" },
	{ "TopicDisallowed",
	    "the topic does not belong to this key or certificate: check "
	    "keyFileTopic or topic" },
	{ "Unregistered", "the account was removed from the phone" },
	{ "UnrelatedKeyIdInToken",
	    "the key id is not that of this key: check keyFileKeyId" },
};

const char *apns_reason_words(const char *reason)
{
	size_t i;

	for (i = 0; i < sizeof(reasons) / sizeof(reasons[0]); i++)
		if (strcmp(reason, reasons[i].reason) == 0)
			return reasons[i].words;
	return "";
}
