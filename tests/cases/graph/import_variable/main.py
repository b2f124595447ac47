from settings import default_optimizer, limits
import settings

default_optimizer()
limits["low"]()
print(settings.rate)
