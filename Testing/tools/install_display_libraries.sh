#!/bin/sh
# Offscreen Qt and VTK load a few system libraries. Where Debian's package tool is there and may be
# used, install what is missing; elsewhere name it: the tests that need it then skip and say so.
set -eu
PATH=$PATH:/usr/sbin:/sbin # where Debian keeps ldconfig
missing=""
for pair in libEGL.so.1:libegl1 libGL.so.1:libgl1 libxkbcommon.so.0:libxkbcommon0 libdbus-1.so.3:libdbus-1-3 \
    libfontconfig.so.1:libfontconfig1 libglib-2.0.so.0:libglib2.0-0; do
    ldconfig -p 2>/dev/null | grep -q "${pair%%:*}" || missing="$missing ${pair##*:}"
done
[ -e /usr/share/glvnd/egl_vendor.d/50_mesa.json ] || missing="$missing libegl-mesa0 libgl1-mesa-dri"
[ -n "$missing" ] || exit 0
if command -v apt-get >/dev/null && [ "$(id -u)" = 0 ]; then
    echo "Installing system libraries:$missing"
    apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends $missing >/dev/null
else
    echo "Offscreen rendering may need:$missing (install them with your package manager)"
fi
