/** Client of Headrace: receives the messages that a server pushes. */

export { Channel, type ChannelOptions } from "./channel.js";
export type { TokenSource } from "./credentials.js";
export {
  ChannelCloseEvent,
  ChannelErrorEvent,
  type ChannelEventMap,
  ChannelGapEvent,
  ChannelMessageEvent,
  ChannelOpenEvent,
} from "./events.js";
export { type SendAnswer, SendError, type Target } from "./outbox.js";
export type { TransportName } from "./transport.js";
