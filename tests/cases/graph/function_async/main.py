import asyncio


class Reply:
    def text(self):
        return "ok"


async def fetch():
    return Reply()


async def stream():
    yield await fetch()


async def main():
    reply = await fetch()
    reply.text()
    async for part in stream():
        part.text()


asyncio.run(main())
