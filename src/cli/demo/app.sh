#!/bin/sh
# Stands for a service of this host: it reads its settings when it is told to, and answers only while it has workers.
here=$(dirname "$0")
case $1 in
reload) cp "$here/../srv/app/settings.toml" "$here/loaded.toml" ;;
health) grep -q '^workers = [1-9]' "$here/loaded.toml" || { echo 'no worker answers'; exit 1; } ;;
esac
