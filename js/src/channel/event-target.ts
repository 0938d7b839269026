/** `EventTarget`, with the types of a channel's events. */

import type { ChannelEventMap } from "./events.js";

export type EventCallback<E extends Event> = ((event: E) => unknown) | { handleEvent(event: E): unknown };

/** Only the events of a channel. For a name that is not known before run time, use `EventTarget`. */
export interface ChannelEventTarget extends EventTarget {
  addEventListener<K extends keyof ChannelEventMap>(
    type: K,
    listener: EventCallback<ChannelEventMap[K]> | null,
    options?: boolean | AddEventListenerOptions,
  ): void;
  removeEventListener<K extends keyof ChannelEventMap>(
    type: K,
    listener: EventCallback<ChannelEventMap[K]> | null,
    options?: boolean | EventListenerOptions,
  ): void;
}

export const ChannelEventTarget: { new (): ChannelEventTarget; prototype: ChannelEventTarget } = EventTarget;
