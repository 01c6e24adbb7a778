<#
.SYNOPSIS
  Runs one of the nfrx programs as a Windows service, under WinSW.
.DESCRIPTION
  Run it as administrator, in the folder that the archive was unpacked to. WinSW-x64.exe of version 2
  (https://github.com/winsw/winsw/releases) has to be there too.
  The configuration is %ProgramData%\nfrx\server.yaml, worker.yaml and so on: `nfrx init` writes one.
.EXAMPLE
  .\install-service.ps1 nfrx-llm
.EXAMPLE
  .\install-service.ps1 nfrx-llm -Remove
#>
[CmdletBinding()]
param(
  [Parameter(Mandatory)]
  [ValidateSet('nfrx', 'nfrx-llm', 'nfrx-asr', 'nfrx-docling', 'nfrx-mcp')]
  [string]$Name,
  [string]$Folder = "$env:ProgramFiles\nfrx",
  [string]$WinSW = "$PSScriptRoot\WinSW-x64.exe",
  [switch]$Remove
)

$ErrorActionPreference = 'Stop'
$wrapper = Join-Path $Folder "$Name-service.exe"

if ($Remove) {
  & $wrapper stop
  & $wrapper uninstall
  exit $LASTEXITCODE
}

if (-not (Test-Path $WinSW)) { throw "$WinSW is missing: download it from https://github.com/winsw/winsw/releases" }
$data = Join-Path $env:ProgramData 'nfrx'
New-Item -ItemType Directory -Force -Path $Folder, $data, (Join-Path $data 'Logs') | Out-Null
# The configuration contains keys: only administrators, the system and the service can read it.
icacls $data /inheritance:r /grant '*S-1-5-32-544:(OI)(CI)F' '*S-1-5-18:(OI)(CI)F' '*S-1-5-19:(OI)(CI)M' | Out-Null

# One executable contains all five programs; its name selects one.
Copy-Item -Force (Join-Path $PSScriptRoot 'nfrx.exe') (Join-Path $Folder "$Name.exe")
Copy-Item -Force $WinSW $wrapper
$description = & (Join-Path $Folder "$Name.exe") --help | Select-Object -Skip 1 -First 1
(Get-Content (Join-Path $PSScriptRoot 'service.xml') -Raw).
  Replace('@NAME@', $Name).
  Replace('@DESCRIPTION@', [System.Security.SecurityElement]::Escape($description)) |
  Set-Content -Encoding utf8 (Join-Path $Folder "$Name-service.xml")

& $wrapper install
if ($LASTEXITCODE -ne 0) { exit $LASTEXITCODE }
& $wrapper start
exit $LASTEXITCODE
