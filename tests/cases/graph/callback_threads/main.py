import atexit
import threading
from concurrent.futures import ThreadPoolExecutor


class Worker:
    def work(self):
        return 1


def task(number):
    return number


def farewell():
    return None


thread = threading.Thread(target=Worker().work)
thread.start()
thread.join()
with ThreadPoolExecutor() as pool:
    pool.submit(task, 1)
atexit.register(farewell)
