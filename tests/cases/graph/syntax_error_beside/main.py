import broken
from good import work

work()
broken.run()
