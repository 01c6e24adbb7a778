#!/bin/sh
# Installs the five nfrx programs from a release: downloads the archive for this machine, checks its SHA-256 and puts
# the programs, manual pages and completions below PREFIX (/usr/local for root, ~/.local for others).
#
#   sh install.sh            the newest release
#   sh install.sh 0.1.0      this one
#
# NFRX_RELEASES names another place than GitHub that has the files of a release, as a URL.
set -eu

repository=https://github.com/nfrx/nfrx
fail() {
  echo "install.sh: $*" >&2
  exit 1
}

case "$(uname -s)" in
  Linux) os=linux ;;
  Darwin) os=darwin ;;
  *) fail "no build for $(uname -s); Windows has a zip of its own" ;;
esac
case "$(uname -m)" in
  x86_64 | amd64) arch=x64 ;;
  aarch64 | arm64) arch=arm64 ;;
  *) fail "no build for $(uname -m)" ;;
esac
if [ "$os" = linux ] && ldd --version 2>&1 | grep -qi musl; then arch=$arch-musl; fi

get() {
  if command -v curl >/dev/null; then curl -fsSL "$1" -o "$2"
  elif command -v wget >/dev/null; then wget -q "$1" -O "$2"
  else fail "neither curl nor wget is here"; fi
}
checksum() {
  if command -v sha256sum >/dev/null; then sha256sum "$1"
  else shasum -a 256 "$1"; fi | cut -d ' ' -f 1
}

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
version=${1:-}
if [ -n "${NFRX_RELEASES:-}" ]; then releases=$NFRX_RELEASES
elif [ -n "$version" ]; then releases=$repository/releases/download/v$version
else releases=$repository/releases/latest/download; fi

get "$releases/SHA256SUMS" "$work/SHA256SUMS" || fail "$releases has no SHA256SUMS"
# The smaller archive where it can be unpacked; the tar of macOS needs no other program for it.
if [ "$os" = darwin ] || command -v xz >/dev/null; then kind=xz unpack=-xJf
else kind=gz unpack=-xzf; fi
archive=$(grep -o "nfrx_${os}_${arch}_v[^ ]*\.tar\.$kind" "$work/SHA256SUMS" | head -n 1) || true
[ -n "$archive" ] || fail "the release has no archive for $os $arch"
get "$releases/$archive" "$work/$archive"
wanted=$(grep " [*]*$archive\$" "$work/SHA256SUMS" | cut -d ' ' -f 1)
[ "$(checksum "$work/$archive")" = "$wanted" ] || fail "$archive is not what SHA256SUMS says: nothing was installed"

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
echo "The programs are in $prefix/bin. On the public host: nfrx init. Beside a model server: nfrx-llm init."
case ":$PATH:" in *":$prefix/bin:"*) ;; *) echo "Put $prefix/bin in your PATH." ;; esac
