#!/usr/bin/env bash
# Installs the Debian packages of which a probe fails: debian_packages.sh 'probe command' 'package ...' [next pair ...]
# Probes, not package names, decide: who has a program from elsewhere needs neither apt-get nor root.
set -euo pipefail
missing=()
while [ $# -ge 2 ]; do
  if ! bash -c "$1" >/dev/null 2>&1; then
    read -r -a names <<<"$2"
    missing+=("${names[@]}")
  fi
  shift 2
done
[ ${#missing[@]} -gt 0 ] || exit 0
if ! command -v apt-get >/dev/null; then
  echo "missing, and there is no apt-get to install them: ${missing[*]}" >&2
  exit 1
fi
as_root=()
if [ "$(id -u)" -ne 0 ]; then
  command -v sudo >/dev/null || { echo "run as root, or install sudo: missing packages ${missing[*]}" >&2; exit 1; }
  as_root=(sudo)
fi
echo "installing by apt-get: ${missing[*]}"
"${as_root[@]}" apt-get update -qq
"${as_root[@]}" env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "${missing[@]}" >/dev/null
