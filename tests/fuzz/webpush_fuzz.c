/* webpush_fuzz.c - any text as a subscription, of the file or of an app: what an app
 * sends is refused, or written so that it is read again. */
#include "webpush.c"

static void check_fields(char *text)
{
	char *rest = text, to[WEBPUSH_TO_MAX], err[ERR_MAX], *at[4];
	static struct webpush w = { .public = "BABCDEFGHIJKLMNOP" };
	static unsigned char body[WEBPUSH_BODY_MAX];
	int i;

	for (i = 0; i < 4; i++)
		at[i] = rest != NULL ? strsep(&rest, "\n") : text;
	w.key = (struct tls_key *)&w; /* not used but for being there */
	if (webpush_subscribe(&w,
		&(struct webpush_sub){
		    .endpoint = at[0],
		    .p256dh = at[1],
		    .auth = at[2],
		    .code = rest != NULL ? at[3] : "",
		},
		to, err) != 0)
		return;
	if (webpush_state(&w, to) > WEBPUSH_UNCONFIRMED ||
	    webpush_encrypt(to, "x", 1, body) == 0)
		abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	char *text = xmalloc(size + 1), out[WEBPUSH_TO_MAX];
	static unsigned char body[WEBPUSH_BODY_MAX];
	char topic[WEBPUSH_TOPIC_LEN + 1], err[ERR_MAX];

	memcpy(text, data, size);
	text[size] = '\0';
	if (strlen(text) < WEBPUSH_TO_MAX)
		webpush_confirm(text, out);
	webpush_confirms(text, "c0de");
	webpush_topic(text, "alice", "INBOX", topic);
	webpush_encrypt(text, "x", 1, body);
	check_fields(text);
	free(text);
	return 0;
}
