from pkg.scan import scan
