"""CMS (RFC 5652) as doc/secure-jobs.md lays it down: EnvelopedData for the recipient inside SignedData by the sender.

cryptography makes the signature. It cannot verify one, and knows no other key transport than PKCS #1 v1.5, so the rest
is asn1crypto's structures with cryptography's primitives.
"""

import hmac
import os
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from asn1crypto import cms, core
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import padding, rsa
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
from cryptography.hazmat.primitives.padding import PKCS7
from cryptography.hazmat.primitives.serialization import Encoding, pkcs7

KEY_BITS = 3072
SHORTEST_KEY_BITS = 2048
AES_KEY_BYTES = 32
AES_BLOCK_BYTES = 16

OAEP = padding.OAEP(padding.MGF1(hashes.SHA256()), hashes.SHA256(), label=None)
SHA256 = {"algorithm": "sha256"}
OAEP_PARAMETERS = {
    "hash_algorithm": SHA256,
    "mask_gen_algorithm": {"algorithm": "mgf1", "parameters": SHA256},
}


class CmsError(Exception):
    """Something is not as it must be; what came is to be refused."""


@dataclass
class Identity:
    """A certificate with its private key, which both signs and decrypts."""

    certificate: x509.Certificate
    key: rsa.RSAPrivateKey

    @property
    def certificate_pem(self) -> str:
        return self.certificate.public_bytes(Encoding.PEM).decode()

    @property
    def fingerprint(self) -> str:
        return self.certificate.fingerprint(hashes.SHA256()).hex()

    def to_pem(self) -> str:
        form = serialization.PrivateFormat.PKCS8
        return self.key.private_bytes(Encoding.PEM, form, serialization.NoEncryption()).decode() + self.certificate_pem

    @classmethod
    def from_pem(cls, pem: bytes) -> "Identity":
        """From one PRIVATE KEY (PKCS #8) and one CERTIFICATE, in any order."""
        key = serialization.load_pem_private_key(pem, password=None)
        if not isinstance(key, rsa.RSAPrivateKey):
            raise CmsError("the identity's key is not an RSA key")
        return cls(x509.load_pem_x509_certificate(pem), key)


@dataclass
class Peer:
    certificate: x509.Certificate
    key: rsa.RSAPublicKey
    fingerprint: str


def new_identity(name: str, days: int) -> Identity:
    """A new key with a certificate that it signs itself."""
    key = rsa.generate_private_key(public_exponent=65537, key_size=KEY_BITS)
    subject = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, name)])
    usage = dict.fromkeys(
        ["content_commitment", "data_encipherment", "key_agreement", "key_cert_sign", "crl_sign"]
        + ["encipher_only", "decipher_only"],
        False,
    )
    now = datetime.now(UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))  # for clocks that are late
        .not_valid_after(now + timedelta(days=days))
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(x509.KeyUsage(digital_signature=True, key_encipherment=True, **usage), critical=True)
        .sign(key, hashes.SHA256())
    )
    return Identity(certificate, key)


def peer_from_pem(pem: str) -> Peer:
    """The other side's certificate, when it is one that this form can work with today."""
    try:
        certificate = x509.load_pem_x509_certificate(pem.encode())
        key = certificate.public_key()
    except Exception as error:
        raise CmsError("not a certificate") from error
    if not isinstance(key, rsa.RSAPublicKey):
        raise CmsError("the certificate's key is not an RSA key")
    if key.key_size < SHORTEST_KEY_BITS:
        raise CmsError(f"the certificate's key has only {key.key_size} bits")
    if not certificate.not_valid_before_utc <= datetime.now(UTC) <= certificate.not_valid_after_utc:
        raise CmsError("the certificate is not valid now")
    try:
        usage = certificate.extensions.get_extension_for_class(x509.KeyUsage).value
        fits = usage.digital_signature and usage.key_encipherment
    except Exception:  # without one, or with extensions that cannot be read
        fits = False
    if not fits:
        raise CmsError("the certificate is not for signing and encrypting")
    return Peer(certificate, key, certificate.fingerprint(hashes.SHA256()).hex())


def seal(identity: Identity, peer: Peer, plain: bytes) -> bytes:
    """Encrypts for `peer`, then signs as `identity`."""
    options = [pkcs7.PKCS7Options.Binary, pkcs7.PKCS7Options.NoCapabilities, pkcs7.PKCS7Options.NoCerts]
    return (
        pkcs7.PKCS7SignatureBuilder()
        .set_data(_encrypt(peer, plain))
        .add_signer(identity.certificate, identity.key, hashes.SHA256())
        .sign(Encoding.DER, options)
    )


