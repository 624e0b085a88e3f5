/* http.c - HTTP/1.1 server: its listeners, its connections, its end. */
#include "http.h"

#include <limits.h>
#include <stdlib.h>

#include "buf.h"
#include "io.h"
#include "http/int.h"
#include "mem.h"

struct http_server *http_server_new(
    struct loop *l, size_t max_connections, http_handler *handler, void *arg)
{
	struct http_server *s = xcalloc(1, sizeof(*s));

	s->loop = l;
	http_server_set_max(s, max_connections, HTTP_EXTRA_FDS);
	s->max_fd = INT_MAX;
	s->handler = handler;
	s->arg = arg;
	http_capacity_init(s);
	loop_task_init(&s->admit, http_conn_admit_waiting, s);
	return s;
}

void http_server_set_lines(
    struct http_server *s, http_line_handler *handler, void *arg)
{
	s->line_handler = handler;
	s->line_arg = arg;
}

void http_server_set_max(
    struct http_server *s, size_t max_connections, size_t extra_fds)
{
	s->max = max_connections;
	/* Shared by surplus connections of two kinds and those that linger. */
	s->surplus_max = extra_fds / 8 > 0 ? extra_fds / 8 : 1;
}

void http_server_set_max_fd(struct http_server *s, int max_fd)
{
	struct listener *from;

	s->max_fd = max_fd;
	for (from = s->listeners; from != NULL; from = from->next)
		io_listener_set_max_fd(from->li, max_fd);
}

void http_server_listen(
    struct http_server *s, int fd, bool is_unix, struct tls_ctx *tls)
{
	struct listener *from = xcalloc(1, sizeof(*from));

	from->s = s;
	from->tls = tls;
	from->is_unix = is_unix;
	from->next = s->listeners;
	s->listeners = from;
	from->li = io_listen(s->loop, fd, http_conn_accept, from);
	io_listener_set_max_fd(from->li, s->max_fd);
}

void http_server_set_tls(struct http_server *s, struct tls_ctx *tls)
{
	struct listener *from;

	for (from = s->listeners; from != NULL; from = from->next)
		if (from->tls != NULL)
			from->tls = tls;
}

static void stop_listening(struct http_server *s)
{
	struct listener *from;

	while ((from = s->listeners) != NULL) {
		s->listeners = from->next;
		io_listener_free(from->li);
		/* http_conn_accept() may be on the stack above us */
		loop_defer_free(s->loop, from, free);
	}
}

/* A request that has arrived is still answered: closing would reset the
 * connection, and the client could not know whether we have read it. */
static void quiesce_share(struct share *sh)
{
	struct link *l, *next;
	struct http_conn *c;

	for (l = sh->idle.next; l != &sh->idle; l = next) {
		next = l->next;
		c = (struct http_conn *)l;
		if (io_in(c->io)->len == 0 && !io_has_input(c->io))
			http_conn_close(c);
	}
	for (l = sh->unfinished.next; l != &sh->unfinished; l = next) {
		next = l->next;
		c = (struct http_conn *)l;
		if (c->state == HTTP_CONN_SENDING)
			c->close = true;
		else if (c->state == HTTP_CONN_HEAD ||
			 c->state == HTTP_CONN_BODY)
			http_conn_refuse(c, 503, "shutting down");
		else
			http_conn_close(c);
	}
}

void http_server_quiesce(struct http_server *s)
{
	struct link *l;
	int i;

	s->quiet = true;
	stop_listening(s);
	for (i = 0; i < N_SHARES; i++)
		quiesce_share(&s->shares[i]);
	for (l = s->busy.next; l != &s->busy; l = l->next)
		((struct http_conn *)l)->close = true;
}

bool http_server_busy(const struct http_server *s)
{
	bool unread = false;
	int i;

	for (i = 0; i < N_SHARES && s->quiet; i++)
		unread |= s->shares[i].idle.next != &s->shares[i].idle;
	return s->n_waiting > 0 || unread;
}

size_t http_server_connections(const struct http_server *s)
{
	return s->shares[TCP].n + s->shares[UNIX].n;
}

static void close_all(struct link *list)
{
	struct http_conn *c;

	while (list->next != list) {
		c = (struct http_conn *)list->next;
		if (c->io != NULL)
			io_flush(c->io); /* the loop may not run again */
		http_conn_close(c);
	}
}

void http_server_free(struct http_server *s)
{
	int i;

	if (s == NULL)
		return;
	http_server_quiesce(s);
	close_all(&s->busy);
	for (i = 0; i < N_SHARES; i++) {
		close_all(&s->shares[i].idle);
		close_all(&s->shares[i].unfinished);
	}
	http_capacity_end(s);
	loop_task_cancel(s->loop, &s->admit);
	loop_defer_free(s->loop, s, free);
}
