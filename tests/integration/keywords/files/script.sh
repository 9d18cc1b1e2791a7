#!/bin/sh
echo "words: $*"
echo "in: $(basename "$PWD") by $(id -un) $FROM_TASK"
echo "error of a script" >&2
exit "${CODE:-0}"
