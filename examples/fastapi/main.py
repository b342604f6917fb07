"""A FastAPI app with JSON and a WebSocket; the platform adds the server."""

from fastapi import FastAPI, WebSocket, WebSocketDisconnect

app = FastAPI(title="Hello")


@app.get("/")
async def hello(name: str = "World") -> dict[str, str]:
    return {"message": f"Hello {name}!"}


@app.websocket("/echo")
async def echo(socket: WebSocket) -> None:
    await socket.accept()
    try:
        while True:
            await socket.send_text(await socket.receive_text())
    except WebSocketDisconnect:
        pass
