#!/bin/sh
echo "$# arguments: $1, $2; $FROM_TASK"
echo "told by ${0##*/}" >&2
[ "$1" != fail ] || exit 3
