/**
 * The Headrace client: receives the messages that a server pushes. This module is the public API.
 *
 * - `channel/` keeps a client connected and offers the public `Channel`.
 * - `transports/` opens one connection over WebSocket, Server-Sent Events or long polling.
 * - `protocol/` parses what the server sends. It does no I/O.
 *
 * Imports go down this list only: `channel/` to `transports/` to `protocol/`. `platform.ts` and
 * `urls.ts` are below them, so any module may use them. `test/imports.test.ts` checks this.
 */

export { Channel, type ChannelOptions } from "./channel/channel.js";
export type { TokenSource } from "./channel/credentials.js";
export {
  ChannelCloseEvent,
  ChannelErrorEvent,
  type ChannelEventMap,
  ChannelGapEvent,
  ChannelMessageEvent,
  ChannelOpenEvent,
} from "./channel/events.js";
export { type SendAnswer, SendError, type Target } from "./protocol/send.js";
export type { TransportName } from "./transports/transport.js";
