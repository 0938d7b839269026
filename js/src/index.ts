/** Client of Headrace: receives the messages that a server pushes. */

export { Channel, type ChannelOptions } from "./channel";
export type { TokenSource } from "./credentials";
export {
  ChannelCloseEvent,
  ChannelErrorEvent,
  type ChannelEventMap,
  ChannelGapEvent,
  ChannelMessageEvent,
  ChannelOpenEvent,
} from "./events";
export { type SendAnswer, SendError, type Target } from "./outbox";
export type { TransportName } from "./transport";
