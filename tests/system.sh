#!/bin/sh
# Installs the Debian programs that some tests want, where it may: root and apt-get present, one quiet attempt.
# Never fails: tests that miss a program are skipped and say why.
missing=""
command -v mosquitto >/dev/null || [ -x /usr/sbin/mosquitto ] || missing="$missing mosquitto"
command -v mosquitto_pub >/dev/null || missing="$missing mosquitto-clients"
command -v victoria-metrics >/dev/null || missing="$missing victoria-metrics"
command -v chromium >/dev/null || missing="$missing chromium"
[ -z "$missing" ] && exit 0
if [ "$(id -u)" != 0 ] || ! command -v apt-get >/dev/null; then
    echo "not installed:$missing (tests that want them will be skipped)"
    exit 0
fi
stamp="${TMPDIR:-/tmp}/plantwin-apt-tried-$(id -u)"
[ -e "$stamp" ] && exit 0
: >"$stamp"
export DEBIAN_FRONTEND=noninteractive
timeout 120 apt-get update -qq >/dev/null 2>&1
for package in $missing; do
    timeout 300 apt-get install -y -qq --no-install-recommends -o Dpkg::Use-Pty=0 "$package" >/dev/null 2>&1 ||
        echo "could not install $package (tests that want it will be skipped)"
done
exit 0
