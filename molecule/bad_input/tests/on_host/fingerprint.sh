#!/bin/sh
# Runs on a host as root: one line for everything that site.yml could change. Two outputs compare equal when nothing changed.
set -eu
# What any login or timer writes by itself.
find /etc /opt /usr/local /var/lib /var/spool /srv /home /root -xdev \
    \( -path /var/lib/systemd/timers -o -path /var/lib/systemd/timesync -o -path /home/ops/.ansible -o -path /root/.ansible \) -prune -o \
    -printf '%y %m %u:%g %s %T@ %p -> %l\n' | sort -k 6
find /etc /opt /usr/local -xdev -type f -exec sha256sum {} + | sort -k 2
dpkg-query --show --showformat='${Package} ${Version} ${Status}\n'
systemctl list-unit-files --no-legend --no-pager
systemctl list-units --all --no-legend --no-pager --plain --type=service,socket,timer,target | awk '{ print $1, $2, $3 }' | grep -vE '^(user|session|run)[@-]|^user-|man-db|apt-daily|dpkg-db|tmpfiles-clean' | sort
cat /proc/sys/vm/overcommit_memory
