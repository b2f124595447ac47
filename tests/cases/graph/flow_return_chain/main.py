from build import outer

outer()()
made = outer()
made()
