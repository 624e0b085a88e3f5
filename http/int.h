/* http/int.h - what the files of http share.  Nobody else includes this.
 *
 * A file calls only those to the right of it:
 *   http.c -> conn.c -> request.c -> reply.c -> state.c -> capacity.c
 *                       request.c -> parse.c */
#ifndef HTTP_INT_H
#define HTTP_INT_H

#include "http.h"

#include "loop.h"

struct io_listener;

/* How long a new connection beyond the limit waits for another one to end,
 * which the kernel may already have reported. */
#define SURPLUS_MS 100

#define HTTP_IDLE_MS (10 * 60 * 1000) /* between requests */

enum http_conn_state {
	HTTP_CONN_OPENING, /* TLS handshake, or waiting for capacity */
	HTTP_CONN_IDLE,
	HTTP_CONN_HEAD,	   /* the head is incomplete */
	HTTP_CONN_BODY,	   /* the body is incomplete */
	HTTP_CONN_WAITING, /* for http_reply() */
	HTTP_CONN_GONE,	   /* the same, but the peer is gone */
	HTTP_CONN_REPLIED, /* the answer is in io_out() */
	HTTP_CONN_SENDING, /* until the peer has read it */
	HTTP_CONN_DEAD,	   /* freed by the loop's sweep */
};

/* What io's timeout is set for.  It keeps running from one request to the next,
 * so that a busy connection does not set it at all. */
enum timer_for {
	TIMER_NONE,
	TIMER_REQUEST, /* also the handshake */
	TIMER_SURPLUS,
	TIMER_IDLE,
	TIMER_SENDING,
};

struct link {
	struct link *prev, *next;
};

struct http_conn {
	struct link link; /* in http_capacity_list() */
	struct http_server *s;
	struct io *io;		 /* NULL when gone */
	struct loop_task resume; /* after a late answer */
	int64_t since_ms;	 /* when it was put into that list */
	size_t sending;		 /* bytes not taken when the timer was set */
	size_t weight; /* bytes in memory, see http_capacity_weigh() */
	/* the current request */
	size_t head_len, body_len, content_length;
	struct http_chunked chunked;
	unsigned char
	    state; /* enum http_conn_state, changed only by http_conn_set_state() */
	unsigned char timer; /* enum timer_for */
	unsigned char body;  /* enum http_body */
	bool over_unix, over_tls;
	uid_t uid;	   /* of a Unix socket's peer */
	struct peer *peer; /* the same, counted; NULL over TCP */
	bool fresh;	   /* has not sent a request yet */
	bool handshake;	   /* TLS, not done yet */
	bool surplus;	   /* beyond the limit: waits for capacity */
	bool eof;	   /* the peer sends no more */
	bool close;	   /* after this answer */
	bool http10, is_head, is_line;
	bool no_lines;	 /* it has sent HTTP, over TCP */
	bool expect;	 /* 100-continue is awaited */
	bool in_handler; /* the handler has not returned yet */
};

/* A user of this machine with connections to the Unix socket. */
struct peer {
	struct peer *next;
	uid_t uid;
	size_t n;
};

/* The connections of one kind. */
struct share {
	struct link idle;	/* longest-idle first */
	struct link unfinished; /* whose peer has to go on with a handshake, a
				 * request or reading an answer, longest
				 * first */
	size_t n, n_surplus;
};

enum {
	TCP,
	UNIX,
	N_SHARES
};

struct listener {
	struct listener *next;
	struct http_server *s;
	struct io_listener *li;
	struct tls_ctx *tls;
	bool is_unix;
};

