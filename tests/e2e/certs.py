"""Keys and certificates for the tests, made when they are needed.

A Certs makes in one directory all that the journey needs; a CA by itself
issues whatever else a test wants (expired, wrong name, another issuer)."""

import datetime
import ipaddress
import os
import uuid

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

SERVER_NAMES = ("localhost", "api.push.test")
SERVER_ADDRESSES = ("127.0.0.1", "::1")

KEY_ID = "ABCDE12345"
TEAM_ID = "TEAM567890"
KEY_TOPIC = "com.apple.mobilemail.push.org.example"


def ec_key(curve=ec.SECP256R1):
    return ec.generate_private_key(curve())


def rsa_key(bits=2048):
    return rsa.generate_private_key(public_exponent=65537, key_size=bits)


def key_pem(key, password=None):
    """PKCS#8, which is also what Apple's .p8 files are."""
    how = (serialization.BestAvailableEncryption(password.encode())
           if password else serialization.NoEncryption())
    return key.private_bytes(serialization.Encoding.PEM,
                             serialization.PrivateFormat.PKCS8, how)


def public_pem(key):
    return key.public_key().public_bytes(
        serialization.Encoding.PEM,
        serialization.PublicFormat.SubjectPublicKeyInfo)


def cert_pem(cert):
    return cert.public_bytes(serialization.Encoding.PEM)


def name(*pairs):
    """A distinguished name of (NameOID member's name, value) pairs."""
    return x509.Name([x509.NameAttribute(getattr(NameOID, oid), value)
                      for oid, value in pairs])


class CA:
    """An issuer; parent makes it an intermediate one."""

    def __init__(self, common_name="xapsd test CA", parent=None, key=None):
        self.key = key or ec_key()
        self.subject = name(("COMMON_NAME", common_name))
        usage = x509.KeyUsage(
            digital_signature=False, content_commitment=False,
            key_encipherment=False, data_encipherment=False,
            key_agreement=False, key_cert_sign=True, crl_sign=True,
            encipher_only=False, decipher_only=False)
        issuer = parent or self
        self.cert = issuer.sign(self.subject, self.key.public_key(), (
            (x509.BasicConstraints(ca=True, path_length=None), True),
            (usage, True)))

    def sign(self, subject, public_key, extensions, days=365, age_days=1):
        now = datetime.datetime.utcnow().replace(microsecond=0)
        builder = (
            x509.CertificateBuilder()
            .subject_name(subject)
            .issuer_name(self.subject)
            .public_key(public_key)
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - datetime.timedelta(days=age_days))
            .not_valid_after(now + datetime.timedelta(days=days)))
        for extension, critical in extensions:
            builder = builder.add_extension(extension, critical)
        return builder.sign(self.key, hashes.SHA256())

    def server(self, names=SERVER_NAMES, addresses=SERVER_ADDRESSES,
               key=None, **validity):
        """(key, certificate) for a server of these names."""
        key = key or ec_key()
        san = [x509.DNSName(n) for n in names]
        san += [x509.IPAddress(ipaddress.ip_address(a)) for a in addresses]
        usage = x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH])
        subject = name(("COMMON_NAME", names[0] if names else "server"))
        return key, self.sign(subject, key.public_key(), (
            (x509.SubjectAlternativeName(san), False),
            (usage, False)), **validity)

    def client(self, topic=None, key=None, subject=None, **validity):
        """(key, certificate) as Apple issues them: RSA, UID is the topic."""
        key = key or rsa_key()
        if subject is None:
            subject = name(("USER_ID", topic),
                           ("COMMON_NAME", "APSP:" + topic.split(".")[-1]),
                           ("COUNTRY_NAME", "US"))
        usage = x509.ExtendedKeyUsage([ExtendedKeyUsageOID.CLIENT_AUTH])
        return key, self.sign(subject, key.public_key(), (
            (usage, False),), **validity)


def write(path, *parts):
    with open(path, "wb", opener=lambda p, f: os.open(p, f, 0o600)) as out:
        out.write(b"".join(parts))
    return path


class Certs:
    """The files of one test run, paths as attributes:
    ca, other_ca, server (certificate and key), client_cert, client_key,
    client (both in one file), p8."""

    def __init__(self, directory):
        at = lambda file: os.path.join(directory, file)
        self.directory = str(directory)
        self.issuer = CA()
        self.ca = write(at("ca.pem"), cert_pem(self.issuer.cert))
        self.other_ca = write(at("other-ca.pem"),
                              cert_pem(CA("another CA").cert))

        key, cert = self.issuer.server()
        self.server = write(at("server.pem"), cert_pem(cert), key_pem(key))

        self.cert_topic = "com.apple.mail.XServer." + str(uuid.uuid4())
        key, cert = self.issuer.client(self.cert_topic)
        self.client_cert = write(at("client.crt"), cert_pem(cert))
        self.client_key = write(at("client.key"), key_pem(key))
        self.client = write(at("client.pem"), cert_pem(cert), key_pem(key))

        self.key_id, self.team_id = KEY_ID, TEAM_ID
        self.key_topic = KEY_TOPIC
        self.token_key = ec_key()
        self.p8 = write(at("AuthKey_%s.p8" % KEY_ID), key_pem(self.token_key))
