"""What remote_functions imports."""


def double(number):
    return 2 * number
