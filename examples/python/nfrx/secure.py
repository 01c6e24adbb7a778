"""What a secure client and worker say to each other around CMS: doc/secure-jobs.md is the description of it."""

import json
import os
import secrets
from pathlib import Path
from typing import Any

from . import cms
from .api import Incoming
from .cms import CmsError, Identity, Peer, new_identity, peer_from_pem

SCHEME = "cms-x509-signed-v1"
MEDIA_TYPE = "application/cms"
# Of every certificate, for it shows to the broker: what counts is the fingerprint.
NAME = "nfrx example"
EPHEMERAL_DAYS = 7
KEPT_DAYS = 365
# All of it is in memory while it is sealed or opened, more than once.
LARGEST_SEALED = 256 * 1024 * 1024


def load_identity(path: str | None) -> Identity:
    """The identity in a file, which is made when there is none; without a file, one for this run only."""
    if path is None:
        return new_identity(NAME, EPHEMERAL_DAYS)
    if os.path.exists(path):
        identity = Identity.from_pem(Path(path).read_bytes())
        peer_from_pem(identity.certificate_pem)  # what the other side would refuse, is refused here
        return identity
    identity = new_identity(NAME, KEPT_DAYS)
    with open(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
        file.write(identity.to_pem())
    return identity


def make_offer(identity: Identity) -> dict[str, str]:
    """Stands as `secure_transfer` in a job's metadata and in a channel's properties: how to seal something for me.

    The nonce is repeated in what is sealed, so that nothing old can be put in its place.
    """
    return {"scheme": SCHEME, "certificate": identity.certificate_pem, "nonce": secrets.token_hex(16)}


def take_offer(source: dict[str, Any] | None, pins: list[str]) -> tuple[Peer, str]:
    """The other side and its nonce.

    With `pins`, fingerprints as `openssl x509 -fingerprint -sha256` prints them, only from these.
    """
    offer = (source or {}).get("secure_transfer")
    if not isinstance(offer, dict) or offer.get("scheme") != SCHEME:
        raise CmsError(f"the other side does not offer {SCHEME}")
    certificate, nonce = offer.get("certificate"), offer.get("nonce")
    if not isinstance(certificate, str) or not isinstance(nonce, str):
        raise CmsError("the offer is not complete")
    peer = peer_from_pem(certificate)
    known = [pin.replace(":", "").lower() for pin in pins]
    if known and peer.fingerprint not in known:
        raise CmsError(f"the other side's certificate is none of the pinned ones: {peer.fingerprint}")
    return peer, nonce


def context(claim: dict[str, Any], part: str, key: str, nonce: str) -> dict[str, str]:
    """What something sealed is for. Sealed along with it, and compared when it is opened."""
    return {"job_id": claim["job_id"], "type": claim["type"], "part": part, "key": key, "nonce": nonce}


def seal_for(identity: Identity, peer: Peer, purpose: dict[str, str], content_type: str, body: bytes) -> bytes:
    """Seals one line of JSON, the context, the sender's fingerprint and the content type, and after it the body."""
    header = json.dumps({**purpose, "from": identity.fingerprint, "content_type": content_type})
    sealed = cms.seal(identity, peer, header.encode() + b"\n" + body)
    if len(sealed) > LARGEST_SEALED:
        raise CmsError(f"sealed, it is more than {LARGEST_SEALED} bytes")
    return sealed


async def open_from(identity: Identity, peer: Peer, purpose: dict[str, str], incoming: Incoming) -> tuple[str, bytes]:
    """Opens what `peer` sealed in this context for `identity`, and nothing else: the content type and the body."""
    enveloped = cms.verify(peer, await incoming.read(LARGEST_SEALED))
    try:
        header, line_end, body = cms.decrypt(identity, enveloped).partition(b"\n")
        fields = json.loads(header)
        # The sender is named inside too, for whoever takes the signature off can put another one in its place.
        expected = {**purpose, "from": peer.fingerprint}
        if not line_end or any(fields.get(name) != value for name, value in expected.items()):
            raise CmsError("another context")
        return str(fields.get("content_type")), body
    except Exception:
        # One refusal for all that can be wrong. Told apart, wrong padding and a wrong header would help somebody who
        # signs another's envelopes as his own, with bits changed, to decrypt them (a padding oracle).
        raise CmsError("not sealed by the peer for this certificate and this job") from None
