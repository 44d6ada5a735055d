#!/bin/sh
# Ray Serve names this as its HAProxy. Its metrics and stats listeners are written to bind every
# interface: narrow each wildcard bind of the configuration (-f FILE) to loopback, then run the real one.
configuration=; previous=
for argument in "$@"; do
    [ "$previous" = "-f" ] && configuration="$argument"
    previous="$argument"
done
[ -n "$configuration" ] && sed -i -e 's/^\( *bind \)\(\*\|\):\([0-9]\)/\1127.0.0.1:\3/' "$configuration"
exec "$HEADWATER_HAPROXY" "$@"
