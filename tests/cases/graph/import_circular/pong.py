import ping


def reply(n):
    return ping.serve(n)
