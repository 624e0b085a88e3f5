/* io/resolve.c - getaddrinfo() in a thread of its own. */
#include "io/resolve.h"

#include <errno.h>
#include <netdb.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

#include "loop.h"
#include "mem.h"

/* getaddrinfo() of musl needs under 64 KiB, of glibc (NSS) somewhat more. */
#define STACK_BYTES (256 * 1024)
#define RESOLV_CONF "/etc/resolv.conf"

struct resolve {
	atomic_int refs; /* the loop's and the thread's */
	struct loop *loop;
	struct loop_fd f; /* the eventfd, while the loop waits for it */
	int done_fd;	  /* an eventfd: the thread is done; -1 without one */
	struct loop_task now; /* no thread was needed or possible */
	resolve_cb *cb;
	void *arg;
	char *host;
	char port[8];
	/* the thread's answer */
	int rc, saved_errno;
	struct addrinfo *addrs;
};

static void release(struct resolve *r)
{
	if (atomic_fetch_sub(&r->refs, 1) != 1)
		return;
	resolve_free_addrs(r->addrs);
	if (r->done_fd >= 0)
		close(r->done_fd);
	free(r->host);
	free(r);
}

void resolve_free_addrs(struct addrinfo *addrs)
{
	if (addrs != NULL)
		freeaddrinfo(addrs);
}

static void look_up(struct resolve *r, int flags)
{
	const struct addrinfo hints = {
		.ai_family = AF_UNSPEC,
		.ai_socktype = SOCK_STREAM,
		.ai_flags = flags | AI_NUMERICSERV,
	};

	r->rc = getaddrinfo(r->host, r->port, &hints, &r->addrs);
	r->saved_errno = errno;
	if (r->rc != 0)
		r->addrs = NULL;
}

static void *thread_main(void *arg)
{
	struct resolve *r = arg;
	const uint64_t one = 1;

	look_up(r, AI_ADDRCONFIG);
	/* On a machine with nothing but loopback, AI_ADDRCONFIG finds nothing.
	 * If no name server has answered, a second query is pointless. */
	if (r->rc != 0 && r->rc != EAI_AGAIN)
		look_up(r, 0);
	if (write(r->done_fd, &one, sizeof(one)) < 0)
		r->saved_errno = errno;
	release(r);
	return NULL;
}

/* Instead of gai_strerror()'s "Try again" and the like, which do not help and
 * differ from libc to libc. */
static const char *explain(const struct resolve *r)
{
	switch (r->rc) {
	case EAI_SYSTEM:
		return err_words(r->saved_errno);
	case EAI_NONAME:
	case EAI_NODATA:
		return "there is no such name";
	case EAI_AGAIN:
		break;
	case EAI_MEMORY:
		return err_words(ENOMEM);
	default:
		return "the name servers report a failure";
	}
	if (access(RESOLV_CONF, F_OK) < 0)
		return "no name server answers, and there is no " RESOLV_CONF
		       " that names one";
	return "no name server answers, see " RESOLV_CONF;
}

/* Reports the result and frees the handle. */
static void finish(struct resolve *r)
{
	struct addrinfo *addrs = r->addrs;
	const char *why = explain(r);
	resolve_cb *cb = r->cb;
	void *arg = r->arg;

	r->addrs = NULL;
	resolve_cancel(r);
	cb(arg, addrs, why);
}

static void on_done(void *arg, unsigned events)
{
	(void)events;
	finish(arg);
}

static void on_now(void *arg)
{
	finish(arg);
}

static int start_thread(struct resolve *r)
{
	pthread_attr_t attr;
	pthread_t t;
	sigset_t all, old;
	int rc;

	pthread_attr_init(&attr);
	pthread_attr_setdetachstate(&attr, PTHREAD_CREATE_DETACHED);
	pthread_attr_setstacksize(&attr, STACK_BYTES);
	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &old);
	rc = pthread_create(&t, &attr, thread_main, r);
	pthread_sigmask(SIG_SETMASK, &old, NULL);
	pthread_attr_destroy(&attr);
	return rc;
}

static int add_done_fd(struct resolve *r)
{
	r->done_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (r->done_fd < 0 ||
	    loop_fd_add(r->loop, &r->f, r->done_fd, LOOP_READ, on_done, r) < 0)
		return errno;
	return 0;
}

/* "[::1]" is an address in brackets. */
static char *bare_host(const char *host)
{
	size_t n = strlen(host);

	if (n > 2 && host[0] == '[' && host[n - 1] == ']')
		return xstrndup(host + 1, n - 2);
	return xstrdup(host);
}

struct resolve *resolve_start(
    struct loop *l, const char *host, int port, resolve_cb *cb, void *arg)
{
	struct resolve *r = xcalloc(1, sizeof(*r));
	int rc;

	atomic_init(&r->refs, 1);
	r->loop = l;
	r->cb = cb;
	r->arg = arg;
	r->f.fd = -1;
	r->done_fd = -1;
	r->host = bare_host(host);
	snprintf(r->port, sizeof(r->port), "%d", port);
	loop_task_init(&r->now, on_now, r);
	look_up(r, AI_NUMERICHOST);
	if (r->rc == 0) {
		loop_task_queue(l, &r->now);
		return r;
	}
	rc = add_done_fd(r);
	if (rc == 0) {
		atomic_fetch_add(&r->refs, 1);
		rc = start_thread(r);
		if (rc != 0)
			atomic_fetch_sub(&r->refs, 1);
	}
	if (rc != 0) {
		r->rc = EAI_SYSTEM;
		r->saved_errno = rc;
		loop_task_queue(l, &r->now);
	}
	return r;
}

void resolve_cancel(struct resolve *r)
{
	if (r == NULL)
		return;
	loop_task_cancel(r->loop, &r->now);
	loop_fd_del(r->loop, &r->f);
	release(r); /* the thread may still hold the other reference */
}
