// A client on Node's `ws`: prints what happens to it, one JSON line each.
//   node ws_client.mjs '{"url": "ws://…", "protocols": […], "headers": {…}}'
import { createRequire } from "node:module";

const require = createRequire(new URL("../../js/package.json", import.meta.url));
const WebSocket = require("ws");

const { url, protocols = [], headers = {} } = JSON.parse(process.argv[2]);
const tell = (event) => process.stdout.write(`${JSON.stringify(event)}\n`);

const socket = new WebSocket(url, protocols, { headers, perMessageDeflate: false });
socket.on("open", () => tell({ open: socket.protocol }));
socket.on("message", (data, isBinary) => tell(isBinary ? { binary: true } : { text: String(data) }));
socket.on("close", (code, reason) => tell({ close: code, reason: String(reason) }));
socket.on("unexpected-response", (_request, answer) => {
  tell({ status: answer.statusCode });
  process.exit();
});
socket.on("error", (error) => tell({ error: error.message }));
process.stdin.on("end", () => socket.close(1000)).resume();
