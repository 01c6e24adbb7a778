#!/bin/sh
# Installs the five nfrx programs from a release: downloads the archive for this machine, checks it and puts the programs,
# manual pages and completions below PREFIX (/usr/local for root, ~/.local for others).
#
#   sh install.sh            the newest release
#   sh install.sh 0.1.0      this one
#
# The archive must have the SHA-256 that SHA256SUMS names. When cosign or gh is installed, SHA256SUMS must also carry the
# signature of the release workflow; without either, the script says that it did not check the signature.
#
# NFRX_RELEASES  another place with the files of a release, as an https URL (plain http for this machine only)
# NFRX_SIGNATURE "required" fails where neither cosign nor gh is installed; "skip" does not check the signature
set -eu

# The signer: GitHub's certificate names the workflow that made the release. It takes the place of a public key.
repository=nfrx/nfrx
workflow=$repository/.github/workflows/release.yml
issuer=https://token.actions.githubusercontent.com

say() { echo "install.sh: $*" >&2; }
fail() {
  say "$*"
  exit 1
}

get() {
  case "$1" in
    https://*) protocol="=https" ;;
    http://127.0.0.1[:/]* | http://localhost[:/]* | http://\[::1\][:/]*) protocol="=http" ;;
    *) fail "$1 is not an https URL" ;;
  esac
  if command -v curl >/dev/null; then curl --proto "$protocol" --tlsv1.2 --fail --silent --show-error --location "$1" --output "$2"
  elif command -v wget >/dev/null; then wget -q "$1" -O "$2"
  else fail "install curl or wget first"; fi
}

checksum() {
  if command -v sha256sum >/dev/null; then sha256sum "$1"
  else shasum -a 256 "$1"; fi | cut -d ' ' -f 1
}

# Checks the signature of SHA256SUMS, where there is a program that can.
verify() {
  sums=$1/SHA256SUMS
  bundle=$1/SHA256SUMS.sigstore.json
  if [ "${NFRX_SIGNATURE:-}" = skip ]; then tool=none
  elif command -v cosign >/dev/null; then tool=cosign
  elif command -v gh >/dev/null && gh attestation verify --help >/dev/null 2>&1; then tool=gh
  elif [ "${NFRX_SIGNATURE:-}" = required ]; then fail "install cosign or gh to check the signature: nothing was installed"
  else tool=none; fi
  if [ "$tool" = none ]; then
    echo "The signature was not checked. To check it, install cosign or gh and run this again."
    return
  fi
  get "$releases/SHA256SUMS.sigstore.json" "$bundle" || fail "the release has no signature: nothing was installed"
  tag='v[0-9][0-9A-Za-z.+-]*'
  if [ "$tool" = cosign ]; then
    cosign verify-blob-attestation --bundle "$bundle" --new-bundle-format --type slsaprovenance1 \
      --certificate-oidc-issuer "$issuer" \
      --certificate-identity-regexp "^https://github\\.com/$repository/\\.github/workflows/release\\.yml@refs/tags/$tag\$" \
      "$sums" >"$1/verified" 2>&1
  else
    gh attestation verify "$sums" --bundle "$bundle" --repo "$repository" --signer-workflow "$workflow" \
      --cert-oidc-issuer "$issuer" --deny-self-hosted-runners >"$1/verified" 2>&1
  fi || {
    cat "$1/verified" >&2
    fail "the signature of SHA256SUMS is not that of $workflow: nothing was installed"
  }
  echo "The signature is that of $workflow (checked with $tool)."
}

main() {
  case "$(uname -s)" in
    Linux) os=linux ;;
    Darwin) os=darwin ;;
    *) fail "no build for $(uname -s); for Windows, download the zip" ;;
  esac
  case "$(uname -m)" in
    x86_64 | amd64) arch=x64 ;;
    aarch64 | arm64) arch=arm64 ;;
    *) fail "no build for $(uname -m)" ;;
  esac
  if [ "$os" = linux ] && ldd --version 2>&1 | grep -qi musl; then arch=$arch-musl; fi

  work=$(mktemp -d)
  trap 'rm -rf "$work"' EXIT
  version=${1:-}
  version=${version#v}
  if [ -n "${NFRX_RELEASES:-}" ]; then releases=${NFRX_RELEASES%/}
  elif [ -n "$version" ]; then releases=https://github.com/$repository/releases/download/v$version
  else releases=https://github.com/$repository/releases/latest/download; fi

  get "$releases/SHA256SUMS" "$work/SHA256SUMS" || fail "$releases has no SHA256SUMS"
  verify "$work"
  # The smaller archive where it can be unpacked; the tar of macOS needs no other program for it.
  if [ "$os" = darwin ] || command -v xz >/dev/null; then kind=xz unpack=-xJf
  else kind=gz unpack=-xzf; fi
  archive=$(grep -o "nfrx_${os}_${arch}_v[^ /]*\.tar\.$kind\$" "$work/SHA256SUMS" | head -n 1) || true
  [ -n "$archive" ] || fail "the release has no archive for $os $arch"
  get "$releases/$archive" "$work/$archive"
  wanted=$(grep " [*]*$archive\$" "$work/SHA256SUMS" | head -n 1 | cut -d ' ' -f 1)
  [ "$(checksum "$work/$archive")" = "$wanted" ] ||
    fail "$archive does not have the checksum in SHA256SUMS: nothing was installed"

  if [ "$(id -u)" = 0 ]; then prefix=${PREFIX:-/usr/local}; else prefix=${PREFIX:-$HOME/.local}; fi
  mkdir "$work/unpacked"
  tar "$unpack" "$work/$archive" -C "$work/unpacked" --strip-components=1
  mkdir -p "$prefix/bin" "$prefix/share"
  # One file under five names; a program that runs keeps the file it has.
  for name in nfrx nfrx-llm nfrx-asr nfrx-docling nfrx-mcp; do
    rm -f "$prefix/bin/$name"
    if [ "$name" = nfrx ]; then cp "$work/unpacked/nfrx" "$prefix/bin/nfrx"
    else ln "$prefix/bin/nfrx" "$prefix/bin/$name"; fi
  done
  cp -R "$work/unpacked/share/." "$prefix/share/"

  "$prefix/bin/nfrx" --version
  echo "The programs are in $prefix/bin. On the public host, run: nfrx init. On the machine of a model server, run: nfrx-llm init."
  case ":$PATH:" in *":$prefix/bin:"*) ;; *) echo "Put $prefix/bin in your PATH." ;; esac
}

# Last, so that half a download runs nothing.
main "$@"
