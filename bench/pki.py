"""Certificates for the benchmark: a device CA, a server CA, and a fleet of devices, all P-256.

make(directory, devices) writes
  device-root.pem, device-int.pem   the device CA; device-ca.pem is both
  crl.pem                           CRLs of root and intermediate, with REVOKED revoked devices
  server-leaf.pem, server-chain.pem the server's certificate alone, and with its intermediate
  server.key, server-both.pem       its key; chain and key in one file (HAProxy)
  server-leaf-both.pem              leaf and key in one file
  devices.pem                       key, certificate, key, certificate...
"""
import datetime
import os

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

REVOKED = 100
SERIAL = 1 << 100
START = datetime.datetime.utcnow() - datetime.timedelta(days=1)
END = START + datetime.timedelta(days=365)


def new_key():
    return ec.generate_private_key(ec.SECP256R1())


def name(common):
    return x509.Name([x509.NameAttribute(NameOID.ORGANIZATION_NAME, "bench"),
                      x509.NameAttribute(NameOID.COMMON_NAME, common)])


def certificate(common, key, issuer, issuer_key, serial, extensions):
    b = (x509.CertificateBuilder().subject_name(name(common)).issuer_name(issuer).public_key(key.public_key())
         .serial_number(serial).not_valid_before(START).not_valid_after(END)
         .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), False)
         .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(issuer_key.public_key()), False))
    for extension, critical in extensions:
        b = b.add_extension(extension, critical)
    return b.sign(issuer_key, hashes.SHA256())


def ca_extensions():
    usage = x509.KeyUsage(False, False, False, False, False, True, True, False, False)
    return [(x509.BasicConstraints(True, None), True), (usage, True)]


def leaf_extensions(purpose):
    usage = x509.KeyUsage(True, False, False, False, False, False, False, False, False)
    return [(x509.BasicConstraints(False, None), True), (usage, True), (x509.ExtendedKeyUsage([purpose]), False)]


def authority(what):
    """Root and intermediate: [(certificate, key), (certificate, key)]."""
    root_key, int_key = new_key(), new_key()
    root_name = name(what + " root")
    root = certificate(what + " root", root_key, root_name, root_key, SERIAL, ca_extensions())
    inter = certificate(what + " intermediate", int_key, root_name, root_key, SERIAL + 1, ca_extensions())
    return [(root, root_key), (inter, int_key)]


def crl(cert, key, serials):
    b = x509.CertificateRevocationListBuilder().issuer_name(cert.subject).last_update(START).next_update(END)
    for serial in serials:
        b = b.add_revoked_certificate(
            x509.RevokedCertificateBuilder().serial_number(serial).revocation_date(START).build())
    return b.sign(key, hashes.SHA256())


def pem(thing):
    return thing.public_bytes(serialization.Encoding.PEM)


def key_pem(key):
    return key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8,
                             serialization.NoEncryption())


def write(directory, file, *parts):
    with open(os.path.join(directory, file), "wb") as f:
        f.writelines(parts)


def make_server(directory):
    (_, _), (inter, inter_key) = authority("server")
    key = new_key()
    extensions = leaf_extensions(ExtendedKeyUsageOID.SERVER_AUTH)
    extensions.append((x509.SubjectAlternativeName([x509.DNSName("bench.test")]), False))
    leaf = certificate("bench.test", key, inter.subject, inter_key, SERIAL + 2, extensions)
    write(directory, "server-leaf.pem", pem(leaf))
    write(directory, "server-chain.pem", pem(leaf), pem(inter))
    write(directory, "server.key", key_pem(key))
    write(directory, "server-leaf-both.pem", pem(leaf), key_pem(key))
    write(directory, "server-both.pem", pem(leaf), pem(inter), key_pem(key))


def make(directory, devices):
    (root, root_key), (inter, inter_key) = authority("device")
    write(directory, "device-root.pem", pem(root))
    write(directory, "device-int.pem", pem(inter))
    write(directory, "device-ca.pem", pem(root), pem(inter))
    gone = range(SERIAL + (1 << 32), SERIAL + (1 << 32) + REVOKED)
    write(directory, "crl.pem", pem(crl(root, root_key, [])), pem(crl(inter, inter_key, gone)))
    make_server(directory)
    extensions = leaf_extensions(ExtendedKeyUsageOID.CLIENT_AUTH)
    with open(os.path.join(directory, "devices.pem"), "wb") as f:
        for i in range(devices):
            key = new_key()
            cert = certificate(f"dev-{i}", key, inter.subject, inter_key, SERIAL + 3 + i, extensions)
            f.writelines([key_pem(key), pem(cert)])
