"""The phones that tests register: one, another, and any number of them."""

ACCOUNT = "0715A26B-CA09-4730-A419-793000CA982E"
TOKEN = "2918" + "0123456789abcdef" * 3 + "fedcba987654"
OTHER = "aaaa" + "0123456789abcdef" * 3 + "fedcba987654"


def token(n):
    return "%064x" % (0xabc000000000 + n)
