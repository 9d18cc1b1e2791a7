#!/bin/sh
echo "from a role $1"
