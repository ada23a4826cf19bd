"""A server whose paths begin with how it behaves: ok, hang, reset or drip. It prints its port, and knows no Django."""

import asyncio
from contextlib import suppress


async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with suppress(OSError, asyncio.IncompleteReadError):
        while head := await reader.readuntil(b"\r\n\r\n"):
            await behave(head.split(b" ")[1].split(b"/")[1].decode(), reader, writer)
    writer.close()


async def behave(manner: str, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    body = b'{"status": "ok"}'
    headers = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n" % len(body)
    match manner:
        case "ok":
            writer.write(headers + body)
            await writer.drain()
        case "hang":
            await reader.read()  # until the client leaves
            raise OSError
        case "reset":
            writer.transport.abort()
            raise OSError
        case "drip":
            for byte in headers + body:
                writer.write(bytes([byte]))
                await writer.drain()
                await asyncio.sleep(1)


async def main() -> None:
    server = await asyncio.start_server(answer, "127.0.0.1", 0, backlog=500)
    print(server.sockets[0].getsockname()[1], flush=True)  # noqa: T201 - told to whoever started it
    await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(main())
