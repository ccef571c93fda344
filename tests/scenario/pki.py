"""Certificates for the tests: CAs, devices, and everything that can be wrong with them. Written as PEM files."""
import datetime
import ipaddress
import os
import re

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

DAY = datetime.timedelta(days=1)


def utcnow():
    return datetime.datetime.utcnow().replace(microsecond=0)


def pem(thing):
    return thing.public_bytes(serialization.Encoding.PEM).decode()


def key_pem(key):
    return key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8,
                             serialization.NoEncryption()).decode()


def name(text, **more):
    parts = [x509.NameAttribute(NameOID.COMMON_NAME, text)]
    if "organization" in more:
        parts.insert(0, x509.NameAttribute(NameOID.ORGANIZATION_NAME, more["organization"]))
    return x509.Name(parts)


class Identity:
    """A key and certificate as files, to be shown to the edge."""

    def __init__(self, directory, label, chain, key):
        self.label, self.chain, self.private = label, chain, key
        self.cert = os.path.join(directory, label + ".crt")
        self.key = os.path.join(directory, label + ".key")
        with open(self.cert, "w") as f:
            f.write("".join(pem(c) for c in chain))
        with open(self.key, "w") as f:
            f.write(key_pem(key))

    @property
    def leaf(self):
        return self.chain[0]

    @property
    def ski(self):
        value = self.leaf.extensions.get_extension_for_class(x509.SubjectKeyIdentifier).value.digest
        return value.hex().upper()

    @property
    def fingerprint(self):
        return self.leaf.fingerprint(hashes.SHA256()).hex()


class Ca:
    """A certificate authority of the tests' own, with intermediates where asked."""

    def __init__(self, directory, label, issuer=None):
        self.dir, self.label, self.issuer = directory, label, issuer
        self.key = ec.generate_private_key(ec.SECP256R1())
        self.cert = self.sign(name(label), self.key.public_key(), issuer or self, ca=True)
        self.path = os.path.join(directory, label + "-ca.crt")
        with open(self.path, "w") as f:
            f.write(pem(self.cert))

    @property
    def pem(self):
        return pem(self.cert)

    def sign(self, subject, public, signer, ca=False, start=None, end=None, san=(), ski=None, serial=None, extra=(),
             usage=ExtendedKeyUsageOID.CLIENT_AUTH):
        issuer_name = subject if signer is self and ca else signer.cert.subject
        builder = x509.CertificateBuilder(issuer_name, subject, public, serial or x509.random_serial_number(),
                                          start or utcnow() - DAY, end or utcnow() + 365 * DAY)
        builder = builder.add_extension(x509.BasicConstraints(ca, None), True)
        builder = builder.add_extension(
            x509.SubjectKeyIdentifier(ski) if ski else x509.SubjectKeyIdentifier.from_public_key(public), False)
        builder = builder.add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(signer.key.public_key()), False)
        if ca:
            builder = builder.add_extension(x509.KeyUsage(False, False, False, False, False, True, True, False, False), True)
        else:
            builder = builder.add_extension(x509.ExtendedKeyUsage([usage]), False)
        if san:
            builder = builder.add_extension(x509.SubjectAlternativeName(san), False)
        for extension in extra:
            builder = builder.add_extension(extension, False)
        return builder.sign(signer.key, hashes.SHA256())

    def issue(self, label, key=None, **more):
        """A device's identity; `more` goes to sign()."""
        key = key or ec.generate_private_key(ec.SECP256R1())
        subject = more.pop("subject", None) or name(label)
        leaf = self.sign(subject, key.public_key(), self, **more)
        chain, ca = [leaf], self
        while ca.issuer:
            chain.append(ca.cert)
            ca = ca.issuer
        return Identity(self.dir, f"{self.label}-{label}", chain, key)

    def server(self, label, *hosts):
        names = [x509.IPAddress(ipaddress.ip_address(h)) if h[0].isdigit() else x509.DNSName(h) for h in hosts]
        return self.issue(label, subject=name(hosts[0]), san=names, usage=ExtendedKeyUsageOID.SERVER_AUTH)

    def crl(self, revoked=(), number=1, start=None, end=None, delta_of=None):
        """A revocation list as PEM."""
        start = start or utcnow() - DAY / 24
        builder = x509.CertificateRevocationListBuilder().issuer_name(self.cert.subject).last_update(start)
        builder = builder.next_update(end or utcnow() + 7 * DAY).add_extension(x509.CRLNumber(number), False)
        builder = builder.add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(self.key.public_key()), False)
        if delta_of is not None:
            builder = builder.add_extension(x509.DeltaCRLIndicator(delta_of), True)
        for cert in revoked:
            entry = x509.RevokedCertificateBuilder().serial_number(cert.serial_number).revocation_date(start)
            builder = builder.add_revoked_certificate(entry.build())
        return pem(builder.sign(self.key, hashes.SHA256()))


def csr(key, text):
    return pem(x509.CertificateSigningRequestBuilder().subject_name(name(text)).sign(key, hashes.SHA256()))


def new_key():
    return ec.generate_private_key(ec.SECP256R1())


def chain(text):
    """The certificates of a PEM text."""
    return [x509.load_pem_x509_certificate(part.encode()) for part in
            re.findall("-----BEGIN CERTIFICATE-----.*?-----END CERTIFICATE-----\n?", text, re.S)]
