"""An authority of the tests' own and what it signs: certificates for servers and clients of TLS.

    authority = Authority(folder)              # authority.ca_file
    pair = authority.issue("127.0.0.1")        # pair.certificate, pair.key: paths of PEM files
    authority.server(pair)                     # an ssl.SSLContext
"""

import datetime
import ipaddress
import os
import ssl

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

DAY = datetime.timedelta(days=1)


class Pair:
    def __init__(self, certificate, key):
        self.certificate, self.key = certificate, key


def _alternative(name):
    try:
        return x509.IPAddress(ipaddress.ip_address(name))
    except ValueError:
        return x509.DNSName(name)


class Authority:
    def __init__(self, folder, name="Tests"):
        self.folder, self.count = str(folder), 0
        self._name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, f"{name} authority")])
        self._key = ec.generate_private_key(ec.SECP256R1())
        self._own = self._sign(self._name, self._key, [], -DAY, 30 * DAY, is_authority=True)
        self.ca_file = self._write("ca.pem", self._own.public_bytes(serialization.Encoding.PEM))

    def _sign(self, subject, key, names, begins, ends, is_authority=False):
        now = datetime.datetime.utcnow()
        builder = (x509.CertificateBuilder().subject_name(subject).issuer_name(self._name)
                   .public_key(key.public_key()).serial_number(x509.random_serial_number())
                   .not_valid_before(now + begins).not_valid_after(now + ends)
                   .add_extension(x509.BasicConstraints(ca=is_authority, path_length=None), critical=True))
        if names:
            builder = builder.add_extension(
                x509.SubjectAlternativeName([_alternative(name) for name in names]), critical=False)
        return builder.sign(self._key, hashes.SHA256())

    def _write(self, name, data):
        path = os.path.join(self.folder, name)
        with open(path, "wb") as file:
            file.write(data)
        return path

    def issue(self, *names, expired=False, into=None):
        """A certificate for these names (or addresses); `into`: replaces the files of that pair."""
        key = ec.generate_private_key(ec.SECP256R1())
        subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, names[0])])
        begins, ends = (-3 * DAY, -DAY) if expired else (-DAY, 30 * DAY)
        signed = self._sign(subject, key, names, begins, ends)
        self.count += 1
        stem = os.path.basename(into.certificate)[:-9] if into else f"{self.count}"
        private = key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8,
                                    serialization.NoEncryption())
        return Pair(self._write(f"{stem}-cert.pem", signed.public_bytes(serialization.Encoding.PEM)),
                    self._write(f"{stem}-key.pem", private))

    def server(self, pair, asks_clients=False):
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(pair.certificate, pair.key)
        if asks_clients:
            context.verify_mode = ssl.CERT_REQUIRED
            context.load_verify_locations(self.ca_file)
        return context
