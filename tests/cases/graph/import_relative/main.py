from pkg.sub import leaf

leaf.run()
