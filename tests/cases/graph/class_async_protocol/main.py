import asyncio


class Session:
    async def __aenter__(self):
        return self

    async def __aexit__(self, *error):
        return None

    async def get(self):
        return 1


class Pages:
    def __aiter__(self):
        return self

    async def __anext__(self):
        raise StopAsyncIteration


async def main():
    async with Session() as session:
        await session.get()
    async for page in Pages():
        print(page)


asyncio.run(main())
