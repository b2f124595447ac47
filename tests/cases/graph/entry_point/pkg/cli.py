def run(argv):
    return argv


if __name__ == "__main__":
    run([])
