def load():
    from heavy import build
    import heavy

    build()
    return heavy.close()


load()