struct http_server {
	struct loop *loop;
	http_handler *handler;
	void *arg;
	http_line_handler *line_handler;
	void *line_arg;
	struct listener *listeners;
	struct peer *peers;
	struct share shares[N_SHARES]; /* by http_conn.over_unix */
	struct link busy;	       /* waiting for us, or gone */
	int max_fd; /* of clients; io_listener_set_max_fd() */
	size_t max, n_waiting, weight;
	/* limit for new connections that wait for capacity, of TCP and of the
	 * Unix socket each, and for refused ones that linger in one second:
	 * part of what http.h calls extra */
	size_t surplus_max;
	struct loop_task admit; /* admits surplus ones */
	size_t n_handshakes;
	struct loop_timer handshakes; /* when the oldest may be ended */
	bool no_handshakes;	      /* TLS listeners are held */
	int64_t warned_ms;	      /* 0 never */
	int64_t linger_s;	      /* the second that n_lingers counts */
	unsigned n_lingers;
	bool quiet;
};

/* --- lists --- */

static inline void link_init(struct link *l)
{
	l->prev = l->next = l;
}

static inline void link_remove(struct link *l)
{
	l->prev->next = l->next;
	l->next->prev = l->prev;
}

static inline void link_append(struct link *list, struct link *l)
{
	l->prev = list->prev;
	l->next = list;
	list->prev->next = l;
	list->prev = l;
}

/* --- http/state.c --- */

/* The only function that changes it. */
void http_conn_set_state(struct http_conn *c, enum http_conn_state to);
void http_conn_set_timer(struct http_conn *c, enum timer_for what, int64_t ms);
/* Frees it; its io is gone. */
void http_conn_free(struct http_conn *c);
void http_conn_close(struct http_conn *c);
/* Closes so that what was written arrives even if the peer still sends: closing
 * over unread bytes would be a reset, which may overtake the answer. */
void http_conn_linger(struct http_conn *c);

/* --- http/reply.c --- */

/* These append to io_out(). */
void http_compose(struct http_conn *c, int status, const char *type,
    const char *extra, const void *body, size_t len);
void http_compose_line(struct http_conn *c, const char *text);
/* Answers what we do not pass to the handler; the connection ends. */
void http_conn_refuse(struct http_conn *c, int status, const char *reason);
/* Ends it in favour of another one. */
void http_conn_give_way(struct http_conn *c, const char *why);

/* --- http/request.c --- */

/* Reads a request, as far as it has come, and calls the handler when it is
 * complete.  False: nothing has come. */
bool http_read_request(struct http_conn *c);

/* --- http/conn.c --- */

/* The listener's callback: one more connection. */
void http_conn_accept(struct io_listener *li, int fd, void *arg);
/* The callback of http_server.admit. */
void http_conn_admit_waiting(void *arg);

/* --- http/capacity.c: counts and chooses, but ends nobody --- */

void http_capacity_init(struct http_server *s);
void http_capacity_end(struct http_server *s);
/* The list in which a connection of its state belongs. */
struct link *http_capacity_list(const struct http_conn *c);

/* For a new connection: counts its user until http_capacity_leave(); */
struct peer *http_capacity_peer(struct http_server *s, uid_t uid);
/* whether it is within the limits; */
bool http_capacity_allows(const struct http_conn *newcomer);
/* if not, which connection is to be ended for it, or NULL; */
struct http_conn *http_capacity_victim(const struct http_conn *newcomer);
/* counts it, as a surplus one if it is beyond the limits.  False: there are too
 * many of those. */
bool http_capacity_enter(struct http_conn *c);
/* It is within the limits now: no surplus connection any more. */
void http_capacity_admit(struct http_conn *c);
/* A surplus connection that is within the limits now, or NULL. */
struct http_conn *http_capacity_next(const struct http_server *s);
void http_capacity_leave(struct http_conn *c);

/* The TLS handshake that is to be ended for the next one, or NULL. */
struct http_conn *http_capacity_silent(const struct http_server *s);
/* To be called when a connection's handshake begins and when it is done; plain
 * connections do nothing. */
void http_capacity_handshake_begins(struct http_conn *c);
void http_capacity_handshake_done(struct http_conn *c);

/* Sets how many bytes a connection has in memory.  Returns another one that is
 * to be ended for it, or NULL; call it again after that. */
struct http_conn *http_capacity_weigh(struct http_conn *c, size_t bytes);

#endif