def verify(peer: Peer, sealed: bytes) -> bytes:
    """What is inside the signature. Raises when that is not the peer's, or has another form."""
    # Parsers fail in many ways; to the caller they are one.
    try:
        return _verified(peer, sealed)
    except Exception as error:
        raise CmsError("the signature is not the peer's") from error


def _encrypt(peer: Peer, plain: bytes) -> bytes:
    key, iv = os.urandom(AES_KEY_BYTES), os.urandom(AES_BLOCK_BYTES)
    padder = PKCS7(algorithms.AES256.block_size).padder()
    encryptor = Cipher(algorithms.AES256(key), modes.CBC(iv)).encryptor()
    encrypted = encryptor.update(padder.update(plain) + padder.finalize()) + encryptor.finalize()
    certificate = cms.Certificate.load(peer.certificate.public_bytes(Encoding.DER))
    recipient = {
        "version": "v0",
        "rid": cms.RecipientIdentifier(
            "issuer_and_serial_number",
            {"issuer": certificate.issuer, "serial_number": certificate.serial_number},
        ),
        "key_encryption_algorithm": {"algorithm": "rsaes_oaep", "parameters": OAEP_PARAMETERS},
        "encrypted_key": peer.key.encrypt(key, OAEP),
    }
    enveloped = {
        "version": "v0",
        "recipient_infos": [cms.RecipientInfo("ktri", recipient)],
        "encrypted_content_info": {
            "content_type": "data",
            "content_encryption_algorithm": {"algorithm": "aes256_cbc", "parameters": iv},
            "encrypted_content": encrypted,
        },
    }
    return cms.ContentInfo({"content_type": "enveloped_data", "content": enveloped}).dump()


def _verified(peer: Peer, sealed: bytes) -> bytes:
    signed = _content(sealed, "signed_data")
    (signer,) = signed["signer_infos"]
    attributes = {attribute["type"].native: attribute["values"].native for attribute in signer["signed_attrs"]}
    content = signed["encap_content_info"]["content"].native
    digest = hashes.Hash(hashes.SHA256())
    digest.update(content)
    # One form and no other. Without signed attributes, for one, another message's attributes could be passed off as
    # the content.
    _require(signer["digest_algorithm"]["algorithm"].native == "sha256")
    _require(signer["signature_algorithm"]["algorithm"].native in ("rsassa_pkcs1v15", "sha256_rsa"))
    _require(signed["encap_content_info"]["content_type"].native == "data")
    _require(attributes["content_type"] == ["data"])
    _require(len(attributes["message_digest"]) == 1)
    _require(hmac.compare_digest(attributes["message_digest"][0], digest.finalize()))
    # What is signed is the attributes with the tag of a SET. Whatever certificates came along, only the peer's counts.
    data = b"\x31" + signer["signed_attrs"].dump()[1:]
    peer.key.verify(signer["signature"].native, data, padding.PKCS1v15(), hashes.SHA256())
    return content


def decrypt(identity: Identity, content: bytes) -> bytes:
    """What is inside the envelope. To be called with what `verify` gave only.

    Raises in many ways when it is not encrypted for `identity`; which of them it was, nobody else may learn.
    """
    enveloped = _content(content, "enveloped_data")
    (recipient,) = enveloped["recipient_infos"]
    _require(recipient.name == "ktri")
    transport = recipient.chosen["key_encryption_algorithm"]
    _require(transport["algorithm"].native == "rsaes_oaep")
    _require(transport["parameters"]["hash_algorithm"]["algorithm"].native == "sha256")
    info = enveloped["encrypted_content_info"]
    cipher = info["content_encryption_algorithm"]
    _require(cipher["algorithm"].native == "aes256_cbc")
    key = identity.key.decrypt(recipient.chosen["encrypted_key"].native, OAEP)
    decryptor = Cipher(algorithms.AES256(key), modes.CBC(cipher["parameters"].native)).decryptor()
    unpadder = PKCS7(algorithms.AES256.block_size).unpadder()
    padded = decryptor.update(info["encrypted_content"].native) + decryptor.finalize()
    return unpadder.update(padded) + unpadder.finalize()


def _content(der: bytes, content_type: str) -> core.Sequence:
    info = cms.ContentInfo.load(der, strict=True)
    _require(info["content_type"].native == content_type)
    return info["content"]


def _require(holds: bool) -> None:
    if not holds:
        raise CmsError("another form")
