#!/usr/bin/python3
import sys

print('python', sys.argv[1:])
