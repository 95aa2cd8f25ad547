"""A TCP proxy that answers late: `slow_proxy.py PORT OF_SERVER MILLISECONDS` prints its own port and runs until killed.

Bytes from the server are held back for the given time, however many there are: latency without a limit on the rate, as
between a laboratory and a distant data centre.
"""

import asyncio
import sys

CHUNK = 1 << 18


async def forward(reader, writer, delay):
    loop = asyncio.get_running_loop()
    held = asyncio.Queue()

    async def deliver():
        while True:
            due, data = await held.get()
            if due > loop.time():
                await asyncio.sleep(due - loop.time())
            if not data:
                break
            writer.write(data)
            await writer.drain()
        writer.close()

    delivery = asyncio.create_task(deliver())
    try:
        while data := await reader.read(CHUNK):
            held.put_nowait((loop.time() + delay, data))
    except ConnectionError:
        pass
    held.put_nowait((loop.time() + delay, b""))
    try:
        await delivery
    except ConnectionError:
        pass


async def main():
    port, delay = int(sys.argv[1]), float(sys.argv[2]) / 1000

    async def serve(reader, writer):
        there, back = await asyncio.open_connection("127.0.0.1", port)
        await asyncio.gather(forward(reader, back, 0), forward(there, writer, delay))

    server = await asyncio.start_server(serve, "127.0.0.1", 0, limit=4 * CHUNK)
    print(server.sockets[0].getsockname()[1], flush=True)
    await server.serve_forever()


asyncio.run(main())
