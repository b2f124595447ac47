def run(args):
    print(args.n_embd)
    return open(args.data)
