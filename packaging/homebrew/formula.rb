# One formula of the tap; `npm run release` makes five of it, with the checksums of the archives.
class FormulaName < Formula
  desc "@DESCRIPTION@"
  homepage "https://github.com/@REPOSITORY@"
  version "@VERSION@"
  license "MIT"

  on_macos do
    on_arm do
      url "https://github.com/@REPOSITORY@/releases/download/v@VERSION@/nfrx_darwin_arm64_v@VERSION@.tar.xz"
      sha256 "@SHA256_darwin_arm64@"
    end
    on_intel do
      url "https://github.com/@REPOSITORY@/releases/download/v@VERSION@/nfrx_darwin_x64_v@VERSION@.tar.xz"
      sha256 "@SHA256_darwin_x64@"
    end
  end

  on_linux do
    on_arm do
      url "https://github.com/@REPOSITORY@/releases/download/v@VERSION@/nfrx_linux_arm64_v@VERSION@.tar.xz"
      sha256 "@SHA256_linux_arm64@"
    end
    on_intel do
      url "https://github.com/@REPOSITORY@/releases/download/v@VERSION@/nfrx_linux_x64_v@VERSION@.tar.xz"
      sha256 "@SHA256_linux_x64@"
    end
  end

  def install
    bin.install "@NAME@"
    man1.install "share/man/man1/@NAME@.1"
    bash_completion.install "share/bash-completion/completions/@NAME@"
    zsh_completion.install "share/zsh/vendor-completions/_@NAME@"
    fish_completion.install "share/fish/vendor_completions.d/@NAME@.fish"
    pkgshare.install "config/@CONFIG@"
  end

  def caveats
    <<~EOS
      To write a configuration with every option in it:
        @NAME@ init
      To find out what is wrong with a set-up:
        @NAME@ doctor
    EOS
  end

  service do
    run [opt_bin/"@NAME@"]
    keep_alive true
    log_path var/"log/@NAME@.log"
    error_log_path var/"log/@NAME@.log"
  end

  test do
    assert_match "@NAME@ version=@VERSION@ ", shell_output("#{bin}/@NAME@ --version")
  end
end
