/* io/addr.c - addresses: as text, as the kernel has them, as 16 bytes. */
#include "io.h"

#include <arpa/inet.h>
#include <string.h>

static const unsigned char v4_prefix[12] = { [10] = 0xff, [11] = 0xff };

bool io_parse_ip(const char *text, unsigned char ip_r[16])
{
	memcpy(ip_r, v4_prefix, 12);
	return inet_pton(AF_INET, text, ip_r + 12) == 1 ||
	       inet_pton(AF_INET6, text, ip_r) == 1;
}

void io_addr_ip(const struct io_addr *addr, unsigned char ip_r[16])
{
	memcpy(ip_r, v4_prefix, 12);
	if (addr->sa.sa_family == AF_INET)
		memcpy(ip_r + 12, &addr->in4.sin_addr, 4);
	else
		memcpy(ip_r, &addr->in6.sin6_addr, 16);
}

int io_addr_port(const struct io_addr *addr)
{
	return ntohs(addr->sa.sa_family == AF_INET ? addr->in4.sin_port
						   : addr->in6.sin6_port);
}

const char *io_format_ip(const unsigned char ip[16], char out[IO_IP_MAX])
{
	bool v4 = memcmp(ip, v4_prefix, 12) == 0;

	if (inet_ntop(v4 ? AF_INET : AF_INET6, v4 ? ip + 12 : ip, out,
		IO_IP_MAX) == NULL)
		strcpy(out, "?");
	return out;
}
