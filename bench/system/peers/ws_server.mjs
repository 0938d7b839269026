// ws for Node: `send` to each client in turn, with the control protocol of `bare_server.py`.
import { createServer } from "node:http";
import { createRequire } from "node:module";
import net from "node:net";

const { WebSocketServer } = createRequire(new URL("../../../js/package.json", import.meta.url))("ws");
const http = createServer();
const server = new WebSocketServer({ server: http, perMessageDeflate: false });
const control = net.createServer((socket) => {
  let incomplete = "";
  socket.setEncoding("latin1").on("data", (data) => {
    const lines = (incomplete + data).split("\n");
    incomplete = lines.pop();
    for (const line of lines) for (const client of server.clients) client.send(line);
  });
});

const listen = (each) => new Promise((resolve) => each.listen(0, "127.0.0.1", 4096, resolve));
await Promise.all([listen(http), listen(control)]);
console.log("ready", http.address().port, control.address().port);
