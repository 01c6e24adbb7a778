#!/usr/bin/env python3
"""Makes an identity for the secure programs, and tells its fingerprint; doc/secure-jobs.md tells what for."""

import sys

from nfrx.cli import parser
from nfrx.cms import CmsError
from nfrx.secure import load_identity

DESCRIPTION = """Makes a key and a certificate in FILE, when there is no such file, and prints the certificate's
fingerprint (SHA-256): what the other side wants as its --peer, told by a way that the broker has no hand in."""

if __name__ == "__main__":
    top = parser(DESCRIPTION, "")
    top.add_argument("file", metavar="FILE")
    try:
        print(load_identity(top.parse_args().file).fingerprint)
    except (CmsError, OSError) as error:
        sys.exit(f"error: {error}")
