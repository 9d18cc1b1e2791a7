import sys

print(sys.argv[1:], sys.version_info[0])
