#!/bin/sh
echo "$# arguments: $1, $2"
echo "on stderr" >&2
